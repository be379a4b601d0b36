/* SPDX-License-Identifier: Apache-2.0
 *
 * tool_calls_json.c - the object of a call, {"name": ..., "parameters": {...}}, a character at a
 * time.
 *
 * Keys come in any order, and models also write "arguments", or "function" with the name or with an
 * object of both in it. An object with a key that no call has is none. Of the arguments only the
 * end is looked for; they are told as they are, unless they are a string that holds them.
 *
 * Begin reading at call_put_json().
 */
#include "base/json.h"
#include "text/tool_calls_parts.h"

bool raw_begin(struct raw *r, char c)
{
    *r = (struct raw){.is_string = c == '"',
                      .depth = c == '{' || c == '[',
                      .is_scalar = c != '"' && c != '{' && c != '['};
    return !strchr(",:}] \t\r\n", c);
}

enum raw_step raw_put(struct raw *r, char c)
{
    if (r->is_string) {
        if (r->is_escape)
            r->is_escape = false;
        else if (c == '\\')
            r->is_escape = true;
        else if (c == '"')
            r->is_string = false;
        return r->is_string || r->depth > 0 ? RAW_GOES_ON : RAW_END;
    }
    if (r->is_scalar)
        return c == ',' || c == '}' || c == ']' || is_json_space(c) ? RAW_PAST : RAW_GOES_ON;
    if (c == '"') r->is_string = true;
    if (c == '{' || c == '[') r->depth++;
    if (c == '}' || c == ']') r->depth--;
    return r->depth > 0 ? RAW_GOES_ON : RAW_END;
}

/* A string that holds the arguments: what it holds. */
static void tell_quoted(struct call_parser *p)
{
    struct err err = {0};
    const char *s = NULL;
    size_t n = 0;
    struct buf b;
    buf_init(&b, MAX_ARGUMENTS);
    buf_putc(&b, '[');
    buf_append(&b, p->early.data ? p->early.data : "", p->early.n_bytes);
    buf_putc(&b, ']');
    struct json_doc *d =
        b.is_failed ? NULL : json_parse(b.data, b.n_bytes, MAX_ARGUMENTS, "arguments", &err);
    if (d && json_str(json_at(json_root(d), 0), &s, &n))
        call_tell(p, CALL_ARGUMENTS, s, n);
    else
        call_tell(p, CALL_ARGUMENTS, p->early.data, p->early.n_bytes);
    json_free(d);
    buf_release(&b);
}

static void argument_letter(struct call_parser *p, char c)
{
    if (p->is_open && !p->is_quoted)
        call_tell(p, CALL_ARGUMENTS, &c, 1);
    else
        buf_putc(&p->early, c);
}

void call_tell_early(struct call_parser *p)
{
    if (p->is_quoted)
        tell_quoted(p);
    else
        call_tell(p, CALL_ARGUMENTS, p->early.data, p->early.n_bytes);
    p->early.n_bytes = 0;
}

static bool end_key(struct call_parser *p)
{
    static const struct {
        const char *word;
        enum json_key key;
    } keys[] = {{"name", K_NAME},           {"function", K_FUNCTION}, {"parameters", K_ARGUMENTS},
                {"arguments", K_ARGUMENTS}, {"type", K_OTHER},        {"id", K_OTHER}};
    p->json = J_COLON;
    p->key = K_OTHER;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(p->word, keys[i].word) == 0) {
            p->key = keys[i].key;
            if (p->key == K_ARGUMENTS && p->has_arguments) p->key = K_OTHER;
            return true;
        }
    return p->is_open;
}

static bool begin_value(struct call_parser *p, char c)
{
    const bool is_named = p->i_tool >= 0;
    p->n_word = 0;
    if (p->key == K_FUNCTION && c == '{' && !is_named && p->n_nested == 0) {
        p->n_nested = 1;
        p->json = J_KEY;
        return true;
    }
    if (!is_named && (p->key == K_NAME || p->key == K_FUNCTION)) {
        p->json = J_NAME;
        return c == '"';
    }
    if (!raw_begin(&p->raw, c)) return false;
    p->json = J_SKIP;
    if (p->key != K_ARGUMENTS || c == 'n') return true; /* null: as if not there */
    p->json = J_ARGUMENTS;
    p->has_arguments = true;
    p->is_quoted = c == '"';
    if (is_named && !p->is_open) call_open(p);
    argument_letter(p, c);
    return true;
}

static bool end_name(struct call_parser *p)
{
    p->json = J_NEXT;
    p->i_tool = call_find_tool(p, p->word, p->n_word);
    if (p->i_tool < 0) return false;
    if (p->has_arguments) {
        call_open(p);
        call_tell_early(p);
    }
    return true;
}

static bool end_object(struct call_parser *p)
{
    if (p->n_nested) {
        p->n_nested = 0;
        p->json = J_NEXT;
        return true;
    }
    if (p->i_tool < 0) return false;
    if (!p->is_open) call_open(p);
    if (!p->has_arguments) call_tell(p, CALL_ARGUMENTS, "{}", 2);
    call_close(p);
    return true;
}

static bool put_raw_value(struct call_parser *p, char c)
{
    const enum raw_step step = raw_put(&p->raw, c);
    const bool is_argument = p->json == J_ARGUMENTS;
    if (is_argument && step != RAW_PAST) argument_letter(p, c);
    if (step == RAW_GOES_ON) return true;
    p->json = J_NEXT;
    if (is_argument && p->is_open && p->is_quoted) call_tell_early(p);
    return step == RAW_END || call_put_json(p, c);
}

/* False: this is no call. */
bool call_put_json(struct call_parser *p, char c)
{
    switch (p->json) {
    case J_KEY:
        if (c == '}') return end_object(p);
        p->n_word = 0;
        p->word[0] = '\0';
        if (c == '"') p->json = J_IN_KEY;
        return c == '"' || is_json_space(c);
    case J_IN_KEY:
        return c == '"' ? end_key(p) : call_add_letter(p, c);
    case J_COLON:
        if (c == ':') p->json = J_VALUE;
        return c == ':' || is_json_space(c);
    case J_VALUE:
        return is_json_space(c) || begin_value(p, c);
    case J_NAME:
        return c == '"' ? end_name(p) : c != '\\' && call_add_letter(p, c);
    case J_SKIP:
    case J_ARGUMENTS:
        return put_raw_value(p, c);
    case J_NEXT:
        break;
    }
    if (c == '}') return end_object(p);
    if (c == ',') p->json = J_KEY;
    return c == ',' || is_json_space(c);
}
