/* SPDX-License-Identifier: Apache-2.0
 *
 * peak.c - what the open GPU can do, measured: copying its memory, and a product by cuBLASLt.
 *
 * The copy counts bytes read and written. The product is of 8192 x 8192 matrices of bfloat16, of
 * random numbers: with zeros the same product runs a tenth faster, since fewer bits change.
 */
#include <stdlib.h>

#include "base/os.h"
#include "base/rng.h"
#include "tensor/cuda/device.h"

enum { SIDE = 8192, N_RUNS = 10 };
#define COPY_BYTES ((size_t)1 << 30)
#define MATRIX_BYTES ((size_t)SIDE * SIDE * 2)

static bool copy_rate(char *memory, double *rate, struct err *err)
{
    int64_t begin = 0;
    for (int i = -1; i < N_RUNS; i++) { /* the first is not counted */
        device_memory.copy(memory, memory + COPY_BYTES, COPY_BYTES);
        if (i >= 0) continue;
        if (!device_memory.finish(err)) return false;
        begin = clock_ns();
    }
    if (!device_memory.finish(err)) return false;
    *rate = 2.0 * (double)COPY_BYTES * N_RUNS / ((double)(clock_ns() - begin) * 1e-9);
    return true;
}

static bool fill(char *memory, struct err *err)
{
    uint16_t *x = malloc(MATRIX_BYTES);
    struct rng r = rng_seed(1);
    if (!x) return err_set(err, ERR_MEMORY, "no memory to measure a product with");
    for (size_t i = 0; i < MATRIX_BYTES / 2; i += 2) {
        const uint32_t two = rng_u32(&r); /* sign and fraction random, of size 1/2 to 2 */
        x[i] = (uint16_t)((two & 0x80ffu) | 0x3f00u);
        x[i + 1] = (uint16_t)((two >> 16 & 0x80ffu) | 0x3f00u);
    }
    device_memory.put(memory, x, MATRIX_BYTES);
    device_memory.put(memory + MATRIX_BYTES, x, MATRIX_BYTES);
    const bool ok = device_memory.finish(err);
    free(x);
    return ok;
}

static bool product_rate(char *memory, double *rate, struct err *err)
{
    const struct product p = {.type = LT_BF16,
                              .n_tok = SIDE,
                              .n_rows = SIDE,
                              .k = SIDE,
                              .ld_x = SIDE,
                              .ld_w = SIDE,
                              .ld_y = SIDE,
                              .x = memory,
                              .w = memory + MATRIX_BYTES,
                              .y = (float *)(void *)(memory + 2 * MATRIX_BYTES),
                              .workspace = memory + 4 * MATRIX_BYTES};
    int64_t begin = 0;
    *rate = 0;
    if (!fill(memory, err)) return false;
    for (int i = -1; i < N_RUNS; i++) {
        if (!device_multiply(&p)) return true; /* no cuBLASLt: no limit by it */
        if (i >= 0) continue;
        if (!device_memory.finish(err)) return false;
        begin = clock_ns();
    }
    if (!device_memory.finish(err)) return false;
    *rate = 2.0 * SIDE * SIDE * SIDE * N_RUNS / ((double)(clock_ns() - begin) * 1e-9);
    return true;
}

bool device_measure(struct device_peak *out, struct err *err)
{
    char *memory = device_memory.alloc(2 * COPY_BYTES, err);
    if (!memory) return false;
    const bool ok = copy_rate(memory, &out->bytes, err) && product_rate(memory, &out->ops, err);
    device_memory.free(memory);
    return ok;
}
