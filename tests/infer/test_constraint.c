/* SPDX-License-Identifier: Apache-2.0
 *
 * test_constraint.c - masks: each allows exactly the tokens whose bytes the grammar can read, found
 * by trying every token; answers made by chance under masks fit; special tokens are never allowed
 * but at the end; remembered masks and forgotten stacks change nothing; on a real vocabulary.
 */
#include "test.h"

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "fault.h"
#include "infer/stack_sets.h"
#include "llama3_trie.h"

static const struct source {
    enum { SCHEMA, REGEX, GBNF } kind;
    const char *text;
} sources[] = {
    {SCHEMA, "{\"type\":\"object\"}"},
    {SCHEMA,
     "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"n\":{\"type\":"
     "\"integer\",\"minimum\":3,\"maximum\":420},\"k\":{\"enum\":[\"alpha\",\"alps\",7]},\"d\":"
     "{\"type\":\"string\",\"format\":\"date\"}},\"required\":[\"name\",\"k\"]}"},
    {SCHEMA,
     "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":12},\"maxItems\":5}"},
    {SCHEMA,
     "{\"$defs\":{\"n\":{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"object\",\"properties\":"
     "{\"l\":{\"$ref\":\"#/$defs/n\"},\"r\":{\"$ref\":\"#/$defs/n\"}},\"required\":[\"l\","
     "\"r\"]}]}},\"$ref\":\"#/$defs/n\"}"},
    {REGEX, "([A-Z][a-z]+ ){2,4}(is|was) \\d+(\\.\\d{1,2})?[^a-z]{1,3}"},
    {GBNF, "root ::= (\"- \" item \"\\n\")+\nitem ::= word (\" \" word)*\nword ::= letter+\n"
           "letter ::= [a-zA-Z\xC3\xA9\xE2\x82\xAC]"},
};

static struct tokenizer *tok;
static struct token_trie *trie;

static int open_vocabulary(void **state)
{
    (void)state;
    struct err err = {0};
    tok = llama3_tokenizer();
    if (tok) trie = token_trie_new(tok, tokenizer_vocab(tok)->n_tokens, &err);
    return 0;
}

static int close_vocabulary(void **state)
{
    (void)state;
    token_trie_free(trie);
    tokenizer_free(tok);
    return 0;
}

static struct token_masks *masks(const struct source *s)
{
    struct err err = {0};
    const size_t n = strlen(s->text);
    struct grammar *g = s->kind == SCHEMA  ? grammar_from_schema(s->text, n, SPACE_FREE, "it", &err)
                        : s->kind == REGEX ? grammar_from_regex(s->text, n, "it", &err)
                                           : grammar_from_gbnf(s->text, n, "it", &err);
    assert_ok(g, &err);
    struct token_masks *m = token_masks_new(g, trie, &err);
    assert_ok(m, &err);
    grammar_free(g); /* the masks have their own share */
    return m;
}

/* The bit of every token against reading its bytes alone, which shares nothing with masks. */
static void check_mask(const struct grammar *g, const int32_t *ids, int32_t n, const uint64_t *mask)
{
    struct err err = {0};
    struct stack_sets *s = stack_sets_new(g, &err);
    assert_ok(s, &err);
    stack_sets_set_budget(s, 1000000000);
    int32_t set = stack_sets_start(s, 0, &err);
    for (int32_t i = 0; i < n; i++) {
        size_t n_bytes = 0;
        const char *bytes = token_trie_bytes(trie, ids[i], &n_bytes);
        for (size_t k = 0; k < n_bytes; k++) set = stack_sets_step(s, set, (uint8_t)bytes[k], &err);
    }
    for (int32_t id = 0; id < trie->n_vocab; id++) {
        const enum token_kind kind = tokenizer_vocab(tok)->tokens[id].kind;
        size_t n_bytes = 0;
        const char *bytes = tokenizer_bytes(tok, id, false, &n_bytes);
        int32_t at = set;
        for (size_t k = 0; k < n_bytes && at > SET_DEAD; k++)
            at = stack_sets_step(s, at, (uint8_t)bytes[k], &err);
        const bool want = tokenizer_is_stop(tok, id) ? stack_sets_is_whole(s, set)
                          : kind == TOKEN_NORMAL     ? n_bytes > 0 && at > SET_DEAD
                                                     : false;
        if ((mask[id >> 6] >> (id & 63) & 1) != want)
            fail_msg("token %d \"%.*s\" should %sbe allowed", (int)id, (int)n_bytes, bytes,
                     want ? "" : "not ");
    }
    stack_sets_free(s);
}

static void test_masks_are_exact(void **state)
{
    (void)state;
    if (!trie) skip();
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        struct token_masks *m = masks(&sources[i]);
        struct err err = {0};
        int32_t ids[60];
        bool is_whole = false;
        for (uint64_t seed = 0; seed < 2; seed++) {
            const int32_t n = random_answer(m, trie, seed, 60, ids, &is_whole, NULL, NULL);
            struct constraint c;
            assert_ok(constraint_begin(&c, m, &err), &err);
            for (int32_t k = 0; k <= n; k++) {
                const uint64_t *mask = constraint_mask(&c, &err);
                assert_ok(mask, &err);
                if (k % 5 == 0) check_mask(token_masks_grammar(m), ids, k, mask);
                if (k < n) assert_ok(constraint_accept(&c, ids[k], &err), &err);
            }
            constraint_end(&c);
        }
        token_masks_free(m);
    }
}

static void test_tokens_that_are_not_allowed_change_nothing(void **state)
{
    (void)state;
    if (!trie) skip();
    struct token_masks *m = masks(&sources[0]);
    struct err err = {0};
    struct constraint c;
    assert_ok(constraint_begin(&c, m, &err), &err);
    assert_false(constraint_accept(&c, tokenizer_find(tok, "a", 1), &err));
    assert_int_equal(err.code, ERR_FORMAT);
    assert_false(constraint_accept(&c, 128009, &err)); /* the end, too early */
    assert_false(constraint_accept(&c, 128006, &err)); /* a header */
    assert_false(constraint_accept(&c, -1, &err));
    assert_false(constraint_accept(&c, trie->n_vocab, &err));
    assert_ok(constraint_accept_bytes(&c, "{\"a\": [1, {}]", 13, &err), &err);
    const int32_t may[] = {tokenizer_find(tok, ",", 1), tokenizer_find(tok, " \"", 2),
                           tokenizer_find(tok, "}", 1), tokenizer_find(tok, "x", 1)};
    assert_int_equal(constraint_count_allowed(&c, may, 4), 4);
    assert_int_equal(constraint_count_allowed(&c, may + 2, 2), 1);
    assert_false(constraint_is_whole(&c));
    assert_ok(constraint_accept(&c, may[2], &err), &err);
    assert_true(constraint_is_whole(&c) && constraint_is_over(&c));
    assert_true(constraint_accept(&c, 128009, &err));
    constraint_end(&c);
    token_masks_free(m);
}

/* Random answers are what jsonschema would accept: here, that they read as JSON at least; with
 * CRIA_ANSWERS=FILE they are written there for tests/oracle/constraint_answers.py. */
static void test_answers_by_chance_are_json(void **state)
{
    (void)state;
    if (!trie) skip();
    const char *path = getenv("CRIA_ANSWERS");
    FILE *out = path ? fopen(path, "w") : NULL;
    int32_t ids[2000];
    int n_whole = 0;
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        if (sources[i].kind != SCHEMA) continue;
        struct token_masks *m = masks(&sources[i]);
        for (uint64_t seed = 0; seed < 40; seed++) {
            struct err err = {0};
            bool is_whole = false;
            struct buf text;
            buf_init(&text, 1 << 20);
            const int32_t n = random_answer(m, trie, seed, 2000, ids, &is_whole, NULL, NULL);
            tokenizer_decode(tok, ids, (size_t)n, false, &text);
            if (is_whole) {
                struct json_doc *d =
                    json_parse(text.data, text.n_bytes, 1 << 20, "the answer", &err);
                if (!d) fail_msg("%s: %s", text.data, err.text);
                json_free(d);
                n_whole++;
                if (out) fprintf(out, "%zu\t%s\t%zu\n", i, sources[i].text, text.n_bytes);
                if (out) fwrite(text.data, 1, text.n_bytes, out);
                if (out) fputc('\n', out);
            }
            buf_release(&text);
        }
        token_masks_free(m);
    }
    if (out) fclose(out);
    assert_true(n_whole > 40);
}

/* Answers side by side, with everything forgotten in the middle, are those made alone. */
static void test_forgetting_changes_nothing(void **state)
{
    (void)state;
    if (!trie) skip();
    struct err err = {0};
    struct grammar *g =
        grammar_from_schema(sources[1].text, strlen(sources[1].text), SPACE_FREE, "it", &err);
    assert_ok(g, &err);
    struct stack_sets *s = stack_sets_new(g, &err);
    assert_ok(s, &err);
    stack_sets_set_budget(s, 1000000);
    static const char text[] = "{\"name\": \"x\", \"n\": 42, \"k\": \"alps\"}";
    int32_t a = stack_sets_start(s, 0, &err), b = a;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        a = stack_sets_step(s, a, (uint8_t)text[i], &err);
        if (i % 3 == 0) b = stack_sets_step(s, b, (uint8_t)text[i / 3], &err);
        assert_true(a > SET_DEAD && b > SET_DEAD);
        int32_t *keep[] = {&a, &b};
        const size_t n_before = stack_sets_bytes(s);
        assert_ok(stack_sets_carry(s, keep, 2, &err), &err);
        assert_true(stack_sets_bytes(s) <= n_before);
    }
    assert_true(stack_sets_is_over(s, a));
    assert_false(stack_sets_is_whole(s, b));
    stack_sets_free(s);
    grammar_free(g);
}

/* A thousand rules that all may hold the same word: an error in bounded time, not a hang; few of
 * them are no difficulty. */
static void test_too_many_ways_are_an_error(void **state)
{
    (void)state;
    if (!trie) skip();
    for (int n = 20; n <= 2000; n += 1980) {
        struct err err = {0};
        struct buf b;
        buf_init(&b, 1 << 20);
        buf_puts(&b, "root ::= r0");
        for (int i = 1; i < n; i++) buf_printf(&b, " | r%d", i);
        for (int i = 0; i < n; i++) buf_printf(&b, "\nr%d ::= [^0-9]+ \"%d\"", i, i);
        struct grammar *g = grammar_from_gbnf(b.data, b.n_bytes, "it", &err);
        assert_ok(g, &err);
        struct token_masks *m = token_masks_new(g, trie, &err);
        struct constraint c;
        assert_ok(m && constraint_begin(&c, m, &err), &err);
        const uint64_t *mask = constraint_mask(&c, &err);
        assert_int_equal(mask != NULL, n == 20);
        if (!mask) assert_int_equal(err.code, ERR_LIMIT);
        assert_true(token_masks_bytes(m) < 200u << 20);
        constraint_end(&c);
        token_masks_free(m);
        grammar_free(g);
        buf_release(&b);
    }
}

static void test_failing_allocations(void **state)
{
    (void)state;
    if (!trie) skip();
    struct err err = {0};
    static const char text[] = "root ::= \"a\" root \"b\" | [0-9]{1,3}";
    struct grammar *g = grammar_from_gbnf(text, sizeof text - 1, "it", &err);
    assert_ok(g, &err);
    for (int64_t n = 1;; n++) {
        err = (struct err){0};
        struct constraint c = {0};
        fault_arm(FAULT_MEMORY, n);
        struct token_masks *m = token_masks_new(g, trie, &err);
        bool ok = m && constraint_begin(&c, m, &err);
        for (int i = 0; ok && i < 4; i++)
            ok = constraint_mask(&c, &err) &&
                 constraint_accept(&c, tokenizer_find(tok, "a", 1), &err);
        const bool was_hit = fault_disarm();
        if (!ok) assert_int_equal(err.code, ERR_MEMORY);
        assert_true(ok || was_hit);
        constraint_end(&c);
        token_masks_free(m);
        if (!was_hit) break;
    }
    grammar_free(g);
    for (int64_t n = 1;; n++) {
        err = (struct err){0};
        fault_arm(FAULT_MEMORY, n);
        struct token_trie *t = token_trie_new(tok, trie->n_vocab, &err);
        const bool was_hit = fault_disarm();
        if (!t) assert_int_equal(err.code, ERR_MEMORY);
        token_trie_free(t);
        if (!was_hit) break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks_are_exact),
        cmocka_unit_test(test_tokens_that_are_not_allowed_change_nothing),
        cmocka_unit_test(test_answers_by_chance_are_json),
        cmocka_unit_test(test_forgetting_changes_nothing),
        cmocka_unit_test(test_too_many_ways_are_an_error),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests_name("constraint", tests, open_vocabulary, close_vocabulary);
}
