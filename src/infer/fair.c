/* SPDX-License-Identifier: Apache-2.0
 *
 * fair.c - whose turn it is: which waiting request the engine takes next.
 *
 * Each client has a count of the tokens that it has had: prompts as they are admitted, less what
 * was found in the cache, and answers as they are made. The next request is the one with the lowest
 * priority number; among those, one of the client that has had the least; among that client's, the
 * one that came first. So a client that sends a thousand requests at once delays the others by what
 * runs already and not by its thousand (this is fair queueing, with the tokens of a model in place
 * of the bytes of a line).
 *
 * A client that was away comes back at the count of whoever was admitted last (`clock`), not at its
 * own old one: time away is not saved up.
 *
 * Priority numbers are strict, so the low ones could keep the high ones out for ever. Therefore
 * every EVERY-th turn goes to the request that has waited longest, whoever sent it and whatever its
 * number: with n requests before it, none waits for more than n * EVERY others.
 *
 * A request that is next and finds no room stays next until it has some: a large one would
 * otherwise be overtaken by small ones for ever.
 *
 * Begin reading at fair_next().
 */
#include "infer/engine_parts.h"

#include <assert.h>

enum { EVERY = 8 };

static struct fair_client *find(struct fair *f, int64_t id)
{
    struct fair_client *idle = NULL;
    for (int32_t i = 0; i < f->n_clients; i++) {
        struct fair_client *c = &f->client[i];
        if (c->id == id) return c;
        if (c->n_live == 0 && (!idle || c->n_tok < idle->n_tok)) idle = c;
    }
    struct fair_client *c = f->n_clients < FAIR_MAX_CLIENTS ? &f->client[f->n_clients++] : idle;
    assert(c); /* there are more places than requests */
    *c = (struct fair_client){.id = id};
    return c;
}

void fair_enter(struct engine *e, struct request *r)
{
    struct fair_client *c = find(&e->fair, r->params.client);
    if (c->n_live++ == 0 && c->n_tok < e->fair.clock) c->n_tok = e->fair.clock;
    r->client = c;
}

void fair_leave(struct request *r) { r->client->n_live--; }

void fair_charge(struct request *r, int64_t n_tok) { r->client->n_tok += n_tok; }

static bool goes_before(const struct request *a, const struct request *b)
{
    if (a->params.priority != b->params.priority) return a->params.priority < b->params.priority;
    return a->client->n_tok < b->client->n_tok;
}

int32_t fair_next(struct engine *e)
{
    struct fair *f = &e->fair;
    int32_t best = 0; /* the queue is in order of arrival */
    for (int32_t i = 0; f->held && i < e->n_queued; i++)
        if (engine_queued(e, i)->handle == f->held) return i;
    for (int32_t i = 1; (f->n_turns + 1) % EVERY != 0 && i < e->n_queued; i++)
        if (goes_before(engine_queued(e, i), engine_queued(e, best))) best = i;
    f->held = engine_queued(e, best)->handle;
    return best;
}

void fair_taken(struct engine *e, const struct request *r)
{
    struct fair *f = &e->fair;
    f->held = 0;
    f->n_turns++;
    if (r->client->n_tok > f->clock) f->clock = r->client->n_tok;
}
