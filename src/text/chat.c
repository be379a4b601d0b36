/* SPDX-License-Identifier: Apache-2.0
 *
 * chat.c - the table of chat formats, and the way from messages to ids or text.
 *
 *   messages -> family->render(): pieces, each markup or plain -> ids (tokenizer) or text
 *
 * A family is chosen by its template's text (chat_match.c), a template of no family is run
 * (chat_interpreted.c); without a template it is chosen by name, else by the special
 * tokens of the vocabulary. The last is a guess, and base models carry the same tokens as their
 * chat models (Llama 3, SmolLM2); what tells them apart is that a chat model's file names the end
 * of a turn as an end of generation.
 *
 * To add a family: a file chat_NAME.c that ends in its row, a line in chat_parts.h, one here before
 * the interpreter's, and a template in tests/oracle/chat.py. Begin at chat_encode().
 */
#include "text/chat.h"

#include <string.h>

#include "base/checked.h"
#include "base/table.h"
#include "text/chat_parts.h"

/* Of pieces and of what had to be put together; messages themselves are not copied. */
#define MAX_ARENA_BYTES ((size_t)1 << 30)

const struct chat_family *const chat_families[] = {
    &chat_llama31, &chat_llama3, &chat_llama2,      &chat_smollm2,
    &chat_chatml,  &chat_zephyr, &chat_interpreted, NULL,
};

const struct chat_family *chat_family_of_template(const char *tmpl)
{
    for (size_t i = 0; chat_families[i]; i++)
        if (chat_families[i]->matches(tmpl)) return chat_families[i];
    return NULL;
}

const struct chat_family *chat_family_by_name(const char *name)
{
    for (size_t i = 0; chat_families[i]; i++)
        if (strcmp(chat_families[i]->name, name) == 0) return chat_families[i];
    return NULL;
}

/* ---- a vocabulary without a template ---- */

static int32_t find_special(const struct vocab *v, const char *text)
{
    const size_t n = strlen(text);
    for (int32_t i = 0; i < v->n_tokens; i++) {
        const struct vocab_token *t = &v->tokens[i];
        if (t->kind != TOKEN_CONTROL && t->kind != TOKEN_USER) continue;
        if (t->n_bytes == n && memcmp(t->bytes, text, n) == 0) return i;
    }
    return -1;
}

/* A family that a vocabulary speaks if it has the tokens `open` and `also`, and its file says that
 * `turn_end` ends an answer. */
static const struct guess {
    const char *open, *also, *turn_end;
    const struct chat_family *family;
} guesses[] = {
    /* clang-format off */
    /* open                  also                 turn_end       family         */
    {"<|start_header_id|>", "<|python_tag|>",    "<|eot_id|>", &chat_llama31},
    {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", &chat_llama3},
    {"<|im_start|>",        "<|im_end|>",        "<|im_end|>", &chat_chatml},
    /* clang-format on */
};

const struct chat_family *chat_family_of_vocab(const struct vocab *v)
{
    for (size_t i = 0; i < ARRAY_LEN(guesses); i++) {
        const struct guess *g = &guesses[i];
        const int32_t turn_end = find_special(v, g->turn_end);
        if (turn_end < 0 || (turn_end != v->eos && turn_end != v->eot)) continue;
        if (find_special(v, g->open) >= 0 && find_special(v, g->also) >= 0) return g->family;
    }
    return NULL;
}

/* ---- rendering ---- */

bool chat_encode(const struct chat_family *f, const struct chat_input *in,
                 const struct tokenizer *t, struct ids *out, struct err *err)
{
    const struct vocab *v = tokenizer_vocab(t);
    struct text_piece *piece = NULL;
    size_t n_pieces = 0;
    struct arena *a = arena_new(MAX_ARENA_BYTES, err);
    if (!a) return false;
    /* A second BOS in front is dropped; no EOS: the answer is to follow. */
    const unsigned flags = v->adds_bos ? ENCODE_BOS : 0u;
    const bool ok = f->render(in, v, a, &piece, &n_pieces, err) &&
                    tokenizer_encode_pieces(t, piece, n_pieces, flags, out, err);
    arena_free(a);
    return ok;
}

bool chat_render_text(const struct chat_family *f, const struct chat_input *in,
                      const struct vocab *v, struct buf *out, struct err *err)
{
    struct text_piece *piece = NULL;
    size_t n_pieces = 0;
    struct arena *a = arena_new(MAX_ARENA_BYTES, err);
    if (!a) return false;
    const bool ok = f->render(in, v, a, &piece, &n_pieces, err);
    for (size_t i = 0; ok && i < n_pieces; i++) buf_append(out, piece[i].text, piece[i].n);
    arena_free(a);
    return ok && buf_check(out, "the chat prompt", err);
}
