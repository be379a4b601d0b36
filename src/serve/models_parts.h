/* models_parts.h - what the list of models (models.c) and the loading of one (models_load.c) share.
 * Private to these two; the loop's thread only.
 */
#ifndef CRIA_SERVE_MODELS_PARTS_H
#define CRIA_SERVE_MODELS_PARTS_H

#include "serve/models.h"

struct models {
    struct server *server;
    struct served *first, *only;
    int n;
    uint64_t max_bytes, n_held; /* of those that are STARTING, IN or CLOSING */
    struct errands *errands;    /* NULL: the only model is the caller's */
    struct event *done, *again; /* errands are; models_pump() is wanted */
    struct turn *turn;
    struct exchange *wait_first, *wait_last;
    int n_waiting;
    struct worker_status past; /* of models that are no longer loaded: the counters alone */
};

/* ---- models_load.c ---- */
/* Where its file is, if it is one of a directory; the caller releases. */
void served_path(const struct served *m, struct buf *out);
/* Its engine is there: requests may come. */
bool served_begin(struct served *m, struct err *err) CRIA_CHECK;
/* They no longer may. Nothing happens to a model that has not begun. */
void served_end(struct served *m);
/* Has the thread do what `state` says: MODEL_OPENING, MODEL_STARTING or MODEL_CLOSING. */
void served_send_off(struct served *m, enum served_state state);
/* Ends and closes it. */
void served_let_go(struct served *m);

/* ---- models.c ---- */
/* Something has changed: whatever can go on does. */
void models_pump(struct models *all);
/* Answers all who wait for it. */
void models_refuse_waiting(struct served *m, const struct refusal *r);
/* Keeps the counters of a worker that is about to end. */
void models_remember(struct models *all, const struct worker *worker);

#endif
