/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_methods.c - the methods of strings, dicts, lists and loops.
 *
 * Those that change a list or dict have a row too: transformers' sandbox refuses them, and so do
 * we, in words, since "undefined" would send a reader the wrong way.
 */
#include "text/chat_parts.h"
#include "text/jinja_parts.h"
#include "text/unicode.h"

static bool say(struct jinja_value *out, bool is)
{
    *out = jinja_bool(is);
    return true;
}

/* An argument that is a string. */
static bool text(struct jinja *j, const char *what, const struct jinja_value *v)
{
    return v->type == JV_STRING ||
           jinja_fail(j, ERR_FORMAT, "%s: %s is no string", what, jinja_type_name(v));
}

static bool count(struct jinja *j, const char *what, const struct jinja_value *v, int64_t *out)
{
    *out = -1;
    return v->type == JV_MISSING || jinja_as_int(v, out) ||
           jinja_fail(j, ERR_FORMAT, "%s: %s is no integer", what, jinja_type_name(v));
}

/* ---- strings ---- */

static bool strip(struct jinja *j, const struct jinja_call *c, unsigned sides,
                  struct jinja_value *out)
{
    if (c->arg[0].type != JV_MISSING && c->arg[0].type != JV_NONE && !text(j, "strip", &c->arg[0]))
        return false;
    *out = jinja_strip(c->self, &c->arg[0], sides);
    return jinja_charge(j, c->self->u.str.n / 64);
}

static bool run_strip(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return strip(j, c, JINJA_LEFT | JINJA_RIGHT, out);
}
static bool run_lstrip(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return strip(j, c, JINJA_LEFT, out);
}
static bool run_rstrip(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return strip(j, c, JINJA_RIGHT, out);
}

static bool split(struct jinja *j, const struct jinja_call *c, bool from_right,
                  struct jinja_value *out)
{
    int64_t max = -1;
    if (c->arg[0].type != JV_MISSING && c->arg[0].type != JV_NONE && !text(j, "split", &c->arg[0]))
        return false;
    return count(j, "split", &c->arg[1], &max) &&
           jinja_split(j, c->self, &c->arg[0], max, from_right, out);
}

static bool run_split(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return split(j, c, false, out);
}
static bool run_rsplit(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return split(j, c, true, out);
}

static bool run_splitlines(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return jinja_split_lines(j, c->self, jinja_is_true(&c->arg[0]), out);
}

static bool has_end(const struct jinja_value *v, const struct jinja_value *part, bool is_front)
{
    const size_t n = v->u.str.n, n_part = part->u.str.n;
    if (part->type != JV_STRING || n_part > n) return false;
    return n_part == 0 ||
           memcmp(v->u.str.s + (is_front ? 0 : n - n_part), part->u.str.s, n_part) == 0;
}

/* One text, or a tuple of them. */
static bool begins(struct jinja *j, const struct jinja_call *c, bool is_front,
                   struct jinja_value *out)
{
    const struct jinja_value *part = &c->arg[0];
    if (part->type != JV_TUPLE)
        return text(j, "startswith", part) && say(out, has_end(c->self, part, is_front));
    bool is = false;
    for (size_t i = 0; !is && i < part->u.list->n && jinja_charge(j, 1); i++)
        is = has_end(c->self, &part->u.list->item[i], is_front);
    return say(out, is);
}

static bool run_startswith(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return begins(j, c, true, out);
}
static bool run_endswith(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return begins(j, c, false, out);
}
static bool run_upper(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return jinja_recase(j, c->self, JC_UPPER, out);
}
static bool run_lower(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return jinja_recase(j, c->self, JC_LOWER, out);
}
static bool run_title(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return jinja_recase(j, c->self, JC_TITLE, out);
}
static bool run_capitalize(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return jinja_recase(j, c->self, JC_CAPITALIZE, out);
}

static bool run_replace(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    int64_t max = -1;
    return text(j, "replace", &c->arg[0]) && text(j, "replace", &c->arg[1]) &&
           count(j, "replace", &c->arg[2], &max) &&
           jinja_replace(j, c->self, &c->arg[0], &c->arg[1], max, out);
}

static bool run_format(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return jinja_format(j, c->self, c->raw, out);
}

static bool run_join(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_list *l = NULL;
    if (!jinja_iterate(j, &c->arg[0], &l)) return false;
    for (size_t i = 0; i < l->n; i++)
        if (!text(j, "join", &l->item[i])) return false;
    return jinja_join(j, l, c->self, out);
}

static bool run_find(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    if (!text(j, "find", &c->arg[0]) || !jinja_charge(j, c->self->u.str.n / 64)) return false;
    const size_t at = jinja_find(c->self, 0, &c->arg[0]);
    const struct jinja_value front = jinja_cut(c->self, 0, at == SIZE_MAX ? 0 : at);
    *out = jinja_int(at == SIZE_MAX ? -1 : (int64_t)jinja_chars(&front));
    return true;
}

static bool run_count(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_value parts;
    if (!text(j, "count", &c->arg[0])) return false;
    if (c->arg[0].u.str.n == 0) {
        *out = jinja_int((int64_t)jinja_chars(c->self) + 1);
        return true;
    }
    if (!jinja_split(j, c->self, &c->arg[0], -1, false, &parts)) return false;
    *out = jinja_int((int64_t)parts.u.list->n - 1);
    return true;
}

static bool run_removeprefix(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    if (!text(j, "removeprefix", &c->arg[0])) return false;
    const size_t n = has_end(c->self, &c->arg[0], true) ? c->arg[0].u.str.n : 0;
    *out = jinja_cut(c->self, n, c->self->u.str.n);
    return true;
}

static bool run_removesuffix(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    if (!text(j, "removesuffix", &c->arg[0])) return false;
    const size_t n = has_end(c->self, &c->arg[0], false) ? c->arg[0].u.str.n : 0;
    *out = jinja_cut(c->self, 0, c->self->u.str.n - n);
    return true;
}

/* All characters are of a kind, and there is one. */
static bool all_of(const struct jinja_call *c, bool (*is)(uint32_t cp), struct jinja_value *out)
{
    const struct jinja_text *t = &c->self->u.str;
    for (size_t i = 0, n = 0; i < t->n; i += n) {
        uint32_t cp = 0;
        bool is_bad = false;
        n = (size_t)utf8_decode((const uint8_t *)t->s + i, t->n - i, &cp, &is_bad);
        if (is_bad || !is(cp)) return say(out, false);
    }
    return say(out, t->n > 0);
}

static bool is_digit(uint32_t cp) { return cp >= '0' && cp <= '9'; }
static bool is_letter(uint32_t cp) { return uc_class(cp) & UC_LETTER; }
static bool is_word(uint32_t cp) { return uc_class(cp) & (UC_LETTER | UC_NUMBER); }

static bool run_isdigit(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return jinja_charge(j, 1) && all_of(c, is_digit, out);
}
static bool run_isalpha(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return jinja_charge(j, 1) && all_of(c, is_letter, out);
}
static bool run_isalnum(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return jinja_charge(j, 1) && all_of(c, is_word, out);
}
static bool run_isspace(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return jinja_charge(j, 1) && all_of(c, chat_is_space, out);
}

static bool by_test(struct jinja *j, const struct jinja_call *c, const char *name,
                    struct jinja_value *out)
{
    bool is = false;
    return jinja_test(j, name, c->self, c->raw, &is) && say(out, is);
}

static bool run_isupper(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return by_test(j, c, "upper", out);
}
static bool run_islower(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return by_test(j, c, "lower", out);
}

static const struct jinja_func string_methods[] = {
    /* clang-format off */
    /* name          parameters        least run */
    {"strip",        "chars",          0, run_strip},
    {"lstrip",       "chars",          0, run_lstrip},
    {"rstrip",       "chars",          0, run_rstrip},
    {"split",        "sep maxsplit",   0, run_split},
    {"rsplit",       "sep maxsplit",   0, run_rsplit},
    {"splitlines",   "keepends",       0, run_splitlines},
    {"startswith",   "prefix",         1, run_startswith},
    {"endswith",     "suffix",         1, run_endswith},
    {"upper",        "",               0, run_upper},
    {"lower",        "",               0, run_lower},
    {"title",        "",               0, run_title},
    {"capitalize",   "",               0, run_capitalize},
    {"replace",      "old new count",  2, run_replace},
    {"format",       "*",              0, run_format},
    {"join",         "iterable",       1, run_join},
    {"find",         "sub",            1, run_find},
    {"count",        "sub",            1, run_count},
    {"removeprefix", "prefix",         1, run_removeprefix},
    {"removesuffix", "suffix",         1, run_removesuffix},
    {"isdigit",      "",               0, run_isdigit},
    {"isalpha",      "",               0, run_isalpha},
    {"isalnum",      "",               0, run_isalnum},
    {"isspace",      "",               0, run_isspace},
    {"isupper",      "",               0, run_isupper},
    {"islower",      "",               0, run_islower},
    {0},
    /* clang-format on */
};

/* ---- dicts and lists ---- */

static bool run_get(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    const struct jinja_value *v = jinja_dict_get(j, c->self->u.dict, &c->arg[0]);
    *out = v ? *v : c->arg[1].type != JV_MISSING ? c->arg[1] : jinja_none();
    return !j->is_failed;
}

static bool run_items(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    const struct jinja_args none = {0};
    if (!jinja_filter(j, "items", c->self, &none, out)) return false;
    out->type = JV_LIST; /* a view has a length and can be gone through again */
    return true;
}

static bool column(struct jinja *j, const struct jinja_value *v, size_t n, struct jinja_value *out)
{
    struct jinja_list *l = jinja_list_new(j, n);
    for (size_t i = 0; l && i < n; i++)
        if (!jinja_list_add(j, l, v[i])) return false;
    *out = jinja_of_list(l, JV_LIST);
    return l != NULL;
}

static bool run_keys(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return column(j, c->self->u.dict->key, c->self->u.dict->n, out);
}
static bool run_values(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return column(j, c->self->u.dict->value, c->self->u.dict->n, out);
}

static bool run_copy(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    *out = *c->self; /* nothing can change it */
    return jinja_charge(j, 1);
}

static bool run_refuse(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    (void)out;
    return jinja_fail(j, ERR_UNSUPPORTED,
                      "%s is changed in place, which transformers' sandbox refuses, too; name a "
                      "family with --template",
                      jinja_type_name(c->self));
}

static const struct jinja_func dict_methods[] = {
    {"get", "key default", 1, run_get},
    {"items", "", 0, run_items},
    {"keys", "", 0, run_keys},
    {"values", "", 0, run_values},
    {"copy", "", 0, run_copy},
    {"pop", "*", 0, run_refuse},
    {"update", "*", 0, run_refuse},
    {"setdefault", "*", 0, run_refuse},
    {"popitem", "*", 0, run_refuse},
    {"clear", "*", 0, run_refuse},
    {0},
};

static bool find_in_list(struct jinja *j, const struct jinja_call *c, int64_t *first, int64_t *n)
{
    const struct jinja_list *l = c->self->u.list;
    for (size_t i = 0; i < l->n; i++) {
        bool is = false;
        if (!jinja_charge(j, 1) || !jinja_equal(j, &l->item[i], &c->arg[0], &is)) return false;
        if (is && (*n)++ == 0) *first = (int64_t)i;
    }
    return true;
}

static bool run_index(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    int64_t first = -1, n = 0;
    if (!find_in_list(j, c, &first, &n)) return false;
    *out = jinja_int(first);
    return n > 0 || jinja_fail(j, ERR_FORMAT, "index: the value is not in the list");
}

static bool run_list_count(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    int64_t first = -1, n = 0;
    if (!find_in_list(j, c, &first, &n)) return false;
    *out = jinja_int(n);
    return true;
}

static const struct jinja_func list_methods[] = {
    {"index", "value", 1, run_index}, {"count", "value", 1, run_list_count},
    {"copy", "", 0, run_copy},        {"append", "*", 0, run_refuse},
    {"extend", "*", 0, run_refuse},   {"insert", "*", 0, run_refuse},
    {"pop", "*", 0, run_refuse},      {"remove", "*", 0, run_refuse},
    {"reverse", "*", 0, run_refuse},  {"sort", "*", 0, run_refuse},
    {"clear", "*", 0, run_refuse},    {0},
};

/* ---- loop ---- */

static bool run_cycle(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    if (c->raw->n == 0) return jinja_fail(j, ERR_FORMAT, "cycle: no values");
    *out = c->raw->arg[c->self->u.loop->i % c->raw->n];
    return true;
}

static bool run_changed(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_list *l = jinja_list_new(j, c->raw->n);
    bool is_same = false;
    for (size_t i = 0; l && i < c->raw->n; i++)
        if (!jinja_list_add(j, l, c->raw->arg[i])) return false;
    if (!l) return false;
    struct jinja_value *last = &c->self->u.loop->changed;
    const struct jinja_value now = jinja_of_list(l, JV_TUPLE);
    if (!jinja_equal(j, last, &now, &is_same)) return false;
    *last = now;
    return say(out, !is_same);
}

static const struct jinja_func loop_methods[] = {
    {"cycle", "*", 0, run_cycle},
    {"changed", "*", 0, run_changed},
    {0},
};

const struct jinja_func *jinja_method(const struct jinja_value *v, const char *name)
{
    const struct jinja_func *rows = v->type == JV_STRING ? string_methods
                                    : v->type == JV_DICT ? dict_methods
                                    : jinja_is_list(v)   ? list_methods
                                    : v->type == JV_LOOP ? loop_methods
                                                         : NULL;
    for (; rows && rows->name; rows++)
        if (strcmp(rows->name, name) == 0) return rows;
    return NULL;
}
