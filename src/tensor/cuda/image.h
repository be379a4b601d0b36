/* image.h - the kernels' machine code, for all generations of GPUs that it was built for; no bytes
 * where no nvcc was found. Made by the build. */
#ifndef CRIA_TENSOR_CUDA_IMAGE_H
#define CRIA_TENSOR_CUDA_IMAGE_H

#include <stddef.h>

extern const unsigned char cuda_image[];
extern const size_t cuda_image_bytes;

#endif
