/* cria.h - Llama models in C: the public interface of libcria.
 *
 * A program opens a model, makes an engine for it, and asks the engine to continue prompts:
 *
 *     struct cria_error err;
 *     struct cria_model *m = cria_model_open("model.gguf", &err);
 *     struct cria_engine *e = m ? cria_engine_new(m, NULL, &err) : NULL;
 *     struct cria_request r;
 *     cria_request_init(&r);
 *     r.prompt = ids, r.n_prompt = n;                 // from cria_tokenize() or
 * cria_chat_tokenize() r.listener = on_event;                          // gets the text as it comes
 *     if (!e || !cria_generate(e, &r, &err)) fprintf(stderr, "%s\n", err.text);
 *     cria_engine_free(e);
 *     cria_model_close(m);
 *
 * Errors. A function that can fail returns false, NULL or 0 and fills `err` (never NULL) with a
 * code and one line of text that names the thing, the value and the remedy. The library never
 * exits, prints, or keeps global state; without memory it says so.
 *
 * Threads. A model is immutable: any number of threads may use it. An engine belongs to one thread
 * at a time; only cria_cancel() may come from any thread, or from a signal handler. Several engines
 * may share a model.
 *
 * Memory. What a comment calls owned is the caller's and ends with cria_free() or the handle's own
 * function; all of these accept NULL. Strings are UTF-8.
 *
 * Versions. Structs that callers fill begin with `struct_bytes`, set by their _init function: new
 * fields go to the end, and a library reads no more than the caller's size. Symbols carry the
 * version that introduced them (CRIA_0.1).
 */
#ifndef CRIA_H
#define CRIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRIA_API __attribute__((visibility("default")))

#define CRIA_VERSION_MAJOR 0
#define CRIA_VERSION_MINOR 1
#define CRIA_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library in use: "0.1.0". Static. */
CRIA_API const char *cria_version(void);

/* ---- errors ---- */

enum cria_code {
    CRIA_OK = 0,
    CRIA_USAGE,       /* a request or option asks for what does not exist or is out of range */
    CRIA_IO,          /* the system refused: open, read, mmap */
    CRIA_FORMAT,      /* a file breaks its format */
    CRIA_LIMIT,       /* too long, too large */
    CRIA_MEMORY,      /* memory is not there, or the plan does not fit */
    CRIA_UNSUPPORTED, /* well-formed, but not something this library can do */
    CRIA_BUSY,        /* try again later: the queue is full */
    CRIA_CANCELLED,   /* the caller asked to stop */
    CRIA_NETWORK      /* not used by this version */
};

struct cria_error {
    enum cria_code code; /* CRIA_OK until something fails */
    char text[500];
};

/* Ends memory that a function returned as owned. */
CRIA_API void cria_free(void *p);

/* ---- models ---- */

struct cria_model;

/* Opens a GGUF file, a Hugging Face directory or a Meta directory. Weights stay mapped from their
 * files, which must not be cut short meanwhile. Returns owned. */
CRIA_API struct cria_model *cria_model_open(const char *path, struct cria_error *err);
CRIA_API void cria_model_close(struct cria_model *m);

CRIA_API int32_t cria_model_n_vocab(const struct cria_model *m);
/* Positions that the model was trained for. */
CRIA_API int32_t cria_model_n_ctx(const struct cria_model *m);
/* What `cria inspect` knows of a model without its list of tensors, as one JSON object: name,
 * licence, parameters, type, shape, rope, tokenizer, chat format. Returns owned. */
CRIA_API char *cria_model_inspect(const struct cria_model *m, struct cria_error *err);

/* ---- text and tokens ---- */

enum {
    CRIA_SPECIAL = 1, /* tokenize: match special tokens in the text (never for a user's text: it
                       * could forge turns); detokenize: show them */
    CRIA_BOS = 2      /* tokenize: begin with what the model's texts begin with */
};

/* Token ids of text[0..n_bytes). Returns owned, *n of them (NULL only on failure). */
CRIA_API int32_t *cria_tokenize(const struct cria_model *m, const char *text, size_t n_bytes,
                                unsigned flags, size_t *n, struct cria_error *err);
/* The text of ids, NUL-terminated; *n_bytes may be NULL. The ends need not be whole characters.
 * Returns owned. */
CRIA_API char *cria_detokenize(const struct cria_model *m, const int32_t *ids, size_t n,
                               unsigned flags, size_t *n_bytes, struct cria_error *err);

struct cria_message {
    const char *role;    /* "system", "user", "assistant" */
    const char *content; /* NUL-terminated */
};

/* The prompt of a conversation in the model's own chat format, open for the assistant's answer.
 * CRIA_UNSUPPORTED for a base model, which has none. Return owned. */
CRIA_API char *cria_chat_render(const struct cria_model *m, const struct cria_message *message,
                                size_t n_messages, struct cria_error *err);
/* The same as ids: what to generate from. Special tokens in `content` stay ordinary text. */
CRIA_API int32_t *cria_chat_tokenize(const struct cria_model *m, const struct cria_message *message,
                                     size_t n_messages, size_t *n, struct cria_error *err);

/* ---- engines ---- */

struct cria_engine;

struct cria_engine_options {
    size_t struct_bytes;
    int32_t n_threads;     /* 0: one per physical core */
    int32_t n_ctx;         /* longest sequence; 0: the model's, at most 8192 */
    int32_t n_seqs;        /* answers at once, 1 to 256; 0: 1 */
    int32_t max_batch_tok; /* tokens of a step; 0: 512 */
    const char *isa;       /* instruction set ("avx2"); NULL: the best that runs here */
};
CRIA_API void cria_engine_options_init(struct cria_engine_options *opt);

/* Keeps `m` (close it after). `opt` NULL: all defaults. CRIA_MEMORY, with the sums, when cache and
 * work memory do not fit. Returns owned. */
CRIA_API struct cria_engine *cria_engine_new(const struct cria_model *m,
                                             const struct cria_engine_options *opt,
                                             struct cria_error *err);
/* Ends running requests without calling their listeners. */
CRIA_API void cria_engine_free(struct cria_engine *e);

enum cria_finish {
    CRIA_FINISH_NONE = 0,
    CRIA_FINISH_STOP,    /* a stop token or stop string */
    CRIA_FINISH_LENGTH,  /* n_predict is reached */
    CRIA_FINISH_CONTEXT, /* the context is full */
    CRIA_FINISH_CANCEL,
    CRIA_FINISH_ERROR
};

/* One event of an answer: a token, text, progress of the prompt, or the end. Pointers are valid
 * until the listener returns. */
struct cria_event {
    int32_t i_answer;
    int32_t token;    /* -1: none in this event */
    float logprob;    /* of the token, natural log, at temperature 1; NaN unless wants_logprobs */
    const char *text; /* n_text bytes of whole characters, not NUL-terminated */
    size_t n_text;
    enum cria_finish finish; /* not NONE: the last event of this answer */
    const char *message;     /* CRIA_FINISH_ERROR: why; else NULL */
    int32_t n_prompt, n_prompt_done, n_cached, n_generated;
};
/* Return false to cancel the request. Must not call the engine, but for cria_cancel(). */
typedef bool cria_listener(void *user, const struct cria_event *ev);

struct cria_request {
    size_t struct_bytes;
    const int32_t *prompt; /* n_prompt ids; copied */
    int32_t n_prompt;
    int32_t n_predict; /* -1: until a stop or the context's end */
    int32_t n_answers; /* answer i uses seed + i; at most the engine's n_seqs */
    uint64_t seed;
    float temperature;                                         /* 0: always the likeliest token */
    int32_t top_k;                                             /* 0: off */
    float top_p;                                               /* 1: off */
    float min_p;                                               /* 0: off */
    float repeat_penalty, presence_penalty, frequency_penalty; /* 1, 0, 0: off */
    const char *const *stop; /* n_stop strings, at most 16; copied */
    int32_t n_stop;
    bool ignores_eos;
    bool wants_logprobs;
    cria_listener *listener; /* or NULL */
    void *user;
};
/* Temperature 0.8, top_k 40, top_p 0.95, min_p 0.05, one answer, no limit. */
CRIA_API void cria_request_init(struct cria_request *r);

/* Runs one request to its end. True also when it was cancelled; see the last event. */
CRIA_API bool cria_generate(struct cria_engine *e, const struct cria_request *r,
                            struct cria_error *err);

/* The same in steps, for many requests at once. Submit returns a handle above 0, or 0. */
CRIA_API int64_t cria_submit(struct cria_engine *e, const struct cria_request *r,
                             struct cria_error *err);
/* One batch for all requests; *has_work says whether another step is due. */
CRIA_API bool cria_step(struct cria_engine *e, bool *has_work, struct cria_error *err);
/* Ends a request within one step. Any thread. */
CRIA_API void cria_cancel(struct cria_engine *e, int64_t request);

/* ---- scoring ---- */

/* Calls `fn` with the logits [n_vocab] after each of ids[first .. n), in order. `fn` returns false
 * to stop (CRIA_CANCELLED). */
typedef bool cria_logits_fn(void *user, int32_t pos, const float *logits);
CRIA_API bool cria_logits(struct cria_engine *e, const int32_t *ids, int32_t n, int32_t first,
                          cria_logits_fn *fn, void *user, struct cria_error *err);
/* logprob[i] = log p(ids[i + 1] | ids[0 .. i]), n - 1 of them. */
CRIA_API bool cria_logprobs(struct cria_engine *e, const int32_t *ids, int32_t n, float *logprob,
                            struct cria_error *err);

#ifdef __cplusplus
}
#endif

#endif
