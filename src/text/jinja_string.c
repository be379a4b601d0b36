/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_string.c - what Python's str can do, with marks kept: search, strip, split, replace, join,
 * and the case of letters.
 *
 * Positions are code points to the template and bytes to us. Case goes by simple mappings of ASCII,
 * Latin, Greek and Cyrillic letters; the rest stays as it is.
 */
#include "text/chat_parts.h"
#include "text/jinja_parts.h"
#include "text/unicode.h"

static bool is_continuation(char c) { return ((uint8_t)c & 0xC0) == 0x80; }

size_t jinja_chars(const struct jinja_value *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->u.str.n; i++) n += !is_continuation(v->u.str.s[i]);
    return n;
}

size_t jinja_char_at(const struct jinja_value *v, size_t i)
{
    const struct jinja_text *t = &v->u.str;
    size_t at = 0;
    for (; at < t->n; at++)
        if (!is_continuation(t->s[at]) && i-- == 0) break;
    return at;
}

size_t jinja_find(const struct jinja_value *v, size_t from, const struct jinja_value *what)
{
    const struct jinja_text *t = &v->u.str, *w = &what->u.str;
    if (w->n == 0) return from <= t->n ? from : SIZE_MAX;
    if (from > t->n || w->n > t->n - from) return SIZE_MAX;
    const char *p = memmem(t->s + from, t->n - from, w->s, w->n);
    return p ? (size_t)(p - t->s) : SIZE_MAX;
}

/* ---- strip ---- */

static size_t decode(const struct jinja_text *t, size_t i, uint32_t *cp)
{
    bool is_bad = false;
    const int n = utf8_decode((const uint8_t *)t->s + i, t->n - i, cp, &is_bad);
    if (is_bad) *cp = UINT32_MAX;
    return (size_t)n;
}

static bool is_stripped(uint32_t cp, const struct jinja_value *chars)
{
    if (chars->type != JV_STRING) return cp != UINT32_MAX && chat_is_space(cp);
    for (size_t i = 0, n = 0; i < chars->u.str.n; i += n) {
        uint32_t c = 0;
        n = decode(&chars->u.str, i, &c);
        if (c == cp) return true;
    }
    return false;
}

struct jinja_value jinja_strip(const struct jinja_value *v, const struct jinja_value *chars,
                               unsigned sides)
{
    const struct jinja_text *t = &v->u.str;
    size_t begin = 0, end = t->n;
    uint32_t cp = 0;
    while ((sides & JINJA_LEFT) && begin < end) {
        const size_t n = decode(t, begin, &cp);
        if (!is_stripped(cp, chars)) break;
        begin += n;
    }
    while ((sides & JINJA_RIGHT) && end > begin) {
        size_t at = end - 1;
        while (at > begin && is_continuation(t->s[at])) at--;
        (void)decode(t, at, &cp);
        if (!is_stripped(cp, chars)) break;
        end = at;
    }
    return jinja_cut(v, begin, end);
}

/* ---- case ---- */

/* Runs of capitals with their small letters: `step` 1 for blocks side by side, 2 for pairs. */
static const struct case_run {
    uint32_t first, last; /* capitals */
    uint32_t offset;      /* to the small letter */
    uint32_t step;
} case_runs[] = {
    /* clang-format off */
    /* first   last   offset step */
    {  'A',    'Z',    32, 1},
    { 0xC0,   0xD6,    32, 1},
    { 0xD8,   0xDE,    32, 1},
    {0x100,  0x12E,     1, 2},
    {0x132,  0x136,     1, 2},
    {0x139,  0x147,     1, 2},
    {0x14A,  0x176,     1, 2},
    {0x179,  0x17D,     1, 2},
    {0x1CD,  0x1DB,     1, 2},
    {0x1DE,  0x1EE,     1, 2},
    {0x1F8,  0x21E,     1, 2},
    {0x386,  0x386,    38, 1},
    {0x388,  0x38A,    37, 1},
    {0x38E,  0x38F,    63, 1},
    {0x391,  0x3A1,    32, 1},
    {0x3A3,  0x3AB,    32, 1},
    {0x400,  0x40F,    80, 1},
    {0x410,  0x42F,    32, 1},
    {0x460,  0x480,     1, 2},
    {0x48A,  0x4BE,     1, 2},
    {0x4D0,  0x52E,     1, 2},
    {0x531,  0x556,    48, 1},
    {0x1E00, 0x1E94,    1, 2},
    {0x1EA0, 0x1EFE,    1, 2},
    /* clang-format on */
};

static uint32_t to_lower(uint32_t cp)
{
    for (size_t i = 0; i < ARRAY_LEN(case_runs); i++) {
        const struct case_run *r = &case_runs[i];
        if (cp >= r->first && cp <= r->last && (cp - r->first) % r->step == 0)
            return cp + r->offset;
    }
    return cp;
}

static uint32_t to_upper(uint32_t cp)
{
    if (cp == 0xFF) return 0x178;
    if (cp == 0x3C2) return 0x3A3; /* the sigma at a word's end */
    for (size_t i = 0; i < ARRAY_LEN(case_runs); i++) {
        const struct case_run *r = &case_runs[i];
        const uint32_t c = cp - r->offset;
        if (cp >= r->offset && c >= r->first && c <= r->last && (c - r->first) % r->step == 0)
            return c;
    }
    return cp;
}

bool jinja_recase(struct jinja *j, const struct jinja_value *v, enum jinja_case c,
                  struct jinja_value *out)
{
    const struct jinja_text *t = &v->u.str;
    struct jinja_out o = {.j = j};
    bool is_word = false; /* the character in front is a letter */
    for (size_t i = 0, n = 0; i < t->n && !j->is_failed; i += n) {
        uint32_t cp = 0;
        n = decode(t, i, &cp);
        const bool raises =
            c == JC_UPPER || (c == JC_CAPITALIZE && i == 0) || (c >= JC_TITLE && !is_word);
        uint8_t bytes[4];
        const uint32_t to = cp == UINT32_MAX ? cp : raises ? to_upper(cp) : to_lower(cp);
        is_word = cp != UINT32_MAX &&
                  (c == JC_WORDS ? !chat_is_space(cp) && !(cp < 0x80 && strchr("-({[<", (int)cp))
                                 : (uc_class(cp) & UC_LETTER) != 0);
        if (cp == 0xDF && raises) { /* the German double s */
            jinja_put(&o, c == JC_UPPER ? "SS" : "Ss", 2, t->mark ? t->mark[i] : v->is_markup);
            continue;
        }
        if (to == cp) {
            jinja_put_text(&o, v, i, i + n);
            continue;
        }
        const int n_bytes = utf8_encode(to, bytes);
        jinja_put(&o, (const char *)bytes, (size_t)n_bytes, t->mark ? t->mark[i] : v->is_markup);
    }
    return jinja_out_end(&o, out);
}

/* ---- replace, split, join ---- */

bool jinja_escape(struct jinja *j, const struct jinja_value *v, struct jinja_value *out)
{
    static const char from[] = "&<>'\"";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const struct jinja_text *t = &v->u.str;
    struct jinja_out o = {.j = j};
    *out = *v;
    if (v->is_safe) return true;
    for (size_t i = 0; i < t->n && !j->is_failed; i++) {
        const char *at = t->s[i] ? strchr(from, t->s[i]) : NULL;
        if (at)
            jinja_put(&o, to[at - from], strlen(to[at - from]), false);
        else
            jinja_put_text(&o, v, i, i + 1);
    }
    if (!jinja_out_end(&o, out)) return false;
    out->is_safe = true;
    return true;
}

bool jinja_replace(struct jinja *j, const struct jinja_value *v, const struct jinja_value *from,
                   const struct jinja_value *to, int64_t max, struct jinja_value *out)
{
    const size_t n = v->u.str.n, n_from = from->u.str.n;
    struct jinja_out o = {.j = j};
    size_t at = 0;
    for (int64_t i = 0; (max < 0 || i < max) && jinja_charge(j, 1); i++) {
        const size_t found = jinja_find(v, at, from);
        if (found == SIZE_MAX) break;
        jinja_put_text(&o, v, at, found);
        jinja_put_text(&o, to, 0, to->u.str.n);
        at = found + n_from;
        if (n_from) continue;
        if (at == n) break; /* an empty text is found between all characters */
        const struct jinja_value rest = jinja_cut(v, at, n);
        const size_t n_char = jinja_char_at(&rest, 1);
        jinja_put_text(&o, v, at, at + n_char);
        at += n_char;
    }
    if (j->is_failed) return false;
    jinja_put_text(&o, v, at, n);
    return jinja_out_end(&o, out);
}

/* The next separator at or behind `at`: where it begins and ends; false at the end. */
static bool find_separator(const struct jinja_value *v, size_t at, const struct jinja_value *sep,
                           size_t *begin, size_t *end)
{
    if (sep->type == JV_STRING) {
        *begin = jinja_find(v, at, sep);
        *end = *begin == SIZE_MAX ? 0 : *begin + sep->u.str.n;
        return *begin != SIZE_MAX;
    }
    const struct jinja_text *t = &v->u.str;
    uint32_t cp = 0;
    size_t n = 0;
    for (; at < t->n; at += n) {
        n = decode(t, at, &cp);
        if (cp != UINT32_MAX && chat_is_space(cp)) break;
    }
    *begin = at;
    for (; at < t->n; at += n) {
        n = decode(t, at, &cp);
        if (cp == UINT32_MAX || !chat_is_space(cp)) break;
    }
    *end = at;
    return *begin < t->n;
}

/* All parts; then, if there may be fewer, those in front (or behind) are the text between. */
static bool split_all(struct jinja *j, const struct jinja_value *v, const struct jinja_value *sep,
                      struct jinja_list *l)
{
    const bool is_space = sep->type != JV_STRING;
    size_t at = 0, begin = 0, end = 0;
    while (jinja_charge(j, 1) && find_separator(v, at, sep, &begin, &end)) {
        if ((!is_space || begin > at) && !jinja_list_add(j, l, jinja_cut(v, at, begin)))
            return false;
        at = end;
    }
    if (is_space && at == v->u.str.n) return !j->is_failed;
    return jinja_list_add(j, l, jinja_cut(v, at, v->u.str.n));
}

/* One value from the begin of `first` to the end of `last`, both cut from v. */
static struct jinja_value span(const struct jinja_value *v, const struct jinja_value *first,
                               const struct jinja_value *last)
{
    const size_t begin = (size_t)(first->u.str.s - v->u.str.s);
    return jinja_cut(v, begin, (size_t)(last->u.str.s - v->u.str.s) + last->u.str.n);
}

bool jinja_split(struct jinja *j, const struct jinja_value *v, const struct jinja_value *sep,
                 int64_t max, bool from_right, struct jinja_value *out)
{
    if (sep->type == JV_STRING && sep->u.str.n == 0)
        return jinja_fail(j, ERR_FORMAT, "split: the separator is empty");
    struct jinja_list *l = jinja_list_new(j, 0);
    if (!l || !jinja_charge(j, v->u.str.n / 64) || !split_all(j, v, sep, l)) return false;
    *out = jinja_of_list(l, JV_LIST);
    if (max < 0 || (uint64_t)max >= l->n) return true;
    const size_t n = (size_t)max + 1, n_more = l->n - n;
    if (from_right) {
        const struct jinja_value first = jinja_cut(v, 0, 0);
        l->item[n_more] = span(v, &first, &l->item[n_more]);
        l->item += n_more;
    } else {
        const struct jinja_value last = jinja_cut(v, v->u.str.n, v->u.str.n);
        l->item[n - 1] = span(v, &l->item[n - 1], &last);
    }
    l->n = l->cap = n;
    return true;
}

bool jinja_split_lines(struct jinja *j, const struct jinja_value *v, bool keeps,
                       struct jinja_value *out)
{
    const struct jinja_text *t = &v->u.str;
    struct jinja_list *l = jinja_list_new(j, 0);
    if (!l) return false;
    for (size_t i = 0, begin = 0; i <= t->n; i++) {
        const bool is_end = i == t->n;
        if (!is_end && t->s[i] != '\n' && t->s[i] != '\r') continue;
        const size_t end = i;
        if (!is_end && t->s[i] == '\r' && i + 1 < t->n && t->s[i + 1] == '\n') i++;
        if (is_end && begin == t->n) break;
        if (!jinja_list_add(j, l, jinja_cut(v, begin, keeps && !is_end ? i + 1 : end)))
            return false;
        begin = i + 1;
    }
    *out = jinja_of_list(l, JV_LIST);
    return jinja_charge(j, t->n / 64);
}

bool jinja_join(struct jinja *j, const struct jinja_list *l, const struct jinja_value *sep,
                struct jinja_value *out)
{
    struct jinja_out o = {.j = j};
    for (size_t i = 0; i < l->n; i++) {
        if (!jinja_charge(j, 1)) return false;
        if (i && !jinja_put_str(&o, sep)) return false;
        if (!jinja_put_str(&o, &l->item[i])) return false;
    }
    return jinja_out_end(&o, out);
}
