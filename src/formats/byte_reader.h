/* byte_reader.h - a cursor over hostile bytes: every read is checked here and nowhere else.
 *
 * The readers of binary formats take numbers and runs of bytes through these few functions; each
 * either advances or fills the reader's error with file, byte, place and what was wanted. `place`
 * says in words where we are ("key llama.block_count") and is set by the caller as it walks. The
 * formats here are little-endian, and so are the machines that we build for (asserted below).
 * One thread at a time.
 */
#ifndef CRIA_FORMATS_BYTE_READER_H
#define CRIA_FORMATS_BYTE_READER_H

#include <assert.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are mapped and used as they are");

struct byte_reader {
    const char *path; /* for messages; kept */
    const uint8_t *data;
    size_t n_bytes;
    size_t pos; /* <= n_bytes */
    char place[100];
    struct err *err;
};

static inline size_t reader_left(const struct byte_reader *r) { return r->n_bytes - r->pos; }

/* Says where we are: "KIND NAME", the name cut to what fits on a line. */
static inline void reader_at(struct byte_reader *r, const char *kind, const char *name, size_t n)
{
    const int n_shown = n > 63 ? 63 : (int)n;
    (void)snprintf(r->place, sizeof r->place, "%s %.*s", kind, n_shown, name);
}

/* `*at` is where the next `n` bytes begin. ERR_FORMAT if they are not all there. */
static inline bool reader_take(struct byte_reader *r, uint64_t n, const uint8_t **at)
{
    if (n > reader_left(r))
        return err_set(r->err, ERR_FORMAT,
                       "%s: byte %zu: %s: wants %" PRIu64 " bytes where %zu are left; the file is "
                       "cut short or damaged, fetch it again",
                       r->path, r->pos, r->place, n, reader_left(r));
    *at = r->data + r->pos;
    r->pos += (size_t)n;
    return true;
}

static inline bool reader_u32(struct byte_reader *r, uint32_t *out)
{
    const uint8_t *at = NULL;
    if (!reader_take(r, sizeof *out, &at)) return false;
    memcpy(out, at, sizeof *out);
    return true;
}

static inline bool reader_u64(struct byte_reader *r, uint64_t *out)
{
    const uint8_t *at = NULL;
    if (!reader_take(r, sizeof *out, &at)) return false;
    memcpy(out, at, sizeof *out);
    return true;
}

/* A number with a declared range; `what` names it. */
static inline bool reader_u64_in(struct byte_reader *r, const char *what, uint64_t min,
                                 uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    const size_t at = r->pos;
    if (!reader_u64(r, &v)) return false;
    if (v < min || v > max)
        return err_set(r->err, ERR_FORMAT,
                       "%s: byte %zu: %s: %s is %" PRIu64 ", allowed are %" PRIu64 " to %" PRIu64
                       "; the file is damaged, fetch it again",
                       r->path, at, r->place, what, v, min, max);
    *out = v;
    return true;
}

#endif
