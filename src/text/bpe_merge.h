/* bpe_merge.h - byte-pair encoding by its definition, on one piece. Private to text/bpe*.c.
 */
#ifndef CRIA_TEXT_BPE_MERGE_H
#define CRIA_TEXT_BPE_MERGE_H

#include "text/bpe.h"

/* A text in a vocabulary: what the ranks of its pairs depend on. */
struct bpe_text {
    const struct bpe *bpe;
    size_t n_readable; /* bytes that may be read from the piece's first on: see token_key_of() */
};

/* Merges a piece of at most MERGE_SHORT bytes into id[], until `least` symbols are left or none of
 * them merge; returns how many are left, and the highest rank merged. */
uint32_t bpe_merge_short(const struct bpe_text *text, const uint8_t *s, size_t n, uint32_t least,
                         int32_t *id, uint32_t *highest);

/* Appends the ids of a piece of any length. */
bool bpe_merge(const struct bpe_text *text, const uint8_t *s, size_t n, struct merge_scratch *m,
               struct ids *out, struct err *err) CRIA_CHECK;

#endif
