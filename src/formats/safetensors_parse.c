/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors_parse.c - the header of one safetensors file: JSON, shapes, data ranges.
 *
 * Layout (spec/inference.md d4): u64 N, N bytes of JSON (an object, spaces may follow it), data.
 * The JSON has one entry a tensor:
 *
 *     "NAME": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [begin, end]}
 *
 * with offsets from the start of the data, and may have "__metadata__", strings by name. The rules
 * are the reference's: no name twice, the ranges cover the data exactly, each as long as its
 * shape and type say. Types that we do not compute with, scalars and empty tensors are kept (a
 * converter may pass them on) and marked.
 *
 * The format does not promise alignment, and a C pointer to float must have it: a supported tensor
 * that lies askew is copied once. Files of today's writers never need that.
 *
 * Begin reading at safetensors_parse().
 */
#include "formats/safetensors_parse.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "formats/byte_reader.h"

enum { MAX_ENTRY_KEYS = 16, MAX_DTYPE_BYTES = 32 };

/* Bits of one element of every type the format has. */
static const struct st_dtype {
    const char *name;
    uint32_t n_bits;
    int dtype; /* ours, or -1 */
} st_dtypes[] = {
    /* clang-format off */
    {"F32",     32, DT_F32},  {"F16",     16, DT_F16}, {"BF16",    16, DT_BF16},
    {"BOOL",     8, -1},      {"U8",       8, -1},     {"I8",       8, -1},
    {"F8_E5M2",  8, -1},      {"F8_E4M3",  8, -1},     {"F8_E8M0",  8, -1},
    {"F4",       4, -1},      {"F6_E2M3",  6, -1},     {"F6_E3M2",  6, -1},
    {"I16",     16, -1},      {"U16",     16, -1},     {"I32",     32, -1},
    {"U32",     32, -1},      {"I64",     64, -1},     {"U64",     64, -1},
    {"F64",     64, -1},      {"C64",     64, -1},
    /* clang-format on */
};

static const struct st_dtype *find_dtype(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(st_dtypes); i++)
        if (strcmp(st_dtypes[i].name, name) == 0) return &st_dtypes[i];
    return NULL;
}

bool safetensors_copy_name(struct arena *a, const char *s, size_t n, const char *path,
                           const char *what, const char **out, struct err *err)
{
    if (n == 0 || memchr(s, 0, n))
        return err_set(err, ERR_FORMAT, "%s: %s %s; write the file again", path, what,
                       n ? "holds a zero byte" : "is empty");
    *out = arena_copy(a, s, n, err);
    return *out != NULL;
}

struct parse {
    struct safetensors_file *f;
    struct arena *tables, *copies;
    const uint8_t *data; /* the data section */
    uint64_t n_data;
    struct err *err;
};

struct range {
    uint64_t begin, end;
    struct safetensor *tensor;
};

static bool wrong(struct parse *s, const char *name, const char *what)
{
    return err_set(s->err, ERR_FORMAT, "%s: tensor %.80s: %s; the file is damaged, fetch it again",
                   s->f->path, name, what);
}

/* ---- one tensor ---- */

/* Dimensions into `t` (1 to 4 of them; else t->n_dims is 0) and their product. */
static bool parse_shape(struct parse *s, struct safetensor *x, struct json shape, uint64_t *n_elems)
{
    const size_t n_dims = json_len(shape);
    struct json_iter it = json_iter(shape);
    struct json v;
    if (json_type(shape) != JSON_ARRAY) return wrong(s, x->name, "has no array \"shape\"");
    *n_elems = 1;
    for (size_t i = 0; i < TENSOR_MAX_DIMS; i++) x->t.shape[i] = 1;
    x->t.n_dims = n_dims <= TENSOR_MAX_DIMS ? (int32_t)n_dims : 0;
    for (size_t i = 0; json_next(&it, NULL, NULL, &v); i++) {
        int64_t dim = 0;
        if (!json_i64(v, &dim) || dim < 0)
            return wrong(s, x->name, "has a dimension that is no whole number from 0 up");
        if (__builtin_mul_overflow(*n_elems, (uint64_t)dim, n_elems))
            return wrong(s, x->name, "has more than 2^64 elements by its shape");
        if (n_dims <= TENSOR_MAX_DIMS) x->t.shape[i] = dim;
    }
    return true;
}

static bool parse_offsets(struct parse *s, struct safetensor *x, struct json offsets,
                          struct range *range)
{
    int64_t begin = 0, end = 0;
    if (json_type(offsets) != JSON_ARRAY || json_len(offsets) != 2 ||
        !json_i64(json_at(offsets, 0), &begin) || !json_i64(json_at(offsets, 1), &end) ||
        begin < 0 || end < begin)
        return wrong(s, x->name, "has no \"data_offsets\" of two rising whole numbers");
    if ((uint64_t)end > s->n_data)
        return err_set(s->err, ERR_FORMAT,
                       "%s: tensor %.80s: its data end at byte %" PRIu64 " of a file of %zu; the "
                       "file is cut short, fetch it again",
                       s->f->path, x->name, (uint64_t)(s->data - s->f->data) + (uint64_t)end,
                       s->f->n_bytes);
    *range = (struct range){.begin = (uint64_t)begin, .end = (uint64_t)end, .tensor = x};
    x->data = s->data + begin;
    x->n_bytes = (uint64_t)(end - begin);
    return true;
}

/* Marks what we can compute with, and sees to its alignment. */
static bool make_tensor(struct parse *s, struct safetensor *x, const struct st_dtype *type,
                        uint64_t n_elems)
{
    if (!type || type->dtype < 0 || x->t.n_dims < 1 || n_elems == 0) return true;
    const enum dtype dtype = (enum dtype)type->dtype;
    union {
        const void *in;
        void *out;
    } at = {.in = x->data}; /* struct tensor promises not to write */
    if ((uintptr_t)x->data % (type->n_bits / 8)) {
        at.out = arena_array(s->copies, (size_t)x->n_bytes, 1, s->err);
        if (!at.out) return false;
        memcpy(at.out, x->data, (size_t)x->n_bytes);
        x->data = at.in;
    }
    x->is_supported = true;
    struct tensor t = {0};
    if (!tensor_make(&t, x->name, dtype, x->t.n_dims, x->t.shape, at.out, s->err))
        return err_wrap(s->err, "%s", s->f->path);
    x->t = t;
    return true;
}

static bool parse_tensor(struct parse *s, struct safetensor *x, struct json entry,
                         struct range *range)
{
    const char *key = NULL, *dtype = NULL;
    size_t n = 0;
    uint64_t n_elems = 0, n_bits = 0;
    if (json_type(entry) != JSON_OBJECT) return wrong(s, x->name, "its entry is no object");
    if (json_len(entry) > MAX_ENTRY_KEYS) return wrong(s, x->name, "its entry has over 16 keys");
    if (json_has_duplicate(entry, &key)) return wrong(s, x->name, "its entry has a key twice");
    if (!json_str(json_get(entry, "dtype"), &dtype, &n))
        return wrong(s, x->name, "has no string \"dtype\"");
    if (n > MAX_DTYPE_BYTES) return wrong(s, x->name, "has a \"dtype\" of over 32 bytes");
    if (!safetensors_copy_name(s->tables, dtype, n, s->f->path, "a \"dtype\"", &x->dtype_name,
                               s->err))
        return false;
    if (!parse_shape(s, x, json_get(entry, "shape"), &n_elems)) return false;
    if (!parse_offsets(s, x, json_get(entry, "data_offsets"), range)) return false;

    const struct st_dtype *type = find_dtype(x->dtype_name);
    if (type && (__builtin_mul_overflow(n_elems, (uint64_t)type->n_bits, &n_bits) || n_bits % 8 ||
                 n_bits / 8 != x->n_bytes))
        return err_set(s->err, ERR_FORMAT,
                       "%s: tensor %.80s: %" PRIu64 " elements of %s do not fill the %" PRIu64
                       " bytes of its data_offsets; the file is damaged, fetch it again",
                       s->f->path, x->name, n_elems, type->name, x->n_bytes);
    return make_tensor(s, x, type, n_elems);
}

/* ---- the whole header ---- */

static bool parse_meta(struct parse *s, struct json object)
{
    const char *key = NULL, *value = NULL, *at = NULL;
    size_t n_key = 0, n_value = 0, i = 0;
    struct json v;
    struct json_iter it = json_iter(object);
    if (json_type(object) != JSON_OBJECT) return wrong(s, "__metadata__", "is no object");
    if (s->f->meta) return wrong(s, "__metadata__", "is there twice");
    s->f->meta = arena_array(s->tables, json_len(object), sizeof *s->f->meta, s->err);
    if (!s->f->meta) return false;
    for (; json_next(&it, &key, &n_key, &v); i++) {
        if (!json_str(v, &value, &n_value))
            return wrong(s, "__metadata__", "has a value that is no string");
        at = arena_copy(s->tables, key, n_key, s->err);
        if (!at) return false;
        s->f->meta[i].key = at;
        at = arena_copy(s->tables, value, n_value, s->err);
        if (!at) return false;
        s->f->meta[i].value = at;
    }
    s->f->n_meta = i;
    return true;
}

static int by_begin(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* The ranges follow each other from 0 to the end of the file. */
static bool check_cover(struct parse *s, struct range *range)
{
    const size_t n = s->f->n_tensors;
    uint64_t end = 0;
    if (n > 1) qsort(range, n, sizeof *range, by_begin);
    for (size_t i = 0; i < n; i++) {
        if (range[i].begin != end)
            return err_set(s->err, ERR_FORMAT,
                           "%s: tensor %.80s: its data begin at %" PRIu64 " where the data before "
                           "end at %" PRIu64 ": %s; the file is damaged, fetch it again",
                           s->f->path, range[i].tensor->name, range[i].begin, end,
                           range[i].begin < end ? "an overlap" : "a hole");
        end = range[i].end;
    }
    if (end == s->n_data) return true;
    return err_set(s->err, ERR_FORMAT,
                   "%s: byte %" PRIu64 ": %" PRIu64 " bytes follow the last tensor's; the file is "
                   "damaged, fetch it again",
                   s->f->path, (uint64_t)(s->data - s->f->data) + end, s->n_data - end);
}

static bool parse_entries(struct parse *s, struct json root)
{
    const char *key = NULL;
    size_t n_key = 0;
    struct json v;
    struct json_iter it = json_iter(root);
    const size_t n = json_len(root);
    if (json_type(root) != JSON_OBJECT)
        return err_set(s->err, ERR_FORMAT,
                       "%s: byte 8: the header is no JSON object; fetch it again", s->f->path);
    if (n > SAFETENSORS_MAX_TENSORS)
        return err_set(s->err, ERR_LIMIT, "%s: %zu tensors, at most %d are read; split the file",
                       s->f->path, n, SAFETENSORS_MAX_TENSORS);
    struct range *range = arena_array(s->tables, n, sizeof *range, s->err);
    if (!range) return false;
    s->f->tensor = arena_array(s->tables, n, sizeof *s->f->tensor, s->err);
    if (!s->f->tensor) return false;
    while (json_next(&it, &key, &n_key, &v)) {
        struct safetensor *x = &s->f->tensor[s->f->n_tensors];
        if (n_key == strlen("__metadata__") && memcmp(key, "__metadata__", n_key) == 0) {
            if (!parse_meta(s, v)) return false;
            continue;
        }
        if (!safetensors_copy_name(s->tables, key, n_key, s->f->path, "a tensor's name", &x->name,
                                   s->err))
            return false;
        if (!parse_tensor(s, x, v, &range[s->f->n_tensors])) return false;
        s->f->n_tensors++;
    }
    return check_cover(s, range);
}

bool safetensors_parse(struct safetensors_file *f, struct arena *tables, struct arena *copies,
                       struct err *err)
{
    struct byte_reader r = {
        .path = f->path, .data = f->data, .n_bytes = f->n_bytes, .place = "header", .err = err};
    uint64_t n_header = 0;
    const uint8_t *header = NULL;
    if (!reader_u64_in(&r, "its length", 2, SAFETENSORS_MAX_HEADER_BYTES, &n_header)) return false;
    if (!reader_take(&r, n_header, &header)) return false;
    if (header[0] != '{')
        return err_set(err, ERR_FORMAT,
                       "%s: byte 8: header: begins with byte %02x instead of '{'; name a "
                       "safetensors file",
                       f->path, header[0]);
    struct parse s = {.f = f,
                      .tables = tables,
                      .copies = copies,
                      .data = f->data + r.pos,
                      .n_data = reader_left(&r),
                      .err = err};
    struct json_doc *doc =
        json_parse(header, (size_t)n_header, SAFETENSORS_MAX_HEADER_BYTES, f->path, err);
    const bool ok = doc && parse_entries(&s, json_root(doc));
    json_free(doc);
    return ok;
}
