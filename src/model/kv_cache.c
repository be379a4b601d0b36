/* SPDX-License-Identifier: Apache-2.0
 *
 * kv_cache.c - where the keys and values of sequences live between steps.
 *
 * The cache is cut into pages of 32 positions. A sequence owns a list of pages; a fork shares the
 * pages of its prefix with its source, counted, and a page is copied only when one of them writes
 * into it. Pages, not one long row a sequence: with rows, a server that accepts a long context
 * must reserve it for everyone, and a common system prompt is held once for each.
 *
 * One page number stands for that page in every layer, for keys and values alike. In memory a
 * layer is one block: keys [page][head][slot][d_head], then values likewise; so the positions of
 * one head within a page, which attention walks, are consecutive.
 *
 * Invariants
 *   I1  refs[p] is the number of page lists in which page p stands; no list has it twice.
 *   I2  a page with refs > 1 is never written: kv_cache_reserve() copies it first.
 *   I3  list[i] of a sequence holds positions [32 i, 32 i + 32); it has ceil(length / 32) pages.
 *   I4  free[0 .. n_free) are the pages with refs 0.
 *   I5  page lists are as long as the cache from the start: no call after kv_cache_new() allocates.
 *
 * Not here: who gets pages when they run out (infer/) and how attention walks them (tensor/ops.h).
 * Begin reading at kv_cache_reserve().
 */
#include "model/kv_cache.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/os.h"

#define ALIGN ((size_t)64) /* a cache line: heads of a page do not share one between threads */
enum { MAX_SEQS = 4096, ALIAS_BIT = 1 << 30 };

struct sequence {
    int32_t *list; /* [n_pages of the cache] */
    int32_t length;
    bool is_open;
};

struct kv_cache {
    int32_t n_layers, n_pages, n_seqs, n_free;
    size_t page_bytes; /* keys of one layer; values take the same */
    struct kv_layer *layer;
    struct sequence *seq;
    int32_t *refs; /* [n_pages] */
    int32_t *free; /* [n_pages] */
    int32_t *lists;
    void *memory;
    size_t memory_bytes;
    const struct device_memory *device; /* whose memory it is; NULL: the host's */
};

static int32_t pages_for(int32_t n_tok) { return n_tok / KV_PAGE_TOK + (n_tok % KV_PAGE_TOK != 0); }

/* ---- life ---- */

static bool is_cache_type(enum dtype t)
{
    return t == DT_F32 || t == DT_F16 || t == DT_BF16 || t == DT_Q8_0;
}

/* Bytes of a row, of a head within a page, of a page, of all. */
struct kv_plan {
    size_t row_bytes, head_bytes, page_bytes, all_bytes;
};

static bool plan_sizes(const struct model_config *cfg, enum dtype dtype, size_t n_pages,
                       struct kv_plan *p, struct err *err)
{
    if (!is_cache_type(dtype))
        return err_set(err, ERR_USAGE,
                       "cache type %s is not one of f32, f16, bf16, q8_0; choose one of these",
                       dtype_info(dtype)->name);
    if (!dtype_row_bytes(dtype, cfg->d_head, &p->row_bytes))
        return err_set(err, ERR_USAGE,
                       "cache type %s does not fit heads of %" PRId32
                       " elements; choose f16, bf16 or f32",
                       dtype_info(dtype)->name, cfg->d_head);
    p->head_bytes = (KV_PAGE_TOK * p->row_bytes + ALIGN - 1) & ~(ALIGN - 1);
    if (size_mul(p->head_bytes, (size_t)cfg->n_kv_heads, &p->page_bytes) &&
        size_mul(p->page_bytes, 2 * (size_t)cfg->n_layers, &p->all_bytes) &&
        size_mul(p->all_bytes, n_pages, &p->all_bytes))
        return true;
    return err_set(err, ERR_LIMIT, "a cache of %zu pages does not fit any memory; ask for less",
                   n_pages);
}

static bool no_memory(size_t n_bytes, struct err *err)
{
    return err_set(err, ERR_MEMORY,
                   "the cache wants %zu MiB, %" PRIu64
                   " MiB are available; use a smaller context, fewer sequences or type q8_0",
                   n_bytes >> 20, os_memory_available() >> 20);
}

static bool make_memory(struct kv_cache *kv, size_t n_bytes, struct err *err)
{
    kv->memory_bytes = n_bytes;
    if (kv->device) return (kv->memory = kv->device->alloc(n_bytes, err)) != NULL;
    if (n_bytes > os_memory_available()) return no_memory(n_bytes, err);
    kv->memory = os_big_alloc(n_bytes);
    return kv->memory || no_memory(n_bytes, err);
}

static bool make_tables(struct kv_cache *kv, struct err *err)
{
    const size_t n_pages = (size_t)kv->n_pages, n_seqs = (size_t)kv->n_seqs;
    kv->layer = calloc((size_t)kv->n_layers, sizeof *kv->layer);
    kv->seq = calloc(n_seqs, sizeof *kv->seq);
    kv->refs = calloc(n_pages, sizeof *kv->refs);
    kv->free = calloc(n_pages, sizeof *kv->free);
    kv->lists = calloc(n_pages * n_seqs, sizeof *kv->lists); /* both bounded: no overflow */
    if (!kv->layer || !kv->seq || !kv->refs || !kv->free || !kv->lists)
        return no_memory(n_pages * n_seqs * sizeof *kv->lists, err);
    for (size_t i = 0; i < n_seqs; i++) kv->seq[i].list = kv->lists + i * n_pages;
    kv->n_free = kv->n_pages;
    for (int32_t p = 0; p < kv->n_pages; p++) kv->free[p] = kv->n_pages - 1 - p; /* 0 goes first */
    return true;
}

static void lay_out(struct kv_cache *kv, const struct model_config *cfg, enum dtype dtype,
                    const struct kv_plan *p)
{
    uint8_t *at = kv->memory;
    const size_t half = p->page_bytes * (size_t)kv->n_pages;
    kv->page_bytes = p->page_bytes;
    for (int32_t i = 0; i < kv->n_layers; i++, at += 2 * half)
        kv->layer[i] = (struct kv_layer){
            .dtype = dtype,
            .page_tok = KV_PAGE_TOK,
            .n_kv_heads = cfg->n_kv_heads,
            .d_head = cfg->d_head,
            .row_bytes = p->row_bytes,
            .head_stride = p->head_bytes,
            .page_stride = p->page_bytes,
            .k = at,
            .v = at + half,
        };
}

struct kv_cache *kv_cache_new(const struct model_config *cfg, enum dtype dtype, int64_t n_tok,
                              int32_t n_seqs, const struct device_memory *device, struct err *err)
{
    struct kv_plan plan = {0};
    if (n_tok < 1 || n_tok > INT32_MAX - KV_PAGE_TOK || n_seqs < 1 || n_seqs > MAX_SEQS) {
        err_set(err, ERR_LIMIT,
                "a cache of %" PRId64 " positions for %" PRId32
                " sequences is not within 1..2^31 and 1..%d; ask for less",
                n_tok, n_seqs, MAX_SEQS);
        return NULL;
    }
    const int32_t n_pages = pages_for((int32_t)n_tok);
    if (!plan_sizes(cfg, dtype, (size_t)n_pages, &plan, err)) return NULL;
    struct kv_cache *kv = calloc(1, sizeof *kv);
    if (!kv) {
        no_memory(plan.all_bytes, err);
        return NULL;
    }
    kv->n_layers = cfg->n_layers;
    kv->n_pages = n_pages;
    kv->n_seqs = n_seqs;
    kv->device = device;
    if (make_memory(kv, plan.all_bytes, err) && make_tables(kv, err)) {
        lay_out(kv, cfg, dtype, &plan);
        return kv;
    }
    kv_cache_free(kv);
    return NULL;
}

void kv_cache_free(struct kv_cache *kv)
{
    if (!kv) return;
    if (kv->device)
        kv->device->free(kv->memory);
    else if (kv->memory)
        os_big_free(kv->memory, kv->memory_bytes);
    free(kv->layer);
    free(kv->seq);
    free(kv->refs);
    free(kv->free);
    free(kv->lists);
    free(kv);
}

size_t kv_cache_bytes(const struct kv_cache *kv) { return kv->memory_bytes; }

/* ---- pages ---- */

static int32_t page_take(struct kv_cache *kv)
{
    assert(kv->n_free > 0);
    const int32_t p = kv->free[--kv->n_free];
    kv->refs[p] = 1;
    return p;
}

static void page_drop(struct kv_cache *kv, int32_t p)
{
    assert(kv->refs[p] > 0);
    if (--kv->refs[p] == 0) kv->free[kv->n_free++] = p;
}

static void copy(const struct kv_cache *kv, uint8_t *to, const uint8_t *from)
{
    if (kv->device)
        kv->device->copy(to, from, kv->page_bytes);
    else
        memcpy(to, from, kv->page_bytes);
}

/* The page's bytes, in all layers. */
static void page_copy(struct kv_cache *kv, int32_t from, int32_t to)
{
    for (int32_t i = 0; i < kv->n_layers; i++) {
        const struct kv_layer *l = &kv->layer[i];
        const size_t src = (size_t)from * l->page_stride, dst = (size_t)to * l->page_stride;
        copy(kv, l->k + dst, l->k + src);
        copy(kv, l->v + dst, l->v + src);
    }
}

/* ---- sequences ---- */

static struct sequence *sequence_of(const struct kv_cache *kv, int32_t seq)
{
    assert(kv_cache_has_seq(kv, seq));
    return &kv->seq[seq & ~ALIAS_BIT];
}

bool kv_cache_has_seq(const struct kv_cache *kv, int32_t seq)
{
    const int32_t i = seq & ~ALIAS_BIT;
    return i >= 0 && i < kv->n_seqs && kv->seq[i].is_open;
}

int32_t kv_cache_alias(int32_t seq) { return seq ^ ALIAS_BIT; }

int32_t kv_cache_open_seq(struct kv_cache *kv, struct err *err)
{
    for (int32_t i = 0; i < kv->n_seqs; i++) {
        if (kv->seq[i].is_open) continue;
        kv->seq[i].is_open = true;
        kv->seq[i].length = 0;
        return i;
    }
    err_set(err, ERR_BUSY, "all %" PRId32 " sequences of the cache are in use; wait for one to end",
            kv->n_seqs);
    return -1;
}

void kv_cache_close_seq(struct kv_cache *kv, int32_t seq)
{
    kv_cache_trim(kv, seq, 0);
    sequence_of(kv, seq)->is_open = false;
}

bool kv_cache_fork(struct kv_cache *kv, int32_t src, int32_t dst, int32_t n_tok, struct err *err)
{
    const struct sequence *s = sequence_of(kv, src);
    struct sequence *d = sequence_of(kv, dst);
    if (s == d || d->length != 0 || n_tok < 0 || n_tok > s->length)
        return err_set(err, ERR_LIMIT,
                       "cannot share %" PRId32 " of %" PRId32
                       " positions with a sequence of %" PRId32 "; share with an empty one",
                       n_tok, s->length, d->length);
    for (int32_t i = 0; i < pages_for(n_tok); i++) {
        d->list[i] = s->list[i];
        kv->refs[s->list[i]]++;
    }
    d->length = n_tok;
    return true;
}

void kv_cache_trim(struct kv_cache *kv, int32_t seq, int32_t n_tok)
{
    struct sequence *s = sequence_of(kv, seq);
    assert(n_tok >= 0);
    if (n_tok >= s->length) return;
    for (int32_t i = pages_for(n_tok); i < pages_for(s->length); i++) page_drop(kv, s->list[i]);
    s->length = n_tok;
}

/* Pages that writing [pos, end) takes from the free ones: new ones, and copies of shared ones. */
static int32_t pages_wanted(const struct kv_cache *kv, const struct sequence *s, int32_t pos,
                            int32_t end)
{
    const int32_t n_have = pages_for(s->length);
    int32_t n = 0;
    for (int32_t i = pos / KV_PAGE_TOK; i < pages_for(end); i++)
        n += i >= n_have || kv->refs[s->list[i]] > 1;
    return n;
}

static void page_make_own(struct kv_cache *kv, int32_t *p)
{
    if (kv->refs[*p] == 1) return;
    const int32_t copy = page_take(kv);
    page_copy(kv, *p, copy);
    page_drop(kv, *p);
    *p = copy;
}

bool kv_cache_reserve(struct kv_cache *kv, int32_t seq, int32_t pos, int32_t n_tok, struct err *err)
{
    struct sequence *s = sequence_of(kv, seq);
    if (pos < 0 || n_tok < 0 || pos > s->length || n_tok > INT32_MAX - KV_PAGE_TOK - pos)
        return err_set(err, ERR_LIMIT,
                       "positions %" PRId32 " and %" PRId32
                       " more do not continue a sequence of %" PRId32,
                       pos, n_tok, s->length);
    if (n_tok == 0) return true;
    const int32_t end = pos + n_tok, n_have = pages_for(s->length);
    const int32_t n_wanted = pages_wanted(kv, s, pos, end);
    if (n_wanted > kv->n_free)
        return err_set(err, ERR_BUSY,
                       "the cache is full: %" PRId32 " pages of %d positions wanted, %" PRId32
                       " of %" PRId32 " are free; end a request or use a larger cache",
                       n_wanted, KV_PAGE_TOK, kv->n_free, kv->n_pages);
    for (int32_t i = pos / KV_PAGE_TOK; i < pages_for(end); i++) {
        if (i < n_have)
            page_make_own(kv, &s->list[i]);
        else
            s->list[i] = page_take(kv);
    }
    if (end > s->length) s->length = end;
    return true;
}

int32_t kv_cache_length(const struct kv_cache *kv, int32_t seq)
{
    return sequence_of(kv, seq)->length;
}

int64_t kv_cache_free_tokens(const struct kv_cache *kv)
{
    return (int64_t)kv->n_free * KV_PAGE_TOK;
}

const int32_t *kv_cache_pages(const struct kv_cache *kv, int32_t seq)
{
    return sequence_of(kv, seq)->list;
}

const struct kv_layer *kv_cache_layer(const struct kv_cache *kv, int32_t i_layer)
{
    assert(i_layer >= 0 && i_layer < kv->n_layers);
    return &kv->layer[i_layer];
}

size_t kv_cache_page_bytes(const struct kv_cache *kv) { return kv->page_bytes; }

static uint8_t *page_of(const struct kv_cache *kv, int32_t seq, int32_t i_page, int32_t i_layer,
                        bool is_value)
{
    const struct sequence *s = sequence_of(kv, seq);
    const struct kv_layer *l = kv_cache_layer(kv, i_layer);
    assert(i_page >= 0 && i_page < pages_for(s->length));
    return (is_value ? l->v : l->k) + (size_t)s->list[i_page] * l->page_stride;
}

bool kv_cache_get_page(const struct kv_cache *kv, int32_t seq, int32_t i_page, int32_t i_layer,
                       bool is_value, void *to, struct err *err)
{
    const uint8_t *page = page_of(kv, seq, i_page, i_layer, is_value);
    if (kv->device) {
        kv->device->get(to, page, kv->page_bytes);
        return kv->device->finish(err);
    }
    memcpy(to, page, kv->page_bytes);
    return true;
}

bool kv_cache_put_page(struct kv_cache *kv, int32_t seq, int32_t i_page, int32_t i_layer,
                       bool is_value, const void *from, struct err *err)
{
    uint8_t *page = page_of(kv, seq, i_page, i_layer, is_value);
    if (kv->device) {
        kv->device->put(page, from, kv->page_bytes);
        return kv->device->finish(err);
    }
    memcpy(page, from, kv->page_bytes);
    return true;
}
