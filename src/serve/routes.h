/* routes.h - the table of what the server answers. Private to the room and its tests, which hold
 * the OpenAPI document (openapi/) against it.
 */
#ifndef CRIA_SERVE_ROUTES_H
#define CRIA_SERVE_ROUTES_H

#include "serve/server.h"

struct body {
    const void *data;
    size_t n;
};
typedef void handler(struct exchange *ex, const char *rest, struct body body);

struct route {
    /* Behind /v1. A '/' at the end, except of "/": and more. A '*': one or more bytes but '/'. */
    const char *path;
    enum evhttp_cmd_type method;
    const char *allow; /* of this path, whatever the method */
    bool needs_key;
    bool counts;      /* against the key's quota */
    bool needs_model; /* the one that the body names is loaded before it is run */
    enum refusal_style style;
    handler *run;
};

/* All of them; the last has no path. */
extern const struct route routes[];

#endif
