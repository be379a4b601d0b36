/* embed_index.h - vectors of an index's passages and of questions, by a model. The engine's thread.
 */
#ifndef CRIA_CLI_EMBED_INDEX_H
#define CRIA_CLI_EMBED_INDEX_H

#include "base/progress.h"
#include "cli/options.h"
#include "retrieve/store.h"

/* Opens the model of the command line, with an engine for many short texts. */
bool embed_session_open(const struct args *a, struct session *out, struct err *err) CRIA_CHECK;

/* Gives each passage that has none its vector, all of them if the vectors are another model's. What
 * was done before a failure or ERR_CANCELLED stays. */
bool embed_index(struct store *s, struct engine *e, const struct progress *p,
                 struct err *err) CRIA_CHECK;

/* The question's vector; owned. NULL: ERR_USAGE if the index has no vectors of this model. */
float *embed_question(struct store *s, struct engine *e, const char *question, struct err *err);

#endif
