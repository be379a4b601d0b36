/* SPDX-License-Identifier: Apache-2.0
 *
 * test_merge.c - both ways of merging against the definition, on small vocabularies made at random:
 * "merge the pair of lowest rank, leftmost first, until there is none", written naively here.
 * Texts are shorter and longer than MERGE_SHORT, so the scan and the heap are both tried; scores
 * and ranks repeat, so ties are too. Then searching (bpe_search.c) against merging, with Llama 3's
 * vocabulary.
 */
#include "base/rng.h"
#include "test.h"
#include "text/bpe_merge.h"
#include "text/tokenizer_parts.h"
#include "vocab_reader.h"

/* Space and letters (what vocab_check() asks for), and bytes that begin wide characters: for those
 * the search has a way of its own. */
static const char letters[] = " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\xE1\xE2\xE3";
enum { N_LETTERS = sizeof letters - 1, FIRST_NARROW = 1, FIRST_WIDE = 53, MAX_TEXT = 200 };

/* Letters, then pairs of what is there already, of the three from letters[first] on. `form` is
 * merges (0), tiktoken (1) or SentencePiece (2). */
static struct vocab *random_vocab(struct rng *r, int form, int32_t first, int32_t n_merged)
{
    struct err err = {0};
    struct vocab *v = test_vocab_new(N_LETTERS + 1 + n_merged, &err);
    assert_ok(v, &err);
    v->model = form == 2 ? VOCAB_SPM : VOCAB_BPE;
    v->pretok = PRETOK_GPT2;
    v->unk = N_LETTERS;
    for (int32_t i = 0; i < N_LETTERS; i++)
        assert_true(test_vocab_set(v, i, &letters[i], 1, TOKEN_NORMAL, &err));
    assert_true(test_vocab_set(v, N_LETTERS, "<unk>", 5, TOKEN_UNKNOWN, &err));
    struct vocab_merge *merge = arena_array(v->arena, (size_t)n_merged, sizeof *merge, &err);
    assert_ok(merge, &err);
    for (int32_t id = N_LETTERS + 1; id < v->n_tokens; id++) {
        const int32_t n_made = id - N_LETTERS - 1;
        const int32_t a = first + (int32_t)rng_below(r, 3), b = first + (int32_t)rng_below(r, 3);
        const int32_t left =
            n_made && rng_below(r, 2) ? N_LETTERS + 1 + (int32_t)rng_below(r, (uint32_t)n_made) : a;
        const int32_t right =
            n_made && rng_below(r, 2) ? N_LETTERS + 1 + (int32_t)rng_below(r, (uint32_t)n_made) : b;
        const struct vocab_token *x = &v->tokens[left], *y = &v->tokens[right];
        char text[256];
        const size_t n = x->n_bytes + y->n_bytes < 40 ? x->n_bytes + y->n_bytes : 0;
        if (n) memcpy(text, x->bytes, x->n_bytes);
        if (n) memcpy(text + x->n_bytes, y->bytes, y->n_bytes);
        assert_true(test_vocab_set(v, id, text, n, TOKEN_NORMAL, &err));
        v->tokens[id].score = -(float)rng_below(r, 5);
        if (n) merge[v->n_merges++] = (struct vocab_merge){left, right};
    }
    if (form == 0) v->merges = merge;
    return v;
}

struct symbol {
    int32_t id;
    size_t begin, end;
};

/* Lower is merged first; false if the pair does not merge. */
static bool naive_rank(const struct tokenizer *t, int form, const char *text, struct symbol x,
                       struct symbol y, double *rank, int32_t *made)
{
    const struct vocab *v = tokenizer_vocab(t);
    *made = tokenizer_find(t, text + x.begin, y.end - x.begin);
    if (*made < 0) return false;
    *rank = form == 2 ? -(double)v->tokens[*made].score : *made;
    if (form != 0) return true;
    for (int32_t i = 0; i < v->n_merges; i++) {
        if (v->merges[i].left != x.id || v->merges[i].right != y.id) continue;
        *rank = i;
        return true;
    }
    return false;
}

static size_t naive_encode(const struct tokenizer *t, int form, const char *text, size_t n,
                           int32_t *out)
{
    struct symbol s[MAX_TEXT];
    size_t n_sym = n;
    for (size_t i = 0; i < n; i++) s[i] = (struct symbol){tokenizer_find(t, text + i, 1), i, i + 1};
    const int32_t whole = tokenizer_find(t, text, n);
    if (form == 1 && whole >= 0) {
        out[0] = whole;
        return 1;
    }
    for (;;) {
        size_t best = n_sym;
        double best_rank = 0;
        int32_t best_made = 0;
        for (size_t i = 0; i + 1 < n_sym; i++) {
            double rank = 0;
            int32_t made = 0;
            if (!naive_rank(t, form, text, s[i], s[i + 1], &rank, &made)) continue;
            if (best < n_sym && rank >= best_rank) continue;
            best = i;
            best_rank = rank;
            best_made = made;
        }
        if (best == n_sym) break;
        s[best] = (struct symbol){best_made, s[best].begin, s[best + 1].end};
        memmove(&s[best + 1], &s[best + 2], (n_sym - best - 2) * sizeof *s);
        n_sym--;
    }
    for (size_t i = 0; i < n_sym; i++) out[i] = s[i].id;
    return n_sym;
}

static void check_form(int form, int32_t first)
{
    struct rng r = rng_seed((uint64_t)form + 40);
    struct err err = {0};
    for (int i = 0; i < 60; i++) {
        struct vocab *v = random_vocab(&r, form, first, 2 + (int32_t)rng_below(&r, 60));
        struct tokenizer *t = tokenizer_new(v, "random", &err);
        assert_ok(t, &err);
        struct ids ids = {0};
        for (int k = 0; k < 30; k++) {
            char text[MAX_TEXT];
            int32_t want[MAX_TEXT];
            const size_t n = 1 + rng_below(&r, k % 3 ? 60 : MAX_TEXT);
            for (size_t c = 0; c < n; c++) text[c] = letters[(uint32_t)first + rng_below(&r, 3)];
            const size_t n_want = naive_encode(t, form, text, n, want);
            ids.n = 0;
            assert_ok(tokenizer_encode(t, text, n, 0, &ids, &err), &err);
            bool is_same = ids.n == n_want;
            for (size_t c = 0; is_same && c < n_want; c++) is_same = ids.id[c] == want[c];
            if (!is_same)
                fail_msg("form %d, vocabulary %d, text %.*s: other ids (%zu, want %zu)", form, i,
                         (int)n, text, ids.n, n_want);
        }
        ids_release(&ids);
        tokenizer_free(t);
    }
}

static void test_list_of_merges(void **state)
{
    (void)state;
    check_form(0, FIRST_NARROW);
    check_form(0, FIRST_WIDE);
}

static void test_tiktoken_ranks(void **state)
{
    (void)state;
    check_form(1, FIRST_NARROW);
    check_form(1, FIRST_WIDE);
}

static void test_sentencepiece_scores(void **state)
{
    (void)state;
    check_form(2, FIRST_NARROW);
}

/* The search against merging, with a real vocabulary: bytes of a few kinds, so that many tokens
 * and many refusals come up; pieces shorter and longer than what the search keeps on the stack. */
static void test_search_equals_merging(void **state)
{
    (void)state;
    const char *path = data_path("tokenizer/llama3-tokenizer.model");
    skip_without(path, "tokenizer/llama3-tokenizer.model");
    struct err err = {0};
    struct vocab *v = test_vocab_read(path, false, &err);
    assert_ok(v, &err);
    struct tokenizer *t = tokenizer_new(v, path, &err);
    assert_ok(t, &err);
    static const char *const kinds[] = {"ab", "aeinrst ", " \n", "0-=/*",
                                        "\xE4\xB8\xBD\x80\xA0\xE3\x81"};
    struct rng r = rng_seed(7);
    struct merge_scratch scratch = {0};
    struct ids found = {0}, merged = {0};
    int n_found = 0;
    for (int i = 0; i < 20000; i++) {
        uint8_t s[700];
        const size_t n = 1 + rng_below(&r, i % 50 ? 60 : sizeof s);
        const size_t kind = rng_below(&r, ARRAY_LEN(kinds) + 1);
        for (size_t k = 0; k < n; k++)
            s[k] = (uint8_t)(kind == ARRAY_LEN(kinds)
                                 ? rng_below(&r, 256)
                                 : (uint32_t)
                                       kinds[kind][rng_below(&r, (uint32_t)strlen(kinds[kind]))]);
        const struct bpe_text text = {&t->bpe, n};
        bool is_found = false;
        found.n = merged.n = 0;
        assert_ok(bpe_search(&text, s, n, &scratch, &found, &is_found, &err), &err);
        assert_ok(bpe_merge(&text, s, n, &scratch, &merged, &err), &err);
        if (!is_found) continue;
        n_found++;
        if (found.n != merged.n || memcmp(found.id, merged.id, found.n * sizeof *found.id) != 0)
            fail_msg("string %d, %zu bytes of kind %zu: other ids than by merging", i, n, kind);
    }
    print_message("%d of 20000 strings were found by searching\n", n_found);
    assert_true(n_found > 15000);
    merge_scratch_release(&scratch);
    ids_release(&found);
    ids_release(&merged);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_of_merges),
        cmocka_unit_test(test_tiktoken_ranks),
        cmocka_unit_test(test_sentencepiece_scores),
        cmocka_unit_test(test_search_equals_merging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
