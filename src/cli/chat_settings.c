/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_settings.c - how a chat's answers are drawn, and changing it while the chat goes on.
 *
 * `/set temp 0.5` must take the names and ranges of `--temp 0.5` and say the same when they are
 * wrong. So a settings object is a small command line of its own, "--NAME=VALUE" words, which
 * args.c parses by the rows of the answer and sampling groups; a change is tried on a copy of the
 * words and kept if it parses. Reading begins at chat_settings_set().
 */
#include "cli/chat_settings.h"

#include <stdlib.h>
#include <string.h>

#define MAX_WORDS 2000

static const struct option answer_rows[] = {
    /* clang-format off */
    /* name          letter arg  kind      min max      default choices rep    help */
    {"n",             'n', "N",  OPT_INT,  -1, 1048576, "-1",   NULL,   false, "most tokens of an answer; -1: until the model stops"},
    {"context-shift", 0,   NULL, OPT_FLAG, 0,  0,       NULL,   NULL,   false, "when the context is full forget the oldest turns and go on"},
    {0},
    /* clang-format on */
};
const struct option_group answer_group = {"Answers", answer_rows};

static const struct option_group *const groups[] = {&answer_group, &sampling_group, NULL};
static const struct command set_command = {.name = "chat", .groups = groups};

static bool parse(struct chat_settings *s, struct err *err)
{
    s->parsed = args_parse(&set_command, s->n_words, s->word, err);
    return s->parsed != NULL;
}

/* Appends "--NAME=VALUE", or "--NAME" for value NULL. */
static bool add_word(struct chat_settings *s, const char *name, const char *value, struct err *err)
{
    if (s->n_words == MAX_WORDS)
        return err_set(err, ERR_LIMIT, "%d settings were made, the most there may be; start anew",
                       MAX_WORDS);
    char **more = realloc(s->word, ((size_t)s->n_words + 1) * sizeof *more);
    if (more) s->word = more;
    const size_t n = strlen(name) + (value ? strlen(value) : 0) + 4;
    char *w = more ? malloc(n) : NULL;
    if (!w) return err_set(err, ERR_MEMORY, "no memory for the settings");
    snprintf(w, n, "--%s%s%s", name, value ? "=" : "", value ? value : "");
    s->word[s->n_words++] = w;
    return true;
}

/* True if the word sets `name`. */
static bool is_of(const char *word, const char *name)
{
    const size_t n = strlen(name);
    return strncmp(word + 2, name, n) == 0 && (word[2 + n] == '=' || !word[2 + n]);
}

/* What the command line gave for one row. */
static bool copy_given(struct chat_settings *s, const struct args *a, const struct option *o,
                       struct err *err)
{
    if (!args_has(a, o->name)) return true;
    if (o->kind == OPT_FLAG) return add_word(s, o->name, NULL, err);
    if (!o->is_repeated) return add_word(s, o->name, args_str(a, o->name), err);
    for (int i = 0; i < args_count(a, o->name); i++)
        if (!add_word(s, o->name, args_nth(a, o->name, i), err)) return false;
    return true;
}

bool chat_settings_init(struct chat_settings *s, const struct args *a, struct err *err)
{
    bool ok = true;
    *s = (struct chat_settings){0};
    for (const struct option_group *const *g = groups; *g; g++)
        for (const struct option *o = (*g)->options; ok && o->name; o++)
            ok = copy_given(s, a, o, err);
    ok = ok && parse(s, err);
    if (!ok) chat_settings_release(s);
    return ok;
}

void chat_settings_release(struct chat_settings *s)
{
    args_free(s->parsed);
    for (int i = 0; i < s->n_words; i++) free(s->word[i]);
    free(s->word);
    *s = (struct chat_settings){0};
}

static const struct option *row_of(const char *name)
{
    for (const struct option_group *const *g = groups; *g; g++)
        for (const struct option *o = (*g)->options; o->name; o++)
            if (strcmp(o->name, name) == 0) return o;
    return NULL;
}

/* The words of `old` but those that the new setting replaces, and the new one. */
static bool changed_words(const struct chat_settings *old, const char *name, const char *value,
                          struct chat_settings *out, struct err *err)
{
    const struct option *o = row_of(name);
    const bool is_flag = o && o->kind == OPT_FLAG;
    const bool is_off = is_flag && value && strcmp(value, "off") == 0;
    for (int i = 0; i < old->n_words; i++) {
        const char *w = old->word[i];
        if (o && !o->is_repeated && is_of(w, name)) continue;
        const char *eq = strchr(w, '=');
        char old_name[64];
        snprintf(old_name, sizeof old_name, "%.*s", (int)(eq ? eq - w - 2 : 60), w + 2);
        if (!add_word(out, old_name, eq ? eq + 1 : NULL, err)) return false;
    }
    if (is_off) return true;
    if (is_flag && value && strcmp(value, "on") == 0) value = NULL;
    if (!is_flag && o && !value)
        return err_set(err, ERR_USAGE, "%s wants a value: /set %s %s", name, name, o->arg);
    return add_word(out, name, value, err);
}

bool chat_settings_set(struct chat_settings *s, const char *name, const char *value,
                       const struct tokenizer *t, struct err *err)
{
    struct chat_settings next = {0};
    struct sampler_params p;
    struct logit_bias *bias = calloc(SAMPLER_MAX_BIAS, sizeof *bias);
    bool ok = bias || err_set(err, ERR_MEMORY, "no memory for the settings");
    ok = ok && changed_words(s, name, value, &next, err) && parse(&next, err) &&
         chat_settings_sampling(&next, t, bias, &p, err);
    free(bias);
    if (!ok) {
        chat_settings_release(&next);
        return false;
    }
    chat_settings_release(s);
    *s = next;
    return true;
}

static void show_one(const struct chat_settings *s, const struct option *o, FILE *out)
{
    const char *value = args_str(s->parsed, o->name);
    if (o->kind == OPT_FLAG) value = args_flag(s->parsed, o->name) ? "on" : "off";
    if (o->is_repeated && value) {
        for (int i = 0; i < args_count(s->parsed, o->name); i++)
            fprintf(out, "  %-18s %-8s %s\n", o->name, args_nth(s->parsed, o->name, i), o->help);
        return;
    }
    fprintf(out, "  %-18s %-8s %s\n", o->name, value ? value : "-", o->help);
}

bool chat_settings_show(const struct chat_settings *s, const char *name, FILE *out)
{
    bool is_found = false;
    for (const struct option_group *const *g = groups; *g; g++)
        for (const struct option *o = (*g)->options; o->name; o++) {
            if (name && strcmp(o->name, name) != 0) continue;
            is_found = true;
            show_one(s, o, out);
        }
    return is_found;
}

bool chat_settings_sampling(const struct chat_settings *s, const struct tokenizer *t,
                            struct logit_bias bias[SAMPLER_MAX_BIAS], struct sampler_params *out,
                            struct err *err)
{
    return options_sampling(s->parsed, t, bias, out, err);
}

int32_t chat_settings_most_tokens(const struct chat_settings *s)
{
    return (int32_t)args_int(s->parsed, "n");
}

bool chat_settings_shifts(const struct chat_settings *s)
{
    return args_flag(s->parsed, "context-shift");
}
