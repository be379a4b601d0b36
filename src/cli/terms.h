/* terms.h - the naming term of the Llama 3 licences, in words, for the commands that hand on a
 * model or make one from it; told from here alone, so that they agree. Any thread.
 */
#ifndef CRIA_CLI_TERMS_H
#define CRIA_CLI_TERMS_H

#include "model/model.h"

#define TERMS_BYTES 160

/* What to tell whoever hands on a model that `text` (a licence key, a name, a repository; NULL is
 * fine) says is of the Llama 3 family; false if it does not. */
bool terms_of(const char *text, char out[TERMS_BYTES]);
/* The same by all that a model's files say. */
bool terms_of_model(const struct model_info *info, char out[TERMS_BYTES]);

#endif
