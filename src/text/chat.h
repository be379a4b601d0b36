/* chat.h - chat templates: a table of the known families, chosen by the file's own template text.
 *
 * A model file carries its template as a Jinja program. The Llama world has a handful of templates,
 * so each is a row here, written in C, byte-equal with what transformers renders. Running programs
 * from strangers is how peers were broken into (CVE-2024-34359); so what no row knows is run by an
 * interpreter that has no way out and counts what it does (text/jinja.h), the last row.
 * Rendering gives pieces, so that user text is never parsed for special tokens. Any thread.
 */
#ifndef CRIA_TEXT_CHAT_H
#define CRIA_TEXT_CHAT_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "text/tokenizer.h"

struct chat_message {
    const char *role;    /* system, user, assistant, ipython or tool */
    const char *content; /* UTF-8; n_content bytes */
    size_t n_content;
    const char *tool_calls; /* assistant only: JSON array text of OpenAI tool calls, or NULL */
};

struct chat_input {
    const struct chat_message *message;
    size_t n_messages;
    bool opens_answer;      /* add the header of the assistant's turn (add_generation_prompt) */
    const char *tools_json; /* JSON array of function tools, or NULL */
    bool tools_in_system;   /* llama-3.1: tools go into the system message, not the user's first
                             * (tools_in_user_message = false) */
    const char *date;       /* "26 Jul 2024": for templates that print today's date; NULL: the
                             * template's own default */
};

struct chat_family {
    const char *name; /* "llama-3.1" */
    const char *what;
    /* True if the Jinja text `tmpl` is of this family. */
    bool (*matches)(const char *tmpl);
    /* Gives the pieces of the rendered prompt, BOS included where the template has it. Pieces live
     * in `a` or point into `in` and `v`. `v` gives the texts of BOS and EOS. ERR_USAGE for roles or
     * orders that the template refuses. */
    bool (*render)(const struct chat_input *in, const struct vocab *v, struct arena *a,
                   struct text_piece **piece, size_t *n_pieces, struct err *err);
};

/* All families, ended by NULL. */
extern const struct chat_family *const chat_families[];

/* The family of a Jinja text, or by name ("chatml"), or NULL. */
const struct chat_family *chat_family_of_template(const char *tmpl);
const struct chat_family *chat_family_by_name(const char *name);
/* The best guess for a model without a template: by special tokens in the vocabulary; NULL if it
 * has none (a base model). */
const struct chat_family *chat_family_of_vocab(const struct vocab *v);

/* How a model is told of functions and calls them. */
enum chat_tool_form {
    CHAT_TOOLS_PLAIN,  /* its template knows none: see chat_tools_plain() */
    CHAT_TOOLS_LLAMA,  /* {"name": ..., "parameters": {...}} by the template; one call a turn */
    CHAT_TOOLS_HERMES, /* <tool_call>{"name": ..., "arguments": {...}}</tool_call>, likewise */
};
enum chat_tool_form chat_tool_form(const struct chat_family *f, const struct vocab *v);
/* The conversation `in` as one without functions: what they are and how to call them stands in the
 * system message, calls and results in the messages, as Hermes has it. What is new lives in `a`. */
bool chat_tools_plain(const struct chat_input *in, struct arena *a, struct chat_input *out,
                      struct err *err) CRIA_CHECK;

/* Renders and encodes: BOS exactly once if the template or the vocabulary wants it. */
bool chat_encode(const struct chat_family *f, const struct chat_input *in,
                 const struct tokenizer *t, struct ids *out, struct err *err) CRIA_CHECK;
/* Renders to text, as transformers' apply_chat_template(tokenize=False). */
bool chat_render_text(const struct chat_family *f, const struct chat_input *in,
                      const struct vocab *v, struct buf *out, struct err *err) CRIA_CHECK;

#endif
