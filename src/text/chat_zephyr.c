/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_zephyr.c - Zephyr's format, which TinyLlama-Chat has too.
 *
 *     <|system|>\nCONTENT</s>\n     <|user|>\n...     <|assistant|>\n...     </s> is the file's EOS
 *     <|assistant|>\n                                 opens the answer
 *
 * The words in bars are plain text, not special tokens. Messages of other roles are left out, and
 * without any message there is no answer to open.
 */
#include <string.h>

#include "base/checked.h"
#include "text/chat_parts.h"

/* Others write <|user|> too, but end a turn with a token of their own (Phi-3: <|end|>) or with
 * nothing (Tulu); here it is eos_token that follows the content, whoever speaks. */
static bool zephyr_matches(const char *tmpl)
{
    return chat_template_has(tmpl, "'<|user|>' + message['content'] + eos_token") &&
           chat_template_has(tmpl, "'<|system|>' + message['content'] + eos_token") &&
           chat_template_has(tmpl, "'<|assistant|>' + message['content'] + eos_token");
}

static bool zephyr_render(const struct chat_input *in, const struct vocab *v, struct arena *a,
                          struct text_piece **piece, size_t *n_pieces, struct err *err)
{
    static const struct {
        const char *role, *header;
    } headers[] = {
        {"user", "<|user|>\n"}, {"system", "<|system|>\n"}, {"assistant", "<|assistant|>\n"}};
    struct chat_pieces p = {.arena = a, .err = err};
    for (size_t i = 0; i < in->n_messages; i++) {
        const struct chat_message *m = &in->message[i];
        for (size_t h = 0; h < ARRAY_LEN(headers); h++) {
            if (!chat_has_role(m, headers[h].role)) continue;
            chat_markup(&p, headers[h].header);
            chat_text(&p, m->content, m->n_content);
            chat_token(&p, v, v->eos);
            chat_markup(&p, "\n");
        }
    }
    if (in->n_messages && in->opens_answer) chat_markup(&p, "<|assistant|>\n");
    return chat_pieces_end(&p, piece, n_pieces);
}

const struct chat_family chat_zephyr = {
    .name = "zephyr",
    .what = "<|user|> ... </s>: Zephyr, TinyLlama-Chat",
    .matches = zephyr_matches,
    .render = zephyr_render,
};
