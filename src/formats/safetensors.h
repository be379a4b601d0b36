/* safetensors.h - safetensors files and their sharded sets; reader and writer.
 *
 * Mapped, and checked in full when opened (header size, JSON, duplicate names, offsets without
 * holes or overlap, sizes that fit shapes: spec/inference.md d4). Opening a directory follows
 * model.safetensors.index.json, whose file names are taken as plain base names only.
 */
#ifndef CRIA_FORMATS_SAFETENSORS_H
#define CRIA_FORMATS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tensor/tensor.h"

struct safetensor {
    const char *name;
    const char *dtype_name; /* as in the file: "BF16" */
    bool is_supported;      /* F32, F16, BF16 of 1..4 dimensions: `t` is complete */
    struct tensor t;
    uint64_t n_bytes;
    const void *data; /* raw bytes, also of unsupported types */
};

struct safetensors;

/* A .safetensors file, a .safetensors.index.json, or a directory that has either. */
struct safetensors *safetensors_open(const char *path, struct err *err);
struct safetensors *safetensors_open_memory(const uint8_t *data, size_t n_bytes, const char *name,
                                            struct err *err);
void safetensors_close(struct safetensors *s); /* NULL is fine */
/* file_map_make_huge() for every file of the set. */
bool safetensors_make_huge(struct safetensors *s, struct err *err) CRIA_CHECK;
size_t safetensors_n(const struct safetensors *s);
const struct safetensor *safetensors_at(const struct safetensors *s, size_t i);
const struct safetensor *safetensors_find(const struct safetensors *s, const char *name);
/* Value of a "__metadata__" key of the first file, or NULL. */
const char *safetensors_meta(const struct safetensors *s, const char *key);
uint64_t safetensors_file_bytes(const struct safetensors *s);

/* ---- writing: one file, or shards of at most max_shard_bytes with an index, in a directory ----
 */
struct safetensors_writer;
struct safetensors_writer *safetensors_writer_new(struct err *err);
void safetensors_writer_free(struct safetensors_writer *w); /* NULL is fine */
void safetensors_put_meta(struct safetensors_writer *w, const char *key, const char *value);
/* dtype F32, F16 or BF16. */
void safetensors_put_tensor(struct safetensors_writer *w, const char *name, enum dtype dtype,
                            int32_t n_dims, const int64_t *shape);
/* Fixes the layout and writes model.safetensors, or shards and the index, into `dir` (an out_dir's
 * members, or any directory). Data follow in the order of safetensors_put_tensor. */
bool safetensors_writer_begin(struct safetensors_writer *w, const char *dir,
                              uint64_t max_shard_bytes, struct err *err) CRIA_CHECK;
bool safetensors_writer_data(struct safetensors_writer *w, const void *data, size_t n_bytes,
                             struct err *err) CRIA_CHECK;
bool safetensors_writer_commit(struct safetensors_writer *w, struct err *err) CRIA_CHECK;

#endif
