/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_config.c - any JSON as a config.json and as a params.json; frequencies of what is taken.
 */
#include <assert.h>
#include <stdlib.h>

#include "fuzz.h"
#include "model/config.h"

enum { MAX_BYTES = 1 << 20, MAX_HALF_HEAD = 1 << 16 };

static void check(const struct model_config *c, bool is_ok, const struct err *err)
{
    struct err again = {0};
    (void)again; /* unused where assert() is off */
    (void)err;
    assert(is_ok == (err->code == ERR_OK)); /* a refusal always says why */
    if (!is_ok) return;
    assert(config_check(c, "fuzz", &again));
    assert(c->d_head >= 2 && c->d_head / 2 <= MAX_HALF_HEAD);
    double *freq = calloc((size_t)c->d_head / 2, sizeof *freq);
    if (!freq) return;
    config_inv_freq(c, c->n_ctx, freq);
    for (int32_t i = 0; i < c->d_head / 2; i++) assert(freq[i] > 0 && freq[i] <= 1);
    free(freq);
    assert(config_n_params(c) > 0);
    (void)config_kv_bytes(c, DT_F16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct err err = {0}, err_hf = {0}, err_meta = {0};
    struct model_config hf, meta;
    struct json_doc *doc = json_parse(data, n_bytes, MAX_BYTES, "config.json", &err);
    if (!doc) return 0;
    check(&hf, config_from_hf(json_root(doc), "config.json", &hf, &err_hf), &err_hf);
    check(&meta, config_from_meta(json_root(doc), "params.json", 32000, &meta, &err_meta),
          &err_meta);
    json_free(doc);
    return 0;
}
