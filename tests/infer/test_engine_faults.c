/* SPDX-License-Identifier: Apache-2.0
 *
 * test_engine_faults.c - each allocation of making an engine and submitting a request fails in
 * turn: an error says so, nothing is lost, and the next request runs; a step allocates nothing.
 */
#include "test.h"

#include "fault.h"
#include "infer/engine.h"
#include "tiny_model.h"

static const int32_t prompt[] = {1, 260, 270, 280};
static const struct logit_bias bias = {5, -1};

static struct request_params request(void)
{
    struct request_params p = request_defaults();
    p.prompt = prompt, p.n_prompt = 4, p.n_predict = 6, p.n_answers = 2;
    p.stop[0] = "zz", p.stop[1] = "#", p.n_stop = 2;
    p.sampling.bias = &bias, p.sampling.n_bias = 1;
    p.sampling.repeat_penalty = 1.1f, p.sampling.dry_multiplier = 1;
    p.ignores_eos = true;
    return p;
}

static const struct engine_options options = {
    .n_threads = 2, .n_ctx = 64, .n_seqs = 2, .kv_dtype = DT_F16};

static void test_engine_new_survives_each_failure(void **state)
{
    struct model *m = *state;
    for (unsigned stays = 0; stays <= FAULT_STAYS; stays += FAULT_STAYS) {
        int64_t n = 1;
        for (bool was_hit = true; was_hit; n++) {
            struct err err = {0};
            fault_arm(FAULT_MEMORY | stays, n);
            struct engine *e = engine_new(m, &options, &err);
            was_hit = fault_disarm();
            if (!e && err.code == ERR_OK) fail_msg("call %d: no reason given", (int)n);
            if (!was_hit) assert_ok(e, &err);
            engine_free(e);
        }
        assert_true(n > 20);
    }
}

static void test_submit_survives_each_failure(void **state)
{
    struct model *m = *state;
    struct err err = {0};
    struct engine *e = engine_new(m, &options, &err);
    assert_ok(e, &err);
    const int64_t n_free = engine_free_tokens(e);
    const struct request_params p = request();
    int64_t n = 1;
    for (bool was_hit = true; was_hit; n++) {
        err = (struct err){0};
        fault_arm(FAULT_MEMORY, n);
        const bool ok = engine_submit(e, &p, &err) != 0;
        was_hit = fault_disarm();
        if (ok == was_hit) fail_msg("call %d: %s", (int)n, ok ? "was taken" : err.text);
        if (was_hit) assert_int_equal(err.code, ERR_MEMORY);
    }
    assert_true(n > 8);
    for (bool has_work = true; has_work;) assert_ok(engine_step(e, &has_work, &err), &err);
    engine_clear_cache(e);
    assert_int_equal(engine_free_tokens(e), n_free);
    engine_free(e);
}

/* No call of malloc and its like from the second step to the last. */
static void test_steps_allocate_nothing(void **state)
{
    struct model *m = *state;
    struct err err = {0};
    struct engine *e = engine_new(m, &options, &err);
    assert_ok(e, &err);
    for (int round = 0; round < 2; round++) {
        const struct request_params p = request();
        assert_true(engine_submit(e, &p, &err) > 0);
        bool has_work = true;
        int n_steps = 0;
        fault_arm(FAULT_MEMORY | FAULT_STAYS, 1);
        for (; has_work; n_steps++) assert_ok(engine_step(e, &has_work, &err), &err);
        assert_false(fault_disarm());
        assert_true(n_steps >= 6);
    }
    engine_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_new_survives_each_failure),
        cmocka_unit_test(test_submit_survives_each_failure),
        cmocka_unit_test(test_steps_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, tiny_model_setup, tiny_model_teardown);
}
