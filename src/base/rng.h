/* rng.h - random numbers that repeat: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers:
 * as easy as 1, 2, 3"). A counter and a key, no hidden state: the n-th number of a seed is the same
 * on every machine, and a run resumes by storing 16 bytes. One thread at a time per object.
 */
#ifndef CRIA_BASE_RNG_H
#define CRIA_BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t seed;
    uint64_t counter; /* numbers drawn so far */
};

struct rng rng_seed(uint64_t seed);
uint32_t rng_u32(struct rng *r);
uint64_t rng_u64(struct rng *r);
float rng_f32(struct rng *r);                  /* uniform in [0, 1), 24 bits */
double rng_f64(struct rng *r);                 /* uniform in [0, 1), 53 bits */
uint32_t rng_below(struct rng *r, uint32_t n); /* uniform in [0, n), n >= 1, unbiased */
float rng_normal(struct rng *r);               /* mean 0, variance 1 (Box-Muller) */

/* The raw block function, for the published test vectors. */
void philox_4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
