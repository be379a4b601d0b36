/* SPDX-License-Identifier: Apache-2.0
 *
 * neon.c - the building blocks and few-token products on 64-bit ARM.
 *
 * gemm: 6 rows by 16 columns of C in 24 of 32 registers. Few tokens: Q4_0 and Q8_0, the formats
 * that ARM machines are mostly given, multiply 8-bit activations in integers (sdot where the
 * compiler targets it, else widening multiplies); the other types are decoded to a row of floats
 * once for all tokens, then multiplied with FMA. Rows operators (rmsnorm, swiglu) are the plain C
 * of rows.h, which the compiler turns into NEON by itself: every 64-bit ARM has it.
 *
 * Checked under emulation (tests/tensor/run-neon), not timed on a machine.
 */
#include "tensor/cpu/cpu.h"

#if CRIA_ARM
#include <arm_neon.h>
#include <string.h>

#include "tensor/cpu/kit.h"
#include "tensor/cpu/linear.h"
#include "tensor/cpu/linear_in.h"
#include "tensor/half.h"

/* rows x 16 of C. */
INLINE void tile_neon(const struct gemm_args *g, int64_t i, int64_t j, const int rows)
{
    float32x4_t acc[6][4];
    const float *a = g->a + i * g->lda, *b = g->b + j * g->ldb_block;
    for (int r = 0; r < rows; r++)
        for (int l = 0; l < 4; l++) acc[r][l] = vdupq_n_f32(0.0f);
    for (int64_t p = 0; p < g->k; p++, b += g->ldb_row) {
        const float32x4_t b0 = vld1q_f32(b), b1 = vld1q_f32(b + 4);
        const float32x4_t b2 = vld1q_f32(b + 8), b3 = vld1q_f32(b + 12);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            const float x = a[r * g->lda + p];
            acc[r][0] = vfmaq_n_f32(acc[r][0], b0, x);
            acc[r][1] = vfmaq_n_f32(acc[r][1], b1, x);
            acc[r][2] = vfmaq_n_f32(acc[r][2], b2, x);
            acc[r][3] = vfmaq_n_f32(acc[r][3], b3, x);
        }
    }
    float *c = g->c + i * g->ldc_row + j * g->ldc_block;
    for (int r = 0; r < rows; r++, c += g->ldc_row)
        for (int l = 0; l < 4; l++) {
            if (g->is_added) acc[r][l] = vaddq_f32(acc[r][l], vld1q_f32(c + 4 * l));
            vst1q_f32(c + 4 * l, acc[r][l]);
        }
}

static void gemm_neon(const struct gemm_args *g)
{
    for (int64_t j = 0; j < g->n_blocks; j++) {
        int64_t i = 0;
        for (; i + 6 <= g->m; i += 6) tile_neon(g, i, j, 6);
        for (; i + 2 <= g->m; i += 2) tile_neon(g, i, j, 2);
        for (; i < g->m; i++) tile_neon(g, i, j, 1);
    }
}

static float dot_float(const float *x, const float *y, int64_t n)
{
    float32x4_t a = vdupq_n_f32(0.0f), b = a;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        a = vfmaq_f32(a, vld1q_f32(x + i), vld1q_f32(y + i));
        b = vfmaq_f32(b, vld1q_f32(x + i + 4), vld1q_f32(y + i + 4));
    }
    float sum = vaddvq_f32(vaddq_f32(a, b));
    for (; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static void dot_rows_float(float *dot, const struct few_in *in, enum dtype type, const uint8_t *w,
                           size_t row_bytes, int64_t n_rows)
{
    for (int64_t r = 0; r < n_rows; r++) {
        kit_neon.decode(type, in->row, w + (size_t)r * row_bytes, in->k);
        for (int64_t t = 0; t < in->n_tok; t++)
            dot[r * FEW + t] = dot_float(in->row, in->x + t * in->ld_x, in->k);
    }
}

/* Four sums of products of 32 signed bytes. */
INLINE int32x4_t dot_32(const int8x16_t w[2], const int8_t *a)
{
    const int8x16_t a0 = vld1q_s8(a), a1 = vld1q_s8(a + 16);
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(vdotq_s32(vdupq_n_s32(0), w[0], a0), w[1], a1);
#else
    const int16x8_t p0 = vmull_s8(vget_low_s8(w[0]), vget_low_s8(a0));
    const int16x8_t p1 = vmull_high_s8(w[0], a0);
    const int16x8_t p2 = vmull_s8(vget_low_s8(w[1]), vget_low_s8(a1));
    const int16x8_t p3 = vmull_high_s8(w[1], a1);
    const int32x4_t s = vpadalq_s16(vpaddlq_s16(p0), p1);
    return vpadalq_s16(vpadalq_s16(s, p2), p3);
#endif
}

INLINE void block_bytes(int8x16_t w[2], enum dtype type, const uint8_t *b)
{
    if (type == DT_Q8_0) {
        memcpy(w, b + 2, 32);
        return;
    }
    const uint8x16_t q = vld1q_u8(b + 2); /* Q4_0 */
    const int8x16_t eight = vdupq_n_s8(8);
    w[0] = vsubq_s8(vreinterpretq_s8_u8(vandq_u8(q, vdupq_n_u8(15))), eight);
    w[1] = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(q, 4)), eight);
}

INLINE void dot_rows_int8(float *dot, const struct few_in *in, enum dtype type, const uint8_t *w,
                          size_t row_bytes, int64_t n_rows)
{
    const size_t size = type == DT_Q8_0 ? 34 : 18;
    for (int64_t r = 0; r < n_rows; r++, w += row_bytes) {
        float32x4_t acc[FEW];
        for (int t = 0; t < FEW; t++) acc[t] = vdupq_n_f32(0.0f);
        for (int64_t b = 0; b < in->k / 32; b++) {
            const uint8_t *block = w + (size_t)b * size;
            uint16_t h = 0;
            memcpy(&h, block, sizeof h);
            int8x16_t v[2];
            block_bytes(v, type, block);
            for (int64_t t = 0; t < in->n_tok; t++) {
                const struct act8 *a = in->q + t * (in->ld_x / ACT) + b / 8;
                const int32x4_t s = dot_32(v, a->q + b % 8 * 32);
                acc[t] = vfmaq_n_f32(acc[t], vcvtq_f32_s32(s), f16_to_f32(h) * a->d[b % 8 * 8]);
            }
        }
        for (int64_t t = 0; t < in->n_tok; t++) dot[r * FEW + t] = vaddvq_f32(acc[t]);
    }
}

static void dot_rows_q4_0(float *dot, const struct few_in *in, enum dtype type, const uint8_t *w,
                          size_t row_bytes, int64_t n_rows)
{
    (void)type;
    dot_rows_int8(dot, in, DT_Q4_0, w, row_bytes, n_rows);
}

static void dot_rows_q8_0(float *dot, const struct few_in *in, enum dtype type, const uint8_t *w,
                          size_t row_bytes, int64_t n_rows)
{
    (void)type;
    dot_rows_int8(dot, in, DT_Q8_0, w, row_bytes, n_rows);
}

static void decode_f16(float *dst, const uint16_t *src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        __fp16 h = 0;
        memcpy(&h, src + i, sizeof h);
        dst[i] = (float)h;
    }
}

static void decode_neon(enum dtype t, float *dst, const void *src, int64_t n)
{
    if (t == DT_F16)
        decode_f16(dst, src, n);
    else
        decode_any(t, dst, src, n);
}

const struct cpu_kit kit_neon = {
    .gemm = gemm_neon,
    .transpose = transpose_any,
    .decode = decode_neon,
    .encode = encode_any,
};

static dot_rows_fn *const dots[DT_COUNT] = {
    [DT_F32] = dot_rows_float,  [DT_F16] = dot_rows_float,    [DT_BF16] = dot_rows_float,
    [DT_Q4_0] = dot_rows_q4_0,  [DT_Q4_1] = dot_rows_float,   [DT_Q5_0] = dot_rows_float,
    [DT_Q5_1] = dot_rows_float, [DT_Q8_0] = dot_rows_q8_0,    [DT_Q2_K] = dot_rows_float,
    [DT_Q3_K] = dot_rows_float, [DT_Q4_K] = dot_rows_float,   [DT_Q5_K] = dot_rows_float,
    [DT_Q6_K] = dot_rows_float, [DT_IQ4_NL] = dot_rows_float, [DT_IQ4_XS] = dot_rows_float,
};

static void read_neon(float *y, const struct linear_args *a, int64_t t) { read_row(y, a, t); }

static const struct linear_kit linear_kit_neon = {
    .read = read_neon,
    .cpu = &kit_neon,
    .dot = dots,
    .form = form_table_f32,
    .quantize = quantize_act8,
};

void linear_neon(const struct member *me, const struct linear_args *a)
{
    linear_run(me, a, &linear_kit_neon);
}
#endif
