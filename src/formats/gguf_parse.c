/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_parse.c - the header of one GGUF file: magic, counts, keys, tensor list, data ranges.
 *
 * Layout (spec/inference.md d1), packed and little-endian:
 *
 *     "GGUF"  u32 version  u64 n_tensors  u64 n_keys
 *     n_keys    x  { string key, u32 type, value }
 *     n_tensors x  { string name, u32 n_dims, u64 dim[n_dims] (fastest first), u32 type, u64 offset
 * } zeros up to the alignment, then the data; offsets count from there
 *
 * A string is a u64 length and its bytes. Every rule of b2 that concerns the container is checked
 * here, and the first breach ends the parse: nothing half-checked is ever handed out. Sizes that
 * come from the file are compared with what is left before anything is allocated for them, so
 * memory stays in proportion to the file.
 *
 * Invariants after gguf_parse() has returned true
 *   I1  every raw .. raw + n_bytes of a value, and every data range of a tensor, lies in the file.
 *   I2  keys are unique, non-empty and hold no NUL; so are tensor names within the file.
 *   I3  data ranges of tensors are aligned and disjoint.
 *
 * Not here: what a key means (model/config.c, formats/vocab_gguf.c), split sets (gguf.c). Begin
 * reading at gguf_parse().
 */
#include "formats/gguf_parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "formats/byte_reader.h"

static const struct scalar {
    const char *name;
    size_t n_bytes;
} scalars[] = {
    [GGUF_U8] = {"u8", 1},       [GGUF_I8] = {"i8", 1},     [GGUF_U16] = {"u16", 2},
    [GGUF_I16] = {"i16", 2},     [GGUF_U32] = {"u32", 4},   [GGUF_I32] = {"i32", 4},
    [GGUF_F32] = {"f32", 4},     [GGUF_BOOL] = {"bool", 1}, [GGUF_STRING] = {"string", 0},
    [GGUF_ARRAY] = {"array", 0}, [GGUF_U64] = {"u64", 8},   [GGUF_I64] = {"i64", 8},
    [GGUF_F64] = {"f64", 8},
};

size_t gguf_scalar_bytes(uint32_t type)
{
    return type < ARRAY_LEN(scalars) ? scalars[type].n_bytes : 0;
}

const char *gguf_scalar_name(uint32_t type)
{
    return type < ARRAY_LEN(scalars) ? scalars[type].name : NULL;
}

/* Blocks of the types that GGUF knows and tensor/dtype.h does not (spec/inference.md d2). */
static const struct {
    uint32_t id, elems, bytes;
} foreign_blocks[] = {
    /* clang-format off */
    { 9,  32,  36}, /* Q8_1 */
    {15, 256, 292}, /* Q8_K */
    {16, 256,  66}, /* IQ2_XXS */
    {17, 256,  74}, /* IQ2_XS */
    {18, 256,  98}, /* IQ3_XXS */
    {19, 256,  50}, /* IQ1_S */
    {21, 256, 110}, /* IQ3_S */
    {22, 256,  82}, /* IQ2_S */
    {24,   1,   1}, /* I8 */
    {25,   1,   2}, /* I16 */
    {26,   1,   4}, /* I32 */
    {27,   1,   8}, /* I64 */
    {28,   1,   8}, /* F64 */
    {29, 256,  56}, /* IQ1_M */
    {34, 256,  54}, /* TQ1_0 */
    {35, 256,  66}, /* TQ2_0 */
    {39,  32,  17}, /* MXFP4 */
    {40,  64,  36}, /* NVFP4 */
    {41, 128,  18}, /* Q1_0 */
    {42,  64,  18}, /* Q2_0 */
    /* clang-format on */
};

bool gguf_block(uint32_t ggml_type, uint32_t *elems, uint32_t *bytes)
{
    const struct dtype_info *info = dtype_by_ggml_id(ggml_type);
    if (info) {
        *elems = info->block_elems;
        *bytes = info->block_bytes;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(foreign_blocks); i++) {
        if (foreign_blocks[i].id != ggml_type) continue;
        *elems = foreign_blocks[i].elems;
        *bytes = foreign_blocks[i].bytes;
        return true;
    }
    return false;
}

bool gguf_value_i64(const struct gguf_value *v, int64_t *out)
{
    if (v->type == GGUF_U64) {
        uint64_t u = 0;
        memcpy(&u, v->raw, sizeof u);
        if (u > INT64_MAX) return false;
    }
    if (v->type == GGUF_F32 || v->type == GGUF_F64 || v->type == GGUF_BOOL ||
        gguf_scalar_bytes(v->type) == 0)
        return false;
    *out = gguf_elem_i64(
        &(struct gguf_value){.type = GGUF_ARRAY, .elem_type = v->type, .n = 1, .raw = v->raw}, 0);
    return true;
}

/* ---- the front ---- */

struct parse {
    struct byte_reader r;
    struct gguf_part *p;
    struct arena *a;
    struct err *err;
};

static bool parse_version(struct parse *s)
{
    const uint8_t *magic = NULL;
    if (!reader_take(&s->r, 4, &magic)) return false;
    if (memcmp(magic, "GGUF", 4) != 0)
        return err_set(s->err, ERR_FORMAT,
                       "%s: byte 0: begins with %02x %02x %02x %02x instead of \"GGUF\"; name a "
                       "GGUF file",
                       s->p->path, magic[0], magic[1], magic[2], magic[3]);
    uint32_t v = 0;
    if (!reader_u32(&s->r, &v)) return false;
    if (v != 0 && (v & 0xFFFF) == 0)
        return err_set(s->err, ERR_UNSUPPORTED,
                       "%s: byte 4: version %u is that of a big-endian file (version %u); convert "
                       "it to little-endian or fetch that one",
                       s->p->path, v, __builtin_bswap32(v));
    if (v == 1)
        return err_set(s->err, ERR_UNSUPPORTED,
                       "%s: byte 4: GGUF version 1 (2023) is not read, only 2 and 3; convert the "
                       "model again or fetch a newer file",
                       s->p->path);
    if (v != 2 && v != 3)
        return err_set(s->err, ERR_UNSUPPORTED,
                       "%s: byte 4: GGUF version %u is not known, only 2 and 3; fetch a file of "
                       "version 3",
                       s->p->path, v);
    s->p->version = v;
    return true;
}

/* A string of 1..max bytes without NUL, copied: keys and tensor names. */
static bool parse_name(struct parse *s, const char *kind, uint64_t max, const char **out)
{
    uint64_t n = 0;
    const uint8_t *at = NULL;
    if (!reader_u64_in(&s->r, "the length of its name", 1, max, &n)) return false;
    if (!reader_take(&s->r, n, &at)) return false;
    reader_at(&s->r, kind, (const char *)at, (size_t)n);
    if (memchr(at, 0, (size_t)n))
        return err_set(s->err, ERR_FORMAT,
                       "%s: byte %zu: %s: the name holds a zero byte; the file is damaged, fetch "
                       "it again",
                       s->p->path, s->r.pos - (size_t)n, s->r.place);
    *out = arena_copy(s->a, at, (size_t)n, s->err);
    return *out != NULL;
}

/* ---- values ---- */

static bool check_bools(struct parse *s, const uint8_t *at, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (at[i] > 1)
            return err_set(s->err, ERR_FORMAT,
                           "%s: byte %zu: %s: a bool is %u, allowed are 0 and 1; the file is "
                           "damaged, fetch it again",
                           s->p->path, (size_t)(at + i - s->p->data), s->r.place, at[i]);
    return true;
}

static bool is_template(const char *key)
{
    return strncmp(key, "tokenizer.chat_template", strlen("tokenizer.chat_template")) == 0;
}

static bool parse_string(struct parse *s, const char *key, const uint8_t **at, uint64_t *n)
{
    const uint64_t max = is_template(key) ? GGUF_MAX_TEMPLATE_BYTES : GGUF_MAX_STRING_BYTES;
    return reader_u64_in(&s->r, "the length of a string", 0, max, n) && reader_take(&s->r, *n, at);
}

static bool bad_type(struct parse *s, const char *what, uint32_t type)
{
    return err_set(s->err, ERR_FORMAT,
                   "%s: byte %zu: %s: %s %u is not known (0 to %zu are); the file is damaged or "
                   "newer than this program",
                   s->p->path, s->r.pos - 4, s->r.place, what, type, ARRAY_LEN(scalars) - 1);
}

static bool parse_array(struct parse *s, struct gguf_value *v)
{
    uint32_t type = 0;
    const uint8_t *at = NULL;
    if (!reader_u32(&s->r, &type)) return false;
    if (!gguf_scalar_name(type)) return bad_type(s, "element type", type);
    if (type == GGUF_ARRAY)
        return err_set(s->err, ERR_UNSUPPORTED,
                       "%s: byte %zu: %s: arrays of arrays are not read; remove this key",
                       s->p->path, s->r.pos - 4, s->r.place);
    const size_t elem_bytes = type == GGUF_STRING ? sizeof(uint64_t) : gguf_scalar_bytes(type);
    const size_t n_max = (reader_left(&s->r) < 8 ? 0 : reader_left(&s->r) - 8) / elem_bytes;
    uint64_t n = 0;
    if (!reader_u64_in(&s->r, "the count of an array", 0, n_max, &n)) return false;

    const size_t begin = s->r.pos;
    if (type == GGUF_STRING) {
        uint64_t n_string = 0;
        for (uint64_t i = 0; i < n; i++)
            if (!parse_string(s, v->key, &at, &n_string)) return false;
    } else {
        if (!reader_take(&s->r, n * elem_bytes, &at)) return false; /* n <= n_max */
        if (type == GGUF_BOOL && !check_bools(s, at, n)) return false;
    }
    v->elem_type = type;
    v->n = n;
    v->raw = s->p->data + begin;
    v->n_bytes = s->r.pos - begin;
    return true;
}

static bool parse_value(struct parse *s, struct gguf_value *v)
{
    uint32_t type = 0;
    const uint8_t *at = NULL;
    if (!parse_name(s, "key", GGUF_MAX_KEY_BYTES, &v->key)) return false;
    if (!reader_u32(&s->r, &type)) return false;
    if (!gguf_scalar_name(type)) return bad_type(s, "value type", type);
    v->type = v->elem_type = type;
    if (type == GGUF_ARRAY) return parse_array(s, v);
    if (type == GGUF_STRING) {
        if (!parse_string(s, v->key, &at, &v->n)) return false;
        v->n_bytes = v->n;
    } else {
        v->n = 1;
        v->n_bytes = gguf_scalar_bytes(type);
        if (!reader_take(&s->r, v->n_bytes, &at)) return false;
        if (type == GGUF_BOOL && !check_bools(s, at, 1)) return false;
    }
    v->raw = at;
    return true;
}

static bool parse_values(struct parse *s)
{
    struct gguf_part *p = s->p;
    const char *duplicate = NULL;
    p->value = arena_array(s->a, p->n_values, sizeof *p->value, s->err);
    if (!p->value) return false;
    for (size_t i = 0; i < p->n_values; i++) {
        (void)snprintf(s->r.place, sizeof s->r.place, "key %zu of %zu", i + 1, p->n_values);
        if (!parse_value(s, &p->value[i])) return false;
    }
    if (!name_index_make(&p->keys, s->a, p->value, sizeof *p->value, p->n_values, &duplicate,
                         s->err))
        return false;
    if (duplicate)
        return err_set(s->err, ERR_FORMAT, "%s: key %.80s: is there twice; remove one", p->path,
                       duplicate);
    return true;
}

static bool parse_alignment(struct parse *s)
{
    struct gguf_part *p = s->p;
    int64_t align = GGUF_DEFAULT_ALIGN;
    const size_t i = name_index_find(&p->keys, "general.alignment");
    const bool is_number = i == SIZE_MAX || gguf_value_i64(&p->value[i], &align);
    if (!is_number || align < GGUF_MIN_ALIGN || align > GGUF_MAX_ALIGN || (align & (align - 1)))
        return err_set(s->err, ERR_FORMAT,
                       "%s: key general.alignment: is %" PRId64 " (%s), allowed are powers of two "
                       "from %d to %d; convert the model again",
                       p->path, is_number ? align : -1, gguf_scalar_name(p->value[i].type),
                       GGUF_MIN_ALIGN, GGUF_MAX_ALIGN);
    p->align = (uint32_t)align;
    return true;
}

/* ---- tensors ---- */

static bool parse_shape(struct parse *s, struct tensor *t)
{
    uint64_t n_elems = 1;
    uint32_t n_dims = 0;
    if (!reader_u32(&s->r, &n_dims)) return false;
    if (n_dims < 1 || n_dims > TENSOR_MAX_DIMS)
        return err_set(s->err, ERR_FORMAT,
                       "%s: byte %zu: %s: has %u dimensions, allowed are 1 to %d; the file is "
                       "damaged, fetch it again",
                       s->p->path, s->r.pos - 4, s->r.place, n_dims, TENSOR_MAX_DIMS);
    t->n_dims = (int32_t)n_dims;
    for (int i = 0; i < TENSOR_MAX_DIMS; i++) t->shape[i] = 1;
    for (uint32_t i = 0; i < n_dims; i++) {
        uint64_t dim = 0;
        if (!reader_u64_in(&s->r, "a dimension", 1, GGUF_MAX_ELEMS / n_elems, &dim)) return false;
        n_elems *= dim;
        t->shape[n_dims - 1 - i] = (int64_t)dim; /* the file lists the fastest first */
    }
    return true;
}

/* Bytes of all rows; the product of dimensions is at most 2^48 and blocks are under 2^9 bytes. */
static bool parse_type(struct parse *s, struct gguf_tensor *t)
{
    uint32_t elems = 1, bytes = 0;
    if (!reader_u32(&s->r, &t->ggml_type)) return false;
    const struct dtype_info *info = dtype_by_ggml_id(t->ggml_type);
    const char *name = ggml_type_name(t->ggml_type);
    if (!info && !name)
        return err_set(s->err, ERR_UNSUPPORTED,
                       "%s: byte %zu: %s: tensor type %u is not known; the file is damaged or "
                       "newer than this program",
                       s->p->path, s->r.pos - 4, s->r.place, t->ggml_type);
    t->is_supported = info != NULL;
    if (info) t->t.dtype = info->id;
    (void)gguf_block(t->ggml_type, &elems, &bytes);
    if (tensor_cols(&t->t) % elems)
        return err_set(s->err, ERR_FORMAT,
                       "%s: byte %zu: %s: rows of %" PRId64 " elements are no whole number of %s "
                       "blocks of %u; convert the model again",
                       s->p->path, s->r.pos - 4, s->r.place, tensor_cols(&t->t),
                       info ? info->name : name, elems);
    const uint64_t row_bytes = (uint64_t)tensor_cols(&t->t) / elems * bytes;
    t->t.row_bytes = (size_t)row_bytes;
    t->n_bytes = row_bytes * (uint64_t)tensor_rows(&t->t);
    return true;
}

struct range {
    uint64_t begin, end;
    struct gguf_tensor *tensor;
};

static int by_begin(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Offsets counted from the data section become pointers, once they are in range and disjoint. */
static bool place_data(struct parse *s, struct range *range)
{
    struct gguf_part *p = s->p;
    const size_t mask = p->align - 1;
    const size_t data_at = s->r.pos + (-s->r.pos & mask); /* may lie past the end: no tensors */
    const uint64_t n_data = data_at < p->n_bytes ? p->n_bytes - data_at : 0;
    for (size_t i = 0; i < p->n_tensors; i++) {
        const struct range *x = &range[i];
        if (x->begin & mask)
            return err_set(s->err, ERR_FORMAT,
                           "%s: tensor %s: offset %" PRIu64 " is no multiple of the alignment %u; "
                           "convert the model again",
                           p->path, x->tensor->name, x->begin, p->align);
        if (x->begin > n_data || x->end > n_data)
            return err_set(s->err, ERR_FORMAT,
                           "%s: tensor %s: its data end at byte %" PRIu64 " of a file of %zu; the "
                           "file is cut short, fetch it again",
                           p->path, x->tensor->name, data_at + x->end, p->n_bytes);
    }
    if (p->n_tensors > 1) qsort(range, p->n_tensors, sizeof *range, by_begin);
    for (size_t i = 0; i < p->n_tensors; i++) {
        if (i && range[i].begin < range[i - 1].end)
            return err_set(s->err, ERR_FORMAT,
                           "%s: tensors %s and %s: their data overlap at offset %" PRIu64
                           "; convert the model again",
                           p->path, range[i - 1].tensor->name, range[i].tensor->name,
                           range[i].begin);
        union {
            const uint8_t *in;
            void *out;
        } at = {.in = p->data + data_at + range[i].begin}; /* struct tensor promises not to write */
        if (range[i].tensor->is_supported) range[i].tensor->t.data = at.out;
    }
    return true;
}

static bool parse_tensors(struct parse *s)
{
    struct gguf_part *p = s->p;
    p->tensor = arena_array(s->a, p->n_tensors, sizeof *p->tensor, s->err);
    if (!p->tensor) return false;
    struct range *range = arena_array(s->a, p->n_tensors, sizeof *range, s->err);
    if (!range) return false;
    for (size_t i = 0; i < p->n_tensors; i++) {
        struct gguf_tensor *t = &p->tensor[i];
        (void)snprintf(s->r.place, sizeof s->r.place, "tensor %zu of %zu", i + 1, p->n_tensors);
        if (!parse_name(s, "tensor", GGUF_MAX_NAME_BYTES, &t->name)) return false;
        if (!parse_shape(s, &t->t) || !parse_type(s, t)) return false;
        range[i].tensor = t;
        if (!reader_u64(&s->r, &range[i].begin)) return false;
        if (__builtin_add_overflow(range[i].begin, t->n_bytes, &range[i].end))
            range[i].end = UINT64_MAX;
    }
    return place_data(s, range);
}

bool gguf_parse(struct gguf_part *p, struct arena *a, struct err *err)
{
    struct parse s = {.r = {.path = p->path, .data = p->data, .n_bytes = p->n_bytes, .err = err},
                      .p = p,
                      .a = a,
                      .err = err};
    uint64_t n_tensors = 0, n_values = 0;
    memcpy(s.r.place, "header", sizeof "header");
    if (!parse_version(&s)) return false;
    if (!reader_u64_in(&s.r, "the number of tensors", 0, GGUF_MAX_TENSORS, &n_tensors))
        return false;
    if (!reader_u64_in(&s.r, "the number of keys", 0, GGUF_MAX_VALUES, &n_values)) return false;
    /* the shortest key is 14 bytes, the shortest tensor 33: what cannot be there is not allocated
     */
    if (n_values * 14 + n_tensors * 33 > reader_left(&s.r))
        return err_set(err, ERR_FORMAT,
                       "%s: byte 8: header: %" PRIu64 " keys and %" PRIu64 " tensors do not fit "
                       "into a file of %zu bytes; the file is cut short or damaged, fetch it again",
                       p->path, n_values, n_tensors, p->n_bytes);
    p->n_values = (size_t)n_values;
    p->n_tensors = (size_t)n_tensors;
    return parse_values(&s) && parse_alignment(&s) && parse_tensors(&s);
}
