/* SPDX-License-Identifier: Apache-2.0
 *
 * test_sentence.c - sentences end where a reader would say so.
 */
#include "test.h"

#include "retrieve/sentence.h"

/* The sentences, each followed by '|'. */
static const struct case_ {
    const char *text, *parts;
} cases[] = {
    /* clang-format off */
    {"One. Two! Three?",                         "One.|Two!|Three?|"},
    {"It has no end",                            "It has no end|"},
    {"Dr. J. Smith of Acme Inc. came. He left.", "Dr. J. Smith of Acme Inc. came.|He left.|"},
    {"About 3.5 km, e.g. here. Next.",           "About 3.5 km, e.g. here.|Next.|"},
    {"He said \"go.\" Then he went.",            "He said \"go.\"|Then he went.|"},
    {"What... is it? yes. It is.",               "What... is it? yes.|It is.|"},
    {"a line\nanother one. More",                "a line|another one.|More|"},
    {"1. First point. Second.",                  "1. First point.|Second.|"},
    {"In 1999. Then",                            "In 1999.|Then|"},
    {"\xE6\x97\xA5\xE3\x80\x82\xE6\x9C\xAC",     "\xE6\x97\xA5\xE3\x80\x82|\xE6\x9C\xAC|"},
    {"",                                         ""},
    {"...",                                      "...|"},
    /* clang-format on */
};

static void test_sentences(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *s = cases[i].text;
        char parts[300] = "";
        size_t used = 0;
        for (size_t at = 0, n = strlen(s); (at = skip_space(s, n, at)) < n;) {
            const size_t end = sentence_end(s, n, at);
            assert_true(end > at && end <= n);
            used += (size_t)snprintf(parts + used, sizeof parts - used, "%.*s|", (int)(end - at),
                                     s + at);
            at = end;
        }
        if (strcmp(parts, cases[i].parts) != 0) fail_msg("\"%s\": %s", s, parts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sentences)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
