/* fetch_parts.h - what fetch.c (requests) and fetch_file.c (part files) share: one request's target
 * and what its answer was, so that neither knows the other's half. Private to cli/.
 */
#ifndef CRIA_CLI_FETCH_PARTS_H
#define CRIA_CLI_FETCH_PARTS_H

#include "cli/fetch.h"

/* One thing to get, through redirects and repeats. The callbacks may fill `err` and return false:
 * then it is over. */
struct exchange {
    const char *url;
    void *user;
    /* Before each try: says from where to go on (0: the beginning), and the ETag that must still
     * hold for that (NULL: none known). */
    bool (*prepare)(void *user, uint64_t *offset, const char **etag, struct err *err);
    /* The reply with the body begins: `status` is 200 or 206. */
    bool (*begin)(void *user, struct fetch *f, int status, struct err *err);
    bool (*body)(void *user, const char *data, size_t n_bytes, struct err *err);
    /* The reply has ended as the server wanted it; false without `err` filled: it was too short,
     * try again. */
    bool (*end)(void *user, struct err *err);
    /* Called now and then, also while nothing comes; false stops. */
    bool (*alive)(void *user);
    /* The furthest byte reached; the tries are counted anew when it grows. Kept by the callbacks.
     */
    uint64_t n_reached;
};

bool fetch_exchange(struct fetch *f, struct exchange *x, struct err *err) CRIA_CHECK;

/* A sum over a file's bytes: SHA-256, or SHA-1 as git counts it, or none. */
struct fetch_sum;
struct fetch_sum *fetch_sum_new(const struct fetch_want *w, struct err *err);
void fetch_sum_free(struct fetch_sum *s);
bool fetch_sum_restart(struct fetch_sum *s, struct err *err) CRIA_CHECK;
bool fetch_sum_add(struct fetch_sum *s, const void *data, size_t n_bytes,
                   struct err *err) CRIA_CHECK;
/* Ends the sum. ERR_FORMAT names both sums when it is not the one wanted. */
bool fetch_sum_check(struct fetch_sum *s, struct err *err) CRIA_CHECK;

#endif
