/* jinja_parts.h - what the files of the interpreter share: tokens, the tree, values, the run.
 *
 *   jinja_lex.c -> tokens -> jinja_parse.c, jinja_expr.c -> tree -> jinja_run.c, jinja_eval.c
 *
 * Provenance. A text is bytes and, for each byte, a mark: 1 if the template's author wrote it, 0 if
 * it came from outside (a message, a tool, a date). Joining, cutting, trimming and replacing carry
 * the marks along with the bytes, so at the end each byte of the prompt still knows whether special
 * tokens may be found in it. A text of one origin has no array of marks. Numbers from outside stay
 * outside when they are printed; what is computed (a length, loop.index) is the template's.
 *
 * Everything lives in the template's arena and nothing is freed before its end: values are handed
 * about by copying, and lists and dicts never change once they are in a variable. Private to text/.
 * One thread at a time.
 */
#ifndef CRIA_TEXT_JINJA_PARTS_H
#define CRIA_TEXT_JINJA_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "text/jinja.h"

/* ---- values ---- */

enum jinja_type {
    JV_MISSING, /* an argument that was not given; never in a variable */
    JV_UNDEFINED,
    JV_NONE,
    JV_BOOL,
    JV_INT,
    JV_FLOAT,
    JV_STRING,
    JV_LIST,
    JV_TUPLE,     /* a list that prints with parentheses */
    JV_GENERATOR, /* a list that can be gone through once and no more */
    JV_DICT,
    JV_NAMESPACE, /* a dict whose entries {% set ns.x %} may change */
    JV_FUNC,      /* a function or a bound method */
    JV_MACRO,
    JV_LOOP,
};

struct jinja_text {
    const char *s;
    size_t n;
    const uint8_t *mark; /* of each byte; NULL: all as the value's is_markup */
};

struct jinja_value {
    enum jinja_type type;
    bool is_markup; /* JV_STRING without marks, JV_BOOL, JV_INT, JV_FLOAT: the template's own */
    bool is_safe;   /* JV_STRING: from |safe or |escape; + escapes what it is joined with */
    union {
        bool b;
        int64_t i;
        double f;
        struct jinja_text str;
        struct jinja_list *list;
        struct jinja_dict *dict;
        struct {
            const struct jinja_func *row;
            const struct jinja_value *self; /* of a method */
        } func;
        struct jinja_macro *macro;
        struct jinja_loop *loop;
        const char *name; /* JV_UNDEFINED: what is not there, for the message */
    } u;
};

struct jinja_list {
    struct jinja_value *item;
    size_t n, cap;
};

struct jinja_dict {
    struct jinja_value *key, *value; /* in the order of insertion */
    size_t n, cap;
};

/* ---- the tree ---- */

enum jinja_kind {
    /* expressions */
    JN_CONST,   /* value */
    JN_NAME,    /* name */
    JN_LIST,    /* a: elements */
    JN_TUPLE,   /* a: elements */
    JN_DICT,    /* a: key, value, key, value ... */
    JN_ATTR,    /* a.name */
    JN_ITEM,    /* a[b] */
    JN_SLICE,   /* a[b:c:d], each of b c d may be NULL */
    JN_CALL,    /* a(b), b: JN_ARGs */
    JN_FILTER,  /* a | name(b); a is NULL in {% filter %} and {% set | %} */
    JN_TEST,    /* a is name(b) */
    JN_NEG,     /* -a */
    JN_POS,     /* +a */
    JN_NOT,     /* not a */
    JN_AND,     /* a and b */
    JN_OR,      /* a or b */
    JN_BINARY,  /* a op b */
    JN_COMPARE, /* a, then each of b with its op */
    JN_CONCAT,  /* a ~ ... */
    JN_COND,    /* b if a else c (may be NULL) */
    JN_ARG,     /* a: an argument with its name, or an operand of JN_COMPARE with its op */
    /* statements */
    JN_DATA,       /* value, as it is */
    JN_PRINT,      /* {{ a }} */
    JN_IF,         /* a: branches, each {a: condition or NULL, b: body} */
    JN_FOR,        /* for a in b if c: d else e */
    JN_SET,        /* set a = b */
    JN_SET_BLOCK,  /* set a | c: d endset */
    JN_MACRO,      /* name, a: parameters, d: body */
    JN_CALL_BLOCK, /* b: the call, a: parameters, d: body */
    JN_FILTERED,   /* c: filters, d: body */
    JN_WITH,       /* a: JN_SETs, d: body */
    JN_SCOPE,      /* {% generation %}: d: body */
    JN_BREAK,
    JN_CONTINUE,
};

enum jinja_op {
    JO_ADD,
    JO_SUB,
    JO_MUL,
    JO_DIV,
    JO_FLOORDIV,
    JO_MOD,
    JO_POW,
    JO_EQ,
    JO_NE,
    JO_LT,
    JO_LE,
    JO_GT,
    JO_GE,
    JO_IN,
    JO_NOT_IN,
};

struct jinja_node {
    enum jinja_kind kind;
    enum jinja_op op;
    int32_t line;
    const char *name;
    bool takes_more, takes_named; /* of a macro: its body asks for varargs, kwargs */
    struct jinja_value value;
    struct jinja_node *a, *b, *c, *d, *e;
    struct jinja_node *next; /* in the list that it is an element of */
};

/* ---- tokens (jinja_lex.c) ---- */

enum jinja_token_kind {
    JT_DATA,
    JT_BLOCK_BEGIN,
    JT_BLOCK_END,
    JT_PRINT_BEGIN,
    JT_PRINT_END,
    JT_NAME,
    JT_STRING, /* unescaped */
    JT_INT,
    JT_FLOAT,
    JT_OP,
    JT_END,
};

struct jinja_token {
    enum jinja_token_kind kind;
    int32_t line;
    const char *s;
    size_t n;
};

struct jinja_template {
    const struct jinja_limits *limits;
    struct arena *arena;
    struct jinja_node *body;
};

/* All tokens of the text, a JT_END last. */
struct jinja_token *jinja_lex(const char *text, size_t n, struct arena *a, struct err *err);
/* The token in quotes for a message, cut at 40 bytes. */
void jinja_token_name(const struct jinja_token *t, char out[64]);

/* ---- parsing ---- */

struct jinja_parser {
    const struct jinja_token *at;
    struct arena *arena;
    struct err *err;
    int32_t depth, max_depth;
    int32_t n_loops;              /* around the place, for break and continue */
    bool has_varargs, has_kwargs; /* were named since the macro began */
};

/* Fills the error with the line; returns NULL. */
struct jinja_node *jinja_syntax(struct jinja_parser *p, const char *fmt, ...) CRIA_PRINTF(2, 3);
struct jinja_node *jinja_node(struct jinja_parser *p, enum jinja_kind kind);
const char *jinja_name(struct jinja_parser *p, const struct jinja_token *t);
bool jinja_at(const struct jinja_parser *p, enum jinja_token_kind kind, const char *s);
/* Steps over the token if it is there. */
bool jinja_skip(struct jinja_parser *p, enum jinja_token_kind kind, const char *s);
/* The same, and an error if it is not. */
bool jinja_expect(struct jinja_parser *p, enum jinja_token_kind kind, const char *s) CRIA_CHECK;

/* jinja_expr.c. `with_cond`: x if y else z may stand there without parentheses. */
struct jinja_node *jinja_parse_expr(struct jinja_parser *p, bool with_cond);
/* An expression, or several with commas: a tuple. */
struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, bool with_cond);
/* What is set: a name, names in parentheses, or ns.attribute if `with_attr`; several with commas.
 */
struct jinja_node *jinja_parse_target(struct jinja_parser *p, bool with_attr);
struct jinja_node *jinja_parse_targets(struct jinja_parser *p, bool with_attr);
/* A chain of filters behind `|` (or the first name, if `begins_inline`). */
struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *node,
                                       bool begins_inline);

/* ---- a run ---- */

struct jinja_var {
    const char *name;
    struct jinja_value value;
};

struct jinja_scope {
    struct jinja_scope *parent;
    struct jinja_var *var;
    size_t n, cap;
};

/* A text that grows, with its marks. */
struct jinja_out {
    struct jinja *j;
    char *s;
    uint8_t *mark;
    size_t n, cap;
};

struct jinja_macro {
    const struct jinja_node *node;
    struct jinja_scope *scope; /* where it was defined */
};

struct jinja_loop {
    const struct jinja_list *list;
    size_t i;
    struct jinja_value changed; /* what loop.changed() saw last */
};

struct jinja_named {
    const char *name;
    struct jinja_value value;
};

struct jinja_args {
    size_t n, n_named;
    struct jinja_value *arg;
    struct jinja_named *named;
};

enum jinja_flow { JF_GO, JF_BREAK, JF_CONTINUE };

/* A running program. After a failure `is_failed` is set, `err` is filled and all returns false. */
struct jinja {
    struct arena *arena;
    struct err *err;
    const struct jinja_limits *limits;
    const struct jinja_input *in;
    int64_t steps_left;
    int32_t depth, line;
    bool is_failed;
    enum jinja_flow flow;
    struct jinja_out *out;              /* where {{ }} and data go */
    const struct jinja_value *captured; /* what {% filter %} and {% set | %} begin with */
};

/* "the chat template, line N: ..."; returns false. */
bool jinja_fail(struct jinja *j, enum err_code code, const char *fmt, ...) CRIA_PRINTF(3, 4);
/* Counts work; false at the fence. `n` elements or bytes/64. */
bool jinja_charge(struct jinja *j, size_t n) CRIA_CHECK;
/* Around whatever recurses. */
bool jinja_enter(struct jinja *j) CRIA_CHECK;
void jinja_leave(struct jinja *j);
void *jinja_alloc(struct jinja *j, size_t n, size_t elem_bytes) CRIA_CHECK;

/* ---- values (jinja_value.c) ---- */

struct jinja_value jinja_none(void);
struct jinja_value jinja_bool(bool b);
struct jinja_value jinja_int(int64_t i);
struct jinja_value jinja_float(double f);
struct jinja_value jinja_undefined(const char *name);
/* Keeps s. */
struct jinja_value jinja_string(const char *s, size_t n, bool is_markup);
/* v[begin, end) in bytes, with its marks. */
struct jinja_value jinja_cut(const struct jinja_value *v, size_t begin, size_t end);

/* Appending is sticky as with buf.h: jinja_out_end() says whether all is there. */
void jinja_put(struct jinja_out *o, const char *s, size_t n, bool is_markup);
void jinja_put_text(struct jinja_out *o, const struct jinja_value *v, size_t begin, size_t end);
bool jinja_out_end(struct jinja_out *o, struct jinja_value *out) CRIA_CHECK;

struct jinja_list *jinja_list_new(struct jinja *j, size_t cap);
bool jinja_list_add(struct jinja *j, struct jinja_list *l, struct jinja_value v) CRIA_CHECK;
struct jinja_value jinja_of_list(struct jinja_list *l, enum jinja_type type);
struct jinja_dict *jinja_dict_new(struct jinja *j, size_t cap);
/* Replaces the value of a key that is there. Fails for keys that cannot be hashed. */
bool jinja_dict_set(struct jinja *j, struct jinja_dict *d, struct jinja_value key,
                    struct jinja_value v) CRIA_CHECK;
/* NULL if not there (or failed). */
const struct jinja_value *jinja_dict_get(struct jinja *j, const struct jinja_dict *d,
                                         const struct jinja_value *key);
const struct jinja_value *jinja_dict_find(struct jinja *j, const struct jinja_dict *d,
                                          const char *key);

bool jinja_is_true(const struct jinja_value *v);
bool jinja_is_number(const struct jinja_value *v);
bool jinja_is_list(const struct jinja_value *v);              /* or tuple */
bool jinja_as_int(const struct jinja_value *v, int64_t *out); /* of a bool or int */
double jinja_as_float(const struct jinja_value *v);
bool jinja_text_is(const struct jinja_value *v, const char *s);
const char *jinja_type_name(const struct jinja_value *v);
bool jinja_equal(struct jinja *j, const struct jinja_value *a, const struct jinja_value *b,
                 bool *out) CRIA_CHECK;
/* <0, 0, >0; fails for what Python cannot order. */
bool jinja_order(struct jinja *j, const struct jinja_value *a, const struct jinja_value *b,
                 int *out) CRIA_CHECK;
bool jinja_contains(struct jinja *j, const struct jinja_value *in, const struct jinja_value *what,
                    bool *out) CRIA_CHECK;
/* What a loop runs over: elements, keys, characters. Fails for what cannot be iterated. */
bool jinja_iterate(struct jinja *j, const struct jinja_value *v,
                   struct jinja_list **out) CRIA_CHECK;
bool jinja_length(struct jinja *j, const struct jinja_value *v, size_t *out) CRIA_CHECK;
/* A value of JSON, marked as from outside. */
bool jinja_of_json(struct jinja *j, struct json v, struct jinja_value *out) CRIA_CHECK;

/* ---- printing (jinja_print.c) ---- */

/* Appends str(v); repr(v). */
bool jinja_put_str(struct jinja_out *o, const struct jinja_value *v) CRIA_CHECK;
bool jinja_put_repr(struct jinja_out *o, const struct jinja_value *v) CRIA_CHECK;
bool jinja_str(struct jinja *j, const struct jinja_value *v, struct jinja_value *out) CRIA_CHECK;
struct jinja_json_style {
    bool is_ascii, is_sorted;
    const char *item, *key; /* separators; NULL: Python's own for the indent */
    size_t n_item, n_key;
    struct jinja_value indent; /* JV_NONE: one line; else the text of one level */
};
bool jinja_put_json(struct jinja_out *o, const struct jinja_value *v,
                    const struct jinja_json_style *style) CRIA_CHECK;
/* "..." % args and "...".format(args). */
bool jinja_percent(struct jinja *j, const struct jinja_value *fmt, const struct jinja_value *args,
                   size_t n, struct jinja_value *out) CRIA_CHECK;
bool jinja_format(struct jinja *j, const struct jinja_value *fmt, const struct jinja_args *args,
                  struct jinja_value *out) CRIA_CHECK;

/* ---- texts (jinja_string.c) ---- */

size_t jinja_chars(const struct jinja_value *v); /* code points */
/* The byte where character `i` begins, or n. */
size_t jinja_char_at(const struct jinja_value *v, size_t i);
/* The place of `what` in v at or behind `from`, or SIZE_MAX. */
size_t jinja_find(const struct jinja_value *v, size_t from, const struct jinja_value *what);
enum { JINJA_LEFT = 1, JINJA_RIGHT = 2 };
/* chars: JV_STRING, or anything else for white space. */
struct jinja_value jinja_strip(const struct jinja_value *v, const struct jinja_value *chars,
                               unsigned sides);
enum jinja_case { JC_UPPER, JC_LOWER, JC_CAPITALIZE, JC_TITLE, JC_WORDS };
bool jinja_recase(struct jinja *j, const struct jinja_value *v, enum jinja_case c,
                  struct jinja_value *out) CRIA_CHECK;
/* HTML. */
bool jinja_escape(struct jinja *j, const struct jinja_value *v, struct jinja_value *out) CRIA_CHECK;
/* max < 0: all. */
bool jinja_replace(struct jinja *j, const struct jinja_value *v, const struct jinja_value *from,
                   const struct jinja_value *to, int64_t max, struct jinja_value *out) CRIA_CHECK;
/* sep: JV_STRING, or anything else for white space. */
bool jinja_split(struct jinja *j, const struct jinja_value *v, const struct jinja_value *sep,
                 int64_t max, bool from_right, struct jinja_value *out) CRIA_CHECK;
bool jinja_split_lines(struct jinja *j, const struct jinja_value *v, bool keeps,
                       struct jinja_value *out) CRIA_CHECK;
/* Each as str(). attribute may be NULL. */
bool jinja_join(struct jinja *j, const struct jinja_list *l, const struct jinja_value *sep,
                struct jinja_value *out) CRIA_CHECK;

/* ---- functions, filters, tests, methods: rows of tables ---- */

/* What a row's function gets: the value in front (of a filter, test or method), the arguments by
 * the row's parameters (JV_MISSING where not given), and all of them as they came. */
#define JINJA_MAX_PARAMS 6
struct jinja_call {
    const struct jinja_value *self;
    struct jinja_value arg[JINJA_MAX_PARAMS];
    const struct jinja_args *raw;
};

struct jinja_func {
    const char *name;
    const char *params; /* "a b c"; "*": takes any, looks at raw */
    size_t n_least;     /* how many must be there */
    bool (*run)(struct jinja *j, const struct jinja_call *c, struct jinja_value *out);
};

bool jinja_invoke(struct jinja *j, const struct jinja_func *row, const struct jinja_value *self,
                  const struct jinja_args *args, struct jinja_value *out) CRIA_CHECK;
extern const struct jinja_func jinja_filters[], jinja_tests[], jinja_functions[];
bool jinja_filter(struct jinja *j, const char *name, const struct jinja_value *v,
                  const struct jinja_args *args, struct jinja_value *out) CRIA_CHECK;
bool jinja_test(struct jinja *j, const char *name, const struct jinja_value *v,
                const struct jinja_args *args, bool *out) CRIA_CHECK;
/* The method of a value, or NULL. */
const struct jinja_func *jinja_method(const struct jinja_value *v, const char *name);

/* ---- running (jinja_eval.c, jinja_run.c) ---- */

bool jinja_eval(struct jinja *j, const struct jinja_node *n, struct jinja_scope *s,
                struct jinja_value *out) CRIA_CHECK;
bool jinja_exec(struct jinja *j, const struct jinja_node *list, struct jinja_scope *s) CRIA_CHECK;
bool jinja_args(struct jinja *j, const struct jinja_node *list, struct jinja_scope *s,
                struct jinja_args *out) CRIA_CHECK;
/* v.name: a method before an entry, as jinja2; v["name"]: an entry before a method. */
bool jinja_attr(struct jinja *j, const struct jinja_value *v, const char *name,
                struct jinja_value *out) CRIA_CHECK;
bool jinja_item(struct jinja *j, const struct jinja_value *v, const struct jinja_value *key,
                struct jinja_value *out) CRIA_CHECK;
/* "a.b.0" as map(attribute=...) takes it. */
bool jinja_path(struct jinja *j, const struct jinja_value *v, const struct jinja_value *path,
                struct jinja_value *out) CRIA_CHECK;
/* a op b: jinja_arith.c. */
bool jinja_binary(struct jinja *j, enum jinja_op op, const struct jinja_value *a,
                  const struct jinja_value *b, struct jinja_value *out) CRIA_CHECK;
bool jinja_call_macro(struct jinja *j, struct jinja_macro *m, const struct jinja_args *args,
                      struct jinja_value *out) CRIA_CHECK;
bool jinja_set(struct jinja *j, struct jinja_scope *s, const char *name,
               struct jinja_value v) CRIA_CHECK;

#endif
