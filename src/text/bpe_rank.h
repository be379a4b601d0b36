/* bpe_rank.h - the rank of a pair of neighbours, in both forms of vocabulary (bpe.c). Private to
 * bpe*.c: inline, so that merging and searching get a copy each.
 */
#ifndef CRIA_TEXT_BPE_RANK_H
#define CRIA_TEXT_BPE_RANK_H

#include "text/bpe.h"
#include "text/bpe_merge.h"
#include "text/merge.h"

static inline uint64_t pair_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static inline uint64_t pair_hash(uint64_t key) { return (key ^ key >> 27) * 0x9E3779B97F4A7C15u; }

static inline uint32_t rank_by_pair(const void *text, const uint8_t *s, struct merge_pair p,
                                    int32_t *made)
{
    (void)s;
    const struct bpe *b = ((const struct bpe_text *)text)->bpe;
    const uint64_t key = pair_key(p.left, p.right), hash = pair_hash(key);
    const uint64_t bit = hash >> (b->pair_shift - 2);
    if (!(b->maybe_pair[bit >> 6] >> (bit & 63) & 1)) return MERGE_NONE;
    for (size_t i = hash >> b->pair_shift;; i = (i + 1) & b->pair_mask) {
        const struct bpe_pair *e = &b->pair[i];
        if (e->key == key) {
            *made = e->made;
            return e->rank;
        }
        if (e->key == UINT64_MAX) return MERGE_NONE;
    }
}

static inline uint32_t rank_by_bytes(const void *text, const uint8_t *s, struct merge_pair p,
                                     int32_t *made)
{
    const struct bpe_text *r = text;
    const uint32_t meta =
        token_index_meta(&r->bpe->index, s + p.begin, p.end - p.begin, r->n_readable - p.begin);
    if (!meta) return MERGE_NONE;
    *made = token_meta_id(meta);
    return (uint32_t)*made;
}

/* Of two bytes, from their table; bytes that were left out may lie between two symbols. */
static inline uint32_t rank_of_two(const void *text, const uint8_t *s, struct merge_pair p,
                                   int32_t *made)
{
    const struct bpe *b = ((const struct bpe_text *)text)->bpe;
    if (p.end - p.begin != 2)
        return b->pair ? rank_by_pair(text, s, p, made) : rank_by_bytes(text, s, p, made);
    const struct bpe_two *two = &b->two[s[p.begin] << 8 | s[p.begin + 1]];
    *made = two->made;
    return two->rank;
}

#endif
