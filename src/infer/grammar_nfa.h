/* grammar_nfa.h - an expression as a nondeterministic automaton (Thompson's construction). Private
 * to the compiler of grammars. One thread at a time. */
#ifndef CRIA_INFER_GRAMMAR_NFA_H
#define CRIA_INFER_GRAMMAR_NFA_H

#include "infer/grammar_build.h"

enum { NFA_BYTES = -1, NFA_FREE = -2 }; /* what stands in `rule` of an edge that is no call */

struct nfa_edge {
    int32_t to, rule;
    int32_t next; /* of the same state, or -1 */
    uint8_t lo, hi;
};

struct nfa {
    int32_t *first; /* [n_states] first edge, or -1 */
    struct nfa_edge *edge;
    size_t n_states, cap_states, n_edges, cap_edges;
};

/* How a rule's calls are built: by a call, or by a copy where the rule is a short piece of text
 * (a digit, an escape): a stack for each character would cost more than it tells. */
struct rule_measure {
    bool is_known, is_open; /* open: being measured, so it recurs */
    bool is_inlined;
    int32_t max_bytes, n_states, height;
};

void nfa_release(struct nfa *n);
/* `n` becomes the automaton of a node, from state 0 to state 1; its memory is used again.
 * `measure` [n_rules] is filled as needed. */
bool nfa_build(struct nfa *n, const struct grammar_builder *b, struct rule_measure *measure,
               int32_t node, struct err *err) CRIA_CHECK;

#endif
