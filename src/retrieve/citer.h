/* citer.h - an answer while it streams: references are checked, and set where they are missing.
 *
 * What the model writes goes in, piece by piece; text with references comes out as soon as it is
 * sure. A reference [n] of the model stays if the sentence before it is supported by source n
 * (support.h); if another source supports it, it names that one; else it goes. A sentence without
 * any gets the reference of the source that supports it, if one does. Numbers are those of
 * sources.h. In code nothing is touched. One thread at a time.
 */
#ifndef CRIA_RETRIEVE_CITER_H
#define CRIA_RETRIEVE_CITER_H

#include "base/json_write.h"
#include "retrieve/sources.h"

struct citation {
    int number;                    /* as it stands in the text */
    size_t source;                 /* which of sources_passage(), until the next question */
    int64_t passage;               /* its id */
    size_t begin, end;             /* of the mark "[n]" in the text that came out: bytes, */
    size_t begin_cp, end_cp;       /* Unicode code points */
    size_t quote_begin, quote_end; /* of the passage's body, bytes */
    double score;
    bool is_ours; /* the model had not written it */
};

/* Keys of the object that is open: the number, the passage, what it quotes and where that stands in
 * its document, in bytes. `s` as it was when the answer was made. */
void citation_write(struct json_writer *w, const struct sources *s, const struct citation *c);

struct citer;

/* `s` must outlive it. Pieces of text go to `text`, [n_bytes] of UTF-8 as it came in, not
 * NUL-terminated. NULL: no memory. */
struct citer *citer_new(struct sources *s, void (*text)(void *user, const char *s, size_t n_bytes),
                        void *user);
void citer_free(struct citer *c); /* NULL is fine */

/* False (ERR_MEMORY, ERR_LIMIT): the answer is lost. */
bool citer_feed(struct citer *c, const char *s, size_t n_bytes, struct err *err) CRIA_CHECK;
/* The answer is over: gives out what was held back. */
bool citer_end(struct citer *c, struct err *err) CRIA_CHECK;

/* In order of the text; valid until the next call. */
const struct citation *citer_citations(const struct citer *c, size_t *n);
/* Where the sentence begins that has come out last, or is coming: bytes of the text that came out.
 * During a call of text() that holds for what this call gives. Its marks count to it. */
size_t citer_sentence(const struct citer *c);
/* Marks of the model that no source supported, and that therefore went. */
int citer_n_dropped(const struct citer *c);

#endif
