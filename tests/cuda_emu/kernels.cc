/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.cc - all kernels as C++ of the host; emu.h stands for the device.
 */
#include "emu.h"

#include "tensor/cuda/all.cu"
