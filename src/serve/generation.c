/* SPDX-License-Identifier: Apache-2.0
 *
 * generation.c - from a request's body to a job of the worker, and from its events to the answer.
 *
 *   body -> fields, ids (generation_read.c) -> grammar (compiler.c) -> job -> worker
 *   events -> chunks of a stream, or texts that become one object (wording.c)
 *
 * Two things wait for the store: a request that goes on from a stored response, before it is read,
 * and a response that is to be stored, before its end is told. One that wants sources waits for the
 * index (library.c), when all that it goes on from is here.
 *
 * A generation that the client has left goes on until the worker's last event, with nobody to tell:
 * only then is its memory free of the engine's thread. What it has used is counted to its key in
 * any case.
 *
 * Begin reading at generation_begin() and generation_hear().
 */
#include "serve/generation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/json_write.h"
#include "base/log.h"
#include "base/os.h"

static const struct wording *const wordings[N_GEN_APIS] = {
    [GEN_CHAT] = &wording_chat,
    [GEN_TEXT] = &wording_text,
    [GEN_RESPONSES] = &wording_responses,
    [GEN_MESSAGES] = &wording_messages,
};

/* ---- life ---- */

static struct buf *text_of(struct generation *g)
{
    buf_clear(&g->server->text);
    return &g->server->text;
}

static void gen_free(struct generation *g)
{
    struct server *s = g->server;
    if (g->prev)
        g->prev->next = g->next;
    else
        s->gen_first = g->next;
    if (g->next) g->next->prev = g->prev;
    s->n_gens--;
    for (int32_t i = 0; i < g->n_prompts; i++) ids_release(&g->part[i].prompt);
    for (int32_t i = 0; i < g->n_choices; i++) choice_release(&g->choice[i]);
    grammar_free(g->compile.grammar);
    adapters_leave(s->adapters, g->adapter);
    models_leave(g->served);
    gen_params_release(&g->params);
    cited_release(&g->cited);
    sources_close(g->sources);
    vault_job_release(&g->stored);
    json_free(g->chain);
    json_free(g->chat);
    json_free(g->body);
    free(g->choice);
    free(g->part);
    free(g);
}

static struct generation *gen_new(struct exchange *ex, enum gen_api api)
{
    struct server *s = ex->server;
    struct generation *g = calloc(1, sizeof *g);
    unsigned char random[12] = {0};
    if (!g) return NULL;
    g->server = s;
    g->served = ex->served;
    models_enter(g->served);
    g->api = api;
    g->wording = wordings[api];
    g->job.params = request_defaults();
    vault_job_init(&g->stored, VAULT_GET_CHAIN, ex->key_name, "");
    cited_init(&g->cited);
    g->created_s = (int64_t)time(NULL);
    if (getrandom(random, sizeof random, 0) < 0) memset(random, 0, sizeof random);
    size_t n = (size_t)snprintf(g->id, sizeof g->id, "%s", g->wording->id_prefix);
    for (size_t i = 0; i < sizeof random; i++)
        n += (size_t)snprintf(g->id + n, sizeof g->id - n, "%02x", random[i]);
    g->next = s->gen_first;
    if (g->next) g->next->prev = g;
    s->gen_first = g;
    s->n_gens++;
    return g;
}

/* <|python_tag|> is told to the parser of calls, which nothing else in a text can look like. */
static void show_mark(const struct generation *g, struct request_params *p)
{
    static const char mark[] = "<|python_tag|>";
    const struct tokenizer *t = model_tokenizer(g->served->gen.model);
    const int32_t id = tokenizer_find(t, mark, sizeof mark - 1);
    if (tools_are_offered(&g->params.tools) && id >= 0)
        p->shown[p->n_shown++] = (struct shown_token){id, CALL_MARK};
}

static void fill_job(struct generation *g)
{
    const struct gen_params *p = &g->params;
    struct job *job = &g->job;
    job->params.n_predict = p->max_tokens;
    job->params.n_answers = p->n_made;
    job->params.sampling = p->sampling;
    job->params.n_stop = p->n_stop;
    memcpy(job->params.stop, p->stop, sizeof p->stop);
    job->params.ignores_eos = p->ignores_eos;
    job->params.grammar = g->compile.grammar;
    job->params.adapter = g->adapter ? g->adapter->is.lora : NULL;
    show_mark(g, &job->params);
    job->part = g->part;
    job->n_parts = g->n_prompts;
    job->has_logprobs = p->wants_logprobs || p->n_made > p->n;
    job->hear = generation_hear;
    job->user = g;
}

/* A prompt's log-probabilities are told in `echo`; its first token has none. */
static void score_prompts(struct generation *g)
{
    struct sampled first = {.logprob = NAN};
    if (!g->params.echoes || !g->params.wants_logprobs) return;
    g->job.params.score_from = 1;
    for (int32_t i = 0; i < g->n_choices; i++) {
        first.id = g->part[i / g->params.n_made].prompt.id[0];
        word_logprobs(g, &g->choice[i], &first);
    }
}

static void submit(struct generation *g)
{
    fill_job(g);
    score_prompts(g);
    worker_submit(g->served->worker, &g->job);
}

/* The request is over before the model has seen it. */
static void gen_refuse(struct generation *g, const struct refusal *r)
{
    struct exchange *ex = g->ex;
    memcpy(ex->figures.unknown, g->params.unknown.names, sizeof ex->figures.unknown);
    ex->gen = NULL;
    gen_free(g);
    exchange_refuse(ex, r);
}

/* Its grammar is there, or why not. */
static void hear_compiled(struct compile_job *job)
{
    struct generation *g = job->user;
    struct refusal r = {0};
    g->is_compiling = false;
    if (g->ex && job->grammar) {
        submit(g);
        return;
    }
    if (!g->ex) {
        gen_free(g);
        return;
    }
    form_refuse(&r, job->form->field, &job->err);
    if (g->wording->shape) shape_rename(g->wording->shape, NULL, &r);
    gen_refuse(g, &r);
}

/* To the worker, with its grammar if it wants one: at once if that is known already. */
static void send_on(struct generation *g)
{
    struct compiler *c = g->server->compiler;
    const struct form *f = &g->params.form;
    if (f->kind != FORM_FREE && !(g->compile.grammar = compiler_find(c, f))) {
        g->compile.form = f;
        g->compile.done = hear_compiled;
        g->compile.user = g;
        g->is_compiling = true;
        compiler_submit(c, &g->compile);
        return;
    }
    submit(g);
}

static void reply_count(struct generation *g)
{
    struct exchange *ex = g->ex;
    struct buf *out = text_of(g);
    struct json_writer w = json_writer(out);
    json_object(&w);
    if (g->wording->count_object) json_key_cstring(&w, "object", g->wording->count_object);
    json_key_int(&w, "input_tokens", g->n_prompt);
    json_end(&w);
    ex->gen = NULL;
    gen_free(g);
    exchange_reply(ex, 200, "application/json", out);
}

/* All that was to be waited for is here. */
static void go_on(struct generation *g)
{
    struct refusal r = {0};
    if (!generation_read(g, &r)) {
        gen_refuse(g, &r);
        return;
    }
    for (int32_t i = 0; i < g->n_prompts; i++) g->n_prompt += (int32_t)g->part[i].prompt.n;
    memcpy(g->ex->figures.unknown, g->params.unknown.names, sizeof g->ex->figures.unknown);
    if (g->is_count) {
        reply_count(g);
        return;
    }
    send_on(g);
}

/* Its sources have been looked for. */
static void hear_found(struct find_job *job)
{
    struct generation *g = job->user;
    struct refusal r = {0};
    g->sources = job->sources;
    if (!g->ex) {
        gen_free(g);
        return;
    }
    if (!g->served->worker)
        refuse(&r, REFUSAL_DRAINING, NULL, "the server is about to end");
    else if (!g->sources)
        refuse_err(&r, "sources", &job->err);
    if (r.kind != REFUSAL_NONE)
        gen_refuse(g, &r);
    else
        go_on(g);
}

/* The body is here and what came before it: its sources are next, if it wants any. */
static void find_sources(struct generation *g)
{
    struct refusal r = {0};
    if (!generation_read_cited(g, &r)) {
        gen_refuse(g, &r);
        return;
    }
    if (g->cited.n_want == 0) {
        go_on(g);
        return;
    }
    if (!g->server->library) {
        refuse(&r, REFUSAL_UNSUPPORTED, "sources",
               "sources: this server has no index; it must be started with --index");
        gen_refuse(g, &r);
        return;
    }
    g->find = (struct find_job){.question = g->cited.question.data,
                                .n_question = g->cited.question.n_bytes,
                                .before = g->cited.before.n_bytes ? g->cited.before.data : NULL,
                                .n_want = g->cited.n_want,
                                .done = hear_found,
                                .user = g};
    library_find(g->server->library, &g->find);
}

/* The earlier turns have been found, or not. */
static void hear_chain(struct vault_job *job)
{
    struct generation *g = job->user;
    struct err err = {0};
    if (!g->ex) {
        gen_free(g);
        return;
    }
    if (job->refusal.kind == REFUSAL_NONE && !g->served->worker)
        refuse(&job->refusal, REFUSAL_DRAINING, NULL, "the server is about to end");
    if (job->refusal.kind == REFUSAL_NONE) {
        g->chain = json_parse(job->doc.data, job->doc.n_bytes, job->doc.n_bytes, "it", &err);
        if (!g->chain) refuse_err(&job->refusal, "previous_response_id", &err);
    }
    if (job->refusal.kind != REFUSAL_NONE) {
        const struct refusal r = job->refusal; /* which goes with g */
        gen_refuse(g, &r);
        return;
    }
    vault_job_release(job);
    find_sources(g);
}

static void begin(struct exchange *ex, enum gen_api api, bool is_count, const void *body,
                  size_t n_bytes)
{
    struct server *s = ex->server;
    struct refusal r = {0};
    struct generation *g = gen_new(ex, api);
    if (!g) {
        refuse(&r, REFUSAL_SERVER, NULL, "no memory for the request");
        exchange_refuse(ex, &r);
        return;
    }
    g->ex = ex;
    ex->gen = g;
    g->is_count = is_count;
    g->n_body_bytes = n_bytes;
    /* whose first and last events hold what was asked */
    if (g->wording->keeps_text) ex->max_unread += 4 * n_bytes;
    memcpy(g->key_name, ex->key_name, sizeof g->key_name);
    bool ok = server_has_room(s, g->key_name, &r);
    if (ok) g->body = body_parse(body, n_bytes, MAX_BODY_BYTES, &r);
    ok = ok && g->body;
    if (ok && g->wording->shape)
        ok = shape_read(g->wording->shape, json_root(g->body), &g->ask, &r);
    if (!ok) {
        gen_refuse(g, &r);
    } else if (g->ask.previous && g->ask.previous[0]) {
        snprintf(g->stored.id, sizeof g->stored.id, "%s", g->ask.previous);
        g->stored.done = hear_chain;
        g->stored.user = g;
        vault_submit(s->vault, &g->stored);
    } else {
        find_sources(g);
    }
}

void generation_begin(struct exchange *ex, enum gen_api api, const void *body, size_t n_bytes)
{
    begin(ex, api, false, body, n_bytes);
}

void generation_count(struct exchange *ex, enum gen_api api, const void *body, size_t n_bytes)
{
    begin(ex, api, true, body, n_bytes);
}

void generation_abandon(struct generation *g)
{
    g->ex = NULL;
    if (!g->is_compiling) worker_cancel(g->served->worker, &g->job);
}

void generation_cancel_all(struct server *s)
{
    for (struct generation *g = s->gen_first; g; g = g->next)
        worker_cancel(g->served->worker, &g->job);
}

void generation_free_all(struct server *s)
{
    while (s->gen_first) {
        if (s->gen_first->ex) s->gen_first->ex->gen = NULL;
        gen_free(s->gen_first);
    }
}

/* ---- events ---- */

void generation_send(struct generation *g)
{
    const struct buf *b = &g->server->text;
    if (b->is_failed || exchange_stream_send(g->ex, b->data, b->n_bytes)) return;
    /* a slow reader: the connection is closing, and its close callback does the rest */
    worker_cancel(g->served->worker, &g->job);
}

static void begin_stream(struct generation *g)
{
    exchange_stream_begin(g->ex);
    for (int32_t i = 0; i < g->n_choices; i++)
        if (g->wording->first(g, i, text_of(g))) generation_send(g);
}

static void note_times(struct generation *g, struct choice *c, const struct worker_event *ev)
{
    struct metrics *m = &g->server->metrics;
    if (ev->token < 0) return;
    if (c->last_ns) {
        metrics_observe(m, HIST_NEXT_TOKEN, (double)(ev->at_ns - c->last_ns) * 1e-9);
    } else if (g->ex) {
        const int64_t first_ns = ev->at_ns - g->ex->begin_ns;
        metrics_observe(m, HIST_FIRST_TOKEN, (double)first_ns * 1e-9);
        if (!g->ex->figures.first_ns) g->ex->figures.first_ns = first_ns;
    }
    c->last_ns = ev->at_ns;
}

/* All answers to a prompt echo it. */
static void hear_prompt(struct generation *g, const struct worker_event *ev)
{
    for (int32_t i = 0; i < g->params.n_made; i++)
        word_logprobs(g, &g->choice[ev->i_choice + i], ev->sampled);
}

static void hear_text(struct generation *g, const struct worker_event *ev)
{
    struct choice *c = &g->choice[ev->i_choice];
    if (ev->is_prompt) {
        hear_prompt(g, ev);
        return;
    }
    note_times(g, c, ev);
    if (ev->sampled) c->sum_logprob += ev->sampled->logprob;
    c->n_generated = ev->n_generated;
    c->n_cached = ev->n_cached;
    c->n_same = ev->n_same;
    if (ev->finish != FINISH_NONE) c->finish = ev->finish;
    if (ev->i_stop >= 0) c->i_stop = ev->i_stop;
    if (!g->ex) return;
    if (g->params.is_stream && !g->ex->is_streaming) begin_stream(g);
    generation_say(g, ev);
}

static void sum_up(struct generation *g)
{
    g->n_generated = g->n_cached = 0;
    for (int32_t i = 0; i < g->n_choices; i++) {
        g->n_generated += g->choice[i].n_generated;
        /* the answers of one prompt found the same */
        if (i % g->params.n_made == 0) g->n_cached += g->choice[i].n_cached;
    }
    /* of several prompts, nobody would know which one is meant */
    if (g->n_prompts == 1) g->n_same = g->choice[0].n_same;
    g->server->metrics.n_cached_tok += g->n_cached;
    if (g->server->keys && g->key_name[0]) {
        const int key = keys_named(g->server->keys, g->key_name);
        if (key >= 0)
            key_spend(g->server->keys, key, clock_ns(), (int64_t)g->n_prompt + g->n_generated);
    }
}

/* Of two choices, the one whose tokens are likelier first. */
static int by_logprob(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;
    const double mean_x = x->sum_logprob / (x->n_generated ? x->n_generated : 1);
    const double mean_y = y->sum_logprob / (y->n_generated ? y->n_generated : 1);
    return (mean_x < mean_y) - (mean_x > mean_y);
}

/* Of each prompt's choices the best `n` are told, in that order. */
static void keep_best(struct generation *g)
{
    const int32_t n = g->params.n, n_made = g->params.n_made;
    if (n_made == n) return;
    for (int32_t i = 0; i < g->n_prompts; i++) {
        qsort(&g->choice[i * n_made], (size_t)n_made, sizeof *g->choice, by_logprob);
        for (int32_t j = 0; i > 0 && j < n; j++) {
            const struct choice best = g->choice[i * n_made + j];
            g->choice[i * n_made + j] = g->choice[i * n + j];
            g->choice[i * n + j] = best;
        }
    }
    g->n_told = g->n_prompts * n;
}

/* Why the answer is not whole, if so. */
static bool has_failed(const struct generation *g, struct refusal *r)
{
    if (g->job.err.code != ERR_OK) return !refuse_err(r, NULL, &g->job.err);
    for (int32_t i = 0; i < g->n_choices; i++) {
        if (g->choice[i].text.is_failed || g->choice[i].is_lost)
            return !refuse(r, REFUSAL_SERVER, NULL, "no memory for the answer");
        if (g->choice[i].finish == FINISH_NONE || g->choice[i].finish == FINISH_CANCEL)
            return !refuse(r, REFUSAL_DRAINING, NULL, "the server is about to end");
    }
    return false;
}

static void end_stream(struct generation *g, const struct refusal *r)
{
    if (r->kind != REFUSAL_NONE)
        g->wording->fault(g, r, text_of(g));
    else
        g->wording->end(g, text_of(g));
    generation_send(g);
    exchange_stream_end(g->ex);
}

/* Everything is said but the end. `r` as it ended. */
static void finish(struct generation *g, const struct refusal *r)
{
    struct exchange *ex = g->ex;
    const bool is_bad = r->kind != REFUSAL_NONE;
    ex->figures.n_prompt = g->n_prompt;
    ex->figures.n_cached = g->n_cached;
    ex->figures.n_same = g->n_same;
    ex->figures.n_generated = g->n_generated;
    ex->figures.finish = is_bad ? "error" : word_finish(&g->choice[0]);
    if (is_bad && r->kind == REFUSAL_SERVER) log_warn("request %s: %s", ex->id, r->text);
    if (ex->is_streaming) {
        end_stream(g, r);
    } else if (is_bad) {
        exchange_refuse(ex, r);
    } else {
        keep_best(g);
        g->wording->whole(g, text_of(g));
        exchange_reply(ex, 200, "application/json", &g->server->text);
    }
}

static void hear_stored(struct vault_job *job)
{
    struct generation *g = job->user;
    if (g->ex) finish(g, &job->refusal);
    gen_free(g);
}

static void hear_end(struct generation *g)
{
    struct refusal r = {0};
    sum_up(g);
    const bool is_whole = g->ex && !has_failed(g, &r);
    if (is_whole && g->api == GEN_RESPONSES && g->ask.stores) {
        generation_fill_stored(g);
        g->stored.done = hear_stored;
        g->stored.user = g;
        vault_submit(g->server->vault, &g->stored);
        return;
    }
    if (g->ex) finish(g, &r);
    gen_free(g);
}

void generation_hear(struct worker_event *ev)
{
    struct generation *g = ev->job->user;
    if (ev->kind == WORKER_END) {
        hear_end(g); /* the event went with its job */
        return;
    }
    if (ev->kind == WORKER_TEXT) hear_text(g, ev);
    if (ev->kind == WORKER_ACCEPTED && g->ex && g->params.is_stream) begin_stream(g);
    worker_event_free(ev);
}
