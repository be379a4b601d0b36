/* SPDX-License-Identifier: Apache-2.0
 *
 * test_rng.c - the published vectors, the same numbers by any route, and the shape of the laws.
 */
#include "test.h"

#include <math.h>

#include "base/rng.h"

/* Known answers of Philox 4x32-10 from the authors' Random123 distribution (kat_vectors). */
static const struct kat {
    uint32_t counter[4], key[2], want[4];
} kats[] = {
    /* clang-format off */
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    /* clang-format on */
};

static void test_philox_gives_the_published_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kats); i++) {
        uint32_t out[4];
        philox_4x32_10(kats[i].counter, kats[i].key, out);
        assert_memory_equal(out, kats[i].want, sizeof out);
    }
}

/* The n-th number is the same whether drawn in order, from a stored counter, or in pairs. */
static void test_numbers_depend_on_seed_and_counter_alone(void **state)
{
    (void)state;
    struct rng r = rng_seed(0x123456789abcdefull);
    uint32_t seen[64];
    for (int i = 0; i < 64; i++) seen[i] = rng_u32(&r);
    assert_int_equal(r.counter, 64);
    for (uint64_t i = 0; i < 63; i++) {
        struct rng at = {.seed = r.seed, .counter = i};
        assert_int_equal(rng_u64(&at), (uint64_t)seen[i + 1] << 32 | seen[i]);
        assert_int_equal(at.counter, i + 2);
    }
    struct rng other = rng_seed(1);
    assert_int_not_equal(rng_u32(&other), seen[0]);
}

static void test_uniforms_are_in_range_with_the_right_mean(void **state)
{
    (void)state;
    struct rng r = rng_seed(7);
    double sum32 = 0, sum64 = 0;
    const int n = 200000;
    for (int i = 0; i < n; i++) {
        const float f = rng_f32(&r);
        const double d = rng_f64(&r);
        assert_true(f >= 0.0f && f < 1.0f && d >= 0.0 && d < 1.0);
        sum32 += (double)f, sum64 += d;
    }
    const double five_sigma = 5 * sqrt(1.0 / 12 / n);
    assert_true(fabs(sum32 / n - 0.5) < five_sigma);
    assert_true(fabs(sum64 / n - 0.5) < five_sigma);
}

static const uint32_t belows[] = {1, 2, 3, 7, 10, 1000};

/* Chi-square over up to 10 cells of equal expectation. */
static void test_below_is_uniform(void **state)
{
    (void)state;
    struct rng r = rng_seed(11);
    for (size_t c = 0; c < ARRAY_LEN(belows); c++) {
        const uint32_t n = belows[c], n_cells = n < 10 ? n : 10;
        double count[10] = {0}, chi2 = 0;
        const int n_draws = 100000;
        for (int i = 0; i < n_draws; i++) {
            const uint32_t x = rng_below(&r, n);
            assert_true(x < n);
            count[(uint64_t)x * n_cells / n]++;
        }
        const double want = (double)n_draws / n_cells;
        for (uint32_t k = 0; k < n_cells; k++) chi2 += (count[k] - want) * (count[k] - want) / want;
        print_message("n %u: chi2 %.1f, at most 40\n", n, chi2);
        assert_true(chi2 < 40); /* 9 degrees of freedom: p < 1e-5 */
    }
    /* n = 3 * 2^30: unless a quarter of the words is drawn again, multiples of 3 come twice as
     * often */
    double n_thirds = 0;
    for (int i = 0; i < 100000; i++) n_thirds += rng_below(&r, 3u << 30) % 3 == 0;
    assert_true(fabs(n_thirds / 100000 - 1.0 / 3) < 0.008);
}

static void test_normal_has_its_moments(void **state)
{
    (void)state;
    struct rng r = rng_seed(5);
    double m1 = 0, m2 = 0, m4 = 0;
    const int n = 400000;
    for (int i = 0; i < n; i++) {
        const double x = (double)rng_normal(&r);
        assert_true(isfinite(x));
        m1 += x, m2 += x * x, m4 += x * x * x * x;
    }
    print_message("mean %.4f variance %.4f fourth %.4f\n", m1 / n, m2 / n, m4 / n);
    assert_true(fabs(m1 / n) < 5 / sqrt(n));
    assert_true(fabs(m2 / n - 1) < 5 * sqrt(2.0 / n));
    assert_true(fabs(m4 / n - 3) < 5 * sqrt(96.0 / n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_gives_the_published_answers),
        cmocka_unit_test(test_numbers_depend_on_seed_and_counter_alone),
        cmocka_unit_test(test_uniforms_are_in_range_with_the_right_mean),
        cmocka_unit_test(test_below_is_uniform),
        cmocka_unit_test(test_normal_has_its_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
