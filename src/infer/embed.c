/* SPDX-License-Identifier: Apache-2.0
 *
 * embed.c - vectors of many texts: requests with pooling, submitted as the queue takes them.
 *
 * A text of a few words alone would leave a batch nearly empty, so they go in together: the
 * scheduler fills each batch with as many as there are sequences.
 */
#include "infer/embed.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_AHEAD = 512 }; /* texts that wait: more than n_seqs, and room in the queue for others */

/* All texts of one call. */
struct embedding {
    int32_t d;
    size_t n_running;
    struct err *err; /* of the first text that failed */
};

struct reading {
    struct embedding *all;
    float *out;
};

int32_t embed_width(const struct engine *e) { return model_config(engine_model(e))->d_model; }

bool embed_tokenize(const struct model *m, const char *text, size_t n_bytes, struct ids *out,
                    struct err *err)
{
    return model_require_tokenizer(m, err) &&
           tokenizer_encode(model_tokenizer(m), text, n_bytes, ENCODE_DEFAULT_BOS, out, err);
}

static bool hear(void *user, const struct engine_event *ev)
{
    const struct reading *r = user;
    if (ev->embedding) memcpy(r->out, ev->embedding, (size_t)r->all->d * sizeof *r->out);
    if (ev->finish == FINISH_NONE) return true;
    r->all->n_running--;
    if (ev->err && r->all->err->code == ERR_OK) *r->all->err = *ev->err;
    return true;
}

static bool submit(struct engine *e, enum pooling how, const struct ids *text, size_t i,
                   struct reading *r, struct err *err)
{
    struct request_params p = request_defaults();
    p.prompt = text->id;
    p.n_prompt = text->n < INT32_MAX ? (int32_t)text->n : INT32_MAX; /* refused by its length */
    p.pooling = how;
    p.listener = hear;
    p.user = r;
    if (!engine_submit(e, &p, err)) return err_wrap(err, "text %zu", i + 1);
    r->all->n_running++;
    return true;
}

bool engine_embed(struct engine *e, enum pooling how, const struct ids *text, size_t n, float *out,
                  struct err *err)
{
    struct err failed = {0}, submitted = {0};
    struct embedding all = {.d = embed_width(e), .err = &failed};
    struct reading *r = calloc(n ? n : 1, sizeof *r);
    if (!r) return err_set(err, ERR_MEMORY, "no memory to embed %zu texts", n);
    bool has_work = true, ok = true;
    for (size_t i = 0; ok && (i < n || all.n_running > 0);) {
        while (i < n && all.n_running < MAX_AHEAD && submitted.code == ERR_OK) {
            r[i] = (struct reading){&all, out + i * (size_t)all.d};
            if (submit(e, how, &text[i], i, &r[i], &submitted)) i++;
        }
        if (submitted.code == ERR_BUSY) submitted = (struct err){0}; /* the queue is full: later */
        /* a text that is refused ends it, once those before it are no longer the engine's */
        if (submitted.code != ERR_OK && all.n_running == 0) break;
        ok = engine_step(e, &has_work, err);
    }
    free(r);
    if (!ok) return false;
    if (submitted.code != ERR_OK) *err = submitted;
    if (failed.code != ERR_OK) *err = failed;
    return submitted.code == ERR_OK && failed.code == ERR_OK;
}
