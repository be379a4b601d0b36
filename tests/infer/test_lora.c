/* SPDX-License-Identifier: Apache-2.0
 *
 * test_lora.c - adapters: the logits of PEFT and transformers (tests/oracle/lora.py) from either
 * container over either order of rows; requests with different adapters, or none, in one batch,
 * each as if alone; and files that are refused.
 */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "infer/engine.h"
#include "model/smollm2.h"

enum { N_ALONE = 24 };

struct fixture {
    struct model *hf, *gguf; /* the same tiny weights, rows in either order */
    struct json_doc *golden;
};

static struct json_doc *open_json(const char *name)
{
    struct err err = {0};
    struct buf text;
    buf_init(&text, 1 << 20);
    assert_ok(file_read_all(golden_path(name), 1 << 20, &text, &err), &err);
    struct json_doc *d = json_parse(text.data, text.n_bytes, 1 << 20, name, &err);
    assert_ok(d, &err);
    buf_release(&text);
    return d;
}

static int open_fixture(void **state)
{
    static struct fixture f;
    struct err err = {0};
    char path[64];
    snprintf(path, sizeof path, "/tmp/cria-lora-%d.gguf", (int)getpid());
    const struct export_options opt = {
        .format = EXPORT_GGUF, .n_threads = 1, .is_overwriting = true};
    f.hf = model_open(golden_path("model/llama3"), &err);
    assert_ok(f.hf, &err);
    assert_ok(model_export(f.hf, path, &opt, NULL, NULL, &err), &err);
    f.gguf = model_open(path, &err);
    unlink(path);
    assert_ok(f.gguf, &err);
    f.golden = open_json("lora/logits.json");
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    model_close(f->hf);
    model_close(f->gguf);
    json_free(f->golden);
    return 0;
}

static struct lora *open_lora(const struct model *m, const char *name, float scale)
{
    struct err err = {0};
    struct lora *l = lora_open(golden_path(name), m, scale, &err);
    assert_ok(l, &err);
    return l;
}

static struct engine *open_engine_of(const struct model *m, const char *isa, int32_t n_seqs,
                                     bool takes_adapters, int n_threads)
{
    struct err err = {0};
    const struct engine_options opt = {.n_threads = n_threads,
                                       .isa = isa,
                                       .n_ctx = 128,
                                       .n_seqs = n_seqs,
                                       .max_batch_tok = 32,
                                       .max_logit_rows = 32,
                                       .kv_dtype = DT_F32,
                                       .takes_adapters = takes_adapters};
    struct engine *e = engine_new(m, &opt, &err);
    assert_ok(e, &err);
    return e;
}

static struct engine *open_engine(const struct model *m, const char *isa, int32_t n_seqs,
                                  bool takes_adapters)
{
    return open_engine_of(m, isa, n_seqs, takes_adapters, 2);
}

/* ---- against PEFT ---- */

struct rows {
    struct json_iter want;
    int32_t n_vocab, first, step, every; /* rows first, first + step, ..; of each every `every`th */
    float worst;
};

static bool compare_row(void *user, int32_t pos, const float *logits)
{
    struct rows *r = user;
    if (pos < r->first || (pos - r->first) % r->step != 0) return true;
    for (int32_t i = 0; i < r->n_vocab; i += r->every) {
        struct json v;
        double want = 0;
        assert_true(json_next(&r->want, NULL, NULL, &v) && json_f64(v, &want));
        r->worst = fmaxf(r->worst, fabsf(logits[i] - (float)want));
    }
    return true;
}

static float worst_of(struct engine *e, struct json golden, const char *key, int32_t first,
                      int32_t step, int32_t every)
{
    struct err err = {0};
    struct json v;
    int32_t tokens[64], n = 0;
    struct json_iter it = json_iter(json_get(golden, "tokens"));
    for (int64_t id = 0; json_next(&it, NULL, NULL, &v); tokens[n++] = (int32_t)id)
        assert_true(n < 64 && json_i64(v, &id));
    struct rows r = {.want = json_iter(json_get(golden, key)),
                     .n_vocab = model_config(engine_model(e))->n_vocab,
                     .first = first < 0 ? n - 1 : first,
                     .step = step,
                     .every = every};
    assert_ok(engine_score(e, tokens, n, 0, compare_row, &r, &err), &err);
    assert_false(json_next(&r.want, NULL, NULL, &v)); /* all of them */
    return r.worst;
}

static void test_logits_are_those_of_peft(void **state)
{
    struct fixture *f = *state;
    const struct json golden = json_get(json_root(f->golden), "tiny");
    static const char *const adapters[] = {"lora/tiny", "lora/tiny.gguf"};
    for (int v = 0; v < ops_n_variants(); v++)
        for (int base = 0; base < 2; base++)
            for (size_t i = 0; i < ARRAY_LEN(adapters); i++) {
                struct model *m = base ? f->gguf : f->hf;
                struct engine *e = open_engine(m, ops_variant(v)->name, 1, true);
                struct lora *l = open_lora(m, adapters[i], 1), *none = open_lora(m, adapters[i], 0);
                assert_int_equal(lora_n_pairs(l), 3 * 7 + 1);
                assert_int_equal(lora_rank(l), 3);
                engine_use_adapter(e, l);
                const float adapted = worst_of(e, golden, "adapted", 9, 5, 1);
                engine_use_adapter(e, none);
                const float scaled = worst_of(e, golden, "base", 9, 5, 1);
                engine_use_adapter(e, NULL);
                const float plain = worst_of(e, golden, "base", 9, 5, 1);
                /* some variants round weights and activations to bfloat16, adapters or not */
                const float bound = fmaxf(2e-3f, 4 * plain);
                if (!(adapted < bound && plain < 0.1f && scaled < bound))
                    fail_msg("%s, base %d, %s: off by %g, without by %g, at scale 0 by %g",
                             adapters[i], base, ops_variant(v)->name, (double)adapted,
                             (double)plain, (double)scaled);
                lora_close(l);
                lora_close(none);
                engine_free(e);
            }
}

static void test_of_the_default_model(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    const struct json golden = json_get(json_root(f->golden), "smollm2");
    skip_without(smollm2_path(), "the default model (cria pull)");
    struct model *m = model_open(smollm2_path(), &err);
    assert_ok(m, &err);
    struct engine *e = open_engine(m, "generic", 1, true);
    struct lora *l = open_lora(m, "lora/smollm2", 1);
    const float plain = worst_of(e, golden, "base", -1, 1, 997);
    engine_use_adapter(e, l);
    const float adapted = worst_of(e, golden, "adapted", -1, 1, 997);
    if (!(plain < 2e-3f && adapted < 2e-3f))
        fail_msg("off by %g, without adapter by %g", (double)adapted, (double)plain);
    lora_close(l);
    engine_free(e);
    model_close(m);
}

/* ---- in company ---- */

struct heard {
    int32_t ids[N_ALONE], n, n_cached;
    float logprob[N_ALONE];
    enum finish finish;
};

static bool listen(void *user, const struct engine_event *ev)
{
    struct heard *h = user;
    if (ev->token >= 0) {
        assert_true(h->n < N_ALONE);
        h->logprob[h->n] = ev->sampled->logprob;
        h->ids[h->n++] = ev->token;
    }
    h->n_cached = ev->n_cached;
    if (ev->finish) h->finish = ev->finish;
    return true;
}

static void submit(struct engine *e, struct lora *l, const int32_t *ids, int32_t n,
                   int32_t n_predict, struct heard *h)
{
    struct err err = {0};
    struct request_params p = request_defaults();
    *h = (struct heard){0};
    p.prompt = ids;
    p.n_prompt = n;
    p.n_predict = n_predict;
    p.ignores_eos = true;
    p.sampling.temperature = 0;
    p.sampling.n_logprobs = 1;
    p.adapter = l;
    p.listener = listen;
    p.user = h;
    assert_ok(engine_submit(e, &p, &err), &err);
}

static void run_all(struct engine *e)
{
    struct err err = {0};
    for (bool has_work = true; has_work;) assert_ok(engine_step(e, &has_work, &err), &err);
}

/* Seven answers to prompts that begin alike, with three adapters and none, come at once and in
 * batches that cut them anywhere. */
static void test_each_has_its_own_adapter(void **state)
{
    struct fixture *f = *state;
    static struct heard alone[7], beside[7];
    int32_t ids[60];
    struct lora *l[4] = {NULL, open_lora(f->gguf, "lora/tiny", 1),
                         open_lora(f->gguf, "lora/tiny.gguf", -0.5f),
                         open_lora(f->gguf, "lora/tiny", 0.25f)};
    struct engine *one = open_engine(f->gguf, "generic", 1, true);
    struct engine *many = open_engine(f->gguf, "generic", 5, true);
    const int64_t n_free = engine_free_tokens(many);
    for (int32_t i = 0; i < 60; i++) ids[i] = (i * 53 + 7) % 300;
    for (int i = 0; i < 7; i++) {
        engine_clear_cache(one);
        submit(one, l[i % 4], ids, 45 + i / 4, N_ALONE, &alone[i]);
        run_all(one);
    }
    for (int i = 0; i < 7; i++) submit(many, l[i % 4], ids, 45 + i / 4, N_ALONE, &beside[i]);
    run_all(many);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(beside[i].finish, FINISH_LENGTH);
        for (int32_t k = 0; k < N_ALONE; k++) {
            if (beside[i].ids[k] != alone[i].ids[k])
                fail_msg("answer %d: token %d is %d, alone %d", i, (int)k, (int)beside[i].ids[k],
                         (int)alone[i].ids[k]);
            assert_true(fabsf(beside[i].logprob[k] - alone[i].logprob[k]) < 1e-3f);
        }
    }
    assert_memory_not_equal(alone[0].ids, alone[1].ids, sizeof alone[0].ids);
    assert_memory_not_equal(alone[1].ids, alone[2].ids, sizeof alone[0].ids);
    engine_clear_cache(many);
    assert_int_equal(engine_free_tokens(many), n_free);
    engine_free(one);
    engine_free(many);
    for (int i = 0; i < 4; i++) lora_close(l[i]);
}

/* Runs of one row and of many stand side by side in these batches. */
static void test_any_number_of_threads_gives_the_same_bits(void **state)
{
    struct fixture *f = *state;
    static struct heard one[6], more[6];
    int32_t ids[60];
    struct lora *l[3] = {NULL, open_lora(f->gguf, "lora/tiny", 1),
                         open_lora(f->gguf, "lora/tiny.gguf", -0.5f)};
    for (int32_t i = 0; i < 60; i++) ids[i] = (i * 53 + 7) % 300;
    for (int v = 0; v < ops_n_variants(); v++)
        for (int n_threads = 1; n_threads <= 4; n_threads++) {
            struct heard *h = n_threads == 1 ? one : more;
            struct engine *e = open_engine_of(f->gguf, ops_variant(v)->name, 6, true, n_threads);
            memset(h, 0, sizeof one);
            for (int i = 0; i < 6; i++) submit(e, l[i % 3], ids, 5 + 11 * i, N_ALONE, &h[i]);
            run_all(e);
            engine_free(e);
            for (int i = 0; n_threads > 1 && i < 6; i++)
                if (memcmp(one[i].ids, more[i].ids, sizeof one[i].ids) != 0 ||
                    memcmp(one[i].logprob, more[i].logprob, sizeof one[i].logprob) != 0)
                    fail_msg("%s: answer %d with %d threads is another", ops_variant(v)->name, i,
                             n_threads);
        }
    for (int i = 0; i < 3; i++) lora_close(l[i]);
}

/* Adapters and none share no cached beginning, not even an adapter that was loaded again. */
static void test_keys_and_values_are_of_one_adapter(void **state)
{
    struct fixture *f = *state;
    static struct heard h;
    int32_t ids[50];
    struct engine *e = open_engine(f->hf, NULL, 2, true);
    struct lora *a = open_lora(f->hf, "lora/tiny", 1), *b = open_lora(f->hf, "lora/tiny", 1);
    struct lora *const order[] = {NULL, a, b, a, NULL, b};
    static const int32_t cached[] = {0, 0, 0, 49, 49, 49};
    for (int32_t i = 0; i < 50; i++) ids[i] = (i * 31 + 3) % 300;
    assert_int_not_equal(lora_id(a), lora_id(b));
    assert_int_equal(lora_id(NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        submit(e, order[i], ids, 50, 1, &h);
        run_all(e);
        if (h.n_cached != cached[i]) fail_msg("request %zu: %d are cached", i, (int)h.n_cached);
    }
    lora_close(a);
    lora_close(b);
    engine_free(e);
}

/* Whoever loaded it lets go while an answer runs and one waits. */
static void test_an_adapter_lives_as_long_as_its_requests(void **state)
{
    struct fixture *f = *state;
    static struct heard want, first, second;
    struct err err = {0};
    bool has_work = true;
    int32_t ids[20] = {1, 5, 9};
    struct engine *e = open_engine(f->hf, NULL, 1, true);
    struct lora *l = open_lora(f->hf, "lora/tiny", 1);
    submit(e, l, ids, 20, N_ALONE, &want);
    run_all(e);
    engine_clear_cache(e);
    submit(e, l, ids, 20, N_ALONE, &first);
    submit(e, l, ids, 20, N_ALONE, &second);
    for (int i = 0; i < 3; i++) assert_ok(engine_step(e, &has_work, &err), &err);
    lora_close(l);
    run_all(e);
    assert_memory_equal(first.ids, want.ids, sizeof want.ids);
    assert_int_equal(second.n, N_ALONE);
    engine_free(e);
}

static void test_an_engine_without_memory_for_it(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    int32_t id = 1;
    struct engine *e = open_engine(f->hf, NULL, 1, false);
    struct lora *l = open_lora(f->hf, "lora/tiny", 1);
    struct request_params p = request_defaults();
    p.prompt = &id;
    p.n_prompt = 1;
    p.adapter = l;
    assert_int_equal(engine_submit(e, &p, &err), 0);
    assert_int_equal(err.code, ERR_USAGE);
    lora_close(l);
    engine_free(e);
}

/* ---- what is refused ---- */

#define Q "base_model.model.model.layers.0.self_attn.q_proj"
#define CONFIG "{\"peft_type\":\"LORA\",\"lora_alpha\":2"
#define F32(name, rows, cols, begin, end)                                                          \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[" rows "," cols "],\"data_offsets\":[" begin       \
    "," end "]}"
#define A_OK F32(Q ".lora_A.weight", "2", "32", "0", "256")
#define B_OK F32(Q ".lora_B.weight", "32", "2", "256", "512")

static const struct bad {
    const char *what, *config, *header;
    size_t n_data;
    enum err_code code; /* ERR_OK: it opens */
    const char *says;
} bads[] = {
    /* clang-format off */
    {"nothing wrong", CONFIG "}", "{" A_OK "," B_OK "}", 512, ERR_OK, ""},
    {"bias none", CONFIG ",\"bias\":\"none\",\"modules_to_save\":null,\"alpha_pattern\":{}}", "{" A_OK "," B_OK "}", 512, ERR_OK, ""},
    {"no JSON", "{", "{" A_OK "," B_OK "}", 512, ERR_FORMAT, ""},
    {"no object", "[]", "{" A_OK "," B_OK "}", 512, ERR_FORMAT, "no object"},
    {"a key twice", CONFIG ",\"lora_alpha\":3}", "{" A_OK "," B_OK "}", 512, ERR_FORMAT, "a key once each"},
    {"another method", "{\"peft_type\":\"IA3\",\"lora_alpha\":2}", "{" A_OK "," B_OK "}", 512, ERR_UNSUPPORTED, "peft_type is \"IA3\""},
    {"no method", "{\"lora_alpha\":2}", "{" A_OK "," B_OK "}", 512, ERR_UNSUPPORTED, "peft_type"},
    {"no alpha", "{\"peft_type\":\"LORA\"}", "{" A_OK "," B_OK "}", 512, ERR_FORMAT, "lora_alpha"},
    {"alpha of a text", "{\"peft_type\":\"LORA\",\"lora_alpha\":\"8\"}", "{" A_OK "," B_OK "}", 512, ERR_FORMAT, "lora_alpha"},
    {"alpha NaN", "{\"peft_type\":\"LORA\",\"lora_alpha\":NaN}", "{" A_OK "," B_OK "}", 512, ERR_FORMAT, ""},
    {"alpha too large", "{\"peft_type\":\"LORA\",\"lora_alpha\":1e300}", "{" A_OK "," B_OK "}", 512, ERR_FORMAT, "lora_alpha"},
    {"DoRA", CONFIG ",\"use_dora\":true}", "{" A_OK "," B_OK "}", 512, ERR_UNSUPPORTED, "use_dora"},
    {"biases", CONFIG ",\"bias\":\"all\"}", "{" A_OK "," B_OK "}", 512, ERR_UNSUPPORTED, "bias"},
    {"modules saved whole", CONFIG ",\"modules_to_save\":[\"lm_head\"]}", "{" A_OK "," B_OK "}", 512, ERR_UNSUPPORTED, "modules_to_save"},
    {"alphas by module", CONFIG ",\"alpha_pattern\":{\"q_proj\":4}}", "{" A_OK "," B_OK "}", 512, ERR_UNSUPPORTED, "alpha_pattern"},
    {"no tensor", CONFIG "}", "{}", 0, ERR_FORMAT, ""},
    {"A without B", CONFIG "}", "{" A_OK "}", 256, ERR_FORMAT, "A has rank 2, B has 0"},
    {"B without A", CONFIG "}", "{" F32(Q ".lora_B.weight", "32", "2", "0", "256") "}", 256, ERR_FORMAT, "A has rank 0, B has 2"},
    {"ranks that differ", CONFIG "}", "{" A_OK "," F32(Q ".lora_B.weight", "32", "1", "256", "384") "}", 384, ERR_FORMAT, "A has rank 2, B has 1"},
    {"A of another width", CONFIG "}", "{" F32(Q ".lora_A.weight", "2", "16", "0", "128") "}", 128, ERR_FORMAT, "q_proj.lora_A.weight: 2 dimensions, 2 rows of 16, but this model's has 32 columns"},
    {"B of another height", CONFIG "}", "{" F32(Q ".lora_B.weight", "16", "2", "0", "128") "}", 128, ERR_FORMAT, "has 32 rows"},
    {"rank beyond ours", CONFIG "}", "{" F32(Q ".lora_A.weight", "257", "32", "0", "32896") "}", 32896, ERR_LIMIT, "rank 257"},
    {"a layer that is not there", CONFIG "}", "{" F32("base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight", "2", "32", "0", "256") "}", 256, ERR_UNSUPPORTED, "layers.3.self_attn"},
    {"a layer below 0", CONFIG "}", "{" F32("base_model.model.model.layers.-1.self_attn.q_proj.lora_A.weight", "2", "32", "0", "256") "}", 256, ERR_UNSUPPORTED, "layers.-1.self_attn"},
    {"an unknown module", CONFIG "}", "{" F32("base_model.model.model.layers.0.self_attn.qkv.lora_A.weight", "2", "32", "0", "256") "}", 256, ERR_UNSUPPORTED, "self_attn.qkv.lora_A"},
    {"an embedding", CONFIG "}", "{" F32("base_model.model.model.embed_tokens.lora_embedding_A", "2", "32", "0", "256") "}", 256, ERR_UNSUPPORTED, "embed_tokens"},
    {"a norm", CONFIG "}", "{" F32("base_model.model.model.norm.lora_A.weight", "2", "32", "0", "256") "}", 256, ERR_UNSUPPORTED, "model.norm"},
    {"a magnitude", CONFIG "}", "{" A_OK "," F32(Q ".lora_magnitude_vector", "32", "2", "256", "512") "}", 512, ERR_UNSUPPORTED, "lora_magnitude_vector"},
    {"without the prefix", CONFIG "}", "{" F32("model.layers.0.self_attn.q_proj.lora_A.weight", "2", "32", "0", "256") "}", 256, ERR_UNSUPPORTED, "no product"},
    {"one dimension", CONFIG "}", "{\"" Q ".lora_A.weight\":{\"dtype\":\"F32\",\"shape\":[64],\"data_offsets\":[0,256]}}", 256, ERR_FORMAT, "1 dimensions"},
    {"a type that we cannot read", CONFIG "}", "{\"" Q ".lora_A.weight\":{\"dtype\":\"I32\",\"shape\":[2,32],\"data_offsets\":[0,256]}}", 256, ERR_UNSUPPORTED, "type I32"},
    {"data cut off", CONFIG "}", "{" A_OK "," B_OK "}", 500, ERR_FORMAT, ""},
    /* clang-format on */
};

static struct lora *open_parts(const struct bad *b, const struct model *m, float value,
                               struct err *err)
{
    const size_t n_header = strlen(b->header), n = 8 + n_header + b->n_data;
    uint8_t *file = malloc(n);
    assert_non_null(file);
    for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)n_header >> 8 * i);
    memcpy(file + 8, b->header, n_header);
    for (size_t i = 0; i + 4 <= b->n_data; i += 4) memcpy(file + 8 + n_header + i, &value, 4);
    struct lora *l = lora_from_peft(b->config, strlen(b->config), file, n, "adapter", m, 1, err);
    free(file); /* nothing of it is kept */
    return l;
}

static void test_bad_adapters_are_refused(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
        struct err err = {0};
        struct lora *l = open_parts(&bads[i], f->hf, 0.5f, &err);
        if (err.code != bads[i].code || !strstr(err.text, bads[i].says) ||
            (l != NULL) != (bads[i].code == ERR_OK))
            fail_msg("%s: \"%s\"", bads[i].what, err.text);
        lora_close(l);
    }
    struct err err = {0};
    assert_null(open_parts(&bads[0], f->hf, NAN, &err));
    assert_non_null(strstr(err.text, "row 0 has nan"));
}

/* A byte string in the golden file is replaced by another of its length. */
static void test_bad_gguf_adapters_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *what, *from, *to;
        size_t skip, n; /* replaced are n bytes, `skip` behind the beginning of `from` */
        const char *says;
    } cases[] = {
        /* clang-format off */
        {"nothing",            "adapter.lora.alpha", "adapter.lora.alpha", 0, 18, NULL},
        {"alpha NaN",          "adapter.lora.alpha", "\0\0\xc0\x7f", 22, 4, "adapter.lora.alpha"},
        {"alpha infinite",     "adapter.lora.alpha", "\0\0\x80\x7f", 22, 4, "adapter.lora.alpha"},
        {"alpha of a text",    "adapter.lora.alpha", "\x08\0\0\0", 18, 4, ""},
        {"no alpha",           "adapter.lora.alpha", "adapter.lora.alphx", 0, 18, "alpha is missing"},
        {"no method",          "adapter.type", "adapter.tipe", 0, 12, "adapter.type"},
        {"another ending",     "blk.1.attn_q.weight.lora_a", "blk.1.attn_q.weight.lora_x", 0, 26, "lora_x: no product"},
        {"another layer",      "blk.1.attn_q.weight.lora_a", "blk.9.attn_q.weight.lora_a", 0, 26, "blk.9.attn_q.weight.lora_a: no product"},
        {"a name twice",       "blk.1.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_a", 0, 26, "blk.0.attn_q.weight.lora_a"},
        {"another module",     "blk.1.attn_q.weight.lora_a", "blk.1.attn_x.weight.lora_a", 0, 26, "attn_x.weight.lora_a: no product"},
        /* clang-format on */
    };
    struct buf file;
    struct err none = {0};
    buf_init(&file, 1 << 20);
    assert_ok(file_read_all(golden_path("lora/tiny.gguf"), 1 << 20, &file, &none), &none);
    uint8_t *copy = malloc(file.n_bytes);
    assert_non_null(copy);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        memcpy(copy, file.data, file.n_bytes);
        uint8_t *at = memmem(copy, file.n_bytes, cases[i].from, strlen(cases[i].from));
        assert_non_null(at);
        memcpy(at + cases[i].skip, cases[i].to, cases[i].n);
        struct lora *l = lora_from_gguf(copy, file.n_bytes, "adapter", f->hf, 1, &err);
        if (cases[i].says ? l || !strstr(err.text, cases[i].says) : !l)
            fail_msg("%s: \"%s\"", cases[i].what, err.text);
        lora_close(l);
    }
    for (size_t n = 0; n < file.n_bytes; n += n < 3000 ? 1 : 997) { /* cut off anywhere */
        struct err err = {0};
        uint8_t *part = malloc(n + 1);
        assert_non_null(part);
        memcpy(part, file.data, n);
        if (lora_from_gguf(part, n, "adapter", f->hf, 1, &err) || err.code == ERR_OK)
            fail_msg("cut off at %zu", n);
        free(part);
    }
    free(copy);
    buf_release(&file);
}

static void test_files_that_are_no_adapters(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *path, *says;
    } cases[] = {{"lora/none", "lora/none"},
                 {"lora", "adapter_config.json"},
                 {"model/imatrix.gguf", "general.type is 'imatrix', expected 'adapter'"},
                 {"model/llama3-f16.gguf", "general.type"},
                 {"lora/logits.json", "logits.json"},
                 {"lora/smollm2", "layers.20.mlp.down_proj.lora_A.weight: no product"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        assert_null(lora_open(golden_path(cases[i].path), f->hf, 1, &err));
        if (!strstr(err.text, cases[i].says)) fail_msg("%s: \"%s\"", cases[i].path, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_are_those_of_peft),
        cmocka_unit_test(test_of_the_default_model),
        cmocka_unit_test(test_each_has_its_own_adapter),
        cmocka_unit_test(test_any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(test_keys_and_values_are_of_one_adapter),
        cmocka_unit_test(test_an_adapter_lives_as_long_as_its_requests),
        cmocka_unit_test(test_an_engine_without_memory_for_it),
        cmocka_unit_test(test_bad_adapters_are_refused),
        cmocka_unit_test(test_bad_gguf_adapters_are_refused),
        cmocka_unit_test(test_files_that_are_no_adapters),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
