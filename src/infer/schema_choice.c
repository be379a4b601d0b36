/* SPDX-License-Identifier: Apache-2.0
 *
 * schema_choice.c - given values (enum, const), and whether two schemas can have a value in common.
 *
 * oneOf wants exactly one of its schemas to fit. That is what anyOf gives where no two can fit at
 * once, which is shown here by their types, by given values, by a property that both require and
 * whose given values differ (a tag), or by a name that one requires and the other, being closed,
 * does not have. Anything else is refused by the caller.
 */
#include <string.h>

#include "infer/schema_parts.h"

unsigned json_type_bit(struct json v)
{
    double d = 0;
    switch (json_type(v)) {
    case JSON_NULL:
        return TYPE_NULL;
    case JSON_BOOL:
        return TYPE_BOOLEAN;
    case JSON_INT:
    case JSON_UINT:
        return TYPE_INTEGER;
    case JSON_DOUBLE:
        json_f64(v, &d);
        return d > -1e15 && d < 1e15 && d == (double)(int64_t)d ? TYPE_INTEGER : TYPE_NUMBER;
    case JSON_STRING:
        return TYPE_STRING;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    case JSON_OBJECT:
        return TYPE_OBJECT;
    default:
        return 0;
    }
}

/* Recursion is as deep as the document, which json_parse() bounds. */
bool json_equal(struct json a, struct json b)
{
    const unsigned type = json_type_bit(a);
    const char *s = NULL, *t = NULL;
    size_t n = 0, m = 0;
    double x = 0, y = 0;
    bool p = false, q = false;
    if (type != json_type_bit(b)) return false;
    if (type == TYPE_STRING) {
        json_str(a, &s, &n);
        json_str(b, &t, &m);
        return n == m && memcmp(s, t, n) == 0;
    }
    if (type == TYPE_BOOLEAN) return json_bool(a, &p) && json_bool(b, &q) && p == q;
    if (type == TYPE_INTEGER || type == TYPE_NUMBER)
        return json_f64(a, &x) && json_f64(b, &y) && x == y;
    if (type == TYPE_NULL) return true;
    if (json_len(a) != json_len(b)) return false;
    struct json_iter i = json_iter(a), j = json_iter(b);
    struct json v, w;
    while (json_next(&i, type == TYPE_OBJECT ? &s : NULL, &n, &v)) {
        if (type == TYPE_OBJECT)
            w = json_get(b, s);
        else
            json_next(&j, NULL, NULL, &w);
        if (!json_equal(v, w)) return false;
    }
    return true;
}

/* ---- given values ---- */

static bool is_among(struct json v, struct json list)
{
    struct json_iter it = json_iter(list);
    struct json x;
    while (json_next(&it, NULL, NULL, &x))
        if (json_equal(v, x)) return true;
    return false;
}

/* True if every enum and const of the list has the value. */
static bool is_given(const struct schema_all *all, struct json v, unsigned types)
{
    unsigned bit = json_type_bit(v);
    if (!(types & bit)) return false;
    for (int32_t i = 0; i < all->n; i++) {
        const struct json list = json_get(all->item[i].v, "enum");
        const struct json one = json_get(all->item[i].v, "const");
        if (json_type(list) != JSON_NONE && !is_among(v, list)) return false;
        if (json_type(one) != JSON_NONE && !json_equal(v, one)) return false;
    }
    return true;
}

/* Values beside which another keyword would have to be tried on each value. */
static bool has_other_limits(const struct schema_all *all)
{
    static const char *const names[] = {"properties",    "required",         "additionalProperties",
                                        "minProperties", "maxProperties",    "prefixItems",
                                        "items",         "minItems",         "maxItems",
                                        "minLength",     "maxLength",        "pattern",
                                        "format",        "minimum",          "maximum",
                                        "multipleOf",    "exclusiveMinimum", "exclusiveMaximum"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (schema_has(all, names[i])) return true;
    return false;
}

/* A const, or the shortest enum: every value is in it. */
static struct json shortest(const struct schema_all *all, bool *is_const)
{
    struct json best = {0};
    *is_const = false;
    for (int32_t i = 0; i < all->n; i++) {
        const struct json one = json_get(all->item[i].v, "const");
        const struct json list = json_get(all->item[i].v, "enum");
        if (json_type(one) != JSON_NONE) {
            *is_const = true;
            return one;
        }
        if (json_type(list) == JSON_NONE) continue;
        if (json_type(best) == JSON_NONE || json_len(list) < json_len(best)) best = list;
    }
    return best;
}

int32_t schema_enum(struct schema *s, const struct schema_all *all, unsigned types)
{
    bool is_const = false;
    const struct json from = shortest(all, &is_const);
    struct node_list ways = {0};
    if (!is_const && json_type(from) != JSON_ARRAY)
        return grammar_fail(&s->b, ERR_FORMAT, "enum: give an array of values");
    if (has_other_limits(all))
        return schema_refuse(s, "enum, const",
                             "beside other limits; leave only the values that keep them");
    if (is_const && is_given(all, from, types))
        node_list_push(&s->b, &ways, schema_literal(s, from));
    struct json_iter it = json_iter(from);
    struct json v;
    while (!is_const && json_next(&it, NULL, NULL, &v))
        if (is_given(all, v, types) && !node_list_push(&s->b, &ways, schema_literal(s, v))) break;
    const int32_t node = node_alt(&s->b, ways.v, ways.n);
    node_list_release(&ways);
    return node;
}

/* ---- no value in common ---- */

/* True if both have given values, and none is the same. */
static bool given_apart(const struct schema_all *a, const struct schema_all *b)
{
    bool is_const = false;
    if (!(schema_has(a, "enum") || schema_has(a, "const")) ||
        !(schema_has(b, "enum") || schema_has(b, "const")))
        return false;
    const struct json from = shortest(a, &is_const);
    if (is_const) return !is_given(a, from, TYPE_ANY) || !is_given(b, from, TYPE_ANY);
    struct json_iter it = json_iter(from);
    struct json v;
    while (json_next(&it, NULL, NULL, &v))
        if (is_given(a, v, TYPE_ANY) && is_given(b, v, TYPE_ANY)) return false;
    return true;
}

static bool is_required(const struct schema_all *all, const char *name)
{
    for (int32_t i = 0; i < all->n; i++) {
        struct json_iter it = json_iter(json_get(all->item[i].v, "required"));
        struct json v;
        while (json_next(&it, NULL, NULL, &v)) {
            const char *s = NULL;
            size_t n = 0;
            if (json_str(v, &s, &n) && strcmp(s, name) == 0) return true;
        }
    }
    return false;
}

static struct json property_of(const struct schema_all *all, const char *name)
{
    struct json v = {0};
    for (int32_t i = 0; i < all->n && json_type(v) == JSON_NONE; i++)
        v = json_get(json_get(all->item[i].v, "properties"), name);
    return v;
}

/* A property that both require, with given values that differ. */
static bool has_tag(struct schema *s, const struct schema_all *a, const struct schema_all *b)
{
    for (int32_t i = 0; i < a->n; i++) {
        struct json_iter it = json_iter(json_get(a->item[i].v, "properties"));
        const char *name = NULL;
        size_t n = 0;
        struct json v;
        while (json_next(&it, &name, &n, &v)) {
            const struct json w = property_of(b, name);
            struct schema_all x = {.n = 0}, y = {.n = 0};
            if (json_type(w) == JSON_NONE || !is_required(a, name) || !is_required(b, name))
                continue;
            if (!schema_gather(s, &x, v) || !schema_gather(s, &y, w)) return false;
            if (given_apart(&x, &y)) return true;
        }
    }
    return false;
}

/* True if `closed` has no place for a name that `other` requires. */
static bool lacks_name(const struct schema_all *closed, const struct schema_all *other)
{
    for (int32_t i = 0; i < closed->n; i++) {
        const struct json item = closed->item[i].v, props = json_get(item, "properties");
        bool is_open = true;
        if (!json_bool(json_get(item, "additionalProperties"), &is_open) || is_open) continue;
        for (int32_t k = 0; k < other->n; k++) {
            struct json_iter it = json_iter(json_get(other->item[k].v, "required"));
            struct json v;
            while (json_next(&it, NULL, NULL, &v)) {
                const char *name = NULL;
                size_t n = 0;
                if (json_str(v, &name, &n) && json_type(json_get(props, name)) == JSON_NONE)
                    return true;
            }
        }
    }
    return false;
}

bool schema_is_disjoint(struct schema *s, struct json a, struct json b)
{
    struct schema_all x = {.n = 0}, y = {.n = 0};
    if (!schema_gather(s, &x, a) || !schema_gather(s, &y, b)) return true; /* has failed */
    if (x.is_never || y.is_never) return true;
    const unsigned types = schema_types(s, &x, false) & schema_types(s, &y, false);
    if (types == 0 || given_apart(&x, &y)) return true;
    if (types & ~(unsigned)TYPE_OBJECT) return false;
    return has_tag(s, &x, &y) || lacks_name(&x, &y) || lacks_name(&y, &x);
}
