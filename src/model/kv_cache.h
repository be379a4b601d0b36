/* kv_cache.h - paged, prefix-shared keys and values. One thread at a time: the scheduler's.
 *
 * A sequence is a list of pages; pages are counted, and two sequences that were forked share the
 * pages of their common prefix until one of them writes into a shared page (copied then).
 */
#ifndef CRIA_MODEL_KV_CACHE_H
#define CRIA_MODEL_KV_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/config.h"
#include "tensor/ops.h"

#define KV_PAGE_TOK 32

struct kv_cache;

/* Plans and allocates room for n_tok positions in all (rounded up to pages), shared by up to n_seqs
 * sequences, in `device`, or the host's memory if it is NULL. Borrows `cfg` during the call.
 * ERR_MEMORY names bytes wanted and available; ERR_USAGE for a type that is not F32, F16, BF16 or
 * Q8_0. */
struct kv_cache *kv_cache_new(const struct model_config *cfg, enum dtype dtype, int64_t n_tok,
                              int32_t n_seqs, const struct device_memory *device, struct err *err);
void kv_cache_free(struct kv_cache *kv); /* NULL is fine */
size_t kv_cache_bytes(const struct kv_cache *kv);

/* A new empty sequence, or -1 and ERR_BUSY. */
int32_t kv_cache_open_seq(struct kv_cache *kv, struct err *err);
void kv_cache_close_seq(struct kv_cache *kv, int32_t seq);
/* Makes dst (empty) share the first n_tok positions of src. */
bool kv_cache_fork(struct kv_cache *kv, int32_t src, int32_t dst, int32_t n_tok,
                   struct err *err) CRIA_CHECK;
/* Forgets positions n_tok and later. */
void kv_cache_trim(struct kv_cache *kv, int32_t seq, int32_t n_tok);
/* Makes room for positions [pos, pos + n_tok) (pos <= length), copying shared pages that would be
 * written. All or nothing; ERR_BUSY: no free page. Grows the sequence's length to pos + n_tok. */
bool kv_cache_reserve(struct kv_cache *kv, int32_t seq, int32_t pos, int32_t n_tok,
                      struct err *err) CRIA_CHECK;
/* False for a number that is no open sequence: for callers that pass on what they were given. */
bool kv_cache_has_seq(const struct kv_cache *kv, int32_t seq);
/* Another name of the same sequence, for every function here. Tokens of a sequence whose names take
 * turns in a batch are runs of one token each to the forward pass: attention then gives each of
 * them the bits that it would have alone, which a run of several does not. */
int32_t kv_cache_alias(int32_t seq);
int32_t kv_cache_length(const struct kv_cache *kv, int32_t seq);
int64_t kv_cache_free_tokens(const struct kv_cache *kv);
/* The page list of a sequence; valid until the next reserve, trim, fork or close of it. */
const int32_t *kv_cache_pages(const struct kv_cache *kv, int32_t seq);
/* Bytes of the keys, or the values, of one page in one layer; and reading and writing them. */
size_t kv_cache_page_bytes(const struct kv_cache *kv);
bool kv_cache_get_page(const struct kv_cache *kv, int32_t seq, int32_t i_page, int32_t i_layer,
                       bool is_value, void *to, struct err *err) CRIA_CHECK;
bool kv_cache_put_page(struct kv_cache *kv, int32_t seq, int32_t i_page, int32_t i_layer,
                       bool is_value, const void *from, struct err *err) CRIA_CHECK;
const struct kv_layer *kv_cache_layer(const struct kv_cache *kv, int32_t i_layer);

#endif
