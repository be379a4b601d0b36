/* rows.h - arithmetic on rows of floats, written once for every instruction set.
 *
 * What concerns each element alone (e^x, silu, norm) is a plain loop over a branch-free scalar
 * function: the compiler makes vectors of the width of the wrapper that it is inlined into (the
 * room is built with -fno-trapping-math: else gcc keeps the comparisons as branches). Sums
 * are made in 16 lanes, folded pairwise at the end, because their order must not follow that
 * width. Products and sums are separate roundings in every variant (the build says
 * -ffp-contract=off), so these helpers give the same bits everywhere.
 * (16 lanes as one vector of the compiler's was tried: where the machine's are narrower, gcc 12
 * passes it through memory; AVX2 ran as slowly as plain SSE2.)
 * Private to tensor/cpu/.
 */
#ifndef CRIA_TENSOR_CPU_ROWS_H
#define CRIA_TENSOR_CPU_ROWS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tensor/cpu/cpu.h"
#include "tensor/half.h"

typedef float v4 __attribute__((vector_size(16)));
typedef int32_t v4i __attribute__((vector_size(16)));

/* Sixteen running values. */
struct lanes {
    v4 q[4];
};

INLINE void lanes_load(struct lanes *v, const float *p) { memcpy(v, p, sizeof *v); }

/* The first n of 16, the others zero. */
INLINE void lanes_load_part(struct lanes *v, const float *p, int64_t n)
{
    float part[16] = {0};
    memcpy(part, p, (size_t)n * sizeof *p);
    memcpy(v, part, sizeof *v);
}

/* Folded pairwise: lane i with i + 8, then + 4, + 2, + 1. */
INLINE float lanes_sum(const struct lanes *v)
{
    const v4 a = (v->q[0] + v->q[2]) + (v->q[1] + v->q[3]);
    return (a[0] + a[2]) + (a[1] + a[3]);
}

/* Sum of x[i] y[i] in 16 lanes. */
INLINE float dot_16(const float *x, const float *y, int64_t n)
{
    struct lanes acc = {0}, a, b;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        lanes_load(&a, x + i);
        lanes_load(&b, y + i);
        for (int j = 0; j < 4; j++) acc.q[j] += a.q[j] * b.q[j];
    }
    if (i < n) {
        lanes_load_part(&a, x + i, n - i);
        lanes_load_part(&b, y + i, n - i);
        for (int j = 0; j < 4; j++) acc.q[j] += a.q[j] * b.q[j];
    }
    return lanes_sum(&acc);
}

/* Sum of x[n] in 16 lanes, n a multiple of 16. */
INLINE float sum_16(const float *x, int64_t n)
{
    struct lanes acc = {0}, a;
    for (int64_t i = 0; i < n; i += 16) {
        lanes_load(&a, x + i);
        for (int j = 0; j < 4; j++) acc.q[j] += a.q[j];
    }
    return lanes_sum(&acc);
}

/* The largest of x[n], n a multiple of 16. */
INLINE float max_16(const float *x, int64_t n)
{
    struct lanes most, a;
    lanes_load(&most, x);
    for (int64_t i = 16; i < n; i += 16) {
        lanes_load(&a, x + i);
        for (int j = 0; j < 4; j++) { /* C has no ?: of vectors */
            const v4i mask = most.q[j] < a.q[j];
            most.q[j] = (v4)((mask & (v4i)a.q[j]) | (~mask & (v4i)most.q[j]));
        }
    }
    float all[16], m = 0.0f;
    memcpy(all, &most, sizeof all);
    m = all[0];
    for (int i = 1; i < 16; i++) m = all[i] > m ? all[i] : m;
    return m;
}

/* 1 / rms(x) (Zhang & Sennrich 2019, eq. 4, eps inside the root). */
INLINE float rms_scale(const float *x, int64_t d, float eps)
{
    return 1.0f / sqrtf(dot_16(x, x, d) / (float)d + eps);
}

/* e^x, relative error below 2e-7 for x in [-87.3, 88]; below it gives 0 (and not a subnormal),
 * above it stays at e^88; e^NaN is e^-87.3, so callers let NaN through by other terms.
 * x = n ln 2 + r, |r| <= ln 2 / 2, the Taylor sum of e^r up to r^7 / 7! (rest 5e-9), 2^n by adding
 * n to the exponent. */
INLINE float exp_1(float x)
{
    float v = x > -87.3f ? x : -87.3f;
    v = v < 88.0f ? v : 88.0f;
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const float n = (v * 1.44269504088896341f + magic) - magic;
    const float r = (v - n * 0.693359375f) - n * -2.12194440e-4f; /* ln 2 in two parts */
    float p = r * (1.0f / 5040) + (1.0f / 720);
    p = p * r + (1.0f / 120);
    p = p * r + (1.0f / 24);
    p = p * r + (1.0f / 6);
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    const float y = f32_from_bits(f32_bits(p) + ((uint32_t)(int32_t)n << 23));
    return x < -87.3f ? 0.0f : y;
}

/* y[i] = silu(g[i]) u[i], silu(g) = g / (1 + e^-g). y may be g or u. */
INLINE void swiglu_row(float *y, const float *g, const float *u, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] = g[i] / (1.0f + exp_1(-g[i])) * u[i];
}

/* y[i] = x[i] * scale * w[i]. */
INLINE void rmsnorm_row(float *y, const float *x, const float *w, float scale, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * scale * w[i];
}

#endif
