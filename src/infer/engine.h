/* engine.h - many requests, one batch a step: the scheduler that chat, generate, the server and
 * the trainers use.
 *
 * A request is a prompt (token ids) and how to continue it; engine_step() puts chunks of waiting
 * prompts beside the next token of every running answer into one ragged batch, runs it, samples,
 * and calls the requests' listeners. Prompts that begin like one whose pages are still cached reuse
 * them; the n answers of one request share their prompt's pages.
 *
 * Thread rule: one thread calls everything, but engine_cancel(), which may come from any thread
 * or a signal handler: the request then ends within one step.
 */
#ifndef CRIA_INFER_ENGINE_H
#define CRIA_INFER_ENGINE_H

#include "base/err.h"
#include "infer/grammar.h"
#include "infer/pooling.h"
#include "infer/sampler.h"
#include "model/forward.h"

struct engine;

#define ENGINE_MAX_DRAFT 6
struct engine_options {
    int n_threads;          /* 0: one per physical core */
    bool pins_threads;      /* each to a physical core of its own, see team_pin() */
    const char *isa;        /* NULL: best, or CRIA_ISA in the environment (read by cli) */
    int32_t n_ctx;          /* longest sequence; 0: min(the model's, 8192) */
    int32_t n_seqs;         /* answers at once, 1..256; 0: 1 */
    int32_t max_batch_tok;  /* 0: 512 */
    int64_t cache_tok;      /* positions in the cache in all, >= n_ctx; 0: n_ctx * n_seqs */
    enum dtype kv_dtype;    /* DT_COUNT: F16 */
    int32_t max_logit_rows; /* 0: n_seqs; scoring wants max_batch_tok */
    /* Most tokens guessed ahead for an answer, 0..ENGINE_MAX_DRAFT; 0: none. Changes how fast
     * answers come, not what they say (speculate.c). */
    int32_t n_draft;
    bool takes_adapters; /* memory for them in a step, without which requests may have none */
    const struct model *draft_model; /* kept; guesses where the text itself does not; NULL: none */
};

/* Memory and machine, for the banner and `inspect`. */
struct engine_plan {
    const char *isa;
    int n_threads;
    bool is_pinned;
    int32_t n_ctx, n_seqs;
    uint64_t weight_bytes, cache_bytes, work_bytes, available_bytes;
};

/* Keeps `m`. Refuses with ERR_MEMORY, naming the sums, when cache and work do not fit; with
 * ERR_USAGE, naming both, a draft model of another vocabulary. */
struct engine *engine_new(const struct model *m, const struct engine_options *opt, struct err *err);
/* What an engine with these options would take, without making one. ERR_USAGE as of engine_new().
 */
bool engine_measure(const struct model *m, const struct engine_options *opt,
                    struct engine_plan *out, struct err *err) CRIA_CHECK;
void engine_free(struct engine *e); /* NULL is fine; ends all requests without calling listeners */
const struct engine_plan *engine_plan(const struct engine *e);
const struct model *engine_model(const struct engine *e);

enum finish {
    FINISH_NONE,
    FINISH_STOP,    /* a stop token, a stop string, or the grammar's end */
    FINISH_LENGTH,  /* n_predict reached */
    FINISH_CONTEXT, /* the context is full */
    FINISH_CANCEL,
    FINISH_ERROR, /* see the event's err */
};
const char *finish_name(enum finish f); /* "stop", "length", "context", "cancelled", "error" */

/* What a listener is told. The stop token is not among the tokens told, unless shows_special.
 * Text is whole UTF-8 characters, held back while it may be the beginning
 * of a stop string; `token` is -1 in events that only carry text or the end. */
struct engine_event {
    int32_t i_answer; /* 0 .. n_answers - 1 */
    int32_t token;
    const char *text; /* n_text bytes, maybe 0 */
    size_t n_text;
    const struct sampled *sampled; /* with logprobs; NULL without token */
    enum finish finish;            /* not NONE: the last event of this answer */
    const char *stop_text;         /* the stop string that ended it, or NULL */
    const struct err *err;         /* FINISH_ERROR only */
    bool is_prompt;                /* `token` is one of the prompt: see score_from */
    const float *embedding; /* [d_model] of length 1, in the last event of a request with pooling */
    int32_t n_prompt, n_cached, n_generated;
    /* Where the prompt left the cached one that it is like for longest: so many tokens are the
     * same and the next is another. 0: it has left none. */
    int32_t n_same;
    int32_t n_drafted, n_accepted; /* tokens guessed ahead so far, and how many came true */
    /* The prompt's progress, for events before the first token (token -1, n_text 0). */
    int32_t n_prompt_done;
};
/* Return false to cancel the request. Must not call the engine. */
typedef bool engine_listener(void *user, const struct engine_event *ev);

/* A control token that is told in the text, and as what (a literal, kept). */
struct shown_token {
    int32_t id;
    const char *as;
};

#define ENGINE_MAX_STOPS 16
#define ENGINE_MAX_SHOWN 4
struct request_params {
    const int32_t *prompt; /* copied */
    int32_t n_prompt;
    int32_t n_predict; /* -1: until a stop or the context's end */
    int32_t n_answers; /* 1..n_seqs; answer i uses seed + i */
    struct sampler_params sampling;
    /* What the answers may be, NULL: any text. Shared; the caller may free its own at once. The
     * answer ends when it is whole and nothing can follow; needs a tokenizer, and not
     * ignores_eos. */
    struct grammar *grammar;
    const char *stop[ENGINE_MAX_STOPS]; /* copied */
    int32_t n_stop;
    bool ignores_eos;
    bool shifts_context; /* when full: drop the older half after the first n_keep positions
                          * (re-read, not rotated: exact for what is kept) and go on */
    int32_t n_keep;
    bool shows_special;                         /* control tokens appear in the text */
    struct shown_token shown[ENGINE_MAX_SHOWN]; /* these do in any case; n_shown */
    int32_t n_shown;
    /* The log-probabilities of the prompt's tokens from this position on are told, each in an event
     * of its own before the first answer's; 0: none. (The first token, at 0, has none.) What is
     * before it may come from the cache. Slow unless max_logit_rows is above n_seqs. */
    int32_t score_from;
    /* No answer but a vector: the states of the prompt's tokens, pooled. One answer, no grammar and
     * no stops; the prompt is not kept in the prefix cache. */
    enum pooling pooling;
    struct lora *adapter; /* held while the request lives; NULL: the engine's, see below */
    /* Who asks, any number: requests wait fairly between clients, by the tokens that each has had.
     * A lower priority number goes first; both as fair.c says. */
    int64_t client;
    int32_t priority;
    engine_listener *listener;
    void *user;
};
struct request_params request_defaults(void);

/* Queues a request; returns its handle (> 0), or 0 with ERR_LIMIT (prompt longer than the context:
 * says both numbers), ERR_USAGE (parameters), ERR_BUSY (queue of 1024 full). */
int64_t engine_submit(struct engine *e, const struct request_params *p, struct err *err);
void engine_cancel(struct engine *e, int64_t request);
/* One batch. Returns true while there is work left; an error here is of the whole engine. */
bool engine_step(struct engine *e, bool *has_work, struct err *err) CRIA_CHECK;
/* Submits, steps until it has ended. */
bool engine_run(struct engine *e, const struct request_params *p, struct err *err) CRIA_CHECK;

/* The adapter of requests that name none, and of engine_score(); held. Requests with different
 * ones, or none, share batches, but never keys and values. NULL: none. */
void engine_use_adapter(struct engine *e, struct lora *adapter);

/* Log-likelihoods and raw logits without sampling: runs ids through the cache in chunks, calling
 * `fn` with the logits of each position in order. The sequence is forgotten after. */
typedef bool engine_logits_fn(void *user, int32_t pos, const float *logits);
bool engine_score(struct engine *e, const int32_t *ids, int32_t n, int32_t first_wanted,
                  engine_logits_fn *fn, void *user, struct err *err) CRIA_CHECK;
/* Sees each product's inputs during engine_score (imatrix). */
void engine_observe(struct engine *e, forward_observer *fn, void *user);

/* Forgets cached prefixes (bench, tests). */
void engine_clear_cache(struct engine *e);
/* Writes the newest ended sequence's keys and values, as many whole pages as it fills (n_tok
 * tokens, 0: nothing was written), aside and renamed. */
bool engine_save_prefix(const struct engine *e, const char *path, int32_t *n_tok,
                        struct err *err) CRIA_CHECK;
/* Reads them back: a prompt that begins with these tokens finds them. ERR_FORMAT for a file that is
 * none, is damaged, or of another model, cache type or larger context; then nothing has changed. */
bool engine_load_prefix(struct engine *e, const char *path, int32_t *n_tok,
                        struct err *err) CRIA_CHECK;
/* Positions of the cache that nobody holds, not even as a cached prefix. */
int64_t engine_free_tokens(const struct engine *e);

/* How busy the engine is: read from any thread, each number true by itself as of the last step. */
struct engine_status {
    int32_t n_queued, n_running;   /* requests waiting, answers under way */
    int64_t n_prompt, n_generated; /* tokens read and sampled since the engine was made */
    int64_t n_drafted, n_accepted; /* tokens guessed ahead, and those that came true */
};
struct engine_status engine_status(const struct engine *e);

#endif
