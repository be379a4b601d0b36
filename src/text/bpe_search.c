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
 * The longest token at a position is found by length: tables name the lengths that tokens with
 * these first bytes have (bpe_lengths.c), and each is asked of the index, from the longest on. The
 * same tables often tell that two neighbours stay apart: has_no_joint().
 *
 * What tokens are made of (24 bytes each, 3 MB for Llama 3, zero pages until used) costs nothing
 * at the start: a part is made on first use. It is the one thing in a tokenizer that encoding
 * writes; every thread would write the same, and the state, released last, says when the rest may
 * be read.
 */
#include "text/bpe_search.h"

#include <stdlib.h>
#include <string.h>

#include "text/bpe_rank.h"

enum { PART_UNKNOWN, PART_BYTE, PART_MERGED }; /* and at the other end: */
#define PART_ODD (UINT32_MAX - 2)              /* merging gives it, but see I1 */
#define PART_LONG (UINT32_MAX - 1)             /* nobody asked: see I2 */
#define PART_NEVER UINT32_MAX                  /* merging its bytes gives other tokens */

enum { ASKED_OFTEN = 256, WIDE = 0xE0 };
enum { BUDGET_PER_BYTE = 64, BUDGET_OF_PIECE = 4096, COST_OF_MERGE = 64 }; /* I3 */
static_assert(MERGE_MEMO_SLOTS == 1 << 13, "the memo is indexed by 13 bits");
static_assert(VOCAB_MAX_TOKENS < 1 << 30, "an id leaves two bits of a slot");

/* ---- what a token is made of ---- */

static struct bpe_part *part_at(const struct bpe *b, int32_t id) { return &b->search.part[id]; }

static inline uint32_t part_state(const struct bpe *b, int32_t id);

/* The lengths of a token of `n_bytes` and of the symbols that it begins with (ends in), the longest
 * of which is its `half`; 0 if that is too long or odd. */
static uint32_t spine_of(const struct bpe *b, uint32_t n_bytes, int32_t half, bool is_right)
{
    part_state(b, half);
    const struct bpe_part *p = part_at(b, half);
    const uint32_t below =
        atomic_load_explicit(is_right ? &p->right_spine : &p->left_spine, memory_order_relaxed);
    return below ? (uint32_t)1 << n_bytes | below : 0;
}

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
    uint32_t left_spine = state == PART_BYTE ? 2 : 0, right_spine = left_spine;
    if (state > PART_BYTE && state < PART_ODD && t->n_bytes < 32) {
        left_spine = spine_of(b, t->n_bytes, half[0], false);
        right_spine = spine_of(b, t->n_bytes, half[1], true);
    }
    atomic_store_explicit(&part->n_bytes, t->n_bytes, memory_order_relaxed);
    atomic_store_explicit(&part->left_spine, left_spine, memory_order_relaxed);
    atomic_store_explicit(&part->right_spine, right_spine, memory_order_relaxed);
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

/* A search under way: the tokens so far are out->id[n_before..), and end at `at`. */
struct search {
    const struct bpe_text *text;
    const uint8_t *s;
    size_t n, at, n_before;
    size_t most;     /* bytes that the next token may have */
    size_t at_known; /* a place, mostly of the last token, and what lengths_at() said of it */
    uint32_t known;
    uint64_t *dead;
    struct merge_scratch *scratch;
    struct ids *out;
};

/* ---- neighbours ---- */

enum verdict { STAYS_APART, MEETS, UNDECIDED };

/* By merging the bytes of both. */
static enum verdict merge_to_see(const struct search *x, int32_t a, int32_t b)
{
    const size_t n_a = part_bytes(x->text->bpe, a), n = n_a + part_bytes(x->text->bpe, b);
    const size_t begin = x->at - n_a;
    const struct bpe_text both = {x->text->bpe, x->text->n_readable - begin};
    int32_t id[MERGE_SHORT];
    uint32_t highest = 0;
    x->scratch->budget -= COST_OF_MERGE;
    if (n > MERGE_SHORT) return UNDECIDED;
    const uint32_t n_ids = bpe_merge_short(&both, x->s + begin, n, 1, id, &highest);
    return n_ids == 2 && id[0] == a && id[1] == b ? STAYS_APART : MEETS;
}

static inline enum verdict may_meet_by(merge_rank_fn *rank_of, const struct search *x,
                                       int32_t whole_a, int32_t whole_b)
{
    const struct bpe *bpe = x->text->bpe;
    int32_t a = whole_a, b = whole_b;
    uint32_t limit = MERGE_NONE; /* the border's rank must not be below */
    for (;; x->scratch->budget--) {
        const uint32_t state_a = part_state(bpe, a), state_b = part_state(bpe, b);
        if (state_a >= PART_ODD || state_b >= PART_ODD) return merge_to_see(x, whole_a, whole_b);
        const struct merge_pair p = {a, b, (uint32_t)x->at - part_bytes(bpe, a),
                                     (uint32_t)x->at + part_bytes(bpe, b)};
        int32_t made = 0;
        if (rank_of(x->text, x->s, p, &made) < limit) return MEETS;
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
}

/* Whether no token is as long as any symbol at the end of `a` with any at the beginning of `b`, and
 * begins like the first: then none can be made of both, whatever the ranks. */
static bool has_no_joint(const struct search *x, int32_t a, int32_t b)
{
    const struct bpe *bpe = x->text->bpe;
    uint32_t right = atomic_load_explicit(&part_at(bpe, a)->right_spine, memory_order_relaxed);
    const uint32_t left = atomic_load_explicit(&part_at(bpe, b)->left_spine, memory_order_relaxed);
    if (!right || !left || x->text->n_readable - x->at < 8) return false;
    while (right) {
        const unsigned k = 31 - (unsigned)__builtin_clz(right);
        const size_t at = x->at - k;
        const uint32_t lengths =
            at == x->at_known ? x->known : lengths_at(&bpe->search.lengths, x->s + at);
        if ((lengths >> k & left) || lengths >> LONG_BYTES) return false;
        right ^= 1u << k;
    }
    return true;
}

/* Whether merging joins bytes of token `a`, which ends at x->at, and of `b`, which begins there.
 * has_no_joint() settles it for 2 of 3 neighbours in Chinese and Japanese, but few elsewhere. */
static enum verdict may_meet(const struct search *x, int32_t a, int32_t b)
{
    if (x->s[x->at] >= WIDE && has_no_joint(x, a, b)) return STAYS_APART;
    if (x->text->bpe->pair) return may_meet_by(rank_by_pair, x, a, b);
    return may_meet_by(rank_by_bytes, x, a, b);
}

/* The same, from the memo of this call if it was asked lately. The memo is made only for a text
 * that asks often; without memory for it everything is as before. */
static inline enum verdict may_meet_again(const struct search *x, int32_t a, int32_t b)
{
    struct merge_scratch *m = x->scratch;
    if (!m->memo) {
        if (++m->n_asked == ASKED_OFTEN) m->memo = calloc(MERGE_MEMO_SLOTS, sizeof *m->memo);
        return may_meet(x, a, b);
    }
    const uint64_t key = ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) << 2;
    uint64_t *slot = &m->memo[key * 0x9E3779B97F4A7C15u >> 51];
    if (*slot >> 2 == key >> 2 && (*slot & 3)) return (*slot & 3) - 1;
    const enum verdict v = may_meet(x, a, b);
    *slot = key | (v + 1);
    return v;
}

/* ---- searching ---- */

static inline bool is_dead(const struct search *x, size_t at)
{
    return x->dead[at >> 6] >> (at & 63) & 1;
}

/* The token of the n bytes at s, or -1. One or two bytes and wide characters are looked up in
 * tables: a token of two that merging does not make is none here. */
static inline int32_t token_of(const struct bpe *b, const uint8_t *s, size_t n, size_t n_safe)
{
    if (n == 1) return b->byte_id[s[0]];
    if (n == 2) {
        const struct bpe_two *two = &b->two[s[0] << 8 | s[1]];
        return two->rank == MERGE_NONE ? -1 : two->made;
    }
    if (n == 3) {
        const uint32_t wide = bpe_wide(s);
        if (wide < BPE_WIDE) return b->wide[wide] - 1;
    }
    const uint32_t meta = token_index_meta(&b->index, s, n, n_safe);
    return meta ? token_meta_id(meta) : -1;
}

struct found {
    size_t n_bytes; /* 0: there is none */
    int32_t id;
    bool is_decided;
};

/* The longest token that may be next; `lengths` are those of x->at. */
static inline struct found next_token(const struct search *x, uint32_t lengths)
{
    const struct bpe *b = x->text->bpe;
    const uint8_t *s = x->s + x->at;
    const size_t n_safe = x->text->n_readable - x->at;
    const bool is_first = x->out->n == x->n_before;
    for (size_t n = lengths_first(lengths, x->most); n; n = lengths_first(lengths, n - 1)) {
        if (x->scratch->budget-- < 0) return (struct found){n, 0, false};
        if (is_dead(x, x->at + n)) continue;
        const int32_t id = token_of(b, s, n, n_safe);
        if (id < 0) continue;
        const uint32_t state = part_state(b, id);
        if (state == PART_NEVER) continue;
        if (state == PART_LONG) return (struct found){n, id, false};
        if (is_first) return (struct found){n, id, true};
        const enum verdict v = may_meet_again(x, x->out->id[x->out->n - 1], id);
        if (v != MEETS) return (struct found){n, id, v == STAYS_APART};
    }
    return (struct found){0, -1, true};
}

static inline uint32_t lengths_here(const struct search *x)
{
    if (x->at == x->at_known) return x->known; /* taken back */
    if (x->text->n_readable - x->at < 8) return 0xFE;
    return lengths_at(&x->text->bpe->search.lengths, x->s + x->at);
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
        if (x->text->bpe->byte_id[x->s[x->at]] < 0) return true;
        const uint32_t lengths = lengths_here(x);
        const struct found next = next_token(x, lengths);
        if (!next.is_decided) return true;
        if (next.n_bytes) {
            if (!bpe_push(x->out, next.id, err)) return false;
            x->at_known = x->at;
            x->known = lengths;
            x->at += next.n_bytes;
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
    struct search x = {.text = text,
                       .s = s,
                       .n = n,
                       .n_before = out->n,
                       .at_known = SIZE_MAX,
                       .dead = few,
                       .scratch = m,
                       .out = out};
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

bool bpe_search_init(struct bpe_search *x, const struct vocab *v, const char *name, struct err *err)
{
    x->part = calloc((size_t)v->n_tokens, sizeof *x->part);
    if (!x->part)
        return err_set(err, ERR_MEMORY,
                       "%s: no memory for the parts of %d tokens; close other programs", name,
                       v->n_tokens);
    if (bpe_lengths_init(&x->lengths, v, name, err)) return true;
    bpe_search_release(x);
    return false;
}

void bpe_search_release(struct bpe_search *x)
{
    free(x->part);
    bpe_lengths_release(&x->lengths);
    *x = (struct bpe_search){0};
}
