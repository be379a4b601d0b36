/* SPDX-License-Identifier: Apache-2.0
 *
 * test_quant_recipe.c - the mixes give each matrix the type that peers' files of that name have.
 *
 * Llama 3 8B has 226 matrices; published files of it have 193 Q4_K and 33 Q6_K as Q4_K_M, 217, 8
 * and 1 as Q4_K_S. The other counts follow from the rules, counted by hand.
 */
#include "test.h"

#include "model/quant_recipe.h"

static const struct model_config llama_8b = {
    .n_layers = 32,
    .d_model = 4096,
    .n_heads = 32,
    .n_kv_heads = 8,
    .d_head = 128,
    .d_ff = 14336,
    .n_vocab = 128256,
    .n_ctx = 8192,
    .norm_eps = 1e-5f,
    .rope_theta = 500000,
};
static const struct model_config llama_70b = {
    .n_layers = 80,
    .d_model = 8192,
    .n_heads = 64,
    .n_kv_heads = 8,
    .d_head = 128,
    .d_ff = 28672,
    .n_vocab = 128256,
    .n_ctx = 8192,
    .norm_eps = 1e-5f,
    .rope_theta = 500000,
};
static const struct model_config smollm2 = {
    .n_layers = 30,
    .d_model = 576,
    .n_heads = 9,
    .n_kv_heads = 3,
    .d_head = 64,
    .d_ff = 1536,
    .n_vocab = 49152,
    .n_ctx = 8192,
    .norm_eps = 1e-5f,
    .rope_theta = 100000,
    .is_tied = true,
};

static const struct quant_recipe *recipe(const char *name)
{
    struct err err = {0};
    const struct quant_recipe *r = quant_recipe_find(name, &err);
    assert_ok(r != NULL, &err);
    return r;
}

static int count_of(const struct quant_recipe *r, const struct model_config *c, bool has_imatrix,
                    enum dtype t)
{
    int n = 0;
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const struct tensor_row *row = &tensor_rows_table[i];
        if (row->rows == DIM_NONE) continue;
        for (int32_t l = 0; l < tensor_copies(c, row); l++)
            n += quant_recipe_type(r, c, row->role, l, has_imatrix,
                                   tensor_dim_size(c, row->cols)) == t;
    }
    return n;
}

static void test_mixes_have_the_known_counts(void **state)
{
    static const struct mix_case {
        const char *name;
        const struct model_config *c;
        bool has_imatrix;
        struct {
            enum dtype t;
            int n;
        } want[4];
    } cases[] = {
        /* clang-format off */
        {"f32",    &llama_8b, false, {{DT_F32, 226}}},
        {"bf16",   &llama_8b, false, {{DT_BF16, 226}}},
        {"q8_0",   &llama_8b, false, {{DT_Q8_0, 226}}},
        {"q6_k",   &llama_8b, false, {{DT_Q6_K, 226}}},
        {"q5_k_m", &llama_8b, false, {{DT_Q5_K, 193}, {DT_Q6_K, 33}}},
        {"q5_k_s", &llama_8b, false, {{DT_Q5_K, 225}, {DT_Q6_K, 1}}},
        {"q4_k_m", &llama_8b, false, {{DT_Q4_K, 193}, {DT_Q6_K, 33}}},
        {"q4_k_s", &llama_8b, false, {{DT_Q4_K, 217}, {DT_Q5_K, 8}, {DT_Q6_K, 1}}},
        {"q3_k_l", &llama_8b, false, {{DT_Q3_K, 129}, {DT_Q5_K, 96}, {DT_Q6_K, 1}}},
        {"q3_k_m", &llama_8b, false, {{DT_Q3_K, 129}, {DT_Q4_K, 92}, {DT_Q5_K, 4}, {DT_Q6_K, 1}}},
        {"q3_k_s", &llama_8b, false, {{DT_Q3_K, 225}, {DT_Q6_K, 1}}},
        {"q2_k",   &llama_8b, false, {{DT_Q2_K, 129}, {DT_Q3_K, 64}, {DT_Q4_K, 32}, {DT_Q6_K, 1}}},
        {"q4_0",   &llama_8b, false, {{DT_Q4_0, 225}, {DT_Q6_K, 1}}},
        {"q4_0",   &llama_8b, true,  {{DT_Q4_0, 221}, {DT_Q4_1, 4}, {DT_Q6_K, 1}}},
        {"q5_0",   &llama_8b, true,  {{DT_Q5_0, 221}, {DT_Q5_1, 4}, {DT_Q6_K, 1}}},
        {"iq4_nl", &llama_8b, false, {{DT_IQ4_NL, 189}, {DT_Q5_K, 36}, {DT_Q6_K, 1}}},
        {"iq4_xs", &llama_8b, true,  {{DT_IQ4_XS, 193}, {DT_Q5_K, 32}, {DT_Q6_K, 1}}},
        {"q4_k_m", &llama_70b, false, {{DT_Q4_K, 441}, {DT_Q5_K, 40}, {DT_Q6_K, 81}}},
        {"q2_k",   &llama_70b, false, {{DT_Q2_K, 321}, {DT_Q3_K, 160}, {DT_Q5_K, 80}, {DT_Q6_K, 1}}},
        /* 576 is no multiple of 256: 1536 (ffn_down) is */
        {"q4_k_m", &smollm2, false, {{DT_Q5_0, 166}, {DT_Q8_0, 15}, {DT_Q4_K, 16}, {DT_Q6_K, 14}}},
        {"q4_1",   &smollm2, false, {{DT_Q4_1, 210}, {DT_Q8_0, 1}}},
        {"q2_k",   &smollm2, false, {{DT_IQ4_NL, 180}, {DT_Q3_K, 30}, {DT_Q8_0, 1}}},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t k = 0; k < 4 && cases[i].want[k].n; k++) {
            const int n = count_of(recipe(cases[i].name), cases[i].c, cases[i].has_imatrix,
                                   cases[i].want[k].t);
            if (n != cases[i].want[k].n)
                fail_msg("%s (row %zu): %d matrices are %s, expected %d", cases[i].name, i, n,
                         dtype_info(cases[i].want[k].t)->name, cases[i].want[k].n);
        }
}

static void test_rows_decide_the_fallback(void **state)
{
    static const struct {
        enum dtype want;
        int64_t n_cols;
        enum dtype got;
    } cases[] = {
        /* clang-format off */
        {DT_Q4_K,   256, DT_Q4_K},  {DT_Q4_K,  320, DT_Q5_0},   {DT_Q4_K, 33, DT_F16},
        {DT_Q5_K,   320, DT_Q5_1},  {DT_Q6_K,  320, DT_Q8_0},   {DT_Q3_K, 320, DT_IQ4_NL},
        {DT_Q2_K,   320, DT_IQ4_NL},{DT_IQ4_XS,320, DT_IQ4_NL}, {DT_Q8_0, 40, DT_F16},
        {DT_Q4_0,    64, DT_Q4_0},  {DT_BF16,   33, DT_BF16},   {DT_F32,   1, DT_F32},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (quant_fallback(cases[i].want, cases[i].n_cols) != cases[i].got)
            fail_msg("%s with rows of %d: %s", dtype_info(cases[i].want)->name,
                     (int)cases[i].n_cols,
                     dtype_info(quant_fallback(cases[i].want, cases[i].n_cols))->name);
}

/* Whoever knows a type's name, or llama.cpp's of a mix, in any case, finds a recipe. */
static void test_names_are_found(void **state)
{
    static const char *const names[][2] = {{"Q4_K_M", "q4_k_m"}, {"q4_K", "q4_k_m"},
                                           {"Q3_k", "q3_k_m"},   {"BF16", "bf16"},
                                           {"IQ4_XS", "iq4_xs"}, {"q5_k", "q5_k_m"}};
    struct err err = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_string_equal(recipe(names[i][0])->name, names[i][1]);
    for (int t = 0; t < DT_COUNT; t++)
        assert_int_equal(recipe(dtype_info((enum dtype)t)->name)->base, t);
    assert_null(quant_recipe_find("q4_k_n", &err));
    assert_int_equal(err.code, ERR_USAGE);
    assert_non_null(strstr(err.text, "did you mean 'q4_k_"));
    err = (struct err){0};
    assert_null(quant_recipe_find("strange-type", &err));
    assert_non_null(strstr(err.text, "strange-type"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mixes_have_the_known_counts),
        cmocka_unit_test(test_rows_decide_the_fallback),
        cmocka_unit_test(test_names_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
