/* SPDX-License-Identifier: Apache-2.0
 *
 * bpe.c - text is cut into pieces (pretok.c); a piece that is a token is that token, any other is
 * found from its bytes.
 *
 * Two forms of vocabulary, which rank a pair differently:
 *   merges   the rank is the pair's place in the list (GPT-2 form, tokenizer.json, GGUF);
 *   tiktoken the rank is the id of the token with the bytes of both, if there is one.
 * The first needs a table of pairs, the second only the index of tokens.
 *
 * "A piece that is a token is that token" is how tiktoken and Llama 3 are defined (ignores_merges):
 * 588 of Llama 3's tokens cannot be reached by merging (spec/llama3.md 2.3). For a plain list of
 * merges it is no rule, only a short cut, so at the start every token's own bytes are merged, and
 * those that come out as themselves are marked TOKEN_IS_WHOLE.
 *
 * Ids are found by searching (bpe_search.c), and what that leaves open by merging (bpe_merge.c).
 */
#include "text/bpe.h"

#include <stdlib.h>

#include "text/bpe_merge.h"
#include "text/bpe_rank.h"

static bool encode_piece(const struct bpe_text *text, const uint8_t *s, size_t n,
                         struct merge_scratch *m, struct ids *out, struct err *err)
{
    bool is_found = false;
    if (!bpe_search(text, s, n, m, out, &is_found, err)) return false;
    return is_found || bpe_merge(text, s, n, m, out, err);
}

bool bpe_encode(const struct bpe *b, const uint8_t *s, size_t n, struct merge_scratch *scratch,
                struct ids *out, struct err *err)
{
    for (size_t at = 0, end = 0; at < n; at = end) {
        end = b->family->next(s, n, at);
        const uint32_t meta = token_index_meta(&b->index, s + at, end - at, n - at);
        if (meta & TOKEN_IS_WHOLE) {
            if (!bpe_push(out, token_meta_id(meta), err)) return false;
        } else {
            const struct bpe_text text = {b, n - at};
            if (!encode_piece(&text, s + at, end - at, scratch, out, err)) return false;
        }
    }
    return true;
}

/* ---- making it ---- */

static bool add_pair(struct bpe *b, struct vocab_merge m, uint32_t rank, int32_t made,
                     uint64_t *n_probes)
{
    const uint64_t key = pair_key(m.left, m.right), hash = pair_hash(key);
    const uint64_t bit = hash >> (b->pair_shift - 2);
    size_t i = hash >> b->pair_shift;
    for (; b->pair[i].key != UINT64_MAX; i = (i + 1) & b->pair_mask) {
        if (b->pair[i].key == key) return true; /* listed twice: the lower rank stays */
        ++*n_probes;
    }
    b->pair[i] = (struct bpe_pair){key, rank, made};
    b->maybe_pair[bit >> 6] |= (uint64_t)1 << (bit & 63);
    return *n_probes <= 64 * ((uint64_t)rank + 1000); /* as in token_index.c */
}

/* The id of the bytes of both, or -1. `text` has room for two tokens. */
static int32_t find_both(const struct bpe *b, const struct vocab *v, struct vocab_merge m,
                         uint8_t *text)
{
    const struct vocab_token *l = &v->tokens[m.left], *r = &v->tokens[m.right];
    const size_t n = (size_t)l->n_bytes + r->n_bytes;
    if (n == 0 || n > b->index.max_token_bytes) return -1;
    memcpy(text, l->bytes, l->n_bytes);
    memcpy(text + l->n_bytes, r->bytes, r->n_bytes);
    const uint32_t meta = token_index_meta(&b->index, text, n, 2 * VOCAB_MAX_TOKEN_BYTES);
    return meta ? token_meta_id(meta) : -1;
}

/* Asks for the memory that merges a little ahead of `i` will need: the loop in fill_pairs() is
 * otherwise a chain of misses (280,147 merges: 29 -> 15 ms). */
static void prefetch_merge(const struct bpe *b, const struct vocab *v, int32_t i)
{
    if (i + 16 >= v->n_merges) return;
    const struct vocab_merge far = v->merges[i + 16], near = v->merges[i + 8];
    __builtin_prefetch(&v->tokens[far.left]);
    __builtin_prefetch(&v->tokens[far.right]);
    __builtin_prefetch(&b->pair[pair_hash(pair_key(far.left, far.right)) >> b->pair_shift], 1);
    __builtin_prefetch(v->tokens[near.left].bytes);
    __builtin_prefetch(v->tokens[near.right].bytes);
}

static bool fill_pairs(struct bpe *b, const struct vocab *v, uint8_t *text, const char *name,
                       struct err *err)
{
    uint64_t n_probes = 0;
    for (int32_t i = 0; i < v->n_merges; i++) {
        prefetch_merge(b, v, i);
        const int32_t made = find_both(b, v, v->merges[i], text);
        if (made < 0) continue; /* a merge into a token that text can never give */
        if (!add_pair(b, v->merges[i], (uint32_t)i, made, &n_probes))
            return err_set(err, ERR_FORMAT,
                           "%s: merge %d: too many merges collide in the hash table; the "
                           "vocabulary was made to be slow, fetch the file again",
                           name, i);
    }
    return true;
}

static bool make_pairs(struct bpe *b, const struct vocab *v, const char *name, struct err *err)
{
    unsigned log2 = 6;
    while (((size_t)1 << log2) < (size_t)v->n_merges + (size_t)v->n_merges / 2) log2++;
    const size_t n_slots = (size_t)1 << log2;
    b->pair_shift = 64 - log2;
    b->pair_mask = n_slots - 1;
    b->pair = malloc(n_slots * sizeof *b->pair);
    b->maybe_pair = calloc(n_slots / 16, sizeof *b->maybe_pair);
    uint8_t *text = malloc(2 * VOCAB_MAX_TOKEN_BYTES + 16);
    bool ok = b->pair && b->maybe_pair && text;
    if (!ok)
        err_set(err, ERR_MEMORY, "%s: no memory for %d merges; close other programs", name,
                v->n_merges);
    for (size_t i = 0; ok && i < n_slots; i++) b->pair[i].key = UINT64_MAX;
    ok = ok && fill_pairs(b, v, text, name, err);
    free(text);
    return ok;
}

/* What rank_of_two() looks up: as the general rule says. */
static bool make_twos(struct bpe *b, const char *name, struct err *err)
{
    const size_t n = 256 * 256;
    b->two = malloc(n * sizeof *b->two);
    if (!b->two)
        return err_set(err, ERR_MEMORY, "%s: no memory for pairs of bytes; close other programs",
                       name);
    const struct bpe_text text = {b, 2};
    for (size_t i = 0; i < n; i++) {
        const uint8_t s[2] = {(uint8_t)(i >> 8), (uint8_t)i};
        const struct merge_pair p = {b->byte_id[s[0]], b->byte_id[s[1]], 0, 2};
        struct bpe_two *two = &b->two[i];
        *two = (struct bpe_two){MERGE_NONE, 0};
        if (p.left < 0 || p.right < 0) continue;
        two->rank = b->pair ? rank_by_pair(&text, s, p, &two->made)
                            : rank_by_bytes(&text, s, p, &two->made);
    }
    return true;
}

/* Tokens of one character of three bytes: most of what Chinese and Japanese are written in. */
static bool make_wide(struct bpe *b, const struct vocab *v, const char *name, struct err *err)
{
    b->wide = calloc(BPE_WIDE, sizeof *b->wide);
    if (!b->wide)
        return err_set(err, ERR_MEMORY, "%s: no memory for wide characters; close other programs",
                       name);
    for (int32_t i = 0; i < v->n_tokens; i++) {
        const uint8_t *s = (const uint8_t *)v->tokens[i].bytes;
        const uint32_t at = v->tokens[i].n_bytes == 3 ? bpe_wide(s) : BPE_WIDE;
        if (at < BPE_WIDE) b->wide[at] = token_index_find(&b->index, s, 3) + 1;
    }
    return true;
}

/* Marks the tokens that their own bytes are merged to. */
static void mark_whole(struct bpe *b, const struct vocab *v)
{
    for (int32_t i = 0; i < v->n_tokens; i++) {
        const struct vocab_token *t = &v->tokens[i];
        const uint8_t *s = (const uint8_t *)t->bytes;
        if (t->n_bytes == 0 || t->n_bytes > MERGE_SHORT) continue;
        const struct bpe_text text = {b, t->n_bytes};
        int32_t id[MERGE_SHORT];
        uint32_t highest = 0;
        if (bpe_merge_short(&text, s, t->n_bytes, 1, id, &highest) != 1 || id[0] != i) continue;
        struct token_key *e = token_index_slot(&b->index, s, t->n_bytes);
        if (e && token_meta_id(e->meta) == i) e->meta |= TOKEN_IS_WHOLE;
    }
}

bool bpe_init(struct bpe *b, const struct vocab *v, const struct pretok_family *family,
              bool ignores_merges, const char *name, struct err *err)
{
    *b = (struct bpe){.family = family};
    const bool are_whole = ignores_merges || !v->merges;
    if (!token_index_init(&b->index, v, are_whole, name, err)) return false;
    for (int i = 0; i < 256; i++)
        b->byte_id[i] = token_index_find(&b->index, &(uint8_t){(uint8_t)i}, 1);
    b->has_small_ranks = v->n_merges < (int32_t)MERGE_SMALL_RANK;
    if ((v->merges && !make_pairs(b, v, name, err)) || !make_twos(b, name, err) ||
        !make_wide(b, v, name, err) || !bpe_search_init(&b->search, v, name, err)) {
        bpe_release(b);
        return false;
    }
    if (!are_whole) mark_whole(b, v);
    return true;
}

void bpe_release(struct bpe *b)
{
    token_index_release(&b->index);
    bpe_search_release(&b->search);
    free(b->pair);
    free(b->maybe_pair);
    free(b->two);
    free(b->wide);
    b->wide = NULL;
    b->two = NULL;
    b->pair = NULL;
    b->maybe_pair = NULL;
}
