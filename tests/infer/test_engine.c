/* SPDX-License-Identifier: Apache-2.0
 *
 * test_engine.c - many requests at once give what each gives alone; stops, cancels, limits and the
 * prefix cache do what engine.h says; and no page is lost by any of it.
 *
 * The model is random and tiny; what it says is found out by asking it alone first, and the
 * expectations are made from that.
 */
#include "test.h"

#include <math.h>

#include "infer/engine.h"
#include "tiny_model.h"

enum { MAX_ANSWERS = 4, MAX_TOKENS = 600, N_REQUESTS = 20 };

/* What one answer was told. */
struct heard {
    int32_t ids[MAX_TOKENS];
    size_t ends[MAX_TOKENS]; /* length of the text after each token */
    int32_t n;
    char text[8192];
    size_t n_text;
    enum finish finish;
    char stop_text[64];
    int32_t n_cached, n_same, n_generated, n_last_events;
    float logprob_sum;
    int32_t most_prompt_done;
};

struct ear {
    struct heard answer[MAX_ANSWERS];
    int32_t cancel_after; /* 0: never */
    struct engine *engine;
    int64_t cancels; /* handle that is cancelled from inside, with cancel_after */
};

static bool listen(void *user, const struct engine_event *ev)
{
    struct ear *ear = user;
    struct heard *h = &ear->answer[ev->i_answer];
    assert_int_equal(h->n_last_events, 0); /* nothing comes after the last event */
    assert_true(h->n_text + ev->n_text < sizeof h->text && h->n < MAX_TOKENS);
    memcpy(h->text + h->n_text, ev->text, ev->n_text);
    h->n_text += ev->n_text;
    if (ev->token >= 0) {
        h->ends[h->n] = h->n_text;
        h->ids[h->n++] = ev->token;
        assert_non_null(ev->sampled);
        h->logprob_sum += ev->sampled->logprob;
        assert_int_equal(ev->n_generated, h->n);
    } else if (!ev->finish) {
        assert_true(ev->n_prompt_done >= h->most_prompt_done && ev->n_prompt_done < ev->n_prompt);
        h->most_prompt_done = ev->n_prompt_done;
    }
    h->n_cached = ev->n_cached;
    h->n_same = ev->n_same;
    h->n_generated = ev->n_generated;
    if (ev->finish) {
        h->finish = ev->finish;
        h->n_last_events++;
        snprintf(h->stop_text, sizeof h->stop_text, "%s", ev->stop_text ? ev->stop_text : "");
        assert_int_equal(ev->finish == FINISH_ERROR, ev->err != NULL);
    }
    if (ear->cancels && h->n == ear->cancel_after) engine_cancel(ear->engine, ear->cancels);
    return ear->cancels || ear->cancel_after == 0 || h->n < ear->cancel_after;
}

struct fixture {
    struct model *m;
    struct engine *e;
    int64_t n_free; /* of an empty cache */
};

static struct engine *open_engine(const struct model *m, const struct engine_options *opt)
{
    struct err err = {0};
    struct engine *e = engine_new(m, opt, &err);
    assert_ok(e, &err);
    return e;
}

/* F32 keys and values: a request's logits are then the same to the last bit but for batch sizes. */
static struct engine_options options(int32_t n_seqs)
{
    return (struct engine_options){
        .n_threads = 2, .n_ctx = 128, .n_seqs = n_seqs, .max_batch_tok = 32, .kv_dtype = DT_F32};
}

static int32_t prompt_of(int32_t i, int32_t *ids)
{
    const int32_t n = 1 + i * 13 % 70;
    ids[0] = 1;
    for (int32_t j = 1; j < n; j++) ids[j] = TINY_FIRST_WORD + (i * 31 + j * (j + i)) % 41;
    return n;
}

static struct request_params greedy(const int32_t *ids, int32_t n, int32_t n_predict,
                                    struct ear *ear)
{
    struct request_params p = request_defaults();
    p.prompt = ids, p.n_prompt = n, p.n_predict = n_predict;
    p.sampling.temperature = 0;
    p.listener = listen, p.user = ear;
    p.ignores_eos = true;
    return p;
}

/* All pages come back once the prefixes are forgotten. */
static void check_all_free(struct engine *e, int64_t n_free)
{
    engine_clear_cache(e);
    assert_int_equal(engine_free_tokens(e), n_free);
    assert_int_equal(engine_status(e).n_running, 0);
    assert_int_equal(engine_status(e).n_queued, 0);
}

static void run_all(struct engine *e)
{
    struct err err = {0};
    bool has_work = true;
    for (int i = 0; has_work; i++) {
        assert_ok(engine_step(e, &has_work, &err), &err);
        assert_true(i < 20000);
    }
}

static struct heard alone(struct engine *e, const struct request_params *p)
{
    struct err err = {0};
    static struct ear ear;
    memset(&ear, 0, sizeof ear);
    struct request_params q = *p;
    q.user = &ear;
    engine_clear_cache(e);
    assert_ok(engine_run(e, &q, &err), &err);
    assert_int_equal(ear.answer[0].n_last_events, 1);
    return ear.answer[0];
}

static void check_same(const struct heard *a, const struct heard *b, int i)
{
    if (a->n != b->n || memcmp(a->ids, b->ids, (size_t)a->n * sizeof *a->ids) != 0)
        fail_msg("request %d: %d tokens, alone %d, or others", i, (int)a->n, (int)b->n);
    assert_int_equal(a->n_text, b->n_text);
    assert_memory_equal(a->text, b->text, a->n_text);
    assert_int_equal(a->finish, b->finish);
}

static void test_twenty_at_once_answer_as_each_alone(void **state)
{
    struct fixture *f = *state;
    static struct ear ears[N_REQUESTS];
    static struct heard want[N_REQUESTS];
    static int32_t ids[N_REQUESTS][128];
    struct err err = {0};
    memset(ears, 0, sizeof ears);
    for (int i = 0; i < N_REQUESTS; i++) {
        const int32_t n = prompt_of(i, ids[i]);
        const struct request_params p = greedy(ids[i], n, 5 + i * 7 % 40, &ears[i]);
        want[i] = alone(f->e, &p);
        assert_int_equal(want[i].n, p.n_predict);
        assert_int_equal(want[i].finish, FINISH_LENGTH);
    }
    engine_clear_cache(f->e);
    for (int i = 0; i < N_REQUESTS; i++) {
        const struct request_params p =
            greedy(ids[i], prompt_of(i, ids[i]), 5 + i * 7 % 40, &ears[i]);
        const int64_t handle = engine_submit(f->e, &p, &err);
        assert_ok(handle, &err);
    }
    run_all(f->e);
    for (int i = 0; i < N_REQUESTS; i++) check_same(&ears[i].answer[0], &want[i], i);
    check_all_free(f->e, f->n_free);
}

static void test_answers_share_the_prompt_and_differ_by_seed(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    static struct ear ear;
    memset(&ear, 0, sizeof ear);
    int32_t ids[128];
    const int32_t n = prompt_of(5, ids);
    struct request_params p = greedy(ids, n, 20, &ear);
    p.n_answers = 3;
    p.sampling.temperature = 1.5f, p.sampling.seed = 7;
    assert_ok(engine_run(f->e, &p, &err), &err);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ear.answer[i].n, 20);
        assert_int_equal(ear.answer[i].n_last_events, 1);
    }
    assert_memory_not_equal(ear.answer[0].ids, ear.answer[1].ids, 20 * sizeof(int32_t));
    /* answer i alone has the seed 7 + i */
    for (int i = 0; i < 3; i++) {
        struct request_params q = p;
        q.n_answers = 1, q.sampling.seed = 7 + (uint64_t)i;
        const struct heard h = alone(f->e, &q);
        check_same(&ear.answer[i], &h, i);
    }
    check_all_free(f->e, f->n_free);
}

static void test_a_known_beginning_is_not_read_again(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    static struct ear ear;
    int32_t ids[128];
    for (int i = 0; i < 128; i++) ids[i] = i ? TINY_FIRST_WORD + i * i % 41 : 1;
    struct request_params p = greedy(ids, 60, 10, &ear);
    const struct heard first = alone(f->e, &p);
    assert_int_equal(first.n_cached, 0);
    assert_int_equal(first.n_same, 0); /* there was nothing to be like */
    /* the same prompt: all but its last token; the next turn: prompt and answer, less the last
     * token, which was never fed */
    memset(&ear, 0, sizeof ear);
    assert_ok(engine_run(f->e, &p, &err), &err);
    assert_int_equal(ear.answer[0].n_cached, 59);
    assert_int_equal(ear.answer[0].n_same, 0);
    check_same(&ear.answer[0], &first, 0);
    memcpy(ids + 60, first.ids, 10 * sizeof *ids);
    memset(&ear, 0, sizeof ear);
    p.n_prompt = 80;
    assert_ok(engine_run(f->e, &p, &err), &err);
    assert_int_equal(ear.answer[0].n_cached, 69);
    assert_int_equal(ear.answer[0].n_same, 0); /* it went on from the end of what was cached */
    const struct heard fresh = alone(f->e, &p);
    check_same(&ear.answer[0], &fresh, 1);
    /* another beginning */
    ids[30] = TINY_FIRST_WORD + (ids[30] - TINY_FIRST_WORD + 1) % 41;
    memset(&ear, 0, sizeof ear);
    assert_ok(engine_run(f->e, &p, &err), &err);
    assert_int_equal(ear.answer[0].n_cached, 30);
    assert_int_equal(ear.answer[0].n_same, 30);
    /* and one that shares nothing but breaks off there; then one that ends before it would */
    ids[0] = 2;
    memset(&ear, 0, sizeof ear);
    assert_ok(engine_run(f->e, &p, &err), &err);
    assert_int_equal(ear.answer[0].n_cached, 0);
    assert_int_equal(ear.answer[0].n_same, 0);
    ids[0] = 1;
    memset(&ear, 0, sizeof ear);
    p.n_prompt = 25;
    assert_ok(engine_run(f->e, &p, &err), &err);
    assert_int_equal(ear.answer[0].n_cached, 24);
    assert_int_equal(ear.answer[0].n_same, 0);
    check_all_free(f->e, f->n_free);
}

/* Three prompts with 60 tokens in common and 10 of their own, in batches of 32: the later two wait
 * for the first, and when that is cancelled on the way the third for the second. */
static void test_a_beginning_that_comes_together_is_read_once(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    static struct ear ears[3];
    static struct heard single[3];
    int32_t ids[3][70];
    int64_t handle[3];
    struct request_params p[3];
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 70; j++)
            ids[i][j] = j ? TINY_FIRST_WORD + (j * j + (j >= 60) * (i + 1)) % 41 : 1;
        p[i] = greedy(ids[i], 70, 10, &ears[i]);
        single[i] = alone(f->e, &p[i]);
    }
    for (int is_cut = 0; is_cut < 2; is_cut++) {
        bool has_work = true;
        engine_clear_cache(f->e);
        memset(ears, 0, sizeof ears);
        const int64_t n_before = engine_status(f->e).n_prompt;
        for (int i = 0; i < 3; i++) {
            handle[i] = engine_submit(f->e, &p[i], &err);
            assert_ok(handle[i], &err);
        }
        assert_ok(engine_step(f->e, &has_work, &err), &err);
        if (is_cut) engine_cancel(f->e, handle[0]);
        run_all(f->e);
        for (int i = is_cut; i < 3; i++) check_same(&ears[i].answer[0], &single[i], i);
        /* the first batch has read 32 of them */
        assert_int_equal(ears[1].answer[0].n_cached, is_cut ? 32 : 60);
        assert_int_equal(ears[2].answer[0].n_cached, 60);
        assert_int_equal(ears[2].answer[0].n_same, 60);
        assert_int_equal(engine_status(f->e).n_prompt - n_before, is_cut ? 70 + 10 : 70 + 10 + 10);
        check_all_free(f->e, f->n_free);
    }
}

/* A stop string made of the end of one token's text and the beginning of the next. */
static void test_stop_strings_cross_token_borders(void **state)
{
    struct fixture *f = *state;
    static struct ear ear;
    int32_t ids[128];
    int n_tried = 0;
    for (int i = 0; i < N_REQUESTS; i++) {
        struct request_params p = greedy(ids, prompt_of(i, ids), 30, &ear);
        const struct heard whole = alone(f->e, &p);
        if (whole.n_text < 20) continue;
        for (int t = 2; t < 12; t += 3) {
            const size_t border = whole.ends[t];
            char stop[4] = {whole.text[border - 1], whole.text[border], whole.text[border + 1], 0};
            const char *first = memmem(whole.text, whole.n_text, stop, 3);
            p.stop[0] = "never said", p.stop[1] = stop, p.n_stop = 2;
            const struct heard h = alone(f->e, &p);
            assert_int_equal(h.finish, FINISH_STOP);
            assert_string_equal(h.stop_text, stop);
            assert_int_equal(h.n_text, first - whole.text);
            assert_memory_equal(h.text, whole.text, h.n_text);
            n_tried++;
        }
    }
    assert_true(n_tried > 20);
    check_all_free(f->e, f->n_free);
}

/* Text held back as a stop's beginning comes after all when the stop does not. */
static void test_held_text_is_told_in_the_end(void **state)
{
    struct fixture *f = *state;
    static struct ear ear;
    int32_t ids[128];
    struct request_params p = greedy(ids, prompt_of(3, ids), 12, &ear);
    const struct heard whole = alone(f->e, &p);
    char stop[16];
    snprintf(stop, sizeof stop, "%.2s#", whole.text + whole.n_text - 2);
    p.stop[0] = stop, p.n_stop = 1;
    const struct heard h = alone(f->e, &p);
    assert_int_equal(h.finish, FINISH_LENGTH);
    assert_int_equal(h.n_text, whole.n_text);
    assert_memory_equal(h.text, whole.text, h.n_text);
}

static void test_cancelling_frees_pages_at_once(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    static struct ear ears[3];
    int32_t ids[128];
    memset(ears, 0, sizeof ears);
    struct request_params p = greedy(ids, prompt_of(4, ids), -1, &ears[0]);
    ears[0].cancel_after = 6; /* by the listener's answer */
    p.n_answers = 2;
    assert_ok(engine_submit(f->e, &p, &err), &err);
    p.n_answers = 1;
    p.user = &ears[1];
    ears[1].cancel_after = 9; /* by handle, while it runs */
    ears[1].engine = f->e;
    ears[1].cancels = engine_submit(f->e, &p, &err);
    assert_ok(ears[1].cancels, &err);
    p.user = &ears[2]; /* before it has begun */
    const int64_t third = engine_submit(f->e, &p, &err);
    engine_cancel(f->e, third);
    engine_cancel(f->e, 12345678); /* nobody's */
    engine_cancel(f->e, -1);
    run_all(f->e);
    assert_int_equal(ears[0].answer[0].finish, FINISH_CANCEL);
    assert_int_equal(ears[0].answer[1].finish, FINISH_CANCEL);
    assert_int_equal(ears[0].answer[0].n, 6);
    assert_int_equal(ears[1].answer[0].finish, FINISH_CANCEL);
    assert_int_equal(ears[1].answer[0].n, 9);
    assert_int_equal(ears[2].answer[0].finish, FINISH_CANCEL);
    assert_int_equal(ears[2].answer[0].n, 0);
    check_all_free(f->e, f->n_free);
}

static void test_full_context_ends_or_shifts(void **state)
{
    struct fixture *f = *state;
    static struct ear ear;
    int32_t ids[128];
    struct request_params p = greedy(ids, prompt_of(5, ids), -1, &ear);
    const struct heard h = alone(f->e, &p);
    assert_int_equal(h.finish, FINISH_CONTEXT);
    assert_int_equal(h.n, 128 - p.n_prompt + 1); /* the last token is told, never fed */
    p.shifts_context = true, p.n_keep = 4, p.n_predict = 400;
    const struct heard longer = alone(f->e, &p);
    assert_int_equal(longer.finish, FINISH_LENGTH);
    assert_int_equal(longer.n, 400);
    assert_memory_equal(longer.ids, h.ids, (size_t)h.n * sizeof *h.ids);
    /* after the shift it is as if what is left had been the prompt */
    int32_t left[128];
    const int32_t n_all = 129, n_drop = (n_all - 4) / 2;
    memcpy(left, ids, 4 * sizeof *left);
    int32_t n_left = 4;
    for (int32_t i = 4 + n_drop; i < n_all; i++)
        left[n_left++] = i < p.n_prompt ? ids[i] : h.ids[i - p.n_prompt];
    struct request_params q = greedy(left, n_left, 20, &ear);
    const struct heard rest = alone(f->e, &q);
    assert_memory_equal(rest.ids, longer.ids + h.n, 20 * sizeof *rest.ids);
    check_all_free(f->e, f->n_free);
}

static void test_stop_token_ends_unless_ignored(void **state)
{
    struct fixture *f = *state;
    if (!model_tokenizer(f->m)) skip();
    static struct ear ear;
    int32_t ids[128];
    const struct logit_bias bias = {2, 1000}; /* </s> */
    struct request_params p = greedy(ids, prompt_of(2, ids), 5, &ear);
    p.sampling.bias = &bias, p.sampling.n_bias = 1;
    struct heard h = alone(f->e, &p);
    assert_int_equal(h.finish, FINISH_LENGTH);
    assert_int_equal(h.n, 5);
    p.ignores_eos = false;
    h = alone(f->e, &p);
    assert_int_equal(h.finish, FINISH_STOP);
    assert_int_equal(h.n, 0);
    p.shows_special = true;
    h = alone(f->e, &p);
    assert_int_equal(h.n, 1);
    assert_int_equal(h.ids[0], 2);
    p.n_predict = 0;
    h = alone(f->e, &p);
    assert_int_equal(h.finish, FINISH_LENGTH);
    assert_int_equal(h.n, 0);
}

static void test_queue_is_bounded(void **state)
{
    struct fixture *f = *state;
    static struct ear ear;
    struct err err = {0};
    int32_t ids[128];
    struct request_params p = greedy(ids, prompt_of(1, ids), 1, &ear);
    p.listener = NULL;
    for (int i = 0; i < 1024; i++) assert_ok(engine_submit(f->e, &p, &err), &err);
    assert_int_equal(engine_submit(f->e, &p, &err), 0);
    assert_int_equal(err.code, ERR_BUSY);
    run_all(f->e);
    check_all_free(f->e, f->n_free);
}

static const struct bad_request {
    const char *name;
    size_t at;
    int32_t value;
    enum err_code code;
} bad_requests[] = {
    {"n_predict", offsetof(struct request_params, n_predict), -2, ERR_USAGE},
    {"n_answers", offsetof(struct request_params, n_answers), 0, ERR_USAGE},
    {"n_answers", offsetof(struct request_params, n_answers), 99, ERR_USAGE},
    {"prompt", offsetof(struct request_params, n_prompt), 0, ERR_USAGE},
    {"prompt", offsetof(struct request_params, n_prompt), 129, ERR_LIMIT},
    {"n_keep", offsetof(struct request_params, n_keep), 128, ERR_USAGE},
    {"n_keep", offsetof(struct request_params, n_keep), -1, ERR_USAGE},
    {"stop", offsetof(struct request_params, n_stop), 17, ERR_USAGE},
    {"stop", offsetof(struct request_params, n_stop), 1, ERR_USAGE}, /* NULL string */
};

static void test_each_wrong_parameter_is_named(void **state)
{
    struct fixture *f = *state;
    static int32_t ids[200];
    for (int i = 0; i < 200; i++) ids[i] = 1;
    for (size_t i = 0; i < ARRAY_LEN(bad_requests); i++) {
        const struct bad_request *b = &bad_requests[i];
        struct err err = {0};
        struct request_params p = request_defaults();
        p.prompt = ids, p.n_prompt = 10, p.shifts_context = true;
        memcpy((char *)&p + b->at, &b->value, sizeof b->value);
        assert_int_equal(engine_submit(f->e, &p, &err), 0);
        if (err.code != b->code || !strstr(err.text, b->name))
            fail_msg("%s = %d: %s", b->name, (int)b->value, err.text);
    }
    ids[5] = TINY_VOCAB;
    struct err err = {0};
    struct request_params p = request_defaults();
    p.prompt = ids, p.n_prompt = 10;
    assert_int_equal(engine_submit(f->e, &p, &err), 0);
    assert_non_null(strstr(err.text, "prompt: id 300 at 5"));
}

static const struct bad_option {
    const char *name;
    struct engine_options opt;
    enum err_code code;
} bad_options[] = {
    {"n_threads", {.n_threads = 513}, ERR_USAGE},
    {"n_ctx", {.n_ctx = -1}, ERR_USAGE},
    {"n_seqs", {.n_seqs = 257}, ERR_USAGE},
    {"max_batch_tok", {.max_batch_tok = -5}, ERR_USAGE},
    {"cache_tok", {.n_ctx = 128, .cache_tok = 100}, ERR_USAGE},
    {"n_ctx", {.n_ctx = 1 << 24, .n_seqs = 100}, ERR_MEMORY},
};

static void test_each_wrong_option_is_named(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(bad_options); i++) {
        struct err err = {0};
        struct engine_options opt = bad_options[i].opt;
        opt.kv_dtype = DT_COUNT;
        if (engine_new(f->m, &opt, &err)) fail_msg("%s: was taken", bad_options[i].name);
        if (err.code != bad_options[i].code || !strstr(err.text, bad_options[i].name))
            fail_msg("%s: %s", bad_options[i].name, err.text);
    }
}

struct scores {
    int32_t next; /* position expected */
    double sum;
    float last[TINY_VOCAB];
    int32_t stop_at;
};

static bool take_score(void *user, int32_t pos, const float *logits)
{
    struct scores *s = user;
    assert_int_equal(pos, s->next++);
    memcpy(s->last, logits, sizeof s->last);
    return pos != s->stop_at;
}

static void test_scoring_hands_over_each_position(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    static struct ear ear;
    int32_t ids[128];
    for (int i = 0; i < 128; i++) ids[i] = i ? TINY_FIRST_WORD + i * 5 % 41 : 1;
    const int32_t firsts[] = {0, 1, 40, 127, 128};
    for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
        struct scores s = {.next = firsts[i], .stop_at = -1};
        assert_ok(engine_score(f->e, ids, 128, firsts[i], take_score, &s, &err), &err);
        assert_int_equal(s.next, 128);
    }
    /* the last position's greatest logit is what generation takes */
    struct scores s = {.stop_at = -1};
    assert_ok(engine_score(f->e, ids, 50, 0, take_score, &s, &err), &err);
    const struct request_params p = greedy(ids, 50, 1, &ear);
    const struct heard h = alone(f->e, &p);
    for (int i = 0; i < TINY_VOCAB; i++) assert_true(s.last[i] <= s.last[h.ids[0]] + 1e-3f);

    s = (struct scores){.stop_at = 20};
    assert_false(engine_score(f->e, ids, 50, 0, take_score, &s, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    assert_false(engine_score(f->e, ids, 129, 0, take_score, &s, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    check_all_free(f->e, f->n_free);
}

/* A cache of one context and a half: requests take turns, prefixes give way, nothing is lost. */
static void test_small_cache_is_enough(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    static struct ear ears[N_REQUESTS];
    static int32_t ids[N_REQUESTS][128];
    memset(ears, 0, sizeof ears);
    struct engine_options opt = options(4);
    opt.cache_tok = 192;
    struct engine *e = open_engine(f->m, &opt);
    const int64_t n_free = engine_free_tokens(e);
    for (int i = 0; i < N_REQUESTS; i++) {
        struct request_params p = greedy(ids[i], prompt_of(i, ids[i]), 5 + i * 7 % 40, &ears[i]);
        p.n_answers = 1 + i % 2;
        assert_ok(engine_submit(e, &p, &err), &err);
    }
    run_all(e);
    for (int i = 0; i < N_REQUESTS; i++) {
        const struct request_params p =
            greedy(ids[i], prompt_of(i, ids[i]), 5 + i * 7 % 40, &ears[i]);
        const struct heard h = alone(f->e, &p);
        for (int j = 0; j < 1 + i % 2; j++) check_same(&ears[i].answer[j], &h, i);
    }
    check_all_free(e, n_free);
    /* requests that are under way when the engine ends are freed, unheard */
    static struct ear last;
    struct request_params p = greedy(ids[3], prompt_of(3, ids[3]), -1, &last);
    assert_ok(engine_submit(e, &p, &err), &err);
    assert_ok(engine_submit(e, &p, &err), &err);
    bool has_work = false;
    assert_ok(engine_step(e, &has_work, &err), &err);
    engine_free(e);
    assert_int_equal(last.answer[0].n_last_events, 0);
}

/* x y z x y: z would lengthen the repeat, unless y is a breaker; and a breaker itself is never
 * penalised. Words are two letters: 259 "aa", 260 " bh", 261 "co" (tiny_model.c). */
static const struct dry_case {
    const char *breakers;
    int32_t past[5];
    int32_t n_past;
    int32_t picked; /* 261 when it is not penalised, else 270 */
} dry_cases[] = {
    {NULL, {259, 260, 261, 259, 260}, 5, 270},        {"h", {259, 260, 261, 259, 260}, 5, 261},
    {"a", {259, 260, 261, 259, 260}, 5, 261},         {"o", {259, 260, 261, 259, 260}, 5, 261},
    {"#\xC3\xA9", {259, 260, 261, 259, 260}, 5, 270}, {NULL, {260, 261, 260}, 3, 261},
};

static void test_dry_matches_stop_at_breakers(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(dry_cases); i++) {
        const struct dry_case *c = &dry_cases[i];
        struct err err = {0};
        float logits[TINY_VOCAB] = {0};
        logits[261] = 3, logits[270] = 2.5f;
        struct sampler_params p = sampler_defaults();
        p.temperature = 0, p.dry_multiplier = 1, p.dry_breakers = c->breakers;
        struct sampler *s = sampler_new(&p, TINY_VOCAB, model_tokenizer(f->m), &err);
        assert_ok(s, &err);
        for (int32_t j = 0; j < c->n_past; j++) sampler_accept(s, c->past[j]);
        struct sampled out;
        sampler_pick(s, logits, &out);
        if (out.id != c->picked) fail_msg("case %zu: token %d, want %d", i, (int)out.id, c->picked);
        sampler_free(s);
    }
}

static int open_fixture(void **state)
{
    static struct fixture f;
    const struct engine_options opt = options(4);
    f.m = tiny_model_open(11);
    f.e = open_engine(f.m, &opt);
    f.n_free = engine_free_tokens(f.e);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    engine_free(f->e);
    model_close(f->m);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twenty_at_once_answer_as_each_alone),
        cmocka_unit_test(test_answers_share_the_prompt_and_differ_by_seed),
        cmocka_unit_test(test_a_known_beginning_is_not_read_again),
        cmocka_unit_test(test_a_beginning_that_comes_together_is_read_once),
        cmocka_unit_test(test_stop_strings_cross_token_borders),
        cmocka_unit_test(test_held_text_is_told_in_the_end),
        cmocka_unit_test(test_cancelling_frees_pages_at_once),
        cmocka_unit_test(test_full_context_ends_or_shifts),
        cmocka_unit_test(test_stop_token_ends_unless_ignored),
        cmocka_unit_test(test_queue_is_bounded),
        cmocka_unit_test(test_each_wrong_parameter_is_named),
        cmocka_unit_test(test_each_wrong_option_is_named),
        cmocka_unit_test(test_scoring_hands_over_each_position),
        cmocka_unit_test(test_small_cache_is_enough),
        cmocka_unit_test(test_dry_matches_stop_at_breakers),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
