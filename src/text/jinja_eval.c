/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_eval.c - the value of an expression.
 *
 * A kind of node is a row of the table at the end. Each evaluation counts a step and a level of
 * depth, so that neither a long chain nor a deep tree nor a macro that calls itself goes past the
 * fences. Names are looked up scope by scope, then among the built-in functions.
 *
 * Begin reading at jinja_eval().
 */
#include "base/table.h"
#include "text/jinja_parts.h"

static bool eval_const(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                       struct jinja_value *out)
{
    (void)s;
    *out = n->value;
    return !j->is_failed;
}

static bool eval_name(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                      struct jinja_value *out)
{
    size_t n_seen = 0;
    for (; s; s = s->parent)
        for (size_t i = s->n; i > 0; i--, n_seen++)
            if (strcmp(s->var[i - 1].name, n->name) == 0) {
                *out = s->var[i - 1].value;
                return jinja_charge(j, n_seen / 64);
            }
    const struct jinja_func *row = table_find(jinja_functions, sizeof *jinja_functions, n->name);
    *out = row ? (struct jinja_value){.type = JV_FUNC, .u.func = {row, NULL}}
               : jinja_undefined(n->name);
    return jinja_charge(j, n_seen / 64);
}

static bool eval_list(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                      struct jinja_value *out)
{
    struct jinja_list *l = jinja_list_new(j, 0);
    if (!l) return false;
    for (const struct jinja_node *e = n->a; e; e = e->next) {
        struct jinja_value v;
        if (!jinja_eval(j, e, s, &v) || !jinja_list_add(j, l, v)) return false;
    }
    *out = jinja_of_list(l, n->kind == JN_LIST ? JV_LIST : JV_TUPLE);
    return true;
}

static bool eval_dict(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                      struct jinja_value *out)
{
    struct jinja_dict *d = jinja_dict_new(j, 0);
    if (!d) return false;
    for (const struct jinja_node *e = n->a; e; e = e->next->next) {
        struct jinja_value key, v;
        if (!jinja_eval(j, e, s, &key) || !jinja_eval(j, e->next, s, &v) ||
            !jinja_dict_set(j, d, key, v))
            return false;
    }
    *out = (struct jinja_value){.type = JV_DICT, .u.dict = d};
    return true;
}

/* ---- parts of a value ---- */

static bool loop_attr(const struct jinja_loop *l, const char *name, struct jinja_value *out)
{
    const int64_t i = (int64_t)l->i, n = (int64_t)l->list->n;
    const struct {
        const char *name;
        struct jinja_value value;
    } attrs[] = {
        {"index", jinja_int(i + 1)},
        {"index0", jinja_int(i)},
        {"first", jinja_bool(i == 0)},
        {"last", jinja_bool(i + 1 == n)},
        {"length", jinja_int(n)},
        {"revindex", jinja_int(n - i)},
        {"revindex0", jinja_int(n - i - 1)},
        {"depth", jinja_int(1)},
        {"depth0", jinja_int(0)},
        {"previtem", i > 0 ? l->list->item[i - 1] : jinja_undefined("loop.previtem")},
        {"nextitem", i + 1 < n ? l->list->item[i + 1] : jinja_undefined("loop.nextitem")},
    };
    for (size_t k = 0; k < ARRAY_LEN(attrs); k++) {
        if (strcmp(attrs[k].name, name) != 0) continue;
        *out = attrs[k].value;
        return true;
    }
    return false;
}

static bool method_of(struct jinja *j, const struct jinja_value *v, const char *name, bool *is,
                      struct jinja_value *out)
{
    const struct jinja_func *row = jinja_method(v, name);
    *is = row != NULL;
    if (!row) return true;
    struct jinja_value *self = jinja_alloc(j, 1, sizeof *self);
    if (!self) return false;
    *self = *v;
    *out = (struct jinja_value){.type = JV_FUNC, .u.func = {row, self}};
    return true;
}

static bool entry_of(struct jinja *j, const struct jinja_value *v, const char *name, bool *is,
                     struct jinja_value *out)
{
    *is = false;
    if (v->type == JV_LOOP) {
        *is = loop_attr(v->u.loop, name, out);
    } else if (v->type == JV_DICT || v->type == JV_NAMESPACE) {
        const struct jinja_value *e = jinja_dict_find(j, v->u.dict, name);
        if (e) *out = *e;
        *is = e != NULL;
    } else if (v->type == JV_MACRO && strcmp(name, "name") == 0) {
        const char *s = v->u.macro->node->name;
        *out = s ? jinja_string(s, strlen(s), true) : jinja_none();
        *is = true;
    } else if (v->type == JV_UNDEFINED) {
        return jinja_fail(j, ERR_FORMAT, "%.60s is undefined, so it has no %.60s", v->u.name, name);
    }
    return !j->is_failed;
}

bool jinja_attr(struct jinja *j, const struct jinja_value *v, const char *name,
                struct jinja_value *out)
{
    bool is = false;
    if (!method_of(j, v, name, &is, out)) return false;
    if (!is && !entry_of(j, v, name, &is, out)) return false;
    if (!is) *out = jinja_undefined(name);
    return true;
}

/* An element by its place, from the end if negative. */
static bool element(struct jinja *j, const struct jinja_value *v, int64_t i,
                    struct jinja_value *out)
{
    size_t n = 0;
    if (!jinja_length(j, v, &n)) return false;
    if (i < 0) i += (int64_t)n;
    *out = jinja_undefined("an element behind the end");
    if (i < 0 || i >= (int64_t)n) return true;
    if (v->type == JV_STRING)
        *out = jinja_cut(v, jinja_char_at(v, (size_t)i), jinja_char_at(v, (size_t)i + 1));
    else
        *out = v->u.list->item[i];
    return true;
}

bool jinja_item(struct jinja *j, const struct jinja_value *v, const struct jinja_value *key,
                struct jinja_value *out)
{
    int64_t i = 0;
    bool is = false;
    if ((jinja_is_list(v) || v->type == JV_STRING) && jinja_as_int(key, &i))
        return element(j, v, i, out);
    if (v->type == JV_DICT) {
        const struct jinja_value *e = jinja_dict_get(j, v->u.dict, key);
        if (e) *out = *e;
        if (e || j->is_failed) return !j->is_failed;
    }
    *out = jinja_undefined("an entry");
    if (v->type == JV_UNDEFINED)
        return jinja_fail(j, ERR_FORMAT, "%.60s is undefined, so it has no entries", v->u.name);
    if (key->type != JV_STRING) return true;
    char *name =
        jinja_alloc(j, key->u.str.n + 1, 1); /* the message of an undefined value keeps it */
    if (!name) return false;
    memcpy(name, key->u.str.s, key->u.str.n);
    *out = jinja_undefined(name);
    if (v->type == JV_DICT) return method_of(j, v, name, &is, out);
    return jinja_attr(j, v, name, out);
}

bool jinja_path(struct jinja *j, const struct jinja_value *v, const struct jinja_value *path,
                struct jinja_value *out)
{
    int64_t i = 0;
    *out = *v;
    if (jinja_as_int(path, &i)) return jinja_item(j, v, path, out);
    if (path->type != JV_STRING)
        return jinja_fail(j, ERR_FORMAT, "an attribute is named by a string, not by %s",
                          jinja_type_name(path));
    const struct jinja_text *t = &path->u.str;
    for (size_t begin = 0; begin <= t->n;) {
        const char *dot = begin < t->n ? memchr(t->s + begin, '.', t->n - begin) : NULL;
        const size_t end = dot ? (size_t)(dot - t->s) : t->n;
        struct jinja_value key = jinja_cut(path, begin, end), from = *out;
        bool is_number = end > begin && end - begin < 10;
        for (i = 0; is_number && begin < end; begin++) {
            is_number = t->s[begin] >= '0' && t->s[begin] <= '9';
            i = 10 * i + t->s[begin] - '0';
        }
        if (is_number) key = jinja_int(i);
        if (!jinja_charge(j, 1) || !jinja_item(j, &from, &key, out)) return false;
        begin = end + 1;
    }
    return true;
}

static bool eval_attr(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                      struct jinja_value *out)
{
    struct jinja_value v;
    return jinja_eval(j, n->a, s, &v) && jinja_attr(j, &v, n->name, out);
}

static bool eval_item(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                      struct jinja_value *out)
{
    struct jinja_value v, key;
    return jinja_eval(j, n->a, s, &v) && jinja_eval(j, n->b, s, &key) &&
           jinja_item(j, &v, &key, out);
}

/* A bound of a slice: what is given, or `otherwise`; from the end if negative; within [low, high].
 */
static bool bound(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s, int64_t len,
                  int64_t low, int64_t high, int64_t *out)
{
    struct jinja_value v = jinja_none();
    if (n && !jinja_eval(j, n, s, &v)) return false;
    if (v.type == JV_NONE) return true;
    if (!jinja_as_int(&v, out))
        return jinja_fail(j, ERR_FORMAT, "%s is the bound of a slice", jinja_type_name(&v));
    if (*out < 0) *out = *out < -len ? low : *out + len;
    if (*out < low) *out = low;
    if (*out > high) *out = high;
    return true;
}

static bool cut_list(struct jinja *j, const struct jinja_list *from, enum jinja_type type,
                     int64_t begin, int64_t end, int64_t step, struct jinja_value *out)
{
    struct jinja_list *l = jinja_list_new(j, 0);
    for (int64_t i = begin; l && (step > 0 ? i < end : i > end); i += step)
        if (!jinja_charge(j, 1) || !jinja_list_add(j, l, from->item[i])) return false;
    *out = jinja_of_list(l, type);
    return l != NULL;
}

static bool eval_slice(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                       struct jinja_value *out)
{
    struct jinja_value v, step_value = jinja_none();
    int64_t step = 1;
    size_t n_all = 0;
    if (!jinja_eval(j, n->a, s, &v) || (n->d && !jinja_eval(j, n->d, s, &step_value))) return false;
    *out = jinja_undefined("a slice");
    if (v.type == JV_UNDEFINED)
        return jinja_fail(j, ERR_FORMAT, "%.60s is undefined, so it has no slice", v.u.name);
    if (v.type == JV_DICT) return jinja_fail(j, ERR_FORMAT, "a dict has no slices");
    if (v.type != JV_STRING && !jinja_is_list(&v)) return true;
    if (!jinja_length(j, &v, &n_all)) return false;
    if (step_value.type != JV_NONE && (!jinja_as_int(&step_value, &step) || step == 0))
        return jinja_fail(j, ERR_FORMAT, "the step of a slice is 0 or no integer");
    const int64_t len = (int64_t)n_all, low = step > 0 ? 0 : -1, high = step > 0 ? len : len - 1;
    if (step > len) step = len + 1;
    if (step < -len) step = -len - 1;
    int64_t begin = step > 0 ? low : high, end = step > 0 ? high : low;
    if (!bound(j, n->b, s, len, low, high, &begin) || !bound(j, n->c, s, len, low, high, &end))
        return false;
    if (v.type != JV_STRING) return cut_list(j, v.u.list, v.type, begin, end, step, out);
    if (step == 1) {
        const size_t from = jinja_char_at(&v, (size_t)begin), to = jinja_char_at(&v, (size_t)end);
        *out = jinja_cut(&v, from, to > from ? to : from);
        return true;
    }
    struct jinja_list *all = NULL;
    struct jinja_value part;
    const struct jinja_value none = jinja_string("", 0, true);
    return jinja_iterate(j, &v, &all) && cut_list(j, all, JV_LIST, begin, end, step, &part) &&
           jinja_join(j, part.u.list, &none, out);
}

/* ---- calls ---- */

bool jinja_args(struct jinja *j, const struct jinja_node *list, struct jinja_scope *s,
                struct jinja_args *out)
{
    *out = (struct jinja_args){0};
    size_t n = 0, n_named = 0;
    for (const struct jinja_node *a = list; a; a = a->next) n_named += a->name != NULL, n++;
    if (n == 0) return true;
    out->arg = jinja_alloc(j, n - n_named, sizeof *out->arg);
    out->named = out->arg ? jinja_alloc(j, n_named, sizeof *out->named) : NULL;
    if (!out->named) return false;
    for (const struct jinja_node *a = list; a; a = a->next) {
        struct jinja_value v;
        if (!jinja_eval(j, a->a, s, &v)) return false;
        if (a->name)
            out->named[out->n_named++] = (struct jinja_named){a->name, v};
        else
            out->arg[out->n++] = v;
    }
    return true;
}

static bool eval_call(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                      struct jinja_value *out)
{
    struct jinja_value f;
    struct jinja_args args;
    if (!jinja_eval(j, n->a, s, &f) || !jinja_args(j, n->b, s, &args)) return false;
    j->line = n->line;
    if (f.type == JV_FUNC) return jinja_invoke(j, f.u.func.row, f.u.func.self, &args, out);
    if (f.type == JV_MACRO) {
        const bool ok = jinja_call_macro(j, f.u.macro, &args, out);
        j->line = n->line;
        return ok;
    }
    if (f.type == JV_UNDEFINED)
        return jinja_fail(j, ERR_FORMAT, "%.60s is called, but there is no such function",
                          f.u.name);
    return jinja_fail(j, ERR_FORMAT, "%s is called", jinja_type_name(&f));
}

static bool eval_filter(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                        struct jinja_value *out)
{
    struct jinja_value v;
    struct jinja_args args;
    if (n->a) {
        if (!jinja_eval(j, n->a, s, &v)) return false;
    } else {
        v = *j->captured;
    }
    if (!jinja_args(j, n->b, s, &args)) return false;
    j->line = n->line;
    return jinja_filter(j, n->name, &v, &args, out);
}

static bool eval_test(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                      struct jinja_value *out)
{
    struct jinja_value v;
    struct jinja_args args;
    bool is = false;
    if (!jinja_eval(j, n->a, s, &v) || !jinja_args(j, n->b, s, &args)) return false;
    j->line = n->line;
    if (!jinja_test(j, n->name, &v, &args, &is)) return false;
    *out = jinja_bool(is);
    return true;
}

/* ---- operators ---- */

static bool eval_sign(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                      struct jinja_value *out)
{
    struct jinja_value v;
    if (!jinja_eval(j, n->a, s, &v)) return false;
    const struct jinja_value zero = jinja_int(0);
    if (v.type == JV_FLOAT) {
        *out = jinja_float(n->kind == JN_NEG ? -v.u.f : v.u.f);
        return true;
    }
    return jinja_binary(j, n->kind == JN_NEG ? JO_SUB : JO_ADD, &zero, &v, out);
}

static bool eval_not(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                     struct jinja_value *out)
{
    struct jinja_value v;
    if (!jinja_eval(j, n->a, s, &v)) return false;
    *out = jinja_bool(!jinja_is_true(&v));
    return true;
}

static bool eval_and_or(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                        struct jinja_value *out)
{
    if (!jinja_eval(j, n->a, s, out)) return false;
    const bool is_true = jinja_is_true(out);
    return is_true == (n->kind == JN_OR) || jinja_eval(j, n->b, s, out);
}

static bool eval_binary(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                        struct jinja_value *out)
{
    struct jinja_value a, b;
    if (!jinja_eval(j, n->a, s, &a) || !jinja_eval(j, n->b, s, &b)) return false;
    j->line = n->line;
    return jinja_binary(j, n->op, &a, &b, out);
}

static bool compare(struct jinja *j, enum jinja_op op, const struct jinja_value *a,
                    const struct jinja_value *b, bool *is)
{
    int order = 0;
    switch (op) {
    case JO_EQ:
        return jinja_equal(j, a, b, is);
    case JO_NE:
        if (!jinja_equal(j, a, b, is)) return false;
        *is = !*is;
        return true;
    case JO_IN:
        return jinja_contains(j, b, a, is);
    case JO_NOT_IN:
        if (!jinja_contains(j, b, a, is)) return false;
        *is = !*is;
        return true;
    default:
        break;
    }
    if (!jinja_order(j, a, b, &order)) return false;
    *is = op == JO_LT ? order < 0 : op == JO_LE ? order <= 0 : op == JO_GT ? order > 0 : order >= 0;
    return true;
}

static bool eval_compare(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                         struct jinja_value *out)
{
    struct jinja_value a, b;
    bool is = true;
    if (!jinja_eval(j, n->a, s, &a)) return false;
    for (const struct jinja_node *e = n->b; is && e; e = e->next, a = b) {
        if (!jinja_eval(j, e->a, s, &b)) return false;
        j->line = n->line;
        if (!compare(j, e->op, &a, &b, &is)) return false;
    }
    *out = jinja_bool(is);
    return true;
}

static bool eval_concat(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                        struct jinja_value *out)
{
    struct jinja_out o = {.j = j};
    for (const struct jinja_node *e = n->a; e; e = e->next) {
        struct jinja_value v;
        if (!jinja_eval(j, e, s, &v) || !jinja_put_str(&o, &v)) return false;
    }
    return jinja_out_end(&o, out);
}

static bool eval_cond(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                      struct jinja_value *out)
{
    struct jinja_value when;
    if (!jinja_eval(j, n->a, s, &when)) return false;
    const struct jinja_node *taken = jinja_is_true(&when) ? n->b : n->c;
    *out = jinja_undefined("the else that an if does not have");
    return !taken || jinja_eval(j, taken, s, out);
}

static bool (*const evals[])(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                             struct jinja_value *out) = {
    [JN_CONST] = eval_const,   [JN_NAME] = eval_name,     [JN_LIST] = eval_list,
    [JN_TUPLE] = eval_list,    [JN_DICT] = eval_dict,     [JN_ATTR] = eval_attr,
    [JN_ITEM] = eval_item,     [JN_SLICE] = eval_slice,   [JN_CALL] = eval_call,
    [JN_FILTER] = eval_filter, [JN_TEST] = eval_test,     [JN_NEG] = eval_sign,
    [JN_POS] = eval_sign,      [JN_NOT] = eval_not,       [JN_AND] = eval_and_or,
    [JN_OR] = eval_and_or,     [JN_BINARY] = eval_binary, [JN_COMPARE] = eval_compare,
    [JN_CONCAT] = eval_concat, [JN_COND] = eval_cond,
};

bool jinja_eval(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                struct jinja_value *out)
{
    j->line = n->line;
    if (!jinja_enter(j)) return false;
    const bool ok = evals[n->kind](j, n, s, out);
    jinja_leave(j);
    return ok;
}
