/* errands.h - slow work beside the event loop: a thread that does one errand after the other, or
 * all that wait together.
 *
 *     loop:   errands_submit(e) ... errands_take() -> e->done(e)
 *     thread: e->run(e), or batch->run(user, first)
 *
 * An errand is the thread's from errands_submit() until its `done` is called. Functions are for the
 * loop's thread.
 */
#ifndef CRIA_SERVE_ERRANDS_H
#define CRIA_SERVE_ERRANDS_H

#include "base/err.h"

struct errand {
    struct errand *next;
    void (*run)(struct errand *e);  /* the thread's, but for those of a batch */
    void (*done)(struct errand *e); /* the loop's; may free it */
};

struct errands;

/* Errands that are done all together: those that came in during the batch before. Both functions
 * are the thread's. */
struct errand_batch {
    void (*run)(void *user, struct errand *first); /* all, linked by next */
    void (*each_minute)(void *user);               /* also when there is nothing to do */
    void *user;
};

/* `what` is what the thread does, for messages: "compiles". `batch` (copied) NULL: each errand's
 * own run. ERR_MEMORY, ERR_IO. */
struct errands *errands_new(const char *what, const struct errand_batch *batch, struct err *err);
/* Ends the thread behind the errand that it is at; all others are forgotten. NULL is fine. */
void errands_free(struct errands *all);
/* Waits until all are done, calls their `done`, and ends the thread. */
void errands_finish(struct errands *all);

void errands_submit(struct errands *all, struct errand *e);
int errands_fd(const struct errands *all); /* readable (eventfd) when some are done */
/* Calls `done` of those, oldest first. */
void errands_take(struct errands *all);

#endif
