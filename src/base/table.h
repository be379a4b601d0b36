/* table.h - finding a row by name, and the nearest name when there is none.
 *
 * Tables in this project are arrays of structs whose first member is `const char *name`, ended by a
 * row with name NULL, or NULL-terminated arrays of pointers to such structs. Any thread.
 */
#ifndef CRIA_BASE_TABLE_H
#define CRIA_BASE_TABLE_H

#include <stddef.h>

/* The row whose name equals `name`, or NULL. `row_bytes` is the size of one row. */
const void *table_find(const void *rows, size_t row_bytes, const char *name);
/* The same for an array of pointers to rows, ended by NULL. */
const void *table_find_ptr(const void *const *rows, const char *name);

/* The nearest of the names by edit distance (at most a third of the letters, at least 1, may
 * differ), or NULL. */
const char *table_nearest(const void *rows, size_t row_bytes, const char *name);
const char *table_nearest_ptr(const void *const *rows, const char *name);

/* Edit distance (insert, delete, replace, swap of neighbours), capped at 100. */
int str_distance(const char *a, const char *b);

#endif
