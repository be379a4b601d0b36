/* SPDX-License-Identifier: Apache-2.0
 *
 * test_embed.c - vectors of texts and log-probabilities of prompts: those of transformers on the
 * default model's weights (tests/oracle/embed.py), and on a tiny model the same whoever else is in
 * the batch, however it is cut, and whatever lies in the prefix cache.
 *
 * Plain C multiplies in float and must agree closely; the fast variants round activations to 8
 * bits, which moves a log-probability by up to 0.8 (test_forward_smollm2.c) and a vector by an
 * angle whose cosine must stay above FAST_COSINE (measured 0.9989 at worst).
 */
#include "test.h"

#include <math.h>

#include "base/file.h"
#include "base/json.h"
#include "infer/embed.h"
#include "model/smollm2.h"
#include "tiny_model.h"

#define FAST_COSINE 0.995
enum { D_MAX = 1024, MAX_IDS = 256, N_TINY = 40 };

static const enum pooling all_poolings[] = {POOL_MEAN, POOL_WEIGHTED, POOL_LAST};

/* What one request was told. */
struct heard {
    float vector[D_MAX];
    float logprob[MAX_IDS]; /* of the prompt's token at each position */
    int32_t n_scored, last_scored, n_cached, n_last_events;
    int32_t answer[2][64], n_answer[2];
    enum finish finish;
    bool has_vector;
    struct err err;
};

static bool listen(void *user, const struct engine_event *ev)
{
    struct heard *h = user;
    assert_true(h->n_answer[ev->i_answer] < 64);
    if (ev->token >= 0 && !ev->is_prompt)
        h->answer[ev->i_answer][h->n_answer[ev->i_answer]++] = ev->token;
    if (ev->is_prompt) {
        assert_int_equal(h->n_answer[0], 0);
        const int32_t pos = h->n_scored ? h->last_scored + 1 : ev->n_prompt_done;
        assert_int_equal(ev->n_prompt_done, pos); /* in order, none left out */
        assert_int_equal(ev->sampled->id, ev->token);
        h->logprob[pos] = ev->sampled->logprob;
        h->last_scored = pos;
        h->n_scored++;
    }
    h->n_cached = ev->n_cached;
    if (ev->err) h->err = *ev->err;
    if (!ev->finish) return true;
    h->finish = ev->finish;
    h->n_last_events++;
    h->has_vector = ev->embedding != NULL;
    return true;
}

static bool listen_wide(void *user, const struct engine_event *ev)
{
    struct heard *h = user;
    if (ev->embedding) memcpy(h->vector, ev->embedding, 64 * sizeof *ev->embedding);
    return listen(user, ev);
}

static double cosine(const float *a, const float *b, int32_t n, int32_t every)
{
    double ab = 0, aa = 0, bb = 0;
    for (int32_t i = 0; i < n; i += every) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static struct engine *open_engine(const struct model *m, const char *isa, int32_t n_seqs,
                                  int32_t max_batch_tok, int32_t max_logit_rows)
{
    struct err err = {0};
    const struct engine_options opt = {.n_threads = 2,
                                       .isa = isa,
                                       .n_ctx = 256,
                                       .n_seqs = n_seqs,
                                       .max_batch_tok = max_batch_tok,
                                       .max_logit_rows = max_logit_rows,
                                       .kv_dtype = DT_F32};
    struct engine *e = engine_new(m, &opt, &err);
    assert_ok(e, &err);
    return e;
}

/* ---- pooling ---- */

static void test_pooled_vectors_are_weighted_sums_of_length_one(void **state)
{
    static const float s[3][2] = {{3, 0}, {0, 2}, {1, 1}};
    static const struct {
        const char *name;
        double want[2]; /* before it is made of length 1 */
    } cases[] = {{"mean", {4, 3}}, {"weighted", {6, 7}}, {"last", {1, 1}}};
    struct err err = {0};
    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct pool p;
        const enum pooling how = pooling_by_name(cases[c].name);
        assert_int_equal(how, all_poolings[c]);
        assert_string_equal(pooling_names()[c], cases[c].name);
        assert_ok(pool_init(&p, how, 2, &err), &err);
        for (int32_t i = pooling_is_of_last(how) ? 2 : 0; i < 3; i++) pool_add(&p, i, s[i]);
        const float *got = pool_finish(&p);
        const double length = hypot(cases[c].want[0], cases[c].want[1]);
        for (int i = 0; i < 2; i++)
            if (fabs((double)got[i] - cases[c].want[i] / length) > 1e-7)
                fail_msg("%s: number %d is %g", cases[c].name, i, (double)got[i]);
        pool_release(&p);
    }
    assert_int_equal(pooling_by_name("max"), POOL_NONE);
    assert_null(pooling_names()[ARRAY_LEN(cases)]);
}

static void test_vectors_are_shortened_to_length_one(void **state)
{
    float v[3] = {0.6f, 0.8f, 5.0f}, zero[2] = {0, 0};
    (void)state;
    v[0] *= 7, v[1] *= 7;
    pool_shorten(v, 2);
    assert_true(fabsf(v[0] - 0.6f) < 1e-6f && fabsf(v[1] - 0.8f) < 1e-6f);
    assert_true(v[2] == 5.0f);
    pool_shorten(zero, 2);
    assert_true(zero[0] == 0 && zero[1] == 0);
}

/* ---- against transformers ---- */

static int32_t read_numbers(struct json arr, float *out, int32_t most)
{
    struct json_iter it = json_iter(arr);
    struct json v;
    int32_t n = 0;
    for (double x = 0; json_next(&it, NULL, NULL, &v); out[n++] = (float)x) {
        assert_true(n < most);
        assert_true(json_f64(v, &x));
    }
    return n;
}

static void check_text(struct engine *e, struct json row, int32_t every, bool is_exact)
{
    struct err err = {0};
    struct heard h = {0};
    struct ids ids = {0};
    float want[MAX_IDS], got[D_MAX];
    const char *text = NULL;
    size_t n_bytes = 0;
    const int32_t d = embed_width(e);
    assert_true(d <= D_MAX && json_str(json_get(row, "text"), &text, &n_bytes));
    assert_ok(embed_tokenize(engine_model(e), text, n_bytes, &ids, &err), &err);
    const int32_t n = read_numbers(json_get(row, "ids"), want, MAX_IDS);
    assert_int_equal(ids.n, n);
    for (int32_t i = 0; i < n; i++) assert_int_equal(ids.id[i], (int32_t)want[i]);

    for (size_t p = 0; p < ARRAY_LEN(all_poolings); p++) {
        float spread[D_MAX] = {0};
        const int32_t n_want = read_numbers(json_get(row, pooling_names()[p]), want, MAX_IDS);
        assert_int_equal(n_want, (d + every - 1) / every);
        for (int32_t i = 0; i < n_want; i++) spread[i * every] = want[i];
        assert_ok(engine_embed(e, all_poolings[p], &ids, 1, got, &err), &err);
        const double c = cosine(got, spread, d, every);
        float worst = 0;
        for (int32_t i = 0; i < d; i += every) worst = fmaxf(worst, fabsf(got[i] - spread[i]));
        if (is_exact ? worst > 2e-5f : c < FAST_COSINE)
            fail_msg("%s of \"%.12s\": cosine %.6f, a number is off by %g", pooling_names()[p],
                     text, c, (double)worst);
    }

    struct request_params p = request_defaults();
    p.prompt = ids.id;
    p.n_prompt = n;
    p.n_predict = 0;
    p.score_from = 1;
    p.listener = listen;
    p.user = &h;
    assert_ok(engine_run(e, &p, &err), &err);
    assert_int_equal(h.n_scored, n - 1);
    assert_int_equal(read_numbers(json_get(row, "logprobs"), want, MAX_IDS), n - 1);
    for (int32_t i = 1; i < n; i++)
        if (fabsf(h.logprob[i] - want[i - 1]) > (is_exact ? 2e-3f : 0.8f))
            fail_msg("token %d of \"%.12s\": log-probability %g, want %g", i, text,
                     (double)h.logprob[i], (double)want[i - 1]);
    ids_release(&ids);
}

static void test_vectors_and_scores_are_those_of_transformers(void **state)
{
    struct err err = {0};
    struct buf text;
    struct json row;
    int64_t every = 0;
    (void)state;
    skip_without(smollm2_path(), "the default model (cria pull)");
    buf_init(&text, 1 << 20);
    assert_ok(file_read_all(golden_path("infer/embed.json"), 1 << 20, &text, &err), &err);
    struct json_doc *doc = json_parse(text.data, text.n_bytes, 1 << 20, "embed.json", &err);
    assert_ok(doc, &err);
    assert_true(json_i64(json_get(json_root(doc), "every"), &every));
    struct model *m = model_open(smollm2_path(), &err);
    assert_ok(m, &err);
    for (int v = 0; v<ops_n_variants(); v += ops_n_variants()> 1 ? ops_n_variants() - 1 : 1) {
        struct engine *e = open_engine(m, ops_variant(v)->name, 2, 32, 16);
        struct json_iter it = json_iter(json_get(json_root(doc), "texts"));
        while (json_next(&it, NULL, NULL, &row)) check_text(e, row, (int32_t)every, v == 0);
        engine_free(e);
    }
    model_close(m);
    json_free(doc);
    buf_release(&text);
}

/* ---- in company ---- */

static void make_prompt(int32_t *ids, int32_t n, uint32_t seed)
{
    for (int32_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        ids[i] = TINY_FIRST_WORD + (int32_t)(seed >> 16) % (TINY_VOCAB - TINY_FIRST_WORD);
    }
}

static struct request_params params_of(const int32_t *ids, int32_t n, struct heard *h)
{
    struct request_params p = request_defaults();
    *h = (struct heard){0};
    p.prompt = ids;
    p.n_prompt = n;
    p.sampling.temperature = 0;
    p.listener = listen_wide;
    p.user = h;
    return p;
}

static int64_t submit_pooled(struct engine *e, enum pooling how, const int32_t *ids, int32_t n,
                             struct heard *h)
{
    struct err err = {0};
    struct request_params p = params_of(ids, n, h);
    p.pooling = how;
    const int64_t handle = engine_submit(e, &p, &err);
    assert_ok(handle, &err);
    return handle;
}

static void run_all(struct engine *e)
{
    struct err err = {0};
    for (bool has_work = true; has_work;) assert_ok(engine_step(e, &has_work, &err), &err);
}

static void check_vector(const struct heard *got, const struct heard *want, const char *what)
{
    assert_int_equal(got->finish, FINISH_LENGTH);
    assert_true(got->has_vector);
    for (int i = 0; i < 64; i++)
        if (fabsf(got->vector[i] - want->vector[i]) > 1e-5f)
            fail_msg("%s: number %d is %g, want %g", what, i, (double)got->vector[i],
                     (double)want->vector[i]);
}

/* Long answers run, chats and vectors come in between, in batches that cut them anywhere. */
static void test_vectors_are_the_same_beside_answers(void **state)
{
    static struct heard alone[3], beside[3], chat[3];
    int32_t ids[3][90];
    struct err err = {0};
    struct engine *one = open_engine(*state, "generic", 1, 128, 0);
    struct engine *many = open_engine(*state, "generic", 4, 20, 0);
    const int64_t n_free = engine_free_tokens(many);
    for (uint32_t i = 0; i < 3; i++) make_prompt(ids[i], 90, i / 2); /* two begin alike */
    for (size_t how = 0; how < ARRAY_LEN(all_poolings); how++) {
        for (int32_t i = 0; i < 3; i++) {
            engine_clear_cache(one);
            submit_pooled(one, all_poolings[how], ids[i], 70 + i, &alone[i]);
            run_all(one);
        }
        for (int32_t i = 0; i < 3; i++) {
            struct request_params p = params_of(ids[i], 50, &chat[i]);
            p.n_predict = 40;
            assert_ok(engine_submit(many, &p, &err), &err);
            submit_pooled(many, all_poolings[how], ids[i], 70 + i, &beside[i]);
            bool has_work = true;
            for (int k = 0; k < 3; k++) assert_ok(engine_step(many, &has_work, &err), &err);
        }
        run_all(many);
        for (int32_t i = 0; i < 3; i++) {
            check_vector(&beside[i], &alone[i], pooling_names()[how]);
            if (!pooling_is_of_last(all_poolings[how])) assert_int_equal(beside[i].n_cached, 0);
        }
        engine_clear_cache(many);
        assert_int_equal(engine_free_tokens(many), n_free);
    }
    engine_free(one);
    engine_free(many);
}

/* A cached beginning: "last" goes on from it, the means read it again; and no vector is kept. */
static void test_the_prefix_cache_serves_only_what_it_can(void **state)
{
    static struct heard fresh, cached, other;
    int32_t ids[80];
    struct err err = {0};
    struct engine *e = open_engine(*state, "generic", 2, 64, 0);
    make_prompt(ids, 80, 7);
    for (size_t how = 0; how < ARRAY_LEN(all_poolings); how++) {
        engine_clear_cache(e);
        const int64_t n_free = engine_free_tokens(e);
        submit_pooled(e, all_poolings[how], ids, 80, &fresh);
        run_all(e);
        assert_int_equal(fresh.n_cached, 0);
        assert_int_equal(engine_free_tokens(e), n_free);
        struct request_params p = params_of(ids, 64, &other);
        p.n_predict = 4;
        assert_ok(engine_run(e, &p, &err), &err);
        submit_pooled(e, all_poolings[how], ids, 80, &cached);
        run_all(e);
        assert_int_equal(cached.n_cached, pooling_is_of_last(all_poolings[how]) ? 64 : 0);
        check_vector(&cached, &fresh, pooling_names()[how]);
    }
    engine_free(e);
}

/* ---- scores ---- */

struct rows {
    const int32_t *ids;
    float logprob[MAX_IDS];
};

static bool take_row(void *user, int32_t pos, const float *logits)
{
    struct rows *r = user;
    double sum = 0;
    for (int32_t i = 0; i < TINY_VOCAB; i++) sum += exp((double)logits[i]);
    r->logprob[pos + 1] = (float)((double)logits[r->ids[pos + 1]] - log(sum));
    return true;
}

/* However few rows of logits a step has, from whichever position, beside answers and with part of
 * the prompt cached. */
static void test_scores_are_those_of_the_logits(void **state)
{
    enum { N = 60 };
    static const struct {
        int32_t max_logit_rows, score_from, n_cached;
    } cases[] = {{0, 1, 0},   {3, 1, 0},   {20, 1, 0}, {64, 1, 0},
                 {3, 30, 29}, {64, 60, 0}, {9, 59, 44}};
    struct err err = {0};
    int32_t ids[N + 1];
    static struct heard h, warm, beside;
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct engine *e = open_engine(*state, "generic", 2, 64, cases[c].max_logit_rows);
        struct rows want = {.ids = ids};
        make_prompt(ids, N + 1, 11);
        assert_ok(engine_score(e, ids, N, 0, take_row, &want, &err), &err);
        struct request_params p = params_of(ids, 44, &warm);
        p.n_predict = 1;
        if (cases[c].n_cached) assert_ok(engine_run(e, &p, &err), &err);
        p = params_of(ids + 3, 20, &beside);
        p.n_predict = 50;
        assert_ok(engine_submit(e, &p, &err), &err);
        p = params_of(ids, N, &h);
        p.score_from = cases[c].score_from;
        p.n_predict = 0;
        assert_ok(engine_submit(e, &p, &err), &err);
        run_all(e);
        assert_int_equal(h.finish, FINISH_LENGTH);
        assert_int_equal(beside.finish, FINISH_LENGTH);
        assert_int_equal(h.n_cached, cases[c].n_cached);
        assert_int_equal(h.n_scored, cases[c].score_from < N ? N - cases[c].score_from : 0);
        for (int32_t i = cases[c].score_from; i < N; i++)
            if (fabsf(h.logprob[i] - want.logprob[i]) > 1e-4f)
                fail_msg("case %zu, token %d: %g, want %g", c, i, (double)h.logprob[i],
                         (double)want.logprob[i]);
        engine_free(e);
    }
}

/* The answers go on behind a scored prompt as behind any other. */
static void test_answers_follow_scored_prompts(void **state)
{
    static struct heard plain, scored;
    int32_t ids[40];
    struct err err = {0};
    struct engine *e = open_engine(*state, "generic", 3, 16, 8);
    make_prompt(ids, 40, 5);
    for (int is_scored = 0; is_scored < 2; is_scored++) {
        struct request_params p = params_of(ids, 40, is_scored ? &scored : &plain);
        p.n_predict = 9;
        p.n_answers = 2;
        p.sampling.temperature = 1;
        p.score_from = is_scored;
        engine_clear_cache(e);
        assert_ok(engine_run(e, &p, &err), &err);
    }
    assert_int_equal(scored.n_scored, 39);
    assert_int_equal(plain.n_scored, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(scored.n_answer[i], 9);
        assert_memory_equal(scored.answer[i], plain.answer[i], 9 * sizeof(int32_t));
    }
    assert_memory_not_equal(plain.answer[0], plain.answer[1], 9 * sizeof(int32_t));
    engine_free(e);
}

/* ---- many texts ---- */

static void test_many_texts_at_once(void **state)
{
    enum { N = 700 };
    struct err err = {0};
    struct engine *e = open_engine(*state, "generic", 8, 64, 0);
    int32_t(*id)[N_TINY] = calloc(N, sizeof *id);
    struct ids *text = calloc(N, sizeof *text);
    float *all = calloc((size_t)N * 64, sizeof *all), one[64];
    assert_int_equal(embed_width(e), 64);
    for (size_t i = 0; i < N; i++) {
        make_prompt(id[i], N_TINY, (uint32_t)i);
        text[i] = (struct ids){.id = id[i], .n = 1 + i % N_TINY};
    }
    assert_ok(engine_embed(e, POOL_WEIGHTED, text, N, all, &err), &err);
    for (size_t i = 0; i < N; i += 97) {
        assert_ok(engine_embed(e, POOL_WEIGHTED, &text[i], 1, one, &err), &err);
        for (size_t k = 0; k < 64; k++) assert_true(fabsf(one[k] - all[i * 64 + k]) < 1e-5f);
    }
    assert_ok(engine_embed(e, POOL_MEAN, text, 0, all, &err), &err);

    static const struct {
        int32_t id;
        size_t n;
        enum err_code code;
        const char *says;
    } bad[] = {{300, 1, ERR_USAGE, "text 600: prompt: id 300 at 0 is no token"},
               {260, 0, ERR_USAGE, "text 600: prompt: 0 tokens"},
               {260, 257, ERR_LIMIT, "text 600: prompt: 257 tokens do not fit"},
               {260, (size_t)1 << 40, ERR_LIMIT, "do not fit"}};
    int32_t long_ids[257] = {0};
    for (size_t c = 0; c < ARRAY_LEN(bad); c++) {
        long_ids[0] = bad[c].id;
        text[599] = (struct ids){.id = long_ids, .n = bad[c].n};
        err = (struct err){0};
        assert_false(engine_embed(e, POOL_MEAN, text, N, all, &err));
        if (err.code != bad[c].code || !strstr(err.text, bad[c].says))
            fail_msg("case %zu: \"%s\"", c, err.text);
        assert_int_equal(engine_status(e).n_running, 0);
    }
    engine_free(e);
    free(id);
    free(text);
    free(all);
}

/* ---- what is refused, what is cancelled ---- */

static void test_what_cannot_be_asked_together(void **state)
{
    static struct heard h;
    static const struct {
        enum pooling pooling;
        int32_t n_answers, n_stop, score_from;
        const char *says;
    } cases[] = {
        {POOL_MEAN, 2, 0, 0, "pooling with several answers"},
        {POOL_LAST, 1, 1, 0, "pooling with several answers"},
        {POOL_LAST, 1, 0, 3, "pooling with several answers"},
        {POOL_NONE, 1, 0, -1, "score_from: -1"},
        {POOL_NONE, 1, 0, 9, "score_from: 9; give 0 to 8"},
    };
    int32_t ids[8];
    struct engine *e = open_engine(*state, "generic", 2, 64, 0);
    make_prompt(ids, 8, 1);
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct err err = {0};
        struct request_params p = params_of(ids, 8, &h);
        p.pooling = cases[c].pooling;
        p.n_answers = cases[c].n_answers;
        p.stop[0] = "x";
        p.n_stop = cases[c].n_stop;
        p.score_from = cases[c].score_from;
        assert_int_equal(engine_submit(e, &p, &err), 0);
        if (err.code != ERR_USAGE || !strstr(err.text, cases[c].says))
            fail_msg("case %zu: \"%s\"", c, err.text);
    }
    engine_free(e);
}

static void test_a_cancelled_text_has_no_vector(void **state)
{
    static struct heard h;
    int32_t ids[80];
    struct err err = {0};
    bool has_work = true;
    struct engine *e = open_engine(*state, "generic", 2, 16, 0);
    const int64_t n_free = engine_free_tokens(e);
    make_prompt(ids, 80, 3);
    const int64_t handle = submit_pooled(e, POOL_MEAN, ids, 80, &h);
    assert_ok(engine_step(e, &has_work, &err), &err);
    engine_cancel(e, handle);
    run_all(e);
    assert_int_equal(h.finish, FINISH_CANCEL);
    assert_false(h.has_vector);
    assert_int_equal(engine_free_tokens(e), n_free);
    engine_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pooled_vectors_are_weighted_sums_of_length_one),
        cmocka_unit_test(test_vectors_are_shortened_to_length_one),
        cmocka_unit_test(test_vectors_and_scores_are_those_of_transformers),
        cmocka_unit_test(test_vectors_are_the_same_beside_answers),
        cmocka_unit_test(test_the_prefix_cache_serves_only_what_it_can),
        cmocka_unit_test(test_scores_are_those_of_the_logits),
        cmocka_unit_test(test_answers_follow_scored_prompts),
        cmocka_unit_test(test_many_texts_at_once),
        cmocka_unit_test(test_what_cannot_be_asked_together),
        cmocka_unit_test(test_a_cancelled_text_has_no_vector),
    };
    return cmocka_run_group_tests(tests, tiny_model_setup, tiny_model_teardown);
}
