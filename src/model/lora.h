/* lora.h - low-rank adapters (Hu et al. 2021): y = W x + scale B (A x), read from PEFT directories
 * and GGUF files, for one model.
 *
 * Immutable once open, but for the count of its holders: any thread.
 */
#ifndef CRIA_MODEL_LORA_H
#define CRIA_MODEL_LORA_H

#include "model/model.h"

#define LORA_MAX_RANK 256

struct lora;

/* The matrices of one product as float; the scale is in `b`. */
struct lora_pair {
    struct tensor a; /* [rank, n_in]; n_dims 0: this product has none */
    struct tensor b; /* [n_out, rank] */
};

/* Opens DIR (adapter_config.json, adapter_model.safetensors) or a GGUF file; `scale` multiplies
 * what the adapter says itself. Borrows `m`, whose shape it must have. The caller holds the result
 * once. ERR_FORMAT names a tensor that does not fit, ERR_UNSUPPORTED a module or setting that we do
 * not have (DoRA, biases, embeddings, modules saved whole). */
struct lora *lora_open(const char *path, const struct model *m, float scale, struct err *err);
/* The same from the parts of a PEFT directory, in memory. */
struct lora *lora_from_peft(const char *config, size_t n_config, const uint8_t *weights,
                            size_t n_weights, const char *name, const struct model *m, float scale,
                            struct err *err);
/* The same of a GGUF file in memory. */
struct lora *lora_from_gguf(const uint8_t *data, size_t n_bytes, const char *name,
                            const struct model *m, float scale, struct err *err);
/* One more holder; returns `l`, which may be NULL. */
struct lora *lora_hold(struct lora *l);
/* One less; the last one frees it. NULL is fine. */
void lora_close(struct lora *l);

/* One as people call it. */
struct lora_named {
    char name[128], path[1024];
    struct lora *lora;
};

/* Of a matrix of the tensor table, or NULL. */
const struct lora_pair *lora_pair(const struct lora *l, enum tensor_role role, int32_t i_layer);
/* A number that no other adapter of this process has had, above 0; of NULL 0. */
int64_t lora_id(const struct lora *l);
int32_t lora_rank(const struct lora *l); /* the largest */
int32_t lora_n_pairs(const struct lora *l);
uint64_t lora_bytes(const struct lora *l);

#endif
