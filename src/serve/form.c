/* SPDX-License-Identifier: Apache-2.0
 *
 * form.c - from the many names for one wish to a text that a grammar is compiled from.
 *
 * OpenAI has response_format; llama.cpp adds json_schema and grammar; vLLM has guided_* and, since,
 * structured_outputs, an object of the same. All end here as one of a schema, an expression or a
 * GBNF grammar. A list of choices is a grammar of literals. Texts are copied in one spelling (as
 * chat_json.h writes), so that equal wishes are equal texts: the key under which grammars are kept.
 *
 * Begin reading at the table at the end.
 */
#include "serve/form.h"

#include <assert.h>
#include <string.h>

#include "base/table.h"
#include "serve/fields.h"
#include "text/chat_json.h"

enum { MAX_CHOICES = 1000, MAX_SCHEMA_NAME = 64 };

void form_init(struct form *f)
{
    *f = (struct form){.kind = FORM_FREE};
    buf_init(&f->text, GRAMMAR_MAX_TEXT_BYTES);
}

void form_release(struct form *f) { buf_release(&f->text); }

struct wish {
    const char *name, *field;
    bool (*read)(struct form *f, struct json v, const char *name, struct refusal *r);
};

/* ---- one wish ---- */

static bool begin(struct form *f, enum form_kind kind, const char *name, struct refusal *r)
{
    if (f->kind != FORM_FREE)
        return refuse(r, REFUSAL_VALUE, name, "%s beside %s: an answer has one form; give one",
                      name, f->field);
    f->kind = kind;
    f->field = name;
    return true;
}

static bool end(const struct form *f, const char *name, struct refusal *r)
{
    struct err err = {0};
    if (f->text.n_bytes >= GRAMMAR_MAX_TEXT_BYTES || f->text.is_failed)
        return refuse(r, REFUSAL_VALUE, name, "%s: more than %zu bytes; make it smaller", name,
                      GRAMMAR_MAX_TEXT_BYTES);
    return buf_check(&f->text, name, &err) || refuse_err(r, name, &err);
}

static bool take_text(struct form *f, enum form_kind kind, struct json v, const char *name,
                      struct refusal *r)
{
    const char *s = NULL;
    size_t n = 0;
    if (!json_str(v, &s, &n) || n == 0)
        return refuse(r, REFUSAL_VALUE, name, "%s: it is %s; give a string that is not empty", name,
                      json_type(v) == JSON_STRING ? "empty" : json_type_name(v));
    if (!begin(f, kind, name, r)) return false;
    buf_append(&f->text, s, n);
    return end(f, name, r);
}

static bool take_schema(struct form *f, struct json v, const char *name, struct refusal *r)
{
    if (json_type(v) != JSON_OBJECT && json_type(v) != JSON_BOOL)
        return refuse(r, json_type(v) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE, name,
                      "%s: it is %s; give a JSON Schema (an object)", name, json_type_name(v));
    if (!begin(f, FORM_SCHEMA, name, r)) return false;
    chat_json(&f->text, v, 0);
    return end(f, name, r);
}

static bool take_any_object(struct form *f, const char *name, struct refusal *r)
{
    if (!begin(f, FORM_SCHEMA, name, r)) return false;
    buf_puts(&f->text, "{\"type\": \"object\"}");
    return true;
}

/* ---- the fields ---- */

static bool read_schema(struct form *f, struct json v, const char *name, struct refusal *r)
{
    /* vLLM takes the schema as text too */
    return json_type(v) == JSON_STRING ? take_text(f, FORM_SCHEMA, v, name, r)
                                       : take_schema(f, v, name, r);
}

static bool read_regex(struct form *f, struct json v, const char *name, struct refusal *r)
{
    return take_text(f, FORM_REGEX, v, name, r);
}

/* Clients send an empty string by habit. */
static bool read_grammar(struct form *f, struct json v, const char *name, struct refusal *r)
{
    size_t n = 1;
    const char *s = NULL;
    if (json_str(v, &s, &n) && n == 0) return true;
    return take_text(f, FORM_GBNF, v, name, r);
}

static void put_literal(struct buf *out, const char *s, size_t n)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        if (c < 0x20 || c == 0x7F || c == '"' || c == '\\')
            buf_printf(out, "\\x%02X", (unsigned)c);
        else
            buf_putc(out, s[i]);
    }
    buf_putc(out, '"');
}

static bool read_choice(struct form *f, struct json v, const char *name, struct refusal *r)
{
    if (json_type(v) != JSON_ARRAY || json_len(v) == 0 || json_len(v) > MAX_CHOICES)
        return refuse(r, REFUSAL_VALUE, name,
                      "%s: it is %s of %zu; give an array of 1 to %d strings", name,
                      json_type_name(v), json_len(v), MAX_CHOICES);
    if (!begin(f, FORM_GBNF, name, r)) return false;
    struct json_iter it = json_iter(v);
    struct json e;
    buf_puts(&f->text, "root ::= ");
    for (size_t i = 0; json_next(&it, NULL, NULL, &e); i++) {
        const char *s = NULL;
        size_t n = 0;
        if (!json_str(e, &s, &n) || n == 0)
            return refuse(r, REFUSAL_VALUE, name, "%s[%zu]: give a string that is not empty", name,
                          i);
        buf_puts(&f->text, i ? " | " : "");
        put_literal(&f->text, s, n);
    }
    return end(f, name, r);
}

/* ---- response_format ---- */

static bool is_name(const char *s, size_t n)
{
    if (n == 0 || n > MAX_SCHEMA_NAME) return false;
    for (size_t i = 0; i < n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", s[i]))
            return false;
    return true;
}

static bool read_json_schema(struct form *f, struct json v, struct refusal *r)
{
    static const char field[] = "response_format.json_schema";
    const struct json inner = json_get(v, "json_schema");
    const char *name = NULL;
    size_t n = 0;
    bool is_strict = false;
    /* llama.cpp's short form */
    if (json_type(inner) == JSON_NONE && json_type(json_get(v, "schema")) != JSON_NONE)
        return take_schema(f, json_get(v, "schema"), "response_format.schema", r);
    if (json_type(inner) != JSON_OBJECT)
        return refuse(r, json_type(inner) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE, field,
                      "%s: it is %s; give an object with name and schema", field,
                      json_type_name(inner));
    if (!json_str(json_get(inner, "name"), &name, &n) || !is_name(name, n))
        return refuse(
            r, json_type(json_get(inner, "name")) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE,
            "response_format.json_schema.name",
            "response_format.json_schema.name: give a string of 1 to %d letters, digits, "
            "_ and -",
            MAX_SCHEMA_NAME);
    const struct json strict = json_get(inner, "strict");
    if (json_type(strict) > JSON_NULL && !json_bool(strict, &is_strict))
        return refuse(r, REFUSAL_VALUE, "response_format.json_schema.strict",
                      "response_format.json_schema.strict: it is %s; give true or false",
                      json_type_name(strict));
    /* strict or not, what comes fits: a schema that cannot be promised is refused */
    return take_schema(f, json_get(inner, "schema"), "response_format.json_schema.schema", r);
}

static bool read_response_format(struct form *f, struct json v, const char *name, struct refusal *r)
{
    const char *type = NULL;
    if (json_type(v) != JSON_OBJECT)
        return refuse(r, REFUSAL_VALUE, name, "%s: it is %s; give an object {\"type\": ...}", name,
                      json_type_name(v));
    if (!json_str(json_get(v, "type"), &type, NULL))
        return refuse(r, REFUSAL_MISSING, "response_format.type",
                      "response_format.type: it is missing; give text, json_object or json_schema");
    if (strcmp(type, "text") == 0) return true;
    if (strcmp(type, "json_schema") == 0) return read_json_schema(f, v, r);
    if (strcmp(type, "json_object") != 0)
        return refuse(r, REFUSAL_VALUE, "response_format.type",
                      "response_format.type: \"%.40s\" is unknown; give text, json_object or "
                      "json_schema",
                      type);
    if (json_type(json_get(v, "schema")) > JSON_NULL)
        return take_schema(f, json_get(v, "schema"), "response_format.schema", r);
    return take_any_object(f, name, r);
}

/* ---- structured_outputs ---- */

static bool read_json_object(struct form *f, struct json v, const char *name, struct refusal *r)
{
    bool is_wanted = false;
    if (!json_bool(v, &is_wanted))
        return refuse(r, REFUSAL_VALUE, name, "%s: it is %s; give true or false", name,
                      json_type_name(v));
    return !is_wanted || take_any_object(f, name, r);
}

static const struct wish wishes[] = {
    {"json", "structured_outputs.json", read_schema},
    {"regex", "structured_outputs.regex", read_regex},
    {"choice", "structured_outputs.choice", read_choice},
    {"grammar", "structured_outputs.grammar", read_grammar},
    {"json_object", "structured_outputs.json_object", read_json_object},
    {0},
};

static bool read_structured_outputs(struct form *f, struct json v, const char *name,
                                    struct refusal *r)
{
    struct json_iter it = json_iter(v);
    const char *key = NULL;
    struct json value;
    if (json_type(v) != JSON_OBJECT)
        return refuse(r, REFUSAL_VALUE, name, "%s: it is %s; give an object", name,
                      json_type_name(v));
    while (json_next(&it, &key, NULL, &value)) {
        const struct wish *w = table_find(wishes, sizeof *wishes, key);
        if (json_type(value) == JSON_NULL) continue;
        if (!w)
            return refuse(r, REFUSAL_UNSUPPORTED, name,
                          "%s: \"%.40s\" is unknown; give one of json, regex, choice, grammar and "
                          "json_object",
                          name, key);
        if (!w->read(f, value, w->field, r)) return false;
    }
    return true;
}

/* ---- the table ---- */

static const struct wish fields[] = {
    /* clang-format off */
    /* name                field                 read */
    {"response_format",    "response_format",    read_response_format},
    {"structured_outputs", "structured_outputs", read_structured_outputs},
    {"json_schema",        "json_schema",        read_schema},
    {"guided_json",        "guided_json",        read_schema},
    {"guided_regex",       "guided_regex",       read_regex},
    {"guided_choice",      "guided_choice",      read_choice},
    {"guided_grammar",     "guided_grammar",     read_grammar},
    {"grammar",            "grammar",            read_grammar},
    {0},
    /* clang-format on */
};

bool form_read(struct form *f, struct json v, const char *name, struct refusal *r)
{
    const struct wish *w = table_find(fields, sizeof *fields, name);
    assert(w);
    return w->read(f, v, w->field, r);
}

/* ---- compiling ---- */

struct grammar *form_compile(enum form_kind kind, const char *text, size_t n, const char *field,
                             struct err *err)
{
    switch (kind) {
    case FORM_SCHEMA:
        return grammar_from_schema(text, n, SPACE_FREE, field, err);
    case FORM_REGEX:
        return grammar_from_regex(text, n, field, err);
    case FORM_GBNF:
        return grammar_from_gbnf(text, n, field, err);
    case FORM_CALLS:
        return grammar_from_calls(text, n, SPACE_WIDE, field, err);
    case FORM_FREE:
        break;
    }
    err_set(err, ERR_USAGE, "%s: no form to compile", field);
    return NULL;
}

bool form_refuse(struct refusal *r, const char *field, const struct err *err)
{
    if (err->code == ERR_FORMAT) return refuse(r, REFUSAL_VALUE, field, "%s", err->text);
    return refuse_err(r, field, err);
}
