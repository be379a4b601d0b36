/* linear_vnni.h - many tokens times quantized weights in 8-bit integers (linear_vnni.c). Private to
 * tensor/cpu/. */
#ifndef CRIA_TENSOR_CPU_LINEAR_VNNI_H
#define CRIA_TENSOR_CPU_LINEAR_VNNI_H

#include "tensor/cpu/linear.h"

/* 32 activations of ACT_TOK tokens: x = d q, d = largest of the 32 / 127. Four q of a token lie
 * together, the tokens side by side, as a kernel broadcasts them. */
struct act_block {
    int8_t q[8][ACT_TOK][4];
    float d[ACT_TOK];
    int32_t from_32[ACT_TOK];    /* -128 * (sum of q): where sums start if weights are q + 128 */
    float sum_32[ACT_TOK];       /* sum of d q: for formats with a minimum */
    int32_t from_16[2][ACT_TOK]; /* the same of the two 16s, for formats with scales of 16 */
    float sum_16[2][ACT_TOK];
};
_Static_assert(sizeof(struct act_block) == ACT_BLOCK_BYTES, "as the plan of scratch counts it");

/* A panel's record: 32 weights of 16 rows, words of 4 side by side, then the rows' scales, then
 * their minima; one of each, or one for each 16 weights. */
enum { RECORD_Q = LANES * 32 };
INLINE int64_t record_bytes(bool has_min, bool per_32)
{
    return RECORD_Q + (has_min ? 2 : 1) * (per_32 ? 1 : 2) * LANES * (int64_t)sizeof(float);
}

/* Packs elements [begin, end) of ACT_TOK tokens, from token t on, to act[(end - begin) / 32]. Both
 * are multiples of ACT; tokens from n_tok on and elements from k on become zero. */
void pack_vnni(struct act_block *act, const struct linear_args *a, int64_t t, int64_t begin,
               int64_t end);
void strip_vnni(const struct strip *s); /* FORM_INT8 */

#endif
