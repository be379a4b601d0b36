/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_convert.c - `cria convert` and `cria quantize`: a model in another format, or of another
 * type.
 *
 * Both are model_export() with different words around it: convert keeps every tensor's type unless
 * told otherwise and tells little; quantize always has a type, may weigh errors by an importance
 * matrix, and reports what each tensor lost. What is written: a name that ends in .gguf is a GGUF
 * file, any other a Hugging Face directory. Output is written aside and renamed, so an interrupted
 * run leaves nothing.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/json_write.h"
#include "base/log.h"
#include "base/os.h"
#include "cli/hub.h"
#include "cli/options.h"
#include "cli/progress_bar.h"
#include "cli/terms.h"
#include "model/imatrix.h"
#include "model/quant_recipe.h"

/* What the tensors' reports add up to. */
struct report {
    bool is_table;
    struct json_writer *json; /* an open array, or NULL */
    uint64_t bytes_from, bytes_to;
    double sum_error; /* rel_rmse^2 weighted by the bytes of the source */
    int n_tensors, n_changed;
};

static void note_tensor(void *user, const struct export_stat *s)
{
    struct report *r = user;
    r->n_tensors++;
    r->n_changed += s->from != s->to;
    r->bytes_from += s->bytes_from;
    r->bytes_to += s->bytes_to;
    r->sum_error += s->rel_rmse * s->rel_rmse * (double)s->bytes_from;
    if (r->is_table)
        fprintf(stderr, "%-36s %-7s -> %-7s %9.3f -> %9.3f MB  error %.5f\n", s->name,
                dtype_info(s->from)->name, dtype_info(s->to)->name, (double)s->bytes_from / 1e6,
                (double)s->bytes_to / 1e6, s->rel_rmse);
    if (!r->json) return;
    json_object(r->json);
    json_key_cstring(r->json, "name", s->name);
    json_key_cstring(r->json, "from", dtype_info(s->from)->name);
    json_key_cstring(r->json, "to", dtype_info(s->to)->name);
    json_key_uint(r->json, "bytes", s->bytes_to);
    json_key_double(r->json, "rel_rmse", s->rel_rmse);
    json_end(r->json);
}

static double mean_error(const struct report *r)
{
    return r->bytes_from ? sqrt(r->sum_error / (double)r->bytes_from) : 0;
}

static bool ends_in_gguf(const char *path)
{
    const size_t n = strlen(path);
    return n > 5 && strcmp(path + n - 5, ".gguf") == 0;
}

static bool print_json(const char *out_path, struct buf *tensors, const struct report *r,
                       struct err *err)
{
    struct buf b;
    buf_init(&b, (size_t)256 << 20);
    struct json_writer w = json_writer(&b);
    json_object(&w);
    json_key_cstring(&w, "out", out_path);
    json_key_uint(&w, "bytes_from", r->bytes_from);
    json_key_uint(&w, "bytes_to", r->bytes_to);
    json_key_double(&w, "rel_rmse", mean_error(r));
    json_key(&w, "tensors");
    json_raw(&w, tensors->data, tensors->n_bytes);
    json_end(&w);
    const bool ok = buf_check(tensors, "the report", err) && buf_check(&b, "the report", err);
    if (ok) printf("%s\n", b.data);
    buf_release(&b);
    return ok;
}

static bool export(const struct args *a, const struct model *m, const struct imatrix *im,
                   bool is_table, struct err *err)
{
    const char *out_path = args_operand(a, 1);
    const int64_t begin = clock_ns();
    struct progress_bar bar;
    struct buf json;
    buf_init(&json, (size_t)128 << 20);
    struct json_writer w = json_writer(&json);
    struct report r = {.is_table = is_table && !args_flag(a, "quiet")};
    if (args_flag(a, "json")) {
        json_array(&w);
        r.json = &w;
    }
    const struct export_options opt = {
        .format = ends_in_gguf(out_path) ? EXPORT_GGUF : EXPORT_HF,
        .type = args_str(a, "type"),
        .imatrix = im,
        .n_threads = (int)args_int(a, "threads"),
        .max_shard_bytes = (uint64_t)(args_float(a, "shard") * 1e9),
        .is_overwriting = args_flag(a, "overwrite"),
        .progress = &bar.progress,
    };
    progress_bar_init(&bar, args_flag(a, "quiet") || r.is_table, "B");
    bool ok = model_export(m, out_path, &opt, note_tensor, &r, err);
    progress_bar_release(&bar);
    if (r.json) json_end(&w);
    if (ok) {
        log_info("%s: %d tensors, %d of another type, %.1f -> %.1f MB, relative error %.5f, %.1f s",
                 out_path, r.n_tensors, r.n_changed, (double)r.bytes_from / 1e6,
                 (double)r.bytes_to / 1e6, mean_error(&r), (double)(clock_ns() - begin) * 1e-9);
        char terms[TERMS_BYTES];
        if (terms_of_model(model_info(m), terms)) log_info("%s: %s", out_path, terms);
        if (r.json) ok = print_json(out_path, &json, &r, err);
    }
    buf_release(&json);
    return ok;
}

static int export_run(const struct args *a, const char *imatrix_path, bool is_table,
                      struct err *err)
{
    char path[HUB_PATH_MAX];
    if (!hub_find_model(args_operand(a, 0), path, err)) return 1;
    struct imatrix *im = imatrix_path ? imatrix_open(imatrix_path, err) : NULL;
    struct model *m = imatrix_path && !im ? NULL : model_open(path, err);
    const bool ok = m && export(a, m, im, is_table, err);
    model_close(m);
    imatrix_free(im);
    return ok ? 0 : 1;
}

static int convert_run(const struct args *a, struct err *err)
{
    return export_run(a, NULL, args_flag(a, "verbose"), err);
}

static void print_types(void)
{
    for (const struct quant_recipe *r = quant_recipes; r->name; r++)
        printf("%-8s %s\n", r->name, r->what);
}

static int quantize_run(const struct args *a, struct err *err)
{
    if (args_flag(a, "list")) {
        print_types();
        return 0;
    }
    if (args_n_operands(a) != 2) {
        err_set(err, ERR_USAGE, "quantize takes IN and OUT; cria quantize --list shows the types");
        return 2;
    }
    return export_run(a, args_str(a, "imatrix"), true, err);
}

static const char *const *types(void)
{
    static const char *names[64]; /* written once, before there are threads */
    int n = 0;
    for (; quant_recipes[n].name && n < 63; n++) names[n] = quant_recipes[n].name;
    names[n] = NULL;
    return names;
}

/* clang-format off */
#define EXPORT_ROWS \
    {"threads",   't', "N",  OPT_INT,   0, 512,  "0", NULL, false, "threads; 0: one per physical core"}, \
    {"shard",     0,   "GB", OPT_FLOAT, 0, 1000, "5", NULL, false, "largest file of a Hugging Face directory; 0: 5"}, \
    {"overwrite", 0,   NULL, OPT_FLAG,  0, 0,    NULL, NULL, false, "replace OUT if it exists"}, \
    {"json",      0,   NULL, OPT_FLAG,  0, 0,    NULL, NULL, false, "print a JSON report"}

static const struct option convert_options[] = {
    {"type", 0, "TYPE", OPT_NAME, 0, 0, NULL, types, false, "type of the matrices; unset: as they are"},
    EXPORT_ROWS,
    {0},
};

static const struct option quantize_options[] = {
    {"type",    0, "TYPE", OPT_NAME, 0, 0, "q4_k_m", types, false, "target type"},
    {"imatrix", 0, "FILE", OPT_FILE, 0, 0, NULL,     NULL,  false, "weigh errors by this importance matrix (cria imatrix)"},
    {"list",    0, NULL,   OPT_FLAG, 0, 0, NULL,     NULL,  false, "list the types"},
    EXPORT_ROWS,
    {0},
};
/* clang-format on */

const struct command cmd_convert = {
    .name = "convert",
    .what = "a model in another file format",
    .operands = "IN OUT",
    .min_operands = 2,
    .max_operands = 2,
    .options = convert_options,
    .details =
        "IN is a GGUF file, a Hugging Face directory or a Meta directory. OUT is a GGUF file if "
        "its name ends in .gguf, else a Hugging Face directory. Types stay as they are, so "
        "that a conversion there and back gives the same bits; only Hugging Face directories "
        "hold no quantized matrices: those become bf16, or --type f32 for the exact values. "
        "Tokenizer, chat template, licence and model card travel along.",
    .example = "  cria convert Llama-3.2-1B-Instruct model.gguf\n"
               "  cria convert model.gguf out-dir --type f32",
    .run = convert_run,
};

const struct command cmd_quantize = {
    .name = "quantize",
    .what = "shrink a model's weights",
    .operands = "IN OUT",
    .max_operands = 2,
    .options = quantize_options,
    .details =
        "A type is a recipe: what each matrix becomes. q4_k_m keeps the ones that hurt most in "
        "q6_k. Rows that a type's blocks do not fit take the nearest type that fits. The "
        "report shows each tensor's relative error: sqrt(sum (x - x')^2 / sum x^2).",
    .example = "  cria quantize model-f16.gguf model-q4.gguf\n"
               "  cria quantize model-f16.gguf small.gguf --type q3_k_m --imatrix im.gguf\n"
               "  cria quantize --list",
    .run = quantize_run,
};
