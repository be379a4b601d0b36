/* schema_parts.h - what the files that read JSON Schemas share. Private to them.
 *
 * What a value must satisfy is a list of schemas, all at once (struct schema_all): a $ref and allOf
 * add to the list, anyOf makes several lists of it. Each list becomes one rule, known by the
 * schemas in it, so that recursive schemas are recursive rules. Rules wait in a queue and are made
 * one after the other: reading never recurs, however deep schemas refer to each other.
 */
#ifndef CRIA_INFER_SCHEMA_PARTS_H
#define CRIA_INFER_SCHEMA_PARTS_H

#include "base/json.h"
#include "infer/grammar_build.h"

enum {
    SCHEMA_MAX_ALL = 48,       /* schemas that one value must satisfy */
    SCHEMA_MAX_VALUES = 20000, /* different lists */
    SCHEMA_MAX_EXPAND = 64,    /* $ref to $ref, allOf in allOf */
    SCHEMA_BUCKETS = 1024,
};

enum schema_type { /* bits */
                   TYPE_NULL = 1,
                   TYPE_BOOLEAN = 2,
                   TYPE_INTEGER = 4,
                   TYPE_NUMBER = 8, /* other than integers, too */
                   TYPE_STRING = 16,
                   TYPE_ARRAY = 32,
                   TYPE_OBJECT = 64,
                   TYPE_ANY = 127,
};

enum { SKIP_ANY_OF = 1, SKIP_ONE_OF = 2 }; /* already chosen from */

struct schema_item {
    struct json v; /* an object */
    unsigned skip;
};

struct schema_all {
    struct schema_item item[SCHEMA_MAX_ALL]; /* sorted by their place in the text */
    int32_t n;
    bool is_never; /* one of them was `false` */
};

/* A list that has a rule. */
struct schema_value {
    int32_t begin, n; /* in schema.item */
    int32_t rule;
    int32_t next; /* in its bucket, or -1 */
};

struct schema {
    struct grammar_builder b;
    const struct json *root; /* [n_roots] in the order of the text; '#' is the nearest before */
    int32_t n_roots;
    int32_t i_root; /* under way, for messages; -1: none of them */
    enum schema_space space;
    struct schema_item *item;
    size_t n_items, cap_items;
    struct schema_value *value;
    size_t n_values, cap_values;
    int32_t bucket[SCHEMA_BUCKETS];
    int32_t gap; /* rule: white space where a line may end */
    int32_t any; /* rules of any value of a kind; -1: not made */
    int32_t any_string, any_object, any_array, any_number, any_integer;
};

/* grammar_schema.c */
/* A grammar whose answer is what `answer` makes of schemas [n_roots] of one document, which lie one
 * behind the other; it says in s->i_root which it is at. Errors name root_name[i], or `name` if
 * they are of no one schema. Returns owned. */
typedef int32_t schema_answer(struct schema *s, const void *user);
struct grammar *schema_grammar(const struct json *root, const char *const *root_name,
                               int32_t n_roots, enum schema_space space, schema_answer *answer,
                               const void *user, const char *name, struct err *err);
/* The node of a value that satisfies all of schemas [n]. */
int32_t schema_value(struct schema *s, const struct json *schemas, int32_t n);
/* Expands schemas into a list; false when the builder has failed. */
bool schema_gather(struct schema *s, struct schema_all *all, struct json schema);
/* The types that the list leaves. A list without type, enum and const is taken to mean the types of
 * which its keywords speak, if `infers`. */
unsigned schema_types(struct schema *s, const struct schema_all *all, bool infers);
/* A count (minItems ...): the least or greatest that the list names; `fallback` if none does. */
int64_t schema_count(struct schema *s, const struct schema_all *all, const char *keyword,
                     bool is_least, int64_t fallback);
/* True if an item has the keyword. */
bool schema_has(const struct schema_all *all, const char *keyword);
int32_t schema_refuse(struct schema *s, const char *keyword, const char *why);

/* schema_space.c: what stands between tokens, and any value. */
int32_t space_gap(struct schema *s);   /* behind { [ and in front of ] } */
int32_t space_comma(struct schema *s); /* a comma and what follows it */
int32_t space_colon(struct schema *s); /* a colon and what follows it */
int32_t schema_any_value(struct schema *s);
int32_t schema_any_of_type(struct schema *s, unsigned type);
int32_t schema_string_char(struct schema *s); /* one character, however spelled */
/* A JSON value as it stands, e.g. of an enum. */
int32_t schema_literal(struct schema *s, struct json v);
int32_t schema_string_literal(struct schema *s, const char *text, size_t n);
/* {members}, and [elements]; `inner` may be empty. */
int32_t schema_brackets(struct schema *s, const char *open, int32_t inner, bool may_be_empty,
                        const char *close);

/* schema_object.c, schema_string.c, schema_number.c: nodes of a list's values of one type. */
int32_t schema_object(struct schema *s, const struct schema_all *all);
int32_t schema_array(struct schema *s, const struct schema_all *all);
int32_t schema_string(struct schema *s, const struct schema_all *all);
int32_t schema_number(struct schema *s, const struct schema_all *all, bool is_integer);

/* schema_choice.c */
/* The node of the list's enum and const values that also have one of the types. */
int32_t schema_enum(struct schema *s, const struct schema_all *all, unsigned types);
/* True if no value can satisfy both (may be false though none can). */
bool schema_is_disjoint(struct schema *s, struct json a, struct json b);
bool json_equal(struct json a, struct json b);
unsigned json_type_bit(struct json v);

#endif
