/* SPDX-License-Identifier: Apache-2.0
 *
 * forward.c - a ragged batch through all layers: spec/llama3.md 1.4, read top to bottom in step().
 *
 * All members of the team run step() together; each operator shares its rows or columns out
 * itself (tensor/ops.h), and a barrier stands where the next operator reads what another member
 * wrote. Norms and SwiGLU are done by linear() while it reads its input, so a layer is
 *
 *     q, k, v = W norm(x) | rotate, store | attention | x += Wo y | gate, up = W norm(x) |
 *     x += Wd (silu(gate) up)
 *
 * with a barrier at each bar: six a layer, and no buffer for anything normed. With an observer the
 * inputs of products must exist, so the same steps go through `seen`, one barrier more each.
 *
 * After the last attention only the tokens matter of which something is wanted, logits or the last
 * state: their rows of x and y are moved together, and the rest of the last layer, the final norm
 * and the output run on these alone. (A prompt of 512 tokens wants one row: that saves two thirds
 * of a layer, and 511 rows of the output product, which for a small model is a third of the step.)
 *
 * Everything a step touches is planned by forward_new(); forward_run() checks the batch against
 * the model and the cache first, so members never fail. Weights from damaged files may hold NaN:
 * logits that are not finite are reported, since a sampler has nothing to choose from.
 *
 * Not here: chunks of long prompts, which sequences run (infer/). Begin reading at step().
 */
#include "model/forward.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/os.h"
#include "model/lora_apply.h"
#include "tensor/half.h"

#define ALIGN ((size_t)64)
enum { MAX_BATCH_TOK = 1 << 20, MAX_OUTS = 3, COPY_GRAIN = 16 };

enum buffer {
    BUF_X,        /* [n_tok, d_model] the residual stream */
    BUF_Q,        /* [n_tok, n_heads, d_head] */
    BUF_K,        /* [n_tok, n_kv_heads, d_head] */
    BUF_V,        /* the same */
    BUF_Y,        /* [n_tok, n_heads, d_head] what attention gives */
    BUF_GATE,     /* [n_tok, d_ff]; at the end the states, [n_tok, d_model] */
    BUF_UP,       /* [n_tok, d_ff] */
    BUF_COS_SIN,  /* [n_tok, d_head / 2, 2] */
    BUF_LOGITS,   /* [n_logit_rows, n_vocab] */
    BUF_INV_FREQ, /* double [d_head / 2] */
    BUF_SPAN,     /* struct span [n_tok] */
    BUF_OLD_LEN,  /* int32 [n_tok]: length of each span's sequence before the step */
    BUF_WANTED,   /* int32 [n_tok] token of each row that is wanted */
    BUF_LOGIT_OF, /* int32 [n_logit_rows] wanted row of each row of logits */
    BUF_WORK,     /* the operators' own */
    BUF_COUNT
};

struct plan {
    size_t at[BUF_COUNT];
    size_t all_bytes;
};

struct forward {
    const struct model *model;
    const struct model_config *c;
    const struct weights *w;
    const struct ops *ops;
    struct team *team;
    int32_t max_batch_tok, max_logit_rows, max_pos;
    bool is_exact; /* products are in float: attention is, too */
    struct plan plan;
    char *memory;

    forward_observer *observer;
    void *observer_user;
    float *seen; /* [max_batch_tok, max(d_model, d_ff)]; NULL while nobody observes */

    /* this step */
    const struct batch *batch;
    struct kv_cache *kv;
    int32_t n_spans, n_rows[N_ROW_SETS];
    bool has_states;
    struct lora_step lora;  /* its memory is kept from step to step */
    atomic_bool is_damaged; /* a result is not finite; relaxed: read after team_run() */
};

/* ---- plan ---- */

static bool add_buffer(struct plan *p, enum buffer b, int64_t rows, int64_t cols, size_t elem)
{
    size_t n = 0;
    p->at[b] = p->all_bytes;
    return size_mul((size_t)rows, (size_t)cols, &n) && size_mul(n, elem, &n) &&
           size_add(n, ALIGN - 1, &n) && size_add(p->all_bytes, n & ~(ALIGN - 1), &p->all_bytes);
}

static size_t size_max(size_t a, size_t b) { return a > b ? a : b; }

/* Operators need not want more for more tokens (another path may take over), so every count is
 * asked for. */
static size_t work_bytes(const struct model_config *c, const struct ops *ops, int n_threads,
                         int32_t max_tok, int32_t max_pos)
{
    const int64_t n_q = (int64_t)c->n_heads * c->d_head;
    size_t n = 0;
    for (int32_t t = 1; t <= max_tok; t++) {
        n = size_max(n, ops->work_bytes(t, c->d_model, n_threads));
        n = size_max(n, ops->work_bytes(t, n_q, n_threads));
        n = size_max(n, ops->work_bytes(t, c->d_ff, n_threads));
        n = size_max(n, ops->attention_work_bytes(t, c->n_heads, c->d_head, max_pos, n_threads));
    }
    return n;
}

static bool make_plan(struct plan *p, const struct model_config *c, const struct ops *ops,
                      int n_threads, int32_t max_tok, int32_t max_rows, int32_t max_pos)
{
    const int64_t n_q = (int64_t)c->n_heads * c->d_head;
    const int64_t n_kv = (int64_t)c->n_kv_heads * c->d_head;
    const size_t f = sizeof(float), work = work_bytes(c, ops, n_threads, max_tok, max_pos);
    *p = (struct plan){0};
    return add_buffer(p, BUF_X, max_tok, c->d_model, f) && add_buffer(p, BUF_Q, max_tok, n_q, f) &&
           add_buffer(p, BUF_K, max_tok, n_kv, f) && add_buffer(p, BUF_V, max_tok, n_kv, f) &&
           add_buffer(p, BUF_Y, max_tok, n_q, f) &&
           add_buffer(p, BUF_GATE, max_tok, c->d_ff > c->d_model ? c->d_ff : c->d_model, f) &&
           add_buffer(p, BUF_UP, max_tok, c->d_ff, f) &&
           add_buffer(p, BUF_COS_SIN, max_tok, c->d_head, f) &&
           add_buffer(p, BUF_LOGITS, max_rows, c->n_vocab, f) &&
           add_buffer(p, BUF_INV_FREQ, 1, c->d_head / 2, sizeof(double)) &&
           add_buffer(p, BUF_SPAN, max_tok, 1, sizeof(struct span)) &&
           add_buffer(p, BUF_OLD_LEN, max_tok, 1, sizeof(int32_t)) &&
           add_buffer(p, BUF_WANTED, max_tok, 1, sizeof(int32_t)) &&
           add_buffer(p, BUF_LOGIT_OF, max_rows, 1, sizeof(int32_t)) &&
           add_buffer(p, BUF_WORK, 1, (int64_t)work, 1);
}

static void *buffer(const struct forward *f, enum buffer b) { return f->memory + f->plan.at[b]; }

/* ---- one step, by every member ---- */

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
        {.w = &w->wq, .bias = w->bq, .y = buffer(f, BUF_Q), .ld_y = n_q},
        {.w = &w->wk, .bias = w->bk, .y = buffer(f, BUF_K), .ld_y = n_kv},
        {.w = &w->wv, .bias = w->bv, .y = buffer(f, BUF_V), .ld_y = n_kv},
    };
    const struct linear_args a = {
        .in = LINEAR_IN_RMSNORM,
        .x = buffer(f, BUF_X),
        .ld_x = c->d_model,
        .norm = w->attn_norm,
        .eps = c->norm_eps,
        .n_tok = f->batch->n_tok,
        .k = c->d_model,
        .out = out,
        .n_out = 3,
        .work = buffer(f, BUF_WORK),
    };
    product(f, me, &a, role, i_layer, ROWS_ALL);
}

static void rotate_and_store(const struct forward *f, const struct member *me, int32_t i_layer)
{
    const struct model_config *c = f->c;
    const struct rope_args a = {
        .pairs = c->rope_pairs,
        .q = buffer(f, BUF_Q),
        .k = buffer(f, BUF_K),
        .v = buffer(f, BUF_V),
        .ld_q = (int64_t)c->n_heads * c->d_head,
        .ld_k = (int64_t)c->n_kv_heads * c->d_head,
        .ld_v = (int64_t)c->n_kv_heads * c->d_head,
        .n_heads = c->n_heads,
        .cos_sin = buffer(f, BUF_COS_SIN),
        .span = buffer(f, BUF_SPAN),
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
        .y = buffer(f, BUF_Y),
        .q = buffer(f, BUF_Q),
        .ld_y = (int64_t)c->n_heads * c->d_head,
        .ld_q = (int64_t)c->n_heads * c->d_head,
        .n_heads = c->n_heads,
        .scale = 1.0f / sqrtf((float)c->d_head),
        .span = buffer(f, BUF_SPAN),
        .n_spans = f->n_spans,
        .n_tok = f->batch->n_tok,
        .kv = kv_cache_layer(f->kv, i_layer),
        .is_exact = f->is_exact,
        .work = buffer(f, BUF_WORK),
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
    const struct linear_out out = {
        .w = &w->wo, .bias = w->bo, .y = buffer(f, BUF_X), .ld_y = c->d_model, .is_added = true};
    const struct linear_args a = {.in = LINEAR_IN_PLAIN,
                                  .x = buffer(f, BUF_Y),
                                  .ld_x = n_q,
                                  .n_tok = f->n_rows[set],
                                  .k = n_q,
                                  .out = &out,
                                  .n_out = 1,
                                  .work = buffer(f, BUF_WORK)};
    product(f, me, &a, role, i_layer, set);
}

static void feed_forward_in(const struct forward *f, const struct member *me, int32_t i_layer,
                            enum row_set set)
{
    static const enum tensor_role role[] = {ROLE_GATE, ROLE_UP};
    const struct model_config *c = f->c;
    const struct layer_weights *w = &f->w->layer[i_layer];
    const struct linear_out out[] = {
        {.w = &w->gate, .bias = w->bgate, .y = buffer(f, BUF_GATE), .ld_y = c->d_ff},
        {.w = &w->up, .bias = w->bup, .y = buffer(f, BUF_UP), .ld_y = c->d_ff},
    };
    const struct linear_args a = {.in = LINEAR_IN_RMSNORM,
                                  .x = buffer(f, BUF_X),
                                  .ld_x = c->d_model,
                                  .norm = w->ffn_norm,
                                  .eps = c->norm_eps,
                                  .n_tok = f->n_rows[set],
                                  .k = c->d_model,
                                  .out = out,
                                  .n_out = 2,
                                  .work = buffer(f, BUF_WORK)};
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
                                   .y = buffer(f, BUF_X),
                                   .ld_y = c->d_model,
                                   .is_added = true};
    const struct linear_args a = {.in = LINEAR_IN_SWIGLU,
                                  .x = buffer(f, BUF_GATE),
                                  .x2 = buffer(f, BUF_UP),
                                  .ld_x = c->d_ff,
                                  .n_tok = f->n_rows[set],
                                  .k = c->d_ff,
                                  .out = &out,
                                  .n_out = 1,
                                  .work = buffer(f, BUF_WORK)};
    product(f, me, &a, role, i_layer, set);
}

/* Moves n_kept rows of width n to the front. Each member moves its own columns, row by row: a row
 * only moves forward, past rows that have moved already, so no one waits for anyone. */
static void gather(const struct member *me, float *rows, int64_t n, const int32_t *kept,
                   int32_t n_kept)
{
    int64_t begin = 0, end = 0;
    team_share(me, n, COPY_GRAIN, &begin, &end);
    for (int32_t i = 0; i < n_kept; i++)
        if (kept[i] != i && end > begin)
            memcpy(rows + i * n + begin, rows + kept[i] * n + begin,
                   (size_t)(end - begin) * sizeof *rows);
}

static void output(const struct forward *f, const struct member *me)
{
    static const enum tensor_role role[] = {ROLE_OUTPUT};
    const struct model_config *c = f->c;
    const struct linear_out out = {
        .w = &f->w->output, .y = buffer(f, BUF_LOGITS), .ld_y = c->n_vocab};
    const struct linear_args a = {.in = LINEAR_IN_RMSNORM,
                                  .x = buffer(f, BUF_X),
                                  .ld_x = c->d_model,
                                  .norm = f->w->output_norm,
                                  .eps = c->norm_eps,
                                  .n_tok = f->n_rows[ROWS_LOGITS],
                                  .k = c->d_model,
                                  .out = &out,
                                  .n_out = 1,
                                  .work = buffer(f, BUF_WORK)};
    product(f, me, &a, role, -1, ROWS_LOGITS);
}

/* An exponent of all ones is infinity or NaN; without a branch, so that the loop is vectorised. */
static void check_finite(struct forward *f, const struct member *me, const float *x, int64_t n)
{
    int64_t begin = 0, end = 0;
    uint32_t is_bad = 0;
    team_share(me, n, COPY_GRAIN, &begin, &end);
    for (int64_t i = begin; i < end; i++)
        is_bad |= (uint32_t)((f32_bits(x[i]) & 0x7f800000u) == 0x7f800000u);
    if (is_bad) atomic_store_explicit(&f->is_damaged, true, memory_order_relaxed);
}

static void embed(const struct forward *f, const struct member *me)
{
    const struct model_config *c = f->c;
    f->ops->embed(me, buffer(f, BUF_X), c->d_model, &f->w->token_embd, f->batch->token,
                  f->batch->n_tok);
    f->ops->rope_table(me, buffer(f, BUF_COS_SIN), f->batch->pos, f->batch->n_tok,
                       buffer(f, BUF_INV_FREQ), c->d_head / 2);
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
    const int32_t *wanted = buffer(f, BUF_WANTED);
    const int64_t n_q = (int64_t)f->c->n_heads * f->c->d_head;
    gather(me, buffer(f, BUF_X), f->c->d_model, wanted, f->n_rows[ROWS_WANTED]);
    gather(me, buffer(f, BUF_Y), n_q, wanted, f->n_rows[ROWS_WANTED]);
    team_barrier(me);
}

/* The states of all wanted rows; then only those that want logits stay in x. */
static void keep_states(struct forward *f, const struct member *me)
{
    const int64_t d = f->c->d_model;
    float *x = buffer(f, BUF_X), *states = buffer(f, BUF_GATE);
    f->ops->rmsnorm(me, states, d, x, d, f->w->output_norm, f->n_rows[ROWS_WANTED], d,
                    f->c->norm_eps);
    team_barrier(me);
    gather(me, x, d, buffer(f, BUF_LOGIT_OF), f->n_rows[ROWS_LOGITS]);
    check_finite(f, me, states, f->n_rows[ROWS_WANTED] * d);
    team_barrier(me);
}

static void step(const struct member *me, void *arg)
{
    struct forward *f = arg;
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
    check_finite(f, me, buffer(f, BUF_LOGITS), (int64_t)f->n_rows[ROWS_LOGITS] * f->c->n_vocab);
}

/* ---- the batch ---- */

static bool check_tokens(const struct forward *f, const struct batch *b, struct err *err)
{
    if (b->n_tok < 1 || b->n_tok > f->max_batch_tok)
        return err_set(err, ERR_LIMIT, "a batch of %" PRId32 " tokens is not within 1..%" PRId32,
                       b->n_tok, f->max_batch_tok);
    for (int32_t i = 0; i < b->n_tok; i++)
        if (b->token[i] < 0 || b->token[i] >= f->c->n_vocab)
            return err_set(err, ERR_LIMIT,
                           "token %" PRId32 " of the batch: id %" PRId32
                           " is not within 0..%" PRId32 "; use this model's own tokenizer",
                           i, b->token[i], f->c->n_vocab - 1);
    return true;
}

static bool is_run_end(const struct batch *b, int32_t i)
{
    return i + 1 == b->n_tok || b->seq[i + 1] != b->seq[i];
}

static unsigned wants(const struct batch *b, int32_t i)
{
    if (b->wants) return b->wants[i];
    return is_run_end(b, i) ? WANT_LOGITS : WANT_NOTHING;
}

static bool list_wanted(struct forward *f, const struct batch *b, struct err *err)
{
    int32_t *wanted = buffer(f, BUF_WANTED), *logit_of = buffer(f, BUF_LOGIT_OF);
    f->n_rows[ROWS_ALL] = b->n_tok;
    f->n_rows[ROWS_WANTED] = f->n_rows[ROWS_LOGITS] = 0;
    f->has_states = false;
    for (int32_t i = 0; i < b->n_tok; i++) {
        const unsigned want = wants(b, i);
        if (want == WANT_NOTHING) continue;
        if (want & WANT_STATE) f->has_states = true;
        if (want & WANT_LOGITS) {
            if (f->n_rows[ROWS_LOGITS] == f->max_logit_rows)
                return err_set(err, ERR_LIMIT, "logits of more than %" PRId32 " tokens are wanted",
                               f->max_logit_rows);
            logit_of[f->n_rows[ROWS_LOGITS]++] = f->n_rows[ROWS_WANTED];
        }
        wanted[f->n_rows[ROWS_WANTED]++] = i;
    }
    return true;
}

/* Neighbours with the same adapter, in all three sets of rows. */
static bool list_lora(struct forward *f, const struct batch *b, struct err *err)
{
    struct lora_step *s = &f->lora;
    struct lora_run *run = NULL;
    int32_t row[N_ROW_SETS] = {0};
    s->n_runs = 0;
    for (int32_t i = 0; b->lora && i < b->n_tok; i++) {
        const struct lora *l = b->lora[i];
        const unsigned want = wants(b, i);
        const bool is_in[] = {true, want != WANT_NOTHING, (want & WANT_LOGITS) != 0};
        if (l && !s->in)
            return err_set(err, ERR_USAGE, "an adapter in a batch of an engine that takes none");
        if (l && (!run || run->lora != l || run->begin[0] + run->n[0] != i)) {
            run = &s->run[s->n_runs++];
            *run = (struct lora_run){.lora = l};
            memcpy(run->begin, row, sizeof row);
        }
        for (int k = 0; k < N_ROW_SETS; k++) {
            row[k] += is_in[k];
            if (l) run->n[k] += is_in[k];
        }
    }
    return true;
}

/* Cuts the batch into spans. Positions must continue: each is the one before plus 1, the first of
 * a run is its sequence's length (its earlier runs in this batch counted: see reserve_spans). */
static bool list_spans(struct forward *f, const struct kv_cache *kv, const struct batch *b,
                       struct err *err)
{
    struct span *span = buffer(f, BUF_SPAN);
    int32_t n = 0, begin = 0;
    for (int32_t i = 0; i < b->n_tok; i++) {
        if (!kv_cache_has_seq(kv, b->seq[i]))
            return err_set(err, ERR_LIMIT,
                           "token %" PRId32 " of the batch: sequence %" PRId32 " is not open", i,
                           b->seq[i]);
        if (b->pos[i] < 0 || b->pos[i] >= f->max_pos)
            return err_set(err, ERR_LIMIT,
                           "token %" PRId32 " of the batch: position %" PRId32
                           " is not within 0..%" PRId32 "; use a larger context",
                           i, b->pos[i], f->max_pos - 1);
        if (b->pos[i] != b->pos[begin] + (i - begin))
            return err_set(err, ERR_LIMIT,
                           "token %" PRId32 " of the batch: position %" PRId32
                           " does not follow %" PRId32,
                           i, b->pos[i], b->pos[i - 1]);
        if (!is_run_end(b, i)) continue;
        span[n] = (struct span){.begin = begin, .n = i + 1 - begin, .pos = b->pos[begin]};
        n++;
        begin = i + 1;
    }
    f->n_spans = n;
    return true;
}

static void unreserve_spans(struct forward *f, struct kv_cache *kv, const struct batch *b,
                            int32_t n)
{
    const struct span *span = buffer(f, BUF_SPAN);
    const int32_t *old = buffer(f, BUF_OLD_LEN);
    while (n-- > 0) kv_cache_trim(kv, b->seq[span[n].begin], old[n]);
}

/* All sequences get their pages, or each is as long as before. */
static bool reserve_spans(struct forward *f, struct kv_cache *kv, const struct batch *b,
                          struct err *err)
{
    struct span *span = buffer(f, BUF_SPAN);
    int32_t *old = buffer(f, BUF_OLD_LEN);
    for (int32_t i = 0; i < f->n_spans; i++) {
        const int32_t seq = b->seq[span[i].begin];
        bool ok = true;
        old[i] = kv_cache_length(kv, seq);
        if (span[i].pos != old[i])
            ok = err_set(err, ERR_LIMIT,
                         "sequence %" PRId32 " has %" PRId32
                         " positions in the cache, the batch goes on at %" PRId32,
                         seq, old[i], span[i].pos);
        ok = ok && kv_cache_reserve(kv, seq, span[i].pos, span[i].n, err);
        if (!ok) {
            unreserve_spans(f, kv, b, i);
            return false;
        }
    }
    for (int32_t i = 0; i < f->n_spans; i++)
        span[i].pages = kv_cache_pages(kv, b->seq[span[i].begin]);
    return true;
}

static bool check_observer(const struct forward *f, struct err *err)
{
    if (!f->observer || f->seen) return true;
    return err_set(err, ERR_MEMORY,
                   "no memory to observe a batch of %" PRId32 " tokens; use a smaller batch",
                   f->max_batch_tok);
}

bool forward_run(struct forward *f, struct kv_cache *kv, const struct batch *b,
                 const float **logits, int32_t *n_rows, struct err *err)
{
    const struct kv_layer *l = kv_cache_layer(kv, 0);
    assert(l->d_head == f->c->d_head && l->n_kv_heads == f->c->n_kv_heads);
    (void)l;
    if (!check_tokens(f, b, err) || !check_observer(f, err) || !list_spans(f, kv, b, err) ||
        !list_wanted(f, b, err) || !list_lora(f, b, err) || !reserve_spans(f, kv, b, err))
        return false;
    f->batch = b;
    f->kv = kv;
    atomic_store_explicit(&f->is_damaged, false, memory_order_relaxed);
    team_run(f->team, step, f);
    f->batch = NULL;
    if (atomic_load_explicit(&f->is_damaged, memory_order_relaxed)) {
        unreserve_spans(f, kv, b, f->n_spans);
        return err_set(err, ERR_FORMAT,
                       "%s: the weights give numbers that are not finite; fetch the file again",
                       model_info(f->model)->path);
    }
    *logits = buffer(f, BUF_LOGITS);
    *n_rows = f->n_rows[ROWS_LOGITS];
    return true;
}

const float *forward_states(const struct forward *f) { return buffer(f, BUF_GATE); }

/* ---- life ---- */

/* Weights of more bits than bfloat16 has. */
static bool has_exact_weights(const struct weights *w)
{
    const enum dtype t = w->layer[0].wq.dtype;
    return t == DT_F32 || t == DT_F16;
}

size_t forward_plan_bytes(const struct model_config *c, const struct ops *ops, int n_threads,
                          int32_t max_batch_tok, int32_t max_logit_rows, int32_t max_pos)
{
    struct plan p;
    if (!make_plan(&p, c, ops, n_threads, max_batch_tok, max_logit_rows, max_pos)) return SIZE_MAX;
    return p.all_bytes;
}

static bool make_memory(struct forward *f, struct err *err)
{
    const size_t n = f->plan.all_bytes;
    const uint64_t available = os_memory_available();
    if (n <= available) f->memory = os_big_alloc(n);
    if (f->memory) return true;
    return err_set(err, ERR_MEMORY,
                   "a step of %" PRId32 " tokens with %" PRId32
                   " rows of logits wants %zu MiB, %" PRIu64
                   " MiB are available; use a smaller batch or context",
                   f->max_batch_tok, f->max_logit_rows, n >> 20, available >> 20);
}

struct forward *forward_new(const struct model *m, const struct ops *ops, struct team *team,
                            int32_t max_batch_tok, int32_t max_logit_rows, int32_t max_pos,
                            struct err *err)
{
    const struct model_config *c = model_config(m);
    if (max_batch_tok < 1 || max_batch_tok > MAX_BATCH_TOK || max_logit_rows < 1 ||
        max_logit_rows > MAX_BATCH_TOK || max_pos < 1) {
        err_set(err, ERR_LIMIT,
                "a batch of %" PRId32 " tokens with %" PRId32 " rows of logits and %" PRId32
                " positions is not within 1..%d, 1..%d and 1..2^31",
                max_batch_tok, max_logit_rows, max_pos, MAX_BATCH_TOK, MAX_BATCH_TOK);
        return NULL;
    }
    struct forward *f = calloc(1, sizeof *f);
    if (!f) {
        err_set(err, ERR_MEMORY, "no memory for a forward pass; free memory");
        return NULL;
    }
    *f = (struct forward){.model = m,
                          .c = c,
                          .w = model_weights(m),
                          .ops = ops,
                          .team = team,
                          .max_batch_tok = max_batch_tok,
                          .max_logit_rows = max_logit_rows,
                          .max_pos = max_pos,
                          .is_exact = has_exact_weights(model_weights(m))};
    if (!make_plan(&f->plan, c, ops, team_size(team), max_batch_tok, max_logit_rows, max_pos))
        f->plan.all_bytes = SIZE_MAX; /* wider than any memory: refused as such */
    if (!make_memory(f, err)) {
        free(f);
        return NULL;
    }
    config_inv_freq(c, max_pos, buffer(f, BUF_INV_FREQ));
    return f;
}

static size_t seen_bytes(const struct forward *f)
{
    const int32_t d = f->c->d_ff > f->c->d_model ? f->c->d_ff : f->c->d_model;
    return (size_t)f->max_batch_tok * (size_t)d *
           sizeof(float); /* less than the plan, which fits */
}

static int64_t lora_width(const struct model_config *c)
{
    const int64_t n_q = (int64_t)c->n_heads * c->d_head;
    const int64_t d = c->d_ff > c->d_model ? c->d_ff : c->d_model;
    return (d > n_q ? d : n_q);
}

size_t forward_lora_bytes(const struct model_config *c, int32_t max_batch_tok)
{
    const size_t floats = (size_t)lora_width(c) + (size_t)LORA_MID;
    return (size_t)max_batch_tok * (floats * sizeof(float) + sizeof(struct lora_run));
}

bool forward_take_lora(struct forward *f, struct err *err)
{
    struct lora_step *s = &f->lora;
    const size_t n = (size_t)f->max_batch_tok;
    s->ld_in = lora_width(f->c);
    s->in = os_big_alloc(n * (size_t)s->ld_in * sizeof(float));
    s->mid = os_big_alloc(n * LORA_MID * sizeof(float));
    s->run = calloc(n, sizeof *s->run);
    return (s->in && s->mid && s->run) ||
           err_set(err, ERR_MEMORY, "no memory for adapters in batches of %" PRId32 " tokens",
                   f->max_batch_tok);
}

static void free_lora(struct forward *f)
{
    const size_t n = (size_t)f->max_batch_tok * sizeof(float);
    if (f->lora.in) os_big_free(f->lora.in, n * (size_t)f->lora.ld_in);
    if (f->lora.mid) os_big_free(f->lora.mid, n * LORA_MID);
    free(f->lora.run);
}

void forward_free(struct forward *f)
{
    if (!f) return;
    free_lora(f);
    forward_observe(f, NULL, NULL);
    os_big_free(f->memory, f->plan.all_bytes);
    free(f);
}

size_t forward_bytes(const struct forward *f) { return f->plan.all_bytes; }

void forward_observe(struct forward *f, forward_observer *fn, void *user)
{
    f->observer = fn;
    f->observer_user = user;
    if (fn && !f->seen) f->seen = os_big_alloc(seen_bytes(f)); /* NULL: forward_run() says so */
    if (!fn && f->seen) {
        os_big_free(f->seen, seen_bytes(f));
        f->seen = NULL;
    }
}
