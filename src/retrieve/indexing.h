/* indexing.h - bringing an index up to date with files and directories. One thread at a time. */
#ifndef CRIA_RETRIEVE_INDEXING_H
#define CRIA_RETRIEVE_INDEXING_H

#include "base/progress.h"
#include "retrieve/store.h"

#define INDEX_TARGET_BYTES 1000 /* of a passage: docs/index.md has the measurement */

struct index_options {
    const char *const *exclude; /* patterns (fnmatch) on a name or a path below the root */
    int n_exclude;
    int64_t max_file_bytes; /* larger files are skipped and counted */
    const struct progress *progress;
};

struct index_stats {
    int64_t n_added, n_changed, n_same, n_removed;
    int64_t n_failed; /* a reader refused them; each is logged */
    int64_t n_binary; /* no reader takes them */
    int64_t n_large;  /* above max_file_bytes */
    int64_t n_chunks; /* written in this run */
    uint64_t n_bytes; /* of the files that were read */
};

/* Makes the index hold what is under `root` (a directory or file) now: new and changed files are
 * read, files that are gone are removed, all others left alone (by size and time, then SHA-256).
 * Hidden files and directories are passed over, links are not followed. What was done before a
 * failure or ERR_CANCELLED stays. `stats` is added to. */
bool index_root(struct store *s, const char *root, const struct index_options *opt,
                struct index_stats *stats, struct err *err) CRIA_CHECK;

/* A page as it came over the network. No string is NULL. */
struct index_page {
    const char *url;             /* its name in the index, and its root */
    const char *mime, *charset;  /* what the server said, or "" */
    const char *etag, *modified; /* kept for the next time, or "" */
    const uint8_t *data;
    size_t n_bytes;
};

/* Puts the page in place of the one that had its address, in a transaction of its own. One that no
 * reader takes is logged and counted in stats->n_failed; what was there of it stays. */
bool index_page(struct store *s, const struct index_page *p, struct index_stats *stats,
                struct err *err) CRIA_CHECK;

/* Documents that were sent: their names in the index begin so. */
#define INDEX_UPLOAD_PREFIX "upload:/"
#define INDEX_UPLOAD_MAX_NAME 200

struct index_uploaded {
    enum { INDEX_ADDED, INDEX_CHANGED, INDEX_SAME } change;
    int64_t document; /* its id */
    int64_t n_chunks;
    bool is_refused; /* it failed by the document's own fault, and the index is as it was */
};

/* ERR_USAGE, saying what a name may be. */
bool index_upload_name(const char *name, struct err *err) CRIA_CHECK;
/* Puts the document in place of the one that was sent under its name, in a transaction of its own.
 * A failure that is not the document's own may leave a transaction open: close the store. */
bool index_upload(struct store *s, const char *name, const uint8_t *data, size_t n_bytes,
                  struct index_uploaded *out, struct err *err) CRIA_CHECK;

#endif
