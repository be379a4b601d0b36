/* command.h - the command and option tables: parser, help, man pages, shell completion and docs are
 * all made from these rows.
 *
 * A command is one file cmd_NAME.c that ends in one `const struct command`, and one line in
 * commands.c. Options that several commands share (the model, the engine, sampling) are groups of
 * rows in options.c. Every option can also be set by the environment: `--top-k` by CRIA_TOP_K; and
 * if the command has a row "config", by a file in TOML. The command line wins over the environment,
 * which wins over the file. Parsed values are read by name; asking for an option that the command's
 * tables do not have is an assert. cli/ is the only room that prints and exits. One thread at a
 * time.
 */
#ifndef CRIA_CLI_COMMAND_H
#define CRIA_CLI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum option_kind {
    OPT_FLAG,  /* no argument */
    OPT_INT,   /* a whole number in [min, max] */
    OPT_FLOAT, /* a number in [min, max] */
    OPT_STR,
    OPT_FILE, /* a path: completion offers files */
    OPT_NAME, /* one of choices() */
};

struct option {
    const char *name; /* long name without dashes; NULL ends a table */
    char letter;      /* short form, or 0 */
    const char *arg;  /* what the argument is called in help; NULL for flags */
    enum option_kind kind;
    double min, max;
    const char *fallback;                /* the default as one would write it; NULL: unset */
    const char *const *(*choices)(void); /* OPT_NAME: the names, ended by NULL */
    bool is_repeated;
    const char *help; /* one line, lower case, no full stop */
};

struct option_group {
    const char *title; /* "Model", a heading in help */
    const struct option *options;
};

struct arena;
struct args; /* the parsed command line */

struct command {
    const char *name;
    const char *what;                         /* one line */
    const char *operands;                     /* "IN OUT", or NULL for none */
    int min_operands, max_operands;           /* max -1: any number */
    const struct option *options;             /* own rows, or NULL */
    const struct option_group *const *groups; /* shared rows, ended by NULL; or NULL */
    const char *details; /* paragraphs for help and the man page, separated by blank lines */
    const char *example; /* command lines for help and the man page, one a line */
    /* Exit status; a status other than 0 with `err` filled is printed by main as one line. */
    int (*run)(const struct args *a, struct err *err);
};

extern const struct command *const commands[];        /* ended by NULL */
const struct command *command_find(const char *name); /* or NULL */

/* ---- parsing (args.c) ---- */
/* Parses argv[0..argc) (after the command's name). Returns owned; ERR_USAGE names the option, what
 * is wrong with its value, and the nearest known name. Keeps argv and the tables. */
struct args *args_parse(const struct command *cmd, int argc, char **argv, struct err *err);
void args_free(struct args *a);

bool args_has(const struct args *a, const char *name); /* given anywhere */
bool args_flag(const struct args *a, const char *name);
int64_t args_int(const struct args *a, const char *name);
double args_float(const struct args *a, const char *name);
const char *args_str(const struct args *a, const char *name); /* NULL if unset */
int args_count(const struct args *a, const char *name);       /* repeated options */
const char *args_nth(const struct args *a, const char *name, int i);
int args_n_operands(const struct args *a);
const char *args_operand(const struct args *a, int i);

/* Options that every command has: --help, --quiet, --verbose. */
extern const struct option common_options[];

/* Calls fn for every option of a command with its group's title (NULL for own rows), own rows
 * first, common ones last: the one walk that help, man and completion share. */
typedef void option_visit(void *user, const char *title, const struct option *o);
void command_options(const struct command *cmd, option_visit *fn, void *user);

/* The row of a name, or NULL and the nearest name (NULL if none is near). */
const struct option *option_find(const struct command *cmd, const char *name, size_t n_name,
                                 const char **nearest);

/* ---- a file of options (config_file.c) ---- */
/* Calls take() for each value of the TOML file: its keys are long names of the command's options.
 * A flag that is false is not told. Values last as long as `memory`. ERR_USAGE or ERR_FORMAT names
 * file, line and the nearest known key; what take() fails with is told with its place too. */
typedef bool config_take(void *user, const struct option *o, const char *value, struct err *err);
bool config_read(const struct command *cmd, const char *path, struct arena *memory,
                 config_take *take, void *user, struct err *err) CRIA_CHECK;

/* ---- made from the tables ---- */
void help_overview(FILE *out);
void help_command(const struct command *cmd, FILE *out);
void man_page(const struct command *cmd, FILE *out);  /* NULL: cria(1) itself; mdoc */
bool completion_script(const char *shell, FILE *out); /* bash, zsh, fish; false for others */
extern const char *const completion_shells[];

#endif
