/* SPDX-License-Identifier: Apache-2.0
 *
 * imatrix.c - importance matrices: collecting, writing, reading.
 *
 * The error of a quantized weight w' in a product y = W x is (w' - w) x, so what a weight's error
 * costs on average is its square times the mean square of the input that meets it. All rows of a
 * matrix meet the same inputs: one number a column says it. Sums are kept in double, since a text
 * of a million tokens adds a million squares.
 *
 * The file (spec/inference.md d3) has two tensors for each matrix X: X.in_sum2 [1, k], the sum of
 * squares, and X.counts [1, 1], the number of tokens. Its keys name the text, the number of batches
 * and their usual length; peers refuse a file without them. A file with several matrices a name
 * (mixture of experts) opens, but those entries answer for no matrix of ours.
 *
 * Begin reading at imatrix_observe().
 */
#include "model/imatrix.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "formats/gguf.h"

#define MAX_TABLE_BYTES ((size_t)4 << 30)
#define SUM_SUFFIX ".in_sum2"
#define COUNT_SUFFIX ".counts"

struct entry {
    char name[TENSOR_NAME_BYTES]; /* the matrix's, as in GGUF */
    int64_t k;
    double n_tok;
    double *sum; /* [k] of squares */
    float *mean; /* [k] sum / n_tok */
};

struct imatrix {
    struct arena *arena;
    struct entry *entry; /* collected: ordered by role, then layer; opened: by name */
    size_t n_entries;
    size_t first[ROLE_COUNT]; /* entry of a role's layer 0 */
    uint64_t n_batches, n_tok;
    bool is_ours; /* collected: `first` is set */
};

void imatrix_free(struct imatrix *im)
{
    if (!im) return;
    arena_free(im->arena);
    free(im);
}

static struct imatrix *new_empty(size_t n_entries, struct err *err)
{
    struct imatrix *im = calloc(1, sizeof *im);
    if (!im) {
        err_set(err, ERR_MEMORY, "importance matrix: no memory; free memory");
        return NULL;
    }
    im->arena = arena_new(MAX_TABLE_BYTES, err);
    if (im->arena) im->entry = arena_array(im->arena, n_entries, sizeof *im->entry, err);
    if (im->entry) return im;
    imatrix_free(im);
    return NULL;
}

static bool make_entry(struct imatrix *im, struct entry *e, int64_t k, struct err *err)
{
    e->k = k;
    e->sum = arena_array(im->arena, (size_t)k, sizeof *e->sum, err);
    if (e->sum) e->mean = arena_array(im->arena, (size_t)k, sizeof *e->mean, err);
    return e->mean != NULL;
}

/* ---- collecting ---- */

struct imatrix *imatrix_new(const struct model_config *c, struct err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < ROLE_COUNT; i++)
        if (tensor_rows_table[i].rows != DIM_NONE)
            n += (size_t)tensor_copies(c, &tensor_rows_table[i]);
    struct imatrix *im = new_empty(n, err);
    if (!im) return NULL;
    im->is_ours = true;
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const struct tensor_row *r = &tensor_rows_table[i];
        im->first[i] = im->n_entries;
        for (int32_t l = 0; r->rows != DIM_NONE && l < tensor_copies(c, r); l++) {
            struct entry *e = &im->entry[im->n_entries++];
            tensor_name(e->name, r->gguf, l);
            if (make_entry(im, e, tensor_dim_size(c, r->cols), err)) continue;
            imatrix_free(im);
            return NULL;
        }
    }
    return im;
}

/* What is outside the layers has layer -1. A tied output is observed as the output and quantized as
 * the embedding. */
static struct entry *entry_of(struct imatrix *im, enum tensor_role role, int32_t i_layer)
{
    const size_t next = role + 1 < ROLE_COUNT ? im->first[role + 1] : im->n_entries;
    const size_t at = im->first[role] + (size_t)(i_layer < 0 ? 0 : i_layer);
    if (at < next) return &im->entry[at];
    return role == ROLE_OUTPUT ? &im->entry[im->first[ROLE_TOKEN_EMBD]] : NULL;
}

void imatrix_observe(void *user, enum tensor_role role, int32_t i_layer, const float *x,
                     int64_t n_tok, int64_t k)
{
    struct imatrix *im = user;
    assert(im->is_ours);
    struct entry *e = entry_of(im, role, i_layer);
    if (!e || e->k != k || n_tok < 1) return;
    for (int64_t t = 0; t < n_tok; t++)
        for (int64_t i = 0; i < k; i++) {
            const double v = (double)x[t * k + i];
            e->sum[i] += v * v;
        }
    e->n_tok += (double)n_tok;
    for (int64_t i = 0; i < k; i++) e->mean[i] = (float)(e->sum[i] / e->n_tok);
    if (role != ROLE_WQ || i_layer != 0) return;
    im->n_batches++;
    im->n_tok += (uint64_t)n_tok;
}

/* ---- writing ---- */

static bool check_sums(const struct imatrix *im, const char *path, struct err *err)
{
    size_t n_seen = 0;
    for (size_t j = 0; j < im->n_entries; j++) {
        const struct entry *e = &im->entry[j];
        n_seen += e->n_tok > 0;
        for (int64_t i = 0; i < e->k; i++)
            if (!isfinite((float)e->sum[i]))
                return err_set(err, ERR_FORMAT,
                               "%s: %s: column %" PRId64
                               " saw a sum of squares of %g; the model's weights are broken",
                               path, e->name, i, e->sum[i]);
    }
    if (n_seen) return true;
    return err_set(err, ERR_USAGE, "%s: nothing has been observed; run a text through the model",
                   path);
}

static void put_keys(const struct imatrix *im, struct gguf_writer *w, const char *dataset)
{
    const size_t n_dataset = strlen(dataset);
    const uint64_t n_batches = im->n_batches ? im->n_batches : 1;
    const uint64_t n_each = (im->n_tok + n_batches - 1) / n_batches;
    gguf_put_str(w, "general.type", "imatrix", 7);
    gguf_put_str_array(w, "imatrix.datasets", &dataset, &n_dataset, n_dataset ? 1 : 0);
    gguf_put_u32(w, "imatrix.chunk_count",
                 n_batches < UINT32_MAX ? (uint32_t)n_batches : UINT32_MAX);
    gguf_put_u32(w, "imatrix.chunk_size", n_each < UINT32_MAX ? (uint32_t)n_each : UINT32_MAX);
}

static void declare(const struct entry *e, struct gguf_writer *w)
{
    char name[TENSOR_NAME_BYTES + 16];
    const int64_t sum_shape[] = {1, e->k}, count_shape[] = {1, 1};
    snprintf(name, sizeof name, "%s" SUM_SUFFIX, e->name);
    gguf_put_tensor(w, name, DT_F32, 2, sum_shape);
    snprintf(name, sizeof name, "%s" COUNT_SUFFIX, e->name);
    gguf_put_tensor(w, name, DT_F32, 2, count_shape);
}

static bool write_entry(const struct entry *e, struct gguf_writer *w, struct err *err)
{
    const float count = (float)e->n_tok;
    for (int64_t i = 0; i < e->k; i++) {
        const float sum = (float)e->sum[i];
        if (!gguf_writer_data(w, &sum, sizeof sum, err)) return false;
    }
    return gguf_writer_data(w, &count, sizeof count, err);
}

bool imatrix_save(const struct imatrix *im, const char *path, const char *dataset, struct err *err)
{
    if (!check_sums(im, path, err)) return false;
    struct gguf_writer *w = gguf_writer_new(err);
    if (!w) return false;
    put_keys(im, w, dataset ? dataset : "");
    for (size_t j = 0; j < im->n_entries; j++)
        if (im->entry[j].n_tok > 0) declare(&im->entry[j], w);
    bool ok = gguf_writer_begin(w, path, err);
    for (size_t j = 0; ok && j < im->n_entries; j++)
        if (im->entry[j].n_tok > 0) ok = write_entry(&im->entry[j], w, err);
    ok = ok && gguf_writer_commit(w, err);
    gguf_writer_free(w);
    return ok;
}

/* ---- reading ---- */

/* Length of the matrix's name in "NAME.in_sum2", or 0. */
static size_t matrix_name_bytes(const char *name)
{
    const size_t n = strlen(name), n_suffix = strlen(SUM_SUFFIX);
    if (n <= n_suffix || strcmp(name + n - n_suffix, SUM_SUFFIX) != 0) return 0;
    return n - n_suffix;
}

static const struct gguf_tensor *counts_of(const struct gguf *g, const char *name, size_t n_name)
{
    char counts[TENSOR_NAME_BYTES + 16];
    snprintf(counts, sizeof counts, "%.*s" COUNT_SUFFIX, (int)n_name, name);
    return gguf_find_tensor(g, counts);
}

static bool is_floats(const struct gguf_tensor *t)
{
    return t && t->is_supported && t->t.dtype == DT_F32;
}

static bool read_entry(struct imatrix *im, const struct gguf *g, const struct gguf_tensor *t,
                       struct err *err)
{
    const size_t n_name = matrix_name_bytes(t->name);
    const struct gguf_tensor *counts = counts_of(g, t->name, n_name);
    if (!is_floats(t) || !is_floats(counts))
        return err_set(
            err, ERR_FORMAT,
            "%s: %s: the sums or their counts are missing or no F32; make the file again",
            gguf_path(g), t->name);
    if (tensor_rows(&t->t) != 1) return true; /* experts */
    const float *sum = t->t.data;
    const double count = (double)*(const float *)counts->t.data;
    struct entry *e = &im->entry[im->n_entries];
    if (!(count >= 1 && count < 1e15))
        return err_set(err, ERR_FORMAT, "%s: %s: a count of %g tokens; make the file again",
                       gguf_path(g), counts->name, count);
    if (n_name >= sizeof e->name || !make_entry(im, e, tensor_cols(&t->t), err))
        return n_name < sizeof e->name; /* too long for any of ours */
    memcpy(e->name, t->name, n_name);
    e->n_tok = count;
    for (int64_t i = 0; i < e->k; i++) {
        if (!(sum[i] >= 0 && isfinite(sum[i])))
            return err_set(err, ERR_FORMAT, "%s: %s: column %" PRId64 " is %g; make the file again",
                           gguf_path(g), t->name, i, (double)sum[i]);
        e->sum[i] = (double)sum[i];
        e->mean[i] = (float)(e->sum[i] / count);
    }
    im->n_entries++;
    return true;
}

static bool check_kind(const struct gguf *g, struct err *err)
{
    const char *s = "model";
    size_t n = 5;
    if (!gguf_str(g, "general.type", &s, &n, NULL, err)) return false;
    if (n == 7 && memcmp(s, "imatrix", 7) == 0) return true;
    return err_set(err, ERR_FORMAT,
                   "%s: general.type: is '%.*s', expected 'imatrix'; name a file that was made by "
                   "cria imatrix or llama-imatrix",
                   gguf_path(g), (int)(n < 40 ? n : 40), s);
}

struct imatrix *imatrix_open(const char *path, struct err *err)
{
    struct imatrix *im = NULL;
    struct gguf *g = gguf_open(path, err);
    bool ok = g && check_kind(g, err);
    if (ok) im = new_empty(gguf_n_tensors(g), err);
    ok = im != NULL;
    for (size_t i = 0; ok && i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor(g, i);
        if (matrix_name_bytes(t->name)) ok = read_entry(im, g, t, err);
    }
    if (ok && im->n_entries == 0)
        ok = err_set(err, ERR_FORMAT, "%s: has no sums of any matrix; make the file again", path);
    gguf_close(g);
    if (ok) return im;
    imatrix_free(im);
    return NULL;
}

const float *imatrix_find(const struct imatrix *im, const char *gguf_name, int64_t k)
{
    for (size_t i = 0; i < im->n_entries; i++) {
        const struct entry *e = &im->entry[i];
        if (strcmp(e->name, gguf_name) == 0) return e->k == k && e->n_tok > 0 ? e->mean : NULL;
    }
    return NULL;
}
