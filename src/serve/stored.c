/* SPDX-License-Identifier: Apache-2.0
 *
 * stored.c - requests that the store answers, and those for stored responses: read, listed,
 * deleted.
 *
 * A request waits for its job; if its client leaves meanwhile, the job is done and nobody is told.
 * What all jobs hold together is bounded, however slow the disk.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/keyvalq_struct.h>

#include "base/checked.h"
#include "base/json_write.h"
#include "serve/stored.h"

static void hear(struct vault_job *job)
{
    struct stored *st = job->user;
    struct exchange *ex = st->ex;
    struct refusal r = job->refusal;
    if (ex) {
        struct buf *out = &ex->server->text;
        ex->stored = NULL;
        buf_clear(out);
        if (r.kind == REFUSAL_NONE) st->reply(st, out, &r);
        if (r.kind == REFUSAL_NONE && out->is_failed)
            refuse(&r, REFUSAL_SERVER, NULL, "no memory for the answer");
        if (r.kind == REFUSAL_NONE)
            exchange_reply(ex, 200, "application/json", out);
        else
            exchange_refuse(ex, &r);
    }
    st->server->n_stored_bytes -= st->n_bytes;
    vault_job_release(job);
    free(st);
}

void stored_abandon(struct stored *st) { st->ex = NULL; }

bool stored_read_id(const char *path, char id[VAULT_ID_BYTES], const char **rest, struct refusal *r)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    const size_t n = strspn(path, allowed);
    *rest = path + n;
    if (n == 0 || (path[n] && path[n] != '/') || n >= VAULT_ID_BYTES)
        return refuse(r, REFUSAL_NO_ROUTE, NULL,
                      "there is nothing of this name; ids have letters, digits, - and _");
    memcpy(id, path, n);
    id[n] = '\0';
    return true;
}

struct stored *stored_new(struct exchange *ex, enum vault_op op, const char *id,
                          stored_reply_fn *reply, struct refusal *r)
{
    struct stored *st = calloc(1, sizeof *st);
    if (!st) {
        refuse(r, REFUSAL_SERVER, NULL, "no memory for the request");
        return NULL;
    }
    vault_job_init(&st->job, op, ex->key_name, id);
    st->job.done = hear;
    st->job.user = st;
    st->server = ex->server;
    st->ex = ex;
    st->reply = reply;
    return st;
}

void stored_free(struct stored *st)
{
    if (!st) return;
    vault_job_release(&st->job);
    free(st);
}

bool stored_submit(struct stored *st, struct refusal *r)
{
    struct server *s = st->server;
    struct vault_job *job = &st->job;
    const struct buf *const bufs[] = {&job->doc, &job->input, &job->title, &job->text};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
        if (bufs[i]->is_failed) return refuse(r, REFUSAL_SERVER, NULL, "no memory for the request");
        st->n_bytes += bufs[i]->n_bytes;
    }
    if (s->n_stored_bytes + st->n_bytes > MAX_STORED_BYTES) {
        refuse(r, REFUSAL_BUSY, NULL,
               "the store has more to write than it can hold; try again later");
        r->retry_s = 1;
        return false;
    }
    s->n_stored_bytes += st->n_bytes;
    st->ex->stored = st;
    vault_submit(s->vault, job);
    return true;
}

void stored_reply_doc(struct stored *st, struct buf *out, struct refusal *r)
{
    (void)r;
    buf_append(out, st->job.doc.data, st->job.doc.n_bytes);
}

/* ---- responses ---- */

static void reply_deleted(struct stored *st, struct buf *out, struct refusal *r)
{
    struct json_writer w = json_writer(out);
    (void)r;
    json_object(&w);
    json_key_cstring(&w, "id", st->job.id);
    json_key_cstring(&w, "object", "response");
    json_key_boolean(&w, "deleted", true);
    json_end(&w);
}

/* The items in the order that was asked for, those of one page. */
static void reply_items(struct stored *st, struct buf *out, struct refusal *r)
{
    struct err err = {0};
    const struct stored_page *p = &st->page;
    const struct buf *doc = &st->job.doc;
    const char *id = NULL, *first = NULL, *last = NULL;
    struct json_doc *d = json_parse(doc->data, doc->n_bytes, doc->n_bytes, "the store", &err);
    if (!d) {
        refuse_err(r, NULL, &err);
        return;
    }
    const size_t n = json_len(json_root(d));
    bool has_begun = !p->after[0], has_more = false;
    int32_t n_written = 0;
    struct json_writer w = json_writer(out);
    json_object(&w);
    json_key_cstring(&w, "object", "list");
    json_key(&w, "data");
    json_array(&w);
    for (size_t i = 0; i < n; i++) {
        const struct json item = json_at(json_root(d), p->is_rising ? i : n - 1 - i);
        if (!json_str(json_get(item, "id"), &id, NULL)) continue;
        if (has_begun && n_written == p->limit) has_more = true;
        if (has_begun && n_written < p->limit) {
            json_copy(&w, item);
            first = first ? first : id;
            last = id;
            n_written++;
        }
        if (strcmp(id, p->after) == 0) has_begun = true;
    }
    json_end(&w);
    json_key_cstring(&w, "first_id", first);
    json_key_cstring(&w, "last_id", last);
    json_key_boolean(&w, "has_more", has_more);
    json_end(&w);
    json_free(d);
}

bool stored_read_number(const struct evkeyvalq *query, const char *name, int32_t least,
                        int32_t most, int32_t *out, struct refusal *r)
{
    const char *s = evhttp_find_header(query, name);
    char *end = NULL;
    if (!s) return true;
    errno = 0;
    const long v = strtol(s, &end, 10);
    if (end == s || *end || errno || v < least || v > most)
        return refuse(r, REFUSAL_VALUE, name, "%s: \"%.40s\"; give a whole number from %d to %d",
                      name, s, (int)least, (int)most);
    *out = (int32_t)v;
    return true;
}

bool stored_read_query(struct exchange *ex, struct evkeyvalq *query, struct refusal *r)
{
    const char *text = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(ex->req));
    return evhttp_parse_query_str(text ? text : "", query) == 0 ||
           refuse(r, REFUSAL_VALUE, NULL, "the query cannot be read; give name=value&...");
}

static bool read_page(struct exchange *ex, struct stored_page *p, struct refusal *r)
{
    struct evkeyvalq query;
    *p = (struct stored_page){.limit = 20};
    if (!stored_read_query(ex, &query, r)) return false;
    const char *order = evhttp_find_header(&query, "order");
    const char *after = evhttp_find_header(&query, "after");
    bool ok = stored_read_number(&query, "limit", 1, 100, &p->limit, r);
    p->is_rising = order && strcmp(order, "asc") == 0;
    if (ok && order && !p->is_rising && strcmp(order, "desc") != 0)
        ok = refuse(r, REFUSAL_VALUE, "order", "order: give asc or desc");
    if (after) snprintf(p->after, sizeof p->after, "%s", after);
    evhttp_clear_headers(&query);
    return ok;
}

void stored_response(struct exchange *ex, const char *path)
{
    const bool deletes = evhttp_request_get_command(ex->req) == EVHTTP_REQ_DELETE;
    const char *rest = NULL;
    char id[VAULT_ID_BYTES];
    struct stored_page page = {0};
    struct stored *st = NULL;
    struct refusal r = {0};
    bool ok = stored_read_id(path, id, &rest, &r);
    const bool is_list = ok && !deletes && strcmp(rest, "/input_items") == 0;
    if (ok && *rest && !is_list)
        ok = refuse(&r, REFUSAL_NO_ROUTE, NULL, "there is nothing at this path");
    if (ok && is_list) ok = read_page(ex, &page, &r);
    if (ok && is_list)
        st = stored_new(ex, VAULT_GET_INPUT, id, reply_items, &r);
    else if (ok && deletes)
        st = stored_new(ex, VAULT_DELETE_RESPONSE, id, reply_deleted, &r);
    else if (ok)
        st = stored_new(ex, VAULT_GET_RESPONSE, id, stored_reply_doc, &r);
    if (st) st->page = page;
    if (st && stored_submit(st, &r)) return;
    stored_free(st);
    exchange_refuse(ex, &r);
}
