/* token_trie.h - a vocabulary's tokens as a tree of their bytes: one walk meets each beginning that
 * tokens share once.
 *
 * Only tokens that stand for text are in it: control tokens, added markers and what ends an answer
 * are not, so no grammar can ever allow them as text. Immutable; any thread.
 */
#ifndef CRIA_INFER_TOKEN_TRIE_H
#define CRIA_INFER_TOKEN_TRIE_H

#include <stdint.h>

#include "base/err.h"
#include "text/tokenizer.h"

enum {
    TRIE_MAX_DEPTH = 255, /* longer tokens are left out */
    TRIE_NO_TEXT = -2,
};

/* Nodes in order of a walk that goes down first; the root has no node. */
struct trie_node {
    int32_t end;         /* the node behind this one's subtree */
    int32_t token;       /* whose bytes end here, or -1; more by next_same */
    uint8_t byte, depth; /* depth of the first byte: 1 */
};

struct token_trie {
    struct trie_node *node; /* [n_nodes] */
    int32_t n_nodes, max_depth;
    int32_t *next_same; /* [n_vocab] the next token of the same bytes, -1, or TRIE_NO_TEXT */
    int32_t n_vocab;
    const struct tokenizer *tokenizer;
    int32_t stop[16]; /* what may end a whole answer */
    int32_t n_stop;
};

/* Keeps `t`. `n_vocab` is the model's, no less than the tokenizer's. */
struct token_trie *token_trie_new(const struct tokenizer *t, int32_t n_vocab, struct err *err);
void token_trie_free(struct token_trie *t); /* NULL is fine */

/* The bytes of a token that is in the tree; NULL for any other. */
const char *token_trie_bytes(const struct token_trie *t, int32_t id, size_t *n);

#endif
