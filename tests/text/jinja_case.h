/* jinja_case.h - one run of a template as tests describe it in JSON: shared by test_jinja.c and
 * jinja_tool.c.
 *
 *     {"messages": [{"role", "content", "tool_calls": "JSON text"}], "tools": "JSON text",
 *      "opens_answer": true, "date": "...", "vars": {...}, "bos": "<s>", "eos": "</s>", "now": N}
 *
 * Everything may be missing. The variables go through jinja_input.extra_json.
 */
#ifndef CRIA_TESTS_JINJA_CASE_H
#define CRIA_TESTS_JINJA_CASE_H

#include "base/buf.h"
#include "base/json.h"
#include "text/jinja.h"

/* Appends the prompt to `out` and, for each of its bytes, 'm' (markup) or '.' to `marks` (may be
 * NULL). */
bool jinja_case_run(const char *tmpl, size_t n_tmpl, struct json c,
                    const struct jinja_limits *limits, struct buf *out, struct buf *marks,
                    struct err *err);

#endif
