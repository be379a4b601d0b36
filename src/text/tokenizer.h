/* tokenizer.h - text to token ids and back, exactly as the model was trained.
 *
 * Encoding never recurses and is linear-ish in the text's length whatever the text is. Special
 * tokens are matched only where the caller says so: in user text they are ordinary characters
 * (spec/llama3.md 2.6: otherwise a user could forge turns). A tokenizer is immutable after it is
 * made: any thread.
 */
#ifndef CRIA_TEXT_TOKENIZER_H
#define CRIA_TEXT_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "text/vocab.h"

struct tokenizer;

/* Takes `v` (frees it with the tokenizer; on failure the caller keeps it). When v->pretok is
 * PRETOK_UNKNOWN the family is recognised by the vocabulary itself. ERR_FORMAT names `name`. */
struct tokenizer *tokenizer_new(struct vocab *v, const char *name, struct err *err);
void tokenizer_free(struct tokenizer *t); /* NULL is fine */
const struct vocab *tokenizer_vocab(const struct tokenizer *t);

struct ids { /* a growing list of token ids */
    int32_t *id;
    size_t n;
    size_t cap;
};
void ids_release(struct ids *ids);
bool ids_push(struct ids *ids, int32_t id, struct err *err) CRIA_CHECK;

enum {
    ENCODE_SPECIAL = 1, /* match special tokens in the text */
    ENCODE_BOS = 2,     /* put BOS in front (if the model has one), never twice */
    ENCODE_EOS = 4,
    ENCODE_DEFAULT_BOS = 8, /* BOS if the vocabulary says adds_bos, and EOS if adds_eos */
};

/* Appends the ids of text[0..n) to `out`. Bytes that are not UTF-8 are encoded as bytes where the
 * vocabulary allows it. ERR_LIMIT above 2 GiB, ERR_MEMORY. */
bool tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, unsigned flags,
                      struct ids *out, struct err *err) CRIA_CHECK;

/* One text made of pieces, of which only the markup ones may hold special tokens; ordinary text
 * that meets across a border is encoded as one. This is how chat prompts are encoded. `flags` as
 * above; ENCODE_SPECIAL is implied for markup and never applied to the rest. */
struct text_piece {
    const char *text;
    size_t n;
    bool is_markup;
};
bool tokenizer_encode_pieces(const struct tokenizer *t, const struct text_piece *piece,
                             size_t n_pieces, unsigned flags, struct ids *out,
                             struct err *err) CRIA_CHECK;

/* Bytes of one token as it appears in running text; control tokens give nothing unless
 * `shows_special`. Points into the tokenizer. SentencePiece spaces are turned into ' '. */
const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, bool shows_special, size_t *n);

/* Appends the text of the ids (not necessarily UTF-8 at the ends). The leading space that a
 * SentencePiece model puts in front of a text is removed. */
void tokenizer_decode(const struct tokenizer *t, const int32_t *id, size_t n, bool shows_special,
                      struct buf *out);

/* Streaming: feeds one token, appends to `out` only whole UTF-8 characters (bytes that can never
 * become one are replaced by U+FFFD); the rest is held until the next token or the flush. */
struct decode_stream {
    uint8_t held[8];
    uint32_t n_held;
    bool is_started;
};
void decode_stream_feed(struct decode_stream *s, const struct tokenizer *t, int32_t id,
                        bool shows_special, struct buf *out);
void decode_stream_flush(struct decode_stream *s, struct buf *out);

bool tokenizer_is_stop(const struct tokenizer *t, int32_t id);
/* The id of exactly these bytes (special tokens included), or -1. */
int32_t tokenizer_find(const struct tokenizer *t, const char *bytes, size_t n);
/* The name of the pre-tokenizer in use: "llama-bpe", "smollm", "gpt-2", "spm". */
const char *tokenizer_family(const struct tokenizer *t);

#endif
