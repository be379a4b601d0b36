/* SPDX-License-Identifier: Apache-2.0
 *
 * bpe_merge.c - a piece merged from single bytes (merge.h): the definition of byte-pair encoding.
 * Every text could be encoded by this alone; bpe_search.c finds the same ids sooner, asks here what
 * a token is made of, and leaves to it the pieces that it cannot decide.
 *
 * A byte without a token is left out before merging, so that its neighbours meet, as in the
 * reference of those vocabularies (Hugging Face tokenizers).
 */
#include "text/bpe_merge.h"

#include "text/bpe_rank.h"

static_assert(VOCAB_MAX_TOKENS < MERGE_SMALL_RANK, "ids are small ranks");

static const struct merge_rule by_pair = {rank_of_two, rank_by_pair, true};
static const struct merge_rule by_rare_pair = {rank_of_two, rank_by_pair, false};
static const struct merge_rule by_bytes = {rank_of_two, rank_by_bytes, true};

/* One id a byte; bytes without a token left out. Returns the number of ids. */
static uint32_t bytes_to_ids(const struct bpe *b, const uint8_t *s, size_t n, int32_t *id,
                             uint32_t *start)
{
    uint32_t n_sym = 0;
    for (size_t i = 0; i < n; i++) {
        if (b->byte_id[s[i]] < 0) continue;
        id[n_sym] = b->byte_id[s[i]];
        start[n_sym++] = (uint32_t)i;
    }
    start[n_sym] = (uint32_t)n;
    return n_sym;
}

uint32_t bpe_merge_short(const struct bpe_text *text, const uint8_t *s, size_t n, uint32_t least,
                         int32_t *id, uint32_t *highest)
{
    uint32_t start[MERGE_SHORT + 1];
    const uint32_t n_sym = bytes_to_ids(text->bpe, s, n, id, start);
    if (!text->bpe->pair) return merge_short(by_bytes, text, s, id, start, n_sym, least, highest);
    if (text->bpe->has_small_ranks)
        return merge_short(by_pair, text, s, id, start, n_sym, least, highest);
    return merge_short(by_rare_pair, text, s, id, start, n_sym, least, highest);
}

static bool merge_piece_long(const struct bpe_text *text, const uint8_t *s, size_t n,
                             struct merge_scratch *m, struct ids *out, struct err *err)
{
    if (!merge_scratch_fit(m, n, err)) return false;
    const struct bpe *b = text->bpe;
    uint32_t n_sym = 0;
    for (size_t i = 0; i < n; i++) {
        if (b->byte_id[s[i]] < 0) continue;
        m->node[n_sym].id = b->byte_id[s[i]];
        m->node[n_sym++].start = (uint32_t)i;
    }
    m->node[n_sym].start = (uint32_t)n;
    if (n_sym == 0) return true;
    if (b->pair)
        merge_long(by_pair, text, s, m, n_sym);
    else
        merge_long(by_bytes, text, s, m, n_sym);
    for (uint32_t i = 0; i != n_sym; i = m->node[i].next)
        if (!ids_push(out, m->node[i].id, err)) return false;
    return true;
}

bool bpe_merge(const struct bpe_text *text, const uint8_t *s, size_t n, struct merge_scratch *m,
               struct ids *out, struct err *err)
{
    if (n > MERGE_SHORT) return merge_piece_long(text, s, n, m, out, err);
    int32_t id[MERGE_SHORT];
    uint32_t highest = 0;
    const uint32_t n_ids = bpe_merge_short(text, s, n, 1, id, &highest);
    for (uint32_t i = 0; i < n_ids; i++)
        if (!ids_push(out, id[i], err)) return false;
    return true;
}
