/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_call.c - how the built-in functions of the tables are called, and the free functions.
 *
 * A row says its parameters in one string, as Python's signature has them; arguments are sorted
 * into that order here, with or without names, and what does not fit is an error that says which.
 * So a filter's own code begins with its values. Rows with "*" take anything and look themselves.
 */
#include <stdio.h>
#include <time.h>

#include "base/table.h"
#include "text/jinja_parts.h"

/* The place of `name` in "a b c", or -1. */
static int find_param(const char *params, const char *name)
{
    const size_t n_name = strlen(name);
    int i = 0;
    for (const char *s = params; *s; i++) {
        const size_t n = strcspn(s, " ");
        if (n == n_name && memcmp(s, name, n) == 0) return i;
        s += n + strspn(s + n, " ");
    }
    return -1;
}

static size_t count_params(const char *params)
{
    size_t n = 0;
    for (const char *s = params; *s; n++) {
        s += strcspn(s, " ");
        s += strspn(s, " ");
    }
    return n;
}

static bool bind(struct jinja *j, const struct jinja_func *row, const struct jinja_args *args,
                 struct jinja_call *c)
{
    const size_t n_params = count_params(row->params);
    if (args->n > n_params)
        return jinja_fail(j, ERR_FORMAT, "%s: %zu arguments; it takes %zu", row->name, args->n,
                          n_params);
    for (size_t i = 0; i < args->n; i++) c->arg[i] = args->arg[i];
    for (size_t i = 0; i < args->n_named; i++) {
        const int at = find_param(row->params, args->named[i].name);
        if (at < 0 || c->arg[at].type != JV_MISSING)
            return jinja_fail(j, ERR_FORMAT, "%s: the argument %.40s is %s", row->name,
                              args->named[i].name, at < 0 ? "unknown" : "given twice");
        c->arg[at] = args->named[i].value;
    }
    for (size_t i = 0; i < row->n_least; i++)
        if (c->arg[i].type == JV_MISSING)
            return jinja_fail(j, ERR_FORMAT, "%s: argument %zu is missing (%s)", row->name, i + 1,
                              row->params);
    return true;
}

bool jinja_invoke(struct jinja *j, const struct jinja_func *row, const struct jinja_value *self,
                  const struct jinja_args *args, struct jinja_value *out)
{
    struct jinja_call c = {.self = self, .raw = args};
    if (!jinja_charge(j, 1)) return false;
    if (strcmp(row->params, "*") != 0 && !bind(j, row, args, &c)) return false;
    if (!jinja_enter(j)) return false;
    const bool ok = row->run(j, &c, out);
    jinja_leave(j);
    return ok && !j->is_failed;
}

static bool find_row(struct jinja *j, const struct jinja_func *rows, const char *kind,
                     const char *name, const struct jinja_func **row)
{
    *row = table_find(rows, sizeof *rows, name);
    return *row ||
           jinja_fail(j, ERR_UNSUPPORTED,
                      "there is no %s %.40s here; name a family with --template", kind, name);
}

bool jinja_filter(struct jinja *j, const char *name, const struct jinja_value *v,
                  const struct jinja_args *args, struct jinja_value *out)
{
    const struct jinja_func *row = NULL;
    return find_row(j, jinja_filters, "filter", name, &row) && jinja_invoke(j, row, v, args, out);
}

bool jinja_test(struct jinja *j, const char *name, const struct jinja_value *v,
                const struct jinja_args *args, bool *out)
{
    const struct jinja_func *row = NULL;
    struct jinja_value is = jinja_none();
    if (!find_row(j, jinja_tests, "test", name, &row) || !jinja_invoke(j, row, v, args, &is))
        return false;
    *out = is.u.b;
    return true;
}

/* ---- the free functions ---- */

static bool run_raise(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_value s;
    (void)out;
    if (!jinja_str(j, &c->arg[0], &s)) return false;
    return jinja_fail(j, ERR_USAGE, "the template refuses: %.*s",
                      (int)(s.u.str.n < 300 ? s.u.str.n : 300), s.u.str.s);
}

/* Jinja's sandbox has the same bound. */
#define MAX_RANGE 100000

static bool run_range(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    int64_t begin = 0, end = 0, step = 1;
    for (size_t i = 0; i < 3; i++) {
        int64_t v = 0;
        if (c->arg[i].type != JV_MISSING && !jinja_as_int(&c->arg[i], &v))
            return jinja_fail(j, ERR_FORMAT, "range: %s is no integer",
                              jinja_type_name(&c->arg[i]));
    }
    (void)jinja_as_int(&c->arg[0], c->arg[1].type == JV_MISSING ? &end : &begin);
    (void)jinja_as_int(&c->arg[1], &end);
    (void)jinja_as_int(&c->arg[2], &step);
    if (step == 0) return jinja_fail(j, ERR_FORMAT, "range: the step is 0");
    const double n_all = ((double)end - (double)begin) / (double)step;
    if (n_all > MAX_RANGE)
        return jinja_fail(j, ERR_LIMIT, "range: more than %d numbers", MAX_RANGE);
    struct jinja_list *l = jinja_list_new(j, 0);
    for (int64_t i = begin; l && (step > 0 ? i < end : i > end);) {
        if (!jinja_charge(j, 1) || !jinja_list_add(j, l, jinja_int(i))) return false;
        if (!i64_add(i, step, &i)) break;
    }
    *out = jinja_of_list(l, JV_LIST);
    return l != NULL;
}

/* dict(a=1), dict({...}, a=1) and the same for a namespace. */
static bool run_mapping(struct jinja *j, const struct jinja_call *c, enum jinja_type type,
                        struct jinja_value *out)
{
    struct jinja_dict *d = jinja_dict_new(j, c->raw->n_named);
    if (!d) return false;
    if (c->raw->n > 1 || (c->raw->n == 1 && c->raw->arg[0].type != JV_DICT))
        return jinja_fail(j, ERR_FORMAT, "dict and namespace take one dict, and name=value");
    const struct jinja_dict *from = c->raw->n ? c->raw->arg[0].u.dict : NULL;
    for (size_t i = 0; from && i < from->n; i++)
        if (!jinja_dict_set(j, d, from->key[i], from->value[i])) return false;
    for (size_t i = 0; i < c->raw->n_named; i++) {
        const struct jinja_named *p = &c->raw->named[i];
        if (!jinja_dict_set(j, d, jinja_string(p->name, strlen(p->name), true), p->value))
            return false;
    }
    *out = (struct jinja_value){.type = type, .u.dict = d};
    return true;
}

static bool run_dict(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return run_mapping(j, c, JV_DICT, out);
}

static bool run_namespace(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return run_mapping(j, c, JV_NAMESPACE, out);
}

static bool run_strftime(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    char format[128], text[512];
    const struct jinja_value *f = &c->arg[0];
    if (f->type != JV_STRING || f->u.str.n >= sizeof format)
        return jinja_fail(j, ERR_FORMAT, "strftime_now: a short string is wanted");
    memcpy(format, f->u.str.s, f->u.str.n);
    format[f->u.str.n] = 0;
    const time_t now = j->in->now_s ? (time_t)j->in->now_s : time(NULL);
    struct tm tm;
    if (!localtime_r(&now, &tm)) return jinja_fail(j, ERR_IO, "strftime_now: no clock");
    const size_t n = strftime(text, sizeof text, format, &tm);
    char *s = jinja_alloc(j, n, 1);
    if (!s) return false;
    memcpy(s, text, n);
    *out = jinja_string(s, n, f->is_markup && !f->u.str.mark);
    return true;
}

const struct jinja_func jinja_functions[] = {
    {"raise_exception", "message", 1, run_raise}, {"range", "start stop step", 1, run_range},
    {"namespace", "*", 0, run_namespace},         {"dict", "*", 0, run_dict},
    {"strftime_now", "format", 1, run_strftime},  {0},
};
