/* SPDX-License-Identifier: Apache-2.0
 *
 * quant_recipe.c - the table of mixes, and the rules that make them.
 *
 * Not all matrices bear the same rounding. The output decides between tokens that are near each
 * other; values (wv) and the second half of the feed-forward (down) go straight into the residual
 * stream, and the first and last layers do most to it. So a mix spends bits there: the rules are
 * those of llama.cpp's quantize (spec/inference.md d2), which measured them by perplexity. A model
 * of 80 layers shares each value head among eight query heads: one step better costs it little.
 *
 *   use_more   layer i of n: i < n/8, or i >= 7n/8, or every third of those between
 *
 * Rows that are no whole number of 256-blocks get the next larger type of 32-blocks; 2 and 3 bits
 * become IQ4_NL, which has the size of the Q4_0 that llama.cpp takes there and less error.
 *
 * Vectors (norms, biases) are not asked for here: they stay F32.
 *
 * Begin reading at quant_recipes, the last table.
 */
#include "model/quant_recipe.h"

#include <string.h>
#include <strings.h>

#include "base/table.h"

/* What a rule may ask about. */
struct place {
    const struct model_config *c;
    int32_t i, n; /* layer and number of layers */
    bool has_imatrix;
};

static bool always(const struct place *p)
{
    (void)p;
    return true;
}

static bool in_first_eighth(const struct place *p) { return p->i < p->n / 8; }
static bool in_first_sixteenth(const struct place *p) { return p->i < p->n / 16; }
static bool in_first_two(const struct place *p) { return p->i < 2; }
static bool in_first_four(const struct place *p) { return p->i < 4; }

static bool use_more(const struct place *p)
{
    const int32_t eighth = p->n / 8;
    return p->i < eighth || p->i >= 7 * p->n / 8 || (p->i - eighth) % 3 == 2;
}

static bool shares_values(const struct place *p) { return p->c->n_heads / p->c->n_kv_heads >= 4; }

/* Llama 70B by its shape. */
static bool is_70b(const struct place *p) { return p->n == 80 && p->c->n_heads == 64; }

/* Without measured importance the first layers of these need a better type. */
static bool is_first_blind(const struct place *p) { return in_first_eighth(p) && !p->has_imatrix; }
static bool is_first_seen(const struct place *p) { return in_first_eighth(p) && p->has_imatrix; }

struct quant_rule {
    enum tensor_role role; /* ROLE_COUNT ends a list */
    bool (*holds)(const struct place *p);
    enum dtype type;
};

#define END                                                                                        \
    {                                                                                              \
        ROLE_COUNT, always, DT_F32                                                                 \
    }
/* clang-format off */
static const struct quant_rule q2_k_rules[] = {
    {ROLE_WV,   is_70b,        DT_Q5_K},
    {ROLE_WV,   shares_values, DT_Q4_K},
    {ROLE_WV,   always,        DT_Q3_K},
    {ROLE_DOWN, always,        DT_Q3_K},
    {ROLE_WO,   always,        DT_Q3_K},
    END};
static const struct quant_rule q3_k_s_rules[] = {
    {ROLE_WV,   is_70b,        DT_Q5_K},
    END};
static const struct quant_rule q3_k_m_rules[] = {
    {ROLE_WV,   in_first_two,  DT_Q5_K},
    {ROLE_WV,   is_70b,        DT_Q5_K},
    {ROLE_WV,   always,        DT_Q4_K},
    {ROLE_DOWN, in_first_sixteenth, DT_Q5_K},
    {ROLE_DOWN, always,        DT_Q4_K},
    {ROLE_WO,   always,        DT_Q4_K},
    END};
static const struct quant_rule q3_k_l_rules[] = {
    {ROLE_WV,   always,        DT_Q5_K},
    {ROLE_DOWN, always,        DT_Q5_K},
    {ROLE_WO,   always,        DT_Q5_K},
    END};
static const struct quant_rule q4_k_s_rules[] = {
    {ROLE_WV,   in_first_four, DT_Q5_K},
    {ROLE_WV,   is_70b,        DT_Q5_K},
    {ROLE_DOWN, in_first_eighth, DT_Q5_K},
    END};
static const struct quant_rule q4_k_m_rules[] = {
    {ROLE_WV,   use_more,      DT_Q6_K},
    {ROLE_WV,   is_70b,        DT_Q5_K},
    {ROLE_DOWN, use_more,      DT_Q6_K},
    END};
static const struct quant_rule q5_k_m_rules[] = {
    {ROLE_WV,   use_more,      DT_Q6_K},
    {ROLE_DOWN, use_more,      DT_Q6_K},
    END};
static const struct quant_rule q4_0_rules[] = {
    {ROLE_DOWN, is_first_seen, DT_Q4_1},
    END};
static const struct quant_rule q5_0_rules[] = {
    {ROLE_DOWN, is_first_seen, DT_Q5_1},
    END};
static const struct quant_rule iq4_rules[] = {
    {ROLE_WV,   shares_values, DT_Q5_K},
    {ROLE_DOWN, is_first_blind, DT_Q5_K},
    END};

const struct quant_recipe quant_recipes[] = {
    /* name      what                                                    base       output     file  rules */
    {"f32",     "32-bit floats: exact, twice the size of the original", DT_F32,    DT_F32,     0,   NULL},
    {"bf16",    "16-bit floats of wide range: Llama 3 as published",    DT_BF16,   DT_BF16,    32,  NULL},
    {"f16",     "16-bit floats of narrow range",                        DT_F16,    DT_F16,     1,   NULL},
    {"q8_0",    "8 bits: hardly told from the original",                DT_Q8_0,   DT_Q8_0,    7,   NULL},
    {"q6_k",    "6 bits: very near the original",                       DT_Q6_K,   DT_Q6_K,    18,  NULL},
    {"q5_k_m",  "5 bits, 6 where it matters most: near the original",   DT_Q5_K,   DT_Q6_K,    17,  q5_k_m_rules},
    {"q5_k_s",  "5 bits",                                               DT_Q5_K,   DT_Q6_K,    16,  NULL},
    {"q5_1",    "5 bits, older blocks with a minimum",                  DT_Q5_1,   DT_Q6_K,    9,   NULL},
    {"q5_0",    "5 bits, older blocks",                                 DT_Q5_0,   DT_Q6_K,    8,   q5_0_rules},
    {"q4_k_m",  "4 bits, 6 where it matters most: the usual choice",    DT_Q4_K,   DT_Q6_K,    15,  q4_k_m_rules},
    {"q4_k_s",  "4 bits, 5 in the first layers",                        DT_Q4_K,   DT_Q6_K,    14,  q4_k_s_rules},
    {"iq4_nl",  "4 bits of uneven steps, blocks of 32",                 DT_IQ4_NL, DT_Q6_K,    25,  iq4_rules},
    {"iq4_xs",  "4 bits of uneven steps: smallest of the 4-bit mixes",  DT_IQ4_XS, DT_Q6_K,    30,  iq4_rules},
    {"q4_1",    "4 bits, older blocks with a minimum: fast on any CPU", DT_Q4_1,   DT_Q6_K,    3,   NULL},
    {"q4_0",    "4 bits, older blocks: fast on any CPU",                DT_Q4_0,   DT_Q6_K,    2,   q4_0_rules},
    {"q3_k_l",  "3 bits, 5 where it matters most",                      DT_Q3_K,   DT_Q6_K,    13,  q3_k_l_rules},
    {"q3_k_m",  "3 bits, 4 and 5 where it matters most",                DT_Q3_K,   DT_Q6_K,    12,  q3_k_m_rules},
    {"q3_k_s",  "3 bits",                                               DT_Q3_K,   DT_Q6_K,    11,  q3_k_s_rules},
    {"q2_k",    "2 bits, 3 and 4 where it matters most: a loss one sees", DT_Q2_K, DT_Q6_K,    10,  q2_k_rules},
    {0},
};

/* Types that are no recipe of their own. */
static const struct alias {
    const char *name, *recipe;
} aliases[] = {
    {"q5_k", "q5_k_m"},
    {"q4_k", "q4_k_m"},
    {"q3_k", "q3_k_m"},
    {0},
};

/* What takes a type's place where rows are no multiple of its block. */
static const struct fallback {
    enum dtype from, to;
} fallbacks[] = {
    {DT_Q2_K,   DT_IQ4_NL},
    {DT_Q3_K,   DT_IQ4_NL},
    {DT_IQ4_XS, DT_IQ4_NL},
    {DT_Q4_K,   DT_Q5_0},
    {DT_Q5_K,   DT_Q5_1},
    {DT_Q6_K,   DT_Q8_0},
};
/* clang-format on */

static const struct quant_recipe *find_exact(const char *name)
{
    for (const struct quant_recipe *r = quant_recipes; r->name; r++)
        if (strcasecmp(r->name, name) == 0) return r;
    return NULL;
}

const struct quant_recipe *quant_recipe_find(const char *name, struct err *err)
{
    const struct quant_recipe *r = find_exact(name);
    for (const struct alias *a = aliases; !r && a->name; a++)
        if (strcasecmp(a->name, name) == 0) r = find_exact(a->recipe);
    if (r) return r;
    const char *near = table_nearest(quant_recipes, sizeof *quant_recipes, name);
    err_set(err, ERR_USAGE, "type '%.40s' is not known; %s%s%s", name,
            near ? "did you mean '" : "use q4_k_m, q8_0, bf16 or another of the list",
            near ? near : "", near ? "'" : "");
    return NULL;
}

enum dtype quant_fallback(enum dtype t, int64_t n_cols)
{
    for (size_t i = 0; i < sizeof fallbacks / sizeof *fallbacks; i++)
        if (fallbacks[i].from == t && n_cols % dtype_info(t)->block_elems != 0) t = fallbacks[i].to;
    return n_cols % dtype_info(t)->block_elems == 0 ? t : DT_F16;
}

enum dtype quant_recipe_type(const struct quant_recipe *r, const struct model_config *c,
                             enum tensor_role role, int32_t i_layer, bool has_imatrix,
                             int64_t n_cols)
{
    const struct place p = {.c = c, .i = i_layer, .n = c->n_layers, .has_imatrix = has_imatrix};
    const bool is_output = role == ROLE_OUTPUT || (role == ROLE_TOKEN_EMBD && c->is_tied);
    enum dtype t = r->base;
    if (is_output) {
        /* The largest matrix of a small model: where blocks of 256 do not fit, 8 bits. */
        const bool fits = n_cols % dtype_info(r->output)->block_elems == 0;
        return fits ? r->output : quant_fallback(DT_Q8_0, n_cols);
    }
    for (const struct quant_rule *rule = r->rules; rule && rule->role != ROLE_COUNT; rule++) {
        if (rule->role != role || !rule->holds(&p)) continue;
        t = rule->type;
        break;
    }
    return quant_fallback(t, n_cols);
}
