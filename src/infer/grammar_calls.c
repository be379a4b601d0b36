/* SPDX-License-Identifier: Apache-2.0
 *
 * grammar_calls.c - function calls as a grammar: what stands around each, and its arguments'
 * schema.
 *
 * All schemas lie in one document, so a $ref finds its own schema by its place, and a message the
 * function that it is about (schema_parts.h).
 *
 * Text beside calls must never be read as a call, so it may not hold the words that open one. Which
 * texts hold none of some words is a regular language: each word's first letter, '<', is nowhere
 * else in it, so after any beginning of a word comes a letter that does not go on with it, or '<',
 * which begins anew; the compiler makes the rest deterministic.
 */
#include <stdlib.h>
#include <string.h>

#include "infer/schema_parts.h"

enum { MAX_CALLS = 1024, MAX_WORDS = 8, MAX_WORD = 32 };

struct calls {
    struct json root, call[MAX_CALLS], schema[MAX_CALLS + 1];
    const char *name[MAX_CALLS + 1];
    int32_t n;
    bool has_schema; /* schema[n]: of what may come instead */
};

static int32_t text_of(struct schema *s, struct json v, const char *key)
{
    const char *t = "";
    size_t n = 0;
    json_str(json_get(v, key), &t, &n);
    return node_literal(&s->b, t, n);
}

/* ---- text beside calls ---- */

/* One character that is none of `but`. */
static int32_t other_char(struct schema *s, const char *but, size_t n)
{
    struct charset set = {0};
    for (size_t i = 0; i < n; i++) charset_add(&set, (unsigned char)but[i], (unsigned char)but[i]);
    charset_invert(&set);
    if (set.is_failed) grammar_fail(&s->b, ERR_MEMORY, "no memory for a set of characters");
    const int32_t node = node_class(&s->b, &set);
    charset_release(&set);
    return node;
}

struct words {
    const char *word[MAX_WORDS];
    size_t n;
};

static bool read_words(struct schema *s, struct json v, struct words *w)
{
    struct json_iter it = json_iter(v);
    struct json e;
    while (json_next(&it, NULL, NULL, &e)) {
        const char *t = NULL;
        size_t n = 0;
        const bool ok = w->n < MAX_WORDS && json_str(e, &t, &n) && n >= 2 && n <= MAX_WORD &&
                        strlen(t) == n && t[0] == '<' && !strchr(t + 1, '<');
        if (!ok) {
            grammar_fail(&s->b, ERR_USAGE, "holds_not: a word that is not '<' and more");
            return false;
        }
        w->word[w->n++] = t;
    }
    return true;
}

/* The characters with which some word goes on behind its first k, which are `begin`; and '<'. */
static size_t next_of(const struct words *w, const char *begin, size_t k, char out[MAX_WORDS + 1])
{
    size_t n = 0;
    out[n++] = '<';
    for (size_t i = 0; i < w->n; i++)
        if (strlen(w->word[i]) > k && memcmp(w->word[i], begin, k) == 0) out[n++] = w->word[i][k];
    return n;
}

/* `open`: any proper beginning of a word. `broken`: one, and a character that does not go on. */
static void beginnings(struct schema *s, const struct words *w, int32_t *open, int32_t *broken)
{
    struct node_list all = {0}, off = {0};
    for (size_t i = 0; i < w->n; i++)
        for (size_t k = 1; k < strlen(w->word[i]); k++) {
            char next[MAX_WORDS + 1];
            const size_t n = next_of(w, w->word[i], k, next);
            const int32_t begin = node_literal(&s->b, w->word[i], k);
            const int32_t item[2] = {begin, other_char(s, next, n)};
            node_list_push(&s->b, &all, begin);
            node_list_push(&s->b, &off, node_seq(&s->b, item, 2));
        }
    *open = node_alt(&s->b, all.v, all.n);
    *broken = node_alt(&s->b, off.v, off.n);
    node_list_release(&all);
    node_list_release(&off);
}

/* ((open* broken) | plain)* open*, of which what comes first, behind spaces, is not in begins_not
 */
static int32_t free_text(struct schema *s, struct json v)
{
    static const char spaces[] = " \t\r\n";
    struct grammar_builder *b = &s->b;
    struct words w = {0};
    char first[32] = "<";
    const char *not_first = "";
    size_t n_not = 0;
    json_str(json_get(v, "begins_not"), &not_first, &n_not);
    if (!read_words(s, json_get(v, "holds_not"), &w)) return node_never(b);
    if (n_not > sizeof first - 8) return grammar_fail(b, ERR_USAGE, "begins_not: too long");
    memcpy(first + 1, spaces, 4);
    memcpy(first + 5, not_first, n_not);

    int32_t open, broken;
    beginnings(s, &w, &open, &broken);
    const int32_t opens = node_repeat(b, open, 0, -1);
    const int32_t run[2] = {opens, broken};
    const int32_t held = node_seq(b, run, 2);
    const int32_t plain[2] = {held, other_char(s, "<", 1)};
    const int32_t begin[2] = {held, other_char(s, first, 5 + n_not)};
    const int32_t body[3] = {node_alt(b, begin, 2), node_repeat(b, node_alt(b, plain, 2), 0, -1),
                             opens};
    const int32_t rest[2] = {node_seq(b, body, 3), opens};
    struct charset space = {0};
    for (size_t i = 0; i < 4; i++) charset_add(&space, (uint32_t)spaces[i], (uint32_t)spaces[i]);
    charset_normalise(&space);
    const int32_t whole[2] = {node_repeat(b, node_class(b, &space), 0, -1), node_alt(b, rest, 2)};
    charset_release(&space);
    return node_seq(b, whole, 2);
}

/* ---- calls ---- */

static int32_t one_call(struct schema *s, const struct calls *c)
{
    struct node_list ways = {0};
    for (int32_t i = 0; i < c->n && !grammar_has_failed(&s->b); i++) {
        s->i_root = i;
        const int32_t part[3] = {text_of(s, c->call[i], "before"),
                                 schema_value(s, &c->schema[i], 1),
                                 text_of(s, c->call[i], "after")};
        node_list_push(&s->b, &ways, node_seq(&s->b, part, 3));
    }
    const int32_t rule = rule_new(&s->b, "a call", 6, 0);
    rule_define(&s->b, rule, node_alt(&s->b, ways.v, ways.n));
    node_list_release(&ways);
    return node_call(&s->b, rule);
}

static int32_t make_answer(struct schema *s, const void *user)
{
    const struct calls *c = user;
    const struct json text = json_get(c->root, "text");
    int64_t most = 1;
    bool is_instead = false;
    json_i64(json_get(c->root, "most"), &most);
    const int32_t call = one_call(s, c);
    if (grammar_has_failed(&s->b)) return call;
    s->i_root = -1;
    const int32_t more[2] = {text_of(s, c->root, "between"), call};
    const int32_t part[4] = {text_of(s, c->root, "first"), call,
                             node_repeat(&s->b, node_seq(&s->b, more, 2), 0, most - 1),
                             text_of(s, c->root, "last")};
    const int32_t calls = node_seq(&s->b, part, 4);
    if (c->has_schema) {
        s->i_root = c->n;
        const int32_t either[2] = {schema_value(s, &c->schema[c->n], 1), calls};
        return node_alt(&s->b, either, 2);
    }
    if (json_type(text) != JSON_OBJECT) return calls;
    json_bool(json_get(text, "is_instead"), &is_instead);
    const int32_t way[2] = {free_text(s, text), is_instead ? calls : node_optional(&s->b, calls)};
    return is_instead ? node_alt(&s->b, way, 2) : node_seq(&s->b, way, 2);
}

static bool read_calls(struct calls *c, const char *name, struct err *err)
{
    struct json_iter it = json_iter(json_get(c->root, "calls"));
    struct json v;
    int64_t most = 0;
    while (json_next(&it, NULL, NULL, &v)) {
        if (c->n == MAX_CALLS)
            return err_set(err, ERR_LIMIT, "%s: more than %d functions; give fewer", name,
                           MAX_CALLS);
        c->call[c->n] = v;
        c->name[c->n] = name;
        json_str(json_get(v, "name"), &c->name[c->n], NULL);
        c->schema[c->n++] = json_get(v, "schema");
    }
    c->schema[c->n] = json_get(c->root, "schema");
    c->name[c->n] = "response_format";
    c->has_schema = json_type(c->schema[c->n]) != JSON_NONE;
    if (c->n == 0 || !json_i64(json_get(c->root, "most"), &most) || most < 1 || most > 1000)
        return err_set(err, ERR_USAGE, "%s: no calls, or not 1 to 1000 of them", name);
    return true;
}

struct grammar *grammar_from_calls(const char *text, size_t n, enum schema_space space,
                                   const char *name, struct err *err)
{
    struct json_doc *doc = json_parse(text, n, GRAMMAR_MAX_TEXT_BYTES, name, err);
    if (!doc) return NULL;
    struct grammar *g = NULL;
    struct calls *c = calloc(1, sizeof *c);
    if (c) {
        c->root = json_root(doc);
        if (read_calls(c, name, err))
            g = schema_grammar(c->schema, c->name, c->n + c->has_schema, space, make_answer, c,
                               name, err);
    } else {
        err_set(err, ERR_MEMORY, "%s: no memory for the grammar", name);
    }
    free(c);
    json_free(doc);
    return g;
}
