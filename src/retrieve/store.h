/* store.h - the index: one SQLite file with documents, their passages, full text and vectors.
 *
 * Ids of passages are never used again, so a citation cannot come to mean another text. One writer
 * at a time, readers beside it (WAL). A store belongs to one thread at a time; open one a thread.
 */
#ifndef CRIA_RETRIEVE_STORE_H
#define CRIA_RETRIEVE_STORE_H

#include <stdint.h>

#include "retrieve/chunk.h"

struct store;
struct sqlite3;

enum store_mode { STORE_READ, STORE_WRITE };

/* STORE_WRITE makes the file if it is not there. Returns owned. ERR_IO: missing, unreadable;
 * ERR_FORMAT: no index of ours, or damaged; ERR_BUSY: another process is writing. */
struct store *store_open(const char *path, enum store_mode mode, struct err *err);
void store_close(struct store *s); /* NULL is fine; what is not committed is rolled back */

/* Private to this room: for search. */
struct sqlite3 *store_db(struct store *s);
bool store_fail(struct store *s, struct err *err); /* the database's last error; returns false */

bool store_begin(struct store *s, struct err *err) CRIA_CHECK;
bool store_commit(struct store *s, struct err *err) CRIA_CHECK;

/* ---- roots: what was asked to be indexed ---- */
bool store_add_root(struct store *s, const char *root, struct err *err) CRIA_CHECK;
/* Forgets the root and its documents. ERR_USAGE if it is none. */
bool store_remove_root(struct store *s, const char *root, struct err *err) CRIA_CHECK;
/* Calls fn for each in order until it returns false. */
bool store_each_root(struct store *s, bool (*fn)(void *user, const char *root), void *user,
                     struct err *err) CRIA_CHECK;

/* ---- documents ---- */
struct document {
    int64_t id;
    const char *path, *title, *root; /* absolute path, or URL */
    const char *reader;              /* the format's name */
    int64_t size_bytes, mtime_ns;
    uint8_t sha256[32];
    int64_t n_chunks;
};

/* What is known of the document at `path`: 1 found (the strings are NULL), 0 not there, -1 error.
 */
int store_find(struct store *s, const char *path, struct document *out, struct err *err);
/* Only the file's time has changed. Also marks the document as seen (see store_sweep). */
bool store_touch(struct store *s, int64_t id, int64_t size_bytes, int64_t mtime_ns,
                 struct err *err) CRIA_CHECK;
/* Writes the document in place of the one that had its path; fills its id and chunk_id [n] (may be
 * NULL), the ids of its passages. */
bool store_put(struct store *s, struct document *doc, const struct doc *text,
               const struct chunks *chunks, int64_t *chunk_id, struct err *err) CRIA_CHECK;
bool store_remove(struct store *s, int64_t id, struct err *err) CRIA_CHECK;

/* A pass over a root: store_pass() before, then each document that is met is put or touched, then
 * store_sweep() removes the root's others and tells how many. */
bool store_pass(struct store *s, struct err *err) CRIA_CHECK;
bool store_sweep(struct store *s, const char *root, int64_t *n_removed, struct err *err) CRIA_CHECK;

/* What a server said by which its page can be told from a newer one. Kept while the document is. */
struct validators {
    char etag[256], modified[64]; /* "" without */
};
/* Longer ones are not kept. */
bool store_set_validators(struct store *s, const char *path, const char *etag, const char *modified,
                          struct err *err) CRIA_CHECK;
bool store_get_validators(struct store *s, const char *path, struct validators *out,
                          struct err *err) CRIA_CHECK;

/* In order of path, until fn returns false. */
bool store_each_document(struct store *s, bool (*fn)(void *user, const struct document *d),
                         void *user, struct err *err) CRIA_CHECK;

struct store_counts {
    int64_t n_documents, n_chunks, n_vectors;
};
bool store_count(struct store *s, struct store_counts *out, struct err *err) CRIA_CHECK;

/* ---- settings that belong to the index ---- */
/* The value for `key` appended to `out`; nothing if there is none. */
bool store_get(struct store *s, const char *key, struct buf *out, struct err *err) CRIA_CHECK;
bool store_set(struct store *s, const char *key, const char *value, struct err *err) CRIA_CHECK;

#endif
