/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_arith.c - the operators between two values, as Python has them.
 *
 * Booleans count as 0 and 1; integers that leave 64 bits are an error; / is always a float, // and
 * % go towards minus infinity. Texts and lists are joined by + and repeated by *; a text before %
 * is a format.
 */
#include <math.h>

#include "text/jinja_parts.h"

static const char *const op_names[] = {
    [JO_ADD] = "+",       [JO_SUB] = "-", [JO_MUL] = "*",  [JO_DIV] = "/",
    [JO_FLOORDIV] = "//", [JO_MOD] = "%", [JO_POW] = "**",
};

static bool over(struct jinja *j, enum jinja_op op)
{
    return jinja_fail(j, ERR_LIMIT, "a number over 2^63 comes out of %s", op_names[op]);
}

/* ---- numbers ---- */

static bool power(int64_t base, int64_t n, int64_t *out)
{
    *out = 1;
    for (; n > 0; n >>= 1) {
        if ((n & 1) && !i64_mul(*out, base, out)) return false;
        if (n > 1 && !i64_mul(base, base, &base)) return false;
    }
    return true;
}

static bool integers(struct jinja *j, enum jinja_op op, int64_t a, int64_t b, int64_t *out)
{
    switch (op) {
    case JO_ADD:
        return i64_add(a, b, out) || over(j, op);
    case JO_MUL:
        return i64_mul(a, b, out) || over(j, op);
    case JO_SUB:
        return !__builtin_sub_overflow(a, b, out) || over(j, op);
    case JO_POW:
        return power(a, b, out) || over(j, op);
    default:
        break;
    }
    if (a == INT64_MIN && b == -1) {
        *out = 0;
        return op == JO_MOD || over(j, op);
    }
    const int64_t rest = a % b, is_moved = rest != 0 && (rest < 0) != (b < 0);
    *out = op == JO_MOD ? rest + (is_moved ? b : 0) : a / b - is_moved;
    return true;
}

static double floats(enum jinja_op op, double a, double b)
{
    switch (op) {
    case JO_ADD:
        return a + b;
    case JO_SUB:
        return a - b;
    case JO_MUL:
        return a * b;
    case JO_DIV:
        return a / b;
    case JO_FLOORDIV:
        return floor(a / b);
    case JO_POW:
        return pow(a, b);
    default:
        break;
    }
    const double rest = fmod(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

static bool numbers(struct jinja *j, enum jinja_op op, const struct jinja_value *a,
                    const struct jinja_value *b, struct jinja_value *out)
{
    int64_t i = 0, k = 0, v = 0;
    const bool is_int = jinja_as_int(a, &i) && jinja_as_int(b, &k);
    const bool divides = op == JO_DIV || op == JO_FLOORDIV || op == JO_MOD;
    if (divides && jinja_as_float(b) == 0) return jinja_fail(j, ERR_FORMAT, "division by zero");
    if (op == JO_POW && jinja_as_float(a) == 0 && jinja_as_float(b) < 0)
        return jinja_fail(j, ERR_FORMAT, "zero to a negative power");
    if (is_int && op != JO_DIV && !(op == JO_POW && k < 0)) {
        if (!integers(j, op, i, k, &v)) return false;
        *out = jinja_int(v);
        return true;
    }
    *out = jinja_float(floats(op, jinja_as_float(a), jinja_as_float(b)));
    return true;
}

/* ---- texts and lists ---- */

static bool join_texts(struct jinja *j, const struct jinja_value *a, const struct jinja_value *b,
                       struct jinja_value *out)
{
    const bool is_safe = a->is_safe || b->is_safe;
    struct jinja_value left = *a, right = *b;
    struct jinja_out o = {.j = j};
    if (is_safe && (!jinja_escape(j, a, &left) || !jinja_escape(j, b, &right))) return false;
    jinja_put_text(&o, &left, 0, left.u.str.n);
    jinja_put_text(&o, &right, 0, right.u.str.n);
    if (!jinja_out_end(&o, out)) return false;
    out->is_safe = is_safe;
    return true;
}

static bool add_all(struct jinja *j, struct jinja_list *to, const struct jinja_list *from)
{
    for (size_t i = 0; i < from->n; i++)
        if (!jinja_charge(j, 1) || !jinja_list_add(j, to, from->item[i])) return false;
    return true;
}

static bool join_lists(struct jinja *j, const struct jinja_value *a, const struct jinja_value *b,
                       struct jinja_value *out)
{
    struct jinja_list *l = jinja_list_new(j, 0);
    if (!l || !add_all(j, l, a->u.list) || !add_all(j, l, b->u.list)) return false;
    *out = jinja_of_list(l, a->type);
    return true;
}

static bool repeat(struct jinja *j, const struct jinja_value *v, int64_t n, struct jinja_value *out)
{
    if (v->type == JV_STRING) {
        struct jinja_out o = {.j = j};
        for (int64_t i = 0; i < n && v->u.str.n && jinja_charge(j, 1); i++)
            jinja_put_text(&o, v, 0, v->u.str.n);
        return jinja_out_end(&o, out);
    }
    struct jinja_list *l = jinja_list_new(j, 0);
    for (int64_t i = 0; l && i < n && v->u.list->n; i++)
        if (!add_all(j, l, v->u.list)) return false;
    *out = jinja_of_list(l, v->type);
    return l != NULL;
}

static bool is_repeatable(const struct jinja_value *v)
{
    return v->type == JV_STRING || jinja_is_list(v);
}

bool jinja_binary(struct jinja *j, enum jinja_op op, const struct jinja_value *a,
                  const struct jinja_value *b, struct jinja_value *out)
{
    int64_t n = 0;
    if (jinja_is_number(a) && jinja_is_number(b)) return numbers(j, op, a, b, out);
    if (op == JO_ADD && a->type == JV_STRING && b->type == JV_STRING)
        return join_texts(j, a, b, out);
    if (op == JO_ADD && jinja_is_list(a) && a->type == b->type) return join_lists(j, a, b, out);
    if (op == JO_MUL && is_repeatable(a) && jinja_as_int(b, &n)) return repeat(j, a, n, out);
    if (op == JO_MUL && is_repeatable(b) && jinja_as_int(a, &n)) return repeat(j, b, n, out);
    if (op == JO_MOD && a->type == JV_STRING)
        return b->type == JV_TUPLE ? jinja_percent(j, a, b->u.list->item, b->u.list->n, out)
                                   : jinja_percent(j, a, b, 1, out);
    const struct jinja_value *u = a->type == JV_UNDEFINED ? a : b;
    if (u->type == JV_UNDEFINED)
        return jinja_fail(j, ERR_FORMAT, "%.60s is undefined beside %s", u->u.name, op_names[op]);
    return jinja_fail(j, ERR_FORMAT, "%s %s %s cannot be worked out", jinja_type_name(a),
                      op_names[op], jinja_type_name(b));
}
