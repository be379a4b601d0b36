/* fetch.h - files over HTTP: resumed where they were cut, verified, renamed when right.
 *
 * A client is bound to one origin (scheme, host, port): that place alone gets the token, wherever
 * it redirects to. What fails for a moment (a cut connection, 429, 5xx, a stall) is tried again
 * with growing waits, a bounded number of times since the last byte gained. One thread at a time;
 * the first fetch_new() of the program comes before its threads (libcurl).
 */
#ifndef CRIA_CLI_FETCH_H
#define CRIA_CLI_FETCH_H

#include "base/buf.h"
#include "base/progress.h"

struct fetch; /* an HTTP client */

struct fetch_options {
    const char *origin; /* "https://huggingface.co" */
    const char *token;  /* bearer token for the origin, or NULL */
    int max_tries;      /* without a byte gained; 0: 6 */
    int first_wait_ms;  /* doubled from try to try; 0: 500 */
    int stall_s;        /* this long under 1 kB/s is a cut connection; 0: 60 */
};

/* Returns owned. Copies the options. ERR_USAGE: the origin or the token is no such thing. */
struct fetch *fetch_new(const struct fetch_options *opt, struct err *err);
void fetch_free(struct fetch *f); /* NULL is fine */

/* The body of `url`, appended to `out`. Anything but 200 is ERR_NETWORK. */
bool fetch_text(struct fetch *f, const char *url, size_t max_bytes, const struct progress *p,
                struct buf *out, struct err *err) CRIA_CHECK;

/* Of the last reply: its status (0: none came), and a header (NULL if absent; valid until the next
 * call on `f`). For callers who know what a refusal of this server means. */
int fetch_status(const struct fetch *f);
const char *fetch_header(const struct fetch *f, const char *name);

/* A file to be had. All strings are borrowed. */
struct fetch_want {
    const char *url, *path; /* its directory exists */
    uint64_t n_bytes;       /* what it must measure */
    const char *sha256;     /* 64 hexadecimal digits, or NULL */
    const char *git_id; /* 40: git's id of the blob (SHA-1), looked at without sha256; or NULL */
    const struct progress *progress; /* hears bytes of this file, named by the path's last part */
};

/* Makes `path` be that file. One that is there and right is left alone. Bytes go to PATH.part, and
 * PATH.part.info says of what; both stay when it fails half-way and are continued next time.
 * `n_fetched` (may be NULL) becomes the bytes that came over the network. ERR_NETWORK, ERR_FORMAT
 * (the bytes are not those promised; they are removed), ERR_IO, ERR_BUSY (another process is at
 * it), ERR_CANCELLED. */
bool fetch_file(struct fetch *f, const struct fetch_want *w, uint64_t *n_fetched,
                struct err *err) CRIA_CHECK;

/* How many bytes fetch_file() would probably have to fetch, by the sizes of what is there. */
uint64_t fetch_missing(const struct fetch_want *w);

#endif
