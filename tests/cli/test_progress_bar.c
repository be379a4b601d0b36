/* SPDX-License-Identifier: Apache-2.0
 *
 * test_progress_bar.c - the bar on a pseudo terminal: late, one line, gone at the end; nothing at
 * all anywhere else; and Ctrl-C as a request.
 */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/os.h"
#include "cli/progress_bar.h"

static char shown[1 << 16];
static size_t n_shown;

static void drain(int fd)
{
    ssize_t n = 0;
    while ((n = read(fd, shown + n_shown, sizeof shown - 1 - n_shown)) > 0) n_shown += (size_t)n;
    shown[n_shown] = '\0';
}

/* Puts stderr onto a terminal of `columns`; returns its other side. */
static int open_terminal(int *saved, unsigned short columns)
{
    const int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    const int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    const struct winsize size = {.ws_row = 24, .ws_col = columns};
    ioctl(slave, TIOCSWINSZ, &size);
    fflush(stderr);
    *saved = dup(STDERR_FILENO);
    dup2(slave, STDERR_FILENO);
    close(slave);
    setenv("TERM", "xterm", 1);
    n_shown = 0;
    shown[0] = '\0';
    return master;
}

static void close_terminal(int master, int saved)
{
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(master);
}

static void sleep_ms(int ms) { usleep((useconds_t)ms * 1000); }

static void test_the_bar_comes_late_and_goes(void **state)
{
    (void)state;
    static const unsigned short widths[] = {20, 80, 200};
    for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
        int saved = -1;
        struct progress_bar b;
        const int terminal = open_terminal(&saved, widths[i]);
        progress_bar_init(&b, false, "B");
        assert_true(progress_tick(&b.progress, "blk\x1b[2J.weight", 0, 4000000));
        sleep_ms(200);
        assert_true(progress_tick(&b.progress, "blk\x1b[2J.weight", 1000000, 4000000));
        drain(terminal);
        const size_t n_early = n_shown;
        sleep_ms(900);
        assert_true(progress_tick(&b.progress, "blk\x1b[2J.weight", 2000000, 4000000));
        progress_bar_release(&b);
        drain(terminal);
        close_terminal(terminal, saved);
        assert_int_equal(n_early, 0);
        const char *erase = strstr(shown, "\x1b[K");
        assert_non_null(erase);
        assert_true(shown[0] == '\r' && erase - shown - 1 < widths[i]);
        assert_string_equal(erase, "\x1b[K\r\x1b[K"); /* one line, then taken away */
        assert_null(strstr(shown, "\x1b[2J"));
        if (widths[i] < 80) continue;
        if (!strstr(shown, "blk?[2J.weight") || !strstr(shown, " 50%") || !strstr(shown, "=>") ||
            !strstr(shown, "2.0 MB / 4.0 MB") || !strstr(shown, "MB/s") || !strstr(shown, " left"))
            fail_msg("%u columns: %s", (unsigned)widths[i], shown + 1);
    }
}

static void test_quiet_or_no_terminal_shows_nothing(void **state)
{
    (void)state;
    for (int is_quiet = 0; is_quiet < 2; is_quiet++) {
        int saved = -1;
        struct progress_bar b;
        const int terminal = open_terminal(&saved, 80);
        if (!is_quiet) setenv("TERM", "dumb", 1);
        progress_bar_init(&b, is_quiet == 1, "tok");
        progress_tick(&b.progress, "x", 0, 0);
        sleep_ms(1100);
        progress_tick(&b.progress, "x", 1, 0);
        progress_bar_release(&b);
        drain(terminal);
        close_terminal(terminal, saved);
        assert_int_equal(n_shown, 0);
    }
}

static volatile sig_atomic_t n_old;
static void on_old(int sig)
{
    (void)sig;
    n_old = n_old + 1;
}

static void test_interrupts_ask_to_stop_and_are_given_back(void **state)
{
    (void)state;
    static const int signals[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        struct progress_bar b;
        struct sigaction old = {.sa_handler = on_old};
        n_old = 0;
        sigaction(signals[i], &old, NULL);
        progress_bar_init(&b, false, "B");
        assert_true(progress_tick(&b.progress, "x", 0, 1));
        raise(signals[i]);
        assert_false(progress_tick(&b.progress, "x", 0, 1));
        assert_true(progress_bar_interrupted());
        progress_bar_release(&b);
        assert_int_equal(n_old, 0);
        raise(signals[i]);
        assert_int_equal(n_old, 1);
        signal(signals[i], SIG_IGN); /* as nohup does: stays ignored */
        progress_bar_init(&b, false, "B");
        raise(signals[i]);
        assert_true(progress_tick(&b.progress, "x", 0, 1));
        progress_bar_release(&b);
        signal(signals[i], SIG_DFL);
    }
}

static void test_bytes_are_written_with_three_digits(void **state)
{
    (void)state;
    static const struct {
        double n;
        const char *text;
    } rows[] = {{0, "0 B"},         {999, "999 B"},      {1000, "1.0 kB"},
                {99940, "99.9 kB"}, {999499, "999 kB"},  {999501, "1.0 MB"},
                {2.5e9, "2.5 GB"},  {1.6e10, "16.0 GB"}, {3e15, "3000 TB"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[32];
        format_bytes(out, rows[i].n);
        assert_string_equal(out, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_bar_comes_late_and_goes),
        cmocka_unit_test(test_quiet_or_no_terminal_shows_nothing),
        cmocka_unit_test(test_interrupts_ask_to_stop_and_are_given_back),
        cmocka_unit_test(test_bytes_are_written_with_three_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
