/* compiler.h - grammars made beside the event loop: a thread that compiles, and the grammars that
 * were asked for last.
 *
 * A grammar is compiled before its request is queued, so that one which cannot be is a refusal and
 * never an answer of any form. A hostile text may take a second: so a thread of its own does it.
 * The loop's thread calls all of this.
 */
#ifndef CRIA_SERVE_COMPILER_H
#define CRIA_SERVE_COMPILER_H

#include "serve/errands.h"
#include "serve/form.h"

struct compiler;

/* Belongs to the compiler from compiler_submit() until its `done` is called. */
struct compile_job {
    struct errand errand;    /* the compiler's */
    const struct form *form; /* kept meanwhile */
    void (*done)(struct compile_job *job);
    void *user;
    struct compiler *compiler;
    struct grammar *grammar; /* owned by whoever is told; NULL: see err */
    struct err err;
};

struct compiler *compiler_new(struct err *err);
/* Ends the thread, behind the grammar it is at; jobs it has are forgotten. NULL is fine. */
void compiler_free(struct compiler *c);

/* The grammar of a form that was compiled before, with one owner more; or NULL. */
struct grammar *compiler_find(struct compiler *c, const struct form *f);
void compiler_submit(struct compiler *c, struct compile_job *job);
int compiler_fd(const struct compiler *c); /* readable (eventfd) when there are finished jobs */
/* Remembers the grammars of finished jobs and calls their `done`, oldest first. */
void compiler_take(struct compiler *c);

#endif
