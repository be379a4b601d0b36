/* linear_few.cu - products with few tokens: every weight is read once, at the speed of memory.
 *
 * A block takes 16 rows of a matrix and 8 NT tokens; its 8 warps share the units of 32 weights out
 * among them, and their sums meet in shared memory in fixed order. A warp multiplies with the
 * tensor cores, weights as the 16 x 16 operand, tokens as the 16 x 8 one: at one token seven
 * eighths of that is idle, and still the arithmetic costs nothing beside the reading. Activations
 * come as two bfloat16, hi + lo, so that 8 tokens or fewer, and all with F32 and F16 weights, are
 * exact to 2^-17; else as hi alone.
 *
 * A unit's sum is taken of the integers alone and then scaled: exact as the format is. Minima are
 * subtracted times the sum of the activations, which one more product with ones gives.
 */
#include "tensor/cuda/weights.cuh"

struct rows16 {
    const uint8_t *a, *b; /* rows g and g + 8 of the tile */
};

template <int T, int NT>
DEVICE void multiply_unit(float acc[NT][4], const linear_few_args &p, const unit &a, const unit &b,
                          int i, const int64_t x_at[NT], int t)
{
    typedef weights<T> W;
    const bool is_scaled = T != DT_F32 && T != DT_F16 && T != DT_BF16;
    const bool has_lo = NT == 1 || W::IS_WIDE; /* known here, so that no branch stands between loads */
    const uint32_t ones[4] = {0x3f803f80u, 0x3f803f80u, 0x3f803f80u, 0x3f803f80u};
    for (int n = 0; n < NT; n++) {
        const int64_t at = x_at[n] + 32 * i + 4 * t;
        const uint2 hi[2] = {*(const uint2 *)(p.hi + at), *(const uint2 *)(p.hi + at + 16)};
        uint2 lo[2];
        if (has_lo) {
            lo[0] = *(const uint2 *)(p.lo + at);
            lo[1] = *(const uint2 *)(p.lo + at + 16);
        }
        float part[4] = {0, 0, 0, 0}, sum[4] = {0, 0, 0, 0};
        for (int half = 0; half < 2; half++) {
            const int j = 2 * half;
            const uint32_t w[4] = {a.w[j], b.w[j], a.w[j + 1], b.w[j + 1]};
            float *c = is_scaled ? part : acc[n];
            mma_bf16(c, w, hi[half].x, hi[half].y);
            if (has_lo) mma_bf16(c, w, lo[half].x, lo[half].y);
            if (W::IS_WIDE) {
                const uint32_t low[4] = {a.low[j], b.low[j], a.low[j + 1], b.low[j + 1]};
                mma_bf16(c, low, hi[half].x, hi[half].y);
            }
            if (W::HAS_MINIMUM) {
                mma_bf16(sum, ones, hi[half].x, hi[half].y);
                if (has_lo) mma_bf16(sum, ones, lo[half].x, lo[half].y);
            }
            if (is_scaled && (W::HAS_HALVES || half == 1)) {
                const int s = W::HAS_HALVES ? half : 0;
                for (int e = 0; e < 4; e++) {
                    acc[n][e] += (e < 2 ? a.scale[s] : b.scale[s]) * part[e];
                    if (W::HAS_MINIMUM) acc[n][e] -= (e < 2 ? a.minimum[s] : b.minimum[s]) * sum[e];
                    part[e] = sum[e] = 0;
                }
            }
        }
    }
}

template <int T, int NT> DEVICE void linear_few(const linear_few_args &p, float *shared)
{
    enum { TOK = 8 * NT };
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int n_units = (p.k + 31) / 32, tok0 = (int)blockIdx.y * TOK;
    int o = 0;
    while (o + 1 < p.n_out && (int)blockIdx.x >= p.out[o + 1].first_tile) o++;
    const few_out &out = p.out[o];
    const int row0 = ((int)blockIdx.x - out.first_tile) * 16, last = out.w.n_rows - 1;
    const rows16 r = {out.w.data + (int64_t)min(row0 + g, last) * out.w.row_bytes,
                      out.w.data + (int64_t)min(row0 + g + 8, last) * out.w.row_bytes};
    int64_t x_at[NT];
    float acc[NT][4];
    for (int n = 0; n < NT; n++) {
        x_at[n] = (int64_t)min(tok0 + 8 * n + g, p.n_tok - 1) * p.ld_x;
        for (int e = 0; e < 4; e++) acc[n][e] = 0;
    }
    enum { AHEAD = 4 }; /* units whose weights are on their way at once */
    int i = warp;
    for (; i + (AHEAD - 1) * FEW_WARPS < n_units; i += AHEAD * FEW_WARPS) {
        unit a[AHEAD], b[AHEAD];
#pragma unroll
        for (int j = 0; j < AHEAD; j++) {
            weights<T>::load(&a[j], r.a, n_units, i + j * FEW_WARPS, t);
            weights<T>::load(&b[j], r.b, n_units, i + j * FEW_WARPS, t);
        }
#pragma unroll
        for (int j = 0; j < AHEAD; j++)
            multiply_unit<T, NT>(acc, p, a[j], b[j], i + j * FEW_WARPS, x_at, t);
    }
    for (; i < n_units; i += FEW_WARPS) {
        unit a, b;
        weights<T>::load(&a, r.a, n_units, i, t);
        weights<T>::load(&b, r.b, n_units, i, t);
        multiply_unit<T, NT>(acc, p, a, b, i, x_at, t);
    }
    for (int n = 0; n < NT; n++)
        for (int e = 0; e < 4; e++)
            shared[(warp * TOK + 8 * n + 2 * t + (e & 1)) * 16 + g + 8 * (e / 2)] = acc[n][e];
    __syncthreads();
    for (int at = (int)threadIdx.x; at < 16 * TOK; at += 32 * FEW_WARPS) {
        const int row = row0 + at % 16, tok = tok0 + at / 16;
        if (row > last || tok >= p.n_tok) continue;
        float y = 0;
        for (int w = 0; w < FEW_WARPS; w++) y += shared[w * TOK * 16 + at];
        if (out.bias) y += out.bias[row];
        float *to = out.y + (int64_t)tok * out.ld_y + row;
        *to = out.is_added ? *to + y : y;
    }
}

#define FEW(T, NT)                                                                                 \
    KERNEL __launch_bounds__(32 * FEW_WARPS) linear_few_##T##_##NT(linear_few_args p)              \
    {                                                                                              \
        SHARED_ARRAY(float, sums, FEW_WARPS * 16 * 8 * NT);                                        \
        linear_few<DT_##T, NT>(p, sums);                                                           \
    }
#define FEW_OF_TYPE(T) FEW(T, 1) FEW(T, 2) FEW(T, 4)
CUDA_FEW_TYPES(FEW_OF_TYPE)
