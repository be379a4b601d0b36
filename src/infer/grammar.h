/* grammar.h - what an answer may be: a language of byte strings, compiled from GBNF, a regular
 * expression, a JSON Schema or function calls, and immutable after that.
 *
 * Compiling fails closed: what is not understood, does not fit the limits or has no text at all is
 * an error that names the place, never a grammar that allows more. Time and memory are bounded
 * whatever the text (limits in grammar_build.h). A grammar knows nothing of tokens: constraint.h
 * brings it together with a vocabulary. Any thread; the count of owners is atomic.
 */
#ifndef CRIA_INFER_GRAMMAR_H
#define CRIA_INFER_GRAMMAR_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define GRAMMAR_MAX_TEXT_BYTES ((size_t)1 << 20)

struct grammar;

/* Each returns owned; NULL and ERR_FORMAT (the text is wrong), ERR_UNSUPPORTED (right, but not what
 * we can do), ERR_LIMIT or ERR_MEMORY. `name` (an option, a file, "response_format") goes into the
 * message. */

/* GBNF: rules NAME ::= ALTERNATIVES; the answer is a `root`. */
struct grammar *grammar_from_gbnf(const char *text, size_t n, const char *name, struct err *err);

/* The whole answer matches the expression; ^ and $ at its ends change nothing. */
struct grammar *grammar_from_regex(const char *text, size_t n, const char *name, struct err *err);

/* Where JSON may have white space between tokens. */
enum schema_space {
    SPACE_FREE,    /* none, one space, or a newline and at most 24 spaces */
    SPACE_COMPACT, /* none: {"a":1,"b":[2,3]} */
    SPACE_WIDE,    /* one space behind : and , as Python's json.dumps */
};
/* The keywords and what they mean here stand in docs/constraints.md. */
struct grammar *grammar_from_schema(const char *text, size_t n, enum schema_space space,
                                    const char *name, struct err *err);

/* Calls of functions, each a text with its arguments' schema inside, with or without other text;
 * `text` is JSON:
 *     {"first": T, "between": T, "last": T, "most": N,
 *      "calls": [{"name": T, "before": T, "schema": SCHEMA, "after": T}, ...],
 *      "schema": SCHEMA, "text": {"is_instead": B, "begins_not": T, "holds_not": [T, ...]}}
 * An answer is `first`, up to N calls with `between` between them, and `last`; with "schema", which
 * stands behind the calls, it may be JSON of that schema instead. With "text" it may also be a text
 * instead, or have one before them; that text does not begin (spaces apart) with one of the
 * characters of `begins_not` nor hold one of the words of `holds_not`, each of which has '<' as its
 * first character and nowhere else. "name" is for messages. */
struct grammar *grammar_from_calls(const char *text, size_t n, enum schema_space space,
                                   const char *name, struct err *err);

/* One more owner; returns `g`. */
struct grammar *grammar_share(struct grammar *g);
void grammar_free(struct grammar *g); /* one owner less; NULL is fine */

/* True if both allow the same texts by the same automaton. */
bool grammar_equal(const struct grammar *a, const struct grammar *b);

/* Sizes, for messages and tests. */
struct grammar_size {
    int32_t n_rules, n_states, n_edges;
};
struct grammar_size grammar_size(const struct grammar *g);

#endif
