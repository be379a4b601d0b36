/* SPDX-License-Identifier: Apache-2.0
 *
 * stops.c - stop strings, matched in bytes over the borders of tokens.
 *
 * The caller keeps only text that is not yet told, which is never longer than one token's text and
 * one stop string's beginning; so plain search in it is short whatever the answer's length, and an
 * automaton over all strings would save nothing.
 */
#include "infer/stops.h"

#include <stdlib.h>
#include <string.h>

bool stops_init(struct stops *s, const char *const *text, int32_t n, struct err *err)
{
    struct stops made = {0};
    if (n < 0 || n > ENGINE_MAX_STOPS)
        return err_set(err, ERR_USAGE, "stop: %d strings; give at most %d", (int)n,
                       ENGINE_MAX_STOPS);
    for (; made.n < n; made.n++) {
        const size_t n_bytes = text[made.n] ? strlen(text[made.n]) : 0;
        if (n_bytes == 0 || n_bytes > STOP_MAX_BYTES) {
            err_set(err, ERR_USAGE, "stop: string %d has %zu bytes; give 1 to %d", (int)made.n + 1,
                    n_bytes, STOP_MAX_BYTES);
            goto fail;
        }
        char *copy = malloc(n_bytes + 1);
        if (!copy) {
            err_set(err, ERR_MEMORY, "no memory for the stop strings");
            goto fail;
        }
        memcpy(copy, text[made.n], n_bytes + 1);
        made.text[made.n] = copy;
        made.n_bytes[made.n] = n_bytes;
    }
    *s = made;
    return true;
fail:
    stops_release(&made);
    return false;
}

void stops_release(struct stops *s)
{
    for (int32_t i = 0; i < s->n; i++) free(s->text[i]);
    *s = (struct stops){0};
}

int32_t stops_find(const struct stops *s, const char *text, size_t n, size_t *at)
{
    int32_t best = -1;
    for (int32_t i = 0; i < s->n; i++) {
        const char *found = n ? memmem(text, n, s->text[i], s->n_bytes[i]) : NULL;
        if (!found) continue;
        const size_t here = (size_t)(found - text);
        const bool is_tie = best >= 0 && here == *at;
        if (best >= 0 && here > *at) continue;
        if (is_tie && s->n_bytes[i] <= s->n_bytes[best]) continue;
        best = i;
        *at = here;
    }
    return best;
}

size_t stops_held(const struct stops *s, const char *text, size_t n)
{
    size_t longest = 0;
    for (int32_t i = 0; i < s->n; i++) {
        size_t k = s->n_bytes[i] - 1;
        if (k > n) k = n;
        for (; k > longest; k--)
            if (memcmp(text + n - k, s->text[i], k) == 0) break;
        if (k > longest) longest = k;
    }
    return longest;
}
