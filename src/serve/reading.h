/* reading.h - a request whose texts are read and not answered: what is wanted is what the model
 * thinks of them. Private to the room; the loop's thread only.
 */
#ifndef CRIA_SERVE_READING_H
#define CRIA_SERVE_READING_H

#include "base/json_write.h"
#include "serve/server.h"

enum { READING_MAX_TEXTS = 2048 };

struct reading {
    struct server *server;
    struct served *served;
    struct reading *prev, *next;
    struct exchange *ex; /* NULL: the client is gone */
    const struct reading_kind *kind;
    char key_name[KEY_NAME_BYTES];
    struct adapter *adapter; /* NULL: none */
    struct json_doc *body;
    struct job job;
    struct job_part *part; /* a text each */
    int32_t n_parts;
    int64_t n_tok, n_cached; /* of all texts */
    void *own;               /* the kind's; zeroed, kind->own_bytes */
};

/* A row: what one API does with texts. */
struct reading_kind {
    size_t own_bytes;
    const struct field *fields; /* of the body, into `own` */
    /* Then reads the texts, by reading_texts(), and sets what is wanted in rd->job.params. */
    bool (*read)(struct reading *rd, struct refusal *r);
    /* An event of the i-th text; what it takes of it, it sets NULL. */
    void (*hear)(struct reading *rd, int32_t i, struct worker_event *ev);
    void (*word)(struct reading *rd, struct buf *out); /* the whole answer */
    void (*release)(struct reading *rd);               /* of `own` */
};

/* A part for each text of field `field`: a string, ids, or an array of either. */
bool reading_texts(struct reading *rd, const char *field, struct json v, struct refusal *r);
/* The key "usage" of an answer. */
void reading_usage(struct json_writer *w, const struct reading *rd);

#endif
