/* SPDX-License-Identifier: Apache-2.0
 *
 * drafter.c - a smaller model that guesses what the large one will say.
 *
 * A guess is drawn with the random numbers that the answer's own sampler will use next. Where the
 * two models agree, the same numbers choose the same token, so guesses come true at high
 * temperatures too; and the answer takes only what its own sampler picks from its own logits, so
 * guessing changes nothing but time. (Leviathan et al. 2023, algorithm 1, draws guesses from
 * numbers of their own and corrects the distribution on refusal: right on average, but not the same
 * text for the same seed.)
 *
 * Nothing is told when an answer changes, ends or goes back: each time the slot's text is compared
 * with what was read, and reading goes on where they part.
 */
#include "infer/drafter.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

struct draft_line {
    int32_t seq;
    int32_t *ids; /* [n_ctx] what its sequence holds */
    int32_t n;
};

struct drafter {
    struct forward *forward;
    struct kv_cache *kv;
    struct draft_line *line; /* [n_slots] */
    int32_t n_slots, max_batch_tok;
    int32_t *pos, *seq; /* [max_batch_tok] */
};

static const char *name_of(const struct model *m)
{
    const struct model_info *i = model_info(m);
    return i->name ? i->name : i->path;
}

/* The first id that is not the same text of the same kind in both, or -1. */
static int32_t first_other(const struct vocab *a, const struct vocab *b)
{
    for (int32_t i = 0; i < a->n_tokens && i < b->n_tokens; i++) {
        const struct vocab_token *x = &a->tokens[i], *y = &b->tokens[i];
        if (x->n_bytes != y->n_bytes || memcmp(x->bytes, y->bytes, x->n_bytes) != 0 ||
            x->kind != y->kind)
            return i;
    }
    return -1;
}

bool drafter_check(const struct model *m, const struct model *draft, struct err *err)
{
    const int32_t n = model_config(m)->n_vocab, n_draft = model_config(draft)->n_vocab;
    if (n != n_draft)
        return err_set(
            err, ERR_USAGE,
            "draft model %s: it has %d tokens and %s has %d; give a smaller model of the "
            "same family",
            name_of(draft), (int)n_draft, name_of(m), (int)n);
    const struct tokenizer *t = model_tokenizer(m), *t_draft = model_tokenizer(draft);
    const int32_t i = t && t_draft ? first_other(tokenizer_vocab(t), tokenizer_vocab(t_draft)) : -1;
    return i < 0 ||
           err_set(err, ERR_USAGE,
                   "draft model %s: its token %d is not that of %s; give a smaller model of "
                   "the same family",
                   name_of(draft), (int)i, name_of(m));
}

/* Whole pages for each slot, so that the cache is never full. */
static int64_t cache_tok(const struct drafter_options *o)
{
    const int64_t n = ((int64_t)o->n_ctx + KV_PAGE_TOK - 1) / KV_PAGE_TOK * KV_PAGE_TOK;
    return n * o->n_slots;
}

bool drafter_plan(const struct drafter_options *o, int n_threads, size_t *cache_bytes,
                  size_t *work_bytes)
{
    const struct model_config *c = model_config(o->model);
    const size_t tok_bytes = config_kv_bytes(c, o->kv_dtype);
    *work_bytes = forward_plan_bytes(c, o->ops, n_threads, o->max_batch_tok, 1, o->n_ctx);
    return tok_bytes > 0 && size_mul(tok_bytes, (size_t)cache_tok(o), cache_bytes);
}

static bool open_lines(struct drafter *d, int32_t n_ctx, struct err *err)
{
    d->line = calloc((size_t)d->n_slots, sizeof *d->line);
    for (int32_t i = 0; d->line && i < d->n_slots; i++) {
        struct draft_line *l = &d->line[i];
        l->ids = calloc((size_t)n_ctx, sizeof *l->ids);
        l->seq = l->ids ? kv_cache_open_seq(d->kv, err) : -1;
        if (l->seq < 0) return err_set(err, ERR_MEMORY, "no memory for the draft model's texts");
    }
    return d->line || err_set(err, ERR_MEMORY, "no memory for the draft model's texts");
}

static bool make_batch(struct drafter *d, struct err *err)
{
    const size_t n = (size_t)d->max_batch_tok;
    d->pos = calloc(n, sizeof *d->pos);
    d->seq = calloc(n, sizeof *d->seq);
    return (d->pos && d->seq) ||
           err_set(err, ERR_MEMORY, "no memory for the draft model's batches of %d tokens", (int)n);
}

struct drafter *drafter_new(const struct drafter_options *o, struct err *err)
{
    struct drafter *d = calloc(1, sizeof *d);
    if (!d) {
        err_set(err, ERR_MEMORY, "no memory for the draft model");
        return NULL;
    }
    d->n_slots = o->n_slots;
    d->max_batch_tok = o->max_batch_tok;
    d->forward = forward_new(o->model, o->ops, o->team, o->max_batch_tok, 1, o->n_ctx, err);
    if (d->forward)
        d->kv = kv_cache_new(model_config(o->model), o->kv_dtype, cache_tok(o), o->n_slots,
                             o->ops->memory, err);
    if (d->kv && open_lines(d, o->n_ctx, err) && make_batch(d, err)) return d;
    drafter_free(d);
    return NULL;
}

void drafter_free(struct drafter *d)
{
    if (!d) return;
    for (int32_t i = 0; d->line && i < d->n_slots; i++) free(d->line[i].ids);
    free(d->line);
    kv_cache_free(d->kv);
    forward_free(d->forward);
    free(d->pos);
    free(d->seq);
    free(d);
}

/* Appends ids [n] to the line; `logits` are those behind the last one. */
static bool feed(struct drafter *d, struct draft_line *l, const int32_t *ids, int32_t n,
                 const float **logits, struct err *err)
{
    for (int32_t at = 0; at < n;) {
        const int32_t n_here = n - at < d->max_batch_tok ? n - at : d->max_batch_tok;
        int32_t n_rows = 0;
        for (int32_t i = 0; i < n_here; i++) {
            d->pos[i] = l->n + i;
            d->seq[i] = l->seq;
        }
        const struct batch b = {.n_tok = n_here, .token = ids + at, .pos = d->pos, .seq = d->seq};
        if (!forward_run(d->forward, d->kv, &b, logits, &n_rows, err))
            return err_wrap(err, "draft model");
        memcpy(l->ids + l->n, ids + at, (size_t)n_here * sizeof *ids);
        l->n += n_here;
        at += n_here;
    }
    return true;
}

bool drafter_guess(struct drafter *d, int32_t slot, const int32_t *ids, int32_t n_ids,
                   const struct sampler *s, int32_t *out, int32_t n, struct err *err)
{
    struct draft_line *l = &d->line[slot];
    struct rng rng = sampler_rng(s);
    const float *logits = NULL;
    int32_t n_same = 0;
    /* the last one is always read, for its logits */
    while (n_same < l->n && n_same < n_ids - 1 && l->ids[n_same] == ids[n_same]) n_same++;
    kv_cache_trim(d->kv, l->seq, n_same);
    l->n = n_same;
    if (!feed(d, l, ids + n_same, n_ids - n_same, &logits, err)) return false;
    for (int32_t i = 0; i < n; i++) {
        out[i] = sampler_would_pick(s, logits, &rng);
        if (i + 1 < n && !feed(d, l, &out[i], 1, &logits, err)) return false;
    }
    return true;
}
