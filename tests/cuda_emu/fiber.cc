/* SPDX-License-Identifier: Apache-2.0
 *
 * fiber.cc - the switch between stacks: a few instructions on x86-64, swapcontext() elsewhere.
 *
 * A thread of a kernel gives way at each barrier and at each instruction of its warp, so a switch
 * must cost no system call. AddressSanitizer is told of every switch.
 */
#include "fiber.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define IS_ASAN 1
#else
#define IS_ASAN 0
#endif

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace
{
constexpr size_t STACK = 128 << 10, GUARD = 4096;

struct fiber {
#if defined(__x86_64__)
    void *sp;
#else
    ucontext_t context;
#endif
    void *fake; /* AddressSanitizer's */
};

uint8_t *stacks;
fiber fibers[FIBER_MAX], host;
int current;
void (*entry)(void);
#if IS_ASAN
const void *host_stack;
size_t host_bytes;
#endif

uint8_t *stack_of(int i) { return stacks + (size_t)i * (STACK + GUARD) + GUARD; }

void body_of_fiber()
{
#if IS_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &host_stack, &host_bytes);
#endif
    entry();
    for (;;) fiber_leave();
}
} // namespace

#if defined(__x86_64__)
extern "C" void cria_emu_switch(void **from, void *to);
__asm__(".text\n"
        ".globl cria_emu_switch\n"
        ".hidden cria_emu_switch\n"
        ".type cria_emu_switch, @function\n"
        "cria_emu_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size cria_emu_switch, . - cria_emu_switch\n");
static void to_context(fiber *from, const fiber *to) { cria_emu_switch(&from->sp, to->sp); }
#else
static void to_context(fiber *from, const fiber *to) { swapcontext(&from->context, &to->context); }
#endif

void fiber_begin(int i, void (*body)(void))
{
    if (!stacks) {
        void *map = mmap(nullptr, FIBER_MAX * (STACK + GUARD), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED) abort();
        stacks = static_cast<uint8_t *>(map);
        for (int f = 0; f < FIBER_MAX; f++)
            if (mprotect(stack_of(f) - GUARD, GUARD, PROT_NONE) != 0) abort();
    }
    entry = body;
#if IS_ASAN
    __asan_unpoison_memory_region(stack_of(i), STACK);
#endif
    fibers[i].fake = nullptr;
#if defined(__x86_64__)
    void **top = reinterpret_cast<void **>(stack_of(i) + STACK) - 2; /* where a return address is */
    *top = reinterpret_cast<void *>(body_of_fiber);
    fibers[i].sp = top - 6;
#else
    getcontext(&fibers[i].context);
    fibers[i].context.uc_stack.ss_sp = stack_of(i);
    fibers[i].context.uc_stack.ss_size = STACK;
    makecontext(&fibers[i].context, body_of_fiber, 0);
#endif
}

void fiber_enter(int i)
{
    current = i;
#if IS_ASAN
    __sanitizer_start_switch_fiber(&host.fake, stack_of(i), STACK);
#endif
    to_context(&host, &fibers[i]);
#if IS_ASAN
    __sanitizer_finish_switch_fiber(host.fake, nullptr, nullptr);
#endif
}

void fiber_leave(void)
{
    fiber *mine = &fibers[current];
#if IS_ASAN
    __sanitizer_start_switch_fiber(&mine->fake, host_stack, host_bytes);
#endif
    to_context(mine, &host);
#if IS_ASAN
    __sanitizer_finish_switch_fiber(mine->fake, &host_stack, &host_bytes);
#endif
}
