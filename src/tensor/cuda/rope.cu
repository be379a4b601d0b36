/* rope.cu - rotary positions (Su et al. 2021; spec/llama3.md 1.4) and what goes into the cache. */
#include "tensor/cuda/cache.cuh"

KERNEL rope_table(rope_table_args p)
{
    const int64_t n = p.n_tok * p.n_freq, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        double s, c;
        sincos((double)p.pos[i / p.n_freq] * p.inv_freq[i % p.n_freq], &s, &c);
        p.cos_sin[2 * i] = (float)c;
        p.cos_sin[2 * i + 1] = (float)s;
    }
}

/* Pair j of a head: elements 2j and 2j + 1, or j and j + d / 2. */
DEVICE void rotate(float *head, int j, int half, bool is_halves, const float *cos_sin)
{
    const int a = is_halves ? j : 2 * j, b = is_halves ? j + half : 2 * j + 1;
    const float c = cos_sin[2 * j], s = cos_sin[2 * j + 1], x = head[a], y = head[b];
    head[a] = x * c - y * s;
    head[b] = x * s + y * c;
}

KERNEL rope_store(rope_store_args p)
{
    const int64_t tok = blockIdx.x;
    const int half = p.d_head / 2, n_all = (p.n_heads + p.n_kv_heads) * half;
    const float *cos_sin = p.cos_sin + tok * p.d_head;
    float *q = p.q + tok * p.ld_q, *k = p.k + tok * p.ld_k;
    const float *v = p.v + tok * p.ld_v;
    for (int i = (int)threadIdx.x; i < n_all; i += (int)blockDim.x) {
        const int head = i / half;
        float *at = head < p.n_heads ? q + head * p.d_head : k + (head - p.n_heads) * p.d_head;
        rotate(at, i % half, half, p.halves, cos_sin);
    }
    if (!p.kv.k) return;
    __syncthreads();
    const dev_span &s = span_of(p.span, p.n_spans, tok);
    const int pos = s.pos + (int)(tok - s.begin), width = p.kv.dtype == DT_Q8_0 ? 32 : 4;
    const int n_parts = p.n_kv_heads * p.d_head / width;
    for (int i = (int)threadIdx.x; i < 2 * n_parts; i += (int)blockDim.x) {
        const int at = i % n_parts * width, head = at / p.d_head;
        const bool is_value = i >= n_parts;
        uint8_t *row = cache_row(p.kv, is_value ? p.kv.v : p.kv.k, s.pages, pos, head);
        cache_store(p.kv.dtype, row, at % p.d_head, (is_value ? v : k) + at);
    }
}
