/* refusal.h - an answer that is not the one asked for, in OpenAI's shape: status, type, code, the
 * field it is about, and words. Filled once by whoever finds the fault; reply.c sends it. Any
 * thread.
 */
#ifndef CRIA_SERVE_REFUSAL_H
#define CRIA_SERVE_REFUSAL_H

#include "base/buf.h"
#include "base/err.h"

enum refusal_kind {
    REFUSAL_NONE,
    REFUSAL_HTTP,        /* the request breaks HTTP's rules: answered, then closed */
    REFUSAL_JSON,        /* the body is no JSON object */
    REFUSAL_VALUE,       /* a field has a wrong type or is out of its range */
    REFUSAL_MISSING,     /* a field that must be there is not */
    REFUSAL_UNSUPPORTED, /* well-formed, but not something we can do */
    REFUSAL_CONTEXT,     /* the prompt is longer than the context */
    REFUSAL_KEY,         /* no key, or an unknown one */
    REFUSAL_ORIGIN,      /* a web page or host name that may not ask */
    REFUSAL_OFF,         /* not a thing that this server was started for */
    REFUSAL_NO_ROUTE,
    REFUSAL_NO_MODEL,
    REFUSAL_METHOD,
    REFUSAL_TOO_LARGE,
    REFUSAL_QUOTA,      /* this key has asked too much */
    REFUSAL_BUSY,       /* the queue is full */
    REFUSAL_DRAINING,   /* the server is about to end */
    REFUSAL_SERVER,     /* our fault */
    REFUSAL_PREVIOUS,   /* the response to go on from is not there */
    REFUSAL_STORE_FULL, /* it cannot be kept */
    REFUSAL_CHANGED,    /* somebody else wrote it meanwhile */
    N_REFUSALS,
};

struct refusal {
    enum refusal_kind kind;
    char field[80]; /* "messages[2].content"; empty: none */
    char text[500];
    int retry_s;       /* when to come again; 0: not said */
    const char *allow; /* REFUSAL_METHOD: the methods there are */
};

/* Fills `r` and returns false. `field` may be NULL. */
bool refuse(struct refusal *r, enum refusal_kind kind, const char *field, const char *fmt, ...)
    CRIA_PRINTF(4, 5);
/* The refusal that an error of the rooms below amounts to. */
bool refuse_err(struct refusal *r, const char *field, const struct err *err);

int refusal_status(enum refusal_kind kind);
bool refusal_closes(enum refusal_kind kind); /* the connection cannot be trusted any more */
/* OpenAI's code: "invalid_value"... */
const char *refusal_code(enum refusal_kind kind);

enum refusal_style { REFUSAL_OPENAI, REFUSAL_ANTHROPIC };
/* Appends {"error":{...}}; of Anthropic's it has a "type" beside that, and no more than its type
 * and words inside. */
void refusal_write(const struct refusal *r, enum refusal_style style, struct buf *out);

#endif
