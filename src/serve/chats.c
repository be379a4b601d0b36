/* SPDX-License-Identifier: Apache-2.0
 *
 * chats.c - the page's chats over HTTP: listed, searched, read, written and deleted in the store.
 *
 * A chat is the page's own document (page/tree.js). We look into it only as far as we must: for the
 * title and the texts, which a search finds, and for what would make the page unable to read it
 * back. It comes back byte for byte.
 *
 * A version goes with every chat, as its ETag. Whoever writes says which version they changed
 * (If-Match), or that it is a new chat (If-None-Match: *); neither is a 400, since forgetting it
 * would be how two tabs overwrite one another.
 *
 * Without --store nothing is kept here: a list that is empty again at the next start is worse than
 * the browser's own.
 *
 * Begin reading at chats_one().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/keyvalq_struct.h>

#include "base/json_write.h"
#include "serve/fields.h"
#include "serve/stored.h"

enum {
    MAX_TITLE_BYTES = 1000,
    MAX_WORDS_BYTES = 500,
    MAX_MESSAGES = 20000, /* as many as the page reads from a file */
    MAX_PAGE = 200,       /* chats of one list */
    MAX_OFFSET = 1000000,
};

static bool check_store(const struct exchange *ex, struct refusal *r)
{
    return ex->server->opt->store ||
           refuse(r, REFUSAL_OFF, NULL,
                  "chats are kept by a server that was started with --store; keep them yourself");
}

/* ---- the list ---- */

static bool read_list(struct stored *st, struct refusal *r)
{
    struct evkeyvalq query;
    struct vault_job *job = &st->job;
    job->limit = 50;
    if (!stored_read_query(st->ex, &query, r)) return false;
    const char *words = evhttp_find_header(&query, "q");
    bool ok = stored_read_number(&query, "limit", 1, MAX_PAGE, &job->limit, r) &&
              stored_read_number(&query, "offset", 0, MAX_OFFSET, &job->offset, r);
    if (ok && words && strlen(words) > MAX_WORDS_BYTES)
        ok = refuse(r, REFUSAL_VALUE, "q", "q: %zu bytes; give at most %d", strlen(words),
                    MAX_WORDS_BYTES);
    if (ok && words) buf_puts(&job->text, words);
    evhttp_clear_headers(&query);
    return ok;
}

void chats_list(struct exchange *ex)
{
    struct refusal r = {0};
    struct stored *st = NULL;
    if (check_store(ex, &r)) st = stored_new(ex, VAULT_LIST_CHATS, "", stored_reply_doc, &r);
    if (st && read_list(st, &r) && stored_submit(st, &r)) return;
    stored_free(st);
    exchange_refuse(ex, &r);
}

/* ---- one chat ---- */

/* "17": the version in quotes, as we gave it; "*" as `any`. False: something else. */
static bool read_version(const char *s, int64_t any, int64_t *out)
{
    char *end = NULL;
    if (strcmp(s, "*") == 0) {
        *out = any;
        return true;
    }
    if (s[0] != '"' || s[1] < '0' || s[1] > '9' || strlen(s) > 20) return false;
    *out = strtoll(s + 1, &end, 10);
    return strcmp(end, "\"") == 0 && *out > 0;
}

/* Which version the request is about. A new chat has none. */
static bool read_condition(struct stored *st, bool is_needed, struct refusal *r)
{
    const struct evkeyvalq *h = evhttp_request_get_input_headers(st->ex->req);
    const char *match = evhttp_find_header(h, "If-Match");
    const char *none = evhttp_find_header(h, "If-None-Match");
    int64_t *expects = &st->job.expects;
    *expects = VAULT_ANY_VERSION;
    if (none) {
        *expects = 0;
        return (is_needed && !match && strcmp(none, "*") == 0) ||
               refuse(r, REFUSAL_VALUE, "If-None-Match",
                      "If-None-Match: give * and nothing else, with a new chat alone");
    }
    if (!match)
        return !is_needed ||
               refuse(r, REFUSAL_MISSING, "If-Match",
                      "say which version you changed (If-Match: its ETag, or * for any), or that "
                      "the chat is new (If-None-Match: *)");
    return read_version(match, VAULT_ANY_VERSION, expects) ||
           refuse(r, REFUSAL_VALUE, "If-Match",
                  "If-Match: \"%.40s\"; give the ETag that came with the chat, or *", match);
}

static bool read_title(struct vault_job *job, struct json chat, struct refusal *r)
{
    const char *title = "";
    size_t n = 0;
    if (!json_str(json_get(chat, "title"), &title, &n))
        return refuse(r, REFUSAL_VALUE, "title", "title: give a string");
    if (n > MAX_TITLE_BYTES)
        return refuse(r, REFUSAL_VALUE, "title", "title: %zu bytes; give at most %d", n,
                      MAX_TITLE_BYTES);
    buf_append(&job->title, title, n);
    buf_append(&job->text, title, n);
    return true;
}

/* The texts of all messages, those of other branches too. */
static bool read_messages(struct vault_job *job, struct json chat, struct refusal *r)
{
    const struct json nodes = json_get(chat, "nodes");
    struct json_iter it = json_iter(nodes);
    struct json node;
    const char *text = NULL;
    size_t n = 0;
    if (json_type(nodes) != JSON_OBJECT)
        return refuse(r, REFUSAL_VALUE, "nodes", "nodes: give an object of messages");
    for (int i = 0; json_next(&it, NULL, NULL, &node); i++) {
        if (i == MAX_MESSAGES)
            return refuse(r, REFUSAL_VALUE, "nodes", "nodes: give at most %d messages",
                          MAX_MESSAGES);
        if (!json_str(json_get(node, "id"), &text, NULL) ||
            !json_str(json_get(node, "role"), &text, NULL) ||
            !json_str(json_get(node, "content"), &text, &n))
            return refuse(r, REFUSAL_VALUE, "nodes",
                          "nodes: message %d lacks one of the strings id, role and content", i + 1);
        buf_putc(&job->text, '\n');
        buf_append(&job->text, text, n);
    }
    return true;
}

/* When the page says it was changed, else now. */
static int64_t read_time(struct json chat)
{
    int64_t ms = 0;
    const bool is_said =
        json_i64(json_get(chat, "updated"), &ms) && ms > 0 && ms < INT64_C(1) << 53;
    return is_said ? ms : (int64_t)time(NULL) * 1000;
}

static bool read_chat(struct vault_job *job, const void *body, size_t n_bytes, struct refusal *r)
{
    const char *id = NULL;
    if (n_bytes > MAX_CHAT_BYTES)
        return refuse(r, REFUSAL_TOO_LARGE, NULL, "the chat has %zu bytes; send at most %d",
                      n_bytes, MAX_CHAT_BYTES);
    struct json_doc *d = body_parse(body, n_bytes, MAX_CHAT_BYTES, r);
    if (!d) return false;
    const struct json chat = json_root(d);
    bool ok = (json_str(json_get(chat, "id"), &id, NULL) && strcmp(id, job->id) == 0) ||
              refuse(r, REFUSAL_VALUE, "id", "id: give \"%s\", as in the path", job->id);
    ok = ok && read_title(job, chat, r) && read_messages(job, chat, r);
    job->updated_ms = read_time(chat);
    json_free(d);
    buf_append(&job->doc, body, n_bytes);
    return ok;
}

static void say_version(struct stored *st)
{
    char tag[32];
    snprintf(tag, sizeof tag, "\"%lld\"", (long long)st->job.version);
    evhttp_add_header(evhttp_request_get_output_headers(st->ex->req), "ETag", tag);
}

static void reply_chat(struct stored *st, struct buf *out, struct refusal *r)
{
    (void)r;
    say_version(st);
    buf_append(out, st->job.doc.data, st->job.doc.n_bytes);
}

static void reply_put(struct stored *st, struct buf *out, struct refusal *r)
{
    struct json_writer w = json_writer(out);
    (void)r;
    say_version(st);
    json_object(&w);
    json_key_cstring(&w, "id", st->job.id);
    json_key_cstring(&w, "object", "chat");
    json_key_int(&w, "updated", st->job.updated_ms);
    json_key_int(&w, "version", st->job.version);
    json_end(&w);
}

static void reply_deleted(struct stored *st, struct buf *out, struct refusal *r)
{
    struct json_writer w = json_writer(out);
    (void)r;
    json_object(&w);
    json_key_cstring(&w, "id", st->job.id);
    json_key_cstring(&w, "object", "chat");
    json_key_boolean(&w, "deleted", true);
    json_end(&w);
}

static struct stored *begin(struct exchange *ex, const char *id, const void *body, size_t n_bytes,
                            struct refusal *r)
{
    const enum evhttp_cmd_type method = evhttp_request_get_command(ex->req);
    if (method == EVHTTP_REQ_GET) return stored_new(ex, VAULT_GET_CHAT, id, reply_chat, r);
    const bool puts = method == EVHTTP_REQ_PUT;
    struct stored *st = puts ? stored_new(ex, VAULT_PUT_CHAT, id, reply_put, r)
                             : stored_new(ex, VAULT_DELETE_CHAT, id, reply_deleted, r);
    if (st && read_condition(st, puts, r) && (!puts || read_chat(&st->job, body, n_bytes, r)))
        return st;
    stored_free(st);
    return NULL;
}

void chats_one(struct exchange *ex, const char *path, const void *body, size_t n_bytes)
{
    struct refusal r = {0};
    struct stored *st = NULL;
    const char *rest = NULL;
    char id[VAULT_ID_BYTES];
    bool ok = check_store(ex, &r) && stored_read_id(path, id, &rest, &r);
    if (ok && *rest) ok = refuse(&r, REFUSAL_NO_ROUTE, NULL, "there is nothing at this path");
    if (ok) st = begin(ex, id, body, n_bytes, &r);
    if (st && stored_submit(st, &r)) return;
    stored_free(st);
    exchange_refuse(ex, &r);
}
