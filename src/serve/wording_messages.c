/* SPDX-License-Identifier: Apache-2.0
 *
 * wording_messages.c - answers as Anthropic's /v1/messages words them: one message of blocks, or
 * events that build it: a stretch of text, or a call of a tool, each a block.
 *
 * Here the input's tokens are counted without those from the cache. Before the first token it is
 * not known how many those are, so that message_start says all, and message_delta how it was.
 */
#include "serve/generation.h"

#include <stdio.h>
#include <string.h>

#include "base/json_write.h"

static const char *stop_reason(const struct choice *c)
{
    return c->finish == FINISH_LENGTH ? "max_tokens"
           : c->n_calls               ? "tool_use"
           : c->i_stop >= 0           ? "stop_sequence"
                                      : "end_turn";
}

static void write_stop(struct json_writer *w, const struct generation *g, bool is_over)
{
    const struct choice *c = &g->choice[0];
    json_key_cstring(w, "stop_reason", is_over ? stop_reason(c) : NULL);
    json_key_cstring(w, "stop_sequence",
                     is_over && c->i_stop >= 0 && !c->n_calls ? g->params.stop[c->i_stop] : NULL);
}

static void write_call_id(struct json_writer *w, const struct call *call)
{
    char id[48];
    snprintf(id, sizeof id, "toolu_%s", call->id + strlen("call_"));
    json_key_cstring(w, "id", id);
}

static void write_usage(struct json_writer *w, const struct generation *g)
{
    json_key(w, "usage");
    json_object(w);
    json_key_int(w, "input_tokens", (int64_t)g->n_prompt - g->n_cached);
    json_key_int(w, "cache_creation_input_tokens", 0);
    json_key_int(w, "cache_read_input_tokens", g->n_cached);
    json_key_int(w, "output_tokens", g->n_generated);
    json_end(w);
}

/* `arguments` of a call that was cut are no JSON: {} then, and while they are still to come. */
static void write_call(struct json_writer *w, const struct call *call, bool is_over)
{
    const struct buf *b = &call->arguments;
    json_object(w);
    json_key_cstring(w, "type", "tool_use");
    write_call_id(w, call);
    json_key_cstring(w, "name", call->name);
    json_key(w, "input");
    if (is_over && call->is_whole)
        json_raw(w, b->data, b->n_bytes);
    else
        json_raw(w, "{}", 2);
    json_end(w);
}

struct block_list {
    struct json_writer *w;
    const struct choice *c;
};

static void write_block(void *user, int32_t i_item, int32_t i_call, size_t begin, size_t end)
{
    const struct block_list *l = user;
    (void)i_item;
    if (i_call >= 0)
        write_call(l->w, &l->c->call[i_call], true);
    else
        word_message_texts(l->w, l->c, begin, end);
}

static void write_message(struct json_writer *w, const struct generation *g, bool is_over)
{
    const struct choice *c = &g->choice[0];
    json_object(w);
    json_key_cstring(w, "id", g->id);
    json_key_cstring(w, "type", "message");
    json_key_cstring(w, "role", "assistant");
    json_key_cstring(w, "model", server_model_name(g->served, g->adapter));
    json_key(w, "content");
    json_array(w);
    if (is_over) word_items(c, write_block, &(struct block_list){w, c});
    json_end(w);
    write_stop(w, g, is_over);
    write_usage(w, g);
    json_end(w);
}

/* ---- events ---- */

static struct json_writer open_event(const char *name, struct buf *out)
{
    struct json_writer w = json_writer(out);
    buf_printf(out, "event: %s\ndata: ", name);
    json_object(&w);
    json_key_cstring(&w, "type", name);
    return w;
}

static void close_event(struct json_writer *w)
{
    json_end(w);
    buf_puts(w->out, "\n\n");
}

static bool word_first(struct generation *g, int32_t i_choice, struct buf *out)
{
    (void)i_choice;
    struct json_writer w = open_event("message_start", out);
    json_key(&w, "message");
    write_message(&w, g, false);
    close_event(&w);
    w = open_event("ping", out);
    close_event(&w);
    return true;
}

/* ---- blocks: a stretch of text, or a call ---- */

static struct json_writer open_block_event(const struct generation *g, const char *name,
                                           struct buf *out)
{
    struct json_writer w = open_event(name, out);
    json_key_int(&w, "index", g->n_opened - 1);
    return w;
}

static void close_block(struct generation *g, struct buf *out)
{
    if (g->open == OPEN_NONE) return;
    struct json_writer w = open_block_event(g, "content_block_stop", out);
    close_event(&w);
    g->open = OPEN_NONE;
}

/* `call` NULL: text. */
static void begin_block(struct generation *g, const struct call *call, struct buf *out)
{
    close_block(g, out);
    g->n_opened++;
    g->open = call ? OPEN_CALL : OPEN_TEXT;
    struct json_writer w = open_block_event(g, "content_block_start", out);
    json_key(&w, "content_block");
    if (call)
        write_call(&w, call, false);
    else
        write_text_part(&w, "", 0);
    close_event(&w);
}

static void word_delta(const struct generation *g, const char *type, const char *key,
                       const struct piece *p, struct buf *out)
{
    struct json_writer w = open_block_event(g, "content_block_delta", out);
    json_key(&w, "delta");
    json_object(&w);
    json_key_cstring(&w, "type", type);
    json_key(&w, key);
    json_string(&w, p->text, p->n_text);
    json_end(&w);
    close_event(&w);
}

/* The newest references, in the block of the sentence that they support. */
static void word_citations(const struct generation *g, size_t n_new, struct buf *out)
{
    const struct choice *c = &g->choice[0];
    for (size_t i = c->n_cited; i < c->n_cited + n_new; i++) {
        struct json_writer w = open_block_event(g, "content_block_delta", out);
        json_key(&w, "delta");
        json_object(&w);
        json_key_cstring(&w, "type", "citations_delta");
        json_key(&w, "citation");
        word_message_citation(&w, c, i);
        json_end(&w);
        close_event(&w);
    }
}

static void word_chunk(struct generation *g, const struct piece *p, struct buf *out)
{
    if (p->kind == PIECE_CALL) {
        begin_block(g, &g->choice[0].call[p->i_call], out);
    } else if (p->kind == PIECE_CALL_END) {
        close_block(g, out);
    } else if (p->kind == PIECE_ARGUMENTS) {
        word_delta(g, "input_json_delta", "partial_json", p, out);
    } else if (p->kind == PIECE_REFERENCES) {
        word_citations(g, p->n_new, out);
    } else if (p->n_text > 0) {
        if (g->open != OPEN_TEXT || p->begins_sentence) begin_block(g, NULL, out);
        word_delta(g, "text_delta", "text", p, out);
    }
}

static void word_end(struct generation *g, struct buf *out)
{
    if (!g->n_opened) begin_block(g, NULL, out);
    close_block(g, out);
    struct json_writer w = open_event("message_delta", out);
    json_key(&w, "delta");
    json_object(&w);
    write_stop(&w, g, true);
    json_end(&w);
    write_usage(&w, g);
    close_event(&w);
    w = open_event("message_stop", out);
    close_event(&w);
}

static void word_fault(struct generation *g, const struct refusal *r, struct buf *out)
{
    (void)g;
    buf_puts(out, "event: error\ndata: ");
    refusal_write(r, REFUSAL_ANTHROPIC, out);
    buf_puts(out, "\n\n");
}

static void word_whole(struct generation *g, struct buf *out)
{
    struct json_writer w = json_writer(out);
    write_message(&w, g, true);
}

const struct wording wording_messages = {
    .id_prefix = "msg_",
    .reads_as = GEN_CHAT,
    .shape = &shape_messages,
    .first = word_first,
    .chunk = word_chunk,
    .end = word_end,
    .fault = word_fault,
    .whole = word_whole,
};
