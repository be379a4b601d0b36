/* SPDX-License-Identifier: Apache-2.0
 *
 * unicode.c - classes of code points, and UTF-8 that trusts nobody.
 *
 * A sequence is well formed by table 3-7 of the Unicode Standard: the second byte has a range of
 * its own after E0, ED, F0 and F4, which shuts out overlong forms, surrogates and values above
 * U+10FFFF in one comparison each. Whatever is not well formed is one bad byte at a time, so that
 * decoding always moves on and an encoder can give every byte back.
 */
#include "text/unicode.h"

#include "text/unicode_tables.h"

unsigned uc_class(uint32_t cp)
{
    static const uint8_t bits[4] = {
        [CP_OTHER] = 0, [CP_LETTER] = UC_LETTER, [CP_NUMBER] = UC_NUMBER, [CP_SPACE] = UC_SPACE};
    return bits[uc_two_bits(cp)];
}

/* Bytes of the sequence that `b` begins, 0 if it begins none; the range of its second byte. */
static int lead_bytes(uint8_t b, uint8_t *lo, uint8_t *hi)
{
    *lo = 0x80;
    *hi = 0xBF;
    if (b < 0x80) return 1;
    if (b < 0xC2) return 0;
    if (b < 0xE0) return 2;
    if (b < 0xF0) {
        if (b == 0xE0) *lo = 0xA0;
        if (b == 0xED) *hi = 0x9F;
        return 3;
    }
    if (b == 0xF0) *lo = 0x90;
    if (b == 0xF4) *hi = 0x8F;
    return b <= 0xF4 ? 4 : 0;
}

/* How many of the bytes at s are a prefix of a well-formed sequence of *want bytes. */
static int good_prefix(const uint8_t *s, size_t n, int *want)
{
    uint8_t lo = 0, hi = 0;
    *want = lead_bytes(s[0], &lo, &hi);
    if (*want == 0) return 0;
    int have = 1;
    while (have < *want && (size_t)have < n && s[have] >= lo && s[have] <= hi) {
        lo = 0x80;
        hi = 0xBF;
        have++;
    }
    return have;
}

int utf8_decode(const uint8_t *s, size_t n, uint32_t *cp, bool *is_bad)
{
    int want = 0;
    const int have = good_prefix(s, n, &want);
    *is_bad = want == 0 || have < want;
    if (*is_bad) {
        *cp = 0xFFFD;
        return 1;
    }
    uint32_t v = want == 1 ? s[0] : s[0] & (0x7Fu >> want);
    for (int i = 1; i < want; i++) v = v << 6 | (s[i] & 0x3Fu);
    *cp = v;
    return want;
}

int utf8_encode(uint32_t cp, uint8_t out[4])
{
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    const int n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (int i = n - 1; i > 0; i--, cp >>= 6) out[i] = (uint8_t)(0x80 | (cp & 0x3F));
    out[0] = (uint8_t)(lead[n] | cp);
    return n;
}

size_t utf8_complete(const uint8_t *s, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        const uint8_t b = s[n - back];
        if (b >= 0x80 && b < 0xC0) continue; /* inside a sequence: look for its lead */
        int want = 0;
        const int have = good_prefix(s + n - back, back, &want);
        return want > have && (size_t)have == back ? n - back : n;
    }
    return n;
}
