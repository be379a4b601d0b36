/* SPDX-License-Identifier: Apache-2.0
 *
 * test_safetensors.c - safetensors files and sets: right ones (golden files of safetensors 0.8.0
 * from tests/oracle/formats.py), wrong ones, cut and flipped ones, no memory, and what we write.
 */
#include "bytes.h"

#include <math.h>
#include <sys/stat.h>

#include "fault.h"
#include "formats/safetensors.h"

static const struct {
    const char *name, *dtype;
    int32_t n_dims;
    int64_t shape[4];
    bool is_supported;
    uint64_t n_bytes;
    int ramp;
} types[] = {
    /* clang-format off */
    {"f32",    "F32",     2, {3, 4, 1, 1}, true,  48,  0},
    {"f16",    "F16",     2, {2, 8, 1, 1}, true,  32,  1},
    {"bf16",   "BF16",    3, {2, 2, 5, 1}, true,  40,  2},
    {"u8",     "U8",      1, {3, 1, 1, 1}, false,  3, -1},
    {"i64",    "I64",     1, {4, 1, 1, 1}, false, 32, -1},
    {"scalar", "F32",     0, {1, 1, 1, 1}, false,  4, -1},
    {"empty",  "F32",     2, {0, 4, 1, 1}, false,  0, -1},
    {"fp8",    "F8_E4M3", 1, {4, 1, 1, 1}, false,  4, -1},
    {"bool",   "BOOL",    1, {2, 1, 1, 1}, false,  2, -1},
    {"five",   "F32",     0, {1, 1, 1, 1}, false,  8, -1},
    /* clang-format on */
};

static void test_every_type_is_kept(void **state)
{
    (void)state;
    struct err err = {0};
    struct safetensors *s = safetensors_open(golden_path("formats/types.safetensors"), &err);
    assert_ok(s, &err);
    assert_int_equal(safetensors_n(s), ARRAY_LEN(types));
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        const struct safetensor *x = safetensors_find(s, types[i].name);
        assert_non_null(x);
        assert_string_equal(x->dtype_name, types[i].dtype);
        assert_int_equal(x->is_supported, types[i].is_supported);
        assert_int_equal(x->n_bytes, types[i].n_bytes);
        assert_int_equal(x->t.n_dims, types[i].n_dims);
        assert_memory_equal(x->t.shape, types[i].shape, sizeof x->t.shape);
        if (types[i].ramp < 0) continue;
        assert_ramp(x->name, x->t.data, (int)x->t.dtype,
                    (size_t)(tensor_rows(&x->t) * tensor_cols(&x->t)), types[i].ramp);
    }
    assert_string_equal(safetensors_meta(s, "format"), "pt");
    assert_string_equal(safetensors_meta(s, "note"), "naïve");
    assert_null(safetensors_meta(s, "none"));
    safetensors_close(s);
}

static void test_directory_and_index_open_the_set(void **state)
{
    (void)state;
    static const char *const paths[] = {"formats/sharded",
                                        "formats/sharded/model.safetensors.index.json"};
    static const char *const names[] = {"layer.0.a", "layer.0.b", "layer.1.a", "layer.1.b"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct err err = {0};
        struct safetensors *s = safetensors_open(golden_path(paths[i]), &err);
        assert_ok(s, &err);
        assert_int_equal(safetensors_n(s), 4);
        assert_int_equal(safetensors_file_bytes(s), 448);
        for (int k = 0; k < 4; k++)
            assert_ramp(names[k], safetensors_find(s, names[k])->t.data, 0, 6, k);
        safetensors_close(s);
    }
}

/* ---- wrong files ---- */

#define F32_2 "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":"

static const struct bad {
    const char *what, *json;
    size_t n_data;
    const char *says; /* NULL: this one is right */
} bads[] = {
    /* clang-format off */
    {"one tensor",      "{\"w\":" F32_2 "[0,8]}}", 8, NULL},
    {"no tensor",       "{}", 0, NULL},
    {"padded",          "{\"w\":" F32_2 "[0,8]}}       ", 8, NULL},
    {"unaligned",       "{\"w\":" F32_2 "[0,8]}} ", 8, NULL},
    {"not an object",   "[]", 0, "begins with byte 5b"},
    {"space in front",  " {}", 0, "begins with byte 20"},
    {"half JSON",       "{\"w\":", 0, "t.safetensors"},
    {"not UTF-8",       "{\"\xff\":" F32_2 "[0,8]}}", 8, "UTF-8"},
    {"empty name",      "{\"\":" F32_2 "[0,8]}}", 8, "name is empty"},
    {"zero in name",    "{\"a\\u0000b\":" F32_2 "[0,8]}}", 8, "holds a zero byte"},
    {"same name twice", "{\"w\":" F32_2 "[0,8]},\"w\":" F32_2 "[8,16]}}", 16, "tensor w: is there twice"},
    {"overlap",         "{\"a\":" F32_2 "[0,8]},\"b\":" F32_2 "[4,12]}}", 12, "an overlap"},
    {"same range",      "{\"a\":" F32_2 "[0,8]},\"b\":" F32_2 "[0,8]}}", 8, "an overlap"},
    {"a hole",          "{\"a\":" F32_2 "[0,8]},\"b\":" F32_2 "[12,20]}}", 20, "a hole"},
    {"a hole in front", "{\"a\":" F32_2 "[4,12]}}", 12, "a hole"},
    {"bytes left over", "{\"a\":" F32_2 "[0,8]}}", 9, "1 bytes follow the last"},
    {"cut short",       "{\"a\":" F32_2 "[0,8]}}", 7, "tensor a: its data end at byte"},
    {"falling offsets", "{\"a\":" F32_2 "[8,0]}}", 8, "no \"data_offsets\" of two rising"},
    {"negative offset", "{\"a\":" F32_2 "[-8,0]}}", 8, "no \"data_offsets\""},
    {"huge offset",     "{\"a\":" F32_2 "[0,9223372036854775807]}}", 8, "its data end at byte 92233720368547"},
    {"offset > int64",  "{\"a\":" F32_2 "[0,18446744073709551615]}}", 8, "no \"data_offsets\""},
    {"one offset",      "{\"a\":" F32_2 "[0]}}", 8, "no \"data_offsets\""},
    {"float offset",    "{\"a\":" F32_2 "[0,8.0]}}", 8, "no \"data_offsets\""},
    {"no offsets",      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "no \"data_offsets\""},
    {"no shape",        "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "no array \"shape\""},
    {"no dtype",        "{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "no string \"dtype\""},
    {"key twice",       "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "has a key twice"},
    {"entry no object", "{\"a\":3}", 0, "its entry is no object"},
    {"shape too small", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "1 elements of F32 do not fill the 8 bytes"},
    {"shape wraps",     "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, "more than 2^64 elements"},
    {"bytes wrap",      "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0, "do not fill"},
    {"dimension -1",    "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,8]}}", 8, "a dimension that is no whole number"},
    {"dimension 1.5",   "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}}", 8, "a dimension that is no whole number"},
    {"unknown dtype",   "{\"a\":{\"dtype\":\"F99\",\"shape\":[2],\"data_offsets\":[0,3]}}", 3, NULL},
    {"half bytes",      "{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "3 elements of F4"},
    {"metadata",        "{\"__metadata__\":{\"a\":\"b\"}}", 0, NULL},
    {"metadata number", "{\"__metadata__\":{\"a\":1}}", 0, "a value that is no string"},
    {"metadata array",  "{\"__metadata__\":[]}", 0, "__metadata__: is no object"},
    {"metadata twice",  "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__: is there twice"},
    /* clang-format on */
};

static struct safetensors *open_bytes(const uint8_t *data, size_t n, struct err *err)
{
    struct safetensors *s = safetensors_open_memory(data, n, "t.safetensors", err);
    if ((s == NULL) != (err->code != ERR_OK))
        fail_msg("a refusal without a reason, or the reverse");
    volatile unsigned sum = 0; /* so that the reads stay */
    for (size_t i = 0; s && i < safetensors_n(s); i++) {
        const struct safetensor *x = safetensors_at(s, i);
        for (uint64_t k = 0; k < x->n_bytes; k++) sum = sum + ((const uint8_t *)x->data)[k];
        if (x->is_supported && (uintptr_t)x->t.data % x->t.row_bytes == 0) sum = sum + 1;
    }
    return s;
}

static uint8_t *make_file(const char *json, size_t n_data, size_t *n_out)
{
    struct buf b;
    const uint64_t n = strlen(json);
    buf_init(&b, 1 << 20);
    buf_append(&b, &n, sizeof n);
    buf_puts(&b, json);
    for (size_t i = 0; i < n_data; i++) buf_putc(&b, (char)i);
    uint8_t *data = bytes_exact(b.data, b.n_bytes);
    *n_out = b.n_bytes;
    buf_release(&b);
    return data;
}

static void test_bad_files_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
        struct err err = {0};
        size_t n = 0;
        uint8_t *data = make_file(bads[i].json, bads[i].n_data, &n);
        struct safetensors *s = open_bytes(data, n, &err);
        if ((s != NULL) != (bads[i].says == NULL))
            fail_msg("%s: %s", bads[i].what, s ? "was opened" : err.text);
        if (!s && (!strstr(err.text, bads[i].says) || !strstr(err.text, "t.safetensors")))
            fail_msg("%s: the message is: %s", bads[i].what, err.text);
        safetensors_close(s);
        free(data);
    }
}

static void test_header_lengths(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {0, 1, 3, 100000001, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct err err = {0};
        uint8_t data[10] = {0, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
        memcpy(data, &lengths[i], sizeof lengths[i]);
        assert_null(safetensors_open_memory(data, sizeof data, "t.safetensors", &err));
        assert_int_equal(err.code, ERR_FORMAT);
    }
}

static void test_unaligned_data_are_aligned(void **state)
{
    (void)state;
    static const char *const headers[] = {"{\"w\":" F32_2 "[0,8]}}", "{\"w\":" F32_2 "[0,8]}} ",
                                          "{\"w\":" F32_2 "[0,8]}}  ",
                                          "{\"w\":" F32_2 "[0,8]}}   "};
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        struct err err = {0};
        size_t n = 0;
        uint8_t *data = make_file(headers[i], 8, &n);
        struct safetensors *s = safetensors_open_memory(data, n, "t.safetensors", &err);
        assert_ok(s, &err);
        const struct safetensor *x = safetensors_find(s, "w");
        assert_int_equal((uintptr_t)x->t.data % 4, 0);
        assert_memory_equal(x->t.data, data + n - 8, 8);
        safetensors_close(s);
        free(data);
    }
}

static void test_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct buf b;
    bytes_of_file(&b, golden_path("formats/types.safetensors"));
    for (size_t n = 0; n < b.n_bytes; n++) {
        struct err err = {0};
        uint8_t *data = bytes_exact(b.data, n);
        if (open_bytes(data, n, &err)) fail_msg("cut at %zu: opened", n);
        free(data);
    }
    buf_release(&b);
}

static void test_flipped_bytes_do_no_harm(void **state)
{
    (void)state;
    static const uint8_t flips[] = {0x01, 0x02, 0x10, 0x80};
    struct buf b;
    bytes_of_file(&b, golden_path("formats/types.safetensors"));
    uint8_t *data = bytes_exact(b.data, b.n_bytes);
    for (size_t i = 0; i < b.n_bytes; i++)
        for (size_t f = 0; f < ARRAY_LEN(flips); f++) {
            struct err err = {0};
            data[i] ^= flips[f];
            safetensors_close(open_bytes(data, b.n_bytes, &err));
            data[i] ^= flips[f];
        }
    free(data);
    buf_release(&b);
}

/* ---- the index ---- */

static void put_file(const char *dir, const char *name, const void *data, size_t n)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

#define S1 "model-00001-of-00002.safetensors"
#define S2 "model-00002-of-00002.safetensors"
#define INDEX "model.safetensors.index.json"
#define MAP(a, b, c, d)                                                                            \
    "{\"weight_map\":{\"layer.0.a\":\"" a "\",\"layer.0.b\":\"" b "\",\"layer.1.a\":\"" c          \
    "\",\"layer.1.b\":\"" d "\"}}"

static void test_index_and_shards_must_agree(void **state)
{
    (void)state;
    static const struct {
        const char *what, *index, *says;
    } sets[] = {
        /* clang-format off */
        {"whole",            MAP(S1, S1, S2, S2), NULL},
        {"no map",           "{\"metadata\":{}}", "has no object \"weight_map\""},
        {"empty map",        "{\"weight_map\":{}}", "has no object \"weight_map\""},
        {"no string",        "{\"weight_map\":{\"layer.0.a\":1}}", "is no string"},
        {"path up",          MAP(S1, S1, "../" S2, S2), "is no plain name"},
        {"absolute path",    MAP(S1, S1, "/etc/passwd", S2), "is no plain name"},
        {"hidden file",      MAP(S1, S1, ".x.safetensors", S2), "is no plain name"},
        {"other kind",       MAP(S1, S1, "x.bin", S2), "is no plain name"},
        {"file missing",     MAP(S1, S1, S2, "y.safetensors"), "y.safetensors"},
        {"in another file",  MAP(S1, S2, S2, S2), "has it in another file"},
        {"not in the map",   "{\"weight_map\":{\"layer.0.a\":\"" S1 "\"}}", "has it nowhere"},
        {"not in any shard", "{\"weight_map\":{\"layer.0.a\":\"" S1 "\",\"layer.0.b\":\"" S1 "\",\"x\":\"" S1 "\"}}", "x: is not in " S1},
        {"twice in the map", "{\"weight_map\":{\"layer.0.a\":\"" S1 "\",\"layer.0.b\":\"" S1 "\",\"layer.0.b\":\"" S1 "\"}}", "layer.0.b: is there twice"},
        /* clang-format on */
    };
    char dir[] = "/tmp/cria-test-XXXXXX", path[400];
    struct buf b;
    assert_non_null(mkdtemp(dir));
    bytes_of_file(&b, golden_path("formats/sharded/" S1));
    put_file(dir, S1, b.data, b.n_bytes);
    buf_release(&b);
    bytes_of_file(&b, golden_path("formats/sharded/" S2));
    put_file(dir, S2, b.data, b.n_bytes);
    buf_release(&b);
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        struct err err = {0};
        put_file(dir, INDEX, sets[i].index, strlen(sets[i].index));
        struct safetensors *s = safetensors_open(dir, &err);
        if ((s != NULL) != !sets[i].says) fail_msg("%s: %s", sets[i].what, s ? "opened" : err.text);
        if (!s && !strstr(err.text, sets[i].says)) fail_msg("%s: %s", sets[i].what, err.text);
        safetensors_close(s);
    }
    static const char *const names[] = {S1, S2, INDEX};
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[k]);
        assert_int_equal(remove(path), 0);
    }
    struct err err = {0};
    assert_null(safetensors_open(dir, &err));
    assert_non_null(strstr(err.text, "has neither model.safetensors nor"));
    assert_int_equal(rmdir(dir), 0);
}

/* ---- writing ---- */

static const struct {
    const char *name;
    enum dtype dtype;
    int32_t n_dims;
    int64_t shape[2];
    int ramp; /* the number at the end of the name */
} outs[] = {
    /* clang-format off */
    {"model.z.0", DT_F32,  2, {3, 4}, 0}, {"model.a.1", DT_BF16, 2, {2, 6}, 1},
    {"model.m.2", DT_F16,  1, {8, 1}, 2}, {"model.b.3", DT_F32,  1, {2, 1}, 3},
    /* clang-format on */
};

static uint16_t half_of(double v) /* exact for ramp() */
{
    uint16_t h = 0;
    for (uint32_t u = 0; u < 0x8000; u++)
        if (half_value((uint16_t)u) >= fabs(v) && half_value((uint16_t)u) <= fabs(v))
            h = (uint16_t)u;
    return v < 0 ? (uint16_t)(h | 0x8000) : h;
}

static bool give_ramp(struct safetensors_writer *w, enum dtype dtype, size_t n, int k,
                      struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        const float v = (float)ramp(i, k);
        uint32_t u = 0;
        memcpy(&u, &v, sizeof u);
        const uint16_t h = dtype == DT_F16 ? half_of((double)v) : (uint16_t)(u >> 16);
        if (!(dtype == DT_F32 ? safetensors_writer_data(w, &v, 4, err)
                              : safetensors_writer_data(w, &h, 2, err)))
            return false;
    }
    return true;
}

static bool write_all(const char *dir, uint64_t max_shard_bytes, struct err *err)
{
    struct safetensors_writer *w = safetensors_writer_new(err);
    if (!w) return false;
    safetensors_put_meta(w, "note", "\"quoted\" naïve");
    for (size_t i = 0; i < ARRAY_LEN(outs); i++)
        safetensors_put_tensor(w, outs[i].name, outs[i].dtype, outs[i].n_dims, outs[i].shape);
    bool ok = safetensors_writer_begin(w, dir, max_shard_bytes, err);
    for (size_t i = 0; ok && i < ARRAY_LEN(outs); i++)
        ok = give_ramp(w, outs[i].dtype, (size_t)(outs[i].shape[0] * outs[i].shape[1]),
                       outs[i].ramp, err);
    ok = ok && safetensors_writer_commit(w, err);
    safetensors_writer_free(w);
    return ok;
}

/* Removes the files that the writer may have left; returns how many there were. */
static int clear_dir(const char *dir)
{
    static const char *const names[] = {"model.safetensors",
                                        S1,
                                        S2,
                                        INDEX,
                                        "model-00001-of-00003.safetensors",
                                        "model-00002-of-00003.safetensors",
                                        "model-00003-of-00003.safetensors"};
    int n = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        n += remove(path) == 0;
    }
    return n;
}

/* The header's length, which stands in front of it: a multiple of 8, so that data are aligned. */
static void check_header_length(const char *dir, const char *name)
{
    char path[512];
    uint64_t n = 1;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(&n, sizeof n, 1, f), 1);
    assert_int_equal(n % 8, 0);
    fclose(f);
}

static void test_written_files_read_back(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t max_shard_bytes;
        int n_files;
    } layouts[] = {{"written_single", 0, 1},
                   {"written_sharded", 60, 3}}; /* 48 + 48 bytes, and the index */
    char top[300], dir[400];
    temp_dir(top, sizeof top);
    for (size_t l = 0; l < ARRAY_LEN(layouts); l++) {
        struct err err = {0};
        (void)snprintf(dir, sizeof dir, "%s/%s", top, layouts[l].name);
        (void)mkdir(dir, 0700);
        assert_ok(write_all(dir, layouts[l].max_shard_bytes, &err), &err);
        struct safetensors *s = safetensors_open(dir, &err);
        assert_ok(s, &err);
        assert_int_equal(safetensors_n(s), ARRAY_LEN(outs));
        assert_string_equal(safetensors_meta(s, "format"), "pt");
        assert_string_equal(safetensors_meta(s, "note"), "\"quoted\" naïve");
        for (size_t i = 0; i < ARRAY_LEN(outs); i++) {
            const struct safetensor *x = safetensors_find(s, outs[i].name);
            assert_int_equal(x->t.dtype, outs[i].dtype);
            assert_int_equal(x->t.n_dims, outs[i].n_dims);
            assert_ramp(x->name, x->t.data, (int)x->t.dtype,
                        (size_t)(outs[i].shape[0] * outs[i].shape[1]), outs[i].ramp);
        }
        safetensors_close(s);
        check_header_length(dir, l == 0 ? "model.safetensors" : S1);
        if (l == 1) check_header_length(dir, S2);
        if (getenv("CRIA_KEEP_WRITTEN")) continue;
        assert_int_equal(clear_dir(dir), layouts[l].n_files);
        assert_int_equal(rmdir(dir), 0);
    }
    temp_remove(top);
}

static void test_writer_refuses(void **state)
{
    (void)state;
    enum { QUANTIZED, TWICE, NO_NAME, TOO_LITTLE, TOO_MUCH, NO_DIR, N_ROWS };
    static const char *const says[N_ROWS] = {"safetensors have no type q8_0",
                                             "declared twice",
                                             "0 bytes",
                                             "has 4 of 8 bytes",
                                             "where 8 are due",
                                             "No such file"};
    char top[] = "/tmp/cria-test-XXXXXX", dir[100];
    assert_non_null(mkdtemp(top));
    for (int row = 0; row < N_ROWS; row++) {
        struct err err = {0};
        const int64_t shape[1] = {2}, block[1] = {32};
        const float data[4] = {0};
        (void)snprintf(dir, sizeof dir, "%s%s", top, row == NO_DIR ? "/none" : "");
        struct safetensors_writer *w = safetensors_writer_new(&err);
        assert_ok(w, &err);
        safetensors_put_tensor(w, row == NO_NAME ? "" : "w", DT_F32, 1, shape);
        if (row == TWICE) safetensors_put_tensor(w, "w", DT_F32, 1, shape);
        if (row == QUANTIZED) safetensors_put_tensor(w, "q", DT_Q8_0, 1, block);
        bool ok = safetensors_writer_begin(w, dir, 0, &err);
        if (row == TOO_MUCH) ok = ok && safetensors_writer_data(w, data, 12, &err);
        if (row == TOO_LITTLE)
            ok = ok && safetensors_writer_data(w, data, 4, &err) &&
                 safetensors_writer_commit(w, &err);
        if (ok || !strstr(err.text, says[row])) fail_msg("row %d: %d: %s", row, ok, err.text);
        safetensors_writer_free(w);
        assert_int_equal(clear_dir(top), 0);
    }
    assert_int_equal(rmdir(top), 0);
}

/* ---- no memory, no disk ---- */

static void test_every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    static const char *const files[] = {"formats/types.safetensors", "formats/sharded"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        for (int64_t n = 1;; n++) {
            struct err err = {0};
            fault_arm(FAULT_MEMORY | FAULT_IO, n);
            struct safetensors *s = safetensors_open(golden_path(files[i]), &err);
            const bool was_hit = fault_disarm();
            assert_int_equal(s == NULL, err.code != ERR_OK);
            safetensors_close(s);
            if (!was_hit) {
                assert_non_null(s);
                assert_true(n > 5);
                break;
            }
        }
}

static void test_every_failed_write_leaves_nothing(void **state)
{
    (void)state;
    char dir[] = "/tmp/cria-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    for (int64_t n = 1;; n++) {
        struct err err = {0};
        fault_arm(FAULT_MEMORY | FAULT_IO, n);
        const bool ok = write_all(dir, 60, &err);
        const bool was_hit = fault_disarm();
        assert_int_equal(ok, err.code == ERR_OK);
        const int n_files = clear_dir(dir);
        if (n_files != (ok ? 3 : 0))
            fail_msg("fault %d left %d files: %s", (int)n, n_files, err.text);
        if (rmdir(dir) != 0) fail_msg("fault %d left a part file: %s", (int)n, err.text);
        if (!was_hit) break;
        assert_int_equal(mkdir(dir, 0700), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_is_kept),
        cmocka_unit_test(test_directory_and_index_open_the_set),
        cmocka_unit_test(test_bad_files_are_refused_by_name),
        cmocka_unit_test(test_header_lengths),
        cmocka_unit_test(test_unaligned_data_are_aligned),
        cmocka_unit_test(test_cut_anywhere_is_refused),
        cmocka_unit_test(test_flipped_bytes_do_no_harm),
        cmocka_unit_test(test_index_and_shards_must_agree),
        cmocka_unit_test(test_written_files_read_back),
        cmocka_unit_test(test_writer_refuses),
        cmocka_unit_test(test_every_failed_allocation_is_an_error),
        cmocka_unit_test(test_every_failed_write_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
