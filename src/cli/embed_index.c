/* SPDX-License-Identifier: Apache-2.0
 *
 * embed_index.c - passages through the model, a batch a transaction.
 *
 * The mean of a text's last states is its vector, as cria embed makes it. Passages are cut at
 * MAX_TOK tokens, some twice their usual length, so that one without line breaks costs no more than
 * others. The label names the model by its fingerprint: a moved file is the same, another
 * quantization another.
 */
#include "cli/embed_index.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "infer/embed.h"
#include "retrieve/vectors.h"

enum { BATCH = 64, N_SEQS = 16, CACHE_TOK = 8192, MAX_TOK = 512 };

struct label {
    char text[80];
};

static struct label label_of(const struct engine *e)
{
    struct label l;
    snprintf(l.text, sizeof l.text, "%016" PRIx64 " mean %d", model_fingerprint(engine_model(e)),
             (int)embed_width(e));
    return l;
}

bool embed_session_open(const struct args *a, struct session *out, struct err *err)
{
    struct engine_options opt = options_engine(a);
    opt.n_seqs = N_SEQS;
    opt.cache_tok = opt.n_ctx > CACHE_TOK ? opt.n_ctx : CACHE_TOK;
    return session_open(a, &opt, out, err);
}

static bool tokenize(const struct engine *e, const char *text, size_t n, struct ids *out,
                     struct err *err)
{
    const size_t n_ctx = (size_t)engine_plan(e)->n_ctx, most = n_ctx < MAX_TOK ? n_ctx : MAX_TOK;
    if (!embed_tokenize(engine_model(e), text, n, out, err)) return false;
    if (out->n > most) out->n = most;
    return out->n > 0 || err_set(err, ERR_USAGE, "a text without tokens has no vector");
}

/* Passages that are embedded together. */
struct some {
    struct ids ids[BATCH];
    int64_t id[BATCH];
    size_t n;
    float *vector; /* [BATCH, width] */
};

static bool fill(struct store *s, const struct engine *e, int64_t *after, struct some *b,
                 struct err *err)
{
    struct buf text;
    int found = 1;
    bool ok = true;
    buf_init(&text, (size_t)16 << 20);
    for (b->n = 0; ok && b->n < BATCH; b->n++) {
        buf_clear(&text);
        found = vectors_next(s, *after, &b->id[b->n], &text, err);
        if (found != 1) break;
        *after = b->id[b->n];
        b->ids[b->n].n = 0;
        ok = tokenize(e, text.data, text.n_bytes, &b->ids[b->n], err);
    }
    buf_release(&text);
    return ok && found >= 0;
}

static bool flush(struct store *s, struct engine *e, struct some *b, struct err *err)
{
    const int32_t d = embed_width(e);
    bool ok = engine_embed(e, POOL_MEAN, b->ids, b->n, b->vector, err) && store_begin(s, err);
    for (size_t i = 0; ok && i < b->n; i++)
        ok = vectors_put(s, b->id[i], b->vector + i * (size_t)d, d, err);
    return ok && store_commit(s, err);
}

bool embed_index(struct store *s, struct engine *e, const struct progress *p, struct err *err)
{
    int64_t n_missing = 0, after = 0;
    uint64_t n_done = 0;
    struct some *b = calloc(1, sizeof *b);
    if (b) b->vector = calloc(BATCH * (size_t)embed_width(e), sizeof *b->vector);
    bool ok = (b && b->vector) || err_set(err, ERR_MEMORY, "no memory for %d vectors", BATCH);
    ok = ok && vectors_begin(s, label_of(e).text, &n_missing, err);
    while (ok) {
        if (!progress_tick(p, "vectors", n_done, (uint64_t)n_missing))
            ok = err_set(err, ERR_CANCELLED, "interrupted; run it again to go on");
        ok = ok && fill(s, e, &after, b, err);
        if (!ok || b->n == 0) break;
        ok = flush(s, e, b, err);
        n_done += b->n;
    }
    for (size_t i = 0; b && i < BATCH; i++) ids_release(&b->ids[i]);
    if (b) free(b->vector);
    free(b);
    return ok;
}

float *embed_question(struct store *s, struct engine *e, const char *question, struct err *err)
{
    struct ids ids = {0};
    if (!vectors_check(s, label_of(e).text, err)) return NULL;
    float *v = calloc((size_t)embed_width(e), sizeof *v);
    bool ok = v || err_set(err, ERR_MEMORY, "no memory for a vector");
    ok = ok && tokenize(e, question, strlen(question), &ids, err) &&
         engine_embed(e, POOL_MEAN, &ids, 1, v, err);
    ids_release(&ids);
    if (ok) return v;
    free(v);
    return NULL;
}
