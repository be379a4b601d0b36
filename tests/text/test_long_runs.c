/* SPDX-License-Identifier: Apache-2.0
 *
 * test_long_runs.c - time grows linearly for texts made to be slow: a run of one character of 1, 2
 * and 4 MB is one piece for the pre-tokenizer, and merging it must be n log n at worst.
 */
#include "base/os.h"
#include "test.h"
#include "text/tokenizer.h"
#include "vocab_reader.h"

#define MB ((size_t)1000000)
#define MAX_RATIO 9.0 /* of 4 MB to 1 MB: 4 if linear, 16 if quadratic */

static const struct run_case {
    const char *what;
    const char *unit;
    unsigned flags;
} run_cases[] = {
    /* clang-format off */
    {"letters a",       "a", 0},
    {"letters ab",      "ab", 0},
    {"spaces",          " ", 0},
    {"newlines",        "\n", 0},
    {"space newline",   " \n", 0},
    {"emoji",           "\U0001F600", 0},
    {"combining marks", "\u0301", 0},
    {"digits",          "7", 0},
    {"ideographs",      "語", 0},
    {"apostrophes",     "'", 0},
    {"bad bytes",       "\xFF", 0},
    {"half specials",   "<|eot_id|", ENCODE_SPECIAL},
    {"specials",        "<|eot_id|>", ENCODE_SPECIAL},
    /* clang-format on */
};

static double seconds_for(const struct tokenizer *t, const struct run_case *c, size_t n_bytes)
{
    struct err err = {0};
    struct ids ids = {0};
    char *text = malloc(n_bytes);
    assert_non_null(text);
    const size_t n_unit = strlen(c->unit);
    for (size_t i = 0; i < n_bytes; i++) text[i] = c->unit[i % n_unit];
    const int64_t begin = clock_ns();
    assert_ok(tokenizer_encode(t, text, n_bytes, c->flags, &ids, &err), &err);
    const double s = (double)(clock_ns() - begin) / 1e9;
    free(text);
    ids_release(&ids);
    return s;
}

static void test_time_is_linear(void **state)
{
    (void)state;
    const char *path = data_path("tokenizer/llama3-tokenizer.model");
    skip_without(path, "tokenizer/llama3-tokenizer.model");
    struct err err = {0};
    struct vocab *v = test_vocab_read(path, false, &err);
    assert_ok(v, &err);
    struct tokenizer *t = tokenizer_new(v, path, &err);
    assert_ok(t, &err);
    for (size_t i = 0; i < ARRAY_LEN(run_cases); i++) {
        const double s1 = seconds_for(t, &run_cases[i], MB);
        const double s2 = seconds_for(t, &run_cases[i], 2 * MB);
        const double s4 = seconds_for(t, &run_cases[i], 4 * MB);
        print_message("%-16s 1 MB %6.1f ms, 2 MB %6.1f ms, 4 MB %6.1f ms\n", run_cases[i].what,
                      s1 * 1e3, s2 * 1e3, s4 * 1e3);
        if (s4 > 0.2 && s4 > MAX_RATIO * s1)
            fail_msg("%s: 4 MB took %.1f times as long as 1 MB, want at most %.1f",
                     run_cases[i].what, s4 / s1, MAX_RATIO);
    }
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_time_is_linear)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
