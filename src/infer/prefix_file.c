/* SPDX-License-Identifier: Apache-2.0
 *
 * prefix_file.c - the keys and values of a conversation in a file, so that going on costs a read.
 *
 *   header    struct prefix_header, little endian as all machines we run on
 *   ids       int32 [n_tok]
 *   pages     for each page of 32 positions, for each layer: keys, values, as they lie in memory
 *   checksum  uint64 over all before
 *
 * Only whole pages are written: the rest, at most 32 tokens, is read again by the model, and no
 * byte of another sequence gets into the file. The file is a cache and not the conversation:
 * whatever is wrong with it, the caller goes on without it.
 *
 * From a stranger's file nothing is used before sizes, ids and checksum agree, and the model and
 * the type of the cache are those in use (model_fingerprint()). Keys and values themselves cannot
 * be checked: a forged file can make the model talk nonsense, no more.
 *
 * Begin reading at engine_save_prefix().
 */
#include "infer/engine_parts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"

enum { VERSION = 1 };

struct prefix_header {
    char magic[8]; /* "CRIA-KV\n" */
    uint32_t version, kv_dtype;
    uint32_t n_layers, n_tok;
    uint64_t page_bytes; /* keys of one layer */
    uint64_t model;      /* fingerprint */
};
static_assert(sizeof(struct prefix_header) == 40, "has no gaps");
static const char magic[8] = "CRIA-KV\n";

static struct prefix_header header_of(const struct engine *e, int32_t n_tok)
{
    struct prefix_header h = {
        .version = VERSION,
        .kv_dtype = (uint32_t)kv_cache_layer(e->kv, 0)->dtype,
        .n_layers = (uint32_t)model_config(e->model)->n_layers,
        .n_tok = (uint32_t)n_tok,
        .page_bytes = kv_cache_page_bytes(e->kv),
        .model = model_fingerprint(e->model),
    };
    memcpy(h.magic, magic, sizeof magic);
    return h;
}

/* ---- writing ---- */

static bool put(struct out_file *f, uint64_t *sum, const void *data, size_t n, struct err *err)
{
    *sum = hash_bytes(*sum, data, n);
    return out_file_write(f, data, n, err);
}

static bool put_all(const struct engine *e, const struct line *l, int32_t n_tok, struct out_file *f,
                    struct err *err)
{
    const struct prefix_header h = header_of(e, n_tok);
    uint64_t sum = 0;
    if (!put(f, &sum, &h, sizeof h, err) ||
        !put(f, &sum, l->ids, (size_t)n_tok * sizeof *l->ids, err))
        return false;
    uint8_t *page = malloc((size_t)h.page_bytes);
    if (!page) return err_set(err, ERR_MEMORY, "no memory for a page of the cache");
    bool ok = true;
    for (int32_t p = 0; ok && p < n_tok / KV_PAGE_TOK; p++)
        for (uint32_t i = 0; ok && i < 2 * h.n_layers; i++)
            ok = kv_cache_get_page(e->kv, l->seq, p, (int32_t)i / 2, i % 2, page, err) &&
                 put(f, &sum, page, (size_t)h.page_bytes, err);
    free(page);
    return ok && out_file_write(f, &sum, sizeof sum, err);
}

bool engine_save_prefix(const struct engine *e, const char *path, int32_t *n_tok, struct err *err)
{
    const struct prefix *newest = NULL;
    for (int32_t i = 0; i < e->n_prefixes; i++) {
        const struct prefix *p = &e->prefix[i];
        if (p->line.seq >= 0 && p->line.adapter == 0 &&
            (!newest || p->last_used > newest->last_used))
            newest = p;
    }
    *n_tok = newest ? newest->line.n_ids / KV_PAGE_TOK * KV_PAGE_TOK : 0;
    if (*n_tok == 0) return true;
    struct out_file *f = out_file_open(path, err);
    if (!f) return false;
    if (put_all(e, &newest->line, *n_tok, f, err)) return out_file_commit(f, err);
    out_file_abandon(f);
    return false;
}

/* ---- reading ---- */

static bool check_header(const struct prefix_header *h, const struct prefix_header *want,
                         const char *path, struct err *err)
{
    if (memcmp(h->magic, magic, sizeof magic) != 0 || h->version != want->version)
        return err_set(err, ERR_FORMAT, "%s: no cache file of version %d", path, VERSION);
    if (h->model != want->model || h->n_layers != want->n_layers)
        return err_set(err, ERR_FORMAT, "%s: the cache of another model", path);
    if (h->kv_dtype != want->kv_dtype || h->page_bytes != want->page_bytes)
        return err_set(err, ERR_FORMAT, "%s: a cache of another type; use the same --kv", path);
    return true;
}

/* The pieces as put_all() wrote them. */
static uint64_t sum_of(const uint8_t *data, const struct prefix_header *h)
{
    const size_t n_ids = h->n_tok * sizeof(int32_t);
    uint64_t sum = hash_bytes(hash_bytes(0, data, sizeof *h), data + sizeof *h, n_ids);
    const uint8_t *page = data + sizeof *h + n_ids;
    for (uint32_t i = 0; i < h->n_tok / KV_PAGE_TOK * 2 * h->n_layers; i++, page += h->page_bytes)
        sum = hash_bytes(sum, page, (size_t)h->page_bytes);
    return sum;
}

/* Everything but the keys and values themselves. */
static bool check_file(const struct engine *e, const uint8_t *data, size_t n_bytes,
                       const char *path, struct err *err)
{
    const struct prefix_header want = header_of(e, 0);
    struct prefix_header h;
    uint64_t sum = 0;
    if (n_bytes < sizeof h + sizeof sum)
        return err_set(err, ERR_FORMAT, "%s: %zu bytes are no cache file", path, n_bytes);
    memcpy(&h, data, sizeof h);
    if (!check_header(&h, &want, path, err)) return false;
    if (h.n_tok == 0 || h.n_tok % KV_PAGE_TOK != 0 || h.n_tok > (uint32_t)e->n_ctx)
        return err_set(err, ERR_FORMAT,
                       "%s: a cache of %" PRIu32 " tokens, the context holds %" PRId32
                       "; use the same --ctx",
                       path, h.n_tok, e->n_ctx);
    /* no overflow: at most n_ctx positions of a cache that is in memory */
    const size_t n_want = sizeof h + h.n_tok * sizeof(int32_t) +
                          h.n_tok / KV_PAGE_TOK * 2 * h.n_layers * (size_t)h.page_bytes +
                          sizeof sum;
    if (n_bytes != n_want)
        return err_set(err, ERR_FORMAT, "%s: %zu bytes, its header announces %zu", path, n_bytes,
                       n_want);
    for (uint32_t i = 0; i < h.n_tok; i++) {
        int32_t id = 0;
        memcpy(&id, data + sizeof h + i * sizeof id, sizeof id);
        if (id < 0 || id >= e->n_vocab)
            return err_set(err, ERR_FORMAT, "%s: id %" PRId32 " at %" PRIu32 " is no token", path,
                           id, i);
    }
    memcpy(&sum, data + n_bytes - sizeof sum, sizeof sum);
    return sum_of(data, &h) == sum ||
           err_set(err, ERR_FORMAT, "%s: the checksum is wrong, the file is damaged", path);
}

static bool take(struct engine *e, const uint8_t *data, int32_t *n_tok, struct err *err)
{
    struct prefix_header h;
    memcpy(&h, data, sizeof h);
    const uint8_t *ids = data + sizeof h, *page = ids + h.n_tok * sizeof(int32_t);
    const int32_t n = (int32_t)h.n_tok;
    const int32_t seq = prefix_fork(e, -1, 0);
    for (struct err why = {0}; !kv_cache_reserve(e->kv, seq, 0, n, &why);) {
        if (why.code == ERR_BUSY && prefix_evict(e)) continue;
        kv_cache_close_seq(e->kv, seq);
        *err = why;
        return false;
    }
    bool ok = true;
    for (int32_t p = 0; ok && p < n / KV_PAGE_TOK; p++)
        for (uint32_t i = 0; ok && i < 2 * h.n_layers; i++, page += h.page_bytes)
            ok = kv_cache_put_page(e->kv, seq, p, (int32_t)i / 2, i % 2, page, err);
    if (!ok) {
        kv_cache_close_seq(e->kv, seq);
        return false;
    }
    prefix_adopt(e, seq, (const int32_t *)(const void *)ids, n); /* aligned as the header is */
    *n_tok = n;
    return true;
}

bool engine_load_prefix(struct engine *e, const char *path, int32_t *n_tok, struct err *err)
{
    *n_tok = 0;
    struct file_map *f = file_map_open(path, err);
    if (!f) return false;
    const bool ok = check_file(e, file_map_data(f), file_map_bytes(f), path, err) &&
                    take(e, file_map_data(f), n_tok, err);
    file_map_close(f);
    return ok;
}
