/* SPDX-License-Identifier: Apache-2.0
 *
 * test_tokenizer.c - Llama 3's tokenizer against the published vectors, and the rules about special
 * tokens, BOS and pieces. The vocabulary is the real tokenizer.model; without it the tests skip.
 */
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "fault.h"
#include "test.h"
#include "text/pretok.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "vocab_reader.h"

enum { BOS = 128000, EOS = 128001, HEADER = 128006, END_HEADER = 128007, EOT = 128009 };

static struct tokenizer *load(bool is_llama31)
{
    const char *path = data_path("tokenizer/llama3-tokenizer.model");
    if (!path) return NULL;
    struct err err = {0};
    struct vocab *v = test_vocab_read(path, is_llama31, &err);
    assert_ok(v, &err);
    struct tokenizer *t = tokenizer_new(v, "llama3-tokenizer.model", &err);
    assert_ok(t, &err);
    return t;
}

static int setup(void **state)
{
    *state = load(false);
    return 0;
}

static int teardown(void **state)
{
    tokenizer_free(*state);
    return 0;
}

/* Fails with the text and both lists unless they are equal. */
static void check_ids(const char *what, const struct ids *got, const int32_t *want, size_t n)
{
    bool is_same = got->n == n;
    for (size_t i = 0; is_same && i < n; i++) is_same = got->id[i] == want[i];
    if (is_same) return;
    print_error("%s\n  got ", what);
    for (size_t i = 0; i < got->n && i < 40; i++) print_error(" %d", got->id[i]);
    print_error("\n  want");
    for (size_t i = 0; i < n && i < 40; i++) print_error(" %d", want[i]);
    fail_msg("%s: other ids", what);
}

static void check_text(const struct tokenizer *t, const char *text, size_t n, unsigned flags,
                       const int32_t *want, size_t n_want)
{
    struct err err = {0};
    struct ids ids = {0};
    assert_ok(tokenizer_encode(t, text, n, flags, &ids, &err), &err);
    check_ids(text, &ids, want, n_want);
    ids_release(&ids);
}

/* spec/llama3.md 2.8: Meta's own three, then texts measured on the real ranks. */
static const struct vector {
    const char *text;
    const char *ids;
} vectors[] = {
    /* clang-format off */
    {"Hello, world!", "9906 11 1917 0"},
    {"Hello world", "9906 1917"},
    {" Hello", "22691"},
    {"  Hello", "220 22691"},
    {"\n", "198"}, {"\n\n", "271"}, {"\n\n\n", "1432"}, {" \n", "720"},
    {"\t\tif (x == 10) {\n\t\t\treturn 0;\n\t}\n",
     "197 748 320 87 624 220 605 8 341 298 862 220 15 280 197 534"},
    {"    int main(void)", "262 528 1925 4431 8"},
    {"1234567890", "4513 10961 16474 15"}, {"3.14159", "18 13 9335 2946"},
    {"0", "15"}, {"00", "410"}, {"000", "931"}, {"0000", "931 15"},
    {"I'm you're WE'LL DON'T he'd", "40 2846 499 2351 20255 6 4178 45373 17773 568 4265"},
    {"don't", "15357 956"}, {"DON'T", "85741 17773"},
    {"user", "882"}, {"assistant", "78191"}, {"system", "9125"}, {"ipython", "23799 4690"},
    {"User", "1502"}, {"Agent", "17230"}, {"safe", "19193"}, {"unsafe", "39257"},
    {" safe", "6220"}, {" unsafe", "20451"},
    {"unsafe\nS2", "39257 198 50 17"}, {"unsafe\nS10", "39257 198 50 605"},
    {"S1,S2", "50 16 21861 17"}, {"A", "32"}, {"D", "35"}, {" A", "362"}, {" D", "423"},
    {"Yes", "9642"}, {"No", "2822"}, {" Yes", "7566"}, {" No", "2360"},
    {"Answer: A", "16533 25 362"},
    {"[INST] Task:", "58 65562 60 5546 25"}, {"[/INST]", "25130 65562 60"},
    {" [/INST]", "66028 65562 60"},
    {"h\u00e9llo", "71 19010 385"}, {"na\u00efve caf\u00e9", "3458 38672 588 53050"},
    {"日本語のテスト", "102433 102158 16144 57933 71634"},
    {"你好，世界", "57668 53901 3922 102616"},
    {"Привет, мир", "54745 28089 8341 11 115388"},
    {"مرحبا", "101244 30925 103645"},
    {"नमस्ते", "61196 88344 79468 100365 35470"},
    {"สวัสดี", "106123 119657 29419"},
    {" Việt", "101798"}, {"việc học", "10176 26298 66 100705"},
    {"\U0001F999", "9468 99 247"}, {"\U0001F600\U0001F600", "76460 222 76460 222"},
    {"\U0001F469\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466",
     "9468 239 102 102470 9468 239 102 102470 9468 239 100 102470 9468 239 99"},
    {"e\u0301", "68 54939"}, {"\u00A0x", "4194 87"}, {"\u3000日", "23249 9080"},
    {"\uFEFF" "abc", "3305 13997"},
    {"\r\n", "319"}, {"a\r\nb", "64 319 65"}, {"foo();\r\n\r\nbar", "8134 7466 2308"},
    {"tab\tnew\n  \n x", "6323 8808 14211 865"}, {"...\n\n", "2195"},
    {"a  b   c", "64 220 293 256 272"}, {" ", "220"}, {"  ", "256"}, {"    ", "257"},
    {"                ", "338"},
    {"\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n", "25638 1038"},
    {"\t\t\t\t\t\t\t\t\t", "5516"},
    {"#include <stdio.h>", "1085 366 10558 870 29"},
    {"printf(\"%d\\n\", x);", "2578 4530 67 1734 498 865 1237"},
    {"{\"a\": [1, 2.5, null]}", "5018 64 794 510 16 11 220 17 13 20 11 854 14316"},
    {"https://example.com/?q=1&r=2", "2485 1129 8858 916 18236 80 28 16 61717 28 17"},
    {"The quick brown fox jumps over the lazy dog.",
     "791 4062 14198 39935 35308 927 279 16053 5679 13"},
    {"what is the recipe of mayonnaise?", "12840 374 279 11363 315 1253 13767 1082 30"},
    {"You are a helpful assistant.", "2675 527 264 11190 18328 13"},
    {"<|eot_id|>", "27 91 68 354 851 91 29"},
    {"<|begin_of_text|>", "27 91 7413 3659 4424 91 29"},
    {"<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>",
     "27 91 2527 8932 851 91 29 882 27 91 408 8932 851 91 1363 6151 27 91 68 354 851 91 29"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "70540 70540 70540 70540"},
    {"\x7F", "221"}, {"½²", "27154 30556"}, {"١٢٣٤", "109610 110546 117413 124079"},
    {"brave_search.call(query=\"", "1347 525 10947 8692 10974 429"},
    /* clang-format on */
};

static void test_vectors_of_the_specification(void **state)
{
    skip_without(*state, "tokenizer/llama3-tokenizer.model");
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        int32_t want[64];
        size_t n = 0;
        char *end = NULL;
        for (const char *p = vectors[i].ids; *p; p = end) want[n++] = (int32_t)strtol(p, &end, 10);
        check_text(*state, vectors[i].text, strlen(vectors[i].text), 0, want, n);
    }
    check_text(*state, "\0", 1, 0, (const int32_t[]){188}, 1);
    char spaces[130];
    memset(spaces, ' ', sizeof spaces);
    check_text(*state, spaces, sizeof spaces, 0, (const int32_t[]){5351, 48649}, 2);
}

static void test_texts_of_the_data_folder(void **state)
{
    skip_without(*state, "tokenizer/llama3-tokenizer.model");
    const char *path = data_path("tokenizer/llama3-vectors.jsonl");
    skip_without(path, "tokenizer/llama3-vectors.jsonl");
    struct err err = {0};
    struct buf b;
    buf_init(&b, 1 << 24);
    assert_ok(file_read_all(path, 1 << 24, &b, &err), &err);
    size_t n_rows = 0;
    for (char *p = b.data, *end = NULL; *p; p = end + 1, n_rows++) {
        end = strchr(p, '\n');
        struct json_doc *d = json_parse(p, (size_t)(end - p), 1 << 24, path, &err);
        assert_ok(d, &err);
        const char *text = NULL;
        size_t n = 0, n_want = 0;
        assert_true(json_str(json_get(json_root(d), "text"), &text, &n));
        const struct json ids = json_get(json_root(d), "ids");
        int32_t *want = calloc(json_len(ids) + 1, sizeof *want);
        struct json v;
        for (struct json_iter it = json_iter(ids); json_next(&it, NULL, NULL, &v);) {
            int64_t id = 0;
            assert_true(json_i64(v, &id));
            want[n_want++] = (int32_t)id;
        }
        check_text(*state, text, n, 0, want, n_want);
        free(want);
        json_free(d);
    }
    assert_int_equal(n_rows, 429);
    buf_release(&b);
}

static void test_texts_of_llama_cpp(void **state)
{
    skip_without(*state, "tokenizer/llama3-tokenizer.model");
    skip_without(data_path("tokenizer/ggml-vocab-llama-bpe.gguf.inp"), "ggml-vocab-llama-bpe");
    static const char border[] = "\n__ggml_vocab_test__\n";
    struct err err = {0};
    struct buf in, out;
    buf_init(&in, 1 << 20);
    buf_init(&out, 1 << 20);
    assert_ok(
        file_read_all(data_path("tokenizer/ggml-vocab-llama-bpe.gguf.inp"), 1 << 20, &in, &err),
        &err);
    assert_ok(
        file_read_all(data_path("tokenizer/ggml-vocab-llama-bpe.gguf.out"), 1 << 20, &out, &err),
        &err);
    size_t n_rows = 0;
    char *ids = out.data;
    for (char *text = in.data, *end = NULL; text; text = end ? end + strlen(border) : NULL) {
        end = strstr(text, border);
        int32_t want[512];
        size_t n_want = 0;
        for (char *stop = strchr(ids, '\n'); ids < stop;) {
            char *next = NULL;
            want[n_want] = (int32_t)strtol(ids, &next, 10);
            if (next == ids || next > stop) break;
            n_want++;
            ids = next;
        }
        ids = strchr(ids, '\n') + 1;
        check_text(*state, text, end ? (size_t)(end - text) : strlen(text), 0, want, n_want);
        n_rows++;
        if (!*ids) break;
    }
    assert_true(n_rows >= 46);
    buf_release(&in);
    buf_release(&out);
}

static const struct flag_case {
    const char *text;
    unsigned flags;
    int32_t want[16];
    size_t n_want;
} flag_cases[] = {
    /* clang-format off */
    {"", 0, {0}, 0},
    {"", ENCODE_BOS, {BOS}, 1},
    {"", ENCODE_BOS | ENCODE_EOS, {BOS, EOS}, 2},
    {"This is a test sentence.", ENCODE_BOS | ENCODE_EOS,
     {BOS, 2028, 374, 264, 1296, 11914, 13, EOS}, 8},
    {"Yes", ENCODE_DEFAULT_BOS, {BOS, 9642}, 2}, /* adds_bos, not adds_eos */
    {"<|begin_of_text|>Yes", ENCODE_SPECIAL, {BOS, 9642}, 2},
    {"<|begin_of_text|>Yes", ENCODE_SPECIAL | ENCODE_BOS, {BOS, 9642}, 2},
    {"<|begin_of_text|>Yes", ENCODE_SPECIAL | ENCODE_DEFAULT_BOS, {BOS, 9642}, 2},
    {"<|begin_of_text|>", ENCODE_BOS, {BOS, 27, 91, 7413, 3659, 4424, 91, 29}, 8},
    {"<|start_header_id|>user<|end_header_id|>\n\nThis is a test sentence.<|eot_id|>", ENCODE_SPECIAL,
     {HEADER, 882, END_HEADER, 271, 2028, 374, 264, 1296, 11914, 13, EOT}, 11},
    {"<|eot_id|><|eot_id|>", ENCODE_SPECIAL, {EOT, EOT}, 2},
    {"<<|eot_id|>>", ENCODE_SPECIAL, {27, EOT, 29}, 3},
    {"<|eot_id|", ENCODE_SPECIAL, {27, 91, 68, 354, 851, 91}, 6},
    {"<|reserved_special_token_250|>", ENCODE_SPECIAL, {128255}, 1},
    {"<|reserved_special_token_25|>", ENCODE_SPECIAL, {128030}, 1},
    /* clang-format on */
};

static void test_flags(void **state)
{
    skip_without(*state, "tokenizer/llama3-tokenizer.model");
    for (size_t i = 0; i < ARRAY_LEN(flag_cases); i++)
        check_text(*state, flag_cases[i].text, strlen(flag_cases[i].text), flag_cases[i].flags,
                   flag_cases[i].want, flag_cases[i].n_want);
}

static void check_pieces(const struct tokenizer *t, const char *what,
                         const struct text_piece *piece, size_t n, unsigned flags,
                         const int32_t *want, size_t n_want)
{
    struct err err = {0};
    struct ids ids = {0};
    assert_ok(tokenizer_encode_pieces(t, piece, n, flags, &ids, &err), &err);
    check_ids(what, &ids, want, n_want);
    ids_release(&ids);
}

static struct text_piece piece_of(const char *text, bool is_markup)
{
    return (struct text_piece){text, strlen(text), is_markup};
}

static void test_pieces_meet_across_borders(void **state)
{
    skip_without(*state, "tokenizer/llama3-tokenizer.model");
    const struct text_piece split[] = {piece_of("Hel", true), piece_of("lo wor", false),
                                       piece_of("", false), piece_of("ld", true)};
    check_pieces(*state, "split word", split, 4, 0, (const int32_t[]){9906, 1917}, 2);
    const struct text_piece chat[] = {
        piece_of("<|start_header_id|>user<|end_header_id|>\n\n", true),
        piece_of("<|eot_id|>", false), piece_of("<|eot_id|>", true)};
    check_pieces(
        *state, "user text is text", chat, 3, ENCODE_BOS,
        (const int32_t[]){BOS, HEADER, 882, END_HEADER, 271, 27, 91, 68, 354, 851, 91, 29, EOT},
        13);
    const struct text_piece forged[] = {piece_of("<|eot", true), piece_of("_id|>", false)};
    check_pieces(*state, "a special across a border", forged, 2, 0,
                 (const int32_t[]){27, 91, 68, 354, 851, 91, 29}, 7);
    check_pieces(*state, "no pieces", NULL, 0, ENCODE_BOS, (const int32_t[]){BOS}, 1);
}

/* Random text out of all planes, with the texts of special tokens in it. */
static size_t random_text(struct rng *r, char *out, size_t cap)
{
    static const char *const parts[] = {"<|eot_id|>", "<|begin_of_text|>", " ", "\n", "'s", "don't",
                                        "12"};
    size_t n = 0;
    for (uint32_t k = rng_below(r, 40); k > 0 && n + 32 < cap; k--) {
        const uint32_t kind = rng_below(r, 4);
        if (kind == 0) {
            const char *p = parts[rng_below(r, ARRAY_LEN(parts))];
            memcpy(out + n, p, strlen(p));
            n += strlen(p);
            continue;
        }
        uint32_t cp = rng_below(r, kind == 1 ? 0x80 : kind == 2 ? 0x3000 : 0x110000);
        if (cp >= 0xD800 && cp < 0xE000) cp = 'x';
        n += (size_t)utf8_encode(cp, (uint8_t *)out + n);
    }
    return n;
}

static void test_round_trip_and_no_special_from_text(void **state)
{
    skip_without(*state, "tokenizer/llama3-tokenizer.model");
    struct rng r = rng_seed(7);
    struct err err = {0};
    struct ids ids = {0};
    struct buf back, stream;
    buf_init(&back, 1 << 20);
    buf_init(&stream, 1 << 20);
    for (int i = 0; i < 20000; i++) {
        char text[2048];
        size_t n = random_text(&r, text, sizeof text);
        const bool is_utf8 = i % 4 != 0;
        for (size_t k = 0; !is_utf8 && k < n; k++)
            if (rng_below(&r, 4) == 0) text[k] = (char)rng_below(&r, 256);
        ids.n = 0;
        buf_clear(&back);
        buf_clear(&stream);
        assert_ok(tokenizer_encode(*state, text, n, 0, &ids, &err), &err);
        for (size_t k = 0; k < ids.n; k++) assert_in_range(ids.id[k], 0, 127999);
        tokenizer_decode(*state, ids.id, ids.n, true, &back);
        assert_int_equal(back.n_bytes, n);
        if (n) assert_memory_equal(back.data, text, n);
        struct decode_stream s = {0};
        for (size_t k = 0; k < ids.n; k++) {
            decode_stream_feed(&s, *state, ids.id[k], true, &stream);
            assert_int_equal(utf8_complete((const uint8_t *)stream.data, stream.n_bytes),
                             stream.n_bytes);
        }
        decode_stream_flush(&s, &stream);
        if (is_utf8 && n) assert_memory_equal(stream.data, text, n);
        for (size_t at = 0; at < stream.n_bytes;) { /* whatever went in, UTF-8 comes out */
            uint32_t cp = 0;
            bool is_bad = false;
            at += (size_t)utf8_decode((const uint8_t *)stream.data + at, stream.n_bytes - at, &cp,
                                      &is_bad);
            assert_false(is_bad);
        }
    }
    ids_release(&ids);
    buf_release(&back);
    buf_release(&stream);
}

static void test_look_ups(void **state)
{
    skip_without(*state, "tokenizer/llama3-tokenizer.model");
    const struct tokenizer *t = *state;
    assert_string_equal(tokenizer_family(t), "llama-bpe");
    assert_int_equal(tokenizer_find(t, "<|eot_id|>", 10), EOT);
    assert_int_equal(tokenizer_find(t, " the", 4), 279);
    assert_int_equal(tokenizer_find(t, "", 0), -1);
    assert_int_equal(tokenizer_find(t, "no such token", 13), -1);
    assert_true(tokenizer_is_stop(t, EOT));
    assert_true(tokenizer_is_stop(t, EOS));
    assert_false(tokenizer_is_stop(t, 128008)); /* only from 3.1 on */
    assert_false(tokenizer_is_stop(t, 0));
    size_t n = 9;
    tokenizer_bytes(t, EOT, false, &n);
    assert_int_equal(n, 0);
    assert_memory_equal(tokenizer_bytes(t, EOT, true, &n), "<|eot_id|>", 10);
    tokenizer_bytes(t, -1, true, &n);
    assert_int_equal(n, 0);
    tokenizer_bytes(t, 128256, true, &n);
    assert_int_equal(n, 0);
}

static void test_llama31_stops_at_eom(void **state)
{
    (void)state;
    struct tokenizer *t = load(true);
    skip_without(t, "tokenizer/llama3-tokenizer.model");
    assert_true(tokenizer_is_stop(t, 128008));
    assert_true(tokenizer_is_stop(t, EOT));
    assert_true(tokenizer_is_stop(t, EOS));
    assert_int_equal(tokenizer_find(t, "<|python_tag|>", 14), 128010);
    tokenizer_free(t);
}

static void test_family_without_a_name(void **state)
{
    (void)state;
    const char *path = data_path("tokenizer/llama3-tokenizer.model");
    skip_without(path, "tokenizer/llama3-tokenizer.model");
    struct err err = {0};
    struct vocab *v = test_vocab_read(path, false, &err);
    assert_ok(v, &err);
    v->pretok = PRETOK_UNKNOWN;
    v->ignores_merges = false;
    v->tokens[128009].bytes = "<|other_id|>"; /* not by its specials */
    v->tokens[128009].n_bytes = 12;
    assert_int_equal(pretok_guess(v), PRETOK_LLAMA3);
    struct tokenizer *t = tokenizer_new(v, path, &err);
    assert_ok(t, &err);
    check_text(t, " Việt", strlen(" Việt"), 0, (const int32_t[]){101798}, 1);
    tokenizer_free(t);
}

/* Every allocation of making a tokenizer and of a long text fails in turn. */
static void test_no_memory(void **state)
{
    (void)state;
    const char *path = data_path("tokenizer/llama3-tokenizer.model");
    skip_without(path, "tokenizer/llama3-tokenizer.model");
    struct err err = {0};
    struct vocab *v = test_vocab_read(path, false, &err);
    assert_ok(v, &err);
    char text[4000];
    memset(text, 'a', sizeof text);
    const struct text_piece piece[] = {{"<|eot_id|> x", 12, true}, {text, sizeof text, false}};
    for (int64_t n = 1;; n++) {
        struct ids ids = {0};
        err = (struct err){0};
        fault_arm(FAULT_MEMORY, n);
        struct tokenizer *t = tokenizer_new(v, path, &err);
        const bool ok = t && tokenizer_encode_pieces(t, piece, 2, ENCODE_BOS, &ids, &err);
        const bool was_hit = fault_disarm();
        assert_int_equal(ok, err.code == ERR_OK);
        if (!ok) assert_int_equal(err.code, ERR_MEMORY);
        if (!ok) assert_int_equal(ids.n, 0);
        ids_release(&ids);
        if (t) {
            tokenizer_free(t);
            v = test_vocab_read(path, false, &err);
        }
        if (!was_hit) break;
    }
    vocab_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_of_the_specification),
        cmocka_unit_test(test_texts_of_the_data_folder),
        cmocka_unit_test(test_texts_of_llama_cpp),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_pieces_meet_across_borders),
        cmocka_unit_test(test_round_trip_and_no_special_from_text),
        cmocka_unit_test(test_look_ups),
        cmocka_unit_test(test_llama31_stops_at_eom),
        cmocka_unit_test(test_family_without_a_name),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
