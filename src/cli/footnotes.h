/* footnotes.h - the sources that an answer names, below it. */
#ifndef CRIA_CLI_FOOTNOTES_H
#define CRIA_CLI_FOOTNOTES_H

#include <stdio.h>

#include "base/json_write.h"
#include "retrieve/citer.h"

/* By number, each once: document, place in its text, and the sentences that bear the answer out.
 * `s` as it was when the answer was made. */
void footnotes_print(FILE *out, const struct sources *s, const struct citation *cited, size_t n);

/* An array of all, in order of the text. Indices of the text are code points, half-open; places in
 * documents bytes. */
void footnotes_json(struct json_writer *w, const struct sources *s, const struct citation *cited,
                    size_t n);

#endif
