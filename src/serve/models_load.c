/* SPDX-License-Identifier: Apache-2.0
 *
 * models_load.c - a model on its way in and out: its file is opened, its engine made, requests run,
 * and all is freed. What takes long is an errand of the list's thread; what it has done is heard by
 * the loop, and what is next decided in models_pump().
 *
 * Begin reading at served_send_off() and hear_done().
 */
#include "serve/models_parts.h"

#include <stddef.h>

#include "base/file.h"
#include "base/log.h"
#include "base/os.h"
#include "serve/server.h"

#define GB(n) ((double)(n) / 1e9)

void served_path(const struct served *m, struct buf *out)
{
    const char *dir = m->all->server->opt->models_dir;
    buf_init(out, 8192);
    path_join(out, dir, m->id);
    buf_puts(out, ".gguf");
}

/* ---- requests come and go ---- */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct served *m = arg;
    (void)fd, (void)what;
    for (struct worker_event *ev = worker_take(m->worker), *next; ev; ev = next) {
        next = ev->next;
        ev->job->hear(ev);
    }
}

bool served_begin(struct served *m, struct err *err)
{
    struct models *all = m->all;
    const struct engine_plan *plan = engine_plan(m->engine);
    const struct model *model = engine_model(m->engine);
    m->gen = gen_model(model, plan->n_ctx, plan->n_seqs);
    m->n_cache_tok = engine_free_tokens(m->engine);
    m->file_bytes = model_info(model)->file_bytes;
    if (all->only) m->n_bytes = plan->weight_bytes + plan->cache_bytes + plan->work_bytes;
    m->used_ns = clock_ns();
    m->worker = worker_new(m->engine, all->turn, err);
    if (!m->worker) return false;
    m->wake = event_new(all->server->base, worker_fd(m->worker), EV_READ | EV_PERSIST, on_wake, m);
    if (m->wake && event_add(m->wake, NULL) == 0) {
        m->state = MODEL_IN;
        return true;
    }
    return err_set(err, ERR_MEMORY, "no memory for a model");
}

void served_end(struct served *m)
{
    if (m->worker) models_remember(m->all, m->worker);
    if (m->wake) event_free(m->wake);
    worker_free(m->worker);
    m->wake = NULL;
    m->worker = NULL;
}

/* ---- the thread ---- */

static void run(struct errand *e)
{
    struct served *m = (struct served *)((char *)e - offsetof(struct served, errand));
    const struct model_opener *source = m->all->server->opt->source;
    struct buf path;
    m->err = (struct err){0};
    served_path(m, &path);
    if (m->state == MODEL_OPENING)
        m->opened =
            path.is_failed ? NULL : source->open(source->user, path.data, &m->n_bytes, &m->err);
    else if (m->state == MODEL_STARTING)
        m->engine = source->start(source->user, m->opened, &m->err);
    else
        source->close(source->user, m->opened), m->opened = NULL;
    buf_release(&path);
}

static void hear_done(struct errand *e);

void served_send_off(struct served *m, enum served_state state)
{
    m->state = state;
    m->errand.run = run;
    m->errand.done = hear_done;
    errands_submit(m->all->errands, &m->errand);
}

void served_let_go(struct served *m)
{
    served_end(m);
    m->engine = NULL; /* the source closes it with the rest */
    served_send_off(m, MODEL_CLOSING);
}

/* ---- what the thread has done ---- */

/* Whoever waits for it hears so; the log has the reason, which names files. */
static void fail(struct served *m, const struct err *err)
{
    struct refusal r = {0};
    log_warn("model %s cannot be loaded: %s", m->id, err->text);
    refuse(&r, REFUSAL_SERVER, "model", "model: %s cannot be loaded; the server's log says why",
           m->id);
    models_refuse_waiting(m, &r);
}

static void hear_opened(struct served *m)
{
    struct models *all = m->all;
    struct refusal r = {0};
    if (!m->opened) {
        m->state = MODEL_OUT;
        fail(m, &m->err);
        return;
    }
    m->state = MODEL_OPEN;
    if (m->n_bytes <= all->max_bytes) return;
    refuse(&r, REFUSAL_SERVER, "model",
           "model: %s takes %.2f GB with its cache, and all models together may take %.2f "
           "(--models-memory); ask for a smaller one",
           m->id, GB(m->n_bytes), GB(all->max_bytes));
    log_warn("%s", r.text);
    models_refuse_waiting(m, &r); /* and models_pump() closes it */
}

static void hear_started(struct served *m)
{
    struct err err = m->err;
    if (m->engine && served_begin(m, &err)) {
        log_info("model %s is loaded: %.2f GB of %.2f are held", m->id, GB(m->all->n_held),
                 GB(m->all->max_bytes));
        return;
    }
    fail(m, &err);
    served_let_go(m);
}

static void hear_done(struct errand *e)
{
    struct served *m = (struct served *)((char *)e - offsetof(struct served, errand));
    if (m->state == MODEL_OPENING) {
        hear_opened(m);
    } else if (m->state == MODEL_STARTING) {
        hear_started(m);
    } else {
        m->all->n_held -= m->n_bytes;
        m->state = MODEL_OUT;
        log_info("model %s is unloaded", m->id);
    }
    models_pump(m->all);
}
