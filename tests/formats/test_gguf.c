/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gguf.c - GGUF files that are right: every value type, tensor shapes, split sets, real files,
 * and what we write. Golden files: tests/oracle/formats.py (gguf 0.19.0). Wrong files are
 * test_gguf_bad.c.
 */
#include "bytes.h"

#include "formats/gguf.h"

static const char *golden(const char *name)
{
    static char path[200];
    (void)snprintf(path, sizeof path, "formats/%s", name);
    return golden_path(path);
}

static struct gguf *open_golden(const char *name)
{
    struct err err = {0};
    struct gguf *g = gguf_open(golden(name), &err);
    assert_ok(g, &err);
    return g;
}

/* ---- values ---- */

static const struct {
    const char *key;
    enum gguf_type type;
    double value;
} scalars[] = {
    /* clang-format off */
    {"t.u8",  GGUF_U8,  200},         {"t.i8",  GGUF_I8,  -100},
    {"t.u16", GGUF_U16, 60000},       {"t.i16", GGUF_I16, -30000},
    {"t.u32", GGUF_U32, 4000000000},  {"t.i32", GGUF_I32, -2000000000},
    {"t.f32", GGUF_F32, 0.5},         {"t.f64", GGUF_F64, -1e300},
    {"t.i64", GGUF_I64, -0x1p62},     {"t.u64", GGUF_U64, 0x1p64},
    {"general.alignment", GGUF_U32, 64},
    /* clang-format on */
};

static void test_scalars_of_every_type(void **state)
{
    (void)state;
    struct err err = {0};
    struct gguf *g = open_golden("all.gguf");
    for (size_t i = 0; i < ARRAY_LEN(scalars); i++) {
        double v = 0;
        bool has = false;
        const struct gguf_value *raw = gguf_find(g, scalars[i].key);
        assert_non_null(raw);
        assert_int_equal(raw->type, scalars[i].type);
        assert_ok(gguf_f64(g, scalars[i].key, -1e308, 1e308, &v, &has, &err), &err);
        assert_true(has);
        if (v < scalars[i].value || v > scalars[i].value)
            fail_msg("%s: %g, not %g", scalars[i].key, v, scalars[i].value);
    }
    bool yes = false, no = true;
    assert_ok(gguf_bool(g, "t.yes", &yes, NULL, &err), &err);
    assert_ok(gguf_bool(g, "t.no", &no, NULL, &err), &err);
    assert_true(yes && !no);
    const char *s = NULL;
    size_t n = 0;
    assert_ok(gguf_str(g, "t.str", &s, &n, NULL, &err), &err);
    assert_int_equal(n, strlen("grüße 😀"));
    assert_memory_equal(s, "grüße 😀", n);
    assert_int_equal(gguf_version(g), 3);
    gguf_close(g);
}

static const struct {
    const char *what, *key;
    int64_t min, max;
    bool ok, has;
    const char *says;
} ranges[] = {
    /* clang-format off */
    {"in range",        "t.u8",   0,   255, true,  true,  NULL},
    {"too small",       "t.i8",   0,   255, false, true,  "is -100, allowed are 0 to 255"},
    {"too big",         "t.u32",  0,   100, false, true,  "is 4000000000, allowed are 0 to 100"},
    {"above int64",     "t.u64",  0, INT64_MAX, false, true, "is above 9223372036854775807"},
    {"missing",         "t.none", 0,     1, true,  false, NULL},
    {"a float",         "t.f32",  0,     1, false, true,  "is of type f32 where a whole number"},
    {"a string",        "t.str",  0,     1, false, true,  "is of type string"},
    {"a bool",          "t.yes",  0,     1, false, true,  "is of type bool"},
    {"an array",        "t.ints", 0,     1, false, true,  "is of type array"},
    /* clang-format on */
};

static void test_ranges_and_types_are_checked(void **state)
{
    (void)state;
    struct gguf *g = open_golden("all.gguf");
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        struct err err = {0};
        int64_t v = 77;
        bool has = !ranges[i].has;
        const bool ok = gguf_i64(g, ranges[i].key, ranges[i].min, ranges[i].max, &v, &has, &err);
        if (ok != ranges[i].ok || has != ranges[i].has)
            fail_msg("%s: ok %d has %d: %s", ranges[i].what, ok, has, err.text);
        if ((!ok || !has) && v != 77) fail_msg("%s: output touched", ranges[i].what);
        if (!ok && (err.code != ERR_FORMAT || !strstr(err.text, ranges[i].says)))
            fail_msg("%s: %s", ranges[i].what, err.text);
    }
    gguf_close(g);
}

static void test_arrays(void **state)
{
    (void)state;
    static const char *const want[] = {"a", "", "äöü", "end"};
    struct gguf *g = open_golden("all.gguf");
    const struct gguf_value *v = gguf_find(g, "t.strs");
    const uint8_t *cursor = NULL;
    const char *s = NULL;
    size_t n = 0, i = 0;
    for (; gguf_next_str(v, &cursor, &s, &n); i++) {
        assert_true(i < ARRAY_LEN(want));
        assert_int_equal(n, strlen(want[i]));
        assert_memory_equal(s, want[i], n);
    }
    assert_int_equal(i, 4);
    v = gguf_find(g, "t.ints");
    assert_int_equal(v->n, 3);
    assert_int_equal(gguf_elem_i64(v, 1), -2);
    v = gguf_find(g, "t.floats");
    assert_true(gguf_elem_f64(v, 1) < -0.49 && gguf_elem_f64(v, 1) > -0.51);
    v = gguf_find(g, "t.bools");
    assert_int_equal(gguf_elem_i64(v, 0) + gguf_elem_i64(v, 1) + gguf_elem_i64(v, 2), 2);
    cursor = NULL;
    assert_false(gguf_next_str(v, &cursor, &s, &n)); /* no strings in there */
    gguf_close(g);
}

/* ---- tensors ---- */

static const struct {
    const char *name;
    int32_t n_dims;
    int64_t shape[4];
    uint32_t ggml_type;
    bool is_supported;
    uint64_t n_bytes;
    int ramp; /* -1: not looked at */
} tensors[] = {
    /* clang-format off */
    {"one",    1, {5, 1, 1, 1},    0, true,   20,  0},
    {"two",    2, {3, 4, 1, 1},    0, true,   48,  1},
    {"three",  3, {2, 3, 4, 1},    0, true,   96,  2},
    {"four",   4, {2, 2, 2, 3},    0, true,   96,  3},
    {"half",   2, {4, 8, 1, 1},    1, true,   64,  4},
    {"bf16",   2, {2, 64, 1, 1},  30, true,  256,  5},
    {"q8_0",   2, {2, 64, 1, 1},   8, true,  136, -1},
    {"q4_0",   2, {2, 64, 1, 1},   2, true,   72, -1},
    {"tq2_0",  2, {1, 256, 1, 1}, 35, false,  66, -1},
    {"longs",  1, {6, 1, 1, 1},   27, false,  48, -1},
    /* clang-format on */
};

static void test_tensors_of_every_shape(void **state)
{
    (void)state;
    struct gguf *g = open_golden("all.gguf");
    assert_int_equal(gguf_n_tensors(g), ARRAY_LEN(tensors));
    for (size_t i = 0; i < ARRAY_LEN(tensors); i++) {
        const struct gguf_tensor *t = gguf_find_tensor(g, tensors[i].name);
        assert_ptr_equal(t, gguf_tensor(g, i));
        assert_int_equal(t->ggml_type, tensors[i].ggml_type);
        assert_int_equal(t->is_supported, tensors[i].is_supported);
        assert_int_equal(t->n_bytes, tensors[i].n_bytes);
        assert_int_equal(t->t.n_dims, tensors[i].n_dims);
        assert_memory_equal(t->t.shape, tensors[i].shape, sizeof t->t.shape);
        assert_true(!t->is_supported || tensor_bytes(&t->t) == t->n_bytes);
        if (tensors[i].ramp < 0) continue;
        assert_ramp(t->name, t->t.data, (int)t->t.dtype,
                    (size_t)(tensor_rows(&t->t) * tensor_cols(&t->t)), tensors[i].ramp);
    }
    assert_null(gguf_find_tensor(g, "no such tensor"));
    gguf_close(g);
}

static void test_any_member_opens_the_split_set(void **state)
{
    (void)state;
    for (int m = 1; m <= 3; m++) {
        char name[64];
        int64_t v = 0;
        struct err err = {0};
        (void)snprintf(name, sizeof name, "split-0000%d-of-00003.gguf", m);
        struct gguf *g = open_golden(name);
        assert_int_equal(gguf_n_tensors(g), 5);
        assert_int_equal(gguf_file_bytes(g), 352 + 288 + 192);
        assert_ok(gguf_i64(g, "t.u32", 0, 100, &v, NULL, &err), &err);
        assert_int_equal(v, 7);
        for (int k = 0; k < 5; k++) {
            const struct gguf_tensor *t = gguf_tensor(g, (size_t)k);
            assert_ramp(t->name, t->t.data, 0, 8, k);
        }
        gguf_close(g);
    }
}

/* ---- real files ---- */

static void test_vocabularies_of_llama_cpp(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        uint64_t n_tokens;
    } files[] = {{"tokenizer/ggml-vocab-gpt-2.gguf", 50257},
                 {"tokenizer/ggml-vocab-llama-spm.gguf", 32000}};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct err err = {0};
        const char *path = data_path(files[i].path);
        skip_without(path, files[i].path);
        struct gguf *g = gguf_open(path, &err);
        assert_ok(g, &err);
        assert_int_equal(gguf_find(g, "tokenizer.ggml.tokens")->n, files[i].n_tokens);
        assert_int_equal(gguf_n_tensors(g), 0);
        gguf_close(g);
    }
}

static void test_the_default_model(void **state)
{
    (void)state;
    char path[512];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    struct err err = {0};
    if (cache)
        (void)snprintf(path, sizeof path, "%s", cache);
    else
        (void)snprintf(path, sizeof path, "%s/.cache", home ? home : "");
    (void)strncat(path, "/cria/models/SmolLM2-135M-Instruct.Q4_1.gguf", 100);
    skip_without(path_exists(path), "the default model");
    struct gguf *g = gguf_open(path, &err);
    assert_ok(g, &err);
    assert_int_equal(gguf_n_tensors(g), 272);
    const struct gguf_tensor *t = gguf_find_tensor(g, "token_embd.weight");
    assert_non_null(t);
    assert_int_equal(t->t.shape[0], 49152);
    assert_int_equal(t->t.shape[1], 576);
    gguf_close(g);
}

/* ---- writing ---- */

static void declare_all(struct gguf_writer *w, const struct gguf *from)
{
    static const char *const strs[] = {"a", "", "end"};
    static const size_t lens[] = {1, 0, 3};
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_u32(w, "t.u32", 7);
    gguf_put_f32(w, "t.f32", 0.5f);
    gguf_put_bool(w, "t.yes", true);
    gguf_put_str_array(w, "t.strs", strs, lens, 3);
    gguf_put_i32_array(w, "t.more", (const int32_t[]){1, -2}, 2);
    gguf_put_f32_array(w, "t.floats", (const float[]){0.25f, -0.5f}, 2);
    gguf_put_u32(w, "t.u32", 8); /* replaces, in the first one's place */
    for (size_t i = 0; i < gguf_n_values(from); i++) {
        const struct gguf_value *v = gguf_value(from, i);
        if (strcmp(v->key, "t.u32") != 0 && strcmp(v->key, "t.strs") != 0) gguf_put_value(w, v);
    }
    static const int64_t shape[4] = {2, 3, 2, 32};
    gguf_put_tensor(w, "a", DT_F32, 1, &shape[3]); /* 128 bytes: no padding */
    gguf_put_tensor(w, "b", DT_BF16, 2, shape);
    gguf_put_tensor(w, "c", DT_F32, 4, shape);
}

static void give_ramp(struct gguf_writer *w, bool is_bf16, size_t n, int k)
{
    struct err err = {0};
    for (size_t i = 0; i < n; i++) { /* one element a call */
        const float v = (float)ramp(i, k);
        uint32_t u = 0;
        memcpy(&u, &v, sizeof u);
        const uint16_t h = (uint16_t)(u >> 16);
        const bool ok =
            is_bf16 ? gguf_writer_data(w, &h, 2, &err) : gguf_writer_data(w, &v, 4, &err);
        assert_ok(ok, &err);
    }
}

static void test_written_file_reads_back(void **state)
{
    (void)state;
    char dir[300], path[400];
    struct err err = {0};
    struct gguf *from = open_golden("all.gguf");
    temp_dir(dir, sizeof dir);
    (void)snprintf(path, sizeof path, "%s/written.gguf", dir);
    struct gguf_writer *w = gguf_writer_new(&err);
    assert_ok(w, &err);
    declare_all(w, from);
    assert_ok(gguf_writer_begin(w, path, &err), &err);
    assert_false(path_exists(path)); /* aside until it is whole */
    give_ramp(w, false, 32, 0);
    give_ramp(w, true, 6, 1);
    give_ramp(w, false, 2 * 3 * 2 * 32, 2);
    assert_ok(gguf_writer_commit(w, &err), &err);
    gguf_writer_free(w);

    struct gguf *g = gguf_open(path, &err);
    assert_ok(g, &err);
    assert_string_equal(gguf_value(g, 1)->key, "t.u32");
    int64_t v = 0;
    assert_ok(gguf_i64(g, "t.u32", 0, 10, &v, NULL, &err), &err);
    assert_int_equal(v, 8);
    for (size_t i = 0; i < gguf_n_values(from); i++) {
        const struct gguf_value *x = gguf_value(from, i), *y = gguf_find(g, x->key);
        assert_non_null(y);
        if (strcmp(x->key, "t.u32") == 0 || strcmp(x->key, "t.strs") == 0) continue;
        assert_int_equal(x->type, y->type);
        assert_int_equal(x->n_bytes, y->n_bytes);
        assert_memory_equal(x->raw, y->raw, x->n_bytes);
    }
    assert_int_equal(gguf_n_tensors(g), 3);
    for (int k = 0; k < 3; k++) {
        const struct tensor *t = &gguf_tensor(g, (size_t)k)->t;
        assert_int_equal((uintptr_t)t->data % 64, 0); /* general.alignment came along */
        assert_ramp("written", t->data, (int)t->dtype, (size_t)(tensor_rows(t) * tensor_cols(t)),
                    k);
    }
    gguf_close(g);
    gguf_close(from);
    temp_remove(path);
    temp_remove(dir);
}

/* Each row breaks the contract once; the writer says so and leaves nothing behind. */
static void test_writer_refuses(void **state)
{
    (void)state;
    enum { LONG_NAME, TWICE, BAD_BLOCK, TOO_MUCH, TOO_LITTLE, NO_DIR, BAD_ALIGN, N_ROWS };
    static const char *const says[N_ROWS] = {
        "64 bytes, allowed are 1 to 63",
        "declared twice",
        "bad",
        "where 8 are due",
        "has 4 of 8 bytes",
        "No such file",
        "general.alignment",
    };
    char dir[300], path[400], name[65] = {0};
    memset(name, 'x', 64);
    temp_dir(dir, sizeof dir);
    for (int row = 0; row < N_ROWS; row++) {
        struct err err = {0};
        const float data[4] = {0};
        const int64_t shape[2] = {1, 2}, odd[1] = {33};
        (void)snprintf(path, sizeof path, "%s/%sbad.gguf", dir, row == NO_DIR ? "none/" : "");
        struct gguf_writer *w = gguf_writer_new(&err);
        assert_ok(w, &err);
        gguf_put_tensor(w, row == LONG_NAME ? name : "w", DT_F32, 2, shape);
        if (row == TWICE) gguf_put_tensor(w, "w", DT_F32, 2, shape);
        if (row == BAD_BLOCK) gguf_put_tensor(w, "bad", DT_Q8_0, 1, odd);
        if (row == BAD_ALIGN) gguf_put_u32(w, "general.alignment", 48);
        bool ok = gguf_writer_begin(w, path, &err);
        if (row == TOO_MUCH) ok = ok && gguf_writer_data(w, data, 12, &err);
        if (row == TOO_LITTLE)
            ok = ok && gguf_writer_data(w, data, 4, &err) && gguf_writer_commit(w, &err);
        if (ok || !strstr(err.text, says[row])) fail_msg("row %d: %d: %s", row, ok, err.text);
        gguf_writer_free(w);
        assert_false(path_exists(path));
    }
    temp_remove(dir); /* fails if a part file is left, and then so does the next line */
    assert_true(getenv("CRIA_KEEP_WRITTEN") || !path_exists(dir));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_of_every_type),
        cmocka_unit_test(test_ranges_and_types_are_checked),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_tensors_of_every_shape),
        cmocka_unit_test(test_any_member_opens_the_split_set),
        cmocka_unit_test(test_vocabularies_of_llama_cpp),
        cmocka_unit_test(test_the_default_model),
        cmocka_unit_test(test_written_file_reads_back),
        cmocka_unit_test(test_writer_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
