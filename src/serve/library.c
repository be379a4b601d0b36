/* SPDX-License-Identifier: Apache-2.0
 *
 * library.c - searches and passages of the index, one after the other (errands.h).
 *
 * The store belongs to the thread once it runs; sources that were found hold copies of their
 * passages, and the loop goes on with those alone.
 */
#include "serve/library.h"

#include <errno.h>
#include <stdlib.h>

#include "base/json_write.h"
#include "serve/server.h"

struct library {
    struct store *store;
    struct errands *errands;
};

/* A passage that a client waits for. */
struct lookup {
    struct errand errand;
    struct library *library;
    struct exchange *ex; /* NULL: the client is gone */
    int64_t id;
    struct passages found;
    int code; /* search_passage()'s */
    struct err err;
};

/* ---- searching ---- */

static void find(struct errand *e)
{
    struct find_job *job = (struct find_job *)(void *)e;
    job->sources = sources_new(job->library->store, job->n_want, &job->err);
    if (!job->sources ||
        sources_find(job->sources, job->question, job->n_question, job->before, &job->err))
        return;
    sources_close(job->sources);
    job->sources = NULL;
}

static void found(struct errand *e)
{
    struct find_job *job = (struct find_job *)(void *)e;
    job->done(job);
}

void library_find(struct library *l, struct find_job *job)
{
    job->errand = (struct errand){.run = find, .done = found};
    job->library = l;
    job->sources = NULL;
    job->err = (struct err){0};
    errands_submit(l->errands, &job->errand);
}

/* ---- passages ---- */

static void look_up(struct errand *e)
{
    struct lookup *look = (struct lookup *)(void *)e;
    look->code = search_passage(look->library->store, look->id, &look->found, &look->err);
}

static void write_passage(const struct passage *p, struct buf *out)
{
    struct json_writer w = json_writer(out);
    json_object(&w);
    json_key_cstring(&w, "object", "passage");
    json_key_int(&w, "id", p->id);
    json_key_cstring(&w, "path", p->path);
    json_key_cstring(&w, "title", p->title);
    json_key_cstring(&w, "heading", p->heading);
    json_key_uint(&w, "begin_byte", p->begin);
    json_key_uint(&w, "end_byte", p->end);
    json_key_cstring(&w, "text", p->body);
    json_end(&w);
}

static void tell_passage(struct lookup *look)
{
    struct exchange *ex = look->ex;
    struct buf *out = &ex->server->text;
    struct refusal r = {0};
    ex->lookup = NULL;
    buf_clear(out);
    if (look->code == 1)
        write_passage(&look->found.passage[0], out);
    else if (look->code == 0)
        refuse(&r, REFUSAL_NO_ROUTE, NULL,
               "there is no passage %lld; its document has changed or is gone",
               (long long)look->id);
    else
        refuse_err(&r, NULL, &look->err);
    if (r.kind == REFUSAL_NONE && out->is_failed)
        refuse(&r, REFUSAL_SERVER, NULL, "no memory for the passage");
    if (r.kind == REFUSAL_NONE)
        exchange_reply(ex, 200, "application/json", out);
    else
        exchange_refuse(ex, &r);
}

static void looked_up(struct errand *e)
{
    struct lookup *look = (struct lookup *)(void *)e;
    if (look->ex) tell_passage(look);
    passages_release(&look->found);
    free(look);
}

void lookup_abandon(struct lookup *look) { look->ex = NULL; }

static bool read_id(const char *text, int64_t *id)
{
    char *end = NULL;
    errno = 0;
    const long long v = strtoll(text, &end, 10);
    *id = v;
    return text[0] >= '1' && text[0] <= '9' && !*end && !errno;
}

void library_passage(struct exchange *ex, const char *text)
{
    struct library *l = ex->server->library;
    struct refusal r = {0};
    int64_t id = 0;
    struct lookup *look = NULL;
    if (!l)
        refuse(&r, REFUSAL_OFF, NULL, "this server has no index; start it with --index");
    else if (!read_id(text, &id))
        refuse(&r, REFUSAL_NO_ROUTE, NULL, "there is nothing of this name; passages have numbers");
    else if (!(look = calloc(1, sizeof *look)))
        refuse(&r, REFUSAL_SERVER, NULL, "no memory for the request");
    if (!look) {
        exchange_refuse(ex, &r);
        return;
    }
    *look = (struct lookup){
        .errand = {.run = look_up, .done = looked_up}, .library = l, .ex = ex, .id = id};
    ex->lookup = look;
    errands_submit(l->errands, &look->errand);
}

/* ---- life ---- */

struct library *library_open(const char *index_path, struct err *err)
{
    struct library *l = calloc(1, sizeof *l);
    if (!l) {
        err_set(err, ERR_MEMORY, "no memory for the server");
        return NULL;
    }
    l->store = store_open(index_path, STORE_READ, err);
    l->errands = l->store ? errands_new("searches", NULL, err) : NULL;
    if (l->errands) return l;
    library_close(l);
    return NULL;
}

void library_close(struct library *l)
{
    if (!l) return;
    errands_free(l->errands);
    store_close(l->store);
    free(l);
}

int library_fd(const struct library *l) { return errands_fd(l->errands); }
void library_take(struct library *l) { errands_take(l->errands); }
