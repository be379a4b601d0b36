/* SPDX-License-Identifier: Apache-2.0
 *
 * store.c - the index in its SQLite file.
 *
 * Passages are rows, their words an FTS5 table over those rows (external content: the text is there
 * once), their vectors blobs. All of one document is written within one transaction, and several
 * documents share one (index.c), so whatever interrupts a run leaves an index that is whole.
 *
 * A file that somebody hands us may be built to attack: the schema is not trusted (no functions in
 * views or triggers), extensions stay off, writing to SQLite's own tables is off, and every query
 * binds its values. The application id tells an index from any other database before we write.
 *
 * Write-ahead log, so that a server reads while `cria index` writes. A directory where we may not
 * write cannot have one: there the file is opened as immutable.
 */
#include "retrieve/store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

enum {
    APPLICATION_ID = 0x43724958, /* "CrIX" */
    SCHEMA_VERSION = 1,
    BUSY_MS = 5000,
};

static const char schema[] =
    "CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE roots(root TEXT PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE documents(id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE,"
    " root TEXT NOT NULL, title TEXT NOT NULL, reader TEXT NOT NULL, size INTEGER NOT NULL,"
    " mtime_ns INTEGER NOT NULL, sha256 BLOB NOT NULL, n_chunks INTEGER NOT NULL,"
    " pass INTEGER NOT NULL);"
    "CREATE INDEX document_root ON documents(root, pass);"
    "CREATE TABLE chunks(id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL,"
    " ordinal INTEGER NOT NULL, begin_byte INTEGER NOT NULL, end_byte INTEGER NOT NULL,"
    " heading TEXT NOT NULL, body TEXT NOT NULL);"
    "CREATE INDEX chunk_document ON chunks(document, ordinal);"
    "CREATE VIRTUAL TABLE chunk_words USING fts5(heading, body, content='chunks', "
    "content_rowid='id',"
    " tokenize='porter unicode61 remove_diacritics 2');"
    "CREATE TABLE vectors(chunk INTEGER PRIMARY KEY, vector BLOB NOT NULL);";

enum statement {
    Q_FIND,
    Q_TOUCH,
    Q_PUT_DOCUMENT,
    Q_PUT_CHUNK,
    Q_PUT_WORDS,
    Q_DROP_WORDS,
    Q_DROP_VECTORS,
    Q_DROP_CHUNKS,
    Q_DROP_VALIDATORS,
    Q_DROP_DOCUMENT,
    Q_UNSEEN,
    N_STATEMENTS
};

static const char *const sql[N_STATEMENTS] = {
    [Q_FIND] = "SELECT id, size, mtime_ns, sha256, n_chunks FROM documents WHERE path = ?1",
    [Q_TOUCH] = "UPDATE documents SET size = ?2, mtime_ns = ?3, pass = ?4 WHERE id = ?1",
    [Q_PUT_DOCUMENT] = "INSERT INTO documents(path, root, title, reader, size, mtime_ns, sha256,"
                       " n_chunks, pass) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [Q_PUT_CHUNK] = "INSERT INTO chunks(document, ordinal, begin_byte, end_byte, heading, body)"
                    " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [Q_PUT_WORDS] = "INSERT INTO chunk_words(rowid, heading, body) VALUES(?1, ?2, ?3)",
    [Q_DROP_WORDS] = "INSERT INTO chunk_words(chunk_words, rowid, heading, body)"
                     " SELECT 'delete', id, heading, body FROM chunks WHERE document = ?1",
    [Q_DROP_VECTORS] = "DELETE FROM vectors WHERE chunk IN"
                       " (SELECT id FROM chunks WHERE document = ?1)",
    [Q_DROP_CHUNKS] = "DELETE FROM chunks WHERE document = ?1",
    [Q_DROP_VALIDATORS] = "DELETE FROM settings WHERE key ="
                          " (SELECT 'validators ' || path FROM documents WHERE id = ?1)",
    [Q_DROP_DOCUMENT] = "DELETE FROM documents WHERE id = ?1",
    [Q_UNSEEN] = "SELECT id FROM documents WHERE root = ?1 AND pass < ?2 LIMIT 1",
};

struct store {
    sqlite3 *db;
    char *path;
    int64_t pass;
    sqlite3_stmt *statement[N_STATEMENTS];
};

struct sqlite3 *store_db(struct store *s) { return s->db; }

bool store_fail(struct store *s, struct err *err)
{
    static const struct {
        int rc;
        enum err_code code;
        const char *remedy;
    } known[] = {
        {SQLITE_BUSY, ERR_BUSY, "another process is writing to it; try again when it is done"},
        {SQLITE_LOCKED, ERR_BUSY, "another process is writing to it; try again when it is done"},
        {SQLITE_FULL, ERR_IO, "free some space; what was committed before is kept"},
        {SQLITE_CORRUPT, ERR_FORMAT, "the index is damaged; remove it and index again"},
        {SQLITE_NOTADB, ERR_FORMAT, "this is no index; name another file"},
        {SQLITE_READONLY, ERR_IO, "give the right to write to it and to its directory"},
        {SQLITE_CANTOPEN, ERR_IO, "look at the path and its rights"},
        {SQLITE_NOMEM, ERR_MEMORY, "free some memory"},
    };
    const int rc = sqlite3_errcode(s->db) & 0xff;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].rc == rc)
            return err_set(err, known[i].code, "%s: %s; %s", s->path, sqlite3_errmsg(s->db),
                           known[i].remedy);
    return err_set(err, ERR_IO, "%s: %s; index again if this stays", s->path,
                   sqlite3_errmsg(s->db));
}

static bool exec(struct store *s, const char *text, struct err *err)
{
    return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK || store_fail(s, err);
}

/* The number that a one-number query gives. */
static bool number(struct store *s, const char *query, int64_t *out, struct err *err)
{
    sqlite3_stmt *q = NULL;
    const bool ok = sqlite3_prepare_v2(s->db, query, -1, &q, NULL) == SQLITE_OK &&
                    sqlite3_step(q) == SQLITE_ROW;
    if (ok) *out = sqlite3_column_int64(q, 0);
    if (!ok) store_fail(s, err);
    sqlite3_finalize(q);
    return ok;
}

static sqlite3_stmt *query(struct store *s, enum statement i, struct err *err)
{
    if (!s->statement[i] && sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                               &s->statement[i], NULL) != SQLITE_OK) {
        store_fail(s, err);
        return NULL;
    }
    sqlite3_reset(s->statement[i]);
    sqlite3_clear_bindings(s->statement[i]);
    return s->statement[i];
}

/* Runs a statement that gives no rows. */
static bool run(struct store *s, sqlite3_stmt *q, struct err *err)
{
    const int rc = sqlite3_step(q);
    const bool ok = rc == SQLITE_DONE || store_fail(s, err);
    sqlite3_reset(q);
    return ok;
}

/* ---- opening ---- */

static bool prepare_new(struct store *s, struct err *err)
{
    char text[128];
    snprintf(text, sizeof text, "PRAGMA application_id = %d; PRAGMA user_version = %d",
             APPLICATION_ID, SCHEMA_VERSION);
    return exec(s, "BEGIN IMMEDIATE", err) && exec(s, schema, err) && exec(s, text, err) &&
           exec(s, "COMMIT", err);
}

/* It is an index of a version that we read, or an empty file that becomes one. */
static bool check_kind(struct store *s, enum store_mode mode, struct err *err)
{
    int64_t id = 0, version = 0, n_tables = 0;
    if (!number(s, "PRAGMA application_id", &id, err) ||
        !number(s, "PRAGMA user_version", &version, err) ||
        !number(s, "SELECT count(*) FROM sqlite_schema", &n_tables, err))
        return false;
    if (id == 0 && n_tables == 0 && mode == STORE_WRITE) return prepare_new(s, err);
    if (id != APPLICATION_ID)
        return err_set(err, ERR_FORMAT, "%s: a database, but no index; name another file", s->path);
    if (version != SCHEMA_VERSION)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: an index of version %lld, this program reads %d; remove it and index "
                       "again",
                       s->path, (long long)version, SCHEMA_VERSION);
    return true;
}

/* Read-only where the directory takes no log file. Returns the URI, owned. */
static char *uri_of(const char *path, bool is_immutable)
{
    struct buf b;
    buf_init(&b, 16384);
    buf_puts(&b, "file:");
    for (const char *c = path; *c; c++) {
        if (*c == '%' || *c == '?' || *c == '#')
            buf_printf(&b, "%%%02X", (unsigned)(unsigned char)*c);
        else
            buf_putc(&b, *c);
    }
    if (is_immutable) buf_puts(&b, "?immutable=1");
    return buf_take(&b);
}

static bool is_dir_writable(const char *path)
{
    char *dir = strdup(path);
    if (!dir) return true;
    char *slash = strrchr(dir, '/');
    if (slash) *(slash == dir ? slash + 1 : slash) = 0;
    const bool is_writable = access(slash ? dir : ".", W_OK) == 0;
    free(dir);
    return is_writable;
}

static bool open_db(struct store *s, enum store_mode mode, struct err *err)
{
    const int flags =
        (mode == STORE_WRITE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY) |
        SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
    char *uri = uri_of(s->path, mode == STORE_READ && !is_dir_writable(s->path));
    if (!uri) return err_set(err, ERR_MEMORY, "%s: no memory for the path", s->path);
    const int rc = sqlite3_open_v2(uri, &s->db, flags, NULL);
    free(uri);
    if (!s->db) return err_set(err, ERR_MEMORY, "%s: no memory to open it", s->path);
    if (rc != SQLITE_OK) return store_fail(s, err);
    sqlite3_busy_timeout(s->db, BUSY_MS);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    return exec(s, "PRAGMA cell_size_check = 1; PRAGMA synchronous = NORMAL", err);
}

struct store *store_open(const char *path, enum store_mode mode, struct err *err)
{
    if (mode == STORE_READ && !path_exists(path)) {
        err_set(err, ERR_IO, "%s: there is no such index; make one with cria index", path);
        return NULL;
    }
    if (path_is_dir(path)) {
        err_set(err, ERR_IO, "%s: a directory; the index is one file, named first", path);
        return NULL;
    }
    struct store *s = calloc(1, sizeof *s);
    if (s) s->path = strdup(path);
    if (!s || !s->path) {
        err_set(err, ERR_MEMORY, "%s: no memory to open it", path);
        free(s);
        return NULL;
    }
    if (!open_db(s, mode, err) || !check_kind(s, mode, err) ||
        (mode == STORE_WRITE && !exec(s, "PRAGMA journal_mode = WAL", err))) {
        store_close(s);
        return NULL;
    }
    return s;
}

void store_close(struct store *s)
{
    if (!s) return;
    for (int i = 0; i < N_STATEMENTS; i++) sqlite3_finalize(s->statement[i]);
    sqlite3_close(s->db);
    free(s->path);
    free(s);
}

bool store_begin(struct store *s, struct err *err) { return exec(s, "BEGIN IMMEDIATE", err); }

bool store_commit(struct store *s, struct err *err) { return exec(s, "COMMIT", err); }

/* ---- settings and roots ---- */

static bool run_text(struct store *s, const char *text, const char *a, const char *b,
                     struct err *err)
{
    sqlite3_stmt *q = NULL;
    bool ok = sqlite3_prepare_v2(s->db, text, -1, &q, NULL) == SQLITE_OK || store_fail(s, err);
    if (ok) {
        sqlite3_bind_text(q, 1, a, -1, SQLITE_STATIC);
        if (b) sqlite3_bind_text(q, 2, b, -1, SQLITE_STATIC);
        ok = run(s, q, err);
    }
    sqlite3_finalize(q);
    return ok;
}

bool store_set(struct store *s, const char *key, const char *value, struct err *err)
{
    return run_text(s, "INSERT OR REPLACE INTO settings VALUES(?1, ?2)", key, value, err);
}

bool store_get(struct store *s, const char *key, struct buf *out, struct err *err)
{
    sqlite3_stmt *q = NULL;
    bool ok = sqlite3_prepare_v2(s->db, "SELECT value FROM settings WHERE key = ?1", -1, &q,
                                 NULL) == SQLITE_OK;
    if (ok) {
        sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
        const int rc = sqlite3_step(q);
        ok = rc == SQLITE_ROW || rc == SQLITE_DONE;
        const char *value = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(q, 0) : NULL;
        if (value) buf_puts(out, value);
    }
    if (!ok) store_fail(s, err);
    sqlite3_finalize(q);
    return ok && buf_check(out, key, err);
}

bool store_add_root(struct store *s, const char *root, struct err *err)
{
    return run_text(s, "INSERT OR IGNORE INTO roots VALUES(?1)", root, NULL, err);
}

bool store_remove_root(struct store *s, const char *root, struct err *err)
{
    int64_t n_removed = 0;
    if (!store_pass(s, err) || !store_sweep(s, root, &n_removed, err) ||
        !run_text(s, "DELETE FROM roots WHERE root = ?1", root, NULL, err))
        return false;
    /* what was sent is no source, but has documents */
    return n_removed > 0 || sqlite3_changes(s->db) > 0 ||
           err_set(err, ERR_USAGE, "%s: nothing of that name was indexed; see --list", root);
}

bool store_each_root(struct store *s, bool (*fn)(void *user, const char *root), void *user,
                     struct err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db, "SELECT root FROM roots ORDER BY root", -1, &q, NULL);
    if (rc == SQLITE_OK)
        while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
            const char *root = (const char *)sqlite3_column_text(q, 0);
            if (root && !fn(user, root)) break;
        }
    const bool ok = rc == SQLITE_DONE || rc == SQLITE_ROW || store_fail(s, err);
    sqlite3_finalize(q);
    return ok;
}

/* ---- documents ---- */

int store_find(struct store *s, const char *path, struct document *out, struct err *err)
{
    sqlite3_stmt *q = query(s, Q_FIND, err);
    if (!q) return -1;
    sqlite3_bind_text(q, 1, path, -1, SQLITE_STATIC);
    const int rc = sqlite3_step(q);
    int found = 0;
    if (rc == SQLITE_ROW) {
        *out = (struct document){.id = sqlite3_column_int64(q, 0),
                                 .size_bytes = sqlite3_column_int64(q, 1),
                                 .mtime_ns = sqlite3_column_int64(q, 2),
                                 .n_chunks = sqlite3_column_int64(q, 4)};
        const void *sum = sqlite3_column_blob(q, 3);
        if (sum && sqlite3_column_bytes(q, 3) == sizeof out->sha256)
            memcpy(out->sha256, sum, sizeof out->sha256);
        found = 1;
    } else if (rc != SQLITE_DONE) {
        store_fail(s, err);
        found = -1;
    }
    sqlite3_reset(q);
    return found;
}

bool store_touch(struct store *s, int64_t id, int64_t size_bytes, int64_t mtime_ns, struct err *err)
{
    sqlite3_stmt *q = query(s, Q_TOUCH, err);
    if (!q) return false;
    sqlite3_bind_int64(q, 1, id);
    sqlite3_bind_int64(q, 2, size_bytes);
    sqlite3_bind_int64(q, 3, mtime_ns);
    sqlite3_bind_int64(q, 4, s->pass);
    return run(s, q, err);
}

bool store_remove(struct store *s, int64_t id, struct err *err)
{
    static const enum statement steps[] = {Q_DROP_WORDS, Q_DROP_VECTORS, Q_DROP_CHUNKS,
                                           Q_DROP_VALIDATORS, Q_DROP_DOCUMENT};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        sqlite3_stmt *q = query(s, steps[i], err);
        if (!q) return false;
        sqlite3_bind_int64(q, 1, id);
        if (!run(s, q, err)) return false;
    }
    return true;
}

static bool put_document(struct store *s, const struct document *d, struct err *err)
{
    sqlite3_stmt *q = query(s, Q_PUT_DOCUMENT, err);
    if (!q) return false;
    sqlite3_bind_text(q, 1, d->path, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 2, d->root, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 3, d->title, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 4, d->reader, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 5, d->size_bytes);
    sqlite3_bind_int64(q, 6, d->mtime_ns);
    sqlite3_bind_blob(q, 7, d->sha256, sizeof d->sha256, SQLITE_STATIC);
    sqlite3_bind_int64(q, 8, d->n_chunks);
    sqlite3_bind_int64(q, 9, s->pass);
    return run(s, q, err);
}

static bool put_chunk(struct store *s, int64_t document, size_t ordinal, const struct chunk *c,
                      const char *text, int64_t *id, struct err *err)
{
    const int n = (int)(c->end - c->begin);
    sqlite3_stmt *q = query(s, Q_PUT_CHUNK, err);
    if (!q) return false;
    sqlite3_bind_int64(q, 1, document);
    sqlite3_bind_int64(q, 2, (int64_t)ordinal);
    sqlite3_bind_int64(q, 3, (int64_t)c->begin);
    sqlite3_bind_int64(q, 4, (int64_t)c->end);
    sqlite3_bind_text(q, 5, c->heading, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 6, text + c->begin, n, SQLITE_STATIC);
    if (!run(s, q, err)) return false;
    *id = sqlite3_last_insert_rowid(s->db);

    q = query(s, Q_PUT_WORDS, err);
    if (!q) return false;
    sqlite3_bind_int64(q, 1, *id);
    sqlite3_bind_text(q, 2, c->heading, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 3, text + c->begin, n, SQLITE_STATIC);
    return run(s, q, err);
}

bool store_put(struct store *s, struct document *d, const struct doc *text,
               const struct chunks *chunks, int64_t *chunk_id, struct err *err)
{
    struct document old;
    const int found = store_find(s, d->path, &old, err);
    if (found < 0 || (found && !store_remove(s, old.id, err))) return false;
    d->n_chunks = (int64_t)chunks->n;
    if (!put_document(s, d, err)) return false;
    d->id = sqlite3_last_insert_rowid(s->db);
    for (size_t i = 0; i < chunks->n; i++) {
        int64_t id = 0;
        if (!put_chunk(s, d->id, i, &chunks->chunk[i], text->text.data, &id, err)) return false;
        if (chunk_id) chunk_id[i] = id;
    }
    return true;
}

/* Among the settings, under the document's name: ETag, line feed, date. */
static void validators_key(const char *path, struct buf *out)
{
    buf_init(out, (size_t)1 << 16);
    buf_printf(out, "validators %s", path);
}

bool store_set_validators(struct store *s, const char *path, const char *etag, const char *modified,
                          struct err *err)
{
    const struct validators none;
    struct buf key, value;
    validators_key(path, &key);
    buf_init(&value, (size_t)1 << 16);
    buf_printf(&value, "%s\n%s", strlen(etag) < sizeof none.etag ? etag : "",
               strlen(modified) < sizeof none.modified ? modified : "");
    const bool ok = buf_check(&key, "an address", err) && buf_check(&value, "an ETag", err) &&
                    store_set(s, key.data, value.data, err);
    buf_release(&key);
    buf_release(&value);
    return ok;
}

bool store_get_validators(struct store *s, const char *path, struct validators *out,
                          struct err *err)
{
    struct buf key, value;
    *out = (struct validators){0};
    validators_key(path, &key);
    buf_init(&value, (size_t)1 << 16);
    const bool ok = buf_check(&key, "an address", err) && store_get(s, key.data, &value, err);
    const char *line = ok && value.data ? strchr(value.data, '\n') : NULL;
    if (line && (size_t)(line - value.data) < sizeof out->etag &&
        strlen(line + 1) < sizeof out->modified) {
        memcpy(out->etag, value.data, (size_t)(line - value.data));
        strcpy(out->modified, line + 1);
    }
    buf_release(&key);
    buf_release(&value);
    return ok;
}

bool store_pass(struct store *s, struct err *err)
{
    int64_t last = 0;
    if (!number(s, "SELECT ifnull(max(pass), 0) FROM documents", &last, err)) return false;
    s->pass = last + 1;
    return true;
}

bool store_sweep(struct store *s, const char *root, int64_t *n_removed, struct err *err)
{
    *n_removed = 0;
    for (;;) {
        sqlite3_stmt *q = query(s, Q_UNSEEN, err);
        if (!q) return false;
        sqlite3_bind_text(q, 1, root, -1, SQLITE_STATIC);
        sqlite3_bind_int64(q, 2, s->pass);
        const int rc = sqlite3_step(q);
        const int64_t id = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
        if (rc != SQLITE_ROW && rc != SQLITE_DONE) return store_fail(s, err);
        sqlite3_reset(q);
        if (rc == SQLITE_DONE) return true;
        if (!store_remove(s, id, err)) return false;
        ++*n_removed;
    }
}

bool store_each_document(struct store *s, bool (*fn)(void *user, const struct document *d),
                         void *user, struct err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db,
                                "SELECT id, path, title, root, reader, size, mtime_ns, n_chunks"
                                " FROM documents ORDER BY path",
                                -1, &q, NULL);
    if (rc == SQLITE_OK)
        while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
            const struct document d = {.id = sqlite3_column_int64(q, 0),
                                       .path = (const char *)sqlite3_column_text(q, 1),
                                       .title = (const char *)sqlite3_column_text(q, 2),
                                       .root = (const char *)sqlite3_column_text(q, 3),
                                       .reader = (const char *)sqlite3_column_text(q, 4),
                                       .size_bytes = sqlite3_column_int64(q, 5),
                                       .mtime_ns = sqlite3_column_int64(q, 6),
                                       .n_chunks = sqlite3_column_int64(q, 7)};
            if (d.path && d.title && d.root && d.reader && !fn(user, &d)) break;
        }
    const bool ok = rc == SQLITE_DONE || rc == SQLITE_ROW || store_fail(s, err);
    sqlite3_finalize(q);
    return ok;
}

bool store_count(struct store *s, struct store_counts *out, struct err *err)
{
    return number(s, "SELECT count(*) FROM documents", &out->n_documents, err) &&
           number(s, "SELECT count(*) FROM chunks", &out->n_chunks, err) &&
           number(s, "SELECT count(*) FROM vectors", &out->n_vectors, err);
}
