/* forward_parts.h - what the files of the forward pass share. Private to model/. */
#ifndef CRIA_MODEL_FORWARD_PARTS_H
#define CRIA_MODEL_FORWARD_PARTS_H

#include "model/forward.h"
#include "model/lora_apply.h"

enum forward_buffer {
    BUF_X,       /* [n_tok, d_model] the residual stream */
    BUF_Q,       /* [n_tok, n_heads, d_head] */
    BUF_K,       /* [n_tok, n_kv_heads, d_head] */
    BUF_V,       /* the same */
    BUF_Y,       /* [n_tok, n_heads, d_head] what attention gives */
    BUF_GATE,    /* [n_tok, d_ff]; at the end the states, [n_tok, d_model] */
    BUF_UP,      /* [n_tok, d_ff] */
    BUF_COS_SIN, /* [n_tok, d_head / 2, 2] */
    BUF_LOGITS,  /* [n_logit_rows, n_vocab] */
    BUF_WORK,    /* the operators' own */
    /* What the host writes before a step, and sends in one piece where operators have a memory of
     * their own; tokens, positions and pages are in the batch and the cache else. */
    BUF_INV_FREQ, /* double [d_head / 2] */
    BUF_SPAN,     /* struct span [n_tok] */
    BUF_OLD_LEN,  /* int32 [n_tok]: length of each span's sequence before the step */
    BUF_WANTED,   /* int32 [n_tok] token of each row that is wanted */
    BUF_LOGIT_OF, /* int32 [n_logit_rows] wanted row of each row of logits */
    BUF_DAMAGE,   /* uint32: a result is not finite */
    BUF_TOKEN,    /* int32 [n_tok] */
    BUF_POS,      /* int32 [n_tok] */
    BUF_PAGES,    /* int32: the spans' page lists, one behind the other */
    BUF_COUNT,
    BUF_SENT = BUF_INV_FREQ /* the first of what is sent */
};

struct forward_plan {
    size_t at[BUF_COUNT];
    size_t all_bytes;
};

struct forward {
    const struct model *model;
    const struct model_config *c;
    const struct weights *w;
    const struct ops *ops;
    struct team *team;
    int32_t max_batch_tok, max_logit_rows, max_pos;
    bool is_exact; /* products are in float: attention is, too */
    struct forward_plan plan;
    char *memory;          /* the operators' */
    struct device *device; /* NULL: that is the host's memory (forward_device.c) */

    forward_observer *observer;
    void *observer_user;
    float *seen; /* [max_batch_tok, max(d_model, d_ff)]; NULL while nobody observes */

    /* this step */
    const struct batch *batch;
    struct kv_cache *kv;
    int32_t n_spans, n_rows[N_ROW_SETS];
    int32_t max_n, max_end; /* as in struct attention_args */
    bool has_states;
    struct lora_step lora; /* its memory is kept from step to step */
};

static inline void *forward_buffer(const struct forward *f, enum forward_buffer b)
{
    return f->memory + f->plan.at[b];
}

/* The same, where the host reads and writes it before a step. */
void *forward_host(const struct forward *f, enum forward_buffer b);

/* Where operators have a memory of their own (ops->memory): what the host holds beside it. */
bool device_init(struct forward *f,
                 struct err *err) CRIA_CHECK; /* then device_free() in any case */
void device_free(struct forward *f);
void *device_host(const struct forward *f, enum forward_buffer b);
const float *device_states(const struct forward *f);
/* Sends the step, runs it, and fetches its results. */
bool device_run(struct forward *f, const float **logits, bool *is_damaged,
                struct err *err) CRIA_CHECK;

/* The batch through all layers, by every member of the team (`arg`: the struct forward), once
 * forward_run() has filled `this step`. */
void forward_step(const struct member *me, void *arg);

#endif
