/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_lex.c - a template's text cut into tokens, white space already taken away.
 *
 * Between tags everything is data. What of it stays follows jinja2 with trim_blocks and
 * lstrip_blocks, as transformers sets them:
 *
 *     text {%- tag     white space in front goes      -%} text     white space behind goes
 *       {% tag         blanks from the line's begin   %}\n         the line's end goes
 *       {%+ tag        nothing goes                   +%}\n        nothing goes
 *     {{ and }}        nothing goes, but with -
 *
 * Comments are cut out by the same rules, {% raw %} gives data, and the last line end of the whole
 * template goes. All kinds of line ends become \n first. Inside a tag brackets are counted, so that
 * }} may close two dicts.
 *
 * Time is linear in the text. Begin reading at jinja_lex().
 */
#include <stdio.h>

#include "text/chat_parts.h"
#include "text/jinja_parts.h"
#include "text/unicode.h"

#define FIRST_TOKENS ((size_t)64)

struct lexer {
    const char *s, *end; /* what is left */
    int32_t line;
    bool is_line_start; /* nothing but trimmed text since the last line end */
    char open[256];     /* brackets around the place */
    size_t n_open;
    struct jinja_token *token;
    size_t n, cap;
    struct arena *arena;
    struct err *err;
};

static bool syntax(struct lexer *x, const char *text)
{
    return err_set(x->err, ERR_FORMAT, "the chat template, line %d: %s", (int)x->line, text);
}

static bool push(struct lexer *x, enum jinja_token_kind kind, const char *s, size_t n)
{
    if (x->n == x->cap) {
        const size_t cap = x->cap ? 2 * x->cap : FIRST_TOKENS; /* far from overflow: 1 a byte */
        struct jinja_token *grown = arena_array(x->arena, cap, sizeof *grown, x->err);
        if (!grown) return false;
        if (x->n) memcpy(grown, x->token, x->n * sizeof *grown);
        x->token = grown;
        x->cap = cap;
    }
    x->token[x->n++] = (struct jinja_token){kind, x->line, s, n};
    return true;
}

static bool is_at(const struct lexer *x, const char *s)
{
    const size_t n = strlen(s);
    return (size_t)(x->end - x->s) >= n && memcmp(x->s, s, n) == 0;
}

/* Steps over `n` bytes and counts the lines in them. */
static void step(struct lexer *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x->line += x->s[i] == '\n';
    x->s += n;
}

/* The bytes of white space at the front. */
static size_t count_space(const char *s, size_t n)
{
    const struct chat_span t = chat_trim(s, n);
    return t.n ? (size_t)(t.s - s) : n;
}

/* ---- the borders of tags ---- */

/* Behind a tag, comment or raw: `-` was seen, or a line end goes unless `+` was seen. */
static void close_tag(struct lexer *x, char sign, bool trims_line)
{
    const char *s = x->s;
    if (sign == '-')
        step(x, count_space(x->s, (size_t)(x->end - x->s)));
    else if (sign != '+' && trims_line && is_at(x, "\n"))
        step(x, 1);
    x->is_line_start = x->s > s && x->s[-1] == '\n';
}

/* A closing border at the place: its length with the sign, or 0. */
static size_t closing(const struct lexer *x, const char *border, bool has_plus, char *sign)
{
    *sign = 0;
    if (is_at(x, border)) return strlen(border);
    if (x->s == x->end || (*x->s != '-' && !(has_plus && *x->s == '+'))) return 0;
    struct lexer behind = *x;
    behind.s++;
    if (!is_at(&behind, border)) return 0;
    *sign = *x->s;
    return strlen(border) + 1;
}

/* The data in front of a tag, without what lstrip_blocks and - take from its end. */
static bool push_data(struct lexer *x, const char *s, size_t n, char sign, bool is_block)
{
    const int32_t line = x->line;
    size_t keep = n;
    if (sign == '-') {
        keep = chat_trim_right(s, n).n;
    } else if (is_block && sign != '+') {
        size_t begin = n;
        while (begin > 0 && s[begin - 1] != '\n') begin--;
        if ((begin > 0 || x->is_line_start) && chat_trim(s + begin, n - begin).n == 0) keep = begin;
    }
    if (keep && !push(x, JT_DATA, s, keep)) return false;
    x->line = line;
    return true;
}

/* ---- comments and raw ---- */

static bool skip_comment(struct lexer *x)
{
    for (struct lexer y = *x; y.s < y.end; step(&y, 1)) {
        char sign = 0;
        const size_t n = closing(&y, "#}", true, &sign);
        if (!n) continue;
        step(&y, n);
        *x = y;
        close_tag(x, sign, true);
        return true;
    }
    return syntax(x, "a comment is not closed; add #}");
}

/* If a tag `{% word %}` is at the place: behind it, and its signs. */
static bool word_tag(const struct lexer *x, const char *word, struct lexer *behind, char *open_sign,
                     char *close_sign)
{
    struct lexer y = *x;
    if (!is_at(&y, "{%")) return false;
    step(&y, 2);
    *open_sign = 0;
    if (y.s < y.end && (*y.s == '-' || *y.s == '+')) {
        *open_sign = *y.s;
        step(&y, 1);
    }
    step(&y, count_space(y.s, (size_t)(y.end - y.s)));
    if (!is_at(&y, word)) return false;
    step(&y, strlen(word));
    step(&y, count_space(y.s, (size_t)(y.end - y.s)));
    const size_t n = closing(&y, "%}", true, close_sign);
    if (!n) return false;
    step(&y, n);
    *behind = y;
    return true;
}

/* Behind {% raw %}: data up to {% endraw %}. */
static bool lex_raw(struct lexer *x)
{
    const char *begin = x->s;
    char open_sign = 0, close_sign = 0;
    for (struct lexer y = *x, behind; y.s < y.end; step(&y, 1)) {
        if (*y.s != '{' || !word_tag(&y, "endraw", &behind, &open_sign, &close_sign)) continue;
        if (!push_data(x, begin, (size_t)(y.s - begin), open_sign, true)) return false;
        x->s = behind.s;
        x->line = behind.line;
        close_tag(x, close_sign, true);
        return true;
    }
    return syntax(x, "a raw block is not closed; add {% endraw %}");
}

/* ---- inside a tag ---- */

static bool is_name_begin(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static int hex_value(char c)
{
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The digits of \x, \u, \U or an octal escape, most `n_most` of them; -1 if fewer than n_least. */
static int64_t escape_number(const char **s, const char *end, int base, int n_least, int n_most)
{
    int64_t v = 0;
    int n = 0;
    for (; n < n_most && *s < end; n++, (*s)++) {
        const int d = hex_value(**s);
        if (d < 0 || d >= base) break;
        v = v * base + d;
    }
    return n < n_least ? -1 : v;
}

/* One escape behind its backslash; false if it is none that Python knows (it stays as it is). */
static bool unescape(const char **s, const char *end, int64_t *cp)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char c = **s;
    const char *at = c ? strchr(from, c) : NULL;
    if (at) {
        *cp = to[at - from];
        (*s)++;
        return true;
    }
    if (c >= '0' && c <= '7') {
        *cp = escape_number(s, end, 8, 1, 3);
        return true;
    }
    if (c != 'x' && c != 'u' && c != 'U') return false;
    const int n = c == 'x' ? 2 : c == 'u' ? 4 : 8;
    (*s)++;
    *cp = escape_number(s, end, 16, n, n);
    return true;
}

static bool lex_string(struct lexer *x)
{
    const char quote = *x->s, *s = x->s + 1;
    while (s < x->end && *s != quote) s += *s == '\\' ? 2 : 1;
    if (s >= x->end) return syntax(x, "a text in quotes is not closed; add the quote");
    const char *in = x->s + 1, *end = s;
    char *text = arena_array(x->arena, (size_t)(end - in) + 1, 1, x->err); /* an escape shrinks */
    if (!text) return false;
    size_t n = 0;
    while (in < end) {
        int64_t cp = 0;
        const char *escape = in + 1;
        if (*in == '\\' && *escape == '\n') {
            in += 2;
        } else if (*in == '\\' && unescape(&escape, end, &cp)) {
            if (cp < 0 || cp > 0x10FFFF)
                return syntax(x, "an escape in a text is no character; give \\n, \\xHH or \\uHHHH");
            const bool is_half = cp >= 0xD800 && cp < 0xE000; /* UTF-8 cannot hold it */
            n += (size_t)utf8_encode(is_half ? 0xFFFD : (uint32_t)cp, (uint8_t *)text + n);
            in = escape;
        } else {
            text[n++] = *in++;
        }
    }
    if (!push(x, JT_STRING, text, n)) return false;
    step(x, (size_t)(s + 1 - x->s));
    return true;
}

static size_t count_digits(const char *s, const char *end)
{
    size_t n = 0;
    while (s + n < end &&
           (is_digit(s[n]) || (s[n] == '_' && n && s + n + 1 < end && is_digit(s[n + 1]))))
        n++;
    return n;
}

static bool lex_number(struct lexer *x)
{
    const char *s = x->s, *end = x->end;
    bool is_float = false;
    if (*s == '0' && s + 2 < end && strchr("xXoObB", s[1]) && hex_value(s[2]) >= 0) {
        s += 2;
        while (s < end && (hex_value(*s) >= 0 || *s == '_')) s++;
        const bool ok = push(x, JT_INT, x->s, (size_t)(s - x->s));
        x->s = s;
        return ok;
    }
    s += count_digits(s, end);
    const bool is_behind_dot =
        x->n && x->token[x->n - 1].kind == JT_OP && *x->token[x->n - 1].s == '.';
    if (!is_behind_dot && s + 1 < end && *s == '.' && is_digit(s[1])) {
        s += 1 + count_digits(s + 1, end);
        is_float = true;
    }
    if (!is_behind_dot && s < end && (*s == 'e' || *s == 'E')) {
        const char *e = s + 1;
        if (e < end && (*e == '+' || *e == '-')) e++;
        if (e < end && is_digit(*e)) {
            s = e + count_digits(e, end);
            is_float = true;
        }
    }
    const bool ok = push(x, is_float ? JT_FLOAT : JT_INT, x->s, (size_t)(s - x->s));
    x->s = s;
    return ok;
}

/* Counts brackets; false if one closes that is not open. */
static bool count_bracket(struct lexer *x, char c)
{
    static const char opens[] = "([{", closes[] = ")]}";
    const char *o = strchr(opens, c), *e = strchr(closes, c);
    if (o) {
        if (x->n_open == sizeof x->open) return syntax(x, "more than 256 brackets are open");
        x->open[x->n_open++] = closes[o - opens];
    } else if (e) {
        if (!x->n_open || x->open[x->n_open - 1] != c)
            return syntax(x, "a bracket closes that was not opened");
        x->n_open--;
    }
    return true;
}

static bool lex_operator(struct lexer *x)
{
    static const char *const ops[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                      "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                      ">",  "<",  "=",  ".",  ":",  "|",  ",", NULL};
    for (size_t i = 0; ops[i]; i++) {
        if (!is_at(x, ops[i])) continue;
        const size_t n = strlen(ops[i]);
        if (n == 1 && !count_bracket(x, *ops[i])) return false;
        x->s += n;
        return push(x, JT_OP, ops[i], n);
    }
    char text[64];
    (void)snprintf(text, sizeof text, "the character with code %d has no place in a tag",
                   (unsigned char)*x->s);
    return syntax(x, text);
}

/* Behind {{ or {%: tokens up to the border that closes it. */
static bool lex_tag(struct lexer *x, bool is_block)
{
    const char *border = is_block ? "%}" : "}}";
    x->n_open = 0;
    while (x->s < x->end) {
        char sign = 0;
        const size_t n = x->n_open ? 0 : closing(x, border, is_block, &sign);
        const size_t n_space = n ? 0 : count_space(x->s, (size_t)(x->end - x->s));
        if (n) {
            if (!push(x, is_block ? JT_BLOCK_END : JT_PRINT_END, border, 2)) return false;
            step(x, n);
            close_tag(x, sign, is_block);
            return true;
        }
        if (n_space) {
            step(x, n_space);
            continue;
        }
        const char *s = x->s;
        bool ok = false;
        if (is_name_begin(*s)) {
            while (s < x->end && (is_name_begin(*s) || is_digit(*s))) s++;
            ok = push(x, JT_NAME, x->s, (size_t)(s - x->s));
            x->s = s;
        } else if (is_digit(*s)) {
            ok = lex_number(x);
        } else if (*s == '\'' || *s == '"') {
            ok = lex_string(x);
        } else {
            ok = lex_operator(x);
        }
        if (!ok) return false;
    }
    return syntax(x, is_block ? "a tag is not closed; add %}" : "a tag is not closed; add }}");
}

/* ---- data ---- */

/* Data up to the next tag, and the tag. */
static bool lex_part(struct lexer *x)
{
    const char *s = x->s;
    while (s < x->end && !(*s == '{' && s + 1 < x->end && strchr("{%#", s[1]) && s[1])) s++;
    const size_t n = (size_t)(s - x->s);
    if (s == x->end) return push(x, JT_DATA, x->s, n) && (step(x, n), true);
    const char kind = s[1];
    const char sign = s + 2 < x->end && (s[2] == '-' || s[2] == '+') ? s[2] : 0;
    if (!push_data(x, x->s, n, sign, kind != '{')) return false;
    step(x, n);
    struct lexer behind;
    char open_sign = 0, close_sign = 0;
    if (kind == '%' && word_tag(x, "raw", &behind, &open_sign, &close_sign)) {
        x->s = behind.s;
        x->line = behind.line;
        close_tag(x, close_sign, false);
        x->is_line_start = close_sign == '-' && x->is_line_start;
        return lex_raw(x);
    }
    step(x, sign ? 3 : 2);
    if (kind == '#') return skip_comment(x);
    const enum jinja_token_kind begin = kind == '%' ? JT_BLOCK_BEGIN : JT_PRINT_BEGIN;
    return push(x, begin, kind == '%' ? "{%" : "{{", 2) && lex_tag(x, kind == '%');
}

/* A copy in which each line ends in \n, and the last line in nothing. */
static char *unify_lines(const char *text, size_t *n, struct arena *a, struct err *err)
{
    char *s = arena_copy(a, text, *n, err);
    if (!s) return NULL;
    size_t out = 0;
    for (size_t i = 0; i < *n; i++) {
        if (s[i] == '\r' && i + 1 < *n && s[i + 1] == '\n') continue;
        s[out++] = s[i] == '\r' ? '\n' : s[i];
    }
    if (out && s[out - 1] == '\n') out--;
    s[out] = 0;
    *n = out;
    return s;
}

struct jinja_token *jinja_lex(const char *text, size_t n, struct arena *a, struct err *err)
{
    const char *s = unify_lines(text, &n, a, err);
    if (!s) return NULL;
    struct lexer x = {
        .s = s, .end = s + n, .line = 1, .is_line_start = true, .arena = a, .err = err};
    while (x.s < x.end)
        if (!lex_part(&x)) return NULL;
    return push(&x, JT_END, "", 0) ? x.token : NULL;
}

void jinja_token_name(const struct jinja_token *t, char out[64])
{
    const int n = t->n > 40 ? 40 : (int)t->n;
    if (t->kind == JT_END)
        (void)snprintf(out, 64, "the end of the template");
    else if (t->kind == JT_DATA)
        (void)snprintf(out, 64, "text");
    else
        (void)snprintf(out, 64, "\"%.*s\"", n, t->s);
}
