/* SPDX-License-Identifier: Apache-2.0
 *
 * test_indexing.c - an index follows its directory: new, changed, touched, gone; stopped half-way.
 */
#include "index_fixture.h"

#include <utime.h>

static void assert_stats(struct index_stats t, int64_t added, int64_t changed, int64_t same,
                         int64_t removed)
{
    if (t.n_added != added || t.n_changed != changed || t.n_same != same || t.n_removed != removed)
        fail_msg("added %d changed %d same %d removed %d", (int)t.n_added, (int)t.n_changed,
                 (int)t.n_same, (int)t.n_removed);
}

static int64_t n_found(struct store *s, const char *words)
{
    struct passages found;
    struct err err = {0};
    assert_ok(search_run(s, words, strlen(words), 50, &found, &err), &err);
    const int64_t n = (int64_t)found.n;
    passages_release(&found);
    return n;
}

static void test_follows_the_directory(void **state)
{
    (void)state;
    struct store *s = open_scratch(STORE_WRITE);
    write_file("a.txt", "alpha words");
    write_file("b.md", "# Beta\n\nother words");
    write_file("c.bin.q", "\x01\x02\x03");
    write_file(".hidden", "alpha secret");
    assert_int_equal(mkdir(in_scratch("sub"), 0700), 0);
    write_file("sub/d.txt", "delta");
    assert_int_equal(symlink("/etc", in_scratch("link")), 0);
    assert_stats(index_scratch(s), 3, 0, 0, 0);
    assert_int_equal(n_found(s, "alpha"), 1);
    assert_int_equal(n_found(s, "delta"), 1);
    assert_int_equal(n_found(s, "secret"), 0);
    assert_stats(index_scratch(s), 0, 0, 3, 0);

    write_file("a.txt", "omega words now");
    const struct utimbuf old = {1000, 1000};
    assert_int_equal(utime(in_scratch("b.md"), &old), 0); /* another time, the same bytes */
    assert_int_equal(unlink(in_scratch("sub/d.txt")), 0);
    assert_stats(index_scratch(s), 0, 1, 1, 1);
    assert_int_equal(n_found(s, "alpha"), 0);
    assert_int_equal(n_found(s, "omega"), 1);
    assert_int_equal(n_found(s, "delta"), 0);

    struct err err = {0};
    struct store_counts c;
    assert_ok(store_count(s, &c, &err), &err);
    assert_int_equal(c.n_documents, 2);
    assert_int_equal(c.n_chunks, 2);
    store_close(s);
}

static void test_options(void **state)
{
    (void)state;
    struct err err = {0};
    struct index_stats stats = {0};
    struct store *s = open_scratch(STORE_WRITE);
    static const char *const exclude[] = {"*.log", "sub/inner"};
    const struct index_options opt = {.exclude = exclude, .n_exclude = 2, .max_file_bytes = 50};
    assert_int_equal(mkdir(in_scratch("sub"), 0700), 0);
    assert_int_equal(mkdir(in_scratch("sub/inner"), 0700), 0);
    write_file("a.log", "one");
    write_file("sub/inner/b.txt", "two");
    write_file("sub/c.txt", "three");
    write_file("large.txt", "more than fifty bytes are in this file, so it is passed over");
    assert_ok(index_root(s, scratch, &opt, &stats, &err), &err);
    assert_stats(stats, 1, 0, 0, 0);
    assert_int_equal(stats.n_large, 1);
    assert_false(index_root(s, in_scratch("missing"), &opt, &stats, &err));
    assert_int_equal(err.code, ERR_IO);
    store_close(s);
}

static bool stop_at_third(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)what;
    (void)done;
    (void)total;
    return ++*(int *)user < 3;
}

static void test_interrupted(void **state)
{
    (void)state;
    int n_ticks = 0;
    struct err err = {0};
    struct index_stats stats = {0};
    const struct progress p = {stop_at_third, &n_ticks};
    const struct index_options opt = {.max_file_bytes = 1000, .progress = &p};
    struct store *s = open_scratch(STORE_WRITE);
    write_file("a.txt", "one");
    write_file("b.txt", "two");
    write_file("c.txt", "three");
    assert_false(index_root(s, scratch, &opt, &stats, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    assert_int_equal(stats.n_added, 2);
    store_close(s);
    s = open_scratch(STORE_WRITE);
    assert_int_equal(n_found(s, "two"), 1);
    assert_stats(index_scratch(s), 1, 0, 2, 0);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_follows_the_directory, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_options, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_interrupted, make_scratch, remove_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
