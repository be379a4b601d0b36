/* log.h - talk, as opposed to results: one line a fact, to a sink that the user of the library may
 * set. The default sink drops everything (a library does not print); cli/ installs stderr. Set the
 * sink once before threads start; logging itself is for any thread.
 */
#ifndef CRIA_BASE_LOG_H
#define CRIA_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN };

/* `line` has no newline. */
typedef void log_sink_fn(void *user, enum log_level level, const char *line);

void log_set_sink(log_sink_fn *sink, void *user, enum log_level min_level);

void log_debug(const char *fmt, ...) CRIA_PRINTF(1, 2);
void log_info(const char *fmt, ...) CRIA_PRINTF(1, 2);
void log_warn(const char *fmt, ...) CRIA_PRINTF(1, 2);

#endif
