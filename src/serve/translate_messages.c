/* SPDX-License-Identifier: Apache-2.0
 *
 * translate_messages.c - Anthropic's /v1/messages as a chat.
 *
 * There a message is a list of blocks: the assistant's calls of tools stand beside its text, and
 * the tools' results in the user's next message. In a chat the calls belong to the assistant's
 * message and each result is a message of its own, before what the user says.
 *
 * Begin reading at write_message().
 */
#include <stdio.h>
#include <string.h>

#include "base/table.h"
#include "serve/translate.h"

struct message {
    struct json_writer *w;
    struct buf *origins;
    struct refusal *r;
    char field[80];
    int32_t from;
};

enum block {
    BLOCK_TEXT,
    BLOCK_CALL,
    BLOCK_RESULT,
    BLOCK_LEFT_OUT, /* thoughts of other models */
};

/* Where blocks stand. */
enum place { IN_SYSTEM = 1, IN_USER = 2, IN_ASSISTANT = 4, IN_RESULT = 8 };

static const struct block_kind {
    const char *name;
    enum block block;
    unsigned places;
} block_kinds[] = {
    {"text", BLOCK_TEXT, IN_SYSTEM | IN_USER | IN_ASSISTANT | IN_RESULT},
    {"tool_use", BLOCK_CALL, IN_ASSISTANT},
    {"tool_result", BLOCK_RESULT, IN_USER},
    {"thinking", BLOCK_LEFT_OUT, IN_ASSISTANT},
    {"redacted_thinking", BLOCK_LEFT_OUT, IN_ASSISTANT},
    {0},
};

static const struct block_kind *kind_of(struct json block)
{
    const char *type = "";
    json_str(json_get(block, "type"), &type, NULL);
    return table_find(block_kinds, sizeof block_kinds[0], type);
}

static size_t count(struct json content, enum block which)
{
    struct json_iter it = json_iter(content);
    struct json block;
    size_t n = 0;
    while (json_next(&it, NULL, NULL, &block)) {
        const struct block_kind *kind = kind_of(block);
        n += kind && kind->block == which;
    }
    return n;
}

static bool check_block(const struct message *m, struct json block, enum place place)
{
    const struct block_kind *kind = kind_of(block);
    const char *type = "";
    json_str(json_get(block, "type"), &type, NULL);
    if (json_type(block) != JSON_OBJECT)
        return refuse(m->r, REFUSAL_VALUE, m->field, "%s: a block is %s; give an object", m->field,
                      json_type_name(block));
    if (!kind)
        return refuse(m->r, REFUSAL_UNSUPPORTED, m->field,
                      "%s: a block of type \"%.40s\"; this server reads text, tool_use and "
                      "tool_result",
                      m->field, type);
    if (!(kind->places & place))
        return refuse(m->r, REFUSAL_VALUE, m->field,
                      "%s: a block of type \"%s\" does not stand here; tool_use and thoughts are "
                      "the assistant's, tool_result the user's",
                      m->field, type);
    if (kind->block == BLOCK_CALL && json_type(json_get(block, "input")) != JSON_OBJECT)
        return refuse(m->r, REFUSAL_VALUE, m->field, "%s: tool_use.input: it is %s; give an object",
                      m->field, json_type_name(json_get(block, "input")));
    return true;
}

static bool check_blocks(const struct message *m, struct json content, enum place place)
{
    struct json_iter it = json_iter(content);
    struct json block;
    if (json_type(content) != JSON_ARRAY && json_type(content) != JSON_STRING)
        return refuse(m->r, json_type(content) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE,
                      m->field, "%s: content: it is %s; give a string or an array of blocks",
                      m->field, json_type_name(content));
    while (json_next(&it, NULL, NULL, &block))
        if (!check_block(m, block, place)) return false;
    return true;
}

/* A string as it is; the text blocks of an array as parts. */
static void write_texts(struct json_writer *w, struct json content)
{
    struct json_iter it = json_iter(content);
    struct json block;
    json_key(w, "content");
    if (json_type(content) != JSON_ARRAY) {
        json_copy(w, content);
        return;
    }
    json_array(w);
    while (json_next(&it, NULL, NULL, &block)) {
        const char *s = NULL;
        size_t n = 0;
        if (!json_is_word(json_get(block, "type"), "text")) continue;
        if (json_str(json_get(block, "text"), &s, &n))
            write_text_part(w, s, n);
        else
            json_copy(w, block); /* which the chat's reader refuses */
    }
    json_end(w);
}

static void write_call(struct json_writer *w, struct json block)
{
    struct buf input;
    buf_init(&input, w->out->max_bytes);
    struct json_writer wi = json_writer(&input);
    json_copy(&wi, json_get(block, "input"));
    json_object(w);
    json_key_copy(w, "id", json_get(block, "id"), "null");
    json_key_cstring(w, "type", "function");
    json_key(w, "function");
    json_object(w);
    json_key_copy(w, "name", json_get(block, "name"), "null");
    json_key(w, "arguments");
    json_string(w, input.data ? input.data : "", input.n_bytes);
    json_end(w);
    json_end(w);
    if (input.is_failed) w->out->is_failed = true;
    buf_release(&input);
}

static void write_calls(struct json_writer *w, struct json content)
{
    struct json_iter it = json_iter(content);
    struct json block;
    json_key(w, "tool_calls");
    json_array(w);
    while (json_next(&it, NULL, NULL, &block))
        if (json_is_word(json_get(block, "type"), "tool_use")) write_call(w, block);
    json_end(w);
}

static bool write_results(struct message *m, struct json content)
{
    struct json_iter it = json_iter(content);
    struct json block;
    while (json_next(&it, NULL, NULL, &block)) {
        const struct json said = json_get(block, "content");
        if (!json_is_word(json_get(block, "type"), "tool_result")) continue;
        if (json_type(said) > JSON_NULL && !check_blocks(m, said, IN_RESULT)) return false;
        origin_add(m->origins, m->from);
        json_object(m->w);
        json_key_cstring(m->w, "role", "tool");
        json_key_copy(m->w, "tool_call_id", json_get(block, "tool_use_id"), "null");
        if (json_type(said) <= JSON_NULL)
            json_key_cstring(m->w, "content", "");
        else
            write_texts(m->w, said);
        json_end(m->w);
    }
    return true;
}

static bool write_message(struct message *m, struct json v)
{
    const struct json content = json_get(v, "content"), role = json_get(v, "role");
    if (json_type(v) != JSON_OBJECT)
        return refuse(m->r, REFUSAL_VALUE, m->field, "%s: it is %s; give an object", m->field,
                      json_type_name(v));
    if (!json_is_word(role, "user") && !json_is_word(role, "assistant"))
        return refuse(m->r, REFUSAL_VALUE, m->field, "%s.role: give \"user\" or \"assistant\"",
                      m->field);
    const enum place place = json_is_word(role, "user") ? IN_USER : IN_ASSISTANT;
    if (!check_blocks(m, content, place) || !write_results(m, content)) return false;
    const size_t n_calls = count(content, BLOCK_CALL);
    const bool is_only_results =
        count(content, BLOCK_RESULT) > 0 && count(content, BLOCK_TEXT) == 0 && n_calls == 0;
    if (is_only_results) return true;
    origin_add(m->origins, m->from);
    json_object(m->w);
    json_key_copy(m->w, "role", role, "null");
    write_texts(m->w, content);
    if (n_calls > 0) write_calls(m->w, content);
    json_end(m->w);
    return true;
}

static bool write_system(const struct message *m, struct json system)
{
    if (json_type(system) == JSON_NONE) return true;
    if (!check_blocks(m, system, IN_SYSTEM)) return false;
    origin_add(m->origins, ORIGIN_SYSTEM);
    json_object(m->w);
    json_key_cstring(m->w, "role", "system");
    write_texts(m->w, system);
    json_end(m->w);
    return true;
}

static bool write_input(const struct shape_ask *a, struct json_writer *w, struct buf *origins,
                        struct refusal *r)
{
    struct message m = {.w = w, .origins = origins, .r = r, .field = "system"};
    struct json_iter it = json_iter(a->input);
    struct json v;
    if (json_type(a->input) != JSON_ARRAY)
        return refuse(r, json_type(a->input) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE,
                      "messages", "messages: it is %s; give an array", json_type_name(a->input));
    if (json_len(a->input) == 0)
        return refuse(r, REFUSAL_VALUE, "messages", "messages: it is empty; give one at least");
    json_key(w, "messages");
    json_array(w);
    if (!write_system(&m, a->system)) return false;
    for (m.from = 0; json_next(&it, NULL, NULL, &v); m.from++) {
        snprintf(m.field, sizeof m.field, "messages[%d]", (int)m.from);
        if (!write_message(&m, v)) return false;
    }
    json_end(w);
    return true;
}

/* ---- tools ---- */

static const struct tool_kind tool_kind = {
    .type = "custom",
    .fallback = "custom",
    .schema = "input_schema",
    .only = "tools of the client only",
};

static bool write_tool_choice(struct json_writer *w, struct json choice, struct refusal *r)
{
    static const struct rename words[] = {
        {"auto", "auto"}, {"any", "required"}, {"none", "none"}, {0}};
    const struct json single = json_get(choice, "disable_parallel_tool_use");
    bool is_single = false;
    const char *type = "";
    json_str(json_get(choice, "type"), &type, NULL);
    const struct rename *word = table_find(words, sizeof words[0], type);
    if (!word && strcmp(type, "tool") != 0)
        return refuse(r, REFUSAL_VALUE, "tool_choice",
                      "tool_choice.type: give \"auto\", \"any\", \"tool\" or \"none\"");
    if (json_type(single) > JSON_NULL && !json_bool(single, &is_single))
        return refuse(r, REFUSAL_VALUE, "tool_choice",
                      "tool_choice.disable_parallel_tool_use: it is %s; give true or false",
                      json_type_name(single));
    json_key(w, "tool_choice");
    if (word)
        json_cstring(w, word->chats);
    else
        write_choice(w, json_get(choice, "name"));
    if (is_single) json_key_boolean(w, "parallel_tool_calls", false);
    return true;
}

/* Only a schema has an effect; how hard to think has none here. */
static void write_schema(struct json_writer *w, struct json format)
{
    json_key_cstring(w, "name", "output");
    json_key_copy(w, "schema", json_get(format, "schema"), "null");
}

static bool write_chat(const struct shape_ask *a, struct json chain, size_t n_left_out,
                       struct json_writer *w, struct buf *origins, struct refusal *r)
{
    (void)chain, (void)n_left_out;
    return write_input(a, w, origins, r) &&
           (json_type(a->tools) == JSON_NONE || write_tools(w, a->tools, &tool_kind, r)) &&
           (json_type(a->tool_choice) == JSON_NONE || write_tool_choice(w, a->tool_choice, r)) &&
           (json_type(a->format) == JSON_NONE ||
            write_format(w, "output_config", a->format, write_schema, r));
}

/* ---- the table ---- */

static bool read_thinking(void *out, struct json v, const char *name, struct refusal *r)
{
    (void)out;
    /* adaptive: as the model likes, and it does not */
    return json_is_word(json_get(v, "type"), "disabled") ||
           json_is_word(json_get(v, "type"), "adaptive") ||
           refuse(r, REFUSAL_UNSUPPORTED, name, "%s: this server does not do it; leave it out",
                  name);
}

#define AT(member) offsetof(struct shape_ask, member)

static const struct field fields[] = {
    /* clang-format off */
    /* name              kind          min max at               read */
    {"model",            FIELD_COPIED,  0, 0,  0,               NULL},
    {"messages",         FIELD_JSON,    0, 0,  AT(input),       NULL},
    {"system",           FIELD_JSON,    0, 0,  AT(system),      NULL},
    {"max_tokens",       FIELD_COPIED,  0, 0,  0,               NULL},
    {"temperature",      FIELD_COPIED,  0, 0,  0,               NULL},
    {"top_p",            FIELD_COPIED,  0, 0,  0,               NULL},
    {"top_k",            FIELD_COPIED,  0, 0,  0,               NULL},
    {"stop_sequences",   FIELD_COPIED,  0, 0,  0,               NULL},
    {"stream",           FIELD_COPIED,  0, 0,  0,               NULL},
    {"tools",            FIELD_JSON,    0, 0,  AT(tools),       NULL},
    {"tool_choice",      FIELD_JSON,    0, 0,  AT(tool_choice), NULL},
    {"output_config",    FIELD_JSON,    0, 0,  AT(format),      NULL},
    {"sources",          FIELD_COPIED,  0, 0,  0,               NULL},
    {"seed",             FIELD_COPIED,  0, 0,  0,               NULL},
    {"priority",         FIELD_COPIED,  0, 0,  0,               NULL},
    {"thinking",         FIELD_OTHER,   0, 0,  0,               read_thinking},
    {"mcp_servers",      FIELD_REFUSED, 0, 0,  0,               NULL},
    {"container",        FIELD_REFUSED, 0, 0,  0,               NULL},
    {"context_management", FIELD_REFUSED, 0, 0, 0,              NULL},
    {"metadata",         FIELD_IGNORED, 0, 0,  0,               NULL},
    {"cache_control",    FIELD_IGNORED, 0, 0,  0,               NULL},
    {"inference_geo",    FIELD_IGNORED, 0, 0,  0,               NULL},
    {"speed",            FIELD_IGNORED, 0, 0,  0,               NULL},
    {"service_tier",     FIELD_IGNORED, 0, 0,  0,               NULL},
    {0},
    /* clang-format on */
};

static const struct rename renames[] = {
    {"stop_sequences", "stop"},
    {"output_config.format.schema", "response_format.json_schema.schema"},
    {"output_config.format", "response_format"},
    {0},
};

const struct shape shape_messages = {
    .fields = fields,
    .renames = renames,
    .input = "messages",
    .system = "system",
    .write = write_chat,
};
