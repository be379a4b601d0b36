/* SPDX-License-Identifier: Apache-2.0
 *
 * fault.c - the linker's --wrap=NAME sends each call of NAME here, and __real_NAME is the original.
 *
 * One counter: fault_arm() sets it to N, every wrapped call of an armed kind takes one away, and
 * the call that takes the last one fails with the errno of its kind (FAULT_STAYS: and all after).
 */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_uint armed_kinds;
static atomic_llong n_left;
static atomic_bool is_hit;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
int __real_posix_memalign(void **p, size_t align, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__real_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
int __real_open(const char *path, int flags, ...);
ssize_t __real_read(int fd, void *to, size_t n);
ssize_t __real_write(int fd, const void *from, size_t n);
int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __real_mkdir(const char *path, mode_t mode);
int __real_fstat(int fd, struct stat *st);
int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*f)(void *), void *arg);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
int __wrap_posix_memalign(void **p, size_t align, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
int __wrap_open(const char *path, int flags, ...);
ssize_t __wrap_read(int fd, void *to, size_t n);
ssize_t __wrap_write(int fd, const void *from, size_t n);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*f)(void *), void *arg);

/* True if this call is the one that fails; errno is set then. */
static bool is_struck(unsigned kind)
{
    const unsigned kinds = atomic_load(&armed_kinds);
    if (!(kinds & kind)) return false;
    const long long n = atomic_fetch_sub(&n_left, 1);
    if (n > 1 || (n < 1 && !(kinds & FAULT_STAYS))) return false;
    atomic_store(&is_hit, true);
    errno = kind == FAULT_MEMORY ? ENOMEM : EIO;
    return true;
}

void fault_arm(unsigned kinds, int64_t n)
{
    atomic_store(&is_hit, false);
    atomic_store(&n_left, n);
    atomic_store(&armed_kinds, kinds);
}

bool fault_disarm(void)
{
    atomic_store(&armed_kinds, 0);
    return atomic_load(&is_hit);
}

void *__wrap_malloc(size_t n) { return is_struck(FAULT_MEMORY) ? NULL : __real_malloc(n); }

void *__wrap_calloc(size_t n, size_t size)
{
    return is_struck(FAULT_MEMORY) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return is_struck(FAULT_MEMORY) ? NULL : __real_realloc(p, n);
}

int __wrap_posix_memalign(void **p, size_t align, size_t n)
{
    return is_struck(FAULT_MEMORY) ? ENOMEM : __real_posix_memalign(p, align, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return is_struck(FAULT_MEMORY) ? NULL : __real_aligned_alloc(align, n);
}

void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    return is_struck(FAULT_MEMORY) ? MAP_FAILED : __real_mmap(at, n, prot, flags, fd, offset);
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return is_struck(FAULT_IO) ? -1 : __real_open(path, flags, mode);
}

ssize_t __wrap_read(int fd, void *to, size_t n)
{
    return is_struck(FAULT_IO) ? -1 : __real_read(fd, to, n);
}

ssize_t __wrap_write(int fd, const void *from, size_t n)
{
    return is_struck(FAULT_IO) ? -1 : __real_write(fd, from, n);
}

int __wrap_fsync(int fd) { return is_struck(FAULT_IO) ? -1 : __real_fsync(fd); }

int __wrap_rename(const char *from, const char *to)
{
    return is_struck(FAULT_IO) ? -1 : __real_rename(from, to);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    return is_struck(FAULT_IO) ? -1 : __real_mkdir(path, mode);
}

int __wrap_fstat(int fd, struct stat *st)
{
    return is_struck(FAULT_IO) ? -1 : __real_fstat(fd, st);
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*f)(void *), void *arg)
{
    return is_struck(FAULT_MEMORY) ? EAGAIN : __real_pthread_create(t, attr, f, arg);
}
