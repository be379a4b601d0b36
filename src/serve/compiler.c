/* SPDX-License-Identifier: Apache-2.0
 *
 * compiler.c - a thread that compiles, one text after the other, and a table of what it made.
 *
 * Kept are the newest grammars by their texts, at most MAX_KEPT of them and MAX_KEPT_BYTES: clients
 * ask for the same few again and again. Only the loop's thread touches the table; the two share two
 * lists of jobs under a lock that is held for a few stores.
 *
 * Begin reading at run() and compiler_take().
 */
#include "serve/compiler.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"

enum { MAX_KEPT = 64, MAX_KEPT_BYTES = 32 << 20 };

struct kept {
    enum form_kind kind;
    char *text;
    size_t n_text, n_bytes;
    struct grammar *grammar;
    int64_t last_used;
};

struct job_list {
    struct compile_job *first, *last;
};

struct compiler {
    pthread_t thread;
    bool has_thread;
    int event_fd;

    pthread_mutex_t lock;
    pthread_cond_t has_job;
    struct job_list waiting, done; /* under lock */
    bool is_ending;                /* under lock */

    struct kept kept[MAX_KEPT];
    int n_kept;
    size_t n_bytes;
    int64_t clock; /* counts uses */
};

static void append(struct job_list *l, struct compile_job *job)
{
    job->next = NULL;
    if (l->last)
        l->last->next = job;
    else
        l->first = job;
    l->last = job;
}

/* ---- the thread ---- */

static struct compile_job *wait_for_job(struct compiler *c)
{
    pthread_mutex_lock(&c->lock);
    while (!c->waiting.first && !c->is_ending) pthread_cond_wait(&c->has_job, &c->lock);
    struct compile_job *job = c->is_ending ? NULL : c->waiting.first;
    if (job) {
        c->waiting.first = job->next;
        if (!job->next) c->waiting.last = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    return job;
}

static void *run(void *arg)
{
    struct compiler *c = arg;
    struct compile_job *job = NULL;
    const uint64_t one = 1;
    while ((job = wait_for_job(c)) != NULL) {
        const struct form *f = job->form;
        job->grammar = form_compile(f->kind, f->text.data, f->text.n_bytes, f->field, &job->err);
        pthread_mutex_lock(&c->lock);
        append(&c->done, job);
        pthread_mutex_unlock(&c->lock);
        if (write(c->event_fd, &one, sizeof one) < 0) log_warn("the event loop cannot be woken");
    }
    return NULL;
}

/* ---- what is kept ---- */

static void drop(struct compiler *c, int i)
{
    c->n_bytes -= c->kept[i].n_bytes;
    free(c->kept[i].text);
    grammar_free(c->kept[i].grammar);
    c->kept[i] = c->kept[--c->n_kept];
}

static void drop_oldest(struct compiler *c)
{
    int oldest = 0;
    for (int i = 1; i < c->n_kept; i++)
        if (c->kept[i].last_used < c->kept[oldest].last_used) oldest = i;
    drop(c, oldest);
}

static struct kept *find(struct compiler *c, const struct form *f)
{
    for (int i = 0; i < c->n_kept; i++) {
        struct kept *k = &c->kept[i];
        if (k->kind == f->kind && k->n_text == f->text.n_bytes &&
            memcmp(k->text, f->text.data, k->n_text) == 0)
            return k;
    }
    return NULL;
}

/* Without memory it is not kept. */
static void keep(struct compiler *c, const struct form *f, struct grammar *g)
{
    const struct grammar_size size = grammar_size(g);
    const size_t n_text = f->text.n_bytes;
    const size_t n_bytes = n_text + 16 * (size_t)(size.n_states + size.n_edges);
    if (n_bytes > MAX_KEPT_BYTES || find(c, f)) return;
    while (c->n_kept == MAX_KEPT || c->n_bytes + n_bytes > MAX_KEPT_BYTES) drop_oldest(c);
    char *text = malloc(n_text + 1);
    if (!text) return;
    memcpy(text, f->text.data, n_text);
    c->kept[c->n_kept++] = (struct kept){
        .kind = f->kind,
        .text = text,
        .n_text = n_text,
        .n_bytes = n_bytes,
        .grammar = grammar_share(g),
        .last_used = ++c->clock,
    };
    c->n_bytes += n_bytes;
}

struct grammar *compiler_find(struct compiler *c, const struct form *f)
{
    struct kept *k = find(c, f);
    if (!k) return NULL;
    k->last_used = ++c->clock;
    return grammar_share(k->grammar);
}

/* ---- the loop's side ---- */

static bool start(struct compiler *c, struct err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int code = pthread_create(&c->thread, NULL, run, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    c->has_thread = code == 0;
    return c->has_thread || err_set(err, ERR_MEMORY,
                                    "cannot start the thread that compiles: %s; "
                                    "free memory",
                                    strerror(code));
}

struct compiler *compiler_new(struct err *err)
{
    struct compiler *c = calloc(1, sizeof *c);
    if (!c) {
        err_set(err, ERR_MEMORY, "no memory for the server");
        return NULL;
    }
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->has_job, NULL);
    c->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (c->event_fd < 0)
        err_set(err, ERR_IO, "no event descriptor; raise the limit of open files (ulimit -n)");
    if (c->event_fd >= 0 && start(c, err)) return c;
    compiler_free(c);
    return NULL;
}

void compiler_free(struct compiler *c)
{
    if (!c) return;
    if (c->has_thread) {
        pthread_mutex_lock(&c->lock);
        c->is_ending = true;
        pthread_cond_signal(&c->has_job);
        pthread_mutex_unlock(&c->lock);
        pthread_join(c->thread, NULL);
    }
    while (c->n_kept) drop(c, 0);
    if (c->event_fd >= 0) close(c->event_fd);
    pthread_cond_destroy(&c->has_job);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void compiler_submit(struct compiler *c, struct compile_job *job)
{
    job->grammar = NULL;
    job->err = (struct err){0};
    pthread_mutex_lock(&c->lock);
    append(&c->waiting, job);
    pthread_cond_signal(&c->has_job);
    pthread_mutex_unlock(&c->lock);
}

int compiler_fd(const struct compiler *c) { return c->event_fd; }

struct compile_job *compiler_take(struct compiler *c)
{
    uint64_t n = 0;
    if (read(c->event_fd, &n, sizeof n) < 0) n = 0;
    pthread_mutex_lock(&c->lock);
    struct compile_job *first = c->done.first;
    c->done = (struct job_list){0};
    pthread_mutex_unlock(&c->lock);
    for (struct compile_job *job = first; job; job = job->next)
        if (job->grammar) keep(c, job->form, job->grammar);
    return first;
}
