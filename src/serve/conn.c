/* SPDX-License-Identifier: Apache-2.0
 *
 * conn.c - connections: how many, how slow, how long.
 *
 * libevent's own timeouts begin anew at every byte, and it knows no maximum of connections; both
 * are what slow-loris attacks live on. So each connection has a struct of ours from the moment it
 * is accepted, and a sweep once a second looks at all of them:
 *
 *   NEW or IDLE with a request coming in: it must be there REQUEST_S after its first byte, plus a
 *   second per REQUEST_BYTES_PER_S, however the bytes drip.
 *   BUSY or FLUSHING: what we wrote must go out, something each STALL_S.
 *
 * Who breaks a rule has its socket shut down; libevent then finds the end of file and frees the
 * connection, by the one path that clients who leave take too. (Freeing it here would be a second
 * path, and libevent has no handle of a connection before its first request.)
 *
 * Until the first request there is no evhttp_connection in our hands, so we hold a reference on
 * the bufferevent, and learn that libevent has let it go by its callbacks being gone. From the
 * first request on the close callback tells, and the reference is given back.
 *
 * An evbuffer callback sees every byte before libevent parses it: it starts the clock, counts, and
 * feeds the header scan (http_check.c). The connection of a request is found by its descriptor.
 *
 * Begin reading at conn_new() and conn_sweep().
 */
#include "serve/server.h"

#include <stdlib.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

#include "base/os.h"

#define S_NS INT64_C(1000000000)

/* ---- life ---- */

static void forget_unhandled(struct conn *c)
{
    c->server->n_unhandled_bytes -= c->n_in;
    c->n_in = 0;
    c->begin_ns = 0;
}

/* The listener sleeps while all places are taken: who comes waits in the kernel's queue. */
static void count_conn(struct server *s, int by)
{
    s->n_conns += by;
    if (!s->listener || s->is_draining) return;
    if (by > 0 && s->n_conns >= s->max_conns)
        evconnlistener_disable(s->listener);
    else if (by < 0 && s->n_conns == s->max_conns - 1)
        evconnlistener_enable(s->listener);
}

static void conn_free(struct conn *c)
{
    struct server *s = c->server;
    forget_unhandled(c);
    if (c->fd >= 0 && c->fd < s->n_fds && s->conn_of_fd[c->fd] == c) s->conn_of_fd[c->fd] = NULL;
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conn_first = c->next;
    if (c->next) c->next->prev = c->prev;
    if (c->state == CONN_NEW) bufferevent_decref(c->bev);
    count_conn(s, -1);
    free(c);
}

static void scan_bytes(struct conn *c, struct evbuffer *in, size_t n_last)
{
    struct evbuffer_ptr at;
    struct evbuffer_iovec v[16];
    if (c->scan.is_over) return;
    if (evbuffer_ptr_set(in, &at, evbuffer_get_length(in) - n_last, EVBUFFER_PTR_SET) != 0) return;
    const int n = evbuffer_peek(in, -1, &at, v, 16);
    if (n > 16) c->scan.has_nul = true; /* not seen whole, so not trusted */
    for (int i = 0; i < n && i < 16; i++) header_scan(&c->scan, v[i].iov_base, v[i].iov_len);
}

static void on_bytes(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg)
{
    struct conn *c = arg;
    struct server *s = c->server;
    if (info->n_added == 0) return;
    if (c->fd < 0) {
        c->fd = (int)bufferevent_getfd(c->bev);
        if (c->fd >= 0 && c->fd < s->n_fds) s->conn_of_fd[c->fd] = c;
    }
    if (c->state == CONN_BUSY || c->state == CONN_FLUSHING) {
        if (evbuffer_get_length(in) > MAX_PIPELINED_BYTES) conn_cut(c, true);
        return;
    }
    if (c->begin_ns == 0) c->begin_ns = clock_ns();
    c->n_in += info->n_added;
    s->n_unhandled_bytes += info->n_added;
    if (s->n_unhandled_bytes > MAX_UNHANDLED_BYTES) conn_cut(c, true);
    scan_bytes(c, in, info->n_added);
}

struct bufferevent *conn_new(struct event_base *base, void *server)
{
    struct server *s = server;
    struct bufferevent *bev = s->tls ? tls_bufferevent(s->tls, base)
                                     : bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct conn *c = bev ? calloc(1, sizeof *c) : NULL;
    if (!c) return bev; /* a connection that is not known is refused at its first request */
    *c =
        (struct conn){.server = s, .state = CONN_NEW, .fd = -1, .bev = bev, .since_ns = clock_ns()};
    bufferevent_incref(bev);
    evbuffer_add_cb(bufferevent_get_input(bev), on_bytes, c);
    c->next = s->conn_first;
    if (c->next) c->next->prev = c;
    s->conn_first = c;
    count_conn(s, 1);
    return bev;
}

/* ---- requests ---- */

static void on_close(struct evhttp_connection *evcon, void *arg)
{
    struct conn *c = arg;
    (void)evcon;
    if (c->ex) exchange_abandon(c->ex);
    evbuffer_remove_cb(bufferevent_get_input(c->bev), on_bytes, c);
    conn_free(c);
}

/* evhttp stops reading while a request is answered, until something is written: so that a client
 * that leaves a silent model is noticed, reading goes on, for nobody. */
static void watch_for_close(struct bufferevent *bev)
{
    bufferevent_data_cb read_cb, write_cb;
    bufferevent_event_cb event_cb;
    void *arg;
    bufferevent_getcb(bev, &read_cb, &write_cb, &event_cb, &arg);
    bufferevent_setcb(bev, NULL, write_cb, event_cb, arg);
    bufferevent_enable(bev, EV_READ);
}

struct conn *conn_begin(struct server *s, struct evhttp_request *req)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    struct bufferevent *bev = evhttp_connection_get_bufferevent(evcon);
    const int fd = (int)bufferevent_getfd(bev);
    struct conn *c = fd >= 0 && fd < s->n_fds ? s->conn_of_fd[fd] : NULL;
    if (!c || c->bev != bev) return NULL;
    if (c->state == CONN_NEW) bufferevent_decref(bev);
    c->state = CONN_BUSY;
    c->since_ns = c->read_ns = clock_ns();
    c->n_unread = 0;
    forget_unhandled(c);
    evhttp_connection_set_closecb(evcon, on_close, c);
    evhttp_connection_set_timeout(evcon, 24 * 3600); /* the sweep's rules hold instead */
    watch_for_close(bev);
    return c;
}

static void on_sent(struct evhttp_request *req, void *arg)
{
    struct conn *c = arg;
    struct evbuffer *in = bufferevent_get_input(c->bev);
    const size_t n = evbuffer_get_length(in);
    c->state = CONN_IDLE;
    c->since_ns = clock_ns();
    c->scan = (struct header_scan){0};
    evhttp_connection_set_timeout(evhttp_request_get_connection(req), IDLE_S);
    if (n == 0) return;
    /* the next request has begun to come already */
    c->begin_ns = c->since_ns;
    c->n_in = n;
    c->server->n_unhandled_bytes += n;
    scan_bytes(c, in, n);
}

void conn_end(struct conn *c, struct evhttp_request *req)
{
    c->ex = NULL;
    c->state = CONN_FLUSHING;
    c->since_ns = c->read_ns = clock_ns();
    evhttp_request_set_on_complete_cb(req, on_sent, c);
}

/* Behind a plain shutdown the kernel would go on offering what the client does not read; with no
 * time to linger the close that follows resets the connection. */
void conn_cut(struct conn *c, bool drops_output)
{
    const int fd = c->fd >= 0 ? c->fd : (int)bufferevent_getfd(c->bev);
    const struct linger none = {.l_onoff = 1, .l_linger = 0};
    c->is_cut = true;
    if (fd < 0) return;
    if (drops_output) setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    shutdown(fd, SHUT_RDWR);
}

size_t conn_unread(const struct conn *c)
{
    return evbuffer_get_length(bufferevent_get_output(c->bev));
}

/* ---- the sweep ---- */

static bool was_let_go(const struct conn *c)
{
    bufferevent_data_cb read_cb, write_cb;
    bufferevent_event_cb event_cb;
    void *arg;
    bufferevent_getcb(c->bev, &read_cb, &write_cb, &event_cb, &arg);
    return !event_cb;
}

static bool is_late(const struct conn *c, int64_t now_ns)
{
    const int64_t begin = c->begin_ns ? c->begin_ns : c->since_ns;
    if (c->state == CONN_IDLE && !c->begin_ns) return false; /* evhttp's timeout sees to it */
    return now_ns - begin > (REQUEST_S + (int64_t)c->n_in / REQUEST_BYTES_PER_S) * S_NS;
}

static void sweep_answer(struct conn *c, int64_t now_ns)
{
    const size_t n = conn_unread(c);
    if (n == 0 || n < c->n_unread) c->read_ns = now_ns;
    c->n_unread = n;
    if (now_ns - c->read_ns > STALL_S * S_NS) {
        c->server->metrics.n_slow_readers += !c->is_cut;
        conn_cut(c, true);
    } else if (c->ex) {
        exchange_ping(c->ex, now_ns);
    }
}

void conn_sweep(struct server *s, int64_t now_ns)
{
    struct conn *next = NULL;
    for (struct conn *c = s->conn_first; c; c = next) {
        next = c->next;
        if (c->state == CONN_NEW && was_let_go(c)) {
            evbuffer_remove_cb(bufferevent_get_input(c->bev), on_bytes, c);
            conn_free(c);
        } else if (c->state == CONN_BUSY || c->state == CONN_FLUSHING) {
            sweep_answer(c, now_ns);
        } else if (s->is_draining && !c->begin_ns) {
            conn_cut(c, false);
        } else if (is_late(c, now_ns)) {
            s->metrics.n_late_headers += !c->is_cut;
            conn_cut(c, true);
        }
    }
}

void conn_free_all(struct server *s)
{
    while (s->conn_first) {
        struct conn *c = s->conn_first;
        evbuffer_remove_cb(bufferevent_get_input(c->bev), on_bytes, c);
        conn_free(c);
    }
}
