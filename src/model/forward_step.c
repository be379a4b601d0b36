/* SPDX-License-Identifier: Apache-2.0
 *
 * forward_step.c - a ragged batch through all layers: spec/llama3.md 1.4, read top to bottom in
 * forward_step().
 *
 * All members of the team run it together; each operator shares its rows or columns out itself
 * (tensor/ops.h), and a barrier stands where the next operator reads what another member wrote.
 * Norms and SwiGLU are done by linear() while it reads its input, so a layer is
 *
 *     q, k, v = W norm(x) | rotate, store | attention | x += Wo y | gate, up = W norm(x) |
 *     x += Wd (silu(gate) up)
 *
 * with a barrier at each bar: six a layer, and no buffer for anything normed. With an observer the
 * inputs of products must exist, so the same steps go through `seen`, one barrier more each. Where
 * tokens have adapters, these are added behind each product (lora_apply.c).
 *
 * After the last attention only the tokens matter of which something is wanted, logits or the last
 * state: their rows of x and y are moved together, and the rest of the last layer, the final norm
 * and the output run on these alone. (A prompt of 512 tokens wants one row: that saves two thirds
 * of a layer, and 511 rows of the output product, which for a small model is a third of the step.)
 */
#include "model/forward_parts.h"

#include <math.h>

/* ops->linear() with its input written out, shown, and multiplied plainly. */
static void observed(const struct forward *f, const struct member *me, const struct linear_args *a,
                     const enum tensor_role *role, int32_t i_layer)
{
    struct linear_args plain = *a;
    if (a->in == LINEAR_IN_RMSNORM)
        f->ops->rmsnorm(me, f->seen, a->k, a->x, a->ld_x, a->norm, a->n_tok, a->k, a->eps);
    else if (a->in == LINEAR_IN_SWIGLU)
        f->ops->swiglu(me, f->seen, a->k, a->x, a->x2, a->ld_x, a->n_tok, a->k);
    if (a->in != LINEAR_IN_PLAIN) plain.x = f->seen;
    plain.in = LINEAR_IN_PLAIN;
    plain.ld_x = a->k;
    team_barrier(me);
    for (int32_t i = 0; me->i == 0 && i < a->n_out; i++)
        f->observer(f->observer_user, role[i], i_layer, plain.x, plain.n_tok, plain.k);
    f->ops->linear(me, &plain);
}

/* ops->linear(), observed, and what adapters change. */
static void product(const struct forward *f, const struct member *me, const struct linear_args *a,
                    const enum tensor_role *role, int32_t i_layer, enum row_set set)
{
    if (f->observer)
        observed(f, me, a, role, i_layer);
    else
        f->ops->linear(me, a);
    if (f->lora.n_runs > 0) lora_apply(&f->lora, f->ops, me, a, role, i_layer, set);
}

static void project_qkv(const struct forward *f, const struct member *me, int32_t i_layer)
{
    static const enum tensor_role role[] = {ROLE_WQ, ROLE_WK, ROLE_WV};
    const struct model_config *c = f->c;
    const struct layer_weights *w = &f->w->layer[i_layer];
    const int64_t n_q = (int64_t)c->n_heads * c->d_head, n_kv = (int64_t)c->n_kv_heads * c->d_head;
    const struct linear_out out[] = {
        {.w = &w->wq, .bias = w->bq, .y = forward_buffer(f, BUF_Q), .ld_y = n_q},
        {.w = &w->wk, .bias = w->bk, .y = forward_buffer(f, BUF_K), .ld_y = n_kv},
        {.w = &w->wv, .bias = w->bv, .y = forward_buffer(f, BUF_V), .ld_y = n_kv},
    };
    const struct linear_args a = {
        .in = LINEAR_IN_RMSNORM,
        .x = forward_buffer(f, BUF_X),
        .ld_x = c->d_model,
        .norm = w->attn_norm,
        .eps = c->norm_eps,
        .n_tok = f->batch->n_tok,
        .k = c->d_model,
        .out = out,
        .n_out = 3,
        .work = forward_buffer(f, BUF_WORK),
    };
    product(f, me, &a, role, i_layer, ROWS_ALL);
}

static void rotate_and_store(const struct forward *f, const struct member *me, int32_t i_layer)
{
    const struct model_config *c = f->c;
    const struct rope_args a = {
        .pairs = c->rope_pairs,
        .q = forward_buffer(f, BUF_Q),
        .k = forward_buffer(f, BUF_K),
        .v = forward_buffer(f, BUF_V),
        .ld_q = (int64_t)c->n_heads * c->d_head,
        .ld_k = (int64_t)c->n_kv_heads * c->d_head,
        .ld_v = (int64_t)c->n_kv_heads * c->d_head,
        .n_heads = c->n_heads,
        .cos_sin = forward_buffer(f, BUF_COS_SIN),
        .span = forward_buffer(f, BUF_SPAN),
        .n_spans = f->n_spans,
        .n_tok = f->batch->n_tok,
        .kv = kv_cache_layer(f->kv, i_layer),
        .n_kv_heads = c->n_kv_heads,
        .d_head = c->d_head,
    };
    f->ops->rope_store(me, &a);
}

static void attend(const struct forward *f, const struct member *me, int32_t i_layer)
{
    const struct model_config *c = f->c;
    const struct attention_args a = {
        .y = forward_buffer(f, BUF_Y),
        .q = forward_buffer(f, BUF_Q),
        .ld_y = (int64_t)c->n_heads * c->d_head,
        .ld_q = (int64_t)c->n_heads * c->d_head,
        .n_heads = c->n_heads,
        .scale = 1.0f / sqrtf((float)c->d_head),
        .span = forward_buffer(f, BUF_SPAN),
        .n_spans = f->n_spans,
        .max_n = f->max_n,
        .max_end = f->max_end,
        .n_tok = f->batch->n_tok,
        .kv = kv_cache_layer(f->kv, i_layer),
        .is_exact = f->is_exact,
        .work = forward_buffer(f, BUF_WORK),
    };
    f->ops->attention(me, &a);
}

/* x += Wo y + bo. */
static void project_out(const struct forward *f, const struct member *me, int32_t i_layer,
                        enum row_set set)
{
    static const enum tensor_role role[] = {ROLE_WO};
    const struct model_config *c = f->c;
    const struct layer_weights *w = &f->w->layer[i_layer];
    const int64_t n_q = (int64_t)c->n_heads * c->d_head;
    const struct linear_out out = {.w = &w->wo,
                                   .bias = w->bo,
                                   .y = forward_buffer(f, BUF_X),
                                   .ld_y = c->d_model,
                                   .is_added = true};
    const struct linear_args a = {.in = LINEAR_IN_PLAIN,
                                  .x = forward_buffer(f, BUF_Y),
                                  .ld_x = n_q,
                                  .n_tok = f->n_rows[set],
                                  .k = n_q,
                                  .out = &out,
                                  .n_out = 1,
                                  .work = forward_buffer(f, BUF_WORK)};
    product(f, me, &a, role, i_layer, set);
}

static void feed_forward_in(const struct forward *f, const struct member *me, int32_t i_layer,
                            enum row_set set)
{
    static const enum tensor_role role[] = {ROLE_GATE, ROLE_UP};
    const struct model_config *c = f->c;
    const struct layer_weights *w = &f->w->layer[i_layer];
    const struct linear_out out[] = {
        {.w = &w->gate, .bias = w->bgate, .y = forward_buffer(f, BUF_GATE), .ld_y = c->d_ff},
        {.w = &w->up, .bias = w->bup, .y = forward_buffer(f, BUF_UP), .ld_y = c->d_ff},
    };
    const struct linear_args a = {.in = LINEAR_IN_RMSNORM,
                                  .x = forward_buffer(f, BUF_X),
                                  .ld_x = c->d_model,
                                  .norm = w->ffn_norm,
                                  .eps = c->norm_eps,
                                  .n_tok = f->n_rows[set],
                                  .k = c->d_model,
                                  .out = out,
                                  .n_out = 2,
                                  .work = forward_buffer(f, BUF_WORK)};
    product(f, me, &a, role, i_layer, set);
}

static void feed_forward_out(const struct forward *f, const struct member *me, int32_t i_layer,
                             enum row_set set)
{
    static const enum tensor_role role[] = {ROLE_DOWN};
    const struct model_config *c = f->c;
    const struct layer_weights *w = &f->w->layer[i_layer];
    const struct linear_out out = {.w = &w->down,
                                   .bias = w->bdown,
                                   .y = forward_buffer(f, BUF_X),
                                   .ld_y = c->d_model,
                                   .is_added = true};
    const struct linear_args a = {.in = LINEAR_IN_SWIGLU,
                                  .x = forward_buffer(f, BUF_GATE),
                                  .x2 = forward_buffer(f, BUF_UP),
                                  .ld_x = c->d_ff,
                                  .n_tok = f->n_rows[set],
                                  .k = c->d_ff,
                                  .out = &out,
                                  .n_out = 1,
                                  .work = forward_buffer(f, BUF_WORK)};
    product(f, me, &a, role, i_layer, set);
}

static void output(const struct forward *f, const struct member *me)
{
    static const enum tensor_role role[] = {ROLE_OUTPUT};
    const struct model_config *c = f->c;
    const struct linear_out out = {
        .w = &f->w->output, .y = forward_buffer(f, BUF_LOGITS), .ld_y = c->n_vocab};
    const struct linear_args a = {.in = LINEAR_IN_RMSNORM,
                                  .x = forward_buffer(f, BUF_X),
                                  .ld_x = c->d_model,
                                  .norm = f->w->output_norm,
                                  .eps = c->norm_eps,
                                  .n_tok = f->n_rows[ROWS_LOGITS],
                                  .k = c->d_model,
                                  .out = &out,
                                  .n_out = 1,
                                  .work = forward_buffer(f, BUF_WORK)};
    product(f, me, &a, role, -1, ROWS_LOGITS);
}

static void embed(const struct forward *f, const struct member *me)
{
    const struct model_config *c = f->c;
    const int32_t *token = f->device ? forward_buffer(f, BUF_TOKEN) : f->batch->token;
    const int32_t *pos = f->device ? forward_buffer(f, BUF_POS) : f->batch->pos;
    f->ops->embed(me, forward_buffer(f, BUF_X), c->d_model, &f->w->token_embd, token,
                  f->batch->n_tok);
    f->ops->rope_table(me, forward_buffer(f, BUF_COS_SIN), pos, f->batch->n_tok,
                       forward_buffer(f, BUF_INV_FREQ), c->d_head / 2);
    team_barrier(me);
}

/* Ends with the keys and values of the layer in the cache and attention's y for all tokens. */
static void attention_half(const struct forward *f, const struct member *me, int32_t i_layer)
{
    project_qkv(f, me, i_layer);
    team_barrier(me);
    rotate_and_store(f, me, i_layer);
    team_barrier(me);
    attend(f, me, i_layer);
    team_barrier(me);
}

static void feed_forward_half(const struct forward *f, const struct member *me, int32_t i_layer,
                              enum row_set set)
{
    project_out(f, me, i_layer, set);
    team_barrier(me);
    feed_forward_in(f, me, i_layer, set);
    team_barrier(me);
    feed_forward_out(f, me, i_layer, set);
    team_barrier(me);
}

static void keep_wanted(const struct forward *f, const struct member *me)
{
    const int32_t *wanted = forward_buffer(f, BUF_WANTED);
    const int64_t n_q = (int64_t)f->c->n_heads * f->c->d_head;
    f->ops->gather(me, forward_buffer(f, BUF_X), f->c->d_model, wanted, f->n_rows[ROWS_WANTED]);
    f->ops->gather(me, forward_buffer(f, BUF_Y), n_q, wanted, f->n_rows[ROWS_WANTED]);
    team_barrier(me);
}

/* The states of all wanted rows; then only those that want logits stay in x. */
static void keep_states(const struct forward *f, const struct member *me)
{
    const int64_t d = f->c->d_model;
    float *x = forward_buffer(f, BUF_X), *states = forward_buffer(f, BUF_GATE);
    f->ops->rmsnorm(me, states, d, x, d, f->w->output_norm, f->n_rows[ROWS_WANTED], d,
                    f->c->norm_eps);
    team_barrier(me);
    f->ops->gather(me, x, d, forward_buffer(f, BUF_LOGIT_OF), f->n_rows[ROWS_LOGITS]);
    f->ops->find_damage(me, states, f->n_rows[ROWS_WANTED] * d, forward_buffer(f, BUF_DAMAGE));
    team_barrier(me);
}

void forward_step(const struct member *me, void *arg)
{
    const struct forward *f = arg;
    const int32_t n_layers = f->c->n_layers;
    embed(f, me);
    for (int32_t i = 0; i + 1 < n_layers; i++) {
        attention_half(f, me, i);
        feed_forward_half(f, me, i, ROWS_ALL);
    }
    attention_half(f, me, n_layers - 1);
    if (f->observer) feed_forward_half(f, me, n_layers - 1, ROWS_ALL); /* it wants all rows */
    if (f->n_rows[ROWS_WANTED] == 0) return;
    keep_wanted(f, me);
    if (!f->observer) feed_forward_half(f, me, n_layers - 1, ROWS_WANTED);
    if (f->has_states) keep_states(f, me);
    if (f->n_rows[ROWS_LOGITS] == 0) return;
    output(f, me);
    team_barrier(me);
    f->ops->find_damage(me, forward_buffer(f, BUF_LOGITS),
                        (int64_t)f->n_rows[ROWS_LOGITS] * f->c->n_vocab,
                        forward_buffer(f, BUF_DAMAGE));
}
