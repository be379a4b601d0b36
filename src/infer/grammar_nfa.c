/* SPDX-License-Identifier: Apache-2.0
 *
 * grammar_nfa.c - from expressions to edges.
 *
 * put() draws a node between two states. It may add edges out of `from` and into `to` only, which
 * is why a loop gets a state of its own. The last bytes of UTF-8 characters share their states, or
 * a class of all characters would have thirty instead of seven.
 *
 * Whether a call is copied in is decided by measure(): a rule whose texts have at most 16 bytes and
 * whose automaton is small. The limit is a guess that two measurements bracket: JSON's character
 * rule has 12 (a pair of \uXXXX), and a frame for it makes every mask inside a string a walk of the
 * whole vocabulary; words and strings have no bound and do better as rules, which share one mask.
 *
 * Recursion is as deep as a reader allows nesting (GRAMMAR_MAX_DEPTH) times MAX_HEIGHT.
 */
#include "infer/grammar_nfa.h"

#include <stdlib.h>

enum {
    MAX_INLINE_BYTES = 16,
    MAX_INLINE_STATES = 128,
    MAX_HEIGHT = 8, /* calls copied within copies */
    MUCH = 1 << 28, /* stands for infinite */
};

struct drawing {
    struct nfa *n;
    const struct grammar_builder *b;
    struct rule_measure *measure;
    struct err *err;
};

void nfa_release(struct nfa *n)
{
    free(n->first);
    free(n->edge);
    *n = (struct nfa){0};
}

/* ---- measuring ---- */

static int32_t least(int64_t v) { return v < MUCH ? (int32_t)v : MUCH; }

static struct rule_measure measure_rule(const struct drawing *d, int32_t rule, int depth);

static struct rule_measure measure(const struct drawing *d, int32_t node, int depth)
{
    const struct grammar_node *x = &d->b->node[node];
    struct rule_measure m = {.n_states = 1}, kid;
    switch (x->kind) {
    case NODE_NEVER:
    case NODE_EMPTY:
        break;
    case NODE_LITERAL:
        m.max_bytes = m.n_states = x->b;
        break;
    case NODE_CLASS:
        m.n_states = x->b;
        for (int32_t i = 0; i < x->b; i++)
            if (d->b->utf8[x->a + i].n > m.max_bytes) m.max_bytes = d->b->utf8[x->a + i].n;
        break;
    case NODE_SEQ:
    case NODE_ALT:
        for (int32_t i = 0; i < x->b; i++) {
            kid = measure(d, d->b->kid[x->a + i], depth);
            if (x->kind == NODE_SEQ)
                m.max_bytes = least((int64_t)m.max_bytes + kid.max_bytes);
            else if (kid.max_bytes > m.max_bytes)
                m.max_bytes = kid.max_bytes;
            m.n_states = least((int64_t)m.n_states + kid.n_states);
            if (kid.height > m.height) m.height = kid.height;
        }
        break;
    case NODE_REPEAT:
        kid = measure(d, x->a, depth);
        m.height = kid.height;
        m.max_bytes = x->c < 0 ? MUCH : least((int64_t)x->c * kid.max_bytes);
        m.n_states = least((int64_t)(x->c < 0 ? x->b + 1 : x->c) * kid.n_states);
        break;
    case NODE_CALL:
        m = measure_rule(d, x->a, depth);
        break;
    }
    return m;
}

static struct rule_measure measure_rule(const struct drawing *d, int32_t rule, int depth)
{
    struct rule_measure *m = &d->measure[rule];
    if (m->is_known) return *m;
    if (m->is_open || depth == GRAMMAR_MAX_DEPTH)
        return (struct rule_measure){.max_bytes = MUCH, .n_states = MUCH, .height = MUCH};
    m->is_open = true;
    const struct rule_measure got = measure(d, d->b->rule[rule].node, depth + 1);
    *m = (struct rule_measure){.is_known = true,
                               .max_bytes = got.max_bytes,
                               .n_states = got.n_states,
                               .height = least((int64_t)got.height + 1)};
    m->is_inlined = m->max_bytes <= MAX_INLINE_BYTES && m->n_states <= MAX_INLINE_STATES &&
                    m->height <= MAX_HEIGHT;
    return *m;
}

/* ---- drawing ---- */

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_MEMORY, "no memory for the grammar");
}

static int32_t state_new(struct drawing *d)
{
    struct nfa *n = d->n;
    if (n->n_states == GRAMMAR_MAX_NFA) {
        err_set(d->err, ERR_LIMIT,
                "one rule has more than %d states; ask for fewer repetitions or shorter texts",
                GRAMMAR_MAX_NFA);
        return -1;
    }
    if (n->n_states == n->cap_states) {
        const size_t cap = n->cap_states ? 2 * n->cap_states : 256;
        int32_t *more = realloc(n->first, cap * sizeof *more);
        if (!more) {
            no_memory(d->err);
            return -1;
        }
        n->first = more;
        n->cap_states = cap;
    }
    n->first[n->n_states] = -1;
    return (int32_t)n->n_states++;
}

static bool edge_add(struct drawing *d, int32_t from, struct nfa_edge e)
{
    struct nfa *n = d->n;
    if (n->n_edges == 4 * (size_t)GRAMMAR_MAX_NFA)
        return err_set(d->err, ERR_LIMIT, "one rule has more than %d edges; make it simpler",
                       4 * GRAMMAR_MAX_NFA);
    if (n->n_edges == n->cap_edges) {
        const size_t cap = n->cap_edges ? 2 * n->cap_edges : 256;
        struct nfa_edge *more = realloc(n->edge, cap * sizeof *more);
        if (!more) return no_memory(d->err);
        n->edge = more;
        n->cap_edges = cap;
    }
    e.next = n->first[from];
    n->first[from] = (int32_t)n->n_edges;
    n->edge[n->n_edges++] = e;
    return true;
}

static bool free_edge(struct drawing *d, int32_t from, int32_t to)
{
    return from == to || edge_add(d, from, (struct nfa_edge){.to = to, .rule = NFA_FREE});
}

static bool byte_edge(struct drawing *d, int32_t from, int32_t to, uint8_t lo, uint8_t hi)
{
    return edge_add(d, from, (struct nfa_edge){.to = to, .rule = NFA_BYTES, .lo = lo, .hi = hi});
}

static bool put(struct drawing *d, int32_t node, int32_t from, int32_t to);

static bool put_literal(struct drawing *d, const char *s, int32_t n, int32_t from, int32_t to)
{
    if (n == 0) return free_edge(d, from, to);
    for (int32_t i = 0; i < n; i++) {
        const int32_t next = i + 1 < n ? state_new(d) : to;
        if (next < 0 || !byte_edge(d, from, next, (uint8_t)s[i], (uint8_t)s[i])) return false;
        from = next;
    }
    return true;
}

/* From where `n` more bytes, each 80..BF, lead to `to`. */
static int32_t tail(struct drawing *d, int32_t shared[4], int n)
{
    if (shared[n] >= 0) return shared[n];
    const int32_t s = state_new(d);
    if (s < 0 || !byte_edge(d, s, tail(d, shared, n - 1), 0x80, 0xbf)) return -1;
    return shared[n] = s;
}

static bool put_class(struct drawing *d, const struct utf8_range *r, int32_t n, int32_t from,
                      int32_t to)
{
    int32_t shared[4] = {to, -1, -1, -1};
    for (int32_t i = 0; i < n; i++, r++) {
        int n_own = r->n; /* bytes before a tail that takes all */
        while (n_own > 1 && r->lo[n_own - 1] == 0x80 && r->hi[n_own - 1] == 0xbf) n_own--;
        int32_t at = from;
        for (int j = 0; j < n_own; j++) {
            const int32_t next = j + 1 < n_own ? state_new(d) : tail(d, shared, r->n - n_own);
            if (next < 0 || !byte_edge(d, at, next, r->lo[j], r->hi[j])) return false;
            at = next;
        }
    }
    return true;
}

static bool put_repeat(struct drawing *d, const struct grammar_node *x, int32_t from, int32_t to)
{
    int32_t at = from;
    for (int32_t i = 0; i < x->b; i++) {
        const int32_t next = state_new(d);
        if (next < 0 || !put(d, x->a, at, next)) return false;
        at = next;
    }
    if (x->c < 0) {
        const int32_t loop = state_new(d);
        return loop >= 0 && free_edge(d, at, loop) && put(d, x->a, loop, loop) &&
               free_edge(d, loop, to);
    }
    for (int32_t i = x->b; i < x->c; i++) {
        const int32_t next = state_new(d);
        if (next < 0 || !free_edge(d, at, to) || !put(d, x->a, at, next)) return false;
        at = next;
    }
    return free_edge(d, at, to);
}

static bool put(struct drawing *d, int32_t node, int32_t from, int32_t to)
{
    const struct grammar_node *x = &d->b->node[node];
    switch (x->kind) {
    case NODE_NEVER:
        return true;
    case NODE_EMPTY:
        return free_edge(d, from, to);
    case NODE_LITERAL:
        return put_literal(d, d->b->text + x->a, x->b, from, to);
    case NODE_CLASS:
        return put_class(d, d->b->utf8 + x->a, x->b, from, to);
    case NODE_SEQ:
        for (int32_t i = 0; i < x->b; i++) {
            const int32_t next = i + 1 < x->b ? state_new(d) : to;
            if (next < 0 || !put(d, d->b->kid[x->a + i], from, next)) return false;
            from = next;
        }
        return true;
    case NODE_ALT:
        for (int32_t i = 0; i < x->b; i++)
            if (!put(d, d->b->kid[x->a + i], from, to)) return false;
        return true;
    case NODE_REPEAT:
        return put_repeat(d, x, from, to);
    case NODE_CALL:
        if (measure_rule(d, x->a, 0).is_inlined) return put(d, d->b->rule[x->a].node, from, to);
        return edge_add(d, from, (struct nfa_edge){.to = to, .rule = x->a});
    }
    return true;
}

bool nfa_build(struct nfa *n, const struct grammar_builder *b, struct rule_measure *measure_of,
               int32_t node, struct err *err)
{
    struct drawing d = {.n = n, .b = b, .measure = measure_of, .err = err};
    n->n_states = n->n_edges = 0;
    return state_new(&d) >= 0 && state_new(&d) >= 0 && put(&d, node, 0, 1);
}
