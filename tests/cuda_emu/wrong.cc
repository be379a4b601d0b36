/* SPDX-License-Identifier: Apache-2.0
 *
 * wrong.cc - kernels with one mistake each, for test_cuda_emu.c: the emulation must see it.
 */
#include "emu.h"

#include "tensor/cuda/ptx.cuh"

#include "wrong.h"

KERNEL wrong_barrier_ended(wrong_args p)
{
    if (threadIdx.x == 3) return;
    __syncthreads();
    p.out[threadIdx.x] = 1;
}

KERNEL wrong_barrier_other(wrong_args p)
{
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
    p.out[threadIdx.x] = 1;
}

KERNEL wrong_unwritten(wrong_args p)
{
    SHARED_ARRAY(float, sums, 64);
    if (threadIdx.x != 5) sums[threadIdx.x] = 1;
    __syncthreads();
    p.out[threadIdx.x] = sums[threadIdx.x];
}

KERNEL wrong_race(wrong_args p)
{
    SHARED_ARRAY(float, sums, 64);
    sums[threadIdx.x] = 1;
    __syncthreads();
    sums[threadIdx.x] = sums[63 - threadIdx.x];
    p.out[threadIdx.x] = sums[threadIdx.x];
}

KERNEL wrong_lanes(wrong_args p)
{
    float x = 1;
    if (threadIdx.x != 7) x += __shfl_xor_sync(0xffffffffu, x, 1);
    p.out[threadIdx.x] = x;
}

KERNEL wrong_aligned(wrong_args p)
{
    const uint4 v = *(const uint4 *)(p.out + threadIdx.x % 2);
    p.out[threadIdx.x] = (float)v.x;
}

KERNEL wrong_nothing(wrong_args p)
{
    SHARED_ARRAY(float, sums, 64);
    sums[threadIdx.x] = (float)threadIdx.x;
    __syncthreads();
    p.out[threadIdx.x] = warp_sum(sums[threadIdx.x ^ 1]);
}

#define ROW(name) {#name, sizeof(wrong_args), 0, [](const void *a) { name(*(const wrong_args *)a); }},
const struct emu_kernel wrong_kernels[] = {WRONG_KERNELS(ROW)};
