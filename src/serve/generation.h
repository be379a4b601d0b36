/* generation.h - a request that the model works on, and how its answer is worded. Private to the
 * room; the loop's thread only.
 */
#ifndef CRIA_SERVE_GENERATION_H
#define CRIA_SERVE_GENERATION_H

#include "serve/cited.h"
#include "serve/server.h"
#include "serve/translate.h"

enum { CHOICE_LOGPROBS = 4 };

/* A call of a function that the model has made. */
struct call {
    char id[32];
    const char *name;     /* in the request's body */
    struct buf arguments; /* JSON; without a stream, or where texts are kept */
    size_t text_at;       /* bytes of the choice's text before it */
    bool is_whole;        /* its arguments are JSON; known where they are kept */
};

/* One of the n answers to one of the prompts. */
struct choice {
    struct generation *generation;
    struct call_parser *parser; /* NULL: no functions are offered */
    struct citer *citer;        /* NULL: no sources */
    size_t n_cited;             /* references that have been told */
    size_t sentence_at;         /* citer_sentence() of the newest piece */
    struct call *call;
    int32_t n_calls;
    bool is_lost;    /* there was no memory for a piece of it */
    struct buf text; /* without a stream */
    struct buf
        sentences; /* size_t each: where one begins in the text, but the first; with a citer */
    /* JSON array elements without a stream: [0] of chat's content; of a text's tokens,
     * token_logprobs, top_logprobs and text_offset */
    struct buf logprobs[CHOICE_LOGPROBS];
    size_t n_chars; /* of the tokens in logprobs */
    enum finish finish;
    int32_t i_stop; /* the stop string that ended it, -1: none */
    int32_t n_generated, n_cached, n_same;
    double sum_logprob; /* of its tokens, where they are known */
    int64_t last_ns;    /* of its newest token */
};

struct generation {
    struct server *server;
    struct served *served;
    struct generation *prev, *next;
    struct exchange *ex; /* NULL: the client is gone */
    enum gen_api api;
    const struct wording *wording;
    char id[40];
    char key_name[KEY_NAME_BYTES];
    int64_t created_s;
    struct json_doc *body;
    size_t n_body_bytes;
    bool is_count; /* the client asks how many tokens its prompt has */
    /* of an API that is not read as it is */
    struct shape_ask ask;
    struct json_doc *chain, *chat; /* items of earlier turns; the body as a chat's */
    struct vault_job stored;       /* the chain, and in the end the response */
    int32_t n_events;              /* sent so far */
    int32_t n_opened;              /* items or blocks of the answer that have begun, */
    enum { OPEN_NONE, OPEN_TEXT, OPEN_CALL } open; /* what the newest of them is */
    size_t text_from;                              /* where its text begins in the choice's */
    struct gen_params params;
    struct cited_ask cited;
    struct find_job find;
    struct sources *sources; /* NULL: none are wanted */
    struct adapter *adapter; /* that it has chosen; NULL: none */
    struct compile_job compile;
    bool is_compiling; /* not with the worker yet */
    struct job job;
    struct job_part *part;
    struct choice *choice;
    int32_t n_prompts, n_choices;
    int32_t n_told;                          /* choices; fewer than n_choices only with best_of */
    int32_t n_prompt, n_cached, n_generated; /* tokens, summed up at the end */
    int32_t n_same; /* where the prompt left what was cached (engine_event); 0: it has not */
};

/* What a choice says next. */
enum piece_kind {
    PIECE_TEXT,      /* maybe none, at the end or with log-probabilities */
    PIECE_CALL,      /* call[i_call] of the choice begins */
    PIECE_ARGUMENTS, /* more of its arguments */
    PIECE_CALL_END,
    PIECE_REFERENCES, /* the newest `n_new` references of the choice's citer */
};
struct piece {
    enum piece_kind kind;
    int32_t i_choice, i_call;
    const char *text; /* TEXT, ARGUMENTS: n_text bytes */
    size_t n_text;
    size_t n_new;
    bool begins_sentence;          /* TEXT, of a choice with a citer: and is not the first */
    const struct sampled *sampled; /* TEXT: of a token, or NULL */
    enum finish finish;            /* TEXT: not NONE: the last piece of the choice */
};

/* ---- how an API words its answers: a row each; all append to `out` ---- */
struct wording {
    const char *id_prefix;
    enum gen_api reads_as;     /* GEN_CHAT or GEN_TEXT */
    const struct shape *shape; /* NULL: its body is read as it is */
    const char *count_object;  /* "object" of a count of tokens, NULL: without */
    bool keeps_text;           /* of streams too: their end has it once more */
    /* Opens a stream, or a choice in it; false: nothing does. */
    bool (*first)(struct generation *g, int32_t i_choice, struct buf *out);
    void (*chunk)(struct generation *g, const struct piece *p, struct buf *out);
    void (*end)(struct generation *g, struct buf *out);
    void (*fault)(struct generation *g, const struct refusal *r, struct buf *out);
    void (*whole)(struct generation *g, struct buf *out);
};
extern const struct wording wording_chat, wording_text;          /* wording.c */
extern const struct wording wording_responses, wording_messages; /* wording_responses.c ... */

/* Keeps a token's log-probability for `whole`. */
void word_logprobs(struct generation *g, struct choice *c, const struct sampled *s);
/* The one object that a chat has for a token, behind what is in `to`. */
void word_chat_logprob(struct generation *g, struct buf *to, const struct sampled *s);
const char *word_finish(const struct choice *c); /* "stop", "tool_calls" or "length" */
/* ---- wording_cited.c ---- */
/* The key "annotations" of a chat: the newest `n_new` references of a choice. */
void word_annotations(struct json_writer *w, const struct choice *c, size_t n_new);
/* Reference i of a choice, as Responses and as Messages have it. */
void word_response_citation(struct json_writer *w, const struct choice *c, size_t i);
void word_message_citation(struct json_writer *w, const struct choice *c, size_t i);
/* Bytes [begin, end) of a choice's text as blocks of Messages: a sentence each if it may have
 * citations, which stand in the block of what they support; else one. */
void word_message_texts(struct json_writer *w, const struct choice *c, size_t begin, size_t end);
/* ---- wording_calls.c ---- */
/* The keys of a delta that begins a call or goes on with it; of a message that has calls. */
void word_call_delta(struct json_writer *w, const struct generation *g, const struct piece *p);
void word_calls(struct json_writer *w, const struct choice *c);
/* Calls fn for each stretch of text (i_call -1: bytes [begin, end) of the choice's) and each call
 * of a whole answer, in order; for one that is empty with an empty text. */
typedef void word_item_fn(void *user, int32_t i_item, int32_t i_call, size_t begin, size_t end);
void word_items(const struct choice *c, word_item_fn *fn, void *user);

/* ---- generation.c ---- */
/* Sends the event of a stream that stands in the server's text. */
void generation_send(struct generation *g);

/* ---- generation_say.c ---- */
bool choice_open(struct choice *c, struct generation *g, struct refusal *r) CRIA_CHECK;
void choice_release(struct choice *c);
/* Tells what an event says, or keeps it until the end. */
void generation_say(struct generation *g, const struct worker_event *ev);

/* ---- generation_read.c: from a body to a job ---- */
/* Reads whether the answer is to have sources and the question they are looked up by, which is
 * known when the chain is here. */
bool generation_read_cited(struct generation *g, struct refusal *r) CRIA_CHECK;
/* Reads the body (and the chain): fields, prompts, choices. */
bool generation_read(struct generation *g, struct refusal *r) CRIA_CHECK;
/* Fills g->stored with the response that has been made. */
void generation_fill_stored(struct generation *g);

#endif
