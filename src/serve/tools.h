/* tools.h - the functions that a request offers to the model, checked, and what follows from them:
 * the text that templates print, and the form that calls must have. Other APIs than chat
 * completions fill it by tools_add() and tools_choose(). Any thread.
 */
#ifndef CRIA_SERVE_TOOLS_H
#define CRIA_SERVE_TOOLS_H

#include "base/json.h"
#include "serve/form.h"
#include "text/chat.h"
#include "text/tool_calls.h"

enum { TOOLS_MAX = 128 };

struct tool {
    const char *name;        /* [a-zA-Z0-9_-]{1,64}; kept */
    struct json description; /* a string, or JSON_NONE */
    struct json parameters;  /* a JSON Schema (an object), or JSON_NONE: no arguments */
    bool is_strict;          /* arguments must fit it, also where the model may choose */
    char field[48];          /* "tools[3].function": where it stood; filled by tools_add() */
};

enum tool_choice { TOOLS_AUTO, TOOLS_NONE, TOOLS_REQUIRED };

struct tools {
    struct tool *tool; /* [n], owned */
    const char **name; /* [n] for the parser of calls: "" where the choice leaves it out */
    int32_t n;
    enum tool_choice choice;
    bool is_single;  /* at most one call an answer */
    struct buf json; /* the array in OpenAI's shape, as templates print it */
};

void tools_init(struct tools *t);
void tools_release(struct tools *t);

/* What a function may be called. */
bool tool_name_is_good(const char *name);

/* One more. `field` ("tools[3].function") is copied. */
bool tools_add(struct tools *t, const struct tool *tool, const char *field,
               struct refusal *r) CRIA_CHECK;
/* What may be called: `name` NULL: any of them. */
bool tools_choose(struct tools *t, enum tool_choice choice, const char *name, const char *field,
                  struct refusal *r) CRIA_CHECK;
/* Of chat completions; either may be JSON_NONE or null. */
bool tools_read(struct tools *t, struct json tools, struct json choice,
                struct refusal *r) CRIA_CHECK;
/* True if the model is told of them, and its calls are looked for. */
bool tools_are_offered(const struct tools *t);

/* Where the choice or strict functions demand it, makes `f` the form of calls (in the shape that
 * the model's template teaches), with text or the form that was in `f` beside them where the model
 * may choose. */
bool tools_bind(const struct tools *t, enum chat_tool_form shape, struct form *f,
                struct refusal *r) CRIA_CHECK;

#endif
