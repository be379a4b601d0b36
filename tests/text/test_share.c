/* SPDX-License-Identifier: Apache-2.0
 *
 * test_share.c - one tokenizer, several threads at once: what encoding finds out about tokens is
 * kept in the tokenizer by whichever thread meets them first (bpe_search.c), so a new one is given
 * to threads that begin together, each with the same texts in another order, and all must get the
 * ids of one thread alone. Under -Db_sanitize=thread this is where a race would be named.
 */
#include <pthread.h>

#include "base/rng.h"
#include "test.h"
#include "text/tokenizer.h"
#include "vocab_reader.h"

enum { N_THREADS = 4, N_TEXTS = 400, MAX_TEXT = 120 };

struct text_case {
    char s[MAX_TEXT];
    size_t n;
    struct ids want;
};

static struct text_case texts[N_TEXTS];

struct job {
    const struct tokenizer *t;
    pthread_barrier_t *start;
    size_t first; /* text to begin with */
    int n_wrong;
};

static bool same_ids(const struct ids *a, const struct ids *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->id, b->id, a->n * sizeof *a->id) == 0);
}

/* No assertion in here: cmocka jumps, and a thread cannot jump out of itself. */
static void *encode_all_texts(void *arg)
{
    struct job *job = arg;
    struct ids ids = {0};
    struct err err = {0};
    pthread_barrier_wait(job->start);
    for (size_t i = 0; i < N_TEXTS; i++) {
        const struct text_case *c = &texts[(job->first + i) % N_TEXTS];
        ids.n = 0;
        if (!tokenizer_encode(job->t, c->s, c->n, 0, &ids, &err) || !same_ids(&ids, &c->want))
            job->n_wrong++;
    }
    ids_release(&ids);
    return NULL;
}

static struct tokenizer *open_tokenizer(const char *path)
{
    struct err err = {0};
    struct vocab *v = test_vocab_read(path, false, &err);
    assert_ok(v, &err);
    struct tokenizer *t = tokenizer_new(v, path, &err);
    assert_ok(t, &err);
    return t;
}

static void make_texts(const struct tokenizer *t)
{
    static const char *const units[] = {"語", "文", "の", "ab", "zq", "ing", " ", "\n", "é", "0"};
    struct rng r = rng_seed(11);
    struct err err = {0};
    for (int i = 0; i < N_TEXTS; i++) {
        struct text_case *c = &texts[i];
        while (c->n + 8 < MAX_TEXT) {
            const char *unit = units[rng_below(&r, ARRAY_LEN(units))];
            memcpy(c->s + c->n, unit, strlen(unit));
            c->n += strlen(unit);
        }
        assert_ok(tokenizer_encode(t, c->s, c->n, 0, &c->want, &err), &err);
    }
}

static void check_together(const struct tokenizer *t)
{
    pthread_barrier_t start;
    pthread_t thread[N_THREADS];
    struct job job[N_THREADS];
    assert_int_equal(pthread_barrier_init(&start, NULL, N_THREADS), 0);
    for (size_t i = 0; i < N_THREADS; i++) {
        job[i] = (struct job){.t = t, .start = &start, .first = i * N_TEXTS / N_THREADS / 2};
        assert_int_equal(pthread_create(&thread[i], NULL, encode_all_texts, &job[i]), 0);
    }
    for (size_t i = 0; i < N_THREADS; i++) pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&start);
    for (size_t i = 0; i < N_THREADS; i++)
        if (job[i].n_wrong) fail_msg("thread %zu: %d texts with other ids", i, job[i].n_wrong);
}

static void test_threads_share_a_tokenizer(void **state)
{
    (void)state;
    const char *path = data_path("tokenizer/llama3-tokenizer.model");
    skip_without(path, "tokenizer/llama3-tokenizer.model");
    struct tokenizer *alone = open_tokenizer(path);
    make_texts(alone);
    tokenizer_free(alone);
    for (int round = 0; round < 3; round++) {
        struct tokenizer *t = open_tokenizer(path); /* that knows of no token yet */
        check_together(t);
        tokenizer_free(t);
    }
    for (int i = 0; i < N_TEXTS; i++) ids_release(&texts[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads_share_a_tokenizer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
