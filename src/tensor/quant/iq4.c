/* SPDX-License-Identifier: Apache-2.0
 *
 * iq4.c - IQ4_NL and IQ4_XS: 4-bit indices into 16 fixed values that lie denser around zero, as
 *         weights do.
 *
 *   IQ4_NL  d@0 qs[16]@2                               32 elements: x = d T[q]
 *   IQ4_XS  d@0 scales_h u16@2 scales_l[4]@4 qs[128]@8 256: 8 parts of 32, x = d (s - 32) T[q]
 *
 * Nibble j of a part's 16 bytes: low halves are elements 0..15, high ones 16..31. Scale k of
 * IQ4_XS: low four bits in nibble k of scales_l, high two in bits 2 k of scales_h.
 *
 * Encoding: the same searches as for evenly spaced formats, over another grid (fit.c,
 * fit_block.c). A grid that is not symmetric makes the sign of the scale worth a try.
 */
#include <string.h>

#include "tensor/quant/quant.h"

enum { N = 32 };

static const float values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                 1,    13,   25,  38,  53,  69,  89,  113};

static void get_values(float *dst, const uint8_t *qs, float s)
{
    for (int j = 0; j < N / 2; j++) {
        dst[j] = s * values[qs[j] & 15];
        dst[j + N / 2] = s * values[qs[j] >> 4];
    }
}

static void put_indices(uint8_t *qs, const int8_t *q)
{
    for (int j = 0; j < N / 2; j++) qs[j] = (uint8_t)(q[j] | q[j + N / 2] << 4);
}

static void iq4_nl_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t at = 0; at < n; at += N, b += 18) get_values(dst + at, b + 2, get_f16(b));
}

static void iq4_nl_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    static const struct grid g = {-127, 113, values};
    uint8_t *b = dst;
    for (int64_t at = 0; at < n; at += N, b += 18) {
        struct part p;
        int8_t q[N] = {0};
        const float power = parts_load(&p, 1, N, src + at, weight ? weight + at : NULL);
        const float s = power > 0.0f ? part_fit_scale(&p, &g) : 0.0f;
        const float d = put_scale(b, s * power);
        if (power > 0.0f) (void)part_round(&p, d / power, 0.0f, &g, q);
        put_indices(b + 2, q);
    }
}

const struct dtype_info quant_iq4_nl = {
    .name = "iq4_nl",
    .what = "4 bits over uneven values in blocks of 32, 4.5 in all",
    .id = DT_IQ4_NL,
    .ggml_id = 20,
    .file_type = 25,
    .block_elems = N,
    .block_bytes = 18,
    .is_quantized = true,
    .max_rel_err = 0.15f,
    .decode = iq4_nl_decode,
    .encode = iq4_nl_encode,
};

static void iq4_xs_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t at = 0; at < n; at += SUPER, b += 136) {
        const float d = get_f16(b);
        const int high = b[2] | b[3] << 8;
        for (int k = 0; k < 8; k++) {
            const int s = (b[4 + k / 2] >> 4 * (k % 2) & 15) | (high >> 2 * k & 3) << 4;
            get_values(dst + at + N * k, b + 8 + N / 2 * k, d * (float)(s - 32));
        }
    }
}

static void iq4_xs_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    static const struct scales_form form = {{-127, 113, values}, 8, N, -32, 31, 1};
    uint8_t *b = dst;
    struct scaled_block c;
    for (int64_t at = 0; at < n; at += SUPER, b += 136) {
        block_fit_scales(&c, b, src + at, weight ? weight + at : NULL, &form);
        memset(b + 2, 0, 6);
        for (int k = 0; k < 8; k++) {
            const int s = c.s[k] + 32;
            b[4 + k / 2] = (uint8_t)(b[4 + k / 2] | (s & 15) << 4 * (k % 2));
            b[2 + k / 4] = (uint8_t)(b[2 + k / 4] | s >> 4 << 2 * (k % 4));
            put_indices(b + 8 + N / 2 * k, c.q + N * k);
        }
    }
}

const struct dtype_info quant_iq4_xs = {
    .name = "iq4_xs",
    .what = "4 bits over uneven values in blocks of 256, 4.25 in all",
    .id = DT_IQ4_XS,
    .ggml_id = 23,
    .file_type = 30,
    .block_elems = SUPER,
    .block_bytes = 136,
    .is_quantized = true,
    .max_rel_err = 0.15f,
    .decode = iq4_xs_decode,
    .encode = iq4_xs_encode,
};
