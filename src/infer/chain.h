/* chain.h - what the steps of the sampler share. Private to the sampler.
 *
 * A step is a row of sampler_steps in sampler.c: when it is on, and what it does to the sampler's
 * state. Those of STAGE_LOGITS change c->logits [n_vocab] at single tokens; the one of STAGE_FILL
 * makes the candidates out of s->logits; those of STAGE_CUT see the candidates that are left
 * (invariants in candidates.h). Then one candidate is drawn.
 */
#ifndef CRIA_INFER_CHAIN_H
#define CRIA_INFER_CHAIN_H

#include "base/rng.h"
#include "infer/candidates.h"
#include "infer/sampler.h"

/* The last tokens of the answer's text, newest last, in a ring. */
struct history {
    int32_t *id;
    int32_t cap; /* 0: nobody looks back */
    int32_t n;   /* tokens held, at most cap */
    int32_t end; /* where the next one goes */
};

struct sampler {
    struct sampler_params params;
    struct candidates *c;     /* its own, or shared by the samplers of one thread */
    const float *logits;      /* of the pick under way, after the stage of the logits */
    const uint64_t *mask;     /* a bit a token that may be picked, or NULL */
    struct sampler_work *own; /* to be freed, or NULL */
    struct history past;
    struct logit_bias *bias;
    int32_t *run;      /* DRY: [past.cap] lengths of repeated runs */
    uint8_t *breakers; /* DRY: a bit a token */
    float mirostat_mu; /* the running bound on surprise, bits */
    struct rng rng;
    int32_t n_vocab;
};

/* The i-th newest token, i < past.n. */
static inline int32_t history_at(const struct history *h, int32_t i)
{
    const int32_t at = h->end - 1 - i;
    return h->id[at < 0 ? at + h->cap : at];
}

/* How many tokens a window of `last_n` (-1: all) looks back on. */
static inline int32_t history_window(const struct history *h, int32_t last_n)
{
    return last_n < 0 || last_n > h->n ? h->n : last_n;
}

/* The steps, each with its formula in its file. */
void bias_apply(struct sampler *s);
void penalties_apply(struct sampler *s);
void dry_apply(struct sampler *s);
/* Marks the tokens that hold one of the breaker characters: [n_vocab] bits, zeroed by the caller.
 */
void dry_mark_breakers(const struct sampler_params *p, const struct tokenizer *t, int32_t n_vocab,
                       uint8_t *breakers);
void top_k_apply(struct sampler *s);
void typical_apply(struct sampler *s);
void top_p_apply(struct sampler *s);
void min_p_apply(struct sampler *s);
void xtc_apply(struct sampler *s);
void temperature_apply(struct sampler *s);
void mirostat_apply(struct sampler *s);
/* Told after the draw what the drawn candidate's p was. */
void mirostat_learn(struct sampler *s, float p);

#endif
