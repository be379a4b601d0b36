/* SPDX-License-Identifier: Apache-2.0
 *
 * grammar_gbnf.c - the grammar language that llama.cpp's users know.
 *
 *     # a comment
 *     root   ::= greeting (", " name){1,3} [.!]?
 *     name   ::= [A-Z] [a-z]+ | "Zo\u00eb"
 *
 * A rule goes on over line ends within brackets and behind `|`, and otherwise ends with its line,
 * unless the next line does not begin a rule. Classes are of characters, not bytes; `.` is any
 * character. Repetition binds to the item before it. Written as recursive descent, its depth
 * bounded by GRAMMAR_MAX_DEPTH; begin reading at read_rules().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "infer/grammar_build.h"
#include "text/unicode.h"

enum { MAX_NAME = 128 };

struct gbnf {
    struct grammar_builder b;
    const char *s;
    size_t at, n;
    int32_t line;
    int depth;
};

static int peek(const struct gbnf *p) { return p->at < p->n ? (unsigned char)p->s[p->at] : -1; }

static int32_t wrong(struct gbnf *p, const char *what)
{
    char seen[24] = "the end";
    const int c = peek(p);
    if (c > ' ' && c < 127)
        snprintf(seen, sizeof seen, "'%c'", c);
    else if (c >= 0)
        snprintf(seen, sizeof seen, c == '\n' ? "the line's end" : "byte %d", c);
    return grammar_fail(&p->b, ERR_FORMAT, "line %d: %s, not %s", (int)p->line, what, seen);
}

/* Skips blanks and comments, and line ends too where a rule may go on. */
static void skip_space(struct gbnf *p, bool over_lines)
{
    for (;; p->at++) {
        const int c = peek(p);
        if (c == '#') {
            while (peek(p) >= 0 && peek(p) != '\n') p->at++;
            p->at--;
        } else if (c == '\n') {
            if (!over_lines) return;
            p->line++;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            return;
        }
    }
}

static bool is_name_char(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static size_t name_length(const struct gbnf *p)
{
    size_t n = 0;
    while (p->at + n < p->n && is_name_char((unsigned char)p->s[p->at + n])) n++;
    return n;
}

/* True if a rule's NAME ::= stands here. */
static bool is_at_rule(const struct gbnf *p)
{
    size_t at = p->at + name_length(p);
    if (at == p->at) return false;
    while (at < p->n && (p->s[at] == ' ' || p->s[at] == '\t')) at++;
    return p->n - at >= 3 && memcmp(p->s + at, "::=", 3) == 0;
}

static int hex_value(int c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_hex(struct gbnf *p, int n_digits, uint32_t *cp)
{
    for (int i = 0; i < n_digits; i++, p->at++) {
        const int v = hex_value(peek(p));
        if (v < 0) {
            wrong(p, "a hexadecimal digit is missing behind \\x, \\u or \\U");
            return false;
        }
        *cp = *cp << 4 | (uint32_t)v;
    }
    if (*cp <= CODE_POINT_MAX && (*cp < 0xd800 || *cp > 0xdfff)) return true;
    grammar_fail(&p->b, ERR_FORMAT, "line %d: U+%04X is no character", (int)p->line, (unsigned)*cp);
    return false;
}

/* One character of a literal or class, escaped or not. */
static bool read_char(struct gbnf *p, uint32_t *cp)
{
    static const char names[] = "nrt\"\\[]-/^'", values[] = "\n\r\t\"\\[]-/^'";
    bool is_bad = false;
    if (peek(p) < 0 || peek(p) == '\n') {
        wrong(p, "a quotation mark or ] is missing");
        return false;
    }
    if (peek(p) != '\\') {
        p->at += (size_t)utf8_decode((const uint8_t *)p->s + p->at, p->n - p->at, cp, &is_bad);
        if (!is_bad) return true;
        grammar_fail(&p->b, ERR_FORMAT, "line %d: this is not UTF-8", (int)p->line);
        return false;
    }
    p->at++;
    const int c = peek(p);
    const char *name = c > 0 ? strchr(names, c) : NULL;
    *cp = 0;
    if (name) {
        *cp = (unsigned char)values[name - names];
        p->at++;
        return true;
    }
    const int n_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (n_digits == 0) {
        wrong(p, "behind \\ stands one of n r t \" \\ [ ] - / ^ ' x u U");
        return false;
    }
    p->at++;
    return read_hex(p, n_digits, cp);
}

static int32_t read_literal(struct gbnf *p)
{
    int32_t node = 0;
    char *text = malloc(p->n - p->at); /* an escape is never longer than its text */
    size_t n = 0;
    uint32_t cp = 0;
    p->at++;
    if (!text) return grammar_fail(&p->b, ERR_MEMORY, "no memory for the grammar");
    for (;;) {
        if (peek(p) == '"') {
            p->at++;
            node = node_literal(&p->b, text, n);
            break;
        }
        if (!read_char(p, &cp)) break;
        n += (size_t)utf8_encode(cp, (uint8_t *)text + n);
    }
    free(text);
    return node;
}

static int32_t read_class(struct gbnf *p)
{
    struct charset set = {0};
    int32_t node = 0;
    p->at++;
    const bool is_inverse = peek(p) == '^';
    p->at += is_inverse;
    for (;;) {
        uint32_t lo = 0, hi = 0;
        if (peek(p) == ']') {
            p->at++;
            if (is_inverse) charset_invert(&set);
            node = node_class(&p->b, &set);
            break;
        }
        if (!read_char(p, &lo)) break;
        hi = lo;
        if (peek(p) == '-' && p->at + 1 < p->n && p->s[p->at + 1] != ']') {
            p->at++;
            if (!read_char(p, &hi)) break;
        }
        if (hi < lo) {
            grammar_fail(&p->b, ERR_FORMAT, "line %d: the range U+%04X-U+%04X is the wrong way",
                         (int)p->line, (unsigned)lo, (unsigned)hi);
            break;
        }
        charset_add(&set, lo, hi);
    }
    charset_release(&set);
    return node;
}

static bool read_number(struct gbnf *p, int64_t *out)
{
    *out = 0;
    if (peek(p) < '0' || peek(p) > '9') {
        wrong(p, "a repetition is {m}, {m,}, {,n} or {m,n}");
        return false;
    }
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++)
        if (*out < (int64_t)1 << 40) *out = 10 * *out + (peek(p) - '0');
    return true;
}

/* The postfixes behind an item. */
static int32_t read_repeats(struct gbnf *p, int32_t item)
{
    for (;;) {
        skip_space(p, p->depth > 0);
        int64_t min = 0, max = -1;
        switch (peek(p)) {
        case '*':
            break;
        case '+':
            min = 1;
            break;
        case '?':
            max = 1;
            break;
        case '{':
            p->at++;
            skip_space(p, true);
            if (peek(p) != ',' && !read_number(p, &min)) return 0;
            skip_space(p, true);
            if (peek(p) == ',') {
                p->at++;
                skip_space(p, true);
                if (peek(p) != '}' && !read_number(p, &max)) return 0;
            } else {
                max = min;
            }
            skip_space(p, true);
            if (peek(p) != '}') return wrong(p, "a repetition ends with }");
            if (max >= 0 && min > max)
                return grammar_fail(&p->b, ERR_FORMAT, "line %d: {%lld,%lld} is the wrong way",
                                    (int)p->line, (long long)min, (long long)max);
            break;
        default:
            return item;
        }
        p->at++;
        item = node_repeat(&p->b, item, min, max);
        if (grammar_has_failed(&p->b)) return 0;
    }
}

static int32_t read_alternatives(struct gbnf *p);

static int32_t read_name(struct gbnf *p)
{
    const size_t n = name_length(p);
    if (n > MAX_NAME) return wrong(p, "a name has at most 128 letters");
    int32_t rule = rule_find(&p->b, p->s + p->at, n);
    if (rule < 0) rule = rule_new(&p->b, p->s + p->at, n, p->line);
    p->at += n;
    return node_call(&p->b, rule);
}

static int32_t read_item(struct gbnf *p)
{
    const int c = peek(p);
    if (c == '"') return read_literal(p);
    if (c == '[') return read_class(p);
    if (is_name_char(c)) return read_name(p);
    if (c == '.') {
        struct charset all = {0};
        p->at++;
        charset_add(&all, 0, CODE_POINT_MAX);
        const int32_t node = node_class(&p->b, &all);
        charset_release(&all);
        return node;
    }
    if (c != '(') return wrong(p, "here stands a name, \"text\", [class], . or (group)");
    if (p->depth == GRAMMAR_MAX_DEPTH)
        return grammar_fail(&p->b, ERR_LIMIT, "line %d: more than %d groups within groups",
                            (int)p->line, GRAMMAR_MAX_DEPTH);
    p->at++;
    p->depth++;
    const int32_t node = read_alternatives(p);
    if (peek(p) != ')') return wrong(p, "a group ends with )");
    p->at++;
    p->depth--;
    return node;
}

/* True if the sequence ends here. Outside of groups a line end ends it when a rule or nothing
 * follows. */
static bool is_sequence_end(struct gbnf *p)
{
    skip_space(p, p->depth > 0);
    if (peek(p) == '\n') {
        skip_space(p, true);
        if (peek(p) == '|') return true;
        return peek(p) < 0 || is_at_rule(p);
    }
    return peek(p) < 0 || peek(p) == '|' || peek(p) == ')';
}

static int32_t read_sequence(struct gbnf *p)
{
    struct node_list items = {0};
    while (!grammar_has_failed(&p->b) && !is_sequence_end(p)) {
        const int32_t item = read_item(p);
        if (grammar_has_failed(&p->b)) break;
        if (!node_list_push(&p->b, &items, read_repeats(p, item))) break;
    }
    const int32_t node = node_seq(&p->b, items.v, items.n);
    node_list_release(&items);
    return node;
}

static int32_t read_alternatives(struct gbnf *p)
{
    struct node_list ways = {0};
    for (;;) {
        skip_space(p, true);
        if (p->depth == 0 && is_at_rule(p)) { /* NAME ::= and nothing */
            node_list_push(&p->b, &ways, node_empty(&p->b));
            break;
        }
        const int32_t way = read_sequence(p);
        if (grammar_has_failed(&p->b) || !node_list_push(&p->b, &ways, way)) break;
        if (peek(p) != '|') break;
        p->at++;
    }
    const int32_t node = node_alt(&p->b, ways.v, ways.n);
    node_list_release(&ways);
    return node;
}

static void read_rule(struct gbnf *p)
{
    const size_t n = name_length(p);
    if (!is_at_rule(p)) {
        wrong(p, "a rule begins with NAME ::=");
        return;
    }
    if (n > MAX_NAME) {
        wrong(p, "a name has at most 128 letters");
        return;
    }
    const char *name = p->s + p->at;
    const int32_t line = p->line;
    int32_t rule = rule_find(&p->b, name, n);
    if (rule < 0) rule = rule_new(&p->b, name, n, line);
    if (grammar_has_failed(&p->b)) return;
    if (p->b.rule[rule].node >= 0) {
        grammar_fail(&p->b, ERR_FORMAT, "line %d: the rule '%.*s' is here a second time", (int)line,
                     (int)n, name);
        return;
    }
    p->at += n;
    skip_space(p, false);
    p->at += 3;
    rule_define(&p->b, rule, read_alternatives(p));
    if (!grammar_has_failed(&p->b) && peek(p) == ')') wrong(p, "there is no group to close");
}

static void read_rules(struct gbnf *p)
{
    rule_new(&p->b, "root", 4, 0); /* the first rule is where the answer begins */
    for (;;) {
        skip_space(p, true);
        if (peek(p) < 0 || grammar_has_failed(&p->b)) break;
        read_rule(p);
    }
    if (grammar_has_failed(&p->b)) return;
    for (size_t i = 0; i < p->b.n_rules; i++) {
        const struct grammar_rule *r = &p->b.rule[i];
        if (r->node >= 0) continue;
        if (i == 0)
            grammar_fail(&p->b, ERR_FORMAT, "there is no rule 'root'; it says what the answer is");
        else
            grammar_fail(&p->b, ERR_FORMAT, "line %d: there is no rule '%.60s'", (int)r->line,
                         p->b.text + r->name);
        return;
    }
}

struct grammar *grammar_from_gbnf(const char *text, size_t n, const char *name, struct err *err)
{
    if (n > GRAMMAR_MAX_TEXT_BYTES) {
        err_set(err, ERR_LIMIT, "%s: %zu bytes of grammar; at most %zu", name, n,
                GRAMMAR_MAX_TEXT_BYTES);
        return NULL;
    }
    struct gbnf p = {.s = text, .n = n, .line = 1};
    grammar_build_init(&p.b);
    read_rules(&p);
    struct grammar *g = grammar_compile(&p.b, name, err);
    grammar_build_release(&p.b);
    return g;
}
