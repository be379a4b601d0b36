/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_content_type.c - any bytes as a Content-Type: what comes out is plain and fits.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/web.h"
#include "fuzz.h"

static void check(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s > '~' || (*s >= 'A' && *s <= 'Z')) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    char *s = malloc(n_bytes + 1);
    if (!s) return 0;
    memcpy(s, data, n_bytes);
    s[n_bytes] = '\0';
    const struct web_type t = web_read_type(s);
    check(t.mime);
    check(t.charset);
    free(s);
    return 0;
}
