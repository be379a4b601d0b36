/* progress.h - how a long function tells how far it is, without printing.
 *
 * Functions that may take over a second take a `const struct progress *` (NULL: nobody listens)
 * and call progress_tick(). cli/ draws the bar, only on a terminal.
 */
#ifndef CRIA_BASE_PROGRESS_H
#define CRIA_BASE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
    /* Returns false to ask the function to stop (it then fails with ERR_CANCELLED). */
    bool (*tick)(void *user, const char *what, uint64_t done, uint64_t total);
    void *user;
};

static inline bool progress_tick(const struct progress *p, const char *what, uint64_t done,
                                 uint64_t total)
{
    return !p || p->tick(p->user, what, done, total);
}

#endif
