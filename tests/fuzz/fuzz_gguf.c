/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_gguf.c - any bytes as a GGUF file: refused with a reason, or every value and tensor of it
 * can be read.
 */
#include <assert.h>

#include "formats/gguf.h"
#include "fuzz.h"

static void walk_value(const struct gguf *g, const struct gguf_value *v)
{
    const uint8_t *cursor = NULL;
    const char *s = NULL;
    size_t n = 0;
    int64_t i = 0;
    double d = 0;
    struct err err = {0};
    assert(gguf_find(g, v->key) == v);
    fuzz_touch(v->raw, v->n_bytes);
    while (gguf_next_str(v, &cursor, &s, &n)) fuzz_touch(s, n);
    for (uint64_t k = 0; v->type == GGUF_ARRAY && k < v->n && k < 100; k++)
        (void)(gguf_elem_i64(v, k) + (int64_t)(gguf_elem_f64(v, k) > 0));
    (void)!gguf_i64(g, v->key, -10, 10, &i, NULL, &err);
    (void)!gguf_f64(g, v->key, -10, 10, &d, NULL, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct err err = {0};
    struct gguf *g = gguf_open_memory(data, n_bytes, "fuzz.gguf", &err);
    assert((g == NULL) == (err.code != ERR_OK)); /* a refusal always says why */
    for (size_t i = 0; g && i < gguf_n_values(g); i++) walk_value(g, gguf_value(g, i));
    for (size_t i = 0; g && i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor(g, i);
        assert(gguf_find_tensor(g, t->name) == t);
        if (t->is_supported) fuzz_touch(t->t.data, t->n_bytes);
    }
    gguf_close(g);
    return 0;
}
