/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_serve.c - any bytes as a request: as raw headers, as a body of either API, as a key file.
 */
#include <assert.h>
#include <stdlib.h>

#include "fuzz.h"
#include "serve/gen_params.h"
#include "serve/http_check.h"
#include "serve/keys.h"

static void check(enum gen_api api, struct json body)
{
    /* without a model: only the fields are read */
    struct refusal r = {0};
    struct gen_params p;
    const bool ok = gen_fields_read(api, body, &p, &r);
    assert(ok == (r.kind == REFUSAL_NONE)); /* a refusal always says why */
    if (ok) {
        struct err err = {0};
        if (!sampler_check(&p.sampling, INT32_MAX, &err)) abort();
        assert(p.n >= 1 && p.max_tokens >= -1 && p.n_stop <= ENGINE_MAX_STOPS);
        for (int32_t i = 0; i < p.n_stop; i++) fuzz_touch(p.stop[i], 1);
    }
    gen_params_release(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct refusal r = {0};
    struct err err = {0};
    struct header_scan scan = {0};
    header_scan(&scan, (const char *)data, n_bytes / 2);
    header_scan(&scan, (const char *)data + n_bytes / 2, n_bytes - n_bytes / 2);
    struct keys *k = keys_parse((const char *)data, n_bytes, "keys", &err);
    assert((k == NULL) == (err.code != ERR_OK));
    keys_close(k);
    struct json_doc *d = body_parse(data, n_bytes, 1 << 20, &r);
    assert((d == NULL) == (r.kind != REFUSAL_NONE));
    if (d) {
        check(GEN_CHAT, json_root(d));
        check(GEN_TEXT, json_root(d));
    }
    json_free(d);
    return 0;
}
