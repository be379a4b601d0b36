/* prompt.h - from what the user wrote to token ids, and showing them with their borders: most wrong
 * answers of a local model are a wrong prompt. One thread at a time.
 */
#ifndef CRIA_CLI_PROMPT_H
#define CRIA_CLI_PROMPT_H

#include <stdio.h>

#include "base/buf.h"
#include "model/model.h"

/* Bytes as text in one JSON-like line: "Hello", " world", "\n". */
void prompt_quote(FILE *out, const char *s, size_t n);

/* The ids with their texts, one line: 504:"The" 3575:" capital" ... */
void prompt_show(FILE *out, const struct tokenizer *t, const int32_t *id, size_t n);

/* Ids from a JSON array of whole numbers in [0, n_vocab). `name` for messages. */
bool prompt_parse_ids(const char *json, size_t n, const char *name, int32_t n_vocab,
                      struct ids *out, struct err *err) CRIA_CHECK;

/* Appends a JSON array of ids. */
void prompt_write_ids(struct buf *out, const int32_t *id, size_t n);

/* "24 Nov 2026": today, as the Llama 3.1 template wants it. */
void prompt_today(char out[32]);

#endif
