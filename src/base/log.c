/* SPDX-License-Identifier: Apache-2.0
 *
 * log.c - one line a fact, to the sink that the program has set.
 *
 * The sink is one of the three pieces of global state that the project allows: it is set once,
 * before threads start, and only read after. A line is formatted on the stack (no memory needed to
 * say that there is none), cut at 1023 bytes; control characters become spaces, since a line may
 * quote a name out of a hostile file.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

enum { LINE_BYTES = 1024 };

static struct {
    log_sink_fn *sink; /* NULL: drop everything */
    void *user;
    enum log_level min_level;
} log_state;

void log_set_sink(log_sink_fn *sink, void *user, enum log_level min_level)
{
    log_state.sink = sink;
    log_state.user = user;
    log_state.min_level = min_level;
}

static bool is_heard(enum log_level level)
{
    return log_state.sink && level >= log_state.min_level;
}

static void CRIA_PRINTF(2, 0) say(enum log_level level, const char *fmt, va_list args)
{
    char line[LINE_BYTES];
    if (vsnprintf(line, sizeof line, fmt, args) < 0) return;
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = ' ';
    log_state.sink(log_state.user, level, line);
}

void log_debug(const char *fmt, ...)
{
    if (!is_heard(LOG_DEBUG)) return;
    va_list args;
    va_start(args, fmt);
    say(LOG_DEBUG, fmt, args);
    va_end(args);
}

void log_info(const char *fmt, ...)
{
    if (!is_heard(LOG_INFO)) return;
    va_list args;
    va_start(args, fmt);
    say(LOG_INFO, fmt, args);
    va_end(args);
}

void log_warn(const char *fmt, ...)
{
    if (!is_heard(LOG_WARN)) return;
    va_list args;
    va_start(args, fmt);
    say(LOG_WARN, fmt, args);
    va_end(args);
}
