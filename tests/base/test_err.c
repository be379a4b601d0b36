/* SPDX-License-Identifier: Apache-2.0
 *
 * test_err.c - one line, never cut inside a character, the front put in front.
 */
#include "test.h"

static const struct set_case {
    const char *what, *text, *want;
} set_cases[] = {
    /* clang-format off */
    /* what                        text                   want                */
    {"plain",                      "a.gguf: x is 3",      "a.gguf: x is 3"},
    {"empty",                      "",                    ""},
    {"newline and escape sequence", "a\nb\x1b[31mc\x7f",  "a b [31mc "},
    {"UTF-8 stays",                "\xC3\xA4",            "\xC3\xA4"},
    /* clang-format on */
};

static void test_set_fills_one_line_and_returns_false(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(set_cases); i++) {
        struct err err = {0};
        print_message("%s\n", set_cases[i].what);
        assert_false(err_set(&err, ERR_FORMAT, "%s", set_cases[i].text));
        assert_int_equal(err.code, ERR_FORMAT);
        assert_string_equal(err.text, set_cases[i].want);
    }
}

/* Whatever the phase of the characters against the end, the cut text is whole characters. */
static void test_long_text_is_cut_at_a_whole_character(void **state)
{
    (void)state;
    for (size_t phase = 0; phase < 4; phase++) {
        char text[1024] = {0};
        struct err err = {0};
        memset(text, 'x', phase);
        for (size_t i = phase; i + 4 < sizeof text; i += 4) memcpy(text + i, "\xF0\x9F\xA6\x99", 4);
        err_set(&err, ERR_IO, "%s", text);
        const size_t n = strlen(err.text);
        assert_in_range(n, sizeof err.text - 5, sizeof err.text - 1);
        assert_string_equal(err.text + n - 3, "...");
        assert_int_equal((n - 3 - phase) % 4, 0);
    }
}

static void test_wrap_puts_text_in_front_and_keeps_the_code(void **state)
{
    (void)state;
    struct err err = {0};
    err_set(&err, ERR_LIMIT, "n_heads: 0");
    assert_false(err_wrap(&err, "%s: %s", "config.json", "model"));
    assert_string_equal(err.text, "config.json: model: n_heads: 0");
    assert_int_equal(err.code, ERR_LIMIT);
    for (int i = 0; i < 200; i++) err_wrap(&err, "again");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "again: again: ", 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_fills_one_line_and_returns_false),
        cmocka_unit_test(test_long_text_is_cut_at_a_whole_character),
        cmocka_unit_test(test_wrap_puts_text_in_front_and_keeps_the_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
