/* SPDX-License-Identifier: Apache-2.0
 *
 * tensor.c - making a tensor from a shape that nobody has checked yet.
 *
 * Here the promises of tensor.h are earned: after tensor_make() rows, columns and bytes can be
 * multiplied without looking.
 */
#include "tensor/tensor.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/checked.h"

#define MAX_ELEMS ((int64_t)1 << 48)

/* "4096 x 32 x 1" */
static void shape_text(char *to, size_t n_bytes, int32_t n_dims, const int64_t *shape)
{
    size_t at = 0;
    to[0] = 0;
    for (int32_t i = 0; i < n_dims && at < n_bytes; i++) {
        const int n = snprintf(to + at, n_bytes - at, "%s%" PRId64, i ? " x " : "", shape[i]);
        if (n < 0) return;
        at += (size_t)n;
    }
}

bool tensor_make(struct tensor *t, const char *name, enum dtype dtype, int32_t n_dims,
                 const int64_t *shape, void *data, struct err *err)
{
    char text[120];
    if (n_dims < 1 || n_dims > TENSOR_MAX_DIMS)
        return err_set(err, ERR_FORMAT, "%s: %" PRId32 " dimensions; a tensor has 1 to %d of them",
                       name, n_dims, TENSOR_MAX_DIMS);
    shape_text(text, sizeof text, n_dims, shape);
    struct tensor r = {.dtype = dtype, .n_dims = n_dims, .shape = {1, 1, 1, 1}, .data = data};
    int64_t n_elems = 1;
    for (int32_t i = 0; i < n_dims; i++) {
        r.shape[i] = shape[i];
        if (shape[i] < 1)
            return err_set(err, ERR_FORMAT,
                           "%s: shape %s: dimensions must be at least 1; convert the model again",
                           name, text);
        if (!i64_mul(n_elems, shape[i], &n_elems) || n_elems > MAX_ELEMS)
            return err_set(err, ERR_FORMAT,
                           "%s: shape %s has more than 2^48 elements; the file is damaged", name,
                           text);
    }
    const struct dtype_info *info = dtype_info(dtype);
    if (!dtype_row_bytes(dtype, tensor_cols(&r), &r.row_bytes))
        return err_set(err, ERR_FORMAT,
                       "%s: shape %s: rows of %" PRId64 " elements are no whole number of %s "
                       "blocks of %" PRIu32 "; choose another type for it",
                       name, text, tensor_cols(&r), info->name, info->block_elems);
    *t = r;
    return true;
}

size_t tensor_bytes(const struct tensor *t) { return t->row_bytes * (size_t)tensor_rows(t); }
