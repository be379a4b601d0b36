/* SPDX-License-Identifier: Apache-2.0
 *
 * test_args.c - the command line by a table of lines: what is read, and which words are refused
 * how.
 */
#include "test.h"

#include "cli/command.h"

static const char *const *colours(void)
{
    static const char *const names[] = {"red", "green", NULL};
    return names;
}

static const struct option own[] = {
    /* clang-format off */
    {"count",  'n', "N",    OPT_INT,   -1, 10, "3",   NULL,    false, "a whole number"},
    {"share",  0,   "P",    OPT_FLOAT, 0,  1,  "0.5", NULL,    false, "a number"},
    {"colour", 'c', "NAME", OPT_NAME,  0,  0,  "red", colours, false, "a name"},
    {"stop",   0,   "TEXT", OPT_STR,   0,  0,  NULL,  NULL,    true,  "a text, many times"},
    {"file",   'f', "FILE", OPT_FILE,  0,  0,  NULL,  NULL,    false, "a path"},
    {"json",   'j', NULL,   OPT_FLAG,  0,  0,  NULL,  NULL,    false, "a flag"},
    {"raw",    'r', NULL,   OPT_FLAG,  0,  0,  NULL,  NULL,    false, "another flag"},
    {0},
    /* clang-format on */
};
static const struct option shared[] = {
    {"model", 'm', "MODEL", OPT_FILE, 0, 0, NULL, NULL, false, "of a group"},
    {0},
};
static const struct option_group group = {"Model", shared};
static const struct option_group *const groups[] = {&group, NULL};
static const struct command probe = {
    .name = "probe",
    .what = "a command for tests",
    .operands = "IN [OUT]",
    .min_operands = 1,
    .max_operands = 2,
    .options = own,
    .groups = groups,
};

enum { MAX_WORDS = 8 };

static const struct good_case {
    const char *what;
    const char *word[MAX_WORDS];
    int count;
    double share;
    const char *colour, *model, *first;
    int n_stops, n_operands;
    bool is_json, is_raw;
} good_cases[] = {
    /* clang-format off */
    /* what                    words                                     n  share  colour   model  first   stops ops json   raw */
    {"defaults",               {"in"},                                   3, 0.5,   "red",   NULL,  "in",   0, 1, false, false},
    {"long with a space",      {"--count", "7", "in"},                   7, 0.5,   "red",   NULL,  "in",   0, 1, false, false},
    {"long with =",            {"--count=-1", "in"},                    -1, 0.5,   "red",   NULL,  "in",   0, 1, false, false},
    {"a negative value",       {"-n", "-1", "in"},                      -1, 0.5,   "red",   NULL,  "in",   0, 1, false, false},
    {"short, joined",          {"-n9", "in"},                            9, 0.5,   "red",   NULL,  "in",   0, 1, false, false},
    {"bundled flags",          {"-jr", "in"},                            3, 0.5,   "red",   NULL,  "in",   0, 1, true,  true},
    {"flags and a value",      {"-jn2", "in"},                           2, 0.5,   "red",   NULL,  "in",   0, 1, true,  false},
    {"the last one counts",    {"-n1", "-n2", "in"},                     2, 0.5,   "red",   NULL,  "in",   0, 1, false, false},
    {"repeated",               {"--stop", "a", "--stop=b", "in"},        3, 0.5,   "red",   NULL,  "in",   2, 1, false, false},
    {"of a group",             {"-m", "x.gguf", "in", "out"},            3, 0.5,   "red",   "x.gguf", "in", 0, 2, false, false},
    {"-- ends options",        {"--", "--json"},                         3, 0.5,   "red",   NULL,  "--json", 0, 1, false, false},
    {"a dash is an operand",   {"-"},                                    3, 0.5,   "red",   NULL,  "-",    0, 1, false, false},
    {"options after operands", {"in", "--share", "1e-3", "-c", "green"}, 3, 0.001, "green", NULL,  "in",   0, 1, false, false},
    {"an empty text",          {"--stop", "", "in"},                     3, 0.5,   "red",   NULL,  "in",   1, 1, false, false},
    /* clang-format on */
};

static const struct bad_case {
    const char *word[MAX_WORDS];
    const char *names; /* parts of the message, "|" between them */
} bad_cases[] = {
    /* clang-format off */
    {{"--cuont", "1", "in"},        "--cuont|did you mean --count"},
    {{"--zzzzzzzzzzzzzz", "in"},    "--zzzzzzzzzzzzzz|cria probe --help"},
    {{"-z", "in"},                  "-z|--help"},
    {{"--count", "x", "in"},        "--count|\"x\"|whole number|-1|10"},
    {{"--count", "1.5", "in"},      "\"1.5\"|whole"},
    {{"--count", "11", "in"},       "11|out of range|10"},
    {{"--count", "-2", "in"},       "-2|out of range"},
    {{"--count", "99999999999999999999", "in"}, "not a whole number"},
    {{"--count", "", "in"},         "--count"},
    {{"--share", "nan", "in"},      "--share|\"nan\""},
    {{"--share", "1.01", "in"},     "1.01|out of range"},
    {{"--colour", "blue", "in"},    "--colour|\"blue\"|red, green"},
    {{"--file=", "in"},             "--file|empty"},
    {{"--json=1", "in"},            "--json|no value"},
    {{"in", "--count"},             "--count|wants a value|N"},
    {{"in", "-n"},                  "-n|wants a value"},
    {{NULL},                        "too few|IN [OUT]"},
    {{"a", "b", "c"},               "\"c\"|IN [OUT]"},
    /* clang-format on */
};

static struct args *parse(const char *const word[MAX_WORDS], struct err *err)
{
    char *argv[MAX_WORDS + 1] = {0};
    int n = 0;
    for (; n < MAX_WORDS && word[n]; n++) argv[n] = (char *)(uintptr_t)word[n];
    return args_parse(&probe, n, argv, err);
}

static void test_lines_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good_cases); i++) {
        const struct good_case *c = &good_cases[i];
        struct err err = {0};
        print_message("%s\n", c->what);
        struct args *a = parse(c->word, &err);
        assert_ok(a, &err);
        assert_int_equal(args_int(a, "count"), c->count);
        assert_true(args_float(a, "share") == c->share);
        assert_string_equal(args_str(a, "colour"), c->colour);
        if (c->model)
            assert_string_equal(args_str(a, "model"), c->model);
        else
            assert_null(args_str(a, "model"));
        assert_int_equal(args_count(a, "stop"), c->n_stops);
        assert_int_equal(args_n_operands(a), c->n_operands);
        assert_string_equal(args_operand(a, 0), c->first);
        assert_int_equal(args_flag(a, "json"), c->is_json);
        assert_int_equal(args_flag(a, "raw"), c->is_raw);
        args_free(a);
    }
}

static void test_wrong_lines_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
        struct err err = {0};
        struct args *a = parse(bad_cases[i].word, &err);
        print_message("%s\n", err.text);
        assert_null(a);
        assert_int_equal(err.code, ERR_USAGE);
        char parts[200];
        snprintf(parts, sizeof parts, "%s", bad_cases[i].names);
        for (char *p = strtok(parts, "|"); p; p = strtok(NULL, "|"))
            if (!strstr(err.text, p)) fail_msg("\"%s\" does not say \"%s\"", err.text, p);
    }
}

static void test_environment_stands_below_the_line(void **state)
{
    (void)state;
    const char *none[MAX_WORDS] = {"in"}, *given[MAX_WORDS] = {"-n", "5", "in"};
    struct err err = {0};
    setenv("CRIA_COUNT", "8", 1);
    setenv("CRIA_JSON", "1", 1);
    setenv("CRIA_RAW", "0", 1);
    struct args *a = parse(none, &err);
    assert_ok(a, &err);
    assert_int_equal(args_int(a, "count"), 8);
    assert_true(args_flag(a, "json"));
    assert_false(args_flag(a, "raw"));
    args_free(a);
    a = parse(given, &err);
    assert_ok(a, &err);
    assert_int_equal(args_int(a, "count"), 5);
    args_free(a);
    setenv("CRIA_COUNT", "many", 1);
    assert_null(parse(none, &err));
    assert_non_null(strstr(err.text, "environment"));
    unsetenv("CRIA_COUNT");
    unsetenv("CRIA_JSON");
    unsetenv("CRIA_RAW");
}

static void test_help_needs_no_operands(void **state)
{
    (void)state;
    const char *word[MAX_WORDS] = {"--help"};
    struct err err = {0};
    struct args *a = parse(word, &err);
    assert_ok(a, &err);
    args_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_read),
        cmocka_unit_test(test_wrong_lines_are_refused),
        cmocka_unit_test(test_environment_stands_below_the_line),
        cmocka_unit_test(test_help_needs_no_operands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
