/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_stream.c - from ids back to text, whole or token by token.
 *
 * A token may end in the middle of a character (1,352 of Llama 3's do), so a stream holds back the
 * bytes that could still become one: at most three, since utf8_complete() says where the last
 * possible beginning is. Bytes that can never become a character are shown as U+FFFD, one each.
 *
 * The space that SentencePiece puts in front of a text belongs to the encoding, not to the text:
 * it is removed from the first token that shows. A stream that continues a text, not begins one,
 * sets is_started.
 */
#include <string.h>

#include "text/tokenizer_parts.h"
#include "text/unicode.h"

const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, bool shows_special, size_t *n)
{
    const struct vocab *v = t->vocab;
    *n = 0;
    if (id < 0 || id >= v->n_tokens) return "";
    const struct vocab_token *token = &v->tokens[id];
    const bool is_special = token->kind == TOKEN_CONTROL || token->kind == TOKEN_UNKNOWN;
    if (is_special && !shows_special) return "";
    *n = t->text ? t->text[id].n_bytes : token->n_bytes;
    return t->text ? t->text[id].bytes : token->bytes;
}

/* The bytes of a token in its place: the leading space of a text is left out. */
static const char *bytes_in_place(const struct tokenizer *t, int32_t id, bool shows_special,
                                  bool *is_started, size_t *n)
{
    const char *s = tokenizer_bytes(t, id, shows_special, n);
    if (*n == 0 || *is_started) return s;
    if (t->vocab->tokens[id].kind == TOKEN_CONTROL) return s; /* BOS shown: the text comes after */
    *is_started = true;
    const bool drops = t->vocab->model == VOCAB_SPM && t->vocab->adds_space_prefix && s[0] == ' ';
    *n -= drops;
    return s + drops;
}

/* Tokens are copied 16 bytes at a time, whatever their length, into a block that overlaps them: 1.3
 * loads and stores a token instead of a call with a length (bench/tokenizer: 230 -> 850 MB/s of
 * English). */
void tokenizer_decode(const struct tokenizer *t, const int32_t *id, size_t n, bool shows_special,
                      struct buf *out)
{
    const struct vocab *v = t->vocab;
    bool is_started = v->model != VOCAB_SPM || !v->adds_space_prefix;
    char block[4096];
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        const bool is_brief = is_started && (uint32_t)id[i] < (uint32_t)v->n_tokens &&
                              t->brief[id[i]].n_bytes != BRIEF_NONE;
        if (!is_brief || used > sizeof block - sizeof *t->brief) {
            buf_append(out, block, used);
            used = 0;
        }
        if (is_brief) {
            memcpy(block + used, &t->brief[id[i]], sizeof *t->brief);
            used += t->brief[id[i]].n_bytes;
        } else {
            size_t n_bytes = 0;
            const char *s = bytes_in_place(t, id[i], shows_special, &is_started, &n_bytes);
            buf_append(out, s, n_bytes);
        }
    }
    buf_append(out, block, used);
}

/* Appends s[0..n) with every byte that is not UTF-8 replaced. */
static void append_clean(struct buf *out, const uint8_t *s, size_t n)
{
    for (size_t at = 0; at < n;) {
        uint32_t cp = 0;
        bool is_bad = false;
        const size_t used = (size_t)utf8_decode(s + at, n - at, &cp, &is_bad);
        if (is_bad)
            buf_append(out, "\uFFFD", 3);
        else
            buf_append(out, s + at, used);
        at += used;
    }
}

void decode_stream_feed(struct decode_stream *s, const struct tokenizer *t, int32_t id,
                        bool shows_special, struct buf *out)
{
    size_t n = 0;
    const char *bytes = bytes_in_place(t, id, shows_special, &s->is_started, &n);
    /* The held bytes and as many new ones as can finish their character; then the rest. */
    size_t used = 0;
    while (s->n_held && used < n) {
        s->held[s->n_held++] = (uint8_t)bytes[used++];
        const size_t n_whole = utf8_complete(s->held, s->n_held);
        append_clean(out, s->held, n_whole);
        s->n_held -= (uint32_t)n_whole;
        memmove(s->held, s->held + n_whole, s->n_held);
    }
    const uint8_t *rest = (const uint8_t *)bytes + used;
    const size_t n_whole = utf8_complete(rest, n - used);
    append_clean(out, rest, n_whole);
    for (size_t i = n_whole; i < n - used; i++) s->held[s->n_held++] = rest[i];
}

void decode_stream_flush(struct decode_stream *s, struct buf *out)
{
    append_clean(out, s->held, s->n_held);
    s->n_held = 0;
}
