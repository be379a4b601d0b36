/* lora_apply.h - adapters in a step of the forward pass. Private to model/. */
#ifndef CRIA_MODEL_LORA_APPLY_H
#define CRIA_MODEL_LORA_APPLY_H

#include "model/lora.h"
#include "tensor/ops.h"

/* Which rows a product has: those of all tokens, of what is wanted, of what wants logits. */
enum row_set { ROWS_ALL, ROWS_WANTED, ROWS_LOGITS, N_ROW_SETS };

enum { LORA_MID = 3 * LORA_MAX_RANK }; /* a product has at most three outputs */

/* Neighbouring rows with one adapter. */
struct lora_run {
    const struct lora *lora;
    int32_t begin[N_ROW_SETS], n[N_ROW_SETS];
};

/* Of a step: in [max_tok, ld_in], mid [max_tok, LORA_MID], run [max_tok]; all zero: it takes no
 * adapters. */
struct lora_step {
    float *in, *mid;
    int64_t ld_in;
    int32_t max_tok;
    struct lora_run *run;
    int32_t n_runs; /* 0: no token of this step has an adapter */
};

size_t lora_step_bytes(const struct model_config *c, int32_t max_tok);
/* After a failure, too, lora_step_release() frees what there is. */
bool lora_step_init(struct lora_step *s, const struct model_config *c, int32_t max_tok,
                    struct err *err) CRIA_CHECK;
void lora_step_release(struct lora_step *s);

/* By all members, behind ops->linear(a) without a barrier between: adds what adapters change to its
 * outputs, output i being of role[i]. The results are visible after the next barrier. */
void lora_apply(const struct lora_step *s, const struct ops *ops, const struct member *me,
                const struct linear_args *a, const enum tensor_role *role, int32_t i_layer,
                enum row_set set);

#endif
