/* searx.h - web search through a SearxNG server that the user names. One thread at a time. */
#ifndef CRIA_CLI_SEARX_H
#define CRIA_CLI_SEARX_H

#include "cli/web.h"

enum { SEARX_MAX_RESULTS = 20 };

/* Addresses of pages, in the server's order, each once; owned. */
struct searx_results {
    char *url[SEARX_MAX_RESULTS];
    int n;
};
void searx_release(struct searx_results *r);

/* The first n_want of a reply's results that are web addresses. ERR_FORMAT: it is no such reply. */
bool searx_read(const char *json, size_t n_bytes, int n_want, struct searx_results *out,
                struct err *err) CRIA_CHECK;

/* Asks the server at `base`, which may be on a private address. `out` is to be released only after
 * success. Errors are web_get()'s, with the remedy where the server does not give out JSON. */
bool searx_ask(const char *base, const char *question, int n_want, int timeout_s,
               const struct progress *p, struct searx_results *out, struct err *err) CRIA_CHECK;

#endif
