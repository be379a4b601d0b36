/* SPDX-License-Identifier: Apache-2.0
 *
 * load_meta.c - a model as Meta hands it out: params.json and consolidated.00.pth, .01.pth, ...
 *
 * Each file is what one rank of the model-parallel reference held (spec/llama3.md 1.7): matrices
 * cut by rows or by columns as the table's split column says, norms whole. One file stays mapped.
 * Pieces of several are copied together into one block of memory, planned before the first copy,
 * since operators want a matrix in one piece; that costs the size of the model in memory once, and
 * converting to GGUF or safetensors (cria convert) spares it from then on.
 *
 * Llama 1 and 2 cut the embedding by columns and Llama 3 by rows: a piece that has all of d_model
 * as columns is cut by rows.
 *
 * Begin reading at load_meta() and find().
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "base/os.h"
#include "model/load.h"

static const char *pattern(const struct tensor_row *r) { return r->meta; }

static const struct torch_tensor *find_piece(const struct model *m, size_t i_shard,
                                             const char *name, struct err *err)
{
    const struct torch_tensor *t = torch_file_find(m->shard[i_shard], name);
    if (!t)
        err_set(err, ERR_FORMAT,
                "%s: consolidated.%02zu.pth: %s: the tensor is missing; fetch the model again",
                m->info.path, i_shard, name);
    return t;
}

/* ---- merging ---- */

static enum meta_split split_of(const struct model *m, const struct tensor_row *r,
                                const struct tensor *piece)
{
    if (m->n_shards == 1) return SPLIT_NONE;
    const bool is_whole_row = tensor_cols(piece) == m->config.d_model;
    return r->role == ROLE_TOKEN_EMBD && !is_whole_row ? SPLIT_COLS : r->split;
}

/* Puts shard i's piece at its place in `whole`. */
static void copy_piece(const struct tensor *whole, const struct tensor *piece, size_t i,
                       enum meta_split split)
{
    char *to = whole->data;
    const size_t n_bytes = tensor_bytes(piece);
    if (split == SPLIT_ROWS) {
        memcpy(to + i * n_bytes, piece->data, n_bytes);
        return;
    }
    for (int64_t row = 0; row < tensor_rows(piece); row++)
        memcpy(to + (size_t)row * whole->row_bytes + i * piece->row_bytes, tensor_row(piece, row),
               piece->row_bytes);
}

static bool is_same_shape(const struct tensor *a, const struct tensor *b)
{
    return a->dtype == b->dtype && a->n_dims == b->n_dims && tensor_cols(a) == tensor_cols(b) &&
           tensor_rows(a) == tensor_rows(b);
}

static bool merge(struct model *m, const char *name, enum meta_split split,
                  const struct tensor *first, struct tensor *out, struct err *err)
{
    int64_t shape[] = {first->shape[0], first->shape[1]}; /* <= 2^48 each, and 256 shards */
    shape[split == SPLIT_COLS] *= (int64_t)m->n_shards;
    char *data = (char *)m->merged + m->merged_used;
    if (!tensor_make(out, name, first->dtype, 2, shape, data, err)) return false;
    if (tensor_bytes(out) > m->merged_bytes - m->merged_used)
        return err_set(err, ERR_FORMAT, "%s: %s: is larger than planned; fetch the model again",
                       m->info.path, name);
    for (size_t i = 0; i < m->n_shards; i++) {
        const struct torch_tensor *t = find_piece(m, i, name, err);
        if (!t) return false;
        if (!is_same_shape(&t->t, first))
            return err_set(err, ERR_FORMAT,
                           "%s: consolidated.%02zu.pth: %s: %" PRId64 " rows of %" PRId64
                           ", in the first file %" PRId64 " of %" PRId64 "; fetch the model again",
                           m->info.path, i, name, tensor_rows(&t->t), tensor_cols(&t->t),
                           tensor_rows(first), tensor_cols(first));
        copy_piece(out, &t->t, i, split);
    }
    m->merged_used += (tensor_bytes(out) + 63) & ~(size_t)63;
    return true;
}

static bool find(struct model *m, const struct tensor_row *r, const char *name, struct tensor *out,
                 struct err *err)
{
    const struct torch_tensor *t = find_piece(m, 0, name, err);
    if (!t) return false;
    const enum meta_split split = split_of(m, r, &t->t);
    *out = t->t;
    return split == SPLIT_NONE || t->t.n_dims != 2 || merge(m, name, split, &t->t, out, err);
}

/* Bytes of all matrices that are in pieces, by their first pieces. */
static bool plan_merge(const struct model *m, size_t *n_bytes, struct err *err)
{
    *n_bytes = 0;
    for (size_t i = 0; i < torch_file_n(m->shard[0]); i++) {
        const struct torch_tensor *t = torch_file_at(m->shard[0], i);
        size_t n = 0;
        if (t->t.n_dims != 2) continue;
        if (!size_mul(tensor_bytes(&t->t), m->n_shards, &n) || !size_add(n, 63, &n) ||
            !size_add(*n_bytes, n, n_bytes))
            return err_set(err, ERR_FORMAT, "%s: %s: its size overflows; fetch the model again",
                           m->info.path, t->name);
    }
    return true;
}

static bool make_merged(struct model *m, struct err *err)
{
    const uint64_t available = os_memory_available();
    if (m->n_shards == 1) return true;
    if (!plan_merge(m, &m->merged_bytes, err)) return false;
    if (m->merged_bytes <= available) m->merged = os_big_alloc(m->merged_bytes);
    if (m->merged) return true;
    return err_set(err, ERR_MEMORY,
                   "%s: joining %zu files wants %zu MiB, %" PRIu64
                   " MiB are available; convert it on a larger machine",
                   m->info.path, m->n_shards, m->merged_bytes >> 20, available >> 20);
}

/* ---- files ---- */

static size_t n_names(const struct model *m) { return torch_file_n(m->shard[0]); }

static const char *name_at(const struct model *m, size_t i)
{
    return torch_file_at(m->shard[0], i)->name;
}

static const char *const ignored[] = {"rope.freqs", NULL}; /* the reference's own table */

static const struct tensor_source source = {
    .pattern = pattern,
    .find = find,
    .n_names = n_names,
    .name = name_at,
    .ignored = ignored,
};

static bool open_shard(struct model *m, size_t i, struct buf *path, struct err *err)
{
    char name[32];
    snprintf(name, sizeof name, "consolidated.%02zu.pth", i);
    path_join(path, m->info.path, name);
    if (!buf_check(path, m->info.path, err)) return false;
    if (i > 0 && !path_exists(path->data)) return true;
    m->shard[i] = torch_file_open(path->data, err);
    if (!m->shard[i]) return false;
    m->n_shards = i + 1;
    m->info.file_bytes += torch_file_bytes(m->shard[i]);
    return true;
}

/* The files 00, 01, ... up to the first that is not there. */
static bool open_shards(struct model *m, struct err *err)
{
    struct buf path;
    bool ok = true;
    buf_init(&path, 1 << 16);
    for (size_t i = 0; ok && i < META_MAX_SHARDS && m->n_shards == i; i++)
        ok = open_shard(m, i, &path, err);
    buf_release(&path);
    return ok;
}

/* Rows of the embedding over all shards, for a params.json that does not say: its output matrix is
 * cut by rows in every version, the embedding only in Llama 3. */
static int32_t count_vocab(const struct model *m, struct json root)
{
    const struct torch_tensor *t = torch_file_find(m->shard[0], "tok_embeddings.weight");
    int64_t dim = 0;
    if (!t || t->t.n_dims != 2) return -1;
    const bool has_dim = json_i64(json_get(root, "dim"), &dim);
    const bool is_by_rows = m->n_shards > 1 && has_dim && tensor_cols(&t->t) == dim;
    const int64_t n = tensor_rows(&t->t);
    if (n > 1 << 24) return -1; /* refused by its range */
    return (int32_t)(is_by_rows ? n * (int64_t)m->n_shards : n);
}

static bool read_config(struct model *m, struct err *err)
{
    struct buf path;
    buf_init(&path, 1 << 16);
    struct json_doc *doc = load_json(m->info.path, "params.json", &path, err);
    const bool ok = doc && config_from_meta(json_root(doc), path.data,
                                            count_vocab(m, json_root(doc)), &m->config, err);
    json_free(doc);
    buf_release(&path);
    m->config.is_tied = ok && !torch_file_find(m->shard[0], "output.weight");
    return ok;
}

bool load_meta(struct model *m, struct err *err)
{
    m->info.source = SOURCE_META;
    return open_shards(m, err) && read_config(m, err) && make_merged(m, err) &&
           weights_load(m, &source, err) && info_from_dir(m, err);
}
