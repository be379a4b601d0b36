/* name_index.h - finding a row by name among thousands whose names a stranger chose.
 *
 * Sorted order and binary search, not a hash: whoever writes the file cannot pick names that make
 * it slow, and two equal names lie side by side, so that duplicates are found on the way. Rows are
 * structs whose first member is `const char *` (the name). Any thread once made.
 */
#ifndef CRIA_FORMATS_NAME_INDEX_H
#define CRIA_FORMATS_NAME_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct name_index {
    const char **name; /* sorted by strcmp */
    size_t *row;       /* row[i] has name[i] */
    size_t n;
};

/* Indexes rows[0..n). Names are kept, memory is the arena's. `*duplicate` is a name that stands
 * there twice, or NULL. */
bool name_index_make(struct name_index *x, struct arena *a, const void *rows, size_t row_bytes,
                     size_t n, const char **duplicate, struct err *err) CRIA_CHECK;
/* The row's number, or SIZE_MAX. */
size_t name_index_find(const struct name_index *x, const char *name);

#endif
