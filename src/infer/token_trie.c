/* SPDX-License-Identifier: Apache-2.0
 *
 * token_trie.c - sorting the tokens by their bytes, and laying the tree out in that order.
 *
 * In the order of a walk that goes down first, the nodes of a sorted list are simply appended: a
 * token shares its first bytes with the one before, and each further byte is a new node. `end` lets
 * a walk jump over what it cannot enter, so memory is read forwards only.
 */
#include "infer/token_trie.h"

#include <stdlib.h>
#include <string.h>

struct text {
    const char *s;
    size_t n;
    int32_t id;
};

/* By bytes, then by id. */
static int by_bytes(const void *a, const void *b)
{
    const struct text *x = a, *y = b;
    const int c = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
    if (c) return c;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The tokens that stand for text; returns how many, and sums their bytes. */
static int32_t gather(const struct tokenizer *t, struct text *out, size_t *n_bytes)
{
    const struct vocab *v = tokenizer_vocab(t);
    int32_t n = 0;
    *n_bytes = 0;
    for (int32_t id = 0; id < v->n_tokens; id++) {
        const enum token_kind kind = v->tokens[id].kind;
        if ((kind != TOKEN_NORMAL && kind != TOKEN_BYTE) || tokenizer_is_stop(t, id)) continue;
        struct text x = {.id = id};
        x.s = tokenizer_bytes(t, id, false, &x.n);
        if (x.n == 0 || x.n > TRIE_MAX_DEPTH) continue;
        out[n++] = x;
        *n_bytes += x.n;
    }
    return n;
}

static size_t shared(const struct text *a, const struct text *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->s[n] == b->s[n]) n++;
    return n;
}

static void lay_out(struct token_trie *t, const struct text *x, int32_t n)
{
    int32_t open[TRIE_MAX_DEPTH + 1]; /* the node at each depth whose subtree is not ended */
    size_t depth = 0;
    for (int32_t i = 0; i < n; i++) {
        const size_t same = i > 0 ? shared(&x[i - 1], &x[i]) : 0;
        for (; depth > same; depth--) t->node[open[depth]].end = t->n_nodes;
        while (depth < x[i].n) {
            const uint8_t byte = (uint8_t)x[i].s[depth];
            open[++depth] = t->n_nodes;
            t->node[t->n_nodes++] =
                (struct trie_node){.token = -1, .byte = byte, .depth = (uint8_t)depth};
        }
        if ((int32_t)depth > t->max_depth) t->max_depth = (int32_t)depth;
        struct trie_node *last = &t->node[open[depth]];
        t->next_same[x[i].id] = last->token;
        last->token = x[i].id;
    }
    for (; depth > 0; depth--) t->node[open[depth]].end = t->n_nodes;
}

struct token_trie *token_trie_new(const struct tokenizer *t, int32_t n_vocab, struct err *err)
{
    const struct vocab *v = tokenizer_vocab(t);
    struct token_trie *trie = calloc(1, sizeof *trie);
    struct text *x = malloc((size_t)v->n_tokens * sizeof *x);
    size_t n_bytes = 0;
    if (trie) trie->next_same = malloc((size_t)n_vocab * sizeof *trie->next_same);
    if (!trie || !x || !trie->next_same) goto no_memory;
    trie->tokenizer = t;
    for (int32_t i = 0; i < n_vocab; i++) trie->next_same[i] = TRIE_NO_TEXT;
    const int32_t n = gather(t, x, &n_bytes);
    qsort(x, (size_t)n, sizeof *x, by_bytes);
    trie->n_vocab = n_vocab;
    trie->node = malloc((n_bytes + 1) * sizeof *trie->node);
    if (!trie->node) goto no_memory;
    lay_out(trie, x, n);
    free(x);
    x = NULL;
    struct trie_node *fit = realloc(trie->node, ((size_t)trie->n_nodes + 1) * sizeof *trie->node);
    if (fit) trie->node = fit;
    for (int32_t i = 0; i < v->n_stop; i++) trie->stop[trie->n_stop++] = v->stop[i];
    return trie;
no_memory:
    free(x);
    token_trie_free(trie);
    err_set(err, ERR_MEMORY, "no memory for the tree of %d tokens", (int)n_vocab);
    return NULL;
}

const char *token_trie_bytes(const struct token_trie *t, int32_t id, size_t *n)
{
    if (id < 0 || id >= t->n_vocab || t->next_same[id] == TRIE_NO_TEXT) return NULL;
    return tokenizer_bytes(t->tokenizer, id, false, n);
}

void token_trie_free(struct token_trie *t)
{
    if (!t) return;
    free(t->node);
    free(t->next_same);
    free(t);
}
