/* gguf.h - the GGUF container, versions 2 and 3: metadata, tensors, split files; reader and writer.
 *
 * The file is mapped, and hostile until gguf_open() has returned: counts, lengths, offsets,
 * overlap, duplicate names and alignment are all checked there (spec/inference.md b2 and d1), so
 * whoever holds a `struct gguf` may trust every pointer in it. A file of a split set
 * (NAME-00001-of-0000N.gguf) opens the whole set. What a key means is not known here.
 */
#ifndef CRIA_FORMATS_GGUF_H
#define CRIA_FORMATS_GGUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tensor/tensor.h"

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
};

struct gguf_value {
    const char *key; /* NUL-terminated */
    enum gguf_type type;
    enum gguf_type elem_type; /* arrays; never GGUF_ARRAY */
    uint64_t n;               /* elements of an array; 1 otherwise; bytes of a string */
    const void *raw;  /* as in the file: unaligned little-endian; string: its bytes; array of
                       * strings: u64 length and bytes, one after the other */
    uint64_t n_bytes; /* of raw */
};

struct gguf_tensor {
    const char *name; /* NUL-terminated */
    uint32_t ggml_type;
    bool is_supported; /* false: `t` has shape but dtype and data are unset */
    struct tensor t;
    uint64_t n_bytes; /* 0 where GGUF has given a type up and its blocks are not known */
};

struct gguf;

/* Opens a file or a split set by any of its members. Returns owned. */
struct gguf *gguf_open(const char *path, struct err *err);
/* One file that is already in memory (borrowed for the life of the result); splits refused. */
struct gguf *gguf_open_memory(const uint8_t *data, size_t n_bytes, const char *name,
                              struct err *err);
void gguf_close(struct gguf *g); /* NULL is fine */
/* file_map_make_huge() for every file of the set. */
bool gguf_make_huge(struct gguf *g, struct err *err) CRIA_CHECK;
/* file_map_make_writable() likewise. */
bool gguf_make_writable(struct gguf *g, struct err *err) CRIA_CHECK;

size_t gguf_n_values(const struct gguf *g);
const struct gguf_value *gguf_value(const struct gguf *g, size_t i);
const struct gguf_value *gguf_find(const struct gguf *g, const char *key); /* by halving; or NULL */
size_t gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor(const struct gguf *g, size_t i);
const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name); /* or NULL */
uint32_t gguf_version(const struct gguf *g);
uint64_t gguf_file_bytes(const struct gguf *g); /* of all files of the set */
const char *gguf_path(const struct gguf *g);

/* Scalars of any number type, with a declared range. True with *has false when the key is missing
 * (out keeps its value); false and ERR_FORMAT when it has another type or is out of range: hence
 * two results. `has` may be NULL. Use as:
 *     if (!gguf_i64(g, key, 1, 1 << 20, &v, &has, err)) goto out; */
bool gguf_i64(const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t *out,
              bool *has, struct err *err) CRIA_CHECK;
bool gguf_f64(const struct gguf *g, const char *key, double min, double max, double *out, bool *has,
              struct err *err) CRIA_CHECK;
bool gguf_bool(const struct gguf *g, const char *key, bool *out, bool *has,
               struct err *err) CRIA_CHECK;
/* Points into the file: not NUL-terminated. */
bool gguf_str(const struct gguf *g, const char *key, const char **s, size_t *n, bool *has,
              struct err *err) CRIA_CHECK;

/* Reading arrays: element i of a number array, as the wanted type (caller checked i < n). */
int64_t gguf_elem_i64(const struct gguf_value *v, uint64_t i);
double gguf_elem_f64(const struct gguf_value *v, uint64_t i);
/* Walks an array of strings: *cursor starts as NULL. False at the end. */
bool gguf_next_str(const struct gguf_value *v, const uint8_t **cursor, const char **s, size_t *n);

/* ---- writing: declare all, then stream the data in the order of declaration ---- */
struct gguf_writer;
struct gguf_writer *gguf_writer_new(struct err *err);
void gguf_writer_free(struct gguf_writer *w); /* removes an unfinished file; NULL is fine */
void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v);
void gguf_put_f32(struct gguf_writer *w, const char *key, float v);
void gguf_put_bool(struct gguf_writer *w, const char *key, bool v);
void gguf_put_str(struct gguf_writer *w, const char *key, const char *s, size_t n);
void gguf_put_str_array(struct gguf_writer *w, const char *key, const char *const *s,
                        const size_t *n, size_t count);
void gguf_put_i32_array(struct gguf_writer *w, const char *key, const int32_t *v, size_t count);
void gguf_put_f32_array(struct gguf_writer *w, const char *key, const float *v, size_t count);
/* A value as another file has it, byte for byte (replaces an earlier one of that key). */
void gguf_put_value(struct gguf_writer *w, const struct gguf_value *v);
void gguf_put_tensor(struct gguf_writer *w, const char *name, enum dtype dtype, int32_t n_dims,
                     const int64_t *shape);
/* Writes the header to PATH (aside); from now on the data of each declared tensor in order. */
bool gguf_writer_begin(struct gguf_writer *w, const char *path, struct err *err) CRIA_CHECK;
/* Any number of calls a tensor; its size must come out exactly. */
bool gguf_writer_data(struct gguf_writer *w, const void *data, size_t n_bytes,
                      struct err *err) CRIA_CHECK;
/* Checks that all is there, syncs, renames. The writer is still to be freed. */
bool gguf_writer_commit(struct gguf_writer *w, struct err *err) CRIA_CHECK;

#endif
