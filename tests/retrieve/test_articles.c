/* SPDX-License-Identifier: Apache-2.0
 *
 * test_articles.c - the HTML reader on 121 real article pages, by the measure of their benchmark:
 * runs of four words of the text that a person marked against those of ours.
 */
#include "test.h"

#include <archive.h>
#include <archive_entry.h>

#include "base/json.h"
#include "retrieve/reader.h"
#include "retrieve/words.h"

extern const struct reader reader_html;

enum { MAX_PAGES = 200 };
/* What they were when the figure in docs/index.md was written, less a hundredth. */
static const double min_f1 = 0.96;

struct page {
    char id[100];
    struct buf text; /* ours */
};

static uint64_t raw_hash(const char *s, size_t n)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)s[i]) * 1099511628211u;
    return h;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sorted hashes of all runs of four words, repeated ones too. */
static size_t runs_of(const char *s, size_t n, uint64_t **out)
{
    uint64_t last[4] = {0};
    size_t n_words = 0, n_runs = 0;
    struct word w;
    *out = malloc((n / 2 + 8) * sizeof **out);
    assert_non_null(*out);
    for (size_t at = 0; word_next(s, n, &at, &w);) {
        last[n_words++ % 4] = raw_hash(s + w.begin, w.end - w.begin);
        if (n_words < 4) continue;
        uint64_t h = 0;
        for (size_t i = 0; i < 4; i++) h = (h + last[(n_words + i) % 4]) * 0x9E3779B97F4A7C15u;
        (*out)[n_runs++] = h;
    }
    qsort(*out, n_runs, sizeof **out, by_value);
    return n_runs;
}

static void compare(const char *truth, size_t n_truth, const struct buf *ours, double *precision,
                    double *recall)
{
    uint64_t *a = NULL, *b = NULL;
    const size_t n_a = runs_of(truth, n_truth, &a);
    const size_t n_b = runs_of(ours->data ? ours->data : "", ours->n_bytes, &b);
    size_t i = 0, k = 0, n_both = 0;
    while (i < n_a && k < n_b) {
        if (a[i] == b[k]) {
            n_both++;
            i++;
            k++;
        } else if (a[i] < b[k]) {
            i++;
        } else {
            k++;
        }
    }
    *precision = n_b ? (double)n_both / (double)n_b : n_a == 0;
    *recall = n_a ? (double)n_both / (double)n_a : 1;
    free(a);
    free(b);
}

static void extract(const char *name, const uint8_t *data, size_t n, struct buf *out)
{
    struct err err = {0};
    struct doc d;
    const struct reader_input in = {.name = name, .data = data, .n_bytes = n};
    doc_init(&d);
    assert_ok(reader_run(&reader_html, &in, &d, &err), &err);
    buf_append(out, d.text.data, d.text.n_bytes);
    doc_release(&d);
}

static void test_real_pages(void **state)
{
    (void)state;
    const char *path = data_path("html_articles/articles.tar.xz");
    skip_without(path, "html_articles");
    struct page *page = calloc(MAX_PAGES, sizeof *page);
    struct buf truth;
    size_t n_pages = 0;
    buf_init(&truth, (size_t)64 << 20);
    struct archive *a = archive_read_new();
    struct archive_entry *e = NULL;
    archive_read_support_format_tar(a);
    archive_read_support_filter_xz(a);
    assert_int_equal(archive_read_open_filename(a, path, 65536), ARCHIVE_OK);
    while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
        const char *name = archive_entry_pathname(e), *slash = strrchr(name, '/');
        const size_t n = (size_t)archive_entry_size(e);
        if (n == 0) continue;
        uint8_t *data = malloc(n);
        assert_true(data && archive_read_data(a, data, n) == (la_ssize_t)n);
        if (strstr(name, ".json")) {
            buf_append(&truth, data, n);
        } else {
            assert_true(n_pages < MAX_PAGES);
            struct page *p = &page[n_pages++];
            snprintf(p->id, sizeof p->id, "%.64s", slash ? slash + 1 : name);
            buf_init(&p->text, (size_t)64 << 20);
            extract(name, data, n, &p->text);
        }
        free(data);
    }
    archive_read_free(a);

    struct err err = {0};
    struct json_doc *doc = json_parse(truth.data, truth.n_bytes, (size_t)64 << 20, "truth", &err);
    assert_ok(doc, &err);
    double sum_p = 0, sum_r = 0;
    for (size_t i = 0; i < n_pages; i++) {
        const char *text = "";
        size_t n = 0;
        double p = 0, r = 0;
        assert_true(
            json_str(json_get(json_get(json_root(doc), page[i].id), "articleBody"), &text, &n));
        compare(text, n, &page[i].text, &p, &r);
        if (getenv("VERBOSE")) print_message("%.2f %.2f %s\n", p, r, page[i].id);
        sum_p += p;
        sum_r += r;
        buf_release(&page[i].text);
    }
    json_free(doc);
    buf_release(&truth);
    free(page);
    const double precision = sum_p / (double)n_pages, recall = sum_r / (double)n_pages;
    const double f1 = 2 * precision * recall / (precision + recall);
    print_message("%zu pages: precision %.3f, recall %.3f, F1 %.3f\n", n_pages, precision, recall,
                  f1);
    assert_true(n_pages > 100);
    assert_true(f1 >= min_f1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_real_pages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
