/* SPDX-License-Identifier: Apache-2.0
 *
 * python_args.c - Python literals to JSON, a character at a time.
 *
 * Strings of either quote with their escapes, numbers, True, False, None, lists, tuples (as arrays)
 * and dictionaries. What is none of these (a name, a formula) becomes a string of its letters where
 * they are few, else the call is bad. Commas are written when something follows them, so one at the
 * end of a list does no harm. Triple quotes and joined strings are not literals that models write.
 */
#include "text/python_args.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
    AT_NAME, /* of an argument, or the ) */
    IN_NAME,
    AT_EQUALS,
    AT_VALUE,
    IN_WORD, /* a number, True, ... */
    IN_STRING,
    IN_ESCAPE,
    IN_HEX,
    AFTER_VALUE,
};

void json_escape_byte(struct buf *out, char c)
{
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *s = shorts; *s; s += 2)
        if (*s == c) {
            buf_putc(out, '\\');
            buf_putc(out, s[1]);
            return;
        }
    if ((unsigned char)c < 0x20)
        buf_printf(out, "\\u%04x", (unsigned)(unsigned char)c);
    else
        buf_putc(out, c);
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static bool is_word(char c) { return isalnum((unsigned char)c) || strchr("_.+-", c); }

/* A JSON number, as it is. */
static bool is_number(const char *s)
{
    if (*s == '-') s++;
    if (!isdigit((unsigned char)*s)) return false;
    if (*s == '0' && isdigit((unsigned char)s[1])) return false;
    s += strspn(s, "0123456789");
    if (*s == '.') {
        if (!isdigit((unsigned char)*++s)) return false;
        s += strspn(s, "0123456789");
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '+' || *s == '-') s++;
        if (!isdigit((unsigned char)*s)) return false;
        s += strspn(s, "0123456789");
    }
    return !*s;
}

static void put_word(struct python_args *a, struct buf *out)
{
    static const char *const words[][2] = {{"True", "true"}, {"False", "false"}, {"None", "null"},
                                           {"true", "true"}, {"false", "false"}, {"null", "null"}};
    a->word[a->n_word] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(a->word, words[i][0]) == 0) {
            buf_puts(out, words[i][1]);
            return;
        }
    if (is_number(a->word))
        buf_puts(out, a->word);
    else
        buf_printf(out, "\"%s\"", a->word); /* letters that need no escape */
}

static bool add_letter(struct python_args *a, char c)
{
    if (a->n_word == PYTHON_MAX_WORD) return false;
    a->word[a->n_word++] = c;
    return true;
}

static void put_comma(struct python_args *a, struct buf *out)
{
    if (a->has_comma) buf_puts(out, ", ");
    a->has_comma = false;
}

static bool open_value(struct python_args *a, char c, struct buf *out)
{
    if (c == '\'' || c == '"') {
        put_comma(a, out);
        a->quote = c;
        a->state = IN_STRING;
        buf_putc(out, '"');
        return true;
    }
    if (c == '[' || c == '(' || c == '{') {
        if (a->depth == PYTHON_MAX_DEPTH) return false;
        put_comma(a, out);
        a->close[a->depth++] = c == '{' ? '}' : ']';
        buf_putc(out, c == '{' ? '{' : '[');
        return true;
    }
    if (!is_word(c)) return false;
    put_comma(a, out);
    a->n_word = 0;
    a->state = IN_WORD;
    return add_letter(a, c);
}

/* Behind a value, or in front of one where a bracket may close. */
static enum python_step close_value(struct python_args *a, char c, struct buf *out)
{
    const char as_json = c == ')' ? ']' : c;
    if (a->depth == 0 && c == ')') {
        buf_putc(out, '}');
        return PYTHON_END;
    }
    if (a->depth == 0 || as_json != a->close[a->depth - 1]) return PYTHON_BAD;
    a->has_comma = false;
    buf_putc(out, a->close[--a->depth]);
    a->state = AFTER_VALUE;
    return PYTHON_GOES_ON;
}

static enum python_step after_value(struct python_args *a, char c, struct buf *out)
{
    if (is_space(c)) return PYTHON_GOES_ON;
    if (c == ',') {
        a->has_comma = true;
        a->state = a->depth ? AT_VALUE : AT_NAME;
        return PYTHON_GOES_ON;
    }
    if (c == ':' && a->depth && a->close[a->depth - 1] == '}') {
        buf_puts(out, ": ");
        a->state = AT_VALUE;
        return PYTHON_GOES_ON;
    }
    return close_value(a, c, out);
}

static enum python_step in_string(struct python_args *a, char c, struct buf *out)
{
    if (c == '\\') {
        a->state = IN_ESCAPE;
    } else if (c == a->quote) {
        buf_putc(out, '"');
        a->state = AFTER_VALUE;
    } else {
        json_escape_byte(out, c);
    }
    return PYTHON_GOES_ON;
}

static enum python_step in_escape(struct python_args *a, char c, struct buf *out)
{
    static const char from[] = "nrtbf0", to[] = "\n\r\t\b\f";
    const char *at = c ? strchr(from, c) : NULL;
    a->state = IN_STRING;
    if (c == 'x' || c == 'u') {
        a->state = IN_HEX;
        a->n_hex = 0;
        a->n_wanted = c == 'x' ? 2 : 4;
        buf_puts(out, c == 'x' ? "\\u00" : "\\u");
    } else if (at) {
        json_escape_byte(out, to[at - from]);
    } else if (c == '\\' || c == '\'' || c == '"') {
        json_escape_byte(out, c);
    } else if (c != '\n') { /* an unknown one is what it looks like */
        buf_puts(out, "\\\\");
        json_escape_byte(out, c);
    }
    return PYTHON_GOES_ON;
}

static enum python_step in_hex(struct python_args *a, char c, struct buf *out)
{
    if (!isxdigit((unsigned char)c)) return PYTHON_BAD;
    buf_putc(out, c);
    if (++a->n_hex == a->n_wanted) a->state = IN_STRING;
    return PYTHON_GOES_ON;
}

static enum python_step at_name(struct python_args *a, char c, struct buf *out)
{
    if (is_space(c)) return PYTHON_GOES_ON;
    if (c == ')') {
        buf_puts(out, a->has_argument ? "}" : "{}");
        return PYTHON_END;
    }
    if (!isalpha((unsigned char)c) && c != '_') return PYTHON_BAD;
    a->n_word = 0;
    a->state = IN_NAME;
    add_letter(a, c);
    return PYTHON_GOES_ON;
}

static enum python_step in_name(struct python_args *a, char c, struct buf *out)
{
    if (a->state == IN_NAME && (isalnum((unsigned char)c) || c == '_'))
        return add_letter(a, c) ? PYTHON_GOES_ON : PYTHON_BAD;
    a->state = AT_EQUALS;
    if (is_space(c)) return PYTHON_GOES_ON;
    if (c != '=') return PYTHON_BAD;
    buf_printf(out, "%s\"%.*s\": ", a->has_argument ? ", " : "{", a->n_word, a->word);
    a->has_argument = true;
    a->has_comma = false;
    a->state = AT_VALUE;
    return PYTHON_GOES_ON;
}

enum python_step python_args_put(struct python_args *a, char c, struct buf *out)
{
    switch (a->state) {
    case AT_NAME:
        return at_name(a, c, out);
    case IN_NAME:
    case AT_EQUALS:
        return in_name(a, c, out);
    case AT_VALUE:
        if (is_space(c)) return PYTHON_GOES_ON;
        if (open_value(a, c, out)) return PYTHON_GOES_ON;
        return a->depth ? close_value(a, c, out) : PYTHON_BAD;
    case IN_WORD:
        if (is_word(c)) return add_letter(a, c) ? PYTHON_GOES_ON : PYTHON_BAD;
        put_word(a, out);
        a->state = AFTER_VALUE;
        return after_value(a, c, out);
    case IN_STRING:
        return in_string(a, c, out);
    case IN_ESCAPE:
        return in_escape(a, c, out);
    case IN_HEX:
        return in_hex(a, c, out);
    default:
        return after_value(a, c, out);
    }
}
