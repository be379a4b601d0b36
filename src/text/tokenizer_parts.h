/* tokenizer_parts.h - what a tokenizer is made of, for tokenizer.c and decode_stream.c alone: both
 * need the vocabulary's form, and nobody else may.
 */
#ifndef CRIA_TEXT_TOKENIZER_PARTS_H
#define CRIA_TEXT_TOKENIZER_PARTS_H

#include "text/bpe.h"
#include "text/special.h"
#include "text/spm.h"

struct token_text {
    const char *bytes;
    uint32_t n_bytes;
};

/* A token's bytes where decoding copies them from, 16 at a time: four to a cache line. */
struct token_brief {
    char bytes[15];
    uint8_t n_bytes; /* BRIEF_NONE: longer, or shown only if asked for */
};

enum { BRIEF_NONE = 255 };

struct tokenizer {
    struct vocab *vocab;
    struct bpe bpe; /* of the two, the one that vocab->model names */
    struct spm spm;
    struct specials user, all; /* TOKEN_USER; and with control and unknown tokens */
    struct token_brief *brief; /* of each token */
    struct token_text *text;   /* SentencePiece: texts with real spaces; NULL for BPE */
};

#endif
