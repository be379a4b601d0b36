/* SPDX-License-Identifier: Apache-2.0
 *
 * vault.c - the vault's thread and its two queues.
 *
 * A write to a disk takes as long as the disk likes, and the event loop has no time for it. So jobs
 * go to a thread, which takes all that wait and commits them together: under load a commit is
 * shared by as many responses as came in during the one before.
 *
 * Begin reading at run().
 */
#include "serve/vault.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "serve/vault_parts.h"

enum { EXPIRE_S = 60, MAX_DOC_BYTES = 64 << 20 };

struct job_list {
    struct vault_job *first, *last;
};

struct vault {
    struct vault_db *db; /* the thread's, once it runs */
    pthread_t thread;
    bool has_thread;
    int event_fd;
    pthread_mutex_t lock;
    pthread_cond_t has_job;
    struct job_list waiting, told; /* under lock */
    bool is_ending;                /* under lock */
};

void vault_job_init(struct vault_job *job, enum vault_op op, const char *key, const char *id)
{
    *job = (struct vault_job){.op = op};
    snprintf(job->key, sizeof job->key, "%s", key);
    snprintf(job->id, sizeof job->id, "%s", id);
    buf_init(&job->doc, MAX_DOC_BYTES);
    buf_init(&job->input, MAX_DOC_BYTES);
    buf_init(&job->title, MAX_DOC_BYTES);
    buf_init(&job->text, MAX_DOC_BYTES);
}

void vault_job_release(struct vault_job *job)
{
    buf_release(&job->doc);
    buf_release(&job->input);
    buf_release(&job->title);
    buf_release(&job->text);
}

static void append(struct job_list *l, struct vault_job *first, struct vault_job *last)
{
    if (l->last)
        l->last->next = first;
    else
        l->first = first;
    l->last = last;
}

/* ---- the thread ---- */

/* Waits for jobs, a minute at most; false when there are none left and the thread is to end. */
static bool take_jobs(struct vault *s, struct job_list *jobs)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += EXPIRE_S;
    pthread_mutex_lock(&s->lock);
    int code = 0;
    while (code == 0 && !s->waiting.first && !s->is_ending)
        code = pthread_cond_timedwait(&s->has_job, &s->lock, &until);
    *jobs = s->waiting;
    s->waiting = (struct job_list){0};
    const bool goes_on = jobs->first || !s->is_ending;
    pthread_mutex_unlock(&s->lock);
    return goes_on;
}

static void hand_over(struct vault *s, struct job_list *jobs)
{
    const uint64_t one = 1;
    pthread_mutex_lock(&s->lock);
    append(&s->told, jobs->first, jobs->last);
    pthread_mutex_unlock(&s->lock);
    /* fails only if 2^64 - 2 hand-overs were never read */
    if (write(s->event_fd, &one, sizeof one) < 0) log_warn("the event loop cannot be woken");
}

static void *run(void *arg)
{
    struct vault *s = arg;
    struct job_list jobs;
    time_t expired = 0;
    while (take_jobs(s, &jobs)) {
        if (jobs.first) {
            vault_db_do(s->db, jobs.first);
            hand_over(s, &jobs);
        }
        if (time(NULL) - expired < EXPIRE_S) continue;
        vault_db_expire(s->db);
        expired = time(NULL);
    }
    return NULL;
}

/* ---- the loop's side ---- */

/* Signals are for the loop's thread. */
static bool start(struct vault *s, struct err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int code = pthread_create(&s->thread, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->has_thread = code == 0;
    return code == 0 || err_set(err, ERR_MEMORY, "cannot start the store's thread: %s; free memory",
                                strerror(code));
}

int vault_fd(const struct vault *s) { return s->event_fd; }

void vault_take(struct vault *s)
{
    uint64_t n = 0;
    /* first the descriptor, then the list: what is told in between wakes us once more */
    if (read(s->event_fd, &n, sizeof n) < 0) n = 0;
    pthread_mutex_lock(&s->lock);
    struct vault_job *job = s->told.first;
    s->told = (struct job_list){0};
    pthread_mutex_unlock(&s->lock);
    for (struct vault_job *next; job; job = next) {
        next = job->next;
        job->done(job);
    }
}

struct vault *vault_open(const struct vault_options *opt, struct err *err)
{
    struct vault *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(err, ERR_MEMORY, "no memory for the store");
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->has_job, NULL);
    s->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (s->event_fd < 0)
        err_set(err, ERR_IO, "no event descriptor; raise the limit of open files (ulimit -n)");
    else if ((s->db = vault_db_open(opt, err)) != NULL && start(s, err))
        return s;
    vault_close(s);
    return NULL;
}

void vault_close(struct vault *s)
{
    if (!s) return;
    if (s->has_thread) {
        pthread_mutex_lock(&s->lock);
        s->is_ending = true;
        pthread_cond_signal(&s->has_job);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
        vault_take(s);
    }
    vault_db_close(s->db);
    if (s->event_fd >= 0) close(s->event_fd);
    pthread_cond_destroy(&s->has_job);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void vault_submit(struct vault *s, struct vault_job *job)
{
    job->next = NULL;
    job->refusal = (struct refusal){0};
    pthread_mutex_lock(&s->lock);
    append(&s->waiting, job, job);
    pthread_cond_signal(&s->has_job);
    pthread_mutex_unlock(&s->lock);
}
