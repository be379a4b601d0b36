/* serve.h - an OpenAI-compatible HTTP server over an engine, or over those of several models.
 *
 * Two threads: serve_run()'s caller runs the event loop, which alone touches sockets; a thread of
 * the worker (worker.h) alone touches the engine. Between them are one queue each way and a few
 * atomics. One server a process, since it takes over SIGTERM, SIGINT and SIGHUP while it runs; the
 * caller ignores SIGPIPE.
 */
#ifndef CRIA_SERVE_SERVE_H
#define CRIA_SERVE_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "infer/engine.h"

/* How the models of a directory are opened and closed, by a thread of the server's, one at a time.
 */
struct model_opener {
    /* Opens a file and tells the bytes that the model takes when it is started: NULL with err. */
    void *(*open)(void *user, const char *path, uint64_t *n_bytes, struct err *err);
    /* Its engine, which is the opened one's. */
    struct engine *(*start)(void *user, void *opened, struct err *err);
    void (*close)(void *user, void *opened); /* the engine, too */
    void *user;
};

struct serve_options {
    const char *models_dir;            /* serve_run() without an engine: its models are here, */
    uint64_t models_bytes;             /* take so much together (0: 80 % of the machine's), */
    const struct model_opener *source; /* and come from here, */
    int32_t n_seqs;                    /* with so many answers at once each */
    const char *host;                  /* a numeric address or "localhost" */
    int port;                          /* 0: a free one */
    const char *keys;               /* file of hashed keys (keys.h), or NULL: everybody may ask */
    const char *store;              /* file of responses and chats, or NULL: responses in memory */
    const char *tls_cert, *tls_key; /* PEM files; both or none */
    const char *const *origins;     /* web pages that may ask, "*" for all; n_origins */
    const char *const *hosts;       /* names that the Host header may have besides our own */
    const char *const *aliases;     /* names that the model answers to besides its own */
    int n_origins, n_hosts, n_aliases;
    const struct lora_named *adapters; /* [n_adapters], held; the engine takes adapters then */
    int n_adapters;
    const char *lora_dir; /* from here clients may load adapters; NULL: they may not */
    bool is_insecure;     /* a public address without keys is allowed */
    enum pooling pooling; /* how /v1/embeddings makes one vector of a text's states */
    int32_t max_queue;    /* requests that may wait for a place, >= 0 */
    bool is_sharing;      /* owners of chats may make links to them, which need no key */
    int store_mb;         /* most the store may take */
    const char *index;    /* documents that answers may cite; NULL: none */
    int index_mb;         /* clients may add to them until they take so much; 0: they may not */
    int store_days;       /* responses that nobody used for so long go; 0: never */
    int drain_s;          /* how long open answers may go on after SIGTERM */
    bool has_json_logs;   /* a JSON object a request instead of words */
    const char *version;
    /* Called once when it can answer, with "http://H:P". */
    void (*on_listening)(void *user, const char *url);
    void *user;
};

/* Serves until SIGTERM or SIGINT, then lets open answers end, and returns true. Borrows `e`, which
 * nobody else may use meanwhile; NULL: opt->models_dir. Fails before it listens: ERR_USAGE (options
 * that do not fit), ERR_IO (address in use, key file), naming the remedy. */
bool serve_run(struct engine *e, const struct serve_options *opt, struct err *err) CRIA_CHECK;

#endif
