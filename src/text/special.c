/* SPDX-License-Identifier: Apache-2.0
 *
 * special.c - leftmost-longest search for a few hundred texts.
 *
 * The texts lie in byte order, so those that share a prefix are neighbours, and following a text
 * character by character narrows an interval of the list by bisection: a trie without nodes. Most
 * places in a text fail at their first byte, by a table. A place costs at most the longest token's
 * length times log n; the sum over a text is linear in it.
 */
#include "text/special.h"

#include <stdlib.h>
#include <string.h>

#include "text/spm.h"

static int by_bytes(const void *a, const void *b)
{
    const struct special_entry *x = a, *y = b;
    const uint32_t n = x->n_bytes < y->n_bytes ? x->n_bytes : y->n_bytes;
    const int order = memcmp(x->text, y->text, n);
    if (order) return order;
    if (x->n_bytes != y->n_bytes) return x->n_bytes < y->n_bytes ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The text of a token as users write it. */
static const char *plain_text(struct vocab *v, const struct vocab_token *t, uint32_t *n_bytes,
                              struct err *err)
{
    *n_bytes = t->n_bytes;
    if (v->model != VOCAB_SPM || !strstr(t->bytes, "\u2581")) return t->bytes;
    char *text = arena_copy(v->arena, t->bytes, t->n_bytes, err);
    if (text) *n_bytes = spm_plain_text(t->bytes, t->n_bytes, text);
    return text;
}

static bool collect(struct specials *p, struct vocab *v, unsigned kinds, struct err *err)
{
    for (int32_t i = 0; i < v->n_tokens; i++) {
        const struct vocab_token *t = &v->tokens[i];
        if (!(kinds >> t->kind & 1) || t->n_bytes == 0) continue;
        uint32_t n_bytes = 0;
        const char *text = plain_text(v, t, &n_bytes, err);
        if (!text) return false;
        p->entry[p->n++] = (struct special_entry){text, n_bytes, i};
    }
    return true;
}

bool specials_init(struct specials *p, struct vocab *v, unsigned kinds, struct err *err)
{
    *p = (struct specials){0};
    size_t n = 0;
    for (int32_t i = 0; i < v->n_tokens; i++) n += kinds >> v->tokens[i].kind & 1;
    if (n == 0) return true;
    p->entry = malloc(n * sizeof *p->entry);
    if (!p->entry)
        return err_set(err, ERR_MEMORY, "vocabulary: no memory for %zu special tokens", n);
    if (!collect(p, v, kinds, err)) {
        specials_release(p);
        return false;
    }
    qsort(p->entry, (size_t)p->n, sizeof *p->entry, by_bytes);
    for (int32_t b = 0, i = 0; b < 257; b++) {
        while (i < p->n && (uint8_t)p->entry[i].text[0] < b) i++;
        p->first_of[b] = i;
    }
    return true;
}

void specials_release(struct specials *p)
{
    free(p->entry);
    *p = (struct specials){0};
}

/* The first entry in [lo, hi), which share `depth` bytes, whose byte at `depth` is >= b. An entry
 * of only `depth` bytes comes before all others. */
static int32_t bisect(const struct specials *p, int32_t lo, int32_t hi, uint32_t depth, int b)
{
    while (lo < hi) {
        const int32_t mid = lo + (hi - lo) / 2;
        const struct special_entry *e = &p->entry[mid];
        const int c = e->n_bytes > depth ? (uint8_t)e->text[depth] : -1;
        if (c < b)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest entry at the beginning of s[0..n), or NULL. */
static const struct special_entry *longest(const struct specials *p, const char *s, size_t n)
{
    const struct special_entry *best = NULL;
    int32_t lo = p->first_of[(uint8_t)s[0]], hi = p->first_of[(uint8_t)s[0] + 1];
    for (uint32_t depth = 1; lo < hi; depth++) {
        if (p->entry[lo].n_bytes == depth) best = &p->entry[lo];
        if (depth >= n) break;
        const int b = (uint8_t)s[depth];
        lo = bisect(p, lo, hi, depth, b);
        hi = bisect(p, lo, hi, depth, b + 1);
    }
    return best;
}

bool specials_find(const struct specials *p, const char *s, size_t n, size_t at,
                   struct special_hit *hit)
{
    if (p->n == 0) return false;
    for (; at < n; at++) {
        const uint8_t b = (uint8_t)s[at];
        if (p->first_of[b] == p->first_of[b + 1]) continue;
        const struct special_entry *e = longest(p, s + at, n - at);
        if (!e) continue;
        *hit = (struct special_hit){at, at + e->n_bytes, e->id};
        return true;
    }
    return false;
}
