/* SPDX-License-Identifier: Apache-2.0
 *
 * test_pretok.c - where each family cuts. Pieces are separated by '|' in the tables; what each row
 * is about is the alternative of the published expression that it tries.
 */
#include "test.h"
#include "text/pretok.h"
#include "vocab_reader.h"

static const struct cut_case {
    enum pretok pretok;
    const char *text;
    const char *want;
} cut_cases[] = {
    /* clang-format off */
    {PRETOK_LLAMA3, "Hello world", "Hello| world"},
    {PRETOK_LLAMA3, "I'm you're WE'LL", "I|'m| you|'re| WE|'LL"},
    {PRETOK_LLAMA3, "'street 'x", "'s|treet| '|x"},
    {PRETOK_LLAMA3, "it'\u017Fo", "it|'\u017F|o"},
    {PRETOK_LLAMA3, "1234567 12", "123|456|7| |12"},
    {PRETOK_LLAMA3, "a1b", "a|1|b"},
    {PRETOK_LLAMA3, "(int)\tx", "(int|)|\tx"},
    {PRETOK_LLAMA3, "foo();\r\n\r\nbar", "foo|();\r\n\r\n|bar"},
    {PRETOK_LLAMA3, " ...\n\n x", " ...\n\n| x"},
    {PRETOK_LLAMA3, "a  \n \n  b", "a|  \n \n| | b"},
    {PRETOK_LLAMA3, "a   b", "a|  | b"},
    {PRETOK_LLAMA3, "a   ", "a|   "},
    {PRETOK_LLAMA3, "a \t1", "a| |\t|1"},
    {PRETOK_LLAMA3, "\u00A0x\u3000\u65E5", "\u00A0x|\u3000\u65E5"},
    {PRETOK_LLAMA3, "\nx", "\n|x"},
    {PRETOK_LLAMA3, "e\u0301e", "e|\u0301e"},
    {PRETOK_LLAMA3, "\u0301\u0301e", "\u0301\u0301|e"},
    {PRETOK_LLAMA3, " \u0301\u0301", " \u0301\u0301"},
    {PRETOK_LLAMA3, "\xFF" "a\xE2\x82 b", "\xFF" "a|\xE2\x82| b"},
    {PRETOK_GPT2,   "Hello world", "Hello| world"},
    {PRETOK_GPT2,   "I'm WE'LL", "I|'m| WE|'|LL"},
    {PRETOK_GPT2,   "12345 678", "12345| 678"},
    {PRETOK_GPT2,   "(int)\tx", "(|int|)|\t|x"},
    {PRETOK_GPT2,   "a  \n b", "a|  \n| b"},
    {PRETOK_GPT2,   "a;\n\nb", "a|;|\n|\n|b"},
    {PRETOK_GPT2,   "a   ", "a|   "},
    {PRETOK_SMOLLM, "a123 4", "a|1|2|3| |4"},
    {PRETOK_SMOLLM, "  1", "  |1"},
    {PRETOK_SMOLLM, "\n\n12", "\n\n|1|2"},
    {PRETOK_SMOLLM, "a  b", "a| | b"},
    {PRETOK_SMOLLM, "don't 'x", "don|'t| '|x"},
    {PRETOK_SMOLLM, "\u00BD\u00B2", "\u00BD|\u00B2"},
    /* clang-format on */
};

static void test_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cut_cases); i++) {
        const struct cut_case *c = &cut_cases[i];
        const struct pretok_family *f = pretok_family_of(c->pretok);
        const size_t n = strlen(c->text);
        char got[256] = "";
        for (size_t at = 0, end = 0; at < n; at = end) {
            end = f->next((const uint8_t *)c->text, n, at);
            assert_true(end > at && end <= n);
            if (at) strcat(got, "|");
            strncat(got, c->text + at, end - at);
        }
        if (strcmp(got, c->want) != 0) fail_msg("%s: got %s, want %s", f->name, got, c->want);
    }
}

/* A vocabulary of `n` made-up words, the ten digits and the given tokens. */
static enum pretok guess_of(int32_t n, const char *const *extra, bool has_pairs)
{
    struct err err = {0};
    struct vocab *v = test_vocab_new(n + 10 + 1000 + 8, &err);
    assert_non_null(v);
    int32_t id = 0;
    char text[32];
    for (; id < n; id++) {
        snprintf(text, sizeof text, " w%c%c", 'a' + id % 26, 'a' + id / 26 % 26);
        assert_true(test_vocab_set(v, id, text, 4, TOKEN_NORMAL, &err));
    }
    for (int32_t d = 0; d < (has_pairs ? 1000 : 10); d++) {
        snprintf(text, sizeof text, "%d", d);
        assert_true(test_vocab_set(v, id++, text, strlen(text), TOKEN_NORMAL, &err));
    }
    for (; *extra; extra++)
        assert_true(test_vocab_set(v, id++, *extra, strlen(*extra), TOKEN_NORMAL, &err));
    const enum pretok guess = pretok_guess(v);
    vocab_free(v);
    return guess;
}

static void test_family_is_told_by_the_tokens(void **state)
{
    (void)state;
    const char *const code[] = {";\n", "(int", "\treturn", ");\n\n", NULL};
    const char *const years[] = {" 2010", "1990", " 12", "2000", NULL};
    const char *const none[] = {NULL};
    assert_int_equal(guess_of(2000, code, true), PRETOK_LLAMA3);
    assert_int_equal(guess_of(2000, none, true), PRETOK_LLAMA3);
    assert_int_equal(guess_of(2000, years, true), PRETOK_GPT2);
    assert_int_equal(guess_of(2000, years, false), PRETOK_GPT2);
    assert_int_equal(guess_of(2000, none, false), PRETOK_SMOLLM);
    assert_int_equal(guess_of(100, none, false), PRETOK_GPT2); /* too small to tell */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_family_is_told_by_the_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
