/* SPDX-License-Identifier: Apache-2.0
 *
 * server.c - the event loop's life: listening, ticking, hearing the worker, draining.
 *
 * Everything that can fail fails before "listening" is said. From then on the loop ends in one way:
 * SIGTERM or SIGINT stops the listener, open answers go on to their end, each connection closes
 * behind its answer, and when none is left or the time is up the loop returns. A second signal does
 * not wait.
 *
 * Begin reading at serve_run().
 */
#include "serve/generation.h"
#include "serve/reading.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/listener.h>

#include "base/file.h"
#include "base/log.h"
#include "base/os.h"

enum {
    MEMORY_STORE_BYTES = 64 << 20,
    BACKLOG = 4096,
    SPARE_FILES = 64,
    MAX_FDS = 1 << 20,
    MAX_TEXT_BYTES = 256 << 20,
    UNKNOWN_METHOD = 1 << 15, /* what libevent 2.1 makes of names it does not know, in no header */
};

/* ---- what requests are measured against ---- */

/* Requests of a key that the model works on. */
static int32_t n_of_key(const struct server *s, const char *name)
{
    int32_t n = 0;
    for (const struct generation *g = s->gen_first; g; g = g->next)
        n += strcmp(g->key_name, name) == 0;
    for (const struct reading *rd = s->reading_first; rd; rd = rd->next)
        n += strcmp(rd->key_name, name) == 0;
    return n;
}

bool server_has_room(struct server *s, const char *key_name, struct refusal *r)
{
    const int32_t n_seqs = s->n_seqs, n_most = n_seqs + s->opt->max_queue;
    const int32_t n_key_most = n_seqs + (s->opt->max_queue + 1) / 2;
    const double wait = metrics_mean_s(&s->metrics) * s->n_gens / n_seqs;
    bool has_room = true;
    if (s->n_gens > n_most) /* this one counts already */
        has_room =
            refuse(r, REFUSAL_BUSY, NULL,
                   "%d requests are running or waiting already; try again later", s->n_gens - 1);
    else if (s->keys && keys_count(s->keys) > 1 && s->n_gens > n_key_most &&
             n_of_key(s, key_name) > n_key_most)
        has_room = refuse(r, REFUSAL_BUSY, NULL,
                          "key %s has %d requests running or waiting, the most that one key may of "
                          "%d; try again later",
                          key_name, (int)n_key_most, (int)n_most);
    if (!has_room) r->retry_s = wait < 1 ? 1 : wait > 60 ? 60 : (int)wait;
    return has_room;
}

bool server_rank(const struct server *s, const char *key_name, int32_t wanted,
                 struct request_params *p, struct refusal *r)
{
    const int key = s->keys && key_name[0] ? keys_named(s->keys, key_name) : -1;
    const int32_t least = key >= 0 ? key_priority(s->keys, key) : -KEY_MAX_PRIORITY;
    uint64_t id = 0xcbf29ce484222325; /* FNV-1a */
    for (const char *c = key_name; *c; c++) id = (id ^ (unsigned char)*c) * 0x100000001b3;
    p->client = (int64_t)id;
    p->priority = wanted == GEN_NO_PRIORITY ? (least > 0 ? least : 0) : wanted;
    return p->priority >= least ||
           refuse(r, REFUSAL_VALUE, "priority",
                  "priority: %d; the requests of key %s may have %d or more (lower goes first)",
                  (int)p->priority, key_name, (int)least);
}

bool server_is_model(const struct server *s, const char *name)
{
    const struct served *m = models_only(s->models);
    if (!name || !*name || strcmp(name, "default") == 0 || (m && strcmp(name, m->id) == 0))
        return true;
    for (int i = 0; i < s->opt->n_aliases; i++)
        if (strcmp(name, s->opt->aliases[i]) == 0) return true;
    return false;
}

bool server_choose_adapter(struct server *s, struct served *m, const char *name,
                           struct adapter **adapter, struct refusal *r)
{
    struct adapter *was = *adapter;
    const bool is_model = server_is_model(s, name) || strcmp(name, m->id) == 0;
    *adapter = is_model ? NULL : adapters_find(s->adapters, name);
    if (*adapter != was) {
        adapters_enter(*adapter);
        adapters_leave(s->adapters, was);
    }
    return *adapter || is_model ||
           refuse(r, REFUSAL_NO_MODEL, "model",
                  "model: there is no \"%.80s\" here; the model is %s, its adapters are listed at "
                  "/v1/models",
                  name, m->id);
}

const char *server_model_name(const struct served *m, const struct adapter *adapter)
{
    return adapter ? adapter->is.name : m->id;
}

/* ---- the address ---- */

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr) >> 24 == 127;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
    return sa->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static bool check_public(const struct serve_options *o, bool is_public, struct err *err)
{
    if (!is_public || o->keys || o->is_insecure) return true;
    return err_set(
        err, ERR_USAGE,
        "--host %s: everybody who reaches this address could use the model; give --keys, "
        "or --insecure if that is meant",
        o->host);
}

/* A listening socket, or -1. TCP_NODELAY is inherited by what it accepts: without it each answer
 * over TLS took 42 ms. */
static int listen_on(const struct addrinfo *a, const struct serve_options *o, struct err *err)
{
    const int on = 1;
    const int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        err_set(err, ERR_IO, "no socket: %s", strerror(errno));
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return fd;
    err_set(err, ERR_IO, "cannot listen on %s port %d: %s; %s", o->host, o->port, strerror(errno),
            errno == EADDRINUSE ? "another program does: choose another --port, or 0 for a free one"
                                : "choose another --host or --port");
    close(fd);
    return -1;
}

static int open_socket(struct server *s, struct err *err)
{
    const struct serve_options *o = s->opt;
    char port[16];
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int fd = -1;
    snprintf(port, sizeof port, "%d", o->port);
    const int code = getaddrinfo(o->host, port, &hints, &list);
    if (code != 0) {
        err_set(err, ERR_USAGE, "--host %s: %s; give an address of this machine", o->host,
                gai_strerror(code));
        return -1;
    }
    s->host_rule.is_public = !is_loopback(list->ai_addr);
    if (check_public(o, s->host_rule.is_public, err)) fd = listen_on(list, o, err);
    freeaddrinfo(list);
    return fd;
}

static void tell_address(const struct server *s, int fd)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?", url[NI_MAXHOST + 64];
    if (getsockname(fd, (struct sockaddr *)(void *)&sa, &n) == 0)
        getnameinfo((struct sockaddr *)(void *)&sa, n, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    const bool is_v6 = sa.ss_family == AF_INET6;
    snprintf(url, sizeof url, "%s://%s%s%s:%s", s->tls ? "https" : "http", is_v6 ? "[" : "", host,
             is_v6 ? "]" : "", port);
    s->opt->on_listening(s->opt->user, url);
    char state[sizeof url + 40];
    snprintf(state, sizeof state, "READY=1\nSTATUS=listening on %s", url);
    notify_say(&s->notify, state);
}

/* As many connections as there are files to be had. */
static bool plan_connections(struct server *s, struct err *err)
{
    struct rlimit lim = {0};
    if (getrlimit(RLIMIT_NOFILE, &lim) != 0)
        return err_set(err, ERR_IO, "the limit of open files is not known");
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim); /* as far as it goes: read what it is now */
    getrlimit(RLIMIT_NOFILE, &lim);
    s->n_fds = lim.rlim_cur > MAX_FDS ? MAX_FDS : (int)lim.rlim_cur;
    s->max_conns = s->n_fds - SPARE_FILES;
    if (s->max_conns < 8)
        return err_set(err, ERR_LIMIT, "%d open files are too few; raise the limit (ulimit -n)",
                       s->n_fds);
    s->conn_of_fd = calloc((size_t)s->n_fds, sizeof(struct conn *));
    return s->conn_of_fd || err_set(err, ERR_MEMORY, "no memory for %d connections", s->max_conns);
}

/* ---- draining ---- */

static void end_when_empty(struct server *s)
{
    if (s->is_draining && s->n_conns == 0) event_base_loopbreak(s->base);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
    struct server *s = arg;
    (void)sig, (void)what;
    if (s->is_draining) {
        event_base_loopbreak(s->base);
        return;
    }
    s->is_draining = true;
    s->drain_end_ns = clock_ns() + (int64_t)s->opt->drain_s * 1000000000;
    evconnlistener_disable(s->listener);
    notify_say(&s->notify, "STOPPING=1");
    log_info("ending: %d answers are open, they have %d s", s->n_gens, s->opt->drain_s);
    for (struct conn *c = s->conn_first; c; c = c->next)
        if (c->ex) c->ex->closes = true;
    conn_sweep(s, clock_ns());
    end_when_empty(s);
}

/* A sign of life a second, as long as the model shows one. */
static void feed_watchdog(const struct server *s)
{
    if (s->notify.has_watchdog && !models_are_stuck(s->models))
        notify_say(&s->notify, "WATCHDOG=1");
}

static void cancel_all(struct server *s)
{
    models_refuse_all(s->models);
    generation_cancel_all(s);
    reading_cancel_all(s);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;
    const int64_t now_ns = clock_ns();
    (void)fd, (void)what;
    conn_sweep(s, now_ns);
    if (s->keys) keys_refresh(s->keys);
    feed_watchdog(s);
    end_when_empty(s);
    if (!s->is_draining || now_ns < s->drain_end_ns) return;
    /* once: what is cancelled says so to its client; a second later nobody is waited for */
    if (s->n_gens > 0 && now_ns < s->drain_end_ns + 2000000000)
        cancel_all(s);
    else
        event_base_loopbreak(s->base);
}

static void on_hangup(evutil_socket_t sig, short what, void *arg)
{
    struct server *s = arg;
    (void)sig, (void)what;
    if (s->tls) tls_reload(s->tls);
    if (s->keys) keys_refresh(s->keys);
}

static void on_compiled(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;
    (void)fd, (void)what;
    compiler_take(s->compiler);
}

static void on_adapter(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;
    (void)fd, (void)what;
    adapters_hear(s->adapters);
}

static void on_kept(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;
    (void)fd, (void)what;
    vault_take(s->vault);
}

static void on_found(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;
    (void)fd, (void)what;
    library_take(s->library);
}

static void on_added(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;
    (void)fd, (void)what;
    uploads_take(s->uploads);
}

/* ---- life ---- */

static void fill_host_rule(struct server *s)
{
    s->host_rule = (struct host_rule){
        .own = s->opt->host,
        .hosts = s->opt->hosts,
        .n_hosts = s->opt->n_hosts,
        .origins = s->opt->origins,
        .n_origins = s->opt->n_origins,
        .is_tls = s->opt->tls_cert != NULL,
    };
}

static bool open_files(struct server *s, struct err *err)
{
    const struct serve_options *o = s->opt;
    if (!o->tls_cert != !o->tls_key)
        return err_set(err, ERR_USAGE, "--tls-cert and --tls-key go together; give both");
    if (o->is_sharing && !o->store)
        return err_set(err, ERR_USAGE, "--share is about chats that are kept; give --store");
    if (o->keys && !(s->keys = keys_open(o->keys, err))) return false;
    const struct vault_options kept = {
        .path = o->store,
        .max_bytes = o->store ? (int64_t)o->store_mb * 1000000 : MEMORY_STORE_BYTES,
        .keep_s = (int64_t)o->store_days * 86400,
    };
    if (!(s->vault = vault_open(&kept, err))) return false;
    if (o->index_mb > 0 && !o->index)
        return err_set(err, ERR_USAGE, "--index-writable is about an index; give --index");
    if (o->index && !(s->library = library_open(o->index, err))) return false;
    const uint64_t most = (uint64_t)o->index_mb * 1000000;
    if (most && !(s->uploads = uploads_new(o->index, most, err))) return false;
    return !o->tls_cert || (s->tls = tls_new(o->tls_cert, o->tls_key, err)) != NULL;
}

static struct event *add_event(struct server *s, evutil_socket_t fd, short what,
                               event_callback_fn fn, const struct timeval *every)
{
    struct event *ev = event_new(s->base, fd, what, fn, s);
    if (ev && event_add(ev, every) == 0) return ev;
    if (ev) event_free(ev);
    return NULL;
}

static bool make_loop(struct server *s, struct err *err)
{
    const struct timeval second = {1, 0};
    s->base = event_base_new();
    s->http = s->base ? evhttp_new(s->base) : NULL;
    s->out = evbuffer_new();
    if (!s->http || !s->out) return err_set(err, ERR_MEMORY, "no memory for the server");
    evhttp_set_bevcb(s->http, conn_new, s);
    evhttp_set_gencb(s->http, route_request, s);
    evhttp_set_max_headers_size(s->http, MAX_HEADER_BYTES);
    /* somewhat above ours, so that most who send too much are told so by us */
    evhttp_set_max_body_size(s->http, MAX_BODY_BYTES + (1 << 20));
    evhttp_set_timeout(s->http, IDLE_S);
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                            EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                            EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH |
                                            EVHTTP_REQ_TRACE | UNKNOWN_METHOD);
    s->tick = add_event(s, -1, EV_PERSIST, on_tick, &second);
    s->compiled = add_event(s, compiler_fd(s->compiler), EV_READ | EV_PERSIST, on_compiled, NULL);
    s->on_kept = add_event(s, vault_fd(s->vault), EV_READ | EV_PERSIST, on_kept, NULL);
    if (s->library)
        s->on_found = add_event(s, library_fd(s->library), EV_READ | EV_PERSIST, on_found, NULL);
    if (s->uploads)
        s->on_added = add_event(s, uploads_fd(s->uploads), EV_READ | EV_PERSIST, on_added, NULL);
    s->on_adapter = add_event(s, adapters_fd(s->adapters), EV_READ | EV_PERSIST, on_adapter, NULL);
    s->on_term = add_event(s, SIGTERM, EV_SIGNAL | EV_PERSIST, on_signal, NULL);
    s->on_int = add_event(s, SIGINT, EV_SIGNAL | EV_PERSIST, on_signal, NULL);
    s->on_hup = add_event(s, SIGHUP, EV_SIGNAL | EV_PERSIST, on_hangup, NULL);
    return (s->tick && s->compiled && s->on_kept && !s->library == !s->on_found &&
            !s->uploads == !s->on_added && s->on_adapter && s->on_term && s->on_int && s->on_hup) ||
           err_set(err, ERR_MEMORY, "no memory for the server");
}

static bool start_listening(struct server *s, struct err *err)
{
    const int fd = open_socket(s, err);
    if (fd < 0) return false;
    s->listener = evconnlistener_new(s->base, NULL, NULL,
                                     LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!s->listener) {
        close(fd);
        return err_set(err, ERR_MEMORY, "no memory for the server");
    }
    /* from here on evhttp frees it */
    if (!evhttp_bind_listener(s->http, s->listener)) {
        evconnlistener_free(s->listener);
        s->listener = NULL;
        return err_set(err, ERR_MEMORY, "no memory for the server");
    }
    const struct served *only = models_only(s->models);
    log_info("%s: %d answers at once, %d may wait, %d connections%s",
             only ? only->id : s->opt->models_dir, (int)s->n_seqs, (int)s->opt->max_queue,
             s->max_conns, s->keys ? ", keys" : "");
    tell_address(s, fd);
    return true;
}

static void free_event(struct event *ev)
{
    if (ev) event_free(ev);
}

/* The threads first: then no event comes any more; the store does what it was told. The
 * connections' close callbacks end what is open while evhttp is freed. */
static void release(struct server *s)
{
    if (s->models) cancel_all(s);
    models_stop(s->models);
    s->is_draining = true;
    compiler_free(s->compiler);
    s->compiler = NULL;
    vault_close(s->vault);
    library_close(s->library);
    s->library = NULL;
    uploads_free(s->uploads);
    s->uploads = NULL;
    if (s->adapters) adapters_stop(s->adapters);
    generation_free_all(s);
    reading_free_all(s);
    adapters_free(s->adapters);
    s->adapters = NULL;
    if (s->http) evhttp_free(s->http);
    s->listener = NULL;
    conn_free_all(s);
    free_event(s->tick);
    free_event(s->compiled);
    free_event(s->on_kept);
    free_event(s->on_found);
    free_event(s->on_added);
    free_event(s->on_adapter);
    free_event(s->on_term);
    free_event(s->on_int);
    free_event(s->on_hup);
    if (s->base) event_base_free(s->base);
    if (s->out) evbuffer_free(s->out);
    buf_release(&s->text);
    keys_close(s->keys);
    tls_free(s->tls);
    free(s->conn_of_fd);
    models_free(s->models);
}

bool serve_run(struct engine *e, const struct serve_options *opt, struct err *err)
{
    struct server s = {.opt = opt};
    buf_init(&s.text, MAX_TEXT_BYTES);
    notify_init(&s.notify);
    fill_host_rule(&s);
    bool ok = (s.models = models_new(&s, e, err)) != NULL && open_files(&s, err) &&
              plan_connections(&s, err) && (s.adapters = adapters_new(&s, err)) != NULL &&
              (s.compiler = compiler_new(err)) != NULL && make_loop(&s, err) &&
              models_start(s.models, err) && start_listening(&s, err);
    if (ok) event_base_dispatch(s.base);
    release(&s);
    return ok;
}
