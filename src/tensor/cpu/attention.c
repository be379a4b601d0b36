/* SPDX-License-Identifier: Apache-2.0
 *
 * attention.c - y = softmax(q k^T * scale) v over the earlier positions of the token's sequence.
 *               (Vaswani et al. 2017, eq. 1; online softmax as in Dao et al. 2022, alg. 1)
 *
 * The unit of work is a set of query rows that read the same keys: all query heads of one kv head,
 * for one token (decode) or for a block of consecutive tokens (prefill). Keys and values go by in
 * blocks of 64 positions, decoded to float once for all rows of the unit; the two products are
 * kit->gemm, the softmax between them is rows.h's. Row by row and not by rows of one head: with
 * grouped queries the cache is read once for 4 to 8 heads.
 *
 * A long context of a single token is cut into chunks of fixed positions (at most 16), each
 * reduced to (max, sum, weighted values), then merged in order. When there are fewer (token, kv
 * head) pairs than threads, chunks are shared out and merged after a barrier; otherwise one member
 * walks them in turn. The arithmetic is the same either way, so neither the number of threads nor
 * the rest of the batch changes a bit of a row. A token alone (decode) and the same token inside a
 * longer span (prefill) may differ in the last bits.
 *
 * Positions beyond a row's own are never weighed: they get probability 0, and cache slots that
 * nobody has written yet are never read.
 * Begin reading at attend().
 */
#include <math.h>
#include <string.h>

#include "tensor/cpu/cpu.h"
#include "tensor/cpu/rows.h"

enum {
    KEYS = 64,       /* positions a step: K, V and scores of a step stay in L1/L2 */
    ROWS = 128,      /* query rows of a prefill unit, so that decoding K and V is shared */
    MAX_CHUNKS = 16, /* of one token's context */
    MIN_CHUNK = 256, /* positions; a multiple of KEYS */
};

/* One unit of work and its memory; everything but `a` and `kit` lies in this member's scratch. */
struct unit {
    const struct attention_args *a;
    const struct cpu_kit *kit;
    const struct span *span;
    int64_t kv_head, n_rep;
    int64_t d, ld; /* d_head, and the same rounded up to 16: the rows below */
    int64_t tok;   /* first token, counted from span->begin */
    int64_t n_tok, n_rows;
    float *q;  /* [n_rows, ld], times scale */
    float *k;  /* [KEYS, ld] */
    float *kt; /* [ld, KEYS] */
    float *v;  /* [KEYS, ld] */
    float *p;  /* [n_rows, KEYS]: scores, then weights */
    float *o;  /* [n_rows, ld]: weighted values so far */
    float *m;  /* [n_rows]: largest score so far */
    float *l;  /* [n_rows]: sum of weights so far */
};

/* A row's state (max, sum, values), as merged from chunks: [2 + ld] floats. */
static int64_t state_floats(int64_t ld) { return round_up(2 + ld, LANES); }

static int64_t scratch_floats(int64_t n_rows, int64_t ld, int64_t n_rep)
{
    return n_rows * (2 * ld + KEYS + 2 * LANES) + 3 * KEYS * ld + n_rep * state_floats(ld);
}

static int64_t max_rows(int64_t n_rep) { return n_rep > ROWS ? n_rep : ROWS; }

/* Decodes positions [begin, begin + n) of K or V into rows of ld floats; the other rows of the
 * block become zero, so that products with them are harmless. */
static void load_block(const struct unit *u, float *dst, const uint8_t *base, int64_t begin,
                       int64_t n)
{
    const struct kv_layer *kv = u->a->kv;
    size_t tight = 0;
    const bool is_tight =
        u->ld == u->d && dtype_row_bytes(kv->dtype, u->d, &tight) && tight == kv->row_bytes;
    for (int64_t i = 0; i < n;) {
        const int64_t pos = begin + i, slot = pos & (kv->page_tok - 1);
        const int64_t run = is_tight ? min_i64(n - i, kv->page_tok - slot) : 1;
        const uint8_t *src = base + (size_t)u->span->pages[pos / kv->page_tok] * kv->page_stride +
                             (size_t)u->kv_head * kv->head_stride + (size_t)slot * kv->row_bytes;
        float *row = dst + i * u->ld;
        u->kit->decode(kv->dtype, row, src, run * u->d);
        if (!is_tight) memset(row + u->d, 0, (size_t)(u->ld - u->d) * sizeof *row);
        i += run;
    }
    memset(dst + n * u->ld, 0, (size_t)((KEYS - n) * u->ld) * sizeof *dst);
}

/* The scores of a block -> weights e^(s - max), the row's max and sum brought up to date, its
 * values so far scaled to the new max. `n_seen`: how many of the KEYS this row may see. */
INLINE void softmax_row(const struct unit *u, int64_t r, int64_t n_seen)
{
    float *p = u->p + r * KEYS, *o = u->o + r * u->ld;
    if (n_seen <= 0) {
        memset(p, 0, KEYS * sizeof *p);
        return;
    }
    for (int64_t i = n_seen; i < KEYS; i++) p[i] = -INFINITY;
    const float block_max = max_16(p, KEYS), m = u->m[r] > block_max ? u->m[r] : block_max;
    for (int i = 0; i < KEYS; i++) p[i] = exp_1(p[i] - m);
    const float old = exp_1(u->m[r] - m);
    u->l[r] = u->l[r] * old + sum_16(p, KEYS);
    if (m > u->m[r])
        for (int64_t i = 0; i < u->ld; i++) o[i] *= old;
    u->m[r] = m;
}

/* Attends the unit's rows to positions [begin, end), begin a multiple of KEYS; the row of token t
 * sees those up to pos + t. */
INLINE void attend_range(const struct unit *u, int64_t begin, int64_t end)
{
    for (int64_t k0 = begin; k0 < end; k0 += KEYS) {
        const int64_t n = min_i64(KEYS, end - k0);
        load_block(u, u->k, u->a->kv->k, k0, n);
        load_block(u, u->v, u->a->kv->v, k0, n);
        u->kit->transpose(u->kt, KEYS, u->k, u->ld, KEYS, u->ld);
        u->kit->gemm(&(struct gemm_args){.c = u->p,
                                         .ldc_block = LANES,
                                         .ldc_row = KEYS,
                                         .a = u->q,
                                         .lda = u->ld,
                                         .b = u->kt,
                                         .ldb_block = LANES,
                                         .ldb_row = KEYS,
                                         .m = u->n_rows,
                                         .n_blocks = KEYS / LANES,
                                         .k = u->ld});
        for (int64_t r = 0; r < u->n_rows; r++)
            softmax_row(u, r, min_i64(n, u->span->pos + u->tok + r / u->n_rep - k0 + 1));
        u->kit->gemm(&(struct gemm_args){.c = u->o,
                                         .ldc_block = LANES,
                                         .ldc_row = u->ld,
                                         .a = u->p,
                                         .lda = KEYS,
                                         .b = u->v,
                                         .ldb_block = LANES,
                                         .ldb_row = u->ld,
                                         .m = u->n_rows,
                                         .n_blocks = u->ld / LANES,
                                         .k = n,
                                         .is_added = true});
    }
}

/* Forgets all keys: no weight, no values. */
static void clear_rows(const struct unit *u)
{
    memset(u->o, 0, (size_t)(u->n_rows * u->ld) * sizeof *u->o);
    for (int64_t r = 0; r < u->n_rows; r++) {
        u->m[r] = -INFINITY;
        u->l[r] = 0.0f;
    }
}

/* Gathers the query rows of tokens [tok, tok + n_tok) of the span, times scale. */
static void begin_unit(struct unit *u, int64_t tok, int64_t n_tok)
{
    u->tok = tok;
    u->n_tok = n_tok;
    u->n_rows = n_tok * u->n_rep;
    for (int64_t r = 0; r < u->n_rows; r++) {
        const float *src = u->a->q + (u->span->begin + tok + r / u->n_rep) * u->a->ld_q +
                           (u->kv_head * u->n_rep + r % u->n_rep) * u->d;
        float *q = u->q + r * u->ld;
        for (int64_t i = 0; i < u->d; i++) q[i] = src[i] * u->a->scale;
        memset(q + u->d, 0, (size_t)(u->ld - u->d) * sizeof *q);
    }
    clear_rows(u);
}

static void put_row(const struct unit *u, int64_t r, const float *o, float l)
{
    float *y = u->a->y + (u->span->begin + u->tok + r / u->n_rep) * u->a->ld_y +
               (u->kv_head * u->n_rep + r % u->n_rep) * u->d;
    for (int64_t i = 0; i < u->d; i++) y[i] = o[i] / l;
}

/* state (+)= (m, l, o): both scaled to the larger max. */
INLINE void merge_state(float *state, float m, float l, const float *o, int64_t ld)
{
    const float most = state[0] > m ? state[0] : m;
    const float a = exp_1(state[0] - most), b = exp_1(m - most);
    state[0] = most;
    state[1] = state[1] * a + l * b;
    for (int64_t i = 0; i < ld; i++) state[2 + i] = state[2 + i] * a + o[i] * b;
}

static void clear_state(float *state, int64_t ld)
{
    memset(state, 0, (size_t)(2 + ld) * sizeof *state);
    state[0] = -INFINITY;
}

/* Positions of one chunk of a context of n_pos: doubled until MAX_CHUNKS are enough. */
static int64_t chunk_len(int64_t n_pos)
{
    int64_t len = MIN_CHUNK;
    while (len * MAX_CHUNKS < n_pos) len *= 2;
    return len;
}

/* One token's rows, chunk after chunk. */
INLINE void attend_token(struct unit *u, float *state)
{
    const int64_t n_pos = (int64_t)u->span->pos + 1, len = chunk_len(n_pos);
    const int64_t ld_state = state_floats(u->ld);
    begin_unit(u, 0, 1);
    for (int64_t r = 0; r < u->n_rep; r++) clear_state(state + r * ld_state, u->ld);
    for (int64_t c = 0; c < n_pos; c += len) {
        clear_rows(u);
        attend_range(u, c, min_i64(n_pos, c + len));
        for (int64_t r = 0; r < u->n_rep; r++)
            merge_state(state + r * ld_state, u->m[r], u->l[r], u->o + r * u->ld, u->ld);
    }
    for (int64_t r = 0; r < u->n_rep; r++)
        put_row(u, r, state + r * ld_state + 2, state[r * ld_state + 1]);
}

/* One chunk of one token, its states kept for merge_token(): part [n_rep, MAX_CHUNKS, state]. */
INLINE void attend_chunk(struct unit *u, int64_t chunk, float *part)
{
    const int64_t n_pos = (int64_t)u->span->pos + 1, len = chunk_len(n_pos);
    begin_unit(u, 0, 1);
    attend_range(u, chunk * len, min_i64(n_pos, (chunk + 1) * len));
    for (int64_t r = 0; r < u->n_rep; r++) {
        float *s = part + (r * MAX_CHUNKS + chunk) * state_floats(u->ld);
        s[0] = u->m[r];
        s[1] = u->l[r];
        memcpy(s + 2, u->o + r * u->ld, (size_t)u->ld * sizeof *s);
    }
}

INLINE void merge_token(struct unit *u, int64_t r, const float *part, float *state)
{
    const int64_t n_pos = (int64_t)u->span->pos + 1, len = chunk_len(n_pos);
    u->tok = 0;
    clear_state(state, u->ld);
    for (int64_t c = 0; c * len < n_pos; c++) {
        const float *s = part + (r * MAX_CHUNKS + c) * state_floats(u->ld);
        merge_state(state, s[0], s[1], s + 2, u->ld);
    }
    put_row(u, r, state + 2, state[1]);
}

/* Units are dealt out back and forth (0 1 2 2 1 0 ...): later blocks of a span see more keys. */
static bool is_mine(const struct member *me, int64_t i_unit)
{
    const int64_t round = i_unit / me->n, i = i_unit % me->n;
    return (round % 2 ? me->n - 1 - i : i) == me->i;
}

/* Whether single tokens are cut over the team. Everyone must come to the same answer. */
static bool is_split(const struct attention_args *a, int n_members)
{
    int64_t n_single = 0, longest = 0;
    for (int32_t i = 0; i < a->n_spans; i++) {
        if (a->span[i].n != 1) continue;
        n_single++;
        longest = max_i64(longest, (int64_t)a->span[i].pos + 1);
    }
    return n_members > 1 && longest > MIN_CHUNK && n_single * a->kv->n_kv_heads < 2 * n_members;
}

/* Lays this member's scratch out; returns where the merged state of a token's rows goes. */
static float *unit_init(struct unit *u, const struct attention_args *a, const struct cpu_kit *kit,
                        const struct member *me)
{
    const int64_t n_rep = a->n_heads / a->kv->n_kv_heads, ld = round_up(a->kv->d_head, LANES);
    const int64_t n = max_rows(n_rep);
    *u = (struct unit){.a = a, .kit = kit, .n_rep = n_rep, .d = a->kv->d_head, .ld = ld};
    u->q = (float *)a->work +
           me->i * round_up(scratch_floats(max_rows(a->n_heads), ld, a->n_heads), LANES);
    u->k = u->q + n * ld;
    u->kt = u->k + KEYS * ld;
    u->v = u->kt + KEYS * ld;
    u->p = u->v + KEYS * ld;
    u->o = u->p + n * KEYS;
    u->m = u->o + n * ld;
    u->l = u->m + round_up(n, LANES);
    return u->l + round_up(n, LANES);
}

/* The partial states of the i-th single token and kv head, after the scratch of all members. */
static float *part_of(const struct unit *u, const struct member *me, int64_t i_single)
{
    const int64_t n_heads = u->a->n_heads;
    float *parts = (float *)u->a->work +
                   me->n * round_up(scratch_floats(max_rows(n_heads), u->ld, n_heads), LANES);
    return parts + (i_single * n_heads + u->kv_head * u->n_rep) * MAX_CHUNKS * state_floats(u->ld);
}

size_t attention_bytes(int64_t n_tok, int32_t n_heads, int32_t d_head, int32_t max_pos,
                       int n_threads)
{
    (void)max_pos; /* a token has at most MAX_CHUNKS partial states, however long its context */
    const int64_t ld = round_up(d_head, LANES);
    const int64_t scratch = round_up(scratch_floats(max_rows(n_heads), ld, n_heads), LANES);
    const int64_t n_single = min_i64(n_tok, 2 * (int64_t)n_threads);
    const int64_t parts = n_single * n_heads * MAX_CHUNKS * state_floats(ld);
    return (size_t)(n_threads * scratch + parts) * sizeof(float);
}

/* The units of one span and kv head; *i_unit counts over the whole call. */
INLINE void attend_span(struct unit *u, const struct member *me, bool split, int64_t i_single,
                        float *state, int64_t *i_unit)
{
    if (u->span->n == 1) {
        const int64_t n_pos = (int64_t)u->span->pos + 1, len = chunk_len(n_pos);
        if (!split && is_mine(me, (*i_unit)++)) attend_token(u, state);
        for (int64_t c = 0; split && c * len < n_pos; c++)
            if (is_mine(me, (*i_unit)++)) attend_chunk(u, c, part_of(u, me, i_single));
        return;
    }
    const int64_t n_block = max_i64(1, ROWS / u->n_rep);
    for (int64_t t = 0; t < u->span->n; t += n_block) {
        if (!is_mine(me, (*i_unit)++)) continue;
        begin_unit(u, t, min_i64(n_block, u->span->n - t));
        attend_range(u, 0, (int64_t)u->span->pos + t + u->n_tok);
        for (int64_t r = 0; r < u->n_rows; r++) put_row(u, r, u->o + r * u->ld, u->l[r]);
    }
}

INLINE void merge_all(struct unit *u, const struct member *me, float *state)
{
    int64_t i_single = 0, i_unit = 0;
    for (int32_t s = 0; s < u->a->n_spans; s++) {
        u->span = &u->a->span[s];
        if (u->span->n != 1) continue;
        for (u->kv_head = 0; u->kv_head < u->a->kv->n_kv_heads; u->kv_head++)
            for (int64_t r = 0; r < u->n_rep; r++)
                if (is_mine(me, i_unit++)) merge_token(u, r, part_of(u, me, i_single), state);
        i_single++;
    }
}

INLINE void attend(const struct member *me, const struct attention_args *a,
                   const struct cpu_kit *kit)
{
    struct unit u;
    float *state = unit_init(&u, a, kit, me);
    const bool split = is_split(a, me->n);
    int64_t i_single = 0, i_unit = 0;
    for (int32_t s = 0; s < a->n_spans; s++) {
        u.span = &a->span[s];
        for (u.kv_head = 0; u.kv_head < a->kv->n_kv_heads; u.kv_head++)
            attend_span(&u, me, split, i_single, state, &i_unit);
        if (u.span->n == 1) i_single++;
    }
    if (!split) return;
    team_barrier(me);
    merge_all(&u, me, state);
}

void attention_generic(const struct member *me, const struct attention_args *a)
{
    attend(me, a, &kit_generic);
}

#if CRIA_X86
TARGET_AVX2
void attention_avx2(const struct member *me, const struct attention_args *a)
{
    attend(me, a, &kit_avx2);
}

TARGET_AVX512
void attention_avx512(const struct member *me, const struct attention_args *a)
{
    attend(me, a, &kit_avx512);
}
#endif

#if CRIA_ARM
void attention_neon(const struct member *me, const struct attention_args *a)
{
    attend(me, a, &kit_neon);
}
#endif
