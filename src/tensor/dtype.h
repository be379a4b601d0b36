/* dtype.h - the element types and block formats that weights, caches and activations have.
 *
 * A row of a matrix is `n / block_elems` blocks of `block_bytes`; for plain types a block is one
 * element. Each format is one file under tensor/quant/ that ends in its `struct dtype_info`, and
 * one line in dtype.c. Layouts: the GGUF block formats (spec/inference.md d2), little-endian.
 * All tables are constant; any thread.
 */
#ifndef CRIA_TENSOR_DTYPE_H
#define CRIA_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype {
    DT_F32,
    DT_F16,
    DT_BF16,
    DT_Q4_0,
    DT_Q4_1,
    DT_Q5_0,
    DT_Q5_1,
    DT_Q8_0,
    DT_Q2_K,
    DT_Q3_K,
    DT_Q4_K,
    DT_Q5_K,
    DT_Q6_K,
    DT_IQ4_NL,
    DT_IQ4_XS,
    DT_COUNT
};

struct dtype_info {
    const char *name; /* as users write it, lower case: "q4_k" */
    const char *what; /* for `cria quantize --list` */
    enum dtype id;
    uint32_t ggml_id;   /* the number in GGUF files */
    uint32_t file_type; /* general.file_type of a file mostly of this type */
    uint32_t block_elems;
    uint32_t block_bytes;
    bool is_quantized;
    float max_rel_err; /* of a block's largest |value|: the round-trip bound of the test */
    /* dst[n] from n / block_elems blocks; n is a multiple of block_elems. */
    void (*decode)(float *dst, const void *src, int64_t n);
    /* Blocks from src[n]. `weight` [n] or NULL: the importance of each element's squared error
     * (from an importance matrix); NULL means the format's own default. */
    void (*encode)(void *dst, const float *src, int64_t n, const float *weight);
};

const struct dtype_info *dtype_info(enum dtype t);
const struct dtype_info *dtype_by_name(const char *name); /* any case; NULL if none */
const struct dtype_info *dtype_by_ggml_id(uint32_t id);   /* NULL if we do not support it */
const char *dtype_nearest_name(const char *name);         /* for messages; may be NULL */
/* The published name of any GGUF type number, also of those we cannot read ("IQ2_XXS"), or NULL. */
const char *ggml_type_name(uint32_t id);

/* Bytes of a row of n elements; false if n is not a multiple of the block or the size overflows. */
bool dtype_row_bytes(enum dtype t, int64_t n, size_t *out);

#endif
