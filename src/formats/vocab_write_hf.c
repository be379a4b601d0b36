/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab_write_hf.c - a vocabulary as tokenizer.json and tokenizer_config.json (spec/llama3.md 2.9).
 *
 * Byte-level and SentencePiece vocabularies both become a BPE model of tokenizers; merges that are
 * only implied by ranks or scores are rebuilt. Special tokens that follow all others are left to
 * added_tokens, as in the published files: their ids then follow from their place. With a special
 * token among the others, or a hole in the ids, the place no longer tells, so all are in the
 * vocabulary. Unused tokens are left out: no text may give them, and the format cannot say so.
 *
 * A JSON string is UTF-8 and a key is there once. A vocabulary (from a stranger's GGUF) with
 * special texts that are not UTF-8, or with one text twice, cannot be written, and that is an
 * error.
 *
 * Begin reading at vocab_to_hf_json().
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json_write.h"
#include "formats/tokenizer_files.h"
#include "formats/vocab_parts.h"
#include "text/pretok.h"
#include "text/unicode.h"

#define SPACE_MARK "\xE2\x96\x81" /* U+2581 */

struct sink {
    const struct vocab *v;
    struct json_writer w;
    char *scratch; /* room for the longest token, spelled */
};

static bool is_special(const struct vocab_token *t)
{
    return t->kind == TOKEN_CONTROL || t->kind == TOKEN_USER || t->kind == TOKEN_UNKNOWN;
}

static bool is_spelled(const struct vocab *v, const struct vocab_token *t)
{
    return v->model == VOCAB_BPE && t->kind == TOKEN_NORMAL;
}

/* ---- what can be written ---- */

static bool is_utf8(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        bool is_bad = false;
        i += (size_t)utf8_decode((const uint8_t *)s + i, n - i, &cp, &is_bad);
        if (is_bad) return false;
    }
    return true;
}

static bool check_text(const struct vocab *v, const struct token_map *map, int32_t id,
                       struct err *err)
{
    const struct vocab_token *t = &v->tokens[id];
    if (t->kind == TOKEN_UNUSED) return true;
    if (!is_spelled(v, t) && !is_utf8(t->bytes, t->n_bytes))
        return err_set(err, ERR_UNSUPPORTED,
                       "tokenizer.json: token %d: its text is not UTF-8, which JSON needs; keep "
                       "the vocabulary in GGUF",
                       id);
    const int32_t found = token_map_find(map, t->bytes, t->n_bytes);
    if (found == id || (t->n_bytes && v->tokens[found].kind == TOKEN_UNUSED)) return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "tokenizer.json: tokens %d and %d have the same text, which JSON cannot hold; "
                   "keep the vocabulary in GGUF",
                   found, id);
}

static bool check_texts(const struct vocab *v, struct err *err)
{
    struct token_map map;
    if (!token_map_init(&map, v, err)) return false;
    bool ok = true;
    for (int32_t id = 0; ok && id < v->n_tokens; id++) ok = check_text(v, &map, id, err);
    token_map_release(&map);
    return ok;
}

/* The first id that is left to added_tokens: the special tokens at the end. */
static int32_t first_left_out(const struct vocab *v)
{
    int32_t first = v->n_tokens;
    for (int32_t id = 0; id < v->n_tokens; id++)
        if (v->tokens[id].kind == TOKEN_UNUSED) return v->n_tokens;
    if (v->model == VOCAB_SPM) return v->n_tokens; /* as converters write them */
    while (first > 0 && is_special(&v->tokens[first - 1])) first--;
    return first;
}

/* ---- parts of the file ---- */

static void put_pair(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_cstring(w, value);
}

static void put_flag(struct json_writer *w, const char *key, bool value)
{
    json_key(w, key);
    json_boolean(w, value);
}

static void put_typed(struct json_writer *w, const char *type)
{
    json_object(w);
    put_pair(w, "type", type);
}

static const char *spell(struct sink *s, int32_t id, size_t *n)
{
    const struct vocab_token *t = &s->v->tokens[id];
    *n = t->n_bytes;
    if (!is_spelled(s->v, t)) return t->bytes;
    *n = spelling_of_bytes(t->bytes, t->n_bytes, s->scratch);
    return s->scratch;
}

static void put_added_tokens(struct sink *s)
{
    static const char *const off[] = {"single_word", "lstrip", "rstrip", "normalized"};
    struct json_writer *w = &s->w;
    json_key(w, "added_tokens");
    json_array(w);
    for (int32_t id = 0; id < s->v->n_tokens; id++) {
        const struct vocab_token *t = &s->v->tokens[id];
        if (!is_special(t)) continue;
        json_object(w);
        json_key(w, "id");
        json_int(w, id);
        json_key(w, "content");
        json_string(w, t->bytes, t->n_bytes);
        for (size_t i = 0; i < ARRAY_LEN(off); i++) put_flag(w, off[i], false);
        put_flag(w, "special", t->kind != TOKEN_USER);
        json_end(w);
    }
    json_end(w);
}

static void put_byte_level(struct json_writer *w, bool uses_regex)
{
    put_typed(w, "ByteLevel");
    put_flag(w, "add_prefix_space", false);
    put_flag(w, "trim_offsets", true);
    put_flag(w, "use_regex", uses_regex);
    json_end(w);
}

/* A Replace of the string `from`. */
static void put_replace(struct json_writer *w, const char *from, const char *to)
{
    put_typed(w, "Replace");
    json_key(w, "pattern");
    json_object(w);
    put_pair(w, "String", from);
    json_end(w);
    put_pair(w, "content", to);
    json_end(w);
}

static void put_normalizer(struct sink *s)
{
    struct json_writer *w = &s->w;
    json_key(w, "normalizer");
    if (s->v->model == VOCAB_BPE) {
        json_null(w);
        return;
    }
    put_typed(w, "Sequence");
    json_key(w, "normalizers");
    json_array(w);
    if (s->v->adds_space_prefix) {
        put_typed(w, "Prepend");
        put_pair(w, "prepend", SPACE_MARK);
        json_end(w);
    }
    put_replace(w, " ", SPACE_MARK);
    json_end(w);
    json_end(w);
}

static void put_split(struct json_writer *w, const char *regex)
{
    put_typed(w, "Split");
    json_key(w, "pattern");
    json_object(w);
    put_pair(w, "Regex", regex);
    json_end(w);
    put_pair(w, "behavior", "Isolated");
    put_flag(w, "invert", false);
    json_end(w);
}

static void put_pre_tokenizer(struct sink *s)
{
    struct json_writer *w = &s->w;
    const enum pretok pretok = s->v->pretok == PRETOK_UNKNOWN ? pretok_guess(s->v) : s->v->pretok;
    const struct pretok_name *row = pretok_names;
    json_key(w, "pre_tokenizer");
    if (s->v->model == VOCAB_SPM) {
        json_null(w);
        return;
    }
    while (row->pretok != pretok) row++; /* each family has a row */
    put_typed(w, "Sequence");
    json_key(w, "pretokenizers");
    json_array(w);
    if (pretok == PRETOK_LLAMA3) put_split(w, row->regex);
    if (pretok == PRETOK_SMOLLM) {
        put_typed(w, "Digits");
        put_flag(w, "individual_digits", true);
        json_end(w);
    }
    put_byte_level(w, pretok != PRETOK_LLAMA3);
    json_end(w);
    json_end(w);
}

/* ---- the post-processor: BOS and EOS around each text ---- */

static void put_part(struct json_writer *w, const char *kind, const char *id, size_t n, int type)
{
    json_object(w);
    json_key(w, kind);
    json_object(w);
    json_key(w, "id");
    json_string(w, id, n);
    json_key(w, "type_id");
    json_int(w, type);
    json_end(w);
    json_end(w);
}

static void put_around(struct sink *s, bool has_bos, bool has_eos, const char *text, int type)
{
    const struct vocab *v = s->v;
    if (has_bos)
        put_part(&s->w, "SpecialToken", v->tokens[v->bos].bytes, v->tokens[v->bos].n_bytes, type);
    put_part(&s->w, "Sequence", text, 1, type);
    if (has_eos)
        put_part(&s->w, "SpecialToken", v->tokens[v->eos].bytes, v->tokens[v->eos].n_bytes, type);
}

static void put_special(struct sink *s, int32_t id)
{
    struct json_writer *w = &s->w;
    const struct vocab_token *t = &s->v->tokens[id];
    json_key(w, t->bytes);
    json_object(w);
    json_key(w, "id");
    json_string(w, t->bytes, t->n_bytes);
    json_key(w, "ids");
    json_array(w);
    json_int(w, id);
    json_end(w);
    json_key(w, "tokens");
    json_array(w);
    json_string(w, t->bytes, t->n_bytes);
    json_end(w);
    json_end(w);
}

static void put_post_processor(struct sink *s)
{
    const struct vocab *v = s->v;
    struct json_writer *w = &s->w;
    const bool has_bos = v->adds_bos && v->bos >= 0, has_eos = v->adds_eos && v->eos >= 0;
    json_key(w, "post_processor");
    if (!has_bos && !has_eos) {
        json_null(w);
        return;
    }
    put_typed(w, "TemplateProcessing");
    json_key(w, "single");
    json_array(w);
    put_around(s, has_bos, has_eos, "A", 0);
    json_end(w);
    json_key(w, "pair");
    json_array(w);
    put_around(s, has_bos, has_eos, "A", 0);
    put_around(s, has_bos, has_eos, "B", 1);
    json_end(w);
    json_key(w, "special_tokens");
    json_object(w);
    if (has_bos) put_special(s, v->bos);
    if (has_eos && (!has_bos || v->eos != v->bos)) put_special(s, v->eos);
    json_end(w);
    json_end(w);
}

static void put_decoder(struct sink *s)
{
    struct json_writer *w = &s->w;
    json_key(w, "decoder");
    if (s->v->model == VOCAB_BPE) {
        put_byte_level(w, true);
        return;
    }
    put_typed(w, "Sequence");
    json_key(w, "decoders");
    json_array(w);
    put_replace(w, SPACE_MARK, " ");
    put_typed(w, "ByteFallback");
    json_end(w);
    put_typed(w, "Fuse");
    json_end(w);
    if (s->v->adds_space_prefix) {
        put_typed(w, "Strip");
        put_pair(w, "content", " ");
        json_key(w, "start");
        json_int(w, 1);
        json_key(w, "stop");
        json_int(w, 0);
        json_end(w);
    }
    json_end(w);
    json_end(w);
}

/* ---- the model ---- */

static void put_vocab(struct sink *s)
{
    const struct vocab *v = s->v;
    const int32_t end = first_left_out(v);
    struct buf *out = s->w.out;
    json_key(&s->w, "vocab");
    json_object(&s->w);
    for (int32_t id = 0; id < end; id++) {
        size_t n = 0;
        if (v->tokens[id].kind == TOKEN_UNUSED) continue;
        const char *text = spell(s, id, &n);
        /* json_key() takes a C string, and a key here may hold a zero byte: written as a value,
         * with the colon in place of the comma that would follow */
        json_string(&s->w, text, n);
        buf_putc(out, ':');
        s->w.is_after_key = true;
        json_int(&s->w, id);
    }
    json_end(&s->w);
}

static void put_merges(struct sink *s, const struct vocab_merge *merge, int32_t n_merges)
{
    struct json_writer *w = &s->w;
    json_key(w, "merges");
    json_array(w);
    for (int32_t i = 0; i < n_merges; i++) {
        size_t n = 0;
        json_array(w);
        const char *text = spell(s, merge[i].left, &n);
        json_string(w, text, n);
        text = spell(s, merge[i].right, &n);
        json_string(w, text, n);
        json_end(w);
    }
    json_end(w);
}

static void put_model(struct sink *s, const struct vocab_merge *merge, int32_t n_merges)
{
    static const char *const nulls[] = {"dropout", "continuing_subword_prefix",
                                        "end_of_word_suffix"};
    const struct vocab *v = s->v;
    struct json_writer *w = &s->w;
    json_key(w, "model");
    put_typed(w, "BPE");
    for (size_t i = 0; i < ARRAY_LEN(nulls); i++) put_pair(w, nulls[i], NULL);
    json_key(w, "unk_token");
    if (v->unk >= 0)
        json_string(w, v->tokens[v->unk].bytes, v->tokens[v->unk].n_bytes);
    else
        json_null(w);
    put_flag(w, "fuse_unk", v->model == VOCAB_SPM);
    put_flag(w, "byte_fallback", v->model == VOCAB_SPM);
    put_flag(w, "ignore_merges", v->model == VOCAB_BPE && v->ignores_merges);
    put_vocab(s);
    put_merges(s, merge, n_merges);
    json_end(w);
}

static void put_all(struct sink *s, const struct vocab_merge *merge, int32_t n_merges)
{
    struct json_writer *w = &s->w;
    json_object(w);
    put_pair(w, "version", "1.0");
    put_pair(w, "truncation", NULL);
    put_pair(w, "padding", NULL);
    put_added_tokens(s);
    put_normalizer(s);
    put_pre_tokenizer(s);
    put_post_processor(s);
    put_decoder(s);
    put_model(s, merge, n_merges);
    json_end(w);
}

bool vocab_to_hf_json(const struct vocab *v, struct buf *out, struct err *err)
{
    bool ok = false;
    struct merge_list implied = {0};
    struct sink s = {.v = v, .w = json_writer(out), .scratch = malloc(2 * VOCAB_MAX_TOKEN_BYTES)};
    const bool has_merges = v->model == VOCAB_BPE && v->merges;
    if (!s.scratch) {
        err_set(err, ERR_MEMORY, "tokenizer.json: no memory to write it; close other programs");
        goto out;
    }
    if (!check_texts(v, err) || (!has_merges && !merges_from_ranks(v, &implied, err))) goto out;
    put_all(&s, has_merges ? v->merges : implied.merge, has_merges ? v->n_merges : implied.n);
    ok = buf_check(out, "tokenizer.json", err);
out:
    merge_list_release(&implied);
    free(s.scratch);
    return ok;
}

/* ---- tokenizer_config.json ---- */

static void put_token(struct json_writer *w, const struct vocab *v, const char *key, int32_t id)
{
    if (id < 0) return;
    json_key(w, key);
    json_string(w, v->tokens[id].bytes, v->tokens[id].n_bytes);
}

bool vocab_to_hf_config(const struct vocab *v, struct buf *out, struct err *err)
{
    struct json_writer w = json_writer(out);
    json_object(&w);
    put_pair(&w, "tokenizer_class", "PreTrainedTokenizerFast");
    put_flag(&w, "add_bos_token", v->adds_bos);
    put_flag(&w, "add_eos_token", v->adds_eos);
    put_flag(&w, "clean_up_tokenization_spaces", false);
    put_token(&w, v, "bos_token", v->bos);
    put_token(&w, v, "eos_token", v->eos);
    put_token(&w, v, "unk_token", v->unk);
    put_token(&w, v, "pad_token", v->pad);
    if (v->chat_template) put_pair(&w, "chat_template", v->chat_template);
    json_end(&w);
    return buf_check(out, "tokenizer_config.json", err);
}
