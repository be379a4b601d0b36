/* SPDX-License-Identifier: Apache-2.0
 *
 * test_fair.c - in which order waiting requests come to their turn: fair between clients by tokens,
 * by priority, and none for ever last.
 *
 * The engine has one slot, so requests end in the order in which they were admitted.
 */
#include "test.h"

#include "infer/engine.h"
#include "tiny_model.h"

enum { MAX_REQUESTS = 200, N_PREDICT = 4, N_PROMPT = 12 };

/* Who has ended, one letter each: the `name` of its request. */
static struct {
    char order[MAX_REQUESTS + 1];
    int n;
    char name[MAX_REQUESTS];
    int n_sent;
} all;

static bool listen(void *user, const struct engine_event *ev)
{
    if (ev->finish != FINISH_NONE && ev->i_answer == 0) all.order[all.n++] = *(const char *)user;
    return true;
}

static struct engine *open_engine(void **state, int32_t n_seqs, int64_t cache_tok)
{
    const struct engine_options opt = {.n_threads = 1,
                                       .n_ctx = 128,
                                       .n_seqs = n_seqs,
                                       .max_batch_tok = 128,
                                       .cache_tok = cache_tok,
                                       .kv_dtype = DT_F32};
    struct err err = {0};
    struct engine *e = engine_new(*state, &opt, &err);
    assert_ok(e, &err);
    memset(&all, 0, sizeof all);
    return e;
}

/* A request that ends after n_prompt + N_PREDICT tokens; no two prompts begin alike. */
static struct request_params request(int64_t client, int32_t priority, int32_t n_prompt)
{
    static int32_t ids[128];
    struct request_params p = request_defaults();
    ids[0] = TINY_FIRST_WORD + all.n_sent % 40;
    for (int32_t i = 1; i < n_prompt; i++) ids[i] = TINY_FIRST_WORD + (i * 7 + all.n_sent) % 41;
    p.prompt = ids, p.n_prompt = n_prompt, p.n_predict = N_PREDICT;
    p.sampling.temperature = 0;
    p.ignores_eos = true;
    p.client = client, p.priority = priority;
    p.listener = listen;
    return p;
}

static int64_t submit(struct engine *e, char name, const struct request_params *p)
{
    struct err err = {0};
    struct request_params q = *p;
    assert_true(all.n_sent < MAX_REQUESTS);
    all.name[all.n_sent] = name;
    q.user = &all.name[all.n_sent++];
    const int64_t handle = engine_submit(e, &q, &err);
    assert_ok(handle, &err);
    return handle;
}

static void send(struct engine *e, char name, int64_t client, int32_t priority, int32_t n_prompt)
{
    const struct request_params p = request(client, priority, n_prompt);
    submit(e, name, &p);
}

/* Until n have ended, or all. */
static void run(struct engine *e, int n)
{
    struct err err = {0};
    bool has_work = true;
    while (has_work && all.n < n) assert_ok(engine_step(e, &has_work, &err), &err);
}

static int n_of(char name, int begin, int end)
{
    int n = 0;
    for (int i = begin; i < end; i++) n += all.order[i] == name;
    return n;
}

static void test_one_client_is_served_in_order(void **state)
{
    struct engine *e = open_engine(state, 1, 0);
    for (int i = 0; i < 20; i++) send(e, (char)('a' + i), 7, 0, N_PROMPT);
    run(e, MAX_REQUESTS);
    assert_string_equal(all.order, "abcdefghijklmnopqrst");
    engine_free(e);
}

static void test_a_flood_delays_the_others_by_what_runs(void **state)
{
    struct engine *e = open_engine(state, 1, 0);
    for (int i = 0; i < 60; i++) send(e, 'f', 1, 0, N_PROMPT);
    run(e, 5);
    for (int i = 0; i < 10; i++) send(e, 'b', 2, 0, N_PROMPT);
    for (int i = 0; i < 10; i++) send(e, 'c', 3, 0, N_PROMPT);
    run(e, MAX_REQUESTS);
    assert_int_equal(all.n, 80);
    /* then turn by turn, but for the eighths, which are the oldest's */
    assert_true(n_of('b', 5, 12) >= 2 && n_of('c', 5, 12) >= 2);
    assert_int_equal(n_of('b', 5, 45), 10);
    assert_int_equal(n_of('c', 5, 45), 10);
    engine_free(e);
}

static void test_tokens_count_and_not_requests(void **state)
{
    struct engine *e = open_engine(state, 1, 0);
    for (int i = 0; i < 20; i++) send(e, 'l', 1, 0, 96); /* 100 tokens each */
    for (int i = 0; i < 80; i++) send(e, 's', 2, 0, 16); /* 20 each */
    run(e, MAX_REQUESTS);
    /* five small for one long, and the oldest's turns */
    const int n_small = n_of('s', 0, 60), n_long = n_of('l', 0, 60);
    if (n_small < 4 * n_long || n_small > 6 * n_long)
        fail_msg("%d small, %d long: %s", n_small, n_long, all.order);
    engine_free(e);
}

static void test_time_away_is_not_saved_up(void **state)
{
    struct engine *e = open_engine(state, 1, 0);
    for (int i = 0; i < 40; i++) send(e, 'a', 1, 0, N_PROMPT);
    run(e, 40);
    for (int i = 0; i < 20; i++) send(e, 'b', 2, 0, N_PROMPT); /* which had nothing meanwhile */
    for (int i = 0; i < 20; i++) send(e, 'a', 1, 0, N_PROMPT);
    run(e, MAX_REQUESTS);
    const int n_b = n_of('b', 40, 60);
    if (n_b < 9 || n_b > 13) fail_msg("%d of 20: %s", n_b, all.order);
    engine_free(e);
}

static void test_a_lower_number_goes_first(void **state)
{
    struct engine *e = open_engine(state, 1, 0);
    struct err err = {0};
    bool has_work = false;
    send(e, 'x', 1, 0, N_PROMPT);
    assert_ok(engine_step(e, &has_work, &err), &err);
    send(e, 'd', 1, 5, N_PROMPT);
    send(e, 'b', 2, -1, N_PROMPT);
    send(e, 'c', 3, 0, N_PROMPT);
    send(e, 'a', 1, -1000, N_PROMPT);
    run(e, MAX_REQUESTS);
    assert_string_equal(all.order, "xabcd");
    engine_free(e);
}

/* Whoever comes with priority 0 overtakes 'z'; for each that ends another comes. */
static void test_nobody_starves_behind_lower_numbers(void **state)
{
    struct engine *e = open_engine(state, 1, 0);
    for (int i = 0; i < 5; i++) send(e, 'a', i, 0, N_PROMPT);
    send(e, 'z', 9, 1000, N_PROMPT);
    while (n_of('z', 0, all.n) == 0) {
        assert_true(all.n < 100);
        send(e, 'a', all.n, 0, N_PROMPT);
        run(e, all.n + 1);
    }
    assert_int_equal(all.n, 8); /* the first turn that is the oldest's */
    engine_free(e);
}

/* Two slots: one is always taken by small requests, so that one of two answers never found both
 * free if it could be overtaken. */
static void test_a_large_one_is_not_overtaken_for_ever(void **state)
{
    struct engine *e = open_engine(state, 2, 0);
    for (int i = 0; i < 3; i++) send(e, 'a', 1, 0, N_PROMPT + i);
    struct request_params p = request(2, 0, N_PROMPT);
    p.n_answers = 2;
    submit(e, 'L', &p);
    while (n_of('L', 0, all.n) == 0) {
        assert_true(all.n < 30);
        send(e, 'a', 1, -5, N_PROMPT + all.n % 3);
        run(e, all.n + 1);
    }
    engine_free(e);
}

static void test_who_is_next_may_be_cancelled(void **state)
{
    struct engine *e = open_engine(state, 2, 0);
    send(e, 'a', 1, 0, N_PROMPT);
    struct request_params p = request(2, 0, N_PROMPT);
    p.n_answers = 2;
    const int64_t handle = submit(e, 'L', &p);
    struct err err = {0};
    bool has_work = false;
    assert_ok(engine_step(e, &has_work, &err), &err); /* 'a' runs, 'L' is next and has no room */
    send(e, 'b', 1, 0, N_PROMPT);
    engine_cancel(e, handle);
    run(e, MAX_REQUESTS);
    assert_string_equal(all.order, "Lab");
    engine_free(e);
}

/* More clients than are remembered. */
static void test_clients_come_and_go(void **state)
{
    struct engine *e = open_engine(state, 1, 0);
    struct err err = {0};
    struct request_params p = request(0, 0, 1);
    p.n_predict = 0;
    p.listener = NULL;
    for (int i = 0; i < 3000; i++) {
        p.client = INT64_MIN + i;
        assert_ok(engine_run(e, &p, &err), &err);
    }
    send(e, 'a', 1, 0, N_PROMPT);
    run(e, 1);
    assert_string_equal(all.order, "a");
    engine_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_client_is_served_in_order),
        cmocka_unit_test(test_a_flood_delays_the_others_by_what_runs),
        cmocka_unit_test(test_tokens_count_and_not_requests),
        cmocka_unit_test(test_time_away_is_not_saved_up),
        cmocka_unit_test(test_a_lower_number_goes_first),
        cmocka_unit_test(test_nobody_starves_behind_lower_numbers),
        cmocka_unit_test(test_a_large_one_is_not_overtaken_for_ever),
        cmocka_unit_test(test_who_is_next_may_be_cancelled),
        cmocka_unit_test(test_clients_come_and_go),
    };
    return cmocka_run_group_tests(tests, tiny_model_setup, tiny_model_teardown);
}
