/* SPDX-License-Identifier: Apache-2.0
 *
 * request.c - what a caller asks for: checked, copied, given a number that can be cancelled.
 *
 * All memory that a request needs is taken here, so that running it allocates nothing and cannot
 * fail for want of memory. How many pages it may come to hold is settled here too: the scheduler
 * begins it only when that many are free of promises (E2). Requests of unknown length (n_predict
 * -1) therefore count as full contexts; a server that wants more of them at once sets a limit.
 *
 * Cancelling comes from signal handlers and other threads, so it is one store: cell[handle %
 * 2048] gets the handle. Live handles never share a cell, because a handle whose cell is in use
 * is skipped; a late cancel of an ended request is harmless, since a larger handle is never
 * overwritten by a smaller one and the smaller is nobody's.
 */
#include "infer/engine_parts.h"

#include <stdlib.h>
#include <string.h>

struct request_params request_defaults(void)
{
    return (struct request_params){
        .n_predict = -1,
        .n_answers = 1,
        .sampling = sampler_defaults(),
    };
}

static bool check_prompt(const struct engine *e, const struct request_params *p, struct err *err)
{
    if (p->n_prompt < 1 || !p->prompt)
        return err_set(err, ERR_USAGE, "prompt: %d tokens; give at least one (BOS)",
                       (int)p->n_prompt);
    if (p->n_prompt > e->n_ctx)
        return err_set(
            err, ERR_LIMIT,
            "prompt: %d tokens do not fit the context of %d; shorten it or raise n_ctx (--ctx)",
            (int)p->n_prompt, (int)e->n_ctx);
    for (int32_t i = 0; i < p->n_prompt; i++)
        if (p->prompt[i] < 0 || p->prompt[i] >= e->n_vocab)
            return err_set(err, ERR_USAGE, "prompt: id %d at %d is no token; give 0 to %d",
                           (int)p->prompt[i], (int)i, (int)e->n_vocab - 1);
    return true;
}

static bool check_params(const struct engine *e, const struct request_params *p, struct err *err)
{
    if (p->n_predict < -1)
        return err_set(err, ERR_USAGE, "n_predict: %d; give -1 (no limit) or more",
                       (int)p->n_predict);
    if (p->n_answers < 1 || p->n_answers > e->n_seqs)
        return err_set(err, ERR_USAGE, "n_answers: %d; give 1 to %d (n_seqs of the engine)",
                       (int)p->n_answers, (int)e->n_seqs);
    if (p->shifts_context && (p->n_keep < 0 || p->n_keep >= e->n_ctx))
        return err_set(err, ERR_USAGE, "n_keep: %d; give 0 to %d (the context less one)",
                       (int)p->n_keep, (int)e->n_ctx - 1);
    if (p->n_shown < 0 || p->n_shown > ENGINE_MAX_SHOWN)
        return err_set(err, ERR_USAGE, "n_shown: %d; give 0 to %d", (int)p->n_shown,
                       ENGINE_MAX_SHOWN);
    if (p->grammar && p->ignores_eos)
        return err_set(
            err, ERR_USAGE,
            "ignores_eos with a grammar: the grammar says where the answer may end; give "
            "one of them");
    if (p->score_from < 0 || p->score_from > p->n_prompt)
        return err_set(err, ERR_USAGE, "score_from: %d; give 0 to %d (the prompt)",
                       (int)p->score_from, (int)p->n_prompt);
    if (p->pooling && (p->n_answers > 1 || p->grammar || p->n_stop || p->score_from))
        return err_set(err, ERR_USAGE,
                       "pooling with several answers, a grammar, stops or score_from; give it "
                       "alone, there is no answer but the vector");
    if ((p->adapter || e->adapter) && !e->takes_adapters)
        return err_set(err, ERR_USAGE, "adapter: this engine was made without takes_adapters");
    if (p->grammar && !model_require_tokenizer(e->model, err)) return err_wrap(err, "grammar");
    if (p->n_stop != 0 && !model_require_tokenizer(e->model, err)) return err_wrap(err, "stop");
    return check_prompt(e, p, err);
}

static int64_t pages_of(int64_t n_tok) { return (n_tok + KV_PAGE_TOK - 1) / KV_PAGE_TOK; }

/* The most pages its answers can hold: whole pages of the prompt are shared, unless a shift
 * re-reads them. */
static int64_t most_pages(const struct engine *e, const struct request_params *p)
{
    int64_t n_most = e->n_ctx;
    if (p->n_predict >= 0 && p->n_predict < e->n_ctx - p->n_prompt)
        n_most = p->n_prompt + p->n_predict;
    const int64_t n_shared = p->shifts_context ? 0 : p->n_prompt / KV_PAGE_TOK;
    return n_shared + p->n_answers * (pages_of(n_most) - n_shared);
}

static int64_t next_handle(struct engine *e)
{
    do e->last_handle++;
    while (e->cell_used[e->last_handle % N_CANCEL_CELLS]);
    return e->last_handle;
}

void engine_cancel(struct engine *e, int64_t handle)
{
    if (handle <= 0) return;
    _Atomic int64_t *cell = &e->cell[handle % N_CANCEL_CELLS];
    int64_t seen = atomic_load_explicit(cell, memory_order_relaxed);
    while (seen < handle && !atomic_compare_exchange_weak(cell, &seen, handle)) continue;
}

bool request_is_cancelled(const struct engine *e, const struct request *r)
{
    /* no data comes with the flag: relaxed, and seen at the next step */
    return r->is_cancelled || atomic_load_explicit(&e->cell[r->handle % N_CANCEL_CELLS],
                                                   memory_order_relaxed) == r->handle;
}

static bool make_samplers(struct engine *e, struct request *r, const struct request_params *p,
                          struct err *err)
{
    r->sampler = calloc((size_t)p->n_answers, sizeof(struct sampler *));
    if (!r->sampler) return err_set(err, ERR_MEMORY, "no memory for the request");
    struct sampler_params sp = p->sampling;
    for (int32_t i = 0; i < p->n_answers; i++, sp.seed++) {
        struct sampler *s = sampler_new_shared(&sp, e->n_vocab, e->tokenizer, e->work, err);
        if (!s) return false;
        for (int32_t j = 0; j < p->n_prompt; j++) sampler_accept(s, p->prompt[j]);
        r->sampler[i] = s;
    }
    return true;
}

static bool bind(struct engine *e, struct request *r, struct grammar *g, struct err *err)
{
    if (!g) return true;
    r->masks = masks_open(e, g, err);
    if (!r->masks) return false;
    r->constraint = calloc((size_t)r->params.n_answers, sizeof *r->constraint);
    if (!r->constraint) return err_set(err, ERR_MEMORY, "no memory for the request");
    for (int32_t i = 0; i < r->params.n_answers; i++)
        if (!constraint_begin(&r->constraint[i], masks_of(r->masks), err)) return false;
    return true;
}

struct request *request_new(struct engine *e, const struct request_params *p, struct err *err)
{
    if (!check_params(e, p, err)) return NULL;
    const int64_t n_pages = p->pooling ? pages_of(p->n_prompt) : most_pages(e, p);
    if (n_pages > e->n_pages) {
        err_set(err, ERR_LIMIT,
                "n_answers: %d answers may come to %lld pages of %d positions, the cache has %lld; "
                "ask for fewer, set n_predict, or raise cache_tok",
                (int)p->n_answers, (long long)n_pages, KV_PAGE_TOK, (long long)e->n_pages);
        return NULL;
    }
    struct request *r = calloc(1, sizeof *r);
    if (r) r->prompt = malloc((size_t)p->n_prompt * sizeof *r->prompt);
    if (!r || !r->prompt) {
        request_free(e, r);
        err_set(err, ERR_MEMORY, "no memory for the request");
        return NULL;
    }
    r->params = *p;
    r->params.grammar = NULL; /* held by the masks */
    r->params.adapter = lora_hold(p->adapter ? p->adapter : e->adapter);
    if (p->pooling) r->params.n_predict = 0;
    r->n_left = p->n_answers;
    r->n_pages = n_pages;
    memcpy(r->prompt, p->prompt, (size_t)p->n_prompt * sizeof *r->prompt);
    const bool ok = p->pooling
                        ? pool_init(&r->pool, p->pooling, model_config(e->model)->d_model, err)
                        : stops_init(&r->stops, p->stop, p->n_stop, err) &&
                              make_samplers(e, r, p, err) && bind(e, r, p->grammar, err);
    if (!ok) {
        request_free(e, r);
        return NULL;
    }
    r->handle = next_handle(e);
    e->cell_used[r->handle % N_CANCEL_CELLS] = 1;
    return r;
}

void request_free(struct engine *e, struct request *r)
{
    if (!r) return;
    for (int32_t i = 0; r->sampler && i < r->params.n_answers; i++) sampler_free(r->sampler[i]);
    free(r->sampler);
    for (int32_t i = 0; r->constraint && i < r->params.n_answers; i++)
        constraint_end(&r->constraint[i]);
    free(r->constraint);
    masks_close(e, r->masks);
    stops_release(&r->stops);
    pool_release(&r->pool);
    lora_close(r->params.adapter);
    free(r->prompt);
    free(r);
}
