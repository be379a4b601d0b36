/* candidates.h - the tokens that may still be drawn, and the work memory that they live in.
 *
 * Private to the sampler's steps. A step sees `struct candidates`, cuts its tail, changes its
 * logits in an order-keeping way, or asks for the front to be sorted.
 *
 * Invariants between steps
 *   I1  item[0 .. n_sorted) are in falling order of logit, lower id first on ties; everything after
 *       them is no greater and stands in rising order of id.
 *   I2  n >= 1, and no logit is NaN or infinite.
 *   I3  `count` is all zero (steps that use it clean up what they touched).
 */
#ifndef CRIA_INFER_CANDIDATES_H
#define CRIA_INFER_CANDIDATES_H

#include <stdint.h>

#include "base/err.h"

struct candidate {
    float logit;
    int32_t id;
    float p; /* valid after candidates_softmax() until the next change */
};

struct candidates {
    struct candidate *item;
    int32_t n, n_sorted;
    struct candidate *spare, *scratch; /* as long as item: what partition and sort write into */
    float *logits;  /* [n_vocab] the working copy that bias and penalties change */
    int32_t *count; /* [n_vocab] */
    int32_t n_vocab;
    void *memory; /* all of the above in one block */
};

bool candidates_init(struct candidates *c, int32_t n_vocab, struct err *err) CRIA_CHECK;
void candidates_release(struct candidates *c);

/* All tokens of logits [n_vocab] that are not banned (-INFINITY, NaN). When all are: token 0. */
void candidates_fill(struct candidates *c, const float *logits);
/* The k greatest of them, sorted: one pass that compares each logit with the k-th best so far. */
void candidates_fill_top(struct candidates *c, const float *logits, int32_t k);
/* Makes n_sorted >= min(k, n). Linear in n. */
void candidates_sort_front(struct candidates *c, int32_t k);
/* Sets p of each to softmax(logit), summed in double; p sums to 1. */
void candidates_softmax(struct candidates *c);
/* Cuts to the first n; the front must be sorted that far. */
void candidates_keep(struct candidates *c, int32_t n);

/* Falling order of logit, stable. `other` has room for n; the result is in `item`. */
void candidates_sort(struct candidate *item, struct candidate *other, int32_t n);

#endif
