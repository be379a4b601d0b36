/* SPDX-License-Identifier: Apache-2.0
 *
 * tokens.c - /tokenize and /detokenize: what ids a text is, and what text ids are.
 *
 * Fields and answers have the names of llama.cpp's server and of vLLM's, where these differ both:
 * `content` and `prompt`. They need no model's step and are answered at once, so the text is
 * limited to what takes milliseconds.
 */
#include "serve/server.h"

#include <string.h>

#include "base/json_write.h"

enum { MAX_TOKENIZE_BYTES = 1 << 20 };

struct token_fields {
    const char *model; /* "": the model that the request has come to */
    struct json content, tokens;
    bool adds_special, parses_special, wants_pieces;
    struct unknown_fields unknown;
};

/* One text, whichever name it has. */
static bool read_text(void *out, struct json v, const char *name, struct refusal *r)
{
    struct token_fields *f = out;
    if (json_type(v) != JSON_STRING)
        return refuse(r, REFUSAL_VALUE, name, "%s: it is %s; give a string", name,
                      json_type_name(v));
    f->content = v;
    return true;
}

#define AT(member) offsetof(struct token_fields, member)

const struct field tokenize_fields[] = {
    /* clang-format off */
    /* name                kind         min max at                  read */
    {"model",              FIELD_STR,   0,  300, AT(model),         NULL},
    {"content",            FIELD_OTHER, 0,  0,  0,                  read_text},
    {"prompt",             FIELD_OTHER, 0,  0,  0,                  read_text},
    {"add_special",        FIELD_BOOL,  0,  0,  AT(adds_special),   NULL},
    {"add_special_tokens", FIELD_BOOL,  0,  0,  AT(adds_special),   NULL},
    {"parse_special",      FIELD_BOOL,  0,  0,  AT(parses_special), NULL},
    {"with_pieces",        FIELD_BOOL,  0,  0,  AT(wants_pieces),   NULL},
    {0},
    /* clang-format on */
};

const struct field detokenize_fields[] = {
    {"model", FIELD_STR, 0, 300, AT(model), NULL},
    {"tokens", FIELD_JSON, 0, 0, AT(tokens), NULL},
    {0},
};

static void write_tokens(struct json_writer *w, const struct tokenizer *t, const struct ids *ids,
                         bool has_pieces)
{
    json_key(w, "tokens");
    json_array(w);
    for (size_t i = 0; i < ids->n; i++) {
        if (!has_pieces) {
            json_int(w, ids->id[i]);
            continue;
        }
        size_t n = 0;
        const char *s = tokenizer_bytes(t, ids->id[i], true, &n);
        json_object(w);
        json_key_int(w, "id", ids->id[i]);
        json_key(w, "piece");
        json_string(w, s, n);
        json_end(w);
    }
    json_end(w);
}

static bool tokenize(struct exchange *ex, const struct token_fields *f, struct buf *out,
                     struct refusal *r)
{
    const struct tokenizer *t = model_tokenizer(ex->served->gen.model);
    const char *s = NULL;
    size_t n = 0;
    struct err err = {0};
    struct ids ids = {0};
    const unsigned flags =
        (f->adds_special ? ENCODE_DEFAULT_BOS : 0u) | (f->parses_special ? ENCODE_SPECIAL : 0u);
    if (!json_str(f->content, &s, &n))
        return refuse(r, REFUSAL_MISSING, "content", "content: it is missing; give a string");
    if (n > MAX_TOKENIZE_BYTES)
        return refuse(r, REFUSAL_VALUE, "content", "content: %zu bytes; give at most %d", n,
                      MAX_TOKENIZE_BYTES);
    const bool ok = tokenizer_encode(t, s, n, flags, &ids, &err) || refuse_err(r, "content", &err);
    if (ok) {
        struct json_writer w = json_writer(out);
        json_object(&w);
        write_tokens(&w, t, &ids, f->wants_pieces);
        json_key_int(&w, "count", (int64_t)ids.n);
        json_key_int(&w, "max_model_len", ex->served->gen.n_ctx);
        json_end(&w);
    }
    ids_release(&ids);
    return ok;
}

/* The text stands under two names: llama.cpp's and vLLM's. */
static bool detokenize(struct exchange *ex, const struct token_fields *f, struct buf *out,
                       struct refusal *r)
{
    const struct model *m = ex->served->gen.model;
    struct buf text;
    struct json_iter it = json_iter(f->tokens);
    struct json v;
    bool ok = json_type(f->tokens) == JSON_ARRAY ||
              refuse(r, json_type(f->tokens) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE,
                     "tokens", "tokens: it is %s; give an array of ids", json_type_name(f->tokens));
    struct ids ids = {0};
    while (ok && json_next(&it, NULL, NULL, &v)) {
        struct err err = {0};
        int64_t id = -1;
        if (!json_i64(v, &id) || id < 0 || id >= model_config(m)->n_vocab)
            ok = refuse(r, REFUSAL_VALUE, "tokens",
                        "tokens: element %zu is no token id; give whole numbers from 0 to %d",
                        ids.n, (int)model_config(m)->n_vocab - 1);
        else
            ok = ids_push(&ids, (int32_t)id, &err) || refuse_err(r, "tokens", &err);
    }
    buf_init(&text, (size_t)64 << 20);
    if (ok) tokenizer_decode(model_tokenizer(m), ids.id, ids.n, true, &text);
    if (ok && text.is_failed) ok = refuse(r, REFUSAL_SERVER, NULL, "no memory for the text");
    if (ok) {
        struct json_writer w = json_writer(out);
        json_object(&w);
        json_key(&w, "content");
        json_string(&w, text.data ? text.data : "", text.n_bytes);
        json_key(&w, "prompt");
        json_string(&w, text.data ? text.data : "", text.n_bytes);
        json_end(&w);
    }
    buf_release(&text);
    ids_release(&ids);
    return ok;
}

typedef bool token_fn(struct exchange *, const struct token_fields *, struct buf *,
                      struct refusal *);

static void with_tokens(struct exchange *ex, const void *body, size_t n_bytes,
                        const struct field *rows, token_fn *fn)
{
    struct refusal r = {0};
    struct token_fields f = {.model = ""};
    struct adapter *adapter = NULL; /* its tokens are the model's */
    struct buf *out = &ex->server->text;
    struct json_doc *d = body_parse(body, n_bytes, MAX_BODY_BYTES, &r);
    buf_clear(out);
    const bool ok = d && fields_read(rows, json_root(d), &f, &f.unknown, &r) &&
                    server_choose_adapter(ex->server, ex->served, f.model, &adapter, &r) &&
                    fn(ex, &f, out, &r);
    adapters_leave(ex->server->adapters, adapter);
    memcpy(ex->figures.unknown, f.unknown.names, sizeof f.unknown.names);
    json_free(d);
    if (ok)
        exchange_reply(ex, 200, "application/json", out);
    else
        exchange_refuse(ex, &r);
}

void tokens_of_text(struct exchange *ex, const void *body, size_t n_bytes)
{
    with_tokens(ex, body, n_bytes, tokenize_fields, tokenize);
}

void text_of_tokens(struct exchange *ex, const void *body, size_t n_bytes)
{
    with_tokens(ex, body, n_bytes, detokenize_fields, detokenize);
}
