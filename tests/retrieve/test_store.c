/* SPDX-License-Identifier: Apache-2.0
 *
 * test_store.c - what is no index is refused, damage is an error and no crash, roots and settings.
 */
#include "index_fixture.h"

#include <sqlite3.h>

static void assert_refused(enum store_mode mode, enum err_code code, const char *says)
{
    struct err err = {0};
    struct store *s = store_open(scratch_db, mode, &err);
    assert_null(s);
    if (err.code != code || !strstr(err.text, says)) fail_msg("%d %s", err.code, err.text);
}

static void sql(const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(scratch_db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_foreign_files(void **state)
{
    (void)state;
    assert_refused(STORE_READ, ERR_IO, "no such index");
    write_file(".index.db", "this is a text that is no database at all, whatever it is called");
    assert_refused(STORE_READ, ERR_FORMAT, "is no index");
    assert_refused(STORE_WRITE, ERR_FORMAT, "is no index");
    assert_int_equal(unlink(scratch_db), 0);
    sql("CREATE TABLE other(x)");
    assert_refused(STORE_WRITE, ERR_FORMAT, "but no index");
    assert_int_equal(unlink(scratch_db), 0);
    store_close(open_scratch(STORE_WRITE));
    sql("PRAGMA user_version = 99");
    assert_refused(STORE_READ, ERR_UNSUPPORTED, "version 99");
    assert_int_equal(unlink(scratch_db), 0);
    assert_int_equal(mkdir(scratch_db, 0700), 0);
    assert_refused(STORE_WRITE, ERR_IO, "directory");
    assert_int_equal(rmdir(scratch_db), 0);
}

static bool count_root(void *user, const char *root)
{
    assert_string_equal(root, scratch);
    ++*(int *)user;
    return true;
}

static void test_roots_and_settings(void **state)
{
    (void)state;
    int n = 0;
    struct err err = {0};
    struct buf b;
    buf_init(&b, 100);
    write_file("a.txt", "alpha");
    struct store *s = open_scratch(STORE_WRITE);
    index_scratch(s);
    assert_ok(store_each_root(s, count_root, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_false(store_remove_root(s, "/nowhere", &err));
    assert_int_equal(err.code, ERR_USAGE);
    assert_ok(store_remove_root(s, scratch, &err), &err);
    struct store_counts c;
    assert_ok(store_count(s, &c, &err), &err);
    assert_int_equal(c.n_documents + c.n_chunks, 0);
    assert_ok(store_get(s, "key", &b, &err), &err);
    assert_int_equal(b.n_bytes, 0);
    assert_ok(store_set(s, "key", "one", &err) && store_set(s, "key", "two", &err), &err);
    assert_ok(store_get(s, "key", &b, &err), &err);
    assert_string_equal(b.data, "two");
    buf_release(&b);
    store_close(s);
}

static bool ignore_document(void *user, const struct document *d)
{
    (void)user;
    return strlen(d->path) + strlen(d->title) > 0;
}

/* Whatever it answers, it answers. */
static void use(void)
{
    struct err err = {0};
    struct passages found;
    struct store *s = store_open(scratch_db, STORE_READ, &err);
    if (!s) return;
    if (search_run(s, "alpha beta", 10, 5, &found, &err)) passages_release(&found);
    for (int64_t id = 0; id < 4; id++)
        if (search_passage(s, id, &found, &err) > 0) passages_release(&found);
    (void)!store_each_document(s, ignore_document, NULL, &err);
    store_close(s);
}

static void test_damage(void **state)
{
    (void)state;
    write_file("a.txt", "alpha beta");
    write_file("b.txt", "beta gamma");
    struct store *s = open_scratch(STORE_WRITE);
    index_scratch(s);
    store_close(s);
    FILE *f = fopen(scratch_db, "r+");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    const long n = ftell(f);
    for (long i = 16; i < n; i += 331) {
        fseek(f, i, SEEK_SET);
        const int old = fgetc(f);
        fseek(f, i, SEEK_SET);
        fputc(old ^ 0x55, f);
        fflush(f);
        use();
        fseek(f, i, SEEK_SET);
        fputc(old, f);
        fflush(f);
    }
    fclose(f);
    assert_int_equal(truncate(scratch_db, n / 2), 0);
    use();
}

/* Values of other types than ours, as a stranger may put them there. */
static void test_odd_values(void **state)
{
    (void)state;
    write_file("a.txt", "alpha beta");
    struct store *s = open_scratch(STORE_WRITE);
    index_scratch(s);
    store_close(s);
    sql("UPDATE chunks SET begin_byte = -5, end_byte = 'x', heading = x'00ff', document = 1.5");
    use();
    sql("UPDATE chunks SET document = 1; UPDATE documents SET path = x'ff', sha256 = 'short'");
    use();
}

static void test_one_writer(void **state)
{
    (void)state;
    struct err err = {0};
    struct store *a = open_scratch(STORE_WRITE), *b = open_scratch(STORE_READ);
    assert_ok(store_begin(a, &err) && store_set(a, "k", "v", &err), &err);
    struct store_counts c;
    assert_ok(store_count(b, &c, &err), &err); /* readers go on */
    assert_false(store_set(b, "k", "w", &err));
    assert_ok(store_commit(a, &err), &err);
    store_close(b);
    store_close(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_foreign_files, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_roots_and_settings, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_damage, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_odd_values, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_one_writer, make_scratch, remove_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
