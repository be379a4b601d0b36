/* SPDX-License-Identifier: Apache-2.0
 *
 * step_draw.c - XTC, temperature and mirostat v2: the steps next to the draw.
 *
 *   xtc          with probability q: of the tokens with p >= threshold drop all but the least
 *                likely one ("exclude top choices", p-e-w, oobabooga/text-generation-webui pull
 *                request 6335). Line ends and end tokens get no exception here, as in llama.cpp.
 *   temperature  l / T, taken from the greatest down, so that a tiny T cannot overflow
 *   mirostat v2  drop tokens whose surprise -log2(p) exceeds mu; after the draw
 *                mu -= eta * (surprise of the drawn token - tau); mu begins at 2 tau
 *                (Basu et al. 2021, "Mirostat", algorithm 2)
 *
 * XTC takes one random number from the sampler's stream whenever it is on, whatever it then does,
 * so that the numbers of later draws do not depend on the logits.
 */
#include "infer/chain.h"

#include <float.h>
#include <math.h>

void xtc_apply(struct sampler *s)
{
    struct candidates *c = s->c;
    const bool acts = rng_f64(&s->rng) < (double)s->params.xtc_probability;
    const float threshold = s->params.xtc_threshold;
    if (!acts || c->n < 2 || threshold > 0.5f) return;
    candidates_softmax(c);
    /* probabilities sum to 1: no more than 1 / threshold of them can reach it */
    const float n_most = 1.0f / threshold + 1.0f;
    candidates_sort_front(c, n_most < (float)c->n ? (int32_t)n_most : c->n);
    int32_t n_top = 0;
    while (n_top < c->n_sorted && c->item[n_top].p >= threshold) n_top++;
    if (n_top < 2) return;
    const int32_t n_dropped = n_top - 1;
    for (int32_t i = n_dropped; i < c->n; i++) c->item[i - n_dropped] = c->item[i];
    c->n -= n_dropped;
    c->n_sorted -= n_dropped;
}

void temperature_apply(struct sampler *s)
{
    struct candidates *c = s->c;
    candidates_sort_front(c, 1);
    const float max = c->item[0].logit, t = s->params.temperature;
    for (int32_t i = 0; i < c->n; i++)
        c->item[i].logit = fmaxf((c->item[i].logit - max) / t, -FLT_MAX);
}

void mirostat_apply(struct sampler *s)
{
    struct candidates *c = s->c;
    candidates_softmax(c);
    const float p_least = exp2f(-s->mirostat_mu);
    candidates_sort_front(c, 1);
    int32_t n = 1, n_sorted = 1;
    for (int32_t i = 1; i < c->n; i++) {
        if (c->item[i].p < p_least) continue;
        if (i < c->n_sorted) n_sorted++;
        c->item[n++] = c->item[i];
    }
    c->n = n;
    c->n_sorted = n_sorted;
}

void mirostat_learn(struct sampler *s, float p)
{
    const float surprise = -log2f(fmaxf(p, 1e-30f));
    s->mirostat_mu -= s->params.mirostat_eta * (surprise - s->params.mirostat_tau);
}
