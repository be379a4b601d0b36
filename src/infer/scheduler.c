/* SPDX-License-Identifier: Apache-2.0
 *
 * scheduler.c - one step: who is in the batch, and what becomes of its logits.
 *
 * A step is: cancelled requests end; waiting ones are admitted, fairly between clients (fair.c),
 * while slots and pages suffice; every answer that has its next token puts it into the batch, then
 * unread prompts fill what room is left, oldest first; the batch runs; whoever has logits picks a
 * token. So a long prompt slows the others down by at most the time of one full batch, and never
 * stops them.
 *
 * Prompts that come together and begin alike are read once: the later ones wait until the first has
 * read what they share, and go on from its pages (16 chats over one system message of 2,000 tokens
 * read 2,000 tokens instead of 32,000).
 *
 * An answer may put guesses of its next tokens behind the next one (speculate.c); it then takes as
 * many tokens from the step as came true, and one more.
 *
 * Pages that are missing are taken from the prefix cache, least recently used first, by trying:
 * forward_run() says ERR_BUSY and has changed nothing. E2 says that this ends well.
 *
 * Greedy tokens do not depend on who else is in the batch, except that some kernels sum in another
 * order for one token than for many (ops.h): where two logits differ by less than that rounding,
 * batches of other sizes may decide otherwise.
 *
 * Begin reading at engine_step().
 */
#include "infer/engine_parts.h"

#include <assert.h>

enum { MIN_LEAD_TOK = 32 }; /* fewer are read sooner than waited for */

/* ---- who leaves, who enters ---- */

static struct answer *nth(struct engine *e, int32_t i) { return &e->slot[e->order[i]]; }

/* Forgets the ended ones. */
static void compact(struct engine *e)
{
    int32_t n = 0;
    for (int32_t i = 0; i < e->n_order; i++)
        if (nth(e, i)->req) e->order[n++] = e->order[i];
    e->n_order = n;
}

/* Takes the i-th out; the others keep their order. */
static struct request *dequeue(struct engine *e, int32_t i)
{
    struct request *r = engine_queued(e, i);
    for (; i > 0; i--) e->queue[(e->queue_begin + i) % ENGINE_MAX_QUEUE] = engine_queued(e, i - 1);
    e->queue_begin = (e->queue_begin + 1) % ENGINE_MAX_QUEUE;
    e->n_queued--;
    return r;
}

static void sweep_cancelled(struct engine *e)
{
    for (int32_t i = 0; i < e->n_order; i++)
        if (nth(e, i)->req && request_is_cancelled(e, nth(e, i)->req))
            answer_end(e, nth(e, i), FINISH_CANCEL, NULL);
    compact(e);
    for (int32_t i = 0; i < e->n_queued;)
        if (request_is_cancelled(e, engine_queued(e, i)))
            request_end(e, dequeue(e, i), FINISH_CANCEL, NULL);
        else
            i++;
}

static int32_t free_slot(const struct engine *e)
{
    int32_t i = 0;
    while (e->slot[i].req) i++;
    assert(i < e->n_seqs);
    return i;
}

/* Among the answers before the i-th: who is reading the most of what this prompt begins with. Only
 * those before it, so that nobody waits in a circle. */
static void choose_lead(struct engine *e, int32_t i)
{
    struct answer *a = nth(e, i);
    int32_t n_best = a->n_fed + MIN_LEAD_TOK - 1;
    a->n_lead = 0;
    for (int32_t k = 0; k < i; k++) {
        const struct answer *b = nth(e, k);
        const int32_t most = a->line.n_shareable;
        int32_t n = b->line.n_ids < most ? b->line.n_ids : most;
        if (b->req == a->req || b->is_waiting || b->n_generated > 0 ||
            b->line.adapter != a->line.adapter)
            continue;
        n = prefix_common(a->line.ids, b->line.ids, n);
        if (n <= n_best || n <= b->n_fed) continue;
        n_best = a->n_lead = n;
        a->lead = e->order[k];
        a->lead_handle = b->req->handle;
    }
}

/* True while the i-th answer waits for the one that it will share a beginning with. */
static bool waits_for_lead(struct engine *e, int32_t i)
{
    struct answer *a = nth(e, i);
    while (a->n_lead > 0) {
        const struct answer *b = &e->slot[a->lead];
        const bool is_there = b->req && b->req->handle == a->lead_handle;
        if (is_there && b->n_fed < a->n_lead) return true;
        const int32_t n_before = a->n_fed;
        a->n_fed = a->req->n_cached = prefix_extend(e, &a->line, a->n_fed, &a->req->n_same);
        fair_charge(a->req, (int64_t)n_before - a->n_fed);
        a->n_lead = 0;
        if (!is_there) choose_lead(e, i); /* it ended early: another may go on in its place */
    }
    return false;
}

static void admit(struct engine *e)
{
    while (e->n_queued > 0) {
        if (e->n_order == e->n_seqs) return; /* whose turn it is shows when there is room */
        const int32_t next = fair_next(e);
        struct request *r = engine_queued(e, next);
        const int32_t n = r->params.n_answers;
        if (e->n_order + n > e->n_seqs || e->n_pages_committed + r->n_pages > e->n_pages) return;
        dequeue(e, next);
        fair_taken(e, r);
        e->n_pages_committed += r->n_pages;
        for (int32_t i = 0; i < n; i++) {
            const int32_t slot = free_slot(e);
            struct answer *a = &e->slot[slot];
            answer_begin(e, a, r, i);
            if (i == 0) a->n_fed = r->n_cached = prefix_open(e, &a->line, &r->n_same);
            e->order[e->n_order++] = slot;
            if (i == 0) choose_lead(e, e->n_order - 1);
        }
        fair_charge(r, (int64_t)r->params.n_prompt - r->n_cached);
    }
}

/* ---- the batch ---- */

/* What is wanted of the token at `pos`: logits if it comes before one that is to be picked or told,
 * its state if that is pooled. */
static uint8_t want_at(const struct answer *a, int32_t pos)
{
    const struct request_params *p = &a->req->params;
    const bool is_last = pos + 1 >= a->line.n_ids;
    if (p->pooling) return is_last || !pooling_is_of_last(p->pooling) ? WANT_STATE : WANT_NOTHING;
    const bool is_scored = p->score_from > 0 && a->n_generated == 0 && pos + 1 >= p->score_from;
    return is_last || is_scored ? WANT_LOGITS : WANT_NOTHING;
}

/* How many of n tokens of an answer that is read may be in one batch: each run has a row of logits,
 * scored prompts share what is left. */
static int32_t most_rows(const struct engine *e, const struct answer *a, int32_t n)
{
    const int32_t score_from = a->req->params.score_from;
    if (score_from == 0 || a->n_generated > 0 || a->n_fed + n < score_from) return n;
    const int32_t n_unscored = a->n_fed + 1 < score_from ? score_from - 1 - a->n_fed : 0;
    const int32_t n_most = n_unscored + 1 + e->n_spare_rows;
    return n < n_most ? n : n_most;
}

/* Puts the next n tokens of a slot's line, and then what is guessed, into the batch. */
static void add_run(struct engine *e, int32_t slot, int32_t n)
{
    struct answer *a = &e->slot[slot];
    int32_t n_rows = 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t at = e->n_tok++, pos = a->n_fed + i, n_beyond = pos - a->line.n_ids;
        e->token[at] = n_beyond < 0 ? a->line.ids[pos] : a->guess.id[n_beyond];
        e->pos[at] = pos;
        /* each as if alone, so that guessing does not change a bit of what it would have been */
        e->seq[at] = a->guess.n > 0 && i % 2 ? kv_cache_alias(a->line.seq) : a->line.seq;
        e->wants[at] = want_at(a, pos);
        e->lora[at] = a->req->params.adapter;
        n_rows += e->wants[at] == WANT_LOGITS;
    }
    if (a->guess.n == 0 && n_rows > 1) e->n_spare_rows -= n_rows - 1;
    e->run[e->n_runs] = slot;
    e->run_n[e->n_runs++] = n;
}

static bool build_batch(struct engine *e, struct err *err)
{
    e->n_tok = e->n_runs = 0;
    e->n_spare_rows = e->max_logit_rows - e->n_seqs;
    if (e->n_draft > 0 && !guess_all(e, err)) return false;
    for (int32_t i = 0; i < e->n_order; i++) {
        const struct answer *a = nth(e, i);
        if (!a->is_waiting && a->line.n_ids - a->n_fed == 1)
            add_run(e, e->order[i], 1 + a->guess.n);
    }
    for (int32_t i = 0; i < e->n_order && e->n_tok < e->max_batch_tok; i++) {
        const struct answer *a = nth(e, i);
        int32_t n_unread = a->line.n_ids - a->n_fed;
        const int32_t n_room = e->max_batch_tok - e->n_tok;
        if (a->is_waiting || n_unread == 1 || waits_for_lead(e, i)) continue;
        n_unread = a->line.n_ids - a->n_fed;
        add_run(e, e->order[i], most_rows(e, a, n_unread < n_room ? n_unread : n_room));
    }
    return true;
}

static bool run_batch(struct engine *e, const float **logits, struct err *err)
{
    const struct batch b = {.n_tok = e->n_tok,
                            .token = e->token,
                            .pos = e->pos,
                            .seq = e->seq,
                            .wants = e->wants,
                            .lora = e->lora};
    int32_t n_rows = 0;
    for (;;) {
        struct err why = {0};
        if (forward_run(e->forward, e->kv, &b, logits, &n_rows, &why)) return true;
        if (why.code == ERR_BUSY && prefix_evict(e)) continue;
        *err = why;
        return false;
    }
}

/* ---- the results ---- */

/* Answers 1.. of a request go on from the prompt that answer 0 has read. */
static void wake_siblings(struct engine *e, const struct answer *first)
{
    for (int32_t i = 0; i < e->n_order; i++) {
        struct answer *a = nth(e, i);
        if (a->req != first->req || !a->is_waiting) continue;
        a->line.seq = prefix_fork(e, first->line.seq, first->n_fed);
        a->n_fed = first->n_fed;
        a->is_waiting = false;
    }
}

static void count(_Atomic int64_t *n, int32_t more)
{
    atomic_fetch_add_explicit(n, more, memory_order_relaxed);
}

/* True if it picks what was guessed (-1: nothing was), and the answer goes on. */
static bool pick(struct engine *e, struct answer *a, const float *logits, int32_t guess)
{
    struct request *r = a->req;
    if (r->params.n_predict == 0) {
        answer_end(e, a, FINISH_LENGTH, NULL);
        return false;
    }
    struct sampled picked;
    struct err err = {0};
    if (!answer_restrict(a, &err)) {
        answer_end(e, a, FINISH_ERROR, &err);
        return false;
    }
    sampler_pick(r->sampler[a->i_answer], logits, &picked);
    const bool is_right = picked.id == guess;
    a->n_accepted += is_right;
    count(&e->told_accepted, is_right);
    count(&e->told_generated, 1);
    fair_charge(r, 1);
    answer_take(e, a, &picked);
    return is_right && a->req && !request_is_cancelled(e, a->req);
}

/* Picks as long as the picks are the guesses; what was fed behind them is forgotten. */
static void pick_guessed(struct engine *e, struct answer *a, const float *logits)
{
    struct guess *g = &a->guess;
    const int32_t begin = a->n_fed, n_before = a->n_accepted;
    a->n_drafted += g->n;
    count(&e->told_drafted, g->n);
    for (int32_t i = 0; i <= g->n; i++, logits += e->n_vocab) {
        a->n_fed = begin + 1 + i;
        if (!pick(e, a, logits, i < g->n ? g->id[i] : -1)) break;
    }
    if (!a->req) return;
    kv_cache_trim(e->kv, a->line.seq, a->n_fed);
    guess_learn(g, a->n_accepted - n_before);
}

/* The first answer to have read its prompt picks for its siblings too, from the same logits. */
static void pick_all(struct engine *e, struct answer *first, const float *logits)
{
    const bool is_prompt = first->n_generated == 0 && first->req->params.n_answers > 1;
    const struct request *r = first->req;
    if (is_prompt) wake_siblings(e, first);
    pick(e, first, logits, -1);
    for (int32_t i = 0; is_prompt && i < e->n_order; i++)
        if (nth(e, i)->req == r && nth(e, i) != first && nth(e, i)->n_generated == 0)
            pick(e, nth(e, i), logits, -1);
}

/* The next n tokens of an answer have been fed; wants[i] is what the i-th wanted. */
static void take_states(struct engine *e, struct answer *a, int32_t n, const uint8_t *wants,
                        const float *states)
{
    for (int32_t i = 0; i < n; i++) {
        if (wants[i] != WANT_STATE) continue;
        pool_add(&a->req->pool, a->n_fed + i, states);
        states += model_config(e->model)->d_model;
    }
    a->n_fed += n;
    if (a->n_fed == a->line.n_ids)
        answer_end(e, a, FINISH_LENGTH, NULL);
    else
        answer_tell_progress(a);
}

/* Logits before the last token's are for scores; with the last one's the answer goes on. */
static void take_logits(struct engine *e, struct answer *a, int32_t n, const uint8_t *wants,
                        const float *logits)
{
    const bool is_prompt = a->n_generated == 0;
    for (int32_t i = 0; i < n && a->n_fed + i + 1 < a->line.n_ids; i++) {
        if (wants[i] != WANT_LOGITS) continue;
        answer_tell_score(a, a->n_fed + i + 1, logits);
        logits += e->n_vocab;
    }
    a->n_fed += n;
    if (a->n_fed == a->line.n_ids)
        pick_all(e, a, logits);
    else if (is_prompt)
        answer_tell_progress(a);
}

static void use_results(struct engine *e, const float *logits)
{
    const uint8_t *wants = e->wants;
    const float *states = forward_states(e->forward);
    for (int32_t i = 0; i < e->n_runs; i++) {
        struct answer *a = &e->slot[e->run[i]];
        const int32_t n = e->run_n[i];
        int64_t n_logits = 0, n_wanted = 0;
        for (int32_t k = 0; k < n; k++) {
            n_logits += wants[k] == WANT_LOGITS;
            n_wanted += wants[k] != WANT_NOTHING;
        }
        if (a->n_generated == 0) count(&e->told_prompt, n);
        if (a->guess.n > 0)
            pick_guessed(e, a, logits);
        else if (a->req->params.pooling)
            take_states(e, a, n, wants, states);
        else
            take_logits(e, a, n, wants, logits);
        wants += n;
        logits += n_logits * e->n_vocab;
        states += n_wanted * model_config(e->model)->d_model;
    }
}

/* ---- the step ---- */

/* Every listener hears of it; the engine is empty after. */
static void end_all(struct engine *e, const struct err *why)
{
    for (int32_t i = 0; i < e->n_order; i++)
        if (nth(e, i)->req) answer_end(e, nth(e, i), FINISH_ERROR, why);
    compact(e);
    while (e->n_queued > 0) request_end(e, dequeue(e, 0), FINISH_ERROR, why);
    engine_clear_cache(e);
}

static void tell_status(struct engine *e)
{
    atomic_store_explicit(&e->told_queued, e->n_queued, memory_order_relaxed);
    atomic_store_explicit(&e->told_running, e->n_order, memory_order_relaxed);
}

bool engine_step(struct engine *e, bool *has_work, struct err *err)
{
    bool ok = true;
    const float *logits = NULL;
    sweep_cancelled(e);
    admit(e);
    ok = build_batch(e, err);
    if (ok && e->n_tok > 0) ok = run_batch(e, &logits, err);
    if (ok && e->n_tok > 0) use_results(e, logits);
    if (!ok) end_all(e, err);
    sweep_cancelled(e);
    tell_status(e);
    *has_work = e->n_order > 0 || e->n_queued > 0;
    return ok;
}
