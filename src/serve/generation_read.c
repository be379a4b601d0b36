/* SPDX-License-Identifier: Apache-2.0
 *
 * generation_read.c - reading a request: from its body to prompts of ids, and at the end what the
 * store keeps of it.
 *
 * A body of another API is translated first (translate.h) and then read as a chat. If it asks for
 * truncation and does not fit the context, the fewest items at its beginning are left out with
 * which it fits and leaves room for an answer, by halving; a reading costs no more than the context
 * does, whatever the body's size.
 *
 * Begin reading at generation_read().
 */
#include "serve/generation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ANSWER_BYTES = 64 << 20 };

static bool make_choices(struct generation *g, struct refusal *r)
{
    g->n_choices = g->n_told = g->n_prompts * g->params.n_made;
    g->choice = calloc((size_t)g->n_choices, sizeof *g->choice);
    if (!g->choice) {
        g->n_choices = 0;
        return refuse(r, REFUSAL_SERVER, NULL, "no memory for the answers");
    }
    for (int32_t i = 0; i < g->n_choices; i++) {
        g->choice[i].i_stop = -1;
        buf_init(&g->choice[i].text, MAX_ANSWER_BYTES);
        buf_init(&g->choice[i].sentences, MAX_ANSWER_BYTES);
        for (int k = 0; k < CHOICE_LOGPROBS; k++)
            buf_init(&g->choice[i].logprobs[k], MAX_ANSWER_BYTES);
        if (!choice_open(&g->choice[i], g, r)) return false;
    }
    return true;
}

static bool read_prompts(struct generation *g, struct refusal *r)
{
    struct ids *prompt = calloc(GEN_MAX_PROMPTS, sizeof *prompt);
    if (!prompt) return refuse(r, REFUSAL_SERVER, NULL, "no memory for the prompt");
    int32_t n = 0;
    bool ok = gen_prompts(g->wording->reads_as, &g->served->gen, &g->params, prompt, &n, r);
    if (ok) {
        g->part = calloc((size_t)n, sizeof *g->part);
        ok = g->part || refuse(r, REFUSAL_SERVER, NULL, "no memory for %d prompts", (int)n);
    }
    for (int32_t i = 0; i < n; i++)
        if (ok)
            g->part[i].prompt = prompt[i];
        else
            ids_release(&prompt[i]);
    if (ok) g->n_prompts = n;
    free(prompt);
    return ok;
}

/* Fields and prompts of a body that is a chat's or a text's. */
static bool read_body(struct generation *g, struct json body, struct refusal *r)
{
    struct server *s = g->server;
    const enum gen_api api = g->wording->reads_as;
    if (!gen_params_read(api, &g->served->gen, body, &g->params, r)) return false;
    return server_rank(s, g->key_name, g->params.priority, &g->job.params, r) &&
           server_choose_adapter(g->server, g->served, g->params.model, &g->adapter, r) &&
           read_prompts(g, r);
}

/* ---- bodies with sources ---- */

/* What an answer with references cannot be besides. */
static bool check_cited(const struct gen_params *p, struct refusal *r)
{
    const char *field = tools_are_offered(&p->tools) ? "tools"
                        : p->form.kind != FORM_FREE  ? p->form.field
                        : p->wants_logprobs          ? "logprobs"
                                                     : NULL;
    return !field || refuse(r, REFUSAL_UNSUPPORTED, field,
                            "%s beside sources: an answer with references is free text; ask for "
                            "one or the other",
                            field);
}

/* The chat's body once more, with its sources, in g->chat; then what it asks for. */
static bool read_sourced(struct generation *g, struct json chat, struct refusal *r)
{
    const int32_t n_ctx = g->served->gen.n_ctx; /* a byte of sources for a token of it */
    const size_t most = n_ctx < SOURCES_MAX_BYTES ? (size_t)n_ctx : SOURCES_MAX_BYTES;
    struct json_doc *with = NULL;
    struct buf body;
    buf_init(&body, 4 * MAX_BODY_BYTES);
    /* where the question stands may have changed: older messages were left out */
    if (cited_read(chat, &g->cited, r) && cited_body(chat, &g->cited, g->sources, most, &body, r))
        with = body_parse(body.data, body.n_bytes, body.n_bytes, r);
    buf_release(&body);
    if (!with) return false;
    json_free(g->chat);
    g->chat = with;
    return read_body(g, json_root(g->chat), r) && check_cited(&g->params, r);
}

/* ---- bodies that are translated ---- */

static void forget(struct generation *g)
{
    for (int32_t i = 0; i < g->n_prompts; i++) ids_release(&g->part[i].prompt);
    free(g->part);
    g->part = NULL;
    g->n_prompts = 0;
    gen_params_release(&g->params);
    json_free(g->chat);
    g->chat = NULL;
}

static struct json chain_of(const struct generation *g)
{
    const struct json none = {0};
    return g->chain ? json_root(g->chain) : none;
}

static bool read_question(struct generation *g, struct json chat, struct refusal *r)
{
    return cited_read(chat, &g->cited, r);
}

/* The chat that the body is, without its first items, in g->chat; then `read` reads it. */
static bool translate(struct generation *g, size_t n_left_out,
                      bool (*read)(struct generation *g, struct json chat, struct refusal *r),
                      struct refusal *r)
{
    const struct shape *s = g->wording->shape;
    struct translation t;
    translation_init(&t);
    forget(g);
    bool ok = shape_translate(s, json_root(g->body), &g->ask, chain_of(g), n_left_out, &t, r);
    if (ok) {
        g->chat = body_parse(t.chat.data, t.chat.n_bytes, t.chat.n_bytes, r);
        ok = g->chat && read(g, json_root(g->chat), r);
        if (!ok) shape_rename(s, &t, r);
    }
    translation_release(&t);
    return ok;
}

static bool read_translated(struct generation *g, size_t n_left_out, struct refusal *r)
{
    const bool ok = translate(g, n_left_out, g->sources ? read_sourced : read_body, r);
    g->params.unknown = g->ask.unknown;
    return ok;
}

/* Whether it fits and leaves room for what it may answer, an eighth of the context if it does not
 * say. False with another refusal than REFUSAL_CONTEXT: it is bad whatever its length. */
static bool fits(struct generation *g, size_t n_left_out, struct refusal *r)
{
    const int32_t n_ctx = g->served->gen.n_ctx;
    if (!read_translated(g, n_left_out, r)) return false;
    const int32_t n_most = g->params.max_tokens < 0 ? n_ctx / 8 : g->params.max_tokens;
    const int32_t n_room = n_most < n_ctx / 2 ? n_most : n_ctx / 2;
    return (int64_t)g->part[0].prompt.n + n_room <= n_ctx ||
           refuse(r, REFUSAL_CONTEXT, g->wording->shape->input, "the prompt leaves no room");
}

static bool read_truncated(struct generation *g, struct refusal *r)
{
    size_t few = 0, many = json_len(chain_of(g)) + json_len(g->ask.input);
    if (fits(g, 0, r)) return true;
    if (json_type(g->ask.input) == JSON_ARRAY && many > 0) many--; /* the newest stays */
    const size_t most = many;
    while (r->kind == REFUSAL_CONTEXT && many - few > 1) {
        const size_t n = few + (many - few) / 2;
        struct refusal why = {0};
        if (fits(g, n, &why))
            many = n;
        else
            few = n;
        if (why.kind != REFUSAL_NONE) *r = why;
    }
    if (r->kind != REFUSAL_CONTEXT) return false;
    /* the newest alone may fill the context */
    return many < most ? fits(g, many, r) : read_translated(g, most, r);
}

/* ---- the whole ---- */

bool generation_read_cited(struct generation *g, struct refusal *r)
{
    const struct json body = json_root(g->body);
    if (g->wording->reads_as != GEN_CHAT || json_type(json_get(body, "sources")) <= JSON_NULL)
        return true;
    return g->wording->shape ? translate(g, 0, read_question, r) : cited_read(body, &g->cited, r);
}

bool generation_read(struct generation *g, struct refusal *r)
{
    const struct json body = json_root(g->body);
    const bool truncates = g->ask.truncation && strcmp(g->ask.truncation, "auto") == 0;
    bool ok = g->wording->shape ? (truncates ? read_truncated(g, r) : read_translated(g, 0, r))
              : g->sources      ? read_sourced(g, body, r)
                                : read_body(g, body, r);
    /* an echo is written at once, and must not look like a client that does not read */
    if (ok && g->params.echoes && g->params.is_stream && g->n_body_bytes > MAX_UNREAD_BYTES / 2)
        ok = refuse(r, REFUSAL_VALUE, "echo",
                    "echo: a body of %zu bytes; a stream echoes at most %d, leave out stream",
                    g->n_body_bytes, MAX_UNREAD_BYTES / 2);
    return ok && make_choices(g, r);
}

/* ---- what the store keeps ---- */

/* An item with an id, as the list of a response's items has them. */
static void write_item(struct json_writer *w, const struct generation *g, struct json item, int i)
{
    char id[60];
    struct json_iter it = json_iter(item);
    struct json v;
    const char *key = NULL;
    json_object(w);
    if (json_type(json_get(item, "type")) == JSON_NONE) json_key_cstring(w, "type", "message");
    if (json_type(json_get(item, "id")) <= JSON_NULL) {
        snprintf(id, sizeof id, "item_%s_%d", g->id + strlen(g->wording->id_prefix), i);
        json_key_cstring(w, "id", id);
    }
    while (json_next(&it, &key, NULL, &v))
        if (strcmp(key, "id") != 0 || json_type(v) != JSON_NULL) json_key_copy(w, key, v, "null");
    json_end(w);
}

static void write_text_item(struct json_writer *w, const struct generation *g)
{
    char id[60];
    snprintf(id, sizeof id, "item_%s_0", g->id + strlen(g->wording->id_prefix));
    json_object(w);
    json_key_cstring(w, "type", "message");
    json_key_cstring(w, "id", id);
    json_key_cstring(w, "role", "user");
    json_key(w, "content");
    json_array(w);
    json_object(w);
    json_key_cstring(w, "type", "input_text");
    json_key_copy(w, "text", g->ask.input, "\"\"");
    json_end(w);
    json_end(w);
    json_end(w);
}

void generation_fill_stored(struct generation *g)
{
    struct vault_job *job = &g->stored;
    struct json_iter it = json_iter(g->ask.input);
    struct json item;
    int i = 0;
    vault_job_release(job);
    vault_job_init(job, VAULT_PUT_RESPONSE, g->key_name, g->id);
    if (g->ask.previous) snprintf(job->previous, sizeof job->previous, "%s", g->ask.previous);
    struct json_writer w = json_writer(&job->input);
    json_array(&w);
    if (json_type(g->ask.input) == JSON_STRING) write_text_item(&w, g);
    while (json_next(&it, NULL, NULL, &item)) write_item(&w, g, item, i++);
    json_end(&w);
    g->wording->whole(g, &job->doc);
}
