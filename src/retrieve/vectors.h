/* vectors.h - vectors of an index's passages, and which are nearest to that of a question. One
 * thread at a time per store.
 *
 * Vectors of different models cannot be compared, so an index holds those of one: the label says
 * whose they are.
 */
#ifndef CRIA_RETRIEVE_VECTORS_H
#define CRIA_RETRIEVE_VECTORS_H

#include "retrieve/store.h"

/* From here on the index holds vectors under this label; those of another are dropped. Tells how
 * many passages have none. Within a transaction of its own. */
bool vectors_begin(struct store *s, const char *label, int64_t *n_missing,
                   struct err *err) CRIA_CHECK;
/* ERR_USAGE: the index has no vectors, or those of another label. */
bool vectors_check(struct store *s, const char *label, struct err *err) CRIA_CHECK;

/* The next passage without a vector whose id is above `after`: 1 with its id and text (the headings
 * above it, then what it says) appended; 0: there is none; -1 error. */
int vectors_next(struct store *s, int64_t after, int64_t *id, struct buf *text, struct err *err);
/* v [d] has length 1. */
bool vectors_put(struct store *s, int64_t id, const float *v, int32_t d,
                 struct err *err) CRIA_CHECK;

/* The ids of the passages nearest to v [d], at most n_want of them, nearest first. */
bool vectors_nearest(struct store *s, const float *v, int32_t d, int n_want, int64_t *id, int *n,
                     struct err *err) CRIA_CHECK;

#endif
