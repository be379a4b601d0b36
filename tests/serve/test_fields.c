/* SPDX-License-Identifier: Apache-2.0
 *
 * test_fields.c - each kind of field takes what it should, names itself when it does not, and a
 * body that could be read two ways is refused.
 */
#include "test.h"

#include "serve/fields.h"

struct filled {
    float x;
    int32_t n;
    int64_t big;
    bool flag;
    const char *s;
    struct json any;
    int other;
};

static bool read_other(void *out, struct json v, const char *name, struct refusal *r)
{
    struct filled *f = out;
    f->other = (int)json_len(v);
    return f->other < 3 || refuse(r, REFUSAL_VALUE, name, "%s: too many", name);
}

static const struct field rows[] = {
    /* clang-format off */
    {"x",     FIELD_FLOAT,   -1, 2,   offsetof(struct filled, x),    NULL},
    {"n",     FIELD_INT,      1, 100, offsetof(struct filled, n),    NULL},
    {"big",   FIELD_INT64,    0, 0,   offsetof(struct filled, big),  NULL},
    {"flag",  FIELD_BOOL,     0, 0,   offsetof(struct filled, flag), NULL},
    {"s",     FIELD_STR,      0, 5,   offsetof(struct filled, s),    NULL},
    {"any",   FIELD_JSON,     0, 0,   offsetof(struct filled, any),  NULL},
    {"other", FIELD_OTHER,    0, 0,   0,                             read_other},
    {"skip",  FIELD_IGNORED,  0, 0,   0,                             NULL},
    {"tools", FIELD_REFUSED,  0, 0,   0,                             NULL},
    {0},
    /* clang-format on */
};

static const struct field_case {
    const char *body;
    enum refusal_kind kind;
    const char *field;
} cases[] = {
    /* clang-format off */
    {"{\"x\":-1}",                          REFUSAL_NONE,        ""},
    {"{\"x\":2}",                           REFUSAL_NONE,        ""},
    {"{\"x\":2.0001}",                      REFUSAL_VALUE,       "x"},
    {"{\"x\":-1e30}",                       REFUSAL_VALUE,       "x"},
    {"{\"x\":\"1\"}",                       REFUSAL_VALUE,       "x"},
    {"{\"x\":true}",                        REFUSAL_VALUE,       "x"},
    {"{\"x\":null}",                        REFUSAL_NONE,        ""},
    {"{\"n\":1}",                           REFUSAL_NONE,        ""},
    {"{\"n\":7.0}",                         REFUSAL_NONE,        ""},
    {"{\"n\":7.5}",                         REFUSAL_VALUE,       "n"},
    {"{\"n\":0}",                           REFUSAL_VALUE,       "n"},
    {"{\"n\":101}",                         REFUSAL_VALUE,       "n"},
    {"{\"n\":4294967297}",                  REFUSAL_VALUE,       "n"},
    {"{\"n\":18446744073709551615}",        REFUSAL_VALUE,       "n"},
    {"{\"big\":-9223372036854775808}",      REFUSAL_NONE,        ""},
    {"{\"big\":9223372036854775808}",       REFUSAL_VALUE,       "big"},
    {"{\"big\":1.0}",                       REFUSAL_VALUE,       "big"},
    {"{\"flag\":false}",                    REFUSAL_NONE,        ""},
    {"{\"flag\":0}",                        REFUSAL_VALUE,       "flag"},
    {"{\"s\":\"12345\"}",                   REFUSAL_NONE,        ""},
    {"{\"s\":\"123456\"}",                  REFUSAL_VALUE,       "s"},
    {"{\"s\":\"a\\u0000b\"}",               REFUSAL_VALUE,       "s"},
    {"{\"s\":[]}",                          REFUSAL_VALUE,       "s"},
    {"{\"any\":{\"x\":99}}",                REFUSAL_NONE,        ""},
    {"{\"other\":[1,2]}",                   REFUSAL_NONE,        ""},
    {"{\"other\":[1,2,3]}",                 REFUSAL_VALUE,       "other"},
    {"{\"skip\":{\"x\":99}}",               REFUSAL_NONE,        ""},
    {"{\"tools\":[]}",                      REFUSAL_NONE,        ""},
    {"{\"tools\":\"auto\"}",                REFUSAL_NONE,        ""},
    {"{\"tools\":{\"type\":\"text\"}}",     REFUSAL_NONE,        ""},
    {"{\"tools\":{\"type\":\"json\"}}",     REFUSAL_UNSUPPORTED, "tools"},
    {"{\"tools\":[1]}",                     REFUSAL_UNSUPPORTED, "tools"},
    {"{\"tools\":1}",                       REFUSAL_UNSUPPORTED, "tools"},
    {"{\"x\\u0000y\":99}",                  REFUSAL_NONE,        ""}, /* not x */
    {"",                                    REFUSAL_JSON,        ""},
    {"{",                                   REFUSAL_JSON,        ""},
    {"[]",                                  REFUSAL_JSON,        ""},
    {"{} {}",                               REFUSAL_JSON,        ""},
    {"{\"x\":1,\"x\":1}",                   REFUSAL_JSON,        ""},
    {"{\"x\":1,\"\\u0078\":1}",             REFUSAL_JSON,        ""},
    {"{\"any\":[[{\"a\":1,\"a\":1}]]}",     REFUSAL_JSON,        ""},
    {"{\"x\":1e999}",                       REFUSAL_VALUE,        "x"},
    /* clang-format on */
};

static enum refusal_kind read_body(const char *body, size_t n, struct filled *f, struct refusal *r)
{
    struct unknown_fields unknown = {0};
    struct json_doc *d = body_parse(body, n, 1 << 20, r);
    const bool ok = d && fields_read(rows, json_root(d), f, &unknown, r);
    json_free(d);
    assert_int_equal(ok, r->kind == REFUSAL_NONE);
    return r->kind;
}

static void test_each_kind_has_its_range(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct refusal r = {0};
        struct filled f = {0};
        if (read_body(cases[i].body, strlen(cases[i].body), &f, &r) != cases[i].kind ||
            strcmp(r.field, cases[i].field) != 0)
            fail_msg("%s: kind %d, field \"%s\": %s", cases[i].body, (int)r.kind, r.field, r.text);
    }
}

static void test_values_arrive(void **state)
{
    static const char body[] =
        "{\"x\":0.5,\"n\":42,\"big\":-7,\"flag\":true,\"s\":\"abc\",\"other\":[1]}";
    struct refusal r = {0};
    struct filled f = {0};
    struct unknown_fields unknown = {0};
    (void)state;
    struct json_doc *d = body_parse(body, strlen(body), 1 << 20, &r);
    assert_non_null(d);
    assert_true(fields_read(rows, json_root(d), &f, &unknown, &r));
    assert_true(f.x == 0.5f && f.n == 42 && f.big == -7 && f.flag && f.other == 1);
    assert_string_equal(f.s, "abc");
    json_free(d);
}

/* Numbers of any size: a field that is not known may have one, a known one says its range. */
static void test_numbers_of_any_size(void **state)
{
    static const struct {
        const char *body, *field;
        enum refusal_kind kind;
    } bodies[] = {
        {"{\"any\":123456789012345678901234567890,\"n\":2}", "", REFUSAL_NONE},
        {"{\"any\":[{\"x\":-1e999}]}", "", REFUSAL_NONE},
        {"{\"n\":18446744073709551616}", "n", REFUSAL_VALUE},
        {"{\"big\":18446744073709551616}", "big", REFUSAL_VALUE},
        {"{\"x\":1e999}", "x", REFUSAL_VALUE},
        {"{\"any\":1e999,}", "", REFUSAL_JSON},
        {"{\"any\":01}", "", REFUSAL_JSON},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct refusal r = {0};
        struct filled f = {0};
        if (read_body(bodies[i].body, strlen(bodies[i].body), &f, &r) != bodies[i].kind ||
            strcmp(r.field, bodies[i].field) != 0)
            fail_msg("%s: kind %d, field \"%s\": %s", bodies[i].body, (int)r.kind, r.field, r.text);
    }
}

static void test_unknown_names_are_safe_in_a_log(void **state)
{
    struct refusal r = {0};
    struct filled f = {0};
    struct unknown_fields unknown = {0};
    char body[4000] = "{\"a b\\n\\\"c\":1,\"plain_1\":2", more[40];
    (void)state;
    for (int i = 0; i < 80; i++) {
        snprintf(more, sizeof more, ",\"long_name_%d\":0", i);
        strcat(body, more);
    }
    strcat(body, "}");
    struct json_doc *d = body_parse(body, strlen(body), 1 << 20, &r);
    assert_non_null(d);
    assert_true(fields_read(rows, json_root(d), &f, &unknown, &r));
    json_free(d);
    assert_int_equal(unknown.n, 82);
    assert_memory_equal(unknown.names, "a?b??c,plain_1,long_name_0,", 27);
    assert_true(strlen(unknown.names) < sizeof unknown.names);
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    for (int depth = 60; depth < 70; depth++) {
        struct refusal r = {0};
        struct filled f = {0};
        char body[400] = "{\"any\":";
        for (int i = 1; i < depth; i++) strcat(body, "[");
        for (int i = 1; i < depth; i++) strcat(body, "]");
        strcat(body, "}");
        assert_int_equal(read_body(body, strlen(body), &f, &r) == REFUSAL_NONE, depth <= 64);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind_has_its_range),
        cmocka_unit_test(test_values_arrive),
        cmocka_unit_test(test_numbers_of_any_size),
        cmocka_unit_test(test_unknown_names_are_safe_in_a_log),
        cmocka_unit_test(test_depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
