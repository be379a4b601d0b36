/* SPDX-License-Identifier: Apache-2.0
 *
 * grammar_check.c - what must hold before a grammar is walked: it has a text at all, nothing that
 * was read leads into a dead end, and following calls ends.
 *
 * Which rules have a finite text, and which may be empty, is the same search: states reached from
 * each rule's start, where a call is passed once the rule called is known to have what is asked.
 * Calls that wait are kept in a list of that rule, so that each edge is looked at once. Edges into
 * dead ends are then taken away, so that a mask never offers a beginning without an end.
 *
 * Everything here is a loop over the automaton, linear in it, without recursion.
 */
#include <stdlib.h>
#include <string.h>

#include "infer/grammar_build.h"
#include "infer/grammar_parts.h"

struct checker {
    struct grammar *g;
    const int32_t *rule_of;
    struct err *err;
    uint8_t *has_text, *may_be_empty; /* [n_rules] */
    uint8_t *reached;                 /* [n_states] */
    int32_t *queue;                   /* [n_states] */
    int32_t *waiting;                 /* [n_rules] first call edge that waits for the rule, or -1 */
    int32_t *next_waiting;            /* [n_call_edges] */
};

static void *array(struct checker *k, int64_t n, size_t elem_bytes)
{
    void *p = calloc(n > 0 ? (size_t)n : 1, elem_bytes);
    if (!p) err_set(k->err, ERR_MEMORY, "no memory for the grammar");
    return p;
}

/* ---- which rules have a text, or the empty one ---- */

struct search {
    struct checker *k;
    uint8_t *is_true; /* [n_rules] the answer so far */
    int32_t n_queued;
};

static void reach(struct search *s, int32_t state)
{
    struct checker *k = s->k;
    if (k->reached[state]) return;
    k->reached[state] = 1;
    k->queue[s->n_queued++] = state;
}

/* A final state of a rule is reached: who waits for the rule goes on. */
static void answer(struct search *s, int32_t rule)
{
    struct checker *k = s->k;
    s->is_true[rule] = 1;
    for (int32_t e = k->waiting[rule]; e >= 0; e = k->next_waiting[e])
        reach(s, k->g->call_edge[e].to);
    k->waiting[rule] = -1;
}

static void search(struct checker *k, bool passes_bytes, uint8_t *is_true)
{
    const struct grammar *g = k->g;
    struct search s = {.k = k, .is_true = is_true};
    memset(k->reached, 0, (size_t)g->n_states);
    for (int32_t r = 0; r < g->n_rules; r++) k->waiting[r] = -1;
    for (int32_t r = 0; r < g->n_rules; r++) reach(&s, g->start[r]);
    for (int32_t i = 0; i < s.n_queued; i++) {
        const int32_t q = k->queue[i];
        if (g->is_final[q] && !is_true[k->rule_of[q]]) answer(&s, k->rule_of[q]);
        for (int32_t e = g->byte_begin[q]; passes_bytes && e < g->byte_begin[q + 1]; e++)
            reach(&s, g->byte_edge[e].to);
        for (int32_t e = g->call_begin[q]; e < g->call_begin[q + 1]; e++) {
            const int32_t rule = g->call_edge[e].rule;
            if (is_true[rule]) {
                reach(&s, g->call_edge[e].to);
            } else {
                k->next_waiting[e] = k->waiting[rule];
                k->waiting[rule] = e;
            }
        }
    }
}

/* ---- left recursion ---- */

/* The rules that a rule may call before its first byte are those called from states reached by
 * empty calls alone, which `reached` is after the search for empty rules. Rules that call nobody so
 * are taken away until none is left; what remains leads into a circle. */
struct left {
    int32_t *n_out;  /* [n_rules] calls to rules that are still there */
    int32_t *by;     /* [n_rules] first call edge to the rule, or -1 */
    int32_t *next;   /* [n_call_edges] */
    int32_t *caller; /* [n_call_edges] */
};

static bool left_fill(struct checker *k, struct left *l)
{
    const struct grammar *g = k->g;
    const int32_t n_calls = g->call_begin[g->n_states];
    l->n_out = array(k, g->n_rules, sizeof *l->n_out);
    l->by = array(k, g->n_rules, sizeof *l->by);
    l->next = array(k, n_calls, sizeof *l->next);
    l->caller = array(k, n_calls, sizeof *l->caller);
    if (!l->n_out || !l->by || !l->next || !l->caller) return false;
    for (int32_t r = 0; r < g->n_rules; r++) l->by[r] = -1;
    for (int32_t q = 0; q < g->n_states; q++)
        for (int32_t e = g->call_begin[q]; k->reached[q] && e < g->call_begin[q + 1]; e++) {
            const int32_t rule = g->call_edge[e].rule;
            l->caller[e] = k->rule_of[q];
            l->n_out[k->rule_of[q]]++;
            l->next[e] = l->by[rule];
            l->by[rule] = e;
        }
    return true;
}

/* A rule that calls itself without a byte before, or -1. */
static int32_t left_recursive(struct checker *k, struct left *l)
{
    const struct grammar *g = k->g;
    int32_t n = 0;
    for (int32_t r = 0; r < g->n_rules; r++)
        if (l->n_out[r] == 0) k->queue[n++] = r;
    for (int32_t i = 0; i < n; i++)
        for (int32_t e = l->by[k->queue[i]]; e >= 0; e = l->next[e])
            if (--l->n_out[l->caller[e]] == 0) k->queue[n++] = l->caller[e];
    if (n == g->n_rules) return -1;
    /* every rule that is left calls one that is left: going on ends in the circle */
    int32_t *callee = k->waiting, at = -1; /* its memory is free again */
    for (int32_t r = 0; r < g->n_rules; r++)
        for (int32_t e = l->by[r]; l->n_out[r] > 0 && e >= 0; e = l->next[e])
            callee[l->caller[e]] = r;
    for (int32_t r = 0; r < g->n_rules; r++)
        if (l->n_out[r] > 0) at = r;
    for (int32_t i = 0; i < g->n_rules; i++) at = callee[at];
    return at;
}

/* ---- dead ends ---- */

/* Marks in `reached` the states that can reach a final state of their rule. */
static bool find_live(struct checker *k)
{
    const struct grammar *g = k->g;
    const int32_t n = g->n_states;
    int32_t *begin = array(k, (int64_t)n + 1, sizeof *begin); /* into from */
    int32_t *from = array(k, (int64_t)g->byte_begin[n] + g->call_begin[n], sizeof *from);
    const bool ok = begin && from;
    /* two passes over the edges: count, then place, `begin` moving from each end to its beginning
     */
    for (int pass = 0; ok && pass < 2; pass++) {
        for (int32_t q = 0; q < n; q++) {
            for (int32_t e = g->byte_begin[q]; e < g->byte_begin[q + 1]; e++) {
                const int32_t to = g->byte_edge[e].to;
                if (pass == 0)
                    begin[to]++;
                else
                    from[--begin[to]] = q;
            }
            for (int32_t e = g->call_begin[q]; e < g->call_begin[q + 1]; e++) {
                const int32_t to = g->call_edge[e].to;
                if (!k->has_text[g->call_edge[e].rule]) continue;
                if (pass == 0)
                    begin[to]++;
                else
                    from[--begin[to]] = q;
            }
        }
        for (int32_t q = 0, sum = 0; pass == 0 && q <= n; q++) begin[q] = sum += begin[q];
    }
    struct search s = {.k = k};
    if (ok) memset(k->reached, 0, (size_t)n);
    for (int32_t q = 0; ok && q < n; q++)
        if (g->is_final[q]) reach(&s, q);
    for (int32_t i = 0; i < s.n_queued; i++)
        for (int32_t e = begin[k->queue[i]]; e < begin[k->queue[i] + 1]; e++) reach(&s, from[e]);
    free(begin);
    free(from);
    return ok;
}

static void drop_dead_edges(struct checker *k)
{
    struct grammar *g = k->g;
    int32_t n_bytes = 0, n_calls = 0;
    for (int32_t q = 0; q < g->n_states; q++) {
        const int32_t bytes = g->byte_begin[q], calls = g->call_begin[q];
        g->byte_begin[q] = n_bytes;
        g->call_begin[q] = n_calls;
        for (int32_t e = bytes; e < g->byte_begin[q + 1]; e++)
            if (k->reached[g->byte_edge[e].to]) g->byte_edge[n_bytes++] = g->byte_edge[e];
        for (int32_t e = calls; e < g->call_begin[q + 1]; e++)
            if (k->reached[g->call_edge[e].to] && k->has_text[g->call_edge[e].rule])
                g->call_edge[n_calls++] = g->call_edge[e];
    }
    g->byte_begin[g->n_states] = n_bytes;
    g->call_begin[g->n_states] = n_calls;
}

/* ---- all of it ---- */

static bool name_left_recursion(const struct checker *k, const struct grammar_builder *b,
                                const int32_t *old_rule, int32_t rule)
{
    const struct grammar_rule *r = &b->rule[old_rule[rule]];
    return err_set(k->err, ERR_FORMAT,
                   "the rule '%.60s' calls itself before it has read anything (left recursion); "
                   "put something in front, or write it as a repetition",
                   b->text + r->name);
}

static bool check(struct checker *k, struct left *l, const struct grammar_builder *b,
                  const int32_t *old_rule)
{
    const struct grammar *g = k->g;
    k->has_text = array(k, g->n_rules, 1);
    k->may_be_empty = array(k, g->n_rules, 1);
    k->reached = array(k, g->n_states, 1);
    k->queue = array(k, g->n_states, sizeof *k->queue);
    k->waiting = array(k, g->n_rules, sizeof *k->waiting);
    k->next_waiting = array(k, g->call_begin[g->n_states], sizeof *k->next_waiting);
    if (!k->has_text || !k->may_be_empty || !k->reached || !k->queue || !k->waiting ||
        !k->next_waiting)
        return false;
    search(k, true, k->has_text);
    search(k, false, k->may_be_empty);
    if (!left_fill(k, l)) return false;
    const int32_t rule = left_recursive(k, l);
    if (rule >= 0) return name_left_recursion(k, b, old_rule, rule);
    if (!k->has_text[0])
        return err_set(k->err, ERR_FORMAT,
                       "no text fits: every way through it needs itself again, or a choice of "
                       "nothing; give a way to end");
    if (!find_live(k)) return false;
    drop_dead_edges(k);
    return true;
}

bool grammar_check(struct grammar *g, const int32_t *rule_of, const int32_t *old_rule,
                   const struct grammar_builder *b, struct err *err)
{
    struct checker k = {.g = g, .rule_of = rule_of, .err = err};
    struct left l = {0};
    const bool ok = check(&k, &l, b, old_rule);
    free(k.has_text);
    free(k.may_be_empty);
    free(k.reached);
    free(k.queue);
    free(k.waiting);
    free(k.next_waiting);
    free(l.n_out);
    free(l.by);
    free(l.next);
    free(l.caller);
    return ok;
}
