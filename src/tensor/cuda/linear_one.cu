/* linear_one.cu - products with one token: weights are read along their rows.
 *
 * A warp takes two rows and its lanes units of 32 weights side by side (of plain types, 8 weights),
 * so that one load of a warp is a few whole lines of the first-level cache; linear_few's loads
 * touch 8 rows each, and the lines are what limits them. The arithmetic is float, activations too,
 * which wait in shared memory, a stretch of 128 units at a time. The split of a sum is by unit and
 * lane, whatever the matrix.
 */
#include "tensor/cuda/weights.cuh"

enum { ONE_ROWS = 2, STRETCH = 128, UNIT_LD = 36 }; /* 36: lanes meet different banks */

struct rows_of_warp {
    const uint8_t *at[ONE_ROWS];
};

DEVICE float low_float(uint32_t pair) { return __uint_as_float(pair << 16); }
DEVICE float high_float(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

/* 8 weights of a plain type. */
template <int T> DEVICE void plain8(float w[8], const uint8_t *row, int i)
{
    if (T == DT_F32) {
        const float4 a = *(const float4 *)(row + 32 * i), b = *(const float4 *)(row + 32 * i + 16);
        w[0] = a.x, w[1] = a.y, w[2] = a.z, w[3] = a.w;
        w[4] = b.x, w[5] = b.y, w[6] = b.z, w[7] = b.w;
        return;
    }
    const uint4 v = *(const uint4 *)(row + 16 * i);
    const uint32_t pair[4] = {v.x, v.y, v.z, v.w};
    for (int j = 0; j < 4; j++) {
        w[2 * j] = T == DT_F16 ? half_to_float((uint16_t)pair[j]) : low_float(pair[j]);
        w[2 * j + 1] = T == DT_F16 ? half_to_float((uint16_t)(pair[j] >> 16)) : high_float(pair[j]);
    }
}

template <int T>
DEVICE void plain_stretch(float acc[ONE_ROWS], const rows_of_warp &r, const float *xs, int first,
                          int n_units)
{
#pragma unroll 4
    for (int c = (int)threadIdx.x % 32; c < 4 * n_units; c += 32) {
        const float *x = xs + c / 4 * UNIT_LD + c % 4 * 8;
        float w[ONE_ROWS][8];
        for (int k = 0; k < ONE_ROWS; k++) plain8<T>(w[k], r.at[k], 4 * first + c);
        for (int j = 0; j < 8; j++)
            for (int k = 0; k < ONE_ROWS; k++) acc[k] += w[k][j] * x[j];
    }
}

/* Lane's share of a unit: the integers' sum, scaled once. */
template <int T>
DEVICE float quantized_part(const uint8_t *row, const float *x, int n_all, int i, int t)
{
    typedef weights<T> W;
    unit u;
    W::load(&u, row, n_all, i, t);
    float sum[2] = {0, 0}, all[2] = {0, 0};
    for (int half = 0; half < 2; half++) {
        const float *v = x + 16 * half + 4 * t;
        sum[half] = low_float(u.w[2 * half]) * v[0] + high_float(u.w[2 * half]) * v[1] +
                    low_float(u.w[2 * half + 1]) * v[2] + high_float(u.w[2 * half + 1]) * v[3];
        if (W::HAS_MINIMUM) all[half] = v[0] + v[1] + v[2] + v[3];
    }
    if (!W::HAS_HALVES) {
        const float y = u.scale[0] * (sum[0] + sum[1]);
        return W::HAS_MINIMUM ? y - u.minimum[0] * (all[0] + all[1]) : y;
    }
    const float y = u.scale[0] * sum[0] + u.scale[1] * sum[1];
    return W::HAS_MINIMUM ? y - u.minimum[0] * all[0] - u.minimum[1] * all[1] : y;
}

template <int T>
DEVICE void quantized_stretch(float acc[ONE_ROWS], const rows_of_warp &r, const float *xs,
                              int first, int n_units, int n_all)
{
#pragma unroll 2
    for (int i = (int)threadIdx.x % 32; i < n_units; i += 32)
        for (int k = 0; k < ONE_ROWS; k++)
            for (int t = 0; t < 4; t++)
                acc[k] += quantized_part<T>(r.at[k], xs + i * UNIT_LD, n_all, first + i, t);
}

template <int T> DEVICE void linear_one(const linear_few_args &p, float *xs)
{
    const bool is_plain = T == DT_F32 || T == DT_F16 || T == DT_BF16;
    const int warp = (int)threadIdx.x / 32, n_all = (p.k + 31) / 32;
    int o = 0;
    while (o + 1 < p.n_out && (int)blockIdx.x >= p.out[o + 1].first_tile) o++;
    const few_out &out = p.out[o];
    const int row0 = ((int)blockIdx.x - out.first_tile) * 16 + warp * ONE_ROWS;
    const int last = out.w.n_rows - 1;
    rows_of_warp r;
    float acc[ONE_ROWS];
    for (int k = 0; k < ONE_ROWS; k++) {
        r.at[k] = out.w.data + (int64_t)min(row0 + k, last) * out.w.row_bytes;
        acc[k] = 0;
    }
    for (int first = 0; first < n_all; first += STRETCH) {
        const int n = min(STRETCH, n_all - first);
        if (first > 0) __syncthreads();
        for (int i = (int)threadIdx.x; i < 8 * n; i += 32 * FEW_WARPS)
            *(float4 *)(xs + i / 8 * UNIT_LD + i % 8 * 4) =
                *(const float4 *)(p.wide + 32 * first + 4 * i);
        __syncthreads();
        if constexpr (is_plain)
            plain_stretch<T>(acc, r, xs, first, n);
        else
            quantized_stretch<T>(acc, r, xs, first, n, n_all);
    }
    for (int k = 0; k < ONE_ROWS; k++) {
        float y = warp_sum(acc[k]);
        if (threadIdx.x % 32 != 0 || row0 + k > last) continue;
        if (out.bias) y += out.bias[row0 + k];
        out.y[row0 + k] = out.is_added ? out.y[row0 + k] + y : y;
    }
}

#define ONE(T)                                                                                     \
    KERNEL __launch_bounds__(32 * FEW_WARPS) linear_one_##T(linear_few_args p)                     \
    {                                                                                              \
        SHARED_ARRAY(float, xs, STRETCH * UNIT_LD);                                                \
        linear_one<DT_##T>(p, xs);                                                                 \
    }
CUDA_FEW_TYPES(ONE)
