/* SPDX-License-Identifier: Apache-2.0
 *
 * gather.c - what is done to rows between operators: moving those that are wanted together, and
 * looking for numbers that are none.
 */
#include <string.h>

#include "tensor/cpu/cpu.h"
#include "tensor/half.h"

enum { GRAIN = 16 };

/* Each member moves its own columns, row by row: a row only moves forward, past rows that have
 * moved already, so no one waits for anyone. */
void gather_rows(const struct member *me, float *rows, int64_t n, const int32_t *kept,
                 int32_t n_kept)
{
    int64_t begin = 0, end = 0;
    team_share(me, n, GRAIN, &begin, &end);
    for (int32_t i = 0; i < n_kept; i++)
        if (kept[i] != i && end > begin)
            memcpy(rows + i * n + begin, rows + kept[i] * n + begin,
                   (size_t)(end - begin) * sizeof *rows);
}

/* An exponent of all ones is infinity or NaN; without a branch, so that the loop is vectorised. */
void find_damage(const struct member *me, const float *x, int64_t n, uint32_t *damage)
{
    int64_t begin = 0, end = 0;
    uint32_t is_bad = 0;
    team_share(me, n, GRAIN, &begin, &end);
    for (int64_t i = begin; i < end; i++)
        is_bad |= (uint32_t)((f32_bits(x[i]) & 0x7f800000u) == 0x7f800000u);
    if (is_bad) __atomic_store_n(damage, 1u, __ATOMIC_RELAXED);
}
