/* merge.h - "merge the adjacent pair of lowest rank, leftmost first, until no pair has a rank", the
 * loop that every byte-pair encoder is. Private to text/.
 *
 * The rule for ranks comes in as a function, so byte-level BPE with a list of merges, tiktoken's
 * ranks and SentencePiece's scores share it; it is inline here so that the compiler makes a copy
 * for each. Short pieces live on the stack and are scanned; long ones, which only hostile or odd
 * text has, take a heap and a linked list: n log n for any text (a scan would make a megabyte of
 * "a" take hours).
 *
 * Heap entries are never removed when their pair dies; one is stale when the rank it carries is no
 * longer the rank of the pair that begins at its symbol. Each merge adds at most two entries and
 * takes one, so 2 n entries are enough.
 */
#ifndef CRIA_TEXT_MERGE_H
#define CRIA_TEXT_MERGE_H

#include <stdint.h>
#include <string.h>

#include "text/merge_scratch.h"

enum { MERGE_SHORT = 48 }; /* symbols; bench/tokenizer is flat from 32 to 64 */
#define MERGE_NONE UINT32_MAX

/* A pair of neighbours: their ids (-1: a symbol that is no token) and the bytes they cover. */
struct merge_pair {
    int32_t left, right;
    uint32_t begin, end;
};

/* The rank of a pair and the token that it makes, or MERGE_NONE. */
typedef uint32_t merge_rank_fn(const void *rule, const uint8_t *s, struct merge_pair p,
                               int32_t *made);

/* Merges `n` <= MERGE_SHORT symbols with ids id[] and first bytes start[] (start[n]: the end) in
 * place; returns how many are left. */
static inline uint32_t merge_short(merge_rank_fn *rank_of, const void *rule, const uint8_t *s,
                                   int32_t *id, uint32_t *start, uint32_t n)
{
    uint32_t rank[MERGE_SHORT];
    int32_t made[MERGE_SHORT];
    for (uint32_t i = 0; i + 1 < n; i++)
        rank[i] = rank_of(rule, s, (struct merge_pair){id[i], id[i + 1], start[i], start[i + 2]},
                          &made[i]);
    while (n > 1) {
        uint32_t best = 0;
        for (uint32_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == MERGE_NONE) break;
        id[best] = made[best];
        n--; /* symbols after best + 1 move down by one, and so do their pairs */
        const size_t n_after = n - best - 1;
        memmove(&id[best + 1], &id[best + 2], n_after * sizeof *id);
        memmove(&start[best + 1], &start[best + 2], (n_after + 1) * sizeof *start);
        if (n_after) {
            memmove(&rank[best], &rank[best + 1], n_after * sizeof *rank);
            memmove(&made[best], &made[best + 1], n_after * sizeof *made);
            rank[best] = rank_of(
                rule, s, (struct merge_pair){id[best], id[best + 1], start[best], start[best + 2]},
                &made[best]);
        }
        if (best > 0)
            rank[best - 1] = rank_of(
                rule, s,
                (struct merge_pair){id[best - 1], id[best], start[best - 1], start[best + 1]},
                &made[best - 1]);
    }
    return n;
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
static inline void merge_long(merge_rank_fn *rank_of, const void *rule, const uint8_t *s,
                              struct merge_scratch *m, uint32_t n)
{
    struct merge_node *node = m->node;
    for (uint32_t i = 0; i <= n; i++) {
        node[i].prev = i - 1; /* that of node 0 is never used */
        node[i].next = i < n ? i + 1 : 0;
    }
    m->n_heap = 0;
    for (uint32_t i = 0; i < n; i++) {
        merge_rank_node(rank_of, rule, s, node, i);
        if (node[i].rank != MERGE_NONE) m->heap[m->n_heap++] = (uint64_t)node[i].rank << 32 | i;
    }
    merge_heap_order(m);
    while (m->n_heap) {
        const uint64_t top = merge_heap_pop(m);
        const uint32_t i = (uint32_t)top;
        if (node[i].rank != top >> 32) continue;
        const uint32_t gone = node[i].next;
        node[gone].rank = MERGE_NONE;
        node[i].id = node[i].made;
        node[i].next = node[gone].next;
        node[node[i].next].prev = i;
        merge_rank_node(rank_of, rule, s, node, i);
        if (node[i].rank != MERGE_NONE) merge_heap_push(m, (uint64_t)node[i].rank << 32 | i);
        if (i == 0) continue;
        const uint32_t left = node[i].prev;
        merge_rank_node(rank_of, rule, s, node, left);
        if (node[left].rank != MERGE_NONE)
            merge_heap_push(m, (uint64_t)node[left].rank << 32 | left);
    }
}

#endif
