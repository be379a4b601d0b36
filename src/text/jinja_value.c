/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_value.c - the values of a running template, as Python has them.
 *
 * None, booleans, integers of 64 bits (an overflow is an error, where Python goes on), floats,
 * texts with marks, lists, tuples, dicts in order of insertion, and what is undefined: that prints
 * as nothing, is false, has length 0, and fails when more is asked of it.
 *
 * A dict is searched from front to back: those of templates have a handful of keys, and work is
 * counted, so that a large one of a stranger ends in an error, not in a wait.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "text/jinja_parts.h"

/* ---- the fences ---- */

bool jinja_fail(struct jinja *j, enum err_code code, const char *fmt, ...)
{
    if (j->is_failed) return false;
    j->is_failed = true;
    char text[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return err_set(j->err, code, "the chat template, line %d: %s", (int)j->line, text);
}

bool jinja_charge(struct jinja *j, size_t n)
{
    if (j->is_failed) return false;
    if ((uint64_t)j->steps_left >= n) {
        j->steps_left -= (int64_t)n;
        return true;
    }
    return jinja_fail(j, ERR_LIMIT, "more than %lld steps; it may never end",
                      (long long)j->limits->max_steps);
}

bool jinja_enter(struct jinja *j)
{
    if (!jinja_charge(j, 1)) return false;
    if (++j->depth <= j->limits->max_depth) return true;
    j->depth--;
    return jinja_fail(j, ERR_LIMIT, "blocks, expressions and calls are more than %d deep",
                      (int)j->limits->max_depth);
}

void jinja_leave(struct jinja *j) { j->depth--; }

void *jinja_alloc(struct jinja *j, size_t n, size_t elem_bytes)
{
    if (j->is_failed) return NULL;
    struct err err = {0};
    void *p = arena_array(j->arena, n, elem_bytes, &err);
    if (!p) (void)jinja_fail(j, err.code, "%s", err.text);
    return p;
}

/* ---- making them ---- */

struct jinja_value jinja_none(void) { return (struct jinja_value){.type = JV_NONE}; }

struct jinja_value jinja_bool(bool b)
{
    return (struct jinja_value){.type = JV_BOOL, .is_markup = true, .u.b = b};
}

struct jinja_value jinja_int(int64_t i)
{
    return (struct jinja_value){.type = JV_INT, .is_markup = true, .u.i = i};
}

struct jinja_value jinja_float(double f)
{
    return (struct jinja_value){.type = JV_FLOAT, .is_markup = true, .u.f = f};
}

struct jinja_value jinja_undefined(const char *name)
{
    return (struct jinja_value){.type = JV_UNDEFINED, .u.name = name};
}

struct jinja_value jinja_string(const char *s, size_t n, bool is_markup)
{
    return (struct jinja_value){
        .type = JV_STRING, .is_markup = is_markup, .u.str = {.s = s, .n = n}};
}

struct jinja_value jinja_cut(const struct jinja_value *v, size_t begin, size_t end)
{
    struct jinja_value out = *v;
    out.u.str.s += begin;
    out.u.str.n = end - begin;
    if (out.u.str.mark) out.u.str.mark += begin;
    return out;
}

/* ---- a text that grows ---- */

static bool make_room(struct jinja_out *o, size_t n)
{
    struct jinja *j = o->j;
    if (!jinja_charge(j, n / 64)) return false;
    if (n > j->limits->max_output_bytes - o->n)
        return jinja_fail(j, ERR_LIMIT, "a text of more than %zu bytes",
                          j->limits->max_output_bytes);
    if (o->cap - o->n >= n) return true;
    size_t cap = o->cap ? 2 * o->cap : 64;
    if (cap < o->n + n) cap = o->n + n;
    char *s = jinja_alloc(j, cap, 1);
    uint8_t *mark = s ? jinja_alloc(j, cap, 1) : NULL;
    if (!mark) return false;
    if (o->n) {
        memcpy(s, o->s, o->n);
        memcpy(mark, o->mark, o->n);
    }
    o->s = s;
    o->mark = mark;
    o->cap = cap;
    return true;
}

void jinja_put(struct jinja_out *o, const char *s, size_t n, bool is_markup)
{
    if (!n || !make_room(o, n)) return;
    memcpy(o->s + o->n, s, n);
    memset(o->mark + o->n, is_markup, n);
    o->n += n;
}

void jinja_put_text(struct jinja_out *o, const struct jinja_value *v, size_t begin, size_t end)
{
    const struct jinja_text *t = &v->u.str;
    const size_t n = end - begin, at = o->n;
    jinja_put(o, t->s + begin, n, v->is_markup);
    if (n && t->mark && !o->j->is_failed) memcpy(o->mark + at, t->mark + begin, n);
}

bool jinja_out_end(struct jinja_out *o, struct jinja_value *out)
{
    if (o->j->is_failed) return false;
    const bool is_markup = o->n && o->mark[0];
    *out = jinja_string(o->n ? o->s : "", o->n, !o->n || is_markup);
    if (o->n && memchr(o->mark, is_markup ? 0 : 1, o->n)) out->u.str.mark = o->mark;
    return true;
}

/* ---- lists ---- */

struct jinja_list *jinja_list_new(struct jinja *j, size_t cap)
{
    if (!jinja_charge(j, cap)) return NULL;
    struct jinja_list *l = jinja_alloc(j, 1, sizeof *l);
    if (!l || !cap) return l;
    l->item = jinja_alloc(j, cap, sizeof *l->item);
    l->cap = cap;
    return l->item ? l : NULL;
}

bool jinja_list_add(struct jinja *j, struct jinja_list *l, struct jinja_value v)
{
    if (l->n == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : 4;
        if (!jinja_charge(j, l->n)) return false;
        struct jinja_value *grown = jinja_alloc(j, cap, sizeof *grown);
        if (!grown) return false;
        if (l->n) memcpy(grown, l->item, l->n * sizeof *grown);
        l->item = grown;
        l->cap = cap;
    }
    l->item[l->n++] = v;
    return true;
}

struct jinja_value jinja_of_list(struct jinja_list *l, enum jinja_type type)
{
    return (struct jinja_value){.type = type, .u.list = l};
}

/* ---- what a value is ---- */

bool jinja_is_number(const struct jinja_value *v)
{
    return v->type == JV_INT || v->type == JV_FLOAT || v->type == JV_BOOL;
}

bool jinja_is_list(const struct jinja_value *v)
{
    return v->type == JV_LIST || v->type == JV_TUPLE;
}

bool jinja_as_int(const struct jinja_value *v, int64_t *out)
{
    if (v->type == JV_INT) *out = v->u.i;
    if (v->type == JV_BOOL) *out = v->u.b;
    return v->type == JV_INT || v->type == JV_BOOL;
}

double jinja_as_float(const struct jinja_value *v)
{
    int64_t i = 0;
    return jinja_as_int(v, &i) ? (double)i : v->u.f;
}

bool jinja_is_true(const struct jinja_value *v)
{
    switch (v->type) {
    case JV_MISSING:
    case JV_UNDEFINED:
    case JV_NONE:
        return false;
    case JV_BOOL:
        return v->u.b;
    case JV_INT:
        return v->u.i != 0;
    case JV_FLOAT:
        return v->u.f != 0;
    case JV_STRING:
        return v->u.str.n > 0;
    case JV_LIST:
    case JV_TUPLE:
        return v->u.list->n > 0;
    case JV_GENERATOR:
        return true;
    case JV_DICT:
        return v->u.dict->n > 0;
    case JV_NAMESPACE:
    case JV_FUNC:
    case JV_MACRO:
        return true;
    case JV_LOOP:
        return v->u.loop->list->n > 0;
    }
    return false;
}

bool jinja_text_is(const struct jinja_value *v, const char *s)
{
    return v->type == JV_STRING && v->u.str.n == strlen(s) &&
           memcmp(v->u.str.s, s, v->u.str.n) == 0;
}

const char *jinja_type_name(const struct jinja_value *v)
{
    static const char *const names[] = {
        [JV_MISSING] = "nothing", [JV_UNDEFINED] = "an undefined value",
        [JV_NONE] = "none",       [JV_BOOL] = "a boolean",
        [JV_INT] = "an integer",  [JV_FLOAT] = "a float",
        [JV_STRING] = "a string", [JV_LIST] = "a list",
        [JV_TUPLE] = "a tuple",   [JV_GENERATOR] = "a generator",
        [JV_DICT] = "a dict",     [JV_NAMESPACE] = "a namespace",
        [JV_FUNC] = "a function", [JV_MACRO] = "a macro",
        [JV_LOOP] = "a loop",
    };
    return names[v->type];
}

/* ---- comparing ---- */

static bool equal_lists(struct jinja *j, const struct jinja_list *a, const struct jinja_list *b,
                        bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++)
        if (!jinja_equal(j, &a->item[i], &b->item[i], out)) return false;
    return true;
}

static bool equal_dicts(struct jinja *j, const struct jinja_dict *a, const struct jinja_dict *b,
                        bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++) {
        const struct jinja_value *v = jinja_dict_get(j, b, &a->key[i]);
        *out = v != NULL;
        if (j->is_failed || (v && !jinja_equal(j, &a->value[i], v, out))) return false;
    }
    return true;
}

static int compare_texts(const struct jinja_text *a, const struct jinja_text *b)
{
    const size_t n = a->n < b->n ? a->n : b->n;
    const int c = n ? memcmp(a->s, b->s, n) : 0; /* UTF-8 keeps the order of code points */
    return c ? c : (a->n > b->n) - (a->n < b->n);
}

static int compare_numbers(const struct jinja_value *a, const struct jinja_value *b)
{
    int64_t i = 0, k = 0;
    if (jinja_as_int(a, &i) && jinja_as_int(b, &k)) return (i > k) - (i < k);
    const double f = jinja_as_float(a), g = jinja_as_float(b);
    return (f > g) - (f < g);
}

static bool is_same_thing(const struct jinja_value *a, const struct jinja_value *b)
{
    switch (a->type) {
    case JV_NONE:
    case JV_UNDEFINED:
        return true;
    case JV_NAMESPACE:
        return a->u.dict == b->u.dict;
    case JV_MACRO:
        return a->u.macro == b->u.macro;
    case JV_LOOP:
        return a->u.loop == b->u.loop;
    case JV_FUNC:
        return a->u.func.row == b->u.func.row && a->u.func.self == b->u.func.self;
    default:
        return false;
    }
}

bool jinja_equal(struct jinja *j, const struct jinja_value *a, const struct jinja_value *b,
                 bool *out)
{
    *out = false;
    if (jinja_is_number(a) && jinja_is_number(b)) {
        *out = compare_numbers(a, b) == 0;
        if (a->type == JV_FLOAT && isnan(a->u.f)) *out = false;
        if (b->type == JV_FLOAT && isnan(b->u.f)) *out = false;
        return true;
    }
    if (a->type != b->type) return true;
    if (a->type == JV_STRING) {
        *out = a->u.str.n == b->u.str.n && compare_texts(&a->u.str, &b->u.str) == 0;
        return jinja_charge(j, *out ? a->u.str.n / 64 : 0);
    }
    if (!jinja_is_list(a) && a->type != JV_DICT) {
        *out = is_same_thing(a, b);
        return true;
    }
    if (!jinja_enter(j)) return false;
    const bool ok = a->type == JV_DICT ? equal_dicts(j, a->u.dict, b->u.dict, out)
                                       : equal_lists(j, a->u.list, b->u.list, out);
    jinja_leave(j);
    return ok;
}

static bool order_lists(struct jinja *j, const struct jinja_list *a, const struct jinja_list *b,
                        int *out)
{
    const size_t n = a->n < b->n ? a->n : b->n;
    for (size_t i = 0; i < n; i++) {
        bool is_equal = false;
        if (!jinja_equal(j, &a->item[i], &b->item[i], &is_equal)) return false;
        if (!is_equal) return jinja_order(j, &a->item[i], &b->item[i], out);
    }
    *out = (a->n > b->n) - (a->n < b->n);
    return true;
}

bool jinja_order(struct jinja *j, const struct jinja_value *a, const struct jinja_value *b,
                 int *out)
{
    if (jinja_is_number(a) && jinja_is_number(b)) {
        *out = compare_numbers(a, b);
        return true;
    }
    if (a->type == JV_STRING && b->type == JV_STRING) {
        *out = compare_texts(&a->u.str, &b->u.str);
        return jinja_charge(j, 1);
    }
    if (!jinja_is_list(a) || a->type != b->type)
        return jinja_fail(j, ERR_FORMAT, "%s and %s have no order", jinja_type_name(a),
                          jinja_type_name(b));
    if (!jinja_enter(j)) return false;
    const bool ok = order_lists(j, a->u.list, b->u.list, out);
    jinja_leave(j);
    return ok;
}

/* ---- dicts ---- */

struct jinja_dict *jinja_dict_new(struct jinja *j, size_t cap)
{
    if (!jinja_charge(j, cap)) return NULL;
    struct jinja_dict *d = jinja_alloc(j, 1, sizeof *d);
    if (!d || !cap) return d;
    d->key = jinja_alloc(j, cap, sizeof *d->key);
    d->value = d->key ? jinja_alloc(j, cap, sizeof *d->value) : NULL;
    d->cap = cap;
    return d->value ? d : NULL;
}

static bool dict_add(struct jinja *j, struct jinja_dict *d, struct jinja_value key,
                     struct jinja_value v)
{
    if (d->n == d->cap) {
        struct jinja_dict *grown = jinja_dict_new(j, d->cap ? 2 * d->cap : 4);
        if (!grown) return false;
        for (size_t i = 0; i < d->n; i++) {
            grown->key[i] = d->key[i];
            grown->value[i] = d->value[i];
        }
        grown->n = d->n;
        *d = *grown;
    }
    d->key[d->n] = key;
    d->value[d->n++] = v;
    return true;
}

const struct jinja_value *jinja_dict_get(struct jinja *j, const struct jinja_dict *d,
                                         const struct jinja_value *key)
{
    if (!jinja_charge(j, 1 + d->n / 8)) return NULL;
    for (size_t i = 0; i < d->n; i++) {
        bool is_equal = false;
        if (!jinja_equal(j, &d->key[i], key, &is_equal)) return NULL;
        if (is_equal) return &d->value[i];
    }
    return NULL;
}

const struct jinja_value *jinja_dict_find(struct jinja *j, const struct jinja_dict *d,
                                          const char *key)
{
    const struct jinja_value k = jinja_string(key, strlen(key), true);
    return jinja_dict_get(j, d, &k);
}

bool jinja_dict_set(struct jinja *j, struct jinja_dict *d, struct jinja_value key,
                    struct jinja_value v)
{
    if (key.type == JV_LIST || key.type == JV_DICT)
        return jinja_fail(j, ERR_FORMAT, "%s cannot be the key of a dict", jinja_type_name(&key));
    const struct jinja_value *old = jinja_dict_get(j, d, &key);
    if (j->is_failed) return false;
    if (!old) return dict_add(j, d, key, v);
    d->value[old - d->value] = v;
    return true;
}

/* ---- as a container ---- */

bool jinja_contains(struct jinja *j, const struct jinja_value *in, const struct jinja_value *what,
                    bool *out)
{
    *out = false;
    switch (in->type) {
    case JV_STRING:
        if (what->type != JV_STRING)
            return jinja_fail(j, ERR_FORMAT, "%s is looked for in a string", jinja_type_name(what));
        *out = jinja_find(in, 0, what) != SIZE_MAX;
        return jinja_charge(j, in->u.str.n / 64);
    case JV_DICT:
        *out = jinja_dict_get(j, in->u.dict, what) != NULL;
        return !j->is_failed;
    case JV_LIST:
    case JV_TUPLE:
        for (size_t i = 0; !*out && i < in->u.list->n; i++)
            if (!jinja_charge(j, 1) || !jinja_equal(j, &in->u.list->item[i], what, out))
                return false;
        return true;
    case JV_UNDEFINED:
        return true;
    case JV_GENERATOR: {
        const struct jinja_value rest = jinja_of_list(in->u.list, JV_LIST);
        return jinja_contains(j, &rest, what, out);
    }
    default:
        return jinja_fail(j, ERR_FORMAT, "%s has no elements to look in", jinja_type_name(in));
    }
}

static bool characters(struct jinja *j, const struct jinja_value *v, struct jinja_list **out)
{
    const size_t n = v->u.str.n;
    *out = jinja_list_new(j, 0);
    for (size_t i = 0, end = 0; *out && i < n; i = end) {
        end = i + 1;
        while (end < n && ((uint8_t)v->u.str.s[end] & 0xC0) == 0x80) end++;
        if (!jinja_charge(j, 1) || !jinja_list_add(j, *out, jinja_cut(v, i, end))) return false;
    }
    return *out != NULL;
}

bool jinja_iterate(struct jinja *j, const struct jinja_value *v, struct jinja_list **out)
{
    switch (v->type) {
    case JV_LIST:
    case JV_TUPLE:
        *out = v->u.list;
        return true;
    case JV_GENERATOR: { /* what is taken is gone */
        struct jinja_list *l = jinja_alloc(j, 1, sizeof *l);
        if (!l) return false;
        *l = *v->u.list;
        v->u.list->n = 0;
        *out = l;
        return true;
    }
    case JV_STRING:
        return characters(j, v, out);
    case JV_UNDEFINED:
        *out = jinja_list_new(j, 0);
        return *out != NULL;
    case JV_DICT:
        *out = jinja_list_new(j, v->u.dict->n);
        for (size_t i = 0; *out && i < v->u.dict->n; i++)
            if (!jinja_list_add(j, *out, v->u.dict->key[i])) return false;
        return *out != NULL;
    default:
        return jinja_fail(j, ERR_FORMAT, "%s has no elements to go through", jinja_type_name(v));
    }
}

bool jinja_length(struct jinja *j, const struct jinja_value *v, size_t *out)
{
    switch (v->type) {
    case JV_LIST:
    case JV_TUPLE:
        *out = v->u.list->n;
        return true;
    case JV_DICT:
        *out = v->u.dict->n;
        return true;
    case JV_UNDEFINED:
        *out = 0;
        return true;
    case JV_STRING:
        *out = jinja_chars(v);
        return jinja_charge(j, v->u.str.n / 64);
    case JV_LOOP:
        *out = v->u.loop->list->n;
        return true;
    default:
        return jinja_fail(j, ERR_FORMAT, "%s has no length", jinja_type_name(v));
    }
}

/* ---- from JSON ---- */

static bool of_json_tree(struct jinja *j, struct json v, struct jinja_value *out)
{
    const bool is_object = json_type(v) == JSON_OBJECT;
    struct jinja_list *l = is_object ? NULL : jinja_list_new(j, json_len(v));
    struct jinja_dict *d = is_object ? jinja_dict_new(j, json_len(v)) : NULL;
    if (!l && !d) return false;
    struct json_iter it = json_iter(v);
    struct json e;
    const char *key = NULL;
    size_t n_key = 0;
    while (json_next(&it, &key, &n_key, &e)) {
        struct jinja_value item, k = {.type = JV_NONE};
        if (!jinja_of_json(j, e, &item)) return false;
        if (is_object) {
            char *s = jinja_alloc(j, n_key, 1);
            if (!s) return false;
            if (n_key) memcpy(s, key, n_key);
            k = jinja_string(s, n_key, false);
        }
        if (is_object ? !jinja_dict_set(j, d, k, item) : !jinja_list_add(j, l, item)) return false;
    }
    *out =
        is_object ? (struct jinja_value){.type = JV_DICT, .u.dict = d} : jinja_of_list(l, JV_LIST);
    return true;
}

bool jinja_of_json(struct jinja *j, struct json v, struct jinja_value *out)
{
    const char *s = NULL;
    size_t n = 0;
    *out = jinja_none();
    switch (json_type(v)) {
    case JSON_NONE:
    case JSON_NULL:
        return true;
    case JSON_BOOL:
        out->type = JV_BOOL;
        return json_bool(v, &out->u.b);
    case JSON_INT:
        out->type = JV_INT;
        return json_i64(v, &out->u.i);
    case JSON_UINT: /* beyond our integers */
    case JSON_DOUBLE:
        out->type = JV_FLOAT;
        return json_f64(v, &out->u.f);
    case JSON_STRING: {
        if (!json_str(v, &s, &n) || !jinja_charge(j, n / 64)) return false;
        char *copy = jinja_alloc(j, n, 1);
        if (!copy) return false;
        if (n) memcpy(copy, s, n);
        *out = jinja_string(copy, n, false);
        return true;
    }
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    if (!jinja_enter(j)) return false;
    const bool ok = of_json_tree(j, v, out);
    jinja_leave(j);
    return ok;
}
