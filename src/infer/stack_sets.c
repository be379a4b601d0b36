/* SPDX-License-Identifier: Apache-2.0
 *
 * stack_sets.c - the stacks' trie, top first, hash-consed.
 *
 * A set of stacks is a set of words over states; stored as a trie whose equal subtrees are one, it
 * is as small as it can be and equality is equality of numbers. So following a byte can be
 * remembered by (set, class of the byte), and most of a walk through the vocabulary is one load a
 * byte.
 *
 * A step: each top follows the byte, then closure() adds what may come next without a byte: at a
 * final state the top is taken and the states below are next; a call puts its return state on the
 * stack, or nothing where the return state could only be left again (so a rule that ends with
 * itself needs no stack). Pairs met are remembered, so this ends (G3), after at most MAX_ITEMS
 * pairs. Then pairs of the same state are made one by uniting what is below.
 *
 * A stack deeper than STACK_MAX_DEPTH is not followed: nesting ends there, and what was read can
 * still be closed.
 *
 * Invariants
 *   S1  pairs of a set are sorted by state, no state twice; STATE_WHOLE comes first.
 *   S2  sets that closure() made hold only states with byte edges, and maybe STATE_WHOLE.
 *   S3  a set's pairs refer to smaller numbers only.
 */
#include "infer/stack_sets.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_ITEMS = 4096, /* pairs of one step */
    MAX_SETS = 1 << 20,
    MAX_PAIRS = 1 << 22,
    MAX_ROWS_BYTES = 64 << 20,
    N_UNIONS = 4096, /* remembered; a power of two */
};

struct set {
    uint32_t begin; /* into pair */
    uint16_t n, depth;
    int32_t row; /* into rows, or -1 */
};

struct unite {
    int32_t a, b, both;
};

struct stack_sets {
    const struct grammar *g;
    struct set *set;
    int32_t n_sets, cap_sets;
    struct stack_top *pair;
    size_t n_pairs, cap_pairs;
    int32_t *rows; /* [n_rows, n_classes] where a byte leads, or UNKNOWN */
    int32_t n_rows, cap_rows;
    int32_t *slot; /* [n_slots] sets by their pairs, or -1; n_slots a power of two */
    uint32_t n_slots;
    struct stack_top *item; /* [MAX_ITEMS] the step under way */
    int32_t n_items;
    uint32_t *item_slot, item_round; /* [2 * MAX_ITEMS] which items were met: round * MAX + index */
    struct unite *unite;             /* [N_UNIONS] */
    struct stack_top *merged;        /* [MAX_ITEMS] */
    int64_t budget;                  /* pairs that may still be looked at */
};

enum { UNKNOWN = -2 };

static bool fail_memory(struct err *err)
{
    return err_set(err, ERR_MEMORY, "no memory to follow the grammar");
}

static bool fail_limit(struct err *err)
{
    return err_set(err, ERR_LIMIT,
                   "the grammar can read this text in too many ways; make its rules differ in what "
                   "they begin with");
}

/* ---- sets ---- */

static uint32_t hash_pairs(const struct stack_top *p, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) {
        const uint64_t v = (uint64_t)(uint32_t)p[i].state << 32 | (uint32_t)p[i].below;
        h = (h ^ v) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return (uint32_t)(h ^ h >> 32);
}

static bool grow(void **list, size_t n, size_t *cap, size_t n_more, size_t elem_bytes, size_t max,
                 struct err *err)
{
    if (n + n_more <= *cap) return true;
    if (n + n_more > max) return fail_limit(err);
    size_t new_cap = *cap ? 2 * *cap : 256;
    if (new_cap < n + n_more) new_cap = n + n_more;
    void *more = realloc(*list, new_cap * elem_bytes);
    if (!more) return fail_memory(err);
    *list = more;
    *cap = new_cap;
    return true;
}

static bool make_room(struct stack_sets *s, size_t n_pairs, struct err *err)
{
    void *list = s->pair;
    bool ok = grow(&list, s->n_pairs, &s->cap_pairs, n_pairs, sizeof *s->pair, MAX_PAIRS, err);
    s->pair = list;
    if (!ok) return false;
    size_t cap = (size_t)s->cap_sets;
    list = s->set;
    ok = grow(&list, (size_t)s->n_sets, &cap, 1, sizeof *s->set, MAX_SETS, err);
    s->set = list;
    s->cap_sets = (int32_t)cap;
    if (!ok || 2 * (uint32_t)s->n_sets < s->n_slots) return ok;
    /* the table of numbers, made anew twice as large */
    const uint32_t n = 2 * s->n_slots;
    int32_t *slot = malloc(n * sizeof *slot);
    if (!slot) return fail_memory(err);
    memset(slot, -1, n * sizeof *slot);
    for (int32_t i = 0; i < s->n_sets; i++) {
        uint32_t at = hash_pairs(s->pair + s->set[i].begin, s->set[i].n) & (n - 1);
        while (slot[at] >= 0) at = (at + 1) & (n - 1);
        slot[at] = i;
    }
    free(s->slot);
    s->slot = slot;
    s->n_slots = n;
    return true;
}

/* The number of the set of these pairs, which are sorted. */
static int32_t intern(struct stack_sets *s, const struct stack_top *p, int32_t n, struct err *err)
{
    if (!make_room(s, (size_t)n, err)) return SET_FAIL;
    uint32_t at = hash_pairs(p, (size_t)n) & (s->n_slots - 1);
    for (; s->slot[at] >= 0; at = (at + 1) & (s->n_slots - 1)) {
        const struct set *x = &s->set[s->slot[at]];
        if (x->n == n && (n == 0 || memcmp(s->pair + x->begin, p, (size_t)n * sizeof *p) == 0))
            return s->slot[at];
    }
    struct set x = {.begin = (uint32_t)s->n_pairs, .n = (uint16_t)n, .row = -1};
    for (int32_t i = 0; i < n; i++) {
        const uint16_t d = (uint16_t)(s->set[p[i].below].depth + 1);
        if (p[i].state != STATE_WHOLE && d > x.depth) x.depth = d;
        s->pair[s->n_pairs++] = p[i];
    }
    s->set[s->n_sets] = x;
    return s->slot[at] = s->n_sets++;
}

/* All stacks of both. Recursion goes down the stacks together, at most STACK_MAX_DEPTH deep. */
static int32_t unite(struct stack_sets *s, int32_t a, int32_t b, struct err *err)
{
    if (a == b || b == SET_DEAD) return a;
    if (a == SET_DEAD) return b;
    if (a > b) {
        const int32_t swap = a;
        a = b, b = swap;
    }
    struct unite *u = &s->unite[((uint32_t)a * 0x9e3779b1u ^ (uint32_t)b * 0x85ebca6bu) >> 20];
    if (u->a == a && u->b == b) return u->both;
    const int32_t na = s->set[a].n, nb = s->set[b].n;
    struct stack_top few[16] = {{0, 0}};
    struct stack_top *out = few;
    if (na + nb > 16) out = calloc((size_t)(na + nb), sizeof *out);
    if (!out) {
        fail_memory(err);
        return SET_FAIL;
    }
    int32_t n = 0, i = 0, j = 0, both = 0;
    s->budget -= na + nb;
    while (i < na || j < nb) { /* the pairs may move while sets are made */
        const struct stack_top *x = s->pair + s->set[a].begin + i;
        const struct stack_top *y = s->pair + s->set[b].begin + j;
        if (j == nb || (i < na && x->state < y->state)) {
            out[n++] = *x, i++;
        } else if (i == na || y->state < x->state) {
            out[n++] = *y, j++;
        } else {
            const int32_t state = x->state;
            both = unite(s, x->below, y->below, err);
            if (both == SET_FAIL) break;
            out[n++] = (struct stack_top){state, both};
            i++, j++;
        }
    }
    if (both != SET_FAIL && n > MAX_ITEMS) {
        fail_limit(err);
        both = SET_FAIL;
    }
    if (both != SET_FAIL) both = intern(s, out, n, err);
    if (out != few) free(out);
    if (both != SET_FAIL) *u = (struct unite){a, b, both};
    return both;
}

/* ---- steps ---- */

/* Adds a pair to the step's items unless it was met. */
static bool meet(struct stack_sets *s, int32_t state, int32_t below, struct err *err)
{
    const struct stack_top p = {state, below};
    uint32_t at = hash_pairs(&p, 1) & (2 * MAX_ITEMS - 1);
    for (; s->item_slot[at] / MAX_ITEMS == s->item_round; at = (at + 1) & (2 * MAX_ITEMS - 1)) {
        const struct stack_top *q = &s->item[s->item_slot[at] % MAX_ITEMS];
        if (q->state == state && q->below == below) return true;
    }
    if (s->n_items == MAX_ITEMS) return fail_limit(err);
    s->item_slot[at] = s->item_round * MAX_ITEMS + (uint32_t)s->n_items;
    s->item[s->n_items++] = p;
    return true;
}

static void begin_items(struct stack_sets *s)
{
    s->n_items = 0;
    if (++s->item_round < UINT32_MAX / MAX_ITEMS) return;
    memset(s->item_slot, 0, 2 * MAX_ITEMS * sizeof *s->item_slot);
    s->item_round = 1;
}

static bool follow_calls(struct stack_sets *s, struct stack_top p, struct err *err)
{
    const struct grammar *g = s->g;
    for (int32_t e = g->call_begin[p.state]; e < g->call_begin[p.state + 1]; e++) {
        const struct call_edge *c = &g->call_edge[e];
        int32_t below = p.below;
        if (!grammar_is_end(g, c->to)) {
            if (s->set[below].depth >= STACK_MAX_DEPTH) continue;
            below = intern(s, &(struct stack_top){c->to, p.below}, 1, err);
            if (below == SET_FAIL) return false;
        }
        if (!meet(s, g->start[c->rule], below, err)) return false;
    }
    return true;
}

/* Goes on from the items to all pairs that reading may go on with. */
static bool closure(struct stack_sets *s, struct err *err)
{
    for (int32_t i = 0; i < s->n_items; i++) {
        const struct stack_top p = s->item[i];
        if (p.state == STATE_WHOLE) continue;
        for (int32_t j = 0; s->g->is_final[p.state] && j < s->set[p.below].n; j++) {
            const struct stack_top next = s->pair[s->set[p.below].begin + (uint32_t)j];
            if (!meet(s, next.state, next.below, err)) return false;
        }
        if (!follow_calls(s, p, err)) return false;
    }
    return true;
}

static int by_state(const void *a, const void *b)
{
    const struct stack_top *x = a, *y = b;
    if (x->state != y->state) return x->state < y->state ? -1 : 1;
    return x->below < y->below ? -1 : x->below > y->below;
}

static bool can_read(const struct grammar *g, int32_t state)
{
    return state == STATE_WHOLE || g->byte_begin[state] < g->byte_begin[state + 1];
}

/* The set of the items and what follows them. */
static int32_t close_set(struct stack_sets *s, struct err *err)
{
    if (!closure(s, err)) return SET_FAIL;
    s->budget -= s->n_items;
    if (s->budget < 0) {
        fail_limit(err);
        return SET_FAIL;
    }
    int32_t n = 0, n_merged = 0;
    for (int32_t i = 0; i < s->n_items; i++)
        if (can_read(s->g, s->item[i].state)) s->item[n++] = s->item[i];
    if (n > 1) qsort(s->item, (size_t)n, sizeof *s->item, by_state);
    for (int32_t i = 0; i < n; i++) {
        struct stack_top *last = n_merged ? &s->merged[n_merged - 1] : NULL;
        if (!last || last->state != s->item[i].state) {
            s->merged[n_merged++] = s->item[i];
            continue;
        }
        last->below = unite(s, last->below, s->item[i].below, err);
        if (last->below == SET_FAIL) return SET_FAIL;
    }
    return intern(s, s->merged, n_merged, err);
}

static int32_t step(struct stack_sets *s, int32_t set, uint8_t b, struct err *err)
{
    begin_items(s);
    for (int32_t i = 0; i < s->set[set].n; i++) {
        const struct stack_top p = s->pair[s->set[set].begin + (uint32_t)i];
        const int32_t to = p.state == STATE_WHOLE ? -1 : grammar_step(s->g, p.state, b);
        if (to >= 0 && !meet(s, to, p.below, err)) return SET_FAIL;
    }
    return s->n_items ? close_set(s, err) : SET_DEAD;
}

static bool make_row(struct stack_sets *s, int32_t set, struct err *err)
{
    const size_t n = (size_t)s->g->n_classes, row_bytes = n * sizeof *s->rows;
    size_t cap = (size_t)s->cap_rows;
    void *list = s->rows;
    const bool ok =
        grow(&list, (size_t)s->n_rows, &cap, 1, row_bytes, MAX_ROWS_BYTES / row_bytes, err);
    s->rows = list;
    s->cap_rows = (int32_t)cap;
    if (!ok) return false;
    for (size_t i = 0; i < n; i++) s->rows[(size_t)s->n_rows * n + i] = UNKNOWN;
    s->set[set].row = s->n_rows++;
    return true;
}

int32_t stack_sets_step(struct stack_sets *s, int32_t set, uint8_t b, struct err *err)
{
    const size_t n = (size_t)s->g->n_classes, i = s->g->class_of[b];
    if (s->set[set].row < 0 && !make_row(s, set, err)) return SET_FAIL;
    const size_t at = (size_t)s->set[set].row * n + i;
    if (s->rows[at] != UNKNOWN) return s->rows[at];
    const int32_t to = step(s, set, b, err);
    if (to != SET_FAIL) s->rows[at] = to;
    return to;
}

void stack_sets_set_budget(struct stack_sets *s, int64_t n_pairs) { s->budget = n_pairs; }

int32_t stack_sets_of_state(struct stack_sets *s, int32_t q, struct err *err)
{
    return intern(s, &(struct stack_top){q, SET_WHOLE}, 1, err);
}

int32_t stack_sets_start(struct stack_sets *s, int32_t rule, struct err *err)
{
    begin_items(s);
    if (!meet(s, s->g->start[rule], SET_WHOLE, err)) return SET_FAIL;
    return close_set(s, err);
}

int32_t stack_sets_return(struct stack_sets *s, int32_t below, struct err *err)
{
    begin_items(s);
    for (int32_t i = 0; i < s->set[below].n; i++) {
        const struct stack_top p = s->pair[s->set[below].begin + (uint32_t)i];
        if (!meet(s, p.state, p.below, err)) return SET_FAIL;
    }
    return close_set(s, err);
}

bool stack_sets_is_whole(const struct stack_sets *s, int32_t set)
{
    return s->set[set].n > 0 && s->pair[s->set[set].begin].state == STATE_WHOLE;
}

bool stack_sets_is_over(const struct stack_sets *s, int32_t set)
{
    return s->set[set].n == 1 && stack_sets_is_whole(s, set);
}

const struct stack_top *stack_sets_tops(const struct stack_sets *s, int32_t set, int32_t *n)
{
    *n = s->set[set].n;
    return s->pair + s->set[set].begin;
}

/* ---- life ---- */

static bool make_tables(struct stack_sets *s, struct err *err)
{
    s->n_slots = 1024;
    s->slot = malloc(s->n_slots * sizeof *s->slot);
    s->item = malloc(MAX_ITEMS * sizeof *s->item);
    s->merged = malloc(MAX_ITEMS * sizeof *s->merged);
    s->item_slot = calloc(2 * MAX_ITEMS, sizeof *s->item_slot);
    s->unite = malloc(N_UNIONS * sizeof *s->unite);
    if (!s->slot || !s->item || !s->merged || !s->item_slot || !s->unite) return fail_memory(err);
    s->item_round = 0;
    memset(s->slot, -1, s->n_slots * sizeof *s->slot);
    memset(s->unite, -1, N_UNIONS * sizeof *s->unite);
    const struct stack_top whole = {STATE_WHOLE, SET_DEAD};
    return intern(s, NULL, 0, err) == SET_DEAD && intern(s, &whole, 1, err) == SET_WHOLE;
}

static void release(struct stack_sets *s)
{
    free(s->set);
    free(s->pair);
    free(s->rows);
    free(s->slot);
    free(s->item);
    free(s->merged);
    free(s->item_slot);
    free(s->unite);
}

struct stack_sets *stack_sets_new(const struct grammar *g, struct err *err)
{
    struct stack_sets *s = calloc(1, sizeof *s);
    if (!s) {
        fail_memory(err);
        return NULL;
    }
    s->g = g;
    if (make_tables(s, err)) return s;
    stack_sets_free(s);
    return NULL;
}

void stack_sets_free(struct stack_sets *s)
{
    if (!s) return;
    release(s);
    free(s);
}

size_t stack_sets_bytes(const struct stack_sets *s)
{
    return (size_t)s->n_sets * sizeof *s->set + s->n_pairs * sizeof *s->pair +
           (size_t)s->n_rows * (size_t)s->g->n_classes * sizeof *s->rows;
}

/* The sets that `root` is made of have smaller numbers (S3): marked downwards, copied upwards. */
bool stack_sets_carry(struct stack_sets *s, int32_t *const *keep, int32_t n, struct err *err)
{
    struct stack_sets fresh = {.g = s->g, .budget = s->budget};
    int32_t *copy = malloc((size_t)s->n_sets * sizeof *copy); /* new numbers; -1: not needed */
    bool ok = make_tables(&fresh, err) && (copy || fail_memory(err));
    for (int32_t i = 0; ok && i < s->n_sets; i++) copy[i] = -1;
    for (int32_t i = 0; ok && i < n; i++) copy[*keep[i]] = 0;
    for (int32_t i = s->n_sets - 1; ok && i >= 0; i--)
        for (int32_t j = 0; copy[i] >= 0 && j < s->set[i].n; j++)
            copy[s->pair[s->set[i].begin + (uint32_t)j].below] = 0;
    for (int32_t i = 0; ok && i < s->n_sets; i++) {
        if (copy[i] < 0) continue;
        /* renumbering keeps the order of states, so the pairs stay sorted */
        for (int32_t j = 0; j < s->set[i].n; j++) {
            const struct stack_top p = s->pair[s->set[i].begin + (uint32_t)j];
            fresh.merged[j] = (struct stack_top){p.state, copy[p.below]};
        }
        copy[i] = intern(&fresh, fresh.merged, s->set[i].n, err);
        ok = copy[i] != SET_FAIL;
    }
    if (ok) {
        for (int32_t i = 0; i < n; i++) *keep[i] = copy[*keep[i]];
        release(s);
        *s = fresh;
    } else {
        release(&fresh);
    }
    free(copy);
    return ok;
}
