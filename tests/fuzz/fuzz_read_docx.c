/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_read_docx.c - any bytes as a Word document. The archive's sums are not checked by libarchive
 * alone, so most mutations reach the XML (the seeds are stored, not compressed).
 */
#include "fuzz_reader.h"

extern const struct reader reader_docx;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    fuzz_reader(&reader_docx, data, n_bytes);
    return 0;
}
