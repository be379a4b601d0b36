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

#endif
