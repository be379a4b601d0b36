/* SPDX-License-Identifier: Apache-2.0
 *
 * test_errands.c - errands one after the other and in batches: all are done in order, those that
 * wait make one batch, ending finishes or forgets them.
 */
#include "test.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "serve/errands.h"

enum { N = 20 };

struct counted {
    struct errand errand;
    int *n_run, *n_done;
    int ran, was_done; /* its place, from 1; 0: not */
};

static sem_t gate;

static void run_one(struct errand *e)
{
    struct counted *c = (struct counted *)e;
    if (*c->n_run == 0) sem_wait(&gate);
    c->ran = ++*c->n_run;
}

static void done_one(struct errand *e)
{
    struct counted *c = (struct counted *)e;
    c->was_done = ++*c->n_done;
}

struct batches {
    int n, sizes[N];
};

static void run_batch(void *user, struct errand *first)
{
    struct batches *b = user;
    int n = 0;
    if (b->n == 0) sem_wait(&gate);
    for (struct errand *e = first; e; e = e->next, n++) {
        struct counted *c = (struct counted *)e;
        c->ran = ++*c->n_run;
    }
    b->sizes[b->n++] = n;
}

static void no_minute(void *user) { (void)user; }

static void submit_all(struct errands *all, struct counted c[N], int *n_run, int *n_done)
{
    for (int i = 0; i < N; i++) {
        c[i] = (struct counted){.n_run = n_run, .n_done = n_done};
        c[i].errand.run = run_one;
        c[i].errand.done = done_one;
        errands_submit(all, &c[i].errand);
    }
}

static void check_all(const struct counted c[N])
{
    for (int i = 0; i < N; i++) {
        assert_int_equal(c[i].ran, i + 1);
        assert_int_equal(c[i].was_done, i + 1);
    }
}

/* The first is under way while the others come. */
static void test_finished_in_order(void **state)
{
    struct err err = {0};
    struct counted c[N];
    int n_run = 0, n_done = 0;
    (void)state;
    struct errands *all = errands_new("counts", NULL, &err);
    assert_ok(all, &err);
    submit_all(all, c, &n_run, &n_done);
    assert_int_equal(n_done, 0);
    sem_post(&gate);
    struct pollfd p = {.fd = errands_fd(all), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    errands_finish(all);
    check_all(c);
    errands_free(all);
}

static void test_batches(void **state)
{
    struct err err = {0};
    struct counted c[N];
    struct batches b = {0};
    const struct errand_batch batch = {run_batch, no_minute, &b};
    int n_run = 0, n_done = 0;
    (void)state;
    struct errands *all = errands_new("counts", &batch, &err);
    assert_ok(all, &err);
    submit_all(all, c, &n_run, &n_done);
    sem_post(&gate);
    errands_finish(all);
    check_all(c);
    assert_in_range(b.n, 1, N);
    assert_int_equal(b.sizes[0] + (b.n > 1 ? b.sizes[1] : 0), N); /* all that waited meanwhile */
    errands_free(all);
}

static void *open_late(void *arg)
{
    const struct timespec late = {0, 300000000};
    (void)arg;
    nanosleep(&late, NULL);
    sem_post(&gate);
    return NULL;
}

static void test_forgotten(void **state)
{
    pthread_t thread;
    struct err err = {0};
    struct counted c[N];
    int n_run = 0, n_done = 0;
    (void)state;
    struct errands *all = errands_new("counts", NULL, &err);
    assert_ok(all, &err);
    submit_all(all, c, &n_run, &n_done);
    assert_int_equal(pthread_create(&thread, NULL, open_late, NULL), 0);
    errands_free(all);
    assert_in_range(n_run, 0, 1); /* that it was at, if it had begun */
    assert_int_equal(n_done, 0);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finished_in_order),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_forgotten),
    };
    sem_init(&gate, 0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
