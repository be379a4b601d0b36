/* SPDX-License-Identifier: Apache-2.0
 *
 * block32.c - Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: 32 elements, one float16 scale, perhaps a minimum.
 *
 * Layouts (byte offsets; nibble j of qs[16]: low halves are elements 0..15, high ones 16..31):
 *   Q4_0  d@0 qs@2          x = d (q - 8)
 *   Q4_1  d@0 m@2 qs@4      x = d q + m
 *   Q5_0  d@0 qh@2 qs@6     x = d (q - 16), q = nibble | bit j of the 32-bit qh, times 16
 *   Q5_1  d@0 m@2 qh@4 qs@8 x = d q + m
 *   Q8_0  d@0 int8 q@2      x = d q
 *
 * Without weights the encoders are the published ones, bit for bit (the scale that just reaches
 * the largest element; q from the scale before it was rounded to float16), so that files can be
 * compared with anyone's; beyond the range of float16, where those write infinities, the scale is
 * clamped. With weights scale and minimum are searched (fit.c).
 */
#include <math.h>
#include <string.h>

#include "tensor/quant/quant.h"

enum { N = 32 };

/* ---- fields ---- */

static void get_nibbles(uint8_t q[N], const uint8_t *qs)
{
    for (int j = 0; j < N / 2; j++) {
        q[j] = qs[j] & 15;
        q[j + N / 2] = qs[j] >> 4;
    }
}

static void put_nibbles(uint8_t *qs, const uint8_t q[N])
{
    for (int j = 0; j < N / 2; j++) qs[j] = (uint8_t)((q[j] & 15) | (q[j + N / 2] & 15) << 4);
}

/* Adds the fifth bits. */
static void get_fifth(uint8_t q[N], const uint8_t *qh)
{
    for (int j = 0; j < N; j++) q[j] = (uint8_t)(q[j] | (qh[j / 8] >> j % 8 & 1) << 4);
}

static void put_fifth(uint8_t *qh, const uint8_t q[N])
{
    memset(qh, 0, 4);
    for (int j = 0; j < N; j++) qh[j / 8] = (uint8_t)(qh[j / 8] | (q[j] >> 4 & 1) << j % 8);
}

/* ---- the published encoders' way ---- */

/* NaN and values out of range as quant.h says. */
static void clean_block(float x[N], const float *src)
{
    for (int i = 0; i < N; i++)
        x[i] = src[i] > BLOCK_LIMIT    ? BLOCK_LIMIT
               : src[i] < -BLOCK_LIMIT ? -BLOCK_LIMIT
               : src[i] == src[i]      ? src[i]
                                       : 0.0f;
}

/* The first of the elements with the largest |x|. */
static float peak_of(const float x[N])
{
    float peak = x[0];
    for (int i = 1; i < N; i++)
        if (fabsf(x[i]) > fabsf(peak)) peak = x[i];
    return peak;
}

/* 1 / d; 0 where that is no number. d beyond float16 is cut first, see above. */
static float inverse_of(float *d)
{
    const float most = 65504.0f;
    *d = *d > most ? most : *d < -most ? -most : *d;
    const float inverse = *d == 0.0f ? 0.0f : 1.0f / *d;
    return fabsf(inverse) < INFINITY ? inverse : 0.0f;
}

/* The peak at -half: q in 0 .. 2 half - 1 around half. As published: x / d and half in one
 * rounding, then cut off. */
static void centred_plain(uint8_t q[N], uint8_t *d_at, const float *src, int half)
{
    float x[N];
    clean_block(x, src);
    float d = peak_of(x) / -(float)half;
    const double inverse = (double)inverse_of(&d), middle = (double)half + 0.5;
    const float top = (float)(2 * half - 1);
    put_f16(d_at, d);
    for (int i = 0; i < N; i++) {
        const float t = (float)((double)x[i] * inverse + middle);
        q[i] = (uint8_t)(int)(t < 0.0f ? 0.0f : t > top ? top : t);
    }
}

/* The least element at 0, the largest at `top`. */
static void ranged_plain(uint8_t q[N], uint8_t *d_at, const float *src, int top)
{
    float x[N];
    clean_block(x, src);
    float least = x[0], most = x[0];
    for (int i = 1; i < N; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    float d = (most - least) / (float)top;
    const float inverse = inverse_of(&d);
    put_f16(d_at, d);
    put_f16(d_at + 2, least);
    for (int i = 0; i < N; i++) {
        const float t = (x[i] - least) * inverse + 0.5f;
        q[i] = (uint8_t)(t > (float)top ? top : (int)t);
    }
}

/* ---- with weights ---- */

static void centred_weighted(uint8_t q[N], uint8_t *d_at, const float *src, const float *weight,
                             int half)
{
    struct part p;
    int8_t r[N] = {0};
    const struct grid g = {(float)-half, (float)(half - 1), NULL};
    const float power = parts_load(&p, 1, N, src, weight);
    const float s = power > 0.0f ? part_fit_scale(&p, &g) : 0.0f;
    const float d = put_scale(d_at, s * power);
    if (power > 0.0f) (void)part_round(&p, d / power, 0.0f, &g, r);
    for (int i = 0; i < N; i++) q[i] = (uint8_t)(r[i] + half);
}

static void ranged_weighted(uint8_t q[N], uint8_t *d_at, const float *src, const float *weight,
                            int top)
{
    struct part p;
    int8_t r[N] = {0};
    float s = 0.0f, m = 0.0f;
    const struct grid g = {0.0f, (float)top, NULL};
    const float power = parts_load(&p, 1, N, src, weight);
    if (power > 0.0f) part_fit_pair(&p, &g, false, &s, &m);
    const float d = put_scale(d_at, s * power), least = put_f16(d_at + 2, -m * power);
    if (power > 0.0f) (void)part_round(&p, d / power, -least / power, &g, r);
    for (int i = 0; i < N; i++) q[i] = (uint8_t)r[i];
}

static void centred(uint8_t q[N], uint8_t *d_at, const float *src, const float *weight, int half)
{
    if (weight)
        centred_weighted(q, d_at, src, weight, half);
    else
        centred_plain(q, d_at, src, half);
}

static void ranged(uint8_t q[N], uint8_t *d_at, const float *src, const float *weight, int top)
{
    if (weight)
        ranged_weighted(q, d_at, src, weight, top);
    else
        ranged_plain(q, d_at, src, top);
}

/* ---- Q4_0 ---- */

static void q4_0_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *b = src;
    uint8_t q[N];
    for (int64_t at = 0; at < n; at += N, b += 18) {
        const float d = get_f16(b);
        get_nibbles(q, b + 2);
        for (int i = 0; i < N; i++) dst[at + i] = d * (float)(q[i] - 8);
    }
}

static void q4_0_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    uint8_t *b = dst, q[N];
    for (int64_t at = 0; at < n; at += N, b += 18) {
        centred(q, b, src + at, weight ? weight + at : NULL, 8);
        put_nibbles(b + 2, q);
    }
}

const struct dtype_info quant_q4_0 = {
    .name = "q4_0",
    .what = "4 bits in blocks of 32, 4.5 in all; simple and fast",
    .id = DT_Q4_0,
    .ggml_id = 2,
    .file_type = 2,
    .block_elems = N,
    .block_bytes = 18,
    .is_quantized = true,
    .max_rel_err = 1.01f / 8,
    .decode = q4_0_decode,
    .encode = q4_0_encode,
};

/* ---- Q4_1 ---- */

static void q4_1_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *b = src;
    uint8_t q[N];
    for (int64_t at = 0; at < n; at += N, b += 20) {
        const float d = get_f16(b), m = get_f16(b + 2);
        get_nibbles(q, b + 4);
        for (int i = 0; i < N; i++) dst[at + i] = d * (float)q[i] + m;
    }
}

static void q4_1_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    uint8_t *b = dst, q[N];
    for (int64_t at = 0; at < n; at += N, b += 20) {
        ranged(q, b, src + at, weight ? weight + at : NULL, 15);
        put_nibbles(b + 4, q);
    }
}

const struct dtype_info quant_q4_1 = {
    .name = "q4_1",
    .what = "4 bits and a minimum in blocks of 32, 5 in all",
    .id = DT_Q4_1,
    .ggml_id = 3,
    .file_type = 3,
    .block_elems = N,
    .block_bytes = 20,
    .is_quantized = true,
    .max_rel_err = 1.02f / 15,
    .decode = q4_1_decode,
    .encode = q4_1_encode,
};

/* ---- Q5_0 ---- */

static void q5_0_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *b = src;
    uint8_t q[N];
    for (int64_t at = 0; at < n; at += N, b += 22) {
        const float d = get_f16(b);
        get_nibbles(q, b + 6);
        get_fifth(q, b + 2);
        for (int i = 0; i < N; i++) dst[at + i] = d * (float)(q[i] - 16);
    }
}

static void q5_0_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    uint8_t *b = dst, q[N];
    for (int64_t at = 0; at < n; at += N, b += 22) {
        centred(q, b, src + at, weight ? weight + at : NULL, 16);
        put_fifth(b + 2, q);
        put_nibbles(b + 6, q);
    }
}

const struct dtype_info quant_q5_0 = {
    .name = "q5_0",
    .what = "5 bits in blocks of 32, 5.5 in all",
    .id = DT_Q5_0,
    .ggml_id = 6,
    .file_type = 8,
    .block_elems = N,
    .block_bytes = 22,
    .is_quantized = true,
    .max_rel_err = 1.02f / 16,
    .decode = q5_0_decode,
    .encode = q5_0_encode,
};

/* ---- Q5_1 ---- */

static void q5_1_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *b = src;
    uint8_t q[N];
    for (int64_t at = 0; at < n; at += N, b += 24) {
        const float d = get_f16(b), m = get_f16(b + 2);
        get_nibbles(q, b + 8);
        get_fifth(q, b + 4);
        for (int i = 0; i < N; i++) dst[at + i] = d * (float)q[i] + m;
    }
}

static void q5_1_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    uint8_t *b = dst, q[N];
    for (int64_t at = 0; at < n; at += N, b += 24) {
        ranged(q, b, src + at, weight ? weight + at : NULL, 31);
        put_fifth(b + 4, q);
        put_nibbles(b + 8, q);
    }
}

const struct dtype_info quant_q5_1 = {
    .name = "q5_1",
    .what = "5 bits and a minimum in blocks of 32, 6 in all",
    .id = DT_Q5_1,
    .ggml_id = 7,
    .file_type = 9,
    .block_elems = N,
    .block_bytes = 24,
    .is_quantized = true,
    .max_rel_err = 1.04f / 31,
    .decode = q5_1_decode,
    .encode = q5_1_encode,
};

/* ---- Q8_0 ---- */

static void q8_0_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t at = 0; at < n; at += N, b += 34) {
        const float d = get_f16(b);
        for (int i = 0; i < N; i++) dst[at + i] = d * (float)(int8_t)b[2 + i];
    }
}

static void q8_0_plain(uint8_t *b, const float *src)
{
    float x[N];
    clean_block(x, src);
    float d = fabsf(peak_of(x)) / 127.0f;
    const float inverse = inverse_of(&d);
    put_f16(b, d);
    for (int i = 0; i < N; i++) { /* halves away from 0 */
        const float t = x[i] * inverse, a = fabsf(t), whole = (float)(int)fminf(a, 127.0f);
        const float q = whole + (a - whole >= 0.5f && whole < 127.0f ? 1.0f : 0.0f);
        b[2 + i] = (uint8_t)(int8_t)(t < 0.0f ? -q : q);
    }
}

static void q8_0_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    uint8_t *b = dst, q[N];
    for (int64_t at = 0; at < n; at += N, b += 34) {
        if (weight) {
            centred_weighted(q, b, src + at, weight + at, 128);
            for (int i = 0; i < N; i++) b[2 + i] = (uint8_t)(q[i] - 128);
        } else {
            q8_0_plain(b, src + at);
        }
    }
}

const struct dtype_info quant_q8_0 = {
    .name = "q8_0",
    .what = "8 bits in blocks of 32, 8.5 in all; near lossless",
    .id = DT_Q8_0,
    .ggml_id = 8,
    .file_type = 7,
    .block_elems = N,
    .block_bytes = 34,
    .is_quantized = true,
    .max_rel_err = 1.2f / 254,
    .decode = q8_0_decode,
    .encode = q8_0_encode,
};
