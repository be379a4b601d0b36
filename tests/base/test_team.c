/* SPDX-License-Identifier: Apache-2.0
 *
 * test_team.c - members meet at every barrier, shares cover all once, chunks are taken once.
 *
 * The data that members exchange is plain (not atomic) on purpose: under ThreadSanitizer
 * (-Db_sanitize=thread) a missing release or acquire in team.c is a reported race.
 */
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "base/os.h"
#include "base/team.h"

#define MAX_MEMBERS 16

static const int sizes[] = {1, 2, 3, 4, 5, 8, 16};

struct ring {
    int64_t value[MAX_MEMBERS][8]; /* one cache line each */
    int64_t n_rounds, n_wrong;
    bool is_slow; /* members nap now and then, so that the others fall asleep */
};

static void nap(int64_t ns)
{
    const struct timespec t = {.tv_nsec = ns};
    nanosleep(&t, NULL);
}

/* Each round every member adds its right neighbour's last value: wrong if anyone is early or late.
 */
static void ring_round(const struct member *me, void *arg)
{
    struct ring *r = arg;
    int64_t mine = 0;
    for (int64_t k = 0; k < r->n_rounds; k++) {
        if (r->is_slow && (k + me->i) % 7 == 0) nap(200000);
        r->value[me->i][0] = k * 1000 + me->i;
        team_barrier(me);
        const int right = (me->i + 1) % me->n;
        mine += r->value[right][0] != k * 1000 + right;
        team_barrier(me);
    }
    r->value[me->i][1] += mine;
}

static void check_ring(int n_threads, int64_t n_rounds, int n_runs, bool is_slow)
{
    struct err err = {0};
    struct team *t = team_new(n_threads, &err);
    assert_ok(t, &err);
    assert_int_equal(team_size(t), n_threads);
    static struct ring r;
    memset(&r, 0, sizeof r);
    r.n_rounds = n_rounds;
    r.is_slow = is_slow;
    const int64_t begin_ns = clock_ns();
    for (int i = 0; i < n_runs; i++) team_run(t, ring_round, &r);
    const int64_t ns = clock_ns() - begin_ns;
    print_message("%d threads%s: %d runs, %.2f us a barrier\n", n_threads,
                  is_slow ? ", napping" : "", n_runs,
                  (double)ns * 1e-3 / (double)(2 * n_rounds * n_runs + n_runs));
    for (int i = 0; i < n_threads; i++) assert_int_equal(r.value[i][1], 0);
    team_free(t);
}

static void test_nobody_passes_a_barrier_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) check_ring(sizes[i], 500, 4, false);
}

static void test_sleepers_are_woken(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) check_ring(sizes[i], 50, 3, true);
}

static void count_run(const struct member *me, void *arg)
{
    int64_t *count = arg;
    count[me->i * 8]++;
}

static void test_every_run_reaches_every_member_once(void **state)
{
    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(sizes); c++) {
        struct err err = {0};
        struct team *t = team_new(sizes[c], &err);
        assert_ok(t, &err);
        int64_t count[MAX_MEMBERS * 8] = {0};
        const int n_runs = 3000;
        for (int i = 0; i < n_runs; i++) {
            if (i % 500 == 0) nap(1000000); /* all asleep */
            team_run(t, count_run, count);
            for (int k = 0; k < sizes[c]; k++) assert_int_equal(count[k * 8], i + 1);
        }
        team_free(t);
    }
}

static void test_teams_come_and_go(void **state)
{
    (void)state;
    struct err err = {0};
    for (int i = 0; i < 200; i++) {
        struct team *t = team_new(1 + i % 6, &err);
        assert_ok(t, &err);
        int64_t count[MAX_MEMBERS * 8] = {0};
        if (i % 3) team_run(t, count_run, count);
        team_free(t);
    }
    team_free(NULL);
    static const int refused[] = {0, -1, 513, 1 << 30};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        assert_null(team_new(refused[i], &err));
        assert_int_equal(err.code, ERR_LIMIT);
    }
}

static const struct share_case {
    int64_t n, grain;
} share_cases[] = {
    {0, 1},
    {1, 1},
    {7, 1},
    {7, 3},
    {100, 1},
    {100, 16},
    {128256, 64},
    {5, 100},
    {96, 32},
    {INT64_MAX, 1},
    {INT64_MAX, 64},
    {INT64_MAX, INT64_MAX},
    {INT64_MAX - 1, INT64_MAX},
};

/* Shares follow each other without gap, begin at multiples of the grain, differ by one grain. */
static void test_shares_cover_all_once(void **state)
{
    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(share_cases); c++) {
        const int64_t n = share_cases[c].n, grain = share_cases[c].grain;
        for (int size = 1; size <= 37; size++) {
            int64_t at = 0, least = INT64_MAX, most = 0;
            for (int i = 0; i < size; i++) {
                const struct member me = {.i = i, .n = size};
                int64_t begin = -1, end = -1;
                team_share(&me, n, grain, &begin, &end);
                if (begin != at || end < begin || end > n || (begin % grain && begin != n))
                    fail_msg("n %jd grain %jd member %d of %d: [%jd, %jd)", (intmax_t)n,
                             (intmax_t)grain, i, size, (intmax_t)begin, (intmax_t)end);
                const int64_t n_grains = (end - begin) / grain + ((end - begin) % grain != 0);
                if (n_grains < least) least = n_grains;
                if (n_grains > most) most = n_grains;
                at = end;
            }
            assert_true(at == n && most - least <= 1);
        }
    }
}

static const struct deal_case {
    int64_t n, grain;
} deal_cases[] = {{0, 1}, {1, 16}, {5000, 1}, {5000, 16}, {5000, 7000}, {17, 16}};

struct bag {
    const struct deal_case *c;
    bool is_slow;   /* the last member naps after each chunk: the others must take what is its */
    int64_t n_last; /* items that it took */
    unsigned char times[5000];
};

/* Rounds follow each other without a barrier: items are counted by whoever took them alone. */
static void take_all(const struct member *me, void *arg)
{
    struct bag *b = arg;
    for (int round = 0; round < 3; round++) {
        struct team_deal d = team_deal(me, b->c->n, b->c->grain);
        for (int64_t begin = 0, end = 0; team_deal_next(me, &d, &begin, &end);) {
            for (int64_t i = begin; i < end; i++) b->times[i]++;
            if (b->is_slow && me->i == me->n - 1) {
                b->n_last += end - begin;
                nap(100000);
            }
        }
        team_barrier(me);
    }
}

static void check_deal(struct team *t, const struct deal_case *c, bool is_slow)
{
    static struct bag b;
    b = (struct bag){.c = c, .is_slow = is_slow};
    team_run(t, take_all, &b);
    for (int64_t i = 0; i < c->n; i++)
        if (b.times[i] != 3)
            fail_msg("n %jd grain %jd, %d members: item %jd was taken %d times in 3 rounds",
                     (intmax_t)c->n, (intmax_t)c->grain, team_size(t), (intmax_t)i, b.times[i]);
    if (is_slow && c->n / c->grain > 100 && team_size(t) > 1)
        assert_true(b.n_last < 3 * c->n / team_size(t) / 2);
}

static void test_chunks_are_taken_once_a_round(void **state)
{
    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        struct err err = {0};
        struct team *t = team_new(sizes[s], &err);
        assert_ok(t, &err);
        for (size_t c = 0; c < ARRAY_LEN(deal_cases); c++)
            for (int k = 0; k < 20; k++) check_deal(t, &deal_cases[c], k == 0 && sizes[s] > 1);
        team_free(t);
    }
}

/* Without a barrier between rounds a member may begin one that others have not come to. */
static void race_rounds(const struct member *me, void *arg)
{
    atomic_llong *n_taken = arg;
    for (int round = 0; round < 200; round++) {
        struct team_deal d = team_deal(me, 100, 3);
        for (int64_t begin = 0, end = 0; team_deal_next(me, &d, &begin, &end);)
            atomic_fetch_add(n_taken, end - begin);
    }
}

static void test_rounds_need_no_barrier(void **state)
{
    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        struct err err = {0};
        atomic_llong n_taken = 0;
        struct team *t = team_new(sizes[s], &err);
        assert_ok(t, &err);
        for (int k = 0; k < 5; k++) team_run(t, race_rounds, &n_taken);
        assert_int_equal(atomic_load(&n_taken), 5 * 200 * 100);
        team_free(t);
    }
}

static void see_mask(const struct member *me, void *arg)
{
    bool *is_blocked = arg;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    is_blocked[me->i] = sigismember(&mask, SIGINT) == 1;
}

/* Ctrl-C belongs to the caller: members block it, the caller's own mask is as before. */
static void test_members_leave_signals_to_the_caller(void **state)
{
    (void)state;
    struct err err = {0};
    bool is_blocked[3] = {false, false, false};
    struct team *t = team_new(3, &err);
    assert_ok(t, &err);
    team_run(t, see_mask, is_blocked);
    team_free(t);
    assert_false(is_blocked[0]);
    assert_true(is_blocked[1] && is_blocked[2]);
}

static void see_cpus(const struct member *me, void *arg)
{
    struct os_cpus *seen = arg;
    if (pthread_getaffinity_np(pthread_self(), sizeof seen[0], (void *)&seen[me->i]) != 0)
        memset(&seen[me->i], 0, sizeof seen[0]);
}

/* Each member is on its core, no two on one; the caller is where it was when the run is over. */
static void test_pinned_members_have_a_core_each(void **state)
{
    (void)state;
    struct err err = {0};
    static struct os_cpus core[MAX_MEMBERS], seen[MAX_MEMBERS], before, after;
    const struct member caller = {.i = 0};
    const int n_cores = os_core_cpus(core, MAX_MEMBERS);
    const int n = n_cores < MAX_MEMBERS ? n_cores : MAX_MEMBERS;
    if (n < 1) skip();
    struct team *t = team_new(n, &err);
    assert_ok(t, &err);
    see_cpus(&caller, &before);
    assert_ok(team_pin(t, &err), &err);
    see_cpus(&caller, &after);
    assert_memory_equal(&after, &before, sizeof before);
    for (int k = 0; k < 3; k++) {
        team_run(t, see_cpus, seen);
        assert_memory_equal(seen, core, (size_t)n * sizeof *core);
        see_cpus(&caller, &after);
        assert_memory_equal(&after, &before, sizeof before);
    }
    team_free(t);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            for (size_t k = 0; k < ARRAY_LEN(core[i].word); k++)
                assert_false(core[i].word[k] & core[j].word[k]);
}

static void test_more_members_than_cores_are_not_pinned(void **state)
{
    (void)state;
    struct err err = {0};
    const int n = os_core_cpus(NULL, 0) + 1;
    if (n > 512) skip();
    struct team *t = team_new(n, &err);
    assert_ok(t, &err);
    assert_false(team_pin(t, &err));
    assert_true(err.code == ERR_USAGE || n == 1);
    assert_non_null(strstr(err.text, "cores"));
    team_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_passes_a_barrier_alone),
        cmocka_unit_test(test_sleepers_are_woken),
        cmocka_unit_test(test_every_run_reaches_every_member_once),
        cmocka_unit_test(test_teams_come_and_go),
        cmocka_unit_test(test_shares_cover_all_once),
        cmocka_unit_test(test_chunks_are_taken_once_a_round),
        cmocka_unit_test(test_rounds_need_no_barrier),
        cmocka_unit_test(test_members_leave_signals_to_the_caller),
        cmocka_unit_test(test_pinned_members_have_a_core_each),
        cmocka_unit_test(test_more_members_than_cores_are_not_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
