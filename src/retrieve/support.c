/* SPDX-License-Identifier: Apache-2.0
 *
 * support.c - checking a claim against a passage by words alone.
 *
 * The words with content of the claim are looked for in up to three neighbouring sentences of the
 * passage; its headings and the document's title, which say what a passage is about, count for each
 * of them. The score is the share of the claim's words that are found, names and numbers
 * counting double. A claim is supported if the score is high enough and
 *
 *   - every number of the claim is found: a wrong year is a wrong claim, whatever else agrees;
 *   - every name is found, but for one of many;
 *   - no word is denied on one side alone: what "not", "never" or "no" stands before.
 *
 * Word order is not looked at: "A beat B" supports "B beat A". docs/sources.md has what that costs,
 * measured. Reading begins at support_of().
 */
#include "retrieve/support.h"

#include <string.h>

#include "retrieve/sentence.h"
#include "retrieve/words.h"

enum {
    MAX_WORDS = 96,      /* of a claim; further ones are not looked at */
    MAX_SENTENCES = 128, /* of a passage; further ones count as one with the last */
    WINDOW = 3,
    MIN_WORDS = 2, /* of a claim that can be checked */
};
static const double ENOUGH = 0.7, WEIGHT_STRONG = 2;

struct claim {
    struct {
        uint64_t id;
        enum word_kind kind;
        uint8_t said, in_heading, in_sentence[MAX_SENTENCES]; /* enum said */
    } word[MAX_WORDS];
    int n;
    double weight;
};

/* How a text has a word; both may be. */
enum said { SAID_PLAINLY = 1, SAID_DENIED = 2 };

struct sentences {
    size_t begin[MAX_SENTENCES], end[MAX_SENTENCES];
    int n;
};

static double weight_of(enum word_kind kind)
{
    return kind == WORD_NAME || kind == WORD_NUMBER ? WEIGHT_STRONG : 1;
}

/* not, no, never, cannot, nor, without; and the t of "isn't", which is a word of its own. */
static bool denies(const char *s, const struct word *w)
{
    static const char *const list[] = {"not", "no",      "never", "cannot", "nor",
                                       "t",   "without", "none",  NULL};
    const size_t n = w->end - w->begin;
    for (const char *const *d = list; *d; d++) {
        bool is_it = strlen(*d) == n;
        for (size_t i = 0; is_it && i < n; i++) is_it = (s[w->begin + i] | 32) == (*d)[i];
        if (is_it) return true;
    }
    return false;
}

/* The next word with content, and how it is said. */
static bool next_said(const char *s, size_t n, size_t *at, struct word *w, enum said *said)
{
    *said = SAID_PLAINLY;
    while (word_next(s, n, at, w)) {
        if (denies(s, w))
            *said = SAID_DENIED;
        else if (w->kind != WORD_STOP)
            return true;
    }
    return false;
}

static void read_claim(struct claim *c, const char *s, size_t n)
{
    struct word w;
    enum said said = SAID_PLAINLY;
    for (size_t at = 0; c->n < MAX_WORDS && next_said(s, n, &at, &w, &said);) {
        int i = 0;
        while (i < c->n && c->word[i].id != w.id) i++;
        c->word[i].said |= (uint8_t)said;
        if (i < c->n) continue;
        c->word[c->n].id = w.id;
        c->word[c->n++].kind = w.kind;
        c->weight += weight_of(w.kind);
    }
}

static void mark_heading(struct claim *c, const char *s)
{
    struct word w;
    enum said said = SAID_PLAINLY;
    const size_t n = strlen(s);
    for (size_t at = 0; next_said(s, n, &at, &w, &said);)
        for (int i = 0; i < c->n; i++)
            if (c->word[i].id == w.id) c->word[i].in_heading |= (uint8_t)said;
}

static void mark_sentence(struct claim *c, int sentence, const char *s, size_t n)
{
    struct word w;
    enum said said = SAID_PLAINLY;
    for (size_t at = 0; next_said(s, n, &at, &w, &said);)
        for (int i = 0; i < c->n; i++)
            if (c->word[i].id == w.id) c->word[i].in_sentence[sentence] |= (uint8_t)said;
}

static void mark_body(struct claim *c, struct sentences *all, const char *s)
{
    const size_t n = strlen(s);
    for (size_t at = skip_space(s, n, 0); at < n; at = skip_space(s, n, at)) {
        const int i = all->n < MAX_SENTENCES ? all->n++ : MAX_SENTENCES - 1;
        const size_t end = sentence_end(s, n, at);
        if (all->end[i] == 0) all->begin[i] = at;
        all->end[i] = end;
        mark_sentence(c, i, s + at, end - at);
        at = end;
    }
}

/* What sentences [first, first + n) have of the claim. */
static struct support weigh(const struct claim *c, const struct sentences *all, int first, int n)
{
    struct support s = {
        .n_words = c->n, .begin = all->begin[first], .end = all->end[first + n - 1]};
    int n_names = 0, n_names_missing = 0, n_numbers_missing = 0, n_contrary = 0;
    double found = 0;
    for (int i = 0; i < c->n; i++) {
        unsigned said = 0;
        for (int k = 0; k < n; k++) said |= c->word[i].in_sentence[first + k];
        if (!said) said = c->word[i].in_heading;
        const bool is_in = said != 0;
        if (is_in) found += weight_of(c->word[i].kind);
        n_contrary += is_in && !(said & c->word[i].said);
        n_names += c->word[i].kind == WORD_NAME;
        n_names_missing += !is_in && c->word[i].kind == WORD_NAME;
        n_numbers_missing += !is_in && c->word[i].kind == WORD_NUMBER;
    }
    s.score = c->weight > 0 ? found / c->weight : 0;
    s.is_supported = c->n >= MIN_WORDS && s.score >= ENOUGH && n_numbers_missing == 0 &&
                     n_names_missing <= n_names / 4 && n_contrary == 0;
    return s;
}

struct support support_of(const char *claim, size_t n_bytes, const struct passage *p)
{
    struct claim c = {0};
    struct sentences all = {0};
    struct support best = {0};
    read_claim(&c, claim, n_bytes);
    best.n_words = c.n;
    mark_heading(&c, p->heading);
    mark_heading(&c, p->title);
    mark_body(&c, &all, p->body);
    /* Of as good ones the shorter, then the first. */
    for (int n = 1; n <= WINDOW; n++)
        for (int first = 0; first + n <= all.n; first++) {
            const struct support s = weigh(&c, &all, first, n);
            if ((s.is_supported && !best.is_supported) ||
                (s.is_supported == best.is_supported && s.score > best.score))
                best = s;
        }
    return best;
}
