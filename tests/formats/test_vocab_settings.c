/* SPDX-License-Identifier: Apache-2.0
 *
 * test_vocab_settings.c - the files beside a tokenizer.json, the keys of a GGUF file that may be
 * missing: which tokens begin and end a text, who wins when they disagree, and that every end that
 * any of them names stops an answer.
 *
 * The vocabulary is the seed tests/fuzz/corpus/vocab_hf/new.json (259 <|begin_of_text|>, 260
 * <|eot_id|>; its post-processor adds BOS) or vocab_gguf/bpe.gguf, the same.
 */
#include "vocab_tools.h"

#include <unistd.h>

enum { BOS = 259, EOT = 260 };

struct side_file {
    const char *name, *text;
};

static const struct settings_case {
    const char *what;
    struct side_file file[4];
    int32_t bos, eos, eot, pad;
    bool adds_bos, adds_eos;
    int32_t stop[5]; /* ended by -1 */
    const char *template;
} settings_cases[] = {
    /* clang-format off */
    {"nothing beside it", {{0}}, BOS, -1, -1, -1, true, false, {-1}, NULL},
    {"texts", {{"tokenizer_config.json", "{\"bos_token\":\"<|begin_of_text|>\",\"eos_token\":\"<|eot_id|>\",\"pad_token\":\"<|eot_id|>\"}"}},
     BOS, EOT, EOT, EOT, true, false, {EOT, -1}, NULL},
    {"texts as objects", {{"tokenizer_config.json", "{\"eos_token\":{\"content\":\"<|eot_id|>\",\"lstrip\":false}}"}},
     BOS, EOT, EOT, -1, true, false, {EOT, -1}, NULL},
    {"texts that are null", {{"tokenizer_config.json", "{\"bos_token\":null,\"eos_token\":null}"}},
     BOS, -1, -1, -1, true, false, {-1}, NULL},
    {"padding that nobody added", {{"tokenizer_config.json", "{\"pad_token\":\"[PAD]\",\"unk_token\":\"<unk>\"}"}},
     BOS, -1, -1, -1, true, false, {-1}, NULL},
    {"no limit on the length", {{"tokenizer_config.json", "{\"model_max_length\":1000000000000000019884624838656,\"x\":\"10000000000000000198846\",\"eos_token\":\"<|eot_id|>\"}"}},
     BOS, EOT, EOT, -1, true, false, {EOT, -1}, NULL},
    {"floats stay", {{"tokenizer_config.json", "{\"a\":1000000000000000019884624838656.5,\"b\":1.00000000000000000000001,\"c\":1e0000000000000000000000001,\"d\":\"a\\\"9\",\"eos_token\":\"<|eot_id|>\"}"}},
     BOS, EOT, EOT, -1, true, false, {EOT, -1}, NULL},
    {"BOS off, EOS on", {{"tokenizer_config.json", "{\"add_bos_token\":false,\"add_eos_token\":true,\"eos_token\":\"<|eot_id|>\"}"}},
     BOS, EOT, EOT, -1, false, true, {EOT, -1}, NULL},
    {"BOS as the file has it", {{"tokenizer_config.json", "{\"add_bos_token\":null}"}},
     BOS, -1, -1, -1, true, false, {-1}, NULL},
    {"special_tokens_map", {{"special_tokens_map.json", "{\"eos_token\":\"<|eot_id|>\"}"}},
     BOS, EOT, EOT, -1, true, false, {EOT, -1}, NULL},
    {"special_tokens_map comes second", {{"tokenizer_config.json", "{\"eos_token\":\"a\"}"}, {"special_tokens_map.json", "{\"eos_token\":\"<|eot_id|>\"}"}},
     BOS, 97, EOT, -1, true, false, {97, EOT, -1}, NULL},
    {"generation_config, one end", {{"generation_config.json", "{\"eos_token_id\":260,\"pad_token_id\":5}"}},
     BOS, EOT, EOT, 5, true, false, {EOT, -1}, NULL},
    {"generation_config, a list", {{"generation_config.json", "{\"eos_token_id\":[7,260,7]}"}},
     BOS, 7, EOT, -1, true, false, {7, EOT, -1}, NULL},
    {"the union of all", {{"tokenizer_config.json", "{\"eos_token\":\"c\"}"}, {"generation_config.json", "{\"eos_token_id\":[4,5]}"},
                          {"config.json", "{\"eos_token_id\":6,\"bos_token_id\":0}"}, {"chat_template.jinja", "{{ x }}<|eot_id|>"}},
     BOS, 99, EOT, -1, true, false, {99, 4, 5, 6, EOT}, "{{ x }}<|eot_id|>"},
    {"config alone", {{"config.json", "{\"eos_token_id\":260,\"bos_token_id\":259,\"vocab_size\":300}"}},
     BOS, EOT, EOT, -1, true, false, {EOT, -1}, NULL},
    {"none is -1 or null", {{"config.json", "{\"eos_token_id\":null,\"pad_token_id\":-1}"}},
     BOS, -1, -1, -1, true, false, {-1}, NULL},
    {"a template names an end", {{"tokenizer_config.json", "{\"chat_template\":\"a <|eot_id|>\"}"}},
     BOS, -1, EOT, -1, true, false, {EOT, -1}, "a <|eot_id|>"},
    {"templates by name", {{"tokenizer_config.json", "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"T\"},{\"name\":\"default\",\"template\":\"D\"}]}"}},
     BOS, -1, -1, -1, true, false, {-1}, "D"},
    {"the template's own file wins", {{"tokenizer_config.json", "{\"chat_template\":\"A\"}"}, {"chat_template.jinja", "B"}},
     BOS, -1, -1, -1, true, false, {-1}, "B"},
    /* clang-format on */
};

/* A new directory with `vocab` as tokenizer.json and the files. */
static void make_dir(char *dir, const char *vocab, const struct side_file *file, size_t n_files)
{
    struct buf b;
    (void)strcpy(dir, "/tmp/cria-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    bytes_of_file(&b, seed_path(vocab));
    write_bytes(dir, "tokenizer.json", b.data, b.n_bytes);
    buf_release(&b);
    for (size_t i = 0; i < n_files && file[i].name; i++)
        write_bytes(dir, file[i].name, file[i].text, strlen(file[i].text));
}

static void remove_dir(const char *dir, const struct side_file *file, size_t n_files)
{
    char path[1200];
    (void)snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    (void)remove(path);
    for (size_t i = 0; i < n_files && file[i].name; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, file[i].name);
        (void)remove(path);
    }
    (void)rmdir(dir);
}

static void check_settings(const struct settings_case *c, const struct vocab *v)
{
    check_number(c->what, "bos", c->bos, v->bos);
    check_number(c->what, "eos", c->eos, v->eos);
    check_number(c->what, "eot", c->eot, v->eot);
    check_number(c->what, "pad", c->pad, v->pad);
    check_number(c->what, "adds_bos", c->adds_bos, v->adds_bos);
    check_number(c->what, "adds_eos", c->adds_eos, v->adds_eos);
    int32_t n_stop = 0;
    while (n_stop < (int32_t)ARRAY_LEN(c->stop) && c->stop[n_stop] >= 0) n_stop++;
    check_number(c->what, "n_stop", n_stop, v->n_stop);
    for (int32_t i = 0; i < n_stop; i++)
        check_number(c->what, "stops", true, has_stop(v, c->stop[i]));
    if (c->template)
        assert_string_equal(c->template, v->chat_template);
    else
        assert_null(v->chat_template);
}

static void test_files_beside_the_vocabulary(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(settings_cases); i++) {
        const struct settings_case *c = &settings_cases[i];
        struct err err = {0};
        char dir[64], path[128];
        make_dir(dir, "vocab_hf/new.json", c->file, ARRAY_LEN(c->file));
        struct vocab *v = vocab_from_dir(dir, false, &err);
        if (!v) fail_msg("%s: %s", c->what, err.text);
        check_settings(c, v);
        vocab_free(v);
        (void)snprintf(path, sizeof path, "%s/tokenizer.json", dir); /* its directory is read too */
        v = vocab_from_path(path, &err);
        if (!v) fail_msg("%s: %s", c->what, err.text);
        check_settings(c, v);
        vocab_free(v);
        remove_dir(dir, c->file, ARRAY_LEN(c->file));
    }
}

static const struct bad_settings {
    const char *what;
    struct side_file file;
    const char *says[2];
} bad_settings[] = {
    /* clang-format off */
    {"no JSON",           {"tokenizer_config.json", "{\"a\":}"},                       {"tokenizer_config.json: not JSON", "; "}},
    {"empty",             {"config.json", ""},                                         {"config.json: not JSON", "; "}},
    {"a list",            {"generation_config.json", "[]"},                            {"generation_config.json: is not an object", "; fetch"}},
    {"unknown EOS",       {"tokenizer_config.json", "{\"eos_token\":\"</s>\"}"},       {"tokenizer_config.json: eos_token: </s>", "not in the vocabulary; fetch"}},
    {"unknown BOS",       {"special_tokens_map.json", "{\"bos_token\":\"</s>\"}"},     {"special_tokens_map.json: bos_token: </s>", "; fetch"}},
    {"id out of range",   {"generation_config.json", "{\"eos_token_id\":261}"},        {"generation_config.json: eos_token_id", "0 to 260; fetch"}},
    {"id in a list",      {"config.json", "{\"eos_token_id\":[260,-2]}"},              {"config.json: eos_token_id", "0 to 260; fetch"}},
    {"id a text",         {"config.json", "{\"bos_token_id\":\"259\"}"},               {"config.json: bos_token_id", "0 to 260; fetch"}},
    {"id a huge number",  {"config.json", "{\"pad_token_id\":18446744073709551616}"},  {"config.json: pad_token_id", "0 to 260; fetch"}},
    {"zero byte",         {"tokenizer_config.json", "{\"chat_template\":\"a\\u0000b\"}"}, {"tokenizer_config.json: chat_template", "zero byte; fetch"}},
    /* clang-format on */
};

static void test_wrong_files_beside_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_settings); i++) {
        const struct bad_settings *c = &bad_settings[i];
        struct err err = {0};
        char dir[64];
        make_dir(dir, "vocab_hf/new.json", &c->file, 1);
        struct vocab *v = vocab_from_dir(dir, false, &err);
        if (v) fail_msg("%s: was taken", c->what);
        for (size_t k = 0; k < ARRAY_LEN(c->says); k++)
            if (!strstr(err.text, c->says[k])) fail_msg("%s: says: %s", c->what, err.text);
        remove_dir(dir, &c->file, 1);
    }
}

static void test_templates_have_a_ceiling(void **state)
{
    (void)state;
    static const char *const names[] = {"chat_template.jinja", "tokenizer_config.json"};
    char *text = malloc((2u << 20) + 100);
    assert_non_null(text);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        for (size_t n = 1 << 20; n <= (1 << 20) + 1; n++) {
            struct err err = {0};
            char dir[64];
            const size_t n_head = i ? strlen(strcpy(text, "{\"chat_template\":\"")) : 0;
            memset(text + n_head, 'a', n);
            (void)strcpy(text + n_head + n, i ? "\"}" : "");
            const struct side_file file = {names[i], text};
            make_dir(dir, "vocab_hf/new.json", &file, 1);
            struct vocab *v = vocab_from_dir(dir, false, &err);
            assert_int_equal(v != NULL, n == 1 << 20);
            assert_int_equal(err.code, v ? ERR_OK : ERR_LIMIT);
            if (!v) assert_non_null(strstr(err.text, names[i]));
            vocab_free(v);
            remove_dir(dir, &file, 1);
        }
    }
    free(text);
}

/* ---- tokenizer.model in a directory of Meta's form ---- */

static void test_names_of_llama31(void **state)
{
    static const struct {
        struct side_file file;
        bool is_llama31;
    } cases[] = {
        {{"params.json", "{\"use_scaled_rope\":true}"}, true},
        {{"params.json", "{\"use_scaled_rope\":false}"}, false},
        {{"params.json", "{\"dim\":4096}"}, false},
        {{"config.json", "{\"rope_scaling\":{\"rope_type\":\"llama3\"}}"}, true},
        {{"config.json", "{\"rope_parameters\":{\"rope_type\":\"llama3\"}}"}, true},
        {{"config.json", "{\"rope_scaling\":null}"}, false},
    };
    (void)state;
    struct buf b;
    bytes_of_file(&b, seed_path("vocab_model/tiktoken.model"));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        char dir[64] = "/tmp/cria-test-XXXXXX", path[128], side[128];
        assert_non_null(mkdtemp(dir));
        write_bytes(dir, "tokenizer.model", b.data, b.n_bytes);
        write_bytes(dir, cases[i].file.name, cases[i].file.text, strlen(cases[i].file.text));
        (void)snprintf(path, sizeof path, "%s/tokenizer.model", dir);
        (void)snprintf(side, sizeof side, "%s/%s", dir, cases[i].file.name);
        const char *const by[] = {dir, path};
        for (size_t k = 0; k < ARRAY_LEN(by); k++) {
            struct vocab *v = vocab_from_path(by[k], &err);
            assert_ok(v, &err);
            check_number(cases[i].file.text, "eom", cases[i].is_llama31 ? 259 + 8 : -1, v->eom);
            vocab_free(v);
        }
        (void)remove(path);
        (void)remove(side);
        (void)rmdir(dir);
    }
    buf_release(&b);
}

/* ---- tokens that were added to a tokenizer.model ---- */

/* On the seed spm.model: 264 tokens, 1 <s>, 2 </s>, 260 "a". */
static const struct added_case {
    const char *what;
    struct side_file file[2];
    int32_t n_tokens, eos;
    int32_t id; /* of this token */
    const char *text;
    enum token_kind kind;
    const char *says; /* NULL: taken */
} added_cases[] = {
    /* clang-format off */
    {"old form", {{"added_tokens.json", "{\"<pad>\":264,\"<|im_end|>\":265}"}, {"tokenizer_config.json", "{\"eos_token\":\"<|im_end|>\"}"}},
     266, 265, 264, "<pad>", TOKEN_USER, NULL},
    {"new form", {{"tokenizer_config.json", "{\"added_tokens_decoder\":{\"1\":{\"content\":\"<s>\",\"special\":true},\"264\":{\"content\":\"<|im_end|>\",\"special\":true}},\"eos_token\":\"<|im_end|>\"}"}},
     265, 264, 264, "<|im_end|>", TOKEN_CONTROL, NULL},
    {"both forms", {{"added_tokens.json", "{\"<x>\":264}"}, {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"264\":{\"content\":\"<x>\",\"special\":true}}}"}},
     265, 2, 264, "<x>", TOKEN_CONTROL, NULL},
    {"a gap", {{"added_tokens.json", "{\"<x>\":270}"}}, 271, 2, 269, "", TOKEN_UNUSED, NULL},
    {"a special renamed", {{"added_tokens.json", "{\"<begin>\":1}"}}, 264, 2, 1, "<begin>", TOKEN_CONTROL, NULL},
    {"nothing", {{"added_tokens.json", "{}"}}, 264, 2, 2, "</s>", TOKEN_CONTROL, NULL},
    {"an ordinary one renamed", {{"added_tokens.json", "{\"x\":260}"}}, 0, 0, 0, NULL, TOKEN_NORMAL, "added_tokens.json: added token 260: is another token"},
    {"too far away", {{"added_tokens.json", "{\"x\":65800}"}}, 0, 0, 0, NULL, TOKEN_NORMAL, "added token x: has no text or no id from 0 to 65799; fetch"},
    {"an id of text", {{"added_tokens.json", "{\"x\":\"264\"}"}}, 0, 0, 0, NULL, TOKEN_NORMAL, "added token x: has no text or no id"},
    {"a key that is no id", {{"tokenizer_config.json", "{\"added_tokens_decoder\":{\"-1\":{\"content\":\"x\"}}}"}}, 0, 0, 0, NULL, TOKEN_NORMAL, "added token -1: has no text or no id"},
    {"no content", {{"tokenizer_config.json", "{\"added_tokens_decoder\":{\"264\":{}}}"}}, 0, 0, 0, NULL, TOKEN_NORMAL, "added token 264: has no text"},
    {"a text twice", {{"added_tokens.json", "{\"<s>\":264}"}}, 0, 0, 0, NULL, TOKEN_NORMAL, "tokens 1 and 264 have the same text"},
    /* clang-format on */
};

static void test_tokens_added_to_a_model(void **state)
{
    (void)state;
    struct buf b;
    bytes_of_file(&b, seed_path("vocab_model/spm.model"));
    for (size_t i = 0; i < ARRAY_LEN(added_cases); i++) {
        const struct added_case *c = &added_cases[i];
        struct err err = {0};
        char dir[64], path[128];
        make_dir(dir, "vocab_hf/new.json", c->file, ARRAY_LEN(c->file));
        (void)snprintf(path, sizeof path, "%s/tokenizer.json", dir);
        (void)remove(path);
        write_bytes(dir, "tokenizer.model", b.data, b.n_bytes);
        (void)snprintf(path, sizeof path, "%s/tokenizer.model", dir);
        struct vocab *v = vocab_from_dir(dir, false, &err);
        if ((v == NULL) != (c->says != NULL)) fail_msg("%s: says: %s", c->what, err.text);
        if (!v && !strstr(err.text, c->says)) fail_msg("%s: says: %s", c->what, err.text);
        if (v) {
            check_number(c->what, "n_tokens", c->n_tokens, v->n_tokens);
            check_number(c->what, "eos", c->eos, v->eos);
            check_number(c->what, "kind", c->kind, v->tokens[c->id].kind);
            assert_string_equal(c->text, v->tokens[c->id].bytes);
        }
        vocab_free(v);
        (void)remove(path);
        remove_dir(dir, c->file, ARRAY_LEN(c->file));
    }
    buf_release(&b);
}

/* ---- keys of a GGUF file ---- */

/* The seed with keys left out, and one put. */
static struct vocab *read_changed(const char *const *without, const char *put, int32_t value,
                                  struct err *err)
{
    char path[64] = "/tmp/cria-test-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct gguf *g = gguf_open(seed_path("vocab_gguf/bpe.gguf"), err);
    struct gguf_writer *w = gguf_writer_new(err);
    assert_ok(g && w, err);
    for (size_t i = 0; i < gguf_n_values(g); i++) {
        bool is_kept = true;
        for (const char *const *k = without; *k; k++)
            is_kept = is_kept && strcmp(gguf_value(g, i)->key, *k) != 0;
        if (is_kept) gguf_put_value(w, gguf_value(g, i));
    }
    if (put && strstr(put, "_ids"))
        gguf_put_i32_array(w, put, &value, 1);
    else if (put && (strstr(put, "add_") || strstr(put, "ignore_")))
        gguf_put_bool(w, put, value != 0);
    else if (put)
        gguf_put_u32(w, put, (uint32_t)value);
    assert_ok(gguf_writer_begin(w, path, err) && gguf_writer_commit(w, err), err);
    gguf_writer_free(w);
    gguf_close(g);
    struct vocab *v = vocab_from_path(path, err);
    (void)remove(path);
    return v;
}

static const struct key_case {
    const char *what;
    const char *without[3];
    const char *put;
    int32_t value;
    enum pretok pretok;
    int32_t bos, eos, eom;
    bool adds_bos, adds_eos, ignores_merges;
    int32_t stop; /* also, or -1 */
} key_cases[] = {
/* clang-format off */
#define G "tokenizer.ggml."
    {"as it is",            {0}, NULL, 0,                                PRETOK_LLAMA3, BOS, EOT, -1, true,  false, true,  -1},
    {"no family named",     {G "pre"}, NULL, 0,                          PRETOK_GPT2,   BOS, EOT, -1, true,  false, false, -1},
    {"neither that nor BOS", {G "pre", G "add_bos_token"}, NULL, 0,      PRETOK_GPT2,   BOS, EOT, -1, false, false, false, -1},
    {"BOS by the family",   {G "add_bos_token"}, NULL, 0,                PRETOK_LLAMA3, BOS, EOT, -1, true,  false, true,  -1},
    {"BOS that is not",     {G "add_bos_token", G "bos_token_id"}, NULL, 0, PRETOK_LLAMA3, -1, EOT, -1, false, false, true, -1},
    {"BOS off",             {0}, G "add_bos_token", 0,                   PRETOK_LLAMA3, BOS, EOT, -1, false, false, true,  -1},
    {"EOS on",              {0}, G "add_eos_token", 1,                   PRETOK_LLAMA3, BOS, EOT, -1, true,  true,  true,  -1},
    {"merges not ignored",  {0}, G "ignore_merges", 0,                   PRETOK_LLAMA3, BOS, EOT, -1, true,  false, false, -1},
    {"EOM",                 {0}, G "eom_token_id", 7,                    PRETOK_LLAMA3, BOS, EOT, 7,  true,  false, true,  7},
    {"an end more",         {0}, "tokenizer.cria.stop_token_ids", 9,     PRETOK_LLAMA3, BOS, EOT, -1, true,  false, true,  9},
    {"no types",            {G "token_type"}, NULL, 0,                   PRETOK_LLAMA3, BOS, EOT, -1, true,  false, true,  EOT},
#undef G
    /* clang-format on */
};

static void test_keys_that_may_be_missing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(key_cases); i++) {
        const struct key_case *c = &key_cases[i];
        struct err err = {0};
        struct vocab *v = read_changed(c->without, c->put, c->value, &err);
        if (!v) fail_msg("%s: %s", c->what, err.text);
        check_number(c->what, "pretok", c->pretok, v->pretok);
        check_number(c->what, "bos", c->bos, v->bos);
        check_number(c->what, "eos", c->eos, v->eos);
        check_number(c->what, "eom", c->eom, v->eom);
        check_number(c->what, "adds_bos", c->adds_bos, v->adds_bos);
        check_number(c->what, "adds_eos", c->adds_eos, v->adds_eos);
        check_number(c->what, "ignores_merges", c->ignores_merges, v->ignores_merges);
        check_number(c->what, "kind of EOT", TOKEN_CONTROL, v->tokens[EOT].kind);
        check_number(c->what, "stops", true, c->stop < 0 || has_stop(v, c->stop));
        vocab_free(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_beside_the_vocabulary),
        cmocka_unit_test(test_wrong_files_beside_it),
        cmocka_unit_test(test_templates_have_a_ceiling),
        cmocka_unit_test(test_names_of_llama31),
        cmocka_unit_test(test_tokens_added_to_a_model),
        cmocka_unit_test(test_keys_that_may_be_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
