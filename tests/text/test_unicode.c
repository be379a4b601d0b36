/* SPDX-License-Identifier: Apache-2.0
 *
 * test_unicode.c - the class tables against the counts of Unicode 16.0, and UTF-8 at its borders.
 */
#include "test.h"
#include "text/unicode.h"

static const struct class_case {
    uint32_t cp;
    unsigned want;
    const char *what;
} class_cases[] = {
    /* clang-format off */
    {'A',        UC_LETTER, "Latin"},
    {'z',        UC_LETTER, "Latin"},
    {'0',        UC_NUMBER, "digit"},
    {'_',        0,         "connector"},
    {' ',        UC_SPACE,  "space"},
    {'\n',       UC_SPACE,  "newline"},
    {0x1C,       0,         "file separator is no White_Space"},
    {0x85,       UC_SPACE,  "next line"},
    {0xA0,       UC_SPACE,  "no-break space"},
    {0xAA,       UC_LETTER, "feminine ordinal"},
    {0xB2,       UC_NUMBER, "superscript two"},
    {0xBD,       UC_NUMBER, "one half"},
    {0x17F,      UC_LETTER, "long s"},
    {0x301,      0,         "combining mark"},
    {0x661,      UC_NUMBER, "Arabic-Indic one"},
    {0x1680,     UC_SPACE,  "ogham space mark"},
    {0x180E,     0,         "Mongolian vowel separator"},
    {0x200B,     0,         "zero width space"},
    {0x2029,     UC_SPACE,  "paragraph separator"},
    {0x2167,     UC_NUMBER, "Roman eight (Nl)"},
    {0x3000,     UC_SPACE,  "ideographic space"},
    {0x3007,     UC_NUMBER, "ideographic zero (Nl)"},
    {0x4E00,     UC_LETTER, "first unified ideograph"},
    {0xAC00,     UC_LETTER, "Hangul"},
    {0xFEFF,     0,         "byte order mark"},
    {0x105C0,    UC_LETTER, "Todhri: new in Unicode 16"},
    {0x1CCF0,    UC_NUMBER, "outlined digit: new in Unicode 16"},
    {0x1F600,    0,         "emoji"},
    {0x20000,    UC_LETTER, "plane 2"},
    {0x10FFFF,   0,         "last"},
    {0x110000,   0,         "beyond"},
    {UINT32_MAX, 0,         "far beyond"},
    /* clang-format on */
};

static void test_classes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(class_cases); i++)
        if (uc_class(class_cases[i].cp) != class_cases[i].want)
            fail_msg("U+%04X %s: class %u, want %u", class_cases[i].cp, class_cases[i].what,
                     uc_class(class_cases[i].cp), class_cases[i].want);
}

/* As many of each as UnicodeData.txt 16.0.0 has (L*, N*) and PropList.txt (White_Space). */
static void test_class_counts(void **state)
{
    (void)state;
    int32_t n[8] = {0};
    for (uint32_t cp = 0; cp < 0x110000; cp++) n[uc_class(cp)]++;
    assert_int_equal(n[UC_LETTER], 141028);
    assert_int_equal(n[UC_NUMBER], 1911);
    assert_int_equal(n[UC_SPACE], 25);
}

static void test_round_trip_of_all_code_points(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        if (cp >= 0xD800 && cp < 0xE000) continue;
        uint8_t s[4];
        uint32_t back = 0;
        bool is_bad = true;
        const int n = utf8_encode(cp, s);
        assert_int_equal(utf8_decode(s, (size_t)n, &back, &is_bad), n);
        assert_false(is_bad);
        assert_int_equal(back, cp);
        assert_int_equal(utf8_complete(s, (size_t)n), n);
        if (n > 1) { /* cut short: bad when asked, held back when streamed */
            assert_int_equal(utf8_decode(s, (size_t)n - 1, &back, &is_bad), 1);
            assert_true(is_bad);
            assert_int_equal(utf8_complete(s, (size_t)n - 1), 0);
        }
    }
}

static const struct bad_case {
    const char *bytes;
    size_t n;
    size_t complete; /* what a stream may emit */
} bad_cases[] = {
    /* clang-format off */
    {"\x80",             1, 1}, /* continuation alone */
    {"\xBF",             1, 1},
    {"\xC0\x80",         2, 2}, /* overlong NUL */
    {"\xC1\xBF",         2, 2},
    {"\xE0\x80\x80",     3, 3}, /* overlong */
    {"\xE0\x9F\xBF",     3, 3},
    {"\xED\xA0\x80",     3, 3}, /* surrogate */
    {"\xED\xA0",         2, 2},
    {"\xF0\x80\x80\x80", 4, 4}, /* overlong */
    {"\xF4\x90\x80\x80", 4, 4}, /* above U+10FFFF */
    {"\xF4\x90",         2, 2},
    {"\xF5\x80\x80\x80", 4, 4},
    {"\xFF",             1, 1},
    {"\xE2\x82",         2, 0}, /* could still become a character */
    {"\xF0\x9F\x98",     3, 0},
    {"\xC3",             1, 0},
    {"\xE2\x28",         2, 2}, /* broken off */
    /* clang-format on */
};

static void test_bad_sequences(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
        const uint8_t *s = (const uint8_t *)bad_cases[i].bytes;
        uint32_t cp = 0;
        bool is_bad = false;
        const int used = utf8_decode(s, bad_cases[i].n, &cp, &is_bad);
        if (used != 1 || !is_bad || cp != 0xFFFD)
            fail_msg("row %zu: used %d, bad %d, U+%04X", i, used, is_bad, cp);
        const size_t complete = utf8_complete(s, bad_cases[i].n);
        if (complete != bad_cases[i].complete)
            fail_msg("row %zu: complete %zu, want %zu", i, complete, bad_cases[i].complete);
    }
    assert_int_equal(utf8_complete((const uint8_t *)"ab\xE2\x82", 4), 2);
    assert_int_equal(utf8_complete((const uint8_t *)"", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_class_counts),
        cmocka_unit_test(test_round_trip_of_all_code_points),
        cmocka_unit_test(test_bad_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
