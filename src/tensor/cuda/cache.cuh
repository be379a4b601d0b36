/* cache.cuh - the paged keys and values: where a row lies, and 8 of its elements. */
#ifndef CRIA_TENSOR_CUDA_CACHE_CUH
#define CRIA_TENSOR_CUDA_CACHE_CUH

#include "tensor/cuda/kernels.h"
#include "tensor/cuda/ptx.cuh"

/* The row of a position and kv head, in the keys or in the values (`base`). */
DEVICE uint8_t *cache_row(const dev_cache &c, uint8_t *base, const int32_t *pages, int pos, int head)
{
    const int64_t page = pages[pos >> c.page_shift], slot = pos & ((1 << c.page_shift) - 1);
    return base + page * c.page_stride + head * c.head_stride + slot * c.row_bytes;
}

/* Elements e .. e + 7, e a multiple of 8. */
DEVICE void cache_load8(float out[8], int dtype, const uint8_t *row, int e)
{
    if (dtype == DT_F32) {
        const float4 a = *(const float4 *)(row + 4 * e), b = *(const float4 *)(row + 4 * e + 16);
        out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
        out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
    } else if (dtype == DT_Q8_0) {
        const uint8_t *b = row + e / 32 * 34, *q = b + 2 + e % 32;
        const float d = half_to_float(*(const uint16_t *)b);
        for (int j = 0; j < 4; j++) {
            const uint32_t two = *(const uint16_t *)(q + 2 * j);
            out[2 * j] = d * (float)(int8_t)two;
            out[2 * j + 1] = d * (float)(int8_t)(two >> 8);
        }
    } else {
        const uint4 v = *(const uint4 *)(row + 2 * e);
        const uint32_t w[4] = {v.x, v.y, v.z, v.w};
        for (int j = 0; j < 4; j++) {
            out[2 * j] = dtype == DT_F16 ? half_to_float((uint16_t)w[j])
                                         : bf16_to_float(w[j] & 0xffffu);
            out[2 * j + 1] = dtype == DT_F16 ? half_to_float((uint16_t)(w[j] >> 16))
                                             : bf16_to_float(w[j] >> 16);
        }
    }
}

/* Elements e .. e + 3, or the block of 32 from e on for DT_Q8_0. */
DEVICE void cache_store(int dtype, uint8_t *row, int e, const float *x)
{
    if (dtype == DT_F32) {
        *(float4 *)(row + 4 * e) = make_float4(x[0], x[1], x[2], x[3]);
    } else if (dtype == DT_F16) {
        *(uint2 *)(row + 2 * e) = make_uint2(float_to_half(x[0]) | (uint32_t)float_to_half(x[1]) << 16,
                                             float_to_half(x[2]) | (uint32_t)float_to_half(x[3]) << 16);
    } else if (dtype == DT_BF16) {
        *(uint2 *)(row + 2 * e) = make_uint2(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]));
    } else { /* d = amax / 127, q = round half away (x / d) */
        float most = 0;
        for (int i = 0; i < 32; i++) most = fmaxf(most, fabsf(x[i]));
        const float d = most / 127.0f, inverse = most > 0 ? 127.0f / most : 0.0f;
        uint8_t *b = row + e / 32 * 34;
        *(uint16_t *)b = float_to_half(d);
        for (int i = 0; i < 32; i++) b[2 + i] = (uint8_t)(int8_t)roundf(x[i] * inverse);
    }
}

/* The span of a token: the last that begins at or before it. */
DEVICE const dev_span &span_of(const dev_span *span, int n_spans, int64_t tok)
{
    int low = 0, high = n_spans - 1;
    while (low < high) {
        const int mid = (low + high + 1) / 2;
        if (span[mid].begin <= tok)
            low = mid;
        else
            high = mid - 1;
    }
    return span[low];
}

#endif
