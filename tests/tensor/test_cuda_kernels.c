/* SPDX-License-Identifier: Apache-2.0
 *
 * test_cuda_kernels.c - every CUDA kernel, emulated on the host, against double.
 *
 * Device memory is guarded memory: a page behind it that nobody may touch, canaries before and
 * between rows. A problem that the emulation sees in a launch (emu_launch.h) ends the program.
 *
 * Bounds, as multiples of sum |w x|: activations in two bfloat16 parts are exact to 2^-17, in one
 * to 2^-9; F16 and F32 weights in two parts to 2^-17 and 2^-16 with them.
 */
#include <math.h>

#include "test.h"

#include "emu_launch.h"
#include "ops_case.h"
#include "reference.h"
#include "tensor/cuda/kernels.h"
#include "tensor/half.h"

#define F32_BOUND 3e-6

static int64_t up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* n floats on the device, random or a canary. */
static float *device_floats(struct guarded *g, int64_t n, uint64_t *seed)
{
    *g = guarded_new((size_t)up(n, 4) * 4);
    float *x = (float *)(void *)g->p;
    if (seed)
        random_floats(x, n, 1, seed);
    else
        memset(x, 0xA5, g->n_bytes);
    return x;
}

static uint16_t *device_shorts(struct guarded *g, int64_t n)
{
    *g = guarded_new((size_t)up(n, 8) * 2);
    return (uint16_t *)(void *)g->p;
}

static void release(struct guarded *g, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_true(guarded_is_whole(&g[i]));
        guarded_free(&g[i]);
    }
}

static bool is_canary(const float *x)
{
    uint32_t u = 0;
    memcpy(&u, x, 4);
    return u == 0xA5A5A5A5u;
}

static void launch(const char *name, int64_t x, int64_t y, int64_t z, int n_threads,
                   const void *args)
{
    emu_launch(name, (struct dim3){(unsigned)x, (unsigned)y, (unsigned)z},
               (struct dim3){(unsigned)n_threads, 1, 1}, args);
}

#define assert_near(got, want, bound, ...)                                                         \
    do {                                                                                           \
        if (!(fabs((double)(got) - (want)) <= (bound))) {                                          \
            print_error(__VA_ARGS__);                                                              \
            fail_msg(": %.9g, not %.9g, bound %g", (double)(got), (want), (double)(bound));        \
        }                                                                                          \
    } while (0)

/* ---- rows ---- */

static void test_rmsnorm_matches_double(void **state)
{
    (void)state;
    static const struct {
        int32_t n_tok, d, n_threads;
    } cases[] = {{1, 1, 32}, {3, 71, 64}, {2, 2048, 256}, {1, 100, 1024}};
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        const int32_t d = cases[c].d, ld = d + 3;
        uint64_t seed = 3;
        struct guarded g[3];
        struct rmsnorm_args a = {.ld_y = ld, .ld_x = ld, .d = d, .eps = 1e-5f};
        a.x = device_floats(&g[0], cases[c].n_tok * ld, &seed);
        a.w = device_floats(&g[1], d, &seed);
        a.y = device_floats(&g[2], cases[c].n_tok * ld, NULL);
        launch("rmsnorm", cases[c].n_tok, 1, 1, cases[c].n_threads, &a);
        double *want = malloc((size_t)d * sizeof *want);
        assert_non_null(want);
        for (int32_t t = 0; t < cases[c].n_tok; t++) {
            ref_rmsnorm(want, a.x + t * ld, a.w, d, 1e-5);
            for (int32_t i = 0; i < d; i++)
                assert_near(a.y[t * ld + i], want[i], 1e-6 * (1 + fabs(want[i])), "width %d", d);
            for (int32_t i = d; i < ld; i++) assert_true(is_canary(&a.y[t * ld + i]));
        }
        free(want);
        release(g, 3);
    }
}

static void test_swiglu_matches_double(void **state)
{
    (void)state;
    enum { TOK = 3, D = 77, LD_X = 80, LD_Y = 79 };
    uint64_t seed = 4;
    struct guarded g[3];
    struct swiglu_args a = {.ld_y = LD_Y, .ld_x = LD_X, .n_tok = TOK, .d = D};
    a.gate = device_floats(&g[0], TOK * LD_X, &seed);
    a.up = device_floats(&g[1], TOK * LD_X, &seed);
    a.y = device_floats(&g[2], TOK * LD_Y, NULL);
    launch("swiglu", 2, 1, 1, 64, &a);
    for (int t = 0; t < TOK; t++) {
        for (int i = 0; i < D; i++)
            assert_near(a.y[t * LD_Y + i],
                        ref_silu((double)a.gate[t * LD_X + i]) * (double)a.up[t * LD_X + i], 1e-6,
                        "element %d", i);
        for (int i = D; i < LD_Y; i++) assert_true(is_canary(&a.y[t * LD_Y + i]));
    }
    release(g, 3);
}

static void check_prepare(int in, int32_t k)
{
    enum { TOK = 3 };
    const int64_t ld = up(k, 32), ld_x = k + 1;
    uint64_t seed = 5;
    struct guarded g[6];
    struct prepare_args a = {.in = in, .k = k, .ld_x = ld_x, .ld = (int32_t)ld, .eps = 1e-5f};
    a.x = device_floats(&g[0], TOK * ld_x, &seed);
    a.x2 = device_floats(&g[1], TOK * ld_x, &seed);
    a.norm = device_floats(&g[2], k, &seed);
    a.wide = device_floats(&g[3], TOK * ld, NULL);
    a.hi = device_shorts(&g[4], TOK * ld);
    a.lo = device_shorts(&g[5], TOK * ld);
    launch("prepare", TOK, 1, 1, 96, &a);
    const struct linear_args ref = {.in = (enum linear_in)in,
                                    .x = a.x,
                                    .x2 = a.x2,
                                    .ld_x = ld_x,
                                    .norm = a.norm,
                                    .eps = a.eps,
                                    .k = k};
    double *want = malloc((size_t)ld * sizeof *want);
    assert_non_null(want);
    for (int t = 0; t < TOK; t++) {
        ref_linear_in(want, &ref, t);
        for (int64_t i = k; i < ld; i++) want[i] = 0;
        for (int64_t i = 0; i < ld; i++) {
            const double hi = (double)bf16_to_f32(a.hi[t * ld + i]);
            const double both = hi + (double)bf16_to_f32(a.lo[t * ld + i]), size = fabs(want[i]);
            assert_near(a.wide[t * ld + i], want[i], 2e-6 * size, "in %d element %d", in, (int)i);
            assert_near(hi, want[i], size * 0x1.01p-8, "in %d hi %d", in, (int)i);
            assert_near(both, want[i], size * 0x1.8p-17, "in %d hi + lo %d", in, (int)i);
        }
    }
    free(want);
    release(g, 6);
}

static void test_prepare_matches_double(void **state)
{
    (void)state;
    for (int in = PREPARE_PLAIN; in <= PREPARE_SWIGLU; in++) {
        check_prepare(in, 1);
        check_prepare(in, 77);
        check_prepare(in, 320);
    }
}

/* ---- weights ---- */

/* A matrix of random blocks as files have it (`from`), and placed on the device. */
static struct dev_matrix place(struct guarded g[2], enum dtype t, int32_t rows, int64_t cols,
                               uint64_t *seed)
{
    struct tensor w;
    g[0] = random_matrix(&w, t, rows, cols, seed);
    const int64_t n_blocks = cols / ref_block_elems(t);
    const int64_t units = ref_block_elems(t) == 1 ? up(cols, 32) : cols;
    const int64_t row_bytes = up(units / ref_block_elems(t) * ref_block_bytes(t), 16);
    g[1] = guarded_new((size_t)(row_bytes * rows));
    memset(g[1].p, 0xA5, g[1].n_bytes);
    const struct place_args a = {.to = g[1].p,
                                 .from = g[0].p,
                                 .to_row_bytes = row_bytes,
                                 .from_row_bytes = (int64_t)w.row_bytes,
                                 .n_rows = rows,
                                 .n_blocks = n_blocks,
                                 .dtype = t};
    launch("place", 3, 1, 1, 64, &a);
    return (struct dev_matrix){g[1].p, row_bytes, rows, t};
}

static int64_t width_of(enum dtype t, int64_t k)
{
    return ref_block_elems(t) == 1 ? k : up(k, ref_block_elems(t));
}

static void test_embed_and_unpack_match_double(void **state)
{
    (void)state;
    enum { ROWS = 5, TOK = 4 };
    static const int32_t ids[TOK] = {4, 0, 4, 2};
    for (int t = 0; t < DT_COUNT; t++) {
        uint64_t seed = 6;
        const int64_t k = width_of(t, 301), ld = up(k, 32), ld_y = k + 1;
        struct guarded g[5];
        const struct dev_matrix w = place(g, t, ROWS, k, &seed);
        struct embed_args e = {.ld_y = ld_y, .n_cols = k, .w = w, .ids = ids};
        e.y = device_floats(&g[2], TOK * ld_y, NULL);
        launch("embed", TOK, 1, 1, 96, &e);
        struct unpack_args u = {.w = w, .first = 2, .ld = ld, .k = (int32_t)k};
        u.wide = device_floats(&g[3], 3 * ld, NULL);
        u.narrow = device_shorts(&g[4], 3 * ld);
        launch("unpack", 3, 1, 1, 64, &u);
        double *want = malloc((size_t)ld * sizeof *want);
        assert_non_null(want);
        const size_t from_bytes = (size_t)(k / ref_block_elems(t) * ref_block_bytes(t));
        for (int i = 0; i < TOK; i++) {
            ref_decode(t, want, g[0].p + (size_t)ids[i] * from_bytes, k);
            for (int64_t c = 0; c < k; c++)
                assert_near(e.y[i * ld_y + c], want[c], 2e-5 * fabs(want[c]) + 3e-7, "embed %s %d",
                            dtype_info(t)->name, (int)c);
            assert_true(is_canary(&e.y[i * ld_y + k]));
        }
        for (int i = 0; i < 3; i++) {
            for (int64_t c = k; c < ld; c++) want[c] = 0;
            ref_decode(t, want, g[0].p + (size_t)(i + 2) * from_bytes, k);
            for (int64_t c = 0; c < ld; c++) {
                assert_near(u.wide[i * ld + c], want[c], 2e-5 * fabs(want[c]) + 3e-7,
                            "unpack %s %d", dtype_info(t)->name, (int)c);
                assert_true(u.narrow[i * ld + c] == bf16_from_f32(u.wide[i * ld + c]));
            }
        }
        free(want);
        release(g, 5);
    }
}

/* ---- products ---- */

/* Of linear_one (nt 0): float. Else activations are hi + lo with 8 tokens and with wide types, or
 * hi alone, and wide weights are hi + lo. */
static double few_bound(enum dtype t, int nt)
{
    if (nt == 0) return F32_BOUND;
    const bool is_wide = t == DT_F32 || t == DT_F16;
    const double x = nt == 1 || is_wide ? 0x1p-17 : 0x1p-9;
    return F32_BOUND + x + (t == DT_F16 ? 0x1p-17 : t == DT_F32 ? 0x1p-16 : 0);
}

struct few_case {
    const char *what;
    int32_t n_tok, k, rows[3];
};

/* Sums |w x|; a weight counts as much as the largest of its 32, for minima cancel. */
static void few_compare(enum dtype t, const struct few_case *c, const uint8_t *from, int64_t k,
                        const struct few_out *out, const float *x, const float *was, int nt)
{
    double *w = malloc((size_t)k * sizeof *w);
    assert_non_null(w);
    for (int32_t r = 0; r < out->w.n_rows; r++) {
        ref_decode(t, w, from + r * (k / ref_block_elems(t) * ref_block_bytes(t)), k);
        for (int32_t tok = 0; tok < c->n_tok; tok++) {
            double y = 0, sum = 0;
            for (int64_t i = 0; i < k; i += 32) {
                double most = 0;
                for (int64_t j = i; j < k && j < i + 32; j++) most = fmax(most, fabs(w[j]));
                for (int64_t j = i; j < k && j < i + 32; j++) {
                    y += w[j] * (double)x[tok * k + j];
                    sum += most * fabs((double)x[tok * k + j]);
                }
            }
            if (out->bias) y += (double)out->bias[r];
            if (out->is_added) y += (double)was[tok * out->ld_y + r];
            assert_near(out->y[tok * out->ld_y + r], y, few_bound(t, nt) * sum + 3e-7,
                        "%s x %d, %s: token %d row %d", dtype_info(t)->name, nt, c->what, tok, r);
        }
    }
    for (int32_t tok = 0; tok < c->n_tok; tok++)
        assert_true(out->y[tok * out->ld_y + out->w.n_rows] ==
                    was[tok * out->ld_y + out->w.n_rows]);
    free(w);
}

static void check_few(enum dtype t, int nt, const struct few_case *c)
{
    uint64_t seed = 8;
    const int64_t k = width_of(t, c->k), ld = up(k, 32);
    struct guarded g[4], w_g[3][2], y_g[3], was_g[3], bias_g;
    float *x = device_floats(&g[0], c->n_tok * k, &seed);
    struct prepare_args prep = {.x = x, .ld_x = k, .ld = (int32_t)ld, .k = (int32_t)k};
    prep.hi = device_shorts(&g[1], c->n_tok * ld);
    prep.lo = device_shorts(&g[2], c->n_tok * ld);
    prep.wide = device_floats(&g[3], c->n_tok * ld, NULL);
    launch("prepare", c->n_tok, 2, 1, 128, &prep);
    struct linear_few_args a = {.hi = prep.hi,
                                .lo = prep.lo,
                                .wide = prep.wide,
                                .ld_x = ld,
                                .n_tok = c->n_tok,
                                .k = (int32_t)k};
    int32_t n_tiles = 0;
    float *bias = device_floats(&bias_g, 64, &seed), *was[3];
    for (; a.n_out < 3 && c->rows[a.n_out]; a.n_out++) {
        struct few_out *out = &a.out[a.n_out];
        out->w = place(w_g[a.n_out], t, c->rows[a.n_out], k, &seed);
        out->first_tile = n_tiles;
        out->ld_y = c->rows[a.n_out] + 1;
        out->bias = a.n_out == 1 ? bias : NULL;
        out->is_added = a.n_out != 1;
        out->y = device_floats(&y_g[a.n_out], c->n_tok * out->ld_y, &seed);
        was[a.n_out] = device_floats(&was_g[a.n_out], c->n_tok * out->ld_y, NULL);
        memcpy(was[a.n_out], out->y, (size_t)(c->n_tok * out->ld_y) * 4);
        n_tiles += (c->rows[a.n_out] + 15) / 16;
    }
    char name[40];
    static const char *const names[] = {"F32",  "F16",  "BF16", "Q4_0",   "Q4_1",
                                        "Q5_0", "Q5_1", "Q8_0", "Q2_K",   "Q3_K",
                                        "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"};
    if (nt == 0)
        snprintf(name, sizeof name, "linear_one_%s", names[t]);
    else
        snprintf(name, sizeof name, "linear_few_%s_%d", names[t], nt);
    launch(name, n_tiles, nt == 0 ? 1 : (c->n_tok + 8 * nt - 1) / (8 * nt), 1, 32 * FEW_WARPS, &a);
    for (int o = 0; o < a.n_out; o++) {
        few_compare(t, c, w_g[o][0].p, k, &a.out[o], x, was[o], nt);
        release(w_g[o], 2);
        release(&y_g[o], 1);
        release(&was_g[o], 1);
    }
    release(&bias_g, 1);
    release(g, 4);
}

static void test_linear_few_matches_double(void **state)
{
    (void)state;
    static const struct few_case cases[] = {
        /* clang-format off */
        /* what                           tok    k  rows */
        {"one token",                       1, 288, {5}},
        {"one token, two stretches",        1, 4384, {18, 3}},
        {"q k v of nine tokens",            9, 320, {33, 16, 19}},
        {"many tokens",                    34, 544, {17, 48}},
        {"more units than the warps",       7, 301, {1}},
        /* clang-format on */
    };
    for (int t = 0; t < DT_COUNT; t++)
        for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
            if (cases[c].n_tok == 1) check_few(t, 0, &cases[c]);
            for (int nt = 1; nt <= 4; nt *= 2) check_few(t, nt, &cases[c]);
        }
}

/* ---- the rest of rows ---- */

static void test_add_bias_gather_and_damage(void **state)
{
    (void)state;
    enum { TOK = 5, ROWS = 7, LD = 9 };
    uint64_t seed = 9;
    struct guarded g[3];
    float was[TOK * LD];
    float *y = device_floats(&g[0], TOK * LD, &seed), *bias = device_floats(&g[1], ROWS, &seed);
    memcpy(was, y, sizeof was);
    launch("add_bias", 2, 1, 1, 8, &(struct add_bias_args){y, bias, LD, TOK, ROWS});
    for (int t = 0; t < TOK; t++)
        for (int r = 0; r < LD; r++)
            assert_true(y[t * LD + r] == (r < ROWS ? was[t * LD + r] + bias[r] : was[t * LD + r]));

    static const int32_t kept[] = {0, 2, 4};
    memcpy(was, y, sizeof was);
    launch("gather", 2, 1, 1, 8, &(struct gather_args){y, kept, LD, 3, 0});
    for (int i = 0; i < TOK; i++)
        assert_memory_equal(y + i * LD, was + (i < 3 ? kept[i] : i) * LD, LD * 4);

    static const struct {
        float x;
        bool is_bad;
    } cases[] = {{0, false}, {3e38f, false}, {INFINITY, true}, {-INFINITY, true}, {NAN, true}};
    g[2] = guarded_new(16);
    uint32_t *damage = (uint32_t *)(void *)g[2].p;
    for (size_t c = 0; c < ARRAY_LEN(cases); c++)
        for (int at = 0; at < TOK * LD; at += 11) {
            const float x = y[at];
            y[at] = cases[c].x;
            *damage = 0;
            launch("damage", 2, 1, 1, 8, &(struct damage_args){y, TOK * LD, damage});
            assert_int_equal(*damage, cases[c].is_bad);
            y[at] = x;
        }
    release(g, 3);
}

/* ---- attention ---- */

static const enum dtype kv_types[] = {DT_F32, DT_F16, DT_BF16, DT_Q8_0};

enum { MAX_SPANS = 4, PAGES = 64, PAGE_TOK = 16 };

/* A cache of shuffled pages: page i of span s is i * MAX_SPANS + s. What no token has is NaN. */
struct cache {
    struct guarded k, v;
    struct kv_layer kv;
    struct dev_cache dev;
    struct span span[MAX_SPANS];
    struct dev_span dev_span[MAX_SPANS];
    int32_t pages[MAX_SPANS][PAGES], n_spans;
    int64_t n_tok;
};

static void cache_new(struct cache *c, enum dtype t, int32_t n_kv_heads, int32_t d,
                      const int32_t *n, const int32_t *pos)
{
    *c = (struct cache){.kv = {.dtype = t,
                               .page_tok = PAGE_TOK,
                               .n_kv_heads = n_kv_heads,
                               .d_head = d,
                               .row_bytes = (size_t)(d / ref_block_elems(t) * ref_block_bytes(t))}};
    struct kv_layer *kv = &c->kv;
    kv->head_stride = kv->row_bytes * PAGE_TOK;
    kv->page_stride = kv->head_stride * (size_t)n_kv_heads;
    int32_t longest = 0;
    for (int s = 0; s < MAX_SPANS && n[s]; s++) {
        for (int i = 0; i < PAGES; i++) c->pages[s][i] = i * MAX_SPANS + s;
        c->span[s] = (struct span){c->n_tok, n[s], pos[s], c->pages[s]};
        c->dev_span[s] = (struct dev_span){c->n_tok, n[s], pos[s], c->pages[s]};
        c->n_tok += n[s];
        c->n_spans++;
        if (pos[s] + n[s] > longest) longest = pos[s] + n[s];
    }
    const size_t n_pages = (size_t)((longest + PAGE_TOK - 1) / PAGE_TOK * MAX_SPANS);
    c->k = guarded_new(n_pages * kv->page_stride);
    c->v = guarded_new(n_pages * kv->page_stride);
    memset(c->k.p, 0xFF, c->k.n_bytes);
    memset(c->v.p, 0xFF, c->v.n_bytes);
    kv->k = c->k.p;
    kv->v = c->v.p;
    c->dev = (struct dev_cache){.k = kv->k,
                                .v = kv->v,
                                .row_bytes = (int64_t)kv->row_bytes,
                                .head_stride = (int64_t)kv->head_stride,
                                .page_stride = (int64_t)kv->page_stride,
                                .dtype = t,
                                .page_shift = 4,
                                .n_kv_heads = n_kv_heads,
                                .d_head = d};
}

static void cache_fill(struct cache *c, uint64_t *seed)
{
    for (int s = 0; s < c->n_spans; s++)
        for (int32_t p = 0; p < c->span[s].pos + c->span[s].n; p++)
            for (int32_t h = 0; h < c->kv.n_kv_heads; h++) {
                const size_t at = (size_t)c->pages[s][p / PAGE_TOK] * c->kv.page_stride +
                                  (size_t)h * c->kv.head_stride +
                                  (size_t)(p % PAGE_TOK) * c->kv.row_bytes;
                ref_random_row(c->kv.dtype, c->kv.k + at, c->kv.d_head, 1.0, seed);
                ref_random_row(c->kv.dtype, c->kv.v + at, c->kv.d_head, 1.0, seed);
            }
}

static const struct attention_case {
    const char *what;
    int32_t n_heads, n_kv_heads, d, n[MAX_SPANS + 1], pos[MAX_SPANS];
} attention_cases[] = {
    /* clang-format off */
    {"first token",                4, 2,  64, {1},           {0}},
    {"prompt",                     4, 4,  64, {70},          {0}},
    {"ragged",                     3, 1,  64, {33, 1, 1, 5}, {0, 200, 700, 129}},
    {"wide heads, seven of one",   7, 1, 128, {9, 1},        {60, 300}},
    {"after a prefix",             8, 2, 128, {21, 13},      {100, 0}},
    {"odd head",                   6, 1,  80, {1, 5},        {127, 300}},
    {"widest head",                2, 1, 256, {9, 1},        {60, 300}},
    {"tiny head",                  5, 5,   8, {17, 1},       {3, 40}},
    /* clang-format on */
};

static void attention_compare(const char *name, const struct attention_case *a,
                              const struct cache *c, const float *y, const float *q, int64_t ld,
                              double bound)
{
    double want[256];
    const struct attention_args ref = {.q = q,
                                       .ld_q = ld,
                                       .n_heads = a->n_heads,
                                       .scale = 1.0f / sqrtf((float)a->d),
                                       .span = c->span,
                                       .n_spans = c->n_spans,
                                       .n_tok = c->n_tok,
                                       .kv = &c->kv};
    for (int64_t t = 0; t < c->n_tok; t++) {
        for (int32_t h = 0; h < a->n_heads; h++) {
            ref_attention(want, &ref, t, h);
            for (int32_t i = 0; i < a->d; i++)
                assert_near(y[t * ld + h * a->d + i], want[i], bound,
                            "%s, %s, %s: token %d head %d element %d", name,
                            dtype_info(c->kv.dtype)->name, a->what, (int)t, h, i);
        }
        for (int64_t i = a->n_heads * a->d; i < ld; i++) assert_true(is_canary(&y[t * ld + i]));
    }
}

static void check_split(const struct attention_case *a, enum dtype t, int32_t n_splits,
                        int32_t split_tok)
{
    uint64_t seed = 11;
    struct cache c;
    cache_new(&c, t, a->n_kv_heads, a->d, a->n, a->pos);
    cache_fill(&c, &seed);
    const int64_t ld = a->n_heads * a->d + 4, n_rep = a->n_heads / a->n_kv_heads;
    struct guarded g[3];
    struct attention_split_args s = {.ld_y = ld,
                                     .ld_q = ld,
                                     .span = c.dev_span,
                                     .kv = c.dev,
                                     .n_spans = c.n_spans,
                                     .n_heads = a->n_heads,
                                     .n_splits = n_splits,
                                     .split_tok = split_tok,
                                     .scale = 1.0f / sqrtf((float)a->d)};
    s.q = device_floats(&g[0], c.n_tok * ld, &seed);
    s.y = device_floats(&g[1], c.n_tok * ld, NULL);
    s.part = device_floats(&g[2], c.n_tok * a->n_heads * n_splits * (a->d + 2), NULL);
    launch("attention_split", c.n_tok, a->n_kv_heads * ((n_rep + 3) / 4), n_splits, SPLIT_THREADS,
           &s);
    if (n_splits > 1)
        launch("attention_join", c.n_tok, a->n_heads, 1, 64,
               &(struct attention_join_args){s.y, s.part, ld, a->n_heads, a->d, n_splits, 0});
    attention_compare("split", a, &c, s.y, s.q, ld, 6e-6);
    release(g, 3);
    release(&c.k, 1);
    release(&c.v, 1);
}

static void check_flash(const struct attention_case *a, enum dtype t)
{
    uint64_t seed = 12;
    struct cache c;
    cache_new(&c, t, a->n_kv_heads, a->d, a->n, a->pos);
    cache_fill(&c, &seed);
    const int64_t ld = a->n_heads * a->d + 4;
    struct guarded g[2];
    struct attention_flash_args f = {.ld_y = ld,
                                     .ld_q = ld,
                                     .span = c.dev_span,
                                     .kv = c.dev,
                                     .n_heads = a->n_heads,
                                     .scale = 1.0f / sqrtf((float)a->d)};
    f.q = device_floats(&g[0], c.n_tok * ld, &seed);
    f.y = device_floats(&g[1], c.n_tok * ld, NULL);
    int64_t n_rows = 0;
    for (int s = 0; s < c.n_spans; s++)
        if (a->n[s] * (a->n_heads / a->n_kv_heads) > n_rows)
            n_rows = a->n[s] * (a->n_heads / a->n_kv_heads);
    launch(a->d == 64 ? "attention_flash_64" : "attention_flash_128",
           (n_rows + FLASH_ROWS - 1) / FLASH_ROWS, a->n_kv_heads, c.n_spans, FLASH_THREADS, &f);
    attention_compare("flash", a, &c, f.y, f.q, ld, 0x1p-8 * 1.25);
    release(g, 2);
    release(&c.k, 1);
    release(&c.v, 1);
}

static void test_attention_matches_double(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(attention_cases); i++)
        for (size_t t = 0; t < ARRAY_LEN(kv_types); t++) {
            const struct attention_case *a = &attention_cases[i];
            if (a->d % ref_block_elems(kv_types[t]) != 0) continue;
            check_split(a, kv_types[t], 1, PAGES * PAGE_TOK);
            check_split(a, kv_types[t], 3, 256);
            check_split(a, kv_types[t], 8, 100);
            if (a->d == 64 || a->d == 128) check_flash(a, kv_types[t]);
        }
}

/* ---- rope ---- */

static double stored_bound(enum dtype t)
{
    return t == DT_F32 ? 0 : t == DT_F16 ? 0x1p-11 : t == DT_BF16 ? 0x1p-8 : 1.5 / 127;
}

static void check_rope(enum dtype type, bool is_halves, bool has_cache)
{
    enum { D = 64, HEADS = 3, KV = 2, TOK = 7, LD_Q = HEADS * D + 1, LD_K = KV * D + 2 };
    static const int32_t n[MAX_SPANS + 1] = {5, 2}, from[MAX_SPANS] = {200, 30};
    static const int32_t pos[TOK] = {200, 201, 202, 203, 204, 30, 31};
    uint64_t seed = 2;
    struct cache c;
    cache_new(&c, type, KV, D, n, from);
    struct guarded g[4];
    struct rope_store_args a = {.ld_q = LD_Q,
                                .ld_k = LD_K,
                                .ld_v = LD_K,
                                .span = c.dev_span,
                                .kv = c.dev,
                                .n_spans = c.n_spans,
                                .n_heads = HEADS,
                                .n_kv_heads = KV,
                                .d_head = D,
                                .halves = is_halves};
    if (!has_cache) a.kv.k = NULL;
    a.q = device_floats(&g[0], TOK * LD_Q, &seed);
    a.k = device_floats(&g[1], TOK * LD_K, &seed);
    a.v = device_floats(&g[2], TOK * LD_K, &seed);
    float q0[TOK * LD_Q], k0[TOK * LD_K], *cos_sin = device_floats(&g[3], TOK * D, NULL);
    memcpy(q0, a.q, sizeof q0);
    memcpy(k0, a.k, sizeof k0);
    double inv_freq[D / 2];
    for (int i = 0; i < D / 2; i++) inv_freq[i] = pow(500000.0, -2.0 * i / D);
    launch("rope_table", 2, 1, 1, 64,
           &(struct rope_table_args){cos_sin, pos, inv_freq, TOK, D / 2, 0});
    a.cos_sin = cos_sin;
    launch("rope_store", TOK, 1, 1, 96, &a);
    for (int t = 0; t < TOK; t++)
        for (int h = 0; h < HEADS + KV; h++)
            for (int i = 0; i < D / 2; i++) {
                const bool is_q = h < HEADS;
                const int at = is_q ? t * LD_Q + h * D : t * LD_K + (h - HEADS) * D;
                const int first = at + (is_halves ? i : 2 * i);
                const int second = is_halves ? first + D / 2 : first + 1;
                const float *x = is_q ? q0 : k0, *y = is_q ? a.q : a.k;
                const double angle = pos[t] * inv_freq[i];
                assert_near(y[first],
                            (double)x[first] * cos(angle) - (double)x[second] * sin(angle), 3e-7,
                            "token %d head %d pair %d", t, h, i);
                assert_near(y[second],
                            (double)x[first] * sin(angle) + (double)x[second] * cos(angle), 3e-7,
                            "token %d head %d pair %d", t, h, i);
            }
    for (int t = 0; t < TOK; t++)
        for (int h = 0; h < KV; h++) {
            double k[D], v[D];
            const size_t at = (size_t)c.pages[t < 5 ? 0 : 1][pos[t] / PAGE_TOK] * c.kv.page_stride +
                              (size_t)h * c.kv.head_stride +
                              (size_t)(pos[t] % PAGE_TOK) * c.kv.row_bytes;
            if (!has_cache) {
                assert_true(c.kv.k[at] == 0xFF && c.kv.v[at] == 0xFF);
                continue;
            }
            ref_decode(type, k, c.kv.k + at, D);
            ref_decode(type, v, c.kv.v + at, D);
            for (int i = 0; i < D; i++) {
                const double bound = stored_bound(type) * 1.01;
                assert_near(a.k[t * LD_K + h * D + i], k[i], bound, "key %d of token %d", i, t);
                assert_near(a.v[t * LD_K + h * D + i], v[i], bound, "value %d of token %d", i, t);
            }
        }
    release(g, 4);
    release(&c.k, 1);
    release(&c.v, 1);
}

static void test_rope_matches_double(void **state)
{
    (void)state;
    for (size_t t = 0; t < ARRAY_LEN(kv_types); t++)
        for (int is_halves = 0; is_halves < 2; is_halves++)
            for (int has_cache = 0; has_cache < 2; has_cache++)
                check_rope(kv_types[t], is_halves > 0, has_cache > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm_matches_double),
        cmocka_unit_test(test_swiglu_matches_double),
        cmocka_unit_test(test_prepare_matches_double),
        cmocka_unit_test(test_embed_and_unpack_match_double),
        cmocka_unit_test(test_linear_few_matches_double),
        cmocka_unit_test(test_add_bias_gather_and_damage),
        cmocka_unit_test(test_rope_matches_double),
        cmocka_unit_test(test_attention_matches_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
