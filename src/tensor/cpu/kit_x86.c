/* SPDX-License-Identifier: Apache-2.0
 *
 * kit_x86.c - the building blocks on AVX2 and AVX-512.
 *
 * gemm: a tile of C stays in registers while k runs. AVX2: 6 rows by 16 columns (12 of 16
 * registers), AVX-512: 12 rows by 32 (24 of 32); a row of A is broadcast from memory, which costs
 * no shuffle. Rows left over go through tiles of 2 and 1: an element's sum runs over k in the same
 * order in each. FMA: differs from plain C in the last bits.
 * decode is in decode_avx2.c; encode takes float16 by F16C, the rest is plain.
 */
#include "tensor/cpu/cpu.h"
#include "tensor/cpu/kit.h"

#if CRIA_X86
#include <immintrin.h>

/* rows x 16 (AVX2). */
INLINE TARGET_AVX2 void tile_avx2(const struct gemm_args *g, int64_t i, int64_t j, const int rows)
{
    __m256 acc[6][2];
    const float *a = g->a + i * g->lda, *b = g->b + j * g->ldb_block;
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    for (int64_t p = 0; p < g->k; p++, b += g->ldb_row) {
        const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            const __m256 x = _mm256_broadcast_ss(a + r * g->lda + p);
            acc[r][0] = _mm256_fmadd_ps(x, b0, acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(x, b1, acc[r][1]);
        }
    }
    float *c = g->c + i * g->ldc_row + j * g->ldc_block;
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++, c += g->ldc_row) {
        if (g->is_added) {
            acc[r][0] = _mm256_add_ps(acc[r][0], _mm256_loadu_ps(c));
            acc[r][1] = _mm256_add_ps(acc[r][1], _mm256_loadu_ps(c + 8));
        }
        _mm256_storeu_ps(c, acc[r][0]);
        _mm256_storeu_ps(c + 8, acc[r][1]);
    }
}

TARGET_AVX2
static void gemm_avx2(const struct gemm_args *g)
{
    for (int64_t j = 0; j < g->n_blocks; j++) {
        int64_t i = 0;
        for (; i + 6 <= g->m; i += 6) tile_avx2(g, i, j, 6);
        for (; i + 2 <= g->m; i += 2) tile_avx2(g, i, j, 2);
        for (; i < g->m; i++) tile_avx2(g, i, j, 1);
    }
}

/* rows x (16 * cols), cols 1 or 2 (AVX-512). */
INLINE TARGET_AVX512 void tile_avx512(const struct gemm_args *g, int64_t i, int64_t j,
                                      const int rows, const int cols)
{
    __m512 acc[12][2];
    const float *a = g->a + i * g->lda, *b = g->b + j * g->ldb_block;
    const int64_t second = cols == 2 ? g->ldb_block : 0;
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) acc[r][0] = acc[r][1] = _mm512_setzero_ps();
    for (int64_t p = 0; p < g->k; p++, b += g->ldb_row) {
        const __m512 b0 = _mm512_loadu_ps(b);
        const __m512 b1 = _mm512_loadu_ps(b + second);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            const __m512 x = _mm512_set1_ps(a[r * g->lda + p]);
            acc[r][0] = _mm512_fmadd_ps(x, b0, acc[r][0]);
            if (cols == 2) acc[r][1] = _mm512_fmadd_ps(x, b1, acc[r][1]);
        }
    }
    float *c = g->c + i * g->ldc_row + j * g->ldc_block;
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++, c += g->ldc_row) {
        if (g->is_added) acc[r][0] = _mm512_add_ps(acc[r][0], _mm512_loadu_ps(c));
        _mm512_storeu_ps(c, acc[r][0]);
        if (cols == 1) continue;
        if (g->is_added) acc[r][1] = _mm512_add_ps(acc[r][1], _mm512_loadu_ps(c + g->ldc_block));
        _mm512_storeu_ps(c + g->ldc_block, acc[r][1]);
    }
}

INLINE TARGET_AVX512 void columns_avx512(const struct gemm_args *g, int64_t j, const int cols)
{
    int64_t i = 0;
    for (; i + 12 <= g->m; i += 12) tile_avx512(g, i, j, 12, cols);
    for (; i + 4 <= g->m; i += 4) tile_avx512(g, i, j, 4, cols);
    for (; i + 2 <= g->m; i += 2) tile_avx512(g, i, j, 2, cols);
    for (; i < g->m; i++) tile_avx512(g, i, j, 1, cols);
}

TARGET_AVX512
static void gemm_avx512(const struct gemm_args *g)
{
    int64_t j = 0;
    for (; j + 2 <= g->n_blocks; j += 2) columns_avx512(g, j, 2);
    if (j < g->n_blocks) columns_avx512(g, j, 1);
}

INLINE TARGET_AVX2 void transpose_8x8(float *dst, int64_t ld_dst, const float *src, int64_t ld_src)
{
    __m256 r[8], t[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(src + i * ld_src);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* pairs of rows, then pairs of pairs */
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* the halves of 128 bits */
        _mm256_storeu_ps(dst + i * ld_dst, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(dst + (i + 4) * ld_dst, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

TARGET_AVX2
static void transpose_avx2(float *dst, int64_t ld_dst, const float *src, int64_t ld_src,
                           int64_t rows, int64_t cols)
{
    const int64_t r8 = rows & ~(int64_t)7, c8 = cols & ~(int64_t)7;
    for (int64_t c = 0; c < c8; c += 8)
        for (int64_t r = 0; r < r8; r += 8)
            transpose_8x8(dst + c * ld_dst + r, ld_dst, src + r * ld_src + c, ld_src);
    transpose_any(dst + c8 * ld_dst, ld_dst, src + c8, ld_src, r8, cols - c8);
    transpose_any(dst + r8, ld_dst, src + r8 * ld_src, ld_src, rows - r8, cols);
}

TARGET_AVX2
static void encode_f16_avx2(uint16_t *dst, const float *src, int64_t n)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(dst + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++) dst[i] = _cvtss_sh(src[i], _MM_FROUND_TO_NEAREST_INT);
}

static void encode_x86(enum dtype t, void *dst, const float *src, int64_t n)
{
    if (t == DT_F16)
        encode_f16_avx2(dst, src, n);
    else
        encode_any(t, dst, src, n);
}

const struct cpu_kit kit_avx2 = {
    .gemm = gemm_avx2,
    .transpose = transpose_avx2,
    .decode = decode_avx2,
    .encode = encode_x86,
};
const struct cpu_kit kit_avx512 = {
    .gemm = gemm_avx512,
    .transpose = transpose_avx2,
    .decode = decode_avx2,
    .encode = encode_x86,
};
#endif
