/* SPDX-License-Identifier: Apache-2.0
 *
 * repack.c - the weights of an open model in the order in which single tokens read them fastest.
 *
 * A copy, since a mapped file is not ours to change, but no second one: the file's bytes are taken
 * into memory at the addresses they have (base/file_huge.c), then the rows of each matrix change
 * places where they lie. What says which model this is must be known before (model_fingerprint()).
 * Begin reading at model_repack().
 */
#include <stdlib.h>

#include "base/hash.h"
#include "base/os.h"
#include "model/load.h"
#include "tensor/ops.h"

/* ---- which model ---- */

static uint64_t hash_tensor(uint64_t h, const struct tensor *t)
{
    enum { SAMPLE_BYTES = 256 };
    const size_t n = tensor_bytes(t);
    const size_t n_sample = n < SAMPLE_BYTES ? n : SAMPLE_BYTES;
    h = hash_bytes(h, &n, sizeof n);
    h = hash_bytes(h, t->data, n_sample);
    return hash_bytes(h, (const uint8_t *)t->data + (n - n_sample), n_sample);
}

uint64_t model_fingerprint(const struct model *m)
{
    if (m->fingerprint) return m->fingerprint; /* of the order in the file */
    const struct model_config *c = &m->config;
    const int32_t numbers[] = {c->n_layers,
                               c->d_model,
                               c->n_heads,
                               c->n_kv_heads,
                               c->d_head,
                               c->n_vocab,
                               (int32_t)c->rope_scaling,
                               (int32_t)c->rope_pairs,
                               c->d_ff,
                               c->rope_orig_ctx};
    const double more[] = {c->rope_theta, c->rope_factor, c->rope_low_freq_factor,
                           c->rope_high_freq_factor, (double)c->norm_eps};
    uint64_t h = hash_bytes(hash_bytes(0, numbers, sizeof numbers), more, sizeof more);
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const struct tensor_row *r = &tensor_rows_table[i];
        for (int32_t k = 0; r->rows != DIM_NONE && k < tensor_copies(c, r); k++)
            h = hash_tensor(h, weights_matrix(&m->weights, r, k));
    }
    return h;
}

/* ---- the order ---- */

struct work {
    const struct ops *ops;
    const struct tensor *t;
    uint8_t *scratch;
};

static void reorder(const struct member *me, void *arg)
{
    const struct work *w = arg;
    w->ops->interleave(me, w->t, w->scratch);
}

static bool is_repackable(const struct ops *ops, const struct tensor *t)
{
    return ops->interleaves(t->dtype) && t->n_dims == 2 && t->shape[0] % INTERLEAVED_ROWS == 0;
}

/* Calls for each matrix that can be reordered; all of them, or until one call is false. */
static struct tensor *next_matrix(struct model *m, const struct ops *ops, size_t *role,
                                  int32_t *copy)
{
    for (; *role < ROLE_COUNT; ++*role, *copy = 0) {
        const struct tensor_row *r = &tensor_rows_table[*role];
        while (r->rows != DIM_NONE && *copy < tensor_copies(&m->config, r)) {
            struct tensor *t = weights_slot(&m->weights, r, (*copy)++);
            if (is_repackable(ops, t)) return t;
        }
    }
    return NULL;
}

static bool reorder_all(struct model *m, const struct ops *ops, struct err *err)
{
    size_t role = 0, longest = 0;
    int32_t copy = 0;
    for (struct tensor *t; (t = next_matrix(m, ops, &role, &copy));)
        if (t->row_bytes > longest) longest = t->row_bytes;
    struct team *team = team_new(os_cores(), err);
    if (!team) return false;
    struct work w = {.ops = ops};
    w.scratch = malloc((size_t)team_size(team) * INTERLEAVED_ROWS * longest);
    role = 0;
    copy = 0;
    for (struct tensor *t; w.scratch && (t = next_matrix(m, ops, &role, &copy));) {
        w.t = t;
        team_run(team, reorder, &w);
        t->is_interleaved = true;
    }
    team_free(team);
    if (!w.scratch)
        return err_set(err, ERR_MEMORY, "%s: no memory to reorder weights; free memory",
                       m->info.path);
    free(w.scratch);
    if (m->config.is_tied) m->weights.output = m->weights.token_embd;
    return true;
}

bool model_repack(struct model *m, const struct ops *ops, struct err *err)
{
    size_t role = 0;
    int32_t copy = 0;
    if (!ops->interleaves)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: kernel set %s reads no weights faster in another order; leave them as "
                       "they are",
                       m->info.path, ops->name);
    if (!m->gguf || !next_matrix(m, ops, &role, &copy))
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: has no weights that are read faster in another order; leave them as "
                       "they are",
                       m->info.path);
    m->fingerprint = model_fingerprint(m);
    if (!gguf_make_writable(m->gguf, err)) return false;
    m->info.is_repacked = reorder_all(m, ops, err);
    return m->info.is_repacked;
}
