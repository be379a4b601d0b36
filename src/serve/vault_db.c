/* SPDX-License-Identifier: Apache-2.0
 *
 * vault_db.c - the vault's SQLite database: its file, its schema, its statements.
 *
 *   response  a row a response: the answer as the client got it, the items that it was asked with,
 *             and the response it went on from. A chain is walked by that, so that a conversation
 *             of n turns is kept once and not n times.
 *   chat      a document a chat of the page, as the page wrote it, and its version, drawn
 *             anew whenever it is written
 *   chat_text what a search finds in it (FTS5, by three letters at a time, so that words are found
 *             in languages that write no blanks)
 *
 * The file is bounded by its number of pages. When it is full, responses that were used longest ago
 * go, an eighth of them at a time; chats never go by themselves, and one key's may fill half of
 * the file. A whole disk is the same to SQLite and the same to us, except that then nothing can go
 * either: the job is refused, and all others go on.
 *
 * Write-ahead log with synchronous=NORMAL: a killed process loses nothing that was said to be kept,
 * a machine without power at most the last moments, and the file is never broken by either. Two
 * servers may share a file.
 *
 * A file of an earlier schema is brought up to date when it is opened, by the statements in
 * upgrades[], in one transaction: it is the old one or the new one, never half of each. A program
 * of that earlier schema refuses it from then on.
 *
 * The file may come from anywhere, so its schema is not trusted (DEFENSIVE, TRUSTED_SCHEMA off).
 *
 * Begin reading at vault_db_do(); the operations are rows at the end.
 */
#include "serve/vault_parts.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/json_write.h"
#include "base/log.h"

enum {
    APPLICATION_ID = 0x43726961, /* "Cria" */
    SCHEMA_VERSION = 3,
    PAGE_BYTES = 4096,
    BUSY_MS = 5000, /* for another server on the same file */
    MAX_TRIES = 12, /* times an eighth of the responses goes for one job */
};

#define SHARE_TABLE                                                                                \
    "CREATE TABLE share(key TEXT NOT NULL, chat TEXT NOT NULL, token TEXT NOT NULL UNIQUE,"        \
    " doc BLOB NOT NULL, PRIMARY KEY(key, chat))"

static const char schema[] =
    "CREATE TABLE response(id TEXT PRIMARY KEY, key TEXT NOT NULL, previous TEXT NOT NULL,"
    " used INTEGER NOT NULL, input BLOB NOT NULL, doc BLOB NOT NULL);"
    "CREATE INDEX response_used ON response(used);"
    "CREATE TABLE chat(n INTEGER PRIMARY KEY, key TEXT NOT NULL, id TEXT NOT NULL,"
    " updated INTEGER NOT NULL, n_bytes INTEGER NOT NULL, title TEXT NOT NULL, doc BLOB NOT NULL,"
    " version INTEGER NOT NULL DEFAULT 1, UNIQUE(key, id));"
    "CREATE INDEX chat_size ON chat(key, updated, n_bytes);"
    "CREATE VIRTUAL TABLE chat_text USING fts5(text, tokenize='trigram');" SHARE_TABLE;

/* upgrades[v]: from schema v to v + 1. */
static const char *const upgrades[SCHEMA_VERSION] = {
    [1] = "ALTER TABLE chat ADD COLUMN version INTEGER NOT NULL DEFAULT 1",
    [2] = SHARE_TABLE,
};

static const char *const sql[N_STATEMENTS] = {
    [PUT_RESPONSE] = "INSERT INTO response VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [GET_RESPONSE] = "SELECT doc, input, previous FROM response WHERE id = ?1 AND key = ?2",
    [DELETE_RESPONSE] = "DELETE FROM response WHERE id = ?1 AND key = ?2",
    [TOUCH_RESPONSE] = "UPDATE response SET used = ?2 WHERE id = ?1",
    [COUNT_RESPONSES] = "SELECT count(*) FROM response",
    [DROP_OLDEST] = "DELETE FROM response WHERE rowid IN"
                    " (SELECT rowid FROM response ORDER BY used LIMIT ?1)",
    [DROP_UNUSED] = "DELETE FROM response WHERE rowid IN"
                    " (SELECT rowid FROM response WHERE used < ?1 ORDER BY used LIMIT 1000)",
    [PUT_CHAT] = "INSERT INTO chat(key, id, updated, n_bytes, title, doc, version)"
                 " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(key, id) DO UPDATE SET"
                 " updated = ?3, n_bytes = ?4, title = ?5, doc = ?6, version = ?7"
                 " RETURNING n",
    [PUT_CHAT_TEXT] = "INSERT OR REPLACE INTO chat_text(rowid, text) VALUES(?1, ?2)",
    [FIND_CHAT] = "SELECT n, n_bytes, version, doc FROM chat WHERE key = ?1 AND id = ?2",
    [SIZE_OF_CHATS] = "SELECT count(*), total(n_bytes) FROM chat WHERE key = ?1",
    [DELETE_CHAT] = "DELETE FROM chat WHERE n = ?1",
    [DELETE_CHAT_TEXT] = "DELETE FROM chat_text WHERE rowid = ?1",
    [LIST_CHATS] = "SELECT id, title, updated, n_bytes, version FROM chat WHERE key = ?1"
                   " ORDER BY updated DESC, n DESC LIMIT ?2 OFFSET ?3",
    [MATCH_CHATS] = "SELECT id, title, updated, n_bytes, version FROM chat WHERE key = ?1 AND n IN"
                    " (SELECT rowid FROM chat_text WHERE chat_text MATCH ?4)"
                    " ORDER BY updated DESC, n DESC LIMIT ?2 OFFSET ?3",
    [SCAN_CHATS] = "SELECT c.id, c.title, c.updated, c.n_bytes, c.version FROM chat c"
                   " JOIN chat_text t ON t.rowid = c.n WHERE c.key = ?1"
                   " AND instr(lower(t.text), lower(?4)) ORDER BY c.updated DESC, c.n DESC"
                   " LIMIT ?2 OFFSET ?3",
    [PUT_SHARE] = "INSERT INTO share(key, chat, token, doc) VALUES(?1, ?2, ?3, ?4)"
                  " ON CONFLICT(key, chat) DO UPDATE SET doc = ?4 RETURNING token",
    [GET_SHARE] = "SELECT token FROM share WHERE key = ?1 AND chat = ?2",
    [READ_SHARE] = "SELECT doc FROM share WHERE token = ?1",
    [DELETE_SHARE] = "DELETE FROM share WHERE key = ?1 AND chat = ?2 RETURNING token",
};

/* ---- one statement ---- */

sqlite3_stmt *vault_fresh(struct vault_db *db, enum statement i)
{
    sqlite3_reset(db->statement[i]);
    sqlite3_clear_bindings(db->statement[i]);
    return db->statement[i];
}

void vault_bind_text(sqlite3_stmt *st, int i, const char *s)
{
    sqlite3_bind_text(st, i, s, -1, SQLITE_STATIC);
}

void vault_bind_buf(sqlite3_stmt *st, int i, const struct buf *b)
{
    sqlite3_bind_text64(st, i, b->data ? b->data : "", b->n_bytes, SQLITE_STATIC, SQLITE_UTF8);
}

bool vault_fail(struct vault_db *db, struct vault_job *job)
{
    const int code = sqlite3_errcode(db->sqlite) & 0xff;
    db->is_full = code == SQLITE_FULL;
    if (db->is_full)
        return refuse(&job->refusal, REFUSAL_STORE_FULL, NULL,
                      "the store of this server is full; it was not kept");
    if (job->refusal.kind == REFUSAL_NONE) log_warn("%s: %s", db->name, sqlite3_errmsg(db->sqlite));
    return refuse(&job->refusal, code == SQLITE_IOERR ? REFUSAL_STORE_FULL : REFUSAL_SERVER, NULL,
                  "the store of this server cannot be used: %s", sqlite3_errstr(code));
}

/* Runs to its end; what is left bound is unbound, so that it may be freed. */
bool vault_run(struct vault_db *db, enum statement i, struct vault_job *job)
{
    const int code = sqlite3_step(db->statement[i]);
    const bool ok = code == SQLITE_DONE || code == SQLITE_ROW || vault_fail(db, job);
    vault_fresh(db, i);
    return ok;
}

void vault_column(sqlite3_stmt *st, int i, struct buf *out)
{
    const void *data = sqlite3_column_blob(st, i); /* before its size, as SQLite asks */
    const int n = sqlite3_column_bytes(st, i);
    if (n > 0) buf_append(out, data, (size_t)n);
}

bool vault_check_doc(struct vault_job *job)
{
    return !job->doc.is_failed ||
           refuse(&job->refusal, REFUSAL_SERVER, NULL, "no memory for what is kept");
}

/* ---- jobs ---- */

static const struct op {
    bool (*run)(struct vault_db *db, struct vault_job *job);
    bool writes;
    bool gives; /* job->doc is a result */
} ops[] = {
    /* clang-format off */
    /*                        run              writes gives */
    [VAULT_PUT_RESPONSE]    = {vault_put_response,    true,  false},
    [VAULT_GET_RESPONSE]    = {vault_get_response,    false, true},
    [VAULT_GET_INPUT]       = {vault_get_response,    false, true},
    [VAULT_DELETE_RESPONSE] = {vault_delete_response, true,  false},
    [VAULT_GET_CHAIN]       = {vault_get_chain,       true,  true},
    [VAULT_PUT_CHAT]        = {vault_put_chat,        true,  false},
    [VAULT_GET_CHAT]        = {vault_get_chat,        false, true},
    [VAULT_DELETE_CHAT]     = {vault_delete_chat,     true,  false},
    [VAULT_LIST_CHATS]      = {vault_list_chats,      false, true},
    [VAULT_PUT_SHARE]       = {vault_put_share,       true,  true},
    [VAULT_GET_SHARE]       = {vault_get_share,       false, false},
    [VAULT_DELETE_SHARE]    = {vault_delete_share,    true,  false},
    [VAULT_READ_SHARE]      = {vault_read_share,      false, true},
    /* clang-format on */
};
static_assert(ARRAY_LEN(ops) == N_VAULT_OPS, "a row an operation");

static bool exec(struct vault_db *db, const char *text)
{
    return sqlite3_exec(db->sqlite, text, NULL, NULL, NULL) == SQLITE_OK;
}

static bool run_job(struct vault_db *db, struct vault_job *job)
{
    job->refusal = (struct refusal){0};
    db->is_full = false;
    if (ops[job->op].gives) buf_clear(&job->doc);
    return ops[job->op].run(db, job);
}

/* In a transaction of its own. */
static bool do_alone(struct vault_db *db, struct vault_job *job)
{
    if (!ops[job->op].writes) return run_job(db, job);
    if (!exec(db, "BEGIN IMMEDIATE")) return vault_fail(db, job);
    bool ok = run_job(db, job);
    if (ok && !exec(db, "COMMIT")) ok = vault_fail(db, job);
    if (!sqlite3_get_autocommit(db->sqlite)) exec(db, "ROLLBACK");
    return ok;
}

static struct vault_job *after(const struct vault_job *job)
{
    return (struct vault_job *)job->errand.next;
}

static bool do_together(struct vault_db *db, struct vault_job *first)
{
    bool ok = exec(db, "BEGIN IMMEDIATE");
    for (struct vault_job *job = first; ok && job; job = after(job)) {
        /* what was asked wrongly (no such id) has written nothing; what failed ends it all */
        const bool is_done = run_job(db, job);
        ok = is_done || refusal_status(job->refusal.kind) < 500;
    }
    ok = ok && exec(db, "COMMIT");
    if (!sqlite3_get_autocommit(db->sqlite)) exec(db, "ROLLBACK");
    return ok;
}

void vault_db_do(struct vault_db *db, struct vault_job *first)
{
    if (after(first) && do_together(db, first)) return;
    for (struct vault_job *job = first; job; job = after(job)) {
        bool ok = do_alone(db, job);
        for (int i = 0; i < MAX_TRIES && !ok && db->is_full; i++) {
            if (!vault_drop_oldest(db)) break;
            ok = do_alone(db, job);
        }
        if (!ok && job->refusal.kind == REFUSAL_STORE_FULL)
            log_warn("%s: %s", db->name, job->refusal.text);
    }
}

/* ---- the file ---- */

static int64_t pragma(struct vault_db *db, const char *text)
{
    sqlite3_stmt *st = NULL;
    int64_t value = -1;
    if (sqlite3_prepare_v2(db->sqlite, text, -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        value = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return value;
}

static bool cannot(struct vault_db *db, struct err *err)
{
    return err_set(err, ERR_IO, "%s: %s; give --store a file that can be written, of cria serve",
                   db->name, sqlite3_errmsg(db->sqlite));
}

static bool sign(struct vault_db *db)
{
    char text[100];
    snprintf(text, sizeof text, "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID,
             SCHEMA_VERSION);
    return exec(db, text);
}

static bool upgrade(struct vault_db *db, int64_t version, struct err *err)
{
    log_info("%s: schema %" PRId64 " becomes %d", db->name, version, SCHEMA_VERSION);
    bool ok = true;
    for (int64_t v = version; ok && v < SCHEMA_VERSION; v++) ok = exec(db, upgrades[v]);
    return (ok && sign(db)) || cannot(db, err);
}

/* Looked at again under the write lock: two servers may make one file at the same time. */
static bool check_schema(struct vault_db *db, struct err *err)
{
    if (!exec(db, "BEGIN IMMEDIATE")) return cannot(db, err);
    const int64_t id = pragma(db, "PRAGMA application_id");
    const int64_t version = pragma(db, "PRAGMA user_version");
    const bool is_new = pragma(db, "SELECT count(*) FROM sqlite_schema") == 0;
    bool ok = true;
    if (is_new)
        ok = (exec(db, schema) && sign(db)) || cannot(db, err);
    else if (id != APPLICATION_ID)
        ok = err_set(err, ERR_FORMAT,
                     "%s: it is a database of another program; give another --store", db->name);
    else if (version < 1 || version > SCHEMA_VERSION)
        ok = err_set(err, ERR_FORMAT,
                     "%s: its schema is version %" PRId64 ", this program's %d; use the program "
                     "that made it, or another --store",
                     db->name, version, SCHEMA_VERSION);
    else if (version < SCHEMA_VERSION)
        ok = upgrade(db, version, err);
    if (ok) ok = exec(db, "COMMIT") || cannot(db, err);
    if (!sqlite3_get_autocommit(db->sqlite)) exec(db, "ROLLBACK");
    return ok;
}

/* Made here so that nobody but its owner may read it; SQLite gives its log the same mode. */
static void make_file(const char *path)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd); /* if not, SQLite will say why */
}

static bool set_up(struct vault_db *db, struct err *err)
{
    char text[200];
    sqlite3_busy_timeout(db->sqlite, BUSY_MS);
    sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    snprintf(text, sizeof text,
             "PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
             "PRAGMA journal_size_limit=4194304; PRAGMA temp_store=MEMORY;"
             "PRAGMA max_page_count=%" PRId64,
             PAGE_BYTES, db->max_bytes / PAGE_BYTES);
    if (!exec(db, text)) return cannot(db, err);
    if (!check_schema(db, err)) return false;
    for (int i = 0; i < N_STATEMENTS; i++)
        if (sqlite3_prepare_v3(db->sqlite, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &db->statement[i],
                               NULL) != SQLITE_OK)
            return cannot(db, err);
    return true;
}

struct vault_db *vault_db_open(const struct vault_options *opt, struct err *err)
{
    struct vault_db *db = calloc(1, sizeof *db);
    if (!db) {
        err_set(err, ERR_MEMORY, "no memory for the store");
        return NULL;
    }
    db->name = opt->path ? opt->path : "the store in memory";
    db->max_bytes = opt->max_bytes;
    db->keep_s = opt->keep_s;
    if (opt->path) make_file(opt->path);
    const int code = sqlite3_open_v2(opt->path ? opt->path : ":memory:", &db->sqlite,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (!db->sqlite)
        err_set(err, ERR_MEMORY, "no memory for the store");
    else if (code != SQLITE_OK)
        cannot(db, err);
    else if (set_up(db, err))
        return db;
    vault_db_close(db);
    return NULL;
}

void vault_db_close(struct vault_db *db)
{
    if (!db) return;
    for (int i = 0; i < N_STATEMENTS; i++) sqlite3_finalize(db->statement[i]);
    sqlite3_close(db->sqlite);
    free(db);
}
