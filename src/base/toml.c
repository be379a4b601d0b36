/* SPDX-License-Identifier: Apache-2.0
 *
 * toml.c - TOML's keys, tables and arrays: what a document means.
 *
 * A line is a key with a value or the head of a table. What makes TOML more than that is the rule
 * that nothing is defined twice, which is kept by marks on the tables:
 *
 *     is_explicit  it had its own [head], or it is an array of [[heads]]: no second head
 *     section      dotted keys of that section (the text behind one head) made it: only dotted
 *                  keys of the same section may add to it, and no head may open it
 *     is_frozen    it was written in place, { } or [ ]: nothing may be added
 *
 * A table without marks is only on the way to another one: [a.b] makes such an a.
 *
 * The order of the checks is the reader's; what is taken and what is refused is tomllib's, and
 * tests/oracle/toml.py compares the two. Depth is the tree's, so keys with a thousand dots, nested
 * arrays and heads are bounded by the same count, and with it the recursion.
 *
 * Begin reading at toml_parse().
 */
#include "base/toml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/toml_parts.h"
#include "base/utf8.h"

enum { MAX_ARENA_BYTES = 64 << 20 };

struct key_part {
    const char *s;
    size_t n, at;
};

struct dotted_key {
    struct key_part part[TOML_MAX_DEPTH];
    int n;
};

/* ---- places and refusals ---- */

static void move_mark(struct toml_reader *r, size_t at)
{
    if (at < r->mark) r->mark = 0, r->line = r->column = 1;
    for (; r->mark < at; r->mark++) {
        const unsigned char c = (unsigned char)r->s[r->mark];
        if (c == '\n')
            r->line++, r->column = 1;
        else if ((c & 0xC0) != 0x80)
            r->column++;
    }
}

bool toml_refuse(struct toml_reader *r, size_t at, const char *fmt, ...)
{
    char text[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    move_mark(r, at);
    err_set(r->err, ERR_FORMAT, "%s", text);
    return err_wrap(r->err, "%s: line %d, column %d", r->doc->name, (int)r->line, (int)r->column);
}

bool toml_wrap(const struct toml_doc *d, const struct toml *v, struct err *err)
{
    return err_wrap(err, "%s: line %d, column %d", d->name, (int)v->line, (int)v->column);
}

/* ---- the tree ---- */

static bool refuse_limit(struct toml_reader *r, size_t at, const char *what, int max)
{
    toml_refuse(r, at, "%s; at most %d", what, max);
    r->err->code = ERR_LIMIT;
    return false;
}

static struct toml *add(struct toml_reader *r, struct toml *parent, enum toml_type type,
                        const struct key_part *key, size_t at)
{
    if ((parent->depth == TOML_MAX_DEPTH && !refuse_limit(r, at, "too deep", TOML_MAX_DEPTH)) ||
        (r->n_values == TOML_MAX_VALUES &&
         !refuse_limit(r, at, "too many values", TOML_MAX_VALUES)))
        return NULL;
    struct toml *v = arena_array(r->doc->arena, 1, sizeof *v, r->err);
    if (!v) return NULL;
    move_mark(r, at);
    *v = (struct toml){.type = type,
                       .line = r->line,
                       .column = r->column,
                       .key = key ? key->s : NULL,
                       .n_key = key ? key->n : 0,
                       .depth = parent->depth + 1};
    r->n_values++;
    if (parent->last)
        parent->last->next = v;
    else
        parent->first = v;
    parent->last = v;
    return v;
}

static struct toml *child(const struct toml *table, const char *key, size_t n)
{
    for (struct toml *v = table->first; v; v = v->next)
        if (v->n_key == n && memcmp(v->key, key, n) == 0) return v;
    return NULL;
}

static void *refuse_twice(struct toml_reader *r, const struct key_part *p, const struct toml *first)
{
    toml_refuse(r, p->at, "\"%.60s\" stands in line %d already, as %s", p->s, (int)first->line,
                toml_type_name(first->type));
    return NULL;
}

/* ---- white space ---- */

static void skip_blanks(struct toml_reader *r)
{
    while (r->s[r->at] == ' ' || r->s[r->at] == '\t') r->at++;
}

static void skip_comment(struct toml_reader *r)
{
    if (r->s[r->at] != '#') return;
    while (r->s[r->at] && !toml_at_newline(r)) r->at++;
}

static void skip_lines(struct toml_reader *r)
{
    for (;;) {
        skip_blanks(r);
        skip_comment(r);
        if (!toml_at_newline(r)) return;
        r->at++;
    }
}

static bool skip_char(struct toml_reader *r, char c)
{
    if (r->s[r->at] != c) return false;
    r->at++;
    return true;
}

/* ---- keys ---- */

static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static bool read_part(struct toml_reader *r, struct key_part *p)
{
    p->at = r->at;
    if (r->s[r->at] == '"' || r->s[r->at] == '\'') return toml_read_string(r, false, &p->s, &p->n);
    while (is_bare(r->s[r->at])) r->at++;
    p->n = r->at - p->at;
    if (p->n == 0)
        return toml_refuse(r, r->at, "no key; keys are letters, digits, _ and -, or in quotes");
    p->s = arena_copy(r->doc->arena, r->s + p->at, p->n, r->err);
    return p->s != NULL;
}

static bool read_key(struct toml_reader *r, struct dotted_key *k)
{
    k->n = 0;
    do {
        skip_blanks(r);
        if (k->n == TOML_MAX_DEPTH)
            return refuse_limit(r, r->at, "a key of too many parts", TOML_MAX_DEPTH);
        if (!read_part(r, &k->part[k->n++])) return false;
        skip_blanks(r);
    } while (skip_char(r, '.'));
    return true;
}

/* ---- values ---- */

/* The table in which a dotted key's last part goes: each part before it makes a table or finds one
 * that dotted keys of this section made. */
static struct toml *walk_dots(struct toml_reader *r, struct toml *t, const struct dotted_key *k)
{
    for (int i = 0; i + 1 < k->n; i++) {
        const struct key_part *p = &k->part[i];
        struct toml *c = child(t, p->s, p->n);
        if (c && (c->type != TOML_TABLE || c->is_frozen || c->is_explicit ||
                  (c->section && c->section != r->section)))
            return refuse_twice(r, p, c);
        if (!c && !(c = add(r, t, TOML_TABLE, p, p->at))) return NULL;
        c->section = r->section;
        t = c;
    }
    return t;
}

static bool read_value(struct toml_reader *r, struct toml *v);

/* KEY = VALUE in the table `base`. */
static bool read_pair(struct toml_reader *r, struct toml *base)
{
    struct dotted_key k;
    if (!read_key(r, &k)) return false;
    struct toml *t = walk_dots(r, base, &k);
    if (!t) return false;
    const struct key_part *p = &k.part[k.n - 1];
    const struct toml *before = child(t, p->s, p->n);
    if (before) return refuse_twice(r, p, before) != NULL;
    if (!skip_char(r, '=')) return toml_refuse(r, r->at, "no = after the key \"%.60s\"", p->s);
    skip_blanks(r);
    struct toml *v = add(r, t, TOML_TABLE, p, p->at);
    return v && read_value(r, v);
}

static bool read_array(struct toml_reader *r, struct toml *v)
{
    const size_t begin = r->at++;
    v->type = TOML_ARRAY;
    v->is_frozen = true;
    for (;;) {
        skip_lines(r);
        if (skip_char(r, ']')) return true;
        struct toml *e = add(r, v, TOML_TABLE, NULL, r->at);
        if (!e || !read_value(r, e)) return false;
        skip_lines(r);
        if (!skip_char(r, ',') && r->s[r->at] != ']')
            return r->s[r->at] ? toml_refuse(r, r->at, "neither , nor ] after an element")
                               : toml_refuse(r, begin, "an array without its ]");
    }
}

static bool read_inline_table(struct toml_reader *r, struct toml *v)
{
    r->at++;
    skip_blanks(r);
    bool ends = skip_char(r, '}');
    while (!ends) {
        if (!read_pair(r, v)) return false;
        skip_blanks(r);
        ends = skip_char(r, '}');
        if (!ends && !skip_char(r, ','))
            return toml_refuse(r, r->at, "neither , nor } after a value of a table in one line");
        skip_blanks(r);
    }
    v->is_frozen = true;
    return true;
}

static bool read_value(struct toml_reader *r, struct toml *v)
{
    switch (r->s[r->at]) {
    case '[':
        return read_array(r, v);
    case '{':
        return read_inline_table(r, v);
    case '"':
    case '\'':
        v->type = TOML_STRING;
        return toml_read_string(r, true, &v->as.string.s, &v->as.string.n);
    default:
        return toml_read_plain(r, v);
    }
}

/* ---- heads ---- */

/* The table that holds a head's last part. A part that names an array of tables means its last. */
static struct toml *walk_head(struct toml_reader *r, const struct dotted_key *k)
{
    struct toml *t = r->doc->root;
    for (int i = 0; i + 1 < k->n; i++) {
        const struct key_part *p = &k->part[i];
        struct toml *c = child(t, p->s, p->n);
        if (!c && !(c = add(r, t, TOML_TABLE, p, p->at))) return NULL;
        if (c->is_frozen || c->type > TOML_ARRAY) return refuse_twice(r, p, c);
        t = c->type == TOML_ARRAY ? c->last : c;
    }
    return t;
}

static struct toml *open_table(struct toml_reader *r, struct toml *t, const struct key_part *p)
{
    struct toml *c = child(t, p->s, p->n);
    if (c && (c->type != TOML_TABLE || c->is_frozen || c->is_explicit || c->section))
        return refuse_twice(r, p, c);
    if (!c && !(c = add(r, t, TOML_TABLE, p, p->at))) return NULL;
    c->is_explicit = true;
    return c;
}

static struct toml *open_element(struct toml_reader *r, struct toml *t, const struct key_part *p)
{
    struct toml *c = child(t, p->s, p->n);
    if (c && (c->type != TOML_ARRAY || c->is_frozen)) return refuse_twice(r, p, c);
    if (!c && !(c = add(r, t, TOML_ARRAY, p, p->at))) return NULL;
    c->is_explicit = true;
    return add(r, c, TOML_TABLE, NULL, p->at);
}

/* [a.b] or [[a.b]]: what follows goes into *section. */
static bool read_head(struct toml_reader *r, struct toml **section)
{
    struct dotted_key k;
    r->at++;
    const bool is_element = skip_char(r, '[');
    r->section++;
    if (!read_key(r, &k)) return false;
    if (!skip_char(r, ']') || (is_element && !skip_char(r, ']')))
        return toml_refuse(r, r->at, "no %s after the name of a table", is_element ? "]]" : "]");
    struct toml *t = walk_head(r, &k);
    if (t) t = (is_element ? open_element : open_table)(r, t, &k.part[k.n - 1]);
    *section = t;
    return t != NULL;
}

/* ---- the document ---- */

static bool check_text(struct toml_reader *r, size_t n)
{
    for (size_t i = 0; i < n;) {
        const size_t len = utf8_char(r->s + i, n - i);
        const unsigned char c = (unsigned char)r->s[i];
        if (len == 0) return toml_refuse(r, i, "the bytes are not UTF-8");
        if ((c < 0x20 && c != '\t' && c != '\n' && !(c == '\r' && r->s[i + 1] == '\n')) ||
            c == 0x7F)
            return toml_refuse(r, i, "the control character 0x%02X; write \\u%04X in a string", c,
                               c);
        i += len;
    }
    return true;
}

static bool read_document(struct toml_reader *r)
{
    struct toml *section = r->doc->root;
    for (;;) {
        skip_lines(r);
        if (!r->s[r->at]) return true;
        if (!(r->s[r->at] == '[' ? read_head(r, &section) : read_pair(r, section))) return false;
        skip_blanks(r);
        skip_comment(r);
        if (r->s[r->at] && !toml_at_newline(r))
            return toml_refuse(r, r->at, "more after the value; the next key begins a new line");
    }
}

struct toml_doc *toml_parse(const char *data, size_t n_bytes, const char *name, struct err *err)
{
    if (n_bytes > TOML_MAX_BYTES) {
        err_set(err, ERR_LIMIT, "%s: %zu bytes are more than %d", name, n_bytes, TOML_MAX_BYTES);
        return NULL;
    }
    struct toml_doc *d = calloc(1, sizeof *d);
    if (!d) {
        err_set(err, ERR_MEMORY, "%s: no memory to read it", name);
        return NULL;
    }
    struct toml_reader r = {.doc = d, .err = err, .section = 1, .line = 1, .column = 1};
    buf_init(&r.scratch, TOML_MAX_BYTES + 1);
    const bool ok = (d->arena = arena_new(MAX_ARENA_BYTES, err)) &&
                    (d->name = arena_copy(d->arena, name, strlen(name), err)) &&
                    (r.s = arena_copy(d->arena, data, n_bytes, err)) &&
                    (d->root = arena_array(d->arena, 1, sizeof *d->root, err)) &&
                    check_text(&r, n_bytes) && read_document(&r);
    buf_release(&r.scratch);
    if (ok) return d;
    toml_free(d);
    return NULL;
}

void toml_free(struct toml_doc *d)
{
    if (!d) return;
    arena_free(d->arena);
    free(d);
}

const struct toml *toml_root(const struct toml_doc *d) { return d->root; }

const struct toml *toml_get(const struct toml *table, const char *key)
{
    return child(table, key, strlen(key));
}

const char *toml_type_name(enum toml_type t)
{
    static const char *const names[] = {
        [TOML_TABLE] = "a table",  [TOML_ARRAY] = "an array", [TOML_STRING] = "a string",
        [TOML_INT] = "an integer", [TOML_FLOAT] = "a number", [TOML_BOOL] = "true or false",
    };
    return names[t];
}
