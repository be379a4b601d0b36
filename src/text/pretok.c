/* SPDX-License-Identifier: Apache-2.0
 *
 * pretok.c - the pre-tokenizers of the Llama family, as automata.
 *
 *   llama-bpe  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
 *              | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *   gpt-2      's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   smollm     first every \p{N} alone; then gpt-2 on what lies between
 *
 * Alternatives are tried in order and the first that matches wins (Perl semantics; the procedure
 * is spec/llama3.md 2.2). A byte that is not UTF-8 is a character of no class. Case-insensitive
 * means by Unicode's simple folding, as in the engine of the reference: U+017F folds to s.
 *
 * In smollm the cut before a digit comes first, so the text of the second step ends there: a run
 * of spaces in front of a digit is at the end of its text and stays whole ("  1" is "  ", "1"),
 * and a space never joins a digit.
 *
 * ASCII goes through a table of 128 classes; other characters are decoded. Begin at next_llama3().
 */
#include "text/pretok.h"

#include <stdbool.h>

#include "text/unicode.h"
#include "text/unicode_tables.h"

enum { O = CP_OTHER, L = CP_LETTER, N = CP_NUMBER, S = CP_SPACE };

static const uint8_t ascii_class[128] = {
    /* clang-format off */
    O, O, O, O, O, O, O, O, O, S, S, S, S, S, O, O,
    O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
    S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
    N, N, N, N, N, N, N, N, N, N, O, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
    L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L,
    L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
    /* clang-format on */
};

/* Class of a character beyond ASCII; *end is where it ends. The common ones of two and three bytes
 * are read here, what is rare or malformed by utf8_decode(). */
static unsigned class_of_wide(const uint8_t *s, size_t n, size_t at, size_t *end)
{
    const uint8_t lead = s[at];
    const size_t n_left = n - at;
    if (lead > 0xE0 && lead < 0xF0 && lead != 0xED && n_left >= 3 && (s[at + 1] & 0xC0) == 0x80 &&
        (s[at + 2] & 0xC0) == 0x80) {
        *end = at + 3;
        return uc_two_bits((lead & 0xFu) << 12 | (s[at + 1] & 0x3Fu) << 6 | (s[at + 2] & 0x3Fu));
    }
    if (lead >= 0xC2 && lead < 0xE0 && n_left >= 2 && (s[at + 1] & 0xC0) == 0x80) {
        *end = at + 2;
        return uc_two_bits((lead & 0x1Fu) << 6 | (s[at + 1] & 0x3Fu));
    }
    uint32_t cp = 0;
    bool is_bad = false;
    *end = at + (size_t)utf8_decode(s + at, n_left, &cp, &is_bad);
    return is_bad ? O : uc_two_bits(cp);
}

static inline unsigned class_at(const uint8_t *s, size_t n, size_t at, size_t *end)
{
    if (s[at] >= 0x80) return class_of_wide(s, n, at, end);
    *end = at + 1;
    return ascii_class[s[at]];
}

/* The end of the run of class `want` that begins at `at` (`at` itself if it is empty). */
static inline size_t run_of(const uint8_t *s, size_t n, size_t at, unsigned want)
{
    size_t end = 0;
    while (at < n && class_at(s, n, at, &end) == want) at = end;
    return at;
}

static inline bool is_line_end(uint8_t b) { return b == '\r' || b == '\n'; }

/* Lower case of an ASCII letter if `folds`. */
static inline uint8_t fold(uint8_t b, bool folds)
{
    return folds && b >= 'A' && b <= 'Z' ? (uint8_t)(b | 0x20) : b;
}

/* Bytes of 's 't 're 've 'm 'll 'd at `at`, where an apostrophe is; 0 if none. */
static size_t contraction(const uint8_t *s, size_t n, size_t at, bool folds)
{
    if (at + 1 >= n) return 0;
    const uint8_t a = fold(s[at + 1], folds);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (at + 2 >= n) return 0;
    if (folds && s[at + 1] == 0xC5 && s[at + 2] == 0xBF) return 3; /* U+017F */
    const uint8_t b = fold(s[at + 2], folds);
    const bool is_pair = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return is_pair ? 3 : 0;
}

/* \s+(?!\S)|\s+ on the white space [at, end), whose last character begins at `last`: all of it at
 * the end of the text, else all but the last character, else the one character. */
static size_t leave_last(size_t n, size_t at, size_t last, size_t end)
{
    return end == n || last == at ? end : last;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ if `takes_lines`, else without the first; s[at] is white space. */
static size_t white_space(const uint8_t *s, size_t n, size_t at, bool takes_lines)
{
    size_t end = at, last = at, after_line = 0;
    for (size_t next = 0; end < n && class_at(s, n, end, &next) == S; end = next) {
        last = end;
        if (is_line_end(s[end])) after_line = next;
    }
    if (takes_lines && after_line) return after_line;
    return leave_last(n, at, last, end);
}

static size_t next_llama3(const uint8_t *s, size_t n, size_t at)
{
    size_t first = 0, end = 0;
    if (s[at] == '\'') {
        const size_t n_bytes = contraction(s, n, at, true);
        if (n_bytes) return at + n_bytes;
    }
    const unsigned c = class_at(s, n, at, &first);
    if (c == L) return run_of(s, n, first, L);
    if (c == N) {
        end = first;
        for (int i = 1; i < 3 && end < n && class_at(s, n, end, &first) == N; i++) end = first;
        return end;
    }
    if (first < n && !is_line_end(s[at])) { /* [^\r\n\p{L}\p{N}]\p{L}+ */
        size_t second = 0;
        const unsigned d = class_at(s, n, first, &second);
        if (d == L) return run_of(s, n, second, L);
        if (c == S && s[at] == ' ' && d == O)
            first = second; /* ' '[^\s\p{L}\p{N}]+ */
        else if (c == S)
            return white_space(s, n, at, true);
    } else if (c == S) {
        return white_space(s, n, at, true);
    }
    end = run_of(s, n, first, O);
    while (end < n && is_line_end(s[end])) end++;
    return end;
}

/* gpt-2 on s[0..n); `n` may be where a digit was cut off, so the caller decides. */
static size_t next_gpt2(const uint8_t *s, size_t n, size_t at)
{
    size_t first = 0;
    if (s[at] == '\'') {
        const size_t n_bytes = contraction(s, n, at, false);
        if (n_bytes) return at + n_bytes;
    }
    unsigned c = class_at(s, n, at, &first);
    if (c != S) return run_of(s, n, first, c);
    if (s[at] == ' ' && first < n) {
        size_t second = 0;
        c = class_at(s, n, first, &second);
        if (c != S) return run_of(s, n, second, c);
    }
    return white_space(s, n, at, false);
}

static size_t next_smollm(const uint8_t *s, size_t n, size_t at)
{
    size_t first = 0, second = 0;
    const unsigned c = class_at(s, n, at, &first);
    if (c == N) return first;
    if (c != S) return next_gpt2(s, n, at);
    if (first < n && s[at] == ' ') {
        const unsigned d = class_at(s, n, first, &second);
        if (d == N) return first;
        if (d != S) return run_of(s, n, second, d);
    }
    const size_t end = run_of(s, n, at, S);
    const bool is_before_digit = end < n && class_at(s, n, end, &second) == N;
    return is_before_digit ? end : white_space(s, n, at, false);
}

static const struct pretok_family families[] = {
    /* clang-format off */
    /* name        pretok          next        */
    {"llama-bpe",  PRETOK_LLAMA3,  next_llama3},
    {"gpt-2",      PRETOK_GPT2,    next_gpt2},
    {"smollm",     PRETOK_SMOLLM,  next_smollm},
    /* clang-format on */
};

const struct pretok_family *pretok_family_of(enum pretok pretok)
{
    const struct pretok_family *found = &families[1];
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (families[i].pretok == pretok) found = &families[i];
    return found;
}
