/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch_file.c - PATH.part: how a file comes over the network in as many pieces as it takes.
 *
 * Models are large and lines break, so nothing that has come is thrown away: bytes go straight to
 * PATH.part, and PATH.part.info (a JSON line) says what they are a part of: size, sum, address,
 * ETag. The next try, in this run or after a reboot, asks for the rest by Range, with If-Range so
 * that a server whose file has changed sends it whole. When sums are known the part is continued
 * from any address; when not, only from the same address with a strong ETag.
 *
 * The sum runs along with the bytes; a part found on the disk is summed first (1 GB/s). If a file
 * that was put together from pieces has the wrong sum, it is fetched whole once; if one that came
 * whole is wrong, the server is wrong and the bytes are removed.
 *
 * Invariants
 *   I1  PATH is only ever the old file or the whole, right, new one.
 *   I2  bytes [0, n_have) of the part are in the sum, and nothing else is.
 *   I3  one process at a time writes a part: flock(2), which ends with the process.
 *
 * Begin reading at fetch_file().
 */
#include "cli/fetch_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/log.h"

enum {
    READ_BYTES = 1 << 20,
    MAX_INFO_BYTES = 32 << 10,
    MAX_ETAG_BYTES = 512,
};

struct download {
    struct exchange x;
    const struct fetch_want *w;
    struct fetch_sum *sum;
    int fd; /* the part */
    uint64_t n_have, n_new;
    bool is_pieced;      /* the part is made of several replies */
    bool is_other_range; /* the server sent another one than asked for */
    struct buf part, info;
    char etag[MAX_ETAG_BYTES]; /* strong, or "" */
};

static bool io_err(struct err *err, const char *path, const char *doing, int code)
{
    return err_set(err, ERR_IO, "%s: cannot %s: %s; %s", path, doing, strerror(code),
                   code == ENOSPC || code == EDQUOT ? "free some space and run it again to go on"
                                                    : "check the path and its permissions");
}

/* ---- what the part is a part of ---- */

/* "sha256:..." or "git:..." or "". */
static void sum_name(const struct fetch_want *w, char out[80])
{
    snprintf(out, 80, "%s%.64s",
             w->sha256   ? "sha256:"
             : w->git_id ? "git:"
                         : "",
             w->sha256   ? w->sha256
             : w->git_id ? w->git_id
                         : "");
}

static bool info_write(const struct download *d, struct err *err)
{
    char sum[80];
    struct buf b;
    buf_init(&b, MAX_INFO_BYTES);
    sum_name(d->w, sum);
    struct json_writer j = json_writer(&b);
    json_object(&j);
    json_key(&j, "bytes");
    json_uint(&j, d->w->n_bytes);
    json_key(&j, "sum");
    json_cstring(&j, sum);
    json_key(&j, "url");
    json_cstring(&j, d->w->url);
    json_key(&j, "etag");
    json_cstring(&j, d->etag);
    json_end(&j);
    buf_putc(&b, '\n');
    struct out_file *f =
        buf_check(&b, "PATH.part.info", err) ? out_file_open(d->info.data, err) : NULL;
    bool ok = f != NULL;
    if (f && out_file_write(f, b.data, b.n_bytes, err)) {
        ok = out_file_commit(f, err);
    } else {
        out_file_abandon(f);
        ok = false;
    }
    buf_release(&b);
    return ok;
}

static bool str_is(struct json v, const char *s)
{
    const char *have = NULL;
    size_t n = 0;
    return json_str(v, &have, &n) && n == strlen(s) && memcmp(have, s, n) == 0;
}

/* True if the part on the disk belongs to what is wanted; its ETag is read on the way. */
static bool info_matches(struct download *d)
{
    struct buf b;
    struct err ignored = {0}; /* whatever is wrong with the note: start afresh */
    char sum[80];
    const char *etag = NULL;
    size_t n = 0;
    int64_t n_bytes = -1;
    buf_init(&b, MAX_INFO_BYTES);
    sum_name(d->w, sum);
    struct json_doc *doc = NULL;
    if (path_exists(d->info.data) && file_read_all(d->info.data, MAX_INFO_BYTES, &b, &ignored))
        doc = json_parse(b.data, b.n_bytes, MAX_INFO_BYTES, d->info.data, &ignored);
    const struct json root = doc ? json_root(doc) : (struct json){0};
    bool ok = doc && json_i64(json_get(root, "bytes"), &n_bytes) && n_bytes >= 0 &&
              (uint64_t)n_bytes == d->w->n_bytes && str_is(json_get(root, "sum"), sum) &&
              json_str(json_get(root, "etag"), &etag, &n) && n < sizeof d->etag;
    if (ok && !*sum) ok = n > 0 && str_is(json_get(root, "url"), d->w->url);
    if (ok) memcpy(d->etag, etag, n + 1);
    if (ok && (d->etag[0] != '"' || strpbrk(d->etag, "\r\n"))) d->etag[0] = '\0';
    json_free(doc);
    buf_release(&b);
    return ok;
}

/* ---- the part ---- */

/* Opens and locks it. Another process may have renamed it between the two steps; then what we hold
 * is its finished file, and we open again. */
static bool part_open(struct download *d, struct err *err)
{
    const char *part = d->part.data;
    for (int i = 0; i < 10; i++) {
        d->fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (d->fd < 0) return io_err(err, part, "open", errno);
        if (flock(d->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) break;
        struct stat mine, there;
        if (fstat(d->fd, &mine) != 0) return io_err(err, part, "look at it", errno);
        if (!S_ISREG(mine.st_mode))
            return err_set(err, ERR_IO, "%s: is no regular file; remove it", part);
        if (stat(part, &there) == 0 && there.st_ino == mine.st_ino && there.st_dev == mine.st_dev)
            return true;
        close(d->fd);
        d->fd = -1;
    }
    if (d->fd >= 0) close(d->fd);
    d->fd = -1; /* not ours, so not to be removed either */
    return err_set(err, ERR_BUSY, "%s: another process is fetching it; wait for it", d->w->path);
}

/* Back to nothing. */
static bool part_restart(struct download *d, struct err *err)
{
    d->n_have = 0; /* but n_reached stays: a server that cannot go on must not keep us for ever */
    d->is_pieced = d->is_other_range = false;
    d->etag[0] = '\0';
    if (ftruncate(d->fd, 0) != 0) return io_err(err, d->part.data, "empty it", errno);
    return fetch_sum_restart(d->sum, err);
}

/* Adds bytes [0, n_bytes) of `fd` to the sum. */
static bool sum_fd(struct fetch_sum *sum, const struct fetch_want *w, int fd, uint64_t n_bytes,
                   struct err *err)
{
    char *block = malloc(READ_BYTES);
    if (!block) return err_set(err, ERR_MEMORY, "%s: no memory to check it; free memory", w->path);
    bool ok = true;
    for (uint64_t at = 0; ok && at < n_bytes;) {
        const uint64_t left = n_bytes - at;
        const ssize_t n =
            pread(fd, block, left < READ_BYTES ? (size_t)left : READ_BYTES, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            ok = io_err(err, w->path, "read it back", n < 0 ? errno : EIO);
        else
            ok = fetch_sum_add(sum, block, (size_t)n, err);
        at += n > 0 ? (uint64_t)n : 0;
        if (ok && !progress_tick(w->progress, path_base(w->path), at, w->n_bytes))
            ok = err_set(err, ERR_CANCELLED, "stopped; run it again to go on");
    }
    free(block);
    return ok;
}

/* Takes over what an earlier run left, if it is of this file. */
static bool part_resume(struct download *d, struct err *err)
{
    struct stat st;
    if (fstat(d->fd, &st) != 0) return io_err(err, d->part.data, "look at it", errno);
    const uint64_t n = st.st_size > 0 ? (uint64_t)st.st_size : 0;
    if (n == 0 || n > d->w->n_bytes || !info_matches(d)) return part_restart(d, err);
    if (!sum_fd(d->sum, d->w, d->fd, n, err)) return false;
    d->n_have = d->x.n_reached = n;
    d->is_pieced = true;
    return true;
}

/* All bytes on the disk, and the file in its place. */
static bool part_commit(struct download *d, struct err *err)
{
    const char *path = d->w->path;
    if (fsync(d->fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        return io_err(err, d->part.data, "sync", errno);
    if (rename(d->part.data, path) != 0) return io_err(err, path, "rename into place", errno);
    (void)unlink(d->info.data);
    return true;
}

/* ---- an exchange's callbacks ---- */

static bool on_prepare(void *user, uint64_t *offset, const char **etag, struct err *err)
{
    struct download *d = user;
    (void)err;
    *offset = d->n_have;
    *etag = d->etag[0] ? d->etag : NULL;
    return true;
}

/* "bytes 100-199/200": the part that was asked for, of a file of the right size? */
static bool check_range(const struct download *d, const char *range, struct err *err)
{
    const char *base = path_base(d->w->path);
    unsigned long long from = 0, to = 0, total = 0;
    int n = 0;
    if (range) n = sscanf(range, "bytes %20llu-%20llu/%20llu", &from, &to, &total);
    if (n < 2)
        return err_set(err, ERR_NETWORK,
                       "%s: the server sends a part without saying which "
                       "(\"%.100s\"); try another HF_ENDPOINT",
                       base, range ? range : "");
    if (n == 2) total = d->w->n_bytes; /* a star: the server does not know */
    if (from != d->n_have || total != d->w->n_bytes)
        return err_set(err, ERR_NETWORK,
                       "%s: the server sends bytes from %llu of %llu, but from "
                       "%" PRIu64 " of %" PRIu64 " was asked for; try another HF_ENDPOINT",
                       base, from, total, d->n_have, d->w->n_bytes);
    return true;
}

/* A whole file: of the right size, if the server says one? */
static bool check_length(const struct download *d, const char *length, struct err *err)
{
    if (!length) return true;
    char *end = NULL;
    errno = 0;
    const unsigned long long n = strtoull(length, &end, 10);
    if (end != length && errno == 0 && n == d->w->n_bytes) return true;
    return err_set(err, ERR_FORMAT,
                   "%s: the hub promises %" PRIu64 " bytes, but the server sends %.20s; "
                   "is a proxy or a login page between?",
                   path_base(d->w->path), d->w->n_bytes, length);
}

static bool on_begin(void *user, struct fetch *f, int status, struct err *err)
{
    struct download *d = user;
    d->is_other_range = status == 206 && !check_range(d, fetch_header(f, "Content-Range"), err);
    if (d->is_other_range) return false;
    if (status == 200 && !check_length(d, fetch_header(f, "Content-Length"), err)) return false;
    if (status == 200 && d->n_have) {
        log_info("%s: the server does not go on where it was cut; fetching it whole",
                 path_base(d->w->path));
        if (!part_restart(d, err)) return false;
    }
    d->is_pieced = d->n_have > 0;
    const char *etag = fetch_header(f, "ETag");
    d->etag[0] = '\0';
    if (etag && etag[0] == '"' && strlen(etag) < sizeof d->etag) strcpy(d->etag, etag);
    return info_write(d, err);
}

static bool on_body(void *user, const char *data, size_t n_bytes, struct err *err)
{
    struct download *d = user;
    if (n_bytes > d->w->n_bytes - d->n_have)
        return err_set(err, ERR_FORMAT,
                       "%s: the server sends more than the %" PRIu64 " bytes the hub "
                       "promises; try again later",
                       path_base(d->w->path), d->w->n_bytes);
    for (size_t n = 0; n < n_bytes;) {
        const ssize_t m = pwrite(d->fd, data + n, n_bytes - n, (off_t)(d->n_have + n));
        if (m < 0 && errno == EINTR) continue;
        if (m <= 0) return io_err(err, d->part.data, "write", m < 0 ? errno : ENOSPC);
        n += (size_t)m;
    }
    if (!fetch_sum_add(d->sum, data, n_bytes, err)) return false;
    d->n_have += n_bytes;
    d->n_new += n_bytes;
    if (d->n_have > d->x.n_reached) d->x.n_reached = d->n_have;
    return true;
}

static bool on_end(void *user, struct err *err)
{
    const struct download *d = user;
    (void)err;
    return d->n_have == d->w->n_bytes;
}

static bool is_alive(void *user)
{
    const struct download *d = user;
    return progress_tick(d->w->progress, path_base(d->w->path), d->n_have, d->w->n_bytes);
}

/* ---- the whole of it ---- */

/* `*is_right`: the target is there and is what is wanted. */
static bool target_check(const struct fetch_want *w, bool *is_right, struct err *err)
{
    struct stat st;
    *is_right = false;
    if (stat(w->path, &st) != 0) return true;
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_IO, "%s: is there and is no regular file; remove it", w->path);
    if ((uint64_t)st.st_size != w->n_bytes) return true;
    const int fd = open(w->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return io_err(err, w->path, "open", errno);
    struct fetch_sum *sum = fetch_sum_new(w, err);
    const bool ok = sum && sum_fd(sum, w, fd, w->n_bytes, err);
    struct err other = {0};
    *is_right = ok && fetch_sum_check(sum, &other);
    fetch_sum_free(sum);
    close(fd);
    return ok;
}

/* Fetches and checks; once more, and whole, if pieces did not fit together: their sum is wrong, or
 * the server does not have the rest of what we have (416, or another range than asked for). */
static bool download_run(struct download *d, struct fetch *f, struct err *err)
{
    if (!part_open(d, err) || !part_resume(d, err)) return false;
    for (bool is_second = false;; is_second = true) {
        struct err why = {0};
        const bool is_whole = d->n_have == d->w->n_bytes || fetch_exchange(f, &d->x, &why);
        if (is_whole && fetch_sum_check(d->sum, &why)) return part_commit(d, err);
        const bool is_misfit = !is_whole && (fetch_status(f) == 416 || d->is_other_range);
        const bool was_pieced = is_whole ? d->is_pieced : is_misfit && d->n_have > 0;
        if ((is_whole || is_misfit) && !part_restart(d, err)) return false;
        if (!was_pieced || is_second) {
            *err = why;
            return false;
        }
        log_info("%s: the pieces do not fit together; fetching it whole", path_base(d->w->path));
    }
}

bool fetch_file(struct fetch *f, const struct fetch_want *w, uint64_t *n_fetched, struct err *err)
{
    struct download d = {
        .x = {.url = w->url,
              .prepare = on_prepare,
              .begin = on_begin,
              .body = on_body,
              .end = on_end,
              .alive = is_alive},
        .w = w,
        .fd = -1,
    };
    d.x.user = &d;
    if (n_fetched) *n_fetched = 0;
    bool is_right = false;
    if (!target_check(w, &is_right, err)) return false;
    if (is_right) return true;
    buf_init(&d.part, 1 << 16);
    buf_init(&d.info, 1 << 16);
    buf_printf(&d.part, "%s.part", w->path);
    buf_printf(&d.info, "%s.part.info", w->path);
    d.sum = fetch_sum_new(w, err);
    const bool ok = d.sum && buf_check(&d.part, "a path", err) &&
                    buf_check(&d.info, "a path", err) && download_run(&d, f, err);
    /* A part with nothing in it is of no use to anybody. */
    if (!ok && d.fd >= 0 && d.n_have == 0) {
        (void)unlink(d.part.data);
        (void)unlink(d.info.data);
    }
    if (d.fd >= 0) close(d.fd);
    if (n_fetched) *n_fetched = d.n_new;
    fetch_sum_free(d.sum);
    buf_release(&d.part);
    buf_release(&d.info);
    return ok;
}

uint64_t fetch_missing(const struct fetch_want *w)
{
    struct stat st;
    if (stat(w->path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == w->n_bytes)
        return 0;
    struct buf part;
    uint64_t n = w->n_bytes;
    buf_init(&part, 1 << 16);
    buf_printf(&part, "%s.part", w->path);
    if (!part.is_failed && stat(part.data, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
        (uint64_t)st.st_size <= n)
        n -= (uint64_t)st.st_size;
    buf_release(&part);
    return n;
}
