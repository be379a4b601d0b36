/* SPDX-License-Identifier: Apache-2.0
 *
 * test_fault.c - every allocation and every system call of base/ made to fail in turn, until the
 * call succeeds; and the example of how other rooms do the same (tests/fault.h).
 *
 * A step returns true if all of its work was done, and cleans up after itself in either case (the
 * sanitizer run sees what it forgets). A step that did not succeed must have said why.
 */
#include "test.h"

#include <dirent.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json_write.h"
#include "base/os.h"
#include "base/team.h"
#include "fault.h"

static char dir[64];

static bool step_arena(struct err *err)
{
    struct arena *a = arena_new((size_t)64 << 20, err);
    bool ok = a != NULL;
    for (int round = 0; round < 2 && ok; round++) {
        for (size_t i = 1; i < 20 && ok; i++) ok = arena_array(a, i, 20000, err) != NULL;
        ok = ok && arena_copy(a, "x", 1, err);
        if (ok) arena_reset(a);
    }
    arena_free(a);
    return ok;
}

static bool step_buf(struct err *err)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 1000; i++) buf_printf(&b, "%d,", i);
    const bool ok = buf_check(&b, "list", err);
    char *text = buf_take(&b);
    assert_int_equal(text != NULL, ok);
    free(text);
    buf_release(&b);
    return ok;
}

static bool step_json_write(struct err *err)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    struct json_writer w = json_writer(&b);
    json_array(&w);
    for (int i = 0; i < 1000; i++) {
        json_object(&w);
        json_key(&w, "x\n");
        json_double(&w, i / 7.0);
        json_end(&w);
    }
    json_end(&w);
    const bool ok = buf_check(&b, "response", err);
    buf_release(&b);
    return ok;
}

static bool step_team(struct err *err)
{
    struct team *t = team_new(3, err);
    team_free(t);
    return t != NULL;
}

static bool step_big_alloc(struct err *err)
{
    void *p = os_big_alloc(5 << 20);
    os_big_free(p, 5 << 20);
    return p || err_set(err, ERR_MEMORY, "no memory");
}

static bool step_out_file(struct err *err)
{
    static const char data[3000] = {1};
    char path[128];
    snprintf(path, sizeof path, "%s/out", dir);
    struct out_file *f = out_file_open(path, err);
    if (!f) return false;
    bool ok = true;
    for (int i = 0; i < 1000 && ok; i++) ok = out_file_write(f, data, sizeof data, err);
    if (ok) return out_file_commit(f, err);
    out_file_abandon(f);
    return false;
}

static bool step_out_dir(struct err *err)
{
    char path[128];
    snprintf(path, sizeof path, "%s/tree", dir);
    (void)rmdir(path);
    struct out_dir *d = out_dir_open(path, err);
    if (!d) return false;
    const char *member = out_dir_member(d, "a");
    if (!member) {
        out_dir_abandon(d);
        return err_set(err, ERR_MEMORY, "no memory for the name");
    }
    struct out_file *f = out_file_open(member, err);
    const bool ok = f && out_file_commit(f, err);
    if (ok) (void)unlink(member); /* so that the next step finds an empty directory */
    if (ok) return out_dir_commit(d, err);
    out_dir_abandon(d);
    return false;
}

static bool step_read_all(struct err *err)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    const bool ok = file_read_all("/proc/self/status", 1 << 20, &b, err);
    assert_int_equal(b.n_bytes > 0, ok);
    buf_release(&b);
    return ok;
}

static bool step_map(struct err *err)
{
    char path[128];
    snprintf(path, sizeof path, "%s/mapped", dir);
    struct file_map *f = file_map_open(path, err);
    file_map_close(f);
    return f != NULL;
}

static bool has_huge_pages(void)
{
    char text[64] = "";
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r"); /* no call that fails */
    const bool is_read = f && fgets(text, sizeof text, f);
    if (f) fclose(f);
    return is_read && !strstr(text, "[never]");
}

/* The bytes are the same whatever failed. */
static bool step_huge(struct err *err)
{
    char path[128];
    snprintf(path, sizeof path, "%s/large", dir);
    struct file_map *f = file_map_open(path, err);
    if (!f) return false;
    const uint8_t *at = file_map_data(f);
    const bool ok = file_map_make_huge(f, err);
    for (size_t i = 0; i < file_map_bytes(f); i += 4096) assert_int_equal(at[i], (i >> 12) % 251);
    file_map_close(f);
    return ok;
}

static const struct fault_case {
    const char *what;
    bool (*step)(struct err *err);
    unsigned kinds;
    int64_t least; /* failing calls that there must be: a row with none tests nothing */
} cases[] = {
    /* clang-format off */
    /* what                  step             kinds                     least */
    {"arena",                step_arena,      FAULT_MEMORY,                 5},
    {"buf",                  step_buf,        FAULT_MEMORY,                 5},
    {"json_write",           step_json_write, FAULT_MEMORY,                 5},
    {"team",                 step_team,       FAULT_MEMORY,                 4},
    {"os_big_alloc",         step_big_alloc,  FAULT_MEMORY,                 1},
    {"out_file, memory",     step_out_file,   FAULT_MEMORY,                 3},
    {"out_file, I/O",        step_out_file,   FAULT_IO,                     6},
    {"out_dir, memory",      step_out_dir,    FAULT_MEMORY,                 5},
    {"out_dir, I/O",         step_out_dir,    FAULT_IO,                     5},
    {"file_read_all",        step_read_all,   FAULT_MEMORY | FAULT_IO,      4},
    {"file_map",             step_map,        FAULT_MEMORY | FAULT_IO,      5},
    {"file_map_make_huge",   step_huge,       FAULT_MEMORY | FAULT_IO,      8},
    /* clang-format on */
};

/* Parts that a failed step left behind. */
static int count_parts(void)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e; e = readdir(d))
        n += strstr(e->d_name, ".part-") != NULL;
    closedir(d);
    return n;
}

static void check_case(const struct fault_case *c, unsigned stays)
{
    for (int64_t n = 1;; n++) {
        struct err err = {0};
        fault_arm(c->kinds | stays, n);
        const bool ok = c->step(&err);
        const bool was_hit = fault_disarm();
        if (!ok && err.text[0] == 0)
            fail_msg("%s, call %jd: failed and said nothing", c->what, (intmax_t)n);
        if (ok && err.code != ERR_OK) fail_msg("%s, call %jd: %s", c->what, (intmax_t)n, err.text);
        if (count_parts() != 0) fail_msg("%s, call %jd: a part is left", c->what, (intmax_t)n);
        if (was_hit) continue;
        print_message("%s: %jd calls made to fail\n", c->what, (intmax_t)n - 1);
        if (!ok) fail_msg("%s fails without a fault: %s", c->what, err.text);
        if (n - 1 < c->least) fail_msg("%s: at least %jd expected", c->what, (intmax_t)c->least);
        return;
    }
}

static void test_every_call_may_fail(void **state)
{
    (void)state;
    char path[128], command[128];
    snprintf(dir, sizeof dir, "/tmp/cria-test-fault-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/mapped", dir);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs("bytes", f);
    fclose(f);
    snprintf(path, sizeof path, "%s/large", dir);
    f = fopen(path, "wb");
    assert_non_null(f);
    for (size_t i = 0; i < (17 << 20) >> 12; i++) {
        uint8_t page[4096];
        memset(page, (int)(i % 251), sizeof page);
        assert_int_equal(fwrite(page, 1, sizeof page, f), sizeof page);
    }
    fclose(f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (cases[i].step == step_huge && !has_huge_pages()) {
            print_message("skipped: %s: the system has huge pages off\n", cases[i].what);
            continue;
        }
        check_case(&cases[i], 0);
        check_case(&cases[i], FAULT_STAYS);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_call_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
