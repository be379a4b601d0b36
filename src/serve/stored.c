/* SPDX-License-Identifier: Apache-2.0
 *
 * stored.c - requests that the store answers: stored responses are read and deleted.
 *
 * A request waits for its job; if its client leaves meanwhile, the job is done and nobody is told.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/keyvalq_struct.h>

#include "base/json_write.h"
#include "serve/server.h"

typedef void reply_fn(struct stored *st, struct buf *out, struct refusal *r);

struct stored {
    struct vault_job job;
    struct exchange *ex; /* NULL: the client is gone */
    reply_fn *reply;
};

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
    vault_job_release(job);
    free(st);
}

void stored_abandon(struct stored *st) { st->ex = NULL; }

/* The id in the path: letters, digits, - and _. */
static bool read_id(const char *rest, char id[VAULT_ID_BYTES], struct refusal *r)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    const size_t n = strspn(rest, allowed);
    if (n == 0 || rest[n] || n >= VAULT_ID_BYTES)
        return refuse(r, REFUSAL_NO_ROUTE, NULL,
                      "there is nothing of this name; ids have letters, digits, - and _");
    memcpy(id, rest, n + 1);
    return true;
}

static void begin(struct exchange *ex, enum vault_op op, const char *rest, reply_fn *reply)
{
    struct refusal r = {0};
    char id[VAULT_ID_BYTES];
    struct stored *st = calloc(1, sizeof *st);
    const bool ok = (st || refuse(&r, REFUSAL_SERVER, NULL, "no memory for the request")) &&
                    read_id(rest, id, &r);
    if (!ok) {
        free(st);
        exchange_refuse(ex, &r);
        return;
    }
    vault_job_init(&st->job, op, ex->key_name, id);
    st->job.done = hear;
    st->job.user = st;
    st->ex = ex;
    st->reply = reply;
    ex->stored = st;
    vault_submit(ex->server->vault, &st->job);
}

/* ---- responses ---- */

static void reply_doc(struct stored *st, struct buf *out, struct refusal *r)
{
    (void)r;
    buf_append(out, st->job.doc.data, st->job.doc.n_bytes);
}

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

void stored_response(struct exchange *ex, const char *rest)
{
    const bool deletes = evhttp_request_get_command(ex->req) == EVHTTP_REQ_DELETE;
    begin(ex, deletes ? VAULT_DELETE_RESPONSE : VAULT_GET_RESPONSE, rest,
          deletes ? reply_deleted : reply_doc);
}
