/* SPDX-License-Identifier: Apache-2.0
 *
 * test_keys.c - the key file's lines, looking keys up, quotas over time, and reading it again.
 */
#include "test.h"

#include <unistd.h>

#include "serve/keys.h"

#define FOO "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae" /* "foo" */
#define BAR "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9" /* "bar" */
#define S_NS INT64_C(1000000000)

static const struct parse_case {
    const char *text;
    int n; /* -1: refused */
    const char *says;
} parse_cases[] = {
    /* clang-format off */
    {"a " FOO "\n",                            1, NULL},
    {"a " FOO,                                 1, NULL},
    {"# x\n\n  a\t" FOO " 1 2 \r\nb " BAR "\n", 2, NULL},
    {"a 2C26B46B68FFC68FF99B453C1D30413413422D706483BFA0F98A5E886266E7AE", 1, NULL},
    {"",                                      -1, "no key"},
    {"# only words\n",                        -1, "no key"},
    {"a\n",                                   -1, "line 1"},
    {"a " FOO "\nb 12\n",                     -1, "line 2"},
    {"a " FOO "0\n",                          -1, "line 1"},
    {"a " FOO " x\n",                         -1, "line 1"},
    {"a " FOO " -1\n",                        -1, "line 1"},
    {"a " FOO " nan\n",                       -1, "line 1"},
    {"a " FOO " 1 2 -3\nb " BAR " 0 0 1000\n",  2, NULL},
    {"a " FOO " 1 2 3 4\n",                   -1, "line 1"},
    {"a " FOO " 1 2 x\n",                     -1, "line 1"},
    {"a " FOO " 1 2 1.5\n",                   -1, "line 1"},
    {"a " FOO " 1 2 1001\n",                  -1, "line 1"},
    {"a " FOO " 1 2 99999999999999999999\n",  -1, "line 1"},
    {"a\"b " FOO "\n",                        -1, "line 1"},
    {"a " FOO "\na " BAR "\n",                -1, "line 2"},
    /* clang-format on */
};

static struct keys *parse(const char *text)
{
    struct err err = {0};
    struct keys *k = keys_parse(text, strlen(text), "keys", &err);
    assert_ok(k, &err);
    return k;
}

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(parse_cases); i++) {
        const struct parse_case *c = &parse_cases[i];
        struct err err = {0};
        struct keys *k = keys_parse(c->text, strlen(c->text), "keys", &err);
        if ((k ? keys_count(k) : -1) != c->n) fail_msg("%s: %s", c->text, err.text);
        if (!k && !strstr(err.text, c->says)) fail_msg("%s: says %s", c->text, err.text);
        keys_close(k);
    }
}

static void test_look_up(void **state)
{
    (void)state;
    struct keys *k = parse("a " FOO "\nb " BAR "\n");
    assert_int_equal(keys_find(k, "foo", 3), 0);
    assert_int_equal(keys_find(k, "bar", 3), 1);
    assert_int_equal(keys_find(k, "bar ", 4), -1);
    assert_int_equal(keys_find(k, "", 0), -1);
    assert_int_equal(keys_find(k, FOO, strlen(FOO)), -1); /* the hash is no key */
    assert_string_equal(key_name(k, 1), "b");
    assert_int_equal(key_priority(k, 1), 0);
    keys_close(k);
    k = parse("a " FOO " 0 0 -7\n");
    assert_int_equal(key_priority(k, 0), -7);
    keys_close(k);
}

static void test_quotas_fill_again(void **state)
{
    struct refusal r = {0};
    (void)state;
    struct keys *k = parse("a " FOO " 2 0\nb " BAR " 0 60\n");
    const int64_t t = 1000 * S_NS;
    assert_true(key_admit(k, 0, t, &r) && key_admit(k, 0, t, &r));
    assert_false(key_admit(k, 0, t, &r));
    assert_int_equal(r.kind, REFUSAL_QUOTA);
    assert_int_equal(r.retry_s, 30);
    assert_false(key_admit(k, 0, t + 29 * S_NS, &r));
    assert_true(key_admit(k, 0, t + 31 * S_NS, &r));
    /* tokens: known at the end only, so one request may overdraw */
    assert_true(key_admit(k, 1, t, &r));
    key_spend(k, 1, t, 90);
    assert_false(key_admit(k, 1, t, &r));
    assert_int_equal(r.retry_s, 31);
    assert_false(key_admit(k, 1, t + 29 * S_NS, &r));
    assert_true(key_admit(k, 1, t + 31 * S_NS, &r));
    assert_true(key_admit(k, 1, t + 10000 * S_NS, &r));
    key_spend(k, 1, t + 10000 * S_NS, 59); /* never more than a minute's worth is saved */
    assert_true(key_admit(k, 1, t + 10000 * S_NS, &r));
    key_spend(k, 1, t + 10000 * S_NS, 2);
    assert_false(key_admit(k, 1, t + 10000 * S_NS, &r));
    keys_close(k);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_the_file_is_read_again(void **state)
{
    char path[] = "/tmp/cria-keys-XXXXXX";
    struct err err = {0};
    struct refusal r = {0};
    (void)state;
    close(mkstemp(path));
    write_file(path, "a " FOO " 1\n");
    struct keys *k = keys_open(path, &err);
    assert_ok(k, &err);
    assert_true(key_admit(k, 0, S_NS, &r));
    write_file(path, "b " BAR "\na " FOO " 1\n");
    keys_refresh(k);
    assert_int_equal(keys_find(k, "bar", 3), 0);
    assert_false(key_admit(k, 1, S_NS, &r)); /* spent stays spent */
    write_file(path, "half a li");
    keys_refresh(k);
    assert_int_equal(keys_count(k), 2);
    unlink(path);
    keys_refresh(k);
    assert_int_equal(keys_count(k), 2);
    keys_close(k);
    assert_null(keys_open(path, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_look_up),
        cmocka_unit_test(test_quotas_fill_again),
        cmocka_unit_test(test_the_file_is_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
