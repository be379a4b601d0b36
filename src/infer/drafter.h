/* drafter.h - a smaller model that guesses what the large one will say. Private to the engine.
 *
 * It keeps a cache of its own with one sequence per slot of the engine, and reads whatever a slot's
 * text has become since it was last asked. One thread at a time.
 */
#ifndef CRIA_INFER_DRAFTER_H
#define CRIA_INFER_DRAFTER_H

#include "base/team.h"
#include "infer/sampler.h"
#include "model/forward.h"

struct drafter;

struct drafter_options {
    const struct model *model; /* kept */
    const struct ops *ops;
    struct team *team; /* kept */
    int32_t n_ctx, n_slots, max_batch_tok;
    enum dtype kv_dtype;
};

/* ERR_USAGE, naming both, unless `draft` has the vocabulary of `m` token by token. */
bool drafter_check(const struct model *m, const struct model *draft, struct err *err) CRIA_CHECK;
/* What one takes: its cache and its activations. */
bool drafter_plan(const struct drafter_options *o, int n_threads, size_t *cache_bytes,
                  size_t *work_bytes) CRIA_CHECK;
struct drafter *drafter_new(const struct drafter_options *o, struct err *err);
void drafter_free(struct drafter *d); /* NULL is fine */

/* out [n]: how the text ids [n_ids] of this slot may go on, n_ids + n <= n_ctx + 1, as `s` would
 * pick from the smaller model's logits. Reads what it has not read yet. */
bool drafter_guess(struct drafter *d, int32_t slot, const int32_t *ids, int32_t n_ids,
                   const struct sampler *s, int32_t *out, int32_t n, struct err *err) CRIA_CHECK;

#endif
