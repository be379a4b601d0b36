/* SPDX-License-Identifier: Apache-2.0
 *
 * schema_string.c - strings: lengths, patterns and formats.
 *
 * Formats are regular expressions, each no wider than its RFC: days fit their months and leap years
 * are counted; what an RFC allows and nobody writes (comments in mail addresses, host names of 253
 * letters) is left out. One of length, pattern and format can be promised at a time: their
 * intersection is not built.
 */
#include <string.h>

#include "base/table.h"
#include "infer/grammar_regex.h"
#include "infer/schema_parts.h"

#define DATE                                                                                       \
    "(?:(?:[1-9]\\d{3}|0[1-9]\\d\\d|00[1-9]\\d|000[1-9])-"                                         \
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|"          \
    "02-(?:0[1-9]|1\\d|2[0-8]))|"                                                                  \
    "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)"
#define CLOCK "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?"
#define ZONE "(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"
#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,14}[A-Za-z0-9])?"
#define HOST LABEL "(?:\\." LABEL "){0,7}"
#define BYTE "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4 BYTE "(?:\\." BYTE "){3}"
#define H16 "[0-9A-Fa-f]{1,4}"
#define UUID "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"

static const struct format {
    const char *name;
    const char *regex; /* of the whole text; NULL: any */
} formats[] = {
    /* clang-format off */
    {"date-time",     DATE "T" CLOCK ZONE},
    {"date",          DATE},
    {"time",          CLOCK ZONE},
    {"duration",      "P(?:\\d{1,9}W|(?:\\d{1,9}Y(?:\\d{1,9}M(?:\\d{1,9}D)?)?|\\d{1,9}M(?:\\d{1,9}D)?|\\d{1,9}D)"
                      "(?:T(?:\\d{1,9}H(?:\\d{1,9}M(?:\\d{1,9}S)?)?|\\d{1,9}M(?:\\d{1,9}S)?|\\d{1,9}S))?|"
                      "T(?:\\d{1,9}H(?:\\d{1,9}M(?:\\d{1,9}S)?)?|\\d{1,9}M(?:\\d{1,9}S)?|\\d{1,9}S))"},
    {"email",         "[A-Za-z0-9_%+-]+(?:\\.[A-Za-z0-9_%+-]+)*@" LABEL "(?:\\." LABEL "){1,7}"},
    {"hostname",      HOST},
    {"ipv4",          IPV4},
    {"ipv6",          "(?:(?:" H16 ":){7}" H16 "|(?:" H16 ":){1,6}:" H16 "|(?:" H16 ":){1,5}(?::" H16 "){2}|"
                      "(?:" H16 ":){1,4}(?::" H16 "){3}|(?:" H16 ":){1,3}(?::" H16 "){4}|"
                      "(?:" H16 ":){1,2}(?::" H16 "){5}|" H16 ":(?::" H16 "){6}|:(?::" H16 "){1,7}|"
                      "(?:" H16 ":){1,7}:|::)"},
    {"uuid",          UUID},
    {"uri",           "[A-Za-z][A-Za-z0-9+.-]*:(?://" HOST "(?::\\d{1,4})?)?"
                      "(?:/?[A-Za-z0-9._~!$&'()*+,;=:@-]+)*/?"
                      "(?:\\?[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?(?:#[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?"},
    {0},
    /* clang-format on */
};

static int32_t quoted(struct schema *s, int32_t inner)
{
    const int32_t item[3] = {node_text(&s->b, "\""), inner, node_text(&s->b, "\"")};
    return node_seq(&s->b, item, 3);
}

/* A rule of its own, so that its masks are shared wherever the list is used. */
static int32_t as_rule(struct schema *s, int32_t node)
{
    const int32_t rule = rule_new(&s->b, "a string", 8, 0);
    rule_define(&s->b, rule, node);
    return node_call(&s->b, rule);
}

static int32_t by_format(struct schema *s, const char *name)
{
    const struct format *f = table_find(formats, sizeof *formats, name);
    if (f) return regex_node(&s->b, f->regex, strlen(f->regex), REGEX_JSON);
    const char *near = table_nearest(formats, sizeof *formats, name);
    return grammar_fail(&s->b, ERR_UNSUPPORTED, "format: '%.40s' is not known%s%s%s", name,
                        near ? "; did you mean '" : "; use a pattern", near ? near : "",
                        near ? "'?" : "");
}

int32_t schema_string(struct schema *s, const struct schema_all *all)
{
    const int64_t min = schema_count(s, all, "minLength", true, 0);
    const int64_t max = schema_count(s, all, "maxLength", false, -1);
    const char *pattern = NULL, *format = NULL;
    size_t n_pattern = 0, n_format = 0;
    int n = min > 0 || max >= 0;
    for (int32_t i = 0; i < all->n; i++) {
        const struct json p = json_get(all->item[i].v, "pattern");
        const struct json f = json_get(all->item[i].v, "format");
        const char *text = NULL;
        size_t n_text = 0;
        if ((json_type(p) != JSON_NONE && json_type(p) != JSON_STRING) ||
            (json_type(f) != JSON_NONE && json_type(f) != JSON_STRING))
            return grammar_fail(&s->b, ERR_FORMAT, "pattern, format: give a string");
        if (json_str(p, &text, &n_text)) {
            n += !pattern || n_text != n_pattern || memcmp(text, pattern, n_text) != 0;
            pattern = text, n_pattern = n_text;
        }
        if (json_str(f, &text, &n_text)) {
            n += !format || strcmp(text, format) != 0;
            format = text, n_format = n_text;
        }
    }
    (void)n_format;
    if (n > 1)
        return schema_refuse(s, pattern ? "pattern" : "format",
                             "together with another pattern, format or length it cannot be "
                             "guaranteed; put all of it into one pattern");
    if (n == 0) return schema_any_of_type(s, TYPE_STRING);
    if (pattern) {
        const int32_t inner = regex_node(&s->b, pattern, n_pattern, REGEX_JSON | REGEX_SEARCH);
        return as_rule(s, quoted(s, inner));
    }
    if (format) return as_rule(s, quoted(s, by_format(s, format)));
    return as_rule(s, quoted(s, node_repeat(&s->b, schema_string_char(s), min, max)));
}
