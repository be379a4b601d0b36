/* SPDX-License-Identifier: Apache-2.0
 *
 * engine.c - the engine's life: its options, its memory plan, the queue's entrance, and scoring.
 *
 * Everything a step needs is made here, so that a step allocates nothing: threads, activations,
 * cache, token lists, batch arrays, the sampler's work memory. The sum of cache and activations is
 * compared with what the machine has before any of it is taken, so that a context that cannot fit
 * is refused with the figures and not by the kernel's out-of-memory killer.
 *
 * Begin reading at engine_new(); the step is in scheduler.c.
 */
#include "infer/engine_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/os.h"
#include "infer/drafter.h"

enum { DEFAULT_CTX = 8192, DEFAULT_BATCH = 512, MAX_CTX = 1 << 24, MAX_BATCH = 1 << 16 };

/* ---- options ---- */

static bool in_range(const char *name, int64_t v, int64_t min, int64_t max, struct err *err)
{
    if (v >= min && v <= max) return true;
    return err_set(err, ERR_USAGE, "%s: %" PRId64 " is out of range; give %" PRId64 " to %" PRId64,
                   name, v, min, max);
}

/* The options with defaults filled in, each in its range. */
static bool resolve(const struct model_config *c, const struct ops *ops, struct engine_options *o,
                    struct err *err)
{
    if (ops->memory) o->n_threads = 1; /* who only asks for the work */
    if (o->n_threads == 0) o->n_threads = os_cores();
    if (o->n_ctx == 0) o->n_ctx = c->n_ctx < DEFAULT_CTX ? c->n_ctx : DEFAULT_CTX;
    if (o->n_seqs == 0) o->n_seqs = 1;
    if (o->max_batch_tok == 0) o->max_batch_tok = DEFAULT_BATCH;
    if (o->kv_dtype == DT_COUNT) o->kv_dtype = DT_F16;
    if (!in_range("n_threads", o->n_threads, 1, 512, err) ||
        !in_range("n_ctx", o->n_ctx, 1, MAX_CTX, err) ||
        !in_range("n_seqs", o->n_seqs, 1, ENGINE_MAX_SEQS, err) ||
        !in_range("max_batch_tok", o->max_batch_tok, 1, MAX_BATCH, err) ||
        !in_range("max_logit_rows", o->max_logit_rows, 0, MAX_BATCH, err) ||
        !in_range("n_draft", o->n_draft, 0, ENGINE_MAX_DRAFT, err))
        return false;
    /* every running answer has its next token in each batch */
    if (o->max_batch_tok < o->n_seqs) o->max_batch_tok = o->n_seqs;
    if (o->max_logit_rows < o->n_seqs) o->max_logit_rows = o->n_seqs;
    /* guessing steps want all their logits */
    if (o->n_draft > 0 && o->max_logit_rows < ENGINE_FEW_TOK) o->max_logit_rows = ENGINE_FEW_TOK;
    if (o->max_logit_rows > o->max_batch_tok) o->max_logit_rows = o->max_batch_tok;
    if (o->cache_tok == 0) o->cache_tok = (int64_t)o->n_ctx * o->n_seqs;
    return in_range("cache_tok", o->cache_tok, o->n_ctx, INT32_MAX - KV_PAGE_TOK, err);
}

static bool has_drafter(const struct engine_options *o) { return o->n_draft && o->draft_model; }

static struct drafter_options drafter_options(const struct engine_options *o, const struct ops *ops,
                                              struct team *team)
{
    return (struct drafter_options){.model = o->draft_model,
                                    .ops = ops,
                                    .team = team,
                                    .n_ctx = o->n_ctx,
                                    .n_slots = o->n_seqs,
                                    .max_batch_tok = o->max_batch_tok,
                                    .kv_dtype = o->kv_dtype};
}

static bool fill_plan(const struct model *m, const struct engine_options *o, const struct ops *ops,
                      struct engine_plan *out, struct err *err)
{
    const struct model_config *c = model_config(m);
    const size_t tok_bytes = config_kv_bytes(c, o->kv_dtype);
    size_t cache = 0;
    if (tok_bytes == 0)
        return err_set(err, ERR_USAGE, "kv_dtype: %s does not fit heads of %d; use f16",
                       dtype_info(o->kv_dtype)->name, (int)c->d_head);
    size_t draft_cache = 0, draft_work = 0;
    if (has_drafter(o)) {
        const struct drafter_options d = drafter_options(o, ops, NULL);
        if (!drafter_check(m, o->draft_model, err)) return false;
        if (!drafter_plan(&d, o->n_threads, &draft_cache, &draft_work))
            return err_set(err, ERR_USAGE, "kv_dtype: %s does not fit the draft model; use f16",
                           dtype_info(o->kv_dtype)->name);
    }
    const size_t work =
        draft_work +
        forward_plan_bytes(c, ops, o->n_threads, o->max_batch_tok, o->max_logit_rows, o->n_ctx) +
        (o->takes_adapters ? forward_lora_bytes(c, o->max_batch_tok) : 0);
    if (!size_mul(tok_bytes, (size_t)o->cache_tok + KV_PAGE_TOK, &cache) ||
        !size_add(cache, draft_cache, &cache) || cache > SIZE_MAX / 2 || work > SIZE_MAX / 2)
        cache = SIZE_MAX / 2; /* more than anybody has */
    *out = (struct engine_plan){
        .isa = ops->name,
        .n_threads = o->n_threads,
        .is_pinned = o->pins_threads,
        .n_ctx = o->n_ctx,
        .n_seqs = o->n_seqs,
        .weight_bytes = model_info(m)->file_bytes,
        .cache_bytes = cache,
        .work_bytes = work,
        .available_bytes = ops->memory ? ops->memory->available() : os_memory_available(),
    };
    return true;
}

static bool check_plan(const struct engine_plan *p, const struct engine_options *o, struct err *err)
{
    if (p->cache_bytes + p->work_bytes <= p->available_bytes) return true;
    return err_set(err, ERR_MEMORY,
                   "the cache of %" PRId64 " positions takes %.2f GiB and a step %.2f GiB, but "
                   "%.2f GiB are free; lower n_ctx (--ctx), n_seqs or max_batch_tok (--batch)",
                   o->cache_tok, (double)p->cache_bytes * 0x1p-30, (double)p->work_bytes * 0x1p-30,
                   (double)p->available_bytes * 0x1p-30);
}

bool engine_measure(const struct model *m, const struct engine_options *opt,
                    struct engine_plan *out, struct err *err)
{
    struct engine_options o = *opt;
    const struct ops *ops = ops_choose(o.isa, err);
    return ops && resolve(model_config(m), ops, &o, err) && fill_plan(m, &o, ops, out, err);
}

/* ---- life ---- */

static bool make_arrays(struct engine *e, struct err *err)
{
    const size_t n = (size_t)e->max_batch_tok, n_seqs = (size_t)e->n_seqs;
    e->token = calloc(n, sizeof *e->token);
    e->pos = calloc(n, sizeof *e->pos);
    e->seq = calloc(n, sizeof *e->seq);
    e->wants = calloc(n, sizeof *e->wants);
    e->lora = calloc(n, sizeof *e->lora);
    e->run = calloc(n_seqs, sizeof *e->run);
    e->run_n = calloc(n_seqs, sizeof *e->run_n);
    e->order = calloc(n_seqs, sizeof *e->order);
    if (!e->token || !e->pos || !e->seq || !e->wants || !e->lora || !e->run || !e->run_n ||
        !e->order)
        return err_set(err, ERR_MEMORY, "no memory for batches of %d tokens", (int)n);
    if (!prefix_init(e, err) || !guess_init(e, err)) return false;
    for (int32_t i = 0; i < e->n_seqs; i++) {
        struct buf *held = &e->slot[i].held;
        /* a token, a stop string and what a character holds back; grown once, here */
        buf_init(held, VOCAB_MAX_TOKEN_BYTES * 4 + STOP_MAX_BYTES);
        buf_grow(held, 4 * STOP_MAX_BYTES);
        if (!buf_check(held, "the answer's text", err)) return false;
        buf_clear(held);
    }
    return true;
}

static bool make_parts(struct engine *e, const struct engine_options *o, const struct ops *ops,
                       struct err *err)
{
    e->team = team_new(o->n_threads, err);
    if (!e->team) return false;
    if (o->pins_threads && !team_pin(e->team, err))
        return err_wrap(err, "n_threads (--threads, --pin)");
    e->forward =
        forward_new(e->model, ops, e->team, e->max_batch_tok, e->max_logit_rows, e->n_ctx, err);
    if (!e->forward || (o->takes_adapters && !forward_take_lora(e->forward, err))) return false;
    e->kv = kv_cache_new(model_config(e->model), o->kv_dtype, o->cache_tok,
                         2 * e->n_seqs + N_MORE_PREFIXES + 1, ops->memory, err);
    if (!e->kv) return false;
    e->n_pages = kv_cache_free_tokens(e->kv) / KV_PAGE_TOK;
    if (has_drafter(o)) {
        const struct drafter_options d = drafter_options(o, ops, e->team);
        e->drafter = drafter_new(&d, err);
        if (!e->drafter) return false;
    }
    e->work = sampler_work_new(e->n_vocab, err);
    return e->work && make_arrays(e, err);
}

struct engine *engine_new(const struct model *m, const struct engine_options *opt, struct err *err)
{
    struct engine_options o = *opt;
    const struct ops *ops = ops_choose(o.isa, err);
    if (!ops || !resolve(model_config(m), ops, &o, err)) return NULL;
    struct engine *e = calloc(1, sizeof *e);
    if (!e) {
        err_set(err, ERR_MEMORY, "no memory for the engine");
        return NULL;
    }
    e->model = m;
    e->tokenizer = model_tokenizer(m);
    e->n_vocab = model_config(m)->n_vocab;
    e->n_ctx = o.n_ctx;
    e->n_seqs = o.n_seqs;
    e->max_batch_tok = o.max_batch_tok;
    e->max_logit_rows = o.max_logit_rows;
    e->n_draft = o.n_draft;
    e->takes_adapters = o.takes_adapters;
    if (fill_plan(m, &o, ops, &e->plan, err) && check_plan(&e->plan, &o, err) &&
        make_parts(e, &o, ops, err))
        return e;
    engine_free(e);
    return NULL;
}

/* No listener is called, so what the requests hold is freed by hand; answers of one request stand
 * in several slots. */
static void free_requests(struct engine *e)
{
    for (int32_t i = 0; e->slot && i < e->n_seqs; i++) {
        struct request *r = e->slot[i].req;
        if (r && --r->n_left == 0) request_free(e, r);
        buf_release(&e->slot[i].held);
    }
    for (int32_t i = 0; i < e->n_queued; i++) request_free(e, engine_queued(e, i));
}

void engine_free(struct engine *e)
{
    if (!e) return;
    free_requests(e);
    guess_release(e);
    prefix_release(e);
    drafter_free(e->drafter);
    masks_release(e);
    sampler_work_free(e->work);
    kv_cache_free(e->kv);
    forward_free(e->forward);
    team_free(e->team);
    free(e->token);
    free(e->pos);
    free(e->seq);
    free(e->wants);
    free(e->lora);
    lora_close(e->adapter);
    free(e->run);
    free(e->run_n);
    free(e->order);
    free(e);
}

const struct engine_plan *engine_plan(const struct engine *e) { return &e->plan; }
const struct model *engine_model(const struct engine *e) { return e->model; }

struct engine_status engine_status(const struct engine *e)
{
    return (struct engine_status){
        .n_queued = atomic_load_explicit(&e->told_queued, memory_order_relaxed),
        .n_running = atomic_load_explicit(&e->told_running, memory_order_relaxed),
        .n_prompt = atomic_load_explicit(&e->told_prompt, memory_order_relaxed),
        .n_generated = atomic_load_explicit(&e->told_generated, memory_order_relaxed),
        .n_drafted = atomic_load_explicit(&e->told_drafted, memory_order_relaxed),
        .n_accepted = atomic_load_explicit(&e->told_accepted, memory_order_relaxed),
    };
}

/* ---- requests ---- */

int64_t engine_submit(struct engine *e, const struct request_params *p, struct err *err)
{
    if (e->n_queued == ENGINE_MAX_QUEUE) {
        err_set(err, ERR_BUSY, "%d requests are waiting already; try again later",
                ENGINE_MAX_QUEUE);
        return 0;
    }
    struct request *r = request_new(e, p, err);
    if (!r) return 0;
    fair_enter(e, r);
    e->queue[(e->queue_begin + e->n_queued++) % ENGINE_MAX_QUEUE] = r;
    return r->handle;
}

bool engine_run(struct engine *e, const struct request_params *p, struct err *err)
{
    const int64_t handle = engine_submit(e, p, err);
    if (!handle) return false;
    /* nobody submits meanwhile, so the cell is free once this request has ended */
    while (e->cell_used[handle % N_CANCEL_CELLS]) {
        bool has_work = false;
        if (!engine_step(e, &has_work, err)) return false;
    }
    return true;
}

void engine_use_adapter(struct engine *e, struct lora *adapter)
{
    lora_close(e->adapter);
    e->adapter = lora_hold(adapter);
}

/* ---- scoring ---- */

/* Runs ids [begin, begin + n) of the sequence and hands their logits over where wanted. */
static bool score_chunk(struct engine *e, int32_t seq, const int32_t *ids, int32_t begin, int32_t n,
                        int32_t first_wanted, engine_logits_fn *fn, void *user, struct err *err)
{
    const float *logits = NULL;
    int32_t n_rows = 0;
    for (int32_t i = 0; i < n; i++) {
        e->token[i] = ids[begin + i];
        e->pos[i] = begin + i;
        e->seq[i] = seq;
        e->wants[i] = begin + i >= first_wanted;
        e->lora[i] = e->adapter;
    }
    const struct batch b = {.n_tok = n,
                            .token = e->token,
                            .pos = e->pos,
                            .seq = e->seq,
                            .wants = e->wants,
                            .lora = e->lora};
    for (struct err why = {0}; !forward_run(e->forward, e->kv, &b, &logits, &n_rows, &why);) {
        if (why.code == ERR_BUSY && prefix_evict(e)) continue;
        *err = why;
        return false;
    }
    for (int32_t i = 0; i < n; i++) {
        if (!e->wants[i]) continue;
        if (!fn(user, begin + i, logits))
            return err_set(err, ERR_CANCELLED, "scoring was ended at position %d",
                           (int)(begin + i));
        logits += e->n_vocab;
    }
    return true;
}

bool engine_score(struct engine *e, const int32_t *ids, int32_t n, int32_t first_wanted,
                  engine_logits_fn *fn, void *user, struct err *err)
{
    if (n < 1 || n > e->n_ctx)
        return err_set(
            err, ERR_LIMIT,
            "%d tokens to score, the context holds 1 to %d; cut them or raise n_ctx (--ctx)",
            (int)n, (int)e->n_ctx);
    /* all of them before the first is handed over: a listener may look ids up in its logits */
    for (int32_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= e->n_vocab)
            return err_set(err, ERR_USAGE, "id %d at %d is no token; give 0 to %d", (int)ids[i],
                           (int)i, (int)e->n_vocab - 1);
    if (first_wanted < 0) first_wanted = 0;
    const int32_t seq = kv_cache_open_seq(e->kv, err);
    if (seq < 0) return false;
    bool ok = true;
    for (int32_t at = 0; ok && at < n;) {
        /* before the first wanted one no logits limit the chunk */
        const int32_t most = at < first_wanted ? e->max_batch_tok : e->max_logit_rows;
        const int32_t end = at < first_wanted && first_wanted < n ? first_wanted : n;
        const int32_t n_here = end - at < most ? end - at : most;
        ok = score_chunk(e, seq, ids, at, n_here, first_wanted, fn, user, err);
        at += n_here;
    }
    kv_cache_close_seq(e->kv, seq);
    return ok;
}

void engine_observe(struct engine *e, forward_observer *fn, void *user)
{
    forward_observe(e->forward, fn, user);
}
