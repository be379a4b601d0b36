/* SPDX-License-Identifier: Apache-2.0
 *
 * upload.c - documents that clients put into the index.
 *
 * The body is the document as it is, its name stands in the query. A thread reads it (up to some
 * seconds, for a PDF) and writes it, so that searches and streams do not wait; it opens the index
 * for each, so that `cria index` may write between two. What a reader refuses is a 400 with its
 * words, and changes nothing.
 */
#include "serve/upload.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <event2/keyvalq_struct.h>

#include "base/json_write.h"
#include "base/log.h"
#include "retrieve/indexing.h"
#include "serve/errands.h"
#include "serve/server.h"
#include "serve/stored.h"

enum { MAX_WAITING = 8, AGAIN_S = 5 };

struct uploads {
    const char *path;
    uint64_t max_bytes;
    struct errands *errands;
    int n_waiting;
};

struct upload {
    struct errand errand;
    struct uploads *all;
    struct exchange *ex; /* NULL: the client is gone */
    char name[INDEX_UPLOAD_MAX_NAME + 1];
    uint8_t *data;
    size_t n_bytes;
    struct index_uploaded done;
    bool is_full;
    struct err err;
};

/* ---- the thread ---- */

static uint64_t size_of(const char *path, const char *suffix)
{
    struct buf name;
    struct stat st = {0};
    buf_init(&name, 1 << 16);
    buf_puts(&name, path);
    buf_puts(&name, suffix);
    if (name.is_failed || stat(name.data, &st) != 0) st.st_size = 0;
    buf_release(&name);
    return (uint64_t)st.st_size;
}

static void add(struct errand *e)
{
    struct upload *up = (struct upload *)e;
    const char *path = up->all->path;
    const uint64_t held = size_of(path, "") + size_of(path, "-wal");
    if (held + up->n_bytes > up->all->max_bytes) {
        up->is_full = true;
        err_set(&up->err, ERR_LIMIT, "the index has %.1f MB of %.1f (--index-writable)",
                (double)held / 1e6, (double)up->all->max_bytes / 1e6);
        return;
    }
    struct store *s = store_open(path, STORE_WRITE, &up->err);
    if (s && index_upload(s, up->name, up->data, up->n_bytes, &up->done, &up->err))
        up->err = (struct err){0};
    store_close(s);
}

/* ---- answers ---- */

static void write_document(const struct upload *up, struct buf *out)
{
    static const char *const words[] = {
        [INDEX_ADDED] = "added", [INDEX_CHANGED] = "changed", [INDEX_SAME] = "unchanged"};
    char path[sizeof INDEX_UPLOAD_PREFIX + INDEX_UPLOAD_MAX_NAME];
    snprintf(path, sizeof path, "%s%s", INDEX_UPLOAD_PREFIX, up->name);
    struct json_writer w = json_writer(out);
    json_object(&w);
    json_key_cstring(&w, "object", "document");
    json_key_int(&w, "id", up->done.document);
    json_key_cstring(&w, "path", path);
    json_key_uint(&w, "bytes", up->n_bytes);
    json_key_int(&w, "passages", up->done.n_chunks);
    json_key_cstring(&w, "status", words[up->done.change]);
    json_end(&w);
}

/* Errors of the index name its file, which is no matter of the client's. */
static void refuse_upload(const struct upload *up, struct refusal *r)
{
    const char *why = up->err.text;
    if (up->is_full) {
        refuse(r, REFUSAL_STORE_FULL, NULL, "%s", why);
    } else if (up->done.is_refused) {
        refuse(r, up->err.code == ERR_UNSUPPORTED ? REFUSAL_UNSUPPORTED : REFUSAL_VALUE, NULL, "%s",
               why);
    } else if (up->err.code == ERR_BUSY) {
        refuse(r, REFUSAL_BUSY, NULL, "another program writes to the index; try again later");
        r->retry_s = AGAIN_S;
    } else {
        log_warn("%s", why);
        refuse(r, REFUSAL_SERVER, NULL, "the index cannot be written; the server's log says why");
    }
}

static void upload_free(struct upload *up)
{
    if (!up) return;
    free(up->data);
    free(up);
}

static void added(struct errand *e)
{
    struct upload *up = (struct upload *)e;
    struct exchange *ex = up->ex;
    struct refusal r = {0};
    up->all->n_waiting--;
    if (ex) {
        ex->upload = NULL;
        if (up->err.code != ERR_OK) {
            refuse_upload(up, &r);
            exchange_refuse(ex, &r);
        } else {
            buf_clear(&ex->server->text);
            write_document(up, &ex->server->text);
            exchange_reply(ex, 200, "application/json", &ex->server->text);
        }
    }
    upload_free(up);
}

void upload_abandon(struct upload *up) { up->ex = NULL; }

/* ---- requests ---- */

static bool read_name(struct exchange *ex, struct upload *up, struct refusal *r)
{
    struct evkeyvalq query;
    struct err err = {0};
    if (!stored_read_query(ex, &query, r)) return false;
    const char *name = evhttp_find_header(&query, "name");
    const bool ok =
        (name && index_upload_name(name, &err)) ||
        (name ? refuse(r, REFUSAL_VALUE, "name", "%s", err.text)
              : refuse(r, REFUSAL_MISSING, "name",
                       "name: it is missing; send the document to /v1/index?name=NAME"));
    if (ok) snprintf(up->name, sizeof up->name, "%s", name);
    evhttp_clear_headers(&query);
    return ok;
}

static bool fill(struct exchange *ex, struct upload *up, const void *body, size_t n_bytes,
                 struct refusal *r)
{
    struct uploads *all = ex->server->uploads;
    if (!read_name(ex, up, r)) return false;
    if (n_bytes == 0)
        return refuse(r, REFUSAL_MISSING, NULL, "the body is empty; send the document as it is");
    if (all->n_waiting == MAX_WAITING) {
        refuse(r, REFUSAL_BUSY, NULL, "%d documents are waiting; try again later", MAX_WAITING);
        r->retry_s = AGAIN_S;
        return false;
    }
    up->data = malloc(n_bytes);
    if (!up->data) return refuse(r, REFUSAL_SERVER, NULL, "no memory for the document");
    memcpy(up->data, body, n_bytes);
    up->n_bytes = n_bytes;
    return true;
}

void upload_begin(struct exchange *ex, const void *body, size_t n_bytes)
{
    struct uploads *all = ex->server->uploads;
    struct refusal r = {0};
    struct upload *up = NULL;
    if (!all)
        refuse(&r, REFUSAL_OFF, NULL,
               "nothing may be added to an index here; start the server with --index and "
               "--index-writable");
    else if (!(up = calloc(1, sizeof *up)))
        refuse(&r, REFUSAL_SERVER, NULL, "no memory for the request");
    if (!up || !fill(ex, up, body, n_bytes, &r)) {
        upload_free(up);
        exchange_refuse(ex, &r);
        return;
    }
    up->errand = (struct errand){.run = add, .done = added};
    up->all = all;
    up->ex = ex;
    ex->upload = up;
    all->n_waiting++;
    errands_submit(all->errands, &up->errand);
}

/* ---- life ---- */

struct uploads *uploads_new(const char *index_path, uint64_t max_bytes, struct err *err)
{
    struct uploads *all = calloc(1, sizeof *all);
    if (!all) {
        err_set(err, ERR_MEMORY, "no memory for the server");
        return NULL;
    }
    *all = (struct uploads){.path = index_path, .max_bytes = max_bytes};
    all->errands = errands_new("adds documents", NULL, err);
    if (all->errands) return all;
    free(all);
    return NULL;
}

void uploads_free(struct uploads *all)
{
    if (!all) return;
    errands_free(all->errands);
    free(all);
}

int uploads_fd(const struct uploads *all) { return errands_fd(all->errands); }
void uploads_take(struct uploads *all) { errands_take(all->errands); }
