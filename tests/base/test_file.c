/* SPDX-License-Identifier: Apache-2.0
 *
 * test_file.c - readers refuse what is no file, writers leave all or nothing, huge pages hold what
 * the map held.
 *
 * Everything happens in a fresh directory, which must hold only what the test names at its end:
 * a part file that is left over fails the test.
 */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define MIB ((size_t)1 << 20)

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[2][256];
    static int i = 0;
    i = 1 - i;
    snprintf(path[i], sizeof path[i], "%s/%s", dir, name);
    return path[i];
}

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/cria-test-file-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int count_entries(const char *path)
{
    int n = 0;
    DIR *d = opendir(path);
    if (!d) return -1;
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void put_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void assert_content(const char *path, const void *want, size_t n)
{
    struct err err = {0};
    struct file_map *f = file_map_open(path, &err);
    assert_ok(f, &err);
    assert_int_equal(file_map_bytes(f), n);
    assert_memory_equal(file_map_data(f), want, n);
    file_map_close(f);
}

/* A refusal: IO error, and the message names the path and ends in a remedy. */
static void assert_refusal(const struct err *err, enum err_code code, const char *path)
{
    assert_int_equal(err->code, code);
    assert_non_null(strstr(err->text, path));
    assert_non_null(strstr(err->text, "; "));
}

static void test_map_gives_the_bytes(void **state)
{
    (void)state;
    struct err err = {0};
    put_file(in_dir("a"), "hello", 5);
    put_file(in_dir("empty"), "", 0);
    assert_content(in_dir("a"), "hello", 5);
    struct file_map *f = file_map_open(in_dir("empty"), &err);
    assert_ok(f, &err);
    assert_int_equal(file_map_bytes(f), 0);
    assert_non_null(file_map_data(f));
    assert_string_equal(path_base(file_map_path(f)), "empty");
    file_map_close(f);
    file_map_close(NULL);
}

static void test_map_refuses_what_is_no_file(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    const char *refused[] = {"missing", "pipe", ".", "a/b", ""};
    put_file(in_dir("a"), "x", 1);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct err err = {0};
        print_message("'%s'\n", refused[i]);
        assert_null(file_map_open(in_dir(refused[i]), &err));
        assert_refusal(&err, ERR_IO, in_dir(refused[i]));
    }
}

static void test_read_all_obeys_both_limits(void **state)
{
    (void)state;
    static const struct {
        size_t n, max_bytes, buf_max;
        enum err_code want;
    } cases[] = {
        /* clang-format off */
        /*  file     limit  buffer   want        */
        {      0,        0,      2,  ERR_OK},
        {      1,        0,     99,  ERR_LIMIT},
        {   1000,     1000,   1002,  ERR_OK},
        {   1000,      999,   5000,  ERR_LIMIT},
        {   1000,     5000,   1001,  ERR_LIMIT},
        { 200000, SIZE_MAX, 300000,  ERR_OK},
        { 200000,   199999, 300000,  ERR_LIMIT},
        /* clang-format on */
    };
    char *data = calloc(200000, 1);
    for (size_t i = 0; i < 200000; i++) data[i] = (char)i;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        struct buf b;
        print_message("row %zu\n", i);
        put_file(in_dir("f"), data, cases[i].n);
        for (int by_fd = 0; by_fd < 2; by_fd++) {
            buf_init(&b, cases[i].buf_max);
            buf_puts(&b, "<>"); /* what was there stays */
            const int fd = open(in_dir("f"), O_RDONLY);
            const bool ok = by_fd ? file_read_fd(fd, "f", cases[i].max_bytes, &b, &err)
                                  : file_read_all(in_dir("f"), cases[i].max_bytes, &b, &err);
            close(fd);
            assert_int_equal(ok, cases[i].want == ERR_OK);
            assert_int_equal(err.code, cases[i].want);
            assert_int_equal(b.n_bytes, 2 + (ok ? cases[i].n : 0));
            assert_int_equal(b.data[b.n_bytes], 0);
            assert_memory_equal(b.data, "<>", 2);
            assert_memory_equal(b.data + 2, data, b.n_bytes - 2);
            buf_release(&b);
        }
    }
    free(data);
}

static void test_read_all_takes_devices_and_refuses_directories(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf b;
    buf_init(&b, MIB);
    assert_ok(file_read_all("/proc/self/stat", MIB, &b, &err), &err);
    assert_true(b.n_bytes > 10);
    assert_ok(file_read_all("/dev/null", MIB, &b, &err), &err);
    assert_false(file_read_all("/dev/zero", 100000, &b, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_false(file_read_all(dir, MIB, &b, &err));
    assert_refusal(&err, ERR_IO, dir);
    buf_release(&b);
}

/* Writes of all sizes around the buffer's arrive whole and in order. */
static void test_written_bytes_arrive(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 0, 1000, MIB - 1001, 1, MIB, MIB - 1, 2, 3 * MIB + 5, 7};
    struct err err = {0};
    char *data = malloc(8 * MIB);
    for (size_t i = 0; i < 8 * MIB; i++) data[i] = (char)(i * 31 >> 3);
    struct out_file *f = out_file_open(in_dir("out"), &err);
    assert_ok(f, &err);
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_ok(out_file_write(f, data + n, sizes[i], &err), &err);
        n += sizes[i];
        assert_int_equal(out_file_pos(f), n);
    }
    assert_false(path_exists(in_dir("out")));
    assert_ok(out_file_commit(f, &err), &err);
    assert_content(in_dir("out"), data, n);
    assert_int_equal(count_entries(dir), 1);
    free(data);
}

static void test_pad_goes_to_the_next_multiple(void **state)
{
    (void)state;
    static const size_t aligns[] = {1, 2, 32, 4096, 4096, 3000};
    struct err err = {0};
    struct out_file *f = out_file_open(in_dir("out"), &err);
    for (size_t i = 0; i < ARRAY_LEN(aligns); i++) {
        assert_ok(out_file_write(f, "x", 1, &err), &err);
        assert_ok(out_file_pad(f, aligns[i], &err), &err);
        assert_int_equal(out_file_pos(f) % aligns[i], 0);
        const uint64_t pos = out_file_pos(f);
        assert_ok(out_file_pad(f, aligns[i], &err), &err);
        assert_int_equal(out_file_pos(f), pos);
    }
    assert_ok(out_file_commit(f, &err), &err);
}

static void test_abandon_leaves_the_old_file_alone(void **state)
{
    (void)state;
    struct err err = {0};
    put_file(in_dir("out"), "old", 3);
    struct out_file *f = out_file_open(in_dir("out"), &err);
    assert_ok(f, &err);
    assert_ok(out_file_write(f, "new", 3, &err), &err);
    assert_int_equal(count_entries(dir), 2);
    out_file_abandon(f);
    out_file_abandon(NULL);
    assert_int_equal(count_entries(dir), 1);
    assert_content(in_dir("out"), "old", 3);
}

static void test_commit_keeps_mode_and_link(void **state)
{
    (void)state;
    struct err err = {0};
    struct stat st;
    put_file(in_dir("out"), "old", 3);
    assert_int_equal(chmod(in_dir("out"), 0640), 0);
    assert_int_equal(symlink("out", in_dir("link")), 0);
    struct out_file *f = out_file_open(in_dir("link"), &err);
    assert_ok(f, &err);
    assert_ok(out_file_write(f, "newer", 5, &err), &err);
    assert_ok(out_file_commit(f, &err), &err);
    assert_content(in_dir("out"), "newer", 5);
    assert_int_equal(stat(in_dir("out"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(lstat(in_dir("link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(count_entries(dir), 2);
}

static void test_two_writers_of_one_target_do_not_meet(void **state)
{
    (void)state;
    struct err err = {0};
    struct out_file *a = out_file_open(in_dir("out"), &err),
                    *b = out_file_open(in_dir("out"), &err);
    assert_ok(a && b, &err);
    assert_ok(out_file_write(a, "a", 1, &err), &err);
    assert_ok(out_file_write(b, "bb", 2, &err), &err);
    assert_ok(out_file_commit(b, &err), &err);
    assert_content(in_dir("out"), "bb", 2);
    assert_ok(out_file_commit(a, &err), &err);
    assert_content(in_dir("out"), "a", 1);
    assert_int_equal(count_entries(dir), 1);
}

static void test_targets_that_cannot_be_are_refused(void **state)
{
    (void)state;
    put_file(in_dir("a"), "x", 1);
    const char *refused[] = {".", "missing/out", "a/out"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct err err = {0};
        print_message("'%s'\n", refused[i]);
        assert_null(out_file_open(in_dir(refused[i]), &err));
        assert_refusal(&err, ERR_IO, refused[i][0] == '.' ? dir : in_dir(refused[i]));
    }
    struct err err = {0};
    assert_null(out_file_open("", &err));
    assert_int_equal(err.code, ERR_IO);
    assert_int_equal(count_entries(dir), 1);
}

/* The pipe comes first, in the test's own directory: were devices renamed over, this stops there
 * and leaves the machine's /dev alone. */
static void test_pipes_and_devices_are_written_in_place(void **state)
{
    (void)state;
    struct err err = {0};
    struct stat st;
    char got[2] = {0};
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    const int fd = open(in_dir("pipe"), O_RDONLY | O_NONBLOCK);
    struct out_file *f = out_file_open(in_dir("pipe"), &err);
    assert_ok(f, &err);
    assert_ok(out_file_write(f, "x", 1, &err), &err);
    assert_ok(out_file_commit(f, &err), &err);
    assert_int_equal(stat(in_dir("pipe"), &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(read(fd, got, 2), 1);
    close(fd);

    f = out_file_open("/dev/full", &err);
    assert_ok(f, &err);
    assert_ok(out_file_write(f, "x", 1, &err), &err); /* still in the buffer */
    assert_false(out_file_commit(f, &err));
    assert_refusal(&err, ERR_IO, "/dev/full");
    assert_non_null(strstr(err.text, "after 1 bytes"));
    assert_non_null(strstr(err.text, "free disk space"));
}

/* The file system says that it is full after `n_room` bytes (RLIMIT_FSIZE does, and as EFBIG once
 * SIGXFSZ is ignored): the write or the commit fails, and nothing is left. */
static void check_full(size_t n_room, size_t n_step, size_t n_total)
{
    struct err err = {0}, again = {0};
    struct rlimit before, tight;
    char *data = calloc(n_step, 1);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct out_file *f = out_file_open(in_dir("out"), &err);
    assert_ok(f, &err);
    tight = before;
    tight.rlim_cur = n_room;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    bool ok = true;
    for (size_t n = 0; n < n_total && ok; n += n_step) ok = out_file_write(f, data, n_step, &err);
    if (!ok) { /* once failed, always failed */
        assert_false(out_file_write(f, "x", 1, &again));
        assert_string_equal(again.text, err.text);
    }
    assert_false(out_file_commit(f, &err));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_refusal(&err, ERR_IO, "/out");
    assert_int_equal(count_entries(dir), 0);
    free(data);
}

static void test_a_full_disk_leaves_nothing(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    check_full(0, 1, 1);                /* seen by commit */
    check_full(1000, 10, 2000);         /* the same, part of it written */
    check_full(MIB + 5, 1000, 3 * MIB); /* seen by a write of the buffer */
    check_full(MIB, 2 * MIB, 2 * MIB);  /* seen by a write past the buffer */
}

static void test_dir_appears_whole(void **state)
{
    (void)state;
    struct err err = {0};
    struct out_dir *d = out_dir_open(in_dir("model//"), &err);
    assert_ok(d, &err);
    for (int i = 0; i < 3; i++) {
        char name[20];
        snprintf(name, sizeof name, "m%d", i);
        struct out_file *f = out_file_open(out_dir_member(d, name), &err);
        assert_ok(f, &err);
        assert_ok(out_file_write(f, name, 2, &err), &err);
        assert_ok(out_file_commit(f, &err), &err);
    }
    assert_false(path_exists(in_dir("model")));
    assert_ok(out_dir_commit(d, &err), &err);
    assert_true(path_is_dir(in_dir("model")));
    assert_content(in_dir("model/m2"), "m2", 2);
    assert_int_equal(count_entries(in_dir("model")), 3);
    assert_int_equal(count_entries(dir), 1);

    assert_null(out_dir_open(in_dir("model"), &err)); /* not empty */
    assert_refusal(&err, ERR_IO, in_dir("model"));
    assert_null(out_dir_open(in_dir("model/m1"), &err)); /* a file */
    assert_refusal(&err, ERR_IO, in_dir("model/m1"));
    assert_null(out_dir_open(in_dir("missing/x"), &err));
    assert_refusal(&err, ERR_IO, in_dir("missing/x"));
    assert_null(out_dir_open("", &err));
    assert_int_equal(count_entries(dir), 1);
}

static void test_dir_replaces_an_empty_one_and_abandon_removes_all(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(mkdir(in_dir("model"), 0700), 0);
    struct out_dir *d = out_dir_open(in_dir("model"), &err);
    assert_ok(d, &err);
    put_file(out_dir_member(d, "a"), "x", 1);
    assert_int_equal(mkdir(out_dir_member(d, "sub"), 0700), 0);
    put_file(out_dir_member(d, "sub/b"), "x", 1);
    out_dir_abandon(d);
    assert_int_equal(count_entries(dir), 1);
    assert_int_equal(count_entries(in_dir("model")), 0);

    d = out_dir_open(in_dir("model"), &err);
    assert_ok(d, &err);
    put_file(out_dir_member(d, "a"), "x", 1);
    assert_ok(out_dir_commit(d, &err), &err);
    assert_content(in_dir("model/a"), "x", 1);

    assert_int_equal(unlink(in_dir("model/a")), 0);
    d = out_dir_open(in_dir("model"), &err);
    put_file(in_dir("model/late"), "x", 1); /* somebody fills the target meanwhile */
    assert_false(out_dir_commit(d, &err));
    assert_refusal(&err, ERR_IO, in_dir("model"));
    assert_int_equal(count_entries(dir), 1);
    out_dir_abandon(NULL);
}

/* kB of huge pages in the map that holds `p`, by /proc/self/smaps. */
static long huge_kb_at(const void *p)
{
    char line[512];
    bool is_here = false;
    long kb = 0, sum = 0;
    FILE *f = fopen("/proc/self/smaps", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        unsigned long begin = 0, end = 0;
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
            is_here = (uintptr_t)p >= begin && (uintptr_t)p < end;
        if (is_here && sscanf(line, "AnonHugePages: %ld kB", &kb) == 1) sum += kb;
    }
    fclose(f);
    return sum;
}

/* A full page of every kind of place: chunks, an end that is no multiple of anything. */
static const size_t huge_sizes[] = {0, 1, 2 * MIB - 1, 2 * MIB, 16 * MIB, 53 * MIB + 4097};

static void test_huge_pages_hold_the_bytes_at_their_place(void **state)
{
    (void)state;
    uint8_t *want = malloc(54 * MIB);
    assert_non_null(want);
    for (size_t i = 0; i < 54 * MIB; i++) want[i] = (uint8_t)(i * 2654435761u >> 24);
    for (size_t i = 0; i < ARRAY_LEN(huge_sizes); i++) {
        struct err err = {0};
        const size_t n = huge_sizes[i];
        put_file(in_dir("huge"), want, n);
        struct file_map *f = file_map_open(in_dir("huge"), &err);
        assert_ok(f, &err);
        const uint8_t *at = file_map_data(f);
        const bool ok = file_map_make_huge(f, &err);
        assert_int_equal(n < 2 * MIB || ok, ok || err.code == ERR_OK);
        assert_ptr_equal(file_map_data(f), at);
        assert_int_equal(file_map_bytes(f), n);
        assert_memory_equal(at, want, n);
        if (!ok) {
            assert_refusal(&err, err.code, in_dir("huge"));
            print_message("skipped: %s\n", err.text);
            file_map_close(f);
            break;
        }
        /* what the map was made from may go now */
        if (n >= 2 * MIB) {
            assert_int_equal(truncate(in_dir("huge"), 0), 0);
            assert_memory_equal(at, want, n);
            print_message("%zu bytes: %ld kB in huge pages\n", n, huge_kb_at(at));
            assert_true(n < 16 * MIB || huge_kb_at(at) > 0); /* one page may not be found */
        }
        file_map_close(f);
    }
    free(want);
}

/* More than there is: refused in words, not by the system's killer, and nothing has changed. */
static void test_huge_pages_refuse_what_does_not_fit(void **state)
{
    (void)state;
    struct err err = {0};
    put_file(in_dir("large"), "first", 5);
    assert_int_equal(truncate(in_dir("large"), (off_t)1 << 42), 0);
    struct file_map *f = file_map_open(in_dir("large"), &err);
    assert_ok(f, &err);
    assert_false(file_map_make_huge(f, &err));
    assert_true(err.code == ERR_MEMORY || err.code == ERR_UNSUPPORTED);
    assert_refusal(&err, err.code, in_dir("large"));
    assert_memory_equal(file_map_data(f), "first", 5);
    file_map_close(f);
}

static void test_paths(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    path_join(&b, "a", "b");
    assert_string_equal(b.data, "a/b");
    path_join(&b, "/", "b");
    assert_string_equal(b.data, "/b");
    path_join(&b, "", "b");
    assert_string_equal(b.data, "b");
    buf_release(&b);
    assert_string_equal(path_base("a/b/c"), "c");
    assert_string_equal(path_base("c"), "c");
    assert_string_equal(path_base("c/"), "");
    assert_true(path_is_dir(dir));
    assert_false(path_is_dir("/dev/null"));
}

#define in_fresh_dir(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_fresh_dir(test_map_gives_the_bytes),
        in_fresh_dir(test_map_refuses_what_is_no_file),
        in_fresh_dir(test_read_all_obeys_both_limits),
        in_fresh_dir(test_read_all_takes_devices_and_refuses_directories),
        in_fresh_dir(test_written_bytes_arrive),
        in_fresh_dir(test_pad_goes_to_the_next_multiple),
        in_fresh_dir(test_abandon_leaves_the_old_file_alone),
        in_fresh_dir(test_commit_keeps_mode_and_link),
        in_fresh_dir(test_two_writers_of_one_target_do_not_meet),
        in_fresh_dir(test_targets_that_cannot_be_are_refused),
        in_fresh_dir(test_pipes_and_devices_are_written_in_place),
        in_fresh_dir(test_a_full_disk_leaves_nothing),
        in_fresh_dir(test_dir_appears_whole),
        in_fresh_dir(test_dir_replaces_an_empty_one_and_abandon_removes_all),
        in_fresh_dir(test_huge_pages_hold_the_bytes_at_their_place),
        in_fresh_dir(test_huge_pages_refuse_what_does_not_fit),
        in_fresh_dir(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
