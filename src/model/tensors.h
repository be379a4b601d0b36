/* tensors.h - one row a tensor: its names in GGUF, Hugging Face and Meta files, its shape, and
 * what is done with it. Loading, exporting, quantizing, planning and (later) training walk these
 * rows; there is no other list of a model's tensors.
 */
#ifndef CRIA_MODEL_TENSORS_H
#define CRIA_MODEL_TENSORS_H

#include <stddef.h>

#include "model/config.h"
#include "tensor/tensor.h"

enum tensor_role {
    ROLE_TOKEN_EMBD,
    ROLE_OUTPUT_NORM,
    ROLE_OUTPUT, /* once a model */
    ROLE_ATTN_NORM,
    ROLE_WQ,
    ROLE_WK,
    ROLE_WV,
    ROLE_WO, /* once a layer */
    ROLE_BQ,
    ROLE_BK,
    ROLE_BV,
    ROLE_BO,
    ROLE_FFN_NORM,
    ROLE_GATE,
    ROLE_UP,
    ROLE_DOWN,
    ROLE_BGATE,
    ROLE_BUP,
    ROLE_BDOWN,
    ROLE_COUNT
};

enum tensor_dim { DIM_NONE, DIM_VOCAB, DIM_MODEL, DIM_Q, DIM_KV, DIM_FF };
enum tensor_need { NEED_ALWAYS, NEED_UNLESS_TIED, NEED_ATTN_BIAS, NEED_MLP_BIAS };
enum meta_split { SPLIT_NONE, SPLIT_ROWS, SPLIT_COLS }; /* how Meta's shards cut it */

struct tensor_row {
    enum tensor_role role;
    const char *gguf, *hf, *meta; /* "%d" stands for the layer; NULL: not in that format */
    enum tensor_dim rows, cols;   /* rows DIM_NONE: a vector of `cols` */
    bool is_per_layer;
    bool is_rotated; /* rows come in rotary pairs: re-ordered between Hugging Face and the rest */
    enum tensor_need need;
    enum meta_split split;
    size_t slot; /* offset in struct layer_weights (per layer) or struct weights */
};

extern const struct tensor_row tensor_rows_table[ROLE_COUNT];

int64_t tensor_dim_size(const struct model_config *c, enum tensor_dim d);
bool tensor_is_needed(const struct model_config *c, const struct tensor_row *r);

/* Copies of `r` that a model has: n_layers or 1, 0 if it needs none. */
int32_t tensor_copies(const struct model_config *c, const struct tensor_row *r);

#define TENSOR_NAME_BYTES 80
/* Writes `pattern` (one of a row's three) for layer `i_layer`. */
void tensor_name(char out[TENSOR_NAME_BYTES], const char *pattern, int32_t i_layer);

/* True if `name` is `pattern` with some layer number, which may be out of range. */
bool tensor_name_is(const char *pattern, const char *name, int64_t *i_layer);

/* The weights of a model: matrices of any dtype as the file has them, vectors as float. */
struct layer_weights {
    struct tensor wq, wk, wv, wo, gate, up, down;
    const float *attn_norm, *ffn_norm;
    const float *bq, *bk, *bv, *bo, *bgate, *bup, *bdown; /* NULL without bias */
};
struct weights {
    struct tensor token_embd, output; /* output == token_embd when tied */
    const float *output_norm;
    struct layer_weights *layer; /* [n_layers] */
};

/* Where the tensor of a row stands: a matrix, or for rows DIM_NONE a vector. */
const struct tensor *weights_matrix(const struct weights *w, const struct tensor_row *r,
                                    int32_t i_layer);
const float *weights_vector(const struct weights *w, const struct tensor_row *r, int32_t i_layer);
/* The same for who fills it: a struct tensor * or a const float **. */
void *weights_slot(struct weights *w, const struct tensor_row *r, int32_t i_layer);

#endif
