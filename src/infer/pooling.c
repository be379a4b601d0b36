/* SPDX-License-Identifier: Apache-2.0
 *
 * pooling.c - from the last hidden states of a text's tokens to one vector of length 1.
 *
 * A causal model's early tokens have seen little of the text, so besides the plain mean there is
 * the mean with rising weights (Muennighoff 2022, SGPT: w_i = i / sum of all, i from 1), and the
 * last token alone, which has seen all: for prompts that ask for a summary in one word, and for
 * models trained to put it there. Sums are in double: some columns of Llama's states are a hundred
 * times the rest.
 *
 * Begin reading at pool_add().
 */
#include "infer/pooling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"mean", "weighted", "last", NULL};

const char *const *pooling_names(void) { return names; }

enum pooling pooling_by_name(const char *name)
{
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0) return (enum pooling)(POOL_MEAN + i);
    return POOL_NONE;
}

bool pooling_is_of_last(enum pooling how) { return how == POOL_LAST; }

bool pool_init(struct pool *p, enum pooling how, int32_t d, struct err *err)
{
    *p = (struct pool){.how = how, .d = d};
    p->sum = calloc((size_t)d, sizeof *p->sum);
    p->unit = calloc((size_t)d, sizeof *p->unit);
    if (p->sum && p->unit) return true;
    pool_release(p);
    return err_set(err, ERR_MEMORY, "no memory for a vector of %d numbers", (int)d);
}

void pool_release(struct pool *p)
{
    free(p->sum);
    free(p->unit);
    p->sum = NULL;
    p->unit = NULL;
}

void pool_add(struct pool *p, int32_t i, const float *state)
{
    const double weight = p->how == POOL_WEIGHTED ? (double)i + 1 : 1;
    for (int32_t k = 0; k < p->d; k++) p->sum[k] += weight * (double)state[k];
}

/* A vector of zeros has no direction and stays one. */
static double inverse_length(double sum_sq) { return sum_sq > 0 ? 1 / sqrt(sum_sq) : 0; }

const float *pool_finish(struct pool *p)
{
    double sum_sq = 0;
    for (int32_t k = 0; k < p->d; k++) sum_sq += p->sum[k] * p->sum[k];
    const double scale = inverse_length(sum_sq); /* no need to divide by the weights' sum before */
    for (int32_t k = 0; k < p->d; k++) p->unit[k] = (float)(p->sum[k] * scale);
    return p->unit;
}

void pool_shorten(float *v, int32_t n)
{
    double sum_sq = 0;
    for (int32_t k = 0; k < n; k++) sum_sq += (double)v[k] * (double)v[k];
    const double scale = inverse_length(sum_sq);
    for (int32_t k = 0; k < n; k++) v[k] = (float)((double)v[k] * scale);
}
