/* generation.h - a request that the model works on, and how its answer is worded. Private to the
 * room; the loop's thread only.
 */
#ifndef CRIA_SERVE_GENERATION_H
#define CRIA_SERVE_GENERATION_H

#include "serve/server.h"

enum { CHOICE_LOGPROBS = 4 };

/* One of the n answers to one of the prompts. */
struct choice {
    struct buf text; /* without a stream */
    /* JSON array elements without a stream: [0] of chat's content; of a text's tokens,
     * token_logprobs, top_logprobs and text_offset */
    struct buf logprobs[CHOICE_LOGPROBS];
    size_t n_chars; /* of the tokens in logprobs */
    enum finish finish;
    int32_t n_generated, n_cached;
    int64_t last_ns; /* of its newest token */
};

struct generation {
    struct server *server;
    struct generation *prev, *next;
    struct exchange *ex; /* NULL: the client is gone */
    enum gen_api api;
    char id[40];
    char key_name[KEY_NAME_BYTES];
    int64_t created_s;
    struct json_doc *body;
    struct gen_params params;
    struct compile_job compile;
    bool is_compiling; /* not with the worker yet */
    struct job job;
    struct job_part *part;
    struct choice *choice;
    int32_t n_prompts, n_choices;
    int32_t n_prompt, n_cached, n_generated; /* tokens, summed up at the end */
};

/* ---- wording.c: JSON of answers; all append to `out` ---- */
/* What opens a choice in a stream, if anything does. */
bool word_first(struct generation *g, int32_t i_choice, struct buf *out);
void word_chunk(struct generation *g, const struct worker_event *ev, struct buf *out);
void word_usage_chunk(struct generation *g, struct buf *out);
void word_whole(struct generation *g, struct buf *out);
/* Keeps a token's log-probability for word_whole(). */
void word_logprobs(struct generation *g, struct choice *c, const struct sampled *s);
const char *word_finish(enum finish f); /* "stop" or "length" */

#endif
