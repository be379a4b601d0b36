/* SPDX-License-Identifier: Apache-2.0
 *
 * load_hf.c - a model from a Hugging Face directory: config.json and safetensors, one file or
 * shards with an index. The rows of q and k are in transformers' order; rope_pairs says so.
 */
#include "base/buf.h"
#include "base/json.h"
#include "model/load.h"

static const char *pattern(const struct tensor_row *r) { return r->hf; }

static bool find(struct model *m, const struct tensor_row *r, const char *name, struct tensor *out,
                 struct err *err)
{
    const struct safetensor *t = safetensors_find(m->safetensors, name);
    (void)r;
    if (!t)
        return err_set(err, ERR_FORMAT, "%s: %s: the tensor is missing; fetch the model again",
                       m->info.path, name);
    if (!t->is_supported)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: %s: type %.20s is not supported, only F32, F16 and BF16; use the "
                       "unquantized model",
                       m->info.path, name, t->dtype_name);
    *out = t->t;
    return true;
}

static size_t n_names(const struct model *m) { return safetensors_n(m->safetensors); }

static const char *name_at(const struct model *m, size_t i)
{
    return safetensors_at(m->safetensors, i)->name;
}

/* Frequencies that old versions of transformers stored. */
static const char *const ignored[] = {"rotary_emb.inv_freq", NULL};

static const struct tensor_source source = {
    .pattern = pattern,
    .find = find,
    .n_names = n_names,
    .name = name_at,
    .ignored = ignored,
};

static bool read_config(struct model *m, struct err *err)
{
    struct buf path;
    buf_init(&path, 1 << 16);
    struct json_doc *doc = load_json(m->info.path, "config.json", &path, err);
    const bool ok = doc && config_from_hf(json_root(doc), path.data, &m->config, err);
    json_free(doc);
    buf_release(&path);
    return ok;
}

bool load_hf(struct model *m, struct err *err)
{
    m->info.source = SOURCE_HF;
    if (!read_config(m, err)) return false;
    m->safetensors = safetensors_open(m->info.path, err);
    if (!m->safetensors) return false;
    m->info.file_bytes = safetensors_file_bytes(m->safetensors);
    return weights_load(m, &source, err) && info_from_dir(m, err);
}
