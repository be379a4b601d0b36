/* SPDX-License-Identifier: Apache-2.0
 *
 * export_plan.c - the list of tensors that an export writes: names, types, order of rows.
 *
 * Walks the one table of tensors, layer by layer, so that a model that is read while it still comes
 * over a slow disk is read front to back. Matrices are planned first: which type most weights get
 * decides how vectors are stored in a Hugging Face directory.
 *
 * Begin reading at export_plan().
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "model/export_parts.h"
#include "model/imatrix.h"
#include "tensor/half.h"

static enum rope_pairs wanted_pairs(const struct export_job *job)
{
    return job->opt->format == EXPORT_HF ? ROPE_HALVES : ROPE_ADJACENT;
}

/* ---- matrices ---- */

static enum dtype matrix_type(const struct export_job *job, const struct export_item *it)
{
    const bool is_plain = !dtype_info(it->src.dtype)->is_quantized;
    if (job->recipe)
        return quant_recipe_type(job->recipe, &job->m->config, it->row->role, it->i_layer,
                                 job->opt->imatrix != NULL, tensor_cols(&it->src));
    return job->opt->format == EXPORT_HF && !is_plain ? DT_BF16 : it->src.dtype;
}

static void plan_matrix(struct export_job *job, struct export_item *it)
{
    const struct model_config *c = &job->m->config;
    char name[TENSOR_NAME_BYTES];
    it->src = *weights_matrix(&job->m->weights, it->row, it->i_layer);
    it->to = matrix_type(job, it);
    it->is_reordered = it->row->is_rotated && c->rope_pairs != wanted_pairs(job);
    if (!job->opt->imatrix || !dtype_info(it->to)->is_quantized || it->to == it->src.dtype) return;
    tensor_name(name, it->row->gguf, it->i_layer);
    it->importance = imatrix_find(job->opt->imatrix, name, tensor_cols(&it->src));
}

/* ---- vectors ---- */

/* True if each float is a value of the plain type `t`. */
static bool fits_exactly(const float *v, int64_t n, enum dtype t)
{
    for (int64_t i = 0; i < n; i++) {
        float back = v[i];
        if (t == DT_F16) back = f16_to_f32(f16_from_f32(v[i]));
        if (t == DT_BF16) back = bf16_to_f32(bf16_from_f32(v[i]));
        if (f32_bits(back) != f32_bits(v[i])) return false;
    }
    return true;
}

/* The biases of q and k have an element a row of their matrix, and change places with them. */
static const float *reordered(const struct export_job *job, const float *v, int64_t n,
                              struct err *err)
{
    const int32_t d = job->m->config.d_head, half = d / 2;
    float *out = arena_array(job->arena, (size_t)n, sizeof *out, err);
    for (int64_t i = 0; out && i < n; i++) {
        const int64_t head = i - i % d, k = i % d;
        const bool to_halves = wanted_pairs(job) == ROPE_HALVES;
        out[i] = v[head + (to_halves ? 2 * (k % half) + k / half : k % 2 * half + k / 2)];
    }
    return out;
}

static bool plan_floats(const struct export_job *job, struct export_item *it, const float *v,
                        int64_t n, struct err *err)
{
    union { /* a tensor's data is never written through here */
        const float *in;
        void *out;
    } data = {.in = v};
    if (!tensor_make(&it->src, it->name, DT_F32, 1, &n, data.out, err)) return false;
    const bool is_short = job->opt->format == EXPORT_HF && fits_exactly(v, n, job->main_type);
    it->to = is_short ? job->main_type : DT_F32;
    return true;
}

static bool plan_vector(const struct export_job *job, struct export_item *it, struct err *err)
{
    const struct model_config *c = &job->m->config;
    const float *v = weights_vector(&job->m->weights, it->row, it->i_layer);
    const int64_t n = tensor_dim_size(c, it->row->cols);
    if (it->row->is_rotated && c->rope_pairs != wanted_pairs(job)) v = reordered(job, v, n, err);
    return v && plan_floats(job, it, v, n, err);
}

/* The divisors as the file had them, or by the formula (spec/llama3.md 1.5). */
static bool plan_rope_freqs(const struct export_job *job, struct export_item *it, struct err *err)
{
    const struct model_config *c = &job->m->config;
    const int32_t n = c->d_head / 2;
    if (c->rope_divisor) return plan_floats(job, it, c->rope_divisor, n, err);
    struct model_config plain = *c;
    plain.rope_scaling = ROPE_SCALING_NONE;
    float *divisor = arena_array(job->arena, (size_t)n, sizeof *divisor, err);
    double *scaled = arena_array(job->arena, (size_t)n, sizeof *scaled, err);
    double *unscaled = arena_array(job->arena, (size_t)n, sizeof *unscaled, err);
    if (!divisor || !scaled || !unscaled) return false;
    config_inv_freq(c, c->n_ctx, scaled);
    config_inv_freq(&plain, c->n_ctx, unscaled);
    for (int32_t i = 0; i < n; i++) divisor[i] = (float)(unscaled[i] / scaled[i]);
    return plan_floats(job, it, divisor, n, err);
}

/* ---- the list ---- */

static bool has_rope_freqs(const struct export_job *job)
{
    const struct model_config *c = &job->m->config;
    return job->opt->format == EXPORT_GGUF &&
           (c->rope_divisor || c->rope_scaling == ROPE_SCALING_LLAMA3);
}

static void add_item(struct export_job *job, const struct tensor_row *r, int32_t i_layer)
{
    struct export_item *it = &job->item[job->n_items++];
    *it = (struct export_item){.row = r, .i_layer = i_layer};
    if (r)
        tensor_name(it->name, job->opt->format == EXPORT_HF ? r->hf : r->gguf, i_layer);
    else
        snprintf(it->name, sizeof it->name, "rope_freqs.weight");
}

static void add_once(struct export_job *job, enum tensor_role role)
{
    if (tensor_copies(&job->m->config, &tensor_rows_table[role]))
        add_item(job, &tensor_rows_table[role], 0);
}

static bool list_items(struct export_job *job, struct err *err)
{
    const struct model_config *c = &job->m->config;
    size_t n = 1;
    for (size_t i = 0; i < ROLE_COUNT; i++) n += (size_t)tensor_copies(c, &tensor_rows_table[i]);
    job->item = arena_array(job->arena, n, sizeof *job->item, err);
    if (!job->item) return false;
    add_once(job, ROLE_TOKEN_EMBD);
    if (has_rope_freqs(job)) add_item(job, NULL, 0);
    for (int32_t l = 0; l < c->n_layers; l++)
        for (size_t i = 0; i < ROLE_COUNT; i++) {
            const struct tensor_row *r = &tensor_rows_table[i];
            if (r->is_per_layer && l < tensor_copies(c, r)) add_item(job, r, l);
        }
    add_once(job, ROLE_OUTPUT_NORM);
    add_once(job, ROLE_OUTPUT);
    return true;
}

static enum dtype main_type_of(const struct export_job *job)
{
    int64_t n[DT_COUNT] = {0};
    enum dtype most = DT_F32;
    for (size_t i = 0; i < job->n_items; i++) {
        const struct export_item *it = &job->item[i];
        if (it->src.n_dims == 2) n[it->to] += tensor_rows(&it->src) * tensor_cols(&it->src);
    }
    for (int t = 0; t < DT_COUNT; t++)
        if (n[t] > n[most]) most = (enum dtype)t;
    return most;
}

/* ---- what the user should know ---- */

static bool is_narrowed(const struct export_item *it)
{
    return dtype_info(it->to)->is_quantized && it->to != it->src.dtype;
}

static bool check_importance(const struct export_job *job, struct err *err)
{
    size_t n_wanted = 0, n_without = 0;
    const char *first = NULL;
    for (size_t i = 0; i < job->n_items; i++) {
        const struct export_item *it = &job->item[i];
        /* An embedding is looked up, not multiplied: it has no inputs. */
        if (!is_narrowed(it) || it->row->role == ROLE_TOKEN_EMBD || it->row->role == ROLE_OUTPUT)
            continue;
        n_wanted++;
        if (!it->importance && n_without++ == 0) first = it->name;
    }
    if (n_without && n_without == n_wanted)
        return err_set(err, ERR_USAGE,
                       "the importance matrix has no entry of this model's shape (%s is the first "
                       "that is missing); use one that was made with this model",
                       first);
    if (n_without)
        log_warn("%zu of %zu matrices are not in the importance matrix, the first is %s", n_without,
                 n_wanted, first);
    return true;
}

static void warn_of_second_rounding(const struct export_job *job)
{
    for (size_t i = 0; i < job->n_items; i++) {
        const struct export_item *it = &job->item[i];
        if (!is_narrowed(it) || !dtype_info(it->src.dtype)->is_quantized) continue;
        log_warn("%s: its weights are quantized already, the errors of both types add up; use the "
                 "original where you can",
                 job->m->info.path);
        return;
    }
}

bool export_plan(struct export_job *job, struct err *err)
{
    if (!list_items(job, err)) return false;
    for (size_t i = 0; i < job->n_items; i++) {
        struct export_item *it = &job->item[i];
        if (it->row && it->row->rows != DIM_NONE) plan_matrix(job, it);
    }
    job->main_type = main_type_of(job);
    for (size_t i = 0; i < job->n_items; i++) {
        struct export_item *it = &job->item[i];
        if (it->row && it->row->rows != DIM_NONE) continue;
        if (!(it->row ? plan_vector(job, it, err) : plan_rope_freqs(job, it, err))) return false;
    }
    warn_of_second_rounding(job);
    return !job->opt->imatrix || check_importance(job, err);
}
