/* export_kit.h - a scratch directory, small models to export, and comparing two models.
 */
#ifndef CRIA_TESTS_MODEL_EXPORT_KIT_H
#define CRIA_TESTS_MODEL_EXPORT_KIT_H

#include <stdbool.h>

#include "model/model.h"

/* A new directory under /tmp that all paths of a test lie in; removed with all that is in it. */
void scratch_open(void);
void scratch_close(void);
/* "SCRATCH/NAME"; one of 8 static buffers in turn. */
const char *scratch(const char *name);
int scratch_count(void); /* entries in it, also those of part files */

/* A GGUF model whose rows are a multiple of 256, F32, without vocabulary: 2 layers, seeded random
 * weights. `change` (or NULL) may alter the floats of a tensor before it is written. */
typedef void change_fn(const char *name, float *x, int64_t n);
void write_wide(const char *path, change_fn *change);
/* The same weights as a split set of two files. */
void write_wide_split(const char *first, const char *second);

/* Exports what lies at `from`; fails the test on an error. */
void export_ok(const char *from, const char *to, enum export_format format, const char *type);

/* Fails the test unless both models have the same shape and the same weights: matrices bit for bit
 * where `is_exact` (rotary order apart), as floats otherwise. */
void check_same_model(const char *what, const char *a, const char *b, bool is_exact);

#endif
