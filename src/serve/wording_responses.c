/* SPDX-License-Identifier: Apache-2.0
 *
 * wording_responses.c - answers as OpenAI's /v1/responses words them: one object, or events that
 * build it.
 *
 * A stream tells of each part when it begins, grows and ends, and every event has a number. The
 * message begins with its first text. The first and the last events hold the whole response, with
 * what the client asked for.
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

static const char *text_of(const struct generation *g)
{
    return g->choice[0].text.data ? g->choice[0].text.data : "";
}

static void write_text_part_out(struct json_writer *w, const struct generation *g, bool is_whole)
{
    const struct choice *c = &g->choice[0];
    json_object(w);
    json_key_cstring(w, "type", "output_text");
    json_key(w, "text");
    json_string(w, is_whole ? text_of(g) : "", is_whole ? c->text.n_bytes : 0);
    json_key(w, "annotations");
    json_array(w);
    json_end(w);
    json_key(w, "logprobs");
    json_array(w);
    if (is_whole && c->logprobs[0].n_bytes)
        json_raw(w, c->logprobs[0].data, c->logprobs[0].n_bytes);
    json_end(w);
    json_end(w);
}

/* What a part of the answer is while it comes, and when it has. */
static const char *part_status(const struct generation *g, bool is_whole)
{
    return !is_whole                              ? "in_progress"
           : g->choice[0].finish == FINISH_LENGTH ? "incomplete"
                                                  : "completed";
}

static void write_message(struct json_writer *w, const struct generation *g, bool is_whole)
{
    char id[60];
    snprintf(id, sizeof id, "msg_%s", id_tail(g));
    json_object(w);
    json_key_cstring(w, "type", "message");
    json_key_cstring(w, "id", id);
    json_key_cstring(w, "status", part_status(g, is_whole));
    json_key_cstring(w, "role", "assistant");
    json_key(w, "content");
    json_array(w);
    if (is_whole) write_text_part_out(w, g, true);
    json_end(w);
    json_end(w);
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
    json_key_cstring(w, "model", server_model_name(g->server, g->adapter));
    json_key(w, "output");
    json_array(w);
    if (is_whole) write_message(w, g, true);
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

static void word_item(struct generation *g, const char *name, bool is_whole, struct buf *out)
{
    struct json_writer w = open_event(g, name, out);
    json_key_int(&w, "output_index", 0);
    json_key(&w, "item");
    write_message(&w, g, is_whole);
    close_event(&w);
}

/* An event about the text, which goes on with what the caller writes. */
static struct json_writer open_text_event(struct generation *g, const char *name, struct buf *out)
{
    char id[60];
    struct json_writer w = open_event(g, name, out);
    snprintf(id, sizeof id, "msg_%s", id_tail(g));
    json_key_cstring(&w, "item_id", id);
    json_key_int(&w, "output_index", 0);
    json_key_int(&w, "content_index", 0);
    return w;
}

static void word_part(struct generation *g, const char *name, bool is_whole, struct buf *out)
{
    struct json_writer w = open_text_event(g, name, out);
    json_key(&w, "part");
    write_text_part_out(&w, g, is_whole);
    close_event(&w);
}

static bool word_first(struct generation *g, int32_t i_choice, struct buf *out)
{
    (void)i_choice;
    word_response(g, "response.created", "in_progress", NULL, out);
    word_response(g, "response.in_progress", "in_progress", NULL, out);
    return true;
}

static void open_message(struct generation *g, struct buf *out)
{
    if (g->n_opened++ > 0) return;
    word_item(g, "response.output_item.added", false, out);
    word_part(g, "response.content_part.added", false, out);
}

static void word_chunk(struct generation *g, const struct piece *p, struct buf *out)
{
    struct buf logprobs;
    if (p->n_text == 0 && !p->sampled) return;
    if (!g->n_opened) open_message(g, out);
    buf_init(&logprobs, 1 << 16);
    if (p->sampled) word_chat_logprob(g, &logprobs, p->sampled);
    struct json_writer w = open_text_event(g, "response.output_text.delta", out);
    json_key(&w, "delta");
    json_string(&w, p->text, p->n_text);
    json_key(&w, "logprobs");
    json_array(&w);
    if (logprobs.n_bytes) json_raw(&w, logprobs.data, logprobs.n_bytes);
    json_end(&w);
    close_event(&w);
    buf_release(&logprobs);
}

static void close_message(struct generation *g, struct buf *out)
{
    const struct choice *c = &g->choice[0];
    struct json_writer w = open_text_event(g, "response.output_text.done", out);
    json_key(&w, "text");
    json_string(&w, text_of(g), c->text.n_bytes);
    json_key(&w, "logprobs");
    json_array(&w);
    if (c->logprobs[0].n_bytes) json_raw(&w, c->logprobs[0].data, c->logprobs[0].n_bytes);
    json_end(&w);
    close_event(&w);
    word_part(g, "response.content_part.done", true, out);
    word_item(g, "response.output_item.done", true, out);
}

static const char *end_status(const struct generation *g) { return part_status(g, true); }

static void word_end(struct generation *g, struct buf *out)
{
    const bool is_cut = g->choice[0].finish == FINISH_LENGTH;
    if (!g->n_opened) open_message(g, out);
    close_message(g, out);
    word_response(g, is_cut ? "response.incomplete" : "response.completed", end_status(g), NULL,
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
