/* tool_calls_parts.h - what the files that look for calls share. Private to them.
 *
 * A candidate is text that may become a call. It is put a character at a time to the function of
 * its form; one that says false has seen what no call has there, and the candidate is given up.
 */
#ifndef CRIA_TEXT_TOOL_CALLS_PARTS_H
#define CRIA_TEXT_TOOL_CALLS_PARTS_H

#include <string.h>

#include "text/python_args.h"
#include "text/tool_calls.h"

enum { MAX_HELD = 64 << 10, MAX_ARGUMENTS = 16 << 20, MAX_SPACE = 256 };

enum state {
    IN_TEXT,
    IN_OPENER,       /* <tool_call>, or another of the words */
    AFTER_TOOL_CALL, /* to the { */
    IN_FUNCTION,     /* the name in <function=NAME> */
    AFTER_FUNCTION,  /* to the { */
    AFTER_MARK,      /* to the { or [ or the name of a function */
    IN_LIST,         /* behind [ or , : to the { or the name of a function */
    IN_NAME,         /* a function's, in such a list */
    IN_JSON,         /* {"name": ...} */
    IN_RAW,          /* the arguments in <function=f>{...} */
    IN_PYTHON,       /* f( */
    IN_CODE,         /* to the end */
};

/* In {"name": ...}: what comes next. */
enum json_state { J_KEY, J_IN_KEY, J_COLON, J_VALUE, J_NAME, J_SKIP, J_ARGUMENTS, J_NEXT };
enum json_key { K_NAME, K_FUNCTION, K_ARGUMENTS, K_OTHER };

struct raw { /* a JSON value of which only the end matters */
    int32_t depth;
    bool is_string, is_escape, is_scalar;
};

struct call_parser {
    const char *const *name;
    int32_t n_names, i_code; /* the function that takes code, or -1 */
    call_listener *fn;
    void *user;

    enum state state;
    bool is_fresh;  /* only space since the beginning or the last call */
    bool is_marked; /* the candidate began with CALL_MARK */
    bool is_list;   /* or with [ */
    bool is_open;   /* the call is known, and told */
    int32_t i_tool; /* of the candidate; -1: not named yet */
    int32_t n_calls;
    struct buf held;  /* the candidate so far, as text */
    struct buf space; /* in front of it */
    struct buf early; /* arguments before their function was named, or that are a string */

    enum json_state json;
    enum json_key key;
    char word[TOOL_NAME_MAX_BYTES + 1]; /* a key or name */
    size_t n_word;
    int32_t n_nested;
    bool has_arguments, is_quoted;
    struct raw raw;
    struct python_args python;

    struct buf out; /* not told yet */
    enum call_event_kind out_kind;
};

/* ---- tool_calls.c ---- */
int32_t call_find_tool(const struct call_parser *p, const char *s, size_t n);
void call_tell(struct call_parser *p, enum call_event_kind kind, const char *s, size_t n);
/* The candidate is a call of p->i_tool: from here on it is told. */
void call_open(struct call_parser *p);
void call_close(struct call_parser *p);
bool call_add_letter(struct call_parser *p, char c); /* to p->word; false if that is full */

static inline bool is_json_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* ---- tool_calls_json.c ---- */
bool call_put_json(struct call_parser *p, char c);
/* Tells arguments that came before their function, or that a string held. */
void call_tell_early(struct call_parser *p);

enum raw_step { RAW_GOES_ON, RAW_END, RAW_PAST }; /* PAST: the character is not the value's */
/* The first character of a value; false if none begins with it. */
bool raw_begin(struct raw *r, char c);
enum raw_step raw_put(struct raw *r, char c);

#endif
