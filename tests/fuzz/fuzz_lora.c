/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_lora.c - any bytes as an adapter for a tiny model: those that begin with "GGUF" as such a
 * file, others as a line of adapter_config.json, a line of a safetensors header, and data. The
 * header gets its length in front: a mutation then need not keep it right.
 *
 * An adapter that is taken has whole pairs of the model's shapes, without infinity or NaN.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "model/lora.h"
#include "model/tensors.h"
#include "tiny_model.h"

static const struct model *model(void)
{
    static struct model *m; /* of the process, as libFuzzer wants it */
    if (!m) m = tiny_model_open(1);
    return m;
}

static void check_finite(const struct tensor *t)
{
    const float *v = t->data;
    for (int64_t i = 0; i < tensor_rows(t) * tensor_cols(t); i++) {
        assert(isfinite(v[i]));
        (void)v[i]; /* in a release build */
    }
}

static void check(struct lora *l, const struct err *err)
{
    const struct model_config *c = model_config(model());
    int32_t n = 0;
    (void)err;                                    /* likewise */
    assert((l == NULL) == (err->code != ERR_OK)); /* a refusal always says why */
    for (int32_t i = 0; l && i < c->n_layers * ROLE_COUNT; i++) {
        const struct tensor_row *row = &tensor_rows_table[i % ROLE_COUNT];
        const struct lora_pair *p = lora_pair(l, row->role, i / ROLE_COUNT);
        if (!p) continue;
        assert(tensor_rows(&p->b) == tensor_dim_size(c, row->rows));
        assert(tensor_cols(&p->a) == tensor_dim_size(c, row->cols));
        assert(tensor_rows(&p->a) == tensor_cols(&p->b) && tensor_rows(&p->a) <= lora_rank(l));
        check_finite(&p->a);
        check_finite(&p->b);
        n++;
    }
    assert(!l || (n == lora_n_pairs(l) && n > 0));
    lora_close(l);
}

static void check_peft(const uint8_t *data, size_t n_bytes)
{
    struct err err = {0};
    const uint8_t *end = data + n_bytes, *header = memchr(data, '\n', n_bytes);
    const uint8_t *rest = header ? memchr(header + 1, '\n', (size_t)(end - header - 1)) : NULL;
    if (!rest) return;
    const uint64_t n_header = (uint64_t)(rest - header - 1);
    const size_t n_rest = (size_t)(end - rest - 1), n_file = 8 + (size_t)n_header + n_rest;
    uint8_t *file = malloc(n_file);
    if (!file) return;
    memcpy(file, &n_header, 8);
    memcpy(file + 8, header + 1, (size_t)n_header);
    memcpy(file + 8 + n_header, rest + 1, n_rest);
    check(lora_from_peft((const char *)data, (size_t)(header - data), file, n_file, "fuzz", model(),
                         1, &err),
          &err);
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct err err = {0};
    if (n_bytes >= 4 && memcmp(data, "GGUF", 4) == 0)
        check(lora_from_gguf(data, n_bytes, "fuzz.gguf", model(), 1, &err), &err);
    else
        check_peft(data, n_bytes);
    return 0;
}
