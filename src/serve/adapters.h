/* adapters.h - the adapters that requests may name as their model: those of the start, and those
 * that clients load and unload while the server runs. Private to the room; the loop's thread only.
 */
#ifndef CRIA_SERVE_ADAPTERS_H
#define CRIA_SERVE_ADAPTERS_H

#include "base/json_write.h"
#include "model/lora.h"
#include "serve/fields.h"
#include "serve/refusal.h"
#include "serve/serve.h"

struct server;
struct exchange;
struct adapters;
struct adapter_job;

enum { ADAPTERS_MAX = 64 };

struct adapter {
    struct adapter *next;
    struct lora_named is;
    int64_t loaded_s;   /* unix time */
    int64_t n_requests; /* that have chosen it */
    int n_users;        /* of them, those that are not over */
    bool is_leaving;    /* unloaded: no request may choose it any more */
};

/* Takes over the server's options; ERR_USAGE: a name that cannot be one, a directory that is none.
 */
struct adapters *adapters_new(struct server *s, struct err *err);
/* Waits for the file that is being read; who waits for anything is not answered any more. */
void adapters_stop(struct adapters *a);
/* After that, and when no request is left. NULL is fine. */
void adapters_free(struct adapters *a);

int adapters_fd(const struct adapters *a); /* readable (eventfd) when a file has been read */
void adapters_hear(struct adapters *a);

/* Whether a request may name `name`. */
struct adapter *adapters_find(const struct adapters *a, const char *name);
/* A request begins to use it, or stops; NULL is fine. What leaves is gone with its last user. */
void adapters_enter(struct adapter *ad);
void adapters_leave(struct adapters *a, struct adapter *ad);

/* POST /v1/load_lora_adapter and /v1/unload_lora_adapter; their fields. */
extern const struct field adapter_rows[];
void adapters_load(struct exchange *ex, const void *body, size_t n_bytes);
void adapters_unload(struct exchange *ex, const void *body, size_t n_bytes);
/* The client is gone; what it asked for is done all the same. */
void adapters_abandon(struct adapter_job *job);

/* Calls fn with each that may be named. */
void adapters_each(const struct adapters *a, void (*fn)(void *user, const struct adapter *),
                   void *user);

#endif
