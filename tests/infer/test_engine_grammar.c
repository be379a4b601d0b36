/* SPDX-License-Identifier: Apache-2.0
 *
 * test_engine_grammar.c - answers that a grammar binds: whatever the seed and temperature they fit,
 * several at once and each its own; guessing ahead changes none; they end when nothing can follow;
 * what cannot be kept is an error, never free text; the default model writes JSON for a schema.
 */
#include "test.h"

#include <math.h>

#include "base/json.h"
#include "fault.h"
#include "infer/engine.h"
#include "infer/stack_sets.h"
#include "model/smollm2.h"
#include "tiny_model.h"

enum { MAX_ANSWERS = 4 };

struct ear {
    struct {
        char text[4096];
        size_t n;
        int32_t n_tokens, n_accepted;
        enum finish finish;
        char why[200];
    } answer[MAX_ANSWERS];
};

static bool listen(void *user, const struct engine_event *ev)
{
    struct ear *ear = user;
    assert_true(ear->answer[ev->i_answer].n + ev->n_text < sizeof ear->answer[0].text);
    memcpy(ear->answer[ev->i_answer].text + ear->answer[ev->i_answer].n, ev->text, ev->n_text);
    ear->answer[ev->i_answer].n += ev->n_text;
    ear->answer[ev->i_answer].n_tokens += ev->token >= 0;
    ear->answer[ev->i_answer].n_accepted = ev->n_accepted;
    ear->answer[ev->i_answer].finish = ev->finish;
    if (ev->err) snprintf(ear->answer[ev->i_answer].why, 200, "%.199s", ev->err->text);
    return true;
}

static struct engine *open_engine(const struct model *m, const struct model *draft, int32_t n_ctx)
{
    struct err err = {0};
    const struct engine_options opt = {.n_threads = 2,
                                       .n_ctx = n_ctx,
                                       .n_seqs = MAX_ANSWERS,
                                       .max_batch_tok = 64,
                                       .kv_dtype = DT_F16,
                                       .n_draft = draft ? ENGINE_MAX_DRAFT : 0,
                                       .draft_model = draft};
    struct engine *e = engine_new(m, &opt, &err);
    assert_ok(e, &err);
    return e;
}

static struct grammar *regex(const char *text)
{
    struct err err = {0};
    struct grammar *g = grammar_from_regex(text, strlen(text), "it", &err);
    assert_ok(g, &err);
    return g;
}

static bool fits(const struct grammar *g, const char *text, size_t n)
{
    struct err err = {0};
    struct stack_sets *s = stack_sets_new(g, &err);
    assert_ok(s, &err);
    stack_sets_set_budget(s, 100000000);
    int32_t set = stack_sets_start(s, 0, &err);
    for (size_t i = 0; i < n && set > SET_DEAD; i++)
        set = stack_sets_step(s, set, (uint8_t)text[i], &err);
    const bool is_whole = set > SET_DEAD && stack_sets_is_whole(s, set);
    stack_sets_free(s);
    return is_whole;
}

static struct request_params request(struct grammar *g, int32_t n_answers, uint64_t seed,
                                     float temperature)
{
    static const int32_t prompt[] = {1, TINY_FIRST_WORD, TINY_FIRST_WORD + 3, TINY_FIRST_WORD};
    struct request_params p = request_defaults();
    p.prompt = prompt, p.n_prompt = 4;
    p.n_predict = 200;
    p.n_answers = n_answers;
    p.grammar = g;
    p.sampling.seed = seed;
    p.sampling.temperature = temperature;
    p.sampling.top_k = temperature > 1 ? 0 : 40;
    p.listener = listen;
    return p;
}

static void run(struct engine *e, struct request_params *p, struct ear *ear)
{
    struct err err = {0};
    memset(ear, 0, sizeof *ear);
    p->user = ear;
    assert_ok(engine_run(e, p, &err), &err);
}

static const char *const bounded[] = {
    "[a-z ]{3,40}!",
    "\\{\"a\": (1|22|333), \"b\": \"[^\"\\\\]{0,12}\"\\}",
    "(yes|no|[0-9]{1,3}%)",
    "(\xE2\x82\xAC|\xF0\x9F\x98\x80){2,9}",
};

static void test_answers_fit(void **state)
{
    static struct ear plain, guessed;
    const struct model *m = *state;
    struct engine *e = open_engine(m, NULL, 256), *g = open_engine(m, m, 256);
    int32_t n_accepted = 0;
    for (size_t i = 0; i < ARRAY_LEN(bounded); i++) {
        struct grammar *gr = regex(bounded[i]);
        for (uint64_t seed = 0; seed < 12; seed++) {
            struct request_params p =
                request(gr, 1 + (int32_t)(seed % 3), seed, 0.5f * (float)(seed % 5));
            run(e, &p, &plain);
            run(g, &p, &guessed);
            for (int32_t k = 0; k < p.n_answers; k++) {
                if (plain.answer[k].finish != FINISH_STOP)
                    fail_msg("%s: ended by %s: %s", bounded[i], finish_name(plain.answer[k].finish),
                             plain.answer[k].why);
                if (!fits(gr, plain.answer[k].text, plain.answer[k].n))
                    fail_msg("%s: \"%s\"", bounded[i], plain.answer[k].text);
                /* the same to the byte with guesses */
                assert_string_equal(guessed.answer[k].text, plain.answer[k].text);
                assert_int_equal(guessed.answer[k].n_tokens, plain.answer[k].n_tokens);
                n_accepted += guessed.answer[k].n_accepted;
            }
        }
        grammar_free(gr);
    }
    assert_true(n_accepted > 20);
    engine_free(e);
    engine_free(g);
}

static void test_requests_with_their_own_grammars(void **state)
{
    static struct ear ear[MAX_ANSWERS];
    const struct model *m = *state;
    struct err err = {0};
    struct engine *e = open_engine(m, NULL, 256);
    for (int round = 0; round < 12; round++) {
        struct grammar *g[MAX_ANSWERS];
        for (int i = 0; i < MAX_ANSWERS; i++) {
            char text[64];
            snprintf(text, sizeof text, "%c{%d}[b-y ]{1,20}z", 'a' + (round + i) % 20, round + 1);
            g[i] = i == 3 ? NULL : regex(text); /* one is free */
            memset(&ear[i], 0, sizeof ear[i]);
            struct request_params p = request(g[i], 1, (uint64_t)round, 1);
            p.n_predict = 60;
            p.user = &ear[i];
            assert_true(engine_submit(e, &p, &err) > 0);
        }
        for (bool has_work = true; has_work;) assert_ok(engine_step(e, &has_work, &err), &err);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(ear[i].answer[0].finish, FINISH_STOP);
            assert_true(fits(g[i], ear[i].answer[0].text, ear[i].answer[0].n));
            grammar_free(g[i]);
        }
    }
    engine_free(e);
}

static void test_what_cannot_be_kept_is_an_error(void **state)
{
    static struct ear ear;
    const struct model *m = *state;
    struct err err = {0};
    struct engine *e = open_engine(m, NULL, 64);
    struct grammar *g = regex("[xy]+");
    struct request_params p = request(g, 1, 1, 1);
    p.ignores_eos = true;
    assert_int_equal(engine_submit(e, &p, &err), 0);
    assert_int_equal(err.code, ERR_USAGE);
    p.ignores_eos = false;
    /* all tokens that could begin with x or y are banned: the bytes, and the words */
    static struct logit_bias bias[TINY_VOCAB];
    for (int32_t i = 0; i < TINY_VOCAB; i++) bias[i] = (struct logit_bias){i, -INFINITY};
    p.sampling.bias = bias, p.sampling.n_bias = TINY_VOCAB;
    for (int greedy = 0; greedy < 2; greedy++) {
        p.sampling.temperature = greedy ? 0 : 1;
        run(e, &p, &ear);
        assert_int_equal(ear.answer[0].finish, FINISH_ERROR);
        assert_non_null(strstr(ear.answer[0].why, "the grammar"));
        assert_int_equal(ear.answer[0].n, 0);
    }
    p.sampling.n_bias = 0;
    p.n_predict = 5; /* cut: not whole, but a beginning of it */
    run(e, &p, &ear);
    assert_true(ear.answer[0].finish == FINISH_LENGTH || ear.answer[0].finish == FINISH_STOP);
    for (size_t i = 0; i < ear.answer[0].n; i++)
        assert_non_null(strchr("xy", ear.answer[0].text[i]));
    grammar_free(g);
    engine_free(e);
}

static void test_failing_allocations(void **state)
{
    static struct ear ear;
    const struct model *m = *state;
    struct grammar *g = regex("[a-z]{2,9}!");
    for (int64_t n = 1;; n++) {
        struct err err = {0};
        struct engine *e = open_engine(m, NULL, 64);
        memset(&ear, 0, sizeof ear);
        struct request_params p = request(g, 2, 1, 1);
        p.user = &ear;
        fault_arm(FAULT_MEMORY, n);
        const bool ok = engine_run(e, &p, &err);
        const bool was_hit = fault_disarm();
        if (!ok) assert_int_equal(err.code, ERR_MEMORY);
        for (int k = 0; ok && k < 2; k++) { /* an answer fits, or says that it failed */
            const bool is_error = ear.answer[k].finish == FINISH_ERROR;
            assert_true(is_error ? was_hit && ear.answer[k].why[0]
                                 : fits(g, ear.answer[k].text, ear.answer[k].n));
        }
        engine_free(e);
        if (!was_hit) break;
    }
    grammar_free(g);
}

static void test_default_model_writes_json(void **state)
{
    (void)state;
    static struct ear ear;
    struct err err = {0};
    const char *path = smollm2_path();
    skip_without(path, "the default model");
    static const char schema[] =
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":30},"
        "\"age\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":120},\"pets\":{\"type\":\"array\","
        "\"items\":{\"enum\":[\"cat\",\"dog\"]},\"maxItems\":3}},\"required\":[\"name\",\"age\","
        "\"pets\"],\"additionalProperties\":false}";
    struct grammar *g = grammar_from_schema(schema, sizeof schema - 1, SPACE_COMPACT, "it", &err);
    assert_ok(g, &err);
    struct model *m = model_open(path, &err);
    assert_ok(m, &err);
    struct engine *e = open_engine(m, NULL, 256);
    static const char ask[] = "Describe a person as JSON.\n";
    struct ids ids = {0};
    assert_ok(
        tokenizer_encode(model_tokenizer(m), ask, sizeof ask - 1, ENCODE_DEFAULT_BOS, &ids, &err),
        &err);
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct request_params p = request(g, 1, seed, (float)seed * 0.7f);
        p.prompt = ids.id, p.n_prompt = (int32_t)ids.n;
        run(e, &p, &ear);
        if (ear.answer[0].finish != FINISH_STOP) fail_msg("%s", ear.answer[0].text);
        struct json_doc *d =
            json_parse(ear.answer[0].text, ear.answer[0].n, 1 << 16, "the answer", &err);
        if (!d) fail_msg("%s: %s", ear.answer[0].text, err.text);
        int64_t age = -1;
        assert_true(json_i64(json_get(json_root(d), "age"), &age) && age >= 0 && age <= 120);
        json_free(d);
    }
    ids_release(&ids);
    engine_free(e);
    model_close(m);
    grammar_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_fit),
        cmocka_unit_test(test_requests_with_their_own_grammars),
        cmocka_unit_test(test_what_cannot_be_kept_is_an_error),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_default_model_writes_json),
    };
    return cmocka_run_group_tests_name("engine_grammar", tests, tiny_model_setup,
                                       tiny_model_teardown);
}
