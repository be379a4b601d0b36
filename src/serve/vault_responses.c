/* SPDX-License-Identifier: Apache-2.0
 *
 * vault_responses.c - responses in the vault, and the chains that they make.
 *
 * Another key's response is as if it were not there. Whoever goes on from a response uses all of
 * its chain, so that a conversation that is alive loses no turn to one that is not.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json_write.h"
#include "serve/vault_parts.h"

enum {
    MAX_CHAIN = 2000, /* turns */
    MAX_CHAIN_BYTES = 8 << 20,
};

static int64_t now_s(void) { return (int64_t)time(NULL); }

bool vault_put_response(struct vault_db *db, struct vault_job *job)
{
    sqlite3_stmt *st = vault_fresh(db, PUT_RESPONSE);
    vault_bind_text(st, 1, job->id);
    vault_bind_text(st, 2, job->key);
    vault_bind_text(st, 3, job->previous);
    sqlite3_bind_int64(st, 4, now_s());
    vault_bind_buf(st, 5, &job->input);
    vault_bind_buf(st, 6, &job->doc);
    return vault_run(db, PUT_RESPONSE, job);
}

/* Steps to the response `id` of the job's key; false and not filled: there is none. */
static bool find_response(struct vault_db *db, struct vault_job *job, const char *id,
                          sqlite3_stmt **st)
{
    *st = vault_fresh(db, GET_RESPONSE);
    vault_bind_text(*st, 1, id);
    vault_bind_text(*st, 2, job->key);
    const int code = sqlite3_step(*st);
    if (code != SQLITE_ROW && code != SQLITE_DONE) return vault_fail(db, job);
    return code == SQLITE_ROW || refuse(&job->refusal, REFUSAL_NO_ROUTE, NULL,
                                        "there is no response \"%s\" here; it was not stored, was "
                                        "deleted, or has made room for others",
                                        id);
}

bool vault_get_response(struct vault_db *db, struct vault_job *job)
{
    sqlite3_stmt *st = NULL;
    const bool ok = find_response(db, job, job->id, &st);
    if (ok) vault_column(st, job->op == VAULT_GET_INPUT ? 1 : 0, &job->doc);
    vault_fresh(db, GET_RESPONSE);
    return ok && vault_check_doc(job);
}

bool vault_delete_response(struct vault_db *db, struct vault_job *job)
{
    sqlite3_stmt *st = NULL;
    if (!find_response(db, job, job->id, &st)) return false;
    vault_fresh(db, GET_RESPONSE);
    st = vault_fresh(db, DELETE_RESPONSE);
    vault_bind_text(st, 1, job->id);
    vault_bind_text(st, 2, job->key);
    return vault_run(db, DELETE_RESPONSE, job);
}

static bool touch(struct vault_db *db, struct vault_job *job, const char *id)
{
    sqlite3_stmt *st = vault_fresh(db, TOUCH_RESPONSE);
    vault_bind_text(st, 1, id);
    sqlite3_bind_int64(st, 2, now_s());
    return vault_run(db, TOUCH_RESPONSE, job);
}

/* A turn of a chain: what it was asked with and what was answered, arrays of items. */
struct turn {
    struct buf input, doc;
};

/* The elements of the array `items`, behind those that stand in `out`. */
static void add_items(struct json_writer *w, struct json items)
{
    struct json_iter it = json_iter(items);
    struct json item;
    while (json_next(&it, NULL, NULL, &item)) json_copy(w, item);
}

static bool add_turn(struct json_writer *w, const struct turn *t, struct vault_job *job)
{
    struct err err = {0};
    bool ok = true;
    const struct buf *const text[] = {&t->input, &t->doc};
    for (int i = 0; ok && i < 2; i++) {
        struct json_doc *d =
            json_parse(text[i]->data, text[i]->n_bytes, text[i]->n_bytes, "the store", &err);
        if (d) add_items(w, i == 0 ? json_root(d) : json_get(json_root(d), "output"));
        ok = d || refuse_err(&job->refusal, "previous_response_id", &err);
        json_free(d);
    }
    return ok;
}

/* From the newest to the oldest, then written the other way round. */
bool vault_get_chain(struct vault_db *db, struct vault_job *job)
{
    struct turn *turns = calloc(MAX_CHAIN, sizeof *turns);
    int n = 0;
    size_t n_bytes = 0;
    char id[VAULT_ID_BYTES];
    bool ok = turns || refuse(&job->refusal, REFUSAL_SERVER, NULL, "no memory for the chain");
    memcpy(id, job->id, sizeof id);
    while (ok && id[0]) {
        sqlite3_stmt *st = NULL;
        if (n == MAX_CHAIN || n_bytes > MAX_CHAIN_BYTES) {
            ok = refuse(&job->refusal, REFUSAL_CONTEXT, "previous_response_id",
                        "previous_response_id: the conversation is longer than %d turns or %d MiB; "
                        "begin a new one",
                        MAX_CHAIN, MAX_CHAIN_BYTES >> 20);
            break;
        }
        ok = find_response(db, job, id, &st);
        if (!ok) break;
        struct turn *t = &turns[n++];
        buf_init(&t->input, MAX_CHAIN_BYTES * 2);
        buf_init(&t->doc, MAX_CHAIN_BYTES * 2);
        vault_column(st, 0, &t->doc);
        vault_column(st, 1, &t->input);
        n_bytes += t->doc.n_bytes + t->input.n_bytes;
        ok = touch(db, job, id);
        const unsigned char *previous = sqlite3_column_text(st, 2);
        snprintf(id, sizeof id, "%s", previous ? (const char *)previous : "");
    }
    vault_fresh(db, GET_RESPONSE);
    struct json_writer w = json_writer(&job->doc);
    json_array(&w);
    for (int i = n - 1; ok && i >= 0; i--) ok = add_turn(&w, &turns[i], job);
    json_end(&w);
    for (int i = 0; i < n; i++) {
        buf_release(&turns[i].input);
        buf_release(&turns[i].doc);
    }
    free(turns);
    if (!ok && job->refusal.kind == REFUSAL_NO_ROUTE) {
        job->refusal.kind = REFUSAL_PREVIOUS;
        snprintf(job->refusal.field, sizeof job->refusal.field, "previous_response_id");
    }
    return ok && vault_check_doc(job);
}

/* An eighth of the responses, those used longest ago; false if there is none. */
bool vault_drop_oldest(struct vault_db *db)
{
    struct vault_job none = {0};
    sqlite3_stmt *st = vault_fresh(db, COUNT_RESPONSES);
    const int64_t n = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    vault_fresh(db, COUNT_RESPONSES);
    if (n == 0) return false;
    sqlite3_bind_int64(vault_fresh(db, DROP_OLDEST), 1, n / 8 + 1);
    return vault_run(db, DROP_OLDEST, &none);
}

void vault_db_expire(struct vault_db *db)
{
    struct vault_job none = {0};
    if (db->keep_s <= 0) return;
    do {
        sqlite3_bind_int64(vault_fresh(db, DROP_UNUSED), 1, now_s() - db->keep_s);
    } while (vault_run(db, DROP_UNUSED, &none) && sqlite3_changes(db->sqlite) > 0);
}
