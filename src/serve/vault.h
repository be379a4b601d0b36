/* vault.h - the store: what the server keeps between requests. Responses that later ones go on
 * from, and the chats of the page, each under the key that made it; one SQLite database, and a
 * thread of its own.
 *
 *     loop:   vault_submit(job) ... vault_take() -> done(job)
 *     thread: takes all jobs there are, does them in order in one transaction
 *
 * A job is the store's from vault_submit() until its `done` is called; then everything it was told
 * is on the disk (or refused). Jobs are done in order, so what was submitted later sees what was
 * submitted before. Functions are for the loop's thread.
 */
#ifndef CRIA_SERVE_VAULT_H
#define CRIA_SERVE_VAULT_H

#include "base/buf.h"
#include "serve/errands.h"
#include "serve/keys.h"
#include "serve/refusal.h"

struct vault;

#define VAULT_ID_BYTES 72
#define VAULT_ANY_VERSION (-1)

enum vault_op {
    VAULT_PUT_RESPONSE,    /* id, previous, doc, input */
    VAULT_GET_RESPONSE,    /* id -> doc */
    VAULT_GET_INPUT,       /* id -> doc: the items that this response was asked with */
    VAULT_DELETE_RESPONSE, /* id */
    VAULT_GET_CHAIN,    /* id -> doc: an array of the items of all turns up to it, oldest first */
    VAULT_PUT_CHAT,     /* id, expects, title, text (what a search finds), doc -> version */
    VAULT_GET_CHAT,     /* id -> doc, version */
    VAULT_DELETE_CHAT,  /* id, expects */
    VAULT_LIST_CHATS,   /* text: words to look for, limit, offset -> doc: a list */
    VAULT_PUT_SHARE,    /* id, previous: a new token -> previous: the chat's token, doc: the copy */
    VAULT_GET_SHARE,    /* id -> previous: the chat's token */
    VAULT_DELETE_SHARE, /* id */
    VAULT_READ_SHARE,   /* id: a token, whosever -> doc */
    N_VAULT_OPS,
};

struct vault_job {
    struct errand errand; /* the vault's; first */
    enum vault_op op;
    char key[KEY_NAME_BYTES]; /* whose; "": without keys */
    char id[VAULT_ID_BYTES];
    char previous[VAULT_ID_BYTES]; /* "": none */
    struct buf doc;                /* JSON text, in or out; the caller's, as the other bufs */
    struct buf input;              /* JSON array of the items of this turn */
    struct buf title, text;
    int64_t updated_ms; /* of a chat */
    /* The version that the chat must have to be written or deleted (else REFUSAL_CHANGED), 0: it
     * must not be there, or VAULT_ANY_VERSION; and the one that it has then. No chat has the same
     * version twice, even when it is deleted and made again. */
    int64_t expects, version;
    int32_t limit, offset;
    struct refusal refusal; /* kind not NONE: why it was not done */
    /* Called by vault_take(). */
    void (*done)(struct vault_job *job);
    void *user;
};
/* Sets the buffers up; the rest is zero. */
void vault_job_init(struct vault_job *job, enum vault_op op, const char *key, const char *id);
void vault_job_release(struct vault_job *job);

struct vault_options {
    const char *path;  /* NULL: in memory */
    int64_t max_bytes; /* of the file; when it is full, responses that were used longest ago go */
    int64_t keep_s;    /* responses that nobody used for so long go; 0: never */
};

/* Opens or makes the file and starts the thread. ERR_IO, ERR_FORMAT (another program's database, a
 * newer version's) name the remedy. */
struct vault *vault_open(const struct vault_options *opt, struct err *err);
/* Does what was submitted, calls `done` of all, then closes. NULL is fine. */
void vault_close(struct vault *s);

void vault_submit(struct vault *s, struct vault_job *job);
int vault_fd(const struct vault *s); /* readable (eventfd) when jobs are done */
/* Calls `done` of all jobs that are done, in order. */
void vault_take(struct vault *s);

#endif
