/* pretok.h - where a text is cut before byte-pair merging: one row a family of vocabularies.
 *
 * Each family is published as a regular expression; here each is an automaton written by hand,
 * because a backtracking engine is slow and can be made to overflow its stack by a text
 * (spec/inference.md b1, 11). Every automaton looks at each byte a bounded number of times. Any
 * thread.
 */
#ifndef CRIA_TEXT_PRETOK_H
#define CRIA_TEXT_PRETOK_H

#include <stddef.h>
#include <stdint.h>

#include "text/vocab.h"

struct pretok_family {
    const char *name; /* as in tokenizer.ggml.pre */
    enum pretok pretok;
    /* The end of the piece that begins at s + at; at < n. The result is in (at, n]. */
    size_t (*next)(const uint8_t *s, size_t n, size_t at);
};

/* The row of a family; never NULL (PRETOK_UNKNOWN gives the row of gpt-2). */
const struct pretok_family *pretok_family_of(enum pretok pretok);

/* Which family a byte-level vocabulary was trained with, told by its tokens alone: what the
 * pre-tokenizer keeps apart can never have become one token (the rules are in pretok_guess.c). */
enum pretok pretok_guess(const struct vocab *v);

#endif
