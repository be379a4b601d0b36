/* markdown.h - an answer on its way to the terminal: Markdown coloured while it streams.
 *
 * Nothing of the text is taken away: the marks stay, colour is put around them, so what is copied
 * from the terminal is what the model wrote (M1 in markdown.c). One thread at a time.
 */
#ifndef CRIA_CLI_MARKDOWN_H
#define CRIA_CLI_MARKDOWN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum markdown_mode {
    MARKDOWN_RAW,   /* not a terminal: bytes pass unchanged */
    MARKDOWN_PLAIN, /* a terminal without colours: control characters are made visible */
    MARKDOWN_COLOR,
};

struct markdown { /* private, but for its size */
    enum markdown_mode mode;
    char run; /* a mark that is held until its length is known, or 0 */
    int n_run;
    int n_run_indent; /* spaces before the run if it begins its line, else -1 */
    int n_indent;     /* spaces since the line began; -1: something else was there */
    bool is_heading, is_bold, is_italic, is_quote;
    int n_code; /* backticks that opened the code span, or 0 */
    char fence; /* '`' or '~' of the open code block, or 0 */
    int n_fence;
    bool is_escaped;      /* after a backslash */
    unsigned char before; /* the last byte written */
};

void markdown_begin(struct markdown *m, enum markdown_mode mode);
/* Appends what can be shown now. Whole UTF-8 characters are expected. */
void markdown_feed(struct markdown *m, const char *s, size_t n_bytes, struct buf *out);
/* Appends what was held and ends all colours; ready for the next text. */
void markdown_end(struct markdown *m, struct buf *out);

#endif
