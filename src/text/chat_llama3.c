/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_llama3.c - Llama 3 Instruct, and Llama 3.1, 3.2 and 3.3 with date and tools.
 *
 *     <|begin_of_text|>
 *     <|start_header_id|>ROLE<|end_header_id|>\n\nCONTENT<|eot_id|>      each message, trimmed
 *     <|start_header_id|>assistant<|end_header_id|>\n\n                  opens the answer
 *
 * From 3.1 on there always is a system message, which begins with two dates; tools are described in
 * the first user message (or in the system message, on request); a call is an assistant's message
 * of one JSON object; results are messages of the role ipython, as a JSON string. The templates of
 * 3.1, 3.2 and 3.3 differ in their built-in tools only, which chat.h does not offer, and in the
 * date: the one that 3.2 takes from a clock is the caller's to give. Where none is given, the
 * literal in the file's own template counts.
 *
 * The arguments of a call are an object; the form of OpenAI's API, a string that holds one, is
 * taken apart first, as servers do before they render.
 *
 * Sources: spec/llama3.md 3.1 and 3.3, and the published templates. Begin at llama31_render().
 */
#include <string.h>

#include "base/json.h"
#include "text/chat_parts.h"

#define CORE "'<|start_header_id|>' + message['role'] + '<|end_header_id|>'"
#define ASSISTANT "<|start_header_id|>assistant<|end_header_id|>\n\n"
#define DEFAULT_DATE "26 Jul 2024"

enum { MAX_JSON_BYTES = 16 << 20, MAX_TOOLS_BYTES = 64 << 20, MAX_DATE_BYTES = 64 };

/* ---- telling them apart ---- */

/* The content is trimmed, by filter or by method. */
static bool has_core(const char *tmpl)
{
    return chat_template_has(tmpl, CORE "message['content'] | trim + '<|eot_id|>'") ||
           chat_template_has(tmpl, CORE "message['content'].strip() + '<|eot_id|>'");
}

static bool llama31_matches(const char *tmpl)
{
    return has_core(tmpl) && strstr(tmpl, "Today Date: ") && strstr(tmpl, "Environment: ipython") &&
           strstr(tmpl, "tools_in_user_message");
}

static bool llama3_matches(const char *tmpl)
{
    return has_core(tmpl) && !strstr(tmpl, "Today Date: ") && !strstr(tmpl, "tools");
}

/* The date that the template sets when none is given: the first literal after "set date_string =".
 * 3.2 sets it from a clock before that. */
static struct chat_span default_date(const char *tmpl)
{
    const char *s = tmpl;
    while (s && (s = strstr(s, "set date_string")) != NULL) {
        s += strlen("set date_string");
        s += strspn(s, " =");
        if (*s != '"' && *s != '\'') continue;
        const char *end = strchr(s + 1, *s);
        if (end && end - (s + 1) <= MAX_DATE_BYTES && !memchr(s, '\\', (size_t)(end - s)))
            return (struct chat_span){s + 1, (size_t)(end - (s + 1))};
    }
    return (struct chat_span){DEFAULT_DATE, strlen(DEFAULT_DATE)};
}

/* ---- messages ---- */

static void put_header(struct chat_pieces *p, const char *role)
{
    chat_markup(p, "<|start_header_id|>");
    chat_text(p, role, strlen(role));
    chat_markup(p, "<|end_header_id|>\n\n");
}

static void put_message(struct chat_pieces *p, const struct chat_message *m)
{
    put_header(p, m->role);
    chat_text_trimmed(p, m);
    chat_markup(p, "<|eot_id|>");
}

static bool llama3_render(const struct chat_input *in, const struct vocab *v, struct arena *a,
                          struct text_piece **piece, size_t *n_pieces, struct err *err)
{
    struct chat_pieces p = {.arena = a, .err = err};
    const char *tmpl = chat_template_of(&chat_llama3, v);
    const bool has_bos = !tmpl || strstr(tmpl, "bos_token") || strstr(tmpl, "<|begin_of_text|>");
    if (has_bos && in->n_messages) chat_token(&p, v, v->bos);
    for (size_t i = 0; i < in->n_messages; i++) put_message(&p, &in->message[i]);
    if (in->opens_answer) chat_markup(&p, ASSISTANT);
    return chat_pieces_end(&p, piece, n_pieces);
}

/* ---- tools ---- */

static void put_tools(struct chat_pieces *p, const char *tools_json)
{
    if (p->is_failed) return;
    struct json_doc *doc =
        json_parse(tools_json, strlen(tools_json), MAX_JSON_BYTES, "tools", p->err);
    if (!doc) {
        p->is_failed = true;
        return;
    }
    const struct json tools = json_root(doc);
    struct buf b;
    buf_init(&b, MAX_TOOLS_BYTES);
    if (json_type(tools) == JSON_ARRAY) {
        struct json_iter it = json_iter(tools);
        struct json tool;
        while (!b.is_failed && json_next(&it, NULL, NULL, &tool)) {
            chat_json(&b, tool, 4);
            buf_puts(&b, "\n\n");
        }
    } else {
        chat_fail(p, ERR_USAGE, "tools: no array; give a JSON array of functions");
    }
    chat_text_of(p, &b);
    json_free(doc);
}

static void put_tools_intro(struct chat_pieces *p, const char *first_words)
{
    chat_markup(p, first_words);
    chat_markup(p, "Respond in the format {\"name\": function name, \"parameters\": dictionary of "
                   "argument name and its value}.Do not use variables.\n\n");
}

/* The system message that is always there. */
static void put_system(struct chat_pieces *p, const struct chat_input *in,
                       const struct chat_message *system, struct chat_span date)
{
    put_header(p, "system");
    if (in->tools_json) chat_markup(p, "Environment: ipython\n");
    chat_markup(p, "Cutting Knowledge Date: December 2023\nToday Date: ");
    chat_text(p, date.s, date.n);
    chat_markup(p, "\n\n");
    if (in->tools_json && in->tools_in_system) {
        put_tools_intro(p, "You have access to the following functions. To call a function, please "
                           "respond with JSON for a function call.");
        put_tools(p, in->tools_json);
    }
    if (system) chat_text_trimmed(p, system);
    chat_markup(p, "<|eot_id|>");
}

static void put_user_with_tools(struct chat_pieces *p, const struct chat_input *in,
                                const struct chat_message *user)
{
    put_header(p, "user");
    put_tools_intro(p, "Given the following functions, please respond with a JSON for a function "
                       "call with its proper arguments that best answers the given prompt.\n\n");
    put_tools(p, in->tools_json);
    chat_text_trimmed(p, user);
    chat_markup(p, "<|eot_id|>");
}

static bool put_call(struct chat_pieces *p, size_t i_message, struct json calls)
{
    if (json_len(calls) != 1)
        return chat_fail(p, ERR_USAGE,
                         "message %zu: %zu tool calls; this model only supports single tool-calls "
                         "at once, give one a message",
                         i_message, json_len(calls));
    const struct json function = json_get(json_at(calls, 0), "function");
    const struct json arguments = json_get(function, "arguments");
    const char *name = NULL;
    size_t n_name = 0;
    if (!json_str(json_get(function, "name"), &name, &n_name) || json_type(arguments) == JSON_NONE)
        return chat_fail(p, ERR_USAGE,
                         "message %zu: tool call without function name or arguments; give both",
                         i_message);
    struct buf b;
    buf_init(&b, MAX_TOOLS_BYTES);
    buf_puts(&b, "{\"name\": \"");
    buf_append(&b, name, n_name);
    buf_puts(&b, "\", \"parameters\": ");
    chat_json_arguments(&b, arguments);
    buf_putc(&b, '}');
    chat_markup(p, ASSISTANT);
    chat_text_of(p, &b);
    chat_markup(p, "<|eot_id|>");
    return true;
}

static bool put_calls(struct chat_pieces *p, size_t i_message, const char *tool_calls)
{
    if (p->is_failed) return false;
    struct json_doc *doc =
        json_parse(tool_calls, strlen(tool_calls), MAX_JSON_BYTES, "tool_calls", p->err);
    if (!doc) {
        p->is_failed = true;
        return err_wrap(p->err, "message %zu", i_message);
    }
    const bool ok = put_call(p, i_message, json_root(doc));
    json_free(doc);
    return ok;
}

/* What a tool answered. To the template a string is iterable, so it is printed as JSON, quotes and
 * all; that is how the models see it everywhere. */
static void put_result(struct chat_pieces *p, const struct chat_message *m)
{
    struct buf b;
    buf_init(&b, MAX_TOOLS_BYTES);
    chat_json_string(&b, m->content ? m->content : "", m->n_content);
    put_header(p, "ipython");
    chat_text_of(p, &b);
    chat_markup(p, "<|eot_id|>");
}

static void put_turn(struct chat_pieces *p, size_t i, const struct chat_message *m)
{
    if (m->tool_calls)
        put_calls(p, i, m->tool_calls);
    else if (chat_has_role(m, "ipython") || chat_has_role(m, "tool"))
        put_result(p, m);
    else
        put_message(p, m);
}

static bool llama31_render(const struct chat_input *in, const struct vocab *v, struct arena *a,
                           struct text_piece **piece, size_t *n_pieces, struct err *err)
{
    struct chat_pieces p = {.arena = a, .err = err};
    if (in->n_messages == 0) return chat_fail(&p, ERR_USAGE, "messages: none; give at least one");
    size_t i = 0;
    const struct chat_message *system = NULL;
    if (chat_has_role(&in->message[0], "system")) system = &in->message[i++];
    struct chat_span date = default_date(chat_template_of(&chat_llama31, v));
    if (in->date) date = (struct chat_span){in->date, strlen(in->date)};

    chat_token(&p, v, v->bos);
    put_system(&p, in, system, date);
    if (in->tools_json && !in->tools_in_system) {
        if (i == in->n_messages)
            return chat_fail(&p, ERR_USAGE,
                             "messages: cannot put tools in the first user message when there's no "
                             "first user message; add one");
        put_user_with_tools(&p, in, &in->message[i++]);
    }
    for (; i < in->n_messages && !p.is_failed; i++) put_turn(&p, i, &in->message[i]);
    if (in->opens_answer) chat_markup(&p, ASSISTANT);
    return chat_pieces_end(&p, piece, n_pieces);
}

const struct chat_family chat_llama3 = {
    .name = "llama-3",
    .what = "<|start_header_id|>ROLE<|end_header_id|> ... <|eot_id|>: Llama 3 Instruct",
    .matches = llama3_matches,
    .render = llama3_render,
};

const struct chat_family chat_llama31 = {
    .name = "llama-3.1",
    .what = "the same with dates and tools: Llama 3.1, 3.2 and 3.3 Instruct",
    .matches = llama31_matches,
    .render = llama31_render,
};
