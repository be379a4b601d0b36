/* SPDX-License-Identifier: Apache-2.0
 *
 * model.c - opening a model: which of the three forms it has, its tokenizer, and what must agree.
 *
 * A loader fills configuration and weights (load_gguf.c, load_hf.c, load_meta.c); here the
 * vocabulary joins them. A vocabulary may have fewer tokens than the embedding has rows (rows are
 * often rounded up), never more: such a file would let a user's text ask for a row that is not
 * there. Files without a vocabulary open too, for those who only move weights.
 *
 * Begin reading at model_open().
 */
#include "model/model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "base/os.h"
#include "formats/tokenizer_files.h"
#include "model/load.h"

#define MAX_TABLE_BYTES ((size_t)4 << 30) /* vectors of 4096 layers of the widest model */
#define MAX_JSON_BYTES ((size_t)16 << 20)

/* ---- helpers of the loaders ---- */

struct json_doc *load_json(const char *dir, const char *name, struct buf *path, struct err *err)
{
    struct buf text;
    struct json_doc *doc = NULL;
    buf_init(&text, MAX_JSON_BYTES);
    path_join(path, dir, name);
    if (buf_check(path, name, err) && file_read_all(path->data, MAX_JSON_BYTES, &text, err))
        doc = json_parse(text.data, text.n_bytes, MAX_JSON_BYTES, path->data, err);
    buf_release(&text);
    return doc;
}

bool dir_has(const char *dir, const char *name)
{
    struct buf path;
    struct err ignored = {0};
    buf_init(&path, 1 << 16);
    path_join(&path, dir, name);
    const bool has = buf_check(&path, name, &ignored) && path_exists(path.data);
    buf_release(&path);
    return has;
}

/* ---- the tokenizer ---- */

static bool has_vocab(const struct model *m)
{
    if (m->gguf) return gguf_find(m->gguf, "tokenizer.ggml.model") != NULL;
    return dir_has(m->info.path, "tokenizer.json") || dir_has(m->info.path, "tokenizer.model");
}

static bool load_tokenizer(struct model *m, struct err *err)
{
    const bool is_llama31 = m->config.rope_scaling == ROPE_SCALING_LLAMA3;
    if (!has_vocab(m)) return true;
    struct vocab *v =
        m->gguf ? vocab_from_gguf(m->gguf, err) : vocab_from_dir(m->info.path, is_llama31, err);
    if (!v) return false;
    if (v->n_tokens > m->config.n_vocab) {
        err_set(err, ERR_FORMAT,
                "%s: the vocabulary has %" PRId32 " tokens, the embedding only %" PRId32
                " rows; fetch weights and tokenizer from one place",
                m->info.path, v->n_tokens, m->config.n_vocab);
        vocab_free(v);
        return false;
    }
    m->tokenizer = tokenizer_new(v, m->info.path, err);
    if (!m->tokenizer) {
        vocab_free(v);
        return false;
    }
    if (v->chat_template) m->chat = chat_family_of_template(v->chat_template);
    if (!m->chat) m->chat = chat_family_of_vocab(v);
    return true;
}

/* ---- opening ---- */

typedef bool loader_fn(struct model *m, struct err *err);

/* By what a directory has; a file is taken for GGUF and its first bytes are looked at there. */
static const struct source_row {
    const char *file;
    loader_fn *load;
} sources[] = {{"config.json", load_hf}, {"params.json", load_meta}, {0}};

static bool is_named(const char *path, const char *end)
{
    const size_t n = strlen(path), n_end = strlen(end);
    return n >= n_end && strcmp(path + n - n_end, end) == 0;
}

/* Members of a directory that people name instead of it. */
static bool is_member(const char *path)
{
    static const char *const ends[] = {".safetensors", ".pth", ".json", ".bin"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (is_named(path, ends[i])) return true;
    return false;
}

static loader_fn *choose_loader(const char *path, struct err *err)
{
    if (!path_is_dir(path)) {
        if (!path_exists(path) || !is_member(path)) return load_gguf;
        err_set(err, ERR_USAGE, "%s: is a part of a model; name the directory that holds it", path);
        return NULL;
    }
    for (const struct source_row *r = sources; r->file; r++)
        if (dir_has(path, r->file)) return r->load;
    err_set(err, ERR_FORMAT,
            "%s: the directory has neither config.json nor params.json; name a GGUF file, a "
            "Hugging Face or a Meta directory",
            path);
    return NULL;
}

static bool open_all(struct model *m, const char *path, struct err *err)
{
    m->arena = arena_new(MAX_TABLE_BYTES, err);
    if (!m->arena) return false;
    m->info.path = arena_copy(m->arena, path, strlen(path), err);
    if (!m->info.path) return false;
    loader_fn *load = choose_loader(path, err);
    if (!load || !load(m, err) || !load_tokenizer(m, err)) return false;
    info_finish(m);
    return true;
}

struct model *model_open(const char *path, struct err *err)
{
    struct model *m = calloc(1, sizeof *m);
    if (!m) {
        err_set(err, ERR_MEMORY, "%s: no memory to open it; free memory", path);
        return NULL;
    }
    if (open_all(m, path, err)) return m;
    model_close(m);
    return NULL;
}

void model_close(struct model *m)
{
    if (!m) return;
    if (m->device) m->device->free(m->device_weights);
    tokenizer_free(m->tokenizer);
    gguf_close(m->gguf);
    safetensors_close(m->safetensors);
    for (size_t i = 0; i < m->n_shards; i++) torch_file_close(m->shard[i]);
    if (m->merged) os_big_free(m->merged, m->merged_bytes);
    arena_free(m->arena);
    free(m);
}

bool model_make_huge(struct model *m, struct err *err)
{
    bool ok = true;
    if (m->gguf) ok = gguf_make_huge(m->gguf, err);
    if (m->safetensors) ok = safetensors_make_huge(m->safetensors, err);
    /* pieces of several were joined in memory, which asks for huge pages anyway */
    if (m->n_shards == 1) ok = torch_file_make_huge(m->shard[0], err);
    m->info.is_huge = ok;
    return ok;
}

const struct model_config *model_config(const struct model *m) { return &m->config; }
const struct weights *model_weights(const struct model *m) { return &m->weights; }
const struct tokenizer *model_tokenizer(const struct model *m) { return m->tokenizer; }
const struct chat_family *model_chat_family(const struct model *m) { return m->chat; }
const struct model_info *model_info(const struct model *m) { return &m->info; }
const struct gguf *model_gguf(const struct model *m) { return m->gguf; }

bool model_require_tokenizer(const struct model *m, struct err *err)
{
    if (m->tokenizer) return true;
    return err_set(
        err, ERR_FORMAT,
        "%s: has no tokenizer; put tokenizer.json or tokenizer.model beside the weights, "
        "or use a GGUF file with a vocabulary",
        m->info.path);
}
