/* SPDX-License-Identifier: Apache-2.0
 *
 * grammar_build.c - making expressions, with a ceiling on each list and one sticky error.
 *
 * Small simplifications are made here so that readers need not care: a sequence or choice of one is
 * that one, a repetition of exactly one too. Begin reading at grow().
 */
#include "infer/grammar_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 1 << 23, MAX_RULES = 1 << 16 };

void grammar_build_init(struct grammar_builder *b)
{
    *b = (struct grammar_builder){0};
    for (size_t i = 0; i < RULE_BUCKETS; i++) b->bucket[i] = -1;
    node_never(b); /* node 0: what every failure gives */
}

void grammar_build_release(struct grammar_builder *b)
{
    free(b->node);
    free(b->kid);
    free(b->utf8);
    free(b->text);
    free(b->rule);
    *b = (struct grammar_builder){0};
}

bool grammar_has_failed(const struct grammar_builder *b) { return b->err.code != ERR_OK; }

int32_t grammar_fail(struct grammar_builder *b, enum err_code code, const char *fmt, ...)
{
    if (grammar_has_failed(b)) return 0;
    va_list args;
    va_start(args, fmt);
    b->err.code = code;
    vsnprintf(b->err.text, sizeof b->err.text, fmt, args);
    va_end(args);
    return 0;
}

/* Room for n_more elements behind *n; false and the error set if there is none. */
static bool grow(struct grammar_builder *b, void **list, size_t n, size_t *cap, size_t n_more,
                 size_t elem_bytes, size_t max)
{
    if (grammar_has_failed(b)) return false;
    if (n_more > max - n) {
        grammar_fail(b, ERR_LIMIT, "the grammar is too large; make it shorter");
        return false;
    }
    if (n + n_more <= *cap) return true;
    size_t new_cap = *cap ? 2 * *cap : 64;
    if (new_cap < n + n_more) new_cap = n + n_more;
    void *more = realloc(*list, new_cap * elem_bytes);
    if (!more) {
        grammar_fail(b, ERR_MEMORY, "no memory for the grammar");
        return false;
    }
    *list = more;
    *cap = new_cap;
    return true;
}

static int32_t node_add(struct grammar_builder *b, struct grammar_node node)
{
    void *list = b->node;
    const bool ok =
        grow(b, &list, b->n_nodes, &b->cap_nodes, 1, sizeof *b->node, GRAMMAR_MAX_NODES);
    b->node = list;
    if (!ok) return 0;
    b->node[b->n_nodes] = node;
    return (int32_t)b->n_nodes++;
}

/* Where the copy of the bytes begins, or -1. */
static int32_t text_add(struct grammar_builder *b, const void *bytes, size_t n)
{
    void *list = b->text;
    const bool ok = grow(b, &list, b->n_text, &b->cap_text, n + 1, 1, MAX_TEXT);
    b->text = list;
    if (!ok) return -1;
    const size_t at = b->n_text;
    if (n) memcpy(b->text + at, bytes, n);
    b->text[at + n] = 0;
    b->n_text += n + 1;
    return (int32_t)at;
}

int32_t node_never(struct grammar_builder *b)
{
    return node_add(b, (struct grammar_node){.kind = NODE_NEVER});
}

int32_t node_empty(struct grammar_builder *b)
{
    return node_add(b, (struct grammar_node){.kind = NODE_EMPTY});
}

int32_t node_literal(struct grammar_builder *b, const void *bytes, size_t n)
{
    const int32_t at = text_add(b, bytes, n);
    if (at < 0) return 0;
    return node_add(b, (struct grammar_node){.kind = NODE_LITERAL, .a = at, .b = (int32_t)n});
}

int32_t node_text(struct grammar_builder *b, const char *s)
{
    return node_literal(b, s, strlen(s));
}

static int32_t node_list(struct grammar_builder *b, enum grammar_kind kind, const int32_t *item,
                         size_t n)
{
    void *list = b->kid;
    const bool ok = grow(b, &list, b->n_kids, &b->cap_kids, n, sizeof *b->kid, GRAMMAR_MAX_NODES);
    b->kid = list;
    if (!ok) return 0;
    const int32_t at = (int32_t)b->n_kids;
    memcpy(b->kid + b->n_kids, item, n * sizeof *item);
    b->n_kids += n;
    return node_add(b, (struct grammar_node){.kind = kind, .a = at, .b = (int32_t)n});
}

int32_t node_seq(struct grammar_builder *b, const int32_t *item, size_t n)
{
    if (n == 0) return node_empty(b);
    return n == 1 ? item[0] : node_list(b, NODE_SEQ, item, n);
}

int32_t node_alt(struct grammar_builder *b, const int32_t *item, size_t n)
{
    if (n == 0) return node_never(b);
    return n == 1 ? item[0] : node_list(b, NODE_ALT, item, n);
}

int32_t node_repeat(struct grammar_builder *b, int32_t node, int64_t min, int64_t max)
{
    if (min > GRAMMAR_MAX_REPEAT || max > GRAMMAR_MAX_REPEAT)
        return grammar_fail(b, ERR_LIMIT, "a repetition of %lld; at most %d are possible",
                            (long long)(max > min ? max : min), GRAMMAR_MAX_REPEAT);
    if (max >= 0 && min > max) return node_never(b);
    if (min == 1 && max == 1) return node;
    if (max == 0) return node_empty(b);
    return node_add(b, (struct grammar_node){
                           .kind = NODE_REPEAT, .a = node, .b = (int32_t)min, .c = (int32_t)max});
}

int32_t node_optional(struct grammar_builder *b, int32_t node)
{
    return node_repeat(b, node, 0, 1);
}

int32_t node_call(struct grammar_builder *b, int32_t rule)
{
    return node_add(b, (struct grammar_node){.kind = NODE_CALL, .a = rule});
}

static bool add_utf8(void *user, const struct utf8_range *r)
{
    struct grammar_builder *b = user;
    void *list = b->utf8;
    const bool ok = grow(b, &list, b->n_utf8, &b->cap_utf8, 1, sizeof *b->utf8, GRAMMAR_MAX_NODES);
    b->utf8 = list;
    if (ok) b->utf8[b->n_utf8++] = *r;
    return ok;
}

int32_t node_class(struct grammar_builder *b, const struct charset *set)
{
    struct charset s = {0};
    charset_add_all(&s, set);
    charset_normalise(&s);
    const size_t begin = b->n_utf8;
    if (s.is_failed)
        grammar_fail(b, ERR_LIMIT, "a class of characters has more than %d ranges, or no memory",
                     CHARSET_MAX_RANGES);
    charset_utf8(&s, add_utf8, b);
    charset_release(&s);
    if (grammar_has_failed(b)) return 0;
    const int32_t n = (int32_t)(b->n_utf8 - begin);
    if (n == 0) return node_never(b);
    return node_add(b, (struct grammar_node){.kind = NODE_CLASS, .a = (int32_t)begin, .b = n});
}

int32_t node_json_class(struct grammar_builder *b, const struct charset *set)
{
    static const char escaped[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    struct charset plain = {0}, quoted = {0};
    int32_t item[40];
    size_t n = 0;
    charset_add_all(&plain, set);
    charset_add(&quoted, 0, 0x1f);
    charset_add(&quoted, '"', '"');
    charset_add(&quoted, '\\', '\\');
    charset_subtract(&plain, &quoted);
    item[n++] = node_class(b, &plain);
    for (uint32_t c = 0; c <= '\\'; c++) {
        if (!charset_has(&quoted, c) || !charset_has(set, c)) continue;
        const char *at = c ? strchr(escaped, (int)c) : NULL;
        char s[8];
        if (at)
            snprintf(s, sizeof s, "\\%c", letter[at - escaped]);
        else
            snprintf(s, sizeof s, "\\u%04x", (unsigned)c & 0xff);
        item[n++] = node_text(b, s);
    }
    charset_release(&plain);
    charset_release(&quoted);
    return node_alt(b, item, n);
}

bool node_list_push(struct grammar_builder *b, struct node_list *l, int32_t node)
{
    void *list = l->v;
    const bool ok = grow(b, &list, l->n, &l->cap, 1, sizeof *l->v, GRAMMAR_MAX_NODES);
    l->v = list;
    if (ok) l->v[l->n++] = node;
    return ok;
}

void node_list_release(struct node_list *l)
{
    free(l->v);
    *l = (struct node_list){0};
}

static int32_t *bucket_of(struct grammar_builder *b, const char *name, size_t n)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)name[i]) * 16777619u;
    return &b->bucket[(h ^ h >> 16) % RULE_BUCKETS];
}

int32_t rule_new(struct grammar_builder *b, const char *name, size_t n_name, int32_t line)
{
    const int32_t at = text_add(b, name, n_name);
    void *list = b->rule;
    const bool ok =
        at >= 0 && grow(b, &list, b->n_rules, &b->cap_rules, 1, sizeof *b->rule, MAX_RULES);
    b->rule = list;
    if (!ok) return 0;
    int32_t *bucket = bucket_of(b, name, n_name);
    b->rule[b->n_rules] = (struct grammar_rule){
        .name = at, .n_name = (int32_t)n_name, .node = -1, .line = line, .next = *bucket};
    return *bucket = (int32_t)b->n_rules++;
}

int32_t rule_find(struct grammar_builder *b, const char *name, size_t n_name)
{
    int32_t i = *bucket_of(b, name, n_name);
    while (i >= 0 && ((size_t)b->rule[i].n_name != n_name ||
                      memcmp(b->text + b->rule[i].name, name, n_name) != 0))
        i = b->rule[i].next;
    return i;
}

void rule_define(struct grammar_builder *b, int32_t rule, int32_t node)
{
    if (!grammar_has_failed(b)) b->rule[rule].node = node;
}
