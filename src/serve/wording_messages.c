/* SPDX-License-Identifier: Apache-2.0
 *
 * wording_messages.c - answers as Anthropic's /v1/messages words them: one message of blocks, or
 * events that build it.
 *
 * Here the input's tokens are counted without those from the cache. Before the first token it is
 * not known how many those are, so that message_start says all, and message_delta how it was.
 */
#include "serve/generation.h"

#include <string.h>

#include "base/json_write.h"

static const char *stop_reason(const struct choice *c)
{
    return c->finish == FINISH_LENGTH ? "max_tokens"
           : c->i_stop >= 0           ? "stop_sequence"
                                      : "end_turn";
}

static void write_stop(struct json_writer *w, const struct generation *g, bool is_over)
{
    const struct choice *c = &g->choice[0];
    json_key_cstring(w, "stop_reason", is_over ? stop_reason(c) : NULL);
    json_key_cstring(w, "stop_sequence",
                     is_over && c->i_stop >= 0 ? g->params.stop[c->i_stop] : NULL);
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

static void write_message(struct json_writer *w, const struct generation *g, bool is_over)
{
    const struct choice *c = &g->choice[0];
    json_object(w);
    json_key_cstring(w, "id", g->id);
    json_key_cstring(w, "type", "message");
    json_key_cstring(w, "role", "assistant");
    json_key_cstring(w, "model", server_model_name(g->server, g->adapter));
    json_key(w, "content");
    json_array(w);
    if (is_over) write_text_part(w, c->text.data ? c->text.data : "", c->text.n_bytes);
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
    w = open_event("content_block_start", out);
    json_key_int(&w, "index", 0);
    json_key(&w, "content_block");
    write_text_part(&w, "", 0);
    close_event(&w);
    w = open_event("ping", out);
    close_event(&w);
    return true;
}

static void word_chunk(struct generation *g, const struct piece *p, struct buf *out)
{
    (void)g;
    if (p->n_text == 0) return;
    struct json_writer w = open_event("content_block_delta", out);
    json_key_int(&w, "index", 0);
    json_key(&w, "delta");
    json_object(&w);
    json_key_cstring(&w, "type", "text_delta");
    json_key(&w, "text");
    json_string(&w, p->text, p->n_text);
    json_end(&w);
    close_event(&w);
}

static void word_end(struct generation *g, struct buf *out)
{
    struct json_writer w = open_event("content_block_stop", out);
    json_key_int(&w, "index", 0);
    close_event(&w);
    w = open_event("message_delta", out);
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
