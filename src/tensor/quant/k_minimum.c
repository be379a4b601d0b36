/* SPDX-License-Identifier: Apache-2.0
 *
 * k_minimum.c - Q2_K, Q4_K, Q5_K: 256 elements, parts with an integer scale and an integer minimum,
 *               two float16 for all of them.
 *
 *   Q2_K  scales[16]@0 qs[64]@16 d@80 dmin@82          16 parts of 16, scale and minimum 4 bits
 *   Q4_K  d@0 dmin@2 scales[12]@4 qs[128]@16           8 parts of 32, scale and minimum 6 bits
 *   Q5_K  d@0 dmin@2 scales[12]@4 qh[32]@16 qs[128]@48 likewise, a fifth bit of q in qh
 *   all:  x = d s q - dmin m
 *
 * Q2_K: element 128 n + 32 j + l in byte 32 n + l of qs, shift 2 j; scale in the low nibble of
 * scales[k], minimum in the high one. Q4_K: element 64 c + l in the low nibble of byte 32 c + l of
 * qs, 64 c + 32 + l in the high one; Q5_K's fifth bits in bit 2 c, and 2 c + 1, of qh[l]. Six bits
 * of scale k and minimum k, k < 4: the low ones of scales[k] and scales[k + 4]; k >= 4: the nibbles
 * of scales[k + 4] and the top two bits of scales[k - 4] and scales[k].
 *
 * Encoding: the best pair of each part alone (fit.c); d and dmin from the largest; for each part
 * the integers with the least error among the nearest scales, each with the minimum that fits it;
 * d and dmin again by regression over the block, now that all integers are known; q again. Doing
 * the last two steps twice takes 0.1 % off the error and a quarter more time: once.
 */
#include <math.h>
#include <string.h>

#include "tensor/quant/quant.h"

enum { MAX_PARTS = 16 };

struct form {
    struct grid grid;
    int n_parts, part;
    int s_top; /* of integer scales and minima */
};

struct coded {
    uint8_t s[MAX_PARTS], m[MAX_PARTS];
    int8_t q[SUPER];
};

struct steps {
    float d, dmin; /* in units of the power of two that parts were divided by */
};

static int clamp_int(float x, int hi)
{
    return x < 0.5f ? 0 : x > (float)hi ? hi : (int)(x + 0.5f);
}

/* The integers for part p; want_s and want_m are its own best pair. */
static void best_integers(uint8_t *s_out, uint8_t *m_out, const struct part *p,
                          const struct form *f, struct steps t, float want_s, float want_m)
{
    const int near = t.d > 0.0f ? clamp_int(want_s / t.d, f->s_top) : 0;
    float least = INFINITY;
    for (int s = near > 0 ? near - 1 : 0; s <= near + 1 && s <= f->s_top; s++) {
        const float scale = t.d * (float)s;
        const struct part_sums a = part_round(p, scale, want_m, &f->grid, NULL);
        const float fitting = p->sw > 0.0f ? (scale * a.q - p->swx) / p->sw : want_m;
        const int m = t.dmin > 0.0f ? clamp_int(fitting / t.dmin, f->s_top) : 0;
        const float minimum = t.dmin * (float)m;
        const struct part_sums b = part_round(p, scale, minimum, &f->grid, NULL);
        const float e = part_error(p, &b, scale, minimum);
        if (e >= least) continue;
        least = e;
        *s_out = (uint8_t)s;
        *m_out = (uint8_t)m;
    }
}

/* Rounds all parts; returns the steps that fit best then, or `t` where that is not defined. */
static struct steps round_all(struct coded *c, const struct part *p, const struct form *f,
                              struct steps t)
{
    float ss = 0.0f, sm = 0.0f, mm = 0.0f, xs = 0.0f, xm = 0.0f;
    for (int k = 0; k < f->n_parts; k++) {
        const float s = (float)c->s[k], m = (float)c->m[k];
        const struct part_sums a =
            part_round(&p[k], t.d * s, t.dmin * m, &f->grid, &c->q[k * f->part]);
        ss += s * s * a.qq;
        sm += s * m * a.q;
        mm += m * m * p[k].sw;
        xs += s * a.xq;
        xm += m * p[k].swx;
    }
    const float det = ss * mm - sm * sm;
    struct steps r = t;
    if (det > 1e-6f * ss * mm) {
        r.d = (mm * xs - sm * xm) / det;
        r.dmin = (sm * xs - ss * xm) / det;
    } else if (ss > 0.0f) {
        r.d = xs / ss;
        r.dmin = 0.0f;
    }
    return r.d > 0.0f && r.dmin >= 0.0f ? r : t;
}

static struct steps put_steps(uint8_t *d_at, struct steps t, float power)
{
    return (struct steps){put_scale(d_at, t.d * power) / power,
                          put_scale(d_at + 2, t.dmin * power) / power};
}

static void encode_block(struct coded *c, uint8_t *d_at, const float *src, const float *weight,
                         const struct form *f)
{
    struct part p[MAX_PARTS];
    float s[MAX_PARTS], m[MAX_PARTS];
    struct steps t = {0};
    memset(c, 0, sizeof *c);
    const float power = parts_load(p, f->n_parts, f->part, src, weight);
    if (power == 0.0f) {
        (void)put_steps(d_at, t, 1.0f);
        return;
    }
    for (int k = 0; k < f->n_parts; k++) {
        part_fit_pair(&p[k], &f->grid, true, &s[k], &m[k]);
        t.d = s[k] > t.d ? s[k] : t.d;
        t.dmin = m[k] > t.dmin ? m[k] : t.dmin;
    }
    t.d = put_scale_above(d_at, t.d / (float)f->s_top * power) / power;
    t.dmin = put_scale_above(d_at + 2, t.dmin / (float)f->s_top * power) / power;
    for (int k = 0; k < f->n_parts; k++) best_integers(&c->s[k], &c->m[k], &p[k], f, t, s[k], m[k]);
    t = put_steps(d_at, round_all(c, p, f, t), power);
    (void)round_all(c, p, f, t);
}

/* ---- Q2_K ---- */

static void q2_k_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t at = 0; at < n; at += SUPER, b += 84, dst += SUPER) {
        const float d = get_f16(b + 80), dmin = get_f16(b + 82);
        for (int k = 0; k < 16; k++) {
            const float s = d * (float)(b[k] & 15), m = dmin * (float)(b[k] >> 4);
            const uint8_t *qs = b + 16 + 32 * (k / 8) + 16 * (k % 2);
            for (int l = 0; l < 16; l++)
                dst[16 * k + l] = s * (float)(qs[l] >> 2 * (k / 2 % 4) & 3) - m;
        }
    }
}

static void q2_k_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    static const struct form form = {{0.0f, 3.0f, NULL}, 16, 16, 15};
    uint8_t *b = dst;
    struct coded c;
    for (int64_t at = 0; at < n; at += SUPER, b += 84) {
        memset(b, 0, 84);
        encode_block(&c, b + 80, src + at, weight ? weight + at : NULL, &form);
        for (int k = 0; k < 16; k++) b[k] = (uint8_t)(c.s[k] | c.m[k] << 4);
        for (int e = 0; e < SUPER; e++) {
            uint8_t *qs = b + 16 + 32 * (e / 128) + e % 32;
            *qs = (uint8_t)(*qs | c.q[e] << 2 * (e / 32 % 4));
        }
    }
}

const struct dtype_info quant_q2_k = {
    .name = "q2_k",
    .what = "2 bits in blocks of 256, 2.63 in all; for what fits no other way",
    .id = DT_Q2_K,
    .ggml_id = 10,
    .file_type = 10,
    .block_elems = SUPER,
    .block_bytes = 84,
    .is_quantized = true,
    .max_rel_err = 0.45f,
    .decode = q2_k_decode,
    .encode = q2_k_encode,
};

/* ---- Q4_K, Q5_K ---- */

static const struct form form_q4_k = {{0.0f, 15.0f, NULL}, 8, 32, 63};
static const struct form form_q5_k = {{0.0f, 31.0f, NULL}, 8, 32, 63};

static void get_six_bits(const uint8_t *scales, int k, int *s, int *m)
{
    const uint8_t *a = scales + k, *b = scales + k + 4;
    *s = k < 4 ? *a & 63 : (*b & 15) | a[-4] >> 6 << 4;
    *m = k < 4 ? *b & 63 : *b >> 4 | *a >> 6 << 4;
}

static void put_six_bits(uint8_t *scales, const struct coded *c)
{
    for (int k = 0; k < 4; k++) {
        const int s = c->s[k], m = c->m[k], s_far = c->s[k + 4], m_far = c->m[k + 4];
        scales[k] = (uint8_t)(s | s_far >> 4 << 6);
        scales[k + 4] = (uint8_t)(m | m_far >> 4 << 6);
        scales[k + 8] = (uint8_t)((s_far & 15) | (m_far & 15) << 4);
    }
}

static void put_nibbles(uint8_t *qs, const int8_t *q)
{
    for (int c = 0; c < 4; c++)
        for (int l = 0; l < 32; l++)
            qs[32 * c + l] = (uint8_t)((q[64 * c + l] & 15) | (q[64 * c + 32 + l] & 15) << 4);
}

static void q4_k_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t at = 0; at < n; at += SUPER, b += 144, dst += SUPER) {
        const float d = get_f16(b), dmin = get_f16(b + 2);
        for (int k = 0; k < 8; k++) {
            int s = 0, m = 0;
            get_six_bits(b + 4, k, &s, &m);
            const float scale = d * (float)s, minimum = dmin * (float)m;
            const uint8_t *qs = b + 16 + 32 * (k / 2);
            for (int l = 0; l < 32; l++)
                dst[32 * k + l] = scale * (float)(qs[l] >> 4 * (k % 2) & 15) - minimum;
        }
    }
}

static void q4_k_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    uint8_t *b = dst;
    struct coded c;
    for (int64_t at = 0; at < n; at += SUPER, b += 144) {
        encode_block(&c, b, src + at, weight ? weight + at : NULL, &form_q4_k);
        put_six_bits(b + 4, &c);
        put_nibbles(b + 16, c.q);
    }
}

const struct dtype_info quant_q4_k = {
    .name = "q4_k",
    .what = "4 bits in blocks of 256, 4.5 in all; the usual choice",
    .id = DT_Q4_K,
    .ggml_id = 12,
    .file_type = 15,
    .block_elems = SUPER,
    .block_bytes = 144,
    .is_quantized = true,
    .max_rel_err = 0.13f,
    .decode = q4_k_decode,
    .encode = q4_k_encode,
};

static void q5_k_decode(float *dst, const void *src, int64_t n)
{
    const uint8_t *b = src;
    for (int64_t at = 0; at < n; at += SUPER, b += 176, dst += SUPER) {
        const float d = get_f16(b), dmin = get_f16(b + 2);
        for (int k = 0; k < 8; k++) {
            int s = 0, m = 0;
            get_six_bits(b + 4, k, &s, &m);
            const float scale = d * (float)s, minimum = dmin * (float)m;
            const uint8_t *qs = b + 48 + 32 * (k / 2), *qh = b + 16;
            for (int l = 0; l < 32; l++) {
                const int q = (qs[l] >> 4 * (k % 2) & 15) | (qh[l] >> k & 1) << 4;
                dst[32 * k + l] = scale * (float)q - minimum;
            }
        }
    }
}

static void q5_k_encode(void *dst, const float *src, int64_t n, const float *weight)
{
    uint8_t *b = dst;
    struct coded c;
    for (int64_t at = 0; at < n; at += SUPER, b += 176) {
        encode_block(&c, b, src + at, weight ? weight + at : NULL, &form_q5_k);
        put_six_bits(b + 4, &c);
        put_nibbles(b + 48, c.q);
        memset(b + 16, 0, 32);
        for (int e = 0; e < SUPER; e++)
            b[16 + e % 32] = (uint8_t)(b[16 + e % 32] | c.q[e] >> 4 << e / 32);
    }
}

const struct dtype_info quant_q5_k = {
    .name = "q5_k",
    .what = "5 bits in blocks of 256, 5.5 in all; a small loss",
    .id = DT_Q5_K,
    .ggml_id = 13,
    .file_type = 17,
    .block_elems = SUPER,
    .block_bytes = 176,
    .is_quantized = true,
    .max_rel_err = 0.065f,
    .decode = q5_k_decode,
    .encode = q5_k_encode,
};
