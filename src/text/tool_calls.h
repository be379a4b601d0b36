/* tool_calls.h - the function calls in what a model says, found while it says it.
 *
 * Models write calls in many forms; all of these are read, whatever the model, since a call only
 * counts if it names one of the functions that were offered. What is no call stays text:
 *
 *     {"name": "f", "parameters": {...}}           Llama 3.1; as the first thing said, more after ;
 * or , MARK f.call(query="...")   MARK {...}        behind <|python_tag|> MARK anything else a call
 * of code_interpreter, if that was offered [f(a=1, b='x'), g()]                         Llama 3.2
 * and 4; as the first thing said <tool_call>{"name": "f", "arguments": {...}}</tool_call> Hermes,
 * Qwen; anywhere <function=f>{...}</function>                 anywhere
 *
 * Arguments are told as JSON text as they come: as the model wrote them, or translated from Python.
 * They are not checked: only a grammar promises what they are. One thread at a time.
 */
#ifndef CRIA_TEXT_TOOL_CALLS_H
#define CRIA_TEXT_TOOL_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { TOOL_NAME_MAX_BYTES = 64 };

/* Stands in the text for <|python_tag|>: a byte that no UTF-8 text has, so nobody can write it. */
#define CALL_MARK "\xff"

enum call_event_kind {
    CALL_TEXT,      /* text beside calls */
    CALL_BEGIN,     /* of function i_tool */
    CALL_ARGUMENTS, /* more of its arguments */
    CALL_END,
};

struct call_event {
    enum call_event_kind kind;
    int32_t i_tool;
    const char *text; /* TEXT, ARGUMENTS: n_text bytes, whole characters if what is fed is */
    size_t n_text;
};
typedef void call_listener(void *user, const struct call_event *ev);

struct call_parser;

/* Keeps name [n_names]; "" is a function that cannot be called. Returns owned. */
struct call_parser *call_parser_new(const char *const *name, int32_t n_names, call_listener *fn,
                                    void *user, struct err *err);
void call_parser_free(struct call_parser *p); /* NULL is fine */
/* More of what the model says. The listener hears it now, or when it is known what it is. */
void call_parser_feed(struct call_parser *p, const char *s, size_t n);
/* Nothing more comes: what was held back is told; a call that is cut ends. */
void call_parser_end(struct call_parser *p);
/* False (ERR_MEMORY) if something was lost. */
bool call_parser_check(const struct call_parser *p, struct err *err) CRIA_CHECK;

#endif
