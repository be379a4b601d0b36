/* SPDX-License-Identifier: Apache-2.0
 *
 * interleave.c - rows to groups of 16 and back, by a table of each format's fields.
 *
 * A field is a run of 16-bit scales or of 32-bit words of a block, the fields in the order in which
 * the kernels read them. Which bits of a word mean what is the kernels' affair
 * (linear_interleaved.c, linear_interleaved_avx2.c); here bytes only change places, but for runs of
 * single bits.
 */
#include "tensor/cpu/interleave.h"

#include <string.h>

#include "tensor/cpu/cpu.h"

struct field {
    int at, bytes, n; /* offset in the block; of one element, 0 ends the list; elements */
    int step;         /* from an element to the next */
    bool is_bits;     /* one of each of 32 weights; see gather_bits() */
};

#define WORDS(at, n)                                                                               \
    {                                                                                              \
        at, 4, n, 4                                                                                \
    }
#define SCALES(at, n)                                                                              \
    {                                                                                              \
        at, 2, n, 2                                                                                \
    }
#define BITS(at)                                                                                   \
    {                                                                                              \
        at, 4, 1, 4, true                                                                          \
    }
/* Four low bits of two runs of weights and two high bits of four: 8 words of each, in turns. */
#define THREE(low, high)                                                                           \
    {low, 4, 2, 32}, { high, 4, 1, 4 }
#define HALF(low, high)                                                                            \
    THREE(low, high), THREE(low + 4, high + 4), THREE(low + 8, high + 8),                          \
        THREE(low + 12, high + 12), THREE(low + 16, high + 16), THREE(low + 20, high + 20),        \
        THREE(low + 24, high + 24), THREE(low + 28, high + 28)

static const struct field fields[DT_COUNT][36] = {
    [DT_Q4_0] = {SCALES(0, 1), WORDS(2, 4)},
    [DT_Q4_1] = {SCALES(0, 2), WORDS(4, 4)},
    [DT_Q5_0] = {SCALES(0, 1), BITS(2), WORDS(6, 4)},
    [DT_Q8_0] = {SCALES(0, 1), WORDS(2, 8)},
    [DT_Q4_K] = {SCALES(0, 2), WORDS(4, 3), WORDS(16, 32)},
    [DT_Q6_K] = {SCALES(208, 1), WORDS(192, 4), HALF(0, 128), HALF(64, 160)},
};

/* Bit i goes to bit i / 4 of byte i % 4, so that one shift brings those of the four weights of a
 * word to their bytes; and back. */
static void gather_bits(uint8_t *dst, const uint8_t *src)
{
    uint32_t from = 0, to = 0;
    memcpy(&from, src, sizeof from);
    for (int i = 0; i < 32; i++) to |= (from >> i & 1) << (i % 4 * 8 + i / 4);
    memcpy(dst, &to, sizeof to);
}

static void spread_bits(uint8_t *dst, const uint8_t *src)
{
    uint32_t from = 0, to = 0;
    memcpy(&from, src, sizeof from);
    for (int i = 0; i < 32; i++) to |= (from >> (i % 4 * 8 + i / 4) & 1) << i;
    memcpy(dst, &to, sizeof to);
}

/* 16 rows of n_blocks blocks, one behind the other at src, into a group at dst. */
static void to_group(uint8_t *dst, const uint8_t *src, enum dtype type, int64_t n_blocks)
{
    const size_t size = dtype_info(type)->block_bytes, ld = (size_t)n_blocks * size;
    for (int64_t b = 0; b < n_blocks; b++, src += size)
        for (const struct field *f = fields[type]; f->bytes; f++)
            for (int e = 0; e < f->n; e++)
                for (int r = 0; r < GROUP_ROWS; r++, dst += f->bytes) {
                    const uint8_t *from = src + (size_t)r * ld + f->at + e * f->step;
                    if (f->is_bits)
                        gather_bits(dst, from);
                    else
                        memcpy(dst, from, (size_t)f->bytes);
                }
}

void interleave_tensor(const struct member *me, const struct tensor *w, uint8_t *scratch)
{
    const size_t n_bytes = GROUP_ROWS * w->row_bytes;
    uint8_t *rows = scratch + (size_t)me->i * n_bytes;
    int64_t begin = 0, end = 0;
    team_share(me, w->shape[0], GROUP_ROWS, &begin, &end);
    for (int64_t r = begin; r < end; r += GROUP_ROWS) {
        uint8_t *group = (uint8_t *)w->data + (size_t)r * w->row_bytes;
        memcpy(rows, group, n_bytes);
        to_group(group, rows, w->dtype,
                 (int64_t)(w->row_bytes / dtype_info(w->dtype)->block_bytes));
    }
}

void interleave_back(uint8_t *dst, size_t ld, const uint8_t *group, enum dtype type, int64_t i,
                     int64_t n, int first, int n_rows)
{
    const size_t size = dtype_info(type)->block_bytes;
    const uint8_t *src = group + (size_t)i * GROUP_ROWS * size;
    for (int64_t b = 0; b < n; b++, dst += size)
        for (const struct field *f = fields[type]; f->bytes; f++)
            for (int e = 0; e < f->n; e++, src += GROUP_ROWS * f->bytes)
                for (int r = 0; r < n_rows; r++) {
                    uint8_t *to = dst + (size_t)r * ld + f->at + e * f->step;
                    const uint8_t *from = src + (first + r) * f->bytes;
                    if (f->is_bits)
                        spread_bits(to, from);
                    else
                        memcpy(to, from, (size_t)f->bytes);
                }
}

void interleave_read(uint8_t *dst, size_t ld, const struct tensor *w, int64_t row, int64_t n_rows,
                     int64_t i, int64_t n)
{
    for (const int64_t end = row + n_rows; row < end;) {
        const int64_t base = row / GROUP_ROWS * GROUP_ROWS;
        const int64_t n_here = min_i64(end, base + GROUP_ROWS) - row;
        interleave_back(dst, ld, tensor_row(w, base), w->dtype, i, n, (int)(row - base),
                        (int)n_here);
        dst += (size_t)n_here * ld;
        row += n_here;
    }
}
