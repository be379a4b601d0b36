/* SPDX-License-Identifier: Apache-2.0
 *
 * grammar_schema.c - JSON Schema (draft 2020-12) to a grammar: the keywords, and what a list of
 * schemas means together.
 *
 * Fails closed: a keyword that restricts values and has no row here is an error that names it, and
 * so is one that is not known at all; annotations are passed over. Where a schema allows more
 * spellings than a model needs (order of properties, white space, numbers of 400 digits) the
 * grammar allows fewer, never more: what comes out is always valid.
 *
 * Begin reading at grammar_from_schema(); a value's rule is made by make_value().
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "infer/schema_parts.h"

enum { MAX_ONE_OF = 100 }; /* each pair is looked at */

enum keyword_use { USED, ANNOTATION, REFUSED };

static const struct keyword {
    const char *name;
    enum keyword_use use;
    unsigned type; /* the type it speaks of, or 0 */
} keywords[] = {
    /* clang-format off */
    {"$ref",                  USED,       0},
    {"$defs",                 USED,       0},
    {"definitions",           USED,       0},
    {"type",                  USED,       0},
    {"nullable",              USED,       0},
    {"enum",                  USED,       0},
    {"const",                 USED,       0},
    {"anyOf",                 USED,       0},
    {"oneOf",                 USED,       0},
    {"allOf",                 USED,       0},
    {"properties",            USED,       TYPE_OBJECT},
    {"required",              USED,       TYPE_OBJECT},
    {"additionalProperties",  USED,       TYPE_OBJECT},
    {"minProperties",         USED,       TYPE_OBJECT},
    {"maxProperties",         USED,       TYPE_OBJECT},
    {"prefixItems",           USED,       TYPE_ARRAY},
    {"items",                 USED,       TYPE_ARRAY},
    {"minItems",              USED,       TYPE_ARRAY},
    {"maxItems",              USED,       TYPE_ARRAY},
    {"uniqueItems",           USED,       TYPE_ARRAY},
    {"minLength",             USED,       TYPE_STRING},
    {"maxLength",             USED,       TYPE_STRING},
    {"pattern",               USED,       TYPE_STRING},
    {"format",                USED,       TYPE_STRING},
    {"minimum",               USED,       TYPE_NUMBER | TYPE_INTEGER},
    {"maximum",               USED,       TYPE_NUMBER | TYPE_INTEGER},
    {"exclusiveMinimum",      USED,       TYPE_NUMBER | TYPE_INTEGER},
    {"exclusiveMaximum",      USED,       TYPE_NUMBER | TYPE_INTEGER},
    {"multipleOf",            USED,       TYPE_NUMBER | TYPE_INTEGER},
    {"title",                 ANNOTATION, 0},
    {"description",           ANNOTATION, 0},
    {"default",               ANNOTATION, 0},
    {"examples",              ANNOTATION, 0},
    {"example",               ANNOTATION, 0},
    {"deprecated",            ANNOTATION, 0},
    {"readOnly",              ANNOTATION, 0},
    {"writeOnly",             ANNOTATION, 0},
    {"discriminator",         ANNOTATION, 0},
    {"contentEncoding",       ANNOTATION, 0},
    {"contentMediaType",      ANNOTATION, 0},
    {"contentSchema",         ANNOTATION, 0},
    {"$schema",               ANNOTATION, 0},
    {"$id",                   ANNOTATION, 0},
    {"$comment",              ANNOTATION, 0},
    {"$vocabulary",           ANNOTATION, 0},
    {"$anchor",               ANNOTATION, 0},
    {"not",                   REFUSED,    0},
    {"if",                    REFUSED,    0},
    {"then",                  REFUSED,    0},
    {"else",                  REFUSED,    0},
    {"$dynamicRef",           REFUSED,    0},
    {"$dynamicAnchor",        REFUSED,    0},
    {"patternProperties",     REFUSED,    0},
    {"propertyNames",         REFUSED,    0},
    {"dependentRequired",     REFUSED,    0},
    {"dependentSchemas",      REFUSED,    0},
    {"dependencies",          REFUSED,    0},
    {"unevaluatedProperties", REFUSED,    0},
    {"unevaluatedItems",      REFUSED,    0},
    {"additionalItems",       REFUSED,    0},
    {"contains",              REFUSED,    0},
    {"minContains",           REFUSED,    0},
    {"maxContains",           REFUSED,    0},
    {0},
    /* clang-format on */
};

static const struct {
    const char *name;
    unsigned bits;
} type_names[] = {
    /* clang-format off */
    {"null",    TYPE_NULL},
    {"boolean", TYPE_BOOLEAN},
    {"integer", TYPE_INTEGER},
    {"number",  TYPE_NUMBER | TYPE_INTEGER},
    {"string",  TYPE_STRING},
    {"array",   TYPE_ARRAY},
    {"object",  TYPE_OBJECT},
    /* clang-format on */
};

int32_t schema_refuse(struct schema *s, const char *keyword, const char *why)
{
    return grammar_fail(&s->b, ERR_UNSUPPORTED, "%.60s: %s", keyword, why);
}

/* ---- looking into a list ---- */

bool schema_has(const struct schema_all *all, const char *keyword)
{
    for (int32_t i = 0; i < all->n; i++)
        if (json_type(json_get(all->item[i].v, keyword)) != JSON_NONE) return true;
    return false;
}

int64_t schema_count(struct schema *s, const struct schema_all *all, const char *keyword,
                     bool is_least, int64_t fallback)
{
    int64_t out = fallback;
    bool has = false;
    for (int32_t i = 0; i < all->n; i++) {
        const struct json v = json_get(all->item[i].v, keyword);
        int64_t n = 0;
        double d = 0;
        if (json_type(v) == JSON_NONE) continue;
        if (!json_i64(v, &n) && json_f64(v, &d) && d == floor(d) && d >= 0 && d < 1e15)
            n = (int64_t)d;
        else if (!json_i64(v, &n) || n < 0) {
            grammar_fail(&s->b, ERR_FORMAT, "%s: give a whole number, 0 or more", keyword);
            return out;
        }
        if (!has || (is_least ? n > out : n < out)) out = n;
        has = true;
    }
    return out;
}

/* ---- gathering ---- */

static bool check_keywords(struct schema *s, struct json schema)
{
    struct json_iter it = json_iter(schema);
    const char *key = NULL;
    size_t n_key = 0;
    struct json v;
    while (json_next(&it, &key, &n_key, &v)) {
        const struct keyword *k = table_find(keywords, sizeof *keywords, key);
        if (k && strlen(k->name) != n_key) k = NULL;
        if (n_key >= 2 && memcmp(key, "x-", 2) == 0) continue;
        if (!k) {
            const char *near = table_nearest(keywords, sizeof *keywords, key);
            grammar_fail(&s->b, ERR_UNSUPPORTED, "the keyword '%.60s' is not known%s%s%s", key,
                         near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
            return false;
        }
        if (k->use == REFUSED) {
            schema_refuse(s, key, "this keyword cannot be guaranteed; write the schema without it");
            return false;
        }
    }
    return true;
}

/* Takes one step of a JSON pointer: `part` is decoded. */
static struct json step_into(struct json at, const char *part)
{
    if (json_type(at) == JSON_OBJECT) return json_get(at, part);
    char *end = NULL;
    const unsigned long long i = strtoull(part, &end, 10);
    if (json_type(at) == JSON_ARRAY && end != part && *end == 0 && i < json_len(at))
        return json_at(at, (size_t)i);
    return (struct json){0};
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One letter of a reference: ~0 ~1 and %XX are decoded. */
static char next_letter(const char **p)
{
    const char *s = *p;
    if (s[0] == '~' && (s[1] == '0' || s[1] == '1')) {
        *p += 2;
        return s[1] == '0' ? '~' : '/';
    }
    if (s[0] == '%' && hex_value(s[1]) >= 0 && hex_value(s[2]) >= 0) {
        *p += 3;
        return (char)(hex_value(s[1]) << 4 | hex_value(s[2]));
    }
    ++*p;
    return s[0];
}

/* The schema in whose text `v` lies. */
static int32_t root_of(const struct schema *s, struct json v)
{
    int32_t i = s->n_roots - 1;
    while (i > 0 && json_id(s->root[i]) > json_id(v)) i--;
    return i;
}

static bool resolve(struct schema *s, struct json ref, struct json *out)
{
    const char *text = NULL;
    size_t n = 0;
    if (!json_str(ref, &text, &n)) {
        grammar_fail(&s->b, ERR_FORMAT, "$ref: give a string");
        return false;
    }
    if (text[0] != '#' || (text[1] && text[1] != '/')) {
        grammar_fail(&s->b, ERR_UNSUPPORTED,
                     "$ref: '%.80s' is not in this document; give '#' or '#/...'", text);
        return false;
    }
    struct json at = s->root[root_of(s, ref)];
    char part[256];
    for (const char *p = text + 1; *p == '/';) {
        size_t n_part = 0;
        for (p++; *p && *p != '/' && n_part + 1 < sizeof part;) part[n_part++] = next_letter(&p);
        part[n_part] = 0;
        at = step_into(at, part);
        if (n_part + 1 == sizeof part) at = (struct json){0};
    }
    if (json_type(at) == JSON_NONE) {
        grammar_fail(&s->b, ERR_FORMAT, "$ref: there is no '%.80s'", text);
        return false;
    }
    *out = at;
    return true;
}

static bool add_item(struct schema *s, struct schema_all *all, struct schema_item item)
{
    if (all->n == SCHEMA_MAX_ALL) {
        grammar_fail(&s->b, ERR_LIMIT, "more than %d schemas for one value (allOf, $ref)",
                     SCHEMA_MAX_ALL);
        return false;
    }
    int32_t at = all->n++;
    for (; at > 0 && json_id(all->item[at - 1].v) > json_id(item.v); at--)
        all->item[at] = all->item[at - 1];
    all->item[at] = item;
    return true;
}

static const struct schema_item *find_item(const struct schema_all *all, struct json v)
{
    for (int32_t i = 0; i < all->n; i++)
        if (json_id(all->item[i].v) == json_id(v)) return &all->item[i];
    return NULL;
}

/* The schemas that are being expanded, the innermost first. */
struct path {
    struct json v;
    const struct path *up;
    int depth;
};

static bool gather(struct schema *s, struct schema_all *all, struct json schema,
                   const struct path *up);

static bool gather_all_of(struct schema *s, struct schema_all *all, const struct path *here)
{
    const struct json all_of = json_get(here->v, "allOf");
    struct json_iter it = json_iter(all_of);
    struct json v;
    if (json_type(all_of) != JSON_NONE && json_type(all_of) != JSON_ARRAY) {
        grammar_fail(&s->b, ERR_FORMAT, "allOf: give an array of schemas");
        return false;
    }
    while (json_next(&it, NULL, NULL, &v))
        if (!gather(s, all, v, here)) return false;
    return true;
}

static bool gather(struct schema *s, struct schema_all *all, struct json schema,
                   const struct path *up)
{
    bool truth = true;
    const struct path here = {.v = schema, .up = up, .depth = up ? up->depth + 1 : 0};
    if (json_bool(schema, &truth)) {
        all->is_never |= !truth;
        return true;
    }
    if (json_type(schema) != JSON_OBJECT) {
        grammar_fail(&s->b, ERR_FORMAT, "a schema is an object, true or false");
        return false;
    }
    if (here.depth == SCHEMA_MAX_EXPAND) {
        grammar_fail(&s->b, ERR_LIMIT, "$ref or allOf lead through more than %d schemas",
                     SCHEMA_MAX_EXPAND);
        return false;
    }
    const struct schema_item *same = find_item(all, schema);
    bool is_circle = same && same->skip;
    for (const struct path *p = up; p; p = p->up) is_circle |= json_id(p->v) == json_id(schema);
    if (is_circle) {
        grammar_fail(&s->b, ERR_FORMAT,
                     "$ref: it leads back to the same schema without a value between");
        return false;
    }
    if (same) return true;
    if (!check_keywords(s, schema) || !add_item(s, all, (struct schema_item){.v = schema}))
        return false;
    const struct json ref = json_get(schema, "$ref");
    struct json target;
    if (json_type(ref) != JSON_NONE &&
        (!resolve(s, ref, &target) || !gather(s, all, target, &here)))
        return false;
    return gather_all_of(s, all, &here);
}

bool schema_gather(struct schema *s, struct schema_all *all, struct json schema)
{
    return gather(s, all, schema, NULL);
}

/* ---- lists with rules ---- */

static uint32_t hash_items(const struct schema_item *item, int32_t n)
{
    uint64_t h = 1;
    for (int32_t i = 0; i < n; i++) {
        h = (h ^ (json_id(item[i].v) << 2 | item[i].skip)) * 0x9e3779b97f4a7c15u;
        h ^= h >> 31;
    }
    return (uint32_t)(h ^ h >> 32) % SCHEMA_BUCKETS;
}

static bool same_items(const struct schema_item *a, const struct schema_item *b, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (json_id(a[i].v) != json_id(b[i].v) || a[i].skip != b[i].skip) return false;
    return true;
}

static bool room(struct schema *s, void **list, size_t n, size_t *cap, size_t n_more,
                 size_t elem_bytes)
{
    if (n + n_more <= *cap) return true;
    const size_t new_cap = 2 * *cap + n_more + 64;
    void *more = realloc(*list, new_cap * elem_bytes);
    if (!more) {
        grammar_fail(&s->b, ERR_MEMORY, "no memory for the schema");
        return false;
    }
    *list = more;
    *cap = new_cap;
    return true;
}

/* The call of the list's rule, which is made later if it is new. */
static int32_t call_of(struct schema *s, const struct schema_all *all)
{
    if (grammar_has_failed(&s->b) || all->is_never) return 0;
    if (all->n == 0) return schema_any_value(s);
    int32_t *bucket = &s->bucket[hash_items(all->item, all->n)];
    for (int32_t i = *bucket; i >= 0; i = s->value[i].next)
        if (s->value[i].n == all->n && same_items(s->item + s->value[i].begin, all->item, all->n))
            return node_call(&s->b, s->value[i].rule);
    if (s->n_values == SCHEMA_MAX_VALUES)
        return grammar_fail(&s->b, ERR_LIMIT,
                            "more than %d different values (anyOf within anyOf multiplies); make "
                            "the schema smaller",
                            SCHEMA_MAX_VALUES);
    void *list = s->item;
    bool ok = room(s, &list, s->n_items, &s->cap_items, (size_t)all->n, sizeof *s->item);
    s->item = list;
    list = s->value;
    ok = ok && room(s, &list, s->n_values, &s->cap_values, 1, sizeof *s->value);
    s->value = list;
    if (!ok) return 0;
    memcpy(s->item + s->n_items, all->item, (size_t)all->n * sizeof *all->item);
    const struct schema_value v = {.begin = (int32_t)s->n_items,
                                   .n = all->n,
                                   .rule = rule_new(&s->b, "a value", 7, 0),
                                   .next = *bucket};
    s->n_items += (size_t)all->n;
    *bucket = (int32_t)s->n_values;
    s->value[s->n_values++] = v;
    return node_call(&s->b, v.rule);
}

int32_t schema_value(struct schema *s, const struct json *schemas, int32_t n)
{
    struct schema_all all = {.n = 0};
    for (int32_t i = 0; i < n; i++)
        if (!schema_gather(s, &all, schemas[i])) return 0;
    return call_of(s, &all);
}

/* The same for a list and one schema more. */
static int32_t value_of_option(struct schema *s, const struct schema_all *all, struct json more)
{
    struct schema_all wider = *all;
    return schema_gather(s, &wider, more) ? call_of(s, &wider) : 0;
}

/* ---- types ---- */

static unsigned types_named(struct schema *s, struct json v)
{
    const char *name = NULL;
    size_t n = 0;
    unsigned bits = 0;
    if (json_type(v) == JSON_ARRAY) {
        struct json_iter it = json_iter(v);
        struct json one;
        while (json_next(&it, NULL, NULL, &one))
            if (json_type(one) == JSON_STRING) bits |= types_named(s, one);
        return bits;
    }
    if (json_str(v, &name, &n))
        for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
            if (strcmp(type_names[i].name, name) == 0) return type_names[i].bits;
    grammar_fail(&s->b, ERR_FORMAT,
                 "type: '%.40s' is none; give null, boolean, integer, number, string, array or "
                 "object",
                 name ? name : "this");
    return 0;
}

/* The types of a schema's given values. */
static unsigned types_given(struct json schema)
{
    const struct json list = json_get(schema, "enum"), one = json_get(schema, "const");
    unsigned bits = json_type(list) == JSON_NONE ? TYPE_ANY : 0;
    struct json_iter it = json_iter(list);
    struct json v;
    while (json_next(&it, NULL, NULL, &v)) bits |= json_type_bit(v);
    return json_type(one) == JSON_NONE ? bits : bits & json_type_bit(one);
}

unsigned schema_types(struct schema *s, const struct schema_all *all, bool infers)
{
    unsigned types = TYPE_ANY, spoken = 0;
    bool has_type = schema_has(all, "enum") || schema_has(all, "const");
    for (int32_t i = 0; i < all->n; i++) {
        const struct json v = all->item[i].v, type = json_get(v, "type");
        bool is_nullable = false;
        types &= types_given(v);
        if (json_type(type) != JSON_NONE) {
            has_type = true;
            json_bool(json_get(v, "nullable"), &is_nullable);
            types &= types_named(s, type) | (is_nullable ? TYPE_NULL : 0u);
        }
        for (const struct keyword *k = keywords; k->name; k++)
            if (k->type && json_type(json_get(v, k->name)) != JSON_NONE) spoken |= k->type;
    }
    return has_type || !infers || !spoken ? types : spoken;
}

/* ---- a value ---- */

static int32_t choose(struct schema *s, const struct schema_all *all, int32_t i, bool is_one)
{
    const char *name = is_one ? "oneOf" : "anyOf";
    const struct json options = json_get(all->item[i].v, name);
    struct schema_all rest = *all;
    struct node_list ways = {0};
    struct json_iter it = json_iter(options);
    struct json v;
    if (json_type(options) != JSON_ARRAY || json_len(options) == 0)
        return grammar_fail(&s->b, ERR_FORMAT, "%s: give an array of schemas", name);
    if (is_one && json_len(options) > MAX_ONE_OF)
        return grammar_fail(&s->b, ERR_LIMIT, "oneOf: more than %d schemas; use anyOf", MAX_ONE_OF);
    rest.item[i].skip |= is_one ? SKIP_ONE_OF : SKIP_ANY_OF;
    for (size_t k = 0; json_next(&it, NULL, NULL, &v) && !grammar_has_failed(&s->b); k++) {
        struct json_iter others = json_iter(options);
        struct json other;
        for (size_t j = 0; is_one && j < k && json_next(&others, NULL, NULL, &other); j++)
            if (!schema_is_disjoint(s, other, v)) {
                grammar_fail(&s->b, ERR_UNSUPPORTED,
                             "oneOf: a value may fit options %zu and %zu at once, which cannot be "
                             "ruled out; use anyOf",
                             j, k);
                break;
            }
        node_list_push(&s->b, &ways, value_of_option(s, &rest, v));
    }
    const int32_t node = node_alt(&s->b, ways.v, ways.n);
    node_list_release(&ways);
    return node;
}

static int32_t make_value(struct schema *s, const struct schema_all *all)
{
    for (int32_t i = 0; i < all->n; i++) {
        const struct schema_item *x = &all->item[i];
        if (!(x->skip & SKIP_ANY_OF) && json_type(json_get(x->v, "anyOf")) != JSON_NONE)
            return choose(s, all, i, false);
        if (!(x->skip & SKIP_ONE_OF) && json_type(json_get(x->v, "oneOf")) != JSON_NONE)
            return choose(s, all, i, true);
    }
    unsigned types = schema_types(s, all, true);
    if (schema_has(all, "enum") || schema_has(all, "const")) return schema_enum(s, all, types);
    int32_t way[7];
    size_t n = 0;
    if (types & TYPE_NUMBER) types &= ~(unsigned)TYPE_INTEGER;
    if (types & TYPE_NULL) way[n++] = node_text(&s->b, "null");
    if (types & TYPE_BOOLEAN) way[n++] = schema_any_of_type(s, TYPE_BOOLEAN);
    if (types & TYPE_INTEGER) way[n++] = schema_number(s, all, true);
    if (types & TYPE_NUMBER) way[n++] = schema_number(s, all, false);
    if (types & TYPE_STRING) way[n++] = schema_string(s, all);
    if (types & TYPE_ARRAY) way[n++] = schema_array(s, all);
    if (types & TYPE_OBJECT) way[n++] = schema_object(s, all);
    return node_alt(&s->b, way, n);
}

static void read_schemas(struct schema *s, schema_answer *answer, const void *user)
{
    const int32_t root = rule_new(&s->b, "the schema", 10, 0);
    rule_define(&s->b, root, answer(s, user));
    for (size_t i = 0; i < s->n_values && !grammar_has_failed(&s->b); i++) {
        struct schema_all all = {.n = s->value[i].n};
        memcpy(all.item, s->item + s->value[i].begin, (size_t)all.n * sizeof *all.item);
        if (all.n) s->i_root = root_of(s, all.item[0].v);
        const int32_t node = make_value(s, &all);
        rule_define(&s->b, s->value[i].rule, node);
    }
}

struct grammar *schema_grammar(const struct json *root, const char *const *root_name,
                               int32_t n_roots, enum schema_space space, schema_answer *answer,
                               const void *user, const char *name, struct err *err)
{
    struct schema *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(err, ERR_MEMORY, "%s: no memory for the schema", name);
        return NULL;
    }
    grammar_build_init(&s->b);
    s->root = root;
    s->n_roots = n_roots;
    s->space = space;
    for (size_t i = 0; i < SCHEMA_BUCKETS; i++) s->bucket[i] = -1;
    s->gap = s->any = s->any_string = s->any_object = s->any_array = s->any_number =
        s->any_integer = -1;
    read_schemas(s, answer, user);
    if (grammar_has_failed(&s->b) && s->i_root >= 0) name = root_name[s->i_root];
    struct grammar *g = grammar_compile(&s->b, name, err);
    grammar_build_release(&s->b);
    free(s->item);
    free(s->value);
    free(s);
    return g;
}

static int32_t the_value(struct schema *s, const void *user) { return schema_value(s, user, 1); }

struct grammar *grammar_from_schema(const char *text, size_t n, enum schema_space space,
                                    const char *name, struct err *err)
{
    struct json_doc *doc = json_parse(text, n, GRAMMAR_MAX_TEXT_BYTES, name, err);
    if (!doc) return NULL;
    const struct json root = json_root(doc);
    struct grammar *g = schema_grammar(&root, &name, 1, space, the_value, &root, name, err);
    json_free(doc);
    return g;
}
