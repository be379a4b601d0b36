/* SPDX-License-Identifier: Apache-2.0
 *
 * test_json_write.c - the text, the shortest numbers, and that our own reader takes all of it.
 */
#include "test.h"

#include <float.h>
#include <math.h>

#include "base/json.h"
#include "base/json_write.h"
#include "base/rng.h"

static void test_commas_and_nesting(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10000);
    struct json_writer w = json_writer(&b);
    json_object(&w);
    json_key(&w, "a\"");
    json_array(&w);
    json_int(&w, INT64_MIN);
    json_uint(&w, UINT64_MAX);
    json_array(&w);
    json_end(&w);
    json_object(&w);
    json_end(&w);
    json_end(&w);
    json_key(&w, "b");
    json_boolean(&w, true);
    json_key(&w, "c");
    json_cstring(&w, NULL);
    json_key(&w, "d");
    json_cstring(&w, "x");
    json_end(&w);
    assert_string_equal(b.data, "{\"a\\\"\":[-9223372036854775808,18446744073709551615,[],{}],"
                                "\"b\":true,\"c\":null,\"d\":\"x\"}");
    buf_release(&b);
}

static void test_a_copy_reads_as_its_source(void **state)
{
    static const char source[] =
        "{\"a\":[1,-2,2.5,1e+300,true,false,null,\"x\\u0000\\n\\u00e9\",[],{}],"
        "\"k\\u0000y\":{\"b\":{}},\"u\":9223372036854775808}";
    struct err err = {0};
    struct buf b;
    (void)state;
    struct json_doc *d = json_parse(source, strlen(source), 1000, "the source", &err);
    buf_init(&b, 10000);
    struct json_writer w = json_writer(&b);
    json_copy(&w, json_root(d));
    assert_string_equal(b.data, "{\"a\":[1,-2,2.5,1e300,true,false,null,\"x\\u0000\\n\xC3\xA9\",[],"
                                "{}],\"k\\u0000y\":{\"b\":{}},\"u\":9223372036854775808}");
    buf_clear(&b);
    w = json_writer(&b);
    json_object(&w);
    json_key_copy(&w, "x", json_get(json_root(d), "none"), "[0]");
    json_key_copy(&w, "y", json_at(json_get(json_root(d), "a"), 1), "[0]");
    json_end(&w);
    assert_string_equal(b.data, "{\"x\":[0],\"y\":-2}");
    buf_release(&b);
    json_free(d);
}

static const struct number_case {
    double v;
    const char *f64, *f32;
} number_cases[] = {
    /* clang-format off */
    /* v              as double                 as float             */
    {0.0,             "0.0",                    "0.0"},
    {-0.0,            "-0.0",                   "-0.0"},
    {1.0,             "1.0",                    "1.0"},
    {-12.5,           "-12.5",                  "-12.5"},
    {0.1,             "0.1",                    "0.1"},
    {1.0 / 3.0,       "0.3333333333333333",     "0.33333334"},
    {100.0,           "100.0",                  "100.0"},
    {1e16,            "10000000000000000.0",    "10000000000000000.0"},
    {1e17,            "1e17",                   "1e17"},
    {123456789.0,     "123456789.0",            "123456790.0"},
    {1e-5,            "0.00001",                "0.00001"},
    {1.5e-6,          "1.5e-6",                 "1.5e-6"},
    {DBL_MAX,         "1.7976931348623157e308", "null"},
    {0x1p-1074,       "5e-324",                 "0.0"},
    {0x1p-149,        "1.401298464324817e-45",  "1e-45"},
    {(double)FLT_MAX, "3.4028234663852886e38",  "3.4028235e38"},
    {INFINITY,        "null",                   "null"},
    {NAN,             "null",                   "null"},
    /* clang-format on */
};

static void test_numbers_are_shortest(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    for (size_t i = 0; i < ARRAY_LEN(number_cases); i++) {
        for (int is_f32 = 0; is_f32 < 2; is_f32++) {
            struct json_writer w = json_writer(&b);
            buf_clear(&b);
            if (is_f32)
                json_float(&w, (float)number_cases[i].v);
            else
                json_double(&w, number_cases[i].v);
            assert_string_equal(b.data, is_f32 ? number_cases[i].f32 : number_cases[i].f64);
        }
    }
    buf_release(&b);
}

/* Random bit patterns read back to the same bits through our own reader. */
static void test_numbers_read_back_the_same(void **state)
{
    (void)state;
    struct rng r = rng_seed(3);
    struct buf b;
    buf_init(&b, 1000);
    for (int i = 0; i < 100000; i++) {
        const uint64_t bits = rng_u64(&r);
        const uint32_t bits32 = rng_u32(&r);
        double v = 0, got = 0, got32 = 0;
        float f = 0;
        memcpy(&v, &bits, sizeof v);
        memcpy(&f, &bits32, sizeof f);
        if (!isfinite(v) || !isfinite(f)) continue;
        struct err err = {0};
        struct json_writer w = json_writer(&b);
        buf_clear(&b);
        json_array(&w);
        json_double(&w, v);
        json_float(&w, f);
        json_end(&w);
        struct json_doc *d = json_parse(b.data, b.n_bytes, 1000, "number", &err);
        assert_ok(d, &err);
        assert_true(json_f64(json_at(json_root(d), 0), &got));
        assert_true(json_f64(json_at(json_root(d), 1), &got32));
        const float f_got = (float)got32;
        if (memcmp(&got, &v, sizeof v) != 0 || memcmp(&f_got, &f, sizeof f) != 0)
            fail_msg("%a %a were written as %s", v, (double)f, b.data);
        json_free(d);
    }
    buf_release(&b);
}

static const struct string_case {
    const char *what, *s, *want;
} string_cases[] = {
    /* clang-format off */
    {"plain",                 "llama",                      "\"llama\""},
    {"empty",                 "",                           "\"\""},
    {"named escapes",         "\"\\\b\f\n\r\t",             "\"\\\"\\\\\\b\\f\\n\\r\\t\""},
    {"control",               "\x01\x1f\x7f",               "\"\\u0001\\u001f\x7f\""},
    {"UTF-8 is kept",         "\xC3\xA4\xF0\x9F\xA6\x99",   "\"\xC3\xA4\xF0\x9F\xA6\x99\""},
    {"the last scalar",       "\xF4\x8F\xBF\xBF",           "\"\xF4\x8F\xBF\xBF\""},
    {"stray byte",            "a\x80z",                     "\"a\xEF\xBF\xBDz\""},
    {"cut at the end",        "a\xE2\x82",                  "\"a\xEF\xBF\xBD\xEF\xBF\xBD\""},
    {"overlong",              "\xC0\x80",                   "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
    {"surrogate",             "\xED\xA0\x80",               "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    {"past U+10FFFF",         "\xF4\x90\x80\x80",           "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    /* clang-format on */
};

static void test_strings(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    for (size_t i = 0; i < ARRAY_LEN(string_cases); i++) {
        print_message("%s\n", string_cases[i].what);
        struct json_writer w = json_writer(&b);
        buf_clear(&b);
        json_cstring(&w, string_cases[i].s);
        assert_string_equal(b.data, string_cases[i].want);
    }
    buf_release(&b);
}

/* Any bytes at all become a string that the strict reader takes. */
static void test_any_bytes_give_valid_json(void **state)
{
    (void)state;
    static const unsigned char likely[] = {0,    0x22, 0x5C, 0x80, 0xBF, 0xC2,
                                           0xE0, 0xED, 0xA0, 0xF0, 0xF4, 0x90};
    struct rng r = rng_seed(9);
    struct buf b;
    buf_init(&b, 10000);
    for (int i = 0; i < 20000; i++) {
        char s[40];
        const size_t n = rng_below(&r, sizeof s + 1);
        for (size_t k = 0; k < n; k++)
            s[k] = (char)(rng_below(&r, 2) ? likely[rng_below(&r, sizeof likely)]
                                           : rng_below(&r, 256));
        struct err err = {0};
        struct json_writer w = json_writer(&b);
        buf_clear(&b);
        json_string(&w, s, n);
        struct json_doc *d = json_parse(b.data, b.n_bytes, 10000, "string", &err);
        assert_ok(d, &err);
        json_free(d);
    }
    buf_release(&b);
}

static void test_depth_to_the_limit(void **state)
{
    (void)state;
    struct buf b;
    struct err err = {0};
    buf_init(&b, 1000);
    struct json_writer w = json_writer(&b);
    for (int i = 0; i < JSON_MAX_DEPTH; i++) json_array(&w);
    for (int i = 0; i < JSON_MAX_DEPTH; i++) json_end(&w);
    assert_true(buf_check(&b, "json", &err));
    assert_int_equal(b.n_bytes, 2 * JSON_MAX_DEPTH);
    buf_release(&b);
}

static void test_keys_with_values(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 10);
    struct json_writer w = json_writer(&b);
    json_object(&w);
    json_key_int(&w, "i", -7);
    json_key_uint(&w, "u", UINT64_MAX);
    json_key_double(&w, "d", 0.1);
    json_key_float(&w, "f", 0.1f);
    json_key_boolean(&w, "b", true);
    json_key_cstring(&w, "s", "x\n");
    json_key_cstring(&w, "none", NULL);
    json_key(&w, "raw");
    json_raw(&w, "[1,2]", 5);
    json_end(&w);
    assert_string_equal(b.data,
                        "{\"i\":-7,\"u\":18446744073709551615,\"d\":0.1,\"f\":0.1,\"b\":true,"
                        "\"s\":\"x\\n\",\"none\":null,\"raw\":[1,2]}");
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_with_values),
        cmocka_unit_test(test_commas_and_nesting),
        cmocka_unit_test(test_a_copy_reads_as_its_source),
        cmocka_unit_test(test_numbers_are_shortest),
        cmocka_unit_test(test_numbers_read_back_the_same),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_any_bytes_give_valid_json),
        cmocka_unit_test(test_depth_to_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
