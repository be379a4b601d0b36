/* charset.h - sets of characters (code points), and how UTF-8 spells them.
 *
 * A set is a list of ranges. Adding is sticky like buf.h: a set that ran out of memory or of its
 * ceiling says so once. One thread at a time.
 */
#ifndef CRIA_INFER_CHARSET_H
#define CRIA_INFER_CHARSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHARSET_MAX_RANGES = 8192, CODE_POINT_MAX = 0x10ffff };

struct char_range {
    uint32_t lo, hi; /* both included */
};

struct charset {
    struct char_range *range;
    int32_t n, cap;
    bool is_failed; /* no memory, or more than CHARSET_MAX_RANGES */
};

void charset_release(struct charset *s); /* {0} is an empty set */
void charset_add(struct charset *s, uint32_t lo, uint32_t hi);
void charset_add_all(struct charset *s, const struct charset *other);
/* Ranges in order, apart and not touching; surrogates are no characters and are dropped. */
void charset_normalise(struct charset *s);
/* All other characters. Normalises. */
void charset_invert(struct charset *s);
/* Those of `s` that are not in `minus`; both are normalised. */
void charset_subtract(struct charset *s, struct charset *minus);
bool charset_has(const struct charset *s, uint32_t cp);

/* A run of characters whose UTF-8 forms are a product of byte ranges. */
struct utf8_range {
    uint8_t n; /* bytes, 1 to 4 */
    uint8_t lo[4], hi[4];
};
/* Calls fn for each such run of a normalised set; false ends the walk. */
typedef bool utf8_range_fn(void *user, const struct utf8_range *r);
bool charset_utf8(const struct charset *s, utf8_range_fn *fn, void *user);

#endif
