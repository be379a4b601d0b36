/* SPDX-License-Identifier: Apache-2.0
 *
 * linear_interleaved.c - one to seven tokens times weights in groups of 16 rows: AVX512-VNNI.
 *
 * A register holds 4 weights of each of 16 rows (interleave.h), vpdpbusd multiplies them with the
 * same 4 activations, broadcast from memory, and sums of a block stay in 16 lanes of 32 bits,
 * exactly. Weights are taken as they lie: low nibbles by one mask, high ones by another, which
 * leaves them 16 times too large, and the sum or the scale is divided for all of them at once.
 * Signed weights are unsigned with an offset; what that adds to a sum is known from the activations
 * and is where the sum starts (struct act_sums). Activations are those of linear_avx512.c: 8 bits,
 * a scale for each 32.
 *
 * For 64 weights of Q4_0 these are 4 instructions instead of 14, of Q4_K 5, of Q6_K 7: one core
 * takes in more than memory gives it. A group is one stream, but Zen 5 does not run ahead of it far
 * enough by itself: without the prefetches Q4_K came at two thirds of the speed there.
 * Begin reading at DOT_GROUP.
 */
#include "tensor/cpu/linear_interleaved.h"

#if CRIA_X86
#include <immintrin.h>
#include <string.h>

#include "tensor/cpu/interleave.h"
#include "tensor/cpu/linear_vnni.h"

enum {
    TOK = 4,      /* tokens of one pass over a group, at most */
    AHEAD = 4096, /* bytes of weights to prefetch */
};

/* ---- steps: a block of 16 rows, its bytes at w, times n_tok tokens ------------------------- */

/* The input of a step: activations [n_tok] of 256, `b` the block of 32 in them. */
struct acts {
    const struct act8 *a;
    const struct act_sums *s;
    int64_t ld; /* from a token to the next */
};

/* Once: GCC would rather load it again for each use, and loads are what there are most of. Memory
 * is read in this order, so what is AHEAD of it comes next. */
INLINE TARGET_BF16 __m512i load_64(const uint8_t *p)
{
    _mm_prefetch((const char *)p + AHEAD, _MM_HINT_T0);
    __m512i v = _mm512_loadu_si512(p);
    __asm__("" : "+v"(v));
    return v;
}
INLINE TARGET_BF16 __m512i set_bytes(int v) { return _mm512_set1_epi8((char)v); }

INLINE TARGET_BF16 __m512 halves(const uint8_t *p) /* 16 of float16 */
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

INLINE TARGET_BF16 __m512i four(const int8_t *q) /* in each lane */
{
    int32_t v = 0;
    memcpy(&v, q, sizeof v);
    return _mm512_set1_epi32(v);
}

/* acc + v of block b of 32, scaled by the activations' scale and by s. */
INLINE TARGET_BF16 __m512 scaled(__m512 acc, __m512i v, __m512 s, const struct act_sums *a, int b)
{
    const __m512 f = _mm512_mul_ps(_mm512_cvtepi32_ps(v), _mm512_set1_ps(a->d[b]));
    return _mm512_fmadd_ps(f, s, acc);
}

/* sum[t] += block b of 32 weights, 16 bytes of nibbles a row, at w. */
INLINE TARGET_BF16 void dot_nibbles(__m512i sum[], const struct acts *x, int b, const uint8_t *w,
                                    const int n_tok)
{
    __m512i high[TOK]; /* 16 times too large */
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) high[t] = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const __m512i v = load_64(w + 64 * j);
        const __m512i v0 = _mm512_and_si512(v, set_bytes(0x0f));
        const __m512i v1 = _mm512_and_si512(v, set_bytes(0xf0));
#pragma GCC unroll 4
        for (int t = 0; t < n_tok; t++) {
            const int8_t *q = x->a[t * x->ld].q + 32 * b + 4 * j;
            sum[t] = _mm512_dpbusd_epi32(sum[t], v0, four(q));
            high[t] = _mm512_dpbusd_epi32(high[t], v1, four(q + 16));
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++)
        sum[t] = _mm512_add_epi32(sum[t], _mm512_srai_epi32(high[t], 4));
}

INLINE TARGET_BF16 void step_q4_0(__m512 acc[], const struct acts *x, int b, const uint8_t *w,
                                  const int n_tok)
{
    const __m512 s = halves(w);
    __m512i sum[TOK];
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) sum[t] = _mm512_set1_epi32(x->s[t * x->ld].from_8[b]);
    dot_nibbles(sum, x, b, w + 32, n_tok);
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) acc[t] = scaled(acc[t], sum[t], s, &x->s[t * x->ld], b);
}

INLINE TARGET_BF16 void step_q4_1(__m512 acc[], const struct acts *x, int b, const uint8_t *w,
                                  const int n_tok)
{
    const __m512 s = halves(w), least = halves(w + 32);
    __m512i sum[TOK];
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) sum[t] = _mm512_setzero_si512();
    dot_nibbles(sum, x, b, w + 64, n_tok);
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) {
        const struct act_sums *a = &x->s[t * x->ld];
        acc[t] = scaled(acc[t], sum[t], s, a, b);
        acc[t] = _mm512_fmadd_ps(least, _mm512_set1_ps(a->sum[b]), acc[t]);
    }
}

INLINE TARGET_BF16 void step_q8_0(__m512 acc[], const struct acts *x, int b, const uint8_t *w,
                                  const int n_tok)
{
    const __m512 s = halves(w);
    __m512i sum[TOK];
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) sum[t] = _mm512_set1_epi32(x->s[t * x->ld].from_128[b]);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        const __m512i v = _mm512_xor_si512(load_64(w + 32 + 64 * j), set_bytes(0x80));
#pragma GCC unroll 4
        for (int t = 0; t < n_tok; t++)
            sum[t] = _mm512_dpbusd_epi32(sum[t], v, four(x->a[t * x->ld].q + 32 * b + 4 * j));
    }
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) acc[t] = scaled(acc[t], sum[t], s, &x->s[t * x->ld], b);
}

/* Byte b % 4 of each lane, unsigned. */
INLINE TARGET_BF16 __m512 byte_of(__m512i v, int b)
{
    const __m512i moved = _mm512_srl_epi32(v, _mm_cvtsi32_si128(8 * (b % 4)));
    return _mm512_cvtepi32_ps(_mm512_and_si512(moved, _mm512_set1_epi32(0xff)));
}

/* Scales and minima of 8 blocks of 32, 6 bits each: low[0] holds those of 0 .. 3 a byte each,
 * high[0] those of 4 .. 7; [1] the minima. */
INLINE TARGET_BF16 void scales_q4_k(__m512i low[2], __m512i high[2], const uint8_t *w)
{
    const __m512i u0 = load_64(w), u1 = load_64(w + 64), u2 = load_64(w + 128);
    const __m512i six = set_bytes(0x3f), nibble = set_bytes(0x0f), top = set_bytes(0x30);
    low[0] = _mm512_and_si512(u0, six);
    low[1] = _mm512_and_si512(u1, six);
    high[0] = _mm512_or_si512(_mm512_and_si512(u2, nibble),
                              _mm512_and_si512(_mm512_srli_epi32(u0, 2), top));
    high[1] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(u2, 4), nibble),
                              _mm512_and_si512(_mm512_srli_epi32(u1, 2), top));
}

INLINE TARGET_BF16 void step_q4_k(__m512 acc[], const struct acts *x, const uint8_t *w,
                                  const int n_tok)
{
    __m512i low[2], high[2];
    scales_q4_k(low, high, w + 64);
    __m512 sum[TOK], minima[TOK];
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) sum[t] = minima[t] = _mm512_setzero_ps();
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        const uint8_t *p = w + 256 + 512 * c;
        __m512i v0[TOK], v1[TOK];
#pragma GCC unroll 4
        for (int t = 0; t < n_tok; t++) v0[t] = v1[t] = _mm512_setzero_si512();
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            const __m512i v = load_64(p + 64 * j);
            const __m512i a = _mm512_and_si512(v, set_bytes(0x0f));
            const __m512i b = _mm512_and_si512(v, set_bytes(0xf0));
#pragma GCC unroll 4
            for (int t = 0; t < n_tok; t++) {
                const int8_t *q = x->a[t * x->ld].q + 64 * c + 4 * j;
                v0[t] = _mm512_dpbusd_epi32(v0[t], a, four(q));
                v1[t] = _mm512_dpbusd_epi32(v1[t], b, four(q + 32));
            }
        }
        const int i = 2 * c;
        const __m512i *part = i < 4 ? low : high;
        const __m512 s0 = byte_of(part[0], i), m0 = byte_of(part[1], i),
                     m1 = byte_of(part[1], i + 1);
        const __m512 s1 = _mm512_mul_ps(byte_of(part[0], i + 1), _mm512_set1_ps(1.0f / 16));
#pragma GCC unroll 4
        for (int t = 0; t < n_tok; t++) {
            const struct act_sums *a = &x->s[t * x->ld];
            sum[t] = scaled(sum[t], v0[t], s0, a, i);
            sum[t] = scaled(sum[t], v1[t], s1, a, i + 1);
            minima[t] = _mm512_fmadd_ps(m0, _mm512_set1_ps(a->sum[i]), minima[t]);
            minima[t] = _mm512_fmadd_ps(m1, _mm512_set1_ps(a->sum[i + 1]), minima[t]);
        }
    }
    const __m512 d = halves(w), d_min = halves(w + 32);
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) {
        acc[t] = _mm512_fmadd_ps(d, sum[t], acc[t]);
        acc[t] = _mm512_fnmadd_ps(d_min, minima[t], acc[t]);
    }
}

/* Weights of 6 bits from 4 low and 2 high bits: (low & 15) | (high & 48). */
INLINE TARGET_BF16 __m512i six_bits(__m512i low, __m512i high)
{
    const __m512i v = _mm512_ternarylogic_epi32(set_bytes(0x0f), low, high, 0xca);
    return _mm512_and_si512(v, set_bytes(0x3f));
}

/* The four weights of each of 4 runs, from two words of low bits and one of high ones. */
INLINE TARGET_BF16 void words_q6_k(__m512i u[4], const uint8_t *w)
{
    const __m512i a = load_64(w), b = load_64(w + 64), top = load_64(w + 128);
    u[0] = six_bits(a, _mm512_slli_epi32(top, 4));
    u[1] = six_bits(b, _mm512_slli_epi32(top, 2));
    u[2] = six_bits(_mm512_srli_epi32(a, 4), top);
    u[3] = six_bits(_mm512_srli_epi32(b, 4), _mm512_srli_epi32(top, 2));
}

/* Byte b % 4 of each lane, signed. */
INLINE TARGET_BF16 __m512 signed_byte_of(__m512i v, int b)
{
    const __m512i moved = _mm512_sll_epi32(v, _mm_cvtsi32_si128(24 - 8 * (b % 4)));
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(moved, 24));
}

INLINE TARGET_BF16 void step_q6_k(__m512 acc[], const struct acts *x, const uint8_t *w,
                                  const int n_tok)
{
    const uint8_t *scales = w + 32, *words = scales + 256;
    __m512 sum[TOK];
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) sum[t] = _mm512_setzero_ps();
#pragma GCC unroll 4
    for (int p = 0; p < 4; p++) { /* 16 of each of 4 runs of 32 */
        const int h = p / 2, half = p % 2;
        __m512i v[4][TOK];
#pragma GCC unroll 4
        for (int e = 0; e < 4; e++)
#pragma GCC unroll 4
            for (int t = 0; t < n_tok; t++)
                v[e][t] = _mm512_set1_epi32(x->s[t * x->ld].from_32[8 * h + 2 * e + half]);
#pragma GCC unroll 4
        for (int j = 4 * half; j < 4 * half + 4; j++) {
            __m512i u[4];
            words_q6_k(u, words + 64 * 3 * (8 * h + j));
#pragma GCC unroll 4
            for (int e = 0; e < 4; e++)
#pragma GCC unroll 4
                for (int t = 0; t < n_tok; t++)
                    v[e][t] = _mm512_dpbusd_epi32(
                        v[e][t], u[e], four(x->a[t * x->ld].q + 128 * h + 32 * e + 4 * j));
        }
#pragma GCC unroll 4
        for (int e = 0; e < 4; e++) {
            const int i = 8 * h + 2 * e + half;
            const __m512 s = signed_byte_of(load_64(scales + 64 * (i / 4)), i);
#pragma GCC unroll 4
            for (int t = 0; t < n_tok; t++)
                sum[t] = scaled(sum[t], v[e][t], s, &x->s[t * x->ld], 4 * h + e);
        }
    }
    const __m512 d = halves(w);
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) acc[t] = _mm512_fmadd_ps(d, sum[t], acc[t]);
}

/* ---- groups -------------------------------------------------------------------------------- */

typedef void step_32_fn(__m512 acc[], const struct acts *x, int b, const uint8_t *w,
                        const int n_tok);
typedef void step_256_fn(__m512 acc[], const struct acts *x, const uint8_t *w, const int n_tok);

/* n_tok tokens from `first` on; step_32 or step_256 is NULL. */
INLINE TARGET_BF16 void dot_some(float *dot, const struct few_in *in, int64_t first,
                                 const uint8_t *w, step_32_fn *step_32, step_256_fn *step_256,
                                 const int block_bytes, const int n_tok)
{
    const int64_t ld = in->ld_x / ACT;
    struct acts x = {.a = in->q + first * ld, .s = in->sums + first * ld, .ld = ld};
    __m512 acc[TOK];
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) acc[t] = _mm512_setzero_ps();
    const int group_bytes = GROUP_ROWS * block_bytes;
    if (step_256)
        for (int64_t i = 0; i < in->k; i += ACT, w += group_bytes, x.a++, x.s++)
            step_256(acc, &x, w, n_tok);
    else
        for (int64_t i = 0; i < in->k; i += 32, w += group_bytes) {
            step_32(acc, &x, (int)(i / 32 % 8), w, n_tok);
            if (i % ACT == ACT - 32) x.a++, x.s++;
        }
    const __m512i rows =
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32(FEW));
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++)
        _mm512_i32scatter_ps(dot + first + t, rows, acc[t], sizeof(float));
}

#define DOT_GROUP(name, step_32, step_256, block_bytes)                                            \
    TARGET_BF16                                                                                    \
    static void dot_##name(float *dot, const struct few_in *in, const uint8_t *w)                  \
    {                                                                                              \
        if (in->n_tok == 1) {                                                                      \
            dot_some(dot, in, 0, w, step_32, step_256, block_bytes, 1);                            \
            return;                                                                                \
        }                                                                                          \
        for (int64_t t = 0; t < in->n_tok; t += TOK)                                               \
            dot_some(dot, in, t, w, step_32, step_256, block_bytes, TOK);                          \
    }
DOT_GROUP(q4_0, step_q4_0, NULL, 18)
DOT_GROUP(q4_1, step_q4_1, NULL, 20)
DOT_GROUP(q8_0, step_q8_0, NULL, 34)
DOT_GROUP(q4_k, NULL, step_q4_k, 144)
DOT_GROUP(q6_k, NULL, step_q6_k, 210)

dot_group_fn *const dot_groups_vnni[DT_COUNT] = {[DT_Q4_0] = dot_q4_0,
                                                 [DT_Q4_1] = dot_q4_1,
                                                 [DT_Q8_0] = dot_q8_0,
                                                 [DT_Q4_K] = dot_q4_k,
                                                 [DT_Q6_K] = dot_q6_k};

bool interleaves_vnni(enum dtype type) { return dot_groups_vnni[type] != NULL; }

/* ---- panels for many tokens --------------------------------------------------------------- */

/* Weights 4 j .. 4 j + 3 of a record's 32. */
INLINE TARGET_BF16 void put_word(uint8_t *record, int j, __m512i v)
{
    _mm512_store_si512(record + 64 * j, v);
}

INLINE TARGET_BF16 void put_scale(uint8_t *record, int i, __m512 v)
{
    _mm512_store_ps(record + RECORD_Q + 64 * i, v);
}

/* The high nibbles of bytes. */
INLINE TARGET_BF16 __m512i high_nibbles(__m512i v)
{
    return _mm512_and_si512(_mm512_srli_epi32(v, 4), set_bytes(0x0f));
}

TARGET_BF16 static uint8_t *panel_q4_0(uint8_t *to, const uint8_t *w, int64_t n)
{
    const __m512i offset = set_bytes(128 - 8);
    for (; n > 0; n -= 32, w += GROUP_ROWS * 18, to += record_bytes(false, true)) {
        for (int j = 0; j < 4; j++) {
            const __m512i v = load_64(w + 32 + 64 * j);
            const __m512i low = _mm512_and_si512(v, set_bytes(0x0f));
            put_word(to, j, _mm512_add_epi8(low, offset));
            put_word(to, 4 + j, _mm512_add_epi8(high_nibbles(v), offset));
        }
        put_scale(to, 0, halves(w));
    }
    return to;
}

TARGET_BF16 static uint8_t *panel_q4_1(uint8_t *to, const uint8_t *w, int64_t n)
{
    const __m512 zero = _mm512_setzero_ps();
    for (; n > 0; n -= 32, w += GROUP_ROWS * 20, to += record_bytes(true, true)) {
        for (int j = 0; j < 4; j++) {
            const __m512i v = load_64(w + 64 + 64 * j);
            put_word(to, j, _mm512_and_si512(v, set_bytes(0x0f)));
            put_word(to, 4 + j, high_nibbles(v));
        }
        put_scale(to, 0, halves(w));
        put_scale(to, 1, _mm512_sub_ps(zero, halves(w + 32)));
    }
    return to;
}

TARGET_BF16 static uint8_t *panel_q8_0(uint8_t *to, const uint8_t *w, int64_t n)
{
    for (; n > 0; n -= 32, w += GROUP_ROWS * 34, to += record_bytes(false, true)) {
        for (int j = 0; j < 8; j++)
            put_word(to, j, _mm512_xor_si512(load_64(w + 32 + 64 * j), set_bytes(0x80)));
        put_scale(to, 0, halves(w));
    }
    return to;
}

TARGET_BF16 static uint8_t *panel_q4_k(uint8_t *to, const uint8_t *w, int64_t n)
{
    for (; n > 0; n -= ACT, w += GROUP_ROWS * 144) {
        __m512i low[2], high[2];
        scales_q4_k(low, high, w + 64);
        const __m512 d = halves(w), d_min = halves(w + 32);
        for (int b = 0; b < 8; b++, to += record_bytes(true, true)) {
            const uint8_t *p = w + 256 + 512 * (b / 2);
            for (int j = 0; j < 8; j++) {
                const __m512i v = load_64(p + 64 * j);
                put_word(to, j, b % 2 ? high_nibbles(v) : _mm512_and_si512(v, set_bytes(0x0f)));
            }
            const __m512i *part = b < 4 ? low : high;
            put_scale(to, 0, _mm512_mul_ps(d, byte_of(part[0], b)));
            put_scale(to, 1, _mm512_mul_ps(d_min, byte_of(part[1], b)));
        }
    }
    return to;
}

TARGET_BF16 static uint8_t *panel_q6_k(uint8_t *to, const uint8_t *w, int64_t n)
{
    const __m512i offset = set_bytes(128 - 32);
    for (; n > 0; n -= ACT, w += GROUP_ROWS * 210, to += 8 * record_bytes(false, false)) {
        const __m512 d = halves(w);
        for (int i = 0; i < 16; i++) { /* words j of 4 records */
            const int h = i / 8, j = i % 8;
            __m512i u[4];
            words_q6_k(u, w + 32 + 256 + 64 * 3 * i);
            for (int e = 0; e < 4; e++)
                put_word(to + (4 * h + e) * record_bytes(false, false), j,
                         _mm512_add_epi8(u[e], offset));
        }
        for (int i = 0; i < 16; i++) {
            const __m512 s = signed_byte_of(load_64(w + 32 + 64 * (i / 4)), i);
            put_scale(to + i / 2 * record_bytes(false, false), i % 2, _mm512_mul_ps(d, s));
        }
    }
    return to;
}

panel_group_fn *const panel_groups_vnni[DT_COUNT] = {[DT_Q4_0] = panel_q4_0,
                                                     [DT_Q4_1] = panel_q4_1,
                                                     [DT_Q8_0] = panel_q8_0,
                                                     [DT_Q4_K] = panel_q4_k,
                                                     [DT_Q6_K] = panel_q6_k};
#endif
