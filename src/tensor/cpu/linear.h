/* linear.h - what linear.c asks of an instruction set. Private to tensor/cpu/. */
#ifndef CRIA_TENSOR_CPU_LINEAR_H
#define CRIA_TENSOR_CPU_LINEAR_H

#include "tensor/cpu/cpu.h"

enum {
    FEW = 8,         /* from so many tokens on, weights are converted once for all of them */
    TOK_BLOCK = 512, /* tokens of one pass over the weights: bounds the packed activations */
    K_BLOCK = 512,   /* of k: a strip of converted weights and its tokens stay in L2 */
    STRIP = 256,     /* output rows of a strip, at most */
    DOT_ROWS = 16,   /* rows of one call of a dot_rows_fn */
    ACT = 256,       /* elements of one struct act8 */
    ACT_TOK = 8,     /* tokens of one struct act_block (linear_vnni.h), */
    ACT_BLOCK_BYTES = ACT_TOK * (32 + 7 * 4), /* which holds 32 elements of each */
};

/* 256 activations as 8-bit integers, a scale for each 32: x = d q, d = largest / 127. Rounded to
 * nearest, |x - d q| <= d / 2. Scales and sums stand once for each group of four elements, the
 * shape in which the dot product instructions add, so that a kernel reads them as they are. */
struct act8 {
    _Alignas(64) int8_t q[ACT];
    float d[ACT / 4]; /* scale of the group */
    int32_t
        sum_128[ACT / 4];   /* -128 * (sum of the group's q): what a bias of 128 on weights adds */
    float sum_16[ACT / 16]; /* sum of d q over 16 elements: for formats with a minimum */
};
_Static_assert(sizeof(struct act8) % 64 == 0, "rows of act8 stay aligned");

/* Of 256 activations: scales, one for each 32; where the sums of 32 or 16 unsigned weights start
 * that have an offset (from_OFFSET: - OFFSET * sum of q); d * sum of q for formats with a minimum.
 */
struct act_sums {
    int32_t from_8[ACT / 32], from_128[ACT / 32];
    int32_t from_32[ACT / 16];
    int32_t pair_16[ACT / 16]; /* -16 * sum of q in both halves of 16 bits: twice that is from_32 */
    float d[ACT / 32], sum[ACT / 32];
};

/* The input of a product with few tokens, private to one member. */
struct few_in {
    int64_t n_tok, k;
    const float *x;              /* [1, 4 or FEW, ld_x], zero from k on, and from n_tok on */
    int64_t ld_x;                /* k rounded up to ACT */
    const struct act8 *q;        /* [.., ld_x / ACT], zero likewise */
    const struct act_sums *sums; /* the same; only for kits that read them */
    float *row;                  /* [ld_x]: a decoded row of weights */
};

/* dot[r * FEW + t] = w_r . x_t for n_rows <= DOT_ROWS rows at w, row_bytes apart. Entries of
 * tokens beyond n_tok may be written too. */
typedef void dot_rows_fn(float *dot, const struct few_in *in, enum dtype type, const uint8_t *w,
                         size_t row_bytes, int64_t n_rows);

/* dot[r * FEW + t] for the 16 rows of a group (interleave.h). Likewise. */
typedef void dot_group_fn(float *dot, const struct few_in *in, const uint8_t *group);

/* How many-token products with a type of weights are made: in float; in 8-bit integers, the
 * weights' own and rounded activations; in bfloat16, the weights' own and rounded activations; or
 * as sums of products of bfloat16 parts of weights and activations (x = hi + lo), in tiles. */
enum form {
    FORM_F32,
    FORM_INT8,   /* quantized weights */
    FORM_PAIRS,  /* bfloat16 weights */
    FORM_BF16_1, /* hi hi: weights exact in bfloat16, or already rounded by quantization */
    FORM_BF16_3, /* hi hi + hi lo + lo hi: both split, relative error 2^-16 of a product */
};

/* Bytes of scratch for one strip of converted weights: two bfloat16 parts, or floats, or bytes and
 * scales. */
#define PANEL_BYTES (STRIP * (K_BLOCK + LANES) * sizeof(float))

struct act_block;

/* A strip of output rows times a block of tokens. */
struct strip {
    const struct tensor *w;
    int64_t row, n_rows; /* n_rows <= STRIP */
    int64_t k, k_pad;
    int64_t n_tok, n_blocks; /* of LANES tokens */
    enum form form;
    const float *xf;              /* [n_blocks, k_pad, LANES]; FORM_F32 */
    const struct act_block *xq;   /* [n_tok / ACT_TOK, k_pad / 32]; FORM_INT8 */
    const uint32_t *xp;           /* [n_tok / ACT_TOK, k_pad / 2, ACT_TOK] pairs; FORM_PAIRS */
    const uint32_t *xh, *xl;      /* [n_blocks, k_pad / 2, LANES] pairs of bfloat16; else */
    void *panel;                  /* scratch of PANEL_BYTES */
    float *c;                     /* [n_blocks, STRIP, LANES]: the result; not FORM_INT8 and */
    const struct linear_out *out; /* FORM_PAIRS, which write theirs to out->y */
};

struct linear_kit {
    const struct cpu_kit *cpu;
    dot_rows_fn *const *dot;        /* [DT_COUNT] */
    dot_group_fn *const *dot_group; /* [DT_COUNT]; NULL: interleaves nothing */
    bool needs_sums;                /* dot reads few_in.sums; dot_group always does */
    const uint8_t *form;            /* [DT_COUNT], enum form */
    void (*quantize)(struct act8 *q, const float *x, int64_t n); /* n a multiple of ACT */
    void (*strip_bf16)(const struct strip *s);                   /* NULL if no form needs it */
    void (*strip_int8)(const struct strip *s);                   /* likewise */
    void (*pack_int8)(struct act_block *act, const struct linear_args *a, int64_t t, int64_t begin,
                      int64_t end);             /* linear_vnni.h */
    void (*strip_pairs)(const struct strip *s); /* likewise */
    void (*pack_pairs)(void *x, const struct linear_args *a, int64_t t, int64_t begin,
                       int64_t end); /* linear_pairs.h */
    /* y[k] = in(x) of token t. */
    void (*read)(float *y, const struct linear_args *a, int64_t t);
    /* Splits n_pairs rows of 2 x LANES floats [2 n_pairs, LANES] into pairs of bfloat16. */
    void (*split)(uint32_t *hi, uint32_t *lo, const float *x, int64_t n_pairs);
};

void linear_run(const struct member *me, const struct linear_args *a, const struct linear_kit *kit);

/* Plain C versions that instruction sets may share. */
dot_rows_fn dot_rows_generic;
void quantize_act8(struct act8 *q, const float *x, int64_t n);
#if CRIA_X86
void quantize_act8_avx2(struct act8 *q, const float *x, int64_t n);
#endif
extern dot_rows_fn *const dot_table_generic[DT_COUNT];
extern const uint8_t form_table_f32[DT_COUNT];

#endif
