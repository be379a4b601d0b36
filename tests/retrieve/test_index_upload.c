/* SPDX-License-Identifier: Apache-2.0
 *
 * test_index_upload.c - documents that were sent: added, replaced, found, refused, and left alone
 * by a run over the sources.
 */
#include "index_fixture.h"

static struct index_uploaded upload(struct store *s, const char *name, const char *text)
{
    struct index_uploaded up;
    struct err err = {0};
    assert_ok(index_upload(s, name, (const uint8_t *)text, strlen(text), &up, &err), &err);
    assert_false(up.is_refused);
    return up;
}

static size_t n_hits(struct store *s, const char *words)
{
    struct passages found = {0};
    struct err err = {0};
    assert_ok(search_run(s, words, strlen(words), 10, &found, &err), &err);
    const size_t n = found.n;
    for (size_t i = 0; i < n; i++) assert_string_equal(found.passage[i].path, "upload:/zebra.md");
    passages_release(&found);
    return n;
}

static void test_added_and_replaced(void **state)
{
    (void)state;
    struct store *s = open_scratch(STORE_WRITE);
    const struct index_uploaded first = upload(s, "zebra.md", "# Zebras\n\nZebras have stripes.");
    assert_int_equal(first.change, INDEX_ADDED);
    assert_int_equal(first.n_chunks, 1);
    assert_int_equal(n_hits(s, "stripes"), 1);
    const struct index_uploaded same = upload(s, "zebra.md", "# Zebras\n\nZebras have stripes.");
    assert_int_equal(same.change, INDEX_SAME);
    assert_int_equal(same.document, first.document);
    assert_int_equal(upload(s, "zebra.md", "# Zebras\n\nZebras have hooves.").change,
                     INDEX_CHANGED);
    assert_int_equal(n_hits(s, "stripes"), 0);
    assert_int_equal(n_hits(s, "hooves"), 1);
    store_close(s);
}

static bool count_root(void *user, const char *root)
{
    assert_string_not_equal(root, "upload:/zebra.md");
    ++*(int *)user;
    return true;
}

/* It is no source, is left alone by a run over them, and can be removed by its name. */
static void test_beside_sources(void **state)
{
    (void)state;
    struct err err = {0};
    int n_roots = 0;
    struct store *s = open_scratch(STORE_WRITE);
    upload(s, "zebra.md", "Zebras have hooves.");
    write_file("other.md", "Nothing of them here.");
    index_scratch(s);
    assert_int_equal(n_hits(s, "hooves"), 1);
    assert_ok(store_each_root(s, count_root, &n_roots, &err), &err);
    assert_int_equal(n_roots, 1);
    assert_ok(store_remove_root(s, "upload:/zebra.md", &err), &err);
    assert_int_equal(n_hits(s, "hooves"), 0);
    assert_false(store_remove_root(s, "upload:/zebra.md", &err));
    store_close(s);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *name, *data;
        size_t n_bytes;
        enum err_code code;
    } cases[] = {
        {"", "text", 4, ERR_USAGE},
        {".hidden", "text", 4, ERR_USAGE},
        {"../../etc/passwd", "text", 4, ERR_USAGE},
        {"a\\b.md", "text", 4, ERR_USAGE},
        {"a\nb.md", "text", 4, ERR_USAGE},
        {"\xFF.md", "text", 4, ERR_USAGE},
        {"bytes", "\0\1\2\3\0\0", 6, ERR_UNSUPPORTED},
        {"empty.md", " \n ", 3, ERR_FORMAT},
        {"broken.docx", "PK\3\4 no archive", 15, ERR_FORMAT},
    };
    struct store *s = open_scratch(STORE_WRITE);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct index_uploaded up;
        struct err err = {0};
        assert_false(index_upload(s, cases[i].name, (const uint8_t *)cases[i].data,
                                  cases[i].n_bytes, &up, &err));
        if (err.code != cases[i].code || !up.is_refused)
            fail_msg("%s: %d, %s", cases[i].name, (int)err.code, err.text);
    }
    char name[INDEX_UPLOAD_MAX_NAME + 2];
    struct err err = {0};
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_false(index_upload_name(name, &err));
    name[sizeof name - 2] = '\0';
    err = (struct err){0};
    assert_ok(index_upload_name(name, &err), &err);
    struct store_counts counts;
    assert_ok(store_count(s, &counts, &err), &err);
    assert_int_equal(counts.n_documents, 1); /* other.md */
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_added_and_replaced),
        cmocka_unit_test(test_beside_sources),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
