/* api_parts.h - what the files of the public interface share: the handles, each a struct of one
 * pointer so that inner names may change, and the one way from an inner error to a public one.
 * Private. */
#ifndef CRIA_API_API_PARTS_H
#define CRIA_API_API_PARTS_H

#include "base/err.h"
#include "cria.h"
#include "infer/engine.h"

struct cria_model {
    struct model *m;
};

struct link; /* api_engine.c */
struct cria_engine {
    struct engine *e;
    struct link *links;     /* one a request under way */
    struct link *last_link; /* the newest, for cria_generate() */
};

/* The inner error as the caller's; returns false. */
bool api_fail(struct cria_error *out, const struct err *err);

#endif
