/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_searx.c - any bytes as SearxNG's reply: only web addresses come out, each once.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/searx.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct searx_results r;
    struct err err = {0};
    if (n_bytes > 100000 || !searx_read((const char *)data, n_bytes, 5, &r, &err)) return 0;
    if (r.n > 5) abort();
    for (int i = 0; i < r.n; i++) {
        if (!web_is_address(r.url[i])) abort();
        for (int k = 0; k < i; k++)
            if (strcmp(r.url[i], r.url[k]) == 0) abort();
    }
    searx_release(&r);
    return 0;
}
