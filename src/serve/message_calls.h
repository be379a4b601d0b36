/* message_calls.h - calls of functions in a conversation's earlier turns: what an assistant's
 * message holds, and which call a tool's message answers. Any thread.
 */
#ifndef CRIA_SERVE_MESSAGE_CALLS_H
#define CRIA_SERVE_MESSAGE_CALLS_H

#include "base/arena.h"
#include "base/json.h"
#include "serve/refusal.h"
#include "text/chat.h"

/* A message and where it was read. */
struct read_message {
    struct chat_message m;
    struct json from;
};

/* Checks messages[i].tool_calls and puts it into `m`, as text in `a`. */
bool message_calls_read(struct json calls, size_t i, struct arena *a, struct chat_message *m,
                        struct refusal *r) CRIA_CHECK;
/* Checks that messages[i], a tool's, answers one of `calls`, those of the assistant's message
 * before it (JSON_NONE: there is none). */
bool message_result_check(struct json message, size_t i, struct json calls,
                          struct refusal *r) CRIA_CHECK;

/* The conversation with one call a message, each followed by its results: for templates that know
 * no more (CHAT_TOOLS_LLAMA). `*out` lies in `a`. */
bool message_calls_split(const struct read_message *in, size_t n, struct arena *a,
                         struct chat_message **out, size_t *n_out, struct err *err) CRIA_CHECK;

#endif
