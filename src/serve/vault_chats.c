/* SPDX-License-Identifier: Apache-2.0
 *
 * vault_chats.c - the page's chats in the vault, and the search in them.
 *
 * A chat is written whole, by whoever names the version that is there: of two tabs that changed one
 * chat, the second is refused and has to look again. The check and the write are in one
 * transaction, so this holds between two servers on one file too.
 */
#include <inttypes.h>
#include <string.h>

#include "base/json_write.h"
#include "serve/vault_parts.h"

enum {
    MAX_CHATS = 20000, /* of one key */
    MAX_TERMS = 8,     /* words of a search */
};

/* Drawn, not counted: a count would begin again when a chat is deleted and made again. Below 2^53,
 * so that every JSON reader has it exactly. */
static int64_t draw_version(void)
{
    uint64_t bits = 0;
    sqlite3_randomness(sizeof bits, &bits);
    return (int64_t)(bits >> 11) | 1;
}

struct chat_row {
    int64_t n, n_bytes, version;
};

/* The chat's row, and its document if `doc`; false with refusal kind NONE: there is none. */
static bool find_chat(struct vault_db *db, struct vault_job *job, struct chat_row *row,
                      struct buf *doc)
{
    sqlite3_stmt *st = vault_fresh(db, FIND_CHAT);
    vault_bind_text(st, 1, job->key);
    vault_bind_text(st, 2, job->id);
    const int code = sqlite3_step(st);
    *row = (struct chat_row){0};
    if (code == SQLITE_ROW) {
        row->n = sqlite3_column_int64(st, 0);
        row->n_bytes = sqlite3_column_int64(st, 1);
        row->version = sqlite3_column_int64(st, 2);
        if (doc) vault_column(st, 3, doc);
    } else if (code != SQLITE_DONE) {
        vault_fail(db, job);
    }
    vault_fresh(db, FIND_CHAT);
    return code == SQLITE_ROW;
}

static bool no_chat(struct vault_job *job)
{
    return job->refusal.kind == REFUSAL_NONE &&
           refuse(&job->refusal, REFUSAL_NO_ROUTE, NULL, "there is no chat \"%s\" here", job->id);
}

/* That nobody wrote it since the client read it; version 0: it is not there. */
static bool check_version(struct vault_job *job, const struct chat_row *row)
{
    if (job->expects == VAULT_ANY_VERSION || job->expects == row->version) return true;
    if (row->version == 0)
        return refuse(&job->refusal, REFUSAL_CHANGED, NULL,
                      "chat \"%s\" is not there any more; it was deleted", job->id);
    return refuse(&job->refusal, REFUSAL_CHANGED, NULL,
                  "chat \"%s\" was written by somebody else; it has version %" PRId64
                  " now, get that and write again",
                  job->id, row->version);
}

static bool check_room(struct vault_db *db, struct vault_job *job, int64_t old_bytes)
{
    sqlite3_stmt *st = vault_fresh(db, SIZE_OF_CHATS);
    vault_bind_text(st, 1, job->key);
    if (sqlite3_step(st) != SQLITE_ROW) return vault_fail(db, job);
    const int64_t n = sqlite3_column_int64(st, 0);
    const double n_bytes = sqlite3_column_double(st, 1);
    vault_fresh(db, SIZE_OF_CHATS);
    if (n >= MAX_CHATS && old_bytes == 0)
        return refuse(&job->refusal, REFUSAL_STORE_FULL, NULL,
                      "there are %" PRId64 " chats already; delete some", n);
    /* the text stands there twice and is indexed by threes */
    if (n_bytes - (double)old_bytes + (double)job->doc.n_bytes > (double)db->max_bytes / 8)
        return refuse(&job->refusal, REFUSAL_STORE_FULL, NULL,
                      "the chats take %.0f MB already; delete some", n_bytes * 1e-6);
    return true;
}

bool vault_put_chat(struct vault_db *db, struct vault_job *job)
{
    struct chat_row old;
    find_chat(db, job, &old, NULL);
    if (job->refusal.kind != REFUSAL_NONE || !check_version(job, &old) ||
        !check_room(db, job, old.n_bytes))
        return false;
    job->version = draw_version();
    sqlite3_stmt *st = vault_fresh(db, PUT_CHAT);
    vault_bind_text(st, 1, job->key);
    vault_bind_text(st, 2, job->id);
    sqlite3_bind_int64(st, 3, job->updated_ms);
    sqlite3_bind_int64(st, 4, (int64_t)job->doc.n_bytes);
    vault_bind_buf(st, 5, &job->title);
    vault_bind_buf(st, 6, &job->doc);
    sqlite3_bind_int64(st, 7, job->version);
    if (sqlite3_step(st) != SQLITE_ROW) {
        vault_fail(db, job);
        vault_fresh(db, PUT_CHAT);
        return false;
    }
    const int64_t n = sqlite3_column_int64(st, 0);
    vault_fresh(db, PUT_CHAT);
    st = vault_fresh(db, PUT_CHAT_TEXT);
    sqlite3_bind_int64(st, 1, n);
    vault_bind_buf(st, 2, &job->text);
    return vault_run(db, PUT_CHAT_TEXT, job);
}

bool vault_get_chat(struct vault_db *db, struct vault_job *job)
{
    struct chat_row row;
    if (!find_chat(db, job, &row, &job->doc)) return no_chat(job);
    job->version = row.version;
    return vault_check_doc(job);
}

bool vault_delete_chat(struct vault_db *db, struct vault_job *job)
{
    struct chat_row row;
    if (!find_chat(db, job, &row, NULL)) return no_chat(job);
    if (!check_version(job, &row)) return false;
    sqlite3_bind_int64(vault_fresh(db, DELETE_CHAT), 1, row.n);
    sqlite3_bind_int64(vault_fresh(db, DELETE_CHAT_TEXT), 1, row.n);
    sqlite3_stmt *share = vault_fresh(db, DELETE_SHARE); /* its link shows nothing any more */
    vault_bind_text(share, 1, job->key);
    vault_bind_text(share, 2, job->id);
    return vault_run(db, DELETE_CHAT, job) && vault_run(db, DELETE_CHAT_TEXT, job) &&
           vault_run(db, DELETE_SHARE, job);
}

static size_t count_chars(const char *s, size_t n)
{
    size_t n_chars = 0;
    for (size_t i = 0; i < n; i++) n_chars += ((unsigned char)s[i] & 0xC0) != 0x80;
    return n_chars;
}

/* Words of three letters and more as FTS5 reads them, each quoted: its query language is not for
 * users. Shorter ones have no index. */
static void write_match(const char *s, struct buf *out)
{
    for (int i = 0; i < MAX_TERMS && *s; i++) {
        s += strspn(s, " \t\r\n");
        const size_t n = strcspn(s, " \t\r\n");
        if (count_chars(s, n) >= 3) {
            buf_puts(out, out->n_bytes ? " AND \"" : "\"");
            for (size_t k = 0; k < n; k++)
                buf_append(out, s[k] == '"' ? "\"\"" : s + k, s[k] == '"' ? 2 : 1);
            buf_putc(out, '"');
        }
        s += n;
    }
}

static void write_row(struct json_writer *w, sqlite3_stmt *st)
{
    json_object(w);
    json_key_cstring(w, "id", (const char *)sqlite3_column_text(st, 0));
    json_key_cstring(w, "title", (const char *)sqlite3_column_text(st, 1));
    json_key_int(w, "updated", sqlite3_column_int64(st, 2));
    json_key_int(w, "bytes", sqlite3_column_int64(st, 3));
    json_key_int(w, "version", sqlite3_column_int64(st, 4));
    json_end(w);
}

/* One row more than asked for is looked up: that says whether there are more. */
bool vault_list_chats(struct vault_db *db, struct vault_job *job)
{
    struct buf match;
    buf_init(&match, 1 << 16);
    const char *words = job->text.data ? job->text.data : "";
    words += strspn(words, " \t\r\n");
    write_match(words, &match);
    const enum statement which = match.n_bytes ? MATCH_CHATS : *words ? SCAN_CHATS : LIST_CHATS;
    sqlite3_stmt *st = vault_fresh(db, which);
    vault_bind_text(st, 1, job->key);
    sqlite3_bind_int64(st, 2, (int64_t)job->limit + 1);
    sqlite3_bind_int64(st, 3, job->offset);
    if (which == MATCH_CHATS) vault_bind_buf(st, 4, &match);
    if (which == SCAN_CHATS) vault_bind_text(st, 4, words);
    struct json_writer w = json_writer(&job->doc);
    json_object(&w);
    json_key_cstring(&w, "object", "list");
    json_key(&w, "data");
    json_array(&w);
    int32_t n = 0;
    int code = sqlite3_step(st);
    for (; code == SQLITE_ROW && n < job->limit; n++, code = sqlite3_step(st)) write_row(&w, st);
    json_end(&w);
    json_key_boolean(&w, "has_more", code == SQLITE_ROW);
    json_end(&w);
    const bool ok = code == SQLITE_DONE || code == SQLITE_ROW || vault_fail(db, job);
    vault_fresh(db, which);
    buf_release(&match);
    return ok && vault_check_doc(job);
}
