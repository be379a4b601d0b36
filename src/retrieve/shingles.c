/* SPDX-License-Identifier: Apache-2.0
 *
 * shingles.c - near-duplicates by the runs of words that two passages share.
 *
 * A search compares at most a hundred passages, so the sets are compared exactly, by merging sorted
 * arrays; signatures (MinHash) pay only where every pair of a corpus is asked about.
 */
#include "retrieve/shingles.h"

#include <stdlib.h>

#include "retrieve/words.h"

enum { N_WORDS = 4, MAX_SHINGLES = 65536 };

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

bool shingles_of(const char *s, size_t n_bytes, struct shingles *out, struct err *err)
{
    uint64_t last[N_WORDS] = {0}, *hash = NULL;
    size_t n = 0, cap = 0, n_words = 0;
    struct word w;
    for (size_t at = 0; n < MAX_SHINGLES && word_next(s, n_bytes, &at, &w);) {
        uint64_t h = 0;
        last[n_words++ % N_WORDS] = w.id;
        if (n_words < N_WORDS) continue;
        for (size_t i = 0; i < N_WORDS; i++)
            h = (h ^ last[(n_words + i) % N_WORDS]) * UINT64_C(0x9E3779B97F4A7C15);
        if (n == cap) {
            cap = cap ? cap * 2 : 256;
            uint64_t *grown = realloc(hash, cap * sizeof *grown);
            if (!grown) {
                free(hash);
                return err_set(err, ERR_MEMORY, "no memory to compare passages");
            }
            hash = grown;
        }
        hash[n++] = h ^ (h >> 31);
    }
    if (n > 0) qsort(hash, n, sizeof *hash, by_value);
    size_t n_unique = 0;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || hash[i] != hash[n_unique - 1]) hash[n_unique++] = hash[i];
    *out = (struct shingles){hash, n_unique};
    return true;
}

void shingles_release(struct shingles *s)
{
    free(s->hash);
    *s = (struct shingles){0};
}

double shingles_overlap(const struct shingles *a, const struct shingles *b)
{
    size_t i = 0, k = 0, n_both = 0;
    while (i < a->n && k < b->n) {
        if (a->hash[i] == b->hash[k]) {
            n_both++;
            i++;
            k++;
        } else if (a->hash[i] < b->hash[k]) {
            i++;
        } else {
            k++;
        }
    }
    const size_t n_all = a->n + b->n - n_both;
    return n_both ? (double)n_both / (double)n_all : 0;
}
