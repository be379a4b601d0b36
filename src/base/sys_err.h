/* sys_err.h - what the system refused, as an error that tells the remedy: a user can act on "free
 * some space", not on an errno. Private to base/. Any thread.
 */
#ifndef CRIA_BASE_SYS_ERR_H
#define CRIA_BASE_SYS_ERR_H

#include <sys/types.h>

#include "base/err.h"

/* Fills `err` with "PATH: cannot DOING: REASON; REMEDY" for the errno `code`; returns false. */
bool sys_err(struct err *err, const char *path, const char *doing, int code);

/* The errno `code` in words. */
const char *sys_reason(int code);

/* What a person can do about the errno `code`. */
const char *sys_remedy(int code);

/* open(2) with O_CLOEXEC, again after an interruption. -1 and errno on failure. */
int sys_open(const char *path, int flags, mode_t mode);

#endif
