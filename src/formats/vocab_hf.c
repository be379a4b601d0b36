/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab_hf.c - the vocabulary of a Hugging Face tokenizer.json (spec/llama3.md 2.9).
 *
 * The tokens are in two places: model.vocab, an object from text to id, and added_tokens, a list
 * that may repeat some of them and says which are special. Byte-level texts are in the GPT-2
 * spelling, added ones are plain. Ids may leave holes; a hole is an unused token without text.
 *
 * merges are either "left right" or ["left", "right"]. A SentencePiece model that was converted
 * lists merges and no scores, while our encoder goes by scores as the original did. They come back
 * from the merges: the earlier the merge that makes a token, the higher its score. That is exact if
 * the merges are all splits of all tokens, as every converter writes them, and is checked: a list
 * that lacks some (a vocabulary trained anew in this form) is refused rather than encoded wrongly.
 *
 * Begin reading at vocab_from_hf_memory().
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "formats/tokenizer_files.h"
#include "formats/vocab_parts.h"

#define MAX_FILE_BYTES ((size_t)512 << 20)
#define MAX_HOLES 65536   /* ids without a token */
#define SPACES_LAST -1e9f /* the score of runs of spaces in Llama 2's tokenizer.model */

struct source {
    struct json root, model, vocab, added, merges;
    const char *name;
    struct vocab *v;
    struct hf_steps steps;
    struct token_map map;
    struct err *err;
};

static bool is_none(struct json v) { return json_type(v) <= JSON_NULL; }

static bool wants(const struct source *r, const char *place, const char *what)
{
    return err_set(r->err, ERR_FORMAT, "%s: %s: %s; fetch the file again", r->name, place, what);
}

static bool flag_of(struct json obj, const char *key, bool otherwise)
{
    bool v = otherwise;
    (void)json_bool(json_get(obj, key), &v);
    return v;
}

/* ---- the model's kind ---- */

static bool is_text(struct json v, const char *want)
{
    const char *s = NULL;
    size_t n = 0;
    return json_str(v, &s, &n) && n == strlen(want) && memcmp(s, want, n) == 0;
}

static bool refuse(const struct source *r, const char *what)
{
    return err_set(r->err, ERR_UNSUPPORTED,
                   "%s: model: %s is not supported; use a model of the Llama family", r->name,
                   what);
}

static bool read_model(struct source *r)
{
    const struct json m = r->model = json_get(r->root, "model");
    double dropout = 0;
    if (json_type(m) != JSON_OBJECT) return wants(r, "model", "is missing or not an object");
    const struct json type = json_get(m, "type");
    if (!is_none(type) && !is_text(type, "BPE")) return refuse(r, "a type that is not BPE");
    r->vocab = json_get(m, "vocab");
    r->merges = json_get(m, "merges");
    r->added = json_get(r->root, "added_tokens");
    if (json_type(r->vocab) != JSON_OBJECT)
        return wants(r, "model.vocab", "is missing or not an object");
    if (json_type(r->merges) != JSON_ARRAY)
        return wants(r, "model.merges", "is missing or not an array");
    if (!is_none(r->added) && json_type(r->added) != JSON_ARRAY)
        return wants(r, "added_tokens", "is not an array");
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < ARRAY_LEN(affixes); i++)
        if (!is_none(json_get(m, affixes[i])) && !is_text(json_get(m, affixes[i]), ""))
            return refuse(r, affixes[i]);
    if (json_f64(json_get(m, "dropout"), &dropout) && dropout != 0) return refuse(r, "dropout");
    if (!hf_steps_read(r->root, r->name, &r->steps, r->err)) return false;
    const bool has_bytes = flag_of(m, "byte_fallback", false);
    if (r->steps.model == VOCAB_BPE && has_bytes)
        return refuse(r, "byte_fallback together with ByteLevel");
    if (r->steps.model == VOCAB_SPM && !has_bytes && !flag_of(m, "fuse_unk", false))
        return refuse(r, "neither byte_fallback nor fuse_unk");
    r->v->model = r->steps.model;
    r->v->pretok = r->steps.pretok;
    r->v->adds_space_prefix = r->steps.adds_space_prefix;
    return true;
}

/* ---- tokens ---- */

static bool read_id(const struct source *r, const char *place, size_t i, struct json v,
                    int32_t *out)
{
    int64_t id = 0;
    if (json_i64(v, &id) && id >= 0 && id < VOCAB_MAX_TOKENS) {
        *out = (int32_t)id;
        return true;
    }
    return err_set(r->err, ERR_FORMAT,
                   "%s: %s: entry %zu: its id is not a number from 0 to %d; fetch the file again",
                   r->name, place, i, VOCAB_MAX_TOKENS - 1);
}

struct added {
    int32_t id;
    const char *text;
    size_t n;
    bool is_special;
};

static bool read_added(const struct source *r, size_t i, struct json v, struct added *out)
{
    static const char *const rules[] = {"single_word", "lstrip", "rstrip"};
    if (!read_id(r, "added_tokens", i, json_get(v, "id"), &out->id)) return false;
    if (!json_str(json_get(v, "content"), &out->text, &out->n))
        return err_set(r->err, ERR_FORMAT,
                       "%s: added_tokens: entry %zu: has no content; fetch the file again", r->name,
                       i);
    for (size_t k = 0; k < ARRAY_LEN(rules); k++)
        if (flag_of(v, rules[k], false))
            return err_set(r->err, ERR_UNSUPPORTED,
                           "%s: added_tokens: entry %zu: %s is not supported; use a model of the "
                           "Llama family",
                           r->name, i, rules[k]);
    out->is_special = flag_of(v, "special", false);
    return true;
}

/* How many tokens there are, and how much text. */
static bool measure(const struct source *r, int32_t *n_tokens, size_t *n_bytes)
{
    struct json v;
    const char *s = NULL;
    size_t n = 0, i = 0;
    int32_t max = -1, id = 0;
    for (struct json_iter it = json_iter(r->vocab); json_next(&it, &s, &n, &v); i++) {
        if (!read_id(r, "model.vocab", i, v, &id)) return false;
        max = id > max ? id : max;
        *n_bytes += n;
    }
    i = 0;
    for (struct json_iter it = json_iter(r->added); json_next(&it, NULL, NULL, &v); i++) {
        struct added a = {0};
        if (!read_added(r, i, v, &a)) return false;
        max = a.id > max ? a.id : max;
        *n_bytes += a.n;
    }
    const size_t n_entries = json_len(r->vocab) + json_len(r->added);
    if ((size_t)max + 1 > n_entries + MAX_HOLES)
        return err_set(r->err, ERR_FORMAT,
                       "%s: model.vocab: has id %d with only %zu tokens; fetch the file again",
                       r->name, max, n_entries);
    *n_tokens = max + 1;
    return true;
}

static bool taken_twice(const struct source *r, const char *place, size_t i, int32_t id)
{
    return err_set(r->err, ERR_FORMAT,
                   "%s: %s: entry %zu: id %d is another token's; fetch the file again", r->name,
                   place, i, id);
}

static bool put_vocab(struct source *r, struct text_block *block)
{
    struct vocab *v = r->v;
    const bool has_bytes = flag_of(r->model, "byte_fallback", false);
    struct json value;
    const char *s = NULL;
    size_t n = 0, i = 0;
    int32_t id = 0;
    for (struct json_iter it = json_iter(r->vocab); json_next(&it, &s, &n, &value); i++) {
        if (!read_id(r, "model.vocab", i, value, &id)) return false;
        if (v->tokens[id].n_bytes) return taken_twice(r, "model.vocab", i, id);
        const bool is_byte = has_bytes && is_byte_spelling(s, n);
        vocab_put_token(v, block, id, is_byte ? TOKEN_BYTE : TOKEN_NORMAL, s, n);
    }
    return true;
}

/* Added tokens replace those of the vocabulary, which must have the same text. */
static bool put_added(struct source *r, struct text_block *block)
{
    struct vocab *v = r->v;
    struct json value;
    size_t i = 0;
    for (struct json_iter it = json_iter(r->added); json_next(&it, NULL, NULL, &value); i++) {
        struct added a = {0};
        if (!read_added(r, i, value, &a)) return false;
        const enum token_kind kind = a.is_special ? TOKEN_CONTROL : TOKEN_USER;
        struct vocab_token before = v->tokens[a.id];
        vocab_put_token(v, block, a.id, kind, a.text, a.n);
        if (before.n_bytes == 0) continue;
        const struct vocab_token added = v->tokens[a.id];
        bool is_same = before.n_bytes == added.n_bytes &&
                       memcmp(before.bytes, added.bytes, added.n_bytes) == 0;
        if (!is_same && before.kind == TOKEN_NORMAL && v->model == VOCAB_BPE) {
            size_t n = 0; /* an added text that is written in the GPT-2 spelling too */
            char bytes[256];
            is_same = a.n <= sizeof bytes && spelling_to_bytes(a.text, a.n, bytes, &n) &&
                      n == before.n_bytes && memcmp(bytes, before.bytes, n) == 0;
        }
        if (!is_same || before.kind == TOKEN_CONTROL || before.kind == TOKEN_USER)
            return taken_twice(r, "added_tokens", i, a.id);
    }
    return true;
}

static bool find_unk(struct source *r)
{
    const struct json unk = json_get(r->model, "unk_token");
    const char *s = NULL;
    size_t n = 0;
    if (!json_str(unk, &s, &n)) return true;
    const int32_t id = token_map_find(&r->map, s, n);
    if (id < 0) return wants(r, "model.unk_token", "is not in the vocabulary");
    r->v->unk = id;
    if (r->v->model == VOCAB_SPM) r->v->tokens[id].kind = TOKEN_UNKNOWN;
    return true;
}

static bool read_tokens(struct source *r)
{
    int32_t n_tokens = 0;
    size_t n_bytes = 0;
    struct text_block block;
    const size_t n_texts = json_len(r->vocab) + json_len(r->added);
    if (!measure(r, &n_tokens, &n_bytes)) return false;
    if (n_tokens == 0) return wants(r, "model.vocab", "has no tokens");
    return vocab_tokens_init(r->v, n_tokens, r->err) &&
           text_block_init(&block, r->v, n_bytes, n_texts, r->err) && put_vocab(r, &block) &&
           put_added(r, &block) && token_map_init(&r->map, r->v, r->err) &&
           token_map_check(&r->map, r->name, r->err) && find_unk(r);
}

/* ---- merges ---- */

static int32_t find_part(const struct source *r, const char *s, size_t n)
{
    return r->v->model == VOCAB_BPE ? token_map_find_spelled(&r->map, s, n)
                                    : token_map_find(&r->map, s, n);
}

static bool read_merge(const struct source *r, size_t i, struct json v, struct vocab_merge *out)
{
    const char *left = NULL, *right = NULL;
    size_t n_left = 0, n_right = 0;
    bool ok = false;
    if (json_str(v, &left, &n_left)) {
        const char *space = n_left > 1 ? memchr(left + 1, ' ', n_left - 1) : NULL;
        ok = space != NULL;
        if (ok) {
            right = space + 1;
            n_right = n_left - (size_t)(right - left);
            n_left = (size_t)(space - left);
        }
    } else {
        ok = json_len(v) == 2 && json_str(json_at(v, 0), &left, &n_left) &&
             json_str(json_at(v, 1), &right, &n_right);
    }
    if (!ok)
        return err_set(r->err, ERR_FORMAT,
                       "%s: model.merges: entry %zu: is not a pair of tokens; fetch the file again",
                       r->name, i);
    *out = (struct vocab_merge){find_part(r, left, n_left), find_part(r, right, n_right)};
    if (out->left >= 0 && out->right >= 0) return true;
    return err_set(r->err, ERR_FORMAT,
                   "%s: model.merges: entry %zu: its %s part is not a token; fetch the file again",
                   r->name, i, out->left < 0 ? "left" : "right");
}

static bool read_merges(struct source *r)
{
    struct vocab *v = r->v;
    struct json value;
    size_t i = 0;
    const size_t n = json_len(r->merges);
    v->merges = arena_array(v->arena, n, sizeof *v->merges, r->err);
    if (!v->merges) return false;
    for (struct json_iter it = json_iter(r->merges); json_next(&it, NULL, NULL, &value); i++)
        if (!read_merge(r, i, value, &v->merges[i])) return false;
    v->n_merges = (int32_t)i;
    return true;
}

/* ---- the scores of a converted SentencePiece model ---- */

/* The normal token that merge `m` of normal tokens makes, or -1. `text` has room for both. */
static int32_t made_by(const struct source *r, struct vocab_merge m, char *text)
{
    const struct vocab_token *x = &r->v->tokens[m.left], *y = &r->v->tokens[m.right];
    if (x->kind != TOKEN_NORMAL || y->kind != TOKEN_NORMAL) return -1;
    if (x->n_bytes + y->n_bytes > VOCAB_MAX_TOKEN_BYTES) return -1;
    memcpy(text, x->bytes, x->n_bytes);
    memcpy(text + x->n_bytes, y->bytes, y->n_bytes);
    const int32_t id = token_map_find(&r->map, text, (size_t)x->n_bytes + y->n_bytes);
    return id >= 0 && r->v->tokens[id].kind == TOKEN_NORMAL ? id : -1;
}

static void score_by_rule(struct vocab *v)
{
    const int32_t first = spm_first_normal(v);
    for (int32_t id = first; id < v->n_tokens; id++)
        if (v->tokens[id].kind == TOKEN_NORMAL) v->tokens[id].score = spm_score_by_rule(id, first);
}

static bool is_spaces(const struct vocab_token *t)
{
    for (uint32_t i = 0; i < t->n_bytes; i += 3)
        if (i + 3 > t->n_bytes || memcmp(t->bytes + i, "\xE2\x96\x81", 3) != 0) return false;
    return true;
}

/* True if tokens are made in the order of their ids, so that the rule's scores hold; runs of spaces
 * may all come last, as in Llama 2, which scores them so. Counts the merges of normal tokens. */
static bool follows_ids(const struct source *r, char *text, int32_t *n_counted)
{
    struct vocab *v = r->v;
    bool ok = true, is_tail = false, has_spaces = false;
    int32_t last = -1;
    for (int32_t i = 0; i < v->n_merges; i++) {
        const int32_t made = made_by(r, v->merges[i], text);
        if (made < 0) continue;
        ++*n_counted;
        if (made < last && !is_tail && !has_spaces) {
            is_tail = true;
            last = -1;
        }
        has_spaces = has_spaces || is_spaces(&v->tokens[made]);
        ok = ok && made >= last && (!is_tail || is_spaces(&v->tokens[made]));
        last = made;
    }
    for (int32_t id = 0; id < v->n_tokens && is_tail; id++)
        if (v->tokens[id].kind == TOKEN_NORMAL && is_spaces(&v->tokens[id]))
            v->tokens[id].score = SPACES_LAST;
    return ok;
}

/* Scores fall with the place of the first merge that makes a token; those that none makes are
 * lowest. */
static void score_by_merges(const struct source *r, char *text)
{
    struct vocab *v = r->v;
    for (int32_t id = 0; id < v->n_tokens; id++)
        v->tokens[id].score = v->tokens[id].kind == TOKEN_NORMAL ? -(float)v->n_merges : 0;
    for (int32_t i = v->n_merges - 1; i >= 0; i--) {
        const int32_t made = made_by(r, v->merges[i], text);
        if (made >= 0) v->tokens[made].score = -(float)i;
    }
}

static bool find_scores(struct source *r)
{
    struct merge_list all = {0};
    int32_t n_counted = 0;
    char *text = malloc(VOCAB_MAX_TOKEN_BYTES);
    if (!text) return err_set(r->err, ERR_MEMORY, "%s: no memory to read merges", r->name);
    score_by_rule(r->v);
    if (!follows_ids(r, text, &n_counted)) score_by_merges(r, text);
    free(text);
    r->v->merges = NULL;
    r->v->n_merges = 0;
    if (!merges_from_ranks(r->v, &all, r->err)) return false;
    const bool is_whole = all.n == n_counted;
    const int32_t n_all = all.n;
    merge_list_release(&all);
    if (is_whole) return true;
    return err_set(r->err, ERR_UNSUPPORTED,
                   "%s: model.merges: %d merges where the tokens have %d splits, so it is not a "
                   "converted SentencePiece model; use the model's tokenizer.model or GGUF file",
                   r->name, n_counted, n_all);
}

/* ---- settings ---- */

/* Files of the first weeks of Llama 3 lack ignore_merges; its ids were meant (2.9). */
static bool ignores_merges(const struct source *r)
{
    const bool is_llama3 =
        r->v->pretok == PRETOK_LLAMA3 && vocab_find_text(r->v, "<|begin_of_text|>") >= 0;
    return flag_of(r->model, "ignore_merges", is_llama3);
}

static int32_t find_special(const struct vocab *v, const char *const *texts)
{
    for (; *texts; texts++) {
        const int32_t id = vocab_find_text(v, *texts);
        if (id >= 0 && v->tokens[id].kind == TOKEN_CONTROL) return id;
    }
    return -1;
}

static bool read_settings(struct source *r)
{
    static const char *const bos[] = {"<|begin_of_text|>", "<s>", NULL};
    static const char *const eos[] = {"<|end_of_text|>", "</s>", "<|endoftext|>", NULL};
    struct vocab *v = r->v;
    if (r->steps.before >= v->n_tokens || r->steps.after >= v->n_tokens)
        return wants(r, "post_processor", "names an id that no token has");
    v->adds_bos = r->steps.before >= 0;
    v->adds_eos = r->steps.after >= 0;
    v->bos = v->adds_bos ? r->steps.before : find_special(v, bos);
    v->eos = v->adds_eos ? r->steps.after : find_special(v, eos);
    v->ignores_merges = v->model == VOCAB_BPE && ignores_merges(r);
    return true;
}

static bool read_all(struct source *r)
{
    if (json_type(r->root) != JSON_OBJECT) return wants(r, "top", "is not an object");
    return read_model(r) && read_tokens(r) && read_merges(r) &&
           (r->v->model == VOCAB_BPE || find_scores(r)) && read_settings(r) &&
           vocab_finish_checked(r->v, r->name, r->err);
}

struct vocab *vocab_from_hf_memory(const uint8_t *data, size_t n_bytes, const char *name,
                                   struct err *err)
{
    struct json_doc *doc = json_parse(data, n_bytes, MAX_FILE_BYTES, name, err);
    if (!doc) return NULL;
    struct source r = {.root = json_root(doc), .name = name, .v = vocab_new(err), .err = err};
    const bool ok = r.v && read_all(&r);
    token_map_release(&r.map);
    json_free(doc);
    if (ok) return r.v;
    vocab_free(r.v);
    return NULL;
}
