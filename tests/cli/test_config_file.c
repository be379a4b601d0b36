/* SPDX-License-Identifier: Apache-2.0
 *
 * test_config_file.c - options from a TOML file: every kind of row, what wins over what, and what
 * is refused with its place.
 */
#include "test.h"

#include <unistd.h>

#include "cli/command.h"

static const char *const *colours(void)
{
    static const char *const names[] = {"red", "green", NULL};
    return names;
}

static const struct option rows[] = {
    /* clang-format off */
    {"config", 0,   "FILE", OPT_FILE,  0,  0,  NULL,  NULL,    false, "the file"},
    {"count",  'n', "N",    OPT_INT,   -1, 10, "3",   NULL,    false, "a whole number"},
    {"share",  0,   "P",    OPT_FLOAT, 0,  1,  "0.5", NULL,    false, "a number"},
    {"colour", 'c', "NAME", OPT_NAME,  0,  0,  "red", colours, false, "a name"},
    {"stop",   0,   "TEXT", OPT_STR,   0,  0,  NULL,  NULL,    true,  "a text, many times"},
    {"raw",    'r', NULL,   OPT_FLAG,  0,  0,  NULL,  NULL,    false, "a flag"},
    {0},
    /* clang-format on */
};
static const struct command probe = {.name = "probe", .what = "for tests", .options = rows};

enum { MAX_WORDS = 6 };
static char path[] = "/tmp/cria-config-XXXXXX";

/* Parses with the file holding `toml`; "@" in a word is its path. */
static struct args *parse(const char *toml, const char *const word[MAX_WORDS], struct err *err)
{
    char *argv[MAX_WORDS + 1] = {0};
    int n = 0;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(toml, f);
    fclose(f);
    for (; n < MAX_WORDS && word[n]; n++)
        argv[n] = strcmp(word[n], "@") == 0 ? path : (char *)(uintptr_t)word[n];
    return args_parse(&probe, n, argv, err);
}

static const struct good_case {
    const char *what, *toml, *variable, *value; /* of the environment */
    const char *word[MAX_WORDS];
    int count;
    double share;
    const char *colour, *stops; /* joined by commas */
    bool is_raw;
} good_cases[] = {
    /* clang-format off */
    {"an empty file",       "",                            NULL, NULL, {"--config", "@"},            3, 0.5,  "red",   "",    false},
    {"each kind",           "count = 0x7\nshare = 0.25\ncolour = 'green'\nstop = ['a', \"b\"]\nraw = true",
                                                           NULL, NULL, {"--config", "@"},            7, 0.25, "green", "a,b", true},
    {"a whole share",       "share = 1",                   NULL, NULL, {"--config=@", "--config", "@"}, 3, 1,  "red",  "",    false},
    {"one of many",         "stop = 'a'",                  NULL, NULL, {"--config", "@"},            3, 0.5,  "red",   "a",   false},
    {"a flag that is not",  "raw = false",                 NULL, NULL, {"--config", "@"},            3, 0.5,  "red",   "",    false},
    {"quoted keys",         "\"count\" = 1 # c",           NULL, NULL, {"--config", "@"},            1, 0.5,  "red",   "",    false},
    {"the line wins",       "count = 7\nstop = ['a', 'b']", NULL, NULL, {"-n2", "--stop=c", "--config", "@"}, 2, 0.5, "red", "c", false},
    {"so does a variable",  "count = 7",                   "CRIA_COUNT", "8", {"--config", "@"},     8, 0.5,  "red",   "",    false},
    {"line over variable",  "count = 7",                   "CRIA_COUNT", "8", {"--config", "@", "-n", "9"}, 9, 0.5, "red", "", false},
    {"a flag switched off", "raw = true",                  "CRIA_RAW",   "0", {"--config", "@"},     3, 0.5,  "red",   "",    false},
    {"by a variable",       "count = 7",                   "CRIA_CONFIG", path, {NULL},              7, 0.5,  "red",   "",    false},
    {"help needs no file",  "?",                           NULL, NULL, {"--config", "@", "--help"},  3, 0.5,  "red",   "",    false},
    /* clang-format on */
};

static void test_values_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good_cases); i++) {
        const struct good_case *c = &good_cases[i];
        struct err err = {0};
        char stops[100] = "";
        print_message("%s\n", c->what);
        if (c->variable) setenv(c->variable, c->value, 1);
        struct args *a = parse(c->toml, c->word, &err);
        if (c->variable) unsetenv(c->variable);
        assert_ok(a, &err);
        assert_int_equal(args_int(a, "count"), c->count);
        assert_true(args_float(a, "share") == c->share);
        assert_string_equal(args_str(a, "colour"), c->colour);
        for (int k = 0; k < args_count(a, "stop"); k++)
            snprintf(stops + strlen(stops), sizeof stops - strlen(stops), "%s%s", k ? "," : "",
                     args_nth(a, "stop", k));
        assert_string_equal(stops, c->stops);
        assert_int_equal(args_flag(a, "raw"), c->is_raw);
        args_free(a);
    }
}

static const struct bad_case {
    const char *toml, *message; /* after "PATH: " */
} bad_cases[] = {
    /* clang-format off */
    {"\ncuont = 1",            "line 2, column 1: unknown key \"cuont\"; did you mean \"count\"?"},
    {"zzzzzzzz = 1",           "line 1, column 1: unknown key \"zzzzzzzz\"; keys are the options that cria probe --help lists"},
    {"[serve]\ncount = 1",     "line 1, column 2: unknown key \"serve\"; keys are the options that cria probe --help lists"},
    {"count = '1'",            "line 1, column 1: count is a string; give an integer"},
    {"count = 1.5",            "line 1, column 1: count is a number; give an integer"},
    {"count = [1]",            "line 1, column 1: count is an array; give an integer"},
    {"count = 11",             "line 1, column 1: --count: 11 is out of range; give a number from -1 to 10"},
    {"share = nan",            "line 1, column 1: --share: \"nan\" is not a number; give one from 0 to 1"},
    {"count.a = 1",            "line 1, column 1: count is a table; give an integer"},
    {"raw = 1",                "line 1, column 1: raw is an integer; give true or false"},
    {"raw = 'true'",           "line 1, column 1: raw is a string; give true or false"},
    {"colour = 'blue'",        "line 1, column 1: --colour: \"blue\" is unknown; choose one of: red, green"},
    {"stop = ['a', 2]",        "line 1, column 1: stop is an integer; give a string, or an array"},
    {"stop = \"a\\u0000b\"",   "line 1, column 1: stop has a zero byte in it; leave it out"},
    {"config = 'x'",           "line 1, column 1: \"config\" is for the command line only"},
    {"help = true",            "line 1, column 1: \"help\" is for the command line only"},
    {"count = 1\ncount = 2",   "line 2, column 1: \"count\" stands in line 1 already, as an integer"},
    {"count 1",                "line 1, column 7: no = after the key \"count\""},
    /* clang-format on */
};

static void test_mistakes_are_refused(void **state)
{
    (void)state;
    static const char *const word[MAX_WORDS] = {"--config", "@"};
    const size_t n_path = strlen(path);
    for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
        struct err err = {0};
        assert_null(parse(bad_cases[i].toml, word, &err));
        assert_memory_equal(err.text, path, n_path);
        assert_string_equal(err.text + n_path + 2, bad_cases[i].message);
    }
}

/* A wrong value is one even if the command line has another. */
static void test_overridden_values_are_checked(void **state)
{
    (void)state;
    static const char *const word[MAX_WORDS] = {"--config", "@", "-n", "1"};
    struct err err = {0};
    assert_null(parse("count = 99", word, &err));
    assert_non_null(strstr(err.text, "99 is out of range"));
}

static void test_missing_file(void **state)
{
    (void)state;
    static const char *const word[MAX_WORDS] = {"--config", "/nowhere/cria.toml"};
    struct err err = {0};
    assert_null(parse("", word, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.text, "/nowhere/cria.toml"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_read),
        cmocka_unit_test(test_mistakes_are_refused),
        cmocka_unit_test(test_overridden_values_are_checked),
        cmocka_unit_test(test_missing_file),
    };
    const int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    const int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return n_failed;
}
