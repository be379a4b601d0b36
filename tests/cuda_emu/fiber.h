/* fiber.h - stacks of their own for the threads of a block, and the switch between them. */
#ifndef CRIA_TESTS_CUDA_EMU_FIBER_H
#define CRIA_TESTS_CUDA_EMU_FIBER_H

enum { FIBER_MAX = 1024 };

/* Fiber i, 0 .. FIBER_MAX - 1, is to begin with body(); what it did before is forgotten. */
void fiber_begin(int i, void (*body)(void));
void fiber_enter(int i); /* from the caller's stack, until the fiber leaves */
void fiber_leave(void);  /* back to whoever entered; also at the end of body(), for good */

#endif
