/* sampler.h - from logits to a token: a chain of steps, each a row of a table.
 *
 * Order and defaults are those users know from llama.cpp: logit bias, penalties, DRY, top-k,
 * typical, top-p, min-p, XTC, temperature, then the draw; mirostat v2 replaces the truncations.
 * temperature 0 is greedy: the largest logit after bias and penalties, lowest id on ties.
 * One sampler serves one answer; one thread at a time.
 */
#ifndef CRIA_INFER_SAMPLER_H
#define CRIA_INFER_SAMPLER_H

#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"
#include "text/tokenizer.h"

#define SAMPLER_MAX_BIAS 1024
#define SAMPLER_MAX_LOGPROBS 20
/* "all" of a look-back; the longest context of the family. */
#define SAMPLER_MAX_LAST 131072

struct logit_bias {
    int32_t id;
    float bias; /* -INFINITY bans */
};

struct sampler_params {
    uint64_t seed;
    float temperature;       /* 0: greedy; [0, 100] */
    int32_t top_k;           /* 0: off */
    float top_p;             /* 1: off */
    float min_p;             /* 0: off */
    float typical_p;         /* 1: off */
    float repeat_penalty;    /* 1: off */
    float presence_penalty;  /* 0: off */
    float frequency_penalty; /* 0: off */
    int32_t penalty_last_n;  /* 0: off, -1: all */
    float dry_multiplier;    /* 0: off */
    float dry_base;
    int32_t dry_allowed_length;
    int32_t dry_last_n;
    const char *dry_breakers; /* characters that end a repeated run; NULL: "\n:\"*" */
    float xtc_probability;    /* 0: off */
    float xtc_threshold;
    float mirostat_tau; /* 0: off; else mirostat v2 with this target surprise */
    float mirostat_eta;
    const struct logit_bias *bias;
    int32_t n_bias;
    int32_t n_logprobs; /* 0: none, and `logprob` is NAN; else top n of the raw distribution beside
                         * the chosen one */
};

struct sampler_params sampler_defaults(void);
/* Checks every range. ERR_USAGE names the option. */
bool sampler_check(const struct sampler_params *p, int32_t n_vocab, struct err *err) CRIA_CHECK;

struct token_logprob {
    int32_t id;
    float logprob; /* natural log, of the softmax of the raw logits (temperature 1) */
};

struct sampled {
    int32_t id;
    float logprob;
    int32_t n_top;
    struct token_logprob top[SAMPLER_MAX_LOGPROBS];
};

struct sampler;
/* Copies what it needs. `t` (kept, may be NULL) is for DRY's breakers. */
struct sampler *sampler_new(const struct sampler_params *p, int32_t n_vocab,
                            const struct tokenizer *t, struct err *err);
void sampler_free(struct sampler *s);
/* The same with work memory (about 44 bytes a token of the vocabulary) that many samplers of one
 * thread share; keeps `work`. */
struct sampler_work;
struct sampler_work *sampler_work_new(int32_t n_vocab, struct err *err);
void sampler_work_free(struct sampler_work *w); /* NULL is fine */
struct sampler *sampler_new_shared(const struct sampler_params *p, int32_t n_vocab,
                                   const struct tokenizer *t, struct sampler_work *work,
                                   struct err *err);
/* Tells the history that penalties look at: prompt tokens first, then each accepted token. */
void sampler_accept(struct sampler *s, int32_t id);
/* Only tokens with their bit set (words of 64) may be picked from now on; NULL: all. Keeps `mask`.
 * If every one of them is banned otherwise, a pick gives a token that is not in it. */
void sampler_set_mask(struct sampler *s, const uint64_t *mask);
/* Picks from logits [n_vocab] (unchanged). Allocates nothing. Does not accept, but mirostat learns.
 */
void sampler_pick(struct sampler *s, const float *logits, struct sampled *out);

/* Tells about `id` what a pick of it from these logits would: its log-probability, and the top. */
void sampler_score(struct sampler *s, const float *logits, int32_t id, struct sampled *out);

/* What `s` would pick from these logits with the random numbers from *rng on (at first those it
 * will use next itself); neither learns nor takes any: for guessing ahead. */
struct rng sampler_rng(const struct sampler *s);
int32_t sampler_would_pick(const struct sampler *s, const float *logits, struct rng *rng);

/* The chain's steps in their order, ended by name NULL: for the sampler, help, docs and tests. */
enum sampler_stage {
    STAGE_LOGITS, /* changes single logits */
    STAGE_FILL,   /* takes its part of the vocabulary instead of all of it */
    STAGE_CUT,    /* removes or rescales candidates */
};
struct sampler_step {
    const char *name, *what;
    enum sampler_stage stage;
    bool (*is_on)(const struct sampler_params *p);
    void (*apply)(struct sampler *s);
};
extern const struct sampler_step sampler_steps[];

#endif
