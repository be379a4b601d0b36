/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/cpu/cpu.h"
#if CRIA_X86
void linear_avx512bf16(const struct member *me, const struct linear_args *a)
{
    linear_avx512(me, a);
}
void linear_amx(const struct member *me, const struct linear_args *a) { linear_avx512(me, a); }
#endif
