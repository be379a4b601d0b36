/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu.c - which instruction sets this machine has, and the table of operator variants.
 *
 * A variant needs all its features in CPUID and the registers they use enabled by the operating
 * system (XCR0); tiles need besides a permission that Linux gives a process on request (their 8 KiB
 * per thread are saved on every switch, so it asks that they be wanted). The names are few on
 * purpose: each stands for a generation of machines on which its kernels were measured.
 *
 *   generic      plain C, any machine
 *   avx2         x86-64 with AVX2, FMA and F16C: Haswell, Zen
 *   avx512       AVX-512 F, BW, DQ, VL: Skylake-X
 *   avx512bf16   and VNNI, BF16: Cooper Lake, Zen 4 and later
 *   amx          and tiles of bfloat16: Sapphire Rapids and later
 *   neon         64-bit ARM
 *
 * Nothing is kept: detection costs a microsecond (some tens in a virtual machine) and runs when a
 * variant is asked for.
 */
#include <string.h>

#include "base/checked.h"
#include "base/table.h"
#include "tensor/cpu/cpu.h"
#include "tensor/cpu/interleave.h"
#include "tensor/cuda/cuda.h"

#if CRIA_X86
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Each level contains the ones before it. */
enum level { LEVEL_GENERIC, LEVEL_AVX2, LEVEL_AVX512, LEVEL_BF16, LEVEL_AMX, LEVEL_NEON };

/* clang-format off */
static const struct ops variants[] = {
#define SAME(linear_, attention_) \
    .linear = linear_, .work_bytes = linear_work_bytes, .rope_table = rope_table_make, \
    .attention = attention_, .attention_work_bytes = attention_##_bytes, \
    .gather = gather_rows, .find_damage = find_damage
    {.name = "generic", .embed = embed_generic, .rmsnorm = rmsnorm_generic, .swiglu = swiglu_generic,
     .rope_store = rope_store_generic, SAME(linear_generic, attention_generic)},
#if CRIA_X86
    {.name = "avx2", .embed = embed_avx2, .rmsnorm = rmsnorm_avx2, .swiglu = swiglu_avx2,
     .rope_store = rope_store_avx2, .interleaves = interleaves_avx2,
     .interleave = interleave_tensor, SAME(linear_avx2, attention_avx2)},
    {.name = "avx512", .embed = embed_avx512, .rmsnorm = rmsnorm_avx512, .swiglu = swiglu_avx512,
     .rope_store = rope_store_avx512, SAME(linear_avx512, attention_avx512)},
    {.name = "avx512bf16", .embed = embed_avx512, .rmsnorm = rmsnorm_avx512,
     .swiglu = swiglu_avx512, .rope_store = rope_store_avx512,
     .interleaves = interleaves_vnni, .interleave = interleave_tensor,
     SAME(linear_avx512bf16, attention_avx512bf16)},
    {.name = "amx", .embed = embed_avx512, .rmsnorm = rmsnorm_avx512, .swiglu = swiglu_avx512,
     .rope_store = rope_store_avx512, .interleaves = interleaves_vnni,
     .interleave = interleave_tensor, SAME(linear_amx, attention_avx512bf16)},
#endif
#if CRIA_ARM
    {.name = "neon", .embed = embed_neon, .rmsnorm = rmsnorm_generic, .swiglu = swiglu_generic,
     .rope_store = rope_store_neon, SAME(linear_neon, attention_neon)},
#endif
    {.name = NULL},
#undef SAME
};
/* clang-format on */

#if CRIA_X86
enum {
    XCR0_YMM = 0x6,  /* SSE and AVX state */
    XCR0_ZMM = 0xe6, /* and masks and the upper halves */
    XCR0_TILE = 0x60000,
    XFEATURE_TILE_DATA = 18,
    ARCH_REQ_XCOMP_PERM = 0x1023,
    CPUID7_EDX_TILES = 1 << 24 | 1 << 22, /* AMX-TILE, AMX-BF16 */
};

static uint64_t xcr0(void)
{
    uint32_t lo = 0, hi = 0;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool has(uint32_t reg, uint32_t bits) { return (reg & bits) == bits; }

static bool tiles_allowed(void)
{
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILE_DATA) == 0;
}

static enum level machine_level(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return LEVEL_GENERIC;
    if (!has(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) return LEVEL_GENERIC;
    const uint64_t state = xcr0();
    unsigned b7 = 0, c7 = 0, d7 = 0, a71 = 0;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return LEVEL_GENERIC;
    if (a >= 1) (void)__get_cpuid_count(7, 1, &a71, &b, &c, &d);
    if (!has(b7, bit_AVX2) || (state & XCR0_YMM) != XCR0_YMM) return LEVEL_GENERIC;
    if (!has(b7, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL) ||
        (state & XCR0_ZMM) != XCR0_ZMM)
        return LEVEL_AVX2;
    if (!has(c7, bit_AVX512VNNI) || !has(a71, bit_AVX512BF16)) return LEVEL_AVX512;
    if (!has(d7, CPUID7_EDX_TILES) || (state & XCR0_TILE) != XCR0_TILE || !tiles_allowed())
        return LEVEL_BF16;
    return LEVEL_AMX;
}
#endif

int ops_n_variants(void)
{
#if CRIA_X86
    return (int)machine_level() + 1; /* rows 0 .. level of the table */
#elif CRIA_ARM
    return 2;
#else
    return 1;
#endif
}

const struct ops *ops_variant(int i)
{
    return i >= 0 && i < ops_n_variants() ? &variants[i] : NULL;
}

const struct ops *ops_choose(const char *name, struct err *err)
{
    const int n = ops_n_variants();
    if (name && strncmp(name, "cuda", 4) == 0) return ops_cuda(name, err);
    if (!name || !name[0]) return &variants[n - 1];
    char list[200] = "";
    for (int i = 0; i < n; i++) {
        if (strcmp(variants[i].name, name) == 0) return &variants[i];
        if (i > 0) strcat(list, ", ");
        strcat(list, variants[i].name);
    }
    const bool is_known = table_find(variants, sizeof variants[0], name) != NULL;
    err_set(err, ERR_USAGE, "instruction set '%s' is %s; choose one of %s", name,
            is_known ? "not on this machine" : "not known", list);
    return NULL;
}
