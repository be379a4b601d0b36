/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_kernels.c - times every operator and variant against what the machine can do.
 *
 *     bench_kernels [-t THREADS] [-v VARIANT] [-o decode|prefill|attention|rows] [-w TYPE]
 *                   [-n TOKENS] [-k WIDTH] [-r ROWS]
 *
 * -n, -k and -r are the size of the prefill product, 512 x 2048 x 2048 without.
 * Prints for each: time, GFLOP/s, GB/s of weights (or cache), the fraction of the measured limit
 * that binds it (reading memory for decode; the unit that the type's products run on for prefill),
 * and how many times faster than plain C. Limits are measured here, at the start, with the same
 * number of threads; frequencies and neighbours move, so compare within one run. Matrices
 * are many and different below 128 tokens, so that each read comes from memory.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "ops_case.h"
#include "reference.h"
#include "tensor/peak.h"

enum { DECODE_BYTES = 400 << 20 };

struct limits {
    double read;    /* bytes per second */
    double ops[16]; /* per second, of peak_units; 0: not on this machine */
};

struct options {
    int n_threads;
    const char *variant, *what, *type;
    int n_tok, k, rows; /* of prefill */
};

static struct limits measure(struct team *team, const uint8_t *memory, size_t n_bytes)
{
    struct limits l = {.read = peak_read(team, memory, n_bytes)};
    printf("limits, %d threads: reading memory %.1f GB/s\n", team_size(team), l.read * 1e-9);
    for (size_t i = 0; peak_units[i].name; i++) {
        if (!peak_has(&peak_units[i])) continue;
        l.ops[i] = peak_ops(team, &peak_units[i]);
        printf("limits: %s %.0f GFLOP/s\n", peak_units[i].name, l.ops[i] * 1e-9);
    }
    return l;
}

/* ---- cases -------------------------------------------------------------------------------- */

static bool is_wanted(const struct options *o, const char *variant, const char *what,
                      const char *type)
{
    return (!o->variant || strcmp(o->variant, variant) == 0) &&
           (!o->what || strcmp(o->what, what) == 0) && (!o->type || strcmp(o->type, type) == 0);
}

static double seconds_of_linear(struct team *team, const struct ops *ops, struct linear_args *a,
                                const struct tensor *w, int n_w, int n_runs)
{
    double best = 1e9;
    for (int run = 0; run < n_runs; run++) {
        const int64_t from = clock_ns();
        struct linear_out out = a->out[0];
        a->out = &out;
        for (int i = 0; i < n_w; i++) {
            out.w = &w[i];
            run_linear(team, ops, a);
        }
        const double s = (double)(clock_ns() - from) * 1e-9 / n_w;
        if (s < best) best = s;
    }
    return best;
}

static double limit_of(const char *variant, enum dtype t, const struct limits *l)
{
    return l->ops[peak_unit_of(variant, t) - peak_units];
}

static void bench_linear(struct team *team, const struct options *o, const struct limits *l,
                         int64_t n_tok, int64_t k, int64_t rows, uint8_t *memory)
{
    const char *what = n_tok < 8 ? "decode" : "prefill";
    float *x = os_big_alloc((size_t)(n_tok * k) * 4), *y = os_big_alloc((size_t)(n_tok * rows) * 4);
    uint64_t seed = 1;
    random_floats(x, n_tok * k, 1, &seed);
    for (int t = 0; t < DT_COUNT; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        const size_t row_bytes =
            (size_t)(k / ref_block_elems((enum dtype)t) * ref_block_bytes((enum dtype)t));
        const size_t bytes = row_bytes * (size_t)rows;
        struct tensor w[64];
        int n_w = n_tok < 128 ? (int)(DECODE_BYTES / bytes) : 1;
        if (n_w > 64) n_w = 64;
        bool is_filled = false;
        double plain = 0;
        for (int v = 0; v < ops_n_variants(); v++) {
            const struct ops *ops = ops_variant(v);
            if (!is_wanted(o, ops->name, what, info->name)) continue;
            if (v == 0 && !o->variant && n_tok > 8 && t > 3 && !o->type) continue; /* slow */
            for (int i = 0; i < n_w; i++) {
                w[i] = (struct tensor){.dtype = (enum dtype)t,
                                       .n_dims = 2,
                                       .shape = {rows, k, 1, 1},
                                       .row_bytes = row_bytes,
                                       .data = memory + (size_t)i * bytes};
                for (int64_t r = 0; !is_filled && r < rows; r++) {
                    if (r < 16 && i == 0)
                        ref_random_row((enum dtype)t, memory + (size_t)r * row_bytes, k, 1, &seed);
                    else
                        memcpy(memory + (size_t)i * bytes + (size_t)r * row_bytes,
                               memory + (size_t)(r % 16) * row_bytes, row_bytes);
                }
            }
            is_filled = true;
            const size_t work_bytes = ops->work_bytes(n_tok, k, team_size(team));
            void *work = os_big_alloc(work_bytes);
            const struct linear_out out = {.w = w, .y = y, .ld_y = rows};
            struct linear_args a = {.in = LINEAR_IN_PLAIN,
                                    .x = x,
                                    .ld_x = k,
                                    .n_tok = n_tok,
                                    .k = k,
                                    .out = &out,
                                    .n_out = 1,
                                    .work = work};
            const double s =
                seconds_of_linear(team, ops, &a, w, v == 0 && n_w > 1 ? 1 : n_w, v == 0 ? 2 : 7);
            if (v == 0) plain = s;
            const double flops = 2.0 * (double)(n_tok * k * rows) / s, rate = (double)bytes / s;
            const double frac =
                n_tok < 8 ? rate / l->read : flops / limit_of(ops->name, (enum dtype)t, l);
            printf(
                "%-8s %3d x %5d x %5d  %-7s %-11s %9.3f ms %8.1f GFLOP/s %7.1f GB/s  %5.1f %% of "
                "%s",
                what, (int)n_tok, (int)k, (int)rows, info->name, ops->name, s * 1e3, flops * 1e-9,
                rate * 1e-9, 100 * frac, n_tok < 8 ? "read" : "peak");
            if (plain > 0) printf("  %6.1f x plain", plain / s);
            printf("\n");
            fflush(stdout);
            os_big_free(work, work_bytes);
        }
    }
    os_big_free(x, (size_t)(n_tok * k) * 4);
    os_big_free(y, (size_t)(n_tok * rows) * 4);
}

/* n_tok tokens of one sequence from pos on; or, if n_seqs > 1, so many single tokens at pos whose
 * sequences have all but their last page in common. */
static void bench_attention(struct team *team, const struct options *o, const struct limits *l,
                            int32_t n_tok, int32_t pos, int32_t n_seqs, uint8_t *memory)
{
    enum { HEADS = 32, KV = 8, D = 64, PAGE = 32, SEQS = 16, PAGES = 512 };
    static const enum dtype types[] = {DT_F32, DT_F16, DT_BF16, DT_Q8_0};
    static int32_t pages[SEQS][PAGES];
    struct span span[SEQS];
    const int32_t last = (pos + n_tok - 1) / PAGE;
    for (int32_t s = 0; s < n_seqs; s++) {
        for (int32_t i = 0; i < PAGES; i++) pages[s][i] = i < last ? i : i + s;
        span[s] = (struct span){s, n_tok, pos, pages[s]};
    }
    n_tok *= n_seqs;
    const int64_t ld = HEADS * D;
    float *q = os_big_alloc((size_t)(n_tok * ld) * 4), *y = os_big_alloc((size_t)(n_tok * ld) * 4);
    uint64_t seed = 1;
    random_floats(q, n_tok * ld, 1, &seed);
    for (size_t t = 0; t < 4; t++) {
        const struct dtype_info *info = dtype_info(types[t]);
        struct kv_layer kv = {.dtype = types[t], .page_tok = PAGE, .n_kv_heads = KV, .d_head = D};
        kv.row_bytes = (size_t)(D / ref_block_elems(types[t]) * ref_block_bytes(types[t]));
        kv.head_stride = kv.row_bytes * PAGE;
        kv.page_stride = kv.head_stride * KV;
        const size_t bytes = (size_t)(last + n_seqs) * kv.page_stride;
        kv.k = memory;
        kv.v = memory + bytes;
        for (size_t r = 0; r < 2 * bytes / kv.row_bytes; r++)
            ref_random_row(types[t], memory + r * kv.row_bytes, D, 1, &seed);
        double plain = 0;
        for (int v = 0; v < ops_n_variants(); v++) {
            const struct ops *ops = ops_variant(v);
            if (!is_wanted(o, ops->name, "attention", info->name)) continue;
            const size_t work_bytes =
                ops->attention_work_bytes(n_tok, HEADS, D, pos + n_tok, team_size(team));
            void *work = os_big_alloc(work_bytes);
            const struct attention_args a = {.y = y,
                                             .q = q,
                                             .ld_y = ld,
                                             .ld_q = ld,
                                             .n_heads = HEADS,
                                             .scale = 0.125f,
                                             .span = span,
                                             .n_spans = n_seqs,
                                             .n_tok = n_tok,
                                             .kv = &kv,
                                             .work = work};
            double best = 1e9;
            for (int run = 0; run < 6; run++) {
                const int64_t from = clock_ns();
                run_attention(team, ops, &a);
                const double s = (double)(clock_ns() - from) * 1e-9;
                if (s < best) best = s;
            }
            if (v == 0) plain = best;
            const double keys = (double)n_tok * (pos + 0.5 * n_tok / n_seqs + 0.5);
            const double flops = 4.0 * keys * D * HEADS / best;
            printf(
                "attention %3d at %5d, 32/8 heads of 64  %-7s %-11s %9.3f ms %8.1f GFLOP/s %5.1f "
                "%% of peak %6.1f GB/s of cache",
                n_tok, pos, info->name, ops->name, best * 1e3, flops * 1e-9,
                100 * flops / limit_of(ops->name, DT_F32, l), 2 * (double)bytes / best * 1e-9);
            if (plain > 0) printf("  %6.1f x plain", plain / best);
            printf("\n");
            os_big_free(work, work_bytes);
        }
    }
    os_big_free(q, (size_t)(n_tok * ld) * 4);
    os_big_free(y, (size_t)(n_tok * ld) * 4);
}

struct rows_call {
    const struct ops *ops;
    float *y, *x, *u;
    int which;
};

static void rows_member(const struct member *me, void *arg)
{
    const struct rows_call *c = arg;
    if (c->which)
        c->ops->swiglu(me, c->y, 8192, c->x, c->u, 8192, 128, 8192);
    else
        c->ops->rmsnorm(me, c->y, 8192, c->x, 8192, c->u, 128, 8192, 1e-5f);
}

static void bench_rows(struct team *team, const struct options *o, uint8_t *memory)
{
    float *m = (float *)(void *)memory;
    const int64_t n = 128 * 8192;
    uint64_t seed = 1;
    random_floats(m, 3 * n, 1, &seed);
    for (int which = 0; which < 2; which++)
        for (int v = 0; v < ops_n_variants(); v++) {
            struct rows_call c = {ops_variant(v), m, m + n, m + 2 * n, which};
            if (!is_wanted(o, c.ops->name, "rows", "f32")) continue;
            double best = 1e9;
            for (int run = 0; run < 20; run++) {
                const int64_t from = clock_ns();
                team_run(team, rows_member, &c);
                const double s = (double)(clock_ns() - from) * 1e-9;
                if (s < best) best = s;
            }
            printf("%-8s 128 x 8192  %-11s %9.3f ms  %6.2f G elements/s\n",
                   which ? "swiglu" : "rmsnorm", c.ops->name, best * 1e3, (double)n / best * 1e-9);
        }
}

int main(int argc, char **argv)
{
    struct options o = {.n_threads = os_cores(), .n_tok = 512, .k = 2048, .rows = 2048};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "-t") == 0) o.n_threads = atoi(argv[i + 1]);
        if (strcmp(argv[i], "-v") == 0) o.variant = argv[i + 1];
        if (strcmp(argv[i], "-o") == 0) o.what = argv[i + 1];
        if (strcmp(argv[i], "-w") == 0) o.type = argv[i + 1];
        if (strcmp(argv[i], "-n") == 0) o.n_tok = atoi(argv[i + 1]);
        if (strcmp(argv[i], "-k") == 0) o.k = atoi(argv[i + 1]);
        if (strcmp(argv[i], "-r") == 0) o.rows = atoi(argv[i + 1]);
    }
    struct err err = {0};
    struct team *team = team_new(o.n_threads, &err);
    uint8_t *memory = os_big_alloc(DECODE_BYTES);
    if (!team || !memory) {
        fprintf(stderr, "%s\n", team ? "no memory" : err.text);
        return 1;
    }
    memset(memory, 1, DECODE_BYTES);
    const struct limits l = measure(team, memory, DECODE_BYTES);
    if (!o.what || strcmp(o.what, "decode") == 0) {
        bench_linear(team, &o, &l, 1, 2048, 8192, memory);
        bench_linear(team, &o, &l, 4, 2048, 8192, memory);
    }
    if (!o.what || strcmp(o.what, "prefill") == 0)
        bench_linear(team, &o, &l, o.n_tok, o.k, o.rows, memory);
    if (!o.what || strcmp(o.what, "attention") == 0) {
        bench_attention(team, &o, &l, 1, 8191, 1, memory);
        bench_attention(team, &o, &l, 1, 2111, 16, memory);
        bench_attention(team, &o, &l, 256, 1024, 1, memory);
    }
    if (!o.what || strcmp(o.what, "rows") == 0) bench_rows(team, &o, memory);
    os_big_free(memory, DECODE_BYTES);
    team_free(team);
    return 0;
}
