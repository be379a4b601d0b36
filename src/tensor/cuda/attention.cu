/* attention.cu - softmax(q k^T scale) v over the positions of each token's own sequence.
 *
 * Two ways. `split`: a block takes a token, the query heads of one kv head, four at a time, and a
 * stretch of positions, in float; stretches are joined by attention_join. For single tokens, whose
 * time is the reading of the cache, and for models that want float throughout. `flash`: 64 rows of
 * (token, head) against tiles of 64 positions on the tensor cores in bfloat16, online softmax as in
 * Dao et al. 2022, for prompts. Both walk the pages of the cache.
 */
#include "tensor/cuda/cache.cuh"

enum { HEADS = 4, MAX_D = 256, WARPS = SPLIT_THREADS / 32 };

struct split_shared {
    float q[HEADS * MAX_D];
    float score[HEADS * SPLIT_CHUNK];
    float factor[HEADS];
    float sums[SPLIT_THREADS * 8 * HEADS];
};

DEVICE void split_scores(split_shared *sh, const attention_split_args &p, const dev_span &s,
                         int head, int begin, int n)
{
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, quarter = lane % 4;
    const int d = p.kv.d_head;
    for (int at = warp * 8 + lane / 4; at < SPLIT_CHUNK; at += 8 * WARPS) {
        float dot[HEADS] = {0, 0, 0, 0};
        if (at < n) {
            const uint8_t *row = cache_row(p.kv, p.kv.k, s.pages, begin + at, head);
            for (int e = 8 * quarter; e < d; e += 32) {
                float k[8];
                cache_load8(k, p.kv.dtype, row, e);
                for (int h = 0; h < HEADS; h++)
                    for (int j = 0; j < 8; j++) dot[h] += k[j] * sh->q[h * d + e + j];
            }
        }
        for (int h = 0; h < HEADS; h++) {
            dot[h] += __shfl_xor_sync(0xffffffffu, dot[h], 1);
            dot[h] += __shfl_xor_sync(0xffffffffu, dot[h], 2);
        }
        const float mine = quarter == 0 ? dot[0] : quarter == 1 ? dot[1] : quarter == 2 ? dot[2] : dot[3];
        if (at < n) sh->score[quarter * SPLIT_CHUNK + at] = mine * p.scale;
    }
}

/* Warp h: the weights of head h; its largest score and sum of weights so far. */
DEVICE void split_softmax(split_shared *sh, int n, float *most, float *sum)
{
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    float *score = sh->score + warp * SPLIT_CHUNK;
    float top = *most, here = 0;
    for (int i = lane; i < n; i += 32) top = fmaxf(top, score[i]);
    for (int o = 16; o > 0; o >>= 1) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, o));
    for (int i = lane; i < n; i += 32) {
        score[i] = expf(score[i] - top);
        here += score[i];
    }
    const float factor = expf(*most - top);
    *sum = *sum * factor + warp_sum(here);
    *most = top;
    if (lane == 0) sh->factor[warp] = factor;
}

KERNEL __launch_bounds__(SPLIT_THREADS) attention_split(attention_split_args p)
{
    SHARED_ARRAY(split_shared, shared, 1);
    split_shared *sh = shared;
    const int n_rep = p.n_heads / p.kv.n_kv_heads, n_groups_of_heads = (n_rep + HEADS - 1) / HEADS;
    const int kv_head = (int)blockIdx.y / n_groups_of_heads;
    const int first = (int)blockIdx.y % n_groups_of_heads * HEADS, d = p.kv.d_head;
    const int n_heads = min(HEADS, n_rep - first), tid = (int)threadIdx.x;
    const int64_t tok = blockIdx.x;
    const dev_span &s = span_of(p.span, p.n_spans, tok);
    const int n_pos = s.pos + (int)(tok - s.begin) + 1;
    const int begin = (int)blockIdx.z * p.split_tok, end = min(begin + p.split_tok, n_pos);
    const float *q = p.q + tok * p.ld_q + (int64_t)(kv_head * n_rep + first) * d;
    for (int i = tid; i < HEADS * d; i += SPLIT_THREADS) sh->q[i] = i < n_heads * d ? q[i] : 0.0f;

    const int n_eights = d / 8, n_groups = SPLIT_THREADS / n_eights;
    const int group = tid / n_eights, e = tid % n_eights * 8;
    float acc[HEADS][8], most = -CUDART_INF_F, sum = 0;
    for (int h = 0; h < HEADS; h++)
        for (int j = 0; j < 8; j++) acc[h][j] = 0;
    for (int at = begin; at < end; at += SPLIT_CHUNK) {
        const int n = min(SPLIT_CHUNK, end - at);
        __syncthreads();
        split_scores(sh, p, s, kv_head, at, n);
        __syncthreads();
        split_softmax(sh, n, &most, &sum);
        __syncthreads();
        for (int h = 0; h < HEADS; h++)
            for (int j = 0; j < 8; j++) acc[h][j] *= sh->factor[h];
        for (int i = group; group < n_groups && i < n; i += n_groups) {
            float v[8];
            cache_load8(v, p.kv.dtype, cache_row(p.kv, p.kv.v, s.pages, at + i, kv_head), e);
            for (int h = 0; h < HEADS; h++)
                for (int j = 0; j < 8; j++) acc[h][j] += sh->score[h * SPLIT_CHUNK + i] * v[j];
        }
    }
    if (group < n_groups)
        for (int h = 0; h < HEADS; h++)
            for (int j = 0; j < 8; j++) sh->sums[(group * HEADS + h) * d + e + j] = acc[h][j];
    const int warp = tid / 32;
    __syncthreads();
    if (tid % 32 == 0) { /* the scores are done with: they hold what the warps know */
        sh->score[2 * warp] = most;
        sh->score[2 * warp + 1] = sum;
    }
    __syncthreads();
    for (int i = tid; i < n_heads * d; i += SPLIT_THREADS) {
        const int h = i / d, c = i % d, head = kv_head * n_rep + first + h;
        float y = 0;
        for (int g = 0; g < n_groups; g++) y += sh->sums[(g * HEADS + h) * d + c];
        if (p.n_splits == 1) {
            p.y[tok * p.ld_y + (int64_t)head * d + c] = y / sh->score[2 * h + 1];
        } else {
            float *to = p.part + ((tok * p.n_heads + head) * p.n_splits + blockIdx.z) * (d + 2);
            to[c] = y;
            if (c < 2) to[d + c] = sh->score[2 * h + c];
        }
    }
}

KERNEL attention_join(attention_join_args p)
{
    const int64_t row = (int64_t)blockIdx.x * p.n_heads + blockIdx.y;
    const int d = p.d_head;
    const float *part = p.part + row * p.n_splits * (d + 2);
    float top = -CUDART_INF_F;
    for (int i = 0; i < p.n_splits; i++) top = fmaxf(top, part[i * (d + 2) + d]);
    for (int c = (int)threadIdx.x; c < d; c += (int)blockDim.x) {
        float y = 0, sum = 0;
        for (int i = 0; i < p.n_splits; i++) {
            const float *s = part + i * (d + 2);
            const float w = s[d + 1] > 0 ? expf(s[d] - top) : 0.0f;
            y += w * s[c];
            sum += w * s[d + 1];
        }
        p.y[(int64_t)blockIdx.x * p.ld_y + (int64_t)blockIdx.y * d + c] = y / sum;
    }
}

/* ---- flash ---- */

/* 8 elements of x as bfloat16 at `to` in shared memory. */
DEVICE void store8(uint16_t *to, const float x[8])
{
    *(uint4 *)to = make_uint4(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]),
                              pack_bf16(x[6], x[7]));
}

/* Positions [begin, begin + 64) of keys or values; zeros from n on. */
template <int D>
DEVICE void flash_fill(uint16_t *to, const attention_flash_args &p, uint8_t *base,
                       const dev_span &s, int head, int begin, int n)
{
    for (int i = (int)threadIdx.x; i < FLASH_KEYS * (D / 8); i += FLASH_THREADS) {
        const int row = i / (D / 8), e = i % (D / 8) * 8;
        uint16_t *at = to + row * (D + 8) + e;
        if (begin + row >= n) {
            *(uint4 *)at = make_uint4(0, 0, 0, 0);
            continue;
        }
        const uint8_t *from = cache_row(p.kv, base, s.pages, begin + row, head);
        if (p.kv.dtype == DT_BF16) {
            *(uint4 *)at = *(const uint4 *)(from + 2 * e);
        } else {
            float x[8];
            cache_load8(x, p.kv.dtype, from, e);
            store8(at, x);
        }
    }
}

template <int D> struct flash_state {
    uint32_t q[D / 16][4];
    float y[D / 8][4];
    float most[2], sum[2]; /* of rows g and g + 8 */
};

/* The tile's scores to weights, times what the old ones have become. */
template <int D> DEVICE void flash_softmax(flash_state<D> *f, float s[FLASH_KEYS / 8][4])
{
    for (int r = 0; r < 2; r++) {
        float top = f->most[r], here = 0;
        for (int n = 0; n < FLASH_KEYS / 8; n++) top = fmaxf(top, fmaxf(s[n][2 * r], s[n][2 * r + 1]));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
        const float factor = exp2_fast(f->most[r] - top);
        for (int n = 0; n < FLASH_KEYS / 8; n++)
            for (int j = 2 * r; j < 2 * r + 2; j++) {
                s[n][j] = exp2_fast(s[n][j] - top);
                here += s[n][j];
            }
        f->most[r] = top;
        f->sum[r] = f->sum[r] * factor + here;
        for (int n = 0; n < D / 8; n++) {
            f->y[n][2 * r] *= factor;
            f->y[n][2 * r + 1] *= factor;
        }
    }
}

template <int D> DEVICE void attention_flash(const attention_flash_args &p, uint16_t *keys, uint16_t *values)
{
    enum { LD = D + 8 };
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int n_rep = p.n_heads / p.kv.n_kv_heads, kv_head = (int)blockIdx.y;
    const dev_span &s = p.span[blockIdx.z];
    const int n_rows = s.n * n_rep, row0 = (int)blockIdx.x * FLASH_ROWS;
    if (row0 >= n_rows) return;

    /* queries, through the keys' place */
    for (int i = (int)threadIdx.x; i < FLASH_ROWS * (D / 8); i += FLASH_THREADS) {
        const int row = min(row0 + i / (D / 8), n_rows - 1), e = i % (D / 8) * 8;
        const float *q = p.q + (s.begin + row / n_rep) * p.ld_q +
                         (int64_t)(kv_head * n_rep + row % n_rep) * D + e;
        float x[8];
        for (int j = 0; j < 8; j++) x[j] = q[j];
        store8(keys + i / (D / 8) * LD + e, x);
    }
    __syncthreads();
    flash_state<D> f;
    for (int k = 0; k < D / 16; k++)
        load_matrix(f.q[k], keys + (warp * 16 + lane % 16) * LD + 16 * k + lane / 16 * 8);
    for (int n = 0; n < D / 8; n++)
        for (int j = 0; j < 4; j++) f.y[n][j] = 0;
    int pos[2];
    for (int r = 0; r < 2; r++) {
        f.most[r] = -CUDART_INF_F;
        f.sum[r] = 0;
        pos[r] = s.pos + min(row0 + warp * 16 + g + 8 * r, n_rows - 1) / n_rep;
    }
    const int first_pos = s.pos + row0 / n_rep;
    const int n_keys = s.pos + (min(row0 + FLASH_ROWS, n_rows) - 1) / n_rep + 1;
    const float scale = p.scale * 1.44269504f; /* weights are powers of two */

    for (int begin = 0; begin < n_keys; begin += FLASH_KEYS) {
        __syncthreads();
        flash_fill<D>(keys, p, p.kv.k, s, kv_head, begin, n_keys);
        flash_fill<D>(values, p, p.kv.v, s, kv_head, begin, n_keys);
        __syncthreads();
        float score[FLASH_KEYS / 8][4];
        for (int n = 0; n < FLASH_KEYS / 8; n += 2) {
            for (int j = 0; j < 4; j++) score[n][j] = score[n + 1][j] = 0;
            for (int k = 0; k < D / 16; k++) {
                uint32_t b[4];
                load_matrix(b, keys + (8 * n + lane % 8 + lane / 16 * 8) * LD + 16 * k + lane / 8 % 2 * 8);
                mma_bf16(score[n], f.q[k], b[0], b[1]);
                mma_bf16(score[n + 1], f.q[k], b[2], b[3]);
            }
        }
        const bool is_edge = begin + FLASH_KEYS - 1 > first_pos;
        for (int n = 0; n < FLASH_KEYS / 8; n++)
            for (int j = 0; j < 4; j++) {
                const bool is_hidden = is_edge && begin + 8 * n + 2 * t + (j & 1) > pos[j / 2];
                score[n][j] = is_hidden ? -CUDART_INF_F : score[n][j] * scale;
            }
        flash_softmax<D>(&f, score);
        for (int k = 0; k < FLASH_KEYS / 16; k++) {
            const uint32_t a[4] = {pack_bf16(score[2 * k][0], score[2 * k][1]),
                                   pack_bf16(score[2 * k][2], score[2 * k][3]),
                                   pack_bf16(score[2 * k + 1][0], score[2 * k + 1][1]),
                                   pack_bf16(score[2 * k + 1][2], score[2 * k + 1][3])};
            for (int n = 0; n < D / 8; n += 2) {
                uint32_t b[4];
                load_matrix_transposed(
                    b, values + (16 * k + lane % 8 + lane / 8 % 2 * 8) * LD + 8 * n + lane / 16 * 8);
                mma_bf16(f.y[n], a, b[0], b[1]);
                mma_bf16(f.y[n + 1], a, b[2], b[3]);
            }
        }
    }
    for (int r = 0; r < 2; r++) {
        float sum = f.sum[r];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        const int row = row0 + warp * 16 + g + 8 * r;
        if (row >= n_rows) continue;
        float *y = p.y + (s.begin + row / n_rep) * p.ld_y + (int64_t)(kv_head * n_rep + row % n_rep) * D;
        for (int n = 0; n < D / 8; n++) {
            y[8 * n + 2 * t] = f.y[n][2 * r] / sum;
            y[8 * n + 2 * t + 1] = f.y[n][2 * r + 1] / sum;
        }
    }
}

#define FLASH(D)                                                                                   \
    KERNEL __launch_bounds__(FLASH_THREADS) attention_flash_##D(attention_flash_args p)            \
    {                                                                                              \
        SHARED_ARRAY(uint16_t, keys, FLASH_KEYS * (D + 8));                                        \
        SHARED_ARRAY(uint16_t, values, FLASH_KEYS * (D + 8));                                      \
        attention_flash<D>(p, keys, values);                                                       \
    }
CUDA_FLASH_KERNELS(FLASH)
