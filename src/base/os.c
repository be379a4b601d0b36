/* SPDX-License-Identifier: Apache-2.0
 *
 * os.c - clock, cores, memory: what the machine gives to this process, not what it has.
 *
 * A container's share is in three places: the affinity mask, the cgroup's CPU quota and the
 * cgroup's memory limit. hwloc knows the first, so cores come from it; the other two are read from
 * the cgroup files (v2, and v1 where that is mounted), from the process's own group up to the
 * root, because a parent's limit binds too. Inside a container the path in /proc/self/cgroup may
 * name a group that is mounted as the root: names that do not exist are passed over.
 *
 * hwloc is loaded anew at each os_cores() and os_core_cpus() (about 5 ms): no state is kept here.
 *
 * Begin reading at limit_upwards().
 */
#include "base/os.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include <hwloc.h>

#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define NO_LIMIT UINT64_MAX

enum { PATH_BYTES = 1024 };

/* Reads the first line of DIR/NAME. */
static bool read_line(const char *dir, const char *name, char *line, int n_line)
{
    char path[PATH_BYTES];
    const int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path) return false;
    FILE *f = fopen(path, "re");
    if (!f) return false;
    const bool ok = fgets(line, n_line, f) != NULL;
    (void)fclose(f);
    return ok;
}

/* The number after `key` in a file of "key number" lines; 0 if there is none. */
static uint64_t read_field(const char *path, const char *key)
{
    char line[256];
    uint64_t value = 0;
    const size_t n_key = strlen(key);
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, key, n_key) == 0) {
            value = strtoull(line + n_key, NULL, 10);
            break;
        }
    (void)fclose(f);
    return value;
}

/* What one group allows; NO_LIMIT if it does not say. */
typedef uint64_t group_limit_fn(const char *dir);

/* Hardware threads, rounded up. */
static uint64_t cpu_limit_v2(const char *dir)
{
    char line[64];
    unsigned long long quota = 0, period = 0;
    if (!read_line(dir, "cpu.max", line, sizeof line)) return NO_LIMIT;
    if (sscanf(line, "%llu %llu", &quota, &period) != 2 || period == 0) return NO_LIMIT;
    return quota / period + (quota % period != 0);
}

static uint64_t cpu_limit_v1(const char *dir)
{
    char line[64];
    if (!read_line(dir, "cpu.cfs_quota_us", line, sizeof line)) return NO_LIMIT;
    const long long quota = strtoll(line, NULL, 10);
    if (!read_line(dir, "cpu.cfs_period_us", line, sizeof line)) return NO_LIMIT;
    const long long period = strtoll(line, NULL, 10);
    if (quota <= 0 || period <= 0) return NO_LIMIT;
    return (uint64_t)(quota / period + (quota % period != 0));
}

static uint64_t bytes_in(const char *dir, const char *name)
{
    char line[64], *end = NULL;
    if (!read_line(dir, name, line, sizeof line)) return NO_LIMIT;
    const uint64_t n = strtoull(line, &end, 10);
    return end == line ? NO_LIMIT : n; /* "max" */
}

static uint64_t memory_limit_v2(const char *dir) { return bytes_in(dir, "memory.max"); }

static uint64_t memory_limit_v1(const char *dir) { return bytes_in(dir, "memory.limit_in_bytes"); }

/* The limit less what is used; pages of files that can be dropped do not count as used. */
static uint64_t memory_left(const char *dir, uint64_t limit, const char *used_name,
                            const char *cache_key)
{
    char stat_path[PATH_BYTES];
    const uint64_t used = bytes_in(dir, used_name);
    if (limit == NO_LIMIT || used == NO_LIMIT) return NO_LIMIT;
    (void)snprintf(stat_path, sizeof stat_path, "%s/memory.stat", dir);
    const uint64_t cache = read_field(stat_path, cache_key);
    const uint64_t held = used > cache ? used - cache : 0;
    return limit > held ? limit - held : 0;
}

static uint64_t memory_left_v2(const char *dir)
{
    return memory_left(dir, memory_limit_v2(dir), "memory.current", "inactive_file ");
}

static uint64_t memory_left_v1(const char *dir)
{
    return memory_left(dir, memory_limit_v1(dir), "memory.usage_in_bytes", "total_inactive_file ");
}

/* The lowest limit of the group `path` under `mount` and of all its parents. Shortens `path`. */
static uint64_t limit_upwards(const char *mount, char *path, group_limit_fn *limit_of)
{
    uint64_t lowest = NO_LIMIT;
    char dir[PATH_BYTES];
    for (;;) {
        const int n = snprintf(dir, sizeof dir, "%s%s", mount, strcmp(path, "/") ? path : "");
        if (n > 0 && (size_t)n < sizeof dir) {
            const uint64_t limit = limit_of(dir);
            if (limit < lowest) lowest = limit;
        }
        char *slash = strrchr(path, '/');
        if (!slash || !*path) return lowest;
        *slash = 0;
    }
}

/* True if `name` is one of the comma-separated `names`. */
static bool is_listed(const char *names, const char *name)
{
    const size_t n = strlen(name);
    for (const char *c = names; *c; c += strcspn(c, ","), c += *c == ',')
        if (strcspn(c, ",") == n && strncmp(c, name, n) == 0) return true;
    return false;
}

/* A line of /proc/self/cgroup is "ID:CONTROLLERS:PATH"; version 2 has no controllers. */
static uint64_t cgroup_limit(const char *controller, group_limit_fn *v2, group_limit_fn *v1)
{
    char line[PATH_BYTES], mount[64];
    uint64_t lowest = NO_LIMIT;
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f) return NO_LIMIT;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0;
        uint64_t limit = NO_LIMIT;
        if (!*++names) {
            limit = limit_upwards("/sys/fs/cgroup", path, v2);
        } else if (is_listed(names, controller)) {
            (void)snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", controller);
            limit = limit_upwards(mount, path, v1);
        }
        if (limit < lowest) lowest = limit;
    }
    (void)fclose(f);
    return lowest;
}

static int limit_cpus(int n)
{
    const uint64_t quota = cgroup_limit("cpu", cpu_limit_v2, cpu_limit_v1);
    if (n < 1) n = 1;
    return quota >= 1 && quota < (uint64_t)n ? (int)quota : n;
}

static int affinity_threads(void)
{
    cpu_set_t *set = CPU_ALLOC(OS_MAX_CPUS);
    const size_t n_bytes = CPU_ALLOC_SIZE(OS_MAX_CPUS);
    int n = 0;
    if (set && sched_getaffinity(0, n_bytes, set) == 0) n = CPU_COUNT_S(n_bytes, set);
    CPU_FREE(set);
    return n > 0 ? n : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* Numbers beyond OS_MAX_CPUS are left out. */
static void copy_cpus(struct os_cpus *to, hwloc_const_cpuset_t from)
{
    for (unsigned i = 0; i < sizeof to->word / sizeof to->word[0]; i++)
        to->word[i] = hwloc_bitmap_to_ith_ulong(from, i);
}

int os_core_cpus(struct os_cpus *cores, int n_max)
{
    hwloc_topology_t topology;
    int n = 0;
    if (hwloc_topology_init(&topology) != 0) return 0;
    if (hwloc_topology_set_all_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE) == 0 &&
        hwloc_topology_set_type_filter(topology, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL) == 0 &&
        hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_CPUBINDING |
                                               HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM) == 0 &&
        hwloc_topology_load(topology) == 0)
        n = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
    for (int i = 0; i < n && i < n_max; i++)
        copy_cpus(&cores[i], hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, (unsigned)i)->cpuset);
    hwloc_topology_destroy(topology);
    return n;
}

int64_t clock_ns(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int os_cores(void)
{
    const int n_threads = affinity_threads();
    const int n_cores = os_core_cpus(NULL, 0);
    return limit_cpus(n_cores >= 1 && n_cores < n_threads ? n_cores : n_threads);
}

int os_threads(void) { return limit_cpus(affinity_threads()); }

uint64_t os_memory_total(void)
{
    struct sysinfo info = {0};
    if (sysinfo(&info) != 0) return 0;
    const uint64_t total = (uint64_t)info.totalram * info.mem_unit;
    const uint64_t limit = cgroup_limit("memory", memory_limit_v2, memory_limit_v1);
    return limit < total ? limit : total;
}

uint64_t os_memory_available(void)
{
    struct sysinfo info = {0};
    uint64_t available = read_field("/proc/meminfo", "MemAvailable:") * 1024;
    if (available == 0 && sysinfo(&info) == 0)
        available = ((uint64_t)info.freeram + info.bufferram) * info.mem_unit;
    const uint64_t left = cgroup_limit("memory", memory_left_v2, memory_left_v1);
    return left < available ? left : available;
}

void *os_big_alloc(size_t n_bytes)
{
    const int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if (n_bytes == 0) n_bytes = 1;
    if (n_bytes > SIZE_MAX / 2) return NULL;
    if (n_bytes < HUGE_PAGE_BYTES) {
        void *p = mmap(NULL, n_bytes, prot, flags, -1, 0);
        return p == MAP_FAILED ? NULL : p;
    }
    /* One huge page more than asked, then both ends are given back: what is left is aligned. */
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t n_round = (n_bytes + page - 1) & ~(page - 1);
    char *wide = mmap(NULL, n_round + HUGE_PAGE_BYTES, prot, flags, -1, 0);
    if (wide == MAP_FAILED) return NULL;
    const size_t n_front = (HUGE_PAGE_BYTES - (uintptr_t)wide % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
    if (n_front) (void)munmap(wide, n_front);
    (void)munmap(wide + n_front + n_round, HUGE_PAGE_BYTES - n_front);
    (void)madvise(wide + n_front, n_round, MADV_HUGEPAGE); /* a wish: small pages work too */
    return wide + n_front;
}

void os_big_free(void *p, size_t n_bytes)
{
    if (p) (void)munmap(p, n_bytes ? n_bytes : 1);
}
