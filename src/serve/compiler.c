/* SPDX-License-Identifier: Apache-2.0
 *
 * compiler.c - grammars compiled one after the other (errands.h), and a table of what was made.
 *
 * Kept are the newest grammars by their texts, at most MAX_KEPT of them and MAX_KEPT_BYTES: clients
 * ask for the same few again and again. Only the loop's thread touches the table.
 *
 * Begin reading at compiler_submit().
 */
#include "serve/compiler.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_KEPT = 64, MAX_KEPT_BYTES = 32 << 20 };

struct kept {
    enum form_kind kind;
    char *text;
    size_t n_text, n_bytes;
    struct grammar *grammar;
    int64_t last_used;
};

struct compiler {
    struct errands *errands;
    struct kept kept[MAX_KEPT];
    int n_kept;
    size_t n_bytes;
    int64_t clock; /* counts uses */
};

/* ---- what is kept ---- */

static void drop(struct compiler *c, int i)
{
    c->n_bytes -= c->kept[i].n_bytes;
    free(c->kept[i].text);
    grammar_free(c->kept[i].grammar);
    c->kept[i] = c->kept[--c->n_kept];
}

static void drop_oldest(struct compiler *c)
{
    int oldest = 0;
    for (int i = 1; i < c->n_kept; i++)
        if (c->kept[i].last_used < c->kept[oldest].last_used) oldest = i;
    drop(c, oldest);
}

static struct kept *find(struct compiler *c, const struct form *f)
{
    for (int i = 0; i < c->n_kept; i++) {
        struct kept *k = &c->kept[i];
        if (k->kind == f->kind && k->n_text == f->text.n_bytes &&
            memcmp(k->text, f->text.data, k->n_text) == 0)
            return k;
    }
    return NULL;
}

/* Without memory it is not kept. */
static void keep(struct compiler *c, const struct form *f, struct grammar *g)
{
    const struct grammar_size size = grammar_size(g);
    const size_t n_text = f->text.n_bytes;
    const size_t n_bytes = n_text + 16 * (size_t)(size.n_states + size.n_edges);
    if (n_bytes > MAX_KEPT_BYTES || find(c, f)) return;
    while (c->n_kept == MAX_KEPT || c->n_bytes + n_bytes > MAX_KEPT_BYTES) drop_oldest(c);
    char *text = malloc(n_text + 1);
    if (!text) return;
    memcpy(text, f->text.data, n_text);
    c->kept[c->n_kept++] = (struct kept){
        .kind = f->kind,
        .text = text,
        .n_text = n_text,
        .n_bytes = n_bytes,
        .grammar = grammar_share(g),
        .last_used = ++c->clock,
    };
    c->n_bytes += n_bytes;
}

struct grammar *compiler_find(struct compiler *c, const struct form *f)
{
    struct kept *k = find(c, f);
    if (!k) return NULL;
    k->last_used = ++c->clock;
    return grammar_share(k->grammar);
}

/* ---- jobs ---- */

static void compile(struct errand *e)
{
    struct compile_job *job = (struct compile_job *)(void *)e;
    const struct form *f = job->form;
    job->grammar = form_compile(f->kind, f->text.data, f->text.n_bytes, f->field, &job->err);
}

static void compiled(struct errand *e)
{
    struct compile_job *job = (struct compile_job *)(void *)e;
    if (job->grammar) keep(job->compiler, job->form, job->grammar);
    job->done(job);
}

void compiler_submit(struct compiler *c, struct compile_job *job)
{
    job->errand = (struct errand){.run = compile, .done = compiled};
    job->compiler = c;
    job->grammar = NULL;
    job->err = (struct err){0};
    errands_submit(c->errands, &job->errand);
}

int compiler_fd(const struct compiler *c) { return errands_fd(c->errands); }
void compiler_take(struct compiler *c) { errands_take(c->errands); }

/* ---- life ---- */

struct compiler *compiler_new(struct err *err)
{
    struct compiler *c = calloc(1, sizeof *c);
    if (!c) {
        err_set(err, ERR_MEMORY, "no memory for the server");
        return NULL;
    }
    c->errands = errands_new("compiles", NULL, err);
    if (c->errands) return c;
    free(c);
    return NULL;
}

void compiler_free(struct compiler *c)
{
    if (!c) return;
    errands_free(c->errands);
    while (c->n_kept) drop(c, 0);
    free(c);
}
