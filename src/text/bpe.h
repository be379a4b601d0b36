/* bpe.h - byte-level byte-pair encoding, from a list of merges or from tiktoken's ranks. Private to
 * text/. Immutable once made: any thread, each with its own scratch.
 */
#ifndef CRIA_TEXT_BPE_H
#define CRIA_TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/bpe_search.h"
#include "text/merge_scratch.h"
#include "text/pretok.h"
#include "text/token_index.h"
#include "text/tokenizer.h"

/* ids_push() without the call, mostly. */
static inline bool bpe_push(struct ids *out, int32_t id, struct err *err)
{
    if (out->n == out->cap) return ids_push(out, id, err);
    out->id[out->n++] = id;
    return true;
}

struct bpe_pair { /* a slot of the table of merges */
    uint64_t key; /* left << 32 | right; UINT64_MAX: empty */
    uint32_t rank;
    int32_t made;
};

struct bpe_two {   /* two bytes side by side */
    uint32_t rank; /* MERGE_NONE: none */
    int32_t made;
};

/* The place of a well-formed-looking character of three bytes in a table of BPE_WIDE, which is the
 * character itself; BPE_WIDE if s[0..2] is none. */
enum { BPE_WIDE = 1 << 16 };

static inline uint32_t bpe_wide(const uint8_t *s)
{
    if ((s[0] & 0xF0) != 0xE0 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80) return BPE_WIDE;
    return (s[0] & 0xFu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
}

struct bpe {
    const struct pretok_family *family;
    struct token_index index;
    struct bpe_pair *pair; /* NULL: ranks are the ids of the results */
    uint64_t *maybe_pair;  /* 4 bits a slot, as token_index.maybe */
    unsigned pair_shift;
    size_t pair_mask;
    struct bpe_two *two;  /* [256 * 256], by the first byte, then the second */
    int32_t *wide;        /* [BPE_WIDE], by bpe_wide(): the token of that character + 1, 0: none */
    bool has_small_ranks; /* see merge.h */
    struct bpe_search search;
    int32_t byte_id[256]; /* -1: the vocabulary has no such byte, which is dropped */
};

/* Keeps `v`. ERR_FORMAT names `name`. */
bool bpe_init(struct bpe *b, const struct vocab *v, const struct pretok_family *family,
              bool ignores_merges, const char *name, struct err *err) CRIA_CHECK;
void bpe_release(struct bpe *b);

/* Appends the ids of ordinary text, n < 2^31. */
bool bpe_encode(const struct bpe *b, const uint8_t *s, size_t n, struct merge_scratch *scratch,
                struct ids *out, struct err *err) CRIA_CHECK;

#endif
