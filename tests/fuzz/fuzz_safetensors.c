/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_safetensors.c - any bytes as a safetensors file. An input that begins with '{' is taken as
 * the JSON alone and gets the length in front and 64 bytes of data behind: a mutation then need not
 * keep the length right.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "formats/safetensors.h"
#include "fuzz.h"

static void check(const uint8_t *data, size_t n_bytes)
{
    struct err err = {0};
    struct safetensors *s = safetensors_open_memory(data, n_bytes, "fuzz.safetensors", &err);
    assert((s == NULL) == (err.code != ERR_OK)); /* a refusal always says why */
    for (size_t i = 0; s && i < safetensors_n(s); i++) {
        const struct safetensor *x = safetensors_at(s, i);
        assert(safetensors_find(s, x->name) == x);
        fuzz_touch(x->data, x->n_bytes);
        if (x->is_supported) fuzz_touch(x->t.data, tensor_bytes(&x->t));
    }
    if (s) (void)safetensors_meta(s, "format");
    safetensors_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes == 0 || data[0] != '{') {
        check(data, n_bytes);
        return 0;
    }
    const uint64_t n = n_bytes;
    uint8_t *file = calloc(1, 8 + n_bytes + 64);
    if (!file) return 0;
    memcpy(file, &n, 8);
    memcpy(file + 8, data, n_bytes);
    check(file, 8 + n_bytes + 64);
    free(file);
    return 0;
}
