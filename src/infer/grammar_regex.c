/* SPDX-License-Identifier: Apache-2.0
 *
 * grammar_regex.c - the part of regular expressions that is regular: ECMA-262's syntax (which JSON
 * Schema names) with what Python shares of it.
 *
 * Groups capture nothing, since nobody asks; lazy quantifiers are read as plain ones, because a
 * language does not depend on them. Back references, lookaround, word borders and flags in the text
 * are refused by name. Where the two dialects differ, a class is read so that its texts match in
 * both: \s is the six ASCII spaces while \S leaves out all Unicode ones, `.` leaves out all line
 * ends. \d and \w are ASCII.
 *
 * Anchors: ^ and $ are nodes that match nothing, until lean() has looked at what stands first, or
 * last, in each alternative: behind an anchor nothing is put, elsewhere "any text", if the
 * expression may match in the middle. An anchor that is left over is refused.
 */
#include "infer/grammar_regex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"

struct regex {
    struct grammar_builder *b;
    const char *s;
    size_t at, n;
    unsigned flags;
    int depth;
    int32_t begin, end; /* the nodes that stand for ^ and $ */
    int32_t any;        /* what may stand before and behind */
};

static int peek(const struct regex *p) { return p->at < p->n ? (unsigned char)p->s[p->at] : -1; }

static bool next_is(const struct regex *p, const char *s)
{
    const size_t n = strlen(s);
    return p->n - p->at >= n && memcmp(p->s + p->at, s, n) == 0;
}

static int32_t wrong(struct regex *p, const char *what)
{
    return grammar_fail(p->b, ERR_FORMAT, "regular expression, at byte %zu: %s", p->at, what);
}

static int32_t refused(struct regex *p, const char *what)
{
    return grammar_fail(p->b, ERR_UNSUPPORTED,
                        "regular expression, at byte %zu: %s; write it without", p->at, what);
}

/* ---- characters and classes ---- */

static void add_space(struct charset *s, bool all)
{
    charset_add(s, '\t', '\r');
    charset_add(s, ' ', ' ');
    if (!all) return;
    static const struct char_range more[] = {
        {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680}, {0x1c, 0x1f},     {0x2000, 0x200a},
        {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) charset_add(s, more[i].lo, more[i].hi);
}

static void add_property(struct charset *s, unsigned class)
{
    uint32_t from = 0;
    bool is_in = false;
    for (uint32_t cp = 0; cp <= CODE_POINT_MAX + 1; cp++) {
        const bool has = cp <= CODE_POINT_MAX && (uc_class(cp) & class) != 0;
        if (has && !is_in) from = cp;
        if (!has && is_in) charset_add(s, from, cp - 1);
        is_in = has;
    }
}

/* \p{L} and the like, behind the p. */
static bool read_property(struct regex *p, struct charset *s)
{
    static const struct {
        const char *name;
        unsigned class;
    } rows[] = {{"{L}", UC_LETTER},
                {"{Letter}", UC_LETTER},
                {"{N}", UC_NUMBER},
                {"{Number}", UC_NUMBER},
                {"{White_Space}", UC_SPACE}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (next_is(p, rows[i].name)) {
            p->at += strlen(rows[i].name);
            add_property(s, rows[i].class);
            return true;
        }
    refused(p, "of the Unicode properties only \\p{L} and \\p{N} are known");
    return false;
}

/* A class escape: adds its characters; false if `c` is none. `is_inverse`: of a class whose other
 * characters are meant. */
static bool add_class(struct regex *p, int c, bool is_inverse, struct charset *s)
{
    struct charset set = {0};
    switch (c) {
    case 'd':
    case 'D':
        charset_add(&set, '0', '9');
        break;
    case 'w':
    case 'W':
        charset_add(&set, '0', '9');
        charset_add(&set, 'A', 'Z');
        charset_add(&set, 'a', 'z');
        charset_add(&set, '_', '_');
        break;
    case 's':
    case 'S':
        add_space(&set, (c == 'S') != is_inverse);
        break;
    case 'p':
    case 'P':
        read_property(p, &set);
        break;
    default:
        return false;
    }
    if (c < 'a') charset_invert(&set);
    charset_add_all(s, &set);
    charset_release(&set);
    return true;
}

static int hex_value(int c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_hex(struct regex *p, int least, int most, uint32_t *cp)
{
    int n = 0;
    *cp = 0;
    for (; n < most && hex_value(peek(p)) >= 0; n++, p->at++)
        *cp = *cp << 4 | (uint32_t)hex_value(peek(p));
    if (n >= least && *cp <= CODE_POINT_MAX) return true;
    wrong(p, "a hexadecimal number of a character is missing");
    return false;
}

static bool read_u(struct regex *p, uint32_t *cp)
{
    uint32_t low = 0;
    if (peek(p) == '{') {
        p->at++;
        if (!read_hex(p, 1, 6, cp)) return false;
        if (peek(p) != '}') return wrong(p, "\\u{...} has no end") != 0;
        p->at++;
        return true;
    }
    if (!read_hex(p, 4, 4, cp)) return false;
    if (*cp < 0xd800 || *cp > 0xdbff || !next_is(p, "\\u")) return true;
    p->at += 2; /* two halves of a pair */
    if (!read_hex(p, 4, 4, &low)) return false;
    if (low < 0xdc00 || low > 0xdfff) return wrong(p, "half of a surrogate pair") != 0;
    *cp = 0x10000 + ((*cp - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* The character behind a backslash. */
static bool read_escape(struct regex *p, bool is_in_class, uint32_t *cp)
{
    static const char names[] = "nrtfv0", values[] = "\n\r\t\f\v\0";
    const int c = peek(p);
    if (c < 0) return wrong(p, "nothing stands behind the last \\") != 0;
    const char *name = strchr(names, c);
    p->at++;
    if (c == 'b' && is_in_class) {
        *cp = '\b';
        return true;
    }
    if (c && name) {
        *cp = (unsigned char)values[name - names];
        return c != '0' || peek(p) < '0' || peek(p) > '9' ||
               refused(p, "octal escapes are not possible") != 0;
    }
    if (c == 'x') return read_hex(p, 2, 2, cp);
    if (c == 'u') return read_u(p, cp);
    if (c == 'c') {
        const int letter = peek(p) | 32;
        if (letter < 'a' || letter > 'z') return wrong(p, "\\c wants a letter") != 0;
        *cp = (uint32_t)(letter - 'a' + 1);
        p->at++;
        return true;
    }
    if (c >= '1' && c <= '9') return refused(p, "back references are not possible") != 0;
    if (c == 'b' || c == 'B') return refused(p, "word borders (\\b) are not possible") != 0;
    if (c == 'k') return refused(p, "back references are not possible") != 0;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return wrong(p, "this letter behind \\ means nothing") != 0;
    if (c < 0x80) {
        *cp = (uint32_t)c;
        return true;
    }
    return wrong(p, "\\ stands before a letter that needs none") != 0;
}

static bool read_plain(struct regex *p, uint32_t *cp)
{
    bool is_bad = false;
    p->at += (size_t)utf8_decode((const uint8_t *)p->s + p->at, p->n - p->at, cp, &is_bad);
    return !is_bad || wrong(p, "this is not UTF-8") != 0;
}

static int32_t class_node(struct regex *p, const struct charset *s)
{
    return p->flags & REGEX_JSON ? node_json_class(p->b, s) : node_class(p->b, s);
}

/* One end of a range, or a class (then *is_class, already added). */
static bool read_member(struct regex *p, bool is_inverse, struct charset *s, uint32_t *cp,
                        bool *is_class)
{
    *is_class = false;
    if (peek(p) < 0) return wrong(p, "a class has no end; ] is missing") != 0;
    if (peek(p) != '\\') return read_plain(p, cp);
    p->at++;
    const int c = peek(p);
    if (c > 0 && strchr("dDwWsSpP", c)) {
        p->at++;
        *is_class = add_class(p, c, is_inverse, s);
        return !grammar_has_failed(p->b);
    }
    return read_escape(p, true, cp);
}

static int32_t read_class(struct regex *p)
{
    struct charset s = {0};
    int32_t node = 0;
    p->at++;
    const bool is_inverse = peek(p) == '^';
    p->at += is_inverse;
    while (!grammar_has_failed(p->b)) {
        uint32_t lo = 0, hi = 0;
        bool is_class = false;
        if (peek(p) == ']') {
            p->at++;
            if (is_inverse) charset_invert(&s);
            node = class_node(p, &s);
            break;
        }
        if (!read_member(p, is_inverse, &s, &lo, &is_class)) break;
        if (is_class) continue;
        hi = lo;
        if (peek(p) == '-' && p->at + 1 < p->n && p->s[p->at + 1] != ']') {
            p->at++;
            if (!read_member(p, is_inverse, &s, &hi, &is_class)) break;
            if (is_class) { /* [a-\d]: three things */
                charset_add(&s, '-', '-');
                hi = lo;
            }
        }
        if (hi < lo) {
            wrong(p, "a range of characters is the wrong way");
            break;
        }
        charset_add(&s, lo, hi);
    }
    charset_release(&s);
    return node;
}

static int32_t one_char(struct regex *p, uint32_t cp)
{
    struct charset s = {0};
    charset_add(&s, cp, cp);
    const int32_t node = class_node(p, &s);
    charset_release(&s);
    return node;
}

static int32_t not_line_end(struct regex *p)
{
    struct charset s = {0};
    charset_add(&s, '\n', '\n');
    charset_add(&s, '\r', '\r');
    charset_add(&s, 0x2028, 0x2029);
    charset_invert(&s);
    const int32_t node = class_node(p, &s);
    charset_release(&s);
    return node;
}

/* ---- structure ---- */

static int32_t read_alternatives(struct regex *p);

static bool skip_group_name(struct regex *p)
{
    while (peek(p) >= 0 && peek(p) != '>') p->at++;
    if (peek(p) < 0) return false;
    p->at++;
    return true;
}

static int32_t read_group(struct regex *p)
{
    if (p->depth == GRAMMAR_MAX_DEPTH)
        return grammar_fail(p->b, ERR_LIMIT,
                            "regular expression: more than %d groups within groups",
                            GRAMMAR_MAX_DEPTH);
    p->at++;
    if (next_is(p, "?:"))
        p->at += 2;
    else if (next_is(p, "?=") || next_is(p, "?!") || next_is(p, "?<=") || next_is(p, "?<!"))
        return refused(p, "lookaround is not possible");
    else if (next_is(p, "?<") || next_is(p, "?P<")) {
        if (!skip_group_name(p)) return wrong(p, "the name of a group has no end");
    } else if (peek(p) == '?')
        return refused(p, "this kind of group is not possible");
    p->depth++;
    const int32_t node = read_alternatives(p);
    if (grammar_has_failed(p->b)) return 0;
    if (peek(p) != ')') return wrong(p, "a group has no end; ) is missing");
    p->at++;
    p->depth--;
    return node;
}

static int32_t read_item(struct regex *p)
{
    uint32_t cp = 0;
    struct charset s = {0};
    int32_t node = 0;
    const int c = peek(p);
    switch (c) {
    case '(':
        return read_group(p);
    case '[':
        return read_class(p);
    case '.':
        p->at++;
        return not_line_end(p);
    case '^':
        p->at++;
        return p->begin;
    case '$':
        p->at++;
        return p->end;
    case '*':
    case '+':
    case '?':
        return wrong(p, "nothing stands here to be repeated");
    case '\\':
        p->at++;
        if (peek(p) > 0 && strchr("dDwWsSpP", peek(p))) {
            const int name = peek(p);
            p->at++;
            add_class(p, name, false, &s);
            node = class_node(p, &s);
            charset_release(&s);
            return node;
        }
        return read_escape(p, false, &cp) ? one_char(p, cp) : 0;
    default:
        return read_plain(p, &cp) ? one_char(p, cp) : 0;
    }
}

static bool read_number(struct regex *p, int64_t *out)
{
    const size_t begin = p->at;
    *out = 0;
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++)
        if (*out < (int64_t)1 << 40) *out = 10 * *out + (peek(p) - '0');
    return p->at > begin;
}

/* {m}, {m,} or {m,n}; false if it is none, and nothing is read: then { is a letter. */
static bool read_braces(struct regex *p, int64_t *min, int64_t *max)
{
    const size_t begin = p->at++;
    bool ok = read_number(p, min);
    *max = *min;
    if (ok && peek(p) == ',') {
        p->at++;
        if (!read_number(p, max)) *max = -1;
    }
    ok = ok && peek(p) == '}';
    p->at = ok ? p->at + 1 : begin;
    return ok;
}

static int32_t read_repeats(struct regex *p, int32_t item)
{
    int64_t min = 0, max = -1;
    switch (peek(p)) {
    case '*':
        p->at++;
        break;
    case '+':
        p->at++, min = 1;
        break;
    case '?':
        p->at++, max = 1;
        break;
    case '{':
        if (!read_braces(p, &min, &max)) return item;
        break;
    default:
        return item;
    }
    if (max >= 0 && min > max) return wrong(p, "{m,n} is the wrong way");
    if (item == p->begin || item == p->end) return wrong(p, "an anchor cannot be repeated");
    if (peek(p) == '?') p->at++;
    if (peek(p) == '+') return refused(p, "possessive quantifiers are not possible");
    if (peek(p) == '*' || peek(p) == '?') return wrong(p, "two quantifiers in a row");
    return node_repeat(p->b, item, min, max);
}

static int32_t read_sequence(struct regex *p)
{
    struct node_list items = {0};
    while (!grammar_has_failed(p->b) && peek(p) >= 0 && peek(p) != '|' && peek(p) != ')') {
        const int32_t item = read_item(p);
        if (!grammar_has_failed(p->b)) node_list_push(p->b, &items, read_repeats(p, item));
    }
    const int32_t node = node_seq(p->b, items.v, items.n);
    node_list_release(&items);
    return node;
}

static int32_t read_alternatives(struct regex *p)
{
    struct node_list ways = {0};
    do {
        if (ways.n) p->at++;
        if (!node_list_push(p->b, &ways, read_sequence(p))) break;
    } while (!grammar_has_failed(p->b) && peek(p) == '|');
    const int32_t node = node_alt(p->b, ways.v, ways.n);
    node_list_release(&ways);
    return node;
}

/* ---- anchors ---- */

static bool contains(const struct regex *p, int32_t node, int32_t anchor)
{
    const struct grammar_node *x = &p->b->node[node];
    if (node == anchor) return true;
    if (x->kind == NODE_REPEAT) return contains(p, x->a, anchor);
    if (x->kind != NODE_SEQ && x->kind != NODE_ALT) return false;
    for (int32_t i = 0; i < x->b; i++)
        if (contains(p, p->b->kid[x->a + i], anchor)) return true;
    return false;
}

static int32_t beside(struct regex *p, int32_t node, bool is_front)
{
    const int32_t items[2] = {is_front ? p->any : node, is_front ? node : p->any};
    return node_seq(p->b, items, 2);
}

/* `node` with "any text" in front (or behind) wherever the anchor does not forbid it. */
static int32_t lean(struct regex *p, int32_t node, bool is_front)
{
    const int32_t anchor = is_front ? p->begin : p->end;
    if (node == anchor) return node_empty(p->b);
    if (grammar_has_failed(p->b) || !contains(p, node, anchor)) return beside(p, node, is_front);
    const struct grammar_node x = p->b->node[node];
    if (x.kind == NODE_REPEAT) {
        const int32_t ways[2] = {p->any, lean(p, x.a, is_front)};
        if (x.b == 0 && x.c == 1) return node_alt(p->b, ways, 2);
        return refused(p, "an anchor within a repetition is not possible");
    }
    struct node_list items = {0};
    const int32_t edge = is_front ? 0 : x.b - 1;
    for (int32_t i = 0; i < x.b; i++) {
        const int32_t kid = p->b->kid[x.a + i];
        if (x.kind == NODE_ALT || (i == edge && contains(p, kid, anchor)))
            node_list_push(p->b, &items, lean(p, kid, is_front));
        else
            node_list_push(p->b, &items, kid);
    }
    int32_t out =
        x.kind == NODE_ALT ? node_alt(p->b, items.v, items.n) : node_seq(p->b, items.v, items.n);
    const bool has_edge = x.kind == NODE_SEQ && contains(p, p->b->kid[x.a + edge], anchor);
    node_list_release(&items);
    if (x.kind == NODE_SEQ && !has_edge) out = beside(p, out, is_front);
    return out;
}

/* ---- all of it ---- */

int32_t regex_node(struct grammar_builder *b, const char *text, size_t n, unsigned flags)
{
    struct regex p = {.b = b, .s = text, .n = n, .flags = flags};
    if (n > GRAMMAR_MAX_TEXT_BYTES)
        return grammar_fail(b, ERR_LIMIT, "%zu bytes of regular expression; at most %zu", n,
                            GRAMMAR_MAX_TEXT_BYTES);
    p.begin = node_never(b);
    p.end = node_never(b);
    p.any = node_empty(b);
    if (flags & REGEX_SEARCH) {
        struct charset all = {0};
        charset_add(&all, 0, CODE_POINT_MAX);
        p.any = node_repeat(b, class_node(&p, &all), 0, -1);
        charset_release(&all);
    }
    int32_t node = read_alternatives(&p);
    if (!grammar_has_failed(b) && p.at < n) wrong(&p, "there is no group to close");
    if (grammar_has_failed(b)) return 0;
    node = lean(&p, node, true);
    node = lean(&p, node, false);
    if (!grammar_has_failed(b) && (contains(&p, node, p.begin) || contains(&p, node, p.end)))
        return refused(&p, "an anchor (^ or $) in the middle is not possible");
    return node;
}

struct grammar *grammar_from_regex(const char *text, size_t n, const char *name, struct err *err)
{
    struct grammar_builder b;
    grammar_build_init(&b);
    const int32_t root = rule_new(&b, "", 0, 0);
    rule_define(&b, root, regex_node(&b, text, n, 0));
    struct grammar *g = grammar_compile(&b, name, err);
    grammar_build_release(&b);
    return g;
}
