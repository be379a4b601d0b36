/* SPDX-License-Identifier: Apache-2.0
 *
 * rmsnorm.c - y = x / rms(x) * w, rms(x) = sqrt(mean(x^2) + eps)
 *             (Zhang & Sennrich 2019, eq. 4; eps inside the root as in Llama)
 *
 * Rows are shared out whole. A row is summed in 16 lanes, folded pairwise at the end, in every
 * variant and whatever the batch (rows.h), so a row's result depends on nothing but the row, and
 * all variants give the same bits. The decode step does not come here: linear() applies the norm
 * itself while it reads its input (LINEAR_IN_RMSNORM, with the same helpers).
 */
#include "tensor/cpu/cpu.h"
#include "tensor/cpu/rows.h"

INLINE void rmsnorm_rows(const struct member *me, float *y, int64_t ld_y, const float *x,
                         int64_t ld_x, const float *w, int64_t n_tok, int64_t d, float eps)
{
    int64_t begin = 0, end = 0;
    team_share(me, n_tok, 1, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const float *row = x + i * ld_x;
        rmsnorm_row(y + i * ld_y, row, w, rms_scale(row, d, eps), d);
    }
}

void rmsnorm_generic(const struct member *me, float *y, int64_t ld_y, const float *x, int64_t ld_x,
                     const float *w, int64_t n_tok, int64_t d, float eps)
{
    rmsnorm_rows(me, y, ld_y, x, ld_x, w, n_tok, d, eps);
}

#if CRIA_X86
TARGET_AVX2
void rmsnorm_avx2(const struct member *me, float *y, int64_t ld_y, const float *x, int64_t ld_x,
                  const float *w, int64_t n_tok, int64_t d, float eps)
{
    rmsnorm_rows(me, y, ld_y, x, ld_x, w, n_tok, d, eps);
}

TARGET_AVX512
void rmsnorm_avx512(const struct member *me, float *y, int64_t ld_y, const float *x, int64_t ld_x,
                    const float *w, int64_t n_tok, int64_t d, float eps)
{
    rmsnorm_rows(me, y, ld_y, x, ld_x, w, n_tok, d, eps);
}
#endif
