/* command.h - the command and option tables: parser, help, man pages, shell completion and docs are
 * all made from these rows.
 *
 * A command is one file cmd_NAME.c that ends in one `const struct command`, and one line in
 * commands.c. Parsed values are read by name; asking for an option that the command's table does
 * not have is an assert. `cli/` is the only room that prints and exits.
 */
#ifndef CRIA_CLI_COMMAND_H
#define CRIA_CLI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum option_kind {
    OPT_FLAG,  /* no argument */
    OPT_INT,   /* in [min, max] */
    OPT_FLOAT, /* in [min, max] */
    OPT_STR,
    OPT_FILE, /* completes file names */
    OPT_NAME, /* one of `choices` (NULL: free) */
};

struct option {
    const char *name; /* long name without dashes */
    char letter;      /* short form, or 0 */
    const char *arg;  /* metavariable, NULL for flags */
    enum option_kind kind;
    double min, max;
    const char *fallback; /* default as written on the command line, NULL: unset */
    const char *const *(*choices)(void); /* names ended by NULL */
    bool is_repeated; /* may be given several times */
    const char *help; /* one line */
};

struct args; /* the parsed command line */

struct command {
    const char *name;
    const char *what;    /* one line */
    const char *operands; /* "IN OUT", "[TEXT...]", or NULL for none */
    int min_operands, max_operands; /* max -1: any number */
    const struct option *options;   /* own rows, ended by name NULL */
    const struct option *const *groups; /* shared tables (model, sampling...), ended by NULL; or NULL */
    const char *details; /* paragraphs for the man page; NULL-able */
    int (*run)(const struct args *a, struct err *err); /* exit status; err is printed by main */
};

extern const struct command *const commands[]; /* ended by NULL */

bool args_has(const struct args *a, const char *name); /* given on the command line */
bool args_flag(const struct args *a, const char *name);
int64_t args_int(const struct args *a, const char *name);
double args_float(const struct args *a, const char *name);
const char *args_str(const struct args *a, const char *name); /* NULL if unset */
int args_count(const struct args *a, const char *name);       /* repeated options */
const char *args_nth(const struct args *a, const char *name, int i);
int args_n_operands(const struct args *a);
const char *args_operand(const struct args *a, int i);

#endif
