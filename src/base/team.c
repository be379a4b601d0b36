/* SPDX-License-Identifier: Apache-2.0
 *
 * team.c - threads that start a function together, meet at barriers, and sleep in between.
 *
 * Two counters do all of it. `run` is raised by team_run(): a waiting thread that sees it change
 * runs the function. `phase` is raised by the last member that arrives at a barrier: the others
 * wait for that. Both are waited for in the same way (wait_change), in three parts: spin with pause
 * for some tens of microseconds, since barriers within a forward pass are that near; then look
 * between calls of sched_yield(), so that a member that shares this processor comes on; after a
 * millisecond sleep on the word with a futex, so that an idle program takes no processor time. A
 * pthread barrier sleeps at once and costs two system calls a member, several microseconds, at each
 * of the hundred and more barriers of a step.
 *
 * Sleeping right after the spin was tried and lost: waking takes longer than the spin (50 us on a
 * virtual machine), so the member that waits for a sleeper falls asleep too, and so on from barrier
 * to barrier until a step ends. Yielding before cut a crowded barrier to a third (docs/
 * performance.md). When there are more members than hardware threads, spinning keeps the late ones
 * off the machine: they yield almost at once.
 *
 * Work is either shared out in fixed parts (team_share), or dealt out (team_deal): the same parts,
 * taken chunk by chunk, and who has finished takes what another has not begun. A pile's counter
 * lies on its owner's cache line, so an owner that nobody helps pays some 20 cycles a chunk. The
 * counter carries the number of the round, so it needs no reset and no barrier before.
 *
 * A generation counter, not a flag that is cleared: a member that is late to leave barrier k
 * cannot be confused by barrier k+1, because it compares with the value it saw before arriving.
 *
 * Memory order
 *   O1  team_run() writes fn and arg, then raises `run` (release); a member reads `run` (acquire),
 *       then fn and arg.
 *   O2  a member's writes before a barrier, then its add to `arrived` (acq_rel): the adds form one
 *       release sequence, so the last to arrive has seen the writes of all; it raises `phase`
 *       (release), and the others read `phase` (acquire).
 *   O3  sleeping: a waiter adds itself to `n_asleep` and then looks at the word again (in the
 *       kernel, or before); a waker raises the word and then looks at `n_asleep`. All four are
 *       seq_cst, so at least one sees the other: no wake-up is lost.
 *
 * Begin reading at wait_change(), team_barrier() and team_deal_next().
 */
#include "base/team.h"

#include <assert.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/os.h"
#include "base/sys_err.h"

enum {
    MAX_THREADS = 512,
    CACHE_LINE = 64,
    SPIN_NS = 40 * 1000,    /* longer than the gap between barriers of one step */
    SPIN_CROWDED_NS = 500,  /* more members than hardware threads */
    YIELD_NS = 1000 * 1000, /* longer than it takes to wake a sleeper, and to pick a token */
    PAUSES_PER_LOOK = 32,   /* between looks at the clock, about a microsecond */
};

/* A word that is raised, and who sleeps until it is. Alone on its cache line. */
struct signal_word {
    _Alignas(CACHE_LINE) _Atomic uint32_t value;
    _Atomic uint32_t n_asleep;
};

/* A member's share of the work that is being dealt out: the round in the upper half, how many of
 * its chunks are taken in the lower. Whoever comes first in a round, owner or not, begins it. */
struct pile {
    _Alignas(CACHE_LINE) _Atomic uint64_t word;
    uint32_t round; /* the owner's: rounds that it has entered */
};

struct team {
    struct signal_word run;
    struct signal_word phase;
    _Alignas(CACHE_LINE) _Atomic int32_t arrived;
    struct pile *pile; /* [n] */

    _Alignas(CACHE_LINE) team_fn *fn; /* NULL asks the threads to end */
    void *arg;
    int n;
    int64_t spin_ns;
    int n_started;        /* threads that must be joined */
    struct os_cpus *core; /* [n], of each member; NULL: not bound */
    struct worker {
        struct team *team;
        int i;
        pthread_t thread;
    } * workers; /* [n - 1] */
};

static void cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex(_Atomic uint32_t *word, int op, uint32_t value)
{
    /* An early return (EAGAIN, EINTR) is seen by the caller's loop. */
    (void)syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* Spins until `w` is not `old`, for at most spin_ns and YIELD_NS; in the second part others may
 * have the processor between looks. */
static bool spin_change(struct signal_word *w, uint32_t old, int64_t spin_ns)
{
    const int64_t begin_ns = clock_ns();
    for (int64_t ns = 0; ns < spin_ns + YIELD_NS; ns = clock_ns() - begin_ns) {
        if (ns > spin_ns) (void)sched_yield();
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if (atomic_load_explicit(&w->value, memory_order_acquire) != old)
                return true; /* O1 O2 */
            cpu_pause();
        }
    }
    return false;
}

/* Returns when `w` is not `old`; what was written before it was raised is visible. */
static void wait_change(struct signal_word *w, uint32_t old, int64_t spin_ns)
{
    if (spin_change(w, old, spin_ns)) return;
    atomic_fetch_add(&w->n_asleep, 1); /* O3 */
    while (atomic_load(&w->value) == old)
        futex(&w->value, FUTEX_WAIT, old); /* O3; acquires: O1 O2 */
    atomic_fetch_sub(&w->n_asleep, 1);
}

static void raise_word(struct signal_word *w)
{
    atomic_fetch_add(&w->value, 1); /* releases: O1, O2; seq_cst: O3 */
    if (atomic_load(&w->n_asleep) > 0) futex(&w->value, FUTEX_WAKE, INT_MAX);
}

static void *worker_main(void *arg)
{
    const struct worker *self = arg;
    struct team *t = self->team;
    const struct member me = {.team = t, .i = self->i, .n = t->n};
    for (uint32_t seen = 0;; seen++) {
        wait_change(&t->run, seen, t->spin_ns);
        if (!t->fn) return NULL;
        t->fn(&me, t->arg);
        team_barrier(&me);
    }
}

/* Signals that a person or a timer sends go to the thread that started the team; a fault must stay
 * with the thread that made it. */
static void block_signals(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    (void)pthread_sigmask(SIG_SETMASK, &all, before);
}

static int start_workers(struct team *t)
{
    sigset_t before;
    block_signals(&before);
    int rc = 0;
    for (int i = 1; i < t->n && rc == 0; i++) {
        struct worker *w = &t->workers[i - 1];
        *w = (struct worker){.team = t, .i = i};
        rc = pthread_create(&w->thread, NULL, worker_main, w);
        if (rc == 0) t->n_started++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

struct team *team_new(int n_threads, struct err *err)
{
    if (n_threads < 1 || n_threads > MAX_THREADS) {
        err_set(err, ERR_LIMIT, "%d threads; choose 1 to %d", n_threads, MAX_THREADS);
        return NULL;
    }
    void *memory = NULL;
    struct worker *workers = calloc((size_t)n_threads, sizeof *workers);
    const size_t n_bytes = sizeof(struct team) + (size_t)n_threads * sizeof(struct pile);
    if (!workers || posix_memalign(&memory, CACHE_LINE, n_bytes) != 0) {
        free(workers);
        err_set(err, ERR_MEMORY, "no memory for a team of %d threads; free memory", n_threads);
        return NULL;
    }
    struct team *t = memset(memory, 0, n_bytes);
    t->pile = (struct pile *)(void *)(t + 1);
    t->n = n_threads;
    t->workers = workers;
    t->spin_ns = n_threads > os_threads() ? SPIN_CROWDED_NS : SPIN_NS;
    const int rc = start_workers(t);
    if (rc != 0) {
        err_set(err, ERR_MEMORY, "thread %d of %d cannot start: %s; use fewer threads",
                t->n_started + 2, n_threads, sys_reason(rc));
        team_free(t);
        return NULL;
    }
    return t;
}

void team_free(struct team *t)
{
    if (!t) return;
    t->fn = NULL;
    raise_word(&t->run); /* O1: the threads see fn == NULL and end */
    for (int i = 0; i < t->n_started; i++) (void)pthread_join(t->workers[i].thread, NULL);
    free(t->core);
    free(t->workers);
    free(t);
}

/* ---- binding to cores ---- */

/* What the system answers is 0 or an error number. */
static int bind_thread(pthread_t thread, const struct os_cpus *cpus)
{
    return pthread_setaffinity_np(thread, sizeof *cpus, (const void *)cpus);
}

/* False without an error: then the thread stays unbound. */
static bool bind_caller(const struct team *t, struct os_cpus *before)
{
    return t->core && pthread_getaffinity_np(pthread_self(), sizeof *before, (void *)before) == 0 &&
           bind_thread(pthread_self(), &t->core[0]) == 0;
}

/* Binds all threads, or none: `before` is where the caller, and so they, were. */
static int bind_all(struct team *t, const struct os_cpus *core, const struct os_cpus *before)
{
    int rc = bind_thread(pthread_self(), &core[0]);
    for (int i = 1; i < t->n && rc == 0; i++) rc = bind_thread(t->workers[i - 1].thread, &core[i]);
    (void)bind_thread(pthread_self(), before);
    for (int i = 1; i < t->n && rc != 0; i++) (void)bind_thread(t->workers[i - 1].thread, before);
    return rc;
}

bool team_pin(struct team *t, struct err *err)
{
    struct os_cpus before;
    struct os_cpus *core = calloc((size_t)t->n, sizeof *core);
    if (!core) return err_set(err, ERR_MEMORY, "no memory to pin %d threads; free memory", t->n);
    const int n_cores = os_core_cpus(core, t->n);
    int rc = 0;
    if (n_cores < t->n) {
        free(core);
        return n_cores > 0
                   ? err_set(err, ERR_USAGE,
                             "%d threads cannot be pinned to %d physical cores; use at most %d",
                             t->n, n_cores, n_cores)
                   : err_set(err, ERR_IO, "the system does not tell its cores; do not pin threads");
    }
    rc = pthread_getaffinity_np(pthread_self(), sizeof before, (void *)&before);
    if (rc == 0) rc = bind_all(t, core, &before);
    if (rc != 0) {
        free(core);
        return err_set(err, ERR_IO, "threads cannot be pinned: %s; do not pin them",
                       sys_reason(rc));
    }
    t->core = core;
    return true;
}

/* ---- running ---- */

int team_size(const struct team *t) { return t->n; }

void team_run(struct team *t, team_fn *fn, void *arg)
{
    const struct member me = {.team = t, .i = 0, .n = t->n};
    struct os_cpus before;
    assert(fn);
    const bool is_bound = bind_caller(t, &before);
    if (t->n > 1) {
        t->fn = fn;
        t->arg = arg;
        raise_word(&t->run); /* O1 */
    }
    fn(&me, arg);
    team_barrier(&me);
    if (is_bound) (void)bind_thread(pthread_self(), &before);
}

void team_barrier(const struct member *me)
{
    struct team *t = me->team;
    if (t->n == 1) return;
    /* Nobody can raise phase before this member arrives, so the value read is the old one. */
    const uint32_t old = atomic_load_explicit(&t->phase.value, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&t->arrived, 1, memory_order_acq_rel) == t->n - 1) { /* O2 */
        atomic_store_explicit(&t->arrived, 0, memory_order_relaxed); /* visible with phase */
        raise_word(&t->phase);                                       /* O2 */
    } else {
        wait_change(&t->phase, old, t->spin_ns);
    }
}

void team_share(const struct member *me, int64_t n, int64_t grain, int64_t *begin, int64_t *end)
{
    assert(n >= 0 && grain >= 1);
    const int64_t n_grains = n / grain + (n % grain != 0);
    const int64_t each = n_grains / me->n,
                  rest = n_grains % me->n; /* the first `rest` get one more */
    const int64_t first = each * me->i + (me->i < rest ? me->i : rest);
    const int64_t last = first + each + (me->i < rest);
    /* only the last grain may be cut short, and n / grain * grain cannot overflow */
    *begin = first > n / grain ? n : first * grain;
    *end = last > n / grain ? n : last * grain;
}

/* ---- dealing ---- */

static uint64_t pile_word(uint32_t round, uint32_t n_taken)
{
    return (uint64_t)round << 32 | n_taken;
}

struct team_deal team_deal(const struct member *me, int64_t n, int64_t grain)
{
    assert(n >= 0 && grain >= 1 && n / grain < UINT32_MAX);
    return (struct team_deal){.n = n, .grain = grain, .round = ++me->team->pile[me->i].round};
}

/* The number of the next chunk of a pile of n_chunks, or -1. Relaxed: the word orders nothing but
 * itself; barriers order the work. */
static int64_t take_chunk(struct pile *p, uint32_t round, int64_t n_chunks)
{
    uint64_t was = atomic_load_explicit(&p->word, memory_order_relaxed);
    for (;;) {
        const int32_t age = (int32_t)(round - (uint32_t)(was >> 32));
        const int64_t n_taken = age > 0 ? 0 : (int64_t)(uint32_t)was; /* nobody was here yet */
        if (age < 0 || n_taken >= n_chunks) return -1;
        if (atomic_compare_exchange_weak_explicit(&p->word, &was,
                                                  pile_word(round, (uint32_t)n_taken + 1),
                                                  memory_order_relaxed, memory_order_relaxed))
            return n_taken;
    }
}

bool team_deal_next(const struct member *me, struct team_deal *d, int64_t *begin, int64_t *end)
{
    for (; d->n_emptied < me->n; d->n_emptied++) {
        struct member owner = *me;
        int64_t first = 0, last = 0;
        owner.i = (me->i + d->n_emptied) % me->n;
        team_share(&owner, d->n, d->grain, &first, &last);
        const int64_t n_chunks = (last - first) / d->grain + ((last - first) % d->grain != 0);
        const int64_t i = take_chunk(&me->team->pile[owner.i], d->round, n_chunks);
        if (i < 0) continue;
        *begin = first + i * d->grain;
        *end = i + 1 < n_chunks ? *begin + d->grain : last;
        return true;
    }
    return false;
}
