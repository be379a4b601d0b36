/* SPDX-License-Identifier: Apache-2.0
 *
 * forward_device.c - a step where operators have a memory of their own (ops->memory).
 *
 * The host keeps its copy of what it writes before a step (BUF_SENT on) and sends it in one piece,
 * page lists behind the rest; it fetches logits, and states where they are wanted. The steps that
 * generate are all alike but for what was sent: so each shape of them is recorded once, and then
 * replayed by one call where hundreds were. Attention is recorded for the context rounded up.
 *
 * Begin reading at device_run().
 */
#include <stdlib.h>
#include <string.h>

#include "model/forward_parts.h"

enum { MAX_RECORDINGS = 32, MAX_RECORDED_TOK = 64, MIN_END = 256 };

/* Steps with the same of these ask for the same work. */
struct shape {
    const struct kv_cache *kv;
    int32_t n_tok, n_wanted, n_logits, max_end;
};

struct device {
    char *sent;    /* the host's copy of the buffers from BUF_SENT on */
    float *logits; /* [max_logit_rows, n_vocab] */
    float *states; /* [max_batch_tok, d_model] */
    int32_t n_recordings;
    struct {
        struct shape shape;
        void *recording;
    } kept[MAX_RECORDINGS];
};

static size_t sent_bytes(const struct forward *f)
{
    return f->plan.all_bytes - f->plan.at[BUF_SENT];
}

bool device_init(struct forward *f, struct err *err)
{
    const struct device_memory *m = f->ops->memory;
    struct device *d = calloc(1, sizeof *d);
    if (!d) return err_set(err, ERR_MEMORY, "no memory for a step; free memory");
    f->device = d;
    d->sent = m->alloc_host(sent_bytes(f), err);
    if (d->sent)
        d->logits = m->alloc_host((size_t)f->max_logit_rows * (size_t)f->c->n_vocab * 4, err);
    if (d->logits)
        d->states = m->alloc_host((size_t)f->max_batch_tok * (size_t)f->c->d_model * 4, err);
    if (!d->states) return false;
    memset(d->sent, 0, sent_bytes(f));
    return true;
}

void device_free(struct forward *f)
{
    struct device *d = f->device;
    const struct device_memory *m = f->ops->memory;
    if (!d) return;
    for (int32_t i = 0; i < d->n_recordings; i++) m->free_recording(d->kept[i].recording);
    m->free_host(d->sent);
    m->free_host(d->logits);
    m->free_host(d->states);
    free(d);
}

void *device_host(const struct forward *f, enum forward_buffer b)
{
    return f->device->sent + (f->plan.at[b] - f->plan.at[BUF_SENT]);
}

const float *device_states(const struct forward *f) { return f->device->states; }

/* Tokens, positions, and the page list of each span, at their places in the device's memory. */
static void send(struct forward *f)
{
    const struct batch *b = f->batch;
    struct span *span = device_host(f, BUF_SPAN);
    int32_t *pages = device_host(f, BUF_PAGES), *at = forward_buffer(f, BUF_PAGES);
    size_t n = 0;
    memcpy(device_host(f, BUF_TOKEN), b->token, (size_t)b->n_tok * sizeof *b->token);
    memcpy(device_host(f, BUF_POS), b->pos, (size_t)b->n_tok * sizeof *b->pos);
    for (int32_t i = 0; i < f->n_spans; i++) {
        const size_t n_here = (size_t)((span[i].pos + span[i].n - 1) / KV_PAGE_TOK + 1);
        memcpy(pages + n, span[i].pages, n_here * sizeof *pages);
        span[i].pages = at + n;
        n += n_here;
    }
    f->ops->memory->put(f->memory + f->plan.at[BUF_SENT], f->device->sent,
                        f->plan.at[BUF_PAGES] - f->plan.at[BUF_SENT] + n * sizeof *pages);
}

static void forget_oldest(struct forward *f)
{
    struct device *d = f->device;
    f->ops->memory->free_recording(d->kept[0].recording);
    d->n_recordings--;
    memmove(d->kept, d->kept + 1, (size_t)d->n_recordings * sizeof *d->kept);
}

/* The recording of this step, made if need be; NULL: it cannot be recorded. */
static void *recording_of(struct forward *f)
{
    struct device *d = f->device;
    const struct shape s = {.kv = f->kv,
                            .n_tok = f->batch->n_tok,
                            .n_wanted = f->n_rows[ROWS_WANTED],
                            .n_logits = f->n_rows[ROWS_LOGITS],
                            .max_end = f->max_end};
    for (int32_t i = 0; i < d->n_recordings; i++) {
        const struct shape *k = &d->kept[i].shape;
        if (k->kv == s.kv && k->n_tok == s.n_tok && k->n_wanted == s.n_wanted &&
            k->n_logits == s.n_logits && k->max_end == s.max_end)
            return d->kept[i].recording;
    }
    f->ops->memory->begin_recording();
    team_run(f->team, forward_step, f);
    void *recording = f->ops->memory->end_recording();
    if (!recording) return NULL;
    if (d->n_recordings == MAX_RECORDINGS) forget_oldest(f);
    d->kept[d->n_recordings].shape = s;
    d->kept[d->n_recordings++].recording = recording;
    return recording;
}

/* A step of single tokens, one a sequence. */
static bool is_recordable(const struct forward *f)
{
    return f->max_n == 1 && f->batch->n_tok <= MAX_RECORDED_TOK && !f->has_states;
}

static void run(struct forward *f)
{
    void *recording = NULL;
    if (is_recordable(f)) {
        int32_t end = MIN_END;
        while (end < f->max_end) end *= 2;
        f->max_end = end < f->max_pos ? end : f->max_pos;
        recording = recording_of(f);
    }
    if (recording)
        f->ops->memory->replay(recording);
    else
        team_run(f->team, forward_step, f);
}

bool device_run(struct forward *f, const float **logits, bool *is_damaged, struct err *err)
{
    const struct device_memory *m = f->ops->memory;
    struct device *d = f->device;
    uint32_t *damage = device_host(f, BUF_DAMAGE);
    const int32_t n_logits = f->n_rows[ROWS_LOGITS];
    send(f);
    run(f);
    m->get(damage, forward_buffer(f, BUF_DAMAGE), sizeof *damage);
    if (n_logits > 0)
        m->get(d->logits, forward_buffer(f, BUF_LOGITS),
               (size_t)n_logits * (size_t)f->c->n_vocab * sizeof(float));
    if (f->has_states)
        m->get(d->states, forward_buffer(f, BUF_GATE),
               (size_t)f->n_rows[ROWS_WANTED] * (size_t)f->c->d_model * sizeof(float));
    *logits = d->logits;
    if (!m->finish(err)) return false;
    *is_damaged = *damage != 0;
    return true;
}
