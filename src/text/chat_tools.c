/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_tools.c - functions in conversations: which way a template has of telling about them, and a
 * way for templates that have none.
 *
 * Most chat models have seen the form of Hermes, in training or on the way: functions as JSON in
 * the system message, calls between <tool_call> tags, results between <tool_response> tags in a
 * message of the user. So a model whose template knows no functions is told of them so. What comes
 * from outside (descriptions, results) is ordinary text of messages, as everything in them.
 *
 * Begin reading at chat_tools_plain().
 */
#include <string.h>

#include "base/json.h"
#include "text/chat_parts.h"

enum { MAX_JSON_BYTES = 16 << 20, MAX_TEXT_BYTES = 64 << 20 };

enum chat_tool_form chat_tool_form(const struct chat_family *f, const struct vocab *v)
{
    if (f == &chat_llama31) return CHAT_TOOLS_LLAMA;
    const char *tmpl = f == &chat_interpreted ? v->chat_template : NULL;
    if (!tmpl || !strstr(tmpl, "tools")) return CHAT_TOOLS_PLAIN;
    if (strstr(tmpl, "<tool_call>")) return CHAT_TOOLS_HERMES;
    /* Llama 3.1's way in a template of another spelling */
    return strstr(tmpl, "ipython") && strstr(tmpl, "\"parameters\"") ? CHAT_TOOLS_LLAMA
                                                                     : CHAT_TOOLS_PLAIN;
}

/* ---- texts ---- */

struct plain {
    struct arena *a;
    struct err *err;
    struct chat_message *to;
    size_t n;
};

/* Ends a text: a message of `role`. Releases `b`. */
static bool add(struct plain *p, const char *role, struct buf *b)
{
    const char *copy = NULL;
    if (buf_check(b, "a part of the chat prompt", p->err))
        copy = arena_copy(p->a, b->data ? b->data : "", b->n_bytes, p->err);
    if (copy) p->to[p->n++] = (struct chat_message){role, copy, b->n_bytes, NULL};
    buf_release(b);
    return copy != NULL;
}

static void put_functions(struct buf *out, struct json tools)
{
    struct json_iter it = json_iter(tools);
    struct json tool;
    buf_puts(
        out,
        "You can call functions. These are their signatures, a JSON object a line:\n<tools>\n");
    while (json_next(&it, NULL, NULL, &tool)) {
        chat_json(out, tool, 0);
        buf_putc(out, '\n');
    }
    buf_puts(out, "</tools>\nTo call one, answer with its name and its arguments as a JSON object "
                  "between tool_call tags, and nothing behind it:\n<tool_call>\n{\"name\": "
                  "FUNCTION, \"arguments\": {...}}\n</tool_call>\nYou will be given the result "
                  "between tool_response tags. Call a function only if it helps to answer.");
}

static bool add_system(struct plain *p, const struct chat_message *system, const char *tools_json)
{
    struct json_doc *doc =
        json_parse(tools_json, strlen(tools_json), MAX_JSON_BYTES, "tools", p->err);
    if (!doc) return false;
    struct buf b;
    buf_init(&b, MAX_TEXT_BYTES);
    if (system && system->n_content) {
        buf_append(&b, system->content, system->n_content);
        buf_puts(&b, "\n\n");
    }
    put_functions(&b, json_root(doc));
    json_free(doc);
    return add(p, "system", &b);
}

static bool add_calls(struct plain *p, const struct chat_message *m)
{
    struct json_doc *doc =
        json_parse(m->tool_calls, strlen(m->tool_calls), MAX_JSON_BYTES, "tool_calls", p->err);
    if (!doc) return false;
    struct json_iter it = json_iter(json_root(doc));
    struct json call;
    struct buf b;
    buf_init(&b, MAX_TEXT_BYTES);
    if (m->n_content) buf_append(&b, m->content, m->n_content);
    while (json_next(&it, NULL, NULL, &call)) {
        const struct json function = json_get(call, "function");
        buf_puts(&b, b.n_bytes ? "\n<tool_call>\n{\"name\": " : "<tool_call>\n{\"name\": ");
        chat_json(&b, json_get(function, "name"), 0);
        buf_puts(&b, ", \"arguments\": ");
        chat_json_arguments(&b, json_get(function, "arguments"));
        buf_puts(&b, "}\n</tool_call>");
    }
    json_free(doc);
    return add(p, "assistant", &b);
}

static bool is_result(const struct chat_message *m)
{
    return chat_has_role(m, "tool") || chat_has_role(m, "ipython");
}

/* Results that follow each other are one message; returns how many there were, 0 on failure. */
static size_t add_results(struct plain *p, const struct chat_message *m, size_t n)
{
    struct buf b;
    size_t i = 0;
    buf_init(&b, MAX_TEXT_BYTES);
    for (; i < n && is_result(&m[i]); i++) {
        buf_puts(&b, i ? "\n<tool_response>\n" : "<tool_response>\n");
        buf_append(&b, m[i].content, m[i].n_content);
        buf_puts(&b, "\n</tool_response>");
    }
    return add(p, "user", &b) ? i : 0;
}

bool chat_tools_plain(const struct chat_input *in, struct arena *a, struct chat_input *out,
                      struct err *err)
{
    struct plain p = {.a = a, .err = err};
    size_t i = 0;
    p.to = arena_array(a, in->n_messages + 1, sizeof *p.to, err);
    if (!p.to) return false;
    if (in->tools_json) {
        const bool has_system = in->n_messages && chat_has_role(&in->message[0], "system");
        if (!add_system(&p, has_system ? &in->message[0] : NULL, in->tools_json)) return false;
        i = has_system;
    }
    while (i < in->n_messages) {
        const struct chat_message *m = &in->message[i];
        size_t n_used = 1;
        if (m->tool_calls)
            n_used = add_calls(&p, m);
        else if (is_result(m))
            n_used = add_results(&p, m, in->n_messages - i);
        else
            p.to[p.n++] = *m;
        if (n_used == 0) return false;
        i += n_used;
    }
    *out = *in;
    out->message = p.to;
    out->n_messages = p.n;
    out->tools_json = NULL;
    return true;
}
