/* SPDX-License-Identifier: Apache-2.0
 *
 * config_meta.c - the configuration in Meta's params.json (spec/llama3.md 1.1, 1.2, 1.7).
 *
 * The file leaves much unsaid, because Meta's reference code had it built in:
 *   d_ff        from dim, multiple_of and ffn_dim_multiplier by the formula of 1.2;
 *   n_vocab     -1 in Llama 1 and 2: the rows of the embedding;
 *   rope_theta  missing in Llama 1 and 2, where it is 10,000;
 *   context     the position limit was an argument: 131,072 with scaled frequencies, 8,192 for
 *               Llama 3 (theta 500,000), else 4,096 as in Llama 2;
 *   scaling     use_scaled_rope says that, not by how much. Llama 3.2's 1B and 3B were trained with
 *               factor 32 and 3.1 with 8 (spec 1.5), and their widths tell them apart; newer
 *               files name it: rope_scaling_factor.
 *
 * Begin reading at config_from_meta().
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "model/config_read.h"

static bool is_missing(struct json v)
{
    const enum json_type t = json_type(v);
    return t == JSON_NONE || t == JSON_NULL;
}

static bool read_int(struct json root, const char *key, int64_t min, int64_t max, int64_t *out,
                     const char *name, struct err *err)
{
    const struct json v = json_get(root, key);
    int64_t x = 0;
    if (is_missing(v)) return true;
    if (!json_i64(v, &x))
        return err_set(err, ERR_FORMAT, "%s: %s: is no whole number; fetch the file again", name,
                       key);
    if (x < min || x > max)
        return err_set(err, ERR_LIMIT,
                       "%s: %s: %" PRId64 " is not within %" PRId64 "..%" PRId64
                       "; fetch the file again",
                       name, key, x, min, max);
    *out = x;
    return true;
}

static bool read_number(struct json root, const char *key, double min, double max, double *out,
                        const char *name, struct err *err)
{
    const struct json v = json_get(root, key);
    double x = 0;
    if (is_missing(v)) return true;
    if (!json_f64(v, &x) || !(x >= min && x <= max))
        return err_set(err, ERR_LIMIT, "%s: %s: is no number within %g..%g; fetch the file again",
                       name, key, min, max);
    *out = x;
    return true;
}

static bool read_fields(struct json root, struct model_config *c, const char *name, struct err *err)
{
    for (const struct config_field *f = config_fields; f->max; f++) {
        int64_t value = 0;
        if (!f->meta) continue;
        const bool has = !is_missing(json_get(root, f->meta));
        if (!read_int(root, f->meta, f->min, f->max, &value, name, err)) return false;
        if (!(has ? config_set_field(c, f, value, name, f->meta, err)
                  : config_miss_field(c, f, name, f->meta, err)))
            return false;
    }
    return config_derive(c, name, err);
}

/* hidden = multiple_of * ceil(floor(multiplier * floor(2 * 4 dim / 3)) / multiple_of) */
static bool read_ffn(struct json root, struct model_config *c, const char *name, struct err *err)
{
    int64_t multiple = 256;
    double multiplier = 1;
    if (!read_int(root, "multiple_of", 1, 1 << 20, &multiple, name, err) ||
        !read_number(root, "ffn_dim_multiplier", 1e-3, 64, &multiplier, name, err))
        return false;
    const int64_t base = 8 * (int64_t)c->d_model / 3;
    const int64_t scaled = (int64_t)floor(multiplier * (double)base);
    const int64_t n = (scaled + multiple - 1) / multiple * multiple;
    if (n < 1 || n > 1 << 22)
        return err_set(err, ERR_LIMIT,
                       "%s: multiple_of and ffn_dim_multiplier: give a width of %" PRId64
                       ", not within 1..%d; fetch the file again",
                       name, n, 1 << 22);
    c->d_ff = (int32_t)n;
    return true;
}

static bool read_vocab(struct json root, int32_t n_vocab_seen, struct model_config *c,
                       const char *name, struct err *err)
{
    int64_t n = -1;
    if (!read_int(root, "vocab_size", -1, 1 << 24, &n, name, err)) return false;
    c->n_vocab = n < 1 ? n_vocab_seen : (int32_t)n;
    return true;
}

static double scaling_factor(const struct model_config *c)
{
    const bool is_1b = c->d_model == 2048 && c->n_layers == 16;
    const bool is_3b = c->d_model == 3072 && c->n_layers == 28;
    return is_1b || is_3b ? 32 : 8;
}

static bool read_rope(struct json root, struct model_config *c, const char *name, struct err *err)
{
    const struct json scaled = json_get(root, "use_scaled_rope");
    bool is_scaled = false;
    c->rope_theta = 10000;
    if (!is_missing(scaled) && !json_bool(scaled, &is_scaled))
        return err_set(err, ERR_FORMAT,
                       "%s: use_scaled_rope: is not true or false; fetch the file again", name);
    if (!read_number(root, "rope_theta", 1, CONFIG_MAX_THETA, &c->rope_theta, name, err))
        return false;
    c->n_ctx = is_scaled ? 131072 : c->rope_theta >= 500000 ? 8192 : 4096;
    if (!is_scaled) return true;
    c->rope_scaling = ROPE_SCALING_LLAMA3;
    c->rope_factor = scaling_factor(c);
    c->rope_low_freq_factor = 1;
    c->rope_high_freq_factor = 4;
    c->rope_orig_ctx = 8192;
    return read_number(root, "rope_scaling_factor", 1, CONFIG_MAX_FACTOR, &c->rope_factor, name,
                       err);
}

static bool check_dense(struct json root, const char *name, struct err *err)
{
    if (is_missing(json_get(root, "moe_args")) && is_missing(json_get(root, "moe"))) return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "%s: moe_args: experts are not supported; use a dense model", name);
}

bool config_from_meta(struct json root, const char *name, int32_t n_vocab_seen,
                      struct model_config *out, struct err *err)
{
    struct model_config c = {.rope_pairs = ROPE_ADJACENT};
    const char *twice = NULL;
    double eps = 1e-5;
    if (json_type(root) != JSON_OBJECT)
        return err_set(err, ERR_FORMAT, "%s: is no JSON object; fetch the file again", name);
    if (json_has_duplicate(root, &twice))
        return err_set(err, ERR_FORMAT, "%s: %.80s: is there twice; fetch the file again", name,
                       twice);
    if (!check_dense(root, name, err) || !read_fields(root, &c, name, err) ||
        !read_ffn(root, &c, name, err) || !read_vocab(root, n_vocab_seen, &c, name, err) ||
        !read_number(root, "norm_eps", CONFIG_MIN_EPS, CONFIG_MAX_EPS, &eps, name, err) ||
        !read_rope(root, &c, name, err))
        return false;
    c.norm_eps = (float)eps;
    if (!config_check(&c, name, err)) return false;
    *out = c;
    return true;
}
