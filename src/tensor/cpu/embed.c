/* SPDX-License-Identifier: Apache-2.0
 *
 * embed.c - y[i] = row ids[i] of the table, as float.
 *
 * A row is decoded whole by one member; there is nothing to sum, so nothing to keep in order. The
 * caller has checked the ids against the table's rows when it took the tokens.
 */
#include <assert.h>

#include "tensor/cpu/cpu.h"
#include "tensor/cpu/interleave.h"

/* A row out of its group, piece by piece. */
static void embed_interleaved(float *y, const struct tensor *table, int64_t row,
                              const struct cpu_kit *kit)
{
    enum { PIECE = 256, MAX_BYTES = PIECE * 2 };
    uint8_t piece[MAX_BYTES];
    const struct dtype_info *info = dtype_info(table->dtype);
    const int64_t n_cols = tensor_cols(table);
    for (int64_t i = 0; i < n_cols; i += PIECE) {
        const int64_t n = min_i64(PIECE, n_cols - i);
        interleave_read(piece, 0, table, row, 1, i / info->block_elems, n / info->block_elems);
        kit->decode(table->dtype, y + i, piece, n);
    }
}

static void embed_rows(const struct member *me, float *y, int64_t ld_y, const struct tensor *table,
                       const int32_t *ids, int64_t n_tok, const struct cpu_kit *kit)
{
    int64_t begin = 0, end = 0;
    team_share(me, n_tok, 1, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        assert(ids[i] >= 0 && ids[i] < tensor_rows(table));
        if (table->is_interleaved)
            embed_interleaved(y + i * ld_y, table, ids[i], kit);
        else
            kit->decode(table->dtype, y + i * ld_y, tensor_row(table, ids[i]), tensor_cols(table));
    }
}

void embed_generic(const struct member *me, float *y, int64_t ld_y, const struct tensor *table,
                   const int32_t *ids, int64_t n_tok)
{
    embed_rows(me, y, ld_y, table, ids, n_tok, &kit_generic);
}

#if CRIA_X86
void embed_avx2(const struct member *me, float *y, int64_t ld_y, const struct tensor *table,
                const int32_t *ids, int64_t n_tok)
{
    embed_rows(me, y, ld_y, table, ids, n_tok, &kit_avx2);
}

void embed_avx512(const struct member *me, float *y, int64_t ld_y, const struct tensor *table,
                  const int32_t *ids, int64_t n_tok)
{
    embed_rows(me, y, ld_y, table, ids, n_tok, &kit_avx512);
}
#endif

#if CRIA_ARM
void embed_neon(const struct member *me, float *y, int64_t ld_y, const struct tensor *table,
                const int32_t *ids, int64_t n_tok)
{
    embed_rows(me, y, ld_y, table, ids, n_tok, &kit_neon);
}
#endif
