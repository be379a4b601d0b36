/* SPDX-License-Identifier: Apache-2.0
 *
 * sentence.c - where a sentence ends, by rule.
 *
 * A full stop, question or exclamation mark ends a sentence if white space follows and what comes
 * next does not begin with a small letter, unless the word before is an initial ("J."), an
 * abbreviation from the list, or the number of a list item. Trained splitters (Punkt) are better by
 * a few per cent on abbreviations, at the cost of a model a language.
 */
#include "retrieve/sentence.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "text/unicode.h"

static const char *const abbreviations[] = {
    "mr",   "mrs", "ms",     "dr",   "prof", "st",  "sr",   "jr",   "rev", "gen", "col", "lt",
    "capt", "sgt", "no",     "vs",   "etc",  "fig", "figs", "eq",   "vol", "pp",  "ed",  "eds",
    "al",   "cf",  "approx", "dept", "inc",  "ltd", "co",   "corp", "jan", "feb", "mar", "apr",
    "jun",  "jul", "aug",    "sep",  "sept", "oct", "nov",  "dec",  "e.g", "i.e", "u.s", "u.k",
    "a.m",  "p.m", "ph.d",   "bzw",  "z.b",  "usw", "ca",   NULL};

size_t skip_space(const char *s, size_t n, size_t i)
{
    while (i < n && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r')) i++;
    return i;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || ((unsigned char)c & 0x80);
}

/* The word that ends before the full stop at `dot` is none that carries a full stop of its own. */
static bool is_end_of_word(const char *s, size_t begin, size_t dot)
{
    size_t i = dot;
    while (i > begin && (is_letter(s[i - 1]) || s[i - 1] == '.')) i--;
    const size_t n_word = dot - i;
    if (n_word == 1 && s[i] >= 'A' && s[i] <= 'Z') return false; /* an initial */
    if (n_word == 0 && dot > begin && dot - begin <= 3 && s[dot - 1] >= '0' && s[dot - 1] <= '9') {
        size_t d = dot; /* "12." and nothing before: a list's number */
        while (d > begin && s[d - 1] >= '0' && s[d - 1] <= '9') d--;
        if (d == begin) return false;
    }
    for (const char *const *a = abbreviations; *a; a++)
        if (strlen(*a) == n_word && strncasecmp(*a, s + i, n_word) == 0) return false;
    return true;
}

/* The length of a closing quote or bracket at s[i], or 0. */
static size_t closing(const char *s, size_t n, size_t i)
{
    if (i < n && strchr("\"')]}*_", s[i]) && s[i]) return 1;
    if (i + 3 <= n &&
        (memcmp(s + i, "\xE2\x80\x9D", 3) == 0 || memcmp(s + i, "\xE2\x80\x99", 3) == 0))
        return 3;
    if (i + 2 <= n && memcmp(s + i, "\xC2\xBB", 2) == 0) return 2;
    return 0;
}

/* The length of a mark that ends a sentence at once, without space (Chinese, Japanese), or 0. */
static size_t wide_stop(const char *s, size_t n, size_t i)
{
    static const char *const marks[] = {"\xE3\x80\x82", "\xEF\xBC\x81", "\xEF\xBC\x9F",
                                        "\xE0\xA5\xA4"};
    if (i + 3 > n) return 0;
    for (size_t k = 0; k < sizeof marks / sizeof marks[0]; k++)
        if (memcmp(s + i, marks[k], 3) == 0) return 3;
    return 0;
}

size_t sentence_end(const char *s, size_t n, size_t begin)
{
    for (size_t i = begin; i < n; i++) {
        if (s[i] == '\n') return i;
        const size_t wide = (unsigned char)s[i] >= 0xE0 ? wide_stop(s, n, i) : 0;
        if (wide) return i + wide;
        if (s[i] != '.' && s[i] != '!' && s[i] != '?') continue;
        size_t end = i + 1;
        while (end < n && (s[end] == '.' || s[end] == '!' || s[end] == '?')) end++;
        size_t quote = 0;
        while ((quote = closing(s, n, end)) > 0 && end - i < 16) end += quote;
        const size_t next = skip_space(s, n, end);
        if (next == n) return end;
        if (next == end) continue;
        if (s[next] >= 'a' && s[next] <= 'z') continue;
        if (s[i] == '.' && end == i + 1 && !is_end_of_word(s, begin, i)) continue;
        return end;
    }
    return n;
}
