/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_interpreted.c - the family of last resort: the file's own template, run.
 *
 * It takes any template that mentions the messages; whether it can be run shows when it is, with an
 * error that names its line. The families before it are preferred where they match: they are
 * checked against transformers over a grid of conversations, cost nothing, and know which part of a
 * file's template is only spelled another way.
 */
#include <string.h>

#include "text/chat_parts.h"
#include "text/jinja.h"

static bool interpreted_matches(const char *tmpl) { return strstr(tmpl, "messages") != NULL; }

static bool interpreted_render(const struct chat_input *in, const struct vocab *v, struct arena *a,
                               struct text_piece **piece, size_t *n_pieces, struct err *err)
{
    if (!v->chat_template)
        return err_set(err, ERR_UNSUPPORTED,
                       "the model's files have no chat template to run; name a family with "
                       "--template");
    struct jinja_template *t =
        jinja_parse(v->chat_template, strlen(v->chat_template), &jinja_default_limits, a, err);
    const struct jinja_input input = {.chat = in, .v = v};
    return t && jinja_render(t, &input, piece, n_pieces, err);
}

const struct chat_family chat_interpreted = {
    .name = "interpreted",
    .what = "the model's own template, run by the interpreter",
    .matches = interpreted_matches,
    .render = interpreted_render,
};
