/* SPDX-License-Identifier: Apache-2.0
 *
 * tool_calls.c - function calls out of running text, a character at a time.
 *
 * Text that may become a call is held until it is known: `{"name": "` is, `{"title": "` is not. A
 * call is known when it has named a function that was offered; from there on its arguments are told
 * as they come, and what was held is forgotten. Until then anything unexpected makes it text again.
 * So a model that prints JSON of its own, or repeats what a user wrote, calls nothing that was not
 * offered, and what is held is bounded (MAX_HELD).
 *
 * White space is held too: in front of a call, and between calls, it is dropped.
 *
 * Begin reading at put().
 */
#include "text/tool_calls_parts.h"

#include <stdlib.h>

static const char *const openers[] = {"<tool_call>", "</tool_call>", "<function=", "</function>"};
static const char *const code_tools[] = {"code_interpreter", "python", "ipython"};

int32_t call_find_tool(const struct call_parser *p, const char *s, size_t n)
{
    for (int32_t i = 0; i < p->n_names; i++)
        if (n && strlen(p->name[i]) == n && memcmp(p->name[i], s, n) == 0) return i;
    return -1;
}

bool call_add_letter(struct call_parser *p, char c)
{
    if (p->n_word == TOOL_NAME_MAX_BYTES) return false;
    p->word[p->n_word++] = c;
    p->word[p->n_word] = '\0';
    return true;
}

/* ---- telling ---- */

static void flush(struct call_parser *p)
{
    if (p->out.n_bytes) {
        const struct call_event ev = {p->out_kind, p->i_tool, p->out.data, p->out.n_bytes};
        p->fn(p->user, &ev);
    }
    p->out.n_bytes = 0;
}

void call_tell(struct call_parser *p, enum call_event_kind kind, const char *s, size_t n)
{
    if (n == 0) return;
    if (p->out_kind != kind) flush(p);
    p->out_kind = kind;
    buf_append(&p->out, s, n);
}

static void tell_border(struct call_parser *p, enum call_event_kind kind)
{
    flush(p);
    const struct call_event ev = {.kind = kind, .i_tool = p->i_tool, .text = ""};
    p->fn(p->user, &ev);
}

static void tell_space(struct call_parser *p)
{
    call_tell(p, CALL_TEXT, p->space.data, p->space.n_bytes);
    p->space.n_bytes = 0;
}

static void tell_text(struct call_parser *p, const char *s, size_t n)
{
    if (n == 0) return;
    tell_space(p);
    call_tell(p, CALL_TEXT, s, n);
    p->is_fresh = false;
}

void call_open(struct call_parser *p)
{
    p->space.n_bytes = 0;
    p->is_open = true;
    p->n_calls++;
    tell_border(p, CALL_BEGIN);
}

void call_close(struct call_parser *p)
{
    if (p->is_open) tell_border(p, CALL_END);
    p->is_open = p->is_marked = false;
    p->is_fresh = true;
    p->held.n_bytes = 0;
    p->state = p->is_list ? IN_LIST : IN_TEXT;
}

static void put_code(struct call_parser *p, const char *s, size_t n)
{
    if (p->out_kind != CALL_ARGUMENTS) flush(p);
    p->out_kind = CALL_ARGUMENTS;
    for (size_t i = 0; i < n; i++) json_escape_byte(&p->out, s[i]);
}

/* The candidate is none: it is text, or code behind the mark. A call that is open ends. */
static void give_up(struct call_parser *p)
{
    static const char head[] = "{\"code\": \"";
    p->is_list = false;
    if (p->is_open) {
        call_close(p);
        return;
    }
    if (p->is_marked && p->i_code >= 0) {
        p->i_tool = p->i_code;
        call_open(p);
        call_tell(p, CALL_ARGUMENTS, head, sizeof head - 1);
        put_code(p, p->held.data, p->held.n_bytes);
        p->state = IN_CODE;
        return;
    }
    p->is_marked = false;
    tell_text(p, p->held.data, p->held.n_bytes);
    p->held.n_bytes = 0;
    p->state = IN_TEXT;
}

static void begin(struct call_parser *p, enum state s)
{
    p->state = s;
    p->i_tool = -1;
    p->early.n_bytes = 0;
    p->has_arguments = p->is_quoted = false;
    p->n_nested = 0;
    p->n_word = 0;
    p->json = J_KEY;
    p->python = (struct python_args){0};
}

/* ---- f(a=1) ---- */

static bool is_name_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
}

/* NAME( or, behind the mark, NAME.call( */
static bool put_name(struct call_parser *p, char c)
{
    static const char call[] = ".call";
    if (is_name_letter(c)) return call_add_letter(p, c);
    if (c != '(') return false;
    size_t n = p->n_word;
    if (p->is_marked && n > 5 && memcmp(p->word + n - 5, call, 5) == 0) n -= 5;
    p->i_tool = call_find_tool(p, p->word, n);
    p->state = IN_PYTHON;
    return p->i_tool >= 0;
}

static bool put_python(struct call_parser *p, char c)
{
    const enum python_step step = python_args_put(&p->python, c, &p->early);
    if (step == PYTHON_BAD && !p->is_open) return false;
    if (p->early.n_bytes) {
        if (!p->is_open) call_open(p);
        call_tell_early(p);
    }
    if (step == PYTHON_END) call_close(p);
    return step != PYTHON_BAD;
}

static bool put_list(struct call_parser *p, char c)
{
    if (is_json_space(c) || (c == ',' && p->n_calls)) return true;
    if (c == ']' && p->n_calls) {
        p->is_list = false;
        call_close(p);
        return true;
    }
    begin(p, c == '{' ? IN_JSON : IN_NAME);
    return c == '{' || put_name(p, c);
}

/* ---- text ---- */

static bool put_opener(struct call_parser *p, char c)
{
    (void)c; /* it is held */
    for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) {
        const size_t n = p->held.n_bytes;
        if (p->held.is_failed || strncmp(openers[i], p->held.data, n) != 0) continue;
        if (openers[i][n]) return true;
        if (openers[i][1] != '/') {
            begin(p, openers[i][1] == 't' ? AFTER_TOOL_CALL : IN_FUNCTION);
            return true;
        }
        if (p->n_calls == 0) return false;
        call_close(p); /* the end of a call that has ended already */
        return true;
    }
    return false;
}

static bool put_function(struct call_parser *p, char c)
{
    if (c != '>') return call_add_letter(p, c);
    p->i_tool = call_find_tool(p, p->word, p->n_word);
    p->state = AFTER_FUNCTION;
    return p->i_tool >= 0;
}

static bool put_after_function(struct call_parser *p, char c)
{
    if (is_json_space(c)) return true;
    if (c != '{') return false;
    call_open(p);
    raw_begin(&p->raw, c);
    call_tell(p, CALL_ARGUMENTS, &c, 1);
    p->state = IN_RAW;
    return true;
}

static bool put_raw(struct call_parser *p, char c)
{
    call_tell(p, CALL_ARGUMENTS, &c, 1);
    if (raw_put(&p->raw, c) == RAW_END) call_close(p);
    return true;
}

/* A candidate that may be JSON, a list, or (behind the mark) a function's name. */
static bool put_begin(struct call_parser *p, char c)
{
    const bool is_marked = p->state == AFTER_MARK;
    if (is_json_space(c)) return true;
    if (c == '[') {
        p->is_list = true;
        begin(p, IN_LIST);
        return true;
    }
    begin(p, c == '{' ? IN_JSON : IN_NAME);
    return c == '{' || (is_marked && put_name(p, c));
}

static void put_text(struct call_parser *p, char c)
{
    if (c == CALL_MARK[0]) {
        p->is_marked = true;
        p->state = AFTER_MARK;
        return;
    }
    if (is_json_space(c) || (p->is_fresh && p->n_calls && (c == ';' || c == ','))) {
        if (p->space.n_bytes == MAX_SPACE) tell_space(p);
        buf_putc(&p->space, c);
        return;
    }
    if (c != '<' && !(p->is_fresh && (c == '{' || c == '['))) {
        tell_text(p, &c, 1);
        return;
    }
    buf_putc(&p->held, c);
    begin(p, c == '<' ? IN_OPENER : c == '{' ? IN_JSON : IN_LIST);
    p->is_list = c == '[';
}

/* False: the character does not fit the candidate. */
static bool put_candidate(struct call_parser *p, char c)
{
    switch (p->state) {
    case IN_OPENER:
        return put_opener(p, c);
    case AFTER_TOOL_CALL:
    case AFTER_MARK:
        return put_begin(p, c);
    case IN_FUNCTION:
        return put_function(p, c);
    case AFTER_FUNCTION:
        return put_after_function(p, c);
    case IN_LIST:
        return put_list(p, c);
    case IN_NAME:
        return put_name(p, c);
    case IN_JSON:
        return call_put_json(p, c);
    case IN_RAW:
        return put_raw(p, c);
    case IN_PYTHON:
        return put_python(p, c);
    case IN_TEXT:
    case IN_CODE:
        break;
    }
    return false;
}

static void put(struct call_parser *p, char c)
{
    if (p->state == IN_CODE && c != CALL_MARK[0]) put_code(p, &c, 1);
    if (p->state == IN_CODE) return;
    if (p->state == IN_TEXT) {
        put_text(p, c);
        return;
    }
    /* a mark in the middle of a candidate begins another */
    const bool fits = c != CALL_MARK[0] && p->held.n_bytes < MAX_HELD;
    if (fits && !p->is_open) buf_putc(&p->held, c);
    const bool was_open = p->is_open;
    if (fits && put_candidate(p, c)) return;
    if (fits && !was_open && p->held.n_bytes) p->held.n_bytes--;
    give_up(p);
    put(p, c);
}

/* ---- public ---- */

struct call_parser *call_parser_new(const char *const *name, int32_t n_names, call_listener *fn,
                                    void *user, struct err *err)
{
    struct call_parser *p = calloc(1, sizeof *p);
    if (!p) {
        err_set(err, ERR_MEMORY, "no memory for tool calls");
        return NULL;
    }
    p->name = name;
    p->n_names = n_names;
    p->fn = fn;
    p->user = user;
    p->is_fresh = true;
    p->i_code = -1;
    for (size_t i = 0; i < sizeof code_tools / sizeof *code_tools && p->i_code < 0; i++)
        p->i_code = call_find_tool(p, code_tools[i], strlen(code_tools[i]));
    buf_init(&p->held, MAX_HELD + 1);
    buf_init(&p->space, MAX_ARGUMENTS);
    buf_init(&p->early, MAX_ARGUMENTS);
    buf_init(&p->out, MAX_ARGUMENTS);
    return p;
}

void call_parser_free(struct call_parser *p)
{
    if (!p) return;
    buf_release(&p->held);
    buf_release(&p->space);
    buf_release(&p->early);
    buf_release(&p->out);
    free(p);
}

void call_parser_feed(struct call_parser *p, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) put(p, s[i]);
    flush(p);
}

void call_parser_end(struct call_parser *p)
{
    if (p->state == AFTER_MARK) p->is_marked = false; /* and nothing behind it */
    if (p->state != IN_TEXT && p->state != IN_CODE) give_up(p);
    if (p->state == IN_CODE) {
        call_tell(p, CALL_ARGUMENTS, "\"}", 2);
        call_close(p);
    }
    if (p->n_calls == 0 || !p->is_fresh) tell_space(p);
    flush(p);
}

bool call_parser_check(const struct call_parser *p, struct err *err)
{
    return buf_check(&p->held, "tool calls", err) && buf_check(&p->space, "tool calls", err) &&
           buf_check(&p->early, "tool calls", err) && buf_check(&p->out, "tool calls", err);
}
