/* pooling.h - one vector for a whole text: which of its tokens' states count, and how much. Any
 * thread.
 */
#ifndef CRIA_INFER_POOLING_H
#define CRIA_INFER_POOLING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum pooling {
    POOL_NONE, /* no vector is wanted */
    POOL_MEAN,
    POOL_WEIGHTED, /* mean with weight i + 1 for token i */
    POOL_LAST,     /* the last token's state */
};
/* "mean", "weighted", "last", ended by NULL: from POOL_MEAN on. */
const char *const *pooling_names(void);
/* POOL_NONE for a name that is none of them. */
enum pooling pooling_by_name(const char *name);
/* False where the states of tokens before the last count too. */
bool pooling_is_of_last(enum pooling how);

struct pool {
    enum pooling how;
    int32_t d;
    double *sum; /* [d] */
    float *unit; /* [d] */
};
bool pool_init(struct pool *p, enum pooling how, int32_t d, struct err *err) CRIA_CHECK;
void pool_release(struct pool *p);
/* Adds the state [d] of token i. Of POOL_LAST only the last one may be given. */
void pool_add(struct pool *p, int32_t i, const float *state);
/* The vector, of length 1; p's own. */
const float *pool_finish(struct pool *p);

/* The first `n` of the numbers of a vector, made of length 1 again (models of which the first ones
 * say most are trained so). */
void pool_shorten(float *v, int32_t n);

#endif
