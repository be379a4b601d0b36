/* buf.h - a byte buffer that grows up to a ceiling.
 *
 * Appending is sticky: after the first failure (no memory, or past `max_bytes`) further appends do
 * nothing, and one buf_check() at the end says whether all of it is there. So a writer of JSON or
 * of a prompt is straight-line code with one check. `data` is kept NUL-terminated (not counted).
 * One thread at a time.
 */
#ifndef CRIA_BASE_BUF_H
#define CRIA_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct buf {
    char *data; /* NULL until the first append */
    size_t n_bytes;
    size_t cap_bytes;
    size_t max_bytes;
    bool is_failed;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_release(struct buf *b); /* frees; the buffer may be used again as if just initialised */
void buf_clear(struct buf *b);   /* empties, keeps the memory, forgets a failure */

void buf_append(struct buf *b, const void *data, size_t n_bytes);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) CRIA_PRINTF(2, 3);

/* Makes room for `n_bytes` and returns where they begin (uninitialised), NULL after a failure. */
void *buf_grow(struct buf *b, size_t n_bytes);

/* False and `err` (ERR_MEMORY, naming `what` and the ceiling) if any append has failed. */
bool buf_check(const struct buf *b, const char *what, struct err *err) CRIA_CHECK;

/* Moves the bytes out: returns owned, NUL-terminated (never NULL unless it failed); the buffer is
 * empty after. End the result with free(). */
char *buf_take(struct buf *b);

#endif
