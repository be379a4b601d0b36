/* wrong.h - kernels with one mistake each (wrong.cc). Blocks of 64 threads, out[64]. */
#ifndef CRIA_TESTS_CUDA_EMU_WRONG_H
#define CRIA_TESTS_CUDA_EMU_WRONG_H

#include "emu_launch.h"

struct wrong_args {
    float *out;
};

#define WRONG_KERNELS(X)                                                                           \
    X(wrong_barrier_ended)                                                                         \
    X(wrong_barrier_other)                                                                         \
    X(wrong_unwritten)                                                                             \
    X(wrong_race)                                                                                  \
    X(wrong_lanes)                                                                                 \
    X(wrong_aligned)                                                                               \
    X(wrong_nothing)

#ifdef __cplusplus
extern "C" {
#endif
extern const struct emu_kernel wrong_kernels[];
#ifdef __cplusplus
}
#endif

#endif
