/* http_check.h - what a request must look like before it is looked at: the rules that libevent
 * leaves to its user. Any thread, but a scan belongs to one connection.
 */
#ifndef CRIA_SERVE_HTTP_CHECK_H
#define CRIA_SERVE_HTTP_CHECK_H

#include <stddef.h>

#include "serve/refusal.h"

struct evkeyvalq;

/* Looks at raw header bytes as they come, for what is no longer visible once libevent has cut them
 * into strings. */
struct header_scan {
    size_t n_line;      /* bytes of the line so far, without its end */
    bool is_over;       /* the empty line has come; the rest is body */
    bool has_nul;       /* a NUL hides what follows it */
    bool has_fold;      /* a line that begins with a blank */
    bool is_past_first; /* the request line has ended */
};
void header_scan(struct header_scan *s, const char *bytes, size_t n);

/* REFUSAL_HTTP for what a proxy in front might read another way than we do: request smuggling
 * (several or odd Content-Length, Transfer-Encoding other than chunked or beside a length, names
 * with blanks, NUL, folded lines), no or several Host. */
bool http_check(const struct evkeyvalq *headers, const struct header_scan *s, struct refusal *r);

struct host_rule {
    const char *own;          /* the address or name we listen on */
    bool is_public;           /* not loopback: any name may be ours */
    const char *const *hosts; /* further names */
    int n_hosts;
    const char *const *origins; /* pages that may ask; "*" for all */
    int n_origins;
    bool is_tls;
};
/* REFUSAL_ORIGIN for a Host that is not ours (DNS rebinding: a web page whose name was pointed at
 * loopback) and for a page that may not ask. *origin is the one to allow in the answer, or NULL. */
bool host_check(const struct host_rule *rule, const struct evkeyvalq *headers, const char **origin,
                struct refusal *r);

#endif
