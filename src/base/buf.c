/* SPDX-License-Identifier: Apache-2.0
 *
 * buf.c - a byte buffer that doubles until its ceiling and then fails for good.
 *
 * Every append goes through buf_grow(), which is the only place that allocates. Doubling keeps
 * appending linear in the bytes appended; the ceiling keeps hostile input from asking for more
 * than the caller declared.
 *
 * Invariants
 *   I1  data is NULL, or data[n_bytes] is 0 and n_bytes < cap_bytes.
 *   I2  n_bytes <= max_bytes.
 *   I3  a failed buffer does not change until buf_clear() or buf_release().
 *
 * Begin reading at buf_grow().
 */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { MIN_CAP_BYTES = 64 };

/* The next capacity that holds `n_need` bytes and the NUL; `n_need` <= max_bytes. */
static size_t next_cap(const struct buf *b, size_t n_need)
{
    size_t cap = b->cap_bytes < MIN_CAP_BYTES ? MIN_CAP_BYTES : b->cap_bytes;
    while (cap <= n_need)
        if (!size_mul(cap, 2, &cap)) return 0;
    if (cap - 1 > b->max_bytes) cap = b->max_bytes + 1;
    return cap;
}

/* Capacity for `n_more` bytes beyond those there; marks the failure. */
static bool reserve(struct buf *b, size_t n_more)
{
    size_t n_need = 0;
    if (b->is_failed) return false;
    if (!size_add(b->n_bytes, n_more, &n_need) || n_need > b->max_bytes) goto fail;
    if (n_need < b->cap_bytes) return true;

    const size_t cap = next_cap(b, n_need);
    char *data = cap ? realloc(b->data, cap) : NULL;
    if (!data) goto fail;
    b->data = data;
    b->cap_bytes = cap;
    b->data[b->n_bytes] = 0;
    return true;
fail:
    b->is_failed = true;
    return false;
}

void buf_init(struct buf *b, size_t max_bytes) { *b = (struct buf){.max_bytes = max_bytes}; }

void buf_release(struct buf *b)
{
    free(b->data);
    buf_init(b, b->max_bytes);
}

void buf_clear(struct buf *b)
{
    b->n_bytes = 0;
    b->is_failed = false;
    if (b->data) b->data[0] = 0;
}

void *buf_grow(struct buf *b, size_t n_bytes)
{
    if (!reserve(b, n_bytes)) return NULL;
    char *begin = b->data + b->n_bytes;
    b->n_bytes += n_bytes;
    b->data[b->n_bytes] = 0;
    return begin;
}

void buf_append(struct buf *b, const void *data, size_t n_bytes)
{
    void *to = buf_grow(b, n_bytes);
    if (to && n_bytes) memcpy(to, data, n_bytes);
}

void buf_puts(struct buf *b, const char *s) { buf_append(b, s, strlen(s)); }

void buf_putc(struct buf *b, char c) { buf_append(b, &c, 1); }

void buf_printf(struct buf *b, const char *fmt, ...)
{
    if (!reserve(b, 0)) return;
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    const size_t room = b->cap_bytes - b->n_bytes;
    const int n = vsnprintf(b->data + b->n_bytes, room, fmt, args);
    if (n < 0) {
        b->data[b->n_bytes] = 0;
        b->is_failed = true;
    } else if ((size_t)n < room && (size_t)n <= b->max_bytes - b->n_bytes) {
        b->n_bytes += (size_t)n;
    } else {
        b->data[b->n_bytes] = 0; /* the text was cut: take it back, make room, write it again */
        char *to = buf_grow(b, (size_t)n);
        if (to) (void)vsnprintf(to, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    va_end(args);
}

bool buf_check(const struct buf *b, const char *what, struct err *err)
{
    if (!b->is_failed) return true;
    return err_set(
        err, ERR_MEMORY,
        "%s: no room after %zu bytes (ceiling %zu bytes); make it shorter or free memory", what,
        b->n_bytes, b->max_bytes);
}

char *buf_take(struct buf *b)
{
    if (!reserve(b, 0)) return NULL;
    char *data = b->data;
    b->data = NULL;
    buf_init(b, b->max_bytes);
    return data;
}
