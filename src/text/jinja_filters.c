/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_filters.c - the table of filters: jinja2's own that templates use, and transformers'
 * tojson.
 *
 * To add one: a function and its row. Filters that take texts take any value, as jinja2 does, and
 * see what it prints. Sorting is by insertion and stable; its work is counted.
 */
#include <math.h>
#include <stdlib.h>

#include "text/jinja_parts.h"

static bool is_given(const struct jinja_value *v) { return v->type != JV_MISSING; }

static bool flag(const struct jinja_value *v, bool otherwise)
{
    return is_given(v) ? jinja_is_true(v) : otherwise;
}

static bool integer(struct jinja *j, const char *what, const struct jinja_value *v,
                    int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    return !is_given(v) || v->type == JV_NONE || jinja_as_int(v, out) ||
           jinja_fail(j, ERR_FORMAT, "%s: %s is no integer", what, jinja_type_name(v));
}

/* ---- texts ---- */

static bool run_trim(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_value s;
    if (!jinja_str(j, c->self, &s)) return false;
    *out = jinja_strip(&s, &c->arg[0], JINJA_LEFT | JINJA_RIGHT);
    return jinja_charge(j, s.u.str.n / 64);
}

static bool recase(struct jinja *j, const struct jinja_call *c, enum jinja_case to,
                   struct jinja_value *out)
{
    struct jinja_value s;
    return jinja_str(j, c->self, &s) && jinja_recase(j, &s, to, out);
}

static bool run_upper(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return recase(j, c, JC_UPPER, out);
}
static bool run_lower(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return recase(j, c, JC_LOWER, out);
}
static bool run_capitalize(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return recase(j, c, JC_CAPITALIZE, out);
}
static bool run_title(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return recase(j, c, JC_WORDS, out);
}
static bool run_string(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return jinja_str(j, c->self, out);
}

static bool run_replace(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_value s, from, to;
    int64_t max = -1;
    return jinja_str(j, c->self, &s) && jinja_str(j, &c->arg[0], &from) &&
           jinja_str(j, &c->arg[1], &to) && integer(j, "replace", &c->arg[2], -1, &max) &&
           jinja_replace(j, &s, &from, &to, max, out);
}

static bool run_format(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_value s;
    return jinja_str(j, c->self, &s) && jinja_percent(j, &s, c->raw->arg, c->raw->n, out);
}

static bool run_safe(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    if (!jinja_str(j, c->self, out)) return false;
    out->is_safe = true;
    return true;
}

static bool run_escape(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_value s;
    return jinja_str(j, c->self, &s) && jinja_escape(j, &s, out);
}

/* The indent of a level: a number of blanks, or a text. */
static bool indent_of(struct jinja *j, const char *what, const struct jinja_value *v,
                      struct jinja_value *out)
{
    int64_t n = 0;
    *out = *v;
    if (v->type == JV_STRING) return true;
    if (!jinja_as_int(v, &n) || n > 1000)
        return jinja_fail(j, ERR_FORMAT, "%s: the indent is a string or at most 1000", what);
    struct jinja_out o = {.j = j};
    for (int64_t i = 0; i < n; i++) jinja_put(&o, " ", 1, true);
    return jinja_out_end(&o, out);
}

static bool run_indent(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_value s, by, four = jinja_int(4), lines;
    struct jinja_out o = {.j = j};
    if (!jinja_str(j, c->self, &s) ||
        !indent_of(j, "indent", is_given(&c->arg[0]) ? &c->arg[0] : &four, &by) ||
        !jinja_split_lines(j, &s, false, &lines))
        return false;
    const bool first = flag(&c->arg[1], false), blank = flag(&c->arg[2], false);
    struct jinja_list *l = lines.u.list;
    const size_t n = s.u.str.n;
    if ((n == 0 || s.u.str.s[n - 1] == '\n') && !jinja_list_add(j, l, jinja_cut(&s, n, n)))
        return false;
    for (size_t i = 0; i < l->n && jinja_charge(j, 1); i++) {
        const struct jinja_value *line = &l->item[i];
        if (i) jinja_put(&o, "\n", 1, false);
        if (i ? blank || line->u.str.n : first) jinja_put_text(&o, &by, 0, by.u.str.n);
        jinja_put_text(&o, line, 0, line->u.str.n);
    }
    return jinja_out_end(&o, out);
}

static bool run_join(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_list *l = NULL;
    if (!jinja_iterate(j, c->self, &l)) return false;
    const struct jinja_value none = jinja_string("", 0, true);
    if (is_given(&c->arg[1])) {
        struct jinja_list *picked = jinja_list_new(j, l->n);
        for (size_t i = 0; picked && i < l->n; i++) {
            struct jinja_value v;
            if (!jinja_path(j, &l->item[i], &c->arg[1], &v) || !jinja_list_add(j, picked, v))
                return false;
        }
        if (!(l = picked)) return false;
    }
    return jinja_join(j, l, is_given(&c->arg[0]) ? &c->arg[0] : &none, out);
}

static bool run_tojson(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_json_style s = {.is_ascii = flag(&c->arg[0], false),
                                 .is_sorted = flag(&c->arg[3], false),
                                 .indent = jinja_none()};
    if (is_given(&c->arg[1]) && c->arg[1].type != JV_NONE &&
        !indent_of(j, "tojson", &c->arg[1], &s.indent))
        return false;
    const struct jinja_value *sep = &c->arg[2];
    if (is_given(sep) && sep->type != JV_NONE) {
        const struct jinja_value *e = jinja_is_list(sep) ? sep->u.list->item : NULL;
        if (!e || sep->u.list->n != 2 || e[0].type != JV_STRING || e[1].type != JV_STRING)
            return jinja_fail(j, ERR_FORMAT, "tojson: separators are two strings");
        s.item = e[0].u.str.s;
        s.n_item = e[0].u.str.n;
        s.key = e[1].u.str.s;
        s.n_key = e[1].u.str.n;
    }
    struct jinja_out o = {.j = j};
    return jinja_put_json(&o, c->self, &s) && jinja_out_end(&o, out);
}

/* ---- numbers ---- */

/* A number at the front and nothing but white space around it. */
static bool parse_number(const struct jinja_value *v, double *out)
{
    char text[64];
    const struct jinja_value space = jinja_none();
    const struct jinja_value s = jinja_strip(v, &space, JINJA_LEFT | JINJA_RIGHT);
    if (s.u.str.n == 0 || s.u.str.n >= sizeof text) return false;
    memcpy(text, s.u.str.s, s.u.str.n);
    text[s.u.str.n] = 0;
    if (strspn(text, "0123456789+-.eE") != s.u.str.n) return false;
    char *end = NULL;
    *out = strtod(text, &end);
    return *end == 0;
}

static bool parse_integer(const struct jinja_value *v, int64_t base, int64_t *out)
{
    char text[64];
    const struct jinja_value space = jinja_none();
    const struct jinja_value s = jinja_strip(v, &space, JINJA_LEFT | JINJA_RIGHT);
    if (s.u.str.n == 0 || s.u.str.n > 18 || base < 2 || base > 36) return false;
    memcpy(text, s.u.str.s, s.u.str.n);
    text[s.u.str.n] = 0;
    char *end = NULL;
    *out = strtoll(text, &end, (int)base);
    return *end == 0;
}

static bool run_int(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    const struct jinja_value *v = c->self;
    int64_t i = 0, base = 10;
    double f = 0;
    *out = is_given(&c->arg[0]) ? c->arg[0] : jinja_int(0);
    if (!integer(j, "int", &c->arg[1], 10, &base)) return false;
    const bool is_text = v->type == JV_STRING;
    const bool is_int = is_text ? parse_integer(v, base, &i) : jinja_as_int(v, &i);
    if (!is_int) {
        if (is_text ? !parse_number(v, &f) : v->type != JV_FLOAT) return true;
        if (!is_text) f = v->u.f;
        if (!(fabs(f) < 9.2e18)) return true;
        i = (int64_t)f;
    }
    *out = jinja_int(i);
    out->is_markup = !is_text && v->is_markup;
    return true;
}

static bool run_float(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    double f = 0;
    *out = is_given(&c->arg[0]) ? c->arg[0] : jinja_float(0);
    if (c->self->type == JV_STRING ? parse_number(c->self, &f) : jinja_is_number(c->self)) {
        const bool is_text = c->self->type == JV_STRING;
        *out = jinja_float(is_text ? f : jinja_as_float(c->self));
        out->is_markup = !is_text && c->self->is_markup;
    }
    return !j->is_failed;
}

static bool run_abs(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    int64_t i = 0;
    if (!jinja_is_number(c->self))
        return jinja_fail(j, ERR_FORMAT, "abs: %s is no number", jinja_type_name(c->self));
    if (jinja_as_int(c->self, &i)) {
        if (i == INT64_MIN) return jinja_fail(j, ERR_LIMIT, "abs: over 2^63");
        *out = jinja_int(i < 0 ? -i : i);
    } else {
        *out = jinja_float(fabs(c->self->u.f));
    }
    return true;
}

static bool run_round(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    int64_t digits = 0;
    if (!jinja_is_number(c->self))
        return jinja_fail(j, ERR_FORMAT, "round: %s is no number", jinja_type_name(c->self));
    if (!integer(j, "round", &c->arg[0], 0, &digits)) return false;
    if (digits < -15 || digits > 15)
        return jinja_fail(j, ERR_LIMIT, "round: -15 to 15 digits, not %lld", (long long)digits);
    const double by = pow(10, (double)digits), f = jinja_as_float(c->self) * by;
    const bool is_common = !is_given(&c->arg[1]) || jinja_text_is(&c->arg[1], "common");
    const bool is_ceil = jinja_text_is(&c->arg[1], "ceil");
    int64_t i = 0;
    if (is_common && jinja_as_int(c->self, &i) && digits >= 0)
        *out = jinja_int(i); /* round() of an integer is one */
    else
        *out = jinja_float((is_common ? nearbyint(f) : is_ceil ? ceil(f) : floor(f)) / by);
    return true;
}

/* ---- lists ---- */

static bool run_length(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    size_t n = 0;
    if (!jinja_length(j, c->self, &n)) return false;
    *out = jinja_int((int64_t)n);
    return true;
}

static bool run_default(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    const bool is_wanted =
        c->self->type == JV_UNDEFINED || (flag(&c->arg[1], false) && !jinja_is_true(c->self));
    *out = !is_wanted ? *c->self : is_given(&c->arg[0]) ? c->arg[0] : jinja_string("", 0, true);
    return !j->is_failed;
}

static bool end_of(struct jinja *j, const struct jinja_call *c, bool is_last,
                   struct jinja_value *out)
{
    struct jinja_list *l = NULL;
    if (!jinja_iterate(j, c->self, &l)) return false;
    *out = l->n ? l->item[is_last ? l->n - 1 : 0] : jinja_undefined("an element of nothing");
    return true;
}

static bool run_first(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return end_of(j, c, false, out);
}
static bool run_last(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return end_of(j, c, true, out);
}

static bool run_list(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_list *l = NULL;
    if (!jinja_iterate(j, c->self, &l)) return false;
    *out = jinja_of_list(l, JV_LIST);
    return true;
}

static bool run_reverse(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_list *l = NULL;
    if (!jinja_iterate(j, c->self, &l)) return false;
    struct jinja_list *r = jinja_list_new(j, l->n);
    for (size_t i = l->n; r && i > 0; i--)
        if (!jinja_list_add(j, r, l->item[i - 1])) return false;
    if (!r) return false;
    *out = jinja_of_list(r, JV_GENERATOR);
    const struct jinja_value none = jinja_string("", 0, true);
    return c->self->type != JV_STRING || jinja_join(j, r, &none, out);
}

static bool dict_items(struct jinja *j, const struct jinja_dict *d, struct jinja_list **out)
{
    *out = jinja_list_new(j, d->n);
    for (size_t i = 0; *out && i < d->n; i++) {
        struct jinja_list *pair = jinja_list_new(j, 2);
        if (!pair || !jinja_list_add(j, pair, d->key[i]) || !jinja_list_add(j, pair, d->value[i]) ||
            !jinja_list_add(j, *out, jinja_of_list(pair, JV_TUPLE)))
            return false;
    }
    return *out != NULL;
}

static bool run_items(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    static const struct jinja_dict nothing = {0};
    struct jinja_list *l = NULL;
    if (c->self->type != JV_DICT && c->self->type != JV_UNDEFINED)
        return jinja_fail(j, ERR_FORMAT, "items: %s is no dict", jinja_type_name(c->self));
    if (!dict_items(j, c->self->type == JV_DICT ? c->self->u.dict : &nothing, &l)) return false;
    *out = jinja_of_list(l, JV_GENERATOR);
    return true;
}

/* ---- sorting ---- */

/* The key of an element: its attribute, in lower case unless case counts. */
static bool key_of(struct jinja *j, const struct jinja_value *v, const struct jinja_value *path,
                   bool has_case, struct jinja_value *out)
{
    *out = *v;
    if (is_given(path) && path->type != JV_NONE && !jinja_path(j, v, path, out)) return false;
    return has_case || out->type != JV_STRING || jinja_recase(j, out, JC_LOWER, out);
}

static bool sort_by_keys(struct jinja *j, struct jinja_value *item, struct jinja_value *key,
                         size_t n, bool is_reverse)
{
    for (size_t i = 1; i < n; i++) {
        const struct jinja_value v = item[i], k = key[i];
        size_t at = i;
        for (; at > 0; at--) {
            int order = 0;
            if (!jinja_charge(j, 1) || !jinja_order(j, &key[at - 1], &k, &order)) return false;
            if (is_reverse ? order >= 0 : order <= 0) break;
            item[at] = item[at - 1];
            key[at] = key[at - 1];
        }
        item[at] = v;
        key[at] = k;
    }
    return true;
}

static bool sorted(struct jinja *j, const struct jinja_list *l, const struct jinja_value *path,
                   bool has_case, bool is_reverse, struct jinja_value *out)
{
    struct jinja_list *s = jinja_list_new(j, l->n);
    struct jinja_value *key = s ? jinja_alloc(j, l->n, sizeof *key) : NULL;
    if (!key) return false;
    for (size_t i = 0; i < l->n; i++)
        if (!key_of(j, &l->item[i], path, has_case, &key[i]) || !jinja_list_add(j, s, l->item[i]))
            return false;
    if (!sort_by_keys(j, s->item, key, s->n, is_reverse)) return false;
    *out = jinja_of_list(s, JV_LIST);
    return true;
}

static bool run_sort(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_list *l = NULL;
    return jinja_iterate(j, c->self, &l) &&
           sorted(j, l, &c->arg[2], flag(&c->arg[1], false), flag(&c->arg[0], false), out);
}

static bool run_dictsort(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_list *l = NULL;
    if (c->self->type != JV_DICT)
        return jinja_fail(j, ERR_FORMAT, "dictsort: %s is no dict", jinja_type_name(c->self));
    const struct jinja_value by = jinja_int(jinja_text_is(&c->arg[1], "value"));
    return dict_items(j, c->self->u.dict, &l) &&
           sorted(j, l, &by, flag(&c->arg[0], false), flag(&c->arg[2], false), out);
}

static bool run_unique(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_list *l = NULL;
    if (!jinja_iterate(j, c->self, &l)) return false;
    struct jinja_list *u = jinja_list_new(j, 0), *seen = jinja_list_new(j, 0);
    for (size_t i = 0; u && seen && i < l->n; i++) {
        struct jinja_value key;
        const struct jinja_value all = jinja_of_list(seen, JV_LIST);
        bool is_seen = false;
        if (!key_of(j, &l->item[i], &c->arg[1], flag(&c->arg[0], false), &key) ||
            !jinja_contains(j, &all, &key, &is_seen))
            return false;
        if (!is_seen && (!jinja_list_add(j, seen, key) || !jinja_list_add(j, u, l->item[i])))
            return false;
    }
    *out = jinja_of_list(u, JV_GENERATOR);
    return u && seen;
}

static bool extreme(struct jinja *j, const struct jinja_call *c, int sign, struct jinja_value *out)
{
    struct jinja_list *l = NULL;
    struct jinja_value best = jinja_none();
    if (!jinja_iterate(j, c->self, &l)) return false;
    *out = jinja_undefined("an element of nothing");
    for (size_t i = 0; i < l->n; i++) {
        struct jinja_value key;
        int order = 0;
        if (!jinja_charge(j, 1) ||
            !key_of(j, &l->item[i], &c->arg[1], flag(&c->arg[0], false), &key) ||
            (i && !jinja_order(j, &key, &best, &order)))
            return false;
        if (i && order * sign <= 0) continue;
        best = key;
        *out = l->item[i];
    }
    return true;
}

static bool run_min(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return extreme(j, c, -1, out);
}
static bool run_max(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return extreme(j, c, 1, out);
}

static bool run_sum(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_list *l = NULL;
    if (!jinja_iterate(j, c->self, &l)) return false;
    *out = is_given(&c->arg[1]) ? c->arg[1] : jinja_int(0);
    for (size_t i = 0; i < l->n; i++) {
        struct jinja_value v = l->item[i], sum = *out;
        if (is_given(&c->arg[0]) && c->arg[0].type != JV_NONE &&
            !jinja_path(j, &l->item[i], &c->arg[0], &v))
            return false;
        if (!jinja_charge(j, 1) || !jinja_binary(j, JO_ADD, &sum, &v, out)) return false;
    }
    return true;
}

/* ---- picking ---- */

/* The arguments behind the first `n`. */
static struct jinja_args rest_of(const struct jinja_args *a, size_t n)
{
    struct jinja_args r = *a;
    n = n < r.n ? n : r.n;
    if (n) r.arg += n;
    r.n -= n;
    return r;
}

/* What is false has none, as jinja2's filters have it: none|map(...) is empty. */
static bool elements(struct jinja *j, const struct jinja_value *v, struct jinja_list **l)
{
    if (jinja_is_true(v)) return jinja_iterate(j, v, l);
    *l = jinja_list_new(j, 0);
    return *l != NULL;
}

/* map(attribute="a.b", default=x), or map("filter", its arguments). */
static bool run_map(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    const struct jinja_args *a = c->raw;
    struct jinja_list *l = NULL;
    const struct jinja_value *path = NULL, *otherwise = NULL;
    for (size_t i = 0; i < a->n_named; i++) {
        if (strcmp(a->named[i].name, "attribute") == 0) path = &a->named[i].value;
        if (strcmp(a->named[i].name, "default") == 0) otherwise = &a->named[i].value;
    }
    if (!path && (a->n == 0 || a->arg[0].type != JV_STRING))
        return jinja_fail(j, ERR_FORMAT, "map: the name of a filter or attribute=... is wanted");
    char name[48] = "";
    if (!path) {
        const struct jinja_text *t = &a->arg[0].u.str;
        memcpy(name, t->s, t->n < sizeof name ? t->n : sizeof name - 1);
    }
    const struct jinja_args rest = rest_of(a, 1);
    if (!elements(j, c->self, &l)) return false;
    struct jinja_list *m = jinja_list_new(j, l->n);
    for (size_t i = 0; m && i < l->n; i++) {
        struct jinja_value v;
        const struct jinja_value *e = &l->item[i];
        if (path ? !jinja_path(j, e, path, &v) : !jinja_filter(j, name, e, &rest, &v)) return false;
        if (path && otherwise && v.type == JV_UNDEFINED) v = *otherwise;
        if (!jinja_list_add(j, m, v)) return false;
    }
    *out = jinja_of_list(m, JV_GENERATOR);
    return m != NULL;
}

/* select("test", ...) and selectattr("a.b", "test", ...); without a test: what is true. */
static bool pick(struct jinja *j, const struct jinja_call *c, bool has_path, bool wanted,
                 struct jinja_value *out)
{
    const struct jinja_args *a = c->raw;
    struct jinja_list *l = NULL;
    char name[48] = "";
    const size_t i_test = has_path ? 1 : 0;
    if ((has_path && a->n == 0) || (a->n > i_test && a->arg[i_test].type != JV_STRING))
        return jinja_fail(j, ERR_FORMAT, "select: the name of an attribute or test is wanted");
    if (a->n > i_test) {
        const struct jinja_text *t = &a->arg[i_test].u.str;
        memcpy(name, t->s, t->n < sizeof name ? t->n : sizeof name - 1);
    }
    const struct jinja_args rest = rest_of(a, i_test + 1);
    if (!elements(j, c->self, &l)) return false;
    struct jinja_list *picked = jinja_list_new(j, 0);
    for (size_t i = 0; picked && i < l->n; i++) {
        struct jinja_value v = l->item[i];
        if (!jinja_charge(j, 1) || (has_path && !jinja_path(j, &l->item[i], &a->arg[0], &v)))
            return false;
        bool is = jinja_is_true(&v);
        if (*name && !jinja_test(j, name, &v, &rest, &is)) return false;
        if (is == wanted && !jinja_list_add(j, picked, l->item[i])) return false;
    }
    *out = jinja_of_list(picked, JV_GENERATOR);
    return picked != NULL;
}

static bool run_select(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return pick(j, c, false, true, out);
}
static bool run_reject(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return pick(j, c, false, false, out);
}
static bool run_selectattr(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return pick(j, c, true, true, out);
}
static bool run_rejectattr(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return pick(j, c, true, false, out);
}

const struct jinja_func jinja_filters[] = {
    /* clang-format off */
    /* name         parameters                                  least  run          */
    {"trim",        "chars",                                        0, run_trim},
    {"length",      "",                                             0, run_length},
    {"count",       "",                                             0, run_length},
    {"tojson",      "ensure_ascii indent separators sort_keys",     0, run_tojson},
    {"join",        "d attribute",                                  0, run_join},
    {"upper",       "",                                             0, run_upper},
    {"lower",       "",                                             0, run_lower},
    {"capitalize",  "",                                             0, run_capitalize},
    {"title",       "",                                             0, run_title},
    {"default",     "default_value boolean",                        0, run_default},
    {"d",           "default_value boolean",                        0, run_default},
    {"first",       "",                                             0, run_first},
    {"last",        "",                                             0, run_last},
    {"list",        "",                                             0, run_list},
    {"map",         "*",                                            0, run_map},
    {"select",      "*",                                            0, run_select},
    {"reject",      "*",                                            0, run_reject},
    {"selectattr",  "*",                                            0, run_selectattr},
    {"rejectattr",  "*",                                            0, run_rejectattr},
    {"items",       "",                                             0, run_items},
    {"replace",     "old new count",                                2, run_replace},
    {"string",      "",                                             0, run_string},
    {"safe",        "",                                             0, run_safe},
    {"escape",      "",                                             0, run_escape},
    {"e",           "",                                             0, run_escape},
    {"int",         "default base",                                 0, run_int},
    {"float",       "default",                                      0, run_float},
    {"abs",         "",                                             0, run_abs},
    {"round",       "precision method",                             0, run_round},
    {"sort",        "reverse case_sensitive attribute",             0, run_sort},
    {"dictsort",    "case_sensitive by reverse",                    0, run_dictsort},
    {"unique",      "case_sensitive attribute",                     0, run_unique},
    {"reverse",     "",                                             0, run_reverse},
    {"min",         "case_sensitive attribute",                     0, run_min},
    {"max",         "case_sensitive attribute",                     0, run_max},
    {"sum",         "attribute start",                              0, run_sum},
    {"indent",      "width first blank",                            0, run_indent},
    {"format",      "*",                                            0, run_format},
    {0},
    /* clang-format on */
};
