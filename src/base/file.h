/* file.h - files read by mapping, files written aside and renamed.
 *
 * Reading: file_map_open() maps a whole regular file read-only. A file that another process cuts
 * short while it is mapped raises SIGBUS at the touch; cli/ turns that into a message.
 * Writing: out_file writes `PATH.part-PID` beside the target; commit syncs and renames, abandon
 * removes. So a reader never meets half a file, and a full disk leaves nothing behind. out_dir
 * does the same for a directory. One thread at a time per object.
 */
#ifndef CRIA_BASE_FILE_H
#define CRIA_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct file_map; /* a file's bytes in memory */

/* Returns owned. Fails with ERR_IO (missing, directory, unreadable) naming the path. */
struct file_map *file_map_open(const char *path, struct err *err);
void file_map_close(struct file_map *f); /* NULL is fine */
const uint8_t *file_map_data(const struct file_map *f);
size_t file_map_bytes(const struct file_map *f);
const char *file_map_path(const struct file_map *f);
/* Takes the bytes into memory of 2 MiB pages of this process, at the address they have, and the
 * file out of the page cache; nobody may read them meanwhile. Files under 2 MiB stay mapped.
 * ERR_UNSUPPORTED: the system has huge pages off. ERR_MEMORY: too large for what is free. The
 * bytes are the same after a failure too (file_huge.c). */
bool file_map_make_huge(struct file_map *f, struct err *err) CRIA_CHECK;
/* The same into memory that may be written, in 2 MiB pages where the system has them on; the file
 * does not change. ERR_UNSUPPORTED for files under 2 MiB. */
bool file_map_make_writable(struct file_map *f, struct err *err) CRIA_CHECK;

/* Appends the whole file to `out`; ERR_LIMIT if it is larger than `max_bytes`. */
bool file_read_all(const char *path, size_t max_bytes, struct buf *out, struct err *err) CRIA_CHECK;
/* The same from an open descriptor (a pipe, stdin), `name` for the message. */
bool file_read_fd(int fd, const char *name, size_t max_bytes, struct buf *out,
                  struct err *err) CRIA_CHECK;

/* A target that exists and is no regular file (a pipe, /dev/stdout) is written in place. */
struct out_file;
struct out_file *out_file_open(const char *path, struct err *err);
bool out_file_write(struct out_file *f, const void *data, size_t n_bytes,
                    struct err *err) CRIA_CHECK;
/* Zero bytes up to the next multiple of `align`. */
bool out_file_pad(struct out_file *f, size_t align, struct err *err) CRIA_CHECK;
uint64_t out_file_pos(const struct out_file *f);
/* Syncs, renames to the target, and ends `f` in either case. */
bool out_file_commit(struct out_file *f, struct err *err) CRIA_CHECK;
/* Removes what was written and ends `f`; NULL is fine. */
void out_file_abandon(struct out_file *f);

struct out_dir;
/* Makes `PATH.part-PID/`. ERR_IO if PATH exists and is not an empty directory. */
struct out_dir *out_dir_open(const char *path, struct err *err);
/* Where to write a member; the pointer is valid until the next call on `d`. NULL: no memory. */
const char *out_dir_member(struct out_dir *d, const char *name);
bool out_dir_commit(struct out_dir *d, struct err *err) CRIA_CHECK;
void out_dir_abandon(struct out_dir *d); /* removes the directory and its files; NULL is fine */

bool path_is_dir(const char *path);
bool path_exists(const char *path);
/* "DIR/NAME" into `out` (cleared first). */
void path_join(struct buf *out, const char *dir, const char *name);
/* The part after the last '/'. Points into `path`. */
const char *path_base(const char *path);

#endif
