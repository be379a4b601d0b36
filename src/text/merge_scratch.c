/* SPDX-License-Identifier: Apache-2.0
 *
 * merge_scratch.c - pairs by rank: a sorted list of those at the beginning, a heap of 64-bit keys
 * with four children a parent for those that come later; and their memory.
 *
 * In a text that only repeats itself most pairs are of the beginning, and sorting them by counting
 * costs a quarter of what a heap of them does (bench/tokenizer, hostile).
 *
 * Four children instead of two: half the levels, and the four are neighbours in memory. A key is
 * the rank above the position, so equal ranks come out leftmost first.
 */
#include "text/merge_scratch.h"

#include <stdlib.h>
#include <string.h>

enum { DIGIT_BITS = 8, DIGIT_MASK = 255 };

static void free_symbols(struct merge_scratch *m)
{
    free(m->node);
    free(m->first);
    free(m->heap);
    m->node = NULL;
    m->first = m->heap = NULL;
    m->cap = 0;
}

bool merge_scratch_fit(struct merge_scratch *m, size_t n, struct err *err)
{
    if (n <= m->cap) return true;
    const size_t cap = n + n / 2; /* n < 2^31 */
    free_symbols(m);
    m->node = malloc((cap + 1) * sizeof *m->node);
    m->first = malloc((cap + 1) * sizeof *m->first);
    m->heap = malloc((2 * cap + 1) * sizeof *m->heap);
    if (!m->node || !m->first || !m->heap) {
        free_symbols(m);
        return err_set(err, ERR_MEMORY,
                       "text: no memory to merge a piece of %zu characters; cut it shorter", n);
    }
    m->cap = cap;
    return true;
}

uint64_t *merge_scratch_bits(struct merge_scratch *m, size_t n, struct err *err)
{
    const size_t n_words = n / 64 + 1;
    if (n_words > m->n_words) {
        free(m->bits);
        m->bits = malloc((n_words + n_words / 2) * sizeof *m->bits);
        m->n_words = m->bits ? n_words + n_words / 2 : 0;
    }
    if (m->bits)
        memset(m->bits, 0, n_words * sizeof *m->bits);
    else
        err_set(err, ERR_MEMORY, "text: no memory for a piece of %zu bytes; cut it shorter", n);
    return m->bits;
}

void merge_scratch_release(struct merge_scratch *m)
{
    free_symbols(m);
    free(m->bits);
    free(m->memo);
    *m = (struct merge_scratch){0};
}

/* Moves the key at `i` down to where its children are larger. */
static void sift_down(uint64_t *heap, size_t n, size_t i)
{
    const uint64_t v = heap[i];
    for (size_t child = 4 * i + 1; child < n; child = 4 * i + 1) {
        size_t best = child;
        for (size_t c = child + 1; c < child + 4 && c < n; c++)
            if (heap[c] < heap[best]) best = c;
        if (heap[best] >= v) break;
        heap[i] = heap[best];
        i = best;
    }
    heap[i] = v;
}

/* Stable, so that equal ranks stay in their order; `to` has room for as many. */
static void sort_by_digit(uint64_t *to, const uint64_t *from, size_t n, unsigned shift)
{
    size_t begin[DIGIT_MASK + 2] = {0};
    for (size_t i = 0; i < n; i++) begin[(from[i] >> shift & DIGIT_MASK) + 1]++;
    for (size_t d = 0; d < DIGIT_MASK; d++) begin[d + 1] += begin[d];
    for (size_t i = 0; i < n; i++) to[begin[from[i] >> shift & DIGIT_MASK]++] = from[i];
}

/* By the digits of the rank that any has; positions are in order already. The heap, empty yet, is
 * the second array. */
void merge_sort_first(struct merge_scratch *m)
{
    uint64_t any = 0;
    m->n_heap = m->at_first = 0;
    for (size_t i = 0; i < m->n_first; i++) any |= m->first[i];
    for (unsigned shift = 32; shift < 64 && any >> shift; shift += DIGIT_BITS) {
        sort_by_digit(m->heap, m->first, m->n_first, shift);
        memcpy(m->first, m->heap, m->n_first * sizeof *m->first);
    }
}

void merge_heap_push(struct merge_scratch *m, uint64_t v)
{
    size_t i = m->n_heap++;
    for (; i > 0 && m->heap[(i - 1) / 4] > v; i = (i - 1) / 4) m->heap[i] = m->heap[(i - 1) / 4];
    m->heap[i] = v;
}

static uint64_t pop_heap(struct merge_scratch *m)
{
    const uint64_t top = m->heap[0];
    m->heap[0] = m->heap[--m->n_heap];
    if (m->n_heap) sift_down(m->heap, m->n_heap, 0);
    return top;
}

uint64_t merge_next(struct merge_scratch *m)
{
    const bool has_first = m->at_first < m->n_first;
    if (m->n_heap && (!has_first || m->heap[0] < m->first[m->at_first])) return pop_heap(m);
    return has_first ? m->first[m->at_first++] : UINT64_MAX;
}
