/* SPDX-License-Identifier: Apache-2.0
 *
 * json_wide.c - numbers that are JSON and larger than what json_parse() takes, made to fit.
 *
 * RFC 8259 gives numbers no bounds; our parser ends at 64 bits and at the largest double, as a file
 * that we trust should. What strangers send may hold such a number where nobody looks. It becomes
 * the double next to it, at most 1e308, in as many bytes: a whole number of 20 digits gives its
 * last two away for "e2", which a double of 53 bits cannot tell from it.
 *
 * Begin reading at json_narrow().
 */
#include "base/json_wide.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t n_digits(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && s[i] >= '0' && s[i] <= '9') i++;
    return i;
}

/* Whether s is a number and nothing else; *is_whole if it is one without point and exponent. */
static bool is_number(const char *s, size_t n, bool *is_whole)
{
    size_t i = n > 0 && s[0] == '-', d = n_digits(s + i, n - i);
    if (d == 0 || (d > 1 && s[i] == '0')) return false;
    i += d;
    *is_whole = i == n;
    if (i < n && s[i] == '.') {
        d = n_digits(s + i + 1, n - i - 1);
        if (d == 0) return false;
        i += 1 + d;
    }
    if (i < n && (s[i] == 'e' || s[i] == 'E')) {
        i++;
        i += i < n && (s[i] == '+' || s[i] == '-');
        d = n_digits(s + i, n - i);
        if (d == 0) return false;
        i += d;
    }
    return i == n;
}

/* More than 2^64 - 1, or less than -2^63. */
static bool is_too_long(const char *s, size_t n)
{
    const bool is_negative = s[0] == '-';
    const char *most = is_negative ? "9223372036854775808" : "18446744073709551615";
    const size_t n_most = strlen(most), d = n - is_negative;
    return d > n_most || (d == n_most && memcmp(s + is_negative, most, d) > 0);
}

/* The text does not end in NUL, which strtod() wants. */
static bool is_infinite(const char *s, size_t n)
{
    char small[64], *text = n < sizeof small ? small : malloc(n + 1);
    if (!text) return false;
    memcpy(text, s, n);
    text[n] = '\0';
    const bool is = isinf(strtod(text, NULL));
    if (text != small) free(text);
    return is;
}

/* The number at s, [n]. */
static bool narrow(char *s, size_t n)
{
    static const char most[] = "1e308";
    bool is_whole = false;
    if (n < sizeof most - 1 || !is_number(s, n, &is_whole)) return false;
    if (is_infinite(s, n)) {
        const size_t sign = s[0] == '-';
        memset(s + sign, ' ', n - sign);
        memcpy(s + sign, most, sizeof most - 1);
        return true;
    }
    if (!is_whole || !is_too_long(s, n)) return false;
    s[n - 2] = 'e';
    s[n - 1] = '2';
    return true;
}

bool json_narrow(char *s, size_t n)
{
    static const char of_numbers[] = "0123456789+-.eE";
    bool has_changed = false, is_string = false;
    for (size_t i = 0, end; i < n; i = end) {
        end = i + 1;
        if (is_string && s[i] == '\\')
            end++;
        else if (s[i] == '"')
            is_string = !is_string;
        else if (!is_string && s[i] && strchr("0123456789+-.", s[i])) {
            while (end < n && s[end] && strchr(of_numbers, s[end])) end++;
            has_changed |= narrow(s + i, end - i);
        }
    }
    return has_changed;
}
