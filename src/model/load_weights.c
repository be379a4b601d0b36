/* SPDX-License-Identifier: Apache-2.0
 *
 * load_weights.c - every tensor of the table, found in a container, checked and put in its place.
 *
 * Matrices stay where they are (mapped) in the type they have; vectors become float, since they are
 * small and every kernel wants them so. A shape that does not fit the configuration is refused
 * here, so that no operator ever meets one. Norms and biases are looked through for NaN and
 * infinity; matrices are not (that would read the whole file), forward.c notices it by the logits.
 *
 * What a file has and the table does not is named once in the log: converters leave buffers behind.
 * But a bias that the configuration does not announce is an error, since leaving it out would give
 * a model that answers wrongly.
 *
 * Begin reading at weights_load().
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model/load.h"

/* ---- shapes ---- */

static bool check_shape(const struct model *m, const struct tensor_row *r, const char *name,
                        const struct tensor *t, struct err *err)
{
    const int64_t rows = tensor_dim_size(&m->config, r->rows);
    const int64_t cols = tensor_dim_size(&m->config, r->cols);
    const int32_t n_dims = r->rows == DIM_NONE ? 1 : 2;
    if (t->n_dims == n_dims && tensor_cols(t) == cols && tensor_rows(t) == rows) return true;
    return err_set(err, ERR_FORMAT,
                   "%s: %s: %" PRId32 " dimensions, %" PRId64 " rows of %" PRId64
                   ", but the configuration expects %" PRId32 " dimensions, %" PRId64
                   " rows of %" PRId64 "; fetch the model again",
                   m->info.path, name, t->n_dims, tensor_rows(t), tensor_cols(t), n_dims, rows,
                   cols);
}

/* ---- placing ---- */

static const float *vector_of(struct model *m, const char *name, const struct tensor *t,
                              struct err *err)
{
    const int64_t n = tensor_cols(t);
    const float *v = t->data;
    if (t->dtype != DT_F32) {
        float *copy = arena_array(m->arena, (size_t)n, sizeof *copy, err);
        if (!copy) return NULL;
        dtype_info(t->dtype)->decode(copy, t->data, n);
        v = copy;
    }
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(v[i])) continue;
        err_set(err, ERR_FORMAT, "%s: %s: element %" PRId64 " is %g; fetch the model again",
                m->info.path, name, i, (double)v[i]);
        return NULL;
    }
    return v;
}

static bool place(struct model *m, const struct tensor_source *source, const struct tensor_row *r,
                  int32_t i_layer, struct err *err)
{
    char name[TENSOR_NAME_BYTES];
    struct tensor t = {0};
    tensor_name(name, source->pattern(r), i_layer);
    if (!source->find(m, r, name, &t, err) || !check_shape(m, r, name, &t, err)) return false;
    if (r->rows != DIM_NONE) {
        *(struct tensor *)weights_slot(&m->weights, r, i_layer) = t;
        return true;
    }
    const float *v = vector_of(m, name, &t, err);
    if (!v) return false;
    *(const float **)weights_slot(&m->weights, r, i_layer) = v;
    return true;
}

/* ---- names that are not needed ---- */

static const struct tensor_row *row_of(const struct tensor_source *source, const char *name,
                                       int64_t *i_layer)
{
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const struct tensor_row *r = &tensor_rows_table[i];
        const char *pattern = source->pattern(r);
        if (pattern && tensor_name_is(pattern, name, i_layer)) return r;
    }
    return NULL;
}

static bool is_ignored(const struct tensor_source *source, const char *name)
{
    for (const char *const *s = source->ignored; *s; s++)
        if (strstr(name, *s)) return true;
    return false;
}

static bool check_names(const struct model *m, const struct tensor_source *source, struct err *err)
{
    const char *first = NULL;
    size_t n_unknown = 0;
    for (size_t i = 0; i < source->n_names(m); i++) {
        const char *name = source->name(m, i);
        int64_t i_layer = 0;
        const struct tensor_row *r = row_of(source, name, &i_layer);
        const bool is_bias = r && (r->need == NEED_ATTN_BIAS || r->need == NEED_MLP_BIAS);
        if (is_bias && !tensor_is_needed(&m->config, r))
            return err_set(err, ERR_UNSUPPORTED,
                           "%s: %.80s: is a bias that the configuration does not announce; use "
                           "another conversion of the model",
                           m->info.path, name);
        if ((r && i_layer < m->config.n_layers) || is_ignored(source, name)) continue;
        if (n_unknown++ == 0) first = name;
    }
    if (n_unknown)
        log_warn("%s: %zu tensors are not part of a Llama model and are left out, the first is "
                 "%.80s",
                 m->info.path, n_unknown, first);
    return true;
}

bool weights_load(struct model *m, const struct tensor_source *source, struct err *err)
{
    struct weights *w = &m->weights;
    w->layer = arena_array(m->arena, (size_t)m->config.n_layers, sizeof *w->layer, err);
    if (!w->layer || !check_names(m, source, err)) return false;
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const struct tensor_row *r = &tensor_rows_table[i];
        for (int32_t k = 0; k < tensor_copies(&m->config, r); k++)
            if (!place(m, source, r, k, err)) return false;
    }
    if (m->config.is_tied) w->output = w->token_embd;
    return true;
}
