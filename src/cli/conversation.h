/* conversation.h - the messages of a chat, and its file. One thread at a time.
 *
 * The file is JSON as the OpenAI API has it: {"messages": [{"role": ..., "content": ...}, ...]}.
 */
#ifndef CRIA_CLI_CONVERSATION_H
#define CRIA_CLI_CONVERSATION_H

#include "text/chat.h"

struct conversation {
    struct chat_message *message; /* owned; a system message, if any, is the first */
    size_t n, cap;
};

void conversation_release(struct conversation *c); /* empty after, may be used again */

/* Appends a message; copies. `role` must be a literal: system, user or assistant. */
bool conversation_add(struct conversation *c, const char *role, const char *text, size_t n_bytes,
                      struct err *err) CRIA_CHECK;
void conversation_pop(struct conversation *c); /* the last message */
/* The system message: set, replaced, or with NULL removed. */
bool conversation_set_system(struct conversation *c, const char *text, struct err *err) CRIA_CHECK;
const char *conversation_system(const struct conversation *c); /* or NULL */
/* Forgets everything but the system message. */
void conversation_reset(struct conversation *c);
/* Forgets the oldest question and its answer; false if only the newest question is left. */
bool conversation_drop_oldest(struct conversation *c);
/* The role of the last message, "" if there is none. */
const char *conversation_last_role(const struct conversation *c);

/* Written aside and renamed. `model` is noted in the file, may be NULL. */
bool conversation_save(const struct conversation *c, const char *path, const char *model,
                       struct err *err) CRIA_CHECK;
/* Replaces `c` by what the file holds; on failure `c` is as it was. Also takes a bare array of
 * messages. */
bool conversation_load(struct conversation *c, const char *path, struct err *err) CRIA_CHECK;
/* The same from memory; `name` for messages. */
bool conversation_parse(struct conversation *c, const char *json, size_t n_bytes, const char *name,
                        struct err *err) CRIA_CHECK;

#endif
