/* SPDX-License-Identifier: Apache-2.0
 *
 * dtype.c - the table of types: a row for each file of tensor/quant/, in the order of enum dtype,
 * and the published names of all GGUF types, so that a refusal can name what it refuses.
 */
#include "tensor/dtype.h"

#include <assert.h>
#include <string.h>

#include "base/checked.h"
#include "base/table.h"
#include "tensor/quant/quant.h"

/* Ended by NULL for the searches of base/table.h. */
static const struct dtype_info *const types[DT_COUNT + 1] = {
    [DT_F32] = &quant_f32,   [DT_F16] = &quant_f16,       [DT_BF16] = &quant_bf16,
    [DT_Q4_0] = &quant_q4_0, [DT_Q4_1] = &quant_q4_1,     [DT_Q5_0] = &quant_q5_0,
    [DT_Q5_1] = &quant_q5_1, [DT_Q8_0] = &quant_q8_0,     [DT_Q2_K] = &quant_q2_k,
    [DT_Q3_K] = &quant_q3_k, [DT_Q4_K] = &quant_q4_k,     [DT_Q5_K] = &quant_q5_k,
    [DT_Q6_K] = &quant_q6_k, [DT_IQ4_NL] = &quant_iq4_nl, [DT_IQ4_XS] = &quant_iq4_xs,
};

/* Every number that was ever published, also those that were withdrawn, by that number. */
static const char *const ggml_names[] = {
    /* clang-format off */
    [0]  = "F32",      [1]  = "F16",      [2]  = "Q4_0",     [3]  = "Q4_1",     [4]  = "Q4_2",
    [5]  = "Q4_3",     [6]  = "Q5_0",     [7]  = "Q5_1",     [8]  = "Q8_0",     [9]  = "Q8_1",
    [10] = "Q2_K",     [11] = "Q3_K",     [12] = "Q4_K",     [13] = "Q5_K",     [14] = "Q6_K",
    [15] = "Q8_K",     [16] = "IQ2_XXS",  [17] = "IQ2_XS",   [18] = "IQ3_XXS",  [19] = "IQ1_S",
    [20] = "IQ4_NL",   [21] = "IQ3_S",    [22] = "IQ2_S",    [23] = "IQ4_XS",   [24] = "I8",
    [25] = "I16",      [26] = "I32",      [27] = "I64",      [28] = "F64",      [29] = "IQ1_M",
    [30] = "BF16",     [31] = "Q4_0_4_4", [32] = "Q4_0_4_8", [33] = "Q4_0_8_8", [34] = "TQ1_0",
    [35] = "TQ2_0",    [36] = "IQ4_NL_4_4", [37] = "IQ4_NL_4_8", [38] = "IQ4_NL_8_8",
    [39] = "MXFP4",    [40] = "NVFP4",    [41] = "Q1_0",     [42] = "Q2_0",
    /* clang-format on */
};

const struct dtype_info *dtype_info(enum dtype t)
{
    assert((unsigned)t < DT_COUNT);
    return types[t];
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

const struct dtype_info *dtype_by_name(const char *name)
{
    for (int t = 0; t < DT_COUNT; t++) {
        const char *a = types[t]->name, *b = name;
        while (*a && *a == lower(*b)) a++, b++;
        if (*a == *b) return types[t];
    }
    return NULL;
}

const struct dtype_info *dtype_by_ggml_id(uint32_t id)
{
    for (int t = 0; t < DT_COUNT; t++)
        if (types[t]->ggml_id == id) return types[t];
    return NULL;
}

const char *dtype_nearest_name(const char *name)
{
    return table_nearest_ptr((const void *const *)types, name);
}

const char *ggml_type_name(uint32_t id)
{
    return id < ARRAY_LEN(ggml_names) ? ggml_names[id] : NULL;
}

bool dtype_row_bytes(enum dtype t, int64_t n, size_t *out)
{
    const struct dtype_info *info = dtype_info(t);
    if (n < 0 || n % info->block_elems) return false;
    return size_mul((size_t)(n / info->block_elems), info->block_bytes, out);
}
