/* runner.h - a model with everything that a forward pass needs, for tests of model/. */
#ifndef CRIA_TESTS_MODEL_RUNNER_H
#define CRIA_TESTS_MODEL_RUNNER_H

#include "base/json.h"
#include "base/team.h"
#include "model/forward.h"
#include "model/model.h"

struct runner {
    struct model *m;
    struct team *team;
    struct forward *f;
    struct kv_cache *kv;
    int32_t n_vocab;
    int32_t max_batch_tok;
};

struct runner_options {
    const struct ops *ops;
    int n_threads;
    enum dtype kv_dtype;
    int32_t max_batch_tok; /* also rows of logits */
    int32_t max_pos;
    int64_t cache_tok;
    int32_t n_seqs;
};
/* F32 cache, one thread, the fastest variant, batches of 128, 256 positions, 8 sequences. */
struct runner_options runner_defaults(void);

/* Fails the test on an error. */
void runner_open(struct runner *r, const char *path, const struct runner_options *opt);
void runner_close(struct runner *r);

/* An open sequence. */
int32_t runner_seq(struct runner *r);

/* Runs tokens behind what `seq` has, in batches of `chunk`, and writes the logits of each to
 * logits [n, n_vocab] (NULL: not wanted). */
void runner_feed(struct runner *r, int32_t seq, const int32_t *tokens, int32_t n, int32_t chunk,
                 float *logits);

float max_abs_diff(const float *a, const float *b, int64_t n);
int32_t argmax_of(const float *logits, int32_t n);

/* Whole numbers of a JSON array; free(). */
int32_t *json_ints(struct json arr, int32_t *n);

/* The file's text as JSON; fails the test on an error. json_free(). */
struct json_doc *json_open(const char *path);

#endif
