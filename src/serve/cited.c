/* SPDX-License-Identifier: Apache-2.0
 *
 * cited.c - from "sources" in a chat's body to a body with sources.
 *
 * Sources stand in the message of the user who asks, fenced (retrieve/sources.h): what they say is
 * data, the system's message stays as it was, and where an answer has sources no functions are
 * offered, so nothing that a document says can call one.
 */
#include "serve/cited.h"

#include <string.h>

#include "serve/fields.h"

enum { N_SOURCES = 4, MAX_QUESTION_BYTES = 1 << 20 };

void cited_init(struct cited_ask *ask)
{
    *ask = (struct cited_ask){0};
    buf_init(&ask->question, MAX_QUESTION_BYTES);
    buf_init(&ask->before, MAX_QUESTION_BYTES);
}

void cited_release(struct cited_ask *ask)
{
    buf_release(&ask->question);
    buf_release(&ask->before);
}

/* ---- what is asked ---- */

struct wanted {
    int32_t n;
};
static const struct field source_fields[] = {
    {"max_num_results", FIELD_INT, 1, SOURCES_MAX, offsetof(struct wanted, n), NULL},
    {0},
};

static bool read_wanted(struct json v, int *n_want, struct refusal *r)
{
    struct unknown_fields unknown = {0};
    struct wanted wanted = {N_SOURCES};
    bool is_on = false;
    *n_want = 0;
    if (json_type(v) <= JSON_NULL) return true;
    if (json_bool(v, &is_on)) {
        *n_want = is_on ? N_SOURCES : 0;
        return true;
    }
    if (json_type(v) != JSON_OBJECT)
        return refuse(r, REFUSAL_VALUE, "sources",
                      "sources: it is %s; give true, or {\"max_num_results\": N}",
                      json_type_name(v));
    if (!fields_read(source_fields, v, &wanted, &unknown, r)) return false;
    if (unknown.n)
        return refuse(r, REFUSAL_VALUE, "sources",
                      "sources: \"%.60s\" is unknown; give max_num_results", unknown.names);
    *n_want = wanted.n;
    return true;
}

/* The text of a message's content: a string, or its parts that are text. */
static void take_text(struct buf *to, struct json content)
{
    const char *s = NULL;
    size_t n = 0;
    struct json part;
    buf_clear(to);
    if (json_str(content, &s, &n)) {
        buf_append(to, s, n);
        return;
    }
    for (struct json_iter it = json_iter(content); json_next(&it, NULL, NULL, &part);) {
        if (!json_str(json_get(part, "text"), &s, &n)) continue;
        if (to->n_bytes) buf_putc(to, '\n');
        buf_append(to, s, n);
    }
}

bool cited_read(struct json body, struct cited_ask *ask, struct refusal *r)
{
    struct json_iter it = json_iter(json_get(body, "messages"));
    struct json m;
    struct err err = {0};
    bool has_question = false;
    buf_clear(&ask->question);
    if (!read_wanted(json_get(body, "sources"), &ask->n_want, r)) return false;
    if (ask->n_want == 0) return true;
    for (size_t i = 0; json_next(&it, NULL, NULL, &m); i++) {
        if (!json_is_word(json_get(m, "role"), "user")) continue;
        const struct buf older = ask->before;
        ask->before = ask->question;
        ask->question = older;
        take_text(&ask->question, json_get(m, "content"));
        ask->i_message = i;
        has_question = true;
    }
    if (!has_question || ask->question.n_bytes == 0)
        return refuse(r, REFUSAL_VALUE, "sources",
                      "sources: no message of the user has text to look for");
    return (buf_check(&ask->question, "the question", &err) &&
            buf_check(&ask->before, "the question before", &err)) ||
           refuse_err(r, "messages", &err);
}

/* ---- the body with its sources ---- */

static void write_asked(struct json_writer *w, struct json message, const struct buf *text)
{
    struct json_iter it = json_iter(message);
    const char *key = NULL;
    struct json v;
    json_object(w);
    while (json_next(&it, &key, NULL, &v)) {
        if (strcmp(key, "content") != 0) {
            json_key_copy(w, key, v, "null");
            continue;
        }
        json_key(w, key);
        json_string(w, text->data, text->n_bytes);
    }
    json_end(w);
}

static void write_messages(struct json_writer *w, struct json messages, const struct cited_ask *ask,
                           const struct buf *text)
{
    struct json_iter it = json_iter(messages);
    struct json m;
    json_array(w);
    for (size_t i = 0; json_next(&it, NULL, NULL, &m); i++)
        if (i == ask->i_message)
            write_asked(w, m, text);
        else
            json_copy(w, m);
    json_end(w);
}

bool cited_body(struct json body, const struct cited_ask *ask, struct sources *s, size_t max_bytes,
                struct buf *out, struct refusal *r)
{
    struct err err = {0};
    struct buf text;
    struct json_writer w = json_writer(out);
    struct json_iter it = json_iter(body);
    const char *key = NULL;
    struct json v;
    buf_init(&text, MAX_QUESTION_BYTES + 4 * SOURCES_MAX_BYTES);
    bool ok = sources_prompt(s, ask->question.data, ask->question.n_bytes, max_bytes, &text, &err);
    if (ok) {
        json_object(&w);
        while (json_next(&it, &key, NULL, &v)) {
            if (strcmp(key, "messages") != 0) {
                json_key_copy(&w, key, v, "null");
                continue;
            }
            json_key(&w, key);
            write_messages(&w, v, ask, &text);
        }
        json_end(&w);
        ok = buf_check(out, "the request with its sources", &err);
    }
    buf_release(&text);
    return ok || refuse_err(r, "sources", &err);
}
