/* SPDX-License-Identifier: Apache-2.0
 *
 * test_os.c - the machine's facts are possible and agree with each other.
 */
#include "test.h"

#include <sched.h>

#include "base/os.h"

static void test_clock_goes_forward(void **state)
{
    (void)state;
    int64_t last = clock_ns();
    for (int i = 0; i < 10000; i++) {
        const int64_t now = clock_ns();
        assert_true(now >= last);
        last = now;
    }
}

static void test_cores_are_at_most_the_threads(void **state)
{
    (void)state;
    print_message("%d cores, %d threads\n", os_cores(), os_threads());
    assert_in_range(os_cores(), 1, os_threads());
    assert_in_range(os_threads(), 1, 8192);
}

/* Bound to one CPU, the process has one thread and one core. */
static void test_affinity_is_respected(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    const int n_threads = os_threads(), n_cores = os_cores();
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(n_threads, 1);
    assert_int_equal(n_cores, 1);
}

static void test_memory_is_possible(void **state)
{
    (void)state;
    print_message("%.1f of %.1f GiB free\n", (double)os_memory_available() / 0x1p30,
                  (double)os_memory_total() / 0x1p30);
    assert_true(os_memory_total() >= (uint64_t)16 << 20);
    assert_true(os_memory_available() > 0);
    assert_true(os_memory_available() <= os_memory_total());
}

static const size_t big_sizes[] = {
    0, 1, 4096, 100000, (2u << 20) - 1, 2u << 20, (5u << 20) + 3, 64u << 20};

static void test_big_blocks_are_zeroed_and_aligned(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(big_sizes); i++) {
        const size_t n = big_sizes[i];
        unsigned char *p = os_big_alloc(n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % (n >= (2u << 20) ? 2u << 20 : 4096), 0);
        for (size_t k = 0; k < n; k += 1000) assert_int_equal(p[k], 0);
        if (n) p[0] = p[n - 1] = 1;
        os_big_free(p, n);
    }
    assert_null(os_big_alloc(SIZE_MAX));
    assert_null(os_big_alloc(SIZE_MAX / 2));
    os_big_free(NULL, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_goes_forward),
        cmocka_unit_test(test_cores_are_at_most_the_threads),
        cmocka_unit_test(test_affinity_is_respected),
        cmocka_unit_test(test_memory_is_possible),
        cmocka_unit_test(test_big_blocks_are_zeroed_and_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
