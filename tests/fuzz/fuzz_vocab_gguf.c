/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_vocab_gguf.c - the tokenizer keys of any bytes that are a GGUF file.
 */
#include <assert.h>

#include "formats/tokenizer_files.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct err err = {0};
    struct gguf *g = gguf_open_memory(data, n_bytes, "fuzz.gguf", &err);
    if (!g) return 0;
    struct vocab *v = vocab_from_gguf(g, &err);
    assert((v == NULL) == (err.code != ERR_OK)); /* a refusal always says why */
    if (v) assert(vocab_check(v, "fuzz.gguf", &err));
    vocab_free(v);
    gguf_close(g);
    return 0;
}
