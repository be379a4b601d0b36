/* SPDX-License-Identifier: Apache-2.0
 *
 * linear_avx2.c - few tokens times weights on AVX2.
 *
 * Float weights: 8 lanes, two sums a token. Quantized weights: a block of 32 becomes 32 bytes and
 * one or two scales (unpack_*, one function a format), multiplied with the 8-bit activations in
 * integers, exactly, in pairs to 16 bits and in fours to 32 bits; then one float FMA with the
 * product of both scales, which is made for 256 weights at once. Narrow weights are made unsigned
 * by an offset, whose share is taken away once for 256 by the sums of the activations, as the
 * minima of formats that have them are (w = s q - m). Others, of 8 bits, go as |w| times a with the
 * sign of w (at most 2 * 128 * 127: no overflow). Up to TOKS tokens share one unpacking.
 *
 * Error against float activations: each activation is off by at most half a step of its 32, so a
 * product by at most sum |w| d / 2; the integer part adds none.
 *
 * Also used by variant avx512 (Skylake-X has no VNNI: 512-bit maddubs won nothing, memory waits).
 * Begin reading at dot_rows().
 */
#include "tensor/cpu/cpu.h"

#if CRIA_X86
#include <immintrin.h>
#include <string.h>

#include "tensor/cpu/linear.h"
#include "tensor/cpu/linear_in.h"
#include "tensor/cpu/linear_int8_avx2.h"
#include "tensor/cpu/linear_interleaved.h"
#include "tensor/cpu/unpack_avx2.h"

enum { TOKS = 4, AHEAD = 1024 /* bytes of weights to prefetch */ };

INLINE TARGET_AVX2 float sum_avx2(__m256 v)
{
    const __m128 a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 b = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

/* As quantize_act8(), bit for bit. */
TARGET_AVX2
void quantize_act8_avx2(struct act8 *dst, const float *x, int64_t n)
{
    const __m256 no_sign = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    for (int64_t b = 0; b < n / 32; b++, x += 32) {
        struct act8 *a = &dst[b / 8];
        const int64_t at = b % 8 * 32;
        __m256 v[4], most = _mm256_setzero_ps();
        for (int i = 0; i < 4; i++) {
            v[i] = _mm256_loadu_ps(x + 8 * i);
            most = _mm256_max_ps(most, _mm256_and_ps(v[i], no_sign));
        }
        __m128 h = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
        h = _mm_max_ps(h, _mm_movehl_ps(h, h));
        const float top = _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
        const float d = top / 127.0f, inverse = top > 0.0f ? 127.0f / top : 0.0f;
        __m256i q[4];
        for (int i = 0; i < 4; i++)
            q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], _mm256_set1_ps(inverse)));
        const __m256i p =
            _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
        const __m256i bytes =
            _mm256_permutevar8x32_epi32(p, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_store_si256((__m256i *)(void *)(a->q + at), bytes);
        const __m256i ones = _mm256_set1_epi16(1);
        const __m256i sums =
            _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes), ones);
        _mm256_store_si256((__m256i *)(void *)(a->sum_128 + at / 4),
                           _mm256_slli_epi32(_mm256_sub_epi32(_mm256_setzero_si256(), sums), 7));
        _mm256_store_ps(a->d + at / 4, _mm256_set1_ps(d));
        __m256i s16 = _mm256_hadd_epi32(sums, sums);
        s16 = _mm256_hadd_epi32(s16, s16);
        a->sum_16[at / 16] = d * (float)_mm_cvtsi128_si32(_mm256_castsi256_si128(s16));
        a->sum_16[at / 16 + 1] = d * (float)_mm_cvtsi128_si32(_mm256_extracti128_si256(s16, 1));
    }
}

/* 8 weights of a float type from element i of the row on. */
INLINE TARGET_AVX2 __m256 load_8(enum dtype type, const uint8_t *w, int64_t i)
{
    if (type == DT_F32) return _mm256_loadu_ps((const float *)(const void *)w + i);
    const __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(w + 2 * i));
    if (type == DT_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

INLINE TARGET_AVX2 void dot_float(float *dot, const struct few_in *in, const float *x,
                                  enum dtype type, const uint8_t *w, const int n_tok)
{
    __m256 acc[TOKS][2];
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    int64_t i = 0;
    for (; i + 16 <= in->k; i += 16) {
        _mm_prefetch((const char *)w + (type == DT_F32 ? 4 : 2) * i + AHEAD, _MM_HINT_T0);
        const __m256 w0 = load_8(type, w, i), w1 = load_8(type, w, i + 8);
#pragma GCC unroll 4
        for (int t = 0; t < n_tok; t++) {
            const float *p = x + t * in->ld_x + i;
            acc[t][0] = _mm256_fmadd_ps(w0, _mm256_loadu_ps(p), acc[t][0]);
            acc[t][1] = _mm256_fmadd_ps(w1, _mm256_loadu_ps(p + 8), acc[t][1]);
        }
    }
    if (i < in->k) { /* the rest of the row, with zeros behind it */
        _Alignas(32) uint8_t rest[16 * 4] = {0};
        memcpy(rest, w + (type == DT_F32 ? 4 : 2) * i,
               (size_t)((type == DT_F32 ? 4 : 2) * (in->k - i)));
        const __m256 w0 = load_8(type, rest, 0), w1 = load_8(type, rest, 8);
#pragma GCC unroll 4
        for (int t = 0; t < n_tok; t++) {
            const float *p = x + t * in->ld_x + i;
            acc[t][0] = _mm256_fmadd_ps(w0, _mm256_loadu_ps(p), acc[t][0]);
            acc[t][1] = _mm256_fmadd_ps(w1, _mm256_loadu_ps(p + 8), acc[t][1]);
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) dot[t] = sum_avx2(_mm256_add_ps(acc[t][0], acc[t][1]));
}

/* Sums of four products of bytes, `v` unsigned and below 64, or signed. */
INLINE TARGET_AVX2 __m256i dot_i8(__m256i v, const int8_t *q, bool is_signed)
{
    const __m256i a = _mm256_load_si256((const __m256i *)(const void *)q);
    const __m256i pairs = is_signed
                              ? _mm256_maddubs_epi16(_mm256_abs_epi8(v), _mm256_sign_epi8(a, v))
                              : _mm256_maddubs_epi16(v, a);
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

/* Scales of the lanes of chunk c of 32, of the 16 or (per_32) 8 at s. */
INLINE TARGET_AVX2 __m256 lane_scales(const float *s, bool per_32, int c)
{
    if (per_32) return _mm256_broadcast_ss(s + c);
    const __m256 low = _mm256_castps128_ps256(_mm_broadcast_ss(s + 2 * c));
    return _mm256_insertf128_ps(low, _mm_broadcast_ss(s + 2 * c + 1), 1);
}

/* 256 weights at w, or those of the first n_chunks of 32, times each token, whose activations are q
 * and s and those ld_q behind. Two sums a token: one would wait for itself. */
INLINE TARGET_AVX2 void step_256(__m256 acc[][2], const struct act8 *q, const struct act_sums *s,
                                 int64_t ld_q, const struct unpack *f, const uint8_t *w,
                                 const int n_chunks, const int n_tok)
{
    const bool is_signed = f->offset == WIDE;
    const __m256 zero = _mm256_setzero_ps();
    const __m256i offset = _mm256_set1_epi8((char)(is_signed ? 0 : f->offset));
    __m256 s2[2] = {zero, zero}, m2[2] = {zero, zero};
    f->scales(w, s2, m2);
    _Alignas(32) float scale[TOKS][16]; /* broadcast from memory: no shuffles */
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) {
        const __m256 d = _mm256_loadu_ps(s[t * ld_q].d);
        __m256 d2[2] = {d, d};
        if (!f->per_32) twice(d, d2);
        _mm256_store_ps(scale[t], _mm256_mul_ps(s2[0], d2[0]));
        if (!f->per_32) _mm256_store_ps(scale[t] + 8, _mm256_mul_ps(s2[1], d2[1]));
    }
#pragma GCC unroll 8
    for (int c = 0; c < n_chunks; c++) {
        const __m256i v = _mm256_add_epi8(f->bytes(w, c), offset);
#pragma GCC unroll 4
        for (int t = 0; t < n_tok; t++) {
            const __m256i sum = dot_i8(v, q[t * ld_q].q + 32 * c, is_signed);
            const __m256 scales = lane_scales(scale[t], f->per_32, c);
            acc[t][c % 2] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scales, acc[t][c % 2]);
        }
    }
    if (f->offset > 0 && f->per_32) {
        const __m256 m = _mm256_mul_ps(s2[0], _mm256_set1_ps((float)f->offset));
#pragma GCC unroll 4
        for (int t = 0; t < n_tok; t++)
            acc[t][0] = _mm256_fnmadd_ps(m, _mm256_loadu_ps(s[t * ld_q].sum), acc[t][0]);
        return;
    }
    if (f->offset > 0)
        for (int i = 0; i < 2; i++) m2[i] = _mm256_mul_ps(s2[i], _mm256_set1_ps((float)f->offset));
    else if (!f->has_min)
        return;
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) {
        const float *sums = q[t * ld_q].sum_16;
        acc[t][0] = _mm256_fnmadd_ps(m2[0], _mm256_load_ps(sums), acc[t][0]);
        acc[t][1] = _mm256_fnmadd_ps(m2[1], _mm256_load_ps(sums + 8), acc[t][1]);
    }
}

/* One row of a quantized type against n_tok tokens, from `first` on. */
INLINE TARGET_AVX2 void dot_quant(float *dot, const struct few_in *in, int64_t first,
                                  const struct unpack *f, const uint8_t *w, const int n_tok)
{
    const int64_t ld_q = in->ld_x / ACT;
    const struct act8 *q = in->q + first * ld_q;
    const struct act_sums *s = in->sums + first * ld_q;
    __m256 acc[TOKS][2];
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    int64_t i = 0;
    for (; i + ACT <= in->k; i += ACT, w += f->act_bytes, q++, s++) {
        for (int p = 0; p < f->act_bytes; p += 64)
            _mm_prefetch((const char *)w + AHEAD + p, _MM_HINT_T0);
        step_256(acc, q, s, ld_q, f, w, ACT / 32, n_tok);
    }
    if (f->block_elems < ACT && i < in->k) {
        uint8_t rest[ACT_BYTES_MAX];
        step_256(acc, q, s, ld_q, f, unpack_rest(rest, f, w, in->k - i), (int)(in->k - i) / 32,
                 n_tok);
    }
#pragma GCC unroll 4
    for (int t = 0; t < n_tok; t++) dot[t] = sum_avx2(_mm256_add_ps(acc[t][0], acc[t][1]));
}

/* `f` NULL: float weights. Tokens go by fours; one alone has its own loop. */
INLINE TARGET_AVX2 void dot_rows(float *dot, const struct few_in *in, enum dtype type,
                                 const struct unpack *f, const uint8_t *w, size_t row_bytes,
                                 int64_t n_rows)
{
    for (int64_t r = 0; r < n_rows; r++, w += row_bytes, dot += FEW)
        for (int64_t t = 0; t < in->n_tok; t += TOKS) {
            const float *x = in->x + t * in->ld_x;
            if (f && in->n_tok - t == 1)
                dot_quant(dot + t, in, t, f, w, 1);
            else if (f)
                dot_quant(dot + t, in, t, f, w, TOKS);
            else if (in->n_tok - t == 1)
                dot_float(dot + t, in, x, type, w, 1);
            else
                dot_float(dot + t, in, x, type, w, TOKS);
        }
}

#define DOT_QUANT(id, name)                                                                        \
    TARGET_AVX2                                                                                    \
    static void dot_##name(float *dot, const struct few_in *in, enum dtype type, const uint8_t *w, \
                           size_t row_bytes, int64_t n_rows)                                       \
    {                                                                                              \
        dot_rows(dot, in, type, &unpack_##name, w, row_bytes, n_rows);                             \
    }
EACH_QUANT(DOT_QUANT)

TARGET_AVX2
static void dot_f32(float *dot, const struct few_in *in, enum dtype type, const uint8_t *w,
                    size_t row_bytes, int64_t n_rows)
{
    (void)type;
    dot_rows(dot, in, DT_F32, NULL, w, row_bytes, n_rows);
}

TARGET_AVX2
static void dot_f16(float *dot, const struct few_in *in, enum dtype type, const uint8_t *w,
                    size_t row_bytes, int64_t n_rows)
{
    (void)type;
    dot_rows(dot, in, DT_F16, NULL, w, row_bytes, n_rows);
}

TARGET_AVX2
static void dot_bf16(float *dot, const struct few_in *in, enum dtype type, const uint8_t *w,
                     size_t row_bytes, int64_t n_rows)
{
    (void)type;
    dot_rows(dot, in, DT_BF16, NULL, w, row_bytes, n_rows);
}

#define DOT_ENTRY(id, name) [id] = dot_##name,
static dot_rows_fn *const dots[DT_COUNT] = {
    [DT_F32] = dot_f32, [DT_F16] = dot_f16, [DT_BF16] = dot_bf16, EACH_QUANT(DOT_ENTRY)};

TARGET_AVX2
static void read_avx2(float *y, const struct linear_args *a, int64_t t) { read_row(y, a, t); }

static const struct linear_kit linear_kit_avx2 = {
    .cpu = &kit_avx2,
    .dot = dots,
    .read = read_avx2,
    .form = form_table_int8,
    .quantize = quantize_act8_avx2,
    .needs_sums = true,
    .dot_group = dot_groups_avx2,
    .strip_int8 = strip_int8_avx2,
    .pack_int8 = pack_int8_avx2,
};

void linear_avx2(const struct member *me, const struct linear_args *a)
{
    linear_run(me, a, &linear_kit_avx2);
}

/* Skylake-X: the same for few tokens, the wider gemm for many. */
static const struct linear_kit linear_kit_avx512 = {
    .cpu = &kit_avx512,
    .dot = dots,
    .read = read_avx2,
    .form = form_table_f32,
    .quantize = quantize_act8_avx2,
    .needs_sums = true,
};

void linear_avx512(const struct member *me, const struct linear_args *a)
{
    linear_run(me, a, &linear_kit_avx512);
}
#endif
