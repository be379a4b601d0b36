/* lookup.h - where the last words of a text stood before. Private to the engine.
 *
 * A table from four tokens to where they last ended, brought up to date when it is asked; it
 * belongs to one growing list of tokens. One thread at a time.
 */
#ifndef CRIA_INFER_LOOKUP_H
#define CRIA_INFER_LOOKUP_H

#include <stdint.h>

#include "base/err.h"

enum {
    LOOKUP_NGRAM = 4,      /* tokens that must be alike to be found at all */
    LOOKUP_MAX_SAME = 128, /* how far back likeness is counted */
};

struct lookup {
    int32_t *end; /* [1 << bits] one behind the last token of an n-gram */
    int bits;
    int32_t n_known; /* n-grams that end at or before this are in the table */
};

/* Memory for texts of up to n_ctx tokens. */
bool lookup_init(struct lookup *l, int32_t n_ctx, struct err *err) CRIA_CHECK;
void lookup_release(struct lookup *l);
/* Another text, or this one was changed: what was noted of it is forgotten. */
void lookup_begin(struct lookup *l);
/* The end of the latest earlier place where the last tokens of ids [n] stood, or 0 if there is
 * none; *n_same says how many of them, at least LOOKUP_NGRAM. */
int32_t lookup_find(struct lookup *l, const int32_t *ids, int32_t n, int32_t *n_same);

#endif
