/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_vocab_hf.c - any bytes as a tokenizer.json; what is taken can be written again.
 */
#include <assert.h>

#include "formats/tokenizer_files.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct err err = {0};
    struct vocab *v = vocab_from_hf_memory(data, n_bytes, "tokenizer.json", &err);
    assert((v == NULL) == (err.code != ERR_OK)); /* a refusal always says why */
    if (!v) return 0;
    struct buf out;
    buf_init(&out, 64 << 20);
    assert(vocab_check(v, "tokenizer.json", &err));
    if (!vocab_to_hf_json(v, &out, &err)) assert(err.code != ERR_OK);
    buf_release(&out);
    vocab_free(v);
    return 0;
}
