/* forward.h - the one forward pass: a ragged batch through the model.
 *
 * A batch is n tokens, each with a position and a sequence of the cache; attention never leaves its
 * sequence. Chat turns, server steps, scoring and sampling are all batches. The object holds the
 * activations of one step, planned when it is made; a step allocates nothing.
 * One thread at a time.
 */
#ifndef CRIA_MODEL_FORWARD_H
#define CRIA_MODEL_FORWARD_H

#include "base/err.h"
#include "base/team.h"
#include "model/kv_cache.h"
#include "model/lora.h"
#include "model/model.h"

struct batch {
    int32_t n_tok;
    const int32_t *token; /* [n_tok] ids, each in [0, n_vocab) */
    const int32_t *pos;   /* [n_tok] */
    const int32_t *seq;   /* [n_tok]; tokens of one sequence stand together, positions rising by 1,
                           * and each sequence continues where its cache ends */
    const uint8_t *wants; /* [n_tok] of enum want; NULL: WANT_LOGITS of each run's last token */
    /* [n_tok] the adapter of each token's sequence, or NULL for none; NULL: nobody has one. Keys
     * and values in the cache are of one adapter, which is the caller's to know. */
    const struct lora *const *lora;
};

/* What is to be known of a token after the step; may be added up. */
enum want { WANT_NOTHING = 0, WANT_LOGITS = 1, WANT_STATE = 2 };

struct forward;

/* Keeps `m`, `team` and `ops` (they outlive it). */
struct forward *forward_new(const struct model *m, const struct ops *ops, struct team *team,
                            int32_t max_batch_tok, int32_t max_logit_rows, int32_t max_pos,
                            struct err *err);
void forward_free(struct forward *f);          /* NULL is fine */
size_t forward_bytes(const struct forward *f); /* activations and work, as planned */
size_t forward_plan_bytes(const struct model_config *c, const struct ops *ops, int n_threads,
                          int32_t max_batch_tok, int32_t max_logit_rows, int32_t max_pos);

/* Memory for adapters, without which no batch may have any: bytes, and taking it. */
size_t forward_lora_bytes(const struct model_config *c, int32_t max_batch_tok);
bool forward_take_lora(struct forward *f, struct err *err) CRIA_CHECK;

/* Reserves the cache, runs the batch, and leaves logits [n_rows, n_vocab] of the tokens that want
 * them, in batch order, in memory that is valid until the next run. ERR_BUSY: the cache is full,
 * nothing has changed; ERR_LIMIT: a token id, position or size out of range. */
bool forward_run(struct forward *f, struct kv_cache *kv, const struct batch *b,
                 const float **logits, int32_t *n_rows, struct err *err) CRIA_CHECK;
/* If a token of the last run wanted its state: those of all tokens that wanted anything, in batch
 * order, [.., d_model]: what the output matrix is multiplied with, so after the last norm. */
const float *forward_states(const struct forward *f);

/* Called on one thread with the inputs x [n_tok, k] of each matrix product (imatrix). Slower path:
 * norms and products are not fused while an observer is set. NULL ends it. */
typedef void forward_observer(void *user, enum tensor_role role, int32_t i_layer, const float *x,
                              int64_t n_tok, int64_t k);
void forward_observe(struct forward *f, forward_observer *fn, void *user);

#endif
