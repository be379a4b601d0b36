/* SPDX-License-Identifier: Apache-2.0
 *
 * forward.c - the forward pass's life: its memory plan, and a batch that is checked, given its
 * pages and run. What the members then do is forward_step.c.
 *
 * Everything a step touches is planned by forward_new(); forward_run() checks the batch against
 * the model and the cache first, so members never fail. Weights from damaged files may hold NaN:
 * logits that are not finite are reported, since a sampler has nothing to choose from.
 *
 * Not here: chunks of long prompts, which sequences run (infer/). Begin reading at forward_run().
 */
#include "model/forward_parts.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/os.h"

#define ALIGN ((size_t)64)
enum { MAX_BATCH_TOK = 1 << 20 };

/* ---- plan ---- */

static bool add_buffer(struct forward_plan *p, enum forward_buffer b, int64_t rows, int64_t cols,
                       size_t elem)
{
    size_t n = 0;
    p->at[b] = p->all_bytes;
    return size_mul((size_t)rows, (size_t)cols, &n) && size_mul(n, elem, &n) &&
           size_add(n, ALIGN - 1, &n) && size_add(p->all_bytes, n & ~(ALIGN - 1), &p->all_bytes);
}

static size_t size_max(size_t a, size_t b) { return a > b ? a : b; }

/* Operators need not want more for more tokens (another path may take over), so every count is
 * asked for. */
static size_t work_bytes(const struct model_config *c, const struct ops *ops, int n_threads,
                         int32_t max_tok, int32_t max_pos)
{
    const int64_t n_q = (int64_t)c->n_heads * c->d_head;
    size_t n = 0;
    for (int32_t t = 1; t <= max_tok; t++) {
        n = size_max(n, ops->work_bytes(t, c->d_model, n_threads));
        n = size_max(n, ops->work_bytes(t, n_q, n_threads));
        n = size_max(n, ops->work_bytes(t, c->d_ff, n_threads));
        n = size_max(n, ops->work_bytes(t, LORA_MAX_RANK, n_threads));
        n = size_max(n, ops->attention_work_bytes(t, c->n_heads, c->d_head, max_pos, n_threads));
    }
    return n;
}

/* Page lists of all sequences that a batch may have, where they are sent along. */
static int64_t max_pages(int32_t max_tok, int32_t max_pos)
{
    return (int64_t)max_tok * (max_pos / KV_PAGE_TOK + 1);
}

static bool make_plan(struct forward_plan *p, const struct model_config *c, const struct ops *ops,
                      int n_threads, int32_t max_tok, int32_t max_rows, int32_t max_pos)
{
    const int64_t n_q = (int64_t)c->n_heads * c->d_head;
    const int64_t n_kv = (int64_t)c->n_kv_heads * c->d_head;
    const int32_t n_sent = ops->memory ? max_tok : 0;
    const size_t f = sizeof(float), work = work_bytes(c, ops, n_threads, max_tok, max_pos);
    *p = (struct forward_plan){0};
    return add_buffer(p, BUF_X, max_tok, c->d_model, f) && add_buffer(p, BUF_Q, max_tok, n_q, f) &&
           add_buffer(p, BUF_K, max_tok, n_kv, f) && add_buffer(p, BUF_V, max_tok, n_kv, f) &&
           add_buffer(p, BUF_Y, max_tok, n_q, f) &&
           add_buffer(p, BUF_GATE, max_tok, c->d_ff > c->d_model ? c->d_ff : c->d_model, f) &&
           add_buffer(p, BUF_UP, max_tok, c->d_ff, f) &&
           add_buffer(p, BUF_COS_SIN, max_tok, c->d_head, f) &&
           add_buffer(p, BUF_LOGITS, max_rows, c->n_vocab, f) &&
           add_buffer(p, BUF_WORK, 1, (int64_t)work, 1) &&
           add_buffer(p, BUF_INV_FREQ, 1, c->d_head / 2, sizeof(double)) &&
           add_buffer(p, BUF_SPAN, max_tok, 1, sizeof(struct span)) &&
           add_buffer(p, BUF_OLD_LEN, max_tok, 1, sizeof(int32_t)) &&
           add_buffer(p, BUF_WANTED, max_tok, 1, sizeof(int32_t)) &&
           add_buffer(p, BUF_LOGIT_OF, max_rows, 1, sizeof(int32_t)) &&
           add_buffer(p, BUF_DAMAGE, 1, 1, sizeof(uint32_t)) &&
           add_buffer(p, BUF_TOKEN, n_sent, 1, sizeof(int32_t)) &&
           add_buffer(p, BUF_POS, n_sent, 1, sizeof(int32_t)) &&
           add_buffer(p, BUF_PAGES, max_pages(n_sent, max_pos), 1, sizeof(int32_t));
}

/* ---- the batch ---- */

static bool check_tokens(const struct forward *f, const struct batch *b, struct err *err)
{
    if (b->n_tok < 1 || b->n_tok > f->max_batch_tok)
        return err_set(err, ERR_LIMIT, "a batch of %" PRId32 " tokens is not within 1..%" PRId32,
                       b->n_tok, f->max_batch_tok);
    for (int32_t i = 0; i < b->n_tok; i++)
        if (b->token[i] < 0 || b->token[i] >= f->c->n_vocab)
            return err_set(err, ERR_LIMIT,
                           "token %" PRId32 " of the batch: id %" PRId32
                           " is not within 0..%" PRId32 "; use this model's own tokenizer",
                           i, b->token[i], f->c->n_vocab - 1);
    return true;
}

static bool is_run_end(const struct batch *b, int32_t i)
{
    return i + 1 == b->n_tok || b->seq[i + 1] != b->seq[i];
}

static unsigned wants(const struct batch *b, int32_t i)
{
    if (b->wants) return b->wants[i];
    return is_run_end(b, i) ? WANT_LOGITS : WANT_NOTHING;
}

static bool list_wanted(struct forward *f, const struct batch *b, struct err *err)
{
    int32_t *wanted = forward_host(f, BUF_WANTED), *logit_of = forward_host(f, BUF_LOGIT_OF);
    f->n_rows[ROWS_ALL] = b->n_tok;
    f->n_rows[ROWS_WANTED] = f->n_rows[ROWS_LOGITS] = 0;
    f->has_states = false;
    for (int32_t i = 0; i < b->n_tok; i++) {
        const unsigned want = wants(b, i);
        if (want == WANT_NOTHING) continue;
        if (want & WANT_STATE) f->has_states = true;
        if (want & WANT_LOGITS) {
            if (f->n_rows[ROWS_LOGITS] == f->max_logit_rows)
                return err_set(err, ERR_LIMIT, "logits of more than %" PRId32 " tokens are wanted",
                               f->max_logit_rows);
            logit_of[f->n_rows[ROWS_LOGITS]++] = f->n_rows[ROWS_WANTED];
        }
        wanted[f->n_rows[ROWS_WANTED]++] = i;
    }
    return true;
}

/* Neighbours with the same adapter, in all three sets of rows. */
static bool list_lora(struct forward *f, const struct batch *b, struct err *err)
{
    struct lora_step *s = &f->lora;
    struct lora_run *run = NULL;
    int32_t row[N_ROW_SETS] = {0};
    s->n_runs = 0;
    for (int32_t i = 0; b->lora && i < b->n_tok; i++) {
        const struct lora *l = b->lora[i];
        const unsigned want = wants(b, i);
        const bool is_in[] = {true, want != WANT_NOTHING, (want & WANT_LOGITS) != 0};
        if (l && !s->in)
            return err_set(err, ERR_USAGE, "an adapter in a batch of an engine that takes none");
        if (l && (!run || run->lora != l || run->begin[0] + run->n[0] != i)) {
            run = &s->run[s->n_runs++];
            *run = (struct lora_run){.lora = l};
            memcpy(run->begin, row, sizeof row);
        }
        for (int k = 0; k < N_ROW_SETS; k++) {
            row[k] += is_in[k];
            if (l) run->n[k] += is_in[k];
        }
    }
    return true;
}

/* Cuts the batch into spans. Positions must continue: each is the one before plus 1, the first of
 * a run is its sequence's length (its earlier runs in this batch counted: see reserve_spans). */
static bool list_spans(struct forward *f, const struct kv_cache *kv, const struct batch *b,
                       struct err *err)
{
    struct span *span = forward_host(f, BUF_SPAN);
    int32_t n = 0, begin = 0;
    f->max_n = f->max_end = 0;
    for (int32_t i = 0; i < b->n_tok; i++) {
        if (!kv_cache_has_seq(kv, b->seq[i]))
            return err_set(err, ERR_LIMIT,
                           "token %" PRId32 " of the batch: sequence %" PRId32 " is not open", i,
                           b->seq[i]);
        if (b->pos[i] < 0 || b->pos[i] >= f->max_pos)
            return err_set(err, ERR_LIMIT,
                           "token %" PRId32 " of the batch: position %" PRId32
                           " is not within 0..%" PRId32 "; use a larger context",
                           i, b->pos[i], f->max_pos - 1);
        if (b->pos[i] != b->pos[begin] + (i - begin))
            return err_set(err, ERR_LIMIT,
                           "token %" PRId32 " of the batch: position %" PRId32
                           " does not follow %" PRId32,
                           i, b->pos[i], b->pos[i - 1]);
        if (!is_run_end(b, i)) continue;
        span[n] = (struct span){.begin = begin, .n = i + 1 - begin, .pos = b->pos[begin]};
        if (span[n].n > f->max_n) f->max_n = span[n].n;
        if (b->pos[i] >= f->max_end) f->max_end = b->pos[i] + 1;
        n++;
        begin = i + 1;
    }
    f->n_spans = n;
    return true;
}

static void unreserve_spans(struct forward *f, struct kv_cache *kv, const struct batch *b,
                            int32_t n)
{
    const struct span *span = forward_host(f, BUF_SPAN);
    const int32_t *old = forward_host(f, BUF_OLD_LEN);
    while (n-- > 0) kv_cache_trim(kv, b->seq[span[n].begin], old[n]);
}

/* All sequences get their pages, or each is as long as before. */
static bool reserve_spans(struct forward *f, struct kv_cache *kv, const struct batch *b,
                          struct err *err)
{
    struct span *span = forward_host(f, BUF_SPAN);
    int32_t *old = forward_host(f, BUF_OLD_LEN);
    for (int32_t i = 0; i < f->n_spans; i++) {
        const int32_t seq = b->seq[span[i].begin];
        bool ok = true;
        old[i] = kv_cache_length(kv, seq);
        if (span[i].pos != old[i])
            ok = err_set(err, ERR_LIMIT,
                         "sequence %" PRId32 " has %" PRId32
                         " positions in the cache, the batch goes on at %" PRId32,
                         seq, old[i], span[i].pos);
        ok = ok && kv_cache_reserve(kv, seq, span[i].pos, span[i].n, err);
        if (!ok) {
            unreserve_spans(f, kv, b, i);
            return false;
        }
    }
    for (int32_t i = 0; i < f->n_spans; i++)
        span[i].pages = kv_cache_pages(kv, b->seq[span[i].begin]);
    return true;
}

static bool check_observer(const struct forward *f, struct err *err)
{
    if (!f->observer) return true;
    if (f->device)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: inputs of products cannot be observed there; leave out --device",
                       f->ops->name);
    if (f->seen) return true;
    return err_set(err, ERR_MEMORY,
                   "no memory to observe a batch of %" PRId32 " tokens; use a smaller batch",
                   f->max_batch_tok);
}

void *forward_host(const struct forward *f, enum forward_buffer b)
{
    return f->device ? device_host(f, b) : forward_buffer(f, b);
}

static bool run_step(struct forward *f, const float **logits, bool *is_damaged, struct err *err)
{
    uint32_t *damage = forward_host(f, BUF_DAMAGE);
    *damage = 0;
    if (f->device) return device_run(f, logits, is_damaged, err);
    team_run(f->team, forward_step, f);
    *logits = forward_buffer(f, BUF_LOGITS);
    *is_damaged = *damage != 0;
    return true;
}

bool forward_run(struct forward *f, struct kv_cache *kv, const struct batch *b,
                 const float **logits, int32_t *n_rows, struct err *err)
{
    const struct kv_layer *l = kv_cache_layer(kv, 0);
    assert(l->d_head == f->c->d_head && l->n_kv_heads == f->c->n_kv_heads);
    (void)l;
    if (!check_tokens(f, b, err) || !check_observer(f, err) || !list_spans(f, kv, b, err) ||
        !list_wanted(f, b, err) || !list_lora(f, b, err) || !reserve_spans(f, kv, b, err))
        return false;
    f->batch = b;
    f->kv = kv;
    bool is_damaged = false;
    const bool ok = run_step(f, logits, &is_damaged, err);
    f->batch = NULL;
    if (!ok || is_damaged) {
        unreserve_spans(f, kv, b, f->n_spans);
        if (!ok) return false;
        return err_set(err, ERR_FORMAT,
                       "%s: the weights give numbers that are not finite; fetch the file again",
                       model_info(f->model)->path);
    }
    *n_rows = f->n_rows[ROWS_LOGITS];
    return true;
}

const float *forward_states(const struct forward *f)
{
    return f->device ? device_states(f) : forward_buffer(f, BUF_GATE);
}

/* ---- life ---- */

/* Weights of more bits than bfloat16 has. */
static bool has_exact_weights(const struct weights *w)
{
    const enum dtype t = w->layer[0].wq.dtype;
    return t == DT_F32 || t == DT_F16;
}

size_t forward_plan_bytes(const struct model_config *c, const struct ops *ops, int n_threads,
                          int32_t max_batch_tok, int32_t max_logit_rows, int32_t max_pos)
{
    struct forward_plan p;
    if (!make_plan(&p, c, ops, n_threads, max_batch_tok, max_logit_rows, max_pos)) return SIZE_MAX;
    return p.all_bytes;
}

static bool make_memory(struct forward *f, struct err *err)
{
    const size_t n = f->plan.all_bytes;
    if (f->ops->memory) {
        f->memory = f->ops->memory->alloc(n, err);
        return f->memory && device_init(f, err);
    }
    const uint64_t available = os_memory_available();
    if (n <= available) f->memory = os_big_alloc(n);
    if (f->memory) return true;
    return err_set(err, ERR_MEMORY,
                   "a step of %" PRId32 " tokens with %" PRId32
                   " rows of logits wants %zu MiB, %" PRIu64
                   " MiB are available; use a smaller batch or context",
                   f->max_batch_tok, f->max_logit_rows, n >> 20, available >> 20);
}

struct forward *forward_new(const struct model *m, const struct ops *ops, struct team *team,
                            int32_t max_batch_tok, int32_t max_logit_rows, int32_t max_pos,
                            struct err *err)
{
    const struct model_config *c = model_config(m);
    if (max_batch_tok < 1 || max_batch_tok > MAX_BATCH_TOK || max_logit_rows < 1 ||
        max_logit_rows > MAX_BATCH_TOK || max_pos < 1) {
        err_set(err, ERR_LIMIT,
                "a batch of %" PRId32 " tokens with %" PRId32 " rows of logits and %" PRId32
                " positions is not within 1..%d, 1..%d and 1..2^31",
                max_batch_tok, max_logit_rows, max_pos, MAX_BATCH_TOK, MAX_BATCH_TOK);
        return NULL;
    }
    struct forward *f = calloc(1, sizeof *f);
    if (!f) {
        err_set(err, ERR_MEMORY, "no memory for a forward pass; free memory");
        return NULL;
    }
    *f = (struct forward){.model = m,
                          .c = c,
                          .w = model_weights(m),
                          .ops = ops,
                          .team = team,
                          .max_batch_tok = max_batch_tok,
                          .max_logit_rows = max_logit_rows,
                          .max_pos = max_pos,
                          .is_exact = has_exact_weights(model_weights(m))};
    if (!make_plan(&f->plan, c, ops, team_size(team), max_batch_tok, max_logit_rows, max_pos))
        f->plan.all_bytes = SIZE_MAX; /* wider than any memory: refused as such */
    if (!make_memory(f, err)) {
        forward_free(f);
        return NULL;
    }
    config_inv_freq(c, max_pos, forward_host(f, BUF_INV_FREQ));
    return f;
}

static size_t seen_bytes(const struct forward *f)
{
    const int32_t d = f->c->d_ff > f->c->d_model ? f->c->d_ff : f->c->d_model;
    return (size_t)f->max_batch_tok * (size_t)d *
           sizeof(float); /* less than the plan, which fits */
}

size_t forward_lora_bytes(const struct model_config *c, int32_t max_batch_tok)
{
    return lora_step_bytes(c, max_batch_tok);
}

bool forward_take_lora(struct forward *f, struct err *err)
{
    if (f->device)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: adapters are not computed there; leave out --device, or merge the "
                       "adapter with `cria convert`",
                       f->ops->name);
    return lora_step_init(&f->lora, f->c, f->max_batch_tok, err);
}

void forward_free(struct forward *f)
{
    if (!f) return;
    lora_step_release(&f->lora);
    forward_observe(f, NULL, NULL);
    if (f->ops->memory) {
        device_free(f);
        f->ops->memory->free(f->memory);
    } else if (f->memory) {
        os_big_free(f->memory, f->plan.all_bytes);
    }
    free(f);
}

size_t forward_bytes(const struct forward *f) { return f->plan.all_bytes; }

void forward_observe(struct forward *f, forward_observer *fn, void *user)
{
    f->observer = fn;
    f->observer_user = user;
    if (fn && !f->seen) f->seen = os_big_alloc(seen_bytes(f)); /* NULL: forward_run() says so */
    if (!fn && f->seen) {
        os_big_free(f->seen, seen_bytes(f));
        f->seen = NULL;
    }
}
