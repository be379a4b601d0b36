/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_masks.c - what a mask over the 128,256 tokens of Llama 3 costs.
 *
 *     bench_masks [SCHEMA.json ...]
 *
 * For each grammar: compiling, the masks of 64 random answers when nothing is remembered, and of
 * the same number of other random answers after that. Without arguments a table of grammars that
 * people use; with them, the schemas in the files. One line a grammar on stdout.
 */
#include "test.h"

#include "base/file.h"
#include "base/os.h"
#include "llama3_trie.h"

enum { N_ANSWERS = 64, MAX_TOKENS = 400, MAX_TIMES = N_ANSWERS * (MAX_TOKENS + 1) };

static const struct bench_row {
    const char *name;
    enum { SCHEMA, REGEX, GBNF } kind;
    const char *text;
} rows[] = {
    {"person", SCHEMA,
     "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":"
     "\"integer\",\"minimum\":0,\"maximum\":130},\"email\":{\"type\":\"string\",\"format\":"
     "\"email\"},\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}},\"required\":["
     "\"name\",\"age\",\"tags\"],\"additionalProperties\":false}"},
    {"any object", SCHEMA, "{\"type\":\"object\"}"},
    {"tree", SCHEMA,
     "{\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":[\"number\",\"null\"]}"
     ","
     "\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/n\"}}},\"required\":[\"v\","
     "\"kids\"]}},\"$ref\":\"#/$defs/n\"}"},
    {"events", SCHEMA,
     "{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"kind\":{"
     "\"const\":\"meeting\"},\"at\":{\"type\":\"string\",\"format\":\"date-time\"},\"with\":{"
     "\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":40}}},\"required\":[\"kind\","
     "\"at\",\"with\"]},{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"note\"},"
     "\"text\":{\"type\":\"string\"},\"id\":{\"type\":\"string\",\"format\":\"uuid\"}},"
     "\"required\":[\"kind\",\"text\"]}]},\"maxItems\":20}"},
    {"maxLength 200", SCHEMA, "{\"type\":\"string\",\"minLength\":10,\"maxLength\":200}"},
    {"regex date or word", REGEX, "(\\d{4}-\\d{2}-\\d{2}|[A-Z][a-z]+)(, [a-z ]+)*"},
    {"gbnf list", GBNF, "root ::= item+\nitem ::= \"- \" [^\\r\\n\\x0b]+ \"\\n\"\n"},
};

struct times {
    int64_t ns[MAX_TIMES];
    size_t n;
};

static void note(void *user, int64_t ns)
{
    struct times *t = user;
    if (t->n < MAX_TIMES) t->ns[t->n++] = ns;
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void print_times(const char *what, struct times *t)
{
    double sum = 0;
    qsort(t->ns, t->n, sizeof *t->ns, by_value);
    for (size_t i = 0; i < t->n; i++) sum += (double)t->ns[i];
    printf("  %s: %6zu masks, mean %8.2f  p50 %7.2f  p99 %8.2f  max %9.2f us", what, t->n,
           sum / (double)t->n * 1e-3, (double)t->ns[t->n / 2] * 1e-3,
           (double)t->ns[t->n * 99 / 100] * 1e-3, (double)t->ns[t->n - 1] * 1e-3);
}

static struct grammar *compile(const struct bench_row *r, struct err *err)
{
    const size_t n = strlen(r->text);
    if (r->kind == REGEX) return grammar_from_regex(r->text, n, r->name, err);
    if (r->kind == GBNF) return grammar_from_gbnf(r->text, n, r->name, err);
    return grammar_from_schema(r->text, n, SPACE_FREE, r->name, err);
}

static void bench(const struct bench_row *r, const struct token_trie *t, struct times *times)
{
    struct err err = {0};
    int32_t ids[MAX_TOKENS];
    bool is_whole = false;
    const int64_t begin = clock_ns();
    struct grammar *g = compile(r, &err);
    const int64_t end = clock_ns();
    if (!g) {
        printf("%-20s %s\n", r->name, err.text);
        return;
    }
    struct token_masks *m = token_masks_new(g, t, &err);
    assert_ok(m, &err);
    printf("%-20s compile %7.0f us, %5d states\n", r->name, (double)(end - begin) * 1e-3,
           (int)grammar_size(g).n_states);
    for (int pass = 0; pass < 2; pass++) {
        times->n = 0;
        for (int i = 0; i < N_ANSWERS; i++)
            random_answer(m, t, (uint64_t)(1000 * pass + i), MAX_TOKENS, ids, &is_whole, note,
                          times);
        print_times(pass ? "warm" : "cold", times);
        printf("\n");
    }
    printf("  memory %.1f MB\n", (double)token_masks_bytes(m) * 1e-6);
    token_masks_free(m);
    grammar_free(g);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct tokenizer *tok = llama3_tokenizer();
    if (!tok) {
        printf("the vocabulary of Llama 3 is not here\n");
        return 0;
    }
    struct times *times = malloc(sizeof *times);
    const int64_t begin = clock_ns();
    struct token_trie *t = token_trie_new(tok, tokenizer_vocab(tok)->n_tokens, &err);
    assert_ok(t && times, &err);
    printf("tree of %d tokens: %d nodes, %.0f ms\n", (int)t->n_vocab, (int)t->n_nodes,
           (double)(clock_ns() - begin) * 1e-6);
    for (int i = 1; i < argc; i++) {
        struct buf text;
        buf_init(&text, GRAMMAR_MAX_TEXT_BYTES);
        if (file_read_all(argv[i], GRAMMAR_MAX_TEXT_BYTES, &text, &err))
            bench(&(struct bench_row){argv[i], SCHEMA, text.data}, t, times);
        else
            printf("%s\n", err.text);
        buf_release(&text);
    }
    for (size_t i = 0; argc == 1 && i < ARRAY_LEN(rows); i++) bench(&rows[i], t, times);
    token_trie_free(t);
    tokenizer_free(tok);
    free(times);
    return 0;
}
