/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - the program's door: finds the command, parses its options, runs it, and turns what went
 * wrong into one line on stderr and an exit status (1: it failed, 2: the command line is wrong).
 *
 * The only place where signals of the process are set: SIGBUS means that a model file which is
 * mapped was cut short by somebody else, and is told as such instead of as a crash. SIGPIPE stays
 * deadly, as for any filter. Reading goes on in commands.c.
 */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/table.h"
#include "cli/command.h"
#include "cli/progress_bar.h"

static void on_bus_error(int sig)
{
    static const char text[] =
        "cria: a mapped file became shorter while it was in use; do not change model files that "
        "are in use, and start again\n";
    (void)sig;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(1);
    _exit(1);
}

static void log_to_stderr(void *user, enum log_level level, const char *line)
{
    (void)user;
    progress_bar_make_way();
    fprintf(stderr, "%s%s\n", level == LOG_WARN ? "warning: " : "", line);
}

static int fail(const struct err *err, int status)
{
    if (err->code != ERR_OK) fprintf(stderr, "cria: %s\n", err->text);
    return err->code == ERR_USAGE ? 2 : status;
}

/* What the user wrote where a command is expected. */
static int no_such_command(const char *word)
{
    const char *near = table_nearest_ptr((const void *const *)commands, word);
    if (near)
        fprintf(stderr, "cria: unknown command \"%s\"; did you mean \"%s\"?\n", word, near);
    else
        fprintf(stderr, "cria: unknown command \"%s\"; cria help lists them\n", word);
    return 2;
}

static int run_command(const struct command *cmd, int argc, char **argv)
{
    struct err err = {0};
    struct args *a = args_parse(cmd, argc, argv, &err);
    if (!a) return fail(&err, 2);
    int status = 0;
    if (args_flag(a, "help")) {
        help_command(cmd, stdout);
    } else {
        const enum log_level level = args_flag(a, "verbose") ? LOG_DEBUG
                                     : args_flag(a, "quiet") ? LOG_WARN
                                                             : LOG_INFO;
        log_set_sink(log_to_stderr, NULL, level);
        status = cmd->run(a, &err);
        if (status != 0) status = fail(&err, status);
    }
    args_free(a);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr,
                "cria: standard output: not everything could be written; is the disk full?\n");
        return status ? status : 1;
    }
    return status;
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    struct sigaction bus = {.sa_handler = on_bus_error};
    sigaction(SIGBUS, &bus, NULL);
    if (argc < 2) {
        help_overview(stderr);
        return 2;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) word = "help";
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) word = "version";
    const struct command *cmd = command_find(word);
    if (!cmd) return no_such_command(word);
    return run_command(cmd, argc - 2, argv + 2);
}
