/* special.h - finding tokens that are matched as text: control tokens and added ones. Private to
 * text/. Immutable once made: any thread.
 */
#ifndef CRIA_TEXT_SPECIAL_H
#define CRIA_TEXT_SPECIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/vocab.h"

struct special_entry {
    const char *text;
    uint32_t n_bytes;
    int32_t id;
};

struct specials {
    struct special_entry *entry; /* in the order of their bytes */
    int32_t n;
    int32_t first_of[257]; /* entries that begin with byte b: [first_of[b], first_of[b + 1]) */
};

struct special_hit {
    size_t begin, end;
    int32_t id;
};

/* Collects the tokens whose kind is in `kinds` (bits 1 << kind). Texts are kept from `v`; for
 * SentencePiece U+2581 is turned into a space, in memory of v's arena. */
bool specials_init(struct specials *p, struct vocab *v, unsigned kinds, struct err *err) CRIA_CHECK;
void specials_release(struct specials *p);

/* The first place at or after `at` where a token matches, the longest one there. */
bool specials_find(const struct specials *p, const char *s, size_t n, size_t at,
                   struct special_hit *hit);

#endif
