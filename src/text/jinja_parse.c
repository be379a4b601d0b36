/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_parse.c - tokens to a tree: the statements.
 *
 * A statement is a row: the word it begins with and the function that reads the rest. Blocks nest
 * by recursion, counted together with the nesting of expressions. The tree, the names and the texts
 * live in the template's arena. What published chat templates do not use is refused by name:
 * inheritance, imports, and {% do %}.
 *
 * Begin reading at jinja_parse().
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "text/jinja_parts.h"

const struct jinja_limits jinja_default_limits = {
    .max_template_bytes = (size_t)1 << 20,
    .max_output_bytes = (size_t)16 << 20,
    .max_steps = 4000000, /* 71 published templates, 27 prompts each: under 6,000 */
    .max_depth = 300,     /* the same: under 50 */
};

/* ---- what both files of the parser use ---- */

struct jinja_node *jinja_syntax(struct jinja_parser *p, const char *fmt, ...)
{
    char text[300];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err_set(p->err, ERR_FORMAT, "the chat template, line %d: %s", (int)p->at->line, text);
    return NULL;
}

struct jinja_node *jinja_node(struct jinja_parser *p, enum jinja_kind kind)
{
    struct jinja_node *n = arena_array(p->arena, 1, sizeof *n, p->err);
    if (!n) return NULL;
    n->kind = kind;
    n->line = p->at->line;
    return n;
}

const char *jinja_name(struct jinja_parser *p, const struct jinja_token *t)
{
    return arena_copy(p->arena, t->s, t->n, p->err);
}

bool jinja_at(const struct jinja_parser *p, enum jinja_token_kind kind, const char *s)
{
    const size_t n = strlen(s);
    return p->at->kind == kind && p->at->n == n && memcmp(p->at->s, s, n) == 0;
}

bool jinja_skip(struct jinja_parser *p, enum jinja_token_kind kind, const char *s)
{
    if (!jinja_at(p, kind, s)) return false;
    p->at++;
    return true;
}

bool jinja_expect(struct jinja_parser *p, enum jinja_token_kind kind, const char *s)
{
    if (jinja_skip(p, kind, s)) return true;
    char name[64];
    jinja_token_name(p->at, name);
    return jinja_syntax(p, "%s stands where \"%s\" is expected", name, s) != NULL;
}

/* ---- blocks ---- */

static bool word(struct jinja_parser *p, const char *s) { return jinja_skip(p, JT_NAME, s); }

static bool end_tag(struct jinja_parser *p) { return jinja_expect(p, JT_BLOCK_END, "%}"); }

/* Statements up to a tag that begins with one of `ends` (NULL-terminated), which is not read;
 * without ends up to the end of the template. */
static bool parse_block(struct jinja_parser *p, const char *const *ends, struct jinja_node **list);

/* A block and its end, the tag's word and border read. */
static bool parse_body(struct jinja_parser *p, const char *end, struct jinja_node **list)
{
    const char *const ends[] = {end, NULL};
    return parse_block(p, ends, list) && jinja_expect(p, JT_NAME, end) && end_tag(p);
}

static struct jinja_node *parse_if(struct jinja_parser *p, struct jinja_node *n)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct jinja_node **tail = &n->a;
    bool is_else = false;
    for (;;) {
        struct jinja_node *branch = jinja_node(p, JN_IF);
        if (!branch || (!is_else && !(branch->a = jinja_parse_tuple(p, false))) || !end_tag(p) ||
            !parse_block(p, ends, &branch->b))
            return NULL;
        *tail = branch;
        tail = &branch->next;
        if (word(p, "endif")) return end_tag(p) ? n : NULL;
        if (is_else) return jinja_syntax(p, "else is not the last branch of this if");
        is_else = word(p, "else");
        if (!is_else && !jinja_expect(p, JT_NAME, "elif")) return NULL;
    }
}

static struct jinja_node *parse_for(struct jinja_parser *p, struct jinja_node *n)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    if (!(n->a = jinja_parse_targets(p, false)) || !jinja_expect(p, JT_NAME, "in") ||
        !(n->b = jinja_parse_tuple(p, false)))
        return NULL;
    if (word(p, "if") && !(n->c = jinja_parse_expr(p, true))) return NULL;
    if (jinja_at(p, JT_NAME, "recursive"))
        return jinja_syntax(p, "recursive loops are not known here; use a macro");
    if (!end_tag(p)) return NULL;
    p->n_loops++;
    const bool ok = parse_block(p, ends, &n->d);
    p->n_loops--;
    if (!ok) return NULL;
    if (word(p, "endfor")) return end_tag(p) ? n : NULL;
    p->at++; /* else */
    return end_tag(p) && parse_body(p, "endfor", &n->e) ? n : NULL;
}

static struct jinja_node *parse_set(struct jinja_parser *p, struct jinja_node *n)
{
    if (!(n->a = jinja_parse_targets(p, true))) return NULL;
    if (jinja_skip(p, JT_OP, "="))
        return (n->b = jinja_parse_tuple(p, true)) && end_tag(p) ? n : NULL;
    n->kind = JN_SET_BLOCK;
    if (jinja_at(p, JT_OP, "|") && !(n->c = jinja_parse_filters(p, NULL, false))) return NULL;
    return end_tag(p) && parse_body(p, "endset", &n->d) ? n : NULL;
}

/* Parameters in parentheses: JN_ARGs with a name, a: the default or NULL. */
static bool parse_params(struct jinja_parser *p, struct jinja_node **list)
{
    struct jinja_node **tail = list;
    if (!jinja_expect(p, JT_OP, "(")) return false;
    while (!jinja_skip(p, JT_OP, ")")) {
        if (tail != list && !jinja_expect(p, JT_OP, ",")) return false;
        struct jinja_node *target = jinja_parse_target(p, false);
        struct jinja_node *param = target ? jinja_node(p, JN_ARG) : NULL;
        if (!param) return false;
        if (target->kind != JN_NAME) return jinja_syntax(p, "a parameter is one name") != NULL;
        param->name = target->name;
        if (jinja_skip(p, JT_OP, "=") && !(param->a = jinja_parse_expr(p, true))) return false;
        *tail = param;
        tail = &param->next;
    }
    return true;
}

/* The body of a macro: break and continue do not reach a loop around it. */
static bool parse_macro_body(struct jinja_parser *p, const char *end, struct jinja_node *n)
{
    const struct jinja_parser outer = *p;
    p->n_loops = 0;
    p->has_varargs = p->has_kwargs = false;
    if (!parse_body(p, end, &n->d)) return false;
    n->takes_more = p->has_varargs;
    n->takes_named = p->has_kwargs;
    p->n_loops = outer.n_loops;
    p->has_varargs |= outer.has_varargs;
    p->has_kwargs |= outer.has_kwargs;
    return true;
}

static struct jinja_node *parse_macro(struct jinja_parser *p, struct jinja_node *n)
{
    if (p->at->kind != JT_NAME) return jinja_syntax(p, "the name of the macro is missing");
    if (!(n->name = jinja_name(p, p->at))) return NULL;
    p->at++;
    return parse_params(p, &n->a) && end_tag(p) && parse_macro_body(p, "endmacro", n) ? n : NULL;
}

static struct jinja_node *parse_call_block(struct jinja_parser *p, struct jinja_node *n)
{
    if (jinja_at(p, JT_OP, "(") && !parse_params(p, &n->a)) return NULL;
    if (!(n->b = jinja_parse_expr(p, true))) return NULL;
    if (n->b->kind != JN_CALL) return jinja_syntax(p, "a call of a macro is missing behind call");
    return end_tag(p) && parse_macro_body(p, "endcall", n) ? n : NULL;
}

static struct jinja_node *parse_filtered(struct jinja_parser *p, struct jinja_node *n)
{
    n->c = jinja_parse_filters(p, NULL, true);
    return n->c && end_tag(p) && parse_body(p, "endfilter", &n->d) ? n : NULL;
}

static struct jinja_node *parse_with(struct jinja_parser *p, struct jinja_node *n)
{
    struct jinja_node **tail = &n->a;
    while (p->at->kind != JT_BLOCK_END) {
        if (tail != &n->a && !jinja_expect(p, JT_OP, ",")) return NULL;
        struct jinja_node *set = jinja_node(p, JN_SET);
        if (!set || !(set->a = jinja_parse_target(p, false)) || !jinja_expect(p, JT_OP, "=") ||
            !(set->b = jinja_parse_expr(p, true)))
            return NULL;
        *tail = set;
        tail = &set->next;
    }
    return end_tag(p) && parse_body(p, "endwith", &n->d) ? n : NULL;
}

static struct jinja_node *parse_generation(struct jinja_parser *p, struct jinja_node *n)
{
    return end_tag(p) && parse_macro_body(p, "endgeneration", n) ? n : NULL;
}

static struct jinja_node *parse_jump(struct jinja_parser *p, struct jinja_node *n)
{
    if (!p->n_loops) return jinja_syntax(p, "break or continue outside of a loop");
    return end_tag(p) ? n : NULL;
}

static const struct statement {
    const char *name;
    enum jinja_kind kind;
    struct jinja_node *(*parse)(struct jinja_parser *p, struct jinja_node *n);
} statements[] = {
    {"if", JN_IF, parse_if},
    {"for", JN_FOR, parse_for},
    {"set", JN_SET, parse_set},
    {"macro", JN_MACRO, parse_macro},
    {"call", JN_CALL_BLOCK, parse_call_block},
    {"filter", JN_FILTERED, parse_filtered},
    {"with", JN_WITH, parse_with},
    {"generation", JN_SCOPE, parse_generation},
    {"break", JN_BREAK, parse_jump},
    {"continue", JN_CONTINUE, parse_jump},
    {0},
};

static struct jinja_node *parse_statement(struct jinja_parser *p)
{
    for (const struct statement *s = statements; s->name; s++) {
        if (!jinja_at(p, JT_NAME, s->name)) continue;
        struct jinja_node *n = jinja_node(p, s->kind);
        if (!n) return NULL;
        p->at++;
        return s->parse(p, n);
    }
    char name[64];
    jinja_token_name(p->at, name);
    return jinja_syntax(p, "%s begins no statement that is known here", name);
}

static struct jinja_node *parse_print(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_PRINT);
    return n && (n->a = jinja_parse_tuple(p, true)) && jinja_expect(p, JT_PRINT_END, "}}") ? n
                                                                                           : NULL;
}

static struct jinja_node *parse_data(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_DATA);
    if (!n) return NULL;
    n->value = jinja_string(p->at->s, p->at->n, true);
    p->at++;
    return n;
}

static bool is_end(const struct jinja_parser *p, const char *const *ends)
{
    for (; *ends; ends++)
        if (jinja_at(p, JT_NAME, *ends)) return true;
    return false;
}

static bool parse_block(struct jinja_parser *p, const char *const *ends, struct jinja_node **list)
{
    if (++p->depth > p->max_depth)
        return jinja_syntax(p, "blocks are nested more than %d deep", (int)p->max_depth) != NULL;
    struct jinja_node **tail = list;
    for (; p->at->kind != JT_END; tail = &(*tail)->next) {
        if (p->at->kind == JT_DATA) {
            *tail = parse_data(p);
        } else if (jinja_skip(p, JT_PRINT_BEGIN, "{{")) {
            *tail = parse_print(p);
        } else {
            p->at++; /* {% */
            if (is_end(p, ends)) {
                p->depth--;
                return true;
            }
            *tail = parse_statement(p);
        }
        if (!*tail) return false;
    }
    p->depth--;
    if (!*ends) return true;
    while (ends[1]) ends++; /* the last is the one that closes */
    return jinja_syntax(p, "a block is not closed; add {%% %s %%}", *ends) != NULL;
}

struct jinja_template *jinja_parse(const char *text, size_t n, const struct jinja_limits *limits,
                                   struct arena *a, struct err *err)
{
    if (n > limits->max_template_bytes) {
        err_set(err, ERR_LIMIT, "the chat template has %zu bytes; at most %zu are read", n,
                limits->max_template_bytes);
        return NULL;
    }
    static const char *const none[] = {NULL};
    struct jinja_template *t = arena_array(a, 1, sizeof *t, err);
    struct jinja_parser p = {.arena = a, .err = err, .max_depth = limits->max_depth};
    if (!t || !(p.at = jinja_lex(text, n, a, err)) || !parse_block(&p, none, &t->body)) return NULL;
    t->limits = limits;
    t->arena = a;
    return t;
}
