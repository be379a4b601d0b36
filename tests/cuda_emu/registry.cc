/* SPDX-License-Identifier: Apache-2.0
 *
 * registry.cc - every kernel of kernels.h by its name, from the same lists.
 */
#include <string.h>

#include "emu_launch.h"
#include "tensor/cuda/kernels.h"

#define ROW(name, args, n_threads)                                                                 \
    {#name, sizeof(args), n_threads, [](const void *a) { name(*static_cast<const args *>(a)); }},

#define DECLARE(name) extern "C" void name(name##_args);
#define DECLARE_FLASH(d) extern "C" void attention_flash_##d(attention_flash_args);
#define DECLARE_FEW(type)                                                                          \
    extern "C" void linear_one_##type(linear_few_args);                                            \
    extern "C" void linear_few_##type##_1(linear_few_args);                                        \
    extern "C" void linear_few_##type##_2(linear_few_args);                                        \
    extern "C" void linear_few_##type##_4(linear_few_args);
CUDA_KERNELS(DECLARE)
CUDA_FLASH_KERNELS(DECLARE_FLASH)
CUDA_FEW_TYPES(DECLARE_FEW)

#define PLAIN(name)                                                                                \
    ROW(name, name##_args, strcmp(#name, "attention_split") == 0 ? SPLIT_THREADS : 0)
#define FLASH(d) ROW(attention_flash_##d, attention_flash_args, FLASH_THREADS)
#define FEW(type)                                                                                  \
    ROW(linear_one_##type, linear_few_args, 32 * FEW_WARPS)                                        \
    ROW(linear_few_##type##_1, linear_few_args, 32 * FEW_WARPS)                                    \
    ROW(linear_few_##type##_2, linear_few_args, 32 * FEW_WARPS)                                    \
    ROW(linear_few_##type##_4, linear_few_args, 32 * FEW_WARPS)

const emu_kernel *emu_find(const char *name)
{
    static const emu_kernel kernels[] = {
        CUDA_KERNELS(PLAIN) CUDA_FLASH_KERNELS(FLASH) CUDA_FEW_TYPES(FEW)};
    for (const emu_kernel &k : kernels)
        if (strcmp(k.name, name) == 0) return &k;
    return NULL;
}
