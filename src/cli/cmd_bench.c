/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_bench.c - `cria bench`: reading and writing speed of a model, beside what the machine can do.
 *
 * The tests are llama-bench's, so that figures can be compared: ppN reads a prompt of N tokens, tgN
 * writes N tokens one by one, @D behind D tokens of context, xS in S answers at once that share
 * this context (llama-batched-bench with -pps); speeds are of all answers together. They go through
 * the engine, sampling and listener included, as every answer does. Beside each speed stand the
 * arithmetic or the bytes that it takes and the share of the limit that this machine was measured
 * at a moment before (tensor/peak.h): operations for pp, reading memory for tg.
 *
 * What counts as work: a multiply-add is two operations; matrices of the layers for every token,
 * the output matrix for tokens whose logits are wanted, attention over the positions seen. Bytes:
 * the matrices once a step, and the cache that attention reads, for each answer by itself. A model
 * that fits the processor's cache can pass 100 % of memory's rate.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_write.h"
#include "base/os.h"
#include "base/rng.h"
#include "cli/options.h"
#include "cli/progress_bar.h"
#include "tensor/peak.h"

enum { MAX_LIST = 32, MAX_UNITS = 16, READ_BYTES = 256 << 20, SHORT = 512 };

struct limits {
    double ops[MAX_UNITS]; /* per second, of peak_units; 0: not on this machine */
    double used_ops;       /* of the unit that products with most of the model's weights run on */
    const char *used_name;
    double read; /* bytes per second */
    const char *read_name;
};

/* One line of the result. */
struct bench_row {
    char test[48];
    int32_t n, depth, n_seqs; /* n_seqs: answers at once, 1 for prompts */
    bool is_decode;
    double mean, stddev, best; /* tokens per second */
    double ops, bytes;         /* per token */
    double peak_fraction;      /* of the mean */
};

struct bench {
    const struct args *a;
    struct session s;
    struct limits limit;
    struct progress_bar bar;
    double layer_weights, output_weights; /* elements of matrices */
    double layer_bytes, output_bytes;
    double weights_of[DT_COUNT]; /* elements of the layers' matrices by type */
    int32_t *token;              /* random ids */
    int32_t n_token;
};

/* ---- the machine ---- */

static bool measure_device(struct bench *b, const struct device_memory *device, struct err *err)
{
    struct device_peak peak;
    if (!device->measure(&peak, err)) return false;
    b->limit.read = peak.bytes;
    b->limit.read_name = "copying memory";
    b->limit.used_ops = peak.ops;
    b->limit.used_name = "a bf16 product, cuBLASLt";
    return true;
}

static bool measure_limits(struct bench *b, struct err *err)
{
    const struct engine_plan *plan = engine_plan(b->s.engine);
    const struct ops *ops = ops_choose(plan->isa, err);
    if (!ops) return false;
    if (ops->memory) return measure_device(b, ops->memory, err);
    struct team *team = team_new(plan->n_threads, err);
    if (!team) return false;
    uint8_t *memory = os_big_alloc(READ_BYTES);
    if (!memory) {
        team_free(team);
        return err_set(err, ERR_MEMORY, "no memory to measure the reading rate with (%d MB)",
                       READ_BYTES >> 20);
    }
    memset(memory, 1, READ_BYTES);
    for (int i = 0; peak_units[i].name && i < MAX_UNITS; i++)
        if (peak_has(&peak_units[i])) b->limit.ops[i] = peak_ops(team, &peak_units[i]);
    b->limit.read = peak_read(team, memory, READ_BYTES);
    b->limit.read_name = "reading memory";
    enum dtype most = 0;
    for (int t = 0; t < DT_COUNT; t++)
        if (b->weights_of[t] > b->weights_of[most]) most = (enum dtype)t;
    const struct peak_unit *used = peak_unit_of(plan->isa, most);
    b->limit.used_ops = b->limit.ops[used - peak_units];
    b->limit.used_name = used->name;
    os_big_free(memory, READ_BYTES);
    team_free(team);
    return true;
}

/* ---- the work ---- */

static void add_matrix(const struct tensor *t, double *weights, double *bytes)
{
    *weights += (double)tensor_rows(t) * (double)tensor_cols(t);
    *bytes += (double)tensor_bytes(t);
}

static void count_work(struct bench *b)
{
    const struct model_config *c = model_config(b->s.model);
    const struct weights *w = model_weights(b->s.model);
    add_matrix(&w->output, &b->output_weights, &b->output_bytes);
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const struct tensor_row *r = &tensor_rows_table[i];
        if (!r->is_per_layer || r->rows == DIM_NONE) continue;
        for (int32_t k = 0; k < tensor_copies(c, r); k++) {
            const struct tensor *t = weights_matrix(w, r, k);
            add_matrix(t, &b->layer_weights, &b->layer_bytes);
            b->weights_of[t->dtype] += (double)tensor_rows(t) * (double)tensor_cols(t);
        }
    }
}

static void fill_work(const struct bench *b, struct bench_row *r)
{
    const struct model_config *c = model_config(b->s.model);
    const double seen = r->depth + 0.5 * (r->n + 1); /* positions, mean over the test */
    const double n_outputs = r->is_decode ? 1 : 1.0 / r->n;
    const double kv = (double)config_kv_bytes(c, options_engine(b->a).kv_dtype);
    r->ops = 2 * (b->layer_weights + n_outputs * b->output_weights) +
             4.0 * c->n_layers * c->n_heads * c->d_head * seen;
    r->bytes = (b->layer_bytes + b->output_bytes) / r->n_seqs + kv * seen;
    if (r->is_decode)
        r->peak_fraction = r->mean * r->bytes / b->limit.read;
    else if (b->limit.used_ops > 0)
        r->peak_fraction = r->mean * r->ops / b->limit.used_ops;
}

/* ---- running ---- */

struct watch {
    int64_t first_ns, last_ns; /* when every answer had its first token, and the last of all */
    int32_t n_answers, n_tokens, n_cached;
    struct err *err;
    bool has_failed;
};

static bool on_event(void *user, const struct engine_event *ev)
{
    struct watch *w = user;
    w->n_cached = ev->n_cached;
    if (ev->token >= 0) {
        w->last_ns = clock_ns();
        if (++w->n_tokens == w->n_answers) w->first_ns = w->last_ns;
    }
    if (ev->finish == FINISH_ERROR && ev->err) {
        *w->err = *ev->err;
        w->has_failed = true;
    }
    return !progress_bar_interrupted();
}

/* Reads n_prompt random tokens and writes n_predict in each of n_answers; when they came is in `w`.
 */
static bool run_request(struct bench *b, int32_t n_prompt, int32_t n_predict, int32_t n_answers,
                        struct watch *w, struct err *err)
{
    *w = (struct watch){.n_answers = n_answers, .err = err};
    struct request_params p = request_defaults();
    p.prompt = b->token;
    p.n_prompt = n_prompt;
    p.n_predict = n_predict;
    p.n_answers = n_answers;
    p.sampling.temperature = 0;
    p.ignores_eos = true;
    p.listener = on_event;
    p.user = w;
    if (!engine_run(b->s.engine, &p, err) || w->has_failed) return false;
    if (w->n_tokens < n_predict * n_answers)
        return err_set(err, ERR_CANCELLED, "interrupted after %d tokens", w->n_tokens);
    return true;
}

/* Seconds per token of one run. */
static bool run_once(struct bench *b, const struct bench_row *r, double *seconds, struct err *err)
{
    struct watch w;
    if (r->is_decode) {
        /* The context stays from one run to the next. The first tokens come with the prompt, the n
         * after them are timed */
        if (!run_request(b, r->depth > 0 ? r->depth : 1, r->n + 1, r->n_seqs, &w, err))
            return false;
        *seconds = (double)(w.last_ns - w.first_ns) * 1e-9 / r->n / r->n_seqs;
        return true;
    }
    engine_clear_cache(b->s.engine);
    if (r->depth > 0 && !run_request(b, r->depth, 1, 1, &w, err)) return false;
    const int64_t begin = clock_ns();
    if (!run_request(b, r->depth + r->n, 1, 1, &w, err)) return false;
    *seconds = (double)(w.first_ns - begin) * 1e-9 / (r->depth + r->n - w.n_cached);
    return true;
}

static bool run_row(struct bench *b, struct bench_row *r, struct err *err)
{
    const int n_runs = (int)args_int(b->a, "runs");
    double sum = 0, sum_sq = 0, s = 0;
    const size_t n_name = (size_t)snprintf(r->test, sizeof r->test, r->depth ? "%s%d@%d" : "%s%d",
                                           r->is_decode ? "tg" : "pp", r->n, r->depth);
    if (r->n_seqs > 1) snprintf(r->test + n_name, sizeof r->test - n_name, "x%d", r->n_seqs);
    struct bench_row first = *r;
    first.n = r->is_decode ? 2 : r->n < SHORT ? r->n : SHORT;
    if (!r->is_decode) first.depth = 0;
    if (!run_once(b, &first, &s, err)) return false; /* brings weights into memory; not counted */
    for (int i = 0; i < n_runs; i++) {
        if (!progress_tick(&b->bar.progress, r->test, (uint64_t)i, (uint64_t)n_runs))
            return err_set(err, ERR_CANCELLED, "interrupted in %s", r->test);
        if (!run_once(b, r, &s, err)) return false;
        sum += 1 / s;
        sum_sq += 1 / (s * s);
        if (1 / s > r->best) r->best = 1 / s;
    }
    r->mean = sum / n_runs;
    const double var = sum_sq / n_runs - r->mean * r->mean;
    r->stddev = n_runs > 1 && var > 0 ? sqrt(var * n_runs / (n_runs - 1)) : 0;
    fill_work(b, r);
    return true;
}

/* ---- results ---- */

static void print_limits(const struct bench *b)
{
    const struct engine_plan *plan = engine_plan(b->s.engine);
    printf("%s, %d thread%s: %s %.1f GB/s", b->limit.ops[0] > 0 ? "machine" : plan->isa,
           plan->n_threads, plan->n_threads == 1 ? "" : "s", b->limit.read_name,
           b->limit.read * 1e-9);
    if (b->limit.ops[0] <= 0 && b->limit.used_ops > 0)
        printf("; %s %.0f GFLOP/s", b->limit.used_name, b->limit.used_ops * 1e-9);
    for (int i = 0; peak_units[i].name && i < MAX_UNITS; i++)
        if (b->limit.ops[i] > 0)
            printf("; %s %.0f GFLOP/s", peak_units[i].name, b->limit.ops[i] * 1e-9);
    printf("\n%-16s %19s %12s %10s %26s\n", "test", "tokens/s", "GFLOP/s", "GB/s", "of the limit");
}

static void print_row(const struct bench *b, const struct bench_row *r)
{
    printf("%-16s %10.2f +- %5.2f %12.1f %10.2f %7.1f %% of %s\n", r->test, r->mean, r->stddev,
           r->mean * r->ops * 1e-9, r->is_decode ? r->mean * r->bytes * 1e-9 : 0.0,
           100 * r->peak_fraction, r->is_decode ? b->limit.read_name : b->limit.used_name);
    fflush(stdout);
}

static void write_row(struct json_writer *w, const struct bench *b, const struct bench_row *r)
{
    const struct engine_plan *plan = engine_plan(b->s.engine);
    json_object(w);
    json_key_cstring(w, "test", r->test);
    json_key_int(w, "n", r->n);
    json_key_int(w, "depth", r->depth);
    json_key_int(w, "sequences", r->n_seqs);
    json_key_double(w, "tps", r->mean);
    json_key_double(w, "tps_stddev", r->stddev);
    json_key_double(w, "tps_best", r->best);
    json_key_double(w, "gflops", r->mean * r->ops * 1e-9);
    json_key_double(w, "gbps", r->mean * r->bytes * 1e-9);
    json_key_double(w, "peak_fraction", r->peak_fraction);
    json_key_cstring(w, "peak", r->is_decode ? b->limit.read_name : b->limit.used_name);
    json_key_double(w, "peak_gflops", b->limit.used_ops * 1e-9);
    json_key_double(w, "peak_gbps", b->limit.read * 1e-9);
    json_key(w, "peaks");
    json_object(w);
    json_key_double(w, b->limit.read_name, b->limit.read * 1e-9);
    for (int i = 0; peak_units[i].name && i < MAX_UNITS; i++)
        if (b->limit.ops[i] > 0) json_key_double(w, peak_units[i].name, b->limit.ops[i] * 1e-9);
    json_end(w);
    json_key_cstring(w, "model", path_base(model_info(b->s.model)->path));
    json_key_cstring(w, "type", model_info(b->s.model)->type_name);
    json_key_cstring(w, "isa", plan->isa);
    json_key_int(w, "threads", plan->n_threads);
    json_end(w);
}

/* ---- options ---- */

/* "512,2048": whole numbers in [min, max], into list; their number, or 0 and `err`. */
static int parse_list(const struct args *a, const char *name, int32_t min, int32_t max,
                      int32_t list[MAX_LIST], struct err *err)
{
    int n = 0;
    for (const char *s = args_str(a, name);; s++) {
        char *end = NULL;
        const long v = strtol(s, &end, 10);
        if (end == s || v < min || v > max || (*end && *end != ',') || n == MAX_LIST) {
            err_set(err, ERR_USAGE,
                    "--%s: \"%s\" is no list of whole numbers from %d to %d, such as 128,512", name,
                    args_str(a, name), min, max);
            return 0;
        }
        list[n++] = (int32_t)v;
        s = end;
        if (!*s) return n;
    }
}

static int make_rows(const struct args *a, struct bench_row *row, int32_t *n_ctx, struct err *err)
{
    int32_t prompt[MAX_LIST], write[MAX_LIST], depth[MAX_LIST];
    const int n_prompt = parse_list(a, "prompt", 0, 1 << 20, prompt, err);
    const int n_write = n_prompt ? parse_list(a, "n", 0, 1 << 20, write, err) : 0;
    const int n_depth = n_write ? parse_list(a, "depth", 0, 1 << 20, depth, err) : 0;
    int n = 0;
    *n_ctx = 0;
    for (int d = 0; d < n_depth; d++)
        for (int i = 0; i < n_prompt + n_write; i++) {
            const bool is_decode = i >= n_prompt;
            const int32_t size = is_decode ? write[i - n_prompt] : prompt[i];
            const int32_t ctx = size + depth[d] + 2;
            if (size == 0) continue;
            row[n] = (struct bench_row){
                .n = size,
                .depth = depth[d],
                .n_seqs = is_decode ? (int32_t)args_int(a, "sequences") : 1,
                .is_decode = is_decode,
            };
            n++;
            if (ctx > *n_ctx) *n_ctx = ctx;
        }
    if (n_depth && n == 0)
        err_set(err, ERR_USAGE, "nothing to measure: --prompt and --n are both 0");
    return n;
}

/* Positions that the widest test needs: the context once, what is written for each answer. */
static int64_t cache_tokens(const struct bench_row *row, int n_rows, int32_t n_ctx)
{
    const int32_t slack = 64; /* a page of its own at each end of what an answer writes */
    int64_t most = n_ctx;
    for (int i = 0; i < n_rows; i++) {
        const int64_t n = (int64_t)n_ctx + (row[i].n_seqs - 1) * ((int64_t)row[i].n + slack);
        if (row[i].n_seqs > 1 && n > most) most = n;
    }
    return most;
}

static bool bench_rows(struct bench *b, struct bench_row *row, int n_rows, struct err *err)
{
    const bool is_json = args_flag(b->a, "json");
    struct rng rng = rng_seed(1);
    count_work(b);
    for (int32_t i = 0; i < b->n_token; i++)
        b->token[i] = (int32_t)rng_below(&rng, (uint32_t)model_config(b->s.model)->n_vocab);
    if (!measure_limits(b, err)) return false;
    if (!is_json) print_limits(b);
    struct buf out;
    buf_init(&out, 1 << 22);
    struct json_writer w = json_writer(&out);
    json_array(&w);
    bool ok = true;
    for (int i = 0; ok && i < n_rows; i++) {
        ok = run_row(b, &row[i], err);
        progress_bar_hide(&b->bar);
        if (ok && is_json)
            write_row(&w, b, &row[i]);
        else if (ok)
            print_row(b, &row[i]);
    }
    json_end(&w);
    if (ok && is_json) {
        ok = buf_check(&out, "the result", err);
        if (ok) printf("%s\n", out.data);
    }
    buf_release(&out);
    return ok;
}

static int bench_run(const struct args *a, struct err *err)
{
    struct bench b = {.a = a};
    int32_t n_ctx = 0;
    struct bench_row *row = calloc((size_t)2 * MAX_LIST * MAX_LIST, sizeof *row);
    const int n_rows = row ? make_rows(a, row, &n_ctx, err) : 0;
    if (!row) err_set(err, ERR_MEMORY, "no memory for the list of tests");
    struct engine_options opt = options_engine(a);
    if (opt.n_ctx == 0) opt.n_ctx = n_ctx;
    opt.n_seqs = (int32_t)args_int(a, "sequences");
    opt.cache_tok = cache_tokens(row, n_rows, opt.n_ctx);
    bool ok = n_rows > 0 && session_open(a, &opt, &b.s, err);
    if (ok) {
        b.n_token = n_ctx;
        b.token = calloc((size_t)n_ctx, sizeof *b.token);
        ok = b.token || err_set(err, ERR_MEMORY, "no memory for %d tokens", n_ctx);
        progress_bar_init(&b.bar, args_flag(a, "quiet"), "runs");
        ok = ok && bench_rows(&b, row, n_rows, err);
        progress_bar_release(&b.bar);
        session_close(&b.s);
    }
    free(b.token);
    free(row);
    return ok ? 0 : 1;
}

static const struct option options[] = {
    /* clang-format off */
    /* name       letter arg     kind      min max    default choices rep    help */
    {"prompt",    'p',   "LIST", OPT_STR,  0,  0,     "512",  NULL,   false, "prompt sizes to read; 0: none"},
    {"n",         'n',   "LIST", OPT_STR,  0,  0,     "128",  NULL,   false, "numbers of tokens to write; 0: none"},
    {"depth",     'd',   "LIST", OPT_STR,  0,  0,     "0",    NULL,   false, "tokens of context before each test"},
    {"sequences", 0,     "N",    OPT_INT,  1,  256,   "1",    NULL,   false, "answers written at once over the same context"},
    {"runs",      'r',   "N",    OPT_INT,  1,  1000,  "5",    NULL,   false, "counted runs of each test, after one that is not"},
    {"json",      0,     NULL,   OPT_FLAG, 0,  0,     NULL,   NULL,   false, "print a JSON array of rows"},
    {0},
    /* clang-format on */
};

static const struct option_group *const groups[] = {&model_group, &engine_group, NULL};

const struct command cmd_bench = {
    .name = "bench",
    .what = "speed of a model beside the machine's limits",
    .options = options,
    .groups = groups,
    .details =
        "Tests are named as in llama-bench: pp512 reads a prompt of 512 tokens, tg128 writes 128 "
        "tokens, @4096 behind a context of 4096, x16 in 16 answers at once that share it. The "
        "last column is the share of what this machine was measured to do at the start: "
        "multiply-adds for pp, bytes for tg.",
    .example = "  cria bench\n  cria bench -m model.gguf -p 512 -n 128 -t 4 --json\n"
               "  cria bench -p 512,2048 -n 0 -d 0,4096\n"
               "  cria bench -p 0 -n 128 -d 2048 --sequences 16",
    .run = bench_run,
};
