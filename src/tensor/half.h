/* half.h - float16 and bfloat16 to and from float, bit by bit, in plain C.
 *
 * The reference that kernels are checked against and the tail case of conversions; hot loops use
 * the vector instructions. Rounding is to nearest even, NaN stays NaN (quiet), float16 overflow
 * gives infinity, subnormals are kept.
 */
#ifndef CRIA_TENSOR_HALF_H
#define CRIA_TENSOR_HALF_H

#include <stdint.h>
#include <string.h>

static inline float f32_from_bits(uint32_t u)
{
    float f = 0.0f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint32_t f32_bits(float f)
{
    uint32_t u = 0;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float bf16_to_f32(uint16_t h) { return f32_from_bits((uint32_t)h << 16); }

static inline uint16_t bf16_from_f32(float f)
{
    const uint32_t u = f32_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

static inline float f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t mag = h & 0x7fffu;
    if (mag >= 0x7c00u) return f32_from_bits(sign | 0x7f800000u | ((mag & 0x3ffu) << 13));
    if (mag < 0x0400u) { /* zero or subnormal: mag * 2^-24 */
        const float f = (float)mag * 0x1p-24f;
        return f32_from_bits(sign | f32_bits(f));
    }
    return f32_from_bits(sign | ((mag << 13) + 0x38000000u));
}

static inline uint16_t f16_from_f32(float f)
{
    const uint32_t u = f32_bits(f);
    const uint16_t sign = (uint16_t)((u >> 16) & 0x8000u);
    const uint32_t mag = u & 0x7fffffffu;
    if (mag > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (mag >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds to 2^16 or above */
    if (mag < 0x38800000u) { /* below 2^-14: a multiple of 2^-24, rounded by the float adder */
        const float shifted = f32_from_bits(mag) + 0.5f;
        return (uint16_t)(sign | (f32_bits(shifted) - 0x3f000000u));
    }
    const uint32_t r = mag + 0xfffu + ((mag >> 13) & 1u);
    return (uint16_t)(sign | ((r - 0x38000000u) >> 13));
}

#endif
