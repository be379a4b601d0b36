/* SPDX-License-Identifier: Apache-2.0
 *
 * test_chat_settings.c - /set takes what the command line takes and says the same when it is wrong;
 * and which lines are commands.
 */
#include "test.h"

#include "cli/chat_commands.h"
#include "cli/chat_settings.h"

extern const struct command cmd_chat;

static const struct set_case {
    const char *name, *value, *says; /* NULL: accepted */
} sets[] = {
    /* clang-format off */
    {"temp",          "0.25",     NULL},
    {"temp",          "0",        NULL},
    {"seed",          "7",        NULL},
    {"n",             "12",       NULL},
    {"bias",          "5=-inf",   NULL},
    {"context-shift", NULL,       NULL},
    {"context-shift", "off",      NULL},
    {"temp",          "hot",      "--temp: \"hot\" is not a number"},
    {"temp",          "101",      "out of range"},
    {"top-p",         "-1",       "out of range"},
    {"top-k",         "1.5",      "whole number"},
    {"temp",          NULL,       "wants a value"},
    {"tmep",          "1",        "did you mean --temp?"},
    {"zzzzzzzz",      "1",        "unknown option --zzzzzzzz"},
    {"",              "1",        "unknown option"},
    {"bias",          "x",        "no value"},
    {"context-shift", "maybe",    "takes no value"},
    /* clang-format on */
};

static struct args *command_line(int argc, char **argv)
{
    struct err err = {0};
    struct args *a = args_parse(&cmd_chat, argc, argv, &err);
    assert_ok(a, &err);
    return a;
}

static struct sampler_params sampling(const struct chat_settings *s)
{
    static struct logit_bias bias[SAMPLER_MAX_BIAS];
    struct sampler_params p = {0};
    struct err err = {0};
    assert_ok(chat_settings_sampling(s, NULL, bias, &p, &err), &err);
    return p;
}

static void test_set(void **state)
{
    (void)state;
    char text[] = "--temp 0.5 --bias 1=2 --temp=0.75 -n 9", *argv[16];
    int argc = 0;
    for (char *w = strtok(text, " "); w; w = strtok(NULL, " ")) argv[argc++] = w;
    struct args *a = command_line(argc, argv);
    struct chat_settings s;
    struct err err = {0};
    assert_ok(chat_settings_init(&s, a, &err), &err);
    assert_float_equal(sampling(&s).temperature, 0.75f, 0);
    assert_int_equal(sampling(&s).n_bias, 1);
    assert_int_equal(chat_settings_most_tokens(&s), 9);
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        const struct set_case *c = &sets[i];
        err = (struct err){0};
        print_message("/set %s %s\n", c->name, c->value ? c->value : "");
        const bool ok = chat_settings_set(&s, c->name, c->value, NULL, &err);
        if (!c->says)
            assert_ok(ok, &err);
        else if (ok || !strstr(err.text, c->says))
            fail_msg("%d, says: %s", ok, err.text);
    }
    assert_float_equal(sampling(&s).temperature, 0, 0); /* the last that was accepted */
    assert_int_equal(sampling(&s).seed, 7);
    assert_int_equal(sampling(&s).n_bias, 2);
    assert_int_equal(chat_settings_most_tokens(&s), 12);
    assert_false(chat_settings_shifts(&s));
    chat_settings_release(&s);
    args_free(a);
}

static const struct line_case {
    const char *line;
    bool is_command;
} lines[] = {
    /* clang-format off */
    {"/help", true}, {"/set temp 1", true}, {"/nosuch", true}, {"/save\tx", true},
    {"/", false}, {"/etc/passwd", false}, {"/ help", false}, {" /help", false}, {"help", false},
    {"/help\nx", false}, {"// a comment", false}, {"", false}, {"/x1", false},
    /* clang-format on */
};

static void test_which_lines_are_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        print_message("'%s'\n", lines[i].line);
        assert_int_equal(chat_is_command(lines[i].line, strlen(lines[i].line)),
                         lines[i].is_command);
    }
}

static const struct unknown_case {
    const char *line, *says;
} unknown[] = {
    {"/hlep", "did you mean /help?"},
    {"/rest", "did you mean /reset?"},
    {"/frobnicate", "/help lists them"},
    {"/save", "/save FILE"},
    {"/load /nowhere/x.json", "/nowhere/x.json"},
};

static void test_unknown_commands_offer_the_nearest(void **state)
{
    (void)state;
    struct chat_session c = {0};
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        struct err err = {0};
        print_message("%s\n", unknown[i].line);
        assert_false(chat_run_command(&c, unknown[i].line, &err));
        if (!strstr(err.text, unknown[i].says)) fail_msg("says: %s", err.text);
    }
    for (const struct chat_command *row = chat_commands; row->name; row++) {
        assert_true(chat_is_command(row->name, strlen(row->name)));
        assert_true(row->run && row->what && row->arguments);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_which_lines_are_commands),
        cmocka_unit_test(test_unknown_commands_offer_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
