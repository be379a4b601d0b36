/* utf8.h - is it well-formed UTF-8? Decoding to code points is text/unicode.h's. Any thread. */
#ifndef CRIA_BASE_UTF8_H
#define CRIA_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the well-formed character at s[0..n), n >= 1; 0 if there is none. */
size_t utf8_char(const char *s, size_t n);

bool utf8_is_valid(const char *s, size_t n_bytes);

#endif
