/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_vocab_model.c - any bytes as a tokenizer.model, SentencePiece or tiktoken.
 */
#include <assert.h>

#include "formats/tokenizer_files.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    for (int is_llama31 = 0; is_llama31 < 2; is_llama31++) {
        struct err err = {0};
        struct vocab *v =
            vocab_from_model_memory(data, n_bytes, "tokenizer.model", is_llama31, &err);
        assert((v == NULL) == (err.code != ERR_OK)); /* a refusal always says why */
        if (v) assert(vocab_check(v, "tokenizer.model", &err));
        vocab_free(v);
    }
    return 0;
}
