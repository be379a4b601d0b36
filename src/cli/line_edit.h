/* line_edit.h - reading what a person types: editing, history, pasted text. libedit behind a small
 * interface; the only file that knows it is line_edit.c. One thread at a time, one object at a
 * time.
 */
#ifndef CRIA_CLI_LINE_EDIT_H
#define CRIA_CLI_LINE_EDIT_H

#include <signal.h>
#include <stdbool.h>

#include "base/buf.h"

struct line_edit;

/* The i-th word that a line may begin with, for the Tab key; NULL after the last. */
typedef const char *line_words(int i);

/* Standard input must be a terminal, and standard error or output, too; the line is drawn there.
 * `history` is the file of earlier lines, made if missing; NULL: none is kept. It is no failure if
 * it cannot be read or written. Reading ends when one of the flags is raised by a signal handler.
 * Keeps the flags. Returns owned; ERR_IO or ERR_MEMORY. */
struct line_edit *line_edit_open(const char *history, line_words *words,
                                 const volatile sig_atomic_t *is_interrupted,
                                 const volatile sig_atomic_t *is_ended, struct err *err);
void line_edit_close(struct line_edit *e); /* NULL is fine; the terminal is as it was */

enum line_result {
    LINE_TEXT,      /* a line, maybe empty, maybe with newlines in it (a paste) */
    LINE_DISCARDED, /* interrupted with text in the line */
    LINE_INTERRUPT, /* interrupted, the line was empty */
    LINE_END,       /* Ctrl-D in an empty line, end of input, or is_ended */
};

/* Appends the line, without its newline, to `out`. */
enum line_result line_edit_read(struct line_edit *e, const char *prompt, struct buf *out);

/* Puts a message into the history, and into its file. */
void line_edit_remember(struct line_edit *e, const char *text);

/* While an answer is written what is typed is not shown, but kept for the next line. */
void line_edit_hush(struct line_edit *e, bool is_hushed);

/* ${XDG_STATE_HOME:-~/.local/state}/cria/history into `path`, its directory made if missing. */
bool line_edit_history_path(struct buf *path);

#endif
