/* SPDX-License-Identifier: Apache-2.0
 *
 * test_words.c - which words count as the same, and what kind they are.
 */
#include "test.h"

#include "retrieve/words.h"

static const struct pair_case {
    const char *a, *b;
    bool is_same;
} pair_cases[] = {
    /* clang-format off */
    {"city",      "cities",    true},
    {"Founded",   "founding",  true},
    {"use",       "used",      true},
    {"running",   "runs",      true},
    {"boxes",     "box",       true},
    {"churches",  "church",    true},
    {"quickly",   "quick",     true},
    {"Caf\xC3\xA9", "cafe",    true},
    {"STRASSE",   "stra\xC3\x9F" "e", true},
    {"\xD0\x9C\xD0\xBE\xD1\x81\xD0\xBA\xD0\xB2\xD0\xB0", "\xD0\xBC\xD0\xBE\xD1\x81\xD0\xBA\xD0\xB2\xD0\xB0", true},
    {"1,200",     "1200",      true},
    {"3.5",       "35",        false},
    {"three",     "3",         true},
    {"twelve",    "12",        true},
    {"general",   "generation", false},
    {"bus",       "bu",        false},
    {"class",     "clas",      false},
    {"red",       "reed",      false},
    /* clang-format on */
};

static uint64_t id_of(const char *s)
{
    struct word w = {0};
    size_t at = 0;
    if (!word_next(s, strlen(s), &at, &w) || at != strlen(s)) fail_msg("%s is not one word", s);
    return w.id;
}

static void test_same_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pair_cases); i++) {
        const struct pair_case *c = &pair_cases[i];
        if ((id_of(c->a) == id_of(c->b)) != c->is_same) fail_msg("%s and %s", c->a, c->b);
    }
}

static const struct kind_case {
    const char *text, *kinds; /* p plain, s stop, n name, d number */
} kind_cases[] = {
    {"The Eiffel Tower is 330 metres tall.", "snnsdpp"},
    {"It has 1,665 steps; that's three lifts", "ssdpssdp"},
    {"", ""},
    {"... --- !!", ""},
    {"\xE6\x9D\xB1\xE4\xBA\xAC is", "pps"},
    {"\xCC\x81 a\xCC\x81 \xFF x", "sp"},
};

static void test_kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kind_cases); i++) {
        const char *s = kind_cases[i].text;
        char kinds[40] = "";
        size_t at = 0, n = 0, last = 0;
        struct word w;
        while (n < sizeof kinds - 1 && word_next(s, strlen(s), &at, &w)) {
            assert_true(w.begin >= last && w.end > w.begin && w.end == at && at <= strlen(s));
            last = w.end;
            kinds[n++] = "psnd"[w.kind];
        }
        if (strcmp(kinds, kind_cases[i].kinds) != 0)
            fail_msg("\"%s\": %s, not %s", s, kinds, kind_cases[i].kinds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_words),
        cmocka_unit_test(test_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
