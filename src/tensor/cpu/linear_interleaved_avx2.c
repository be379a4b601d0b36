/* SPDX-License-Identifier: Apache-2.0
 *
 * linear_interleaved_avx2.c - one to seven tokens times weights in groups of 16 rows: AVX2.
 *
 * The plan is linear_interleaved.c's, half as wide: a register holds 4 weights of each of 8 rows
 * (interleave.h), rows lie across the lanes, four activations are broadcast, and no row is added up
 * at its end. AVX2 multiplies bytes into sums of two that saturate at 16 bits (vpmaddubsw), and
 * widening each of those would cost as much as the product, so they are added in 16 bits as far as
 * they fit:
 *
 *   4 bits   u <= 15: a pair is at most 2 * 15 * 127 = 3810; 8 of them, a block of 32: 30480.
 *   5 bits   u <= 31: 7874; 4 of them, half a block: 31496.
 *   6 bits   u <= 63: 16002; 2 of them: 32004.
 *   8 bits   |w| times q with the sign of w: 2 * 128 * 127 = 32512; each is widened.
 *
 * vpmaddwd then widens and adds two lanes, and multiplies with the scale of a sub-block where that
 * is an integer (Q4_K, Q6_K): at most 2^24, which float holds exactly. So results differ from those
 * of rows by the order of float sums alone.
 *
 * For 32 weights of a row these are 5 instructions instead of 10 (Q4_0), 6 instead of 15 (Q5_0).
 * Begin reading at DOT_GROUP.
 */
#include "tensor/cpu/linear_interleaved.h"

#if CRIA_X86
#include <immintrin.h>

#include "tensor/cpu/interleave.h"
#include "tensor/cpu/unpack_avx2.h"

enum {
    TOK = 4,               /* tokens of one pass over a group, at most */
    HALF = GROUP_ROWS / 2, /* rows of a register */
    WORD = GROUP_ROWS * 4,
    SCALE = GROUP_ROWS * 2, /* bytes of a field of one word, one float16, of all rows */
    AHEAD = 2048,           /* bytes of weights to prefetch, all of a block at once */
};

/* ---- steps: a block of 8 rows, its bytes at w, times n_tok tokens --------------------------- */

/* The input of a step: activations [n_tok] of 256, `b` the block of 32 in them. */
struct acts {
    const struct act8 *a;
    const struct act_sums *s;
    int64_t ld; /* from a token to the next */
};

INLINE TARGET_AVX2 __m256i set_bytes(int v) { return _mm256_set1_epi8((char)v); }

/* Scales of 8 rows. */
INLINE TARGET_AVX2 __m256 scales_8(const uint8_t *p) { return _mm256_cvtph_ps(load_16(p)); }

INLINE TARGET_AVX2 __m256i four(const int8_t *q) /* in each lane */
{
    int32_t v = 0;
    memcpy(&v, q, sizeof v);
    return _mm256_set1_epi32(v);
}

/* sum + u q in lanes of 16 bits, in this order: gcc would make all products first, and keep them in
 * memory until it adds them. */
INLINE TARGET_AVX2 __m256i add_pairs(__m256i sum, __m256i u, __m256i q)
{
    __m256i v = _mm256_add_epi16(sum, _mm256_maddubs_epi16(u, q));
    __asm__("" : "+x"(v));
    return v;
}

INLINE TARGET_AVX2 __m256i widen(__m256i pairs)
{
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

INLINE TARGET_AVX2 __m256i low_nibbles(__m256i v) { return _mm256_and_si256(v, set_bytes(0x0f)); }
INLINE TARGET_AVX2 __m256i high_nibbles(__m256i v) { return low_nibbles(_mm256_srli_epi16(v, 4)); }

/* acc + v of block b of 32, scaled by the activations' scale and by s. */
INLINE TARGET_AVX2 __m256 scaled(__m256 acc, __m256i v, __m256 s, const struct act_sums *a, int b)
{
    const __m256 f = _mm256_mul_ps(_mm256_cvtepi32_ps(v), _mm256_broadcast_ss(&a->d[b]));
    return _mm256_fmadd_ps(f, s, acc);
}

/* sum[t] = block b of 32 weights, 16 bytes of nibbles a row, at w. */
INLINE TARGET_AVX2 void dot_nibbles(__m256i sum[], const struct acts *x, int b, const uint8_t *w,
                                    const int n_tok)
{
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) sum[t] = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const __m256i v = load_32(w + WORD * j);
        const __m256i u0 = low_nibbles(v), u1 = high_nibbles(v);
#pragma GCC unroll 4
        for (int t = 0; t < n_tok; t++) {
            const int8_t *q = x->a[t * x->ld].q + 32 * b + 4 * j;
            sum[t] = add_pairs(sum[t], u0, four(q));
            sum[t] = add_pairs(sum[t], u1, four(q + 16));
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) sum[t] = widen(sum[t]);
}

INLINE TARGET_AVX2 void step_q4_0(__m256 acc[], const struct acts *x, int b, const uint8_t *group,
                                  int half, const int n_tok)
{
    const __m256 s = scales_8(group + SCALE / 2 * half);
    __m256i sum[TOK];
    dot_nibbles(sum, x, b, group + SCALE + WORD / 2 * half, n_tok);
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) {
        const struct act_sums *a = &x->s[t * x->ld];
        const __m256i v = _mm256_add_epi32(sum[t], _mm256_set1_epi32(a->from_8[b]));
        acc[t] = scaled(acc[t], v, s, a, b);
    }
}

INLINE TARGET_AVX2 void step_q4_1(__m256 acc[], const struct acts *x, int b, const uint8_t *group,
                                  int half, const int n_tok)
{
    const __m256 s = scales_8(group + SCALE / 2 * half);
    const __m256 least = scales_8(group + SCALE + SCALE / 2 * half);
    __m256i sum[TOK];
    dot_nibbles(sum, x, b, group + 2 * SCALE + WORD / 2 * half, n_tok);
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) {
        const struct act_sums *a = &x->s[t * x->ld];
        acc[t] = scaled(acc[t], sum[t], s, a, b);
        acc[t] = _mm256_fmadd_ps(least, _mm256_broadcast_ss(&a->sum[b]), acc[t]);
    }
}

/* Bit i / 4 of byte i % 4 of `top` is the fifth of weight i (interleave.c). */
INLINE TARGET_AVX2 void step_q5_0(__m256 acc[], const struct acts *x, int b, const uint8_t *group,
                                  int half, const int n_tok)
{
    const __m256 s = scales_8(group + SCALE / 2 * half);
    const __m256i top = load_32(group + SCALE + WORD / 2 * half), fifth = set_bytes(0x10);
    const uint8_t *w = group + SCALE + WORD + WORD / 2 * half;
    __m256i v0[TOK], v1[TOK]; /* of the first 16 weights, of the others */
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) v0[t] = v1[t] = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const __m256i v = load_32(w + WORD * j);
        const __m256i top0 = _mm256_and_si256(_mm256_slli_epi16(top, 4 - j), fifth);
        const __m256i top1 = _mm256_and_si256(_mm256_srli_epi16(top, j), fifth);
        const __m256i u0 = _mm256_or_si256(low_nibbles(v), top0);
        const __m256i u1 = _mm256_or_si256(high_nibbles(v), top1);
#pragma GCC unroll 4
        for (int t = 0; t < n_tok; t++) {
            const int8_t *q = x->a[t * x->ld].q + 32 * b + 4 * j;
            v0[t] = add_pairs(v0[t], u0, four(q));
            v1[t] = add_pairs(v1[t], u1, four(q + 16));
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) {
        const struct act_sums *a = &x->s[t * x->ld];
        const __m256i from_16 = _mm256_set1_epi32(2 * a->from_8[b]);
        const __m256i sum = _mm256_add_epi32(widen(v0[t]), widen(v1[t]));
        acc[t] = scaled(acc[t], _mm256_add_epi32(sum, from_16), s, a, b);
    }
}

INLINE TARGET_AVX2 void step_q8_0(__m256 acc[], const struct acts *x, int b, const uint8_t *group,
                                  int half, const int n_tok)
{
    const __m256 s = scales_8(group + SCALE / 2 * half);
    const uint8_t *w = group + SCALE + WORD / 2 * half;
    __m256i sum[TOK];
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) sum[t] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        const __m256i v = load_32(w + WORD * j), u = _mm256_abs_epi8(v);
#pragma GCC unroll 4
        for (int t = 0; t < n_tok; t++) {
            const __m256i q = four(x->a[t * x->ld].q + 32 * b + 4 * j);
            const __m256i pairs = _mm256_maddubs_epi16(u, _mm256_sign_epi8(q, v));
            sum[t] = _mm256_add_epi32(sum[t], widen(pairs));
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) acc[t] = scaled(acc[t], sum[t], s, &x->s[t * x->ld], b);
}

/* Byte b % 4 of each lane as a number of 32 bits, unsigned; `twice`: of both 16 bits of it. */
INLINE TARGET_AVX2 __m256i byte_of(__m256i v, int b, bool is_twice)
{
    const int none = 0x80, up = is_twice ? b % 4 : none;
    const int32_t one = b % 4 | none << 8 | up << 16 | (int32_t)((uint32_t)none << 24);
    const __m256i lane = _mm256_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12);
    const __m256i base = _mm256_mullo_epi32(lane, _mm256_set1_epi32(0x00010001));
    return _mm256_shuffle_epi8(
        v, _mm256_or_si256(_mm256_set1_epi32(one),
                           is_twice ? base : _mm256_and_si256(base, _mm256_set1_epi32(0xff))));
}

/* Scales and minima of 8 blocks of 32, 6 bits each: low[0] holds those of 0 .. 3 a byte each,
 * high[0] those of 4 .. 7; [1] the minima. */
INLINE TARGET_AVX2 void scales_6_bits(__m256i low[2], __m256i high[2], const uint8_t *w)
{
    const __m256i u0 = load_32(w), u1 = load_32(w + WORD), u2 = load_32(w + 2 * WORD);
    const __m256i six = set_bytes(0x3f), top = set_bytes(0x30);
    low[0] = _mm256_and_si256(u0, six);
    low[1] = _mm256_and_si256(u1, six);
    high[0] = _mm256_or_si256(low_nibbles(u2), _mm256_and_si256(_mm256_srli_epi16(u0, 2), top));
    high[1] = _mm256_or_si256(high_nibbles(u2), _mm256_and_si256(_mm256_srli_epi16(u1, 2), top));
}

INLINE TARGET_AVX2 void step_q4_k(__m256 acc[], const struct acts *x, const uint8_t *group,
                                  int half, const int n_tok)
{
    const uint8_t *w = group + 2 * SCALE + WORD / 2 * half;
    __m256i low[2], high[2];
    scales_6_bits(low, high, w);
    w += 3 * WORD;
    __m256 sum[TOK], minima[TOK];
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) sum[t] = minima[t] = _mm256_setzero_ps();
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++, w += 8 * WORD) {
        __m256i v[2][TOK];
#pragma GCC unroll 4
        for (int t = 0; t < n_tok; t++) v[0][t] = v[1][t] = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            const __m256i u = load_32(w + WORD * j);
            const __m256i u0 = low_nibbles(u), u1 = high_nibbles(u);
#pragma GCC unroll 4
            for (int t = 0; t < n_tok; t++) {
                const int8_t *q = x->a[t * x->ld].q + 64 * c + 4 * j;
                v[0][t] = add_pairs(v[0][t], u0, four(q));
                v[1][t] = add_pairs(v[1][t], u1, four(q + 32));
            }
        }
#pragma GCC unroll 2
        for (int e = 0; e < 2; e++) {
            const int b = 2 * c + e;
            const __m256i *part = c < 2 ? low : high;
            const __m256i s = byte_of(part[0], b, true);
            const __m256 m = _mm256_cvtepi32_ps(byte_of(part[1], b, false));
#pragma GCC unroll 4
            for (int t = 0; t < n_tok; t++) {
                const struct act_sums *a = &x->s[t * x->ld];
                const __m256 f = _mm256_cvtepi32_ps(_mm256_madd_epi16(v[e][t], s));
                sum[t] = _mm256_fmadd_ps(f, _mm256_broadcast_ss(&a->d[b]), sum[t]);
                minima[t] = _mm256_fmadd_ps(m, _mm256_broadcast_ss(&a->sum[b]), minima[t]);
            }
        }
    }
    const __m256 d = scales_8(group + SCALE / 2 * half);
    const __m256 d_min = scales_8(group + SCALE + SCALE / 2 * half);
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) {
        acc[t] = _mm256_fmadd_ps(d, sum[t], acc[t]);
        acc[t] = _mm256_fnmadd_ps(d_min, minima[t], acc[t]);
    }
}

/* Weights of 6 bits: the 4 low of `low`, the others of `top` at bits 4 and 5. */
INLINE TARGET_AVX2 __m256i six_bits(__m256i low, __m256i top)
{
    return _mm256_or_si256(low, _mm256_and_si256(top, set_bytes(0x30)));
}

/* The four weights of each of 4 runs, from two words of low bits and one of high ones. */
INLINE TARGET_AVX2 void words_q6_k(__m256i u[4], const uint8_t *w)
{
    const __m256i a = load_32(w), b = load_32(w + WORD), top = load_32(w + 2 * WORD);
    u[0] = six_bits(low_nibbles(a), _mm256_slli_epi16(top, 4));
    u[1] = six_bits(low_nibbles(b), _mm256_slli_epi16(top, 2));
    u[2] = six_bits(high_nibbles(a), top);
    u[3] = six_bits(high_nibbles(b), _mm256_srli_epi16(top, 2));
}

/* Scale i % 4 of each lane, signed, in both 16 bits of it. */
INLINE TARGET_AVX2 __m256i signed_twice(__m256i v, int i)
{
    return _mm256_srai_epi16(_mm256_slli_epi16(byte_of(v, i, true), 8), 8);
}

INLINE TARGET_AVX2 void step_q6_k(__m256 acc[], const struct acts *x, const uint8_t *group,
                                  int half, const int n_tok)
{
    const uint8_t *scales = group + SCALE + WORD / 2 * half, *words = scales + 4 * WORD;
    __m256 sum[TOK];
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) sum[t] = _mm256_setzero_ps();
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) { /* 4 runs of 32 */
        __m256i v[4][TOK];
#pragma GCC unroll 4
        for (int e = 0; e < 4; e++)
#pragma GCC unroll 4
            for (int t = 0; t < n_tok; t++) v[e][t] = _mm256_setzero_si256();
#pragma GCC unroll 2
        for (int p = 0; p < 2; p++) { /* 16 of each */
            __m256i s[4];
#pragma GCC unroll 4
            for (int e = 0; e < 4; e++) {
                const int i = 8 * h + 2 * e + p;
                s[e] = signed_twice(load_32(scales + WORD * (i / 4)), i);
#pragma GCC unroll 4
                for (int t = 0; t < n_tok; t++) {
                    const __m256i from = _mm256_set1_epi32(x->s[t * x->ld].pair_16[i]);
                    v[e][t] = _mm256_add_epi32(v[e][t], _mm256_madd_epi16(from, s[e]));
                }
            }
#pragma GCC unroll 2
            for (int j = 4 * p; j < 4 * p + 4; j += 2) {
                __m256i u[2][4];
                words_q6_k(u[0], words + WORD * 3 * (8 * h + j));
                words_q6_k(u[1], words + WORD * 3 * (8 * h + j + 1));
#pragma GCC unroll 4
                for (int e = 0; e < 4; e++)
#pragma GCC unroll 4
                    for (int t = 0; t < n_tok; t++) {
                        const int8_t *q = x->a[t * x->ld].q + 128 * h + 32 * e + 4 * j;
                        const __m256i pairs =
                            add_pairs(_mm256_maddubs_epi16(u[0][e], four(q)), u[1][e], four(q + 4));
                        v[e][t] = _mm256_add_epi32(v[e][t], _mm256_madd_epi16(pairs, s[e]));
                    }
            }
        }
#pragma GCC unroll 4
        for (int e = 0; e < 4; e++)
#pragma GCC unroll 4
            for (int t = 0; t < n_tok; t++)
                sum[t] =
                    _mm256_fmadd_ps(_mm256_cvtepi32_ps(v[e][t]),
                                    _mm256_broadcast_ss(&x->s[t * x->ld].d[4 * h + e]), sum[t]);
    }
    const __m256 d = scales_8(group + SCALE / 2 * half);
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) acc[t] = _mm256_fmadd_ps(d, sum[t], acc[t]);
}

/* ---- groups -------------------------------------------------------------------------------- */

typedef void step_32_fn(__m256 acc[], const struct acts *x, int b, const uint8_t *group, int half,
                        const int n_tok);
typedef void step_256_fn(__m256 acc[], const struct acts *x, const uint8_t *group, int half,
                         const int n_tok);

/* n_tok tokens from `first` on; step_32 or step_256 is NULL. */
INLINE TARGET_AVX2 void dot_some(float *dot, const struct few_in *in, int64_t first,
                                 const uint8_t *w, step_32_fn *step_32, step_256_fn *step_256,
                                 const int block_bytes, const int n_tok)
{
    const int64_t ld = in->ld_x / ACT, n_elems = step_256 ? ACT : 32;
    struct acts x = {.a = in->q + first * ld, .s = in->sums + first * ld, .ld = ld};
    __m256 acc[2][TOK];
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) acc[0][t] = acc[1][t] = _mm256_setzero_ps();
    for (int64_t i = 0; i < in->k; i += n_elems, w += GROUP_ROWS * block_bytes) {
        for (int p = 0; p < GROUP_ROWS * block_bytes; p += 64)
            _mm_prefetch((const char *)w + AHEAD + p, _MM_HINT_T0);
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            struct acts own = x; /* hidden, or gcc keeps what both halves broadcast in memory */
            __asm__("" : "+r"(own.a));
            if (step_256)
                step_256(acc[half], &own, w, half, n_tok);
            else
                step_32(acc[half], &own, (int)(i / 32 % 8), w, half, n_tok);
        }
        if (i % ACT == ACT - n_elems) x.a++, x.s++;
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++)
#pragma GCC unroll 4
        for (int t = 0; t < n_tok; t++) {
            _Alignas(32) float y[HALF];
            _mm256_store_ps(y, acc[half][t]);
            for (int r = 0; r < HALF; r++) dot[(HALF * half + r) * FEW + first + t] = y[r];
        }
}

#define DOT_GROUP(name, step_32, step_256, block_bytes)                                            \
    TARGET_AVX2                                                                                    \
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
DOT_GROUP(q5_0, step_q5_0, NULL, 22)
DOT_GROUP(q8_0, step_q8_0, NULL, 34)
DOT_GROUP(q4_k, NULL, step_q4_k, 144)
DOT_GROUP(q6_k, NULL, step_q6_k, 210)

dot_group_fn *const dot_groups_avx2[DT_COUNT] = {
    [DT_Q4_0] = dot_q4_0, [DT_Q4_1] = dot_q4_1, [DT_Q5_0] = dot_q5_0,
    [DT_Q8_0] = dot_q8_0, [DT_Q4_K] = dot_q4_k, [DT_Q6_K] = dot_q6_k};

bool interleaves_avx2(enum dtype type) { return dot_groups_avx2[type] != NULL; }
#endif
