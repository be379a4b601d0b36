/* SPDX-License-Identifier: Apache-2.0
 *
 * generation_say.c - from an event's text to what the client is told: text, and calls of functions.
 *
 * Where functions are offered, a choice's text goes through a parser (text/tool_calls.h), which
 * gives pieces of text and of calls; else an event is a piece. Pieces become chunks of a stream at
 * once, and are kept where the whole is to be told in the end.
 *
 * The log-probabilities of a token lie beside the pieces of a choice that has a parser, since text
 * may be held back and calls have none.
 */
#include "serve/generation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { MAX_ARGUMENT_BYTES = 16 << 20 };

/* ---- a choice ---- */

static void hear_call(void *user, const struct call_event *ev);
static void hear_cited(void *user, const char *s, size_t n_bytes);

bool choice_open(struct choice *c, struct generation *g, struct refusal *r)
{
    const struct tools *t = &g->params.tools;
    struct err err = {0};
    c->generation = g;
    if (g->sources && !(c->citer = citer_new(g->sources, hear_cited, c)))
        return refuse(r, REFUSAL_SERVER, NULL, "no memory for the answer");
    if (!tools_are_offered(t)) return true;
    c->parser = call_parser_new(t->name, t->n, hear_call, c, &err);
    return c->parser || refuse_err(r, NULL, &err);
}

void choice_release(struct choice *c)
{
    call_parser_free(c->parser);
    citer_free(c->citer);
    for (int32_t i = 0; i < c->n_calls; i++) buf_release(&c->call[i].arguments);
    free(c->call);
    buf_release(&c->text);
    buf_release(&c->sentences);
    for (int k = 0; k < CHOICE_LOGPROBS; k++) buf_release(&c->logprobs[k]);
}

static struct call *add_call(struct choice *c, int32_t i_tool)
{
    unsigned char random[12] = {0};
    if ((c->n_calls & (c->n_calls - 1)) == 0) { /* full: 0, 1, 2, 4, ... */
        const size_t cap = c->n_calls ? 2 * (size_t)c->n_calls : 1;
        struct call *more = realloc(c->call, cap * sizeof *more);
        if (!more) return NULL;
        c->call = more;
    }
    struct call *call = &c->call[c->n_calls++];
    *call = (struct call){.name = c->generation->params.tools.tool[i_tool].name,
                          .text_at = c->text.n_bytes};
    buf_init(&call->arguments, MAX_ARGUMENT_BYTES);
    if (getrandom(random, sizeof random, 0) < 0) memset(random, 0, sizeof random);
    size_t n = (size_t)snprintf(call->id, sizeof call->id, "call_");
    for (size_t i = 0; i < sizeof random; i++)
        n += (size_t)snprintf(call->id + n, sizeof call->id - n, "%02x", random[i]);
    return call;
}

/* ---- pieces ---- */

static void keep(struct generation *g, struct choice *c, const struct piece *p)
{
    if (p->begins_sentence) buf_append(&c->sentences, &c->text.n_bytes, sizeof c->text.n_bytes);
    if (p->kind == PIECE_TEXT) buf_append(&c->text, p->text, p->n_text);
    if (p->kind == PIECE_ARGUMENTS) buf_append(&c->call[p->i_call].arguments, p->text, p->n_text);
    if (p->sampled && g->params.wants_logprobs) word_logprobs(g, c, p->sampled);
}

static void say(struct generation *g, const struct piece *p)
{
    struct choice *c = &g->choice[p->i_choice];
    if (!g->params.is_stream || g->wording->keeps_text) keep(g, c, p);
    if (!g->params.is_stream || c->finish == FINISH_CANCEL || c->finish == FINISH_ERROR) return;
    buf_clear(&g->server->text);
    g->wording->chunk(g, p, &g->server->text);
    if (g->server->text.n_bytes || g->server->text.is_failed) generation_send(g);
}

/* The parser ends a call that was cut, too. */
static bool is_json(const struct buf *text)
{
    struct err err = {0};
    struct json_doc *d = json_parse(text->data, text->n_bytes, text->n_bytes, "arguments", &err);
    json_free(d);
    return d != NULL;
}

static void hear_call(void *user, const struct call_event *ev)
{
    static const enum piece_kind kinds[] = {[CALL_TEXT] = PIECE_TEXT,
                                            [CALL_BEGIN] = PIECE_CALL,
                                            [CALL_ARGUMENTS] = PIECE_ARGUMENTS,
                                            [CALL_END] = PIECE_CALL_END};
    struct choice *c = user;
    struct generation *g = c->generation;
    /* where every answer is calls, what is left of one that was cut is not text either */
    if (ev->kind == CALL_TEXT && g->params.tools.choice == TOOLS_REQUIRED) return;
    if (ev->kind == CALL_BEGIN && !c->is_lost) c->is_lost = !add_call(c, ev->i_tool);
    if (c->is_lost) return; /* the answer ends with an error */
    if (ev->kind == CALL_END) {
        struct call *call = &c->call[c->n_calls - 1];
        call->is_whole = call->arguments.n_bytes > 0 && is_json(&call->arguments);
    }
    const struct piece p = {
        .kind = kinds[ev->kind],
        .i_choice = (int32_t)(c - g->choice),
        .i_call = c->n_calls - 1,
        .text = ev->text,
        .n_text = ev->n_text,
    };
    say(g, &p);
}

/* Those that no piece has told: behind the text of their marks, before the next sentence. */
static void tell_references(struct choice *c)
{
    size_t n = 0;
    (void)citer_citations(c->citer, &n);
    const struct piece p = {.kind = PIECE_REFERENCES,
                            .i_choice = (int32_t)(c - c->generation->choice),
                            .n_new = n - c->n_cited};
    if (p.n_new) say(c->generation, &p);
    c->n_cited = n;
}

/* Text with references, as far as it is sure. */
static void hear_cited(void *user, const char *s, size_t n_bytes)
{
    struct choice *c = user;
    struct generation *g = c->generation;
    const size_t at = citer_sentence(c->citer);
    const struct piece p = {.kind = PIECE_TEXT,
                            .i_choice = (int32_t)(c - g->choice),
                            .text = s,
                            .n_text = n_bytes,
                            .begins_sentence = at != c->sentence_at};
    if (p.begins_sentence) tell_references(c);
    c->sentence_at = at;
    say(g, &p);
}

static void cite(struct choice *c, const struct worker_event *ev)
{
    struct err err = {0};
    if (c->is_lost) return;
    c->is_lost = !citer_feed(c->citer, ev->text, ev->n_text, &err) ||
                 (ev->finish != FINISH_NONE && !citer_end(c->citer, &err));
    tell_references(c);
}

void generation_say(struct generation *g, const struct worker_event *ev)
{
    struct choice *c = &g->choice[ev->i_choice];
    struct err err = {0};
    struct piece p = {
        .kind = PIECE_TEXT,
        .i_choice = ev->i_choice,
        .text = ev->text,
        .n_text = ev->n_text,
        .sampled = ev->sampled,
        .finish = ev->finish,
    };
    if (c->parser) {
        call_parser_feed(c->parser, ev->text, ev->n_text);
        if (ev->finish != FINISH_NONE) call_parser_end(c->parser);
        if (!call_parser_check(c->parser, &err)) c->is_lost = true;
        p.n_text = 0;
    }
    if (c->citer) {
        cite(c, ev);
        p.n_text = 0;
    }
    if (p.n_text || p.sampled || p.finish != FINISH_NONE) say(g, &p);
}
