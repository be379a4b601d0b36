/* SPDX-License-Identifier: Apache-2.0
 *
 * bpe_lengths.c - tables of the lengths that tokens have, by a hash of their first 2, 3, 4 and 6
 * bytes.
 *
 * The search for the longest token would otherwise ask the index for every length there is. A slot
 * that beginnings share says yes too often, and each such yes costs a look-up and a branch that no
 * processor foretells; so a few more bits of the hash choose a bit within the slot. With one slot
 * for all beginnings of a hash, as it was before, half of the answers in Chinese text were too
 * many (docs/performance.md). 616 KB for any vocabulary.
 */
#include "text/bpe_lengths.h"

#include <stdlib.h>
#include <string.h>

static void add_length(struct bpe_lengths *x, const struct vocab_token *t)
{
    const unsigned n = t->n_bytes < LONG_BYTES ? t->n_bytes : LONG_BYTES;
    uint64_t first = 0;
    memcpy(&first, t->bytes, n < 8 ? n : 8);
    const size_t i3 = lengths_hash(first, 3, LENGTHS_OF_3_LOG2),
                 i4 = lengths_hash(first, 4, LENGTHS_OF_4_LOG2),
                 i6 = lengths_hash(first, 6, LENGTHS_OF_6_LOG2);
    if (n == 2)
        x->of_2[first >> 3] |= (uint8_t)(1 << (first & 7));
    else if (n == 3)
        x->of_3[i3 >> 3] |= (uint8_t)(1 << (i3 & 7));
    else if (n == 4 || n == 5)
        x->of_4[i4 >> 2] |= (uint8_t)(1 << ((i4 & 3) + 4 * (n - 4)));
    else if (n >= 6)
        x->of_6[i6 >> 3] |= (uint32_t)1 << (n - 6) | (uint32_t)1 << (24 + (i6 & 7));
}

bool bpe_lengths_init(struct bpe_lengths *x, const struct vocab *v, const char *name,
                      struct err *err)
{
    x->of_2 = calloc(1 << 13, sizeof *x->of_2);
    x->of_3 = calloc(1 << (LENGTHS_OF_3_LOG2 - 3), sizeof *x->of_3);
    x->of_4 = calloc(1 << (LENGTHS_OF_4_LOG2 - 2), sizeof *x->of_4);
    x->of_6 = calloc(1 << (LENGTHS_OF_6_LOG2 - 3), sizeof *x->of_6);
    if (!x->of_2 || !x->of_3 || !x->of_4 || !x->of_6) {
        bpe_lengths_release(x);
        return err_set(err, ERR_MEMORY,
                       "%s: no memory for the lengths of tokens; close other programs", name);
    }
    for (int32_t i = 0; i < v->n_tokens; i++) {
        const struct vocab_token *t = &v->tokens[i];
        if (t->kind == TOKEN_NORMAL || t->kind == TOKEN_USER) add_length(x, t);
    }
    return true;
}

void bpe_lengths_release(struct bpe_lengths *x)
{
    free(x->of_2);
    free(x->of_3);
    free(x->of_4);
    free(x->of_6);
    *x = (struct bpe_lengths){0};
}
