/* SPDX-License-Identifier: Apache-2.0
 *
 * config_file.c - options from a file, --config F.toml.
 *
 * There is no second list of settings: a key is the long name of an option, its type that of the
 * option's row (a flag is true or false, a repeated option may be an array), and what the row says
 * of its value is checked where the command line's is. So whatever can be said there can be written
 * down, and a key that does not exist is refused with the nearest that does.
 *
 * Paths in the file are taken from where the program runs, as on the command line.
 */
#include <inttypes.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/toml.h"
#include "cli/command.h"

struct reading {
    struct arena *memory;
    config_take *take;
    void *user;
};

static const char *wanted_by(const struct option *o)
{
    static const char *const words[] = {
        [OPT_FLAG] = "true or false", [OPT_INT] = "an integer", [OPT_FLOAT] = "a number",
        [OPT_STR] = "a string",       [OPT_FILE] = "a string",  [OPT_NAME] = "a string",
    };
    return words[o->kind];
}

/* The value as one would write it on the command line, or NULL: it is of another type. */
static const char *as_word(const struct option *o, const struct toml *v, char number[32])
{
    const bool is_text = o->kind == OPT_STR || o->kind == OPT_FILE || o->kind == OPT_NAME;
    if (v->type == TOML_STRING && is_text) return v->as.string.s;
    if (v->type == TOML_INT && (o->kind == OPT_INT || o->kind == OPT_FLOAT))
        snprintf(number, 32, "%" PRId64, v->as.integer);
    else if (v->type == TOML_FLOAT && o->kind == OPT_FLOAT)
        snprintf(number, 32, "%.17g", v->as.real);
    else
        return NULL;
    return number;
}

static bool take_value(const struct reading *r, const struct option *o, const struct toml *v,
                       struct err *err)
{
    char number[32];
    if (o->kind == OPT_FLAG && v->type == TOML_BOOL)
        return !v->as.is_true || r->take(r->user, o, NULL, err);
    const char *word = as_word(o, v, number);
    if (!word)
        return err_set(err, ERR_USAGE, "%s is %s; give %s%s", o->name, toml_type_name(v->type),
                       wanted_by(o), o->is_repeated ? ", or an array" : "");
    if (v->type == TOML_STRING && strlen(word) != v->as.string.n)
        return err_set(err, ERR_USAGE, "%s has a zero byte in it; leave it out", o->name);
    char *copy = arena_copy(r->memory, word, strlen(word), err);
    return copy && r->take(r->user, o, copy, err);
}

static bool take_key(const struct command *cmd, const struct reading *r, const struct toml *v,
                     struct err *err)
{
    const char *nearest = NULL;
    const struct option *o = option_find(cmd, v->key, v->n_key, &nearest);
    if (!o && nearest)
        return err_set(err, ERR_USAGE, "unknown key \"%.60s\"; did you mean \"%s\"?", v->key,
                       nearest);
    if (!o)
        return err_set(err, ERR_USAGE,
                       "unknown key \"%.60s\"; keys are the options that cria %s --help lists",
                       v->key, cmd->name);
    if (strcmp(o->name, "config") == 0 || strcmp(o->name, "help") == 0)
        return err_set(err, ERR_USAGE, "\"%s\" is for the command line only", o->name);
    if (v->type != TOML_ARRAY || !o->is_repeated) return take_value(r, o, v, err);
    for (const struct toml *e = v->first; e; e = e->next)
        if (!take_value(r, o, e, err)) return false;
    return true;
}

bool config_read(const struct command *cmd, const char *path, struct arena *memory,
                 config_take *take, void *user, struct err *err)
{
    const struct reading r = {memory, take, user};
    struct buf text;
    buf_init(&text, TOML_MAX_BYTES + 1);
    struct toml_doc *d = NULL;
    bool ok = file_read_all(path, TOML_MAX_BYTES, &text, err) &&
              (d = toml_parse(text.n_bytes ? text.data : "", text.n_bytes, path, err));
    for (const struct toml *v = ok ? toml_root(d)->first : NULL; ok && v; v = v->next)
        ok = take_key(cmd, &r, v, err) || toml_wrap(d, v, err);
    toml_free(d);
    buf_release(&text);
    return ok;
}
