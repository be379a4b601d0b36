/* SPDX-License-Identifier: Apache-2.0
 *
 * gen_params.c - the fields of a generation request: one row each.
 *
 * Names are OpenAI's, then those that llama.cpp's and vLLM's clients add. Ranges are OpenAI's where
 * it has the field, else the sampler's. Defaults are the sampler's (`cria chat` answers alike), not
 * OpenAI's: small models at temperature 1 with nothing cut ramble.
 *
 * Begin reading at the tables; prompts and messages are read in messages.c.
 */
#include "serve/gen_params.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/checked.h"
#include "infer/stops.h"
#include "serve/keys.h"

enum { MAX_ANSWERS = 256 }; /* the engine's most; n_seqs is checked besides */

#define AT(member) offsetof(struct gen_params, member)

/* ---- fields with a shape of their own ---- */

static bool add_stop(struct gen_params *p, struct json v, const char *name, struct refusal *r)
{
    const char *s = NULL;
    size_t n = 0;
    if (!json_str(v, &s, &n))
        return refuse(r, REFUSAL_VALUE, name, "%s: it holds %s; give a string or an array of them",
                      name, json_type_name(v));
    if (n == 0 || n > STOP_MAX_BYTES || strlen(s) != n)
        return refuse(r, REFUSAL_VALUE, name,
                      "%s: a string of %zu bytes; give 1 to %d, none of them NUL", name, n,
                      STOP_MAX_BYTES);
    if (p->n_stop == ENGINE_MAX_STOPS)
        return refuse(r, REFUSAL_VALUE, name, "%s: more than %d strings; give fewer", name,
                      ENGINE_MAX_STOPS);
    p->stop[p->n_stop++] = s;
    return true;
}

static bool read_stop(void *out, struct json v, const char *name, struct refusal *r)
{
    if (json_type(v) != JSON_ARRAY) return add_stop(out, v, name, r);
    struct json_iter it = json_iter(v);
    struct json s;
    while (json_next(&it, NULL, NULL, &s))
        if (!add_stop(out, s, name, r)) return false;
    return true;
}

static bool read_bias_row(const char *key, struct json v, struct logit_bias *to, struct refusal *r)
{
    char *end = NULL;
    double bias = 0;
    errno = 0;
    const long long id = strtoll(key, &end, 10);
    if (key[0] < '0' || key[0] > '9' || *end || errno || id > INT32_MAX)
        return refuse(r, REFUSAL_VALUE, "logit_bias",
                      "logit_bias: the key \"%.40s\" is no token id; give whole numbers", key);
    if (!json_f64(v, &bias) || !(bias >= -100 && bias <= 100))
        return refuse(r, REFUSAL_VALUE, "logit_bias",
                      "logit_bias: token %lld: give a number from -100 to 100", id);
    *to = (struct logit_bias){(int32_t)id, (float)bias};
    return true;
}

static bool read_bias(void *out, struct json v, const char *name, struct refusal *r)
{
    struct gen_params *p = out;
    const size_t n = json_len(v);
    if (json_type(v) != JSON_OBJECT)
        return refuse(r, REFUSAL_VALUE, name, "%s: it is %s; give an object {\"ID\": BIAS}", name,
                      json_type_name(v));
    if (n > SAMPLER_MAX_BIAS)
        return refuse(r, REFUSAL_VALUE, name, "%s: %zu tokens; give at most %d", name, n,
                      SAMPLER_MAX_BIAS);
    p->bias = calloc(n ? n : 1, sizeof *p->bias);
    if (!p->bias) return refuse(r, REFUSAL_SERVER, NULL, "no memory for %s", name);
    struct json_iter it = json_iter(v);
    const char *key = NULL;
    struct json bias;
    while (json_next(&it, &key, NULL, &bias))
        if (!read_bias_row(key, bias, &p->bias[p->n_bias++], r)) return false;
    return true;
}

static bool read_stream_options(void *out, struct json v, const char *name, struct refusal *r)
{
    struct gen_params *p = out;
    const struct json has_usage = json_get(v, "include_usage");
    if (json_type(v) != JSON_OBJECT)
        return refuse(r, REFUSAL_VALUE, name, "%s: it is %s; give an object", name,
                      json_type_name(v));
    if (json_type(has_usage) <= JSON_NULL) return true;
    return json_bool(has_usage, &p->has_usage) ||
           refuse(r, REFUSAL_VALUE, "stream_options.include_usage",
                  "stream_options.include_usage: it is %s; give true or false",
                  json_type_name(has_usage));
}

static bool read_seed(void *out, struct json v, const char *name, struct refusal *r)
{
    struct gen_params *p = out;
    p->has_seed = json_i64(v, &p->seed);
    return p->has_seed ||
           refuse(r, REFUSAL_VALUE, name, "%s: give a whole number of 64 bits", name);
}

/* Of /v1/completions: how many, where chat has a boolean and top_logprobs. */
static bool read_logprobs_count(void *out, struct json v, const char *name, struct refusal *r)
{
    struct gen_params *p = out;
    int64_t n = 0;
    if (!json_i64(v, &n) || n < 0 || n > SAMPLER_MAX_LOGPROBS)
        return refuse(r, REFUSAL_VALUE, name, "%s: give a whole number from 0 to %d", name,
                      SAMPLER_MAX_LOGPROBS);
    p->wants_logprobs = true;
    p->top_logprobs = (int32_t)n;
    return true;
}

/* Of every field that form.c knows. */
static bool read_form(void *out, struct json v, const char *name, struct refusal *r)
{
    struct gen_params *p = out;
    return form_read(&p->form, v, name, r);
}

static bool read_parallel(void *out, struct json v, const char *name, struct refusal *r)
{
    struct gen_params *p = out;
    bool is_parallel = true;
    if (!json_bool(v, &is_parallel))
        return refuse(r, REFUSAL_VALUE, name, "%s: it is %s; give true or false", name,
                      json_type_name(v));
    p->tools.is_single = !is_parallel;
    return true;
}

/* ---- the tables ---- */

#define COMMON_FIELDS                                                                              \
    {"model", FIELD_STR, 0, 300, AT(model), NULL},                                                 \
        {"temperature", FIELD_FLOAT, 0, 2, AT(sampling.temperature), NULL},                        \
        {"top_p", FIELD_FLOAT, 0, 1, AT(sampling.top_p), NULL},                                    \
        {"top_k", FIELD_INT, -1, 1000000, AT(sampling.top_k), NULL},                               \
        {"min_p", FIELD_FLOAT, 0, 1, AT(sampling.min_p), NULL},                                    \
        {"typical_p", FIELD_FLOAT, 0, 1, AT(sampling.typical_p), NULL},                            \
        {"presence_penalty", FIELD_FLOAT, -2, 2, AT(sampling.presence_penalty), NULL},             \
        {"frequency_penalty", FIELD_FLOAT, -2, 2, AT(sampling.frequency_penalty), NULL},           \
        {"repetition_penalty", FIELD_FLOAT, 0.01, 100, AT(sampling.repeat_penalty), NULL},         \
        {"repeat_penalty", FIELD_FLOAT, 0.01, 100, AT(sampling.repeat_penalty), NULL},             \
        {"repeat_last_n", FIELD_INT, -1, 131072, AT(sampling.penalty_last_n), NULL},               \
        {"dry_multiplier", FIELD_FLOAT, 0, 100, AT(sampling.dry_multiplier), NULL},                \
        {"dry_base", FIELD_FLOAT, 1, 100, AT(sampling.dry_base), NULL},                            \
        {"dry_allowed_length", FIELD_INT, 1, 10000, AT(sampling.dry_allowed_length), NULL},        \
        {"dry_penalty_last_n", FIELD_INT, -1, 131072, AT(sampling.dry_last_n), NULL},              \
        {"xtc_probability", FIELD_FLOAT, 0, 1, AT(sampling.xtc_probability), NULL},                \
        {"xtc_threshold", FIELD_FLOAT, 0, 1, AT(sampling.xtc_threshold), NULL},                    \
        {"seed", FIELD_OTHER, 0, 0, 0, read_seed}, {"n", FIELD_INT, 1, MAX_ANSWERS, AT(n), NULL},  \
        {"stop", FIELD_OTHER, 0, 0, 0, read_stop},                                                 \
        {"logit_bias", FIELD_OTHER, 0, 0, 0, read_bias},                                           \
        {"stream", FIELD_BOOL, 0, 0, AT(is_stream), NULL},                                         \
        {"stream_options", FIELD_OTHER, 0, 0, 0, read_stream_options},                             \
        {"ignore_eos", FIELD_BOOL, 0, 0, AT(ignores_eos), NULL},                                   \
        {"priority", FIELD_INT, -KEY_MAX_PRIORITY, KEY_MAX_PRIORITY, AT(priority), NULL},          \
        {"user", FIELD_IGNORED, 0, 0, 0, NULL}, {"store", FIELD_IGNORED, 0, 0, 0, NULL},           \
        {"metadata", FIELD_IGNORED, 0, 0, 0, NULL},                                                \
        {"service_tier", FIELD_IGNORED, 0, 0, 0, NULL},                                            \
        {"cache_prompt", FIELD_IGNORED, 0, 0, 0, NULL},                                            \
        {"prompt_cache_key", FIELD_IGNORED, 0, 0, 0, NULL},                                        \
        {"safety_identifier", FIELD_IGNORED, 0, 0, 0, NULL},                                       \
        {"response_format", FIELD_OTHER, 0, 0, 0, read_form},                                      \
        {"structured_outputs", FIELD_OTHER, 0, 0, 0, read_form},                                   \
        {"json_schema", FIELD_OTHER, 0, 0, 0, read_form},                                          \
        {"guided_json", FIELD_OTHER, 0, 0, 0, read_form},                                          \
        {"guided_regex", FIELD_OTHER, 0, 0, 0, read_form},                                         \
        {"guided_choice", FIELD_OTHER, 0, 0, 0, read_form},                                        \
        {"grammar", FIELD_OTHER, 0, 0, 0, read_form},                                              \
    {                                                                                              \
        "guided_grammar", FIELD_OTHER, 0, 0, 0, read_form                                          \
    }

static const struct field chat_fields[] = {
    /* clang-format off */
    COMMON_FIELDS,
    /* name                   kind           min max                  at                         read */
    {"messages",              FIELD_JSON,     0, 0,                    AT(messages),              NULL},
    {"max_completion_tokens", FIELD_INT,      1, 1 << 24,              AT(max_completion_tokens), NULL},
    {"max_tokens",            FIELD_INT,      1, 1 << 24,              AT(max_tokens),            NULL},
    {"logprobs",              FIELD_BOOL,     0, 0,                    AT(wants_logprobs),        NULL},
    {"top_logprobs",          FIELD_INT,      0, SAMPLER_MAX_LOGPROBS, AT(top_logprobs),          NULL},
    {"tools",                 FIELD_JSON,     0, 0,                    AT(tools_field),           NULL},
    {"tool_choice",           FIELD_JSON,     0, 0,                    AT(tool_choice),           NULL},
    {"parallel_tool_calls",   FIELD_OTHER,    0, 0,                    0,                         read_parallel},
    {"sources",               FIELD_JSON,     0, 0,                    AT(sources),               NULL},
    {"functions",             FIELD_REFUSED,  0, 0,                    0,                         NULL},
    {"function_call",         FIELD_REFUSED,  0, 0,                    0,                         NULL},
    {"audio",                 FIELD_REFUSED,  0, 0,                    0,                         NULL},
    {"web_search_options",    FIELD_REFUSED,  0, 0,                    0,                         NULL},
    {"modalities",            FIELD_IGNORED,  0, 0,                    0,                         NULL},
    {"prediction",            FIELD_IGNORED,  0, 0,                    0,                         NULL},
    {"reasoning_effort",      FIELD_IGNORED,  0, 0,                    0,                         NULL},
    {"verbosity",             FIELD_IGNORED,  0, 0,                    0,                         NULL},
    {0},
    /* clang-format on */
};

static const struct field text_fields[] = {
    /* clang-format off */
    COMMON_FIELDS,
    /* name       kind           min max     at              read */
    {"prompt",    FIELD_JSON,     0, 0,       AT(prompt),     NULL},
    {"max_tokens", FIELD_INT,     0, 1 << 24, AT(max_tokens), NULL},
    {"logprobs",  FIELD_OTHER,    0, 0,       0,              read_logprobs_count},
    {"echo",      FIELD_BOOL,     0, 0,       AT(echoes),     NULL},
    {"best_of",   FIELD_INT,      1, 256,     AT(n_made),    NULL},
    {"suffix",    FIELD_REFUSED,  0, 0,       0,              NULL},
    {0},
    /* clang-format on */
};

const struct field *gen_fields(enum gen_api api)
{
    return api == GEN_CHAT ? chat_fields : text_fields;
}

/* ---- the whole ---- */

static bool check_together(enum gen_api api, const struct gen_model *m, const struct gen_params *p,
                           struct refusal *r)
{
    const int32_t n_vocab = model_config(m->model)->n_vocab;
    if (p->n_made > m->n_seqs)
        return refuse(r, REFUSAL_VALUE, p->n_made > p->n ? "best_of" : "n",
                      "%s: %d answers; this server makes at most %d at once (--parallel)",
                      p->n_made > p->n ? "best_of" : "n", (int)p->n_made, (int)m->n_seqs);
    if (p->n_made < p->n)
        return refuse(r, REFUSAL_VALUE, "best_of", "best_of: %d, less than n: %d; give as many",
                      (int)p->n_made, (int)p->n);
    if (p->n_made > p->n && p->is_stream)
        return refuse(r, REFUSAL_UNSUPPORTED, "best_of",
                      "best_of: which answers are the best shows at their end; leave out stream");
    if (api == GEN_CHAT && p->top_logprobs > 0 && !p->wants_logprobs)
        return refuse(r, REFUSAL_VALUE, "top_logprobs",
                      "top_logprobs: %d without \"logprobs\": true; give both",
                      (int)p->top_logprobs);
    if (p->echoes && p->wants_logprobs && p->is_stream)
        return refuse(r, REFUSAL_UNSUPPORTED, "echo",
                      "echo with logprobs: the prompt's are told at the end; leave out stream");
    for (int32_t i = 0; i < p->n_bias; i++)
        if (p->bias[i].id >= n_vocab)
            return refuse(r, REFUSAL_VALUE, "logit_bias",
                          "logit_bias: there is no token %d; give 0 to %d", (int)p->bias[i].id,
                          (int)n_vocab - 1);
    return true;
}

struct gen_model gen_model(const struct model *m, int32_t n_ctx, int32_t n_seqs)
{
    const struct vocab *v = tokenizer_vocab(model_tokenizer(m));
    struct gen_model out = {.model = m, .n_ctx = n_ctx, .n_seqs = n_seqs, .max_token_bytes = 1};
    for (int32_t i = 0; i < v->n_tokens; i++)
        if ((int32_t)v->tokens[i].n_bytes > out.max_token_bytes)
            out.max_token_bytes = (int32_t)v->tokens[i].n_bytes;
    return out;
}

enum chat_tool_form gen_tool_form(const struct gen_model *m)
{
    const struct chat_family *f = model_chat_family(m->model);
    return f ? chat_tool_form(f, tokenizer_vocab(model_tokenizer(m->model))) : CHAT_TOOLS_PLAIN;
}

bool gen_fields_read(enum gen_api api, struct json body, struct gen_params *p, struct refusal *r)
{
    *p = (struct gen_params){
        .sampling = sampler_defaults(),
        .n = 1,
        .max_tokens = -1,
        .max_completion_tokens = -1,
        .priority = GEN_NO_PRIORITY,
    };
    form_init(&p->form);
    tools_init(&p->tools);
    if (!fields_read(gen_fields(api), body, p, &p->unknown, r) ||
        !tools_read(&p->tools, p->tools_field, p->tool_choice, r))
        return false;
    if (p->n_made == 0) p->n_made = p->n;
    if (p->max_completion_tokens >= 0) p->max_tokens = p->max_completion_tokens;
    if (p->sampling.top_k < 0) p->sampling.top_k = 0; /* vLLM's way to say: off */
    if (!p->has_seed && getrandom(&p->seed, sizeof p->seed, 0) != (ssize_t)sizeof p->seed)
        return refuse(r, REFUSAL_SERVER, NULL, "the system gives no random numbers");
    p->sampling.seed = (uint64_t)p->seed;
    p->sampling.bias = p->bias;
    p->sampling.n_bias = p->n_bias;
    /* one at least: without any the sampler leaves out the chosen one's too */
    if (p->wants_logprobs || p->n_made > p->n)
        p->sampling.n_logprobs = p->top_logprobs > 0 ? p->top_logprobs : 1;
    return true;
}

bool gen_params_read(enum gen_api api, const struct gen_model *m, struct json body,
                     struct gen_params *p, struct refusal *r)
{
    if (!gen_fields_read(api, body, p, r) || !check_together(api, m, p, r)) return false;
    if (!tools_bind(&p->tools, gen_tool_form(m), &p->form, r)) return false;
    return p->form.kind == FORM_FREE || !p->ignores_eos ||
           refuse(r, REFUSAL_VALUE, "ignore_eos",
                  "ignore_eos beside %s: the form says where the answer may end; give one",
                  p->form.field);
}

void gen_params_release(struct gen_params *p)
{
    free(p->bias);
    p->bias = NULL;
    form_release(&p->form);
    tools_release(&p->tools);
}
