/* sources.h - the sources of a conversation: found for each question, written into its prompt,
 * numbered as answers name them.
 *
 * A source that an answer names for the first time gets the next number, and keeps it for the whole
 * conversation; one that no answer names has none. One thread at a time.
 */
#ifndef CRIA_RETRIEVE_SOURCES_H
#define CRIA_RETRIEVE_SOURCES_H

#include "retrieve/search.h"

enum {
    SOURCES_MAX = 20,
    SOURCES_MAX_BYTES =
        8192, /* of sources in a prompt: some 2000 tokens; less in a short context */
};

struct sources;

/* Opens the index; up to n_want (1 to SOURCES_MAX) passages a question. Errors are store_open()'s.
 */
struct sources *sources_open(const char *index_path, int n_want, struct err *err);
/* The same of an index that is open, and that sources_find() alone uses. */
struct sources *sources_new(struct store *borrowed, int n_want, struct err *err);
void sources_close(struct sources *s); /* NULL is fine */

/* Passages for the question [n_bytes], in place of those of the question before. `before`: that
 * question, or NULL; a short question ("and in winter?") is looked up together with it. */
bool sources_find(struct sources *s, const char *question, size_t n_bytes, const char *before,
                  struct err *err) CRIA_CHECK;
size_t sources_n(const struct sources *s);
const struct passage *sources_passage(const struct sources *s, size_t i);

/* The user's message: rules, the sources that fit into max_bytes, the question; the question alone
 * if nothing was found. What a source says cannot end the block of sources, nor look like another
 * source. Those that do not fit are not cited. */
bool sources_prompt(struct sources *s, const char *question, size_t n_bytes, size_t max_bytes,
                    struct buf *out, struct err *err) CRIA_CHECK;

/* Source i by the number under which the prompt names it; -1 if there is none. */
int sources_by_mark(const struct sources *s, int mark);
/* The number of source i in answers, given now if it has none. */
int sources_number(struct sources *s, size_t i, struct err *err); /* 0: no memory */

#endif
