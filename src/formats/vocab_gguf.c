/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab_gguf.c - the vocabulary in the tokenizer.* keys of a GGUF file (spec/inference.md d3).
 *
 * The keys came with time, so most may be missing, and what is then meant is what the reference
 * does. Without tokenizer.ggml.pre the family is recognised by the tokens (pretok_guess.c), never
 * by a hash. Without token_type the special tokens are those that some key names, and those that
 * look like one. Without add_bos_token, SentencePiece models and the family of Llama 3 begin with
 * BOS. A key that is there is never guessed about: wrong type, count or range is an error.
 *
 * Two keys go beyond the published ones and may be missing anywhere: tokenizer.ggml.ignore_merges,
 * which others write too, and tokenizer.cria.stop_token_ids, the ends that have no key of their
 * own.
 *
 * Begin reading at vocab_from_gguf().
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "formats/tokenizer_files.h"
#include "formats/vocab_parts.h"
#include "text/pretok.h"

struct source {
    const struct gguf *g;
    const char *name;
    struct vocab *v;
    struct token_map map;
    struct err *err;
};

/* ---- which kind ---- */

static bool is_text(const char *s, size_t n, const char *want)
{
    return n == strlen(want) && memcmp(s, want, n) == 0;
}

static bool read_model(struct source *r)
{
    const char *s = NULL;
    size_t n = 0;
    bool has = false;
    if (!gguf_str(r->g, "tokenizer.ggml.model", &s, &n, &has, r->err)) return false;
    if (!has)
        return err_set(r->err, ERR_FORMAT,
                       "%s: key tokenizer.ggml.model: is missing, the file has no vocabulary; "
                       "convert the model again with its tokenizer",
                       r->name);
    if (is_text(s, n, "gpt2") || is_text(s, n, "llama")) {
        r->v->model = is_text(s, n, "gpt2") ? VOCAB_BPE : VOCAB_SPM;
        return true;
    }
    return err_set(r->err, ERR_UNSUPPORTED,
                   "%s: key tokenizer.ggml.model: %.*s is not supported, only gpt2 and llama; use "
                   "a model of the Llama family",
                   r->name, n > 40 ? 40 : (int)n, s);
}

/* Names that stand for the whole way of Llama 3, not for its regular expression alone. */
static bool is_llama3_name(const char *s, size_t n)
{
    return is_text(s, n, "llama-bpe") || is_text(s, n, "llama3") || is_text(s, n, "llama-v3");
}

static bool read_pre(struct source *r)
{
    const char *s = NULL;
    size_t n = 0;
    bool has = false;
    if (!gguf_str(r->g, "tokenizer.ggml.pre", &s, &n, &has, r->err)) return false;
    if (!has || r->v->model == VOCAB_SPM) return true;
    for (const struct pretok_name *p = pretok_names; p->gguf; p++) {
        if (!is_text(s, n, p->gguf)) continue;
        r->v->pretok = p->pretok;
        r->v->ignores_merges = is_llama3_name(s, n);
        return true;
    }
    return err_set(r->err, ERR_UNSUPPORTED,
                   "%s: key tokenizer.ggml.pre: the pre-tokenizer %.*s is not supported, only "
                   "those of llama-bpe, gpt-2 and smollm; use a model of the Llama family",
                   r->name, n > 40 ? 40 : (int)n, s);
}

/* ---- arrays ---- */

enum elems { ELEMS_STRING, ELEMS_WHOLE, ELEMS_FLOAT };

static bool has_elems(const struct gguf_value *a, enum elems want)
{
    if (a->type != GGUF_ARRAY) return false;
    switch (a->elem_type) {
    case GGUF_STRING:
        return want == ELEMS_STRING;
    case GGUF_F32:
    case GGUF_F64:
        return want == ELEMS_FLOAT;
    case GGUF_BOOL:
    case GGUF_ARRAY:
        return false;
    default:
        return want == ELEMS_WHOLE;
    }
}

/* The array of a key, or NULL with *ok true if it may be missing and is. */
static const struct gguf_value *find_array(struct source *r, const char *key, enum elems want,
                                           bool is_needed, bool *ok)
{
    static const char *const names[] = {"strings", "whole numbers", "floats"};
    const struct gguf_value *a = gguf_find(r->g, key);
    *ok = a ? has_elems(a, want) : !is_needed;
    if (*ok) return a;
    if (a)
        err_set(r->err, ERR_FORMAT, "%s: key %s: is not an array of %s; convert the model again",
                r->name, key, names[want]);
    else
        err_set(r->err, ERR_FORMAT, "%s: key %s: is missing; convert the model again", r->name,
                key);
    return NULL;
}

/* The same for an array with one element a token. */
static const struct gguf_value *find_column(struct source *r, const char *key, enum elems want,
                                            bool is_needed, bool *ok)
{
    const struct gguf_value *a = find_array(r, key, want, is_needed, ok);
    if (!a || a->n == (uint64_t)r->v->n_tokens) return a;
    *ok = err_set(r->err, ERR_FORMAT,
                  "%s: key %s: has %" PRIu64 " elements for %d tokens; convert the model again",
                  r->name, key, a->n, r->v->n_tokens);
    return NULL;
}

/* ---- tokens ---- */

/* For files without token_type. */
static enum token_kind guess_kind(const struct vocab *v, int32_t id, const char *s, size_t n)
{
    if (id == v->unk && v->model == VOCAB_SPM) return TOKEN_UNKNOWN;
    if (id == v->bos || id == v->eos || id == v->eot || id == v->eom || id == v->pad)
        return TOKEN_CONTROL;
    if (v->model == VOCAB_SPM) return is_byte_spelling(s, n) ? TOKEN_BYTE : TOKEN_NORMAL;
    const bool is_marked = n > 4 && memcmp(s, "<|", 2) == 0 && memcmp(s + n - 2, "|>", 2) == 0;
    return is_marked ? TOKEN_CONTROL : TOKEN_NORMAL;
}

static bool read_kind(struct source *r, const struct gguf_value *kinds, int32_t id,
                      enum token_kind *out)
{
    const int64_t kind = gguf_elem_i64(kinds, (uint64_t)id);
    if (kind < TOKEN_NORMAL || kind > TOKEN_BYTE)
        return err_set(r->err, ERR_FORMAT,
                       "%s: key tokenizer.ggml.token_type: token %d has type %" PRId64
                       ", allowed are 1 to 6; convert the model again",
                       r->name, id, kind);
    *out = (enum token_kind)kind;
    return true;
}

static bool fill_tokens(struct source *r, const struct gguf_value *texts)
{
    struct vocab *v = r->v;
    struct text_block block;
    bool ok = false;
    const struct gguf_value *kinds =
        find_column(r, "tokenizer.ggml.token_type", ELEMS_WHOLE, false, &ok);
    if (!ok) return false;
    const struct gguf_value *scores =
        find_column(r, "tokenizer.ggml.scores", ELEMS_FLOAT, v->model == VOCAB_SPM, &ok);
    if (!ok || !text_block_init(&block, v, texts->n_bytes, texts->n, r->err)) return false;
    const uint8_t *cursor = NULL;
    const char *s = NULL;
    size_t n = 0;
    for (int32_t id = 0; gguf_next_str(texts, &cursor, &s, &n); id++) {
        enum token_kind kind = guess_kind(v, id, s, n);
        if (kinds && !read_kind(r, kinds, id, &kind)) return false;
        vocab_put_token(v, &block, id, kind, s, n);
        if (v->model == VOCAB_SPM) v->tokens[id].score = (float)gguf_elem_f64(scores, (uint64_t)id);
    }
    return true;
}

static bool read_id(struct source *r, const char *key, int32_t *out)
{
    int64_t id = 0;
    bool has = false;
    if (!gguf_i64(r->g, key, 0, r->v->n_tokens - 1, &id, &has, r->err)) return false;
    if (has) *out = (int32_t)id;
    return true;
}

static bool read_ids(struct source *r)
{
    struct vocab *v = r->v;
    const struct {
        const char *key;
        int32_t *id;
    } rows[] = {
        {"tokenizer.ggml.bos_token_id", &v->bos},     {"tokenizer.ggml.eos_token_id", &v->eos},
        {"tokenizer.ggml.eot_token_id", &v->eot},     {"tokenizer.ggml.eom_token_id", &v->eom},
        {"tokenizer.ggml.unknown_token_id", &v->unk}, {"tokenizer.ggml.padding_token_id", &v->pad},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!read_id(r, rows[i].key, rows[i].id)) return false;
    return true;
}

/* SentencePiece files that name no ids mean the usual texts. */
static void find_ids(struct vocab *v)
{
    const struct {
        const char *text;
        int32_t *id;
    } rows[] = {{"<s>", &v->bos}, {"</s>", &v->eos}, {"<unk>", &v->unk}};
    for (size_t i = 0; i < ARRAY_LEN(rows) && v->model == VOCAB_SPM; i++) {
        const int32_t id = *rows[i].id < 0 ? vocab_find_text(v, rows[i].text) : -1;
        if (id >= 0 && v->tokens[id].kind != TOKEN_NORMAL) *rows[i].id = id;
    }
}

static bool read_tokens(struct source *r)
{
    bool ok = false;
    const struct gguf_value *texts =
        find_array(r, "tokenizer.ggml.tokens", ELEMS_STRING, true, &ok);
    if (!ok) return false;
    if (texts->n < 1 || texts->n > VOCAB_MAX_TOKENS)
        return err_set(r->err, ERR_FORMAT,
                       "%s: key tokenizer.ggml.tokens: has %" PRIu64
                       " tokens, allowed are 1 to %d; convert the model again",
                       r->name, texts->n, VOCAB_MAX_TOKENS);
    if (!vocab_tokens_init(r->v, (int32_t)texts->n, r->err)) return false;
    if (!read_ids(r) || !fill_tokens(r, texts)) return false;
    find_ids(r->v);
    return token_map_init(&r->map, r->v, r->err) && token_map_check(&r->map, r->name, r->err);
}

/* ---- merges ---- */

static bool read_merge(struct source *r, uint64_t i, const char *s, size_t n)
{
    const char *space = n > 1 ? memchr(s + 1, ' ', n - 1) : NULL;
    if (!space)
        return err_set(r->err, ERR_FORMAT,
                       "%s: key tokenizer.ggml.merges: merge %" PRIu64
                       ": has no space between two tokens; convert the model again",
                       r->name, i);
    const size_t n_left = (size_t)(space - s);
    const int32_t left = token_map_find_spelled(&r->map, s, n_left);
    const int32_t right = token_map_find_spelled(&r->map, space + 1, n - n_left - 1);
    if (left < 0 || right < 0)
        return err_set(r->err, ERR_FORMAT,
                       "%s: key tokenizer.ggml.merges: merge %" PRIu64
                       ": its %s part is not a token; convert the model again",
                       r->name, i, left < 0 ? "left" : "right");
    r->v->merges[r->v->n_merges++] = (struct vocab_merge){left, right};
    return true;
}

static bool read_merges(struct source *r)
{
    bool ok = false;
    if (r->v->model == VOCAB_SPM) return true;
    const struct gguf_value *a = find_array(r, "tokenizer.ggml.merges", ELEMS_STRING, true, &ok);
    if (!ok) return false;
    if (a->n > INT32_MAX)
        return err_set(r->err, ERR_FORMAT,
                       "%s: key tokenizer.ggml.merges: has %" PRIu64
                       " merges, at most %d are allowed; convert the model again",
                       r->name, a->n, INT32_MAX);
    r->v->merges = arena_array(r->v->arena, (size_t)a->n, sizeof *r->v->merges, r->err);
    if (!r->v->merges) return false;
    const uint8_t *cursor = NULL;
    const char *s = NULL;
    size_t n = 0;
    for (uint64_t i = 0; gguf_next_str(a, &cursor, &s, &n); i++)
        if (!read_merge(r, i, s, n)) return false;
    return true;
}

/* ---- settings ---- */

static bool read_stops(struct source *r)
{
    bool ok = false;
    const struct gguf_value *a =
        find_array(r, "tokenizer.cria.stop_token_ids", ELEMS_WHOLE, false, &ok);
    if (!a) return ok;
    for (uint64_t i = 0; i < a->n && i < ARRAY_LEN(r->v->stop); i++) {
        const int64_t id = gguf_elem_i64(a, i);
        if (id < 0 || id >= r->v->n_tokens)
            return err_set(r->err, ERR_FORMAT,
                           "%s: key tokenizer.cria.stop_token_ids: is %" PRId64
                           ", allowed are 0 to %d; convert the model again",
                           r->name, id, r->v->n_tokens - 1);
        vocab_add_stop(r->v, (int32_t)id);
    }
    return true;
}

static bool read_settings(struct source *r)
{
    struct vocab *v = r->v;
    const char *s = NULL;
    size_t n = 0;
    bool has = false;
    if (v->model == VOCAB_BPE && v->pretok == PRETOK_UNKNOWN) {
        v->pretok = pretok_guess(v);
        v->ignores_merges = v->pretok == PRETOK_LLAMA3;
    }
    v->adds_bos = v->bos >= 0 && (v->model == VOCAB_SPM || v->ignores_merges);
    v->adds_space_prefix = v->model == VOCAB_SPM;
    if (!gguf_bool(r->g, "tokenizer.ggml.ignore_merges", &v->ignores_merges, NULL, r->err) ||
        !gguf_bool(r->g, "tokenizer.ggml.add_bos_token", &v->adds_bos, NULL, r->err) ||
        !gguf_bool(r->g, "tokenizer.ggml.add_eos_token", &v->adds_eos, NULL, r->err) ||
        !gguf_bool(r->g, "tokenizer.ggml.add_space_prefix", &v->adds_space_prefix, NULL, r->err))
        return false;
    if (v->model == VOCAB_BPE) v->adds_space_prefix = false;
    if (v->model == VOCAB_SPM) v->ignores_merges = false;
    if (!gguf_str(r->g, "tokenizer.chat_template", &s, &n, &has, r->err)) return false;
    if (has && !vocab_put_template(v, s, n, r->name, "key tokenizer.chat_template", r->err))
        return false;
    return read_stops(r);
}

struct vocab *vocab_from_gguf(const struct gguf *g, struct err *err)
{
    struct source r = {.g = g, .name = gguf_path(g), .v = vocab_new(err), .err = err};
    if (!r.v) return NULL;
    const bool ok = read_model(&r) && read_pre(&r) && read_tokens(&r) && read_merges(&r) &&
                    read_settings(&r) && vocab_finish_checked(r.v, r.name, err);
    token_map_release(&r.map);
    if (ok) return r.v;
    vocab_free(r.v);
    return NULL;
}
