/* stops.h - finding stop strings in text that comes in pieces. Private to the engine.
 *
 * Text that may be the beginning of a stop string is held back until it is known. Any thread.
 */
#ifndef CRIA_INFER_STOPS_H
#define CRIA_INFER_STOPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "infer/engine.h"

#define STOP_MAX_BYTES 1024

struct stops {
    char *text[ENGINE_MAX_STOPS]; /* owned */
    size_t n_bytes[ENGINE_MAX_STOPS];
    int32_t n;
};

/* Copies. ERR_USAGE for an empty one, too many, or one above STOP_MAX_BYTES. */
bool stops_init(struct stops *s, const char *const *text, int32_t n, struct err *err) CRIA_CHECK;
void stops_release(struct stops *s);

/* The stop string that begins first in text[0..n) (the longest of those), or -1; *at where. */
int32_t stops_find(const struct stops *s, const char *text, size_t n, size_t *at);
/* How many bytes at the end of text[0..n) are the beginning of a stop string. */
size_t stops_held(const struct stops *s, const char *text, size_t n);

#endif
