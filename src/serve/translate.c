/* SPDX-License-Identifier: Apache-2.0
 *
 * translate.c - what the translations share: fields that are copied, and refusals with their own
 * names. Begin reading at shape_translate().
 */
#include "serve/translate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

enum { MAX_CHAT_BYTES = 64 << 20 };

void translation_init(struct translation *t)
{
    buf_init(&t->chat, MAX_CHAT_BYTES);
    buf_init(&t->origins, MAX_CHAT_BYTES);
}

void translation_release(struct translation *t)
{
    buf_release(&t->chat);
    buf_release(&t->origins);
}

void origin_add(struct buf *origins, int32_t from) { buf_append(origins, &from, sizeof from); }

void write_text_part(struct json_writer *w, const char *s, size_t n)
{
    json_object(w);
    json_key_cstring(w, "type", "text");
    json_key(w, "text");
    json_string(w, s, n);
    json_end(w);
}

/* A function as a chat's tools have it; `schema` its parameters. */
static void write_function(struct json_writer *w, struct json tool, struct json schema)
{
    static const char *const names[] = {"name", "description", "strict"};
    json_object(w);
    json_key_cstring(w, "type", "function");
    json_key(w, "function");
    json_object(w);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (json_type(json_get(tool, names[i])) > JSON_NULL)
            json_key_copy(w, names[i], json_get(tool, names[i]), "null");
    if (json_type(schema) > JSON_NULL) json_key_copy(w, "parameters", schema, "{}");
    json_end(w);
    json_end(w);
}

bool write_tools(struct json_writer *w, struct json tools, const struct tool_kind *kind,
                 struct refusal *r)
{
    struct json_iter it = json_iter(tools);
    struct json tool;
    if (json_type(tools) != JSON_ARRAY)
        return refuse(r, REFUSAL_VALUE, "tools", "tools: it is %s; give an array",
                      json_type_name(tools));
    json_key(w, "tools");
    json_array(w);
    while (json_next(&it, NULL, NULL, &tool)) {
        const char *type = kind->fallback;
        json_str(json_get(tool, "type"), &type, NULL);
        if (strcmp(type, kind->type) != 0)
            return refuse(r, REFUSAL_UNSUPPORTED, "tools",
                          "tools: one of type \"%.40s\"; this server has %s", type, kind->only);
        write_function(w, tool, json_get(tool, kind->schema));
    }
    json_end(w);
    return true;
}

bool write_format(struct json_writer *w, const char *name, struct json config,
                  void (*schema)(struct json_writer *w, struct json format), struct refusal *r)
{
    const struct json format = json_get(config, "format");
    if (json_type(config) != JSON_OBJECT)
        return refuse(r, REFUSAL_VALUE, name, "%s: it is %s; give an object", name,
                      json_type_name(config));
    if (json_type(format) <= JSON_NULL) return true;
    json_key(w, "response_format");
    if (!json_is_word(json_get(format, "type"), "json_schema")) {
        json_copy(w, format);
        return true;
    }
    json_object(w);
    json_key_cstring(w, "type", "json_schema");
    json_key(w, "json_schema");
    json_object(w);
    schema(w, format);
    json_end(w);
    json_end(w);
    return true;
}

void write_choice(struct json_writer *w, struct json name)
{
    json_object(w);
    json_key_cstring(w, "type", "function");
    json_key(w, "function");
    json_object(w);
    json_key_copy(w, "name", name, "null");
    json_end(w);
    json_end(w);
}

/* ---- the whole ---- */

bool shape_read(const struct shape *s, struct json body, struct shape_ask *a, struct refusal *r)
{
    *a = (struct shape_ask){.stores = true};
    return fields_read(s->fields, body, a, &a->unknown, r);
}

static const char *chats_name(const struct shape *s, const char *theirs)
{
    for (const struct rename *n = s->renames; n->theirs; n++)
        if (strcmp(n->theirs, theirs) == 0) return n->chats;
    return theirs;
}

bool shape_translate(const struct shape *s, struct json body, const struct shape_ask *a,
                     struct json chain, size_t n_left_out, struct translation *t, struct refusal *r)
{
    struct err err = {0};
    struct json_writer w = json_writer(&t->chat);
    struct json_iter it = json_iter(body);
    struct json v;
    const char *key = NULL;
    buf_clear(&t->chat);
    buf_clear(&t->origins);
    json_object(&w);
    while (json_next(&it, &key, NULL, &v)) {
        const struct field *f = table_find(s->fields, sizeof *s->fields, key);
        if (f && f->kind == FIELD_COPIED) json_key_copy(&w, chats_name(s, f->name), v, "null");
    }
    if (!s->write(a, chain, n_left_out, &w, &t->origins, r)) return false;
    json_end(&w);
    return (buf_check(&t->chat, "the request", &err) && buf_check(&t->origins, "it", &err)) ||
           refuse_err(r, NULL, &err);
}

/* ---- names ---- */

/* Replaces the first n bytes of `text`, cut to what fits. */
static void replace_start(char *text, size_t size, size_t n, const char *name)
{
    const size_t n_name = strlen(name), n_rest = strlen(text + n);
    const size_t n_kept = n_name + n_rest < size ? n_rest : size - 1 - n_name;
    memmove(text + n_name, text + n, n_kept);
    memcpy(text, name, n_name);
    text[n_name + n_kept] = '\0';
}

/* If `name` is the field or the beginning of its path. */
static bool begins_path(const char *field, const char *name)
{
    const size_t n = strlen(name);
    return strncmp(field, name, n) == 0 && (field[n] == '\0' || field[n] == '.' || field[n] == '[');
}

static void origin_name(const struct shape *s, const struct translation *t, size_t i, char out[80])
{
    int32_t from = ORIGIN_SYSTEM;
    if (i < t->origins.n_bytes / sizeof from)
        memcpy(&from, t->origins.data + i * sizeof from, sizeof from);
    if (from == ORIGIN_SYSTEM)
        snprintf(out, 80, "%s", s->system);
    else if (from == ORIGIN_CHAIN)
        snprintf(out, 80, "previous_response_id");
    else
        snprintf(out, 80, "%s[%d]", s->input, (int)from);
}

void shape_rename(const struct shape *s, const struct translation *t, struct refusal *r)
{
    char old[80], name[80] = "";
    size_t n = 0; /* bytes of the chat's name */
    if (t && begins_path(r->field, "messages")) {
        char *end = NULL;
        n = strlen("messages");
        snprintf(name, sizeof name, "%s", s->input);
        if (r->field[n] == '[') {
            origin_name(s, t, strtoul(r->field + n + 1, &end, 10), name);
            n = (size_t)(end - r->field) + (*end == ']');
        }
    }
    for (const struct rename *k = s->renames; k->theirs && n == 0; k++) {
        if (!begins_path(r->field, k->chats)) continue;
        n = strlen(k->chats);
        snprintf(name, sizeof name, "%s", k->theirs);
    }
    if (n == 0) return;
    memcpy(old, r->field, sizeof old);
    const bool is_said = strncmp(r->text, old, n) == 0;
    replace_start(r->field, sizeof r->field, n, name);
    if (is_said) replace_start(r->text, sizeof r->text, n, name);
}
