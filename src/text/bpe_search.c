/* SPDX-License-Identifier: Apache-2.0
 *
 * bpe_search.c - byte-pair encoding as a search: take the longest token that may stand beside the
 * one before it; where none may, take back the last and try a shorter one there.
 *
 * Why this gives the ids of merging. Merging always takes the pair of lowest rank, leftmost first,
 * so what it does inside a stretch of text depends on that stretch alone as long as no merge
 * crosses the stretch's border. Hence tokens t1 .. tk are the encoding of their text if and only if
 * every one is the encoding of its own bytes and every two neighbours are the encoding of theirs:
 * the first merge across a border would also happen with the two neighbours alone. And since the
 * encoding of a text is one, so is the row of tokens that leads to a position: a position from
 * which the search could not go on is dead for good, each is entered once, and the time is linear.
 *
 * Two neighbours a, b stay apart if no merge joins the last symbol of a with the first of b at any
 * time while both are being made. may_meet() goes through these moments backwards: of the two, the
 * symbol that was made last is taken apart into the halves of its last merge, and the pair at the
 * border would have merged before that if its rank is lower (equal ranks go to the left one first).
 *   I1  this needs ranks that grow from the halves of a token to the token, as training makes them.
 *       A token with a half of higher rank is PART_ODD, and with such a neighbour the two are
 *       merged to see.
 *   I2  a piece with a byte that has no token, or with a token longer than MERGE_SHORT that would
 *       have to be tried, is not for this file: *is_found is false, and the caller merges it.
 *
 *   I3  a vocabulary made to be slow (thousands of lengths with one beginning, many PART_ODD) could
 *       make every byte cost milliseconds. Each piece has a budget of steps in proportion to its
 *       bytes, some ten times what real text takes; when it is used up the piece is merged.
 *
 * The longest token at a position is found by length: the first 3, 4 and 6 bytes name the lengths
 * that tokens with these beginnings have, and each is asked of the index, from the longest on.
 *
 * The tables of lengths take 608 KB; what tokens are made of (16 bytes each, 2 MB for Llama 3, zero
 * pages until used) costs nothing at the start: a part is made on first use. It is the one thing in
 * a tokenizer that encoding writes; every thread would write the same, and the state, released
 * last, says when the rest may be read.
 */
#include "text/bpe_search.h"

#include <stdlib.h>
#include <string.h>

#include "text/bpe_rank.h"

enum { PART_UNKNOWN, PART_BYTE, PART_MERGED }; /* and at the other end: */
#define PART_ODD (UINT32_MAX - 2)              /* merging gives it, but see I1 */
#define PART_LONG (UINT32_MAX - 1)             /* nobody asked: see I2 */
#define PART_NEVER UINT32_MAX                  /* merging its bytes gives other tokens */

enum { OF_3_LOG2 = 15, OF_4_LOG2 = 16, OF_6_LOG2 = 17, LONG_BYTES = 37, ASKED_OFTEN = 256 };
enum { BUDGET_PER_BYTE = 64, BUDGET_OF_PIECE = 4096, COST_OF_MERGE = 64 }; /* I3 */
static_assert(MERGE_MEMO_SLOTS == 1 << 13, "the memo is indexed by 13 bits");
static_assert(VOCAB_MAX_TOKENS < 1 << 30, "an id leaves two bits of a slot");

/* ---- what a token is made of ---- */

static struct bpe_part *part_at(const struct bpe *b, int32_t id) { return &b->search.part[id]; }

static uint32_t make_part(const struct bpe *b, int32_t id)
{
    const struct vocab_token *t = &b->index.vocab->tokens[id];
    const uint8_t *s = (const uint8_t *)t->bytes;
    struct bpe_part *part = part_at(b, id);
    const struct bpe_text text = {b, t->n_bytes};
    int32_t half[MERGE_SHORT] = {id, id}, made = -1;
    uint32_t state = PART_NEVER, n = 0, highest = 0;
    bool has_all = true;
    for (uint32_t i = 0; i < t->n_bytes; i++) has_all = has_all && b->byte_id[s[i]] >= 0;
    if (t->n_bytes > MERGE_SHORT)
        state = PART_LONG;
    else if (has_all && t->n_bytes)
        n = bpe_merge_short(&text, s, t->n_bytes, 2, half, &highest);
    if (n == 1 && half[0] == id) state = PART_BYTE;
    if (n == 2) {
        const struct merge_pair p = {half[0], half[1], 0, t->n_bytes};
        const uint32_t rank = rank_of_two(&text, s, p, &made);
        if (rank != MERGE_NONE && made == id)
            state = t->n_bytes > 2 && highest >= rank ? PART_ODD : rank + PART_MERGED;
    }
    atomic_store_explicit(&part->n_bytes, t->n_bytes, memory_order_relaxed);
    atomic_store_explicit(&part->left, half[0], memory_order_relaxed);
    atomic_store_explicit(&part->right, half[1], memory_order_relaxed);
    atomic_store_explicit(&part->state, state, memory_order_release); /* with part_state() */
    return state;
}

static inline uint32_t part_state(const struct bpe *b, int32_t id)
{
    const uint32_t state = atomic_load_explicit(&part_at(b, id)->state, memory_order_acquire);
    return state == PART_UNKNOWN ? make_part(b, id) : state;
}

static inline uint32_t part_bytes(const struct bpe *b, int32_t id)
{
    return atomic_load_explicit(&part_at(b, id)->n_bytes, memory_order_relaxed);
}

/* ---- neighbours ---- */

enum verdict { STAYS_APART, MEETS, UNDECIDED };

/* By merging the bytes of both. */
static enum verdict merge_to_see(const struct bpe_text *text, const uint8_t *s, size_t n, int32_t a,
                                 int32_t b)
{
    int32_t id[MERGE_SHORT];
    uint32_t highest = 0;
    if (n > MERGE_SHORT) return UNDECIDED;
    const uint32_t n_ids = bpe_merge_short(text, s, n, 1, id, &highest);
    return n_ids == 2 && id[0] == a && id[1] == b ? STAYS_APART : MEETS;
}

/* Whether merging joins bytes of token `a`, which ends at s + at, and of `b`, which begins there.
 */
static enum verdict may_meet(const struct bpe_text *text, struct merge_scratch *m, const uint8_t *s,
                             size_t at, int32_t a, int32_t b)
{
    const struct bpe *bpe = text->bpe;
    const int32_t whole_a = a, whole_b = b;
    uint32_t limit = MERGE_NONE; /* the border's rank must not be below */
    for (;; m->budget--) {
        const uint32_t state_a = part_state(bpe, a), state_b = part_state(bpe, b);
        if (state_a >= PART_ODD || state_b >= PART_ODD) break;
        const struct merge_pair p = {a, b, (uint32_t)at - part_bytes(bpe, a),
                                     (uint32_t)at + part_bytes(bpe, b)};
        int32_t made = 0;
        if (rank_of_two(text, s, p, &made) < limit) return MEETS;
        if (state_a > state_b) {
            limit = state_a - PART_MERGED;
            a = atomic_load_explicit(&part_at(bpe, a)->right, memory_order_relaxed);
        } else if (state_b != PART_BYTE) {
            limit = state_b - PART_MERGED + 1;
            b = atomic_load_explicit(&part_at(bpe, b)->left, memory_order_relaxed);
        } else {
            return STAYS_APART;
        }
    }
    const size_t begin = at - part_bytes(bpe, whole_a), end = at + part_bytes(bpe, whole_b);
    m->budget -= COST_OF_MERGE;
    const struct bpe_text both = {bpe, text->n_readable - begin};
    return merge_to_see(&both, s + begin, end - begin, whole_a, whole_b);
}

/* The same, from the memo of this call if it was asked lately. The memo is made only for a text
 * that asks often; without memory for it everything is as before. */
static inline enum verdict may_meet_again(const struct bpe_text *text, struct merge_scratch *m,
                                          const uint8_t *s, size_t at, int32_t a, int32_t b)
{
    if (!m->memo) {
        if (++m->n_asked == ASKED_OFTEN) m->memo = calloc(MERGE_MEMO_SLOTS, sizeof *m->memo);
        return may_meet(text, m, s, at, a, b);
    }
    const uint64_t key = ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) << 2;
    uint64_t *slot = &m->memo[key * 0x9E3779B97F4A7C15u >> 51];
    if (*slot >> 2 == key >> 2 && (*slot & 3)) return (*slot & 3) - 1;
    const enum verdict v = may_meet(text, m, s, at, a, b);
    *slot = key | (v + 1);
    return v;
}

/* ---- candidates ---- */

/* The slot of the first `n_bytes` of the 8 bytes in `first`, in a table of 2^log2. */
static inline size_t slot_of(uint64_t first, unsigned n_bytes, unsigned log2)
{
    return (first << (64 - 8 * n_bytes)) * 0x9E3779B97F4A7C15u >> (64 - log2);
}

/* Bit k: there may be a token of k bytes at s, where 8 bytes may be read; LONG_BYTES: or more. */
static inline uint64_t lengths_at(const struct bpe_search *x, const uint8_t *s)
{
    const uint64_t first = load_u64(s);
    return 6 | x->of_3[slot_of(first, 3, OF_3_LOG2)] | x->of_4[slot_of(first, 4, OF_4_LOG2)] |
           (uint64_t)x->of_6[slot_of(first, 6, OF_6_LOG2)] << 6;
}

/* The longest length of at most `most` bytes; 0: none. */
static inline size_t longest_of(uint64_t lengths, size_t most)
{
    if (most >= LONG_BYTES) {
        if (lengths >> LONG_BYTES) return most;
        most = LONG_BYTES;
    }
    lengths &= ((uint64_t)2 << most) - 1;
    return lengths ? 63 - (size_t)__builtin_clzll(lengths) : 0;
}

/* A search under way: the tokens so far are out->id[n_before..), and end at `at`. */
struct search {
    const struct bpe_text *text;
    const uint8_t *s;
    size_t n, at, n_before;
    size_t most; /* bytes that the next token may have */
    uint64_t *dead;
    struct merge_scratch *scratch;
    struct ids *out;
};

static inline bool is_dead(const struct search *x, size_t at)
{
    return x->dead[at >> 6] >> (at & 63) & 1;
}

/* The token of the n bytes at s, or -1. One or two bytes are looked up in tables: a token of two
 * that merging does not make is none here. */
static inline int32_t token_of(const struct bpe *b, const uint8_t *s, size_t n, size_t n_safe)
{
    if (n == 1) return b->byte_id[s[0]];
    if (n == 2) {
        const struct bpe_two *two = &b->two[s[0] << 8 | s[1]];
        return two->rank == MERGE_NONE ? -1 : two->made;
    }
    const uint32_t meta = token_index_meta(&b->index, s, n, n_safe);
    return meta ? token_meta_id(meta) : -1;
}

/* The longest token that may be next, -1 if there is none; false: undecided. */
static inline bool next_token(const struct search *x, int32_t *id)
{
    const struct bpe *b = x->text->bpe;
    const uint8_t *s = x->s + x->at;
    const size_t n_safe = x->text->n_readable - x->at;
    const uint64_t lengths = n_safe >= 8 ? lengths_at(&b->search, s) : 0xFE;
    const bool is_first = x->out->n == x->n_before;
    for (size_t n = longest_of(lengths, x->most); n; n = longest_of(lengths, n - 1)) {
        if (x->scratch->budget-- < 0) return false;
        if (is_dead(x, x->at + n)) continue;
        *id = token_of(b, s, n, n_safe);
        if (*id < 0) continue;
        const uint32_t state = part_state(b, *id);
        if (state == PART_NEVER) continue;
        if (state == PART_LONG) return false;
        if (is_first) return true;
        const enum verdict v =
            may_meet_again(x->text, x->scratch, x->s, x->at, x->out->id[x->out->n - 1], *id);
        if (v != MEETS) return v == STAYS_APART;
    }
    *id = -1;
    return true;
}

static inline size_t most_at(const struct search *x)
{
    const size_t max = x->text->bpe->index.max_token_bytes, n = x->n - x->at;
    return n < max ? n : max;
}

/* False: no memory. *is_found false: undecided, or there is no such row of tokens. */
static bool find_row(struct search *x, bool *is_found, struct err *err)
{
    *is_found = false;
    x->most = most_at(x);
    while (x->at < x->n) {
        int32_t id = -1;
        if (x->text->bpe->byte_id[x->s[x->at]] < 0 || !next_token(x, &id)) return true;
        if (id >= 0) {
            if (!bpe_push(x->out, id, err)) return false;
            x->at += part_bytes(x->text->bpe, id);
            x->most = most_at(x);
        } else {
            if (x->out->n == x->n_before) return true;
            x->dead[x->at >> 6] |= (uint64_t)1 << (x->at & 63);
            const size_t n_back = part_bytes(x->text->bpe, x->out->id[--x->out->n]);
            x->at -= n_back;
            x->most = n_back - 1;
        }
    }
    *is_found = true;
    return true;
}

bool bpe_search(const struct bpe_text *text, const uint8_t *s, size_t n, struct merge_scratch *m,
                struct ids *out, bool *is_found, struct err *err)
{
    uint64_t few[8] = {0};
    struct search x = {
        .text = text, .s = s, .n = n, .n_before = out->n, .dead = few, .scratch = m, .out = out};
    if (n >= 64 * sizeof few / sizeof few[0]) {
        x.dead = merge_scratch_bits(m, n + 1, err);
        if (!x.dead) return false;
    }
    m->budget = BUDGET_OF_PIECE + BUDGET_PER_BYTE * (int64_t)n;
    const bool ok = find_row(&x, is_found, err);
    if (!ok || !*is_found) out->n = x.n_before;
    return ok;
}

/* ---- making it ---- */

static void add_length(struct bpe_search *x, const struct vocab_token *t)
{
    const unsigned n = t->n_bytes < LONG_BYTES ? t->n_bytes : LONG_BYTES;
    uint64_t first = 0;
    memcpy(&first, t->bytes, n < 8 ? n : 8);
    if (n == 3)
        x->of_3[slot_of(first, 3, OF_3_LOG2)] |= 1 << 3;
    else if (n == 4 || n == 5)
        x->of_4[slot_of(first, 4, OF_4_LOG2)] |= (uint8_t)(1 << n);
    else if (n >= 6)
        x->of_6[slot_of(first, 6, OF_6_LOG2)] |= (uint32_t)1 << (n - 6);
}

bool bpe_search_init(struct bpe_search *x, const struct vocab *v, const char *name, struct err *err)
{
    x->part = calloc((size_t)v->n_tokens, sizeof *x->part);
    x->of_3 = calloc((size_t)1 << OF_3_LOG2, sizeof *x->of_3);
    x->of_4 = calloc((size_t)1 << OF_4_LOG2, sizeof *x->of_4);
    x->of_6 = calloc((size_t)1 << OF_6_LOG2, sizeof *x->of_6);
    if (!x->part || !x->of_3 || !x->of_4 || !x->of_6) {
        bpe_search_release(x);
        return err_set(err, ERR_MEMORY,
                       "%s: no memory for the parts of %d tokens; close other programs", name,
                       v->n_tokens);
    }
    for (int32_t i = 0; i < v->n_tokens; i++) {
        const struct vocab_token *t = &v->tokens[i];
        if (t->kind == TOKEN_NORMAL || t->kind == TOKEN_USER) add_length(x, t);
    }
    return true;
}

void bpe_search_release(struct bpe_search *x)
{
    free(x->part);
    free(x->of_3);
    free(x->of_4);
    free(x->of_6);
    *x = (struct bpe_search){0};
}
