/* SPDX-License-Identifier: Apache-2.0
 *
 * step_penalties.c - logit bias, and the penalties on what was said lately.
 *
 *   bias        l[id] += bias                            -inf bans
 *   repetition  l = l > 0 ? l / r : l * r                for every token of the window
 *               (Keskar et al. 2019, "CTRL", eq. 2, with the usual repair for negative logits: the
 *               paper's plain division would make those likelier)
 *   frequency   l -= f * times in the window
 *   presence    l -= a                                   if in the window at all
 *
 * The window is the last penalty_last_n tokens, the prompt's included. A token is counted once by
 * walking the window twice over a table of counts that is zero before and after (I3), so the cost
 * is the window's and not the vocabulary's.
 */
#include "infer/chain.h"

void bias_apply(struct sampler *s)
{
    for (int32_t i = 0; i < s->params.n_bias; i++) s->c->logits[s->bias[i].id] += s->bias[i].bias;
}

void penalties_apply(struct sampler *s)
{
    const struct sampler_params *p = &s->params;
    const int32_t n = history_window(&s->past, p->penalty_last_n);
    int32_t *count = s->c->count;
    for (int32_t i = 0; i < n; i++) count[history_at(&s->past, i)]++;
    for (int32_t i = 0; i < n; i++) {
        const int32_t id = history_at(&s->past, i);
        if (count[id] == 0) continue; /* done at an earlier place in the window */
        float *l = &s->c->logits[id];
        *l = *l > 0 ? *l / p->repeat_penalty : *l * p->repeat_penalty;
        *l -= (float)count[id] * p->frequency_penalty + p->presence_penalty;
        count[id] = 0;
    }
}
