/* embed.h - vectors of texts, for a caller that waits: the index of documents, `cria embed`.
 * Thread rule: the engine's.
 */
#ifndef CRIA_INFER_EMBED_H
#define CRIA_INFER_EMBED_H

#include "infer/engine.h"

/* How many numbers a vector has. */
int32_t embed_width(const struct engine *e);

/* Fills out [n, embed_width()] with a vector of length 1 for each text. The texts share batches
 * with each other and with whatever else the engine has to do; an engine with more n_seqs reads
 * short ones faster. Errors are those of engine_submit() and of a step; ERR_LIMIT names a text that
 * is longer than the context. */
bool engine_embed(struct engine *e, enum pooling how, const struct ids *text, size_t n, float *out,
                  struct err *err) CRIA_CHECK;

/* The ids of a text as they are embedded: with the model's default specials, and of markup only
 * what it says as text. `out` must be released, also after a failure. */
bool embed_tokenize(const struct model *m, const char *text, size_t n_bytes, struct ids *out,
                    struct err *err) CRIA_CHECK;

#endif
