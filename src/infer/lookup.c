/* SPDX-License-Identifier: Apache-2.0
 *
 * lookup.c - where the last words of a text stood before (Saxena 2023, "Prompt lookup decoding").
 *
 * One slot per hash and no chains: a later n-gram takes the slot of an earlier one, since the
 * latest place is the best guess of how a text goes on. What is found is compared token by token,
 * so collisions and entries of earlier texts are harmless and nothing is ever cleared. n-grams of
 * one length only: with 2 and 3 tokens beside 4, six prompts at two temperatures gained nothing.
 */
#include "infer/lookup.h"

#include <stdlib.h>

enum { MIN_BITS = 8, MAX_BITS = 16 };

bool lookup_init(struct lookup *l, int32_t n_ctx, struct err *err)
{
    *l = (struct lookup){.bits = MIN_BITS};
    while (l->bits < MAX_BITS && (INT32_C(1) << l->bits) < 2 * (int64_t)n_ctx) l->bits++;
    l->end = calloc((size_t)1 << l->bits, sizeof *l->end);
    return l->end ||
           err_set(err, ERR_MEMORY, "no memory for the table of %d n-grams", 1 << l->bits);
}

void lookup_release(struct lookup *l)
{
    free(l->end);
    l->end = NULL;
}

void lookup_begin(struct lookup *l) { l->n_known = LOOKUP_NGRAM - 1; }

/* The slot of the n-gram that ends before `end`. */
static int32_t *slot_of(const struct lookup *l, const int32_t *end)
{
    uint64_t h = 0;
    for (int i = 1; i <= LOOKUP_NGRAM; i++)
        h = (h ^ (uint32_t)end[-i]) * UINT64_C(0x9E3779B97F4A7C15); /* 2^64 / golden ratio */
    return &l->end[h >> (64 - l->bits)];
}

int32_t lookup_find(struct lookup *l, const int32_t *ids, int32_t n, int32_t *n_same)
{
    *n_same = 0;
    /* the text's own end comes in next time, when there is something behind it */
    while (l->n_known < n - 1) {
        l->n_known++;
        *slot_of(l, ids + l->n_known) = l->n_known;
    }
    if (n <= LOOKUP_NGRAM) return 0;
    const int32_t end = *slot_of(l, ids + n);
    if (end < LOOKUP_NGRAM || end >= n) return 0;
    int32_t same = 0;
    while (same < LOOKUP_MAX_SAME && same < end && ids[end - 1 - same] == ids[n - 1 - same]) same++;
    if (same < LOOKUP_NGRAM) return 0;
    *n_same = same;
    return end;
}
