/* SPDX-License-Identifier: Apache-2.0
 *
 * reading.c - the life of a request whose texts are read and not answered: a part of a job each,
 * in the same batches as everybody's answers, and one reply when the last has been read.
 *
 * It is a generation (generation.c) without choices, streams and stops, so those two share the
 * exchange, the worker and the queue's limit, and nothing else.
 *
 * Begin reading at reading_begin() and hear().
 */
#include "serve/reading.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/os.h"

/* ---- life ---- */

static void reading_free(struct reading *rd)
{
    struct server *s = rd->server;
    if (rd->prev)
        rd->prev->next = rd->next;
    else
        s->reading_first = rd->next;
    if (rd->next) rd->next->prev = rd->prev;
    s->n_gens--;
    if (rd->own) rd->kind->release(rd);
    adapters_leave(s->adapters, rd->adapter);
    models_leave(rd->served);
    for (int32_t i = 0; i < rd->n_parts; i++) ids_release(&rd->part[i].prompt);
    json_free(rd->body);
    free(rd->own);
    free(rd->part);
    free(rd);
}

static struct reading *reading_new(struct exchange *ex, const struct reading_kind *kind)
{
    struct server *s = ex->server;
    struct reading *rd = calloc(1, sizeof *rd);
    if (!rd) return NULL;
    rd->server = s;
    rd->served = ex->served;
    models_enter(rd->served);
    rd->kind = kind;
    rd->next = s->reading_first;
    if (rd->next) rd->next->prev = rd;
    s->reading_first = rd;
    s->n_gens++;
    rd->own = calloc(1, kind->own_bytes);
    if (rd->own) return rd;
    reading_free(rd);
    return NULL;
}

bool reading_texts(struct reading *rd, const char *field, struct json v, struct refusal *r)
{
    struct ids *text = calloc(READING_MAX_TEXTS, sizeof *text);
    if (!text) return refuse(r, REFUSAL_SERVER, NULL, "no memory for the texts");
    int32_t n = 0;
    bool ok = gen_texts(&rd->served->gen, field, v, READING_MAX_TEXTS, text, &n, r);
    if (ok) {
        rd->part = calloc((size_t)n, sizeof *rd->part);
        ok = rd->part || refuse(r, REFUSAL_SERVER, NULL, "no memory for %d texts", (int)n);
    }
    for (int32_t i = 0; i < n; i++) {
        if (!ok) {
            ids_release(&text[i]);
            continue;
        }
        rd->part[i].prompt = text[i];
        rd->n_tok += (int64_t)text[i].n;
    }
    if (ok) rd->n_parts = n;
    free(text);
    return ok;
}

void reading_usage(struct json_writer *w, const struct reading *rd)
{
    json_key(w, "usage");
    json_object(w);
    json_key_int(w, "prompt_tokens", rd->n_tok);
    json_key_int(w, "total_tokens", rd->n_tok);
    json_end(w);
}

/* ---- events ---- */

static void hear_end(struct reading *rd)
{
    struct server *s = rd->server;
    struct exchange *ex = rd->ex;
    struct refusal r = {0};
    s->metrics.n_cached_tok += rd->n_cached;
    const int key = s->keys && rd->key_name[0] ? keys_named(s->keys, rd->key_name) : -1;
    if (key >= 0) key_spend(s->keys, key, clock_ns(), rd->n_tok);
    if (ex) {
        ex->reading = NULL;
        ex->figures.n_prompt = (int32_t)rd->n_tok;
        ex->figures.n_cached = (int32_t)rd->n_cached;
        ex->figures.finish = rd->job.err.code == ERR_OK ? "stop" : "error";
        if (rd->job.err.code != ERR_OK)
            refuse_err(&r, NULL, &rd->job.err);
        else if (atomic_load(&rd->job.is_cancelled))
            refuse(&r, REFUSAL_DRAINING, NULL, "the server is about to end");
        buf_clear(&s->text);
        if (r.kind == REFUSAL_NONE) rd->kind->word(rd, &s->text);
        if (r.kind == REFUSAL_NONE && s->text.is_failed)
            refuse(&r, REFUSAL_SERVER, NULL, "no memory for the answer");
        if (r.kind == REFUSAL_SERVER) log_warn("request %s: %s", ex->id, r.text);
        if (r.kind != REFUSAL_NONE)
            exchange_refuse(ex, &r);
        else
            exchange_reply(ex, 200, "application/json", &s->text);
    }
    reading_free(rd);
}

static void hear(struct worker_event *ev)
{
    struct reading *rd = ev->job->user;
    if (ev->kind == WORKER_END) {
        hear_end(rd); /* the event went with its job */
        return;
    }
    if (ev->kind == WORKER_TEXT) {
        if (ev->finish != FINISH_NONE) rd->n_cached += ev->n_cached;
        rd->kind->hear(rd, ev->i_choice, ev);
    }
    worker_event_free(ev);
}

/* ---- the request ---- */

void reading_begin(struct exchange *ex, const struct reading_kind *kind, const void *body,
                   size_t n_bytes)
{
    struct server *s = ex->server;
    struct refusal r = {0};
    struct unknown_fields unknown = {0};
    struct reading *rd = reading_new(ex, kind);
    bool ok = rd || refuse(&r, REFUSAL_SERVER, NULL, "no memory for the request");
    if (rd) memcpy(rd->key_name, ex->key_name, sizeof rd->key_name);
    ok = ok && server_has_room(s, ex->key_name, &r);
    if (ok) rd->body = body_parse(body, n_bytes, MAX_BODY_BYTES, &r);
    if (ok) rd->job.params = request_defaults();
    ok = ok && rd->body && fields_read(kind->fields, json_root(rd->body), rd->own, &unknown, &r) &&
         kind->read(rd, &r) && server_rank(s, ex->key_name, GEN_NO_PRIORITY, &rd->job.params, &r);
    memcpy(ex->figures.unknown, unknown.names, sizeof ex->figures.unknown);
    if (!ok) {
        if (rd) reading_free(rd);
        exchange_refuse(ex, &r);
        return;
    }
    rd->job.params.adapter = rd->adapter ? rd->adapter->is.lora : NULL;
    rd->job.part = rd->part;
    rd->job.n_parts = rd->n_parts;
    rd->job.hear = hear;
    rd->job.user = rd;
    rd->ex = ex;
    ex->reading = rd;
    worker_submit(rd->served->worker, &rd->job);
}

void reading_abandon(struct reading *rd)
{
    rd->ex = NULL;
    worker_cancel(rd->served->worker, &rd->job);
}

void reading_cancel_all(struct server *s)
{
    for (struct reading *rd = s->reading_first; rd; rd = rd->next)
        worker_cancel(rd->served->worker, &rd->job);
}

void reading_free_all(struct server *s)
{
    while (s->reading_first) {
        if (s->reading_first->ex) s->reading_first->ex->reading = NULL;
        reading_free(s->reading_first);
    }
}
