/* SPDX-License-Identifier: Apache-2.0
 *
 * vault_shares.c - chats that their owners show to whoever has a link.
 *
 * What is shared is a copy: the messages of the branch that was on the screen when the link was
 * made, as text. What is written later, other branches, and where sources lie on the owner's disk
 * are not in it. A chat has one link, and sharing it again puts the newer messages behind that.
 *
 * Begin reading at vault_put_share().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "serve/vault_parts.h"

struct node {
    const char *id;
    struct json value;
};

static int by_id(const void *a, const void *b)
{
    const struct node *x = a, *y = b;
    return strcmp(x->id, y->id);
}

static const char *text_of(struct json v, const char *key)
{
    const char *s = "";
    json_str(json_get(v, key), &s, NULL);
    return s;
}

static struct node *find(struct node *all, size_t n, const char *id)
{
    const struct node key = {.id = id};
    return *id && n ? bsearch(&key, all, n, sizeof *all, by_id) : NULL;
}

/* Its sources by number and title. */
static void write_sources(struct json_writer *w, struct json sources)
{
    struct json_iter it = json_iter(sources);
    struct json v;
    json_key(w, "sources");
    json_array(w);
    while (json_next(&it, NULL, NULL, &v)) {
        int64_t number = 0;
        if (!json_i64(json_get(v, "number"), &number)) continue;
        json_object(w);
        json_key_int(w, "number", number);
        json_key_cstring(w, "title", text_of(v, "title"));
        json_end(w);
    }
    json_end(w);
}

static void write_message(struct json_writer *w, struct json node)
{
    json_object(w);
    json_key_cstring(w, "role", text_of(node, "role"));
    json_key_copy(w, "content", json_get(node, "content"), "\"\"");
    if (json_type(json_get(node, "sources")) == JSON_ARRAY)
        write_sources(w, json_get(node, "sources"));
    json_end(w);
}

/* From the first message to the chat's leaf; `path` has room for all nodes. How many. */
static size_t find_path(struct node *all, size_t n, const char *leaf, struct json *path)
{
    size_t n_path = 0;
    const struct node *at = find(all, n, leaf);
    for (; at && n_path < n; at = find(all, n, text_of(at->value, "parent")))
        path[n_path++] = at->value;
    for (size_t i = 0; i < n_path / 2; i++) {
        const struct json other = path[i];
        path[i] = path[n_path - 1 - i];
        path[n_path - 1 - i] = other;
    }
    return n_path;
}

/* 1, 0: the chat shows no message; -1: no memory. */
static int write_copy(struct json chat, struct buf *out)
{
    const struct json nodes = json_get(chat, "nodes");
    struct json_iter it = json_iter(nodes);
    struct json v;
    size_t n = 0;
    const size_t n_nodes = json_len(nodes);
    struct node *all = calloc(n_nodes + 1, sizeof *all);
    struct json *path = calloc(n_nodes + 1, sizeof *path);
    int code = all && path ? 1 : -1;
    while (code > 0 && json_next(&it, NULL, NULL, &v))
        all[n++] = (struct node){text_of(v, "id"), v};
    if (code > 0) {
        qsort(all, n, sizeof *all, by_id);
        n = find_path(all, n, text_of(chat, "leaf"), path);
        code = n > 0;
    }
    if (code > 0) {
        struct json_writer w = json_writer(out);
        json_object(&w);
        json_key_cstring(&w, "object", "shared_chat");
        json_key_cstring(&w, "title", text_of(chat, "title"));
        json_key(&w, "messages");
        json_array(&w);
        for (size_t i = 0; i < n; i++) write_message(&w, path[i]);
        json_end(&w);
        json_end(&w);
    }
    free(all);
    free(path);
    return code;
}

/* The copy of the job's chat in job->doc. */
static bool copy_chat(struct vault_db *db, struct vault_job *job)
{
    struct err err = {0};
    if (!vault_get_chat(db, job)) return false;
    struct json_doc *d = json_parse(job->doc.data ? job->doc.data : "", job->doc.n_bytes,
                                    job->doc.n_bytes, "", &err);
    buf_clear(&job->doc);
    const int code = d ? write_copy(json_root(d), &job->doc) : 0;
    json_free(d);
    if (code < 0) return refuse(&job->refusal, REFUSAL_SERVER, NULL, "no memory for the copy");
    return (code > 0 ||
            refuse(&job->refusal, REFUSAL_VALUE, "leaf",
                   "leaf: chat \"%s\" shows no message that could be shared", job->id)) &&
           vault_check_doc(job);
}

/* Runs a statement that gives a token, or nothing: into job->previous. */
static bool read_token(struct vault_db *db, enum statement which, struct vault_job *job)
{
    sqlite3_stmt *st = db->statement[which];
    const int code = sqlite3_step(st);
    if (code == SQLITE_ROW)
        snprintf(job->previous, sizeof job->previous, "%s",
                 (const char *)sqlite3_column_text(st, 0));
    else if (code != SQLITE_DONE)
        vault_fail(db, job);
    vault_fresh(db, which);
    return code == SQLITE_ROW;
}

static bool no_share(struct vault_job *job)
{
    return job->refusal.kind == REFUSAL_NONE &&
           refuse(&job->refusal, REFUSAL_NO_ROUTE, NULL, "this is shared with nobody");
}

static sqlite3_stmt *of_chat(struct vault_db *db, enum statement which, const struct vault_job *job)
{
    sqlite3_stmt *st = vault_fresh(db, which);
    vault_bind_text(st, 1, job->key);
    vault_bind_text(st, 2, job->id);
    return st;
}

bool vault_put_share(struct vault_db *db, struct vault_job *job)
{
    if (!copy_chat(db, job)) return false;
    sqlite3_stmt *st = of_chat(db, PUT_SHARE, job);
    vault_bind_text(st, 3, job->previous);
    vault_bind_buf(st, 4, &job->doc);
    return read_token(db, PUT_SHARE, job) || vault_fail(db, job);
}

bool vault_get_share(struct vault_db *db, struct vault_job *job)
{
    of_chat(db, GET_SHARE, job);
    return read_token(db, GET_SHARE, job) || no_share(job);
}

bool vault_delete_share(struct vault_db *db, struct vault_job *job)
{
    of_chat(db, DELETE_SHARE, job);
    return read_token(db, DELETE_SHARE, job) || no_share(job);
}

bool vault_read_share(struct vault_db *db, struct vault_job *job)
{
    sqlite3_stmt *st = vault_fresh(db, READ_SHARE);
    vault_bind_text(st, 1, job->id);
    const int code = sqlite3_step(st);
    if (code == SQLITE_ROW)
        vault_column(st, 0, &job->doc);
    else if (code != SQLITE_DONE)
        vault_fail(db, job);
    vault_fresh(db, READ_SHARE);
    return code == SQLITE_ROW ? vault_check_doc(job) : no_share(job);
}
