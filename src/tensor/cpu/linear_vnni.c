/* SPDX-License-Identifier: Apache-2.0
 *
 * linear_vnni.c - many tokens times quantized weights in 8-bit integers: AVX512-VNNI.
 *
 *     y[t][r] = sum over blocks b of 32: d[t][b] * (s[r][b] * sum_i q[t][i] u[r][i]) - m[r][b] * X,
 *     X = d[t][b] * sum_i q[t][i]
 *
 * Activations are rounded to 8 bits, a scale for each 32, exactly as for few tokens (act8 in
 * linear.h), so a prompt and an answer see the same rounding. Weights are not rounded: their own
 * integers are multiplied, unsigned as vpdpbusd wants them. Formats without a minimum have 128
 * added to each; what that adds to a sum is known from the activations and is where the sum starts.
 *
 * A strip of weights, a block of k at a time, is unpacked into panels of 16 rows: 32 weights of k
 * are 8 registers of 16 rows by 4, then the rows' scales, then their minima. Sixteen output rows
 * lie across the lanes and a token's four activations are broadcast, so nothing is added across
 * lanes, scales of rows are one load, and results are stored as they lie in y. Two panels by TOK
 * tokens stay in registers while k runs: for 32 weights of 16 rows 8 dot products, one conversion
 * and two float operations (three with a minimum) on the unit that makes them, which is 8/10 (8/11)
 * of its peak at best. Two panels, because with one by 8 tokens there were 9 loads for 8 products,
 * and Zen 4 loads one register of 64 bytes a cycle. Two panels by 8 tokens, the integers of half of
 * them at a time, fetch less from L2, but GCC spills.
 *
 * Unpacking prefetches: 16 rows are as many streams, of which none is long enough for the hardware.
 *
 * The order of a sum follows k alone: any number of threads, any neighbours, the same bits.
 * Begin reading at strip_vnni().
 */
#include "tensor/cpu/cpu.h"

#if CRIA_X86
#include <immintrin.h>

#include "tensor/cpu/interleave.h"
#include "tensor/cpu/linear_in.h"
#include "tensor/cpu/linear_interleaved.h"
#include "tensor/cpu/linear_vnni.h"
#include "tensor/cpu/tile_avx512.h"
#include "tensor/cpu/unpack_avx512.h"

enum {
    TOK = 4,       /* tokens of a tile */
    K_LONG = 1024, /* of k in a panel, at most; longer rows are cut in equal parts */
    MAX_RECORD = RECORD_Q + 4 * ROWS * (int)sizeof(float),
};
_Static_assert(STRIP / ROWS * (K_LONG / 32) * MAX_RECORD <= PANEL_BYTES, "a strip fits");

/* ---- activations -------------------------------------------------------------------------- */

INLINE TARGET_BF16 int32_t sum_bytes_16(__m128i q) /* of signed bytes */
{
    const __m128i sums = _mm_sad_epu8(_mm_xor_si128(q, _mm_set1_epi8((char)128)),
                                      _mm_setzero_si128()); /* each byte + 128 */
    return _mm_extract_epi16(sums, 0) + _mm_extract_epi16(sums, 4) - 16 * 128;
}

/* 32 activations of token t; their q to q[32]. */
INLINE TARGET_BF16 void quantize_32(struct act_block *dst, int8_t *q, int t, const float *x)
{
    const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
    const float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)));
    const float d = most / 127.0f;
    const __m512 inverse = _mm512_set1_ps(most > 0.0f ? 127.0f / most : 0.0f);
    const __m128i qa = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(a, inverse)));
    const __m128i qb = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(b, inverse)));
    _mm_storeu_si128((__m128i *)(void *)q, qa);
    _mm_storeu_si128((__m128i *)(void *)(q + 16), qb);
    const int32_t sum_a = sum_bytes_16(qa), sum_b = sum_bytes_16(qb);
    dst->d[t] = d;
    dst->from_32[t] = -128 * (sum_a + sum_b);
    dst->sum_32[t] = d * (float)(sum_a + sum_b);
    dst->from_16[0][t] = -128 * sum_a;
    dst->from_16[1][t] = -128 * sum_b;
    dst->sum_16[0][t] = d * (float)sum_a;
    dst->sum_16[1][t] = d * (float)sum_b;
}

TARGET_BF16
void pack_vnni(struct act_block *act, const struct linear_args *a, int64_t t, int64_t begin,
               int64_t end)
{
    _Alignas(64) float x[ACT_TOK * ACT];
    _Alignas(64) int8_t q[ACT_TOK * 32];
    const int64_t n_tok = min_i64(ACT_TOK, a->n_tok - t);
    float scale[ACT_TOK];
    for (int64_t j = 0; j < n_tok; j++) scale[j] = in_scale(a, t + j);
    memset(x, 0, sizeof x);
    for (int64_t i = begin; i < end; i += ACT) {
        const int64_t n = min_i64(ACT, a->k - i);
        for (int64_t j = 0; j < n_tok; j++) {
            read_in(x + j * ACT, a, t + j, i, n, scale[j]);
            memset(x + j * ACT + n, 0, (size_t)(ACT - n) * sizeof *x);
        }
        for (int b = 0; b < ACT / 32; b++, act++) {
            for (int j = 0; j < ACT_TOK; j++) quantize_32(act, q + 32 * j, j, x + j * ACT + 32 * b);
            kit_avx512.transpose((float *)(void *)act->q, ACT_TOK, (const float *)(void *)q, 8,
                                 ACT_TOK, 8);
        }
    }
}

/* ---- weights ------------------------------------------------------------------------------ */

/* Elements [i, i + n) of 16 rows from `row` on into records, n <= K_LONG. */
typedef void unpack_panel_fn(uint8_t *panel, const struct strip *s, int64_t row, int64_t i,
                             int64_t n);

/* 256 weights of 16 rows, unpacked but not yet interleaved. */
struct stage {
    _Alignas(64) uint8_t q[ROWS][ACT];
    _Alignas(64) float s[ROWS][16], m[ROWS][16];
};

INLINE TARGET_BF16 void unpack_row(struct stage *g, int r, const struct unpack *f,
                                   bytes_64_fn *bytes, const uint8_t *src, int64_t n)
{
    uint8_t rest[ACT_BYTES_MAX];
    const uint8_t *b = n < ACT ? unpack_rest(rest, f, src, n) : src;
    const __m256 zero = _mm256_setzero_ps();
    __m256 s2[2] = {zero, zero}, m2[2] = {zero, zero};
    f->scales(b, s2, m2);
    _mm256_store_ps(g->s[r], s2[0]);
    _mm256_store_ps(g->s[r] + 8, s2[1]);
    _mm256_store_ps(g->m[r], m2[0]);
    _mm256_store_ps(g->m[r] + 8, m2[1]);
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) _mm512_store_si512(g->q[r] + 64 * c, bytes(b, c));
}

/* The first n_32 records of the stage. */
INLINE TARGET_BF16 uint8_t *interleave(uint8_t *to, const struct stage *g, const struct unpack *f,
                                       int64_t n_32)
{
    _Alignas(64) float s[16][ROWS], m[16][ROWS]; /* scales of f->per_32 lie in the first 8 */
    for (int i = 0; i < (f->per_32 ? 8 : 16); i += 4)
        columns_16x4((uint8_t *)s[i], sizeof s[0], (const uint8_t *)&g->s[0][i], sizeof g->s[0]);
    for (int i = 0; f->has_min && i < 16; i += 4)
        columns_16x4((uint8_t *)m[i], sizeof m[0], (const uint8_t *)&g->m[0][i], sizeof g->m[0]);
    const int n_each = f->per_32 ? 1 : 2; /* scales of a record, and minima */
    for (int64_t c = 0; c < n_32; c++) {
        columns_16x4(to, 64, &g->q[0][32 * c], ACT);
        columns_16x4(to + 256, 64, &g->q[0][32 * c + 16], ACT);
        for (int h = 0; h < n_each; h++) {
            _mm512_store_ps(to + RECORD_Q + 64 * h, _mm512_load_ps(s[n_each * c + h]));
            if (f->has_min)
                _mm512_store_ps(to + RECORD_Q + 64 * (n_each + h), _mm512_load_ps(m[2 * c + h]));
        }
        to += record_bytes(f->has_min, f->per_32);
    }
    return to;
}

/* The same of rows that lie in groups, as a rule of one whole group. */
INLINE TARGET_BF16 void unpack_groups(uint8_t *panel, const struct unpack *f, bytes_64_fn *bytes,
                                      const struct strip *s, int64_t row, int64_t n_rows, int64_t i,
                                      int64_t n)
{
    struct stage g;
    uint8_t rows[ROWS][ACT_BYTES_MAX];
    if (n_rows == ROWS && row % GROUP_ROWS == 0) {
        const uint8_t *group = tensor_row(s->w, row);
        (void)panel_groups_vnni[s->w->dtype](
            panel, group + i / f->block_elems * GROUP_ROWS * f->block_bytes, n);
        return;
    }
    if (n_rows < ROWS) memset(&g, 0, sizeof g);
    for (const int64_t end = i + n; i < end; i += ACT) {
        const int64_t n_here = min_i64(ACT, end - i);
        interleave_read(rows[0], sizeof rows[0], s->w, row, n_rows, i / f->block_elems,
                        n_here / f->block_elems);
        for (int64_t r = 0; r < n_rows; r++) unpack_row(&g, (int)r, f, bytes, rows[r], n_here);
        panel = interleave(panel, &g, f, n_here / 32);
    }
}

INLINE TARGET_BF16 void unpack_panel(uint8_t *panel, const struct unpack *f, bytes_64_fn *bytes,
                                     const struct strip *s, int64_t row, int64_t i, int64_t n)
{
    struct stage g;
    const int64_t n_rows = min_i64(ROWS, s->row + s->n_rows - row);
    if (s->w->is_interleaved) {
        unpack_groups(panel, f, bytes, s, row, n_rows, i, n);
        return;
    }
    if (n_rows < ROWS) memset(&g, 0, sizeof g);
    const size_t row_bytes = s->w->row_bytes;
    const uint8_t *rows = (const uint8_t *)tensor_row(s->w, row) + i / ACT * f->act_bytes;
    const uint8_t *below = rows + ROWS * row_bytes; /* where the next panel begins */
    for (const int64_t end = i + n; i < end; i += ACT, rows += f->act_bytes) {
        const uint8_t *next = i + ACT < end ? rows + f->act_bytes : below;
        for (int64_t r = 0; r < n_rows; r++) {
            for (int b = 0; b < f->act_bytes; b += 64)
                _mm_prefetch(next + (size_t)r * row_bytes + b, _MM_HINT_T0);
            unpack_row(&g, (int)r, f, bytes, rows + (size_t)r * row_bytes, end - i);
        }
        panel = interleave(panel, &g, f, min_i64(ACT, end - i) / 32);
    }
}

#define UNPACK_PANEL(id, name)                                                                     \
    TARGET_BF16 static void panel_##name(uint8_t *panel, const struct strip *s, int64_t row,       \
                                         int64_t i, int64_t n)                                     \
    {                                                                                              \
        unpack_panel(panel, &unpack_##name, u64_##name, s, row, i, n);                             \
    }
EACH_QUANT(UNPACK_PANEL)

/* ---- products ----------------------------------------------------------------------------- */

INLINE TARGET_BF16 __m512i four(const int8_t q[4]) /* in each lane */
{
    int32_t v = 0;
    memcpy(&v, q, sizeof v);
    return _mm512_set1_epi32(v);
}

INLINE TARGET_BF16 __m512 scales_at(const uint8_t *record, int i)
{
    return _mm512_load_ps(record + RECORD_Q + 64 * i);
}

/* Sums of 32 rows times tokens [t, t + TOK) over 4 * n_g weights, from group g on. */
INLINE TARGET_BF16 void dot_groups(__m512i sum[TOK][2], const uint8_t *w0, const uint8_t *w1,
                                   const struct act_block *x, const int t, const int g,
                                   const int n_g)
{
#pragma GCC unroll 8
    for (int i = g; i < g + n_g; i++) {
        const __m512i u0 = _mm512_load_si512(w0 + 64 * i), u1 = _mm512_load_si512(w1 + 64 * i);
#pragma GCC unroll 4
        for (int j = 0; j < TOK; j++) {
            const __m512i q = four(x->q[i][t + j]);
            sum[j][0] = _mm512_dpbusd_epi32(sum[j][0], u0, q);
            sum[j][1] = _mm512_dpbusd_epi32(sum[j][1], u1, q);
        }
    }
}

/* acc += 16 rows times token t: v scaled, less the minima. */
INLINE TARGET_BF16 __m512 take_up(__m512 acc, __m512 v, const uint8_t *w, const struct act_block *x,
                                  int t, const bool has_min, const bool per_32)
{
    acc = _mm512_fmadd_ps(v, _mm512_set1_ps(x->d[t]), acc);
    if (!has_min) return acc;
    if (per_32) return _mm512_fnmadd_ps(scales_at(w, 1), _mm512_set1_ps(x->sum_32[t]), acc);
    acc = _mm512_fnmadd_ps(scales_at(w, 2), _mm512_set1_ps(x->sum_16[0][t]), acc);
    return _mm512_fnmadd_ps(scales_at(w, 3), _mm512_set1_ps(x->sum_16[1][t]), acc);
}

/* acc += 32 rows times tokens [t, t + TOK) over the 32 weights of a record; one scale for each
 * row, or two. */
INLINE TARGET_BF16 void step(__m512 acc[TOK][2], const uint8_t *w0, const uint8_t *w1,
                             const struct act_block *x, const int t, const bool has_min,
                             const bool per_32)
{
    const int n_parts = per_32 ? 1 : 2;
    __m512 v[TOK][2];
#pragma GCC unroll 2
    for (int h = 0; h < n_parts; h++) {
        __m512i sum[TOK][2];
#pragma GCC unroll 4
        for (int j = 0; j < TOK; j++) {
            const int32_t from = per_32 ? x->from_32[t + j] : x->from_16[h][t + j];
            sum[j][0] = sum[j][1] = has_min ? _mm512_setzero_si512() : _mm512_set1_epi32(from);
        }
        dot_groups(sum, w0, w1, x, t, h * 4, per_32 ? 8 : 4);
#pragma GCC unroll 4
        for (int j = 0; j < TOK; j++)
#pragma GCC unroll 2
            for (int r = 0; r < 2; r++) {
                const __m512 f = _mm512_cvtepi32_ps(sum[j][r]), s = scales_at(r ? w1 : w0, h);
                v[j][r] = h == 0 ? _mm512_mul_ps(f, s) : _mm512_fmadd_ps(f, s, v[j][r]);
            }
    }
#pragma GCC unroll 4
    for (int j = 0; j < TOK; j++) {
        acc[j][0] = take_up(acc[j][0], v[j][0], w0, x, t + j, has_min, per_32);
        acc[j][1] = take_up(acc[j][1], v[j][1], w1, x, t + j, has_min, per_32);
    }
}

/* n_32 records of two panels times tokens [t, t + TOK) of a block. */
INLINE TARGET_BF16 void multiply(const struct dest *to, const uint8_t *w0, const uint8_t *w1,
                                 const struct act_block *x, int64_t n_32, const int t,
                                 const bool has_min, const bool per_32)
{
    const int64_t n_bytes = record_bytes(has_min, per_32);
    __m512 acc[TOK][2];
#pragma GCC unroll 4
    for (int j = 0; j < TOK; j++) acc[j][0] = acc[j][1] = _mm512_setzero_ps();
    for (int64_t b = 0; b < n_32; b++, x++, w0 += n_bytes, w1 += n_bytes)
        step(acc, w0, w1, x, t, has_min, per_32);
    float *y = to->y + t * to->ld_y;
#pragma GCC unroll 4
    for (int j = 0; j < TOK; j++, y += to->ld_y) {
        if (t + j >= to->n_tok) break;
        put_16(to, 0, y, acc[j][0]);
        put_16(to, 1, y, acc[j][1]);
    }
}

/* Two panels times a block of tokens. */
typedef void multiply_fn(const struct dest *to, const uint8_t *w0, const uint8_t *w1,
                         const struct act_block *x, int64_t n_32);

#define MULTIPLY(name, has_min, per_32)                                                            \
    TARGET_BF16 static void multiply_##name(const struct dest *to, const uint8_t *w0,              \
                                            const uint8_t *w1, const struct act_block *x,          \
                                            int64_t n_32)                                          \
    {                                                                                              \
        multiply(to, w0, w1, x, n_32, 0, has_min, per_32);                                         \
        if (to->n_tok > TOK) multiply(to, w0, w1, x, n_32, TOK, has_min, per_32);                  \
    }
MULTIPLY(32, false, true)
MULTIPLY(32_min, true, true)
MULTIPLY(16, false, false)
MULTIPLY(16_min, true, false)

#define TYPE_ENTRY(id, name) [id] = {&unpack_##name, panel_##name},
static const struct {
    const struct unpack *format;
    unpack_panel_fn *unpack;
} types[DT_COUNT] = {EACH_QUANT(TYPE_ENTRY)};

/* Elements [i, i + n) of a strip times all tokens. Tokens outside: theirs stay in L1 while the
 * panels stream from L2. */
static void part_of_k(const struct strip *s, int64_t i, int64_t n)
{
    static multiply_fn *const products[2][2] = {{multiply_16, multiply_32},
                                                {multiply_16_min, multiply_32_min}};
    const struct unpack *f = types[s->w->dtype].format;
    multiply_fn *product = products[f->has_min][f->per_32];
    const int64_t panel_bytes = n / 32 * record_bytes(f->has_min, f->per_32);
    uint8_t *panel = s->panel;
    for (int64_t r = 0; r < s->n_rows; r += ROWS)
        types[s->w->dtype].unpack(panel + r / ROWS * panel_bytes, s, s->row + r, i, n);
    for (int64_t t = 0; t < s->n_tok; t += ACT_TOK)
        for (int64_t r = 0; r < s->n_rows; r += 2 * ROWS) {
            const struct dest to = dest_of(s, r, t, i);
            const uint8_t *w0 = panel + r / ROWS * panel_bytes;
            const uint8_t *w1 = to.mask[1] ? w0 + panel_bytes : w0;
            product(&to, w0, w1, s->xq + (t / ACT_TOK * s->k_pad + i) / 32, n / 32);
        }
}

void strip_vnni(const struct strip *s)
{
    const int64_t n_parts = (s->k + K_LONG - 1) / K_LONG;
    const int64_t part = round_up((s->k + n_parts - 1) / n_parts, ACT);
    for (int64_t i = 0; i < s->k; i += part) part_of_k(s, i, min_i64(part, s->k - i));
}
#endif
