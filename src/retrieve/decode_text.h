/* decode_text.h - bytes of a text file in whatever encoding, as UTF-8. Any thread. */
#ifndef CRIA_RETRIEVE_DECODE_TEXT_H
#define CRIA_RETRIEVE_DECODE_TEXT_H

#include <stdint.h>

#include "base/buf.h"

/* Appends the text to `out`, without a byte order mark. The encoding is, in this order: what a byte
 * order mark says, UTF-8 if the bytes are that, `charset` (a name, or NULL) if the system knows it,
 * else Windows-1252, which reads every byte. False if `out` is full or there is no memory. */
bool decode_text(const uint8_t *data, size_t n_bytes, const char *charset, struct buf *out,
                 struct err *err) CRIA_CHECK;

/* True if all of it is well-formed UTF-8. */
bool is_utf8(const uint8_t *data, size_t n_bytes);

#endif
