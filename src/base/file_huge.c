/* SPDX-License-Identifier: Apache-2.0
 *
 * file_huge.c - a mapped file's bytes taken into memory of 2 MiB pages, at the address they had, to
 * be read faster or to be written.
 *
 * The page cache holds a file in 4 KiB pages, and the processor forgets their places sooner than
 * those of large ones. A copy in huge pages is read faster (docs/performance.md), but two copies of
 * a large model do not fit, and pointers into the map are everywhere by then. So the file goes
 * over chunk by chunk: copied into anonymous memory, which mremap() then puts in the place of the
 * chunk of the map, and the page cache is told to let go. At no time there is more than one chunk
 * a thread twice. Both ranges begin at a multiple of 2 MiB (file_map_open(), os_big_alloc()), so
 * moving a chunk moves entries of the page table and no bytes.
 *
 * What can fail for want of room fails before the first chunk, when the whole range is asked for
 * and nothing has changed yet. A later failure leaves some chunks moved, with the bytes they had.
 *
 * Begin reading at file_map_make_huge().
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/os.h"
#include "base/sys_err.h"
#include "base/team.h"

enum { CHUNK_BYTES = 16 << 20, HUGE_PAGE_BYTES = 2 << 20 };

struct move {
    char *from; /* the new memory */
    char *to;   /* the map */
    size_t n_bytes;
    int fd;         /* of the file, for advice; or -1 */
    int rights;     /* PROT_ */
    atomic_int why; /* errno of the first failure, or 0 */
};

/* Returns an errno or 0. On failure the chunk at `to` is as it was. */
static int move_chunk(const struct move *m, size_t begin, size_t n)
{
    char *from = m->from + begin, *to = m->to + begin;
    memcpy(from, to, n);
    if (mprotect(from, n, m->rights) != 0) return errno;
    if (mremap(from, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) return errno;
    if (m->fd >= 0) (void)posix_fadvise(m->fd, (off_t)begin, (off_t)n, POSIX_FADV_DONTNEED);
    return 0;
}

/* After a failure chunks are still walked, to give back their memory one by one: where a chunk has
 * gone away, others may have mapped something since. */
static void move_share(const struct member *me, void *arg)
{
    struct move *m = arg;
    int64_t begin = 0, end = 0;
    struct team_deal d = team_deal(me, (int64_t)m->n_bytes, CHUNK_BYTES);
    while (team_deal_next(me, &d, &begin, &end)) {
        const size_t n = (size_t)(end - begin);
        int none = 0;
        int why = atomic_load(&m->why);
        if (!why) {
            why = move_chunk(m, (size_t)begin, n);
            if (why) atomic_compare_exchange_strong(&m->why, &none, why);
        }
        if (why) (void)munmap(m->from + begin, n);
    }
}

static bool check_offered(const char *path, struct err *err)
{
    static const char name[] = "/sys/kernel/mm/transparent_hugepage/enabled";
    enum { MAX_BYTES = 64 << 10 }; /* it says that it has a page */
    struct buf text;
    struct err missing = {0};
    buf_init(&text, MAX_BYTES);
    const bool is_read = file_read_all(name, MAX_BYTES, &text, &missing);
    const bool is_offered = is_read && !strstr(text.data, "[never]");
    buf_release(&text);
    if (is_offered) return true;
    if (!is_read)
        return err_set(
            err, ERR_UNSUPPORTED,
            "%s: huge pages are not known here, %s cannot be read; leave the file mapped", path,
            name);
    return err_set(err, ERR_UNSUPPORTED,
                   "%s: huge pages are off; write madvise to %s or leave the file mapped", path,
                   name);
}

static bool check_memory(const char *path, size_t n_bytes, struct err *err)
{
    const uint64_t n_free = os_memory_available();
    if (n_bytes <= n_free) return true;
    return err_set(err, ERR_MEMORY,
                   "%s: %.1f GB of memory do not fit into the %.1f GB that are free; leave the "
                   "file mapped",
                   path, (double)n_bytes / 1e9, (double)n_free / 1e9);
}

static bool take(struct file_map *f, int rights, struct err *err)
{
    union {
        const uint8_t *in;
        void *out;
    } map = {.in = file_map_data(f)}; /* its pages change hands, its bytes do not */
    const char *path = file_map_path(f);
    const size_t n_bytes = file_map_bytes(f);
    if (!check_memory(path, n_bytes, err)) return false;
    struct team *team = team_new(os_cores(), err);
    if (!team) return false;
    struct move m = {
        .from = os_big_alloc(n_bytes), .to = map.out, .n_bytes = n_bytes, .rights = rights};
    if (m.from) {
        m.fd = sys_open(path, O_RDONLY | O_NONBLOCK, 0);
        team_run(team, move_share, &m);
        if (m.fd >= 0) (void)close(m.fd);
    }
    team_free(team);
    if (!m.from)
        return err_set(err, ERR_MEMORY, "%s: no memory for %zu bytes; leave the file mapped", path,
                       n_bytes);
    return m.why ? sys_err(err, path, "move into huge pages", m.why) : true;
}

bool file_map_make_huge(struct file_map *f, struct err *err)
{
    if (file_map_bytes(f) < HUGE_PAGE_BYTES) return true;
    return check_offered(file_map_path(f), err) && take(f, PROT_READ, err);
}

bool file_map_make_writable(struct file_map *f, struct err *err)
{
    if (file_map_bytes(f) >= HUGE_PAGE_BYTES) return take(f, PROT_READ | PROT_WRITE, err);
    return err_set(err, ERR_UNSUPPORTED, "%s: under 2 MiB, which is read fast as it is",
                   file_map_path(f));
}
