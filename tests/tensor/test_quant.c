/* SPDX-License-Identifier: Apache-2.0
 *
 * test_quant.c - element types and block formats: against the published reference bit for bit where
 * it is published, against stated errors where encoders are our own; tables; hostile blocks.
 *
 * tests/golden/tensor/quant.bin is made by tests/oracle/quant.py, which describes it.
 */
#include <math.h>

#include "test.h"

#include "tensor/dtype.h"
#include "tensor/half.h"
#include "tensor/quant/quant.h"
#include "tensor/tensor.h"

/* ---- golden records ---- */

enum { DECODE = 0, ENCODE = 1, MAX_GOLDEN = 1 << 17 };

static uint8_t golden[MAX_GOLDEN];

static size_t golden_read(void)
{
    FILE *f = fopen(golden_path("tensor/quant.bin"), "rb");
    assert_non_null(f);
    const size_t n = fread(golden, 1, sizeof golden, f);
    fclose(f);
    assert_true(n > 0 && n < sizeof golden);
    return n;
}

struct record {
    char name[9];
    uint32_t kind, n_elems, n_bytes;
    const uint8_t *bytes, *floats;
};

static size_t record_read(struct record *r, size_t at)
{
    *r = (struct record){0};
    memcpy(r->name, golden + at, 8);
    memcpy(&r->kind, golden + at + 8, 4);
    memcpy(&r->n_elems, golden + at + 12, 4);
    memcpy(&r->n_bytes, golden + at + 16, 4);
    r->bytes = golden + at + 20;
    r->floats = r->bytes + r->n_bytes;
    return at + 20 + r->n_bytes + (size_t)r->n_elems * 4;
}

static float *record_floats(const struct record *r)
{
    float *x = malloc((size_t)r->n_elems * sizeof *x);
    assert_non_null(x);
    memcpy(x, r->floats, (size_t)r->n_elems * sizeof *x);
    return x;
}

static void check_decode(const struct dtype_info *info, const struct record *r)
{
    float *want = record_floats(r), *x = malloc((size_t)r->n_elems * sizeof *x);
    uint8_t *bytes = malloc(r->n_bytes + 1);
    assert_true(x && bytes);
    memcpy(bytes + 1, r->bytes, r->n_bytes); /* rows of files may lie at any byte */
    info->decode(x, bytes + 1, r->n_elems);
    for (uint32_t i = 0; i < r->n_elems; i++)
        if (f32_bits(x[i]) != f32_bits(want[i]))
            fail_msg("%s: block %u element %u is %.9g, not %.9g", info->name, i / info->block_elems,
                     i % info->block_elems, (double)x[i], (double)want[i]);
    free(want);
    free(x);
    free(bytes);
}

static void check_encode(const struct dtype_info *info, const struct record *r)
{
    float *x = record_floats(r);
    uint8_t *bytes = malloc(r->n_bytes + 1);
    assert_non_null(bytes);
    info->encode(bytes + 1, x, r->n_elems, NULL);
    for (uint32_t i = 0; i < r->n_bytes; i++)
        if (bytes[i + 1] != r->bytes[i])
            fail_msg("%s: block %u byte %u is %02x, not %02x", info->name, i / info->block_bytes,
                     i % info->block_bytes, bytes[i + 1], r->bytes[i]);
    free(x);
    free(bytes);
}

static void test_golden_records_have_the_same_bits(void **state)
{
    (void)state;
    bool is_decoded[DT_COUNT] = {false}, is_encoded[DT_COUNT] = {false};
    const size_t n = golden_read();
    struct record r;
    for (size_t at = 0; at < n;) {
        at = record_read(&r, at);
        assert_true(at <= n);
        const struct dtype_info *info = dtype_by_name(r.name);
        if (!info) fail_msg("%s is not a type", r.name);
        assert_int_equal(r.n_elems / info->block_elems * info->block_bytes, r.n_bytes);
        if (r.kind == DECODE)
            check_decode(info, &r);
        else
            check_encode(info, &r);
        (r.kind == DECODE ? is_decoded : is_encoded)[info->id] = true;
    }
    for (int t = 0; t < DT_COUNT; t++) assert_true(is_decoded[t]);
    for (int t = DT_F16; t <= DT_Q8_0; t++) assert_true(is_encoded[t]);
}

/* ---- errors ---- */

enum { N = 1 << 15 };

static double uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*seed >> 12) + 0.5) * 0x1p-52;
}

static double normal(uint64_t *seed)
{
    const double a = uniform(seed), b = uniform(seed);
    return sqrt(-2 * log(a)) * cos(6.283185307179586 * b);
}

static double data_normal(int64_t i, uint64_t *s) { return 0.02 * normal(s) + 0 * (double)i; }
static double data_uniform(int64_t i, uint64_t *s) { return uniform(s) - 0.5 + 0 * (double)i; }
static double data_positive(int64_t i, uint64_t *s) { return 3 + uniform(s) + 0 * (double)i; }
static double data_negative(int64_t i, uint64_t *s) { return -3 - uniform(s) + 0 * (double)i; }
static double data_heavy(int64_t i, uint64_t *s)
{
    return 0.01 * pow(normal(s), 3) + 0 * (double)i;
}
/* Parts of very different size beside each other, and sizes down to where float16 scales end. */
static double data_uneven(int64_t i, uint64_t *s)
{
    return normal(s) * pow(2, (double)(i / 16 % 7));
}
static double data_small(int64_t i, uint64_t *s) { return 2e-4 * normal(s) + 0 * (double)i; }
static double data_outlier(int64_t i, uint64_t *s)
{
    return i % 200 == 17 ? -5 : i % 200 == 130 ? 5 : 0.02 * normal(s);
}

typedef double data_fn(int64_t i, uint64_t *seed);

static const struct {
    const char *what;
    data_fn *at;
} data_kinds[] = {
    {"normal", data_normal},     {"uniform", data_uniform}, {"positive", data_positive},
    {"negative", data_negative}, {"heavy", data_heavy},     {"uneven", data_uneven},
    {"small", data_small},       {"outlier", data_outlier},
};

struct bench_data {
    float x[N], y[N], w[N];
    uint8_t bytes[N * sizeof(float)];
};

static struct bench_data *data_new(data_fn *at)
{
    struct bench_data *d = malloc(sizeof *d);
    assert_non_null(d);
    uint64_t seed = 11;
    for (int64_t i = 0; i < N; i++) {
        d->x[i] = (float)at(i, &seed);
        d->w[i] = (float)exp(3 * uniform(&seed)); /* 1 to 20 */
    }
    return d;
}

/* No element is further off than the type says, of its block's largest. Beside that a float16 may
 * be off by half the smallest step it has: as an element, or as a scale times 128 at most. */
static void test_round_trip_stays_within_max_rel_err(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(data_kinds); k++) {
        struct bench_data *d = data_new(data_kinds[k].at);
        for (int t = 0; t < DT_COUNT; t++) {
            const struct dtype_info *info = dtype_info((enum dtype)t);
            info->encode(d->bytes, d->x, N, NULL);
            info->decode(d->y, d->bytes, N);
            double worst = 0;
            for (int64_t b = 0; b < N; b += info->block_elems) {
                double most = 0, off = 0;
                for (int64_t i = b; i < b + info->block_elems; i++) {
                    most = fmax(most, fabs((double)d->x[i]));
                    off = fmax(off, fabs((double)d->y[i] - (double)d->x[i]));
                }
                const double half_step = t == DT_F16 ? 0x1p-25 : info->is_quantized ? 0x1p-18 : 0;
                worst = fmax(worst, (off - half_step) / most);
            }
            if (getenv("QUANT_SHOW"))
                print_message("%-9s %-7s %.5f of %.5f\n", data_kinds[k].what, info->name, worst,
                              (double)info->max_rel_err);
            if (!(worst <= (double)info->max_rel_err))
                fail_msg("%s, %s data: off by %.5f of the block's largest, more than %.5f",
                         info->name, data_kinds[k].what, worst, (double)info->max_rel_err);
        }
        free(d);
    }
}

/* Root mean square error of normal data, relative to their size, and with weights; a
 * bound is about 1 % above what was measured when the encoder was written. */
static const struct rmse_case {
    enum dtype type;
    double bound, weighted;
} rmse_cases[] = {
    /* clang-format off */
    {DT_F16,    0.00022, 0.00022}, {DT_BF16,   0.0017, 0.0017}, {DT_Q8_0,  0.0054, 0.0047},
    {DT_Q6_K,   0.0168,  0.0159},  {DT_Q5_1,   0.0382, 0.0318}, {DT_Q5_0,  0.0428, 0.0389},
    {DT_Q5_K,   0.0350,  0.0333},  {DT_Q4_K,   0.0702, 0.0664}, {DT_Q4_1,  0.0789, 0.0656},
    {DT_Q4_0,   0.0861,  0.0780},  {DT_IQ4_NL, 0.0740, 0.0706}, {DT_IQ4_XS, 0.0746, 0.0713},
    {DT_Q3_K,   0.1451,  0.1386},  {DT_Q2_K,   0.2628, 0.2430},
    /* clang-format on */
};

/* sqrt(sum w (y - x)^2 / sum w x^2); w NULL: 1. */
static double relative_error(const struct bench_data *d, const float *w)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < N; i++) {
        const double x = (double)d->x[i], e = (double)d->y[i] - x, v = w ? (double)w[i] : 1;
        error += v * e * e;
        size += v * x * x;
    }
    return sqrt(error / size);
}

static void test_error_of_normal_data_is_as_stated(void **state)
{
    (void)state;
    struct bench_data *d = data_new(data_normal);
    for (size_t c = 0; c < ARRAY_LEN(rmse_cases); c++) {
        const struct dtype_info *info = dtype_info(rmse_cases[c].type);
        info->encode(d->bytes, d->x, N, NULL);
        info->decode(d->y, d->bytes, N);
        const double plain = relative_error(d, NULL), unaware = relative_error(d, d->w);
        info->encode(d->bytes, d->x, N, d->w);
        info->decode(d->y, d->bytes, N);
        const double weighted = relative_error(d, d->w);
        if (getenv("QUANT_SHOW"))
            print_message("%-7s %.5f, by weight %.5f, weighted %.5f\n", info->name, plain, unaware,
                          weighted);
        if (!(plain <= rmse_cases[c].bound) || !(weighted <= rmse_cases[c].weighted))
            fail_msg("%s: error %.5f (bound %.5f), weighted %.5f (bound %.5f)", info->name, plain,
                     rmse_cases[c].bound, weighted, rmse_cases[c].weighted);
        if (info->is_quantized && !(weighted < 0.97 * unaware))
            fail_msg("%s: weights help too little: %.5f, without %.5f", info->name, weighted,
                     unaware);
    }
    free(d);
}

/* Weights so small that a block's scale, a fraction of them, would vanish in float16: our encoders
 * take the smallest scale there is and larger integers, and lose no more than this. */
static const struct {
    enum dtype type;
    double bound;
} small_cases[] = {{DT_Q2_K, 0.265}, {DT_Q3_K, 0.147}, {DT_Q4_K, 0.072},
                   {DT_Q5_K, 0.037}, {DT_Q6_K, 0.020}, {DT_IQ4_XS, 0.083}};

static void test_small_weights_survive(void **state)
{
    (void)state;
    struct bench_data *d = data_new(data_normal);
    for (int64_t i = 0; i < N; i++) d->x[i] *= 1e-3f;
    for (size_t c = 0; c < ARRAY_LEN(small_cases); c++) {
        const struct dtype_info *info = dtype_info(small_cases[c].type);
        info->encode(d->bytes, d->x, N, NULL);
        info->decode(d->y, d->bytes, N);
        const double error = relative_error(d, NULL);
        if (getenv("QUANT_SHOW")) print_message("small %-7s %.5f\n", info->name, error);
        if (!(error <= small_cases[c].bound))
            fail_msg("%s: error %.5f, bound %.5f", info->name, error, small_cases[c].bound);
    }
    free(d);
}

/* ---- variants ---- */

/* Bits, not values: an encoder's file must not depend on the machine. */
static void test_rounding_has_the_same_bits_in_every_variant(void **state)
{
    (void)state;
    static const struct grid grids[] = {{0, 15, NULL}, {0, 3, NULL}, {-32, 31, NULL}};
    uint64_t seed = 5;
    for (int i = 0; i < 30000; i++) {
        const struct grid *g = &grids[i % 3];
        float x[PART_MAX], w[PART_MAX];
        struct part p;
        int8_t want_q[PART_MAX] = {0}, q[PART_MAX] = {0};
        for (int k = 0; k < PART_MAX; k++) x[k] = (float)normal(&seed);
        for (int k = 0; k < PART_MAX; k++) w[k] = (float)uniform(&seed);
        parts_load(&p, 1, i & 1 ? 16 : 32, x, i & 2 ? w : NULL);
        struct trial t[3];
        struct part_sums want[3], sums[3], again[3];
        for (int k = 0; k < 3; k++)
            t[k] = (struct trial){(float)(20 * normal(&seed)), (float)normal(&seed)};
        part_round_plain(want, &p, t, 3, g, want_q);
        part_round_best()(sums, &p, t, 3, g, q);
        part_round_best()(again, &p, t, 3, g, NULL);
        assert_memory_equal(q, want_q, sizeof q);
        assert_memory_equal(sums, want, sizeof sums);
        assert_memory_equal(again, want, sizeof again);
    }
}

/* ---- hostile blocks ---- */

enum { BLOCK = 512, GAP = 64, CANARY = 0xA5 };

/* Two blocks or more in [GAP, GAP + size) of memory full of canaries, at an odd address. */
static void encode_guarded(const struct dtype_info *info, uint8_t *to, const float *x,
                           const float *w)
{
    static uint8_t memory[BLOCK * 4 + 2 * GAP + 1];
    size_t n_bytes = 0;
    assert_true(dtype_row_bytes(info->id, BLOCK, &n_bytes));
    memset(memory, CANARY, sizeof memory);
    info->encode(memory + GAP + 1, x, BLOCK, w);
    for (size_t i = 0; i <= GAP; i++) assert_int_equal(memory[i], CANARY);
    for (size_t i = GAP + 1 + n_bytes; i < sizeof memory; i++) assert_int_equal(memory[i], CANARY);
    memcpy(to, memory + GAP + 1, n_bytes);
}

static const struct hostile_case {
    const char *what;
    float value; /* element 37 */
    float as_if; /* gives the same bits as this */
} hostile_cases[] = {
    /* clang-format off */
    {"NaN is 0",                NAN,       0.0f},
    {"negative NaN is 0",      -NAN,       0.0f},
    {"infinity is 2^28",        INFINITY,  0x1p28f},
    {"-infinity is -2^28",     -INFINITY, -0x1p28f},
    {"the largest is 2^28",     3.4e38f,   0x1p28f},
    /* clang-format on */
};

static void test_hostile_elements_count_as_stated(void **state)
{
    (void)state;
    static float x[BLOCK], y[BLOCK], w[BLOCK];
    static uint8_t a[BLOCK * 4], b[BLOCK * 4];
    uint64_t seed = 3;
    for (int i = 0; i < BLOCK; i++) x[i] = (float)normal(&seed);
    for (int i = 0; i < BLOCK; i++) w[i] = (float)uniform(&seed);
    for (int t = 0; t < DT_COUNT; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        if (!info->is_quantized) continue;
        for (size_t c = 0; c < ARRAY_LEN(hostile_cases); c++)
            for (int k = 0; k < 2; k++) {
                memset(a, 0, sizeof a);
                memset(b, 0, sizeof b);
                x[37] = hostile_cases[c].value;
                encode_guarded(info, a, x, k ? w : NULL);
                x[37] = hostile_cases[c].as_if;
                encode_guarded(info, b, x, k ? w : NULL);
                if (memcmp(a, b, sizeof a) != 0)
                    fail_msg("%s: %s: other bits", info->name, hostile_cases[c].what);
                info->decode(y, a, BLOCK);
                for (int i = 0; i < BLOCK; i++) assert_true(isfinite(y[i]));
            }
    }
}

/* What a block may hold, and what all of it decodes to at most. */
static const struct block_case {
    const char *what;
    float first, other; /* every 32nd element from the fifth on, and the others */
    float weight_first, weight_other;
    bool is_zero; /* decodes to zeros */
} block_cases[] = {
    /* clang-format off */
    {"zeros",                   0.0f,      0.0f,      1.0f,      1.0f,     true},
    {"negative zeros",         -0.0f,     -0.0f,      1.0f,      1.0f,     true},
    {"subnormal",               1e-40f,   -1e-42f,    1.0f,      1.0f,     true},
    {"far below float16",       1e-20f,    1e-25f,    1.0f,      1.0f,     true},
    {"all NaN",                 NAN,       NAN,       1.0f,      1.0f,     true},
    {"all infinite",           -INFINITY,  INFINITY,  1.0f,      1.0f,     false},
    {"all largest",             3.4e38f,  -3.4e38f,   1.0f,      1.0f,     false},
    {"beyond float16",          3e7f,      -1e6f,     1.0f,      1.0f,     false},
    {"tiny beside huge",        1e30f,     1e-30f,    1.0f,      1.0f,     false},
    {"one value",               0.3f,      0.3f,      1.0f,      1.0f,     false},
    {"all but one zero",        0.3f,      0.0f,      1.0f,      1.0f,     false},
    {"no weight",               0.3f,     -0.2f,      0.0f,      0.0f,     false},
    {"weight on zeros alone",   0.3f,      0.0f,      0.0f,      1.0f,     false},
    {"weight on one alone",     0.3f,     -0.2f,      1.0f,      0.0f,     false},
    {"weights NaN",             0.3f,     -0.2f,      NAN,       NAN,      false},
    {"weights infinite",        0.3f,     -0.2f,      INFINITY,  1.0f,     false},
    {"weights negative",        0.3f,     -0.2f,     -1.0f,      1.0f,     false},
    {"weights largest",         0.3f,     -0.2f,      3.4e38f,   3.4e38f,  false},
    {"weights subnormal",       0.3f,     -0.2f,      1e-40f,    1e-42f,   false},
    /* clang-format on */
};

static void test_hostile_blocks_decode_to_finite_numbers(void **state)
{
    (void)state;
    static float x[BLOCK], y[BLOCK], w[BLOCK];
    static uint8_t bytes[BLOCK * 4];
    for (int t = 0; t < DT_COUNT; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        if (!info->is_quantized) continue;
        for (size_t c = 0; c < ARRAY_LEN(block_cases); c++)
            for (int k = 0; k < 2; k++) {
                const struct block_case *b = &block_cases[c];
                for (int i = 0; i < BLOCK; i++) {
                    x[i] = i % 32 == 5 ? b->first : b->other;
                    w[i] = i % 32 == 5 ? b->weight_first : b->weight_other;
                }
                encode_guarded(info, bytes, x, k ? w : NULL);
                info->decode(y, bytes, BLOCK);
                for (int i = 0; i < BLOCK; i++)
                    if (!isfinite(y[i]) || (b->is_zero && y[i] != 0.0f))
                        fail_msg("%s, %s: element %d is %g", info->name, b->what, i, (double)y[i]);
            }
    }
}

/* A row may be encoded in pieces, and by whom does not matter. */
static void test_blocks_are_independent(void **state)
{
    (void)state;
    struct bench_data *d = data_new(data_heavy);
    static uint8_t whole[BLOCK * 4], piece[BLOCK * 4];
    for (int t = 0; t < DT_COUNT; t++)
        for (int k = 0; k < 2; k++) {
            const struct dtype_info *info = dtype_info((enum dtype)t);
            encode_guarded(info, whole, d->x, k ? d->w : NULL);
            for (int64_t i = 0; i < BLOCK; i += info->block_elems)
                info->encode(piece + i / info->block_elems * info->block_bytes, d->x + i,
                             info->block_elems, k ? d->w + i : NULL);
            assert_memory_equal(whole, piece, BLOCK / info->block_elems * info->block_bytes);
            info->decode(d->y, whole, BLOCK);
            for (int64_t i = 0; i < BLOCK; i += info->block_elems) {
                float y[256];
                info->decode(y, whole + i / info->block_elems * info->block_bytes,
                             info->block_elems);
                assert_memory_equal(y, d->y + i, info->block_elems * sizeof *y);
            }
        }
    free(d);
}

/* ---- tables ---- */

static void test_tables_are_consistent(void **state)
{
    (void)state;
    for (int t = 0; t < DT_COUNT; t++) {
        const struct dtype_info *a = dtype_info((enum dtype)t);
        assert_int_equal(a->id, t);
        assert_true(a->name && a->what && a->decode && a->encode);
        assert_true(a->block_elems >= 1 && a->block_bytes >= 1);
        assert_int_equal(a->is_quantized, a->block_elems > 1);
        assert_ptr_equal(dtype_by_ggml_id(a->ggml_id), a);
        assert_ptr_equal(dtype_by_name(a->name), a);
        assert_ptr_equal(dtype_by_name(ggml_type_name(a->ggml_id)), a); /* upper case */
        assert_string_equal(dtype_nearest_name(a->name), a->name);
        for (int u = 0; u < t; u++) {
            const struct dtype_info *b = dtype_info((enum dtype)u);
            assert_true(a->ggml_id != b->ggml_id && a->file_type != b->file_type);
            assert_true(strcmp(a->name, b->name) != 0 && strcmp(a->what, b->what) != 0);
        }
    }
}

static const struct name_case {
    uint32_t id;
    const char *name;
    bool is_ours;
} name_cases[] = {
    {0, "F32", true},          {4, "Q4_2", false},        {9, "Q8_1", false},
    {15, "Q8_K", false},       {16, "IQ2_XXS", false},    {23, "IQ4_XS", true},
    {24, "I8", false},         {28, "F64", false},        {30, "BF16", true},
    {34, "TQ1_0", false},      {38, "IQ4_NL_8_8", false}, {39, "MXFP4", false},
    {42, "Q2_0", false},       {43, NULL, false},         {133, NULL, false},
    {UINT32_MAX, NULL, false},
};

static void test_names(void **state)
{
    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(name_cases); c++) {
        const char *name = ggml_type_name(name_cases[c].id);
        assert_int_equal(name == NULL, name_cases[c].name == NULL);
        if (name) assert_string_equal(name, name_cases[c].name);
        assert_int_equal(dtype_by_ggml_id(name_cases[c].id) != NULL, name_cases[c].is_ours);
    }
    for (uint32_t id = 0; id <= 42; id++) assert_non_null(ggml_type_name(id));
    assert_null(dtype_by_name(""));
    assert_null(dtype_by_name("q4"));
    assert_null(dtype_by_name("q4_km"));
    assert_string_equal(dtype_nearest_name("Q4K"), "q4_k");
    assert_string_equal(dtype_nearest_name("fp16"), "f16");
    assert_null(dtype_nearest_name("something else"));
}

static const struct bytes_case {
    enum dtype type;
    int64_t n;
    bool is_ok;
    size_t n_bytes;
} bytes_cases[] = {
    /* clang-format off */
    {DT_F32,   0,                  true,  0},
    {DT_F32,   7,                  true,  28},
    {DT_Q4_0,  64,                 true,  36},
    {DT_Q4_0,  33,                 false, 0},
    {DT_Q6_K,  4096,               true,  3360},
    {DT_Q6_K,  128,                false, 0},
    {DT_F32,  -1,                  false, 0},
    {DT_Q4_0, -32,                 false, 0},
    {DT_F32,   INT64_MAX,          false, 0},
    {DT_F32,   INT64_MAX / 2 + 1,  false, 0},
    /* clang-format on */
};

static void test_row_bytes(void **state)
{
    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(bytes_cases); c++) {
        const struct bytes_case *b = &bytes_cases[c];
        size_t n = 12345;
        assert_int_equal(dtype_row_bytes(b->type, b->n, &n), b->is_ok);
        assert_int_equal(n, b->is_ok ? b->n_bytes : 12345);
    }
}

static const struct shape_case {
    enum dtype type;
    int32_t n_dims;
    int64_t shape[TENSOR_MAX_DIMS + 1];
    size_t n_bytes; /* 0: refused, the message has `text` */
    const char *text;
} shape_cases[] = {
    /* clang-format off */
    {DT_F32,  1, {7},                        28,         NULL},
    {DT_Q4_0, 2, {3, 64},                    108,        NULL},
    {DT_BF16, 4, {2, 3, 4, 5},               240,        NULL},
    {DT_BF16, 2, {(int64_t)1 << 24, 1 << 24}, (size_t)1 << 49, NULL},
    {DT_F32,  0, {1},                        0,          "0 dimensions"},
    {DT_F32, -1, {1},                        0,          "-1 dimensions"},
    {DT_F32,  5, {1, 1, 1, 1, 1},            0,          "5 dimensions"},
    {DT_F32,  2, {3, 0},                     0,          "shape 3 x 0"},
    {DT_F32,  2, {-3, 2},                    0,          "shape -3 x 2"},
    {DT_Q4_0, 2, {64, 3},                    0,          "64 x 3: rows of 3 elements"},
    {DT_F32,  2, {(int64_t)1 << 24, (1 << 24) + 1}, 0,   "2^48"},
    {DT_F32,  4, {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}, 0, "2^48"},
    /* clang-format on */
};

static void test_tensor_make_checks_the_shape(void **state)
{
    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(shape_cases); c++) {
        const struct shape_case *s = &shape_cases[c];
        struct err err = {0};
        struct tensor t = {.n_dims = 99};
        if (tensor_make(&t, "blk.0", s->type, s->n_dims, s->shape, golden, &err)) {
            assert_true(s->n_bytes > 0 && tensor_bytes(&t) == s->n_bytes);
            assert_int_equal(t.n_dims, s->n_dims);
            assert_ptr_equal(t.data, golden);
        } else {
            assert_int_equal(s->n_bytes, 0);
            assert_int_equal(err.code, ERR_FORMAT);
            assert_int_equal(t.n_dims, 99);
            if (!strstr(err.text, s->text) || strncmp(err.text, "blk.0: ", 7) != 0)
                fail_msg("\"%s\" does not say \"%s\"", err.text, s->text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_records_have_the_same_bits),
        cmocka_unit_test(test_round_trip_stays_within_max_rel_err),
        cmocka_unit_test(test_error_of_normal_data_is_as_stated),
        cmocka_unit_test(test_small_weights_survive),
        cmocka_unit_test(test_rounding_has_the_same_bits_in_every_variant),
        cmocka_unit_test(test_hostile_elements_count_as_stated),
        cmocka_unit_test(test_hostile_blocks_decode_to_finite_numbers),
        cmocka_unit_test(test_blocks_are_independent),
        cmocka_unit_test(test_tables_are_consistent),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_row_bytes),
        cmocka_unit_test(test_tensor_make_checks_the_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
