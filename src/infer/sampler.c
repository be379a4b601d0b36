/* SPDX-License-Identifier: Apache-2.0
 *
 * sampler.c - the chain from logits to a token: the table of its steps, and their walk.
 *
 * Order and definitions are llama.cpp's, because settings that people share are tuned for that
 * order; truncations therefore see the distribution at temperature 1. The one deviation: with
 * mirostat the penalties stay on (llama.cpp drops them silently).
 *
 * The random stream is Philox (base/rng.h) of the seed: one number a draw, and one more where XTC
 * is on. So an answer depends on seed, logits and its own history, never on other requests.
 *
 * A sampler that is greedy and has no bias or penalty reads the logits once and touches no other
 * memory. Otherwise the work memory (candidates.h) is taken from whoever shares it: a server with
 * 256 answers of a 128k vocabulary would hold 1.4 GB of it for one token at a time.
 *
 * Begin reading at sampler_pick(); a new step is a function, its `_is_on` and one row.
 */
#include "infer/sampler.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "infer/chain.h"

struct sampler_work {
    struct candidates c;
};

struct sampler_params sampler_defaults(void)
{
    return (struct sampler_params){
        .temperature = 0.8f,
        .top_k = 40,
        .top_p = 0.95f,
        .min_p = 0.05f,
        .typical_p = 1,
        .repeat_penalty = 1,
        .penalty_last_n = 64,
        .dry_base = 1.75f,
        .dry_allowed_length = 2,
        .dry_last_n = -1,
        .xtc_threshold = 0.1f,
        .mirostat_eta = 0.1f,
    };
}

/* ---- the table ---- */

static bool bias_is_on(const struct sampler_params *p) { return p->n_bias > 0; }
static bool penalties_is_on(const struct sampler_params *p)
{
    return p->penalty_last_n != 0 &&
           (p->repeat_penalty != 1 || p->presence_penalty != 0 || p->frequency_penalty != 0);
}
static bool dry_is_on(const struct sampler_params *p)
{
    return p->dry_multiplier > 0 && p->dry_last_n != 0;
}
static bool mirostat_is_on(const struct sampler_params *p) { return p->mirostat_tau > 0; }
static bool top_k_is_on(const struct sampler_params *p)
{
    return p->top_k > 0 && !mirostat_is_on(p);
}
static bool typical_is_on(const struct sampler_params *p)
{
    return p->typical_p < 1 && !mirostat_is_on(p);
}
static bool top_p_is_on(const struct sampler_params *p)
{
    return p->top_p < 1 && !mirostat_is_on(p);
}
static bool min_p_is_on(const struct sampler_params *p)
{
    return p->min_p > 0 && !mirostat_is_on(p);
}
static bool xtc_is_on(const struct sampler_params *p)
{
    return p->xtc_probability > 0 && !mirostat_is_on(p);
}
static bool temperature_is_on(const struct sampler_params *p) { return p->temperature != 1; }

const struct sampler_step sampler_steps[] = {
    /* clang-format off */
    /* name         what                                              stage         is_on              apply */
    {"bias",        "adds to chosen tokens' logits; -inf bans",       STAGE_LOGITS, bias_is_on,        bias_apply},
    {"penalties",   "repetition, presence and frequency",             STAGE_LOGITS, penalties_is_on,   penalties_apply},
    {"dry",         "against tokens that lengthen a repeated phrase", STAGE_LOGITS, dry_is_on,         dry_apply},
    {"top-k",       "keeps the k likeliest",                          STAGE_FILL,   top_k_is_on,       top_k_apply},
    {"typical",     "keeps those of about the expected surprise",     STAGE_CUT,    typical_is_on,     typical_apply},
    {"top-p",       "keeps the likeliest that together reach p",      STAGE_CUT,    top_p_is_on,       top_p_apply},
    {"min-p",       "keeps those near enough to the likeliest",       STAGE_CUT,    min_p_is_on,       min_p_apply},
    {"xtc",         "drops all top choices but the last, sometimes",  STAGE_CUT,    xtc_is_on,         xtc_apply},
    {"temperature", "flattens (above 1) or sharpens (below 1)",       STAGE_CUT,    temperature_is_on, temperature_apply},
    {"mirostat",    "holds the surprise near tau; version 2",         STAGE_CUT,    mirostat_is_on,    mirostat_apply},
    {0},
    /* clang-format on */
};

/* ---- checking ---- */

static const struct float_range {
    const char *name;
    size_t at;
    float min, max;
} float_ranges[] = {
    /* clang-format off */
    {"temperature",       offsetof(struct sampler_params, temperature),          0, 100},
    {"top_p",             offsetof(struct sampler_params, top_p),                0, 1},
    {"min_p",             offsetof(struct sampler_params, min_p),                0, 1},
    {"typical_p",         offsetof(struct sampler_params, typical_p),            0, 1},
    {"repeat_penalty",    offsetof(struct sampler_params, repeat_penalty),       0.01f, 100},
    {"presence_penalty",  offsetof(struct sampler_params, presence_penalty),  -100, 100},
    {"frequency_penalty", offsetof(struct sampler_params, frequency_penalty), -100, 100},
    {"dry_multiplier",    offsetof(struct sampler_params, dry_multiplier),       0, 100},
    {"dry_base",          offsetof(struct sampler_params, dry_base),             1, 100},
    {"xtc_probability",   offsetof(struct sampler_params, xtc_probability),      0, 1},
    {"xtc_threshold",     offsetof(struct sampler_params, xtc_threshold),        0, 1},
    {"mirostat_tau",      offsetof(struct sampler_params, mirostat_tau),         0, 100},
    {"mirostat_eta",      offsetof(struct sampler_params, mirostat_eta),         0, 1},
    /* clang-format on */
};

static const struct int_range {
    const char *name;
    size_t at;
    int32_t min, max;
} int_ranges[] = {
    /* clang-format off */
    {"top_k",              offsetof(struct sampler_params, top_k),               0, VOCAB_MAX_TOKENS},
    {"penalty_last_n",     offsetof(struct sampler_params, penalty_last_n),     -1, 1 << 20},
    {"dry_allowed_length", offsetof(struct sampler_params, dry_allowed_length),  1, 1 << 20},
    {"dry_last_n",         offsetof(struct sampler_params, dry_last_n),         -1, 1 << 20},
    {"n_bias",             offsetof(struct sampler_params, n_bias),              0, SAMPLER_MAX_BIAS},
    {"n_logprobs",         offsetof(struct sampler_params, n_logprobs),          0, SAMPLER_MAX_LOGPROBS},
    /* clang-format on */
};

static bool check_ranges(const struct sampler_params *p, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(float_ranges); i++) {
        const struct float_range *r = &float_ranges[i];
        float x = 0;
        memcpy(&x, (const char *)p + r->at, sizeof x);
        if (!(x >= r->min && x <= r->max)) /* NaN is neither */
            return err_set(err, ERR_USAGE, "%s: %g is out of range; give %g to %g", r->name,
                           (double)x, (double)r->min, (double)r->max);
    }
    for (size_t i = 0; i < ARRAY_LEN(int_ranges); i++) {
        const struct int_range *r = &int_ranges[i];
        int32_t x = 0;
        memcpy(&x, (const char *)p + r->at, sizeof x);
        if (x < r->min || x > r->max)
            return err_set(err, ERR_USAGE, "%s: %d is out of range; give %d to %d", r->name, (int)x,
                           (int)r->min, (int)r->max);
    }
    return true;
}

bool sampler_check(const struct sampler_params *p, int32_t n_vocab, struct err *err)
{
    if (!check_ranges(p, err)) return false;
    if (p->n_bias && !p->bias)
        return err_set(err, ERR_USAGE, "bias: %d announced, none given; set both", (int)p->n_bias);
    for (int32_t i = 0; i < p->n_bias; i++) {
        const struct logit_bias *b = &p->bias[i];
        if (b->id < 0 || b->id >= n_vocab)
            return err_set(err, ERR_USAGE, "bias: there is no token %d; give 0 to %d", (int)b->id,
                           (int)n_vocab - 1);
        if (!(b->bias < INFINITY))
            return err_set(err, ERR_USAGE, "bias: token %d by %g; give a number or -inf",
                           (int)b->id, (double)b->bias);
    }
    return true;
}

/* ---- life ---- */

struct sampler_work *sampler_work_new(int32_t n_vocab, struct err *err)
{
    struct sampler_work *w = calloc(1, sizeof *w);
    if (!w) {
        err_set(err, ERR_MEMORY, "no memory for the sampler");
        return NULL;
    }
    if (candidates_init(&w->c, n_vocab, err)) return w;
    free(w);
    return NULL;
}

void sampler_work_free(struct sampler_work *w)
{
    if (!w) return;
    candidates_release(&w->c);
    free(w);
}

/* How far back the steps that are on look. */
static int32_t history_cap(const struct sampler_params *p)
{
    int32_t cap = 0;
    if (penalties_is_on(p)) cap = p->penalty_last_n < 0 ? SAMPLER_MAX_LAST : p->penalty_last_n;
    const int32_t dry = p->dry_last_n < 0 ? SAMPLER_MAX_LAST : p->dry_last_n;
    return dry_is_on(p) && dry > cap ? dry : cap;
}

static bool copy_bias(struct sampler *s)
{
    const int32_t n = s->params.n_bias;
    if (n == 0) return true;
    s->bias = calloc((size_t)n, sizeof *s->bias);
    if (!s->bias) return false;
    memcpy(s->bias, s->params.bias, (size_t)n * sizeof *s->bias);
    return true;
}

/* Memory is asked for by the window but touched only as far as the text goes. */
static bool make_history(struct sampler *s, const struct tokenizer *t)
{
    const bool is_dry = dry_is_on(&s->params);
    s->past.cap = history_cap(&s->params);
    if (s->past.cap == 0) return true;
    s->past.id = calloc((size_t)s->past.cap, sizeof *s->past.id);
    if (is_dry) s->run = calloc((size_t)s->past.cap, sizeof *s->run);
    if (is_dry && t) s->breakers = calloc((size_t)s->n_vocab / 8 + 1, 1);
    if (!s->past.id || (is_dry && !s->run) || (is_dry && t && !s->breakers)) return false;
    if (s->breakers) dry_mark_breakers(&s->params, t, s->n_vocab, s->breakers);
    return true;
}

struct sampler *sampler_new_shared(const struct sampler_params *p, int32_t n_vocab,
                                   const struct tokenizer *t, struct sampler_work *work,
                                   struct err *err)
{
    if (!sampler_check(p, n_vocab, err)) return NULL;
    struct sampler *s = calloc(1, sizeof *s);
    if (!s) goto no_memory;
    s->params = *p;
    s->c = &work->c;
    s->n_vocab = n_vocab;
    s->rng = rng_seed(p->seed);
    s->mirostat_mu = 2 * p->mirostat_tau;
    if (!copy_bias(s) || !make_history(s, t)) goto no_memory;
    s->params.bias = NULL; /* borrowed until here */
    s->params.dry_breakers = NULL;
    return s;
no_memory:
    sampler_free(s);
    err_set(err, ERR_MEMORY, "no memory for the sampler");
    return NULL;
}

struct sampler *sampler_new(const struct sampler_params *p, int32_t n_vocab,
                            const struct tokenizer *t, struct err *err)
{
    struct sampler_work *work = sampler_work_new(n_vocab, err);
    if (!work) return NULL;
    struct sampler *s = sampler_new_shared(p, n_vocab, t, work, err);
    if (s)
        s->own = work;
    else
        sampler_work_free(work);
    return s;
}

void sampler_free(struct sampler *s)
{
    if (!s) return;
    sampler_work_free(s->own);
    free(s->past.id);
    free(s->run);
    free(s->breakers);
    free(s->bias);
    free(s);
}

void sampler_accept(struct sampler *s, int32_t id)
{
    struct history *h = &s->past;
    if (h->cap == 0 || id < 0 || id >= s->n_vocab) return;
    h->id[h->end] = id;
    h->end = h->end + 1 == h->cap ? 0 : h->end + 1;
    if (h->n < h->cap) h->n++;
}

/* ---- picking ---- */

/* Runs the steps of a stage that are on; false if there were none. */
static bool run_stage(struct sampler *s, enum sampler_stage stage)
{
    bool has_run = false;
    for (const struct sampler_step *step = sampler_steps; step->name; step++) {
        if (step->stage != stage || !step->is_on(&s->params)) continue;
        if (stage == STAGE_LOGITS && !has_run && s->logits != s->c->logits)
            memcpy(s->c->logits, s->logits, (size_t)s->n_vocab * sizeof *s->logits);
        step->apply(s);
        has_run = true;
    }
    return has_run;
}

/* A copy of the logits in which what the mask forbids is banned; the work of whole words, since
 * most of a mask is all or nothing. */
static void apply_mask(struct sampler *s)
{
    float *out = s->c->logits;
    for (int32_t begin = 0; begin < s->n_vocab; begin += 64) {
        const uint64_t word = s->mask[begin / 64];
        const int32_t n = s->n_vocab - begin < 64 ? s->n_vocab - begin : 64;
        if (word == UINT64_MAX) {
            memcpy(out + begin, s->logits + begin, (size_t)n * sizeof *out);
            continue;
        }
        for (int32_t i = 0; i < n; i++) out[begin + i] = -INFINITY;
        for (uint64_t rest = word; rest; rest &= rest - 1) {
            const int32_t i = begin + __builtin_ctzll(rest);
            if (i < s->n_vocab) out[i] = s->logits[i];
        }
    }
    s->logits = out;
}

static int32_t greatest(const float *logits, int32_t n)
{
    int32_t best = 0;
    float max = -INFINITY;
    for (int32_t i = 0; i < n; i++)
        if (logits[i] > max) max = logits[i], best = i;
    return best;
}

static int32_t draw(struct sampler *s)
{
    struct candidates *c = s->c;
    candidates_softmax(c);
    const double u = rng_f64(&s->rng);
    double sum = 0;
    int32_t last = 0; /* with p > 0: rounding may leave the sum under u */
    for (int32_t i = 0; i < c->n; i++) {
        if (c->item[i].p <= 0) continue;
        last = i;
        sum += (double)c->item[i].p;
        if (u < sum) break;
    }
    if (mirostat_is_on(&s->params)) mirostat_learn(s, c->item[last].p);
    return c->item[last].id;
}

/* log(sum(exp(l))); the greatest gives 1 to the sum. */
static double log_sum_exp(const float *logits, int32_t n, float max)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        if (logits[i] > -INFINITY) sum += (double)expf(logits[i] - max);
    return (double)max + log(fmax(sum, 1));
}

/* The raw distribution's top n; returns its log-sum. */
static double tell_top(struct sampler *s, const float *logits, struct sampled *out)
{
    candidates_fill_top(s->c, logits, s->params.n_logprobs);
    const double sum = log_sum_exp(logits, s->n_vocab, s->c->item[0].logit);
    out->n_top = s->c->n;
    for (int32_t i = 0; i < out->n_top; i++) {
        const struct candidate *x = &s->c->item[i];
        out->top[i] = (struct token_logprob){x->id, (float)((double)x->logit - sum)};
    }
    return sum;
}

void sampler_pick(struct sampler *s, const float *logits, struct sampled *out)
{
    out->n_top = 0;
    out->logprob = NAN;
    double sum = 0;
    const bool tells = s->params.n_logprobs > 0;
    if (tells) sum = tell_top(s, logits, out);

    s->logits = logits;
    if (s->mask) apply_mask(s);
    if (run_stage(s, STAGE_LOGITS)) s->logits = s->c->logits;
    if (s->params.temperature == 0) {
        out->id = greatest(s->logits, s->n_vocab);
    } else {
        if (!run_stage(s, STAGE_FILL)) candidates_fill(s->c, s->logits);
        run_stage(s, STAGE_CUT);
        out->id = draw(s);
    }
    s->logits = NULL;
    if (tells) out->logprob = (float)((double)logits[out->id] - sum);
}

void sampler_score(struct sampler *s, const float *logits, int32_t id, struct sampled *out)
{
    out->id = id;
    out->n_top = 0;
    const double sum = s->params.n_logprobs > 0
                           ? tell_top(s, logits, out)
                           : log_sum_exp(logits, s->n_vocab, logits[greatest(logits, s->n_vocab)]);
    out->logprob = (float)((double)logits[id] - sum);
}

void sampler_set_mask(struct sampler *s, const uint64_t *mask) { s->mask = mask; }

struct rng sampler_rng(const struct sampler *s) { return s->rng; }

int32_t sampler_would_pick(const struct sampler *s, const float *logits, struct rng *rng)
{
    struct sampler t = *s; /* shares work memory and history, which picking only reads */
    struct sampled picked;
    t.rng = *rng;
    t.params.n_logprobs = 0;
    sampler_pick(&t, logits, &picked);
    *rng = t.rng;
    return picked.id;
}
