/* bpe_search.h - the ids of byte-pair encoding without merging: longest tokens first, with a check
 * of neighbours. Private to text/bpe*.c.
 */
#ifndef CRIA_TEXT_BPE_SEARCH_H
#define CRIA_TEXT_BPE_SEARCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/bpe_lengths.h"

struct bpe_text;
struct ids;
struct merge_scratch;
struct vocab;

/* How merging makes a token, found out when it is first met, by whichever thread meets it. */
struct bpe_part {
    _Atomic uint32_t state; /* PART_*, or PART_MERGED + the rank of its last merge; written last */
    _Atomic uint32_t n_bytes;
    _Atomic int32_t left, right; /* what the last merge joined; itself: a byte */
    /* Bit k: the token, or a left part of a left part of it and so on, has k bytes; the same to the
     * right. 0: unknown. */
    _Atomic uint32_t left_spine, right_spine;
};

struct bpe_search {
    struct bpe_part *part; /* [n_tokens] */
    struct bpe_lengths lengths;
};

/* ERR_MEMORY names `name`. */
bool bpe_search_init(struct bpe_search *x, const struct vocab *v, const char *name,
                     struct err *err) CRIA_CHECK;
void bpe_search_release(struct bpe_search *x);

/* Appends the ids of a piece; *is_found false and nothing appended: it must be merged. */
bool bpe_search(const struct bpe_text *text, const uint8_t *s, size_t n, struct merge_scratch *m,
                struct ids *out, bool *is_found, struct err *err) CRIA_CHECK;

#endif
