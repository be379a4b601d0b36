/* SPDX-License-Identifier: Apache-2.0
 *
 * export.c - writing an open model in another form: GGUF, or a Hugging Face directory.
 *
 * An export is a plan, a pump and a frame. The plan (export_plan.c) lists the new tensors with
 * their types; the pump (export_rows.c) converts them row by row on all cores and hands them to a
 * writer; the frame (export_gguf.c, export_hf.c) is what stands around the weights in each form.
 * All that can be refused is refused before the first byte is written; what is written stands aside
 * until it is whole.
 *
 * Types. Without `type` every matrix keeps its own; a Hugging Face directory cannot hold quantized
 * ones, which become bf16 there ("f32" for the exact values). A matrix that has its new type
 * already is copied bit for bit, whichever container it comes from; only the rows of wq and wk may
 * change places, since GGUF keeps rotary pairs beside each other and transformers in two halves.
 * Vectors are F32 in GGUF; in safetensors they have the type of most weights where that loses
 * nothing, else F32, so that there and back again is the same bits.
 *
 * Begin reading at model_export().
 */
#include <string.h>

#include "model/export_parts.h"

#define MAX_PLAN_BYTES ((size_t)1 << 30)

static bool choose_recipe(struct export_job *job, struct err *err)
{
    if (!job->opt->type) return true;
    job->recipe = quant_recipe_find(job->opt->type, err);
    if (!job->recipe) return false;
    if (job->opt->format != EXPORT_HF || !dtype_info(job->recipe->base)->is_quantized) return true;
    return err_set(err, ERR_USAGE,
                   "type '%s': a Hugging Face directory holds only f32, f16 and bf16; use one of "
                   "these, or write GGUF",
                   job->recipe->name);
}

bool model_export(const struct model *m, const char *out_path, const struct export_options *opt,
                  export_stat_fn *stat, void *user, struct err *err)
{
    struct export_job job = {.m = m, .opt = opt, .out_path = out_path, .stat = stat, .user = user};
    if (!choose_recipe(&job, err) || !export_check_target(m, out_path, opt, err)) return false;
    job.arena = arena_new(MAX_PLAN_BYTES, err);
    const bool ok = job.arena && export_plan(&job, err) &&
                    (opt->format == EXPORT_GGUF ? export_gguf(&job, err) : export_hf(&job, err));
    arena_free(job.arena);
    return ok;
}
