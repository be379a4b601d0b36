/* sentence.h - where a sentence ends. Any thread. */
#ifndef CRIA_RETRIEVE_SENTENCE_H
#define CRIA_RETRIEVE_SENTENCE_H

#include <stddef.h>

/* The end (one past the last byte, closing quotes included) of the sentence that begins at `begin`
 * in the UTF-8 text s[0, n); n if no end comes before. A line feed ends a sentence too. */
size_t sentence_end(const char *s, size_t n, size_t begin);

/* The first byte at or after `i` that is no white space. */
size_t skip_space(const char *s, size_t n, size_t i);

#endif
