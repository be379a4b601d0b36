/* device.h - the one GPU that this process computes on: opened once, then the same for all threads.
 *
 * A process has one device (on several GPUs there are several ranks), which stays open until the
 * process ends: so it is global, and the operators need no handle. Each host thread has its own
 * stream, in which what it asks for is done in order. Private to tensor/cuda/.
 */
#ifndef CRIA_TENSOR_CUDA_DEVICE_H
#define CRIA_TENSOR_CUDA_DEVICE_H

#include "tensor/cuda/driver.h"
#include "tensor/cuda/kernels.h"
#include "tensor/ops.h"

enum few_size { FEW_8, FEW_16, FEW_32, N_FEW_SIZES }; /* tokens of a block */

/* clang-format off */
enum kernel {
#define ID(name) KERNEL_##name,
    CUDA_KERNELS(ID)
#undef ID
#define ID(d) KERNEL_attention_flash_##d,
    CUDA_FLASH_KERNELS(ID)
#undef ID
#define ID(t) KERNEL_linear_one_##t,
    CUDA_FEW_TYPES(ID)
#undef ID
#define ID(t) KERNEL_linear_few_##t##_1, KERNEL_linear_few_##t##_2, KERNEL_linear_few_##t##_4,
    CUDA_FEW_TYPES(ID)
#undef ID
    N_KERNELS
};
/* clang-format on */

/* Opens device `i`, or returns if it is open. ERR_USAGE: another one is; ERR_UNSUPPORTED: there is
 * none, or our kernels do not run on it. */
bool device_open(int i, struct err *err) CRIA_CHECK;
/* Multiprocessors of the open device. */
int device_n_sm(void);
/* For what cannot be asked for: finish() tells. */
void device_fail(void);

/* `args` is the kernel's one argument; it is copied. What fails is told by finish(). */
void device_launch(enum kernel k, int64_t gx, int64_t gy, int64_t gz, int threads, void *args);

/* y[n_tok][n_rows] at ld_y (=|+=) x[n_tok][k] w[n_rows][k]^T, both bfloat16 or both float (`type`:
 * LT_BF16, LT_FLOAT). False: cuBLASLt is not there or refuses, and nothing is done. */
struct product {
    int type;
    int64_t n_tok, n_rows, k, ld_x, ld_w, ld_y;
    const void *x, *w;
    float *y;
    bool is_added;
    void *workspace; /* PRODUCT_WORKSPACE bytes */
};
#define PRODUCT_WORKSPACE ((size_t)32 << 20)
bool device_has_products(void);
bool device_multiply(const struct product *p);

/* device_memory.measure (peak.c). */
bool device_measure(struct device_peak *out, struct err *err) CRIA_CHECK;

extern const struct device_memory device_memory;

#endif
