/* web.h - pages of strangers, fetched so that neither they nor their names can do harm.
 *
 * Only http and https; only public addresses, looked at when the connection is made; bounds on
 * bytes, time and redirects; no cookies, no keys, no second try. One thread at a time; the first
 * web_new() of the program comes before its threads (libcurl).
 */
#ifndef CRIA_CLI_WEB_H
#define CRIA_CLI_WEB_H

#include "base/buf.h"
#include "base/progress.h"

struct web;

struct web_options {
    size_t max_bytes; /* of a body, unpacked */
    int timeout_s;    /* of a page, with all its redirects */
    bool is_private_allowed;
    const struct progress *progress; /* may stop it; NULL */
};

/* Returns owned. Copies the options, keeps the progress. */
struct web *web_new(const struct web_options *opt, struct err *err);
void web_free(struct web *w); /* NULL is fine */

/* It begins like a web address. */
bool web_is_address(const char *s);

/* The address in its normal form, without the part behind #. Returns owned. ERR_USAGE: it is none,
 * or holds a user or password. */
char *web_address(const char *s, struct err *err);

/* What the Content-Type says. */
struct web_type {
    char mime[80];    /* lower case, "" if it says nothing that makes sense */
    char charset[40]; /* "" likewise */
};
struct web_type web_read_type(const char *header);

struct web_page {
    int status;        /* the last reply's, 0: none came; also after a failure */
    bool is_unchanged; /* the body is empty then: what you have is still right */
    struct web_type type;
    char etag[256], modified[64]; /* as the server wrote them; "" without */
    struct buf body;              /* to be released by the caller, also after a failure */
};

/* GET. `etag` and `modified` are those of the copy that is here ("" or NULL: none). ERR_NETWORK,
 * ERR_LIMIT (bytes, time, redirects), ERR_USAGE (no address), ERR_CANCELLED, ERR_MEMORY. */
bool web_get(struct web *w, const char *url, const char *etag, const char *modified,
             struct web_page *out, struct err *err) CRIA_CHECK;

#endif
