/* llama2c_to_gguf.h - a llama2.c checkpoint and its tokenizer as one GGUF file, for tests that need
 * small real weights (shared data: stories260K).
 */
#ifndef CRIA_TESTS_TOOLS_LLAMA2C_TO_GGUF_H
#define CRIA_TESTS_TOOLS_LLAMA2C_TO_GGUF_H

#include "base/err.h"

/* `bin`: the legacy llama2.c checkpoint (F32), `tok`: its tokenizer.bin. Writes F32 tensors and a
 * SentencePiece vocabulary to `out`. */
bool llama2c_to_gguf(const char *bin, const char *tok, const char *out, struct err *err) CRIA_CHECK;

#endif
