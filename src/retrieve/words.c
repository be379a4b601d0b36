/* SPDX-License-Identifier: Apache-2.0
 *
 * words.c - the words of a text, normalised for comparison.
 *
 * The stemmer is deliberately small: plural, -ed, -ing, -ly, a final e, and y as i. It has to treat
 * both sides alike, not to find dictionary forms. Porter's full algorithm joins more words that
 * differ in meaning ("general", "generation"), which costs precision where a citation is checked.
 */
#include "retrieve/words.h"

#include <string.h>
#include <utf8proc.h>

#include "text/unicode.h"

enum { MAX_NORMAL = 48 };

static const char *const stop_words[] = {
    "a",    "about", "above", "after",   "again", "all",   "also",    "am",     "an",
    "and",  "any",   "are",   "as",      "at",    "be",    "been",    "being",  "below",
    "but",  "by",    "can",   "could",   "did",   "do",    "does",    "doing",  "during",
    "each", "for",   "from",  "further", "had",   "has",   "have",    "having", "he",
    "her",  "here",  "hers",  "him",     "his",   "how",   "however", "i",      "if",
    "in",   "into",  "is",    "it",      "its",   "just",  "me",      "more",   "most",
    "my",   "no",    "nor",   "of",      "on",    "only",  "or",      "other",  "our",
    "out",  "over",  "own",   "s",       "same",  "she",   "should",  "so",     "some",
    "such", "than",  "that",  "the",     "their", "them",  "then",    "there",  "these",
    "they", "this",  "those", "through", "to",    "too",   "under",   "until",  "up",
    "very", "was",   "we",    "were",    "what",  "when",  "where",   "which",  "while",
    "who",  "whom",  "why",   "will",    "with",  "would", "you",     "your",   NULL};

/* Sorted by value. Spelled-out numbers match digits. */
static const char *const number_words[] = {"zero", "one",    "two",    "three", "four",
                                           "five", "six",    "seven",  "eight", "nine",
                                           "ten",  "eleven", "twelve", NULL};

static bool is_word_char(uint32_t cp)
{
    return (uc_class(cp) & (UC_LETTER | UC_NUMBER)) != 0 ||
           utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_MN;
}

/* Chinese, Japanese: no spaces between words, so each sign is one. */
static bool is_ideograph(uint32_t cp)
{
    return (cp >= 0x3040 && cp <= 0x30FF) || (cp >= 0x3400 && cp <= 0x9FFF) ||
           (cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0x20000 && cp <= 0x3FFFF);
}

/* Lower case without accents, appended to w; false when it is full. */
static bool fold(uint32_t cp, char *w, size_t *n)
{
    utf8proc_int32_t parts[8];
    int boundary = 0;
    const utf8proc_ssize_t n_parts = utf8proc_decompose_char(
        (utf8proc_int32_t)cp, parts, 8,
        UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK, &boundary);
    for (utf8proc_ssize_t i = 0; i < n_parts && i < 8; i++) {
        if (*n + 4 > MAX_NORMAL) return false;
        *n += (size_t)utf8proc_encode_char(parts[i], (utf8proc_uint8_t *)w + *n);
    }
    return true;
}

static bool ends(const char *w, size_t n, const char *with)
{
    const size_t k = strlen(with);
    return n > k && memcmp(w + n - k, with, k) == 0;
}

static bool is_vowel(char c) { return c && strchr("aeiouy", c) != NULL; }

static size_t stem(char *w, size_t n)
{
    if (n > 4 && ends(w, n, "ies"))
        n -= 2;
    else if (n > 4 &&
             (ends(w, n, "sses") || ends(w, n, "shes") || ends(w, n, "ches") || ends(w, n, "xes")))
        n -= 2;
    else if (n > 3 && ends(w, n, "s") && !strchr("su", w[n - 2]))
        n -= 1;
    size_t n_cut = 0;
    if (n > 5 && ends(w, n, "ing")) n_cut = 3;
    if (n > 3 && ends(w, n, "ed") && w[n - 3] != 'e') n_cut = 2;
    if (n > 4 && ends(w, n, "ly")) n_cut = 2;
    n -= n_cut;
    if (n_cut && n > 3 && w[n - 1] == w[n - 2] && !is_vowel(w[n - 1]) && !strchr("lsz", w[n - 1]))
        n--;
    if (n > 2 && w[n - 1] == 'e') n--;
    if (n > 2 && w[n - 1] == 'y' && !is_vowel(w[n - 2])) w[n - 1] = 'i';
    return n;
}

static uint64_t hash(const char *w, size_t n)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)w[i]) * UINT64_C(1099511628211);
    return h;
}

static bool in_list(const char *const *list, const char *w, size_t n, size_t *at)
{
    for (size_t i = 0; list[i]; i++)
        if (strlen(list[i]) == n && memcmp(list[i], w, n) == 0) {
            *at = i;
            return true;
        }
    return false;
}

/* Decimal and thousands marks inside a number: part of it if a digit follows. */
static bool joins_number(const char *s, size_t n, size_t i)
{
    return (s[i] == '.' || s[i] == ',') && i + 1 < n && s[i + 1] >= '0' && s[i + 1] <= '9';
}

static void classify(const char *s, struct word *w, char *normal, size_t n_normal)
{
    size_t at = 0;
    if (s[w->begin] >= '0' && s[w->begin] <= '9') {
        w->kind = WORD_NUMBER;
    } else if (in_list(number_words, normal, n_normal, &at)) {
        w->kind = WORD_NUMBER;
        n_normal = 0;
        if (at >= 10) normal[n_normal++] = '1';
        normal[n_normal++] = (char)('0' + at % 10);
    } else if (in_list(stop_words, normal, n_normal, &at)) {
        w->kind = WORD_STOP;
    } else {
        uint32_t first = 0;
        bool is_bad = false;
        utf8_decode((const uint8_t *)s + w->begin, w->end - w->begin, &first, &is_bad);
        w->kind = w->begin > 0 && utf8proc_category((utf8proc_int32_t)first) == UTF8PROC_CATEGORY_LU
                      ? WORD_NAME
                      : WORD_PLAIN;
        n_normal = stem(normal, n_normal);
    }
    w->id = hash(normal, n_normal);
}

bool word_next(const char *s, size_t n, size_t *at, struct word *out)
{
    char normal[MAX_NORMAL];
    size_t n_normal = 0;
    bool is_inside = false, is_number = false;
    struct word w = {0};
    for (size_t i = *at; i < n;) {
        uint32_t cp = 0;
        bool is_bad = false;
        const size_t n_cp = (size_t)utf8_decode((const uint8_t *)s + i, n - i, &cp, &is_bad);
        const bool is_part = !is_bad && is_word_char(cp), is_alone = is_ideograph(cp);
        if (is_inside && is_alone) break;
        if (is_part && !is_inside && (uc_class(cp) & (UC_LETTER | UC_NUMBER))) {
            w.begin = i;
            is_inside = true;
            is_number = s[i] >= '0' && s[i] <= '9';
        }
        if (is_inside && is_part) {
            (void)fold(cp, normal, &n_normal); /* a longer word is compared by its beginning */
        } else if (is_inside && !(is_number && joins_number(s, n, i))) {
            break;
        } else if (is_inside && s[i] == '.') {
            normal[n_normal < MAX_NORMAL ? n_normal++ : n_normal - 1] = '.';
        }
        i += n_cp;
        *at = i;
        if (is_inside) w.end = i;
        if (is_inside && is_alone) break;
    }
    if (!is_inside) return false;
    if (n_normal == 0) normal[n_normal++] = '_'; /* a letter that folds to nothing */
    classify(s, &w, normal, n_normal);
    *out = w;
    return true;
}
