/* SPDX-License-Identifier: Apache-2.0
 *
 * test_export_refused.c - an export that cannot be right is refused, and one that fails on the way
 * leaves nothing behind.
 */
#include "test.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "export_kit.h"
#include "fault.h"
#include "model/imatrix.h"

static void write_text(const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("{}\n", f);
    fclose(f);
}

/* SCRATCH: wide.gguf (a model), link.gguf to it, hf/ (a model), file.txt, full/ (no model),
 * odd/ (a model and a directory), set-00001-of-00001.gguf (a model). */
static void fill_scratch(void)
{
    scratch_open();
    write_wide(scratch("wide.gguf"), NULL);
    assert_int_equal(symlink(scratch("wide.gguf"), scratch("link.gguf")), 0);
    export_ok(scratch("wide.gguf"), scratch("hf"), EXPORT_HF, NULL);
    export_ok(scratch("wide.gguf"), scratch("set-00001-of-00001.gguf"), EXPORT_GGUF, NULL);
    write_text(scratch("file.txt"));
    assert_int_equal(mkdir(scratch("full"), 0777), 0);
    write_text(scratch("full/letter.txt"));
    assert_int_equal(mkdir(scratch("odd"), 0777), 0);
    write_text(scratch("odd/config.json"));
    assert_int_equal(mkdir(scratch("odd/photos"), 0777), 0);
}

static void test_targets_are_refused(void **state)
{
    static const struct target_case {
        const char *from, *to, *type;
        enum export_format format;
        bool is_overwriting;
        const char *says; /* "" : it is written */
    } cases[] = {
        /* clang-format off */
        {"wide.gguf", "new.gguf",   "q4_0",   EXPORT_GGUF, false, ""},
        {"wide.gguf", "file.txt",   "q4_0",   EXPORT_GGUF, true,  ""},
        {"wide.gguf", "file.txt",   NULL,     EXPORT_GGUF, false, "file.txt: exists"},
        {"wide.gguf", "wide.gguf",  "q4_0",   EXPORT_GGUF, true,  "where the model comes from"},
        {"wide.gguf", "link.gguf",  "q4_0",   EXPORT_GGUF, true,  "where the model comes from"},
        {"link.gguf", "wide.gguf",  "q4_0",   EXPORT_GGUF, true,  "where the model comes from"},
        {"hf",        "hf",         NULL,     EXPORT_HF,   true,  "where the model comes from"},
        {"hf",        "hf/../hf/.", NULL,     EXPORT_HF,   true,  "where the model comes from"},
        {"hf",        "hf/model.safetensors", NULL, EXPORT_GGUF, true, "where the model comes from"},
        {"hf",        "hf/new.gguf", "q8_0",  EXPORT_GGUF, false, ""},
        {"set-00001-of-00001.gguf", "set-00001-of-00001.gguf", NULL, EXPORT_GGUF, true, "where the model comes from"},
        {"hf",        ".",          NULL,     EXPORT_HF,   true,  "where the model comes from"},
        {"wide.gguf", "hf",         NULL,     EXPORT_HF,   false, "hf: is not empty"},
        {"wide.gguf", "full",       NULL,     EXPORT_HF,   true,  "full: holds no model"},
        {"wide.gguf", "odd",        NULL,     EXPORT_HF,   true,  "odd: holds photos"},
        {"wide.gguf", "file.txt",   NULL,     EXPORT_HF,   true,  "file.txt: exists and is no directory"},
        {"wide.gguf", "full",       NULL,     EXPORT_GGUF, true,  "full: is a directory"},
        {"wide.gguf", "no/such.gguf", NULL,   EXPORT_GGUF, true,  "no/such.gguf"},
        {"wide.gguf", "no/such",    NULL,     EXPORT_HF,   true,  "no/such"},
        {"wide.gguf", "x",          "q4_0",   EXPORT_HF,   false, "holds only f32, f16 and bf16"},
        {"wide.gguf", "x",          "q4_k_n", EXPORT_GGUF, false, "did you mean"},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        const struct export_options opt = {.format = cases[i].format,
                                           .type = cases[i].type,
                                           .is_overwriting = cases[i].is_overwriting};
        fill_scratch();
        const int n_before = scratch_count();
        struct model *m = model_open(scratch(cases[i].from), &err);
        assert_ok(m != NULL, &err);
        const bool ok = model_export(m, scratch(cases[i].to), &opt, NULL, NULL, &err);
        if (ok != (cases[i].says[0] == '\0') || !strstr(err.text, cases[i].says))
            fail_msg("%s to %s: %s", cases[i].from, cases[i].to, ok ? "was written" : err.text);
        if (!ok) assert_int_equal(scratch_count(), n_before);
        model_close(m);
        scratch_close();
    }
}

/* ---- weights that cannot be written ---- */

static void with_nan(const char *name, float *x, int64_t n)
{
    if (strcmp(name, "blk.1.attn_k.weight") == 0) x[n - 1] = NAN;
}
static void with_inf(const char *name, float *x, int64_t n)
{
    (void)n;
    if (strcmp(name, "output.weight") == 0) x[256] = -INFINITY;
}
static void with_large(const char *name, float *x, int64_t n)
{
    (void)n;
    if (strcmp(name, "blk.0.ffn_up.weight") == 0) x[1] = 1e9f;
}

static void test_weights_that_are_no_numbers(void **state)
{
    static const struct {
        const char *what, *type;
        enum export_format format;
        change_fn *change;
        enum err_code code;
        const char *says[3];
    } cases[] = {
        /* clang-format off */
        {"NaN",      "q4_k_m", EXPORT_GGUF, with_nan,   ERR_FORMAT, {"blk.1.attn_k.weight", "column 255", "nan"}},
        {"NaN, copied", NULL,  EXPORT_GGUF, with_nan,   ERR_FORMAT, {"blk.1.attn_k.weight", "row 127", "nan"}},
        {"NaN, HF",  "bf16",   EXPORT_HF,   with_nan,   ERR_FORMAT, {"blk.1.attn_k.weight", "row 127", "nan"}},
        {"infinite", "q8_0",   EXPORT_GGUF, with_inf,   ERR_FORMAT, {"output.weight", "row 1, column 0", "-inf"}},
        {"large",    "f16",    EXPORT_GGUF, with_large, ERR_LIMIT,  {"blk.0.ffn_up.weight", "1e+09", "f16"}},
        {"large, blocks", "q4_0", EXPORT_GGUF, with_large, ERR_LIMIT, {"blk.0.ffn_up.weight", "1e+09", "q4_0"}},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        const struct export_options opt = {.format = cases[i].format, .type = cases[i].type};
        scratch_open();
        write_wide(scratch("wide.gguf"), cases[i].change);
        struct model *m = model_open(scratch("wide.gguf"), &err);
        assert_ok(m != NULL, &err);
        const bool ok = model_export(m, scratch("out"), &opt, NULL, NULL, &err);
        for (int k = 0; k < 3; k++)
            if (ok || err.code != cases[i].code || !strstr(err.text, cases[i].says[k]))
                fail_msg("%s: %s", cases[i].what, ok ? "was written" : err.text);
        assert_int_equal(scratch_count(), 1);
        model_close(m);
        scratch_close();
    }
}

static void test_a_strange_importance_matrix(void **state)
{
    static const struct model_config other = {
        .n_layers = 1,
        .d_model = 8,
        .n_heads = 2,
        .n_kv_heads = 1,
        .d_head = 4,
        .d_ff = 8,
        .n_vocab = 16,
        .n_ctx = 64,
        .norm_eps = 1e-5f,
        .rope_theta = 10000,
    };
    static const float x[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct err err = {0};
    (void)state;
    scratch_open();
    write_wide(scratch("wide.gguf"), NULL);
    struct model *m = model_open(scratch("wide.gguf"), &err);
    struct imatrix *im = imatrix_new(&other, &err);
    assert_ok(m && im, &err);
    imatrix_observe(im, ROLE_WQ, 0, x, 1, 8);
    const struct export_options opt = {.type = "q4_0", .imatrix = im};
    assert_false(model_export(m, scratch("q.gguf"), &opt, NULL, NULL, &err));
    assert_int_equal(err.code, ERR_USAGE);
    assert_non_null(strstr(err.text, "importance matrix"));
    imatrix_free(im);
    model_close(m);
    scratch_close();
}

/* ---- failures on the way ---- */

static bool stop_later(void *user, const char *what, uint64_t done, uint64_t total)
{
    int *n_left = user;
    assert_non_null(what);
    assert_true(done <= total);
    return (*n_left)-- > 0;
}

static void test_cancelling_leaves_nothing(void **state)
{
    (void)state;
    for (int format = 0; format < 2; format++)
        for (int n = 0; n < 22; n += 7) {
            struct err err = {0};
            int n_left = n;
            const struct progress p = {.tick = stop_later, .user = &n_left};
            const struct export_options opt = {
                .format = (enum export_format)format, .type = "f16", .progress = &p};
            scratch_open();
            write_wide(scratch("wide.gguf"), NULL);
            struct model *m = model_open(scratch("wide.gguf"), &err);
            assert_ok(m != NULL, &err);
            assert_false(model_export(m, scratch("out"), &opt, NULL, NULL, &err));
            assert_int_equal(err.code, ERR_CANCELLED);
            assert_int_equal(scratch_count(), 1);
            model_close(m);
            scratch_close();
        }
}

/* A disk that fills up: the system refuses to let any file grow past 100 kB. */
static void test_a_full_disk_leaves_nothing(void **state)
{
    struct rlimit old;
    (void)state;
    scratch_open();
    write_wide(scratch("wide.gguf"), NULL);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (int format = 0; format < 2; format++) {
        struct err err = {0};
        const struct rlimit small = {.rlim_cur = 100000, .rlim_max = old.rlim_max};
        const struct export_options opt = {.format = (enum export_format)format, .type = "bf16"};
        struct model *m = model_open(scratch("wide.gguf"), &err);
        assert_ok(m != NULL, &err);
        setrlimit(RLIMIT_FSIZE, &small);
        const bool ok = model_export(m, scratch("out"), &opt, NULL, NULL, &err);
        setrlimit(RLIMIT_FSIZE, &old);
        assert_false(ok);
        assert_int_equal(err.code, ERR_IO);
        assert_int_equal(scratch_count(), 1);
        model_close(m);
    }
    scratch_close();
}

static void test_failures_are_reported(void **state)
{
    static const unsigned kinds[] = {FAULT_MEMORY, FAULT_MEMORY | FAULT_STAYS, FAULT_IO,
                                     FAULT_IO | FAULT_STAYS};
    static const char *const names[] = {"model/bias", "model/llama3-q8_0.gguf", "model/llama3"};
    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_LEN(names); i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            struct err err = {0};
            const struct export_options opt = {
                .format = i % 2 ? EXPORT_HF : EXPORT_GGUF, .type = "f16", .n_threads = 2};
            struct model *m = model_open(golden_path(names[i / 2]), &err);
            assert_ok(m != NULL, &err);
            for (int64_t n = 1;; n++) {
                scratch_open();
                err = (struct err){0};
                fault_arm(kinds[k], n);
                const bool ok = model_export(m, scratch("out"), &opt, NULL, NULL, &err);
                const bool was_hit = fault_disarm();
                if (ok == (err.code != ERR_OK) || (!ok && !was_hit) || scratch_count() != ok)
                    fail_msg("%s, form %zu, call %d: %d left, %s", names[i / 2], i % 2, (int)n,
                             scratch_count(), err.text);
                scratch_close();
                if (!was_hit) break;
            }
            model_close(m);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets_are_refused),
        cmocka_unit_test(test_weights_that_are_no_numbers),
        cmocka_unit_test(test_a_strange_importance_matrix),
        cmocka_unit_test(test_cancelling_leaves_nothing),
        cmocka_unit_test(test_a_full_disk_leaves_nothing),
        cmocka_unit_test(test_failures_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
