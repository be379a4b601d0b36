/* chat_session.h - a conversation with a model: its messages, one turn on the engine, what it cost.
 * The model is on this machine, or behind --server. Knows no terminal: text and progress go to a
 * listener. One thread at a time.
 */
#ifndef CRIA_CLI_CHAT_SESSION_H
#define CRIA_CLI_CHAT_SESSION_H

#include "cli/chat_settings.h"
#include "cli/conversation.h"
#include "cli/options.h"
#include "cli/remote.h"
#include "retrieve/citer.h"

/* What one answer took. */
struct turn {
    int64_t n_prompt, n_cached, n_generated; /* tokens; cached ones were not read again */
    int64_t n_drafted, n_accepted;           /* tokens guessed ahead; those that came true */
    int64_t n_forgotten;                     /* messages that a context shift took away */
    double read_s, write_s;                  /* until the first token; from there to the last */
    enum finish finish;
};

struct chat_listener {
    void (*text)(void *user, const char *s, size_t n_bytes);
    void (*progress)(void *user, int32_t n_read, int32_t n_prompt); /* before the first token */
    bool (*wants_stop)(void *user);                                 /* asked before each step */
    void (*prompt)(void *user, const struct tokenizer *t, const struct ids *ids); /* or NULL */
    /* After an answer with references, [n]; with --index only. */
    void (*cited)(void *user, const struct sources *s, const struct citation *c, size_t n);
    void *user;
};

struct chat_session {
    const struct args *args;
    struct session s;                 /* without --server */
    const struct chat_family *family; /* likewise */
    struct remote *remote;            /* with --server */
    struct conversation talk;
    struct chat_settings settings;
    struct chat_listener listener;
    char today[32]; /* of the beginning: a clock in the prompt would spoil the prefix cache */
    struct ids prompt;
    struct logit_bias *bias; /* [SAMPLER_MAX_BIAS] */
    struct grammar *grammar; /* what every answer must be, or NULL */
    struct sources *sources; /* of --index, or NULL */
    uint64_t n_answers;      /* since the seed was set: each answer has the next seed */
    bool is_temp_ours;       /* nobody chose the temperature: 0, see chat_session.c */
    struct turn last, sum;
    int32_t n_turns;
    bool is_over;        /* /exit */
    bool has_state;      /* --state named a conversation */
    int32_t n_state_tok; /* tokens whose keys and values came with it */
};

/* Opens model and engine by the command line's --model, --template, --system and so on.
 * ERR_UNSUPPORTED for a base model. `is_script`: answers shall repeat unless the command line says
 * how to draw them. Keeps `a`. On failure everything is released. */
bool chat_session_open(struct chat_session *c, const struct args *a, bool is_script,
                       const struct chat_listener *listener, struct err *err) CRIA_CHECK;
void chat_session_close(struct chat_session *c);

/* With --state: writes the conversation to the file, and beside it, at FILE.kv, the keys and
 * values. */
bool chat_session_keep(const struct chat_session *c, struct err *err) CRIA_CHECK;

/* Adds the message and answers it. On failure, ERR_LIMIT when the context is full, the conversation
 * is as before. An answer that was stopped or cut short is kept as far as it came. */
bool chat_session_ask(struct chat_session *c, const char *text, size_t n_bytes,
                      struct err *err) CRIA_CHECK;
/* Throws the last answer away, if the last message is one, and answers again with another seed. */
bool chat_session_again(struct chat_session *c, struct err *err) CRIA_CHECK;

/* Tokens of the last turn's prompt and answer, and how many there may be. */
int64_t chat_session_used(const struct chat_session *c);
/* The model's name; its tokenizer, NULL with --server. */
const char *chat_session_model(const struct chat_session *c);
const struct tokenizer *chat_session_tokenizer(const struct chat_session *c);
int32_t chat_session_context(const struct chat_session *c);

#endif
