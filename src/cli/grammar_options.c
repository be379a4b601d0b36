/* SPDX-License-Identifier: Apache-2.0
 *
 * grammar_options.c - --json-schema, --regex and --grammar: what an answer may be.
 *
 * A schema or grammar is a file, or the text itself where nobody would name a file so: a schema
 * begins with {, and a grammar holds ::=. Nothing is generated without the constraint that was
 * asked for: it is compiled before the model is opened, and errors name the option and the place.
 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/options.h"

static const char *const spaces[] = {"free", "compact", "wide", NULL};
static const char *const *space_names(void) { return spaces; }

static const struct option rows[] = {
    /* clang-format off */
    /* name         letter arg           kind      min max default choices      rep    help */
    {"json-schema", 0,     "FILE|{...}", OPT_FILE, 0,  0,  NULL,   NULL,        false, "the answer is JSON that fits this schema"},
    {"json-space",  0,     "KIND",       OPT_NAME, 0,  0,  "free", space_names, false, "white space in that JSON: free, compact (none), wide (one space behind : and ,)"},
    {"regex",       0,     "R",          OPT_STR,  0,  0,  NULL,   NULL,        false, "the answer is a text that this regular expression matches as a whole"},
    {"grammar",     0,     "FILE",       OPT_FILE, 0,  0,  NULL,   NULL,        false, "the answer is a text of this grammar (GBNF)"},
    {0},
    /* clang-format on */
};
const struct option_group constraint_group = {"What the answer may be", rows};

static enum schema_space space_of(const char *name)
{
    for (int i = 0; spaces[i]; i++)
        if (strcmp(spaces[i], name) == 0) return (enum schema_space)i;
    return SPACE_FREE;
}

static bool is_text(const char *option, const char *value)
{
    if (strcmp(option, "regex") == 0) return true;
    if (strcmp(option, "grammar") == 0) return strstr(value, "::=") != NULL;
    return value[strspn(value, " \t\r\n")] == '{';
}

static bool read_text(const char *option, const char *value, struct buf *out, struct err *err)
{
    if (!is_text(option, value)) return file_read_all(value, GRAMMAR_MAX_TEXT_BYTES, out, err);
    buf_puts(out, value);
    return buf_check(out, option, err);
}

static struct grammar *compile(const struct args *a, const char *option, const struct buf *text,
                               struct err *err)
{
    char name[48];
    const char *s = text->data ? text->data : "";
    snprintf(name, sizeof name, "--%s", option);
    if (strcmp(option, "regex") == 0) return grammar_from_regex(s, text->n_bytes, name, err);
    if (strcmp(option, "grammar") == 0) return grammar_from_gbnf(s, text->n_bytes, name, err);
    return grammar_from_schema(s, text->n_bytes, space_of(args_str(a, "json-space")), name, err);
}

bool options_grammar(const struct args *a, struct grammar **out, struct err *err)
{
    static const char *const names[] = {"json-schema", "regex", "grammar"};
    const char *option = NULL;
    *out = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!args_str(a, names[i])) continue;
        if (option)
            return err_set(err, ERR_USAGE, "--%s and --%s together; give one of them", option,
                           names[i]);
        option = names[i];
    }
    if (!option) return true;
    struct buf text;
    buf_init(&text, GRAMMAR_MAX_TEXT_BYTES);
    if (read_text(option, args_str(a, option), &text, err)) *out = compile(a, option, &text, err);
    buf_release(&text);
    return *out != NULL;
}
