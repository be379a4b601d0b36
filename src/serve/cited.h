/* cited.h - an answer with sources: what a chat asks for, the question that is searched for, and
 * the body that has the sources in it. Any thread.
 */
#ifndef CRIA_SERVE_CITED_H
#define CRIA_SERVE_CITED_H

#include "base/json_write.h"
#include "retrieve/citer.h"
#include "serve/refusal.h"

struct cited_ask {
    int n_want;       /* passages, at most; 0: no sources are wanted */
    size_t i_message; /* of the question */
    struct buf question;
    struct buf before; /* the question before it; empty: none */
};
void cited_init(struct cited_ask *ask);
void cited_release(struct cited_ask *ask);

/* Reads the field `sources` of a chat's body and the question it is about, in place of what was
 * read before; only what it needs of the messages is checked. */
bool cited_read(struct json body, struct cited_ask *ask, struct refusal *r) CRIA_CHECK;
/* The body once more, with the sources in the question's message (max_bytes of them). */
bool cited_body(struct json body, const struct cited_ask *ask, struct sources *s, size_t max_bytes,
                struct buf *out, struct refusal *r) CRIA_CHECK;

#endif
