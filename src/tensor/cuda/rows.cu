/* rows.cu - what is done to rows of activations between products, and to rows of weights.
 *
 * One block a row, or a grid that strides over all elements: all of it is bound by memory, and at
 * one token by the launch. Sums are taken in a fixed order.
 */
#include "tensor/cuda/layout.h"
#include "tensor/cuda/weights.cuh"

enum { MAX_WARPS = 32 };

/* The sum over the block, in every thread. */
DEVICE float block_sum(float x, float *shared)
{
    const int warp = (int)threadIdx.x / 32, n_warps = ((int)blockDim.x + 31) / 32;
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) shared[warp] = x;
    __syncthreads();
    float sum = 0;
    for (int i = 0; i < n_warps; i++) sum += shared[i];
    return sum;
}

DEVICE float silu(float z) { return z / (1.0f + __expf(-z)); }

/* 1 / rms(x) of the block's row. */
DEVICE float inverse_rms(const float *x, int k, float eps, float *shared)
{
    float sum = 0;
    for (int i = (int)threadIdx.x; i < k; i += (int)blockDim.x) sum += x[i] * x[i];
    return 1.0f / sqrtf(block_sum(sum, shared) / (float)k + eps);
}

KERNEL rmsnorm(rmsnorm_args p)
{
    SHARED_ARRAY(float, sums, MAX_WARPS);
    const float *x = p.x + (int64_t)blockIdx.x * p.ld_x;
    float *y = p.y + (int64_t)blockIdx.x * p.ld_y;
    const float r = inverse_rms(x, p.d, p.eps, sums);
    for (int i = (int)threadIdx.x; i < p.d; i += (int)blockDim.x) y[i] = x[i] * r * p.w[i];
}

KERNEL swiglu(swiglu_args p)
{
    const int64_t n = p.n_tok * p.d, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const int64_t t = i / p.d, c = i % p.d;
        p.y[t * p.ld_y + c] = silu(p.gate[t * p.ld_x + c]) * p.up[t * p.ld_x + c];
    }
}

KERNEL prepare(prepare_args p)
{
    SHARED_ARRAY(float, sums, MAX_WARPS);
    const int64_t t = blockIdx.x;
    const float *x = p.x + t * p.ld_x, *x2 = p.x2 ? p.x2 + t * p.ld_x : 0;
    const float r = p.in == PREPARE_RMSNORM ? inverse_rms(x, p.k, p.eps, sums) : 1.0f;
    const int step = 2 * (int)(blockDim.x * gridDim.y);
    for (int i = 2 * (int)(blockIdx.y * blockDim.x + threadIdx.x); i < p.ld; i += step) {
        float v[2];
        for (int j = 0; j < 2; j++) {
            const int at = i + j;
            v[j] = at >= p.k                     ? 0.0f
                   : p.in == PREPARE_RMSNORM     ? x[at] * r * p.norm[at]
                   : p.in == PREPARE_SWIGLU      ? silu(x[at]) * x2[at]
                                                 : x[at];
        }
        uint32_t hi, lo;
        split_pair(v[0], v[1], &hi, &lo);
        if (p.hi) *(uint32_t *)(p.hi + t * p.ld + i) = hi;
        if (p.lo) *(uint32_t *)(p.lo + t * p.ld + i) = lo;
        if (p.wide) {
            p.wide[t * p.ld + i] = v[0];
            p.wide[t * p.ld + i + 1] = v[1];
        }
    }
}

/* Calls for the type of weights. */
#define BY_TYPE(type, CALL)                                                                        \
    switch (type) {                                                                                \
        CUDA_FEW_TYPES(CALL)                                                                       \
    }

DEVICE void floats_of(float out[8], const dev_matrix &w, int64_t row, int n_units, int i, int t)
{
    const uint8_t *at = w.data + row * w.row_bytes;
#define FLOATS(T)                                                                                  \
    case DT_##T: unit_floats<DT_##T>(out, at, n_units, i, t); break;
    BY_TYPE(w.dtype, FLOATS)
#undef FLOATS
}

/* Element j of the 8 that lane t holds of a unit. */
DEVICE int place_in_unit(int t, int j) { return (j < 4 ? 0 : 12) + 4 * t + j; }

KERNEL embed(embed_args p)
{
    const int n_units = (int)((p.n_cols + 31) / 32);
    const int64_t row = p.ids[blockIdx.x];
    float *y = p.y + (int64_t)blockIdx.x * p.ld_y;
    for (int i = (int)threadIdx.x; i < 4 * n_units; i += (int)blockDim.x) {
        float x[8];
        floats_of(x, p.w, row, n_units, i / 4, i % 4);
        for (int j = 0; j < 8; j++) {
            const int64_t c = 32 * (i / 4) + place_in_unit(i % 4, j);
            if (c < p.n_cols) y[c] = x[j];
        }
    }
}

KERNEL unpack(unpack_args p)
{
    const int n_units = (p.k + 31) / 32;
    for (int i = (int)threadIdx.x; i < 4 * n_units; i += (int)blockDim.x) {
        float x[8];
        floats_of(x, p.w, p.first + blockIdx.x, n_units, i / 4, i % 4);
        const int64_t at = (int64_t)blockIdx.x * p.ld + 32 * (i / 4) + 4 * (i % 4);
        for (int half = 0; half < 2; half++) {
            const float *v = x + 4 * half;
            if (p.narrow)
                *(uint2 *)(p.narrow + at + 16 * half) =
                    make_uint2(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]));
            if (p.wide)
                *(float4 *)(p.wide + at + 16 * half) = make_float4(v[0], v[1], v[2], v[3]);
        }
    }
}

static DEVICE_CONST const field layout[DT_COUNT][LAYOUT_MAX_FIELDS] = LAYOUT_TABLE;

/* One thread a block of a row; bytes behind the last field become zero. */
KERNEL place(place_args p)
{
    const field *f = layout[p.dtype];
    int block_bytes = 0;
    for (int i = 0; i < LAYOUT_MAX_FIELDS; i++) block_bytes += f[i].bytes;
    const int64_t n = p.n_rows * p.n_blocks, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < n; at += step) {
        const int64_t row = at / p.n_blocks, b = at % p.n_blocks;
        const uint8_t *from = p.from + row * p.from_row_bytes + b * block_bytes;
        uint8_t *to = p.to + row * p.to_row_bytes;
        int64_t begin = 0;
        for (int i = 0; i < LAYOUT_MAX_FIELDS && f[i].bytes; begin += f[i++].bytes)
            for (int j = 0; j < f[i].bytes; j++)
                to[p.n_blocks * begin + b * f[i].bytes + j] = from[f[i].from + j];
        if (b == p.n_blocks - 1)
            for (int64_t j = p.n_blocks * block_bytes; j < p.to_row_bytes; j++) to[j] = 0;
    }
}

KERNEL add_bias(add_bias_args p)
{
    const int64_t n = p.n_tok * p.n_rows, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        p.y[i / p.n_rows * p.ld_y + i % p.n_rows] += p.bias[i % p.n_rows];
}

/* Rows only move forward, past rows that have moved: a thread moves its column row by row. */
KERNEL gather(gather_args p)
{
    const int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= p.n) return;
    for (int i = 0; i < p.n_kept; i++)
        if (p.kept[i] != i) p.rows[i * p.n + c] = p.rows[p.kept[i] * p.n + c];
}

KERNEL damage(damage_args p)
{
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    bool is_bad = false;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < p.n; i += step)
        is_bad = is_bad || (__float_as_uint(p.x[i]) & 0x7f800000u) == 0x7f800000u;
    if (is_bad) *p.damage = 1; /* whoever writes, writes the same */
}
