/* constraint.h - which tokens may come next in an answer that a grammar binds.
 *
 * token_masks joins a grammar with a vocabulary and remembers what it has worked out: one for all
 * answers of that grammar. A constraint is how far one answer has come. For each token: ask for the
 * mask, pick a token in it, accept that. Whatever is picked so, the text can be completed, and a
 * token that ends the answer is in the mask only when the text is whole.
 *
 * Thread rule: one thread at a time for a token_masks and all of its constraints.
 */
#ifndef CRIA_INFER_CONSTRAINT_H
#define CRIA_INFER_CONSTRAINT_H

#include "infer/grammar.h"
#include "infer/token_trie.h"

struct token_masks;

/* Shares `g` (which the caller keeps too); keeps `t`. Returns owned. */
struct token_masks *token_masks_new(struct grammar *g, const struct token_trie *t, struct err *err);
void token_masks_free(struct token_masks *m); /* NULL is fine; no constraint may be left */
const struct grammar *token_masks_grammar(const struct token_masks *m);
/* Memory of all that is remembered; bounded by about 200 MB whatever the grammar. */
size_t token_masks_bytes(const struct token_masks *m);

struct constraint {
    struct token_masks *masks;      /* NULL: free text */
    int32_t set;                    /* private */
    struct constraint *next, *prev; /* private: of the same masks */
};

/* Must not move in memory until constraint_end(), which is fine for {0}. */
bool constraint_begin(struct constraint *c, struct token_masks *m, struct err *err) CRIA_CHECK;
void constraint_end(struct constraint *c);

/* A bit a token, [(n_vocab + 63) / 64] words, valid until the next call of anything on the same
 * masks. NULL: ERR_LIMIT (the grammar is too ambiguous here), ERR_MEMORY, or ERR_UNSUPPORTED: no
 * token of the vocabulary fits. */
const uint64_t *constraint_mask(struct constraint *c, struct err *err);

/* Goes on behind `id`. ERR_FORMAT if the mask did not have it; nothing has changed then. A token
 * that ends the answer changes nothing. */
bool constraint_accept(struct constraint *c, int32_t id, struct err *err) CRIA_CHECK;

/* The same by bytes, for tests and for text that is given. */
bool constraint_accept_bytes(struct constraint *c, const void *bytes, size_t n,
                             struct err *err) CRIA_CHECK;

bool constraint_is_whole(const struct constraint *c); /* the text may end here */
bool constraint_is_over(const struct constraint *c);  /* and must */

/* How many of ids [n] may follow, one behind the other; changes nothing. */
int32_t constraint_count_allowed(struct constraint *c, const int32_t *ids, int32_t n);

#endif
