/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_bf16.c - attention's inner loop in bfloat16 dot products (AVX512-BF16).
 *
 * Keys, values, queries and weights are rounded to bfloat16; products are exact and sums float, as
 * on most graphics processors. A step packs 64 keys and values once for all rows of the unit:
 *
 *     K [d / 2, 64 keys]   a register is 16 keys, two elements of each: rows turned by shuffles
 *     V [64 / 2, d]        a register is 16 elements, two keys of each
 *
 * so that both products are the same tile: rows of A broadcast pair by pair, 6 rows by 64 columns
 * in 24 registers. Between the two, a tile's scores become weights in registers. Packing costs 22
 * cycles a key, a row 4 a key, so that even one token's group of heads reads the cache as fast as
 * memory gives it.
 *
 * An element is one sum over pairs from 0 up, a row's weights are summed in 16 lanes: the other
 * rows, and how rows are grouped, change no bit.
 * Begin reading at range().
 */
#include "tensor/cpu/attention.h"

#if CRIA_X86
#include <immintrin.h>
#include <math.h>
#include <string.h>

enum {
    TILE_ROWS = 6,
    TILE_COLS = 4,    /* registers: 64 columns */
    WORDS = KEYS / 2, /* pairs of a row of weights */
    BLOCKS = KEYS / LANES,
};
_Static_assert(BLOCKS == TILE_COLS, "a tile is a step's scores");

/* The form's memory: pairs as words. */
struct packed {
    uint32_t *q; /* [n_rows, d_pad / 2] */
    uint32_t *k; /* [d_pad / 2, KEYS] */
    uint32_t *v; /* [KEYS / 2, d_pad] */
    float *l;    /* [n_rows, 16]: sums of weights in lanes */
    int64_t d_pad;
};

static int64_t floats(int64_t n_rows, int64_t d)
{
    const int64_t d_pad = round_up(d, 2 * LANES);
    return n_rows * (d_pad / 2 + LANES) + KEYS * d_pad;
}

static struct packed packed_of(const struct unit *u)
{
    struct packed p = {.d_pad = round_up(u->d, 2 * LANES)};
    p.k = (uint32_t *)(void *)u->form;
    p.v = p.k + KEYS * p.d_pad / 2;
    p.q = p.v + KEYS * p.d_pad / 2;
    p.l = (float *)(void *)(p.q + u->n_rows * p.d_pad / 2);
    return p;
}

/* ---- packing ------------------------------------------------------------------------------ */

INLINE TARGET_BF16 __m512i to_bf16(__m512 first, __m512 second)
{
    return (__m512i)_mm512_cvtne2ps_pbh(second, first);
}

/* 32 float16: their bits rounded to 7 of mantissa, the exponent's offset raised by 112, in half the
 * cycles of two conversions (measured, Zen 4). Zero, subnormal and not finite take those. */
INLINE TARGET_BF16 __m512i from_f16(__m512i h)
{
    const __m512i mag = _mm512_and_si512(h, _mm512_set1_epi16(0x7fff));
    const __m512i odd =
        _mm512_and_si512(_mm512_srli_epi16(h, 3), _mm512_set1_epi16(1)); /* ties to even */
    const __m512i r = _mm512_add_epi16(_mm512_add_epi16(mag, _mm512_set1_epi16(3)), odd);
    const __m512i y = _mm512_add_epi16(_mm512_srli_epi16(r, 3), _mm512_set1_epi16(112 << 7));
    const __mmask32 other = _mm512_cmpge_epu16_mask(_mm512_sub_epi16(mag, _mm512_set1_epi16(0x400)),
                                                    _mm512_set1_epi16(0x7800));
    if (__builtin_expect(other != 0, 0))
        return to_bf16(_mm512_cvtph_ps(_mm512_castsi512_si256(h)),
                       _mm512_cvtph_ps(_mm512_extracti64x4_epi64(h, 1)));
    /* y | (h & sign) */
    return _mm512_ternarylogic_epi32(y, h, _mm512_set1_epi16((short)0x8000), 0xf8);
}

/* Elements [i, i + 32) of a stored row; of them those of `mask`, zero the others, if not all. */
INLINE TARGET_BF16 __m512i load_32(const uint8_t *row, const enum dtype t, int64_t i,
                                   const bool is_whole, __mmask32 mask)
{
    if (t == DT_BF16)
        return is_whole ? _mm512_loadu_si512(row + 2 * i)
                        : _mm512_maskz_loadu_epi16(mask, row + 2 * i);
    if (t == DT_F16)
        return from_f16(is_whole ? _mm512_loadu_si512(row + 2 * i)
                                 : _mm512_maskz_loadu_epi16(mask, row + 2 * i));
    if (t == DT_F32)
        return to_bf16(_mm512_maskz_loadu_ps((__mmask16)mask, row + 4 * i),
                       _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), row + 4 * i + 64));
    const uint8_t *block = row + i / 32 * 34; /* Q8_0: a float16 scale, 32 bytes */
    short d = 0;
    memcpy(&d, block, sizeof d);
    const __m512 scale = _mm512_cvtph_ps(_mm256_set1_epi16(d));
    const __m128i *q = (const __m128i *)(const void *)(block + 2);
    return to_bf16(
        _mm512_mul_ps(scale, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(q)))),
        _mm512_mul_ps(scale, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(q + 1)))));
}

static __mmask32 mask_of(int64_t n) { return n >= 32 ? 0xffffffffu : (1u << n) - 1; }

/* dst[j * KEYS + i] = word j of x[i]. */
INLINE TARGET_BF16 void store_turned(uint32_t *dst, __m512i x[16])
{
    __m512i t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) { /* pairs of rows, */
        t[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) { /* fours: x[i + c] is column 4 b + c in each quarter b */
        x[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) { /* quarters */
        const __m512i a = _mm512_shuffle_i32x4(x[c], x[4 + c], 0x88);
        const __m512i b = _mm512_shuffle_i32x4(x[c], x[4 + c], 0xdd);
        const __m512i e = _mm512_shuffle_i32x4(x[8 + c], x[12 + c], 0x88);
        const __m512i f = _mm512_shuffle_i32x4(x[8 + c], x[12 + c], 0xdd);
        _mm512_store_si512(dst + c * KEYS, _mm512_shuffle_i32x4(a, e, 0x88));
        _mm512_store_si512(dst + (4 + c) * KEYS, _mm512_shuffle_i32x4(b, f, 0x88));
        _mm512_store_si512(dst + (8 + c) * KEYS, _mm512_shuffle_i32x4(a, e, 0xdd));
        _mm512_store_si512(dst + (12 + c) * KEYS, _mm512_shuffle_i32x4(b, f, 0xdd));
    }
}

/* Asks for a stored row of a step to come. One at a time between the loads of this step: asked for
 * all at once they fill the processor's queue of misses, and everything waits. */
INLINE TARGET_BF16 void prefetch(const uint8_t *row, int64_t row_bytes)
{
    for (int64_t i = 0; i < row_bytes; i += 64) _mm_prefetch(row + i, _MM_HINT_T1);
}

/* Where stored rows lie, and those of the step after them. */
struct rows {
    const uint8_t *at, *ahead;
    int64_t row_bytes, n;
};

/* Sixteen keys, n of them stored, the others zero, into columns of K. A page has 16 or more. */
INLINE TARGET_BF16 void pack_keys(uint32_t *to, const struct rows *s, int64_t d, const enum dtype t,
                                  const bool is_whole)
{
    for (int64_t i = 0; i < d; i += 2 * LANES, to += LANES * KEYS) {
        const __mmask32 mask = mask_of(d - i);
        const uint8_t *row = s->at;
        __m512i x[16];
        if (s->n >= LANES) {
#pragma GCC unroll 16
            for (int j = 0; j < LANES; j++, row += s->row_bytes) {
                x[j] = load_32(row, t, i, is_whole, mask);
                if (i == 0) prefetch(s->ahead + j * s->row_bytes, s->row_bytes);
            }
        } else {
            for (int j = 0; j < LANES; j++, row += s->row_bytes)
                x[j] = j < s->n ? load_32(row, t, i, is_whole, mask) : _mm512_setzero_si512();
        }
        store_turned(to, x);
    }
}

/* The same into rows of V, d_pad wide, up to an even n. */
INLINE TARGET_BF16 void pack_values(uint32_t *to, const struct rows *s, int64_t d,
                                    const enum dtype t, const bool is_whole)
{
    static const uint16_t order[2][32] = {
        {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
         8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47},
        {16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55,
         24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63}};
    const __m512i first = _mm512_loadu_si512(order[0]), second = _mm512_loadu_si512(order[1]);
    const uint8_t *row = s->at, *ahead = s->ahead;
    for (int64_t j = 0; j < min_i64(LANES, s->n); j += 2) {
        for (int64_t i = 0; i < d; i += 2 * LANES, to += 2 * LANES) {
            const __mmask32 mask = mask_of(d - i);
            const __m512i a = load_32(row, t, i, is_whole, mask);
            __m512i b = _mm512_setzero_si512();
            if (j + 1 < s->n) b = load_32(row + s->row_bytes, t, i, is_whole, mask);
            _mm512_store_si512(to, _mm512_permutex2var_epi16(a, first, b));
            _mm512_store_si512(to + LANES, _mm512_permutex2var_epi16(a, second, b));
        }
        prefetch(ahead, 2 * s->row_bytes);
        row += 2 * s->row_bytes;
        ahead += 2 * s->row_bytes;
    }
}

/* Positions [k0, min(k0 + KEYS, end)); keys beyond are zero. */
INLINE TARGET_BF16 void pack(const struct unit *u, const struct packed *p, int64_t k0, int64_t end,
                             const enum dtype t, const int64_t d, const int64_t row_bytes)
{
    const struct kv_layer *kv = u->a->kv;
    const bool is_whole = d % (2 * LANES) == 0;
    for (int64_t b = 0; b < KEYS; b += LANES) {
        const int64_t pos = k0 + b, ahead = pos + KEYS + LANES <= end ? pos + KEYS : pos;
        struct rows s = {.row_bytes = row_bytes, .n = end - pos};
        if (s.n > 0) s.at = unit_row(u, kv->k, pos);
        if (s.n > 0) s.ahead = unit_row(u, kv->k, ahead);
        pack_keys(p->k + b, &s, d, t, is_whole);
        if (s.n <= 0) continue;
        s.at = unit_row(u, kv->v, pos);
        s.ahead = unit_row(u, kv->v, ahead);
        pack_values(p->v + b / 2 * p->d_pad, &s, d, t, is_whole);
    }
}

/* With the usual widths of a head as constants: else 16 rows' addresses do not fit registers. */
#define PACK(id, bytes_of_32)                                                                      \
    TARGET_BF16 static void pack_##id(const struct unit *u, const struct packed *p, int64_t k0,    \
                                      int64_t end)                                                 \
    {                                                                                              \
        const int64_t row_bytes = (int64_t)u->a->kv->row_bytes;                                    \
        if (u->d == 64 && row_bytes == 2 * (bytes_of_32))                                          \
            pack(u, p, k0, end, DT_##id, 64, 2 * (bytes_of_32));                                   \
        else if (u->d == 128 && row_bytes == 4 * (bytes_of_32))                                    \
            pack(u, p, k0, end, DT_##id, 128, 4 * (bytes_of_32));                                  \
        else                                                                                       \
            pack(u, p, k0, end, DT_##id, u->d, row_bytes);                                         \
    }
PACK(F32, 128)
PACK(F16, 64)
PACK(BF16, 64)
PACK(Q8_0, 34)

TARGET_BF16
static void pack_queries(const struct unit *u, const struct packed *p)
{
    for (int64_t r = 0; r < u->n_rows; r++)
        for (int64_t i = 0; i < p->d_pad; i += 2 * LANES)
            _mm512_store_si512(p->q + (r * p->d_pad + i) / 2,
                               load_32((const uint8_t *)(const void *)(u->q + r * u->ld), DT_F32, i,
                                       false, mask_of(u->ld - i)));
}

/* ---- products and weights ----------------------------------------------------------------- */

/* acc[rows][cols] += pairs of A, n of them, times B. */
INLINE TARGET_BF16 void multiply(__m512 acc[TILE_ROWS][TILE_COLS], const uint32_t *a, int64_t ld_a,
                                 const uint32_t *b, int64_t ld_b, int64_t n, const int rows,
                                 const int cols)
{
    for (int64_t p = 0; p < n; p++, b += ld_b) {
        __m512i x[TILE_COLS];
#pragma GCC unroll 4
        for (int c = 0; c < cols; c++) x[c] = _mm512_load_si512(b + c * LANES);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            const __m512i y = _mm512_set1_epi32((int)a[r * ld_a + p]);
#pragma GCC unroll 4
            for (int c = 0; c < cols; c++)
                acc[r][c] = _mm512_dpbf16_ps(acc[r][c], (__m512bh)y, (__m512bh)x[c]);
        }
    }
}

/* e^(x - m) for x <= m, relative error below 4e-6: weights are rounded to 2^-9 anyway. */
INLINE TARGET_BF16 __m512 weight(__m512 x, __m512 m_log2)
{
    const __m512 y = _mm512_fmsub_ps(x, _mm512_set1_ps(1.44269504088896341f), m_log2);
    const __m512 t = _mm512_max_ps(_mm512_set1_ps(-150.0f), y); /* NaN stays */
    const __m512 n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 r = _mm512_sub_ps(t, n);
    /* 2^r, |r| <= 1/2: Taylor in r ln 2, the last term raised to spread the rest */
    __m512 p = _mm512_fmadd_ps(r, _mm512_set1_ps(1.3333558e-3f), _mm512_set1_ps(9.6181291e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.5504109e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.4022651e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9314718e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* Weights of one row of a tile, as pairs; returns how its sums so far shrink. */
INLINE TARGET_BF16 float weigh_row(const struct unit *u, const struct packed *p, int64_t r,
                                   const __m512 s[TILE_COLS], int64_t n_seen, uint32_t *pairs)
{
    const uint64_t seen = n_seen >= KEYS ? ~(uint64_t)0 : ((uint64_t)1 << n_seen) - 1;
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 x[TILE_COLS];
#pragma GCC unroll 4
    for (int c = 0; c < TILE_COLS; c++)
        x[c] = _mm512_mask_mov_ps(lowest, (__mmask16)(seen >> (c * LANES)), s[c]);
    const float most =
        _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(x[0], x[1]), _mm512_max_ps(x[2], x[3])));
    const float old = u->m[r], m = old > most ? old : most;
    const __m512 m_log2 = _mm512_set1_ps(m * 1.44269504088896341f);
    const float shrink = old == m ? 1.0f : _mm512_cvtss_f32(weight(_mm512_set1_ps(old), m_log2));
#pragma GCC unroll 4
    for (int c = 0; c < TILE_COLS; c++)
        x[c] = _mm512_maskz_mov_ps((__mmask16)(seen >> (c * LANES)), weight(x[c], m_log2));
    _mm512_store_si512(pairs, to_bf16(x[0], x[1]));
    _mm512_store_si512(pairs + LANES, to_bf16(x[2], x[3]));
    float *l = p->l + r * LANES;
    const __m512 sum = _mm512_add_ps(_mm512_add_ps(x[0], x[1]), _mm512_add_ps(x[2], x[3]));
    _mm512_store_ps(l, _mm512_fmadd_ps(_mm512_load_ps(l), _mm512_set1_ps(shrink), sum));
    u->m[r] = m;
    return shrink;
}

/* o (times shrink) += weights times columns [col, col + 16 cols) of V. */
INLINE TARGET_BF16 void add_values(const struct unit *u, const struct packed *p, int64_t r,
                                   const uint32_t *pairs, const float *shrink, int64_t n_pairs,
                                   int64_t col, const int rows, const int cols)
{
    __m512 acc[TILE_ROWS][TILE_COLS];
    float *o = u->o + r * u->ld + col;
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int c = 0; c < cols; c++)
            acc[i][c] = _mm512_mul_ps(_mm512_loadu_ps(o + i * u->ld + c * LANES),
                                      _mm512_set1_ps(shrink[i]));
    multiply(acc, pairs, WORDS, p->v + col, p->d_pad, n_pairs, rows, cols);
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int c = 0; c < cols; c++) _mm512_storeu_ps(o + i * u->ld + c * LANES, acc[i][c]);
}

/* Rows [r, r + rows) and one step of n keys. */
INLINE TARGET_BF16 void step(const struct unit *u, const struct packed *p, int64_t r, int64_t k0,
                             int64_t n, const int rows)
{
    __m512 acc[TILE_ROWS][TILE_COLS];
    _Alignas(64) uint32_t pairs[TILE_ROWS * WORDS];
    float shrink[TILE_ROWS];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int c = 0; c < TILE_COLS; c++) acc[i][c] = _mm512_setzero_ps();
    multiply(acc, p->q + r * p->d_pad / 2, p->d_pad / 2, p->k, KEYS, (u->d + 1) / 2, rows,
             TILE_COLS);
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        const int64_t n_seen = max_i64(0, min_i64(n, unit_seen(u, r + i, k0)));
        shrink[i] = 1.0f;
        if (n_seen > 0)
            shrink[i] = weigh_row(u, p, r + i, acc[i], n_seen, pairs + i * WORDS);
        else
            memset(pairs + i * WORDS, 0, WORDS * sizeof *pairs);
    }
    int64_t col = 0;
    const int64_t n_pairs = (n + 1) / 2;
    for (; col + 4 * LANES <= u->ld; col += 4 * LANES)
        add_values(u, p, r, pairs, shrink, n_pairs, col, rows, 4);
    if (col + 2 * LANES <= u->ld) {
        add_values(u, p, r, pairs, shrink, n_pairs, col, rows, 2);
        col += 2 * LANES;
    }
    if (col < u->ld) add_values(u, p, r, pairs, shrink, n_pairs, col, rows, 1);
}

typedef void step_fn(const struct unit *u, const struct packed *p, int64_t r, int64_t k0,
                     int64_t n);

#define STEP(rows)                                                                                 \
    TARGET_BF16 static void step_##rows(const struct unit *u, const struct packed *p, int64_t r,   \
                                        int64_t k0, int64_t n)                                     \
    {                                                                                              \
        step(u, p, r, k0, n, rows);                                                                \
    }
STEP(1)
STEP(2)
STEP(3)
STEP(4)
STEP(5)
STEP(6)

TARGET_BF16
static void range(const struct unit *u, int64_t begin, int64_t end)
{
    typedef void pack_fn(const struct unit *, const struct packed *, int64_t, int64_t);
    static pack_fn *const packs[DT_COUNT] = {
        [DT_F32] = pack_F32, [DT_F16] = pack_F16, [DT_BF16] = pack_BF16, [DT_Q8_0] = pack_Q8_0};
    static step_fn *const steps[] = {NULL, step_1, step_2, step_3, step_4, step_5, step_6};
    const struct packed p = packed_of(u);
    pack_queries(u, &p);
    memset(p.l, 0, (size_t)(u->n_rows * LANES) * sizeof *p.l);
    for (int64_t k0 = begin; k0 < end; k0 += KEYS) {
        const int64_t n = min_i64(KEYS, end - k0);
        packs[u->a->kv->dtype](u, &p, k0, end);
        for (int64_t r = 0; r < u->n_rows; r += TILE_ROWS) {
            const int64_t rows = min_i64(TILE_ROWS, u->n_rows - r);
            if (unit_seen(u, r + rows - 1, k0) > 0) steps[rows](u, &p, r, k0, n);
        }
    }
    for (int64_t r = 0; r < u->n_rows; r++)
        u->l[r] += _mm512_reduce_add_ps(_mm512_load_ps(p.l + r * LANES));
}

const struct attention_form attention_bf16 = {.rows = 192, .floats = floats, .range = range};
#endif
