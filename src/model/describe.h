/* describe.h - an open model in words and figures, for `cria inspect` and the public library, which
 * must not tell two stories of one file.
 */
#ifndef CRIA_MODEL_DESCRIBE_H
#define CRIA_MODEL_DESCRIBE_H

#include "base/json_write.h"
#include "model/model.h"

/* Appends the keys of an object that the caller has opened: path, name, licence, parameters, type,
 * shape, rope, tokenizer, chat format. Strings that the files do not have are null. */
void model_describe(const struct model *m, struct json_writer *w);

/* "none", "linear", "dynamic", "llama3". */
const char *rope_scaling_name(enum rope_scaling s);

/* Calls fn for each tensor, in the order of the tensor table. `name` is as in the model's own
 * files. */
typedef void model_tensor_fn(void *user, const char *name, enum dtype dtype, int32_t n_dims,
                             const int64_t *shape, uint64_t n_bytes);
void model_each_tensor(const struct model *m, model_tensor_fn *fn, void *user);

#endif
