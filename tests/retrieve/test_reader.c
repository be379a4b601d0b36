/* SPDX-License-Identifier: Apache-2.0
 *
 * test_reader.c - which blocks each format gives, which reader a file gets, and encodings.
 */
#include "test.h"

#include "base/file.h"
#include "base/os.h"
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
    {"a.html", "<title>T &amp; U</title><nav>menu words here</nav><h2>Head</h2><p>Some <b>bold</b>ly "
               "long text&nbsp;here<br>and more.<ul><li>one<li>two</ul><table><tr><td>1</td><td>2</td></tr></table>"
               "<pre>a\n  b</pre><script>var x = \"</p>\"</script><footer>foot</footer>",
               "T & U: H2 Head / P Some boldly long text here and more. / I one / I two / R 1 | 2 / C a\n  b"},
    {"a.html", "<meta charset=windows-1252><p>caf\xE9</p>",       "a.html: P caf\xC3\xA9"},
    {"a.html", "<meta property=og:title content='The name'><title>Name - site</title><p>x</p>", "The name: P x"},
    {"a.html", "<p>one<p>two</i></div>three",        "a.html: P one / P twothree"},
    {"a.html", "",                                   "a.html:"},
    {"a.html", "<p",                                 "a.html:"},
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

/* Files of other programs; what the system lacks is skipped. */
static const struct file_case {
    const char *name, *shown;
} file_cases[] = {
    {"retrieve/sample.docx", "Bridges & Towers: H1 Bridges / P The old stone bridge was built in "
                             "1874. / H2 Repairs / P new "
                             "deck / P new rails / R Year | Cost / R 1901 | 20 < 30 / P The end."},
    {"retrieve/sample.pdf",
     "sample.pdf: H6 Page 1 / P Hello PDF world. The tower was built in 1889. / H6 Page 2 / P "
     "Second page. The tower was built in 1889."},
};

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(file_cases); i++) {
        const struct file_case *c = &file_cases[i];
        struct err err = {0};
        struct buf data, b;
        struct doc d;
        buf_init(&data, 1 << 20);
        buf_init(&b, 10000);
        doc_init(&d);
        assert_ok(file_read_all(golden_path(c->name), 1 << 20, &data, &err), &err);
        const struct reader_input in = {
            .name = c->name, .data = (const uint8_t *)data.data, .n_bytes = data.n_bytes};
        const struct reader *r = reader_find(c->name, NULL, in.data, in.n_bytes);
        assert_non_null(r);
        if (reader_run(r, &in, &d, &err)) {
            show(&d, &b);
            if (strcmp(b.data, c->shown) != 0) fail_msg("%s: %s", c->name, b.data);
        } else if (strcmp(r->name, "pdf") != 0) {
            fail_msg("%s", err.text);
        } else {
            print_message("skipped: %s\n", err.text); /* no pdftotext, or no sandbox */
        }
        buf_release(&b);
        buf_release(&data);
        doc_release(&d);
    }
}

static const struct bad_case {
    const char *name, *data, *says;
} bad_cases[] = {
    {"a.docx", "PK\3\4 and then nothing of a ZIP", "a.docx: its ZIP archive is damaged"},
    {"a.docx", "no archive", "a.docx: its ZIP archive is damaged"},
    {"a.pdf", "%PDF-1.4 and nothing more", "pdf"},
};

static void test_bad_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_cases); i++) {
        const struct bad_case *c = &bad_cases[i];
        struct err err = {0};
        struct doc d;
        doc_init(&d);
        const struct reader_input in = {
            .name = c->name, .data = (const uint8_t *)c->data, .n_bytes = strlen(c->data)};
        assert_false(reader_run(reader_find(c->name, NULL, in.data, in.n_bytes), &in, &d, &err));
        if (!strstr(err.text, c->says)) fail_msg("%s", err.text);
        doc_release(&d);
    }
}

/* Inputs that cost the library quadratic time: each ends within seconds, and what came before is
 * there. */
static const struct slow_case {
    const char *begin, *part;
    int n;
} slow_cases[] = {
    {"<p>Seen.</p><a ", "a%d ", 150000},     {"<p>Seen.</p><a ", "a%d=\"\" ", 100000},
    {"<p>Seen.</p>", "<div>", 300000},       {"<p>Seen.</p>", "<b></i>", 300000},
    {"<p>Seen.</p>", "<table><tr>", 100000}, {"<p>Seen.</p><!--", " x%d", 200000},
};

static void test_slow_pages(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(slow_cases); i++) {
        struct err err = {0};
        struct buf b;
        struct doc d;
        buf_init(&b, 8 << 20);
        doc_init(&d);
        buf_puts(&b, slow_cases[i].begin);
        for (int k = 0; k < slow_cases[i].n; k++) {
            buf_printf(&b, "%.*s", (int)strcspn(slow_cases[i].part, "%"), slow_cases[i].part);
            const char *rest = strchr(slow_cases[i].part, '%');
            if (rest) buf_printf(&b, "%d%s", k, rest + 2);
        }
        const struct reader_input in = {
            .name = "a.html", .data = (const uint8_t *)b.data, .n_bytes = b.n_bytes};
        const int64_t begin = clock_ns();
        assert_ok(reader_run(reader_find("a.html", NULL, in.data, in.n_bytes), &in, &d, &err),
                  &err);
        const double seconds = (double)(clock_ns() - begin) * 1e-9;
        if (seconds > 30) fail_msg("case %zu took %.1f s", i, seconds);
        assert_true(d.text.n_bytes >= 5 && memcmp(d.text.data, "Seen.", 5) == 0);
        buf_release(&b);
        doc_release(&d);
    }
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
    {"/a/page",      NULL,                     "\n <!DOCTYPE HTML><p>", 20, "html"},
    {"/a/file",      NULL,                     "%PDF-1.7\0", 9, "pdf"},
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
        cmocka_unit_test(test_blocks),     cmocka_unit_test(test_utf16),
        cmocka_unit_test(test_files),      cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_slow_pages), cmocka_unit_test(test_finding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
