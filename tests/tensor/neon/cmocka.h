/* cmocka.h - the few words of cmocka that the operator checker uses, for the emulated build: there
 * is no cmocka for the other architecture on a build machine. A failure prints and ends. */
#ifndef CRIA_TESTS_TENSOR_NEON_CMOCKA_H
#define CRIA_TESTS_TENSOR_NEON_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*fn)(void **state);
};
#define cmocka_unit_test(f)                                                                        \
    {                                                                                              \
#f, f                                                                                      \
    }

#define fail_msg(...)                                                                              \
    do {                                                                                           \
        fflush(stdout);                                                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fprintf(stderr, "\n");                                                                     \
        exit(1);                                                                                   \
    } while (0)
#define assert_true(x)                                                                             \
    do {                                                                                           \
        if (!(x)) fail_msg("%s:%d: %s", __FILE__, __LINE__, #x);                                   \
    } while (0)
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_null(p) assert_true((p) == NULL)
#define assert_ptr_equal(a, b) assert_true((a) == (b))
#define assert_int_equal(a, b) assert_true((a) == (b))
#define assert_string_equal(a, b) assert_true(strcmp(a, b) == 0)
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)
#define print_message(...) printf(__VA_ARGS__)
#define skip() exit(77)

#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    run_group(tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

static inline int run_group(const struct CMUnitTest *tests, size_t n, int (*setup)(void **),
                            int (*teardown)(void **))
{
    void *state = NULL;
    printf("1..%zu\n", n);
    if (setup(&state) != 0) return 1;
    for (size_t i = 0; i < n; i++) {
        tests[i].fn(&state);
        printf("ok %zu - neon: %s\n", i + 1, tests[i].name);
        fflush(stdout);
    }
    return teardown(&state);
}

#endif
