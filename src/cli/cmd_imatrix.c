/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_imatrix.c - `cria imatrix`: which inputs of each matrix matter, measured on a text.
 *
 * The text is run through the model in windows, and the mean square of every column of every
 * matrix product's input is kept (model/imatrix.h); quantize weighs its errors by them. A window is
 * whole, as in training: an incomplete last one is dropped unless it is the only one.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/os.h"
#include "cli/options.h"
#include "cli/progress_bar.h"
#include "model/imatrix.h"

#define MAX_TEXT_BYTES ((size_t)1 << 31)

enum { DEFAULT_CTX = 512 };

static bool ignore_logits(void *user, int32_t pos, const float *logits)
{
    (void)user;
    (void)pos;
    (void)logits;
    return true;
}

static bool observe(const struct args *a, struct engine *e, const struct ids *ids, struct err *err)
{
    const int32_t n_ctx = engine_plan(e)->n_ctx;
    const int64_t most = args_int(a, "chunks");
    struct progress_bar bar;
    bool ok = true;
    int64_t n_windows = (int64_t)ids->n / n_ctx;
    if (n_windows == 0) n_windows = 1;
    if (most > 0 && most < n_windows) n_windows = most;
    progress_bar_init(&bar, args_flag(a, "quiet"), "windows");
    for (int64_t i = 0; ok && i < n_windows; i++) {
        const size_t begin = (size_t)(i * n_ctx), left = ids->n - begin;
        const int32_t n = left < (size_t)n_ctx ? (int32_t)left : n_ctx;
        ok = progress_tick(&bar.progress, "imatrix", (uint64_t)i, (uint64_t)n_windows) ||
             err_set(err, ERR_CANCELLED,
                     "interrupted after %" PRId64 " windows; nothing was written", i);
        ok = ok && engine_score(e, ids->id + begin, n, n - 1, ignore_logits, NULL, err);
    }
    progress_bar_release(&bar);
    if (ok) log_info("%" PRId64 " windows of %d tokens", n_windows, n_ctx);
    return ok;
}

static bool read_ids(const struct args *a, const struct model *m, struct ids *ids, struct err *err)
{
    struct buf text;
    buf_init(&text, MAX_TEXT_BYTES);
    const bool ok =
        file_read_all(args_str(a, "file"), MAX_TEXT_BYTES, &text, err) &&
        tokenizer_encode(model_tokenizer(m), text.data ? text.data : "", text.n_bytes, 0, ids, err);
    buf_release(&text);
    if (ok && ids->n < 2)
        return err_set(err, ERR_USAGE, "%s: a text of %zu tokens measures nothing; give some pages",
                       args_str(a, "file"), ids->n);
    return ok;
}

static int imatrix_run(const struct args *a, struct err *err)
{
    struct session s;
    struct ids ids = {0};
    struct engine_options opt = options_engine(a);
    if (opt.n_ctx == 0) opt.n_ctx = DEFAULT_CTX;
    if (!args_str(a, "file")) {
        err_set(err, ERR_USAGE, "--file: the calibration text is missing; give -f FILE");
        return 2;
    }
    if (!session_open(a, &opt, &s, err)) return 1;
    struct imatrix *im = imatrix_new(model_config(s.model), err);
    bool ok = im && read_ids(a, s.model, &ids, err);
    if (ok) {
        engine_observe(s.engine, imatrix_observe, im);
        ok = observe(a, s.engine, &ids, err) &&
             imatrix_save(im, args_operand(a, 0), args_str(a, "file"), err);
    }
    imatrix_free(im);
    ids_release(&ids);
    session_close(&s);
    return ok ? 0 : 1;
}

static const struct option options[] = {
    /* clang-format off */
    /* name    letter arg     kind      min max  default choices rep    help */
    {"file",   'f',   "FILE", OPT_FILE, 0,  0,   NULL,   NULL,   false, "the calibration text"},
    {"chunks", 0,     "N",    OPT_INT,  0,  1e9, "0",    NULL,   false, "read at most N windows; 0: the whole text"},
    {0},
    /* clang-format on */
};

static const struct option_group *const groups[] = {&model_group, &engine_group, NULL};

const struct command cmd_imatrix = {
    .name = "imatrix",
    .what = "measure which weights matter, for quantize",
    .operands = "OUT",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .groups = groups,
    .details =
        "OUT is a GGUF file that cria quantize --imatrix and llama.cpp read. The text should be "
        "like what the model will be used for; some ten thousand tokens are enough.",
    .example = "  cria imatrix -m model-f16.gguf -f calibration.txt im.gguf\n"
               "  cria quantize model-f16.gguf q4.gguf --imatrix im.gguf",
    .run = imatrix_run,
};
