/* SPDX-License-Identifier: Apache-2.0
 *
 * test_torch_file.c - PyTorch files: right ones (golden files of torch 2.15.0 from
 * tests/oracle/formats.py), wrong archives, wrong pickles, cut and flipped ones, no memory.
 */
#include "bytes.h"

#include <math.h>

#include "fault.h"
#include "formats/torch_file.h"

static const struct {
    const char *file, *name;
    int dtype;
    int32_t n_dims;
    int64_t shape[4];
    int ramp;
    size_t first; /* element of the ramp that the tensor begins at */
} tensors[] = {
    /* clang-format off */
    {"plain",     "f32",          0, 2, {3, 4, 1, 1}, 0,  0},
    {"plain",     "f16",          1, 2, {2, 8, 1, 1}, 1,  0},
    {"plain",     "bf16",         2, 3, {2, 2, 5, 1}, 2,  0},
    {"plain",     "row",          0, 1, {7, 1, 1, 1}, 3,  0},
    {"protocol4", "bf16",         2, 3, {2, 2, 5, 1}, 2,  0},
    {"nested",    "model.weight", 0, 2, {2, 3, 1, 1}, 5,  0},
    {"nested",    "model.bias",   0, 1, {2, 1, 1, 1}, 6,  0},
    {"nested",    "whole",        0, 2, {4, 6, 1, 1}, 4,  0},
    {"nested",    "view",         0, 2, {2, 6, 1, 1}, 4,  6},
    {"nested",    "param",        0, 2, {2, 2, 1, 1}, 7,  0},
    {"nested",    "number",       0, 1, {1, 1, 1, 1}, -1, 0},
    /* clang-format on */
};

static const char *golden(const char *name)
{
    static char path[200];
    (void)snprintf(path, sizeof path, "formats/%s.pth", name);
    return golden_path(path);
}

static void test_state_dictionaries(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tensors); i++) {
        struct err err = {0};
        struct torch_file *f = torch_file_open(golden(tensors[i].file), &err);
        assert_ok(f, &err);
        const struct torch_tensor *x = torch_file_find(f, tensors[i].name);
        if (!x) fail_msg("%s: no %s", tensors[i].file, tensors[i].name);
        assert_int_equal(x->t.dtype, tensors[i].dtype);
        assert_int_equal(x->t.n_dims, tensors[i].n_dims);
        assert_memory_equal(x->t.shape, tensors[i].shape, sizeof x->t.shape);
        const size_t n = (size_t)(tensor_rows(&x->t) * tensor_cols(&x->t));
        for (size_t k = 0; tensors[i].ramp >= 0 && k < n; k++)
            if (fabs(plain_value(x->t.data, tensors[i].dtype, k) -
                     ramp(tensors[i].first + k, tensors[i].ramp)) > 0)
                fail_msg("%s[%zu]: %g", x->name, k, plain_value(x->t.data, tensors[i].dtype, k));
        assert_int_equal(torch_file_n(f), i < 5 ? 4 : 6);
        torch_file_close(f);
    }
}

static const struct {
    const char *file, *says;
} refused[] = {
    /* clang-format off */
    {"evil",          "opcode GLOBAL: asks for posix.system"},
    {"legacy",        "bare pickle as PyTorch wrote before 1.6"},
    {"transposed",    "tensor w: is not contiguous"},
    {"longs",         "tensor w: is not of type float, half or bfloat16"},
    {"list",          "holds no dictionary"},
    {"deflated",      "is compressed or encrypted (method 8)"},
    {"twice",         "member plain/data.pkl: is there twice"},
    {"two_pickles",   "one is wanted"},
    {"no_storage",    "there is no member plain/data/0"},
    {"short_storage", "has 47 bytes where 12 elements of 4 bytes"},
    {"big_endian",    "is not \"little\""},
    {"loop",          "nested over 8 deep"},
    {"deep",          "nested over 8 deep"},
    {"wide",          "hold each other over and over"},
    {"none",          "No such file"},
    /* clang-format on */
};

static void test_bad_files_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct err err = {0};
        if (torch_file_open(golden(refused[i].file), &err)) fail_msg("%s: opened", refused[i].file);
        if (!strstr(err.text, refused[i].says) || !strstr(err.text, ".pth: "))
            fail_msg("%s: the message is: %s", refused[i].file, err.text);
    }
}

/* ---- pickles by hand, in an archive by hand ---- */

struct stored {
    const char *name;
    const void *data;
    size_t n;
};

static void add_member(struct buf *zip, struct buf *dir, const struct stored *m)
{
    char text[400];
    const size_t n_name = strlen(m->name), at = zip->n_bytes;
    (void)snprintf(text, sizeof text, "i0x04034b50 h20 h0 h0 i0 i0 i%zu i%zu h%zu h0 t%s", m->n,
                   m->n, n_name, m->name);
    bytes_build(zip, text);
    buf_append(zip, m->data, m->n);
    (void)snprintf(text, sizeof text,
                   "i0x02014b50 h20 h20 h0 h0 i0 i0 i%zu i%zu h%zu h0 h0 h0 h0 i0 "
                   "i%zu t%s",
                   m->n, m->n, n_name, at, m->name);
    bytes_build(dir, text);
}

/* An archive with the pickle and a storage "0" of 16 bytes that begins at a multiple of 8. */
static void make_zip(struct buf *zip, const void *pickle, size_t n_pickle)
{
    static const char zeros[16] = {0};
    struct buf dir;
    char text[200];
    buf_init(&dir, 1 << 20);
    buf_init(zip, 1 << 20);
    add_member(zip, &dir,
               &(struct stored){"pad", zeros, 1}); /* 34 bytes: the next data begin at 72 */
    add_member(zip, &dir, &(struct stored){"a/data/0", zeros, 16});
    add_member(zip, &dir, &(struct stored){"a/data.pkl", pickle, n_pickle});
    const size_t at = zip->n_bytes;
    buf_append(zip, dir.data, dir.n_bytes);
    (void)snprintf(text, sizeof text, "i0x06054b50 h0 h0 h3 h3 i%zu i%zu h0", dir.n_bytes, at);
    bytes_build(zip, text);
    buf_release(&dir);
}

#define GLOBAL(m, n) "c" m "\n" n "\n"
#define STORAGE                                                                                    \
    "(X\7\0\0\0storage" GLOBAL("torch", "FloatStorage") "X\1\0\0\0"                                \
                                                        "0"                                        \
                                                        "X\3\0\0\0cpu"                             \
                                                        "K\4tQ"
#define HOOKS "\x89" GLOBAL("collections", "OrderedDict") ")R"
#define REBUILD GLOBAL("torch._utils", "_rebuild_tensor_v2")
#define TENSOR REBUILD "(" STORAGE "K\0K\2K\2\x86K\2K\1\x86" HOOKS "tR"
#define DICT(v) "\x80\2}X\1\0\0\0w" v "s."

static const struct bad {
    const char *what, *pickle;
    size_t n;
    const char *says; /* NULL: this one is right */
} bads[] = {
#define ROW(what, pickle, says)                                                                    \
    {                                                                                              \
        what, pickle, sizeof(pickle) - 1, says                                                     \
    }
    /* clang-format off */
    ROW("a tensor",           DICT(TENSOR),                             NULL),
    ROW("an empty dict",      "\x80\2}.",                               NULL),
    ROW("other values",       DICT("(K\1M\1\1J\1\0\0\0\x8a\1\xffG\0\0\0\0\0\0\0\0N\x88\x89)]t"), NULL),
    ROW("a list",             DICT("]" "(" TENSOR TENSOR "e" TENSOR "a"), NULL),
    ROW("integer keys",       "\x80\2}K\5" TENSOR "s.",                 NULL),
    ROW("a parameter",        DICT(GLOBAL("torch._utils", "_rebuild_parameter") "(" TENSOR HOOKS "tR"), NULL),
    ROW("state of a dict",    "\x80\2}}b.",                             NULL),
    ROW("memo",               "\x80\2}q\0X\1\0\0\0w" TENSOR "\x94s.",   NULL),
    ROW("nothing",            "",                                       "wants 1 bytes where 0"),
    ROW("no stop",            "\x80\2}",                                "wants 1 bytes where 0"),
    ROW("stop at once",       ".",                                      "STOP: takes a value from an empty stack"),
    ROW("two values",         "}}.",                                    "leaves values on the stack"),
    ROW("protocol 1",         "\x80\1}.",                               "a protocol other than 2 to 5"),
    ROW("protocol 9",         "\x80\x09}.",                             "a protocol other than 2 to 5"),
    ROW("frame too long",     "\x80\4\x95\xff\0\0\0\0\0\0\0}.",         "a frame longer than the pickle"),
    ROW("text opcode",        "I1\n.",                                  "opcode INT: is not needed"),
    ROW("instance",           "(ios\nsystem\n.",                        "opcode INST: is not needed"),
    ROW("new object",         ")\x81.",                                 "opcode NEWOBJ: is not needed"),
    ROW("no opcode",          "\xee.",                                  "opcode 0xee: is not needed"),
    ROW("eval",               GLOBAL("builtins", "eval") "X\1\0\0\0" "1\x85R.", "asks for builtins.eval"),
    ROW("stack global",       "\x8c\2os\x8c\6system\x93.",              "asks for os.system"),
    ROW("half a module",      "cos",                                    "a name without an end"),
    ROW("calls a type",       GLOBAL("torch", "FloatStorage") ")R.",    "calls torch.FloatStorage"),
    ROW("calls a number",     "K\1)R.",                                 "calls what is no function"),
    ROW("no arguments",       GLOBAL("torch._utils", "_rebuild_tensor_v2") ")R.", "not built of (storage"),
    ROW("dict of arguments",  GLOBAL("collections", "OrderedDict") "}\x85R.", "OrderedDict with 1 arguments"),
    ROW("string past end",    "X\xff\0\0\0abc",                         "wants 255 bytes where 3"),
    ROW("string of 4 GiB",    "X\xff\xff\xff\xff" "abc",                "wants 4294967295 bytes"),
    ROW("string of 2^64-1",   "\x8d\xff\xff\xff\xff\xff\xff\xff\xff" "abc", "wants 18446744073709551615 bytes"),
    ROW("long past the end",  "\x8a\5a",                                "wants 5 bytes where 1"),
    ROW("long of 9 bytes",    "\x8a\x09" "123456789.",                  "of over 8 bytes"),
    ROW("tuple of nothing",   "\x85.",                                  "takes more values than the stack has"),
    ROW("tuple over a mark",  "(\x85.",                                 "takes more values than the stack has"),
    ROW("no mark",            "K\1t.",                                  "takes more values than the stack has"),
    ROW("set without dict",   "K\1K\1K\1s.",                            "sets items of what is no dictionary"),
    ROW("set nothing",        "}s.",                                    "takes more values"),
    ROW("half an item",       "}(K\1u.",                                "a key without a value"),
    ROW("append to a dict",   "}K\1a.",                                 "appends to what is no list"),
    ROW("mark as value",      "}(.",                                    "STOP: takes a value from an empty stack"),
    ROW("memo not filled",    "h\1.",                                   "never filled"),
    ROW("memo far out",       "}r\xff\xff\xff\x7f.",                    "memo slot past the size"),
    ROW("memo of nothing",    "q\1.",                                   "takes a value from an empty stack"),
    ROW("state of a number",  "K\1}b.",                                 "what is no dictionary"),
    ROW("id of a number",     "K\1Q.",                                  "a storage that is no"),
    ROW("no such storage",    DICT("(X\7\0\0\0storage" GLOBAL("torch", "FloatStorage") "X\1\0\0\0" "9" "NK\4tQ"), "no member a/data/9"),
    ROW("path as storage",    DICT("(X\7\0\0\0storage" GLOBAL("torch", "FloatStorage") "X\6\0\0\0../etc" "NK\4tQ"), "no member a/data/../etc"),
    ROW("storage of no type", DICT("(X\7\0\0\0storage" GLOBAL("torch", "float32") "X\1\0\0\0" "0" "NK\4tQ"), "a storage of type torch.float32"),
    ROW("storage too long",   DICT("(X\7\0\0\0storage" GLOBAL("torch", "FloatStorage") "X\1\0\0\0" "0" "NK\5tQ"), "16 bytes where 5 elements"),
    ROW("past the storage",   DICT(REBUILD "(" STORAGE "K\1K\2K\2\x86K\2K\1\x86" HOOKS "tR"), "4 elements at 1 in a storage of 4"),
    ROW("offset below 0",     DICT(REBUILD "(" STORAGE "J\xff\xff\xff\xffK\2K\2\x86K\2K\1\x86" HOOKS "tR"), "not built of"),
    ROW("size below 0",       DICT(REBUILD "(" STORAGE "K\0J\xff\xff\xff\xffK\2\x86K\2K\1\x86" HOOKS "tR"), "no whole number from 0"),
    ROW("sizes wrap",         DICT(REBUILD "(" STORAGE "K\0\x8a\6\0\0\0\0\0\1\x8a\6\0\0\0\0\0\1\x86K\2K\1\x86" HOOKS "tR"), "over 2^48 elements"),
    ROW("strides of zero",    DICT(REBUILD "(" STORAGE "K\0K\2K\2\x86K\0K\0\x86" HOOKS "tR"), "tensor w: is not contiguous"),
    ROW("no elements",        DICT(REBUILD "(" STORAGE "K\0K\0\x85K\1\x85" HOOKS "tR"), "tensor w: has no elements"),
    ROW("five dimensions",    DICT(REBUILD "(" STORAGE "K\0(K\1K\1K\1K\1K\1t(K\1K\1K\1K\1K\1t" HOOKS "tR"), "tensor w: has over 4 dimensions"),
    ROW("one stride short",   DICT(REBUILD "(" STORAGE "K\0K\2K\2\x86K\1\x85" HOOKS "tR"), "no two tuples of one length"),
    ROW("parameter of None",  DICT(GLOBAL("torch._utils", "_rebuild_parameter") "(NNNtR"), "a parameter of what is no tensor"),
    ROW("same name twice",    "\x80\2}X\1\0\0\0w" TENSOR "sX\1\0\0\0w" TENSOR "s.", "tensor w: is there twice"),
    ROW("a tuple as key",     "\x80\2})" TENSOR "s.",                   "a key that is no string"),
    ROW("an empty key",       "\x80\2}X\0\0\0\0" TENSOR "s.",           "a key that is no string"),
    ROW("zero byte in key",   "\x80\2}X\1\0\0\0\0" TENSOR "s.",         "a key that is no string"),
/* clang-format on */
#undef ROW
};

/* Opens a copy that ends where the heap block ends, reads every byte that it hands out, and closes
 * it. True if it was opened. */
static bool open_bytes(const void *bytes, size_t n, struct err *err)
{
    uint8_t *data = bytes_exact(bytes, n);
    struct torch_file *f = torch_file_open_memory(data, n, "t.pth", err);
    const bool is_open = f != NULL;
    if (is_open == (err->code != ERR_OK)) fail_msg("a refusal without a reason, or the reverse");
    volatile unsigned sum = 0; /* so that the reads stay */
    for (size_t i = 0; f && i < torch_file_n(f); i++) {
        const struct tensor *t = &torch_file_at(f, i)->t;
        for (size_t k = 0; k < tensor_bytes(t); k++) sum = sum + ((const uint8_t *)t->data)[k];
    }
    torch_file_close(f);
    free(data);
    return is_open;
}

static void test_bad_pickles_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
        struct err err = {0};
        struct buf zip;
        make_zip(&zip, bads[i].pickle, bads[i].n);
        const bool is_open = open_bytes(zip.data, zip.n_bytes, &err);
        if (is_open != (bads[i].says == NULL))
            fail_msg("%s: %s", bads[i].what, is_open ? "was opened" : err.text);
        if (!is_open && (!strstr(err.text, bads[i].says) || !strstr(err.text, "t.pth: ")))
            fail_msg("%s: the message is: %s", bads[i].what, err.text);
        buf_release(&zip);
    }
}

/* ---- the archive ---- */

/* The directory and a local header name one member differently. */
static void test_two_truths_about_a_member(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf zip;
    make_zip(&zip, DICT(TENSOR), sizeof(DICT(TENSOR)) - 1);
    char *name = memmem(zip.data, zip.n_bytes, "a/data/0", 8);
    assert_non_null(name);
    name[7] = '1';
    assert_false(open_bytes(zip.data, zip.n_bytes, &err));
    assert_non_null(strstr(err.text, "member a/data/0: its local header disagrees"));
    buf_release(&zip);
}

/* A member whole inside the data of another: two names for the same bytes. */
static void test_members_that_overlap(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf inner, unused, zip, dir;
    char text[200];
    struct buf *const all[] = {&inner, &unused, &zip, &dir};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) buf_init(all[i], 1 << 20);
    add_member(&inner, &unused, &(struct stored){"a/data/0", "0123456789abcdef", 16});
    add_member(&zip, &dir, &(struct stored){"a/outer", inner.data, inner.n_bytes});
    add_member(&zip, &dir, &(struct stored){"a/data.pkl", "}.", 2});
    (void)snprintf(text, sizeof text,
                   "i0x02014b50 h20 h20 h0 h0 i0 i0 i16 i16 h8 h0 h0 h0 h0 i0 i37 ta/data/0");
    bytes_build(&dir, text); /* its local header is at 30 + 7 */
    const size_t at = zip.n_bytes;
    buf_append(&zip, dir.data, dir.n_bytes);
    (void)snprintf(text, sizeof text, "i0x06054b50 h0 h0 h3 h3 i%zu i%zu h0", dir.n_bytes, at);
    bytes_build(&zip, text);
    assert_false(open_bytes(zip.data, zip.n_bytes, &err));
    assert_non_null(strstr(err.text, "members a/outer and a/data/0 overlap"));
    for (size_t i = 0; i < ARRAY_LEN(all); i++) buf_release(all[i]);
}

/* Every four bytes of directory and end record become hostile in turn. */
static void test_hostile_archive_fields(void **state)
{
    (void)state;
    static const uint32_t values[] = {0, 1, 2, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    struct buf zip;
    size_t n_refused = 0, n_all = 0;
    make_zip(&zip, DICT(TENSOR), sizeof(DICT(TENSOR)) - 1);
    const char *dir = memmem(zip.data, zip.n_bytes, "PK\1\2", 4);
    assert_non_null(dir);
    for (size_t at = (size_t)(dir - zip.data); at + 4 <= zip.n_bytes; at++)
        for (size_t k = 0; k < ARRAY_LEN(values); k++) {
            struct err err = {0};
            char keep[4];
            memcpy(keep, zip.data + at, 4);
            memcpy(zip.data + at, &values[k], 4);
            n_refused += !open_bytes(zip.data, zip.n_bytes, &err);
            n_all++;
            memcpy(zip.data + at, keep, 4);
        }
    assert_true(n_refused > n_all / 2); /* dates, versions and checksums are not looked at */
    buf_release(&zip);
}

static void test_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct buf b;
    bytes_of_file(&b, golden("plain"));
    for (size_t n = 0; n < b.n_bytes; n++) {
        struct err err = {0};
        if (open_bytes(b.data, n, &err)) fail_msg("cut at %zu: opened", n);
    }
    buf_release(&b);
}

static void test_flipped_bytes_do_no_harm(void **state)
{
    (void)state;
    static const char flips[] = {0x01, 0x10, (char)0x80, (char)0xff};
    static const char *const files[] = {"plain", "nested", "protocol4"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct buf b;
        bytes_of_file(&b, golden(files[i]));
        for (size_t at = 0; at < b.n_bytes; at++)
            for (size_t k = 0; k < ARRAY_LEN(flips); k++) {
                struct err err = {0};
                b.data[at] ^= flips[k];
                (void)open_bytes(b.data, b.n_bytes, &err);
                b.data[at] ^= flips[k];
            }
        buf_release(&b);
    }
}

/* ---- no memory ---- */

static void test_every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    for (int64_t n = 1;; n++) {
        struct err err = {0};
        fault_arm(FAULT_MEMORY | FAULT_IO, n);
        struct torch_file *f = torch_file_open(golden("nested"), &err);
        const bool was_hit = fault_disarm();
        assert_int_equal(f == NULL, err.code != ERR_OK);
        torch_file_close(f);
        if (!was_hit) {
            assert_non_null(f);
            assert_true(n > 5);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_dictionaries),
        cmocka_unit_test(test_bad_files_are_refused_by_name),
        cmocka_unit_test(test_bad_pickles_are_refused_by_name),
        cmocka_unit_test(test_two_truths_about_a_member),
        cmocka_unit_test(test_members_that_overlap),
        cmocka_unit_test(test_hostile_archive_fields),
        cmocka_unit_test(test_cut_anywhere_is_refused),
        cmocka_unit_test(test_flipped_bytes_do_no_harm),
        cmocka_unit_test(test_every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
