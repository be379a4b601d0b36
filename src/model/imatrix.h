/* imatrix.h - importance matrices: for each weight matrix, the mean square of each input column
 * over a calibration text; quantization weighs its errors by it. Read and written as GGUF with
 * general.type "imatrix" (spec/inference.md d3), so that peers can use ours and we theirs.
 */
#ifndef CRIA_MODEL_IMATRIX_H
#define CRIA_MODEL_IMATRIX_H

#include "base/err.h"
#include "model/forward.h"

struct imatrix;
struct imatrix *imatrix_new(const struct model_config *c, struct err *err);
struct imatrix *imatrix_open(const char *path, struct err *err);
void imatrix_free(struct imatrix *im); /* NULL is fine */
bool imatrix_save(const struct imatrix *im, const char *path, const char *dataset,
                  struct err *err) CRIA_CHECK;
/* A forward_observer; `user` is the imatrix. */
void imatrix_observe(void *user, enum tensor_role role, int32_t i_layer, const float *x,
                     int64_t n_tok, int64_t k);
/* Mean square per column [k] of the tensor with that GGUF name, or NULL. */
const float *imatrix_find(const struct imatrix *im, const char *gguf_name, int64_t k);

#endif
