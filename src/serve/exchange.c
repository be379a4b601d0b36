/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange.c - one request and its answer: headers, one body or a stream of events, a line of log.
 *
 * The answer's headers are the same for all: a request id, what the web page may see, no guessing
 * of types, no storing. The log has a line a request, with figures and names but no text that a
 * user wrote: paths are those of our table, and the client's request id is taken over only if it
 * looks like one.
 *
 * A client that leaves before the answer is whole ends in exchange_abandon(), by libevent's close
 * callback. If libevent has cut the request off the connection by then, it is ours to free.
 */
#include "serve/server.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <event2/buffer.h>

#include "base/json_write.h"
#include "base/log.h"
#include "base/os.h"

#define S_NS INT64_C(1000000000)
enum { MAX_LOG_BYTES = 1000 };

/* ---- life ---- */

static void make_id(char id[48], const char *theirs)
{
    size_t n = 0;
    for (; theirs && theirs[n]; n++)
        if (n > 40 || !(isalnum((unsigned char)theirs[n]) || strchr("-_.", theirs[n]))) break;
    if (theirs && n > 0 && !theirs[n]) {
        memcpy(id, theirs, n + 1);
        return;
    }
    unsigned char random[12] = {0};
    if (getrandom(random, sizeof random, 0) < 0) memset(random, 0, sizeof random);
    n = (size_t)snprintf(id, 48, "req-");
    for (size_t i = 0; i < sizeof random; i++)
        n += (size_t)snprintf(id + n, 48 - n, "%02x", random[i]);
}

static const char *method_name(enum evhttp_cmd_type type)
{
    return type == EVHTTP_REQ_GET       ? "GET"
           : type == EVHTTP_REQ_POST    ? "POST"
           : type == EVHTTP_REQ_PUT     ? "PUT"
           : type == EVHTTP_REQ_DELETE  ? "DELETE"
           : type == EVHTTP_REQ_OPTIONS ? "OPTIONS"
                                        : "other";
}

struct exchange *exchange_new(struct server *s, struct conn *c, struct evhttp_request *req)
{
    struct exchange *ex = calloc(1, sizeof *ex);
    if (!ex) return NULL;
    ex->server = s;
    ex->conn = c;
    ex->req = req;
    ex->path = "other";
    ex->method = method_name(evhttp_request_get_command(req));
    ex->begin_ns = ex->sent_ns = clock_ns();
    ex->closes = s->is_draining;
    ex->max_unread = MAX_UNREAD_BYTES;
    make_id(ex->id, evhttp_find_header(evhttp_request_get_input_headers(req), "X-Request-Id"));
    c->ex = ex;
    return ex;
}

/* ---- the log ---- */

static double ms(int64_t ns) { return (double)ns * 1e-6; }

typedef void log_fn(const char *fmt, ...);

static void log_words(const struct exchange *ex, int64_t total_ns, log_fn *log_line)
{
    const struct exchange_figures *f = &ex->figures;
    char more[240] = "", diverged[40] = "", unknown[200] = "";
    if (f->n_same > 0) snprintf(diverged, sizeof diverged, " diverged_at=%d", (int)f->n_same);
    if (ex->gen || f->finish)
        snprintf(more, sizeof more, " prompt=%d cached=%d%s output=%d first_ms=%.1f finish=%s",
                 (int)f->n_prompt, (int)f->n_cached, diverged, (int)f->n_generated, ms(f->first_ns),
                 f->finish ? f->finish : "none");
    if (f->unknown[0]) snprintf(unknown, sizeof unknown, " ignored=%s", f->unknown);
    log_line("request id=%s key=%s method=%s path=%s status=%d ms=%.1f%s%s", ex->id,
             ex->key_name[0] ? ex->key_name : "-", ex->method, ex->path, ex->status, ms(total_ns),
             more, unknown);
}

static void log_object(const struct exchange *ex, int64_t total_ns, log_fn *log_line)
{
    const struct exchange_figures *f = &ex->figures;
    struct buf b;
    buf_init(&b, MAX_LOG_BYTES);
    struct json_writer w = json_writer(&b);
    json_object(&w);
    json_key_int(&w, "time", (int64_t)time(NULL));
    json_key_cstring(&w, "id", ex->id);
    json_key_cstring(&w, "key", ex->key_name[0] ? ex->key_name : NULL);
    json_key_cstring(&w, "method", ex->method);
    json_key_cstring(&w, "path", ex->path);
    json_key_int(&w, "status", ex->status);
    json_key_float(&w, "ms", (float)ms(total_ns));
    if (ex->gen || f->finish) {
        json_key_int(&w, "prompt", f->n_prompt);
        json_key_int(&w, "cached", f->n_cached);
        if (f->n_same > 0) json_key_int(&w, "diverged_at", f->n_same);
        json_key_int(&w, "output", f->n_generated);
        json_key_float(&w, "first_ms", (float)ms(f->first_ns));
        json_key_cstring(&w, "finish", f->finish);
    }
    if (f->unknown[0]) json_key_cstring(&w, "ignored", f->unknown);
    json_end(&w);
    if (!b.is_failed) log_line("%s", b.data);
    buf_release(&b);
}

/* Counts, logs and frees; the connection goes on without it. */
static void finish(struct exchange *ex)
{
    struct server *s = ex->server;
    const int64_t total_ns = clock_ns() - ex->begin_ns;
    metrics_count_status(&s->metrics, ex->status);
    if (ex->figures.finish) metrics_observe(&s->metrics, HIST_REQUEST, (double)total_ns * 1e-9);
    /* probes come every few seconds and say nothing new */
    const bool is_probe = strcmp(ex->path, "/health") == 0 || strcmp(ex->path, "/metrics") == 0;
    if (s->opt->has_json_logs)
        log_object(ex, total_ns, is_probe ? log_debug : log_info);
    else
        log_words(ex, total_ns, is_probe ? log_debug : log_info);
    free(ex);
}

/* ---- answers ---- */

static void add_headers(struct exchange *ex, const char *type)
{
    struct evkeyvalq *h = evhttp_request_get_output_headers(ex->req);
    evhttp_add_header(h, "X-Request-Id", ex->id);
    /* the name that the anthropic client looks for */
    if (ex->refusal_style == REFUSAL_ANTHROPIC) evhttp_add_header(h, "Request-Id", ex->id);
    evhttp_add_header(h, "X-Content-Type-Options", "nosniff");
    if (type) evhttp_add_header(h, "Content-Type", type);
    if (ex->origin) {
        evhttp_add_header(h, "Access-Control-Allow-Origin", ex->origin);
        evhttp_add_header(h, "Access-Control-Expose-Headers", "X-Request-Id, Retry-After, ETag");
        evhttp_add_header(h, "Vary", "Origin");
    }
    /* whatever was sent ahead is not worth guessing where it ends */
    if (evbuffer_get_length(bufferevent_get_input(ex->conn->bev)) > 0) ex->closes = true;
    if (ex->closes) evhttp_add_header(h, "Connection", "close");
}

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } rows[] = {
        {200, "OK"},           {204, "No Content"},           {400, "Bad Request"},
        {403, "Forbidden"},    {401, "Unauthorized"},         {404, "Not Found"},
        {413, "Too Large"},    {405, "Method Not Allowed"},   {429, "Too Many Requests"},
        {304, "Not Modified"}, {507, "Insufficient Storage"}, {412, "Precondition Failed"},
        {0, "Error"},
    };
    int i = 0;
    while (rows[i].status && rows[i].status != status) i++;
    return rows[i].text;
}

void exchange_reply(struct exchange *ex, int status, const char *type, const struct buf *body)
{
    struct evbuffer *out = ex->server->out;
    struct evhttp_request *req = ex->req;
    struct conn *c = ex->conn;
    evbuffer_drain(out, evbuffer_get_length(out));
    if (body && body->n_bytes) evbuffer_add(out, body->data, body->n_bytes);
    struct evkeyvalq *h = evhttp_request_get_output_headers(req);
    add_headers(ex, type);
    if (type && !evhttp_find_header(h, "Cache-Control"))
        evhttp_add_header(h, "Cache-Control", "no-store");
    ex->status = status;
    conn_end(c, req);
    finish(ex);
    evhttp_send_reply(req, status, reason(status), out);
}

void exchange_refuse(struct exchange *ex, const struct refusal *r)
{
    struct evkeyvalq *h = evhttp_request_get_output_headers(ex->req);
    struct buf *text = &ex->server->text;
    char number[16];
    buf_clear(text);
    refusal_write(r, ex->refusal_style, text);
    if (refusal_closes(r->kind)) ex->closes = true;
    if (r->retry_s > 0) {
        snprintf(number, sizeof number, "%d", r->retry_s);
        evhttp_add_header(h, "Retry-After", number);
    }
    if (r->kind == REFUSAL_KEY) evhttp_add_header(h, "WWW-Authenticate", "Bearer");
    if (r->allow) evhttp_add_header(h, "Allow", r->allow);
    /* what the openai clients look at before they ask again */
    if (r->kind == REFUSAL_STORE_FULL) evhttp_add_header(h, "X-Should-Retry", "false");
    exchange_reply(ex, refusal_status(r->kind), "application/json", text);
}

/* ---- streams ---- */

void exchange_stream_begin(struct exchange *ex)
{
    struct evkeyvalq *h = evhttp_request_get_output_headers(ex->req);
    add_headers(ex, "text/event-stream; charset=utf-8");
    evhttp_add_header(h, "Cache-Control", "no-cache");
    evhttp_add_header(h, "X-Accel-Buffering", "no");
    ex->status = 200;
    ex->is_streaming = true;
    evhttp_send_reply_start(ex->req, 200, "OK");
}

bool exchange_stream_send(struct exchange *ex, const char *bytes, size_t n)
{
    struct server *s = ex->server;
    if (!ex->conn->is_cut && conn_unread(ex->conn) > ex->max_unread) {
        s->metrics.n_slow_readers++;
        conn_cut(ex->conn, true);
    }
    if (ex->conn->is_cut) return false;
    evbuffer_drain(s->out, evbuffer_get_length(s->out));
    evbuffer_add(s->out, bytes, n);
    evhttp_send_reply_chunk(ex->req, s->out);
    ex->sent_ns = clock_ns();
    return true;
}

void exchange_stream_end(struct exchange *ex)
{
    struct evhttp_request *req = ex->req;
    conn_end(ex->conn, req);
    finish(ex);
    evhttp_send_reply_end(req);
}

void exchange_ping(struct exchange *ex, int64_t now_ns)
{
    static const char ping[] = ": ping\n\n";
    if (ex->is_streaming && now_ns - ex->sent_ns > PING_S * S_NS)
        exchange_stream_send(ex, ping, sizeof ping - 1);
}

void exchange_abandon(struct exchange *ex)
{
    struct evhttp_request *req = ex->req;
    ex->conn->ex = NULL;
    ex->status = 499;
    ex->server->metrics.n_cancelled++;
    models_abandon(ex);
    if (ex->gen) generation_abandon(ex->gen);
    if (ex->stored) stored_abandon(ex->stored);
    if (ex->reading) reading_abandon(ex->reading);
    if (ex->adapter_job) adapters_abandon(ex->adapter_job);
    if (ex->lookup) lookup_abandon(ex->lookup);
    if (ex->upload) upload_abandon(ex->upload);
    finish(ex);
    if (!evhttp_request_get_connection(req)) evhttp_request_free(req);
}
