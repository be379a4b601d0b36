/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gguf_bad.c - GGUF files that lie, are cut short or flipped, and memory that runs out: always
 * an error that says where, never a crash, a read past the end, or a leak (run under sanitizers).
 * The rows follow the rules of spec/inference.md b2.
 */
#include "bytes.h"

#include <sys/stat.h>

#include "fault.h"
#include "formats/gguf.h"

#define KEY "sk i4 i1 "         /* key k: u32 1 */
#define FRONT "tGGUF i3 q1 q0 " /* one tensor, no key */
#define KEYS "tGGUF i3 q0 q1 "  /* no tensor, one key */
#define TAIL " p32 r64"         /* 64 bytes of data */

static const struct bad {
    const char *what, *file;
    const char *says; /* NULL: this one is right */
} bads[] = {
    /* clang-format off */
    {"empty",                "",                                   "wants 4 bytes where 0 are left"},
    {"other magic",          "tGGML i3 q0 q0",                     "instead of \"GGUF\""},
    {"version 0",            "tGGUF i0 q0 q0",                     "version 0 is not known"},
    {"version 1",            "tGGUF i1 i0 i0 r16",                 "version 1 (2023) is not read"},
    {"version 2",            "tGGUF i2 q0 q0",                     NULL},
    {"version 4",            "tGGUF i4 q0 q0",                     "version 4 is not known"},
    {"big-endian",           "tGGUF i0x03000000 q0 q0",            "big-endian file (version 3)"},
    {"nothing in it",        "tGGUF i3 q0 q0",                     NULL},
    {"too many tensors",     "tGGUF i3 q65537 q0",                 "number of tensors is 65537"},
    {"2^63 tensors",         "tGGUF i3 q0x8000000000000000 q0",    "number of tensors is 9223372036854775808"},
    {"too many keys",        "tGGUF i3 q0 q65537",                 "number of keys is 65537"},
    {"keys not there",       "tGGUF i3 q0 q65536",                 "do not fit into a file of 24 bytes"},
    {"tensors not there",    "tGGUF i3 q65536 q0",                 "do not fit into a file of 24 bytes"},

    {"one key",              KEYS KEY,                             NULL},
    {"empty key",            KEYS "q0 i4 i1 r8",                   "length of its name is 0"},
    {"key too long",         KEYS "q65536 r100",                   "length of its name is 65536"},
    {"key past the end",     KEYS "q60 r10",                       "wants 60 bytes where 10 are left"},
    {"key of 2^64-1",        KEYS "q0xffffffffffffffff r20",       "allowed are 1 to 65535"},
    {"zero byte in key",     KEYS "q3 tab o0 i4 i1 r8",            "holds a zero byte"},
    {"same key twice",       "tGGUF i3 q0 q2 " KEY KEY,            "key k: is there twice"},
    {"value type 13",        KEYS "sk i13 q0",                     "value type 13 is not known"},
    {"bool 1",               KEYS "sk i7 o1",                      NULL},
    {"bool 2",               KEYS "sk i7 o2",                      "a bool is 2"},
    {"bool 255 in array",    KEYS "sk i9 i7 q3 o0 o1 o255",        "a bool is 255"},
    {"string past the end",  KEYS "sk i8 q9 tabc",                 "wants 9 bytes where 3 are left"},
    {"string over 16 MiB",   KEYS "sk i8 q16777217",               "length of a string is 16777217"},
    {"string of 2^64-1",     KEYS "sk i8 q0xffffffffffffffff",     "length of a string is 18446744073709551615"},
    {"template over 1 MiB",  KEYS "stokenizer.chat_template i8 q1048577", "allowed are 0 to 1048576"},
    {"empty array",          KEYS "sk i9 i4 q0",                   NULL},
    {"array past the end",   KEYS "sk i9 i4 q3 i1 i2",             "count of an array is 3, allowed are 0 to 2"},
    {"array count wraps",    KEYS "sk i9 i10 q0x2000000000000000", "count of an array is 2305843009213693952"},
    {"strings past the end", KEYS "sk i9 i8 q2 sab q1",            "wants 1 bytes where 0 are left"},
    {"array of arrays",      KEYS "sk i9 i9 q1 i4 q0",             "arrays of arrays"},
    {"array of type 99",     KEYS "sk i9 i99 q1 i4 q0",            "element type 99 is not known"},
    {"alignment 8",          "tGGUF i3 q1 q1 sgeneral.alignment i4 i8 sw i1 q2 i0 q8 p8 r16", NULL},
    {"alignment 0",          KEYS "sgeneral.alignment i4 i0",      "general.alignment: is 0"},
    {"alignment 4",          KEYS "sgeneral.alignment i4 i4",      "general.alignment: is 4"},
    {"alignment 48",         KEYS "sgeneral.alignment i4 i48",     "general.alignment: is 48"},
    {"alignment 2^17",       KEYS "sgeneral.alignment i4 i131072", "general.alignment: is 131072"},
    {"alignment a string",   KEYS "sgeneral.alignment i8 s32",     "general.alignment: is -1 (string)"},

    {"one tensor",           FRONT "sw i2 q4 q2 i0 q0" TAIL,       NULL},
    {"offset in the middle", FRONT "sw i2 q4 q2 i0 q32" TAIL,      NULL},
    {"name of 63",           FRONT "sxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                             " i1 q1 i0 q0" TAIL,                  NULL},
    {"name of 64",           FRONT "sxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                             " i1 q1 i0 q0" TAIL,                  "length of its name is 64"},
    {"no dimensions",        FRONT "sw i0 i0 q0 r16" TAIL,         "has 0 dimensions"},
    {"5 dimensions",         FRONT "sw i5 q1 q1 q1 q1 q1 i0 q0" TAIL, "has 5 dimensions"},
    {"2^32-1 dimensions",    FRONT "sw i0xffffffff q1 i0 q0" TAIL, "has 4294967295 dimensions"},
    {"dimension 0",          FRONT "sw i2 q4 q0 i0 q0" TAIL,       "a dimension is 0"},
    {"dimension -1",         FRONT "sw i1 q0xffffffffffffffff i0 q0" TAIL, "a dimension is 18446744073709551615"},
    {"product 2^49",         FRONT "sw i2 q0x1000000 q0x2000000 i0 q0" TAIL, "a dimension is 33554432"},
    {"product wraps to 0",   FRONT "sw i4 q0x10000 q0x10000 q0x10000 q0x10000 i0 q0" TAIL, "a dimension is 65536"},
    {"type 43",              FRONT "sw i1 q1 i4242 q0" TAIL,       "tensor type 4242 is not known"},
    {"type we lack",         FRONT "sw i1 q256 i16 q0 p32 r96",    NULL},
    {"type we lack, cut",    FRONT "sw i1 q256 i16 q0 p32 r65",    "the file is cut short"},
    {"half a block",         FRONT "sw i2 q33 q2 i8 q0" TAIL,      "33 elements are no whole number of q8_0 blocks"},
    {"half a foreign block", FRONT "sw i2 q128 q2 i16 q0" TAIL,    "128 elements are no whole number of"},
    {"offset askew",         FRONT "sw i1 q1 i0 q4" TAIL,          "offset 4 is no multiple of the alignment 32"},
    {"offset at the end",    FRONT "sw i1 q1 i0 q64" TAIL,         "tensor w: its data end at byte"},
    {"offset wraps",         FRONT "sw i1 q16 i0 q0xffffffffffffffe0" TAIL, "tensor w: its data end at byte"},
    {"size past the end",    FRONT "sw i1 q17 i0 q0" TAIL,         "tensor w: its data end at byte"},
    {"same name twice",      "tGGUF i3 q2 q0 sw i1 q1 i0 q0 sw i1 q1 i0 q32" TAIL, "tensor w: is there twice"},
    {"same data twice",      "tGGUF i3 q2 q0 sa i1 q8 i0 q0 sb i1 q8 i0 q0" TAIL, "tensors a and b: their data overlap"},
    {"data overlap",         "tGGUF i3 q2 q0 sb i1 q4 i0 q32 sa i1 q9 i0 q0" TAIL, "tensors a and b: their data overlap"},
    {"any order",            "tGGUF i3 q2 q0 sb i1 q4 i0 q32 sa i1 q8 i0 q0" TAIL, NULL},
    {"one of a set",         KEYS "ssplit.count i2 h3",            "one of a set of 3 files"},
    {"a set of one",         KEYS "ssplit.count i2 h1",            NULL},
    {"a set of -1",          KEYS "ssplit.count i5 i-1",           "split.count: is no whole number"},
    /* clang-format on */
};

/* Opens a copy that ends where the heap block ends, and reads every byte that it hands out. */
static struct gguf *open_bytes(const uint8_t *data, size_t n, struct err *err)
{
    struct gguf *g = gguf_open_memory(data, n, "test.gguf", err);
    if ((g == NULL) != (err->code != ERR_OK))
        fail_msg("a refusal without a reason, or the reverse");
    volatile unsigned sum = 0; /* so that the reads stay */
    for (size_t i = 0; g && i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor(g, i);
        const uint8_t *p = t->t.data;
        for (uint64_t k = 0; t->is_supported && k < t->n_bytes; k++) sum = sum + p[k];
    }
    for (size_t i = 0; g && i < gguf_n_values(g); i++) {
        const struct gguf_value *v = gguf_value(g, i);
        for (uint64_t k = 0; k < v->n_bytes; k++) sum = sum + ((const uint8_t *)v->raw)[k];
    }
    (void)sum;
    return g;
}

static void test_bad_files_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
        struct err err = {0};
        struct buf b;
        buf_init(&b, 1 << 20);
        bytes_build(&b, bads[i].file);
        uint8_t *data = bytes_exact(b.data, b.n_bytes);
        struct gguf *g = open_bytes(data, b.n_bytes, &err);
        if ((g != NULL) != (bads[i].says == NULL))
            fail_msg("%s: %s", bads[i].what, g ? "was opened" : err.text);
        if (!g && (!strstr(err.text, bads[i].says) || strncmp(err.text, "test.gguf: ", 11) != 0))
            fail_msg("%s: the message is: %s", bads[i].what, err.text);
        gguf_close(g);
        free(data);
        buf_release(&b);
    }
}

static void test_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct buf b;
    bytes_of_file(&b, golden_path("formats/all.gguf"));
    const size_t n_needed = b.n_bytes - 16; /* "longs" has 48 bytes, padded to 64 */
    for (size_t n = 0; n < b.n_bytes; n++) {
        struct err err = {0};
        uint8_t *data = bytes_exact(b.data, n);
        struct gguf *g = open_bytes(data, n, &err);
        if ((g != NULL) != (n >= n_needed)) fail_msg("cut at %zu: %s", n, g ? "opened" : err.text);
        gguf_close(g);
        free(data);
    }
    buf_release(&b);
}

static void test_flipped_bytes_do_no_harm(void **state)
{
    (void)state;
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    struct buf b;
    size_t n_refused = 0;
    bytes_of_file(&b, golden_path("formats/all.gguf"));
    uint8_t *data = bytes_exact(b.data, b.n_bytes);
    for (size_t i = 0; i < 1300; i++) /* the header */
        for (size_t f = 0; f < ARRAY_LEN(flips); f++) {
            struct err err = {0};
            data[i] ^= flips[f];
            struct gguf *g = open_bytes(data, b.n_bytes, &err);
            n_refused += g == NULL;
            gguf_close(g);
            data[i] ^= flips[f];
        }
    assert_true(n_refused > 500); /* lengths, counts and types; letters of names may change */
    free(data);
    buf_release(&b);
}

/* ---- split sets ---- */

static void copy_member(const char *dir, const char *name, const char *from, int64_t patch, char to)
{
    char path[400];
    struct buf b;
    (void)snprintf(path, sizeof path, "formats/%s", from);
    bytes_of_file(&b, golden_path(path));
    if (patch >= 0) b.data[patch] = to;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.data, 1, b.n_bytes, f), b.n_bytes);
    fclose(f);
    buf_release(&b);
}

/* Where the value of a scalar key stands in a golden file. */
static int64_t value_at(const char *from, const char *key)
{
    char path[400];
    struct buf b;
    (void)snprintf(path, sizeof path, "formats/%s", from);
    bytes_of_file(&b, golden_path(path));
    const char *at = memmem(b.data, b.n_bytes, key, strlen(key));
    assert_non_null(at);
    const int64_t pos = at - b.data + (int64_t)strlen(key) + 4;
    buf_release(&b);
    return pos;
}

#define M1 "split-00001-of-00003.gguf"
#define M2 "split-00002-of-00003.gguf"
#define M3 "split-00003-of-00003.gguf"

static void test_split_sets_must_agree(void **state)
{
    (void)state;
    static const struct {
        const char *what, *second, *second_from, *key, *open, *says;
        char value;
    } sets[] = {
        /* clang-format off */
        {"whole",            M2,   M2, NULL,          M3,       NULL, 0},
        {"a member missing", NULL, M2, NULL,          M1,       "member 2 of a set of 3", 0},
        {"a member twice",   M2,   M1, NULL,          M1,       "split.no: is 0 in member 1", 0},
        {"another count",    M2,   M2, "split.count", M1,       "split.count: is 4", 4},
        {"another name",     M2,   M2, NULL,          "x.gguf", "does not end in -NNNNN-of-00003.gguf", 0},
        /* clang-format on */
    };
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        char dir[] = "/tmp/cria-test-XXXXXX", path[400];
        struct err err = {0};
        assert_non_null(mkdtemp(dir));
        copy_member(dir, M1, M1, -1, 0);
        copy_member(dir, M3, M3, -1, 0);
        copy_member(dir, "x.gguf", M1, -1, 0);
        if (sets[i].second)
            copy_member(dir, M2, sets[i].second_from, sets[i].key ? value_at(M2, sets[i].key) : -1,
                        sets[i].value);
        (void)snprintf(path, sizeof path, "%s/%s", dir, sets[i].open);
        struct gguf *g = gguf_open(path, &err);
        if ((g != NULL) != !sets[i].says) fail_msg("%s: %s", sets[i].what, g ? "opened" : err.text);
        if (!g && !strstr(err.text, sets[i].says)) fail_msg("%s: %s", sets[i].what, err.text);
        gguf_close(g);
        static const char *const names[] = {M1, M2, M3, "x.gguf"};
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            (void)snprintf(path, sizeof path, "%s/%s", dir, names[k]);
            (void)remove(path);
        }
        assert_int_equal(rmdir(dir), 0);
    }
}

/* ---- hostile size ---- */

/* 65,536 tensors whose names differ only at the end, and as many keys, open in well under 10 s. */
static void test_most_names_take_no_quadratic_time(void **state)
{
    (void)state;
    enum { N = 65536 };
    struct err err = {0};
    struct buf b;
    buf_init(&b, 64 << 20);
    bytes_build(&b, "tGGUF i3 q65536 q65536");
    for (int i = 0; i < N; i++) {
        char word[100];
        (void)snprintf(word, sizeof word, "saaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%08d i0 o1",
                       i);
        bytes_build(&b, word);
    }
    for (int i = N; i-- > 0;) {
        char word[120];
        (void)snprintf(word, sizeof word,
                       "saaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%08d i1 q1 i0 q%d", i, 32 * i);
        bytes_build(&b, word);
    }
    bytes_build(&b, "p32 r2097152");
    struct gguf *g = gguf_open_memory((const uint8_t *)b.data, b.n_bytes, "test.gguf", &err);
    assert_ok(g, &err);
    assert_int_equal(gguf_n_tensors(g), N);
    gguf_close(g);
    buf_release(&b);
}

/* ---- no memory ---- */

static void test_every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    static const char *const files[] = {"formats/all.gguf", "formats/split-00002-of-00003.gguf"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        for (int64_t n = 1;; n++) {
            struct err err = {0};
            fault_arm(FAULT_MEMORY | FAULT_IO, n);
            struct gguf *g = gguf_open(golden_path(files[i]), &err);
            const bool was_hit = fault_disarm();
            assert_int_equal(g == NULL, err.code != ERR_OK);
            gguf_close(g);
            if (!was_hit) {
                assert_non_null(g);
                assert_true(n > 5);
                break;
            }
        }
}

static bool write_once(const char *path, struct err *err)
{
    const float data[4] = {1, 2, 3, 4};
    const int64_t shape[2] = {2, 2};
    struct gguf_writer *w = gguf_writer_new(err);
    if (!w) return false;
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_tensor(w, "w", DT_F32, 2, shape);
    const bool ok = gguf_writer_begin(w, path, err) && gguf_writer_data(w, data, 16, err) &&
                    gguf_writer_commit(w, err);
    gguf_writer_free(w);
    return ok;
}

static void test_every_failed_write_leaves_nothing(void **state)
{
    (void)state;
    char dir[] = "/tmp/cria-test-XXXXXX", path[100];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/w.gguf", dir);
    for (int64_t n = 1;; n++) {
        struct err err = {0};
        fault_arm(FAULT_MEMORY | FAULT_IO, n);
        const bool ok = write_once(path, &err);
        const bool was_hit = fault_disarm();
        assert_int_equal(ok, err.code == ERR_OK);
        if (ok) assert_int_equal(remove(path), 0);
        if (rmdir(dir) != 0) fail_msg("fault %d left a file: %s", (int)n, err.text);
        if (!was_hit) break;
        assert_int_equal(mkdir(dir, 0700), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_files_are_refused_by_name),
        cmocka_unit_test(test_cut_anywhere_is_refused),
        cmocka_unit_test(test_flipped_bytes_do_no_harm),
        cmocka_unit_test(test_split_sets_must_agree),
        cmocka_unit_test(test_most_names_take_no_quadratic_time),
        cmocka_unit_test(test_every_failed_allocation_is_an_error),
        cmocka_unit_test(test_every_failed_write_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
