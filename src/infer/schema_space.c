/* SPDX-License-Identifier: Apache-2.0
 *
 * schema_space.c - JSON itself: what stands between tokens, any value of each type, and values that
 * are given.
 *
 * White space is bounded, or a model that likes it could go on for ever. Numbers are too: 18 digits
 * before the point and 17 behind it, an exponent of two digits, which any reader of JSON takes as
 * the number that was meant. Rules of any value are made once.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json_write.h"
#include "infer/schema_parts.h"
#include "text/unicode.h"

enum { MAX_INDENT = 24, MAX_LITERAL_DEPTH = 32 };

int32_t space_gap(struct schema *s)
{
    struct grammar_builder *b = &s->b;
    if (s->space != SPACE_FREE) return node_empty(b);
    if (s->gap < 0) {
        const int32_t line[2] = {node_text(b, "\n"),
                                 node_repeat(b, node_text(b, " "), 0, MAX_INDENT)};
        const int32_t way[3] = {node_empty(b), node_text(b, " "), node_seq(b, line, 2)};
        s->gap = rule_new(b, "white space", 11, 0);
        rule_define(b, s->gap, node_alt(b, way, 3));
    }
    return node_call(b, s->gap);
}

static int32_t behind(struct schema *s, const char *mark)
{
    const int32_t pair[2] = {node_text(&s->b, mark), space_gap(s)};
    return node_seq(&s->b, pair, 2);
}

int32_t space_comma(struct schema *s)
{
    return s->space == SPACE_WIDE ? node_text(&s->b, ", ") : behind(s, ",");
}

int32_t space_colon(struct schema *s)
{
    if (s->space == SPACE_WIDE) return node_text(&s->b, ": ");
    if (s->space == SPACE_COMPACT) return node_text(&s->b, ":");
    const int32_t pair[2] = {node_text(&s->b, ":"), node_optional(&s->b, node_text(&s->b, " "))};
    return node_seq(&s->b, pair, 2);
}

int32_t schema_brackets(struct schema *s, const char *open, int32_t inner, bool may_be_empty,
                        const char *close)
{
    struct grammar_builder *b = &s->b;
    const int32_t filled[2] = {inner, space_gap(s)};
    int32_t middle = node_seq(b, filled, 2);
    if (may_be_empty) middle = node_optional(b, middle);
    const int32_t whole[3] = {behind(s, open), middle, node_text(b, close)};
    return node_seq(b, whole, 3);
}

/* ---- any value ---- */

/* A class of characters given as pairs of bounds in ASCII. */
static int32_t ascii(struct schema *s, const char *pairs)
{
    struct charset set = {0};
    for (; pairs[0]; pairs += 2) charset_add(&set, (uint8_t)pairs[0], (uint8_t)pairs[1]);
    const int32_t node = node_class(&s->b, &set);
    charset_release(&set);
    return node;
}

/* \uXXXX of any character, a pair of them where it needs one. */
static int32_t unicode_escape(struct schema *s)
{
    struct grammar_builder *b = &s->b;
    const int32_t hex = ascii(s, "09afAF"), hex3 = node_repeat(b, hex, 3, 3);
    const int32_t d = ascii(s, "DDdd"), hex2 = node_repeat(b, hex, 2, 2);
    const int32_t below[2] = {ascii(s, "09acACeeEEffFF"), hex3};
    const int32_t before[3] = {d, ascii(s, "07"), hex2};
    const int32_t pair[7] = {d, ascii(s, "89abAB"), hex2, node_text(b, "\\u"),
                             d, ascii(s, "cfCF"),   hex2};
    const int32_t way[3] = {node_seq(b, below, 2), node_seq(b, before, 3), node_seq(b, pair, 7)};
    const int32_t escape[2] = {node_text(b, "u"), node_alt(b, way, 3)};
    return node_seq(b, escape, 2);
}

int32_t schema_string_char(struct schema *s)
{
    struct grammar_builder *b = &s->b;
    struct charset plain = {0};
    charset_add(&plain, 0, 0x1f);
    charset_add(&plain, '"', '"');
    charset_add(&plain, '\\', '\\');
    charset_invert(&plain);
    const int32_t behind_backslash[2] = {ascii(s, "\"\"\\\\//bbffnnrrtt"), unicode_escape(s)};
    const int32_t escape[2] = {node_text(b, "\\"), node_alt(b, behind_backslash, 2)};
    const int32_t way[2] = {node_class(b, &plain), node_seq(b, escape, 2)};
    charset_release(&plain);
    return node_alt(b, way, 2);
}

static int32_t any_string(struct schema *s)
{
    const int32_t item[3] = {node_text(&s->b, "\""),
                             node_repeat(&s->b, schema_string_char(s), 0, -1),
                             node_text(&s->b, "\"")};
    return node_seq(&s->b, item, 3);
}

static int32_t any_number(struct schema *s, bool is_integer)
{
    struct grammar_builder *b = &s->b;
    const int32_t digit = ascii(s, "09"), minus = node_optional(b, node_text(b, "-"));
    const int32_t more[2] = {ascii(s, "19"), node_repeat(b, digit, 0, 17)};
    const int32_t large = node_seq(b, more, 2), zero = node_text(b, "0");
    if (is_integer) {
        const int32_t signed_large[2] = {minus, large};
        const int32_t way[2] = {zero, node_seq(b, signed_large, 2)};
        return node_alt(b, way, 2);
    }
    const int32_t whole[2] = {zero, large};
    const int32_t point[2] = {node_text(b, "."), node_repeat(b, digit, 1, 17)};
    const int32_t exponent[3] = {ascii(s, "eeEE"), node_optional(b, ascii(s, "++--")),
                                 node_repeat(b, digit, 1, 2)};
    const int32_t item[4] = {minus, node_alt(b, whole, 2), node_optional(b, node_seq(b, point, 2)),
                             node_optional(b, node_seq(b, exponent, 3))};
    return node_seq(b, item, 4);
}

/* first (, first)* */
static int32_t list_of(struct schema *s, int32_t element)
{
    const int32_t next[2] = {space_comma(s), element};
    const int32_t item[2] = {element, node_repeat(&s->b, node_seq(&s->b, next, 2), 0, -1)};
    return node_seq(&s->b, item, 2);
}

static int32_t any_object(struct schema *s)
{
    const int32_t member[3] = {schema_any_of_type(s, TYPE_STRING), space_colon(s),
                               schema_any_value(s)};
    return schema_brackets(s, "{", list_of(s, node_seq(&s->b, member, 3)), true, "}");
}

static int32_t any_array(struct schema *s)
{
    return schema_brackets(s, "[", list_of(s, schema_any_value(s)), true, "]");
}

/* The rule's number is set before its node is made: objects hold values that hold objects. */
static int32_t once(struct schema *s, int32_t *rule, const char *name, unsigned type)
{
    if (*rule < 0) {
        *rule = rule_new(&s->b, name, strlen(name), 0);
        int32_t node = 0;
        switch (type) {
        case TYPE_STRING:
            node = any_string(s);
            break;
        case TYPE_INTEGER:
            node = any_number(s, true);
            break;
        case TYPE_NUMBER:
            node = any_number(s, false);
            break;
        case TYPE_ARRAY:
            node = any_array(s);
            break;
        case TYPE_OBJECT:
            node = any_object(s);
            break;
        default: {
            static const unsigned types[] = {TYPE_BOOLEAN, TYPE_NUMBER, TYPE_STRING, TYPE_ARRAY,
                                             TYPE_OBJECT};
            int32_t way[6];
            for (size_t i = 0; i < 5; i++) way[i] = schema_any_of_type(s, types[i]);
            way[5] = node_text(&s->b, "null");
            node = node_alt(&s->b, way, 6);
        }
        }
        rule_define(&s->b, *rule, node);
    }
    return node_call(&s->b, *rule);
}

int32_t schema_any_value(struct schema *s) { return once(s, &s->any, "any value", TYPE_ANY); }

int32_t schema_any_of_type(struct schema *s, unsigned type)
{
    const int32_t truth[2] = {node_text(&s->b, "true"), node_text(&s->b, "false")};
    switch (type) {
    case TYPE_STRING:
        return once(s, &s->any_string, "a string", type);
    case TYPE_INTEGER:
        return once(s, &s->any_integer, "an integer", type);
    case TYPE_NUMBER:
        return once(s, &s->any_number, "a number", type);
    case TYPE_ARRAY:
        return once(s, &s->any_array, "an array", type);
    case TYPE_OBJECT:
        return once(s, &s->any_object, "an object", type);
    case TYPE_BOOLEAN:
        return node_alt(&s->b, truth, 2);
    default:
        return node_text(&s->b, "null");
    }
}

/* ---- given values ---- */

int32_t schema_string_literal(struct schema *s, const char *text, size_t n)
{
    /* spelled as node_json_class() spells characters: each in one way */
    struct buf out;
    buf_init(&out, 8 * GRAMMAR_MAX_TEXT_BYTES);
    buf_putc(&out, '"');
    for (size_t i = 0; i < n; i++) {
        static const char escaped[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
        const unsigned char c = (unsigned char)text[i];
        const char *at = c ? strchr(escaped, c) : NULL;
        if (at)
            buf_printf(&out, "\\%c", letter[at - escaped]);
        else if (c < 0x20)
            buf_printf(&out, "\\u%04x", c);
        else
            buf_putc(&out, text[i]);
    }
    buf_putc(&out, '"');
    int32_t node = 0;
    if (out.is_failed)
        grammar_fail(&s->b, ERR_MEMORY, "no memory for the schema");
    else
        node = node_literal(&s->b, out.data, out.n_bytes);
    buf_release(&out);
    return node;
}

static int32_t literal(struct schema *s, struct json v, int depth);

static int32_t literal_list(struct schema *s, struct json v, int depth)
{
    const bool is_object = json_type(v) == JSON_OBJECT;
    struct node_list items = {0};
    struct json_iter it = json_iter(v);
    const char *key = NULL;
    size_t n_key = 0;
    struct json x;
    while (json_next(&it, is_object ? &key : NULL, is_object ? &n_key : NULL, &x)) {
        if (items.n) node_list_push(&s->b, &items, space_comma(s));
        if (is_object) {
            node_list_push(&s->b, &items, schema_string_literal(s, key, n_key));
            node_list_push(&s->b, &items, space_colon(s));
        }
        if (!node_list_push(&s->b, &items, literal(s, x, depth + 1))) break;
    }
    int32_t inner = node_seq(&s->b, items.v, items.n);
    if (items.n == 0) inner = node_never(&s->b);
    const int32_t node =
        schema_brackets(s, is_object ? "{" : "[", inner, items.n == 0, is_object ? "}" : "]");
    node_list_release(&items);
    return node;
}

static int32_t literal(struct schema *s, struct json v, int depth)
{
    const char *text = NULL;
    size_t n = 0;
    if (depth == MAX_LITERAL_DEPTH)
        return grammar_fail(&s->b, ERR_LIMIT,
                            "a value of enum or const is nested more than %d deep",
                            MAX_LITERAL_DEPTH);
    switch (json_type(v)) {
    case JSON_STRING:
        json_str(v, &text, &n);
        return schema_string_literal(s, text, n);
    case JSON_ARRAY:
    case JSON_OBJECT:
        return literal_list(s, v, depth);
    case JSON_NULL:
        return node_text(&s->b, "null");
    default:
        break;
    }
    struct buf out;
    buf_init(&out, 4096);
    struct json_writer w = json_writer(&out);
    bool truth = false;
    int64_t i = 0;
    double d = 0;
    if (json_bool(v, &truth))
        json_boolean(&w, truth);
    else if (json_i64(v, &i))
        json_int(&w, i);
    else if (json_f64(v, &d))
        json_double(&w, d);
    int32_t node = 0;
    if (out.is_failed)
        grammar_fail(&s->b, ERR_MEMORY, "no memory for the schema");
    else
        node = node_literal(&s->b, out.data, out.n_bytes);
    buf_release(&out);
    return node;
}

int32_t schema_literal(struct schema *s, struct json v) { return literal(s, v, 0); }
