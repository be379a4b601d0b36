/* python_args.h - keyword arguments as Python writes them, f(a=1, b=['x', True]), turned into a
 * JSON object while they come. Private to text/. One thread at a time.
 */
#ifndef CRIA_TEXT_PYTHON_ARGS_H
#define CRIA_TEXT_PYTHON_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum { PYTHON_MAX_DEPTH = 32, PYTHON_MAX_WORD = 64 };

struct python_args {
    int state;
    int depth;
    char close[PYTHON_MAX_DEPTH]; /* of the brackets that are open, as JSON spells them */
    char word[PYTHON_MAX_WORD + 1];
    int n_word;
    char quote;
    int n_hex, n_wanted; /* digits of \x and \u */
    bool has_comma, has_argument;
};

enum python_step {
    PYTHON_GOES_ON,
    PYTHON_END, /* that was the ) */
    PYTHON_BAD, /* that was no keyword argument */
};

/* Feeds one character from behind the ( on; appends what is known of the object to `out`: nothing
 * before the first = or the ). */
enum python_step python_args_put(struct python_args *a, char c, struct buf *out);

/* Appends one byte of a JSON string, escaped where JSON wants it. */
void json_escape_byte(struct buf *out, char c);

#endif
