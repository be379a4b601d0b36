/* npy.h - writing a float32 matrix as a NumPy .npy file, row by row: logits of a long prompt do not
 * fit memory, and scripts read this format without us. One thread at a time. */
#ifndef CRIA_CLI_NPY_H
#define CRIA_CLI_NPY_H

#include <stdint.h>

#include "base/err.h"

struct npy;
struct npy *npy_open(const char *path, int64_t n_rows, int64_t n_cols, struct err *err);
/* Appends a row; false after a failure, which npy_commit or npy_abandon then tells. */
bool npy_row(struct npy *f, const float *row);
/* Checks that all rows came, syncs, renames; ends `f` in either case. */
bool npy_commit(struct npy *f, struct err *err) CRIA_CHECK;
/* Removes the file and ends `f`. If a row could not be written, that is the better error: it
 * replaces what `err` holds. */
void npy_abandon(struct npy *f, struct err *err);

#endif
