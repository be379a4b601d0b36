/* upload.h - documents that clients put into the index: read and written on a thread of their own.
 * The loop's thread calls all of this.
 */
#ifndef CRIA_SERVE_UPLOAD_H
#define CRIA_SERVE_UPLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct exchange;
struct uploads;
struct upload;

/* Into the index at this path (kept), until that takes max_bytes. Errors are errands_new()'s. */
struct uploads *uploads_new(const char *index_path, uint64_t max_bytes, struct err *err);
/* Those that wait are forgotten, the one under way is finished. NULL is fine. */
void uploads_free(struct uploads *all);
int uploads_fd(const struct uploads *all); /* readable (eventfd) when one is done */
void uploads_take(struct uploads *all);    /* tells its client */

/* Answers POST /index. */
void upload_begin(struct exchange *ex, const void *body, size_t n_bytes);
/* Its client is gone; the document is added all the same. */
void upload_abandon(struct upload *up);

#endif
