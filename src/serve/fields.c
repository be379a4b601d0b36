/* SPDX-License-Identifier: Apache-2.0
 *
 * fields.c - JSON fields into structs, by rows.
 *
 * Every number has its range in its row, so whatever comes out of here may be used without another
 * look. Unknown fields are ignored, as OpenAI does: clients send what servers of next year know.
 * A field whose effect we know and do not have is refused, since an answer that silently lacks what
 * was asked for (a schema, a tool) is worse than none.
 *
 * Begin reading at fields_read().
 */
#include "serve/fields.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json_wide.h"
#include "base/table.h"

enum { MAX_DEPTH = 64 };

const char *json_type_name(struct json v)
{
    static const char *const names[] = {
        [JSON_NONE] = "nothing",    [JSON_NULL] = "null",      [JSON_BOOL] = "a boolean",
        [JSON_INT] = "a number",    [JSON_UINT] = "a number",  [JSON_DOUBLE] = "a number",
        [JSON_STRING] = "a string", [JSON_ARRAY] = "an array", [JSON_OBJECT] = "an object",
    };
    return names[json_type(v)];
}

bool json_is_word(struct json v, const char *word)
{
    const char *s = NULL;
    size_t n = 0;
    return json_str(v, &s, &n) && n == strlen(word) && strcmp(s, word) == 0;
}

static bool wrong_type(const char *name, struct json v, const char *wanted, struct refusal *r)
{
    return refuse(r, REFUSAL_VALUE, name, "%s: it is %s; give %s", name, json_type_name(v), wanted);
}

/* ---- one kind each ---- */

static bool read_number(const struct field *f, struct json v, double *out, struct refusal *r)
{
    if (!json_f64(v, out)) return wrong_type(f->name, v, "a number", r);
    if (!(*out >= f->min && *out <= f->max))
        return refuse(r, REFUSAL_VALUE, f->name, "%s: %.9g is out of range; give %.9g to %.9g",
                      f->name, *out, f->min, f->max);
    return true;
}

static bool read_float(const struct field *f, struct json v, void *to, struct refusal *r)
{
    double x = 0;
    if (!read_number(f, v, &x, r)) return false;
    const float value = (float)x;
    memcpy(to, &value, sizeof value);
    return true;
}

static bool read_int(const struct field *f, struct json v, void *to, struct refusal *r)
{
    double x = 0;
    if (!read_number(f, v, &x, r)) return false;
    if (x != floor(x))
        return refuse(r, REFUSAL_VALUE, f->name, "%s: %.9g is no whole number; give %.9g to %.9g",
                      f->name, x, f->min, f->max);
    const int32_t value = (int32_t)x; /* the row's range is one of int32_t */
    memcpy(to, &value, sizeof value);
    return true;
}

static bool read_int64(const struct field *f, struct json v, void *to, struct refusal *r)
{
    int64_t value = 0;
    if (!json_i64(v, &value))
        return refuse(r, REFUSAL_VALUE, f->name,
                      "%s: it is %s that is no 64-bit whole number; give one", f->name,
                      json_type_name(v));
    memcpy(to, &value, sizeof value);
    return true;
}

static bool read_bool(const struct field *f, struct json v, void *to, struct refusal *r)
{
    bool value = false;
    if (!json_bool(v, &value)) return wrong_type(f->name, v, "true or false", r);
    memcpy(to, &value, sizeof value);
    return true;
}

static bool read_str(const struct field *f, struct json v, void *to, struct refusal *r)
{
    const char *s = NULL;
    size_t n = 0;
    if (!json_str(v, &s, &n)) return wrong_type(f->name, v, "a string", r);
    if ((double)n > f->max || strlen(s) != n)
        return refuse(r, REFUSAL_VALUE, f->name,
                      "%s: a string of %zu bytes; give at most %.0f, none of them NUL", f->name, n,
                      f->max);
    memcpy(to, &s, sizeof s);
    return true;
}

/* A value that asks for nothing: clients send these by habit. */
static bool is_neutral(struct json v)
{
    bool b = false;
    const enum json_type t = json_type(v);
    if (t == JSON_BOOL) return json_bool(v, &b) && !b;
    if (t == JSON_ARRAY) return json_len(v) == 0;
    if (t == JSON_STRING)
        return json_is_word(v, "") || json_is_word(v, "none") || json_is_word(v, "auto");
    if (t == JSON_OBJECT) return json_len(v) == 0 || json_is_word(json_get(v, "type"), "text");
    return t == JSON_NULL;
}

static bool read_field(const struct field *f, struct json v, void *out, struct refusal *r)
{
    void *to = (char *)out + f->at;
    switch (f->kind) {
    case FIELD_FLOAT:
        return read_float(f, v, to, r);
    case FIELD_INT:
        return read_int(f, v, to, r);
    case FIELD_INT64:
        return read_int64(f, v, to, r);
    case FIELD_BOOL:
        return read_bool(f, v, to, r);
    case FIELD_STR:
        return read_str(f, v, to, r);
    case FIELD_JSON:
        memcpy(to, &v, sizeof v);
        return true;
    case FIELD_OTHER:
        return f->read(out, v, f->name, r);
    case FIELD_IGNORED:
    case FIELD_COPIED:
        return true;
    case FIELD_REFUSED:
        break;
    }
    return is_neutral(v) || refuse(r, REFUSAL_UNSUPPORTED, f->name,
                                   "%s: this server does not do it; leave it out", f->name);
}

/* ---- the object ---- */

static void note_unknown(struct unknown_fields *u, const char *key)
{
    size_t n = strlen(u->names);
    if (u->n++ > 0 && n + 1 < sizeof u->names) u->names[n++] = ',';
    for (; *key && n + 1 < sizeof u->names; key++)
        u->names[n++] = isalnum((unsigned char)*key) || *key == '_' ? *key : '?';
    u->names[n] = '\0';
}

bool fields_read(const struct field *rows, struct json v, void *out, struct unknown_fields *unknown,
                 struct refusal *r)
{
    struct json_iter it = json_iter(v);
    const char *key = NULL;
    size_t n_key = 0;
    struct json value;
    while (json_next(&it, &key, &n_key, &value)) {
        const struct field *f = table_find(rows, sizeof *rows, key);
        if (!f || strlen(key) != n_key)
            note_unknown(unknown, key);
        else if (json_type(value) != JSON_NULL && !read_field(f, value, out, r))
            return false;
    }
    return true;
}

static bool check_tree(struct json v, int depth, struct refusal *r)
{
    const char *key = NULL;
    if (depth > MAX_DEPTH)
        return refuse(r, REFUSAL_JSON, NULL, "the body is nested more than %d deep; flatten it",
                      MAX_DEPTH);
    if (json_has_duplicate(v, &key))
        return refuse(r, REFUSAL_JSON, NULL, "the body has the key \"%.80s\" twice in one object",
                      key);
    struct json_iter it = json_iter(v);
    struct json value;
    while (json_next(&it, NULL, NULL, &value))
        if (json_type(value) >= JSON_ARRAY && !check_tree(value, depth + 1, r)) return false;
    return true;
}

/* The same with numbers of any size, where they alone were why it was refused. */
static struct json_doc *parse_wide(const void *data, size_t n_bytes, struct err *err)
{
    struct err wide_err = {0};
    struct json_doc *d = NULL;
    char *text = malloc(n_bytes + 1);
    if (!text) {
        *err = (struct err){0};
        err_set(err, ERR_MEMORY, "no memory for the body");
        return NULL;
    }
    memcpy(text, data, n_bytes);
    if (json_narrow(text, n_bytes)) d = json_parse(text, n_bytes, n_bytes, "the body", &wide_err);
    free(text);
    return d;
}

struct json_doc *body_parse(const void *data, size_t n_bytes, size_t max_bytes, struct refusal *r)
{
    struct err err = {0};
    struct json_doc *d = json_parse(data, n_bytes, max_bytes, "the body", &err);
    if (!d && err.code == ERR_FORMAT && n_bytes > 0) d = parse_wide(data, n_bytes, &err);
    if (!d) {
        refuse(r, err.code == ERR_MEMORY ? REFUSAL_SERVER : REFUSAL_JSON, NULL, "%s", err.text);
        return NULL;
    }
    const struct json root = json_root(d);
    const bool ok =
        json_type(root) == JSON_OBJECT ||
        refuse(r, REFUSAL_JSON, NULL, "the body is %s; give an object {...}", json_type_name(root));
    if (ok && check_tree(root, 1, r)) return d;
    json_free(d);
    return NULL;
}
