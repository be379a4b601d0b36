/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_read_code.c - any bytes as source code.
 */
#include "fuzz_reader.h"

extern const struct reader reader_code;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    fuzz_reader(&reader_code, data, n_bytes);
    return 0;
}
