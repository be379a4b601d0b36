/* SPDX-License-Identifier: Apache-2.0
 *
 * test_speculation.c - guessing ahead changes no answer: for each seed, temperature and setting the
 * tokens, texts, log-probabilities and ends are to the bit those of an engine that does not guess,
 * on every kernel set, with guesses from the text and from a smaller model; stops, limits, cancels
 * and shifts in the middle of accepted guesses; no page is lost; a step allocates nothing.
 *
 * That the same seed gives the same answer says more than that a test of the distribution over many
 * seeds would: one such seed that differs fails.
 */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "fault.h"
#include "infer/engine.h"
#include "infer/lookup.h"
#include "model/smollm2.h"
#include "tiny_model.h"
#include "tools/llama2c_to_gguf.h"

enum { MAX_TOKENS = 400, MAX_ANSWERS = 4 };

/* All that was told of one answer. */
struct heard {
    int32_t ids[MAX_TOKENS], n;
    float logprob[MAX_TOKENS];
    char text[8192];
    size_t n_text;
    enum finish finish;
    char stop_text[32];
    int32_t n_drafted, n_accepted;
};

struct ear {
    struct heard answer[MAX_ANSWERS];
    int32_t cancel_after; /* 0: never */
};

static bool listen(void *user, const struct engine_event *ev)
{
    struct ear *ear = user;
    struct heard *h = &ear->answer[ev->i_answer];
    assert_int_equal(h->finish, FINISH_NONE);
    assert_true(h->n_text + ev->n_text < sizeof h->text && h->n < MAX_TOKENS);
    memcpy(h->text + h->n_text, ev->text, ev->n_text);
    h->n_text += ev->n_text;
    if (ev->token >= 0) {
        h->ids[h->n] = ev->token;
        h->logprob[h->n++] = ev->sampled->logprob;
    }
    assert_int_equal(ev->n_generated, h->n);
    assert_true(ev->n_accepted <= ev->n_drafted && ev->n_accepted <= h->n);
    h->n_drafted = ev->n_drafted;
    h->n_accepted = ev->n_accepted;
    h->finish = ev->finish;
    if (ev->stop_text) snprintf(h->stop_text, sizeof h->stop_text, "%s", ev->stop_text);
    return ear->cancel_after == 0 || h->n < ear->cancel_after;
}

static struct engine *open_engine(const struct model *m, const struct engine_options *opt)
{
    struct err err = {0};
    struct engine *e = engine_new(m, opt, &err);
    assert_ok(e, &err);
    return e;
}

static struct engine_options options(int32_t n_draft)
{
    return (struct engine_options){.n_threads = 2,
                                   .n_ctx = 128,
                                   .n_seqs = MAX_ANSWERS,
                                   .max_batch_tok = 64,
                                   .kv_dtype = DT_F16,
                                   .n_draft = n_draft};
}

/* A prompt that repeats itself with the given period. */
static int32_t prompt_of(int32_t i, int32_t n, int32_t *ids)
{
    ids[0] = 1;
    for (int32_t j = 1; j < n; j++) ids[j] = TINY_FIRST_WORD + j % (3 + i) * (5 + i) % 41;
    return n;
}

static struct request_params request(const int32_t *ids, int32_t n, int32_t n_predict)
{
    struct request_params p = request_defaults();
    p.prompt = ids, p.n_prompt = n, p.n_predict = n_predict;
    p.sampling.n_logprobs = 2;
    p.ignores_eos = true;
    p.listener = listen;
    return p;
}

static void run(struct engine *e, struct request_params *p, struct ear *ear, int32_t cancel_after)
{
    struct err err = {0};
    memset(ear, 0, sizeof *ear);
    ear->cancel_after = cancel_after;
    p->user = ear;
    engine_clear_cache(e);
    const int64_t n_free = engine_free_tokens(e);
    assert_ok(engine_run(e, p, &err), &err);
    engine_clear_cache(e);
    assert_int_equal(engine_free_tokens(e), n_free);
}

static void check_same(const char *what, const struct heard *got, const struct heard *want)
{
    for (int32_t i = 0; i < got->n && i < want->n; i++)
        if (got->ids[i] != want->ids[i] ||
            memcmp(&got->logprob[i], &want->logprob[i], sizeof *got->logprob) != 0)
            fail_msg("%s: token %d is %d (%.9g), without guesses %d (%.9g)", what, (int)i,
                     (int)got->ids[i], (double)got->logprob[i], (int)want->ids[i],
                     (double)want->logprob[i]);
    if (got->n != want->n || got->finish != want->finish || got->n_text != want->n_text ||
        memcmp(got->text, want->text, got->n_text) != 0 ||
        strcmp(got->stop_text, want->stop_text) != 0)
        fail_msg("%s: %d tokens, %s, \"%.*s\"; without guesses %d, %s, \"%.*s\"", what, (int)got->n,
                 finish_name(got->finish), (int)got->n_text, got->text, (int)want->n,
                 finish_name(want->finish), (int)want->n_text, want->text);
}

/* ---- the same answers ---- */

static const struct setting {
    const char *what;
    struct sampler_params p; /* what differs from the defaults below */
} settings[] = {
    /* clang-format off */
    {"greedy",             {.temperature = 0}},
    {"greedy, penalties",  {.temperature = 0, .repeat_penalty = 1.1f, .dry_multiplier = 0.5f}},
    {"cold",               {.temperature = 0.3f}},
    {"warm",               {.temperature = 1, .top_k = 20}},
    {"hot, penalties",     {.temperature = 1.5f, .frequency_penalty = 0.2f}},
    {"xtc",                {.temperature = 1, .xtc_probability = 0.5f}},
    {"mirostat",           {.temperature = 1, .mirostat_tau = 2}},
    /* clang-format on */
};

static struct sampler_params sampling_of(const struct setting *s, uint64_t seed)
{
    struct sampler_params p = sampler_defaults();
    p.seed = seed;
    p.temperature = s->p.temperature;
    if (s->p.top_k) p.top_k = s->p.top_k;
    if (s->p.repeat_penalty != 0) p.repeat_penalty = s->p.repeat_penalty;
    p.dry_multiplier = s->p.dry_multiplier;
    p.frequency_penalty = s->p.frequency_penalty;
    p.xtc_probability = s->p.xtc_probability;
    p.mirostat_tau = s->p.mirostat_tau;
    p.n_logprobs = 2;
    return p;
}

/* Both engines, prompt by prompt; returns how many guesses came true. */
static int32_t compare(struct engine *plain, struct engine *guessing, const struct setting *s,
                       int32_t n_prompts, int32_t n_predict)
{
    static struct ear want, got;
    int32_t ids[128], n_accepted = 0;
    for (int32_t i = 0; i < n_prompts; i++) {
        struct request_params p = request(ids, prompt_of(i, 8 + 9 * i, ids), n_predict);
        p.sampling = sampling_of(s, (uint64_t)i);
        run(plain, &p, &want, 0);
        run(guessing, &p, &got, 0);
        check_same(s->what, &got.answer[0], &want.answer[0]);
        assert_int_equal(want.answer[0].n_drafted, 0);
        n_accepted += got.answer[0].n_accepted;
    }
    return n_accepted;
}

static void test_settings_answer_as_without_guesses(void **state)
{
    const struct model *m = *state;
    struct model *other = tiny_model_open(3);
    struct engine_options opt = options(0);
    struct engine *plain = open_engine(m, &opt);
    opt.n_draft = ENGINE_MAX_DRAFT;
    struct engine *by_text = open_engine(m, &opt);
    opt.draft_model = m;
    struct engine *by_self = open_engine(m, &opt);
    opt.draft_model = other;
    struct engine *by_other = open_engine(m, &opt);
    int32_t n_text = 0;
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        n_text += compare(plain, by_text, &settings[i], 8, 40);
        /* the model guesses itself right, but for what the lookup proposes and penalties */
        assert_true(compare(plain, by_self, &settings[i], 8, 40) > 100);
        compare(plain, by_other, &settings[i], 8, 40);
    }

    assert_true(n_text > 15);
    const struct engine_status status = engine_status(by_self);
    assert_true(status.n_drafted >= status.n_accepted && status.n_accepted > 500);
    engine_free(plain);
    engine_free(by_text);
    engine_free(by_self);
    engine_free(by_other);
    model_close(other);
}

static void test_every_kernel_set_and_cache_type(void **state)
{
    static const enum dtype types[] = {DT_F32, DT_F16, DT_BF16};
    const struct model *m = *state;
    for (int v = 0; v < ops_n_variants(); v++)
        for (size_t t = 0; t < ARRAY_LEN(types); t++) {
            struct engine_options opt = options(0);
            opt.isa = ops_variant(v)->name;
            opt.kv_dtype = types[t];
            struct engine *plain = open_engine(m, &opt);
            opt.n_draft = ENGINE_MAX_DRAFT;
            opt.draft_model = m;
            struct engine *guessing = open_engine(m, &opt);
            for (size_t i = 0; i < 4; i++) compare(plain, guessing, &settings[i], 3, 30);
            engine_free(plain);
            engine_free(guessing);
        }
}

/* 150 seeds: each differs from the plain engine's in nothing. */
static void test_many_seeds(void **state)
{
    static struct ear want, got;
    const struct model *m = *state;
    struct engine_options opt = options(0);
    struct engine *plain = open_engine(m, &opt);
    opt.n_draft = ENGINE_MAX_DRAFT;
    opt.draft_model = m;
    struct engine *guessing = open_engine(m, &opt);
    int32_t ids[64];
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct request_params p = request(ids, prompt_of(2, 20, ids), 6);
        p.sampling = sampling_of(&settings[3], seed);
        run(plain, &p, &want, 0);
        run(guessing, &p, &got, 0);
        check_same("seed", &got.answer[0], &want.answer[0]);
    }
    assert_true(engine_status(guessing).n_accepted > 150);
    engine_free(plain);
    engine_free(guessing);
}

/* ---- ends in the middle of what was guessed ---- */

static void test_ends_within_accepted_guesses(void **state)
{
    static struct ear whole, want, got;
    const struct model *m = *state;
    struct engine_options opt = options(0);
    struct engine *plain = open_engine(m, &opt);
    opt.n_draft = ENGINE_MAX_DRAFT;
    opt.draft_model = m; /* so that nearly all guesses come true */
    struct engine *guessing = open_engine(m, &opt);
    int32_t ids[128];
    for (int32_t n = 1; n <= 24; n++) { /* n_predict; cancelled; a stop string; the context */
        struct request_params p = request(ids, prompt_of(1, 12, ids), n);
        p.sampling.temperature = 0;
        run(plain, &p, &want, 0);
        run(guessing, &p, &got, 0);
        check_same("n_predict", &got.answer[0], &want.answer[0]);
        assert_int_equal(got.answer[0].n, n);
        p.n_predict = -1;
        run(guessing, &p, &got, n);
        assert_int_equal(got.answer[0].n, n);
        assert_int_equal(got.answer[0].finish, FINISH_CANCEL);
        p.n_predict = 60;
        run(plain, &p, &whole, 0);
        char stop[4] = {0};
        memcpy(stop, whole.answer[0].text + 2 * n, 3);
        p.stop[0] = stop, p.n_stop = 1;
        run(plain, &p, &want, 0);
        run(guessing, &p, &got, 0);
        check_same("stop string", &got.answer[0], &want.answer[0]);
        assert_int_equal(got.answer[0].finish, FINISH_STOP);
        struct request_params q = request(ids, prompt_of(1, 100 + n, ids), -1);
        q.sampling.temperature = 0;
        run(plain, &q, &want, 0);
        run(guessing, &q, &got, 0);
        check_same("context", &got.answer[0], &want.answer[0]);
        assert_int_equal(got.answer[0].finish, FINISH_CONTEXT);
        q.shifts_context = true, q.n_keep = 4, q.n_predict = 200;
        run(plain, &q, &want, 0);
        run(guessing, &q, &got, 0);
        check_same("shift", &got.answer[0], &want.answer[0]);
    }
    assert_true(got.answer[0].n_accepted > 100);
    engine_free(plain);
    engine_free(guessing);
}

/* What is kept of an ended answer is what was told, not what was guessed behind it. */
static void test_the_next_turn_finds_the_answer(void **state)
{
    static struct ear ear;
    struct err err = {0};
    const struct model *m = *state;
    struct engine_options opt = options(ENGINE_MAX_DRAFT);
    opt.draft_model = m;
    struct engine *e = open_engine(m, &opt);
    for (int32_t n = 2; n < 14; n++) {
        int32_t ids[128];
        struct request_params p = request(ids, prompt_of(3, 30, ids), 40);
        p.sampling.temperature = 0;
        run(e, &p, &ear, 0);
        const struct heard whole = ear.answer[0];
        memset(&ear, 0, sizeof ear);
        p.n_predict = n;
        assert_ok(engine_run(e, &p, &err), &err);
        memcpy(ids + 30, whole.ids, 10 * sizeof *ids);
        p.n_prompt = 40, p.n_predict = 30;
        memset(&ear, 0, sizeof ear);
        assert_ok(engine_run(e, &p, &err), &err);
        for (int32_t i = 0; i < 30; i++) assert_int_equal(ear.answer[0].ids[i], whole.ids[10 + i]);
    }
    engine_free(e);
}

/* ---- many at once ---- */

static void test_requests_mixed(void **state)
{
    static struct ear want, ears[12];
    static int32_t ids[12][128];
    const struct model *m = *state;
    struct err err = {0};
    struct engine_options opt = options(0);
    opt.kv_dtype = DT_F32; /* the tiny model's greedy choices stand above rounding, test_engine.c */
    struct engine *plain = open_engine(m, &opt);
    opt.n_draft = ENGINE_MAX_DRAFT;
    opt.draft_model = m;
    struct engine *guessing = open_engine(m, &opt);
    memset(ears, 0, sizeof ears);
    for (int32_t i = 0; i < 12; i++) {
        struct request_params p =
            request(ids[i], prompt_of(i % 7, 5 + 6 * i, ids[i]), 20 + 3 * i % 17);
        p.sampling.temperature = 0;
        p.n_answers = i == 5 ? 3 : 1;
        p.user = &ears[i];
        assert_ok(engine_submit(guessing, &p, &err), &err);
    }
    for (bool has_work = true; has_work;) assert_ok(engine_step(guessing, &has_work, &err), &err);
    for (int32_t i = 0; i < 12; i++) {
        struct request_params p =
            request(ids[i], prompt_of(i % 7, 5 + 6 * i, ids[i]), 20 + 3 * i % 17);
        p.sampling.temperature = 0;
        run(plain, &p, &want, 0);
        for (int32_t k = 0; k < (i == 5 ? 3 : 1); k++) {
            const struct heard *h = &ears[i].answer[k], *w = &want.answer[0];
            assert_int_equal(h->n, w->n);
            assert_memory_equal(h->ids, w->ids, (size_t)h->n * sizeof *h->ids);
        }
    }
    assert_true(engine_status(guessing).n_accepted > 30);
    engine_free(plain);
    engine_free(guessing);
}

/* ---- refusals and faults ---- */

static struct model *open_stories(void)
{
    struct err err = {0};
    char bin[1024], tok[1024], out[64];
    const char *path = data_path("stories260K/stories260K.bin");
    if (!path) return NULL;
    snprintf(bin, sizeof bin, "%s", path);
    path = data_path("stories260K/tok512.bin");
    if (!path) return NULL;
    snprintf(tok, sizeof tok, "%s", path);
    snprintf(out, sizeof out, "/tmp/cria-guess-stories-%d.gguf", (int)getpid());
    assert_ok(llama2c_to_gguf(bin, tok, out, &err), &err);
    struct model *m = model_open(out, &err);
    unlink(out);
    assert_ok(m, &err);
    return m;
}

static void test_another_vocabulary_is_refused(void **state)
{
    struct model *other = open_stories();
    skip_without(other, "stories260K");
    struct engine_options opt = options(2);
    struct err err = {0};
    opt.draft_model = other;
    assert_null(engine_new(*state, &opt, &err));
    assert_int_equal(err.code, ERR_USAGE);
    assert_non_null(strstr(err.text, "tiny"));
    assert_non_null(strstr(err.text, "512"));
    opt.draft_model = NULL;
    opt.n_draft = ENGINE_MAX_DRAFT + 1;
    assert_null(engine_new(*state, &opt, &err));
    assert_non_null(strstr(err.text, "n_draft"));
    model_close(other);
}

static void test_engine_new_survives_each_failure(void **state)
{
    struct engine_options opt = options(3);
    opt.draft_model = *state;
    for (unsigned stays = 0; stays <= FAULT_STAYS; stays += FAULT_STAYS)
        for (int64_t n = 1, was_hit = true; was_hit; n++) {
            struct err err = {0};
            fault_arm(FAULT_MEMORY | stays, n);
            struct engine *e = engine_new(*state, &opt, &err);
            was_hit = fault_disarm();
            if (!e && err.code == ERR_OK) fail_msg("call %d: no reason given", (int)n);
            if (!was_hit) assert_ok(e, &err);
            engine_free(e);
        }
}

static void test_steps_allocate_nothing(void **state)
{
    static struct ear ear;
    struct err err = {0};
    struct engine_options opt = options(ENGINE_MAX_DRAFT);
    opt.draft_model = *state;
    struct engine *e = open_engine(*state, &opt);
    int32_t ids[64];
    for (int32_t round = 0; round < 2; round++) {
        memset(&ear, 0, sizeof ear);
        struct request_params p = request(ids, prompt_of(round, 40, ids), 40);
        p.user = &ear;
        assert_ok(engine_submit(e, &p, &err), &err);
        fault_arm(FAULT_MEMORY | FAULT_STAYS, 1);
        for (bool has_work = true; has_work;) assert_ok(engine_step(e, &has_work, &err), &err);
        assert_false(fault_disarm());
        assert_true(ear.answer[0].n_drafted > 0);
    }
    engine_free(e);
}

/* ---- the table of n-grams ---- */

static const struct lookup_case {
    const char *what;
    int32_t ids[24], n;
    int32_t end, n_same;
} lookup_cases[] = {
    /* clang-format off */
    {"empty",                        {0},                                      0,  0, 0},
    {"too short",                    {1, 1, 1, 1},                             4,  0, 0},
    {"its own end is no find",       {1, 2, 3, 4, 5, 6},                       6,  0, 0},
    {"a run overlaps itself",        {7, 7, 7, 7, 7, 7},                       6,  5, 5},
    {"three alike are too few",      {1, 2, 3, 9, 8, 1, 2, 3},                 8,  0, 0},
    {"four alike",                   {1, 2, 3, 4, 9, 8, 1, 2, 3, 4},          10,  4, 4},
    {"counts as far back as alike",  {5, 1, 2, 3, 4, 9, 8, 5, 1, 2, 3, 4},    12,  5, 5},
    {"the latest place wins",        {1, 2, 3, 4, 5, 1, 2, 3, 4, 6, 1, 2, 3, 4}, 14, 9, 4},
    /* clang-format on */
};

static void test_lookup(void **state)
{
    (void)state;
    struct err err = {0};
    struct lookup l;
    assert_ok(lookup_init(&l, 64, &err), &err);
    for (size_t i = 0; i < ARRAY_LEN(lookup_cases); i++) /* what earlier rows left is harmless */
        for (int32_t begin = 0; begin <= lookup_cases[i].n;
             begin += 3) { /* asked on the way, too */
            const struct lookup_case *c = &lookup_cases[i];
            int32_t n_same = -1;
            lookup_begin(&l);
            for (int32_t n = begin; n < c->n; n++) lookup_find(&l, c->ids, n, &n_same);
            const int32_t end = lookup_find(&l, c->ids, c->n, &n_same);
            if (end != c->end || n_same != c->n_same)
                fail_msg("%s: %d (%d alike), want %d (%d)", c->what, (int)end, (int)n_same,
                         (int)c->end, (int)c->n_same);
        }
    lookup_release(&l);
}

/* ---- real weights ---- */

/* A context long enough that attention cuts it into chunks; `ids` repeat themselves. */
static void check_real(const struct model *m, int32_t n_prompt, int32_t n_predict)
{
    static struct ear want, got;
    static int32_t ids[512];
    const int first =
        model_info(m)->n_params < 1000000 ? 0 : ops_n_variants() - 1; /* the rest is slow */
    for (int v = first; v < ops_n_variants(); v++) {
        struct engine_options opt = {.n_threads = 2, .n_ctx = 512, .isa = ops_variant(v)->name};
        opt.kv_dtype = DT_F16;
        struct engine *plain = open_engine(m, &opt);
        opt.n_draft = ENGINE_MAX_DRAFT;
        struct engine *guessing = open_engine(m, &opt);
        for (int32_t i = 0; i < n_prompt; i++) ids[i] = i ? 300 + i * i % 53 % 31 : 1;
        for (int32_t i = 0; i < 2; i++) {
            struct request_params p = request(ids, n_prompt, n_predict);
            p.sampling.temperature = i ? 0.7f : 0;
            run(plain, &p, &want, 0);
            run(guessing, &p, &got, 0);
            check_same(ops_variant(v)->name, &got.answer[0], &want.answer[0]);
            assert_true(i == 1 || got.answer[0].n_drafted > 0);
        }
        engine_free(plain);
        engine_free(guessing);
    }
}

static void test_stories(void **state)
{
    (void)state;
    struct model *m = open_stories();
    skip_without(m, "stories260K");
    check_real(m, 240, 120);
    model_close(m);
}

static void test_default_model(void **state)
{
    (void)state;
    struct err err = {0};
    const char *path = smollm2_path();
    skip_without(path, "the default model");
    struct model *m = model_open(path, &err);
    assert_ok(m, &err);
    check_real(m, 232, 40);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_settings_answer_as_without_guesses),
        cmocka_unit_test(test_every_kernel_set_and_cache_type),
        cmocka_unit_test(test_many_seeds),
        cmocka_unit_test(test_ends_within_accepted_guesses),
        cmocka_unit_test(test_the_next_turn_finds_the_answer),
        cmocka_unit_test(test_requests_mixed),
        cmocka_unit_test(test_another_vocabulary_is_refused),
        cmocka_unit_test(test_engine_new_survives_each_failure),
        cmocka_unit_test(test_steps_allocate_nothing),
        cmocka_unit_test(test_stories),
        cmocka_unit_test(test_default_model),
    };
    return cmocka_run_group_tests(tests, tiny_model_setup, tiny_model_teardown);
}
