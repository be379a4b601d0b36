/* SPDX-License-Identifier: Apache-2.0
 *
 * test_vocab.c - vocabularies in every form that they are published in: their ids against tiktoken,
 * sentencepiece, llama.cpp and transformers, and that what we write is what we read.
 *
 * The small ones are golden files of tests/oracle/vocab.py; the real ones lie in the data folder
 * and in the model cache, and tests without them skip. With CRIA_KEEP_WRITTEN=DIR, what was written
 * stays there for `vocab.py --check DIR`.
 */
#include "vocab_tools.h"

#include <unistd.h>

#include "../model/smollm2.h"
#include "base/json.h"
#include "base/json_write.h"
#include "formats/vocab_parts.h"

/* ---- where they are ---- */

/* A name under the data folder or, beginning with "golden:", under tests/golden/formats, or
 * "smollm2"; NULL if it is not here. The result is static. */
static const char *find(const char *name)
{
    char rest[256];
    if (strcmp(name, "smollm2") == 0) return smollm2_path();
    if (strncmp(name, "golden:", 7) != 0) return data_path(name);
    (void)snprintf(rest, sizeof rest, "formats/%s", name + 7);
    return golden_path(rest);
}

static struct vocab *read_vocab(const char *name)
{
    struct err err = {0};
    const char *path = find(name);
    struct vocab *v = path ? vocab_from_path(path, &err) : NULL;
    if (path) assert_ok(v, &err);
    return v;
}

static struct tokenizer *make_tokenizer(struct vocab *v, const char *name)
{
    struct err err = {0};
    struct tokenizer *t = tokenizer_new(v, name, &err);
    assert_ok(t, &err);
    return t;
}

/* ---- what is read ---- */

static const struct source_case {
    const char *name;
    enum vocab_model model;
    enum pretok pretok;
    int32_t n_tokens, n_merges, bos, eos, eot, unk;
    bool adds_bos, ignores_merges;
} source_cases[] = {
    /* clang-format off */
    /* name                                model      pretok          tokens  merges     bos     eos     eot unk  bos    whole */
    {"tokenizer/llama3-tokenizer.model",   VOCAB_BPE, PRETOK_LLAMA3,  128256,      0, 128000, 128001, 128009, -1, true,  true},
    {"tokenizer/llama2-tokenizer.model",   VOCAB_SPM, PRETOK_UNKNOWN,  32000,      0,      1,      2,     -1,  0, true,  false},
    {"tokenizer/ggml-vocab-gpt-2.gguf",    VOCAB_BPE, PRETOK_GPT2,     50257,  50000,  50256,  50256,     -1, -1, false, false},
    {"tokenizer/ggml-vocab-llama-spm.gguf", VOCAB_SPM, PRETOK_UNKNOWN, 32000,      0,      1,      2,     -1,  0, true,  false},
    {"smollm2",                            VOCAB_BPE, PRETOK_SMOLLM,   49152,  48900,      1,      2,      2,  0, false, false},
    {"golden:vocab_llama3",                VOCAB_BPE, PRETOK_LLAMA3,     386,    124,    380,    384,    384, -1, true,  true},
    {"golden:vocab_llama3/tokenizer.json", VOCAB_BPE, PRETOK_LLAMA3,     386,    124,    380,    384,    384, -1, true,  true},
    {"golden:vocab_gpt2",                  VOCAB_BPE, PRETOK_GPT2,       381,    124,      0,      0,     -1,  0, false, false},
    {"golden:vocab_smollm",                VOCAB_BPE, PRETOK_SMOLLM,     383,    124,      1,      2,      2,  0, false, false},
    {"golden:vocab_llama2",                VOCAB_SPM, PRETOK_UNKNOWN,    440,      0,      1,      2,     -1,  0, true,  false},
    {"golden:vocab_llama2_old",            VOCAB_SPM, PRETOK_UNKNOWN,    440,      0,      1,      2,     -1,  0, true,  false},
    {"golden:vocab_llama2/tokenizer.model", VOCAB_SPM, PRETOK_UNKNOWN,   440,      0,      1,      2,     -1,  0, true,  false},
    /* clang-format on */
};

static void test_each_form_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(source_cases); i++) {
        const struct source_case *c = &source_cases[i];
        struct vocab *v = read_vocab(c->name);
        if (!v) {
            print_message("left out: %s is not here\n", c->name);
            continue;
        }
        check_number(c->name, "model", c->model, v->model);
        check_number(c->name, "pretok", c->pretok, v->pretok);
        check_number(c->name, "n_tokens", c->n_tokens, v->n_tokens);
        check_number(c->name, "n_merges", c->n_merges, v->n_merges);
        check_number(c->name, "bos", c->bos, v->bos);
        check_number(c->name, "eos", c->eos, v->eos);
        check_number(c->name, "eot", c->eot, v->eot);
        check_number(c->name, "unk", c->unk, v->unk);
        check_number(c->name, "adds_bos", c->adds_bos, v->adds_bos);
        check_number(c->name, "ignores_merges", c->ignores_merges, v->ignores_merges);
        check_number(c->name, "prefix", c->model == VOCAB_SPM, v->adds_space_prefix);
        check_number(c->name, "eos stops", true, has_stop(v, v->eos));
        vocab_free(v);
    }
}

/* The vocabulary of Llama 2 is the same from a SentencePiece model, from llama.cpp's conversion of
 * it, and from both ways that transformers has written it. */
static void test_forms_of_one_vocabulary_are_equal(void **state)
{
    static const char *const pairs[][2] = {
        {"tokenizer/llama2-tokenizer.model", "tokenizer/ggml-vocab-llama-spm.gguf"},
        {"golden:vocab_llama2/tokenizer.model", "golden:vocab_llama2"},
        {"golden:vocab_llama2/tokenizer.model", "golden:vocab_llama2_old"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct vocab *a = read_vocab(pairs[i][0]), *b = read_vocab(pairs[i][1]);
        if (a && b) check_same(pairs[i][1], a, b);
        vocab_free(a);
        vocab_free(b);
    }
}

/* spec/llama3.md 2.4 and 2.5. */
static void test_specials_of_llama3(void **state)
{
    static const struct special_case {
        int32_t id;
        const char *v30, *v31;
    } cases[] = {
        /* clang-format off */
        {128000, "<|begin_of_text|>",             "<|begin_of_text|>"},
        {128001, "<|end_of_text|>",               "<|end_of_text|>"},
        {128002, "<|reserved_special_token_0|>",  "<|reserved_special_token_0|>"},
        {128004, "<|reserved_special_token_2|>",  "<|finetune_right_pad_id|>"},
        {128005, "<|reserved_special_token_3|>",  "<|step_id|>"},
        {128006, "<|start_header_id|>",           "<|start_header_id|>"},
        {128007, "<|end_header_id|>",             "<|end_header_id|>"},
        {128008, "<|reserved_special_token_4|>",  "<|eom_id|>"},
        {128009, "<|eot_id|>",                    "<|eot_id|>"},
        {128010, "<|reserved_special_token_5|>",  "<|python_tag|>"},
        {128011, "<|reserved_special_token_6|>",  "<|image|>"},
        {128012, "<|reserved_special_token_7|>",  "<|reserved_special_token_2|>"},
        {128255, "<|reserved_special_token_250|>", "<|reserved_special_token_245|>"},
        /* clang-format on */
    };
    (void)state;
    const char *path = data_path("tokenizer/llama3-tokenizer.model");
    skip_without(path, "tokenizer/llama3-tokenizer.model");
    struct buf b;
    bytes_of_file(&b, path);
    for (int is_31 = 0; is_31 < 2; is_31++) {
        struct err err = {0};
        struct vocab *v = vocab_from_model_memory((uint8_t *)b.data, b.n_bytes, path, is_31, &err);
        assert_ok(v, &err);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            assert_string_equal(v->tokens[cases[i].id].bytes, is_31 ? cases[i].v31 : cases[i].v30);
            assert_int_equal(v->tokens[cases[i].id].kind, TOKEN_CONTROL);
        }
        assert_int_equal(has_stop(v, 128008), is_31);
        assert_true(has_stop(v, 128001) && has_stop(v, 128009));
        assert_int_equal(v->pad, is_31 ? 128004 : -1);
        vocab_free(v);
    }
    buf_release(&b);
}

/* The published lists: 280,147 merges of Llama 3 (spec/llama3.md 2.9), 61,249 of Llama 2. */
static void test_implied_merges(void **state)
{
    static const struct {
        const char *name;
        int32_t n;
    } cases[] = {{"tokenizer/llama3-tokenizer.model", 280147},
                 {"tokenizer/llama2-tokenizer.model", 61249}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        struct merge_list l = {0};
        struct vocab *v = read_vocab(cases[i].name);
        skip_without(v, cases[i].name);
        assert_ok(merges_from_ranks(v, &l, &err), &err);
        check_number(cases[i].name, "merges", cases[i].n, l.n);
        merge_list_release(&l);
        vocab_free(v);
    }
}

/* ---- ids ---- */

static struct json_doc *parse_file(const char *path, struct buf *b)
{
    struct err err = {0};
    bytes_of_file(b, path);
    struct json_doc *d = json_parse(b->data, b->n_bytes, SIZE_MAX, path, &err);
    assert_ok(d, &err);
    return d;
}

static size_t ids_of_json(struct json list, int32_t *out, size_t cap)
{
    struct json v;
    size_t n = 0;
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, NULL, &v); n++) {
        int64_t id = 0;
        assert_true(n < cap && json_i64(v, &id));
        out[n] = (int32_t)id;
    }
    return n;
}

/* Encodes the "text" of `row` and compares with its list `key`, if it has that. */
static void check_row(const struct tokenizer *t, struct json row, const char *key, unsigned flags)
{
    static int32_t want[1 << 16];
    const char *text = NULL;
    size_t n = 0;
    assert_true(json_str(json_get(row, "text"), &text, &n));
    if (json_type(json_get(row, key)) != JSON_ARRAY) return;
    const size_t n_want = ids_of_json(json_get(row, key), want, ARRAY_LEN(want));
    check_text(t, text, n, flags, want, n_want);
}

static void test_ids_of_transformers(void **state)
{
    (void)state;
    struct buf b;
    struct json row, c;
    struct json_doc *d = parse_file(golden_path("formats/vocab.json"), &b);
    for (struct json_iter it = json_iter(json_get(json_root(d), "vocabs"));
         json_next(&it, NULL, NULL, &row);) {
        char name[256];
        const char *s = NULL;
        size_t n = 0;
        assert_true(json_str(json_get(row, "name"), &s, &n));
        (void)snprintf(name, sizeof name, "golden:%s", s);
        struct tokenizer *t = make_tokenizer(read_vocab(name), name), *model = NULL;
        for (struct json_iter k = json_iter(json_get(row, "cases"));
             json_next(&k, NULL, NULL, &c);) {
            check_row(t, c, "with", ENCODE_SPECIAL | ENCODE_DEFAULT_BOS);
            check_row(t, c, "without", ENCODE_SPECIAL);
            if (json_type(json_get(c, "model")) != JSON_ARRAY) continue;
            (void)snprintf(name, sizeof name, "golden:%s/tokenizer.model", s);
            if (!model) model = make_tokenizer(read_vocab(name), name);
            check_row(model, c, "model", 0);
        }
        tokenizer_free(t);
        tokenizer_free(model);
    }
    json_free(d);
    buf_release(&b);
}

/* tiktoken's ids, a JSON object a line. */
static void test_ids_of_tiktoken(void **state)
{
    (void)state;
    const char *name = "tokenizer/llama3-tokenizer.model";
    struct vocab *v = read_vocab(name);
    skip_without(v, name);
    struct tokenizer *t = make_tokenizer(v, name);
    struct buf b;
    struct err err = {0};
    size_t n_rows = 0;
    bytes_of_file(&b, data_path("tokenizer/llama3-vectors.jsonl"));
    for (char *p = b.data, *end = NULL; *p; p = end + 1, n_rows++) {
        end = strchr(p, '\n');
        struct json_doc *d = json_parse(p, (size_t)(end - p), SIZE_MAX, name, &err);
        assert_ok(d, &err);
        check_row(t, json_root(d), "ids", 0);
        json_free(d);
    }
    assert_int_equal(n_rows, 429);
    tokenizer_free(t);
    buf_release(&b);
}

/* Texts and ids that llama.cpp publishes for its vocabularies. */
static void check_llama_cpp(const char *vocab, const char *base)
{
    static const char border[] = "\n__ggml_vocab_test__\n";
    char name[256];
    struct buf in, out;
    struct vocab *v = read_vocab(vocab);
    if (!v) {
        print_message("left out: %s is not here\n", vocab);
        return;
    }
    struct tokenizer *t = make_tokenizer(v, vocab);
    (void)snprintf(name, sizeof name, "%s.inp", base);
    bytes_of_file(&in, data_path(name));
    (void)snprintf(name, sizeof name, "%s.out", base);
    bytes_of_file(&out, data_path(name));
    size_t n_rows = 0;
    char *line = out.data;
    for (char *text = in.data, *end = NULL; text; text = end ? end + strlen(border) : NULL) {
        int32_t want[512];
        size_t n_want = 0;
        end = strstr(text, border);
        char *stop = strchr(line, '\n');
        for (char *next = line; n_want < ARRAY_LEN(want); line = next, n_want++) {
            want[n_want] = (int32_t)strtol(line, &next, 10);
            if (next == line || next > stop) break;
        }
        line = stop + 1;
        check_text(t, text, end ? (size_t)(end - text) : strlen(text), 0, want, n_want);
        n_rows++;
        if (!*line) break;
    }
    assert_true(n_rows >= 46);
    tokenizer_free(t);
    buf_release(&in);
    buf_release(&out);
}

static void test_ids_of_llama_cpp(void **state)
{
    (void)state;
    check_llama_cpp("tokenizer/llama3-tokenizer.model", "tokenizer/ggml-vocab-llama-bpe.gguf");
    check_llama_cpp("tokenizer/ggml-vocab-gpt-2.gguf", "tokenizer/ggml-vocab-gpt-2.gguf");
    check_llama_cpp("tokenizer/ggml-vocab-llama-spm.gguf", "tokenizer/ggml-vocab-llama-spm.gguf");
    check_llama_cpp("tokenizer/llama2-tokenizer.model", "tokenizer/ggml-vocab-llama-spm.gguf");
}

static void test_ids_of_smollm2(void **state)
{
    (void)state;
    const char *path = data_path("smollm2_vectors/tokens.json");
    skip_without(path, "smollm2_vectors/tokens.json");
    struct buf b;
    struct json c;
    struct json_doc *d = parse_file(path, &b);
    struct vocab *v = read_vocab("smollm2");
    if (v) {
        struct tokenizer *t = make_tokenizer(v, "smollm2");
        for (struct json_iter it = json_iter(json_get(json_root(d), "cases"));
             json_next(&it, NULL, NULL, &c);)
            check_row(t, c, "ids", ENCODE_SPECIAL);
        tokenizer_free(t);
    }
    json_free(d);
    buf_release(&b);
    skip_without(v, "SmolLM2 (scripts/get-model)");
}

/* ---- what we write ---- */

static const char *const texts[] = {
    /* clang-format off */
    "", " ", "a", " a", "Hello, world!", "Hello  world ", "\n\n", "\t\tif (x == 10) {\n\t}\n",
    "I'm you're WE'LL don't", "1234567890 3.14 x1y22", "café naïve", "Привет, мир", "日本語のテスト",
    "\U0001F600\U0001F999", "e\u0301", " Việt", "việc học", "<|eot_id|>", "</s>", "[INST] hi [/INST]",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>", "...\n\n", "a   b",
    /* clang-format on */
};

static void check_merges(const char *what, const struct vocab *a, const struct vocab *b)
{
    struct err err = {0};
    struct merge_list implied = {0};
    if (a->model == VOCAB_SPM) return;
    if (!a->merges) assert_ok(merges_from_ranks(a, &implied, &err), &err);
    const struct vocab_merge *m = a->merges ? a->merges : implied.merge;
    check_number(what, "n_merges", a->merges ? a->n_merges : implied.n, b->n_merges);
    for (int32_t i = 0; i < b->n_merges; i++)
        if (m[i].left != b->merges[i].left || m[i].right != b->merges[i].right)
            fail_msg("%s: merge %d is %d %d, not %d %d", what, i, b->merges[i].left,
                     b->merges[i].right, m[i].left, m[i].right);
    merge_list_release(&implied);
}

/* Writes both forms under `dir`, reads them back, and compares them and their ids. */
static void round_trip(struct vocab *v, const char *source, const char *dir, const char *name)
{
    char gguf[1100], hf[1100];
    struct err err = {0};
    (void)snprintf(gguf, sizeof gguf, "%s/%s.gguf", dir, name);
    (void)snprintf(hf, sizeof hf, "%s/%s", dir, name);
    write_gguf(v, gguf);
    write_hf(v, hf);
    const char *const path[] = {gguf, hf};
    struct vocab *back[ARRAY_LEN(path)];
    for (size_t k = 0; k < ARRAY_LEN(path); k++) {
        back[k] = vocab_from_path(path[k], &err);
        assert_ok(back[k], &err);
        check_same(path[k], v, back[k]);
        check_merges(path[k], v, back[k]);
    }
    struct tokenizer *t = make_tokenizer(v, source);
    for (size_t k = 0; k < ARRAY_LEN(path); k++) {
        struct tokenizer *t_back = make_tokenizer(back[k], path[k]);
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
            struct ids ids = {0};
            const size_t n = strlen(texts[i]);
            const unsigned flags = ENCODE_SPECIAL | ENCODE_DEFAULT_BOS;
            assert_ok(tokenizer_encode(t, texts[i], n, flags, &ids, &err), &err);
            check_text(t_back, texts[i], n, flags, ids.id, ids.n);
            ids_release(&ids);
        }
        tokenizer_free(t_back);
    }
    tokenizer_free(t);
}

static void put_ids(struct json_writer *w, const char *key, const struct tokenizer *t,
                    const char *text, unsigned flags)
{
    struct err err = {0};
    struct ids ids = {0};
    assert_ok(tokenizer_encode(t, text, strlen(text), flags, &ids, &err), &err);
    json_key(w, key);
    json_array(w);
    for (size_t i = 0; i < ids.n; i++) json_int(w, ids.id[i]);
    json_end(w);
    ids_release(&ids);
}

/* DIR/NAME.jsonl for tests/oracle/vocab.py: our ids of the texts. */
static void keep_ids(const char *source, const char *dir, const char *name)
{
    char file[256];
    struct buf b;
    struct tokenizer *t = make_tokenizer(read_vocab(source), source);
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct json_writer w = json_writer(&b);
        json_object(&w);
        json_key(&w, "text");
        json_cstring(&w, texts[i]);
        put_ids(&w, "ids", t, texts[i], ENCODE_SPECIAL | ENCODE_DEFAULT_BOS);
        put_ids(&w, "llama", t, texts[i], ENCODE_DEFAULT_BOS);
        json_end(&w);
        buf_putc(&b, '\n');
    }
    (void)snprintf(file, sizeof file, "%s.jsonl", name);
    write_bytes(dir, file, b.data, b.n_bytes);
    buf_release(&b);
    tokenizer_free(t);
}

static void remove_written(const char *dir, const char *name)
{
    static const char *const files[] = {"%s/%s/tokenizer.json", "%s/%s/tokenizer_config.json",
                                        "%s/%s/generation_config.json", "%s/%s", "%s/%s.gguf"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char path[1200];
        const char *form = files[i];
        const size_t n_tail = strlen(form) - 5; /* what follows "%s/%s" */
        (void)snprintf(path, sizeof path, "%s/%s%.*s", dir, name, (int)n_tail, form + 5);
        temp_remove(path);
    }
}

static void test_what_is_written_is_read(void **state)
{
    char dir[1024];
    (void)state;
    temp_dir(dir, sizeof dir);
    for (size_t i = 0; i < ARRAY_LEN(source_cases); i++) {
        char name[32];
        struct vocab *v = read_vocab(source_cases[i].name);
        if (!v) continue;
        (void)snprintf(name, sizeof name, "written%02zu", i);
        round_trip(v, source_cases[i].name, dir, name);
        if (getenv("CRIA_KEEP_WRITTEN")) keep_ids(source_cases[i].name, dir, name);
        remove_written(dir, name);
    }
    temp_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_form_is_read),
        cmocka_unit_test(test_forms_of_one_vocabulary_are_equal),
        cmocka_unit_test(test_specials_of_llama3),
        cmocka_unit_test(test_implied_merges),
        cmocka_unit_test(test_ids_of_transformers),
        cmocka_unit_test(test_ids_of_tiktoken),
        cmocka_unit_test(test_ids_of_llama_cpp),
        cmocka_unit_test(test_ids_of_smollm2),
        cmocka_unit_test(test_what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
