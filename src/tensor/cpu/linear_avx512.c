/* SPDX-License-Identifier: Apache-2.0
 *
 * linear_avx512.c - few tokens times weights on AVX-512 with VNNI (variants avx512bf16 and amx).
 *
 * The same plan as linear_avx2.c, twice as wide: 64 weights become 64 unsigned bytes, and vpdpbusd
 * multiplies them with the 8-bit activations and adds in fours to 16 lanes of 32 bits, exactly.
 * Signed weights are made unsigned by adding 128 to each; what that adds to a lane is known from
 * the activations alone (act8.sum_128) and is where the lane's sum starts. Scales are spread from
 * one for each 16 weights to the lanes by one permutation.
 *
 * Up to 8 tokens share one unpacking, so a row of weights is decoded once. Sums of a token are made
 * in the same order whatever the number of tokens.
 * Begin reading at dot_rows().
 */
#include "tensor/cpu/cpu.h"

#if CRIA_X86
#include <immintrin.h>
#include <string.h>

#include "tensor/cpu/linear.h"
#include "tensor/cpu/linear_bf16.h"
#include "tensor/cpu/linear_vnni.h"
#include "tensor/cpu/unpack_avx2.h"
#include "tensor/cpu/unpack_avx512.h"

enum { AHEAD = 2048 /* bytes of weights to prefetch */ };

/* 16 weights of a float type from element i of the row on. */
INLINE TARGET_BF16 __m512 load_float_16(enum dtype type, const uint8_t *w, int64_t i)
{
    if (type == DT_F32) return _mm512_loadu_ps(w + 4 * i);
    const __m256i h = load_32(w + 2 * i);
    if (type == DT_F16) return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

INLINE TARGET_BF16 void step_float(__m512 acc[FEW][2], const float *x, int64_t ld_x,
                                   enum dtype type, const uint8_t *w, int64_t i, const int n_tok)
{
    const __m512 w0 = load_float_16(type, w, i), w1 = load_float_16(type, w, i + 16);
#pragma GCC unroll 8
    for (int t = 0; t < n_tok; t++) {
        acc[t][0] = _mm512_fmadd_ps(w0, _mm512_loadu_ps(x + t * ld_x), acc[t][0]);
        acc[t][1] = _mm512_fmadd_ps(w1, _mm512_loadu_ps(x + t * ld_x + 16), acc[t][1]);
    }
}

INLINE TARGET_BF16 void dot_float(float *dot, const struct few_in *in, enum dtype type,
                                  const uint8_t *w, const int n_tok)
{
    const int64_t size = type == DT_F32 ? 4 : 2;
    __m512 acc[FEW][2];
#pragma GCC unroll 8
    for (int t = 0; t < n_tok; t++) acc[t][0] = acc[t][1] = _mm512_setzero_ps();
    int64_t i = 0;
    for (; i + 32 <= in->k; i += 32) {
        _mm_prefetch((const char *)w + size * i + AHEAD, _MM_HINT_T0);
        if (type == DT_F32) _mm_prefetch((const char *)w + size * i + AHEAD + 64, _MM_HINT_T0);
        step_float(acc, in->x + i, in->ld_x, type, w, i, n_tok);
    }
    if (i < in->k) { /* the rest of the row, with zeros behind it */
        uint8_t rest[32 * 4] = {0};
        memcpy(rest, w + size * i, (size_t)(size * (in->k - i)));
        step_float(acc, in->x + i, in->ld_x, type, rest, 0, n_tok);
    }
#pragma GCC unroll 8
    for (int t = 0; t < n_tok; t++)
        dot[t] = _mm512_reduce_add_ps(_mm512_add_ps(acc[t][0], acc[t][1]));
}

/* Scales of the 16 lanes of chunk c: lane l holds weights 64 c + 4 l and on. */
INLINE TARGET_BF16 __m512 lane_scales(__m512 s, bool per_32, int c)
{
    const __m512i quarter = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i half = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    if (per_32) return _mm512_permutexvar_ps(_mm512_add_epi32(half, _mm512_set1_epi32(2 * c)), s);
    return _mm512_permutexvar_ps(_mm512_add_epi32(quarter, _mm512_set1_epi32(4 * c)), s);
}

INLINE TARGET_BF16 __m512 join(const __m256 v[2])
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(v[0]), v[1], 1);
}

/* 256 weights at b against the activations of each token. */
INLINE TARGET_BF16 void step_quant(__m512 acc[FEW], const struct act8 *q, int64_t ld_q,
                                   const struct unpack *f, bytes_64_fn *bytes, const uint8_t *b,
                                   const int n_tok)
{
    const __m256 zero = _mm256_setzero_ps();
    __m256 s2[2] = {zero, zero}, m2[2] = {zero, zero};
    f->scales(b, s2, m2);
    const __m512 s = f->per_32 ? _mm512_castps256_ps512(s2[0]) : join(s2), m = join(m2);
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        const __m512i v = bytes(b, c);
        const __m512 lanes = lane_scales(s, f->per_32, c);
#pragma GCC unroll 8
        for (int t = 0; t < n_tok; t++) {
            const struct act8 *a = q + t * ld_q;
            const __m512i from =
                f->has_min ? _mm512_setzero_si512() : _mm512_load_si512(a->sum_128 + 16 * c);
            const __m512i sum = _mm512_dpbusd_epi32(from, v, _mm512_load_si512(a->q + 64 * c));
            const __m512 scale = _mm512_mul_ps(lanes, _mm512_load_ps(a->d + 16 * c));
            acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, acc[t]);
        }
    }
    if (!f->has_min) return;
#pragma GCC unroll 8
    for (int t = 0; t < n_tok; t++)
        acc[t] = _mm512_fnmadd_ps(m, _mm512_load_ps(q[t * ld_q].sum_16), acc[t]);
}

INLINE TARGET_BF16 void dot_quant(float *dot, const struct few_in *in, const struct unpack *f,
                                  bytes_64_fn *bytes, const uint8_t *w, const int n_tok)
{
    const int64_t ld_q = in->ld_x / ACT;
    const struct act8 *q = in->q;
    __m512 acc[FEW];
#pragma GCC unroll 8
    for (int t = 0; t < n_tok; t++) acc[t] = _mm512_setzero_ps();
    int64_t i = 0;
    for (; i + ACT <= in->k; i += ACT, w += f->act_bytes, q++) {
        for (int p = 0; p < f->act_bytes; p += 64)
            _mm_prefetch((const char *)w + AHEAD + p, _MM_HINT_T0);
        step_quant(acc, q, ld_q, f, bytes, w, n_tok);
    }
    if (i < in->k) {
        uint8_t rest[ACT_BYTES_MAX];
        step_quant(acc, q, ld_q, f, bytes, unpack_rest(rest, f, w, in->k - i), n_tok);
    }
#pragma GCC unroll 8
    for (int t = 0; t < n_tok; t++) dot[t] = _mm512_reduce_add_ps(acc[t]);
}

/* n_rows rows times n_tok tokens; `f` NULL: float weights of `type`. */
INLINE TARGET_BF16 void dot_some(float *dot, const struct few_in *in, enum dtype type,
                                 const struct unpack *f, bytes_64_fn *bytes, const uint8_t *w,
                                 size_t row_bytes, int64_t n_rows, const int n_tok)
{
    for (int64_t r = 0; r < n_rows; r++, w += row_bytes, dot += FEW)
        if (f)
            dot_quant(dot, in, f, bytes, w, n_tok);
        else
            dot_float(dot, in, type, w, n_tok);
}

/* Rows of activations beyond n_tok are zeros, so that few numbers of tokens need code. */
INLINE TARGET_BF16 void dot_rows(float *dot, const struct few_in *in, enum dtype type,
                                 const struct unpack *f, bytes_64_fn *bytes, const uint8_t *w,
                                 size_t row_bytes, int64_t n_rows)
{
    if (in->n_tok == 1)
        dot_some(dot, in, type, f, bytes, w, row_bytes, n_rows, 1);
    else if (in->n_tok <= 4)
        dot_some(dot, in, type, f, bytes, w, row_bytes, n_rows, 4);
    else
        dot_some(dot, in, type, f, bytes, w, row_bytes, n_rows, FEW);
}

#define DOT(id, name, f, bytes)                                                                    \
    TARGET_BF16                                                                                    \
    static void dot_##name(float *dot, const struct few_in *in, enum dtype type, const uint8_t *w, \
                           size_t row_bytes, int64_t n_rows)                                       \
    {                                                                                              \
        (void)type;                                                                                \
        dot_rows(dot, in, id, f, bytes, w, row_bytes, n_rows);                                     \
    }
#define DOT_QUANT(id, name) DOT(id, name, &unpack_##name, u64_##name)
EACH_QUANT(DOT_QUANT)
DOT(DT_F32, f32, NULL, NULL)
DOT(DT_F16, f16, NULL, NULL)
DOT(DT_BF16, bf16, NULL, NULL)

#define DOT_ENTRY(id, name) [id] = dot_##name,
static dot_rows_fn *const dots[DT_COUNT] = {
    [DT_F32] = dot_f32, [DT_F16] = dot_f16, [DT_BF16] = dot_bf16, EACH_QUANT(DOT_ENTRY)};

/* clang-format off */
static const uint8_t forms_bf16[DT_COUNT] = {
    [DT_F32] = FORM_F32, [DT_F16] = FORM_F32, [DT_BF16] = FORM_F32,
    [DT_Q4_0] = FORM_INT8, [DT_Q4_1] = FORM_INT8, [DT_Q5_0] = FORM_INT8,
    [DT_Q5_1] = FORM_INT8, [DT_Q8_0] = FORM_INT8, [DT_Q2_K] = FORM_INT8,
    [DT_Q3_K] = FORM_INT8, [DT_Q4_K] = FORM_INT8, [DT_Q5_K] = FORM_INT8,
    [DT_Q6_K] = FORM_INT8, [DT_IQ4_NL] = FORM_INT8, [DT_IQ4_XS] = FORM_INT8,
};
static const uint8_t forms_amx[DT_COUNT] = {
    [DT_F32] = FORM_BF16_3, [DT_F16] = FORM_BF16_3, [DT_BF16] = FORM_BF16_2,
    [DT_Q4_0] = FORM_BF16_1, [DT_Q4_1] = FORM_BF16_1, [DT_Q5_0] = FORM_BF16_1,
    [DT_Q5_1] = FORM_BF16_1, [DT_Q8_0] = FORM_BF16_1, [DT_Q2_K] = FORM_BF16_1,
    [DT_Q3_K] = FORM_BF16_1, [DT_Q4_K] = FORM_BF16_1, [DT_Q5_K] = FORM_BF16_1,
    [DT_Q6_K] = FORM_BF16_1, [DT_IQ4_NL] = FORM_BF16_1, [DT_IQ4_XS] = FORM_BF16_1,
};
/* clang-format on */

static const struct linear_kit linear_kit_bf16 = {
    .cpu = &kit_avx512,
    .dot = dots,
    .form = forms_bf16,
    .quantize = quantize_act8_avx2,
    .strip_int8 = strip_vnni,
    .pack_int8 = pack_vnni,
};

void linear_avx512bf16(const struct member *me, const struct linear_args *a)
{
    linear_run(me, a, &linear_kit_bf16);
}

static const struct linear_kit linear_kit_amx = {
    .cpu = &kit_avx512,
    .dot = dots,
    .form = forms_amx,
    .quantize = quantize_act8_avx2,
    .strip_bf16 = strip_amx,
    .split = split_avx512bf16,
};

void linear_amx(const struct member *me, const struct linear_args *a)
{
    linear_run(me, a, &linear_kit_amx);
}
#endif
