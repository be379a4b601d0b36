/* SPDX-License-Identifier: Apache-2.0
 *
 * kit.c - the building blocks in plain C, and those that every instruction set shares.
 *
 * gemm() here is the one that a reader checks by eye: for each row of A, one 16-wide sum a block.
 * decode() is the formats' own (dtype.h); encode() knows the four types of a cache. The kits of
 * other instruction sets are in kit_avx2.c, kit_avx512.c and neon.c.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "tensor/cpu/cpu.h"
#include "tensor/cpu/kit.h"
#include "tensor/cpu/rows.h"
#include "tensor/half.h"

static void gemm_generic(const struct gemm_args *g)
{
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n_blocks; j++) {
            const float *a = g->a + i * g->lda, *b = g->b + j * g->ldb_block;
            float *c = g->c + i * g->ldc_row + j * g->ldc_block;
            struct lanes acc = {0}, x;
            for (int64_t p = 0; p < g->k; p++) {
                lanes_load(&x, b + p * g->ldb_row);
                for (int l = 0; l < 4; l++) acc.q[l] += a[p] * x.q[l];
            }
            if (g->is_added) lanes_load(&x, c);
            if (g->is_added)
                for (int l = 0; l < 4; l++) acc.q[l] += x.q[l];
            memcpy(c, &acc, sizeof acc);
        }
}

void transpose_any(float *dst, int64_t ld_dst, const float *src, int64_t ld_src, int64_t rows,
                   int64_t cols)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) dst[c * ld_dst + r] = src[r * ld_src + c];
}

void decode_any(enum dtype t, float *dst, const void *src, int64_t n)
{
    dtype_info(t)->decode(dst, src, n);
}

/* d = largest / 127, q = x / d to the nearest, halves away from zero (spec/inference.md d2). */
static void encode_q8_0(uint8_t *dst, const float *src, int64_t n)
{
    for (int64_t b = 0; b < n / 32; b++, dst += 34, src += 32) {
        float most = 0.0f;
        for (int i = 0; i < 32; i++) most = fmaxf(most, fabsf(src[i]));
        const uint16_t d = f16_from_f32(most / 127.0f);
        const float inverse = most > 0.0f ? 127.0f / most : 0.0f;
        memcpy(dst, &d, sizeof d);
        for (int i = 0; i < 32; i++) dst[2 + i] = (uint8_t)(int8_t)lrintf(src[i] * inverse);
    }
}

void encode_any(enum dtype t, void *dst, const float *src, int64_t n)
{
    uint16_t *half = dst;
    switch (t) {
    case DT_F32:
        memcpy(dst, src, (size_t)n * sizeof *src);
        break;
    case DT_F16:
        for (int64_t i = 0; i < n; i++) half[i] = f16_from_f32(src[i]);
        break;
    case DT_BF16:
        for (int64_t i = 0; i < n; i++) half[i] = bf16_from_f32(src[i]);
        break;
    default:
        assert(t == DT_Q8_0);
        encode_q8_0(dst, src, n);
    }
}

const struct cpu_kit kit_generic = {
    .gemm = gemm_generic,
    .transpose = transpose_any,
    .decode = decode_any,
    .encode = encode_any,
};
