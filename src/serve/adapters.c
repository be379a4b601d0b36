/* SPDX-License-Identifier: Apache-2.0
 *
 * adapters.c - which adapters there are, and how they come and go while the server runs.
 *
 * Requests choose one by naming it as their model, and count as its users until they are over. An
 * adapter that is unloaded has no name any more, so no request finds it; it and whoever unloaded it
 * wait until its last user is gone. Another may have its name meanwhile.
 *
 * A file is read by a thread that lives as long as that takes, one at a time, so the event loop
 * goes on. Paths are those of one directory that the owner named (--lora-dir): links are resolved
 * before they are compared, and what is outside is told apart from what is not there by nobody.
 *
 * Begin reading at adapters_load() and adapters_leave().
 */
#include "serve/adapters.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "serve/fields.h"
#include "serve/server.h"

/* What a client waits for: a file that is read, or users that go. */
struct adapter_job {
    struct adapter_job *next;
    struct adapters *all;
    struct exchange *ex; /* NULL: the client is gone */
    struct adapter *adapter;
    struct err err; /* the thread's, until it has ended */
};

struct adapters {
    struct server *server;
    char *dir; /* resolved; NULL: nothing comes or goes */
    struct adapter *first;
    int n; /* those that leave, too */
    int event_fd;
    pthread_t thread;
    struct adapter_job *loading; /* NULL: there is no thread */
    struct adapter_job *leaving; /* a list */
};

/* ---- the list ---- */

/* `said` is where the name stands. */
static bool check_name(const struct adapters *a, const char *said, const char *name,
                       struct refusal *r)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/";
    const size_t n = strlen(name);
    if (n == 0 || n >= sizeof a->first->is.name || strspn(name, allowed) != n)
        return refuse(r, REFUSAL_VALUE, said,
                      "%s: \"%.80s\"; give 1 to %zu letters, digits and -_.:/", said, name,
                      sizeof a->first->is.name - 1);
    if (adapters_find(a, name))
        return refuse(r, REFUSAL_VALUE, said,
                      "%s: %s is loaded already; unload it first, or choose another name", said,
                      name);
    if (server_is_model(a->server, name))
        return refuse(r, REFUSAL_VALUE, said,
                      "%s: %s is a name of the model itself; choose another", said, name);
    return true;
}

static void add(struct adapters *a, struct adapter *ad)
{
    struct adapter **at = &a->first;
    while (*at) at = &(*at)->next;
    *at = ad;
    a->n++;
}

static void adapter_free(struct adapter *ad)
{
    lora_close(ad->is.lora);
    free(ad);
}

static void drop(struct adapters *a, struct adapter *ad)
{
    struct adapter **at = &a->first;
    while (*at != ad) at = &(*at)->next;
    *at = ad->next;
    a->n--;
    adapter_free(ad);
}

struct adapter *adapters_find(const struct adapters *a, const char *name)
{
    struct adapter *ad = a->first;
    while (ad && (ad->is_leaving || strcmp(ad->is.name, name) != 0)) ad = ad->next;
    return ad;
}

void adapters_each(const struct adapters *a, void (*fn)(void *user, const struct adapter *),
                   void *user)
{
    for (const struct adapter *ad = a->first; ad; ad = ad->next)
        if (!ad->is_leaving) fn(user, ad);
}

/* ---- answers ---- */

/* In vLLM's words, which its clients look for. */
static void say_done(struct exchange *ex, const struct adapter *ad, const char *what)
{
    struct buf *out = &ex->server->text;
    buf_clear(out);
    buf_printf(out, "Success: LoRA adapter '%s' %s successfully.", ad->is.name, what);
    exchange_reply(ex, 200, "text/plain; charset=utf-8", out);
}

static struct adapter_job *job_new(struct adapters *a, struct exchange *ex)
{
    struct adapter_job *job = calloc(1, sizeof *job);
    if (!job) return NULL;
    *job = (struct adapter_job){.all = a, .ex = ex};
    ex->adapter_job = job;
    return job;
}

static struct exchange *job_end(struct adapter_job *job)
{
    struct exchange *ex = job->ex;
    if (ex) ex->adapter_job = NULL;
    free(job);
    return ex;
}

void adapters_abandon(struct adapter_job *job) { job->ex = NULL; }

/* ---- users ---- */

void adapters_enter(struct adapter *ad)
{
    if (!ad) return;
    ad->n_users++;
    ad->n_requests++;
}

/* The last user is gone: whoever unloaded it hears so. */
static void end_leaving(struct adapters *a, struct adapter *ad)
{
    struct adapter_job **at = &a->leaving, *job = NULL;
    while ((*at)->adapter != ad) at = &(*at)->next;
    job = *at;
    *at = job->next;
    log_info("adapter %s is unloaded", ad->is.name);
    struct exchange *ex = job_end(job);
    if (ex) say_done(ex, ad, "removed");
    drop(a, ad);
}

void adapters_leave(struct adapters *a, struct adapter *ad)
{
    if (ad && --ad->n_users == 0 && ad->is_leaving) end_leaving(a, ad);
}

/* ---- reading a file ---- */

static void *read_file(void *arg)
{
    struct adapter_job *job = arg;
    struct adapters *a = job->all;
    const uint64_t one = 1;
    struct lora_named *l = &job->adapter->is;
    l->lora =
        lora_open(l->path, engine_model(models_only(a->server->models)->engine), 1, &job->err);
    if (write(a->event_fd, &one, sizeof one) < 0) log_warn("the event loop cannot be woken");
    return NULL;
}

void adapters_hear(struct adapters *a)
{
    struct adapter_job *job = a->loading;
    struct refusal r = {0};
    uint64_t n = 0;
    if (read(a->event_fd, &n, sizeof n) < 0 || !job) return;
    pthread_join(a->thread, NULL);
    a->loading = NULL;
    struct adapter *ad = job->adapter;
    const struct err err = job->err;
    struct exchange *ex = job_end(job);
    if (!ad->is.lora) {
        if (err.code == ERR_MEMORY)
            refuse_err(&r, "lora_path", &err);
        else
            refuse(&r, REFUSAL_VALUE, "lora_path", "lora_path: %s", err.text);
        if (ex) exchange_refuse(ex, &r);
        adapter_free(ad);
        return;
    }
    add(a, ad);
    log_info("adapter %s: rank %d, %d matrices, %.1f MB", ad->is.name, (int)lora_rank(ad->is.lora),
             (int)lora_n_pairs(ad->is.lora), (double)lora_bytes(ad->is.lora) / 1e6);
    if (ex) say_done(ex, ad, "added");
}

/* Signals are for the loop's thread. */
static bool start_reading(struct adapters *a, struct adapter_job *job, struct refusal *r)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int code = pthread_create(&a->thread, NULL, read_file, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0)
        return refuse(r, REFUSAL_SERVER, NULL, "cannot start a thread: %s", strerror(code));
    a->loading = job;
    return true;
}

/* ---- requests ---- */

struct adapter_fields {
    const char *name, *path;
    struct unknown_fields unknown;
};

const struct field adapter_rows[] = {
    /* clang-format off */
    /* name            kind           min max   at                                    read */
    {"lora_name",      FIELD_STR,     0,  1000, offsetof(struct adapter_fields, name), NULL},
    {"lora_path",      FIELD_STR,     0,  4000, offsetof(struct adapter_fields, path), NULL},
    {"lora_int_id",    FIELD_IGNORED, 0,  0,    0,                                     NULL},
    {"load_inplace",   FIELD_REFUSED, 0,  0,    0,                                     NULL},
    {0},
    /* clang-format on */
};

/* An adapter's path in the directory, absolute or from there. */
static bool resolve(const struct adapters *a, const char *path, char out[1024], struct refusal *r)
{
    char *real = NULL;
    struct buf full;
    const size_t n_dir = strlen(a->dir);
    buf_init(&full, 8192);
    if (path[0] == '/')
        buf_printf(&full, "%s", path);
    else
        path_join(&full, a->dir, path);
    if (!full.is_failed) real = realpath(full.data, NULL);
    const bool is_inside = real && strlen(real) < 1024 && strncmp(real, a->dir, n_dir) == 0 &&
                           (real[n_dir] == '/' || strcmp(a->dir, "/") == 0);
    if (is_inside) memcpy(out, real, strlen(real) + 1);
    free(real);
    buf_release(&full);
    return is_inside || refuse(r, REFUSAL_VALUE, "lora_path",
                               "lora_path: \"%.80s\" is not in the directory of adapters "
                               "(--lora-dir) of this server",
                               path);
}

static bool begin_load(struct exchange *ex, const struct adapter_fields *f, struct refusal *r)
{
    struct adapters *a = ex->server->adapters;
    char path[1024];
    if (!f->name || !f->path)
        return refuse(r, REFUSAL_MISSING, f->name ? "lora_path" : "lora_name",
                      "lora_name and lora_path: give both");
    if (!check_name(a, "lora_name", f->name, r) || !resolve(a, f->path, path, r)) return false;
    if (a->loading) {
        refuse(r, REFUSAL_BUSY, NULL, "another adapter is being loaded; try again later");
        r->retry_s = 1;
        return false;
    }
    if (a->n >= ADAPTERS_MAX)
        return refuse(r, REFUSAL_VALUE, "lora_name", "%d adapters are loaded; unload one first",
                      a->n);
    struct adapter *ad = calloc(1, sizeof *ad);
    struct adapter_job *job = ad ? job_new(a, ex) : NULL;
    if (!job) {
        free(ad);
        return refuse(r, REFUSAL_SERVER, NULL, "no memory for an adapter");
    }
    ad->loaded_s = (int64_t)time(NULL);
    memcpy(ad->is.name, f->name, strlen(f->name) + 1);
    memcpy(ad->is.path, path, strlen(path) + 1);
    job->adapter = ad;
    if (start_reading(a, job, r)) return true;
    job_end(job);
    free(ad);
    return false;
}

static bool begin_unload(struct exchange *ex, const struct adapter_fields *f, struct refusal *r)
{
    struct adapters *a = ex->server->adapters;
    if (!f->name)
        return refuse(r, REFUSAL_MISSING, "lora_name", "lora_name: name the adapter to unload");
    struct adapter *ad = adapters_find(a, f->name);
    if (!ad)
        return refuse(r, REFUSAL_NO_MODEL, "lora_name",
                      "lora_name: no adapter \"%.80s\" is loaded; see /v1/models", f->name);
    struct adapter_job *job = job_new(a, ex);
    if (!job) return refuse(r, REFUSAL_SERVER, NULL, "no memory for the request");
    job->adapter = ad;
    job->next = a->leaving;
    a->leaving = job;
    ad->is_leaving = true;
    if (ad->n_users == 0) end_leaving(a, ad);
    return true;
}

static void begin(struct exchange *ex, const void *body, size_t n_bytes,
                  bool (*fn)(struct exchange *, const struct adapter_fields *, struct refusal *))
{
    struct refusal r = {0};
    struct adapter_fields f = {0};
    struct json_doc *d = NULL;
    bool ok = ex->server->adapters->dir ||
              refuse(&r, REFUSAL_OFF, NULL,
                     "adapters are not loaded while the server runs unless it was started with "
                     "--lora-dir");
    if (ok) d = body_parse(body, n_bytes, MAX_BODY_BYTES, &r);
    ok = d && fields_read(adapter_rows, json_root(d), &f, &f.unknown, &r);
    memcpy(ex->figures.unknown, f.unknown.names, sizeof ex->figures.unknown);
    if (!ok || !fn(ex, &f, &r)) exchange_refuse(ex, &r);
    json_free(d);
}

void adapters_load(struct exchange *ex, const void *body, size_t n_bytes)
{
    begin(ex, body, n_bytes, begin_load);
}

void adapters_unload(struct exchange *ex, const void *body, size_t n_bytes)
{
    begin(ex, body, n_bytes, begin_unload);
}

/* ---- life ---- */

static bool add_first(struct adapters *a, const struct lora_named *l, struct err *err)
{
    struct refusal r = {0};
    if (!check_name(a, "--lora", l->name, &r)) return err_set(err, ERR_USAGE, "%s", r.text);
    struct adapter *ad = calloc(1, sizeof *ad);
    if (!ad) return err_set(err, ERR_MEMORY, "no memory for an adapter");
    ad->is = *l;
    lora_hold(l->lora);
    ad->loaded_s = (int64_t)time(NULL);
    add(a, ad);
    return true;
}

static bool open_dir(struct adapters *a, const char *dir, struct err *err)
{
    if (!dir) return true;
    a->dir = realpath(dir, NULL);
    return (a->dir && path_is_dir(a->dir)) ||
           err_set(err, ERR_USAGE, "--lora-dir %s: it is no directory", dir);
}

int adapters_fd(const struct adapters *a) { return a->event_fd; }

struct adapters *adapters_new(struct server *s, struct err *err)
{
    struct adapters *a = calloc(1, sizeof *a);
    if (!a) {
        err_set(err, ERR_MEMORY, "no memory for the server");
        return NULL;
    }
    a->server = s;
    a->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    bool ok =
        a->event_fd >= 0 ||
        err_set(err, ERR_IO, "no event descriptor; raise the limit of open files (ulimit -n)");
    ok = ok && open_dir(a, s->opt->lora_dir, err);
    for (int i = 0; ok && i < s->opt->n_adapters; i++) ok = add_first(a, &s->opt->adapters[i], err);
    if (ok) return a;
    adapters_free(a);
    return NULL;
}

void adapters_stop(struct adapters *a)
{
    for (struct adapter_job *job = a->leaving; job; job = job->next) {
        if (job->ex) job->ex->adapter_job = NULL;
        job->ex = NULL;
    }
    if (!a->loading) return;
    pthread_join(a->thread, NULL);
    adapter_free(a->loading->adapter);
    job_end(a->loading);
    a->loading = NULL;
}

void adapters_free(struct adapters *a)
{
    if (!a) return;
    while (a->first) drop(a, a->first);
    if (a->event_fd >= 0) close(a->event_fd);
    free(a->dir);
    free(a);
}
