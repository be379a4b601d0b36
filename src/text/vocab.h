/* vocab.h - what a tokenizer file says, in one form: the readers in formats/ fill it, the
 * tokenizer is built from it, the writers write it back.
 *
 * Everything lives in the spec's arena. Token bytes are the real bytes (not the GPT-2 printable
 * spelling), except for SentencePiece, whose pieces keep U+2581 for the space.
 */
#ifndef CRIA_TEXT_VOCAB_H
#define CRIA_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define VOCAB_MAX_TOKENS 4000000
#define VOCAB_MAX_TOKEN_BYTES 65535

enum token_kind { /* numbers as in tokenizer.ggml.token_type */
                  TOKEN_NORMAL = 1,
                  TOKEN_UNKNOWN = 2,
                  TOKEN_CONTROL = 3,
                  TOKEN_USER = 4, /* added, matched in plain text, printed */
                  TOKEN_UNUSED = 5,
                  TOKEN_BYTE = 6, /* SentencePiece <0xNN> */
};

struct vocab_token {
    const char *bytes; /* NUL-terminated too */
    uint32_t n_bytes;
    float score; /* SentencePiece only */
    enum token_kind kind;
};

enum vocab_model {
    VOCAB_BPE, /* byte-level BPE: GPT-2 form with merges, or tiktoken ranks (merges NULL) */
    VOCAB_SPM, /* SentencePiece BPE with byte fallback: Llama 1/2, TinyLlama */
};

enum pretok {                 /* pre-tokenizers: rows of the table in pretok.c */
              PRETOK_UNKNOWN, /* to be recognised by the vocabulary */
              PRETOK_LLAMA3,
              PRETOK_GPT2,
              PRETOK_SMOLLM, /* single digits split off, then gpt-2 */
};

struct vocab_merge {
    int32_t left, right; /* ids whose bytes concatenate to a token; rank = index */
};

struct vocab {
    struct arena *arena; /* owned: everything below lives in it */
    enum vocab_model model;
    enum pretok pretok;
    int32_t n_tokens;
    struct vocab_token *tokens;
    int32_t n_merges;
    struct vocab_merge *merges; /* NULL: tiktoken ranks, rank of a merge = id of the result */
    int32_t bos, eos, eot, eom, unk, pad; /* -1: none */
    int32_t stop[16]; /* all ids that end an answer, from every source that names one */
    int32_t n_stop;
    bool adds_bos, adds_eos;
    bool adds_space_prefix;    /* SentencePiece */
    bool ignores_merges;       /* whole pre-token in the vocabulary wins (Llama 3) */
    const char *chat_template; /* Jinja text, or NULL */
};

/* An empty vocab with its own arena; ids -1. Returns owned. */
struct vocab *vocab_new(struct err *err);
void vocab_free(struct vocab *v); /* NULL is fine */

/* Adds to the stop set; ignores -1, duplicates and what does not fit. */
void vocab_add_stop(struct vocab *v, int32_t id);

/* Checks what every reader must guarantee: ids and merges in range, special ids < n_tokens, at
 * least the byte tokens needed. ERR_FORMAT names `name` (the file). */
bool vocab_check(const struct vocab *v, const char *name, struct err *err) CRIA_CHECK;

#endif
