/* ops_case.h - what the operator checker and the kernel benchmark share: memory that notices an
 * access beyond its end, teams, and operators as calls without arguments. */
#ifndef CRIA_TESTS_TENSOR_OPS_CASE_H
#define CRIA_TESTS_TENSOR_OPS_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/team.h"
#include "tensor/ops.h"

/* n bytes that end at a page nobody may touch, with a page of canary bytes before them. */
struct guarded {
    uint8_t *p;
    size_t n_bytes;
    uint8_t *map;
    size_t map_bytes;
};
struct guarded guarded_new(size_t n_bytes);
bool guarded_is_whole(const struct guarded *g); /* the canaries are as they were */
void guarded_free(struct guarded *g);

/* A matrix of random blocks, its rows tight. */
struct guarded random_matrix(struct tensor *w, enum dtype t, int64_t rows, int64_t cols,
                             uint64_t *seed);
void random_floats(float *x, int64_t n, double size, uint64_t *seed);

/* Runs ops->linear, rope_store or attention with a team. */
void run_linear(struct team *team, const struct ops *ops, const struct linear_args *a);
void run_rope(struct team *team, const struct ops *ops, const struct rope_args *a);
void run_attention(struct team *team, const struct ops *ops, const struct attention_args *a);

#endif
