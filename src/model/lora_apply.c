/* SPDX-License-Identifier: Apache-2.0
 *
 * lora_apply.c - y += B (A in(x)) for the rows of a product that have an adapter.
 *
 *     u = in(x) | t = A u, for all outputs at once | y += B t
 *
 * A run of rows with the same adapter is two small products; rows without one are in no run. The
 * bars are barriers, and one stands behind every product, of each run: few tokens and many lay out
 * the work memory in other ways (tensor/cpu/linear.c), so a member that is done with a run of many
 * must not begin a run of few while another still multiplies.
 */
#include "model/lora_apply.h"

#include <stdlib.h>

#include "base/os.h"

/* ---- memory ---- */

/* The widest input of a product. */
static int64_t width(const struct model_config *c)
{
    const int64_t n_q = (int64_t)c->n_heads * c->d_head;
    const int64_t d = c->d_ff > c->d_model ? c->d_ff : c->d_model;
    return d > n_q ? d : n_q;
}

size_t lora_step_bytes(const struct model_config *c, int32_t max_tok)
{
    const size_t floats = (size_t)width(c) + (size_t)LORA_MID;
    return (size_t)max_tok * (floats * sizeof(float) + sizeof(struct lora_run));
}

bool lora_step_init(struct lora_step *s, const struct model_config *c, int32_t max_tok,
                    struct err *err)
{
    const size_t n = (size_t)max_tok;
    s->max_tok = max_tok;
    s->ld_in = width(c);
    s->in = os_big_alloc(n * (size_t)s->ld_in * sizeof(float));
    s->mid = os_big_alloc(n * LORA_MID * sizeof(float));
    s->run = calloc(n, sizeof *s->run);
    return (s->in && s->mid && s->run) ||
           err_set(err, ERR_MEMORY,
                   "no memory for adapters in batches of %d tokens; use a smaller batch",
                   (int)max_tok);
}

void lora_step_release(struct lora_step *s)
{
    const size_t n = (size_t)s->max_tok * sizeof(float);
    if (s->in) os_big_free(s->in, n * (size_t)s->ld_in);
    if (s->mid) os_big_free(s->mid, n * LORA_MID);
    free(s->run);
}

/* ---- by every member ---- */

static int64_t at(int32_t row, int64_t ld) { return (int64_t)row * ld; }

/* in(x) of the run's rows. */
static void read_in(const struct lora_step *s, const struct ops *ops, const struct member *me,
                    const struct linear_args *a, int32_t begin, int32_t n)
{
    float *u = s->in + at(begin, s->ld_in);
    const float *x = a->x + at(begin, a->ld_x);
    if (a->in == LINEAR_IN_RMSNORM)
        ops->rmsnorm(me, u, s->ld_in, x, a->ld_x, a->norm, n, a->k, a->eps);
    else if (a->in == LINEAR_IN_SWIGLU)
        ops->swiglu(me, u, s->ld_in, x, a->x2 + at(begin, a->ld_x), a->ld_x, n, a->k);
}

/* t = A u for those outputs that the adapter has. */
static void go_down(const struct lora_step *s, const struct ops *ops, const struct member *me,
                    const struct linear_args *a, const enum tensor_role *role, int32_t i_layer,
                    const struct lora_run *run, enum row_set set)
{
    struct linear_out out[LORA_MID / LORA_MAX_RANK];
    const bool is_plain = a->in == LINEAR_IN_PLAIN;
    int32_t n_out = 0;
    for (int32_t i = 0; i < a->n_out; i++) {
        const struct lora_pair *p = lora_pair(run->lora, role[i], i_layer);
        if (!p) continue;
        float *mid = s->mid + at(run->begin[set], LORA_MID) + (int64_t)i * LORA_MAX_RANK;
        out[n_out++] = (struct linear_out){.w = &p->a, .y = mid, .ld_y = LORA_MID};
    }
    const struct linear_args down = {
        .in = LINEAR_IN_PLAIN,
        .x = is_plain ? a->x + at(run->begin[set], a->ld_x) : s->in + at(run->begin[set], s->ld_in),
        .ld_x = is_plain ? a->ld_x : s->ld_in,
        .n_tok = run->n[set],
        .k = a->k,
        .out = out,
        .n_out = n_out,
        .work = a->work,
    };
    ops->linear(me, &down);
    team_barrier(me);
}

/* y += B t. */
static void go_up(const struct lora_step *s, const struct ops *ops, const struct member *me,
                  const struct linear_args *a, const enum tensor_role *role, int32_t i_layer,
                  const struct lora_run *run, enum row_set set)
{
    for (int32_t i = 0; i < a->n_out; i++) {
        const struct lora_pair *p = lora_pair(run->lora, role[i], i_layer);
        if (!p) continue;
        const struct linear_out out = {.w = &p->b,
                                       .y = a->out[i].y + at(run->begin[set], a->out[i].ld_y),
                                       .ld_y = a->out[i].ld_y,
                                       .is_added = true};
        const struct linear_args up = {
            .in = LINEAR_IN_PLAIN,
            .x = s->mid + at(run->begin[set], LORA_MID) + (int64_t)i * LORA_MAX_RANK,
            .ld_x = LORA_MID,
            .n_tok = run->n[set],
            .k = tensor_cols(&p->b),
            .out = &out,
            .n_out = 1,
            .work = a->work,
        };
        ops->linear(me, &up);
        team_barrier(me);
    }
}

/* Whether the run has rows in this product, and its adapter matrices for it. */
static bool is_changed(const struct lora_run *run, const struct linear_args *a,
                       const enum tensor_role *role, int32_t i_layer, enum row_set set)
{
    for (int32_t i = 0; i < a->n_out; i++)
        if (lora_pair(run->lora, role[i], i_layer)) return run->n[set] > 0;
    return false;
}

void lora_apply(const struct lora_step *s, const struct ops *ops, const struct member *me,
                const struct linear_args *a, const enum tensor_role *role, int32_t i_layer,
                enum row_set set)
{
    bool is_any = false;
    for (int32_t i = 0; i < s->n_runs; i++) {
        const struct lora_run *run = &s->run[i];
        if (!is_changed(run, a, role, i_layer, set)) continue;
        read_in(s, ops, me, a, run->begin[set], run->n[set]);
        is_any = true;
    }
    if (!is_any) return; /* most adapters leave most products alone; all members see the same */
    team_barrier(me);
    for (int32_t i = 0; i < s->n_runs; i++)
        if (is_changed(&s->run[i], a, role, i_layer, set))
            go_down(s, ops, me, a, role, i_layer, &s->run[i], set);
    for (int32_t i = 0; i < s->n_runs; i++)
        if (s->run[i].n[set] > 0) go_up(s, ops, me, a, role, i_layer, &s->run[i], set);
}
