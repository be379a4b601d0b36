/* words.h - the words of a text in a form in which they can be compared.
 *
 * Folded case, no accents, English endings cut off ("cities" and "city" are one), numbers without
 * their commas. For judging whether two texts speak of the same; the index itself uses FTS5's
 * tokenizer. Any thread.
 */
#ifndef CRIA_RETRIEVE_WORDS_H
#define CRIA_RETRIEVE_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum word_kind {
    WORD_PLAIN,
    WORD_STOP,   /* the, of, is: carries no content */
    WORD_NAME,   /* begins with a capital and does not begin the text */
    WORD_NUMBER, /* begins with a digit, or is a number word up to twelve */
};

struct word {
    size_t begin, end; /* bytes of the text */
    enum word_kind kind;
    uint64_t id; /* equal for words that count as the same */
};

/* The first word at or after *at in s[0, n); *at becomes its end. False if there is none. */
bool word_next(const char *s, size_t n, size_t *at, struct word *out);

#endif
