/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_pieces.c - a rendered prompt under way: pieces of text, marked as markup or not.
 *
 * A template is straight-line code when appending cannot fail, so failure is kept in the list and
 * asked for once. Pieces point at literals, at the caller's messages and at the vocabulary; only
 * what has to be put together (JSON) is copied.
 */
#include "text/chat_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "text/unicode.h"

#define FIRST_PIECES ((size_t)32)

bool chat_fail(struct chat_pieces *p, enum err_code code, const char *fmt, ...)
{
    if (p->is_failed) return false;
    p->is_failed = true;
    char text[sizeof p->err->text];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return err_set(p->err, code, "%s", text);
}

static bool make_room(struct chat_pieces *p)
{
    if (p->is_failed) return false;
    if (p->n < p->cap) return true;
    size_t cap = FIRST_PIECES;
    if (p->cap && !size_mul(p->cap, 2, &cap))
        return chat_fail(p, ERR_MEMORY, "chat: %zu pieces are too many", p->n);
    struct text_piece *grown = arena_array(p->arena, cap, sizeof *grown, p->err);
    if (!grown) {
        p->is_failed = true;
        return false;
    }
    if (p->n) memcpy(grown, p->piece, p->n * sizeof *grown);
    p->piece = grown;
    p->cap = cap;
    return true;
}

void chat_piece(struct chat_pieces *p, const char *s, size_t n, bool is_markup)
{
    if (n == 0 || !make_room(p)) return;
    p->piece[p->n++] = (struct text_piece){s, n, is_markup};
}

void chat_markup(struct chat_pieces *p, const char *s) { chat_piece(p, s, strlen(s), true); }

void chat_text(struct chat_pieces *p, const char *s, size_t n) { chat_piece(p, s, n, false); }

void chat_text_of(struct chat_pieces *p, struct buf *b)
{
    if (!p->is_failed) {
        const char *copy = NULL;
        if (buf_check(b, "a part of the chat prompt", p->err))
            copy = arena_copy(p->arena, b->data ? b->data : "", b->n_bytes, p->err);
        p->is_failed = !copy;
        if (copy) chat_piece(p, copy, b->n_bytes, false);
    }
    buf_release(b);
}

void chat_token(struct chat_pieces *p, const struct vocab *v, int32_t id)
{
    if (id < 0 || id >= v->n_tokens) return;
    chat_piece(p, v->tokens[id].bytes, v->tokens[id].n_bytes, true);
}

bool chat_pieces_end(const struct chat_pieces *p, struct text_piece **piece, size_t *n)
{
    if (p->is_failed) return false;
    *piece = p->piece;
    *n = p->n;
    return true;
}

bool chat_is_space(uint32_t cp) { return (uc_class(cp) & UC_SPACE) || (cp >= 0x1C && cp <= 0x1F); }

struct chat_span chat_trim_right(const char *s, size_t n)
{
    const uint8_t *u = (const uint8_t *)s;
    while (n > 0) {
        size_t begin = n - 1;
        while (begin > 0 && n - begin < 4 && (u[begin] & 0xC0) == 0x80) begin--;
        uint32_t cp = 0;
        bool is_bad = false;
        const int used = utf8_decode(u + begin, n - begin, &cp, &is_bad);
        if (is_bad || (size_t)used != n - begin || !chat_is_space(cp)) break;
        n = begin;
    }
    return (struct chat_span){s, n};
}

struct chat_span chat_trim(const char *s, size_t n)
{
    struct chat_span t = chat_trim_right(s, n);
    while (t.n > 0) {
        uint32_t cp = 0;
        bool is_bad = false;
        const int used = utf8_decode((const uint8_t *)t.s, t.n, &cp, &is_bad);
        if (is_bad || !chat_is_space(cp)) break;
        t.s += used;
        t.n -= (size_t)used;
    }
    return t;
}

void chat_text_trimmed(struct chat_pieces *p, const struct chat_message *m)
{
    const struct chat_span t = chat_trim(m->content, m->n_content);
    chat_text(p, t.s, t.n);
}

bool chat_has_role(const struct chat_message *m, const char *role)
{
    return strcmp(m->role, role) == 0;
}
