/* kit.h - what the files that define a cpu_kit share. Private to tensor/cpu/. */
#ifndef CRIA_TENSOR_CPU_KIT_H
#define CRIA_TENSOR_CPU_KIT_H

#include "tensor/cpu/cpu.h"

void transpose_any(float *dst, int64_t ld_dst, const float *src, int64_t ld_src, int64_t rows,
                   int64_t cols);
void decode_any(enum dtype t, float *dst, const void *src, int64_t n);
#if CRIA_X86
void decode_avx2(enum dtype t, float *dst, const void *src, int64_t n);
#endif
void encode_any(enum dtype t, void *dst, const float *src, int64_t n);

#endif
