/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_tests.c - the table of tests: what may stand behind "is".
 */
#include "text/jinja_parts.h"

static bool say(struct jinja *j, bool is, struct jinja_value *out)
{
    *out = jinja_bool(is);
    return !j->is_failed;
}

static bool has_type(const struct jinja_call *c, enum jinja_type type)
{
    return c->self->type == type;
}

static bool is_sequence(const struct jinja_value *v)
{
    return jinja_is_list(v) || v->type == JV_STRING || v->type == JV_DICT ||
           v->type == JV_UNDEFINED;
}

static bool is_callable(const struct jinja_value *v)
{
    return v->type == JV_FUNC || v->type == JV_MACRO || v->type == JV_LOOP;
}

static bool is_defined(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, !has_type(c, JV_UNDEFINED), out);
}
static bool is_undefined(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, has_type(c, JV_UNDEFINED), out);
}
static bool is_none(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, has_type(c, JV_NONE), out);
}
static bool is_string(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, has_type(c, JV_STRING), out);
}
static bool is_mapping(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, has_type(c, JV_DICT), out);
}
static bool is_iterable(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, is_sequence(c->self) || has_type(c, JV_LOOP) || has_type(c, JV_GENERATOR), out);
}
static bool is_sequence_test(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, is_sequence(c->self), out);
}
static bool is_number(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, jinja_is_number(c->self), out);
}
static bool is_integer(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, has_type(c, JV_INT), out);
}
static bool is_float(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, has_type(c, JV_FLOAT), out);
}
static bool is_boolean(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, has_type(c, JV_BOOL), out);
}
static bool is_true(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, has_type(c, JV_BOOL) && c->self->u.b, out);
}
static bool is_false(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, has_type(c, JV_BOOL) && !c->self->u.b, out);
}
static bool is_callable_test(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return say(j, is_callable(c->self), out);
}

static bool is_equal(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    bool is = false;
    return jinja_equal(j, c->self, &c->arg[0], &is) && say(j, is, out);
}

static bool is_unequal(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    bool is = false;
    return jinja_equal(j, c->self, &c->arg[0], &is) && say(j, !is, out);
}

/* Identity: values that can only be equal by being the same, and small ones. */
static bool is_same(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    bool is = false;
    if (c->self->type != c->arg[0].type) return say(j, false, out);
    if (jinja_is_list(c->self)) return say(j, c->self->u.list == c->arg[0].u.list, out);
    if (has_type(c, JV_DICT)) return say(j, c->self->u.dict == c->arg[0].u.dict, out);
    return jinja_equal(j, c->self, &c->arg[0], &is) && say(j, is, out);
}

static bool ordered(struct jinja *j, const struct jinja_call *c, int *order)
{
    return jinja_order(j, c->self, &c->arg[0], order);
}

static bool is_less(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    int order = 0;
    return ordered(j, c, &order) && say(j, order < 0, out);
}

static bool is_less_equal(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    int order = 0;
    return ordered(j, c, &order) && say(j, order <= 0, out);
}

static bool is_greater(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    int order = 0;
    return ordered(j, c, &order) && say(j, order > 0, out);
}

static bool is_greater_equal(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    int order = 0;
    return ordered(j, c, &order) && say(j, order >= 0, out);
}

static bool is_in(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    bool is = false;
    return jinja_contains(j, &c->arg[0], c->self, &is) && say(j, is, out);
}

static bool divides(struct jinja *j, const struct jinja_value *v, int64_t by, int64_t rest,
                    struct jinja_value *out)
{
    int64_t i = 0;
    if (!jinja_as_int(v, &i) || by == 0)
        return jinja_fail(j, ERR_FORMAT, "%s is not divided by %lld", jinja_type_name(v),
                          (long long)by);
    return say(j, by == -1 ? rest == 0 : (i % by != 0) == (rest != 0), out);
}

static bool is_even(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return divides(j, c->self, 2, 0, out);
}
static bool is_odd(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return divides(j, c->self, 2, 1, out);
}

static bool is_divisible(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    int64_t by = 0;
    (void)jinja_as_int(&c->arg[0], &by);
    return divides(j, c->self, by, 0, out);
}

/* str.islower(): there is a letter with case, and none of the other. */
static bool has_case(struct jinja *j, const struct jinja_call *c, enum jinja_case to,
                     struct jinja_value *out)
{
    struct jinja_value s, same, other;
    bool is_same_as = false, is_other = false;
    return jinja_str(j, c->self, &s) && jinja_recase(j, &s, to, &same) &&
           jinja_recase(j, &s, to == JC_LOWER ? JC_UPPER : JC_LOWER, &other) &&
           jinja_equal(j, &s, &same, &is_same_as) && jinja_equal(j, &s, &other, &is_other) &&
           say(j, is_same_as && !is_other, out);
}

static bool is_lower(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return has_case(j, c, JC_LOWER, out);
}
static bool is_upper(struct jinja *j, const struct jinja_call *c, struct jinja_value *out)
{
    return has_case(j, c, JC_UPPER, out);
}

const struct jinja_func jinja_tests[] = {
    /* clang-format off */
    /* name          parameters least run */
    {"defined",      "",        0, is_defined},
    {"undefined",    "",        0, is_undefined},
    {"none",         "",        0, is_none},
    {"string",       "",        0, is_string},
    {"mapping",      "",        0, is_mapping},
    {"iterable",     "",        0, is_iterable},
    {"sequence",     "",        0, is_sequence_test},
    {"number",       "",        0, is_number},
    {"integer",      "",        0, is_integer},
    {"float",        "",        0, is_float},
    {"boolean",      "",        0, is_boolean},
    {"true",         "",        0, is_true},
    {"false",        "",        0, is_false},
    {"callable",     "",        0, is_callable_test},
    {"equalto",      "other",   1, is_equal},
    {"eq",           "other",   1, is_equal},
    {"==",           "other",   1, is_equal},
    {"ne",           "other",   1, is_unequal},
    {"!=",           "other",   1, is_unequal},
    {"sameas",       "other",   1, is_same},
    {"lt",           "other",   1, is_less},
    {"lessthan",     "other",   1, is_less},
    {"<",            "other",   1, is_less},
    {"le",           "other",   1, is_less_equal},
    {"<=",           "other",   1, is_less_equal},
    {"gt",           "other",   1, is_greater},
    {"greaterthan",  "other",   1, is_greater},
    {">",            "other",   1, is_greater},
    {"ge",           "other",   1, is_greater_equal},
    {">=",           "other",   1, is_greater_equal},
    {"in",           "seq",     1, is_in},
    {"even",         "",        0, is_even},
    {"odd",          "",        0, is_odd},
    {"divisibleby",  "num",     1, is_divisible},
    {"lower",        "",        0, is_lower},
    {"upper",        "",        0, is_upper},
    {0},
    /* clang-format on */
};
