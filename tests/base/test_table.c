/* SPDX-License-Identifier: Apache-2.0
 *
 * test_table.c - exact look-up, the distance, and which near name is offered.
 */
#include "test.h"

#include "base/table.h"

struct row {
    const char *name;
    int value;
};
static const struct row rows[] = {{"f32", 1}, {"q8_0", 2}, {"q4_k", 3}, {"quantize", 4}, {NULL, 0}};
static const struct row *const ptrs[] = {&rows[0], &rows[1], &rows[2], &rows[3], NULL};

static const struct distance_case {
    const char *a, *b;
    int want;
} distances[] = {
    /* clang-format off */
    {"", "", 0}, {"abc", "abc", 0}, {"", "abc", 3}, {"abc", "", 3},
    {"abc", "abd", 1}, {"abc", "ab", 1}, {"abc", "xabc", 1},
    {"chat", "caht", 1}, {"ab", "ba", 1}, {"kitten", "sitting", 3},
    {"ca", "abc", 3}, /* the restricted form: a swapped pair is not edited again */
    /* clang-format on */
};

static void test_distance(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(distances); i++) {
        print_message("'%s' '%s'\n", distances[i].a, distances[i].b);
        assert_int_equal(str_distance(distances[i].a, distances[i].b), distances[i].want);
        assert_int_equal(str_distance(distances[i].b, distances[i].a), distances[i].want);
    }
}

static void test_distance_of_long_strings_is_capped(void **state)
{
    (void)state;
    char a[300] = {0}, b[300] = {0};
    memset(a, 'a', 299);
    memset(b, 'b', 299);
    assert_int_equal(str_distance(a, a), 0);
    assert_int_equal(str_distance(a, b), 100);
    a[100] = b[100] = 0;
    assert_int_equal(str_distance(a, b), 100);
    assert_int_equal(str_distance(a, ""), 100);
}

static const struct nearest_case {
    const char *name, *exact, *nearest;
} nearest_cases[] = {
    /* clang-format off */
    /* name        exact       nearest    */
    {"q8_0",       "q8_0",     "q8_0"},
    {"Q8_0",       NULL,       "q8_0"},
    {"q4_K",       NULL,       "q4_k"},
    {"qunatise",   NULL,       "quantize"},
    {"quant",      NULL,       NULL},
    {"f",          NULL,       NULL},
    {"f2",         NULL,       "f32"},
    {"",           NULL,       NULL},
    {"zzzz",       NULL,       NULL},
    /* clang-format on */
};

static const char *name_of(const void *row) { return row ? ((const struct row *)row)->name : NULL; }

static void assert_same(const char *got, const char *want)
{
    if (want)
        assert_string_equal(got ? got : "(none)", want);
    else
        assert_null(got);
}

static void test_find_and_nearest(void **state)
{
    (void)state;
    const void *const *p = (const void *const *)ptrs;
    for (size_t i = 0; i < ARRAY_LEN(nearest_cases); i++) {
        const struct nearest_case *c = &nearest_cases[i];
        print_message("'%s'\n", c->name);
        assert_same(name_of(table_find(rows, sizeof rows[0], c->name)), c->exact);
        assert_same(name_of(table_find_ptr(p, c->name)), c->exact);
        assert_same(table_nearest(rows, sizeof rows[0], c->name), c->nearest);
        assert_same(table_nearest_ptr(p, c->name), c->nearest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_distance_of_long_strings_is_capped),
        cmocka_unit_test(test_find_and_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
