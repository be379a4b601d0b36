/* SPDX-License-Identifier: Apache-2.0
 *
 * progress_bar.c - one line on stderr that says how far a long function is.
 *
 *     model.safetensors   45% [=========>           ]  1.2 GB / 2.5 GB  38.1 MB/s  0:34 left
 *
 * Most runs are short and want no bar, so it appears after a second; then it is redrawn ten times a
 * second at most, whatever the number of ticks, and erased at the end, so that what a user copies
 * from the terminal afterwards is results alone. The rate is an exponential mean over about five
 * seconds, counted from the first tick: what a resumed download had before is no speed of ours.
 * When `done` goes backwards a new phase has begun and the clock starts again.
 *
 * The label may come from a file (a tensor's name), so everything but printable ASCII is shown as
 * "?": a terminal obeys what is printed on it. Begin reading at on_tick().
 */
#include "cli/progress_bar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/os.h"

#define SECOND_NS INT64_C(1000000000)
#define APPEAR_NS SECOND_NS
#define REDRAW_NS (SECOND_NS / 10)
#define RATE_TAU_S 5.0

enum { MIN_COLUMNS = 20, MAX_COLUMNS = 400, MAX_BAR = 40 };

static volatile sig_atomic_t is_interrupted;
static struct progress_bar *current; /* between init and release */

static void on_signal(int sig)
{
    (void)sig;
    is_interrupted = 1;
}

bool progress_bar_interrupted(void) { return is_interrupted != 0; }

static size_t terminal_columns(void)
{
    struct winsize w = {0};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0) return 80;
    return w.ws_col < MIN_COLUMNS ? MIN_COLUMNS : w.ws_col > MAX_COLUMNS ? MAX_COLUMNS : w.ws_col;
}

void format_bytes(char out[32], double n_bytes)
{
    static const char *const prefix[] = {"", "k", "M", "G", "T"};
    size_t i = 0;
    for (; n_bytes >= 999.5 && i + 1 < ARRAY_LEN(prefix); i++) n_bytes /= 1000;
    snprintf(out, 32, i == 0 || n_bytes >= 99.95 ? "%.0f %sB" : "%.1f %sB", n_bytes, prefix[i]);
}

static void format_count(char out[32], double n, const char *unit)
{
    if (strcmp(unit, "B") == 0)
        format_bytes(out, n);
    else
        snprintf(out, 32, n < 10 && n != (double)(int)n ? "%.1f %s" : "%.0f %s", n, unit);
}

static void format_time(char out[32], double s)
{
    if (s > 99 * 3600.0)
        snprintf(out, 32, "days left");
    else if (s >= 3600)
        snprintf(out, 32, "%d:%02d:%02d left", (int)s / 3600, (int)s / 60 % 60, (int)s % 60);
    else
        snprintf(out, 32, "%d:%02d left", (int)s / 60, (int)s % 60);
}

static void put_label(char *out, size_t n_room, const char *what)
{
    size_t n = 0;
    for (; what[n] && n + 1 < n_room; n++)
        out[n] = what[n] >= ' ' && what[n] <= '~' ? what[n] : '?';
    out[n] = '\0';
}

/* "[=====>    ]" of `n_inner` columns between the brackets, and a NUL: n_inner + 3 bytes. */
static void put_bar(char *out, size_t n_inner, double share)
{
    const size_t n_full = (size_t)(share * (double)n_inner);
    char *p = out;
    *p++ = '[';
    for (size_t i = 0; i < n_inner; i++) *p++ = i < n_full ? '=' : i == n_full ? '>' : ' ';
    *p++ = ']';
    *p = '\0';
}

static void draw(struct progress_bar *b, const char *what, uint64_t done, uint64_t total)
{
    const size_t n_columns = terminal_columns() - 1; /* the last column would wrap */
    char label[128], count[32], whole[32], rate[32], left[32] = "", bar[MAX_BAR + 3] = "",
                                                     tail[160];
    const double share = total && done <= total ? (double)done / (double)total : total ? 1 : 0;
    format_count(count, (double)done, b->unit);
    format_count(rate, b->per_s, b->unit);
    if (total && b->per_s > 0 && done <= total)
        format_time(left, (double)(total - done) / b->per_s + 0.5);
    if (total) {
        format_count(whole, (double)total, b->unit);
        snprintf(tail, sizeof tail, "  %s / %s  %s/s  %s", count, whole, rate, left);
    } else {
        snprintf(tail, sizeof tail, "  %s  %s/s", count, rate);
    }
    /* At 80 columns a bar still fits between such a label and the figures. */
    const size_t n_label = n_columns * 2 / 7;
    put_label(label, n_label < sizeof label ? n_label : sizeof label, what);
    const size_t n_used = strlen(label) + strlen(tail) + 9;
    if (total && n_used + 5 < n_columns)
        put_bar(bar, n_columns - n_used < MAX_BAR ? n_columns - n_used : MAX_BAR, share);
    char line[512], percent[16] = "";
    if (total) snprintf(percent, sizeof percent, " %3.0f%% ", 100 * share);
    snprintf(line, sizeof line, "%s%s%s%s", label, percent, bar, tail);
    if (n_columns < sizeof line) line[n_columns] = '\0';
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    b->is_on_screen = true;
}

/* Keeps the smoothed rate; called when something is to be drawn, so about ten times a second. */
static void update_rate(struct progress_bar *b, uint64_t done, int64_t now)
{
    const double dt = (double)(now - b->rate_ns) * 1e-9;
    if (dt <= 0) return;
    const double per_s = (double)(done - b->rate_done) / dt;
    const double age = (double)(now - b->begin_ns) * 1e-9;
    /* Young bars weigh all samples alike: dt/age is the plain mean. */
    const double weight = age < RATE_TAU_S ? dt / age : dt < RATE_TAU_S ? dt / RATE_TAU_S : 1;
    b->per_s += (per_s - b->per_s) * weight;
    b->rate_ns = now;
    b->rate_done = done;
}

static bool on_tick(void *user, const char *what, uint64_t done, uint64_t total)
{
    struct progress_bar *b = user;
    if (is_interrupted) return false;
    if (!b->is_wanted) return true;
    const int64_t now = clock_ns();
    if (!b->is_begun || done < b->last_done) {
        b->is_begun = true;
        b->begin_ns = b->rate_ns = now;
        b->rate_done = done;
        b->per_s = 0;
    }
    b->last_done = done;
    if (now - b->begin_ns < APPEAR_NS && !b->is_on_screen) return true;
    if (now - b->drawn_ns < REDRAW_NS) return true;
    update_rate(b, done, now);
    draw(b, what ? what : "", done, total);
    b->drawn_ns = now;
    return true;
}

void progress_bar_init(struct progress_bar *b, bool is_quiet, const char *unit)
{
    const char *term = getenv("TERM");
    *b = (struct progress_bar){
        .progress = {.tick = on_tick, .user = b},
        .unit = unit,
        .is_wanted = !is_quiet && isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0),
    };
    is_interrupted = 0;
    struct sigaction stop = {.sa_handler = on_signal};
    stop.sa_flags = (int)SA_RESETHAND; /* the second one ends the program */
    sigaction(SIGINT, &stop, &b->old_int);
    sigaction(SIGTERM, &stop, &b->old_term);
    /* Who started us with the signal ignored (nohup, a background job) wants it so. */
    if (b->old_int.sa_handler == SIG_IGN) sigaction(SIGINT, &b->old_int, NULL);
    if (b->old_term.sa_handler == SIG_IGN) sigaction(SIGTERM, &b->old_term, NULL);
    current = b;
}

void progress_bar_hide(struct progress_bar *b)
{
    if (!b->is_on_screen) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    b->is_on_screen = false;
}

void progress_bar_make_way(void)
{
    if (current) progress_bar_hide(current);
}

void progress_bar_release(struct progress_bar *b)
{
    progress_bar_hide(b);
    current = NULL;
    sigaction(SIGINT, &b->old_int, NULL);
    sigaction(SIGTERM, &b->old_term, NULL);
}
