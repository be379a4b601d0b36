/* SPDX-License-Identifier: Apache-2.0
 *
 * step_dry.c - DRY ("don't repeat yourself"), against loops of phrases rather than of words
 *              (p-e-w, oobabooga/text-generation-webui pull request 5677; llama.cpp's definition
 *              of details).
 *
 * If the text's end occurred before, the token that followed it then would lengthen a repeat. For
 * each such token with the longest such match m (tokens, m >= allowed_length):
 *
 *   l -= multiplier * base^(m - allowed_length)
 *
 * A match never reaches over a breaker: a token that holds one of the breaker characters (line
 * end, colon, quote, asterisk). Such tokens are not penalised either, or lists and dialogues,
 * whose structure repeats by right, would fall apart.
 *
 * m for all earlier places at once is the Z function of the reversed text (Gusfield 1997, 1.4):
 * linear in the window, where comparing place by place is quadratic on "aaaa".
 */
#include "infer/chain.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "text/unicode.h"

/* expf overflows above this: a longer match is penalised as this one, which is beyond hope. */
#define MAX_EXPONENT 88.7228391f

static bool is_breaker(const struct sampler *s, int32_t id)
{
    return s->breakers[id / 8] >> (id % 8) & 1;
}

static bool holds(const char *text, size_t n, const char *c, size_t n_c)
{
    return n_c && memmem(text, n, c, n_c) != NULL;
}

void dry_mark_breakers(const struct sampler_params *p, const struct tokenizer *t, int32_t n_vocab,
                       uint8_t *breakers)
{
    const char *set = p->dry_breakers ? p->dry_breakers : "\n:\"*";
    const size_t n_set = strlen(set);
    const int32_t n_known = tokenizer_vocab(t)->n_tokens;
    for (int32_t id = 0; id < n_vocab && id < n_known; id++) {
        size_t n_text = 0;
        const char *text = tokenizer_bytes(t, id, false, &n_text);
        for (size_t i = 0; i < n_set;) {
            uint32_t cp = 0;
            bool is_bad = false;
            const size_t n_c =
                (size_t)utf8_decode((const uint8_t *)set + i, n_set - i, &cp, &is_bad);
            if (holds(text, n_text, set + i, n_c)) breakers[id / 8] |= (uint8_t)(1u << (id % 8));
            i += n_c;
        }
    }
}

/* Tokens since the newest breaker: no match may be longer. */
static int32_t longest_allowed(const struct sampler *s, int32_t n)
{
    if (!s->breakers) return n;
    for (int32_t i = 0; i < n; i++)
        if (is_breaker(s, history_at(&s->past, i))) return i;
    return n;
}

/* run[i] = how many tokens, going back, are equal from the i-th newest and from the newest. */
static void z_function(const struct history *h, int32_t n, int32_t *run)
{
    int32_t begin = 0, end = 0; /* the match seen so far that reaches furthest back */
    for (int32_t i = 1; i < n; i++) {
        int32_t k = i < end ? (run[i - begin] < end - i ? run[i - begin] : end - i) : 0;
        while (i + k < n && history_at(h, k) == history_at(h, i + k)) k++;
        run[i] = k;
        if (i + k > end) begin = i, end = i + k;
    }
}

static float penalty_of(const struct sampler_params *p, int32_t n_match)
{
    float exponent = (float)(n_match - p->dry_allowed_length);
    if (p->dry_base > 1.000001f) exponent = fminf(exponent, MAX_EXPONENT / logf(p->dry_base));
    return p->dry_multiplier * powf(p->dry_base, exponent);
}

void dry_apply(struct sampler *s)
{
    const int32_t n = history_window(&s->past, s->params.dry_last_n);
    const int32_t n_allowed = s->params.dry_allowed_length;
    if (n <= n_allowed) return;
    const int32_t n_max = longest_allowed(s, n);
    if (n_max < n_allowed) return;
    z_function(&s->past, n, s->run);
    int32_t *longest = s->c->count;
    for (int32_t i = 1; i < n; i++) {
        const int32_t m = s->run[i] < n_max ? s->run[i] : n_max;
        const int32_t next = history_at(&s->past, i - 1);
        if (m >= n_allowed && m > longest[next]) longest[next] = m;
    }
    for (int32_t i = 1; i < n; i++) {
        const int32_t next = history_at(&s->past, i - 1);
        if (longest[next] && !(s->breakers && is_breaker(s, next)))
            s->c->logits[next] -= penalty_of(&s->params, longest[next]);
        longest[next] = 0;
    }
}
