/* linear_interleaved.h - few tokens times groups of 16 rows (interleave.h). Private to tensor/cpu/.
 */
#ifndef CRIA_TENSOR_CPU_LINEAR_INTERLEAVED_H
#define CRIA_TENSOR_CPU_LINEAR_INTERLEAVED_H

#include "tensor/cpu/linear.h"

#if CRIA_X86
extern dot_group_fn *const dot_groups_vnni[DT_COUNT]; /* NULL: none for this type, which is */
extern dot_group_fn *const dot_groups_avx2[DT_COUNT]; /* what interleaves_*() tell (cpu.h) */

/* n weights of a group's 16 rows into records (linear_vnni.h), n a multiple of 32 and of blocks.
 * Returns the end of the records. */
typedef uint8_t *panel_group_fn(uint8_t *to, const uint8_t *group, int64_t n);
extern panel_group_fn *const panel_groups_vnni[DT_COUNT]; /* likewise */
#endif

#endif
