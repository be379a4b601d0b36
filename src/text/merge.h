/* merge.h - "merge the adjacent pair of lowest rank, leftmost first, until no pair has a rank", the
 * loop that every byte-pair encoder is. Private to text/.
 *
 * The rule for ranks comes in as a function, so byte-level BPE with a list of merges, tiktoken's
 * ranks and SentencePiece's scores share it; it is inline here so that the compiler makes a copy
 * for each. Short pieces live on the stack and are scanned; long ones, which only hostile or odd
 * text has, take a heap and a linked list: n log n for any text (a scan would make a megabyte of
 * "a" take hours).
 *
 * The pairs of the beginning are sorted once; only pairs that merging makes go through the heap.
 * Entries are never removed when their pair dies; one is stale when the rank it carries is no
 * longer the rank of the pair that begins at its symbol. Each merge adds at most two to the heap,
 * and there are fewer than n.
 */
#ifndef CRIA_TEXT_MERGE_H
#define CRIA_TEXT_MERGE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "text/merge_scratch.h"

enum { MERGE_SHORT = 96 }; /* symbols; bench/tokenizer is flat from 32 to 64 */
#define MERGE_NONE UINT32_MAX

/* A pair of neighbours: their ids (-1: a symbol that is no token) and the bytes they cover. */
struct merge_pair {
    int32_t left, right;
    uint32_t begin, end;
};

/* The rank of a pair and the token that it makes, or MERGE_NONE. */
typedef uint32_t merge_rank_fn(const void *rule, const uint8_t *s, struct merge_pair p,
                               int32_t *made);

/* Ranks below this fit beside a place in 31 bits. */
#define MERGE_SMALL_RANK ((uint32_t)1 << 24)
static_assert(MERGE_SHORT <= 128, "a place in a line is 7 bits");

/* How a piece is merged. */
struct merge_rule {
    merge_rank_fn *first; /* the rank of two symbols as they are at the beginning */
    merge_rank_fn *next;  /* of any two */
    bool is_small;        /* all ranks are below MERGE_SMALL_RANK */
};

/* A short piece: symbols stay where they are, the gone ones are jumped over. */
struct merge_line {
    uint32_t rank[MERGE_SHORT]; /* of a symbol and the next; MERGE_NONE also for gone ones. If they
                                 * are small: rank << 7 | place, INT32_MAX for none */
    int32_t made[MERGE_SHORT];
    int32_t *id;
    uint32_t *start;
    uint8_t prev[MERGE_SHORT + 1], next[MERGE_SHORT + 1];
    uint32_t n;
};

static inline void merge_rank_in_line(merge_rank_fn *rank_of, bool is_small, const void *rule,
                                      const uint8_t *s, struct merge_line *l, uint32_t i)
{
    const uint32_t right = l->next[i];
    uint32_t rank = MERGE_NONE;
    if (right != l->n) {
        const struct merge_pair p = {l->id[i], l->id[right], l->start[i], l->start[l->next[right]]};
        rank = rank_of(rule, s, p, &l->made[i]);
    }
    if (is_small) rank = rank == MERGE_NONE ? INT32_MAX : rank << 7 | i;
    l->rank[i] = rank;
}

/* The leftmost of the lowest ranks, or n. Two passes that the compiler turns into vectors beat one
 * that carries the place along. */
static inline uint32_t merge_lowest(const uint32_t *rank, uint32_t n)
{
    uint32_t lowest = MERGE_NONE, i = 0;
    for (uint32_t k = 0; k < n; k++) lowest = rank[k] < lowest ? rank[k] : lowest;
    if (lowest == MERGE_NONE) return n;
    while (rank[i] != lowest) i++;
    return i;
}

/* The same where a small rank has its place in it: one pass, of signed numbers, which every x86 can
 * compare as vectors. */
static inline uint32_t merge_lowest_small(const uint32_t *rank, uint32_t n)
{
    int32_t lowest = INT32_MAX;
    for (uint32_t k = 0; k < n; k++) {
        const int32_t r = (int32_t)rank[k];
        lowest = r < lowest ? r : lowest;
    }
    return lowest == INT32_MAX ? n : (uint32_t)lowest & 127;
}

static inline uint32_t merge_lowest_of(const struct merge_line *l, bool is_small)
{
    return is_small ? merge_lowest_small(l->rank, l->n) : merge_lowest(l->rank, l->n);
}

/* Merges `n` <= MERGE_SHORT symbols with ids id[] and first bytes start[] (start[n]: the end) in
 * place, until `least` are left or no pair has a rank; returns how many are left, and the highest
 * rank merged, 0 if none. */
static inline uint32_t merge_short(const struct merge_rule how, const void *rule, const uint8_t *s,
                                   int32_t *id, uint32_t *start, uint32_t n, uint32_t least,
                                   uint32_t *highest)
{
    struct merge_line l;
    *highest = 0;
    l.id = id;
    l.start = start;
    l.n = n;
    for (uint32_t i = 0; i <= n; i++) {
        l.prev[i] = (uint8_t)(i - 1); /* that of 0 is never used */
        l.next[i] = (uint8_t)(i + 1);
    }
    for (uint32_t i = 0; i < n; i++) merge_rank_in_line(how.first, how.is_small, rule, s, &l, i);
    for (uint32_t n_now = n; n_now > least; n_now--) {
        const uint32_t i = merge_lowest_of(&l, how.is_small);
        if (i == n) break;
        const uint32_t gone = l.next[i], rank = how.is_small ? l.rank[i] >> 7 : l.rank[i];
        *highest = rank > *highest ? rank : *highest;
        id[i] = l.made[i];
        l.rank[gone] = how.is_small ? INT32_MAX : MERGE_NONE;
        l.next[i] = l.next[gone];
        l.prev[l.next[i]] = (uint8_t)i;
        merge_rank_in_line(how.next, how.is_small, rule, s, &l, i);
        if (i > 0) merge_rank_in_line(how.next, how.is_small, rule, s, &l, l.prev[i]);
    }
    uint32_t n_left = 0;
    for (uint32_t i = 0; i < n; i = l.next[i]) {
        id[n_left] = id[i];
        start[n_left++] = start[i];
    }
    start[n_left] = start[n];
    return n_left;
}

/* Sets rank and result of the pair that begins at symbol `i`. */
static inline void merge_rank_node(merge_rank_fn *rank_of, const void *rule, const uint8_t *s,
                                   struct merge_node *node, uint32_t i)
{
    const struct merge_node *right = &node[node[i].next];
    node[i].rank = MERGE_NONE;
    if (right->next == 0) return; /* the sentinel */
    const struct merge_pair p = {node[i].id, right->id, node[i].start, node[right->next].start};
    node[i].rank = rank_of(rule, s, p, &node[i].made);
}

/* Merges the `n` symbols of `m->node`, of which id and start are set, start of node n too. The
 * symbols that are left are a list: first node 0, each next, ended by node n. */
static inline void merge_long(const struct merge_rule how, const void *rule, const uint8_t *s,
                              struct merge_scratch *m, uint32_t n)
{
    struct merge_node *node = m->node;
    for (uint32_t i = 0; i <= n; i++) {
        node[i].prev = i - 1; /* that of node 0 is never used */
        node[i].next = i < n ? i + 1 : 0;
    }
    m->n_first = 0;
    for (uint32_t i = 0; i < n; i++) {
        merge_rank_node(how.first, rule, s, node, i);
        if (node[i].rank != MERGE_NONE) m->first[m->n_first++] = (uint64_t)node[i].rank << 32 | i;
    }
    merge_sort_first(m);
    for (uint64_t top = merge_next(m); top != UINT64_MAX; top = merge_next(m)) {
        const uint32_t i = (uint32_t)top;
        if (node[i].rank != top >> 32) continue;
        const uint32_t gone = node[i].next;
        node[gone].rank = MERGE_NONE;
        node[i].id = node[i].made;
        node[i].next = node[gone].next;
        node[node[i].next].prev = i;
        merge_rank_node(how.next, rule, s, node, i);
        if (node[i].rank != MERGE_NONE) merge_heap_push(m, (uint64_t)node[i].rank << 32 | i);
        if (i == 0) continue;
        const uint32_t left = node[i].prev;
        merge_rank_node(how.next, rule, s, node, left);
        if (node[left].rank != MERGE_NONE)
            merge_heap_push(m, (uint64_t)node[left].rank << 32 | left);
    }
}

#endif
