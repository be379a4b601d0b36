/* SPDX-License-Identifier: Apache-2.0
 *
 * peak.c - the limits of the machine: multiply-adds from registers, and bytes read from memory.
 *
 * Independent accumulators hide the latency of each unit. The instructions are written as assembly,
 * because GCC 12 moves accumulators of intrinsics between registers and stack and halves the
 * figure. Reading prefetches ahead, which a plain loop leaves to the hardware and loses a tenth by.
 *
 * Begin reading at peak_ops().
 */
#include "tensor/peak.h"

#include <string.h>

#include "base/os.h"
#include "tensor/cpu/cpu.h"

#if CRIA_X86
#include <immintrin.h>
#endif

enum { N_ROUNDS = 5, MAX_SINKS = 512 };

#if CRIA_X86
/* Sums side by side, so that no step waits for the last one of its sum: bfloat16 dot products take
 * 14 cycles on Zen 5. */
enum { N_ACC = 12, N_ACC_BF16 = 28 };

#define STEP(insn, acc, x) __asm__ volatile(insn " %1, %1, %0" : "+v"(acc) : "v"(x))

TARGET("avx2,fma") static float spin_avx2(int64_t n)
{
    __m256 a[N_ACC], x = _mm256_set1_ps(1e-9f);
#pragma GCC unroll 12
    for (int i = 0; i < N_ACC; i++) a[i] = _mm256_setzero_ps();
    for (int64_t k = 0; k < n; k++)
#pragma GCC unroll 12
        for (int i = 0; i < N_ACC; i++) STEP("vfmadd231ps", a[i], x);
    return _mm256_cvtss_f32(a[0]);
}

TARGET("avx512f") static float spin_avx512(int64_t n)
{
    __m512 a[N_ACC], x = _mm512_set1_ps(1e-9f);
#pragma GCC unroll 12
    for (int i = 0; i < N_ACC; i++) a[i] = _mm512_setzero_ps();
    for (int64_t k = 0; k < n; k++)
#pragma GCC unroll 12
        for (int i = 0; i < N_ACC; i++) STEP("vfmadd231ps", a[i], x);
    return _mm512_cvtss_f32(a[0]);
}

TARGET("avx512f,avx512bf16") static float spin_bf16(int64_t n)
{
    __m512 a[N_ACC_BF16];
    __m512i x = _mm512_set1_epi16(0x3080); /* about 1e-9 in bfloat16 */
#pragma GCC unroll 28
    for (int i = 0; i < N_ACC_BF16; i++) a[i] = _mm512_setzero_ps();
    for (int64_t k = 0; k < n; k++)
#pragma GCC unroll 28
        for (int i = 0; i < N_ACC_BF16; i++) STEP("vdpbf16ps", a[i], x);
    return _mm512_cvtss_f32(a[0]);
}

TARGET("avx512f,avx512vnni") static float spin_vnni(int64_t n)
{
    __m512i a[N_ACC], x = _mm512_set1_epi8(1);
#pragma GCC unroll 12
    for (int i = 0; i < N_ACC; i++) a[i] = _mm512_setzero_si512();
    for (int64_t k = 0; k < n; k++)
#pragma GCC unroll 12
        for (int i = 0; i < N_ACC; i++) STEP("vpdpbusd", a[i], x);
    return (float)_mm512_cvtsi512_si32(a[0]);
}

/* Four tiles of sums from two times two operands, as a kernel would hold them. */
TARGET("amx-tile,amx-bf16") static float spin_amx(int64_t n)
{
    _Alignas(64) uint8_t config[64] = {1};
    for (int i = 0; i < 8; i++) {
        config[16 + 2 * i] = 64; /* bytes of a row */
        config[48 + i] = 16;     /* rows */
    }
    __asm__ volatile("ldtilecfg (%0)" : : "r"(config) : "memory");
    __asm__ volatile("tilezero %%tmm0\n tilezero %%tmm1\n tilezero %%tmm2\n tilezero %%tmm3\n"
                     "tilezero %%tmm4\n tilezero %%tmm5\n tilezero %%tmm6\n tilezero %%tmm7" ::);
    for (int64_t k = 0; k < n; k++)
        __asm__ volatile("tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n tdpbf16ps %%tmm7, %%tmm4, %%tmm1\n"
                         "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n tdpbf16ps %%tmm7, %%tmm5, %%tmm3" ::);
    __asm__ volatile("tilerelease" ::);
    return 0;
}

TARGET("avx2") static uint32_t read_bytes(const uint8_t *p, size_t n)
{
    __m256i a = _mm256_setzero_si256(), b = a;
    for (size_t i = 0; i + 64 <= n; i += 64) {
        _mm_prefetch((const char *)p + i + 2048, _MM_HINT_T0);
        a = _mm256_xor_si256(a, _mm256_loadu_si256((const __m256i *)(const void *)(p + i)));
        b = _mm256_xor_si256(b, _mm256_loadu_si256((const __m256i *)(const void *)(p + i + 32)));
    }
    return (uint32_t)_mm256_extract_epi32(_mm256_xor_si256(a, b), 0);
}
#else
static uint32_t read_bytes(const uint8_t *p, size_t n)
{
    uint64_t s = 0, v = 0;
    for (size_t i = 0; i + 8 <= n; i += 8) {
        memcpy(&v, p + i, 8);
        s ^= v;
    }
    return (uint32_t)s;
}
#endif

#if !CRIA_X86
static float spin_plain(int64_t n)
{
    float a[32] = {0};
    for (int64_t k = 0; k < n; k++)
        for (int i = 0; i < 32; i++) a[i] = a[i] * 0.5f + 1.0f;
    return a[0] + a[31];
}
#endif

#if CRIA_X86
enum { F32_AVX2, F32_AVX512, BF16_AVX512, INT8_AVX512, BF16_AMX };
#else
enum { F32_PLAIN };
#endif

/* clang-format off */
const struct peak_unit peak_units[] = {
#if CRIA_X86
    [F32_AVX2]    = {"f32 multiply-add, AVX2",    "avx2",       N_ACC * 8 * 2,        spin_avx2},
    [F32_AVX512]  = {"f32 multiply-add, AVX-512", "avx512",     N_ACC * 16 * 2,       spin_avx512},
    [BF16_AVX512] = {"bf16 dot product, AVX-512", "avx512bf16", N_ACC_BF16 * 32 * 2,  spin_bf16},
    [INT8_AVX512] = {"int8 dot product, AVX-512", "avx512bf16", N_ACC * 64 * 2,       spin_vnni},
    [BF16_AMX]    = {"bf16 tiles, AMX",           "amx",        4 * 16 * 16 * 32 * 2, spin_amx},
#else
    [F32_PLAIN]   = {"f32 multiply-add, plain C", "generic",    32 * 2,               spin_plain},
#endif
    {NULL, NULL, 0, NULL},
};

/* Which unit a kernel set's products of many tokens run on, by weights: `form` of its linear_kit.
 * Sets that are not named (plain C, NEON) are held against the least that the machine has. */
static const struct {
    const char *variant;
    int floats, bf16, quantized; /* rows of peak_units */
} uses[] = {
#if CRIA_X86
    {"avx512",     F32_AVX512, F32_AVX512,  F32_AVX512},
    {"avx512bf16", F32_AVX512, BF16_AVX512, INT8_AVX512},
    {"amx",        BF16_AMX,   BF16_AMX,    BF16_AMX},
#endif
    {NULL,         0,          0,           0},
};
/* clang-format on */

bool peak_has(const struct peak_unit *u)
{
    for (int i = 0; i < ops_n_variants(); i++)
        if (strcmp(ops_variant(i)->name, u->variant) == 0) return true;
    return false;
}

const struct peak_unit *peak_unit_of(const char *variant, enum dtype t)
{
    size_t i = 0;
    while (uses[i].variant && strcmp(uses[i].variant, variant) != 0) i++;
    return &peak_units[dtype_info(t)->is_quantized ? uses[i].quantized
                       : t == DT_BF16              ? uses[i].bf16
                                                   : uses[i].floats];
}

struct probe {
    const struct peak_unit *unit; /* NULL: read */
    const uint8_t *memory;
    size_t n_bytes;
    int64_t n;
    float sink[MAX_SINKS]; /* results, so that no loop is dropped */
};

static void probe_member(const struct member *me, void *arg)
{
    struct probe *p = arg;
    float *sink = &p->sink[me->i % MAX_SINKS];
    if (p->unit) {
        *sink = p->unit->spin(p->n);
        return;
    }
    const size_t share = p->n_bytes / (size_t)me->n;
    *sink = (float)read_bytes(p->memory + share * (size_t)me->i, share);
}

static double best_seconds(struct team *team, struct probe *p)
{
    double best = 1e9;
    for (int i = 0; i < N_ROUNDS; i++) {
        const int64_t begin = clock_ns();
        team_run(team, probe_member, p);
        const double s = (double)(clock_ns() - begin) * 1e-9;
        if (s < best) best = s;
    }
    return best;
}

double peak_ops(struct team *team, const struct peak_unit *u)
{
    struct probe p = {.unit = u, .n = 1000};
    double s = best_seconds(team, &p);
    for (; s < 0.01; s = best_seconds(team, &p)) p.n *= 4; /* long beside the wake-up of the team */
    return u->ops_per_turn * (double)p.n * team_size(team) / s;
}

double peak_read(struct team *team, const void *memory, size_t n_bytes)
{
    struct probe p = {.memory = memory, .n_bytes = n_bytes};
    return (double)n_bytes / best_seconds(team, &p);
}
