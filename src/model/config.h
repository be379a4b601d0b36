/* config.h - the shape of a Llama model and the few numbers that change its arithmetic.
 *
 * One struct for all sources: GGUF keys, config.json, params.json (readers in config.c). Every
 * field has been checked against its range, and the fields against each other.
 */
#ifndef CRIA_MODEL_CONFIG_H
#define CRIA_MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "formats/gguf.h"
#include "tensor/ops.h"

enum rope_scaling {
    ROPE_SCALING_NONE,
    ROPE_SCALING_LINEAR,
    ROPE_SCALING_DYNAMIC,
    ROPE_SCALING_LLAMA3
};

struct model_config {
    int32_t n_layers, d_model, n_heads, n_kv_heads, d_head, d_ff;
    int32_t n_vocab;
    int32_t n_ctx; /* positions the model was trained for */
    float norm_eps;
    double rope_theta;
    enum rope_scaling rope_scaling;
    double rope_factor, rope_low_freq_factor, rope_high_freq_factor;
    int32_t rope_orig_ctx;
    /* GGUF's rope_freqs.weight [d_head / 2]: what each frequency is divided by, instead of the
     * formula; NULL without. Borrowed from the file. rope_scaling and its numbers then say what
     * formula made it, or ROPE_SCALING_NONE when none that we know. */
    const float *rope_divisor;
    enum rope_pairs rope_pairs; /* row order of wq and wk in this source */
    bool has_attn_bias, has_mlp_bias;
    bool is_tied; /* the output matrix is the embedding */
};

bool config_from_gguf(const struct gguf *g, struct model_config *out, struct err *err) CRIA_CHECK;
/* config.json; `name` for messages. */
bool config_from_hf(struct json root, const char *name, struct model_config *out,
                    struct err *err) CRIA_CHECK;
/* The rows of rope_freqs.weight become rope_divisor after a check, and the numbers of the llama3
 * formula are found again from them. Called by config_from_gguf. */
bool config_set_divisors(struct model_config *c, const float *divisor, int64_t n, const char *name,
                         struct err *err) CRIA_CHECK;
/* params.json of Meta; n_vocab may be -1 there: then it is `n_vocab_seen` (rows of the embedding).
 * Derives d_ff (spec/llama3.md 1.2). */
bool config_from_meta(struct json root, const char *name, int32_t n_vocab_seen,
                      struct model_config *out, struct err *err) CRIA_CHECK;
bool config_check(const struct model_config *c, const char *name, struct err *err) CRIA_CHECK;

/* inv_freq[d_head/2], scaled as the config says (spec/llama3.md 1.5). `n_ctx_used` matters for
 * dynamic scaling only. */
void config_inv_freq(const struct model_config *c, int32_t n_ctx_used, double *inv_freq);

int64_t config_n_params(const struct model_config *c);
/* Bytes of keys and values of one position. 0 if the cache type does not fit d_head. */
size_t config_kv_bytes(const struct model_config *c, enum dtype kv_dtype);

#endif
