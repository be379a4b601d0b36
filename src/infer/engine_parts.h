/* engine_parts.h - what the files of the engine share. Private.
 *
 * A request waits in the queue, then holds one slot (struct answer) per answer until each has
 * ended. A slot's line is its tokens and the cache sequence that holds their keys and values; when
 * an answer ends its line moves to the prefix cache, where a later prompt may find it.
 *
 * Invariants
 *   E1  between steps a used slot's sequence holds exactly positions [0, n_fed) of its line;
 *       n_fed < n_ids while the answer runs, so there is always a token to feed. While a step's
 *       logits are used, guesses may follow in the sequence.
 *   E2  the pages that running answers may ever need were committed when their request was
 *       admitted and never exceed the cache, so what is missing at a step is held by the prefix
 *       cache and can be taken from it: a request that has begun never waits or is thrown out.
 *   E3  answers 1.. of a request wait without a sequence until answer 0 has read the prompt.
 */
#ifndef CRIA_INFER_ENGINE_PARTS_H
#define CRIA_INFER_ENGINE_PARTS_H

#include <stdatomic.h>

#include "base/buf.h"
#include "infer/constraint.h"
#include "infer/engine.h"
#include "infer/lookup.h"
#include "infer/stops.h"

enum {
    ENGINE_MAX_SEQS = 256,
    ENGINE_MAX_QUEUE = 1024,
    N_CANCEL_CELLS = 2048, /* above queue and slots together: live handles never share a cell */
    FAIR_MAX_CLIENTS = ENGINE_MAX_QUEUE + ENGINE_MAX_SEQS,
    N_MORE_PREFIXES = 7, /* ended lines kept beyond one per slot */
    /* A larger batch goes another way through the kernels (tensor/cpu/linear.h, FEW). */
    ENGINE_FEW_TOK = ENGINE_MAX_DRAFT + 1,
};

struct line {
    int32_t seq;  /* -1: none */
    int32_t *ids; /* [n_ctx + 1]: the last one may never be fed */
    int32_t n_ids;
    int64_t adapter;     /* of the keys and values: lora_id(); 0: none */
    int32_t n_shareable; /* of the ids: keys and values of so many may be another line's */
};

struct prefix {
    struct line line; /* seq -1: the place is empty */
    int64_t last_used;
};

/* Somebody who has requests here, or had; see fair.c. */
struct fair_client {
    int64_t id;
    int64_t n_tok;  /* that it has had */
    int32_t n_live; /* requests that wait or run; it keeps its place meanwhile */
};

struct fair {
    struct fair_client client[FAIR_MAX_CLIENTS];
    int32_t n_clients;
    int64_t clock;   /* n_tok of who was admitted last, never less than before */
    int64_t n_turns; /* requests admitted */
    int64_t held;    /* handle of the request that is next until it has room; 0: none */
};

struct request {
    int64_t handle;
    struct fair_client *client;
    struct request_params params; /* prompt, stop and sampling.bias are not valid after submit */
    int32_t *prompt;
    struct stops stops;
    struct sampler **sampler;      /* [n_answers] */
    struct shared_masks *masks;    /* or NULL: any text */
    struct constraint *constraint; /* [n_answers] with masks, or NULL */
    int64_t n_pages;               /* committed */
    struct pool pool;              /* with params.pooling */
    int32_t n_left;                /* answers that have not ended */
    int32_t n_cached;              /* prompt tokens found in the cache */
    int32_t n_same;                /* where a cached line broke off, see engine_event; 0: none */
    bool is_cancelled;
};

/* What an answer puts into a batch behind its next token, and what was learnt from it. */
struct guess {
    int32_t id[ENGINE_MAX_DRAFT];
    int32_t n; /* 0 outside of a step */
    bool is_model;
    struct lookup lookup;
    int32_t n_need;                     /* likeness that the lookup asks for */
    int32_t n_bold, n_patience, n_wait; /* of the smaller model: guesses at once, steps of rest */
};

struct answer {
    struct request *req; /* NULL: the slot is free */
    int32_t i_answer;
    bool is_waiting; /* E3 */
    struct line line;
    int32_t n_fed;
    /* While n_lead > 0: slot `lead` with request `lead_handle` reads the n_lead tokens with which
     * this prompt begins too, so this one waits for them. */
    int32_t lead, n_lead;
    int64_t lead_handle;
    int32_t n_generated, n_drafted, n_accepted;
    struct guess guess;
    struct decode_stream stream;
    struct buf held; /* text not told yet */
};

struct engine {
    const struct model *model;
    const struct tokenizer *tokenizer; /* or NULL */
    struct engine_plan plan;
    struct lora *adapter; /* of who names none */
    bool takes_adapters;
    int32_t n_vocab, n_ctx, n_seqs, max_batch_tok, max_logit_rows, n_draft;
    struct team *team;
    struct forward *forward;
    struct kv_cache *kv;
    struct sampler_work *work;
    struct drafter *drafter; /* or NULL */
    struct token_trie *trie; /* made with the first grammar */
    struct shared_masks *shared_masks;

    struct answer *slot; /* [n_seqs] */
    int32_t *order;      /* used slots in order of admission, [n_seqs] */
    int32_t n_order;
    struct prefix *prefix; /* [n_prefixes] */
    int32_t n_prefixes;
    int64_t clock; /* counts uses, for the least recent */
    int64_t n_pages, n_pages_committed;

    struct request *queue[ENGINE_MAX_QUEUE]; /* ring */
    int32_t queue_begin, n_queued;
    struct fair fair;
    int64_t last_handle;
    uint8_t cell_used[N_CANCEL_CELLS];
    _Atomic int64_t cell[N_CANCEL_CELLS]; /* the handle that is to be cancelled */

    /* the batch of a step, [max_batch_tok] each; run i of the batch belongs to slot run[i] */
    int32_t *token, *pos, *seq;
    uint8_t *wants;
    const struct lora **lora;
    int32_t *run, *run_n; /* [n_seqs] */
    int32_t n_runs, n_tok;
    int32_t n_spare_rows; /* of logits, beyond one a slot */

    _Atomic int32_t told_queued, told_running;
    _Atomic int64_t told_prompt, told_generated, told_drafted, told_accepted;
};

/* The i-th of the waiting requests, in order of arrival. */
static inline struct request *engine_queued(const struct engine *e, int32_t i)
{
    return e->queue[(e->queue_begin + i) % ENGINE_MAX_QUEUE];
}

/* ---- request.c ---- */
/* Checks, copies, and makes the samplers; handle and pages are set. NULL: see engine_submit(). */
struct request *request_new(struct engine *e, const struct request_params *p, struct err *err);
void request_free(struct engine *e, struct request *r); /* NULL is fine */
bool request_is_cancelled(const struct engine *e, const struct request *r);

/* ---- fair.c ---- */
/* A request comes into the queue; the last that is heard of it. */
void fair_enter(struct engine *e, struct request *r);
void fair_leave(struct request *r);
/* Its client has had so many tokens more (or fewer than was thought). */
void fair_charge(struct request *r, int64_t n_tok);
/* Which of the waiting requests, of which there is one at least, is next. */
int32_t fair_next(struct engine *e);
/* That one has been admitted. */
void fair_taken(struct engine *e, const struct request *r);

/* ---- answer.c ---- */
/* Begins answer `i` of `r` in a free slot; its line is still empty. */
void answer_begin(struct engine *e, struct answer *a, struct request *r, int32_t i);
/* Tells the answer's sampler which tokens its grammar allows. */
bool answer_restrict(struct answer *a, struct err *err) CRIA_CHECK;
/* What was picked goes into the line and the text; the answer may end. */
void answer_take(struct engine *e, struct answer *a, const struct sampled *picked);
/* Tells how far the prompt is. */
void answer_tell_progress(struct answer *a);
/* Tells the log-probability of the prompt's token at `pos`, from the logits of the one before. */
void answer_tell_score(struct answer *a, int32_t pos, const float *logits);
/* Ends it without a token, and the request with its last answer. */
void answer_end(struct engine *e, struct answer *a, enum finish finish, const struct err *why);
/* Ends a request that holds no slots yet. */
void request_end(struct engine *e, struct request *r, enum finish finish, const struct err *why);

/* ---- speculate.c ---- */
bool guess_init(struct engine *e, struct err *err) CRIA_CHECK;
void guess_release(struct engine *e);
void guess_begin(struct guess *g); /* for an answer that begins */
/* Guesses for the answers that have their next token. */
bool guess_all(struct engine *e, struct err *err) CRIA_CHECK;
/* How many of g->n came true; they are forgotten. */
void guess_learn(struct guess *g, int32_t n_right);

/* ---- mask_cache.c ---- */
/* The masks of a grammar equal to `g`, which is shared; for as long as it is open. */
struct shared_masks *masks_open(struct engine *e, struct grammar *g, struct err *err);
struct token_masks *masks_of(const struct shared_masks *m);
void masks_close(struct engine *e, struct shared_masks *m); /* NULL is fine */
void masks_release(struct engine *e);

/* ---- prefix_cache.c ---- */
bool prefix_init(struct engine *e, struct err *err) CRIA_CHECK;
void prefix_release(struct engine *e);
/* Opens a sequence for `line` (which has its ids), shared with the longest cached or running line
 * that begins like it; returns how many positions it holds already, at most n_shareable.
 * *n_same: how many ids are the same as of a line that goes on with others; 0: there is none, or
 * one that does not break off is as long. */
int32_t prefix_open(struct engine *e, struct line *line, int32_t *n_same);
/* The same for one that is open and holds n_held positions, if there is more to be had by now. */
int32_t prefix_extend(struct engine *e, struct line *line, int32_t n_held, int32_t *n_same);
/* How many ids two lists have in common at their beginning, at most n. */
int32_t prefix_common(const int32_t *a, const int32_t *b, int32_t n);
/* A sequence that shares the first n_tok positions of `src`. */
int32_t prefix_fork(struct engine *e, int32_t src, int32_t n_tok);
/* Keeps the first n_fed ids of an ended line, which are in the cache; `line` is empty after. */
void prefix_keep(struct engine *e, struct line *line, int32_t n_fed);
/* Keeps sequence `seq`, which holds the tokens ids [n_tok]; copies them. */
void prefix_adopt(struct engine *e, int32_t seq, const int32_t *ids, int32_t n_tok);
/* Closes the least recently used one; false if there is none. */
bool prefix_evict(struct engine *e);

#endif
