/* os.h - the few facts we ask of the machine: clock, cores, memory. Containers and affinity count:
 * what this process may use, not what the board has, since a plan made for the board is killed. Any
 * thread.
 */
#ifndef CRIA_BASE_OS_H
#define CRIA_BASE_OS_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_ns(void); /* monotonic */

/* Physical cores and hardware threads that this process may use (affinity and cgroup respected). */
int os_cores(void);
int os_threads(void);

/* A set of hardware threads, as the kernel numbers them. */
#define OS_MAX_CPUS 8192
struct os_cpus {
    unsigned long word[OS_MAX_CPUS / (8 * sizeof(unsigned long))];
};
/* The hardware threads of each physical core that this process may use, into cores [n_max].
 * Returns how many cores there are, maybe more than n_max; 0 if the system does not tell. */
int os_core_cpus(struct os_cpus *cores, int n_max);

uint64_t os_memory_total(void);     /* bytes; the cgroup limit where it is lower */
uint64_t os_memory_available(void); /* bytes that can be had without swapping */

/* Zeroed, 2 MiB-aligned when large (huge pages are asked for). NULL when there is no memory. */
void *os_big_alloc(size_t n_bytes);
void os_big_free(void *p, size_t n_bytes);

#endif
