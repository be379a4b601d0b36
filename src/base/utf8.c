/* SPDX-License-Identifier: Apache-2.0
 *
 * utf8.c - the one table of well-formed byte sequences (Unicode 15, table 3-7).
 *
 * No overlong forms, no surrogates, nothing above U+10FFFF: whatever passes here, simdjson and
 * Python take too.
 */
#include "base/utf8.h"

size_t utf8_char(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    const unsigned char c = s[0];
    if (c < 0x80) return 1;
    const size_t len = c >= 0xC2 && c <= 0xDF   ? 2
                       : c >= 0xE0 && c <= 0xEF ? 3
                       : c >= 0xF0 && c <= 0xF4 ? 4
                                                : 0;
    if (len == 0 || n < len) return 0;
    const unsigned char low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (s[1] < low || s[1] > high) return 0;
    for (size_t i = 2; i < len; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    return len;
}

bool utf8_is_valid(const char *s, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes;) {
        const size_t len = utf8_char(s + i, n_bytes - i);
        if (len == 0) return false;
        i += len;
    }
    return true;
}
