/* SPDX-License-Identifier: Apache-2.0
 *
 * test_forward_smollm2.c - the default model against transformers on its dequantized weights
 * (shared data: smollm2_vectors): logits, log-probabilities and greedy choices of eight prompts.
 *
 * Plain C multiplies float activations and must agree within 2e-3. The fast variants round
 * activations to 8 bits, for few tokens or (AVX512-VNNI) for any number; over 30 layers that moves
 * a logit by up to INT8_BOUND (measured 0.53 and 0.67 at worst among 440 logits of deviation 3.6),
 * and so a best token must be the same where it leads by more than twice as much. Greedy
 * continuations are fed the reference's tokens, so that a difference stays where it arises.
 */
#include "test.h"

#include <math.h>

#include "base/os.h"
#include "runner.h"
#include "smollm2.h"

#define FLOAT_BOUND 2e-3f
#define INT8_BOUND 0.8f
enum { EVERY = 997, N_TOP = 5, MAX_GREEDY = 64 };

struct worst {
    float logit, logprob;
    int32_t n_choices, n_close; /* choices made; of these within twice the bound: not judged */
};

static double log_sum_exp(const float *x, int32_t n)
{
    double max = -INFINITY, sum = 0;
    for (int32_t i = 0; i < n; i++) max = fmax(max, (double)x[i]);
    for (int32_t i = 0; i < n; i++) sum += exp((double)x[i] - max);
    return max + log(sum);
}

static double number_at(struct json arr, size_t i)
{
    double x = 0;
    assert_true(json_f64(json_at(arr, i), &x));
    return x;
}

static void check_last(struct json p, const float *last, struct worst *w)
{
    const struct json every = json_get(p, "last_every_997th");
    const struct json ids = json_get(p, "last_top5_ids"), top = json_get(p, "last_top5_logits");
    for (size_t i = 0; i < json_len(every); i++)
        w->logit = fmaxf(w->logit, fabsf(last[i * EVERY] - (float)number_at(every, i)));
    for (size_t i = 0; i < N_TOP; i++)
        w->logit =
            fmaxf(w->logit, fabsf(last[(size_t)number_at(ids, i)] - (float)number_at(top, i)));
}

static void check_choice(const char *what, int32_t i, int32_t want, const float *row, int32_t n,
                         float bound, struct worst *w)
{
    const int32_t mine = argmax_of(row, n);
    w->n_choices++;
    if (mine == want) return;
    w->n_close++;
    if (row[mine] - row[want] > 2 * bound)
        fail_msg("%s %d: best token %d leads %d by %g", what, i, mine, want,
                 (double)(row[mine] - row[want]));
}

static void check_prompt_rows(struct json p, const int32_t *tokens, const float *rows, int32_t n,
                              const struct runner *r, float bound, struct worst *w)
{
    int32_t n_best = 0;
    int32_t *best = json_ints(json_get(p, "argmax"), &n_best);
    const struct json logprobs = json_get(p, "prompt_logprobs");
    assert_int_equal(n_best, n);
    for (int32_t i = 0; i < n; i++) {
        const float *row = rows + (int64_t)i * r->n_vocab;
        check_choice("prompt position", i, best[i], row, r->n_vocab, bound, w);
        if (i + 1 == n) break;
        const double got = (double)row[tokens[i + 1]] - log_sum_exp(row, r->n_vocab);
        w->logprob = fmaxf(w->logprob, fabsf((float)(got - number_at(logprobs, (size_t)i))));
    }
    free(best);
}

static void check_greedy(struct runner *r, int32_t seq, struct json p, const float *last,
                         float bound, struct worst *w)
{
    int32_t n = 0;
    int32_t *greedy = json_ints(json_get(p, "greedy"), &n);
    float *row = calloc((size_t)r->n_vocab, sizeof *row);
    memcpy(row, last, (size_t)r->n_vocab * sizeof *row);
    for (int32_t i = 0; i < n && i < MAX_GREEDY; i++) {
        check_choice("greedy step", i, greedy[i], row, r->n_vocab, bound, w);
        runner_feed(r, seq, greedy + i, 1, 1, row);
    }
    free(row);
    free(greedy);
}

static void check_prompt(struct runner *r, struct json p, float bound, struct worst *w)
{
    int32_t n = 0;
    int32_t *tokens = json_ints(json_get(p, "tokens"), &n);
    float *rows = calloc((size_t)n * (size_t)r->n_vocab, sizeof *rows);
    const int32_t seq = runner_seq(r);
    runner_feed(r, seq, tokens, n, r->max_batch_tok, rows);
    const float *last = rows + (int64_t)(n - 1) * r->n_vocab;
    check_last(p, last, w);
    check_prompt_rows(p, tokens, rows, n, r, bound, w);
    check_greedy(r, seq, p, last, bound, w);
    kv_cache_close_seq(r->kv, seq);
    free(rows);
    free(tokens);
}

static void check_variant(const struct ops *ops, size_t n_prompts, float bound)
{
    struct json_doc *doc = json_open(data_path("smollm2_vectors/logits.json"));
    struct runner_options opt = runner_defaults();
    struct runner r;
    struct worst w = {0};
    struct json_iter it = json_iter(json_get(json_root(doc), "prompts"));
    struct json p;
    opt.ops = ops;
    opt.n_threads = os_cores() < 2 ? 1 : 2;
    opt.max_pos = 512;
    opt.kv_dtype = bound == FLOAT_BOUND ? DT_F32 : DT_F16;
    runner_open(&r, smollm2_path(), &opt);
    for (size_t i = 0; i < n_prompts && json_next(&it, NULL, NULL, &p); i++)
        check_prompt(&r, p, bound, &w);
    print_message("%-12s logits within %.2e, log probabilities within %.2e; %d of %d choices "
                  "differ\n",
                  ops->name, (double)w.logit, (double)w.logprob, w.n_close, w.n_choices);
    if (!(w.logit <= bound) || !(w.logprob <= bound))
        fail_msg("%s: logits %g, log probabilities %g, bound %g", ops->name, (double)w.logit,
                 (double)w.logprob, (double)bound);
    runner_close(&r);
    json_free(doc);
}

static void test_plain_c_equals_transformers(void **state)
{
    (void)state;
    skip_without(smollm2_path(), "SmolLM2-135M-Instruct.Q4_1.gguf");
    skip_without(data_path("smollm2_vectors/logits.json"), "smollm2_vectors");
    check_variant(ops_variant(0), 1, FLOAT_BOUND);
}

static void test_fast_variants_stay_within_int8(void **state)
{
    (void)state;
    skip_without(smollm2_path(), "SmolLM2-135M-Instruct.Q4_1.gguf");
    skip_without(data_path("smollm2_vectors/logits.json"), "smollm2_vectors");
    const int n = ops_n_variants();
    for (int v = 1; v < n; v++) check_variant(ops_variant(v), v + 1 == n ? 8 : 2, INT8_BOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_c_equals_transformers),
        cmocka_unit_test(test_fast_variants_stay_within_int8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
