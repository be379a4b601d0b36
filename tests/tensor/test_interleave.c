/* SPDX-License-Identifier: Apache-2.0
 *
 * test_interleave.c - weights in groups of rows beside the same weights as they lie in a file,
 * which test_ops.c compares with double.
 *
 * Few tokens: the activations are rounded alike and integers are exact, so only the order of float
 * sums differs. Many tokens, and rows of an embedding: the same bits.
 */
#include <math.h>

#include "test.h"

#include "ops_case.h"
#include "reference.h"

#define F32_BOUND 3e-6 /* times sum |w x| */

enum { N_TEAMS = 2, MAX_OUT = 2 };

struct world {
    struct team *team[N_TEAMS]; /* of 1 and of 3 */
};

static int world_setup(void **state)
{
    static struct world w;
    struct err err = {0};
    for (int i = 0; i < N_TEAMS; i++) {
        w.team[i] = team_new(1 + 2 * i, &err);
        assert_ok(w.team[i] != NULL, &err);
    }
    *state = &w;
    return 0;
}

static int world_teardown(void **state)
{
    const struct world *w = *state;
    for (int i = 0; i < N_TEAMS; i++) team_free(w->team[i]);
    return 0;
}

struct order {
    const struct ops *ops;
    struct tensor *w;
    uint8_t *scratch;
};

static void interleave_member(const struct member *me, void *arg)
{
    const struct order *o = arg;
    o->ops->interleave(me, o->w, o->scratch);
}

/* A copy of w in groups; its memory is the caller's. */
static struct guarded interleaved(struct tensor *copy, const struct tensor *w,
                                  const struct ops *ops, struct team *team)
{
    struct guarded g = guarded_new(tensor_bytes(w));
    *copy = *w;
    copy->data = g.p;
    memcpy(g.p, w->data, g.n_bytes);
    struct order o = {ops, copy, malloc((size_t)team_size(team) * 16 * w->row_bytes)};
    assert_non_null(o.scratch);
    team_run(team, interleave_member, &o);
    free(o.scratch);
    copy->is_interleaved = true;
    return g;
}

static const struct product {
    int64_t n_tok, k, rows[MAX_OUT];
    enum linear_in in;
} products[] = {
    {1, 256, {16, 0}, LINEAR_IN_PLAIN},     {1, 2336, {48, 32}, LINEAR_IN_RMSNORM},
    {1, 4640, {160, 16}, LINEAR_IN_SWIGLU}, {2, 512, {32, 48}, LINEAR_IN_PLAIN},
    {4, 768, {64, 16}, LINEAR_IN_RMSNORM},  {7, 1056, {112, 32}, LINEAR_IN_PLAIN},
    {8, 352, {48, 0}, LINEAR_IN_PLAIN},     {33, 1312, {144, 80}, LINEAR_IN_RMSNORM},
};

/* y of the product; outputs that are odd lie first, so that groups are not where chunks begin. */
static void run(struct team *team, const struct ops *ops, const struct product *p, float *y,
                const float *x, const float *more, const struct tensor *first,
                const struct tensor w[MAX_OUT])
{
    const int64_t ld = first->shape[0] + p->rows[0] + p->rows[1];
    const size_t n_work = ops->work_bytes(p->n_tok, tensor_cols(first), team_size(team));
    uint8_t *work = aligned_alloc(64, (n_work + 63) & ~(size_t)63);
    assert_non_null(work);
    struct linear_out out[1 + MAX_OUT] = {{.w = first, .y = y, .ld_y = ld}};
    int32_t n = 1;
    int64_t at = first->shape[0];
    for (int i = 0; i < MAX_OUT && p->rows[i]; at += p->rows[i++])
        out[n++] = (struct linear_out){.w = &w[i], .y = y + at, .ld_y = ld};
    run_linear(team, ops,
               &(struct linear_args){.in = p->in,
                                     .x = x,
                                     .x2 = more,
                                     .norm = more,
                                     .eps = 1e-5f,
                                     .ld_x = tensor_cols(first),
                                     .n_tok = p->n_tok,
                                     .k = tensor_cols(first),
                                     .out = out,
                                     .n_out = n,
                                     .work = work});
    free(work);
}

static void compare(const struct product *p, const struct ops *ops, enum dtype t, const float *y,
                    const float *y_plain, const float *x, const float *more,
                    const struct tensor *first, const struct tensor *plain)
{
    const int64_t k = tensor_cols(first), ld = first->shape[0] + p->rows[0] + p->rows[1];
    const struct linear_args a = {
        .in = p->in, .x = x, .x2 = more, .norm = more, .eps = 1e-5f, .ld_x = k, .k = k};
    double *in = malloc((size_t)k * 16), *w = in + k;
    assert_non_null(in);
    for (int64_t tok = 0; tok < p->n_tok; tok++) {
        ref_linear_in(in, &a, tok);
        for (int64_t i = first->shape[0], row = 0, o = 0; i < ld; i++, row++) {
            if (row == p->rows[o]) row = 0, o++;
            ref_decode(t, w, tensor_row(&plain[o], row), k);
            double sum = 0;
            for (int64_t e = 0; e < k; e++) sum += fabs(in[e] * w[e]);
            const double e = fabs((double)y[tok * ld + i] - (double)y_plain[tok * ld + i]);
            if (!(e <= (p->n_tok < 8 ? F32_BOUND * sum : 0)))
                fail_msg("%s, %s: token %d output %d row %d is %g, and %g as rows", ops->name,
                         dtype_info(t)->name, (int)tok, (int)o, (int)row, (double)y[tok * ld + i],
                         (double)y_plain[tok * ld + i]);
        }
    }
    free(in);
}

static void check_product(const struct world *world, const struct ops *ops, enum dtype t,
                          const struct product *p)
{
    uint64_t seed = 11;
    const int64_t block = ref_block_elems(t), k = (p->k + block - 1) / block * block;
    struct tensor first, plain[MAX_OUT], grouped[MAX_OUT];
    struct guarded memory[1 + 2 * MAX_OUT] = {random_matrix(&first, DT_F32, 7, k, &seed)};
    int n = 1;
    for (int i = 0; i < MAX_OUT && p->rows[i]; i++) {
        memory[n++] = random_matrix(&plain[i], t, p->rows[i], k, &seed);
        memory[n++] = interleaved(&grouped[i], &plain[i], ops, world->team[i]);
    }
    const size_t n_y = (size_t)(p->n_tok * (7 + p->rows[0] + p->rows[1]));
    float *x = malloc((size_t)(2 * p->n_tok * k) * 4), *more = x + p->n_tok * k;
    float *y = calloc(3 * n_y, 4);
    assert_true(x && y);
    random_floats(x, 2 * p->n_tok * k, 1.0, &seed);
    run(world->team[0], ops, p, y, x, more, &first, plain);
    run(world->team[0], ops, p, y + n_y, x, more, &first, grouped);
    run(world->team[1], ops, p, y + 2 * n_y, x, more, &first, grouped);
    compare(p, ops, t, y + n_y, y, x, more, &first, plain);
    if (memcmp(y + n_y, y + 2 * n_y, n_y * 4) != 0)
        fail_msg("%s, %s: 3 threads give other bits than 1", ops->name, dtype_info(t)->name);
    for (int i = 0; i < n; i++) guarded_free(&memory[i]);
    free(x);
    free(y);
}

static void test_products_agree_with_rows(void **state)
{
    for (int v = 0; v < ops_n_variants(); v++) {
        const struct ops *ops = ops_variant(v);
        for (int t = 0; ops->interleaves && t < DT_COUNT; t++)
            for (size_t i = 0; ops->interleaves((enum dtype)t) && i < ARRAY_LEN(products); i++)
                check_product(*state, ops, (enum dtype)t, &products[i]);
    }
}

/* A token's result is the same alone and among others. */
static void test_tokens_stand_alone(void **state)
{
    const struct world *world = *state;
    for (int v = 0; v < ops_n_variants(); v++) {
        const struct ops *ops = ops_variant(v);
        for (int t = 0; ops->interleaves && t < DT_COUNT; t++) {
            if (!ops->interleaves((enum dtype)t)) continue;
            enum { K = 768, ROWS = 32, N = 7 };
            uint64_t seed = 3;
            struct tensor first, plain, grouped[MAX_OUT];
            struct guarded memory[] = {random_matrix(&first, DT_F32, 1, K, &seed),
                                       random_matrix(&plain, (enum dtype)t, ROWS, K, &seed),
                                       interleaved(grouped, &plain, ops, world->team[0])};
            static float x[N * K], y[N * (1 + ROWS)], alone[1 + ROWS];
            random_floats(x, N * K, 1.0, &seed);
            struct product p = {N, K, {ROWS, 0}, LINEAR_IN_PLAIN};
            run(world->team[0], ops, &p, y, x, x, &first, grouped);
            for (int i = 0; i < N; i++) {
                p.n_tok = 1;
                run(world->team[0], ops, &p, alone, x + i * K, x, &first, grouped);
                if (memcmp(alone, y + i * (1 + ROWS), sizeof alone) != 0)
                    fail_msg("%s, %s: a token depends on its neighbours", ops->name,
                             dtype_info((enum dtype)t)->name);
            }
            for (size_t i = 0; i < ARRAY_LEN(memory); i++) guarded_free(&memory[i]);
        }
    }
}

struct embedding {
    const struct ops *ops;
    float *y;
    const struct tensor *table;
    const int32_t *ids;
    int64_t n;
};

static void embed_member(const struct member *me, void *arg)
{
    const struct embedding *e = arg;
    e->ops->embed(me, e->y, tensor_cols(e->table), e->table, e->ids, e->n);
}

static void test_embedding_has_the_same_bits(void **state)
{
    const struct world *world = *state;
    static const int32_t ids[] = {0, 47, 17, 16, 15, 31};
    enum { K = 768, N = 6 };
    for (int v = 0; v < ops_n_variants(); v++) {
        const struct ops *ops = ops_variant(v);
        for (int t = 0; ops->interleaves && t < DT_COUNT; t++) {
            if (!ops->interleaves((enum dtype)t)) continue;
            uint64_t seed = 5;
            static float y[2][N * K];
            struct tensor plain, grouped;
            struct guarded memory[] = {random_matrix(&plain, (enum dtype)t, 48, K, &seed),
                                       interleaved(&grouped, &plain, ops, world->team[1])};
            team_run(world->team[1], embed_member, &(struct embedding){ops, y[0], &plain, ids, N});
            team_run(world->team[1], embed_member,
                     &(struct embedding){ops, y[1], &grouped, ids, N});
            assert_memory_equal(y[0], y[1], sizeof y[0]);
            for (size_t i = 0; i < ARRAY_LEN(memory); i++) guarded_free(&memory[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products_agree_with_rows),
        cmocka_unit_test(test_tokens_stand_alone),
        cmocka_unit_test(test_embedding_has_the_same_bits),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
