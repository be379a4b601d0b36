/* fuzz_grammar.h - what is made of a grammar, whatever language it was written in. */
#ifndef CRIA_TESTS_FUZZ_GRAMMAR_H
#define CRIA_TESTS_FUZZ_GRAMMAR_H

#include <assert.h>

#include "infer/stack_sets.h"

/* A refusal says why. A grammar is followed along the first byte that fits: there is one, or the
 * text is whole (G2 of grammar_parts.h). Frees `g`; `err` is what the compiler left there. */
static inline void fuzz_grammar(struct grammar *g, struct err *err)
{
    assert((g == NULL) == (err->code != ERR_OK));
    if (!g) return;
    struct stack_sets *s = stack_sets_new(g, err);
    if (s) {
        stack_sets_set_budget(s, 100000);
        int32_t set = stack_sets_start(s, 0, err);
        for (int i = 0; i < 64 && set > SET_DEAD; i++) {
            int32_t next = SET_DEAD;
            for (int b = 0; b < 256 && next == SET_DEAD; b++)
                next = stack_sets_step(s, set, (uint8_t)(b * 37 + i), err);
            assert(next != SET_DEAD || stack_sets_is_whole(s, set) || i > 0);
            set = next;
        }
        stack_sets_free(s);
    }
    grammar_free(g);
}

#endif
