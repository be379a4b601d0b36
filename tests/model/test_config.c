/* SPDX-License-Identifier: Apache-2.0
 *
 * test_config.c - configurations of all three sources: what is read, what is refused and why, and
 * the rotary frequencies against the check values of spec/llama3.md 1.5.
 */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "model/config.h"

#define LLAMA_8B                                                                                   \
    "\"model_type\":\"llama\",\"hidden_size\":4096,\"intermediate_size\":14336,"                   \
    "\"num_attention_heads\":32,\"num_hidden_layers\":32,\"num_key_value_heads\":8,"               \
    "\"rms_norm_eps\":1e-05,\"vocab_size\":128256,\"max_position_embeddings\":131072"
#define SCALED(factor)                                                                             \
    "{\"rope_type\":\"llama3\",\"factor\":" factor ",\"low_freq_factor\":1.0,"                     \
    "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192}"

/* ---- config.json ---- */

static bool from_hf(const char *text, struct model_config *c, struct err *err)
{
    struct json_doc *doc = json_parse(text, strlen(text), 1 << 20, "config.json", err);
    assert_ok(doc != NULL, err);
    const bool ok = config_from_hf(json_root(doc), "config.json", c, err);
    json_free(doc);
    return ok;
}

static void test_hf_reads_llama3(void **state)
{
    struct model_config c = {0};
    struct err err = {0};
    (void)state;
    assert_ok(
        from_hf(
            "{" LLAMA_8B ",\"rope_theta\":500000.0,\"rope_scaling\":" SCALED(
                "8.0") ",\"tie_word_embeddings\":false,\"attention_bias\":false,\"head_dim\":null}",
            &c, &err),
        &err);
    assert_int_equal(c.n_layers, 32);
    assert_int_equal(c.d_head, 128);
    assert_int_equal(c.n_kv_heads, 8);
    assert_int_equal(c.rope_scaling, ROPE_SCALING_LLAMA3);
    assert_int_equal(c.rope_pairs, ROPE_HALVES);
    assert_true(c.rope_theta == 500000 && c.rope_factor == 8 && c.rope_orig_ctx == 8192);
    assert_true(!c.is_tied && !c.has_attn_bias && !c.has_mlp_bias);
    assert_int_equal(config_n_params(&c), 8030261248); /* spec/llama3.md 1.3 */
    assert_int_equal(config_kv_bytes(&c, DT_F16), 131072);
}

static void test_hf_reads_other_spellings(void **state)
{
    struct model_config c = {0};
    struct err err = {0};
    (void)state;
    assert_ok(from_hf("{" LLAMA_8B ",\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2,"
                      "\"rope_theta\":10000.0},\"mlp_bias\":true,\"tie_word_embeddings\":true}",
                      &c, &err),
              &err);
    assert_true(c.rope_scaling == ROPE_SCALING_LINEAR && c.rope_theta == 10000 &&
                c.rope_factor == 2);
    assert_true(c.is_tied && c.has_mlp_bias && !c.has_attn_bias);
    assert_ok(
        from_hf("{" LLAMA_8B ",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":4.0}}", &c, &err),
        &err);
    assert_true(c.rope_scaling == ROPE_SCALING_DYNAMIC && c.rope_factor == 4);
    assert_ok(from_hf("{" LLAMA_8B ",\"rope_parameters\":{\"rope_theta\":5e5}}", &c, &err), &err);
    assert_true(c.rope_scaling == ROPE_SCALING_NONE && c.rope_theta == 500000);
}

static void test_hf_refuses(void **state)
{
    static const struct hf_case {
        const char *text, *says;
        enum err_code code;
    } cases[] = {
        /* clang-format off */
        {"[]",                                                   "no JSON object",       ERR_FORMAT},
        {"{}",                                                   "is missing",           ERR_FORMAT},
        {"{" LLAMA_8B ",\"hidden_size\":1}",                     "hidden_size: is there twice", ERR_FORMAT},
        {"{" LLAMA_8B ",\"head_dim\":0}",                        "head_dim: 0",          ERR_LIMIT},
        {"{" LLAMA_8B ",\"head_dim\":-128}",                     "head_dim: -128",       ERR_LIMIT},
        {"{" LLAMA_8B ",\"head_dim\":127}",                      "127 is odd",           ERR_FORMAT},
        {"{" LLAMA_8B ",\"head_dim\":\"128\"}",                  "no whole number",      ERR_FORMAT},
        {"{" LLAMA_8B ",\"head_dim\":99999999999}",              "head_dim: 99999999999", ERR_LIMIT},
        {"{" LLAMA_8B ",\"rope_theta\":0.5}",                    "rope_theta: 0.5",      ERR_LIMIT},
        {"{" LLAMA_8B ",\"rope_theta\":1e300}",                  "rope_theta",           ERR_LIMIT},
        {"{" LLAMA_8B ",\"hidden_act\":\"gelu\"}",               "'gelu' is not supported", ERR_UNSUPPORTED},
        {"{" LLAMA_8B ",\"sliding_window\":4096}",               "sliding_window",       ERR_UNSUPPORTED},
        {"{" LLAMA_8B ",\"num_local_experts\":8}",               "num_local_experts",    ERR_UNSUPPORTED},
        {"{" LLAMA_8B ",\"quantization_config\":{}}",            "quantization_config",  ERR_UNSUPPORTED},
        {"{" LLAMA_8B ",\"partial_rotary_factor\":0.5}",         "partial_rotary_factor", ERR_UNSUPPORTED},
        {"{" LLAMA_8B ",\"attention_bias\":1}",                  "attention_bias",       ERR_FORMAT},
        {"{" LLAMA_8B ",\"rope_scaling\":7}",                    "rope_scaling",         ERR_FORMAT},
        {"{" LLAMA_8B ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}}", "'yarn'",   ERR_UNSUPPORTED},
        {"{" LLAMA_8B ",\"rope_scaling\":{\"type\":\"linear\"}}", "factor: 0",           ERR_LIMIT},
        {"{" LLAMA_8B ",\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8}}", "low_freq_factor", ERR_LIMIT},
        {"{\"model_type\":\"mixtral\"}",                         "'mixtral' is not supported", ERR_UNSUPPORTED},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct model_config c = {.n_layers = 77};
        struct err err = {0};
        const bool ok = from_hf(cases[i].text, &c, &err);
        if (ok || err.code != cases[i].code || !strstr(err.text, cases[i].says) ||
            !strstr(err.text, "config.json") || c.n_layers != 77)
            fail_msg("%s: %s", cases[i].text, ok ? "was taken" : err.text);
    }
}

/* ---- params.json ---- */

static bool from_meta(const char *text, int32_t n_vocab, struct model_config *c, struct err *err)
{
    struct json_doc *doc = json_parse(text, strlen(text), 1 << 20, "params.json", err);
    assert_ok(doc != NULL, err);
    const bool ok = config_from_meta(json_root(doc), "params.json", n_vocab, c, err);
    json_free(doc);
    return ok;
}

/* spec/llama3.md 1.1 and 1.2. */
static void test_meta_derives_the_published_sizes(void **state)
{
    static const struct meta_case {
        const char *text;
        int32_t d_ff, n_ctx;
        double factor;
    } cases[] = {
        /* clang-format off */
        {"{\"dim\":2048,\"n_layers\":16,\"n_heads\":32,\"n_kv_heads\":8,\"vocab_size\":128256,\"ffn_dim_multiplier\":1.5,\"multiple_of\":256,\"norm_eps\":1e-5,\"rope_theta\":500000.0,\"use_scaled_rope\":true}", 8192, 131072, 32},
        {"{\"dim\":3072,\"n_layers\":28,\"n_heads\":24,\"n_kv_heads\":8,\"vocab_size\":128256,\"ffn_dim_multiplier\":1.0,\"multiple_of\":256,\"norm_eps\":1e-5,\"rope_theta\":500000.0,\"use_scaled_rope\":true}", 8192, 131072, 32},
        {"{\"dim\":4096,\"n_layers\":32,\"n_heads\":32,\"n_kv_heads\":8,\"vocab_size\":128256,\"ffn_dim_multiplier\":1.3,\"multiple_of\":1024,\"norm_eps\":1e-5,\"rope_theta\":500000.0}", 14336, 8192, 0},
        {"{\"dim\":8192,\"n_layers\":80,\"n_heads\":64,\"n_kv_heads\":8,\"vocab_size\":128256,\"ffn_dim_multiplier\":1.3,\"multiple_of\":4096,\"norm_eps\":1e-5,\"rope_theta\":500000.0,\"use_scaled_rope\":true}", 28672, 131072, 8},
        {"{\"dim\":16384,\"n_layers\":126,\"n_heads\":128,\"n_kv_heads\":8,\"vocab_size\":128256,\"ffn_dim_multiplier\":1.2,\"multiple_of\":4096,\"norm_eps\":1e-5,\"rope_theta\":500000.0,\"use_scaled_rope\":true}", 53248, 131072, 8},
        {"{\"dim\":4096,\"multiple_of\":256,\"n_heads\":32,\"n_layers\":32,\"norm_eps\":1e-05,\"vocab_size\":-1}", 11008, 4096, 0},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct model_config c = {0};
        struct err err = {0};
        assert_ok(from_meta(cases[i].text, 32000, &c, &err), &err);
        const double factor = c.rope_scaling == ROPE_SCALING_LLAMA3 ? c.rope_factor : 0;
        if (c.d_ff != cases[i].d_ff || c.n_ctx != cases[i].n_ctx || factor != cases[i].factor)
            fail_msg("%s: d_ff %d, context %d, factor %g", cases[i].text, c.d_ff, c.n_ctx, factor);
    }
}

static void test_meta_refuses(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        /* clang-format off */
        {"{\"n_layers\":1,\"n_heads\":4,\"vocab_size\":8}",                               "dim: is missing"},
        {"{\"dim\":100,\"n_layers\":1,\"n_heads\":3,\"vocab_size\":8}",                   "100 is not a multiple of 3"},
        {"{\"dim\":32,\"n_layers\":1,\"n_heads\":4,\"n_kv_heads\":3,\"vocab_size\":8}",   "not a multiple of 3"},
        {"{\"dim\":32,\"n_layers\":0,\"n_heads\":4,\"vocab_size\":8}",                    "n_layers: 0"},
        {"{\"dim\":32,\"n_layers\":1,\"n_heads\":4,\"multiple_of\":0}",                   "multiple_of: 0"},
        {"{\"dim\":32,\"n_layers\":1,\"n_heads\":4,\"ffn_dim_multiplier\":1e9}",          "ffn_dim_multiplier"},
        {"{\"dim\":32,\"n_layers\":1,\"n_heads\":4,\"vocab_size\":-1}",                   "vocab_size: -1"},
        {"{\"dim\":32,\"n_layers\":1,\"n_heads\":4,\"use_scaled_rope\":3}",               "use_scaled_rope"},
        {"{\"dim\":32,\"n_layers\":1,\"n_heads\":4,\"moe\":{}}",                          "experts"},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct model_config c = {0};
        struct err err = {0};
        const bool ok = from_meta(cases[i].text, -1, &c, &err);
        if (ok || !strstr(err.text, cases[i].says))
            fail_msg("%s: %s", cases[i].text, ok ? "was taken" : err.text);
    }
}

/* ---- GGUF ---- */

static const char *gguf_path_tmp(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/cria-test-config-%d.gguf", (int)getpid());
    return path;
}

struct extra {
    const char *key;
    enum gguf_type type; /* U32, F32, STRING, BOOL; ARRAY: two numbers 2 and `number` */
    double number;
    const char *text;
};

static void put_extra(struct gguf_writer *w, const struct extra *e)
{
    const int32_t two[] = {2, (int32_t)e->number};
    if (e->type == GGUF_U32) gguf_put_u32(w, e->key, (uint32_t)e->number);
    if (e->type == GGUF_F32) gguf_put_f32(w, e->key, (float)e->number);
    if (e->type == GGUF_BOOL) gguf_put_bool(w, e->key, e->number != 0);
    if (e->type == GGUF_STRING) gguf_put_str(w, e->key, e->text, strlen(e->text));
    if (e->type == GGUF_ARRAY) gguf_put_i32_array(w, e->key, two, 2);
}

static void put_base(struct gguf_writer *w, const struct extra *e)
{
    static const struct extra base[] = {
        {"general.architecture", GGUF_STRING, 0, "llama"},
        {"llama.block_count", GGUF_U32, 2, NULL},
        {"llama.context_length", GGUF_U32, 128, NULL},
        {"llama.embedding_length", GGUF_U32, 32, NULL},
        {"llama.feed_forward_length", GGUF_U32, 64, NULL},
        {"llama.attention.head_count", GGUF_U32, 4, NULL},
        {"llama.attention.head_count_kv", GGUF_U32, 2, NULL},
        {"llama.attention.layer_norm_rms_epsilon", GGUF_F32, 1e-5, NULL},
        {"llama.rope.freq_base", GGUF_F32, 10000, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(base); i++)
        if (!e || strcmp(e->key, base[i].key) != 0) put_extra(w, &base[i]);
}

/* A file with the keys of a small model and an embedding; one key added or replaced (type U8:
 * left out); rope_freqs.weight when n_freqs > 0. */
static bool from_gguf(const struct extra *e, const float *freqs, int64_t n_freqs,
                      struct model_config *c, struct err *err)
{
    static const float zeros[16 * 32];
    const int64_t shape[] = {16, 32};
    struct err why = {0};
    struct gguf_writer *w = gguf_writer_new(&why);
    assert_ok(w != NULL, &why);
    put_base(w, e);
    if (e && e->type != GGUF_U8) put_extra(w, e);
    gguf_put_tensor(w, "token_embd.weight", DT_F32, 2, shape);
    if (n_freqs) gguf_put_tensor(w, "rope_freqs.weight", DT_F32, 1, &n_freqs);
    assert_ok(gguf_writer_begin(w, gguf_path_tmp(), &why), &why);
    assert_ok(gguf_writer_data(w, zeros, sizeof zeros, &why), &why);
    if (n_freqs) assert_ok(gguf_writer_data(w, freqs, (size_t)n_freqs * 4, &why), &why);
    assert_ok(gguf_writer_commit(w, &why), &why);
    gguf_writer_free(w);
    struct gguf *g = gguf_open(gguf_path_tmp(), &why);
    assert_ok(g != NULL, &why);
    const bool ok = config_from_gguf(g, c, err);
    c->rope_divisor = NULL; /* lives in the file */
    gguf_close(g);
    remove(gguf_path_tmp());
    return ok;
}

static void test_gguf_reads_keys_and_tensors(void **state)
{
    struct model_config c = {0};
    struct err err = {0};
    (void)state;
    assert_ok(from_gguf(NULL, NULL, 0, &c, &err), &err);
    assert_true(c.n_layers == 2 && c.d_head == 8 && c.n_kv_heads == 2 && c.n_vocab == 16);
    assert_true(c.is_tied && !c.has_attn_bias && c.rope_pairs == ROPE_ADJACENT);
    assert_true(c.rope_scaling == ROPE_SCALING_NONE && c.rope_theta == 10000);
    const struct extra same = {"llama.attention.head_count_kv", GGUF_ARRAY, 2, NULL};
    assert_ok(from_gguf(&same, NULL, 0, &c, &err), &err);
    assert_int_equal(c.n_kv_heads, 2);
}

static void test_gguf_refuses(void **state)
{
    static const struct gguf_case {
        struct extra extra;
        const char *says;
        enum err_code code;
    } cases[] = {
        /* clang-format off */
        {{"general.architecture", GGUF_STRING, 0, "qwen2"},          "'qwen2' is not supported",  ERR_UNSUPPORTED},
        {{"general.architecture", GGUF_U8, 0, NULL},                 "general.architecture",      ERR_UNSUPPORTED},
        {{"general.type", GGUF_STRING, 0, "adapter"},                "'adapter' is not a model",  ERR_UNSUPPORTED},
        {{"llama.block_count", GGUF_U8, 0, NULL},                    "is missing",                ERR_FORMAT},
        {{"llama.block_count", GGUF_U32, 0, NULL},                   "llama.block_count",         ERR_FORMAT},
        {{"llama.block_count", GGUF_U32, 4e9, NULL},                 "llama.block_count",         ERR_FORMAT},
        {{"llama.block_count", GGUF_STRING, 0, "two"},               "llama.block_count",         ERR_FORMAT},
        {{"llama.attention.head_count", GGUF_U32, 5, NULL},          "not a multiple of 5",       ERR_FORMAT},
        {{"llama.attention.head_count_kv", GGUF_ARRAY, 4, NULL},     "layers differ",             ERR_UNSUPPORTED},
        {{"llama.rope.dimension_count", GGUF_U32, 4, NULL},          "differs from the head",     ERR_UNSUPPORTED},
        {{"llama.attention.value_length", GGUF_U32, 16, NULL},       "differs from the head",     ERR_UNSUPPORTED},
        {{"llama.expert_count", GGUF_U32, 8, NULL},                  "expert_count: 8",           ERR_UNSUPPORTED},
        {{"llama.attention.sliding_window", GGUF_U32, 64, NULL},     "sliding_window: 64",        ERR_UNSUPPORTED},
        {{"llama.rope.scaling.type", GGUF_STRING, 0, "yarn"},        "'yarn'",                    ERR_UNSUPPORTED},
        {{"llama.rope.freq_base", GGUF_F32, -1, NULL},               "freq_base",                 ERR_FORMAT},
        {{"llama.attention.layer_norm_rms_epsilon", GGUF_F32, NAN, NULL}, "epsilon",              ERR_FORMAT},
        {{"llama.vocab_size", GGUF_U32, 17, NULL},                   "has 16 rows",               ERR_FORMAT},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct model_config c = {0};
        struct err err = {0};
        const bool ok = from_gguf(&cases[i].extra, NULL, 0, &c, &err);
        const bool is_code = err.code == cases[i].code || err.code == ERR_LIMIT;
        if (ok || !is_code || !strstr(err.text, cases[i].says) || !strstr(err.text, ".gguf"))
            fail_msg("%s: %s", cases[i].extra.key, ok ? "was taken" : err.text);
    }
}

/* Divisors that a llama3 formula made: its numbers come back. Others stay nameless. */
static void test_gguf_divisors_become_numbers(void **state)
{
    static const struct divisor_case {
        double theta, factor;
        int32_t d_head, orig;
        double low, high;
    } cases[] = {
        /* clang-format off */
        {500000, 8,  128, 8192, 1, 4},
        {500000, 32, 64,  8192, 1, 4},
        {10000,  8,  128, 32,   1, 4},
        {500000, 16, 128, 4096, 1, 8},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct model_config made = {.d_head = cases[i].d_head,
                                    .rope_theta = cases[i].theta,
                                    .rope_scaling = ROPE_SCALING_LLAMA3,
                                    .rope_factor = cases[i].factor,
                                    .rope_low_freq_factor = cases[i].low,
                                    .rope_high_freq_factor = cases[i].high,
                                    .rope_orig_ctx = cases[i].orig};
        struct model_config got = {.n_layers = 1,
                                   .d_model = 64,
                                   .n_heads = 2,
                                   .n_kv_heads = 1,
                                   .d_ff = 64,
                                   .n_vocab = 9,
                                   .n_ctx = 64,
                                   .norm_eps = 1e-5f,
                                   .d_head = cases[i].d_head,
                                   .rope_theta = cases[i].theta};
        double scaled[64], plain[64], again[64];
        float divisor[64];
        struct err err = {0};
        config_inv_freq(&made, 0, scaled);
        config_inv_freq(&got, 0, plain);
        for (int k = 0; k < made.d_head / 2; k++) divisor[k] = (float)(plain[k] / scaled[k]);
        assert_ok(config_set_divisors(&got, divisor, made.d_head / 2, "x.gguf", &err), &err);
        if (got.rope_scaling != ROPE_SCALING_LLAMA3 ||
            fabs(got.rope_factor - made.rope_factor) > 1e-4 ||
            got.rope_orig_ctx != made.rope_orig_ctx ||
            fabs(got.rope_high_freq_factor - made.rope_high_freq_factor) > 1e-2)
            fail_msg("case %zu: kind %d factor %g context %d high %g", i, got.rope_scaling,
                     got.rope_factor, got.rope_orig_ctx, got.rope_high_freq_factor);
        config_inv_freq(&got, 0, again);
        for (int k = 0; k < made.d_head / 2; k++)
            assert_true(fabs(again[k] / scaled[k] - 1) < 1e-6);
    }
}

/* Few frequencies leave the numbers open: some are found that give these divisors. */
static void test_narrow_heads_get_some_formula(void **state)
{
    static const int32_t heads[] = {2, 4, 8, 16, 32}, origs[] = {4, 8, 32, 100, 1000, 8192};
    static const double factors[] = {2, 8, 32};
    (void)state;
    for (size_t i = 0; i < 5 * 6 * 3; i++) {
        struct model_config made = {.d_head = heads[i % 5],
                                    .n_layers = 1,
                                    .d_model = 64,
                                    .n_heads = 2,
                                    .n_kv_heads = 1,
                                    .d_ff = 64,
                                    .n_vocab = 9,
                                    .n_ctx = 64,
                                    .norm_eps = 1e-5f,
                                    .rope_theta = 10000};
        struct model_config got = made;
        double scaled[16], plain[16], again[16];
        float divisor[16];
        struct err err = {0};
        made.rope_scaling = ROPE_SCALING_LLAMA3;
        made.rope_factor = factors[i / 30];
        made.rope_low_freq_factor = 1;
        made.rope_high_freq_factor = 4;
        made.rope_orig_ctx = origs[i / 5 % 6];
        config_inv_freq(&made, 0, scaled);
        config_inv_freq(&got, 0, plain);
        for (int k = 0; k < made.d_head / 2; k++) divisor[k] = (float)(plain[k] / scaled[k]);
        assert_ok(config_set_divisors(&got, divisor, made.d_head / 2, "x.gguf", &err), &err);
        got.rope_divisor = NULL;
        config_inv_freq(&got, 0, again);
        for (int k = 0; k < made.d_head / 2; k++)
            if (got.rope_scaling != ROPE_SCALING_LLAMA3 || fabs(again[k] / scaled[k] - 1) > 1e-4)
                fail_msg("width %d, context %d, factor %g: kind %d, frequency %d is %g not %g",
                         made.d_head, made.rope_orig_ctx, made.rope_factor, got.rope_scaling, k,
                         again[k], scaled[k]);
    }
}

static void test_gguf_divisors_are_checked(void **state)
{
    static const struct {
        float value[4];
        int64_t n;
        const char *says; /* NULL: taken, without a name */
    } cases[] = {{{1, 1, 2, 8}, 3, "has 3 elements, expected 4"},
                 {{1, 1, NAN, 8}, 4, "rope_freqs.weight"},
                 {{1, 1, 0, 8}, 4, "rope_freqs.weight"},
                 {{1, 1, INFINITY, 8}, 4, "rope_freqs.weight"},
                 {{3, 1, 2, 1.5f}, 4, NULL}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct model_config c = {0};
        struct err err = {0};
        const bool ok = from_gguf(NULL, cases[i].value, cases[i].n, &c, &err);
        if (ok != !cases[i].says || (!ok && !strstr(err.text, cases[i].says)))
            fail_msg("case %zu: %s", i, ok ? "was taken" : err.text);
        if (ok) assert_int_equal(c.rope_scaling, ROPE_SCALING_NONE);
    }
}

/* ---- frequencies ---- */

/* The check values of spec/llama3.md 1.5, to their nine digits. */
static void test_frequencies_of_the_spec(void **state)
{
    static const struct freq_case {
        int32_t d_head;
        double factor;
        int i;
        double want;
    } cases[] = {
        /* clang-format off */
        {128, 8,  0,  1},              {128, 8,  1,  0.814617234},   {128, 8,  16, 0.0376060309},
        {128, 8,  28, 0.00321144599},  {128, 8,  29, 0.00216657076}, {128, 8,  32, 0.000524846161},
        {128, 8,  34, 0.000178507813}, {128, 8,  35, 9.55621235e-05}, {128, 8, 63, 3.06892599e-07},
        {64,  32, 14, 0.00321144599},  {64,  32, 15, 0.00129054793}, {64,  32, 16, 0.000429556797},
        {64,  32, 17, 9.7082878e-05},  {64,  32, 18, 1.94616382e-05},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct model_config c = {.d_head = cases[i].d_head,
                                       .rope_theta = 500000,
                                       .rope_scaling = ROPE_SCALING_LLAMA3,
                                       .rope_factor = cases[i].factor,
                                       .rope_low_freq_factor = 1,
                                       .rope_high_freq_factor = 4,
                                       .rope_orig_ctx = 8192};
        double freq[64];
        config_inv_freq(&c, 0, freq);
        if (fabs(freq[cases[i].i] / cases[i].want - 1) > 2e-8)
            fail_msg("width %d, factor %g, i %d: %.9g, not %.9g", cases[i].d_head, cases[i].factor,
                     cases[i].i, freq[cases[i].i], cases[i].want);
    }
}

static void test_dynamic_scaling_begins_behind_the_context(void **state)
{
    const struct model_config c = {.d_head = 4,
                                   .rope_theta = 10000,
                                   .n_ctx = 100,
                                   .rope_scaling = ROPE_SCALING_DYNAMIC,
                                   .rope_factor = 2};
    double within[2], behind[2];
    (void)state;
    config_inv_freq(&c, 100, within);
    config_inv_freq(&c, 200, behind);
    assert_true(fabs(within[1] - 0.01) < 1e-12);
    assert_true(fabs(behind[1] - 1 / sqrt(10000.0 * 9)) < 1e-12); /* (2 * 2 - 1)^(4/2) = 9 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hf_reads_llama3),
        cmocka_unit_test(test_hf_reads_other_spellings),
        cmocka_unit_test(test_hf_refuses),
        cmocka_unit_test(test_meta_derives_the_published_sizes),
        cmocka_unit_test(test_meta_refuses),
        cmocka_unit_test(test_gguf_reads_keys_and_tensors),
        cmocka_unit_test(test_gguf_refuses),
        cmocka_unit_test(test_gguf_divisors_become_numbers),
        cmocka_unit_test(test_narrow_heads_get_some_formula),
        cmocka_unit_test(test_gguf_divisors_are_checked),
        cmocka_unit_test(test_frequencies_of_the_spec),
        cmocka_unit_test(test_dynamic_scaling_begins_behind_the_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
