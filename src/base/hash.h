/* hash.h - a fast hash of bytes: against accidents, not against people. Any thread. */
#ifndef CRIA_BASE_HASH_H
#define CRIA_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Goes on from h, 0 at first: multiply and fold, 8 bytes at a time. */
static inline uint64_t hash_bytes(uint64_t h, const void *data, size_t n_bytes)
{
    const uint8_t *p = data;
    for (; n_bytes > 0;) {
        uint64_t word = 0;
        const size_t n = n_bytes < sizeof word ? n_bytes : sizeof word;
        memcpy(&word, p, n);
        h = (h ^ word) * UINT64_C(0x9E3779B97F4A7C15); /* 2^64 / golden ratio */
        h ^= h >> 32;
        p += n;
        n_bytes -= n;
    }
    return h;
}

#endif
