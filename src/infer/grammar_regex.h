/* grammar_regex.h - regular expressions as expressions of a grammar. Private to the readers of
 * grammars. One thread at a time. */
#ifndef CRIA_INFER_GRAMMAR_REGEX_H
#define CRIA_INFER_GRAMMAR_REGEX_H

#include "infer/grammar_build.h"

enum {
    REGEX_SEARCH = 1, /* the expression matches somewhere in the text, not the whole of it */
    REGEX_JSON = 2,   /* the text is spelled as in a JSON string */
};

/* The node of all texts that match. Failures are the builder's. */
int32_t regex_node(struct grammar_builder *b, const char *text, size_t n, unsigned flags);

#endif
