/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_avx2.c - rows of any type to float on AVX2: w = s q - m, eight at a time.
 *
 * For strips of weights that many tokens share, rows of the embedding, blocks of the cache. Rounds
 * as the plain decoders do, except that s is the product of both scales of a superblock, rounded
 * once: within one unit in the last place of w.
 */
#include "tensor/cpu/cpu.h"

#if CRIA_X86
#include <immintrin.h>
#include <string.h>

#include "tensor/cpu/kit.h"
#include "tensor/cpu/unpack_avx2.h"
#include "tensor/half.h"

typedef void decode_fn(float *dst, const uint8_t *src, int64_t n);

/* Eight bytes of a register of 32, number j, as floats. */
INLINE TARGET_AVX2 __m256 floats_8(__m256i v, int j)
{
    __m128i half = j < 2 ? _mm256_castsi256_si128(v) : _mm256_extracti128_si256(v, 1);
    if (j % 2) half = _mm_srli_si128(half, 8);
    return bytes_to_ps(half);
}

/* Up to 256 weights of one superblock or eight blocks. */
INLINE TARGET_AVX2 void decode_256(float *dst, const struct unpack *f, const uint8_t *b)
{
    const __m256 zero = _mm256_setzero_ps();
    __m256 s2[2] = {zero, zero}, m2[2] = {zero, zero};
    _Alignas(32) float s[16], m[16];
    f->scales(b, s2, m2);
    for (int i = 0; i < 2; i++) {
        _mm256_store_ps(s + 8 * i, s2[i]);
        _mm256_store_ps(m + 8 * i, m2[i]);
    }
#pragma GCC unroll 8
    for (int c = 0; c < 8; c++) {
        const __m256i v = f->bytes(b, c);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            const int k = 2 * c + j / 2; /* minimum */
            const int ks = f->per_32 ? c : k;
            __m256 x = _mm256_mul_ps(floats_8(v, j), _mm256_broadcast_ss(s + ks));
            if (f->has_min) x = _mm256_sub_ps(x, _mm256_broadcast_ss(m + k));
            _mm256_storeu_ps(dst + 32 * c + 8 * j, x);
        }
    }
}

INLINE TARGET_AVX2 void decode_quant(float *dst, const struct unpack *f, const uint8_t *src,
                                     int64_t n)
{
    int64_t i = 0;
    for (; i + ACT <= n; i += ACT, src += f->act_bytes) decode_256(dst + i, f, src);
    if (i < n) {
        uint8_t rest[ACT_BYTES_MAX];
        float part[ACT];
        decode_256(part, f, unpack_rest(rest, f, src, n - i));
        memcpy(dst + i, part, (size_t)(n - i) * sizeof *dst);
    }
}

#define DECODE(id, name)                                                                           \
    TARGET_AVX2 static void decode_##name(float *dst, const uint8_t *src, int64_t n)               \
    {                                                                                              \
        decode_quant(dst, &unpack_##name, src, n);                                                 \
    }
EACH_QUANT(DECODE)

static void decode_f32(float *dst, const uint8_t *src, int64_t n)
{
    memcpy(dst, src, (size_t)n * sizeof *dst);
}

TARGET_AVX2
static void decode_f16(float *dst, const uint8_t *src, int64_t n)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(load_16(src + 2 * i)));
    for (; i < n; i++) dst[i] = _cvtsh_ss(load_u16(src + 2 * i));
}

TARGET_AVX2
static void decode_bf16(float *dst, const uint8_t *src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) dst[i] = bf16_to_f32(load_u16(src + 2 * i));
}

TARGET_AVX2
static void decode_q8_0_blocks(float *dst, const uint8_t *src, int64_t n)
{
    for (int64_t i = 0; i < n; i += 32, src += 34) {
        const __m256 d = half_1(src);
        const __m256i v = load_32(src + 2);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            _mm256_storeu_ps(dst + i + 8 * j, _mm256_mul_ps(floats_8(v, j), d));
    }
}

#define DECODE_ENTRY(id, name) [id] = decode_##name,
static decode_fn *const decoders[DT_COUNT] = {[DT_F32] = decode_f32,
                                              [DT_F16] = decode_f16,
                                              [DT_BF16] = decode_bf16,
                                              EACH_QUANT(DECODE_ENTRY)};

/* Rows of a cache are short: 64 to 256 elements, so blocks of Q8_0 are not taken by eights. */
void decode_avx2(enum dtype t, float *dst, const void *src, int64_t n)
{
    if (t == DT_Q8_0)
        decode_q8_0_blocks(dst, src, n);
    else
        decoders[t](dst, src, n);
}
#endif
