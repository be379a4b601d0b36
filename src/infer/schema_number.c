/* SPDX-License-Identifier: Apache-2.0
 *
 * schema_number.c - numbers within bounds, as texts of digits.
 *
 * Numbers of one length in digits are ordered like their texts, so a range is cut by length and
 * then digit by digit where it leaves its bounds: "137" to "258" is 1 (3 (7-9) | (4-9) any) | 2
 * (0-4 any | 5 (0-8)). Fractions are the same behind the point, where missing digits are zeros.
 * Bounds on numbers that are not whole therefore allow no exponent.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "infer/schema_parts.h"

enum { MAX_DIGITS = 18, MAX_FRACTION = 15, MAX_MULTIPLE = 10000 };

static int32_t digits(struct schema *s, char lo, char hi)
{
    struct charset set = {0};
    if (lo <= hi) charset_add(&set, (uint8_t)lo, (uint8_t)hi);
    const int32_t node = node_class(&s->b, &set);
    charset_release(&set);
    return node;
}

static int32_t any_digits(struct schema *s, size_t n)
{
    return node_repeat(&s->b, digits(s, '0', '9'), (int64_t)n, (int64_t)n);
}

/* Texts of n digits from lo to hi, both of n digits; those of NULL are 000... and 999... */
static int32_t between(struct schema *s, const char *lo, const char *hi, size_t n)
{
    struct grammar_builder *b = &s->b;
    if (n == 0) return node_empty(b);
    if (!lo && !hi) return any_digits(s, n);
    const char first = lo ? *lo : '0', last = hi ? *hi : '9';
    int32_t way[3];
    size_t n_ways = 0;
    if (lo && hi && first == last) {
        const int32_t pair[2] = {digits(s, first, first), between(s, lo + 1, hi + 1, n - 1)};
        return node_seq(b, pair, 2);
    }
    if (lo) {
        const int32_t pair[2] = {digits(s, first, first), between(s, lo + 1, NULL, n - 1)};
        way[n_ways++] = node_seq(b, pair, 2);
    }
    if (hi) {
        const int32_t pair[2] = {digits(s, last, last), between(s, NULL, hi + 1, n - 1)};
        way[n_ways++] = node_seq(b, pair, 2);
    }
    const int32_t pair[2] = {digits(s, (char)(first + (lo != NULL)), (char)(last - (hi != NULL))),
                             any_digits(s, n - 1)};
    way[n_ways++] = node_seq(b, pair, 2);
    return node_alt(b, way, n_ways);
}

/* Whole numbers from lo to hi, both >= 0, as texts without leading zeros. */
static int32_t whole_between(struct schema *s, int64_t lo, int64_t hi)
{
    int32_t way[MAX_DIGITS + 1];
    size_t n_ways = 0;
    int64_t first = 0; /* the least of n digits */
    if (lo > hi) return node_never(&s->b);
    for (size_t n = 1; n <= MAX_DIGITS && first <= hi; n++) {
        char a[24], z[24];
        const int64_t next = first == 0 ? 10 : first * 10;
        const int64_t from = lo > first ? lo : first, to = hi < next - 1 ? hi : next - 1;
        if (from <= to) {
            snprintf(a, sizeof a, "%" PRId64, from);
            snprintf(z, sizeof z, "%" PRId64, to);
            way[n_ways++] = between(s, a, z, n);
        }
        first = next;
    }
    return node_alt(&s->b, way, n_ways);
}

static int32_t negative(struct schema *s, int32_t node)
{
    const int32_t pair[2] = {node_text(&s->b, "-"), node};
    return node_seq(&s->b, pair, 2);
}

static int32_t integers_between(struct schema *s, int64_t lo, int64_t hi)
{
    int32_t way[2];
    size_t n = 0;
    if (hi >= 0) way[n++] = whole_between(s, lo > 0 ? lo : 0, hi);
    if (lo < 0) way[n++] = negative(s, whole_between(s, hi < 0 ? -hi : 1, -lo));
    return node_alt(&s->b, way, n);
}

/* ---- bounds ---- */

struct bounds {
    double lo, hi; /* infinite: none */
    bool is_lo_open, is_hi_open;
};

static bool read_bounds(struct schema *s, const struct schema_all *all, struct bounds *out)
{
    static const struct {
        const char *name;
        bool is_lo, is_open;
    } rows[] = {{"minimum", true, false},
                {"exclusiveMinimum", true, true},
                {"maximum", false, false},
                {"exclusiveMaximum", false, true}};
    *out = (struct bounds){.lo = -INFINITY, .hi = INFINITY};
    for (int32_t i = 0; i < all->n; i++)
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
            const struct json v = json_get(all->item[i].v, rows[k].name);
            double d = 0;
            if (json_type(v) == JSON_NONE) continue;
            if (!json_f64(v, &d)) {
                grammar_fail(&s->b, ERR_FORMAT, "%s: give a number", rows[k].name);
                return false;
            }
            double *bound = rows[k].is_lo ? &out->lo : &out->hi;
            bool *is_open = rows[k].is_lo ? &out->is_lo_open : &out->is_hi_open;
            if (d == *bound) *is_open |= rows[k].is_open;
            if (rows[k].is_lo ? d > *bound : d < *bound) *bound = d, *is_open = rows[k].is_open;
        }
    return true;
}

/* The whole numbers within the bounds, and within what is written at all. */
static void whole_bounds(const struct bounds *b, int64_t *lo, int64_t *hi)
{
    const double most = 999999999999999999.0;
    double from = ceil(b->lo), to = floor(b->hi);
    if (b->is_lo_open && from == b->lo) from++;
    if (b->is_hi_open && to == b->hi) to--;
    /* 1e18 as a double is one more than the most */
    *lo = from <= -most ? -999999999999999999 : from >= most ? INT64_MAX : (int64_t)from;
    *hi = to >= most ? 999999999999999999 : to <= -most ? -1000000000000000000 : (int64_t)to;
}

/* ---- multiples ---- */

/* Digits whose number leaves rest 0 when divided by m: a rule for each rest so far. */
static int32_t multiples(struct schema *s, int64_t m)
{
    struct grammar_builder *b = &s->b;
    const int32_t first = (int32_t)b->n_rules;
    if (m > MAX_MULTIPLE)
        return grammar_fail(b, ERR_LIMIT, "multipleOf: %" PRId64 "; at most %d for integers", m,
                            MAX_MULTIPLE);
    for (int64_t r = 0; r < m; r++) rule_new(b, "a multiple", 10, 0);
    for (int64_t r = 0; r < m && !grammar_has_failed(b); r++) {
        int32_t way[11];
        size_t n = 0;
        for (int d = 0; d < 10; d++) {
            const int32_t pair[2] = {digits(s, (char)('0' + d), (char)('0' + d)),
                                     node_call(b, first + (int32_t)((10 * r + d) % m))};
            way[n++] = node_seq(b, pair, 2);
        }
        if (r == 0) way[n++] = node_empty(b);
        rule_define(b, first + (int32_t)r, node_alt(b, way, n));
    }
    int32_t way[10];
    size_t n = 0;
    for (int d = 1; d < 10 && !grammar_has_failed(b); d++) {
        const int32_t pair[2] = {digits(s, (char)('0' + d), (char)('0' + d)),
                                 node_call(b, first + (int32_t)(d % m))};
        way[n++] = node_seq(b, pair, 2);
    }
    const int32_t large[2] = {node_optional(b, node_text(b, "-")), node_alt(b, way, n)};
    const int32_t out[2] = {node_text(b, "0"), node_seq(b, large, 2)};
    return node_alt(b, out, 2);
}

/* The multiples of m from lo to hi, one by one. */
static int32_t listed_multiples(struct schema *s, int64_t m, int64_t lo, int64_t hi)
{
    struct node_list ways = {0};
    int64_t k = lo / m;
    if (k * m < lo) k++;
    for (int64_t v = k * m; v <= hi; v += m) {
        char text[24];
        snprintf(text, sizeof text, "%" PRId64, v);
        if (!node_list_push(&s->b, &ways, node_text(&s->b, text))) break;
    }
    const int32_t node = node_alt(&s->b, ways.v, ways.n);
    node_list_release(&ways);
    return node;
}

static bool read_multiple(struct schema *s, const struct schema_all *all, double *out)
{
    *out = 0;
    for (int32_t i = 0; i < all->n; i++) {
        const struct json v = json_get(all->item[i].v, "multipleOf");
        double d = 0;
        if (json_type(v) == JSON_NONE) continue;
        if (!json_f64(v, &d) || !(d > 0)) {
            grammar_fail(&s->b, ERR_FORMAT, "multipleOf: give a number above 0");
            return false;
        }
        if (*out > 0 && *out != d) {
            schema_refuse(s, "multipleOf", "two of them together cannot be guaranteed");
            return false;
        }
        *out = d;
    }
    return true;
}

static int32_t integer(struct schema *s, const struct bounds *b, double multiple)
{
    int64_t lo = 0, hi = 0;
    whole_bounds(b, &lo, &hi);
    const bool is_bound = isfinite(b->lo) || isfinite(b->hi);
    if (multiple == 0 || multiple == 1)
        return is_bound ? integers_between(s, lo, hi) : schema_any_of_type(s, TYPE_INTEGER);
    if (multiple != floor(multiple) || multiple > 1e15)
        return schema_refuse(s, "multipleOf", "only whole numbers can be guaranteed");
    const int64_t m = (int64_t)multiple;
    if (!is_bound) return multiples(s, m);
    if (lo > hi) return node_never(&s->b);
    if ((double)hi / multiple - (double)lo / multiple > 100000)
        return schema_refuse(s, "multipleOf",
                             "with bounds it allows more than 100000 numbers; bring the bounds "
                             "nearer or leave them out");
    return listed_multiples(s, m, lo, hi);
}

/* ---- fractions ---- */

/* A bound as digits: whole part, and MAX_FRACTION digits behind the point. */
struct decimal {
    int64_t whole;
    char fraction[MAX_FRACTION + 1];
};

static bool decimal_of(struct schema *s, double v, struct decimal *out)
{
    char text[64];
    if (fabs(v) >= 1e15) {
        schema_refuse(s, "minimum, maximum",
                      "bounds of 1e15 and more cannot be guaranteed for numbers; use integers");
        return false;
    }
    snprintf(text, sizeof text, "%.*f", MAX_FRACTION, fabs(v));
    if (strtod(text, NULL) != fabs(v)) {
        schema_refuse(s, "minimum, maximum", "a bound has more than 15 digits behind its point");
        return false;
    }
    const char *point = strchr(text, '.');
    out->whole = strtoll(text, NULL, 10);
    memcpy(out->fraction, point + 1, MAX_FRACTION + 1);
    return true;
}

static bool is_zero(const char *fraction) { return strspn(fraction, "0") == strlen(fraction); }

/* Fractions (digits behind the point) above or below a bound, which has n digits left. A number's
 * missing digits are zeros. `may_end`: something stands before, so it may stop here. */
static int32_t fraction_above(struct schema *s, const char *bound, bool is_open, bool may_end)
{
    struct grammar_builder *b = &s->b;
    int32_t way[3];
    size_t n = 0;
    const size_t n_left = strlen(bound);
    if (n_left == 0) /* equal so far: digits may follow that make it greater, if there were room */
        return is_open ? node_never(b) : node_empty(b);
    if (may_end && is_zero(bound) && !is_open) way[n++] = node_empty(b);
    const int32_t same[2] = {digits(s, bound[0], bound[0]),
                             fraction_above(s, bound + 1, is_open, true)};
    way[n++] = node_seq(b, same, 2);
    const int32_t more[2] = {digits(s, (char)(bound[0] + 1), '9'),
                             node_repeat(b, digits(s, '0', '9'), 0, (int64_t)n_left - 1)};
    way[n++] = node_seq(b, more, 2);
    return node_alt(b, way, n);
}

static int32_t fraction_below(struct schema *s, const char *bound, bool is_open, bool may_end)
{
    struct grammar_builder *b = &s->b;
    int32_t way[3];
    size_t n = 0;
    const size_t n_left = strlen(bound);
    if (n_left == 0) return is_open ? node_never(b) : node_empty(b);
    if (may_end && !(is_zero(bound) && is_open)) way[n++] = node_empty(b);
    const int32_t same[2] = {digits(s, bound[0], bound[0]),
                             fraction_below(s, bound + 1, is_open, true)};
    way[n++] = node_seq(b, same, 2);
    const int32_t less[2] = {digits(s, '0', (char)(bound[0] - 1)),
                             node_repeat(b, digits(s, '0', '9'), 0, (int64_t)n_left - 1)};
    way[n++] = node_seq(b, less, 2);
    return node_alt(b, way, n);
}

/* Fractions between two bounds of the same whole part. */
static int32_t fraction_between(struct schema *s, const char *lo, const char *hi, bool lo_open,
                                bool hi_open, bool may_end)
{
    struct grammar_builder *b = &s->b;
    int32_t way[4];
    size_t n = 0;
    if (*lo == 0) return lo_open || hi_open ? node_never(b) : node_empty(b);
    if (may_end && is_zero(lo) && !lo_open && !(is_zero(hi) && hi_open)) way[n++] = node_empty(b);
    const int64_t n_more = (int64_t)strlen(lo) - 1;
    if (*lo == *hi) {
        const int32_t same[2] = {digits(s, *lo, *lo),
                                 fraction_between(s, lo + 1, hi + 1, lo_open, hi_open, true)};
        way[n++] = node_seq(b, same, 2);
        return node_alt(b, way, n);
    }
    if (*lo > *hi) return node_alt(b, way, n);
    const int32_t low[2] = {digits(s, *lo, *lo), fraction_above(s, lo + 1, lo_open, true)};
    const int32_t high[2] = {digits(s, *hi, *hi), fraction_below(s, hi + 1, hi_open, true)};
    const int32_t mid[2] = {digits(s, (char)(*lo + 1), (char)(*hi - 1)),
                            node_repeat(b, digits(s, '0', '9'), 0, n_more)};
    way[n++] = node_seq(b, low, 2);
    way[n++] = node_seq(b, high, 2);
    way[n++] = node_seq(b, mid, 2);
    return node_alt(b, way, n);
}

/* A whole part with an optional fraction of the given digits; `ends`: it may stand alone. */
static int32_t with_fraction(struct schema *s, int32_t whole, int32_t fraction, bool ends)
{
    struct grammar_builder *b = &s->b;
    const int32_t point[2] = {node_text(b, "."), fraction};
    const int32_t behind = node_seq(b, point, 2);
    const int32_t pair[2] = {whole, ends ? node_optional(b, behind) : behind};
    return node_seq(b, pair, 2);
}

static int32_t just(struct schema *s, int64_t whole) { return whole_between(s, whole, whole); }

/* Numbers of one sign, their amounts from lo to hi (NULL: no bound). */
static int32_t amounts(struct schema *s, const struct decimal *lo, bool lo_open,
                       const struct decimal *hi, bool hi_open)
{
    struct grammar_builder *b = &s->b;
    const int64_t most = 999999999999999;
    const int32_t any = node_repeat(b, digits(s, '0', '9'), 1, MAX_FRACTION);
    int32_t way[3];
    size_t n = 0;
    if (lo && hi &&
        (lo->whole > hi->whole ||
         (lo->whole == hi->whole && strcmp(lo->fraction, hi->fraction) > 0)))
        return node_never(b);
    const bool lo_ends = !lo || (is_zero(lo->fraction) && !lo_open);
    const bool hi_ends = !hi || !is_zero(hi->fraction) || !hi_open;
    if (lo && hi && lo->whole == hi->whole)
        return node_alt(b,
                        (int32_t[]){with_fraction(s, just(s, lo->whole),
                                                  fraction_between(s, lo->fraction, hi->fraction,
                                                                   lo_open, hi_open, false),
                                                  false),
                                    lo_ends && hi_ends ? just(s, lo->whole) : node_never(b)},
                        2);
    if (lo)
        way[n++] = with_fraction(s, just(s, lo->whole),
                                 fraction_above(s, lo->fraction, lo_open, false), lo_ends);
    if (hi) {
        const int32_t with = with_fraction(s, just(s, hi->whole),
                                           fraction_below(s, hi->fraction, hi_open, false), false);
        const int32_t both[2] = {with, hi_ends ? just(s, hi->whole) : node_never(b)};
        way[n++] = node_alt(b, both, 2);
    }
    const int64_t from = lo ? lo->whole + 1 : 0, to = hi ? hi->whole - 1 : most;
    if (from <= to) way[n++] = with_fraction(s, whole_between(s, from, to), any, true);
    return node_alt(b, way, n);
}

static int32_t number(struct schema *s, const struct bounds *b)
{
    struct decimal lo = {0}, hi = {0};
    const bool has_lo = isfinite(b->lo), has_hi = isfinite(b->hi);
    int32_t way[2];
    size_t n = 0;
    if (!has_lo && !has_hi) return schema_any_of_type(s, TYPE_NUMBER);
    if ((has_lo && !decimal_of(s, b->lo, &lo)) || (has_hi && !decimal_of(s, b->hi, &hi))) return 0;
    if (!has_hi || b->hi > 0 || (b->hi == 0 && !b->is_hi_open)) {
        const bool bounds_below = has_lo && b->lo >= 0;
        way[n++] = amounts(s, bounds_below ? &lo : NULL, b->is_lo_open, has_hi ? &hi : NULL,
                           b->is_hi_open);
    }
    if (!has_lo || b->lo < 0) {
        const struct decimal zero = {.fraction = "000000000000000"};
        const bool bounds_above = has_hi && b->hi < 0;
        way[n++] =
            negative(s, amounts(s, bounds_above ? &hi : &zero, bounds_above ? b->is_hi_open : true,
                                has_lo ? &lo : NULL, b->is_lo_open));
    }
    return node_alt(&s->b, way, n);
}

/* ---- all of it ---- */

int32_t schema_number(struct schema *s, const struct schema_all *all, bool is_integer)
{
    struct bounds b;
    double multiple = 0;
    if (!read_bounds(s, all, &b) || !read_multiple(s, all, &multiple)) return 0;
    if (is_integer) return integer(s, &b, multiple);
    if (multiple > 0 && multiple == floor(multiple)) return integer(s, &b, multiple);
    if (multiple > 0) return schema_refuse(s, "multipleOf", "only whole numbers can be guaranteed");
    return number(s, &b);
}
