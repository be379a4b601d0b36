/* cpu.h - what the kernel files of this folder share: the variants' building blocks.
 *
 * A variant of the operator table (ops.h) is a set of public operators over one `struct cpu_kit`:
 * the handful of inner loops that are worth writing per instruction set. Operators that only need
 * wide arithmetic are written once (rows.h), in functions that are inlined into one wrapper per
 * instruction set, where the compiler gives them vectors of the width at hand; the order of their
 * sums is fixed, so they have the same bits in every variant.
 *
 * Private to tensor/cpu/. All tables are constant; any thread.
 */
#ifndef CRIA_TENSOR_CPU_CPU_H
#define CRIA_TENSOR_CPU_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/ops.h"

#if defined(__x86_64__)
#define CRIA_X86 1
#else
#define CRIA_X86 0
#endif
#if defined(__aarch64__)
#define CRIA_ARM 1
#else
#define CRIA_ARM 0
#endif

#define TARGET(features) __attribute__((target(features)))
#define TARGET_AVX2 TARGET("avx2,fma,f16c")
#define TARGET_AVX512 TARGET("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")
#define TARGET_BF16 TARGET("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")
#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16 }; /* columns of a block in the layout that gemm() multiplies by */

static inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/* C[m][16 n_blocks] (= or +=) A[m][k] B, B in blocks of 16 columns: element (i, 16 j + l) at
 * b[j * ldb_block + i * ldb_row + l], and likewise in C. Each element is one sum over k from 0 up,
 * whatever m and n_blocks are. No alignment is asked for, but 64 bytes for b is faster. */
struct gemm_args {
    float *c;
    int64_t ldc_block, ldc_row;
    const float *a;
    int64_t lda;
    const float *b;
    int64_t ldb_block, ldb_row;
    int64_t m, n_blocks, k;
    bool is_added;
};

/* The inner loops of one instruction set. */
struct cpu_kit {
    void (*gemm)(const struct gemm_args *g);
    /* dst[c * ld_dst + r] = src[r * ld_src + c]. */
    void (*transpose)(float *dst, int64_t ld_dst, const float *src, int64_t ld_src, int64_t rows,
                      int64_t cols);
    /* n elements of a row of any type to float; n a multiple of the type's block. */
    void (*decode)(enum dtype t, float *dst, const void *src, int64_t n);
    /* The same backwards for the types of a cache (F32, F16, BF16, Q8_0). */
    void (*encode)(enum dtype t, void *dst, const float *src, int64_t n);
};

extern const struct cpu_kit kit_generic;
#if CRIA_X86
extern const struct cpu_kit kit_avx2, kit_avx512;
#endif
#if CRIA_ARM
extern const struct cpu_kit kit_neon;
#endif

/* The operators by family and variant; cpu.c's table joins them. */
typedef void embed_fn(const struct member *, float *, int64_t, const struct tensor *,
                      const int32_t *, int64_t);
typedef void rmsnorm_fn(const struct member *, float *, int64_t, const float *, int64_t,
                        const float *, int64_t, int64_t, float);
typedef void swiglu_fn(const struct member *, float *, int64_t, const float *, const float *,
                       int64_t, int64_t, int64_t);
typedef void linear_fn(const struct member *, const struct linear_args *);
typedef void rope_store_fn(const struct member *, const struct rope_args *);
typedef void attention_fn(const struct member *, const struct attention_args *);
typedef size_t attention_bytes_fn(int64_t, int32_t, int32_t, int32_t, int);

embed_fn embed_generic;
rmsnorm_fn rmsnorm_generic;
swiglu_fn swiglu_generic;
linear_fn linear_generic;
rope_store_fn rope_store_generic;
attention_fn attention_generic;
attention_bytes_fn attention_generic_bytes;
#if CRIA_X86
embed_fn embed_avx2, embed_avx512;
rmsnorm_fn rmsnorm_avx2, rmsnorm_avx512;
swiglu_fn swiglu_avx2, swiglu_avx512;
linear_fn linear_avx2, linear_avx512, linear_avx512bf16, linear_amx;
rope_store_fn rope_store_avx2, rope_store_avx512;
attention_fn attention_avx2, attention_avx512, attention_avx512bf16;
attention_bytes_fn attention_avx2_bytes, attention_avx512_bytes, attention_avx512bf16_bytes;
bool interleaves_avx2(enum dtype type), interleaves_vnni(enum dtype type);
#endif
#if CRIA_ARM
embed_fn embed_neon;
linear_fn linear_neon;
rope_store_fn rope_store_neon;
attention_fn attention_neon;
attention_bytes_fn attention_neon_bytes;
#endif

/* The same in every variant. */
void rope_table_make(const struct member *me, float *cos_sin, const int32_t *pos, int64_t n_tok,
                     const double *inv_freq, int32_t n_freq);
void gather_rows(const struct member *me, float *rows, int64_t n, const int32_t *kept,
                 int32_t n_kept);
void find_damage(const struct member *me, const float *x, int64_t n, uint32_t *damage);
size_t linear_work_bytes(int64_t n_tok, int64_t k, int n_threads);

#endif
