/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_case.c - runs a template on a case in JSON (jinja_case.h).
 */
#include "jinja_case.h"

#include <string.h>

#include "base/json_write.h"
#include "vocab_reader.h"

enum { MAX_MESSAGES = 32 };

#define MAX_ARENA_BYTES ((size_t)256 << 20)

static const char *str_of(struct json obj, const char *key)
{
    const char *s = NULL;
    size_t n = 0;
    return json_str(json_get(obj, key), &s, &n) ? s : NULL;
}

/* A value as JSON text again. */
static void put_json(struct json_writer *w, struct json v)
{
    const enum json_type type = json_type(v);
    struct json_iter it = json_iter(v);
    struct json e;
    const char *s = NULL;
    size_t n = 0;
    bool b = false;
    int64_t i = 0;
    double d = 0;
    if (type == JSON_OBJECT || type == JSON_ARRAY) {
        type == JSON_OBJECT ? json_object(w) : json_array(w);
        while (json_next(&it, &s, &n, &e)) {
            if (type == JSON_OBJECT) json_key(w, s);
            put_json(w, e);
        }
        json_end(w);
    } else if (json_str(v, &s, &n)) {
        json_string(w, s, n);
    } else if (json_bool(v, &b)) {
        json_boolean(w, b);
    } else if (json_i64(v, &i)) {
        json_int(w, i);
    } else if (json_f64(v, &d)) {
        json_double(w, d);
    } else {
        json_null(w);
    }
}

static size_t read_messages(struct json list, struct chat_message *m)
{
    size_t n = 0;
    struct json_iter it = json_iter(list);
    struct json e;
    while (n < MAX_MESSAGES && json_next(&it, NULL, NULL, &e)) {
        m[n] =
            (struct chat_message){.role = str_of(e, "role"), .tool_calls = str_of(e, "tool_calls")};
        json_str(json_get(e, "content"), &m[n].content, &m[n].n_content);
        n++;
    }
    return n;
}

static bool set_token(struct vocab *v, int32_t id, const char *s, int32_t *as, struct err *err)
{
    if (!s) return true;
    *as = id;
    return test_vocab_set(v, id, s, strlen(s), TOKEN_CONTROL, err);
}

static bool run(const char *tmpl, size_t n_tmpl, const struct jinja_limits *limits,
                const struct jinja_input *in, struct buf *out, struct buf *marks, struct err *err)
{
    struct text_piece *piece = NULL;
    size_t n_pieces = 0;
    struct arena *a = arena_new(MAX_ARENA_BYTES, err);
    if (!a) return false;
    struct jinja_template *t = jinja_parse(tmpl, n_tmpl, limits, a, err);
    const bool ok = t && jinja_render(t, in, &piece, &n_pieces, err);
    for (size_t i = 0; ok && i < n_pieces; i++) {
        buf_append(out, piece[i].text, piece[i].n);
        for (size_t k = 0; marks && k < piece[i].n; k++)
            buf_putc(marks, piece[i].is_markup ? 'm' : '.');
    }
    arena_free(a);
    return ok;
}

bool jinja_case_run(const char *tmpl, size_t n_tmpl, struct json c,
                    const struct jinja_limits *limits, struct buf *out, struct buf *marks,
                    struct err *err)
{
    struct chat_message message[MAX_MESSAGES];
    struct chat_input chat = {.message = message,
                              .n_messages = read_messages(json_get(c, "messages"), message),
                              .tools_json = str_of(c, "tools"),
                              .date = str_of(c, "date")};
    struct jinja_input in = {.chat = &chat};
    (void)json_bool(json_get(c, "opens_answer"), &chat.opens_answer);
    (void)json_i64(json_get(c, "now"), &in.now_s);
    struct vocab *v = test_vocab_new(2, err);
    if (!v) return false;
    struct buf vars;
    buf_init(&vars, (size_t)1 << 20);
    if (json_type(json_get(c, "vars")) == JSON_OBJECT) {
        struct json_writer w = json_writer(&vars);
        put_json(&w, json_get(c, "vars"));
        in.extra_json = vars.data;
    }
    in.v = v;
    const bool ok = set_token(v, 0, str_of(c, "bos"), &v->bos, err) &&
                    set_token(v, 1, str_of(c, "eos"), &v->eos, err) &&
                    run(tmpl, n_tmpl, limits, &in, out, marks, err);
    buf_release(&vars);
    vocab_free(v);
    return ok;
}
