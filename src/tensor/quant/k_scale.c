/* SPDX-License-Identifier: Apache-2.0
 *
 * k_scale.c - Q3_K and Q6_K: 256 elements, 16 parts with an integer scale each times one float16.
 *
 *   Q3_K  hmask[32]@0 qs[64]@32 scales[12]@96 d@108            x = d (s - 32) q, q in -4..3
 *   Q6_K  ql[128]@0 qh[64]@128 int8 scales[16]@192 d@208       x = d s (q - 32), q in 0..63
 *
 * Element e = 128 n + 32 j + l lies in byte 32 n + l of qs (shift 2 j) and bit 4 n + j of hmask[l];
 * in Q6_K the low four bits in byte 64 n + 32 (j % 2) + l of ql (low nibble for j < 2), the high
 * two in byte 32 n + l of qh (shift 2 j). Part k is elements [16 k, 16 k + 16).
 * Scale k of Q3_K: low four bits in scales[k % 8] (high nibble for k >= 8), high two in
 * scales[8 + k % 4] (shift 2 (k / 4)).
 *
 * Encoding: fit_block.c.
 */
#include <string.h>

#include "tensor/quant/quant.h"

enum { PARTS = 16, PART = 16 };

/* ---- Q3_K ---- */

static void q3_k_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t at = 0; at < n; at += SUPER, b += 110, dst += SUPER) {
        const uint8_t *scales = b + 96;
        const float d = get_f16(b + 108);
        for (int k = 0; k < PARTS; k++) {
            const int low = k < 8 ? scales[k] & 15 : scales[k - 8] >> 4;
            const int high = scales[8 + k % 4] >> 2 * (k / 4) & 3;
            const float s = d * (float)((low | high << 4) - 32);
            const uint8_t *qs = b + 32 + 32 * (k / 8) + PART * (k % 2);
            const uint8_t *mask = b + PART * (k % 2);
            for (int l = 0; l < PART; l++) {
                const int q = (qs[l] >> 2 * (k / 2 % 4) & 3) - (mask[l] >> k / 2 & 1 ? 0 : 4);
                dst[k * PART + l] = s * (float)q;
            }
        }
    }
}

static void q3_k_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    static const struct scales_form form = {{-4.0f, 3.0f, NULL}, PARTS, PART, -32, 31, 1};
    uint8_t *b = dst;
    struct scaled_block c;
    for (int64_t at = 0; at < n; at += SUPER, b += 110) {
        memset(b, 0, 110);
        block_fit_scales(&c, b + 108, src + at, weight ? weight + at : NULL, &form);
        for (int e = 0; e < SUPER; e++) {
            const int q = c.q[e] + 4, i = e / 128, j = e / 32 % 4, l = e % 32;
            b[32 + 32 * i + l] = (uint8_t)(b[32 + 32 * i + l] | (q & 3) << 2 * j);
            b[l] = (uint8_t)(b[l] | q >> 2 << (4 * i + j));
        }
        for (int k = 0; k < PARTS; k++) {
            uint8_t *low = b + 96 + k % 8, *high = b + 104 + k % 4;
            const int s = c.s[k] + 32;
            *low = (uint8_t)(*low | (s & 15) << (k < 8 ? 0 : 4));
            *high = (uint8_t)(*high | s >> 4 << 2 * (k / 4));
        }
    }
}

const struct dtype_info quant_q3_k = {
    .name = "q3_k",
    .what = "3 bits in blocks of 256, 3.44 in all; small, with a visible loss",
    .id = DT_Q3_K,
    .ggml_id = 11,
    .file_type = 12,
    .block_elems = SUPER,
    .block_bytes = 110,
    .is_quantized = true,
    .max_rel_err = 0.3f,
    .decode = q3_k_decode,
    .encode = q3_k_encode,
};

/* ---- Q6_K ---- */

static void q6_k_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t at = 0; at < n; at += SUPER, b += 210, dst += SUPER) {
        const float d = get_f16(b + 208);
        for (int k = 0; k < PARTS; k++) {
            const int i = k / 8, j = k / 2 % 4, l0 = PART * (k % 2);
            const float s = d * (float)(int8_t)b[192 + k];
            const uint8_t *ql = b + 64 * i + 32 * (j % 2) + l0, *qh = b + 128 + 32 * i + l0;
            for (int l = 0; l < PART; l++) {
                const int low = j < 2 ? ql[l] & 15 : ql[l] >> 4;
                dst[k * PART + l] = s * (float)((low | (qh[l] >> 2 * j & 3) << 4) - 32);
            }
        }
    }
}

static void q6_k_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    static const struct scales_form form = {{-32.0f, 31.0f, NULL}, PARTS, PART, -128, 127, 0};
    uint8_t *b = dst;
    struct scaled_block c;
    for (int64_t at = 0; at < n; at += SUPER, b += 210) {
        memset(b, 0, 210);
        block_fit_scales(&c, b + 208, src + at, weight ? weight + at : NULL, &form);
        for (int i = 0; i < 2; i++) {
            const int8_t *q = c.q + 128 * i;
            uint8_t *ql = b + 64 * i, *qh = b + 128 + 32 * i;
            for (int l = 0; l < 32; l++) {
                const int q0 = q[l] + 32, q1 = q[l + 32] + 32, q2 = q[l + 64] + 32,
                          q3 = q[l + 96] + 32;
                ql[l] = (uint8_t)((q0 & 15) | (q2 & 15) << 4);
                ql[l + 32] = (uint8_t)((q1 & 15) | (q3 & 15) << 4);
                qh[l] = (uint8_t)(q0 >> 4 | q1 >> 4 << 2 | q2 >> 4 << 4 | q3 >> 4 << 6);
            }
        }
        memcpy(b + 192, c.s, PARTS);
    }
}

const struct dtype_info quant_q6_k = {
    .name = "q6_k",
    .what = "6 bits in blocks of 256, 6.56 in all; hardly a loss",
    .id = DT_Q6_K,
    .ggml_id = 14,
    .file_type = 18,
    .block_elems = SUPER,
    .block_bytes = 210,
    .is_quantized = true,
    .max_rel_err = 0.025f,
    .decode = q6_k_decode,
    .encode = q6_k_encode,
};
