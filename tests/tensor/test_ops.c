/* SPDX-License-Identifier: Apache-2.0
 *
 * test_ops.c - the checker: every operator, every variant of this machine, against double.
 *
 * Each case runs with 1, 2 and 3 threads, which must give the same bits; the first result is
 * compared with reference.c element by element. Weights end at a page that may not be touched, and
 * outputs have canaries before, behind and between their rows.
 *
 * Bounds, as multiples of S = sum |w x| (what rounding can reach):
 *   float arithmetic                 F32_BOUND: some tens of roundings of 2^-24
 *   8-bit activations (quantized     sum |w| d / 2, d = largest of 32 activations / 127: half a
 *   weights; few tokens, and many    step each; and F32_BOUND where the activations are integers
 *   in avx512bf16 and avx2)          times such a d, which proves the unpacking and the integers
 *   bfloat16 dot products (BF16      2^-9: each activation rounded to bfloat16
 *   weights, many in avx512bf16, amx)
 *   bfloat16 tiles                   by type of weights, `wide_bound` below
 *   bfloat16 attention               attention_bound()
 */
#include <math.h>

#include "test.h"

#include "ops_case.h"
#include "reference.h"
#include "tensor/half.h"

#define F32_BOUND 3e-6

enum { MAX_THREADS = 3 };

struct world {
    struct team *team[MAX_THREADS];
};

static int world_setup(void **state)
{
    static struct world w;
    struct err err = {0};
    for (int i = 0; i < MAX_THREADS; i++) {
        w.team[i] = team_new(i + 1, &err);
        assert_ok(w.team[i] != NULL, &err);
    }
    *state = &w;
    return 0;
}

static int world_teardown(void **state)
{
    const struct world *w = *state;
    for (int i = 0; i < MAX_THREADS; i++) team_free(w->team[i]);
    return 0;
}

/* Relative error of many-token products by variant and kind of weights: the bfloat16 forms. */
static double wide_bound(const char *variant, enum dtype t)
{
    const bool is_quant = ref_block_elems(t) > 1;
    if (strcmp(variant, "amx") == 0)
        return is_quant ? 0x1p-8 : t == DT_BF16 ? 0x1p-9 + F32_BOUND : 0x1p-16 + F32_BOUND;
    if (strcmp(variant, "avx512bf16") == 0 && t == DT_BF16) return 0x1p-9 + F32_BOUND;
    return F32_BOUND;
}

/* Activations are rounded to 8 bits in this product. */
static bool is_int8(const char *variant, enum dtype t, bool is_few)
{
    if (ref_block_elems(t) == 1) return false;
    if (is_few || strcmp(variant, "avx512bf16") == 0) return true;
    return strcmp(variant, "avx2") == 0;
}

/* ---- linear ------------------------------------------------------------------------------- */

enum kind { ANY, EXACT }; /* activations: any floats; integers times a scale, 127 in each 32 */

static const struct linear_case {
    const char *what;
    int64_t n_tok, k, rows; /* k: of types in blocks of 256 rounded up */
    int n_out;
    enum linear_in in;
    enum kind kind;
    bool has_bias, is_added;
} linear_cases[] = {
    /* clang-format off */
    /* what                           tok    k  rows out  in                 kind   bias   added */
    {"one token",                       1,  256,   5, 1, LINEAR_IN_PLAIN,   EXACT, false, false},
    {"one token, a tail of blocks",     1,  288,  37, 1, LINEAR_IN_PLAIN,   EXACT, false, false},
    {"one token, any floats",           1,  576,  67, 1, LINEAR_IN_PLAIN,   ANY,   true,  false},
    {"three tokens, q k v",             3,  320,  33, 3, LINEAR_IN_RMSNORM, ANY,   false, false},
    {"four tokens exact",               4, 1024,  20, 1, LINEAR_IN_PLAIN,   EXACT, true,  true},
    {"seven tokens, residual",          7,  512,  18, 1, LINEAR_IN_SWIGLU,  ANY,   false, true},
    {"one token, a long row",           1, 8448,   9, 1, LINEAR_IN_PLAIN,   ANY,   false, false},
    {"four tokens, long rows",          4, 4640,   6, 1, LINEAR_IN_RMSNORM, ANY,   false, false},
    {"eight tokens",                    8,  288,  40, 1, LINEAR_IN_PLAIN,   ANY,   false, false},
    {"nine tokens exact, a tail",       9,  352,  45, 1, LINEAR_IN_PLAIN,   EXACT, true,  true},
    {"exact, k in uneven parts",       21, 2336,  18, 1, LINEAR_IN_PLAIN,   EXACT, true,  true},
    {"two outputs, blocks of k",       19, 1056, 150, 2, LINEAR_IN_RMSNORM, ANY,   true,  false},
    {"residual, one row over",         33,  544, 129, 1, LINEAR_IN_SWIGLU,  ANY,   false, true},
    {"more tokens than a pass",       530,   96,  34, 1, LINEAR_IN_PLAIN,   ANY,   false, false},
    /* clang-format on */
};

struct linear_fixture {
    const struct linear_case *c;
    enum dtype type;
    int64_t k;
    struct tensor w[3];
    struct guarded w_memory[3], x, x2, norm, bias, y[3], work;
    float *first; /* the result of one thread */
    int64_t ld_x, ld_y;
    struct linear_out out[3];
    struct linear_args args;
};

static void exact_floats(float *x, int64_t n, uint64_t *seed)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(i % 32 == 5 ? 127 : (int)(127 * ref_random(seed))) / 64.0f;
}

static void linear_fill(struct linear_fixture *f, uint64_t *seed)
{
    const struct linear_case *c = f->c;
    float *x = (float *)(void *)f->x.p;
    for (int64_t t = 0; t < c->n_tok; t++) {
        float *row = x + t * f->ld_x;
        if (c->kind == EXACT)
            exact_floats(row, f->k, seed);
        else
            random_floats(row, f->k, t % 3 == 2 ? 30.0 : 1.0, seed);
        random_floats((float *)(void *)f->x2.p + t * f->ld_x, f->k, 1.0, seed);
    }
    random_floats((float *)(void *)f->norm.p, f->k, 1.0, seed);
    random_floats((float *)(void *)f->bias.p, c->rows, 1.0, seed);
}

static void linear_begin(struct linear_fixture *f, const struct ops *ops,
                         const struct linear_case *c, enum dtype type)
{
    uint64_t seed = 7;
    *f = (struct linear_fixture){.c = c, .type = type};
    const int64_t block = ref_block_elems(type);
    f->k = (c->k + block - 1) / block * block;
    if (block == 1) f->k -= 1; /* plain types: an odd k */
    f->ld_x = f->k + 3;
    f->ld_y = c->rows + 5;
    f->x = guarded_new((size_t)(c->n_tok * f->ld_x) * 4);
    f->x2 = guarded_new((size_t)(c->n_tok * f->ld_x) * 4);
    f->norm = guarded_new((size_t)f->k * 4);
    f->bias = guarded_new((size_t)c->rows * 4);
    f->work = guarded_new((ops->work_bytes(c->n_tok, f->k, MAX_THREADS) + 63) & ~(size_t)63);
    linear_fill(f, &seed);
    for (int i = 0; i < c->n_out; i++) {
        f->w_memory[i] = random_matrix(&f->w[i], type, c->rows + i, f->k, &seed);
        f->w[i].shape[0] = c->rows;
        f->y[i] = guarded_new((size_t)(c->n_tok * f->ld_y) * 4);
        f->out[i] = (struct linear_out){.w = &f->w[i],
                                        .y = (float *)(void *)f->y[i].p,
                                        .bias = c->has_bias ? (float *)(void *)f->bias.p : NULL,
                                        .ld_y = f->ld_y,
                                        .is_added = c->is_added};
    }
    f->args = (struct linear_args){.in = c->in,
                                   .x = (float *)(void *)f->x.p,
                                   .x2 = (float *)(void *)f->x2.p,
                                   .ld_x = f->ld_x,
                                   .norm = (float *)(void *)f->norm.p,
                                   .eps = 1e-5f,
                                   .n_tok = c->n_tok,
                                   .k = f->k,
                                   .out = f->out,
                                   .n_out = c->n_out,
                                   .work = f->work.p};
    f->first = calloc((size_t)(c->n_out * c->n_tok * f->ld_y), sizeof(float));
    assert_non_null(f->first);
}

static void linear_end(struct linear_fixture *f)
{
    struct guarded *all[] = {&f->x, &f->x2, &f->norm, &f->bias, &f->work};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) guarded_free(all[i]);
    for (int i = 0; i < f->c->n_out; i++) {
        guarded_free(&f->w_memory[i]);
        guarded_free(&f->y[i]);
    }
    free(f->first);
}

static float before_added(int64_t t, int64_t r) { return (float)(t - r) * 0.25f; }

static void linear_clear_y(const struct linear_fixture *f)
{
    for (int i = 0; i < f->c->n_out; i++) {
        memset(f->y[i].p, 0xA5, f->y[i].n_bytes);
        if (!f->c->is_added) continue;
        for (int64_t t = 0; t < f->c->n_tok; t++)
            for (int64_t r = 0; r < f->c->rows; r++)
                f->out[i].y[t * f->ld_y + r] = before_added(t, r);
    }
}

/* The bound of one product beside S: half a step of each activation. */
static double int8_slack(const double *x, const double *w, int64_t k)
{
    double sum = 0;
    for (int64_t b = 0; b < k; b += 32) {
        double most = 0, weight = 0;
        for (int64_t i = b; i < k && i < b + 32; i++) {
            most = fmax(most, fabs(x[i]));
            weight += fabs(w[i]);
        }
        sum += weight * most / 127 / 2;
    }
    return sum;
}

static void linear_compare(const struct linear_fixture *f, const struct ops *ops)
{
    const struct linear_case *c = f->c;
    double *x = malloc((size_t)f->k * 16), *w = x + f->k, worst = 0;
    assert_non_null(x);
    const bool is_few = c->n_tok < 8;
    const bool is_rounded = is_int8(ops->name, f->type, is_few) && c->kind == ANY;
    const double rel = is_few ? F32_BOUND : wide_bound(ops->name, f->type);
    for (int64_t t = 0; t<c->n_tok; t += c->n_tok> 40 ? 37 : 1) {
        ref_linear_in(x, &f->args, t);
        for (int o = 0; o < c->n_out; o++)
            for (int64_t r = 0; r < c->rows; r++) {
                ref_decode(f->type, w, tensor_row(&f->w[o], r), f->k);
                double y = c->has_bias ? (double)f->out[o].bias[r] : 0, sum = fabs(y);
                if (c->is_added) y += (double)before_added(t, r);
                if (c->is_added) sum += fabs((double)before_added(t, r));
                for (int64_t i = 0; i < f->k; i++) {
                    y += x[i] * w[i];
                    sum += fabs(x[i] * w[i]);
                }
                double bound = rel * sum + 1e-30;
                if (is_rounded) bound += int8_slack(x, w, f->k) * 1.0001;
                const double e = fabs((double)f->out[o].y[t * f->ld_y + r] - y) / bound;
                if (!(e <= worst)) worst = e;
                if (!(e <= 1.0))
                    fail_msg(
                        "%s, %s, %s: token %d output %d row %d is %g, not %g (%.2g bounds off)",
                        ops->name, dtype_info(f->type)->name, c->what, (int)t, o, (int)r,
                        (double)f->out[o].y[t * f->ld_y + r], y, e);
            }
    }
    free(x);
}

/* Canaries of y, behind each row too; then the bits against those of one thread. */
static void linear_check_memory(const struct linear_fixture *f, const struct ops *ops, int n)
{
    uint32_t canary = 0xA5A5A5A5u;
    for (int i = 0; i < f->c->n_out; i++) {
        const float *y = f->out[i].y;
        for (int64_t t = 0; t < f->c->n_tok; t++)
            for (int64_t r = f->c->rows; r < f->ld_y; r++)
                if (memcmp(&y[t * f->ld_y + r], &canary, 4) != 0)
                    fail_msg("%s, %s: written behind row %d", ops->name, f->c->what, (int)t);
        if (!guarded_is_whole(&f->y[i]) || !guarded_is_whole(&f->work))
            fail_msg("%s, %s: written before an output", ops->name, f->c->what);
        float *first = f->first + i * f->c->n_tok * f->ld_y;
        if (n == 1)
            memcpy(first, y, f->y[i].n_bytes);
        else if (memcmp(first, y, f->y[i].n_bytes) != 0)
            fail_msg("%s, %s, %s: %d threads give other bits than 1", ops->name,
                     dtype_info(f->type)->name, f->c->what, n);
    }
}

static void check_linear(const struct world *w, const struct ops *ops, const struct linear_case *c,
                         enum dtype type)
{
    struct linear_fixture f;
    linear_begin(&f, ops, c, type);
    for (int n = 1; n <= MAX_THREADS; n++) {
        linear_clear_y(&f);
        run_linear(w->team[n - 1], ops, &f.args);
        linear_check_memory(&f, ops, n);
        if (n == 1) linear_compare(&f, ops);
    }
    linear_end(&f);
}

static void test_linear_matches_double(void **state)
{
    for (int v = 0; v < ops_n_variants(); v++)
        for (int t = 0; t < DT_COUNT; t++)
            for (size_t c = 0; c < ARRAY_LEN(linear_cases); c++)
                check_linear(*state, ops_variant(v), &linear_cases[c], (enum dtype)t);
}

/* A token's result is the same alone and among others of the same way (few, many). */
static void test_linear_rows_stand_alone(void **state)
{
    static const struct linear_case few = {"few",           5,   512,   24,   1,
                                           LINEAR_IN_PLAIN, ANY, false, false};
    static const struct linear_case many = {"many", 40, 512, 24, 1, LINEAR_IN_PLAIN, ANY, 0, 0};
    const struct world *w = *state;
    for (int v = 0; v < ops_n_variants(); v++)
        for (int t = 0; t < DT_COUNT; t++)
            for (int i = 0; i < 2; i++) {
                struct linear_fixture f;
                const struct ops *ops = ops_variant(v);
                const struct linear_case *c = i ? &many : &few;
                linear_begin(&f, ops, c, (enum dtype)t);
                run_linear(w->team[1], ops, &f.args);
                memcpy(f.first, f.y[0].p, f.y[0].n_bytes);
                const int64_t from = i ? 17 : 3, n = i ? 11 : 2;
                f.args.x += from * f.ld_x;
                f.args.n_tok = n;
                run_linear(w->team[1], ops, &f.args);
                for (int64_t k = 0; k < n; k++)
                    if (memcmp(f.out[0].y + k * f.ld_y, f.first + (from + k) * f.ld_y,
                               (size_t)c->rows * 4) != 0)
                        fail_msg("%s, %s, %s: a row depends on its neighbours", ops->name,
                                 dtype_info((enum dtype)t)->name, c->what);
                linear_end(&f);
            }
}

/* ---- rmsnorm, swiglu, embed --------------------------------------------------------------- */

static const struct row_case {
    const char *what;
    int64_t n_tok, d;
    double size;
} row_cases[] = {
    /* clang-format off */
    /* what                   tok     d  size */
    {"one element",             1,    1, 1},
    {"a tail of 7",             3,   71, 1},
    {"one token, model width",  1, 2048, 1},
    {"many tokens",            37,  576, 8},
    {"tiny: eps wins",          2,  256, 1e-8},
    {"large: e^x overflows",    2,   64, 200},
    /* clang-format on */
};

struct row_args {
    const struct ops *ops;
    float *y, *x, *w, *up;
    const struct row_case *c;
    const struct tensor *table;
    const int32_t *ids;
};

static void rmsnorm_member(const struct member *me, void *arg)
{
    const struct row_args *a = arg;
    const int64_t ld = a->c->d + 2;
    a->ops->rmsnorm(me, a->y, ld, a->x, ld, a->w, a->c->n_tok, a->c->d, 1e-5f);
}

static void swiglu_member(const struct member *me, void *arg)
{
    const struct row_args *a = arg;
    const int64_t ld = a->c->d + 2;
    a->ops->swiglu(me, a->y, ld, a->x, a->up, ld, a->c->n_tok, a->c->d);
}

static void check_rows(const struct row_args *a, bool is_norm, const float *y)
{
    const int64_t d = a->c->d, ld = d + 2;
    double *want = malloc((size_t)d * sizeof *want);
    assert_non_null(want);
    for (int64_t t = 0; t < a->c->n_tok; t++) {
        ref_rmsnorm(want, a->x + t * ld, a->w, d, 1e-5f);
        for (int64_t i = 0; i < d; i++) {
            const double x = (double)a->x[t * ld + i], up = (double)a->up[t * ld + i];
            const double r = is_norm ? want[i] : ref_silu(x) * up;
            const double bound = (is_norm ? 4e-7 : 1e-6) * fabs(r) + 1e-30;
            if (!(fabs((double)y[t * ld + i] - r) <= bound))
                fail_msg("%s %s, %s: row %d element %d is %g, not %g", a->ops->name,
                         is_norm ? "rmsnorm" : "swiglu", a->c->what, (int)t, (int)i,
                         (double)y[t * ld + i], r);
        }
    }
    free(want);
}

static void check_row_op(const struct world *w, const struct ops *ops, const struct row_case *c,
                         bool is_norm)
{
    const int64_t ld = c->d + 2;
    const size_t n_bytes = (size_t)(c->n_tok * ld) * 4;
    uint64_t seed = 3;
    struct guarded y = guarded_new(n_bytes), x = guarded_new(n_bytes), up = guarded_new(n_bytes);
    struct guarded norm = guarded_new((size_t)c->d * 4);
    struct row_args a = {.ops = ops,
                         .c = c,
                         .y = (float *)(void *)y.p,
                         .x = (float *)(void *)x.p,
                         .up = (float *)(void *)up.p,
                         .w = (float *)(void *)norm.p};
    random_floats(a.x, c->n_tok * ld, c->size, &seed);
    random_floats(a.up, c->n_tok * ld, 1.0, &seed);
    random_floats(a.w, c->d, 1.0, &seed);
    uint8_t *first = malloc(n_bytes);
    assert_non_null(first);
    for (int n = 1; n <= MAX_THREADS; n++) {
        memset(y.p, 0xA5, n_bytes);
        team_run(w->team[n - 1], is_norm ? rmsnorm_member : swiglu_member, &a);
        if (n == 1) memcpy(first, y.p, n_bytes);
        if (memcmp(first, y.p, n_bytes) != 0 || !guarded_is_whole(&y))
            fail_msg("%s, %s: bits depend on the threads", ops->name, c->what);
        const uint32_t canary = 0xA5A5A5A5u;
        for (int64_t t = 0; t < c->n_tok; t++) assert_memory_equal(a.y + t * ld + c->d, &canary, 4);
    }
    check_rows(&a, is_norm, a.y);
    free(first);
    guarded_free(&y);
    guarded_free(&x);
    guarded_free(&up);
    guarded_free(&norm);
}

static void test_row_operators_match_double(void **state)
{
    for (int v = 0; v < ops_n_variants(); v++)
        for (size_t c = 0; c < ARRAY_LEN(row_cases); c++) {
            check_row_op(*state, ops_variant(v), &row_cases[c], true);
            check_row_op(*state, ops_variant(v), &row_cases[c], false);
        }
}

static void embed_member(const struct member *me, void *arg)
{
    const struct row_args *a = arg;
    a->ops->embed(me, a->y, a->c->d + 2, a->table, a->ids, a->c->n_tok);
}

static void test_embed_matches_double(void **state)
{
    static const struct row_case c = {"embed", 5, 512, 1};
    static const int32_t ids[] = {3, 0, 6, 6, 1};
    const struct world *w = *state;
    for (int v = 0; v < ops_n_variants(); v++)
        for (int t = 0; t < DT_COUNT; t++) {
            uint64_t seed = 5;
            struct tensor table;
            struct guarded memory = random_matrix(&table, (enum dtype)t, 7, c.d, &seed);
            struct guarded y = guarded_new((size_t)(c.n_tok * (c.d + 2)) * 4);
            struct row_args a = {.ops = ops_variant(v),
                                 .c = &c,
                                 .y = (float *)(void *)y.p,
                                 .table = &table,
                                 .ids = ids};
            double want[512];
            team_run(w->team[v % MAX_THREADS], embed_member, &a);
            for (int64_t i = 0; i < c.n_tok; i++) {
                ref_decode((enum dtype)t, want, tensor_row(&table, ids[i]), c.d);
                for (int64_t j = 0; j < c.d; j++)
                    if (!(fabs((double)a.y[i * (c.d + 2) + j] - want[j]) <=
                          1e-6 * fabs(want[j]) + 1e-7))
                        fail_msg("%s, %s: id %d element %d is %g, not %g", a.ops->name,
                                 dtype_info((enum dtype)t)->name, ids[i], (int)j,
                                 (double)a.y[i * (c.d + 2) + j], want[j]);
            }
            assert_true(guarded_is_whole(&y));
            guarded_free(&y);
            guarded_free(&memory);
        }
}

/* ---- rope and attention ------------------------------------------------------------------- */

enum { MAX_SPANS = 8, PAGES = 200 };

static const struct attention_case {
    const char *what;
    int32_t n_heads, n_kv_heads, d_head, page_tok;
    int32_t n_spans, n[MAX_SPANS], pos[MAX_SPANS];
    double scale_q;
    int32_t shared; /* positions whose pages all spans have in common */
} attention_cases[] = {
    /* clang-format off */
    /* what                           heads kv   d page  spans n              pos              scale shared */
    {"first token",                     4,  2, 64, 16, 1, {1},           {0},                  1, 0},
    {"one token, one page over",        9,  3, 64, 16, 1, {1},           {64},                 1, 0},
    {"one token, long: chunks",         4,  1, 64, 32, 1, {1},           {1500},               1, 0},
    {"one token, odd head",             6,  2, 24, 16, 1, {1},           {300},                1, 0},
    {"prompt",                          4,  4, 32, 16, 1, {70},          {0},                  1, 0},
    {"prompt after a prefix",           8,  2, 64, 64, 1, {45},          {100},                1, 0},
    {"ragged: prompt, tokens, prompt",  3,  1, 64, 16, 4, {33, 1, 1, 5}, {0, 200, 700, 129},   1, 0},
    {"tiny head",                       8,  4,  8, 16, 2, {17, 1},       {3, 40},              1, 0},
    {"large scores",                    4,  2, 64, 16, 2, {20, 1},       {5, 400},            60, 0},
    {"wide head, many rows",            6,  1, 128, 16, 1, {40},         {70},                 1, 0},
    {"widest head",                     2,  1, 256, 16, 2, {9, 1},       {60, 300},            1, 0},
    {"odd wide head",                   3,  1, 80, 16, 3, {1, 1, 9},     {127, 128, 500},      1, 0},
    {"seven heads of one",              7,  1, 64, 16, 2, {1, 12},       {90, 250},            1, 0},
    {"a prefix of four, and a prompt",  8,  2, 64, 32, 6, {1, 1, 9, 1, 1, 1},
                                                         {700, 705, 300, 1040, 600, 520},      1, 512},
    {"chunks of other lengths",         4,  2, 32, 64, 5, {1, 1, 1, 1, 1},
                                                         {4095, 4096, 4000, 5000, 100},        1, 2100},
    {"eight of one prefix",             3,  1, 64, 16, 8, {1, 1, 1, 1, 1, 1, 1, 1},
                                                         {511, 512, 767, 768, 769, 600, 530, 900}, 1, 512},
    /* clang-format on */
};

struct attention_fixture {
    const struct attention_case *c;
    struct kv_layer kv;
    struct span span[MAX_SPANS];
    int32_t pages[MAX_SPANS][PAGES];
    struct guarded k, v, q, y, work;
    int64_t n_tok, ld;
    struct attention_args args;
    uint8_t *first;
};

/* Pages of the spans lie mixed: span s, page i is page (i * MAX_SPANS + s), or that of span 0.
 * Slots that no token may see hold NaN. */
static void attention_fill(struct attention_fixture *f, enum dtype type, uint64_t *seed)
{
    const struct attention_case *c = f->c;
    memset(f->k.p, 0xFF, f->k.n_bytes);
    memset(f->v.p, 0xFF, f->v.n_bytes);
    for (int32_t s = 0; s < c->n_spans; s++) {
        for (int32_t i = 0; i < PAGES; i++)
            f->pages[s][i] = i * MAX_SPANS + ((i + 1) * c->page_tok <= c->shared ? 0 : s);
        f->span[s] = (struct span){f->n_tok, c->n[s], c->pos[s], f->pages[s]};
        f->n_tok += c->n[s];
        for (int32_t p = 0; p < c->pos[s] + c->n[s]; p++)
            for (int32_t h = 0; h < c->n_kv_heads; h++) {
                const size_t at = (size_t)f->pages[s][p / c->page_tok] * f->kv.page_stride +
                                  (size_t)h * f->kv.head_stride +
                                  (size_t)(p % c->page_tok) * f->kv.row_bytes;
                ref_random_row(type, f->kv.k + at, c->d_head, 1.0, seed);
                ref_random_row(type, f->kv.v + at, c->d_head, 1.0, seed);
            }
    }
}

static void attention_begin(struct attention_fixture *f, const struct ops *ops,
                            const struct attention_case *c, enum dtype type)
{
    uint64_t seed = 11;
    *f = (struct attention_fixture){.c = c};
    int32_t longest = 0;
    for (int32_t s = 0; s < c->n_spans; s++)
        if (c->pos[s] + c->n[s] > longest) longest = c->pos[s] + c->n[s];
    const size_t n_pages = (size_t)((longest + c->page_tok - 1) / c->page_tok * MAX_SPANS);
    f->kv = (struct kv_layer){
        .dtype = type, .page_tok = c->page_tok, .n_kv_heads = c->n_kv_heads, .d_head = c->d_head};
    f->kv.row_bytes = (size_t)(c->d_head / ref_block_elems(type) * ref_block_bytes(type));
    f->kv.head_stride = f->kv.row_bytes * (size_t)c->page_tok;
    f->kv.page_stride = f->kv.head_stride * (size_t)c->n_kv_heads;
    f->k = guarded_new(n_pages * f->kv.page_stride);
    f->v = guarded_new(n_pages * f->kv.page_stride);
    f->kv.k = f->k.p;
    f->kv.v = f->v.p;
    attention_fill(f, type, &seed);
    f->ld = c->n_heads * c->d_head + 4;
    f->q = guarded_new((size_t)(f->n_tok * f->ld) * 4);
    f->y = guarded_new((size_t)(f->n_tok * f->ld) * 4);
    random_floats((float *)(void *)f->q.p, f->n_tok * f->ld, c->scale_q, &seed);
    f->work = guarded_new(
        (ops->attention_work_bytes(f->n_tok, c->n_heads, c->d_head, longest, MAX_THREADS) + 63) &
        ~(size_t)63);
    f->args = (struct attention_args){.y = (float *)(void *)f->y.p,
                                      .q = (float *)(void *)f->q.p,
                                      .ld_y = f->ld,
                                      .ld_q = f->ld,
                                      .n_heads = c->n_heads,
                                      .scale = 1.0f / sqrtf((float)c->d_head),
                                      .span = f->span,
                                      .n_spans = c->n_spans,
                                      .n_tok = f->n_tok,
                                      .kv = &f->kv,
                                      .work = f->work.p};
    f->first = malloc(f->y.n_bytes);
    assert_non_null(f->first);
}

/* Values are up to 1; a score of size s has s roundings more in its exponent. In bfloat16 queries,
 * keys, values and weights are rounded to 2^-9: a score by up to 2 * 2^-9 of the sum of its terms,
 * which is below scale_q * sqrt(d_head) / 4 on average, times 4 for the worst of some thousands,
 * over sqrt(d_head) since roundings go either way. */
static double attention_bound(const struct ops *ops, const struct attention_case *c, bool is_exact)
{
    const bool is_bf16 = strcmp(ops->name, "avx512bf16") == 0 || strcmp(ops->name, "amx") == 0;
    return is_bf16 && !is_exact ? 0x1p-8 * (1 + c->scale_q / 4) : 3e-6 * (1 + c->scale_q);
}

static void attention_compare(const struct attention_fixture *f, const struct ops *ops)
{
    const struct attention_case *c = f->c;
    const double bound = attention_bound(ops, c, f->args.is_exact);
    double want[256];
    for (int64_t t = 0; t < f->n_tok; t++)
        for (int32_t h = 0; h < c->n_heads; h++) {
            ref_attention(want, &f->args, t, h);
            for (int32_t i = 0; i < c->d_head; i++) {
                const double y = (double)f->args.y[t * f->ld + h * c->d_head + i];
                if (!(fabs(y - want[i]) <= bound))
                    fail_msg("%s, %s, %s: token %d head %d element %d is %g, not %g", ops->name,
                             dtype_info(f->kv.dtype)->name, c->what, (int)t, h, i, y, want[i]);
            }
        }
}

/* A single token's bits are those that it has alone, whatever the rest of the batch. */
static void attention_alone(struct attention_fixture *f, const struct world *w,
                            const struct ops *ops)
{
    const struct attention_case *c = f->c;
    for (int32_t s = 0; s < c->n_spans; s++) {
        if (c->n[s] != 1) continue;
        struct attention_args a = f->args;
        a.span = &f->span[s];
        a.n_spans = 1;
        run_attention(w->team[s % MAX_THREADS], ops, &a);
        const size_t at = (size_t)(f->span[s].begin * f->ld) * 4;
        if (memcmp(f->first + at, f->y.p + at, (size_t)(c->n_heads * c->d_head) * 4) != 0)
            fail_msg("%s, %s, %s: the token of span %d depends on the batch", ops->name,
                     dtype_info(f->kv.dtype)->name, c->what, s);
    }
}

static void check_attention(const struct world *w, const struct ops *ops,
                            const struct attention_case *c, enum dtype type, bool is_exact)
{
    struct attention_fixture f;
    attention_begin(&f, ops, c, type);
    f.args.is_exact = is_exact;
    for (int n = 1; n <= MAX_THREADS; n++) {
        memset(f.y.p, 0xA5, f.y.n_bytes);
        run_attention(w->team[n - 1], ops, &f.args);
        if (n == 1) {
            memcpy(f.first, f.y.p, f.y.n_bytes);
            attention_compare(&f, ops);
        } else if (memcmp(f.first, f.y.p, f.y.n_bytes) != 0) {
            fail_msg("%s, %s: %d threads give other bits than 1", ops->name, c->what, n);
        }
        assert_true(guarded_is_whole(&f.y) && guarded_is_whole(&f.work));
    }
    attention_alone(&f, w, ops);
    struct guarded *all[] = {&f.k, &f.v, &f.q, &f.y, &f.work};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) guarded_free(all[i]);
    free(f.first);
}

static const enum dtype kv_types[] = {DT_F32, DT_F16, DT_BF16, DT_Q8_0};

static void test_attention_matches_double(void **state)
{
    for (int v = 0; v < ops_n_variants(); v++)
        for (size_t t = 0; t < ARRAY_LEN(kv_types); t++)
            for (size_t c = 0; c < ARRAY_LEN(attention_cases); c++)
                for (int e = 0; e < 2; e++)
                    if (attention_cases[c].d_head % ref_block_elems(kv_types[t]) == 0)
                        check_attention(*state, ops_variant(v), &attention_cases[c], kv_types[t],
                                        e > 0);
}

struct rope_run {
    const struct ops *ops;
    float *cos_sin;
    const int32_t *pos;
    const double *inv_freq;
    int64_t n_tok;
    int32_t n_freq;
};

static void rope_table_member(const struct member *me, void *arg)
{
    const struct rope_run *r = arg;
    r->ops->rope_table(me, r->cos_sin, r->pos, r->n_tok, r->inv_freq, r->n_freq);
}

/* Rotates and stores a batch of two spans, then looks at q, k and the cache. */
static void check_rope(const struct world *w, const struct ops *ops, enum rope_pairs pairs,
                       enum dtype type, int n_threads)
{
    enum { D = 64, HEADS = 3, KV = 2, TOK = 7, LD_Q = HEADS * D + 1, LD_K = KV * D + 2 };
    static const int32_t pos[TOK] = {100000, 100001, 100002, 100003, 100004, 30, 31};
    static int32_t pages[2][6300];
    float q[TOK * LD_Q], k[TOK * LD_K], v[TOK * LD_K], q0[TOK * LD_Q], k0[TOK * LD_K];
    float cos_sin[TOK * D];
    double inv_freq[D / 2];
    uint64_t seed = 2;
    for (int i = 0; i < D / 2; i++) inv_freq[i] = pow(500000.0, -2.0 * i / D);
    random_floats(q, TOK * LD_Q, 1, &seed);
    random_floats(k, TOK * LD_K, 1, &seed);
    random_floats(v, TOK * LD_K, 1, &seed);
    memcpy(q0, q, sizeof q);
    memcpy(k0, k, sizeof k);
    struct kv_layer kv = {.dtype = type, .page_tok = 16, .n_kv_heads = KV, .d_head = D};
    kv.row_bytes = (size_t)(D / ref_block_elems(type) * ref_block_bytes(type));
    kv.head_stride = kv.row_bytes * 16;
    kv.page_stride = kv.head_stride * KV;
    struct guarded kc = guarded_new(kv.page_stride * 3), vc = guarded_new(kv.page_stride * 3);
    kv.k = kc.p;
    kv.v = vc.p;
    pages[0][100000 / 16] = 2;
    pages[1][30 / 16] = 0;
    const struct span spans[] = {{0, 5, 100000, pages[0]}, {5, 2, 30, pages[1]}};
    struct rope_run table = {ops, cos_sin, pos, inv_freq, TOK, D / 2};
    team_run(w->team[n_threads - 1], rope_table_member, &table);
    run_rope(w->team[n_threads - 1], ops,
             &(struct rope_args){.pairs = pairs,
                                 .q = q,
                                 .k = k,
                                 .v = v,
                                 .ld_q = LD_Q,
                                 .ld_k = LD_K,
                                 .ld_v = LD_K,
                                 .n_heads = HEADS,
                                 .cos_sin = cos_sin,
                                 .span = spans,
                                 .n_spans = 2,
                                 .n_tok = TOK,
                                 .kv = &kv});
    for (int t = 0; t < TOK; t++)
        for (int h = 0; h < HEADS + KV; h++)
            for (int i = 0; i < D / 2; i++) {
                const bool is_q = h < HEADS;
                const int at = is_q ? t * LD_Q + h * D : t * LD_K + (h - HEADS) * D;
                const int a = at + (pairs == ROPE_ADJACENT ? 2 * i : i);
                const int b = pairs == ROPE_ADJACENT ? a + 1 : a + D / 2;
                const float *from = is_q ? q0 : k0, *to = is_q ? q : k;
                const double x = (double)from[a], y = (double)from[b], angle = pos[t] * inv_freq[i];
                const double want_a = x * cos(angle) - y * sin(angle);
                const double want_b = x * sin(angle) + y * cos(angle);
                if (!(fabs((double)to[a] - want_a) < 3e-7 && fabs((double)to[b] - want_b) < 3e-7))
                    fail_msg("%s: token %d head %d pair %d: %g %g, not %g %g", ops->name, t, h, i,
                             (double)to[a], (double)to[b], want_a, want_b);
            }
    const double step = type == DT_F32    ? 0
                        : type == DT_F16  ? 0x1p-11
                        : type == DT_BF16 ? 0x1p-8
                                          : 1.5 / 127;
    for (int t = 0; t < TOK; t++)
        for (int h = 0; h < KV; h++) {
            double row[D];
            const size_t at = (size_t)(t < 5 ? 2 : 0) * kv.page_stride +
                              (size_t)h * kv.head_stride + (size_t)(pos[t] % 16) * kv.row_bytes;
            ref_decode(type, row, kv.k + at, D);
            for (int i = 0; i < D; i++)
                assert_true(fabs(row[i] - (double)k[t * LD_K + h * D + i]) <= step * 1.01);
            ref_decode(type, row, kv.v + at, D);
            for (int i = 0; i < D; i++)
                assert_true(fabs(row[i] - (double)v[t * LD_K + h * D + i]) <= step * 1.01);
        }
    guarded_free(&kc);
    guarded_free(&vc);
}

static void test_rope_matches_double(void **state)
{
    for (int v = 0; v < ops_n_variants(); v++)
        for (size_t t = 0; t < ARRAY_LEN(kv_types); t++)
            for (int n = 1; n <= MAX_THREADS; n++) {
                check_rope(*state, ops_variant(v), ROPE_ADJACENT, kv_types[t], n);
                check_rope(*state, ops_variant(v), ROPE_HALVES, kv_types[t], n);
            }
}

/* ---- the table of variants ---------------------------------------------------------------- */

static void test_variants_are_chosen_by_name(void **state)
{
    (void)state;
    struct err err = {0};
    const int n = ops_n_variants();
    assert_true(n >= 1);
    assert_string_equal(ops_variant(0)->name, "generic");
    for (int i = 0; i < n; i++)
        assert_ptr_equal(ops_choose(ops_variant(i)->name, &err), ops_variant(i));
    assert_ptr_equal(ops_choose(NULL, &err), ops_variant(n - 1));
    assert_ptr_equal(ops_choose("", &err), ops_variant(n - 1));
    assert_null(ops_choose("z80", &err));
    assert_int_equal(err.code, ERR_USAGE);
    assert_non_null(strstr(err.text, "generic"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants_are_chosen_by_name),
        cmocka_unit_test(test_row_operators_match_double),
        cmocka_unit_test(test_embed_matches_double),
        cmocka_unit_test(test_rope_matches_double),
        cmocka_unit_test(test_attention_matches_double),
        cmocka_unit_test(test_linear_matches_double),
        cmocka_unit_test(test_linear_rows_stand_alone),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
