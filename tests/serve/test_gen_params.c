/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gen_params.c - what a request asks for arrives where the engine reads it; prompts become
 * ids, and those that cannot fit are refused. The refusals by field are in tests/e2e/serve.sh too,
 * over HTTP.
 */
#include "test.h"

#include "serve/gen_params.h"
#include "tiny_model.h"

static struct model *model;

static int open_model(void **state)
{
    (void)state;
    model = tiny_model_open(1);
    return model ? 0 : -1;
}

static int close_model(void **state)
{
    (void)state;
    model_close(model);
    return 0;
}

static struct json_doc *parse(const char *body)
{
    struct refusal r = {0};
    struct json_doc *d = body_parse(body, strlen(body), 1 << 24, &r);
    if (!d) fail_msg("%s: %s", body, r.text);
    return d;
}

static void test_fields_reach_the_sampler(void **state)
{
    static const char body[] =
        "{\"temperature\":0.25,\"top_p\":0.5,\"top_k\":-1,\"min_p\":0.125,\"presence_penalty\":-2,"
        "\"frequency_penalty\":2,\"repetition_penalty\":1.5,\"seed\":-3,\"n\":2,\"max_tokens\":9,"
        "\"stop\":[\"a\",\"bc\"],\"logit_bias\":{\"5\":-100,\"7\":1.5},\"logprobs\":true,"
        "\"stream\":true,\"stream_options\":{\"include_usage\":true,\"x\":1},\"zzz\":0}";
    struct refusal r = {0};
    struct gen_params p;
    const struct gen_model m = gen_model(model, 256, 4);
    (void)state;
    struct json_doc *d = parse(body);
    if (!gen_params_read(GEN_CHAT, &m, json_root(d), &p, &r)) fail_msg("%s", r.text);
    const struct sampler_params *s = &p.sampling;
    assert_true(s->temperature == 0.25f && s->top_p == 0.5f && s->top_k == 0 && s->min_p == 0.125f);
    assert_true(s->presence_penalty == -2 && s->frequency_penalty == 2 &&
                s->repeat_penalty == 1.5f);
    assert_true(s->seed == (uint64_t)-3 && s->n_bias == 2 && s->bias[0].id == 5);
    assert_true(s->bias[0].bias == -100 && s->bias[1].bias == 1.5f && s->n_logprobs == 1);
    assert_true(p.n == 2 && p.max_tokens == 9 && p.n_stop == 2 && p.is_stream && p.has_usage);
    assert_string_equal(p.stop[1], "bc");
    assert_string_equal(p.unknown.names, "zzz");
    struct err err = {0};
    assert_ok(sampler_check(s, TINY_VOCAB, &err), &err);
    gen_params_release(&p);
    json_free(d);
}

static void test_what_is_not_said_is_as_in_chat(void **state)
{
    struct refusal r = {0};
    struct gen_params p, q;
    const struct gen_model m = gen_model(model, 256, 4);
    const struct sampler_params def = sampler_defaults();
    (void)state;
    struct json_doc *d = parse("{}");
    assert_true(gen_params_read(GEN_TEXT, &m, json_root(d), &p, &r));
    assert_true(gen_params_read(GEN_TEXT, &m, json_root(d), &q, &r));
    assert_true(p.sampling.temperature == def.temperature && p.sampling.top_k == def.top_k);
    assert_true(p.n == 1 && p.max_tokens == -1 && !p.is_stream && p.sampling.n_logprobs == 0);
    assert_true(p.sampling.seed != q.sampling.seed);
    gen_params_release(&p);
    gen_params_release(&q);
    json_free(d);
}

static const struct prompt_case {
    const char *body;
    enum refusal_kind kind;
    int32_t n_prompts, n_tok; /* of the first */
} prompt_cases[] = {
    /* clang-format off */
    {"{\"prompt\":[1,2,3]}",              REFUSAL_NONE,    1, 3},
    {"{\"prompt\":[[1,2],[3]]}",          REFUSAL_NONE,    2, 2},
    {"{\"prompt\":[\"a\",[3]]}",          REFUSAL_NONE,    2, 0},
    {"{\"prompt\":\"abc\"}",              REFUSAL_NONE,    1, 0},
    {"{}",                                REFUSAL_MISSING, 0, 0},
    {"{\"prompt\":7}",                    REFUSAL_VALUE,   0, 0},
    {"{\"prompt\":[]}",                   REFUSAL_VALUE,   0, 0},
    {"{\"prompt\":[[]]}",                 REFUSAL_VALUE,   0, 0},
    {"{\"prompt\":[1,\"a\"]}",            REFUSAL_VALUE,   0, 0},
    {"{\"prompt\":[1,300]}",              REFUSAL_VALUE,   0, 0},
    {"{\"prompt\":[[1],[2,-1]]}",         REFUSAL_VALUE,   0, 0},
    {"{\"prompt\":[1,2,3,4,5,6,7,8,9]}",  REFUSAL_CONTEXT, 0, 0},
    {"{\"prompt\":\"q q q q q q q q q\"}", REFUSAL_CONTEXT, 0, 0},
    /* clang-format on */
};

static enum refusal_kind read_prompts(const char *body, int32_t *n, int32_t *n_tok)
{
    static struct ids prompt[GEN_MAX_PROMPTS];
    struct refusal r = {0};
    struct gen_params p;
    const struct gen_model m = gen_model(model, 8, 4);
    memset(prompt, 0, sizeof prompt);
    struct json_doc *d = parse(body);
    if (gen_params_read(GEN_TEXT, &m, json_root(d), &p, &r) &&
        !gen_prompts(GEN_TEXT, &m, &p, prompt, n, &r))
        assert_int_not_equal(r.kind, REFUSAL_NONE);
    *n_tok = (int32_t)prompt[0].n;
    for (int i = 0; i < GEN_MAX_PROMPTS; i++) ids_release(&prompt[i]);
    gen_params_release(&p);
    json_free(d);
    return r.kind;
}

static void test_prompts_become_ids(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(prompt_cases); i++) {
        const struct prompt_case *c = &prompt_cases[i];
        int32_t n = 0, n_tok = 0;
        const enum refusal_kind kind = read_prompts(c->body, &n, &n_tok);
        if (kind != c->kind) fail_msg("%s: refusal %d", c->body, (int)kind);
        if (kind != REFUSAL_NONE) continue;
        assert_int_equal(n, c->n_prompts);
        if (c->n_tok) assert_int_equal(n_tok, c->n_tok);
    }
}

/* Far over the context: refused by its length alone. */
static void test_a_huge_prompt_is_not_read(void **state)
{
    enum { N = 4 << 20 };
    int32_t n = 0, n_tok = 0;
    (void)state;
    char *body = malloc(N + 100);
    assert_non_null(body);
    strcpy(body, "{\"prompt\":\"");
    memset(body + 11, 'q', N);
    strcpy(body + 11 + N, "\"}");
    assert_int_equal(read_prompts(body, &n, &n_tok), REFUSAL_CONTEXT);
    assert_int_equal(n_tok, 0);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_reach_the_sampler),
        cmocka_unit_test(test_what_is_not_said_is_as_in_chat),
        cmocka_unit_test(test_prompts_become_ids),
        cmocka_unit_test(test_a_huge_prompt_is_not_read),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
