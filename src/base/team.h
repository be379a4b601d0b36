/* team.h - a fixed team of threads that run one function together (SPMD).
 *
 * A forward pass is one team_run(): every member runs the same code on its share of the work and
 * meets the others at team_barrier(). One wake-up a step and a few barriers a layer, instead of a
 * fork and join per operator: with 30 layers of a small model, waking threads per operator would
 * cost more than the arithmetic. Members spin for a while at a barrier and between runs, then
 * sleep on a futex. The split of work is by team_share(), which depends on the number of members,
 * or by team_deal(), which depends on their speed: so a share must never change the order of a sum
 * (design: same bits for any number of threads).
 *
 * Thread rule: one team_run() at a time; team_barrier() and team_share() from members only.
 */
#ifndef CRIA_BASE_TEAM_H
#define CRIA_BASE_TEAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct team;

/* Who is running: the i-th of n. Lives during team_run(). */
struct member {
    struct team *team;
    int i;
    int n;
};

typedef void team_fn(const struct member *me, void *arg);

/* Starts n_threads - 1 threads (the caller of team_run is member 0), 1 <= n_threads <= 512. */
struct team *team_new(int n_threads, struct err *err);
void team_free(struct team *t); /* NULL is fine */
/* Binds each member to a physical core of its own: the threads for good, the caller of team_run()
 * while that runs. ERR_USAGE when there are more members than cores, ERR_IO when the system
 * refuses; then the threads are where they were. */
bool team_pin(struct team *t, struct err *err) CRIA_CHECK;
int team_size(const struct team *t);

/* Runs fn on all members and returns when all have returned. */
void team_run(struct team *t, team_fn *fn, void *arg);

/* All members of the team must call it; memory written before is visible after. */
void team_barrier(const struct member *me);

/* This member's contiguous part [begin, end) of n items, cut at multiples of `grain`. */
void team_share(const struct member *me, int64_t n, int64_t grain, int64_t *begin, int64_t *end);

/* Work dealt out in chunks of `grain` items, for members that are not equally fast. A member takes
 * the chunks of its own team_share() in order, then what others have left of theirs. All members
 * make the same calls with the same n and grain; team_deal_next() gives [begin, end), or false when
 * every chunk is taken (not: done; that takes a barrier). Needs no barrier before. */
struct team_deal {
    int64_t n, grain;
    uint32_t round;
    int n_emptied; /* members, from this one on, that have nothing left */
};
struct team_deal team_deal(const struct member *me, int64_t n, int64_t grain);
bool team_deal_next(const struct member *me, struct team_deal *d, int64_t *begin, int64_t *end);

#endif
