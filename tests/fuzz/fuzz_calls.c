/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_calls.c - any text as a description of function calls: refused with a reason, or a grammar
 * that can be read.
 */
#include "fuzz.h"
#include "fuzz_grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct err err = {0};
    fuzz_grammar(grammar_from_calls((const char *)data, n_bytes, SPACE_FREE, "it", &err), &err);
    return 0;
}
