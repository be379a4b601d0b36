/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_sse.c - any bytes as server-sent events: the same events whole and in two pieces.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/sse.h"
#include "fuzz.h"

static bool take(void *user, const char *data, size_t n_bytes, struct err *err)
{
    (void)err;
    if (data[n_bytes] != '\0') abort();
    buf_append(user, data, n_bytes);
    buf_putc(user, '\1');
    return true;
}

static void run(const char *s, size_t n, size_t cut, struct buf *out)
{
    struct sse sse;
    struct err err = {0};
    sse_begin(&sse);
    if (!sse_feed(&sse, s, cut, take, out, &err) ||
        !sse_feed(&sse, s + cut, n - cut, take, out, &err))
        abort();
    sse_release(&sse);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct buf whole, parts;
    if (n_bytes < 1 || n_bytes > 100000) return 0;
    const char *s = (const char *)data + 1;
    buf_init(&whole, (size_t)1 << 20);
    buf_init(&parts, (size_t)1 << 20);
    run(s, n_bytes - 1, 0, &whole);
    run(s, n_bytes - 1, (n_bytes - 1) * data[0] / 256, &parts);
    if (whole.n_bytes != parts.n_bytes ||
        (whole.n_bytes && memcmp(whole.data, parts.data, whole.n_bytes) != 0))
        abort();
    buf_release(&whole);
    buf_release(&parts);
    return 0;
}
