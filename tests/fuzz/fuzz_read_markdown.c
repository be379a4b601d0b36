/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_read_markdown.c - any bytes as Markdown.
 */
#include "fuzz_reader.h"

extern const struct reader reader_markdown;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    fuzz_reader(&reader_markdown, data, n_bytes);
    return 0;
}
