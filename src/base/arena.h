/* arena.h - memory that is freed all at once.
 *
 * Blocks come 64-byte aligned from chunks; arena_reset() empties it and keeps the chunks, so a
 * step that repeats does not call malloc again. A ceiling bounds what hostile input can ask for.
 * One thread at a time.
 */
#ifndef CRIA_BASE_ARENA_H
#define CRIA_BASE_ARENA_H

#include <stddef.h>

#include "base/err.h"

struct arena;

/* Returns owned; NULL and ERR_MEMORY on failure. `max_bytes` is the ceiling of all blocks. */
struct arena *arena_new(size_t max_bytes, struct err *err);
void arena_free(struct arena *a); /* NULL is fine */
void arena_reset(struct arena *a);

/* `n` elements of `elem_bytes`, zeroed, 64-byte aligned; valid until reset. n == 0 gives a valid
 * pointer. NULL and ERR_MEMORY (overflow, ceiling, no memory) on failure. */
void *arena_array(struct arena *a, size_t n, size_t elem_bytes, struct err *err) CRIA_CHECK;

/* A NUL-terminated copy of `n_bytes` bytes. */
char *arena_copy(struct arena *a, const void *data, size_t n_bytes, struct err *err) CRIA_CHECK;

size_t arena_used(const struct arena *a);

#endif
