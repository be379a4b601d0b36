/* SPDX-License-Identifier: Apache-2.0
 *
 * linear_int8_avx2.c - many tokens times quantized weights in 8-bit integers: AVX2.
 *
 *     y[t][r] = sum over blocks b of 32: d[t][b] * (s[r][b] * sum_i q[t][i] u[r][i]) - m[r][b] * X,
 *     X = d[t][b] * sum_i q[t][i]
 *
 * Activations are rounded to 8 bits, a scale for each 32, exactly as for few tokens (act8 in
 * linear.h); weights are not rounded. The sums are exact, though AVX2 multiplies bytes into sums of
 * two that saturate at 16 bits (vpmaddubsw), and widening each of those to 32 bits would cost as
 * much as the product. So sums stay in 16 bits for a whole block of weights, by two facts:
 *
 *   - u is in 0..63, so a pair is at most 2 * 63 * 127 = 16002: no product saturates.
 *   - Additions wrap, so only the last sum must fit. It starts at -C * sum of q, which makes it
 *     sum (u - C) q. With a scale for each 32, C = 16 and |u - C| <= 16, a lane of 16 bits adds 16
 *     of those: at most 16 * 16 * 127 = 32512. With a scale for each 16, C = 32, |u - C| <= 32 and
 *     8 of them: 32512 again.
 *
 * Formats of up to 5 bits in blocks of 32 and up to 6 in blocks of 16 come so by adding C to their
 * signed integers; where a format is unsigned with a minimum, m becomes m - C s. Eight bits (Q8_0,
 * IQ4) do not fit: there it is |w| times q with the sign of w, a pair at most 2 * 128 * 127 =
 * 32512, and each pair is widened to 32 bits: twice the instructions of the others, and still half
 * as fast again as float. (As two planes of four bits they were no faster than that.)
 *
 * The plan is linear_vnni.c's, half as wide: a strip of weights, a block of k at a time, is
 * unpacked into panels of 16 rows, 32 weights of k a record: 8 groups of 16 rows by 4, then the
 * rows' scales, then their minima. Rows lie across the lanes, a token's four activations are
 * broadcast. Sixteen rows by four tokens are summed at once, 8 registers; their float sums wait in
 * L1, as 16 registers are not enough for both.
 *
 * The order of a sum follows k alone: any number of threads, any neighbours, the same bits.
 * Begin reading at strip_int8_avx2().
 */
#include "tensor/cpu/cpu.h"

#if CRIA_X86
#include <immintrin.h>

#include "tensor/cpu/interleave.h"
#include "tensor/cpu/linear_in.h"
#include "tensor/cpu/linear_int8_avx2.h"
#include "tensor/cpu/unpack_avx2.h"

enum {
    ROWS = 16,     /* of a panel */
    TOKS = 4,      /* of a tile */
    Q = ROWS * 32, /* bytes of 32 weights of each row */
    K_LONG = 512,  /* of k in a panel, at most; longer rows are cut in equal parts */
    C_32 = 16,     /* C of formats with a scale for each 32, */
    C_16 = 32,     /* for each 16 */
    MAX_RECORD = Q + 4 * ROWS * (int)sizeof(float),
};
_Static_assert(STRIP / ROWS * (K_LONG / 32) * MAX_RECORD <= PANEL_BYTES, "a strip fits");

/* ---- activations -------------------------------------------------------------------------- */

/* 32 activations of ACT_TOK tokens, x = d q: four q of a token together, the tokens side by side.
 * Where the sums of the two lanes of 16 bits start, which add the first and the second pair of
 * each four; and sums for formats with a minimum. */
struct act_tile {
    int8_t q[8][ACT_TOK][4];
    float d[ACT_TOK];
    float sum_32[ACT_TOK]; /* d * sum of q */
    float sum_16[2][ACT_TOK];
    int16_t from_32[ACT_TOK][2];    /* -C_32 * sum of q */
    int16_t from_16[2][ACT_TOK][2]; /* -C_16 * sum of q */
};
_Static_assert(sizeof(struct act_tile) == ACT_BLOCK_BYTES, "as the plan of scratch counts it");

INLINE TARGET_AVX2 void put(void *to, __m256i v) { _mm256_storeu_si256((__m256i *)to, v); }

INLINE TARGET_AVX2 __m256i get(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

/* All that follows from q and d, the eight tokens side by side. */
INLINE TARGET_AVX2 void sum_up(struct act_tile *x)
{
    const __m256 d = _mm256_loadu_ps(x->d);
    __m256i total = _mm256_setzero_si256();
    for (int h = 0; h < 2; h++) {
        __m256i lanes = _mm256_setzero_si256();
        for (int g = 4 * h; g < 4 * h + 4; g++)
            lanes =
                _mm256_add_epi16(lanes, _mm256_maddubs_epi16(_mm256_set1_epi8(1), get(x->q[g])));
        const __m256i sum = _mm256_madd_epi16(lanes, _mm256_set1_epi16(1));
        _mm256_storeu_ps(x->sum_16[h], _mm256_mul_ps(d, _mm256_cvtepi32_ps(sum)));
        put(x->from_16[h], _mm256_mullo_epi16(lanes, _mm256_set1_epi16(-C_16)));
        total = _mm256_add_epi16(total, lanes);
    }
    const __m256i sum = _mm256_madd_epi16(total, _mm256_set1_epi16(1));
    _mm256_storeu_ps(x->sum_32, _mm256_mul_ps(d, _mm256_cvtepi32_ps(sum)));
    put(x->from_32, _mm256_mullo_epi16(total, _mm256_set1_epi16(-C_32)));
}

TARGET_AVX2
void pack_int8_avx2(struct act_block *act, const struct linear_args *a, int64_t t, int64_t begin,
                    int64_t end)
{
    struct act8 rows[ACT_TOK];
    const int64_t n_tok = min_i64(ACT_TOK, a->n_tok - t);
    float scale[ACT_TOK];
    for (int64_t j = 0; j < n_tok; j++) scale[j] = in_scale(a, t + j);
    memset(rows, 0, sizeof rows);
    struct act_tile *tile = (struct act_tile *)(void *)act;
    for (int64_t i = begin; i < end; i += ACT) {
        const int64_t n = min_i64(ACT, a->k - i);
        for (int64_t j = 0; j < n_tok; j++) {
            float x[ACT];
            read_in(x, a, t + j, i, n, scale[j]);
            memset(x + n, 0, (size_t)(ACT - n) * sizeof *x);
            quantize_act8_avx2(&rows[j], x, ACT);
        }
        for (int b = 0; b < ACT / 32; b++, tile++) {
            kit_avx2.transpose((float *)(void *)tile->q, ACT_TOK,
                               (const float *)(const void *)(rows[0].q + 32 * b),
                               sizeof rows[0] / sizeof(float), ACT_TOK, 8);
            for (int j = 0; j < ACT_TOK; j++) tile->d[j] = rows[j].d[8 * b];
            sum_up(tile);
        }
    }
}

/* ---- weights ------------------------------------------------------------------------------ */

/* Bytes of a panel's record: 16 rows of 32 weights, their scales, their minima. */
INLINE int64_t record_bytes(bool has_min, bool per_32)
{
    return Q + (has_min ? 2 : 1) * (per_32 ? 1 : 2) * ROWS * (int64_t)sizeof(float);
}

/* Elements [i, i + n) of 16 rows from `row` on into records, n <= K_LONG. */
typedef void unpack_panel_fn(uint8_t *panel, const struct strip *s, int64_t row, int64_t i,
                             int64_t n);

/* 256 weights of 16 rows, unpacked but not yet interleaved. */
struct stage {
    _Alignas(32) uint8_t u[ROWS][ACT];
    _Alignas(32) float s[ROWS][16], m[ROWS][16];
};

INLINE TARGET_AVX2 void unpack_row(struct stage *g, int r, const struct unpack *f,
                                   const uint8_t *src, int64_t n)
{
    uint8_t rest[ACT_BYTES_MAX];
    const uint8_t *b = n < ACT ? unpack_rest(rest, f, src, n) : src;
    const __m256 zero = _mm256_setzero_ps();
    __m256 s2[2] = {zero, zero}, m2[2] = {zero, zero};
    f->scales(b, s2, m2);
    _mm256_store_ps(g->s[r], s2[0]);
    _mm256_store_ps(g->s[r] + 8, s2[1]);
    if (f->has_min) {
        const __m256 c = _mm256_set1_ps(f->per_32 ? C_32 : C_16);
        if (f->per_32) twice(s2[0], s2);
        _mm256_store_ps(g->m[r], _mm256_fnmadd_ps(c, s2[0], m2[0]));
        _mm256_store_ps(g->m[r] + 8, _mm256_fnmadd_ps(c, s2[1], m2[1]));
    }
#pragma GCC unroll 8
    for (int c = 0; c < 8; c++) {
        const int add = f->has_min || f->offset == WIDE ? 0 : f->per_32 ? C_32 : C_16;
        put(g->u[r] + 32 * c, _mm256_add_epi8(f->bytes(b, c), _mm256_set1_epi8((char)add)));
    }
}

/* The first n_32 records of the stage. */
INLINE TARGET_AVX2 uint8_t *interleave(uint8_t *to, const struct stage *g, const struct unpack *f,
                                       int64_t n_32)
{
    _Alignas(32) float s[16][ROWS], m[16][ROWS]; /* scales of f->per_32 lie in the first 8 */
    kit_avx2.transpose(s[0], ROWS, g->s[0], 16, ROWS, 16);
    if (f->has_min) kit_avx2.transpose(m[0], ROWS, g->m[0], 16, ROWS, 16);
    const size_t each = (f->per_32 ? 1 : 2) * sizeof s[0];
    for (int64_t c = 0; c < n_32; c++) {
        kit_avx2.transpose((float *)(void *)to, ROWS,
                           (const float *)(const void *)(g->u[0] + 32 * c), ACT / 4, ROWS, 8);
        to += Q;
        memcpy(to, s[f->per_32 ? c : 2 * c], each);
        to += each;
        if (!f->has_min) continue;
        memcpy(to, m[2 * c], each);
        to += each;
    }
    return to;
}

INLINE TARGET_AVX2 void unpack_panel(uint8_t *panel, const struct unpack *f, const struct strip *s,
                                     int64_t row, int64_t i, int64_t n)
{
    struct stage g;
    const int64_t n_rows = min_i64(ROWS, s->row + s->n_rows - row);
    uint8_t rows[ROWS][ACT_BYTES_MAX]; /* of groups, as plain ones */
    if (n_rows < ROWS) memset(&g, 0, sizeof g);
    for (int64_t end = i + n; i < end; i += ACT) {
        const int64_t n_here = min_i64(ACT, end - i);
        if (s->w->is_interleaved)
            interleave_read(rows[0], sizeof rows[0], s->w, row, n_rows, i / f->block_elems,
                            n_here / f->block_elems);
        for (int64_t r = 0; r < n_rows; r++) {
            const uint8_t *src = s->w->is_interleaved ? rows[r]
                                                      : (const uint8_t *)tensor_row(s->w, row + r) +
                                                            i / ACT * f->act_bytes;
            unpack_row(&g, (int)r, f, src, n_here);
        }
        panel = interleave(panel, &g, f, n_here / 32);
    }
}

#define UNPACK_PANEL(id, name)                                                                     \
    TARGET_AVX2 static void panel_##name(uint8_t *panel, const struct strip *s, int64_t row,       \
                                         int64_t i, int64_t n)                                     \
    {                                                                                              \
        unpack_panel(panel, &unpack_##name, s, row, i, n);                                         \
    }
EACH_QUANT(UNPACK_PANEL)

/* ---- products ----------------------------------------------------------------------------- */

/* Four bytes at p in each lane of 32 bits. */
INLINE TARGET_AVX2 __m256i four(const void *p)
{
    int32_t v = 0;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* v, and no regrouping of the additions that made it: gcc would make all products of a block first,
 * add them in pairs, and keep them in memory until then. */
INLINE TARGET_AVX2 __m256i now(__m256i v)
{
    __asm__("" : "+x"(v));
    return v;
}

/* sum += groups [begin, end) of 16 rows times four tokens: lanes of 16 bits. */
INLINE TARGET_AVX2 void add_products(__m256i sum[TOKS][2], const uint8_t *w,
                                     const struct act_tile *x, const int begin, const int end)
{
#pragma GCC unroll 8
    for (int g = begin; g < end; g++) {
        const __m256i w0 = get(w + 64 * g), w1 = get(w + 64 * g + 32);
#pragma GCC unroll 4
        for (int j = 0; j < TOKS; j++) {
            const __m256i a = four(x->q[g][j]);
            sum[j][0] = now(_mm256_add_epi16(sum[j][0], _mm256_maddubs_epi16(w0, a)));
            sum[j][1] = now(_mm256_add_epi16(sum[j][1], _mm256_maddubs_epi16(w1, a)));
        }
    }
}

/* The sum of both lanes of a row. */
INLINE TARGET_AVX2 __m256 both_lanes(__m256i sum)
{
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
}

/* The same with signed weights of 8 bits: lanes of 32 bits. */
INLINE TARGET_AVX2 void add_wide(__m256i sum[TOKS][2], const uint8_t *w, const struct act_tile *x)
{
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        const __m256i w0 = get(w + 64 * g), w1 = get(w + 64 * g + 32);
        const __m256i u0 = _mm256_abs_epi8(w0), u1 = _mm256_abs_epi8(w1);
#pragma GCC unroll 4
        for (int j = 0; j < TOKS; j++) {
            const __m256i a = four(x->q[g][j]);
            const __m256i p0 = _mm256_maddubs_epi16(u0, _mm256_sign_epi8(a, w0));
            const __m256i p1 = _mm256_maddubs_epi16(u1, _mm256_sign_epi8(a, w1));
            sum[j][0] = now(_mm256_add_epi32(sum[j][0], _mm256_madd_epi16(p0, ones)));
            sum[j][1] = now(_mm256_add_epi32(sum[j][1], _mm256_madd_epi16(p1, ones)));
        }
    }
}

INLINE TARGET_AVX2 void step_wide(__m256 acc[TOKS][2], const uint8_t *w, const struct act_tile *x)
{
    __m256i sum[TOKS][2];
#pragma GCC unroll 4
    for (int j = 0; j < TOKS; j++) sum[j][0] = sum[j][1] = _mm256_setzero_si256();
    add_wide(sum, w, x);
    const float *s = (const float *)(const void *)(w + Q);
#pragma GCC unroll 4
    for (int j = 0; j < TOKS; j++) {
        const __m256 d = _mm256_broadcast_ss(&x->d[j]);
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            const __m256 f =
                _mm256_mul_ps(_mm256_cvtepi32_ps(sum[j][i]), _mm256_loadu_ps(s + 8 * i));
            acc[j][i] = _mm256_fmadd_ps(f, d, acc[j][i]);
        }
    }
}

/* acc += a record's 32 weights with one scale a row. */
INLINE TARGET_AVX2 void step_32(__m256 acc[TOKS][2], const uint8_t *w, const struct act_tile *x,
                                const bool has_min)
{
    __m256i sum[TOKS][2];
#pragma GCC unroll 4
    for (int j = 0; j < TOKS; j++) sum[j][0] = sum[j][1] = four(x->from_32[j]);
    add_products(sum, w, x, 0, 8);
    const float *s = (const float *)(const void *)(w + Q), *m = s + ROWS;
#pragma GCC unroll 4
    for (int j = 0; j < TOKS; j++) {
        const __m256 d = _mm256_broadcast_ss(&x->d[j]);
        const __m256 total = _mm256_broadcast_ss(&x->sum_32[j]);
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            const __m256 f = _mm256_mul_ps(both_lanes(sum[j][i]), _mm256_loadu_ps(s + 8 * i));
            acc[j][i] = _mm256_fmadd_ps(f, d, acc[j][i]);
            if (has_min) acc[j][i] = _mm256_fnmadd_ps(_mm256_loadu_ps(m + 8 * i), total, acc[j][i]);
        }
    }
}

/* The same with a scale for each 16. */
INLINE TARGET_AVX2 void step_16(__m256 acc[TOKS][2], const uint8_t *w, const struct act_tile *x,
                                const bool has_min)
{
    const float *s = (const float *)(const void *)(w + Q), *m = s + 2 * ROWS;
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++, s += ROWS, m += ROWS) {
        __m256i sum[TOKS][2];
#pragma GCC unroll 4
        for (int j = 0; j < TOKS; j++) sum[j][0] = sum[j][1] = four(x->from_16[h][j]);
        add_products(sum, w, x, 4 * h, 4 * h + 4);
#pragma GCC unroll 4
        for (int j = 0; j < TOKS; j++) {
            const __m256 d = _mm256_broadcast_ss(&x->d[j]);
            const __m256 total = _mm256_broadcast_ss(&x->sum_16[h][j]);
#pragma GCC unroll 2
            for (int i = 0; i < 2; i++) {
                const __m256 f = _mm256_mul_ps(both_lanes(sum[j][i]), _mm256_loadu_ps(s + 8 * i));
                acc[j][i] = _mm256_fmadd_ps(f, d, acc[j][i]);
                if (has_min)
                    acc[j][i] = _mm256_fnmadd_ps(_mm256_loadu_ps(m + 8 * i), total, acc[j][i]);
            }
        }
    }
}

/* Where results of 16 rows go. */
struct dest {
    float *y; /* of the first token */
    int64_t ld_y, n_tok;
    int64_t n_rows;
    const float *bias; /* ROWS of them, or NULL */
    bool is_added;
};

/* Results of one token; the last panel may have fewer rows. */
INLINE TARGET_AVX2 void put_rows(const struct dest *to, float *y, const __m256 acc[2])
{
    _Alignas(32) float part[ROWS] = {0};
    float *at = to->n_rows < ROWS ? part : y;
    if (at == part && to->is_added) memcpy(part, y, (size_t)to->n_rows * sizeof *y);
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        __m256 v = acc[i];
        if (to->bias) v = _mm256_add_ps(v, _mm256_loadu_ps(to->bias + 8 * i));
        if (to->is_added) v = _mm256_add_ps(_mm256_loadu_ps(at + 8 * i), v);
        _mm256_storeu_ps(at + 8 * i, v);
    }
    if (at == part) memcpy(y, part, (size_t)to->n_rows * sizeof *y);
}

/* n_32 records of a panel times TOKS tokens. */
INLINE TARGET_AVX2 void multiply(const struct dest *to, const uint8_t *w, const struct act_tile *x,
                                 int64_t n_32, const bool has_min, const bool per_32,
                                 const bool is_wide)
{
    __m256 acc[TOKS][2];
#pragma GCC unroll 4
    for (int j = 0; j < TOKS; j++) acc[j][0] = acc[j][1] = _mm256_setzero_ps();
    for (int64_t b = 0; b < n_32; b++, x++, w += record_bytes(has_min, per_32)) {
        if (is_wide)
            step_wide(acc, w, x);
        else if (per_32)
            step_32(acc, w, x, has_min);
        else
            step_16(acc, w, x, has_min);
    }
#pragma GCC unroll 4
    for (int j = 0; j < TOKS; j++)
        if (j < to->n_tok) put_rows(to, to->y + j * to->ld_y, acc[j]);
}

typedef void multiply_fn(const struct dest *to, const uint8_t *w, const struct act_tile *x,
                         int64_t n_32);

#define MULTIPLY(name, has_min, per_32, is_wide)                                                   \
    TARGET_AVX2 static void multiply_##name(const struct dest *to, const uint8_t *w,               \
                                            const struct act_tile *x, int64_t n_32)                \
    {                                                                                              \
        multiply(to, w, x, n_32, has_min, per_32, is_wide);                                        \
    }
MULTIPLY(32, false, true, false)
MULTIPLY(32_min, true, true, false)
MULTIPLY(16, false, false, false)
MULTIPLY(16_min, true, false, false)
MULTIPLY(wide, false, true, true)

/* The tile from its token t on: four bytes a token in each of its arrays. */
static const struct act_tile *from_token(const struct act_tile *x, int64_t t)
{
    return (const struct act_tile *)(const void *)((const uint8_t *)x + 4 * t);
}

static multiply_fn *product_of(const struct unpack *f)
{
    if (f->offset == WIDE) return multiply_wide;
    if (f->per_32) return f->has_min ? multiply_32_min : multiply_32;
    return f->has_min ? multiply_16_min : multiply_16;
}

#define TYPE_ENTRY(id, name) [id] = {&unpack_##name, panel_##name},
static const struct {
    const struct unpack *format;
    unpack_panel_fn *unpack;
} types[DT_COUNT] = {EACH_QUANT(TYPE_ENTRY)};

/* Elements [i, i + n) of a strip times all tokens. Tokens outside: theirs stay in L1 while the
 * panels stream from L2. */
static void part_of_k(const struct strip *s, int64_t i, int64_t n)
{
    const struct unpack *f = types[s->w->dtype].format;
    multiply_fn *product = product_of(f);
    const struct linear_out *out = s->out;
    const int64_t panel_bytes = n / 32 * record_bytes(f->has_min, f->per_32);
    const struct act_tile *x = (const struct act_tile *)(const void *)s->xq;
    uint8_t *panel = s->panel;
    float bias[STRIP] = {0}; /* whole panels of it */
    if (out->bias && i == 0) memcpy(bias, out->bias + s->row, (size_t)s->n_rows * sizeof *bias);
    for (int64_t r = 0; r < s->n_rows; r += ROWS)
        types[s->w->dtype].unpack(panel + r / ROWS * panel_bytes, s, s->row + r, i, n);
    for (int64_t t = 0; t < s->n_tok; t += TOKS) {
        const struct act_tile *tile = x + (t / ACT_TOK * s->k_pad + i) / 32;
        for (int64_t r = 0; r < s->n_rows; r += ROWS)
            product(&(struct dest){.y = out->y + t * out->ld_y + s->row + r,
                                   .ld_y = out->ld_y,
                                   .n_tok = s->n_tok - t,
                                   .n_rows = min_i64(ROWS, s->n_rows - r),
                                   .bias = out->bias && i == 0 ? bias + r : NULL,
                                   .is_added = out->is_added || i > 0},
                    panel + r / ROWS * panel_bytes, from_token(tile, t % ACT_TOK), n / 32);
    }
}

void strip_int8_avx2(const struct strip *s)
{
    const int64_t n_parts = (s->k + K_LONG - 1) / K_LONG;
    const int64_t part = round_up((s->k + n_parts - 1) / n_parts, ACT);
    for (int64_t i = 0; i < s->k; i += part) part_of_k(s, i, min_i64(part, s->k - i));
}

#define FORM_ENTRY(id, name) [id] = FORM_INT8,
const uint8_t form_table_int8[DT_COUNT] = {
    [DT_F32] = FORM_F32, [DT_F16] = FORM_F32, [DT_BF16] = FORM_F32, EACH_QUANT(FORM_ENTRY)};
#endif
