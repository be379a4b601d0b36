/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_citer.c - any bytes as an answer with references, in two pieces, and as a claim.
 *
 * Without sources every mark goes; what is left must come out in its order: nothing but marks and
 * the space before them may be missing.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#include "retrieve/citer.h"
#include "retrieve/store.h"
#include "retrieve/support.h"

static void take(void *user, const char *s, size_t n) { buf_append(user, s, n); }

static struct sources *no_sources(void)
{
    static struct sources *s;
    struct err err = {0};
    char path[] = "/tmp/cria-fuzz-citer-XXXXXX";
    if (s) return s;
    const int fd = mkstemp(path);
    if (fd < 0) abort();
    struct store *store = store_open(path, STORE_WRITE, &err);
    if (!store) abort();
    store_close(store);
    s = sources_open(path, 1, &err);
    unlink(path);
    if (!s) abort();
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes < 1 || n_bytes > 100000) return 0;
    const char *s = (const char *)data + 1;
    const size_t n = n_bytes - 1, cut = n * data[0] / 256;
    struct err err = {0};
    struct buf out;
    buf_init(&out, (size_t)1 << 24);
    struct citer *c = citer_new(no_sources(), take, &out);
    if (!c) abort();
    if (!citer_feed(c, s, cut, &err) || !citer_feed(c, s + cut, n - cut, &err) ||
        !citer_end(c, &err))
        abort();
    size_t at = 0;
    for (size_t i = 0; i < out.n_bytes; i++) {
        while (at < n && s[at] != out.data[i]) {
            if (!memchr("[]^0123456789,; \t", s[at], 17)) abort();
            at++;
        }
        if (at++ >= n) abort();
    }
    citer_free(c);
    buf_release(&out);
    char *body = strndup(s, n < 3000 ? n : 3000), none[1] = "";
    if (!body) abort();
    const struct passage p = {.body = body, .heading = none, .title = none, .path = none};
    const struct support of = support_of(s, n < 500 ? n : 500, &p);
    if (of.end > strlen(body) || of.begin > of.end) abort();
    free(body);
    return 0;
}
