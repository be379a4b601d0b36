/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_case.c - guarded memory and operator calls for the checker and the benchmark (ops_case.h).
 */
#include "ops_case.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "reference.h"

enum { PAGE = 4096, CANARY = 0xA5 };

struct guarded guarded_new(size_t n_bytes)
{
    const size_t body = (n_bytes + PAGE - 1) / PAGE * PAGE;
    struct guarded g = {.n_bytes = n_bytes, .map_bytes = body + 2 * PAGE};
    void *map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect((uint8_t *)map + PAGE + body, PAGE, PROT_NONE) != 0) abort();
    g.map = map;
    g.p = g.map + PAGE + body - n_bytes;
    memset(g.map, CANARY, PAGE + body);
    return g;
}

bool guarded_is_whole(const struct guarded *g)
{
    for (const uint8_t *p = g->map; p < g->p; p++)
        if (*p != CANARY) return false;
    return true;
}

void guarded_free(struct guarded *g) { munmap(g->map, g->map_bytes); }

struct guarded random_matrix(struct tensor *w, enum dtype t, int64_t rows, int64_t cols,
                             uint64_t *seed)
{
    const size_t row_bytes = (size_t)(cols / ref_block_elems(t) * ref_block_bytes(t));
    struct guarded g = guarded_new(row_bytes * (size_t)rows);
    *w = (struct tensor){
        .dtype = t, .n_dims = 2, .shape = {rows, cols, 1, 1}, .row_bytes = row_bytes, .data = g.p};
    for (int64_t r = 0; r < rows; r++)
        ref_random_row(t, g.p + (size_t)r * row_bytes, cols, 1.0, seed);
    return g;
}

void random_floats(float *x, int64_t n, double size, uint64_t *seed)
{
    for (int64_t i = 0; i < n; i++) x[i] = (float)(size * ref_random(seed));
}

struct call {
    const struct ops *ops;
    const void *args;
};

static void linear_member(const struct member *me, void *arg)
{
    const struct call *c = arg;
    c->ops->linear(me, c->args);
}

static void rope_member(const struct member *me, void *arg)
{
    const struct call *c = arg;
    c->ops->rope_store(me, c->args);
}

static void attention_member(const struct member *me, void *arg)
{
    const struct call *c = arg;
    c->ops->attention(me, c->args);
}

void run_linear(struct team *team, const struct ops *ops, const struct linear_args *a)
{
    team_run(team, linear_member, &(struct call){ops, a});
}

void run_rope(struct team *team, const struct ops *ops, const struct rope_args *a)
{
    team_run(team, rope_member, &(struct call){ops, a});
}

void run_attention(struct team *team, const struct ops *ops, const struct attention_args *a)
{
    team_run(team, attention_member, &(struct call){ops, a});
}
