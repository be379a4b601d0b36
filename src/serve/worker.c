/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.c - one thread that owns the engine: takes jobs, steps, tells what came out.
 *
 * Events are gathered in a private list during a step and handed over once at its end, so that a
 * step costs one lock and one write to the eventfd however many answers run. The lock is held for
 * a few pointer stores only, never across a step.
 *
 * Cancelling must not wait for the queue: the loop sets the job's flag and then cancels the handles
 * that it can see; this thread stores a handle and then looks at the flag. Both pairs are
 * sequentially consistent, so one of the two sees the other's.
 *
 * A job of many parts, such as two thousand texts to embed, would stand before everybody else in
 * the engine's queue. So the engine has no more of a job's answers than it makes at once, and a
 * job's next part goes to the queue's end.
 *
 * The heartbeat is the time at which the last step ended. A loop that has work and has not beaten
 * for long is stuck, whatever the sockets say.
 *
 * Begin reading at run().
 */
#include "serve/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/os.h"

enum { STUCK_S = 120 };

struct event_list {
    struct worker_event *first, *last;
};

struct turn {
    pthread_mutex_t lock;
    pthread_cond_t is_next;
    uint64_t n_asked, n_had; /* under lock: the next to ask is number n_asked, n_had has it now */
};

struct worker {
    struct engine *engine;
    struct turn *turn; /* NULL: nobody else steps */
    pthread_t thread;
    bool has_thread;
    int event_fd;

    pthread_mutex_t lock;
    pthread_cond_t has_job;
    struct job *job_first, *job_last; /* under lock */
    struct event_list told;           /* under lock */
    bool is_ending;                   /* under lock */

    struct event_list fresh; /* the thread's: this step's events */
    struct job *live;        /* the thread's: begun and not ended, linked by `next` */

    /* relaxed: each is a figure by itself */
    _Atomic int64_t beat_ns, n_steps, n_free_tok;
    atomic_bool is_busy;
};

/* ---- events ---- */

static void append(struct event_list *l, struct worker_event *ev)
{
    ev->next = NULL;
    if (l->last)
        l->last->next = ev;
    else
        l->first = ev;
    l->last = ev;
}

void worker_event_free(struct worker_event *ev)
{
    free(ev->sampled);
    free(ev->vector);
    free(ev);
}

static int32_t which_stop(const struct job *job, const char *text)
{
    for (int32_t i = 0; text && i < job->params.n_stop; i++)
        if (strcmp(job->params.stop[i], text) == 0) return i;
    return -1;
}

static void *copy_of(const void *data, size_t n_bytes)
{
    void *copy = malloc(n_bytes);
    if (copy) memcpy(copy, data, n_bytes);
    return copy;
}

static struct worker_event *event_new(const struct engine_event *ev, const struct job *job)
{
    struct worker_event *out = malloc(sizeof *out + ev->n_text);
    if (!out) return NULL;
    *out = (struct worker_event){
        .kind = WORKER_TEXT,
        .token = ev->token,
        .finish = ev->finish,
        .i_stop = which_stop(job, ev->stop_text),
        .is_prompt = ev->is_prompt,
        .n_prompt = ev->n_prompt,
        .n_cached = ev->n_cached,
        .n_same = ev->n_same,
        .n_generated = ev->n_generated,
        .at_ns = clock_ns(),
        .text = (char *)(out + 1),
        .n_text = ev->n_text,
    };
    if (ev->n_text) memcpy(out + 1, ev->text, ev->n_text);
    const bool has_sampled = job->has_logprobs && ev->sampled;
    const size_t n_vector =
        (size_t)model_config(engine_model(job->worker->engine))->d_model * sizeof(float);
    if (has_sampled) out->sampled = copy_of(ev->sampled, sizeof *ev->sampled);
    if (ev->embedding) out->vector = copy_of(ev->embedding, n_vector);
    if ((!has_sampled || out->sampled) && (!ev->embedding || out->vector)) return out;
    worker_event_free(out);
    return NULL;
}

/* The event is part of its job: this cannot fail. */
static void tell_end(struct worker *w, struct job *job)
{
    job->end = (struct worker_event){.kind = WORKER_END, .job = job, .at_ns = clock_ns()};
    append(&w->fresh, &job->end);
}

static bool hear(void *user, const struct engine_event *ev)
{
    const struct job_part *part = user;
    struct job *job = part->job;
    if (ev->token >= 0 || ev->n_text > 0 || ev->finish != FINISH_NONE) {
        struct worker_event *out = event_new(ev, job);
        if (out) {
            out->job = job;
            out->i_choice = part->i * job->params.n_answers + ev->i_answer;
            append(&job->worker->fresh, out);
        } else if (job->err.code == ERR_OK) {
            err_set(&job->err, ERR_MEMORY, "no memory for the answer; try again later");
        }
    }
    if (ev->err && job->err.code == ERR_OK) job->err = *ev->err;
    if (ev->finish != FINISH_NONE) job->n_running--;
    return job->err.code == ERR_OK && !atomic_load(&job->is_cancelled);
}

/* ---- turns ---- */

struct turn *turn_new(struct err *err)
{
    struct turn *t = calloc(1, sizeof *t);
    if (!t) {
        err_set(err, ERR_MEMORY, "no memory for the server");
        return NULL;
    }
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->is_next, NULL);
    return t;
}

void turn_free(struct turn *t)
{
    if (!t) return;
    pthread_cond_destroy(&t->is_next);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static void turn_take(struct turn *t)
{
    if (!t) return;
    pthread_mutex_lock(&t->lock);
    for (const uint64_t mine = t->n_asked++; t->n_had != mine;)
        pthread_cond_wait(&t->is_next, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

static void turn_give(struct turn *t)
{
    if (!t) return;
    pthread_mutex_lock(&t->lock);
    t->n_had++;
    pthread_cond_broadcast(&t->is_next);
    pthread_mutex_unlock(&t->lock);
}

/* ---- the engine's thread ---- */

static void cancel_parts(struct worker *w, struct job *job)
{
    for (int32_t i = 0; i < job->n_parts; i++)
        engine_cancel(w->engine, atomic_load(&job->part[i].handle));
}

static bool may_go_on(const struct job *job)
{
    return job->err.code == ERR_OK && !atomic_load(&job->is_cancelled);
}

/* Gives the engine parts while it has room for more; what is refused cancels the others. */
static void feed(struct worker *w, struct job *job)
{
    struct request_params p = job->params;
    const int32_t n_answers = p.n_answers, n_most = engine_plan(w->engine)->n_seqs;
    p.listener = hear;
    while (may_go_on(job) && job->n_submitted < job->n_parts &&
           (job->n_running == 0 || job->n_running + n_answers <= n_most)) {
        struct job_part *part = &job->part[job->n_submitted];
        p.prompt = part->prompt.id;
        p.n_prompt = (int32_t)part->prompt.n;
        p.user = part;
        p.score_from = part->score_from > 0 ? part->score_from : job->params.score_from;
        p.sampling.seed = job->params.sampling.seed + (uint64_t)(part->i * n_answers);
        const int64_t handle = engine_submit(w->engine, &p, &job->err);
        if (!handle) break;
        job->n_submitted++;
        job->n_running += n_answers;
        atomic_store(&part->handle, handle);
    }
    if (!may_go_on(job)) cancel_parts(w, job);
}

static void begin(struct worker *w, struct job *job)
{
    feed(w, job);
    job->next = w->live;
    w->live = job;
    if (!may_go_on(job)) return;
    struct worker_event *ev = calloc(1, sizeof *ev);
    if (!ev) return; /* the first text will do */
    *ev = (struct worker_event){
        .kind = WORKER_ACCEPTED, .job = job, .token = -1, .at_ns = clock_ns()};
    append(&w->fresh, ev);
}

/* After a step: the next parts, and the end of jobs that have none left. True if any goes on. */
static bool feed_all(struct worker *w)
{
    for (struct job **at = &w->live; *at;) {
        struct job *job = *at;
        if (job->n_submitted < job->n_parts) feed(w, job);
        if (job->n_running > 0) {
            at = &job->next;
            continue;
        }
        *at = job->next; /* before it is the loop's again */
        tell_end(w, job);
    }
    return w->live != NULL;
}

/* Waits for a job unless there is work already; false when the thread is to end. */
static bool take_jobs(struct worker *w, bool has_work, struct job **first)
{
    pthread_mutex_lock(&w->lock);
    if (!has_work && !w->job_first && !w->is_ending) {
        atomic_store_explicit(&w->is_busy, false, memory_order_relaxed);
        while (!w->job_first && !w->is_ending) pthread_cond_wait(&w->has_job, &w->lock);
        atomic_store_explicit(&w->beat_ns, clock_ns(), memory_order_relaxed);
        atomic_store_explicit(&w->is_busy, true, memory_order_relaxed);
    }
    *first = w->job_first;
    w->job_first = w->job_last = NULL;
    const bool goes_on = !w->is_ending;
    pthread_mutex_unlock(&w->lock);
    return goes_on;
}

static void hand_over(struct worker *w)
{
    const uint64_t one = 1;
    if (!w->fresh.first) return;
    pthread_mutex_lock(&w->lock);
    if (w->told.last)
        w->told.last->next = w->fresh.first;
    else
        w->told.first = w->fresh.first;
    w->told.last = w->fresh.last;
    pthread_mutex_unlock(&w->lock);
    w->fresh = (struct event_list){0};
    /* fails only if 2^64 - 2 hand-overs were never read */
    if (write(w->event_fd, &one, sizeof one) < 0) log_warn("the event loop cannot be woken");
}

static void *run(void *arg)
{
    struct worker *w = arg;
    struct job *job = NULL;
    bool has_work = false;
    while (take_jobs(w, has_work, &job)) {
        while (job) {
            struct job *next = job->next;
            begin(w, job);
            job = next;
            has_work = true;
        }
        struct err err = {0};
        if (has_work) {
            turn_take(w->turn);
            /* if not, the listeners have heard it, and the engine is empty */
            if (!engine_step(w->engine, &has_work, &err))
                log_warn("a step of the model failed: %s", err.text);
            turn_give(w->turn);
        }
        has_work = feed_all(w);
        atomic_store_explicit(&w->n_free_tok, engine_free_tokens(w->engine), memory_order_relaxed);
        atomic_fetch_add_explicit(&w->n_steps, 1, memory_order_relaxed);
        atomic_store_explicit(&w->beat_ns, clock_ns(), memory_order_relaxed);
        hand_over(w);
    }
    return NULL;
}

/* ---- the loop's side ---- */

/* Signals are for the loop's thread. */
static bool start(struct worker *w, struct err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int code = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0)
        return err_set(err, ERR_MEMORY, "cannot start the engine's thread: %s; free memory",
                       strerror(code));
    w->has_thread = true;
    return true;
}

struct worker *worker_new(struct engine *e, struct turn *turn, struct err *err)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w) {
        err_set(err, ERR_MEMORY, "no memory for the server");
        return NULL;
    }
    w->engine = e;
    w->turn = turn;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->has_job, NULL);
    atomic_store(&w->n_free_tok, engine_free_tokens(e));
    w->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->event_fd < 0)
        err_set(err, ERR_IO, "no event descriptor; raise the limit of open files (ulimit -n)");
    if (w->event_fd >= 0 && start(w, err)) return w;
    worker_free(w);
    return NULL;
}

static void free_events(struct event_list *l)
{
    for (struct worker_event *ev = l->first, *next; ev; ev = next) {
        next = ev->next;
        if (ev->kind != WORKER_END) worker_event_free(ev);
    }
}

void worker_free(struct worker *w)
{
    if (!w) return;
    if (w->has_thread) {
        pthread_mutex_lock(&w->lock);
        w->is_ending = true;
        pthread_cond_signal(&w->has_job);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    free_events(&w->told);
    free_events(&w->fresh);
    if (w->event_fd >= 0) close(w->event_fd);
    pthread_cond_destroy(&w->has_job);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void worker_submit(struct worker *w, struct job *job)
{
    job->worker = w;
    job->next = NULL;
    job->n_submitted = job->n_running = 0;
    job->err = (struct err){0};
    for (int32_t i = 0; i < job->n_parts; i++) {
        job->part[i].job = job;
        job->part[i].i = i;
    }
    pthread_mutex_lock(&w->lock);
    if (w->job_last)
        w->job_last->next = job;
    else
        w->job_first = job;
    w->job_last = job;
    pthread_cond_signal(&w->has_job);
    pthread_mutex_unlock(&w->lock);
}

void worker_cancel(struct worker *w, struct job *job)
{
    atomic_store(&job->is_cancelled, true);
    cancel_parts(w, job);
}

int worker_fd(const struct worker *w) { return w->event_fd; }

struct worker_event *worker_take(struct worker *w)
{
    uint64_t n = 0;
    /* first the descriptor, then the list: what is told in between wakes us once more for nothing
     */
    if (read(w->event_fd, &n, sizeof n) < 0) n = 0;
    pthread_mutex_lock(&w->lock);
    struct worker_event *first = w->told.first;
    w->told = (struct event_list){0};
    pthread_mutex_unlock(&w->lock);
    return first;
}

struct worker_status worker_status(const struct worker *w)
{
    const bool is_busy = atomic_load_explicit(&w->is_busy, memory_order_relaxed);
    const int64_t beat = atomic_load_explicit(&w->beat_ns, memory_order_relaxed);
    const int64_t age = clock_ns() - beat;
    return (struct worker_status){
        .is_busy = is_busy,
        .beat_age_ns = is_busy && age > 0 ? age : 0,
        .n_steps = atomic_load_explicit(&w->n_steps, memory_order_relaxed),
        .n_free_tok = atomic_load_explicit(&w->n_free_tok, memory_order_relaxed),
        .engine = engine_status(w->engine),
    };
}

bool worker_is_stuck(const struct worker_status *st)
{
    return st->beat_age_ns > (int64_t)STUCK_S * 1000000000;
}
