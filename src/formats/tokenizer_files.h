/* tokenizer_files.h - the files that hold a vocabulary, each read into a `struct vocab`.
 *
 *   tokenizer.model  tiktoken text (Llama 3) or SentencePiece protobuf (Llama 1/2)
 *   tokenizer.json   Hugging Face, with tokenizer_config.json, generation_config.json beside it
 *   GGUF             tokenizer.ggml.* keys
 *
 * Each returns an owned vocab that has passed vocab_check(), or NULL and an error that names the
 * file, the place and the remedy. The `_memory` forms are what the fuzzers call.
 */
#ifndef CRIA_FORMATS_TOKENIZER_FILES_H
#define CRIA_FORMATS_TOKENIZER_FILES_H

#include "base/buf.h"
#include "base/err.h"
#include "formats/gguf.h"
#include "text/vocab.h"

struct vocab *vocab_from_gguf(const struct gguf *g, struct err *err);
/* Either form of tokenizer.model, told apart by content. Special tokens of Llama 3 are added by
 * rule (spec/llama3.md 2.4, 2.5; `is_llama31` picks the later names). */
struct vocab *vocab_from_model_memory(const uint8_t *data, size_t n_bytes, const char *name,
                                      bool is_llama31, struct err *err);
/* tokenizer.json alone. */
struct vocab *vocab_from_hf_memory(const uint8_t *data, size_t n_bytes, const char *name,
                                   struct err *err);
/* A directory: tokenizer.json (or tokenizer.model) plus the settings, end tokens and chat template
 * of tokenizer_config.json, chat_template.jinja, special_tokens_map.json, config.json and
 * generation_config.json where present. */
struct vocab *vocab_from_dir(const char *dir, bool is_llama31, struct err *err);
/* Any of the above by path: .gguf file, tokenizer.json, tokenizer.model, or directory. */
struct vocab *vocab_from_path(const char *path, struct err *err);

/* Writes tokenizer.ggml.* keys. */
void vocab_to_gguf(const struct vocab *v, struct gguf_writer *w, struct err *err);
/* Appends tokenizer.json / tokenizer_config.json text. Merges that the vocabulary only implies
 * (tiktoken) are rebuilt (spec/llama3.md 2.9). Neither has a place for ends beside EOS: those (all
 * of `stop`) belong into eos_token_id of generation_config.json. ERR_UNSUPPORTED where JSON cannot
 * hold the vocabulary: special texts that are not UTF-8, a text that two tokens have. */
bool vocab_to_hf_json(const struct vocab *v, struct buf *out, struct err *err) CRIA_CHECK;
bool vocab_to_hf_config(const struct vocab *v, struct buf *out, struct err *err) CRIA_CHECK;

#endif
