/* SPDX-License-Identifier: Apache-2.0
 *
 * npy.c - NumPy's .npy format, version 1.0, for the one array that scripts want from us: logits.
 *
 * "\x93NUMPY", version, little-endian u16 length of the header, the header (a Python dictionary as
 * text, padded with spaces so that data begin at a multiple of 64), then the rows. The number of
 * rows is known before, so the file is written in one pass, aside, and renamed.
 */
#include "cli/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

struct npy {
    struct out_file *out;
    struct err err; /* of the first row that failed */
    int64_t n_rows, n_cols, i_row;
    char path[512];
};

struct npy *npy_open(const char *path, int64_t n_rows, int64_t n_cols, struct err *err)
{
    struct npy *f = calloc(1, sizeof *f);
    if (!f) {
        err_set(err, ERR_MEMORY, "%s: no memory to write it", path);
        return NULL;
    }
    f->n_rows = n_rows;
    f->n_cols = n_cols;
    snprintf(f->path, sizeof f->path, "%s", path);
    f->out = out_file_open(path, err);
    char head[128];
    memset(head, ' ', sizeof head);
    memcpy(head, "\x93NUMPY\x01\x00\x76\x00", 10); /* 118 bytes of header follow: 128 in all */
    const int n =
        snprintf(head + 10, sizeof head - 10,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRId64 ", %" PRId64 "), }",
                 n_rows, n_cols);
    head[10 + n] = ' ';
    head[sizeof head - 1] = '\n';
    if (!f->out || !out_file_write(f->out, head, sizeof head, err)) {
        out_file_abandon(f->out);
        free(f);
        return NULL;
    }
    return f;
}

bool npy_row(struct npy *f, const float *row)
{
    f->i_row++;
    return f->err.code == ERR_OK &&
           out_file_write(f->out, row, (size_t)f->n_cols * sizeof *row, &f->err);
}

bool npy_commit(struct npy *f, struct err *err)
{
    bool ok = f->err.code == ERR_OK;
    if (!ok) {
        *err = f->err;
    } else if (f->i_row != f->n_rows) {
        ok = err_set(err, ERR_IO, "%s: %" PRId64 " of %" PRId64 " rows came; run it again", f->path,
                     f->i_row, f->n_rows);
    }
    if (ok)
        ok = out_file_commit(f->out, err);
    else
        out_file_abandon(f->out);
    free(f);
    return ok;
}

void npy_abandon(struct npy *f, struct err *err)
{
    if (f->err.code != ERR_OK) *err = f->err;
    out_file_abandon(f->out);
    free(f);
}
