/* bpe_lengths.h - how long the tokens are that begin with given bytes. Private to text/bpe*.c.
 *
 * The answer is for every text at least the truth, and mostly no more. Immutable once made: any
 * thread.
 */
#ifndef CRIA_TEXT_BPE_LENGTHS_H
#define CRIA_TEXT_BPE_LENGTHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/token_index.h"

enum { LENGTHS_OF_3_LOG2 = 18, LENGTHS_OF_4_LOG2 = 18, LENGTHS_OF_6_LOG2 = 20 };
enum { LONG_BYTES = 29 }; /* the bit of all lengths from here on */

struct bpe_lengths {
    uint8_t *of_2;  /* a bit for each two bytes: they are a token */
    uint8_t *of_3;  /* a bit for each hash of three bytes */
    uint8_t *of_4;  /* bits 0-3, by a hash of four bytes: they are a token; 4-7: with a fifth */
    uint32_t *of_6; /* bit k - 6: some token of k bytes begins with six bytes of this hash; bits
                     * 24-31, by three more bits of the hash: the others are meant for such */
};

/* Of the normal and user tokens of `v`. ERR_MEMORY names `name`. */
bool bpe_lengths_init(struct bpe_lengths *x, const struct vocab *v, const char *name,
                      struct err *err) CRIA_CHECK;
void bpe_lengths_release(struct bpe_lengths *x);

/* The hash of the first `n_bytes` of the 8 bytes in `first`, to `log2` bits. */
static inline size_t lengths_hash(uint64_t first, unsigned n_bytes, unsigned log2)
{
    return (first << (64 - 8 * n_bytes)) * 0x9E3779B97F4A7C15u >> (64 - log2);
}

/* Bit k: there may be a token of k bytes at s, where 8 bytes may be read; LONG_BYTES: or more. */
static inline uint32_t lengths_at(const struct bpe_lengths *x, const uint8_t *s)
{
    const uint64_t first = load_u64(s);
    const size_t i2 = first & 0xFFFF, i3 = lengths_hash(first, 3, LENGTHS_OF_3_LOG2),
                 i4 = lengths_hash(first, 4, LENGTHS_OF_4_LOG2),
                 i6 = lengths_hash(first, 6, LENGTHS_OF_6_LOG2);
    const uint32_t of_2 = (uint32_t)x->of_2[i2 >> 3] >> (i2 & 7) & 1;
    const uint32_t of_3 = (uint32_t)x->of_3[i3 >> 3] >> (i3 & 7) & 1;
    const uint32_t of_4 = (uint32_t)x->of_4[i4 >> 2] >> (i4 & 3);
    const uint32_t of_6 = x->of_6[i6 >> 3];
    const uint32_t is_meant = of_6 >> (24 + (i6 & 7)) & 1;
    return 2 | of_2 << 2 | of_3 << 3 | (of_4 & 1) << 4 | (of_4 & 16) << 1 |
           (of_6 & (0u - is_meant) & 0xFFFFFF) << 6;
}

/* The longest of the lengths that is at most `most`; 0: none. */
static inline size_t lengths_first(uint32_t lengths, size_t most)
{
    const size_t least = most < LONG_BYTES ? most : LONG_BYTES;
    lengths &= (2u << least) - 1;
    const size_t n = 31 - (size_t)__builtin_clz(lengths | 1);
    return n == LONG_BYTES ? most : n;
}

#endif
