/* tiny_model.h - a Llama of random weights small enough for every test: 2 layers of 64, 300 tokens
 * (SentencePiece form: specials, bytes, then words), whose head prefers the words. */
#ifndef CRIA_TESTS_INFER_TINY_MODEL_H
#define CRIA_TESTS_INFER_TINY_MODEL_H

#include "model/model.h"

enum { TINY_VOCAB = 300, TINY_FIRST_WORD = 259, TINY_CTX = 256 };

/* Both end the program on an error. */
void tiny_model_write(const char *path, uint64_t seed);
/* Writes the file, opens it, removes it. */
struct model *tiny_model_open(uint64_t seed);
/* The state of a group of tests: such a model. */
int tiny_model_setup(void **state);
int tiny_model_teardown(void **state);

#endif
