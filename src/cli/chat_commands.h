/* chat_commands.h - the /commands of `cria chat`: a table that /help and completion by Tab walk
 * too, so that a new command is one row and one function. One thread at a time. */
#ifndef CRIA_CLI_CHAT_COMMANDS_H
#define CRIA_CLI_CHAT_COMMANDS_H

#include "cli/chat_session.h"

struct chat_command {
    const char *name;      /* with its slash */
    const char *arguments; /* "FILE", or "" */
    const char *what;
    /* `rest`: what follows the name, without spaces around it. What it has to say goes to stderr.
     */
    bool (*run)(struct chat_session *c, const char *rest, struct err *err);
};
extern const struct chat_command chat_commands[]; /* ended by name NULL */

/* True if the line is meant as a command: a slash, letters, then a space or the end. A path such as
 * /etc/passwd is not, nor is a text of more than one line. */
bool chat_is_command(const char *line, size_t n_bytes);

/* Runs it. ERR_USAGE offers the nearest name. */
bool chat_run_command(struct chat_session *c, const char *line, struct err *err) CRIA_CHECK;

/* Names in the form of line_edit's Tab key. */
const char *chat_command_name(int i);

#endif
