/* watch.h - what the emulation's two halves know of each other: the launch (emu.cc) and the
 * accesses to memory (watch.cc). */
#ifndef CRIA_TESTS_CUDA_EMU_WATCH_H
#define CRIA_TESTS_CUDA_EMU_WATCH_H

#include <stddef.h>
#include <stdint.h>

/* Of the launch: */
extern bool emu_is_in_kernel; /* a fiber runs */
extern int emu_thread;        /* its number in the block */
/* A problem of the running thread; place is "file:line", or NULL and a return address into the
 * kernel's code. Each text and place once a launch. */
void emu_problem(const char *file, int line, const void *pc, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Of memory: */
void watch_block(void);   /* a new block: all shared memory is unwritten */
void watch_barrier(void); /* accesses before and after are in order */
void watch_access(const void *p, size_t n_bytes, bool is_write, const char *file, int line,
                  const void *pc);

#endif
