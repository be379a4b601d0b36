/* SPDX-License-Identifier: Apache-2.0
 *
 * models.c - several models in the memory of few: which there are, which one a request means, and
 * which has to go when another's memory is wanted. How one is opened and closed is in
 * models_load.c.
 *
 * A request that names a model which is not loaded waits as it came (it is read once the model is
 * there), in the order of arrival. A thread does what takes long: it opens a file and adds up what
 * the model will take, makes its engine, frees it. The loop decides in models_pump(), which looks
 * at the waiting requests from the first on, each time anything has changed:
 *
 *     OUT -> OPENING -> OPEN -(memory)-> STARTING -> IN -(no users)-> CLOSING -> OUT
 *
 * The first for whom there is no memory makes models leave, those that were used longest ago and
 * have no requests before all others. What is to leave takes no new requests, so that a model which
 * is asked for without a pause cannot keep the others out; those wait in line, behind. Nobody
 * overtakes the first in line for memory.
 *
 * Two engines that step at once would have twice as many threads as there are cores, all spinning:
 * workers take turns (worker.h).
 *
 * The server's only model, if it was started with one, is a list of one that is always loaded.
 *
 * Begin reading at models_choose() and models_pump().
 */
#include "serve/models_parts.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/os.h"
#include "serve/server.h"

enum { MAX_MODELS = 256 };

/* ---- the list ---- */

struct served *models_only(const struct models *all) { return all->only; }

struct served *models_find(const struct models *all, const char *id)
{
    struct served *m = all->first;
    while (m && strcmp(m->id, id) != 0) m = m->next;
    return m;
}

static struct served *add(struct models *all, const char *id, size_t n_id)
{
    struct served *m = calloc(1, sizeof *m), **at = &all->first;
    if (!m) return NULL;
    m->all = all;
    snprintf(m->id, sizeof m->id, "%.*s", (int)n_id, id);
    while (*at && strcmp((*at)->id, m->id) < 0) at = &(*at)->next;
    m->next = *at;
    *at = m;
    all->n++;
    return m;
}

/* The length of a file's name without ".gguf"; 0: it is no model's, or no name that may stand in a
 * request and a metric. Of the files of a split model the first counts. */
static size_t id_length(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+:@=,() ";
    const size_t n = strlen(name), n_end = sizeof "-00001-of-00001.gguf" - 1;
    if (n <= 5 || n - 5 >= sizeof((struct served *)NULL)->id || name[0] == '.' ||
        strcmp(name + n - 5, ".gguf") != 0 || strspn(name, allowed) != n)
        return 0;
    const char *end = n > n_end ? name + n - n_end : "";
    const bool is_split =
        end[0] == '-' && strspn(end + 1, "0123456789") == 5 && strncmp(end + 6, "-of-", 4) == 0;
    return is_split && strncmp(end + 1, "00001", 5) != 0 ? 0 : n - 5;
}

/* Whether its file is there; its size and time with it. */
static bool look_at(struct served *m)
{
    struct buf path;
    struct stat st;
    served_path(m, &path);
    const bool is_there =
        !path.is_failed && stat(path.data, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
    buf_release(&path);
    if (!is_there) return false;
    m->file_bytes = (uint64_t)st.st_size;
    m->created_s = (int64_t)st.st_mtime;
    return true;
}

static bool is_waited_for(const struct served *m)
{
    for (const struct exchange *ex = m->all->wait_first; ex; ex = ex->wait_next)
        if (ex->served == m) return true;
    return false;
}

/* Finds files that are new, forgets those that are gone. */
static bool scan(struct models *all)
{
    DIR *d = opendir(all->server->opt->models_dir);
    if (!d) return false;
    for (struct served **at = &all->first, *m; (m = *at) != NULL;) {
        if (m->state != MODEL_OUT || look_at(m) || is_waited_for(m)) {
            at = &m->next;
            continue;
        }
        *at = m->next;
        all->n--;
        free(m);
    }
    for (const struct dirent *e; (e = readdir(d)) != NULL && all->n < MAX_MODELS;) {
        char id[sizeof((struct served *)NULL)->id];
        const size_t n = id_length(e->d_name);
        if (n == 0) continue;
        snprintf(id, sizeof id, "%.*s", (int)n, e->d_name);
        struct served *m = models_find(all, id) ? NULL : add(all, id, n);
        if (m && !look_at(m)) log_debug("%s: no file that can be read", id);
    }
    (void)closedir(d);
    return true;
}

void models_each(struct models *all, void (*fn)(void *user, const struct served *), void *user)
{
    if (!all->only && !scan(all)) log_warn("--models: the directory cannot be read");
    for (const struct served *m = all->first; m; m = m->next) fn(user, m);
}

/* ---- figures ---- */

/* The counters of `w` are added to those of `to`. */
static void add_counters(struct worker_status *to, const struct worker_status *w)
{
    to->n_steps += w->n_steps;
    to->engine.n_prompt += w->engine.n_prompt;
    to->engine.n_generated += w->engine.n_generated;
    to->engine.n_drafted += w->engine.n_drafted;
    to->engine.n_accepted += w->engine.n_accepted;
}

void models_remember(struct models *all, const struct worker *worker)
{
    const struct worker_status w = worker_status(worker);
    add_counters(&all->past, &w);
}

struct worker_status models_status(const struct models *all)
{
    struct worker_status sum = all->past;
    for (const struct served *m = all->first; m; m = m->next) {
        if (!m->worker) continue;
        const struct worker_status w = worker_status(m->worker);
        add_counters(&sum, &w);
        sum.is_busy = sum.is_busy || w.is_busy;
        if (w.beat_age_ns > sum.beat_age_ns) sum.beat_age_ns = w.beat_age_ns;
        sum.n_free_tok += w.n_free_tok;
        sum.engine.n_queued += w.engine.n_queued;
        sum.engine.n_running += w.engine.n_running;
    }
    sum.engine.n_queued += all->n_waiting;
    return sum;
}

int64_t models_cache_tok(const struct models *all)
{
    int64_t n = 0;
    for (const struct served *m = all->first; m; m = m->next) n += m->worker ? m->n_cache_tok : 0;
    return n;
}

bool models_are_stuck(const struct models *all)
{
    for (const struct served *m = all->first; m; m = m->next) {
        if (!m->worker) continue;
        const struct worker_status w = worker_status(m->worker);
        if (worker_is_stuck(&w)) return true;
    }
    return false;
}

/* ---- who waits ---- */

static void wait_for(struct exchange *ex)
{
    struct models *all = ex->served->all;
    ex->wait_next = NULL;
    if (all->wait_last)
        all->wait_last->wait_next = ex;
    else
        all->wait_first = ex;
    all->wait_last = ex;
    ex->is_waiting = true;
    all->n_waiting++;
}

static void wait_no_more(struct exchange *ex)
{
    struct models *all = ex->served->all;
    struct exchange **at = &all->wait_first, *last = NULL;
    for (; *at != ex; at = &(*at)->wait_next) last = *at;
    *at = ex->wait_next;
    if (all->wait_last == ex) all->wait_last = last;
    ex->is_waiting = false;
    all->n_waiting--;
}

void models_abandon(struct exchange *ex)
{
    if (!ex->is_waiting) return;
    struct models *all = ex->served->all;
    wait_no_more(ex);
    event_active(all->again, EV_TIMEOUT, 0); /* what was to leave for it may stay */
}

/* The first that waits for a model, or NULL. */
static struct exchange *first_of(const struct models *all, const struct served *m)
{
    struct exchange *ex = all->wait_first;
    while (ex && ex->served != m) ex = ex->wait_next;
    return ex;
}

void models_refuse_waiting(struct served *m, const struct refusal *r)
{
    for (struct exchange *ex; (ex = first_of(m->all, m)) != NULL;) {
        wait_no_more(ex);
        exchange_refuse(ex, r);
    }
}

void models_refuse_all(struct models *all)
{
    struct refusal r = {0};
    refuse(&r, REFUSAL_DRAINING, NULL, "the server is about to end");
    for (struct served *m = all->first; m; m = m->next) models_refuse_waiting(m, &r);
}

/* ---- memory ---- */

static bool has_room(const struct models *all, const struct served *m)
{
    return all->n_held + m->n_bytes <= all->max_bytes;
}

/* Idle ones before those with requests, then by the time of their last use. */
static bool leaves_before(const struct served *a, const struct served *b)
{
    if ((a->n_users > 0) != (b->n_users > 0)) return a->n_users == 0;
    return a->used_ns < b->used_ns;
}

/* Marks models to leave until there is room for `m`, as far as there are any. */
static void make_room(struct models *all, const struct served *m)
{
    uint64_t n_left = all->n_held + m->n_bytes;
    for (const struct served *o = all->first; o; o = o->next)
        if (o->state == MODEL_CLOSING) n_left -= o->n_bytes;
    while (n_left > all->max_bytes) {
        struct served *best = NULL;
        for (struct served *o = all->first; o; o = o->next)
            if (o->state == MODEL_IN && !o->is_leaving && (!best || leaves_before(o, best)))
                best = o;
        if (!best) return; /* those that are being loaded come first */
        best->is_leaving = true;
        n_left -= best->n_bytes;
    }
}

static void start_or_make_room(struct served *m, bool *is_short)
{
    struct models *all = m->all;
    if (has_room(all, m)) {
        all->n_held += m->n_bytes;
        served_send_off(m, MODEL_STARTING);
        return;
    }
    *is_short = true;
    make_room(all, m);
}

/* A request whose model is there. */
static struct exchange *first_ready(const struct models *all)
{
    struct exchange *ex = all->wait_first;
    while (ex && (ex->served->state != MODEL_IN || ex->served->is_leaving)) ex = ex->wait_next;
    return ex;
}

void models_pump(struct models *all)
{
    bool is_short = false;
    for (struct served *m = all->first; m; m = m->next) m->is_leaving = false;
    for (struct exchange *ex = all->wait_first; ex; ex = ex->wait_next) {
        struct served *m = ex->served;
        if (m->state == MODEL_OUT)
            served_send_off(m, MODEL_OPENING);
        else if (m->state == MODEL_OPEN && !is_short)
            start_or_make_room(m, &is_short);
    }
    for (struct served *m = all->first; m; m = m->next) {
        /* opened for a client that has gone */
        const bool is_unwanted = m->state == MODEL_OPEN && !is_waited_for(m);
        if (is_unwanted) all->n_held += m->n_bytes; /* until it is closed */
        if (is_unwanted || (m->is_leaving && m->n_users == 0)) served_let_go(m);
    }
    for (struct exchange *ex; (ex = first_ready(all)) != NULL;) {
        wait_no_more(ex);
        route_go_on(ex);
    }
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
    struct models *all = arg;
    (void)fd, (void)what;
    errands_take(all->errands);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    models_pump(arg);
}

/* ---- requests ---- */

/* The model that a body names: a string that lives as long as *doc, or NULL. */
static bool read_name(const void *body, size_t n_bytes, struct json_doc **doc, const char **name,
                      struct refusal *r)
{
    size_t n = 0;
    *name = NULL;
    *doc = body_parse(body, n_bytes, MAX_BODY_BYTES, r);
    if (!*doc) return false;
    const struct json v = json_get(json_root(*doc), "model");
    if (json_type(v) <= JSON_NULL) return true;
    return json_str(v, name, &n) ||
           refuse(r, REFUSAL_VALUE, "model", "model: it is %s; give a string", json_type_name(v));
}

static struct served *choose(struct models *all, const char *name, struct refusal *r)
{
    struct served *m = name ? models_find(all, name) : all->n == 1 ? all->first : NULL;
    if (!m && scan(all)) m = name ? models_find(all, name) : all->n == 1 ? all->first : NULL;
    if (!m && name)
        refuse(r, REFUSAL_NO_MODEL, "model",
               "model: there is no \"%.80s\" here; the models are listed at /v1/models", name);
    else if (!m)
        refuse(r, REFUSAL_MISSING, "model",
               "model: there are %d here; name one of those that /v1/models lists", all->n);
    return m;
}

bool models_choose(struct exchange *ex, const void *body, size_t n_bytes)
{
    struct models *all = ex->server->models;
    struct json_doc *doc = NULL;
    struct refusal r = {0};
    const char *name = NULL;
    ex->served = all->only;
    if (ex->served) return true;
    if (read_name(body, n_bytes, &doc, &name, &r)) ex->served = choose(all, name, &r);
    json_free(doc);
    if (ex->served && ex->served->state == MODEL_IN && !ex->served->is_leaving) return true;
    if (ex->served && all->n_waiting >= ex->server->opt->max_queue + ex->server->n_seqs) {
        refuse(&r, REFUSAL_BUSY, NULL, "%d requests are waiting for models; try again later",
               all->n_waiting);
        r.retry_s = 1;
    }
    if (r.kind != REFUSAL_NONE) {
        exchange_refuse(ex, &r);
        return false;
    }
    wait_for(ex);
    event_active(all->again, EV_TIMEOUT, 0);
    return false;
}

void models_enter(struct served *m)
{
    m->n_users++;
    m->n_requests++;
    m->used_ns = clock_ns();
}

void models_leave(struct served *m)
{
    m->n_users--;
    m->used_ns = clock_ns();
    if (m->is_leaving && m->n_users == 0 && m->worker) event_active(m->all->again, EV_TIMEOUT, 0);
}

/* ---- life ---- */

static bool add_only(struct models *all, struct engine *e, struct err *err)
{
    const struct model *model = engine_model(e);
    const char *base = path_base(model_info(model)->path);
    size_t n = strlen(base);
    if (!model_require_tokenizer(model, err)) return false;
    if (n > 5 && strcasecmp(base + n - 5, ".gguf") == 0) n -= 5;
    all->only = add(all, base, n);
    if (!all->only) return err_set(err, ERR_MEMORY, "no memory for the server");
    all->only->engine = e;
    all->only->created_s = (int64_t)time(NULL);
    all->server->n_seqs = engine_plan(e)->n_seqs;
    return true;
}

static bool add_dir(struct models *all, struct err *err)
{
    const struct serve_options *o = all->server->opt;
    all->server->n_seqs = o->n_seqs;
    all->max_bytes = o->models_bytes ? o->models_bytes : os_memory_total() / 5 * 4;
    if (!scan(all))
        return err_set(err, ERR_USAGE, "--models %s: %s; give a directory of GGUF files",
                       o->models_dir, strerror(errno));
    if (all->n == 0)
        return err_set(err, ERR_USAGE, "--models %s: there is no GGUF file in it", o->models_dir);
    all->turn = turn_new(err);
    return all->turn && (all->errands = errands_new("loads models", NULL, err)) != NULL;
}

struct models *models_new(struct server *s, struct engine *e, struct err *err)
{
    struct models *all = calloc(1, sizeof *all);
    if (!all) {
        err_set(err, ERR_MEMORY, "no memory for the server");
        return NULL;
    }
    all->server = s;
    if (e ? add_only(all, e, err) : add_dir(all, err)) return all;
    models_free(all);
    return NULL;
}

bool models_start(struct models *all, struct err *err)
{
    struct event_base *base = all->server->base;
    if (all->only) return served_begin(all->only, err);
    all->done = event_new(base, errands_fd(all->errands), EV_READ | EV_PERSIST, on_done, all);
    all->again = event_new(base, -1, EV_PERSIST, on_again, all);
    return (all->done && all->again && event_add(all->done, NULL) == 0) ||
           err_set(err, ERR_MEMORY, "no memory for the server");
}

void models_stop(struct models *all)
{
    if (!all) return;
    for (struct served *m = all->first; m; m = m->next) served_end(m);
    errands_free(all->errands);
    all->errands = NULL;
    while (all->wait_first) wait_no_more(all->wait_first);
    if (all->done) event_free(all->done);
    if (all->again) event_free(all->again);
    all->done = all->again = NULL;
}

void models_free(struct models *all)
{
    if (!all) return;
    models_stop(all);
    const struct model_opener *source = all->server->opt->source;
    for (struct served *m = all->first, *next; m; m = next) {
        next = m->next;
        if (m->opened) source->close(source->user, m->opened);
        free(m);
    }
    turn_free(all->turn);
    free(all);
}
