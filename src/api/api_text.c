/* SPDX-License-Identifier: Apache-2.0
 *
 * api_text.c - tokens, text and chat prompts in the public interface.
 *
 * Every result is one block of the caller's own. An empty list of ids is a block too, so that NULL
 * always means failure.
 */
#include <stdlib.h>
#include <string.h>

#include "api/api_parts.h"

enum { MAX_RENDERED_BYTES = 1 << 30 };

/* Moves the ids out, or drops them and tells. */
static int32_t *give_ids(bool ok, struct ids *ids, size_t *n, const struct err *why,
                         struct cria_error *err)
{
    if (ok) {
        *n = ids->n;
        int32_t *out = ids->id ? ids->id : calloc(1, sizeof *out);
        if (out) return out;
        const struct err none = {ERR_MEMORY, "no memory for token ids"};
        api_fail(err, &none);
        return NULL;
    }
    ids_release(ids);
    api_fail(err, why);
    return NULL;
}

int32_t *cria_tokenize(const struct cria_model *m, const char *text, size_t n_bytes, unsigned flags,
                       size_t *n, struct cria_error *err)
{
    struct err why = {0};
    struct ids ids = {0};
    *err = (struct cria_error){.code = CRIA_OK};
    const unsigned inner =
        (flags & CRIA_SPECIAL ? ENCODE_SPECIAL : 0u) | (flags & CRIA_BOS ? ENCODE_DEFAULT_BOS : 0u);
    const bool ok = model_require_tokenizer(m->m, &why) &&
                    tokenizer_encode(model_tokenizer(m->m), text, n_bytes, inner, &ids, &why);
    return give_ids(ok, &ids, n, &why, err);
}

/* Moves the text out, or drops it and tells. */
static char *give_text(bool ok, struct buf *b, size_t *n_bytes, struct err *why,
                       struct cria_error *err)
{
    ok = ok && buf_check(b, "the text", why);
    if (ok && n_bytes) *n_bytes = b->n_bytes;
    char *text = ok ? buf_take(b) : NULL;
    if (ok && !text) err_set(why, ERR_MEMORY, "no memory for the text");
    buf_release(b);
    if (!text) api_fail(err, why);
    return text;
}

char *cria_detokenize(const struct cria_model *m, const int32_t *ids, size_t n, unsigned flags,
                      size_t *n_bytes, struct cria_error *err)
{
    struct err why = {0};
    struct buf b;
    *err = (struct cria_error){.code = CRIA_OK};
    buf_init(&b, MAX_RENDERED_BYTES);
    bool ok = model_require_tokenizer(m->m, &why);
    for (size_t i = 0; ok && i < n; i++)
        if (ids[i] < 0 || ids[i] >= model_config(m->m)->n_vocab)
            ok = err_set(&why, ERR_USAGE, "id %d at %zu is no token; give 0 to %d", (int)ids[i], i,
                         (int)model_config(m->m)->n_vocab - 1);
    if (ok) tokenizer_decode(model_tokenizer(m->m), ids, n, (flags & CRIA_SPECIAL) != 0, &b);
    return give_text(ok, &b, n_bytes, &why, err);
}

/* The conversation in the inner form; `copy` is freed by the caller. */
static bool chat_input_of(const struct cria_model *m, const struct cria_message *message, size_t n,
                          struct chat_message **copy, struct chat_input *in, struct err *err)
{
    if (!model_chat_family(m->m))
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: a base model has no chat format; tokenize the text itself",
                       model_info(m->m)->path);
    *copy = n ? calloc(n, sizeof **copy) : NULL;
    if (!*copy)
        return n ? err_set(err, ERR_MEMORY, "no memory for %zu messages", n)
                 : err_set(err, ERR_USAGE, "messages: none; give at least one");
    for (size_t i = 0; i < n; i++) {
        if (!message[i].role || !message[i].content)
            return err_set(err, ERR_USAGE, "message %zu: role or content is NULL", i);
        (*copy)[i] = (struct chat_message){.role = message[i].role,
                                           .content = message[i].content,
                                           .n_content = strlen(message[i].content)};
    }
    *in = (struct chat_input){.message = *copy, .n_messages = n, .opens_answer = true};
    return true;
}

char *cria_chat_render(const struct cria_model *m, const struct cria_message *message,
                       size_t n_messages, struct cria_error *err)
{
    struct err why = {0};
    struct buf b;
    struct chat_input in;
    struct chat_message *copy = NULL;
    *err = (struct cria_error){.code = CRIA_OK};
    buf_init(&b, MAX_RENDERED_BYTES);
    bool ok = model_require_tokenizer(m->m, &why) &&
              chat_input_of(m, message, n_messages, &copy, &in, &why);
    if (ok)
        ok = chat_render_text(model_chat_family(m->m), &in, tokenizer_vocab(model_tokenizer(m->m)),
                              &b, &why);
    free(copy);
    return give_text(ok, &b, NULL, &why, err);
}

int32_t *cria_chat_tokenize(const struct cria_model *m, const struct cria_message *message,
                            size_t n_messages, size_t *n, struct cria_error *err)
{
    struct err why = {0};
    struct ids ids = {0};
    struct chat_input in;
    struct chat_message *copy = NULL;
    *err = (struct cria_error){.code = CRIA_OK};
    bool ok = model_require_tokenizer(m->m, &why) &&
              chat_input_of(m, message, n_messages, &copy, &in, &why);
    if (ok) ok = chat_encode(model_chat_family(m->m), &in, model_tokenizer(m->m), &ids, &why);
    free(copy);
    return give_ids(ok, &ids, n, &why, err);
}
