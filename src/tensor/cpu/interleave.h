/* interleave.h - 16 rows of quantized weights side by side: the order in which one token reads them
 * fastest.
 *
 * A group of 16 rows takes the bytes that the rows took, in other order: block by block, and within
 * a block field by field, each scale or 32-bit word of the 16 rows one behind the other. A register
 * then holds the same word of 16 rows: rows lie across the lanes, nothing is added across them, and
 * their scales are one load. Rows of plain tensors need three times the instructions for as many
 * weights (docs/performance.md). A tensor in this order has is_interleaved (tensor.h).
 * Private to tensor/cpu/. Any thread.
 */
#ifndef CRIA_TENSOR_CPU_INTERLEAVE_H
#define CRIA_TENSOR_CPU_INTERLEAVE_H

#include "tensor/ops.h"

enum { GROUP_ROWS = INTERLEAVED_ROWS };

/* All rows of a tensor into groups, in place: ops->interleave. */
void interleave_tensor(const struct member *me, const struct tensor *w, uint8_t *scratch);

/* Blocks [i, i + n) of rows [first, first + n_rows) of a group, as plain rows, `ld` bytes apart. */
void interleave_back(uint8_t *dst, size_t ld, const uint8_t *group, enum dtype type, int64_t i,
                     int64_t n, int first, int n_rows);

/* The same from rows [row, row + n_rows) of a tensor, any of its groups. */
void interleave_read(uint8_t *dst, size_t ld, const struct tensor *w, int64_t row, int64_t n_rows,
                     int64_t i, int64_t n);

#endif
