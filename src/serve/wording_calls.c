/* SPDX-License-Identifier: Apache-2.0
 *
 * wording_calls.c - calls of functions as chat completions word them, whole and as deltas of a
 * stream; and the order of texts and calls, for APIs whose answers are lists of both.
 *
 * A call's first delta has its place, id and name and no arguments yet; the following have its
 * place and more of the arguments, which clients join.
 */
#include "serve/generation.h"

static void put_function(struct json_writer *w, const char *name, const char *arguments, size_t n)
{
    json_key(w, "function");
    json_object(w);
    if (name) json_key_cstring(w, "name", name);
    json_key(w, "arguments");
    json_string(w, arguments, n);
    json_end(w);
}

void word_call_delta(struct json_writer *w, const struct generation *g, const struct piece *p)
{
    const struct call *call = &g->choice[p->i_choice].call[p->i_call];
    const bool is_first = p->kind == PIECE_CALL;
    json_key(w, "tool_calls");
    json_array(w);
    json_object(w);
    json_key_int(w, "index", p->i_call);
    if (is_first) {
        json_key_cstring(w, "id", call->id);
        json_key_cstring(w, "type", "function");
    }
    put_function(w, is_first ? call->name : NULL, is_first ? "" : p->text,
                 is_first ? 0 : p->n_text);
    json_end(w);
    json_end(w);
}

void word_calls(struct json_writer *w, const struct choice *c)
{
    json_key(w, "tool_calls");
    json_array(w);
    for (int32_t i = 0; i < c->n_calls; i++) {
        const struct call *call = &c->call[i];
        json_object(w);
        json_key_cstring(w, "id", call->id);
        json_key_cstring(w, "type", "function");
        put_function(w, call->name, call->arguments.data ? call->arguments.data : "",
                     call->arguments.n_bytes);
        json_end(w);
    }
    json_end(w);
}

void word_items(const struct choice *c, word_item_fn *fn, void *user)
{
    int32_t n = 0;
    size_t from = 0;
    for (int32_t i = 0; i < c->n_calls; i++) {
        const size_t at = c->call[i].text_at;
        if (at > from) fn(user, n++, -1, from, at);
        fn(user, n++, i, at, at);
        from = at;
    }
    if (from < c->text.n_bytes || n == 0) fn(user, n, -1, from, c->text.n_bytes);
}
