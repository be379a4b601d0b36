/* grammar_build.h - the form that every grammar takes on its way: expressions over bytes, made node
 * by node and compiled at the end. Private to the readers of grammars.
 *
 * Adding is sticky: after the first failure (a limit, no memory, or grammar_fail()) every function
 * gives a node that matches nothing, and grammar_compile() tells why. So a reader is straight-line
 * code with one check. Nodes are small numbers; a node may be used in several places. Readers bound
 * their own nesting (GRAMMAR_MAX_DEPTH), on which the compiler recurs.
 *
 * One thread at a time.
 */
#ifndef CRIA_INFER_GRAMMAR_BUILD_H
#define CRIA_INFER_GRAMMAR_BUILD_H

#include "base/err.h"
#include "infer/charset.h"
#include "infer/grammar.h"

/* Bounds of what one grammar may cost: about 60 MB and a second at the very worst. */
enum {
    GRAMMAR_MAX_DEPTH = 64,       /* brackets within brackets, schemas within schemas */
    GRAMMAR_MAX_NODES = 1 << 19,  /* expressions */
    GRAMMAR_MAX_NFA = 1 << 18,    /* states of one rule before it is made deterministic */
    GRAMMAR_MAX_STATES = 1 << 18, /* states of all rules */
    GRAMMAR_MAX_EDGES = 1 << 20,  /* edges of all rules */
    GRAMMAR_MAX_WORK = 60000000,  /* steps of making them deterministic */
    GRAMMAR_MAX_REPEAT = 100000,  /* {m,n} */
    RULE_BUCKETS = 4096,
};

enum grammar_kind {
    NODE_NEVER,   /* no text */
    NODE_EMPTY,   /* the empty text */
    NODE_LITERAL, /* a = where in text, b = bytes */
    NODE_CLASS,   /* one character: a = first of utf8, b = how many */
    NODE_SEQ,     /* a = first of kid, b = how many */
    NODE_ALT,     /* the same */
    NODE_REPEAT,  /* a = node, b = least, c = most or -1 */
    NODE_CALL,    /* a = rule */
};

struct grammar_node {
    enum grammar_kind kind;
    int32_t a, b, c;
};

struct grammar_rule {
    int32_t name, n_name; /* in text */
    int32_t node;         /* -1: not defined yet */
    int32_t line;         /* where it was first named, or 0 */
    int32_t next;         /* in its bucket, or -1 */
};

struct grammar_builder {
    struct err err; /* code ERR_OK: all is well */
    struct grammar_node *node;
    int32_t *kid;
    struct utf8_range *utf8;
    char *text;
    struct grammar_rule *rule;
    size_t n_nodes, cap_nodes, n_kids, cap_kids, n_utf8, cap_utf8, n_text, cap_text, n_rules,
        cap_rules;
    int32_t bucket[RULE_BUCKETS]; /* rules by the hash of their names, or -1 */
};

void grammar_build_init(struct grammar_builder *b);
void grammar_build_release(struct grammar_builder *b);

int32_t node_never(struct grammar_builder *b);
int32_t node_empty(struct grammar_builder *b);
int32_t node_literal(struct grammar_builder *b, const void *bytes, size_t n);
int32_t node_text(struct grammar_builder *b, const char *s); /* the same of a C string */
int32_t node_seq(struct grammar_builder *b, const int32_t *item, size_t n);
int32_t node_alt(struct grammar_builder *b, const int32_t *item, size_t n);
/* At least `min` times, at most `max` (-1: no bound). */
int32_t node_repeat(struct grammar_builder *b, int32_t node, int64_t min, int64_t max);
int32_t node_optional(struct grammar_builder *b, int32_t node);
int32_t node_call(struct grammar_builder *b, int32_t rule);
/* One character of the set, in UTF-8. */
int32_t node_class(struct grammar_builder *b, const struct charset *set);
/* One character of the set as it stands inside a JSON string: itself, or its short escape, or for
 * other control characters \u00XX. Each character has one spelling. */
int32_t node_json_class(struct grammar_builder *b, const struct charset *set);

/* Nodes that a reader gathers. */
struct node_list {
    int32_t *v;
    size_t n, cap;
};
/* False when the builder has failed, or now fails. */
bool node_list_push(struct grammar_builder *b, struct node_list *l, int32_t node);
void node_list_release(struct node_list *l);

/* A new rule; the first one of all is where the answer begins. `name` is for messages. */
int32_t rule_new(struct grammar_builder *b, const char *name, size_t n_name, int32_t line);
int32_t rule_find(struct grammar_builder *b, const char *name, size_t n_name); /* or -1 */
void rule_define(struct grammar_builder *b, int32_t rule, int32_t node);

/* Fills b->err if it is empty; returns a node that matches nothing. */
int32_t grammar_fail(struct grammar_builder *b, enum err_code code, const char *fmt, ...)
    CRIA_PRINTF(3, 4);
bool grammar_has_failed(const struct grammar_builder *b);

/* Returns owned; `name` is put in front of messages. The builder may be released after. */
struct grammar *grammar_compile(const struct grammar_builder *b, const char *name, struct err *err);

#endif
