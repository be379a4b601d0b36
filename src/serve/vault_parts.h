/* vault_parts.h - the database under the store: one connection, one thread. Private to the room. */
#ifndef CRIA_SERVE_VAULT_PARTS_H
#define CRIA_SERVE_VAULT_PARTS_H

#include <sqlite3.h>

#include "serve/vault.h"

enum statement {
    PUT_RESPONSE,
    GET_RESPONSE,
    DELETE_RESPONSE,
    TOUCH_RESPONSE,
    COUNT_RESPONSES,
    DROP_OLDEST,
    DROP_UNUSED,
    PUT_CHAT,
    PUT_CHAT_TEXT,
    FIND_CHAT,
    SIZE_OF_CHATS,
    DELETE_CHAT,
    DELETE_CHAT_TEXT,
    LIST_CHATS,
    MATCH_CHATS,
    SCAN_CHATS,
    PUT_SHARE,
    GET_SHARE,
    READ_SHARE,
    DELETE_SHARE,
    N_STATEMENTS,
};

struct vault_db {
    sqlite3 *sqlite;
    sqlite3_stmt *statement[N_STATEMENTS];
    int64_t max_bytes, keep_s;
    const char *name; /* for messages */
    bool is_full;     /* the job failed since there is no room */
};

struct vault_db *vault_db_open(const struct vault_options *opt, struct err *err);
void vault_db_close(struct vault_db *db); /* NULL is fine */

/* Does the jobs from `first` on (linked by their errands) in one transaction; if that fails as a
 * whole, each by itself, so that one that cannot be done harms no other. Fills their refusals and
 * results. */
void vault_db_do(struct vault_db *db, struct vault_job *first);

/* ---- one statement (vault_db.c) ---- */
/* Reset, with nothing bound. */
sqlite3_stmt *vault_fresh(struct vault_db *db, enum statement i);
/* Borrowed until the statement is fresh again. */
void vault_bind_text(sqlite3_stmt *st, int i, const char *s);
void vault_bind_buf(sqlite3_stmt *st, int i, const struct buf *b);
/* Runs it to its end and makes it fresh. */
bool vault_run(struct vault_db *db, enum statement i, struct vault_job *job);
/* Fills the job's refusal with what SQLite says; false. */
bool vault_fail(struct vault_db *db, struct vault_job *job);
void vault_column(sqlite3_stmt *st, int i, struct buf *out);
bool vault_check_doc(struct vault_job *job); /* its result fitted into memory */

/* ---- the operations: false and the job's refusal, if it is not done ---- */
/* vault_responses.c */
bool vault_put_response(struct vault_db *db, struct vault_job *job);
bool vault_get_response(struct vault_db *db, struct vault_job *job);
bool vault_delete_response(struct vault_db *db, struct vault_job *job);
bool vault_get_chain(struct vault_db *db, struct vault_job *job);
/* Removes an eighth of the responses, those used longest ago; false if there is none. */
bool vault_drop_oldest(struct vault_db *db);
/* Removes responses that nobody used for too long. */
void vault_db_expire(struct vault_db *db);
/* vault_chats.c */
bool vault_put_chat(struct vault_db *db, struct vault_job *job);
bool vault_get_chat(struct vault_db *db, struct vault_job *job);
bool vault_delete_chat(struct vault_db *db, struct vault_job *job);
bool vault_list_chats(struct vault_db *db, struct vault_job *job);
/* vault_shares.c */
bool vault_put_share(struct vault_db *db, struct vault_job *job);
bool vault_get_share(struct vault_db *db, struct vault_job *job);
bool vault_delete_share(struct vault_db *db, struct vault_job *job);
bool vault_read_share(struct vault_db *db, struct vault_job *job);

#endif
