/* SPDX-License-Identifier: Apache-2.0
 *
 * place.c - the weights of an open model where the operators have their own memory (a GPU).
 *
 * One piece of that memory holds all tensors, planned before it is taken; then each is copied there
 * in the order in which operators read it, and the model's table points there. The file stays
 * mapped, and its pages may go: nothing reads them again. What says which model this is must be
 * known before (model_fingerprint()). Begin reading at model_place().
 */
#include "model/load.h"
#include "tensor/ops.h"

#define ALIGN ((size_t)256)

static size_t aligned(size_t n) { return (n + ALIGN - 1) & ~(ALIGN - 1); }

static size_t slot_bytes(const struct model *m, const struct tensor_row *r, int32_t i,
                         const struct device_memory *memory)
{
    if (r->rows == DIM_NONE)
        return aligned((size_t)tensor_dim_size(&m->config, r->cols) * sizeof(float));
    return aligned(memory->placed_bytes(weights_matrix(&m->weights, r, i)));
}

static size_t all_bytes(const struct model *m, const struct device_memory *memory)
{
    size_t n = 0;
    for (size_t k = 0; k < ROLE_COUNT; k++) {
        const struct tensor_row *r = &tensor_rows_table[k];
        for (int32_t i = 0; i < tensor_copies(&m->config, r); i++) n += slot_bytes(m, r, i, memory);
    }
    return n;
}

static bool place_slot(struct model *m, const struct tensor_row *r, int32_t i, char *to,
                       const struct device_memory *memory, struct err *err)
{
    if (r->rows != DIM_NONE) return memory->place(weights_slot(&m->weights, r, i), to, err);
    const float **vector = weights_slot(&m->weights, r, i);
    memory->put(to, *vector, (size_t)tensor_dim_size(&m->config, r->cols) * sizeof(float));
    *vector = (const float *)(void *)to;
    return memory->finish(err);
}

bool model_place(struct model *m, const struct ops *ops, struct err *err)
{
    const struct device_memory *memory = ops->memory;
    if (!memory || m->device) return true;
    const size_t n_bytes = all_bytes(m, memory);
    m->fingerprint = model_fingerprint(m);
    m->device_weights = memory->alloc(n_bytes, err);
    if (!m->device_weights) return err_wrap(err, m->info.path);
    m->device = memory;
    m->info.place = ops->name;
    char *to = m->device_weights;
    for (size_t k = 0; k < ROLE_COUNT; k++) {
        const struct tensor_row *r = &tensor_rows_table[k];
        for (int32_t i = 0; i < tensor_copies(&m->config, r); i++) {
            const size_t n = slot_bytes(m, r, i, memory);
            if (!place_slot(m, r, i, to, memory, err)) return err_wrap(err, m->info.path);
            to += n;
        }
    }
    if (m->config.is_tied) m->weights.output = m->weights.token_embd;
    return true;
}
