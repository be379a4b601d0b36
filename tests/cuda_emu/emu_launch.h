/* emu_launch.h - runs the CUDA kernels on the host, for tests and for a driver that has no device.
 *
 * A launch runs the blocks one after the other and the threads of a block as fibers (emu.cc), and
 * watches them: barriers that not all threads reach, instructions of a warp that not all lanes
 * reach, shared memory that is read before it is written or used by two threads without a barrier
 * between, addresses that are not aligned. Launches of several host threads take turns.
 */
#ifndef CRIA_TESTS_CUDA_EMU_EMU_LAUNCH_H
#define CRIA_TESTS_CUDA_EMU_EMU_LAUNCH_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dim3 {
    unsigned x, y, z;
};

/* A kernel under its name: `call` reads the struct of its argument. n_threads 0: any. */
struct emu_kernel {
    const char *name;
    size_t args_bytes;
    unsigned n_threads;
    void (*call)(const void *args);
};

/* The kernel of that name (kernels.h), or NULL. */
const struct emu_kernel *emu_find(const char *name);
void emu_run(const struct emu_kernel *k, struct dim3 grid, struct dim3 block, const void *args);

/* The same by name; one that is unknown is a problem as those of kernels. */
void emu_launch(const char *name, struct dim3 grid, struct dim3 block, const void *args);

/* Gets each problem, a line of text with file and line, when its launch ends. Until one is set, or
 * after NULL, problems are printed and the program aborts. */
void emu_set_reporter(void (*report)(void *arg, const char *text), void *arg);

#ifdef __cplusplus
}
#endif

#endif
