/* SPDX-License-Identifier: Apache-2.0
 *
 * config_gguf.c - the configuration in the metadata of a GGUF file (spec/inference.md d3).
 *
 * The keys give the shape; what the keys leave open is read off the tensors: the vocabulary is the
 * rows of the embedding, the output is tied if there is none, biases are there if the first layer
 * has one, and rope_freqs.weight is the Llama 3.1 scaling. Keys that would change the arithmetic in
 * a way that forward.c does not know (experts, windows, partial rotary, other scalings) are refused
 * one by one: a model that answers almost right is worse than an error.
 *
 * Begin reading at config_from_gguf().
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/config_read.h"
#include "model/tensors.h"

enum { MAX_KEY_BYTES = 80, MAX_LAYERS_LISTED = 4096 };

/* Whole numbers that must be missing or 0. */
static const char *const must_be_zero[] = {
    "llama.expert_count",
    "llama.expert_used_count",
    "llama.attention.sliding_window",
    NULL,
};

static const struct gguf_scaling {
    const char *name;
    enum rope_scaling id;
} scalings[] = {{"none", ROPE_SCALING_NONE}, {"linear", ROPE_SCALING_LINEAR}, {0}};

static bool is_text(const char *s, size_t n, const char *want)
{
    return n == strlen(want) && memcmp(s, want, n) == 0;
}

static bool check_architecture(const struct gguf *g, struct err *err)
{
    const char *s = "", *type = "model";
    size_t n = 0, n_type = 5;
    if (!gguf_str(g, "general.type", &type, &n_type, NULL, err) ||
        !gguf_str(g, "general.architecture", &s, &n, NULL, err))
        return false;
    if (!is_text(type, n_type, "model"))
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: general.type: '%.*s' is not a model; name the model's file",
                       gguf_path(g), (int)(n_type < 40 ? n_type : 40), type);
    if (is_text(s, n, "llama")) return true;
    return err_set(
        err, ERR_UNSUPPORTED,
        "%s: general.architecture: '%.*s' is not supported, only 'llama'; use a model of "
        "the Llama architecture",
        gguf_path(g), (int)(n < 40 ? n : 40), s);
}

/* Some converters list a number per layer: fine where all are the same. */
static bool read_listed(const struct gguf *g, const struct gguf_value *v, int64_t *out,
                        struct err *err)
{
    if (v->n == 0 || v->n > MAX_LAYERS_LISTED || v->elem_type == GGUF_STRING)
        return err_set(err, ERR_FORMAT,
                       "%s: %s: a list of %" PRIu64 " elements is no whole number; fetch the file "
                       "again",
                       gguf_path(g), v->key, v->n);
    *out = gguf_elem_i64(v, 0);
    for (uint64_t i = 1; i < v->n; i++)
        if (gguf_elem_i64(v, i) != *out)
            return err_set(err, ERR_UNSUPPORTED,
                           "%s: %s: layers differ (%" PRId64 " and %" PRId64
                           "), which is not supported; use another model",
                           gguf_path(g), v->key, *out, gguf_elem_i64(v, i));
    return true;
}

static bool read_field(const struct gguf *g, const struct config_field *f, struct model_config *c,
                       struct err *err)
{
    char key[MAX_KEY_BYTES];
    int64_t value = 0;
    bool has = true;
    snprintf(key, sizeof key, "llama.%s", f->gguf);
    const struct gguf_value *v = gguf_find(g, key);
    if (v && v->type == GGUF_ARRAY) {
        if (!read_listed(g, v, &value, err)) return false;
    } else if (!gguf_i64(g, key, f->min, f->max, &value, &has, err)) {
        return false;
    }
    if (!has) return config_miss_field(c, f, gguf_path(g), key, err);
    return config_set_field(c, f, value, gguf_path(g), key, err);
}

static bool check_zeros(const struct gguf *g, struct err *err)
{
    for (const char *const *key = must_be_zero; *key; key++) {
        int64_t value = 0;
        if (!gguf_i64(g, *key, 0, INT64_MAX, &value, NULL, err)) return false;
        if (value != 0)
            return err_set(err, ERR_UNSUPPORTED,
                           "%s: %s: %" PRId64 " is not supported, only 0; use a dense model with "
                           "full attention",
                           gguf_path(g), *key, value);
    }
    return true;
}

/* All of a head is rotated and values are as wide as keys, or it is not our arithmetic. */
static bool check_widths(const struct gguf *g, const struct model_config *c, struct err *err)
{
    static const char *const same[] = {"llama.rope.dimension_count",
                                       "llama.attention.value_length"};
    for (size_t i = 0; i < 2; i++) {
        int64_t value = c->d_head;
        if (!gguf_i64(g, same[i], 0, INT32_MAX, &value, NULL, err)) return false;
        if (value != c->d_head)
            return err_set(err, ERR_UNSUPPORTED,
                           "%s: %s: %" PRId64 " differs from the head width %" PRId32
                           ", which is not supported; use another model",
                           gguf_path(g), same[i], value, c->d_head);
    }
    return true;
}

static bool read_scaling(const struct gguf *g, struct model_config *c, struct err *err)
{
    const char *s = "none";
    size_t n = 4;
    double factor = 1, attn_factor = 1;
    if (!gguf_str(g, "llama.rope.scaling.type", &s, &n, NULL, err) ||
        !gguf_f64(g, "llama.rope.scaling.attn_factor", 0, CONFIG_MAX_FACTOR, &attn_factor, NULL,
                  err))
        return false;
    const struct gguf_scaling *row = scalings;
    while (row->name && !is_text(s, n, row->name)) row++;
    if (!row->name || attn_factor != 1)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: llama.rope.scaling: type '%.*s' with attention factor %g is not "
                       "supported, only linear and llama3; use another model",
                       gguf_path(g), (int)(n < 40 ? n : 40), s, attn_factor);
    c->rope_scaling = row->id;
    c->rope_factor = 1;
    if (row->id == ROPE_SCALING_NONE) return true;
    if (!gguf_f64(g, "llama.rope.scaling.factor", 1, CONFIG_MAX_FACTOR, &factor, NULL, err))
        return false;
    c->rope_factor = factor;
    return true;
}

static bool read_rope_freqs(const struct gguf *g, struct model_config *c, struct err *err)
{
    const struct gguf_tensor *t = gguf_find_tensor(g, "rope_freqs.weight");
    if (!t) return true;
    if (!t->is_supported || t->t.dtype != DT_F32 || t->t.n_dims != 1)
        return err_set(err, ERR_FORMAT,
                       "%s: rope_freqs.weight: is no F32 vector; fetch the file again",
                       gguf_path(g));
    if (c->rope_scaling != ROPE_SCALING_NONE)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: rope_freqs.weight and llama.rope.scaling.type are both given, which is "
                       "not supported; convert the model again",
                       gguf_path(g));
    return config_set_divisors(c, t->t.data, t->t.shape[0], gguf_path(g), err);
}

/* The rows of the embedding, however the tensor's type is: its shape is known in any case. */
static bool read_vocab(const struct gguf *g, struct model_config *c, struct err *err)
{
    const struct gguf_tensor *t = gguf_find_tensor(g, "token_embd.weight");
    int64_t said = 0;
    if (!t || t->t.n_dims != 2)
        return err_set(
            err, ERR_FORMAT,
            "%s: token_embd.weight: is missing or no matrix, so the file holds no model; "
            "name the model's file",
            gguf_path(g));
    const int64_t n = t->t.shape[0];
    bool has = false;
    if (!gguf_i64(g, "llama.vocab_size", 1, 1 << 24, &said, &has, err)) return false;
    if ((has && said != n) || n > 1 << 24)
        return err_set(err, ERR_FORMAT,
                       "%s: token_embd.weight: has %" PRId64 " rows, llama.vocab_size says %" PRId64
                       "; fetch the file again",
                       gguf_path(g), n, said);
    c->n_vocab = (int32_t)n;
    return true;
}

static bool has_role(const struct gguf *g, enum tensor_role role)
{
    char name[TENSOR_NAME_BYTES];
    tensor_name(name, tensor_rows_table[role].gguf, 0);
    return gguf_find_tensor(g, name) != NULL;
}

static bool read_numbers(const struct gguf *g, struct model_config *c, struct err *err)
{
    double eps = 0, theta = 10000; /* the default of Su et al. 2021, as llama.cpp has it */
    bool has = false;
    if (!gguf_f64(g, "llama.attention.layer_norm_rms_epsilon", CONFIG_MIN_EPS, CONFIG_MAX_EPS, &eps,
                  &has, err) ||
        !gguf_f64(g, "llama.rope.freq_base", 1, CONFIG_MAX_THETA, &theta, NULL, err))
        return false;
    if (!has)
        return err_set(err, ERR_FORMAT,
                       "%s: llama.attention.layer_norm_rms_epsilon: is missing; fetch the file "
                       "again",
                       gguf_path(g));
    c->norm_eps = (float)eps;
    c->rope_theta = theta;
    return true;
}

bool config_from_gguf(const struct gguf *g, struct model_config *out, struct err *err)
{
    struct model_config c = {.rope_pairs = ROPE_ADJACENT};
    if (!check_architecture(g, err) || !check_zeros(g, err)) return false;
    for (const struct config_field *f = config_fields; f->max; f++)
        if (f->gguf && !read_field(g, f, &c, err)) return false;
    if (!config_derive(&c, gguf_path(g), err) || !check_widths(g, &c, err) ||
        !read_vocab(g, &c, err) || !read_numbers(g, &c, err) || !read_scaling(g, &c, err))
        return false;
    c.is_tied = !has_role(g, ROLE_OUTPUT);
    c.has_attn_bias = has_role(g, ROLE_BQ);
    c.has_mlp_bias = has_role(g, ROLE_BGATE);
    if (!config_check(&c, gguf_path(g), err) || !read_rope_freqs(g, &c, err)) return false;
    *out = c;
    return true;
}
