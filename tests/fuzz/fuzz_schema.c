/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_schema.c - any text as a JSON Schema: refused with a reason, or a grammar that can be read.
 */
#include <assert.h>

#include "fuzz.h"
#include "infer/stack_sets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct err err = {0};
    struct grammar *g = grammar_from_schema((const char *)data, n_bytes, SPACE_FREE, "it", &err);
    assert((g == NULL) == (err.code != ERR_OK)); /* a refusal always says why */
    if (!g) return 0;
    struct stack_sets *s = stack_sets_new(g, &err);
    if (s) {
        stack_sets_set_budget(s, 100000);
        int32_t set = stack_sets_start(s, 0, &err);
        /* along the first byte that fits: there is one, or the text is whole (G2) */
        for (int i = 0; i < 64 && set > SET_DEAD; i++) {
            int32_t next = SET_DEAD;
            for (int b = 0; b < 256 && next == SET_DEAD; b++)
                next = stack_sets_step(s, set, (uint8_t)(b * 37 + i), &err);
            assert(next != SET_DEAD || stack_sets_is_whole(s, set) || i > 0);
            set = next;
        }
        stack_sets_free(s);
    }
    grammar_free(g);
    return 0;
}
