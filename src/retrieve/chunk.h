/* chunk.h - a document cut into the passages that are searched and cited. Any thread. */
#ifndef CRIA_RETRIEVE_CHUNK_H
#define CRIA_RETRIEVE_CHUNK_H

#include "retrieve/doc.h"

struct chunk {
    size_t begin, end; /* bytes of the document's text */
    char *heading;     /* "Title > Chapter > Section"; owned */
};

struct chunks {
    struct chunk *chunk;
    size_t n, cap;
};

/* Cuts at headings, then between blocks, then between sentences or lines, so that a passage has
 * about `target_bytes` and at most twice as many (64 to 65536). Passages follow each other without
 * overlap and leave out nothing but headings that stand alone and white space. */
bool chunk_doc(const struct doc *d, size_t target_bytes, struct chunks *out,
               struct err *err) CRIA_CHECK;
void chunks_release(struct chunks *c);

#endif
