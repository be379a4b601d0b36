/* kernels.h - what the host and the kernels agree on: each kernel's name and its one argument.
 *
 * A kernel takes one struct by value, `struct NAME_args`, so that the host fills it by field names
 * and a launch is one pointer. Included by C, by CUDA C++ and by the emulation of kernels on the
 * host. All pointers in it are device memory; `ld` is the distance of rows in elements.
 */
#ifndef CRIA_TENSOR_CUDA_KERNELS_H
#define CRIA_TENSOR_CUDA_KERNELS_H

#include <stdint.h>

#include "tensor/dtype.h"

/* A matrix of weights as it lies on the device: rows of `row_bytes` (a multiple of 16), each with
 * the fields of its blocks apart, largest first (layout.h). */
struct dev_matrix {
    const uint8_t *data;
    int64_t row_bytes;
    int32_t n_rows, dtype;
};

/* One page table for all tokens of a sequence; as struct span, with device addresses. */
struct dev_span {
    int64_t begin;
    int32_t n, pos;
    const int32_t *pages;
};

struct dev_cache {
    uint8_t *k, *v;
    int64_t row_bytes, head_stride, page_stride;
    int32_t dtype, page_shift, n_kv_heads, d_head;
};

/* y[i][..] = row ids[i] of w as float. Grid: tokens. */
struct embed_args {
    float *y;
    int64_t ld_y, n_cols;
    struct dev_matrix w;
    const int32_t *ids;
};

/* Grid: tokens. */
struct rmsnorm_args {
    float *y;
    const float *x, *w;
    int64_t ld_y, ld_x;
    int32_t d;
    float eps;
};

/* Grid: any. */
struct swiglu_args {
    float *y;
    const float *gate, *up;
    int64_t ld_y, ld_x, n_tok, d;
};

/* The input of a product: x, or norm(x), or silu(x) x2, as bfloat16 in two parts, hi + lo, rows of
 * k rounded up to 32, or as float. hi, lo or wide may be NULL. Grid: (tokens, any): with more than
 * one, each block takes a part of the row, and the norm's sum by itself. */
enum { PREPARE_PLAIN, PREPARE_RMSNORM, PREPARE_SWIGLU };
struct prepare_args {
    uint16_t *hi, *lo;
    float *wide;
    const float *x, *x2, *norm;
    int64_t ld_x, ld;
    int32_t in, k;
    float eps;
};

/* y[t][r] (=|+=) sum_k w[r][k] (hi + lo)[t][k] + bias[r]. Grid: (rows / 16, tokens / (8 NT)). */
enum { FEW_MAX_OUT = 8, FEW_WARPS = 8 };
struct few_out {
    struct dev_matrix w;
    const float *bias;
    float *y;
    int64_t ld_y;
    int32_t is_added, first_tile; /* of 16 rows, of all outputs together */
};
struct linear_few_args {
    const uint16_t *hi, *lo; /* lo: read with NT 1 and types wider than bfloat16 */
    const float *wide;       /* the input of linear_one, which reads nothing else */
    int64_t ld_x;
    int32_t n_tok, k, n_out, pad;
    struct few_out out[FEW_MAX_OUT];
};

/* Rows [first, first + n) of w as bfloat16 or float, rows of k. Grid: rows. */
struct unpack_args {
    uint16_t *narrow;
    float *wide;
    struct dev_matrix w;
    int64_t first, ld;
    int32_t k, pad;
};

/* Blocks as files have them -> rows of dev_matrix. Grid: any. */
struct place_args {
    uint8_t *to;
    const uint8_t *from;
    int64_t to_row_bytes, from_row_bytes, n_rows, n_blocks;
    int32_t dtype, pad;
};

/* y[t][r] += bias[r]. Grid: any. */
struct add_bias_args {
    float *y;
    const float *bias;
    int64_t ld_y, n_tok, n_rows;
};

/* Grid: any. */
struct rope_table_args {
    float *cos_sin;
    const int32_t *pos;
    const double *inv_freq;
    int64_t n_tok;
    int32_t n_freq, pad;
};

/* Grid: tokens. */
struct rope_store_args {
    float *q, *k;
    const float *v, *cos_sin;
    int64_t ld_q, ld_k, ld_v;
    const struct dev_span *span;
    struct dev_cache kv; /* kv.k NULL: rotate only */
    int32_t n_spans, n_heads, n_kv_heads, d_head, halves, pad;
};

/* Grid: (tokens, kv heads times fours of the query heads of each, splits). With one split y is
 * written, else `part`: of each token, head and split d_head sums, the largest score and the sum of
 * weights. */
enum { SPLIT_THREADS = 128, SPLIT_CHUNK = 256, SPLIT_MAX_REP = 16 };
struct attention_split_args {
    float *y, *part;
    const float *q;
    int64_t ld_y, ld_q;
    const struct dev_span *span;
    struct dev_cache kv;
    int32_t n_spans, n_heads, n_splits, split_tok;
    float scale;
    int32_t pad;
};

/* Grid: (tokens, heads). */
struct attention_join_args {
    float *y;
    const float *part;
    int64_t ld_y;
    int32_t n_heads, d_head, n_splits, pad;
};

/* Grid: (tiles of 64 rows of the longest span, kv heads, spans). A row is a query head of a token
 * that reads this kv head. */
enum { FLASH_ROWS = 64, FLASH_KEYS = 64, FLASH_THREADS = 128 };
struct attention_flash_args {
    float *y;
    const float *q;
    int64_t ld_y, ld_q;
    const struct dev_span *span;
    struct dev_cache kv;
    int32_t n_heads;
    float scale;
};

/* Row kept[i] to row i, kept rising. Grid: columns. */
struct gather_args {
    float *rows;
    const int32_t *kept;
    int64_t n;
    int32_t n_kept, pad;
};

/* *damage = 1 if a number is not finite. Grid: any. */
struct damage_args {
    const float *x;
    int64_t n;
    uint32_t *damage;
};

#define CUDA_KERNELS(X)                                                                            \
    X(embed)                                                                                       \
    X(rmsnorm)                                                                                     \
    X(swiglu)                                                                                      \
    X(prepare)                                                                                     \
    X(unpack)                                                                                      \
    X(place)                                                                                       \
    X(add_bias)                                                                                    \
    X(rope_table)                                                                                  \
    X(rope_store)                                                                                  \
    X(attention_split)                                                                             \
    X(attention_join)                                                                              \
    X(gather)                                                                                      \
    X(damage)
/* By head size. */
#define CUDA_FLASH_KERNELS(X) X(64) X(128)
/* linear_one_TYPE, and linear_few_TYPE_N by 8s of tokens. */
/* clang-format off */
#define CUDA_FEW_TYPES(X)                                                                          \
    X(F32) X(F16) X(BF16)                                                                          \
    X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0)                                                        \
    X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K)                                                        \
    X(IQ4_NL) X(IQ4_XS)
/* clang-format on */

#endif
