/* SPDX-License-Identifier: Apache-2.0
 *
 * message_calls.c - earlier calls and their results, read from messages.
 *
 * Results follow the assistant's message whose calls they answer, so that each is looked for in
 * that one message only. Arguments are a string as OpenAI has it; whether that is JSON is not
 * asked, since it is what some model once said.
 */
#include "serve/message_calls.h"

#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "serve/fields.h"
#include "serve/tools.h"

enum { MAX_ID_BYTES = 128, MAX_TEXT_BYTES = 16 << 20, FIELD_BYTES = 80 };

/* ---- checking ---- */

static bool check_call(struct json call, const char *field, struct refusal *r)
{
    const struct json function = json_get(call, "function");
    const char *id = NULL, *name = NULL, *arguments = NULL;
    size_t n = 0;
    if (json_type(call) != JSON_OBJECT)
        return refuse(r, REFUSAL_VALUE, field, "%s: it is %s; give an object", field,
                      json_type_name(call));
    if (!json_str(json_get(call, "id"), &id, &n) || n == 0 || n > MAX_ID_BYTES)
        return refuse(
            r, json_type(json_get(call, "id")) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE,
            field, "%s.id: give a string of 1 to %d bytes", field, MAX_ID_BYTES);
    if (json_type(json_get(call, "type")) > JSON_NULL &&
        !json_is_word(json_get(call, "type"), "function"))
        return refuse(r, REFUSAL_UNSUPPORTED, field, "%s.type: give \"function\"", field);
    if (json_type(function) != JSON_OBJECT)
        return refuse(r, json_type(function) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE, field,
                      "%s.function: it is %s; give an object", field, json_type_name(function));
    if (!json_str(json_get(function, "name"), &name, &n) || strlen(name) != n ||
        !tool_name_is_good(name))
        return refuse(
            r, json_type(json_get(function, "name")) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE,
            field, "%s.function.name: give 1 to %d letters, digits, _ and -", field,
            TOOL_NAME_MAX_BYTES);
    if (!json_str(json_get(function, "arguments"), &arguments, NULL))
        return refuse(r,
                      json_type(json_get(function, "arguments")) == JSON_NONE ? REFUSAL_MISSING
                                                                              : REFUSAL_VALUE,
                      field, "%s.function.arguments: it is %s; give a string of JSON", field,
                      json_type_name(json_get(function, "arguments")));
    return true;
}

static void write_call(struct json_writer *w, struct json call)
{
    const struct json function = json_get(call, "function");
    json_object(w);
    json_key_copy(w, "id", json_get(call, "id"), "null");
    json_key_cstring(w, "type", "function");
    json_key(w, "function");
    json_object(w);
    json_key_copy(w, "name", json_get(function, "name"), "null");
    json_key_copy(w, "arguments", json_get(function, "arguments"), "null");
    json_end(w);
    json_end(w);
}

static const char *keep(struct buf *b, struct arena *a, struct err *err)
{
    const char *kept = NULL;
    if (buf_check(b, "tool_calls", err)) kept = arena_copy(a, b->data, b->n_bytes + 1, err);
    buf_release(b);
    return kept;
}

bool message_calls_read(struct json calls, size_t i, struct arena *a, struct chat_message *m,
                        struct refusal *r)
{
    char field[FIELD_BYTES];
    struct json_iter it = json_iter(calls);
    struct json call;
    struct err err = {0};
    snprintf(field, sizeof field, "messages[%zu].tool_calls", i);
    if (json_type(calls) != JSON_ARRAY || json_len(calls) == 0 || json_len(calls) > TOOLS_MAX)
        return refuse(r, REFUSAL_VALUE, field,
                      "%s: it is %s of %zu; give an array of 1 to %d calls", field,
                      json_type_name(calls), json_len(calls), TOOLS_MAX);
    struct buf b;
    buf_init(&b, MAX_TEXT_BYTES);
    struct json_writer w = json_writer(&b);
    json_array(&w);
    for (size_t k = 0; json_next(&it, NULL, NULL, &call); k++) {
        snprintf(field, sizeof field, "messages[%zu].tool_calls[%zu]", i, k);
        if (!check_call(call, field, r)) {
            buf_release(&b);
            return false;
        }
        write_call(&w, call);
    }
    json_end(&w);
    m->tool_calls = keep(&b, a, &err);
    return m->tool_calls || refuse_err(r, field, &err);
}

static bool is_answer_to(struct json message, struct json call)
{
    const char *a = NULL, *b = NULL;
    return json_str(json_get(message, "tool_call_id"), &a, NULL) &&
           json_str(json_get(call, "id"), &b, NULL) && strcmp(a, b) == 0;
}

bool message_result_check(struct json message, size_t i, struct json calls, struct refusal *r)
{
    char field[FIELD_BYTES];
    const char *id = NULL;
    const struct json v = json_get(message, "tool_call_id");
    struct json_iter it = json_iter(calls);
    struct json call;
    snprintf(field, sizeof field, "messages[%zu].tool_call_id", i);
    if (!json_str(v, &id, NULL))
        return refuse(r, json_type(v) <= JSON_NULL ? REFUSAL_MISSING : REFUSAL_VALUE, field,
                      "%s: it is %s; give the id of the call that this answers", field,
                      json_type_name(v));
    while (json_next(&it, NULL, NULL, &call))
        if (is_answer_to(message, call)) return true;
    return refuse(r, REFUSAL_VALUE, field,
                  "%s: the assistant's message before has no call with the id \"%.64s\"", field,
                  id);
}

/* ---- one call a message ---- */

static struct json calls_of(const struct read_message *m)
{
    const struct json none = {0};
    return m->m.tool_calls ? json_get(m->from, "tool_calls") : none;
}

static bool is_result(const struct read_message *m) { return strcmp(m->m.role, "tool") == 0; }

static const char *alone(struct json call, struct arena *a, struct err *err)
{
    struct buf b;
    buf_init(&b, MAX_TEXT_BYTES);
    struct json_writer w = json_writer(&b);
    json_array(&w);
    write_call(&w, call);
    json_end(&w);
    return keep(&b, a, err);
}

bool message_calls_split(const struct read_message *in, size_t n, struct arena *a,
                         struct chat_message **out, size_t *n_out, struct err *err)
{
    size_t most = n;
    *n_out = 0;
    for (size_t i = 0; i < n; i++) most += json_len(calls_of(&in[i]));
    struct chat_message *to = *out = arena_array(a, most, sizeof *to, err);
    if (!to) return false;
    for (size_t i = 0, end; i < n; i = end) {
        struct json_iter it = json_iter(calls_of(&in[i]));
        struct json call;
        end = i + 1;
        if (json_len(calls_of(&in[i])) < 2) {
            to[(*n_out)++] = in[i].m;
            continue;
        }
        while (end < n && is_result(&in[end])) end++;
        while (json_next(&it, NULL, NULL, &call)) {
            struct chat_message *m = &to[(*n_out)++];
            *m = in[i].m;
            m->tool_calls = alone(call, a, err);
            if (!m->tool_calls) return false;
            for (size_t k = i + 1; k < end; k++)
                if (is_answer_to(in[k].from, call) && *n_out < most) to[(*n_out)++] = in[k].m;
        }
    }
    return true;
}
