/* SPDX-License-Identifier: Apache-2.0
 *
 * test_sampler.c - each step against float64 (tests/oracle/sampler.py), the draw against
 * chi-square, selection against a plain sort, and every range against its message.
 */
#include "test.h"

#include <math.h>

#include "base/file.h"
#include "base/json.h"
#include "infer/chain.h"

/* What is left of the vocabulary before the draw: the walk of sampler_pick(). */
static void leave(struct sampler *s, const float *logits)
{
    struct candidates *c = s->c;
    memcpy(c->logits, logits, (size_t)s->n_vocab * sizeof *logits);
    s->logits = c->logits;
    bool is_filled = false;
    for (const struct sampler_step *step = sampler_steps; step->name; step++) {
        if (step->stage != STAGE_LOGITS && !is_filled) {
            is_filled = true;
            if (step->stage != STAGE_FILL || !step->is_on(&s->params))
                candidates_fill(c, c->logits);
        }
        if (step->is_on(&s->params)) step->apply(s);
    }
    candidates_softmax(c);
    candidates_sort_front(c, c->n);
}

static void get_float(struct json o, const char *key, float *out)
{
    double x = 0;
    assert_true(json_f64(json_get(o, key), &x));
    *out = (float)x;
}

static void get_int(struct json o, const char *key, int32_t *out)
{
    int64_t x = 0;
    assert_true(json_i64(json_get(o, key), &x));
    *out = (int32_t)x;
}

static struct sampler_params params_of(struct json o, struct logit_bias *bias)
{
    struct sampler_params p = sampler_defaults();
    get_float(o, "temperature", &p.temperature);
    get_int(o, "top_k", &p.top_k);
    get_float(o, "top_p", &p.top_p);
    get_float(o, "min_p", &p.min_p);
    get_float(o, "typical_p", &p.typical_p);
    get_float(o, "repeat_penalty", &p.repeat_penalty);
    get_float(o, "presence_penalty", &p.presence_penalty);
    get_float(o, "frequency_penalty", &p.frequency_penalty);
    get_int(o, "penalty_last_n", &p.penalty_last_n);
    get_float(o, "dry_multiplier", &p.dry_multiplier);
    get_float(o, "dry_base", &p.dry_base);
    get_int(o, "dry_allowed_length", &p.dry_allowed_length);
    get_int(o, "dry_last_n", &p.dry_last_n);
    get_float(o, "xtc_probability", &p.xtc_probability);
    get_float(o, "xtc_threshold", &p.xtc_threshold);
    get_float(o, "mirostat_tau", &p.mirostat_tau);
    const struct json list = json_get(o, "bias");
    p.n_bias = (int32_t)json_len(list);
    p.bias = bias;
    for (int32_t i = 0; i < p.n_bias; i++) {
        const struct json pair = json_at(list, (size_t)i);
        int64_t id = 0;
        double b = 0;
        assert_true(json_i64(json_at(pair, 0), &id) && json_f64(json_at(pair, 1), &b));
        bias[i] = (struct logit_bias){(int32_t)id, b < -1e29 ? -INFINITY : (float)b};
    }
    return p;
}

static void check_left(const struct sampler *s, struct json ids, struct json ps, size_t i_case)
{
    const size_t n = json_len(ids);
    if ((size_t)s->c->n != n)
        fail_msg("case %zu: %d tokens are left, want %zu", i_case, (int)s->c->n, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t id = 0;
        double p = 0;
        assert_true(json_i64(json_at(ids, i), &id) && json_f64(json_at(ps, i), &p));
        const struct candidate *x = &s->c->item[i];
        if (x->id != id || fabs((double)x->p - p) > 1e-6 + 2e-5 * p)
            fail_msg("case %zu, place %zu: token %d at %.8g, want %d at %.8g", i_case, i,
                     (int)x->id, (double)x->p, (int)id, p);
        sum += (double)x->p;
    }
    assert_true(fabs(sum - 1) < 1e-5);
}

static void check_case(struct json c, size_t i_case)
{
    struct err err = {0};
    struct logit_bias bias[8];
    float logits[512];
    int32_t n = 0;
    const struct sampler_params p = params_of(json_get(c, "settings"), bias);
    struct json v;
    struct json_iter it = json_iter(json_get(c, "logits"));
    for (double x = 0; json_next(&it, NULL, NULL, &v); n++) {
        assert_true(json_f64(v, &x));
        logits[n] = (float)x;
    }
    struct sampler *s = sampler_new(&p, n, NULL, &err);
    assert_ok(s, &err);
    it = json_iter(json_get(c, "history"));
    for (int64_t id = 0; json_next(&it, NULL, NULL, &v) && json_i64(v, &id);)
        sampler_accept(s, (int32_t)id);
    leave(s, logits);
    check_left(s, json_get(c, "ids"), json_get(c, "p"), i_case);
    for (int32_t id = 0; id < n; id++) assert_int_equal(s->c->count[id], 0); /* I3 */
    sampler_free(s);
}

static void test_steps_equal_float64(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf text;
    buf_init(&text, 1 << 20);
    assert_ok(file_read_all(golden_path("infer/sampler.json"), 1 << 20, &text, &err), &err);
    struct json_doc *d = json_parse(text.data, text.n_bytes, 1 << 20, "sampler.json", &err);
    assert_ok(d, &err);
    struct json_iter it = json_iter(json_root(d));
    struct json c;
    size_t n = 0;
    for (; json_next(&it, NULL, NULL, &c); n++) check_case(c, n);
    assert_true(n >= 60);
    json_free(d);
    buf_release(&text);
}

/* spec/llama3.md section 10, item 8: a token stays unless what is before it exceeds p. */
static const struct top_p_case {
    float p;
    int32_t n_kept;
} top_p_cases[] = {{0.79f, 2}, {0.81f, 3}, {0.0f, 1}, {0.49f, 1}, {0.96f, 4}};

static void test_top_p_keeps_the_token_that_crosses(void **state)
{
    (void)state;
    const float logits[4] = {logf(0.15f), logf(0.5f), logf(0.05f), logf(0.3f)};
    for (size_t i = 0; i < ARRAY_LEN(top_p_cases); i++) {
        struct err err = {0};
        struct sampler_params p = sampler_defaults();
        p.temperature = 1, p.top_k = 0, p.min_p = 0, p.top_p = top_p_cases[i].p;
        struct sampler *s = sampler_new(&p, 4, NULL, &err);
        assert_ok(s, &err);
        leave(s, logits);
        if (s->c->n != top_p_cases[i].n_kept)
            fail_msg("p %g: %d kept, want %d", (double)p.top_p, (int)s->c->n,
                     (int)top_p_cases[i].n_kept);
        assert_int_equal(s->c->item[0].id, 1);
        sampler_free(s);
    }
}

/* Draws follow the softmax: chi-square of 40,000 draws over 8 tokens, 7 degrees of freedom. The
 * seed is fixed, so the test is; 24.3 is passed by one fair stream in a thousand. */
static void test_draws_follow_the_distribution(void **state)
{
    (void)state;
    struct err err = {0};
    const float logits[8] = {0, 0.5f, 1, 1.5f, 2, -1, -2, 0.25f};
    struct sampler_params p = sampler_defaults();
    p.temperature = 1, p.top_k = 0, p.top_p = 1, p.min_p = 0, p.seed = 42;
    struct sampler *s = sampler_new(&p, 8, NULL, &err);
    assert_ok(s, &err);
    enum { N = 40000 };
    int n_drawn[8] = {0};
    double sum = 0, chi2 = 0;
    for (int i = 0; i < N; i++) {
        struct sampled out;
        sampler_pick(s, logits, &out);
        n_drawn[out.id]++;
    }
    for (int i = 0; i < 8; i++) sum += exp((double)logits[i]);
    for (int i = 0; i < 8; i++) {
        const double want = N * exp((double)logits[i]) / sum;
        chi2 += (n_drawn[i] - want) * (n_drawn[i] - want) / want;
    }
    if (chi2 > 24.3) fail_msg("chi-square %.1f, at most 24.3", chi2);
    sampler_free(s);
}

/* XTC acts as often as asked: threshold lets it drop token 0, and draws then give another. */
static void test_xtc_acts_with_its_probability(void **state)
{
    (void)state;
    struct err err = {0};
    const float logits[3] = {10, 9.9f, -30};
    struct sampler_params p = sampler_defaults();
    p.temperature = 0.01f, p.xtc_probability = 0.3f, p.xtc_threshold = 0.1f, p.seed = 5;
    struct sampler *s = sampler_new(&p, 3, NULL, &err);
    assert_ok(s, &err);
    int n_second = 0;
    for (int i = 0; i < 10000; i++) {
        struct sampled out;
        sampler_pick(s, logits, &out);
        n_second += out.id == 1;
    }
    if (n_second < 2850 || n_second > 3150)
        fail_msg("acted %d times of 10000, want 3000", n_second);
    sampler_free(s);
}

static void test_same_seed_same_tokens(void **state)
{
    (void)state;
    struct err err = {0};
    float logits[300];
    struct rng r = rng_seed(9);
    for (int i = 0; i < 300; i++) logits[i] = rng_normal(&r);
    struct sampler_params p = sampler_defaults();
    p.seed = 1234;
    struct sampler *a = sampler_new(&p, 300, NULL, &err), *b = sampler_new(&p, 300, NULL, &err);
    p.seed = 1235;
    struct sampler *c = sampler_new(&p, 300, NULL, &err);
    int n_other = 0;
    for (int i = 0; i < 200; i++) {
        struct sampled x, y, z;
        sampler_pick(a, logits, &x);
        sampler_pick(b, logits, &y);
        sampler_pick(c, logits, &z);
        assert_int_equal(x.id, y.id);
        n_other += z.id != x.id;
    }
    assert_true(n_other > 20);
    sampler_free(a), sampler_free(b), sampler_free(c);
}

static void test_greedy_takes_the_lowest_id_of_the_greatest(void **state)
{
    (void)state;
    struct err err = {0};
    const float logits[6] = {1, NAN, 3, 3, -INFINITY, 2};
    struct sampler_params p = sampler_defaults();
    p.temperature = 0, p.n_logprobs = 2;
    struct sampler *s = sampler_new(&p, 6, NULL, &err);
    assert_ok(s, &err);
    struct sampled out;
    sampler_pick(s, logits, &out);
    assert_int_equal(out.id, 2);
    assert_int_equal(out.n_top, 2);
    assert_int_equal(out.top[1].id, 3);
    const double sum = log(exp(1) + 2 * exp(3) + exp(2));
    assert_true(fabs((double)out.logprob - (3 - sum)) < 1e-5);
    sampler_free(s);

    const struct logit_bias bias[2] = {{2, -INFINITY}, {3, -5}};
    p.bias = bias, p.n_bias = 2;
    s = sampler_new(&p, 6, NULL, &err);
    assert_ok(s, &err);
    sampler_pick(s, logits, &out);
    assert_int_equal(out.id, 5);
    assert_true(fabs((double)out.logprob - (2 - sum)) < 1e-5); /* raw: bias is not in it */
    sampler_free(s);
}

/* Whatever the logits are, a token of the vocabulary comes out. */
static void test_hopeless_logits_still_give_a_token(void **state)
{
    (void)state;
    struct err err = {0};
    const float hopeless[][4] = {{NAN, NAN, NAN, NAN},
                                 {-INFINITY, -INFINITY, -INFINITY, -INFINITY},
                                 {INFINITY, INFINITY, 0, NAN},
                                 {3e38f, -3e38f, 3e38f, 0}};
    const float tau[2] = {0, 3};
    for (size_t i = 0; i < 2 * ARRAY_LEN(hopeless); i++) {
        struct sampler_params p = sampler_defaults();
        p.temperature = 1e-30f, p.typical_p = 0.5f, p.xtc_probability = 1;
        p.mirostat_tau = tau[i % 2], p.n_logprobs = 3;
        struct sampler *s = sampler_new(&p, 4, NULL, &err);
        assert_ok(s, &err);
        struct sampled out;
        for (int j = 0; j < 50; j++) {
            sampler_pick(s, hopeless[i / 2], &out);
            assert_in_range(out.id, 0, 3);
        }
        sampler_free(s);
    }
}

static int by_logit(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit < y->logit ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

/* Selecting k of n, in one go or in growing pieces, equals a plain sort with ties by id. */
static void test_selection_equals_sorting(void **state)
{
    (void)state;
    enum { N = 5000 };
    static float logits[N];
    static struct candidate want[N];
    struct err err = {0};
    struct candidates c;
    assert_ok(candidates_init(&c, N, &err), &err);
    struct rng r = rng_seed(3);
    for (int shape = 0; shape < 4; shape++) {
        for (int32_t i = 0; i < N; i++) {
            const float x = shape == 0   ? rng_normal(&r)
                            : shape == 1 ? (float)rng_below(&r, 20) - 10.0f /* many ties */
                            : shape == 2 ? (float)i                         /* worst for fill_top */
                                         : -0.0f * (float)(i % 2);
            logits[i] = x;
            want[i] = (struct candidate){x, i, 0};
        }
        qsort(want, N, sizeof *want, by_logit);
        for (int32_t k = 1; k <= N; k = k * 3 + 1) {
            candidates_fill_top(&c, logits, k);
            assert_int_equal(c.n, k);
            for (int32_t i = 0; i < k; i++) assert_int_equal(c.item[i].id, want[i].id);
        }
        candidates_fill(&c, logits);
        for (int32_t k = 7; c.n_sorted < N; k *= 5) {
            candidates_sort_front(&c, k);
            for (int32_t i = 0; i < c.n_sorted; i++) assert_int_equal(c.item[i].id, want[i].id);
        }
    }
    candidates_release(&c);
}

#define ROW(field, value)                                                                          \
    {                                                                                              \
#field, offsetof(struct sampler_params, field), value                                      \
    }
static const struct bad_float {
    const char *name;
    size_t at;
    float value;
} bad_floats[] = {
    ROW(temperature, -0.1f),     ROW(temperature, NAN),
    ROW(top_p, 1.01f),           ROW(min_p, -1),
    ROW(typical_p, 2),           ROW(repeat_penalty, 0),
    ROW(presence_penalty, 1e9f), ROW(frequency_penalty, -101),
    ROW(dry_multiplier, -1),     ROW(dry_base, 0.5f),
    ROW(xtc_probability, 1.5f),  ROW(xtc_threshold, -0.5f),
    ROW(mirostat_tau, INFINITY), ROW(mirostat_eta, 2),
};
static const struct bad_int {
    const char *name;
    size_t at;
    int32_t value;
} bad_ints[] = {
    ROW(top_k, -1),      ROW(penalty_last_n, -2), ROW(dry_allowed_length, 0),
    ROW(dry_last_n, -7), ROW(n_bias, 100000),     ROW(n_logprobs, 21),
};

static void check_refused(const struct sampler_params *p, const char *name)
{
    struct err err = {0};
    if (sampler_new(p, 10, NULL, &err)) fail_msg("%s: was taken", name);
    assert_int_equal(err.code, ERR_USAGE);
    if (!strstr(err.text, name)) fail_msg("\"%s\" does not name %s", err.text, name);
}

static void test_each_range_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_floats); i++) {
        struct sampler_params p = sampler_defaults();
        memcpy((char *)&p + bad_floats[i].at, &bad_floats[i].value, sizeof(float));
        check_refused(&p, bad_floats[i].name);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_ints); i++) {
        struct sampler_params p = sampler_defaults();
        memcpy((char *)&p + bad_ints[i].at, &bad_ints[i].value, sizeof(int32_t));
        check_refused(&p, bad_ints[i].name);
    }
    const struct logit_bias bias[] = {{10, 1}, {-1, 1}, {0, INFINITY}, {0, NAN}};
    for (size_t i = 0; i < ARRAY_LEN(bias); i++) {
        struct sampler_params p = sampler_defaults();
        p.bias = &bias[i], p.n_bias = 1;
        check_refused(&p, "bias");
    }
}

/* Mirostat holds the mean surprise of what it draws near tau. */
static void test_mirostat_holds_its_target(void **state)
{
    (void)state;
    struct err err = {0};
    static float logits[2000];
    for (int i = 0; i < 2000; i++) logits[i] = -1.2f * logf((float)i + 1); /* Zipf-like */
    struct sampler_params p = sampler_defaults();
    p.temperature = 1, p.mirostat_tau = 4, p.n_logprobs = 1, p.seed = 2;
    struct sampler *s = sampler_new(&p, 2000, NULL, &err);
    assert_ok(s, &err);
    double mean = 0;
    for (int i = 0; i < 3000; i++) {
        struct sampled out;
        sampler_pick(s, logits, &out);
        mean -= (double)out.logprob / log(2) / 3000;
    }
    if (fabs(mean - 4) > 1) fail_msg("mean surprise %.2f bits, target 4", mean);
    sampler_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_equal_float64),
        cmocka_unit_test(test_top_p_keeps_the_token_that_crosses),
        cmocka_unit_test(test_draws_follow_the_distribution),
        cmocka_unit_test(test_xtc_acts_with_its_probability),
        cmocka_unit_test(test_same_seed_same_tokens),
        cmocka_unit_test(test_greedy_takes_the_lowest_id_of_the_greatest),
        cmocka_unit_test(test_hopeless_logits_still_give_a_token),
        cmocka_unit_test(test_selection_equals_sorting),
        cmocka_unit_test(test_each_range_is_refused_by_name),
        cmocka_unit_test(test_mirostat_holds_its_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
