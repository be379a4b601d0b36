/* SPDX-License-Identifier: Apache-2.0
 *
 * test_export.c - writing models: the same weights in every form, the promised types, and all that
 * must travel along. What is refused: test_export_refused.c.
 */
#include "test.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "export_kit.h"
#include "model/imatrix.h"
#include "model/quant_recipe.h"
#include "runner.h"

static const char *model_path(const char *name)
{
    char rest[256];
    snprintf(rest, sizeof rest, "model/%s", name);
    return golden_path(rest);
}

/* ---- there and back ---- */

/* Plain types go through both containers and come back bit for bit. */
static void test_plain_types_survive_a_round_trip(void **state)
{
    static const char *const names[] = {"llama3", "llama3-f16.gguf", "bias", "meta", "meta-old"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char from[1024];
        snprintf(from, sizeof from, "%s", model_path(names[i]));
        scratch_open();
        export_ok(from, scratch("a.gguf"), EXPORT_GGUF, NULL);
        check_same_model(names[i], from, scratch("a.gguf"), true);
        export_ok(scratch("a.gguf"), scratch("hf"), EXPORT_HF, NULL);
        check_same_model(names[i], from, scratch("hf"), true);
        export_ok(scratch("hf"), scratch("b.gguf"), EXPORT_GGUF, NULL);
        check_same_model(names[i], from, scratch("b.gguf"), true);
        scratch_close();
    }
}

static void same_bytes(const char *a, const char *b)
{
    struct err err = {0};
    struct file_map *x = file_map_open(a, &err), *y = x ? file_map_open(b, &err) : NULL;
    assert_ok(y != NULL, &err);
    if (file_map_bytes(x) != file_map_bytes(y) ||
        memcmp(file_map_data(x), file_map_data(y), file_map_bytes(x)) != 0)
        fail_msg("%s and %s differ", a, b);
    file_map_close(x);
    file_map_close(y);
}

static void test_quantized_blocks_are_copied(void **state)
{
    (void)state;
    scratch_open();
    export_ok(model_path("llama3-q8_0.gguf"), scratch("a.gguf"), EXPORT_GGUF, NULL);
    check_same_model("q8_0", model_path("llama3-q8_0.gguf"), scratch("a.gguf"), true);
    export_ok(scratch("a.gguf"), scratch("b.gguf"), EXPORT_GGUF, "q8_0");
    same_bytes(scratch("a.gguf"), scratch("b.gguf"));
    export_ok(scratch("a.gguf"), scratch("exact"), EXPORT_HF, "f32");
    check_same_model("q8_0 as f32", scratch("a.gguf"), scratch("exact"), false);
    export_ok(scratch("a.gguf"), scratch("short"), EXPORT_HF, NULL);
    struct err err = {0};
    struct model *m = model_open(scratch("short"), &err);
    assert_ok(m != NULL, &err);
    assert_string_equal(model_info(m)->type_name, "BF16");
    model_close(m);
    scratch_close();
}

static void test_a_split_set_becomes_one_file(void **state)
{
    struct err err = {0};
    const struct export_options opt = {.is_overwriting = true};
    (void)state;
    scratch_open();
    write_wide(scratch("wide.gguf"), NULL);
    write_wide_split(scratch("set-00001-of-00002.gguf"), scratch("set-00002-of-00002.gguf"));
    export_ok(scratch("set-00002-of-00002.gguf"), scratch("one.gguf"), EXPORT_GGUF, NULL);
    check_same_model("split", scratch("wide.gguf"), scratch("one.gguf"), true);
    struct gguf *g = gguf_open(scratch("one.gguf"), &err);
    assert_ok(g != NULL, &err);
    assert_null(gguf_find(g, "split.count"));
    gguf_close(g);
    struct model *m = model_open(scratch("set-00001-of-00002.gguf"), &err);
    assert_ok(m != NULL, &err);
    assert_false(model_export(m, scratch("set-00002-of-00002.gguf"), &opt, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "where the model comes from"));
    model_close(m);
    scratch_close();
}

/* The logits of the same weights in the other order of rows differ by rounding alone. In plain C,
 * where products of BF16 and F32 weights round alike. */
static void test_logits_stay(void **state)
{
    static const int32_t tokens[] = {5, 300, 17, 17, 250, 9, 100, 41, 3, 64};
    static float want[10 * 320], got[10 * 320];
    static const struct {
        const char *name, *type;
        enum export_format format;
    } cases[] = {{"gguf", NULL, EXPORT_GGUF}, {"hf", "f32", EXPORT_HF}};
    struct runner_options opt = runner_defaults();
    struct runner r;
    (void)state;
    opt.ops = ops_variant(0);
    scratch_open();
    runner_open(&r, model_path("llama3"), &opt);
    runner_feed(&r, runner_seq(&r), tokens, 10, 10, want);
    runner_close(&r);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        export_ok(model_path("llama3"), scratch(cases[i].name), cases[i].format, cases[i].type);
        runner_open(&r, scratch(cases[i].name), &opt);
        runner_feed(&r, runner_seq(&r), tokens, 10, 10, got);
        runner_close(&r);
        const float diff = max_abs_diff(want, got, 10 * 320);
        if (!(diff < 1e-4f)) fail_msg("%s: logits differ by %g", cases[i].name, (double)diff);
    }
    scratch_close();
}

/* ---- quantizing ---- */

struct seen {
    const struct quant_recipe *recipe;
    const struct model_config *c;
    double worst;
    uint64_t bytes_to;
    int n, n_encoded;
};

static enum dtype type_by_recipe(const struct seen *s, const char *name)
{
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const struct tensor_row *r = &tensor_rows_table[i];
        for (int32_t l = 0; l < tensor_copies(s->c, r); l++) {
            char want[TENSOR_NAME_BYTES];
            tensor_name(want, r->gguf, l);
            if (strcmp(want, name) != 0) continue;
            return r->rows == DIM_NONE ? DT_F32
                                       : quant_recipe_type(s->recipe, s->c, r->role, l, false,
                                                           tensor_dim_size(s->c, r->cols));
        }
    }
    fail_msg("%s: is no tensor of the model", name);
    return DT_F32;
}

static void see(void *user, const struct export_stat *s)
{
    struct seen *seen = user;
    const enum dtype want = type_by_recipe(seen, s->name);
    if (s->to != want)
        fail_msg("%s: %s is %s, expected %s", seen->recipe->name, s->name, dtype_info(s->to)->name,
                 dtype_info(want)->name);
    seen->n++;
    seen->n_encoded += s->to != s->from;
    seen->bytes_to += s->bytes_to;
    if (s->rel_rmse > seen->worst) seen->worst = s->rel_rmse;
    if (s->to == s->from) assert_true(s->rel_rmse == 0);
}

/* Each recipe writes its types, and loses no more than its bits explain. */
static void test_each_recipe_keeps_its_promise(void **state)
{
    static const struct {
        const char *name;
        double min, max; /* of the worst tensor's relative error, normal weights */
    } cases[] = {
        /* clang-format off */
        {"f32", 0, 0},          {"bf16", 1e-4, 0.003}, {"f16", 1e-5, 0.0005}, {"q8_0", 0.002, 0.008},
        {"q6_k", 0.01, 0.03},   {"q5_k_m", 0.02, 0.05},{"q5_k_s", 0.02, 0.05},{"q5_1", 0.02, 0.06},
        {"q5_0", 0.03, 0.06},   {"q4_k_m", 0.04, 0.1}, {"q4_k_s", 0.04, 0.1}, {"iq4_nl", 0.04, 0.1},
        {"iq4_xs", 0.04, 0.1},  {"q4_1", 0.05, 0.11},  {"q4_0", 0.05, 0.12},  {"q3_k_l", 0.1, 0.25},
        {"q3_k_m", 0.1, 0.25},  {"q3_k_s", 0.1, 0.25}, {"q2_k", 0.2, 0.45},
        /* clang-format on */
    };
    struct err err = {0};
    (void)state;
    scratch_open();
    write_wide(scratch("wide.gguf"), NULL);
    struct model *m = model_open(scratch("wide.gguf"), &err);
    assert_ok(m != NULL, &err);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct export_options opt = {
            .format = EXPORT_GGUF, .type = cases[i].name, .is_overwriting = true};
        struct seen seen = {.recipe = quant_recipe_find(cases[i].name, &err), .c = model_config(m)};
        assert_ok(model_export(m, scratch("q.gguf"), &opt, see, &seen, &err), &err);
        assert_int_equal(seen.n, 21);
        if (!(seen.worst >= cases[i].min && seen.worst <= cases[i].max))
            fail_msg("%s: relative error %g, expected %g to %g", cases[i].name, seen.worst,
                     cases[i].min, cases[i].max);
        struct gguf *g = gguf_open(scratch("q.gguf"), &err);
        assert_ok(g != NULL, &err);
        int64_t type = -1;
        assert_ok(gguf_i64(g, "general.file_type", 0, 100, &type, NULL, &err), &err);
        assert_int_equal(type, seen.recipe->file_type);
        assert_null(gguf_find(g, "quantize.imatrix.chunks_count"));
        gguf_close(g);
    }
    assert_null(quant_recipes[ARRAY_LEN(cases)].name); /* no recipe without a row here */
    model_close(m);
    scratch_close();
}

static void test_threads_do_not_change_the_file(void **state)
{
    struct err err = {0};
    (void)state;
    scratch_open();
    write_wide(scratch("wide.gguf"), NULL);
    struct model *m = model_open(scratch("wide.gguf"), &err);
    assert_ok(m != NULL, &err);
    for (int n = 1; n <= 5; n += 2) {
        char name[16];
        const struct export_options opt = {.type = "q4_k_m", .n_threads = n};
        snprintf(name, sizeof name, "%d.gguf", n);
        assert_ok(model_export(m, scratch(name), &opt, NULL, NULL, &err), &err);
        same_bytes(scratch("1.gguf"), scratch(name));
    }
    model_close(m);
    scratch_close();
}

/* Columns that matter are kept better where an importance matrix says so. */
static void test_importance_is_used(void **state)
{
    static float x[256];
    struct err err = {0};
    double sq[2] = {0};
    (void)state;
    scratch_open();
    write_wide(scratch("wide.gguf"), NULL);
    struct model *m = model_open(scratch("wide.gguf"), &err);
    assert_ok(m != NULL, &err);
    struct imatrix *im = imatrix_new(model_config(m), &err);
    assert_ok(im != NULL, &err);
    for (int i = 0; i < 256; i++) x[i] = i % 8 == 0 ? 30.0f : 0.1f;
    for (int l = 0; l < 2; l++) imatrix_observe(im, ROLE_WQ, l, x, 1, 256);
    for (int k = 0; k < 2; k++) {
        const struct export_options opt = {
            .type = "q4_k_m", .imatrix = k ? im : NULL, .is_overwriting = true};
        assert_ok(model_export(m, scratch("q.gguf"), &opt, NULL, NULL, &err), &err);
        struct model *q = model_open(scratch("q.gguf"), &err);
        assert_ok(q != NULL, &err);
        const struct tensor *a = &model_weights(m)->layer[0].wq,
                            *b = &model_weights(q)->layer[0].wq;
        for (int64_t r = 0; r < tensor_rows(a); r++) {
            float p[256], back[256];
            dtype_info(a->dtype)->decode(p, tensor_row(a, r), 256);
            dtype_info(b->dtype)->decode(back, tensor_row(b, r), 256);
            for (int i = 0; i < 256; i += 8) sq[k] += pow((double)(p[i] - back[i]), 2);
        }
        model_close(q);
    }
    if (!(sq[1] < 0.6 * sq[0])) fail_msg("error %g with importance, %g without", sq[1], sq[0]);
    imatrix_free(im);
    model_close(m);
    scratch_close();
}

/* ---- what travels along ---- */

static void check_info(const char *path, const char *name, const char *license, const char *author)
{
    struct err err = {0};
    struct model *m = model_open(path, &err);
    assert_ok(m != NULL, &err);
    const struct model_info *info = model_info(m);
    const char *const got[] = {info->name, info->license, info->author};
    const char *const want[] = {name, license, author};
    for (int i = 0; i < 3; i++)
        if ((got[i] == NULL) != (want[i] == NULL) || (got[i] && strcmp(got[i], want[i]) != 0))
            fail_msg("%s: '%s', expected '%s'", path, got[i], want[i]);
    model_close(m);
}

static void test_name_and_licence_travel(void **state)
{
    struct err err = {0};
    (void)state;
    scratch_open();
    export_ok(model_path("llama3"), scratch("a.gguf"), EXPORT_GGUF, "q8_0");
    check_info(scratch("a.gguf"), "Tiny three", "llama3.1", NULL);
    export_ok(scratch("a.gguf"), scratch("hf"), EXPORT_HF, NULL);
    check_info(scratch("hf"), "Tiny three", "llama3.1", NULL);
    write_wide(scratch("wide.gguf"), NULL);
    export_ok(scratch("wide.gguf"), scratch("hf2"), EXPORT_HF, "bf16");
    check_info(scratch("hf2"), "Wide: \"one\"", "llama3.1", "A. Nobody");
    export_ok(scratch("hf2"), scratch("b.gguf"), EXPORT_GGUF, NULL);
    check_info(scratch("b.gguf"), "Wide: \"one\"", "llama3.1", "A. Nobody");
    export_ok(model_path("llama3"), scratch("hf3"), EXPORT_HF, NULL);
    same_bytes(scratch("hf3/README.md"), model_path("llama3/README.md"));
    same_bytes(scratch("hf3/tokenizer.json"), model_path("llama3/tokenizer.json"));

    export_ok(scratch("wide.gguf"), scratch("c.gguf"), EXPORT_GGUF, "bf16");
    struct gguf *g = gguf_open(scratch("c.gguf"), &err); /* unknown keys stay */
    assert_ok(g != NULL, &err);
    assert_non_null(gguf_find(g, "strange.key"));
    gguf_close(g);
    scratch_close();
}

static void link_golden(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s", model_path(name));
    assert_int_equal(symlink(path, scratch(name)), 0);
}

/* A Meta directory says its licence by the title of its text: the key and the text both travel. */
static void test_the_licence_text_travels(void **state)
{
    static const char *const files[] = {"meta/consolidated.00.pth", "meta/consolidated.01.pth",
                                        "meta/params.json"};
    (void)state;
    scratch_open();
    assert_int_equal(mkdir(scratch("meta"), 0777), 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) link_golden(files[i]);
    FILE *f = fopen(scratch("meta/LICENSE"), "w");
    assert_non_null(f);
    fputs("META LLAMA 3 COMMUNITY LICENSE AGREEMENT\n...\n", f);
    fclose(f);
    export_ok(scratch("meta"), scratch("hf"), EXPORT_HF, NULL);
    same_bytes(scratch("meta/LICENSE"), scratch("hf/LICENSE"));
    check_info(scratch("hf"), "meta", "llama3", NULL);
    export_ok(scratch("hf"), scratch("a.gguf"), EXPORT_GGUF, "q8_0");
    check_info(scratch("a.gguf"), "meta", "llama3", NULL);
    export_ok(scratch("a.gguf"), scratch("hf2"), EXPORT_HF, NULL);
    struct buf card;
    struct err err = {0};
    buf_init(&card, 1 << 20);
    assert_ok(file_read_all(scratch("hf2/README.md"), 1 << 20, &card, &err), &err);
    assert_non_null(strstr(card.data, "license: llama3\n"));
    assert_non_null(strstr(card.data, "Built with Meta Llama 3"));
    buf_release(&card);
    scratch_close();
}

static void test_the_line_that_a_licence_asks_for(void **state)
{
    static const struct {
        const char *text, *line;
    } cases[] = {
        {"llama3", "Built with Meta Llama 3"},
        {"Meta-Llama-3-8B-Instruct", "Built with Meta Llama 3"},
        {"llama3.1", "Built with Llama"},
        {"meta-llama/Llama-3.2-1B", "Built with Llama"},
        {"apache-2.0", NULL},
        {"llama2", NULL},
        {"llama30", NULL},
        {NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *got = model_built_with(cases[i].text);
        print_message("%s\n", cases[i].text ? cases[i].text : "NULL");
        if (cases[i].line)
            assert_string_equal(got, cases[i].line);
        else
            assert_null(got);
    }
}

/* The words of the model encode to the same ids in every form. */
static void test_the_vocabulary_travels(void **state)
{
    static const char text[] = "A small model, the letters<|eot_id|> merged \xc3\xa4 42.";
    static const char *const names[] = {NULL, "a.gguf", "hf", "b.gguf"};
    struct ids want = {0};
    (void)state;
    scratch_open();
    export_ok(model_path("llama3"), scratch("a.gguf"), EXPORT_GGUF, NULL);
    export_ok(scratch("a.gguf"), scratch("hf"), EXPORT_HF, NULL);
    export_ok(scratch("hf"), scratch("b.gguf"), EXPORT_GGUF, NULL);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct err err = {0};
        struct ids got = {0};
        struct model *m = model_open(names[i] ? scratch(names[i]) : model_path("llama3"), &err);
        assert_ok(m != NULL, &err);
        assert_non_null(model_tokenizer(m));
        assert_ok(tokenizer_encode(model_tokenizer(m), text, strlen(text),
                                   ENCODE_SPECIAL | ENCODE_DEFAULT_BOS, i ? &got : &want, &err),
                  &err);
        if (i && (got.n != want.n || memcmp(got.id, want.id, got.n * sizeof *got.id) != 0))
            fail_msg("%s: %zu ids differ from the original's %zu", names[i], got.n, want.n);
        const int32_t eot = tokenizer_find(model_tokenizer(m), "<|eot_id|>", 10);
        assert_true(eot >= 0 && tokenizer_is_stop(model_tokenizer(m), eot));
        ids_release(&got);
        model_close(m);
    }
    ids_release(&want);
    scratch_close();
}

static void test_shards_have_an_index(void **state)
{
    struct err err = {0};
    const struct export_options opt = {.format = EXPORT_HF, .max_shard_bytes = 30000};
    (void)state;
    scratch_open();
    struct model *m = model_open(model_path("llama3"), &err);
    assert_ok(m != NULL, &err);
    assert_ok(model_export(m, scratch("hf"), &opt, NULL, NULL, &err), &err);
    model_close(m);
    assert_true(path_exists(scratch("hf/model.safetensors.index.json")));
    assert_false(path_exists(scratch("hf/model.safetensors")));
    check_same_model("shards", model_path("llama3"), scratch("hf"), true);
    scratch_close();
}

static void test_overwriting_replaces_all_files(void **state)
{
    struct err err = {0};
    const struct export_options opt = {.format = EXPORT_HF, .is_overwriting = true};
    (void)state;
    scratch_open();
    export_ok(model_path("bias"), scratch("hf"), EXPORT_HF, NULL);
    FILE *f = fopen(scratch("hf/old.txt"), "w");
    assert_non_null(f);
    fclose(f);
    struct model *m = model_open(model_path("llama3"), &err);
    assert_ok(m != NULL, &err);
    assert_int_equal(symlink(scratch("hf"), scratch("link")), 0);
    assert_ok(model_export(m, scratch("link"), &opt, NULL, NULL, &err), &err);
    model_close(m);
    check_same_model("overwritten", model_path("llama3"), scratch("hf"), true);
    assert_false(path_exists(scratch("hf/old.txt")));
    assert_int_equal(scratch_count(), 2); /* hf and the link */
    assert_int_equal(mkdir(scratch("empty"), 0777), 0);
    export_ok(model_path("bias"), scratch("empty"), EXPORT_HF, NULL);
    scratch_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_line_that_a_licence_asks_for),
        cmocka_unit_test(test_plain_types_survive_a_round_trip),
        cmocka_unit_test(test_quantized_blocks_are_copied),
        cmocka_unit_test(test_a_split_set_becomes_one_file),
        cmocka_unit_test(test_logits_stay),
        cmocka_unit_test(test_each_recipe_keeps_its_promise),
        cmocka_unit_test(test_threads_do_not_change_the_file),
        cmocka_unit_test(test_importance_is_used),
        cmocka_unit_test(test_name_and_licence_travel),
        cmocka_unit_test(test_the_licence_text_travels),
        cmocka_unit_test(test_the_vocabulary_travels),
        cmocka_unit_test(test_shards_have_an_index),
        cmocka_unit_test(test_overwriting_replaces_all_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
