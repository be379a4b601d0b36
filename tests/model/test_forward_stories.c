/* SPDX-License-Identifier: Apache-2.0
 *
 * test_forward_stories.c - stories260K, real weights that are small enough for every variant: 256
 * greedy steps against a double-precision reference (shared data: stories260K, its README row).
 *
 * Each step is fed the reference's token, so that a difference stays where it arises.
 */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "base/file.h"
#include "runner.h"
#include "tools/llama2c_to_gguf.h"

enum { N_STEPS = 256, N_LOGIT_STEPS = 16 };
#define LOGIT_BOUND 2e-3f
#define LOGPROB_BOUND 2e-3

static const char *make_model(void)
{
    static char out[64], bin[1024];
    struct err err = {0};
    const char *path = data_path("stories260K/stories260K.bin");
    if (!path) return NULL;
    snprintf(bin, sizeof bin, "%s", path);
    const char *tok = data_path("stories260K/tok512.bin");
    if (!tok) return NULL;
    snprintf(out, sizeof out, "/tmp/cria-test-stories-%d.gguf", (int)getpid());
    assert_ok(llama2c_to_gguf(bin, tok, out, &err), &err);
    return out;
}

static double log_sum_exp(const float *x, int32_t n)
{
    double max = -INFINITY, sum = 0;
    for (int32_t i = 0; i < n; i++) max = fmax(max, (double)x[i]);
    for (int32_t i = 0; i < n; i++) sum += exp((double)x[i] - max);
    return max + log(sum);
}

struct step {
    int64_t token, next;
    double logprob;
    struct json logits;
};

static struct step step_of(struct json v)
{
    struct step s = {.logits = json_get(v, "logits")};
    assert_true(json_i64(json_get(v, "token"), &s.token));
    assert_true(json_i64(json_get(v, "next"), &s.next));
    assert_true(json_f64(json_get(v, "logprob_next"), &s.logprob));
    return s;
}

static float logits_error(struct json want, const float *got)
{
    struct json_iter it = json_iter(want);
    struct json v;
    float worst = 0;
    for (int32_t k = 0; json_next(&it, NULL, NULL, &v); k++) {
        double x = 0;
        assert_true(json_f64(v, &x));
        worst = fmaxf(worst, fabsf((float)x - got[k]));
    }
    return worst;
}

static void run_steps(const char *path, struct json steps, const struct runner_options *opt)
{
    struct runner r;
    runner_open(&r, path, opt);
    assert_int_equal(r.n_vocab, 512);
    const int32_t seq = runner_seq(&r);
    float *got = calloc((size_t)r.n_vocab, sizeof *got), worst = 0;
    double worst_p = 0;
    struct json_iter it = json_iter(steps);
    struct json v;
    for (int32_t i = 0; i < N_STEPS; i++) {
        assert_true(json_next(&it, NULL, NULL, &v));
        const struct step s = step_of(v);
        const int32_t token = (int32_t)s.token;
        runner_feed(&r, seq, &token, 1, 1, got);
        if (argmax_of(got, r.n_vocab) != s.next)
            fail_msg("%s: step %d: best token %d, not %d", opt->ops->name, i,
                     argmax_of(got, r.n_vocab), (int)s.next);
        const double p = (double)got[s.next] - log_sum_exp(got, r.n_vocab);
        worst_p = fmax(worst_p, fabs(p - s.logprob));
        if (i < N_LOGIT_STEPS) worst = fmaxf(worst, logits_error(s.logits, got));
    }
    print_message("%-12s logits within %.2e, log probabilities within %.2e\n", opt->ops->name,
                  (double)worst, worst_p);
    if (!(worst <= LOGIT_BOUND) || !(worst_p <= LOGPROB_BOUND))
        fail_msg("%s: logits %g (bound %g), log probabilities %g (bound %g)", opt->ops->name,
                 (double)worst, (double)LOGIT_BOUND, worst_p, LOGPROB_BOUND);
    free(got);
    runner_close(&r);
}

static void test_greedy_story_equals_the_reference(void **state)
{
    (void)state;
    const char *path = make_model();
    skip_without(path, "stories260K");
    struct json_doc *doc = json_open(data_path("stories260K/reference_greedy.json"));
    for (int v = 0; v < ops_n_variants(); v++) {
        struct runner_options opt = runner_defaults();
        opt.ops = ops_variant(v);
        run_steps(path, json_get(json_root(doc), "steps"), &opt);
    }
    json_free(doc);
    remove(path);
}

/* The text, by the model's own tokenizer and nothing but its own choices. */
static void test_greedy_text(void **state)
{
    (void)state;
    const char *path = make_model();
    skip_without(path, "stories260K");
    struct runner r;
    struct runner_options opt = runner_defaults();
    struct err err = {0};
    struct buf text;
    int32_t token = 1;
    buf_init(&text, 1 << 16);
    opt.kv_dtype = DT_F16;
    runner_open(&r, path, &opt);
    assert_ok(model_require_tokenizer(r.m, &err), &err);
    float *logits = calloc((size_t)r.n_vocab, sizeof *logits);
    const int32_t seq = runner_seq(&r);
    int32_t ids[N_STEPS] = {0};
    for (int32_t i = 0; i < N_STEPS; i++) {
        runner_feed(&r, seq, &token, 1, 1, logits);
        ids[i] = token = argmax_of(logits, r.n_vocab);
    }
    tokenizer_decode(model_tokenizer(r.m), ids, N_STEPS, false, &text);
    assert_ok(buf_check(&text, "text", &err), &err);
    struct buf want;
    buf_init(&want, 1 << 16);
    assert_ok(file_read_all(data_path("stories260K/expected_greedy.txt"), 1 << 16, &want, &err),
              &err);
    while (want.n_bytes && strchr("\r\n", want.data[want.n_bytes - 1])) want.n_bytes--;
    if (text.n_bytes < want.n_bytes || memcmp(text.data, want.data, want.n_bytes) != 0)
        fail_msg("the story reads:\n%s\nnot:\n%.*s", text.data, (int)want.n_bytes, want.data);
    free(logits);
    buf_release(&text);
    buf_release(&want);
    runner_close(&r);
    remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy_story_equals_the_reference),
        cmocka_unit_test(test_greedy_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
