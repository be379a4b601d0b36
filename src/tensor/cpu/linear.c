/* SPDX-License-Identifier: Apache-2.0
 *
 * linear.c - y = in(x) W^T + bias, for any type of weights and any number of tokens.
 *
 * Two ways, chosen by the number of tokens alone:
 *
 * Few tokens (below FEW): bound by reading the weights. Every member applies in() to all rows into
 * its own scratch (no barrier) and streams output rows past them, each row decoded once for all
 * tokens. The rows of all outputs are dealt out as one range (team_deal): each member goes through
 * its own part, and helps those who are late, be it that their core is slow or shared, or that
 * memory serves them less. Activations are rounded to 8 bits where the kernels work in
 * integers (linear_avx2.c, linear_avx512.c); float weights and plain C stay in float.
 *
 * Many tokens: bound by arithmetic. The tokens are packed once, in blocks of 16 side by side, by
 * all members together; then strips of output rows are dealt out, and a member converts a strip and
 * a block of k into its scratch, and multiplies it with all tokens, the weights as rows of A, the
 * tokens as columns of B. So weights are converted in the order in which they lie, and only
 * activations and results are ever transposed.
 *
 * Quantized weights on AVX512-VNNI and AVX2 are multiplied as integers with activations rounded to
 * 8 bits, as for few tokens; packing and layout of that way are linear_vnni.c's and
 * linear_int8_avx2.c's.
 *
 * Both give results that depend neither on the number of threads nor, within one way, on the other
 * tokens: a sum runs over k in an order fixed by K_BLOCK and the kernel. Few and many differ by
 * rounding (and by activations of 8 bits or bfloat16).
 * Begin reading at linear_run().
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "tensor/cpu/cpu.h"
#include "tensor/cpu/linear.h"
#include "tensor/cpu/linear_in.h"
#include "tensor/cpu/interleave.h"
#include "tensor/cpu/linear_interleaved.h"
#include "tensor/half.h"

/* ---- the scratch plan -------------------------------------------------------------------- */

/* Byte offsets into linear_args.work. */
struct plan {
    int64_t k_pad;                     /* k rounded up to ACT, which all blocks of weights divide */
    size_t x, q, sums, row, few_bytes; /* few: of one member */
    size_t xf, xh, xl, xq, shared_bytes; /* many: of the team; pairs lie where xh does */
    size_t panel, c, piece, many_bytes;  /* many: of one member */
};

static size_t place(size_t *at, int64_t n, size_t each)
{
    const size_t begin = *at;
    *at += ((size_t)n * each + 63) & ~(size_t)63;
    return begin;
}

static struct plan plan_make(int64_t n_tok, int64_t k)
{
    struct plan p = {.k_pad = round_up(k, ACT)};
    size_t at = 0;
    p.x = place(&at, FEW * p.k_pad, sizeof(float));
    p.q = place(&at, FEW * (p.k_pad / ACT), sizeof(struct act8));
    p.sums = place(&at, FEW * (p.k_pad / ACT), sizeof(struct act_sums));
    p.row = place(&at, p.k_pad, sizeof(float));
    p.few_bytes = at;
    const int64_t n_packed = round_up(min_i64(n_tok, TOK_BLOCK), 2 * LANES) * p.k_pad;
    at = 0;
    p.xf = place(&at, n_packed, sizeof(float));
    p.xh = place(&at, n_packed, sizeof(uint16_t));
    p.xl = place(&at, n_packed, sizeof(uint16_t));
    p.xq = place(&at, n_packed / (ACT_TOK * 32), ACT_BLOCK_BYTES);
    p.shared_bytes = at;
    at = 0;
    p.panel = place(&at, (int64_t)PANEL_BYTES, 1);
    p.c = place(&at, STRIP * TOK_BLOCK, sizeof(float));
    p.piece = place(&at, 2 * LANES * ACT, sizeof(float));
    p.many_bytes = at;
    return p;
}

size_t linear_work_bytes(int64_t n_tok, int64_t k, int n_threads)
{
    const struct plan p = plan_make(n_tok, k);
    const size_t few = (size_t)n_threads * p.few_bytes;
    if (n_tok < FEW) return few;
    const size_t many = p.shared_bytes + (size_t)n_threads * p.many_bytes;
    return many > few ? many : few; /* a plan for n tokens also serves fewer */
}

/* ---- the input ---------------------------------------------------------------------------- */

/* Plain C; halves round to even. */
void quantize_act8(struct act8 *dst, const float *x, int64_t n)
{
    for (int64_t b = 0; b < n / 32; b++, x += 32) {
        struct act8 *a = &dst[b / 8];
        const int64_t at = b % 8 * 32;
        float most = 0.0f;
        for (int i = 0; i < 32; i++) most = fmaxf(most, fabsf(x[i]));
        const float d = most / 127.0f, inverse = most > 0.0f ? 127.0f / most : 0.0f;
        for (int g = 0; g < 8; g++) {
            int32_t sum = 0;
            for (int i = 4 * g; i < 4 * g + 4; i++) {
                const int32_t q = (int32_t)lrintf(x[i] * inverse);
                a->q[at + i] = (int8_t)q;
                sum += q;
            }
            a->d[at / 4 + g] = d;
            a->sum_128[at / 4 + g] = -128 * sum;
        }
        for (int h = 0; h < 2; h++) {
            int32_t sum = 0;
            for (int i = 0; i < 16; i++) sum += a->q[at + 16 * h + i];
            a->sum_16[at / 16 + h] = d * (float)sum;
        }
    }
}

static void sum_acts(struct act_sums *s, const struct act8 *a, int64_t n)
{
    for (int64_t i = 0; i < n; i++, s++, a++)
        for (int b = 0; b < ACT / 32; b++) {
            int32_t half[2] = {0, 0};
            for (int g = 0; g < 8; g++) half[g / 4] += a->sum_128[8 * b + g];
            s->from_128[b] = half[0] + half[1];
            s->from_8[b] = s->from_128[b] / 16;
            s->from_32[2 * b] = half[0] / 4;
            s->from_32[2 * b + 1] = half[1] / 4;
            for (int h = 0; h < 2; h++) {
                const uint32_t u = (uint32_t)(half[h] / 8) & 0xffffu; /* |half / 8| <= 32512 */
                s->pair_16[2 * b + h] = (int32_t)(u | u << 16);
            }
            s->d[b] = a->d[8 * b];
            s->sum[b] = a->sum_16[2 * b] + a->sum_16[2 * b + 1];
        }
}

/* ---- few tokens --------------------------------------------------------------------------- */

void dot_rows_generic(float *dot, const struct few_in *in, enum dtype type, const uint8_t *w,
                      size_t row_bytes, int64_t n_rows)
{
    for (int64_t r = 0; r < n_rows; r++) {
        dtype_info(type)->decode(in->row, w + (size_t)r * row_bytes, in->k);
        for (int64_t t = 0; t < in->n_tok; t++)
            dot[r * FEW + t] = dot_16(in->row, in->x + t * in->ld_x, in->k);
    }
}

static bool any_quantized(const struct linear_args *a)
{
    for (int32_t i = 0; i < a->n_out; i++)
        if (dtype_info(a->out[i].w->dtype)->is_quantized) return true;
    return false;
}

static bool any_interleaved(const struct linear_args *a)
{
    for (int32_t i = 0; i < a->n_out; i++)
        if (a->out[i].w->is_interleaved) return true;
    return false;
}

/* Rows that kernels may read: they take tokens by 1, 4 or 8, the missing ones as zeros. */
static int64_t few_padded(int64_t n_tok) { return n_tok <= 1 ? n_tok : n_tok <= 4 ? 4 : FEW; }

static struct few_in few_prepare(const struct linear_args *a, const struct linear_kit *kit,
                                 const struct plan *p, uint8_t *mine)
{
    float *x = (float *)(void *)(mine + p->x);
    struct act8 *q = (struct act8 *)(void *)(mine + p->q);
    struct act_sums *sums = (struct act_sums *)(void *)(mine + p->sums);
    const bool is_int = kit->quantize && any_quantized(a);
    const bool has_sums = is_int && (kit->needs_sums || any_interleaved(a));
    const int64_t n_act = p->k_pad / ACT, n_pad = few_padded(a->n_tok) - a->n_tok;
    for (int64_t t = 0; t < a->n_tok; t++) {
        float *row = x + t * p->k_pad;
        kit->read(row, a, t);
        memset(row + a->k, 0, (size_t)(p->k_pad - a->k) * sizeof *row);
        if (is_int) kit->quantize(q + t * n_act, row, p->k_pad);
        if (has_sums) sum_acts(sums + t * n_act, q + t * n_act, n_act);
    }
    memset(x + a->n_tok * p->k_pad, 0, (size_t)(n_pad * p->k_pad) * sizeof *x);
    if (is_int) memset(q + a->n_tok * n_act, 0, (size_t)(n_pad * n_act) * sizeof *q);
    if (has_sums) memset(sums + a->n_tok * n_act, 0, (size_t)(n_pad * n_act) * sizeof *sums);
    return (struct few_in){.n_tok = a->n_tok,
                           .k = a->k,
                           .x = x,
                           .ld_x = p->k_pad,
                           .q = q,
                           .sums = sums,
                           .row = (float *)(void *)(mine + p->row)};
}

/* Rows [row, row + n_rows) of y; dot: theirs. */
static void put_dots(const struct linear_out *out, const float *dot, int64_t row, int64_t n_rows,
                     int64_t n_tok)
{
    for (int64_t t = 0; t < n_tok; t++)
        for (int64_t r = 0; r < n_rows; r++) {
            float v = dot[r * FEW + t];
            if (out->bias) v += out->bias[row + r];
            float *y = out->y + t * out->ld_y + row + r;
            *y = out->is_added ? *y + v : v;
        }
}

/* A group that two members share is computed by both. */
static void few_groups(const struct few_in *in, const struct linear_out *out, int64_t begin,
                       int64_t end, dot_group_fn *fn)
{
    for (int64_t r = begin, next = 0; r < end; r = next) {
        _Alignas(64) float dot[GROUP_ROWS * FEW];
        const int64_t base = r / GROUP_ROWS * GROUP_ROWS;
        next = min_i64(end, base + GROUP_ROWS);
        fn(dot, in, tensor_row(out->w, base));
        put_dots(out, dot + (r - base) * FEW, r, next - r, in->n_tok);
    }
}

static void few_rows(const void *prepared, const struct linear_out *out, int64_t begin, int64_t end,
                     const struct linear_kit *kit)
{
    const struct few_in *in = prepared;
    if (out->w->is_interleaved) {
        few_groups(in, out, begin, end, kit->dot_group[out->w->dtype]);
        return;
    }
    dot_rows_fn *fn = kit->dot[out->w->dtype];
    for (int64_t r = begin; r < end; r += DOT_ROWS) {
        _Alignas(64) float dot[DOT_ROWS * FEW];
        const int64_t n = min_i64(DOT_ROWS, end - r);
        fn(dot, in, out->w->dtype, tensor_row(out->w, r), out->w->row_bytes, n);
        put_dots(out, dot, r, n, in->n_tok);
    }
}

/* ---- many tokens -------------------------------------------------------------------------- */

struct many {
    const struct linear_args *a; /* of this block of tokens */
    const struct linear_kit *kit;
    const struct plan *p;
    float *xf;
    uint32_t *xh, *xl;
    uint8_t *xq; /* struct act_block [n_tok / ACT_TOK, k_pad / 32] */
    uint8_t *mine;
    int64_t n_blocks;
    bool needs_f32, needs_bf16, needs_int8, needs_pairs;
};

/* Packs elements [begin, end) of the 16 tokens of block b; begin is a multiple of ACT, and end
 * too or k_pad. Tokens beyond n_tok and elements beyond k become zero. */
static void pack_floats(const struct many *m, int64_t b, int64_t begin, int64_t end)
{
    const struct linear_args *a = m->a;
    float *rows = (float *)(void *)(m->mine + m->p->piece), *cols = rows + LANES * ACT;
    const int64_t n_tok = min_i64(LANES, a->n_tok - b * LANES); /* below 0 in a block of padding */
    float scale[LANES];
    for (int64_t t = 0; t < n_tok; t++) scale[t] = in_scale(a, b * LANES + t);
    for (int64_t i = begin; i < end; i += ACT) {
        memset(rows, 0, LANES * ACT * sizeof *rows);
        const int64_t n = min_i64(ACT, a->k - i);
        for (int64_t t = 0; t < n_tok; t++)
            read_in(rows + t * ACT, a, b * LANES + t, i, n, scale[t]);
        const int64_t at = (b * m->p->k_pad + i) * LANES;
        float *dst = m->needs_f32 ? m->xf + at : cols;
        m->kit->cpu->transpose(dst, LANES, rows, ACT, LANES, ACT);
        if (m->needs_bf16) m->kit->split(m->xh + at / 2, m->xl + at / 2, dst, ACT / 2);
    }
}

/* Block b in all forms that are needed. */
static void pack_block(const struct many *m, int64_t b, int64_t begin, int64_t end)
{
    if (m->needs_f32 || m->needs_bf16) pack_floats(m, b, begin, end);
    if (!m->needs_int8 && !m->needs_pairs) return;
    for (int64_t t = b * LANES; t < (b + 1) * LANES && t < m->a->n_tok; t += ACT_TOK) {
        const int64_t at = t / ACT_TOK * m->p->k_pad + begin; /* in groups of ACT_TOK elements */
        if (m->needs_int8)
            m->kit->pack_int8((struct act_block *)(void *)(m->xq + at / 32 * ACT_BLOCK_BYTES), m->a,
                              t, begin, end);
        if (m->needs_pairs) m->kit->pack_pairs(m->xh + at / 2 * ACT_TOK, m->a, t, begin, end);
    }
}

/* By blocks of tokens; by pieces of k where there are more members than blocks. */
static void pack(const struct member *me, const struct many *m)
{
    int64_t begin = 0, end = 0;
    if (m->n_blocks >= me->n) {
        team_share(me, m->n_blocks, 1, &begin, &end);
        for (int64_t b = begin; b < end; b++) pack_block(m, b, 0, m->p->k_pad);
        return;
    }
    team_share(me, m->p->k_pad, ACT, &begin, &end);
    for (int64_t b = 0; b < m->n_blocks && begin < end; b++) pack_block(m, b, begin, end);
}

static void strip_f32(const struct strip *s, const struct cpu_kit *kit)
{
    enum { LD = K_BLOCK + LANES }; /* not a power of two: rows of a tile in different cache sets */
    float *panel = s->panel;
    for (int64_t i = 0; i < s->k; i += K_BLOCK) {
        const int64_t n = min_i64(K_BLOCK, s->k - i);
        const struct dtype_info *info = dtype_info(s->w->dtype);
        const size_t at = (size_t)(i / info->block_elems) * info->block_bytes;
        for (int64_t r = 0; r < s->n_rows; r++)
            kit->decode(s->w->dtype, panel + r * LD,
                        (const uint8_t *)tensor_row(s->w, s->row + r) + at, n);
        kit->gemm(&(struct gemm_args){.c = s->c,
                                      .ldc_block = STRIP * LANES,
                                      .ldc_row = LANES,
                                      .a = panel,
                                      .lda = LD,
                                      .b = s->xf + i * LANES,
                                      .ldb_block = s->k_pad * LANES,
                                      .ldb_row = LANES,
                                      .m = s->n_rows,
                                      .n_blocks = s->n_blocks,
                                      .k = n,
                                      .is_added = i > 0});
    }
}

/* 16 tokens of the strip's results, [rows, LANES], to y, [tokens, rows]. */
static void put_block(const struct many *m, const struct linear_out *out, const struct strip *s,
                      int64_t b)
{
    _Alignas(64) float part[LANES * STRIP];
    const int64_t n_tok = min_i64(LANES, m->a->n_tok - b * LANES), n = s->n_rows;
    const float *c = s->c + b * STRIP * LANES;
    float *y = out->y + b * LANES * out->ld_y + s->row;
    if (!out->bias && !out->is_added) {
        m->kit->cpu->transpose(y, out->ld_y, c, LANES, n, n_tok);
        return;
    }
    m->kit->cpu->transpose(part, STRIP, c, LANES, n, n_tok);
    for (int64_t t = 0; t < n_tok; t++, y += out->ld_y) {
        const float *restrict v = part + t * STRIP, *bias = out->bias ? out->bias + s->row : NULL;
        for (int64_t r = 0; r < n; r++) {
            const float x = bias ? v[r] + bias[r] : v[r];
            y[r] = out->is_added ? y[r] + x : x;
        }
    }
}

static void many_rows(const void *packed, const struct linear_out *out, int64_t begin, int64_t end,
                      const struct linear_kit *kit)
{
    const struct many *m = packed;
    struct strip s = {.w = out->w,
                      .k = m->a->k,
                      .k_pad = m->p->k_pad,
                      .n_tok = m->a->n_tok,
                      .n_blocks = m->n_blocks,
                      .form = kit->form[out->w->dtype],
                      .xf = m->xf,
                      .xp = m->xh,
                      .xh = m->xh,
                      .xl = m->xl,
                      .xq = (const struct act_block *)(void *)m->xq,
                      .out = out,
                      .panel = m->mine + m->p->panel,
                      .c = (float *)(void *)(m->mine + m->p->c)};
    for (s.row = begin; s.row < end; s.row += s.n_rows) {
        s.n_rows = min_i64(STRIP, end - s.row);
        if (s.form == FORM_INT8 || s.form == FORM_PAIRS) {
            if (s.form == FORM_INT8)
                kit->strip_int8(&s);
            else
                kit->strip_pairs(&s);
            continue;
        }
        if (s.form == FORM_F32)
            strip_f32(&s, kit->cpu);
        else
            kit->strip_bf16(&s);
        for (int64_t b = 0; b * LANES < m->a->n_tok; b++) put_block(m, out, &s, b);
    }
}

/* ---- both --------------------------------------------------------------------------------- */

/* Rows [begin, end) of one output. */
typedef void rows_fn(const void *in, const struct linear_out *out, int64_t begin, int64_t end,
                     const struct linear_kit *kit);

/* Deals the rows of all outputs out as one range, so that small products beside large ones do not
 * wait for each other, and members that are late are helped. */
static void deal_rows(const struct member *me, const struct linear_args *a, int64_t grain,
                      rows_fn *fn, const void *in, const struct linear_kit *kit)
{
    int64_t total = 0, begin = 0, end = 0;
    for (int32_t i = 0; i < a->n_out; i++) total += a->out[i].w->shape[0];
    struct team_deal deal = team_deal(me, total, grain);
    while (team_deal_next(me, &deal, &begin, &end)) {
        int64_t first = 0;
        for (int32_t i = 0; i < a->n_out; i++) {
            const int64_t n = a->out[i].w->shape[0];
            fn(in, &a->out[i], max_i64(0, begin - first), min_i64(n, end - first), kit);
            first += n;
        }
    }
}

enum {
    CHUNK_BYTES = 16 << 10
}; /* half a microsecond and more, beside some nanoseconds to take it */

/* Rows of weights that a member takes at once. */
static int64_t few_chunk(const struct linear_args *a)
{
    const int64_t n = (int64_t)(CHUNK_BYTES / a->out[0].w->row_bytes);
    return max_i64(DOT_ROWS, n / DOT_ROWS * DOT_ROWS);
}

static void linear_few(const struct member *me, const struct linear_args *a,
                       const struct linear_kit *kit)
{
    const struct plan p = plan_make(a->n_tok, a->k);
    uint8_t *mine = (uint8_t *)a->work + (size_t)me->i * p.few_bytes;
    const struct few_in in = few_prepare(a, kit, &p, mine);
    deal_rows(me, a, few_chunk(a), few_rows, &in, kit);
}

/* Rows that a member takes at once: the most that give each member three times or more, and nobody
 * more than its share in 32s. Fewer rows cost more passes over the tokens. */
static int64_t many_chunk(const struct member *me, const struct linear_args *a)
{
    int64_t total = 0, grain = STRIP;
    for (int32_t i = 0; i < a->n_out; i++) total += a->out[i].w->shape[0];
    const int64_t share = round_up((total + me->n - 1) / me->n, 32);
    for (; grain > 32; grain -= 32) {
        const int64_t each = ((total + grain - 1) / grain + me->n - 1) / me->n; /* chunks */
        if (each >= 3 && each * grain <= share) break;
    }
    return grain;
}

/* The barriers: nobody packs over tokens that another member still multiplies (this call's last
 * block, or the last call's); nobody multiplies before all is packed. */
static void linear_many(const struct member *me, const struct linear_args *a,
                        const struct linear_kit *kit)
{
    const struct plan p = plan_make(a->n_tok, a->k);
    uint8_t *work = a->work;
    struct many m = {.a = a,
                     .kit = kit,
                     .p = &p,
                     .xf = (float *)(void *)(work + p.xf),
                     .xh = (uint32_t *)(void *)(work + p.xh),
                     .xl = (uint32_t *)(void *)(work + p.xl),
                     .xq = work + p.xq,
                     .mine = work + p.shared_bytes + (size_t)me->i * p.many_bytes,
                     .n_blocks = (a->n_tok + LANES - 1) / LANES};
    for (int32_t i = 0; i < a->n_out; i++) {
        const enum form form = kit->form[a->out[i].w->dtype];
        m.needs_f32 |= form == FORM_F32;
        m.needs_int8 |= form == FORM_INT8;
        m.needs_pairs |= form == FORM_PAIRS;
        m.needs_bf16 |= form >= FORM_BF16_1;
    }
    if (m.needs_bf16) m.n_blocks = round_up(m.n_blocks, 2);
    team_barrier(me);
    pack(me, &m);
    team_barrier(me);
    deal_rows(me, a, many_chunk(me, a), many_rows, &m, kit);
}

/* A block of tokens [t, t + n) of `a`; `out` gets the outputs' rows moved along. */
static struct linear_args tok_block(const struct linear_args *a, int64_t t, int64_t n,
                                    struct linear_out *out)
{
    struct linear_args b = *a;
    b.x += t * a->ld_x;
    if (b.x2) b.x2 += t * a->ld_x;
    b.n_tok = n;
    for (int32_t i = 0; i < a->n_out; i++) {
        out[i] = a->out[i];
        out[i].y += t * out[i].ld_y;
    }
    b.out = out;
    return b;
}

void linear_run(const struct member *me, const struct linear_args *a, const struct linear_kit *kit)
{
    enum { MAX_OUT = 8 };
    assert(a->n_out >= 1 && a->n_out <= MAX_OUT);
    if (a->n_tok < FEW) {
        linear_few(me, a, kit);
        return;
    }
    for (int64_t t = 0; t < a->n_tok; t += TOK_BLOCK) {
        struct linear_out out[MAX_OUT];
        const struct linear_args b = tok_block(a, t, min_i64(TOK_BLOCK, a->n_tok - t), out);
        linear_many(me, &b, kit);
    }
}

#define EVERY_TYPE(x)                                                                              \
    {                                                                                              \
        x, x, x, x, x, x, x, x, x, x, x, x, x, x, x                                                \
    }
dot_rows_fn *const dot_table_generic[DT_COUNT] = EVERY_TYPE(dot_rows_generic);
const uint8_t form_table_f32[DT_COUNT] = EVERY_TYPE(FORM_F32);

static void read_generic(float *y, const struct linear_args *a, int64_t t) { read_row(y, a, t); }

static const struct linear_kit linear_kit_generic = {
    .read = read_generic,
    .cpu = &kit_generic,
    .dot = dot_table_generic,
    .form = form_table_f32,
};

void linear_generic(const struct member *me, const struct linear_args *a)
{
    linear_run(me, a, &linear_kit_generic);
}
