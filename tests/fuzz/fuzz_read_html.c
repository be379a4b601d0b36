/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_read_html.c - any bytes as a web page.
 */
#include "fuzz_reader.h"

extern const struct reader reader_html;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    fuzz_reader(&reader_html, data, n_bytes);
    return 0;
}
