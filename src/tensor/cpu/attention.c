/* SPDX-License-Identifier: Apache-2.0
 *
 * attention.c - y = softmax(q k^T * scale) v over the earlier positions of the token's sequence.
 *               (Vaswani et al. 2017, eq. 1; online softmax as in Dao et al. 2022, alg. 1)
 *
 * The unit of work is a set of query rows that read the same keys: all query heads of one kv head,
 * for a block of consecutive tokens (prefill), for one token, or for several single tokens whose
 * sequences share pages (decode). Keys and values go by in steps of 64 positions, brought once for
 * all rows of the unit into the form that the products of the instruction set take: to float here
 * (kit->gemm, and rows.h's softmax between the two products), to bfloat16 in attention_bf16.c.
 *
 * The context of a single token is cut into chunks of fixed positions (at most 16), each reduced
 * to (max, sum, weighted values), then merged in order. Single tokens that follow one another in
 * the batch, of as many positions a chunk, whose page lists begin alike, attend the chunks that
 * they have in common as one unit, then each the rest: a prefix of many requests is read once.
 * When there are fewer (token, kv head) pairs than threads, chunks are shared out and merged after
 * a barrier; otherwise one member walks them in turn.
 *
 * A row's arithmetic is the same in every case, since no form lets one row of a unit touch
 * another, so neither the number of threads nor the rest of the batch changes a bit of it. A token
 * alone (decode) and the same token inside a longer span (prefill: no chunks) may differ in the
 * last bits.
 *
 * Positions beyond a row's own are never weighed: they get probability 0, and cache slots that
 * nobody has written yet are never read.
 * Begin reading at attend().
 */
#include <math.h>
#include <string.h>

#include "tensor/cpu/attention.h"
#include "tensor/cpu/rows.h"

enum {
    MAX_CHUNKS = 16, /* of one token's context */
    MIN_CHUNK = 256, /* positions; a multiple of KEYS */
};

/* ---- the form in float -------------------------------------------------------------------- */

struct in_float {
    float *k;  /* [KEYS, ld] */
    float *kt; /* [ld, KEYS] */
    float *v;  /* [KEYS, ld] */
    float *p;  /* [n_rows, KEYS]: scores, then weights */
};

static int64_t float_floats(int64_t n_rows, int64_t d)
{
    return 3 * KEYS * round_up(d, LANES) + n_rows * KEYS;
}

/* Decodes positions [begin, begin + n) of K or V into rows of ld floats; the other rows of the
 * step become zero, so that products with them are harmless. */
static void load_step(const struct unit *u, const struct cpu_kit *kit, float *dst,
                      const uint8_t *base, int64_t begin, int64_t n)
{
    const struct kv_layer *kv = u->a->kv;
    size_t tight = 0;
    const bool is_tight =
        u->ld == u->d && dtype_row_bytes(kv->dtype, u->d, &tight) && tight == kv->row_bytes;
    for (int64_t i = 0; i < n;) {
        const int64_t slot = (begin + i) & (kv->page_tok - 1);
        const int64_t run = is_tight ? min_i64(n - i, kv->page_tok - slot) : 1;
        float *row = dst + i * u->ld;
        kit->decode(kv->dtype, row, unit_row(u, base, begin + i), run * u->d);
        if (!is_tight) memset(row + u->d, 0, (size_t)(u->ld - u->d) * sizeof *row);
        i += run;
    }
    memset(dst + n * u->ld, 0, (size_t)((KEYS - n) * u->ld) * sizeof *dst);
}

/* The scores of a step -> weights e^(s - max), the row's max and sum brought up to date, its
 * values so far scaled to the new max. `n_seen`: how many of the KEYS this row may see. */
INLINE void softmax_row(const struct unit *u, float *p, int64_t r, int64_t n_seen)
{
    float *o = u->o + r * u->ld;
    if (n_seen <= 0) {
        memset(p, 0, KEYS * sizeof *p);
        return;
    }
    for (int64_t i = n_seen; i < KEYS; i++) p[i] = -INFINITY;
    const float step_max = max_16(p, KEYS), m = u->m[r] > step_max ? u->m[r] : step_max;
    for (int i = 0; i < KEYS; i++) p[i] = exp_1(p[i] - m);
    const float old = exp_1(u->m[r] - m);
    u->l[r] = u->l[r] * old + sum_16(p, KEYS);
    if (m > u->m[r])
        for (int64_t i = 0; i < u->ld; i++) o[i] *= old;
    u->m[r] = m;
}

INLINE void range_float(const struct unit *u, int64_t begin, int64_t end, const struct cpu_kit *kit)
{
    struct in_float f = {.k = u->form};
    f.kt = f.k + KEYS * u->ld;
    f.v = f.kt + KEYS * u->ld;
    f.p = f.v + KEYS * u->ld;
    for (int64_t k0 = begin; k0 < end; k0 += KEYS) {
        const int64_t n = min_i64(KEYS, end - k0);
        load_step(u, kit, f.k, u->a->kv->k, k0, n);
        load_step(u, kit, f.v, u->a->kv->v, k0, n);
        kit->transpose(f.kt, KEYS, f.k, u->ld, KEYS, u->ld);
        kit->gemm(&(struct gemm_args){.c = f.p,
                                      .ldc_block = LANES,
                                      .ldc_row = KEYS,
                                      .a = u->q,
                                      .lda = u->ld,
                                      .b = f.kt,
                                      .ldb_block = LANES,
                                      .ldb_row = KEYS,
                                      .m = u->n_rows,
                                      .n_blocks = KEYS / LANES,
                                      .k = u->ld});
        for (int64_t r = 0; r < u->n_rows; r++)
            softmax_row(u, f.p + r * KEYS, r, min_i64(n, unit_seen(u, r, k0)));
        kit->gemm(&(struct gemm_args){.c = u->o,
                                      .ldc_block = LANES,
                                      .ldc_row = u->ld,
                                      .a = f.p,
                                      .lda = KEYS,
                                      .b = f.v,
                                      .ldb_block = LANES,
                                      .ldb_row = u->ld,
                                      .m = u->n_rows,
                                      .n_blocks = u->ld / LANES,
                                      .k = n,
                                      .is_added = true});
    }
}

#define FORM(name, attribute)                                                                      \
    attribute static void range_##name(const struct unit *u, int64_t begin, int64_t end)           \
    {                                                                                              \
        range_float(u, begin, end, &kit_##name);                                                   \
    }                                                                                              \
    static const struct attention_form form_##name = {                                             \
        .rows = 128, .floats = float_floats, .range = range_##name};
FORM(generic, )
#if CRIA_X86
FORM(avx2, TARGET_AVX2)
FORM(avx512, TARGET_AVX512)
#endif
#if CRIA_ARM
FORM(neon, )
#endif

/* ---- rows and their states ---------------------------------------------------------------- */

/* One member's walk over the batch. */
struct walk {
    struct unit u;
    const struct attention_form *form;
    const struct member *me;
    bool is_split;     /* the chunks of single tokens are shared out */
    int64_t group_tok; /* single tokens of a group, at most */
    int64_t i_unit;    /* units dealt out so far */
    float *state;      /* [rows, state]: merged so far */
    float *parts;      /* [single token, head, MAX_CHUNKS, state]; shared by the team */
};

/* A row's state (max, sum, values), as merged from chunks: [2 + ld] floats. */
static int64_t state_floats(int64_t ld) { return round_up(2 + ld, LANES); }

static int64_t max_rows(const struct attention_form *form, int64_t n_rep)
{
    return max_i64(form->rows, n_rep);
}

static int64_t scratch_floats(const struct attention_form *form, int64_t n_rep, int64_t d)
{
    const int64_t ld = round_up(d, LANES), n = max_rows(form, n_rep);
    return round_up(form->floats(n, d), LANES) + n * (2 * ld + state_floats(ld)) +
           2 * round_up(n, LANES);
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

static void begin_unit(struct unit *u, const int32_t *pages)
{
    u->pages = pages;
    u->n_tok = 0;
    u->n_rows = 0;
}

/* Gathers the query rows of token i of a span, times scale. */
INLINE void add_token(struct unit *u, const struct span *s, int64_t i)
{
    u->tok[u->n_tok].row = s->begin + i;
    u->tok[u->n_tok].pos = s->pos + i;
    const float *src = u->a->q + (s->begin + i) * u->a->ld_q + u->kv_head * u->n_rep * u->d;
    for (int64_t h = 0; h < u->n_rep; h++, src += u->d) {
        float *q = u->q + (u->n_rows + h) * u->ld;
        for (int64_t k = 0; k < u->d; k++) q[k] = src[k] * u->a->scale;
        memset(q + u->d, 0, (size_t)(u->ld - u->d) * sizeof *q);
    }
    u->n_tok++;
    u->n_rows += u->n_rep;
}

static void put_row(const struct unit *u, int64_t r, const float *o, float l)
{
    float *y = u->a->y + u->tok[r / u->n_rep].row * u->a->ld_y +
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

/* ---- single tokens ------------------------------------------------------------------------ */

static int64_t positions(const struct span *s) { return (int64_t)s->pos + 1; }

/* Positions of one chunk of a context of n_pos: doubled until MAX_CHUNKS are enough. */
static int64_t chunk_len(int64_t n_pos)
{
    int64_t len = MIN_CHUNK;
    while (len * MAX_CHUNKS < n_pos) len *= 2;
    return len;
}

static int64_t n_chunks(const struct span *s)
{
    const int64_t len = chunk_len(positions(s));
    return (positions(s) + len - 1) / len;
}

/* Whole chunks that two single tokens see alike. */
static int64_t chunks_in_common(const struct kv_layer *kv, const struct span *x,
                                const struct span *y)
{
    const int64_t n_pos = min_i64(positions(x), positions(y)), len = chunk_len(n_pos);
    if (chunk_len(positions(x)) != chunk_len(positions(y))) return 0;
    const int64_t n = n_pos / len * len / kv->page_tok; /* pages */
    int64_t i = 0;
    while (i < n && x->pages[i] == y->pages[i]) i++;
    return i * kv->page_tok / len;
}

/* Single tokens of the batch, spans [begin, end) but those of several tokens, and how many chunks
 * all of them have in common. */
struct group {
    int32_t begin, end;
    int64_t n_common;
};

static struct group group_from(const struct walk *w, int32_t begin)
{
    const struct attention_args *a = w->u.a;
    struct group g = {begin, begin + 1, 0};
    int64_t n = 1;
    for (int32_t s = begin + 1; s < a->n_spans && n < w->group_tok; s++) {
        if (a->span[s].n != 1) continue;
        int64_t common = chunks_in_common(a->kv, &a->span[begin], &a->span[s]);
        if (n > 1) common = min_i64(common, g.n_common);
        if (common == 0) break;
        g.n_common = common;
        g.end = s + 1;
        n++;
    }
    return g;
}

/* Units are dealt out back and forth (0 1 2 2 1 0 ...): later blocks of a span see more keys. */
static bool is_mine(struct walk *w)
{
    const int64_t round = w->i_unit / w->me->n, i = w->i_unit % w->me->n;
    w->i_unit++;
    return (round % 2 ? w->me->n - 1 - i : i) == w->me->i;
}

/* The states of the i-th single token's row r of this kv head: [MAX_CHUNKS, state]. */
static float *part_of(const struct walk *w, int64_t i_single, int64_t r)
{
    const struct unit *u = &w->u;
    const int64_t row = i_single * u->a->n_heads + u->kv_head * u->n_rep + r;
    return w->parts + row * MAX_CHUNKS * state_floats(u->ld);
}

static void attend_chunk(struct walk *w, const struct span *s, int64_t chunk)
{
    const int64_t len = chunk_len(positions(s));
    clear_rows(&w->u);
    w->form->range(&w->u, chunk * len, min_i64(positions(s), (chunk + 1) * len));
}

/* One chunk of the unit's tokens, the first of them the i-th single one, kept for merge_all(). */
static void keep_chunk(struct walk *w, const struct span *s, int64_t i_single, int64_t chunk)
{
    const struct unit *u = &w->u;
    attend_chunk(w, s, chunk);
    for (int64_t r = 0; r < u->n_rows; r++) {
        float *part = part_of(w, i_single + r / u->n_rep, r % u->n_rep);
        part += chunk * state_floats(u->ld);
        part[0] = u->m[r];
        part[1] = u->l[r];
        memcpy(part + 2, u->o + r * u->ld, (size_t)u->ld * sizeof *part);
    }
}

/* Chunks [begin, end) of the unit's tokens, merged into the states from row `at` on. */
INLINE void merge_chunks(struct walk *w, const struct span *s, int64_t at, int64_t begin,
                         int64_t end)
{
    const struct unit *u = &w->u;
    for (int64_t c = begin; c < end; c++) {
        attend_chunk(w, s, c);
        for (int64_t r = 0; r < u->n_rows; r++)
            merge_state(w->state + (at + r) * state_floats(u->ld), u->m[r], u->l[r],
                        u->o + r * u->ld, u->ld);
    }
}

INLINE void gather_group(struct walk *w, const struct group *g)
{
    const struct span *span = w->u.a->span;
    begin_unit(&w->u, span[g->begin].pages);
    for (int32_t s = g->begin; s < g->end; s++)
        if (span[s].n == 1) add_token(&w->u, &span[s], 0);
}

INLINE void gather_token(struct walk *w, const struct span *s)
{
    begin_unit(&w->u, s->pages);
    add_token(&w->u, s, 0);
}

/* All chunks of a group's tokens: those in common, then each one's own. */
INLINE void attend_group(struct walk *w, const struct group *g)
{
    const struct span *span = w->u.a->span;
    struct unit *u = &w->u;
    const int64_t ld_state = state_floats(u->ld);
    int64_t at = 0;
    gather_group(w, g);
    for (int64_t r = 0; r < u->n_rows; r++) clear_state(w->state + r * ld_state, u->ld);
    merge_chunks(w, &span[g->begin], 0, 0, g->n_common);
    for (int32_t s = g->begin; s < g->end; s++) {
        if (span[s].n != 1) continue;
        gather_token(w, &span[s]);
        merge_chunks(w, &span[s], at, g->n_common, n_chunks(&span[s]));
        for (int64_t r = 0; r < u->n_rows; r++) {
            const float *state = w->state + (at + r) * ld_state;
            put_row(u, r, state + 2, state[1]);
        }
        at += u->n_rows;
    }
}

/* The same a chunk at a time, for whoever's turn it is. */
INLINE void share_group(struct walk *w, const struct group *g, int64_t i_single)
{
    const struct span *span = w->u.a->span;
    for (int64_t c = 0; c < g->n_common; c++) {
        if (!is_mine(w)) continue;
        gather_group(w, g);
        keep_chunk(w, &span[g->begin], i_single, c);
    }
    for (int32_t s = g->begin; s < g->end; s++) {
        if (span[s].n != 1) continue;
        for (int64_t c = g->n_common; c < n_chunks(&span[s]); c++) {
            if (!is_mine(w)) continue;
            gather_token(w, &span[s]);
            keep_chunk(w, &span[s], i_single, c);
        }
        i_single++;
    }
}

INLINE void merge_all(struct walk *w)
{
    struct unit *u = &w->u;
    const int64_t ld_state = state_floats(u->ld);
    int64_t i_single = 0;
    w->i_unit = 0;
    for (int32_t s = 0; s < u->a->n_spans; s++) {
        const struct span *span = &u->a->span[s];
        if (span->n != 1) continue;
        u->tok[0].row = span->begin;
        for (u->kv_head = 0; u->kv_head < u->a->kv->n_kv_heads; u->kv_head++)
            for (int64_t r = 0; r < u->n_rep; r++) {
                if (!is_mine(w)) continue;
                const float *part = part_of(w, i_single, r);
                clear_state(w->state, u->ld);
                for (int64_t c = 0; c < n_chunks(span); c++, part += ld_state)
                    merge_state(w->state, part[0], part[1], part + 2, u->ld);
                put_row(u, r, w->state + 2, w->state[1]);
            }
        i_single++;
    }
}

/* ---- the whole batch ---------------------------------------------------------------------- */

/* Whether single tokens are cut over the team, and how many make a group at most, so that no
 * member is without one. Everyone must come to the same answer. */
static void plan_single(struct walk *w)
{
    const struct attention_args *a = w->u.a;
    int64_t n_single = 0, longest = 0;
    for (int32_t i = 0; i < a->n_spans; i++) {
        if (a->span[i].n != 1) continue;
        n_single++;
        longest = max_i64(longest, positions(&a->span[i]));
    }
    const int64_t n_pairs = n_single * a->kv->n_kv_heads;
    w->is_split = w->me->n > 1 && longest > MIN_CHUNK && n_pairs < 2 * w->me->n;
    w->group_tok = max_i64(1, w->form->rows / w->u.n_rep);
    if (w->is_split || n_single == 0) return;
    const int64_t most = max_i64(1, min_i64(w->group_tok, n_pairs / (2 * w->me->n)));
    const int64_t n_groups = (n_single + most - 1) / most;
    w->group_tok = (n_single + n_groups - 1) / n_groups;
}

/* Tokens of a unit of a span: fewer than fit if else some member had none. */
static int64_t block_tokens(const struct walk *w, int64_t n_tok)
{
    const int64_t most = max_i64(1, w->form->rows / w->u.n_rep);
    const int64_t even = n_tok * w->u.a->kv->n_kv_heads / (4 * w->me->n);
    return max_i64(min_i64(even, most), max_i64(1, most / 4));
}

INLINE void attend_span(struct walk *w, const struct span *s)
{
    struct unit *u = &w->u;
    const int64_t n_block = block_tokens(w, s->n);
    for (int64_t t = 0; t < s->n; t += n_block) {
        if (!is_mine(w)) continue;
        begin_unit(u, s->pages);
        for (int64_t i = t; i < min_i64(t + n_block, s->n); i++) add_token(u, s, i);
        clear_rows(u);
        w->form->range(u, 0, s->pos + t + u->n_tok);
        for (int64_t r = 0; r < u->n_rows; r++) put_row(u, r, u->o + r * u->ld, u->l[r]);
    }
}

/* Lays this member's scratch out. */
static void walk_init(struct walk *w, const struct member *me, const struct attention_args *a,
                      const struct attention_form *form)
{
    struct unit *u = &w->u;
    u->a = a;
    u->n_rep = a->n_heads / a->kv->n_kv_heads;
    u->d = a->kv->d_head;
    u->ld = round_up(u->d, LANES);
    w->form = form;
    w->me = me;
    w->i_unit = 0;
    const int64_t n = max_rows(form, u->n_rep);
    const int64_t scratch = round_up(scratch_floats(form, a->n_heads, u->d), LANES);
    u->form = (float *)a->work + me->i * scratch;
    u->q = u->form + round_up(form->floats(n, u->d), LANES);
    u->o = u->q + n * u->ld;
    u->m = u->o + n * u->ld;
    u->l = u->m + round_up(n, LANES);
    w->state = u->l + round_up(n, LANES);
    w->parts = (float *)a->work + me->n * scratch;
    plan_single(w);
}

static size_t work_bytes(const struct attention_form *form, int64_t n_tok, int32_t n_heads,
                         int32_t d_head, int n_threads)
{
    const int64_t ld = round_up(d_head, LANES);
    const int64_t scratch = round_up(scratch_floats(form, n_heads, d_head), LANES);
    const int64_t n_single = min_i64(n_tok, 2 * (int64_t)n_threads);
    const int64_t parts = n_single * n_heads * MAX_CHUNKS * state_floats(ld);
    return (size_t)(n_threads * scratch + parts) * sizeof(float);
}

INLINE void attend(const struct member *me, const struct attention_args *a,
                   const struct attention_form *form)
{
    struct walk w;
    struct unit *u = &w.u;
    walk_init(&w, me, a, form);
    for (int32_t s = 0; s < a->n_spans; s++)
        for (u->kv_head = 0; a->span[s].n > 1 && u->kv_head < a->kv->n_kv_heads; u->kv_head++)
            attend_span(&w, &a->span[s]);
    int64_t i_single = 0;
    for (int32_t s = 0; s < a->n_spans;) {
        if (a->span[s].n != 1) {
            s++;
            continue;
        }
        const struct group g = group_from(&w, s);
        for (u->kv_head = 0; u->kv_head < a->kv->n_kv_heads; u->kv_head++) {
            if (w.is_split)
                share_group(&w, &g, i_single);
            else if (is_mine(&w))
                attend_group(&w, &g);
        }
        for (; s < g.end; s++) i_single += a->span[s].n == 1;
    }
    if (!w.is_split) return;
    team_barrier(me);
    merge_all(&w);
}

#define ATTENTION(name, form, attribute)                                                           \
    attribute void attention_##name(const struct member *me, const struct attention_args *a)       \
    {                                                                                              \
        attend(me, a, &form);                                                                      \
    }                                                                                              \
    size_t attention_##name##_bytes(int64_t n_tok, int32_t n_heads, int32_t d_head,                \
                                    int32_t max_pos, int n_threads)                                \
    {                                                                                              \
        (void)                                                                                     \
            max_pos; /* a token has MAX_CHUNKS partial states at most, however long its context */ \
        return work_bytes(&form, n_tok, n_heads, d_head, n_threads);                               \
    }
ATTENTION(generic, form_generic, )
#if CRIA_X86
ATTENTION(avx2, form_avx2, TARGET_AVX2)
ATTENTION(avx512, form_avx512, TARGET_AVX512)

TARGET_AVX512
void attention_avx512bf16(const struct member *me, const struct attention_args *a)
{
    if (a->is_exact)
        attend(me, a, &form_avx512);
    else
        attend(me, a, &attention_bf16);
}

size_t attention_avx512bf16_bytes(int64_t n_tok, int32_t n_heads, int32_t d_head, int32_t max_pos,
                                  int n_threads)
{
    const size_t exact = attention_avx512_bytes(n_tok, n_heads, d_head, max_pos, n_threads);
    const size_t rounded = work_bytes(&attention_bf16, n_tok, n_heads, d_head, n_threads);
    return exact > rounded ? exact : rounded;
}
#endif
#if CRIA_ARM
ATTENTION(neon, form_neon, )
#endif
