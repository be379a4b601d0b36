/* SPDX-License-Identifier: Apache-2.0
 *
 * plain.c - F32, F16, BF16: one element a block.
 *
 * Conversions are half.h's: to nearest even, NaN and infinities kept, float16 overflow gives
 * infinity. Rows of files may lie at any byte, so elements go through memcpy.
 */
#include <string.h>

#include "tensor/half.h"
#include "tensor/quant/quant.h"

static void f32_decode(float *dst, const void *src, int64_t n)
{
    memcpy(dst, src, (size_t)n * sizeof *dst);
}

static void f32_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    (void)weight;
    memcpy(dst, src, (size_t)n * sizeof *src);
}

static void f16_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *p = src;
    for (int64_t i = 0; i < n; i++) {
        uint16_t h = 0;
        memcpy(&h, p + 2 * i, sizeof h);
        dst[i] = f16_to_f32(h);
    }
}

static void f16_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    (void)weight;
    uint8_t *p = dst;
    for (int64_t i = 0; i < n; i++) {
        const uint16_t h = f16_from_f32(src[i]);
        memcpy(p + 2 * i, &h, sizeof h);
    }
}

static void bf16_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *p = src;
    for (int64_t i = 0; i < n; i++) {
        uint16_t h = 0;
        memcpy(&h, p + 2 * i, sizeof h);
        dst[i] = bf16_to_f32(h);
    }
}

static void bf16_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    (void)weight;
    uint8_t *p = dst;
    for (int64_t i = 0; i < n; i++) {
        const uint16_t h = bf16_from_f32(src[i]);
        memcpy(p + 2 * i, &h, sizeof h);
    }
}

const struct dtype_info quant_f32 = {
    .name = "f32",
    .what = "32-bit float",
    .id = DT_F32,
    .ggml_id = 0,
    .file_type = 0,
    .block_elems = 1,
    .block_bytes = 4,
    .decode = f32_decode,
    .encode = f32_encode,
};

const struct dtype_info quant_f16 = {
    .name = "f16",
    .what = "16-bit float: 11 bits of precision, up to 65504",
    .id = DT_F16,
    .ggml_id = 1,
    .file_type = 1,
    .block_elems = 1,
    .block_bytes = 2,
    .max_rel_err = 0x1p-11f,
    .decode = f16_decode,
    .encode = f16_encode,
};

const struct dtype_info quant_bf16 = {
    .name = "bf16",
    .what = "16-bit brain float: 8 bits of precision, the range of f32",
    .id = DT_BF16,
    .ggml_id = 30,
    .file_type = 32,
    .block_elems = 1,
    .block_bytes = 2,
    .max_rel_err = 0x1p-8f,
    .decode = bf16_decode,
    .encode = bf16_encode,
};
