/* SPDX-License-Identifier: Apache-2.0
 *
 * swiglu.c - y = silu(gate) * up, silu(z) = z / (1 + e^-z)   (Shazeer 2020)
 *
 * Each element stands alone, so the work is shared out by pieces of 64 elements over all rows and
 * one token keeps every thread busy. e^x is rows.h's polynomial: relative error of y below 1e-6.
 * The decode step does not come here: linear() applies it to its input (LINEAR_IN_SWIGLU).
 */
#include "tensor/cpu/cpu.h"
#include "tensor/cpu/rows.h"

enum { PIECE = 64 };

INLINE void swiglu_pieces(const struct member *me, float *y, int64_t ld_y, const float *gate,
                          const float *up, int64_t ld_x, int64_t n_tok, int64_t d)
{
    const int64_t per_row = (d + PIECE - 1) / PIECE;
    int64_t begin = 0, end = 0;
    team_share(me, n_tok * per_row, 1, &begin, &end);
    while (begin < end) { /* a run of pieces of one row at a time */
        const int64_t row = begin / per_row;
        const int64_t first = begin - row * per_row;
        const int64_t n_pieces = min_i64(per_row - first, end - begin);
        const int64_t i = first * PIECE;
        const int64_t n = min_i64(n_pieces * PIECE, d - i);
        swiglu_row(y + row * ld_y + i, gate + row * ld_x + i, up + row * ld_x + i, n);
        begin += n_pieces;
    }
}

void swiglu_generic(const struct member *me, float *y, int64_t ld_y, const float *gate,
                    const float *up, int64_t ld_x, int64_t n_tok, int64_t d)
{
    swiglu_pieces(me, y, ld_y, gate, up, ld_x, n_tok, d);
}

#if CRIA_X86
TARGET_AVX2
void swiglu_avx2(const struct member *me, float *y, int64_t ld_y, const float *gate,
                 const float *up, int64_t ld_x, int64_t n_tok, int64_t d)
{
    swiglu_pieces(me, y, ld_y, gate, up, ld_x, n_tok, d);
}

TARGET_AVX512
void swiglu_avx512(const struct member *me, float *y, int64_t ld_y, const float *gate,
                   const float *up, int64_t ld_x, int64_t n_tok, int64_t d)
{
    swiglu_pieces(me, y, ld_y, gate, up, ld_x, n_tok, d);
}
#endif
