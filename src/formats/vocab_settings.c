/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab_settings.c - what the files beside a vocabulary say about it.
 *
 *   added_tokens.json         tokens that were added to a tokenizer.model, in old directories
 *   tokenizer_config.json     these in newer ones; bos, eos, unk, pad by text; add_bos_token,
 *                             add_eos_token; template
 *   special_tokens_map.json   the same texts, where the above does not give them
 *   chat_template.jinja       the template, before that of tokenizer_config.json
 *   generation_config.json    bos, eos, pad by id; eos may be a list
 *   config.json               the same
 *   params.json               (Meta) whether the names are those of Llama 3.1
 *
 * Each may be missing. They disagree in practice: a file names <|end_of_text|> as end and the next
 * <|eot_id|>, and both are meant (spec/inference.md b1). So every end that any of them names joins
 * the stop set, while `eos` itself is the first one in the order of the list above.
 *
 * Begin reading at vocab_settings_read().
 */
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/file.h"
#include "formats/vocab_parts.h"

#define MAX_JSON_BYTES ((size_t)64 << 20) /* tokenizer_config.json repeats all added tokens */

/* One file beside the vocabulary. */
struct beside {
    struct buf path, text;
    struct json_doc *doc;
    bool is_there;
};

static bool beside_read(struct beside *b, const char *dir, const char *name, size_t max_bytes,
                        struct err *err)
{
    *b = (struct beside){.is_there = false};
    buf_init(&b->path, 1 << 16);
    buf_init(&b->text, max_bytes);
    path_join(&b->path, dir, name);
    if (!buf_check(&b->path, name, err)) return false;
    b->is_there = path_exists(b->path.data);
    return !b->is_there || file_read_all(b->path.data, max_bytes, &b->text, err);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The end of the string that opens at s[i]. */
static size_t string_end(const char *s, size_t n, size_t i)
{
    for (i++; i < n && s[i] != '"'; i++)
        if (s[i] == '\\') i++;
    return i;
}

/* transformers writes "no limit" as model_max_length 1000000000000000019884624838656, in nearly
 * every tokenizer_config.json, and our JSON reader takes whole numbers of 64 bits only. Nobody
 * needs such a number here, so those of 19 digits and more become floats in place: "e2" for the
 * last two digits. */
static void tame_big_numbers(char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"') {
            i = string_end(s, n, i);
        } else if (is_digit(s[i])) {
            const size_t begin = i;
            while (i < n && is_digit(s[i])) i++;
            const bool is_whole = i == n || !strchr(".eE", s[i]);
            if (is_whole && i - begin >= 19) memcpy(s + i - 2, "e2", 2);
            while (i < n && strchr("0123456789+-.eE", s[i]) && s[i]) i++; /* a float as it was */
            i--;
        }
    }
}

/* The same, parsed: an object. */
static bool beside_parse(struct beside *b, const char *dir, const char *name, struct err *err)
{
    if (!beside_read(b, dir, name, MAX_JSON_BYTES, err)) return false;
    if (!b->is_there) return true;
    tame_big_numbers(b->text.data, b->text.n_bytes);
    b->doc = json_parse(b->text.data, b->text.n_bytes, MAX_JSON_BYTES, b->path.data, err);
    if (!b->doc) return false;
    if (json_type(json_root(b->doc)) == JSON_OBJECT) return true;
    return err_set(err, ERR_FORMAT, "%s: is not an object; fetch the file again", b->path.data);
}

static void beside_release(struct beside *b)
{
    json_free(b->doc);
    buf_release(&b->text);
    buf_release(&b->path);
}

struct source {
    struct vocab *v;
    const char *path;
    struct err *err;
    bool has_eos; /* a file has said what `eos` is */
    bool is_model;
};

/* ---- tokens by text ---- */

/* The text of a token: a string, or an object that has it as "content". */
static bool token_text(struct json v, const char **s, size_t *n)
{
    return json_str(v, s, n) || json_str(json_get(v, "content"), s, n);
}

static bool find_text(const struct source *r, const char *key, const char *s, size_t n,
                      bool is_needed, int32_t *out)
{
    const int32_t id = strlen(s) == n && n > 0 ? vocab_find_text(r->v, s) : -1;
    if (id >= 0) *out = id;
    if (id >= 0 || !is_needed || n == 0) return true;
    return err_set(r->err, ERR_FORMAT,
                   "%s: %s: %.60s is not in the vocabulary; fetch all files from one place",
                   r->path, key, s);
}

static bool read_texts(struct source *r, struct json root, bool is_first)
{
    struct vocab *v = r->v;
    const struct {
        const char *key;
        int32_t *id;
        bool is_needed; /* fine-tunes name padding and unknown tokens that they never added */
    } rows[] = {{"bos_token", &v->bos, true},
                {"eos_token", &v->eos, true},
                {"unk_token", &v->unk, false},
                {"pad_token", &v->pad, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *s = NULL;
        size_t n = 0;
        int32_t id = -1;
        if (!token_text(json_get(root, rows[i].key), &s, &n)) continue;
        if (!find_text(r, rows[i].key, s, n, rows[i].is_needed, &id)) return false;
        if (id < 0) continue;
        if (rows[i].id == &v->unk && v->model == VOCAB_SPM) v->tokens[id].kind = TOKEN_UNKNOWN;
        const bool is_eos = rows[i].id == &v->eos;
        if (is_eos) vocab_add_stop(v, id);
        if (is_first || (is_eos ? !r->has_eos : *rows[i].id < 0)) *rows[i].id = id;
        if (is_eos) r->has_eos = true;
    }
    return true;
}

/* ---- the template ---- */

static bool put_template(struct source *r, struct json v)
{
    const char *s = NULL;
    size_t n = 0;
    if (!json_str(v, &s, &n)) return true;
    return vocab_put_template(r->v, s, n, r->path, "chat_template", r->err);
}

/* A text, or a list of named ones, of which "default" is it. */
static bool read_template(struct source *r, struct json v)
{
    struct json row;
    for (struct json_iter it = json_iter(v); json_next(&it, NULL, NULL, &row);) {
        const char *s = NULL;
        size_t n = 0;
        if (json_str(json_get(row, "name"), &s, &n) && strcmp(s, "default") == 0)
            return put_template(r, json_get(row, "template"));
    }
    return put_template(r, v);
}

static bool read_tokenizer_config(struct source *r, struct json root)
{
    struct vocab *v = r->v;
    const struct json added = json_get(root, "added_tokens_decoder");
    if (r->is_model && !vocab_added_read(v, added, true, r->path, r->err)) return false;
    if (!read_texts(r, root, true) || !read_template(r, json_get(root, "chat_template")))
        return false;
    (void)json_bool(json_get(root, "add_bos_token"), &v->adds_bos); /* null: as the file has it */
    (void)json_bool(json_get(root, "add_eos_token"), &v->adds_eos);
    return true;
}

static bool read_added_tokens(struct source *r, struct json root)
{
    return !r->is_model || vocab_added_read(r->v, root, false, r->path, r->err);
}

static bool read_special_tokens_map(struct source *r, struct json root)
{
    return read_texts(r, root, false);
}

/* ---- tokens by id ---- */

/* -1 and null mean none. */
static bool read_id(const struct source *r, const char *key, struct json v, int32_t *out)
{
    int64_t id = -1;
    *out = -1;
    if (json_type(v) <= JSON_NULL) return true;
    if (json_i64(v, &id) && id >= -1 && id < r->v->n_tokens) {
        *out = (int32_t)id;
        return true;
    }
    return err_set(r->err, ERR_FORMAT,
                   "%s: %s: is not an id from 0 to %d; fetch all files from one place", r->path,
                   key, r->v->n_tokens - 1);
}

static bool read_ids(struct source *r, struct json root)
{
    struct vocab *v = r->v;
    const struct json eos = json_get(root, "eos_token_id");
    const bool is_list = json_type(eos) == JSON_ARRAY;
    int32_t id = -1;
    for (size_t i = 0; i < (is_list ? json_len(eos) : 1); i++) {
        if (!read_id(r, "eos_token_id", is_list ? json_at(eos, i) : eos, &id)) return false;
        if (id < 0) continue;
        vocab_add_stop(v, id);
        if (!r->has_eos) v->eos = id;
        r->has_eos = true;
    }
    if (!read_id(r, "bos_token_id", json_get(root, "bos_token_id"), &id)) return false;
    if (v->bos < 0) v->bos = id;
    if (!read_id(r, "pad_token_id", json_get(root, "pad_token_id"), &id)) return false;
    if (v->pad < 0) v->pad = id;
    return true;
}

/* ---- all of them ---- */

static const struct file_row {
    const char *name;
    bool (*read)(struct source *r, struct json root);
} files[] = {
    {"added_tokens.json", read_added_tokens},
    {"tokenizer_config.json", read_tokenizer_config},
    {"special_tokens_map.json", read_special_tokens_map},
    {"generation_config.json", read_ids},
    {"config.json", read_ids},
};

static bool read_jinja(struct source *r, const char *dir)
{
    struct beside b;
    bool ok = beside_read(&b, dir, "chat_template.jinja", VOCAB_MAX_TEMPLATE_BYTES, r->err);
    if (ok && b.is_there)
        ok =
            vocab_put_template(r->v, b.text.data, b.text.n_bytes, b.path.data, "all of it", r->err);
    beside_release(&b);
    return ok;
}

bool vocab_settings_read(struct vocab *v, const char *dir, bool is_model, struct err *err)
{
    struct source r = {.v = v, .err = err, .is_model = is_model};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct beside b;
        bool ok = beside_parse(&b, dir, files[i].name, err);
        r.path = b.path.data;
        if (ok && b.is_there) ok = files[i].read(&r, json_root(b.doc));
        beside_release(&b);
        if (!ok) return false;
    }
    return read_jinja(&r, dir);
}

bool vocab_dir_is_llama31(const char *dir)
{
    struct err ignored = {0}; /* whoever reads the configuration says what is wrong with it */
    bool is_llama31 = false;
    struct beside b;
    if (beside_parse(&b, dir, "params.json", &ignored) && b.is_there)
        (void)json_bool(json_get(json_root(b.doc), "use_scaled_rope"), &is_llama31);
    beside_release(&b);
    if (beside_parse(&b, dir, "config.json", &ignored) && b.is_there) {
        const char *const keys[] = {"rope_scaling", "rope_parameters"};
        for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
            const char *s = NULL;
            size_t n = 0;
            const struct json type = json_get(json_get(json_root(b.doc), keys[i]), "rope_type");
            if (json_str(type, &s, &n) && strcmp(s, "llama3") == 0) is_llama31 = true;
        }
    }
    beside_release(&b);
    return is_llama31;
}
