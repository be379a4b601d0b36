/* SPDX-License-Identifier: Apache-2.0
 *
 * sse.c - server-sent events: lines that end in CR, LF or both; "data:" lines until an empty one.
 */
#include "cli/sse.h"

#include <string.h>

void sse_begin(struct sse *s)
{
    *s = (struct sse){0};
    buf_init(&s->line, SSE_MAX_EVENT_BYTES);
    buf_init(&s->data, SSE_MAX_EVENT_BYTES);
}

void sse_release(struct sse *s)
{
    buf_release(&s->line);
    buf_release(&s->data);
}

/* A whole line in s->line. */
static bool end_line(struct sse *s,
                     bool (*event)(void *user, const char *data, size_t n_bytes, struct err *err),
                     void *user, struct err *err)
{
    const char *line = s->line.data ? s->line.data : "";
    const size_t n = s->line.n_bytes;
    bool ok = buf_check(&s->line, "a line of the server's stream", err);
    if (ok && n == 0 && s->has_data) {
        ok = buf_check(&s->data, "an event of the server's stream", err) &&
             event(user, s->data.data ? s->data.data : "", s->data.n_bytes, err);
        buf_clear(&s->data);
        s->has_data = false;
    } else if (ok && n >= 5 && memcmp(line, "data:", 5) == 0) {
        const size_t at = n > 5 && line[5] == ' ' ? 6 : 5;
        if (s->has_data) buf_putc(&s->data, '\n');
        buf_append(&s->data, line + at, n - at);
        s->has_data = true;
    }
    buf_clear(&s->line);
    return ok;
}

bool sse_feed(struct sse *s, const char *bytes, size_t n_bytes,
              bool (*event)(void *user, const char *data, size_t n_bytes, struct err *err),
              void *user, struct err *err)
{
    for (size_t i = 0; i < n_bytes; i++) {
        const char c = bytes[i];
        const bool is_pair = c == '\n' && s->was_cr;
        s->was_cr = c == '\r';
        if (is_pair) continue;
        if (c != '\n' && c != '\r')
            buf_putc(&s->line, c);
        else if (!end_line(s, event, user, err))
            return false;
    }
    return buf_check(&s->line, "a line of the server's stream", err);
}
