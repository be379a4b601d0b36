/* stack_sets.h - all the ways in which a text may be under way through a grammar: sets of stacks,
 * each set stored once and known by a number. Private to the constraint.
 *
 * A set is a list of pairs (state, set of what lies below), sorted by state, no state twice. So
 * stacks that share their top share one pair, whatever is below: n levels with two choices each are
 * n sets, not 2^n stacks. Equal sets have equal numbers. Following a byte is remembered.
 *
 * Memory grows with what was met, until stack_sets_carry() forgets all but what is named. One
 * thread at a time.
 */
#ifndef CRIA_INFER_STACK_SETS_H
#define CRIA_INFER_STACK_SETS_H

#include "infer/grammar_parts.h"

enum {
    SET_DEAD = 0,     /* no stack: the text cannot go on */
    SET_WHOLE = 1,    /* the one empty stack: nothing may follow */
    SET_FAIL = -1,    /* no memory, or a limit; err says which */
    STATE_WHOLE = -1, /* the "state" of the empty stack in a list */
    STACK_MAX_DEPTH = 512,
};

struct stack_sets;

/* Keeps `g`. */
struct stack_sets *stack_sets_new(const struct grammar *g, struct err *err);
void stack_sets_free(struct stack_sets *s); /* NULL is fine */

/* The set at the beginning of a rule, with SET_WHOLE below it. */
int32_t stack_sets_start(struct stack_sets *s, int32_t rule, struct err *err);
/* State q with SET_WHOLE below it, of which only the byte edges will be followed: for walks that
 * end where q's rule ends. */
int32_t stack_sets_of_state(struct stack_sets *s, int32_t q, struct err *err);
/* A set that reading goes on with after the top of all its stacks was taken: `below` of a pair. */
int32_t stack_sets_return(struct stack_sets *s, int32_t below, struct err *err);

/* From here on so many pairs may be looked at until a step fails with ERR_LIMIT. */
void stack_sets_set_budget(struct stack_sets *s, int64_t n_pairs);

/* What follows byte b; SET_DEAD if nothing can. */
int32_t stack_sets_step(struct stack_sets *s, int32_t set, uint8_t b, struct err *err);

bool stack_sets_is_whole(const struct stack_sets *s, int32_t set); /* the text may end here */
bool stack_sets_is_over(const struct stack_sets *s, int32_t set);  /* and must */

struct stack_top {
    int32_t state, below;
};
/* The pairs of a set; valid until the next call that may make a set. */
const struct stack_top *stack_sets_tops(const struct stack_sets *s, int32_t set, int32_t *n);

/* Memory in use, and forgetting all of it but the sets in `keep` [n], which are renumbered. */
size_t stack_sets_bytes(const struct stack_sets *s);
bool stack_sets_carry(struct stack_sets *s, int32_t *const *keep, int32_t n,
                      struct err *err) CRIA_CHECK;

#endif
