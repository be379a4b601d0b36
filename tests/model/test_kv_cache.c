/* SPDX-License-Identifier: Apache-2.0
 *
 * test_kv_cache.c - the paged cache against a plain one: every sequence an array of stamps.
 *
 * Random opens, forks, trims, writes and closes go to both; a stamp is written into each row of a
 * position that was reserved, and all rows of all sequences are read back. A page that was shared
 * and written without a copy, given out twice or lost shows as a wrong stamp or a wrong count.
 */
#include "test.h"

#include "base/rng.h"
#include "fault.h"
#include "model/kv_cache.h"

static const struct model_config config = {
    .n_layers = 2, .d_model = 32, .n_heads = 4, .n_kv_heads = 2, .d_head = 8, .n_vocab = 16};

enum { N_SEQS = 5, N_PAGES = 12, MAX_LEN = N_PAGES * KV_PAGE_TOK };

struct shadow {
    bool is_open;
    int32_t length;
    uint32_t stamp[MAX_LEN];
};

/* ---- rows ---- */

static uint8_t *row_at(const struct kv_cache *kv, int32_t layer, bool is_v, int32_t seq,
                       int32_t pos, int32_t head)
{
    const struct kv_layer *l = kv_cache_layer(kv, layer);
    const int32_t page = kv_cache_pages(kv, seq)[pos / l->page_tok];
    return (is_v ? l->v : l->k) + (size_t)page * l->page_stride + (size_t)head * l->head_stride +
           (size_t)(pos % l->page_tok) * l->row_bytes;
}

/* Each of the rows of a position gets its own number. */
static void each_row(const struct kv_cache *kv, int32_t seq, int32_t pos, uint32_t stamp,
                     bool is_write)
{
    for (int32_t layer = 0; layer < config.n_layers; layer++)
        for (int32_t head = 0; head < config.n_kv_heads; head++)
            for (int is_v = 0; is_v < 2; is_v++) {
                uint32_t want = stamp * 8 + (uint32_t)(layer * 4 + head * 2 + is_v), got = 0;
                uint8_t *row = row_at(kv, layer, is_v, seq, pos, head);
                if (is_write) memcpy(row, &want, sizeof want);
                memcpy(&got, row, sizeof got);
                if (got != want)
                    fail_msg("sequence %d position %d layer %d: %u, not %u", seq, pos, layer, got,
                             want);
            }
}

/* ---- random walk ---- */

static void write_some(struct kv_cache *kv, struct shadow *s, int32_t seq, struct rng *rng,
                       uint32_t *stamp)
{
    struct err err = {0};
    const int32_t back = (int32_t)rng_below(rng, 4) == 0 ? (int32_t)rng_below(rng, 20) : 0;
    const int32_t pos = s->length > back ? s->length - back : 0;
    const int32_t n = (int32_t)rng_below(rng, 50);
    const int64_t n_free = kv_cache_free_tokens(kv);
    if (!kv_cache_reserve(kv, seq, pos, n, &err)) {
        assert_int_equal(err.code, ERR_BUSY);
        assert_int_equal(kv_cache_free_tokens(kv), n_free);
        assert_int_equal(kv_cache_length(kv, seq), s->length);
        return;
    }
    for (int32_t i = pos; i < pos + n; i++) {
        s->stamp[i] = ++*stamp;
        each_row(kv, seq, i, *stamp, true);
    }
    if (pos + n > s->length) s->length = pos + n;
}

static void fork_some(struct kv_cache *kv, struct shadow *all, int32_t src, struct rng *rng)
{
    struct err err = {0};
    const int32_t dst = kv_cache_open_seq(kv, &err);
    if (dst < 0) {
        assert_int_equal(err.code, ERR_BUSY);
        return;
    }
    const int32_t n = (int32_t)rng_below(rng, (uint32_t)all[src].length + 1);
    const int64_t n_free = kv_cache_free_tokens(kv);
    assert_ok(kv_cache_fork(kv, src, dst, n, &err), &err);
    assert_int_equal(kv_cache_free_tokens(kv), n_free);
    all[dst] = all[src];
    all[dst].length = n;
}

static void step_walk(struct kv_cache *kv, struct shadow *all, struct rng *rng, uint32_t *stamp)
{
    const int32_t seq = (int32_t)rng_below(rng, N_SEQS);
    struct shadow *s = &all[seq];
    struct err err = {0};
    if (!s->is_open) {
        const int32_t got = kv_cache_open_seq(kv, &err);
        assert_ok(got >= 0, &err);
        assert_false(all[got].is_open);
        all[got] = (struct shadow){.is_open = true};
        return;
    }
    switch (rng_below(rng, 8)) {
    case 0:
        kv_cache_close_seq(kv, seq);
        s->is_open = false;
        return;
    case 1:
        s->length = (int32_t)rng_below(rng, (uint32_t)s->length + 1);
        kv_cache_trim(kv, seq, s->length);
        return;
    case 2:
        fork_some(kv, all, seq, rng);
        return;
    default:
        write_some(kv, s, seq, rng, stamp);
    }
}

static void check_all(const struct kv_cache *kv, const struct shadow *all)
{
    for (int32_t seq = 0; seq < N_SEQS; seq++) {
        assert_int_equal(kv_cache_has_seq(kv, seq), all[seq].is_open);
        if (!all[seq].is_open) continue;
        assert_int_equal(kv_cache_length(kv, seq), all[seq].length);
        for (int32_t i = 0; i < all[seq].length; i++)
            each_row(kv, seq, i, all[seq].stamp[i], false);
    }
}

static void test_random_walk_equals_plain_arrays(void **state)
{
    static struct shadow all[N_SEQS];
    struct rng rng = rng_seed(11);
    struct err err = {0};
    uint32_t stamp = 0;
    (void)state;
    struct kv_cache *kv = kv_cache_new(&config, DT_F32, MAX_LEN, N_SEQS, NULL, &err);
    assert_ok(kv != NULL, &err);
    for (int i = 0; i < 4000; i++) {
        step_walk(kv, all, &rng, &stamp);
        check_all(kv, all);
    }
    for (int32_t seq = 0; seq < N_SEQS; seq++)
        if (all[seq].is_open) kv_cache_close_seq(kv, seq);
    assert_int_equal(kv_cache_free_tokens(kv), MAX_LEN); /* none is lost, none is there twice */
    kv_cache_free(kv);
}

/* ---- sizes and refusals ---- */

static void test_layout_of_each_type(void **state)
{
    static const struct layout_case {
        enum dtype dtype;
        int32_t d_head;
        size_t row_bytes; /* 0: refused */
    } cases[] = {
        /* clang-format off */
        {DT_F32, 8, 32}, {DT_F16, 8, 16}, {DT_BF16, 64, 128}, {DT_Q8_0, 64, 68},
        {DT_Q8_0, 8, 0}, {DT_Q4_0, 64, 0},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct model_config c = config;
        struct err err = {0};
        c.d_head = cases[i].d_head;
        struct kv_cache *kv = kv_cache_new(&c, cases[i].dtype, 100, 2, NULL, &err);
        assert_int_equal(kv != NULL, cases[i].row_bytes > 0);
        if (!kv) {
            assert_int_equal(err.code, ERR_USAGE);
            continue;
        }
        const struct kv_layer *l = kv_cache_layer(kv, 1);
        assert_int_equal(l->row_bytes, cases[i].row_bytes);
        assert_true(l->head_stride >= KV_PAGE_TOK * l->row_bytes);
        assert_true(l->page_stride >= 2 * l->head_stride);
        assert_int_equal(kv_cache_free_tokens(kv), 128);
        assert_true(kv_cache_bytes(kv) >= 128 * config_kv_bytes(&c, cases[i].dtype));
        kv_cache_free(kv);
    }
}

static void test_wrong_sizes_are_refused(void **state)
{
    static const struct {
        int64_t n_tok;
        int32_t n_seqs;
        enum err_code code;
    } cases[] = {{0, 1, ERR_LIMIT},   {-5, 1, ERR_LIMIT},        {INT64_MAX, 1, ERR_LIMIT},
                 {100, 0, ERR_LIMIT}, {100, 1 << 30, ERR_LIMIT}, {INT32_MAX - 64, 1, ERR_MEMORY}};
    struct model_config c = config;
    (void)state;
    c.n_layers = 1000;
    c.n_kv_heads = 1000;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        assert_null(kv_cache_new(&c, DT_F16, cases[i].n_tok, cases[i].n_seqs, NULL, &err));
        assert_int_equal(err.code, cases[i].code);
    }
}

static void test_wrong_forks_are_refused(void **state)
{
    struct err err = {0};
    (void)state;
    struct kv_cache *kv = kv_cache_new(&config, DT_F16, 100, 3, NULL, &err);
    assert_ok(kv != NULL, &err);
    const int32_t a = kv_cache_open_seq(kv, &err), b = kv_cache_open_seq(kv, &err);
    assert_ok(kv_cache_reserve(kv, a, 0, 10, &err), &err);
    assert_false(kv_cache_fork(kv, a, b, 11, &err));
    assert_false(kv_cache_fork(kv, a, b, -1, &err));
    assert_false(kv_cache_fork(kv, a, a, 5, &err));
    assert_ok(kv_cache_fork(kv, a, b, 10, &err), &err);
    assert_false(kv_cache_fork(kv, a, b, 5, &err));     /* b is not empty */
    assert_false(kv_cache_reserve(kv, a, 11, 1, &err)); /* leaves a hole */
    assert_false(kv_cache_reserve(kv, a, 10, INT32_MAX, &err));
    kv_cache_free(kv);
}

static void test_memory_that_fails_is_reported(void **state)
{
    (void)state;
    for (int64_t n = 1;; n++) {
        struct err err = {0};
        fault_arm(FAULT_MEMORY, n);
        struct kv_cache *kv = kv_cache_new(&config, DT_F16, 100, 3, NULL, &err);
        const bool was_hit = fault_disarm();
        assert_int_equal(kv == NULL, was_hit);
        assert_int_equal(err.code, was_hit ? ERR_MEMORY : ERR_OK);
        kv_cache_free(kv);
        if (!was_hit) break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_walk_equals_plain_arrays),
        cmocka_unit_test(test_layout_of_each_type),
        cmocka_unit_test(test_wrong_sizes_are_refused),
        cmocka_unit_test(test_wrong_forks_are_refused),
        cmocka_unit_test(test_memory_that_fails_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
