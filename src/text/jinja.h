/* jinja.h - running a chat template that no family of chat.h knows, inside fences.
 *
 * The subset of Jinja that published chat templates use, as transformers runs it: jinja2's
 * ImmutableSandboxedEnvironment with trim_blocks, lstrip_blocks, loop controls, {% generation %},
 * its own tojson, raise_exception and strftime_now. A program here has no way out: no files, no
 * imports, no attributes but those of its data, and nothing it is given can be changed.
 *
 * Every program ends: steps, depth, memory and output are counted (struct jinja_limits), and the
 * error names the line. Every character knows whether it is the template's or came from outside, so
 * a message cannot become a special token (jinja_parts.h). A template belongs to one thread at a
 * time, as its arena does.
 */
#ifndef CRIA_TEXT_JINJA_H
#define CRIA_TEXT_JINJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "text/chat.h"
#include "text/tokenizer.h"

struct jinja_limits {
    size_t max_template_bytes;
    size_t max_output_bytes; /* of the prompt, and of any one text on the way to it */
    int64_t max_steps;       /* a node evaluated, an element or 64 bytes handled */
    int32_t max_depth;       /* of the parser, and of nested blocks, expressions and calls */
};
extern const struct jinja_limits jinja_default_limits;

struct jinja_template;

/* Parses text[0..n) into `a`, which the template keeps. ERR_FORMAT names the line; ERR_LIMIT. */
struct jinja_template *jinja_parse(const char *text, size_t n, const struct jinja_limits *limits,
                                   struct arena *a, struct err *err);

/* What a program sees: messages, tools, add_generation_prompt, the special tokens of `v` that there
 * are, date_string if `in` has a date; what `extra_json` holds (an object, or NULL) besides. */
struct jinja_input {
    const struct chat_input *chat;
    const struct vocab *v;
    const char *extra_json;
    int64_t now_s; /* the time that strftime_now tells, seconds since 1970; 0: the clock's */
};

/* Runs it. Pieces live in the template's arena: the template's own text is markup, anything of `in`
 * is not. ERR_USAGE with the template's words where it calls raise_exception; ERR_FORMAT for a
 * mistake of the program; ERR_LIMIT and ERR_MEMORY at the fences. */
bool jinja_render(struct jinja_template *t, const struct jinja_input *in, struct text_piece **piece,
                  size_t *n_pieces, struct err *err) CRIA_CHECK;

#endif
