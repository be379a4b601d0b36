/* SPDX-License-Identifier: Apache-2.0
 *
 * test_vocab_bad.c - vocabularies that lie, are cut short or flipped, and memory that runs out:
 * always an error that names file, place and remedy, never a crash, a read past the end, or a leak
 * (run under sanitizers). The rows follow spec/inference.md b2.
 *
 * Wrong files are made from the seeds in tests/fuzz/corpus by one change each, and the seeds
 * themselves are right.
 */
#include "vocab_tools.h"

#include <unistd.h>

#include "fault.h"

/* ---- checks that all forms share ---- */

enum form { FORM_MODEL, FORM_HF, FORM_GGUF };

/* Exactly these bytes, so that a sanitizer sees a read past them. */
static struct vocab *read_form(enum form form, const void *data, size_t n, struct err *err)
{
    struct vocab *v = NULL;
    uint8_t *exact = bytes_exact(data, n);
    if (form == FORM_MODEL) v = vocab_from_model_memory(exact, n, "NAME", false, err);
    if (form == FORM_HF) v = vocab_from_hf_memory(exact, n, "NAME", err);
    if (form == FORM_GGUF) {
        struct gguf *g = gguf_open_memory(exact, n, "NAME", err);
        v = g ? vocab_from_gguf(g, err) : NULL;
        gguf_close(g);
    }
    free(exact);
    assert_int_equal(v == NULL, err->code != ERR_OK);
    return v;
}

/* `says` NULL: the file is right. Else the error names the file, says so, and has a remedy. */
static void check_says(enum form form, const char *what, const void *data, size_t n,
                       const char *says)
{
    struct err err = {0};
    struct vocab *v = read_form(form, data, n, &err);
    if (v) {
        if (says) fail_msg("%s: was taken", what);
        if (!vocab_check(v, "NAME", &err)) fail_msg("%s: %s", what, err.text);
        vocab_free(v);
        return;
    }
    if (!says) fail_msg("%s: %s", what, err.text);
    if (!strstr(err.text, says)) fail_msg("%s: says: %s", what, err.text);
    if (strncmp(err.text, "NAME: ", 6) != 0 || !strstr(err.text, "; "))
        fail_msg("%s: lacks file or remedy: %s", what, err.text);
}

/* ---- tiktoken ---- */

/* `ab` stands for the 256 bytes and "ab" of the seed. */
static const struct text_change {
    const char *what, *old, *new;
    const char *says;
} tiktoken_rows[] = {
    /* clang-format off */
    {"as it is",             "AA== 0\n", "AA== 0\n",          NULL},
    {"an empty line",        "AA== 0\n", "\n\nAA== 0\n\r\n",  NULL},
    {"lines of DOS",         "AA== 0\n", "AA== 0\r\n",        NULL},
    {"a digit that is none", "AA== 0\n", "A*== 0\n",          "line 1: does not begin with a token in base64"},
    {"no padding",           "AQ== 1\n", "AQ 1\n",            "line 2: does not begin with a token in base64"},
    {"padding inside",       "AQ== 1\n", "A==Q 1\n",          "line 2: does not begin with a token in base64"},
    {"only padding",         "AQ== 1\n", "==== 1\n",          "line 2: does not begin with a token in base64"},
    {"bits that are left",   "AQ== 1\n", "AR== 1\n",          "line 2: does not begin with a token in base64"},
    {"no token",             "AQ== 1\n", " 1\n",              "line 2: does not begin with a token in base64"},
    {"no rank",              "AQ== 1\n", "AQ==\n",            "line 2: has no rank"},
    {"empty rank",           "AQ== 1\n", "AQ== \n",           "line 2: has no rank"},
    {"a rank of letters",    "AQ== 1\n", "AQ== 1x\n",         "line 2: has no rank"},
    {"a negative rank",      "AQ== 1\n", "AQ== -1\n",         "line 2: has no rank"},
    {"a rank of 2^64",       "AQ== 1\n", "AQ== 18446744073709551616\n", "line 2: has no rank"},
    {"a rank out of range",  "AQ== 1\n", "AQ== 259\n",        "line 2: rank 259, allowed are 0 to 258"},
    {"a rank twice",         "AQ== 1\n", "AQ== 2\n",          "line 3: its rank was there before"},
    {"a token twice",        "AQ== 1\n", "AA== 1\n",          "tokens 0 and 1 have the same text"},
    {"a letter missing",     "YQ== 97\n", "/v7+ 97\n",        "no token for the byte 0x61"},
    {"an LFS pointer",       "AA== 0\n", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a git-lfs pointer"},
    /* clang-format on */
};

/* The seed with the first `old` replaced. */
static void change_text(struct buf *out, const char *seed, const char *old, const char *new)
{
    struct buf b;
    bytes_of_file(&b, seed_path(seed));
    const char *at = strstr(b.data, old);
    if (!at) fail_msg("%s: has no %s", seed, old);
    buf_init(out, 64 << 20);
    buf_append(out, b.data, (size_t)(at - b.data));
    buf_puts(out, new);
    buf_puts(out, at + strlen(old));
    assert_false(out->is_failed);
    buf_release(&b);
}

static void test_wrong_tiktoken_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tiktoken_rows); i++) {
        const struct text_change *c = &tiktoken_rows[i];
        struct buf b;
        change_text(&b, "vocab_model/tiktoken.model", c->old, c->new);
        check_says(FORM_MODEL, c->what, b.data, b.n_bytes, c->says);
        buf_release(&b);
    }
    check_says(FORM_MODEL, "nothing", "", 0, "the file is empty");
    check_says(FORM_MODEL, "only lines", "\n\n\n", 3, "has 0 tokens");
    char *huge = malloc(1 << 20);
    assert_non_null(huge);
    memset(huge, 'A', 1 << 20);
    check_says(FORM_MODEL, "a huge token", huge, 1 << 20, "line 1: the token has over 4,095 bytes");
    free(huge);
}

/* ---- SentencePiece ---- */

/* A piece: "a", score 0, type T: fields 1, 2, 3. The settings that every right file needs follow.
 */
#define PIECE(T) "o0x0a o10 o0x0a o1 ta o0x15 i0 o0x18 o" #T " "
#define UNK "o0x0a o9 o0x0a o5 t<unk> o0x18 o2 "
#define BPE "o0x12 o2 o0x18 o2 "
#define KEEP "o0x1a o2 o0x20 o0 "

static const struct bad_bytes {
    const char *what, *file, *says;
} spm_rows[] = {
    /* clang-format off */
    {"right",                   UNK PIECE(1) BPE KEEP,                           NULL},
    {"settings first",          BPE KEEP PIECE(1) UNK,                           NULL},
    {"unknown fields",          "o0x28 o1 o0x31 q9 o0x3d i9 o0x42 o1 tx " UNK PIECE(1) BPE KEEP, NULL},
    {"no pieces",               BPE KEEP,                                        "has 0 pieces"},
    {"no unknown, no bytes",    PIECE(1) BPE KEEP,                               "0 byte tokens and no unknown token"},
    {"a piece twice",           UNK PIECE(1) PIECE(1) BPE KEEP,                  "tokens 1 and 2 have the same text"},
    {"a piece without text",    UNK "o0x0a o2 o0x18 o1 " BPE KEEP,               "piece 1: has no text"},
    {"type 0",                  UNK PIECE(0) BPE KEEP,                           "piece 1: its type"},
    {"type 7",                  UNK PIECE(7) BPE KEEP,                           "piece 1: its type"},
    {"type of 2^63",            UNK "o0x0a o14 o0x0a o1 ta o0x18 q0x8080808080808081 o0x80 o1 " BPE KEEP, "piece 1: its type"},
    {"a score that is NaN",     UNK "o0x0a o8 o0x0a o1 ta o0x15 i0x7fc00000 " BPE KEEP, "score is NaN"},
    {"a score as a varint",     UNK "o0x0a o5 o0x0a o1 ta o0x10 o1 " BPE KEEP,   "field 2 has kind 0, want 5"},
    {"a text as a varint",      UNK "o0x0a o2 o0x08 o1 " BPE KEEP,               "field 1 has kind 0, want 2"},
    {"pieces as a varint",      "o0x08 o1 " UNK BPE KEEP,                        "field 1 has kind 0, want 2"},
    {"a piece past the end",    "o0x0a o99 o0x0a o1 ta",                         "longer than what is left"},
    {"a text past its piece",   "o0x0a o3 o0x0a o2 ta " UNK BPE KEEP,            "longer than what is left"},
    {"a length of 2^64 - 1",    "o0x0a q0xffffffffffffffff o0xff o1",            "longer than what is left"},
    {"a length without an end", "o0x0a q0xffffffffffffffff o0xff o0xff o0xff",   "has more than 10 bytes"},
    {"a length cut short",      UNK "o0x0a o0x80",                               "a number is cut short"},
    {"a float cut short",       BPE KEEP UNK "o0x0a o5 o0x0a o1 ta o0x15 o0",    "a number is cut short"},
    {"field 0",                 "o0x02 o1 tx " UNK BPE KEEP,                     "a field has no number"},
    {"a group",                 "o0x0b o0x0c " UNK BPE KEEP,                     "a kind that does not exist"},
    {"kind 7",                  "o0x0f " UNK BPE KEEP,                           "a kind that does not exist"},
    {"unigram",                 UNK PIECE(1) "o0x12 o2 o0x18 o1 " KEEP,          "is a unigram model"},
    {"unigram unsaid",          UNK PIECE(1) KEEP,                               "is a unigram model"},
    {"model type 99",           UNK PIECE(1) "o0x12 o2 o0x18 o99 " KEEP,         "is a unknown model"},
    {"spaces are suffixes",     UNK PIECE(1) BPE "o0x12 o3 o0xc0 o1 o1 " KEEP,   "treat_whitespace_as_suffix"},
    {"spaces are removed",      UNK PIECE(1) BPE,                                "remove_extra_whitespaces"},
    {"spaces are kept",         UNK PIECE(1) BPE "o0x1a o4 o0x20 o0 o0x28 o0 ",  "escape_whitespaces false"},
    {"a character map",         UNK PIECE(1) BPE "o0x1a o5 o0x20 o0 o0x12 o1 tx ", "a character map"},
    /* clang-format on */
};

static void test_wrong_sentencepiece_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(spm_rows); i++) {
        struct buf b;
        buf_init(&b, 1 << 16);
        bytes_build(&b, spm_rows[i].file);
        check_says(FORM_MODEL, spm_rows[i].what, b.data, b.n_bytes, spm_rows[i].says);
        buf_release(&b);
    }
}

/* ---- tokenizer.json ---- */

static const struct hf_row {
    const char *what, *seed, *old, *new;
    const char *says;
} hf_rows[] = {
/* clang-format off */
#define NEW "vocab_hf/new.json"
#define OLD "vocab_hf/old.json"
#define SPM "vocab_hf/spm.json"
#define BYTES "\"pre_tokenizer\":"
    {"as it is",               NEW, "{", "{",                                               NULL},
    {"merges as texts",        OLD, "{", "{",                                               NULL},
    {"SentencePiece",          SPM, "{", "{",                                               NULL},
    {"no JSON",                NEW, "{", "[",                                               "not JSON"},
    {"no model",               NEW, "\"model\"", "\"modex\"",                               "model: is missing"},
    {"no vocabulary",          NEW, "\"vocab\"", "\"vocax\"",                               "model.vocab: is missing"},
    {"no merges",              NEW, "\"merges\"", "\"mergex\"",                             "model.merges: is missing"},
    {"merges an object",       NEW, "\"merges\":[", "\"merges\":{\"a\":1},\"x\":[",         "model.merges: is missing or not an array"},
    {"WordPiece",              NEW, "\"type\":\"BPE\"", "\"type\":\"WordPiece\"",           "a type that is not BPE"},
    {"Unigram",                SPM, "\"type\":\"BPE\"", "\"type\":\"Unigram\"",             "a type that is not BPE"},
    {"a prefix",               NEW, "\"continuing_subword_prefix\":null", "\"continuing_subword_prefix\":\"##\"", "continuing_subword_prefix"},
    {"a suffix",               NEW, "\"end_of_word_suffix\":null", "\"end_of_word_suffix\":\"</w>\"", "end_of_word_suffix"},
    {"dropout",                NEW, "\"dropout\":null", "\"dropout\":0.1",                  "dropout"},
    {"byte fallback",          NEW, "\"byte_fallback\":false", "\"byte_fallback\":true",    "byte_fallback together with ByteLevel"},
    {"an id of text",          NEW, "\"A\":65", "\"A\":\"65\"",                             "model.vocab: entry 65: its id"},
    {"an id below 0",          NEW, "\"A\":65", "\"A\":-1",                                 "model.vocab: entry 65: its id"},
    {"an id of 2^40",          NEW, "\"A\":65", "\"A\":1099511627776",                      "model.vocab: entry 65: its id"},
    {"an id far away",         NEW, "\"A\":65", "\"A\":3999999",                            "has id 3999999 with only 261 tokens"},
    {"an id twice",            NEW, "\"A\":65", "\"A\":66",                                 "model.vocab: entry 66: id 66 is another token's"},
    {"a text twice",           NEW, "\"A\":65", "\"B\":65",                                 "tokens 65 and 66 have the same text"},
    {"a letter missing",       NEW, "\"A\":65", "\"AA\":65",                                "no token for the byte 0x41"},
    {"added an object",        NEW, "\"added_tokens\":[", "\"added_tokens\":{},\"x\":[",    "added_tokens: is not an array"},
    {"added without id",       NEW, "\"id\":260", "\"ix\":260",                             "added_tokens: entry 1: its id"},
    {"added without text",     NEW, "\"content\"", "\"contenx\"",                           "added_tokens: entry 0: has no content"},
    {"added on another's id",  NEW, "\"id\":260", "\"id\":97",                              "added_tokens: entry 1: id 97 is another token's"},
    {"added twice",            NEW, "\"id\":260", "\"id\":259",                             "added_tokens: entry 1: id 259 is another token's"},
    {"added, one text twice",  NEW, "\"content\":\"<|eot_id|>\"", "\"content\":\"<|begin_of_text|>\"", "tokens 259 and 260 have the same text"},
    {"added, spaces eaten",    NEW, "\"lstrip\":false", "\"lstrip\":true",                  "added_tokens: entry 0: lstrip"},
    {"added, whole words",     NEW, "\"single_word\":false", "\"single_word\":true",        "added_tokens: entry 0: single_word"},
    {"a merge of one",         NEW, "[\"a\",\"b\"]", "[\"a\"]",                             "model.merges: entry 0: is not a pair"},
    {"a merge of three",       NEW, "[\"a\",\"b\"]", "[\"a\",\"b\",\"c\"]",                 "model.merges: entry 0: is not a pair"},
    {"a merge of numbers",     NEW, "[\"a\",\"b\"]", "[1,2]",                               "model.merges: entry 0: is not a pair"},
    {"a merge without space",  OLD, "\"a b\"", "\"ab\"",                                    "model.merges: entry 0: is not a pair"},
    {"a merge of no token",    OLD, "\"a b\"", "\"a zz\"",                                  "model.merges: entry 0: its right part"},
    {"a merge in no spelling", NEW, "[\"a\",\"b\"]", "[\"\\u4e00\",\"b\"]",                 "model.merges: entry 0: its left part"},
    {"NFC",                    NEW, "\"normalizer\":null", "\"normalizer\":{\"type\":\"NFC\"}", "normalizer: NFC"},
    {"a list of nothing",      NEW, "\"normalizer\":null", "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[]}", NULL},
    {"Lowercase in a list",    NEW, "\"normalizer\":null", "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"}]}", "normalizer: Lowercase"},
    {"a normalizer number",    NEW, "\"normalizer\":null", "\"normalizer\":7",              "normalizer: a step without a type"},
    {"another expression",     NEW, "\\\\p{N}{1,3}", "\\\\p{N}{1,4}",                       "pre_tokenizer: Split"},
    {"Split another way",      NEW, "\"Isolated\"", "\"MergedWithNext\"",                   "pre_tokenizer: Split"},
    {"Split inverted",         NEW, "\"behavior\":\"Isolated\",\"invert\":false", "\"behavior\":\"Removed\",\"invert\":true", NULL},
    {"Whitespace",             NEW, "\"type\":\"Split\"", "\"type\":\"Whitespace\"",        "pre_tokenizer: Whitespace"},
    {"a space in front",       NEW, "\"add_prefix_space\":false", "\"add_prefix_space\":true", "ByteLevel: add_prefix_space"},
    {"split twice",            NEW, "\"use_regex\":false", "\"use_regex\":true",            "this order of steps"},
    {"no pre-tokenizer",       NEW, BYTES, BYTES "null,\"x\":",                             "neither ByteLevel nor spaces"},
    {"Digits",                 NEW, BYTES, BYTES "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]},\"x\":", NULL},
    {"Digits in runs",         NEW, BYTES, BYTES "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]},\"x\":", "Digits: a run of digits"},
    {"a step after ByteLevel", NEW, BYTES, BYTES "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\",\"add_prefix_space\":false},{\"type\":\"Digits\"}]},\"x\":", "after ByteLevel: Digits"},
    {"a list in a list",       NEW, BYTES, BYTES "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Sequence\"}]},\"x\":", "pre_tokenizer: Sequence"},
    {"Bert around it",         NEW, "\"type\":\"TemplateProcessing\"", "\"type\":\"BertProcessing\"", "post_processor: BertProcessing"},
    {"two tokens in front",    NEW, "\"single\":[", "\"single\":[{\"SpecialToken\":{\"id\":\"<|begin_of_text|>\"}},", "more than one token on a side"},
    {"no text",                NEW, "\"single\":[", "\"single\":[],\"x\":[",                "a text not once"},
    {"BOS that no token is",   NEW, "\"ids\":[259]", "\"ids\":[261]",                       "names an id that no token has"},
    {"BOS below 0",            NEW, "\"ids\":[259]", "\"ids\":[-1]",                        "is no token"},
    {"BOS of two ids",         NEW, "\"ids\":[259]", "\"ids\":[259,260]",                   "more than one token"},
    {"unknown UNK",            SPM, "\"unk_token\":\"<unk>\"", "\"unk_token\":\"<none>\"",  "model.unk_token: is not in the vocabulary"},
    {"a merge too few",        SPM, ",\"a b\"]", "]",                                       "1 merges where the tokens have 2 splits"},
    {"no byte fallback",       SPM, "\"fuse_unk\":true,\"byte_fallback\":true", "\"x\":1",  "neither byte_fallback nor fuse_unk"},
    {"no normalizer",          SPM, "\"normalizer\":", "\"normalizer\":null,\"x\":",        "neither ByteLevel nor spaces"},
    {"Metaspace",              SPM, "\"normalizer\":", "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\u2581\",\"prepend_scheme\":\"first\",\"split\":false},\"normalizer\":null,\"x\":", NULL},
    {"Metaspace that splits",  SPM, "\"normalizer\":", "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\u2581\",\"prepend_scheme\":\"first\"},\"normalizer\":null,\"x\":", "Metaspace: another replacement"},
    {"Metaspace by another",   SPM, "\"normalizer\":", "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"split\":false},\"normalizer\":null,\"x\":", "Metaspace: another replacement"},
    {"another Replace",        SPM, "\"content\":\"\u2581\"", "\"content\":\"_\"",          "normalizer: Replace"},
#undef NEW
#undef OLD
#undef SPM
#undef BYTES
    /* clang-format on */
};

static void test_wrong_tokenizer_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hf_rows); i++) {
        const struct hf_row *c = &hf_rows[i];
        struct buf b;
        change_text(&b, c->seed, c->old, c->new);
        check_says(FORM_HF, c->what, b.data, b.n_bytes, c->says);
        buf_release(&b);
    }
    check_says(FORM_HF, "a list", "[]", 2, "top: is not an object");
}

/* A text above what a token may hold. */
static void test_huge_tokens(void **state)
{
    (void)state;
    for (size_t n = 65535; n <= 65536; n++) {
        struct buf b;
        char *key = malloc(n + 20);
        assert_non_null(key);
        key[0] = '"';
        memset(key + 1, 'q', n);
        (void)strcpy(key + 1 + n, "\":3");
        change_text(&b, "vocab_hf/new.json", "\"\u0103\":3", key);
        check_says(FORM_HF, "huge", b.data, b.n_bytes, n == 65535 ? NULL : "token 3: 65536 bytes");
        buf_release(&b);
        free(key);
    }
}

/* ---- GGUF ---- */

/* How a key is replaced: left out, or put as another type. */
enum change { GONE, AS_U32, AS_STR, AS_I32S, AS_STRS, AS_F32S };

static const struct gguf_row {
    const char *what, *seed, *key;
    enum change change;
    int32_t value; /* of AS_U32; of each element, where AS_I32S and AS_F32S are as long as before */
    const char *text;
    const char *says;
} gguf_rows[] = {
/* clang-format off */
#define B "vocab_gguf/bpe.gguf"
#define S "vocab_gguf/spm.gguf"
#define G "tokenizer.ggml."
    {"as it is",          B, "none",             GONE,    0, NULL,   NULL},
    {"SentencePiece",     S, "none",             GONE,    0, NULL,   NULL},
    {"no model",          B, G "model",          GONE,    0, NULL,   "tokenizer.ggml.model: is missing"},
    {"model a number",    B, G "model",          AS_U32,  1, NULL,   "tokenizer.ggml.model: is of type"},
    {"model t5",          B, G "model",          AS_STR,  0, "t5",   "tokenizer.ggml.model: t5 is not supported"},
    {"model empty",       B, G "model",          AS_STR,  0, "",     "tokenizer.ggml.model:  is not supported"},
    {"another family",    B, G "pre",            AS_STR,  0, "qwen2", "tokenizer.ggml.pre: the pre-tokenizer qwen2"},
    {"family a number",   B, G "pre",            AS_U32,  0, NULL,   "tokenizer.ggml.pre: is of type"},
    {"no tokens",         B, G "tokens",         GONE,    0, NULL,   "tokenizer.ggml.tokens: is missing"},
    {"tokens of numbers", B, G "tokens",         AS_I32S, 1, NULL,   "tokenizer.ggml.tokens: is not an array of strings"},
    {"tokens a text",     B, G "tokens",         AS_STR,  0, "a",    "tokenizer.ggml.tokens: is not an array of strings"},
    {"one token",         B, G "tokens",         AS_STRS, 1, "a",    "key tokenizer.ggml.bos_token_id"},
    {"no token at all",   B, G "tokens",         AS_STRS, 0, "a",    "has 0 tokens, allowed are 1 to"},
    {"one token 261 times", B, G "tokens",       AS_STRS, 261, "a",  "tokens 0 and 1 have the same text"},
    {"type 0",            B, G "token_type",     AS_I32S, 0, NULL,   "token 0 has type 0, allowed are 1 to 6"},
    {"type 7",            B, G "token_type",     AS_I32S, 7, NULL,   "token 0 has type 7"},
    {"types as texts",    B, G "token_type",     AS_STRS, 261, "1",  "tokenizer.ggml.token_type: is not an array of whole numbers"},
    {"types as floats",   B, G "token_type",     AS_F32S, 1, NULL,   "tokenizer.ggml.token_type: is not an array of whole numbers"},
    {"types too few",     S, G "token_type",     AS_I32S, -9, NULL,  "token_type: has 9 elements for 264 tokens"},
    {"all unused",        B, G "token_type",     AS_I32S, 5, NULL,   "is not a token"},
    {"no scores",         S, G "scores",         GONE,    0, NULL,   "tokenizer.ggml.scores: is missing"},
    {"scores whole",      S, G "scores",         AS_I32S, 1, NULL,   "tokenizer.ggml.scores: is not an array of floats"},
    {"scores too few",    S, G "scores",         AS_F32S, -3, NULL,  "scores: has 3 elements for 264 tokens"},
    {"no merges",         B, G "merges",         GONE,    0, NULL,   "tokenizer.ggml.merges: is missing"},
    {"merges of numbers", B, G "merges",         AS_I32S, 1, NULL,   "tokenizer.ggml.merges: is not an array of strings"},
    {"merge of one",      B, G "merges",         AS_STRS, 2, "ab",   "merge 0: has no space"},
    {"merge empty",       B, G "merges",         AS_STRS, 1, "",     "merge 0: has no space"},
    {"merge of a space",  B, G "merges",         AS_STRS, 1, " ",    "merge 0: has no space"},
    {"merge of no token", B, G "merges",         AS_STRS, 1, "a zz", "merge 0: its right part is not a token"},
    {"merge not spelled", B, G "merges",         AS_STRS, 1, "\xff b", "merge 0: its left part is not a token"},
    {"merges are none",   B, G "merges",         AS_STRS, 0, "",     NULL},
    {"BOS out of range",  B, G "bos_token_id",   AS_U32, 261, NULL,  "tokenizer.ggml.bos_token_id: is 261, allowed are 0 to 260"},
    {"EOS 2^32 - 1",      B, G "eos_token_id",   AS_U32, -1, NULL,   "tokenizer.ggml.eos_token_id: is 4294967295"},
    {"EOS a text",        B, G "eos_token_id",   AS_STR,  0, "</s>", "tokenizer.ggml.eos_token_id: is of type"},
    {"EOT out of range",  B, G "eot_token_id",   AS_U32, 999, NULL,  "tokenizer.ggml.eot_token_id: is 999"},
    {"UNK out of range",  S, G "unknown_token_id", AS_U32, 264, NULL, "tokenizer.ggml.unknown_token_id: is 264"},
    {"BOS on a number",   B, G "add_bos_token",  AS_U32,  1, NULL,   "tokenizer.ggml.add_bos_token: is of type"},
    {"template a number", B, "tokenizer.chat_template", AS_U32, 1, NULL, "tokenizer.chat_template: is of type"},
    {"ends as texts",     B, "tokenizer.cria.stop_token_ids", AS_STRS, 1, "x", "stop_token_ids: is not an array of whole numbers"},
    {"an end out of range", B, "tokenizer.cria.stop_token_ids", AS_I32S, 261, NULL, "stop_token_ids: is 261, allowed are 0 to 260"},
    {"an end below 0",    B, "tokenizer.cria.stop_token_ids", AS_I32S, -1, NULL, "stop_token_ids: is -1"},
#undef B
#undef S
#undef G
    /* clang-format on */
};

static void put_changed(struct gguf_writer *w, const struct gguf_row *c, size_t n_before)
{
    int32_t whole[512];
    float number[512];
    const char *text[512];
    size_t n_text[512];
    const size_t n = c->value < 0 ? (size_t)-c->value : n_before; /* below 0: so many */
    for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
        whole[i] = c->value;
        number[i] = (float)c->value;
        text[i] = c->text;
        n_text[i] = c->text ? strlen(c->text) : 0;
    }
    assert_true(n <= ARRAY_LEN(whole));
    if (c->change == AS_U32) gguf_put_u32(w, c->key, (uint32_t)c->value);
    if (c->change == AS_STR) gguf_put_str(w, c->key, c->text, strlen(c->text));
    if (c->change == AS_I32S) gguf_put_i32_array(w, c->key, whole, n);
    if (c->change == AS_F32S) gguf_put_f32_array(w, c->key, number, n);
    if (c->change == AS_STRS) gguf_put_str_array(w, c->key, text, n_text, (size_t)c->value);
}

static void change_gguf(struct buf *out, const struct gguf_row *c)
{
    struct err err = {0};
    char path[64] = "/tmp/cria-test-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct gguf *g = gguf_open(seed_path(c->seed), &err);
    struct gguf_writer *w = gguf_writer_new(&err);
    assert_ok(g && w, &err);
    for (size_t i = 0; i < gguf_n_values(g); i++)
        if (strcmp(gguf_value(g, i)->key, c->key) != 0) gguf_put_value(w, gguf_value(g, i));
    const struct gguf_value *before = gguf_find(g, c->key);
    put_changed(w, c, before && before->type == GGUF_ARRAY ? (size_t)before->n : 1);
    assert_ok(gguf_writer_begin(w, path, &err) && gguf_writer_commit(w, &err), &err);
    gguf_writer_free(w);
    gguf_close(g);
    bytes_of_file(out, path);
    (void)remove(path);
}

static void test_wrong_gguf_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(gguf_rows); i++) {
        struct buf b;
        change_gguf(&b, &gguf_rows[i]);
        check_says(FORM_GGUF, gguf_rows[i].what, b.data, b.n_bytes, gguf_rows[i].says);
        buf_release(&b);
    }
}

/* ---- files that are cut or flipped ---- */

static const struct seed_case {
    const char *name;
    enum form form;
} seeds[] = {
    {"vocab_model/tiktoken.model", FORM_MODEL},
    {"vocab_model/spm.model", FORM_MODEL},
    {"vocab_hf/new.json", FORM_HF},
    {"vocab_hf/spm.json", FORM_HF},
    {"vocab_gguf/bpe.gguf", FORM_GGUF},
    {"vocab_gguf/spm.gguf", FORM_GGUF},
};

static void test_cut_and_flipped(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
        struct buf b;
        bytes_of_file(&b, seed_path(seeds[i].name));
        for (size_t n = 0; n < b.n_bytes; n++) {
            struct err err = {0};
            vocab_free(read_form(seeds[i].form, b.data, n, &err)); /* cut to n bytes */
            b.data[n] = (char)(b.data[n] ^ 1 << (n % 8));
            err = (struct err){0};
            struct vocab *v = read_form(seeds[i].form, b.data, b.n_bytes, &err);
            if (v) assert_ok(vocab_check(v, "flipped", &err), &err);
            vocab_free(v);
            b.data[n] = (char)(b.data[n] ^ 1 << (n % 8));
        }
        buf_release(&b);
    }
}

/* ---- paths ---- */

static void test_paths_that_are_wrong(void **state)
{
    (void)state;
    struct err err = {0};
    assert_null(vocab_from_path("/nowhere/tokenizer.json", &err));
    assert_int_equal(err.code, ERR_IO);
    err = (struct err){0};
    assert_null(vocab_from_path(CRIA_SOURCE_DIR "/tests/formats", &err));
    assert_int_equal(err.code, ERR_IO);
    assert_non_null(strstr(err.text, "neither tokenizer.json nor tokenizer.model; put"));
}

/* ---- what cannot be written ---- */

static void test_what_json_cannot_hold(void **state)
{
    static const struct {
        const char *what;
        int32_t id;
        const char *bytes;
        enum token_kind kind;
        const char *says;
    } cases[] = {
        {"not UTF-8", 260, "<\xff>", TOKEN_CONTROL, "token 260: its text is not UTF-8"},
        {"one text twice", 260, "a", TOKEN_CONTROL, "tokens 97 and 260 have the same text"},
        {"unused ones do not matter", 260, "\xff", TOKEN_UNUSED, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        struct buf out;
        buf_init(&out, 1 << 20);
        struct vocab *v = vocab_from_path(seed_path("vocab_gguf/bpe.gguf"), &err);
        assert_ok(v, &err);
        v->tokens[cases[i].id] = (struct vocab_token){
            cases[i].bytes, (uint32_t)strlen(cases[i].bytes), 0, cases[i].kind};
        const bool ok = vocab_to_hf_json(v, &out, &err);
        assert_int_equal(ok, cases[i].says == NULL);
        assert_int_equal(err.code, ok ? ERR_OK : ERR_UNSUPPORTED);
        if (!ok) assert_non_null(strstr(err.text, cases[i].says));
        buf_release(&out);
        vocab_free(v);
    }
}

/* ---- memory ---- */

static void check_faults(struct vocab *(*read)(const char *, struct err *), const char *path,
                         unsigned kinds)
{
    for (int64_t n = 1;; n++) {
        struct err err = {0};
        fault_arm(kinds, n);
        struct vocab *v = read(path, &err);
        const bool was_hit = fault_disarm();
        assert_int_equal(v == NULL, err.code != ERR_OK);
        if (!was_hit) assert_ok(v, &err);
        vocab_free(v);
        if (!was_hit) break;
    }
}

/* Both forms written, as an exporter does. */
static struct vocab *read_and_write(const char *path, struct err *err)
{
    struct vocab *v = vocab_from_path(path, err);
    struct gguf_writer *w = v ? gguf_writer_new(err) : NULL;
    struct buf out;
    buf_init(&out, 1 << 20);
    if (w) vocab_to_gguf(v, w, err);
    bool ok = w && err->code == ERR_OK;
    if (ok) ok = gguf_writer_begin(w, "/tmp/cria-test-vocab-faults.gguf", err);
    ok = ok && vocab_to_hf_json(v, &out, err) && vocab_to_hf_config(v, &out, err);
    gguf_writer_free(w);
    buf_release(&out);
    if (ok) return v;
    vocab_free(v);
    return NULL;
}

static void test_no_memory(void **state)
{
    (void)state;
    static const char *const goldens[] = {"vocab_llama3", "vocab_llama2"};
    for (unsigned stays = 0; stays < 2; stays++) {
        const unsigned kinds = FAULT_MEMORY | FAULT_IO | (stays ? FAULT_STAYS : 0);
        for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
            check_faults(vocab_from_path, seed_path(seeds[i].name), kinds);
            check_faults(read_and_write, seed_path(seeds[i].name), kinds);
        }
        for (size_t i = 0; i < ARRAY_LEN(goldens); i++) {
            char rest[64];
            (void)snprintf(rest, sizeof rest, "formats/%s", goldens[i]);
            check_faults(vocab_from_path, golden_path(rest), kinds);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_tiktoken_files),
        cmocka_unit_test(test_wrong_sentencepiece_files),
        cmocka_unit_test(test_wrong_tokenizer_json),
        cmocka_unit_test(test_huge_tokens),
        cmocka_unit_test(test_wrong_gguf_keys),
        cmocka_unit_test(test_cut_and_flipped),
        cmocka_unit_test(test_paths_that_are_wrong),
        cmocka_unit_test(test_what_json_cannot_hold),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
