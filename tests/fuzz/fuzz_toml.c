/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_toml.c - any bytes as a TOML document; every value is touched.
 */
#include <assert.h>

#include "base/toml.h"
#include "fuzz.h"

static void touch(const struct toml *v)
{
    if (v->key) fuzz_touch(v->key, v->n_key + 1);
    if (v->type == TOML_STRING) fuzz_touch(v->as.string.s, v->as.string.n + 1);
    assert(v->line >= 1 && v->column >= 1);
    if (v->type > TOML_ARRAY) return;
    for (const struct toml *c = v->first; c; c = c->next) touch(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct err err = {0};
    struct toml_doc *d = toml_parse((const char *)data, n_bytes, "f", &err);
    assert((d == NULL) == (err.code != ERR_OK)); /* a refusal always says why */
    for (const struct toml *c = d ? toml_root(d)->first : NULL; c; c = c->next) touch(c);
    toml_free(d);
    return 0;
}
