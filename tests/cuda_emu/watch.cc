/* SPDX-License-Identifier: Apache-2.0
 *
 * watch.cc - looks at every load and store of a kernel.
 *
 * Kernels are compiled with -fsanitize=thread, whose calls before each access are answered here
 * and not by its library. Each byte of shared memory has a shadow: when it was last written and
 * read, in barriers since the program began, and by whom. So a read of what this block has not
 * written is known, and two threads at one byte, one of them writing, without a barrier between.
 * Threads of one warp need one as well: nothing orders their lanes.
 */
#include "watch.h"

#include <string.h>
#include <sys/mman.h>

#include "emu.h"

#if defined(__SANITIZE_ADDRESS__)
extern "C" void *__asan_region_is_poisoned(void *begin, size_t n_bytes);
#endif

namespace
{
constexpr size_t POOL = 8 << 20, PAGE = 4096, MOST_SHARED = 48 << 10;
constexpr uint16_t NOBODY = 0xffff, MANY = 0xfffe;

struct shadow {
    uint64_t written, read; /* in barriers; 0: never */
    uint16_t writer, reader;
};

uint8_t *pool;
size_t pool_used, block_bytes;
shadow *shadows;
uint64_t now = 1, block_begin = 1;
} // namespace

void watch_block(void)
{
    block_begin = ++now;
    block_bytes = 0;
}

void watch_barrier(void) { now++; }

void *emu_shared_begin(emu_shared *s, const char *name, size_t n_bytes)
{
    if (!pool) {
        pool = static_cast<uint8_t *>(
            mmap(nullptr, POOL, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        shadows = static_cast<shadow *>(mmap(nullptr, POOL * sizeof *shadows, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if ((void *)pool == MAP_FAILED || (void *)shadows == MAP_FAILED) __builtin_trap();
    }
    if (!s->p) { /* ends, but for alignment, at a page that stays out of reach */
        const size_t body = (n_bytes + PAGE - 1) / PAGE * PAGE;
        if (pool_used + body + 2 * PAGE > POOL) __builtin_trap();
        uint8_t *at = pool + pool_used + PAGE;
        if (mprotect(at, body, PROT_READ | PROT_WRITE) != 0) __builtin_trap();
        pool_used += body + PAGE;
        s->p = at + body - (n_bytes + 15) / 16 * 16;
        s->name = name;
        s->n_bytes = n_bytes;
    }
    if (s->block != block_begin) {
        s->block = block_begin;
        memset(s->p, 0xff, n_bytes);
        block_bytes += (n_bytes + 15) / 16 * 16;
        if (block_bytes > MOST_SHARED)
            emu_problem(NULL, 0, NULL, "%zu bytes of shared memory, more than 48 KiB", block_bytes);
    }
    return s->p;
}

__attribute__((no_sanitize_address)) void watch_access(const void *p, size_t n_bytes, bool is_write,
                                                       const char *file, int line, const void *pc)
{
    if (!emu_is_in_kernel) return;
    const uint8_t *at = static_cast<const uint8_t *>(p);
    if ((n_bytes == 2 || n_bytes == 4 || n_bytes == 8 || n_bytes == 16) &&
        (uintptr_t)p % n_bytes != 0 && file)
        emu_problem(file, line, pc, "%zu bytes at an address that is not aligned", n_bytes);
    if (!pool || at < pool || at >= pool + POOL) {
#if defined(__SANITIZE_ADDRESS__)
        if (__asan_region_is_poisoned(const_cast<void *>(p), n_bytes))
            emu_problem(file, line, pc, "%s of %zu bytes that are nobody's",
                        is_write ? "write" : "read", n_bytes);
#endif
        return;
    }
    const uint16_t me = (uint16_t)emu_thread;
    for (shadow *s = shadows + (at - pool), *end = s + n_bytes; s < end; s++) {
        if (s->written == now && s->writer != me)
            emu_problem(file, line, pc, "%s of shared memory that another thread has written since "
                        "the last barrier", is_write ? "write" : "read");
        if (is_write) {
            if (s->read == now && s->reader != me)
                emu_problem(file, line, pc, "write of shared memory that another thread has read "
                            "since the last barrier");
            s->written = now;
            s->writer = me;
        } else {
            if (s->written < block_begin)
                emu_problem(file, line, pc, "read of shared memory that nothing has written");
            s->reader = s->read == now && s->reader != me ? MANY : me;
            s->read = now;
        }
    }
}

/* ---- what -fsanitize=thread calls ---- */

extern "C" {
#define WATCH(n)                                                                                   \
    void __tsan_read##n(void *p) { watch_access(p, n, false, NULL, 0, __builtin_return_address(0)); } \
    void __tsan_write##n(void *p) { watch_access(p, n, true, NULL, 0, __builtin_return_address(0)); } \
    void __tsan_unaligned_read##n(void *p)                                                         \
    {                                                                                              \
        watch_access(p, n, false, NULL, 0, __builtin_return_address(0));                           \
    }                                                                                              \
    void __tsan_unaligned_write##n(void *p)                                                        \
    {                                                                                              \
        watch_access(p, n, true, NULL, 0, __builtin_return_address(0));                            \
    }
WATCH(1)
WATCH(2)
WATCH(4)
WATCH(8)
WATCH(16)
void __tsan_read_range(void *p, size_t n)
{
    watch_access(p, n, false, NULL, 0, __builtin_return_address(0));
}
void __tsan_write_range(void *p, size_t n)
{
    watch_access(p, n, true, NULL, 0, __builtin_return_address(0));
}
void *__tsan_memcpy(void *to, const void *from, size_t n)
{
    watch_access(from, n, false, NULL, 0, __builtin_return_address(0));
    watch_access(to, n, true, NULL, 0, __builtin_return_address(0));
    return memcpy(to, from, n);
}
void *__tsan_memset(void *to, int c, size_t n)
{
    watch_access(to, n, true, NULL, 0, __builtin_return_address(0));
    return memset(to, c, n);
}
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void) {}
void __tsan_init(void) {}

/* -fsanitize=alignment, where its own library is not there. */
struct type_mismatch {
    const char *file;
    uint32_t line, column;
};
__attribute__((weak)) void __ubsan_handle_type_mismatch_v1(type_mismatch *at, void *)
{
    if (emu_is_in_kernel)
        emu_problem(at->file, (int)at->line, NULL, "an address that is not aligned for its type");
    else
        __builtin_trap();
}
}
