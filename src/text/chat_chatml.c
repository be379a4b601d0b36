/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_chatml.c - ChatML, and SmolLM2's, which is ChatML with a system prompt of its own.
 *
 *     <|im_start|>ROLE\nCONTENT<|im_end|>\n            each message, content as it is
 *     <|im_start|>assistant\n                          opens the answer
 *
 * Files differ in two things, which are read from the file's own text: some put BOS in front, and
 * some put a system message of their own before a conversation that has none. Templates that do
 * more (tools, reasoning) are not ChatML and are not taken for it.
 */
#include <string.h>

#include "text/chat_parts.h"

#define CORE "'<|im_start|>' + message['role'] + message['content'] + '<|im_end|>'"
#define SMOLLM2_SYSTEM "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

/* The system prompt that the template brings, empty if it brings none; false if it does but not as
 * a plain literal. */
static bool find_default_system(const char *tmpl, struct chat_span *system)
{
    *system = (struct chat_span){"", 0};
    const char *s = chat_template_after(tmpl, "<|im_start|>system");
    if (!s) return true;
    if (*s == '\n')
        s++;
    else if (s[0] == '\\' && s[1] == 'n')
        s += 2;
    const char *end = strstr(s, "<|im_end|>");
    if (!end || !chat_template_has(tmpl, "messages[0]['role'] != 'system'")) return false;
    const struct chat_span found = {s, (size_t)(end - s)};
    for (size_t i = 0; i < found.n; i++)
        if (strchr("'\"\\{}", s[i])) return false;
    *system = found;
    return true;
}

static bool is_chatml(const char *tmpl)
{
    struct chat_span system;
    return chat_template_has(tmpl, CORE) && !strstr(tmpl, "tools") &&
           find_default_system(tmpl, &system);
}

static bool chatml_matches(const char *tmpl)
{
    return is_chatml(tmpl) && !strstr(tmpl, SMOLLM2_SYSTEM);
}

static bool smollm2_matches(const char *tmpl)
{
    return is_chatml(tmpl) && strstr(tmpl, SMOLLM2_SYSTEM) != NULL;
}

static void put_message(struct chat_pieces *p, const char *role, const char *content, size_t n)
{
    chat_markup(p, "<|im_start|>");
    chat_text(p, role, strlen(role));
    chat_markup(p, "\n");
    chat_text(p, content, n);
    chat_markup(p, "<|im_end|>\n");
}

static void put_all(struct chat_pieces *p, const struct chat_input *in, struct chat_span system)
{
    const bool has_system = in->n_messages && chat_has_role(&in->message[0], "system");
    if (in->n_messages && !has_system && system.n) put_message(p, "system", system.s, system.n);
    for (size_t i = 0; i < in->n_messages; i++)
        put_message(p, in->message[i].role, in->message[i].content, in->message[i].n_content);
    if (in->opens_answer) chat_markup(p, "<|im_start|>assistant\n");
}

static bool chatml_render(const struct chat_input *in, const struct vocab *v, struct arena *a,
                          struct text_piece **piece, size_t *n_pieces, struct err *err)
{
    struct chat_pieces p = {.arena = a, .err = err};
    struct chat_span system = {"", 0};
    const char *tmpl = chat_template_of(&chat_chatml, v);
    if (tmpl) {
        (void)find_default_system(tmpl, &system); /* it can: the template matches */
        if (strstr(tmpl, "bos_token")) chat_token(&p, v, v->bos);
    }
    put_all(&p, in, system);
    return chat_pieces_end(&p, piece, n_pieces);
}

static bool smollm2_render(const struct chat_input *in, const struct vocab *v, struct arena *a,
                           struct text_piece **piece, size_t *n_pieces, struct err *err)
{
    (void)v; /* BOS is <|im_start|>, which is there */
    struct chat_pieces p = {.arena = a, .err = err};
    put_all(&p, in, (struct chat_span){SMOLLM2_SYSTEM, strlen(SMOLLM2_SYSTEM)});
    return chat_pieces_end(&p, piece, n_pieces);
}

const struct chat_family chat_chatml = {
    .name = "chatml",
    .what = "<|im_start|>ROLE ... <|im_end|>: Hermes, Dolphin, many fine-tunes",
    .matches = chatml_matches,
    .render = chatml_render,
};

const struct chat_family chat_smollm2 = {
    .name = "smollm2",
    .what = "ChatML with SmolLM2's own system prompt where none is given",
    .matches = smollm2_matches,
    .render = smollm2_render,
};
