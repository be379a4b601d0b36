/* SPDX-License-Identifier: Apache-2.0
 *
 * os_plain.c - what team.c asks of the machine, without hwloc, for the emulated checker.
 */
#include "base/os.h"

#include <time.h>

int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int os_threads(void) { return 1; /* emulated threads should not spin */ }

int os_core_cpus(struct os_cpus *cores, int n_max)
{
    (void)cores;
    (void)n_max;
    return 0;
}
