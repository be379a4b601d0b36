/* SPDX-License-Identifier: Apache-2.0
 *
 * conversation.c - the messages of a chat, and its file.
 *
 * A saved conversation may come from anywhere, so loading takes only what we would write: texts in
 * the three roles of a chat, the system message first if there is one, sizes within bounds. What it
 * refuses it names by the message's number. Reading begins at conversation_parse().
 */
#include "cli/conversation.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/json_write.h"

#define MAX_FILE_BYTES ((size_t)64 << 20)
#define MAX_MESSAGES ((size_t)100000)

static const char *const roles[] = {"system", "user", "assistant", NULL};

static void message_release(struct chat_message *m) { free((char *)(uintptr_t)m->content); }

void conversation_release(struct conversation *c)
{
    for (size_t i = 0; i < c->n; i++) message_release(&c->message[i]);
    free(c->message);
    *c = (struct conversation){0};
}

/* A place at index `at` for a new message; the caller fills it. */
static bool insert(struct conversation *c, size_t at, const char *role, const char *text,
                   size_t n_bytes, struct err *err)
{
    if (c->n == MAX_MESSAGES)
        return err_set(err, ERR_LIMIT,
                       "the conversation has %zu messages, the most there may be; "
                       "begin a new one with /reset",
                       c->n);
    if (c->n == c->cap) {
        const size_t cap = c->cap ? 2 * c->cap : 16;
        struct chat_message *more = realloc(c->message, cap * sizeof *more);
        if (!more)
            return err_set(err, ERR_MEMORY, "no memory for a conversation of %zu messages", cap);
        c->message = more;
        c->cap = cap;
    }
    char *copy = malloc(n_bytes + 1);
    if (!copy) return err_set(err, ERR_MEMORY, "no memory for a message of %zu bytes", n_bytes);
    memcpy(copy, text, n_bytes);
    copy[n_bytes] = '\0';
    memmove(c->message + at + 1, c->message + at, (c->n - at) * sizeof *c->message);
    c->message[at] = (struct chat_message){.role = role, .content = copy, .n_content = n_bytes};
    c->n++;
    return true;
}

static void cut(struct conversation *c, size_t at)
{
    message_release(&c->message[at]);
    c->n--;
    memmove(c->message + at, c->message + at + 1, (c->n - at) * sizeof *c->message);
}

static bool has_role(const struct conversation *c, size_t i, const char *role)
{
    return i < c->n && strcmp(c->message[i].role, role) == 0;
}

bool conversation_add(struct conversation *c, const char *role, const char *text, size_t n_bytes,
                      struct err *err)
{
    return insert(c, c->n, role, text, n_bytes, err);
}

void conversation_pop(struct conversation *c)
{
    if (c->n) cut(c, c->n - 1);
}

bool conversation_set_system(struct conversation *c, const char *text, struct err *err)
{
    if (text && !insert(c, 0, roles[0], text, strlen(text), err)) return false;
    const size_t old = text ? 1 : 0;
    if (has_role(c, old, "system")) cut(c, old);
    return true;
}

const char *conversation_system(const struct conversation *c)
{
    return has_role(c, 0, "system") ? c->message[0].content : NULL;
}

void conversation_reset(struct conversation *c)
{
    const size_t n_kept = conversation_system(c) ? 1 : 0;
    while (c->n > n_kept) conversation_pop(c);
}

bool conversation_drop_oldest(struct conversation *c)
{
    const size_t at = conversation_system(c) ? 1 : 0;
    size_t next = at + 1; /* where the next question begins */
    while (next < c->n && !has_role(c, next, "user")) next++;
    if (next >= c->n) return false;
    for (size_t i = at; i < next; i++) cut(c, at);
    return true;
}

const char *conversation_last_role(const struct conversation *c)
{
    return c->n ? c->message[c->n - 1].role : "";
}

bool conversation_save(const struct conversation *c, const char *path, const char *model,
                       struct err *err)
{
    struct buf b;
    buf_init(&b, (size_t)1 << 30);
    struct json_writer w = json_writer(&b);
    json_object(&w);
    if (model) {
        json_key(&w, "model");
        json_cstring(&w, model);
    }
    json_key(&w, "messages");
    json_array(&w);
    for (size_t i = 0; i < c->n; i++) {
        json_object(&w);
        json_key(&w, "role");
        json_cstring(&w, c->message[i].role);
        json_key(&w, "content");
        json_string(&w, c->message[i].content, c->message[i].n_content);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
    buf_putc(&b, '\n');
    bool ok = buf_check(&b, path, err);
    if (ok && b.n_bytes > MAX_FILE_BYTES)
        ok = err_set(err, ERR_LIMIT,
                     "%s: the conversation comes to %zu bytes, more than /load takes "
                     "(%zu)",
                     path, b.n_bytes, MAX_FILE_BYTES);
    struct out_file *f = ok ? out_file_open(path, err) : NULL;
    ok = f && out_file_write(f, b.data, b.n_bytes, err);
    if (ok)
        ok = out_file_commit(f, err);
    else
        out_file_abandon(f);
    buf_release(&b);
    return ok;
}

/* The literal that equals `s`, or NULL. */
static const char *role_named(const char *s, size_t n)
{
    for (const char *const *r = roles; *r; r++)
        if (strlen(*r) == n && memcmp(*r, s, n) == 0) return *r;
    return NULL;
}

static bool take_message(struct conversation *c, struct json v, const char *name, struct err *err)
{
    const char *role_text = NULL, *content = NULL;
    size_t n_role = 0, n_content = 0;
    const size_t i = c->n;
    if (!json_str(json_get(v, "role"), &role_text, &n_role))
        return err_set(err, ERR_FORMAT,
                       "%s: message %zu has no \"role\"; give system, user or assistant", name, i);
    const char *role = role_named(role_text, n_role);
    if (!role)
        return err_set(
            err, ERR_FORMAT,
            "%s: message %zu: the role \"%.*s\" is unknown; give system, user or assistant", name,
            i, n_role < 40 ? (int)n_role : 40, role_text);
    if (role == roles[0] && i > 0)
        return err_set(err, ERR_FORMAT,
                       "%s: message %zu is a second or late system message; it must be the first",
                       name, i);
    if (!json_str(json_get(v, "content"), &content, &n_content))
        return err_set(err, ERR_FORMAT, "%s: message %zu: \"content\" is no text; give a string",
                       name, i);
    return conversation_add(c, role, content, n_content, err);
}

bool conversation_parse(struct conversation *c, const char *json, size_t n_bytes, const char *name,
                        struct err *err)
{
    struct json_doc *d = json_parse(json, n_bytes, MAX_FILE_BYTES, name, err);
    if (!d) return false;
    bool ok = false;
    struct conversation loaded = {0};
    struct json list = json_root(d), v;
    if (json_type(list) == JSON_OBJECT) list = json_get(list, "messages");
    if (json_type(list) != JSON_ARRAY) {
        err_set(err, ERR_FORMAT, "%s: has no array \"messages\"; give a file that /save wrote",
                name);
        goto out;
    }
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, NULL, &v);)
        if (!take_message(&loaded, v, name, err)) goto out;
    conversation_release(c);
    *c = loaded;
    loaded = (struct conversation){0};
    ok = true;
out:
    conversation_release(&loaded);
    json_free(d);
    return ok;
}

bool conversation_load(struct conversation *c, const char *path, struct err *err)
{
    struct buf b;
    buf_init(&b, MAX_FILE_BYTES + 1);
    const bool ok = file_read_all(path, MAX_FILE_BYTES, &b, err) &&
                    conversation_parse(c, b.data ? b.data : "", b.n_bytes, path, err);
    buf_release(&b);
    return ok;
}
