/* SPDX-License-Identifier: Apache-2.0
 *
 * tools.c - functions offered to the model: read, checked, and made into a form of answers.
 *
 * With tool_choice "required" or a named function every answer is calls, whose arguments fit the
 * functions' schemas; a schema that cannot be promised is refused. With "auto" the model is free,
 * unless a function is strict or the answer has a form: then it may say text (or that form) or make
 * calls that fit, and nothing else. With "none" the model is not told of them.
 *
 * Begin reading at tools_read() and tools_bind().
 */
#include "serve/tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "base/table.h"
#include "serve/fields.h"
#include "text/chat_json.h"

enum { MAX_CALLS = 16, MAX_TOOLS_BYTES = 1 << 20 };

void tools_init(struct tools *t)
{
    *t = (struct tools){0};
    buf_init(&t->json, MAX_TOOLS_BYTES);
}

void tools_release(struct tools *t)
{
    free(t->tool);
    free(t->name);
    buf_release(&t->json);
    tools_init(t);
}

bool tools_are_offered(const struct tools *t) { return t->n > 0 && t->choice != TOOLS_NONE; }

/* ---- one function ---- */

bool tool_name_is_good(const char *s)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const size_t n = strlen(s);
    return n > 0 && n <= TOOL_NAME_MAX_BYTES && strspn(s, letters) == n;
}

static int32_t find(const struct tools *t, const char *name)
{
    for (int32_t i = 0; i < t->n; i++)
        if (strcmp(t->tool[i].name, name) == 0) return i;
    return -1;
}

/* {"type": "function", "function": {"name": ..., "description": ..., "parameters": {...}}} */
static void put_tool(struct buf *out, const struct tool *tool)
{
    buf_printf(out, "{\"type\": \"function\", \"function\": {\"name\": \"%s\"", tool->name);
    if (json_type(tool->description) == JSON_STRING) {
        buf_puts(out, ", \"description\": ");
        chat_json(out, tool->description, 0);
    }
    buf_puts(out, ", \"parameters\": ");
    if (json_len(tool->parameters))
        chat_json(out, tool->parameters, 0);
    else
        buf_puts(out, "{\"type\": \"object\", \"properties\": {}}");
    buf_puts(out, "}}");
}

static bool make_room(struct tools *t)
{
    if (!t->tool) t->tool = calloc(TOOLS_MAX, sizeof *t->tool);
    if (!t->name) t->name = calloc(TOOLS_MAX, sizeof *t->name);
    return t->tool && t->name;
}

bool tools_add(struct tools *t, const struct tool *tool, const char *field, struct refusal *r)
{
    if (t->n == TOOLS_MAX)
        return refuse(r, REFUSAL_VALUE, "tools", "tools: more than %d; give fewer", TOOLS_MAX);
    if (!tool_name_is_good(tool->name))
        return refuse(r, REFUSAL_VALUE, field,
                      "%s: the name \"%.80s\"; give 1 to %d letters, digits, _ and -", field,
                      tool->name, TOOL_NAME_MAX_BYTES);
    if (find(t, tool->name) >= 0)
        return refuse(r, REFUSAL_VALUE, field,
                      "%s: there are two functions \"%s\"; name one "
                      "otherwise",
                      field, tool->name);
    if (json_type(tool->parameters) > JSON_NULL && json_type(tool->parameters) != JSON_OBJECT)
        return refuse(r, REFUSAL_VALUE, field,
                      "%s: parameters: it is %s; give a JSON Schema (an object)", field,
                      json_type_name(tool->parameters));
    if (!make_room(t)) return refuse(r, REFUSAL_SERVER, NULL, "no memory for the tools");
    t->tool[t->n] = *tool;
    snprintf(t->tool[t->n].field, sizeof t->tool->field, "%s", field);
    t->name[t->n++] = tool->name;
    buf_puts(&t->json, t->n == 1 ? "[" : ", ");
    put_tool(&t->json, tool);
    return true;
}

/* ---- the choice ---- */

bool tools_choose(struct tools *t, enum tool_choice choice, const char *name, const char *field,
                  struct refusal *r)
{
    if (t->n == 0 && (choice == TOOLS_REQUIRED || name))
        return refuse(r, REFUSAL_VALUE, field, "%s: there are no tools to choose from; give tools",
                      field);
    if (name && find(t, name) < 0)
        return refuse(r, REFUSAL_VALUE, field, "%s: there is no function \"%.64s\" among the tools",
                      field, name);
    t->choice = choice;
    for (int32_t i = 0; name && i < t->n; i++)
        if (strcmp(t->tool[i].name, name) != 0) t->name[i] = "";
    return true;
}

/* {"type": "allowed_tools", "allowed_tools": {"mode": M, "tools": [{"type": "function", ...}]}} */
static bool choose_some(struct tools *t, struct json v, struct refusal *r)
{
    static const char field[] = "tool_choice.allowed_tools";
    const char *mode = NULL;
    if (!json_str(json_get(v, "mode"), &mode, NULL) ||
        (strcmp(mode, "auto") != 0 && strcmp(mode, "required") != 0))
        return refuse(r, REFUSAL_VALUE, field, "%s.mode: give auto or required", field);
    for (int32_t i = 0; i < t->n; i++) t->name[i] = "";
    struct json_iter it = json_iter(json_get(v, "tools"));
    struct json e;
    int32_t n = 0;
    for (; json_next(&it, NULL, NULL, &e); n++) {
        const char *name = "";
        json_str(json_get(json_get(e, "function"), "name"), &name, NULL);
        const int32_t i = find(t, name);
        if (i < 0)
            return refuse(r, REFUSAL_VALUE, field,
                          "%s: there is no function \"%.64s\" among the tools", field, name);
        t->name[i] = t->tool[i].name;
    }
    if (n == 0) return refuse(r, REFUSAL_VALUE, field, "%s.tools: it is empty; name some", field);
    t->choice = strcmp(mode, "auto") == 0 ? TOOLS_AUTO : TOOLS_REQUIRED;
    return true;
}

static bool read_choice(struct tools *t, struct json v, struct refusal *r)
{
    static const struct {
        const char *name;
        enum tool_choice choice;
    } words[] = {{"auto", TOOLS_AUTO}, {"none", TOOLS_NONE}, {"required", TOOLS_REQUIRED}};
    static const char field[] = "tool_choice";
    const char *s = NULL;
    if (json_type(v) <= JSON_NULL) return true;
    if (json_str(v, &s, NULL)) {
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (strcmp(s, words[i].name) == 0)
                return tools_choose(t, words[i].choice, NULL, field, r);
        return refuse(r, REFUSAL_VALUE, field,
                      "%s: \"%.40s\" is unknown; give none, auto, required, or a function", field,
                      s);
    }
    json_str(json_get(v, "type"), &s, NULL);
    if (s && strcmp(s, "allowed_tools") == 0) return choose_some(t, json_get(v, s), r);
    if (!s || strcmp(s, "function") != 0)
        return refuse(r, REFUSAL_VALUE, field,
                      "%s: it is %s; give none, auto, required, or {\"type\": \"function\", "
                      "\"function\": {\"name\": ...}}",
                      field, json_type_name(v));
    if (!json_str(json_get(json_get(v, "function"), "name"), &s, NULL))
        return refuse(r, REFUSAL_MISSING, "tool_choice.function.name",
                      "tool_choice.function.name: it is missing; name one of the tools");
    return tools_choose(t, TOOLS_REQUIRED, s, "tool_choice.function.name", r);
}

/* ---- tools of chat completions ---- */

static bool read_tool(struct tools *t, struct json v, int32_t i, struct refusal *r)
{
    char field[sizeof t->tool->field];
    const char *type = NULL;
    struct tool tool = {0};
    snprintf(field, sizeof field, "tools[%d].type", (int)i);
    if (!json_str(json_get(v, "type"), &type, NULL))
        return refuse(r, json_type(v) == JSON_OBJECT ? REFUSAL_MISSING : REFUSAL_VALUE, field,
                      "%s: it is missing; give \"function\"", field);
    if (strcmp(type, "function") != 0)
        return refuse(r, REFUSAL_UNSUPPORTED, field,
                      "%s: \"%.40s\": this server only does functions", field, type);
    snprintf(field, sizeof field, "tools[%d].function", (int)i);
    const struct json f = json_get(v, "function"), strict = json_get(f, "strict");
    size_t n = 0;
    if (json_type(f) != JSON_OBJECT)
        return refuse(r, json_type(f) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE, field,
                      "%s: it is %s; give an object", field, json_type_name(f));
    if (!json_str(json_get(f, "name"), &tool.name, &n) || strlen(tool.name) != n)
        return refuse(r,
                      json_type(json_get(f, "name")) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE,
                      field, "%s.name: give a string", field);
    tool.description = json_get(f, "description");
    tool.parameters = json_get(f, "parameters");
    if (json_type(tool.description) > JSON_NULL && json_type(tool.description) != JSON_STRING)
        return refuse(r, REFUSAL_VALUE, field, "%s.description: it is %s; give a string", field,
                      json_type_name(tool.description));
    if (json_type(strict) > JSON_NULL && !json_bool(strict, &tool.is_strict))
        return refuse(r, REFUSAL_VALUE, field, "%s.strict: it is %s; give true or false", field,
                      json_type_name(strict));
    return tools_add(t, &tool, field, r);
}

bool tools_read(struct tools *t, struct json tools, struct json choice, struct refusal *r)
{
    struct err err = {0};
    if (json_type(tools) > JSON_NULL) {
        if (json_type(tools) != JSON_ARRAY || json_len(tools) > TOOLS_MAX)
            return refuse(r, REFUSAL_VALUE, "tools",
                          "tools: it is %s of %zu; give an array of at most %d",
                          json_type_name(tools), json_len(tools), TOOLS_MAX);
        struct json_iter it = json_iter(tools);
        struct json v;
        for (int32_t i = 0; json_next(&it, NULL, NULL, &v); i++)
            if (!read_tool(t, v, i, r)) return false;
    }
    if (t->json.n_bytes >= MAX_TOOLS_BYTES - 1 || t->json.is_failed)
        return refuse(r, REFUSAL_VALUE, "tools", "tools: more than %d bytes; give fewer or shorter",
                      MAX_TOOLS_BYTES);
    if (t->n) buf_putc(&t->json, ']');
    if (!buf_check(&t->json, "tools", &err)) return refuse_err(r, "tools", &err);
    return read_choice(t, choice, r);
}

/* ---- the form ---- */

/* How calls look in the shape that a template teaches. */
static const struct shape {
    const char *first, *between, *last, *arguments;
    bool is_instead; /* of text, not behind it */
} shapes[] = {
    [CHAT_TOOLS_LLAMA] = {"", "; ", "", "parameters", true},
    [CHAT_TOOLS_HERMES] = {"<tool_call>\\n", "\\n</tool_call>\\n<tool_call>\\n", "\\n</tool_call>",
                           "arguments", false},
    [CHAT_TOOLS_PLAIN] = {"<tool_call>\\n", "\\n</tool_call>\\n<tool_call>\\n", "\\n</tool_call>",
                          "arguments", false},
};

/* The JSON that grammar_from_calls() reads. */
static void put_calls(const struct tools *t, const struct shape *s, struct buf *out)
{
    buf_printf(out, "{\"first\": \"%s\", \"between\": \"%s\", \"last\": \"%s\", \"most\": %d, ",
               s->first, s->between, s->last, t->is_single ? 1 : MAX_CALLS);
    buf_puts(out, "\"calls\": [");
    bool is_first = true;
    for (int32_t i = 0; i < t->n; i++) {
        const struct tool *tool = &t->tool[i];
        if (!*t->name[i]) continue;
        buf_printf(out,
                   "%s{\"name\": \"%s.parameters\", \"before\": \"{\\\"name\\\": \\\"%s\\\", "
                   "\\\"%s\\\": \", \"after\": \"}\", \"schema\": ",
                   is_first ? "" : ", ", tool->field, tool->name, s->arguments);
        is_first = false;
        if (json_type(tool->parameters) <= JSON_NULL)
            buf_puts(out,
                     "{\"type\": \"object\", \"properties\": {}, \"additionalProperties\": false}");
        else if (json_len(tool->parameters) == 0)
            buf_puts(out, "{\"type\": \"object\"}");
        else
            chat_json(out, tool->parameters, 0);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

/* What else an answer may be where the model may choose. */
static void put_otherwise(const struct shape *s, const struct form *f, struct buf *out)
{
    if (f->kind == FORM_SCHEMA) {
        buf_puts(out, ", \"schema\": ");
        buf_append(out, f->text.data, f->text.n_bytes);
        return;
    }
    buf_printf(out,
               ", \"text\": {\"is_instead\": %s, \"begins_not\": \"{[\", "
               "\"holds_not\": [\"<tool_call>\", \"<function=\"]}",
               s->is_instead ? "true" : "false");
}

static bool has_strict(const struct tools *t)
{
    for (int32_t i = 0; i < t->n; i++)
        if (*t->name[i] && t->tool[i].is_strict) return true;
    return false;
}

bool tools_bind(const struct tools *t, enum chat_tool_form shape, struct form *f, struct refusal *r)
{
    struct err err = {0};
    const bool may_choose = t->choice == TOOLS_AUTO;
    if (!tools_are_offered(t)) return true;
    if (may_choose && f->kind == FORM_FREE && !has_strict(t)) return true;
    if (may_choose && f->kind != FORM_FREE && f->kind != FORM_SCHEMA)
        return refuse(r, REFUSAL_UNSUPPORTED, f->field,
                      "%s beside tools: the model could not call any; give a JSON Schema, or "
                      "\"tool_choice\": \"none\"",
                      f->field);
    struct form bound;
    form_init(&bound);
    bound.kind = FORM_CALLS;
    bound.field = "tools";
    put_calls(t, &shapes[shape], &bound.text);
    if (may_choose) put_otherwise(&shapes[shape], f, &bound.text);
    buf_putc(&bound.text, '}');
    form_release(f);
    *f = bound;
    return buf_check(&f->text, "tools", &err) || refuse_err(r, "tools", &err);
}
