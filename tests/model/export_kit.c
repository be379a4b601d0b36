/* SPDX-License-Identifier: Apache-2.0
 *
 * export_kit.c - what export_kit.h promises. Every failure is the test's failure.
 */
#include "test.h"

#include "export_kit.h"

#include <dirent.h>
#include <ftw.h>
#include <unistd.h>

#include "base/rng.h"
#include "formats/gguf.h"

static char scratch_dir[64];

void scratch_open(void)
{
    snprintf(scratch_dir, sizeof scratch_dir, "/tmp/cria-test-export-XXXXXX");
    assert_non_null(mkdtemp(scratch_dir));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

void scratch_close(void) { nftw(scratch_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

const char *scratch(const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_dir, name);
    return path;
}

int scratch_count(void)
{
    int n = 0;
    DIR *d = opendir(scratch_dir);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* ---- a model of wide rows ---- */

static const struct model_config wide = {
    .n_layers = 2,
    .d_model = 256,
    .n_heads = 4,
    .n_kv_heads = 2,
    .d_head = 64,
    .d_ff = 512,
    .n_vocab = 96,
    .n_ctx = 128,
    .norm_eps = 1e-5f,
    .rope_theta = 10000,
};

static void put_wide_keys(struct gguf_writer *w)
{
    static const struct {
        const char *key;
        uint32_t v;
    } numbers[] = {{"llama.block_count", 2},          {"llama.context_length", 128},
                   {"llama.embedding_length", 256},   {"llama.feed_forward_length", 512},
                   {"llama.attention.head_count", 4}, {"llama.attention.head_count_kv", 2}};
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_str(w, "general.name", "Wide: \"one\"", 11);
    gguf_put_str(w, "general.license", "llama3.1", 8);
    gguf_put_str(w, "general.author", "A. Nobody", 9);
    gguf_put_str(w, "strange.key", "kept", 4);
    gguf_put_u32(w, "quantize.imatrix.chunks_count", 3);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) gguf_put_u32(w, numbers[i].key, numbers[i].v);
    gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
}

/* Draws a tensor, and writes it unless `w` is NULL. */
static void write_wide_data(struct gguf_writer *w, const struct tensor_row *r, int32_t layer,
                            struct rng *rng, change_fn *change)
{
    char name[TENSOR_NAME_BYTES];
    struct err err = {0};
    const int64_t n = tensor_dim_size(&wide, r->rows) * tensor_dim_size(&wide, r->cols);
    float *x = calloc((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = r->rows == DIM_NONE ? 1 + 0.1f * rng_normal(rng) : 0.06f * rng_normal(rng);
    tensor_name(name, r->gguf, layer);
    if (change) change(name, x, n);
    assert_ok(!w || gguf_writer_data(w, x, (size_t)n * sizeof *x, &err), &err);
    free(x);
}

/* Part `part` of `n_parts`: every n-th tensor. The random numbers are drawn for all of them. */
static void write_part(const char *path, change_fn *change, int part, int n_parts)
{
    struct err err = {0};
    struct rng rng = rng_seed(31);
    struct gguf_writer *w = gguf_writer_new(&err);
    assert_ok(w != NULL, &err);
    if (part == 0) put_wide_keys(w);
    if (n_parts > 1) {
        gguf_put_u32(w, "split.no", (uint32_t)part);
        gguf_put_u32(w, "split.count", (uint32_t)n_parts);
        gguf_put_u32(w, "split.tensors.count", 21);
    }
    for (int pass = 0; pass < 2; pass++) {
        int n = 0;
        for (size_t i = 0; i < ROLE_COUNT; i++) {
            const struct tensor_row *r = &tensor_rows_table[i];
            const int64_t shape[] = {tensor_dim_size(&wide, r->rows),
                                     tensor_dim_size(&wide, r->cols)};
            const bool is_vector = r->rows == DIM_NONE;
            for (int32_t l = 0; l < tensor_copies(&wide, r); l++) {
                char name[TENSOR_NAME_BYTES];
                const bool is_here = n++ % n_parts == part;
                tensor_name(name, r->gguf, l);
                if (pass)
                    write_wide_data(is_here ? w : NULL, r, l, &rng, change);
                else if (is_here)
                    gguf_put_tensor(w, name, DT_F32, is_vector ? 1 : 2, shape + is_vector);
            }
        }
        if (!pass) assert_ok(gguf_writer_begin(w, path, &err), &err);
    }
    assert_ok(gguf_writer_commit(w, &err), &err);
    gguf_writer_free(w);
}

void write_wide(const char *path, change_fn *change) { write_part(path, change, 0, 1); }

void write_wide_split(const char *first, const char *second)
{
    write_part(first, NULL, 0, 2);
    write_part(second, NULL, 1, 2);
}

/* ---- exporting and comparing ---- */

void export_ok(const char *from, const char *to, enum export_format format, const char *type)
{
    struct err err = {0};
    const struct export_options opt = {.format = format, .type = type, .n_threads = 2};
    struct model *m = model_open(from, &err);
    assert_ok(m != NULL, &err);
    if (!model_export(m, to, &opt, NULL, NULL, &err)) fail_msg("%s to %s: %s", from, to, err.text);
    model_close(m);
}

/* Row `r` of a model in pairs order `a` is this row of one in order `b`. */
static int64_t row_there(int64_t r, int64_t d, enum rope_pairs a, enum rope_pairs b)
{
    const int64_t half = d / 2, head = r / d * d, k = r % d;
    if (a == b) return r;
    return head + (a == ROPE_HALVES ? 2 * (k % half) + k / half : k / 2 + half * (k % 2));
}

static void check_matrix(const char *what, const char *name, const struct tensor *x,
                         const struct tensor *y, const struct model_config *a,
                         const struct model_config *b, bool is_rotated, bool is_exact)
{
    const int64_t n = tensor_cols(x);
    float *p = calloc((size_t)n, sizeof *p), *q = calloc((size_t)n, sizeof *q);
    if (is_exact && x->dtype != y->dtype)
        fail_msg("%s: %s: is %s, was %s", what, name, dtype_info(y->dtype)->name,
                 dtype_info(x->dtype)->name);
    for (int64_t r = 0; r < tensor_rows(x); r++) {
        const int64_t there =
            is_rotated ? row_there(r, a->d_head, a->rope_pairs, b->rope_pairs) : r;
        const void *s = tensor_row(x, r), *t = tensor_row(y, there);
        dtype_info(x->dtype)->decode(p, s, n);
        dtype_info(y->dtype)->decode(q, t, n);
        if (memcmp(p, q, (size_t)n * sizeof *p) != 0 ||
            (is_exact && memcmp(s, t, x->row_bytes) != 0))
            fail_msg("%s: %s: row %d differs", what, name, (int)r);
    }
    free(p);
    free(q);
}

static void check_vector(const char *what, const char *name, const float *x, const float *y,
                         int64_t n, const struct model_config *a, const struct model_config *b,
                         bool is_rotated)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = is_rotated ? row_there(i, a->d_head, a->rope_pairs, b->rope_pairs) : i;
        if (memcmp(&x[i], &y[k], sizeof *x) != 0)
            fail_msg("%s: %s: element %d is %.9g, was %.9g", what, name, (int)i, (double)y[k],
                     (double)x[i]);
    }
}

static void check_frequencies(const char *what, const struct model_config *a,
                              const struct model_config *b)
{
    double f[512], g[512];
    config_inv_freq(a, a->n_ctx, f);
    config_inv_freq(b, b->n_ctx, g);
    for (int32_t i = 0; i < a->d_head / 2; i++)
        if (!(f[i] / g[i] > 1 - 1e-6 && f[i] / g[i] < 1 + 1e-6))
            fail_msg("%s: frequency %d is %.9g, was %.9g", what, (int)i, g[i], f[i]);
}

void check_same_model(const char *what, const char *path_a, const char *path_b, bool is_exact)
{
    struct err err = {0};
    struct model *ma = model_open(path_a, &err), *mb = ma ? model_open(path_b, &err) : NULL;
    assert_ok(mb != NULL, &err);
    const struct model_config *a = model_config(ma), *b = model_config(mb);
    if (a->n_layers != b->n_layers || a->d_model != b->d_model || a->n_heads != b->n_heads ||
        a->n_kv_heads != b->n_kv_heads || a->d_head != b->d_head || a->d_ff != b->d_ff ||
        a->n_vocab != b->n_vocab || a->n_ctx != b->n_ctx || a->is_tied != b->is_tied ||
        a->norm_eps != b->norm_eps || a->has_attn_bias != b->has_attn_bias ||
        a->has_mlp_bias != b->has_mlp_bias)
        fail_msg("%s: the configurations differ", what);
    check_frequencies(what, a, b);
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const struct tensor_row *r = &tensor_rows_table[i];
        for (int32_t l = 0; l < tensor_copies(a, r); l++) {
            char name[TENSOR_NAME_BYTES];
            tensor_name(name, r->gguf, l);
            if (r->rows == DIM_NONE)
                check_vector(what, name, weights_vector(model_weights(ma), r, l),
                             weights_vector(model_weights(mb), r, l), tensor_dim_size(a, r->cols),
                             a, b, r->is_rotated);
            else
                check_matrix(what, name, weights_matrix(model_weights(ma), r, l),
                             weights_matrix(model_weights(mb), r, l), a, b, r->is_rotated,
                             is_exact);
        }
    }
    model_close(ma);
    model_close(mb);
}
