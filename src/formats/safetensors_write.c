/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors_write.c - writing model.safetensors, or shards and their index.
 *
 * Declared first, streamed after, in the order of declaration: so each file is written front to
 * back, once. A shard takes tensors until the next would pass max_shard_bytes (a tensor larger
 * than that has a shard of its own). The header is padded with spaces to 8 bytes, which keeps the
 * data of the types that we write aligned, and carries {"format":"pt"}, without which some loaders
 * refuse a file. The reference sorts by type and name; readers take any order, and ours is the
 * model's.
 *
 * Shards are renamed into place one by one as they are finished (holding some hundred files open
 * to rename them all at the end would buy little), and removed again if the rest fails; the index
 * comes last, so a directory with an index is complete.
 *
 * Begin reading at safetensors_writer_begin().
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/json_write.h"
#include "formats/name_index.h"
#include "formats/safetensors.h"
#include "formats/safetensors_parse.h"

#define MAX_TABLE_BYTES ((size_t)1 << 30)
enum { MAX_META = 256, MAX_NAME_BYTES = 1024 };

struct declared {
    const char *name;
    struct tensor t;
    uint64_t n_bytes, begin; /* in its shard */
    size_t i_shard;
};

struct safetensors_writer {
    struct err err;      /* the first failure of a put */
    struct arena *names; /* names, metadata, the directory's path */
    struct buf tensors;  /* of struct declared */
    struct safetensors_meta_entry meta[MAX_META];
    size_t n_meta;
    const char *dir;
    size_t n_shards, n_done; /* shards renamed into place */
    struct out_file *out;    /* the shard being written */
    size_t i_tensor;         /* whose data come next */
    uint64_t n_given;        /* bytes of it that are written */
    bool is_committed;
};

struct safetensors_writer *safetensors_writer_new(struct err *err)
{
    struct safetensors_writer *w = calloc(1, sizeof *w);
    if (!w) {
        err_set(err, ERR_MEMORY, "safetensors writer: no memory; free memory");
        return NULL;
    }
    w->names = arena_new(MAX_TABLE_BYTES, err);
    if (!w->names) {
        free(w);
        return NULL;
    }
    buf_init(&w->tensors, SAFETENSORS_MAX_TENSORS * sizeof(struct declared));
    safetensors_put_meta(w, "format", "pt");
    return w;
}

/* "DIR/model.safetensors", "DIR/model-00002-of-00005.safetensors". */
static void shard_path(const struct safetensors_writer *w, size_t i, struct buf *out)
{
    char name[64];
    if (w->n_shards == 1)
        (void)snprintf(name, sizeof name, "model.safetensors");
    else
        (void)snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1, w->n_shards);
    path_join(out, w->dir, name);
}

/* Takes back the shards that are in place already. */
static void remove_shards(struct safetensors_writer *w)
{
    struct buf path;
    buf_init(&path, 1 << 16);
    for (size_t i = 0; i < w->n_done; i++) {
        shard_path(w, i, &path);
        if (path.data) (void)unlink(path.data);
    }
    buf_release(&path);
}

void safetensors_writer_free(struct safetensors_writer *w)
{
    if (!w) return;
    out_file_abandon(w->out);
    if (!w->is_committed) remove_shards(w);
    buf_release(&w->tensors);
    arena_free(w->names);
    free(w);
}

/* ---- declaring ---- */

void safetensors_put_meta(struct safetensors_writer *w, const char *key, const char *value)
{
    if (w->err.code != ERR_OK) return;
    const char *v = arena_copy(w->names, value, strlen(value), &w->err);
    if (!v) return;
    for (size_t i = 0; i < w->n_meta; i++) {
        if (strcmp(w->meta[i].key, key) != 0) continue;
        w->meta[i].value = v;
        return;
    }
    if (w->n_meta == MAX_META) {
        err_set(&w->err, ERR_LIMIT,
                "__metadata__: %.80s: is one more than the %d allowed; drop some", key, MAX_META);
        return;
    }
    const char *k = arena_copy(w->names, key, strlen(key), &w->err);
    if (k) w->meta[w->n_meta++] = (struct safetensors_meta_entry){.key = k, .value = v};
}

static const char *dtype_text(enum dtype dtype)
{
    return dtype == DT_F32 ? "F32" : dtype == DT_F16 ? "F16" : dtype == DT_BF16 ? "BF16" : NULL;
}

void safetensors_put_tensor(struct safetensors_writer *w, const char *name, enum dtype dtype,
                            int32_t n_dims, const int64_t *shape)
{
    struct declared d = {0};
    const size_t n = strlen(name);
    if (w->err.code != ERR_OK) return;
    if (!dtype_text(dtype)) {
        err_set(&w->err, ERR_UNSUPPORTED,
                "tensor %.80s: safetensors have no type %s; convert to f32, f16 or bf16", name,
                dtype_info(dtype)->name);
        return;
    }
    if (n < 1 || n > MAX_NAME_BYTES) {
        err_set(&w->err, ERR_LIMIT, "tensor %.80s: its name has %zu bytes, allowed are 1 to %d",
                name, n, MAX_NAME_BYTES);
        return;
    }
    d.name = arena_copy(w->names, name, n, &w->err);
    if (!d.name || !tensor_make(&d.t, name, dtype, n_dims, shape, NULL, &w->err)) return;
    d.n_bytes = tensor_bytes(&d.t);
    buf_append(&w->tensors, &d, sizeof d);
}

/* ---- layout ---- */

static struct declared *tensors(const struct safetensors_writer *w, size_t *n)
{
    *n = w->tensors.n_bytes / sizeof(struct declared);
    return (void *)w->tensors.data;
}

static bool lay_out(struct safetensors_writer *w, uint64_t max_shard_bytes, struct err *err)
{
    const char *duplicate = NULL;
    struct name_index index;
    uint64_t used = 0;
    size_t n = 0, i_shard = 0;
    struct declared *d = tensors(w, &n);
    if (!name_index_make(&index, w->names, d, sizeof *d, n, &duplicate, err)) return false;
    if (duplicate)
        return err_set(err, ERR_USAGE, "tensor %.80s: is declared twice; remove one", duplicate);
    for (size_t i = 0; i < n; i++) {
        uint64_t end = 0;
        const bool fits = !__builtin_add_overflow(used, d[i].n_bytes, &end);
        if (used && (!fits || (max_shard_bytes && end > max_shard_bytes))) {
            i_shard++;
            used = 0;
        }
        d[i].i_shard = i_shard;
        d[i].begin = used;
        used += d[i].n_bytes;
    }
    w->n_shards = i_shard + 1;
    return true;
}

static void add_tensor_entry(struct json_writer *j, const struct declared *d)
{
    json_key(j, d->name);
    json_object(j);
    json_key(j, "dtype");
    json_cstring(j, dtype_text(d->t.dtype));
    json_key(j, "shape");
    json_array(j);
    for (int32_t k = 0; k < d->t.n_dims; k++) json_int(j, d->t.shape[k]);
    json_end(j);
    json_key(j, "data_offsets");
    json_array(j);
    json_uint(j, d->begin);
    json_uint(j, d->begin + d->n_bytes);
    json_end(j);
    json_end(j);
}

/* The JSON of the shard that begins with tensor i_tensor, padded. */
static void build_header(const struct safetensors_writer *w, size_t i_shard, struct buf *out)
{
    size_t n = 0;
    const struct declared *d = tensors(w, &n);
    struct json_writer j = json_writer(out);
    json_object(&j);
    json_key(&j, "__metadata__");
    json_object(&j);
    for (size_t i = 0; i < w->n_meta; i++) {
        json_key(&j, w->meta[i].key);
        json_cstring(&j, w->meta[i].value);
    }
    json_end(&j);
    for (size_t i = w->i_tensor; i < n && d[i].i_shard == i_shard; i++) add_tensor_entry(&j, &d[i]);
    json_end(&j);
    while (out->n_bytes % 8 && !out->is_failed) buf_putc(out, ' ');
}

static bool begin_shard(struct safetensors_writer *w, size_t i_shard, struct err *err)
{
    struct buf path, header;
    bool ok = false;
    buf_init(&path, 1 << 16);
    buf_init(&header, SAFETENSORS_MAX_HEADER_BYTES);
    shard_path(w, i_shard, &path);
    build_header(w, i_shard, &header);
    if (!buf_check(&path, w->dir, err) || !buf_check(&header, "safetensors header", err)) goto out;
    const uint64_t n = header.n_bytes;
    w->out = out_file_open(path.data, err);
    ok = w->out && out_file_write(w->out, &n, sizeof n, err) &&
         out_file_write(w->out, header.data, header.n_bytes, err);
out:
    buf_release(&header);
    buf_release(&path);
    return ok;
}

bool safetensors_writer_begin(struct safetensors_writer *w, const char *dir,
                              uint64_t max_shard_bytes, struct err *err)
{
    if (w->err.code != ERR_OK) {
        *err = w->err;
        return err_wrap(err, "%s", dir);
    }
    if (w->dir) return err_set(err, ERR_USAGE, "%s: the writer has begun already", dir);
    if (!buf_check(&w->tensors, "safetensors tensors", err)) return err_wrap(err, "%s", dir);
    if (!lay_out(w, max_shard_bytes, err)) return err_wrap(err, "%s", dir);
    w->dir = arena_copy(w->names, dir, strlen(dir), err);
    return w->dir && begin_shard(w, 0, err);
}

/* ---- data ---- */

static bool end_shard(struct safetensors_writer *w, struct err *err)
{
    struct out_file *out = w->out;
    w->out = NULL;
    if (!out_file_commit(out, err)) return false;
    w->n_done++;
    return w->n_done == w->n_shards || begin_shard(w, w->n_done, err);
}

bool safetensors_writer_data(struct safetensors_writer *w, const void *data, size_t n_bytes,
                             struct err *err)
{
    size_t n = 0;
    const struct declared *d = tensors(w, &n);
    if (!w->out || w->i_tensor >= n)
        return err_set(err, ERR_USAGE, "safetensors writer: %zu bytes of data where none are due",
                       n_bytes);
    d += w->i_tensor;
    if (n_bytes > d->n_bytes - w->n_given)
        return err_set(err, ERR_USAGE,
                       "tensor %.80s: %zu bytes of data where %" PRIu64
                       " are due; give it its shape",
                       d->name, n_bytes, d->n_bytes - w->n_given);
    if (!out_file_write(w->out, data, n_bytes, err)) return false;
    w->n_given += n_bytes;
    if (w->n_given < d->n_bytes) return true;
    w->n_given = 0;
    w->i_tensor++;
    const bool is_last_of_shard = w->i_tensor < n && d[1].i_shard != d->i_shard;
    return !is_last_of_shard || end_shard(w, err);
}

static void build_index(const struct safetensors_writer *w, struct buf *out)
{
    size_t n = 0;
    uint64_t total = 0;
    struct buf path;
    const struct declared *d = tensors(w, &n);
    struct json_writer j = json_writer(out);
    buf_init(&path, 1 << 16);
    for (size_t i = 0; i < n; i++) total += d[i].n_bytes;
    json_object(&j);
    json_key(&j, "metadata");
    json_object(&j);
    json_key(&j, "total_size");
    json_uint(&j, total);
    json_end(&j);
    json_key(&j, "weight_map");
    json_object(&j);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || d[i].i_shard != d[i - 1].i_shard) shard_path(w, d[i].i_shard, &path);
        json_key(&j, d[i].name);
        json_cstring(&j, path.data ? path_base(path.data) : "");
    }
    json_end(&j);
    json_end(&j);
    out->is_failed |= path.is_failed;
    buf_release(&path);
}

static bool write_index(struct safetensors_writer *w, struct err *err)
{
    struct buf path, text;
    struct out_file *out = NULL;
    bool ok = false;
    buf_init(&path, 1 << 16);
    buf_init(&text, SAFETENSORS_MAX_HEADER_BYTES);
    path_join(&path, w->dir, "model.safetensors.index.json");
    build_index(w, &text);
    if (!buf_check(&path, w->dir, err) || !buf_check(&text, "safetensors index", err)) goto out;
    out = out_file_open(path.data, err);
    if (!out) goto out;
    if (out_file_write(out, text.data, text.n_bytes, err))
        ok = out_file_commit(out, err);
    else
        out_file_abandon(out);
out:
    buf_release(&text);
    buf_release(&path);
    return ok;
}

bool safetensors_writer_commit(struct safetensors_writer *w, struct err *err)
{
    size_t n = 0;
    const struct declared *d = tensors(w, &n);
    if (!w->out) return err_set(err, ERR_USAGE, "safetensors writer: commit without begin");
    if (w->i_tensor < n)
        return err_set(err, ERR_USAGE,
                       "tensor %.80s: has %" PRIu64 " of %" PRIu64
                       " bytes of data; give all of them",
                       d[w->i_tensor].name, w->n_given, d[w->i_tensor].n_bytes);
    if (!end_shard(w, err)) return false;
    if (w->n_shards > 1 && !write_index(w, err)) return false;
    w->is_committed = true;
    return true;
}
