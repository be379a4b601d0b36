/* SPDX-License-Identifier: Apache-2.0
 *
 * json_write.c - JSON by appending, with the commas kept for the caller.
 *
 * Failure is the buffer's: it sticks, and one buf_check() at the end sees it. Nesting deeper than
 * the writer counts, or a key in an array, is a programmer's mistake (assert).
 *
 * Numbers do not pass through the locale: printf gives digits and exponent (its decimal point is
 * skipped, whatever it is), and strtod reads "DIGITSeEXPONENT" back to see if they are enough. The
 * fewest digits that read back the same are written; 17 (9 for float) always are enough (Steele &
 * White 1990). A double that is a whole number keeps ".0", so that it stays a double to a reader.
 *
 * Begin reading at before_value().
 */
#include "base/json_write.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum {
    MAX_DIGITS = 17,    /* of a double */
    MAX_DIGITS_F32 = 9, /* of a float */
    MIN_PLAIN_EXP = -5, /* 1e-5 is written 0.00001, smaller with an exponent */
    MAX_PLAIN_EXP = 16, /* as above: 1e16 is the last without an exponent */
};

struct decimal {
    char digits[MAX_DIGITS + 1];
    int n_digits;
    int exponent; /* value = d1.d2d3... * 10^exponent */
};

/* The comma before a value or key, unless it is the first of its scope or follows a key. */
static void before_value(struct json_writer *w)
{
    if (w->is_after_key) {
        w->is_after_key = false;
        return;
    }
    if (w->depth == 0 || w->depth > JSON_MAX_DEPTH) return;
    if (w->n_items[w->depth - 1]++ > 0) buf_putc(w->out, ',');
}

static void open_scope(struct json_writer *w, char open, char close)
{
    before_value(w);
    buf_putc(w->out, open);
    assert(w->depth < JSON_MAX_DEPTH);
    if (w->depth < JSON_MAX_DEPTH) {
        w->n_items[w->depth] = 0;
        w->close[w->depth] = close;
    } else {
        w->out->is_failed =
            true; /* without asserts: a failed buffer, never a write out of bounds */
    }
    w->depth++;
}

static void escape_ascii(struct buf *out, unsigned char c)
{
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; named[i]; i += 2) {
        if (c != (unsigned char)named[i]) continue;
        buf_putc(out, '\\');
        buf_putc(out, named[i + 1]);
        return;
    }
    buf_printf(out, "\\u%04x", c);
}

/* A quoted string: runs that need no escape are copied whole. */
static void put_string(struct buf *out, const char *text, size_t n_bytes)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t i_run = 0, i = 0;
    buf_putc(out, '"');
    while (i < n_bytes) {
        const size_t len = utf8_char(text + i, n_bytes - i);
        const bool is_plain = len > 0 && s[i] >= 0x20 && s[i] != '"' && s[i] != '\\';
        if (is_plain) {
            i += len;
            continue;
        }
        buf_append(out, text + i_run, i - i_run);
        if (len == 0)
            buf_puts(out, "\xEF\xBF\xBD"); /* U+FFFD */
        else
            escape_ascii(out, s[i]);
        i_run = ++i;
    }
    buf_append(out, text + i_run, n_bytes - i_run);
    buf_putc(out, '"');
}

static struct decimal to_decimal(double v, int n_digits)
{
    char text[64];
    struct decimal d = {.n_digits = 0};
    (void)snprintf(text, sizeof text, "%.*e", n_digits - 1, fabs(v));
    const char *c = text;
    for (; *c && *c != 'e'; c++)
        if (*c >= '0' && *c <= '9' && d.n_digits < MAX_DIGITS) d.digits[d.n_digits++] = *c;
    d.exponent = *c == 'e' ? atoi(c + 1) : 0;
    while (d.n_digits > 1 && d.digits[d.n_digits - 1] == '0') d.n_digits--;
    d.digits[d.n_digits] = 0;
    return d;
}

/* The text of a decimal without a decimal point, for strtod and strtof in any locale. */
static void exact_text(const struct decimal *d, char *text, size_t n_bytes)
{
    (void)snprintf(text, n_bytes, "%se%d", d->digits, d->exponent - (d->n_digits - 1));
}

/* Trailing zeros are cut by to_decimal(), so one may begin at 15 digits: every decimal of 15 digits
 * survives the way through a normal double (DBL_DIG), so if fewer read back the same, they are
 * those 15 without their zeros. Subnormals have less precision and are tried from one digit. */
static struct decimal shortest_f64(double v)
{
    char text[64];
    for (int n = fabs(v) < DBL_MIN ? 1 : DBL_DIG; n < MAX_DIGITS; n++) {
        const struct decimal d = to_decimal(v, n);
        exact_text(&d, text, sizeof text);
        if (strtod(text, NULL) == fabs(v)) return d;
    }
    return to_decimal(v, MAX_DIGITS);
}

static struct decimal shortest_f32(float v)
{
    char text[64];
    for (int n = fabsf(v) < FLT_MIN ? 1 : FLT_DIG; n < MAX_DIGITS_F32; n++) {
        const struct decimal d = to_decimal((double)v, n);
        exact_text(&d, text, sizeof text);
        if (strtof(text, NULL) == fabsf(v)) return d;
    }
    return to_decimal((double)v, MAX_DIGITS_F32);
}

static void put_zeros(struct buf *out, int n)
{
    for (int i = 0; i < n; i++) buf_putc(out, '0');
}

static void put_decimal(struct buf *out, bool is_negative, const struct decimal *d)
{
    if (is_negative) buf_putc(out, '-');
    if (d->exponent < MIN_PLAIN_EXP || d->exponent > MAX_PLAIN_EXP) {
        buf_putc(out, d->digits[0]);
        if (d->n_digits > 1) buf_printf(out, ".%s", d->digits + 1);
        buf_printf(out, "e%d", d->exponent);
    } else if (d->exponent < 0) {
        buf_puts(out, "0.");
        put_zeros(out, -d->exponent - 1);
        buf_puts(out, d->digits);
    } else if (d->n_digits <= d->exponent + 1) {
        buf_puts(out, d->digits);
        put_zeros(out, d->exponent + 1 - d->n_digits);
        buf_puts(out, ".0");
    } else {
        buf_append(out, d->digits, (size_t)d->exponent + 1);
        buf_printf(out, ".%s", d->digits + d->exponent + 1);
    }
}

struct json_writer json_writer(struct buf *out) { return (struct json_writer){.out = out}; }

void json_object(struct json_writer *w) { open_scope(w, '{', '}'); }

void json_array(struct json_writer *w) { open_scope(w, '[', ']'); }

void json_end(struct json_writer *w)
{
    assert(w->depth > 0 && !w->is_after_key);
    if (w->depth == 0) return;
    w->depth--;
    if (w->depth < JSON_MAX_DEPTH) buf_putc(w->out, w->close[w->depth]);
}

/* A key that may hold NULs. */
static void key_n(struct json_writer *w, const char *key, size_t n_key)
{
    assert(w->depth > 0 && !w->is_after_key);
    before_value(w);
    put_string(w->out, key, n_key);
    buf_putc(w->out, ':');
    w->is_after_key = true;
}

void json_key(struct json_writer *w, const char *key) { key_n(w, key, strlen(key)); }

void json_string(struct json_writer *w, const char *s, size_t n_bytes)
{
    before_value(w);
    put_string(w->out, s, n_bytes);
}

void json_cstring(struct json_writer *w, const char *s)
{
    if (s)
        json_string(w, s, strlen(s));
    else
        json_null(w);
}

void json_int(struct json_writer *w, int64_t v)
{
    before_value(w);
    buf_printf(w->out, "%" PRId64, v);
}

void json_uint(struct json_writer *w, uint64_t v)
{
    before_value(w);
    buf_printf(w->out, "%" PRIu64, v);
}

void json_double(struct json_writer *w, double v)
{
    if (!isfinite(v)) {
        json_null(w);
        return;
    }
    before_value(w);
    const struct decimal d = shortest_f64(v);
    put_decimal(w->out, signbit(v), &d);
}

void json_float(struct json_writer *w, float v)
{
    if (!isfinite(v)) {
        json_null(w);
        return;
    }
    before_value(w);
    const struct decimal d = shortest_f32(v);
    put_decimal(w->out, signbit(v), &d);
}

void json_boolean(struct json_writer *w, bool v)
{
    before_value(w);
    buf_puts(w->out, v ? "true" : "false");
}

void json_null(struct json_writer *w)
{
    before_value(w);
    buf_puts(w->out, "null");
}

void json_raw(struct json_writer *w, const char *json, size_t n_bytes)
{
    before_value(w);
    buf_append(w->out, json, n_bytes);
}

void json_key_int(struct json_writer *w, const char *key, int64_t v)
{
    json_key(w, key);
    json_int(w, v);
}

void json_key_uint(struct json_writer *w, const char *key, uint64_t v)
{
    json_key(w, key);
    json_uint(w, v);
}

void json_key_double(struct json_writer *w, const char *key, double v)
{
    json_key(w, key);
    json_double(w, v);
}

void json_key_float(struct json_writer *w, const char *key, float v)
{
    json_key(w, key);
    json_float(w, v);
}

void json_key_boolean(struct json_writer *w, const char *key, bool v)
{
    json_key(w, key);
    json_boolean(w, v);
}

void json_key_cstring(struct json_writer *w, const char *key, const char *s)
{
    json_key(w, key);
    json_cstring(w, s);
}

static void copy_scalar(struct json_writer *w, struct json v)
{
    const char *s = NULL;
    size_t n = 0;
    bool b = false;
    int64_t i = 0;
    double d = 0;
    const enum json_type type = json_type(v);
    if (json_str(v, &s, &n))
        json_string(w, s, n);
    else if (json_bool(v, &b))
        json_boolean(w, b);
    else if (json_i64(v, &i))
        json_int(w, i);
    else if (type == JSON_UINT && json_f64(v, &d) && d < 0x1p64)
        json_uint(w, (uint64_t)d);
    else if (json_f64(v, &d))
        json_double(w, d);
    else
        json_null(w);
}

void json_copy(struct json_writer *w, struct json v)
{
    const enum json_type type = json_type(v);
    if (type != JSON_ARRAY && type != JSON_OBJECT) {
        copy_scalar(w, v);
        return;
    }
    struct json_iter it = json_iter(v);
    struct json element;
    const char *key = NULL;
    size_t n_key = 0;
    if (type == JSON_OBJECT)
        json_object(w);
    else
        json_array(w);
    while (!w->out->is_failed && json_next(&it, &key, &n_key, &element)) {
        if (type == JSON_OBJECT) key_n(w, key, n_key);
        json_copy(w, element);
    }
    json_end(w);
}

void json_key_copy(struct json_writer *w, const char *key, struct json v, const char *fallback)
{
    json_key(w, key);
    if (json_type(v) == JSON_NONE)
        json_raw(w, fallback, strlen(fallback));
    else
        json_copy(w, v);
}
