/* SPDX-License-Identifier: Apache-2.0
 *
 * test_store.c - what is said to be kept is there after a kill, what is not ours is not touched, a
 * key sees its own alone, and a full store refuses what it cannot hold and nothing else.
 */
#include "test.h"

#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "serve/vault.h"

enum { MB = 1 << 20 };

static char path[64];

static int make_folder(void **state)
{
    (void)state;
    char folder[] = "/tmp/cria_store_XXXXXX";
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/s.db", folder);
    return 0;
}

static int remove_folder(void **state)
{
    char command[100];
    (void)state;
    snprintf(command, sizeof command, "rm -r %.*s", (int)(strlen(path) - 5), path);
    return system(command);
}

static struct vault *open_store(const char *file, int64_t max_bytes, int64_t keep_s)
{
    struct err err = {0};
    const struct vault_options opt = {.path = file, .max_bytes = max_bytes, .keep_s = keep_s};
    struct vault *s = vault_open(&opt, &err);
    if (!s) fail_msg("%s", err.text);
    return s;
}

static void count(struct vault_job *job) { (*(int *)job->user)++; }

static void wait_for(struct vault *s, const int *n_done, int n)
{
    while (*n_done < n) {
        struct pollfd p = {.fd = vault_fd(s), .events = POLLIN};
        assert_true(poll(&p, 1, 10000) == 1);
        vault_take(s);
    }
}

/* Submits and waits; the kind of refusal. */
static enum refusal_kind ask(struct vault *s, struct vault_job *job)
{
    int n_done = 0;
    job->user = &n_done;
    job->done = count;
    vault_submit(s, job);
    wait_for(s, &n_done, 1);
    return job->refusal.kind;
}

static void fill_response(struct vault_job *job, const char *key, const char *id,
                          const char *previous, const char *question, const char *answer)
{
    vault_job_init(job, VAULT_PUT_RESPONSE, key, id);
    snprintf(job->previous, sizeof job->previous, "%s", previous);
    buf_printf(&job->input, "[{\"q\":\"%s\"}]", question);
    buf_printf(&job->doc, "{\"id\":\"%s\",\"output\":[{\"a\":\"%s\"}]}", id, answer);
}

static enum refusal_kind put(struct vault *s, const char *key, const char *id, const char *previous,
                             const char *question, const char *answer)
{
    struct vault_job job;
    fill_response(&job, key, id, previous, question, answer);
    const enum refusal_kind kind = ask(s, &job);
    vault_job_release(&job);
    return kind;
}

static enum refusal_kind put_chat(struct vault *s, const char *key, const char *id,
                                  const char *title, const char *text, int64_t updated)
{
    struct vault_job job;
    vault_job_init(&job, VAULT_PUT_CHAT, key, id);
    buf_puts(&job.title, title);
    buf_puts(&job.text, text);
    buf_printf(&job.doc, "{\"title\":\"%s\",\"text\":\"%s\"}", title, text);
    job.updated_ms = updated;
    job.expects = VAULT_ANY_VERSION;
    const enum refusal_kind kind = ask(s, &job);
    vault_job_release(&job);
    return kind;
}

/* What a job that reads gives: "!KIND" if it is refused. */
static const char *get(struct vault *s, enum vault_op op, const char *key, const char *id)
{
    static char text[2000];
    struct vault_job job;
    vault_job_init(&job, op, key, id);
    job.expects = VAULT_ANY_VERSION;
    const enum refusal_kind kind = ask(s, &job);
    if (kind)
        snprintf(text, sizeof text, "!%d", (int)kind);
    else
        snprintf(text, sizeof text, "%s", job.doc.data ? job.doc.data : "");
    vault_job_release(&job);
    return text;
}

static const char *refused(enum refusal_kind kind)
{
    static char text[20];
    snprintf(text, sizeof text, "!%d", (int)kind);
    return text;
}

static void test_a_key_sees_its_own(void **state)
{
    struct vault *s = open_store(path, 64 * MB, 0);
    (void)state;
    assert_int_equal(put(s, "alice", "r1", "", "q1", "a1"), REFUSAL_NONE);
    assert_int_equal(put(s, "alice", "r2", "r1", "q2", "a2"), REFUSAL_NONE);
    assert_int_equal(put(s, "alice", "r3", "r2", "q3", "a3"), REFUSAL_NONE);
    assert_string_equal(get(s, VAULT_GET_RESPONSE, "alice", "r2"),
                        "{\"id\":\"r2\",\"output\":[{\"a\":\"a2\"}]}");
    assert_string_equal(get(s, VAULT_GET_INPUT, "alice", "r2"), "[{\"q\":\"q2\"}]");
    assert_string_equal(get(s, VAULT_GET_CHAIN, "alice", "r3"),
                        "[{\"q\":\"q1\"},{\"a\":\"a1\"},{\"q\":\"q2\"},{\"a\":\"a2\"},{\"q\":"
                        "\"q3\"},{\"a\":\"a3\"}]");
    assert_string_equal(get(s, VAULT_GET_RESPONSE, "bob", "r2"), refused(REFUSAL_NO_ROUTE));
    assert_string_equal(get(s, VAULT_GET_RESPONSE, "", "r2"), refused(REFUSAL_NO_ROUTE));
    assert_string_equal(get(s, VAULT_GET_CHAIN, "bob", "r3"), refused(REFUSAL_PREVIOUS));
    assert_string_equal(get(s, VAULT_DELETE_RESPONSE, "bob", "r1"), refused(REFUSAL_NO_ROUTE));
    assert_string_equal(get(s, VAULT_DELETE_RESPONSE, "alice", "r1"), "");
    assert_string_equal(get(s, VAULT_DELETE_RESPONSE, "alice", "r1"), refused(REFUSAL_NO_ROUTE));
    /* a chain that lacks a turn is not answered as if it did not */
    assert_string_equal(get(s, VAULT_GET_CHAIN, "alice", "r3"), refused(REFUSAL_PREVIOUS));
    vault_close(s);
    s = open_store(path, 64 * MB, 0);
    assert_string_equal(get(s, VAULT_GET_INPUT, "alice", "r3"), "[{\"q\":\"q3\"}]");
    vault_close(s);
}

/* Ids only, in the order of the list. */
static const char *list(struct vault *s, const char *key, const char *words, int limit, int offset)
{
    static char ids[500];
    struct vault_job job;
    struct err err = {0};
    vault_job_init(&job, VAULT_LIST_CHATS, key, "");
    buf_puts(&job.text, words);
    job.limit = limit;
    job.offset = offset;
    assert_int_equal(ask(s, &job), REFUSAL_NONE);
    struct json_doc *d = json_parse(job.doc.data, job.doc.n_bytes, MB, "the list", &err);
    assert_non_null(d);
    struct json_iter it = json_iter(json_get(json_root(d), "data"));
    struct json chat;
    size_t n = 0;
    ids[0] = '\0';
    while (json_next(&it, NULL, NULL, &chat)) {
        const char *id = NULL;
        assert_true(json_str(json_get(chat, "id"), &id, NULL));
        n += (size_t)snprintf(ids + n, sizeof ids - n, "%s%s", n ? " " : "", id);
    }
    json_free(d);
    vault_job_release(&job);
    return ids;
}

static const struct search {
    const char *words, *ids;
} searches[] = {
    {"", "c3 c2 c1"},
    {"rainbow", "c1"},
    {"RAINBOW", "c1"},
    {"ainbo", "c1"},                                /* inside a word */
    {"rainbow drops", "c1"},                        /* both */
    {"rainbow python", ""},                         /* not either */
    {"python", "c2"},                               /* in the title */
    {"\xE7\xBB\x8F\xE6\xB5\x8E\xE5\xAD\xA6", "c3"}, /* 3 characters of Chinese */
    {"\xE7\xBB\x8F\xE6\xB5\x8E", "c3"},             /* 2: no index, but found */
    {"of", "c2 c1"},
    {"\"", "c2"},
    {"say \"hello\"", "c2"},
    {"text:rainbow OR NOT ( * ^", ""},
    {"zzz* NEAR(rainbow)", ""},
    {"   ", "c3 c2 c1"},
};

static void test_chats_are_listed_and_found(void **state)
{
    struct vault *s = open_store(NULL, 64 * MB, 0);
    (void)state;
    put_chat(s, "a", "c1", "Light", "Light a rainbow of drops", 10);
    put_chat(s, "a", "c2", "Python", "Python of say \"hello\" twice", 20);
    put_chat(s, "a", "c3", "x", "\xE6\x94\xBF\xE6\xB2\xBB\xE7\xBB\x8F\xE6\xB5\x8E\xE5\xAD\xA6", 30);
    put_chat(s, "b", "c1", "b's", "rainbow", 40);
    for (size_t i = 0; i < ARRAY_LEN(searches); i++) {
        print_message("%s\n", searches[i].words);
        assert_string_equal(list(s, "a", searches[i].words, 100, 0), searches[i].ids);
    }
    assert_string_equal(list(s, "a", "", 1, 1), "c2");
    assert_string_equal(list(s, "none", "", 10, 0), "");
    put_chat(s, "a", "c1", "Light", "now about sails", 50);
    assert_string_equal(list(s, "a", "", 10, 0), "c1 c3 c2");
    assert_string_equal(list(s, "a", "rainbow", 10, 0), "");
    assert_string_equal(list(s, "a", "sails", 10, 0), "c1");
    assert_string_equal(get(s, VAULT_GET_CHAT, "b", "c1"),
                        "{\"title\":\"b's\",\"text\":\"rainbow\"}");
    assert_string_equal(get(s, VAULT_DELETE_CHAT, "a", "c1"), "");
    assert_string_equal(get(s, VAULT_GET_CHAT, "a", "c1"), refused(REFUSAL_NO_ROUTE));
    assert_string_equal(get(s, VAULT_DELETE_CHAT, "a", "c1"), refused(REFUSAL_NO_ROUTE));
    assert_string_equal(list(s, "a", "sails", 10, 0), "");
    vault_close(s);
}

/* Writes the chat if it has version `expects`; its version then, or minus the refusal. */
static int64_t write_version(struct vault *s, enum vault_op op, const char *id, int64_t expects)
{
    struct vault_job job;
    vault_job_init(&job, op, "a", id);
    buf_puts(&job.doc, "{}");
    job.expects = expects;
    const enum refusal_kind kind = ask(s, &job);
    vault_job_release(&job);
    return kind ? -(int64_t)kind : job.version;
}

static void test_nobody_overwrites_what_they_did_not_see(void **state)
{
    struct vault *s = open_store(NULL, 64 * MB, 0);
    (void)state;
    const int64_t first = write_version(s, VAULT_PUT_CHAT, "v", 0);
    assert_true(first > 0);
    assert_int_equal(write_version(s, VAULT_PUT_CHAT, "v", 0), -REFUSAL_CHANGED);
    const int64_t second = write_version(s, VAULT_PUT_CHAT, "v", first);
    assert_true(second > 0 && second != first);
    assert_int_equal(write_version(s, VAULT_PUT_CHAT, "v", first), -REFUSAL_CHANGED);
    assert_int_equal(write_version(s, VAULT_DELETE_CHAT, "v", first), -REFUSAL_CHANGED);
    assert_int_equal(write_version(s, VAULT_GET_CHAT, "v", 0), second);
    assert_true(write_version(s, VAULT_DELETE_CHAT, "v", second) >= 0);
    assert_int_equal(write_version(s, VAULT_PUT_CHAT, "v", second), -REFUSAL_CHANGED);
    /* a chat made again is not the one that was read */
    const int64_t third = write_version(s, VAULT_PUT_CHAT, "v", 0);
    assert_true(third > 0 && third != second && third != first);
    assert_true(write_version(s, VAULT_PUT_CHAT, "v", VAULT_ANY_VERSION) > 0);
    vault_close(s);
}

static void test_a_full_store_makes_room(void **state)
{
    static char big[100000];
    char id[20];
    struct vault *s = open_store(NULL, 4 * MB, 0);
    (void)state;
    memset(big, 'x', sizeof big - 1);
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "r%d", i);
        assert_int_equal(put(s, "", id, "", big, "a"), REFUSAL_NONE);
    }
    assert_string_equal(get(s, VAULT_GET_RESPONSE, "", "r0"), refused(REFUSAL_NO_ROUTE));
    assert_true(get(s, VAULT_GET_RESPONSE, "", "r99")[0] == '{');
    /* a key's chats have a share; what is over it is refused, and the rest goes on */
    int n = 0;
    do {
        snprintf(id, sizeof id, "c%d", n++);
    } while (put_chat(s, "", id, "t", big, n) == REFUSAL_NONE && n < 100);
    assert_true(n > 4 && n < 10);
    assert_int_equal(put_chat(s, "", "c0", "t", "now small", 1), REFUSAL_NONE);
    assert_int_equal(put_chat(s, "", id, "t", "small", 1), REFUSAL_NONE);
    assert_int_equal(put_chat(s, "other", "c0", "t", big, 1), REFUSAL_NONE);
    /* more than can ever be held: refused, and nothing else is harmed but old responses */
    struct vault_job job;
    fill_response(&job, "", "huge", "", "q", "a");
    for (int i = 0; i < 60; i++) buf_append(&job.input, big, sizeof big);
    assert_int_equal(ask(s, &job), REFUSAL_STORE_FULL);
    vault_job_release(&job);
    assert_int_equal(put(s, "", "after", "", "q", "a"), REFUSAL_NONE);
    assert_true(get(s, VAULT_GET_CHAT, "", "c0")[0] == '{');
    vault_close(s);
}

/* One job of many that are done together cannot be: the others are. */
static void test_one_refusal_harms_no_other(void **state)
{
    enum { N = 50 };
    struct vault_job jobs[N];
    char id[20];
    int n_done = 0;
    struct vault *s = open_store(path, 64 * MB, 0);
    (void)state;
    for (int i = 0; i < N; i++) {
        snprintf(id, sizeof id, "m%d", i == 30 ? 3 : i); /* twice the same id */
        fill_response(&jobs[i], "", id, "", "q", "a");
        jobs[i].user = &n_done;
        jobs[i].done = count;
        vault_submit(s, &jobs[i]);
    }
    wait_for(s, &n_done, N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(jobs[i].refusal.kind, i == 30 ? REFUSAL_SERVER : REFUSAL_NONE);
        vault_job_release(&jobs[i]);
    }
    assert_true(get(s, VAULT_GET_RESPONSE, "", "m49")[0] == '{');
    vault_close(s);
}

static void exec_sql(const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_unused_responses_go(void **state)
{
    struct vault *s = open_store(path, 64 * MB, 3600);
    (void)state;
    put(s, "", "old", "", "q", "a");
    put(s, "", "new", "", "q", "a");
    put_chat(s, "", "kept", "t", "old chats stay", 1);
    vault_close(s);
    exec_sql("UPDATE response SET used = used - 4000 WHERE id = 'old'");
    s = open_store(path, 64 * MB, 3600);
    get(s, VAULT_GET_RESPONSE, "", "new");
    /* the first jobs are done before the first look at the clock */
    assert_string_equal(get(s, VAULT_GET_RESPONSE, "", "old"), refused(REFUSAL_NO_ROUTE));
    assert_true(get(s, VAULT_GET_RESPONSE, "", "new")[0] == '{');
    assert_true(get(s, VAULT_GET_CHAT, "", "kept")[0] == '{');
    vault_close(s);
}

/* ---- shares ---- */

static const char *share(struct vault *s, enum vault_op op, const char *key, const char *id,
                         const char *token)
{
    static char text[200];
    struct vault_job job;
    vault_job_init(&job, op, key, id);
    snprintf(job.previous, sizeof job.previous, "%s", token);
    const enum refusal_kind kind = ask(s, &job);
    if (kind)
        snprintf(text, sizeof text, "!%d", (int)kind);
    else
        snprintf(text, sizeof text, "%s", job.previous);
    vault_job_release(&job);
    return text;
}

static enum refusal_kind put_tree(struct vault *s, const char *key, const char *id, const char *doc)
{
    struct vault_job job;
    vault_job_init(&job, VAULT_PUT_CHAT, key, id);
    buf_puts(&job.doc, doc);
    job.expects = VAULT_ANY_VERSION;
    const enum refusal_kind kind = ask(s, &job);
    vault_job_release(&job);
    return kind;
}

static const char tree[] =
    "{\"id\":\"c\",\"title\":\"T\",\"leaf\":\"%s\",\"nodes\":{"
    "\"b\":{\"id\":\"b\",\"parent\":\"a\",\"role\":\"assistant\",\"content\":\"old\"},"
    "\"a\":{\"id\":\"a\",\"parent\":null,\"role\":\"user\",\"content\":\"hi\"},"
    "\"d\":{\"id\":\"d\",\"parent\":\"a\",\"role\":\"assistant\",\"content\":\"new\",\"sources\":"
    "[{\"number\":1,\"title\":\"S\",\"path\":\"/secret\",\"quote\":\"q\"}]},"
    "\"x\":{\"id\":\"x\",\"parent\":\"y\",\"role\":\"user\",\"content\":\"1\"},"
    "\"y\":{\"id\":\"y\",\"parent\":\"x\",\"role\":\"user\",\"content\":\"2\"}}}";
static const char shared_new[] =
    "{\"object\":\"shared_chat\",\"title\":\"T\",\"messages\":[{\"role\":\"user\",\"content\":"
    "\"hi\"},"
    "{\"role\":\"assistant\",\"content\":\"new\",\"sources\":[{\"number\":1,\"title\":\"S\"}]}]}";

static void put_leaf(struct vault *s, const char *key, const char *leaf)
{
    char doc[2000];
    const char *at = strstr(tree, "%s");
    snprintf(doc, sizeof doc, "%.*s%s%s", (int)(at - tree), tree, leaf, at + 2);
    assert_int_equal(put_tree(s, key, "c", doc), REFUSAL_NONE);
}

static void check_shares(struct vault *s)
{
    put_leaf(s, "al", "d");
    assert_string_equal(share(s, VAULT_GET_SHARE, "al", "c", ""), refused(REFUSAL_NO_ROUTE));
    assert_string_equal(share(s, VAULT_PUT_SHARE, "bo", "c", "t9"), refused(REFUSAL_NO_ROUTE));
    assert_string_equal(share(s, VAULT_PUT_SHARE, "al", "c", "t1"), "t1");
    assert_string_equal(get(s, VAULT_READ_SHARE, "", "t1"), shared_new);
    assert_string_equal(get(s, VAULT_READ_SHARE, "", "t9"), refused(REFUSAL_NO_ROUTE));
    /* a copy: what is written later is not in it until it is shared again, behind the same link */
    put_leaf(s, "al", "b");
    assert_string_equal(get(s, VAULT_READ_SHARE, "", "t1"), shared_new);
    assert_string_equal(share(s, VAULT_PUT_SHARE, "al", "c", "t2"), "t1");
    assert_non_null(strstr(get(s, VAULT_READ_SHARE, "", "t1"), "\"old\""));
    assert_null(strstr(get(s, VAULT_READ_SHARE, "", "t1"), "\"new\""));
    /* nobody else's */
    assert_string_equal(share(s, VAULT_GET_SHARE, "bo", "c", ""), refused(REFUSAL_NO_ROUTE));
    assert_string_equal(share(s, VAULT_DELETE_SHARE, "bo", "c", ""), refused(REFUSAL_NO_ROUTE));
    assert_string_equal(share(s, VAULT_GET_SHARE, "al", "c", ""), "t1");
    /* revoked */
    assert_string_equal(share(s, VAULT_DELETE_SHARE, "al", "c", ""), "t1");
    assert_string_equal(get(s, VAULT_READ_SHARE, "", "t1"), refused(REFUSAL_NO_ROUTE));
    assert_string_equal(share(s, VAULT_DELETE_SHARE, "al", "c", ""), refused(REFUSAL_NO_ROUTE));
    /* gone with its chat */
    assert_string_equal(share(s, VAULT_PUT_SHARE, "al", "c", "t3"), "t3");
    get(s, VAULT_DELETE_CHAT, "al", "c");
    assert_string_equal(get(s, VAULT_READ_SHARE, "", "t3"), refused(REFUSAL_NO_ROUTE));
    /* nothing to show; a circle ends */
    put_leaf(s, "al", "none");
    assert_string_equal(share(s, VAULT_PUT_SHARE, "al", "c", "t4"), refused(REFUSAL_VALUE));
    put_leaf(s, "al", "x");
    assert_string_equal(share(s, VAULT_PUT_SHARE, "al", "c", "t5"), "t5");
    get(s, VAULT_DELETE_CHAT, "al", "c");
}

static void test_shares(void **state)
{
    (void)state;
    struct vault *s = open_store(NULL, 64 * MB, 0);
    check_shares(s);
    vault_close(s);
}

/* A file of schema 1, as the program before this one made it. */
static void test_an_old_file_is_upgraded(void **state)
{
    (void)state;
    unlink(path);
    exec_sql("CREATE TABLE response(id TEXT PRIMARY KEY, key TEXT NOT NULL, previous TEXT NOT NULL,"
             " used INTEGER NOT NULL, input BLOB NOT NULL, doc BLOB NOT NULL);"
             "CREATE INDEX response_used ON response(used);"
             "CREATE TABLE chat(n INTEGER PRIMARY KEY, key TEXT NOT NULL, id TEXT NOT NULL,"
             " updated INTEGER NOT NULL, n_bytes INTEGER NOT NULL, title TEXT NOT NULL,"
             " doc BLOB NOT NULL, UNIQUE(key, id));"
             "CREATE INDEX chat_size ON chat(key, updated, n_bytes);"
             "CREATE VIRTUAL TABLE chat_text USING fts5(text, tokenize='trigram');"
             "INSERT INTO response VALUES('r', 'a', '', unixepoch(), '[]', '{\"old\":1}');"
             "INSERT INTO chat VALUES(7, 'a', 'c', 5, 2, 'Old', '{}');"
             "INSERT INTO chat_text(rowid, text) VALUES(7, 'Old words');"
             "PRAGMA application_id=1131571553; PRAGMA user_version=1");
    for (int i = 0; i < 2; i++) {
        struct vault *s = open_store(path, 64 * MB, 0);
        assert_string_equal(get(s, VAULT_GET_RESPONSE, "a", "r"), "{\"old\":1}");
        assert_string_equal(list(s, "a", "words", 10, 0), "c");
        assert_int_equal(write_version(s, VAULT_GET_CHAT, "c", 0), 1);
        if (i == 1) assert_true(write_version(s, VAULT_PUT_CHAT, "c", 1) > 0);
        check_shares(s);
        vault_close(s);
    }
}

static void refuses_file(const char *said)
{
    struct err err = {0};
    const struct vault_options opt = {.path = path, .max_bytes = MB};
    assert_null(vault_open(&opt, &err));
    if (!strstr(err.text, said) || !strstr(err.text, path)) fail_msg("%s", err.text);
}

static void test_foreign_files_are_left_alone(void **state)
{
    (void)state;
    exec_sql("PRAGMA user_version=4");
    refuses_file("version 4");
    exec_sql("PRAGMA user_version=0");
    refuses_file("version 0");
    exec_sql("PRAGMA user_version=3; PRAGMA application_id=7");
    refuses_file("another program");
    FILE *f = fopen(path, "w");
    fputs("Dear diary, this is a text that is longer than the header of a database is, and it "
          "goes on for a while so that nobody takes it for one.",
          f);
    fclose(f);
    refuses_file("not a database");
    unlink(path);
    struct err err = {0};
    const struct vault_options nowhere = {.path = "/nonexistent/s.db", .max_bytes = MB};
    assert_null(vault_open(&nowhere, &err));
    assert_non_null(strstr(err.text, "/nonexistent/s.db: unable to open"));
}

/* A child writes until it is killed, and says what it was told is kept. */
static void write_until_killed(int fd)
{
    struct vault *s = open_store(path, 64 * MB, 0);
    for (int i = 0;; i++) {
        char id[20];
        snprintf(id, sizeof id, "k%d", i);
        if (put(s, "", id, "", "question", "answer") != REFUSAL_NONE ||
            put_chat(s, "", id, "title", "some words of a chat", i) != REFUSAL_NONE ||
            write(fd, &i, sizeof i) != sizeof i)
            _exit(1);
    }
}

static void test_a_killed_server_has_kept_what_it_said(void **state)
{
    int fd[2], i = 0, n = 0;
    (void)state;
    assert_int_equal(pipe(fd), 0);
    const pid_t pid = fork();
    if (pid == 0) write_until_killed(fd[1]);
    close(fd[1]);
    while (n < 100 && read(fd[0], &i, sizeof i) == sizeof i) n++;
    kill(pid, SIGKILL);
    while (read(fd[0], &i, sizeof i) == sizeof i) n++; /* said before it died */
    close(fd[0]);
    waitpid(pid, NULL, 0);
    assert_true(n >= 100);
    struct vault *s = open_store(path, 64 * MB, 0);
    for (i = 0; i < n; i++) {
        char id[20];
        snprintf(id, sizeof id, "k%d", i);
        assert_true(get(s, VAULT_GET_RESPONSE, "", id)[0] == '{');
        assert_true(get(s, VAULT_GET_CHAT, "", id)[0] == '{');
    }
    vault_close(s);
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
    sqlite3_finalize(st);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO chat_text(chat_text) VALUES('integrity-check')",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
}

static void test_two_servers_share_a_file(void **state)
{
    struct vault *a = open_store(path, 64 * MB, 0), *b = open_store(path, 64 * MB, 0);
    (void)state;
    for (int i = 0; i < 20; i++) {
        char id[20];
        snprintf(id, sizeof id, "s%d", i);
        assert_int_equal(put(i % 2 ? a : b, "", id, "", "q", "a"), REFUSAL_NONE);
        assert_true(get(i % 2 ? b : a, VAULT_GET_RESPONSE, "", id)[0] == '{');
    }
    vault_close(a);
    vault_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_sees_its_own),
        cmocka_unit_test(test_chats_are_listed_and_found),
        cmocka_unit_test(test_nobody_overwrites_what_they_did_not_see),
        cmocka_unit_test(test_a_full_store_makes_room),
        cmocka_unit_test(test_one_refusal_harms_no_other),
        cmocka_unit_test(test_unused_responses_go),
        cmocka_unit_test(test_two_servers_share_a_file),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_an_old_file_is_upgraded),
        cmocka_unit_test(test_foreign_files_are_left_alone),
        cmocka_unit_test(test_a_killed_server_has_kept_what_it_said),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
