/* ptx.cuh - the machine instructions that the kernels use, each behind one function.
 *
 * Nothing else here is written in PTX, so that the emulation of kernels on the host
 * (tests/cuda_emu) has one place to give bodies that follow the PTX manual. All are of sm_80.
 */
#ifndef CRIA_TENSOR_CUDA_PTX_CUH
#define CRIA_TENSOR_CUDA_PTX_CUH

#include <stdint.h>

#ifndef CRIA_CUDA_EMU /* there it is given before this file */
#include <math_constants.h>

#define KERNEL extern "C" __global__ void
#define DEVICE static __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__
#define DEVICE_CONST __constant__
#define SHARED_ARRAY(type, name, n) __shared__ __align__(16) type name[n]

/* Two floats as bfloat16, rounded to nearest even, the first in the low half. */
DEVICE uint32_t pack_bf16(float first, float second)
{
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(second), "f"(first));
    return r;
}

DEVICE float half_to_float(uint16_t h)
{
    float r;
    asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(h));
    return r;
}

DEVICE uint16_t float_to_half(float x)
{
    uint16_t r;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(x));
    return r;
}

/* a b + c of pairs of bfloat16. */
DEVICE uint32_t fma_bf16x2(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t r;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}

/* c[16][8] += a[16][16] b[16][8], bfloat16 to float. Of lane 4 g + t: a[0] is (g, 2t), a[1] (g + 8,
 * 2t), a[2] (g, 2t + 8), a[3] (g + 8, 2t + 8), each with the next column; b0 is (2t, g) and b1
 * (2t + 8, g), each with the next row; c[0], c[1] are (g, 2t), (g, 2t + 1), c[2], c[3] 8 rows on. */
DEVICE void mma_bf16(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* Four 8 x 8 matrices of 16-bit elements from shared memory; lane l gives the address of row l % 8
 * of matrix l / 8, and gets elements 2 t and 2 t + 1 of row g of each. */
DEVICE void load_matrix(uint32_t r[4], const void *row)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

/* The same of the transposed matrices: elements (2 t, g) and (2 t + 1, g). */
DEVICE void load_matrix_transposed(uint32_t r[4], const void *row)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

DEVICE float exp2_fast(float x)
{
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
#endif

DEVICE float bf16_to_float(uint32_t low_half) { return __uint_as_float(low_half << 16); }

DEVICE float warp_sum(float x)
{
    for (int o = 16; o > 0; o >>= 1) x += __shfl_xor_sync(0xffffffffu, x, o);
    return x;
}

#endif
