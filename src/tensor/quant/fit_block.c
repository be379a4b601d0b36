/* SPDX-License-Identifier: Apache-2.0
 *
 * fit_block.c - the integer scales of a block's parts and the float16 that they multiply.
 *
 * The best scale of each part alone (fit.c); d from the largest; for each part the integer scale
 * with the least error among the nearest; d again by regression over the block, now that all
 * integers are known; the integers again. Another round takes under 0.1 % off the error.
 */
#include <math.h>
#include <string.h>

#include "tensor/quant/quant.h"

static int clamp_int(float x, int lo, int hi)
{
    const float r = rintf(x);
    return r < (float)lo ? lo : r > (float)hi ? hi : (int)r;
}

/* The integer scale for part p, given d. */
static int best_scale(const struct part *p, const struct scales_form *f, float d, float wanted)
{
    const int near = clamp_int(wanted / d, f->s_lo, f->s_hi);
    int best = near;
    float least = INFINITY;
    for (int s = near - f->n_near; s <= near + f->n_near && f->n_near > 0; s++) {
        if (s < f->s_lo || s > f->s_hi) continue;
        const struct part_sums a = part_round(p, d * (float)s, 0.0f, &f->grid, NULL);
        const float e = part_error(p, &a, d * (float)s, 0.0f);
        if (e >= least) continue;
        least = e;
        best = s;
    }
    return best;
}

/* Rounds all parts; returns the d that fits best then, or `d` where that is not defined. */
static float round_all(struct scaled_block *b, const struct part *p, const struct scales_form *f,
                       float d)
{
    float up = 0.0f, down = 0.0f;
    for (int k = 0; k < f->n_parts; k++) {
        const float s = (float)b->s[k];
        const struct part_sums a = part_round(&p[k], d * s, 0.0f, &f->grid, &b->q[k * f->part]);
        up += s * a.xq;
        down += s * s * a.qq;
    }
    return down > 0.0f && up != 0.0f ? up / down : d;
}

void block_fit_scales(struct scaled_block *b, uint8_t *d_at, const float *src, const float *weight,
                      const struct scales_form *f)
{
    struct part p[SUPER / 16];
    float want[SUPER / 16], widest = 0.0f;
    memset(b, 0, sizeof *b);
    (void)put_f16(d_at, 0.0f);
    const float power = parts_load(p, f->n_parts, f->part, src, weight);
    if (power == 0.0f) return;
    for (int k = 0; k < f->n_parts; k++) {
        want[k] = part_fit_scale(&p[k], &f->grid);
        if (fabsf(want[k]) > fabsf(widest)) widest = want[k];
    }
    if (widest == 0.0f) return;
    float d = put_scale_above(d_at, widest / (float)f->s_lo * power) / power;
    for (int k = 0; k < f->n_parts; k++) b->s[k] = (int8_t)best_scale(&p[k], f, d, want[k]);
    d = put_scale(d_at, round_all(b, p, f, d) * power) / power;
    (void)round_all(b, p, f, d);
}
