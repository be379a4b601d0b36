/* SPDX-License-Identifier: Apache-2.0
 *
 * charset.c - characters as ranges of code points, and ranges of code points as ranges of bytes.
 *
 * UTF-8 keeps the order of code points, so a range is cut where the number of bytes changes, and
 * then where the bytes behind the one that differs first do not run from 80 to BF: at most seven
 * pieces a range. Surrogates have no UTF-8 form and are cut out before.
 */
#include "infer/charset.h"

#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"

enum { SURROGATE_FIRST = 0xd800, SURROGATE_LAST = 0xdfff };

void charset_release(struct charset *s)
{
    free(s->range);
    *s = (struct charset){0};
}

void charset_add(struct charset *s, uint32_t lo, uint32_t hi)
{
    if (hi > CODE_POINT_MAX) hi = CODE_POINT_MAX;
    if (s->is_failed || lo > hi) return;
    if (s->n == s->cap) {
        const int32_t cap = s->cap ? 2 * s->cap : 16;
        struct char_range *more =
            cap > CHARSET_MAX_RANGES ? NULL : realloc(s->range, (size_t)cap * sizeof *more);
        if (!more) {
            s->is_failed = true;
            return;
        }
        s->range = more;
        s->cap = cap;
    }
    s->range[s->n++] = (struct char_range){lo, hi};
}

void charset_add_all(struct charset *s, const struct charset *other)
{
    s->is_failed |= other->is_failed;
    for (int32_t i = 0; i < other->n; i++) charset_add(s, other->range[i].lo, other->range[i].hi);
}

static int by_lo(const void *a, const void *b)
{
    const struct char_range *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

void charset_normalise(struct charset *s)
{
    /* what straddles the surrogates becomes two; the second parts go to the end */
    for (int32_t i = 0, n = s->n; i < n; i++) {
        const struct char_range r = s->range[i];
        if (r.hi < SURROGATE_FIRST || r.lo > SURROGATE_LAST) continue;
        if (r.hi > SURROGATE_LAST) charset_add(s, SURROGATE_LAST + 1, r.hi);
        s->range[i] = r.lo < SURROGATE_FIRST ? (struct char_range){r.lo, SURROGATE_FIRST - 1}
                                             : (struct char_range){1, 0};
    }
    int32_t n = 0;
    if (s->n) qsort(s->range, (size_t)s->n, sizeof *s->range, by_lo);
    for (int32_t i = 0; i < s->n; i++) {
        const struct char_range r = s->range[i];
        if (r.lo > r.hi) continue;
        if (n > 0 && r.lo <= s->range[n - 1].hi + 1) {
            if (r.hi > s->range[n - 1].hi) s->range[n - 1].hi = r.hi;
        } else {
            s->range[n++] = r;
        }
    }
    s->n = n;
}

void charset_invert(struct charset *s)
{
    struct charset out = {.is_failed = s->is_failed};
    uint32_t next = 0;
    charset_normalise(s);
    for (int32_t i = 0; i < s->n; i++) {
        if (s->range[i].lo > next) charset_add(&out, next, s->range[i].lo - 1);
        next = s->range[i].hi + 1;
    }
    charset_add(&out, next, CODE_POINT_MAX);
    charset_normalise(&out);
    out.is_failed |= s->is_failed;
    charset_release(s);
    *s = out;
}

void charset_subtract(struct charset *s, struct charset *minus)
{
    charset_invert(s);
    charset_add_all(s, minus);
    charset_invert(s);
}

bool charset_has(const struct charset *s, uint32_t cp)
{
    for (int32_t i = 0; i < s->n; i++)
        if (cp >= s->range[i].lo && cp <= s->range[i].hi) return true;
    return false;
}

/* Cuts [lo, hi], of one length in bytes, into products of byte ranges. */
static bool cut(uint32_t lo, uint32_t hi, utf8_range_fn *fn, void *user)
{
    while (lo <= hi) {
        uint32_t end = hi; /* of the piece that begins at lo */
        for (int bits = 18; bits >= 6; bits -= 6) {
            const uint32_t low = ((uint32_t)1 << bits) - 1;
            if (lo >> bits == end >> bits) continue;
            /* bytes above differ: those below must run over all their values */
            if (lo & low)
                end = lo | low;
            else if ((end & low) != low)
                end = (end & ~low) - 1;
        }
        uint8_t a[4], b[4];
        struct utf8_range r = {.n = (uint8_t)utf8_encode(lo, a)};
        utf8_encode(end, b);
        memcpy(r.lo, a, r.n);
        memcpy(r.hi, b, r.n);
        if (!fn(user, &r)) return false;
        lo = end + 1;
    }
    return true;
}

bool charset_utf8(const struct charset *s, utf8_range_fn *fn, void *user)
{
    static const uint32_t last[] = {0x7f, 0x7ff, 0xffff, CODE_POINT_MAX};
    for (int32_t i = 0; i < s->n; i++) {
        uint32_t lo = s->range[i].lo;
        for (size_t k = 0; k < sizeof last / sizeof *last && lo <= s->range[i].hi; k++) {
            if (lo > last[k]) continue;
            const uint32_t hi = s->range[i].hi < last[k] ? s->range[i].hi : last[k];
            if (!cut(lo, hi, fn, user)) return false;
            lo = hi + 1;
        }
    }
    return true;
}
