/* vocab_reader.h - a vocabulary for tests, without the file readers of formats/ (a higher room).
 *
 * Two texts are read: tiktoken's (a line "base64 rank", the specials of Llama 3 added by rule), and
 * the dump that tests/oracle/tokenizer_dump.py writes of anything else:
 *     V model pretok bos eos unk adds_bos adds_space_prefix ignores_merges
 *     T kind score hex-bytes        a token, in the order of ids
 *     M left right                  a merge, in the order of ranks
 */
#ifndef CRIA_TESTS_VOCAB_READER_H
#define CRIA_TESTS_VOCAB_READER_H

#include <stdbool.h>

#include "base/err.h"
#include "text/vocab.h"

/* Returns owned. `is_llama31` picks the names of Llama 3.1 for a tiktoken file. */
struct vocab *test_vocab_read(const char *path, bool is_llama31, struct err *err);

/* A vocabulary of `n` tokens for tests that make their own: all of kind normal, without bytes. */
struct vocab *test_vocab_new(int32_t n, struct err *err);
bool test_vocab_set(struct vocab *v, int32_t id, const char *bytes, size_t n, enum token_kind kind,
                    struct err *err);

#endif
