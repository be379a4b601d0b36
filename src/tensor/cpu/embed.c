/* SPDX-License-Identifier: Apache-2.0
 *
 * embed.c - y[i] = row ids[i] of the table, as float.
 *
 * A row is decoded whole by one member; there is nothing to sum, so nothing to keep in order. The
 * caller has checked the ids against the table's rows when it took the tokens.
 */
#include <assert.h>

#include "tensor/cpu/cpu.h"

static void embed_rows(const struct member *me, float *y, int64_t ld_y, const struct tensor *table,
                       const int32_t *ids, int64_t n_tok, const struct cpu_kit *kit)
{
    int64_t begin = 0, end = 0;
    team_share(me, n_tok, 1, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        assert(ids[i] >= 0 && ids[i] < tensor_rows(table));
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
