/* SPDX-License-Identifier: Apache-2.0
 *
 * out_file.c - files and directories written aside and renamed (the second half of file.h).
 *
 * Output goes to `PATH.part-PID` in the target's own directory (a rename cannot cross file
 * systems) through a buffer of 1 MiB; commit writes the rest, syncs the file, renames it over the
 * target and syncs the directory. A reader therefore sees the old file or the new one, after a
 * crash too, and whatever fails leaves no part behind. Three targets are special: a symbolic link
 * is followed, so that the link stays a link; a target that exists and is no regular file (a pipe,
 * /dev/null) is written in place, since renaming over a device would replace the device; an
 * existing file passes on its permissions.
 *
 * Invariants
 *   I1  an out_file that has failed once fails for ever with the same message, so that a caller
 *       who notices late cannot commit a file with a hole.
 *   I2  commit and abandon end the object, and the part with it, in every case.
 *
 * Begin reading at open_target() and out_file_commit().
 */
#include "base/file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys_err.h"

enum {
    WRITE_BUF_BYTES = 1 << 20,
    BEGIN_BYTES = 8 << 20,
    MAX_PATH_BYTES = 16 << 10, /* four times what the kernel takes */
    MAX_PARTS = 100,           /* part files of one target and process at a time */
};

struct out_file {
    int fd;
    char *path;  /* the target, links followed */
    char *part;  /* what is written now; NULL when the target is written in place */
    char *bytes; /* [WRITE_BUF_BYTES] */
    size_t n_bytes;
    uint64_t n_written; /* handed to the system */
    uint64_t n_begun;   /* of these the disk was told to begin with */
    struct err failed;  /* I1 */
};

/* write(2) until all is written. */
static bool write_all(int fd, const char *data, size_t n_bytes)
{
    while (n_bytes > 0) {
        const ssize_t n = write(fd, data, n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        if (n == 0) {
            errno = ENOSPC; /* no progress and no reason given */
            return false;
        }
        data += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

/* Remembers a failure, so that it is the answer from now on. */
static bool fail_with(struct out_file *f, const char *doing, int code, struct err *err)
{
    err_set(&f->failed, ERR_IO, "%s: cannot %s after %" PRIu64 " bytes: %s; %s", f->path, doing,
            out_file_pos(f), sys_reason(code), sys_remedy(code));
    *err = f->failed;
    return false;
}

/* Lets the disk begin with what was written since, so that the sync at the end of a large file has
 * little left to wait for. */
static void begin_writing_back(struct out_file *f)
{
#ifdef __linux__
    if (!f->part || f->n_written - f->n_begun < BEGIN_BYTES) return;
    (void)sync_file_range(f->fd, (off64_t)f->n_begun, (off64_t)(f->n_written - f->n_begun),
                          SYNC_FILE_RANGE_WRITE);
    f->n_begun = f->n_written;
#else
    (void)f;
#endif
}

static bool drain_bytes(struct out_file *f, const char *data, size_t n_bytes, struct err *err)
{
    if (!write_all(f->fd, data, n_bytes)) return fail_with(f, "write", errno, err);
    f->n_written += n_bytes;
    begin_writing_back(f);
    return true;
}

static bool drain(struct out_file *f, struct err *err)
{
    const size_t n = f->n_bytes;
    if (!drain_bytes(f, f->bytes, n, err)) return false;
    f->n_bytes = 0;
    return true;
}

/* Frees `f`; removes the part file unless it has been renamed. */
static void out_file_end(struct out_file *f, bool is_renamed)
{
    if (!f) return;
    if (f->fd >= 0) (void)close(f->fd);
    if (f->part && !is_renamed) (void)unlink(f->part);
    free(f->part);
    free(f->bytes);
    free(f->path);
    free(f);
}

/* "PATH.part-PID", or "PATH.part-PID-2" and so on if this process writes the target twice or was
 * killed under the same number before. Returns owned; NULL when there is no memory. */
static char *part_name(const char *path, int i_try)
{
    const size_t n = strlen(path) + 48;
    char *part = malloc(n);
    if (!part) return NULL;
    const int m = snprintf(part, n, "%s.part-%jd", path, (intmax_t)getpid());
    if (i_try > 0) (void)snprintf(part + m, n - (size_t)m, "-%d", i_try + 1);
    return part;
}

/* Opens a new part file beside the target, with the permissions `mode`. */
static bool open_part(struct out_file *f, mode_t mode, struct err *err)
{
    for (int i = 0; i < MAX_PARTS; i++) {
        char *part = part_name(f->path, i);
        if (!part)
            return err_set(err, ERR_MEMORY, "%s: no memory to write it; free memory", f->path);
        f->fd = sys_open(part, O_WRONLY | O_CREAT | O_EXCL, mode);
        if (f->fd >= 0) {
            f->part = part;
            return true;
        }
        free(part);
        if (errno != EEXIST) return sys_err(err, f->path, "create", errno);
    }
    return err_set(err, ERR_IO, "%s: %d part files are in the way; remove %s.part-*", f->path,
                   MAX_PARTS, f->path);
}

static char *path_copy(const char *path)
{
    const size_t n = strlen(path) + 1;
    char *copy = malloc(n);
    return copy ? memcpy(copy, path, n) : NULL;
}

/* Opens what `f->path` names: aside for a new or a regular file, in place for a device or pipe. */
static bool open_target(struct out_file *f, struct err *err)
{
    struct stat st = {0};
    if (stat(f->path, &st) != 0) return open_part(f, 0666, err); /* the umask applies */
    if (S_ISDIR(st.st_mode))
        return err_set(err, ERR_IO, "%s: is a directory; name a file inside it", f->path);
    if (!S_ISREG(st.st_mode)) {
        f->fd = sys_open(f->path, O_WRONLY, 0);
        return f->fd >= 0 || sys_err(err, f->path, "open", errno);
    }
    if (!open_part(f, 0600, err)) return false;
    (void)fchmod(f->fd, st.st_mode & 07777); /* a file system without modes keeps its own */
    return true;
}

struct out_file *out_file_open(const char *path, struct err *err)
{
    struct out_file *f = calloc(1, sizeof *f);
    if (f) {
        f->fd = -1;
        f->path = realpath(path, NULL); /* NULL when it does not exist yet */
        if (!f->path) f->path = path_copy(path);
        f->bytes = malloc(WRITE_BUF_BYTES);
    }
    if (!f || !f->path || !f->bytes)
        err_set(err, ERR_MEMORY, "%s: no memory to write it; free memory", path);
    else if (!*path)
        err_set(err, ERR_IO, "the output path is empty; name a file");
    else if (open_target(f, err))
        return f;
    out_file_end(f, false);
    return NULL;
}

bool out_file_write(struct out_file *f, const void *data, size_t n_bytes, struct err *err)
{
    if (f->failed.code != ERR_OK) {
        *err = f->failed;
        return false;
    }
    if (n_bytes > WRITE_BUF_BYTES - f->n_bytes && !drain(f, err)) return false;
    if (n_bytes >= WRITE_BUF_BYTES) return drain_bytes(f, data, n_bytes, err);
    if (n_bytes) memcpy(f->bytes + f->n_bytes, data, n_bytes);
    f->n_bytes += n_bytes;
    return true;
}

bool out_file_pad(struct out_file *f, size_t align, struct err *err)
{
    static const char zeros[512] = {0};
    assert(align >= 1);
    size_t n_left = (size_t)((align - out_file_pos(f) % align) % align);
    while (n_left > 0) {
        const size_t n = n_left < sizeof zeros ? n_left : sizeof zeros;
        if (!out_file_write(f, zeros, n, err)) return false;
        n_left -= n;
    }
    return true;
}

uint64_t out_file_pos(const struct out_file *f) { return f->n_written + f->n_bytes; }

/* Makes the entries of the directory that holds `path` last. A file system that cannot sync a
 * directory says EINVAL; the rename stands all the same, so this never fails. */
static void sync_parent(const char *path)
{
    char *dir = path_copy(path);
    if (!dir) return;
    char *slash = strrchr(dir, '/');
    if (slash) slash[slash == dir] = 0;
    const int fd = sys_open(slash ? dir : ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
    free(dir);
}

/* All bytes on the disk, and the descriptor closed: both may be the first to say that it is full.
 */
static bool finish_bytes(struct out_file *f, struct err *err)
{
    if (f->failed.code != ERR_OK) {
        *err = f->failed;
        return false;
    }
    if (!drain(f, err)) return false;
    if (f->part && fsync(f->fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        return fail_with(f, "sync", errno, err);
    const int fd = f->fd;
    f->fd = -1;
    return close(fd) == 0 || errno == EINTR || fail_with(f, "close", errno, err);
}

bool out_file_commit(struct out_file *f, struct err *err)
{
    bool ok = finish_bytes(f, err);
    if (ok && f->part) {
        ok = rename(f->part, f->path) == 0 || fail_with(f, "rename into place", errno, err);
        if (ok) sync_parent(f->path);
    }
    out_file_end(f, ok);
    return ok;
}

void out_file_abandon(struct out_file *f) { out_file_end(f, false); }

struct out_dir {
    char *path; /* the target */
    char *part; /* the directory that is filled */
    struct buf member;
};

static void out_dir_end(struct out_dir *d)
{
    if (!d) return;
    buf_release(&d->member);
    free(d->part);
    free(d->path);
    free(d);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    (void)remove(path);
    return 0; /* go on: remove as much as can be removed */
}

static void remove_tree(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static bool make_part_dir(struct out_dir *d, struct err *err)
{
    for (int i = 0; i < MAX_PARTS; i++) {
        d->part = part_name(d->path, i);
        if (!d->part)
            return err_set(err, ERR_MEMORY, "%s: no memory to write it; free memory", d->path);
        if (mkdir(d->part, 0777) == 0) return true;
        const int code = errno;
        free(d->part);
        d->part = NULL;
        if (code != EEXIST) return sys_err(err, d->path, "create the directory", code);
    }
    return err_set(err, ERR_IO, "%s: %d part directories are in the way; remove %s.part-*", d->path,
                   MAX_PARTS, d->path);
}

/* The commit's rename replaces an empty directory and nothing else; saying so before the work
 * begins spares an hour of it. */
static bool is_free_target(const char *path, struct err *err)
{
    struct stat st = {0};
    if (lstat(path, &st) != 0) return true;
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_IO, "%s: exists and is not a directory; choose another name", path);
    DIR *dir = opendir(path);
    if (!dir) return sys_err(err, path, "open", errno);
    bool is_empty = true;
    for (const struct dirent *e = readdir(dir); e && is_empty; e = readdir(dir))
        is_empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    (void)closedir(dir);
    return is_empty ||
           err_set(err, ERR_IO, "%s: is not empty; choose another name or empty it", path);
}

struct out_dir *out_dir_open(const char *path, struct err *err)
{
    struct out_dir *d = calloc(1, sizeof *d);
    if (d) {
        buf_init(&d->member, MAX_PATH_BYTES);
        d->path = path_copy(path);
    }
    if (!d || !d->path) {
        err_set(err, ERR_MEMORY, "%s: no memory to write it; free memory", path);
        goto fail;
    }
    if (!*path) {
        err_set(err, ERR_IO, "the output path is empty; name a directory");
        goto fail;
    }
    for (size_t n = strlen(d->path); n > 1 && d->path[n - 1] == '/'; n--) d->path[n - 1] = 0;
    if (!is_free_target(d->path, err) || !make_part_dir(d, err)) goto fail;
    return d;
fail:
    out_dir_end(d);
    return NULL;
}

const char *out_dir_member(struct out_dir *d, const char *name)
{
    path_join(&d->member, d->part, name);
    return d->member.is_failed ? NULL : d->member.data;
}

bool out_dir_commit(struct out_dir *d, struct err *err)
{
    const int fd = sys_open(d->part, O_RDONLY | O_DIRECTORY, 0);
    if (fd >= 0) {
        (void)fsync(fd); /* the members have synced themselves; these are their names */
        (void)close(fd);
    }
    const bool ok = rename(d->part, d->path) == 0;
    if (ok) {
        sync_parent(d->path);
    } else {
        sys_err(err, d->path, "rename into place", errno);
        remove_tree(d->part);
    }
    out_dir_end(d);
    return ok;
}

void out_dir_abandon(struct out_dir *d)
{
    if (!d) return;
    remove_tree(d->part);
    out_dir_end(d);
}
