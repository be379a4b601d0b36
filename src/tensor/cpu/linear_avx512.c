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
 * in the same order whatever the number of tokens and of rows.
 *
 * Four rows side by side throughout, so that they share activations, lost: their kernels were up
 * to a tenth faster from L1, but memory gives one stream 32 GB/s and four streams 16, and a row of
 * prefetches for each only comes near (docs/performance.md). Rows beyond LONG gain by half.
 * Begin reading at dot_rows().
 */
#include "tensor/cpu/cpu.h"

#if CRIA_X86
#include <immintrin.h>
#include <string.h>

#include "tensor/cpu/linear.h"
#include "tensor/cpu/linear_in.h"
#include "tensor/cpu/linear_bf16.h"
#include "tensor/cpu/linear_interleaved.h"
#include "tensor/cpu/linear_pairs.h"
#include "tensor/cpu/linear_vnni.h"
#include "tensor/cpu/unpack_avx2.h"
#include "tensor/cpu/unpack_avx512.h"

enum {
    ROWS = 4,           /* of a tile of one token, at most */
    CHUNK = 64,         /* weights of one vpdpbusd */
    LONG = 4096,        /* elements of a row: activations of longer ones crowd weights out of L1 */
    AHEAD = 4096,       /* bytes of weights to prefetch into L1 */
    AHEAD_FLOAT = 2048, /* the same of float weights */
    AHEAD_LONG = 32768, /* of long rows, into L2 */
    LINE = 64,
};

/* What a tile, n_rows rows times n_tok tokens, reads. */
struct tile {
    const struct few_in *in;
    const uint8_t *w;
    size_t row_bytes;
    int64_t ahead;
};

/* Prefetches n_bytes for a step that reads as many in several rows, `at` bytes having been read
 * before it: but one line behind the other, as memory is read fastest. */
INLINE TARGET_BF16 void prefetch(const struct tile *b, int64_t at, int64_t n_bytes)
{
    const char *p = (const char *)b->w + b->ahead + at;
    if (b->in->k > LONG)
        for (int64_t i = 0; i < n_bytes; i += LINE) _mm_prefetch(p + i, _MM_HINT_T1);
    else
        for (int64_t i = 0; i < n_bytes; i += LINE) _mm_prefetch(p + i, _MM_HINT_T0);
}

INLINE TARGET_BF16 __m256 fold(__m512 v)
{
    return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}

INLINE TARGET_BF16 __m128 fold_4(__m512 v)
{
    const __m256 h = fold(v);
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}

/* The sums of the lanes of acc[r * n_tok + t] to dot[r * FEW + t]. Four rows share the last steps,
 * which add the same pairs as one row alone. */
INLINE TARGET_BF16 void put_sums(float *dot, const __m512 acc[], const int n_rows, const int n_tok)
{
    if (n_rows == 4 && n_tok == 1) {
        const __m128 a = fold_4(acc[0]), b = fold_4(acc[1]), c = fold_4(acc[2]), d = fold_4(acc[3]);
        const __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
        const __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
        const __m128 sum = _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
        _mm_store_ss(dot, sum);
        _mm_store_ss(dot + FEW, _mm_movehdup_ps(sum));
        _mm_store_ss(dot + 2 * FEW, _mm_unpackhi_ps(sum, sum));
        _mm_store_ss(dot + 3 * FEW, _mm_shuffle_ps(sum, sum, 0xff));
        return;
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 8
        for (int t = 0; t < n_tok; t++) {
            const __m128 a = fold_4(acc[r * n_tok + t]), b = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_store_ss(dot + r * FEW + t, _mm_add_ss(b, _mm_movehdup_ps(b)));
        }
}

/* ---- float weights ------------------------------------------------------------------------ */

/* 16 weights of a float type from element i of the row on. */
INLINE TARGET_BF16 __m512 load_float_16(enum dtype type, const uint8_t *w, int64_t i)
{
    if (type == DT_F32) return _mm512_loadu_ps(w + 4 * i);
    const __m256i h = load_32(w + 2 * i);
    if (type == DT_F16) return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

/* 32 elements, from element `at` of the activations and element 0 of the row at w. */
INLINE TARGET_BF16 void step_float(__m512 acc[][2], const struct few_in *in, int64_t at,
                                   enum dtype type, const uint8_t *w, const int n_tok)
{
    const __m512 w0 = load_float_16(type, w, 0), w1 = load_float_16(type, w, 16);
#pragma GCC unroll 8
    for (int t = 0; t < n_tok; t++) {
        const float *x = in->x + t * in->ld_x + at;
        acc[t][0] = _mm512_fmadd_ps(w0, _mm512_loadu_ps(x), acc[t][0]);
        acc[t][1] = _mm512_fmadd_ps(w1, _mm512_loadu_ps(x + 16), acc[t][1]);
    }
}

INLINE TARGET_BF16 void dot_float(float *dot, const struct tile *b, enum dtype type,
                                  const int n_rows, const int n_tok)
{
    const struct few_in *in = b->in;
    const int64_t size = type == DT_F32 ? 4 : 2;
    __m512 acc[ROWS * FEW][2];
#pragma GCC unroll 8
    for (int a = 0; a < n_rows * n_tok; a++) acc[a][0] = acc[a][1] = _mm512_setzero_ps();
    int64_t i = 0;
    for (; i + 32 <= in->k; i += 32) {
        prefetch(b, size * i * n_rows, size * 32 * n_rows);
#pragma GCC unroll 4
        for (int r = 0; r < n_rows; r++)
            step_float(acc + r * n_tok, in, i, type, b->w + (size_t)r * b->row_bytes + size * i,
                       n_tok);
    }
    for (int r = 0; r < n_rows && i < in->k; r++) { /* the rest of the row, with zeros behind it */
        uint8_t rest[32 * 4] = {0};
        memcpy(rest, b->w + (size_t)r * b->row_bytes + size * i, (size_t)(size * (in->k - i)));
        step_float(acc + r * n_tok, in, i, type, rest, n_tok);
    }
    __m512 sum[ROWS * FEW];
#pragma GCC unroll 8
    for (int a = 0; a < n_rows * n_tok; a++) sum[a] = _mm512_add_ps(acc[a][0], acc[a][1]);
    put_sums(dot, sum, n_rows, n_tok);
}

/* ---- quantized weights -------------------------------------------------------------------- */

/* Scales of the 16 lanes of chunk c of 256: lane l holds weights 64 c + 4 l and on. */
INLINE TARGET_BF16 __m512 lane_scales(__m512 s, bool per_32, int c)
{
    const __m512i quarter = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i half = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    if (per_32) return _mm512_permutexvar_ps(_mm512_add_epi32(half, _mm512_set1_epi32(2 * c)), s);
    return _mm512_permutexvar_ps(_mm512_add_epi32(quarter, _mm512_set1_epi32(4 * c)), s);
}

/* The float16 at word `first` of two blocks of `step` words, each for the 8 lanes of its block. */
INLINE TARGET_BF16 __m512 block_scales(const uint8_t *b, int first, int step)
{
    const __m256i at =
        _mm256_set_m128i(_mm_set1_epi16((short)(first + step)), _mm_set1_epi16((short)first));
    if (first + step < 16) return _mm512_cvtph_ps(_mm256_permutexvar_epi16(at, load_32(b)));
    const __m512i v = _mm512_permutexvar_epi16(_mm512_castsi256_si512(at), load_64(b));
    return _mm512_cvtph_ps(_mm512_castsi512_si256(v));
}

INLINE TARGET_BF16 __m512 join(const __m256 v[2])
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(v[0]), v[1], 1);
}

/* acc += 64 weights times the activations: chunk c of `a`; v: the weights as bytes, s: the scales
 * of their lanes. */
INLINE TARGET_BF16 __m512 add_chunk(__m512 acc, __m512i v, __m512 s, const struct act8 *a,
                                    int64_t c, bool has_min)
{
    const __m512i from = has_min ? _mm512_setzero_si512() : _mm512_load_si512(a->sum_128 + 16 * c);
    const __m512i sum = _mm512_dpbusd_epi32(from, v, _mm512_load_si512(a->q + 64 * c));
    const __m512 scale = _mm512_mul_ps(s, _mm512_load_ps(a->d + 16 * c));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, acc);
}

/* acc += m times the activations of chunk c, m: what is added to each weight of a lane. */
INLINE TARGET_BF16 __m512 add_minima(__m512 acc, __m512 m, const struct act8 *a, int64_t c)
{
    const __m512 d = _mm512_mul_ps(_mm512_load_ps(a->d + 16 * c), _mm512_set1_ps(-1.0f / 128));
    const __m512 sums = _mm512_cvtepi32_ps(_mm512_load_si512(a->sum_128 + 16 * c));
    return _mm512_fmadd_ps(m, _mm512_mul_ps(sums, d), acc);
}

/* 256 weights at w against the activations of each token. */
INLINE TARGET_BF16 void step_256(__m512 acc[], const struct act8 *q, int64_t ld_q,
                                 const struct unpack *f, bytes_64_fn *bytes, const uint8_t *w,
                                 const int n_tok)
{
    const bool is_plain = f->block_elems == 32 && !f->has_min;
    const __m256 zero = _mm256_setzero_ps();
    __m256 s2[2] = {zero, zero}, m2[2] = {zero, zero};
    if (!is_plain) f->scales(w, s2, m2);
    const __m512 s = f->per_32 ? _mm512_castps256_ps512(s2[0]) : join(s2), m = join(m2);
#pragma GCC unroll 4
    for (int c = 0; c < ACT / CHUNK; c++) {
        const __m512i v = bytes(w, c);
        const __m512 lanes = is_plain
                                 ? block_scales(w + 2 * c * f->block_bytes, 0, f->block_bytes / 2)
                                 : lane_scales(s, f->per_32, c);
#pragma GCC unroll 8
        for (int t = 0; t < n_tok; t++)
            acc[t] = add_chunk(acc[t], v, lanes, q + t * ld_q, c, f->has_min);
    }
    if (!f->has_min) return;
#pragma GCC unroll 8
    for (int t = 0; t < n_tok; t++)
        acc[t] = _mm512_fnmadd_ps(m, _mm512_load_ps(q[t * ld_q].sum_16), acc[t]);
}

/* Two blocks of 32 at w against chunk c of the activations. */
INLINE TARGET_BF16 void step_64(__m512 acc[], const struct act8 *q, int64_t ld_q, int64_t c,
                                const struct unpack *f, bytes_64_fn *bytes, const uint8_t *w,
                                const int n_tok)
{
    const int words = f->block_bytes / 2;
    const __m512i v = bytes(w, 0);
    const __m512 s = block_scales(w, 0, words);
    const __m512 m = f->has_min ? block_scales(w, 1, words) : s;
#pragma GCC unroll 8
    for (int t = 0; t < n_tok; t++) {
        acc[t] = add_chunk(acc[t], v, s, q + t * ld_q, c, f->has_min);
        if (f->has_min) acc[t] = add_minima(acc[t], m, q + t * ld_q, c);
    }
}

/* The last k < 256 weights of a row: blocks of 32, two at a time. */
INLINE TARGET_BF16 void step_rest(__m512 acc[], const struct act8 *q, int64_t ld_q, int64_t k,
                                  const struct unpack *f, bytes_64_fn *bytes, const uint8_t *w,
                                  const int n_tok)
{
    if (f->block_elems == ACT) return; /* rows are whole blocks */
    int64_t c = 0;
    for (; k >= CHUNK; k -= CHUNK, c++, w += 2 * f->block_bytes)
        step_64(acc, q, ld_q, c, f, bytes, w, n_tok);
    if (k == 0) return;
    uint8_t rest[2 * 64] = {0};
    memcpy(rest, w, (size_t)f->block_bytes);
    step_64(acc, q, ld_q, c, f, bytes, rest, n_tok);
}

INLINE TARGET_BF16 void dot_quant(float *dot, const struct tile *b, const struct unpack *f,
                                  bytes_64_fn *bytes, const int n_rows, const int n_tok)
{
    __m512 acc[ROWS * FEW];
#pragma GCC unroll 8
    for (int a = 0; a < n_rows * n_tok; a++) acc[a] = _mm512_setzero_ps();
    const int64_t ld_q = b->in->ld_x / ACT, k = b->in->k;
    const struct act8 *q = b->in->q;
    int64_t i = 0, at = 0;
    for (; i + ACT <= k; i += ACT, at += f->act_bytes, q++)
#pragma GCC unroll 4
        for (int r = 0; r < n_rows; r++) {
            prefetch(b, at * n_rows + r * f->act_bytes, f->act_bytes);
            step_256(acc + r * n_tok, q, ld_q, f, bytes, b->w + (size_t)r * b->row_bytes + at,
                     n_tok);
        }
    for (int r = 0; r < n_rows && i < k; r++)
        step_rest(acc + r * n_tok, q, ld_q, k - i, f, bytes, b->w + (size_t)r * b->row_bytes + at,
                  n_tok);
    put_sums(dot, acc, n_rows, n_tok);
}

/* ---- rows by tokens ----------------------------------------------------------------------- */

/* Rows by tiles of `tile_rows`, the last ones singly; `f` NULL: float weights of `type`. */
INLINE TARGET_BF16 void dot_some(float *dot, struct tile *b, enum dtype type,
                                 const struct unpack *f, bytes_64_fn *bytes, int64_t n_rows,
                                 const int tile_rows, const int n_tok)
{
    for (; n_rows >= tile_rows; n_rows -= tile_rows) {
        if (f)
            dot_quant(dot, b, f, bytes, tile_rows, n_tok);
        else
            dot_float(dot, b, type, tile_rows, n_tok);
        b->w += (size_t)tile_rows * b->row_bytes;
        dot += tile_rows * FEW;
    }
    for (; tile_rows > 1 && n_rows > 0; n_rows--, b->w += b->row_bytes, dot += FEW)
        if (f)
            dot_quant(dot, b, f, bytes, 1, n_tok);
        else
            dot_float(dot, b, type, 1, n_tok);
}

/* Rows of activations beyond n_tok are zeros, so that few numbers of tokens need code. Rows go one
 * by one, the order in which memory is read fastest, but long ones share their activations, which
 * come from L2. */
INLINE TARGET_BF16 void dot_rows(float *dot, const struct few_in *in, enum dtype type,
                                 const struct unpack *f, bytes_64_fn *bytes, const uint8_t *w,
                                 size_t row_bytes, int64_t n_rows)
{
    struct tile b = {.in = in,
                     .w = w,
                     .row_bytes = row_bytes,
                     .ahead = in->k > LONG ? AHEAD_LONG
                              : f          ? AHEAD
                                           : AHEAD_FLOAT};
    if (in->n_tok == 1 && in->k > LONG)
        dot_some(dot, &b, type, f, bytes, n_rows, ROWS, 1);
    else if (in->n_tok == 1)
        dot_some(dot, &b, type, f, bytes, n_rows, 1, 1);
    else if (in->n_tok <= 4)
        dot_some(dot, &b, type, f, bytes, n_rows, 1, 4);
    else
        dot_some(dot, &b, type, f, bytes, n_rows, 1, FEW);
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
    [DT_F32] = FORM_F32, [DT_F16] = FORM_F32, [DT_BF16] = FORM_PAIRS,
    [DT_Q4_0] = FORM_INT8, [DT_Q4_1] = FORM_INT8, [DT_Q5_0] = FORM_INT8,
    [DT_Q5_1] = FORM_INT8, [DT_Q8_0] = FORM_INT8, [DT_Q2_K] = FORM_INT8,
    [DT_Q3_K] = FORM_INT8, [DT_Q4_K] = FORM_INT8, [DT_Q5_K] = FORM_INT8,
    [DT_Q6_K] = FORM_INT8, [DT_IQ4_NL] = FORM_INT8, [DT_IQ4_XS] = FORM_INT8,
};
static const uint8_t forms_amx[DT_COUNT] = {
    [DT_F32] = FORM_BF16_3, [DT_F16] = FORM_BF16_3, [DT_BF16] = FORM_BF16_1,
    [DT_Q4_0] = FORM_BF16_1, [DT_Q4_1] = FORM_BF16_1, [DT_Q5_0] = FORM_BF16_1,
    [DT_Q5_1] = FORM_BF16_1, [DT_Q8_0] = FORM_BF16_1, [DT_Q2_K] = FORM_BF16_1,
    [DT_Q3_K] = FORM_BF16_1, [DT_Q4_K] = FORM_BF16_1, [DT_Q5_K] = FORM_BF16_1,
    [DT_Q6_K] = FORM_BF16_1, [DT_IQ4_NL] = FORM_BF16_1, [DT_IQ4_XS] = FORM_BF16_1,
};
/* clang-format on */

TARGET_BF16
static void read_avx512bf16(float *y, const struct linear_args *a, int64_t t) { read_row(y, a, t); }

static const struct linear_kit linear_kit_bf16 = {
    .cpu = &kit_avx512,
    .dot = dots,
    .read = read_avx512bf16,
    .form = forms_bf16,
    .quantize = quantize_act8_avx2,
    .dot_group = dot_groups_vnni,
    .strip_int8 = strip_vnni,
    .pack_int8 = pack_vnni,
    .strip_pairs = strip_pairs,
    .pack_pairs = pack_pairs,
};

void linear_avx512bf16(const struct member *me, const struct linear_args *a)
{
    linear_run(me, a, &linear_kit_bf16);
}

static const struct linear_kit linear_kit_amx = {
    .cpu = &kit_avx512,
    .dot = dots,
    .read = read_avx512bf16,
    .form = forms_amx,
    .quantize = quantize_act8_avx2,
    .dot_group = dot_groups_vnni,
    .strip_bf16 = strip_amx,
    .split = split_avx512bf16,
};

void linear_amx(const struct member *me, const struct linear_args *a)
{
    linear_run(me, a, &linear_kit_amx);
}
#endif
