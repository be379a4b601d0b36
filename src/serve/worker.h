/* worker.h - the engine's thread, and the two queues between it and the event loop.
 *
 *     loop:   worker_submit(job) ... worker_take() -> events ... the last one: the job is back
 *     engine: takes jobs, steps, turns what listeners hear into events, once a step
 *
 * A job belongs to the engine's thread from worker_submit() until the loop has its last event;
 * meanwhile the loop may only call worker_cancel() on it. Functions are for the loop's thread,
 * unless said otherwise.
 */
#ifndef CRIA_SERVE_WORKER_H
#define CRIA_SERVE_WORKER_H

#include <stdatomic.h>

#include "infer/engine.h"

struct worker;
struct job;

enum worker_event_kind {
    WORKER_ACCEPTED, /* its first parts stand in the engine's queue */
    WORKER_TEXT,     /* a token or text of one choice, or its end */
    WORKER_END,      /* the job's last event; after it the job is the loop's again */
};

struct worker_event {
    struct worker_event *next;
    enum worker_event_kind kind;
    struct job *job;
    int32_t i_choice; /* part * n_answers + answer */
    int32_t token;    /* -1: none */
    enum finish finish;
    int32_t i_stop;                          /* the stop string that ended it, -1: none */
    int32_t n_prompt, n_cached, n_generated; /* of this part and answer */
    int32_t n_same;                          /* as in engine_event */
    int64_t at_ns;
    bool is_prompt;          /* `token` is the prompt's (score_from) */
    struct sampled *sampled; /* NULL without log-probabilities */
    float *vector;           /* [d_model] of a part that asked for one, else NULL */
    const char *text;        /* n_text bytes, behind the event */
    size_t n_text;
};
void worker_event_free(struct worker_event *ev); /* not of WORKER_END, which is in its job */

struct job_part {
    struct ids prompt;
    int32_t score_from;     /* 0: the job's (request_params) */
    _Atomic int64_t handle; /* 0: not submitted */
    struct job *job;
    int32_t i;
};

struct job {
    /* filled by the loop */
    struct request_params params; /* without prompt and listener; what it points to must last */
    struct job_part *part;
    int32_t n_parts;
    bool has_logprobs;
    void (*hear)(struct worker_event *ev); /* whose events these are: the loop's side calls it */
    void *user;

    atomic_bool is_cancelled;

    /* the engine thread's, then the loop's at the end */
    struct worker *worker;
    struct job *next;
    int32_t n_submitted; /* parts: the engine gets the next as others end */
    int32_t n_running;   /* choices that the engine has */
    struct err err;      /* code not ERR_OK: why it failed */
    struct worker_event end;
};

/* Engines in one process step one after the other, in the order in which they ask: a step has all
 * cores, and two at once would spin for each other's. */
struct turn;
struct turn *turn_new(struct err *err);
void turn_free(struct turn *t); /* NULL is fine; after all workers that have it */

/* Starts the thread. Keeps `e`, and `turn` unless it is NULL: the only engine. */
struct worker *worker_new(struct engine *e, struct turn *turn, struct err *err);
/* Ends the thread within a step, then frees; jobs that have not ended are never heard of again.
 * NULL is fine. */
void worker_free(struct worker *w);

void worker_submit(struct worker *w, struct job *job);
/* The job ends within a step, with its last event as ever. */
void worker_cancel(struct worker *w, struct job *job);

int worker_fd(const struct worker *w); /* readable (eventfd) when there are events */
/* Takes all events there are, oldest first, linked by `next`. */
struct worker_event *worker_take(struct worker *w);

/* Read from any thread without waiting for anybody. */
struct worker_status {
    bool is_busy;        /* it has something to do */
    int64_t beat_age_ns; /* since the last step ended (0 while idle) */
    int64_t n_steps;
    int64_t n_free_tok; /* positions of the cache that nobody holds */
    struct engine_status engine;
};
struct worker_status worker_status(const struct worker *w);
/* A step has taken longer than any should. */
bool worker_is_stuck(const struct worker_status *st);

#endif
