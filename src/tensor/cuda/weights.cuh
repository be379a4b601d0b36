/* weights.cuh - weights of every type in registers: 8 of a row at a time, as exact bfloat16.
 *
 * A lane of a warp that multiplies holds, of 32 weights of a row (a "unit"), two fours: one of the
 * first 16, one of the second. Quantized weights are small integers, which bfloat16 holds exactly;
 * their scale, and minimum, of each 16 stay apart in float and are applied to the sum of a unit
 * (linear_few.cu). So nothing is rounded that the format has not rounded. Wider types are split
 * into two bfloat16, hi + lo.
 *
 * Integers become bfloat16 by their bits: 0x4300 + q is 128 + q, for q < 128, and one addition
 * takes the offset off. Layouts: the GGUF blocks (spec/inference.md d2), fields apart (layout.h).
 */
#ifndef CRIA_TENSOR_CUDA_WEIGHTS_CUH
#define CRIA_TENSOR_CUDA_WEIGHTS_CUH

#include "tensor/cuda/kernels.h"
#include "tensor/cuda/ptx.cuh"

struct unit {
    uint32_t w[4];       /* 2 + 2 pairs: elements 4t .. 4t + 3 and 16 + 4t .. 16 + 4t + 3 */
    uint32_t low[4];     /* what bfloat16 cannot hold, of types that are IS_WIDE */
    float scale[2], minimum[2]; /* of the first and the second 16 */
};

DEVICE uint32_t word_at(const uint8_t *p) { return *(const uint32_t *)p; }
DEVICE uint32_t short_at(const uint8_t *p) { return *(const uint16_t *)p; }

/* Four bytes below 128, less `offset`, as two pairs of bfloat16. */
DEVICE void bytes_to_bf16(uint32_t out[2], uint32_t bytes, uint32_t offset)
{
    const uint32_t minus = 0xc300c300u + offset * 0x10001u; /* -(128 + offset) */
    out[0] = fma_bf16x2(__byte_perm(bytes, 0x43434343u, 0x4140), 0x3f803f80u, minus);
    out[1] = fma_bf16x2(__byte_perm(bytes, 0x43434343u, 0x4342), 0x3f803f80u, minus);
}

/* Four signed bytes. 0x4b000000 + u is 2^23 + u. */
DEVICE void signed_to_bf16(uint32_t out[2], uint32_t bytes)
{
    const uint32_t u = bytes ^ 0x80808080u;
    const float shift = 8388736.0f;
    const float a = __uint_as_float(__byte_perm(u, 0x4b000000u, 0x7440)) - shift;
    const float b = __uint_as_float(__byte_perm(u, 0x4b000000u, 0x7441)) - shift;
    const float c = __uint_as_float(__byte_perm(u, 0x4b000000u, 0x7442)) - shift;
    const float d = __uint_as_float(__byte_perm(u, 0x4b000000u, 0x7443)) - shift;
    out[0] = pack_bf16(a, b);
    out[1] = pack_bf16(c, d);
}

/* Bits 0..3 of x to bit 0 of the four bytes. */
DEVICE uint32_t bits_to_bytes(uint32_t x) { return (x & 15u) * 0x00204081u & 0x01010101u; }

DEVICE uint32_t nibbles(uint32_t word, int is_high) { return word >> 4 * is_high & 0x0f0f0f0fu; }

/* T[q] of four nibbles in bytes, the table of IQ4 (-127 .. 113). */
DEVICE uint32_t iq4_values(uint32_t q)
{
    const uint32_t t0 = 0xbfad9881u, t1 = 0xf6eaddcfu, t2 = 0x26190d01u, t3 = 0x71594535u;
    uint32_t sel = q & 0x07070707u;
    sel = (sel | sel >> 4) & 0x00ff00ffu;
    sel = (sel | sel >> 8) & 0xffffu;
    const uint32_t is_upper = (q >> 3 & 0x01010101u) * 255u;
    return (__byte_perm(t0, t1, sel) & ~is_upper) | (__byte_perm(t2, t3, sel) & is_upper);
}

/* Scale and minimum i of the 8 pairs of six bits in 12 bytes (Q4_K, Q5_K). */
DEVICE void six_bits(const uint8_t *s, int i, float *scale, float *minimum)
{
    const int j = i & 3;
    const uint32_t a = s[j], b = s[j + 4], c = s[j + 8];
    *scale = (float)(i < 4 ? a & 63u : (c & 15u) | a >> 6 << 4);
    *minimum = (float)(i < 4 ? b & 63u : c >> 4 | b >> 6 << 4);
}

/* How a row of type T is read: IS_WIDE needs `low`; HAS_MINIMUM; HAS_HALVES: the two 16s differ in
 * scale. load() fills unit i (of 32) of a row of n_units, for lane t of 4. */
template <int T> struct weights;

template <> struct weights<DT_Q4_0> {
    enum { IS_WIDE = 0, HAS_MINIMUM = 0, HAS_HALVES = 0 };
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int n_units, int i, int t)
    {
        const uint32_t q = word_at(row + 16 * i + 4 * t);
        bytes_to_bf16(u->w, nibbles(q, 0), 8);
        bytes_to_bf16(u->w + 2, nibbles(q, 1), 8);
        u->scale[0] = half_to_float((uint16_t)short_at(row + 16 * n_units + 2 * i));
    }
};

template <> struct weights<DT_Q4_1> {
    enum { IS_WIDE = 0, HAS_MINIMUM = 1, HAS_HALVES = 0 };
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int n_units, int i, int t)
    {
        const uint32_t q = word_at(row + 16 * i + 4 * t), dm = word_at(row + 16 * n_units + 4 * i);
        bytes_to_bf16(u->w, nibbles(q, 0), 0);
        bytes_to_bf16(u->w + 2, nibbles(q, 1), 0);
        u->scale[0] = half_to_float((uint16_t)dm);
        u->minimum[0] = -half_to_float((uint16_t)(dm >> 16));
    }
};

template <> struct weights<DT_Q5_0> {
    enum { IS_WIDE = 0, HAS_MINIMUM = 0, HAS_HALVES = 0 };
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int n_units, int i, int t)
    {
        const uint32_t q = word_at(row + 16 * i + 4 * t);
        const uint32_t h = word_at(row + 16 * n_units + 4 * i) >> 4 * t;
        bytes_to_bf16(u->w, nibbles(q, 0) | bits_to_bytes(h) << 4, 16);
        bytes_to_bf16(u->w + 2, nibbles(q, 1) | bits_to_bytes(h >> 16) << 4, 16);
        u->scale[0] = half_to_float((uint16_t)short_at(row + 20 * n_units + 2 * i));
    }
};

template <> struct weights<DT_Q5_1> {
    enum { IS_WIDE = 0, HAS_MINIMUM = 1, HAS_HALVES = 0 };
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int n_units, int i, int t)
    {
        const uint32_t q = word_at(row + 16 * i + 4 * t);
        const uint32_t h = word_at(row + 16 * n_units + 4 * i) >> 4 * t;
        const uint32_t dm = word_at(row + 20 * n_units + 4 * i);
        bytes_to_bf16(u->w, nibbles(q, 0) | bits_to_bytes(h) << 4, 0);
        bytes_to_bf16(u->w + 2, nibbles(q, 1) | bits_to_bytes(h >> 16) << 4, 0);
        u->scale[0] = half_to_float((uint16_t)dm);
        u->minimum[0] = -half_to_float((uint16_t)(dm >> 16));
    }
};

template <> struct weights<DT_Q8_0> {
    enum { IS_WIDE = 0, HAS_MINIMUM = 0, HAS_HALVES = 0 };
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int n_units, int i, int t)
    {
        signed_to_bf16(u->w, word_at(row + 32 * i + 4 * t));
        signed_to_bf16(u->w + 2, word_at(row + 32 * i + 16 + 4 * t));
        u->scale[0] = half_to_float((uint16_t)short_at(row + 32 * n_units + 2 * i));
    }
};

template <> struct weights<DT_Q2_K> {
    enum { IS_WIDE = 0, HAS_MINIMUM = 1, HAS_HALVES = 1 };
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int n_units, int i, int t)
    {
        const int n = n_units / 8, b = i / 8, part = i % 8, shift = 2 * (part % 4);
        const uint8_t *q = row + 64 * b + 32 * (part / 4) + 4 * t;
        const uint32_t s = short_at(row + 64 * n + 16 * b + 2 * part);
        const uint32_t dm = word_at(row + 80 * n + 4 * b);
        const float d = half_to_float((uint16_t)dm), dmin = half_to_float((uint16_t)(dm >> 16));
        bytes_to_bf16(u->w, word_at(q) >> shift & 0x03030303u, 0);
        bytes_to_bf16(u->w + 2, word_at(q + 16) >> shift & 0x03030303u, 0);
        u->scale[0] = d * (float)(s & 15u);
        u->minimum[0] = dmin * (float)(s >> 4 & 15u);
        u->scale[1] = d * (float)(s >> 8 & 15u);
        u->minimum[1] = dmin * (float)(s >> 12);
    }
};

template <> struct weights<DT_Q3_K> {
    enum { IS_WIDE = 0, HAS_MINIMUM = 0, HAS_HALVES = 1 };
    static DEVICE_MEMBER float scale(const uint8_t *s, int k)
    {
        const uint32_t low = k < 8 ? s[k] & 15u : s[k - 8] >> 4;
        const uint32_t high = s[8 + k % 4] >> 2 * (k / 4) & 3u;
        return (float)((int)(low | high << 4) - 32);
    }
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int n_units, int i, int t)
    {
        const int n = n_units / 8, b = i / 8, part = i % 8, shift = 2 * (part % 4);
        const uint8_t *q = row + 64 * b + 32 * (part / 4) + 4 * t;
        const uint8_t *h = row + 64 * n + 32 * b + 4 * t, *s = row + 96 * n + 12 * b;
        const float d = half_to_float((uint16_t)short_at(row + 108 * n + 2 * b));
        for (int k = 0; k < 2; k++) {
            const uint32_t low = word_at(q + 16 * k) >> shift & 0x03030303u;
            const uint32_t high = word_at(h + 16 * k) >> part & 0x01010101u;
            bytes_to_bf16(u->w + 2 * k, low | high << 2, 4);
            u->scale[k] = d * scale(s, 2 * part + k);
        }
    }
};

template <> struct weights<DT_Q4_K> {
    enum { IS_WIDE = 0, HAS_MINIMUM = 1, HAS_HALVES = 0 };
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int n_units, int i, int t)
    {
        const int n = n_units / 8, b = i / 8, part = i % 8;
        const uint8_t *q = row + 128 * b + 32 * (part / 2) + 4 * t;
        const uint32_t dm = word_at(row + 140 * n + 4 * b);
        float s, m;
        six_bits(row + 128 * n + 12 * b, part, &s, &m);
        bytes_to_bf16(u->w, nibbles(word_at(q), part & 1), 0);
        bytes_to_bf16(u->w + 2, nibbles(word_at(q + 16), part & 1), 0);
        u->scale[0] = half_to_float((uint16_t)dm) * s;
        u->minimum[0] = half_to_float((uint16_t)(dm >> 16)) * m;
    }
};

template <> struct weights<DT_Q5_K> {
    enum { IS_WIDE = 0, HAS_MINIMUM = 1, HAS_HALVES = 0 };
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int n_units, int i, int t)
    {
        const int n = n_units / 8, b = i / 8, part = i % 8;
        const uint8_t *q = row + 128 * b + 32 * (part / 2) + 4 * t;
        const uint8_t *h = row + 128 * n + 32 * b + 4 * t;
        const uint32_t dm = word_at(row + 172 * n + 4 * b);
        float s, m;
        six_bits(row + 160 * n + 12 * b, part, &s, &m);
        for (int k = 0; k < 2; k++) {
            const uint32_t fifth = word_at(h + 16 * k) >> part & 0x01010101u;
            bytes_to_bf16(u->w + 2 * k, nibbles(word_at(q + 16 * k), part & 1) | fifth << 4, 0);
        }
        u->scale[0] = half_to_float((uint16_t)dm) * s;
        u->minimum[0] = half_to_float((uint16_t)(dm >> 16)) * m;
    }
};

template <> struct weights<DT_Q6_K> {
    enum { IS_WIDE = 0, HAS_MINIMUM = 0, HAS_HALVES = 1 };
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int n_units, int i, int t)
    {
        const int n = n_units / 8, b = i / 8, part = i % 8, j = part % 4;
        const uint8_t *q = row + 128 * b + 64 * (part / 4) + 32 * (j & 1) + 4 * t;
        const uint8_t *h = row + 128 * n + 64 * b + 32 * (part / 4) + 4 * t;
        const uint32_t s = short_at(row + 192 * n + 16 * b + 2 * part);
        const float d = half_to_float((uint16_t)short_at(row + 208 * n + 2 * b));
        for (int k = 0; k < 2; k++) {
            const uint32_t high = word_at(h + 16 * k) >> 2 * j & 0x03030303u;
            bytes_to_bf16(u->w + 2 * k, nibbles(word_at(q + 16 * k), j >> 1) | high << 4, 32);
        }
        u->scale[0] = d * (float)(int8_t)s;
        u->scale[1] = d * (float)(int8_t)(s >> 8);
    }
};

template <> struct weights<DT_IQ4_NL> {
    enum { IS_WIDE = 0, HAS_MINIMUM = 0, HAS_HALVES = 0 };
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int n_units, int i, int t)
    {
        const uint32_t q = word_at(row + 16 * i + 4 * t);
        signed_to_bf16(u->w, iq4_values(nibbles(q, 0)));
        signed_to_bf16(u->w + 2, iq4_values(nibbles(q, 1)));
        u->scale[0] = half_to_float((uint16_t)short_at(row + 16 * n_units + 2 * i));
    }
};

template <> struct weights<DT_IQ4_XS> {
    enum { IS_WIDE = 0, HAS_MINIMUM = 0, HAS_HALVES = 0 };
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int n_units, int i, int t)
    {
        const int n = n_units / 8, b = i / 8, part = i % 8;
        const uint8_t *head = row + 128 * n + 8 * b; /* d, high bits, low nibbles of scales */
        const uint32_t q = word_at(row + 128 * b + 16 * part + 4 * t);
        const uint32_t low = head[4 + part / 2] >> 4 * (part & 1) & 15u;
        const uint32_t high = short_at(head + 2) >> 2 * part & 3u;
        signed_to_bf16(u->w, iq4_values(nibbles(q, 0)));
        signed_to_bf16(u->w + 2, iq4_values(nibbles(q, 1)));
        u->scale[0] = half_to_float((uint16_t)short_at(head)) * (float)((int)(low | high << 4) - 32);
    }
};

/* x = hi + lo, both pairs of bfloat16. */
DEVICE void split_pair(float a, float b, uint32_t *hi, uint32_t *lo)
{
    *hi = pack_bf16(a, b);
    *lo = pack_bf16(a - bf16_to_float(*hi & 0xffffu), b - bf16_to_float(*hi >> 16));
}

/* Plain types; on the device their rows are filled up with zeros to whole units. */
template <> struct weights<DT_BF16> {
    enum { IS_WIDE = 0, HAS_MINIMUM = 0, HAS_HALVES = 0 };
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int, int i, int t)
    {
        const uint2 a = *(const uint2 *)(row + 64 * i + 8 * t);
        const uint2 b = *(const uint2 *)(row + 64 * i + 32 + 8 * t);
        u->w[0] = a.x;
        u->w[1] = a.y;
        u->w[2] = b.x;
        u->w[3] = b.y;
        u->scale[0] = 1.0f;
    }
};

template <> struct weights<DT_F16> {
    enum { IS_WIDE = 1, HAS_MINIMUM = 0, HAS_HALVES = 0 };
    static DEVICE_MEMBER void pair(unit *u, int j, uint32_t h)
    {
        split_pair(half_to_float((uint16_t)h), half_to_float((uint16_t)(h >> 16)), &u->w[j],
                   &u->low[j]);
    }
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int, int i, int t)
    {
        const uint2 a = *(const uint2 *)(row + 64 * i + 8 * t);
        const uint2 b = *(const uint2 *)(row + 64 * i + 32 + 8 * t);
        pair(u, 0, a.x);
        pair(u, 1, a.y);
        pair(u, 2, b.x);
        pair(u, 3, b.y);
        u->scale[0] = 1.0f;
    }
};

template <> struct weights<DT_F32> {
    enum { IS_WIDE = 1, HAS_MINIMUM = 0, HAS_HALVES = 0 };
    static DEVICE_MEMBER void load(unit *u, const uint8_t *row, int, int i, int t)
    {
        const float4 a = *(const float4 *)(row + 128 * i + 16 * t);
        const float4 b = *(const float4 *)(row + 128 * i + 64 + 16 * t);
        split_pair(a.x, a.y, &u->w[0], &u->low[0]);
        split_pair(a.z, a.w, &u->w[1], &u->low[1]);
        split_pair(b.x, b.y, &u->w[2], &u->low[2]);
        split_pair(b.z, b.w, &u->w[3], &u->low[3]);
        u->scale[0] = 1.0f;
    }
};

/* The 8 weights of a unit that lane t holds, as floats: elements 4t.. and 16 + 4t... */
template <int T> DEVICE void unit_floats(float out[8], const uint8_t *row, int n_units, int i, int t)
{
    unit u;
    weights<T>::load(&u, row, n_units, i, t);
    for (int j = 0; j < 8; j++) {
        const int half = weights<T>::HAS_HALVES ? j / 4 : 0;
        float w = bf16_to_float(u.w[j / 2] >> 16 * (j & 1) & 0xffffu);
        if (weights<T>::IS_WIDE) w += bf16_to_float(u.low[j / 2] >> 16 * (j & 1) & 0xffffu);
        out[j] = w * u.scale[half];
        if (weights<T>::HAS_MINIMUM) out[j] -= u.minimum[half];
    }
}

#endif
