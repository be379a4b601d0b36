/* SPDX-License-Identifier: Apache-2.0
 *
 * toml_value.c - TOML's strings, numbers and booleans.
 *
 * A string is gathered in the scratch buffer and copied; a number is gathered without underscores
 * and given to strtoll or strtod, which the C locale makes exact. The grammar is followed letter by
 * letter (TOML 1.0, toml.abnf), since strtod alone takes "0x1p3", "1." and " 1".
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/toml_parts.h"
#include "base/utf8.h"

enum { MAX_NUMBER = 400 };

/* ---- strings ---- */

static void put_code_point(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_putc(out, (char)c);
        return;
    }
    if (c < 0x800) {
        buf_putc(out, (char)(0xC0 | c >> 6));
    } else if (c < 0x10000) {
        buf_putc(out, (char)(0xE0 | c >> 12));
        buf_putc(out, (char)(0x80 | (c >> 6 & 0x3F)));
    } else {
        buf_putc(out, (char)(0xF0 | c >> 18));
        buf_putc(out, (char)(0x80 | (c >> 12 & 0x3F)));
        buf_putc(out, (char)(0x80 | (c >> 6 & 0x3F)));
    }
    buf_putc(out, (char)(0x80 | (c & 0x3F)));
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \uXXXX and \UXXXXXXXX, of which the digits begin here. */
static bool read_unicode(struct toml_reader *r, int n_digits)
{
    uint32_t c = 0;
    for (int i = 0; i < n_digits; i++) {
        const int d = hex_digit(r->s[r->at + (size_t)i]); /* the NUL at the end is none */
        if (d < 0) return toml_refuse(r, r->at, "an escape of %d hexadecimal digits", n_digits);
        c = c << 4 | (uint32_t)d;
    }
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return toml_refuse(r, r->at, "U+%04X is no character", (unsigned)c);
    put_code_point(&r->scratch, c);
    r->at += (size_t)n_digits;
    return true;
}

/* A backslash at the end of a line: it and all white space after it count as nothing. */
static bool skip_line_end(struct toml_reader *r)
{
    const size_t begin = r->at;
    while (r->s[r->at] == ' ' || r->s[r->at] == '\t') r->at++;
    if (r->s[r->at] && !toml_at_newline(r))
        return toml_refuse(r, begin, "a backslash before a blank; write \\\\");
    while (r->s[r->at] && strchr(" \t\r\n", r->s[r->at])) r->at++;
    return true;
}

/* Behind a backslash. */
static bool read_escape(struct toml_reader *r, bool is_long)
{
    static const char pairs[] = "b\bt\tn\nf\fr\r\"\"\\\\";
    const char c = r->s[r->at];
    if (is_long && c && strchr(" \t\r\n", c)) return skip_line_end(r);
    for (size_t i = 0; pairs[i]; i += 2) {
        if (pairs[i] != c) continue;
        buf_putc(&r->scratch, pairs[i + 1]);
        r->at++;
        return true;
    }
    if (c == 'u' || c == 'U') {
        r->at++;
        return read_unicode(r, c == 'u' ? 4 : 8);
    }
    return toml_refuse(r, r->at - 1, "an unknown escape; write \\\\ for a backslash, or use '...'");
}

/* How many of `quote` stand here, at most n. */
static size_t count_quotes(const struct toml_reader *r, char quote, size_t n)
{
    size_t i = 0;
    while (i < n && r->s[r->at + i] == quote) i++;
    return i;
}

/* True at the closing quotes, which are skipped; up to two more belong to a long string. */
static bool at_close(struct toml_reader *r, char quote, bool is_long)
{
    const size_t n = count_quotes(r, quote, is_long ? 5 : 1), n_close = is_long ? 3 : 1;
    if (n < n_close) return false;
    for (size_t i = n_close; i < n; i++) buf_putc(&r->scratch, quote);
    r->at += n;
    return true;
}

bool toml_read_string(struct toml_reader *r, bool may_be_long, const char **s, size_t *n)
{
    const size_t begin = r->at;
    const char quote = r->s[r->at];
    const bool is_long = may_be_long && count_quotes(r, quote, 3) == 3;
    buf_clear(&r->scratch);
    r->at += is_long ? 3 : 1;
    if (is_long && r->s[r->at] == '\r') r->at++;
    if (is_long && r->s[r->at] == '\n') r->at++;
    while (!at_close(r, quote, is_long)) {
        const char c = r->s[r->at];
        if (!c || (!is_long && toml_at_newline(r)))
            return toml_refuse(r, begin, "a string without its closing %s%c",
                               is_long ? "three " : "", quote);
        r->at++;
        if (c == '\\' && quote == '"') {
            if (!read_escape(r, is_long)) return false;
        } else if (c != '\r') {
            buf_putc(&r->scratch, c); /* \r\n is read as \n */
        }
    }
    if (!buf_check(&r->scratch, "a string", r->err)) return false;
    *n = r->scratch.n_bytes;
    *s = arena_copy(r->doc->arena, *n ? r->scratch.data : "", *n, r->err);
    return *s != NULL;
}

/* ---- numbers and booleans ---- */

static bool take_word(struct toml_reader *r, const char *word)
{
    const size_t n = strlen(word);
    if (strncmp(r->s + r->at, word, n) != 0) return false;
    r->at += n;
    return true;
}

static bool is_digit(char c, int base)
{
    const int d = hex_digit(c);
    return d >= 0 && d < base;
}

/* Digits, each underscore between two of them; false if there is none. */
static bool take_digits(struct toml_reader *r, int base)
{
    if (!is_digit(r->s[r->at], base)) return false;
    for (;;) {
        buf_putc(&r->scratch, r->s[r->at++]);
        if (r->s[r->at] == '_' && is_digit(r->s[r->at + 1], base)) r->at++;
        if (!is_digit(r->s[r->at], base)) return true;
    }
}

static bool take_one_of(struct toml_reader *r, const char *set)
{
    const char c = r->s[r->at];
    if (!c || !strchr(set, c)) return false;
    buf_putc(&r->scratch, c);
    r->at++;
    return true;
}

static bool to_integer(struct toml_reader *r, size_t begin, int base, struct toml *v)
{
    errno = 0;
    v->type = TOML_INT;
    v->as.integer = strtoll(r->scratch.data, NULL, base);
    return errno != ERANGE || toml_refuse(r, begin, "an integer beyond 64 bits");
}

/* 0x, 0o and 0b; *is_one is false, and nothing read, if it is another number. */
static bool read_based(struct toml_reader *r, struct toml *v, bool *is_one)
{
    static const struct {
        const char *head;
        int base;
    } rows[] = {{"0x", 16}, {"0o", 8}, {"0b", 2}};
    const size_t begin = r->at;
    *is_one = false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!take_word(r, rows[i].head)) continue;
        *is_one = true;
        return take_digits(r, rows[i].base)
                   ? to_integer(r, begin, rows[i].base, v)
                   : toml_refuse(r, r->at, "digits after %s are missing", rows[i].head);
    }
    return true;
}

static bool read_decimal(struct toml_reader *r, struct toml *v)
{
    const size_t begin = r->at;
    bool is_real = false;
    take_one_of(r, "+-");
    const bool is_negative = r->s[begin] == '-', has_zero = r->s[r->at] == '0';
    const size_t first = r->at;
    if (take_word(r, "inf") || take_word(r, "nan")) {
        const double x = r->s[first] == 'i' ? (double)INFINITY : (double)NAN;
        v->type = TOML_FLOAT;
        v->as.real = is_negative ? -x : x;
        return true;
    }
    if (!take_digits(r, 10))
        return toml_refuse(r, begin, "no value; strings are written in quotes");
    if (has_zero && r->at > first + 1)
        return toml_refuse(r, first, "a number that begins with 0; leave out the zeros");
    if (r->s[r->at] == ':' || (r->s[r->at] == '-' && r->at == first + 4))
        return toml_refuse(r, begin, "date-times are not read here; write a string");
    if (take_one_of(r, ".")) {
        is_real = true;
        if (!take_digits(r, 10)) return toml_refuse(r, r->at, "digits after the point are missing");
    }
    if (take_one_of(r, "eE")) {
        is_real = true;
        take_one_of(r, "+-");
        if (!take_digits(r, 10)) return toml_refuse(r, r->at, "digits of the exponent are missing");
    }
    if (r->at - begin > MAX_NUMBER)
        return toml_refuse(r, begin, "a number of more than %d characters", MAX_NUMBER);
    if (!is_real) return to_integer(r, begin, 10, v);
    v->type = TOML_FLOAT;
    v->as.real = strtod(r->scratch.data, NULL);
    return true;
}

bool toml_read_plain(struct toml_reader *r, struct toml *v)
{
    bool is_based = false;
    if (take_word(r, "true") || take_word(r, "false")) {
        v->type = TOML_BOOL;
        v->as.is_true = r->s[r->at - 2] == 'u';
        return true;
    }
    buf_clear(&r->scratch);
    if (!read_based(r, v, &is_based)) return false;
    return (is_based || read_decimal(r, v)) && buf_check(&r->scratch, "a number", r->err);
}
