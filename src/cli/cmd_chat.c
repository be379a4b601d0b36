/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_chat.c - `cria chat`: a conversation at the terminal, or with lines from a pipe.
 *
 * At a terminal lines are edited (line_edit.c) and answers are coloured while they stream
 * (markdown.c). Without a terminal on stdin each line is a message of one conversation and stdout
 * holds the answers only; with nothing on stdin one question is asked for demonstration. In both,
 * lines that begin with a slash are commands (chat_commands.c).
 *
 * Ctrl-C raises a flag that is looked at before each step of the engine, so an answer stops within
 * one step. From a pipe it ends the program, as scripts expect.
 *
 * Begin reading at chat_run().
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "cli/chat_commands.h"
#include "cli/chat_session.h"
#include "cli/footnotes.h"
#include "cli/line_edit.h"
#include "cli/markdown.h"
#include "cli/prompt.h"

#define MAX_MESSAGE_BYTES ((size_t)16 << 20)
#define PROGRESS_AFTER_NS INT64_C(1000000000)
#define DEMO_QUESTION "What is the capital of France?"
#define STATUS_INTERRUPTED 130 /* what shells call the end by SIGINT */

struct chat {
    struct chat_session session;
    struct line_edit *edit; /* NULL: stdin is no terminal */
    struct markdown markdown;
    struct buf shown; /* work memory of show_text() */
    struct buf message;
    bool is_quiet, is_color_talk; /* stderr */
    bool has_progress;            /* a line of it is on the terminal */
    bool is_line_begun;           /* the answer's last line has no newline yet */
    int64_t asked_ns;
    int n_interrupts; /* in a row, nothing typed in between */
    bool has_failed;
};

static volatile sig_atomic_t is_interrupted, is_ended;

static void on_signal(int sig)
{
    if (sig == SIGINT)
        is_interrupted = 1;
    else
        is_ended = 1;
}

/* SA_RESTART: output that is being written must not fail. */
static void catch_signals(bool is_terminal)
{
    const struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &sa, NULL);
    if (!is_terminal) return;
    sigaction(SIGTERM, &sa, NULL); /* the terminal has to be put back in order */
    sigaction(SIGHUP, &sa, NULL);
}

/* ---- what the session tells ---- */

static void clear_progress(struct chat *c)
{
    if (c->has_progress) fputs("\r\033[K", stderr);
    c->has_progress = false;
}

static void show_progress(void *user, int32_t n_read, int32_t n_prompt)
{
    struct chat *c = user;
    if (c->is_quiet || !c->edit || !isatty(STDERR_FILENO)) return;
    if (clock_ns() - c->asked_ns < PROGRESS_AFTER_NS) return;
    fprintf(stderr, "\r\033[K[read %" PRId32 " of %" PRId32 " tokens]", n_read, n_prompt);
    c->has_progress = true;
}

static void write_shown(struct chat *c)
{
    if (c->shown.n_bytes) {
        fwrite(c->shown.data, 1, c->shown.n_bytes, stdout);
        fflush(stdout);
    }
    buf_clear(&c->shown);
}

static void show_text(void *user, const char *s, size_t n_bytes)
{
    struct chat *c = user;
    clear_progress(c);
    markdown_feed(&c->markdown, s, n_bytes, &c->shown);
    if (n_bytes) c->is_line_begun = s[n_bytes - 1] != '\n';
    write_shown(c);
}

static void show_prompt(void *user, const struct tokenizer *t, const struct ids *ids)
{
    (void)user;
    prompt_show(stderr, t, ids->id, ids->n);
}

static void show_cited(void *user, const struct sources *s, const struct citation *cited, size_t n)
{
    struct chat *c = user;
    markdown_end(&c->markdown, &c->shown);
    if (c->is_line_begun) buf_putc(&c->shown, '\n');
    c->is_line_begun = false;
    write_shown(c);
    footnotes_print(stdout, s, cited, n);
}

static bool wants_stop(void *user)
{
    (void)user;
    return is_interrupted || is_ended;
}

/* ---- talk ---- */

static void say_error(struct chat *c, const struct err *err)
{
    c->has_failed = true;
    fprintf(stderr, "cria: %s\n", err->text);
}

/* One line about the last answer, dim at a terminal. */
static void say_stats(const struct chat *c)
{
    const struct turn *t = &c->session.last;
    if (c->is_quiet) return;
    fputs(c->is_color_talk ? "\033[2m[" : "[", stderr);
    if (t->finish == FINISH_CANCEL)
        fputs(c->edit ? "stopped, Ctrl-C again ends the chat; " : "stopped; ", stderr);
    if (t->finish == FINISH_LENGTH) fputs("cut at -n; ", stderr);
    if (t->n_forgotten) fprintf(stderr, "%" PRId64 " old messages forgotten; ", t->n_forgotten);
    fprintf(stderr, "%" PRId64 " tokens", t->n_generated);
    if (t->n_generated > 1 && t->write_s > 0)
        fprintf(stderr, ", %.1f tokens/s", (double)(t->n_generated - 1) / t->write_s);
    fprintf(stderr, "; read %" PRId64 " (and %" PRId64 " cached) in %.2f s",
            t->n_prompt - t->n_cached, t->n_cached, t->read_s);
    if (!c->session.remote)
        fprintf(stderr, "; context %" PRId64 " of %" PRId32, chat_session_used(&c->session),
                chat_session_context(&c->session));
    fputs(c->is_color_talk ? "]\033[0m\n" : "]\n", stderr);
}

static void end_answer(struct chat *c)
{
    markdown_end(&c->markdown, &c->shown);
    if (c->is_line_begun) buf_putc(&c->shown, '\n');
    c->is_line_begun = false;
    write_shown(c);
    clear_progress(c);
    say_stats(c);
    if (c->session.last.finish != FINISH_CONTEXT) return;
    c->has_failed = true;
    fprintf(stderr,
            "cria: the context of %" PRId32 " tokens is full, so the answer ends here; /reset "
            "begins a new conversation, --ctx gives more room, --context-shift forgets old turns\n",
            chat_session_context(&c->session));
}

/* ---- messages ---- */

/* A command or a message. The text is not empty. */
static void handle(struct chat *c, const char *text, size_t n_bytes)
{
    struct err err = {0};
    const int32_t n_turns = c->session.n_turns;
    is_interrupted = 0;
    c->asked_ns = clock_ns();
    if (c->edit) line_edit_hush(c->edit, true);
    const bool ok = chat_is_command(text, n_bytes)
                        ? chat_run_command(&c->session, text, &err)
                        : chat_session_ask(&c->session, text, n_bytes, &err);
    if (c->session.n_turns != n_turns) end_answer(c);
    clear_progress(c);
    if (!ok) say_error(c, &err);
    if (c->edit) line_edit_hush(c->edit, false);
    c->n_interrupts = is_interrupted ? 1 : 0;
    if (c->edit) is_interrupted = 0;
}

static bool is_blank(const struct buf *b)
{
    for (size_t i = 0; i < b->n_bytes; i++)
        if (!strchr(" \t\r\n", b->data[i]) || !b->data[i]) return false;
    return true;
}

/* A line that ends in a backslash goes on: takes the backslash away, puts a newline. */
static bool goes_on(struct buf *b)
{
    if (!b->n_bytes || b->is_failed || b->data[b->n_bytes - 1] != '\\') return false;
    b->data[b->n_bytes - 1] = '\n';
    return true;
}

static void handle_message(struct chat *c)
{
    struct err err = {0};
    if (!buf_check(&c->message, "the message", &err))
        say_error(c, &err);
    else if (!is_blank(&c->message))
        handle(c, c->message.data, c->message.n_bytes);
}

/* ---- at a terminal ---- */

static void talk_at_terminal(struct chat *c)
{
    const char *first = c->is_color_talk ? "\1\033[1;32m\1>\1\033[0m\1 " : "> ";
    bool goes_on_now = false;
    if (!c->is_quiet)
        fputs("/help lists the commands; Ctrl-C stops an answer, Ctrl-D ends\n", stderr);
    while (!c->session.is_over && !is_ended) {
        if (!goes_on_now) buf_clear(&c->message);
        const enum line_result r = line_edit_read(c->edit, goes_on_now ? ". " : first, &c->message);
        if (r == LINE_END) return;
        if (r == LINE_TEXT) {
            c->n_interrupts = 0;
            goes_on_now = goes_on(&c->message);
            if (goes_on_now) continue;
            if (c->message.n_bytes && !is_blank(&c->message))
                line_edit_remember(c->edit, c->message.data);
            handle_message(c);
            continue;
        }
        is_interrupted = 0;
        const bool is_empty = r == LINE_INTERRUPT && !goes_on_now;
        goes_on_now = false;
        c->n_interrupts = is_empty ? c->n_interrupts + 1 : 0;
        if (c->n_interrupts > 1) return;
        if (is_empty) fputs("[Ctrl-C again or Ctrl-D ends the chat]\n", stderr);
    }
}

static bool open_editor(struct chat *c, struct err *err)
{
    struct buf path;
    buf_init(&path, 1024);
    const bool has_path = line_edit_history_path(&path);
    c->edit = line_edit_open(has_path ? path.data : NULL, chat_command_name, &is_interrupted,
                             &is_ended, err);
    buf_release(&path);
    return c->edit != NULL;
}

/* ---- from a pipe ---- */

/* Appends a line of stdin without its newline; false at the end of input. */
static bool read_line(struct buf *out)
{
    int ch = EOF;
    bool is_any = false;
    while ((ch = getc(stdin)) != EOF && ch != '\n') {
        buf_putc(out, (char)ch);
        is_any = true;
    }
    if (ch == '\n' && is_any && !out->is_failed && out->data[out->n_bytes - 1] == '\r')
        out->data[--out->n_bytes] = '\0';
    return is_any || ch == '\n';
}

static void talk_by_lines(struct chat *c)
{
    bool is_any = false;
    for (bool is_end = false; !is_end && !c->session.is_over && !is_interrupted;) {
        buf_clear(&c->message);
        do is_end = !read_line(&c->message);
        while (!is_end && goes_on(&c->message));
        is_any = is_any || !is_end || c->message.n_bytes;
        handle_message(c);
    }
    if (is_any || is_interrupted) return;
    fprintf(stderr, "> %s\n", DEMO_QUESTION);
    handle(c, DEMO_QUESTION, strlen(DEMO_QUESTION));
}

/* ---- the command ---- */

static enum markdown_mode markdown_mode(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (!isatty(STDOUT_FILENO)) return MARKDOWN_RAW;
    if ((no_color && *no_color) || !term || strcmp(term, "dumb") == 0) return MARKDOWN_PLAIN;
    return MARKDOWN_COLOR;
}

static void chat_begin(struct chat *c, const struct args *a)
{
    const char *no_color = getenv("NO_COLOR");
    c->is_quiet = args_flag(a, "quiet");
    c->is_color_talk = isatty(STDERR_FILENO) && !(no_color && *no_color);
    buf_init(&c->shown, MAX_MESSAGE_BYTES);
    buf_init(&c->message, MAX_MESSAGE_BYTES);
    markdown_begin(&c->markdown, markdown_mode());
}

static void say_state(const struct chat *c, const struct args *a)
{
    if (!c->session.has_state || c->is_quiet) return;
    fprintf(stderr, "[%zu messages from %s, %" PRId32 " tokens of them need no reading]\n",
            c->session.talk.n, args_str(a, "state"), c->session.n_state_tok);
}

static int chat_run(const struct args *a, struct err *err)
{
    struct chat c = {0};
    const bool is_terminal =
        isatty(STDIN_FILENO) && (isatty(STDERR_FILENO) || isatty(STDOUT_FILENO));
    const struct chat_listener listener = {
        .text = show_text,
        .progress = show_progress,
        .wants_stop = wants_stop,
        .prompt = args_flag(a, "show-prompt") ? show_prompt : NULL,
        .cited = show_cited,
        .user = &c,
    };
    int status = 1;
    chat_begin(&c, a);
    if (!chat_session_open(&c.session, a, !is_terminal, &listener, err)) goto out;
    if (is_terminal && !open_editor(&c, err)) goto out;
    catch_signals(is_terminal);
    say_state(&c, a);
    if (is_terminal)
        talk_at_terminal(&c);
    else
        talk_by_lines(&c);
    if (!chat_session_keep(&c.session, err)) goto out;
    status = is_terminal ? 0 : is_interrupted ? STATUS_INTERRUPTED : c.has_failed ? 1 : 0;
out:
    line_edit_close(c.edit);
    chat_session_close(&c.session);
    buf_release(&c.shown);
    buf_release(&c.message);
    return status;
}

static const char *const *template_names(void)
{
    static const char *names[32];
    size_t n = 0;
    for (; chat_families[n] && n + 1 < sizeof names / sizeof *names; n++)
        names[n] = chat_families[n]->name;
    names[n] = NULL;
    return names;
}

static const struct option options[] = {
    /* clang-format off */
    /* name        letter arg     kind      min max default choices         rep    help */
    {"system",      0,   "TEXT",  OPT_STR,  0,  0,  NULL,   NULL,           false, "system message; '': none"},
    {"template",    0,   "NAME",  OPT_NAME, 0,  0,  NULL,   template_names, false, "chat template to use instead of the model's own"},
    {"state",       0,   "FILE",  OPT_FILE, 0,  0,  NULL,   NULL,           false, "go on with the conversation in FILE and keep it there; FILE.kv holds its cache"},
    {"show-prompt", 0,   NULL,    OPT_FLAG, 0,  0,  NULL,   NULL,           false, "print each final prompt with its token borders on stderr"},
    {0},
    /* clang-format on */
};

static const struct option_group *const groups[] = {
    &answer_group,  &model_group, &server_group,     &lora_group,     &engine_group,
    &sources_group, &draft_group, &constraint_group, &sampling_group, NULL};

const struct command cmd_chat = {
    .name = "chat",
    .what = "talk with a model",
    .options = options,
    .groups = groups,
    .details =
        "At a terminal lines are edited as in a shell, with a history; /help lists the commands "
        "that "
        "save, load, change and repeat. Ctrl-C stops an answer, Ctrl-D ends. Pasted text is one "
        "message, and a line that ends in a backslash goes on in the next.\n\n"
        "Without a terminal on stdin each line is a message of one conversation, and stdout holds "
        "the "
        "answers only. With nothing on stdin one question is asked for demonstration.\n\n"
        "Models under a billion parameters, which otherwise wander, get temperature 0, --dry 1 "
        "with "
        "--dry-length 8, and a plain system message, where these are not given (--system '' for "
        "none); "
        "scripts get temperature 0. /regen then draws at 0.8.\n\n"
        "Earlier lines are kept in ${XDG_STATE_HOME:-~/.local/state}/cria/history. NO_COLOR in the "
        "environment turns colours off.",
    .example = "  cria chat\n"
               "  cria chat -m llama-3.2-1b-instruct --system 'Answer in one sentence.'\n"
               "  echo 'What is the capital of France?' | cria chat\n"
               "  cria chat --server http://127.0.0.1:8080",
    .run = chat_run,
};
