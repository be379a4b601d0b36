/* SPDX-License-Identifier: Apache-2.0
 *
 * token_index.c - an open-addressing hash of a vocabulary's tokens.
 *
 * Nearly every piece of ordinary text is one token, so encoding is this look-up, and its cost is
 * cache lines. A slot therefore holds the bytes of a short token itself (12: 97 of 100 pieces of
 * English), so that a hit touches one line; a longer one holds 64 bits of hash and compares the
 * text once. Half full at most, linear probing.
 *
 * While merging, most look-ups find nothing, and each would miss the caches. A bitmap of a
 * sixteenth of the table's size, one bit a token by the same hash, says "no" to 15 of 16 of them
 * from the second-level cache: Chinese and Japanese 13 -> 20 MB/s, English as before
 * (bench/tokenizer).
 *
 * A file by a stranger may hold tokens made to collide. Probes are counted while building, and a
 * vocabulary that needs more than MAX_PROBES a token on average is refused: with honest ones the
 * mean is under 2.
 */
#include "text/token_index.h"

#include <stdlib.h>

#define MAX_PROBES 64

uint64_t token_hash_long(const uint8_t *s, size_t n)
{
    uint64_t h = n * 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i + 8 < n; i += 8) {
        h = (h ^ load_u64(s + i)) * 0x243F6A8885A308D3u;
        h ^= h >> 29;
    }
    h = (h ^ load_u64(s + n - 8)) * 0xB7E151628AED2A6Bu; /* n > 12: the tail may overlap */
    return h ^ h >> 32;
}

bool token_index_same_long(const struct token_index *x, uint32_t meta, const uint8_t *s, size_t n)
{
    const struct vocab_token *t = &x->vocab->tokens[token_meta_id(meta)];
    return t->n_bytes == n && memcmp(t->bytes, s, n) == 0;
}

/* The slot of these bytes: one that holds them, or the empty one where they would go. */
static struct token_key *find_slot(const struct token_index *x, const uint8_t *s, size_t n,
                                   struct token_key *k, uint64_t *n_probes)
{
    *k = token_key_of(s, n, n);
    for (size_t i = token_key_hash(*k) >> x->shift;; i = (i + 1) & x->mask) {
        struct token_key *e = &x->slot[i];
        ++*n_probes;
        if (e->meta == 0) return e;
        if (e->lo == k->lo && e->hi == k->hi && (e->meta & 15) == k->meta &&
            (k->meta != 15 || token_index_same_long(x, e->meta, s, n)))
            return e;
    }
}

struct token_key *token_index_slot(const struct token_index *x, const uint8_t *s, size_t n)
{
    struct token_key k;
    uint64_t n_probes = 0;
    struct token_key *e = find_slot(x, s, n, &k, &n_probes);
    return e->meta ? e : NULL;
}

static bool add_tokens_of(struct token_index *x, enum token_kind kind, uint32_t flags,
                          const char *name, struct err *err)
{
    const struct vocab *v = x->vocab;
    uint64_t n_probes = 0;
    for (int32_t i = 0; i < v->n_tokens; i++) {
        const struct vocab_token *t = &v->tokens[i];
        if (t->kind != kind || t->n_bytes == 0) continue;
        struct token_key k;
        struct token_key *e = find_slot(x, (const uint8_t *)t->bytes, t->n_bytes, &k, &n_probes);
        if (e->meta) continue;
        const uint64_t bit = token_key_hash(k) >> (x->shift - 3);
        x->maybe[bit >> 6] |= (uint64_t)1 << (bit & 63);
        k.meta |= (uint32_t)i << 4 | flags;
        *e = k;
        if (t->n_bytes > x->max_token_bytes) x->max_token_bytes = t->n_bytes;
        if (n_probes > MAX_PROBES * ((uint64_t)i + 1000))
            return err_set(err, ERR_FORMAT,
                           "%s: token %d: too many tokens collide in the hash table; the "
                           "vocabulary was made to be slow, fetch the file again",
                           name, i);
    }
    return true;
}

bool token_index_init(struct token_index *x, const struct vocab *v, bool are_whole,
                      const char *name, struct err *err)
{
    const uint32_t flags = are_whole ? TOKEN_IS_WHOLE : 0;
    unsigned log2 = 4;
    while (((size_t)1 << log2) < 2 * (size_t)v->n_tokens) log2++;
    *x = (struct token_index){.vocab = v, .shift = 64 - log2, .mask = ((size_t)1 << log2) - 1};
    x->slot = calloc((size_t)1 << log2, sizeof *x->slot);
    x->maybe = calloc((size_t)1 << (log2 - 3), sizeof *x->maybe);
    if (!x->slot || !x->maybe) {
        token_index_release(x);
        return err_set(err, ERR_MEMORY, "%s: no memory to index %d tokens; close other programs",
                       name, v->n_tokens);
    }
    if (add_tokens_of(x, TOKEN_NORMAL, flags, name, err) &&
        add_tokens_of(x, TOKEN_USER, flags, name, err))
        return true;
    token_index_release(x);
    return false;
}

void token_index_release(struct token_index *x)
{
    free(x->slot);
    free(x->maybe);
    x->slot = NULL;
    x->maybe = NULL;
}
