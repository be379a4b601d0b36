/* all.cu - every kernel, as one piece of machine code for the program to hand to the driver. */
#include "tensor/cuda/attention.cu"
#include "tensor/cuda/linear_few.cu"
#include "tensor/cuda/linear_one.cu"
#include "tensor/cuda/rope.cu"
#include "tensor/cuda/rows.cu"
