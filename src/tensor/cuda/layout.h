/* layout.h - how a row of weights lies on the device: the fields of its blocks apart.
 *
 * In files a block of 4-bit weights is 18 bytes: scale, then 16 bytes of weights, so no load wider
 * than 2 bytes is aligned. On the device a row holds all blocks' weights first, then all scales:
 * field f of block b lies at  n_blocks * begin(f) + b * bytes(f), where begin(f) are the bytes of
 * the fields before it in the order below, the widest first. The row takes the same bytes, rounded
 * up to 16. Plain types stay as they are.
 */
#ifndef CRIA_TENSOR_CUDA_LAYOUT_H
#define CRIA_TENSOR_CUDA_LAYOUT_H

#include "tensor/cuda/kernels.h"

enum { LAYOUT_MAX_FIELDS = 4 };

struct field {
    int16_t from, bytes; /* offset in the block as files have it */
};

/* The fields in their order on the device; {0, 0} ends them. Bytes of a block are their sum. */
#define LAYOUT_TABLE                                                                               \
    {                                                                                              \
        {{0, 4}},                                    /* F32 */                                     \
            {{0, 2}},                                /* F16 */                                     \
            {{0, 2}},                                /* BF16 */                                    \
            {{2, 16}, {0, 2}},                       /* Q4_0: weights, d */                        \
            {{4, 16}, {0, 4}},                       /* Q4_1: weights, d and m */                  \
            {{6, 16}, {2, 4}, {0, 2}},               /* Q5_0: low bits, fifth bits, d */           \
            {{8, 16}, {4, 4}, {0, 4}},               /* Q5_1: low bits, fifth bits, d and m */     \
            {{2, 32}, {0, 2}},                       /* Q8_0: weights, d */                        \
            {{16, 64}, {0, 16}, {80, 4}},            /* Q2_K: weights, scales, d and dmin */       \
            {{32, 64}, {0, 32}, {96, 12}, {108, 2}}, /* Q3_K: low bits, high bits, scales, d */    \
            {{16, 128}, {4, 12}, {0, 4}},            /* Q4_K: weights, scales, d and dmin */       \
            {{48, 128},                                                                            \
             {16, 32},                                                                             \
             {4, 12},                                                                              \
             {0, 4}}, /* Q5_K: low bits, fifth bits, scales, d, dmin */                            \
            {{0, 128}, {128, 64}, {192, 16}, {208, 2}}, /* Q6_K: low, high, scales, d */           \
            {{2, 16}, {0, 2}},                          /* IQ4_NL: weights, d */                   \
            {{8, 128}, {0, 8}},                         /* IQ4_XS: weights, d and scales */        \
    }

#endif
