/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_json.c - JSON as Python's json.dumps() writes it.
 *
 * Templates print tools with the filter tojson, and a model saw them in exactly this form: ", " and
 * ": " on one line, or an indent of four with ": ", non-ASCII as it is, floats as repr() gives
 * them. Objects keep the order of their keys. Depth is bounded by base/json.h (512), so is the
 * recursion.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "text/chat_json.h"

enum { MAX_ARGUMENTS_BYTES = 16 << 20 };

void chat_json_string(struct buf *out, const char *s, size_t n)
{
    struct json_writer w = json_writer(out);
    json_string(&w, s, n); /* its escapes are Python's */
}

/* repr(float): the fewest digits that read back the same; plain from 1e-4 up to 1e16, else with a
 * signed exponent of two digits. Whatever the locale calls a decimal point is passed over. */
void chat_json_float(struct buf *out, double v)
{
    char text[40], digits[24];
    for (int n = 0; n < 17; n++) {
        (void)snprintf(text, sizeof text, "%.*e", n, v);
        if (strtod(text, NULL) == v) break;
    }
    const char *e = strchr(text, 'e');
    if (!e) return; /* JSON has no infinities */
    int n = 0;
    for (const char *c = text; c < e; c++)
        if (*c >= '0' && *c <= '9' && n < 20) digits[n++] = *c;
    const int exponent = atoi(e + 1);
    if (text[0] == '-') buf_putc(out, '-');
    if (exponent < -4 || exponent > 15) {
        buf_printf(out, "%c%s%.*se%c%02d", digits[0], n > 1 ? "." : "", n - 1, digits + 1,
                   exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        buf_printf(out, "0.%.*s%.*s", -exponent - 1, "000", n, digits);
    } else {
        for (int i = 0; i <= exponent; i++) buf_putc(out, i < n ? digits[i] : '0');
        buf_printf(out, ".%.*s", n > exponent + 1 ? n - exponent - 1 : 1,
                   n > exponent + 1 ? digits + exponent + 1 : "0");
    }
}

static void put_scalar(struct buf *out, struct json v)
{
    bool b = false;
    int64_t i = 0;
    double d = 0;
    const char *s = NULL;
    size_t n = 0;
    if (json_str(v, &s, &n))
        chat_json_string(out, s, n);
    else if (json_bool(v, &b))
        buf_puts(out, b ? "true" : "false");
    else if (json_i64(v, &i))
        buf_printf(out, "%" PRId64, i);
    else if (json_type(v) == JSON_DOUBLE && json_f64(v, &d))
        chat_json_float(out, d);
    else if (json_f64(v, &d))
        buf_printf(out, "%.0f", d); /* 2^63 and up: json.h gives these as a double only */
    else
        buf_puts(out, "null");
}

/* What stands before an element: the comma, and the line break or space. */
static void put_break(struct buf *out, bool is_first, int indent, int depth)
{
    if (!is_first) buf_puts(out, indent ? "," : ", ");
    if (indent) buf_printf(out, "\n%*s", indent * depth, "");
}

static void put_value(struct buf *out, struct json v, int indent, int depth)
{
    const enum json_type type = json_type(v);
    if (type != JSON_ARRAY && type != JSON_OBJECT) {
        put_scalar(out, v);
        return;
    }
    struct json_iter it = json_iter(v);
    struct json element;
    const char *key = NULL;
    size_t n_key = 0;
    bool is_first = true;
    buf_putc(out, type == JSON_OBJECT ? '{' : '[');
    for (; !out->is_failed && json_next(&it, &key, &n_key, &element); is_first = false) {
        put_break(out, is_first, indent, depth + 1);
        if (type == JSON_OBJECT) {
            chat_json_string(out, key, n_key);
            buf_puts(out, ": ");
        }
        put_value(out, element, indent, depth + 1);
    }
    if (!is_first && indent) buf_printf(out, "\n%*s", indent * depth, "");
    buf_putc(out, type == JSON_OBJECT ? '}' : ']');
}

void chat_json(struct buf *out, struct json v, int indent) { put_value(out, v, indent, 0); }

void chat_json_arguments(struct buf *out, struct json arguments)
{
    const char *s = NULL;
    size_t n = 0;
    struct err not_json = {0};
    struct json_doc *inner = NULL;
    if (json_str(arguments, &s, &n))
        inner = json_parse(s, n, MAX_ARGUMENTS_BYTES, "arguments", &not_json);
    chat_json(out, inner ? json_root(inner) : arguments, 0);
    if (not_json.code == ERR_MEMORY) out->is_failed = true;
    json_free(inner);
}
