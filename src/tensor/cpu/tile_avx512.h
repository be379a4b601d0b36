/* tile_avx512.h - what the many-token kernels of 16 output rows across the lanes share: AVX-512.
 *
 * Weights are interleaved so that a register holds the same four bytes of k of 16 rows; a token's
 * four bytes are broadcast. So nothing is added across lanes, and results are stored as they lie
 * in y. Private to tensor/cpu/.
 */
#ifndef CRIA_TENSOR_CPU_TILE_AVX512_H
#define CRIA_TENSOR_CPU_TILE_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "tensor/cpu/linear.h"

enum { ROWS = LANES }; /* of a register of weights */

/* Rows j, j + 4, j + 8, j + 12 of 16 bytes each, in the four parts of a register: three of the
 * loads merge, which is no shuffle. */
INLINE TARGET_BF16 __m512i every_4th(const uint8_t *src, size_t ld)
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)src));
#define PART(i)                                                                                    \
    _mm512_mask_broadcast_i32x4(                                                                   \
        v, (__mmask16)(0xf << 4 * (i)),                                                            \
        _mm_loadu_si128((const __m128i *)(const void *)(src + 4 * (i)*ld)))
    v = PART(1);
    v = PART(2);
    return PART(3);
#undef PART
}

/* 16 rows of 16 bytes, `ld` bytes apart, to four columns of 16 x 4 bytes, `step` bytes apart. */
INLINE TARGET_BF16 void columns_16x4(uint8_t *dst, size_t step, const uint8_t *src, size_t ld)
{
    const __m512i a = every_4th(src, ld), b = every_4th(src + ld, ld);
    const __m512i c = every_4th(src + 2 * ld, ld), d = every_4th(src + 3 * ld, ld);
    const __m512i ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d);
    const __m512i ef = _mm512_unpackhi_epi32(a, b), gh = _mm512_unpackhi_epi32(c, d);
    _mm512_store_si512(dst, _mm512_unpacklo_epi64(ab, cd));
    _mm512_store_si512(dst + step, _mm512_unpackhi_epi64(ab, cd));
    _mm512_store_si512(dst + 2 * step, _mm512_unpacklo_epi64(ef, gh));
    _mm512_store_si512(dst + 3 * step, _mm512_unpackhi_epi64(ef, gh));
}

/* Where results of up to 32 rows go. */
struct dest {
    float *y; /* of the first token */
    int64_t ld_y, n_tok;
    __mmask16 mask[2]; /* the rows that there are */
    const float *bias; /* NULL: none */
    bool is_added;
};

/* Rows [r, r + 32) of the strip, tokens from t on, k from i on. */
INLINE struct dest dest_of(const struct strip *s, int64_t r, int64_t t, int64_t i)
{
    const struct linear_out *out = s->out;
    const int64_t n = min_i64(2 * ROWS, s->n_rows - r);
    const uint32_t mask = n == 2 * ROWS ? 0xffffffffu : (1u << n) - 1;
    return (struct dest){.y = out->y + t * out->ld_y + s->row + r,
                         .ld_y = out->ld_y,
                         .n_tok = s->n_tok - t,
                         .mask = {(__mmask16)mask, (__mmask16)(mask >> 16)},
                         .bias = out->bias && i == 0 ? out->bias + s->row + r : NULL,
                         .is_added = out->is_added || i > 0};
}

/* Sums of 16 rows (the first or second of `to`) and one token, to y of that token. */
INLINE TARGET_BF16 void put_16(const struct dest *to, int half, float *y, __m512 v)
{
    const __mmask16 mask = to->mask[half];
    y += half * ROWS;
    if (to->bias) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, to->bias + half * ROWS));
    if (to->is_added) v = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), v);
    _mm512_mask_storeu_ps(y, mask, v);
}

#endif
