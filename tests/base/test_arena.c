/* SPDX-License-Identifier: Apache-2.0
 *
 * test_arena.c - blocks are aligned, zeroed, apart, bounded; a repeated step allocates nothing new.
 */
#include "test.h"

#include "base/arena.h"

static void test_blocks_are_aligned_zeroed_and_apart(void **state)
{
    (void)state;
    struct err err = {0};
    struct arena *a = arena_new((size_t)64 << 20, &err);
    unsigned char *block[300];
    for (int step = 0; step < 3; step++) {
        for (size_t i = 0; i < ARRAY_LEN(block); i++) {
            block[i] = arena_array(a, i * 7, 11, &err);
            assert_non_null(block[i]);
            assert_int_equal((uintptr_t)block[i] % 64, 0);
            for (size_t k = 0; k < i * 77; k++) assert_int_equal(block[i][k], 0);
            memset(block[i], (int)i, i * 77);
        }
        for (size_t i = 0; i < ARRAY_LEN(block); i++)
            for (size_t k = 0; k < i * 77; k++) assert_int_equal(block[i][k], i & 255);
        arena_reset(a);
        assert_int_equal(arena_used(a), 0);
    }
    arena_free(a);
}

static void test_ceiling_counts_all_blocks(void **state)
{
    (void)state;
    struct err err = {0};
    struct arena *a = arena_new(640, &err);
    for (int step = 0; step < 2; step++) {
        for (int i = 0; i < 10; i++) assert_non_null(arena_array(a, 1, 1, &err));
        assert_int_equal(arena_used(a), 640);
        assert_null(arena_array(a, 1, 1, &err));
        assert_int_equal(err.code, ERR_MEMORY);
        assert_null(arena_array(a, 0, 1, &err));
        arena_reset(a);
    }
    assert_null(arena_array(a, 641, 1, &err));
    assert_non_null(arena_array(a, 640, 1, &err));
    arena_free(a);
}

static const struct overflow_case {
    size_t n, elem_bytes;
} overflows[] = {
    {SIZE_MAX, 1},      {SIZE_MAX, 2},       {SIZE_MAX / 2 + 1, 2},
    {SIZE_MAX - 63, 1}, {SIZE_MAX - 128, 1}, {1, SIZE_MAX},
};

static void test_sizes_that_overflow_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(overflows); i++) {
        struct err err = {0};
        struct arena *a = arena_new(SIZE_MAX, &err);
        print_message("%zu x %zu\n", overflows[i].n, overflows[i].elem_bytes);
        assert_non_null(arena_array(a, 100, 1, &err));
        assert_null(arena_array(a, overflows[i].n, overflows[i].elem_bytes, &err));
        assert_int_equal(err.code, ERR_MEMORY);
        assert_null(arena_copy(a, "", SIZE_MAX, &err));
        assert_non_null(arena_array(a, 100, 1, &err));
        arena_free(a);
    }
}

static void test_a_repeated_step_gets_the_same_memory(void **state)
{
    (void)state;
    struct err err = {0};
    struct arena *a = arena_new((size_t)64 << 20, &err);
    const void *first[3][20];
    for (int step = 0; step < 3; step++) {
        for (size_t i = 0; i < 20; i++) first[step][i] = arena_array(a, (i + 1) * 30000, 1, &err);
        arena_reset(a);
    }
    for (size_t i = 0; i < 20; i++) assert_ptr_equal(first[1][i], first[2][i]);
    arena_free(a);
}

static void test_copy_ends_in_nul(void **state)
{
    (void)state;
    struct err err = {0};
    struct arena *a = arena_new(1 << 16, &err);
    const char *s = arena_copy(a, "llama\0x", 7, &err);
    assert_memory_equal(s, "llama\0x", 8);
    assert_string_equal(arena_copy(a, NULL, 0, &err), "");
    arena_free(a);
    arena_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_aligned_zeroed_and_apart),
        cmocka_unit_test(test_ceiling_counts_all_blocks),
        cmocka_unit_test(test_sizes_that_overflow_fail),
        cmocka_unit_test(test_a_repeated_step_gets_the_same_memory),
        cmocka_unit_test(test_copy_ends_in_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
