/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_print.c - values as text: Python's str(), repr() and json.dumps(), "%" and format().
 *
 * Texts keep their marks through all of them, so a message inside a list inside tojson is still the
 * message's. Brackets, quotes and escapes that appear around them are nobody's words and are not
 * markup: no special token is made of them.
 *
 * json.dumps is what transformers' tojson calls: ensure_ascii off unless asked for, ", " and ": "
 * on one line, "," at line ends with an indent.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "text/chat_parts.h"
#include "text/jinja_parts.h"
#include "text/unicode.h"

static void put_words(struct jinja_out *o, const char *s) { jinja_put(o, s, strlen(s), false); }

/* ---- numbers ---- */

static void put_float(struct jinja_out *o, double f, bool is_markup, bool is_json)
{
    if (!isfinite(f)) {
        const char *s = isnan(f) ? (is_json ? "NaN" : "nan") : is_json ? "Infinity" : "inf";
        if (f < 0) jinja_put(o, "-", 1, is_markup);
        jinja_put(o, s, strlen(s), is_markup);
        return;
    }
    struct buf b;
    struct err err = {0};
    buf_init(&b, 400);
    chat_json_float(&b, f);
    if (buf_check(&b, "a number", &err))
        jinja_put(o, b.data, b.n_bytes, is_markup);
    else
        (void)jinja_fail(o->j, err.code, "%s", err.text);
    buf_release(&b);
}

static void put_number(struct jinja_out *o, const struct jinja_value *v, bool is_json)
{
    char text[32];
    if (v->type == JV_FLOAT) {
        put_float(o, v->u.f, v->is_markup, is_json);
        return;
    }
    if (v->type == JV_BOOL)
        (void)snprintf(text, sizeof text, "%s",
                       is_json ? (v->u.b ? "true" : "false") : (v->u.b ? "True" : "False"));
    else
        (void)snprintf(text, sizeof text, "%" PRId64, v->u.i);
    jinja_put(o, text, strlen(text), v->is_markup);
}

/* ---- str and repr ---- */

/* str.isprintable() of a character above ASCII, nearly: separators, controls, private use. */
static bool is_printable(uint32_t cp)
{
    if (cp < 0xA1) return cp >= 0x20 && cp < 0x7F;
    if (uc_class(cp) & UC_SPACE) return false;
    return cp != 0xAD && !(cp >= 0x200B && cp <= 0x200F) && !(cp >= 0x202A && cp <= 0x202E) &&
           !(cp >= 0x2060 && cp <= 0x206F) && !(cp >= 0xE000 && cp <= 0xF8FF) && cp != 0xFEFF &&
           !(cp >= 0xFFF0 && cp <= 0xFFFB) && cp < 0xE0000;
}

static void put_escape(struct jinja_out *o, uint32_t cp)
{
    char text[16];
    if (cp < 0x100)
        (void)snprintf(text, sizeof text, "\\x%02x", (unsigned)cp);
    else
        (void)snprintf(text, sizeof text, cp < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)cp);
    put_words(o, text);
}

static void put_quoted(struct jinja_out *o, const struct jinja_value *v)
{
    const struct jinja_text *t = &v->u.str;
    const bool is_double = t->n && memchr(t->s, '\'', t->n) && !memchr(t->s, '"', t->n);
    const char quote = is_double ? '"' : '\'';
    jinja_put(o, &quote, 1, false);
    for (size_t i = 0, used = 0; i < t->n && !o->j->is_failed; i += used) {
        static const char special[] = "\\\n\r\t";
        uint32_t cp = 0;
        bool is_bad = false;
        used = (size_t)utf8_decode((const uint8_t *)t->s + i, t->n - i, &cp, &is_bad);
        const char *at = cp && cp < 0x80 ? strchr(special, (int)cp) : NULL;
        if (at) {
            const char *const to[] = {"\\\\", "\\n", "\\r", "\\t"};
            put_words(o, to[at - special]);
        } else if (cp == (uint32_t)quote) {
            const char text[2] = {'\\', quote};
            jinja_put(o, text, 2, false);
        } else if (is_bad || is_printable(cp)) {
            jinja_put_text(o, v, i, i + used);
        } else {
            put_escape(o, cp);
        }
    }
    jinja_put(o, &quote, 1, false);
}

static bool put_list_repr(struct jinja_out *o, const struct jinja_value *v)
{
    const struct jinja_list *l = v->u.list;
    const bool is_tuple = v->type == JV_TUPLE;
    put_words(o, is_tuple ? "(" : "[");
    for (size_t i = 0; i < l->n; i++) {
        if (i) put_words(o, ", ");
        if (!jinja_put_repr(o, &l->item[i])) return false;
    }
    put_words(o, is_tuple ? l->n == 1 ? ",)" : ")" : "]");
    return !o->j->is_failed;
}

static bool put_dict_repr(struct jinja_out *o, const struct jinja_dict *d)
{
    put_words(o, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i) put_words(o, ", ");
        if (!jinja_put_repr(o, &d->key[i])) return false;
        put_words(o, ": ");
        if (!jinja_put_repr(o, &d->value[i])) return false;
    }
    put_words(o, "}");
    return !o->j->is_failed;
}

bool jinja_put_repr(struct jinja_out *o, const struct jinja_value *v)
{
    if (!jinja_enter(o->j)) return false;
    bool ok = true;
    switch (v->type) {
    case JV_STRING:
        put_quoted(o, v);
        break;
    case JV_LIST:
    case JV_TUPLE:
        ok = put_list_repr(o, v);
        break;
    case JV_DICT:
        ok = put_dict_repr(o, v->u.dict);
        break;
    case JV_UNDEFINED:
        put_words(o, "Undefined");
        break;
    default:
        ok = jinja_put_str(o, v);
        break;
    }
    jinja_leave(o->j);
    return ok && !o->j->is_failed;
}

bool jinja_put_str(struct jinja_out *o, const struct jinja_value *v)
{
    switch (v->type) {
    case JV_MISSING:
    case JV_UNDEFINED:
        break;
    case JV_NONE:
        jinja_put(o, "None", 4, true);
        break;
    case JV_BOOL:
    case JV_INT:
    case JV_FLOAT:
        put_number(o, v, false);
        break;
    case JV_STRING:
        jinja_put_text(o, v, 0, v->u.str.n);
        break;
    case JV_LIST:
    case JV_TUPLE:
    case JV_DICT:
        return jinja_put_repr(o, v);
    case JV_GENERATOR:
    case JV_NAMESPACE:
    case JV_FUNC:
    case JV_MACRO:
    case JV_LOOP:
        return jinja_fail(o->j, ERR_FORMAT, "%s cannot be printed", jinja_type_name(v));
    }
    return !o->j->is_failed;
}

bool jinja_str(struct jinja *j, const struct jinja_value *v, struct jinja_value *out)
{
    if (v->type == JV_STRING) {
        *out = *v;
        return true;
    }
    struct jinja_out o = {.j = j};
    return jinja_put_str(&o, v) && jinja_out_end(&o, out);
}

/* ---- JSON ---- */

static void put_json_string(struct jinja_out *o, const struct jinja_value *v, bool is_ascii)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const struct jinja_text *t = &v->u.str;
    put_words(o, "\"");
    for (size_t i = 0, used = 0; i < t->n && !o->j->is_failed; i += used) {
        uint32_t cp = 0;
        bool is_bad = false;
        char text[16];
        used = (size_t)utf8_decode((const uint8_t *)t->s + i, t->n - i, &cp, &is_bad);
        const char *at = cp && cp < 0x80 ? strchr(from, (int)cp) : NULL;
        if (at) {
            (void)snprintf(text, sizeof text, "\\%c", to[at - from]);
            put_words(o, text);
        } else if (cp < 0x20 || (is_ascii && cp >= 0x80 && cp < 0x10000)) {
            (void)snprintf(text, sizeof text, "\\u%04x", (unsigned)cp);
            put_words(o, text);
        } else if (is_ascii && cp >= 0x10000) {
            (void)snprintf(text, sizeof text, "\\u%04x\\u%04x",
                           (unsigned)(0xD800 + ((cp - 0x10000) >> 10)),
                           (unsigned)(0xDC00 + (cp & 0x3FF)));
            put_words(o, text);
        } else {
            jinja_put_text(o, v, i, i + used);
        }
    }
    put_words(o, "\"");
}

static void put_line(struct jinja_out *o, const struct jinja_json_style *s, size_t depth)
{
    if (s->indent.type != JV_STRING) return;
    put_words(o, "\n");
    for (size_t i = 0; i < depth && !o->j->is_failed; i++)
        jinja_put_text(o, &s->indent, 0, s->indent.u.str.n);
}

static bool put_json(struct jinja_out *o, const struct jinja_value *v,
                     const struct jinja_json_style *s, size_t depth);

static void put_item_break(struct jinja_out *o, const struct jinja_json_style *s, size_t i,
                           size_t depth)
{
    if (i && s->item)
        jinja_put(o, s->item, s->n_item, false);
    else if (i)
        put_words(o, s->indent.type == JV_STRING ? "," : ", ");
    put_line(o, s, depth);
}

/* A key: texts as they are, the rest in quotes as JSON has it. */
static bool put_key(struct jinja_out *o, const struct jinja_value *k,
                    const struct jinja_json_style *s)
{
    if (k->type == JV_STRING) {
        put_json_string(o, k, s->is_ascii);
    } else if (jinja_is_number(k) || k->type == JV_NONE) {
        put_words(o, "\"");
        if (k->type == JV_NONE)
            put_words(o, "null");
        else
            put_number(o, k, true);
        put_words(o, "\"");
    } else {
        return jinja_fail(o->j, ERR_FORMAT, "tojson: %s is the key of a dict", jinja_type_name(k));
    }
    if (s->key)
        jinja_put(o, s->key, s->n_key, false);
    else
        put_words(o, ": ");
    return !o->j->is_failed;
}

/* The entries in the order of their keys: an insertion sort, whose work is counted. */
static bool sorted_entries(struct jinja *j, const struct jinja_dict *d, size_t *order)
{
    for (size_t i = 0; i < d->n; i++) {
        size_t k = i;
        for (; k > 0; k--) {
            int c = 0;
            if (!jinja_charge(j, 1) || !jinja_order(j, &d->key[order[k - 1]], &d->key[i], &c))
                return false;
            if (c <= 0) break;
            order[k] = order[k - 1];
        }
        order[k] = i;
    }
    return true;
}

static bool put_json_dict(struct jinja_out *o, const struct jinja_dict *d,
                          const struct jinja_json_style *s, size_t depth)
{
    size_t *order = s->is_sorted ? jinja_alloc(o->j, d->n, sizeof *order) : NULL;
    if (s->is_sorted && (!order || !sorted_entries(o->j, d, order))) return false;
    put_words(o, "{");
    for (size_t i = 0; i < d->n; i++) {
        const size_t at = order ? order[i] : i;
        put_item_break(o, s, i, depth + 1);
        if (!put_key(o, &d->key[at], s) || !put_json(o, &d->value[at], s, depth + 1)) return false;
    }
    if (d->n) put_line(o, s, depth);
    put_words(o, "}");
    return !o->j->is_failed;
}

static bool put_json_list(struct jinja_out *o, const struct jinja_list *l,
                          const struct jinja_json_style *s, size_t depth)
{
    put_words(o, "[");
    for (size_t i = 0; i < l->n; i++) {
        put_item_break(o, s, i, depth + 1);
        if (!put_json(o, &l->item[i], s, depth + 1)) return false;
    }
    if (l->n) put_line(o, s, depth);
    put_words(o, "]");
    return !o->j->is_failed;
}

static bool put_json(struct jinja_out *o, const struct jinja_value *v,
                     const struct jinja_json_style *s, size_t depth)
{
    if (!jinja_enter(o->j)) return false;
    bool ok = true;
    if (v->type == JV_STRING)
        put_json_string(o, v, s->is_ascii);
    else if (jinja_is_number(v))
        put_number(o, v, true);
    else if (v->type == JV_NONE)
        put_words(o, "null");
    else if (jinja_is_list(v))
        ok = put_json_list(o, v->u.list, s, depth);
    else if (v->type == JV_DICT)
        ok = put_json_dict(o, v->u.dict, s, depth);
    else
        ok = jinja_fail(o->j, ERR_FORMAT, "tojson: %s is no JSON", jinja_type_name(v));
    jinja_leave(o->j);
    return ok && !o->j->is_failed;
}

bool jinja_put_json(struct jinja_out *o, const struct jinja_value *v,
                    const struct jinja_json_style *style)
{
    return put_json(o, v, style, 0);
}

/* ---- "%" ---- */

struct conversion {
    bool is_left, is_zero;
    int width, precision; /* -1: none */
    char kind;
};

/* Behind a "%": the place behind the conversion, or 0 if it is none that is known. */
static size_t read_conversion(const struct jinja_text *t, size_t i, struct conversion *c)
{
    *c = (struct conversion){.precision = -1};
    for (; i < t->n && (t->s[i] == '-' || t->s[i] == '0'); i++) {
        c->is_left |= t->s[i] == '-';
        c->is_zero |= t->s[i] == '0';
    }
    for (; i < t->n && t->s[i] >= '0' && t->s[i] <= '9'; i++) {
        c->width = 10 * c->width + t->s[i] - '0';
        if (c->width > 1000) return 0;
    }
    if (i < t->n && t->s[i] == '.') {
        c->precision = 0;
        for (i++; i < t->n && t->s[i] >= '0' && t->s[i] <= '9'; i++) {
            c->precision = 10 * c->precision + t->s[i] - '0';
            if (c->precision > 50) return 0;
        }
    }
    if (i == t->n || !strchr("sdifxX", t->s[i]) || !t->s[i]) return 0;
    c->kind = t->s[i];
    return i + 1;
}

static bool put_conversion(struct jinja_out *o, const struct conversion *c,
                           const struct jinja_value *v)
{
    char text[400];
    struct jinja_value s = *v;
    if (c->kind == 's') {
        if (!jinja_str(o->j, v, &s)) return false;
        if (c->precision >= 0) s = jinja_cut(&s, 0, jinja_char_at(&s, (size_t)c->precision));
    } else {
        const double f = jinja_is_number(v) ? jinja_as_float(v) : NAN;
        if (!jinja_is_number(v) || !(fabs(f) < 9e18))
            return jinja_fail(o->j, ERR_FORMAT, "%%%c: a number is wanted, not %s", c->kind,
                              jinja_type_name(v));
        int64_t i = (int64_t)f;
        (void)jinja_as_int(v, &i);
        const int width = c->is_zero && !c->is_left ? c->width : 0;
        if (c->kind == 'f')
            (void)snprintf(text, sizeof text, "%0*.*f", width > 300 ? 300 : width,
                           c->precision < 0 ? 6 : c->precision, f);
        else if (c->kind == 'x' || c->kind == 'X')
            (void)snprintf(text, sizeof text, c->kind == 'x' ? "%0*" PRIx64 : "%0*" PRIX64,
                           width > 300 ? 300 : width, (uint64_t)i);
        else
            (void)snprintf(text, sizeof text, "%0*" PRId64, width > 300 ? 300 : width, i);
        s = jinja_string(text, strlen(text), v->is_markup);
    }
    const size_t n = jinja_chars(&s), width = (size_t)c->width;
    for (size_t i = n; i < width && !c->is_left; i++) jinja_put(o, " ", 1, true);
    jinja_put_text(o, &s, 0, s.u.str.n);
    for (size_t i = n; i < width && c->is_left; i++) jinja_put(o, " ", 1, true);
    return !o->j->is_failed;
}

bool jinja_percent(struct jinja *j, const struct jinja_value *fmt, const struct jinja_value *args,
                   size_t n, struct jinja_value *out)
{
    const struct jinja_text *t = &fmt->u.str;
    struct jinja_out o = {.j = j};
    size_t i_arg = 0;
    for (size_t i = 0; i < t->n;) {
        const char *p = memchr(t->s + i, '%', t->n - i);
        const size_t end = p ? (size_t)(p - t->s) : t->n;
        jinja_put_text(&o, fmt, i, end);
        if (!p) break;
        if (end + 1 < t->n && t->s[end + 1] == '%') {
            jinja_put_text(&o, fmt, end, end + 1);
            i = end + 2;
            continue;
        }
        struct conversion c;
        i = read_conversion(t, end + 1, &c);
        if (!i) return jinja_fail(j, ERR_UNSUPPORTED, "a format of %% that is not known here");
        if (i_arg == n) return jinja_fail(j, ERR_FORMAT, "too few values for a format");
        if (!put_conversion(&o, &c, &args[i_arg++])) return false;
    }
    if (i_arg < n) return jinja_fail(j, ERR_FORMAT, "too many values for a format");
    return jinja_out_end(&o, out);
}

/* ---- format() ---- */

/* The argument of a field: "" the next, digits by place, else by name. */
static const struct jinja_value *field_value(const char *s, size_t n, size_t *next,
                                             const struct jinja_args *args)
{
    size_t i = 0, n_digits = 0;
    for (; n_digits < n && n_digits < 6 && s[n_digits] >= '0' && s[n_digits] <= '9'; n_digits++)
        i = 10 * i + (size_t)(s[n_digits] - '0');
    if (n && n_digits == n && *next) return NULL; /* not both kinds */
    if (n == 0) i = (*next)++;
    if (n_digits == n) return i < args->n ? &args->arg[i] : NULL;
    for (i = 0; i < args->n_named; i++)
        if (strlen(args->named[i].name) == n && memcmp(args->named[i].name, s, n) == 0)
            return &args->named[i].value;
    return NULL;
}

bool jinja_format(struct jinja *j, const struct jinja_value *fmt, const struct jinja_args *args,
                  struct jinja_value *out)
{
    const struct jinja_text *t = &fmt->u.str;
    struct jinja_out o = {.j = j};
    size_t next = 0;
    for (size_t i = 0; i < t->n && !j->is_failed; i++) {
        const char c = t->s[i];
        if (c != '{' && c != '}') {
            jinja_put_text(&o, fmt, i, i + 1);
            continue;
        }
        if (i + 1 < t->n && t->s[i + 1] == c) {
            jinja_put_text(&o, fmt, i, i + 1);
            i++;
            continue;
        }
        const char *end = memchr(t->s + i, '}', t->n - i);
        if (c == '}' || !end) return jinja_fail(j, ERR_FORMAT, "format: a brace stands alone");
        const char *s = t->s + i + 1;
        const size_t n = (size_t)(end - s);
        if (n && (memchr(s, ':', n) || memchr(s, '!', n) || memchr(s, '.', n) || memchr(s, '[', n)))
            return jinja_fail(j, ERR_UNSUPPORTED, "format: only {}, {0} and {name} are known here");
        const struct jinja_value *v = field_value(s, n, &next, args);
        if (!v) return jinja_fail(j, ERR_FORMAT, "format: there is no value for a field");
        if (!jinja_put_str(&o, v)) return false;
        i += n + 1;
    }
    return jinja_out_end(&o, out);
}
