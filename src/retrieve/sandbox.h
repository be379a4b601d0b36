/* sandbox.h - a program of others on bytes of others, where it can do no harm. Any thread. */
#ifndef CRIA_RETRIEVE_SANDBOX_H
#define CRIA_RETRIEVE_SANDBOX_H

#include <stdint.h>

#include "base/buf.h"

struct sandbox_limits {
    int wall_s; /* also for the processor's time */
    uint64_t memory_bytes;
};

/* Runs argv (a program in /usr/bin, ended by NULL) with `in` as its standard input, and appends its
 * standard output to `out`. It sees /usr, no network, no other file, no other process.
 * ERR_UNSUPPORTED: it, or what the sandbox is made of, is not here; ERR_FORMAT: it ended with a
 * failure; ERR_LIMIT: out of time, or more output than `out` takes; ERR_IO. */
bool sandbox_run(const char *const *argv, const uint8_t *in, size_t n_in,
                 const struct sandbox_limits *limits, struct buf *out, struct err *err) CRIA_CHECK;

#endif
