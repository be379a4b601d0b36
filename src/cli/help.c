/* SPDX-License-Identifier: Apache-2.0
 *
 * help.c - help on the terminal and the man pages, both walks over the option tables.
 *
 * Man pages are written in mdoc, the semantic man language that mandoc checks (-Tlint) and turns
 * into HTML; a page has the same parts in the same order as `cria COMMAND --help`, so whoever knows
 * one knows the other.
 */
#include "cli/command.h"

#include <ctype.h>
#include <string.h>

/* "  -m, --model FILE   " */
static int option_head(const struct option *o, char *s, size_t n)
{
    char letter[8] = "    ";
    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    return snprintf(s, n, "  %s--%s%s%s", letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "");
}

static void option_tail(const struct option *o, char *s, size_t n)
{
    size_t used = 0;
    s[0] = '\0';
    if (o->kind == OPT_NAME && o->choices) {
        for (const char *const *c = o->choices(); *c && used < n; c++)
            used += (size_t)snprintf(s + used, n - used, "%s%s", used ? ", " : " (", *c);
        if (used < n) used += (size_t)snprintf(s + used, n - used, ")");
    }
    if (o->fallback && used < n) snprintf(s + used, n - used, " [%s]", o->fallback);
}

struct printing {
    FILE *out;
    const char *title;
};

static void print_option(void *user, const char *title, const struct option *o)
{
    struct printing *p = user;
    if (title != p->title) {
        if (title) fprintf(p->out, "\n%s options:\n", title);
        p->title = title;
    }
    char head[120], tail[400];
    const int n = option_head(o, head, sizeof head);
    option_tail(o, tail, sizeof tail);
    fprintf(p->out, "%s%*s%s%s\n", head, n < 28 ? 28 - n : 2, "", o->help, tail);
}

void help_overview(FILE *out)
{
    fprintf(out, "cria - the Llama 3 system in C\n\nusage: cria COMMAND [options]\n\n");
    for (const struct command *const *c = commands; *c; c++)
        fprintf(out, "  %-12s %s\n", (*c)->name, (*c)->what);
    fprintf(out,
            "\nOptions of a command: cria COMMAND --help. Every option --some-name can also be\n"
            "set by the environment variable CRIA_SOME_NAME.\n");
}

void help_command(const struct command *cmd, FILE *out)
{
    fprintf(out, "cria %s - %s\n\nusage: cria %s [options]%s%s\n", cmd->name, cmd->what, cmd->name,
            cmd->operands ? " " : "", cmd->operands ? cmd->operands : "");
    if (cmd->details) fprintf(out, "\n%s\n", cmd->details);
    struct printing p = {out, NULL};
    if (cmd->options) fprintf(out, "\nOptions:\n");
    command_options(cmd, print_option, &p);
    if (cmd->example) fprintf(out, "\nExamples:\n%s\n", cmd->example);
}

/* Text with the characters that roff would take for its own escaped. */
static void mdoc_text(FILE *out, const char *s, size_t n)
{
    bool is_line_start = true;
    for (size_t i = 0; i < n; i++) {
        if (is_line_start && (s[i] == '.' || s[i] == '\'')) fputs("\\&", out);
        if (s[i] == '\\')
            fputs("\\e", out);
        else if (s[i] == '-')
            fputs("\\-", out);
        else
            fputc(s[i], out);
        is_line_start = s[i] == '\n';
    }
}

/* Prose: a line a sentence, as mdoc wants it. */
static void mdoc_prose(FILE *out, const char *s, size_t n)
{
    size_t begin = 0;
    for (size_t i = 1; i < n; i++) {
        if (s[i] != ' ' || !strchr(".?!", s[i - 1])) continue;
        mdoc_text(out, s + begin, i - begin);
        fputc('\n', out);
        begin = i + 1;
    }
    mdoc_text(out, s + begin, n - begin);
}

static void mdoc_paragraphs(FILE *out, const char *s)
{
    while (*s) {
        const char *gap = strstr(s, "\n\n");
        const size_t n = gap ? (size_t)(gap - s) : strlen(s);
        mdoc_prose(out, s, n);
        fputc('\n', out);
        s += n;
        if (gap) {
            s += 2;
            fputs(".Pp\n", out);
        }
    }
}

static void mdoc_option(void *user, const char *title, const struct option *o)
{
    struct printing *p = user;
    if (title != p->title && title) {
        fprintf(p->out, ".El\n.Ss %s options\n.Bl -tag -width Ds\n", title);
        p->title = title;
    }
    fprintf(p->out, ".It ");
    if (o->letter) fprintf(p->out, "Fl %c , ", o->letter);
    fprintf(p->out, "Fl \\-%s%s%s\n", o->name, o->arg ? " Ar " : "", o->arg ? o->arg : "");
    char tail[400];
    option_tail(o, tail, sizeof tail);
    mdoc_text(p->out, o->help, strlen(o->help));
    mdoc_text(p->out, tail, strlen(tail));
    fputs(".\n", p->out);
}

static void mdoc_head(FILE *out, const char *title, const char *name, const char *what)
{
    fputs(".Dd $Mdocdate$\n.Dt ", out);
    for (const char *c = title; *c; c++) fputc(toupper((unsigned char)*c), out);
    fprintf(out, " 1\n.Os\n.Sh NAME\n.Nm %s\n.Nd ", name);
    mdoc_text(out, what, strlen(what));
    fputs("\n.Sh SYNOPSIS\n", out);
}

static void man_overview(FILE *out)
{
    mdoc_head(out, "cria", "cria", "the Llama 3 system in C");
    fputs(".Nm\n.Ar command\n.Op Ar options\n.Sh DESCRIPTION\nRun Llama models on this machine.\n"
          "Each command has a page of its own.\n.Bl -tag -width Ds\n",
          out);
    for (const struct command *const *c = commands; *c; c++) {
        fprintf(out, ".It Xr cria-%s 1\n", (*c)->name);
        mdoc_text(out, (*c)->what, strlen((*c)->what));
        fputs(".\n", out);
    }
    fputs(
        ".El\n.Sh ENVIRONMENT\nEvery option can be set by a variable: its name in capitals, with\n"
        ".Ev CRIA_\nin front and underscores for dashes.\nThe command line wins.\n"
        ".Sh FILES\n.Bl -tag -width Ds\n.It Pa ~/.cache/cria/models\nfetched models.\n.El\n"
        ".Sh EXIT STATUS\n0 on success, 1 when something failed, 2 for a wrong command line.\n",
        out);
}

void man_page(const struct command *cmd, FILE *out)
{
    if (!cmd) {
        man_overview(out);
        return;
    }
    char name[64];
    snprintf(name, sizeof name, "cria-%s", cmd->name);
    mdoc_head(out, name, name, cmd->what);
    fprintf(out, ".Nm cria %s\n.Op Ar options\n", cmd->name);
    if (cmd->operands) fprintf(out, ".Ar %s\n", cmd->operands);
    fputs(".Sh DESCRIPTION\n", out);
    if (cmd->details)
        mdoc_paragraphs(out, cmd->details);
    else
        fprintf(out, "%c%s.\n", toupper((unsigned char)cmd->what[0]), cmd->what + 1);
    fputs(".Ss Options\n.Bl -tag -width Ds\n", out);
    struct printing p = {out, NULL};
    command_options(cmd, mdoc_option, &p);
    fputs(".El\n", out);
    fputs(".Sh EXIT STATUS\n0 on success, 1 when something failed, 2 for a wrong command line.\n",
          out);
    if (cmd->example) {
        fputs(".Sh EXAMPLES\n.Bd -literal -offset indent\n", out);
        mdoc_text(out, cmd->example, strlen(cmd->example));
        fputs("\n.Ed\n", out);
    }
    fputs(".Sh SEE ALSO\n.Xr cria 1\n", out);
}
