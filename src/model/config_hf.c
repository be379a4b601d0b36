/* SPDX-License-Identifier: Apache-2.0
 *
 * config_hf.c - the configuration in a config.json of Hugging Face transformers.
 *
 * Both spellings of the rotary settings are read: rope_theta and rope_scaling beside each other
 * (to version 4), and one object rope_parameters (from version 5). Defaults are those of
 * transformers' LlamaConfig. A null counts as missing, as there. Settings that would change the
 * arithmetic in a way that forward.c does not know are refused one by one.
 *
 * Begin reading at config_from_hf().
 */
#include <inttypes.h>
#include <string.h>

#include "model/config_read.h"

static bool is_missing(struct json v)
{
    const enum json_type t = json_type(v);
    return t == JSON_NONE || t == JSON_NULL;
}

static const struct hf_scaling {
    const char *name;
    enum rope_scaling id;
} scalings[] = {{"default", ROPE_SCALING_NONE},
                {"linear", ROPE_SCALING_LINEAR},
                {"dynamic", ROPE_SCALING_DYNAMIC},
                {"llama3", ROPE_SCALING_LLAMA3},
                {0}};

/* Text that must be missing or be this. */
static const struct hf_text {
    const char *key, *want;
} texts[] = {{"model_type", "llama"}, {"hidden_act", "silu"}, {0}};

/* Objects and numbers whose presence means another arithmetic. */
static const char *const must_be_missing[] = {"quantization_config", "sliding_window",
                                              "num_local_experts", NULL};

static bool read_number(struct json obj, const char *key, double min, double max, double *out,
                        const char *name, struct err *err)
{
    const struct json v = json_get(obj, key);
    double x = 0;
    if (is_missing(v)) return true;
    if (!json_f64(v, &x))
        return err_set(err, ERR_FORMAT, "%s: %s: is no number; fetch the file again", name, key);
    if (!(x >= min && x <= max))
        return err_set(err, ERR_LIMIT, "%s: %s: %g is not within %g..%g; fetch the file again",
                       name, key, x, min, max);
    *out = x;
    return true;
}

static bool read_bool(struct json root, const char *key, bool *out, const char *name,
                      struct err *err)
{
    const struct json v = json_get(root, key);
    if (is_missing(v) || json_bool(v, out)) return true;
    return err_set(err, ERR_FORMAT, "%s: %s: is not true or false; fetch the file again", name,
                   key);
}

static bool read_field(struct json root, const struct config_field *f, struct model_config *c,
                       const char *name, struct err *err)
{
    const struct json v = json_get(root, f->hf);
    int64_t value = 0;
    if (is_missing(v)) return config_miss_field(c, f, name, f->hf, err);
    if (!json_i64(v, &value))
        return err_set(err, ERR_FORMAT, "%s: %s: is no whole number; fetch the file again", name,
                       f->hf);
    return config_set_field(c, f, value, name, f->hf, err);
}

static bool check_texts(struct json root, const char *name, struct err *err)
{
    for (const struct hf_text *t = texts; t->key; t++) {
        const struct json v = json_get(root, t->key);
        const char *s = "";
        size_t n = 0;
        if (is_missing(v)) continue;
        if (json_str(v, &s, &n) && strcmp(s, t->want) == 0) continue;
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: %s: '%.40s' is not supported, only '%s'; use a model of the Llama "
                       "architecture",
                       name, t->key, s, t->want);
    }
    return true;
}

static bool check_absent(struct json root, const char *name, struct err *err)
{
    double rotated = 1;
    for (const char *const *key = must_be_missing; *key; key++)
        if (!is_missing(json_get(root, *key)))
            return err_set(err, ERR_UNSUPPORTED,
                           "%s: %s: is not supported; use a dense, unquantized model with full "
                           "attention",
                           name, *key);
    if (!read_number(root, "partial_rotary_factor", 0, 1, &rotated, name, err)) return false;
    if (rotated == 1) return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "%s: partial_rotary_factor: %g is not supported, only 1; use another model",
                   name, rotated);
}

/* The kind of scaling in `obj`; an object that names none has none. */
static bool read_scaling_kind(struct json obj, struct model_config *c, const char *name,
                              struct err *err)
{
    struct json v = json_get(obj, "rope_type");
    const char *s = "default";
    size_t n = 0;
    if (is_missing(v)) v = json_get(obj, "type");
    if (!is_missing(v) && !json_str(v, &s, &n))
        return err_set(err, ERR_FORMAT, "%s: rope_type: is no text; fetch the file again", name);
    for (const struct hf_scaling *row = scalings; row->name; row++) {
        if (strcmp(row->name, s) != 0) continue;
        c->rope_scaling = row->id;
        return true;
    }
    return err_set(err, ERR_UNSUPPORTED,
                   "%s: rope_type: '%.40s' is not supported, only default, linear, dynamic and "
                   "llama3; use another model",
                   name, s);
}

/* Numbers that the kind needs; config_check() refuses the 0 of one that is missing. */
static bool read_scaling(struct json obj, struct model_config *c, const char *name, struct err *err)
{
    double factor = 0, low = 0, high = 0, orig = 0;
    if (!read_scaling_kind(obj, c, name, err) ||
        !read_number(obj, "factor", 1, CONFIG_MAX_FACTOR, &factor, name, err) ||
        !read_number(obj, "low_freq_factor", 0, CONFIG_MAX_FACTOR, &low, name, err) ||
        !read_number(obj, "high_freq_factor", 0, CONFIG_MAX_FACTOR, &high, name, err) ||
        !read_number(obj, "original_max_position_embeddings", 1, 1 << 30, &orig, name, err) ||
        !read_number(obj, "rope_theta", 1, CONFIG_MAX_THETA, &c->rope_theta, name, err))
        return false;
    c->rope_factor = factor;
    c->rope_low_freq_factor = low;
    c->rope_high_freq_factor = high;
    c->rope_orig_ctx = (int32_t)orig;
    return true;
}

static bool read_rope(struct json root, struct model_config *c, const char *name, struct err *err)
{
    struct json obj = json_get(root, "rope_parameters");
    c->rope_theta = 10000;
    if (!read_number(root, "rope_theta", 1, CONFIG_MAX_THETA, &c->rope_theta, name, err))
        return false;
    if (is_missing(obj)) obj = json_get(root, "rope_scaling");
    if (is_missing(obj)) return true;
    if (json_type(obj) != JSON_OBJECT)
        return err_set(err, ERR_FORMAT, "%s: rope_scaling: is no object; fetch the file again",
                       name);
    return read_scaling(obj, c, name, err);
}

bool config_from_hf(struct json root, const char *name, struct model_config *out, struct err *err)
{
    struct model_config c = {.rope_pairs = ROPE_HALVES};
    const char *twice = NULL;
    double eps = 1e-6;
    if (json_type(root) != JSON_OBJECT)
        return err_set(err, ERR_FORMAT, "%s: is no JSON object; fetch the file again", name);
    if (json_has_duplicate(root, &twice))
        return err_set(err, ERR_FORMAT, "%s: %.80s: is there twice; fetch the file again", name,
                       twice);
    if (!check_texts(root, name, err) || !check_absent(root, name, err)) return false;
    for (const struct config_field *f = config_fields; f->max; f++)
        if (f->hf && !read_field(root, f, &c, name, err)) return false;
    if (!read_number(root, "rms_norm_eps", CONFIG_MIN_EPS, CONFIG_MAX_EPS, &eps, name, err) ||
        !read_bool(root, "attention_bias", &c.has_attn_bias, name, err) ||
        !read_bool(root, "mlp_bias", &c.has_mlp_bias, name, err) ||
        !read_bool(root, "tie_word_embeddings", &c.is_tied, name, err) ||
        !read_rope(root, &c, name, err) || !config_derive(&c, name, err))
        return false;
    c.norm_eps = (float)eps;
    if (!config_check(&c, name, err)) return false;
    *out = c;
    return true;
}
