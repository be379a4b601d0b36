/* SPDX-License-Identifier: Apache-2.0
 *
 * wording.c - answers as OpenAI's clients read them: whole objects and chunks, of chats and texts.
 * Other APIs are in wording_NAME.c.
 *
 * The two APIs differ in names and in how log-probabilities lie: a chat has one object a token, a
 * text four arrays side by side. A chunk is "data: {...}" and an empty line.
 */
#include "serve/generation.h"

#include <math.h>
#include <string.h>

#include "base/json_write.h"
#include "base/utf8.h"

const char *word_finish(const struct choice *c)
{
    return c->finish != FINISH_STOP ? "length" : c->n_calls ? "tool_calls" : "stop";
}

/* ---- log-probabilities ---- */

/* A token's text; one that is half a character is spelt as OpenAI does: "bytes:\xe2\x80". */
static void write_token(struct json_writer *w, const char *s, size_t n)
{
    char spelt[6 + 4 * 64 + 1] = "bytes:";
    if (utf8_is_valid(s, n)) {
        json_string(w, s, n);
        return;
    }
    size_t at = 6;
    for (size_t i = 0; i < n && i < 64; i++) {
        static const char hex[] = "0123456789abcdef";
        const unsigned char c = (unsigned char)s[i];
        spelt[at++] = '\\';
        spelt[at++] = 'x';
        spelt[at++] = hex[c >> 4];
        spelt[at++] = hex[c & 15];
    }
    json_string(w, spelt, at);
}

static const char *bytes_of(const struct generation *g, int32_t id, size_t *n)
{
    return tokenizer_bytes(model_tokenizer(g->served->gen.model), id, true, n);
}

static int32_t n_top_of(const struct generation *g, const struct sampled *s)
{
    return s->n_top < g->params.top_logprobs ? s->n_top : g->params.top_logprobs;
}

/* JSON has no infinities; a banned token's is the lowest that clients expect. */
static float clipped(float logprob) { return logprob > -9999.0f ? logprob : -9999.0f; }

static void write_chat_token(struct json_writer *w, const struct generation *g, int32_t id,
                             float logprob)
{
    size_t n = 0;
    const char *s = bytes_of(g, id, &n);
    json_key(w, "token");
    write_token(w, s, n);
    json_key_float(w, "logprob", clipped(logprob));
    json_key(w, "bytes");
    json_array(w);
    for (size_t i = 0; i < n; i++) json_int(w, (unsigned char)s[i]);
    json_end(w);
}

void word_chat_logprob(struct generation *g, struct buf *to, const struct sampled *s)
{
    struct json_writer w = json_writer(to);
    if (to->n_bytes) buf_putc(to, ',');
    json_object(&w);
    write_chat_token(&w, g, s->id, s->logprob);
    json_key(&w, "top_logprobs");
    json_array(&w);
    for (int32_t i = 0; i < n_top_of(g, s); i++) {
        json_object(&w);
        write_chat_token(&w, g, s->top[i].id, s->top[i].logprob);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
}

static size_t count_chars(const char *s, size_t n)
{
    size_t n_chars = 0;
    for (size_t i = 0; i < n; i++) n_chars += ((unsigned char)s[i] & 0xC0) != 0x80;
    return n_chars;
}

static void text_logprobs(struct generation *g, struct choice *c, struct buf to[CHOICE_LOGPROBS],
                          const struct sampled *s)
{
    size_t n = 0;
    const char *text = bytes_of(g, s->id, &n);
    for (int k = 0; k < CHOICE_LOGPROBS; k++)
        if (to[k].n_bytes) buf_putc(&to[k], ',');
    struct json_writer w0 = json_writer(&to[0]), w1 = json_writer(&to[1]);
    struct json_writer w2 = json_writer(&to[2]), w3 = json_writer(&to[3]);
    write_token(&w0, text, n);
    json_int(&w3, (int64_t)c->n_chars);
    c->n_chars += count_chars(text, n);
    if (isnan(s->logprob)) { /* a prompt's first token */
        json_null(&w1);
        json_null(&w2);
        return;
    }
    json_float(&w1, clipped(s->logprob));
    json_object(&w2);
    for (int32_t i = 0; i < n_top_of(g, s); i++) {
        struct buf name;
        buf_init(&name, 4096);
        size_t n_top = 0;
        const char *top = bytes_of(g, s->top[i].id, &n_top);
        /* a key goes through the same spelling as a value */
        struct json_writer wn = json_writer(&name);
        write_token(&wn, top, n_top);
        if (!name.is_failed) {
            if (i) buf_putc(&to[2], ',');
            buf_append(&to[2], name.data, name.n_bytes);
            buf_putc(&to[2], ':');
            struct json_writer wv = json_writer(&to[2]);
            json_float(&wv, clipped(s->top[i].logprob));
        }
        buf_release(&name);
    }
    json_end(&w2);
}

void word_logprobs(struct generation *g, struct choice *c, const struct sampled *s)
{
    if (g->wording->reads_as == GEN_CHAT)
        word_chat_logprob(g, &c->logprobs[0], s);
    else
        text_logprobs(g, c, c->logprobs, s);
}

static void write_array(struct json_writer *w, const char *key, const struct buf *b)
{
    json_key(w, key);
    json_array(w);
    if (b->n_bytes) json_raw(w, b->data, b->n_bytes);
    json_end(w);
}

/* The key "logprobs" of a choice; `from` as in struct choice. */
static void write_logprobs(struct json_writer *w, const struct generation *g,
                           const struct buf from[CHOICE_LOGPROBS])
{
    json_key(w, "logprobs");
    if (!from) {
        json_null(w);
        return;
    }
    json_object(w);
    if (g->api == GEN_CHAT) {
        write_array(w, "content", &from[0]);
        json_key_cstring(w, "refusal", NULL);
    } else {
        write_array(w, "tokens", &from[0]);
        write_array(w, "token_logprobs", &from[1]);
        write_array(w, "top_logprobs", &from[2]);
        write_array(w, "text_offset", &from[3]);
    }
    json_end(w);
}

/* ---- the frame ---- */

static void open_frame(struct json_writer *w, const struct generation *g, bool is_chunk)
{
    char fingerprint[64];
    snprintf(fingerprint, sizeof fingerprint, "cria-%s", g->server->opt->version);
    json_object(w);
    json_key_cstring(w, "id", g->id);
    json_key_cstring(w, "object",
                     g->api == GEN_TEXT ? "text_completion"
                     : is_chunk         ? "chat.completion.chunk"
                                        : "chat.completion");
    json_key_int(w, "created", g->created_s);
    json_key_cstring(w, "model", server_model_name(g->served, g->adapter));
    json_key_cstring(w, "system_fingerprint", fingerprint);
    json_key(w, "choices");
    json_array(w);
}

static void write_usage(struct json_writer *w, const struct generation *g)
{
    json_key(w, "usage");
    json_object(w);
    json_key_int(w, "prompt_tokens", g->n_prompt);
    json_key_int(w, "completion_tokens", g->n_generated);
    json_key_int(w, "total_tokens", (int64_t)g->n_prompt + g->n_generated);
    json_key(w, "prompt_tokens_details");
    json_object(w);
    json_key_int(w, "cached_tokens", g->n_cached);
    if (g->n_same > 0) json_key_int(w, "diverged_at_token", g->n_same);
    json_end(w);
    json_end(w);
}

/* ---- chunks ---- */

/* `finish` NULL: more comes. */
static void close_chunk(struct json_writer *w, const struct generation *g, const char *finish)
{
    json_key_cstring(w, "finish_reason", finish);
    json_end(w);
    json_end(w);
    if (g->params.has_usage) json_key_cstring(w, "usage", NULL);
    json_end(w);
    buf_puts(w->out, "\n\n");
}

static struct json_writer open_chunk(const struct generation *g, int32_t i_choice, struct buf *out)
{
    buf_puts(out, "data: ");
    struct json_writer w = json_writer(out);
    open_frame(&w, g, true);
    json_object(&w);
    json_key_int(&w, "index", i_choice);
    return w;
}

static void write_delta(struct json_writer *w, const struct generation *g, const struct piece *p,
                        bool is_first)
{
    json_key(w, "delta");
    json_object(w);
    if (is_first) json_key_cstring(w, "role", "assistant");
    if (p->kind == PIECE_TEXT) {
        json_key(w, "content");
        json_string(w, p->text, p->n_text);
    } else if (p->kind == PIECE_REFERENCES) {
        word_annotations(w, &g->choice[p->i_choice], p->n_new);
    } else {
        word_call_delta(w, g, p);
    }
    json_end(w);
}

/* `is_first`: the delta names the role. */
static void write_chunk(struct generation *g, const struct piece *p, bool is_first,
                        const char *finish, struct buf *out)
{
    struct buf lp[CHOICE_LOGPROBS];
    for (int k = 0; k < CHOICE_LOGPROBS; k++) buf_init(&lp[k], 1 << 16);
    if (p->sampled && g->api == GEN_CHAT) word_chat_logprob(g, &lp[0], p->sampled);
    if (p->sampled && g->api == GEN_TEXT) text_logprobs(g, &g->choice[p->i_choice], lp, p->sampled);
    struct json_writer w = open_chunk(g, p->i_choice, out);
    if (g->api == GEN_CHAT) {
        write_delta(&w, g, p, is_first);
    } else {
        json_key(&w, "text");
        json_string(&w, p->text, p->n_text);
    }
    write_logprobs(&w, g, p->sampled ? lp : NULL);
    close_chunk(&w, g, finish);
    for (int k = 0; k < CHOICE_LOGPROBS; k++) buf_release(&lp[k]);
}

/* Appends the prompt's text, for `echo`. */
static void prompt_text(const struct generation *g, int32_t i_choice, struct buf *out)
{
    const struct ids *ids = &g->part[i_choice / g->params.n].prompt;
    tokenizer_decode(model_tokenizer(g->served->gen.model), ids->id, ids->n, false, out);
}

static bool word_first(struct generation *g, int32_t i_choice, struct buf *out)
{
    struct buf prompt;
    if (g->api == GEN_CHAT) {
        write_chunk(g, &(struct piece){.i_choice = i_choice, .text = ""}, true, NULL, out);
        return true;
    }
    if (!g->params.echoes) return false;
    buf_init(&prompt, MAX_BODY_BYTES * 2);
    prompt_text(g, i_choice, &prompt);
    const bool ok = !prompt.is_failed && prompt.n_bytes > 0;
    const struct piece p = {.i_choice = i_choice, .text = prompt.data, .n_text = prompt.n_bytes};
    if (ok) write_chunk(g, &p, false, NULL, out);
    buf_release(&prompt);
    return ok;
}

/* The end of a chat's choice is a chunk of its own with an empty delta, as clients expect. */
static void word_chunk(struct generation *g, const struct piece *p, struct buf *out)
{
    const char *finish = p->finish != FINISH_NONE ? word_finish(&g->choice[p->i_choice]) : NULL;
    const bool is_split = g->api == GEN_CHAT && finish;
    if (p->kind == PIECE_CALL_END) return;
    if (p->n_text || p->n_new || p->sampled || p->kind == PIECE_CALL || !is_split)
        write_chunk(g, p, false, is_split ? NULL : finish, out);
    if (!is_split) return;
    struct json_writer w = open_chunk(g, p->i_choice, out);
    json_key(&w, "delta");
    json_object(&w);
    json_end(&w);
    json_key_cstring(&w, "logprobs", NULL);
    close_chunk(&w, g, finish);
}

static void word_usage_chunk(struct generation *g, struct buf *out)
{
    buf_puts(out, "data: ");
    struct json_writer w = json_writer(out);
    open_frame(&w, g, true);
    json_end(&w);
    write_usage(&w, g);
    json_end(&w);
    buf_puts(out, "\n\n");
}

static void word_end(struct generation *g, struct buf *out)
{
    if (g->params.has_usage) word_usage_chunk(g, out);
    buf_puts(out, "data: [DONE]\n\n");
}

static void word_fault(struct generation *g, const struct refusal *r, struct buf *out)
{
    (void)g;
    buf_puts(out, "data: ");
    refusal_write(r, REFUSAL_OPENAI, out);
    buf_puts(out, "\n\n");
}

/* ---- whole answers ---- */

static void write_message(struct json_writer *w, const struct choice *c)
{
    json_key(w, "message");
    json_object(w);
    json_key_cstring(w, "role", "assistant");
    json_key(w, "content");
    if (c->n_calls && c->text.n_bytes == 0)
        json_null(w);
    else
        json_string(w, c->text.data ? c->text.data : "", c->text.n_bytes);
    if (c->n_calls) word_calls(w, c);
    json_key_cstring(w, "refusal", NULL);
    word_annotations(w, c, c->n_cited);
    json_end(w);
}

static void write_choice_text(struct json_writer *w, const struct generation *g, int32_t i)
{
    struct buf text;
    buf_init(&text, MAX_BODY_BYTES * 2);
    if (g->params.echoes) prompt_text(g, i, &text);
    buf_append(&text, g->choice[i].text.data, g->choice[i].text.n_bytes);
    json_key(w, "text");
    json_string(w, text.data ? text.data : "", text.n_bytes);
    if (text.is_failed) w->out->is_failed = true;
    buf_release(&text);
}

static void word_whole(struct generation *g, struct buf *out)
{
    struct json_writer w = json_writer(out);
    open_frame(&w, g, false);
    for (int32_t i = 0; i < g->n_told; i++) {
        const struct choice *c = &g->choice[i];
        json_object(&w);
        json_key_int(&w, "index", i);
        if (g->api == GEN_CHAT)
            write_message(&w, c);
        else
            write_choice_text(&w, g, i);
        write_logprobs(&w, g, g->params.wants_logprobs ? c->logprobs : NULL);
        json_key_cstring(&w, "finish_reason", word_finish(c));
        json_end(&w);
    }
    json_end(&w);
    write_usage(&w, g);
    json_end(&w);
}

const struct wording wording_chat = {
    .id_prefix = "chatcmpl-",
    .reads_as = GEN_CHAT,
    .first = word_first,
    .chunk = word_chunk,
    .end = word_end,
    .fault = word_fault,
    .whole = word_whole,
};
const struct wording wording_text = {
    .id_prefix = "cmpl-",
    .reads_as = GEN_TEXT,
    .first = word_first,
    .chunk = word_chunk,
    .end = word_end,
    .fault = word_fault,
    .whole = word_whole,
};
