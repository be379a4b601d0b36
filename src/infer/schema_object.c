/* SPDX-License-Identifier: Apache-2.0
 *
 * schema_object.c - objects and arrays: members in the schema's order, elements by position.
 *
 * A property's value must satisfy what every schema of the list says of that name: its entry in
 * `properties`, or where a schema has none, its `additionalProperties`. A name that is required but
 * nowhere described is a property too. An object whose schemas say nothing of other names has no
 * others if it names any properties, as people who write such schemas mean; it is open if it names
 * none.
 *
 * Members that may be left out are the only difficulty: whether a comma stands in front depends on
 * whether anything came before. tail(i) is what may follow once something has; the first member is
 * a choice. Where many may be left out, tails are rules, or their copies would be quadratic.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "infer/schema_parts.h"
#include "text/unicode.h"

enum {
    MAX_PROPERTIES = 5000, /* of one object; OpenAI's limit for a whole schema */
    N_FEW = 12,            /* properties up to which tails and members are copied */
    MAX_OPTIONAL = 1000,   /* of those, not required: each may come next */
    MAX_PREFIX = 128,      /* prefixItems */
};

struct property {
    const char *name;
    size_t n_name;
    bool is_required;
    int32_t member; /* node: "name": value */
    int32_t tail;   /* rule, or -1 */
};

struct object {
    struct schema *s;
    const struct schema_all *all;
    struct property *property;
    size_t n, cap;
    int32_t more; /* node of a member by another name, or -1 */
    int64_t n_required;
};

/* ---- properties ---- */

static struct property *find(const struct object *o, const char *name, size_t n)
{
    for (size_t i = 0; i < o->n; i++)
        if (o->property[i].n_name == n && memcmp(o->property[i].name, name, n) == 0)
            return &o->property[i];
    return NULL;
}

static struct property *add_property(struct object *o, const char *name, size_t n)
{
    struct property *p = find(o, name, n);
    if (p) return p;
    if (o->n == MAX_PROPERTIES) {
        grammar_fail(&o->s->b, ERR_LIMIT, "properties: more than %d in one object", MAX_PROPERTIES);
        return NULL;
    }
    if (o->n == o->cap) {
        const size_t cap = 2 * o->cap + 16;
        struct property *more = realloc(o->property, cap * sizeof *more);
        if (!more) {
            grammar_fail(&o->s->b, ERR_MEMORY, "no memory for the schema");
            return NULL;
        }
        o->property = more;
        o->cap = cap;
    }
    o->property[o->n] = (struct property){.name = name, .n_name = n, .tail = -1};
    return &o->property[o->n++];
}

static bool add_required(struct object *o, struct json required)
{
    struct json_iter it = json_iter(required);
    struct json v;
    if (json_type(required) != JSON_NONE && json_type(required) != JSON_ARRAY) {
        grammar_fail(&o->s->b, ERR_FORMAT, "required: give an array of names");
        return false;
    }
    while (json_next(&it, NULL, NULL, &v)) {
        const char *name = NULL;
        size_t n = 0;
        if (!json_str(v, &name, &n)) {
            grammar_fail(&o->s->b, ERR_FORMAT, "required: give an array of names");
            return false;
        }
        struct property *p = add_property(o, name, n);
        if (!p) return false;
        o->n_required += !p->is_required;
        p->is_required = true;
    }
    return true;
}

static bool find_properties(struct object *o)
{
    for (int32_t i = 0; i < o->all->n; i++) {
        const struct json props = json_get(o->all->item[i].v, "properties");
        if (json_type(props) != JSON_NONE && json_type(props) != JSON_OBJECT) {
            grammar_fail(&o->s->b, ERR_FORMAT, "properties: give an object of schemas");
            return false;
        }
        struct json_iter it = json_iter(props);
        const char *name = NULL;
        size_t n = 0;
        struct json v;
        while (json_next(&it, &name, &n, &v))
            if (!add_property(o, name, n)) return false;
    }
    for (int32_t i = 0; i < o->all->n; i++)
        if (!add_required(o, json_get(o->all->item[i].v, "required"))) return false;
    return true;
}

/* What the list says of a name (NULL: of any other name); false if it says never. */
static bool schemas_of(const struct object *o, const char *name, struct json *out, int32_t *n)
{
    *n = 0;
    for (int32_t i = 0; i < o->all->n; i++) {
        const struct json item = o->all->item[i].v, props = json_get(item, "properties");
        struct json v = name ? json_get(props, name) : (struct json){0};
        bool truth = true;
        if (json_type(v) == JSON_NONE) v = json_get(item, "additionalProperties");
        if (json_type(v) == JSON_NONE) continue;
        if (json_bool(v, &truth) && !truth) return false;
        out[(*n)++] = v;
    }
    return true;
}

static int32_t member(struct object *o, int32_t key, int32_t value)
{
    struct grammar_builder *b = &o->s->b;
    const int32_t item[3] = {key, space_colon(o->s), value};
    const int32_t node = node_seq(b, item, 3);
    if (o->n <= N_FEW) return node;
    const int32_t rule = rule_new(b, "a member", 8, 0);
    rule_define(b, rule, node);
    return node_call(b, rule);
}

/* Makes the members, dropping those that can never stand; false if a required one cannot. */
static bool make_members(struct object *o)
{
    size_t n_left = 0;
    for (size_t i = 0; i < o->n; i++) {
        struct property p = o->property[i];
        struct json schemas[SCHEMA_MAX_ALL];
        int32_t n = 0;
        if (strlen(p.name) != p.n_name) {
            schema_refuse(o->s, "properties", "a name holds a NUL");
            return false;
        }
        if (!schemas_of(o, p.name, schemas, &n)) {
            if (p.is_required) return false;
            continue;
        }
        const int32_t key = schema_string_literal(o->s, p.name, p.n_name);
        p.member = member(o, key, schema_value(o->s, schemas, n));
        o->property[n_left++] = p;
        if (grammar_has_failed(&o->s->b)) return false;
    }
    o->n = n_left;
    if ((int64_t)o->n - o->n_required > MAX_OPTIONAL)
        grammar_fail(&o->s->b, ERR_LIMIT,
                     "properties: more than %d that are not required; require some", MAX_OPTIONAL);
    return !grammar_has_failed(&o->s->b);
}

/* ---- other names ---- */

/* One character of a name, of the set. */
static int32_t key_char(struct schema *s, struct charset *set)
{
    const int32_t node = node_json_class(&s->b, set);
    charset_release(set);
    return node;
}

/* Names other than those of names[from, to), which agree in their first `depth` bytes; the rest of
 * the name, with its quotation mark. Built as a tree over characters. */
static int32_t other_key(struct object *o, const struct property **names, size_t from, size_t to,
                         size_t depth)
{
    struct schema *s = o->s;
    struct grammar_builder *b = &s->b;
    struct charset free_set = {0}, all = {0};
    struct node_list ways = {0};
    bool ends_here = false;
    if (depth > 200) return node_never(b); /* no other name is as long as this */
    for (size_t i = from; i < to;) {
        const char *name = names[i]->name + depth;
        if (names[i]->n_name == depth) {
            ends_here = true;
            i++;
            continue;
        }
        uint32_t cp = 0;
        bool is_bad = false;
        const size_t n =
            (size_t)utf8_decode((const uint8_t *)name, names[i]->n_name - depth, &cp, &is_bad);
        size_t end = i + 1;
        while (end < to && names[end]->n_name >= depth + n &&
               memcmp(names[end]->name + depth, name, n) == 0)
            end++;
        struct charset one = {0};
        charset_add(&one, cp, cp);
        charset_add(&free_set, cp, cp);
        const int32_t pair[2] = {key_char(s, &one), other_key(o, names, i, end, depth + n)};
        node_list_push(b, &ways, node_seq(b, pair, 2));
        i = end;
    }
    charset_invert(&free_set);
    charset_add(&all, 0, CODE_POINT_MAX);
    const int32_t rest[3] = {key_char(s, &free_set), node_repeat(b, key_char(s, &all), 0, -1),
                             node_text(b, "\"")};
    node_list_push(b, &ways, node_seq(b, rest, 3));
    if (!ends_here) node_list_push(b, &ways, node_text(b, "\""));
    const int32_t node = node_alt(b, ways.v, ways.n);
    node_list_release(&ways);
    return node;
}

static int by_name(const void *a, const void *b)
{
    const struct property *x = *(const struct property *const *)a;
    const struct property *y = *(const struct property *const *)b;
    const int c = memcmp(x->name, y->name, x->n_name < y->n_name ? x->n_name : y->n_name);
    return c ? c : (x->n_name > y->n_name) - (x->n_name < y->n_name);
}

static int32_t any_other_key(struct object *o)
{
    struct grammar_builder *b = &o->s->b;
    if (o->n == 0) return schema_any_of_type(o->s, TYPE_STRING);
    const struct property **names = malloc(o->n * sizeof(struct property *));
    if (!names) return grammar_fail(b, ERR_MEMORY, "no memory for the schema");
    for (size_t i = 0; i < o->n; i++) names[i] = &o->property[i];
    qsort(names, o->n, sizeof(struct property *), by_name);
    const int32_t pair[2] = {node_text(b, "\""), other_key(o, names, 0, o->n, 0)};
    free(names);
    return node_seq(b, pair, 2);
}

/* Before names that can never stand are dropped: they are no other names either. */
static void make_more(struct object *o)
{
    struct json schemas[SCHEMA_MAX_ALL];
    int32_t n = 0;
    o->more = -1;
    const bool says = schema_has(o->all, "additionalProperties");
    if (!schemas_of(o, NULL, schemas, &n) || (!says && o->n > 0)) return;
    const int32_t rule = rule_new(&o->s->b, "another name", 12, 0);
    rule_define(&o->s->b, rule, any_other_key(o));
    o->more = member(o, node_call(&o->s->b, rule), schema_value(o->s, schemas, n));
}

/* ---- the order of members ---- */

static int32_t with_comma(struct object *o, int32_t node)
{
    const int32_t pair[2] = {space_comma(o->s), node};
    return node_seq(&o->s->b, pair, 2);
}

/* What may follow member i - 1 when something stands before. */
static int32_t tail(struct object *o, size_t i)
{
    struct grammar_builder *b = &o->s->b;
    struct node_list items = {0};
    for (; i < o->n; i++) {
        if (o->property[i].tail >= 0) {
            node_list_push(b, &items, node_call(b, o->property[i].tail));
            break;
        }
        const int32_t next = with_comma(o, o->property[i].member);
        node_list_push(b, &items, o->property[i].is_required ? next : node_optional(b, next));
    }
    if (i == o->n && o->more >= 0)
        node_list_push(b, &items, node_repeat(b, with_comma(o, o->more), 0, -1));
    const int32_t node = node_seq(b, items.v, items.n);
    node_list_release(&items);
    return node;
}

/* Rules for the tails, from the last to the first, each by the one behind it. */
static void make_tails(struct object *o)
{
    if (o->n <= N_FEW || (size_t)o->n_required == o->n) return;
    for (size_t i = o->n; i-- > 0;) {
        const int32_t node = tail(o, i);
        o->property[i].tail = rule_new(&o->s->b, "members", 7, 0);
        rule_define(&o->s->b, o->property[i].tail, node);
    }
}

static int32_t members(struct object *o, bool *may_be_empty)
{
    struct grammar_builder *b = &o->s->b;
    struct node_list ways = {0};
    *may_be_empty = o->n_required == 0;
    make_tails(o);
    for (size_t i = 0; i < o->n; i++) {
        const int32_t pair[2] = {o->property[i].member, tail(o, i + 1)};
        if (!node_list_push(b, &ways, node_seq(b, pair, 2)) || o->property[i].is_required) break;
    }
    if (o->n_required == 0 && o->more >= 0) {
        const int32_t pair[2] = {o->more, tail(o, o->n)};
        node_list_push(b, &ways, node_seq(b, pair, 2));
    }
    const int32_t node = node_alt(b, ways.v, ways.n);
    node_list_release(&ways);
    return node;
}

/* Only bounds that the names themselves already keep can be promised. */
static bool check_counts(struct object *o)
{
    const int64_t min = schema_count(o->s, o->all, "minProperties", true, 0);
    const int64_t max = schema_count(o->s, o->all, "maxProperties", false, INT64_MAX);
    if (min > o->n_required)
        schema_refuse(o->s, "minProperties",
                      "more than are required; it cannot be guaranteed, name them in required");
    else if (max != INT64_MAX && (o->more >= 0 || max < (int64_t)o->n))
        schema_refuse(o->s, "maxProperties", "fewer than there may be; it cannot be guaranteed");
    return !grammar_has_failed(&o->s->b);
}

int32_t schema_object(struct schema *s, const struct schema_all *all)
{
    struct object o = {.s = s, .all = all, .more = -1};
    bool may_be_empty = false;
    int32_t node = 0;
    if (find_properties(&o)) {
        make_more(&o);
        if (make_members(&o) && check_counts(&o)) {
            const int32_t inner = members(&o, &may_be_empty);
            node = schema_brackets(s, "{", inner, may_be_empty, "}");
        } else {
            node = node_never(&s->b);
        }
    }
    free(o.property);
    return node;
}

/* ---- arrays ---- */

struct elements {
    struct schema *s;
    const struct schema_all *all;
    int32_t n_prefix;
    int64_t min, max; /* max -1: no bound */
};

/* What the list says of position i; false if it says never. */
static bool schemas_at(const struct elements *e, int64_t i, struct json *out, int32_t *n)
{
    *n = 0;
    for (int32_t k = 0; k < e->all->n; k++) {
        const struct json item = e->all->item[k].v, prefix = json_get(item, "prefixItems");
        struct json v = json_get(item, "items");
        bool truth = true;
        if (i < (int64_t)json_len(prefix)) v = json_at(prefix, (size_t)i);
        if (json_type(v) == JSON_NONE) continue;
        if (json_bool(v, &truth) && !truth) return false;
        out[(*n)++] = v;
    }
    return true;
}

static bool read_elements(struct elements *e)
{
    struct schema *s = e->s;
    for (int32_t i = 0; i < e->all->n; i++) {
        const struct json item = e->all->item[i].v, prefix = json_get(item, "prefixItems");
        bool is_unique = false;
        if (json_type(prefix) != JSON_NONE && json_type(prefix) != JSON_ARRAY) {
            grammar_fail(&s->b, ERR_FORMAT, "prefixItems: give an array of schemas");
            return false;
        }
        if (json_len(prefix) > MAX_PREFIX) {
            grammar_fail(&s->b, ERR_LIMIT, "prefixItems: more than %d", MAX_PREFIX);
            return false;
        }
        if ((int32_t)json_len(prefix) > e->n_prefix) e->n_prefix = (int32_t)json_len(prefix);
        if (json_bool(json_get(item, "uniqueItems"), &is_unique) && is_unique) {
            schema_refuse(s, "uniqueItems", "this keyword cannot be guaranteed; leave it out");
            return false;
        }
    }
    e->min = schema_count(s, e->all, "minItems", true, 0);
    e->max = schema_count(s, e->all, "maxItems", false, -1);
    return !grammar_has_failed(&s->b);
}

/* Elements from the end of the prefix on, each with a comma in front. */
static int32_t rest_of(struct elements *e)
{
    struct grammar_builder *b = &e->s->b;
    struct json schemas[SCHEMA_MAX_ALL];
    int32_t n = 0;
    const int64_t min = e->min > e->n_prefix ? e->min - e->n_prefix : 0;
    const int64_t max = e->max < 0 ? -1 : e->max - e->n_prefix;
    if (max == 0 || !schemas_at(e, INT32_MAX, schemas, &n))
        return min > 0 ? node_never(b) : node_empty(b);
    const int32_t pair[2] = {space_comma(e->s), schema_value(e->s, schemas, n)};
    return node_repeat(b, node_seq(b, pair, 2), min, max);
}

/* All elements behind the first i, from the last one backwards: each holds those after it. */
static int32_t elements(struct elements *e, bool *may_be_empty)
{
    struct grammar_builder *b = &e->s->b;
    struct json schemas[SCHEMA_MAX_ALL];
    int32_t n = 0;
    *may_be_empty = e->min == 0;
    if (e->max == 0) return node_never(b);
    if (e->n_prefix == 0) {
        /* the first has no comma: one of them apart */
        if (!schemas_at(e, 0, schemas, &n)) return node_never(b);
        const int32_t value = schema_value(e->s, schemas, n);
        const int32_t next[2] = {space_comma(e->s), value};
        const int32_t item[2] = {value,
                                 node_repeat(b, node_seq(b, next, 2), e->min > 0 ? e->min - 1 : 0,
                                             e->max < 0 ? -1 : e->max - 1)};
        return node_seq(b, item, 2);
    }
    int32_t n_prefix = e->n_prefix;
    int32_t node = 0;
    if (e->max >= 0 && e->max < n_prefix) {
        n_prefix = (int32_t)e->max;
        node = node_empty(b);
    } else {
        node = rest_of(e);
    }
    for (int32_t i = n_prefix - 1; i >= 0; i--) {
        const bool can_be = schemas_at(e, i, schemas, &n);
        const int32_t value = can_be ? schema_value(e->s, schemas, n) : node_never(b);
        const int32_t item[3] = {i > 0 ? space_comma(e->s) : node_empty(b), value, node};
        node = node_seq(b, item, 3);
        if (i > 0 && i >= e->min) node = node_optional(b, node);
        if (grammar_has_failed(b)) return 0;
    }
    return node;
}

int32_t schema_array(struct schema *s, const struct schema_all *all)
{
    struct elements e = {.s = s, .all = all};
    bool may_be_empty = false;
    if (!read_elements(&e)) return 0;
    if (e.max >= 0 && e.min > e.max) return node_never(&s->b);
    const int32_t inner = elements(&e, &may_be_empty);
    return schema_brackets(s, "[", inner, may_be_empty, "]");
}
