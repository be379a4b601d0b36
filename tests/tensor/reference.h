/* reference.h - every operator again in plain double, written from the formulas, for the checker.
 * Slow on purpose; shares no code with src/tensor. */
#ifndef CRIA_TESTS_TENSOR_REFERENCE_H
#define CRIA_TESTS_TENSOR_REFERENCE_H

#include "tensor/ops.h"

/* n elements of a row of any type. */
void ref_decode(enum dtype t, double *dst, const uint8_t *src, int64_t n);
/* The same for a whole type, into a table: elements and bytes of a block. */
int64_t ref_block_elems(enum dtype t);
int64_t ref_block_bytes(enum dtype t);

/* Random blocks of type t with scales near `size`: what a file may hold. */
void ref_random_row(enum dtype t, uint8_t *dst, int64_t n, double size, uint64_t *state);
double ref_random(uint64_t *state); /* uniform in [-1, 1) */

void ref_rmsnorm(double *y, const float *x, const float *w, int64_t d, double eps);
double ref_silu(double z);
/* One row of linear's input after in(). */
void ref_linear_in(double *y, const struct linear_args *a, int64_t t);
void ref_attention(double *y, const struct attention_args *a, int64_t tok, int32_t head);

#endif
