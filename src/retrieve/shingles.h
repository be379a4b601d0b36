/* shingles.h - how far two passages are the same text. Any thread. */
#ifndef CRIA_RETRIEVE_SHINGLES_H
#define CRIA_RETRIEVE_SHINGLES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SHINGLES_SAME 0.7 /* Jaccard from which on two passages are copies of each other */

/* The set of hashes of all runs of 4 words. */
struct shingles {
    uint64_t *hash; /* sorted, each once */
    size_t n;
};

bool shingles_of(const char *s, size_t n_bytes, struct shingles *out, struct err *err) CRIA_CHECK;
void shingles_release(struct shingles *s);

/* |a and b| / |a or b|, from 0 to 1; 0 if either is empty. */
double shingles_overlap(const struct shingles *a, const struct shingles *b);

#endif
