/* grammar_parts.h - the compiled form of a grammar: what walks it sees. Private to the room.
 *
 * Each rule is a deterministic automaton over bytes and calls: a state has edges by byte ranges
 * that do not overlap, and edges by rules, at most one a rule. A text is read by following bytes;
 * to follow a call, its `to` is put on a stack and reading goes on at the rule's start; at a final
 * state the top of the stack may be taken. A text is whole when the stack below the first rule is
 * reached.
 *
 * Invariants
 *   G1  byte edges of a state are sorted and apart; call edges are sorted by rule.
 *   G2  every state that can be reached can reach a final state of its rule, and every rule called
 *       has a finite text: whatever was read can be completed.
 *   G3  no rule calls itself without having read a byte, also not through others or through rules
 *       that may be empty: following calls ends.
 */
#ifndef CRIA_INFER_GRAMMAR_PARTS_H
#define CRIA_INFER_GRAMMAR_PARTS_H

#include <stdatomic.h>

#include "infer/grammar.h"

struct byte_edge {
    uint8_t lo, hi;
    int32_t to;
};

struct call_edge {
    int32_t rule, to;
};

struct grammar {
    _Atomic int32_t n_owners;
    int32_t n_rules, n_states;
    int32_t *start;      /* [n_rules] the first one is the answer's */
    int32_t *byte_begin; /* [n_states + 1] into byte_edge */
    int32_t *call_begin; /* [n_states + 1] into call_edge */
    struct byte_edge *byte_edge;
    struct call_edge *call_edge;
    uint8_t *is_final;     /* [n_states] */
    uint8_t class_of[256]; /* bytes of one class are on the same edges everywhere */
    uint8_t byte_of[256];  /* one byte of each class */
    int32_t n_classes;
};

/* Nothing can be read from here, only left: no need to come back to it. */
static inline bool grammar_is_end(const struct grammar *g, int32_t state)
{
    return g->is_final[state] && g->byte_begin[state] == g->byte_begin[state + 1] &&
           g->call_begin[state] == g->call_begin[state + 1];
}

/* Where byte b leads, or -1. */
static inline int32_t grammar_step(const struct grammar *g, int32_t state, uint8_t b)
{
    int32_t lo = g->byte_begin[state], hi = g->byte_begin[state + 1];
    while (lo < hi) {
        const int32_t mid = lo + (hi - lo) / 2;
        if (b > g->byte_edge[mid].hi)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < g->byte_begin[state + 1] && b >= g->byte_edge[lo].lo ? g->byte_edge[lo].to : -1;
}

/* grammar_check.c: establishes G2 and G3 or says why it cannot. `rule_of` [n_states]; `old_rule`
 * [n_rules]: what each rule was called in `b`. */
struct grammar_builder;
bool grammar_check(struct grammar *g, const int32_t *rule_of, const int32_t *old_rule,
                   const struct grammar_builder *b, struct err *err) CRIA_CHECK;

#endif
