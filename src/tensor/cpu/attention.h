/* attention.h - what attention.c and the inner loop of an instruction set share: a unit of work and
 * the form that its keys, values and weights take. Private to tensor/cpu/. */
#ifndef CRIA_TENSOR_CPU_ATTENTION_H
#define CRIA_TENSOR_CPU_ATTENTION_H

#include "tensor/cpu/cpu.h"

enum {
    KEYS = 64,          /* positions a step: K, V and scores of a step stay in L1/L2 */
    MAX_UNIT_TOK = 256, /* tokens of a unit, so many as a form has rows at most */
};

/* Query rows that read the same keys, of tokens that see the same pages; memory in this member's
 * scratch. Row r is head kv_head * n_rep + r % n_rep of token r / n_rep. */
struct unit {
    const struct attention_args *a;
    const int32_t *pages;
    int64_t kv_head, n_rep;
    int64_t d, ld; /* d_head, and the same rounded up to 16: the rows below */
    int64_t n_tok, n_rows;
    struct {
        int64_t row; /* in the batch */
        int64_t pos; /* it sees positions 0 .. pos */
    } tok[MAX_UNIT_TOK];
    float *q;    /* [n_rows, ld], times scale */
    float *o;    /* [n_rows, ld]: weighted values so far, not divided by l */
    float *m;    /* [n_rows]: largest score so far, -infinity: none */
    float *l;    /* [n_rows]: sum of weights so far */
    float *form; /* the form's own, 64-byte aligned */
};

/* How a set of instructions attends. range(): all rows of the unit, none of which has seen a key,
 * to positions [begin, end), begin a multiple of KEYS; fills o, m and l. Each row sees what its
 * token may, in arithmetic that does not depend on the other rows. */
struct attention_form {
    int64_t rows;                                 /* of a unit of many tokens */
    int64_t (*floats)(int64_t n_rows, int64_t d); /* of unit.form */
    void (*range)(const struct unit *u, int64_t begin, int64_t end);
};

#if CRIA_X86
extern const struct attention_form attention_bf16;
#endif

/* How many of the positions from k0 on row r may see; 0 and less: none. */
static inline int64_t unit_seen(const struct unit *u, int64_t r, int64_t k0)
{
    return u->tok[r / u->n_rep].pos - k0 + 1;
}

/* The stored row of a position. */
static inline const uint8_t *unit_row(const struct unit *u, const uint8_t *base, int64_t pos)
{
    const struct kv_layer *kv = u->a->kv;
    return base + (size_t)u->pages[pos >> __builtin_ctz((unsigned)kv->page_tok)] * kv->page_stride +
           (size_t)u->kv_head * kv->head_stride +
           (size_t)(pos & (kv->page_tok - 1)) * kv->row_bytes;
}

#endif
