/* spm.h - SentencePiece BPE (Llama 1 and 2, TinyLlama): merges by score, spaces written as U+2581,
 * unknown characters as bytes. Private to text/. Immutable once made: any thread, each with its
 * own scratch.
 */
#ifndef CRIA_TEXT_SPM_H
#define CRIA_TEXT_SPM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/merge_scratch.h"
#include "text/token_index.h"
#include "text/tokenizer.h"

struct spm {
    const struct vocab *vocab;
    struct token_index index;
    int32_t byte_id[256]; /* of <0xNN>; -1: none */
    bool cuts_at_spaces;  /* no token has a U+2581 after something else */
};

/* Keeps `v`. ERR_FORMAT names `name`. */
bool spm_init(struct spm *m, const struct vocab *v, const char *name, struct err *err) CRIA_CHECK;
void spm_release(struct spm *m);

/* The byte that a <0xNN> token stands for, -1 for any other token. */
int spm_byte_of(const struct vocab_token *t);

/* Writes s[0..n) with every U+2581 as a space, and a NUL; returns the bytes without the NUL. `out`
 * has room for n + 1. */
uint32_t spm_plain_text(const char *s, size_t n, char *out);

/* Appends the ids of ordinary text of n bytes, 3 (n + 1) < 2^31; `has_prefix` puts a space in
 * front of it. */
bool spm_encode(const struct spm *m, const uint8_t *s, size_t n, bool has_prefix,
                struct merge_scratch *scratch, struct ids *out, struct err *err) CRIA_CHECK;

#endif
