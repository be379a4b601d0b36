/* linear_in.h - the input of a product, read through in() (ops.h, enum linear_in).
 *
 * Inlined, so that each instruction set makes vectors of its own width; the same bits in each
 * (rows.h). Private to tensor/cpu/.
 */
#ifndef CRIA_TENSOR_CPU_LINEAR_IN_H
#define CRIA_TENSOR_CPU_LINEAR_IN_H

#include <string.h>

#include "tensor/cpu/rows.h"

/* y[n] = in(x) of token t, elements [i, i + n). `scale`: in_scale() of the token. */
INLINE void read_in(float *y, const struct linear_args *a, int64_t t, int64_t i, int64_t n,
                    float scale)
{
    const float *x = a->x + t * a->ld_x + i;
    switch (a->in) {
    case LINEAR_IN_PLAIN:
        memcpy(y, x, (size_t)n * sizeof *y);
        break;
    case LINEAR_IN_RMSNORM:
        rmsnorm_row(y, x, a->norm + i, scale, n);
        break;
    case LINEAR_IN_SWIGLU:
        swiglu_row(y, x, a->x2 + t * a->ld_x + i, n);
        break;
    }
}

/* 1 / rms of the row where in() divides by it. */
INLINE float in_scale(const struct linear_args *a, int64_t t)
{
    return a->in == LINEAR_IN_RMSNORM ? rms_scale(a->x + t * a->ld_x, a->k, a->eps) : 1.0f;
}

/* y[k] = in(x) of token t. */
INLINE void read_row(float *y, const struct linear_args *a, int64_t t)
{
    read_in(y, a, t, 0, a->k, in_scale(a, t));
}

#endif
