/* SPDX-License-Identifier: Apache-2.0
 *
 * test_options.c - the tables of all commands: rows that can be shown, defaults that pass their own
 * checks and are the library's, names and letters used once, and every output made from them.
 */
#include "test.h"

#include "cli/options.h"

struct seen {
    const struct command *cmd;
    const struct option *o[128];
    int n;
};

static void note(void *user, const char *title, const struct option *o)
{
    struct seen *s = user;
    (void)title;
    assert_true(s->n < 128);
    s->o[s->n++] = o;
}

static void check_row(const struct command *cmd, const struct option *o)
{
    const bool is_number = o->kind == OPT_INT || o->kind == OPT_FLOAT;
    if (!o->help || !o->help[0] || o->help[strlen(o->help) - 1] == '.')
        fail_msg("%s --%s: help is missing or ends in a full stop", cmd->name, o->name);
    if ((o->kind == OPT_FLAG) == (o->arg != NULL))
        fail_msg("%s --%s: a flag has no argument, any other option one", cmd->name, o->name);
    if (is_number && !(o->min < o->max)) fail_msg("%s --%s: no range", cmd->name, o->name);
    if ((o->kind == OPT_NAME) != (o->choices != NULL))
        fail_msg("%s --%s: choices and kind disagree", cmd->name, o->name);
    if (!o->fallback) return;
    char word[200];
    char *argv[] = {word, (char *)(uintptr_t) "--help"}; /* help: operands are not asked for */
    snprintf(word, sizeof word, "--%s=%s", o->name, o->fallback);
    struct err err = {0};
    struct args *a = args_parse(cmd, 2, argv, &err);
    if (!a) fail_msg("%s: the default of --%s is refused: %s", cmd->name, o->name, err.text);
    args_free(a);
}

static void test_rows_of_all_commands(void **state)
{
    (void)state;
    for (const struct command *const *c = commands; *c; c++) {
        struct seen s = {.cmd = *c};
        command_options(*c, note, &s);
        for (int i = 0; i < s.n; i++) {
            check_row(*c, s.o[i]);
            for (int k = 0; k < i; k++) {
                if (strcmp(s.o[i]->name, s.o[k]->name) == 0)
                    fail_msg("%s has --%s twice", (*c)->name, s.o[i]->name);
                if (s.o[i]->letter && s.o[i]->letter == s.o[k]->letter)
                    fail_msg("%s has -%c twice", (*c)->name, s.o[i]->letter);
            }
        }
    }
}

/* Help and man page name every option and its default; completion names every option. */
static void test_every_output_has_every_row(void **state)
{
    (void)state;
    static char text[1 << 18];
    for (const struct command *const *c = commands; *c; c++) {
        for (int which = 0; which < 2; which++) {
            memset(text, 0, sizeof text);
            FILE *out = fmemopen(text, sizeof text - 1, "w");
            assert_non_null(out);
            if (which == 0)
                help_command(*c, out);
            else
                man_page(*c, out);
            fclose(out);
            struct seen s = {.cmd = *c};
            command_options(*c, note, &s);
            for (int i = 0; i < s.n; i++) {
                char want[80];
                snprintf(want, sizeof want, which == 0 ? "--%s" : "\\-%s", s.o[i]->name);
                if (!strstr(text, want))
                    fail_msg("%s: %s is not in output %d", (*c)->name, want, which);
            }
        }
    }
    for (const char *const *shell = completion_shells; *shell; shell++) {
        memset(text, 0, sizeof text);
        FILE *out = fmemopen(text, sizeof text - 1, "w");
        assert_non_null(out);
        assert_true(completion_script(*shell, out));
        fclose(out);
        for (const struct command *const *c = commands; *c; c++)
            assert_non_null(strstr(text, (*c)->name));
        assert_non_null(strstr(text, "min-p"));
        assert_non_null(strstr(text, "bf16"));
    }
}

/* What help shows as defaults is what the library does when nobody asks. */
static void test_defaults_are_the_library_s(void **state)
{
    (void)state;
    char *none[] = {NULL};
    struct err err = {0};
    struct args *a = args_parse(command_find("generate"), 0, none, &err);
    assert_ok(a, &err);
    struct logit_bias bias[SAMPLER_MAX_BIAS];
    struct sampler_params got, want = sampler_defaults();
    assert_ok(options_sampling(a, NULL, bias, &got, &err), &err);
    got.seed = want.seed;
    got.bias = want.bias;
    assert_true(got.temperature == want.temperature && got.top_k == want.top_k);
    assert_true(got.top_p == want.top_p && got.min_p == want.min_p);
    assert_true(got.typical_p == want.typical_p && got.repeat_penalty == want.repeat_penalty);
    assert_true(got.presence_penalty == want.presence_penalty);
    assert_true(got.frequency_penalty == want.frequency_penalty);
    assert_int_equal(got.penalty_last_n, want.penalty_last_n);
    assert_true(got.dry_multiplier == want.dry_multiplier && got.dry_base == want.dry_base);
    assert_int_equal(got.dry_allowed_length, want.dry_allowed_length);
    assert_int_equal(got.dry_last_n, want.dry_last_n);
    assert_true(got.xtc_probability == want.xtc_probability);
    assert_true(got.xtc_threshold == want.xtc_threshold);
    assert_true(got.mirostat_tau == want.mirostat_tau && got.mirostat_eta == want.mirostat_eta);
    args_free(a);
}

static void test_bias_by_id_and_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        const char *says; /* NULL: accepted */
    } cases[] = {
        {"--bias=17=-2.5", NULL},    {"--bias=3=-inf", NULL}, {"--bias=3", "no value"},
        {"--bias==1", "no value"},   {"--bias=3=x", "\"x\""}, {"--bias=3=nan", "nan"},
        {"--bias=-1=2", "no token"}, {"--bias=<s>=2", "<s>"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char word[40];
        char *argv[] = {word};
        snprintf(word, sizeof word, "%s", cases[i].word);
        struct err err = {0};
        struct args *a = args_parse(command_find("generate"), 1, argv, &err);
        assert_ok(a, &err);
        struct logit_bias bias[SAMPLER_MAX_BIAS];
        struct sampler_params p;
        const bool ok = options_sampling(a, NULL, bias, &p, &err);
        print_message("%s: %s\n", cases[i].word, err.text);
        assert_int_equal(ok, cases[i].says == NULL);
        if (!ok)
            assert_non_null(strstr(err.text, cases[i].says));
        else
            assert_int_equal(p.n_bias, 1);
        args_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_all_commands),
        cmocka_unit_test(test_every_output_has_every_row),
        cmocka_unit_test(test_defaults_are_the_library_s),
        cmocka_unit_test(test_bias_by_id_and_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
