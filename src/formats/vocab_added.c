/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab_added.c - tokens that a fine-tune added to a vocabulary which is a tokenizer.model.
 *
 * That file cannot be added to, so transformers keeps them beside it: in tokenizer_config.json as
 * added_tokens_decoder (id to content and special), before 2023 in added_tokens.json (text to id).
 * They follow the ids of the model; a gap is an unused token. Those that name a special token which
 * is there already may give it another text: the reserved ones of Llama 3 differ between Meta's
 * files and Hugging Face's (spec/llama3.md 2.5). An ordinary token is never renamed.
 *
 * Begin reading at vocab_added_read().
 */
#include <inttypes.h>
#include <string.h>

#include "formats/vocab_parts.h"

#define MAX_ADDED 65536 /* ids beyond the model's */

struct added {
    int64_t id;
    const char *text;
    size_t n;
    bool is_special;
};

struct source {
    struct vocab *v;
    struct json list;
    bool is_by_id; /* added_tokens_decoder */
    const char *path;
    int32_t n_before;
    struct err *err;
};

/* The number that a key is, or -1. */
static int64_t id_of_key(const char *s, size_t n)
{
    int64_t id = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || i >= 9) return -1;
        id = 10 * id + (s[i] - '0');
    }
    return n ? id : -1;
}

static bool read_one(const struct source *r, const char *key, size_t n_key, struct json value,
                     struct added *out)
{
    *out = (struct added){.id = -1};
    if (r->is_by_id) {
        (void)json_bool(json_get(value, "special"), &out->is_special);
        out->id =
            json_str(json_get(value, "content"), &out->text, &out->n) ? id_of_key(key, n_key) : -1;
    } else {
        out->text = key;
        out->n = n_key;
        if (!json_i64(value, &out->id)) out->id = -1;
    }
    if (out->id >= 0 && out->id < (int64_t)r->n_before + MAX_ADDED && out->id < VOCAB_MAX_TOKENS)
        return true;
    return err_set(r->err, ERR_FORMAT,
                   "%s: added token %.40s: has no text or no id from 0 to %d; fetch all files from "
                   "one place",
                   r->path, key, r->n_before + MAX_ADDED - 1);
}

/* Grows the list of tokens for the highest id, and counts the text. */
static bool make_room(struct source *r, size_t *n_bytes)
{
    struct vocab *v = r->v;
    const struct vocab_token *before = v->tokens;
    const char *key = NULL;
    size_t n_key = 0;
    struct json value;
    int64_t n_tokens = v->n_tokens;
    for (struct json_iter it = json_iter(r->list); json_next(&it, &key, &n_key, &value);) {
        struct added a;
        if (!read_one(r, key, n_key, value, &a)) return false;
        if (a.id >= n_tokens) n_tokens = a.id + 1;
        *n_bytes += a.n;
    }
    if (n_tokens == v->n_tokens) return true;
    if (!vocab_tokens_init(v, (int32_t)n_tokens, r->err)) return false;
    memcpy(v->tokens, before, (size_t)r->n_before * sizeof *before);
    return true;
}

static bool put_one(struct source *r, const struct added *a, struct text_block *block)
{
    struct vocab *v = r->v;
    const int32_t id = (int32_t)a->id;
    struct vocab_token *t = &v->tokens[id];
    if (t->n_bytes == a->n && memcmp(t->bytes, a->text, a->n) == 0) {
        if (t->kind == TOKEN_USER && a->is_special) t->kind = TOKEN_CONTROL;
        return true;
    }
    if (t->kind == TOKEN_CONTROL || t->kind == TOKEN_UNUSED) {
        const bool is_special = a->is_special || t->kind == TOKEN_CONTROL;
        vocab_put_token(v, block, id, is_special ? TOKEN_CONTROL : TOKEN_USER, a->text, a->n);
        return true;
    }
    return err_set(r->err, ERR_FORMAT,
                   "%s: added token %d: is another token of tokenizer.model; fetch all files from "
                   "one place",
                   r->path, id);
}

bool vocab_added_read(struct vocab *v, struct json list, bool is_by_id, const char *path,
                      struct err *err)
{
    struct source r = {v, list, is_by_id, path, v->n_tokens, err};
    struct text_block block;
    struct token_map map = {0};
    const char *key = NULL;
    size_t n_key = 0, n_bytes = 0;
    struct json value;
    if (json_len(list) == 0) return true;
    if (!make_room(&r, &n_bytes) || !text_block_init(&block, v, n_bytes, json_len(list), err))
        return false;
    for (struct json_iter it = json_iter(list); json_next(&it, &key, &n_key, &value);) {
        struct added a;
        if (!read_one(&r, key, n_key, value, &a) || !put_one(&r, &a, &block)) return false;
    }
    const bool ok = token_map_init(&map, v, err) && token_map_check(&map, path, err);
    token_map_release(&map);
    return ok;
}
