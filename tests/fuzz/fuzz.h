/* fuzz.h - what every fuzz target shares. A target is one function; libFuzzer brings the main()
 * that searches (scripts/fuzz), replay.c the one that runs a kept corpus as an ordinary test.
 */
#ifndef CRIA_TESTS_FUZZ_H
#define CRIA_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* Reads the first and last bytes, and some between, so that a sanitizer sees a range that lies. */
static inline void fuzz_touch(const void *p, uint64_t n_bytes)
{
    const volatile uint8_t *b = p;
    for (uint64_t i = 0; i < n_bytes; i += 1 + n_bytes / 64) (void)b[i];
    if (n_bytes) (void)b[n_bytes - 1];
}

/* What must hold of every input; unlike assert() also in release builds, where replay.c runs it. */
static inline void fuzz_must(bool holds)
{
    if (!holds) abort();
}

#endif
