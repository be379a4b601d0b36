/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.cc - all kernels as C++ of the host; ptx.cuh takes emu.h for the device.
 */
#include "tensor/cuda/all.cu"
