/* progress_bar.h - base/progress.h drawn on a terminal, and Ctrl-C turned into "please stop".
 *
 *     struct progress_bar bar;
 *     progress_bar_init(&bar, args_flag(a, "quiet"), "B");
 *     const bool ok = quantize_file(in, out, &bar.progress, err);
 *     progress_bar_release(&bar);
 *
 * The bar is one line on stderr with share, rate and time left. It appears after a second, only on
 * a terminal and not when quiet, and is gone at the end. From init to release SIGINT and SIGTERM
 * make tick return false, so that the function fails with ERR_CANCELLED and cleans up; a second one
 * ends the program as usual. One bar at a time, one thread at a time.
 */
#ifndef CRIA_CLI_PROGRESS_BAR_H
#define CRIA_CLI_PROGRESS_BAR_H

#include <signal.h>

#include "base/progress.h"

struct progress_bar {
    struct progress progress; /* what to hand to the long function; keeps the bar's address */
    /* The rest is private. */
    const char *unit;
    bool is_wanted; /* a terminal that wants it */
    bool is_on_screen;
    bool is_begun;
    int64_t begin_ns, drawn_ns, rate_ns;
    uint64_t rate_done, last_done;
    double per_s; /* smoothed; 0: not known yet */
    struct sigaction old_int, old_term;
};

/* `unit` is what done and total count: "B" is shown as kB, MB, GB; "tok", "chunk" and so on as they
 * are. Keeps `unit`. */
void progress_bar_init(struct progress_bar *b, bool is_quiet, const char *unit);

/* Takes the line away, so that something else can be written; the next tick may draw it again. */
void progress_bar_hide(struct progress_bar *b);

/* The same for whichever bar there is, or none: for the log's sink. */
void progress_bar_make_way(void);

/* Hides it and gives the signals back. */
void progress_bar_release(struct progress_bar *b);

/* 1234567 as "1.2 MB": three digits, powers of 1000. */
void format_bytes(char out[32], double n_bytes);

/* True once SIGINT or SIGTERM has come since the last init. */
bool progress_bar_interrupted(void);

#endif
