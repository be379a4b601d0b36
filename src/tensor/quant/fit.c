/* SPDX-License-Identifier: Apache-2.0
 *
 * fit.c - the best scale (and minimum) of a part, by weighted least squares.
 *
 * Given the integers q, the best s (and m) is a linear regression of x on q; given s and m, the
 * best q are the nearest. The error as a function of s has a valley for each way of rounding, so a
 * descent from one start gets stuck: we start from a few spacings around the one that just reaches
 * the largest element (narrower, so that the extremes are cut off, and wider), take the regression
 * of the best, and let it round and regress on until that no longer helps. Sums that decide are of
 * the form (sum w x q)^2 / sum w q q, which costs one pass over the part for each start.
 *
 * Loops over a part have constant trip counts and no branches, and sums are folded by halves: both
 * compilers turn them into vectors of four without being allowed to reorder anything, so results
 * are the same on every machine; the loop that takes the time is also written for AVX2
 * (cpu/part_round.c).
 */
#include "tensor/quant/quant.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "tensor/half.h"

#define INLINE static inline __attribute__((always_inline))

/* ---- float16 fields ---- */

float get_f16(const uint8_t *p) { return f16_to_f32((uint16_t)(p[0] | p[1] << 8)); }

static float put_half(uint8_t *p, uint16_t h)
{
    p[0] = (uint8_t)(h & 255);
    p[1] = (uint8_t)(h >> 8);
    return f16_to_f32(h);
}

static float clamp_f16(float v)
{
    const float most = 65504.0f;
    return v > most ? most : v < -most ? -most : v;
}

float put_f16(uint8_t *p, float v) { return put_half(p, f16_from_f32(clamp_f16(v))); }

float put_scale(uint8_t *p, float v)
{
    const float least = 0x1p-24f;
    return put_f16(p, v > 0.0f && v < least ? least : v < 0.0f && v > -least ? -least : v);
}

float put_scale_above(uint8_t *p, float v)
{
    const float finite = clamp_f16(v);
    const uint16_t h = f16_from_f32(finite);
    return put_half(p, fabsf(f16_to_f32(h)) < fabsf(finite) ? (uint16_t)(h + 1) : h);
}

/* ---- parts ---- */

/* Overwrites a[n]. */
INLINE float fold(float *a, int n)
{
    for (int h = n / 2; h >= 4; h /= 2)
        for (int i = 0; i < h; i++) a[i] += a[i + h];
    return (a[0] + a[2]) + (a[1] + a[3]);
}

INLINE float clean(float x)
{
    float y = x == x ? x : 0.0f;
    y = y > BLOCK_LIMIT ? BLOCK_LIMIT : y;
    return y < -BLOCK_LIMIT ? -BLOCK_LIMIT : y;
}

static float clean_weight(float w) { return w > 0.0f && w < INFINITY ? w : 0.0f; }

/* The power of two p with 1 <= |v| / p < 2, for a normal v. */
static float power_below(float v) { return f32_from_bits(f32_bits(v) & 0x7f800000u); }

INLINE void part_sum(struct part *p, int n)
{
    float a[PART_MAX], b[PART_MAX], c[PART_MAX];
    for (int i = 0; i < n; i++) {
        a[i] = p->w[i];
        b[i] = p->wx[i] = p->w[i] * p->x[i];
        c[i] = p->wx[i] * p->x[i];
    }
    p->sw = fold(a, n);
    p->swx = fold(b, n);
    p->swxx = fold(c, n);
}

float parts_load(struct part *p, int n_parts, int n, const float *src, const float *weight)
{
    assert(n == 16 || n == 32);
    float lane[16] = {0}, most = 0.0f, heaviest = 0.0f;
    for (int k = 0; k < n_parts; k++)
        for (int i = 0; i < n; i += 16)
            for (int l = 0; l < 16; l++) {
                const float x = p[k].x[i + l] = clean(src[k * n + i + l]), a = fabsf(x);
                lane[l] = a > lane[l] ? a : lane[l];
            }
    for (int l = 0; l < 16; l++) most = lane[l] > most ? lane[l] : most;
    if (weight)
        for (int i = 0; i < n_parts * n; i++) {
            const float w = clean_weight(weight[i]);
            heaviest = w > heaviest ? w : heaviest;
        }
    if (most < BLOCK_TINY) return 0.0f;
    const bool is_even = heaviest < 0x1p-126f; /* also when there are none */
    const float power = power_below(most), inverse = 1.0f / power;
    const float lighter = is_even ? 1.0f : 1.0f / power_below(heaviest);
    for (int k = 0; k < n_parts; k++) {
        p[k].n = n;
        for (int i = 0; i < n; i++) {
            p[k].x[i] *= inverse;
            p[k].w[i] = is_even ? 1.0f : clean_weight(weight[k * n + i]) * lighter;
        }
        if (n == 16)
            part_sum(&p[k], 16);
        else
            part_sum(&p[k], 32);
    }
    return power;
}

/* To the nearest, halves to even, by the adder; |x| < 2^22. */
INLINE float round_even(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

INLINE struct part_sums round_n(const struct part *p, float inverse, float m, const struct grid *g,
                                int8_t *to, int n)
{
    const float lo = g->lo, hi = g->hi;
    float a[PART_MAX], b[PART_MAX], c[PART_MAX], r[PART_MAX];
    for (int i = 0; i < n; i++) {
        float t = (p->x[i] + m) * inverse;
        t = t < lo ? lo : t;
        t = t > hi ? hi : t;
        const float q = round_even(t);
        r[i] = q;
        a[i] = p->w[i] * q;
        b[i] = a[i] * q;
        c[i] = p->wx[i] * q;
    }
    if (to)
        for (int i = 0; i < n; i++) to[i] = (int8_t)r[i];
    return (struct part_sums){.q = fold(a, n), .qq = fold(b, n), .xq = fold(c, n)};
}

/* The same for a grid of values: a value is passed at its midpoint with the next one. */
INLINE struct part_sums round_values(const struct part *p, float inverse, const struct grid *g,
                                     int8_t *to, int n)
{
    float b[PART_MAX], c[PART_MAX], v[PART_MAX], r[PART_MAX];
    for (int i = 0; i < n; i++) {
        v[i] = g->lo;
        r[i] = 0.0f;
    }
    for (int k = 0; k < 15; k++) {
        const float step = g->values[k + 1] - g->values[k];
        const float middle = 0.5f * (g->values[k] + g->values[k + 1]);
        for (int i = 0; i < n; i++) v[i] += p->x[i] * inverse >= middle ? step : 0.0f;
        if (to)
            for (int i = 0; i < n; i++) r[i] += p->x[i] * inverse >= middle ? 1.0f : 0.0f;
    }
    for (int i = 0; i < n; i++) {
        b[i] = p->w[i] * v[i] * v[i];
        c[i] = p->wx[i] * v[i];
    }
    if (to)
        for (int i = 0; i < n; i++) to[i] = (int8_t)r[i];
    return (struct part_sums){.qq = fold(b, n), .xq = fold(c, n)};
}

void part_round_plain(struct part_sums *sums, const struct part *p, const struct trial *t, int n,
                      const struct grid *g, int8_t *q)
{
    for (int i = 0; i < n; i++)
        if (p->n == 16)
            sums[i] = q ? round_n(p, t[i].inverse, t[i].m, g, q, 16)
                        : round_n(p, t[i].inverse, t[i].m, g, NULL, 16);
        else
            sums[i] = q ? round_n(p, t[i].inverse, t[i].m, g, q, 32)
                        : round_n(p, t[i].inverse, t[i].m, g, NULL, 32);
}

INLINE struct trial trial_of(float s, float m)
{
    return (struct trial){.inverse = fabsf(s) > 1e-18f ? 1.0f / s : 0.0f, .m = m};
}

struct part_sums part_round(const struct part *p, float s, float m, const struct grid *g, int8_t *q)
{
    const struct trial t = trial_of(s, m);
    struct part_sums sums;
    if (g->values)
        return q ? round_values(p, t.inverse, g, q, 32) : round_values(p, t.inverse, g, NULL, 32);
    part_round_best()(&sums, p, &t, 1, g, q);
    return sums;
}

/* The sums of n trials. */
static void part_try(struct part_sums *sums, const struct part *p, const struct trial *t, int n,
                     const struct grid *g)
{
    if (g->values)
        for (int i = 0; i < n; i++) sums[i] = round_values(p, t[i].inverse, g, NULL, 32);
    else
        part_round_best()(sums, p, t, n, g, NULL);
}

/* ---- one scale ---- */

/* How much of sum w x x the best s for these q explains. */
static float gain(const struct part_sums *a) { return a->qq > 0.0f ? a->xq * a->xq / a->qq : 0.0f; }

/* The element of largest size that has weight, the first of two; 0 if there is none. Without a
 * branch an element, whose outcome nothing can foretell. */
static float part_peak(const struct part *p)
{
    float up[16] = {0}, down[16] = {0}, high = 0.0f, low = 0.0f;
    for (int i = 0; i < p->n; i += 16)
        for (int l = 0; l < 16; l++) {
            const float x = p->w[i + l] > 0.0f ? p->x[i + l] : 0.0f;
            up[l] = x > up[l] ? x : up[l];
            down[l] = x < down[l] ? x : down[l];
        }
    for (int l = 0; l < 16; l++) {
        high = up[l] > high ? up[l] : high;
        low = down[l] < low ? down[l] : low;
    }
    if (high != -low) return high > -low ? high : low;
    for (int i = 0; i < p->n; i++)
        if (p->w[i] > 0.0f && fabsf(p->x[i]) == high) return p->x[i];
    return 0.0f;
}

float part_fit_scale(const struct part *p, const struct grid *g)
{
    /* The last integer on one side stands for such a part of the largest element. */
    static const float reach[] = {0.8f, 0.9f, 0.95f, 1.0f, 1.05f, 1.1f};
    const float peak = part_peak(p);
    if (fabsf(peak) < 1e-15f) return 0.0f;
    struct trial t[2 * ARRAY_LEN(reach)];
    struct part_sums sums[ARRAY_LEN(t)], most = {.xq = peak / g->lo, .qq = 1.0f};
    float best_gain = 0.0f;
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        t[i] = trial_of(peak * reach[i % ARRAY_LEN(reach)] / (i < ARRAY_LEN(reach) ? g->lo : g->hi),
                        0.0f);
    part_try(sums, p, t, ARRAY_LEN(t), g);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        const float explained = gain(&sums[i]);
        if (explained <= best_gain) continue;
        best_gain = explained;
        most = sums[i];
    }
    float best = most.xq / most.qq;
    for (int step = 0; step < 3; step++) {
        const struct part_sums a = part_round(p, best, 0.0f, g, NULL);
        const float explained = gain(&a);
        if (explained <= best_gain) break;
        best_gain = explained;
        best = a.xq / a.qq;
    }
    return best;
}

/* ---- scale and minimum ---- */

struct pair {
    float s, m, error;
};

/* The regression of x on q. */
static struct pair regress(const struct part *p, const struct part_sums *a, bool is_min_negative)
{
    struct pair r = {0};
    const float det = p->sw * a->qq - a->q * a->q;
    if (det > 1e-6f * p->sw * a->qq) {
        r.s = (p->sw * a->xq - p->swx * a->q) / det;
        r.m = (a->q * a->xq - a->qq * p->swx) / det;
    }
    if (det <= 1e-6f * p->sw * a->qq || (is_min_negative && r.m < 0.0f)) {
        r.s = a->qq > 0.0f ? a->xq / a->qq : 0.0f;
        r.m = 0.0f;
    }
    if (r.s < 0.0f) r.s = 0.0f;
    r.error = part_error(p, a, r.s, r.m);
    return r;
}

void part_fit_pair(const struct part *p, const struct grid *g, bool is_min_negative, float *s,
                   float *m)
{
    /* The levels span such a part of the range of x and lie so within it: 0 low, 1 middle, 2 high.
     * Ends that stick out on one side are the other phases of the lattice. Chosen by error and time
     * on normal data; five times as many starts take 0.5 % off the error. */
    static const struct {
        float span, shift;
    } start[] = {
        /* clang-format off */
        {1.00f, 1.0f}, {0.93f, 1.0f}, {0.78f, 1.0f},
        {1.06f, 0.0f}, {1.02f, 0.0f}, {0.98f, 0.0f}, {0.94f, 0.0f}, {0.89f, 0.0f},
        {1.06f, 2.0f}, {1.02f, 2.0f}, {0.98f, 2.0f}, {0.94f, 2.0f}, {0.89f, 2.0f},
        /* clang-format on */
    };
    float least = is_min_negative ? 0.0f : p->x[0], most = p->x[0];
    for (int i = 0; i < p->n; i++) {
        least = p->x[i] < least ? p->x[i] : least;
        most = p->x[i] > most ? p->x[i] : most;
    }
    const float range = most - least;
    *s = 0.0f;
    *m = -least;
    if (range < 1e-15f) return;
    struct pair best = {.s = range / g->hi, .m = -least, .error = INFINITY};
    struct trial t[ARRAY_LEN(start)];
    struct part_sums sums[ARRAY_LEN(start)];
    for (size_t c = 0; c < ARRAY_LEN(start); c++) {
        float from = least + 0.5f * start[c].shift * (1.0f - start[c].span) * range;
        if (is_min_negative && from > 0.0f) from = 0.0f;
        t[c] = trial_of(start[c].span * range / g->hi, -from);
    }
    part_try(sums, p, t, ARRAY_LEN(start), g);
    for (size_t c = 0; c < ARRAY_LEN(start); c++) {
        const struct pair r = regress(p, &sums[c], is_min_negative);
        if (r.error < best.error) best = r;
    }
    for (int step = 0; step < 3; step++) {
        const struct part_sums a = part_round(p, best.s, best.m, g, NULL);
        const struct pair r = regress(p, &a, is_min_negative);
        if (!(r.error < best.error)) break;
        best = r;
    }
    *s = best.s;
    *m = best.m;
}
