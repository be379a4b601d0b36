/* SPDX-License-Identifier: Apache-2.0
 *
 * test_api.c - the public interface used as its header says, and misused as callers will.
 */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "cria.h"
#include "tiny_model.h"

struct said {
    int32_t ids[64];
    int32_t n;
    char text[1024];
    size_t n_text;
    enum cria_finish finish;
    int32_t n_ends;
    float logprob;
    int32_t cancel_after;
};

static bool listen(void *user, const struct cria_event *ev)
{
    struct said *s = user;
    if (ev->token >= 0) s->ids[s->n++] = ev->token, s->logprob = ev->logprob;
    memcpy(s->text + s->n_text, ev->text, ev->n_text);
    s->n_text += ev->n_text;
    if (ev->finish) s->finish = ev->finish, s->n_ends++;
    return s->cancel_after == 0 || s->n < s->cancel_after;
}

struct fixture {
    struct cria_model *m;
    struct cria_engine *e;
};

static const int32_t prompt[] = {1, 260, 270, 280, 290};

static struct cria_request request(struct said *s)
{
    struct cria_request r;
    memset(s, 0, sizeof *s);
    cria_request_init(&r);
    r.prompt = prompt, r.n_prompt = 5, r.n_predict = 12;
    r.temperature = 0, r.ignores_eos = true;
    r.listener = listen, r.user = s;
    return r;
}

static void test_models_tell_what_they_are(void **state)
{
    struct fixture *f = *state;
    struct cria_error err;
    assert_int_equal(cria_model_n_vocab(f->m), TINY_VOCAB);
    assert_int_equal(cria_model_n_ctx(f->m), TINY_CTX);
    char *json = cria_model_inspect(f->m, &err);
    assert_non_null(json);
    assert_non_null(strstr(json, "\"n_layers\":2"));
    assert_non_null(strstr(json, "\"name\":\"tiny\""));
    cria_free(json);
    assert_string_equal(cria_version(), "0.1.0");
    assert_null(cria_model_open("/nowhere/at all.gguf", &err));
    assert_int_equal(err.code, CRIA_IO);
    assert_non_null(strstr(err.text, "/nowhere/at all.gguf"));
}

static void test_text_goes_to_tokens_and_back(void **state)
{
    struct fixture *f = *state;
    struct cria_error err;
    size_t n = 0, n_text = 0;
    int32_t *ids = cria_tokenize(f->m, "xyz Q", 5, CRIA_BOS, &n, &err);
    assert_non_null(ids);
    assert_true(n >= 2 && ids[0] == 1);
    char *text = cria_detokenize(f->m, ids, n, 0, &n_text, &err);
    assert_non_null(text);
    assert_int_equal(n_text, strlen(text));
    assert_string_equal(text, "xyz Q");
    cria_free(text);
    ids[0] = 300;
    assert_null(cria_detokenize(f->m, ids, n, 0, NULL, &err));
    assert_int_equal(err.code, CRIA_USAGE);
    cria_free(ids);
    ids = cria_tokenize(f->m, "", 0, 0, &n, &err);
    assert_non_null(ids); /* empty is no failure */
    assert_int_equal(n, 0);
    cria_free(ids);
    const struct cria_message turn = {"user", "hello"};
    assert_null(cria_chat_tokenize(f->m, &turn, 1, &n, &err)); /* a base model */
    assert_int_equal(err.code, CRIA_UNSUPPORTED);
}

static void test_generating_in_one_call_equals_steps(void **state)
{
    struct fixture *f = *state;
    struct cria_error err;
    static struct said one, many[2], cut;
    struct cria_request r = request(&one);
    r.wants_logprobs = true;
    assert_ok(cria_generate(f->e, &r, &err), &err);
    assert_int_equal(one.n, 12);
    assert_int_equal(one.n_ends, 1);
    assert_int_equal(one.finish, CRIA_FINISH_LENGTH);
    assert_true(one.logprob <= 0 && one.logprob > -10);
    for (int i = 0; i < 2; i++) {
        r = request(&many[i]);
        assert_true(cria_submit(f->e, &r, &err) > 0);
    }
    r = request(&cut);
    const int64_t handle = cria_submit(f->e, &r, &err);
    cria_cancel(f->e, handle);
    for (bool has_work = true; has_work;) assert_ok(cria_step(f->e, &has_work, &err), &err);
    for (int i = 0; i < 2; i++) assert_memory_equal(many[i].ids, one.ids, sizeof one.ids);
    assert_int_equal(cut.finish, CRIA_FINISH_CANCEL);
    r = request(&cut);
    cut.cancel_after = 3;
    assert_ok(cria_generate(f->e, &r, &err), &err);
    assert_int_equal(cut.n, 3);
    assert_int_equal(cut.finish, CRIA_FINISH_CANCEL);
}

static void test_wrong_requests_are_refused(void **state)
{
    struct fixture *f = *state;
    struct cria_error err;
    static struct said s;
    struct cria_request r = request(&s);
    r.top_p = 2;
    assert_false(cria_generate(f->e, &r, &err));
    assert_int_equal(err.code, CRIA_USAGE);
    assert_non_null(strstr(err.text, "top_p"));
    r = request(&s);
    r.struct_bytes += 8; /* a newer caller */
    assert_int_equal(cria_submit(f->e, &r, &err), 0);
    assert_non_null(strstr(err.text, "struct_bytes"));
    r = request(&s);
    r.struct_bytes = offsetof(struct cria_request, n_answers); /* an older caller */
    r.n_answers = 77;
    r.n_predict = 0;
    assert_ok(cria_generate(f->e, &r, &err), &err);
    r = request(&s);
    r.n_stop = 3;
    assert_false(cria_generate(f->e, &r, &err));
    assert_int_equal(s.n_ends, 0);
    struct cria_engine_options opt;
    cria_engine_options_init(&opt);
    opt.n_seqs = 1000;
    assert_null(cria_engine_new(f->m, &opt, &err));
    assert_non_null(strstr(err.text, "n_seqs"));
}

static void test_scores_are_the_engines(void **state)
{
    struct fixture *f = *state;
    struct cria_error err;
    static struct said s;
    struct cria_request r = request(&s);
    r.wants_logprobs = true, r.n_predict = 1;
    assert_ok(cria_generate(f->e, &r, &err), &err);
    int32_t ids[6];
    float logprob[5];
    memcpy(ids, prompt, sizeof prompt);
    ids[5] = s.ids[0];
    assert_ok(cria_logprobs(f->e, ids, 6, logprob, &err), &err);
    assert_true(fabsf(logprob[4] - s.logprob) < 5e-3f);
    assert_false(cria_logprobs(f->e, ids, 0, logprob, &err));
    assert_int_equal(err.code, CRIA_LIMIT);
    int32_t longer[100]; /* more than one chunk: the wrong id is in the second */
    float more[99];
    for (int i = 0; i < 100; i++) longer[i] = i == 64 ? 1 << 30 : 1;
    assert_false(cria_logprobs(f->e, longer, 100, more, &err));
    assert_int_equal(err.code, CRIA_USAGE);
    assert_non_null(strstr(err.text, "at 64"));
}

/* An engine may end while requests run; their memory goes with it. */
static void test_ending_early_leaks_nothing(void **state)
{
    struct fixture *f = *state;
    struct cria_error err;
    static struct said s;
    struct cria_engine *e = cria_engine_new(f->m, NULL, &err);
    assert_ok(e, &err);
    struct cria_request r = request(&s);
    assert_true(cria_submit(e, &r, &err) > 0 && cria_submit(e, &r, &err) > 0);
    bool has_work = false;
    assert_ok(cria_step(e, &has_work, &err), &err);
    assert_true(has_work);
    cria_engine_free(e);
    assert_int_equal(s.n_ends, 0);
    cria_engine_free(NULL);
    cria_model_close(NULL);
    cria_free(NULL);
}

static int open_fixture(void **state)
{
    static struct fixture f;
    struct cria_error err;
    struct cria_engine_options opt;
    char path[64];
    snprintf(path, sizeof path, "/tmp/cria-api-%d.gguf", (int)getpid());
    tiny_model_write(path, 4);
    f.m = cria_model_open(path, &err);
    unlink(path);
    assert_ok(f.m, &err);
    cria_engine_options_init(&opt);
    opt.n_seqs = 2, opt.n_threads = 2;
    f.e = cria_engine_new(f.m, &opt, &err);
    assert_ok(f.e, &err);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    cria_engine_free(f->e);
    cria_model_close(f->m);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models_tell_what_they_are),
        cmocka_unit_test(test_text_goes_to_tokens_and_back),
        cmocka_unit_test(test_generating_in_one_call_equals_steps),
        cmocka_unit_test(test_wrong_requests_are_refused),
        cmocka_unit_test(test_scores_are_the_engines),
        cmocka_unit_test(test_ending_early_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
