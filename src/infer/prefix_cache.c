/* SPDX-License-Identifier: Apache-2.0
 *
 * prefix_cache.c - ended sequences stay in the cache until their pages are needed.
 *
 * The next turn of a chat begins with all of the last one, and a server's users share a system
 * prompt: both find their beginning here and read only the rest. Lines are compared token by
 * token: there are at most 2 n_seqs + 7 of them, and a comparison costs less than one token of the
 * forward pass; a radix tree would pay from some thousands on.
 *
 * At least the last token of a prompt is always read again, so that there are logits to sample
 * from; more, where the results of earlier tokens are wanted too (n_shareable). A kept line that is
 * the beginning of another kept line is dropped, since it adds nothing.
 *
 * Keys and values are of one adapter, or of none: lines of others share nothing, however alike. An
 * adapter that is loaded again counts as another (lora_id()).
 *
 * A shared prefix was computed in batches of other sizes than the request alone would make, so
 * where kernels differ by batch size (ops.h) the logits after it may differ in the last bits.
 */
#include "infer/engine_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool line_init(struct line *l, int32_t n_ctx)
{
    *l = (struct line){.seq = -1, .ids = calloc((size_t)n_ctx + 1, sizeof *l->ids)};
    return l->ids != NULL;
}

bool prefix_init(struct engine *e, struct err *err)
{
    e->n_prefixes = e->n_seqs + N_MORE_PREFIXES;
    e->prefix = calloc((size_t)e->n_prefixes, sizeof *e->prefix);
    e->slot = calloc((size_t)e->n_seqs, sizeof *e->slot);
    bool ok = e->prefix && e->slot;
    for (int32_t i = 0; ok && i < e->n_prefixes; i++) ok = line_init(&e->prefix[i].line, e->n_ctx);
    for (int32_t i = 0; ok && i < e->n_seqs; i++) ok = line_init(&e->slot[i].line, e->n_ctx);
    return ok ||
           err_set(err, ERR_MEMORY, "no memory for the token lists of %d answers", (int)e->n_seqs);
}

void prefix_release(struct engine *e)
{
    for (int32_t i = 0; e->prefix && i < e->n_prefixes; i++) free(e->prefix[i].line.ids);
    for (int32_t i = 0; e->slot && i < e->n_seqs; i++) free(e->slot[i].line.ids);
    free(e->prefix);
    free(e->slot);
}

int32_t prefix_common(const int32_t *a, const int32_t *b, int32_t n)
{
    int32_t i = 0;
    while (i < n && a[i] == b[i]) i++;
    return i;
}

static void drop(struct engine *e, struct prefix *p)
{
    kv_cache_close_seq(e->kv, p->line.seq);
    p->line.seq = -1;
    p->line.n_ids = 0;
}

bool prefix_evict(struct engine *e)
{
    struct prefix *oldest = NULL;
    for (int32_t i = 0; i < e->n_prefixes; i++) {
        struct prefix *p = &e->prefix[i];
        if (p->line.seq >= 0 && (!oldest || p->last_used < oldest->last_used)) oldest = p;
    }
    if (oldest) drop(e, oldest);
    return oldest != NULL;
}

/* There are as many sequences as slots and prefixes, so one is always free. */
static int32_t open_seq(struct engine *e)
{
    struct err err = {0};
    const int32_t seq = kv_cache_open_seq(e->kv, &err);
    assert(seq >= 0);
    return seq;
}

int32_t prefix_fork(struct engine *e, int32_t src, int32_t n_tok)
{
    struct err err = {0};
    const int32_t seq = open_seq(e);
    const bool ok = n_tok == 0 || kv_cache_fork(e->kv, src, seq, n_tok, &err);
    assert(ok);
    (void)ok;
    return seq;
}

/* How much of `line` the other one holds. */
static int32_t held_of(const struct engine *e, const struct line *line, const struct line *other)
{
    if (other == line || other->seq < 0 || other->adapter != line->adapter) return 0;
    int32_t n = kv_cache_length(e->kv, other->seq);
    if (n > line->n_shareable) n = line->n_shareable;
    return prefix_common(line->ids, other->ids, n);
}

/* The longest beginning that `line` shares with one that goes on otherwise, *n_same, and with one
 * that does not, *n_whole. */
static void compare(const struct line *line, const struct line *other, int32_t *n_same,
                    int32_t *n_whole)
{
    if (other == line || other->seq < 0 || other->adapter != line->adapter) return;
    const int32_t n_most = other->n_ids < line->n_ids ? other->n_ids : line->n_ids;
    const int32_t n = prefix_common(line->ids, other->ids, n_most);
    int32_t *longest = n < n_most ? n_same : n_whole;
    if (n > *longest) *longest = n;
}

/* Why there is no more of `line` in the cache: see prefix_open(). */
static int32_t find_same(const struct engine *e, const struct line *line)
{
    int32_t n_same = 0, n_whole = 0;
    for (int32_t i = 0; i < e->n_prefixes; i++)
        compare(line, &e->prefix[i].line, &n_same, &n_whole);
    for (int32_t i = 0; i < e->n_order; i++)
        compare(line, &e->slot[e->order[i]].line, &n_same, &n_whole);
    return n_same > n_whole ? n_same : 0;
}

/* The sequence that holds the most of `line`, if that is more than n_best; the new n_best. */
static int32_t find_longest(struct engine *e, const struct line *line, int32_t n_best, int32_t *src)
{
    struct prefix *used = NULL;
    for (int32_t i = 0; i < e->n_prefixes; i++) {
        const int32_t n = held_of(e, line, &e->prefix[i].line);
        if (n > n_best) n_best = n, *src = e->prefix[i].line.seq, used = &e->prefix[i];
    }
    for (int32_t i = 0; i < e->n_order; i++) {
        const struct line *other = &e->slot[e->order[i]].line;
        const int32_t n = held_of(e, line, other);
        if (n > n_best) n_best = n, *src = other->seq, used = NULL;
    }
    if (used) used->last_used = ++e->clock;
    return n_best;
}

int32_t prefix_open(struct engine *e, struct line *line, int32_t *n_same)
{
    int32_t src = -1;
    *n_same = find_same(e, line);
    const int32_t n = find_longest(e, line, 0, &src);
    line->seq = prefix_fork(e, src, n);
    return n;
}

int32_t prefix_extend(struct engine *e, struct line *line, int32_t n_held, int32_t *n_same)
{
    int32_t src = -1;
    *n_same = find_same(e, line);
    const int32_t n = find_longest(e, line, n_held, &src);
    if (src < 0) return n_held;
    /* first closed: there are just as many sequences as may be open */
    kv_cache_close_seq(e->kv, line->seq);
    line->seq = prefix_fork(e, src, n);
    return n;
}

/* An empty place: one whose line adds nothing to `line`, or a free one, or the oldest. */
static struct prefix *place_for(struct engine *e, const struct line *line)
{
    struct prefix *place = NULL;
    for (int32_t i = 0; i < e->n_prefixes; i++) {
        struct prefix *p = &e->prefix[i];
        const int32_t n = p->line.n_ids;
        if (p->line.seq >= 0 && p->line.adapter == line->adapter && n <= line->n_ids &&
            prefix_common(p->line.ids, line->ids, n) == n)
            drop(e, p);
        if (p->line.seq < 0) place = p;
    }
    if (place) return place;
    prefix_evict(e);
    for (int32_t i = 0; i < e->n_prefixes; i++)
        if (e->prefix[i].line.seq < 0) place = &e->prefix[i];
    return place;
}

void prefix_keep(struct engine *e, struct line *line, int32_t n_fed)
{
    if (line->seq >= 0 && n_fed == 0) kv_cache_close_seq(e->kv, line->seq);
    if (line->seq >= 0 && n_fed > 0) {
        kv_cache_trim(e->kv, line->seq, n_fed); /* guesses */
        line->n_ids = n_fed;
        struct prefix *p = place_for(e, line);
        const struct line empty = p->line;
        p->line = *line;
        p->last_used = ++e->clock;
        *line = empty; /* its memory serves the slot's next answer */
    }
    line->seq = -1;
    line->n_ids = 0;
}

void prefix_adopt(struct engine *e, int32_t seq, const int32_t *ids, int32_t n_tok)
{
    const struct line line = {.seq = seq, .ids = (int32_t *)(uintptr_t)ids, .n_ids = n_tok};
    struct prefix *p = place_for(e, &line); /* which only reads it */
    memcpy(p->line.ids, ids, (size_t)n_tok * sizeof *p->line.ids);
    p->line.seq = seq;
    p->line.adapter = 0;
    p->line.n_ids = n_tok;
    p->last_used = ++e->clock;
}

void engine_clear_cache(struct engine *e)
{
    while (prefix_evict(e)) continue;
}

int64_t engine_free_tokens(const struct engine *e) { return kv_cache_free_tokens(e->kv); }
