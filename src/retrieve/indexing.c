/* SPDX-License-Identifier: Apache-2.0
 *
 * indexing.c - bringing an index up to date with what is on the disk.
 *
 * First the names are gathered, so that progress has an end; then each file is looked at: the same
 * size and time as before means that it is not even opened, the same SHA-256 that it is not read
 * again. Documents are written in transactions of about a second's work, so an interrupted run
 * keeps nearly all it did, the index is whole at any moment, and the next run goes on from there.
 *
 * A file that cannot be read is logged and counted, never the end of the run: of ten thousand files
 * some are always broken.
 */
#include "retrieve/indexing.h"

#include <errno.h>
#include <fnmatch.h>
#include <fts.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "base/os.h"
#include "retrieve/reader.h"

#define TRANSACTION_NS INT64_C(1000000000)

enum { MAX_FILES = 10000000, MAX_LOGGED = 20 };

struct found {
    char *path;
    int64_t size_bytes, mtime_ns;
};

struct run {
    struct store *store;
    const char *root;
    const struct index_options *opt;
    struct index_stats *stats;
    struct found *file;
    size_t n_files, cap_files;
    uint64_t total_bytes;
    int64_t begun_ns; /* of the transaction; 0: none */
    int n_logged;
};

static void release(struct run *r)
{
    for (size_t i = 0; i < r->n_files; i++) free(r->file[i].path);
    free(r->file);
}

static bool is_excluded(const struct run *r, const char *path, const char *name)
{
    const size_t n_root = strlen(r->root);
    const char *below = strlen(path) > n_root ? path + n_root + (path[n_root] == '/') : name;
    for (int i = 0; i < r->opt->n_exclude; i++)
        if (fnmatch(r->opt->exclude[i], name, 0) == 0 ||
            fnmatch(r->opt->exclude[i], below, FNM_LEADING_DIR) == 0)
            return true;
    return false;
}

static bool add_file(struct run *r, const char *path, const struct stat *st, struct err *err)
{
    if (st->st_size > r->opt->max_file_bytes) {
        r->stats->n_large++;
        return true;
    }
    if (r->n_files == r->cap_files) {
        const size_t cap = r->cap_files ? r->cap_files * 2 : 256;
        struct found *grown = cap <= MAX_FILES ? realloc(r->file, cap * sizeof *grown) : NULL;
        if (!grown) return err_set(err, ERR_MEMORY, "%s: no room for %zu files", r->root, cap);
        r->file = grown;
        r->cap_files = cap;
    }
    struct found *f = &r->file[r->n_files];
    *f = (struct found){strdup(path), st->st_size,
                        (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec};
    if (!f->path) return err_set(err, ERR_MEMORY, "%s: no memory for its name", path);
    r->n_files++;
    r->total_bytes += (uint64_t)st->st_size;
    return true;
}

static void note_failure(struct run *r, const char *text)
{
    r->stats->n_failed++;
    if (++r->n_logged <= MAX_LOGGED) log_warn("%s", text);
    if (r->n_logged == MAX_LOGGED + 1) log_warn("further files fail; they are only counted");
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static bool take_entry(struct run *r, FTS *walk, FTSENT *e, struct err *err)
{
    const bool is_top = e->fts_level == FTS_ROOTLEVEL;
    const bool is_hidden = e->fts_name[0] == '.' && !is_top;
    switch (e->fts_info) {
    case FTS_D:
        if (is_hidden || (!is_top && is_excluded(r, e->fts_path, e->fts_name)))
            fts_set(walk, e, FTS_SKIP);
        return true;
    case FTS_F:
        if (is_hidden || (!is_top && is_excluded(r, e->fts_path, e->fts_name))) return true;
        return !S_ISREG(e->fts_statp->st_mode) || add_file(r, e->fts_path, e->fts_statp, err);
    case FTS_DNR:
    case FTS_NS:
    case FTS_ERR:
        if (is_top)
            return err_set(err, ERR_IO, "%s: %s; name what is there, or forget it with --remove",
                           r->root, strerror(e->fts_errno));
        log_warn("%s: %s", e->fts_path, strerror(e->fts_errno));
        return true;
    default:
        return true;
    }
}

static bool gather(struct run *r, struct err *err)
{
    char *top = strdup(r->root);
    char *const paths[] = {top, NULL};
    FTS *walk = top ? fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, by_name) : NULL;
    bool ok = walk || err_set(err, ERR_MEMORY, "%s: no memory to walk it", r->root);
    FTSENT *e = NULL;
    while (ok && (e = fts_read(walk))) {
        ok = take_entry(r, walk, e, err);
        if (ok && r->n_files % 1024 == 1023 &&
            !progress_tick(r->opt->progress, "looking", r->n_files, 0))
            ok = err_set(err, ERR_CANCELLED, "interrupted; the index is as it was");
    }
    if (walk) fts_close(walk);
    free(top);
    return ok;
}

/* One file's content into the index. ERR_FORMAT and the like are the file's own fault. */
static bool put_file(struct run *r, const struct found *f, const struct document *old,
                     const struct buf *data, struct err *err)
{
    const uint8_t *bytes = (const uint8_t *)(data->data ? data->data : "");
    struct document d = {
        .path = f->path, .root = r->root, .size_bytes = f->size_bytes, .mtime_ns = f->mtime_ns};
    SHA256(bytes, data->n_bytes, d.sha256);
    if (old && memcmp(old->sha256, d.sha256, sizeof d.sha256) == 0) {
        r->stats->n_same++;
        return store_touch(r->store, old->id, f->size_bytes, f->mtime_ns, err);
    }
    const struct reader *reader = reader_find(f->path, NULL, bytes, data->n_bytes);
    if (!reader) {
        r->stats->n_binary++;
        return true;
    }
    struct doc text;
    struct chunks chunks = {0};
    struct err why = {0};
    doc_init(&text);
    const struct reader_input in = {.name = f->path, .data = bytes, .n_bytes = data->n_bytes};
    bool ok = true;
    if (!reader_run(reader, &in, &text, &why)) {
        note_failure(r, why.text);
    } else {
        d.title = text.title.data ? text.title.data : "";
        d.reader = reader->name;
        ok = chunk_doc(&text, INDEX_TARGET_BYTES, &chunks, err) &&
             store_put(r->store, &d, &text, &chunks, NULL, err);
        r->stats->n_chunks += ok ? (int64_t)chunks.n : 0;
        r->stats->n_bytes += data->n_bytes;
        if (old)
            r->stats->n_changed++;
        else
            r->stats->n_added++;
    }
    chunks_release(&chunks);
    doc_release(&text);
    return ok;
}

static bool look_at(struct run *r, const struct found *f, struct err *err)
{
    struct document old;
    const int known = store_find(r->store, f->path, &old, err);
    if (known < 0) return false;
    if (known && old.size_bytes == f->size_bytes && old.mtime_ns == f->mtime_ns) {
        r->stats->n_same++;
        return store_touch(r->store, old.id, f->size_bytes, f->mtime_ns, err);
    }
    struct buf data;
    struct err why = {0};
    buf_init(&data, (size_t)r->opt->max_file_bytes);
    bool ok = true;
    if (file_read_all(f->path, (size_t)r->opt->max_file_bytes, &data, &why))
        ok = put_file(r, f, known ? &old : NULL, &data, err);
    else
        note_failure(r, why.text);
    buf_release(&data);
    return ok;
}

/* Commits when the transaction has become old, and begins the next. */
static bool turn(struct run *r, bool is_last, struct err *err)
{
    const int64_t now = clock_ns();
    if (r->begun_ns && !is_last && now - r->begun_ns < TRANSACTION_NS) return true;
    if (r->begun_ns && !store_commit(r->store, err)) return false;
    r->begun_ns = 0;
    if (is_last) return true;
    if (!store_begin(r->store, err)) return false;
    r->begun_ns = now;
    return true;
}

static bool take_all(struct run *r, struct err *err)
{
    uint64_t done = 0;
    if (!turn(r, false, err) || !store_add_root(r->store, r->root, err) ||
        !store_pass(r->store, err))
        return false;
    for (size_t i = 0; i < r->n_files; i++) {
        if (!progress_tick(r->opt->progress, path_base(r->file[i].path), done, r->total_bytes)) {
            struct err none = {0};
            if (!turn(r, true, &none)) log_warn("%s", none.text);
            return err_set(err, ERR_CANCELLED,
                           "interrupted after %zu of %zu files; what is done is kept, run it again "
                           "to go on",
                           i, r->n_files);
        }
        if (!turn(r, false, err) || !look_at(r, &r->file[i], err)) return false;
        done += (uint64_t)r->file[i].size_bytes;
    }
    int64_t n_removed = 0;
    if (!store_sweep(r->store, r->root, &n_removed, err)) return false;
    r->stats->n_removed += n_removed;
    return turn(r, true, err);
}

bool index_root(struct store *s, const char *root, const struct index_options *opt,
                struct index_stats *stats, struct err *err)
{
    struct run r = {.store = s, .root = root, .opt = opt, .stats = stats};
    const bool ok = gather(&r, err) && take_all(&r, err);
    release(&r);
    return ok;
}
