/* form.h - what form an answer must have: response_format and the fields by which vLLM's and
 * llama.cpp's clients ask for the same, read and put as text that a compiler takes. Any thread.
 */
#ifndef CRIA_SERVE_FORM_H
#define CRIA_SERVE_FORM_H

#include "base/json.h"
#include "infer/grammar.h"
#include "serve/refusal.h"

enum form_kind {
    FORM_FREE,
    FORM_SCHEMA, /* text: a JSON Schema */
    FORM_REGEX,
    FORM_GBNF,
    FORM_CALLS, /* text: what grammar_from_calls() reads */
};

struct form {
    enum form_kind kind;
    const char *field; /* who asked for it; a literal */
    struct buf text;
};

void form_init(struct form *f);
void form_release(struct form *f);

/* Reads the field `name` (a literal, kept), one of the table in form.c. A second form is refused;
 * {"type": "text"} and the like ask for nothing. */
bool form_read(struct form *f, struct json v, const char *name, struct refusal *r) CRIA_CHECK;

/* Compiles; NULL and `err` as in grammar.h. */
struct grammar *form_compile(enum form_kind kind, const char *text, size_t n, const char *field,
                             struct err *err);
/* The refusal that a text which does not compile is. */
bool form_refuse(struct refusal *r, const char *field, const struct err *err);

#endif
