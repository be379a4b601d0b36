/* SPDX-License-Identifier: Apache-2.0
 *
 * linear_bf16.c - strips of many-token products in bfloat16: AMX tiles.
 *
 * A strip of weights, a block of k at a time, is converted to bfloat16 in tiles of 16 rows by 32,
 * each row of a tile 64 contiguous bytes: what one tile register holds, and what one store of the
 * converter writes. Tokens come packed (linear.c): 16 side by side, k in pairs, which is the other
 * operand of a tile product as it lies in memory. So a tile product gives 16 output rows by 16
 * tokens, and nothing is transposed per weight. 2 x 2 tiles of results stay in registers while k
 * runs, so each loaded tile is used twice.
 *
 * Exactness by parts: x = hi + lo with hi = bfloat16(x), lo = bfloat16(x - hi), |x - hi - lo| <=
 * 2^-17 |x|. Quantized weights: one product of the rounded values, relative error of a term at
 * most 2^-8 (typically a hundredth of that on a sum). BF16 weights are exact: one product with the
 * rounded activations too, as in linear_pairs.c, since attention rounds its own for such a model; a
 * second one with lo of the activations cost 45 % of a prompt's speed. F32 and F16 weights: three
 * products, the fourth is below 2^-16.
 *
 * Tile loads, stores and the configuration are inline assembly with a memory clobber: GCC before
 * 13 tells its optimizer that the intrinsics read little or no memory, and stores before them are
 * dropped.
 * Begin reading at strip_amx().
 */
#include "tensor/cpu/cpu.h"

#if CRIA_X86
#include <immintrin.h>
#include <string.h>

#include "tensor/cpu/interleave.h"
#include "tensor/cpu/linear_bf16.h"
#include "tensor/cpu/unpack_avx2.h"

#define TARGET_AMX                                                                                 \
    TARGET("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,amx-tile,"      \
           "amx-bf16")

enum {
    TILE_ROWS = 16,
    TILE_K = 32,
    TILE = TILE_ROWS * TILE_K, /* elements; 1024 bytes */
};

/* ---- conversion --------------------------------------------------------------------------- */

INLINE TARGET_BF16 __m512i to_bf16(__m512 first, __m512 second)
{
    return (__m512i)_mm512_cvtne2ps_pbh(second, first);
}

INLINE TARGET_BF16 __m512 widen_low(__m512i pairs) /* the bfloat16 in the low halves */
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

/* Two rows of 16 floats -> 16 pairs, first row in the low halves. */
TARGET_BF16
void split_avx512bf16(uint32_t *hi, uint32_t *lo, const float *x, int64_t n_pairs)
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    for (int64_t p = 0; p < n_pairs; p++, x += 2 * LANES) {
        const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + LANES);
        const __m512i ah = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(a));
        const __m512i bh = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(b));
        const __m512i h = _mm512_or_si512(ah, _mm512_slli_epi32(bh, 16));
        const __m512 ra = _mm512_sub_ps(a, widen_low(h));
        const __m512 rb = _mm512_sub_ps(b, _mm512_castsi512_ps(_mm512_and_si512(h, high)));
        const __m512i al = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(ra));
        const __m512i bl = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(rb));
        _mm512_storeu_si512(hi + p * LANES, h);
        _mm512_storeu_si512(lo + p * LANES, _mm512_or_si512(al, _mm512_slli_epi32(bl, 16)));
    }
}

/* A row of n weights (n <= K_BLOCK) into row 0 of consecutive tiles; what is left of the last
 * 256 becomes zero. `lo` is untouched if the form has no second part of weights. */
typedef void convert_fn(uint16_t *hi, uint16_t *lo, const uint8_t *src, int64_t n);

/* 32 weights: bytes times the scales of their two 16s, less the minimum. */
INLINE TARGET_BF16 __m512i convert_32(const struct unpack *f, const uint8_t *b, int c,
                                      const float *s, const float *m)
{
    const __m256i v = f->bytes(b, c);
    const __m512 x = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(v)));
    const __m512 y = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(v, 1)));
    const __m512 s0 = _mm512_set1_ps(s[f->per_32 ? c : 2 * c]);
    const __m512 s1 = f->per_32 ? s0 : _mm512_set1_ps(s[2 * c + 1]);
    if (!f->has_min) return to_bf16(_mm512_mul_ps(x, s0), _mm512_mul_ps(y, s1));
    return to_bf16(_mm512_fmsub_ps(x, s0, _mm512_set1_ps(m[2 * c])),
                   _mm512_fmsub_ps(y, s1, _mm512_set1_ps(m[2 * c + 1])));
}

INLINE TARGET_BF16 void convert_quant(uint16_t *hi, const struct unpack *f, const uint8_t *src,
                                      int64_t n)
{
    for (int64_t i = 0; i < n; i += ACT, src += f->act_bytes) {
        uint8_t rest[ACT_BYTES_MAX];
        const uint8_t *b = n - i < ACT ? unpack_rest(rest, f, src, n - i) : src;
        const __m256 zero = _mm256_setzero_ps();
        __m256 s2[2] = {zero, zero}, m2[2] = {zero, zero};
        _Alignas(32) float s[16], m[16];
        f->scales(b, s2, m2);
        _mm256_store_ps(s, s2[0]);
        _mm256_store_ps(s + 8, s2[1]);
        _mm256_store_ps(m, m2[0]);
        _mm256_store_ps(m + 8, m2[1]);
#pragma GCC unroll 8
        for (int c = 0; c < 8; c++, hi += TILE) _mm512_store_si512(hi, convert_32(f, b, c, s, m));
    }
}

#define CONVERT(id, name)                                                                          \
    TARGET_BF16 static void convert_##name(uint16_t *hi, uint16_t *lo, const uint8_t *src,         \
                                           int64_t n)                                              \
    {                                                                                              \
        (void)lo;                                                                                  \
        convert_quant(hi, &unpack_##name, src, n);                                                 \
    }
EACH_QUANT(CONVERT)

/* 32 floats in two parts. */
INLINE TARGET_BF16 void convert_floats(uint16_t *hi, uint16_t *lo, __m512 x, __m512 y)
{
    const __m512i h = to_bf16(x, y);
    _mm512_store_si512(hi, h);
    const __m512i hx = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(h));
    const __m512i hy = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(h, 1));
    _mm512_store_si512(lo,
                       to_bf16(_mm512_sub_ps(x, widen_low(hx)), _mm512_sub_ps(y, widen_low(hy))));
}

TARGET_BF16
static void convert_f32(uint16_t *hi, uint16_t *lo, const uint8_t *src, int64_t n)
{
    for (int64_t i = 0; i < round_up(n, ACT); i += TILE_K, hi += TILE, lo += TILE) {
        const int64_t left = max_i64(0, min_i64(TILE_K, n - i));
        const uint32_t mask = left == TILE_K ? 0xffffffffu : (1u << left) - 1;
        const float *p = (const float *)(const void *)src + i;
        convert_floats(hi, lo, _mm512_maskz_loadu_ps((__mmask16)mask, p),
                       _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), p + 16));
    }
}

TARGET_BF16
static void convert_f16(uint16_t *hi, uint16_t *lo, const uint8_t *src, int64_t n)
{
    for (int64_t i = 0; i < round_up(n, ACT); i += TILE_K, hi += TILE, lo += TILE) {
        const int64_t left = max_i64(0, min_i64(TILE_K, n - i));
        const uint32_t mask = left == TILE_K ? 0xffffffffu : (1u << left) - 1;
        const __m512i v = _mm512_maskz_loadu_epi16(mask, src + 2 * i);
        convert_floats(hi, lo, _mm512_cvtph_ps(_mm512_castsi512_si256(v)),
                       _mm512_cvtph_ps(_mm512_extracti64x4_epi64(v, 1)));
    }
}

TARGET_BF16
static void convert_bf16(uint16_t *hi, uint16_t *lo, const uint8_t *src, int64_t n)
{
    (void)lo;
    for (int64_t i = 0; i < round_up(n, ACT); i += TILE_K, hi += TILE) {
        const int64_t left = max_i64(0, min_i64(TILE_K, n - i));
        const uint32_t mask = left == TILE_K ? 0xffffffffu : (1u << left) - 1;
        _mm512_store_si512(hi, _mm512_maskz_loadu_epi16(mask, src + 2 * i));
    }
}

#define CONVERT_ENTRY(id, name) [id] = convert_##name,
static convert_fn *const converts[DT_COUNT] = {[DT_F32] = convert_f32,
                                               [DT_F16] = convert_f16,
                                               [DT_BF16] = convert_bf16,
                                               EACH_QUANT(CONVERT_ENTRY)};

/* Elements [i, i + n) of the strip's rows into tiles [n_rows / 16, K_BLOCK / 32]; rows up to the
 * next multiple of 32 become zero. */
static void convert_strip(const struct strip *s, uint16_t *hi, uint16_t *lo, int64_t i, int64_t n)
{
    const struct dtype_info *info = dtype_info(s->w->dtype);
    const size_t at = (size_t)(i / info->block_elems) * info->block_bytes;
    for (int64_t r = 0; r < round_up(s->n_rows, 2 * TILE_ROWS); r++) {
        const int64_t to = r / TILE_ROWS * (TILE_ROWS * K_BLOCK) + r % TILE_ROWS * TILE_K;
        if (r < s->n_rows) {
            const uint8_t *src = (const uint8_t *)tensor_row(s->w, s->row + r) + at;
            uint8_t plain[K_BLOCK / ACT * ACT_BYTES_MAX];
            if (s->w->is_interleaved) {
                interleave_read(plain, 0, s->w, s->row + r, 1, i / info->block_elems,
                                n / info->block_elems);
                src = plain;
            }
            converts[s->w->dtype](hi + to, lo + to, src, n);
            continue;
        }
        for (int64_t k = 0; k < K_BLOCK / TILE_K; k++) {
            memset(hi + to + k * TILE, 0, TILE_K * sizeof *hi);
            if (s->form == FORM_BF16_3) memset(lo + to + k * TILE, 0, TILE_K * sizeof *lo);
        }
    }
}

/* ---- AMX ---------------------------------------------------------------------------------- */

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};
_Static_assert(sizeof(struct tile_config) == 64, "as LDTILECFG reads it");

TARGET_AMX
static void tiles_on(void)
{
    struct tile_config c = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        c.row_bytes[i] = 64;
        c.rows[i] = 16;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(c) : "memory");
}

TARGET_AMX
static void tiles_off(void) { __asm__ volatile("tilerelease" : : : "memory"); }

#define TILE_LOAD(reg, p, stride)                                                                  \
    __asm__ volatile("tileloadd (%0,%1,1), %%" reg : : "r"(p), "r"(stride) : "memory")
#define TILE_STORE(reg, p, stride)                                                                 \
    __asm__ volatile("tilestored %%" reg ", (%0,%1,1)" : : "r"(p), "r"(stride) : "memory")
#define TILE_ZERO(reg) __asm__ volatile("tilezero %%" reg : : :)
#define TILE_DOT(acc, a, b) __asm__ volatile("tdpbf16ps %%" b ", %%" a ", %%" acc : : :)

/* tmm0..3 += 32 rows times 32 tokens over n_k tiles of k. w: two row tiles K_BLOCK apart; x: two
 * blocks of tokens ld_x apart. */
INLINE TARGET_AMX void multiply(const uint16_t *w, const uint32_t *x, int64_t ld_x, int64_t n_k)
{
    const uint16_t *w1 = w + TILE_ROWS * K_BLOCK;
    const uint32_t *x1 = x + ld_x;
    for (int64_t k = 0; k < n_k; k++) {
        TILE_LOAD("tmm4", w, 64L);
        TILE_LOAD("tmm6", x, 64L);
        TILE_DOT("tmm0", "tmm4", "tmm6");
        TILE_LOAD("tmm7", x1, 64L);
        TILE_DOT("tmm1", "tmm4", "tmm7");
        TILE_LOAD("tmm5", w1, 64L);
        TILE_DOT("tmm2", "tmm5", "tmm6");
        TILE_DOT("tmm3", "tmm5", "tmm7");
        w += TILE;
        w1 += TILE;
        x += TILE / 2;
        x1 += TILE / 2;
    }
}

/* All products of the form for 32 rows and 32 tokens; sums before k block i are taken up. */
INLINE TARGET_AMX void block_amx(const struct strip *s, const uint16_t *hi, const uint16_t *lo,
                                 int64_t r, int64_t b, int64_t i, int64_t n_k)
{
    const int64_t ld_x = s->k_pad / 2 * LANES;
    const int64_t at = (b * s->k_pad + i) / 2 * LANES, row = r * K_BLOCK;
    float *c = s->c + (b * STRIP + r) * LANES, *c1 = c + STRIP * LANES;
    enum { T = TILE_ROWS * LANES };
    if (i == 0) {
        TILE_ZERO("tmm0");
        TILE_ZERO("tmm1");
        TILE_ZERO("tmm2");
        TILE_ZERO("tmm3");
    } else {
        TILE_LOAD("tmm0", c, 64L);
        TILE_LOAD("tmm1", c1, 64L);
        TILE_LOAD("tmm2", c + T, 64L);
        TILE_LOAD("tmm3", c1 + T, 64L);
    }
    multiply(hi + row, s->xh + at, ld_x, n_k);
    if (s->form == FORM_BF16_3) {
        multiply(hi + row, s->xl + at, ld_x, n_k);
        multiply(lo + row, s->xh + at, ld_x, n_k);
    }
    TILE_STORE("tmm0", c, 64L);
    TILE_STORE("tmm1", c1, 64L);
    TILE_STORE("tmm2", c + T, 64L);
    TILE_STORE("tmm3", c1 + T, 64L);
}

TARGET_AMX
void strip_amx(const struct strip *s)
{
    uint16_t *hi = s->panel, *lo = hi + STRIP * K_BLOCK;
    tiles_on();
    for (int64_t i = 0; i < s->k; i += K_BLOCK) {
        const int64_t n = min_i64(K_BLOCK, s->k - i);
        convert_strip(s, hi, lo, i, n);
        for (int64_t r = 0; r < s->n_rows; r += 2 * TILE_ROWS)
            for (int64_t b = 0; b < s->n_blocks; b += 2)
                block_amx(s, hi, lo, r, b, i, (n + TILE_K - 1) / TILE_K);
    }
    tiles_off();
}
#endif
