/* SPDX-License-Identifier: Apache-2.0
 *
 * errands.c - a thread, two lists under a lock that is held for a few stores, and a descriptor that
 * wakes the event loop.
 *
 * Begin reading at run().
 */
#include "serve/errands.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

enum { MINUTE_S = 60 };

struct list {
    struct errand *first, *last;
};

struct errands {
    struct errand_batch batch; /* run NULL: none */
    pthread_t thread;
    bool has_thread;
    int event_fd;
    pthread_mutex_t lock;
    pthread_cond_t has_errand;
    struct list waiting, done; /* under lock */
    bool is_ending;            /* under lock */
    bool forgets;              /* under lock: and what waits is not done any more */
};

static void append(struct list *l, const struct list *more)
{
    if (l->last)
        l->last->next = more->first;
    else
        l->first = more->first;
    l->last = more->last;
}

/* ---- the thread ---- */

/* Waits for errands, a minute at most: one, or all of a batch. False: the thread is to end. */
static bool take_some(struct errands *all, struct list *some)
{
    struct timespec until;
    int code = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += MINUTE_S;
    pthread_mutex_lock(&all->lock);
    while (code == 0 && !all->waiting.first && !all->is_ending)
        code = pthread_cond_timedwait(&all->has_errand, &all->lock, &until);
    if (all->forgets) all->waiting = (struct list){0};
    *some = all->waiting;
    all->waiting = (struct list){0};
    if (some->first && !all->batch.run) {
        all->waiting = (struct list){some->first->next, some->last};
        if (!all->waiting.first) all->waiting.last = NULL;
        some->last = some->first;
        some->first->next = NULL;
    }
    const bool goes_on = some->first || !all->is_ending;
    pthread_mutex_unlock(&all->lock);
    return goes_on;
}

static void hand_over(struct errands *all, const struct list *some)
{
    const uint64_t one = 1;
    pthread_mutex_lock(&all->lock);
    append(&all->done, some);
    pthread_mutex_unlock(&all->lock);
    /* fails only if 2^64 - 2 of them were never read */
    if (write(all->event_fd, &one, sizeof one) < 0) log_warn("the event loop cannot be woken");
}

static void *run(void *arg)
{
    struct errands *all = arg;
    struct list some;
    time_t minute = 0;
    while (take_some(all, &some)) {
        if (some.first) {
            if (all->batch.run)
                all->batch.run(all->batch.user, some.first);
            else
                some.first->run(some.first);
            hand_over(all, &some);
        }
        if (!all->batch.each_minute || time(NULL) - minute < MINUTE_S) continue;
        all->batch.each_minute(all->batch.user);
        minute = time(NULL);
    }
    return NULL;
}

/* ---- the loop's side ---- */

/* Signals are for the loop's thread. */
static bool start(struct errands *all, const char *what, struct err *err)
{
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    const int code = pthread_create(&all->thread, NULL, run, all);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    all->has_thread = code == 0;
    return all->has_thread ||
           err_set(err, ERR_MEMORY, "cannot start the thread that %s: %s; free memory", what,
                   strerror(code));
}

struct errands *errands_new(const char *what, const struct errand_batch *batch, struct err *err)
{
    struct errands *all = calloc(1, sizeof *all);
    if (!all) {
        err_set(err, ERR_MEMORY, "no memory for the server");
        return NULL;
    }
    if (batch) all->batch = *batch;
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->has_errand, NULL);
    all->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (all->event_fd < 0)
        err_set(err, ERR_IO, "no event descriptor; raise the limit of open files (ulimit -n)");
    else if (start(all, what, err))
        return all;
    errands_free(all);
    return NULL;
}

static void end(struct errands *all, bool forgets)
{
    if (!all->has_thread) return;
    pthread_mutex_lock(&all->lock);
    all->is_ending = true;
    all->forgets = forgets;
    pthread_cond_signal(&all->has_errand);
    pthread_mutex_unlock(&all->lock);
    pthread_join(all->thread, NULL);
    all->has_thread = false;
}

void errands_finish(struct errands *all)
{
    end(all, false);
    errands_take(all);
}

void errands_free(struct errands *all)
{
    if (!all) return;
    end(all, true);
    if (all->event_fd >= 0) close(all->event_fd);
    pthread_cond_destroy(&all->has_errand);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

void errands_submit(struct errands *all, struct errand *e)
{
    const struct list one = {e, e};
    e->next = NULL;
    pthread_mutex_lock(&all->lock);
    append(&all->waiting, &one);
    pthread_cond_signal(&all->has_errand);
    pthread_mutex_unlock(&all->lock);
}

int errands_fd(const struct errands *all) { return all->event_fd; }

void errands_take(struct errands *all)
{
    uint64_t n = 0;
    /* first the descriptor, then the list: what is done in between wakes us once more */
    if (read(all->event_fd, &n, sizeof n) < 0) n = 0;
    pthread_mutex_lock(&all->lock);
    struct errand *e = all->done.first;
    all->done = (struct list){0};
    pthread_mutex_unlock(&all->lock);
    for (struct errand *next; e; e = next) {
        next = e->next;
        e->done(e);
    }
}
