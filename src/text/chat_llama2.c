/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_llama2.c - Llama 2 Chat, and Code Llama Instruct.
 *
 *     <s>[INST] <<SYS>>\nSYSTEM\n<</SYS>>\n\nUSER [/INST] ANSWER </s><s>[INST] USER [/INST]
 *
 * The brackets are plain text; BOS stands before each user's turn and EOS after each answer. The
 * system prompt is put into the first turn and trimmed together with it, so a first turn of white
 * space alone loses the line breaks before it. The prompt ends with [/INST], which opens the answer
 * whether that is asked for or not.
 */
#include "text/chat_parts.h"

static bool llama2_matches(const char *tmpl)
{
    return chat_template_has(tmpl, "bos_token + '[INST] ' + content") &&
           chat_template_has(tmpl, "[/INST]") && chat_template_has(tmpl, "<<SYS>>") &&
           chat_template_has(tmpl, "eos_token");
}

static void put_user(struct chat_pieces *p, const struct vocab *v, const struct chat_message *m,
                     const struct chat_message *system)
{
    chat_token(p, v, v->bos);
    chat_markup(p, "[INST] ");
    if (!system) {
        chat_text_trimmed(p, m);
    } else {
        const struct chat_span content = chat_trim_right(m->content, m->n_content);
        chat_markup(p, "<<SYS>>\n");
        chat_text(p, system->content, system->n_content);
        chat_markup(p, content.n ? "\n<</SYS>>\n\n" : "\n<</SYS>>");
        chat_text(p, content.s, content.n);
    }
    chat_markup(p, " [/INST]");
}

static bool llama2_render(const struct chat_input *in, const struct vocab *v, struct arena *a,
                          struct text_piece **piece, size_t *n_pieces, struct err *err)
{
    struct chat_pieces p = {.arena = a, .err = err};
    if (in->n_messages == 0) return chat_fail(&p, ERR_USAGE, "messages: none; give at least one");
    const struct chat_message *system = NULL;
    if (chat_has_role(&in->message[0], "system")) system = &in->message[0];
    const size_t first = system ? 1 : 0;
    for (size_t i = first; i < in->n_messages; i++) {
        const struct chat_message *m = &in->message[i];
        const bool is_users_turn = (i - first) % 2 == 0;
        if (chat_has_role(m, "user") != is_users_turn)
            return chat_fail(&p, ERR_USAGE,
                             "message %zu: role %.40s where %s is due; conversation roles must "
                             "alternate user/assistant/user/assistant/...",
                             i, m->role, is_users_turn ? "user" : "assistant");
        if (is_users_turn) {
            put_user(&p, v, m, i == first ? system : NULL);
        } else if (chat_has_role(m, "assistant")) {
            chat_markup(&p, " ");
            chat_text_trimmed(&p, m);
            chat_markup(&p, " ");
            chat_token(&p, v, v->eos);
        }
    }
    return chat_pieces_end(&p, piece, n_pieces);
}

const struct chat_family chat_llama2 = {
    .name = "llama-2",
    .what = "[INST] ... [/INST]: Llama 2 Chat, Code Llama Instruct",
    .matches = llama2_matches,
    .render = llama2_render,
};
