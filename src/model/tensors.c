/* SPDX-License-Identifier: Apache-2.0
 *
 * tensors.c - the table of a Llama model's tensors (spec/llama3.md 1.6 and 1.7, inference.md d3).
 *
 * Whoever loads, writes, splits, counts or quantizes a model walks these rows, so that a tensor is
 * added in one place. Meta's files have no biases. The split column is how Meta's model-parallel
 * shards cut a matrix: by rows where the product's outputs are spread over the ranks, by columns
 * where its inputs are; norms are the same in each shard. Llama 1 and 2 cut the embedding by
 * columns, Llama 3 by rows: load_meta.c tells them apart by the shape.
 *
 * Begin reading at tensor_rows_table.
 */
#include "model/tensors.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

#define TOP(field) offsetof(struct weights, field)
#define IN(field) offsetof(struct layer_weights, field)
#define HF "model.layers.%d."

const struct tensor_row tensor_rows_table[ROLE_COUNT] = {
    /* clang-format off */
    /* role             GGUF                      Hugging Face                            Meta                              rows       cols       layer  rotated need              split       slot */
    {ROLE_TOKEN_EMBD,  "token_embd.weight",      "model.embed_tokens.weight",            "tok_embeddings.weight",           DIM_VOCAB, DIM_MODEL, false, false, NEED_ALWAYS,      SPLIT_ROWS, TOP(token_embd)},
    {ROLE_OUTPUT_NORM, "output_norm.weight",     "model.norm.weight",                    "norm.weight",                     DIM_NONE,  DIM_MODEL, false, false, NEED_ALWAYS,      SPLIT_NONE, TOP(output_norm)},
    {ROLE_OUTPUT,      "output.weight",          "lm_head.weight",                       "output.weight",                   DIM_VOCAB, DIM_MODEL, false, false, NEED_UNLESS_TIED, SPLIT_ROWS, TOP(output)},
    {ROLE_ATTN_NORM,   "blk.%d.attn_norm.weight",   HF "input_layernorm.weight",          "layers.%d.attention_norm.weight",  DIM_NONE,  DIM_MODEL, true,  false, NEED_ALWAYS,      SPLIT_NONE, IN(attn_norm)},
    {ROLE_WQ,          "blk.%d.attn_q.weight",      HF "self_attn.q_proj.weight",         "layers.%d.attention.wq.weight",    DIM_Q,     DIM_MODEL, true,  true,  NEED_ALWAYS,      SPLIT_ROWS, IN(wq)},
    {ROLE_WK,          "blk.%d.attn_k.weight",      HF "self_attn.k_proj.weight",         "layers.%d.attention.wk.weight",    DIM_KV,    DIM_MODEL, true,  true,  NEED_ALWAYS,      SPLIT_ROWS, IN(wk)},
    {ROLE_WV,          "blk.%d.attn_v.weight",      HF "self_attn.v_proj.weight",         "layers.%d.attention.wv.weight",    DIM_KV,    DIM_MODEL, true,  false, NEED_ALWAYS,      SPLIT_ROWS, IN(wv)},
    {ROLE_WO,          "blk.%d.attn_output.weight", HF "self_attn.o_proj.weight",         "layers.%d.attention.wo.weight",    DIM_MODEL, DIM_Q,     true,  false, NEED_ALWAYS,      SPLIT_COLS, IN(wo)},
    {ROLE_BQ,          "blk.%d.attn_q.bias",        HF "self_attn.q_proj.bias",           NULL,                               DIM_NONE,  DIM_Q,     true,  true,  NEED_ATTN_BIAS,   SPLIT_NONE, IN(bq)},
    {ROLE_BK,          "blk.%d.attn_k.bias",        HF "self_attn.k_proj.bias",           NULL,                               DIM_NONE,  DIM_KV,    true,  true,  NEED_ATTN_BIAS,   SPLIT_NONE, IN(bk)},
    {ROLE_BV,          "blk.%d.attn_v.bias",        HF "self_attn.v_proj.bias",           NULL,                               DIM_NONE,  DIM_KV,    true,  false, NEED_ATTN_BIAS,   SPLIT_NONE, IN(bv)},
    {ROLE_BO,          "blk.%d.attn_output.bias",   HF "self_attn.o_proj.bias",           NULL,                               DIM_NONE,  DIM_MODEL, true,  false, NEED_ATTN_BIAS,   SPLIT_NONE, IN(bo)},
    {ROLE_FFN_NORM,    "blk.%d.ffn_norm.weight",    HF "post_attention_layernorm.weight", "layers.%d.ffn_norm.weight",        DIM_NONE,  DIM_MODEL, true,  false, NEED_ALWAYS,      SPLIT_NONE, IN(ffn_norm)},
    {ROLE_GATE,        "blk.%d.ffn_gate.weight",    HF "mlp.gate_proj.weight",            "layers.%d.feed_forward.w1.weight", DIM_FF,    DIM_MODEL, true,  false, NEED_ALWAYS,      SPLIT_ROWS, IN(gate)},
    {ROLE_UP,          "blk.%d.ffn_up.weight",      HF "mlp.up_proj.weight",              "layers.%d.feed_forward.w3.weight", DIM_FF,    DIM_MODEL, true,  false, NEED_ALWAYS,      SPLIT_ROWS, IN(up)},
    {ROLE_DOWN,        "blk.%d.ffn_down.weight",    HF "mlp.down_proj.weight",            "layers.%d.feed_forward.w2.weight", DIM_MODEL, DIM_FF,    true,  false, NEED_ALWAYS,      SPLIT_COLS, IN(down)},
    {ROLE_BGATE,       "blk.%d.ffn_gate.bias",      HF "mlp.gate_proj.bias",              NULL,                               DIM_NONE,  DIM_FF,    true,  false, NEED_MLP_BIAS,    SPLIT_NONE, IN(bgate)},
    {ROLE_BUP,         "blk.%d.ffn_up.bias",        HF "mlp.up_proj.bias",                NULL,                               DIM_NONE,  DIM_FF,    true,  false, NEED_MLP_BIAS,    SPLIT_NONE, IN(bup)},
    {ROLE_BDOWN,       "blk.%d.ffn_down.bias",      HF "mlp.down_proj.bias",              NULL,                               DIM_NONE,  DIM_MODEL, true,  false, NEED_MLP_BIAS,    SPLIT_NONE, IN(bdown)},
    /* clang-format on */
};

int64_t tensor_dim_size(const struct model_config *c, enum tensor_dim d)
{
    const int64_t size[] = {
        [DIM_NONE] = 1,
        [DIM_VOCAB] = c->n_vocab,
        [DIM_MODEL] = c->d_model,
        [DIM_Q] = (int64_t)c->n_heads * c->d_head,
        [DIM_KV] = (int64_t)c->n_kv_heads * c->d_head,
        [DIM_FF] = c->d_ff,
    };
    return size[d];
}

bool tensor_is_needed(const struct model_config *c, const struct tensor_row *r)
{
    const bool is_needed[] = {
        [NEED_ALWAYS] = true,
        [NEED_UNLESS_TIED] = !c->is_tied,
        [NEED_ATTN_BIAS] = c->has_attn_bias,
        [NEED_MLP_BIAS] = c->has_mlp_bias,
    };
    return is_needed[r->need];
}

int32_t tensor_copies(const struct model_config *c, const struct tensor_row *r)
{
    if (!tensor_is_needed(c, r)) return 0;
    return r->is_per_layer ? c->n_layers : 1;
}

void tensor_name(char out[TENSOR_NAME_BYTES], const char *pattern, int32_t i_layer)
{
    const char *at = strstr(pattern, "%d");
    const int n_before = at ? (int)(at - pattern) : (int)strlen(pattern);
    int n = 0;
    if (at)
        n = snprintf(out, TENSOR_NAME_BYTES, "%.*s%d%s", n_before, pattern, i_layer, at + 2);
    else
        n = snprintf(out, TENSOR_NAME_BYTES, "%s", pattern);
    assert(n > 0 && n < TENSOR_NAME_BYTES);
    (void)n;
}

bool tensor_name_is(const char *pattern, const char *name, int64_t *i_layer)
{
    const char *at = strstr(pattern, "%d");
    *i_layer = 0;
    if (!at) return strcmp(pattern, name) == 0;
    const size_t n_before = (size_t)(at - pattern);
    if (strncmp(pattern, name, n_before) != 0) return false;
    char *end = NULL;
    *i_layer = strtoll(name + n_before, &end, 10);
    return end != name + n_before && strcmp(end, at + 2) == 0;
}

void *weights_slot(struct weights *w, const struct tensor_row *r, int32_t i_layer)
{
    char *base = r->is_per_layer ? (char *)&w->layer[i_layer] : (char *)w;
    return base + r->slot;
}

static const void *slot_of(const struct weights *w, const struct tensor_row *r, int32_t i_layer)
{
    const char *base = r->is_per_layer ? (const char *)&w->layer[i_layer] : (const char *)w;
    return base + r->slot;
}

const struct tensor *weights_matrix(const struct weights *w, const struct tensor_row *r,
                                    int32_t i_layer)
{
    assert(r->rows != DIM_NONE);
    return slot_of(w, r, i_layer);
}

const float *weights_vector(const struct weights *w, const struct tensor_row *r, int32_t i_layer)
{
    assert(r->rows == DIM_NONE);
    return *(const float *const *)slot_of(w, r, i_layer);
}
