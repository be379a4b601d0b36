/* peak.h - what this machine can do at most, measured: the yardstick beside every speed.
 *
 * Each call takes a fraction of a second and all members of the team. Frequencies and neighbours on
 * a shared machine move, so compare only figures of one run.
 */
#ifndef CRIA_TENSOR_PEAK_H
#define CRIA_TENSOR_PEAK_H

#include "base/team.h"
#include "tensor/ops.h"

/* A unit that multiplies and adds. */
struct peak_unit {
    const char *name;         /* "bf16 dot product" */
    const char *variant;      /* the first kernel set (ops.h) whose machines have it */
    double ops_per_turn;      /* 2 per multiply-add */
    float (*spin)(int64_t n); /* n turns, operands in registers */
};
/* All units of this architecture, slowest first, ended by name NULL. */
extern const struct peak_unit peak_units[];

/* True if this machine has the unit. */
bool peak_has(const struct peak_unit *u);
/* The unit that products of many tokens with weights of type `t` run on in kernel set `variant`. */
const struct peak_unit *peak_unit_of(const char *variant, enum dtype t);
/* Operations per second of all members together, best of several rounds. */
double peak_ops(struct team *team, const struct peak_unit *u);
/* Bytes per second of reading memory[0..n_bytes), each member its share, best of several rounds.
 * Wants a buffer that no cache holds, written before (untouched pages are one page of zeros). */
double peak_read(struct team *team, const void *memory, size_t n_bytes);

#endif
