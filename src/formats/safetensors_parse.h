/* safetensors_parse.h - one safetensors file's header, checked in full before anything is kept of
 * it; safetensors.c joins the shards of an index from these. Private to formats/safetensors*.c.
 */
#ifndef CRIA_FORMATS_SAFETENSORS_PARSE_H
#define CRIA_FORMATS_SAFETENSORS_PARSE_H

#include "base/arena.h"
#include "base/file.h"
#include "formats/safetensors.h"

enum {
    SAFETENSORS_MAX_HEADER_BYTES = 100000000, /* the reference's cap */
    SAFETENSORS_MAX_TENSORS = 1 << 18,
};

struct safetensors_meta_entry {
    const char *key, *value;
};

struct safetensors_file {
    const char *path;
    struct file_map *map; /* NULL: the bytes are borrowed */
    const uint8_t *data;
    size_t n_bytes;
    struct safetensor *tensor;
    size_t n_tensors;
    struct safetensors_meta_entry *meta;
    size_t n_meta;
};

/* Parses f->data[0..n_bytes) into the other fields; names and tables come from `tables`, copies of
 * tensors that lie unaligned in the file from `copies`. */
bool safetensors_parse(struct safetensors_file *f, struct arena *tables, struct arena *copies,
                       struct err *err) CRIA_CHECK;

/* A copy of s[0..n) in the arena. False if it is empty or holds a zero byte:
 * the error names `path` and `what`. */
bool safetensors_copy_name(struct arena *a, const char *s, size_t n, const char *path,
                           const char *what, const char **out, struct err *err) CRIA_CHECK;

#endif
