/* SPDX-License-Identifier: Apache-2.0
 *
 * test_reader.c - which blocks each format gives, which reader a file gets, and encodings.
 */
#include "test.h"

#include "retrieve/reader.h"

/* "TITLE: H1 text / P text / ..." */
static void show(const struct doc *d, struct buf *out)
{
    static const char *const kinds[] = {"H", "P", "I", "C", "R"};
    buf_printf(out, "%s:", d->title.data ? d->title.data : "");
    for (size_t i = 0; i < d->n_blocks; i++) {
        const struct doc_block *b = &d->block[i];
        buf_printf(out, "%s%s", i ? " / " : " ", kinds[b->kind]);
        if (b->kind == DOC_HEADING) buf_printf(out, "%d", b->level);
        buf_printf(out, " %.*s", (int)(b->end - b->begin), d->text.data + b->begin);
    }
}

static const struct read_case {
    const char *name, *text, *shown;
} read_cases[] = {
    /* clang-format off */
    {"a.txt",  "one\ntwo\n\n\nthree  four",      "a.txt: P one two / P three four"},
    {"a.txt",  "list\n- x\n- y\n 12. z",         "a.txt: P list / I - x / I - y / I 12. z"},
    {"a.txt",  "\xEF\xBB\xBFmark",               "a.txt: P mark"},
    {"a.txt",  "caf\xE9",                        "a.txt: P caf\xC3\xA9"},
    {"a.txt",  "a\x1b[31mb\xE2\x80\xAE" "c",     "a.txt: P a[31mbc"},
    {"a.txt",  "",                               "a.txt:"},
    {"a.md",   "# Top\n\ntext *it* `code`\nmore\n\n## Sub #\n- x\n  - y\n\n- z\n",
               "Top: H1 Top / P text it code more / H2 Sub / I x / I y / I z"},
    {"a.md",   "```c\nint  a;\n\n\tb;\n```\n",   "a.md: C int  a;\n\n    b;"},
    {"a.md",   "|a|b|\n|---|---|\n|1|2|\n",          "a.md: R a | b / R 1 | 2"},
    {"a.md",   "---\ntitle: \"The T\"\nx: y\n---\nbody <b>x</b> &amp; [link](http://x) ![img](y)\n",
               "The T: P body x & link img"},
    {"a.md",   "<div>\nhidden\n</div>\n\nseen",  "a.md: P seen"},
    {"a.c",    "int a;\n\nint b(void)\n{\n    x;\n\n    y;\n}\n\nint c;\n",
               "a.c: C int a; / C int b(void)\n{\n    x;\n\n    y;\n} / C int c;"},
    {"a.py",   "    x\n  y\n\n\n",               "a.py: C     x\n  y"},
    {"a.txt",  "\xFF\xFEh\0i\0",                 NULL}, /* shorter than it is: only must not fail */
    /* clang-format on */
};

static void test_blocks(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(read_cases); i++) {
        const struct read_case *c = &read_cases[i];
        struct err err = {0};
        struct doc d;
        struct buf b;
        const struct reader_input in = {
            .name = c->name, .data = (const uint8_t *)c->text, .n_bytes = strlen(c->text)};
        const struct reader *r = reader_find(c->name, NULL, in.data, in.n_bytes);
        assert_non_null(r);
        doc_init(&d);
        buf_init(&b, 10000);
        assert_ok(reader_run(r, &in, &d, &err), &err);
        show(&d, &b);
        if (c->shown && strcmp(b.data, c->shown) != 0)
            fail_msg("%s \"%s\":\n%s\nnot\n%s", c->name, c->text, b.data, c->shown);
        buf_release(&b);
        doc_release(&d);
    }
}

static void test_utf16(void **state)
{
    (void)state;
    static const uint8_t le[] = {0xFF, 0xFE, 'h', 0, 0xE9, 0, 0x3D, 0xD8, 0, 0xDE};
    struct err err = {0};
    struct doc d;
    const struct reader_input in = {.name = "x", .data = le, .n_bytes = sizeof le};
    doc_init(&d);
    assert_ok(reader_run(reader_find("x", NULL, le, sizeof le), &in, &d, &err), &err);
    assert_string_equal(d.text.data, "h\xC3\xA9\xF0\x9F\x98\x80");
    doc_release(&d);
}

static const struct find_case {
    const char *name, *mime, *bytes;
    size_t n;
    const char *reader; /* NULL: none */
} find_cases[] = {
    /* clang-format off */
    {"/a/b.MD",      NULL,                     "x",      1, "markdown"},
    {"/a.b/README",  NULL,                     "x",      1, "text"},
    {"/a/Makefile",  NULL,                     "x",      1, "code"},
    {"/a/unknown.q", NULL,                     "text",   4, "text"},
    {"/a/unknown.q", NULL,                     "a\0b",   3, NULL},
    {"/a/empty.q",   NULL,                     "",       0, NULL},
    {"http://x/a.c", "text/markdown; charset", "x",      1, "markdown"},
    {"http://x/",    "image/png",              "\x89P\0", 3, NULL},
    /* clang-format on */
};

static void test_finding(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(find_cases); i++) {
        const struct find_case *c = &find_cases[i];
        const struct reader *r = reader_find(c->name, c->mime, (const uint8_t *)c->bytes, c->n);
        const char *name = r ? r->name : "none";
        if (strcmp(name, c->reader ? c->reader : "none") != 0) fail_msg("%s: %s", c->name, name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_utf16),
        cmocka_unit_test(test_finding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
