/* SPDX-License-Identifier: Apache-2.0
 *
 * describe.c - what an open model is, as the keys of a JSON object and as a walk over its tensors.
 *
 * One place, because `cria inspect --json` and cria_model_inspect() must say the same. The walk
 * follows the tensor table, not the file: what the file has besides (rope_freqs, unused tables) is
 * no tensor of the model.
 */
#include "model/describe.h"

#include <inttypes.h>

const char *rope_scaling_name(enum rope_scaling s)
{
    static const char *const names[] = {"none", "linear", "dynamic", "llama3"};
    return names[s];
}

static void put_shape(struct json_writer *w, const struct model_config *c)
{
    json_key_int(w, "n_layers", c->n_layers);
    json_key_int(w, "d_model", c->d_model);
    json_key_int(w, "n_heads", c->n_heads);
    json_key_int(w, "n_kv_heads", c->n_kv_heads);
    json_key_int(w, "d_head", c->d_head);
    json_key_int(w, "d_ff", c->d_ff);
    json_key_int(w, "n_vocab", c->n_vocab);
    json_key_int(w, "n_ctx", c->n_ctx);
    json_key_float(w, "norm_eps", c->norm_eps);
    json_key_double(w, "rope_theta", c->rope_theta);
    json_key_cstring(w, "rope_scaling", rope_scaling_name(c->rope_scaling));
    if (c->rope_scaling != ROPE_SCALING_NONE) json_key_double(w, "rope_factor", c->rope_factor);
    json_key_boolean(w, "has_attn_bias", c->has_attn_bias);
    json_key_boolean(w, "has_mlp_bias", c->has_mlp_bias);
    json_key_boolean(w, "is_tied", c->is_tied);
    json_key_int(w, "kv_bytes_per_token_f16", (int64_t)config_kv_bytes(c, DT_F16));
}

void model_describe(const struct model *m, struct json_writer *w)
{
    static const char *const sources[] = {"gguf", "hf", "meta"};
    const struct model_info *info = model_info(m);
    const struct chat_family *chat = model_chat_family(m);
    const struct tokenizer *t = model_tokenizer(m);
    json_key_cstring(w, "path", info->path);
    json_key_cstring(w, "format", sources[info->source]);
    json_key_cstring(w, "name", info->name);
    json_key_cstring(w, "license", info->license);
    json_key_cstring(w, "license_name", info->license_name);
    json_key_cstring(w, "license_link", info->license_link);
    json_key_cstring(w, "author", info->author);
    json_key_cstring(w, "version", info->version);
    json_key_cstring(w, "description", info->description);
    json_key_cstring(w, "type", info->type_name);
    json_key_int(w, "n_params", (int64_t)info->n_params);
    json_key_int(w, "file_bytes", (int64_t)info->file_bytes);
    put_shape(w, model_config(m));
    json_key_cstring(w, "tokenizer", t ? tokenizer_family(t) : NULL);
    json_key_cstring(w, "chat", chat ? chat->name : NULL);
}

void model_each_tensor(const struct model *m, model_tensor_fn *fn, void *user)
{
    const struct model_config *c = model_config(m);
    const enum model_source source = model_info(m)->source;
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const struct tensor_row *r = &tensor_rows_table[i];
        const char *pattern = source == SOURCE_GGUF ? r->gguf
                              : source == SOURCE_HF ? r->hf
                                                    : r->meta;
        for (int32_t k = 0; pattern && k < tensor_copies(c, r); k++) {
            char name[TENSOR_NAME_BYTES];
            tensor_name(name, pattern, k);
            if (r->rows == DIM_NONE) { /* vectors are kept as float, whatever the file has */
                const int64_t n = tensor_dim_size(c, r->cols);
                fn(user, name, DT_F32, 1, &n, (uint64_t)n * sizeof(float));
                continue;
            }
            const struct tensor *t = weights_matrix(model_weights(m), r, k);
            fn(user, name, t->dtype, t->n_dims, t->shape, tensor_bytes(t));
        }
    }
}
