/* merge_scratch.h - the memory of one encoding: nodes and heap for long pieces, and a memory of
 * neighbours that were met lately. Private to text/. Belongs to one call: one thread.
 */
#ifndef CRIA_TEXT_MERGE_SCRATCH_H
#define CRIA_TEXT_MERGE_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct merge_node {
    int32_t id;
    uint32_t start; /* first byte */
    uint32_t prev, next;
    uint32_t rank; /* of this symbol and the next; UINT32_MAX: none, or this symbol is gone */
    int32_t made;
};

enum { MERGE_MEMO_SLOTS = 8192 };

struct merge_scratch { /* all zero: empty */
    struct merge_node *node;
    uint64_t *first; /* rank << 32 | node of the pairs at the beginning, sorted */
    uint64_t *heap;  /* of those that came later, smallest first; four children a parent */
    size_t n_first, at_first, n_heap;
    size_t cap; /* symbols that there is room for */
    uint64_t *bits;
    size_t n_words; /* of bits that there is room for */
    uint64_t *memo; /* [MERGE_MEMO_SLOTS] for bpe_search.c; NULL: not yet */
    uint32_t n_asked;
    int64_t budget; /* steps that bpe_search.c may still take on this piece */
};

/* Room for `n` symbols and the sentinel. */
bool merge_scratch_fit(struct merge_scratch *m, size_t n, struct err *err) CRIA_CHECK;
/* Room for `n` bits, all clear; NULL: no memory. */
uint64_t *merge_scratch_bits(struct merge_scratch *m, size_t n, struct err *err);
void merge_scratch_release(struct merge_scratch *m);

void merge_sort_first(struct merge_scratch *m); /* first[0..n_first); empties the heap */
void merge_heap_push(struct merge_scratch *m, uint64_t v);
uint64_t
merge_next(struct merge_scratch *m); /* the smallest of both, taken out; UINT64_MAX: none */

#endif
