/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda.c - the operator table on an NVIDIA GPU: each operator is one kernel, or a few.
 *
 * A product first writes its input down, normed or gated, as bfloat16 (hi, and lo where the result
 * is to be as exact as the weights are), or as float; then one token is multiplied by linear_one
 * and few by linear_few, which read the weights as they are, and many by cuBLASLt, quantized
 * weights unpacked to bfloat16 a stretch of rows at a time. Where cuBLASLt is not installed
 * linear_few does it all. F32 and F16 weights are multiplied in float.
 *
 * Begin reading at linear().
 */
#include "tensor/cuda/cuda.h"

#include <assert.h>
#include <string.h>

#include "base/checked.h"
#include "tensor/cuda/device.h"

enum {
    THREADS = 256,
    EXACT_TOK = 8,      /* up to here activations are hi + lo */
    FEW_PLAIN = 16,     /* more tokens than these go through cuBLASLt, */
    FEW_QUANTIZED = 32, /* which for quantized weights means unpacking them */
    MAX_SPLITS = 64,
    SPLIT_BLOCKS_PER_SM = 8,
};
#define UNPACK_BYTES ((size_t)128 << 20)

static int64_t up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static bool is_wide(enum dtype t) { return t == DT_F32 || t == DT_F16; }

static struct dev_matrix matrix_of(const struct tensor *t)
{
    return (struct dev_matrix){t->data, (int64_t)t->row_bytes, (int32_t)tensor_rows(t),
                               (int32_t)t->dtype};
}

/* Blocks of a grid that strides over n elements. */
static int64_t blocks_for(int64_t n)
{
    return least((n + THREADS - 1) / THREADS, (int64_t)device_n_sm() * 16);
}

/* ---- rows ---- */

static void embed(const struct member *me, float *y, int64_t ld_y, const struct tensor *table,
                  const int32_t *ids, int64_t n_tok)
{
    (void)me;
    struct embed_args a = {y, ld_y, tensor_cols(table), matrix_of(table), ids};
    device_launch(KERNEL_embed, n_tok, 1, 1, THREADS, &a);
}

static void rmsnorm(const struct member *me, float *y, int64_t ld_y, const float *x, int64_t ld_x,
                    const float *w, int64_t n_tok, int64_t d, float eps)
{
    (void)me;
    struct rmsnorm_args a = {y, x, w, ld_y, ld_x, (int32_t)d, eps};
    device_launch(KERNEL_rmsnorm, n_tok, 1, 1, THREADS, &a);
}

static void swiglu(const struct member *me, float *y, int64_t ld_y, const float *gate,
                   const float *up_, int64_t ld_x, int64_t n_tok, int64_t d)
{
    (void)me;
    struct swiglu_args a = {y, gate, up_, ld_y, ld_x, n_tok, d};
    device_launch(KERNEL_swiglu, blocks_for(n_tok * d), 1, 1, THREADS, &a);
}

static void gather(const struct member *me, float *rows, int64_t n, const int32_t *kept,
                   int32_t n_kept)
{
    (void)me;
    struct gather_args a = {rows, kept, n, n_kept, 0};
    device_launch(KERNEL_gather, (n + THREADS - 1) / THREADS, 1, 1, THREADS, &a);
}

static void find_damage(const struct member *me, const float *x, int64_t n, uint32_t *damage)
{
    (void)me;
    struct damage_args a = {x, n, damage};
    device_launch(KERNEL_damage, blocks_for(n), 1, 1, THREADS, &a);
}

/* ---- products ---- */

/* The memory that linear() has. */
struct linear_work {
    uint16_t *hi, *lo;
    float *wide;
    void *unpacked, *workspace;
};

static struct linear_work work_of(void *work, int64_t n_tok, int64_t k)
{
    char *at = work;
    const size_t half = (size_t)up(n_tok * up(k, 32) * 2, 256);
    return (struct linear_work){.hi = (void *)at,
                                .lo = (void *)(at + half),
                                .wide = (void *)(at + 2 * half),
                                .unpacked = at + 4 * half,
                                .workspace = at + 4 * half + UNPACK_BYTES};
}

static size_t linear_work_bytes(int64_t n_tok, int64_t k, int n_threads)
{
    (void)n_threads;
    return 4 * (size_t)up(n_tok * up(k, 32) * 2, 256) + UNPACK_BYTES + PRODUCT_WORKSPACE;
}

static bool is_few(enum dtype t, int64_t n_tok)
{
    return n_tok <= (dtype_info(t)->is_quantized ? FEW_QUANTIZED : FEW_PLAIN) ||
           !device_has_products();
}

static void prepare(const struct linear_args *a, const struct linear_work *w, bool is_narrow,
                    bool is_split, bool is_float)
{
    static const int32_t in[] = {[LINEAR_IN_PLAIN] = PREPARE_PLAIN,
                                 [LINEAR_IN_RMSNORM] = PREPARE_RMSNORM,
                                 [LINEAR_IN_SWIGLU] = PREPARE_SWIGLU};
    struct prepare_args p = {.hi = is_narrow ? w->hi : NULL,
                             .lo = is_split ? w->lo : NULL,
                             .wide = is_float ? w->wide : NULL,
                             .x = a->x,
                             .x2 = a->x2,
                             .norm = a->norm,
                             .ld_x = a->ld_x,
                             .ld = up(a->k, 32),
                             .in = in[a->in],
                             .k = (int32_t)a->k,
                             .eps = a->eps};
    const int64_t n_parts = a->n_tok <= 32 ? (p.ld + 2047) / 2048 : 1; /* few rows, many blocks */
    device_launch(KERNEL_prepare, a->n_tok, n_parts, 1, n_parts > 1 ? 4 * THREADS : THREADS, &p);
}

/* Outputs [first, first + n) of a, all of one type. */
static void multiply_few(const struct linear_args *a, const struct linear_work *w, int first, int n)
{
    struct linear_few_args p = {.hi = w->hi,
                                .lo = w->lo,
                                .wide = w->wide,
                                .ld_x = up(a->k, 32),
                                .n_tok = (int32_t)a->n_tok,
                                .k = (int32_t)a->k,
                                .n_out = n};
    int64_t n_tiles = 0;
    for (int i = 0; i < n; i++) {
        const struct linear_out *o = &a->out[first + i];
        p.out[i] = (struct few_out){matrix_of(o->w), o->bias,     o->y,
                                    o->ld_y,         o->is_added, (int32_t)n_tiles};
        n_tiles += up(p.out[i].w.n_rows, 16) / 16;
    }
    const int type = (int)a->out[first].w->dtype;
    const enum few_size size = a->n_tok <= 8 ? FEW_8 : a->n_tok <= 16 ? FEW_16 : FEW_32;
    const int id = a->n_tok == 1 ? KERNEL_linear_one_F32 + type
                                 : KERNEL_linear_few_F32_1 + N_FEW_SIZES * type + (int)size;
    device_launch((enum kernel)id, n_tiles, up(a->n_tok, 8 << size) / (8 << size), 1,
                  32 * FEW_WARPS, &p);
}

static void multiply_many(const struct linear_args *a, const struct linear_out *o,
                          const struct linear_work *w)
{
    const enum dtype t = o->w->dtype;
    const bool is_float = is_wide(t);
    const int64_t ld = up(a->k, 32), size = is_float ? 4 : 2, n_rows = tensor_rows(o->w);
    const bool is_direct = t == DT_BF16 || t == DT_F32;
    const int64_t n_once = is_direct ? n_rows : least(n_rows, (int64_t)UNPACK_BYTES / (ld * size));
    for (int64_t row = 0; row < n_rows; row += n_once) {
        const int64_t n = least(n_once, n_rows - row);
        struct unpack_args u = {.narrow = is_float ? NULL : w->unpacked,
                                .wide = is_float ? w->unpacked : NULL,
                                .w = matrix_of(o->w),
                                .first = row,
                                .ld = ld,
                                .k = (int32_t)a->k};
        if (!is_direct) device_launch(KERNEL_unpack, n, 1, 1, THREADS, &u);
        const struct product p = {.type = is_float ? LT_FLOAT : LT_BF16,
                                  .n_tok = a->n_tok,
                                  .n_rows = n,
                                  .k = ld,
                                  .ld_x = ld,
                                  .ld_w = ld,
                                  .ld_y = o->ld_y,
                                  .x = is_float ? (const void *)w->wide : w->hi,
                                  .w = is_direct ? o->w->data : w->unpacked,
                                  .y = o->y + row,
                                  .is_added = o->is_added,
                                  .workspace = w->workspace};
        if (!device_multiply(&p)) device_fail(); /* another way would add to half a result */
    }
    struct add_bias_args b = {o->y, o->bias, o->ld_y, a->n_tok, n_rows};
    if (o->bias) device_launch(KERNEL_add_bias, blocks_for(a->n_tok * n_rows), 1, 1, THREADS, &b);
}

static void linear(const struct member *me, const struct linear_args *a)
{
    (void)me;
    const struct linear_work w = work_of(a->work, a->n_tok, a->k);
    bool is_narrow = false, is_float = false, is_split = a->n_tok <= EXACT_TOK;
    for (int i = 0; i < a->n_out; i++) {
        const enum dtype t = a->out[i].w->dtype;
        const bool is_float_here = is_wide(t) && !is_few(t, a->n_tok);
        is_float |= is_float_here;
        is_narrow |= !is_float_here;
        is_split |= is_wide(t) && !is_float_here;
    }
    if (a->n_tok == 1)
        prepare(a, &w, false, false, true);
    else
        prepare(a, &w, is_narrow, is_split, is_float);
    for (int i = 0, n; i < a->n_out; i += n) {
        const enum dtype t = a->out[i].w->dtype;
        n = 1;
        if (!is_few(t, a->n_tok)) {
            multiply_many(a, &a->out[i], &w);
            continue;
        }
        while (i + n < a->n_out && a->out[i + n].w->dtype == t) n++;
        multiply_few(a, &w, i, n);
    }
}

/* ---- positions and attention ---- */

static void rope_table(const struct member *me, float *cos_sin, const int32_t *pos, int64_t n_tok,
                       const double *inv_freq, int32_t n_freq)
{
    (void)me;
    struct rope_table_args a = {cos_sin, pos, inv_freq, n_tok, n_freq, 0};
    device_launch(KERNEL_rope_table, (n_tok * n_freq + 63) / 64, 1, 1, 64, &a);
}

static struct dev_cache cache_of(const struct kv_layer *l)
{
    int32_t shift = 0;
    while (1 << shift < l->page_tok) shift++;
    return (struct dev_cache){.k = l->k,
                              .v = l->v,
                              .row_bytes = (int64_t)l->row_bytes,
                              .head_stride = (int64_t)l->head_stride,
                              .page_stride = (int64_t)l->page_stride,
                              .dtype = (int32_t)l->dtype,
                              .page_shift = shift,
                              .n_kv_heads = l->n_kv_heads,
                              .d_head = l->d_head};
}

/* struct span is given as it is. */
static_assert(sizeof(struct span) == sizeof(struct dev_span) &&
                  offsetof(struct span, pages) == offsetof(struct dev_span, pages),
              "spans are read by kernels");

static const struct dev_span *spans_of(const struct span *s) { return (const void *)s; }

static void rope_store(const struct member *me, const struct rope_args *r)
{
    (void)me;
    struct rope_store_args a = {.q = r->q,
                                .k = r->k,
                                .v = r->v,
                                .cos_sin = r->cos_sin,
                                .ld_q = r->ld_q,
                                .ld_k = r->ld_k,
                                .ld_v = r->ld_v,
                                .span = spans_of(r->span),
                                .n_spans = r->n_spans,
                                .n_heads = r->n_heads,
                                .n_kv_heads = r->kv ? r->kv->n_kv_heads : r->n_kv_heads,
                                .d_head = r->kv ? r->kv->d_head : r->d_head,
                                .halves = r->pairs == ROPE_HALVES};
    if (r->kv) a.kv = cache_of(r->kv);
    device_launch(KERNEL_rope_store, r->n_tok, 1, 1, r->n_tok <= 32 ? 4 * THREADS : THREADS, &a);
}

/* Stretches that the positions of a token are cut into, so that the device is filled. */
static int32_t n_splits(int64_t n_tok, int64_t n_blocks, int32_t max_end)
{
    const int64_t wanted = SPLIT_BLOCKS_PER_SM * device_n_sm() / (n_tok * n_blocks);
    int64_t n = least(least(wanted, MAX_SPLITS), max_end / 64);
    return n < 1 ? 1 : (int32_t)n;
}

static size_t attention_work_bytes(int64_t n_tok, int32_t n_heads, int32_t d_head, int32_t max_pos,
                                   int n_threads)
{
    (void)n_threads;
    const int64_t n = n_splits(n_tok, 1, max_pos); /* more than with several kv heads */
    return n == 1 ? 0 : (size_t)(n_tok * n_heads * n * (d_head + 2)) * sizeof(float);
}

static void attend_split(const struct attention_args *t)
{
    const int32_t n_kv = t->kv->n_kv_heads, n_rep = t->n_heads / n_kv;
    const int64_t n_blocks = (int64_t)n_kv * ((n_rep + 3) / 4);
    const int32_t n = n_splits(t->n_tok, n_blocks, t->max_end);
    struct attention_split_args a = {.y = t->y,
                                     .part = t->work,
                                     .q = t->q,
                                     .ld_y = t->ld_y,
                                     .ld_q = t->ld_q,
                                     .span = spans_of(t->span),
                                     .kv = cache_of(t->kv),
                                     .n_spans = t->n_spans,
                                     .n_heads = t->n_heads,
                                     .n_splits = n,
                                     .split_tok = (int32_t)up((t->max_end + n - 1) / n, 32),
                                     .scale = t->scale};
    device_launch(KERNEL_attention_split, t->n_tok, n_blocks, n, SPLIT_THREADS, &a);
    struct attention_join_args j = {.y = t->y,
                                    .part = t->work,
                                    .ld_y = t->ld_y,
                                    .n_heads = t->n_heads,
                                    .d_head = t->kv->d_head,
                                    .n_splits = n};
    if (n > 1) device_launch(KERNEL_attention_join, t->n_tok, t->n_heads, 1, 128, &j);
}

static void attend_flash(const struct attention_args *t)
{
    struct attention_flash_args a = {.y = t->y,
                                     .q = t->q,
                                     .ld_y = t->ld_y,
                                     .ld_q = t->ld_q,
                                     .span = spans_of(t->span),
                                     .kv = cache_of(t->kv),
                                     .n_heads = t->n_heads,
                                     .scale = t->scale};
    const int64_t n_rows = (int64_t)t->max_n * (t->n_heads / t->kv->n_kv_heads);
    device_launch(t->kv->d_head == 64 ? KERNEL_attention_flash_64 : KERNEL_attention_flash_128,
                  (n_rows + FLASH_ROWS - 1) / FLASH_ROWS, t->kv->n_kv_heads, t->n_spans,
                  FLASH_THREADS, &a);
}

static void attention(const struct member *me, const struct attention_args *t)
{
    (void)me;
    const bool fits = t->kv->d_head == 64 || t->kv->d_head == 128;
    if (fits && !t->is_exact && t->max_n > 1)
        attend_flash(t);
    else
        attend_split(t);
}

/* ---- the table ---- */

#define CUDA_OPS(name_)                                                                            \
    {                                                                                              \
        .name = name_, .memory = &device_memory, .embed = embed, .rmsnorm = rmsnorm,               \
        .swiglu = swiglu, .linear = linear, .work_bytes = linear_work_bytes,                       \
        .rope_table = rope_table, .rope_store = rope_store, .attention = attention,                \
        .attention_work_bytes = attention_work_bytes, .gather = gather, .find_damage = find_damage \
    }
static const struct ops devices[] = {CUDA_OPS("cuda:0"), CUDA_OPS("cuda:1"), CUDA_OPS("cuda:2"),
                                     CUDA_OPS("cuda:3"), CUDA_OPS("cuda:4"), CUDA_OPS("cuda:5"),
                                     CUDA_OPS("cuda:6"), CUDA_OPS("cuda:7")};

const struct ops *ops_cuda(const char *name, struct err *err)
{
    if (strcmp(name, "cuda") == 0) name = devices[0].name;
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (strcmp(devices[i].name, name) == 0)
            return device_open((int)i, err) ? &devices[i] : NULL;
    err_set(err, ERR_USAGE, "device '%s' is not cuda:0 to cuda:7", name);
    return NULL;
}
