/* SPDX-License-Identifier: Apache-2.0
 *
 * export_rows.c - the pump: reads rows of one type, writes rows of another, on all cores.
 *
 * A tensor goes through in blocks of some 16 MB of floats. Each member of the team takes rows of
 * the block: decode, look for what is no number, encode, decode again to measure what was lost. The
 * result of a row depends on that row alone, and sums over rows are added in their order by one
 * thread, so the file and the figures are the same for any number of threads.
 *
 * A row that keeps its type is copied, not encoded again: encoding what was decoded would not give
 * back the same blocks. It is decoded all the same, to be looked through.
 *
 * Begin reading at export_rows().
 */
#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/os.h"
#include "base/team.h"
#include "model/export_parts.h"

#define BLOCK_BYTES ((int64_t)16 << 20) /* of floats */
#define F16_MAX 65504.0f
enum { MAX_THREADS = 512 };

enum row_state { ROW_FINE, ROW_BROKEN, ROW_OVERFLOWS };

struct row_result {
    double sum_sq, err_sq;
    enum row_state state;
};

struct pump {
    const struct export_job *job;
    struct team *team;
    uint64_t done_bytes, total_bytes; /* of the source */

    /* the tensor that goes through */
    const struct export_item *it;
    size_t to_row_bytes;
    int64_t first, n_rows; /* the block */

    int64_t max_rows, max_cols, max_out; /* of any block; bytes of the largest */
    unsigned char *out;                  /* [n_rows, to_row_bytes] */
    float *scratch;                      /* [team_size, 2, max_cols] */
    struct row_result *result;           /* [n_rows] */
};

static int64_t rows_of_block(const struct export_item *it)
{
    const int64_t n = BLOCK_BYTES / ((int64_t)sizeof(float) * tensor_cols(&it->src));
    const int64_t rows = tensor_rows(&it->src);
    return n < 1 ? 1 : n < rows ? n : rows;
}

/* ---- one row ---- */

/* The source's row that becomes row `r`: rotary pairs beside each other or in two halves. */
static int64_t source_row(const struct export_job *job, const struct export_item *it, int64_t r)
{
    if (!it->is_reordered) return r;
    const int64_t d = job->m->config.d_head, half = d / 2, k = r % d;
    const bool to_halves = job->opt->format == EXPORT_HF;
    return r - k + (to_halves ? 2 * (k % half) + k / half : k % 2 * half + k / 2);
}

/* These loops have no way out in the middle, so that they become vectors. */
static bool is_all_finite(const float *x, int64_t n)
{
    int is_fine = 1;
    for (int64_t i = 0; i < n; i++) is_fine &= fabsf(x[i]) <= FLT_MAX;
    return is_fine;
}

/* Scales are 16-bit floats: of a value beyond their reach an encoder keeps what it can. */
static bool is_cut_off(const float *x, const float *back, int64_t n)
{
    int is_cut = 0;
    for (int64_t i = 0; i < n; i++)
        is_cut |= (fabsf(x[i]) > F16_MAX) & !(fabsf(back[i]) > 0.5f * fabsf(x[i]));
    return is_cut;
}

static void measure(const float *x, const float *back, int64_t n, struct row_result *out)
{
    double sum[8] = {0}, err[8] = {0}; /* in lanes: one sum would wait for each addition */
    for (int64_t i = 0; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++) {
            const double a = (double)x[i + l], d = a - (double)back[i + l];
            sum[l] += a * a;
            err[l] += d * d;
        }
    for (int64_t i = n & ~(int64_t)7; i < n; i++) {
        const double a = (double)x[i], d = a - (double)back[i];
        sum[i & 7] += a * a;
        err[i & 7] += d * d;
    }
    for (int l = 0; l < 8; l++) {
        out->sum_sq += sum[l];
        out->err_sq += err[l];
    }
}

static void convert_row(const struct pump *p, int64_t i, float *x, float *back)
{
    const struct export_item *it = p->it;
    const int64_t n = tensor_cols(&it->src);
    const void *src = tensor_row(&it->src, source_row(p->job, it, p->first + i));
    unsigned char *dst = p->out + (size_t)i * p->to_row_bytes;
    struct row_result *res = &p->result[i];
    *res = (struct row_result){.state = ROW_FINE};
    dtype_info(it->src.dtype)->decode(x, src, n);
    if (!is_all_finite(x, n)) {
        res->state = ROW_BROKEN;
        return;
    }
    if (it->to == it->src.dtype) {
        memcpy(dst, src, p->to_row_bytes);
        return;
    }
    const struct dtype_info *to = dtype_info(it->to);
    to->encode(dst, x, n, it->importance);
    to->decode(back, dst, n);
    if (is_all_finite(back, n) && !is_cut_off(x, back, n))
        measure(x, back, n, res);
    else
        res->state = ROW_OVERFLOWS;
}

static void convert_block(const struct member *me, void *arg)
{
    struct pump *p = arg;
    float *x = p->scratch + (int64_t)me->i * 2 * p->max_cols;
    int64_t begin = 0, end = 0;
    team_share(me, p->n_rows, 1, &begin, &end);
    for (int64_t i = begin; i < end; i++) convert_row(p, i, x, x + p->max_cols);
}

/* ---- what went wrong ---- */

static void source_name(const struct pump *p, char out[TENSOR_NAME_BYTES])
{
    const struct tensor_row *r = p->it->row;
    const enum model_source s = p->job->m->info.source;
    if (!r)
        memcpy(out, p->it->name, TENSOR_NAME_BYTES);
    else
        tensor_name(out,
                    s == SOURCE_HF     ? r->hf
                    : s == SOURCE_META ? r->meta
                                       : r->gguf,
                    p->it->i_layer);
}

static bool row_error(const struct pump *p, int64_t i, struct err *err)
{
    const struct export_item *it = p->it;
    const int64_t n = tensor_cols(&it->src), row = source_row(p->job, it, p->first + i);
    char name[TENSOR_NAME_BYTES];
    float *x = p->scratch;
    float largest = 0;
    int64_t at = 0;
    source_name(p, name);
    dtype_info(it->src.dtype)->decode(x, tensor_row(&it->src, row), n);
    while (at < n && isfinite(x[at])) {
        largest = fmaxf(largest, fabsf(x[at]));
        at++;
    }
    if (p->result[i].state == ROW_BROKEN)
        return err_set(err, ERR_FORMAT,
                       "%s: %s: row %" PRId64 ", column %" PRId64
                       " is %g; fetch the model again or use an earlier checkpoint",
                       p->job->m->info.path, name, row, at, (double)x[at < n ? at : 0]);
    return err_set(err, ERR_LIMIT,
                   "%s: %s: row %" PRId64 " has a value of size %g, which %s cannot hold; use bf16 "
                   "or f32",
                   p->job->m->info.path, name, row, (double)largest, dtype_info(it->to)->name);
}

/* ---- one tensor ---- */

static bool tick(struct pump *p, struct err *err)
{
    if (progress_tick(p->job->opt->progress, "writing", p->done_bytes, p->total_bytes)) return true;
    return err_set(err, ERR_CANCELLED, "%s: stopped on request, nothing was written",
                   p->job->out_path);
}

static bool pump_block(struct pump *p, struct row_result *sum, export_write_fn *write, void *writer,
                       struct err *err)
{
    team_run(p->team, convert_block, p);
    for (int64_t i = 0; i < p->n_rows; i++) {
        if (p->result[i].state != ROW_FINE) return row_error(p, i, err);
        sum->sum_sq += p->result[i].sum_sq;
        sum->err_sq += p->result[i].err_sq;
    }
    if (!write(writer, p->out, (size_t)p->n_rows * p->to_row_bytes, err)) return false;
    p->done_bytes += (uint64_t)p->n_rows * p->it->src.row_bytes;
    return tick(p, err);
}

static bool pump_tensor(struct pump *p, const struct export_item *it, export_write_fn *write,
                        void *writer, struct err *err)
{
    const int64_t rows = tensor_rows(&it->src), step = rows_of_block(it);
    struct row_result sum = {0};
    p->it = it;
    if (!dtype_row_bytes(it->to, tensor_cols(&it->src), &p->to_row_bytes))
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: rows of %" PRId64 " cannot be %s; choose another type", it->name,
                       tensor_cols(&it->src), dtype_info(it->to)->name);
    for (p->first = 0; p->first < rows; p->first += step) {
        p->n_rows = rows - p->first < step ? rows - p->first : step;
        if (!pump_block(p, &sum, write, writer, err)) return false;
    }
    const struct export_stat stat = {
        .name = it->name,
        .from = it->src.dtype,
        .to = it->to,
        .bytes_from = tensor_bytes(&it->src),
        .bytes_to = (uint64_t)rows * p->to_row_bytes,
        .rel_rmse = sum.sum_sq > 0 ? sqrt(sum.err_sq / sum.sum_sq) : 0,
    };
    if (p->job->stat) p->job->stat(p->job->user, &stat);
    return true;
}

/* ---- memory ---- */

static void plan_pump(struct pump *p)
{
    for (size_t i = 0; i < p->job->n_items; i++) {
        const struct export_item *it = &p->job->item[i];
        const int64_t rows = rows_of_block(it), cols = tensor_cols(&it->src);
        size_t row_bytes = 0;
        if (!dtype_row_bytes(it->to, cols, &row_bytes)) continue; /* refused in its turn */
        const int64_t n_out = rows * (int64_t)row_bytes; /* about BLOCK_BYTES, or one row */
        if (rows > p->max_rows) p->max_rows = rows;
        if (cols > p->max_cols) p->max_cols = cols;
        if (n_out > p->max_out) p->max_out = n_out;
        p->total_bytes += tensor_bytes(&it->src);
    }
}

static bool start_pump(struct pump *p, struct err *err)
{
    int n = p->job->opt->n_threads > 0 ? p->job->opt->n_threads : os_cores();
    if (n > MAX_THREADS) n = MAX_THREADS;
    size_t n_scratch = 0;
    plan_pump(p);
    if (size_mul((size_t)p->max_cols, 2 * (size_t)n, &n_scratch))
        p->scratch = calloc(n_scratch, sizeof *p->scratch);
    p->out = malloc((size_t)p->max_out);
    p->result = calloc((size_t)p->max_rows, sizeof *p->result);
    if (!p->scratch || !p->out || !p->result)
        return err_set(err, ERR_MEMORY, "%s: no memory for %d threads to convert in; use fewer",
                       p->job->out_path, n);
    p->team = team_new(n, err);
    return p->team != NULL;
}

bool export_rows(const struct export_job *job, export_write_fn *write, void *writer,
                 struct err *err)
{
    struct pump p = {.job = job};
    bool ok = start_pump(&p, err) && tick(&p, err);
    for (size_t i = 0; ok && i < job->n_items; i++)
        ok = pump_tensor(&p, &job->item[i], write, writer, err);
    team_free(p.team);
    free(p.result);
    free(p.out);
    free(p.scratch);
    return ok;
}
