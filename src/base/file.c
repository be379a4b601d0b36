/* SPDX-License-Identifier: Apache-2.0
 *
 * file.c - files read by mapping or whole, and paths. Writing is out_file.c.
 *
 * Mapping is for regular files alone: a pipe has no size, and opening one that nobody writes to
 * would wait for ever. The map is shared and read-only, so many processes that use one model hold
 * its pages once. How the pages will be walked is the caller's to say (madvise). Large files begin
 * at a multiple of 2 MiB, for file_huge.c.
 *
 * Reading whole is for everything else, standard input too. It is bounded by what the caller
 * declares, not by what the file says of itself: files in /proc say 0, and a file may grow while
 * it is read. It is all or nothing: after a failure the buffer holds what it held before.
 *
 * Begin reading at file_map_open() and file_read_fd().
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys_err.h"

enum { READ_STEP_BYTES = 64 << 10, HUGE_PAGE_BYTES = 2 << 20 };

struct file_map {
    char *path;
    const uint8_t *data;
    size_t n_bytes;
};

/* Opens for reading and refuses directories. Without O_NONBLOCK a pipe with no writer would hold
 * us for ever in a place that wants regular files. */
static int open_read(const char *path, int flags, struct stat *st, struct err *err)
{
    const int fd = sys_open(path, O_RDONLY | flags, 0);
    if (fd < 0) {
        sys_err(err, path, "open", errno);
        return -1;
    }
    if (fstat(fd, st) != 0) {
        sys_err(err, path, "examine", errno);
    } else if (S_ISDIR(st->st_mode)) {
        err_set(err, ERR_IO, "%s: is a directory; name a file", path);
    } else {
        return fd;
    }
    (void)close(fd);
    return -1;
}

/* A wider range is reserved, the file mapped at the first multiple in it, and the ends given back.
 * MAP_FAILED and errno on failure. */
static void *map_aligned(int fd, size_t n_bytes)
{
    if (n_bytes < HUGE_PAGE_BYTES || n_bytes > SIZE_MAX / 2)
        return mmap(NULL, n_bytes, PROT_READ, MAP_SHARED, fd, 0);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t n_round = (n_bytes + page - 1) & ~(page - 1);
    char *wide = mmap(NULL, n_round + HUGE_PAGE_BYTES, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (wide == MAP_FAILED) return MAP_FAILED;
    const size_t n_front = (HUGE_PAGE_BYTES - (uintptr_t)wide % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
    void *p = mmap(wide + n_front, n_bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
    if (p == MAP_FAILED) {
        const int why = errno;
        (void)munmap(wide, n_round + HUGE_PAGE_BYTES);
        errno = why;
        return MAP_FAILED;
    }
    if (n_front) (void)munmap(wide, n_front);
    (void)munmap(wide + n_front + n_round, HUGE_PAGE_BYTES - n_front);
    return p;
}

/* Maps `fd`; an empty file, which mmap refuses, is one static byte. */
static bool map_fd(struct file_map *f, int fd, const struct stat *st, struct err *err)
{
    static const uint8_t empty[1] = {0};
    f->data = empty;
    f->n_bytes = 0;
    if (st->st_size == 0) return true;
    if ((uint64_t)st->st_size > SIZE_MAX)
        return err_set(err, ERR_LIMIT,
                       "%s: %jd bytes are more than can be mapped; use a 64-bit system", f->path,
                       (intmax_t)st->st_size);
    void *p = map_aligned(fd, (size_t)st->st_size);
    if (p == MAP_FAILED) return sys_err(err, f->path, "map", errno);
    f->data = p;
    f->n_bytes = (size_t)st->st_size;
    return true;
}

struct file_map *file_map_open(const char *path, struct err *err)
{
    struct stat st = {0};
    struct file_map *f = NULL;
    const int fd = open_read(path, O_NONBLOCK, &st, err);
    if (fd < 0) return NULL;
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_IO, "%s: is not a regular file; copy it to one first", path);
        goto fail;
    }
    f = calloc(1, sizeof *f);
    if (f) f->path = calloc(strlen(path) + 1, 1);
    if (!f || !f->path) {
        err_set(err, ERR_MEMORY, "%s: no memory to open it; free memory", path);
        goto fail;
    }
    memcpy(f->path, path, strlen(path));
    if (!map_fd(f, fd, &st, err)) goto fail;
    (void)close(fd);
    return f;
fail:
    (void)close(fd);
    file_map_close(f);
    return NULL;
}

void file_map_close(struct file_map *f)
{
    if (!f) return;
    if (f->n_bytes) {
        union {
            const uint8_t *in;
            void *out;
        } p = {.in = f->data}; /* munmap takes away what was mapped read-only */
        (void)munmap(p.out, f->n_bytes);
    }
    free(f->path);
    free(f);
}

const uint8_t *file_map_data(const struct file_map *f) { return f->data; }

size_t file_map_bytes(const struct file_map *f) { return f->n_bytes; }

const char *file_map_path(const struct file_map *f) { return f->path; }

static ssize_t read_retry(int fd, void *to, size_t n_bytes)
{
    ssize_t n = 0;
    do n = read(fd, to, n_bytes);
    while (n < 0 && errno == EINTR);
    return n;
}

/* One read of at most `n_max` bytes into `out`. False at the end and on failure; failure fills
 * `err`. A full buffer is no failure if the file ends there: one byte is tried elsewhere. */
static bool read_step(int fd, const char *name, size_t n_max, struct buf *out, struct err *err)
{
    char probe = 0;
    const size_t n_before = out->n_bytes;
    const size_t n_room = out->max_bytes - n_before;
    size_t n_want = n_max < READ_STEP_BYTES ? n_max : READ_STEP_BYTES;
    if (n_want > n_room) n_want = n_room;
    char *to = n_want ? buf_grow(out, n_want) : &probe;
    if (!to)
        return err_set(err, ERR_MEMORY, "%s: no memory after %zu bytes; free memory", name,
                       n_before);
    const ssize_t n = read_retry(fd, to, n_want ? n_want : 1);
    if (n < 0) sys_err(err, name, "read", errno);
    if (to == &probe) {
        if (n > 0)
            err_set(err, ERR_LIMIT, "%s: more than %zu bytes; make it shorter", name, n_before);
        return false;
    }
    out->n_bytes = n_before + (n > 0 ? (size_t)n : 0);
    out->data[out->n_bytes] = 0;
    return n > 0;
}

bool file_read_fd(int fd, const char *name, size_t max_bytes, struct buf *out, struct err *err)
{
    const size_t n_before = out->n_bytes;
    const bool was_failed = out->is_failed;
    struct err e = {0};
    size_t n_left = max_bytes;
    for (;;) {
        const size_t n_at = out->n_bytes;
        /* one byte past the limit shows that there is more */
        if (!read_step(fd, name, n_left < SIZE_MAX ? n_left + 1 : n_left, out, &e)) break;
        const size_t n_got = out->n_bytes - n_at;
        if (n_got > n_left) {
            err_set(&e, ERR_LIMIT, "%s: more than %zu bytes; make it shorter", name, max_bytes);
            break;
        }
        n_left -= n_got;
    }
    if (e.code == ERR_OK) return true;
    out->n_bytes = n_before; /* all or nothing */
    out->is_failed = was_failed;
    if (out->data) out->data[n_before] = 0;
    *err = e;
    return false;
}

bool file_read_all(const char *path, size_t max_bytes, struct buf *out, struct err *err)
{
    struct stat st = {0};
    const int fd = open_read(path, 0, &st, err);
    if (fd < 0) return false;
    bool ok = false;
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max_bytes)
        err_set(err, ERR_LIMIT, "%s: %jd bytes, at most %zu are read; make it shorter", path,
                (intmax_t)st.st_size, max_bytes);
    else
        ok = file_read_fd(fd, path, max_bytes, out, err);
    (void)close(fd);
    return ok;
}

bool path_is_dir(const char *path)
{
    struct stat st = {0};
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool path_exists(const char *path)
{
    struct stat st = {0};
    return stat(path, &st) == 0;
}

void path_join(struct buf *out, const char *dir, const char *name)
{
    const size_t n = strlen(dir);
    buf_clear(out);
    buf_append(out, dir, n);
    if (n > 0 && dir[n - 1] != '/') buf_putc(out, '/');
    buf_puts(out, name);
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
