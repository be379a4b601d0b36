/* models.h - the models that requests may name: the one that the server was started with, or those
 * of a directory, which are opened when somebody asks for them and closed again when another needs
 * their memory. Private to the room; the loop's thread only.
 */
#ifndef CRIA_SERVE_MODELS_H
#define CRIA_SERVE_MODELS_H

#include "serve/errands.h"
#include "serve/gen_params.h"
#include "serve/serve.h"
#include "serve/worker.h"

struct server;
struct exchange;
struct models;
struct event;

/* A model, and what runs it while it is loaded. */
struct served {
    struct models *all;
    struct served *next; /* sorted by id */
    char id[200];
    enum served_state {
        MODEL_OUT,
        MODEL_OPENING,  /* the thread opens its file and finds out what it will take */
        MODEL_OPEN,     /* that is known, and it waits for the memory */
        MODEL_STARTING, /* the thread makes its engine */
        MODEL_IN,       /* requests run */
        MODEL_CLOSING,  /* the thread frees it */
    } state;
    struct engine *engine; /* these four: MODEL_IN only */
    struct worker *worker;
    struct gen_model gen;
    int64_t n_cache_tok; /* positions in the cache in all */
    struct event *wake;
    int64_t created_s; /* unix time */
    uint64_t file_bytes;
    uint64_t n_bytes; /* that it takes when it is loaded; 0: not known yet */
    void *opened;     /* the source's */
    struct errand errand;
    struct err err;     /* the errand's */
    int n_users;        /* requests that are its and not over */
    int64_t n_requests; /* that have been */
    int64_t used_ns;    /* when the last one began or ended */
    bool is_leaving;    /* its memory is wanted: it takes no more requests */
};

/* The model of `e`, or, if that is NULL, those that the server's options name. */
struct models *models_new(struct server *s, struct engine *e, struct err *err);
/* Starts the threads that run what is loaded, and that which loads. */
bool models_start(struct models *all, struct err *err) CRIA_CHECK;
/* Ends the threads. Who waits for a model is not answered any more. */
void models_stop(struct models *all);
/* After that, and when no request is left. NULL is fine. */
void models_free(struct models *all);

/* The model that all requests are for; NULL: there are several to choose from. */
struct served *models_only(const struct models *all);
struct served *models_find(const struct models *all, const char *id);
/* Calls fn with each, sorted by name. Looks for new files first. */
void models_each(struct models *all, void (*fn)(void *user, const struct served *), void *user);
/* Of all together, and of those that were loaded before. */
struct worker_status models_status(const struct models *all);
int64_t models_cache_tok(const struct models *all);
bool models_are_stuck(const struct models *all);

/* Sets ex->served to the model that the body names. True: it is loaded. False: the exchange waits
 * for it, and route_go_on() follows, or it has been refused. */
bool models_choose(struct exchange *ex, const void *body, size_t n_bytes) CRIA_CHECK;
/* The client is gone. */
void models_abandon(struct exchange *ex);
/* All who wait are refused: the server is about to end. */
void models_refuse_all(struct models *all);

/* A request is this model's, or is over. */
void models_enter(struct served *m);
void models_leave(struct served *m);

#endif
