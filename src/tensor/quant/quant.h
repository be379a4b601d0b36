/* quant.h - what the block formats share. Private to tensor/ (dtype.c and quant/).
 *
 * Encoders work on parts: the 16 or 32 elements that have a scale of their own, divided by a power
 * of two that brings the largest of the block into [1, 2), so that no sum of squares overflows or
 * vanishes. A part is approximated by s q - m with integers q; fit.c finds s and m.
 *
 * Hostile input, the same for every block format: NaN counts as 0, infinities and all beyond
 * +-BLOCK_LIMIT as +-BLOCK_LIMIT, a block whose largest value is below BLOCK_TINY as zeros; scales
 * are clamped to the range of float16. Weights that are NaN, infinite or negative count as 0, a
 * block in which all are 0 as if they were 1.
 */
#ifndef CRIA_TENSOR_QUANT_QUANT_H
#define CRIA_TENSOR_QUANT_QUANT_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/dtype.h"

extern const struct dtype_info quant_f32, quant_f16, quant_bf16;
extern const struct dtype_info quant_q4_0, quant_q4_1, quant_q5_0, quant_q5_1, quant_q8_0;
extern const struct dtype_info quant_q2_k, quant_q3_k, quant_q4_k, quant_q5_k, quant_q6_k;
extern const struct dtype_info quant_iq4_nl, quant_iq4_xs;

#define BLOCK_LIMIT 0x1p28f
#define BLOCK_TINY 0x1p-40f /* 2^-16 of the smallest float16 */

enum { PART_MAX = 32, SUPER = 256 };

struct part {
    float x[PART_MAX], w[PART_MAX], wx[PART_MAX];
    float sw, swx, swxx; /* sums of w, w x, w x x */
    int32_t n;           /* 16 or 32 */
};

/* Cuts n_parts * n elements into parts and returns the power of two they were divided by, 0 if all
 * count as zeros. */
float parts_load(struct part *p, int n_parts, int n, const float *src, const float *weight);

/* Sums of w q, w q q and w x q. */
struct part_sums {
    float q, qq, xq;
};

/* What q may be: the integers from lo < hi, or 16 rising values; then "q" in sums is the value, and
 * what is stored is its index. */
struct grid {
    float lo, hi;
    const float *values; /* [16] from lo to hi, or NULL */
};

/* The q with which s q - m is nearest to x; `q` may be NULL. */
struct part_sums part_round(const struct part *p, float s, float m, const struct grid *g,
                            int8_t *q);

/* The loop of that for a grid of integers: the sums of n trials; `q` may be NULL, and is of the
 * last. In plain C, and the fastest that this machine has (cpu/part_round.c). Both give the same
 * bits. */
struct trial {
    float inverse, m; /* 1 / s, or 0 */
};
typedef void part_round_fn(struct part_sums *sums, const struct part *p, const struct trial *t,
                           int n, const struct grid *g, int8_t *q);
part_round_fn part_round_plain;
part_round_fn *part_round_best(void);

/* The weighted squared error of s q - m. */
static inline float part_error(const struct part *p, const struct part_sums *a, float s, float m)
{
    return p->swxx + s * (s * a->qq - 2.0f * a->xq) + m * (m * p->sw + 2.0f * p->swx) -
           2.0f * s * m * a->q;
}

/* The scale, of either sign, with which s q is nearest to x; lo < 0 < hi. */
float part_fit_scale(const struct part *p, const struct grid *g);
/* Scale s >= 0 and minimum m (>= 0 if so asked) with which s q - m is nearest to x; integers from
 * lo = 0. */
void part_fit_pair(const struct part *p, const struct grid *g, bool is_min_negative, float *s,
                   float *m);

/* A block of parts, each with an integer scale, times one float16 (fit_block.c). */
struct scales_form {
    struct grid grid;
    int n_parts, part;
    int s_lo, s_hi; /* of the integer scales; s_lo < 0 */
    int n_near;     /* how many on each side of the nearest are tried */
};
struct scaled_block {
    int8_t s[SUPER / 16];
    int8_t q[SUPER];
};
/* Writes the float16 at d_at. */
void block_fit_scales(struct scaled_block *b, uint8_t *d_at, const float *src, const float *weight,
                      const struct scales_form *f);

/* Little-endian float16 fields. put_f16 clamps to the finite range and returns what was stored. */
float get_f16(const uint8_t *p);
float put_f16(uint8_t *p, float v);
/* The same for a scale: what is not 0 does not become 0; and for one that integers up to a limit
 * will be multiplied by: not rounded towards 0, which matters where float16 has few bits left. */
float put_scale(uint8_t *p, float v);
float put_scale_above(uint8_t *p, float v);

#endif
