/* linear_pairs.h - many tokens times bfloat16 weights by AVX512-BF16 (linear_pairs.c). Private to
 * tensor/cpu/. */
#ifndef CRIA_TENSOR_CPU_LINEAR_PAIRS_H
#define CRIA_TENSOR_CPU_LINEAR_PAIRS_H

#include "tensor/cpu/linear.h"

/* Packs elements [begin, end) of ACT_TOK tokens, from token t on, as pairs of bfloat16,
 * x[(end - begin) / 2][ACT_TOK]. Both are multiples of ACT; tokens from n_tok on and elements from
 * k on become zero. */
void pack_pairs(void *x, const struct linear_args *a, int64_t t, int64_t begin, int64_t end);
void strip_pairs(const struct strip *s); /* FORM_PAIRS */

#endif
