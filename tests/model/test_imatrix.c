/* SPDX-License-Identifier: Apache-2.0
 *
 * test_imatrix.c - importance matrices: the mean squares are those of the inputs, files come back
 * as they were written, a peer's file is read, and broken ones are refused.
 */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "fault.h"
#include "formats/gguf.h"
#include "model/imatrix.h"
#include "runner.h"

static const struct model_config tiny = {
    .n_layers = 2,
    .d_model = 4,
    .n_heads = 2,
    .n_kv_heads = 1,
    .d_head = 2,
    .d_ff = 8,
    .n_vocab = 16,
    .n_ctx = 64,
    .norm_eps = 1e-5f,
    .rope_theta = 10000,
    .is_tied = true,
};

static const char *temp_path(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/cria-test-imatrix-%d.gguf", (int)getpid());
    return path;
}

static struct imatrix *collected(void)
{
    static const float a[] = {1, 2, 3, 4, 3, 2, 1, 0}, b[] = {5, 0, 0, 2};
    static const float wide[] = {1, 1, 1, 1, 1, 1, 1, -9};
    struct err err = {0};
    struct imatrix *im = imatrix_new(&tiny, &err);
    assert_ok(im != NULL, &err);
    imatrix_observe(im, ROLE_WQ, 0, a, 2, 4);
    imatrix_observe(im, ROLE_WQ, 0, b, 1, 4);
    imatrix_observe(im, ROLE_DOWN, 1, wide, 1, 8);
    imatrix_observe(im, ROLE_OUTPUT, 0, b, 1, 4); /* tied: the embedding's */
    return im;
}

static void check_collected(const struct imatrix *im)
{
    static const struct {
        const char *name;
        int64_t k;
        float want[8];
    } cases[] = {
        {"blk.0.attn_q.weight", 4, {35.0f / 3, 8.0f / 3, 10.0f / 3, 20.0f / 3}},
        {"blk.1.ffn_down.weight", 8, {1, 1, 1, 1, 1, 1, 1, 81}},
        {"token_embd.weight", 4, {25, 0, 0, 4}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const float *mean = imatrix_find(im, cases[i].name, cases[i].k);
        assert_non_null(mean);
        for (int64_t k = 0; k < cases[i].k; k++)
            if (fabsf(mean[k] - cases[i].want[k]) > 1e-5f * cases[i].want[k])
                fail_msg("%s: column %d: %g, expected %g", cases[i].name, (int)k, (double)mean[k],
                         (double)cases[i].want[k]);
    }
    assert_null(imatrix_find(im, "blk.0.attn_q.weight", 8)); /* another width */
    assert_null(imatrix_find(im, "blk.1.attn_q.weight", 4)); /* never seen */
    assert_null(imatrix_find(im, "blk.7.attn_q.weight", 4));
}

static void test_means_survive_a_file(void **state)
{
    struct err err = {0};
    (void)state;
    struct imatrix *im = collected();
    check_collected(im);
    assert_ok(imatrix_save(im, temp_path(), "a text.txt", &err), &err);
    imatrix_free(im);
    im = imatrix_open(temp_path(), &err);
    assert_ok(im != NULL, &err);
    check_collected(im);
    imatrix_free(im);

    struct gguf *g = gguf_open(temp_path(), &err); /* what peers ask for */
    assert_ok(g != NULL, &err);
    static const char *const keys[] = {"imatrix.datasets", "imatrix.chunk_count",
                                       "imatrix.chunk_size"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) assert_non_null(gguf_find(g, keys[i]));
    const struct gguf_tensor *t = gguf_find_tensor(g, "blk.0.attn_q.weight.counts");
    assert_non_null(t);
    assert_float_equal(*(const float *)t->t.data, 3, 0);
    gguf_close(g);
    unlink(temp_path());
}

/* Made by tests/oracle/export.py with the gguf package, in the layout of llama-imatrix. */
static void test_a_peers_file_is_read(void **state)
{
    struct err err = {0};
    (void)state;
    struct imatrix *im = imatrix_open(golden_path("model/imatrix.gguf"), &err);
    assert_ok(im != NULL, &err);
    const float *q = imatrix_find(im, "blk.0.attn_q.weight", 32);
    const float *down = imatrix_find(im, "blk.2.ffn_down.weight", 64);
    assert_non_null(q);
    assert_non_null(down);
    for (int i = 0; i < 32; i++) assert_float_equal(q[i], (float)(i + 1) / 8, 1e-6);
    for (int i = 0; i < 64; i++) assert_float_equal(down[i], (float)(64 - i) / 16, 1e-6);
    assert_null(imatrix_find(im, "blk.0.ffn_gate_exps.weight", 32)); /* two matrices in one */
    imatrix_free(im);
}

/* Every matrix product of a step is seen, with the width of its matrix. */
static void test_a_forward_pass_fills_it(void **state)
{
    static const int32_t tokens[] = {7, 1, 200, 31, 5, 64, 64, 9};
    static float logits[8 * 320]; /* without them the output is not computed */
    struct runner r;
    struct err err = {0};
    (void)state;
    const struct runner_options opt = runner_defaults();
    runner_open(&r, golden_path("model/llama3"), &opt);
    const struct model_config *c = model_config(r.m);
    struct imatrix *im = imatrix_new(c, &err);
    assert_ok(im != NULL, &err);
    forward_observe(r.f, imatrix_observe, im);
    runner_feed(&r, runner_seq(&r), tokens, 8, 8, logits);
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const struct tensor_row *row = &tensor_rows_table[i];
        if (row->rows == DIM_NONE || row->role == ROLE_TOKEN_EMBD) continue;
        for (int32_t l = 0; l < tensor_copies(c, row); l++) {
            char name[TENSOR_NAME_BYTES];
            tensor_name(name, row->gguf, l);
            const float *mean = imatrix_find(im, name, tensor_dim_size(c, row->cols));
            if (!mean || !(mean[0] > 0)) fail_msg("%s: was not seen", name);
        }
    }
    /* wq, wk and wv share their input; so do gate and up */
    assert_memory_equal(imatrix_find(im, "blk.1.attn_q.weight", 32),
                        imatrix_find(im, "blk.1.attn_v.weight", 32), 32 * sizeof(float));
    imatrix_free(im);
    runner_close(&r);
}

/* ---- what is refused ---- */

static void write_odd(const char *type, const char *sum_name, const char *count_name, float sum,
                      float count)
{
    static const int64_t shape[] = {1, 1};
    struct err err = {0};
    struct gguf_writer *w = gguf_writer_new(&err);
    assert_ok(w != NULL, &err);
    if (type) gguf_put_str(w, "general.type", type, strlen(type));
    gguf_put_tensor(w, sum_name, DT_F32, 2, shape);
    gguf_put_tensor(w, count_name, DT_F32, 2, shape);
    assert_ok(gguf_writer_begin(w, temp_path(), &err), &err);
    assert_ok(gguf_writer_data(w, &sum, sizeof sum, &err), &err);
    assert_ok(gguf_writer_data(w, &count, sizeof count, &err), &err);
    assert_ok(gguf_writer_commit(w, &err), &err);
    gguf_writer_free(w);
}

static void test_broken_files_are_refused(void **state)
{
    static const struct {
        const char *what, *type, *sum_name, *count_name;
        float sum, count;
        const char *says; /* NULL: it opens */
    } cases[] = {
        /* clang-format off */
        {"as it should be", "imatrix", "x.in_sum2", "x.counts", 4, 2, NULL},
        {"a model",         "model",   "x.in_sum2", "x.counts", 4, 2, "is 'model', expected 'imatrix'"},
        {"no type",         NULL,      "x.in_sum2", "x.counts", 4, 2, "expected 'imatrix'"},
        {"no sums",         "imatrix", "x.in_sum",  "x.counts", 4, 2, "no sums"},
        {"no counts",       "imatrix", "x.in_sum2", "x.count",  4, 2, "x.in_sum2"},
        {"count of 0",      "imatrix", "x.in_sum2", "x.counts", 4, 0, "x.counts: a count of 0"},
        {"count NaN",       "imatrix", "x.in_sum2", "x.counts", 4, NAN, "x.counts"},
        {"sum below 0",     "imatrix", "x.in_sum2", "x.counts", -1, 2, "column 0 is -1"},
        {"sum infinite",    "imatrix", "x.in_sum2", "x.counts", INFINITY, 2, "column 0 is inf"},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        write_odd(cases[i].type, cases[i].sum_name, cases[i].count_name, cases[i].sum,
                  cases[i].count);
        struct imatrix *im = imatrix_open(temp_path(), &err);
        if ((im == NULL) != (cases[i].says != NULL) ||
            (!im && (!strstr(err.text, cases[i].says) || !strstr(err.text, temp_path()))))
            fail_msg("%s: %s", cases[i].what, im ? "was taken" : err.text);
        imatrix_free(im);
    }
    unlink(temp_path());
}

static void test_nothing_useful_is_not_written(void **state)
{
    static const float nan[] = {1, NAN, 1, 1};
    struct err err = {0};
    (void)state;
    struct imatrix *im = imatrix_new(&tiny, &err);
    assert_ok(im != NULL, &err);
    assert_false(imatrix_save(im, temp_path(), NULL, &err));
    assert_non_null(strstr(err.text, "nothing has been observed"));
    imatrix_observe(im, ROLE_WV, 1, nan, 1, 4);
    err = (struct err){0};
    assert_false(imatrix_save(im, temp_path(), NULL, &err));
    assert_non_null(strstr(err.text, "blk.1.attn_v.weight: column 1"));
    assert_int_not_equal(access(temp_path(), F_OK), 0);
    imatrix_free(im);
}

static void test_failures_are_reported(void **state)
{
    static const unsigned kinds[] = {FAULT_MEMORY, FAULT_MEMORY | FAULT_STAYS, FAULT_IO,
                                     FAULT_IO | FAULT_STAYS};
    (void)state;
    struct imatrix *im = collected();
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (int64_t n = 1;; n++) {
            struct err err = {0};
            fault_arm(kinds[k], n);
            struct imatrix *fresh = imatrix_new(&tiny, &err);
            bool ok = fresh && imatrix_save(im, temp_path(), "text", &err);
            struct imatrix *back = ok ? imatrix_open(temp_path(), &err) : NULL;
            const bool was_hit = fault_disarm();
            ok = ok && back;
            if (ok == (err.code != ERR_OK) || (!ok && !was_hit))
                fail_msg("call %d: %s", (int)n, err.text);
            imatrix_free(fresh);
            imatrix_free(back);
            unlink(temp_path());
            if (!was_hit) break;
        }
    imatrix_free(im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_means_survive_a_file),
        cmocka_unit_test(test_a_peers_file_is_read),
        cmocka_unit_test(test_a_forward_pass_fills_it),
        cmocka_unit_test(test_broken_files_are_refused),
        cmocka_unit_test(test_nothing_useful_is_not_written),
        cmocka_unit_test(test_failures_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
