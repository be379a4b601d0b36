/* SPDX-License-Identifier: Apache-2.0
 *
 * test_worker.c - jobs go to the engine's thread and come back: each with one last event, whole,
 * cancelled early or late, or refused; and no page of the cache is lost by it.
 */
#include "test.h"

#include <poll.h>

#include "serve/worker.h"
#include "tiny_model.h"

enum { N_JOBS = 200, N_CTX = 128, N_TOK = 12, MAX_PARTS = 30 };

struct fixture {
    struct model *m;
    struct engine *e;
    struct worker *w;
};

static int open_fixture(void **state)
{
    static struct fixture f;
    struct err err = {0};
    const struct engine_options opt = {
        .n_threads = 1, .n_ctx = N_CTX, .n_seqs = 8, .max_batch_tok = 32, .kv_dtype = DT_F32};
    f.m = tiny_model_open(1);
    f.e = engine_new(f.m, &opt, &err);
    f.w = f.e ? worker_new(f.e, NULL, &err) : NULL;
    assert_ok(f.w, &err);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    worker_free(f->w);
    engine_free(f->e);
    model_close(f->m);
    return 0;
}

struct test_job {
    struct job job;
    struct job_part part[MAX_PARTS];
    int32_t ids[8];
    int n_tokens, n_ends, n_finished, n_vectors;
    bool is_over;
};

static void fill(struct test_job *t, int i, int n_parts, int n_answers)
{
    *t = (struct test_job){0};
    t->ids[0] = 1;
    for (int k = 1; k < 8; k++) t->ids[k] = TINY_FIRST_WORD + (i * 7 + k * k) % 41;
    for (int k = 0; k < n_parts; k++) t->part[k].prompt = (struct ids){t->ids, 8, 8};
    t->job.params = request_defaults();
    t->job.params.n_predict = N_TOK;
    t->job.params.n_answers = n_answers;
    t->job.params.ignores_eos = true;
    t->job.part = t->part;
    t->job.n_parts = n_parts;
    t->job.user = t;
}

static void hear(struct worker_event *ev)
{
    struct test_job *t = ev->job->user;
    assert_false(t->is_over);
    if (ev->kind == WORKER_END) {
        t->is_over = true;
        t->n_ends++;
        return;
    }
    if (ev->kind == WORKER_TEXT) {
        t->n_tokens += ev->token >= 0;
        t->n_vectors += ev->vector != NULL;
        t->n_finished += ev->finish != FINISH_NONE;
    }
    worker_event_free(ev);
}

/* Hears events until n jobs are over. */
static void wait_for(struct worker *w, const struct test_job *t, int n)
{
    for (int tries = 0;; tries++) {
        int n_over = 0;
        for (struct worker_event *ev = worker_take(w), *next; ev; ev = next) {
            next = ev->next;
            hear(ev);
        }
        for (int i = 0; i < n; i++) n_over += t[i].is_over;
        if (n_over == n) return;
        struct pollfd p = {.fd = worker_fd(w), .events = POLLIN};
        assert_true(poll(&p, 1, 10000) == 1 && tries < 100000);
    }
}

static void test_each_job_comes_back(void **state)
{
    struct fixture *f = *state;
    static struct test_job t[N_JOBS];
    for (int i = 0; i < N_JOBS; i++) {
        fill(&t[i], i, 1 + i % 2, 1 + i % 3);
        worker_submit(f->w, &t[i].job);
    }
    wait_for(f->w, t, N_JOBS);
    for (int i = 0; i < N_JOBS; i++) {
        const int n = (1 + i % 2) * (1 + i % 3);
        assert_int_equal(t[i].job.err.code, ERR_OK);
        assert_int_equal(t[i].n_finished, n);
        assert_int_equal(t[i].n_tokens, n * N_TOK);
    }
    const struct worker_status s = worker_status(f->w);
    assert_true(s.n_steps > 0 && s.engine.n_running == 0);
}

static void test_cancelled_at_any_time(void **state)
{
    struct fixture *f = *state;
    static struct test_job t[N_JOBS];
    for (int i = 0; i < N_JOBS; i++) {
        fill(&t[i], i, 1 + i % 2, 1);
        t[i].job.params.n_predict = -1; /* a full context each, if nobody stopped them */
        worker_submit(f->w, &t[i].job);
        worker_cancel(f->w, &t[i * 5 / 7].job); /* some new, some running, some ended */
    }
    for (int i = 0; i < N_JOBS; i++) worker_cancel(f->w, &t[i].job);
    wait_for(f->w, t, N_JOBS);
    for (int i = 0; i < N_JOBS; i++) assert_int_equal(t[i].n_ends, 1);
    /* what is left in the cache are prefixes of ended answers */
    engine_clear_cache(f->e);
    assert_int_equal(engine_status(f->e).n_running, 0);
    assert_int_equal(engine_free_tokens(f->e), 8 * N_CTX);
}

/* Of a job with many parts the engine has no more than it works on at once, so the short job behind
 * it is over first; and a part that is refused ends those that wait. */
static void test_many_parts_take_turns(void **state)
{
    struct fixture *f = *state;
    static struct test_job t[3];
    fill(&t[0], 0, MAX_PARTS, 1);
    t[0].job.params.pooling = POOL_MEAN;
    fill(&t[1], 1, MAX_PARTS, 1);
    fill(&t[2], 2, 1, 1);
    t[2].job.params.n_predict = 1;
    for (int i = 0; i < 3; i++) worker_submit(f->w, &t[i].job);
    wait_for(f->w, t + 2, 1);
    assert_false(t[1].is_over);
    wait_for(f->w, t, 3);
    assert_int_equal(t[0].n_vectors, MAX_PARTS);
    assert_int_equal(t[1].n_tokens, MAX_PARTS * N_TOK);
    for (int i = 0; i < 3; i++) assert_int_equal(t[i].job.err.code, ERR_OK);

    fill(&t[0], 0, MAX_PARTS, 1);
    t[0].part[20].prompt.id = (int32_t[]){TINY_VOCAB, 0, 0, 0, 0, 0, 0, 0};
    worker_submit(f->w, &t[0].job);
    wait_for(f->w, t, 1);
    assert_int_equal(t[0].job.err.code, ERR_USAGE);
    assert_true(t[0].n_finished >= 12 && t[0].n_finished <= 20);
    assert_int_equal(worker_status(f->w).engine.n_running, 0);
}

static void test_refused_by_the_engine(void **state)
{
    struct fixture *f = *state;
    static struct test_job t[2];
    fill(&t[0], 0, 2, 1);
    t[0].part[1].prompt.n = 0; /* the first part is fine, the second is not */
    fill(&t[1], 1, 1, 9);
    worker_submit(f->w, &t[0].job);
    worker_submit(f->w, &t[1].job);
    wait_for(f->w, t, 2);
    assert_int_equal(t[0].job.err.code, ERR_USAGE);
    assert_int_equal(t[1].job.err.code, ERR_USAGE);
    assert_non_null(strstr(t[1].job.err.text, "n_answers"));
}

static void test_ends_with_jobs_open(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    static struct test_job t[20];
    struct worker *w = worker_new(f->e, NULL, &err);
    assert_ok(w, &err);
    for (int i = 0; i < 20; i++) {
        fill(&t[i], i, 1, 1);
        worker_submit(w, &t[i].job);
    }
    worker_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_job_comes_back),
        cmocka_unit_test(test_cancelled_at_any_time),
        cmocka_unit_test(test_many_parts_take_turns),
        cmocka_unit_test(test_refused_by_the_engine),
    };
    const struct CMUnitTest last[] = {
        cmocka_unit_test_setup_teardown(test_ends_with_jobs_open, open_fixture, close_fixture)};
    return cmocka_run_group_tests(tests, open_fixture, close_fixture) +
           cmocka_run_group_tests(last, NULL, NULL);
}
