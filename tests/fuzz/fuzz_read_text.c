/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_read_text.c - any bytes as plain text.
 */
#include "fuzz_reader.h"

extern const struct reader reader_text;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    fuzz_reader(&reader_text, data, n_bytes);
    return 0;
}
