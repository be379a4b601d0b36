/* emu.h - CUDA C++ as the kernels use it, for a compiler of the host (tensor/cuda/ptx.cuh).
 *
 * A body here that needs other lanes hands its operands to emu.cc, which has them exchanged once
 * the whole warp is there. Layouts of fragments are those of the PTX manual (9.7.14, mma.m16n8k16
 * and ldmatrix). Differences from a device: sums of mma are taken in double and rounded once, and
 * ex2, division and __expf are exact to the last bit or so.
 */
#ifndef CRIA_TESTS_CUDA_EMU_EMU_H
#define CRIA_TESTS_CUDA_EMU_EMU_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "emu_launch.h"
#include "tensor/half.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __constant__
#define __launch_bounds__(...)
#define KERNEL extern "C" void
#define DEVICE static inline
#define DEVICE_MEMBER
#define DEVICE_CONST
#define CUDART_INF_F HUGE_VALF

/* An array of the block: filled with NaN when a block first comes by, and followed by a page that
 * nobody may touch. */
#define SHARED_ARRAY(type, name, n)                                                                \
    static emu_shared name##_memory;                                                               \
    type(&name)[n] = *(type(*)[n])emu_shared_begin(&name##_memory, #name, sizeof(type[n]))

struct emu_shared {
    uint8_t *p;
    const char *name;
    size_t n_bytes;
    uint64_t block; /* the last that has used it */
};
void *emu_shared_begin(emu_shared *s, const char *name, size_t n_bytes);

/* ---- where a thread is ---- */

struct uint3 {
    unsigned x, y, z;
};
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

/* Places are those of the kernel's own lines. */
#define EMU_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

void emu_barrier(const char *file, int line);
static inline void __syncthreads(EMU_PLACE) { emu_barrier(file, line); }

/* What a lane brings to an instruction of its warp, and takes from it. */
enum emu_kind { EMU_SHUFFLE_XOR, EMU_MMA, EMU_LOAD, EMU_LOAD_TRANSPOSED };
struct emu_exchange {
    emu_kind kind;
    int lane_mask;  /* SHUFFLE_XOR */
    uint32_t value; /* in, out */
    float *c;       /* MMA */
    const uint32_t *a;
    uint32_t b0, b1;
    const uint8_t *row; /* LOAD */
    uint32_t *r;
};
void emu_collective(emu_exchange *x, uint32_t mask, const char *file, int line);

/* ---- vectors: read and written whole, at their own alignment (-fsanitize=alignment) ---- */

struct alignas(8) uint2 {
    uint32_t x, y;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
static inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w)
{
    return {x, y, z, w};
}
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

/* ---- arithmetic ---- */

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
static inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

static inline float __uint_as_float(uint32_t u) { return f32_from_bits(u); }
static inline uint32_t __float_as_uint(float f) { return f32_bits(f); }
#define __expf expf /* glibc declares the name for itself */

/* PRMT: a nibble of `select` picks one of 8 bytes; its top bit spreads that byte's sign. */
static inline uint32_t __byte_perm(uint32_t low, uint32_t high, uint32_t select)
{
    const uint64_t bytes = (uint64_t)high << 32 | low;
    uint32_t r = 0;
    for (int i = 0; i < 4; i++) {
        const uint32_t s = select >> 4 * i & 15u;
        uint32_t b = (uint32_t)(bytes >> 8 * (s & 7u)) & 255u;
        if (s & 8u) b = b & 128u ? 255u : 0u;
        r |= b << 8 * i;
    }
    return r;
}

/* NaN becomes 0x7fff, as cvt and fma give it. */
static inline uint32_t emu_bf16(float x) { return isnan(x) ? 0x7fffu : bf16_from_f32(x); }

static inline uint32_t pack_bf16(float first, float second)
{
    return emu_bf16(first) | emu_bf16(second) << 16;
}

static inline float half_to_float(uint16_t h) { return f16_to_f32(h); }
static inline uint16_t float_to_half(float x) { return isnan(x) ? 0x7fff : f16_from_f32(x); }

/* Rounded once: the sum in double is made odd where it is not exact, and so is its float. */
static inline uint32_t emu_fma_bf16(uint32_t a, uint32_t b, uint32_t c)
{
    const double p = (double)bf16_to_f32((uint16_t)a) * (double)bf16_to_f32((uint16_t)b);
    const double q = (double)bf16_to_f32((uint16_t)c), sum = p + q;
    float f = (float)sum;
    if (!isfinite(sum) || !isfinite(f)) return emu_bf16(f);
    const double back = sum - p, lost = (p - (sum - back)) + (q - back);
    if ((double)f == sum && lost == 0) return emu_bf16(f);
    const bool is_below = (double)f > sum || ((double)f == sum && lost < 0);
    const float low = is_below ? nextafterf(f, -INFINITY) : f;
    const float high = is_below ? f : nextafterf(f, INFINITY);
    return emu_bf16(f32_bits(low) & 1u ? low : high);
}

static inline uint32_t fma_bf16x2(uint32_t a, uint32_t b, uint32_t c)
{
    return emu_fma_bf16(a, b, c) | emu_fma_bf16(a >> 16, b >> 16, c >> 16) << 16;
}

static inline float exp2_fast(float x)
{
    const float r = exp2f(fabsf(x) < 0x1p-126f ? 0.0f : x);
    return r < 0x1p-126f ? 0.0f : r;
}

/* ---- instructions of a warp ---- */

static inline float __shfl_xor_sync(uint32_t mask, float value, int lane_mask, EMU_PLACE)
{
    emu_exchange x = {};
    x.kind = EMU_SHUFFLE_XOR;
    x.lane_mask = lane_mask;
    x.value = f32_bits(value);
    emu_collective(&x, mask, file, line);
    return f32_from_bits(x.value);
}

static inline void mma_bf16(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1, EMU_PLACE)
{
    emu_exchange x = {};
    x.kind = EMU_MMA;
    x.c = c;
    x.a = a;
    x.b0 = b0;
    x.b1 = b1;
    emu_collective(&x, 0xffffffffu, file, line);
}

static inline void load_matrix(uint32_t r[4], const void *row, EMU_PLACE)
{
    emu_exchange x = {};
    x.kind = EMU_LOAD;
    x.row = (const uint8_t *)row;
    x.r = r;
    emu_collective(&x, 0xffffffffu, file, line);
}

static inline void load_matrix_transposed(uint32_t r[4], const void *row, EMU_PLACE)
{
    emu_exchange x = {};
    x.kind = EMU_LOAD_TRANSPOSED;
    x.row = (const uint8_t *)row;
    x.r = r;
    emu_collective(&x, 0xffffffffu, file, line);
}

#endif
