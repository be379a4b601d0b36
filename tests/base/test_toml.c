/* SPDX-License-Identifier: Apache-2.0
 *
 * test_toml.c - the TOML reader takes and refuses what Python's tomllib does, with the same values
 * (tests/golden/base/toml.json, made by tests/oracle/toml.py; CRIA_TOML_CASES names a longer one),
 * says where a mistake is, and stops at its limits.
 */
#include "test.h"

#include <math.h>

#include "base/file.h"
#include "base/json.h"
#include "base/toml.h"

enum { MAX_FILE = 256 << 20 };

/* ---- beside tomllib ---- */

static bool same_text(struct json want, const char *s, size_t n)
{
    const char *w = NULL;
    size_t n_w = 0;
    return json_str(want, &w, &n_w) && n_w == n && memcmp(w, s, n) == 0;
}

static bool same_real(struct json want, double x)
{
    double w = 0;
    const struct json special = json_get(want, "$");
    if (json_type(special) != JSON_STRING)
        return json_type(want) == JSON_DOUBLE && json_f64(want, &w) && w == x;
    return same_text(special, isnan(x) ? "nan" : x > 0 ? "inf" : "-inf", isnan(x) || x > 0 ? 3 : 4);
}

static bool same(struct json want, const struct toml *v)
{
    int64_t i = 0;
    bool is_true = false, ok = true;
    struct json_iter it = json_iter(want);
    struct json w;
    const char *key = NULL;
    size_t n_key = 0;
    const struct toml *c = v->first;
    switch (v->type) {
    case TOML_STRING:
        return same_text(want, v->as.string.s, v->as.string.n);
    case TOML_INT:
        return json_type(want) == JSON_INT && json_i64(want, &i) && i == v->as.integer;
    case TOML_FLOAT:
        return same_real(want, v->as.real);
    case TOML_BOOL:
        return json_bool(want, &is_true) && is_true == v->as.is_true;
    case TOML_ARRAY:
    case TOML_TABLE:
        break;
    }
    const bool is_table = v->type == TOML_TABLE;
    if (json_type(want) != (is_table ? JSON_OBJECT : JSON_ARRAY)) return false;
    for (; ok && json_next(&it, &key, &n_key, &w); c = c->next)
        ok = c && (!is_table || (c->n_key == n_key && memcmp(c->key, key, n_key) == 0)) &&
             same(w, c);
    return ok && !c;
}

/* The text of a case into `text`; some are not UTF-8 and stand as hexadecimal digits. */
static void read_text(struct json c, struct buf *text)
{
    const char *s = NULL;
    size_t n = 0;
    buf_clear(text);
    if (json_str(json_get(c, "toml"), &s, &n)) {
        buf_append(text, s, n);
        return;
    }
    assert_true(json_str(json_get(c, "hex"), &s, &n));
    for (size_t i = 0; i + 1 < n; i += 2) {
        const char pair[3] = {s[i], s[i + 1], '\0'};
        buf_putc(text, (char)strtol(pair, NULL, 16));
    }
}

static void test_as_tomllib(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf file, text;
    const char *path = getenv("CRIA_TOML_CASES");
    buf_init(&file, MAX_FILE);
    buf_init(&text, 1 << 20);
    assert_ok(file_read_all(path ? path : golden_path("base/toml.json"), MAX_FILE, &file, &err),
              &err);
    struct json_doc *d = json_parse(file.data, file.n_bytes, MAX_FILE, "cases", &err);
    assert_ok(d, &err);
    struct json_iter it = json_iter(json_get(json_root(d), "cases"));
    struct json c;
    int n = 0, n_taken = 0, n_wrong = 0;
    while (json_next(&it, NULL, NULL, &c)) {
        struct err why = {0};
        read_text(c, &text);
        struct toml_doc *t = toml_parse(text.n_bytes ? text.data : "", text.n_bytes, "f", &why);
        const struct json want = json_get(c, "want");
        const bool is_right = json_type(want) == JSON_NONE ? !t && why.code == ERR_FORMAT
                                                           : t && same(want, toml_root(t));
        if (!is_right && n_wrong++ < 10)
            print_error("case %d: %s: %s\n", n, t ? "taken" : why.text, text.data);
        n++;
        n_taken += t != NULL;
        toml_free(t);
    }
    print_message("%d texts, %d taken, %d wrong\n", n, n_taken, n_wrong);
    assert_true(n > 500 && n_taken > 100 && n - n_taken > 100);
    assert_int_equal(n_wrong, 0);
    json_free(d);
    buf_release(&file);
    buf_release(&text);
}

/* ---- messages ---- */

static const struct bad_case {
    const char *text, *message;
} bad_cases[] = {
    /* clang-format off */
    {"a = 1\nb = ?",              "f: line 2, column 5: no value; strings are written in quotes"},
    {"port = 8080 x",             "f: line 1, column 13: more after the value; the next key begins a new line"},
    {"\xc3\xa9 = 1",              "f: line 1, column 1: no key; keys are letters, digits, _ and -, or in quotes"},
    {"a = '\xe6\x97\xa5' x",      "f: line 1, column 9: more after the value; the next key begins a new line"},
    {"a = 1\n\na = 2",            "f: line 3, column 1: \"a\" stands in line 1 already, as an integer"},
    {"[a]\n[b]\n[a]",             "f: line 3, column 2: \"a\" stands in line 1 already, as a table"},
    {"a = 'x",                    "f: line 1, column 5: a string without its closing '"},
    {"a = \"\"\"\nx\n",           "f: line 1, column 5: a string without its closing three \""},
    {"a = [1,\n2",                "f: line 1, column 5: an array without its ]"},
    {"a = [1\n2]",                "f: line 2, column 1: neither , nor ] after an element"},
    {"a = \"\\q\"",               "f: line 1, column 6: an unknown escape; write \\\\ for a backslash, or use '...'"},
    {"a = 2024-01-01",            "f: line 1, column 5: date-times are not read here; write a string"},
    {"a = 99999999999999999999",  "f: line 1, column 5: an integer beyond 64 bits"},
    {"a = 1\n\xff",               "f: line 2, column 1: the bytes are not UTF-8"},
    {"a = '\a'",                  "f: line 1, column 6: the control character 0x07; write \\u0007 in a string"},
    {"a 1",                       "f: line 1, column 3: no = after the key \"a\""},
    {"[a\nb = 1",                 "f: line 1, column 3: no ] after the name of a table"},
    /* clang-format on */
};

static void test_mistakes_have_a_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
        struct err err = {0};
        assert_null(toml_parse(bad_cases[i].text, strlen(bad_cases[i].text), "f", &err));
        assert_string_equal(err.text, bad_cases[i].message);
        assert_int_equal(err.code, ERR_FORMAT);
    }
}

static void test_values_have_a_place(void **state)
{
    (void)state;
    static const char text[] = "# c\n[a]\n  b.'c' = [1,\n 2]\n";
    struct err err = {0};
    struct toml_doc *d = toml_parse(text, strlen(text), "f", &err);
    assert_ok(d, &err);
    const struct toml *c = toml_get(toml_get(toml_get(toml_root(d), "a"), "b"), "c");
    assert_non_null(c);
    assert_int_equal(c->line, 3);
    assert_int_equal(c->column, 5);
    assert_int_equal(c->first->next->line, 4);
    assert_int_equal(c->first->next->column, 2);
    assert_null(toml_get(toml_root(d), "nothing"));
    err_set(&err, ERR_USAGE, "it is %s", toml_type_name(c->type));
    assert_false(toml_wrap(d, c, &err));
    assert_string_equal(err.text, "f: line 3, column 5: it is an array");
    toml_free(d);
}

/* ---- limits ---- */

static const struct limit_case {
    const char *what, *head, *again, *tail;
    int n_good, n_bad; /* so many of `again` are taken, so many are not */
} limit_cases[] = {
    /* clang-format off */
    {"arrays in arrays",     "a = ",   "[",     NULL,  0,                  TOML_MAX_DEPTH},
    {"tables in tables",     "a = ",   "{a=",   NULL,  0,                  100000},
    {"dots",                 "a",      ".a",    "=1",  TOML_MAX_DEPTH - 1, TOML_MAX_DEPTH},
    {"heads with dots",      "[a",     ".a",    "]",   TOML_MAX_DEPTH - 1, 300000},
    {"a head, then dots",    "[a.a.a.a]\na", ".a", "=1", TOML_MAX_DEPTH - 5, TOML_MAX_DEPTH - 4},
    {"elements",             "a = [",  "1,",    "]",   TOML_MAX_VALUES - 1, TOML_MAX_VALUES},
    {"tables",               "",       "[[a]]\n", "",  TOML_MAX_VALUES - 1, TOML_MAX_VALUES},
    {"bytes",                "#",      "x",     "",    TOML_MAX_BYTES - 1, TOML_MAX_BYTES},
    /* clang-format on */
};

static bool repeat(const struct limit_case *c, int n, struct err *err)
{
    struct buf b;
    buf_init(&b, (size_t)4 << 20);
    buf_puts(&b, c->head);
    for (int i = 0; i < n; i++) buf_puts(&b, c->again);
    if (c->tail) buf_puts(&b, c->tail);
    struct toml_doc *d = toml_parse(b.data, b.n_bytes, "f", err);
    buf_release(&b);
    toml_free(d);
    return d != NULL;
}

static void test_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(limit_cases); i++) {
        const struct limit_case *c = &limit_cases[i];
        struct err err = {0};
        if (c->n_good) assert_ok(repeat(c, c->n_good, &err), &err);
        print_message("%s\n", c->what);
        assert_false(repeat(c, c->n_bad, &err));
        assert_int_equal(err.code, ERR_LIMIT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_tomllib),
        cmocka_unit_test(test_mistakes_have_a_place),
        cmocka_unit_test(test_values_have_a_place),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
