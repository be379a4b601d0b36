/* SPDX-License-Identifier: Apache-2.0
 *
 * shares.c - links to chats over HTTP: made, looked up and revoked by the chat's owner, read by
 * whoever has one.
 *
 * The link is the secret: 192 random bits. It stands behind the # of the page's address, so that
 * neither logs nor other sites are told; the page asks for /shared/TOKEN, and our log has no more
 * than /shared/. Nothing of it may be cached, since a link that is revoked is to show nothing.
 * Without --share all of this is refused, also links that were made before.
 */
#include <stdio.h>
#include <sys/random.h>

#include "base/json_write.h"
#include "serve/stored.h"

enum { TOKEN_BYTES = 24 };

static bool check_on(const struct exchange *ex, struct refusal *r)
{
    return ex->server->opt->is_sharing ||
           refuse(r, REFUSAL_OFF, NULL,
                  "chats are not shared here; start the server with --store and --share");
}

static void reply_share(struct stored *st, struct buf *out, struct refusal *r)
{
    const bool is_deleted = st->job.op == VAULT_DELETE_SHARE;
    struct json_writer w = json_writer(out);
    (void)r;
    json_object(&w);
    json_key_cstring(&w, "object", "share");
    json_key_cstring(&w, "id", st->job.id);
    if (is_deleted) {
        json_key_boolean(&w, "deleted", true);
    } else {
        char path[100];
        snprintf(path, sizeof path, "/page/shared.html#%s", st->job.previous);
        json_key_cstring(&w, "path", path);
    }
    json_end(&w);
}

static bool draw_token(char out[VAULT_ID_BYTES], struct refusal *r)
{
    unsigned char random[TOKEN_BYTES];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return refuse(r, REFUSAL_SERVER, NULL, "the system gives no random numbers for a link");
    for (size_t i = 0; i < sizeof random; i++) snprintf(out + 2 * i, 3, "%02x", random[i]);
    return true;
}

static struct stored *begin(struct exchange *ex, const char *path, struct refusal *r)
{
    const enum evhttp_cmd_type method = evhttp_request_get_command(ex->req);
    const enum vault_op op = method == EVHTTP_REQ_POST  ? VAULT_PUT_SHARE
                             : method == EVHTTP_REQ_GET ? VAULT_GET_SHARE
                                                        : VAULT_DELETE_SHARE;
    const char *rest = NULL;
    char id[VAULT_ID_BYTES];
    if (!stored_read_id(path, id, &rest, r)) return NULL;
    struct stored *st = stored_new(ex, op, id, reply_share, r);
    if (!st || op != VAULT_PUT_SHARE || draw_token(st->job.previous, r)) return st;
    stored_free(st);
    return NULL;
}

void shares_of_chat(struct exchange *ex, const char *path)
{
    struct refusal r = {0};
    struct stored *st = check_on(ex, &r) ? begin(ex, path, &r) : NULL;
    if (st && stored_submit(st, &r)) return;
    stored_free(st);
    exchange_refuse(ex, &r);
}

static void reply_read(struct stored *st, struct buf *out, struct refusal *r)
{
    struct evkeyvalq *h = evhttp_request_get_output_headers(st->ex->req);
    evhttp_add_header(h, "Cache-Control", "no-store");
    evhttp_add_header(h, "X-Robots-Tag", "noindex");
    stored_reply_doc(st, out, r);
}

void shares_read(struct exchange *ex, const char *path)
{
    struct refusal r = {0};
    struct stored *st = NULL;
    const char *rest = NULL;
    char token[VAULT_ID_BYTES];
    bool ok = check_on(ex, &r) && stored_read_id(path, token, &rest, &r);
    if (ok && *rest) ok = refuse(&r, REFUSAL_NO_ROUTE, NULL, "there is nothing at this path");
    if (ok) st = stored_new(ex, VAULT_READ_SHARE, token, reply_read, &r);
    if (st && stored_submit(st, &r)) return;
    stored_free(st);
    exchange_refuse(ex, &r);
}
