/* SPDX-License-Identifier: Apache-2.0
 *
 * api_engine.c - requests and scores in the public interface.
 *
 * A caller's struct may be older (shorter) than ours: it is laid over the defaults as far as its
 * struct_bytes goes. One that is newer (longer) is refused, since it may ask for what this library
 * does not know.
 *
 * The inner listener speaks in inner events; each submitted request therefore carries a small block
 * (struct link) that knows the caller's listener, freed with the request's last answer.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_parts.h"

/* Lays the caller's fields over the defaults in `out`. */
static bool take_struct(void *out, size_t n_out, const void *in, size_t n_in, const char *name,
                        struct err *err)
{
    if (n_in < sizeof(size_t) || n_in > n_out)
        return err_set(err, ERR_USAGE, "%s: struct_bytes is %zu; begin with its _init function",
                       name, n_in);
    memcpy(out, in, n_in);
    return true;
}

void cria_engine_options_init(struct cria_engine_options *opt)
{
    *opt = (struct cria_engine_options){.struct_bytes = sizeof *opt};
}

static bool inner_options(const struct cria_engine_options *opt, struct engine_options *out,
                          struct err *err)
{
    struct cria_engine_options o;
    cria_engine_options_init(&o);
    if (opt && !take_struct(&o, sizeof o, opt, opt->struct_bytes, "options", err)) return false;
    *out = (struct engine_options){
        .n_threads = o.n_threads,
        .isa = o.isa,
        .n_ctx = o.n_ctx,
        .n_seqs = o.n_seqs,
        .max_batch_tok = o.max_batch_tok,
        .kv_dtype = DT_COUNT,
        .max_logit_rows = 64, /* what scoring hands over at once */
    };
    return true;
}

struct cria_engine *cria_engine_new(const struct cria_model *m,
                                    const struct cria_engine_options *opt, struct cria_error *err)
{
    struct err why = {0};
    struct engine_options inner;
    *err = (struct cria_error){.code = CRIA_OK};
    struct cria_engine *e = NULL;
    if (inner_options(opt, &inner, &why)) {
        e = calloc(1, sizeof *e);
        if (e)
            e->e = engine_new(m->m, &inner, &why);
        else
            err_set(&why, ERR_MEMORY, "no memory for an engine");
    }
    if (e && e->e) return e;
    free(e);
    api_fail(err, &why);
    return NULL;
}

/* ---- requests ---- */

/* From an inner request to the caller's listener. */
struct link {
    struct link *next; /* of the engine's links, so that cria_engine_free() ends them */
    struct link **prev;
    cria_listener *listener;
    void *user;
    int32_t n_left; /* answers that have not ended */
};

static void unlink_it(struct link *l)
{
    *l->prev = l->next;
    if (l->next) l->next->prev = l->prev;
    free(l);
}

void cria_request_init(struct cria_request *r)
{
    const struct sampler_params d = sampler_defaults();
    *r = (struct cria_request){
        .struct_bytes = sizeof *r,
        .n_predict = -1,
        .n_answers = 1,
        .temperature = d.temperature,
        .top_k = d.top_k,
        .top_p = d.top_p,
        .min_p = d.min_p,
        .repeat_penalty = d.repeat_penalty,
        .presence_penalty = d.presence_penalty,
        .frequency_penalty = d.frequency_penalty,
    };
}

static bool inner_request(const struct cria_request *r, struct request_params *out, struct err *err)
{
    *out = request_defaults();
    if (r->n_stop < 0 || r->n_stop > ENGINE_MAX_STOPS || (r->n_stop > 0 && !r->stop))
        return err_set(err, ERR_USAGE, "stop: %d strings; give at most %d", (int)r->n_stop,
                       ENGINE_MAX_STOPS);
    out->prompt = r->prompt;
    out->n_prompt = r->n_prompt;
    out->n_predict = r->n_predict;
    out->n_answers = r->n_answers;
    out->sampling.seed = r->seed;
    out->sampling.temperature = r->temperature;
    out->sampling.top_k = r->top_k;
    out->sampling.top_p = r->top_p;
    out->sampling.min_p = r->min_p;
    out->sampling.repeat_penalty = r->repeat_penalty;
    out->sampling.presence_penalty = r->presence_penalty;
    out->sampling.frequency_penalty = r->frequency_penalty;
    out->sampling.n_logprobs = r->wants_logprobs ? 1 : 0;
    for (int32_t i = 0; i < r->n_stop; i++) out->stop[i] = r->stop[i];
    out->n_stop = r->n_stop;
    out->ignores_eos = r->ignores_eos;
    return true;
}

static bool on_event(void *user, const struct engine_event *ev)
{
    struct link *l = user;
    const struct cria_event out = {
        .i_answer = ev->i_answer,
        .token = ev->token,
        .logprob = ev->sampled ? ev->sampled->logprob : NAN,
        .text = ev->text,
        .n_text = ev->n_text,
        .finish = (enum cria_finish)ev->finish,
        .message = ev->err ? ev->err->text : NULL,
        .n_prompt = ev->n_prompt,
        .n_prompt_done = ev->n_prompt_done,
        .n_cached = ev->n_cached,
        .n_generated = ev->n_generated,
    };
    static_assert((int)CRIA_FINISH_ERROR == (int)FINISH_ERROR, "cria_finish follows finish");
    const bool goes_on = !l->listener || l->listener(l->user, &out);
    if (ev->finish && --l->n_left == 0) unlink_it(l);
    return goes_on;
}

int64_t cria_submit(struct cria_engine *e, const struct cria_request *r, struct cria_error *err)
{
    struct err why = {0};
    struct cria_request full;
    struct request_params p;
    int64_t handle = 0;
    *err = (struct cria_error){.code = CRIA_OK};
    cria_request_init(&full);
    struct link *l = calloc(1, sizeof *l);
    if (!l) err_set(&why, ERR_MEMORY, "no memory for the request");
    if (l && take_struct(&full, sizeof full, r, r->struct_bytes, "request", &why) &&
        inner_request(&full, &p, &why)) {
        *l = (struct link){.listener = full.listener, .user = full.user, .n_left = p.n_answers};
        p.listener = on_event;
        p.user = l;
        handle = engine_submit(e->e, &p, &why);
    }
    if (!handle) {
        free(l);
        api_fail(err, &why);
        return 0;
    }
    l->next = e->links;
    l->prev = &e->links;
    if (l->next) l->next->prev = &l->next;
    e->links = l;
    e->last_link = l;
    return handle;
}

bool cria_step(struct cria_engine *e, bool *has_work, struct cria_error *err)
{
    struct err why = {0};
    *err = (struct cria_error){.code = CRIA_OK};
    return engine_step(e->e, has_work, &why) || api_fail(err, &why);
}

/* True while the request of that link lives. */
static bool is_linked(const struct cria_engine *e, const struct link *l)
{
    for (const struct link *at = e->links; at; at = at->next)
        if (at == l) return true;
    return false;
}

bool cria_generate(struct cria_engine *e, const struct cria_request *r, struct cria_error *err)
{
    if (!cria_submit(e, r, err)) return false;
    const struct link *l = e->last_link;
    while (is_linked(e, l)) {
        bool has_work = false;
        if (!cria_step(e, &has_work, err)) return false;
    }
    return true;
}

void cria_cancel(struct cria_engine *e, int64_t request) { engine_cancel(e->e, request); }

void cria_engine_free(struct cria_engine *e)
{
    if (!e) return;
    engine_free(e->e);
    while (e->links) unlink_it(e->links);
    free(e);
}

/* ---- scoring ---- */

bool cria_logits(struct cria_engine *e, const int32_t *ids, int32_t n, int32_t first,
                 cria_logits_fn *fn, void *user, struct cria_error *err)
{
    struct err why = {0};
    *err = (struct cria_error){.code = CRIA_OK};
    return engine_score(e->e, ids, n, first, fn, user, &why) || api_fail(err, &why);
}

struct score {
    const int32_t *ids;
    int32_t n, n_vocab;
    float *logprob;
};

static bool score_one(void *user, int32_t pos, const float *logits)
{
    const struct score *s = user;
    if (pos + 1 >= s->n) return true;
    float max = logits[0];
    double sum = 0;
    for (int32_t i = 1; i < s->n_vocab; i++) max = fmaxf(max, logits[i]);
    for (int32_t i = 0; i < s->n_vocab; i++) sum += (double)expf(logits[i] - max);
    /* the greatest gives 1 to the sum */
    s->logprob[pos] = (float)((double)(logits[s->ids[pos + 1]] - max) - log(fmax(sum, 1)));
    return true;
}

bool cria_logprobs(struct cria_engine *e, const int32_t *ids, int32_t n, float *logprob,
                   struct cria_error *err)
{
    struct score s = {.ids = ids,
                      .n = n,
                      .n_vocab = model_config(engine_model(e->e))->n_vocab,
                      .logprob = logprob};
    return cria_logits(e, ids, n, 0, score_one, &s, err);
}
