/* linear_bf16.h - strips of many-token products in bfloat16 (linear_bf16.c). Private to
 * tensor/cpu/. */
#ifndef CRIA_TENSOR_CPU_LINEAR_BF16_H
#define CRIA_TENSOR_CPU_LINEAR_BF16_H

#include "tensor/cpu/linear.h"

void split_avx512bf16(uint32_t *hi, uint32_t *lo, const float *x, int64_t n_pairs);
void strip_amx(const struct strip *s); /* all forms of bfloat16 */

#endif
