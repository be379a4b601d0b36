/* SPDX-License-Identifier: Apache-2.0
 *
 * step_truncate.c - top-k, locally typical, top-p and min-p: which tokens may be drawn at all.
 *
 *   top-k    the k greatest (Fan et al. 2018)
 *   typical  in rising order of |surprise - entropy|, until their p together passes t
 *            (Meister et al. 2022, section 4)
 *   top-p    in falling order, until their p together reaches P: the token that crosses stays
 *            (Holtzman et al. 2019, eq. 3)
 *   min-p    those with p >= m * p of the greatest (Nguyen et al. 2024)
 *
 * Each sees the softmax of what the steps before it left, at temperature 1, since temperature comes
 * after them in the chain. Each leaves at least one token.
 *
 * top-p needs the tokens in order, but never knows how many: it sorts 256, then 4,096, then all.
 */
#include "infer/chain.h"

#include <math.h>

/* First of the candidates' steps, so it reads the vocabulary itself. */
void top_k_apply(struct sampler *s) { candidates_fill_top(s->c, s->logits, s->params.top_k); }

static double entropy(const struct candidates *c)
{
    double h = 0;
    for (int32_t i = 0; i < c->n; i++)
        if (c->item[i].p > 0) h -= (double)c->item[i].p * log((double)c->item[i].p);
    return h;
}

/* How far a token's surprise is from the expected one, negated: falling order is what sorts. */
static float typicality(const struct candidate *x, double h)
{
    return x->p > 0 ? -fabsf((float)(-log((double)x->p) - h)) : -INFINITY;
}

/* Keeps in place what is more typical than `bound`, and the first n_equal that are as typical. */
static void keep_typical(struct candidates *c, double h, float bound, int32_t n_equal)
{
    int32_t n = 0, n_sorted = 0;
    for (int32_t i = 0; i < c->n; i++) {
        const float t = typicality(&c->item[i], h);
        if (t < bound || (t == bound && n_equal-- <= 0)) continue;
        if (i < c->n_sorted) n_sorted++;
        c->item[n++] = c->item[i];
    }
    c->n = n;
    c->n_sorted = n_sorted;
}

void typical_apply(struct sampler *s)
{
    struct candidates *c = s->c;
    candidates_softmax(c);
    const double h = entropy(c);
    for (int32_t i = 0; i < c->n; i++) {
        c->spare[i] = c->item[i];
        c->spare[i].logit = typicality(&c->item[i], h);
    }
    candidates_sort(c->spare, c->scratch, c->n);
    int32_t n = 0, n_equal = 0;
    for (double sum = 0; n < c->n && sum <= (double)s->params.typical_p; n++)
        sum += (double)c->spare[n].p;
    const float bound = c->spare[n - 1].logit;
    while (n_equal < n && c->spare[n - 1 - n_equal].logit == bound) n_equal++;
    keep_typical(c, h, bound, n_equal);
}

void top_p_apply(struct sampler *s)
{
    struct candidates *c = s->c;
    candidates_softmax(c);
    double sum = 0;
    int32_t n = 0;
    for (int32_t n_front = 256; n < c->n; n_front *= 16) {
        candidates_sort_front(c, n_front);
        while (n < c->n_sorted) {
            sum += (double)c->item[n++].p;
            if (sum < (double)s->params.top_p) continue;
            candidates_keep(c, n);
            return;
        }
    }
}

void min_p_apply(struct sampler *s)
{
    struct candidates *c = s->c;
    candidates_sort_front(c, 1);
    const float bound = c->item[0].logit + logf(s->params.min_p);
    int32_t n = 1, n_sorted = 1;
    for (int32_t i = 1; i < c->n; i++) {
        if (c->item[i].logit < bound) continue;
        if (i < c->n_sorted) n_sorted++;
        c->item[n++] = c->item[i];
    }
    c->n = n;
    c->n_sorted = n_sorted;
}
