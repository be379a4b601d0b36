/* gguf_parse.h - one GGUF file's header, checked in full before anything is kept of it; gguf.c
 * joins the parts of a split set from these. Private to formats/gguf*.c.
 */
#ifndef CRIA_FORMATS_GGUF_PARSE_H
#define CRIA_FORMATS_GGUF_PARSE_H

#include "base/arena.h"
#include "base/file.h"
#include "formats/gguf.h"
#include "formats/name_index.h"

/* spec/inference.md b2, rule 2 */
enum {
    GGUF_MAX_VALUES = 65536,
    GGUF_MAX_TENSORS = 65536,
    GGUF_MAX_KEY_BYTES = 65535,
    GGUF_MAX_NAME_BYTES = 63,
    GGUF_MAX_STRING_BYTES = 16 << 20,
    GGUF_MAX_TEMPLATE_BYTES = 1 << 20,
    GGUF_MIN_ALIGN = 8,
    GGUF_MAX_ALIGN = 65536,
    GGUF_DEFAULT_ALIGN = 32,
};
#define GGUF_MAX_ELEMS ((uint64_t)1 << 48)

struct gguf_part {
    const char *path;
    struct file_map *map; /* NULL: the bytes are borrowed */
    const uint8_t *data;
    size_t n_bytes;
    uint32_t version;
    uint32_t align;
    struct gguf_value *value;
    size_t n_values;
    struct name_index keys;
    struct gguf_tensor *tensor;
    size_t n_tensors;
};

/* Parses p->data[0..n_bytes) into the other fields. Names and tables come from `a`. */
bool gguf_parse(struct gguf_part *p, struct arena *a, struct err *err) CRIA_CHECK;

/* Bytes of one element; 0 for strings, arrays and numbers that are no type. */
size_t gguf_scalar_bytes(uint32_t type);
const char *gguf_scalar_name(uint32_t type); /* "u32"; NULL if it is no type */

/* Block of a type that GGUF knows, ours or not. False if its size is not known. */
bool gguf_block(uint32_t ggml_type, uint32_t *elems, uint32_t *bytes);

/* Any whole number as int64_t; false for other types and for what is above INT64_MAX. */
bool gguf_value_i64(const struct gguf_value *v, int64_t *out);

#endif
