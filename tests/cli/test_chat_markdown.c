/* SPDX-License-Identifier: Apache-2.0
 *
 * test_chat_markdown.c - what is coloured and what is not, and that no cut of the text into pieces
 * changes or loses anything.
 */
#include "test.h"

#include "cli/markdown.h"

/* Colours are written B bold, I italic, C code, Q quote, 0 none, in braces. */
static const struct markdown_case {
    const char *what, *text, *want;
} cases[] = {
    /* clang-format off */
    {"plain",                  "Hello, world.\n",       "Hello, world.\n{0}"},
    {"bold",                   "a **b** c",             "a {0}{B}**b**{0} c{0}"},
    {"bold at the beginning",  "**b** c",               "{0}{B}**b**{0} c{0}"},
    {"italic",                 "a *b* c _d_",           "a {0}{I}*b*{0} c {0}{I}_d_{0}{0}"},
    {"both",                   "***b***",               "{0}{B}{I}***b***{0}{0}"},
    {"products stay",          "2 * 3 * 4 ** 5",        "2 * 3 * 4 ** 5{0}"},
    {"names stay",             "snake_case_name",       "snake_case_name{0}"},
    {"code",                   "run `ls *x* ` now",     "run {0}{C}`ls *x* `{0} now{0}"},
    {"code with a backtick",   "``a`b``",               "{0}{C}``a`b``{0}{0}"},
    {"heading",                "## Two\nx",             "{0}{B}## Two{0}\nx{0}"},
    {"no heading",             "#tag a#b",              "#tag a#b{0}"},
    {"bullets",                "- a\n* b\n  + c",       "{B}-{0} a\n{B}*{0} b\n  {B}+{0} c{0}"},
    {"a rule is no bullet",    "---\n",                 "---\n{0}"},
    {"minus is no bullet",     "-5 a - b",              "-5 a - b{0}"},
    {"fence",                  "```c\n*p* `x`\n```\na", "{0}{C}```c\n*p* `x`\n```{0}\na{0}"},
    {"fence that goes on",     "```\na",                "{0}{C}```\na{0}"},
    {"longer fence",           "````\n```\n````\n",     "{0}{C}````\n```\n````{0}\n{0}"},
    {"bold ends with its line","**a\nb",                "{0}{B}**a{0}\nb{0}"},
    {"escaped",                "\\*a\\* \\`b\\`",       "\\*a\\* \\`b\\`{0}"},
    {"quote",                  "> a\nb",                "{0}{Q}> a{0}\nb{0}"},
    {"escape sequences",       "a\033[2Jb\a",           "a^[[2Jb^G{0}"},
    {"C1 control",             "a\xc2\x9b" "2J\xc2\xa0","a<U+009B>2J\xc2\xa0{0}"},
    {"other scripts",          "**\xe4\xbd\xa0** \xc3\xa9", "{0}{B}**\xe4\xbd\xa0**{0} \xc3\xa9{0}"},
    {"empty",                  "",                      "{0}"},
    /* clang-format on */
};

/* Colour sequences as braces, so that a failure can be read. */
static void readable(const char *s, struct buf *out)
{
    static const struct {
        const char *sgr, *name;
    } names[] = {{"\033[0m", "{0}"},
                 {"\033[1m", "{B}"},
                 {"\033[2m", "{Q}"},
                 {"\033[3m", "{I}"},
                 {"\033[36m", "{C}"}};
    while (*s) {
        size_t i = 0;
        while (i < ARRAY_LEN(names) && strncmp(s, names[i].sgr, strlen(names[i].sgr)) != 0) i++;
        if (i < ARRAY_LEN(names)) {
            buf_puts(out, names[i].name);
            s += strlen(names[i].sgr);
        } else {
            buf_putc(out, *s++);
        }
    }
}

/* Length of the character at s. */
static size_t char_bytes(const char *s)
{
    size_t n = 1;
    while ((s[n] & 0xc0) == 0x80) n++;
    return n;
}

static void render(enum markdown_mode mode, const char *text, size_t cut_chars, struct buf *out)
{
    struct markdown m;
    markdown_begin(&m, mode);
    while (*text) {
        size_t n = 0;
        for (size_t i = 0; i < cut_chars && text[n]; i++) n += char_bytes(text + n);
        markdown_feed(&m, text, n, out);
        text += n;
    }
    markdown_end(&m, out);
}

static void test_colours_do_not_depend_on_cuts(void **state)
{
    (void)state;
    static const size_t cuts[] = {1, 2, 3, 7, 1000};
    for (size_t c = 0; c < ARRAY_LEN(cases); c++)
        for (size_t k = 0; k < ARRAY_LEN(cuts); k++) {
            struct buf raw, got;
            buf_init(&raw, 1 << 20);
            buf_init(&got, 1 << 20);
            render(MARKDOWN_COLOR, cases[c].text, cuts[k], &raw);
            readable(raw.data ? raw.data : "", &got);
            print_message("%s, cut at %zu\n", cases[c].what, cuts[k]);
            assert_string_equal(got.data ? got.data : "", cases[c].want);
            buf_release(&raw);
            buf_release(&got);
        }
}

static void strip(const char *s, struct buf *out)
{
    while (*s) {
        if (*s == '\033')
            s = strchr(s, 'm') + 1;
        else
            buf_putc(out, *s++);
    }
}

/* M1 on random texts of marks; raw and plain modes change nothing at all. */
static void test_nothing_is_lost(void **state)
{
    (void)state;
    static const char letters[] = "**__``~~##>>--+ ab1.\\\n\n ";
    uint32_t seed = 1;
    for (int round = 0; round < 3000; round++) {
        char text[120];
        size_t n = 0;
        while (n < sizeof text - 1) {
            seed = seed * 1664525u + 1013904223u;
            if (n && (seed >> 24) < 4) break;
            text[n++] = letters[(seed >> 16) % (sizeof letters - 1)];
        }
        text[n] = '\0';
        for (int mode = MARKDOWN_RAW; mode <= MARKDOWN_COLOR; mode++) {
            struct buf raw, got;
            buf_init(&raw, 1 << 20);
            buf_init(&got, 1 << 20);
            render((enum markdown_mode)mode, text, 1 + (size_t)round % 5, &raw);
            strip(raw.data ? raw.data : "", &got);
            assert_string_equal(got.data ? got.data : "", text);
            buf_release(&raw);
            buf_release(&got);
        }
    }
}

static void test_modes_without_colour(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    render(MARKDOWN_RAW, "**a**\033[2J\n", 3, &b);
    assert_string_equal(b.data, "**a**\033[2J\n");
    buf_clear(&b);
    render(MARKDOWN_PLAIN, "**a**\033[2J\n", 3, &b);
    assert_string_equal(b.data, "**a**^[[2J\n");
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_colours_do_not_depend_on_cuts),
        cmocka_unit_test(test_nothing_is_lost),
        cmocka_unit_test(test_modes_without_colour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
