/* fault.h - making the N-th allocation or system call fail, for tests.
 *
 * Design rule: failure is ordinary, so a test makes each call of a function fail in turn, until N
 * is past the last one and the function succeeds:
 *
 *     for (int64_t n = 1;; n++) {
 *         struct err err = {0};
 *         fault_arm(FAULT_MEMORY, n);
 *         struct gguf *g = gguf_open(path, &err);
 *         const bool was_hit = fault_disarm();
 *         if (!was_hit) { assert_non_null(g); gguf_close(g); break; }
 *         assert_int_equal(g == NULL, err.code != ERR_OK);   (a call may do without that one)
 *     }
 *
 * Run it under AddressSanitizer too: leaks on failure paths show there. To use it in another room,
 * add `fault_dep` (tests/base/meson.build) to the test's dependencies; it brings fault.c and the
 * linker's --wrap options, which turn the project's calls of malloc into __wrap_malloc here.
 * Libraries' own calls (simdjson's new, libc's strdup) are not reached.
 *
 * Do both: with one failure the code may find another way (a smaller chunk), with FAULT_STAYS it
 * may not; neither shows all of its paths.
 *
 * One armed fault at a time in the process; calls of any thread are counted.
 */
#ifndef CRIA_TESTS_FAULT_H
#define CRIA_TESTS_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum fault_kind {
    FAULT_MEMORY = 1, /* malloc calloc realloc posix_memalign aligned_alloc mmap pthread_create */
    FAULT_IO = 2,     /* open read write fsync rename mkdir fstat: EIO */
    FAULT_STAYS = 4,  /* with the above: every later call of these kinds fails too */
};

/* The n-th call (from 1) of these kinds from now on fails, and no other unless FAULT_STAYS. */
void fault_arm(unsigned kinds, int64_t n);

/* Ends it. True if a call was made to fail. */
bool fault_disarm(void);

#endif
