/* search.h - the passages of an index that fit a question. One thread at a time per store. */
#ifndef CRIA_RETRIEVE_SEARCH_H
#define CRIA_RETRIEVE_SEARCH_H

#include "retrieve/store.h"

#define SEARCH_MAX_HITS 100

/* A passage, as search and look-up give it. Strings are NUL-terminated UTF-8 and owned. */
struct passage {
    int64_t id, document;
    char *path, *title, *heading, *body;
    size_t begin, end;            /* where body stands in the document's text, in bytes */
    double score;                 /* higher is better; comparable within one answer only */
    int rank_words, rank_vectors; /* from 1 in each list, 0: not in it */
};

struct passages {
    struct passage *passage;
    size_t n;
};

void passages_release(struct passages *p);

/* The best `n_want` passages (1 to SEARCH_MAX_HITS) for the question, best first; fewer if the
 * index has no more, none if no word of it occurs. Passages that nearly repeat a better one are
 * left out. */
bool search_run(struct store *s, const char *question, size_t n_bytes, int n_want,
                struct passages *out, struct err *err) CRIA_CHECK;

/* The same by words and by the question's vector v [d] (see vectors.h): the two lists are fused by
 * reciprocal ranks. */
bool search_run_both(struct store *s, const char *question, size_t n_bytes, const float *v,
                     int32_t d, int n_want, struct passages *out, struct err *err) CRIA_CHECK;

/* The passage with this id: 1, 0 if there is none, -1 error. Release as a list of one. */
int search_passage(struct store *s, int64_t id, struct passages *out, struct err *err);

#endif
