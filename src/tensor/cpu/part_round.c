/* SPDX-License-Identifier: Apache-2.0
 *
 * part_round.c - the inner loop of the encoders: q = round((x + m) / s) within the grid, and the
 * sums of w q, w q q and w x q (quant/quant.h, quant/fit.c).
 *
 * fit.c has the plain C. Here eight elements are one vector; every element is computed, and every
 * sum folded by halves, exactly as there, without fused multiply-adds: an encoder's bits are the
 * same on every machine (tests/tensor/test_quant.c compares the two). `cria quantize` to Q4_K_M
 * of a BF16 file of the 1B shape takes a third less time.
 */
#include "tensor/cpu/cpu.h"
#include "tensor/quant/quant.h"

#if CRIA_X86
#include <immintrin.h>

#define TARGET_PART TARGET("avx2")

/* Of eight sums, as fold() in fit.c ends: halves, then (0 + 2) + (1 + 3). */
INLINE TARGET_PART float fold_8(__m256 v)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

INLINE TARGET_PART void store_8(int8_t *to, __m256 q)
{
    const __m256i wide = _mm256_cvtps_epi32(q);
    const __m128i half =
        _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    _mm_storel_epi64((__m128i *)to, _mm_packs_epi16(half, half));
}

/* n_vectors of eight elements: 2 or 4. Vector i is added to i + n / 2 first, as fold() does. */
INLINE TARGET_PART struct part_sums round_vectors(const struct part *p, float inverse, float m,
                                                  const struct grid *g, int8_t *to, int n_vectors)
{
    const __m256 scale = _mm256_set1_ps(inverse), shift = _mm256_set1_ps(m);
    const __m256 lo = _mm256_set1_ps(g->lo), hi = _mm256_set1_ps(g->hi);
    const __m256 adder = _mm256_set1_ps(0x1.8p23f);
    __m256 a[4], b[4], c[4];
    for (int i = 0; i < n_vectors; i++) {
        __m256 t = _mm256_mul_ps(_mm256_add_ps(_mm256_loadu_ps(p->x + 8 * i), shift), scale);
        t = _mm256_min_ps(hi, _mm256_max_ps(lo, t)); /* in this order NaN stays, as in C */
        const __m256 q = _mm256_sub_ps(_mm256_add_ps(t, adder), adder);
        if (to) store_8(to + 8 * i, q);
        a[i] = _mm256_mul_ps(_mm256_loadu_ps(p->w + 8 * i), q);
        b[i] = _mm256_mul_ps(a[i], q);
        c[i] = _mm256_mul_ps(_mm256_loadu_ps(p->wx + 8 * i), q);
    }
    for (int h = n_vectors / 2; h >= 1; h /= 2)
        for (int i = 0; i < h; i++) {
            a[i] = _mm256_add_ps(a[i], a[i + h]);
            b[i] = _mm256_add_ps(b[i], b[i + h]);
            c[i] = _mm256_add_ps(c[i], c[i + h]);
        }
    return (struct part_sums){.q = fold_8(a[0]), .qq = fold_8(b[0]), .xq = fold_8(c[0])};
}

TARGET_PART static void round_avx2(struct part_sums *sums, const struct part *p,
                                   const struct trial *t, int n, const struct grid *g, int8_t *q)
{
    if (q)
        for (int i = 0; i < n; i++)
            sums[i] = p->n == 16 ? round_vectors(p, t[i].inverse, t[i].m, g, q, 2)
                                 : round_vectors(p, t[i].inverse, t[i].m, g, q, 4);
    else if (p->n == 16)
        for (int i = 0; i < n; i++) sums[i] = round_vectors(p, t[i].inverse, t[i].m, g, NULL, 2);
    else
        for (int i = 0; i < n; i++) sums[i] = round_vectors(p, t[i].inverse, t[i].m, g, NULL, 4);
}
#endif

part_round_fn *part_round_best(void)
{
#if CRIA_X86
    if (__builtin_cpu_supports("avx2")) return round_avx2;
#endif
    return part_round_plain;
}
