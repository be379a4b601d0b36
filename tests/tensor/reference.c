/* SPDX-License-Identifier: Apache-2.0
 *
 * reference.c - the operators and the block formats in double, straight from the formulas.
 *
 * Written to be compared with the page, not to be fast: formats as spec'd element by element,
 * softmax with all scores in memory, no shared helpers with the code under test.
 */
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- formats ------------------------------------------------------------------------------ */

static double half(const uint8_t *p)
{
    const int u = p[0] | p[1] << 8, e = u >> 10 & 31, f = u & 1023;
    const double v = e == 0    ? ldexp(f, -24)
                     : e == 31 ? (f ? NAN : INFINITY)
                               : ldexp(1024 + f, e - 25);
    return u & 0x8000 ? -v : v;
}

static void put_half(uint8_t *p, double v)
{
    const double a = fabs(v);
    int e = 0;
    frexp(a, &e); /* a = m 2^e, m in [1/2, 1) */
    uint32_t u = 0;
    if (a > 0 && e >= -13)
        u = (uint32_t)((e + 14) << 10) + (uint32_t)lrint(ldexp(a, 11 - e)) - 1024;
    else if (a > 0)
        u = (uint32_t)lrint(ldexp(a, 24));
    if (v < 0) u |= 0x8000;
    p[0] = (uint8_t)u;
    p[1] = (uint8_t)(u >> 8);
}

static int nib(const uint8_t *qs, int j) /* low nibbles are 0..15, high ones 16..31 */
{
    return j < 16 ? qs[j] & 15 : qs[j - 16] >> 4;
}

static const int iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};

static double f32_at(const uint8_t *b, int e)
{
    (void)e;
    float f = 0;
    memcpy(&f, b, sizeof f);
    return (double)f;
}

static double f16_at(const uint8_t *b, int e)
{
    (void)e;
    return half(b);
}

static double bf16_at(const uint8_t *b, int e)
{
    (void)e;
    const uint32_t u = (uint32_t)(b[0] | b[1] << 8) << 16;
    float f = 0;
    memcpy(&f, &u, sizeof f);
    return (double)f;
}

static double q4_0_at(const uint8_t *b, int e) { return half(b) * (nib(b + 2, e) - 8); }
static double q4_1_at(const uint8_t *b, int e) { return half(b) * nib(b + 4, e) + half(b + 2); }

static int bit32(const uint8_t *p, int e) { return p[e / 8] >> e % 8 & 1; }

static double q5_0_at(const uint8_t *b, int e)
{
    return half(b) * ((nib(b + 6, e) | bit32(b + 2, e) << 4) - 16);
}

static double q5_1_at(const uint8_t *b, int e)
{
    return half(b) * (nib(b + 8, e) | bit32(b + 4, e) << 4) + half(b + 2);
}

static double q8_0_at(const uint8_t *b, int e) { return half(b) * (int8_t)b[2 + e]; }

static double q2_k_at(const uint8_t *b, int e)
{
    const int n = e / 128, j = e / 32 % 4, l = e % 32, s = b[e / 16];
    const int q = b[16 + 32 * n + l] >> 2 * j & 3;
    return half(b + 80) * (s & 15) * q - half(b + 82) * (s >> 4);
}

static double q3_k_at(const uint8_t *b, int e)
{
    const int n = e / 128, j = e / 32 % 4, l = e % 32, k = e / 16;
    const int q = (b[32 + 32 * n + l] >> 2 * j & 3) - (b[l] >> (4 * n + j) & 1 ? 0 : 4);
    const uint8_t *sc = b + 96;
    const int s4 = k < 8 ? sc[k] & 15 : sc[k - 8] >> 4, s2 = sc[8 + k % 4] >> 2 * (k / 4) & 3;
    return half(b + 108) * ((s4 | s2 << 4) - 32) * q;
}

static void six_bits(const uint8_t *s, int k, int *sc, int *mn)
{
    *sc = k < 4 ? s[k] & 63 : (s[k + 4] & 15) | s[k - 4] >> 6 << 4;
    *mn = k < 4 ? s[k + 4] & 63 : s[k + 4] >> 4 | s[k] >> 6 << 4;
}

static double q4_k_at(const uint8_t *b, int e)
{
    const int c = e / 64, l = e % 32, is_high = e / 32 % 2, byte = b[16 + 32 * c + l];
    int sc = 0, mn = 0;
    six_bits(b + 4, e / 32, &sc, &mn);
    return half(b) * sc * (is_high ? byte >> 4 : byte & 15) - half(b + 2) * mn;
}

static double q5_k_at(const uint8_t *b, int e)
{
    const int c = e / 64, l = e % 32, is_high = e / 32 % 2, byte = b[48 + 32 * c + l];
    const int bit = b[16 + l] >> (2 * c + is_high) & 1;
    int sc = 0, mn = 0;
    six_bits(b + 4, e / 32, &sc, &mn);
    return half(b) * sc * ((is_high ? byte >> 4 : byte & 15) + 16 * bit) - half(b + 2) * mn;
}

static double q6_k_at(const uint8_t *b, int e)
{
    const int n = e / 128, j = e / 32 % 4, l = e % 32, h = b[128 + 32 * n + l] >> 2 * j & 3;
    const int byte = b[64 * n + j % 2 * 32 + l], low = j < 2 ? byte & 15 : byte >> 4;
    return half(b + 208) * (int8_t)b[192 + e / 16] * ((low | h << 4) - 32);
}

static double iq4_nl_at(const uint8_t *b, int e) { return half(b) * iq4_values[nib(b + 2, e)]; }

static double iq4_xs_at(const uint8_t *b, int e)
{
    const int k = e / 32, hi = (b[2] | b[3] << 8) >> 2 * k & 3,
              lo = b[4 + k / 2] >> 4 * (k & 1) & 15;
    return half(b) * ((lo | hi << 4) - 32) * iq4_values[nib(b + 8 + 16 * k, e % 32)];
}

static const struct ref_type {
    int64_t elems, bytes;
    double (*at)(const uint8_t *b, int e);
    int d, m;     /* byte offsets of float16 scale and minimum, -1: none */
    double d_rel; /* scale that gives values of size 1 */
} ref_types[DT_COUNT] = {
    /* clang-format off */
    /*              elems bytes  at        d   m  d_rel */
    [DT_F32]    = {  1,    4, f32_at,    -1, -1, 0},
    [DT_F16]    = {  1,    2, f16_at,    -1, -1, 0},
    [DT_BF16]   = {  1,    2, bf16_at,   -1, -1, 0},
    [DT_Q4_0]   = { 32,   18, q4_0_at,    0, -1, 1.0 / 8},
    [DT_Q4_1]   = { 32,   20, q4_1_at,    0,  2, 1.0 / 8},
    [DT_Q5_0]   = { 32,   22, q5_0_at,    0, -1, 1.0 / 16},
    [DT_Q5_1]   = { 32,   24, q5_1_at,    0,  2, 1.0 / 16},
    [DT_Q8_0]   = { 32,   34, q8_0_at,    0, -1, 1.0 / 127},
    [DT_Q2_K]   = {256,   84, q2_k_at,   80, 82, 1.0 / 40},
    [DT_Q3_K]   = {256,  110, q3_k_at,  108, -1, 1.0 / 100},
    [DT_Q4_K]   = {256,  144, q4_k_at,    0,  2, 1.0 / 900},
    [DT_Q5_K]   = {256,  176, q5_k_at,    0,  2, 1.0 / 1800},
    [DT_Q6_K]   = {256,  210, q6_k_at,  208, -1, 1.0 / 4000},
    [DT_IQ4_NL] = { 32,   18, iq4_nl_at,  0, -1, 1.0 / 127},
    [DT_IQ4_XS] = {256,  136, iq4_xs_at,  0, -1, 1.0 / 4000},
    /* clang-format on */
};

int64_t ref_block_elems(enum dtype t) { return ref_types[t].elems; }
int64_t ref_block_bytes(enum dtype t) { return ref_types[t].bytes; }

void ref_decode(enum dtype t, double *dst, const uint8_t *src, int64_t n)
{
    const struct ref_type *r = &ref_types[t];
    for (int64_t i = 0; i < n; i++)
        dst[i] = r->at(src + i / r->elems * r->bytes, (int)(i % r->elems));
}

double ref_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(*state ^ *state >> 29) * 0x1p-63;
}

void ref_random_row(enum dtype t, uint8_t *dst, int64_t n, double size, uint64_t *state)
{
    const struct ref_type *r = &ref_types[t];
    for (int64_t b = 0; b < n / r->elems; b++, dst += r->bytes) {
        const double v = size * ref_random(state);
        if (r->d < 0) {
            const float f = (float)v;
            if (t == DT_F32) memcpy(dst, &f, 4);
            if (t == DT_BF16) memcpy(dst, (const uint8_t *)&f + 2, 2);
            if (t == DT_F16) put_half(dst, v);
            continue;
        }
        for (int64_t i = 0; i < r->bytes; i++)
            dst[i] = (uint8_t)(int)(128 + ref_random(state) * 128);
        put_half(dst + r->d, v * r->d_rel);
        if (r->m >= 0) put_half(dst + r->m, size * ref_random(state) * r->d_rel);
    }
}

/* ---- operators ---------------------------------------------------------------------------- */

void ref_rmsnorm(double *y, const float *x, const float *w, int64_t d, double eps)
{
    double sum = 0;
    for (int64_t i = 0; i < d; i++) sum += (double)x[i] * (double)x[i];
    const double scale = 1 / sqrt(sum / (double)d + eps);
    for (int64_t i = 0; i < d; i++) y[i] = (double)x[i] * scale * (double)w[i];
}

double ref_silu(double z) { return z / (1 + exp(-z)); }

void ref_linear_in(double *y, const struct linear_args *a, int64_t t)
{
    const float *x = a->x + t * a->ld_x;
    if (a->in == LINEAR_IN_RMSNORM) {
        ref_rmsnorm(y, x, a->norm, a->k, (double)a->eps);
        return;
    }
    for (int64_t i = 0; i < a->k; i++)
        y[i] = a->in == LINEAR_IN_SWIGLU ? ref_silu((double)x[i]) * (double)a->x2[t * a->ld_x + i]
                                         : (double)x[i];
}

static const struct span *ref_span(const struct attention_args *a, int64_t tok)
{
    for (int32_t s = 0; s < a->n_spans; s++)
        if (tok >= a->span[s].begin && tok < a->span[s].begin + a->span[s].n) return &a->span[s];
    abort();
}

static const uint8_t *ref_slot(const struct kv_layer *kv, const uint8_t *base, const struct span *s,
                               int64_t pos, int64_t kv_head)
{
    return base + (size_t)s->pages[pos / kv->page_tok] * kv->page_stride +
           (size_t)kv_head * kv->head_stride + (size_t)(pos % kv->page_tok) * kv->row_bytes;
}

void ref_attention(double *y, const struct attention_args *a, int64_t tok, int32_t head)
{
    const struct kv_layer *kv = a->kv;
    const struct span *s = ref_span(a, tok);
    const int64_t n = s->pos + (tok - s->begin) + 1, d = kv->d_head;
    const int64_t kv_head = head / (a->n_heads / kv->n_kv_heads);
    double *p = malloc((size_t)n * sizeof *p), *row = malloc((size_t)d * sizeof *row);
    if (!p || !row) abort();
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        ref_decode(kv->dtype, row, ref_slot(kv, kv->k, s, i, kv_head), d);
        p[i] = 0;
        for (int64_t j = 0; j < d; j++) p[i] += (double)a->q[tok * a->ld_q + head * d + j] * row[j];
        p[i] *= (double)a->scale;
        most = fmax(most, p[i]);
    }
    for (int64_t i = 0; i < n; i++) sum += p[i] = exp(p[i] - most);
    for (int64_t j = 0; j < d; j++) y[j] = 0;
    for (int64_t i = 0; i < n; i++) {
        ref_decode(kv->dtype, row, ref_slot(kv, kv->v, s, i, kv_head), d);
        for (int64_t j = 0; j < d; j++) y[j] += p[i] / sum * row[j];
    }
    free(p);
    free(row);
}
