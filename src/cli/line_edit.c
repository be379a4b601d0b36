/* SPDX-License-Identifier: Apache-2.0
 *
 * line_edit.c - libedit, and the four things that it lacks for a chat.
 *
 * Paste: terminals put ESC [200~ and ESC [201~ around pasted text when asked to (bracketed paste).
 * All between the two goes into the line at once, newlines too, so that a pasted page is one
 * message and a newline in it sends nothing. Signals: libedit's own handlers send every signal on
 * to the whole process group, which would kill the script that started us. So we read the keys
 * ourselves (read_key), with all signals of interest blocked but during the wait for a key: none is
 * lost, and no system call elsewhere is interrupted. History: a new entry is appended to the file
 * at once, so that two programs do not overwrite each other's, and shortened by rewriting when it
 * has grown. It is private: mode 0600. Type-ahead: line_edit_hush().
 *
 * Begin reading at line_edit_read().
 */
#include "cli/line_edit.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "base/file.h"

#define HISTORY_ENTRIES 1000
#define HISTORY_MAX_BYTES ((off_t)1 << 20) /* rewritten, shorter, above this */
#define MAX_PASTE_CHARS ((size_t)4 << 20)

struct line_edit {
    EditLine *el;
    History *hist;
    FILE *screen;
    char *history_path;
    const char *prompt;
    line_words *words;
    const volatile sig_atomic_t *is_interrupted, *is_ended;
    struct termios before_hush;
    bool is_hushed;
    bool had_text; /* when the reading was interrupted */
};

static volatile sig_atomic_t is_resized, is_continued;

static void on_resize(int sig)
{
    if (sig == SIGWINCH)
        is_resized = 1;
    else
        is_continued = 1;
}

static struct line_edit *self_of(EditLine *el)
{
    void *self = NULL;
    el_get(el, EL_CLIENTDATA, &self);
    return self;
}

/* ---- keys ---- */

/* Waits for input or a signal. False if reading shall end. */
static bool wait_key(EditLine *el, struct line_edit *e)
{
    sigset_t open_mask;
    sigemptyset(&open_mask);
    for (;;) {
        if (is_resized) {
            is_resized = 0;
            el_resize(el);
        }
        if (is_continued) {
            is_continued = 0;
            el_set(el, EL_PREP_TERM, 0);
            el_set(el, EL_PREP_TERM, 1);
            el_set(el, EL_REFRESH);
        }
        if (*e->is_interrupted || *e->is_ended) return false;
        fd_set in;
        FD_ZERO(&in);
        FD_SET(STDIN_FILENO, &in);
        if (pselect(STDIN_FILENO + 1, &in, NULL, NULL, NULL, &open_mask) > 0) return true;
        if (errno != EINTR) return false;
    }
}

/* libedit's way to get a character: 1, or 0 at the end. Bytes that are no UTF-8 are left out. */
static int read_key(EditLine *el, wchar_t *wc)
{
    struct line_edit *e = self_of(el);
    mbstate_t state = {0};
    for (;;) {
        char c = 0;
        if (!wait_key(el, e)) break;
        const ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n <= 0) break;
        const size_t used = mbrtowc(wc, &c, 1, &state);
        if (used == (size_t)-2) continue;
        if (used != (size_t)-1) return 1;
        state = (mbstate_t){0};
    }
    const LineInfo *line = el_line(el);
    e->had_text = line->lastchar != line->buffer;
    return 0;
}

/* ---- pasted text ---- */

struct paste {
    wchar_t *text;
    size_t n, cap;
};

static bool paste_put(struct paste *p, wchar_t c)
{
    if (p->n + 1 >= p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 1024;
        wchar_t *more = cap <= MAX_PASTE_CHARS ? realloc(p->text, cap * sizeof *more) : NULL;
        if (!more) return false;
        p->text = more;
        p->cap = cap;
    }
    p->text[p->n++] = c;
    p->text[p->n] = L'\0';
    return true;
}

/* A return of the terminal is a newline of the text; other control characters mean nothing here. */
static void paste_clean(struct paste *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        wchar_t c = p->text[i];
        if (c == L'\r' && i + 1 < p->n && p->text[i + 1] == L'\n') continue;
        if (c == L'\r') c = L'\n';
        if (c == L'\n' || c == L'\t' || (c >= 0x20 && c != 0x7f)) p->text[n++] = c;
    }
    while (n > 0 && p->text[n - 1] == L'\n') n--;
    p->n = n;
    if (p->text) p->text[n] = L'\0';
}

static unsigned char on_paste(EditLine *el, wint_t key)
{
    static const wchar_t end[] = L"\033[201~";
    const size_t n_end = sizeof end / sizeof *end - 1;
    struct paste p = {0};
    size_t n_seen = 0; /* of the end mark, whose first character is in it only once */
    bool is_whole = true;
    wchar_t c = 0;
    (void)key;
    while (n_seen < n_end && el_wgetc(el, &c) == 1) {
        is_whole = is_whole && paste_put(&p, c);
        n_seen = c == end[n_seen] ? n_seen + 1 : c == end[0] ? 1 : 0;
    }
    if (is_whole && n_seen == n_end) p.n -= n_end;
    paste_clean(&p);
    const bool is_in = p.n == 0 || el_winsertstr(el, p.text) == 0;
    free(p.text);
    return is_whole && is_in ? CC_REFRESH : CC_REFRESH_BEEP;
}

/* ---- the Tab key ---- */

/* Completes the first word of the line as far as all the words that begin so agree. */
static unsigned char on_tab(EditLine *el, wint_t key)
{
    const struct line_edit *e = self_of(el);
    const LineInfo *line = el_line(el);
    const size_t n = (size_t)(line->cursor - line->buffer);
    const char *found = NULL;
    size_t n_same = 0;
    (void)key;
    for (int i = 0; n > 0 && e->words(i); i++) {
        const char *w = e->words(i);
        if (strncmp(w, line->buffer, n) != 0) continue;
        size_t same = 0;
        while (found && same < n_same && w[same] == found[same]) same++;
        n_same = found ? same : strlen(w);
        if (!found) found = w;
    }
    if (!found || n_same < n) return CC_REFRESH_BEEP;
    char rest[64];
    const bool is_one = n_same == strlen(found);
    snprintf(rest, sizeof rest, "%.*s%s", (int)(n_same - n), found + n, is_one ? " " : "");
    if (*rest) el_insertstr(el, rest);
    return *rest ? CC_REFRESH : CC_REFRESH_BEEP;
}

/* ---- history ---- */

bool line_edit_history_path(struct buf *path)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    buf_clear(path);
    if (state && *state)
        buf_puts(path, state);
    else if (home && *home)
        buf_printf(path, "%s/.local/state", home);
    else
        return false;
    buf_puts(path, "/cria/history");
    if (path->is_failed) return false;
    for (char *p = path->data + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = '\0';
        mkdir(path->data, 0700); /* if it fails, opening the file will say so */
    }
    return true;
}

static FILE *open_history(const char *path, const char *mode, int flags)
{
    const int fd = open(path, flags | O_CREAT | O_CLOEXEC, 0600);
    FILE *f = fd >= 0 ? fdopen(fd, mode) : NULL;
    if (fd >= 0 && !f) close(fd);
    return f;
}

/* Writes all entries anew, aside and renamed. */
static void shorten_history(struct line_edit *e)
{
    char part[1100];
    HistEvent ev;
    const int n = snprintf(part, sizeof part, "%s.part-%ld", e->history_path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof part) return;
    FILE *f = open_history(part, "w", O_WRONLY | O_TRUNC);
    if (!f) return;
    const bool ok = history(e->hist, &ev, H_SAVE_FP, f) >= 0;
    if (fclose(f) != 0 || !ok || rename(part, e->history_path) != 0) unlink(part);
}

static void load_history(struct line_edit *e)
{
    HistEvent ev;
    struct stat st;
    history(e->hist, &ev, H_SETSIZE, HISTORY_ENTRIES);
    history(e->hist, &ev, H_SETUNIQUE, 1);
    if (!e->history_path || stat(e->history_path, &st) != 0 || !S_ISREG(st.st_mode)) return;
    history(e->hist, &ev, H_LOAD, e->history_path);
    if (st.st_size > HISTORY_MAX_BYTES) shorten_history(e);
}

/* Appends an entry in the form of libedit's history files: white space and what is not printable in
 * octal, a line an entry. (Its own H_NSAVE_FP writes one entry more than it is asked to.) */
static void append_entry(const char *path, const char *text)
{
    struct stat st;
    FILE *f = open_history(path, "a", O_WRONLY | O_APPEND);
    if (!f) return;
    if (fstat(fileno(f), &st) == 0 && st.st_size == 0) fputs("_HiStOrY_V2_\n", f);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p <= 0x20 || *p == 0x7f || *p == '\\')
            fprintf(f, "\\%03o", *p);
        else
            fputc(*p, f);
    }
    fputc('\n', f);
    fclose(f);
}

void line_edit_remember(struct line_edit *e, const char *text)
{
    HistEvent ev;
    if (!*text || history(e->hist, &ev, H_ENTER, text) < 0) return;
    if (e->history_path) append_entry(e->history_path, text);
}

/* ---- life ---- */

static char *show_prompt(EditLine *el) { return (char *)(uintptr_t)self_of(el)->prompt; }

static bool bind_keys(struct line_edit *e)
{
    EditLine *el = e->el;
    int rc = el_set(el, EL_CLIENTDATA, e);
    rc |= el_set(el, EL_EDITOR, "emacs");
    rc |= el_set(el, EL_PROMPT_ESC, show_prompt, '\1');
    rc |= el_set(el, EL_HIST, history, e->hist);
    rc |= el_set(el, EL_GETCFN, read_key);
    /* the wide form: the other one leaks its copies of the names */
    rc |= el_wset(el, EL_ADDFN, L"cria-paste", L"insert pasted text", on_paste);
    rc |= el_wset(el, EL_ADDFN, L"cria-complete", L"complete a command", on_tab);
    rc |= el_set(el, EL_BIND, "\\e[200~", "cria-paste", NULL);
    rc |= el_set(el, EL_BIND, "^I", "cria-complete", NULL);
    rc |= el_set(el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(el, EL_BIND, "\\e[1;5C", "em-next-word", NULL); /* Ctrl and the arrows */
    el_set(el, EL_BIND, "\\e[1;5D", "ed-prev-word", NULL);
    el_set(el, EL_BIND, "\\e[3~", "ed-delete-next-char", NULL);
    el_source(el, NULL); /* ~/.editrc has the last word */
    return rc == 0;
}

struct line_edit *line_edit_open(const char *history_path, line_words *words,
                                 const volatile sig_atomic_t *is_interrupted,
                                 const volatile sig_atomic_t *is_ended, struct err *err)
{
    if (MB_CUR_MAX == 1)
        setlocale(LC_CTYPE, "C.UTF-8"); /* LANG=C: terminals are UTF-8 all the same */
    struct line_edit *e = calloc(1, sizeof *e);
    if (!e) goto fail;
    e->words = words;
    e->prompt = "";
    e->is_interrupted = is_interrupted;
    e->is_ended = is_ended;
    if (history_path && !(e->history_path = strdup(history_path))) goto fail;
    const int fd = dup(isatty(STDERR_FILENO) ? STDERR_FILENO : STDOUT_FILENO);
    e->screen = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (fd >= 0 && !e->screen) close(fd);
    e->hist = history_init();
    if (!e->screen || !e->hist) goto fail;
    e->el = el_init("cria", stdin, e->screen, e->screen);
    if (!e->el || !bind_keys(e)) goto fail;
    load_history(e);
    return e;
fail:
    err_set(err, ERR_MEMORY,
            "line editing cannot begin; give the prompts through a pipe, one a line");
    line_edit_close(e);
    return NULL;
}

void line_edit_close(struct line_edit *e)
{
    if (!e) return;
    line_edit_hush(e, false);
    if (e->el) el_end(e->el);
    if (e->hist) history_end(e->hist);
    if (e->screen) fclose(e->screen);
    free(e->history_path);
    free(e);
}

/* ---- reading ---- */

/* Signals are blocked but in wait_key(); the handlers of SIGWINCH and SIGCONT are ours for the
 * time. */
struct guard {
    sigset_t mask;
    struct sigaction resize, cont;
};

static void guard_begin(struct guard *g)
{
    sigset_t set;
    sigemptyset(&set);
    for (const int *s = (const int[]){SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT, 0}; *s; s++)
        sigaddset(&set, *s);
    sigprocmask(SIG_BLOCK, &set, &g->mask);
    const struct sigaction sa = {.sa_handler = on_resize};
    sigaction(SIGWINCH, &sa, &g->resize);
    sigaction(SIGCONT, &sa, &g->cont);
}

static void guard_end(const struct guard *g)
{
    sigaction(SIGWINCH, &g->resize, NULL);
    sigaction(SIGCONT, &g->cont, NULL);
    sigprocmask(SIG_SETMASK, &g->mask, NULL);
}

static void bracketed_paste(struct line_edit *e, bool is_on)
{
    fputs(is_on ? "\033[?2004h" : "\033[?2004l", e->screen);
    fflush(e->screen);
}

enum line_result line_edit_read(struct line_edit *e, const char *prompt, struct buf *out)
{
    struct guard g;
    int n = 0;
    line_edit_hush(e, false);
    e->prompt = prompt;
    e->had_text = false;
    guard_begin(&g);
    el_resize(e->el); /* it may have changed since the last line */
    bracketed_paste(e, true);
    const char *line = el_gets(e->el, &n);
    bracketed_paste(e, false);
    guard_end(&g);
    if (line && n > 0) {
        size_t n_line = (size_t)n;
        if (line[n_line - 1] == '\n') n_line--;
        buf_append(out, line, n_line);
        return LINE_TEXT;
    }
    fputs(*e->is_interrupted ? "^C\n" : "\n", e->screen);
    fflush(e->screen);
    if (*e->is_interrupted && !*e->is_ended) return e->had_text ? LINE_DISCARDED : LINE_INTERRUPT;
    return LINE_END;
}

void line_edit_hush(struct line_edit *e, bool is_hushed)
{
    if (is_hushed == e->is_hushed) return;
    if (is_hushed) {
        if (tcgetattr(STDIN_FILENO, &e->before_hush) != 0) return;
        struct termios t = e->before_hush;
        t.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
        tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
    } else {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &e->before_hush);
    }
    e->is_hushed = is_hushed;
}
