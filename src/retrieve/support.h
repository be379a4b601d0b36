/* support.h - does a passage say what a sentence claims? By its words; no model is asked. Any
 * thread.
 */
#ifndef CRIA_RETRIEVE_SUPPORT_H
#define CRIA_RETRIEVE_SUPPORT_H

#include "retrieve/search.h"

struct support {
    double score;      /* how much of what the claim says the passage has, 0 to 1 */
    bool is_supported; /* enough, and nothing that must not differ differs */
    int n_words;       /* words with content in the claim */
    size_t begin, end; /* of passage.body: the sentences that hold it, 1 to 3 of them */
};

/* claim[n_bytes]: a sentence in UTF-8, without references. */
struct support support_of(const char *claim, size_t n_bytes, const struct passage *p);

#endif
