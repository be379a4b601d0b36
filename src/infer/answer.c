/* SPDX-License-Identifier: Apache-2.0
 *
 * answer.c - one answer under way: from the picked token to what the listener is told.
 *
 * Text goes decode_stream (whole characters only) -> held (whole stop strings only) -> listener.
 * `held` never grows beyond one token's text and one stop string, and keeps its memory from answer
 * to answer. An answer ends by, in this order of precedence: a stop string, a stop token, the
 * wanted length, the full context. The last event of an answer flushes what is held.
 *
 * A full context with shifts_context drops the older half behind n_keep and reads the rest again
 * at its new positions: dearer than rotating the kept keys in place, but exactly what the model
 * would have computed, whatever the cache's type.
 */
#include "infer/engine_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const char *finish_name(enum finish f)
{
    static const char *const names[] = {
        [FINISH_NONE] = "none",       [FINISH_STOP] = "stop",        [FINISH_LENGTH] = "length",
        [FINISH_CONTEXT] = "context", [FINISH_CANCEL] = "cancelled", [FINISH_ERROR] = "error",
    };
    return names[f];
}

static struct engine_event event_of(const struct request *r, int32_t i_answer)
{
    return (struct engine_event){
        .i_answer = i_answer,
        .token = -1,
        .text = "",
        .n_prompt = r->params.n_prompt,
        .n_cached = r->n_cached,
        .n_same = r->n_same,
        .n_prompt_done = r->params.n_prompt,
    };
}

static struct engine_event event_of_answer(const struct answer *a)
{
    struct engine_event ev = event_of(a->req, a->i_answer);
    ev.n_generated = a->n_generated;
    ev.n_drafted = a->n_drafted;
    ev.n_accepted = a->n_accepted;
    return ev;
}

/* A listener that says no cancels the whole request; the step's end acts on it. */
static void tell(struct request *r, const struct engine_event *ev)
{
    if (r->params.listener && !r->params.listener(r->params.user, ev)) r->is_cancelled = true;
}

/* True if the prompt has text in it: then the answer goes on with a text and does not begin one. */
static bool continues_text(const struct engine *e, const struct request *r)
{
    for (int32_t i = r->params.n_prompt - 1; e->tokenizer && i >= 0; i--) {
        size_t n = 0;
        tokenizer_bytes(e->tokenizer, r->prompt[i], false, &n);
        if (n > 0) return true;
    }
    return false;
}

/* How much of the prompt may come from the cache: not what tokens are read for. */
static int32_t shareable(const struct request_params *p)
{
    if (p->pooling && !pooling_is_of_last(p->pooling)) return 0;
    return (p->score_from > 0 ? p->score_from : p->n_prompt) - 1;
}

void answer_begin(struct engine *e, struct answer *a, struct request *r, int32_t i)
{
    assert(!a->req && a->line.seq < 0);
    a->req = r;
    a->i_answer = i;
    a->is_waiting = i > 0;
    a->n_fed = a->n_lead = a->n_generated = a->n_drafted = a->n_accepted = 0;
    guess_begin(&a->guess);
    /* a grammar means the text as its tokens spell it, a leading space too */
    a->stream = (struct decode_stream){.is_started = r->masks || continues_text(e, r)};
    buf_clear(&a->held);
    a->line.n_ids = r->params.n_prompt;
    a->line.adapter = lora_id(r->params.adapter);
    a->line.n_shareable = shareable(&r->params);
    memcpy(a->line.ids, r->prompt, (size_t)r->params.n_prompt * sizeof *r->prompt);
}

void answer_tell_progress(struct answer *a)
{
    struct engine_event ev = event_of(a->req, a->i_answer);
    ev.n_prompt_done = a->n_fed;
    tell(a->req, &ev);
}

void answer_tell_score(struct answer *a, int32_t pos, const float *logits)
{
    struct engine_event ev = event_of(a->req, a->i_answer);
    struct sampled scored;
    ev.token = a->line.ids[pos];
    ev.is_prompt = true;
    ev.n_prompt_done = pos;
    ev.sampled = &scored;
    sampler_score(a->req->sampler[0], logits, ev.token, &scored);
    tell(a->req, &ev);
}

/* The request's last answer takes it along. */
static void leave(struct engine *e, struct request *r)
{
    if (--r->n_left > 0) return;
    fair_leave(r);
    e->n_pages_committed -= r->n_pages;
    e->cell_used[r->handle % N_CANCEL_CELLS] = 0;
    request_free(e, r);
}

/* Tells the last event and gives the slot back. */
static void finish(struct engine *e, struct answer *a, struct engine_event *ev)
{
    tell(a->req, ev);
    /* vectors of many texts would throw out the chats that come again */
    prefix_keep(e, &a->line, a->req->params.pooling ? 0 : a->n_fed);
    struct request *r = a->req;
    a->req = NULL;
    leave(e, r);
}

void answer_end(struct engine *e, struct answer *a, enum finish how, const struct err *why)
{
    struct engine_event ev = event_of_answer(a);
    if (e->tokenizer) decode_stream_flush(&a->stream, &a->held);
    ev.finish = how;
    ev.err = why;
    if (how == FINISH_LENGTH && a->req->params.pooling) ev.embedding = pool_finish(&a->req->pool);
    if (a->n_generated == 0) ev.n_prompt_done = a->n_fed;
    if (!a->held.is_failed && a->held.n_bytes) ev.text = a->held.data, ev.n_text = a->held.n_bytes;
    finish(e, a, &ev);
}

void request_end(struct engine *e, struct request *r, enum finish how, const struct err *why)
{
    const int32_t n = r->params.n_answers;
    r->n_pages = 0; /* nothing was committed */
    for (int32_t i = 0; i < n; i++) {
        struct engine_event ev = event_of(r, i);
        ev.n_prompt_done = 0;
        ev.finish = how;
        ev.err = why;
        tell(r, &ev);
        leave(e, r);
    }
}

/* Drops the older half of what lies behind n_keep; what follows is read again. */
static void shift(struct engine *e, struct answer *a)
{
    struct line *l = &a->line;
    const int32_t n_keep = a->req->params.n_keep;
    const int32_t n_drop = (l->n_ids - n_keep) / 2;
    assert(n_drop >= 1);
    l->n_ids -= n_drop;
    memmove(l->ids + n_keep, l->ids + n_keep + n_drop,
            (size_t)(l->n_ids - n_keep) * sizeof *l->ids);
    kv_cache_trim(e->kv, l->seq, n_keep);
    a->n_fed = n_keep;
    lookup_begin(&a->guess.lookup);
}

/* Why the answer ends after this token, if it does. */
static enum finish reason_to_end(const struct engine *e, const struct answer *a, bool is_stop)
{
    const struct request_params *p = &a->req->params;
    if (is_stop || (a->req->masks && constraint_is_over(&a->req->constraint[a->i_answer])))
        return FINISH_STOP;
    if (p->n_predict >= 0 && a->n_generated >= p->n_predict) return FINISH_LENGTH;
    if (a->line.n_ids > e->n_ctx && !p->shifts_context) return FINISH_CONTEXT;
    return FINISH_NONE;
}

/* Sets the event's text to what may be told now; returns how many held bytes that uses up. */
static size_t release_text(struct answer *a, struct engine_event *ev)
{
    const struct stops *stops = &a->req->stops;
    const char *text = a->held.data ? a->held.data : "";
    size_t n = a->held.n_bytes, at = 0;
    const int32_t i_stop = stops_find(stops, text, n, &at);
    if (i_stop >= 0) {
        ev->finish = FINISH_STOP;
        ev->stop_text = stops->text[i_stop];
        n = at;
    } else if (ev->finish == FINISH_NONE) {
        n -= stops_held(stops, text, n);
    }
    ev->text = text;
    ev->n_text = n;
    return n;
}

static void drop_told(struct buf *held, size_t n)
{
    if (n == 0) return;
    held->n_bytes -= n;
    memmove(held->data, held->data + n, held->n_bytes + 1); /* and its NUL */
}

bool answer_restrict(struct answer *a, struct err *err)
{
    const struct request *r = a->req;
    if (!r->masks) return true;
    const uint64_t *mask = constraint_mask(&r->constraint[a->i_answer], err);
    if (mask) sampler_set_mask(r->sampler[a->i_answer], mask);
    return mask != NULL;
}

/* The sampler gives a token that the grammar does not allow only when it has banned all others. */
static bool is_allowed(struct answer *a, int32_t id, struct err *err)
{
    const struct request *r = a->req;
    if (!r->masks) return true;
    sampler_set_mask(r->sampler[a->i_answer], NULL);
    return constraint_accept(&r->constraint[a->i_answer], id, err) ||
           err_wrap(err, "no token is left that the grammar allows and --bias does not ban");
}

/* The token's text goes to what is held. */
static void spell(const struct engine *e, struct answer *a, int32_t id)
{
    const struct request_params *p = &a->req->params;
    if (!e->tokenizer) return;
    for (int32_t i = 0; i < p->n_shown; i++) {
        if (p->shown[i].id != id) continue;
        decode_stream_flush(&a->stream, &a->held);
        buf_puts(&a->held, p->shown[i].as);
        return;
    }
    decode_stream_feed(&a->stream, e->tokenizer, id, p->shows_special, &a->held);
}

void answer_take(struct engine *e, struct answer *a, const struct sampled *picked)
{
    const struct request_params *p = &a->req->params;
    const int32_t id = picked->id;
    const bool is_stop = !p->ignores_eos && e->tokenizer && tokenizer_is_stop(e->tokenizer, id);
    const bool is_told = !is_stop || p->shows_special;
    struct engine_event ev = event_of_answer(a);
    struct err err = {0};
    if (!is_allowed(a, id, &err)) {
        answer_end(e, a, FINISH_ERROR, &err);
        return;
    }
    if (is_told) {
        a->line.ids[a->line.n_ids++] = id;
        a->n_generated++;
        ev.token = id;
        ev.sampled = picked;
        sampler_accept(a->req->sampler[a->i_answer], id);
        spell(e, a, id);
    }
    ev.n_generated = a->n_generated;
    ev.finish = reason_to_end(e, a, is_stop);
    if (ev.finish && e->tokenizer) decode_stream_flush(&a->stream, &a->held);
    if (!buf_check(&a->held, "the answer's text", &err)) {
        ev.finish = FINISH_ERROR;
        ev.err = &err;
    }
    const size_t n_told = ev.err ? 0 : release_text(a, &ev);
    if (ev.finish) {
        finish(e, a, &ev);
        return;
    }
    tell(a->req, &ev);
    drop_told(&a->held, n_told);
    if (a->line.n_ids > e->n_ctx) shift(e, a);
}
