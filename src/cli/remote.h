/* remote.h - a chat's answers from a server that speaks OpenAI's API: cria serve, llama-server,
 * vLLM and others. One thread at a time.
 */
#ifndef CRIA_CLI_REMOTE_H
#define CRIA_CLI_REMOTE_H

#include "cli/command.h"
#include "text/chat.h"

extern const struct option_group server_group; /* --server --server-model --key-file */

struct remote;

/* By the options of the server group; --server is given. Asks the server for its models if none is
 * named. ERR_USAGE, ERR_NETWORK, ERR_IO. */
struct remote *remote_open(const struct args *a, struct err *err);
void remote_close(struct remote *r); /* NULL is fine */
const char *remote_model(const struct remote *r);
const char *remote_address(const struct remote *r);

enum remote_end { REMOTE_STOP, REMOTE_LENGTH, REMOTE_STOPPED };

struct remote_reply {
    bool (*text)(void *user, const char *s, size_t n_bytes, struct err *err); /* false: give up */
    bool (*wants_stop)(void *user);
    void *user;
    /* Filled: what the server says of it, -1 if it does not. */
    int64_t n_prompt, n_cached, n_generated;
    enum remote_end end;
};

/* Asks for an answer to the messages. `settings`: the answer and sampling groups; those that were
 * given are sent. Control characters in the answer are left out. ERR_NETWORK with what the server
 * said. */
bool remote_ask(struct remote *r, const struct chat_message *message, size_t n_messages,
                const struct args *settings, struct remote_reply *reply,
                struct err *err) CRIA_CHECK;

#endif
