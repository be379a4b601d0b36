/* SPDX-License-Identifier: Apache-2.0
 *
 * test_forward.c - logits against transformers on the golden models, and what must not change them:
 * the cut of a prompt into batches, the number of threads, the company in a batch, forks.
 *
 * tests/oracle/model.py made the models and the logits (float32 on the stored weights). Unquantized
 * weights must agree within 2e-3. For quantized ones the kernels round activations to 8 bits in
 * blocks of 32: a step of 1/127 of the block's largest value, about 2.3 deviations, gives an error
 * of 0.5 % of a deviation in each product; that of the nine products on the way to a logit adds up
 * to 1.6 % of the logits' deviation (here 2), and the worst of 2,000 logits has four times that.
 */
#include "test.h"

#include <math.h>

#include "base/file.h"
#include "fault.h"
#include "runner.h"

#define FLOAT_BOUND 2e-3f
#define INT8_BOUND 0.13f
#define BF16_BOUND 0.1f   /* activations rounded to bfloat16: bfloat16 weights in avx512bf16, amx */
#define ORDER_BOUND 5e-4f /* one token and many go through other kernels */

static const struct golden_case {
    const char *name;
    float bound;
    bool is_bf16;
} golden_cases[] = {
    /* clang-format off */
    /* name                bound        is_bf16 */
    {"llama3",            FLOAT_BOUND, true},
    {"llama3-f16.gguf",   FLOAT_BOUND, false},
    {"llama3-q8_0.gguf",  INT8_BOUND,  false},
    {"bias",              FLOAT_BOUND, true},
    {"dynamic",           FLOAT_BOUND, true},
    {"meta",              FLOAT_BOUND, true},
    {"meta-old",          FLOAT_BOUND, false},
    /* clang-format on */
};

static const char *model_path(const char *name)
{
    char rest[256];
    snprintf(rest, sizeof rest, "model/%s", name);
    return golden_path(rest);
}

/* A fixed walk through the vocabulary. */
static void make_tokens(int32_t *tokens, int32_t n, int32_t n_vocab, uint32_t seed)
{
    for (int32_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        tokens[i] = (int32_t)(seed >> 8) % n_vocab;
    }
}

/* ---- golden logits ---- */

static float golden_error(struct json want, const float *got, int32_t n_vocab)
{
    int32_t n_rows = 0;
    int32_t *rows = json_ints(json_get(want, "rows"), &n_rows);
    float worst = 0;
    for (int32_t i = 0; i < n_rows; i++) {
        struct json_iter it = json_iter(json_at(json_get(want, "logits"), (size_t)i));
        struct json v;
        for (int32_t k = 0; json_next(&it, NULL, NULL, &v); k++) {
            double x = 0;
            assert_true(json_f64(v, &x) && k < n_vocab);
            const float d = fabsf((float)x - got[(int64_t)rows[i] * n_vocab + k]);
            if (!(d <= worst)) worst = d;
        }
    }
    free(rows);
    return worst;
}

/* The best token is the same wherever it leads the second by more than both errors. */
static int32_t wrong_argmax(struct json want, const float *got, int32_t n_vocab, float bound)
{
    int32_t n = 0, n_wrong = 0;
    int32_t *best = json_ints(json_get(want, "argmax"), &n);
    for (int32_t i = 0; i < n; i++) {
        const float *row = got + (int64_t)i * n_vocab;
        const int32_t mine = argmax_of(row, n_vocab);
        n_wrong += mine != best[i] && row[mine] - row[best[i]] > 2 * bound;
    }
    free(best);
    return n_wrong;
}

static float check_golden(const struct golden_case *c, struct json want, const struct ops *ops,
                          int32_t chunk)
{
    struct runner r;
    struct runner_options opt = runner_defaults();
    int32_t n = 0;
    int32_t *tokens = json_ints(json_get(want, "tokens"), &n);
    opt.ops = ops;
    opt.max_pos = n; /* dynamic scaling looks at it, as transformers at the sequence */
    runner_open(&r, model_path(c->name), &opt);
    float *got = calloc((size_t)n * (size_t)r.n_vocab, sizeof *got);
    runner_feed(&r, runner_seq(&r), tokens, n, chunk, got);
    const float e = golden_error(want, got, r.n_vocab);
    const bool has_bf16 = strcmp(ops->name, "avx512bf16") == 0 || strcmp(ops->name, "amx") == 0;
    const bool is_rounded = c->is_bf16 && has_bf16;
    const float bound = is_rounded ? BF16_BOUND : c->bound;
    const int32_t n_wrong = wrong_argmax(want, got, r.n_vocab, bound);
    if (!(e <= bound) || n_wrong)
        fail_msg("%s, %s, batches of %d: error %g, bound %g; %d best tokens differ", c->name,
                 ops->name, chunk, (double)e, (double)bound, n_wrong);
    free(got);
    free(tokens);
    runner_close(&r);
    return e;
}

static void test_logits_equal_transformers(void **state)
{
    static const int32_t chunks[] = {128, 1, 7, 33};
    (void)state;
    struct json_doc *doc = json_open(model_path("logits.json"));
    for (size_t c = 0; c < ARRAY_LEN(golden_cases); c++) {
        const struct json want = json_get(json_root(doc), golden_cases[c].name);
        for (int v = 0; v < ops_n_variants(); v++) {
            float worst = 0;
            for (size_t k = 0; k < ARRAY_LEN(chunks); k++)
                worst =
                    fmaxf(worst, check_golden(&golden_cases[c], want, ops_variant(v), chunks[k]));
            print_message("%-18s %-14s max abs error %.2e\n", golden_cases[c].name,
                          ops_variant(v)->name, (double)worst);
        }
    }
    json_free(doc);
}

/* ---- what must not change a bit ---- */

enum { N_PROMPT = 90, N_VOCAB = 320 };

static void run_once(const char *name, const struct runner_options *opt, int32_t chunk,
                     const int32_t *tokens, float *out)
{
    struct runner r;
    runner_open(&r, model_path(name), opt);
    runner_feed(&r, runner_seq(&r), tokens, N_PROMPT, chunk, out);
    runner_close(&r);
}

static void test_threads_give_the_same_bits(void **state)
{
    static const char *const names[] = {"llama3", "llama3-q8_0.gguf"};
    static const int32_t chunks[] = {N_PROMPT, 1};
    static const int threads[] = {2, 3, 5};
    const size_t n_bytes = sizeof(float) * N_PROMPT * N_VOCAB;
    float *one = malloc(n_bytes), *many = malloc(n_bytes);
    int32_t tokens[N_PROMPT];
    (void)state;
    make_tokens(tokens, N_PROMPT, N_VOCAB, 1);
    for (size_t m = 0; m < ARRAY_LEN(names); m++)
        for (size_t c = 0; c < ARRAY_LEN(chunks); c++) {
            struct runner_options opt = runner_defaults();
            opt.kv_dtype = DT_F16;
            run_once(names[m], &opt, chunks[c], tokens, one);
            for (size_t t = 0; t < ARRAY_LEN(threads); t++) {
                opt.n_threads = threads[t];
                run_once(names[m], &opt, chunks[c], tokens, many);
                if (memcmp(one, many, n_bytes) != 0)
                    fail_msg("%s, batches of %d: %d threads differ from one", names[m], chunks[c],
                             threads[t]);
            }
        }
    free(one);
    free(many);
}

/* ---- company in a batch ---- */

enum { N_COMPANY = 3, N_EACH = 41 };

/* Sequence s has N_EACH - 7 s tokens; the first 5 + s are in the cache already, the rest of all run
 * in one batch. */
static void run_company(struct runner *r, int32_t tokens[N_COMPANY][N_EACH], float *out,
                        int32_t *n_out)
{
    int32_t token[128], pos[128], seq[128], n = 0, n_rows = 0;
    uint8_t wants[128];
    const float *rows = NULL;
    struct err err = {0};
    for (int32_t s = 0; s < N_COMPANY; s++) {
        const int32_t id = runner_seq(r);
        runner_feed(r, id, tokens[s], 5 + s, 8, NULL);
        for (int32_t i = 5 + s; i < N_EACH - 7 * s; i++, n++) {
            token[n] = tokens[s][i];
            pos[n] = i;
            seq[n] = id;
            wants[n] = 1;
        }
    }
    const struct batch b = {n, token, pos, seq, wants, NULL};
    assert_ok(forward_run(r->f, r->kv, &b, &rows, &n_rows, &err), &err);
    assert_int_equal(n_rows, n);
    memcpy(out, rows, (size_t)n * N_VOCAB * sizeof *rows);
    *n_out = n;
}

static void test_sequences_in_one_batch_equal_each_alone(void **state)
{
    int32_t tokens[N_COMPANY][N_EACH], n = 0;
    struct runner r;
    struct runner_options opt = runner_defaults();
    float *together = calloc(128 * N_VOCAB, sizeof *together);
    float *alone = calloc(N_EACH * N_VOCAB, sizeof *alone);
    (void)state;
    runner_open(&r, model_path("llama3-f16.gguf"), &opt);
    for (int32_t s = 0; s < N_COMPANY; s++)
        make_tokens(tokens[s], N_EACH, N_VOCAB, 7u + (uint32_t)s);
    run_company(&r, tokens, together, &n);
    const float *at = together;
    for (int32_t s = 0; s < N_COMPANY; s++) {
        const int32_t n_seq = N_EACH - 7 * s, begin = 5 + s;
        runner_feed(&r, runner_seq(&r), tokens[s], n_seq, 1, alone);
        const float e = max_abs_diff(at, alone + begin * N_VOCAB, (n_seq - begin) * N_VOCAB);
        if (!(e <= ORDER_BOUND)) fail_msg("sequence %d: error %g", s, (double)e);
        at += (n_seq - begin) * N_VOCAB;
    }
    free(together);
    free(alone);
    runner_close(&r);
}

/* The mask of documents: what stands in another sequence changes no bit of this one. */
static void test_sequences_do_not_see_each_other(void **state)
{
    int32_t tokens[N_COMPANY][N_EACH], n = 0;
    float *before = calloc(128 * N_VOCAB, sizeof *before);
    float *after = calloc(128 * N_VOCAB, sizeof *after);
    struct runner r;
    struct runner_options opt = runner_defaults();
    (void)state;
    runner_open(&r, model_path("llama3"), &opt);
    for (int32_t s = 0; s < N_COMPANY; s++)
        make_tokens(tokens[s], N_EACH, N_VOCAB, 7u + (uint32_t)s);
    run_company(&r, tokens, before, &n);
    make_tokens(tokens[0], N_EACH, N_VOCAB, 99);
    run_company(&r, tokens, after, &n);
    const size_t n_first = (N_EACH - 5) * N_VOCAB;
    assert_true(max_abs_diff(before, after, (int64_t)n_first) > 0.1f);
    assert_memory_equal(before + n_first, after + n_first,
                        ((size_t)n * N_VOCAB - n_first) * sizeof *before);
    free(before);
    free(after);
    runner_close(&r);
}

/* ---- forks ---- */

static void test_forks_share_and_then_part(void **state)
{
    enum { N_SHARED = 40, N_TAIL = 30, N_ALL = N_SHARED + N_TAIL };
    int32_t a[N_ALL], b[N_ALL];
    float *got = calloc(N_ALL * N_VOCAB, sizeof *got),
          *want = calloc(N_ALL * N_VOCAB, sizeof *want);
    struct runner r;
    struct runner_options opt = runner_defaults();
    struct err err = {0};
    (void)state;
    runner_open(&r, model_path("llama3"), &opt);
    make_tokens(a, N_ALL, N_VOCAB, 3);
    make_tokens(b, N_ALL, N_VOCAB, 4);
    memcpy(b, a, N_SHARED * sizeof *a);
    const int32_t sa = runner_seq(&r), sb = runner_seq(&r);
    runner_feed(&r, sa, a, N_SHARED, 1, NULL); /* one by one: the same bits as the reference */
    const int64_t n_free = kv_cache_free_tokens(r.kv);
    assert_ok(kv_cache_fork(r.kv, sa, sb, N_SHARED, &err), &err);
    assert_int_equal(kv_cache_free_tokens(r.kv), n_free);
    for (int32_t i = N_SHARED; i < N_ALL; i++) { /* in turns, so that each could spoil the other */
        runner_feed(&r, sa, a + i, 1, 1, got + i * N_VOCAB);
        runner_feed(&r, sb, b + i, 1, 1, NULL);
    }
    runner_feed(&r, runner_seq(&r), a, N_ALL, 1, want);
    assert_memory_equal(got + N_SHARED * N_VOCAB, want + N_SHARED * N_VOCAB,
                        N_TAIL * N_VOCAB * sizeof *got);
    kv_cache_trim(r.kv, sb, N_SHARED);
    runner_feed(&r, sb, b + N_SHARED, N_TAIL, 1, got);
    runner_feed(&r, runner_seq(&r), b, N_ALL, 1, want);
    assert_memory_equal(got, want + N_SHARED * N_VOCAB, N_TAIL * N_VOCAB * sizeof *got);
    free(got);
    free(want);
    runner_close(&r);
}

/* ---- refusals ---- */

static void test_wrong_batches_change_nothing(void **state)
{
    static const struct bad_case {
        const char *what;
        int32_t n, token[3], pos[3], seq[3];
        enum err_code code;
    } cases[] = {
        /* clang-format off */
        /* what                        n  token            pos           seq           code */
        {"id below 0",                 2, {1, -1, 0},      {4, 5, 0},    {0, 0, 0},    ERR_LIMIT},
        {"id above the vocabulary",    2, {1, N_VOCAB, 0}, {4, 5, 0},    {0, 0, 0},    ERR_LIMIT},
        {"no token",                   0, {0},             {0},          {0},          ERR_LIMIT},
        {"position left out",          1, {1},             {5},          {0},          ERR_LIMIT},
        {"position again",             1, {1},             {3},          {0},          ERR_LIMIT},
        {"positions not rising",       2, {1, 2},          {4, 4},       {0, 0},       ERR_LIMIT},
        {"negative position",          1, {1},             {-1},         {0},          ERR_LIMIT},
        {"sequence that is not open",  1, {1},             {0},          {5},          ERR_LIMIT},
        {"negative sequence",          1, {1},             {0},          {-1},         ERR_LIMIT},
        {"second sequence wrong",      2, {1, 2},          {4, 7},       {0, 1},       ERR_LIMIT},
        {"one sequence twice, again",  3, {1, 2, 3},       {4, 2, 4},    {0, 1, 0},    ERR_LIMIT},
        /* clang-format on */
    };
    const int32_t tokens[] = {5, 6, 7, 8};
    struct runner r;
    struct runner_options opt = runner_defaults();
    (void)state;
    runner_open(&r, model_path("llama3"), &opt);
    runner_feed(&r, runner_seq(&r), tokens, 4, 4, NULL);
    runner_feed(&r, runner_seq(&r), tokens, 2, 4, NULL);
    const int64_t n_free = kv_cache_free_tokens(r.kv);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct batch b = {cases[i].n, cases[i].token, cases[i].pos, cases[i].seq, NULL, NULL};
        struct err err = {0};
        const float *rows = NULL;
        int32_t n_rows = -1;
        const bool ok = forward_run(r.f, r.kv, &b, &rows, &n_rows, &err);
        if (ok || err.code != cases[i].code || rows || n_rows != -1 ||
            kv_cache_length(r.kv, 0) != 4 || kv_cache_length(r.kv, 1) != 2 ||
            kv_cache_free_tokens(r.kv) != n_free)
            fail_msg("%s: %s", cases[i].what, ok ? "was taken" : err.text);
    }
    runner_close(&r);
}

static void test_full_cache_changes_nothing(void **state)
{
    const int32_t token[] = {1, 2}, pos[] = {32, 64}, seq[] = {0, 1};
    int32_t tokens[64];
    struct runner r;
    struct runner_options opt = runner_defaults();
    struct err err = {0};
    const float *rows = NULL;
    int32_t n_rows = 0;
    (void)state;
    opt.cache_tok = 4 * KV_PAGE_TOK; /* one page is left: enough for one of the two */
    runner_open(&r, model_path("llama3"), &opt);
    make_tokens(tokens, 64, N_VOCAB, 5);
    runner_feed(&r, runner_seq(&r), tokens, 32, 64, NULL);
    runner_feed(&r, runner_seq(&r), tokens, 64, 64, NULL);
    const struct batch both = {2, token, pos, seq, NULL, NULL},
                       one = {1, token, pos, seq, NULL, NULL};
    assert_false(forward_run(r.f, r.kv, &both, &rows, &n_rows, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_int_equal(kv_cache_length(r.kv, 0), 32);
    assert_int_equal(kv_cache_free_tokens(r.kv), KV_PAGE_TOK);
    assert_ok(forward_run(r.f, r.kv, &one, &rows, &n_rows, &err), &err);
    assert_int_equal(n_rows, 1);
    runner_close(&r);
}

/* ---- wanted rows ---- */

static void test_wanted_rows_come_in_order(void **state)
{
    enum { N = 50 };
    int32_t tokens[N], pos[N], seq[N], n_rows = 0;
    uint8_t wants[N];
    float *all = calloc(N * N_VOCAB, sizeof *all);
    const float *rows = NULL;
    struct err err = {0};
    struct runner r;
    struct runner_options opt = runner_defaults();
    (void)state;
    opt.n_threads = 2;
    runner_open(&r, model_path("llama3"), &opt);
    make_tokens(tokens, N, N_VOCAB, 6);
    runner_feed(&r, runner_seq(&r), tokens, N, N, all);
    const int32_t id = runner_seq(&r);
    for (int32_t i = 0; i < N; i++) {
        pos[i] = i;
        seq[i] = id;
        wants[i] = i % 7 == 3 || i == N - 1;
    }
    const struct batch b = {N, tokens, pos, seq, wants, NULL};
    assert_ok(forward_run(r.f, r.kv, &b, &rows, &n_rows, &err), &err);
    for (int32_t i = 0, k = 0; i < N; i++) {
        if (!wants[i]) continue;
        const float e = max_abs_diff(rows + k++ * N_VOCAB, all + i * N_VOCAB, N_VOCAB);
        if (!(e <= ORDER_BOUND)) fail_msg("row of token %d: error %g", i, (double)e);
        assert_true(k <= n_rows);
    }
    free(all);
    runner_close(&r);
}

/* ---- the observer ---- */

struct seen {
    int32_t n_calls[ROLE_COUNT];
    double sum_sq[ROLE_COUNT];
    const struct model_config *c;
};

static void observe(void *user, enum tensor_role role, int32_t i_layer, const float *x,
                    int64_t n_tok, int64_t k)
{
    struct seen *s = user;
    assert_int_equal(k, tensor_dim_size(s->c, tensor_rows_table[role].cols));
    assert_true(role == ROLE_OUTPUT ? i_layer == -1 : i_layer == s->n_calls[role]);
    s->n_calls[role]++;
    for (int64_t i = 0; i < n_tok * k; i++) s->sum_sq[role] += (double)x[i] * (double)x[i];
}

static void test_observer_sees_inputs_and_keeps_logits(void **state)
{
    static const enum tensor_role roles[] = {ROLE_WQ,   ROLE_WK, ROLE_WV,   ROLE_WO,
                                             ROLE_GATE, ROLE_UP, ROLE_DOWN, ROLE_OUTPUT};
    enum { N = 30 };
    int32_t tokens[N];
    float *plain = calloc(N * N_VOCAB, sizeof *plain), *seen = calloc(N * N_VOCAB, sizeof *seen);
    struct runner r;
    struct runner_options opt = runner_defaults();
    (void)state;
    opt.n_threads = 2;
    runner_open(&r, model_path("llama3"), &opt);
    struct seen s = {.c = model_config(r.m)};
    make_tokens(tokens, N, N_VOCAB, 8);
    runner_feed(&r, runner_seq(&r), tokens, N, N, plain);
    forward_observe(r.f, observe, &s);
    runner_feed(&r, runner_seq(&r), tokens, N, N, seen);
    forward_observe(r.f, NULL, NULL);
    const float e = max_abs_diff(plain, seen, N * N_VOCAB);
    if (!(e <= ORDER_BOUND)) fail_msg("observed logits differ by %g", (double)e);
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        assert_int_equal(s.n_calls[roles[i]], roles[i] == ROLE_OUTPUT ? 1 : s.c->n_layers);
        assert_true(s.sum_sq[roles[i]] > 1);
    }
    free(plain);
    free(seen);
    runner_close(&r);
}

/* ---- damage and failures ---- */

static void test_nan_in_weights_is_reported(void **state)
{
    const char *path = "/tmp/cria-test-nan.gguf";
    struct buf b;
    struct err err = {0};
    (void)state;
    buf_init(&b, 1 << 20);
    assert_ok(file_read_all(model_path("llama3-f16.gguf"), 1 << 20, &b, &err), &err);
    struct model *m = model_open(model_path("llama3-f16.gguf"), &err);
    assert_ok(m != NULL, &err);
    const struct gguf *g = model_gguf(m);
    const struct gguf_tensor *first = gguf_tensor(g, 0);
    (void)first;
    const struct gguf_tensor *t = gguf_find_tensor(g, "blk.1.ffn_up.weight");
    const uint16_t nan = 0x7e00;
    /* the same bytes stand in our copy of the file: find them */
    char *at = memmem(b.data, b.n_bytes, t->t.data, 64);
    assert_non_null(at);
    memcpy(at, &nan, sizeof nan);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.data, 1, b.n_bytes, f), b.n_bytes);
    fclose(f);
    model_close(m);
    buf_release(&b);

    struct runner r;
    struct runner_options opt = runner_defaults();
    const int32_t token = 1, pos = 0;
    const float *rows = NULL;
    int32_t n_rows = 0;
    runner_open(&r, path, &opt);
    const int32_t seq = runner_seq(&r);
    const struct batch batch = {1, &token, &pos, &seq, NULL, NULL};
    assert_false(forward_run(r.f, r.kv, &batch, &rows, &n_rows, &err));
    assert_int_equal(err.code, ERR_FORMAT);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(kv_cache_length(r.kv, seq), 0);
    runner_close(&r);
    remove(path);
}

static void test_plan_says_what_is_taken(void **state)
{
    struct runner r;
    struct runner_options opt = runner_defaults();
    struct err err = {0};
    (void)state;
    runner_open(&r, model_path("llama3"), &opt);
    const size_t planned = forward_plan_bytes(model_config(r.m), opt.ops, 1, 128, 128, 256);
    assert_int_equal(planned, forward_bytes(r.f));
    assert_null(forward_new(r.m, opt.ops, r.team, 0, 1, 1, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    runner_close(&r);
}

static void test_memory_that_fails_is_reported(void **state)
{
    struct runner r;
    struct runner_options opt = runner_defaults();
    (void)state;
    runner_open(&r, model_path("llama3"), &opt);
    for (int64_t n = 1;; n++) {
        struct err err = {0};
        fault_arm(FAULT_MEMORY, n);
        struct forward *f = forward_new(r.m, opt.ops, r.team, 16, 1, 64, &err);
        struct kv_cache *kv = f ? kv_cache_new(model_config(r.m), DT_F16, 64, 2, NULL, &err) : NULL;
        const bool was_hit = fault_disarm();
        assert_int_equal(kv == NULL, err.code != ERR_OK);
        kv_cache_free(kv);
        forward_free(f);
        if (!was_hit) break;
        assert_int_equal(err.code, ERR_MEMORY);
    }
    runner_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_equal_transformers),
        cmocka_unit_test(test_threads_give_the_same_bits),
        cmocka_unit_test(test_sequences_in_one_batch_equal_each_alone),
        cmocka_unit_test(test_sequences_do_not_see_each_other),
        cmocka_unit_test(test_forks_share_and_then_part),
        cmocka_unit_test(test_wrong_batches_change_nothing),
        cmocka_unit_test(test_full_cache_changes_nothing),
        cmocka_unit_test(test_wanted_rows_come_in_order),
        cmocka_unit_test(test_observer_sees_inputs_and_keeps_logits),
        cmocka_unit_test(test_nan_in_weights_is_reported),
        cmocka_unit_test(test_plan_says_what_is_taken),
        cmocka_unit_test(test_memory_that_fails_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
