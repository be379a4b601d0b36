/* stored.h - a request that waits for the store. Private to the room; the loop's thread only.
 *
 *     st = stored_new(...); fill st->job; if (!st || !stored_submit(st, &r)) { stored_free(st); ...
 * }
 */
#ifndef CRIA_SERVE_STORED_H
#define CRIA_SERVE_STORED_H

#include "serve/server.h"

/* Writes the answer; or fills `r`, which is then the answer. */
typedef void stored_reply_fn(struct stored *st, struct buf *out, struct refusal *r);

struct stored {
    struct vault_job job;
    struct server *server;
    struct exchange *ex; /* NULL: the client is gone */
    stored_reply_fn *reply;
    size_t n_bytes;      /* that the job came with */
    struct stored_page { /* of a list of items */
        int32_t limit;
        bool is_rising;             /* the oldest first */
        char after[VAULT_ID_BYTES]; /* "": from the beginning */
    } page;
};

struct stored *stored_new(struct exchange *ex, enum vault_op op, const char *id,
                          stored_reply_fn *reply, struct refusal *r);
/* One that was not submitted; NULL is fine. */
void stored_free(struct stored *st);
/* Takes `st`; false, and it is the caller's still, if the store has too much to do. */
bool stored_submit(struct stored *st, struct refusal *r) CRIA_CHECK;
/* Answers with the job's document. */
void stored_reply_doc(struct stored *st, struct buf *out, struct refusal *r);

/* The id at the beginning of `path`: letters, digits, - and _; *rest what follows it. */
bool stored_read_id(const char *path, char id[VAULT_ID_BYTES], const char **rest,
                    struct refusal *r) CRIA_CHECK;
/* The query's fields; the caller clears them, by evhttp_clear_headers(). */
bool stored_read_query(struct exchange *ex, struct evkeyvalq *query, struct refusal *r) CRIA_CHECK;
/* A whole number of the query from `least` to `most`; *out stays if it is not there. */
bool stored_read_number(const struct evkeyvalq *query, const char *name, int32_t least,
                        int32_t most, int32_t *out, struct refusal *r) CRIA_CHECK;

#endif
