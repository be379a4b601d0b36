/* linear_int8_avx2.h - many tokens times quantized weights in 8-bit integers (linear_int8_avx2.c).
 * Private to tensor/cpu/. */
#ifndef CRIA_TENSOR_CPU_LINEAR_INT8_AVX2_H
#define CRIA_TENSOR_CPU_LINEAR_INT8_AVX2_H

#include "tensor/cpu/linear.h"

/* Packs elements [begin, end) of ACT_TOK tokens, from token t on, to act[(end - begin) / 32]. Both
 * are multiples of ACT; tokens from n_tok on and elements from k on become zero. */
void pack_int8_avx2(struct act_block *act, const struct linear_args *a, int64_t t, int64_t begin,
                    int64_t end);
void strip_int8_avx2(const struct strip *s); /* FORM_INT8 */
/* FORM_INT8 for quantized types, else FORM_F32. */
extern const uint8_t form_table_int8[DT_COUNT];

#endif
