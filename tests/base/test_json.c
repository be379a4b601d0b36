/* SPDX-License-Identifier: Apache-2.0
 *
 * test_json.c - strictness row by row, values of every type, walks and look-ups.
 */
#include "test.h"

#include <math.h>

#include "base/json.h"
#include "base/os.h"

static struct json_doc *parse(const char *text)
{
    struct err err = {0};
    struct json_doc *d = json_parse(text, strlen(text), SIZE_MAX, "test", &err);
    assert_ok(d, &err);
    return d;
}

static const struct strict_case {
    const char *what, *text;
    bool is_json;
} strict_cases[] = {
    /* clang-format off */
    /* what                          text                         is_json */
    {"empty object",                 "{}",                        true},
    {"white space around",           " \t\r\n[1] \n",             true},
    {"a lone number",                "1",                         true},
    {"a lone string",                "\"a\"",                     true},
    {"surrogate pair",               "\"\\ud83e\\udd99\"",        true},
    {"2^63 - 1",                     "9223372036854775807",       true},
    {"2^64 - 1",                     "18446744073709551615",      true},
    {"the largest double",           "1.7976931348623157e308",    true},
    {"duplicate keys",               "{\"a\":1,\"a\":2}",         true},
    {"empty",                        "",                          false},
    {"only white space",             "  \n",                      false},
    {"trailing text",                "{} x",                      false},
    {"two values",                   "1 2",                       false},
    {"trailing comma",               "[1,]",                      false},
    {"missing comma",                "[1 2]",                     false},
    {"missing colon",                "{\"a\" 1}",                 false},
    {"key without quotes",           "{a:1}",                     false},
    {"unclosed",                     "[[1]",                      false},
    {"wrong bracket",                "[1}",                       false},
    {"leading zero",                 "01",                        false},
    {"plus",                         "+1",                        false},
    {"no digits behind the point",   "1.",                        false},
    {"no digits before the point",   ".5",                        false},
    {"hexadecimal",                  "0x10",                      false},
    {"NaN",                          "NaN",                       false},
    {"overflowing double",           "1e999",                     false},
    {"2^64",                         "18446744073709551616",      false},
    {"-2^63 - 1",                    "-9223372036854775809",      false},
    {"wrong word",                   "[tru]",                     false},
    {"single quotes",                "['a']",                     false},
    {"comment",                      "[1] // x",                  false},
    {"newline in a string",          "\"a\nb\"",                  false},
    {"unclosed string",              "\"abc",                     false},
    {"unknown escape",               "\"\\x41\"",                 false},
    {"lone high surrogate",          "\"\\ud83e\"",               false},
    {"lone low surrogate",           "\"\\udd99\"",               false},
    {"high and not low",             "\"\\ud83e\\u0041\"",        false},
    {"bad UTF-8 byte",               "\"\xFF\"",                  false},
    {"cut UTF-8",                    "\"\xE2\x82\"",              false},
    {"overlong UTF-8",               "\"\xC0\x80\"",              false},
    {"surrogate in UTF-8",           "\"\xED\xA0\x80\"",          false},
    {"byte order mark",              "\xEF\xBB\xBF{}",            false},
    /* clang-format on */
};

/* Each text lies at the very end of its memory, so that a read past it shows (ASan). */
static void test_strictness(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(strict_cases); i++) {
        const struct strict_case *c = &strict_cases[i];
        struct err err = {0};
        const size_t n = strlen(c->text);
        char *text = malloc(n + (n == 0));
        memcpy(text, c->text, n);
        struct json_doc *d = json_parse(text, n, n, "config.json", &err);
        free(text);
        if ((d != NULL) != c->is_json) fail_msg("%s: %s", c->what, err.text);
        assert_int_equal(err.code, c->is_json ? ERR_OK : ERR_FORMAT);
        if (!d) assert_memory_equal(err.text, "config.json: ", 13);
        json_free(d);
    }
}

static void test_nul_inside_is_refused_outside_strings(void **state)
{
    (void)state;
    struct err err = {0};
    assert_null(json_parse("1\0", 2, 10, "t", &err));
    assert_null(json_parse("\"a\0b\"", 5, 10, "t", &err));
    assert_null(json_parse("{}", 2, 1, "t", &err));
    assert_int_equal(err.code, ERR_LIMIT);
}

static void test_depth_ends_at_512(void **state)
{
    (void)state;
    static const struct {
        size_t depth;
        bool is_ok;
    } cases[] = {{1, true},    {500, true},   {511, true},
                 {513, false}, {1024, false}, {1000000, false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const size_t n = cases[i].depth;
        struct err err = {0};
        char *text = malloc(2 * n);
        memset(text, '[', n);
        memset(text + n, ']', n);
        struct json_doc *d = json_parse(text, 2 * n, SIZE_MAX, "t", &err);
        print_message("depth %zu: %s\n", n, err.text);
        assert_int_equal(d != NULL, cases[i].is_ok);
        json_free(d);
        free(text);
    }
}

static const struct type_case {
    const char *text;
    enum json_type type;
    double f64; /* NAN: no number */
} type_cases[] = {
    /* clang-format off */
    {"null", JSON_NULL, NAN}, {"true", JSON_BOOL, NAN}, {"false", JSON_BOOL, NAN},
    {"\"1\"", JSON_STRING, NAN}, {"[]", JSON_ARRAY, NAN}, {"{}", JSON_OBJECT, NAN},
    {"0", JSON_INT, 0}, {"-7", JSON_INT, -7}, {"9223372036854775807", JSON_INT, 0x1p63},
    {"-9223372036854775808", JSON_INT, -0x1p63}, {"9223372036854775808", JSON_UINT, 0x1p63},
    {"18446744073709551615", JSON_UINT, 0x1p64}, {"1.0", JSON_DOUBLE, 1}, {"1e2", JSON_DOUBLE, 100},
    {"5e-324", JSON_DOUBLE, 0x1p-1074}, {"0.1", JSON_DOUBLE, 0.1},
    /* clang-format on */
};

static void test_types_and_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(type_cases); i++) {
        const struct type_case *c = &type_cases[i];
        print_message("%s\n", c->text);
        struct json_doc *d = parse(c->text);
        const struct json v = json_root(d);
        int64_t n = 0;
        double f = 0;
        bool b = false;
        const char *s = NULL;
        assert_int_equal(json_type(v), c->type);
        assert_int_equal(json_i64(v, &n), c->type == JSON_INT);
        assert_int_equal(json_f64(v, &f), !isnan(c->f64));
        if (!isnan(c->f64)) assert_true(f == c->f64);
        assert_int_equal(json_bool(v, &b), c->type == JSON_BOOL);
        if (c->type == JSON_BOOL) assert_int_equal(b, c->text[0] == 't');
        assert_int_equal(json_str(v, &s, NULL), c->type == JSON_STRING);
        json_free(d);
    }
}

static void test_strings_are_unescaped_and_may_hold_nul(void **state)
{
    (void)state;
    const char *s = NULL;
    size_t n = 0;
    struct json_doc *d = parse("[\"\\u0000a\\n\\/\\ud83e\\udd99\", \"\"]");
    assert_true(json_str(json_at(json_root(d), 0), &s, &n));
    assert_int_equal(n, 8);
    assert_memory_equal(s, "\0a\n/\xF0\x9F\xA6\x99", 9);
    assert_true(json_str(json_at(json_root(d), 1), &s, &n));
    assert_int_equal(n, 0);
    json_free(d);
    json_free(NULL);
}

static void test_lookups_chain_through_what_is_not_there(void **state)
{
    (void)state;
    int64_t n = 0;
    struct json_doc *d = parse("{\"a\":{\"b\":[10,[20],{\"c\":30}]},\"a\":1,\"\":2,\"e\":[]}");
    const struct json r = json_root(d), b = json_get(json_get(r, "a"), "b");
    assert_int_equal(json_len(r), 4);
    assert_int_equal(json_len(b), 3);
    assert_int_equal(json_len(json_get(r, "e")), 0);
    assert_true(json_i64(json_get(json_at(b, 2), "c"), &n) && n == 30);
    assert_true(json_i64(json_at(json_at(b, 1), 0), &n) && n == 20);
    assert_true(json_i64(json_get(r, ""), &n) && n == 2);
    const struct json gone = json_at(json_get(json_get(b, "x"), "y"), 3);
    assert_int_equal(json_type(gone), JSON_NONE);
    assert_int_equal(json_type(json_at(b, 3)), JSON_NONE);
    assert_int_equal(json_type(json_at(json_get(r, "e"), 0)), JSON_NONE);
    assert_int_equal(json_len(gone), 0);
    struct json_iter it = json_iter(gone);
    assert_false(json_next(&it, NULL, NULL, NULL));
    it = json_iter(json_at(b, 0));
    assert_false(json_next(&it, NULL, NULL, NULL));
    json_free(d);
}

static void test_walk_visits_each_once_in_order(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "", "bc"};
    static const enum json_type types[] = {JSON_ARRAY, JSON_DOUBLE, JSON_NULL};
    struct json_doc *d = parse("{\"a\":[1,[2,{}],3],\"\":1.5,\"bc\":null}");
    struct json_iter it = json_iter(json_root(d));
    const char *key = NULL;
    size_t n_key = 0, n = 0;
    struct json v;
    while (json_next(&it, &key, &n_key, &v)) {
        assert_true(n < 3);
        assert_int_equal(n_key, strlen(keys[n]));
        assert_string_equal(key, keys[n]);
        assert_int_equal(json_type(v), types[n]);
        n++;
    }
    assert_int_equal(n, 3);
    json_free(d);
}

static void test_duplicates_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *text, *key; /* NULL: none */
    } cases[] = {
        {"{}", NULL},
        {"1", NULL},
        {"[1,1]", NULL},
        {"{\"a\":1}", NULL},
        {"{\"a\":1,\"b\":1}", NULL},
        {"{\"a\":1,\"a\":1}", "a"},
        {"{\"b\":{\"x\":1},\"a\":2,\"\\u0062\":[]}", "b"},
        {"{\"a\":{\"b\":1},\"b\":1}", NULL},
        {"{\"a\":1,\"a\\u0000\":2}", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *key = NULL;
        print_message("%s\n", cases[i].text);
        struct json_doc *d = parse(cases[i].text);
        assert_int_equal(json_has_duplicate(json_root(d), &key), cases[i].key != NULL);
        if (cases[i].key) assert_string_equal(key, cases[i].key);
        assert_int_equal(json_has_duplicate(json_root(d), NULL), cases[i].key != NULL);
        json_free(d);
    }
}

/* 300,000 keys: a walk, or a search for duplicates, that were quadratic would take minutes. */
static void test_big_objects_take_linear_time(void **state)
{
    (void)state;
    const size_t n = 300000;
    char *text = malloc(n * 24 + 2), *at = text;
    for (size_t i = 0; i < n; i++)
        at += sprintf(at, "%c\"k%zu\":[%zu]", i ? ',' : '{', i * 7919 % n, i);
    *at++ = '}';
    struct err err = {0};
    const int64_t begin_ns = clock_ns();
    struct json_doc *d = json_parse(text, (size_t)(at - text), SIZE_MAX, "big", &err);
    assert_ok(d, &err);
    struct json_iter it = json_iter(json_root(d));
    size_t n_seen = 0;
    while (json_next(&it, NULL, NULL, NULL)) n_seen++;
    assert_int_equal(n_seen, n);
    assert_int_equal(json_len(json_root(d)), n);
    assert_false(json_has_duplicate(json_root(d), NULL));
    const double s = (double)(clock_ns() - begin_ns) * 1e-9;
    print_message("%.2f s\n", s);
    assert_true(s < 5);
    json_free(d);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strictness),
        cmocka_unit_test(test_nul_inside_is_refused_outside_strings),
        cmocka_unit_test(test_depth_ends_at_512),
        cmocka_unit_test(test_types_and_numbers),
        cmocka_unit_test(test_strings_are_unescaped_and_may_hold_nul),
        cmocka_unit_test(test_lookups_chain_through_what_is_not_there),
        cmocka_unit_test(test_walk_visits_each_once_in_order),
        cmocka_unit_test(test_duplicates_are_found),
        cmocka_unit_test(test_big_objects_take_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
