/* SPDX-License-Identifier: Apache-2.0
 *
 * llama3_trie.c - a real vocabulary, and a model that says anything a mask allows.
 *
 * The random model draws uniformly among the allowed tokens half of the time, else among the
 * allowed tokens of one or two bytes and the end: alone, the first would fill every string with
 * long words and never end one.
 */
#include "test.h"

#include "base/os.h"
#include "base/rng.h"
#include "llama3_trie.h"
#include "text/vocab_reader.h"

struct tokenizer *llama3_tokenizer(void)
{
    struct err err = {0};
    const char *path = data_path("tokenizer/llama3-tokenizer.model");
    if (!path) return NULL;
    struct vocab *v = test_vocab_read(path, true, &err);
    assert_ok(v, &err);
    struct tokenizer *t = tokenizer_new(v, path, &err);
    assert_ok(t, &err);
    return t;
}

static bool has(const uint64_t *mask, int32_t i) { return mask[i >> 6] >> (i & 63) & 1; }

static int32_t draw(const uint64_t *mask, const struct token_trie *t, struct rng *r)
{
    int32_t n = 0, n_short = 0;
    for (int32_t i = 0; i < t->n_vocab; i++) n += has(mask, i);
    assert_true(n > 0);
    const bool wants_short = rng_below(r, 2) == 0;
    for (int pass = 0; pass < 2; pass++) {
        int32_t k = pass && n_short ? (int32_t)rng_below(r, (uint32_t)n_short) : 0;
        for (int32_t i = 0; wants_short && i < t->n_vocab; i++) {
            size_t n_bytes = 0;
            if (!has(mask, i)) continue;
            token_trie_bytes(t, i, &n_bytes);
            if (n_bytes > 2) continue;
            if (pass == 0)
                n_short++;
            else if (k-- == 0)
                return i;
        }
    }
    int32_t k = (int32_t)rng_below(r, (uint32_t)n);
    for (int32_t i = 0; i < t->n_vocab; i++)
        if (has(mask, i) && k-- == 0) return i;
    return -1;
}

int32_t random_answer(struct token_masks *m, const struct token_trie *t, uint64_t seed, int32_t n,
                      int32_t *ids, bool *is_whole, mask_time_fn *tells, void *user)
{
    struct err err = {0};
    struct constraint c;
    struct rng r = rng_seed(seed);
    int32_t n_ids = 0;
    assert_ok(constraint_begin(&c, m, &err), &err);
    *is_whole = false;
    while (n_ids < n) {
        const int64_t begin = clock_ns();
        const uint64_t *mask = constraint_mask(&c, &err);
        if (tells) tells(user, clock_ns() - begin);
        assert_ok(mask, &err);
        const int32_t id = draw(mask, t, &r);
        assert_ok(constraint_accept(&c, id, &err), &err);
        size_t n_bytes = 0;
        if (!token_trie_bytes(t, id, &n_bytes)) { /* the answer's end */
            *is_whole = true;
            break;
        }
        ids[n_ids++] = id;
    }
    assert_true(!*is_whole || constraint_is_whole(&c));
    constraint_end(&c);
    return n_ids;
}
