/* rows.h - arithmetic on rows of floats in 16 lanes, written once for every instruction set.
 *
 * `v16` is 16 floats; the compiler makes of it one AVX-512, two AVX or four SSE/NEON registers,
 * after the wrapper that it is inlined into. Products and sums are separate roundings in every
 * variant (the build says -ffp-contract=off), so these helpers give the same bits everywhere.
 * Values go in and out by pointer: vectors as arguments would tie the ABI to a register width.
 * Private to tensor/cpu/.
 */
#ifndef CRIA_TENSOR_CPU_ROWS_H
#define CRIA_TENSOR_CPU_ROWS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tensor/cpu/cpu.h"

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t v16i __attribute__((vector_size(64)));

INLINE void v16_load(v16 *v, const float *p) { memcpy(v, p, sizeof *v); }

INLINE void v16_store(float *p, const v16 *v) { memcpy(p, v, sizeof *v); }

/* The first n of 16, the others zero. */
INLINE void v16_load_part(v16 *v, const float *p, int64_t n)
{
    float part[16] = {0};
    memcpy(part, p, (size_t)n * sizeof *p);
    memcpy(v, part, sizeof *v);
}

typedef float v8 __attribute__((vector_size(32)));
typedef float v4 __attribute__((vector_size(16)));

/* Folded pairwise: lane i with i + 8, then + 4, + 2, + 1. */
INLINE float v16_sum(const v16 *v)
{
    v8 a[2];
    memcpy(a, v, sizeof a);
    a[0] += a[1];
    v4 b[2];
    memcpy(b, a, sizeof b);
    b[0] += b[1];
    return (b[0][0] + b[0][2]) + (b[0][1] + b[0][3]);
}

/* Lanes of a where the mask is set (all bits), of b elsewhere. C has no ?: of vectors. */
INLINE void v16_pick(v16 *y, const v16i *mask, const v16 *a, const v16 *b)
{
    *y = (v16)((*mask & (v16i)*a) | (~*mask & (v16i)*b));
}

INLINE void v16_raise(v16 *x, const v16 *least)
{
    const v16i mask = *x < *least;
    v16_pick(x, &mask, least, x);
}

INLINE float v16_max(const v16 *v)
{
    float a[16];
    memcpy(a, v, sizeof a);
    for (int i = 0; i < 8; i++) a[i] = a[i] > a[i + 8] ? a[i] : a[i + 8];
    for (int i = 0; i < 4; i++) a[i] = a[i] > a[i + 4] ? a[i] : a[i + 4];
    a[0] = a[0] > a[2] ? a[0] : a[2];
    a[1] = a[1] > a[3] ? a[1] : a[3];
    return a[0] > a[1] ? a[0] : a[1];
}

/* Sum of x[i] y[i] in 16 lanes. */
INLINE float dot_16(const float *x, const float *y, int64_t n)
{
    v16 acc = {0}, a, b;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_load(&a, x + i);
        v16_load(&b, y + i);
        acc += a * b;
    }
    if (i < n) {
        v16_load_part(&a, x + i, n - i);
        v16_load_part(&b, y + i, n - i);
        acc += a * b;
    }
    return v16_sum(&acc);
}

/* 1 / rms(x) (Zhang & Sennrich 2019, eq. 4, eps inside the root). */
INLINE float rms_scale(const float *x, int64_t d, float eps)
{
    return 1.0f / sqrtf(dot_16(x, x, d) / (float)d + eps);
}

/* e^x in place, relative error below 2e-7 for x in [-87.3, 88]; below it gives 0 (and not a
 * subnormal), above it stays at e^88. x = n ln 2 + r, |r| <= ln 2 / 2, the Taylor sum of e^r up to
 * r^7 / 7! (rest 5e-9), 2^n by adding n to the exponent. NaN stays NaN. */
INLINE void v16_exp(v16 *x)
{
    const v16 zero = {0};
    const v16 least = zero - 87.3f, most = zero + 88.0f;
    const v16i is_tiny = *x<least, is_huge = *x> most;
    v16 v = *x;
    v16_pick(&v, &is_tiny, &least, &v);
    v16_pick(&v, &is_huge, &most, &v);
    const v16 magic = zero + 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const v16 n = (v * 1.44269504088896341f + magic) - magic;
    const v16 r = (v - n * 0.693359375f) - n * -2.12194440e-4f; /* ln 2 in two parts */
    v16 p = r * (1.0f / 5040) + (1.0f / 720);
    p = p * r + (1.0f / 120);
    p = p * r + (1.0f / 24);
    p = p * r + (1.0f / 6);
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    const v16i e = __builtin_convertvector(n, v16i) << 23;
    p = (v16)((v16i)p + e);
    v16_pick(x, &is_tiny, &zero, &p);
}

INLINE float exp_1(float x)
{
    v16 v = {x};
    v16_exp(&v);
    return v[0];
}

/* silu(g) * u: g u / (1 + e^-g). */
INLINE void v16_swiglu(v16 *y, const v16 *g, const v16 *u)
{
    v16 e = -*g;
    v16_exp(&e);
    *y = *g / (1.0f + e) * *u;
}

/* y[i] = silu(g[i]) u[i]. y may be g or u. */
INLINE void swiglu_row(float *y, const float *g, const float *u, int64_t n)
{
    v16 a, b;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_load(&a, g + i);
        v16_load(&b, u + i);
        v16_swiglu(&a, &a, &b);
        v16_store(y + i, &a);
    }
    if (i < n) {
        v16_load_part(&a, g + i, n - i);
        v16_load_part(&b, u + i, n - i);
        v16_swiglu(&a, &a, &b);
        memcpy(y + i, &a, (size_t)(n - i) * sizeof *y);
    }
}

/* y[i] = x[i] * scale * w[i]. */
INLINE void rmsnorm_row(float *y, const float *x, const float *w, float scale, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * scale * w[i];
}

#endif
