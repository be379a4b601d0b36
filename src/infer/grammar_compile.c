/* SPDX-License-Identifier: Apache-2.0
 *
 * grammar_compile.c - each rule made deterministic by the subset construction, where a call of a
 * rule counts as a letter beside the bytes.
 *
 * Alternatives that begin alike thereby become one path, also through calls: reading needs several
 * stacks only where rules themselves overlap. The construction can be exponential in a rule's size;
 * it is bounded by counts of states, edges, set members and steps, each a clear error. Only rules
 * that can be reached are compiled.
 *
 * Begin reading at grammar_compile(); what is checked after is in grammar_check.c.
 */
#include "infer/grammar_build.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "infer/grammar_nfa.h"
#include "infer/grammar_parts.h"

enum {
    MAX_MEMBERS = 1 << 22,            /* of all sets of one rule */
    N_SLOTS = 2 * GRAMMAR_MAX_STATES, /* of the hash table; a power of two */
};

/* A growing list of ints; used where a struct of its own would say no more. */
struct ints {
    int32_t *v;
    size_t n, cap;
};

struct compiler {
    const struct grammar_builder *b;
    struct err *err;
    struct grammar *g;
    struct rule_measure *measure; /* [n_rules] */
    struct nfa nfa;
    struct ints rule_of;   /* [n_states] */
    struct ints member;    /* the sets of the rule under way, one behind the other */
    struct ints set_begin; /* [n_states + 1] into member */
    struct ints byte_begin, call_begin;
    struct byte_edge *byte_edge;
    struct call_edge *call_edge;
    size_t n_byte_edges, cap_byte_edges, n_call_edges, cap_call_edges;
    int32_t *slot;    /* [N_SLOTS] states by their sets; of earlier rules: stale */
    int32_t first;    /* state of the rule under way */
    struct ints seen; /* [nfa states] the round in which closure() met it */
    int32_t round;
    struct ints seed, found, stack;
    struct ints edges;   /* of one set: indices of nfa edges by bytes */
    struct ints calls;   /* the same by calls */
    struct ints pending; /* rules to be compiled */
    int32_t *new_rule;   /* [n_rules] the number after compiling, or -1 */
    int64_t work;
};

static bool no_memory(struct compiler *c)
{
    return err_set(c->err, ERR_MEMORY, "no memory for the grammar");
}

static bool push(struct compiler *c, struct ints *l, int32_t v)
{
    if (l->n == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : 256;
        int32_t *more = realloc(l->v, cap * sizeof *more);
        if (!more) return no_memory(c);
        l->v = more;
        l->cap = cap;
    }
    l->v[l->n++] = v;
    return true;
}

static bool spend(struct compiler *c, size_t n)
{
    c->work += (int64_t)n;
    return c->work <= GRAMMAR_MAX_WORK ||
           err_set(c->err, ERR_LIMIT,
                   "compiling takes more than %d steps; use fewer alternatives or repetitions that "
                   "can match the same text",
                   GRAMMAR_MAX_WORK);
}

/* ---- sets of states ---- */

static bool meet(struct compiler *c, int32_t state)
{
    if (c->seen.v[state] == c->round) return true;
    c->seen.v[state] = c->round;
    return push(c, &c->stack, state);
}

static int by_value(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* found = what can be reached from the seeds for free and has something to say: an edge by bytes or
 * a call, or being the end. Sorted. */
static bool closure(struct compiler *c)
{
    c->round++;
    c->found.n = c->stack.n = 0;
    for (size_t i = 0; i < c->seed.n; i++)
        if (!meet(c, c->seed.v[i])) return false;
    size_t n_seen = 0;
    while (c->stack.n) {
        const int32_t s = c->stack.v[--c->stack.n];
        bool is_kept = s == 1;
        for (int32_t i = c->nfa.first[s]; i >= 0; i = c->nfa.edge[i].next, n_seen++) {
            const struct nfa_edge *e = &c->nfa.edge[i];
            if (e->rule != NFA_FREE)
                is_kept = true;
            else if (!meet(c, e->to))
                return false;
        }
        if (is_kept && !push(c, &c->found, s)) return false;
    }
    if (c->found.n > 1) qsort(c->found.v, c->found.n, sizeof *c->found.v, by_value);
    return spend(c, n_seen + 4 * c->found.n + 4);
}

static uint32_t hash_ints(const int32_t *v, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint32_t)v[i]) * 0x9e3779b97f4a7c15u, h ^= h >> 29;
    return (uint32_t)(h ^ h >> 32);
}

/* The state of the set `found`, made if it is new; -1 on failure. */
static int32_t intern(struct compiler *c)
{
    const size_t n = c->found.n;
    uint32_t at = hash_ints(c->found.v, n) & (N_SLOTS - 1);
    for (; c->slot[at] >= c->first; at = (at + 1) & (N_SLOTS - 1)) {
        const int32_t i = c->slot[at] - c->first;
        const int32_t begin = c->set_begin.v[i], end = c->set_begin.v[i + 1];
        if ((size_t)(end - begin) == n &&
            memcmp(c->member.v + begin, c->found.v, n * sizeof *c->found.v) == 0)
            return c->slot[at];
    }
    const int32_t state = (int32_t)c->rule_of.n;
    if (state == GRAMMAR_MAX_STATES || c->member.n + n > MAX_MEMBERS) {
        err_set(c->err, ERR_LIMIT,
                "the automaton has more than %d states; make the grammar simpler (fewer counted "
                "repetitions behind text that can match in several ways)",
                GRAMMAR_MAX_STATES);
        return -1;
    }
    for (size_t i = 0; i < n; i++)
        if (!push(c, &c->member, c->found.v[i])) return -1;
    if (!push(c, &c->set_begin, (int32_t)c->member.n) ||
        !push(c, &c->rule_of, (int32_t)c->g->n_rules))
        return -1;
    return c->slot[at] = state;
}

/* ---- edges ---- */

static bool room_for_edge(struct compiler *c, void **list, size_t n, size_t *cap, size_t bytes)
{
    if (n == GRAMMAR_MAX_EDGES)
        return err_set(c->err, ERR_LIMIT, "the automaton has more than %d edges; make it simpler",
                       GRAMMAR_MAX_EDGES);
    if (n < *cap) return true;
    const size_t new_cap = *cap ? 2 * *cap : 256;
    void *more = realloc(*list, new_cap * bytes);
    if (!more) return no_memory(c);
    *list = more;
    *cap = new_cap;
    return true;
}

static bool add_byte_edge(struct compiler *c, struct byte_edge e, size_t begin)
{
    struct byte_edge *last = c->n_byte_edges > begin ? &c->byte_edge[c->n_byte_edges - 1] : NULL;
    if (last && last->to == e.to && last->hi + 1 == e.lo) {
        last->hi = e.hi;
        return true;
    }
    void *list = c->byte_edge;
    const bool ok =
        room_for_edge(c, &list, c->n_byte_edges, &c->cap_byte_edges, sizeof *c->byte_edge);
    c->byte_edge = list;
    if (ok) c->byte_edge[c->n_byte_edges++] = e;
    return ok;
}

/* Cuts the bytes at all borders of the set's edges; each piece leads to one set. */
static bool follow_bytes(struct compiler *c)
{
    const size_t begin = c->n_byte_edges;
    bool is_border[257] = {0};
    for (size_t i = 0; i < c->edges.n; i++) {
        const struct nfa_edge *e = &c->nfa.edge[c->edges.v[i]];
        is_border[e->lo] = is_border[e->hi + 1] = true;
    }
    for (int b = 0, end; c->edges.n && b < 256; b = end) {
        for (end = b + 1; end < 256 && !is_border[end]; end++) continue;
        c->seed.n = 0;
        for (size_t i = 0; i < c->edges.n; i++) {
            const struct nfa_edge *e = &c->nfa.edge[c->edges.v[i]];
            if (e->lo <= b && b <= e->hi && !push(c, &c->seed, e->to)) return false;
        }
        if (!spend(c, c->edges.n)) return false;
        if (c->seed.n == 0) continue;
        const int32_t to = closure(c) ? intern(c) : -1;
        const struct byte_edge e = {(uint8_t)b, (uint8_t)(end - 1), to};
        if (to < 0 || !add_byte_edge(c, e, begin)) return false;
    }
    return true;
}

/* The number that a rule will have; it is compiled later. */
static int32_t number_of(struct compiler *c, int32_t rule)
{
    if (c->new_rule[rule] < 0) {
        c->new_rule[rule] = (int32_t)c->pending.n;
        if (!push(c, &c->pending, rule)) return -1;
    }
    return c->new_rule[rule];
}

static bool follow_calls(struct compiler *c)
{
    /* pairs (rule, to) sorted by rule: the list holds rules first, so that equal ones meet */
    const size_t begin = c->n_call_edges;
    for (size_t i = 0; i < c->calls.n; i++) {
        const int32_t rule = c->nfa.edge[c->calls.v[i]].rule;
        bool is_done = false; /* a later edge of a rule that was followed with its first */
        for (size_t j = 0; j < i && !is_done; j++)
            is_done = c->nfa.edge[c->calls.v[j]].rule == rule;
        if (!spend(c, i + 1)) return false;
        if (is_done) continue;
        c->seed.n = 0;
        for (size_t j = i; j < c->calls.n; j++)
            if (c->nfa.edge[c->calls.v[j]].rule == rule &&
                !push(c, &c->seed, c->nfa.edge[c->calls.v[j]].to))
                return false;
        if (!spend(c, c->calls.n - i)) return false;
        const int32_t number = number_of(c, rule);
        const int32_t to = number >= 0 && closure(c) ? intern(c) : -1;
        void *list = c->call_edge;
        const bool ok = to >= 0 && room_for_edge(c, &list, c->n_call_edges, &c->cap_call_edges,
                                                 sizeof *c->call_edge);
        c->call_edge = list;
        if (!ok) return false;
        size_t at = c->n_call_edges++;
        for (; at > begin && c->call_edge[at - 1].rule > number; at--)
            c->call_edge[at] = c->call_edge[at - 1];
        c->call_edge[at] = (struct call_edge){number, to};
    }
    return true;
}

static bool follow(struct compiler *c, int32_t state)
{
    const int32_t i = state - c->first;
    c->edges.n = c->calls.n = 0;
    for (int32_t m = c->set_begin.v[i]; m < c->set_begin.v[i + 1]; m++)
        for (int32_t e = c->nfa.first[c->member.v[m]]; e >= 0; e = c->nfa.edge[e].next) {
            const int32_t rule = c->nfa.edge[e].rule;
            if (rule == NFA_FREE) continue;
            if (!push(c, rule == NFA_BYTES ? &c->edges : &c->calls, e)) return false;
        }
    return push(c, &c->byte_begin, (int32_t)c->n_byte_edges) && follow_bytes(c) &&
           push(c, &c->call_begin, (int32_t)c->n_call_edges) && follow_calls(c);
}

/* ---- rules ---- */

static bool compile_rule(struct compiler *c, int32_t rule)
{
    const int32_t node = c->b->rule[rule].node;
    assert(node >= 0);
    if (!nfa_build(&c->nfa, c->b, c->measure, node, c->err) ||
        !spend(c, c->nfa.n_states + c->nfa.n_edges))
        return false;
    while (c->seen.n < c->nfa.n_states)
        if (!push(c, &c->seen, 0)) return false;
    c->first = (int32_t)c->rule_of.n;
    c->member.n = c->set_begin.n = c->seed.n = 0;
    if (!push(c, &c->set_begin, 0) || !push(c, &c->seed, 0) || !closure(c) || intern(c) < 0)
        return false;
    for (int32_t s = c->first; (size_t)s < c->rule_of.n; s++)
        if (!follow(c, s)) return false;
    /* the set's members are sorted: state 1, the end, is first or behind state 0 */
    for (int32_t s = c->first; (size_t)s < c->rule_of.n; s++) {
        const int32_t i = s - c->first, begin = c->set_begin.v[i], end = c->set_begin.v[i + 1];
        for (int32_t m = begin; m < end && m < begin + 2; m++)
            if (c->member.v[m] == 1) c->g->is_final[s] = 1;
    }
    c->g->start[c->g->n_rules++] = c->first;
    return true;
}

static void find_classes(struct grammar *g, int32_t n_byte_edges)
{
    bool is_border[257] = {0};
    for (int32_t i = 0; i < n_byte_edges; i++)
        is_border[g->byte_edge[i].lo] = is_border[g->byte_edge[i].hi + 1] = true;
    int32_t n = 0;
    for (int b = 0; b < 256; b++) {
        if (b > 0 && is_border[b]) n++;
        g->class_of[b] = (uint8_t)n;
        g->byte_of[n] = (uint8_t)b;
    }
    g->n_classes = n + 1;
}

static bool compile_all(struct compiler *c)
{
    struct grammar *g = c->g;
    const size_t n = c->b->n_rules;
    g->n_owners = 1;
    g->start = calloc(n, sizeof *g->start);
    g->is_final = calloc(GRAMMAR_MAX_STATES, 1);
    c->measure = calloc(n, sizeof *c->measure);
    c->new_rule = malloc(n * sizeof *c->new_rule);
    c->slot = malloc(N_SLOTS * sizeof *c->slot);
    if (!g->start || !g->is_final || !c->measure || !c->new_rule || !c->slot) return no_memory(c);
    for (size_t i = 0; i < n; i++) c->new_rule[i] = -1;
    for (size_t i = 0; i < N_SLOTS; i++) c->slot[i] = -1;
    if (number_of(c, 0) < 0) return false;
    while ((size_t)g->n_rules < c->pending.n)
        if (!compile_rule(c, c->pending.v[g->n_rules])) {
            const struct grammar_rule *r = &c->b->rule[c->pending.v[g->n_rules]];
            return r->n_name ? err_wrap(c->err, "%.40s", c->b->text + r->name) : false;
        }
    if (!push(c, &c->byte_begin, (int32_t)c->n_byte_edges) ||
        !push(c, &c->call_begin, (int32_t)c->n_call_edges))
        return false;
    g->n_states = (int32_t)c->rule_of.n;
    g->byte_begin = c->byte_begin.v, c->byte_begin.v = NULL;
    g->call_begin = c->call_begin.v, c->call_begin.v = NULL;
    g->byte_edge = c->byte_edge, c->byte_edge = NULL;
    g->call_edge = c->call_edge, c->call_edge = NULL;
    find_classes(g, (int32_t)c->n_byte_edges);
    return true;
}

static void release(struct compiler *c)
{
    struct ints *lists[] = {&c->rule_of,    &c->member, &c->set_begin, &c->byte_begin,
                            &c->call_begin, &c->seen,   &c->seed,      &c->found,
                            &c->stack,      &c->edges,  &c->calls,     &c->pending};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) free(lists[i]->v);
    nfa_release(&c->nfa);
    free(c->measure);
    free(c->new_rule);
    free(c->slot);
    free(c->byte_edge);
    free(c->call_edge);
}

struct grammar *grammar_compile(const struct grammar_builder *b, const char *name, struct err *err)
{
    if (grammar_has_failed(b)) {
        *err = b->err;
        err_wrap(err, "%s", name);
        return NULL;
    }
    assert(b->n_rules > 0);
    struct compiler c = {.b = b, .err = err, .g = calloc(1, sizeof *c.g)};
    bool ok = c.g || no_memory(&c);
    ok = ok && compile_all(&c) && grammar_check(c.g, c.rule_of.v, c.pending.v, b, err);
    struct grammar *g = c.g;
    release(&c);
    if (ok) return g;
    grammar_free(g);
    err_wrap(err, "%s", name);
    return NULL;
}

/* ---- the finished grammar ---- */

struct grammar *grammar_share(struct grammar *g)
{
    atomic_fetch_add_explicit(&g->n_owners, 1, memory_order_relaxed);
    return g;
}

void grammar_free(struct grammar *g)
{
    /* the last owner sees what the others did to it before: nothing, but the count is theirs too */
    if (!g || atomic_fetch_sub_explicit(&g->n_owners, 1, memory_order_acq_rel) > 1) return;
    free(g->start);
    free(g->byte_begin);
    free(g->call_begin);
    free(g->byte_edge);
    free(g->call_edge);
    free(g->is_final);
    free(g);
}

static bool same(const void *a, const void *b, size_t n) { return memcmp(a, b, n) == 0; }

bool grammar_equal(const struct grammar *a, const struct grammar *b)
{
    if (a == b) return true;
    const size_t n = (size_t)a->n_states, n_int = (n + 1) * sizeof(int32_t);
    if (a->n_states != b->n_states || a->n_rules != b->n_rules ||
        !same(a->start, b->start, (size_t)a->n_rules * sizeof *a->start) ||
        !same(a->is_final, b->is_final, n) || !same(a->byte_begin, b->byte_begin, n_int) ||
        !same(a->call_begin, b->call_begin, n_int))
        return false;
    for (int32_t i = 0; i < a->byte_begin[n]; i++) {
        const struct byte_edge *x = &a->byte_edge[i], *y = &b->byte_edge[i];
        if (x->lo != y->lo || x->hi != y->hi || x->to != y->to) return false;
    }
    for (int32_t i = 0; i < a->call_begin[n]; i++) {
        const struct call_edge *x = &a->call_edge[i], *y = &b->call_edge[i];
        if (x->rule != y->rule || x->to != y->to) return false;
    }
    return true;
}

struct grammar_size grammar_size(const struct grammar *g)
{
    return (struct grammar_size){g->n_rules, g->n_states,
                                 g->byte_begin[g->n_states] + g->call_begin[g->n_states]};
}
