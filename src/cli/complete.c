/* SPDX-License-Identifier: Apache-2.0
 *
 * complete.c - shell completion for bash, zsh and fish, written from the option tables.
 *
 * The scripts are plain lists of words, made when the program is built and installed with it; they
 * do not call the program back, so that a Tab is instant and works before a model is there.
 */
#include "cli/command.h"

#include <string.h>

const char *const completion_shells[] = {"bash", "zsh", "fish", NULL};

static void print_word(void *user, const char *title, const struct option *o)
{
    (void)title;
    fprintf(user, "--%s ", o->name);
}

/* bash: the arguments of one option, where they are names or files. */
static void bash_argument(void *user, const char *title, const struct option *o)
{
    FILE *out = user;
    (void)title;
    if (o->kind == OPT_FILE)
        fprintf(out, "        --%s) COMPREPLY=($(compgen -f -- \"$w\")); return ;;\n", o->name);
    if (o->kind != OPT_NAME || !o->choices) return;
    fprintf(out, "        --%s) COMPREPLY=($(compgen -W \"", o->name);
    for (const char *const *c = o->choices(); *c; c++) fprintf(out, "%s ", *c);
    fprintf(out, "\" -- \"$w\")); return ;;\n");
}

static void bash_script(FILE *out)
{
    fputs("# bash completion for cria\n_cria() {\n    local w=${COMP_WORDS[COMP_CWORD]} "
          "p=${COMP_WORDS[COMP_CWORD-1]}\n    COMPREPLY=()\n"
          "    if [ \"$COMP_CWORD\" = 1 ]; then\n        COMPREPLY=($(compgen -W \"",
          out);
    for (const struct command *const *c = commands; *c; c++) fprintf(out, "%s ", (*c)->name);
    fputs("\" -- \"$w\")); return\n    fi\n    case ${COMP_WORDS[1]} in\n", out);
    for (const struct command *const *c = commands; *c; c++) {
        fprintf(out, "    %s)\n        case $p in\n", (*c)->name);
        command_options(*c, bash_argument, out);
        fputs("        esac\n        case $w in -*) COMPREPLY=($(compgen -W \"", out);
        command_options(*c, print_word, out);
        fputs("\" -- \"$w\")); return ;; esac ;;\n", out);
    }
    fputs("    esac\n    COMPREPLY=($(compgen -f -- \"$w\"))\n}\ncomplete -o filenames -F _cria "
          "cria\n",
          out);
}

static void zsh_option(void *user, const char *title, const struct option *o)
{
    FILE *out = user;
    (void)title;
    fprintf(out, " \\\n            '%s--%s[", o->is_repeated ? "*" : "", o->name);
    for (const char *h = o->help; *h; h++) {
        if (*h == '\'')
            fputs("'\\''", out);
        else if (strchr("[]:\\", *h))
            fprintf(out, "\\%c", *h);
        else
            fputc(*h, out);
    }
    fputs("]", out);
    if (o->kind == OPT_FILE)
        fprintf(out, ":%s:_files", o->arg);
    else if (o->kind == OPT_NAME && o->choices) {
        fprintf(out, ":%s:(", o->arg);
        for (const char *const *c = o->choices(); *c; c++) fprintf(out, "%s ", *c);
        fputs(")", out);
    } else if (o->arg)
        fprintf(out, ":%s: ", o->arg);
    fputs("'", out);
}

static void zsh_script(FILE *out)
{
    fputs("#compdef cria\n_cria() {\n    if (( CURRENT == 2 )); then\n        local -a all=(", out);
    for (const struct command *const *c = commands; *c; c++)
        fprintf(out, "\n            '%s:%s'", (*c)->name, (*c)->what);
    fputs(")\n        _describe command all\n        return\n    fi\n    local command=$words[2]\n"
          "    shift words; (( CURRENT-- ))\n    case $command in\n",
          out);
    for (const struct command *const *c = commands; *c; c++) {
        fprintf(out, "        %s) _arguments", (*c)->name);
        command_options(*c, zsh_option, out);
        fputs(" \\\n            '*:file:_files' ;;\n", out);
    }
    fputs("    esac\n}\n_cria \"$@\"\n", out);
}

struct fish {
    FILE *out;
    const char *command;
};

static void fish_option(void *user, const char *title, const struct option *o)
{
    const struct fish *f = user;
    (void)title;
    fprintf(f->out, "complete -c cria -n '__fish_seen_subcommand_from %s' -l %s", f->command,
            o->name);
    if (o->letter) fprintf(f->out, " -s %c", o->letter);
    if (o->kind == OPT_FILE)
        fputs(" -r -F", f->out);
    else if (o->kind == OPT_NAME && o->choices) {
        fputs(" -x -a '", f->out);
        for (const char *const *c = o->choices(); *c; c++) fprintf(f->out, "%s ", *c);
        fputs("'", f->out);
    } else if (o->arg)
        fputs(" -x", f->out);
    fputs(" -d '", f->out);
    for (const char *h = o->help; *h; h++) {
        if (*h == '\'' || *h == '\\') fputc('\\', f->out);
        fputc(*h, f->out);
    }
    fputs("'\n", f->out);
}

static void fish_script(FILE *out)
{
    for (const struct command *const *c = commands; *c; c++) {
        fprintf(out, "complete -c cria -n __fish_use_subcommand -x -a %s -d '%s'\n", (*c)->name,
                (*c)->what);
        struct fish f = {out, (*c)->name};
        command_options(*c, fish_option, &f);
    }
}

bool completion_script(const char *shell, FILE *out)
{
    if (strcmp(shell, "bash") == 0)
        bash_script(out);
    else if (strcmp(shell, "zsh") == 0)
        zsh_script(out);
    else if (strcmp(shell, "fish") == 0)
        fish_script(out);
    else
        return false;
    return true;
}
