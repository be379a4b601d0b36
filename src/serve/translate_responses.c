/* SPDX-License-Identifier: Apache-2.0
 *
 * translate_responses.c - OpenAI's /v1/responses as a chat.
 *
 * A conversation is a list of items; a message, a call of a function and its output are each one.
 * In a chat the calls belong to the assistant's message, so that stays open until an item comes
 * that is no call. Items that the model cannot read (reasoning of other models) are left out;
 * those that would change the answer (images, files, other tools' calls) are refused.
 *
 * Begin reading at write_items().
 */
#include <stdio.h>
#include <string.h>

#include "base/table.h"
#include "serve/translate.h"

struct items {
    struct json_writer *w;
    struct buf *origins;
    struct refusal *r;
    const char *field; /* where the item stands, for messages */
    int32_t from;
    bool is_open, has_calls; /* of the assistant's message */
};

static void close_message(struct items *it)
{
    if (it->has_calls) json_end(it->w);
    if (it->is_open) json_end(it->w);
    it->is_open = it->has_calls = false;
}

static void open_message(struct items *it)
{
    close_message(it);
    origin_add(it->origins, it->from);
    json_object(it->w);
    it->is_open = true;
}

static bool is_text(struct json part, const char *type)
{
    return strcmp(type, "input_text") == 0 || strcmp(type, "output_text") == 0 ||
           (strcmp(type, "text") == 0 && json_type(json_get(part, "text")) == JSON_STRING);
}

/* Parts that are no text go on as they are: the chat's reader knows which the model can read. */
static void write_content(struct json_writer *w, struct json content)
{
    struct json_iter it = json_iter(content);
    struct json part;
    json_key(w, "content");
    if (json_type(content) != JSON_ARRAY) {
        json_copy(w, content);
        return;
    }
    json_array(w);
    while (json_next(&it, NULL, NULL, &part)) {
        const char *type = "", *s = NULL;
        size_t n = 0;
        json_str(json_get(part, "type"), &type, NULL);
        if (is_text(part, type) && json_str(json_get(part, "text"), &s, &n))
            write_text_part(w, s, n);
        else
            json_copy(w, part);
    }
    json_end(w);
}

static bool write_message(struct items *it, struct json item)
{
    open_message(it);
    json_key_copy(it->w, "role", json_get(item, "role"), "null");
    if (json_type(json_get(item, "content")) != JSON_NONE)
        write_content(it->w, json_get(item, "content"));
    if (!json_is_word(json_get(item, "role"), "assistant")) close_message(it);
    return true;
}

static bool write_call(struct items *it, struct json item)
{
    struct json_writer *w = it->w;
    if (!it->is_open) {
        open_message(it);
        json_key_cstring(w, "role", "assistant");
        json_key_cstring(w, "content", NULL);
    }
    if (!it->has_calls) {
        json_key(w, "tool_calls");
        json_array(w);
        it->has_calls = true;
    }
    json_object(w);
    json_key_copy(w, "id", json_get(item, "call_id"), "null");
    json_key_cstring(w, "type", "function");
    json_key(w, "function");
    json_object(w);
    json_key_copy(w, "name", json_get(item, "name"), "null");
    json_key_copy(w, "arguments", json_get(item, "arguments"), "null");
    json_end(w);
    json_end(w);
    return true;
}

static bool write_output(struct items *it, struct json item)
{
    open_message(it);
    json_key_cstring(it->w, "role", "tool");
    json_key_copy(it->w, "tool_call_id", json_get(item, "call_id"), "null");
    write_content(it->w, json_get(item, "output"));
    close_message(it);
    return true;
}

static bool leave_out(struct items *it, struct json item)
{
    (void)it, (void)item;
    return true;
}

static const struct item_kind {
    const char *name;
    bool (*write)(struct items *it, struct json item);
} item_kinds[] = {
    {"message", write_message},
    {"function_call", write_call},
    {"function_call_output", write_output},
    {"reasoning", leave_out},
    {0},
};

static bool write_item(struct items *it, struct json item)
{
    const char *type = json_type(json_get(item, "role")) != JSON_NONE ? "message" : "";
    if (json_type(item) != JSON_OBJECT)
        return refuse(it->r, REFUSAL_VALUE, it->field, "%s: it is %s; give an object", it->field,
                      json_type_name(item));
    json_str(json_get(item, "type"), &type, NULL);
    const struct item_kind *kind = table_find(item_kinds, sizeof item_kinds[0], type);
    if (!kind)
        return refuse(
            it->r, REFUSAL_UNSUPPORTED, it->field,
            "%s: an item of type \"%.40s\"; this server reads messages, function_call and "
            "function_call_output",
            it->field, type);
    return kind->write(it, item);
}

static bool is_from_system(struct json item)
{
    return json_is_word(json_get(item, "role"), "system") ||
           json_is_word(json_get(item, "role"), "developer");
}

/* The items of `list` without the first *n_left_out; what the system says is never left out. */
static bool write_items(struct items *it, struct json list, bool is_chain, size_t *n_left_out)
{
    char field[80] = "previous_response_id";
    struct json_iter i = json_iter(list);
    struct json item;
    it->field = field;
    for (int32_t k = 0; json_next(&i, NULL, NULL, &item); k++) {
        it->from = is_chain ? ORIGIN_CHAIN : k;
        if (!is_chain) snprintf(field, sizeof field, "input[%d]", (int)k);
        if (*n_left_out > 0 && !is_from_system(item)) {
            --*n_left_out;
            continue;
        }
        if (!write_item(it, item)) return false;
    }
    return true;
}

static void write_system(struct json_writer *w, struct json text, struct buf *origins)
{
    if (json_type(text) <= JSON_NULL) return;
    origin_add(origins, ORIGIN_SYSTEM);
    json_object(w);
    json_key_cstring(w, "role", "system");
    json_key_copy(w, "content", text, "null");
    json_end(w);
}

static bool write_input(const struct shape_ask *a, struct json chain, size_t n_left_out,
                        struct json_writer *w, struct buf *origins, struct refusal *r)
{
    struct items it = {.w = w, .origins = origins, .r = r};
    const enum json_type type = json_type(a->input);
    if (type == JSON_NONE && json_type(chain) == JSON_NONE)
        return refuse(r, REFUSAL_MISSING, "input",
                      "input: it is missing; give a string or an array of items");
    if (type != JSON_NONE && type != JSON_STRING && type != JSON_ARRAY)
        return refuse(r, REFUSAL_VALUE, "input", "input: it is %s; give a string or an array",
                      json_type_name(a->input));
    if (type == JSON_ARRAY && json_len(a->input) == 0 && json_type(chain) == JSON_NONE)
        return refuse(r, REFUSAL_VALUE, "input", "input: it is empty; give one item at least");
    write_system(w, a->system, origins);
    if (!write_items(&it, chain, true, &n_left_out)) return false;
    if (type == JSON_STRING) {
        it.from = 0;
        open_message(&it);
        json_key_cstring(w, "role", "user");
        json_key_copy(w, "content", a->input, "null");
    } else if (!write_items(&it, a->input, false, &n_left_out)) {
        return false;
    }
    close_message(&it);
    return true;
}

/* ---- tools and format ---- */

static const struct tool_kind tool_kind = {
    .type = "function",
    .fallback = "",
    .schema = "parameters",
    .only = "function tools only",
};

/* A chat has mode and tools one level deeper, and each tool's name, too. */
static void write_allowed(struct json_writer *w, struct json choice)
{
    struct json_iter it = json_iter(json_get(choice, "tools"));
    struct json tool;
    json_object(w);
    json_key_cstring(w, "type", "allowed_tools");
    json_key(w, "allowed_tools");
    json_object(w);
    json_key_copy(w, "mode", json_get(choice, "mode"), "null");
    json_key(w, "tools");
    json_array(w);
    while (json_next(&it, NULL, NULL, &tool)) write_choice(w, json_get(tool, "name"));
    json_end(w);
    json_end(w);
    json_end(w);
}

static void write_tool_choice(struct json_writer *w, struct json choice)
{
    const struct json type = json_get(choice, "type");
    json_key(w, "tool_choice");
    if (json_is_word(type, "function"))
        write_choice(w, json_get(choice, "name"));
    else if (json_is_word(type, "allowed_tools"))
        write_allowed(w, choice);
    else
        json_copy(w, choice);
}

static void write_schema(struct json_writer *w, struct json format)
{
    static const char *const names[] = {"name", "description", "schema", "strict"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (json_type(json_get(format, names[i])) != JSON_NONE)
            json_key_copy(w, names[i], json_get(format, names[i]), "null");
}

static bool write_chat(const struct shape_ask *a, struct json chain, size_t n_left_out,
                       struct json_writer *w, struct buf *origins, struct refusal *r)
{
    struct json_iter it = json_iter(a->include);
    struct json included;
    json_key(w, "messages");
    json_array(w);
    if (!write_input(a, chain, n_left_out, w, origins, r)) return false;
    json_end(w);
    if (json_type(a->tools) != JSON_NONE && !write_tools(w, a->tools, &tool_kind, r)) return false;
    if (json_type(a->tool_choice) != JSON_NONE) write_tool_choice(w, a->tool_choice);
    while (json_next(&it, NULL, NULL, &included))
        if (json_is_word(included, "message.output_text.logprobs"))
            json_key_boolean(w, "logprobs", true);
    return json_type(a->format) == JSON_NONE || write_format(w, "text", a->format, write_schema, r);
}

/* ---- the table ---- */

static bool read_metadata(void *out, struct json v, const char *name, struct refusal *r)
{
    struct shape_ask *a = out;
    struct json_iter it = json_iter(v);
    struct json value;
    const char *key = NULL, *s = NULL;
    size_t n_key = 0, n = 0;
    bool ok = json_type(v) == JSON_OBJECT && json_len(v) <= 16;
    while (ok && json_next(&it, &key, &n_key, &value))
        ok = n_key <= 64 && json_str(value, &s, &n) && n <= 512;
    a->metadata = v;
    return ok || refuse(r, REFUSAL_VALUE, name,
                        "%s: give an object of at most 16 strings of 512 bytes", name);
}

/* What is asked to be included and is not there, is not. */
static bool read_include(void *out, struct json v, const char *name, struct refusal *r)
{
    struct shape_ask *a = out;
    struct json_iter it = json_iter(v);
    struct json included;
    bool ok = json_type(v) == JSON_ARRAY;
    while (ok && json_next(&it, NULL, NULL, &included)) ok = json_type(included) == JSON_STRING;
    a->include = v;
    return ok || refuse(r, REFUSAL_VALUE, name, "%s: give an array of strings", name);
}

static bool read_truncation(void *out, struct json v, const char *name, struct refusal *r)
{
    struct shape_ask *a = out;
    a->truncation = json_is_word(v, "auto") ? "auto" : "disabled";
    return json_is_word(v, "auto") || json_is_word(v, "disabled") ||
           refuse(r, REFUSAL_VALUE, name, "%s: give \"auto\" or \"disabled\"", name);
}

#define AT(member) offsetof(struct shape_ask, member)

static const struct field fields[] = {
    /* clang-format off */
    /* name                   kind           min max            at               read */
    {"model",                 FIELD_COPIED,    0, 0,             0,               NULL},
    {"input",                 FIELD_JSON,      0, 0,             AT(input),       NULL},
    {"instructions",          FIELD_JSON,      0, 0,             AT(system),      NULL},
    {"previous_response_id",  FIELD_STR,       0, 71,            AT(previous),    NULL},
    {"store",                 FIELD_BOOL,      0, 0,             AT(stores),      NULL},
    {"max_output_tokens",     FIELD_COPIED,    0, 0,             0,               NULL},
    {"temperature",           FIELD_COPIED,    0, 0,             0,               NULL},
    {"top_p",                 FIELD_COPIED,    0, 0,             0,               NULL},
    {"top_logprobs",          FIELD_COPIED,    0, 0,             0,               NULL},
    {"stream",                FIELD_COPIED,    0, 0,             0,               NULL},
    {"text",                  FIELD_JSON,      0, 0,             AT(format),      NULL},
    {"tools",                 FIELD_JSON,      0, 0,             AT(tools),       NULL},
    {"tool_choice",           FIELD_JSON,      0, 0,             AT(tool_choice), NULL},
    {"parallel_tool_calls",   FIELD_COPIED,    0, 0,             0,               NULL},
    {"metadata",              FIELD_OTHER,     0, 0,             0,               read_metadata},
    {"truncation",            FIELD_OTHER,     0, 0,             0,               read_truncation},
    {"include",               FIELD_OTHER,     0, 0,             0,               read_include},
    {"sources",               FIELD_COPIED,    0, 0,             0,               NULL},
    {"top_k",                 FIELD_COPIED,    0, 0,             0,               NULL},
    {"min_p",                 FIELD_COPIED,    0, 0,             0,               NULL},
    {"presence_penalty",      FIELD_COPIED,    0, 0,             0,               NULL},
    {"frequency_penalty",     FIELD_COPIED,    0, 0,             0,               NULL},
    {"repetition_penalty",    FIELD_COPIED,    0, 0,             0,               NULL},
    {"seed",                  FIELD_COPIED,    0, 0,             0,               NULL},
    {"stop",                  FIELD_COPIED,    0, 0,             0,               NULL},
    {"ignore_eos",            FIELD_COPIED,    0, 0,             0,               NULL},
    {"priority",              FIELD_COPIED,    0, 0,             0,               NULL},
    {"background",            FIELD_REFUSED,   0, 0,             0,               NULL},
    {"conversation",          FIELD_REFUSED,   0, 0,             0,               NULL},
    {"prompt",                FIELD_REFUSED,   0, 0,             0,               NULL},
    {"context_management",    FIELD_REFUSED,   0, 0,             0,               NULL},
    {"max_tool_calls",        FIELD_IGNORED,   0, 0,             0,               NULL},
    {"prompt_cache_key",      FIELD_IGNORED,   0, 0,             0,               NULL},
    {"prompt_cache_retention", FIELD_IGNORED,  0, 0,             0,               NULL},
    {"reasoning",             FIELD_IGNORED,   0, 0,             0,               NULL},
    {"safety_identifier",     FIELD_IGNORED,   0, 0,             0,               NULL},
    {"service_tier",          FIELD_IGNORED,   0, 0,             0,               NULL},
    {"stream_options",        FIELD_IGNORED,   0, 0,             0,               NULL},
    {"user",                  FIELD_IGNORED,   0, 0,             0,               NULL},
    {0},
    /* clang-format on */
};

static const struct rename renames[] = {
    {"max_output_tokens", "max_completion_tokens"},
    {"text.format.schema", "response_format.json_schema.schema"},
    {"text.format.name", "response_format.json_schema.name"},
    {"text.format.strict", "response_format.json_schema.strict"},
    {"text.format", "response_format"},
    {"include", "logprobs"},
    {0},
};

const struct shape shape_responses = {
    .fields = fields,
    .renames = renames,
    .input = "input",
    .system = "instructions",
    .write = write_chat,
};
