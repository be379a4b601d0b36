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
#include <unistd.h>

#include "base/log.h"

struct list {
    struct errand *first, *last;
};

struct errands {
    pthread_t thread;
    bool has_thread;
    int event_fd;
    pthread_mutex_t lock;
    pthread_cond_t has_errand;
    struct list waiting, done; /* under lock */
    bool is_ending;            /* under lock */
};

static void append(struct list *l, struct errand *e)
{
    e->next = NULL;
    if (l->last)
        l->last->next = e;
    else
        l->first = e;
    l->last = e;
}

/* ---- the thread ---- */

/* NULL: the thread is to end. */
static struct errand *wait_for_one(struct errands *all)
{
    pthread_mutex_lock(&all->lock);
    while (!all->waiting.first && !all->is_ending) pthread_cond_wait(&all->has_errand, &all->lock);
    struct errand *e = all->is_ending ? NULL : all->waiting.first;
    if (e) {
        all->waiting.first = e->next;
        if (!e->next) all->waiting.last = NULL;
    }
    pthread_mutex_unlock(&all->lock);
    return e;
}

static void *run(void *arg)
{
    struct errands *all = arg;
    const uint64_t one = 1;
    for (struct errand *e; (e = wait_for_one(all)) != NULL;) {
        e->run(e);
        pthread_mutex_lock(&all->lock);
        append(&all->done, e);
        pthread_mutex_unlock(&all->lock);
        /* fails only if 2^64 - 2 of them were never read */
        if (write(all->event_fd, &one, sizeof one) < 0) log_warn("the event loop cannot be woken");
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

struct errands *errands_new(const char *what, struct err *err)
{
    struct errands *all = calloc(1, sizeof *all);
    if (!all) {
        err_set(err, ERR_MEMORY, "no memory for the server");
        return NULL;
    }
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

void errands_free(struct errands *all)
{
    if (!all) return;
    if (all->has_thread) {
        pthread_mutex_lock(&all->lock);
        all->is_ending = true;
        pthread_cond_signal(&all->has_errand);
        pthread_mutex_unlock(&all->lock);
        pthread_join(all->thread, NULL);
    }
    if (all->event_fd >= 0) close(all->event_fd);
    pthread_cond_destroy(&all->has_errand);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

void errands_submit(struct errands *all, struct errand *e)
{
    pthread_mutex_lock(&all->lock);
    append(&all->waiting, e);
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
