/* SPDX-License-Identifier: Apache-2.0
 *
 * rng.c - Philox 4x32-10: a counter encrypted by a key, ten rounds
 *         (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", SC11).
 *
 * The n-th 32-bit number of a seed is word n % 4 of the block whose counter is n / 4, so nothing
 * is stored between draws but n. A block is computed anew for every draw: 16 bytes of state that
 * can be saved and compared matter more here than the factor that keeping a block would win.
 * Draws of two words compute one block when both words lie in it.
 *
 * Begin reading at philox_4x32_10().
 */
#include "base/rng.h"

#include <assert.h>
#include <math.h>

/* Multipliers and key increments: the paper, section 3.3 and table 2 (W0: golden ratio, W1:
 * sqrt(3) - 1). */
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u
#define PI 3.14159265358979323846

void philox_4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)PHILOX_M0 * c0;
        const uint64_t p1 = (uint64_t)PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

static void block_of(const struct rng *r, uint64_t i_number, uint32_t out[4])
{
    const uint64_t i_block = i_number / 4;
    const uint32_t counter[4] = {(uint32_t)i_block, (uint32_t)(i_block >> 32), 0, 0};
    const uint32_t key[2] = {(uint32_t)r->seed, (uint32_t)(r->seed >> 32)};
    philox_4x32_10(counter, key, out);
}

/* The next two numbers. */
static void draw_two(struct rng *r, uint32_t *a, uint32_t *b)
{
    uint32_t block[4];
    block_of(r, r->counter, block);
    *a = block[r->counter % 4];
    if (r->counter % 4 == 3) block_of(r, r->counter + 1, block);
    *b = block[(r->counter + 1) % 4];
    r->counter += 2;
}

struct rng rng_seed(uint64_t seed) { return (struct rng){.seed = seed}; }

uint32_t rng_u32(struct rng *r)
{
    uint32_t block[4];
    block_of(r, r->counter, block);
    return block[r->counter++ % 4];
}

uint64_t rng_u64(struct rng *r)
{
    uint32_t low = 0, high = 0;
    draw_two(r, &low, &high);
    return (uint64_t)high << 32 | low;
}

float rng_f32(struct rng *r) { return (float)(rng_u32(r) >> 8) * 0x1p-24f; }

double rng_f64(struct rng *r) { return (double)(rng_u64(r) >> 11) * 0x1p-53; }

/* Lemire 2019, "Fast random integer generation in an interval", algorithm 5: the high word of
 * x * n is uniform once the few x whose low word is under 2^32 mod n are drawn again. */
uint32_t rng_below(struct rng *r, uint32_t n)
{
    assert(n >= 1);
    uint64_t product = (uint64_t)rng_u32(r) * n;
    if ((uint32_t)product < n) {
        const uint32_t n_uneven = (0u - n) % n;
        while ((uint32_t)product < n_uneven) product = (uint64_t)rng_u32(r) * n;
    }
    return (uint32_t)(product >> 32);
}

/* Box-Muller, one of the pair: keeping the other would be hidden state. The first uniform is in
 * (0, 1], so the logarithm is finite. */
float rng_normal(struct rng *r)
{
    uint32_t a = 0, b = 0;
    draw_two(r, &a, &b);
    const double u = ((double)a + 1.0) * 0x1p-32;
    const double v = (double)b * 0x1p-32;
    return (float)(sqrt(-2.0 * log(u)) * cos(2.0 * PI * v));
}
