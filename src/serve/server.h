/* server.h - what the files of the event loop share. Private to the room; the loop's thread only.
 *
 * A connection (conn.c) carries one exchange at a time: a request and its answer (exchange.c). An
 * exchange that needs the model has a generation (generation.c), which may outlive it: when the
 * client leaves, the exchange ends at once and the generation when the worker says so.
 *
 * Invariants
 *   S1  an exchange lives from the request's handler until its answer is handed to the connection
 *       whole, or the connection closes; conn->ex and ex->conn point at one another meanwhile.
 *   S2  after that nothing of the request (evhttp_request) is touched.
 *   S3  gen->ex is NULL or an exchange that lives; a generation is freed at its job's last event.
 *       The same holds of a reading (reading.c), whose texts are read and not answered.
 */
#ifndef CRIA_SERVE_SERVER_H
#define CRIA_SERVE_SERVER_H

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>

#include "serve/adapters.h"
#include "serve/compiler.h"
#include "serve/gen_params.h"
#include "serve/http_check.h"
#include "serve/keys.h"
#include "serve/library.h"
#include "serve/upload.h"
#include "serve/metrics.h"
#include "serve/models.h"
#include "serve/notify.h"
#include "serve/serve.h"
#include "serve/vault.h"
#include "serve/worker.h"

struct conn;
struct exchange;
struct generation;
struct stored;
struct reading;
struct route;
struct tls;

enum {
    MAX_HEADER_BYTES = 32 << 10,
    MAX_BODY_BYTES = 8 << 20,
    MAX_PIPELINED_BYTES = 64 << 10,  /* sent while an answer is under way */
    MAX_UNREAD_BYTES = 1 << 20,      /* of an answer that the client does not read */
    MAX_UNHANDLED_BYTES = 256 << 20, /* of requests that are not complete, all together */
    MAX_STORED_BYTES = 64 << 20,     /* of requests that wait for the store, all together */
    MAX_CHAT_BYTES = 4 << 20,        /* of one chat of the page */
    REQUEST_S = 10,                  /* for a request to come in, and a second more each: */
    REQUEST_BYTES_PER_S = 32 << 10,
    IDLE_S = 120, /* between requests of one connection */
    STALL_S = 60, /* a client that reads nothing */
    PING_S = 15,  /* of silence in a stream */
};

struct server {
    const struct serve_options *opt;
    struct models *models;
    int32_t n_seqs; /* answers at once, of each model */

    struct event_base *base;
    struct evhttp *http;
    struct evconnlistener *listener;
    struct event *tick, *compiled, *on_kept, *on_found, *on_added, *on_adapter, *on_term, *on_int,
        *on_hup;
    struct tls *tls; /* NULL: plain */
    struct host_rule host_rule;

    struct compiler *compiler;
    struct adapters *adapters;
    struct keys *keys; /* NULL: everybody */
    struct notify notify;
    struct vault *vault;
    struct library *library; /* NULL: no index */
    struct uploads *uploads; /* NULL: nobody may add to it */
    struct metrics metrics;
    struct evbuffer *out; /* for one chunk or body at a time */
    struct buf text;      /* the same, while it is written */

    struct conn *conn_first;
    struct conn **conn_of_fd; /* [n_fds] */
    int n_fds, n_conns, max_conns;
    size_t n_unhandled_bytes, n_stored_bytes;
    struct generation *gen_first;
    struct reading *reading_first;
    int n_gens; /* of both: requests that the model works on */
    bool is_draining;
    int64_t drain_end_ns;
};

/* ---- server.c ---- */
/* False, and when to come again, if the queue is full or the key has its share of it; the asking
 * request counts already. `key_name` "": there are no keys. */
bool server_has_room(struct server *s, const char *key_name, struct refusal *r);
/* Says in `p` who asks, and how urgent it is: `wanted`, or GEN_NO_PRIORITY, as far as the key
 * allows. */
bool server_rank(const struct server *s, const char *key_name, int32_t wanted,
                 struct request_params *p, struct refusal *r) CRIA_CHECK;
/* Whether a request may call the server's only model itself so; NULL and "" do. */
bool server_is_model(const struct server *s, const char *name);
/* Lets go of *adapter, if any, and takes the one that a request for the model names, NULL for the
 * model itself. It is then the request's until adapters_leave(). */
bool server_choose_adapter(struct server *s, struct served *m, const char *name,
                           struct adapter **adapter, struct refusal *r) CRIA_CHECK;
/* What an answer calls its model. */
const char *server_model_name(const struct served *m, const struct adapter *adapter);

/* ---- conn.c ---- */
struct conn {
    struct server *server;
    struct conn *prev, *next;
    enum conn_state {
        CONN_NEW,      /* no request has come yet; `bev` is held */
        CONN_BUSY,     /* a request is being answered */
        CONN_FLUSHING, /* its answer waits for the socket */
        CONN_IDLE,     /* between requests */
    } state;
    int fd; /* -1: no byte has come */
    struct bufferevent *bev;
    struct exchange *ex; /* CONN_BUSY only */
    int64_t since_ns;    /* when the state began */
    int64_t begin_ns;    /* first byte of the request that is coming; 0: none */
    size_t n_in;         /* its bytes */
    struct header_scan scan;
    bool is_cut;     /* by conn_cut(); libevent will notice */
    size_t n_unread; /* of the answer, when last looked */
    int64_t read_ns; /* when it was less */
};

/* The bufferevent of a connection that was just accepted (evhttp's callback). */
struct bufferevent *conn_new(struct event_base *base, void *server);
/* The connection of a request that has come in; its clocks stop. NULL: it is not known (no memory
 * when it was accepted). */
struct conn *conn_begin(struct server *s, struct evhttp_request *req);
/* Its answer has been handed over: waits for the socket, then for the next request. */
void conn_end(struct conn *c, struct evhttp_request *req);
/* Closes the socket; the rest happens when libevent notices. `drops_output`: what was written and
 * not read is thrown away. */
void conn_cut(struct conn *c, bool drops_output);
/* Once a second: who is late, stalled, or idle while we drain. */
void conn_sweep(struct server *s, int64_t now_ns);
/* After evhttp_free(): those that never had a request. */
void conn_free_all(struct server *s);
/* Bytes of answers that wait for the socket. */
size_t conn_unread(const struct conn *c);

/* ---- exchange.c ---- */
struct exchange {
    struct server *server;
    struct conn *conn;
    struct evhttp_request *req;
    const char *origin; /* to be allowed in the answer, or NULL; in req */
    const char *path;   /* of the route, or "other": safe in a log */
    const char *method;
    char id[48];
    char key_name[KEY_NAME_BYTES]; /* "": without keys */
    int64_t begin_ns, sent_ns;
    int status;
    size_t max_unread; /* of a stream, until the client counts as one that does not read */
    bool closes, is_streaming;
    struct served *served; /* what it asks, where the route needs a model */
    const struct route *route;
    bool is_waiting; /* for it to be loaded, in the list of models.c: */
    struct exchange *wait_next;
    enum refusal_style refusal_style;
    struct generation *gen;
    struct stored *stored; /* what it waits for */
    struct reading *reading;
    struct adapter_job *adapter_job;
    struct lookup *lookup;
    struct upload *upload;
    /* for the log */
    struct exchange_figures {
        int32_t n_prompt, n_cached, n_same, n_generated;
        int64_t first_ns; /* of the first token, after begin_ns; 0: none */
        const char *finish;
        char unknown[160];
    } figures;
};

struct exchange *exchange_new(struct server *s, struct conn *c, struct evhttp_request *req);
/* Answers and ends the exchange. `type` is a content type. */
void exchange_reply(struct exchange *ex, int status, const char *type, const struct buf *body);
void exchange_refuse(struct exchange *ex, const struct refusal *r);
/* Server-sent events: begin, events, end (which ends the exchange). False if the client is so far
 * behind that it was cut off; the exchange is still there until its connection closes. */
void exchange_stream_begin(struct exchange *ex);
bool exchange_stream_send(struct exchange *ex, const char *bytes, size_t n);
void exchange_stream_end(struct exchange *ex);
void exchange_ping(struct exchange *ex, int64_t now_ns);
/* The connection is closing: nothing can be answered any more. */
void exchange_abandon(struct exchange *ex);

/* ---- generation.c ---- */
void generation_begin(struct exchange *ex, enum gen_api api, const void *body, size_t n_bytes);
/* Answers how many tokens its prompt has. */
void generation_count(struct exchange *ex, enum gen_api api, const void *body, size_t n_bytes);
/* The client is gone. */
void generation_abandon(struct generation *gen);
void generation_hear(struct worker_event *ev);
void generation_cancel_all(struct server *s);
/* Frees those whose last event will never come: the worker is gone. */
void generation_free_all(struct server *s);

/* ---- stored.c ---- */
/* Answers GET and DELETE of the stored response ID, and GET of ID/input_items. */
void stored_response(struct exchange *ex, const char *path);
/* The client is gone. */
void stored_abandon(struct stored *st);

/* ---- chats.c ---- */
/* GET /chats. */
void chats_list(struct exchange *ex);
/* GET, PUT and DELETE of /chats/ID. */
void chats_one(struct exchange *ex, const char *path, const void *body, size_t n_bytes);

/* ---- shares.c ---- */
/* GET, POST and DELETE of /chats/ID/share. */
void shares_of_chat(struct exchange *ex, const char *path);
/* GET of /shared/TOKEN. */
void shares_read(struct exchange *ex, const char *path);

/* ---- reading.c ---- */
struct reading_kind;
extern const struct reading_kind reading_embeddings, reading_rerank;
void reading_begin(struct exchange *ex, const struct reading_kind *kind, const void *body,
                   size_t n_bytes);
/* As those of generations. */
void reading_abandon(struct reading *rd);
void reading_cancel_all(struct server *s);
void reading_free_all(struct server *s);

/* ---- tokens.c ---- */
void tokens_of_text(struct exchange *ex, const void *body, size_t n_bytes);
void text_of_tokens(struct exchange *ex, const void *body, size_t n_bytes);
extern const struct field tokenize_fields[], detokenize_fields[];

/* ---- routes.c ---- */
/* libevent's handler of all requests. */
void route_request(struct evhttp_request *req, void *server);
/* The model that the exchange has waited for is there. */
void route_go_on(struct exchange *ex);

/* ---- tls.c ---- */
struct tls *tls_new(const char *cert, const char *key, struct err *err);
/* Reads the files again; on failure the old ones stay, and the log says why. */
void tls_reload(struct tls *t);
void tls_free(struct tls *t); /* NULL is fine */
struct bufferevent *tls_bufferevent(struct tls *t, struct event_base *base);

#endif
