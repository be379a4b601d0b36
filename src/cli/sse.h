/* sse.h - server-sent events, as they come in pieces (HTML standard, 9.2.6). One thread at a time.
 */
#ifndef CRIA_CLI_SSE_H
#define CRIA_CLI_SSE_H

#include "base/buf.h"

#define SSE_MAX_EVENT_BYTES ((size_t)4 << 20)

struct sse {
    struct buf line, data;
    bool has_data, was_cr;
};

void sse_begin(struct sse *s);
void sse_release(struct sse *s);

/* Calls `event` with the data of each event that is complete (NUL-terminated; comments, names and
 * ids are passed over). False if it returned false, or `err` (ERR_LIMIT, ERR_MEMORY). */
bool sse_feed(struct sse *s, const char *bytes, size_t n_bytes,
              bool (*event)(void *user, const char *data, size_t n_bytes, struct err *err),
              void *user, struct err *err) CRIA_CHECK;

#endif
