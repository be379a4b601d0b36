/* cuda.h - the operators on an NVIDIA GPU. */
#ifndef CRIA_TENSOR_CUDA_CUDA_H
#define CRIA_TENSOR_CUDA_CUDA_H

#include "tensor/ops.h"

/* The operator table of the device "cuda" or "cuda:N", which is opened. Errors: device.h. */
const struct ops *ops_cuda(const char *name, struct err *err);

#endif
