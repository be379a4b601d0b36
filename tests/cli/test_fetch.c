/* SPDX-License-Identifier: Apache-2.0
 *
 * test_fetch.c - downloads from a hub with every bad habit (tests/tools/hub_server.py, on this
 * machine): what ends well ends with the right bytes, what does not leaves no wrong file.
 */
#include "test.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/fetch.h"
#include "cli/hub_repo.h"
#include "fault.h"

#define WEIGHTS "model-00001-of-00002.safetensors"
#define N_WEIGHTS 300000

static struct {
    pid_t pid;
    int in; /* closing it ends the server */
    char url[64], dir[64];
    struct buf weights; /* the right bytes of WEIGHTS */
} hub;

static int start_hub(void **state)
{
    (void)state;
    int in[2], out[2];
    ssize_t n = 0;
    setenv("no_proxy", "127.0.0.1,localhost", 1);
    snprintf(hub.dir, sizeof hub.dir, "/tmp/cria-test-fetch-XXXXXX");
    if (!mkdtemp(hub.dir) || pipe(in) != 0 || pipe(out) != 0) return -1;
    hub.pid = fork();
    if (hub.pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(in[1]);
        close(out[0]);
        execlp("python3", "python3", CRIA_SOURCE_DIR "/tests/tools/hub_server.py", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    hub.in = in[1];
    for (ssize_t m = 1; m > 0 && !memchr(hub.url, '\n', sizeof hub.url); n += m) {
        m = read(out[0], hub.url + n, sizeof hub.url - 1 - (size_t)n);
        if (m < 0) break;
    }
    close(out[0]);
    hub.url[strcspn(hub.url, "\n")] = '\0';
    return 0;
}

static int stop_hub(void **state)
{
    (void)state;
    char command[96];
    close(hub.in);
    waitpid(hub.pid, NULL, 0);
    buf_release(&hub.weights);
    snprintf(command, sizeof command, "rm -rf '%s'", hub.dir);
    return system(command);
}

static void require_hub(void) { skip_without(hub.url[0] ? hub.url : NULL, "python3"); }

static const char *in_dir(const char *name)
{
    static char path[4][512];
    static int i = 0;
    i = (i + 1) % 4;
    snprintf(path[i], sizeof path[i], "%s/%s", hub.dir, name);
    return path[i];
}

static void remove_files(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'/*", hub.dir);
    assert_int_equal(system(command), 0);
}

static void put_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

static struct fetch *client(const char *token, struct err *err)
{
    const struct fetch_options opt = {
        .origin = hub.url, .token = token, .max_tries = 3, .first_wait_ms = 1, .stall_s = 1};
    return fetch_new(&opt, err);
}

/* A client, the listing of owner/REPO, and one of its files to fetch. */
struct visit {
    struct fetch *f;
    struct hub_repo *r;
    struct buf url;
    char path[128];
    struct fetch_want w;
};

static void visit_open(struct visit *v, const char *repo, const char *file)
{
    struct err err = {0};
    char name[96];
    snprintf(name, sizeof name, "owner/%s", repo);
    v->f = client(NULL, &err);
    assert_ok(v->f, &err);
    v->r = hub_repo_open(v->f, hub.url, name, NULL, NULL, &err);
    assert_ok(v->r, &err);
    buf_init(&v->url, 4096);
    snprintf(v->path, sizeof v->path, "%s/file", hub.dir);
    for (size_t i = 0; i < v->r->n_files; i++) {
        const struct hub_file *hf = &v->r->files[i];
        if (strcmp(hf->path, file) != 0) continue;
        hub_repo_url(v->r, hf, &v->url);
        v->w = (struct fetch_want){.url = v->url.data,
                                   .path = v->path,
                                   .n_bytes = hf->n_bytes,
                                   .sha256 = hf->sha256,
                                   .git_id = hf->git_id};
        return;
    }
    fail_msg("%s: no file %s", repo, file);
}

static void visit_close(struct visit *v)
{
    hub_repo_close(v->r);
    fetch_free(v->f);
    buf_release(&v->url);
}

/* The right bytes, once. */
static void learn_weights(void)
{
    struct err err = {0};
    struct visit v;
    if (hub.weights.n_bytes) return;
    visit_open(&v, "tiny", WEIGHTS);
    assert_ok(fetch_file(v.f, &v.w, NULL, &err), &err);
    buf_init(&hub.weights, 1 << 20);
    assert_ok(file_read_all(v.w.path, 1 << 20, &hub.weights, &err), &err);
    assert_int_equal(hub.weights.n_bytes, N_WEIGHTS);
    visit_close(&v);
    remove_files();
}

enum left { NOTHING, GOOD, SPOILED, OTHERS }; /* what the part is that an earlier run left */

static const struct fetch_case {
    const char *what, *repo, *file;
    enum left left;
    size_t n_left;
    enum err_code code;
    const char *text; /* in the message */
    int64_t n_fetched;
    bool keeps_part;
} fetch_cases[] = {
    /* clang-format off */
    /* what                             repo        file           left     n_left  code         text         fetched keeps */
    {"a whole file",                    "tiny",     WEIGHTS,       NOTHING, 0,      ERR_OK,      NULL,        300000, false},
    {"git's id instead of SHA-256",     "tiny",     "config.json", NOTHING, 0,      ERR_OK,      NULL,        700,    false},
    {"an empty file",                   "tiny",     "empty/.keep", NOTHING, 0,      ERR_OK,      NULL,        0,      false},
    {"a part is continued",             "tiny",     WEIGHTS,       GOOD,    100000, ERR_OK,      NULL,        200000, false},
    {"a complete part needs nothing",   "tiny",     WEIGHTS,       GOOD,    300000, ERR_OK,      NULL,        0,      false},
    {"a spoiled part costs one more",   "tiny",     WEIGHTS,       SPOILED, 100000, ERR_OK,      NULL,        500000, false},
    {"a spoiled complete part too",     "tiny",     WEIGHTS,       SPOILED, 300000, ERR_OK,      NULL,        300000, false},
    {"a part of another file",          "tiny",     WEIGHTS,       OTHERS,  100000, ERR_OK,      NULL,        300000, false},
    {"a part that is too long",         "tiny",     WEIGHTS,       OTHERS,  300001, ERR_OK,      NULL,        300000, false},
    {"three cuts",                      "cut",      WEIGHTS,       NOTHING, 0,      ERR_OK,      NULL,        300000, false},
    {"503 twice",                       "busy",     WEIGHTS,       NOTHING, 0,      ERR_OK,      NULL,        300000, false},
    {"Retry-After",                     "limit",    WEIGHTS,       NOTHING, 0,      ERR_OK,      NULL,        300000, false},
    {"503 for ever",                    "forever",  WEIGHTS,       NOTHING, 0,      ERR_NETWORK, "503",       0,      false},
    {"503 for ever keeps the part",     "forever",  WEIGHTS,       GOOD,    100000, ERR_NETWORK, "503",       0,      true},
    {"another host",                    "moved",    WEIGHTS,       NOTHING, 0,      ERR_OK,      NULL,        300000, false},
    {"no Range after a cut",            "norange",  WEIGHTS,       NOTHING, 0,      ERR_OK,      NULL,        450000, false},
    {"no ETag",                         "noetag",   WEIGHTS,       NOTHING, 0,      ERR_OK,      NULL,        300000, false},
    {"another ETag after a cut",        "changed",  WEIGHTS,       NOTHING, 0,      ERR_OK,      NULL,        450000, false},
    {"another range than asked for",    "badrange", WEIGHTS,       NOTHING, 0,      ERR_OK,      NULL,        450000, false},
    {"416 after a cut",                 "stale",    WEIGHTS,       NOTHING, 0,      ERR_OK,      NULL,        450000, false},
    {"a stalled connection",            "stall",    WEIGHTS,       NOTHING, 0,      ERR_OK,      NULL,        300000, false},
    {"wrong bytes",                     "wrong",    WEIGHTS,       NOTHING, 0,      ERR_FORMAT,  "SHA-256",   300000, false},
    {"wrong bytes after a part",        "wrong",    WEIGHTS,       GOOD,    100000, ERR_FORMAT,  "SHA-256",   500000, false},
    {"a login page",                    "page",     WEIGHTS,       NOTHING, 0,      ERR_FORMAT,  "sends 26",  0,      false},
    {"redirects without end",           "loop",     WEIGHTS,       NOTHING, 0,      ERR_NETWORK, "redirects", 0,      false},
    {"a redirect to ftp",               "down",     WEIGHTS,       NOTHING, 0,      ERR_NETWORK, "ftp:",      0,      false},
    {"a gated file",                    "gated",    WEIGHTS,       NOTHING, 0,      ERR_NETWORK, "401",       0,      false},
    /* clang-format on */
};

/* What an earlier run, or another program, left behind. */
static void leave_part(const struct fetch_case *c, const struct fetch_want *w)
{
    char info[512];
    char *part = calloc(1, c->n_left + 1);
    assert_non_null(part);
    memcpy(part, hub.weights.data, c->n_left < N_WEIGHTS ? c->n_left : N_WEIGHTS);
    if (c->left == SPOILED) part[c->n_left / 2] ^= 1;
    put_file(in_dir("file.part"), part, c->n_left);
    free(part);
    snprintf(info, sizeof info,
             "{\"bytes\":%d,\"sum\":\"sha256:%.62s%s\",\"url\":\"x\",\"etag\":\"\"}", N_WEIGHTS,
             w->sha256, c->left == OTHERS ? "xx" : w->sha256 + 62);
    put_file(in_dir("file.part.info"), info, strlen(info));
}

static void check_case(const struct fetch_case *c)
{
    struct err err = {0};
    struct visit v;
    struct buf got;
    uint64_t n = 0;
    remove_files();
    visit_open(&v, c->repo, c->file);
    if (c->left != NOTHING) leave_part(c, &v.w);
    const bool ok = fetch_file(v.f, &v.w, &n, &err);
    if (err.code != c->code || ok != (c->code == ERR_OK) || (c->text && !strstr(err.text, c->text)))
        fail_msg("%s: code %d \"%s\", expected %d \"%s\"", c->what, (int)err.code, err.text,
                 (int)c->code, c->text ? c->text : "");
    if ((int64_t)n != c->n_fetched)
        fail_msg("%s: %d bytes came, expected %d", c->what, (int)n, (int)c->n_fetched);
    if (path_exists(v.w.path) != ok) fail_msg("%s: the file is%s there", c->what, ok ? " not" : "");
    if (path_exists(in_dir("file.part")) != c->keeps_part ||
        path_exists(in_dir("file.part.info")) != c->keeps_part)
        fail_msg("%s: the part is%s there", c->what, c->keeps_part ? " not" : "");
    buf_init(&got, 1 << 20);
    if (ok) assert_ok(file_read_all(v.w.path, 1 << 20, &got, &err), &err);
    if (ok && got.n_bytes != v.w.n_bytes) fail_msg("%s: %zu bytes", c->what, got.n_bytes);
    if (ok && strcmp(c->file, WEIGHTS) == 0 && memcmp(got.data, hub.weights.data, N_WEIGHTS) != 0)
        fail_msg("%s: wrong bytes", c->what);
    /* What is there and right is not fetched again. */
    if (ok) assert_ok(fetch_file(v.f, &v.w, &n, &err), &err);
    if (ok && (n != 0 || fetch_missing(&v.w) != 0)) fail_msg("%s: fetched twice", c->what);
    buf_release(&got);
    visit_close(&v);
}

static void test_files_come_right_or_not_at_all(void **state)
{
    (void)state;
    require_hub();
    learn_weights();
    for (size_t i = 0; i < ARRAY_LEN(fetch_cases); i++) check_case(&fetch_cases[i]);
}

static void test_a_server_that_sends_too_much_is_cut_off(void **state)
{
    (void)state;
    require_hub();
    struct err err = {0};
    struct visit v;
    remove_files();
    visit_open(&v, "long", WEIGHTS);
    assert_false(fetch_file(v.f, &v.w, NULL, &err));
    assert_int_equal(err.code, ERR_FORMAT);
    assert_non_null(strstr(err.text, "more than the 300000 bytes"));
    assert_false(path_exists(v.w.path));
    visit_close(&v);
}

static bool stop_half_way(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)what;
    (void)user;
    return total == 0 || done < total / 2;
}

static void test_a_stopped_download_goes_on_later(void **state)
{
    (void)state;
    require_hub();
    learn_weights();
    remove_files();
    struct err err = {0};
    struct visit v;
    uint64_t n_first = 0, n_then = 0;
    const struct progress stop = {.tick = stop_half_way};
    visit_open(&v, "tiny", WEIGHTS);
    v.w.progress = &stop;
    const bool was_stopped = !fetch_file(v.f, &v.w, &n_first, &err);
    if (was_stopped) { /* on this machine all bytes may come at once, before anybody is asked */
        assert_int_equal(err.code, ERR_CANCELLED);
        assert_int_equal(fetch_missing(&v.w), N_WEIGHTS - n_first);
    }
    v.w.progress = NULL;
    assert_ok(fetch_file(v.f, &v.w, &n_then, &err), &err);
    assert_int_equal(n_first + n_then, N_WEIGHTS);
    visit_close(&v);
}

/* Whatever call fails: an error that says so and no file, or the right file. */
static void fail_each_call(unsigned kinds)
{
    for (int64_t n = 1;; n++) {
        struct err err = {0};
        struct visit v;
        struct stat st;
        remove_files();
        visit_open(&v, "tiny", "config.json");
        fault_arm(kinds, n);
        const bool ok = fetch_file(v.f, &v.w, NULL, &err);
        const bool was_hit = fault_disarm();
        assert_int_equal(ok, err.code == ERR_OK);
        assert_int_equal(ok, stat(v.w.path, &st) == 0);
        if (ok) assert_int_equal(st.st_size, 700);
        visit_close(&v);
        if (was_hit) continue;
        assert_true(ok && n > 3);
        return;
    }
}

static void test_failing_memory_and_disk_leave_no_wrong_file(void **state)
{
    (void)state;
    require_hub();
    fail_each_call(FAULT_MEMORY);
    fail_each_call(FAULT_MEMORY | FAULT_STAYS);
    fail_each_call(FAULT_IO);
    fail_each_call(FAULT_IO | FAULT_STAYS);
}

static const struct list_case {
    const char *repo, *revision;
    enum err_code code;
    const char *text;
} list_cases[] = {
    /* clang-format off */
    /* repo                    revision     code         text */
    {"owner/tiny",             NULL,        ERR_OK,      NULL},
    {"owner/tiny",             "refs/pr/1", ERR_OK,      NULL},
    {"owner/paged",            NULL,        ERR_OK,      NULL},
    {"owner/tiny",             "nope",      ERR_NETWORK, "--revision"},
    {"owner/nothere",          NULL,        ERR_NETWORK, "no such repository"},
    {"o/smollm2-360m-instrct", NULL,        ERR_NETWORK, "did you mean smollm2-360m-instruct?"},
    {"owner/dotdot",           NULL,        ERR_FORMAT,  "no safe path"},
    {"owner/absolute",         NULL,        ERR_FORMAT,  "no safe path"},
    {"owner/control",          NULL,        ERR_FORMAT,  "no safe path"},
    {"owner/huge",             NULL,        ERR_FORMAT,  "gives no size"},
    {"owner/nosum",            NULL,        ERR_FORMAT,  "no SHA-256"},
    {"owner/badjson",          NULL,        ERR_FORMAT,  "not JSON"},
    {"owner/notlist",          NULL,        ERR_FORMAT,  "no list"},
    {"owner/endless",          NULL,        ERR_LIMIT,   "pages"},
    /* clang-format on */
};

static void test_listings_are_checked(void **state)
{
    (void)state;
    require_hub();
    for (size_t i = 0; i < ARRAY_LEN(list_cases); i++) {
        const struct list_case *c = &list_cases[i];
        struct err err = {0};
        struct fetch *f = client(NULL, &err);
        assert_ok(f, &err);
        struct hub_repo *r = hub_repo_open(f, hub.url, c->repo, c->revision, NULL, &err);
        if (err.code != c->code || (c->text && !strstr(err.text, c->text)))
            fail_msg("%s: code %d \"%s\"", c->repo, (int)err.code, err.text);
        if (r && r->n_files != 18) fail_msg("%s: %zu files", c->repo, r->n_files);
        assert_int_equal(r != NULL, c->code == ERR_OK);
        hub_repo_close(r);
        fetch_free(f);
    }
}

static const struct want_case {
    const char *repo, *file;
    const char *wanted; /* the marked files, or what the message says */
    enum err_code code;
} want_cases[] = {
    /* clang-format off */
    {"owner/tiny", NULL,                            "LICENSE README.md USE_POLICY.md config.json generation_config.json special_tokens_map.json tokenizer.json tokenizer_config.json chat_template.jinja model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json ", ERR_OK},
    {"owner/tiny", "original/consolidated.00.pth",  "original/consolidated.00.pth ", ERR_OK},
    {"owner/gguf", "Tiny-Q8_0.gguf",                "Tiny-Q8_0.gguf ", ERR_OK},
    {"owner/gguf", "split/Big-00002-of-00002.gguf", "split/Big-00001-of-00002.gguf split/Big-00002-of-00002.gguf ", ERR_OK},
    {"owner/gguf", "Hole-00001-of-00002.gguf",      "Hole-00002-of-00002.gguf is not there", ERR_USAGE},
    {"owner/gguf", "q8_0",                          "did you mean :Tiny-Q8_0.gguf?", ERR_USAGE},
    {"owner/gguf", "nothing at all",                "cria pull --list owner/gguf", ERR_USAGE},
    {"owner/gguf", NULL,                            "name one with :FILE (Tiny-Q8_0.gguf, ", ERR_USAGE},
    /* clang-format on */
};

static void test_the_files_a_model_needs_are_chosen(void **state)
{
    (void)state;
    require_hub();
    for (size_t i = 0; i < ARRAY_LEN(want_cases); i++) {
        const struct want_case *c = &want_cases[i];
        struct err err = {0};
        struct buf names;
        buf_init(&names, 4096);
        buf_puts(&names, "");
        struct fetch *f = client(NULL, &err);
        assert_ok(f, &err);
        struct hub_repo *r = hub_repo_open(f, hub.url, c->repo, NULL, NULL, &err);
        assert_ok(r, &err);
        const bool ok = hub_repo_want(r, c->file, &err);
        for (size_t k = 0; ok && k < r->n_files; k++)
            if (r->files[k].is_wanted) buf_printf(&names, "%s ", r->files[k].path);
        assert_int_equal(err.code, c->code);
        if (ok)
            assert_string_equal(names.data, c->wanted);
        else if (!strstr(err.text, c->wanted))
            fail_msg("\"%s\" is not in \"%s\"", c->wanted, err.text);
        buf_release(&names);
        hub_repo_close(r);
        fetch_free(f);
    }
}

static void test_names_origins_and_tokens_are_checked(void **state)
{
    (void)state;
    static const char *const bad_repos[] = {"",      "/",      "a/",   "/b",    "a",
                                            "a/b/c", "../x",   "a/..", "a b/c", "a/b?x",
                                            "a/b#",  "a/b%2e", "-a/b"};
    static const char *const bad_origins[] = {"",        "hub",        "ftp://hub", "file:///etc",
                                              "http://", "https://a b"};
    static const char *const bad_tokens[] = {"a\r\nX: y", "a b", "\x7f", "\xc3\xa4"};
    struct err err = {0};
    assert_ok(hub_check_repo("meta-llama/Llama-3.2-1B_x.y", &err), &err);
    for (size_t i = 0; i < ARRAY_LEN(bad_repos); i++)
        if (hub_check_repo(bad_repos[i], &err)) fail_msg("\"%s\" passes", bad_repos[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad_origins); i++) {
        const struct fetch_options opt = {.origin = bad_origins[i]};
        err = (struct err){0};
        if (fetch_new(&opt, &err)) fail_msg("\"%s\" passes", bad_origins[i]);
        assert_int_equal(err.code, ERR_USAGE);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_tokens); i++) {
        const struct fetch_options opt = {.origin = "https://127.0.0.1", .token = bad_tokens[i]};
        err = (struct err){0};
        if (fetch_new(&opt, &err)) fail_msg("token %zu passes", i);
        assert_int_equal(err.code, ERR_USAGE);
        assert_null(strstr(err.text, bad_tokens[i])); /* a token is never shown */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_origins_and_tokens_are_checked),
        cmocka_unit_test(test_listings_are_checked),
        cmocka_unit_test(test_the_files_a_model_needs_are_chosen),
        cmocka_unit_test(test_files_come_right_or_not_at_all),
        cmocka_unit_test(test_a_server_that_sends_too_much_is_cut_off),
        cmocka_unit_test(test_a_stopped_download_goes_on_later),
        cmocka_unit_test(test_failing_memory_and_disk_leave_no_wrong_file),
    };
    return cmocka_run_group_tests(tests, start_hub, stop_hub);
}
