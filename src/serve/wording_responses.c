/* SPDX-License-Identifier: Apache-2.0
 *
 * wording_responses.c - answers as OpenAI's /v1/responses words them: one object, or events that
 * build it.
 *
 * The output is a list of items: a stretch of text is a message, a call of a function an item of
 * its own, in the order in which the model wrote them. A stream tells of each part when it begins,
 * grows and ends, and every event has a number. A message begins with its first text. The first and
 * the last events hold the whole response, with what the client asked for.
 *
 * Begin reading at write_response() and word_chunk().
 */
#include "serve/generation.h"

#include <stdio.h>
#include <string.h>

#include "base/json_write.h"

/* ---- the response ---- */

static const char *id_tail(const struct generation *g)
{
    return g->id + strlen(g->wording->id_prefix);
}

/* ---- items: a stretch of text, or a call ---- */

/* Where it stands among the items of the answer, and what it is. */
struct item {
    int32_t i, i_call;
    size_t begin, end; /* of the choice's text, if it is text */
    bool is_whole;
};

/* What it is while it comes, and when it has. */
static const char *status_of(const struct generation *g, const struct item *it)
{
    const struct choice *c = &g->choice[0];
    const bool is_cut =
        c->finish == FINISH_LENGTH &&
        (it->i_call < 0 ? it->end == c->text.n_bytes : !c->call[it->i_call].is_whole);
    return !it->is_whole ? "in_progress" : is_cut ? "incomplete" : "completed";
}

static void put_id(char id[60], const struct generation *g, const struct item *it)
{
    if (it->i_call >= 0)
        snprintf(id, 60, "fc_%s", g->choice[0].call[it->i_call].id + strlen("call_"));
    else if (it->i > 0)
        snprintf(id, 60, "msg_%s_%d", id_tail(g), (int)it->i);
    else
        snprintf(id, 60, "msg_%s", id_tail(g));
}

static void put_text(struct json_writer *w, const struct generation *g, const struct item *it)
{
    const struct choice *c = &g->choice[0];
    json_key(w, "text");
    json_string(w, c->text.data && it->is_whole ? c->text.data + it->begin : "",
                it->is_whole ? it->end - it->begin : 0);
}

/* Those of all tokens, with the first text. */
static void put_logprobs(struct json_writer *w, const struct generation *g, const struct item *it)
{
    const struct buf *b = &g->choice[0].logprobs[0];
    json_key(w, "logprobs");
    json_array(w);
    if (it->is_whole && it->begin == 0 && b->n_bytes) json_raw(w, b->data, b->n_bytes);
    json_end(w);
}

/* With sources no functions are offered: all text is one item. */
static void put_annotations(struct json_writer *w, const struct generation *g,
                            const struct item *it)
{
    const struct choice *c = &g->choice[0];
    json_key(w, "annotations");
    json_array(w);
    for (size_t i = 0; it->is_whole && i < c->n_cited; i++) word_response_citation(w, c, i);
    json_end(w);
}

static void write_text_part_out(struct json_writer *w, const struct generation *g,
                                const struct item *it)
{
    json_object(w);
    json_key_cstring(w, "type", "output_text");
    put_text(w, g, it);
    put_annotations(w, g, it);
    put_logprobs(w, g, it);
    json_end(w);
}

static void write_message(struct json_writer *w, const struct generation *g, const struct item *it)
{
    json_key_cstring(w, "role", "assistant");
    json_key(w, "content");
    json_array(w);
    if (it->is_whole) write_text_part_out(w, g, it);
    json_end(w);
}

static void put_arguments(struct json_writer *w, const struct call *call, bool is_whole)
{
    json_key(w, "arguments");
    json_string(w, call->arguments.data && is_whole ? call->arguments.data : "",
                is_whole ? call->arguments.n_bytes : 0);
}

static void write_call(struct json_writer *w, const struct call *call, bool is_whole)
{
    json_key_cstring(w, "call_id", call->id);
    json_key_cstring(w, "name", call->name);
    put_arguments(w, call, is_whole);
}

static void write_item(struct json_writer *w, const struct generation *g, const struct item *it)
{
    char id[60];
    put_id(id, g, it);
    json_object(w);
    json_key_cstring(w, "type", it->i_call >= 0 ? "function_call" : "message");
    json_key_cstring(w, "id", id);
    json_key_cstring(w, "status", status_of(g, it));
    if (it->i_call >= 0)
        write_call(w, &g->choice[0].call[it->i_call], it->is_whole);
    else
        write_message(w, g, it);
    json_end(w);
}

struct item_list {
    struct json_writer *w;
    const struct generation *g;
};

static void write_one(void *user, int32_t i_item, int32_t i_call, size_t begin, size_t end)
{
    const struct item_list *l = user;
    write_item(l->w, l->g, &(struct item){i_item, i_call, begin, end, true});
}

static void write_usage(struct json_writer *w, const struct generation *g)
{
    json_key(w, "usage");
    json_object(w);
    json_key_int(w, "input_tokens", g->n_prompt);
    json_key(w, "input_tokens_details");
    json_object(w);
    json_key_int(w, "cached_tokens", g->n_cached);
    if (g->n_same > 0) json_key_int(w, "diverged_at_token", g->n_same);
    json_end(w);
    json_key_int(w, "output_tokens", g->n_generated);
    json_key(w, "output_tokens_details");
    json_object(w);
    json_key_int(w, "reasoning_tokens", 0);
    json_end(w);
    json_key_int(w, "total_tokens", (int64_t)g->n_prompt + g->n_generated);
    json_end(w);
}

/* Fields that stand in the response as they were asked for. */
static const struct echo {
    const char *name, *fallback;
} echoes[] = {
    {"instructions", "null"},
    {"max_output_tokens", "null"},
    {"max_tool_calls", "null"},
    {"metadata", "{}"},
    {"parallel_tool_calls", "true"},
    {"previous_response_id", "null"},
    {"prompt_cache_key", "null"},
    {"reasoning", "{\"effort\":null,\"summary\":null}"},
    {"safety_identifier", "null"},
    {"store", "true"},
    {"text", "{\"format\":{\"type\":\"text\"}}"},
    {"tool_choice", "\"auto\""},
    {"tools", "[]"},
    {"top_logprobs", "0"},
    {"truncation", "\"disabled\""},
    {"user", "null"},
    {0},
};

/* A field that is null is as one that is not there. */
static void write_echoes(struct json_writer *w, const struct generation *g)
{
    const struct json none = {0};
    for (const struct echo *e = echoes; e->name; e++) {
        const struct json v = json_get(json_root(g->body), e->name);
        json_key_copy(w, e->name, json_type(v) == JSON_NULL ? none : v, e->fallback);
    }
}

/* `status`: "in_progress", or how it ended; `r`: why it failed. */
static void write_response(struct json_writer *w, const struct generation *g, const char *status,
                           const struct refusal *r)
{
    const bool is_over = strcmp(status, "in_progress") != 0;
    const bool is_whole = is_over && !r;
    json_object(w);
    json_key_cstring(w, "id", g->id);
    json_key_cstring(w, "object", "response");
    json_key_int(w, "created_at", g->created_s);
    json_key_cstring(w, "status", status);
    json_key_boolean(w, "background", false);
    json_key(w, "error");
    if (r) {
        json_object(w);
        json_key_cstring(w, "code", "server_error");
        json_key_cstring(w, "message", r->text);
        json_end(w);
    } else {
        json_null(w);
    }
    json_key(w, "incomplete_details");
    if (strcmp(status, "incomplete") == 0)
        json_raw(w, "{\"reason\":\"max_output_tokens\"}", 30);
    else
        json_null(w);
    json_key_cstring(w, "model", server_model_name(g->served, g->adapter));
    json_key(w, "output");
    json_array(w);
    if (is_whole) word_items(&g->choice[0], write_one, &(struct item_list){w, g});
    json_end(w);
    json_key_float(w, "temperature", g->params.sampling.temperature);
    json_key_float(w, "top_p", g->params.sampling.top_p);
    write_echoes(w, g);
    if (is_over)
        write_usage(w, g);
    else
        json_key_cstring(w, "usage", NULL);
    json_end(w);
}

/* ---- events ---- */

static struct json_writer open_event(struct generation *g, const char *name, struct buf *out)
{
    struct json_writer w = json_writer(out);
    buf_printf(out, "event: %s\ndata: ", name);
    json_object(&w);
    json_key_cstring(&w, "type", name);
    json_key_int(&w, "sequence_number", g->n_events++);
    return w;
}

static void close_event(struct json_writer *w)
{
    json_end(w);
    buf_puts(w->out, "\n\n");
}

static void word_response(struct generation *g, const char *name, const char *status,
                          const struct refusal *r, struct buf *out)
{
    struct json_writer w = open_event(g, name, out);
    json_key(&w, "response");
    write_response(&w, g, status, r);
    close_event(&w);
}

static void word_item(struct generation *g, const char *name, const struct item *it,
                      struct buf *out)
{
    struct json_writer w = open_event(g, name, out);
    json_key_int(&w, "output_index", it->i);
    json_key(&w, "item");
    write_item(&w, g, it);
    close_event(&w);
}

/* An event about a part of an item, which goes on with what the caller writes. */
static struct json_writer open_part_event(struct generation *g, const char *name,
                                          const struct item *it, struct buf *out)
{
    char id[60];
    struct json_writer w = open_event(g, name, out);
    put_id(id, g, it);
    json_key_cstring(&w, "item_id", id);
    json_key_int(&w, "output_index", it->i);
    if (it->i_call < 0) json_key_int(&w, "content_index", 0);
    return w;
}

static void word_part(struct generation *g, const char *name, const struct item *it,
                      struct buf *out)
{
    struct json_writer w = open_part_event(g, name, it, out);
    json_key(&w, "part");
    write_text_part_out(&w, g, it);
    close_event(&w);
}

static bool word_first(struct generation *g, int32_t i_choice, struct buf *out)
{
    (void)i_choice;
    word_response(g, "response.created", "in_progress", NULL, out);
    word_response(g, "response.in_progress", "in_progress", NULL, out);
    return true;
}

/* The item that is open: the newest. */
static struct item open_item(const struct generation *g, bool is_whole)
{
    const struct choice *c = &g->choice[0];
    return (struct item){.i = g->n_opened - 1,
                         .i_call = g->open == OPEN_CALL ? c->n_calls - 1 : -1,
                         .begin = g->text_from,
                         .end = c->text.n_bytes,
                         .is_whole = is_whole};
}

static void close_text(struct generation *g, const struct item *it, struct buf *out)
{
    struct json_writer w = open_part_event(g, "response.output_text.done", it, out);
    put_text(&w, g, it);
    put_logprobs(&w, g, it);
    close_event(&w);
    word_part(g, "response.content_part.done", it, out);
}

static void close_call(struct generation *g, const struct item *it, struct buf *out)
{
    const struct call *call = &g->choice[0].call[it->i_call];
    struct json_writer w = open_part_event(g, "response.function_call_arguments.done", it, out);
    json_key_cstring(&w, "name", call->name);
    put_arguments(&w, call, true);
    close_event(&w);
}

static void close_item(struct generation *g, struct buf *out)
{
    const struct item it = open_item(g, true);
    if (g->open == OPEN_NONE) return;
    if (g->open == OPEN_CALL)
        close_call(g, &it, out);
    else
        close_text(g, &it, out);
    word_item(g, "response.output_item.done", &it, out);
    g->open = OPEN_NONE;
}

static void begin_text(struct generation *g, size_t from, struct buf *out)
{
    g->n_opened++;
    g->open = OPEN_TEXT;
    g->text_from = from;
    const struct item it = open_item(g, false);
    word_item(g, "response.output_item.added", &it, out);
    word_part(g, "response.content_part.added", &it, out);
}

static void begin_call(struct generation *g, struct buf *out)
{
    close_item(g, out);
    g->n_opened++;
    g->open = OPEN_CALL;
    const struct item it = open_item(g, false);
    word_item(g, "response.output_item.added", &it, out);
}

static void word_arguments(struct generation *g, const struct piece *p, struct buf *out)
{
    const struct item it = open_item(g, false);
    struct json_writer w = open_part_event(g, "response.function_call_arguments.delta", &it, out);
    json_key(&w, "delta");
    json_string(&w, p->text, p->n_text);
    close_event(&w);
}

static void word_text(struct generation *g, const struct piece *p, struct buf *out)
{
    struct buf logprobs;
    if (p->n_text == 0 && (!p->sampled || g->choice[0].parser)) return;
    if (g->open != OPEN_TEXT) begin_text(g, g->choice[0].text.n_bytes - p->n_text, out);
    buf_init(&logprobs, 1 << 16);
    if (p->sampled) word_chat_logprob(g, &logprobs, p->sampled);
    const struct item it = open_item(g, false);
    struct json_writer w = open_part_event(g, "response.output_text.delta", &it, out);
    json_key(&w, "delta");
    json_string(&w, p->text, p->n_text);
    json_key(&w, "logprobs");
    json_array(&w);
    if (logprobs.n_bytes) json_raw(&w, logprobs.data, logprobs.n_bytes);
    json_end(&w);
    close_event(&w);
    buf_release(&logprobs);
}

static void word_citations(struct generation *g, const struct piece *p, struct buf *out)
{
    const struct choice *c = &g->choice[0];
    const struct item it = open_item(g, false);
    for (size_t i = c->n_cited; i < c->n_cited + p->n_new; i++) {
        struct json_writer w =
            open_part_event(g, "response.output_text.annotation.added", &it, out);
        json_key_uint(&w, "annotation_index", i);
        json_key(&w, "annotation");
        word_response_citation(&w, c, i);
        close_event(&w);
    }
}

static void word_chunk(struct generation *g, const struct piece *p, struct buf *out)
{
    if (p->kind == PIECE_CALL)
        begin_call(g, out);
    else if (p->kind == PIECE_ARGUMENTS)
        word_arguments(g, p, out);
    else if (p->kind == PIECE_CALL_END)
        close_item(g, out);
    else if (p->kind == PIECE_REFERENCES)
        word_citations(g, p, out);
    else
        word_text(g, p, out);
}

static bool is_cut(const struct generation *g) { return g->choice[0].finish == FINISH_LENGTH; }
static const char *end_status(const struct generation *g)
{
    return is_cut(g) ? "incomplete" : "completed";
}

static void word_end(struct generation *g, struct buf *out)
{
    if (!g->n_opened) begin_text(g, 0, out);
    close_item(g, out);
    word_response(g, is_cut(g) ? "response.incomplete" : "response.completed", end_status(g), NULL,
                  out);
}

static void word_fault(struct generation *g, const struct refusal *r, struct buf *out)
{
    word_response(g, "response.failed", "failed", r, out);
}

static void word_whole(struct generation *g, struct buf *out)
{
    struct json_writer w = json_writer(out);
    write_response(&w, g, end_status(g), NULL);
}

const struct wording wording_responses = {
    .id_prefix = "resp_",
    .reads_as = GEN_CHAT,
    .shape = &shape_responses,
    .count_object = "response.input_tokens",
    .keeps_text = true,
    .first = word_first,
    .chunk = word_chunk,
    .end = word_end,
    .fault = word_fault,
    .whole = word_whole,
};
