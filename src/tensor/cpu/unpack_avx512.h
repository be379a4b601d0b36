/* unpack_avx512.h - blocks of quantized weights to unsigned bytes in an AVX-512 register.
 *
 * u64_NAME(b, c) gives weights 64 c .. 64 c + 63 of the 256 at b, as vpdpbusd wants them: unsigned;
 * formats without a minimum have 128 added to each. Two tricks replace most shuffles: a broadcast
 * load puts the same bytes into several parts of the register, and a shift (or rotation) by a
 * different amount in each part then brings the right bits to the right place; what a rotation
 * carries into a byte from its neighbour is masked away. Scales: unpack_avx2.h.
 * Private to tensor/cpu/.
 */
#ifndef CRIA_TENSOR_CPU_UNPACK_AVX512_H
#define CRIA_TENSOR_CPU_UNPACK_AVX512_H

#include "tensor/cpu/unpack_avx2.h"

typedef __m512i bytes_64_fn(const uint8_t *b, int c);

INLINE TARGET_BF16 __m512i set_512(int byte) { return _mm512_set1_epi8((char)byte); }

INLINE TARGET_BF16 __m512i load_64(const uint8_t *p) { return _mm512_loadu_si512(p); }

/* The same 32 bytes in both halves. */
INLINE TARGET_BF16 __m512i both_32(const uint8_t *p) { return _mm512_broadcast_i64x4(load_32(p)); }

/* Bits shifted right by `low` in the lower half, `high` in the upper. */
INLINE TARGET_BF16 __m512i shift_halves(__m512i v, int low, int high)
{
    const __m512i n =
        _mm512_inserti64x4(_mm512_set1_epi16((short)low), _mm256_set1_epi16((short)high), 1);
    return _mm512_srlv_epi16(v, n);
}

/* Bit `from` of each byte to bit `to` of the same byte, from + 1 in the upper half of the register
 * if step is 1, and so on. */
INLINE TARGET_BF16 __m512i bring_halves(__m512i v, int from, int step, int to)
{
    const __m512i n = _mm512_inserti64x4(_mm512_set1_epi32((from - to) & 31),
                                         _mm256_set1_epi32((from + step - to) & 31), 1);
    return _mm512_rorv_epi32(v, n);
}

/* a | (b & mask) */
INLINE TARGET_BF16 __m512i or_masked(__m512i a, __m512i b, int mask)
{
    return _mm512_ternarylogic_epi32(a, b, set_512(mask), 0xf8);
}

/* Two groups of 16 bytes -> 64 nibbles: low and high ones of the first, then of the second. */
INLINE TARGET_BF16 __m512i nibbles_64(const uint8_t *p0, const uint8_t *p1)
{
    const __m512i v =
        _mm512_mask_broadcast_i32x4(_mm512_broadcast_i32x4(load_16(p0)), 0xff00, load_16(p1));
    const __m512i n = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0,
                                       0x0004000400040004, 0x0004000400040004, 0, 0);
    return _mm512_and_si512(_mm512_srlv_epi16(v, n), set_512(15));
}

/* Bits of two 32-bit words, one a byte. */
INLINE TARGET_BF16 __mmask64 bits_64(const uint8_t *p0, const uint8_t *p1)
{
    return load_u32(p0) | (uint64_t)load_u32(p1) << 32;
}

INLINE TARGET_BF16 __m512i iq4_64(__m512i q)
{
    const __m128i table =
        _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, (char)129, (char)141, (char)153, (char)166,
                      (char)181, (char)197, (char)217, (char)241); /* the format's values + 128 */
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), q);
}

INLINE TARGET_BF16 __m512i u64_q4_0(const uint8_t *b, int c)
{
    b += 36 * c + 2;
    return _mm512_add_epi8(nibbles_64(b, b + 18), set_512(128 - 8));
}

INLINE TARGET_BF16 __m512i u64_q4_1(const uint8_t *b, int c)
{
    b += 40 * c + 4;
    return nibbles_64(b, b + 20);
}

INLINE TARGET_BF16 __m512i u64_q5_0(const uint8_t *b, int c)
{
    b += 44 * c + 2;
    const __m512i q = _mm512_add_epi8(nibbles_64(b + 4, b + 26), set_512(128 - 16));
    return _mm512_mask_add_epi8(q, bits_64(b, b + 22), q, set_512(16));
}

INLINE TARGET_BF16 __m512i u64_q5_1(const uint8_t *b, int c)
{
    b += 48 * c + 4;
    const __m512i q = nibbles_64(b + 4, b + 28);
    return _mm512_mask_add_epi8(q, bits_64(b, b + 24), q, set_512(16));
}

INLINE TARGET_BF16 __m512i u64_q8_0(const uint8_t *b, int c)
{
    b += 68 * c + 2;
    const __m512i q = _mm512_inserti64x4(_mm512_castsi256_si512(load_32(b)), load_32(b + 34), 1);
    return _mm512_xor_si512(q, set_512(128));
}

INLINE TARGET_BF16 __m512i u64_iq4_nl(const uint8_t *b, int c)
{
    b += 36 * c + 2;
    return iq4_64(nibbles_64(b, b + 18));
}

INLINE TARGET_BF16 __m512i u64_iq4_xs(const uint8_t *b, int c)
{
    b += 8 + 32 * c;
    return iq4_64(nibbles_64(b, b + 16));
}

INLINE TARGET_BF16 __m512i u64_q2_k(const uint8_t *b, int c)
{
    const __m512i v = both_32(b + 16 + c / 2 * 32);
    return _mm512_and_si512(shift_halves(v, c % 2 * 4, c % 2 * 4 + 2), set_512(3));
}

INLINE TARGET_BF16 __m512i u64_q3_k(const uint8_t *b, int c)
{
    const __m512i v = both_32(b + 32 + c / 2 * 32);
    const __m512i low = _mm512_and_si512(shift_halves(v, c % 2 * 4, c % 2 * 4 + 2), set_512(3));
    const __m512i q = or_masked(low, bring_halves(both_32(b), 2 * c, 1, 2), 4);
    return _mm512_add_epi8(q, set_512(128 - 4));
}

INLINE TARGET_BF16 __m512i u64_q4_k(const uint8_t *b, int c)
{
    return _mm512_and_si512(shift_halves(both_32(b + 16 + 32 * c), 0, 4), set_512(15));
}

INLINE TARGET_BF16 __m512i u64_q5_k(const uint8_t *b, int c)
{
    const __m512i low = _mm512_and_si512(shift_halves(both_32(b + 48 + 32 * c), 0, 4), set_512(15));
    return or_masked(low, bring_halves(both_32(b + 16), 2 * c, 1, 4), 16);
}

INLINE TARGET_BF16 __m512i u64_q6_k(const uint8_t *b, int c)
{
    __m512i low = load_64(b + c / 2 * 64);
    if (c % 2) low = _mm512_srli_epi16(low, 4);
    const __m512i high = bring_halves(both_32(b + 128 + c / 2 * 32), c % 2 * 4, 2, 4);
    const __m512i q = or_masked(_mm512_and_si512(low, set_512(15)), high, 0x30);
    return _mm512_add_epi8(q, set_512(128 - 32));
}

#endif
