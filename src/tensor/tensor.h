/* tensor.h - a plain tensor: type, shape (slowest dimension first), bytes of a row, pointer.
 *
 * A tensor owns nothing; whoever made the memory frees it. The last dimension is contiguous and is
 * what block formats cut into blocks. Matrices of weights are [n_out, n_in], y = W x.
 */
#ifndef CRIA_TENSOR_TENSOR_H
#define CRIA_TENSOR_TENSOR_H

#include <stdint.h>

#include "base/err.h"
#include "tensor/dtype.h"

#define TENSOR_MAX_DIMS 4

struct tensor {
    enum dtype dtype;
    int32_t n_dims;                 /* 1..4; 0: no tensor */
    int64_t shape[TENSOR_MAX_DIMS]; /* shape[0] slowest; unused ones are 1 */
    size_t row_bytes;               /* of the last dimension */
    void *data;                     /* not written through when mapped from a file */
    bool is_interleaved;            /* by ops->interleave(): rows lie in groups, read by ops only */
};

static inline int64_t tensor_cols(const struct tensor *t) { return t->shape[t->n_dims - 1]; }

/* Product of all dimensions but the last. Shapes are checked where tensors are made. */
static inline int64_t tensor_rows(const struct tensor *t)
{
    int64_t n = 1;
    for (int32_t i = 0; i + 1 < t->n_dims; i++) n *= t->shape[i];
    return n;
}

static inline const void *tensor_row(const struct tensor *t, int64_t row)
{
    return (const unsigned char *)t->data + (size_t)row * t->row_bytes;
}

/* Fills `t` after checking dimensions (each >= 1, product <= 2^48, row a whole number of blocks).
 * ERR_FORMAT names `name` and the shape. */
bool tensor_make(struct tensor *t, const char *name, enum dtype dtype, int32_t n_dims,
                 const int64_t *shape, void *data, struct err *err) CRIA_CHECK;

/* Bytes of all rows. */
size_t tensor_bytes(const struct tensor *t);

#endif
