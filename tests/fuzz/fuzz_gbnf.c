/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_gbnf.c - any text as a grammar: refused with a reason, or one that can be read.
 */
#include "fuzz.h"
#include "fuzz_grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct err err = {0};
    fuzz_grammar(grammar_from_gbnf((const char *)data, n_bytes, "it", &err), &err);
    return 0;
}
