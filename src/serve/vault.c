/* SPDX-License-Identifier: Apache-2.0
 *
 * vault.c - the vault's thread.
 *
 * A write to a disk takes as long as the disk likes, and the event loop has no time for it. So jobs
 * are errands (errands.h), and all that wait are a batch, which is committed together: under load a
 * commit is shared by as many responses as came in during the one before.
 */
#include "serve/vault.h"

#include <stdio.h>
#include <stdlib.h>

#include "serve/vault_parts.h"

enum { MAX_DOC_BYTES = 64 << 20 };

struct vault {
    struct vault_db *db; /* the thread's, once it runs */
    struct errands *errands;
};

void vault_job_init(struct vault_job *job, enum vault_op op, const char *key, const char *id)
{
    *job = (struct vault_job){.op = op};
    snprintf(job->key, sizeof job->key, "%s", key);
    snprintf(job->id, sizeof job->id, "%s", id);
    buf_init(&job->doc, MAX_DOC_BYTES);
    buf_init(&job->input, MAX_DOC_BYTES);
    buf_init(&job->title, MAX_DOC_BYTES);
    buf_init(&job->text, MAX_DOC_BYTES);
}

void vault_job_release(struct vault_job *job)
{
    buf_release(&job->doc);
    buf_release(&job->input);
    buf_release(&job->title);
    buf_release(&job->text);
}

/* ---- the thread ---- */

static void do_jobs(void *user, struct errand *first)
{
    struct vault *s = user;
    vault_db_do(s->db, (struct vault_job *)first);
}

static void expire(void *user)
{
    struct vault *s = user;
    vault_db_expire(s->db);
}

/* ---- the loop's side ---- */

static void tell(struct errand *e)
{
    struct vault_job *job = (struct vault_job *)e;
    job->done(job);
}

int vault_fd(const struct vault *s) { return errands_fd(s->errands); }
void vault_take(struct vault *s) { errands_take(s->errands); }

struct vault *vault_open(const struct vault_options *opt, struct err *err)
{
    struct vault *s = calloc(1, sizeof *s);
    const struct errand_batch batch = {do_jobs, expire, s};
    if (!s) {
        err_set(err, ERR_MEMORY, "no memory for the store");
        return NULL;
    }
    s->db = vault_db_open(opt, err);
    s->errands = s->db ? errands_new("stores", &batch, err) : NULL;
    if (s->errands) return s;
    vault_close(s);
    return NULL;
}

void vault_close(struct vault *s)
{
    if (!s) return;
    if (s->errands) errands_finish(s->errands);
    errands_free(s->errands);
    vault_db_close(s->db);
    free(s);
}

void vault_submit(struct vault *s, struct vault_job *job)
{
    job->refusal = (struct refusal){0};
    job->errand.done = tell;
    errands_submit(s->errands, &job->errand);
}
