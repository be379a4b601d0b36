/* SPDX-License-Identifier: Apache-2.0
 *
 * args.c - the command line, read by the option tables.
 *
 * getopt_long's rules as users expect them (--name VALUE, --name=VALUE, -x VALUE, -xVALUE, bundled
 * flags, "--" ends options), but from our rows, because the same rows make the help, the man pages
 * and the completion, and because a row knows the range of its value: a number is checked here, so
 * no command checks it again. popt and argp can do neither.
 *
 * A value comes from the command line, else from the environment (CRIA_ and the name in capitals),
 * else from the file that --config names (config_file.c), else from the row's default. An empty
 * variable counts as unset. A wrong value in the file is an error even where it would not count.
 */
#include "cli/command.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/table.h"

enum { MAX_GIVEN = 4096, MAX_CONFIG_BYTES = 8 << 20 };

struct given {
    const struct option *o;
    const char *value;
};

struct args {
    const struct command *cmd;
    struct given *given;
    int n_given;
    const char **operand;
    int n_operands;
    struct arena *memory; /* of values from the file; NULL without one */
};

const struct option common_options[] = {
    /* clang-format off */
    {"help",    'h', NULL, OPT_FLAG, 0, 0, NULL, NULL, false, "show this help"},
    {"quiet",   'q', NULL, OPT_FLAG, 0, 0, NULL, NULL, false, "no banner, no progress bars, only warnings"},
    {"verbose", 'v', NULL, OPT_FLAG, 0, 0, NULL, NULL, false, "say more on stderr"},
    {0},
    /* clang-format on */
};

void command_options(const struct command *cmd, option_visit *fn, void *user)
{
    for (const struct option *o = cmd->options; o && o->name; o++) fn(user, NULL, o);
    for (const struct option_group *const *g = cmd->groups; g && *g; g++)
        for (const struct option *o = (*g)->options; o->name; o++) fn(user, (*g)->title, o);
    for (const struct option *o = common_options; o->name; o++) fn(user, "Common", o);
}

struct search {
    const char *name; /* long name of n letters, or NULL for a letter */
    size_t n;
    char letter;
    const struct option *found;
    const char *nearest;
    int distance;
};

static void match_option(void *user, const char *title, const struct option *o)
{
    struct search *s = user;
    (void)title;
    if (!s->name) {
        if (o->letter == s->letter) s->found = o;
        return;
    }
    if (strlen(o->name) == s->n && strncmp(o->name, s->name, s->n) == 0) s->found = o;
    char word[64];
    if (s->n >= sizeof word) return;
    memcpy(word, s->name, s->n);
    word[s->n] = '\0';
    const int d = str_distance(word, o->name);
    if (d < s->distance) {
        s->distance = d;
        s->nearest = o->name;
    }
}

const struct option *option_find(const struct command *cmd, const char *name, size_t n_name,
                                 const char **nearest)
{
    struct search s = {.name = name, .n = n_name, .distance = 100};
    command_options(cmd, match_option, &s);
    *nearest = s.distance <= 1 + (int)n_name / 3 ? s.nearest : NULL;
    return s.found;
}

static const struct option *find_long(const struct command *cmd, const char *name, size_t n,
                                      struct err *err)
{
    const char *nearest = NULL;
    const struct option *o = option_find(cmd, name, n, &nearest);
    if (o) return o;
    if (nearest)
        err_set(err, ERR_USAGE, "unknown option --%.*s; did you mean --%s?", (int)n, name, nearest);
    else
        err_set(err, ERR_USAGE, "unknown option --%.*s; see cria %s --help", (int)n, name,
                cmd->name);
    return NULL;
}

static const struct option *find_letter(const struct command *cmd, char letter, struct err *err)
{
    struct search s = {.letter = letter};
    command_options(cmd, match_option, &s);
    if (!s.found)
        err_set(err, ERR_USAGE, "unknown option -%c; see cria %s --help", letter, cmd->name);
    return s.found;
}

static bool check_number(const struct option *o, const char *value, struct err *err)
{
    char *end = NULL;
    errno = 0;
    const bool is_int = o->kind == OPT_INT;
    const double v = is_int ? (double)strtoll(value, &end, 10) : strtod(value, &end);
    if (end == value || *end || errno == ERANGE || !(v == v))
        return err_set(err, ERR_USAGE, "--%s: \"%s\" is not a %snumber; give one from %g to %g",
                       o->name, value, is_int ? "whole " : "", o->min, o->max);
    if (v < o->min || v > o->max)
        return err_set(err, ERR_USAGE, "--%s: %s is out of range; give a number from %g to %g",
                       o->name, value, o->min, o->max);
    return true;
}

static bool check_choice(const struct option *o, const char *value, struct err *err)
{
    char all[300] = "";
    size_t n = 0;
    for (const char *const *c = o->choices(); *c; c++) {
        if (strcmp(*c, value) == 0) return true;
        const int w = snprintf(all + n, sizeof all - n, "%s%s", n ? ", " : "", *c);
        n += w > 0 && (size_t)w < sizeof all - n ? (size_t)w : 0;
    }
    return err_set(err, ERR_USAGE, "--%s: \"%s\" is unknown; choose one of: %s", o->name, value,
                   all);
}

static bool check_value(const struct option *o, const char *value, struct err *err)
{
    if (o->kind == OPT_INT || o->kind == OPT_FLOAT) return check_number(o, value, err);
    if (o->kind == OPT_NAME && o->choices) return check_choice(o, value, err);
    if (o->kind == OPT_FILE && !*value)
        return err_set(err, ERR_USAGE, "--%s: the path is empty; give a path", o->name);
    return true;
}

static bool add_given(struct args *a, const struct option *o, const char *value, struct err *err)
{
    if (o->kind != OPT_FLAG && !check_value(o, value, err)) return false;
    if (a->n_given == MAX_GIVEN)
        return err_set(err, ERR_USAGE, "more than %d options; give fewer", MAX_GIVEN);
    a->given[a->n_given++] = (struct given){o, value};
    return true;
}

/* The option at argv[i], which begins with "--". Returns how many words it used, 0 on failure. */
static int parse_long(struct args *a, int argc, char **argv, int i, struct err *err)
{
    const char *name = argv[i] + 2;
    const char *eq = strchr(name, '=');
    const size_t n = eq ? (size_t)(eq - name) : strlen(name);
    const struct option *o = find_long(a->cmd, name, n, err);
    if (!o) return 0;
    if (o->kind == OPT_FLAG) {
        if (eq) {
            err_set(err, ERR_USAGE, "--%s takes no value; leave out \"%s\"", o->name, eq);
            return 0;
        }
        return add_given(a, o, NULL, err) ? 1 : 0;
    }
    if (eq) return add_given(a, o, eq + 1, err) ? 1 : 0;
    if (i + 1 >= argc) {
        err_set(err, ERR_USAGE, "--%s wants a value: --%s %s", o->name, o->name, o->arg);
        return 0;
    }
    return add_given(a, o, argv[i + 1], err) ? 2 : 0;
}

/* The letters at argv[i], which begins with one dash. */
static int parse_short(struct args *a, int argc, char **argv, int i, struct err *err)
{
    for (const char *p = argv[i] + 1; *p; p++) {
        const struct option *o = find_letter(a->cmd, *p, err);
        if (!o) return 0;
        if (o->kind == OPT_FLAG) {
            if (!add_given(a, o, NULL, err)) return 0;
            continue;
        }
        if (p[1]) return add_given(a, o, p + 1, err) ? 1 : 0;
        if (i + 1 >= argc) {
            err_set(err, ERR_USAGE, "-%c wants a value: -%c %s", *p, *p, o->arg);
            return 0;
        }
        return add_given(a, o, argv[i + 1], err) ? 2 : 0;
    }
    return 1;
}

static const char *environment_value(const struct option *o)
{
    char name[80] = "CRIA_";
    size_t n = strlen(name);
    for (const char *p = o->name; *p && n + 1 < sizeof name; p++)
        name[n++] = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    name[n] = '\0';
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

struct from_environment {
    struct args *a;
    struct err *err;
    bool ok;
};

static void add_environment(void *user, const char *title, const struct option *o)
{
    struct from_environment *f = user;
    (void)title;
    const char *value = environment_value(o);
    if (!f->ok || !value) return;
    for (int i = 0; i < f->a->n_given; i++)
        if (f->a->given[i].o == o) return;
    if (o->kind == OPT_FLAG && strcmp(value, "0") == 0) return;
    f->ok = add_given(f->a, o, value, f->err) || err_wrap(f->err, "environment");
}

struct from_file {
    struct args *a;
    int n_before; /* what was given before the file */
};

static bool take_from_file(void *user, const struct option *o, const char *value, struct err *err)
{
    const struct from_file *f = user;
    bool is_given = environment_value(o) != NULL; /* a flag may be switched off there */
    for (int i = 0; i < f->n_before; i++) is_given = is_given || f->a->given[i].o == o;
    if (!is_given) return add_given(f->a, o, value, err);
    return o->kind == OPT_FLAG || check_value(o, value, err);
}

static bool add_file(struct args *a, struct err *err)
{
    const char *nearest = NULL;
    if (!option_find(a->cmd, "config", strlen("config"), &nearest)) return true;
    const char *path = args_str(a, "config");
    struct from_file f = {a, a->n_given};
    if (!path) return true;
    a->memory = arena_new(MAX_CONFIG_BYTES, err);
    return a->memory && config_read(a->cmd, path, a->memory, take_from_file, &f, err);
}

static bool wants_help(const struct args *a) { return args_flag(a, "help"); }

static bool parse_words(struct args *a, int argc, char **argv, struct err *err)
{
    bool is_over = false;
    for (int i = 0; i < argc;) {
        const char *w = argv[i];
        if (is_over || w[0] != '-' || !w[1]) {
            a->operand[a->n_operands++] = w;
            i++;
        } else if (strcmp(w, "--") == 0) {
            is_over = true;
            i++;
        } else {
            const int used = w[1] == '-' ? parse_long(a, argc, argv, i, err)
                                         : parse_short(a, argc, argv, i, err);
            if (!used) return false;
            i += used;
        }
    }
    return true;
}

static bool check_operands(const struct args *a, struct err *err)
{
    const struct command *c = a->cmd;
    if (wants_help(a)) return true;
    if (a->n_operands < c->min_operands)
        return err_set(err, ERR_USAGE, "too few arguments; use: cria %s [options] %s", c->name,
                       c->operands);
    if (c->max_operands >= 0 && a->n_operands > c->max_operands)
        return err_set(err, ERR_USAGE, "unexpected argument \"%s\"; use: cria %s [options]%s%s",
                       a->operand[c->max_operands], c->name, c->operands ? " " : "",
                       c->operands ? c->operands : "");
    return true;
}

struct args *args_parse(const struct command *cmd, int argc, char **argv, struct err *err)
{
    struct args *a = calloc(1, sizeof *a);
    if (a) {
        a->cmd = cmd;
        a->given = calloc(MAX_GIVEN, sizeof *a->given);
        a->operand = calloc((size_t)argc + 1, sizeof *a->operand);
    }
    if (!a || !a->given || !a->operand) {
        err_set(err, ERR_MEMORY, "no memory for the command line");
        goto fail;
    }
    if (!parse_words(a, argc, argv, err)) goto fail;
    struct from_environment f = {a, err, true};
    command_options(cmd, add_environment, &f);
    if (!f.ok || !check_operands(a, err)) goto fail;
    if (!wants_help(a) && !add_file(a, err)) goto fail;
    return a;
fail:
    args_free(a);
    return NULL;
}

void args_free(struct args *a)
{
    if (!a) return;
    free(a->given);
    free(a->operand);
    arena_free(a->memory);
    free(a);
}

/* The row of a name, which must exist: a miss is a programmer's mistake. */
static const struct option *row_of(const struct args *a, const char *name)
{
    const char *nearest = NULL;
    const struct option *o = option_find(a->cmd, name, strlen(name), &nearest);
    assert(o);
    return o;
}

bool args_has(const struct args *a, const char *name) { return args_count(a, name) > 0; }

bool args_flag(const struct args *a, const char *name) { return args_count(a, name) > 0; }

const char *args_str(const struct args *a, const char *name)
{
    const struct option *o = row_of(a, name);
    const char *v = o->fallback;
    for (int i = 0; i < a->n_given; i++)
        if (a->given[i].o == o) v = a->given[i].value; /* the last one counts */
    return v;
}

int64_t args_int(const struct args *a, const char *name)
{
    const char *v = args_str(a, name);
    return v ? strtoll(v, NULL, 10) : 0;
}

double args_float(const struct args *a, const char *name)
{
    const char *v = args_str(a, name);
    return v ? strtod(v, NULL) : 0.0;
}

int args_count(const struct args *a, const char *name)
{
    const struct option *o = row_of(a, name);
    int n = 0;
    for (int i = 0; i < a->n_given; i++) n += a->given[i].o == o;
    return n;
}

const char *args_nth(const struct args *a, const char *name, int i)
{
    const struct option *o = row_of(a, name);
    for (int g = 0; g < a->n_given; g++)
        if (a->given[g].o == o && i-- == 0) return a->given[g].value;
    return NULL;
}

int args_n_operands(const struct args *a) { return a->n_operands; }

const char *args_operand(const struct args *a, int i) { return a->operand[i]; }
