/* SPDX-License-Identifier: Apache-2.0
 *
 * gguf_write.c - writing a GGUF file, version 3: keys and tensors are declared, then data streamed.
 *
 * Everything in the header is known before the first byte of data (sizes follow from types and
 * shapes), so the file is written front to back, once, through an out_file: aside, synced,
 * renamed. Tensors lie in the order of their declaration, each padded to the alignment, without
 * gaps: the reference reader demands exactly that (spec/inference.md d1). What our own reader would
 * refuse is refused here too.
 *
 * The put functions return nothing: the first failure sticks, and gguf_writer_begin() reports it,
 * so that a caller declares a whole model in a straight line. A key that is put again takes the
 * place of the earlier one; that is settled by one sort at the end and not by a search at each put,
 * because the keys may come from a stranger's file with 65,536 of them.
 *
 * Begin reading at put().
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "formats/gguf.h"
#include "formats/gguf_parse.h"

enum { WRITE_VERSION = 3 };
#define MAX_HEADER_BYTES ((size_t)1 << 30)

struct entry {
    const char *key;
    size_t begin, n_bytes; /* of type and value in `values` */
    uint32_t type;
    bool is_replaced;
};

struct declared {
    const char *name;
    struct tensor t;
    uint64_t n_bytes, offset;
};

struct gguf_writer {
    struct err err;      /* the first failure of a put */
    struct arena *names; /* keys and tensor names */
    struct buf values;   /* as they go into the file */
    struct buf entries;  /* of struct entry */
    struct buf tensors;  /* of struct declared */
    struct out_file *out;
    uint32_t align;
    size_t i_tensor;  /* whose data come next */
    uint64_t n_given; /* bytes of it that are written */
};

struct gguf_writer *gguf_writer_new(struct err *err)
{
    struct gguf_writer *w = calloc(1, sizeof *w);
    if (!w) {
        err_set(err, ERR_MEMORY, "GGUF writer: no memory; free memory");
        return NULL;
    }
    w->names = arena_new(MAX_HEADER_BYTES, err);
    if (!w->names) {
        free(w);
        return NULL;
    }
    w->align = GGUF_DEFAULT_ALIGN;
    buf_init(&w->values, MAX_HEADER_BYTES);
    buf_init(&w->entries, GGUF_MAX_VALUES * 2 * sizeof(struct entry));
    buf_init(&w->tensors, GGUF_MAX_TENSORS * sizeof(struct declared));
    return w;
}

void gguf_writer_free(struct gguf_writer *w)
{
    if (!w) return;
    out_file_abandon(w->out);
    buf_release(&w->tensors);
    buf_release(&w->entries);
    buf_release(&w->values);
    arena_free(w->names);
    free(w);
}

static struct entry *entries(const struct gguf_writer *w, size_t *n)
{
    *n = w->entries.n_bytes / sizeof(struct entry);
    return (void *)w->entries.data;
}

static struct declared *tensors(const struct gguf_writer *w, size_t *n)
{
    *n = w->tensors.n_bytes / sizeof(struct declared);
    return (void *)w->tensors.data;
}

/* A copy of a key or tensor name, or NULL once anything has failed. */
static const char *keep_name(struct gguf_writer *w, const char *kind, const char *name, size_t max)
{
    const size_t n = strlen(name);
    if (w->err.code != ERR_OK) return NULL;
    if (n >= 1 && n <= max) return arena_copy(w->names, name, n, &w->err);
    err_set(&w->err, ERR_LIMIT, "%s %.80s: its name has %zu bytes, allowed are 1 to %zu; rename it",
            kind, name, n, max);
    return NULL;
}

/* ---- keys ---- */

static void add_u32(struct gguf_writer *w, uint32_t v) { buf_append(&w->values, &v, sizeof v); }

static void add_u64(struct gguf_writer *w, uint64_t v) { buf_append(&w->values, &v, sizeof v); }

static void add_str(struct gguf_writer *w, const char *s, size_t n)
{
    if (n > GGUF_MAX_STRING_BYTES && w->err.code == ERR_OK)
        err_set(&w->err, ERR_LIMIT,
                "GGUF writer: a string of %zu bytes, at most %d are allowed; "
                "shorten it",
                n, GGUF_MAX_STRING_BYTES);
    add_u64(w, n);
    buf_append(&w->values, s, n);
}

/* Opens an entry: what is added to `values` until put_end() is its value. */
static bool put(struct gguf_writer *w, const char *key, enum gguf_type type, struct entry *e)
{
    const char *name = keep_name(w, "key", key, GGUF_MAX_KEY_BYTES);
    *e = (struct entry){.key = name, .begin = w->values.n_bytes, .type = type};
    if (name) add_u32(w, type);
    return name != NULL;
}

static void put_end(struct gguf_writer *w, struct entry *e)
{
    e->n_bytes = w->values.n_bytes - e->begin;
    buf_append(&w->entries, e, sizeof *e);
}

static void put_scalar(struct gguf_writer *w, const char *key, enum gguf_type type, const void *v)
{
    struct entry e;
    if (!put(w, key, type, &e)) return;
    buf_append(&w->values, v, gguf_scalar_bytes(type));
    put_end(w, &e);
}

static void put_array(struct gguf_writer *w, const char *key, enum gguf_type elem, const void *v,
                      size_t n_bytes, uint64_t n)
{
    struct entry e;
    if (!put(w, key, GGUF_ARRAY, &e)) return;
    add_u32(w, elem);
    add_u64(w, n);
    buf_append(&w->values, v, n_bytes);
    put_end(w, &e);
}

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v)
{
    put_scalar(w, key, GGUF_U32, &v);
}

void gguf_put_f32(struct gguf_writer *w, const char *key, float v)
{
    put_scalar(w, key, GGUF_F32, &v);
}

void gguf_put_bool(struct gguf_writer *w, const char *key, bool v)
{
    const uint8_t byte = v ? 1 : 0;
    put_scalar(w, key, GGUF_BOOL, &byte);
}

void gguf_put_str(struct gguf_writer *w, const char *key, const char *s, size_t n)
{
    struct entry e;
    if (!put(w, key, GGUF_STRING, &e)) return;
    add_str(w, s, n);
    put_end(w, &e);
}

void gguf_put_str_array(struct gguf_writer *w, const char *key, const char *const *s,
                        const size_t *n, size_t count)
{
    struct entry e;
    if (!put(w, key, GGUF_ARRAY, &e)) return;
    add_u32(w, GGUF_STRING);
    add_u64(w, count);
    for (size_t i = 0; i < count; i++) add_str(w, s[i], n[i]);
    put_end(w, &e);
}

void gguf_put_i32_array(struct gguf_writer *w, const char *key, const int32_t *v, size_t count)
{
    put_array(w, key, GGUF_I32, v, count * sizeof *v, count);
}

void gguf_put_f32_array(struct gguf_writer *w, const char *key, const float *v, size_t count)
{
    put_array(w, key, GGUF_F32, v, count * sizeof *v, count);
}

void gguf_put_value(struct gguf_writer *w, const struct gguf_value *v)
{
    if (v->type == GGUF_STRING)
        gguf_put_str(w, v->key, v->raw, (size_t)v->n);
    else if (v->type == GGUF_ARRAY)
        put_array(w, v->key, v->elem_type, v->raw, (size_t)v->n_bytes, v->n);
    else
        put_scalar(w, v->key, v->type, v->raw);
}

/* ---- tensors ---- */

void gguf_put_tensor(struct gguf_writer *w, const char *name, enum dtype dtype, int32_t n_dims,
                     const int64_t *shape)
{
    struct declared d = {.name = keep_name(w, "tensor", name, GGUF_MAX_NAME_BYTES)};
    if (!d.name || !tensor_make(&d.t, name, dtype, n_dims, shape, NULL, &w->err)) return;
    d.n_bytes = tensor_bytes(&d.t);
    buf_append(&w->tensors, &d, sizeof d);
}

/* ---- the header ---- */

static int by_key(const void *a, const void *b)
{
    struct entry *const *x = a, *const *y = b;
    const int order = strcmp((*x)->key, (*y)->key);
    if (order) return order;
    return ((*x)->begin > (*y)->begin) - ((*x)->begin < (*y)->begin);
}

/* Of equal keys the first keeps its place and gets the last one's value. */
static bool settle_keys(struct gguf_writer *w, size_t *n_kept, struct err *err)
{
    size_t n = 0;
    const char *name = NULL;
    struct entry *e = entries(w, &n), *head = NULL;
    struct entry **sorted = arena_array(w->names, n, sizeof(struct entry *), err);
    if (!sorted) return false;
    for (size_t i = 0; i < n; i++) sorted[i] = &e[i];
    if (n > 1) qsort(sorted, n, sizeof *sorted, by_key);
    *n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (!name || strcmp(name, sorted[i]->key) != 0) {
            head = sorted[i];
            name = head->key;
            ++*n_kept;
            continue;
        }
        const struct entry last = *sorted[i];
        sorted[i]->is_replaced = true;
        *head = last;
    }
    if (*n_kept > GGUF_MAX_VALUES)
        return err_set(err, ERR_LIMIT, "GGUF writer: %zu keys, at most %d are allowed; drop some",
                       *n_kept, GGUF_MAX_VALUES);
    return true;
}

/* The alignment is a key like others, but it moves the data. */
static bool settle_alignment(struct gguf_writer *w, struct err *err)
{
    size_t n = 0;
    const struct entry *e = entries(w, &n);
    for (size_t i = 0; i < n; i++) {
        if (e[i].is_replaced || strcmp(e[i].key, "general.alignment") != 0) continue;
        uint32_t align = 0;
        if (e[i].type == GGUF_U32) memcpy(&align, w->values.data + e[i].begin + 4, sizeof align);
        if (align < GGUF_MIN_ALIGN || align > GGUF_MAX_ALIGN || (align & (align - 1)))
            return err_set(err, ERR_LIMIT,
                           "key general.alignment: is %u (%s), allowed are powers of two from %d "
                           "to %d as u32; leave it out",
                           align, gguf_scalar_name(e[i].type), GGUF_MIN_ALIGN, GGUF_MAX_ALIGN);
        w->align = align;
    }
    return true;
}

static bool settle_tensors(struct gguf_writer *w, struct err *err)
{
    size_t n = 0;
    uint64_t offset = 0;
    const char *duplicate = NULL;
    struct name_index index;
    struct declared *d = tensors(w, &n);
    if (!name_index_make(&index, w->names, d, sizeof *d, n, &duplicate, err)) return false;
    if (duplicate)
        return err_set(err, ERR_USAGE, "tensor %s: is declared twice; remove one", duplicate);
    for (size_t i = 0; i < n; i++) {
        d[i].offset = offset;
        if (__builtin_add_overflow(offset, d[i].n_bytes + w->align, &offset))
            return err_set(err, ERR_LIMIT,
                           "tensor %s: the file would pass 2^64 bytes; drop tensors", d[i].name);
        offset = (offset - 1) & ~(uint64_t)(w->align - 1); /* n_bytes rounded up */
    }
    return true;
}

static void put_raw_str(struct buf *b, const char *s)
{
    const uint64_t n = strlen(s);
    buf_append(b, &n, sizeof n);
    buf_append(b, s, (size_t)n);
}

static void build_header(struct gguf_writer *w, size_t n_keys, struct buf *b)
{
    const uint32_t version = WRITE_VERSION;
    size_t n_tensors = 0, n = 0;
    const struct declared *d = tensors(w, &n_tensors);
    const struct entry *e = entries(w, &n);
    const uint64_t counts[2] = {n_tensors, n_keys};
    buf_append(b, "GGUF", 4);
    buf_append(b, &version, sizeof version);
    buf_append(b, counts, sizeof counts);
    for (size_t i = 0; i < n; i++) {
        if (e[i].is_replaced) continue;
        put_raw_str(b, e[i].key);
        buf_append(b, w->values.data + e[i].begin, e[i].n_bytes);
    }
    for (size_t i = 0; i < n_tensors; i++) {
        const struct tensor *t = &d[i].t;
        const uint32_t n_dims = (uint32_t)t->n_dims, type = dtype_info(t->dtype)->ggml_id;
        put_raw_str(b, d[i].name);
        buf_append(b, &n_dims, sizeof n_dims);
        for (int32_t k = t->n_dims; k-- > 0;) buf_append(b, &t->shape[k], sizeof t->shape[k]);
        buf_append(b, &type, sizeof type);
        buf_append(b, &d[i].offset, sizeof d[i].offset);
    }
}

/* Everything that can be refused before a file exists. */
static bool settle(struct gguf_writer *w, struct buf *header, struct err *err)
{
    size_t n_keys = 0;
    if (w->err.code != ERR_OK) {
        *err = w->err;
        return false;
    }
    if (!buf_check(&w->values, "GGUF keys", err) || !buf_check(&w->entries, "GGUF keys", err) ||
        !buf_check(&w->tensors, "GGUF tensors", err))
        return false;
    if (!settle_keys(w, &n_keys, err) || !settle_alignment(w, err) || !settle_tensors(w, err))
        return false;
    build_header(w, n_keys, header);
    return buf_check(header, "GGUF header", err);
}

bool gguf_writer_begin(struct gguf_writer *w, const char *path, struct err *err)
{
    struct buf header;
    bool ok = false;
    if (w->out) return err_set(err, ERR_USAGE, "%s: the writer has begun already", path);
    buf_init(&header, 2 * MAX_HEADER_BYTES);
    if (!settle(w, &header, err)) {
        err_wrap(err, "%s", path);
        goto out;
    }
    w->out = out_file_open(path, err);
    ok = w->out && out_file_write(w->out, header.data, header.n_bytes, err) &&
         out_file_pad(w->out, w->align, err);
    if (!ok) {
        out_file_abandon(w->out);
        w->out = NULL;
    }
out:
    buf_release(&header);
    return ok;
}

bool gguf_writer_data(struct gguf_writer *w, const void *data, size_t n_bytes, struct err *err)
{
    size_t n = 0;
    const struct declared *d = tensors(w, &n);
    if (!w->out || w->i_tensor >= n)
        return err_set(err, ERR_USAGE, "GGUF writer: %zu bytes of data where none are due",
                       n_bytes);
    d += w->i_tensor;
    if (n_bytes > d->n_bytes - w->n_given)
        return err_set(err, ERR_USAGE,
                       "tensor %s: %zu bytes of data where %" PRIu64 " are due; give it its shape",
                       d->name, n_bytes, d->n_bytes - w->n_given);
    if (!out_file_write(w->out, data, n_bytes, err)) return false;
    w->n_given += n_bytes;
    if (w->n_given < d->n_bytes) return true;
    w->n_given = 0;
    w->i_tensor++;
    return out_file_pad(w->out, w->align, err);
}

bool gguf_writer_commit(struct gguf_writer *w, struct err *err)
{
    size_t n = 0;
    const struct declared *d = tensors(w, &n);
    if (!w->out) return err_set(err, ERR_USAGE, "GGUF writer: commit without begin");
    if (w->i_tensor < n)
        return err_set(err, ERR_USAGE,
                       "tensor %s: has %" PRIu64 " of %" PRIu64 " bytes of data; give all of them",
                       d[w->i_tensor].name, w->n_given, d[w->i_tensor].n_bytes);
    struct out_file *out = w->out;
    w->out = NULL;
    return out_file_commit(out, err);
}
