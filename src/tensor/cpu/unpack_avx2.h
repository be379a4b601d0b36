/* unpack_avx2.h - blocks of quantized weights to bytes and scales in AVX2 registers.
 *
 * For every format, 256 weights at a time (one superblock, or 8 blocks of 32): w = s q - m, with q
 * in bytes, s and m for each 16. bytes() gives 32 of them, signed where the format has no minimum,
 * in 0..31 where it has one. Layouts: spec of the GGUF block formats, byte offsets as written
 * below. The functions are inlined into kernels through the constant tables at the end, one row a
 * format; c, the number of the 32, is a constant there. Private to tensor/cpu/.
 */
#ifndef CRIA_TENSOR_CPU_UNPACK_AVX2_H
#define CRIA_TENSOR_CPU_UNPACK_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "tensor/cpu/linear.h"

enum { ACT_BYTES_MAX = ACT / 32 * 36 /* whole registers */, WIDE = -1 };

struct unpack {
    int block_elems, block_bytes;
    int act_bytes; /* of 256 weights */
    bool has_min;
    bool per_32;
    int offset; /* makes bytes 0 to 63; WIDE: they are larger */
    /* Scales: if per_32, of 32 weights each, all in s[0]; else of 16 each, the second half in
     * s[1]. Minima, if has_min: of 16 each. */
    void (*scales)(const uint8_t *b, __m256 s[2], __m256 m[2]);
    __m256i (*bytes)(const uint8_t *b, int c);
};

/* The last n < 256 weights of a row, zeros behind them: reading on would leave the tensor. By
 * registers and blocks: a call of memset() takes longer than the product. */
INLINE TARGET_AVX2 const uint8_t *unpack_rest(uint8_t rest[ACT_BYTES_MAX], const struct unpack *f,
                                              const uint8_t *b, int64_t n)
{
#pragma GCC unroll 9
    for (int i = 0; i < ACT_BYTES_MAX; i += 32)
        _mm256_storeu_si256((__m256i *)(void *)(rest + i), _mm256_setzero_si256());
    for (int64_t i = 0; i < n / f->block_elems; i++)
        memcpy(rest + i * f->block_bytes, b + i * f->block_bytes, (size_t)f->block_bytes);
    return rest;
}

INLINE uint32_t load_u32(const uint8_t *p)
{
    uint32_t u = 0;
    memcpy(&u, p, sizeof u);
    return u;
}

INLINE uint16_t load_u16(const uint8_t *p)
{
    uint16_t u = 0;
    memcpy(&u, p, sizeof u);
    return u;
}

INLINE TARGET_AVX2 __m128i load_16(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

INLINE TARGET_AVX2 __m256i load_32(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* ---- scales ------------------------------------------------------------------------------- */

/* One value for each 32 -> one for each 16. */
INLINE TARGET_AVX2 void twice(__m256 v, __m256 out[2])
{
    out[0] = _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
    out[1] = _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7));
}

/* Eight float16, `step` bytes apart. */
INLINE TARGET_AVX2 __m256 halves(const uint8_t *b, int step)
{
    __m128i h = _mm_cvtsi32_si128(load_u16(b));
    h = _mm_insert_epi16(h, load_u16(b + step), 1);
    h = _mm_insert_epi16(h, load_u16(b + 2 * step), 2);
    h = _mm_insert_epi16(h, load_u16(b + 3 * step), 3);
    h = _mm_insert_epi16(h, load_u16(b + 4 * step), 4);
    h = _mm_insert_epi16(h, load_u16(b + 5 * step), 5);
    h = _mm_insert_epi16(h, load_u16(b + 6 * step), 6);
    h = _mm_insert_epi16(h, load_u16(b + 7 * step), 7);
    return _mm256_cvtph_ps(h);
}

INLINE TARGET_AVX2 void scales_d18(const uint8_t *b, __m256 s[2], __m256 m[2])
{
    (void)m;
    s[0] = halves(b, 18);
}

INLINE TARGET_AVX2 void scales_d22(const uint8_t *b, __m256 s[2], __m256 m[2])
{
    (void)m;
    s[0] = halves(b, 22);
}

INLINE TARGET_AVX2 void scales_d34(const uint8_t *b, __m256 s[2], __m256 m[2])
{
    (void)m;
    s[0] = halves(b, 34);
}

/* w = d q + m: the minimum is -m. */
INLINE TARGET_AVX2 void scales_dm(const uint8_t *b, int step, __m256 s[2], __m256 m[2])
{
    s[0] = halves(b, step);
    twice(_mm256_sub_ps(_mm256_setzero_ps(), halves(b + 2, step)), m);
}

INLINE TARGET_AVX2 void scales_dm20(const uint8_t *b, __m256 s[2], __m256 m[2])
{
    scales_dm(b, 20, s, m);
}

INLINE TARGET_AVX2 void scales_dm24(const uint8_t *b, __m256 s[2], __m256 m[2])
{
    scales_dm(b, 24, s, m);
}

INLINE TARGET_AVX2 __m256 half_1(const uint8_t *p)
{
    return _mm256_set1_ps(_cvtsh_ss(load_u16(p)));
}

INLINE TARGET_AVX2 __m256 bytes_to_ps(__m128i eight)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight));
}

/* 16 bytes as signed integers times d. */
INLINE TARGET_AVX2 void scale_16(__m128i q, __m256 d, __m256 out[2])
{
    out[0] = _mm256_mul_ps(d, bytes_to_ps(q));
    out[1] = _mm256_mul_ps(d, bytes_to_ps(_mm_srli_si128(q, 8)));
}

INLINE TARGET_AVX2 void scales_q2_k(const uint8_t *b, __m256 s[2], __m256 m[2])
{
    const __m128i low = _mm_set1_epi8(15), v = load_16(b);
    scale_16(_mm_and_si128(v, low), half_1(b + 80), s);
    scale_16(_mm_and_si128(_mm_srli_epi16(v, 4), low), half_1(b + 82), m);
}

INLINE TARGET_AVX2 void scales_q3_k(const uint8_t *b, __m256 s[2], __m256 m[2])
{
    (void)m;
    const uint32_t a0 = load_u32(b + 96), a1 = load_u32(b + 100), a2 = load_u32(b + 104);
    const uint32_t low = 0x0f0f0f0fu, two = 0x03030303u;
    const uint32_t k0 = (a0 & low) | (a2 & two) << 4, k4 = (a1 & low) | (a2 >> 2 & two) << 4;
    const uint32_t k8 = (a0 >> 4 & low) | (a2 >> 4 & two) << 4;
    const uint32_t k12 = (a1 >> 4 & low) | (a2 >> 6 & two) << 4;
    const __m128i k = _mm_setr_epi32((int)k0, (int)k4, (int)k8, (int)k12);
    scale_16(_mm_sub_epi8(k, _mm_set1_epi8(32)), half_1(b + 108), s);
}

/* Q4_K and Q5_K: d, dmin, then 8 + 8 values of 6 bits in 12 bytes. */
INLINE TARGET_AVX2 void scales_q45_k(const uint8_t *b, __m256 s[2], __m256 m[2])
{
    const uint32_t u0 = load_u32(b + 4), u1 = load_u32(b + 8), u2 = load_u32(b + 12);
    const uint32_t six = 0x3f3f3f3fu, low = 0x0f0f0f0fu, two = 0x03030303u;
    const uint32_t s4 = (u2 & low) | (u0 >> 6 & two) << 4;
    const uint32_t m4 = (u2 >> 4 & low) | (u1 >> 6 & two) << 4;
    const __m128i sc = _mm_setr_epi32((int)(u0 & six), (int)s4, 0, 0);
    const __m128i mn = _mm_setr_epi32((int)(u1 & six), (int)m4, 0, 0);
    s[0] = _mm256_mul_ps(half_1(b), bytes_to_ps(sc));
    twice(_mm256_mul_ps(half_1(b + 2), bytes_to_ps(mn)), m);
}

INLINE TARGET_AVX2 void scales_q6_k(const uint8_t *b, __m256 s[2], __m256 m[2])
{
    (void)m;
    scale_16(load_16(b + 192), half_1(b + 208), s);
}

INLINE TARGET_AVX2 void scales_iq4_xs(const uint8_t *b, __m256 s[2], __m256 m[2])
{
    (void)m;
    const uint32_t h = load_u16(b + 2), l = load_u32(b + 4);
    const __m256i even = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    const __m256i pair = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256i lo =
        _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32((int)l), even), _mm256_set1_epi32(15));
    const __m256i hi =
        _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32((int)h), pair), _mm256_set1_epi32(3));
    const __m256i ls = _mm256_or_si256(lo, _mm256_slli_epi32(hi, 4));
    const __m256 x = _mm256_cvtepi32_ps(_mm256_sub_epi32(ls, _mm256_set1_epi32(32)));
    s[0] = _mm256_mul_ps(half_1(b), x);
}

/* ---- bytes -------------------------------------------------------------------------------- */

/* 16 bytes -> 32 nibbles: the low ones, then the high ones. */
INLINE TARGET_AVX2 __m256i nibbles(const uint8_t *p)
{
    const __m256i v = _mm256_broadcastsi128_si256(load_16(p));
    const __m256i both = _mm256_srlv_epi32(v, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4));
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/* 32 bits -> 32 bytes, all ones where the bit is set. */
INLINE TARGET_AVX2 __m256i bits(const uint8_t *p)
{
    const __m256i spread =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201u);
    const __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32((int)load_u32(p)), spread);
    return _mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit);
}

/* Bytes shifted right by n bits, `mask` of them kept. */
INLINE TARGET_AVX2 __m256i shifted(__m256i v, int n, int mask)
{
    return _mm256_and_si256(_mm256_srli_epi16(v, n), _mm256_set1_epi8((char)mask));
}

INLINE TARGET_AVX2 __m256i iq4(__m256i q)
{
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
    return _mm256_shuffle_epi8(table, q);
}

INLINE TARGET_AVX2 __m256i bytes_q4_0(const uint8_t *b, int c)
{
    return _mm256_sub_epi8(nibbles(b + 18 * c + 2), _mm256_set1_epi8(8));
}

INLINE TARGET_AVX2 __m256i bytes_q4_1(const uint8_t *b, int c) { return nibbles(b + 20 * c + 4); }

/* q - 16: the upper four bits are ones where the fifth bit is not set. */
INLINE TARGET_AVX2 __m256i bytes_q5_0(const uint8_t *b, int c)
{
    const __m256i up = _mm256_andnot_si256(bits(b + 22 * c + 2), _mm256_set1_epi8((char)0xf0));
    return _mm256_or_si256(nibbles(b + 22 * c + 6), up);
}

INLINE TARGET_AVX2 __m256i bytes_q5_1(const uint8_t *b, int c)
{
    const __m256i up = _mm256_and_si256(bits(b + 24 * c + 4), _mm256_set1_epi8(16));
    return _mm256_or_si256(nibbles(b + 24 * c + 8), up);
}

INLINE TARGET_AVX2 __m256i bytes_q8_0(const uint8_t *b, int c) { return load_32(b + 34 * c + 2); }

INLINE TARGET_AVX2 __m256i bytes_iq4_nl(const uint8_t *b, int c)
{
    return iq4(nibbles(b + 18 * c + 2));
}

INLINE TARGET_AVX2 __m256i bytes_iq4_xs(const uint8_t *b, int c)
{
    return iq4(nibbles(b + 8 + 16 * c));
}

INLINE TARGET_AVX2 __m256i bytes_q2_k(const uint8_t *b, int c)
{
    return shifted(load_32(b + 16 + c / 4 * 32), 2 * (c % 4), 3);
}

/* Two bits, less 4 where the third (bit c of hmask) is not set. */
INLINE TARGET_AVX2 __m256i bytes_q3_k(const uint8_t *b, int c)
{
    const __m256i low = shifted(load_32(b + 32 + c / 4 * 32), 2 * (c % 4), 3);
    const __m256i high = _mm256_and_si256(load_32(b), _mm256_set1_epi8((char)(1 << c)));
    const __m256i is_zero = _mm256_cmpeq_epi8(high, _mm256_setzero_si256());
    return _mm256_sub_epi8(low, _mm256_and_si256(is_zero, _mm256_set1_epi8(4)));
}

INLINE TARGET_AVX2 __m256i bytes_q4_k(const uint8_t *b, int c)
{
    return shifted(load_32(b + 16 + c / 2 * 32), 4 * (c % 2), 15);
}

INLINE TARGET_AVX2 __m256i bytes_q5_k(const uint8_t *b, int c)
{
    const __m256i low = shifted(load_32(b + 48 + c / 2 * 32), 4 * (c % 2), 15);
    return _mm256_or_si256(low, _mm256_slli_epi16(shifted(load_32(b + 16), c, 1), 4));
}

INLINE TARGET_AVX2 __m256i bytes_q6_k(const uint8_t *b, int c)
{
    const int n = c / 4, j = c % 4;
    const __m256i low = shifted(load_32(b + 64 * n + j % 2 * 32), j / 2 * 4, 15);
    const __m256i high = shifted(load_32(b + 128 + 32 * n), 2 * j, 3);
    const __m256i q = _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
    return _mm256_sub_epi8(q, _mm256_set1_epi8(32));
}

/* ---- the table ---------------------------------------------------------------------------- */

/* clang-format off */
/*                                      elems bytes  256  min    per_32 offset scales         bytes */
static const struct unpack unpack_q4_0   = { 32,  18, 144, false, true,  8,     scales_d18,    bytes_q4_0};
static const struct unpack unpack_q4_1   = { 32,  20, 160, true,  true,  0,     scales_dm20,   bytes_q4_1};
static const struct unpack unpack_q5_0   = { 32,  22, 176, false, true,  16,    scales_d22,    bytes_q5_0};
static const struct unpack unpack_q5_1   = { 32,  24, 192, true,  true,  0,     scales_dm24,   bytes_q5_1};
static const struct unpack unpack_q8_0   = { 32,  34, 272, false, true,  WIDE,  scales_d34,    bytes_q8_0};
static const struct unpack unpack_q2_k   = {256,  84,  84, true,  false, 0,     scales_q2_k,   bytes_q2_k};
static const struct unpack unpack_q3_k   = {256, 110, 110, false, false, 4,     scales_q3_k,   bytes_q3_k};
static const struct unpack unpack_q4_k   = {256, 144, 144, true,  true,  0,     scales_q45_k,  bytes_q4_k};
static const struct unpack unpack_q5_k   = {256, 176, 176, true,  true,  0,     scales_q45_k,  bytes_q5_k};
static const struct unpack unpack_q6_k   = {256, 210, 210, false, false, 32,    scales_q6_k,   bytes_q6_k};
static const struct unpack unpack_iq4_nl = { 32,  18, 144, false, true,  WIDE,  scales_d18,    bytes_iq4_nl};
static const struct unpack unpack_iq4_xs = {256, 136, 136, false, true,  WIDE,  scales_iq4_xs, bytes_iq4_xs};
/* clang-format on */

/* The quantized types, for tables of functions that must be made one for each. */
#define EACH_QUANT(X)                                                                              \
    X(DT_Q4_0, q4_0)                                                                               \
    X(DT_Q4_1, q4_1)                                                                               \
    X(DT_Q5_0, q5_0)                                                                               \
    X(DT_Q5_1, q5_1)                                                                               \
    X(DT_Q8_0, q8_0)                                                                               \
    X(DT_Q2_K, q2_k)                                                                               \
    X(DT_Q3_K, q3_k)                                                                               \
    X(DT_Q4_K, q4_k)                                                                               \
    X(DT_Q5_K, q5_k)                                                                               \
    X(DT_Q6_K, q6_k)                                                                               \
    X(DT_IQ4_NL, iq4_nl)                                                                           \
    X(DT_IQ4_XS, iq4_xs)

#endif
