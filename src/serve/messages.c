/* SPDX-License-Identifier: Apache-2.0
 *
 * messages.c - prompts: a chat's messages, a text, several texts, or ids, to token ids.
 *
 * Contents go to the tokenizer as they are, apart from the template's own markup, so no message can
 * forge a turn (text/chat.h). A text that is longer than the context's tokens can be, even if each
 * were the longest of the vocabulary, is refused unread; so the work for one request is bounded by
 * the context, not by the body's limit.
 *
 * Begin reading at gen_prompts().
 */
#include "serve/gen_params.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/table.h"
#include "serve/message_calls.h"

enum { MAX_MESSAGES = 4096, MAX_ARENA_BYTES = 256 << 20 };

struct reader {
    const struct model *model;
    int32_t n_ctx, max_token_bytes;
    const char *field; /* where texts stand */
    struct buf text;   /* contents that had to be put together; never grows beyond the body */
    struct arena *arena;
    struct json calls; /* of the assistant's message before, JSON_NONE without */
    const struct tools *tools;
    enum chat_tool_form tool_form;
    struct refusal *r;
};

static bool too_long(struct reader *rd, const char *field, size_t n_tok, const char *more)
{
    return refuse(rd->r, REFUSAL_CONTEXT, field,
                  "the prompt has %s%zu tokens, the context of this server holds %d; shorten it, "
                  "or start the server with a larger --ctx",
                  more, n_tok, (int)rd->n_ctx);
}

static bool can_fit(struct reader *rd, const char *field, size_t n_bytes)
{
    const size_t n_least = n_bytes / (size_t)rd->max_token_bytes;
    return n_least <= (size_t)rd->n_ctx || too_long(rd, field, n_least, "at least ");
}

static bool check_length(struct reader *rd, const char *field, const struct ids *ids)
{
    if (ids->n == 0)
        return refuse(rd->r, REFUSAL_VALUE, field, "%s: it has no token; give some text", field);
    return ids->n <= (size_t)rd->n_ctx || too_long(rd, field, ids->n, "");
}

/* ---- a chat ---- */

static const struct role {
    const char *name;
    const char *ours; /* NULL: not supported */
} roles[] = {
    {"system", "system"},
    {"developer", "system"},
    {"user", "user"},
    {"assistant", "assistant"},
    {"tool", "tool"},
    {"function", NULL},
    {0},
};

static bool add_part(struct reader *rd, struct json part, const char *field)
{
    const char *type = "", *s = NULL;
    size_t n = 0;
    json_str(json_get(part, "type"), &type, NULL);
    const bool is_text = strcmp(type, "text") == 0 || strcmp(type, "input_text") == 0;
    const bool is_refusal = strcmp(type, "refusal") == 0;
    if (!is_text && !is_refusal)
        return refuse(rd->r, REFUSAL_UNSUPPORTED, field,
                      "%s: a part of type \"%.40s\"; this model reads text only", field, type);
    if (!json_str(json_get(part, is_text ? "text" : "refusal"), &s, &n))
        return refuse(rd->r, REFUSAL_VALUE, field, "%s: a part has no text; give a string", field);
    buf_append(&rd->text, s, n);
    return true;
}

/* Content is a string, an array of parts, or null where an assistant says nothing. Texts of parts
 * are remembered by their place in rd->text, which may move while it grows: see fix_contents(). */
static bool read_content(struct reader *rd, struct json v, size_t i, struct chat_message *m)
{
    char field[80];
    snprintf(field, sizeof field, "messages[%zu].content", i);
    m->content = NULL;
    if (json_str(v, &m->content, &m->n_content)) return true;
    const bool may_be_null = strcmp(m->role, "assistant") == 0;
    if (json_type(v) <= JSON_NULL && may_be_null) {
        m->content = "";
        m->n_content = 0;
        return true;
    }
    if (json_type(v) != JSON_ARRAY)
        return refuse(rd->r, json_type(v) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE, field,
                      "%s: it is %s; give a string or an array of text parts", field,
                      json_type_name(v));
    const size_t begin = rd->text.n_bytes;
    struct json_iter it = json_iter(v);
    struct json part;
    while (json_next(&it, NULL, NULL, &part))
        if (!add_part(rd, part, field)) return false;
    m->n_content = rd->text.n_bytes - begin;
    return true;
}

/* What a message has besides its content. */
static bool read_calls(struct reader *rd, struct json v, size_t i, struct chat_message *m)
{
    const struct json none = {0}, calls = json_get(v, "tool_calls");
    if (strcmp(m->role, "tool") == 0) return message_result_check(v, i, rd->calls, rd->r);
    rd->calls = none;
    if (strcmp(m->role, "assistant") != 0 || json_type(calls) <= JSON_NULL) return true;
    if (json_type(calls) == JSON_ARRAY && json_len(calls) == 0) return true;
    rd->calls = calls;
    return message_calls_read(calls, i, rd->arena, m, rd->r);
}

static bool read_message(struct reader *rd, struct json v, size_t i, struct chat_message *m)
{
    char field[80];
    const char *name = NULL;
    snprintf(field, sizeof field, "messages[%zu].role", i);
    if (json_type(v) != JSON_OBJECT)
        return refuse(rd->r, REFUSAL_VALUE, field, "messages[%zu]: it is %s; give an object", i,
                      json_type_name(v));
    if (!json_str(json_get(v, "role"), &name, NULL))
        return refuse(rd->r, REFUSAL_MISSING, field,
                      "%s: it is missing; give system, user or "
                      "assistant",
                      field);
    const struct role *role = table_find(roles, sizeof roles[0], name);
    if (!role || !role->ours)
        return refuse(rd->r, REFUSAL_VALUE, field,
                      "%s: \"%.40s\" is unknown; give system, developer, user, assistant or tool",
                      field, name);
    m->role = role->ours;
    return read_content(rd, json_get(v, "content"), i, m) && read_calls(rd, v, i, m);
}

static bool check_total(struct reader *rd, const struct read_message *m, size_t n)
{
    size_t n_bytes = 0; /* all lie in one body */
    for (size_t i = 0; i < n; i++)
        n_bytes += m[i].m.n_content + (m[i].m.tool_calls ? strlen(m[i].m.tool_calls) : 0);
    if (tools_are_offered(rd->tools)) n_bytes += rd->tools->json.n_bytes;
    return can_fit(rd, "messages", n_bytes);
}

static void fix_contents(const struct reader *rd, struct read_message *m, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (m[i].m.content) continue;
        m[i].m.content = rd->text.data ? rd->text.data + at : "";
        at += m[i].m.n_content;
    }
}

/* The conversation as the model's template takes it. */
static bool fit_template(struct reader *rd, const struct read_message *m, size_t n,
                         struct chat_input *in, struct err *err)
{
    struct chat_message *list = NULL;
    bool has_calls = in->tools_json != NULL;
    for (size_t i = 0; i < n; i++)
        has_calls |= m[i].m.tool_calls || strcmp(m[i].m.role, "tool") == 0;
    if (rd->tool_form == CHAT_TOOLS_LLAMA) {
        if (!message_calls_split(m, n, rd->arena, &list, &in->n_messages, err)) return false;
    } else {
        list = arena_array(rd->arena, n, sizeof *list, err);
        if (!list) return false;
        for (size_t i = 0; i < n; i++) list[i] = m[i].m;
        in->n_messages = n;
    }
    in->message = list;
    const struct chat_input told = *in;
    return !has_calls || rd->tool_form != CHAT_TOOLS_PLAIN ||
           chat_tools_plain(&told, rd->arena, in, err);
}

static bool encode_chat(struct reader *rd, const struct read_message *m, size_t n, struct ids *out)
{
    struct err err = {0};
    char date[32];
    struct tm tm;
    const time_t now = time(NULL);
    localtime_r(&now, &tm);
    strftime(date, sizeof date, "%d %b %Y", &tm);
    struct chat_input in = {.opens_answer = true, .date = date};
    if (tools_are_offered(rd->tools)) in.tools_json = rd->tools->json.data;
    if (!buf_check(&rd->text, "the messages", &err) || !fit_template(rd, m, n, &in, &err) ||
        !chat_encode(model_chat_family(rd->model), &in, model_tokenizer(rd->model), out, &err))
        return refuse_err(rd->r, "messages", &err);
    return check_length(rd, "messages", out);
}

static bool read_messages(struct reader *rd, struct json v, size_t n, struct ids *out)
{
    struct err err = {0};
    struct read_message *m = arena_array(rd->arena, n, sizeof *m, &err);
    if (!m) return refuse_err(rd->r, "messages", &err);
    memset(m, 0, n * sizeof *m);
    struct json_iter it = json_iter(v);
    struct json message;
    for (size_t i = 0; json_next(&it, NULL, NULL, &message); i++) {
        m[i].from = message;
        if (!read_message(rd, message, i, &m[i].m)) return false;
    }
    if (!check_total(rd, m, n)) return false;
    fix_contents(rd, m, n);
    return encode_chat(rd, m, n, out);
}

static bool read_chat(struct reader *rd, struct json v, struct ids *out)
{
    struct err err = {0};
    const size_t n = json_len(v);
    if (json_type(v) == JSON_NONE)
        return refuse(rd->r, REFUSAL_MISSING, "messages", "messages: it is missing; give an array");
    if (json_type(v) != JSON_ARRAY || n == 0 || n > MAX_MESSAGES)
        return refuse(rd->r, REFUSAL_VALUE, "messages",
                      "messages: it is %s of %zu; give an array of 1 to %d messages",
                      json_type_name(v), n, MAX_MESSAGES);
    if (!model_chat_family(rd->model))
        return refuse(rd->r, REFUSAL_UNSUPPORTED, "messages",
                      "messages: this model has no chat template; use /v1/completions");
    rd->arena = arena_new(MAX_ARENA_BYTES, &err);
    if (!rd->arena) return refuse_err(rd->r, NULL, &err);
    const bool ok = read_messages(rd, v, n, out);
    arena_free(rd->arena);
    return ok;
}

/* ---- texts and ids ---- */

static bool read_text(struct reader *rd, struct json v, struct ids *out)
{
    const char *field = rd->field;
    struct err err = {0};
    const char *s = NULL;
    size_t n = 0;
    if (!json_str(v, &s, &n))
        return refuse(rd->r, REFUSAL_VALUE, field,
                      "%s: it holds %s; give a string, ids, or an array of either", field,
                      json_type_name(v));
    if (!can_fit(rd, field, n)) return false;
    if (!tokenizer_encode(model_tokenizer(rd->model), s, n, ENCODE_DEFAULT_BOS, out, &err))
        return refuse_err(rd->r, rd->field, &err);
    return check_length(rd, rd->field, out);
}

static bool read_ids(struct reader *rd, struct json v, struct ids *out)
{
    struct err err = {0};
    const int32_t n_vocab = model_config(rd->model)->n_vocab;
    struct json_iter it = json_iter(v);
    struct json e;
    if (json_len(v) > (size_t)rd->n_ctx) return too_long(rd, rd->field, json_len(v), "");
    while (json_next(&it, NULL, NULL, &e)) {
        int64_t id = -1;
        if (!json_i64(e, &id) || id < 0 || id >= n_vocab)
            return refuse(rd->r, REFUSAL_VALUE, rd->field,
                          "%s: element %zu is no token id; give whole numbers from 0 to %d",
                          rd->field, out->n, (int)n_vocab - 1);
        if (!ids_push(out, (int32_t)id, &err)) return refuse_err(rd->r, rd->field, &err);
    }
    return check_length(rd, rd->field, out);
}

static bool read_texts(struct reader *rd, struct json v, int32_t most, struct ids *prompt,
                       int32_t *n)
{
    const struct json first = json_at(v, 0);
    if (json_type(v) == JSON_NONE)
        return refuse(rd->r, REFUSAL_MISSING, rd->field, "%s: it is missing; give a string",
                      rd->field);
    if (json_type(v) != JSON_ARRAY) {
        *n = 1;
        return read_text(rd, v, prompt);
    }
    if (json_type(first) == JSON_INT) {
        *n = 1;
        return read_ids(rd, v, prompt);
    }
    if (json_len(v) == 0 || json_len(v) > (size_t)most)
        return refuse(rd->r, REFUSAL_VALUE, rd->field, "%s: %zu of them; give 1 to %d", rd->field,
                      json_len(v), (int)most);
    struct json_iter it = json_iter(v);
    struct json e;
    while (json_next(&it, NULL, NULL, &e)) {
        struct ids *out = &prompt[(*n)++];
        if (!(json_type(e) == JSON_ARRAY ? read_ids(rd, e, out) : read_text(rd, e, out)))
            return false;
    }
    return true;
}

static struct reader reader_of(const struct gen_model *m, const char *field, struct refusal *r)
{
    struct reader rd = {.model = m->model,
                        .n_ctx = m->n_ctx,
                        .max_token_bytes = m->max_token_bytes,
                        .field = field,
                        .r = r};
    buf_init(&rd.text, (size_t)1 << 26);
    return rd;
}

bool gen_texts(const struct gen_model *m, const char *field, struct json v, int32_t most,
               struct ids *text, int32_t *n, struct refusal *r)
{
    struct reader rd = reader_of(m, field, r);
    *n = 0;
    return read_texts(&rd, v, most, text, n);
}

bool gen_prompts(enum gen_api api, const struct gen_model *m, const struct gen_params *p,
                 struct ids *prompt, int32_t *n, struct refusal *r)
{
    if (api != GEN_CHAT) return gen_texts(m, "prompt", p->prompt, GEN_MAX_PROMPTS, prompt, n, r);
    struct reader rd = reader_of(m, "messages", r);
    rd.tools = &p->tools;
    rd.tool_form = gen_tool_form(m);
    *n = 1;
    const bool ok = read_chat(&rd, p->messages, prompt);
    buf_release(&rd.text);
    return ok;
}
