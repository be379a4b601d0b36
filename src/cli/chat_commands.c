/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_commands.c - the /commands of `cria chat`, a row each; /help prints the table.
 *
 * A line that begins with a slash may also be a question about a path, so only a whole word of
 * letters is taken for a command, and a space in front makes any line a message. What commands have
 * to say is talk, hence stderr: stdout holds answers only. Begin reading at the table at the end.
 */
#include "cli/chat_commands.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

static bool is_empty(const char *s) { return !*s; }

static bool run_reset(struct chat_session *c, const char *rest, struct err *err)
{
    (void)rest;
    (void)err;
    conversation_reset(&c->talk);
    c->n_answers = 0;
    c->last = (struct turn){0};
    fprintf(stderr, "[a new conversation%s]\n",
            conversation_system(&c->talk) ? "; the system message stays" : "");
    return true;
}

static bool run_system(struct chat_session *c, const char *rest, struct err *err)
{
    if (is_empty(rest)) {
        const char *s = conversation_system(&c->talk);
        fprintf(stderr, "%s\n", s ? s : "[no system message; /system TEXT sets one]");
        return true;
    }
    const bool is_off = strcmp(rest, "-") == 0;
    if (!conversation_set_system(&c->talk, is_off ? NULL : rest, err)) return false;
    fprintf(stderr, "[system message %s, from the next answer on]\n", is_off ? "removed" : "set");
    return true;
}

static bool run_save(struct chat_session *c, const char *rest, struct err *err)
{
    if (is_empty(rest)) return err_set(err, ERR_USAGE, "/save wants a file: /save FILE");
    if (!conversation_save(&c->talk, rest, chat_session_model(c), err)) return false;
    fprintf(stderr, "[%zu messages saved to %s]\n", c->talk.n, rest);
    return true;
}

static bool run_load(struct chat_session *c, const char *rest, struct err *err)
{
    if (is_empty(rest)) return err_set(err, ERR_USAGE, "/load wants a file: /load FILE");
    if (!conversation_load(&c->talk, rest, err)) return false;
    c->n_answers = 0;
    c->last = (struct turn){0};
    const bool is_open = strcmp(conversation_last_role(&c->talk), "user") == 0;
    fprintf(stderr, "[%zu messages loaded from %s%s]\n", c->talk.n, rest,
            is_open ? "; the last is a question, /regen answers it" : "");
    return true;
}

static bool run_set(struct chat_session *c, const char *rest, struct err *err)
{
    char name[64] = "";
    const size_t n = strcspn(rest, " \t=");
    if (n >= sizeof name)
        return err_set(err, ERR_USAGE,
                       "/set: no setting has a name of %zu letters; /set lists them", n);
    memcpy(name, rest, n);
    const char *value = rest[n] ? rest + n + 1 : NULL;
    while (value && isspace((unsigned char)*value)) value++;
    if (!value && chat_settings_show(&c->settings, n ? name : NULL, stderr)) return true;
    if (!chat_settings_set(&c->settings, name, value, chat_session_tokenizer(c), err)) return false;
    if (strcmp(name, "seed") == 0) c->n_answers = 0;
    if (strcmp(name, "temp") == 0) c->is_temp_ours = false;
    chat_settings_show(&c->settings, name, stderr);
    return true;
}

static bool run_regen(struct chat_session *c, const char *rest, struct err *err)
{
    (void)rest;
    return chat_session_again(c, err);
}

static bool run_exit(struct chat_session *c, const char *rest, struct err *err)
{
    (void)rest;
    (void)err;
    c->is_over = true;
    return true;
}

static double per_second(int64_t n, double s) { return s > 0 ? (double)n / s : 0; }

static bool run_stats(struct chat_session *c, const char *rest, struct err *err)
{
    const struct engine_plan *p = c->remote ? NULL : engine_plan(c->s.engine);
    const struct turn *t = &c->sum;
    (void)rest;
    (void)err;
    fprintf(stderr, "  answers       %" PRId32 ", %zu messages in the conversation\n", c->n_turns,
            c->talk.n);
    fprintf(
        stderr, "  read          %" PRId64 " tokens, %.1f tokens/s; %" PRId64 " more were cached\n",
        t->n_prompt - t->n_cached, per_second(t->n_prompt - t->n_cached, t->read_s), t->n_cached);
    fprintf(stderr, "  written       %" PRId64 " tokens, %.1f tokens/s\n", t->n_generated,
            per_second(t->n_generated - c->n_turns, t->write_s));
    if (!p) {
        fprintf(stderr, "  model         %s at %s\n", remote_model(c->remote),
                remote_address(c->remote));
        return true;
    }
    fprintf(stderr, "  guessed ahead %" PRId64 " tokens, %" PRId64 " came true\n", t->n_drafted,
            t->n_accepted);
    fprintf(stderr, "  context       %" PRId64 " of %" PRId32 " tokens used\n",
            chat_session_used(c), p->n_ctx);
    fprintf(stderr, "  model         %s, template %s\n", c->s.path, c->family->name);
    fprintf(stderr, "  machine       kernels %s, %d thread%s\n", p->isa, p->n_threads,
            p->n_threads == 1 ? "" : "s");
    fprintf(stderr,
            "  memory        weights %.0f MB (%s), cache %.0f MB, work %.0f MB, %.1f GB free\n",
            (double)p->weight_bytes / 1e6, model_info_place(model_info(c->s.model)),
            (double)p->cache_bytes / 1e6, (double)p->work_bytes / 1e6,
            (double)p->available_bytes / 1e9);
    return true;
}

static bool run_help(struct chat_session *c, const char *rest, struct err *err)
{
    (void)c;
    (void)rest;
    (void)err;
    for (const struct chat_command *row = chat_commands; row->name; row++)
        fprintf(stderr, "  %-8s %-12s %s\n", row->name, row->arguments, row->what);
    fputs("\n  Ctrl-C stops an answer; a second one at an empty prompt ends the chat, as Ctrl-D "
          "does.\n"
          "  A line that ends in \\ goes on in the next; pasted text is one message.\n"
          "  A space in front of a slash makes the line a message.\n",
          stderr);
    return true;
}

bool chat_is_command(const char *line, size_t n_bytes)
{
    size_t i = 1;
    if (n_bytes < 2 || line[0] != '/' || memchr(line, '\n', n_bytes)) return false;
    while (i < n_bytes && isalpha((unsigned char)line[i])) i++;
    return i > 1 && (i == n_bytes || line[i] == ' ' || line[i] == '\t');
}

bool chat_run_command(struct chat_session *c, const char *line, struct err *err)
{
    char name[64];
    const size_t n = strcspn(line, " \t");
    snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name - 1, line);
    const struct chat_command *row = table_find(chat_commands, sizeof *row, name);
    if (!row) {
        const char *near = table_nearest(chat_commands, sizeof *row, name);
        if (near)
            return err_set(err, ERR_USAGE, "unknown command %s; did you mean %s?", name, near);
        return err_set(err, ERR_USAGE, "unknown command %s; /help lists them", name);
    }
    const char *begin = line + n, *end = line + strlen(line);
    while (isspace((unsigned char)*begin)) begin++;
    while (end > begin && isspace((unsigned char)end[-1])) end--;
    char *rest = strndup(begin, (size_t)(end - begin));
    if (!rest) return err_set(err, ERR_MEMORY, "no memory for the command");
    const bool ok = row->run(c, rest, err);
    free(rest);
    return ok;
}

const char *chat_command_name(int i) { return chat_commands[i].name; }

const struct chat_command chat_commands[] =
    {
        /* clang-format off */
    /* name      arguments      what                                                             run */
    {"/help",   "",             "show this list",                                                run_help},
    {"/reset",  "",             "begin a new conversation; the system message stays",            run_reset},
    {"/system", "[TEXT]",       "set the system message; alone: show it; -: remove it",          run_system},
    {"/save",   "FILE",         "write the conversation as JSON",                                run_save},
    {"/load",   "FILE",         "go on with a saved conversation",                               run_load},
    {"/set",    "[NAME VALUE]", "change how answers are drawn; alone: list the settings",         run_set},
    {"/regen",  "",             "throw the last answer away and ask again with another seed",    run_regen},
    {"/stats",  "",             "tokens, speed, guesses, context, memory",                       run_stats},
    {"/exit",   "",             "end the chat",                                                  run_exit},
    {"/quit",   "",             "end the chat",                                                  run_exit},
    {0},
        /* clang-format on */
};
