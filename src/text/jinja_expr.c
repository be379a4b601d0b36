/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_expr.c - expressions, by descent, with jinja2's precedence:
 *
 *     cond     x if y else z             sum     + -
 *     or       or                        concat  ~
 *     and      and                       term    * / // %
 *     not      not                       power   **   (to the left, as jinja2 has it)
 *     compare  == != < <= > >= in        unary   - +
 *                                        postfix .name [item] (call) | filter, is test
 *
 * A minus binds tighter than a power and looser than a call, and filters bind tighter than both
 * but for a minus in front. Depth is counted where the grammar recurses (jinja_parse_expr and
 * unary). Begin reading at jinja_parse_expr().
 */
#include <errno.h>
#include <stdlib.h>

#include "text/jinja_parts.h"

static bool at_op(const struct jinja_parser *p, const char *s) { return jinja_at(p, JT_OP, s); }
static bool skip_op(struct jinja_parser *p, const char *s) { return jinja_skip(p, JT_OP, s); }
static bool at_word(const struct jinja_parser *p, const char *s) { return jinja_at(p, JT_NAME, s); }
static bool skip_word(struct jinja_parser *p, const char *s) { return jinja_skip(p, JT_NAME, s); }

static struct jinja_node *two(struct jinja_parser *p, enum jinja_kind kind, struct jinja_node *a,
                              struct jinja_node *b)
{
    struct jinja_node *n = a && b ? jinja_node(p, kind) : NULL;
    if (!n) return NULL;
    n->line = a->line;
    n->a = a;
    n->b = b;
    return n;
}

static struct jinja_node *one(struct jinja_parser *p, enum jinja_kind kind, struct jinja_node *a)
{
    struct jinja_node *n = two(p, kind, a, a);
    if (n) n->b = NULL;
    return n;
}

/* ---- literals ---- */

static struct jinja_node *parse_int(struct jinja_parser *p)
{
    const struct jinja_token *t = p->at;
    int base = 10;
    size_t i = 0;
    if (t->n > 2 && t->s[0] == '0' && t->s[1] > '9') {
        base = (t->s[1] | 32) == 'x' ? 16 : (t->s[1] | 32) == 'o' ? 8 : 2;
        i = 2;
    }
    int64_t v = 0;
    for (; i < t->n; i++) {
        const char c = t->s[i];
        if (c == '_') continue;
        const int d = c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
        if (d >= base) return jinja_syntax(p, "the number %.*s has a wrong digit", (int)t->n, t->s);
        if (!i64_mul(v, base, &v) || !i64_add(v, d, &v))
            return jinja_syntax(p, "the number %.20s... is over 2^63", t->s);
    }
    struct jinja_node *n = jinja_node(p, JN_CONST);
    if (!n) return NULL;
    n->value = jinja_int(v);
    p->at++;
    return n;
}

static struct jinja_node *parse_float(struct jinja_parser *p)
{
    char text[64];
    size_t n_text = 0;
    for (size_t i = 0; i < p->at->n; i++) {
        if (p->at->s[i] == '_') continue;
        if (n_text == sizeof text - 1) return jinja_syntax(p, "a number has over 63 digits");
        text[n_text++] = p->at->s[i];
    }
    text[n_text] = 0;
    struct jinja_node *n = jinja_node(p, JN_CONST);
    if (!n) return NULL;
    n->value = jinja_float(strtod(text, NULL));
    p->at++;
    return n;
}

/* Texts that stand side by side are one. */
static struct jinja_node *parse_string(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_CONST);
    if (!n) return NULL;
    size_t n_text = 0;
    const struct jinja_token *t = p->at;
    for (; t->kind == JT_STRING; t++) n_text += t->n;
    n->value = jinja_string(p->at->s, n_text, true);
    if (t - p->at > 1) {
        char *s = arena_array(p->arena, n_text, 1, p->err);
        if (!s) return NULL;
        size_t at = 0;
        for (const struct jinja_token *u = p->at; u < t; at += u->n, u++)
            if (u->n) memcpy(s + at, u->s, u->n);
        n->value.u.str.s = s;
    }
    p->at = t;
    return n;
}

/* Elements up to `close`, a comma behind the last allowed. */
static bool parse_elements(struct jinja_parser *p, const char *close, bool is_dict,
                           struct jinja_node **list)
{
    struct jinja_node **tail = list;
    while (!skip_op(p, close)) {
        if (tail != list && !jinja_expect(p, JT_OP, ",")) return false;
        if (skip_op(p, close)) break;
        struct jinja_node *e = jinja_parse_expr(p, true);
        if (!e) return false;
        *tail = e;
        tail = &e->next;
        if (!is_dict) continue;
        if (!jinja_expect(p, JT_OP, ":")) return false;
        struct jinja_node *v = jinja_parse_expr(p, true);
        if (!v) return false;
        *tail = v;
        tail = &v->next;
    }
    return true;
}

static struct jinja_node *parse_word(struct jinja_parser *p)
{
    static const struct {
        const char *word;
        enum jinja_type type;
        bool b;
    } words[] = {{"true", JV_BOOL, true},   {"True", JV_BOOL, true},  {"false", JV_BOOL, false},
                 {"False", JV_BOOL, false}, {"none", JV_NONE, false}, {"None", JV_NONE, false}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!at_word(p, words[i].word)) continue;
        struct jinja_node *n = jinja_node(p, JN_CONST);
        if (!n) return NULL;
        n->value = words[i].type == JV_BOOL ? jinja_bool(words[i].b) : jinja_none();
        p->at++;
        return n;
    }
    struct jinja_node *n = jinja_node(p, JN_NAME);
    if (!n || !(n->name = jinja_name(p, p->at))) return NULL;
    p->has_varargs |= strcmp(n->name, "varargs") == 0;
    p->has_kwargs |= strcmp(n->name, "kwargs") == 0;
    p->at++;
    return n;
}

static struct jinja_node *parse_primary(struct jinja_parser *p)
{
    struct jinja_node *n = NULL;
    switch (p->at->kind) {
    case JT_NAME:
        return parse_word(p);
    case JT_STRING:
        return parse_string(p);
    case JT_INT:
        return parse_int(p);
    case JT_FLOAT:
        return parse_float(p);
    default:
        break;
    }
    if (skip_op(p, "(")) {
        if (skip_op(p, ")")) return jinja_node(p, JN_TUPLE);
        n = jinja_parse_tuple(p, true);
        return n && jinja_expect(p, JT_OP, ")") ? n : NULL;
    }
    const bool is_dict = at_op(p, "{");
    if (skip_op(p, "[") || skip_op(p, "{")) {
        n = jinja_node(p, is_dict ? JN_DICT : JN_LIST);
        return n && parse_elements(p, is_dict ? "}" : "]", is_dict, &n->a) ? n : NULL;
    }
    char name[64];
    jinja_token_name(p->at, name);
    return jinja_syntax(p, "%s stands where a value is expected", name);
}

/* ---- what follows a value ---- */

/* Behind "(": arguments, those with names last. */
static bool parse_args(struct jinja_parser *p, struct jinja_node **list)
{
    struct jinja_node **tail = list;
    bool has_named = false;
    while (!skip_op(p, ")")) {
        if (tail != list && !jinja_expect(p, JT_OP, ",")) return false;
        if (skip_op(p, ")")) break;
        const char *name = NULL;
        if (p->at->kind == JT_NAME && p->at[1].kind == JT_OP && strcmp(p->at[1].s, "=") == 0) {
            if (!(name = jinja_name(p, p->at))) return false;
            p->at += 2;
            has_named = true;
        } else if (has_named) {
            return jinja_syntax(p, "an argument without a name follows one with a name") != NULL;
        }
        struct jinja_node *e = jinja_parse_expr(p, true);
        /* wrapped: the expression's own `name` and `next` are in use */
        struct jinja_node *arg = e ? one(p, JN_ARG, e) : NULL;
        if (!arg) return false;
        arg->name = name;
        *tail = arg;
        tail = &arg->next;
    }
    return true;
}

static struct jinja_node *parse_slice(struct jinja_parser *p, struct jinja_node *of)
{
    struct jinja_node *part[3] = {NULL, NULL, NULL};
    size_t n_colons = 0;
    for (;;) {
        if (!at_op(p, ":") && !at_op(p, "]") && !(part[n_colons] = jinja_parse_expr(p, true)))
            return NULL;
        if (n_colons == 2 || !skip_op(p, ":")) break;
        n_colons++;
    }
    if (!jinja_expect(p, JT_OP, "]")) return NULL;
    if (n_colons == 0) {
        if (!part[0]) return jinja_syntax(p, "an index is missing between [ and ]");
        return two(p, JN_ITEM, of, part[0]);
    }
    struct jinja_node *n = one(p, JN_SLICE, of);
    if (!n) return NULL;
    n->b = part[0];
    n->c = part[1];
    n->d = part[2];
    return n;
}

static struct jinja_node *parse_attr(struct jinja_parser *p, struct jinja_node *of)
{
    if (p->at->kind == JT_INT) return two(p, JN_ITEM, of, parse_int(p));
    if (p->at->kind != JT_NAME) return jinja_syntax(p, "a name is missing behind a dot");
    struct jinja_node *n = one(p, JN_ATTR, of);
    if (!n || !(n->name = jinja_name(p, p->at))) return NULL;
    p->at++;
    return n;
}

static struct jinja_node *parse_call(struct jinja_parser *p, struct jinja_node *of)
{
    struct jinja_node *n = one(p, JN_CALL, of);
    return n && parse_args(p, &n->b) ? n : NULL;
}

static struct jinja_node *parse_postfix(struct jinja_parser *p, struct jinja_node *n)
{
    while (n) {
        if (skip_op(p, "."))
            n = parse_attr(p, n);
        else if (skip_op(p, "["))
            n = parse_slice(p, n);
        else if (skip_op(p, "("))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *node,
                                       bool begins_inline)
{
    while (begins_inline || skip_op(p, "|")) {
        begins_inline = false;
        if (p->at->kind != JT_NAME) return jinja_syntax(p, "the name of a filter is missing");
        struct jinja_node *n = jinja_node(p, JN_FILTER);
        if (!n || !(n->name = jinja_name(p, p->at))) return NULL;
        p->at++;
        n->a = node;
        if (skip_op(p, "(") && !parse_args(p, &n->b)) return NULL;
        node = n;
    }
    return node;
}

/* A value that may follow a test's name without parentheses. */
static bool is_test_argument(const struct jinja_parser *p)
{
    const enum jinja_token_kind k = p->at->kind;
    if (k == JT_NAME)
        return !at_word(p, "else") && !at_word(p, "or") && !at_word(p, "and") &&
               !at_word(p, "if") && !at_word(p, "is");
    return k == JT_STRING || k == JT_INT || k == JT_FLOAT || at_op(p, "[") || at_op(p, "{");
}

static struct jinja_node *parse_test(struct jinja_parser *p, struct jinja_node *of)
{
    const bool is_negated = skip_word(p, "not");
    if (p->at->kind != JT_NAME) return jinja_syntax(p, "the name of a test is missing behind is");
    struct jinja_node *n = one(p, JN_TEST, of);
    if (!n || !(n->name = jinja_name(p, p->at))) return NULL;
    p->at++;
    if (skip_op(p, "(")) {
        if (!parse_args(p, &n->b)) return NULL;
    } else if (is_test_argument(p)) {
        struct jinja_node *arg = parse_postfix(p, parse_primary(p));
        if (!arg || !(n->b = one(p, JN_ARG, arg))) return NULL;
    }
    return is_negated ? one(p, JN_NOT, n) : n;
}

static struct jinja_node *parse_filters_and_tests(struct jinja_parser *p, struct jinja_node *n)
{
    while (n) {
        if (at_op(p, "|"))
            n = jinja_parse_filters(p, n, false);
        else if (skip_word(p, "is"))
            n = parse_test(p, n);
        else if (skip_op(p, "("))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

/* ---- operators ---- */

static struct jinja_node *parse_unary(struct jinja_parser *p, bool with_filters)
{
    struct jinja_node *n = NULL;
    if (++p->depth > p->max_depth)
        return jinja_syntax(p, "expressions are nested more than %d deep", (int)p->max_depth);
    if (skip_op(p, "-"))
        n = one(p, JN_NEG, parse_unary(p, false));
    else if (skip_op(p, "+"))
        n = one(p, JN_POS, parse_unary(p, false));
    else
        n = parse_primary(p);
    n = parse_postfix(p, n);
    if (with_filters) n = parse_filters_and_tests(p, n);
    p->depth--;
    return n;
}

struct operator_row {
    const char *text;
    enum jinja_op op;
};

static const struct operator_row
    powers[] = {{"**", JO_POW}, {0}},
    terms[] = {{"*", JO_MUL}, {"/", JO_DIV}, {"//", JO_FLOORDIV}, {"%", JO_MOD}, {0}},
    sums[] = {{"+", JO_ADD}, {"-", JO_SUB}, {0}},
    orders[] = {{"==", JO_EQ}, {"!=", JO_NE}, {"<", JO_LT}, {"<=", JO_LE},
                {">", JO_GT},  {">=", JO_GE}, {0}};

static const struct operator_row *find_operator(struct jinja_parser *p,
                                                const struct operator_row *rows)
{
    for (; rows->text; rows++)
        if (skip_op(p, rows->text)) return rows;
    return NULL;
}

static struct jinja_node *binary(struct jinja_parser *p, enum jinja_op op, struct jinja_node *a,
                                 struct jinja_node *b)
{
    struct jinja_node *n = two(p, JN_BINARY, a, b);
    if (n) n->op = op;
    return n;
}

static struct jinja_node *parse_power(struct jinja_parser *p)
{
    struct jinja_node *n = parse_unary(p, true);
    while (n && find_operator(p, powers)) n = binary(p, JO_POW, n, parse_unary(p, true));
    return n;
}

static struct jinja_node *parse_term(struct jinja_parser *p)
{
    struct jinja_node *n = parse_power(p);
    const struct operator_row *r = NULL;
    while (n && (r = find_operator(p, terms))) n = binary(p, r->op, n, parse_power(p));
    return n;
}

static struct jinja_node *parse_concat(struct jinja_parser *p)
{
    struct jinja_node *first = parse_term(p);
    if (!first || !at_op(p, "~")) return first;
    struct jinja_node *n = one(p, JN_CONCAT, first);
    if (!n) return NULL;
    struct jinja_node **tail = &first->next;
    while (skip_op(p, "~")) {
        if (!(*tail = parse_term(p))) return NULL;
        tail = &(*tail)->next;
    }
    return n;
}

static struct jinja_node *parse_sum(struct jinja_parser *p)
{
    struct jinja_node *n = parse_concat(p);
    const struct operator_row *r = NULL;
    while (n && (r = find_operator(p, sums))) n = binary(p, r->op, n, parse_concat(p));
    return n;
}

static bool find_order(struct jinja_parser *p, enum jinja_op *op)
{
    const struct operator_row *r = find_operator(p, orders);
    if (r) {
        *op = r->op;
        return true;
    }
    *op = at_word(p, "not") ? JO_NOT_IN : JO_IN;
    if (*op == JO_NOT_IN) {
        if (p->at[1].kind != JT_NAME || p->at[1].n != 2 || memcmp(p->at[1].s, "in", 2) != 0)
            return false;
        p->at += 2;
        return true;
    }
    return skip_word(p, "in");
}

static struct jinja_node *parse_compare(struct jinja_parser *p)
{
    struct jinja_node *first = parse_sum(p);
    enum jinja_op op = JO_EQ;
    if (!first || !find_order(p, &op)) return first;
    struct jinja_node *n = one(p, JN_COMPARE, first);
    if (!n) return NULL;
    struct jinja_node **tail = &n->b;
    do {
        /* wrapped: a comparison in parentheses has an op of its own */
        struct jinja_node *operand = one(p, JN_ARG, parse_sum(p));
        if (!operand) return NULL;
        operand->op = op;
        *tail = operand;
        tail = &operand->next;
    } while (find_order(p, &op));
    return n;
}

static struct jinja_node *parse_not(struct jinja_parser *p)
{
    bool is_negated = false, is_there = false;
    while (skip_word(p, "not")) {
        is_there = true;
        is_negated = !is_negated;
    }
    struct jinja_node *n = parse_compare(p);
    if (!is_there) return n;
    n = one(p, JN_NOT, n);
    return is_negated ? n : one(p, JN_NOT, n);
}

static struct jinja_node *parse_and(struct jinja_parser *p)
{
    struct jinja_node *n = parse_not(p);
    while (n && skip_word(p, "and")) n = two(p, JN_AND, n, parse_not(p));
    return n;
}

static struct jinja_node *parse_or(struct jinja_parser *p)
{
    struct jinja_node *n = parse_and(p);
    while (n && skip_word(p, "or")) n = two(p, JN_OR, n, parse_and(p));
    return n;
}

struct jinja_node *jinja_parse_expr(struct jinja_parser *p, bool with_cond)
{
    if (++p->depth > p->max_depth)
        return jinja_syntax(p, "expressions are nested more than %d deep", (int)p->max_depth);
    struct jinja_node *n = parse_or(p);
    while (n && with_cond && skip_word(p, "if")) {
        struct jinja_node *when = parse_or(p);
        n = two(p, JN_COND, when, n);
        if (n && skip_word(p, "else") && !(n->c = jinja_parse_expr(p, true))) return NULL;
    }
    p->depth--;
    return n;
}

/* True where no further element of a tuple can stand. */
static bool is_tuple_end(const struct jinja_parser *p)
{
    return p->at->kind == JT_BLOCK_END || p->at->kind == JT_PRINT_END || at_op(p, ")") ||
           at_op(p, "=") || at_word(p, "in");
}

static struct jinja_node *rest_of_tuple(struct jinja_parser *p, struct jinja_node *first,
                                        bool is_target, bool with_cond)
{
    if (!first || !at_op(p, ",")) return first;
    struct jinja_node *n = one(p, JN_TUPLE, first);
    if (!n) return NULL;
    struct jinja_node **tail = &first->next;
    while (skip_op(p, ",") && !is_tuple_end(p)) {
        *tail = is_target ? jinja_parse_target(p, false) : jinja_parse_expr(p, with_cond);
        if (!*tail) return NULL;
        tail = &(*tail)->next;
    }
    return n;
}

struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, bool with_cond)
{
    return rest_of_tuple(p, jinja_parse_expr(p, with_cond), false, with_cond);
}

struct jinja_node *jinja_parse_target(struct jinja_parser *p, bool with_attr)
{
    if (skip_op(p, "(")) {
        if (++p->depth > p->max_depth)
            return jinja_syntax(p, "names are nested more than %d deep", (int)p->max_depth);
        struct jinja_node *first = jinja_parse_target(p, false);
        struct jinja_node *n = rest_of_tuple(p, first, true, false);
        p->depth--;
        return n && jinja_expect(p, JT_OP, ")") ? n : NULL;
    }
    if (p->at->kind != JT_NAME) {
        char name[64];
        jinja_token_name(p->at, name);
        return jinja_syntax(p, "%s stands where a variable's name is expected", name);
    }
    struct jinja_node *n = parse_word(p);
    if (n && n->kind != JN_NAME) return jinja_syntax(p, "a constant cannot be set");
    if (n && with_attr && skip_op(p, ".")) n = parse_attr(p, n);
    return n;
}

struct jinja_node *jinja_parse_targets(struct jinja_parser *p, bool with_attr)
{
    return rest_of_tuple(p, jinja_parse_target(p, with_attr), true, false);
}
