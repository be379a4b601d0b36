/* chat_parts.h - what the families of chat.h are written with: a list of pieces that grows in an
 * arena, and fragments looked for in Jinja text. Private to text/. One thread at a time per list.
 */
#ifndef CRIA_TEXT_CHAT_PARTS_H
#define CRIA_TEXT_CHAT_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "text/chat.h"
#include "text/chat_json.h"

struct chat_span {
    const char *s;
    size_t n;
};

/* ---- pieces (chat_pieces.c) ---- */

/* Appending is sticky, as with buf.h: after the first failure nothing more happens, and
 * chat_pieces_end() says so. */
struct chat_pieces {
    struct arena *arena;
    struct err *err;
    struct text_piece *piece;
    size_t n, cap;
    bool is_failed;
};

/* Keeps `s`. Special tokens in it are tokens if it is markup, else only characters. */
void chat_piece(struct chat_pieces *p, const char *s, size_t n, bool is_markup);
/* Keeps `s`. Special tokens in it are tokens. */
void chat_markup(struct chat_pieces *p, const char *s);
/* Keeps `s`. Ordinary text: special tokens in it are only characters. */
void chat_text(struct chat_pieces *p, const char *s, size_t n);
/* The same for a text that was put together: copied into the arena, and `b` is released. */
void chat_text_of(struct chat_pieces *p, struct buf *b);
/* The text of a token of `v`; nothing for id -1. */
void chat_token(struct chat_pieces *p, const struct vocab *v, int32_t id);
/* Fills `err` unless it is filled; returns false. */
bool chat_fail(struct chat_pieces *p, enum err_code code, const char *fmt, ...) CRIA_PRINTF(3, 4);
/* Hands the list over; false if anything failed. */
bool chat_pieces_end(const struct chat_pieces *p, struct text_piece **piece, size_t *n) CRIA_CHECK;

/* The text without the white space at its ends, as Python's str.strip(). */
struct chat_span chat_trim(const char *s, size_t n);
struct chat_span chat_trim_right(const char *s, size_t n);
void chat_text_trimmed(struct chat_pieces *p, const struct chat_message *m);
/* str.isspace() of Python for one character: White_Space and the four separators of ASCII. */
bool chat_is_space(uint32_t cp);
bool chat_has_role(const struct chat_message *m, const char *role);

/* ---- Jinja text (chat_match.c) ---- */

/* True if `fragment` is in `tmpl`, spelling apart: white space, quotes, +, -, braces and "\n" are
 * skipped on both sides, and x['y'] is x.y. */
bool chat_template_has(const char *tmpl, const char *fragment);
/* The place behind the first `fragment`, or NULL. */
const char *chat_template_after(const char *tmpl, const char *fragment);
/* The template in the vocabulary if it is of family `f`, else NULL: the details in which files of
 * one family differ are read from it. */
const char *chat_template_of(const struct chat_family *f, const struct vocab *v);

/* ---- the rows of the table in chat.c ---- */

extern const struct chat_family chat_llama2, chat_llama3, chat_llama31;
extern const struct chat_family chat_chatml, chat_smollm2, chat_zephyr, chat_interpreted;

#endif
