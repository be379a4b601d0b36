/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_perplexity.c - `cria perplexity`: how well a model predicts a text, with its standard error.
 *
 * Perplexity is exp of the mean negative log-likelihood of the text's tokens (Jelinek et al. 1977).
 * Figures of two programs agree only if they cut the text alike and score the same tokens, so the
 * ways are named and are rows of a table (spec: evals, WikiText-2):
 *
 *   second-half  windows of the context's length without overlap; the predictions made from the
 *                middle of a window on count, so that each has half a window of context. As
 *                llama-perplexity does: the default.
 *   all          the same windows; every prediction counts. As papers on quantization do.
 *   stride       windows begin every --stride tokens; each token is scored once, in the first
 * window that holds it, so that it has at least context - stride tokens before it.
 *
 * BOS takes the first place of a window where the vocabulary wants BOS. The standard error is that
 * of the mean negative log-likelihood, carried through exp (delta method): tokens of one text are
 * not independent, so it is a lower bound.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/os.h"
#include "cli/options.h"
#include "cli/progress_bar.h"

#define MAX_TEXT_BYTES ((size_t)1 << 31)

enum { DEFAULT_CTX = 512, SCORE_ROWS = 128 };

enum style_id { SECOND_HALF, ALL, STRIDE };
static const char *const style_names[] = {"second-half", "all", "stride", NULL};

static const char *const *styles(void) { return style_names; }

struct scoring {
    const int32_t *window; /* ids of the window being scored, BOS in place */
    int32_t n_window;
    int32_t n_vocab;
    double sum, sum_sq; /* of the negative log-likelihoods */
    int64_t n;
    struct progress_bar bar;
    int64_t n_total;
};

/* -log softmax(logits)[id], sums in double. The largest logit's own term makes the sum at least 1.
 */
static double nll_of(const float *logits, int32_t n_vocab, int32_t id)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n_vocab; i++)
        if (logits[i] > logits[best]) best = i;
    double others = 0;
    for (int32_t i = 0; i < n_vocab; i++)
        if (i != best) others += expf(logits[i] - logits[best]);
    return log1p(others) + (double)logits[best] - (double)logits[id];
}

static bool score_row(void *user, int32_t pos, const float *logits)
{
    struct scoring *s = user;
    if (pos + 1 >= s->n_window) return true; /* the last position predicts what is not there */
    const double nll = nll_of(logits, s->n_vocab, s->window[pos + 1]);
    s->sum += nll;
    s->sum_sq += nll * nll;
    s->n++;
    return !progress_bar_interrupted();
}

static double perplexity_of(const struct scoring *s) { return exp(s->sum / (double)s->n); }

static double stderr_of(const struct scoring *s)
{
    const double mean = s->sum / (double)s->n;
    const double var = s->sum_sq / (double)s->n - mean * mean;
    return s->n > 1 && var > 0 ? perplexity_of(s) * sqrt(var / (double)(s->n - 1)) : 0;
}

/* One window: ids [begin, begin + n), predictions made at `first` .. n - 2 are scored. */
static bool score_window(struct engine *e, struct scoring *s, int32_t *window,
                         const struct ids *ids, size_t begin, int32_t n, int32_t first,
                         struct err *err)
{
    const struct vocab *v = tokenizer_vocab(model_tokenizer(engine_model(e)));
    memcpy(window, ids->id + begin, (size_t)n * sizeof *window);
    if (v->adds_bos && v->bos >= 0) window[0] = v->bos;
    s->window = window;
    s->n_window = n;
    if (!progress_tick(&s->bar.progress, "scoring", begin, ids->n))
        return err_set(err, ERR_CANCELLED, "interrupted after %" PRId64 " tokens", s->n);
    return engine_score(e, window, n, first, score_row, s, err);
}

static bool score_text(const struct args *a, struct engine *e, const struct ids *ids, int32_t n_ctx,
                       struct scoring *s, struct err *err)
{
    const char *style = args_str(a, "style");
    const int32_t stride = (int32_t)args_int(a, "stride");
    enum style_id id = SECOND_HALF;
    while (strcmp(style_names[id], style) != 0) id++;
    if ((stride > 0) != (id == STRIDE))
        return err_set(err, ERR_USAGE, "--stride N goes with --style stride, and only with it");
    if (stride > n_ctx)
        return err_set(err, ERR_USAGE,
                       "--stride: %d is above the context of %d; tokens between the "
                       "windows would not be scored",
                       stride, n_ctx);
    if (id != STRIDE && ids->n < (size_t)n_ctx)
        return err_set(err, ERR_USAGE,
                       "the text has %zu tokens, a window takes %d; give more text or a "
                       "smaller --ctx",
                       ids->n, n_ctx);
    int32_t *window = calloc((size_t)n_ctx, sizeof *window);
    if (!window) return err_set(err, ERR_MEMORY, "no memory for a window of %d tokens", n_ctx);
    bool ok = true;
    const size_t step = id == STRIDE ? (size_t)stride : (size_t)n_ctx;
    for (size_t begin = 0; ok && begin + 1 < ids->n; begin += step) {
        const size_t left = ids->n - begin;
        const int32_t n = left < (size_t)n_ctx ? (int32_t)left : n_ctx;
        if (id != STRIDE && n < n_ctx) break; /* an incomplete last window is dropped */
        int32_t first = id == SECOND_HALF ? n_ctx / 2 : 0;
        if (id == STRIDE && begin > 0) first = n_ctx - stride - 1; /* the rest was scored before */
        if (first < n - 1) ok = score_window(e, s, window, ids, begin, n, first, err);
        if (id == STRIDE && left <= (size_t)n_ctx) break;
    }
    free(window);
    if (ok && s->n == 0)
        return err_set(err, ERR_USAGE, "no token of the text can be scored; give more text");
    return ok;
}

static bool print_result(const struct args *a, const struct scoring *s, int32_t n_ctx,
                         double seconds, struct err *err)
{
    if (!args_flag(a, "json")) {
        printf("perplexity %.4f +- %.4f (%" PRId64 " tokens, windows of %d, %s)\n",
               perplexity_of(s), stderr_of(s), s->n, n_ctx, args_str(a, "style"));
        log_info("%.1f s, %.0f tokens/s", seconds, (double)s->n_total / seconds);
        return true;
    }
    struct buf b;
    buf_init(&b, 1 << 16);
    struct json_writer w = json_writer(&b);
    json_object(&w);
    json_key_double(&w, "perplexity", perplexity_of(s));
    json_key_double(&w, "stderr", stderr_of(s));
    json_key_int(&w, "tokens", s->n);
    json_key_int(&w, "text_tokens", s->n_total);
    json_key_int(&w, "ctx", n_ctx);
    json_key_cstring(&w, "style", args_str(a, "style"));
    json_key_double(&w, "seconds", seconds);
    json_end(&w);
    const bool ok = buf_check(&b, "the result", err);
    if (ok) printf("%s\n", b.data);
    buf_release(&b);
    return ok;
}

static bool measure(const struct args *a, struct session *s, struct ids *ids, struct err *err)
{
    struct buf text;
    buf_init(&text, MAX_TEXT_BYTES);
    const char *file = args_str(a, "file");
    bool ok = file ? file_read_all(file, MAX_TEXT_BYTES, &text, err)
                   : file_read_fd(0, "standard input", MAX_TEXT_BYTES, &text, err);
    ok = ok && tokenizer_encode(model_tokenizer(s->model), text.data ? text.data : "", text.n_bytes,
                                0, ids, err);
    buf_release(&text);
    if (!ok) return false;
    const int32_t n_ctx = engine_plan(s->engine)->n_ctx;
    struct scoring score = {.n_vocab = model_config(s->model)->n_vocab, .n_total = (int64_t)ids->n};
    const int64_t begin = clock_ns();
    progress_bar_init(&score.bar, args_flag(a, "quiet"), "tok");
    ok = score_text(a, s->engine, ids, n_ctx, &score, err);
    progress_bar_release(&score.bar);
    return ok && print_result(a, &score, n_ctx, (double)(clock_ns() - begin) * 1e-9, err);
}

static int perplexity_run(const struct args *a, struct err *err)
{
    struct session s;
    struct ids ids = {0};
    struct engine_options opt = options_engine(a);
    if (opt.n_ctx == 0) opt.n_ctx = DEFAULT_CTX;
    opt.max_logit_rows = SCORE_ROWS;
    opt.takes_adapters = options_has_lora(a);
    if (!session_open(a, &opt, &s, err)) return 1;
    const bool ok = session_use_lora(&s, err) && measure(a, &s, &ids, err);
    ids_release(&ids);
    session_close(&s);
    return ok ? 0 : 1;
}

static const struct option options[] = {
    /* clang-format off */
    /* name    letter arg     kind      min max      default        choices rep    help */
    {"file",   'f',   "FILE", OPT_FILE, 0,  0,       NULL,          NULL,   false, "the text; without it stdin"},
    {"style",  0,     "NAME", OPT_NAME, 0,  0,       "second-half", styles, false, "which predictions count"},
    {"stride", 0,     "N",    OPT_INT,  0,  1048576, "0",           NULL,   false, "with --style stride: a window begins every N tokens"},
    {"json",   0,     NULL,   OPT_FLAG, 0,  0,       NULL,          NULL,   false, "print one JSON object: perplexity, stderr, tokens"},
    {0},
    /* clang-format on */
};

static const struct option_group *const groups[] = {&model_group, &lora_group, &engine_group, NULL};

const struct command cmd_perplexity = {
    .name = "perplexity",
    .what = "how well a model predicts a text",
    .options = options,
    .groups = groups,
    .details =
        "The text is cut into windows of --ctx tokens (512 unless given). Style second-half "
        "scores the predictions made from the middle of each window on, as llama-perplexity "
        "does; all scores every one; stride lets windows overlap and scores each token once.",
    .example = "  cria perplexity -f wiki.valid.txt\n"
               "  cria perplexity -m model.gguf -f wiki.valid.txt -c 2048 --style all --json\n"
               "  cria perplexity -f book.txt -c 2048 --style stride --stride 512",
    .run = perplexity_run,
};
