/* SPDX-License-Identifier: Apache-2.0
 *
 * constraint.c - from a grammar's state to a bit for each of 128,000 tokens, in microseconds.
 *
 * Walking the tree of tokens beside the grammar costs about a millisecond where much is allowed, as
 * inside a string. So the walk is split where the rule of the top state ends. What a state's own
 * rule allows, and the rules called from it, does not depend on what lies below on the stack: it is
 * worked out once a state (struct frame) and kept. A token that leaves the rule in its middle is
 * recorded by where that is: its node in the tree, under the byte that comes next. The rest of the
 * token is walked from what lies below, for the few bytes that may come next there. So the inside
 * of every string of every property of every object shares one walk, and a new place in a
 * document costs a copy and a few looks. A finished mask is kept as well, under its set of stacks.
 *
 * Bounds: stack sets are forgotten but for those in use when they take SETS_BYTES, frames when they
 * take FRAMES_BYTES; finished masks have N_KEPT places; one mask may look at BUDGET pairs of a
 * stack and its top, and at WALK_BUDGET nodes of the tree.
 *
 * Begin reading at constraint_mask().
 */
#include "infer/constraint.h"

#include <stdlib.h>
#include <string.h>

#include "infer/stack_sets.h"

enum {
    SETS_BYTES = 16 << 20,
    FRAMES_BYTES = 64 << 20,
    N_KEPT = 512,
    BUDGET = 8000000,        /* pairs: about half a second */
    WALK_BUDGET = 100000000, /* nodes of the tree: about half a second */
};

/* What the top state allows without looking below. */
struct frame {
    uint64_t *bits; /* or NULL: then ids */
    int32_t *ids;   /* [n_ids] */
    int32_t n_ids;
    int32_t n_groups;     /* of places where tokens leave the rule, by the byte that comes next */
    uint8_t *group_byte;  /* [n_groups] */
    int32_t *group_begin; /* [n_groups + 1] into node */
    int32_t *node;        /* of that byte */
};

struct kept {
    int32_t set; /* -1: none */
    uint64_t *bits;
};

struct exits {
    int32_t *node;
    size_t n, cap;
};

struct token_masks {
    struct grammar *g;
    const struct token_trie *trie;
    struct stack_sets *sets;
    struct frame **frame; /* [n_states] NULL: not worked out */
    size_t frame_bytes, n_words;
    struct kept kept[N_KEPT];
    size_t n_kept;
    struct constraint *first; /* under way */
    uint64_t *bits;           /* [n_words] of the walk under way */
    struct stack_top *top;    /* [n_top_cap] of the set under way */
    int32_t n_top_cap;
    struct exits exits;
    int64_t walk_left; /* nodes that the mask under way may still look at */
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_MEMORY, "no memory for the grammar's masks");
}

/* ---- walking ---- */

static void set_bit(uint64_t *bits, int32_t i) { bits[i >> 6] |= (uint64_t)1 << (i & 63); }

/* Where a token leaves the rule behind node i: all the nodes of its next byte. */
static bool note_exits(struct token_masks *m, int32_t i, struct err *err)
{
    const struct trie_node *node = m->trie->node;
    struct exits *x = &m->exits;
    for (int32_t k = i + 1; k < node[i].end; k = node[k].end) {
        if (x->n == x->cap) {
            const size_t cap = x->cap ? 2 * x->cap : 1024;
            int32_t *more = realloc(x->node, cap * sizeof *more);
            if (!more) return no_memory(err);
            x->node = more;
            x->cap = cap;
        }
        x->node[x->n++] = k;
    }
    return true;
}

/* Sets the bits of all tokens with bytes in nodes [begin, end) that may follow `set`, which is
 * before the byte of `begin`. */
static bool walk(struct token_masks *m, int32_t begin, int32_t end, int32_t set, bool notes_exits,
                 uint64_t *bits, struct err *err)
{
    const struct token_trie *t = m->trie;
    int32_t at[TRIE_MAX_DEPTH + 1];
    if (begin < end) at[t->node[begin].depth - 1] = set;
    for (int32_t i = begin; i < end;) {
        const struct trie_node *x = &t->node[i];
        if (--m->walk_left < 0)
            return err_set(err, ERR_LIMIT,
                           "the grammar can go on in too many rules at once here; let it begin "
                           "them with different texts");
        const int32_t to = stack_sets_step(m->sets, at[x->depth - 1], x->byte, err);
        if (to == SET_FAIL) return false;
        if (to == SET_DEAD) {
            i = x->end;
            continue;
        }
        at[x->depth] = to;
        for (int32_t id = x->token; id >= 0; id = t->next_same[id]) set_bit(bits, id);
        if (notes_exits && x->end > i + 1 && stack_sets_is_whole(m->sets, to) &&
            !note_exits(m, i, err))
            return false;
        i++;
    }
    return true;
}

/* ---- frames ---- */

static size_t frame_bytes(const struct token_masks *m, const struct frame *f)
{
    return sizeof *f + (f->bits ? m->n_words * sizeof *f->bits : 0) +
           (size_t)f->n_ids * sizeof *f->ids + (size_t)f->n_groups * (1 + sizeof *f->group_begin) +
           (f->n_groups ? (size_t)f->group_begin[f->n_groups] * sizeof *f->node : 0);
}

static void frame_free(struct frame *f)
{
    if (!f) return;
    free(f->bits);
    free(f->ids);
    free(f->group_byte);
    free(f->group_begin);
    free(f->node);
    free(f);
}

static void forget_frames(struct token_masks *m)
{
    for (int32_t i = 0; i < m->g->n_states; i++) {
        frame_free(m->frame[i]);
        m->frame[i] = NULL;
    }
    m->frame_bytes = 0;
}

/* The exits sorted by their bytes. */
static bool keep_exits(const struct token_masks *m, struct frame *f, struct err *err)
{
    const struct exits *x = &m->exits;
    int32_t count[257] = {0};
    if (x->n == 0) return true;
    for (size_t i = 0; i < x->n; i++) count[m->trie->node[x->node[i]].byte + 1]++;
    for (int b = 0; b < 256; b++) f->n_groups += count[b + 1] > 0;
    f->group_byte = malloc((size_t)f->n_groups);
    f->group_begin = malloc(((size_t)f->n_groups + 1) * sizeof *f->group_begin);
    f->node = malloc(x->n * sizeof *f->node);
    if (!f->group_byte || !f->group_begin || !f->node) return no_memory(err);
    int32_t n = 0;
    for (int b = 0; b < 256; b++) {
        if (count[b + 1] > 0) {
            f->group_byte[n] = (uint8_t)b;
            f->group_begin[n++] = count[b];
        }
        count[b + 1] += count[b];
    }
    f->group_begin[n] = (int32_t)x->n;
    for (size_t i = 0; i < x->n; i++) f->node[count[m->trie->node[x->node[i]].byte]++] = x->node[i];
    return true;
}

/* The bits of the walk, as they are or as a list where they are few. */
static bool keep_bits(const struct token_masks *m, struct frame *f, struct err *err)
{
    size_t n = 0;
    for (size_t w = 0; w < m->n_words; w++) n += (size_t)__builtin_popcountll(m->bits[w]);
    if (n * sizeof *f->ids >= m->n_words * sizeof *m->bits / 4) {
        f->bits = malloc(m->n_words * sizeof *f->bits);
        if (!f->bits) return no_memory(err);
        memcpy(f->bits, m->bits, m->n_words * sizeof *f->bits);
        return true;
    }
    f->ids = malloc((n + 1) * sizeof *f->ids);
    if (!f->ids) return no_memory(err);
    for (size_t w = 0; w < m->n_words; w++)
        for (uint64_t b = m->bits[w]; b; b &= b - 1)
            f->ids[f->n_ids++] = (int32_t)(64 * w) + __builtin_ctzll(b);
    return true;
}

static const struct frame *frame_of(struct token_masks *m, int32_t state, struct err *err)
{
    if (m->frame[state]) return m->frame[state];
    const int32_t set = stack_sets_of_state(m->sets, state, err);
    struct frame *f = calloc(1, sizeof *f);
    if (!f) no_memory(err);
    memset(m->bits, 0, m->n_words * sizeof *m->bits);
    m->exits.n = 0;
    if (!f || set == SET_FAIL || !walk(m, 0, m->trie->n_nodes, set, true, m->bits, err) ||
        !keep_bits(m, f, err) || !keep_exits(m, f, err)) {
        frame_free(f);
        return NULL;
    }
    m->frame_bytes += frame_bytes(m, f);
    return m->frame[state] = f;
}

static bool add_frame(struct token_masks *m, const struct frame *f, int32_t below, uint64_t *bits,
                      struct err *err)
{
    for (size_t w = 0; f->bits && w < m->n_words; w++) bits[w] |= f->bits[w];
    for (int32_t i = 0; i < f->n_ids; i++) set_bit(bits, f->ids[i]);
    if (f->n_groups == 0 || below == SET_WHOLE) return true;
    const int32_t set = stack_sets_return(m->sets, below, err);
    if (set == SET_FAIL) return false;
    for (int32_t k = 0; k < f->n_groups; k++) {
        const int32_t to = stack_sets_step(m->sets, set, f->group_byte[k], err);
        if (to == SET_FAIL) return false;
        for (int32_t i = f->group_begin[k]; to != SET_DEAD && i < f->group_begin[k + 1]; i++)
            if (!walk(m, f->node[i], m->trie->node[f->node[i]].end, set, false, bits, err))
                return false;
    }
    return true;
}

/* ---- masks ---- */

static bool copy_tops(struct token_masks *m, int32_t set, int32_t *n, struct err *err)
{
    const struct stack_top *top = stack_sets_tops(m->sets, set, n);
    if (*n > m->n_top_cap) {
        struct stack_top *more = realloc(m->top, (size_t)*n * sizeof *more);
        if (!more) return no_memory(err);
        m->top = more;
        m->n_top_cap = *n;
    }
    if (*n) memcpy(m->top, top, (size_t)*n * sizeof *top);
    return true;
}

static bool make_mask(struct token_masks *m, int32_t set, uint64_t *bits, struct err *err)
{
    int32_t n = 0;
    if (!copy_tops(m, set, &n, err)) return false;
    memset(bits, 0, m->n_words * sizeof *bits);
    for (int32_t i = 0; i < n; i++) {
        if (m->top[i].state == STATE_WHOLE) {
            for (int32_t j = 0; j < m->trie->n_stop; j++) set_bit(bits, m->trie->stop[j]);
            continue;
        }
        const struct frame *f = frame_of(m, m->top[i].state, err);
        if (!f || !add_frame(m, f, m->top[i].below, bits, err)) return false;
    }
    for (size_t w = 0; w < m->n_words; w++)
        if (bits[w]) return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "no token of this vocabulary can continue the answer as the grammar wants it");
}

/* Forgets what is not in use when it has become much. */
static bool tidy(struct token_masks *m, struct err *err)
{
    stack_sets_set_budget(m->sets, BUDGET);
    m->walk_left = WALK_BUDGET;
    if (m->frame_bytes > FRAMES_BYTES) forget_frames(m);
    if (stack_sets_bytes(m->sets) <= SETS_BYTES) return true;
    int32_t n = 0;
    for (const struct constraint *c = m->first; c; c = c->next) n++;
    int32_t **keep = malloc((size_t)(n ? n : 1) * sizeof *keep);
    if (!keep) return no_memory(err);
    n = 0;
    for (struct constraint *c = m->first; c; c = c->next) keep[n++] = &c->set;
    const bool ok = stack_sets_carry(m->sets, keep, n, err);
    free(keep);
    for (int i = 0; ok && i < N_KEPT; i++) m->kept[i].set = -1;
    return ok;
}

const uint64_t *constraint_mask(struct constraint *c, struct err *err)
{
    struct token_masks *m = c->masks;
    if (!tidy(m, err)) return NULL;
    struct kept *k = &m->kept[((uint32_t)c->set * 0x9e3779b1u) >> 23];
    if (k->set == c->set) return k->bits;
    if (!k->bits) {
        k->bits = malloc(m->n_words * sizeof *k->bits);
        if (!k->bits) {
            no_memory(err);
            return NULL;
        }
        m->n_kept++;
    }
    k->set = -1;
    if (!make_mask(m, c->set, k->bits, err)) return NULL;
    k->set = c->set;
    return k->bits;
}

/* ---- moving ---- */

static int32_t follow(struct stack_sets *s, int32_t set, const uint8_t *bytes, size_t n,
                      struct err *err)
{
    for (size_t i = 0; i < n && set > SET_DEAD; i++) set = stack_sets_step(s, set, bytes[i], err);
    return set;
}

/* Where the set is after the bytes; SET_FAIL or SET_DEAD with `err` if it cannot be. */
static int32_t after(struct constraint *c, const void *bytes, size_t n, struct err *err)
{
    const int32_t set = follow(c->masks->sets, c->set, bytes, n, err);
    if (set == SET_DEAD) err_set(err, ERR_FORMAT, "the grammar does not allow this text here");
    return set;
}

bool constraint_accept_bytes(struct constraint *c, const void *bytes, size_t n, struct err *err)
{
    if (!tidy(c->masks, err)) return false;
    const int32_t set = after(c, bytes, n, err);
    if (set > SET_DEAD) c->set = set;
    return set > SET_DEAD;
}

static bool is_stop(const struct token_trie *t, int32_t id)
{
    for (int32_t i = 0; i < t->n_stop; i++)
        if (t->stop[i] == id) return true;
    return false;
}

bool constraint_accept(struct constraint *c, int32_t id, struct err *err)
{
    size_t n = 0;
    const struct token_trie *t = c->masks->trie;
    const char *bytes = token_trie_bytes(t, id, &n);
    if (bytes) return constraint_accept_bytes(c, bytes, n, err);
    if (is_stop(t, id) && constraint_is_whole(c)) return true;
    return err_set(err, ERR_FORMAT, "the grammar does not allow token %d here", (int)id);
}

int32_t constraint_count_allowed(struct constraint *c, const int32_t *ids, int32_t n)
{
    struct err ignored = {0};
    int32_t set = c->set;
    for (int32_t i = 0; i < n; i++) {
        size_t n_bytes = 0;
        const char *bytes = token_trie_bytes(c->masks->trie, ids[i], &n_bytes);
        if (!bytes) return i;
        set = follow(c->masks->sets, set, (const uint8_t *)bytes, n_bytes, &ignored);
        if (set <= SET_DEAD) return i;
    }
    return n;
}

bool constraint_is_whole(const struct constraint *c)
{
    return stack_sets_is_whole(c->masks->sets, c->set);
}

bool constraint_is_over(const struct constraint *c)
{
    return stack_sets_is_over(c->masks->sets, c->set);
}

bool constraint_begin(struct constraint *c, struct token_masks *m, struct err *err)
{
    *c = (struct constraint){0};
    stack_sets_set_budget(m->sets, BUDGET);
    const int32_t set = stack_sets_start(m->sets, 0, err);
    if (set == SET_FAIL) return false;
    *c = (struct constraint){.masks = m, .set = set, .next = m->first};
    if (m->first) m->first->prev = c;
    m->first = c;
    return true;
}

void constraint_end(struct constraint *c)
{
    if (!c->masks) return;
    if (c->next) c->next->prev = c->prev;
    if (c->prev)
        c->prev->next = c->next;
    else
        c->masks->first = c->next;
    *c = (struct constraint){0};
}

/* ---- life ---- */

struct token_masks *token_masks_new(struct grammar *g, const struct token_trie *t, struct err *err)
{
    struct token_masks *m = calloc(1, sizeof *m);
    if (!m) {
        no_memory(err);
        return NULL;
    }
    m->g = grammar_share(g);
    m->trie = t;
    m->n_words = ((size_t)t->n_vocab + 63) / 64;
    for (int i = 0; i < N_KEPT; i++) m->kept[i].set = -1;
    m->frame = calloc((size_t)g->n_states, sizeof(struct frame *));
    m->bits = malloc(m->n_words * sizeof *m->bits);
    if (!m->frame || !m->bits)
        no_memory(err);
    else
        m->sets = stack_sets_new(g, err);
    if (m->sets) return m;
    token_masks_free(m);
    return NULL;
}

void token_masks_free(struct token_masks *m)
{
    if (!m) return;
    if (m->frame) forget_frames(m);
    for (int i = 0; i < N_KEPT; i++) free(m->kept[i].bits);
    stack_sets_free(m->sets);
    grammar_free(m->g);
    free(m->frame);
    free(m->bits);
    free(m->top);
    free(m->exits.node);
    free(m);
}

const struct grammar *token_masks_grammar(const struct token_masks *m) { return m->g; }

size_t token_masks_bytes(const struct token_masks *m)
{
    return stack_sets_bytes(m->sets) + m->frame_bytes + m->n_kept * m->n_words * sizeof(uint64_t) +
           (size_t)m->g->n_states * sizeof(struct frame *);
}
