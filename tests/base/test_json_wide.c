/* SPDX-License-Identifier: Apache-2.0
 *
 * test_json_wide.c - numbers of any size become doubles, and nothing else becomes JSON.
 */
#include "test.h"

#include <math.h>

#include "base/json.h"
#include "base/json_wide.h"

static const struct wide_case {
    const char *text;
    double f64; /* of what it becomes; NAN: it stays as it is */
} wide_cases[] = {
    /* clang-format off */
    {"18446744073709551615", NAN}, {"18446744073709551616", 0x1p64},
    {"-9223372036854775808", NAN}, {"-9223372036854775809", -0x1p63},
    {"-9999999999999999999", -9999999999999999999.0}, {"99999999999999999999", 1e20},
    {"123456789012345678901234567890", 123456789012345678901234567890.0},
    {"1e308", NAN}, {"1e309", 1e308}, {"-1e309", -1e308}, {"2E+999", 1e308}, {"1.5e400", 1e308},
    {"1e-999", NAN}, {"0.00000000000000000000001", NAN}, {"1234567890.12345678901234567890", NAN},
    {"7", NAN}, {"0", NAN},
    /* no numbers */
    {"018446744073709551616", NAN}, {"+1e309", NAN}, {"1e309e1", NAN}, {"1e309.5", NAN}, {"--1e309", NAN},
    {"1.e3090", NAN}, {".1e999", NAN}, {"1e", NAN}, {"-", NAN}, {"1e+", NAN}, {"99999999999999999999-1", NAN},
    /* clang-format on */
};

static void test_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wide_cases); i++) {
        const struct wide_case *c = &wide_cases[i];
        struct err err = {0};
        char text[100];
        const size_t n = (size_t)snprintf(text, sizeof text, "%s", c->text);
        const bool has_changed = json_narrow(text, n);
        if (has_changed == (bool)isnan(c->f64)) fail_msg("%s became \"%s\"", c->text, text);
        if (!has_changed) {
            assert_string_equal(text, c->text);
            continue;
        }
        double got = 0;
        struct json_doc *d = json_parse(text, n, n, c->text, &err);
        assert_ok(d, &err);
        assert_int_equal(json_type(json_root(d)), JSON_DOUBLE);
        assert_true(json_f64(json_root(d), &got));
        if (!(fabs(got - c->f64) <= fabs(c->f64) * 1e-15)) fail_msg("%s is %g", c->text, got);
        json_free(d);
    }
}

static void test_in_a_text(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"{\"a\\\"1e999\":[1e999 ,\"1e999\\\\\",-99999999999999999999]}",
         "{\"a\\\"1e999\":[1e308 ,\"1e999\\\\\",-999999999999999999e2]}"},
        {"[1e9999,2]", "[1e308 ,2]"},
        {"\"1e999", "\"1e999"},
        {"\"\\", "\"\\"},
        {"1e999", "1e308"},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const size_t n = strlen(texts[i][0]);
        char *text = malloc(n); /* no NUL behind it: a read past it shows */
        memcpy(text, texts[i][0], n);
        assert_int_equal(json_narrow(text, n), strcmp(texts[i][0], texts[i][1]) != 0);
        assert_memory_equal(text, texts[i][1], n);
        free(text);
    }
    /* ten thousand digits */
    char *text = malloc(10000);
    memset(text, '9', 10000);
    assert_true(json_narrow(text, 10000));
    assert_memory_equal(text, "1e308  ", 7);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_in_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
