/* SPDX-License-Identifier: Apache-2.0
 *
 * merge_scratch.c - a heap of 64-bit keys with four children a parent, and its memory.
 *
 * Four children instead of two: half the levels, and the four are neighbours in memory. A key is
 * the rank above the position, so equal ranks come out leftmost first.
 */
#include "text/merge_scratch.h"

#include <stdlib.h>

bool merge_scratch_fit(struct merge_scratch *m, size_t n, struct err *err)
{
    if (n <= m->cap) return true;
    const size_t cap = n + n / 2; /* n < 2^31 */
    merge_scratch_release(m);
    m->node = malloc((cap + 1) * sizeof *m->node);
    m->heap = malloc((2 * cap + 1) * sizeof *m->heap);
    if (!m->node || !m->heap) {
        merge_scratch_release(m);
        return err_set(err, ERR_MEMORY,
                       "text: no memory to merge a piece of %zu characters; cut it shorter", n);
    }
    m->cap = cap;
    return true;
}

void merge_scratch_release(struct merge_scratch *m)
{
    free(m->node);
    free(m->heap);
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

void merge_heap_order(struct merge_scratch *m)
{
    if (m->n_heap < 2) return;
    for (size_t i = (m->n_heap - 2) / 4 + 1; i-- > 0;) sift_down(m->heap, m->n_heap, i);
}

void merge_heap_push(struct merge_scratch *m, uint64_t v)
{
    size_t i = m->n_heap++;
    for (; i > 0 && m->heap[(i - 1) / 4] > v; i = (i - 1) / 4) m->heap[i] = m->heap[(i - 1) / 4];
    m->heap[i] = v;
}

uint64_t merge_heap_pop(struct merge_scratch *m)
{
    const uint64_t top = m->heap[0];
    m->heap[0] = m->heap[--m->n_heap];
    if (m->n_heap) sift_down(m->heap, m->n_heap, 0);
    return top;
}
