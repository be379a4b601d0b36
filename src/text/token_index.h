/* token_index.h - from the bytes of a token to its id: the look-up that encoding does most.
 * Private to text/. Immutable once made: any thread.
 */
#ifndef CRIA_TEXT_TOKEN_INDEX_H
#define CRIA_TEXT_TOKEN_INDEX_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "text/vocab.h"

enum { TOKEN_INLINE_BYTES = 12 };

struct token_key { /* 16 bytes, four to a cache line */
    uint64_t lo;   /* bytes 0..7, or a hash of a token longer than TOKEN_INLINE_BYTES */
    uint32_t hi;   /* bytes 8..11, or the length */
    uint32_t meta; /* bits 0-3: length, 15 if long; 0: empty slot. In a slot also the id (bits 4-29)
                    * and TOKEN_IS_WHOLE */
};

enum { TOKEN_IS_WHOLE = 1 << 30 }; /* a piece of exactly these bytes is this token */

struct token_index {
    const struct vocab *vocab;
    struct token_key *slot;
    uint64_t *maybe; /* 8 bits a slot, one set by each token's hash: says "no" without the slot */
    unsigned shift;  /* 64 - log2 of the number of slots */
    size_t mask;
    uint32_t max_token_bytes; /* of the tokens that are in the index */
};

/* Indexes the normal and user tokens of `v` (kept). Where two have the same bytes, a normal one
 * wins, then the lower id. `are_whole` gives all of them TOKEN_IS_WHOLE. ERR_FORMAT (naming `name`)
 * for a vocabulary made to collide. */
bool token_index_init(struct token_index *x, const struct vocab *v, bool are_whole,
                      const char *name, struct err *err) CRIA_CHECK;
void token_index_release(struct token_index *x);

/* The slot of these bytes, to set TOKEN_IS_WHOLE in it; NULL if there is none. */
struct token_key *token_index_slot(const struct token_index *x, const uint8_t *s, size_t n);

uint64_t token_hash_long(const uint8_t *s, size_t n);

static inline uint64_t load_u64(const uint8_t *s)
{
    uint64_t v = 0;
    memcpy(&v, s, 8);
    return v;
}

/* `n_safe` bytes may be read at s: with 16 or more, two loads and a mask. */
static inline struct token_key token_key_of(const uint8_t *s, size_t n, size_t n_safe)
{
    if (n > TOKEN_INLINE_BYTES) return (struct token_key){token_hash_long(s, n), (uint32_t)n, 15};
    uint8_t pad[16] = {0};
    if (n_safe < 16) {
        memcpy(pad, s, n);
        s = pad;
    }
    uint64_t lo = load_u64(s), hi = 0;
    if (n > 8)
        hi = load_u64(s + 8) & ~(~(uint64_t)0 << (8 * (n - 8)));
    else if (n < 8)
        lo &= ~(~(uint64_t)0 << (8 * n));
    return (struct token_key){lo, (uint32_t)hi, (uint32_t)n};
}

static inline uint64_t token_key_hash(struct token_key k)
{
    /* Two odd constants from the digits of pi and of e: only their bits' variety matters. */
    uint64_t h = k.lo * 0x243F6A8885A308D3u ^ ((uint64_t)k.hi << 8 | k.meta) * 0xB7E151628AED2A6Bu;
    h ^= h >> 32;
    return h * 0x9E3779B97F4A7C15u;
}

bool token_index_same_long(const struct token_index *x, uint32_t meta, const uint8_t *s, size_t n);

/* The meta word of the token with these bytes, 0 if there is none. n >= 1. */
static inline uint32_t token_index_meta(const struct token_index *x, const uint8_t *s, size_t n,
                                        size_t n_safe)
{
    if (n > x->max_token_bytes) return 0;
    const struct token_key k = token_key_of(s, n, n_safe);
    const uint64_t hash = token_key_hash(k);
    const uint64_t bit = hash >> (x->shift - 3);
    if (!(x->maybe[bit >> 6] >> (bit & 63) & 1)) return 0;
    for (size_t i = hash >> x->shift;; i = (i + 1) & x->mask) {
        const struct token_key *e = &x->slot[i];
        if (e->meta == 0) return 0;
        if (e->lo != k.lo || e->hi != k.hi || (e->meta & 15) != k.meta) continue;
        if (k.meta == 15 && !token_index_same_long(x, e->meta, s, n)) continue;
        return e->meta;
    }
}

static inline int32_t token_meta_id(uint32_t meta) { return (int32_t)(meta >> 4 & 0x3FFFFFF); }

/* The id, or -1. */
static inline int32_t token_index_find(const struct token_index *x, const uint8_t *s, size_t n)
{
    const uint32_t meta = n ? token_index_meta(x, s, n, n) : 0;
    return meta ? token_meta_id(meta) : -1;
}

#endif
