/* SPDX-License-Identifier: Apache-2.0
 *
 * rope.c - rotary position embedding, and the new keys and values into the cache.
 *          (a, b) -> (a cos t - b sin t, a sin t + b cos t), t = position * inv_freq[pair]
 *          (Su et al. 2021, eq. 34; spec/llama3.md 1.5)
 *
 * Angles are made in double: position 100 000 times a frequency near 1 keeps only 7 bits of its
 * fraction in float. The table is made once a batch and used by every layer.
 *
 * Work is shared out by (token, head): a query head is rotated; a key head is rotated, then stored
 * with the value head of the same number. Nothing is summed, and every element has one writer.
 * Begin reading at rope_items().
 */
#include <assert.h>
#include <math.h>

#include "tensor/cpu/cpu.h"

void rope_table_make(const struct member *me, float *cos_sin, const int32_t *pos, int64_t n_tok,
                     const double *inv_freq, int32_t n_freq)
{
    int64_t begin = 0, end = 0;
    team_share(me, n_tok * n_freq, 8, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const double t = pos[i / n_freq] * inv_freq[i % n_freq];
        cos_sin[2 * i] = (float)cos(t);
        cos_sin[2 * i + 1] = (float)sin(t);
    }
}

INLINE void rotate_pair(float *a, float *b, const float *cs)
{
    const float x = *a, y = *b;
    *a = x * cs[0] - y * cs[1];
    *b = x * cs[1] + y * cs[0];
}

INLINE void rotate_head(enum rope_pairs pairs, float *x, const float *cs, int64_t n_pairs)
{
    if (pairs == ROPE_ADJACENT)
        for (int64_t i = 0; i < n_pairs; i++) rotate_pair(x + 2 * i, x + 2 * i + 1, cs + 2 * i);
    else
        for (int64_t i = 0; i < n_pairs; i++) rotate_pair(x + i, x + n_pairs + i, cs + 2 * i);
}

/* The span that holds token t; `hint` is where the last search ended. */
static const struct span *span_of(const struct rope_args *a, int64_t t, int32_t *hint)
{
    for (int32_t n = 0; n < a->n_spans; n++) {
        const struct span *s = &a->span[*hint];
        if (t >= s->begin && t < s->begin + s->n) return s;
        *hint = *hint + 1 < a->n_spans ? *hint + 1 : 0;
    }
    assert(false); /* every token lies in a span */
    return NULL;
}

static void store_head(const struct cpu_kit *kit, const struct kv_layer *kv, const struct span *s,
                       int64_t t, int64_t h, const float *k, const float *v)
{
    const int64_t pos = s->pos + (t - s->begin);
    const int64_t page = s->pages[pos / kv->page_tok], slot = pos % kv->page_tok;
    const size_t at =
        (size_t)page * kv->page_stride + (size_t)h * kv->head_stride + (size_t)slot * kv->row_bytes;
    kit->encode(kv->dtype, kv->k + at, k, kv->d_head);
    kit->encode(kv->dtype, kv->v + at, v, kv->d_head);
}

INLINE void rope_items(const struct member *me, const struct rope_args *a, int64_t n_kv_heads,
                       int64_t d_head, const struct cpu_kit *kit)
{
    const int64_t n_pairs = d_head / 2, per_tok = a->n_heads + n_kv_heads;
    int64_t begin = 0, end = 0;
    team_share(me, a->n_tok * per_tok, 1, &begin, &end);
    int32_t hint = 0;
    for (int64_t i = begin; i < end; i++) {
        const int64_t t = i / per_tok, h = i % per_tok, kv_head = h - a->n_heads;
        const float *cs = a->cos_sin + t * 2 * n_pairs;
        if (kv_head < 0) {
            rotate_head(a->pairs, a->q + t * a->ld_q + h * d_head, cs, n_pairs);
            continue;
        }
        float *k = a->k + t * a->ld_k + kv_head * d_head;
        rotate_head(a->pairs, k, cs, n_pairs);
        if (a->kv)
            store_head(kit, a->kv, span_of(a, t, &hint), t, kv_head, k,
                       a->v + t * a->ld_v + kv_head * d_head);
    }
}

INLINE void rope_run(const struct member *me, const struct rope_args *a, const struct cpu_kit *kit)
{
    if (a->kv)
        rope_items(me, a, a->kv->n_kv_heads, a->kv->d_head, kit);
    else
        rope_items(me, a, a->n_kv_heads, a->d_head, kit);
}

void rope_store_generic(const struct member *me, const struct rope_args *a)
{
    rope_run(me, a, &kit_generic);
}

#if CRIA_X86
TARGET_AVX2
void rope_store_avx2(const struct member *me, const struct rope_args *a)
{
    rope_run(me, a, &kit_avx2);
}

TARGET_AVX512
void rope_store_avx512(const struct member *me, const struct rope_args *a)
{
    rope_run(me, a, &kit_avx512);
}
#endif

#if CRIA_ARM
void rope_store_neon(const struct member *me, const struct rope_args *a)
{
    rope_run(me, a, &kit_neon);
}
#endif
