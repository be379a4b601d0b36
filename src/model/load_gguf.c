/* SPDX-License-Identifier: Apache-2.0
 *
 * load_gguf.c - a model from a GGUF file: everything is in it, and stays mapped. Types that the
 * container knows and the kernels do not are told by name here, not met later as a missing tensor.
 */
#include <string.h>

#include "model/load.h"

static const char *pattern(const struct tensor_row *r) { return r->gguf; }

static bool find(struct model *m, const struct tensor_row *r, const char *name, struct tensor *out,
                 struct err *err)
{
    const struct gguf_tensor *t = gguf_find_tensor(m->gguf, name);
    (void)r;
    if (!t)
        return err_set(err, ERR_FORMAT, "%s: %s: the tensor is missing; fetch the file again",
                       m->info.path, name);
    if (!t->is_supported) {
        const char *type = ggml_type_name(t->ggml_type);
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: %s: type %s (number %u) is not supported; use a file of another type",
                       m->info.path, name, type ? type : "unknown", (unsigned)t->ggml_type);
    }
    *out = t->t;
    return true;
}

static size_t n_names(const struct model *m) { return gguf_n_tensors(m->gguf); }

static const char *name_at(const struct model *m, size_t i)
{
    return gguf_tensor(m->gguf, i)->name;
}

static const char *const ignored[] = {"rope_freqs.weight", NULL}; /* in the config */

static const struct tensor_source source = {
    .pattern = pattern,
    .find = find,
    .n_names = n_names,
    .name = name_at,
    .ignored = ignored,
};

bool load_gguf(struct model *m, struct err *err)
{
    m->info.source = SOURCE_GGUF;
    m->gguf = gguf_open(m->info.path, err);
    if (!m->gguf) return false;
    m->info.file_bytes = gguf_file_bytes(m->gguf);
    return config_from_gguf(m->gguf, &m->config, err) && weights_load(m, &source, err) &&
           info_from_gguf(m, err);
}
