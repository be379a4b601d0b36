/* SPDX-License-Identifier: Apache-2.0
 *
 * err.c - filling and prefixing the one error object that a call chain carries.
 *
 * The text lives inside `struct err`, so that reporting a failure allocates nothing: the most
 * common failure that needs a message is that memory has run out. A text that does not fit is cut
 * at a whole UTF-8 character and ends in "...". Control characters become spaces: a message may
 * quote a name out of a hostile file, and must stay one line that does not drive the terminal.
 *
 * Begin reading at err_set().
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char ellipsis[] = "...";

/* Where to cut so that `room` bytes at `s` hold whole characters only. */
static size_t whole_chars(const char *s, size_t room)
{
    while (room > 0 && ((unsigned char)s[room] & 0xC0) == 0x80) room--;
    return room;
}

static void clean_and_cut(struct err *err, size_t n_wanted)
{
    const size_t n_max = sizeof err->text - 1;
    if (n_wanted > n_max) {
        const size_t n = whole_chars(err->text, n_max - strlen(ellipsis));
        memcpy(err->text + n, ellipsis, sizeof ellipsis);
    }
    for (char *c = err->text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = ' ';
}

bool err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    err->code = code;
    clean_and_cut(err, n < 0 ? 0 : (size_t)n);
    return false;
}

bool err_wrap(struct err *err, const char *fmt, ...)
{
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);

    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);

    const size_t n_front = n < 0 ? 0 : (size_t)n;
    size_t n_wanted = n_front;
    if (n_front < sizeof err->text) {
        const int m = snprintf(err->text + n_front, sizeof err->text - n_front, ": %s", old);
        n_wanted += m < 0 ? 0 : (size_t)m;
    }
    clean_and_cut(err, n_wanted);
    return false;
}
