/* library.h - the index of documents that answers cite: searched on a thread of its own, and its
 * passages for whoever opens a reference. The loop's thread calls all of this.
 */
#ifndef CRIA_SERVE_LIBRARY_H
#define CRIA_SERVE_LIBRARY_H

#include "retrieve/sources.h"
#include "serve/errands.h"

struct library;

/* What is searched for, and what was found. Belongs to the library from library_find() until `done`
 * is called. */
struct find_job {
    struct errand errand; /* the library's */
    const char *question; /* [n_question], kept meanwhile */
    size_t n_question;
    const char *before; /* the question before it, or NULL; kept meanwhile */
    int n_want;
    void (*done)(struct find_job *job);
    void *user;
    struct library *library;
    struct sources *sources; /* owned by whoever is told; NULL: see err */
    struct err err;
};

/* Errors are store_open()'s. */
struct library *library_open(const char *index_path, struct err *err);
/* Jobs it has are forgotten. NULL is fine. */
void library_close(struct library *l);

void library_find(struct library *l, struct find_job *job);
int library_fd(const struct library *l); /* readable (eventfd) when something is done */
void library_take(struct library *l);    /* tells it */

/* Answers GET /passages/ID. */
struct exchange;
struct lookup;
void library_passage(struct exchange *ex, const char *id);
/* Its client is gone. */
void lookup_abandon(struct lookup *look);

#endif
