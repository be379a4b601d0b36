/* SPDX-License-Identifier: Apache-2.0
 *
 * linear_pairs.c - many tokens times bfloat16 weights as products of pairs: AVX512-BF16.
 *
 *     y[t][r] += x[t][2p] w[r][2p] + x[t][2p+1] w[r][2p+1], x rounded to bfloat16
 *
 * Weights are exact; activations lose the last 16 of their 24 bits, a relative error of 2^-9 each,
 * which errors of either sign mostly undo in a sum (docs/performance.md has the perplexity). What
 * it buys is two products where float makes one: Zen 4 does a vdpbf16ps as often as an FMA. Where
 * it does half as many (Cooper Lake, and Sapphire Rapids, which has tiles and a kernel of its own
 * for them: linear_bf16.c) the rate is that of float, and weights are at least half the bytes.
 * F16 and F32 weights stay in float: rounding them too would lose what they are kept for.
 *
 * A strip, a block of k at a time, is interleaved into panels of 32 rows: a pair of k is two
 * registers of 16 rows. 32 rows by ACT_TOK tokens stay in registers while k runs: 16 products for
 * 10 loads, so the product unit is what limits. The instruction adds a pair's two products to the
 * sum in an order of its own, flushes denormals and rounds to even whatever the mode.
 *
 * Up to SHORT tokens reading weights takes as long as multiplying them. Each panel is multiplied
 * as soon as it is made, and every pair fetches two lines of the next one into L2: 12 % faster at 8
 * tokens, 17 % at 16, 9 % at 64.
 *
 * The order of a sum follows k alone: any number of threads, any neighbours, the same bits.
 * Begin reading at strip_pairs().
 */
#include "tensor/cpu/cpu.h"

#if CRIA_X86
#include <immintrin.h>
#include <string.h>

#include "tensor/cpu/linear_in.h"
#include "tensor/cpu/linear_pairs.h"
#include "tensor/cpu/tile_avx512.h"

enum {
    STEP = 2 * ROWS * 4, /* bytes of a panel for a pair */
    K_LONG = 1024,       /* of k in a panel, at most; longer rows are cut in equal parts */
    SHORT = 64,          /* tokens up to which the next weights are fetched while multiplying */
    CHUNK = 8,           /* elements that are interleaved at a time: 16 bytes of a row */
};
_Static_assert(STRIP *K_LONG * sizeof(uint16_t) <= PANEL_BYTES, "a strip fits");

TARGET_BF16
void pack_pairs(void *dst, const struct linear_args *a, int64_t t, int64_t begin, int64_t end)
{
    _Alignas(64) float x[ACT];
    _Alignas(64) uint16_t rounded[ACT_TOK][ACT];
    const int64_t n_tok = min_i64(ACT_TOK, a->n_tok - t);
    float scale[ACT_TOK], *to = dst;
    for (int64_t j = 0; j < n_tok; j++) scale[j] = in_scale(a, t + j);
    memset(rounded, 0, sizeof rounded);
    for (int64_t i = begin; i < end; i += ACT, to += ACT / 2 * ACT_TOK) {
        const int64_t n = min_i64(ACT, a->k - i);
        memset(x + n, 0, (size_t)(ACT - n) * sizeof *x);
        for (int64_t j = 0; j < n_tok; j++) {
            read_in(x, a, t + j, i, n, scale[j]);
            for (int64_t e = 0; e < ACT; e += 32)
                _mm512_store_si512(&rounded[j][e],
                                   (__m512i)_mm512_cvtne2ps_pbh(_mm512_load_ps(x + e + 16),
                                                                _mm512_load_ps(x + e)));
        }
        kit_avx512.transpose(to, ACT_TOK, (const float *)(const void *)rounded, ACT / 2, ACT_TOK,
                             ACT / 2);
    }
}

/* CHUNK elements of up to 16 rows, some of them not there. */
TARGET_BF16
static void interleave_corner(uint8_t *to, const uint8_t *src, size_t row_bytes, int64_t n_rows,
                              int64_t n)
{
    uint16_t part[ROWS][CHUNK] = {0};
    for (int64_t r = 0; r < n_rows; r++)
        memcpy(part[r], src + (size_t)r * row_bytes, (size_t)n * sizeof part[r][0]);
    columns_16x4(to, STEP, (const uint8_t *)part, sizeof part[0]);
}

/* Elements [i, i + n) of 16 rows into their half of a panel. */
TARGET_BF16
static void interleave(uint8_t *to, const struct strip *s, int64_t r, int64_t i, int64_t n)
{
    const int64_t n_rows = min_i64(ROWS, s->n_rows - r);
    if (n_rows <= 0) return; /* sums of what lies there are not stored */
    const size_t row_bytes = s->w->row_bytes;
    const uint8_t *src = (const uint8_t *)tensor_row(s->w, s->row + r) + 2 * i;
    for (; n > 0; n -= CHUNK, src += 2 * CHUNK, to += CHUNK / 2 * STEP)
        if (n_rows == ROWS && n >= CHUNK)
            columns_16x4(to, STEP, src, row_bytes);
        else
            interleave_corner(to, src, row_bytes, n_rows, min_i64(CHUNK, n));
}

/* 32 rows of weights to fetch into L2 meanwhile. */
struct ahead {
    const uint8_t *src; /* NULL: none */
    size_t row_bytes;
};

/* A panel of n_pairs times n_tok tokens. A pair fetches two of the lines of a panel to come. */
INLINE TARGET_BF16 void multiply(const struct dest *to, const uint8_t *w, const uint32_t *x,
                                 int64_t n_pairs, const struct ahead *a, const int n_tok)
{
    __m512 acc[ACT_TOK][2];
#pragma GCC unroll 8
    for (int t = 0; t < n_tok; t++) acc[t][0] = acc[t][1] = _mm512_setzero_ps();
    for (int64_t p = 0; p < n_pairs; p++, w += STEP, x += ACT_TOK) {
        const __m512bh w0 = (__m512bh)_mm512_load_si512(w);
        const __m512bh w1 = (__m512bh)_mm512_load_si512(w + 64);
        if (a->src) {
            const uint8_t *next = a->src + (size_t)(p % 16 * 2) * a->row_bytes + p / 16 * 64;
            _mm_prefetch(next, _MM_HINT_T1);
            _mm_prefetch(next + a->row_bytes, _MM_HINT_T1);
        }
#pragma GCC unroll 8
        for (int t = 0; t < n_tok; t++) {
            const __m512bh v = (__m512bh)_mm512_set1_epi32((int32_t)x[t]);
            acc[t][0] = _mm512_dpbf16_ps(acc[t][0], w0, v);
            acc[t][1] = _mm512_dpbf16_ps(acc[t][1], w1, v);
        }
    }
    float *y = to->y;
#pragma GCC unroll 8
    for (int t = 0; t < n_tok; t++, y += to->ld_y) {
        if (t >= to->n_tok) break;
        put_16(to, 0, y, acc[t][0]);
        put_16(to, 1, y, acc[t][1]);
    }
}

/* Half a tile where that holds all tokens that are left. */
TARGET_BF16
static void product(const struct dest *to, const uint8_t *w, const uint32_t *x, int64_t n_pairs,
                    const struct ahead *a)
{
    if (to->n_tok <= ACT_TOK / 2)
        multiply(to, w, x, n_pairs, a, ACT_TOK / 2);
    else
        multiply(to, w, x, n_pairs, a, ACT_TOK);
}

/* Elements [i, i + n) of rows [r, r + 32) of a strip, interleaved, times tokens [t, t + ACT_TOK).
 */
static void tile(const struct strip *s, const uint8_t *panel, int64_t r, int64_t t, int64_t i,
                 int64_t n, const struct ahead *a)
{
    const struct dest to = dest_of(s, r, t, i);
    product(&to, panel, s->xp + (t / ACT_TOK * s->k_pad + i) / 2 * ACT_TOK, round_up(n, CHUNK) / 2,
            a);
}

static void interleave_2(uint8_t *panel, const struct strip *s, int64_t r, int64_t i, int64_t n)
{
    interleave(panel, s, r, i, n);
    interleave(panel + ROWS * 4, s, r + ROWS, i, n);
}

/* Few tokens: reading the weights takes as long as multiplying them, so each panel is multiplied
 * as soon as it is made, and the weights of the next one are fetched meanwhile. */
static void part_short(const struct strip *s, int64_t i, int64_t n)
{
    for (int64_t r = 0; r < s->n_rows; r += 2 * ROWS) {
        const bool is_last = r + 2 * ROWS >= s->n_rows; /* then comes the next part of k */
        const uint8_t *row = tensor_row(s->w, is_last ? s->row : s->row + r + 2 * ROWS);
        const struct ahead none = {NULL, 0};
        const struct ahead next = {row + 2 * (is_last ? i + n : i), s->w->row_bytes};
        interleave_2(s->panel, s, r, i, n);
        for (int64_t t = 0; t < s->n_tok; t += ACT_TOK)
            tile(s, s->panel, r, t, i, n, t == 0 ? &next : &none);
    }
}

/* Many: they are outside, so that theirs stay in L1 while the panels stream from L2. */
static void part_long(const struct strip *s, int64_t i, int64_t n)
{
    const struct ahead none = {NULL, 0};
    const int64_t panel_bytes = round_up(n, CHUNK) / 2 * STEP;
    uint8_t *panel = s->panel;
    for (int64_t r = 0; r < s->n_rows; r += 2 * ROWS)
        interleave_2(panel + r / (2 * ROWS) * panel_bytes, s, r, i, n);
    for (int64_t t = 0; t < s->n_tok; t += ACT_TOK)
        for (int64_t r = 0; r < s->n_rows; r += 2 * ROWS)
            tile(s, panel + r / (2 * ROWS) * panel_bytes, r, t, i, n, &none);
}

void strip_pairs(const struct strip *s)
{
    const int64_t n_parts = (s->k + K_LONG - 1) / K_LONG;
    const int64_t part = round_up((s->k + n_parts - 1) / n_parts, ACT);
    for (int64_t i = 0; i < s->k; i += part)
        (s->n_tok <= SHORT ? part_short : part_long)(s, i, min_i64(part, s->k - i));
}
#endif
